/* manual.c - manual pages from the same tables as --help, in the man(7) macros, so that a page is
 * never older than the command.  `conure help --man NAME` prints one; the build installs them. */
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"
#include "conure.h"

/* Text as roff takes it: backslashes, hyphens that are minus signs, dots and quotes at line starts. */
static void escape(conure_buffer *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            conure_buffer_text(out, "\\&");
        if (*text == '\\')
            conure_buffer_text(out, "\\e");
        else if (*text == '-')
            conure_buffer_text(out, "\\-");
        else
            conure_buffer_add(out, text, 1);
        line_start = *text == '\n';
    }
}

static void escape_part(conure_buffer *out, const char *text, size_t bytes)
{
    char part[2048];
    while (bytes) {
        const size_t n = bytes < sizeof part - 1 ? bytes : sizeof part - 1;
        memcpy(part, text, n);
        part[n] = '\0';
        escape(out, part);
        text += n;
        bytes -= n;
    }
}

static void paragraphs(conure_buffer *out, const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        const size_t bytes = end ? (size_t)(end - text) : strlen(text);
        const bool literal = *text == ' ';
        conure_buffer_text(out, literal ? ".PP\n.nf\n" : ".PP\n");
        escape_part(out, text, bytes);
        conure_buffer_text(out, literal ? "\n.fi\n" : "\n");
        text += bytes + (end ? 2 : 0);
    }
}

/* "conure model info" -> "conure-model-info" */
static void page_name(conure_buffer *out, const char *full_name, bool upper)
{
    for (const char *c = full_name; *c; c++) {
        const char d = *c == ' ' ? '-' : *c;
        const char e = (char)(upper && d >= 'a' && d <= 'z' ? d - 'a' + 'A' : d);
        if (e == '-')
            conure_buffer_text(out, "\\-");
        else
            conure_buffer_add(out, &e, 1);
    }
}

static void head(conure_buffer *out, const char *full_name, const char *summary)
{
    conure_buffer_text(out, ".TH \"");
    page_name(out, full_name, true);
    conure_buffer_format(out, "\" 1 \"\" \"conure %s\" \"Conure\"\n.SH NAME\n", conure_version());
    page_name(out, full_name, false);
    conure_buffer_text(out, " \\- ");
    escape(out, summary);
    conure_buffer_text(out, "\n.SH SYNOPSIS\n.B ");
    escape(out, full_name);
    conure_buffer_text(out, "\n");
}

static void options(conure_buffer *out, const conure_option *o)
{
    conure_buffer_text(out, ".SH OPTIONS\n");
    for (; o && o->kind; o++) {
        conure_buffer_text(out, ".TP\n");
        if (o->letter)
            conure_buffer_format(out, "\\fB\\-%c\\fR, ", o->letter);
        conure_buffer_text(out, "\\fB\\-\\-");
        escape(out, o->name);
        conure_buffer_text(out, "\\fR");
        if (o->value) {
            conure_buffer_text(out, " \\fI");
            escape(out, o->value);
            conure_buffer_text(out, "\\fR");
        }
        conure_buffer_text(out, "\n");
        escape(out, o->help);
        conure_buffer_text(out, ".\n");
    }
    conure_buffer_text(out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nprint a summary and exit.\n");
}

static void exit_codes(conure_buffer *out)
{
    conure_buffer_text(out, ".SH EXIT STATUS\n");
#define X(name, value, text)                                                                       \
    conure_buffer_text(out, ".TP\n.B " #value "\n");                                               \
    escape(out, text);                                                                             \
    conure_buffer_text(out, ".\n");
    CONURE_EXIT_LIST(X)
#undef X
}

static void command_list(conure_buffer *out, const conure_command *const *commands)
{
    conure_buffer_text(out, ".SH COMMANDS\n");
    for (; *commands; commands++) {
        conure_buffer_text(out, ".TP\n.B ");
        escape(out, (*commands)->name);
        conure_buffer_text(out, "\n");
        escape(out, (*commands)->summary);
        conure_buffer_text(out, ".\n");
    }
}

static void program_page(conure_buffer *out)
{
    static const char environment[] =
        ".SH ENVIRONMENT\n.TP\n.B CONURE_MODEL\nThe model of commands that are given no \\-\\-model: a "
        "file, a folder, or the name of a fetched model.\n.TP\n.B CONURE_HUB\nThe host that conure "
        "pull fetches from, instead of https://huggingface.co.\n.TP\n.B XDG_CACHE_HOME\nFetched models "
        "are kept in conure/models below it (~/.cache when not set).\n.TP\n.B NO_COLOR\nNo colours on "
        "a terminal.\n.TP\n.B CONURE_DEBUG\nPrint what the library logs.\n";
    head(out, "conure", "speech to text with FastConformer-TDT models");
    conure_buffer_text(out, ".I COMMAND\n[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n");
    command_list(out, conure_commands);
    exit_codes(out);
    conure_buffer_text(out, environment);
}

void conure_manual(conure_buffer *out, const conure_command *command, const char *full_name)
{
    if (!command) {
        program_page(out);
        return;
    }
    head(out, full_name, command->summary);
    escape(out, command->children ? "COMMAND ..." : command->arguments);
    conure_buffer_text(out, "\n.SH DESCRIPTION\n");
    escape(out, command->summary);
    conure_buffer_text(out, ".\n");
    if (command->details)
        paragraphs(out, command->details);
    if (command->children)
        command_list(out, command->children);
    else
        options(out, command->options);
    if (command->examples)
        conure_buffer_text(out, ".SH EXAMPLES\n");
    for (const conure_example *e = command->examples; e && e->command; e++) {
        conure_buffer_text(out, ".TP\n.B ");
        escape(out, e->command);
        conure_buffer_text(out, "\n");
        escape(out, e->what);
        conure_buffer_text(out, "\n");
    }
    exit_codes(out);
    conure_buffer_text(out, ".SH SEE ALSO\n.BR conure (1)\n");
}

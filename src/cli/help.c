/* help.c - what --help prints, from the tables of commands and options. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"

#define WIDTH 79
#define HELP_COLUMN 28 /* where the explanation of an option starts */

/* Append words, broken at WIDTH, continuation lines indented; column is where the line stands. */
static void wrap(conure_buffer *out, const char *text, size_t column, size_t indent)
{
    bool first = true;
    while (*text) {
        const size_t spaces = strspn(text, " \n");
        size_t bytes;
        text += spaces;
        bytes = strcspn(text, " \n");
        if (bytes == 0)
            break;
        if (!first && column + 1 + bytes > WIDTH) {
            conure_buffer_format(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            conure_buffer_text(out, " ");
            column++;
        }
        conure_buffer_add(out, text, bytes);
        column += bytes;
        text += bytes;
        first = false;
    }
    conure_buffer_text(out, "\n");
}

/* Paragraphs are parted by an empty line; one that starts with a space is kept as it is. */
static void paragraphs(conure_buffer *out, const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        const size_t bytes = end ? (size_t)(end - text) : strlen(text);
        if (*text == ' ') {
            conure_buffer_add(out, text, bytes);
            conure_buffer_text(out, "\n");
        } else {
            char *copy = conure_strndup(text, bytes);
            if (copy)
                wrap(out, copy, 0, 0);
            else
                out->failed = true;
            free(copy);
        }
        conure_buffer_text(out, "\n");
        text += bytes + (end ? 2 : 0);
    }
}

static void option_row(conure_buffer *out, const conure_option *o)
{
    const size_t before = out->bytes;
    size_t column;
    if (o->letter)
        conure_buffer_format(out, "  -%c, --%s", o->letter, o->name);
    else
        conure_buffer_format(out, "      --%s", o->name);
    if (o->value)
        conure_buffer_format(out, " %s", o->value);
    column = out->bytes - before;
    if (column + 2 > HELP_COLUMN) {
        conure_buffer_format(out, "\n%*s", HELP_COLUMN, "");
    } else {
        conure_buffer_format(out, "%*s", (int)(HELP_COLUMN - column), "");
    }
    wrap(out, o->help, HELP_COLUMN, HELP_COLUMN);
}

static void command_list(conure_buffer *out, const conure_command *const *commands)
{
    for (; *commands; commands++) {
        conure_buffer_format(out, "  %-12s", (*commands)->name);
        wrap(out, (*commands)->summary, 14, 14);
    }
}

void conure_help_program(conure_buffer *out)
{
    conure_buffer_text(out, "Usage: conure COMMAND [OPTION]... [ARGUMENT]...\n\n"
                            "Speech to text with FastConformer-TDT models, on the CPU.\n\nCommands:\n");
    command_list(out, conure_commands);
    conure_buffer_text(out, "\n  conure COMMAND --help   what a command does, its options, examples\n"
                            "  conure --version        the version\n\n"
                            "Start here:\n\n  conure transcribe recording.wav\n");
}

void conure_help_command(conure_buffer *out, const conure_command *command, const char *full_name)
{
    static const conure_option help = {
        .kind = CONURE_OPTION_FLAG, .name = "help", .letter = 'h', .help = "print this and exit"};
    conure_buffer_format(out, "Usage: %s %s\n\n", full_name,
                         command->children ? "COMMAND ..." : command->arguments);
    conure_buffer_format(out, "%s.\n\n", command->summary);
    if (command->details)
        paragraphs(out, command->details);
    if (command->children) {
        conure_buffer_text(out, "Commands:\n");
        command_list(out, command->children);
        conure_buffer_format(out, "\nMore: %s COMMAND --help\n", full_name);
        return;
    }
    conure_buffer_text(out, "Options:\n");
    for (const conure_option *o = command->options; o && o->kind; o++)
        option_row(out, o);
    option_row(out, &help);
    if (command->examples)
        conure_buffer_text(out, "\nExamples:\n");
    for (const conure_example *e = command->examples; e && e->command; e++)
        conure_buffer_format(out, "  %s\n      %s\n", e->command, e->what);
}

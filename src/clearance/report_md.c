/* report_md.c - a report as Markdown (CommonMark with the tables of GitHub); see report.h. */
#include "clearance/report_page.h"

#include <ctype.h>
#include <string.h>

/* Whether *s would be read as markup.  before: '\0' at the begin of the text. */
static bool is_markup(const char *s, char before)
{
    if (strchr("\\`*[]|#~$@", *s))
        return true;
    if (*s == '_') /* within a word it is a letter */
        return !isalnum((unsigned char)before) || !isalnum((unsigned char)s[1]);
    if (*s == ':' || *s == '.') /* http:// and www. become links by themselves */
        return *s == ':' ? s[1] == '/' : before == 'w' || before == 'W';
    return before == '\0' && strchr("-+=", *s); /* lists, lines below headings */
}

static void text(report_page *p, const char *words)
{
    conure_buffer clean = {0};
    conure_plain_text(&clean, words, REPORT_TEXT_MAX);
    bool number = true; /* digits alone so far: "1. " would begin a list */
    char before = '\0';
    for (const char *c = clean.data; c && *c; before = *c++) {
        const bool list = number && before && (*c == '.' || *c == ')') && (c[1] == ' ' || !c[1]);
        number = number && isdigit((unsigned char)*c);
        if (*c == '<' || *c == '>' || *c == '&') {
            conure_buffer_text(p->out, *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : "&amp;");
            continue;
        }
        if (list || is_markup(c, before))
            conure_buffer_text(p->out, "\\");
        conure_buffer_add(p->out, c, 1);
    }
    p->out->failed = p->out->failed || clean.failed;
    conure_buffer_free(&clean);
}

static void around(report_page *p, const char *open, const char *words, const char *close)
{
    conure_buffer_text(p->out, open);
    text(p, words);
    conure_buffer_text(p->out, close);
}

static void begin(report_page *p, const report_headline *h)
{
    around(p, "# ", h->sign, " ");
    around(p, "", h->answer, "\n\n");
    around(p, "Clearance report. ", h->subject, "\n\n");
    around(p, "", h->why, "\n\n");
    if (h->caveat)
        around(p, "**", h->caveat, "**\n\n");
    around(p, "", h->counts, "\n");
}

static void end(report_page *p)
{
    (void)p;
}

static void heading(report_page *p, int level, const char *id, const char *words)
{
    (void)id; /* who shows Markdown makes them from the words */
    conure_buffer_format(p->out, "\n%.*s ", level, "######");
    around(p, "", words, "\n");
}

static void paragraph(report_page *p, const char *words)
{
    around(p, "\n", words, "\n");
}

static void notice(report_page *p, const char *words)
{
    around(p, "\n**Notice:** ", words, "\n");
}

static void list(report_page *p, bool open)
{
    conure_buffer_text(p->out, open ? "\n" : "");
}

static void item(report_page *p, const char *words)
{
    around(p, "- ", words, "\n");
}

static void figure(report_page *p, const conure_buffer *svg)
{
    (void)p;
    (void)svg;
}

static void figures(report_page *p, bool open)
{
    (void)p;
    (void)open;
}

/* Whole, and without escapes: a block of code has none. */
static void command(report_page *p, const char *words)
{
    conure_buffer_text(p->out, "\n    ");
    conure_plain_text(p->out, words, 0);
    conure_buffer_text(p->out, "\n");
}

static void table(report_page *p, bool open)
{
    if (!open)
        return;
    conure_buffer_text(p->out, "\n|");
    for (size_t i = 0; i < p->table->n_columns; i++)
        around(p, " ", p->table->columns[i], " |");
    conure_buffer_text(p->out, "\n|");
    for (size_t i = 0; i < p->table->n_columns; i++)
        conure_buffer_text(p->out, " --- |");
    conure_buffer_text(p->out, "\n");
}

static void row(report_page *p, bool open)
{
    conure_buffer_text(p->out, open ? "|" : "\n");
}

static void cell(report_page *p, report_style style, const char *words)
{
    const char *sign;
    conure_buffer_text(p->out, " ");
    if (style == REPORT_WORD) {
        words = report_words(words, &sign);
        around(p, "", sign, " ");
    }
    text(p, words);
    conure_buffer_text(p->out, " |");
}

static void blank(report_page *p)
{
    conure_buffer_text(p->out, "   |");
}

conure_status conure_report_markdown(const json_t *report, conure_buffer *out)
{
    static const report_format format = {.begin = begin, .end = end, .heading = heading, .paragraph = paragraph, .notice = notice, .list = list,
                                         .item = item, .figure = figure, .figures = figures, .command = command, .table = table, .row = row,
                                         .cell = cell, .blank = blank};
    return report_write(&format, report, out);
}

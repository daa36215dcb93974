/* report_html.c - a report as one HTML file that a browser, a reader of XML, a phone and a printer take; see report.h. */
#include "clearance/report_page.h"

#include <string.h>

/* The policy: nothing is fetched, nothing runs. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
    "<meta name=\"referrer\" content=\"no-referrer\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>";

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light dark;--ink:#1b1b1b;--paper:#fff;--soft:#f1f1f1;--line:#bbb;--good:#0a6b3c;--bad:#a8201a;--doubt:#8a5300;"
    "--none:#555;--plot-bad:#a8201a}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#eaeaea;--paper:#141414;--soft:#222;--line:#555;--good:#5fd394;--bad:#ff8a80;"
    "--doubt:#f2b457;--none:#aaa;--plot-bad:#ff8a80}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:76rem;padding:0 1rem 3rem;background:var(--paper);color:var(--ink);"
    "font:1rem/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;overflow-wrap:break-word}\n"
    "header{margin:0 -1rem;padding:1rem;border-left:.7rem solid var(--none);background:var(--soft)}\n"
    "header p{margin:.35rem 0}\n"
    "h1{margin:.2rem 0;font-size:clamp(1.9rem,8vw,3.2rem);line-height:1.1}\n"
    ".why{font-size:1.1rem}.caveat{font-weight:600}\n"
    "h2{margin:2.4rem 0 .6rem;padding-top:.4rem;border-top:2px solid var(--line);line-height:1.25}\n"
    "h3{margin:1.6rem 0 .4rem;line-height:1.3}\n"
    "a{color:inherit}nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.8rem 0}nav a{padding:.3rem 0}\n"
    ".cleared,.pass,.holds{--c:var(--good)}.not_cleared,.fail,.fails{--c:var(--bad)}"
    ".not_proven,.not_judged,.not_run,.could_not_run{--c:var(--doubt)}.not_applicable{--c:var(--none)}\n"
    "header.v{border-color:var(--c)}header.v h1{color:var(--c)}\n"
    ".w{color:var(--c);font-weight:600;white-space:nowrap}\n"
    ".notice{margin:1rem 0;padding:.6rem .8rem;border:2px solid var(--bad);font-weight:600}\n"
    ".box{overflow-x:auto;margin:.6rem 0}\n"
    "table{border-collapse:collapse;width:100%;font-size:.94rem}\n"
    "caption{text-align:left;font-weight:600;padding:.3rem 0}"
    ".narrow caption{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}\n"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\n"
    "thead th{border-bottom:2px solid var(--line);vertical-align:bottom}\n"
    "tbody th{font-weight:600}\n"
    ".n{font-variant-numeric:tabular-nums;white-space:nowrap}.wide{width:auto}\n"
    "code,pre{font:.88em/1.45 ui-monospace,'DejaVu Sans Mono',Consolas,monospace}code{word-break:break-all}\n"
    "pre{padding:.6rem .8rem;background:var(--soft);overflow-x:auto;white-space:pre-wrap}\n"
    ".wide th,.wide td{overflow-wrap:normal;min-width:4.5rem}.wide .t{min-width:11rem}.narrow .t{min-width:8rem}\n"
    ".up th,.up td{min-width:0;text-align:center;padding:.35rem .3rem}.up tbody th,.up .t{text-align:left;min-width:7.5rem}\n"
    ".up thead th:nth-child(n+3){writing-mode:vertical-rl;text-align:left;padding:.4rem .2rem}\n"
    ".wide .b{height:3.2rem;min-width:9rem;border:1px solid var(--line)}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1rem}\n"
    "figure{margin:0}svg{max-width:100%;height:auto}\n"
    "@media screen and (max-width:44rem){.narrow thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}"
    ".narrow,.narrow tbody,.narrow tr,.narrow th,.narrow td{display:block;width:auto}"
    ".narrow tr{padding:.5rem 0;border-bottom:1px solid var(--line)}"
    ".narrow th,.narrow td{border:0;padding:.1rem 0;min-width:0;white-space:normal}"
    ".narrow td[data-label]::before{content:attr(data-label) ': ';color:var(--none)}.narrow td:empty{display:none}}\n"
    "@media print{:root{--ink:#000;--paper:#fff;--soft:#fff;--line:#888;--good:#064;--bad:#900;--doubt:#640;--none:#444;--plot-bad:#900}"
    "body{max-width:none;padding:0;font-size:10pt}header{margin:0;border:2pt solid var(--c);border-left-width:8pt}nav{display:none}"
    "h2,h3{break-after:avoid}tr,figure,pre{break-inside:avoid}.box{overflow:visible}.figures{grid-template-columns:1fr 1fr}"
    ".wide th,.wide td,.wide .t{min-width:0;padding:.2rem .4rem}"
    "table{font-size:8.5pt}}\n"
    "</style>\n</head>\n<body>\n";

static void text(report_page *p, const char *words)
{
    conure_plot_text(p->out, words, REPORT_TEXT_MAX);
}

static void around(report_page *p, const char *open, const char *words, const char *close)
{
    conure_buffer_text(p->out, open);
    text(p, words);
    conure_buffer_text(p->out, close);
}

static void begin(report_page *p, const report_headline *h)
{
    static const char *const places[][2] = {{"gates", "Gates"}, {"foundations", "What it rests on"}, {"risks", "Risks"},
                                            {"measured", "Plots and tables"}, {"checks", "Every check"}, {"sign-off", "Sign-off"}};
    conure_buffer_text(p->out, head);
    around(p, "", h->answer, ". ");
    around(p, "", h->subject, "</title>\n");
    conure_buffer_text(p->out, style);
    conure_buffer_format(p->out, "<header class=\"v %s\">\n", h->verdict);
    around(p, "<p>Clearance report. ", h->subject, "</p>\n");
    around(p, "<h1><span aria-hidden=\"true\">", h->sign, "</span> ");
    around(p, "", h->answer, "</h1>\n");
    around(p, "<p class=\"why\">", h->why, "</p>\n");
    if (h->caveat)
        around(p, "<p class=\"caveat\">", h->caveat, "</p>\n");
    around(p, "<p>", h->counts, "</p>\n</header>\n<nav aria-label=\"Sections\">");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        conure_buffer_format(p->out, "<a href=\"#%s\">%s</a> ", places[i][0], places[i][1]);
    conure_buffer_text(p->out, "</nav>\n<main>\n");
}

static void end(report_page *p)
{
    conure_buffer_text(p->out, "</main>\n</body>\n</html>\n");
}

static void heading(report_page *p, int level, const char *id, const char *words)
{
    conure_buffer_format(p->out, "<h%d", level);
    if (id)
        conure_buffer_format(p->out, " id=\"%s\"", id);
    around(p, ">", words, "");
    conure_buffer_format(p->out, "</h%d>\n", level);
}

static void paragraph(report_page *p, const char *words)
{
    around(p, "<p>", words, "</p>\n");
}

static void notice(report_page *p, const char *words)
{
    around(p, "<p class=\"notice\" role=\"note\">", words, "</p>\n");
}

static void list(report_page *p, bool open)
{
    conure_buffer_text(p->out, open ? "<ul>\n" : "</ul>\n");
}

static void item(report_page *p, const char *words)
{
    around(p, "<li>", words, "</li>\n");
}

static void figures(report_page *p, bool open)
{
    conure_buffer_text(p->out, open ? "<div class=\"figures\">\n" : "</div>\n");
}

static void figure(report_page *p, const conure_buffer *svg)
{
    conure_buffer_text(p->out, "<figure>");
    conure_buffer_add(p->out, svg->data, svg->bytes);
    conure_buffer_text(p->out, "</figure>\n");
}

/* Whole: half a command is none. */
static void command(report_page *p, const char *words)
{
    conure_buffer_text(p->out, "<pre><code>");
    conure_plot_text(p->out, words, 0);
    conure_buffer_text(p->out, "</code></pre>\n");
}

static void table(report_page *p, bool open)
{
    const report_table *t = p->table;
    if (!open) {
        conure_buffer_text(p->out, "</tbody></table></div>\n");
        return;
    }
    around(p, "<div class=\"box\" role=\"region\" tabindex=\"0\" aria-label=\"", t->caption, "\">");
    conure_buffer_format(p->out, "<table class=\"%s%s\">", t->narrow ? "narrow" : "wide", t->upright ? " up" : "");
    around(p, "<caption>", t->caption, "</caption>\n<thead><tr>");
    for (size_t i = 0; i < t->n_columns; i++)
        around(p, "<th scope=\"col\">", t->columns[i], "</th>");
    conure_buffer_text(p->out, "</tr></thead>\n<tbody>\n");
}

static void row(report_page *p, bool open)
{
    conure_buffer_text(p->out, open ? "<tr>" : "</tr>\n");
}

static void cell(report_page *p, report_style kind, const char *words)
{
    const bool rows = p->table->narrow && p->table->n_columns > 2;
    const char *sign;
    switch (kind) {
    case REPORT_HEAD:
        around(p, "<th scope=\"row\">", words, "</th>");
        return;
    case REPORT_WORD: /* of a fixed list, as judge.h has them */
        around(p, "<td><span class=\"w ", words, "\"><span aria-hidden=\"true\">");
        words = report_words(words, &sign);
        around(p, "", sign, "</span> ");
        around(p, "", words, "</span></td>");
        return;
    case REPORT_CODE:
        around(p, "<td class=\"t\"><code>", words, "</code></td>");
        return;
    case REPORT_NUMBER:
        conure_buffer_text(p->out, "<td class=\"n\"");
        break;
    case REPORT_TEXT:
        conure_buffer_text(p->out, strlen(words) < 24 ? "<td" : "<td class=\"t\"");
        break;
    }
    if (rows)
        around(p, " data-label=\"", p->table->columns[p->column], "\"");
    around(p, ">", words, "</td>");
}

static void blank(report_page *p)
{
    conure_buffer_text(p->out, "<td class=\"b\">&#160;</td>");
}

conure_status conure_report_html(const json_t *report, conure_buffer *out)
{
    static const report_format format = {.draws = true, .begin = begin, .end = end, .heading = heading, .paragraph = paragraph, .notice = notice,
                                         .list = list, .item = item, .figure = figure, .figures = figures, .command = command, .table = table,
                                         .row = row, .cell = cell, .blank = blank};
    return report_write(&format, report, out);
}

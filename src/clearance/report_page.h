/* report_page.h - what a report says, apart from how it is written.  The sections are written once, by calls of the functions below; HTML
 * and Markdown are two tables of functions.  Texts are plain and hostile: escaping is the format's affair. */
#ifndef CONURE_CLEARANCE_REPORT_PAGE_H
#define CONURE_CLEARANCE_REPORT_PAGE_H

#include "clearance/judge.h"
#include "clearance/plain.h"
#include "clearance/plot.h"
#include "clearance/report.h"

enum {
    REPORT_TEXT_MAX = 400, /* characters of a text, then an ellipsis */
    REPORT_NAME_MAX = 120, /* bytes of a name within a sentence */
    REPORT_ROWS_MAX = 100, /* of a table */
    REPORT_ITEMS_MAX = 100,
    REPORT_LINE_BYTES = 2048,
    REPORT_COLUMNS_MAX = 24
};

typedef enum report_style {
    REPORT_TEXT,
    REPORT_NUMBER,
    REPORT_CODE,   /* a hash, a path: may be broken anywhere */
    REPORT_WORD,   /* a word of judge.h, "holds" or "fails": with its sign and colour */
    REPORT_HEAD    /* what the row is about */
} report_style;

typedef struct report_page report_page;

typedef struct report_table {
    const char *caption;
    const char *const *columns;
    size_t n_columns; /* <= REPORT_COLUMNS_MAX */
    bool narrow;      /* a row may be written as lines below one another where there is no room */
    bool upright;     /* column heads may be turned */
} report_table;

/* The first screen. */
typedef struct report_headline {
    const char *verdict, *sign; /* a word of judge.h; a character for it */
    const char *answer;   /* "No: not cleared" */
    const char *subject;  /* who was asked about what */
    const char *why;      /* a sentence */
    const char *counts;   /* how many gates of each word */
    const char *caveat;   /* NULL: none */
} report_headline;

typedef struct report_format {
    bool draws; /* takes figures; else the plots are tables */
    void (*begin)(report_page *p, const report_headline *h);
    void (*end)(report_page *p);
    void (*heading)(report_page *p, int level, const char *id, const char *text);
    void (*paragraph)(report_page *p, const char *text);
    void (*notice)(report_page *p, const char *text);  /* one that must not be overlooked */
    void (*list)(report_page *p, bool open);
    void (*item)(report_page *p, const char *text);
    void (*figure)(report_page *p, const conure_buffer *svg);
    void (*figures)(report_page *p, bool open);        /* they may stand side by side */
    void (*command)(report_page *p, const char *text);
    void (*table)(report_page *p, bool open);
    void (*row)(report_page *p, bool open);
    void (*cell)(report_page *p, report_style style, const char *text);
    void (*blank)(report_page *p);                     /* a cell to be written into by hand */
} report_format;

struct report_page {
    const report_format *format;
    conure_buffer *out;
    const json_t *given;  /* the file */
    json_t *report;       /* what its evidence gives */
    const json_t *stages;
    const report_table *table; /* the open one */
    size_t column;
    char line[REPORT_LINE_BYTES];
};

/* The whole page, by that format. */
conure_status report_write(const report_format *format, const json_t *report, conure_buffer *out);
void report_measured(report_page *p); /* report_measured.c: plots and tables of what was measured */
void report_heard(report_page *p);    /* report_heard.c: speech, the clock, the harness on trial */
void report_self_test(report_page *p);

/* ---- for sections ----------------------------------------------------------------------------- */

/* A sentence; valid until the next call.  Too long ones are cut. */
__attribute__((format(printf, 2, 3))) const char *report_line(report_page *p, const char *format, ...);
void report_open_table(report_page *p, const report_table *table);
void report_close_table(report_page *p);
/* Cells fill the rows of the open table from left to right. */
void report_cell(report_page *p, report_style style, const char *text); /* NULL: a dash */
void report_cell_number(report_page *p, double x);                      /* NaN: a dash */
void report_more(report_page *p, size_t shown, size_t all, const char *what); /* says what was left out, if any */
void report_fact(report_page *p, const char *what, report_style style, const char *value); /* a row of two; none for NULL or "" */

/* Plots, or tables of them. */
void report_draw_lines(report_page *p, const conure_plot *plot, const conure_plot_series *series, size_t n, const conure_plot_fit *fit);
void report_draw_bars(report_page *p, const conure_plot *plot, const conure_plot_bar_set *sets, size_t n_sets, size_t n,
                      const char *const *names);

/* ---- report_json.c: what may be missing ------------------------------------------------------- */

const json_t *report_at(const json_t *object, const char *path);     /* "tensors.encoder_output.limits"; NULL: none */
const char *report_text_at(const json_t *object, const char *path);  /* NULL: none, or no text */
double report_number_at(const json_t *object, const char *path);     /* NaN: none, or no number */
/* The numbers of an array; others are NaN.  Freed by the caller; *n 0 and NULL for an empty one, or without memory (*failed). */
double *report_numbers(const json_t *array, size_t *n, bool *failed);
/* Four digits, whole numbers with all of theirs; "-" for NaN. */
typedef struct report_digits {
    char text[CONURE_PLOT_NUMBER_CAP];
} report_digits;
report_digits report_digits_of(double x);
bool report_is(const char *text, const char *word); /* text may be NULL */
/* The words for a word of judge.h, and its sign; an unknown one is its own. */
const char *report_words(const char *word, const char **sign);

#endif

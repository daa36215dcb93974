/* plot.h - plots as SVG, for a report and for files: lines over chunks, bars, a heat map.
 *
 * Each call appends one whole <svg> element.  It depends on nothing but its arguments: the same values give the same bytes, whatever
 * the locale.  Memory that is missing shows in out->failed.  Names are hostile: they are escaped and cut to what fits.
 *
 * The drawing is 360 units wide and as wide as its container up to 36rem, so that its text, 13 units and more, can be read on a
 * phone.  Text and axes have the colour of the text around (currentColor); series have --plot-1 .. --plot-6, limits and what is not
 * finite --plot-bad, where a page defines these, else colours that stand out from white and from black.
 *
 * NaN is a missing value: a gap.  An infinity, which is how errors.h reports what is not finite, is drawn as a mark at the upper
 * edge and counted in words.  On logarithmic axes 0 and less lie on a line of their own at the lower edge. */
#ifndef CONURE_CLEARANCE_PLOT_H
#define CONURE_CLEARANCE_PLOT_H

#include "base/memory.h"

enum { CONURE_PLOT_POINTS = 2000, CONURE_PLOT_CELLS = 64, CONURE_PLOT_NUMBER_CAP = 48 };

/* A horizontal line, dashed. */
typedef struct conure_plot_limit {
    const char *name;
    double y;
} conure_plot_limit;

/* What every kind has.  Texts may be NULL or "". */
typedef struct conure_plot {
    const char *title;
    const char *x_label, *y_label; /* what is counted below; what is measured, with its unit */
    bool log;                      /* the y axis; of a heat map, the colours */
    const conure_plot_limit *limits;
    size_t n_limits;               /* not of a heat map */
} conure_plot;

typedef struct conure_plot_series {
    const char *name;
    const double *y; /* [n] */
    const double *x; /* [n] rising; NULL: 0, 1, ... */
    size_t n;        /* beyond CONURE_PLOT_POINTS neighbours become one point, their largest */
} conure_plot_series;

/* The straight line y = intercept + slope x between two x. */
typedef struct conure_plot_fit {
    const char *name;
    double intercept, slope, from, to;
} conure_plot_fit;

/* fit may be NULL. */
void conure_plot_lines(conure_buffer *out, const conure_plot *plot, const conure_plot_series *series, size_t n_series,
                       const conure_plot_fit *fit);

/* Bars of one or several sets side by side; their length begins at 0, on a logarithmic axis at its lower edge. */
typedef struct conure_plot_bar_set {
    const char *name;
    const double *values; /* [n] */
} conure_plot_bar_set;

/*   names  [n], below each group; NULL: 0, 1, ...
 *   edges  [n + 1], where bins begin and end, instead of names; NULL: names */
void conure_plot_bars(conure_buffer *out, const conure_plot *plot, const conure_plot_bar_set *sets, size_t n_sets, size_t n,
                      const char *const *names, const double *edges);

/* Cells [rows][cols], the first row on top, with a scale of colours below.  Beyond CONURE_PLOT_CELLS rows or columns neighbours become one
 * cell, their largest.  A few large cells have their values written into them. */
typedef struct conure_plot_grid {
    const double *values;
    size_t rows, cols;
    const char *const *row_names, *const *col_names; /* NULL: 0, 1, ... */
    const char *value_label;
} conure_plot_grid;
void conure_plot_heat(conure_buffer *out, const conure_plot *plot, const conure_plot_grid *grid);

/* ---- plot_text.c: for whoever writes HTML or SVG ------------------------------------------------- */

/* Text as XML and HTML take it, also inside of quotes: markup escaped; control characters, marks that turn the direction of writing and
 * whatever is no UTF-8 replaced by U+FFFD; at most chars_max characters (0: all), then an ellipsis. */
void conure_plot_text(conure_buffer *out, const char *text, size_t chars_max);

/* A number with up to so many significant digits (1 .. 15): "0.0015", "1.5e-7", "inf", "nan".  out [CONURE_PLOT_NUMBER_CAP]; returns it. */
char *conure_plot_number(char *out, double x, int digits);
/* n * 10^exponent, exactly. */
char *conure_plot_decimal(char *out, long long n, int exponent);

#endif

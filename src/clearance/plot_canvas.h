/* plot_canvas.h - what the kinds of plots share: the element around, axes, a legend.  Units are those of the drawing. */
#ifndef CONURE_CLEARANCE_PLOT_CANVAS_H
#define CONURE_CLEARANCE_PLOT_CANVAS_H

#include "clearance/plot.h"

enum { PLOT_WIDTH = 360, PLOT_ROW = 19, PLOT_TICKS = 12, PLOT_COLOURS = 6, PLOT_NAME_CHARS = 40 };

/* Values that an axis must show. */
typedef struct plot_range {
    size_t n;             /* finite ones */
    size_t n_low, n_infinite; /* 0 or less; infinities */
    double low, high, least; /* least: smallest above 0 */
    bool fractions;       /* not all are whole numbers */
} plot_range;
void plot_range_add(plot_range *range, double value);

typedef struct plot_axis {
    bool log;
    double low, high;     /* decades when log */
    double floor;         /* log: share of the axis below the lowest decade, for 0 and less */
    size_t n_ticks;
    double at[PLOT_TICKS]; /* 0 .. 1 along the axis */
    char label[PLOT_TICKS][CONURE_PLOT_NUMBER_CAP];
} plot_axis;
/* close: begins and ends with the values, else with round numbers. */
void plot_axis_make(plot_axis *axis, const plot_range *range, bool log, bool close);
double plot_axis_at(const plot_axis *axis, double value); /* 0 .. 1; values beyond are at the ends, infinities too */

/* The element with title and labels.  summary: escaped text, said to who cannot see it; freed. */
typedef struct plot_canvas {
    conure_buffer *out;
    const conure_plot *plot;
    double left, right, top, bottom; /* of the area for values */
    double legend;                   /* baseline of the next row of the legend */
} plot_canvas;
void plot_canvas_open(plot_canvas *canvas, conure_buffer *out, const conure_plot *plot, conure_buffer *summary, double left, double height,
                      size_t legend_rows);
void plot_canvas_close(plot_canvas *canvas);

void plot_units(conure_buffer *out, double value);                 /* tenths at most */
void plot_colour(conure_buffer *out, const char *property, size_t series); /* attributes; series SIZE_MAX: a limit's colour */
void plot_label(plot_canvas *canvas, double x, double y, const char *anchor, const char *text, size_t chars_max);
void plot_y_axis(plot_canvas *canvas, const plot_axis *axis);
void plot_x_axis(plot_canvas *canvas, const plot_axis *axis);
void plot_limits(plot_canvas *canvas, const plot_axis *axis);      /* lines, and rows of the legend */
void plot_legend(plot_canvas *canvas, const char *name);           /* a row's text, behind what was drawn at canvas->legend */
void plot_columns(plot_canvas *canvas, size_t n, size_t step, const char *const *names, const double *edges); /* labels below; step of the names */
void plot_infinite(plot_canvas *canvas, size_t n);                 /* a row of the legend, where something is not finite */
void plot_nothing(plot_canvas *canvas, const plot_range *range);   /* says that there are no values, if so */
void plot_at(conure_buffer *out, const char *command, double x, double y);
void plot_mark(conure_buffer *out, double x, double y, bool up);   /* of what is not finite: into a path's data */
void plot_marks(plot_canvas *canvas, conure_buffer *marks);        /* that path; freed */
double plot_y(const plot_canvas *canvas, const plot_axis *axis, double value);

/* Neighbours as one: of n values in steps of stride, bucket i's largest; NaN only where all are.  Its index. */
size_t plot_stride(size_t n, size_t max);
size_t plot_largest(const double *values, size_t n, size_t stride, size_t i);

#endif

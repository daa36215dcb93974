/* plot.c - lines and bars; see plot.h. */
#include "clearance/plot_canvas.h"

#include <math.h>
#include <stdio.h>

enum { HEIGHT = 150, LEFT = 58, FIT_POINTS = 64 };

static double x_of(const conure_plot_series *s, size_t i)
{
    return s->x ? s->x[i] : (double)i;
}

/* "NAME: 50 values, largest 0.00031 at 17; " */
static void say(conure_buffer *out, const char *name, const double *values, size_t n, const double *x)
{
    size_t counted = 0, best = 0;
    char value[CONURE_PLOT_NUMBER_CAP], place[CONURE_PLOT_NUMBER_CAP];
    for (size_t i = 0; i < n; i++) {
        if (isnan(values[i]))
            continue;
        if (counted++ == 0 || values[i] > values[best])
            best = i;
    }
    conure_buffer_text(out, out->bytes ? "; " : "");
    conure_plot_text(out, name && *name ? name : "values", 100);
    conure_buffer_format(out, ": %zu values", counted);
    if (counted > 0)
        conure_buffer_format(out, ", largest %s at %s", conure_plot_number(value, values[best], 3),
                             conure_plot_number(place, x ? x[best] : (double)best, 6));
}

static void add_limits(plot_range *range, const conure_plot *plot)
{
    for (size_t i = 0; i < plot->n_limits; i++)
        if (isfinite(plot->limits[i].y))
            plot_range_add(range, plot->limits[i].y);
}

/* ---- lines ------------------------------------------------------------------------------------ */

static void dash(conure_buffer *out, size_t series)
{
    static const char *const patterns[] = {"", "6 3", "2 3", "9 3 2 3"};
    if (series % 4 > 0)
        conure_buffer_format(out, " stroke-dasharray=\"%s\"", patterns[series % 4]);
}

static void one_line(plot_canvas *c, const conure_plot_series *s, size_t which, const plot_axis *x, const plot_axis *y)
{
    const size_t stride = plot_stride(s->n, CONURE_PLOT_POINTS);
    const double *values = s->y;
    conure_buffer marks = {0};
    size_t run = 0; /* points since the last gap */
    conure_buffer_text(c->out, "<path fill=\"none\" stroke-width=\"1.8\" stroke-linejoin=\"round\" stroke-linecap=\"round\"");
    dash(c->out, which);
    plot_colour(c->out, "stroke", which);
    conure_buffer_text(c->out, " d=\"");
    for (size_t i = 0; i * stride < s->n; i++) {
        const size_t k = plot_largest(values, s->n, stride, i);
        const double px = c->left + (c->right - c->left) * plot_axis_at(x, x_of(s, k)), py = plot_y(c, y, values[k]);
        if (!isfinite(values[k]) || !isfinite(x_of(s, k))) {
            conure_buffer_text(c->out, run == 1 ? "h0" : ""); /* a point alone is a dot */
            run = 0;
            if (isinf(values[k]) && isfinite(x_of(s, k)))
                plot_mark(&marks, px, py, values[k] > 0);
            continue;
        }
        plot_at(c->out, run++ == 0 ? "M" : "L", px, py);
    }
    conure_buffer_text(c->out, run == 1 ? "h0" : "");
    plot_at(c->out, "M", 8, c->legend - 4);
    conure_buffer_text(c->out, "h24\"/>");
    plot_marks(c, &marks);
    plot_legend(c, s->name);
}

static void fitted(plot_canvas *c, const conure_plot_fit *fit, const plot_axis *x, const plot_axis *y)
{
    const int n = y->log ? FIT_POINTS : 1; /* a straight line is none on a logarithmic axis */
    conure_buffer_text(c->out, "<path fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.3\" stroke-dasharray=\"3 3\" d=\"");
    for (int i = 0; i <= n; i++) {
        const double at_x = fit->from + (fit->to - fit->from) * i / n;
        plot_at(c->out, i ? "L" : "M", c->left + (c->right - c->left) * plot_axis_at(x, at_x), plot_y(c, y, fit->intercept + fit->slope * at_x));
    }
    plot_at(c->out, "M", 8, c->legend - 4);
    conure_buffer_text(c->out, "h24\"/>");
    plot_legend(c, fit->name);
}

void conure_plot_lines(conure_buffer *out, const conure_plot *plot, const conure_plot_series *series, size_t n_series,
                       const conure_plot_fit *fit)
{
    plot_range in_x = {0}, in_y = {0};
    plot_axis x, y;
    plot_canvas c;
    conure_buffer summary = {0};
    if (fit && !(isfinite(fit->intercept) && isfinite(fit->slope) && isfinite(fit->from) && isfinite(fit->to)))
        fit = NULL;
    for (size_t i = 0; i < n_series; i++) {
        for (size_t k = 0; k < series[i].n; k++) {
            plot_range_add(&in_y, series[i].y[k]);
            if (isfinite(x_of(&series[i], k)))
                plot_range_add(&in_x, x_of(&series[i], k));
        }
        say(&summary, series[i].name, series[i].y, series[i].n, series[i].x);
    }
    const plot_range values = in_y;
    for (int i = 0; fit && i < 2; i++) {
        plot_range_add(&in_x, i ? fit->to : fit->from);
        plot_range_add(&in_y, fit->intercept + fit->slope * (i ? fit->to : fit->from));
    }
    add_limits(&in_y, plot);
    plot_axis_make(&x, &in_x, false, true);
    plot_axis_make(&y, &in_y, plot->log, false);
    plot_canvas_open(&c, out, plot, &summary, LEFT, HEIGHT, n_series + plot->n_limits + (fit != NULL) + (values.n_infinite > 0));
    plot_y_axis(&c, &y);
    plot_x_axis(&c, &x);
    plot_nothing(&c, &values);
    for (size_t i = 0; i < n_series; i++)
        one_line(&c, &series[i], i, &x, &y);
    if (fit)
        fitted(&c, fit, &x, &y);
    plot_limits(&c, &y);
    plot_infinite(&c, values.n_infinite);
    plot_canvas_close(&c);
}

/* ---- bars ------------------------------------------------------------------------------------- */

static void one_set(plot_canvas *c, const double *values, size_t n, size_t which, size_t n_sets, const plot_axis *y, bool legend)
{
    const double group = (c->right - c->left) / (double)n, gap = group > 4 ? group * 0.2 : 0, width = (group - gap) / (double)n_sets;
    const double zero = y->log ? c->bottom : plot_y(c, y, 0);
    conure_buffer marks = {0};
    conure_buffer_text(c->out, "<path");
    plot_colour(c->out, "fill", which);
    conure_buffer_text(c->out, " d=\"");
    for (size_t i = 0; i < n; i++) {
        const double left = c->left + group * (double)i + gap / 2 + width * (double)which, top = plot_y(c, y, values[i]);
        if (isinf(values[i]))
            plot_mark(&marks, left + width / 2, values[i] > 0 ? c->top : c->bottom, values[i] > 0);
        if (!isfinite(values[i]))
            continue;
        plot_at(c->out, "M", left, zero);
        conure_buffer_text(c->out, "h");
        plot_units(c->out, width);
        conure_buffer_text(c->out, "V");
        plot_units(c->out, top);
        conure_buffer_text(c->out, "h");
        plot_units(c->out, -width);
        conure_buffer_text(c->out, "z");
    }
    if (legend) {
        plot_at(c->out, "M", 14, c->legend - 10);
        conure_buffer_text(c->out, "h12v10h-12z");
    }
    conure_buffer_text(c->out, "\"/>");
    plot_marks(c, &marks);
}

void conure_plot_bars(conure_buffer *out, const conure_plot *plot, const conure_plot_bar_set *sets, size_t n_sets, size_t n,
                      const char *const *names, const double *edges)
{
    plot_range in_y = {0};
    plot_axis y;
    plot_canvas c;
    conure_buffer summary = {0};
    for (size_t i = 0; i < n_sets; i++) {
        for (size_t k = 0; k < n; k++)
            plot_range_add(&in_y, sets[i].values[k]);
        say(&summary, sets[i].name, sets[i].values, n, edges);
    }
    const plot_range values = in_y;
    const bool legend = n_sets > 1;
    if (in_y.n > 0 && !plot->log)
        plot_range_add(&in_y, 0);
    add_limits(&in_y, plot);
    plot_axis_make(&y, &in_y, plot->log, false);
    plot_canvas_open(&c, out, plot, &summary, LEFT, HEIGHT, (legend ? n_sets : 0) + plot->n_limits + (values.n_infinite > 0));
    plot_y_axis(&c, &y);
    plot_nothing(&c, &values);
    if (n > 0)
        plot_columns(&c, n, 1, names, edges);
    for (size_t i = 0; i < n_sets && n > 0; i++) {
        one_set(&c, sets[i].values, n, i, n_sets, &y, legend);
        if (legend)
            plot_legend(&c, sets[i].name);
    }
    plot_limits(&c, &y);
    plot_infinite(&c, values.n_infinite);
    plot_canvas_close(&c);
}

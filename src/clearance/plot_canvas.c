/* plot_canvas.c - see plot_canvas.h. */
#include "clearance/plot_canvas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TICKS_WANTED = 5 };

/* ---- axes ------------------------------------------------------------------------------------- */

void plot_range_add(plot_range *r, double v)
{
    r->n_infinite += isinf(v) != 0;
    if (!isfinite(v))
        return;
    v = fabs(v) < 1e-300 ? 0 : fmin(fmax(v, -1e300), 1e300); /* so that differences and steps are normal numbers */
    r->low = r->n == 0 || v < r->low ? v : r->low;
    r->high = r->n == 0 || v > r->high ? v : r->high;
    r->n_low += v <= 0;
    r->fractions = r->fractions || v != floor(v);
    if (v > 0 && (r->least == 0 || v < r->least))
        r->least = v;
    r->n++;
}

static void tick(plot_axis *axis, double value, long long n, int exponent)
{
    if (axis->n_ticks == PLOT_TICKS)
        return;
    axis->at[axis->n_ticks] = plot_axis_at(axis, value);
    conure_plot_decimal(axis->label[axis->n_ticks++], n, exponent);
}

static void make_log(plot_axis *axis, const plot_range *r)
{
    static const int mantissas[] = {1, 2, 5};
    axis->low = r->least > 0 ? floor(log10(r->least)) : 0;
    axis->high = r->least > 0 ? ceil(log10(r->high)) : 1;
    axis->floor = r->n_low ? 0.1 : 0;
    if (axis->high <= axis->low)
        axis->high = axis->low + 1;
    const int stride = (int)ceil((axis->high - axis->low) / TICKS_WANTED);
    if (r->n_low)
        tick(axis, 0, 0, 0);
    for (int e = (int)axis->low; e <= (int)axis->high; e += stride)
        for (int i = 0; i < (axis->high - axis->low <= 2 && e < (int)axis->high ? 3 : 1); i++) /* few decades: 1, 2 and 5 of each */
            tick(axis, mantissas[i] * pow(10, e), mantissas[i], e);
}

/* Steps of 1, 2 or 5 times a power of ten; labels are whole multiples of them, so that none shows a rounding. */
static void make_linear(plot_axis *axis, const plot_range *r, bool close)
{
    const double size = fmax(fabs(r->low), fabs(r->high));
    double low = r->low, high = r->high;
    if (!close && low > 0 && low < high / 2)
        low = 0;
    if (high - low < 1e-4 * size || high <= low) { /* all but equal: a tick would need more digits than a label has */
        high = high + fmax(1e-4 * size, size == 0 ? 1 : 0);
        low = fmax(low - 1e-4 * size, low >= 0 ? 0 : -INFINITY);
    }
    const double raw = (high - low) / TICKS_WANTED;
    int exponent = (int)floor(log10(raw));
    const double lead = raw / pow(10, exponent);
    int mantissa = lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10;
    if (close && !r->fractions && mantissa * pow(10, exponent) < 1) { /* no half chunks */
        mantissa = 1;
        exponent = 0;
    }
    const double step = mantissa * pow(10, exponent);
    const double first = close ? ceil(low / step) : floor(low / step), last = close ? floor(high / step) : ceil(high / step);
    axis->low = close ? low : first * step;
    axis->high = close ? high : last * step;
    for (double i = first; i <= last; i++)
        tick(axis, i * step, (long long)i * mantissa, exponent);
}

void plot_axis_make(plot_axis *axis, const plot_range *range, bool log, bool close)
{
    *axis = (plot_axis){.log = log, .high = 1};
    if (range->n == 0)
        return;
    if (log)
        make_log(axis, range);
    else
        make_linear(axis, range, close);
}

double plot_axis_at(const plot_axis *a, double v)
{
    if (a->log && !(v > 0))
        return 0;
    const double share = isinf(v) ? (v > 0 ? 1 : 0) : ((a->log ? log10(v) : v) - a->low) / (a->high - a->low);
    return a->floor + (1 - a->floor) * fmin(fmax(share, 0), 1);
}

double plot_y(const plot_canvas *c, const plot_axis *axis, double value)
{
    return c->bottom - (c->bottom - c->top) * plot_axis_at(axis, value);
}

size_t plot_stride(size_t n, size_t max)
{
    return n <= max ? 1 : (n - 1) / max + 1;
}

size_t plot_largest(const double *values, size_t n, size_t stride, size_t i)
{
    const size_t from = i * stride, to = n - from < stride ? n : from + stride;
    size_t best = from;
    for (size_t k = from; k < to; k++)
        if (values[k] > values[best] || isnan(values[best]))
            best = k;
    return best;
}

/* ---- drawing ---------------------------------------------------------------------------------- */

void plot_units(conure_buffer *out, double value)
{
    const long n = lround(value * 10), m = n < 0 ? -n : n;
    conure_buffer_format(out, m % 10 ? "%s%ld.%ld" : "%s%ld", n < 0 ? "-" : "", m / 10, m % 10);
}

/* 3 to 5 times as bright or as dark as white and black are. */
void plot_colour(conure_buffer *out, const char *property, size_t series)
{
    static const char *const colours[PLOT_COLOURS] = {"#2f7fd6", "#c8641e", "#2a9460", "#a65bc9", "#8f7d1c", "#d14d87"};
    if (series == SIZE_MAX)
        conure_buffer_format(out, " %s=\"#d63c3c\" style=\"%s:var(--plot-bad,#d63c3c)\"", property, property);
    else
        conure_buffer_format(out, " %s=\"%s\" style=\"%s:var(--plot-%zu,%s)\"", property, colours[series % PLOT_COLOURS], property,
                             series % PLOT_COLOURS + 1, colours[series % PLOT_COLOURS]);
}

void plot_label(plot_canvas *c, double x, double y, const char *anchor, const char *text, size_t chars_max)
{
    conure_buffer_text(c->out, "<text x=\"");
    plot_units(c->out, x);
    conure_buffer_text(c->out, "\" y=\"");
    plot_units(c->out, y);
    conure_buffer_format(c->out, "\" text-anchor=\"%s\">", anchor);
    conure_plot_text(c->out, text, chars_max);
    conure_buffer_text(c->out, "</text>");
}

static bool given(const char *text)
{
    return text && *text;
}

void plot_canvas_open(plot_canvas *c, conure_buffer *out, const conure_plot *plot, conure_buffer *summary, double left, double height,
                      size_t legend_rows)
{
    double y = 0;
    *c = (plot_canvas){.out = out, .plot = plot, .left = left, .right = PLOT_WIDTH - 12};
    c->top = 10 + PLOT_ROW * (given(plot->title) + given(plot->y_label));
    c->bottom = c->top + height;
    c->legend = c->bottom + 18 + PLOT_ROW * given(plot->x_label);
    conure_buffer_format(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"100%%\" "
                         "style=\"max-width:36rem;height:auto;display:block\" font-family=\"system-ui,sans-serif\" font-size=\"13\" "
                         "fill=\"currentColor\" role=\"img\" aria-label=\"", PLOT_WIDTH, c->legend + (double)legend_rows * PLOT_ROW + 6);
    conure_plot_text(out, plot->title, 200);
    conure_buffer_text(out, given(plot->title) ? ": " : "");
    conure_buffer_add(out, summary->data ? summary->data : "", summary->bytes);
    conure_buffer_text(out, "\"><title>");
    conure_plot_text(out, given(plot->title) ? plot->title : "plot", 200);
    conure_buffer_text(out, "</title>");
    out->failed = out->failed || summary->failed;
    conure_buffer_free(summary);
    if (given(plot->title)) {
        conure_buffer_text(out, "<g font-size=\"14\" font-weight=\"600\">");
        plot_label(c, 4, y += PLOT_ROW - 3, "start", plot->title, 46);
        conure_buffer_text(out, "</g>");
    }
    if (given(plot->y_label))
        plot_label(c, 4, y + PLOT_ROW - 1, "start", plot->y_label, PLOT_NAME_CHARS + 6);
    if (given(plot->x_label))
        plot_label(c, c->right, c->bottom + 16 + PLOT_ROW, "end", plot->x_label, PLOT_NAME_CHARS);
    c->legend += PLOT_ROW - 3;
}

void plot_canvas_close(plot_canvas *c)
{
    conure_buffer_text(c->out, "</svg>\n");
}

void plot_at(conure_buffer *out, const char *command, double x, double y)
{
    conure_buffer_text(out, command);
    plot_units(out, x);
    conure_buffer_text(out, " ");
    plot_units(out, y);
}

static void straight(plot_canvas *c, double x0, double y0, const char *how, double to)
{
    plot_at(c->out, "M", x0, y0);
    conure_buffer_text(c->out, how);
    plot_units(c->out, to);
}

void plot_y_axis(plot_canvas *c, const plot_axis *axis)
{
    conure_buffer_text(c->out, "<path stroke=\"currentColor\" stroke-opacity=\".25\" d=\"");
    for (size_t i = 0; i < axis->n_ticks; i++)
        straight(c, c->left, c->bottom - (c->bottom - c->top) * axis->at[i], "H", c->right);
    straight(c, c->left, c->top, "V", c->bottom);
    straight(c, c->left, c->bottom, "H", c->right);
    conure_buffer_text(c->out, "\"/>");
    for (size_t i = 0; i < axis->n_ticks; i++)
        plot_label(c, c->left - 5, c->bottom - (c->bottom - c->top) * axis->at[i] + 4.5, "end", axis->label[i], 0);
}

/* Around x, but within the drawing. */
static void label_below(plot_canvas *c, double x, const char *label, size_t chars_max)
{
    const size_t length = label ? strlen(label) : 0;
    const double half = 3.75 * (double)(chars_max && chars_max < length ? chars_max : length);
    plot_label(c, fmin(x, PLOT_WIDTH - 2 - half), c->bottom + 17, "middle", label, chars_max);
}

void plot_x_axis(plot_canvas *c, const plot_axis *axis)
{
    conure_buffer_text(c->out, "<path stroke=\"currentColor\" stroke-opacity=\".6\" d=\"");
    for (size_t i = 0; i < axis->n_ticks; i++)
        straight(c, c->left + (c->right - c->left) * axis->at[i], c->bottom, "v", 4);
    conure_buffer_text(c->out, "\"/>");
    for (size_t i = 0; i < axis->n_ticks; i++)
        label_below(c, c->left + (c->right - c->left) * axis->at[i], axis->label[i], 0);
}

void plot_legend(plot_canvas *c, const char *name)
{
    plot_label(c, 38, c->legend, "start", name, PLOT_NAME_CHARS);
    c->legend += PLOT_ROW;
}

void plot_limits(plot_canvas *c, const plot_axis *axis)
{
    for (size_t i = 0; i < c->plot->n_limits; i++) {
        const conure_plot_limit *limit = &c->plot->limits[i];
        char value[CONURE_PLOT_NUMBER_CAP];
        conure_buffer name = {0};
        conure_buffer_text(c->out, "<path stroke-width=\"1.5\" stroke-dasharray=\"7 4\"");
        plot_colour(c->out, "stroke", SIZE_MAX);
        conure_buffer_text(c->out, " d=\"");
        if (isfinite(limit->y))
            straight(c, c->left, plot_y(c, axis, limit->y), "H", c->right);
        straight(c, 8, c->legend - 4, "H", 32);
        conure_buffer_text(c->out, "\"/>");
        conure_buffer_text(&name, limit->name ? limit->name : "limit");
        conure_buffer_text(&name, " ");
        conure_buffer_text(&name, conure_plot_number(value, limit->y, 3));
        plot_legend(c, name.data ? name.data : "");
        c->out->failed = c->out->failed || name.failed;
        conure_buffer_free(&name);
    }
}

/* A label every so many groups, so that they stay apart: the longest decides, up to 12 characters. */
void plot_columns(plot_canvas *c, size_t n, size_t step, const char *const *names, const double *edges)
{
    const size_t n_labels = edges ? n + 1 : n;
    const double width = (c->right - c->left) / (double)n;
    size_t longest = 1, stride = 1;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n_labels; i += stride) {
            char number[CONURE_PLOT_NUMBER_CAP];
            const char *label = edges ? conure_plot_number(number, edges[i], 3) : names ? names[i * step]
                                                                                        : conure_plot_decimal(number, (long long)(i * step), 0);
            const size_t length = label ? strlen(label) : 0;
            const double x = c->left + width * ((double)i + (edges ? 0 : 0.5));
            longest = length > longest ? length : longest;
            if (pass > 0)
                label_below(c, x, label, (size_t)(width * (double)stride / 7) + 1);
        }
        const double room = 7.5 * (double)(longest < 12 ? longest : 12) + 6;
        stride = width >= room ? 1 : (size_t)ceil(room / width);
    }
}

/* A small triangle that points at where the axis ends. */
void plot_mark(conure_buffer *out, double x, double y, bool up)
{
    plot_at(out, "M", x - 4, y);
    conure_buffer_text(out, up ? "h8l-4 -7z" : "h8l-4 7z");
}

void plot_marks(plot_canvas *c, conure_buffer *marks)
{
    if (marks->bytes) {
        conure_buffer_text(c->out, "<path");
        plot_colour(c->out, "fill", SIZE_MAX);
        conure_buffer_format(c->out, " d=\"%s\"/>", marks->data);
    }
    c->out->failed = c->out->failed || marks->failed;
    conure_buffer_free(marks);
}

void plot_infinite(plot_canvas *c, size_t n)
{
    conure_buffer marks = {0};
    char words[64];
    if (n == 0)
        return;
    plot_mark(&marks, 20, c->legend, true);
    plot_marks(c, &marks);
    snprintf(words, sizeof words, "not finite: %zu", n);
    plot_legend(c, words);
}

void plot_nothing(plot_canvas *c, const plot_range *range)
{
    if (range->n + range->n_infinite == 0)
        plot_label(c, (c->left + c->right) / 2, (c->top + c->bottom) / 2, "middle", "no values", 0);
}

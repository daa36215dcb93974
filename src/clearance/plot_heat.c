/* plot_heat.c - a heat map; see plot.h.  Cells of one colour are one path, so that a map of some thousand cells stays small. */
#include "clearance/plot_canvas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEVELS = 16, ZERO = LEVELS, INFINITE, KINDS, NONE };
enum { LABEL_HEIGHT = 15, SCALE = 50 }; /* of a row's name; of the scale below */

/* From dark to bright, so that it can be read without colours too. */
static void colour_of(int level, int rgb[3])
{
    static const int stops[5][3] = {{45, 27, 94}, {52, 84, 158}, {38, 146, 140}, {126, 196, 84}, {250, 226, 88}};
    const int at = level * 4 * 256 / (LEVELS - 1), i = at / 256 < 4 ? at / 256 : 3, rest = at - i * 256;
    for (int k = 0; k < 3; k++)
        rgb[k] = stops[i][k] + (stops[i + 1][k] - stops[i][k]) * rest / 256;
}

static void fill(conure_buffer *out, int kind)
{
    int rgb[3];
    if (kind == ZERO)
        conure_buffer_text(out, " fill-opacity=\".12\"");
    else if (kind == INFINITE)
        plot_colour(out, "fill", SIZE_MAX);
    else {
        colour_of(kind, rgb);
        conure_buffer_format(out, " fill=\"#%02x%02x%02x\"", rgb[0], rgb[1], rgb[2]);
    }
}

typedef struct map {
    const conure_plot_grid *g;
    plot_axis scale;
    size_t row_stride, col_stride, rows, cols; /* as drawn */
    double cell_width, cell_height;
    unsigned char kinds[CONURE_PLOT_CELLS][CONURE_PLOT_CELLS];
} map;

/* The largest value of the cells that are drawn as one. */
static double value_of(const map *m, size_t row, size_t col)
{
    const conure_plot_grid *g = m->g;
    double largest = NAN;
    for (size_t r = row * m->row_stride; r < g->rows && r < (row + 1) * m->row_stride; r++) {
        const double *values = g->values + r * g->cols, v = values[plot_largest(values, g->cols, m->col_stride, col)];
        if (v > largest || isnan(largest))
            largest = v;
    }
    return largest;
}

static unsigned char kind_of(const map *m, double v)
{
    if (isnan(v))
        return NONE;
    if (isinf(v))
        return INFINITE;
    if (m->scale.log && v <= 0)
        return ZERO;
    const int level = (int)(plot_axis_at(&m->scale, v) * LEVELS);
    return (unsigned char)(level < LEVELS ? level : LEVELS - 1);
}

static void rectangle(conure_buffer *out, double x, double y, double width, double height)
{
    plot_at(out, "M", x, y);
    conure_buffer_text(out, "h");
    plot_units(out, width);
    conure_buffer_text(out, "v");
    plot_units(out, height);
    conure_buffer_text(out, "h");
    plot_units(out, -width);
    conure_buffer_text(out, "z");
}

static void cells(plot_canvas *c, const map *m)
{
    for (int kind = 0; kind < KINDS; kind++) {
        bool any = false;
        for (size_t row = 0; row < m->rows; row++) {
            for (size_t col = 0; col < m->cols; col++) {
                size_t run = 0; /* cells beside it of the same colour */
                while (col + run < m->cols && m->kinds[row][col + run] == kind)
                    run++;
                if (run == 0)
                    continue;
                if (!any) {
                    conure_buffer_text(c->out, "<path");
                    fill(c->out, kind);
                    conure_buffer_text(c->out, " d=\"");
                }
                any = true;
                rectangle(c->out, c->left + m->cell_width * (double)col, c->top + m->cell_height * (double)row, m->cell_width * (double)run,
                          m->cell_height);
                col += run - 1;
            }
        }
        conure_buffer_text(c->out, any ? "\"/>" : "");
    }
}

static void written(plot_canvas *c, const map *m)
{
    char number[CONURE_PLOT_NUMBER_CAP];
    for (size_t row = 0; row < m->rows; row++) {
        for (size_t col = 0; col < m->cols; col++) {
            const double v = value_of(m, row, col);
            const int kind = m->kinds[row][col];
            const char *ink = kind == ZERO || kind == NONE ? "currentColor" : kind < LEVELS / 2 || kind == INFINITE ? "#fff" : "#000";
            conure_buffer_format(c->out, "<g fill=\"%s\">", ink);
            plot_label(c, c->left + m->cell_width * ((double)col + 0.5), c->top + m->cell_height * ((double)row + 0.5) + 4.5, "middle",
                       isnan(v) ? "\xe2\x80\x93" : conure_plot_number(number, v, 2), 0);
            conure_buffer_text(c->out, "</g>");
        }
    }
}

static void row_labels(plot_canvas *c, const map *m)
{
    const size_t stride = (size_t)ceil(LABEL_HEIGHT / m->cell_height);
    char number[CONURE_PLOT_NUMBER_CAP];
    for (size_t row = 0; row < m->rows; row += stride) {
        const size_t i = row * m->row_stride;
        plot_label(c, c->left - 5, c->top + m->cell_height * ((double)row + 0.5) + 4.5, "end",
                   m->g->row_names ? m->g->row_names[i] : conure_plot_decimal(number, (long long)i, 0), (size_t)(c->left / 7));
    }
}

/* The bar of colours with its numbers, at the legend's first rows. */
static void colour_scale(plot_canvas *c, const map *m)
{
    const double left = 24, width = PLOT_WIDTH - 2 * left, top = c->legend - 8;
    if (m->g->value_label && *m->g->value_label)
        plot_label(c, 4, c->legend, "start", m->g->value_label, PLOT_NAME_CHARS + 6);
    for (int level = 0; level < LEVELS; level++) {
        conure_buffer_text(c->out, "<path");
        fill(c->out, level);
        conure_buffer_text(c->out, " d=\"");
        rectangle(c->out, left + width * level / LEVELS, top + 14, width / LEVELS, 10);
        conure_buffer_text(c->out, "\"/>");
    }
    for (size_t i = 0; i < m->scale.n_ticks; i++)
        plot_label(c, left + width * m->scale.at[i], top + 38, "middle", m->scale.label[i], 0);
    c->legend += SCALE;
}

static void say(conure_buffer *out, const conure_plot_grid *g)
{
    char value[CONURE_PLOT_NUMBER_CAP];
    size_t best = 0, counted = 0;
    for (size_t i = 0; i < g->rows * g->cols; i++) {
        if (isnan(g->values[i]))
            continue;
        if (counted++ == 0 || g->values[i] > g->values[best])
            best = i;
    }
    conure_buffer_format(out, "%zu x %zu, %zu values", g->rows, g->cols, counted);
    if (counted > 0)
        conure_buffer_format(out, ", largest %s in row %zu, column %zu", conure_plot_number(value, g->values[best], 3), best / g->cols,
                             best % g->cols);
}

static double margin(const conure_plot_grid *g)
{
    size_t longest = 3;
    for (size_t i = 0; g->row_names && i < g->rows; i++) {
        const size_t length = g->row_names[i] ? strlen(g->row_names[i]) : 0;
        longest = length > longest ? length : longest;
    }
    return 8 + 7.5 * (double)(longest < 16 ? longest : 16);
}

void conure_plot_heat(conure_buffer *out, const conure_plot *plot, const conure_plot_grid *grid)
{
    map m = {.g = grid, .row_stride = plot_stride(grid->rows, CONURE_PLOT_CELLS), .col_stride = plot_stride(grid->cols, CONURE_PLOT_CELLS)};
    plot_range values = {0}, coloured = {0};
    plot_canvas c;
    conure_buffer summary = {0};
    const bool any = grid->rows > 0 && grid->cols > 0;
    size_t n_zero = 0;
    m.rows = any ? (grid->rows - 1) / m.row_stride + 1 : 0;
    m.cols = any ? (grid->cols - 1) / m.col_stride + 1 : 0;
    for (size_t i = 0; any && i < grid->rows * grid->cols; i++) {
        const double v = grid->values[i];
        plot_range_add(&values, v);
        n_zero += plot->log && v <= 0 && isfinite(v);
        if (!plot->log || v > 0)
            plot_range_add(&coloured, v);
    }
    plot_axis_make(&m.scale, &coloured, plot->log, false);
    say(&summary, grid);
    m.cell_height = m.rows <= 8 ? 28 : m.rows <= 24 ? 10 : 5;
    plot_canvas_open(&c, out, plot, &summary, margin(grid), any ? m.cell_height * (double)m.rows : 60, (coloured.n > 0 ? 3 : 0) + (n_zero > 0) +
                     (values.n_infinite > 0));
    plot_nothing(&c, &values);
    if (any) {
        m.cell_width = (c.right - c.left) / (double)m.cols;
        for (size_t i = 0; i < m.rows * m.cols; i++)
            m.kinds[i / m.cols][i % m.cols] = kind_of(&m, value_of(&m, i / m.cols, i % m.cols));
        cells(&c, &m);
        row_labels(&c, &m);
        plot_columns(&c, m.cols, m.col_stride, grid->col_names, NULL);
        if (m.cell_height > 20 && m.cell_width >= 46)
            written(&c, &m);
    }
    if (coloured.n > 0)
        colour_scale(&c, &m);
    if (n_zero > 0) {
        conure_buffer_text(out, "<path");
        fill(out, ZERO);
        conure_buffer_text(out, " d=\"");
        rectangle(out, 14, c.legend - 10, 12, 10);
        conure_buffer_text(out, "\"/>");
        plot_legend(&c, "0");
    }
    plot_infinite(&c, values.n_infinite);
    plot_canvas_close(&c);
}

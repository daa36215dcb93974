/* report_measured.c - what the runs of chunks and the distances from float64 look like: plots and tables; see report_page.h. */
#include "clearance/report_page.h"

#include "clearance/errors.h"
#include "clearance/plot_canvas.h"
#include "clearance/tolerance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARKDOWN_ROWS = 12 };

/* ---- plots, or tables of them ----------------------------------------------------------------- */

static void lines_as_table(report_page *p, const conure_plot *plot, const conure_plot_series *series, size_t n_series)
{
    const char *columns[REPORT_COLUMNS_MAX] = {plot->x_label};
    const report_table table = {.caption = plot->title, .columns = columns, .n_columns = n_series + 1};
    size_t n = 0;
    for (size_t i = 0; i < n_series; i++) {
        columns[i + 1] = series[i].name;
        n = series[i].n > n ? series[i].n : n;
    }
    const size_t stride = plot_stride(n, MARKDOWN_ROWS);
    report_open_table(p, &table);
    for (size_t row = 0; row * stride < n; row++) {
        const size_t first = row * stride, last = first + stride < n ? first + stride - 1 : n - 1;
        const double *x = series[0].x;
        const double from = x && last < series[0].n ? x[first] : (double)first, to = x && last < series[0].n ? x[last] : (double)last;
        report_cell(p, REPORT_HEAD, from < to ? report_line(p, "%s to %s", report_digits_of(from).text, report_digits_of(to).text)
                                              : report_digits_of(from).text);
        for (size_t i = 0; i < n_series; i++)
            report_cell_number(p, first < series[i].n ? series[i].y[plot_largest(series[i].y, series[i].n, stride, row)] : NAN);
    }
    report_close_table(p);
}

static void limits_in_words(report_page *p, const conure_plot *plot, const conure_plot_fit *fit)
{
    conure_buffer text = {0};
    for (size_t i = 0; i < plot->n_limits; i++)
        conure_buffer_format(&text, "%s%s: %s", text.bytes ? "; " : "", plot->limits[i].name, report_digits_of(plot->limits[i].y).text);
    if (fit)
        conure_buffer_format(&text, "%s%s", text.bytes ? "; " : "", fit->name);
    if (text.bytes)
        p->format->paragraph(p, text.data);
    p->out->failed = p->out->failed || text.failed;
    conure_buffer_free(&text);
}

static void figure(report_page *p, conure_buffer *svg)
{
    if (svg->bytes && !svg->failed)
        p->format->figure(p, svg);
    p->out->failed = p->out->failed || svg->failed;
    conure_buffer_free(svg);
}

void report_draw_lines(report_page *p, const conure_plot *plot, const conure_plot_series *series, size_t n, const conure_plot_fit *fit)
{
    conure_buffer svg = {0};
    if (p->format->draws) {
        conure_plot_lines(&svg, plot, series, n, fit);
        figure(p, &svg);
        return;
    }
    p->format->heading(p, 4, NULL, plot->title);
    lines_as_table(p, plot, series, n);
    limits_in_words(p, plot, fit);
}

void report_draw_bars(report_page *p, const conure_plot *plot, const conure_plot_bar_set *sets, size_t n_sets, size_t n,
                      const char *const *names)
{
    const char *columns[REPORT_COLUMNS_MAX] = {plot->x_label};
    const report_table table = {.caption = plot->title, .columns = columns, .n_columns = n_sets + 1};
    conure_buffer svg = {0};
    if (p->format->draws) {
        conure_plot_bars(&svg, plot, sets, n_sets, n, names, NULL);
        figure(p, &svg);
        return;
    }
    for (size_t i = 0; i < n_sets; i++)
        columns[i + 1] = sets[i].name;
    p->format->heading(p, 4, NULL, plot->title);
    report_open_table(p, &table);
    for (size_t k = 0; k < n; k++) {
        report_cell(p, REPORT_HEAD, names[k]);
        for (size_t i = 0; i < n_sets; i++)
            report_cell_number(p, sets[i].values[k]);
    }
    report_close_table(p);
    limits_in_words(p, plot, NULL);
}

/* ---- runs of chunks --------------------------------------------------------------------------- */

typedef struct curve {
    double *values;
    size_t n;
    bool any; /* one is a number */
} curve;

static curve curve_of(report_page *p, const json_t *run, const char *key)
{
    curve c = {0};
    c.values = report_numbers(json_object_get(json_object_get(run, "series"), key), &c.n, &p->out->failed);
    for (size_t i = 0; i < c.n; i++)
        c.any = c.any || isfinite(c.values[i]);
    return c;
}

static conure_plot_series series_of(const curve *c, const curve *chunks, const char *name)
{
    return (conure_plot_series){.name = name, .y = c->values, .x = chunks->n >= c->n ? chunks->values : NULL, .n = c->n};
}

/* As the judge does it: without chunk 0. */
static bool fit_of(const curve *c, const curve *chunks, conure_plot_fit *fit, char name[160])
{
    conure_line line = {0};
    double half, last = 1;
    for (size_t i = 0; i < c->n && i < chunks->n; i++) {
        if (chunks->values[i] > 0 && isfinite(c->values[i])) {
            conure_line_add(&line, chunks->values[i], c->values[i]);
            last = chunks->values[i];
        }
    }
    if (!conure_line_slope(&line, &fit->slope, &half))
        return false;
    fit->intercept = (line.y - fit->slope * line.x) / (double)line.n;
    fit->from = 1;
    fit->to = last;
    fit->name = name;
    snprintf(name, 160, "drift %s \xc2\xb1 %s a chunk", report_digits_of(fit->slope).text, report_digits_of(half).text);
    return true;
}

static double limit_of(const json_t *run, const char *tensor)
{
    return report_number_at(report_at(report_at(run, "tensors"), tensor), "limits.absolute_max");
}

static size_t add_limit(conure_plot_limit *limits, size_t n, const char *name, double y)
{
    limits[n] = (conure_plot_limit){name, y};
    return isfinite(y) ? n + 1 : n;
}

/* The same value all along: a line that is no limit. */
static curve level(report_page *p, size_t n, double value)
{
    curve c = {.any = isfinite(value)};
    c.values = c.any && n ? conure_calloc(n, sizeof *c.values) : NULL;
    c.n = c.values ? n : 0;
    p->out->failed = p->out->failed || (c.any && n && !c.values);
    for (size_t i = 0; i < c.n; i++)
        c.values[i] = value;
    return c;
}

/* An infinite error is null in JSON, as one that was not compared; encoder_output is compared in every chunk. */
static void show_infinite(curve *c, const json_t *run)
{
    for (size_t i = 0; i < c->n && report_number_at(run, "tensors.encoder_output.not_finite") > 0; i++)
        c->values[i] = isnan(c->values[i]) ? INFINITY : c->values[i];
}

static void plot_output(report_page *p, const json_t *run, const curve *chunks, bool closed)
{
    char drift[160];
    conure_plot_limit limits[1];
    conure_plot_fit fit;
    curve errors = curve_of(p, run, "encoder_output");
    show_infinite(&errors, run);
    const curve floor = level(p, errors.n, report_number_at(p->stages, "noise.reference.tensors.encoder_output.max"));
    const conure_plot_series series[] = {series_of(&errors, chunks, "largest error of a chunk"), series_of(&floor, chunks, "noise of float32")};
    const conure_plot plot = {.title = closed ? "encoder_output, closed loop" : "encoder_output, functional", .x_label = "chunk",
                              .y_label = "absolute difference", .log = true, .limits = limits,
                              .n_limits = add_limit(limits, 0, "limit", limit_of(run, "encoder_output"))};
    report_draw_lines(p, &plot, series, floor.n ? 2 : 1, closed && fit_of(&errors, chunks, &fit, drift) ? &fit : NULL);
    free(errors.values);
    free(floor.values);
}

static void plot_caches(report_page *p, const json_t *run, const curve *chunks, bool closed)
{
    conure_plot_limit limits[2];
    const curve channel = curve_of(p, run, "cache_last_channel"), time = curve_of(p, run, "cache_last_time");
    const conure_plot_series series[] = {series_of(&channel, chunks, "cache_last_channel"), series_of(&time, chunks, "cache_last_time")};
    size_t n = add_limit(limits, 0, "limit, cache_last_channel", limit_of(run, "cache_last_channel"));
    n = add_limit(limits, n, "limit, cache_last_time", limit_of(run, "cache_last_time"));
    const conure_plot plot = {.title = closed ? "Caches, closed loop" : "Caches, functional", .x_label = "chunk",
                              .y_label = "absolute difference", .log = true, .limits = limits, .n_limits = n};
    if (channel.any || time.any)
        report_draw_lines(p, &plot, series, 2, NULL);
    free(channel.values);
    free(time.values);
}

static void plot_lengths(report_page *p, const json_t *run, const curve *chunks)
{
    static const conure_plot plot = {.title = "Valid rows of the attention cache", .x_label = "chunk", .y_label = "rows"};
    const curve reference = curve_of(p, run, "reference_cache_length"), candidate = curve_of(p, run, "cache_length");
    const conure_plot_series series[] = {series_of(&reference, chunks, "by the rule (reference)"), series_of(&candidate, chunks, "candidate")};
    if (reference.any || candidate.any)
        report_draw_lines(p, &plot, series, 2, NULL);
    free(reference.values);
    free(candidate.values);
}

/* Largest of a series: what the judge looks at. */
static double largest(report_page *p, const json_t *run, const char *key)
{
    const curve c = curve_of(p, run, key);
    double most = NAN;
    for (size_t i = 0; i < c.n; i++)
        most = c.values[i] <= most || isnan(c.values[i]) ? most : c.values[i];
    free(c.values);
    return most;
}

/* Tensors side by side: so it fits a phone.  Maxima are those of the series, which the judge looks at. */
static void statistics(report_page *p, const json_t *run, const char *caption)
{
    static const struct {
        const char *what, *of_series, *member; /* of_series: what follows the name there */
    } rows[] = {{"Largest", "", NULL}, {"Limit", NULL, "limits.absolute_max"}, {"p99", NULL, "p99"}, {"p95", NULL, "p95"},
                {"Limit of p95", NULL, "limits.absolute_p95"}, {"p50", NULL, "p50"}, {"Mean", NULL, "mean"},
                {"Largest, relative", "_relative", NULL}, {"Limit, relative", NULL, "limits.relative_max"}, {"Values", NULL, "count"},
                {"Not finite", NULL, "not_finite"}, {"Chunks", NULL, "chunks"}, {"Chunks beyond a limit", NULL, "bad_chunks"},
                {"First of these", NULL, "first_bad.chunk"}, {"Its worst value, place", NULL, "first_bad.index"}};
    const char *columns[CONURE_MEASURED + 1] = {"Difference"};
    const report_table table = {.caption = caption, .columns = columns, .n_columns = CONURE_MEASURED + 1};
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        columns[m + 1] = conure_measured_name(m);
    report_open_table(p, &table);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        report_cell(p, REPORT_HEAD, rows[i].what);
        for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
            const char *name = conure_measured_name(m);
            report_cell_number(p, rows[i].member ? report_number_at(report_at(report_at(run, "tensors"), name), rows[i].member)
                                                 : largest(p, run, report_line(p, "%s%s", name, rows[i].of_series)));
        }
    }
    report_close_table(p);
}

static void parity(report_page *p, const char *stage, bool closed)
{
    const json_t *run = json_object_get(p->stages, stage);
    if (!json_is_object(json_object_get(run, "tensors")))
        return;
    const curve chunks = curve_of(p, run, "chunk");
    p->format->heading(p, 3, NULL, closed ? "Every chunk from the candidate's own state (closed loop)" : "Every chunk from the reference's state "
                                                                                                         "(functional parity)");
    p->format->figures(p, true);
    plot_output(p, run, &chunks, closed);
    plot_caches(p, run, &chunks, closed);
    if (closed)
        plot_lengths(p, run, &chunks);
    p->format->figures(p, false);
    statistics(p, run, closed ? "Differences, closed loop" : "Differences, functional");
    free(chunks.values);
}

/* ---- distances from float64 ------------------------------------------------------------------- */

static void noise(report_page *p)
{
    static const char *const columns[] = {"Tensor", "Noise (reference)", "Candidate", "Ratio", "Limit"};
    static const report_table table = {.caption = "Largest distance from float64", .columns = columns, .n_columns = 5};
    static const conure_plot plot = {.title = "Distance from float64", .x_label = "tensor", .y_label = "largest difference", .log = true};
    const json_t *stage = json_object_get(p->stages, "noise");
    double values[2][CONURE_MEASURED];
    static const char *const short_names[] = {"output", "channel cache", "time cache"};
    const char *names[CONURE_MEASURED];
    if (!json_is_object(json_object_get(stage, "reference")))
        return;
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        names[m] = conure_measured_name(m);
        for (int i = 0; i < 2; i++)
            values[i][m] = report_number_at(report_at(report_at(stage, i ? "candidate.tensors" : "reference.tensors"), names[m]), "max");
    }
    const conure_plot_bar_set sets[] = {{"noise: reference in float32", values[0]}, {"candidate", values[1]}};
    p->format->heading(p, 3, NULL, "Distance from float64 (noise)");
    if (p->format->draws) { /* the table below has the same numbers */
        p->format->figures(p, true);
        report_draw_bars(p, &plot, sets, 2, CONURE_MEASURED, short_names);
        p->format->figures(p, false);
    }
    report_open_table(p, &table);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        report_cell(p, REPORT_HEAD, names[m]);
        report_cell_number(p, values[0][m]);
        report_cell_number(p, values[1][m]);
        report_cell_number(p, values[0][m] > 0 ? values[1][m] / values[0][m] : NAN);
        report_cell_number(p, json_is_true(json_object_get(stage, "ratio_judged")) ? report_number_at(stage, "ratio_max") : NAN);
    }
    report_close_table(p);
}

void report_measured(report_page *p)
{
    p->format->heading(p, 2, "measured", "What was measured");
    if (json_object_size(p->stages) == 0)
        p->format->paragraph(p, "Nothing.");
    parity(p, "functional", false);
    parity(p, "closed_loop", true);
    noise(p);
}

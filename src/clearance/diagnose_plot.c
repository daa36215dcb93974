/* diagnose_plot.c - a diagnosis as plots; see diagnose.h. */
#include "clearance/diagnose.h"
#include "clearance/plot.h"
#include "clearance/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 1 << 24 }; /* a short file can claim a large table */

static const json_t *inside(const json_t *object, const char *a, const char *b, const char *c)
{
    const char *const path[] = {a, b, c};
    for (size_t i = 0; i < 3 && path[i]; i++)
        object = json_object_get(object, path[i]);
    return object;
}

static double value_of(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : json_is_string(value) ? INFINITY : NAN;
}

/* The numbers of a list, to be freed; NULL when there are none. */
static double *numbers_of(const json_t *list, size_t *n, conure_buffer *out)
{
    *n = json_array_size(list);
    double *values = *n ? conure_calloc(*n, sizeof *values) : NULL;
    out->failed = out->failed || (*n && !values);
    *n = values ? *n : 0;
    for (size_t i = 0; i < *n; i++)
        values[i] = value_of(json_array_get(list, i));
    return values;
}

/* ---- errors ----------------------------------------------------------------------------------- */

/* Layers of both caches side by side; what a cache lacks is a gap. */
static bool layers(conure_buffer *out, const json_t *diagnosis)
{
    static const char *const names[2] = {"cache_last_channel", "cache_last_time"};
    const json_t *errors = json_object_get(diagnosis, "errors");
    conure_plot_bar_set sets[2];
    double *values[2];
    size_t n[2], n_sets = 0, n_layers = 0;
    for (size_t i = 0; i < 2; i++) {
        values[i] = numbers_of(inside(inside(errors, names[i], "valid", "by"), "layer", "max", NULL), &n[i], out);
        if (values[i] && (n_layers == 0 || n[i] == n_layers)) {
            sets[n_sets++] = (conure_plot_bar_set){names[i], values[i]};
            n_layers = n[i];
        }
    }
    const conure_plot plot = {.title = "error by layer", .x_label = "layer", .y_label = "largest difference, valid places", .log = true};
    if (n_sets)
        conure_plot_bars(out, &plot, sets, n_sets, n_layers, NULL, NULL);
    free(values[0]);
    free(values[1]);
    return n_sets > 0;
}

static bool heat(conure_buffer *out, const json_t *table, const conure_plot *plot)
{
    const size_t rows = json_array_size(table), cols = json_array_size(json_array_get(table, 0));
    if (rows == 0 || cols == 0 || rows > CELLS_MAX / cols)
        return false;
    double *values = conure_calloc(rows * cols, sizeof *values);
    if (!values) {
        out->failed = true;
        return false;
    }
    for (size_t i = 0; i < rows * cols; i++)
        values[i] = value_of(json_array_get(json_array_get(table, i / cols), i % cols));
    const conure_plot_grid grid = {.values = values, .rows = rows, .cols = cols, .value_label = "largest absolute difference"};
    conure_plot_heat(out, plot, &grid);
    free(values);
    return true;
}

static bool positions(conure_buffer *out, const json_t *diagnosis)
{
    const conure_plot plot = {.title = "cache_last_time: layer by position", .x_label = "position", .y_label = "layer", .log = true};
    return heat(out, inside(inside(diagnosis, "errors", "cache_last_time", "all"), "table", NULL, NULL), &plot);
}

static bool rows(conure_buffer *out, const json_t *diagnosis)
{
    const conure_plot plot = {.title = "cache_last_channel: layer by row", .x_label = "row", .y_label = "layer", .log = true};
    return heat(out, inside(inside(diagnosis, "errors", "cache_last_channel", "all"), "table", NULL, NULL), &plot);
}

static bool channels(conure_buffer *out, const json_t *diagnosis)
{
    const json_t *by = inside(inside(diagnosis, "errors", "cache_last_time", "valid"), "by", "channel", NULL);
    size_t n;
    double *values = numbers_of(json_object_get(by, "max"), &n, out);
    const conure_plot plot = {.title = "cache_last_time by channel", .x_label = "channel", .y_label = "largest difference, valid positions",
                              .log = true};
    if (n)
        conure_plot_lines(out, &plot, &(conure_plot_series){.name = "all layers", .y = values, .n = n}, 1, NULL);
    free(values);
    return n > 0;
}

static bool frames(conure_buffer *out, const json_t *diagnosis)
{
    const json_t *by = inside(inside(diagnosis, "errors", "encoder_output", "all"), "by", "frame", NULL);
    size_t n;
    double *values = numbers_of(json_object_get(by, "max"), &n, out);
    const conure_plot plot = {.title = "encoder_output by frame", .x_label = "frame", .y_label = "largest absolute difference", .log = true};
    if (n > 1) /* one bar shows nothing */
        conure_plot_bars(out, &plot, &(conure_plot_bar_set){"encoder_output", values}, 1, n, NULL, NULL);
    free(values);
    return n > 1;
}

/* ---- sensitivity ------------------------------------------------------------------------------ */

static const char *label_of(const char *name)
{
    for (conure_probe probe = 0; probe < CONURE_PROBES; probe++)
        if (name && strcmp(name, conure_probe_name(probe)) == 0)
            return conure_probe_label(probe);
    return name ? name : "";
}

static bool sensitivity(conure_buffer *out, const json_t *diagnosis, const char *engine, const char *title)
{
    static const char *const cols[CONURE_MEASURED] = {"encoder", "channel", "time"};
    const json_t *inputs = inside(diagnosis, "sensitivity", engine, NULL);
    const size_t n = json_array_size(inputs);
    const char *names[CONURE_PROBES];
    double values[CONURE_PROBES * CONURE_MEASURED];
    if (n == 0 || n > CONURE_PROBES)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *input = json_array_get(inputs, i);
        names[i] = label_of(json_string_value(json_object_get(input, "input")));
        for (conure_measured m = 0; m < CONURE_MEASURED; m++)
            values[i * CONURE_MEASURED + m] = value_of(inside(input, "outputs", conure_measured_name(m), "relative"));
    }
    const conure_plot plot = {.title = title, .x_label = "output", .y_label = "input that was changed", .log = true};
    const conure_plot_grid grid = {.values = values, .rows = n, .cols = CONURE_MEASURED, .row_names = names, .col_names = cols,
                                   .value_label = "change of the output, relative to its size"};
    conure_plot_heat(out, &plot, &grid);
    return true;
}

static bool sensitivity_candidate(conure_buffer *out, const json_t *diagnosis)
{
    return sensitivity(out, diagnosis, "candidate", "sensitivity of the candidate");
}

static bool sensitivity_reference(conure_buffer *out, const json_t *diagnosis)
{
    return sensitivity(out, diagnosis, "reference", "sensitivity of the reference");
}

/* ---- propagation ------------------------------------------------------------------------------ */

typedef struct followed_series {
    const char *of, *tensor, *name;
} followed_series;

static bool propagation(conure_buffer *out, const json_t *diagnosis, const followed_series *what, size_t n, const char *title)
{
    const json_t *all = json_object_get(diagnosis, "propagation");
    conure_plot_series series[6];
    double *values[6] = {NULL}, *x;
    size_t n_x, n_series = 0;
    x = numbers_of(json_object_get(all, "chunks"), &n_x, out);
    for (size_t i = 0; i < n; i++) {
        size_t n_y;
        values[i] = numbers_of(inside(all, what[i].of, what[i].tensor, NULL), &n_y, out);
        if (x && values[i] && n_y == n_x)
            series[n_series++] = (conure_plot_series){.name = what[i].name, .x = x, .y = values[i], .n = n_y};
    }
    const conure_plot plot = {.title = title, .x_label = "chunk", .y_label = "largest absolute difference", .log = true};
    if (n_series)
        conure_plot_lines(out, &plot, series, n_series, NULL);
    for (size_t i = 0; i < n; i++)
        free(values[i]);
    free(x);
    return n_series > 0;
}

static bool propagation_encoder(conure_buffer *out, const json_t *diagnosis)
{
    static const followed_series what[] = {{"candidate", "encoder_output", "perturbed state, candidate"},
                                           {"reference", "encoder_output", "perturbed state, reference"},
                                           {"error", "encoder_output", "candidate against reference"}};
    return propagation(out, diagnosis, what, 3, "encoder_output after a perturbation");
}

static bool propagation_caches(conure_buffer *out, const json_t *diagnosis)
{
    static const followed_series what[] = {{"candidate", "cache_last_channel", "channel, perturbed, candidate"},
                                           {"reference", "cache_last_channel", "channel, perturbed, reference"},
                                           {"error", "cache_last_channel", "channel, candidate against reference"},
                                           {"candidate", "cache_last_time", "time, perturbed, candidate"},
                                           {"reference", "cache_last_time", "time, perturbed, reference"},
                                           {"error", "cache_last_time", "time, candidate against reference"}};
    return propagation(out, diagnosis, what, 6, "caches after a perturbation");
}

static const struct {
    const char *name;
    bool (*draw)(conure_buffer *out, const json_t *diagnosis);
} plots[CONURE_DIAGNOSE_PLOTS] = {{"errors_layers", layers}, {"errors_time", positions}, {"errors_time_channels", channels},
                                  {"errors_channel", rows}, {"errors_frames", frames}, {"sensitivity_candidate", sensitivity_candidate},
                                  {"sensitivity_reference", sensitivity_reference}, {"propagation_encoder", propagation_encoder},
                                  {"propagation_caches", propagation_caches}};

const char *conure_diagnose_plot_name(size_t plot)
{
    return plots[plot].name;
}

bool conure_diagnose_plot(conure_buffer *out, const json_t *diagnosis, size_t plot)
{
    return plots[plot].draw(out, diagnosis);
}

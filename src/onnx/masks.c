/* masks.c - what all layers of the encoder share: masks, relative positions, and where the caches are cut. */
#include "onnx/encoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- who may see whom ------------------------------------------------------------------------- */

/* 1 where a row of the cache is valid: the last length of them, [B][1][1][C]. */
static conure_value cache_mask(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const int64_t dims[1] = {e->cache_rows};
    int32_t *age = conure_graph_alloc(g, e->cache_rows * sizeof *age); /* a row is valid when at least so many are */
    for (uint32_t i = 0; age && i < e->cache_rows; i++)
        age[i] = (int32_t)(e->cache_rows - i);
    const conure_value ages = conure_int32s(g, "cache_ages", age, 1, dims);
    const conure_value length = conure_cast(g, "cache_length_int32", e->cache_length, CONURE_ONNX_INT32);
    const conure_value valid = conure_op(g, "LessOrEqual", "cache_within", ages, conure_unsqueeze(g, "cache_length_4d", length, 1, 2, 3));
    return conure_cast(g, "cache_mask", valid, conure_graph_type(g));
}

/* a <= limit as 1 and 0, [T'][N]. */
static conure_value at_most(conure_encoder_parts *e, const char *label, conure_value a, int32_t limit)
{
    char name[64];
    snprintf(name, sizeof name, "%s_bool", label);
    const conure_value low = conure_op(e->g, "LessOrEqual", name, a, conure_int32(e->g, limit));
    return conure_cast(e->g, label, low, conure_graph_type(e->g));
}

/* What the configuration's context rule comes to: a key may lie at most left units behind a query and right before it, -1 any
 * number; a unit is a frame or a chunk of several. */
typedef struct context_rule {
    int32_t left, right, unit;
} context_rule;

static context_rule context_of(const conure_config *c)
{
    const int32_t chunk = c->att_right + 1;
    if (c->att_style != CONURE_CHUNKED_LIMITED)
        return (context_rule){c->att_left, c->att_right, 1};
    if (c->att_right < 0)
        return (context_rule){c->att_left, -1, 1};
    return (context_rule){c->att_left >= 0 ? c->att_left / chunk : 10000, 0, chunk};
}

/* As a table, where T' is known. */
static conure_value context_table(conure_encoder_parts *e, context_rule rule)
{
    const int64_t dims[2] = {e->rows_max, conure_encoder_keys_most(e)};
    float *table = conure_calloc((size_t)dims[0], (size_t)dims[1] * sizeof *table);
    if (!table)
        conure_graph_fail(e->g, CONURE_NO_MEMORY, "out of memory for a mask");
    for (int64_t i = 0; table && i < dims[0]; i++)
        for (int64_t j = 0; j < dims[1]; j++) {
            const int64_t behind = (i + e->cache_rows) / rule.unit - j / rule.unit;
            table[i * dims[1] + j] = (rule.left < 0 || behind <= rule.left) && (rule.right < 0 || -behind <= rule.right);
        }
    const conure_value out = conure_floats(e->g, "context", table, 2, dims);
    free(table);
    return out;
}

static conure_value keys_scalar(conure_encoder_parts *e)
{
    if (!e->n_keys_scalar)
        e->n_keys_scalar = conure_op(e->g, "Squeeze", "n_keys_scalar", e->n_keys);
    return e->n_keys_scalar;
}

/* The context rule, [T'][N]; NULL when everything is allowed. */
static conure_value context_mask(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const context_rule rule = context_of(e->c);
    if (rule.left < 0 && rule.right < 0)
        return NULL;
    if (e->rows_fixed)
        return context_table(e, rule);
    const conure_value end = conure_cast(g, "n_keys_int32", keys_scalar(e), CONURE_ONNX_INT32);
    conure_value keys = conure_op(g, "Range", "keys", conure_int32(g, 0), end, conure_int32(g, 1));
    if (rule.unit > 1)
        keys = conure_op(g, "Div", "keys_chunk", keys, conure_int32(g, rule.unit));
    conure_value queries = keys;
    if (e->cache_rows)
        queries = conure_slice(g, "queries", keys, 0, conure_ints(g, e->cache_rows), conure_ints(g, INT64_MAX), 1);
    const conure_value behind = conure_op(g, "Sub", "behind", conure_unsqueeze(g, "queries_2d", queries, 1), keys);
    const conure_value near = rule.left >= 0 ? at_most(e, "within_left", behind, rule.left) : NULL;
    if (rule.right < 0)
        return near;
    const conure_value far = at_most(e, "within_right", conure_op(g, "Neg", "ahead", behind), rule.right);
    return near ? conure_op(g, "Mul", "context", near, far) : far;
}

static void make_pairs(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const conure_value queries = conure_transpose(g, "queries_mask", e->rows_mask, 0, 1, 3, 2);
    conure_value keys = e->rows_mask;
    if (e->cache_rows) {
        const conure_value cached = cache_mask(e);
        keys = conure_concat(g, "keys_mask", 3, cached, e->rows_mask);
    }
    if (e->keys_padding) {
        const conure_value none = conure_op(g, "Expand", "padding_mask", conure_number(g, 0), conure_ints(g, e->plan->batch, 1, 1, e->keys_padding));
        keys = conure_concat(g, "padded_keys_mask", 3, keys, none);
    }
    const conure_value context = context_mask(e);
    e->pairs = conure_op(g, "Mul", context ? "valid_pairs" : "pairs", queries, keys);
    if (context)
        e->pairs = conure_op(g, "Mul", "pairs", e->pairs, context);
    e->pairs_bool = conure_cast(g, "pairs_bool", e->pairs, CONURE_ONNX_BOOL);
    e->conv_mask = e->plan->fusible ? conure_op(g, "Squeeze", "conv_mask", queries, conure_ints(g, 1))
                                 : conure_op(g, "Squeeze", "conv_mask", e->rows_mask, conure_ints(g, 2));
}

/* [B][n][d] of zeros, or flat, of a single stream, [n][d]. */
static conure_value margin(conure_encoder_parts *e, const char *label, conure_value x, uint32_t n, bool flat)
{
    conure_graph *g = e->g;
    char name[64], rows[64];
    if (n == 0)
        return NULL;
    snprintf(name, sizeof name, "%s_shape", label);
    snprintf(rows, sizeof rows, "%s_batch", label);
    const conure_value batch = e->plan->batch ? NULL : conure_size(g, rows, x, 0);
    const conure_value shape = flat    ? conure_ints(g, n, e->c->d_model)
                               : batch ? conure_concat(g, name, 0, batch, conure_ints(g, n, e->c->d_model))
                                       : conure_ints(g, e->plan->batch, n, e->c->d_model);
    return conure_op(g, "Expand", label, conure_number(g, 0), shape);
}

static void make_margins(conure_encoder_parts *e, conure_value x)
{
    const conure_onnx_type type = conure_graph_set_type(e->g, CONURE_ONNX_FLOAT);
    e->margins[0] = margin(e, "margin_before", x, e->conv_left ? 0 : e->c->conv_left, false);
    e->margins[1] = margin(e, "margin_behind", x, e->c->conv_right, false);
    conure_graph_set_type(e->g, type);
    e->memory_margin = margin(e, "memory_margin", x, e->keys_padding, e->memory_axis == 0);
}

/* ---- relative positions ----------------------------------------------------------------------- */

/* e(r) for r = N .. 1 - T' in the graph itself: nothing bounds T, and a table for all of it would be large. */
static void make_waves(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model;
    const int64_t dims[1] = {d / 2};
    const conure_onnx_type type = conure_graph_set_type(g, CONURE_ONNX_FLOAT); /* angles need it */
    float *rates = conure_calloc(d / 2, sizeof *rates);
    for (uint32_t a = 0; rates && a < d / 2; a++) { /* float exponents, as in the model's training; -r times -w */
        const float exponent = (float)(2 * a) * (float)(-log(10000.0) / d);
        rates[a] = -(float)exp((double)exponent);
    }
    if (!rates)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for the positions");
    const conure_value rate = conure_floats(g, "position_rates", rates, 1, dims);
    free(rates);
    const conure_value keys = conure_cast(g, "n_keys_float", keys_scalar(e), CONURE_ONNX_FLOAT);
    conure_value rows = keys;
    if (e->cache_rows)
        rows = conure_cast(g, "rows_float", conure_op(g, "Squeeze", "position_rows", e->rows), CONURE_ONNX_FLOAT);
    const conure_value first = conure_op(g, "Neg", "position_first", keys);
    const conure_value r = conure_op(g, "Range", "positions", first, rows, conure_number(g, 1));
    const conure_value angle = conure_op(g, "Mul", "angles", conure_unsqueeze(g, "positions_2d", r, 1), rate);
    const conure_value sine = conure_op(g, "Sin", "sines", angle), cosine = conure_op(g, "Cos", "cosines", angle);
    e->waves_wide = conure_concat(g, "waves", 1, sine, cosine);
    conure_graph_set_type(g, type);
}

conure_value conure_encoder_waves(conure_encoder_parts *e)
{
    if (conure_graph_type(e->g) == CONURE_ONNX_FLOAT)
        return e->waves_wide;
    if (!e->waves)
        e->waves = conure_cast(e->g, ":shared.waves_narrow", e->waves_wide, conure_graph_type(e->g));
    return e->waves;
}

/* ---- sizes ------------------------------------------------------------------------------------ */

/* max(0, T' + by) */
static conure_value rows_plus(conure_encoder_parts *e, const char *label, int64_t by)
{
    char name[64];
    if (e->rows_fixed)
        return conure_ints(e->g, (int64_t)e->rows_max + by > 0 ? (int64_t)e->rows_max + by : 0);
    if (by == 0)
        return e->rows;
    if (by > 0)
        return conure_op(e->g, "Add", label, e->rows, conure_ints(e->g, by));
    snprintf(name, sizeof name, "%s_or_less", label);
    return conure_op(e->g, "Max", label, conure_op(e->g, "Add", name, e->rows, conure_ints(e->g, by)), conure_ints(e->g, 0));
}

/* A size and a number behind it. */
static conure_value size_plus(conure_encoder_parts *e, const char *label, conure_value size, int64_t known, int64_t by)
{
    return e->rows_fixed ? conure_ints(e->g, known + by) : conure_op(e->g, "Add", label, size, conure_ints(e->g, by));
}

/* Stand for sizes in a shape. */
enum { ROWS = -2, KEYS = -3, POSITIONS = -4 };

#define shape_of(e, label, ...) shape_of_((e), (label), CONURE_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__})
static conure_value shape_of_(conure_encoder_parts *e, const char *label, size_t n, const int64_t *list)
{
    enum { AXES_MAX = 4 };
    const int64_t rows = e->rows_max, keys = conure_encoder_keys_most(e), positions = conure_encoder_positions_most(e);
    int64_t known[AXES_MAX];
    conure_value parts[AXES_MAX];
    assert(n <= AXES_MAX);
    for (size_t i = 0; i < n; i++) {
        known[i] = list[i] == ROWS ? rows : list[i] == KEYS ? keys : list[i] == POSITIONS ? positions : list[i];
        if (!e->rows_fixed)
            parts[i] = list[i] == ROWS ? e->rows : list[i] == KEYS ? e->n_keys : list[i] == POSITIONS ? e->n_positions : conure_ints(e->g, list[i]);
    }
    return e->rows_fixed ? conure_ints_(e->g, n, known) : conure_concat_(e->g, label, 0, n, parts);
}

/* Shapes that depend on T' or N. */
static void make_shapes(conure_encoder_parts *e)
{
    const int64_t d = e->c->d_model, heads = e->c->n_heads;
    e->shift_shape = shape_of(e, "shift_shape", 0, 0, ROWS, -1);
    const bool fusible = e->plan->fusible;
    /* Zeros: as it was, so that readers go on knowing that sizes are the same. */
    e->trunk_shape = fusible ? conure_ints(e->g, -1, d) : e->absorbed ? shape_of(e, "trunk_shape", -1, ROWS, d) : conure_ints(e->g, 0, 0, d);
    if (fusible)
        e->rows_shape = shape_of(e, "rows_3d_shape", -1, ROWS, d);
    e->positions_shape = shape_of(e, "positions_4d_shape", heads, -1, ROWS, POSITIONS);
    if (e->cache_rows)
        e->fresh_shape = e->plan->contract->layer_first ? shape_of(e, "fresh_shape", 1, -1, ROWS, d) : shape_of(e, "fresh_shape", -1, 1, ROWS, d);
    if (!e->absorbed) {
        e->heads_shape = fusible ? shape_of(e, "heads_shape", -1, ROWS, heads, d / heads) : conure_ints(e->g, 0, 0, heads, d / heads);
        e->keys_shape = fusible || e->cache_rows ? shape_of(e, "keys_4d_shape", -1, KEYS, heads, d / heads) : e->heads_shape;
        return;
    }
    e->flat_shape = e->memory_axis == 0 ? shape_of(e, "flat_shape", -1, KEYS) : shape_of(e, "flat_shape", 0, -1, KEYS);
    e->queries_shape = shape_of(e, "queries_shape", -1, heads, ROWS, KEYS);
    e->wide_shape = shape_of(e, "wide_shape", -1, heads, ROWS, d);
    e->turned_shape = shape_of(e, "turned_shape", heads, -1, ROWS, d);
}

/* keep = max(0, T' - drop) rows enter the attention cache, and as many leave it.  The time cache ends before the next
 * step's first frame, or under NeMo's rule conv_right columns later, where there may be none yet. */
static void make_cuts(conure_encoder_parts *e)
{
    const int64_t late = e->plan->contract->time_cache_aligned ? 0 : e->c->conv_right, by = late - (int64_t)e->cache_drop;
    const int64_t rows = e->rows_max, keep = rows - (int64_t)e->cache_drop, start = rows + by;
    e->keep = rows_plus(e, "keep", -(int64_t)e->cache_drop);
    e->keep_end = size_plus(e, "keep_end", e->keep, keep > 0 ? keep : 0, e->cache_rows);
    e->time_start = rows_plus(e, "time_start", by);
    e->time_end = size_plus(e, "time_end", e->time_start, start > 0 ? start : 0, e->conv_left);
    e->time_padding = by > 0 ? (uint32_t)by : 0;
}

conure_value conure_encoder_pairs(conure_encoder_parts *e)
{
    if (conure_graph_type(e->g) == e->plan->type)
        return e->pairs;
    if (!e->pairs_wide)
        e->pairs_wide = conure_cast(e->g, ":shared.pairs_wide", e->pairs, CONURE_ONNX_FLOAT);
    return e->pairs_wide;
}

conure_value conure_encoder_conv_mask(conure_encoder_parts *e)
{
    if (conure_graph_type(e->g) == e->plan->type)
        return e->conv_mask;
    if (!e->conv_mask_wide)
        e->conv_mask_wide = conure_cast(e->g, ":shared.conv_mask_wide", e->conv_mask, CONURE_ONNX_FLOAT);
    return e->conv_mask_wide;
}

/* NeMo's -10000, or low enough to leave nothing.  Padding is always the latter: it must not take from keys whose scores are lower than -10000. */
conure_value conure_encoder_hidden(conure_encoder_parts *e, bool half)
{
    const uint32_t n = conure_encoder_keys_most(e);
    const int64_t dims[1] = {n};
    const double lowest = half ? -65504 : -3e38;
    if (e->plan->mask_exact || !e->keys_padding)
        return conure_number(e->g, e->plan->mask_exact ? lowest : -10000);
    if (e->hidden[half])
        return e->hidden[half];
    float *scores = conure_graph_alloc(e->g, n * sizeof *scores);
    for (uint32_t i = 0; scores && i < n; i++)
        scores[i] = i < n - e->keys_padding ? -10000.0f : (float)lowest;
    return e->hidden[half] = conure_floats(e->g, half ? "hidden_scores_half" : "hidden_scores", scores, 1, dims);
}

float conure_encoder_seen(const conure_encoder_parts *e, uint32_t layer, const char *part)
{
    char name[128];
    snprintf(name, sizeof name, "encoder.layers.%u.%s.weight", layer, part);
    return e->plan->seen ? conure_observed_input(e->plan->seen, name) : 0;
}

void conure_encoder_shared(conure_encoder_parts *e, conure_value x)
{
    conure_graph *g = e->g;
    conure_graph_scope(g, "shared.");
    e->rows = e->rows_fixed ? conure_ints(g, e->rows_max) : conure_size(g, "rows", x, 1);
    e->n_keys = e->rows;
    if (e->cache_rows || e->keys_padding)
        e->n_keys = size_plus(e, "n_keys", e->rows, e->rows_max, e->cache_rows + e->keys_padding);
    if (!e->rows_fixed)
        e->n_positions = conure_op(g, "Add", "n_positions", e->rows, e->n_keys);
    make_shapes(e);
    make_pairs(e);
    if (e->plan->fusible)
        make_margins(e, x);
    if (!e->rows_max) {
        make_waves(e);
    } else if (!e->rows_fixed) { /* a table's columns are r = N .. 1 - T' of the largest T' */
        e->table_start = conure_op(g, "Sub", "table_start", conure_ints(g, e->rows_max), e->rows);
        e->table_end = conure_op(g, "Add", "table_end", e->rows, conure_ints(g, (int64_t)e->rows_max + e->cache_rows));
    }
    if (e->plan->contract)
        make_cuts(e);
}

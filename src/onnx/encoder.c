/* encoder.c - the encoder's interface around its layers: inputs, lengths, caches in and out. */
#include "onnx/encoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t rows_of(uint32_t frames, uint32_t drop)
{
    const uint32_t rows = frames / CONURE_FACTOR + (frames % CONURE_FACTOR != 0);
    return rows > drop ? rows - drop : 0;
}

/* One graph has one drop_extra, and rows that a step does not have cannot leave its cache. */
static conure_status check_contract(const conure_contract *k, conure_error *err)
{
    const conure_streaming *s = &k->streaming;
    if (s->drop_extra[0] != s->drop_extra[1])
        return conure_fail(err, CONURE_UNSUPPORTED, "the contract drops %u encoder frames of the first step and %u of later ones, and a graph "
                           "does not know which step it is: derive the contract with --schedule export", s->drop_extra[0], s->drop_extra[1]);
    if (!s->cache_rows || !k->conv_left)
        return conure_fail(err, CONURE_UNSUPPORTED, "the contract has %u cached rows and %u cached columns of the convolution: a streaming "
                           "graph needs some of both", s->cache_rows, k->conv_left);
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_profile *p = &k->profiles[i];
        const uint32_t rows = rows_of(p->t_min, s->drop_extra[1]);
        if (rows == 0)
            return conure_fail(err, CONURE_UNSUPPORTED, "profile %s: of %u mel frames no row is left once %u are dropped", p->name, p->t_min,
                               s->drop_extra[1]);
        if (k->keep_negative && rows < s->cache_drop)
            return conure_fail(err, CONURE_UNSUPPORTED, "profile %s: %u mel frames keep a negative number of rows (%u less %u), under which "
                               "NeMo's cache loses rows: derive the contract with --negative-keep clamped", p->name, p->t_min, rows,
                               s->cache_drop);
    }
    return CONURE_OK;
}

conure_status conure_encoder_plan_make(conure_encoder_plan *out, const conure_config *config, const conure_contract *contract,
                                       conure_mask mask, uint32_t frames_max, conure_error *err)
{
    *out = (conure_encoder_plan){.contract = contract, .frames_min = 1, .frames_max = frames_max, .type = CONURE_ONNX_FLOAT,
                                  .io = CONURE_ONNX_FLOAT, .caches = CONURE_ONNX_FLOAT};
    out->mask_exact = (mask ? mask : config->mask) == CONURE_MASK_EXACT;
    if (!contract)
        return CONURE_OK;
    out->mask_exact = contract->mask_exact;
    if (mask && (mask == CONURE_MASK_EXACT) != contract->mask_exact)
        return conure_fail(err, CONURE_BAD_ARG, "--mask %s was asked for, and the contract says %s", contract->mask_exact ? "nemo" : "exact",
                           contract->mask_exact ? "exact" : "nemo");
    out->frames_min = out->frames_max = contract->profiles[0].t_max;
    for (uint32_t i = 0; i < contract->n_profiles; i++) {
        const conure_profile *p = &contract->profiles[i];
        out->frames_min = p->t_min < out->frames_min ? p->t_min : out->frames_min;
        out->frames_max = p->t_max > out->frames_max ? p->t_max : out->frames_max;
    }
    return check_contract(contract, err);
}

bool conure_encoder_overflows(const conure_observations *seen, int32_t layer)
{
    return conure_observed_most(seen, layer) > CONURE_F16_MOST;
}

void conure_encoder_plan_narrow(conure_encoder_plan *plan, conure_precision precision, const conure_observations *seen, bool narrow_io,
                                bool narrow_caches)
{
    plan->type = precision == CONURE_PRECISION_F16 ? CONURE_ONNX_FLOAT16 : precision == CONURE_PRECISION_BF16 ? CONURE_ONNX_BFLOAT16
                                                                                                              : CONURE_ONNX_FLOAT;
    plan->int8 = precision == CONURE_PRECISION_INT8 ? CONURE_INT8_WHOLE : CONURE_INT8_NONE;
    plan->seen = seen;
    plan->io = narrow_io ? plan->type : CONURE_ONNX_FLOAT;
    if (plan->contract && narrow_caches)
        plan->caches = plan->int8 != CONURE_INT8_NONE ? CONURE_ONNX_INT8 : plan->type;
}

bool conure_encoder_is_wide(const conure_encoder_plan *plan, int32_t layer)
{
    if (plan->type == CONURE_ONNX_BFLOAT16)
        return layer < 0; /* no convolution in bfloat16 before opset 22 */
    return plan->type == CONURE_ONNX_FLOAT16 && plan->seen && conure_encoder_overflows(plan->seen, layer);
}

uint32_t conure_encoder_n_wide(const conure_encoder_plan *plan, uint32_t n_layers)
{
    uint32_t n = 0;
    for (int32_t i = -1; i < (int32_t)n_layers; i++)
        n += conure_encoder_is_wide(plan, i);
    return n;
}

/* ---- lengths ---------------------------------------------------------------------------------- */

/* min(max(0, ceil(length / 8) - drop), valid_out); the first sum of it makes the division round up. */
static void make_lengths(conure_encoder_parts *e, const char *name)
{
    conure_graph *g = e->g;
    char whole[80];
    snprintf(whole, sizeof whole, ":%s", name);
    conure_value up = conure_ints(g, CONURE_FACTOR - 1 - (int64_t)CONURE_FACTOR * e->drop_first);
    if (e->plan->drop_input)
        up = conure_op(g, "Sub", "up", conure_ints(g, CONURE_FACTOR - 1), e->drop_frames);
    const conure_value sum = conure_op(g, "Add", "length_up", e->length, up);
    conure_value n = conure_op(g, "Div", e->drop || e->valid_out ? "length_rows" : whole, sum, conure_ints(g, CONURE_FACTOR));
    if (e->drop)
        n = conure_op(g, "Max", e->valid_out ? "length_clamped" : whole, n, conure_ints(g, 0));
    if (e->valid_out)
        conure_op(g, "Min", whole, n, conure_ints(g, e->valid_out));
}

/* Few rows leave most of a GPU without work: a product with W [1024][1024] of 6 rows has 32 tiles for 132 processors, which walk through k
 * alone.  In parts there are more tiles with less to walk through, and adding them up costs little where the next kernel begins anyhow.  Of two
 * layers of d = 1024 on an H200 a step of f16 took 0.213 ms in place of 0.241.  The nodes cost time when a plan is built. */
uint32_t conure_encoder_parts_for(const conure_encoder_parts *e, uint32_t n, uint32_t k)
{
    enum { ROWS_FEW = 32, PARTS_NARROW = 2, PARTS_DEEP = 4 };
    const uint32_t parts = k > e->c->d_model ? PARTS_DEEP : PARTS_NARROW;
    const bool few = e->plan->fusible && e->rows_fixed && e->plan->batch && (uint64_t)e->plan->batch * e->rows_max <= ROWS_FEW;
    return few && !e->plan->int8 && n <= 2 * k && k % parts == 0 ? parts : 1;
}

bool conure_encoder_is_half(const conure_encoder_parts *e, int32_t layer)
{
    const bool held_wide = e->plan->seen && conure_encoder_overflows(e->plan->seen, layer);
    return e->plan->type == CONURE_ONNX_FLOAT16 ? !held_wide : e->plan->type == CONURE_ONNX_FLOAT && e->plan->halves && !held_wide;
}

/* Where x is float16, its rounding has cost (mean / deviation) 2^-12 of what the norm makes of it: more than the variance loses when it is summed
 * at once, up to a mean of a thousand deviations, where either leaves little.  Seen were 0.2. */
conure_value conure_encoder_norm(conure_encoder_parts *e, uint32_t layer, conure_value x, const char *name)
{
    return conure_layer_norm(e->g, "norm", x, name, e->c->d_model, e->plan->fusible && conure_encoder_is_half(e, (int32_t)layer));
}

enum { ALIGNED = 8 }; /* elements of half precision: 16 bytes, which a GPU reads at once */

uint32_t conure_encoder_keys_most(const conure_encoder_parts *e)
{
    return e->rows_max ? e->rows_max + e->cache_rows + e->keys_padding : 0;
}

uint32_t conure_encoder_positions_most(const conure_encoder_parts *e)
{
    const uint32_t n = e->rows_max ? conure_encoder_keys_most(e) + e->rows_max : 0;
    return e->keys_padding ? (n + ALIGNED - 1) / ALIGNED * ALIGNED : n;
}

/* Rows of scores begin where 16 bytes do when there are a multiple of eight keys, and products read and write eight elements at once. */
static uint32_t padding_of(const conure_encoder_parts *e)
{
    const bool half = e->plan->halves || e->plan->type != CONURE_ONNX_FLOAT;
    if (!e->plan->fusible || !e->rows_fixed || !e->plan->batch || e->plan->int8 || !half)
        return 0;
    return (ALIGNED - (e->rows_max + e->cache_rows) % ALIGNED) % ALIGNED;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static void build(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const conure_contract *k = e->plan->contract;
    const char *out = k ? k->names[CONURE_ROLE_ENCODER] : "outputs", *lengths = k ? k->names[CONURE_ROLE_ENCODED_LENGTH] : "encoded_lengths";
    const char *features = k ? k->names[CONURE_ROLE_FEATURES] : "audio_signal";
    conure_value audio = e->plan->io_rows ? conure_graph_input(g, features, e->plan->io, "%s,T,%u", e->batch, e->c->mel_bins)
                                          : conure_graph_input(g, features, e->plan->io, "%s,%u,T", e->batch, e->c->mel_bins);
    if (e->plan->io_rows)
        audio = conure_transpose(g, ":columns", audio, 0, 2, 1);
    char whole[80];
    e->length = conure_graph_input(g, k ? k->names[CONURE_ROLE_LENGTH] : "length", CONURE_ONNX_INT64, "%s", e->batch);
    if (k)
        conure_encoder_caches_in(e);
    if (e->plan->drop_input) {
        e->drop = conure_graph_input(g, CONURE_ENCODER_DROP, CONURE_ONNX_INT64, "1");
        e->drop_frames = conure_op(g, "Mul", "drop_frames", e->drop, conure_ints(g, CONURE_FACTOR));
    } else if (e->drop_first) {
        e->drop = conure_ints(g, e->drop_first);
        e->drop_frames = conure_ints(g, (int64_t)CONURE_FACTOR * e->drop_first);
    }
    conure_value x = conure_encoder_front(e, audio);
    conure_encoder_shared(e, x);
    if (e->plan->fusible)
        x = conure_reshape(g, ":shared.rows_in", x, e->trunk_shape);
    for (uint32_t i = 0; i < e->c->n_layers; i++)
        x = conure_encoder_layer(e, i, x);
    conure_graph_scope(g, "out.");
    if (e->plan->fusible)
        x = conure_reshape(g, "rows", x, e->rows_shape);
    if (e->valid_out)
        x = conure_slice(g, "valid", x, 1, conure_ints(g, 0), conure_ints(g, e->valid_out), 1);
    x = conure_as(g, "wide", x, e->x_type, e->plan->io);
    snprintf(whole, sizeof whole, ":%s", out);
    if (e->plan->io_rows) {
        conure_op(g, "Identity", whole, x);
        conure_graph_output(g, out, e->plan->io, "%s,T_out,%u", e->batch, e->c->d_model);
    } else {
        conure_transpose(g, whole, x, 0, 2, 1);
        conure_graph_output(g, out, e->plan->io, "%s,%u,T_out", e->batch, e->c->d_model);
    }
    make_lengths(e, lengths);
    conure_graph_output(g, lengths, CONURE_ONNX_INT64, "%s", e->batch);
    if (k)
        conure_encoder_caches_out(e);
}

/* Products of a layer: N d^2 twice for keys and values, or T' d^2 and T' N d for each head, also twice.  Half is the least
 * that is worth the further nodes.  Values of that width are larger, so not in half precision. */
static bool less_absorbed(const conure_encoder_parts *e)
{
    const uint64_t rows = e->rows_max, n = rows + e->cache_rows, d = e->c->d_model;
    return e->cache_rows && e->plan->type == CONURE_ONNX_FLOAT && !e->plan->halves && !e->plan->int8 && 2 * rows * (d + n * e->c->n_heads) <= n * d;
}

void conure_encoder_build(conure_graph *g, const conure_encoder_plan *plan)
{
    const conure_config *c = conure_graph_config(g);
    const conure_contract *k = plan->contract;
    conure_value *parts = conure_calloc(4 * (size_t)c->n_layers, sizeof *parts);
    conure_encoder_parts e = {.g = g, .c = c, .plan = plan};
    if (!parts) {
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
        return;
    }
    snprintf(e.batch, sizeof e.batch, "B");
    if (plan->batch)
        snprintf(e.batch, sizeof e.batch, "%u", plan->batch);
    e.memory_axis = !plan->fusible ? 2 : plan->batch == 1 ? 0 : 1;
    e.channel_in = parts;
    e.time_in = parts + c->n_layers;
    e.channel_out = parts + 2 * (size_t)c->n_layers;
    e.time_out = parts + 3 * (size_t)c->n_layers;
    if (k) {
        e.drop_first = plan->drop_input ? 0 : k->streaming.drop_extra[1];
        e.cache_rows = k->streaming.cache_rows;
        e.cache_drop = k->streaming.cache_drop;
        e.valid_out = k->streaming.valid_out;
        e.conv_left = c->conv_left;
    }
    if (plan->frames_max)
        e.rows_max = rows_of(plan->frames_max, e.drop_first);
    e.rows_fixed = e.rows_max && !plan->drop_input && rows_of(plan->frames_min, e.drop_first) == e.rows_max;
    e.absorbed = less_absorbed(&e);
    e.keys_padding = padding_of(&e);
    conure_graph_set_type(g, plan->type);
    build(&e);
    free(parts);
}

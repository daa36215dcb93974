/* attention.c - attention with relative positions, as nodes.
 *
 * A step of a stream has few queries and many cached rows, which are kept as they were before their projection to keys and
 * values: to project all of them anew is most of its work.  (q Wk) m is q (Wk m) and (a m) Wv is a (m Wv), so where that
 * is less, queries are taken to the width of rows and what was seen is brought back from it, head by head ("absorbed").
 *
 * Scores of a query with all positions, [T'][P] for r = N .. 1 - T', P = T' + N, are laid out anew so that column j of row i
 * is the position of key j: r = N - T' + i - j stands at i P + T' - i + j = T' + i (P - 1) + j.  Without the first T' of
 * all values, rows of P - 1 begin where they should: two reshapes and two slices, no gather. */
#include "onnx/encoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* (bias_of_q + bias) * scale as [H][1][h]: what is added to the scaled products. */
static conure_value query_bias(conure_encoder_parts *e, uint32_t layer, const char *which, double scale)
{
    const uint32_t d = e->c->d_model, heads = e->c->n_heads;
    const int64_t dims[3] = {heads, 1, d / heads};
    char name[128];
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_q.bias", layer);
    float *of_q = e->c->use_bias ? conure_graph_read(e->g, name, d) : NULL;
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.%s", layer, which);
    float *bias = conure_graph_read(e->g, name, d);
    for (uint32_t i = 0; bias && i < d; i++)
        bias[i] = (float)(((double)bias[i] + (of_q ? of_q[i] : 0)) * scale);
    const conure_value out = conure_floats(e->g, name, bias, 3, dims);
    free(bias);
    free(of_q);
    return out;
}

/* Rows [..][d] -> heads, [B][H][n][h] or turned [B][H][h][n], by a shape B n H h */
static conure_value heads_of(conure_encoder_parts *e, const char *label, conure_value x, conure_value shape, bool turned)
{
    char name[64];
    snprintf(name, sizeof name, "%s_split", label);
    const conure_value split = conure_reshape(e->g, name, x, shape);
    return turned ? conure_transpose(e->g, label, split, 0, 2, 3, 1) : conure_transpose(e->g, label, split, 0, 2, 1, 3);
}

/* R_r of a layer for this slice, [H][h][P]. */
static conure_value positions(conure_encoder_parts *e, uint32_t layer)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, heads = e->c->n_heads;
    char name[96];
    if (e->rows_max) {
        const conure_value table = conure_positions_value(g, layer, (int64_t)e->rows_max + e->cache_rows, conure_encoder_positions_most(e));
        return e->table_start ? conure_slice(g, "positions", table, 2, e->table_start, e->table_end, 1) : table;
    }
    const conure_linear_options turned = {.no_bias = true, .turn = CONURE_TURN_DEINTERLEAVE};
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_pos", layer);
    const conure_value rows = conure_linear(g, "positions_rows", conure_encoder_waves(e), name, d, d, &turned);
    return conure_transpose(g, "positions", conure_reshape(g, "positions_split", rows, conure_ints(g, -1, heads, d / heads)), 1, 2, 0);
}

/* One layer's attention on its way. */
typedef struct attention {
    conure_encoder_parts *e;
    uint32_t layer;
    conure_value memory;    /* what keys and values are made of: rows [B T'][d] offline, as a stream's cache otherwise */
    conure_value q_rows;    /* [B T'][d], scaled, without biases */
    conure_value q;         /* the same by head, [H][B T'][h]: one product for each head, whatever B is */
    double scale;
} attention;

static conure_value linear_of(const attention *a, const char *label, conure_value x, const char *part)
{
    const uint32_t d = a->e->c->d_model;
    const conure_linear_options plain = {.no_bias = !a->e->c->use_bias, .int8 = a->e->plan->int8};
    char name[96];
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.%s", a->layer, part);
    return conure_linear(a->e->g, label, x, name, d, d, &plain);
}

/* A projection's matrix by heads, [H][h][d] or turned [H][d][h]. */
static conure_value matrix_of(const attention *a, const char *part, bool turned)
{
    const int64_t d = a->e->c->d_model, heads = a->e->c->n_heads, dims[2][3] = {{heads, d / heads, d}, {heads, d, d / heads}};
    char name[96];
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.%s.weight", a->layer, part);
    return conure_weight_value(a->e->g, name, turned ? CONURE_TURN_HEADS : CONURE_TURN_NONE, 1, 3, dims[turned]);
}

/* Its bias by heads, [H][h][1] or turned [H][1][h]. */
static conure_value bias_of(const attention *a, const char *part, bool turned)
{
    const int64_t d = a->e->c->d_model, heads = a->e->c->n_heads, dims[2][3] = {{heads, d / heads, 1}, {heads, 1, d / heads}};
    char name[96];
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.%s.bias", a->layer, part);
    return conure_weight_value(a->e->g, name, CONURE_TURN_NONE, 1, 3, dims[turned]);
}

/* Where B stands in a stream's memory of four axes, an axis of 1 beside it. */
static int one_axis(const conure_encoder_parts *e)
{
    return e->plan->contract->layer_first ? 0 : 1;
}

/* Keys or values of all heads, projected from the memory. */
static conure_value projected(const attention *a, const char *label, const char *part, bool turned)
{
    conure_encoder_parts *e = a->e;
    char name[64];
    conure_value memory = a->memory;
    snprintf(name, sizeof name, "%s_memory", label);
    if ((e->cache_rows || e->keys_padding) && !e->plan->int8 && e->memory_axis > 0)
        memory = conure_reshape(e->g, name, memory, conure_ints(e->g, -1, e->c->d_model));
    snprintf(name, sizeof name, "%s_rows", label);
    return heads_of(e, label, linear_of(a, name, memory, part), e->keys_shape, turned);
}

/* [H][B T'][n] -> [B][H][T'][n] by the shape H B T' n */
static conure_value by_row(conure_encoder_parts *e, const char *label, conure_value x, conure_value shape)
{
    char name[64];
    snprintf(name, sizeof name, "%s_apart", label);
    return conure_transpose(e->g, label, conure_reshape(e->g, name, x, shape), 1, 0, 2, 3);
}

/* [B][H][T'][n] -> [H][B T'][n] */
static conure_value by_head(conure_encoder_parts *e, const char *label, conure_value x, int64_t n)
{
    char name[64];
    snprintf(name, sizeof name, "%s_turned", label);
    return conure_reshape(e->g, label, conure_transpose(e->g, name, x, 1, 0, 2, 3), conure_ints(e->g, e->c->n_heads, -1, n));
}

/* Queries with keys -> [B][H][T'][N] */
static conure_value content_scores(const attention *a)
{
    conure_encoder_parts *e = a->e;
    conure_graph *g = e->g;
    const int64_t d = e->c->d_model;
    const conure_value bias = query_bias(e, a->layer, "pos_bias_u", a->scale);
    if (!e->absorbed) {
        const conure_value q = conure_op(g, "Add", "q_content", heads_of(e, "q_heads", a->q_rows, e->heads_shape, false), bias);
        return conure_op(g, "MatMul", "content", q, projected(a, "k", "linear_k", true));
    }
    const conure_value q = conure_op(g, "Add", "q_content", a->q, bias);
    const conure_value wide = by_row(e, "q_wide_rows", conure_op(g, "MatMul", "q_wide", q, matrix_of(a, "linear_k", false)), e->turned_shape);
    const conure_value flat = conure_reshape(g, "q_flat", wide, e->memory_axis == 0 ? conure_ints(g, -1, d) : conure_ints(g, 0, -1, d));
    const conure_value all = e->memory_axis == 2 ? conure_unsqueeze(g, "q_flat_4d", flat, one_axis(e)) : flat;
    const conure_value turned = e->memory_axis == 2   ? conure_transpose(g, "memory_turned", a->memory, 0, 1, 3, 2)
                                : e->memory_axis == 1 ? conure_transpose(g, "memory_turned", a->memory, 0, 2, 1)
                                                      : conure_transpose(g, "memory_turned", a->memory, 1, 0);
    const conure_value content = conure_reshape(g, "content", conure_op(g, "MatMul", "content_flat", all, turned), e->queries_shape);
    if (!e->c->use_bias)
        return content;
    const conure_value of_keys = conure_op(g, "MatMul", "k_bias", q, bias_of(a, "linear_k", false)); /* [H][B T'][1] */
    const conure_value shape = conure_concat(g, "k_bias_shape", 0, conure_ints(g, e->c->n_heads, -1), e->rows, conure_ints(g, 1));
    return conure_op(g, "Add", "content_biased", content, by_row(e, "k_bias_rows", of_keys, shape));
}

/* weights [B][H][T'][N] with values -> rows [B T'][d] */
static conure_value seen_values(const attention *a, conure_value weights)
{
    conure_encoder_parts *e = a->e;
    conure_graph *g = e->g;
    const int64_t d = e->c->d_model;
    if (!e->absorbed) {
        const conure_value seen = conure_op(g, "MatMul", "seen", weights, projected(a, "v", "linear_v", false));
        return conure_reshape(g, "rows", conure_transpose(g, "seen_turned", seen, 0, 2, 1, 3), e->trunk_shape);
    }
    const conure_value flat = conure_reshape(g, "weights_flat", weights, e->flat_shape);
    const conure_value all = e->memory_axis == 2 ? conure_unsqueeze(g, "weights_flat_4d", flat, one_axis(e)) : flat;
    const conure_value wide = conure_reshape(g, "seen_wide", conure_op(g, "MatMul", "seen_flat", all, a->memory), e->wide_shape);
    conure_value seen = conure_op(g, "MatMul", "seen", by_head(e, "seen_by_head", wide, d), matrix_of(a, "linear_v", true));
    if (e->c->use_bias) { /* a bias counts as often as weights sum to, which masks can make less than 1 */
        const conure_value sum = by_head(e, "weights_by_head", conure_reduce_last(g, "ReduceSum", "weights_sum", weights), 1);
        seen = conure_op(g, "Add", "seen_biased", seen, conure_op(g, "Mul", "v_bias", sum, bias_of(a, "linear_v", true)));
    }
    return conure_reshape(g, "rows", conure_transpose(g, "seen_turned", seen, 1, 0, 2), e->trunk_shape);
}

static conure_value scores(const attention *a)
{
    conure_encoder_parts *e = a->e;
    conure_graph *g = e->g;
    const conure_value content = content_scores(a);
    const conure_value with_v = conure_op(g, "Add", "q_position", a->q, query_bias(e, a->layer, "pos_bias_v", a->scale));
    const conure_value all = conure_op(g, "MatMul", "position_all", with_v, positions(e, a->layer));
    const conure_value apart = conure_reshape(g, "position_apart", all, e->positions_shape);
    const conure_value flat = conure_reshape(g, "position_flat", apart, conure_ints(g, 0, 0, -1));
    const conure_value cut = conure_slice(g, "position_cut", flat, 2, e->rows, conure_ints(g, INT64_MAX), 1);
    const conure_value shifted = conure_reshape(g, "position_shifted", cut, e->shift_shape);
    const conure_value position = conure_slice(g, "position", shifted, 3, conure_ints(g, 0), e->n_keys, 1);
    return conure_op(g, "Add", "scores", content, conure_transpose(g, "position_rows", position, 1, 0, 2, 3));
}

/* Masked scores; then masked weights are 0 in any case, which a query that may see nothing needs. */
static conure_value weights_of(conure_encoder_parts *e, uint32_t layer, conure_value s)
{
    conure_graph *g = e->g;
    const conure_value masked = conure_op(g, "Where", "masked", e->pairs_bool, s, conure_encoder_hidden(e, conure_encoder_is_half(e, (int32_t)layer)));
    const conure_value soft = conure_op(g, "Softmax", "softmax", masked);
    conure_op_int(g, "axis", -1);
    return conure_op(g, "Mul", "weights", soft, conure_encoder_pairs(e));
}

/* Some of cache, rows and padding, one behind the other. */
static conure_value padded(const attention *a, const char *label, int axis, conure_value cache, conure_value rows)
{
    conure_encoder_parts *e = a->e;
    conure_value parts[3];
    size_t n = 0;
    if (cache)
        parts[n++] = cache;
    parts[n++] = rows;
    if (e->memory_margin)
        parts[n++] = conure_as(e->g, "margin", e->memory_margin, e->plan->type, conure_graph_type(e->g));
    return n > 1 ? conure_concat_(e->g, label, axis, n, parts) : rows;
}

/* [cache ; fresh] with its padding, of which the rows that stay become the next cache. */
static conure_value remember(const attention *a, conure_value cache, conure_value fresh)
{
    conure_encoder_parts *e = a->e;
    const int axis = e->memory_axis;
    const conure_value rows = axis == 0 ? fresh : conure_reshape(e->g, "fresh", fresh, axis == 1 ? e->rows_shape : e->fresh_shape);
    const conure_value memory = padded(a, "memory", axis, cache, rows);
    e->channel_out[a->layer] = conure_slice(e->g, "cache", memory, axis, e->keep, e->keep_end, 1);
    return memory;
}

/* What queries are made of, and the memory, from normed rows: as they are, in another type than the cache's, or as int8. */
static conure_value make_memory(attention *a, conure_value normed)
{
    conure_encoder_parts *e = a->e;
    conure_graph *g = e->g;
    const conure_onnx_type type = conure_graph_type(g), caches = e->plan->caches;
    const float most = e->plan->int8 ? conure_encoder_seen(e, a->layer, "self_attn.linear_q") : 0;
    a->memory = normed;
    if (e->keys_padding && !e->cache_rows)
        a->memory = padded(a, "memory", e->memory_axis, NULL, e->memory_axis ? conure_reshape(g, "memory_3d", normed, e->rows_shape) : normed);
    if (e->cache_rows && caches == CONURE_ONNX_INT8) {
        const conure_value whole = conure_quantise(g, "norm_int8", normed, most);
        a->memory = conure_dequantise(g, "memory_back", remember(a, e->channel_in[a->layer], whole), most);
        return conure_dequantise(g, "norm_quantised", whole, most);
    }
    if (e->cache_rows) {
        a->memory = remember(a, conure_as(g, "cache_in", e->channel_in[a->layer], caches, type), normed);
        e->channel_out[a->layer] = conure_as(g, "cache_out", e->channel_out[a->layer], type, caches);
    }
    if (!e->plan->int8)
        return normed;
    const conure_value quantised = conure_quantised(g, "norm_quantised", normed, most);
    if (e->cache_rows) /* a matrix of rows, as the other products in int8 have them */
        a->memory = conure_quantised(g, "memory_quantised", conure_reshape(g, "memory_rows", a->memory, conure_ints(g, -1, e->c->d_model)), most);
    else
        a->memory = quantised;
    return quantised;
}

conure_value conure_encoder_attention(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, heads = e->c->n_heads;
    attention a = {.e = e, .layer = layer, .scale = 1 / sqrt((double)(d / heads))};
    const conure_linear_options query = {.no_bias = true, .scale = a.scale, .int8 = e->plan->int8, .parts = conure_encoder_parts_for(e, d, d)};
    char name[96];
    conure_graph_scope(g, "layers.%u.self_attn.", layer);
    snprintf(name, sizeof name, "encoder.layers.%u.norm_self_att", layer);
    const conure_value source = make_memory(&a, conure_encoder_norm(e, layer, x, name));
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_q", layer);
    a.q_rows = conure_linear(g, "q_rows", source, name, d, d, &query);
    a.q = conure_transpose(g, "q", conure_reshape(g, "q_split", a.q_rows, conure_ints(g, -1, heads, d / heads)), 1, 0, 2);
    conure_value rows = seen_values(&a, weights_of(e, layer, scores(&a)));
    if (e->plan->int8)
        rows = conure_quantised(g, "rows_quantised", rows, conure_encoder_seen(e, layer, "self_attn.linear_out"));
    return conure_op(g, "Add", "sum", x, linear_of(&a, "out", rows, "linear_out"));
}

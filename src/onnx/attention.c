/* attention.c - attention with relative positions, as nodes.
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

/* [B][n][d] -> heads, [B][H][n][h] or turned [B][H][h][n] */
static conure_value heads_of(conure_encoder_parts *e, const char *label, conure_value x, bool turned)
{
    const uint32_t heads = e->c->n_heads;
    char name[64];
    snprintf(name, sizeof name, "%s_split", label);
    const conure_value split = conure_reshape(e->g, name, x, conure_ints(e->g, 0, 0, heads, e->c->d_model / heads));
    return turned ? conure_transpose(e->g, label, split, 0, 2, 3, 1) : conure_transpose(e->g, label, split, 0, 2, 1, 3);
}

/* R_r of a layer for this slice, [H][h][P]. */
static conure_value positions(conure_encoder_parts *e, uint32_t layer)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, heads = e->c->n_heads;
    char name[96];
    if (e->rows_max) {
        const int64_t n_max = (int64_t)e->rows_max + e->cache_rows;
        const conure_value table = conure_positions_value(g, layer, n_max, n_max + e->rows_max);
        return conure_slice(g, "positions", table, 2, e->table_start, e->table_end, 1);
    }
    const conure_linear_options turned = {.no_bias = true, .turn = CONURE_TURN_DEINTERLEAVE};
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_pos", layer);
    const conure_value rows = conure_linear(g, "positions_rows", e->waves, name, d, d, &turned);
    return conure_transpose(g, "positions", conure_reshape(g, "positions_split", rows, conure_ints(g, -1, heads, d / heads)), 1, 2, 0);
}

static conure_value scores(conure_encoder_parts *e, uint32_t layer, conure_value q, conure_value k, double scale)
{
    conure_graph *g = e->g;
    const conure_value with_u = conure_op(g, "Add", "q_content", q, query_bias(e, layer, "pos_bias_u", scale));
    const conure_value with_v = conure_op(g, "Add", "q_position", q, query_bias(e, layer, "pos_bias_v", scale));
    const conure_value content = conure_op(g, "MatMul", "content", with_u, k);
    const conure_value all = conure_op(g, "MatMul", "position_all", with_v, positions(e, layer));
    const conure_value flat = conure_reshape(g, "position_flat", all, conure_ints(g, 0, 0, -1));
    const conure_value cut = conure_slice(g, "position_cut", flat, 2, e->rows, conure_ints(g, INT64_MAX), 1);
    const conure_value shifted = conure_reshape(g, "position_shifted", cut, e->shift_shape);
    const conure_value position = conure_slice(g, "position", shifted, 3, conure_ints(g, 0), e->n_keys, 1);
    return conure_op(g, "Add", "scores", content, position);
}

/* Masked scores: NeMo's -10000, or low enough to leave nothing; then masked weights are 0 in either case, which a query
 * that may see nothing needs. */
static conure_value weights(conure_encoder_parts *e, conure_value s)
{
    conure_graph *g = e->g;
    const double lowest = conure_graph_type(g) == CONURE_ONNX_FLOAT16 ? -65504 : -3e38;
    const conure_value masked = conure_op(g, "Where", "masked", e->pairs_bool, s, conure_number(g, e->plan->mask_exact ? lowest : -10000));
    const conure_value soft = conure_op(g, "Softmax", "softmax", masked);
    conure_op_int(g, "axis", -1);
    return conure_op(g, "Mul", "weights", soft, e->pairs);
}

conure_value conure_encoder_attention(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model;
    const double scale = 1 / sqrt((double)(d / e->c->n_heads));
    const conure_linear_options plain = {.no_bias = !e->c->use_bias}, query = {.no_bias = true, .scale = scale};
    char name[4][96];
    static const char *const parts[4] = {"linear_q", "linear_k", "linear_v", "linear_out"};
    for (int i = 0; i < 4; i++)
        snprintf(name[i], sizeof name[i], "encoder.layers.%u.self_attn.%s", layer, parts[i]);
    char norm[96];
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_self_att", layer);
    conure_graph_scope(g, "layers.%u.self_attn.", layer);
    const conure_value normed = conure_layer_norm(g, "norm", x, norm, d);
    conure_value memory = normed;
    if (e->cache_rows) {
        memory = conure_concat(g, "memory", 1, e->channel_in[layer], normed);
        e->channel_out[layer] = conure_slice(g, "cache", memory, 1, e->keep, e->keep_end, 1);
    }
    const conure_value q = heads_of(e, "q", conure_linear(g, "q_rows", normed, name[0], d, d, &query), false);
    const conure_value k = heads_of(e, "k", conure_linear(g, "k_rows", memory, name[1], d, d, &plain), true);
    const conure_value v = heads_of(e, "v", conure_linear(g, "v_rows", memory, name[2], d, d, &plain), false);
    const conure_value seen = conure_op(g, "MatMul", "seen", weights(e, scores(e, layer, q, k, scale)), v);
    const conure_value rows = conure_reshape(g, "rows", conure_transpose(g, "seen_turned", seen, 0, 2, 1, 3), conure_ints(g, 0, 0, d));
    return conure_op(g, "Add", "sum", x, conure_linear(g, "out", rows, name[3], d, d, &plain));
}

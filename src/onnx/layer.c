/* layer.c - one Conformer layer as nodes: feed forward, attention, convolution, feed forward, norm. */
#include "onnx/encoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double BATCH_NORM_GUARD = 1e-5;

/* x + 1/2 linear2(silu(linear1(norm(x)))); the half is in the weights, exactly. */
static conure_value feed_forward(conure_encoder_parts *e, uint32_t layer, int which, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, ff = e->c->ff_width;
    const conure_int8_weights int8 = e->plan->int8;
    const conure_linear_options wide = {.no_bias = !e->c->use_bias, .int8 = int8}, half = {.no_bias = !e->c->use_bias, .int8 = int8, .scale = 0.5};
    char prefix[32], norm[96], linear1[96], linear2[96];
    snprintf(prefix, sizeof prefix, "encoder.layers.%u.", layer);
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_feed_forward%d", layer, which);
    snprintf(linear1, sizeof linear1, "encoder.layers.%u.feed_forward%d.linear1", layer, which);
    snprintf(linear2, sizeof linear2, "encoder.layers.%u.feed_forward%d.linear2", layer, which);
    conure_graph_scope(g, "layers.%u.feed_forward%d.", layer, which);
    conure_value normed = conure_layer_norm(g, "norm", x, norm, d);
    if (int8)
        normed = conure_quantised(g, "norm_quantised", normed, conure_encoder_seen(e, layer, linear1 + strlen(prefix)));
    conure_value hidden = conure_silu(g, "silu", conure_linear(g, "wide", normed, linear1, ff, d, &wide));
    if (int8)
        hidden = conure_quantised(g, "silu_quantised", hidden, conure_encoder_seen(e, layer, linear2 + strlen(prefix)));
    return conure_op(g, "Add", "sum", x, conure_linear(g, "half", hidden, linear2, d, ff, &half));
}

/* The depthwise convolution with the batch norm folded in: weights [d][1][kernel] and bias [d]. */
static void folded(conure_encoder_parts *e, uint32_t layer, conure_value *weight, conure_value *bias)
{
    static const char *const parts[6] = {"depthwise_conv.weight", "batch_norm.weight", "batch_norm.bias", "batch_norm.running_mean",
                                         "batch_norm.running_var", "depthwise_conv.bias"};
    const uint32_t d = e->c->d_model, kernel = e->c->conv_kernel;
    const int64_t dims[3] = {d, 1, kernel};
    char name[6][96];
    float *data[6] = {NULL};
    bool ok = true;
    for (int i = 0; i < 6; i++) {
        snprintf(name[i], sizeof name[i], "encoder.layers.%u.conv.%s", layer, parts[i]);
        if (i < 5 || e->c->use_bias)
            data[i] = conure_graph_read(e->g, name[i], i ? d : (size_t)d * kernel);
        ok = ok && (data[i] || (i == 5 && !e->c->use_bias));
    }
    for (uint32_t i = 0; ok && i < d; i++) {
        const double gain = data[1][i] / sqrt(data[4][i] + BATCH_NORM_GUARD);
        for (uint32_t k = 0; k < kernel; k++)
            data[0][i * kernel + k] = (float)(data[0][i * kernel + k] * gain);
        data[2][i] = (float)(data[2][i] + ((data[5] ? data[5][i] : 0) - (double)data[3][i]) * gain);
    }
    *weight = conure_floats(e->g, name[0], ok ? data[0] : NULL, 3, dims);
    *bias = conure_floats(e->g, name[2], ok ? data[2] : NULL, 1, dims);
    for (int i = 0; i < 6; i++)
        free(data[i]);
}

/* [cache ; this step's], in int8 where the cache is. */
static conure_value until_now(conure_encoder_parts *e, uint32_t layer, conure_value gated)
{
    conure_graph *g = e->g;
    const conure_onnx_type caches = e->plan->caches;
    if (caches == CONURE_ONNX_INT8)
        return conure_concat(g, "columns", 2, e->time_in[layer],
                             conure_quantise(g, "columns_int8", gated, conure_observed_columns(e->plan->seen, layer)));
    return conure_concat(g, "columns", 2, conure_as(g, "cache_in", e->time_in[layer], caches, conure_graph_type(g)), gated);
}

/* gated [B][d][T'] -> silu(batch_norm(depthwise(..))), with the time cache in front, which moves on. */
static conure_value depthwise(conure_encoder_parts *e, uint32_t layer, conure_value gated)
{
    conure_graph *g = e->g;
    const conure_onnx_type caches = e->plan->caches;
    conure_value weight, bias, columns = gated;
    if (e->conv_left) {
        columns = until_now(e, layer, gated);
        conure_value until = columns;
        if (e->time_padding)
            until = conure_op(g, "Pad", "columns_padded", columns, conure_ints(g, 0, 0, 0, 0, 0, e->time_padding));
        e->time_out[layer] = conure_slice(g, "cache", until, 2, e->time_start, e->time_end, 1);
        if (caches == CONURE_ONNX_INT8)
            columns = conure_dequantise(g, "columns_back", columns, conure_observed_columns(e->plan->seen, layer));
        else
            e->time_out[layer] = conure_as(g, "cache_out", e->time_out[layer], conure_graph_type(g), caches);
    }
    const conure_onnx_type type = conure_graph_type(g), own = type == CONURE_ONNX_BFLOAT16 ? CONURE_ONNX_FLOAT : type;
    conure_graph_set_type(g, own); /* there is no convolution in bfloat16 before opset 22 */
    folded(e, layer, &weight, &bias);
    const conure_value y = conure_op(g, "Conv", "depthwise", conure_as(g, "depthwise_in", columns, type, own), weight, bias);
    conure_op_int(g, "group", e->c->d_model);
    conure_op_ints(g, "pads", e->conv_left ? 0 : e->c->conv_left, e->c->conv_right);
    conure_graph_set_type(g, type);
    return conure_silu(g, "silu", conure_as(g, "depthwise_out", y, own, type));
}

static conure_value convolution(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model;
    const conure_int8_weights int8 = e->plan->int8;
    const conure_linear_options plain = {.no_bias = !e->c->use_bias, .int8 = int8};
    conure_value halves[2];
    char norm[96], point1[96], point2[96];
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_conv", layer);
    snprintf(point1, sizeof point1, "encoder.layers.%u.conv.pointwise_conv1", layer);
    snprintf(point2, sizeof point2, "encoder.layers.%u.conv.pointwise_conv2", layer);
    conure_graph_scope(g, "layers.%u.conv.", layer);
    conure_value normed = conure_layer_norm(g, "norm", x, norm, d);
    if (int8)
        normed = conure_quantised(g, "norm_quantised", normed, conure_encoder_seen(e, layer, "conv.pointwise_conv1"));
    conure_split(g, "half", conure_linear(g, "wide", normed, point1, 2 * d, d, &plain), 2, 2, d, halves);
    const conure_value gated = conure_op(g, "Mul", "gated", halves[0], conure_op(g, "Sigmoid", "gate", halves[1]));
    const conure_value masked = conure_op(g, "Mul", "masked", conure_transpose(g, "turned", gated, 0, 2, 1), conure_encoder_conv_mask(e));
    conure_value rows = conure_transpose(g, "rows", depthwise(e, layer, masked), 0, 2, 1);
    if (int8)
        rows = conure_quantised(g, "rows_quantised", rows, conure_encoder_seen(e, layer, "conv.pointwise_conv2"));
    return conure_op(g, "Add", "sum", x, conure_linear(g, "out", rows, point2, d, d, &plain));
}

conure_value conure_encoder_layer(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    char norm[96];
    const conure_onnx_type type = conure_encoder_is_wide(e->plan, (int32_t)layer) ? CONURE_ONNX_FLOAT : e->plan->type;
    conure_graph_set_type(e->g, type);
    conure_graph_scope(e->g, "layers.%u.", layer);
    x = conure_as(e->g, "in", x, e->x_type, type);
    e->x_type = type;
    x = feed_forward(e, layer, 1, x);
    x = conure_encoder_attention(e, layer, x);
    x = convolution(e, layer, x);
    x = feed_forward(e, layer, 2, x);
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_out", layer);
    conure_graph_scope(e->g, "layers.%u.", layer);
    return conure_layer_norm(e->g, "norm", x, norm, e->c->d_model);
}

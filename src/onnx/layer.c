/* layer.c - one Conformer layer as nodes: feed forward, attention, convolution, feed forward, norm. */
#include "onnx/encoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double BATCH_NORM_GUARD = 1e-5;

/* x + 1/2 linear2(silu(linear1(norm(x)))); the half is in the weights, exactly. */
static conure_value feed_forward(conure_encoder_parts *e, uint32_t layer, int which, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, ff = e->c->ff_width;
    const conure_linear_options wide = {.no_bias = !e->c->use_bias}, half = {.no_bias = !e->c->use_bias, .scale = 0.5};
    char norm[96], linear1[96], linear2[96];
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_feed_forward%d", layer, which);
    snprintf(linear1, sizeof linear1, "encoder.layers.%u.feed_forward%d.linear1", layer, which);
    snprintf(linear2, sizeof linear2, "encoder.layers.%u.feed_forward%d.linear2", layer, which);
    conure_graph_scope(g, "layers.%u.feed_forward%d.", layer, which);
    const conure_value normed = conure_layer_norm(g, "norm", x, norm, d);
    const conure_value hidden = conure_silu(g, "silu", conure_linear(g, "wide", normed, linear1, ff, d, &wide));
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

/* gated [B][d][T'] -> silu(batch_norm(depthwise(..))), with the time cache in front, which moves on. */
static conure_value depthwise(conure_encoder_parts *e, uint32_t layer, conure_value gated)
{
    conure_graph *g = e->g;
    conure_value weight, bias, columns = gated;
    if (e->conv_left) {
        columns = conure_concat(g, "columns", 2, e->time_in[layer], gated);
        conure_value until = columns;
        if (e->time_padding)
            until = conure_op(g, "Pad", "columns_padded", columns, conure_ints(g, 0, 0, 0, 0, 0, e->time_padding));
        e->time_out[layer] = conure_slice(g, "cache", until, 2, e->time_start, e->time_end, 1);
    }
    folded(e, layer, &weight, &bias);
    const conure_value y = conure_op(g, "Conv", "depthwise", columns, weight, bias);
    conure_op_int(g, "group", e->c->d_model);
    conure_op_ints(g, "pads", e->conv_left ? 0 : e->c->conv_left, e->c->conv_right);
    return conure_silu(g, "silu", y);
}

static conure_value convolution(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model;
    const conure_linear_options plain = {.no_bias = !e->c->use_bias};
    conure_value halves[2];
    char norm[96], point1[96], point2[96];
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_conv", layer);
    snprintf(point1, sizeof point1, "encoder.layers.%u.conv.pointwise_conv1", layer);
    snprintf(point2, sizeof point2, "encoder.layers.%u.conv.pointwise_conv2", layer);
    conure_graph_scope(g, "layers.%u.conv.", layer);
    const conure_value normed = conure_layer_norm(g, "norm", x, norm, d);
    conure_split(g, "half", conure_linear(g, "wide", normed, point1, 2 * d, d, &plain), 2, 2, d, halves);
    const conure_value gated = conure_op(g, "Mul", "gated", halves[0], conure_op(g, "Sigmoid", "gate", halves[1]));
    const conure_value masked = conure_op(g, "Mul", "masked", conure_transpose(g, "turned", gated, 0, 2, 1), e->conv_mask);
    const conure_value rows = conure_transpose(g, "rows", depthwise(e, layer, masked), 0, 2, 1);
    return conure_op(g, "Add", "sum", x, conure_linear(g, "out", rows, point2, d, d, &plain));
}

conure_value conure_encoder_layer(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    char norm[96];
    x = feed_forward(e, layer, 1, x);
    x = conure_encoder_attention(e, layer, x);
    x = convolution(e, layer, x);
    x = feed_forward(e, layer, 2, x);
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_out", layer);
    conure_graph_scope(e->g, "layers.%u.", layer);
    return conure_layer_norm(e->g, "norm", x, norm, e->c->d_model);
}

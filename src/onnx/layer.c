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
    const conure_linear_options wide = {.no_bias = !e->c->use_bias, .int8 = int8, .parts = conure_encoder_parts_for(e, ff, d)};
    const conure_linear_options half = {.no_bias = !e->c->use_bias, .int8 = int8, .scale = 0.5, .parts = conure_encoder_parts_for(e, d, ff)};
    char prefix[32], norm[96], linear1[96], linear2[96];
    snprintf(prefix, sizeof prefix, "encoder.layers.%u.", layer);
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_feed_forward%d", layer, which);
    snprintf(linear1, sizeof linear1, "encoder.layers.%u.feed_forward%d.linear1", layer, which);
    snprintf(linear2, sizeof linear2, "encoder.layers.%u.feed_forward%d.linear2", layer, which);
    conure_graph_scope(g, "layers.%u.feed_forward%d.", layer, which);
    conure_value normed = conure_encoder_norm(e, layer, x, norm);
    if (int8)
        normed = conure_quantised(g, "norm_quantised", normed, conure_encoder_seen(e, layer, linear1 + strlen(prefix)));
    conure_value hidden = conure_silu(g, "silu", conure_linear(g, "wide", normed, linear1, ff, d, &wide));
    if (int8)
        hidden = conure_quantised(g, "silu_quantised", hidden, conure_encoder_seen(e, layer, linear2 + strlen(prefix)));
    return conure_op(g, "Add", "sum", x, conure_linear(g, "half", hidden, linear2, d, ff, &half));
}

/* ---- the convolution over time ---------------------------------------------------------------- */

/* As an operator it stands between TensorRT's fused graphs: what is before and behind it is turned, padded, copied and rounded by kernels of
 * their own, a third of a step's.  As sums of products over rows [B][T'][d], one for each tap, it is fused with its neighbours, and a whole
 * encoder is one such graph.  On a CPU the operator is faster.  Building a step of f16 with 24 layers as one such graph takes four times as long
 * as with three of eight, hence fused_layers: of that many, about, and alike. */
static bool as_sums(const conure_encoder_parts *e, uint32_t layer)
{
    const uint32_t n = e->c->n_layers, together = e->plan->fused_layers, n_parts = together ? (n + together / 2) / together : 1;
    const bool ends_part = layer + 1 < n && (layer + 1) * n_parts / n > layer * n_parts / n;
    return e->plan->fusible && !ends_part;
}

/* Its weights with the batch norm folded in: [kernel][d] as sums, otherwise [d][kernel]; and bias [d].  False after a failure; freed by free(). */
static bool folded(const conure_encoder_parts *e, uint32_t layer, bool sums, float **weight, float **bias)
{
    static const char *const parts[6] = {"depthwise_conv.weight", "batch_norm.weight", "batch_norm.bias", "batch_norm.running_mean",
                                         "batch_norm.running_var", "depthwise_conv.bias"};
    const uint32_t d = e->c->d_model, kernel = e->c->conv_kernel;
    char name[96];
    float *data[6] = {NULL};
    bool ok = true;
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "encoder.layers.%u.conv.%s", layer, parts[i]);
        if (i < 5 || e->c->use_bias)
            data[i] = conure_graph_read(e->g, name, i ? d : (size_t)d * kernel);
        ok = ok && (data[i] || (i == 5 && !e->c->use_bias));
    }
    *weight = ok ? conure_calloc(d, kernel * sizeof **weight) : NULL;
    if (ok && !*weight)
        conure_graph_fail(e->g, CONURE_NO_MEMORY, "out of memory for the weights of a convolution");
    for (uint32_t i = 0; *weight && i < d; i++) {
        const double gain = data[1][i] / sqrt(data[4][i] + BATCH_NORM_GUARD);
        for (uint32_t k = 0; k < kernel; k++)
            (*weight)[sums ? k * d + i : i * kernel + k] = (float)(data[0][i * kernel + k] * gain);
        data[2][i] = (float)(data[2][i] + ((data[5] ? data[5][i] : 0) - (double)data[3][i]) * gain);
    }
    *bias = data[2];
    for (int i = 0; i < 6; i++)
        if (i != 2)
            free(data[i]);
    return *weight != NULL;
}

/* columns [B][n][d] -> [B][n + 1 - kernel][d], all in float32: products of half precision would be rounded nine times. */
static conure_value summed(conure_encoder_parts *e, uint32_t layer, conure_value columns, const float *weight, const float *bias)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model, kernel = e->c->conv_kernel;
    const int64_t dims[1] = {d};
    char name[96], label[32];
    snprintf(name, sizeof name, "encoder.layers.%u.conv.batch_norm.bias", layer);
    conure_value sum = conure_floats(g, name, bias, 1, dims);
    for (uint32_t k = 0; k < kernel; k++) {
        const int64_t end = k + 1 < kernel ? (int64_t)k + 1 - kernel : INT64_MAX;
        snprintf(label, sizeof label, "tap%u_rows", k);
        const conure_value rows = conure_slice(g, label, columns, 1, conure_ints(g, k), conure_ints(g, end), 1);
        snprintf(name, sizeof name, "encoder.layers.%u.conv.depthwise_conv.weight.%u", layer, k);
        snprintf(label, sizeof label, "tap%u", k);
        const conure_value product = conure_op(g, "Mul", label, rows, conure_floats(g, name, weight + (size_t)k * d, 1, dims));
        snprintf(label, sizeof label, "taps%u", k);
        sum = conure_op(g, "Add", label, sum, product);
    }
    return sum;
}

static conure_value operated(conure_encoder_parts *e, uint32_t layer, conure_value columns, const float *weight, const float *bias)
{
    const uint32_t d = e->c->d_model, kernel = e->c->conv_kernel;
    const int64_t dims[3] = {d, 1, kernel}, bias_dims[1] = {d};
    char name[96];
    snprintf(name, sizeof name, "encoder.layers.%u.conv.depthwise_conv.weight", layer);
    const conure_value weights = conure_floats(e->g, name, weight, 3, dims);
    const bool rows = e->plan->fusible; /* between margins, so that nothing is padded */
    if (rows)
        columns = conure_transpose(e->g, "columns_turned", columns, 0, 2, 1);
    snprintf(name, sizeof name, "encoder.layers.%u.conv.batch_norm.bias", layer);
    const conure_value y = conure_op(e->g, "Conv", "depthwise", columns, weights, conure_floats(e->g, name, bias, 1, bias_dims));
    conure_op_int(e->g, "group", d);
    conure_op_ints(e->g, "pads", rows || e->conv_left ? 0 : e->c->conv_left, rows ? 0 : e->c->conv_right);
    return rows ? conure_transpose(e->g, "depthwise_back", y, 0, 2, 1) : y;
}

/* Fusible: columns with zeros where the operator pads. */
static conure_value between_margins(conure_encoder_parts *e, conure_value columns, conure_onnx_type type)
{
    conure_value parts[3];
    size_t n = 0;
    if (e->margins[0])
        parts[n++] = conure_as(e->g, "margin_before", e->margins[0], CONURE_ONNX_FLOAT, type);
    parts[n++] = columns;
    if (e->margins[1])
        parts[n++] = conure_as(e->g, "margin_behind", e->margins[1], CONURE_ONNX_FLOAT, type);
    return n > 1 ? conure_concat_(e->g, "columns_between", 1, n, parts) : columns;
}

/* What the convolution sees: a stream's cache, which moves on, and gated behind it; in int8 where the cache is. */
static conure_value columns_of(conure_encoder_parts *e, uint32_t layer, conure_value gated)
{
    conure_graph *g = e->g;
    const conure_onnx_type caches = e->plan->caches, type = conure_graph_type(g);
    const bool sums = e->plan->fusible, narrow = caches == CONURE_ONNX_INT8;
    const int axis = sums ? 1 : 2;
    if (!e->conv_left)
        return sums ? between_margins(e, gated, type) : gated;
    const float most = narrow ? conure_observed_columns(e->plan->seen, layer) : 0;
    const conure_value cache = narrow ? e->time_in[layer] : conure_as(g, "cache_in", e->time_in[layer], caches, type);
    conure_value columns = conure_concat(g, "columns", axis, cache, narrow ? conure_quantise(g, "columns_int8", gated, most) : gated);
    if (sums)
        columns = between_margins(e, columns, narrow ? caches : type);
    conure_value until = columns;
    if (e->time_padding && !sums)
        until = conure_op(g, "Pad", "columns_padded", columns, conure_ints(g, 0, 0, 0, 0, 0, e->time_padding));
    e->time_out[layer] = conure_slice(g, "cache", until, axis, e->time_start, e->time_end, 1);
    if (narrow)
        return conure_dequantise(g, "columns_back", columns, most);
    e->time_out[layer] = conure_as(g, "cache_out", e->time_out[layer], type, caches);
    return columns;
}

/* gated [B][d][T'], or fusible [B][T'][d], -> silu(batch_norm(depthwise(..))) */
static conure_value depthwise(conure_encoder_parts *e, uint32_t layer, conure_value gated)
{
    conure_graph *g = e->g;
    const bool sums = as_sums(e, layer);
    const conure_value columns = columns_of(e, layer, gated);
    /* There is no convolution in bfloat16 before opset 22. */
    const conure_onnx_type type = conure_graph_type(g), own = sums || type == CONURE_ONNX_BFLOAT16 ? CONURE_ONNX_FLOAT : type;
    conure_value y = NULL;
    float *weight = NULL, *bias = NULL;
    conure_graph_set_type(g, own);
    if (folded(e, layer, sums, &weight, &bias))
        y = (sums ? summed : operated)(e, layer, conure_as(g, "depthwise_in", columns, type, own), weight, bias);
    free(weight);
    free(bias);
    conure_graph_set_type(g, type);
    return conure_silu(g, "silu", conure_as(g, "depthwise_out", y, own, type));
}

static conure_value convolution(conure_encoder_parts *e, uint32_t layer, conure_value x)
{
    conure_graph *g = e->g;
    const uint32_t d = e->c->d_model;
    const conure_int8_weights int8 = e->plan->int8;
    const conure_linear_options first = {.no_bias = !e->c->use_bias, .int8 = int8, .parts = conure_encoder_parts_for(e, 2 * d, d)};
    const conure_linear_options second = {.no_bias = !e->c->use_bias, .int8 = int8, .parts = conure_encoder_parts_for(e, d, d)};
    conure_value halves[2];
    char norm[96], point1[96], point2[96];
    snprintf(norm, sizeof norm, "encoder.layers.%u.norm_conv", layer);
    snprintf(point1, sizeof point1, "encoder.layers.%u.conv.pointwise_conv1", layer);
    snprintf(point2, sizeof point2, "encoder.layers.%u.conv.pointwise_conv2", layer);
    conure_graph_scope(g, "layers.%u.conv.", layer);
    conure_value normed = conure_encoder_norm(e, layer, x, norm);
    if (int8)
        normed = conure_quantised(g, "norm_quantised", normed, conure_encoder_seen(e, layer, "conv.pointwise_conv1"));
    conure_split(g, "half", conure_linear(g, "wide", normed, point1, 2 * d, d, &first), -1, 2, d, halves);
    conure_value gated = conure_op(g, "Mul", "gated", halves[0], conure_op(g, "Sigmoid", "gate", halves[1]));
    if (e->plan->fusible)
        gated = conure_reshape(g, "gated_rows", gated, e->rows_shape);
    const conure_value columns = e->plan->fusible ? gated : conure_transpose(g, "turned", gated, 0, 2, 1);
    conure_value rows = depthwise(e, layer, conure_op(g, "Mul", "masked", columns, conure_encoder_conv_mask(e)));
    rows = e->plan->fusible ? conure_reshape(g, "rows", rows, e->trunk_shape) : conure_transpose(g, "rows", rows, 0, 2, 1);
    if (int8)
        rows = conure_quantised(g, "rows_quantised", rows, conure_encoder_seen(e, layer, "conv.pointwise_conv2"));
    return conure_op(g, "Add", "sum", x, conure_linear(g, "out", rows, point2, d, d, &second));
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
    return conure_encoder_norm(e, layer, x, norm);
}

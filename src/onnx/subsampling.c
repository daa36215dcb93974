/* subsampling.c - eight mel frames to one row, as nodes.
 *
 * The image stands as [channel][mel][time], as the features come, so that nothing is turned before the last convolution; the
 * taps of the convolutions are exchanged to match. */
#include "onnx/encoder.h"

#include "onnx/nodes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* 1 where a column is within the length. */
static void make_columns_mask(conure_encoder_parts *e, conure_value audio)
{
    conure_graph *g = e->g;
    const conure_value n = conure_cast(g, "n_columns", conure_size_scalar(g, "n_columns_int64", audio, 2), CONURE_ONNX_INT32);
    const conure_value columns = conure_op(g, "Range", "columns", conure_int32(g, 0), n, conure_int32(g, 1));
    const conure_value length = conure_cast(g, "length_int32", e->length, CONURE_ONNX_INT32);
    const conure_value within = conure_op(g, "Less", "columns_within", columns, conure_unsqueeze(g, "length_4d", length, 1, 2, 3));
    e->columns_mask = conure_cast(g, "columns_mask", within, conure_graph_type(g));
}

/* Of a stage whose columns are every step-th of the mel frames: t < ceil(length / step) where step t < length. */
static conure_value stage_mask(conure_encoder_parts *e, const char *label, conure_value first, int64_t step)
{
    return conure_slice(e->g, label, e->columns_mask, 3, first ? first : conure_ints(e->g, 0), conure_ints(e->g, INT64_MAX), step);
}

/* Three taps of each axis, every second place; groups 0: one. */
static conure_value strided(conure_graph *g, const char *label, conure_value x, conure_value weights, conure_value bias, int64_t groups)
{
    const conure_value y = conure_op(g, "Conv", label, x, weights, bias);
    if (groups)
        conure_op_int(g, "group", groups);
    conure_op_ints(g, "pads", 1, 1, 1, 1);
    conure_op_ints(g, "strides", 2, 2);
    return y;
}

static conure_value convolution(conure_encoder_parts *e, const char *label, conure_value x, int index, int kernel, bool depthwise)
{
    conure_graph *g = e->g;
    const int64_t n = e->c->subsampling_channels, dims[4] = {n, kernel == 1 ? n : 1, kernel, kernel};
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "encoder.pre_encode.conv.%d.weight", index);
    snprintf(bias, sizeof bias, "encoder.pre_encode.conv.%d.bias", index);
    const conure_value w = conure_weight_value(g, weight, kernel == 1 ? CONURE_TURN_NONE : CONURE_TURN_TAPS, 1, 4, dims);
    const conure_value b = conure_weight_value(g, bias, CONURE_TURN_NONE, 1, 1, dims);
    if (kernel == 1)
        return conure_op(g, "Conv", label, x, w, b);
    return strided(g, label, x, w, b, depthwise ? n : 0);
}

/* The first convolution, its relu and the mask behind it at once: a second channel, 1 beyond the length, has a weight of -LARGE at the tap where a
 * column of the result stands, so that relu makes 0 of it; within the length it adds 0.  The result is the largest tensor of all, and TensorRT
 * 8.6 masks it by a kernel of its own: in f16 0.3 ms for 32 rows of 592 frames.  Only in plans of half precision: LARGE is then near to all
 * that there is, while whoever quantises a graph's weights would take it for their scale. */
static conure_value first_masked(conure_encoder_parts *e, conure_value x)
{
    enum { TAPS = 9, CENTRE = 4, SIDE = 3, LARGE = 60000 }; /* half precision holds less than 65520 */
    conure_graph *g = e->g;
    const size_t n = e->c->subsampling_channels;
    const int64_t dims[4] = {(int64_t)n, 2, SIDE, SIDE}, bias_dims[1] = {(int64_t)n};
    float *own = conure_graph_read(g, "encoder.pre_encode.conv.0.weight", n * TAPS), *w = conure_graph_alloc(g, n * 2 * TAPS * sizeof *w);
    for (size_t i = 0; own && w && i < n; i++) {
        for (size_t tap = 0; tap < TAPS; tap++) /* [time][mel] -> [mel][time] */
            w[i * 2 * TAPS + tap] = own[i * TAPS + tap % SIDE * SIDE + tap / SIDE];
        w[i * 2 * TAPS + TAPS + CENTRE] = -(float)LARGE;
    }
    const conure_value weights = conure_floats(g, "encoder.pre_encode.conv.0.weight.masked", w, 4, dims);
    free(own);
    const conure_value beyond = conure_op(g, "Sub", "columns_beyond", conure_number(g, 1), e->columns_mask);
    const conure_value plane = conure_op(g, "Expand", "image_beyond", beyond, conure_ints(g, 1, 1, e->c->mel_bins, 1));
    const conure_value bias = conure_weight_value(g, "encoder.pre_encode.conv.0.bias", CONURE_TURN_NONE, 1, 1, bias_dims);
    return conure_op(g, "Relu", "relu0", strided(g, "conv0", conure_concat(g, "image_and_beyond", 1, x, plane), weights, bias, 0));
}

conure_value conure_encoder_front(conure_encoder_parts *e, conure_value audio)
{
    conure_graph *g = e->g;
    const uint32_t bins = ((e->c->mel_bins + 1) / 2 + 1) / 2, width = (bins + 1) / 2 * e->c->subsampling_channels;
    const conure_linear_options scaled = {.scale = e->c->xscaling ? sqrt((double)e->c->d_model) : 1, .int8 = e->plan->int8};
    const conure_onnx_type type = conure_encoder_is_wide(e->plan, -1) ? CONURE_ONNX_FLOAT : e->plan->type;
    conure_graph_scope(g, "pre_encode.");
    conure_graph_set_type(g, type);
    audio = conure_as(g, "audio", audio, e->plan->io, type);
    make_columns_mask(e, audio);
    conure_value x = conure_op(g, "Mul", "audio_masked", conure_unsqueeze(g, "image", audio, 1), e->columns_mask);
    if (e->plan->fusible && e->plan->halves && conure_encoder_is_half(e, -1)) {
        x = first_masked(e, x);
    } else {
        x = conure_op(g, "Relu", "relu0", convolution(e, "conv0", x, 0, 3, false));
        x = conure_op(g, "Mul", "stage1", x, stage_mask(e, "mask1", NULL, 2));
    }
    x = convolution(e, "conv3", convolution(e, "conv2", x, 2, 3, true), 3, 1, false);
    x = conure_op(g, "Relu", "relu1", x);
    x = conure_op(g, "Mul", "stage2", x, stage_mask(e, "mask2", NULL, 4));
    x = convolution(e, "conv6", convolution(e, "conv5", x, 5, 3, true), 6, 1, false);
    x = conure_op(g, "Relu", "relu2", x);
    if (e->drop)
        x = conure_slice(g, "dropped", x, 3, e->drop, conure_ints(g, INT64_MAX), 1);
    e->rows_mask = stage_mask(e, "rows_mask", e->drop_frames, CONURE_FACTOR);
    x = conure_op(g, "Mul", "stage3", x, e->rows_mask);
    x = conure_reshape(g, "flat", conure_transpose(g, "turned", x, 0, 3, 1, 2), conure_ints(g, 0, 0, width));
    if (e->plan->int8)
        x = conure_quantised(g, "quantised", x, conure_observed_input(e->plan->seen, "encoder.pre_encode.out.weight"));
    x = conure_linear(g, "out", x, "encoder.pre_encode.out", e->c->d_model, width, &scaled);
    e->x_type = type;
    conure_graph_set_type(g, e->plan->type);
    e->rows_mask = conure_as(g, "rows_mask_narrow", e->rows_mask, type, e->plan->type);
    return x;
}

/* nodes.c - layers and operators as nodes (nodes.h). */
#include "onnx/nodes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- operators -------------------------------------------------------------------------------- */

conure_value conure_slice(conure_graph *g, const char *label, conure_value x, int axis, conure_value start, conure_value end, int64_t step)
{
    const conure_value out = conure_op(g, "Slice", label, x, start, end, conure_ints(g, axis));
    if (step != 1)
        conure_op_input(g, conure_ints(g, step));
    return out;
}

conure_value conure_transpose_(conure_graph *g, const char *label, conure_value x, size_t n, const int64_t *perm)
{
    const conure_value out = conure_op(g, "Transpose", label, x);
    conure_op_ints_(g, "perm", n, perm);
    return out;
}

conure_value conure_concat_(conure_graph *g, const char *label, int axis, size_t n, const conure_value *parts)
{
    const conure_value out = conure_op_(g, "Concat", label, n, parts);
    conure_op_int(g, "axis", axis);
    return out;
}

conure_value conure_cast(conure_graph *g, const char *label, conure_value x, conure_onnx_type type)
{
    const conure_value out = conure_op(g, "Cast", label, x);
    conure_op_int(g, "to", (int64_t)type);
    return out;
}

void conure_split(conure_graph *g, const char *label, conure_value x, int axis, int64_t n, int64_t part, conure_value *parts)
{
    char name[64];
    conure_value sizes = NULL;
    int64_t *list = part ? calloc((size_t)n, sizeof *list) : NULL;
    for (int64_t i = 0; list && i < n; i++)
        list[i] = part;
    if (list)
        sizes = conure_ints_(g, (size_t)n, list);
    else if (part)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
    free(list);
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s.%lld", label, (long long)i);
        if (i)
            parts[i] = conure_op_output(g, name);
        else if (sizes)
            parts[i] = conure_op(g, "Split", name, x, sizes);
        else
            parts[i] = conure_op(g, "Split", name, x);
    }
    conure_op_int(g, "axis", axis);
    if (!sizes && conure_graph_opset(g) >= 18)
        conure_op_int(g, "num_outputs", n);
}

conure_value conure_size(conure_graph *g, const char *label, conure_value x, int axis)
{
    char name[64];
    snprintf(name, sizeof name, "%s_shape", label);
    return conure_op(g, "Gather", label, conure_op(g, "Shape", name, x), conure_ints(g, axis));
}

conure_value conure_size_scalar(conure_graph *g, const char *label, conure_value x, int axis)
{
    char name[64];
    snprintf(name, sizeof name, "%s_shape", label);
    return conure_op(g, "Gather", label, conure_op(g, "Shape", name, x), conure_index(g, axis));
}

conure_value conure_reduce_last(conure_graph *g, const char *op, const char *label, conure_value x)
{
    /* Axes became an input with opset 13 for ReduceSum, with 18 for the others. */
    const bool input = conure_graph_opset(g) >= 18 || strcmp(op, "ReduceSum") == 0;
    const conure_value out = input ? conure_op(g, op, label, x, conure_ints(g, -1)) : conure_op(g, op, label, x);
    if (!input)
        conure_op_ints(g, "axes", -1);
    conure_op_int(g, "keepdims", 1);
    return out;
}

static conure_value step_of(conure_graph *g, float most)
{
    return conure_number(g, most > 0 ? (double)(most / 127) : 1.0);
}

conure_value conure_quantise(conure_graph *g, const char *label, conure_value x, float most)
{
    return conure_op(g, "QuantizeLinear", label, x, step_of(g, most), conure_int8(g, 0));
}

conure_value conure_dequantise(conure_graph *g, const char *label, conure_value x, float most)
{
    return conure_op(g, "DequantizeLinear", label, x, step_of(g, most), conure_int8(g, 0));
}

conure_value conure_quantised(conure_graph *g, const char *label, conure_value x, float most)
{
    char name[64];
    snprintf(name, sizeof name, "%s_int8", label);
    return conure_dequantise(g, label, conure_quantise(g, name, x, most), most);
}

conure_value conure_as(conure_graph *g, const char *label, conure_value x, conure_onnx_type from, conure_onnx_type to)
{
    return from == to ? x : conure_cast(g, label, x, to);
}

/* ---- layers ----------------------------------------------------------------------------------- */

conure_value conure_silu(conure_graph *g, const char *label, conure_value x)
{
    char name[64];
    snprintf(name, sizeof name, "%s_sigmoid", label);
    return conure_op(g, "Mul", label, x, conure_op(g, "Sigmoid", name, x));
}

/* The mean of squares less the square of the mean, which can come out below 0 where all values are alike. */
static conure_value variance_at_once(conure_graph *g, const char *label, conure_value x, conure_value mean)
{
    static const char *const parts[] = {"square", "squares_mean", "mean_square", "variance_signed", "variance"};
    char names[5][64];
    for (int i = 0; i < 5; i++)
        snprintf(names[i], sizeof names[i], "%s_%s", label, parts[i]);
    const conure_value squares = conure_reduce_last(g, "ReduceMean", names[1], conure_op(g, "Mul", names[0], x, x));
    const conure_value variance = conure_op(g, "Sub", names[3], squares, conure_op(g, "Mul", names[2], mean, mean));
    return conure_op(g, "Max", names[4], variance, conure_number(g, 0));
}

/* Squares of what float16 holds do not fit into it: computed in float32. */
static conure_value norm_in_parts(conure_graph *g, const char *label, conure_value x, conure_value weight, conure_value bias, bool at_once)
{
    static const char *const parts[] = {"mean", "centred", "square", "variance", "guarded", "deviation", "unit", "gained"};
    char names[8][64];
    for (int i = 0; i < 8; i++)
        snprintf(names[i], sizeof names[i], "%s_%s", label, parts[i]);
    const conure_value mean = conure_reduce_last(g, "ReduceMean", names[0], x), centred = conure_op(g, "Sub", names[1], x, mean);
    const conure_value variance = at_once ? variance_at_once(g, label, x, mean)
                                          : conure_reduce_last(g, "ReduceMean", names[3], conure_op(g, "Mul", names[2], centred, centred));
    const conure_value guarded = conure_op(g, "Add", names[4], variance, conure_number(g, 1e-5));
    const conure_value unit = conure_op(g, "Div", names[6], centred, conure_op(g, "Sqrt", names[5], guarded));
    return conure_op(g, "Add", label, conure_op(g, "Mul", names[7], unit, weight), bias);
}

conure_value conure_layer_norm(conure_graph *g, const char *label, conure_value x, const char *name, uint32_t d, bool at_once)
{
    char full[128], wide[64];
    const int64_t dims[1] = {d};
    const bool in_parts = conure_graph_opset(g) < 17;
    const conure_onnx_type type = conure_graph_type(g);
    if (in_parts)
        conure_graph_set_type(g, CONURE_ONNX_FLOAT);
    snprintf(full, sizeof full, "%s.weight", name);
    const conure_value weight = conure_weight_value(g, full, CONURE_TURN_NONE, 1, 1, dims);
    snprintf(full, sizeof full, "%s.bias", name);
    const conure_value bias = conure_weight_value(g, full, CONURE_TURN_NONE, 1, 1, dims);
    if (in_parts && type == CONURE_ONNX_FLOAT)
        return norm_in_parts(g, label, x, weight, bias, at_once);
    if (in_parts) {
        snprintf(wide, sizeof wide, "%s_wide", label);
        snprintf(full, sizeof full, "%s_in", label);
        const conure_value y = norm_in_parts(g, wide, conure_cast(g, full, x, CONURE_ONNX_FLOAT), weight, bias, at_once);
        conure_graph_set_type(g, type);
        return conure_cast(g, label, y, type);
    }
    const conure_value out = conure_op(g, "LayerNormalization", label, x, weight, bias);
    conure_op_int(g, "axis", -1);
    conure_op_float(g, "epsilon", 1e-5f);
    return out;
}

/* [k][n] as float again.  Zero points are optional in ONNX, and TensorRT 8 fails without: as many as scales. */
static conure_value int8_weight(conure_graph *g, const char *label, const char *name, double scale, uint32_t n, uint32_t k,
                                conure_int8_weights kind)
{
    const char *own = *label == ':' ? label + 1 : label;
    char whole[64], back[64], turned[64];
    conure_value scales = NULL, weight = conure_weight_int8(g, name, kind, scale, n, k, &scales);
    const conure_value zeros = conure_int8_zeros(g, n);
    const int axis = kind == CONURE_INT8_FLOAT ? 0 : 1;
    snprintf(whole, sizeof whole, "%s_weight_int8", own);
    snprintf(back, sizeof back, "%s_weight", own);
    snprintf(turned, sizeof turned, "%s_weight_turned", own);
    if (kind == CONURE_INT8_FLOAT) {
        weight = conure_op(g, "QuantizeLinear", whole, weight, scales, zeros);
        conure_op_int(g, "axis", axis);
    }
    weight = conure_op(g, "DequantizeLinear", back, weight, scales, zeros);
    conure_op_int(g, "axis", axis);
    return kind == CONURE_INT8_FLOAT ? conure_transpose(g, turned, weight, 1, 0) : weight;
}

/* x [rows][k] -> sum over p of x[:, part p] W[part p, :].  A part can be larger than the whole: that half precision holds it is left to the
 * distance that CONURE_F16_MOST keeps. */
static conure_value in_parts(conure_graph *g, const char *label, conure_value x, const char *weight, double scale, uint32_t n, uint32_t k,
                             uint32_t parts)
{
    const int64_t dims[3] = {parts, k / parts, n};
    const char *own = *label == ':' ? label + 1 : label;
    conure_value products[CONURE_LINEAR_PARTS_MAX];
    char name[80];
    snprintf(name, sizeof name, "%s_split", own);
    x = conure_reshape(g, name, x, conure_ints(g, -1, parts, k / parts));
    snprintf(name, sizeof name, "%s_turned", own);
    x = conure_transpose(g, name, x, 1, 0, 2);
    snprintf(name, sizeof name, "%s_parts", own);
    x = conure_op(g, "MatMul", name, x, conure_weight_value(g, weight, CONURE_TURN_TRANSPOSE, scale, 3, dims));
    snprintf(name, sizeof name, "%s_part", own);
    conure_split(g, name, x, 0, parts, 1, products);
    for (uint32_t i = 1; i < parts; i++) {
        snprintf(name, sizeof name, "%s_part_sum%u", own, i);
        products[i] = conure_op(g, "Add", name, products[i - 1], products[i]);
    }
    return conure_reshape(g, label, products[parts - 1], conure_ints(g, -1, n));
}

conure_value conure_linear(conure_graph *g, const char *label, conure_value x, const char *name, uint32_t n, uint32_t k,
                           const conure_linear_options *options)
{
    static const conure_linear_options plain = {0};
    const conure_linear_options *o = options ? options : &plain;
    const int64_t dims[2] = {k, n}, bias_dims[1] = {n};
    const double scale = o->scale != 0 ? o->scale : 1;
    char full[128], product[64];
    snprintf(full, sizeof full, "%s.weight", name);
    assert(o->parts <= 1 || (!o->int8 && !o->turn && o->parts <= CONURE_LINEAR_PARTS_MAX && k % o->parts == 0));
    snprintf(product, sizeof product, "%s_product", label);
    const char *y_label = o->no_bias ? label : product;
    conure_value y = NULL;
    if (o->parts > 1)
        y = in_parts(g, y_label, x, full, scale, n, k, o->parts);
    else
        y = conure_op(g, "MatMul", y_label, x, o->int8 ? int8_weight(g, label, full, scale, n, k, o->int8)
                                                       : conure_weight_value(g, full, o->turn ? o->turn : CONURE_TURN_TRANSPOSE, scale, 2, dims));
    if (o->no_bias)
        return y;
    snprintf(full, sizeof full, "%s.bias", name);
    return conure_op(g, "Add", label, y, conure_weight_value(g, full, CONURE_TURN_NONE, scale, 1, bias_dims));
}

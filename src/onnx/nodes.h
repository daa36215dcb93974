/* nodes.h - what several nodes together are: layers of the network, and operators whose form depends on the opset. */
#ifndef CONURE_ONNX_NODES_H
#define CONURE_ONNX_NODES_H

#include "onnx/graph.h"

/* x[start : end : step] along one axis; start and end are one-dimensional int64 of one element. */
conure_value conure_slice(conure_graph *g, const char *label, conure_value x, int axis, conure_value start, conure_value end, int64_t step);
#define conure_reshape(g, label, x, shape) conure_op((g), "Reshape", (label), (x), (shape))
#define conure_transpose(g, label, x, ...) \
    conure_transpose_((g), (label), (x), CONURE_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__})
conure_value conure_transpose_(conure_graph *g, const char *label, conure_value x, size_t n, const int64_t *perm);
#define conure_unsqueeze(g, label, x, ...) conure_op((g), "Unsqueeze", (label), (x), conure_ints((g), __VA_ARGS__))
#define conure_concat(g, label, axis, ...) \
    conure_concat_((g), (label), (axis), CONURE_COUNT_OF(conure_value, __VA_ARGS__), (const conure_value[]){__VA_ARGS__})
conure_value conure_concat_(conure_graph *g, const char *label, int axis, size_t n, const conure_value *parts);
conure_value conure_cast(conure_graph *g, const char *label, conure_value x, conure_onnx_type type);
/* n equal parts along an axis whose size is n * part; part 0: not known here. */
void conure_split(conure_graph *g, const char *label, conure_value x, int axis, int64_t n, int64_t part, conure_value *parts);
/* The size of one axis: [1] of int64, or a scalar. */
conure_value conure_size(conure_graph *g, const char *label, conure_value x, int axis);
conure_value conure_size_scalar(conure_graph *g, const char *label, conure_value x, int axis);
/* ReduceMean, ReduceSum, ReduceSumSquare over the last axis, which stays as one of size 1. */
conure_value conure_reduce_last(conure_graph *g, const char *op, const char *label, conure_value x);

/* x as whole numbers of most / 127, in int8; and back.  conure_quantised() is both: where int8 products may begin. */
conure_value conure_quantise(conure_graph *g, const char *label, conure_value x, float most);
conure_value conure_dequantise(conure_graph *g, const char *label, conure_value x, float most);
conure_value conure_quantised(conure_graph *g, const char *label, conure_value x, float most);
/* x, or x in that type. */
conure_value conure_as(conure_graph *g, const char *label, conure_value x, conure_onnx_type from, conure_onnx_type to);

conure_value conure_silu(conure_graph *g, const char *label, conure_value x); /* label_sigmoid, label */
/* Of name.weight and name.bias [d], over the last axis: one operator from opset 17 on, nine before, in which at_once sums squares beside values
 * and not after them: one walk through a row in place of two.  The variance is then wrong by some 1e-7 (mean / deviation)^2 of itself. */
conure_value conure_layer_norm(conure_graph *g, const char *label, conure_value x, const char *name, uint32_t d, bool at_once);

#define CONURE_LINEAR_PARTS_MAX 16

/* How a matrix of the model is applied. */
typedef struct conure_linear_options {
    double scale;          /* of weights and bias; 0: 1 */
    bool no_bias;          /* the model has none */
    conure_int8_weights int8; /* x should have come through conure_quantised() */
    conure_turn_kind turn; /* NONE: TRANSPOSE */
    uint32_t parts;        /* of k, that are multiplied apart and added up, in one operator; 0 and 1: none.  x is then [rows][k]; not with int8 */
} conure_linear_options;

/* y = x W' + bias over the last axis; name.weight [n][k] (or with axes of 1 behind), name.bias [n].  NULL options: plain. */
conure_value conure_linear(conure_graph *g, const char *label, conure_value x, const char *name, uint32_t n, uint32_t k,
                           const conure_linear_options *options);

#endif

/* graph.h - building one ONNX graph: values by name, nodes, constants, weights that are read when the file is written.
 *
 * The builder is sticky: after a failure every call does nothing and gives NULL, and conure_graph_status() says what
 * happened, so that the mathematics can be written down without a check on each line.  The same calls give the same
 * bytes.  Used from one thread at a time. */
#ifndef CONURE_ONNX_GRAPH_H
#define CONURE_ONNX_GRAPH_H

#include "base/error.h"
#include "model/model.h"

/* Element types, with ONNX's numbers. */
typedef enum conure_onnx_type {
    CONURE_ONNX_FLOAT = 1,
    CONURE_ONNX_INT8 = 3,
    CONURE_ONNX_INT32 = 6,
    CONURE_ONNX_INT64 = 7,
    CONURE_ONNX_BOOL = 9,
    CONURE_ONNX_FLOAT16 = 10,
    CONURE_ONNX_BFLOAT16 = 16,
} conure_onnx_type;

/* How a graph holds the weights of products that a runtime is to compute in int8. */
typedef enum conure_int8_weights {
    CONURE_INT8_NONE = 0, /* there are no such products */
    CONURE_INT8_WHOLE,    /* int8 constants behind DequantizeLinear */
    CONURE_INT8_FLOAT,    /* float32 constants behind QuantizeLinear and DequantizeLinear, which TensorRT before 10 takes alone */
} conure_int8_weights;

#define CONURE_OPSET_MIN 16
#define CONURE_OPSET_MAX 21
#define CONURE_GRAPH_RANK_MAX 4

typedef struct conure_graph conure_graph;
typedef char *conure_value; /* the name of a value; the graph's.  NULL after a failure, or an input that is left out */

/* type: what floating-point values are; opset: CONURE_OPSET_MIN .. _MAX.  The model must outlive the graph. */
conure_status conure_graph_open(conure_graph **out, const conure_model *model, const char *name, uint32_t opset,
                                conure_onnx_type type, conure_error *err);
void conure_graph_close(conure_graph **graph);
conure_status conure_graph_status(const conure_graph *graph, conure_error *err); /* the first failure */
const conure_config *conure_graph_config(const conure_graph *graph);
uint32_t conure_graph_opset(const conure_graph *graph);
uint32_t conure_graph_nodes(const conure_graph *graph);
/* Of floating-point nodes and constants from now on; returns what it was. */
conure_onnx_type conure_graph_type(const conure_graph *graph);
conure_onnx_type conure_graph_set_type(conure_graph *graph, conure_onnx_type type);
/* The builder's own failure, as conure_fail(). */
__attribute__((format(printf, 3, 4))) void conure_graph_fail(conure_graph *graph, conure_status status, const char *format, ...);
/* Memory that is freed with the graph, zeroed; NULL after a failure, which is then the graph's. */
void *conure_graph_alloc(conure_graph *graph, size_t bytes);

/* What names of nodes and values begin with from now on: "layers.3.self_attn." */
__attribute__((format(printf, 2, 3))) void conure_graph_scope(conure_graph *graph, const char *format, ...);

/* Interface.  shape: dimensions with commas between, numbers or symbols, "B,128,T"; "" is a scalar. */
__attribute__((format(printf, 4, 5))) conure_value conure_graph_input(conure_graph *graph, const char *name, conure_onnx_type type,
                                                                      const char *shape, ...);
/* name is that of a value. */
__attribute__((format(printf, 4, 5))) void conure_graph_output(conure_graph *graph, const char *name, conure_onnx_type type,
                                                               const char *shape, ...);
void conure_graph_metadata(conure_graph *graph, const char *key, const char *value);

/* ---- nodes ------------------------------------------------------------------------------------ */

/* A node and its inputs (conure_value each, NULL: left out).  Its first output is called scope + label; a label that
 * begins with ':' is the whole name behind it, for outputs of the graph. */
#define conure_op(graph, op, label, ...) \
    conure_op_((graph), (op), (label), CONURE_COUNT_OF(conure_value, __VA_ARGS__), (const conure_value[]){__VA_ARGS__})
#define CONURE_COUNT_OF(type, ...) (sizeof((type[]){__VA_ARGS__}) / sizeof(type))
conure_value conure_op_(conure_graph *graph, const char *op, const char *label, size_t n, const conure_value *inputs);
/* A further output, and attributes, of the node that was added last. */
conure_value conure_op_output(conure_graph *graph, const char *label);
void conure_op_int(conure_graph *graph, const char *name, int64_t value);
void conure_op_float(conure_graph *graph, const char *name, float value);
#define conure_op_ints(graph, name, ...) \
    conure_op_ints_((graph), (name), CONURE_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__})
void conure_op_ints_(conure_graph *graph, const char *name, size_t n, const int64_t *list);
void conure_op_input(conure_graph *graph, conure_value value);

/* ---- constants and weights -------------------------------------------------------------------- */

/* One-dimensional int64, for shape operands; the same numbers are the same constant. */
#define conure_ints(graph, ...) conure_ints_((graph), CONURE_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__})
conure_value conure_ints_(conure_graph *graph, size_t n, const int64_t *list);
conure_value conure_index(conure_graph *graph, int64_t value);             /* a scalar int64 */
conure_value conure_int32(conure_graph *graph, int32_t value);             /* a scalar int32 */
conure_value conure_number(conure_graph *graph, double value);             /* a scalar of the graph's type */
conure_value conure_int8(conure_graph *graph, int8_t value);               /* a scalar int8 */
conure_value conure_int8_zeros(conure_graph *graph, uint32_t n);           /* [n] */
/* Copied; in the graph's type.  name is the whole name; dims [rank] */
conure_value conure_floats(conure_graph *graph, const char *name, const float *data, int rank, const int64_t *dims);
conure_value conure_int32s(conure_graph *graph, const char *name, const int32_t *data, int rank, const int64_t *dims);

/* How a tensor of the model becomes a constant of the graph. */
typedef enum conure_turn_kind {
    CONURE_TURN_NONE = 0,
    CONURE_TURN_TRANSPOSE,     /* W [n][k] -> [k][n], what MatMul takes */
    CONURE_TURN_DEINTERLEAVE,  /* the same, even k before odd k */
    CONURE_TURN_GATES,         /* rows: quarters i f g o -> i o f g, the LSTM operator's order */
    CONURE_TURN_HEADS,         /* W [heads x h][k] -> [heads][k][h] */
    CONURE_TURN_TAPS,          /* [n][1][3][3] -> [n][1][3][3] with the two axes of the image exchanged */
} conure_turn_kind;

/* The tensor `name` of the model, times scale; it is read when the graph is written.  dims [rank] as it stands in the graph. */
conure_value conure_weight_value(conure_graph *graph, const char *name, conure_turn_kind turn, double scale, int rank,
                                 const int64_t *dims);
/* A matrix W [n][k] for int8, and what its outputs are to be multiplied by, [n]: the largest magnitude of each is 127.  WHOLE: int8
 * [k][n], scale is in the latter; FLOAT: scale W [n][k] in float32, still to be quantised. */
conure_value conure_weight_int8(conure_graph *graph, const char *name, conure_int8_weights kind, double scale, uint32_t n, uint32_t k,
                                conure_value *scales);
/* R_r [heads][head width][n] of a layer, r = first, first - 1 ..: Wpos e(r), computed when the graph is written. */
conure_value conure_positions_value(conure_graph *graph, uint32_t layer, int64_t first, int64_t n);
bool conure_graph_has(const conure_graph *graph, const char *name); /* the model has a tensor of that name */
/* A whole tensor as float32, e.g. to fold it; freed by free().  NULL after a failure. */
float *conure_graph_read(conure_graph *graph, const char *name, size_t n);

/* ---- writing ---------------------------------------------------------------------------------- */

typedef enum conure_external {
    CONURE_EXTERNAL_AUTO = 0, /* weights in a file of their own when the whole would exceed what protobuf can hold, 2 GB */
    CONURE_EXTERNAL_ALWAYS,
    CONURE_EXTERNAL_NEVER,
} conure_external;

/* What was written. */
typedef struct conure_graph_facts {
    uint32_t n_nodes, n_initializers;
    uint64_t bytes, data_bytes; /* of the graph's file and of PATH.data, 0: none */
} conure_graph_facts;

/* Both files appear whole or not at all; weights pass through memory one at a time.  progress may be NULL.
 * Returns OK, IO, LIMIT (2 GB with EXTERNAL_NEVER), NO_MEMORY, CANCELLED, or the builder's failure. */
conure_status conure_graph_write(conure_graph *graph, const char *path, conure_external external, conure_graph_facts *facts,
                                 conure_progress_fn progress, void *user, conure_error *err);

struct conure_writer;

/* A graph that is whole under temporary names; the caller commits or aborts, data first. */
typedef struct conure_staged_graph {
    struct conure_writer *data, *graph; /* data: NULL where there is none */
} conure_staged_graph;

/* As conure_graph_write(), but for putting it in place; after a failure out is empty. */
conure_status conure_graph_stage(conure_graph *graph, const char *path, conure_external external, conure_staged_graph *out,
                                 conure_graph_facts *facts, conure_progress_fn progress, void *user, conure_error *err);

/* ---- handing over ----------------------------------------------------------------------------- */

typedef struct conure_graph_weight_facts {
    const char *name; /* name and dims are the graph's */
    conure_onnx_type type;
    int rank;
    const int64_t *dims;
    uint64_t bytes;
} conure_graph_weight_facts;

/* The graph's message without its weights, for a runtime in this process: every constant of 1 KiB and more is declared as
 * external data, at a place that does not exist.  *out is freed by free(). */
conure_status conure_graph_pack(conure_graph *graph, void **out, size_t *bytes, conure_error *err);
/* How many these are, and one of them: index 0 .. n - 1; *data [bytes] is freed by free(). */
size_t conure_graph_weights(const conure_graph *graph);
conure_status conure_graph_weight(const conure_graph *graph, size_t index, conure_graph_weight_facts *facts, void **data,
                                  conure_error *err);

#endif

/* internal.h - the parts of a graph under construction. */
#ifndef CONURE_ONNX_INTERNAL_H
#define CONURE_ONNX_INTERNAL_H

#include "onnx/graph.h"
#include "onnx/onnx.pb-c.h"

/* Where the elements of a constant come from. */
typedef enum conure_source_kind {
    CONURE_SOURCE_BYTES,     /* in the graph's arena, as they are written */
    CONURE_SOURCE_TENSOR,    /* the model's */
    CONURE_SOURCE_POSITIONS, /* computed */
} conure_source_kind;

typedef struct conure_initializer {
    char *name;
    conure_onnx_type type;
    int rank;
    int64_t dims[CONURE_GRAPH_RANK_MAX];
    uint64_t bytes;
    conure_source_kind kind;
    const void *data;            /* BYTES */
    const conure_tensor *tensor; /* TENSOR; POSITIONS: linear_pos */
    conure_turn_kind turn;
    double scale;
    int64_t first;               /* POSITIONS: the first r */
} conure_initializer;

struct conure_graph {
    const conure_model *model;
    uint32_t opset;
    conure_onnx_type type;
    conure_status status;
    conure_error error;
    void *arena;
    char scope[96];
    Onnx__GraphProto proto;  /* without initializers; its arrays are the graph's */
    Onnx__ModelProto whole;
    Onnx__OperatorSetIdProto operators, *operators_list[1];
    conure_initializer *initializers;
    size_t n_initializers;
    /* Lists that grow: capacities of proto.node, proto.input, proto.output, whole.metadata_props, initializers. */
    size_t nodes_cap, inputs_cap, outputs_cap, metadata_cap, initializers_cap;
};

char *conure_graph_text(conure_graph *graph, const char *text);
/* Room for one element more; false after a failure. */
bool conure_graph_grow(conure_graph *graph, void **list, size_t n, size_t *cap, size_t element_bytes);
size_t conure_onnx_type_bytes(conure_onnx_type type);

/* weights.c: what 1 is worth in a row of int8 weights; 1 for a row of zeros. */
float conure_int8_scale(const float *row, size_t k);
/* weights.c: the elements of a constant as they are written, freed by free(). */
conure_status conure_initializer_read(const conure_graph *graph, const conure_initializer *it, void **out, conure_error *err);

#endif

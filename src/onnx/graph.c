/* graph.c - the builder: interface, nodes, attributes. */
#include "onnx/internal.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/graphs.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the builder itself ----------------------------------------------------------------------- */

conure_status conure_graph_open(conure_graph **out, const conure_model *model, const char *name, uint32_t opset,
                                conure_onnx_type type, conure_error *err)
{
    *out = NULL;
    if (opset < CONURE_OPSET_MIN || opset > CONURE_OPSET_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "opset %u: %d to %d can be written", opset, CONURE_OPSET_MIN, CONURE_OPSET_MAX);
    const conure_status usable = conure_model_need_tensors(model, "the export", err);
    if (usable != CONURE_OK)
        return usable;
    conure_graph *g = conure_calloc(1, sizeof *g);
    if (!g)
        return conure_fail_memory(err, "a graph", sizeof *g);
    g->model = model;
    g->opset = opset;
    g->type = type;
    onnx__graph_proto__init(&g->proto);
    onnx__model_proto__init(&g->whole);
    onnx__operator_set_id_proto__init(&g->operators);
    g->proto.name = conure_graph_text(g, name);
    g->operators.domain = conure_graph_text(g, "");
    g->operators.has_version = 1;
    g->operators.version = opset;
    g->operators_list[0] = &g->operators;
    g->whole.has_ir_version = 1;
    g->whole.ir_version = opset < 19 ? 8 : opset < 21 ? 9 : 10; /* the version that each opset was released with */
    g->whole.producer_name = conure_graph_text(g, "conure");
    g->whole.producer_version = conure_graph_text(g, conure_version());
    g->whole.n_opset_import = 1;
    g->whole.opset_import = g->operators_list;
    *out = g;
    return CONURE_OK;
}

void conure_graph_close(conure_graph **graph)
{
    conure_graph *g = *graph;
    if (!g)
        return;
    free(g->proto.node);
    free(g->proto.input);
    free(g->proto.output);
    free(g->whole.metadata_props);
    free(g->initializers);
    conure_blocks_free(&g->arena);
    free(g);
    *graph = NULL;
}

void conure_graph_fail(conure_graph *g, conure_status status, const char *format, ...)
{
    char text[sizeof g->error.text];
    va_list args;
    if (g->status != CONURE_OK)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    g->status = conure_fail(&g->error, status, "%s", text);
}

conure_status conure_graph_status(const conure_graph *g, conure_error *err)
{
    return g->status == CONURE_OK ? CONURE_OK : conure_fail(err, g->status, "%s", g->error.text);
}

const conure_config *conure_graph_config(const conure_graph *g)
{
    return &g->model->config;
}

uint32_t conure_graph_opset(const conure_graph *g)
{
    return g->opset;
}

uint32_t conure_graph_nodes(const conure_graph *g)
{
    return (uint32_t)g->proto.n_node;
}

conure_onnx_type conure_graph_type(const conure_graph *g)
{
    return g->type;
}

conure_onnx_type conure_graph_set_type(conure_graph *g, conure_onnx_type type)
{
    const conure_onnx_type was = g->type;
    g->type = type;
    return was;
}

void *conure_graph_alloc(conure_graph *g, size_t bytes)
{
    void *block = g->status == CONURE_OK ? conure_block_alloc(&g->arena, bytes) : NULL;
    if (!block)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph (%zu bytes)", bytes);
    return block;
}

char *conure_graph_text(conure_graph *g, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = conure_graph_alloc(g, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

bool conure_graph_grow(conure_graph *g, void **list, size_t n, size_t *cap, size_t element_bytes)
{
    if (g->status != CONURE_OK)
        return false;
    if (n < *cap)
        return true;
    const size_t more = *cap ? 2 * *cap : 64;
    void *grown = realloc(*list, more * element_bytes);
    if (!grown) {
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph (%zu bytes)", more * element_bytes);
        return false;
    }
    *list = grown;
    *cap = more;
    return true;
}

void conure_graph_scope(conure_graph *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(g->scope, sizeof g->scope, format, args);
    va_end(args);
}

/* ---- interface -------------------------------------------------------------------------------- */

/* "B,128,T" as dimensions. */
static Onnx__TensorShapeProto *parse_shape(conure_graph *g, const char *text)
{
    Onnx__TensorShapeProto *shape = conure_graph_alloc(g, sizeof *shape);
    if (!shape)
        return NULL;
    onnx__tensor_shape_proto__init(shape);
    shape->dim = conure_graph_alloc(g, 8 * sizeof *shape->dim);
    while (*text && shape->dim && shape->n_dim < 8) {
        const size_t bytes = strcspn(text, ",");
        Onnx__TensorShapeProto__Dimension *dim = conure_graph_alloc(g, sizeof *dim);
        char *word = conure_graph_alloc(g, bytes + 1);
        if (!dim || !word)
            return NULL;
        memcpy(word, text, bytes);
        onnx__tensor_shape_proto__dimension__init(dim);
        if (*word >= '0' && *word <= '9') {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = strtoll(word, NULL, 10);
        } else {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = word;
        }
        shape->dim[shape->n_dim++] = dim;
        text += bytes + (text[bytes] == ',');
    }
    return shape;
}

static Onnx__ValueInfoProto *make_info(conure_graph *g, const char *name, conure_onnx_type type, const char *shape)
{
    Onnx__ValueInfoProto *info = conure_graph_alloc(g, sizeof *info);
    Onnx__TypeProto *kind = conure_graph_alloc(g, sizeof *kind);
    Onnx__TypeProto__Tensor *tensor = conure_graph_alloc(g, sizeof *tensor);
    if (!info || !kind || !tensor)
        return NULL;
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(kind);
    onnx__type_proto__tensor__init(tensor);
    info->name = conure_graph_text(g, name);
    info->type = kind;
    kind->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    kind->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = (int32_t)type;
    tensor->shape = parse_shape(g, shape);
    return g->status == CONURE_OK ? info : NULL;
}

conure_value conure_graph_input(conure_graph *g, const char *name, conure_onnx_type type, const char *shape, ...)
{
    char text[128];
    va_list args;
    va_start(args, shape);
    vsnprintf(text, sizeof text, shape, args);
    va_end(args);
    Onnx__ValueInfoProto *info = make_info(g, name, type, text);
    if (!info || !conure_graph_grow(g, (void **)&g->proto.input, g->proto.n_input, &g->inputs_cap, sizeof info))
        return NULL;
    g->proto.input[g->proto.n_input++] = info;
    return info->name;
}

void conure_graph_output(conure_graph *g, const char *name, conure_onnx_type type, const char *shape, ...)
{
    char text[128];
    va_list args;
    va_start(args, shape);
    vsnprintf(text, sizeof text, shape, args);
    va_end(args);
    Onnx__ValueInfoProto *info = make_info(g, name, type, text);
    if (info && conure_graph_grow(g, (void **)&g->proto.output, g->proto.n_output, &g->outputs_cap, sizeof info))
        g->proto.output[g->proto.n_output++] = info;
}

void conure_graph_metadata(conure_graph *g, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = conure_graph_alloc(g, sizeof *entry);
    if (!entry || !conure_graph_grow(g, (void **)&g->whole.metadata_props, g->whole.n_metadata_props, &g->metadata_cap, sizeof entry))
        return;
    onnx__string_string_entry_proto__init(entry);
    entry->key = conure_graph_text(g, key);
    entry->value = conure_graph_text(g, value);
    g->whole.metadata_props[g->whole.n_metadata_props++] = entry;
}

/* ---- nodes ------------------------------------------------------------------------------------ */

enum { ATTRIBUTES_MAX = 8 }; /* more than any operator here has */

static Onnx__NodeProto *last_node(conure_graph *g)
{
    return g->status == CONURE_OK ? g->proto.node[g->proto.n_node - 1] : NULL;
}

static char *scoped(conure_graph *g, const char *label)
{
    char name[192];
    if (*label == ':')
        return conure_graph_text(g, label + 1);
    snprintf(name, sizeof name, "%s%s", g->scope, label);
    return conure_graph_text(g, name);
}

/* Lists of a node are in the arena, grown by doubling: the old ones stay there until the graph is closed. */
static bool append(conure_graph *g, char ***list, size_t *n, char *text)
{
    if ((*n & (*n - 1)) == 0) { /* 0 and powers of two: full */
        char **grown = conure_graph_alloc(g, (*n ? 2 * *n : 1) * sizeof *grown);
        if (!grown)
            return false;
        if (*n)
            memcpy(grown, *list, *n * sizeof *grown);
        *list = grown;
    }
    (*list)[(*n)++] = text;
    return true;
}

void conure_op_input(conure_graph *g, conure_value value)
{
    Onnx__NodeProto *node = last_node(g);
    static const char none[] = "";
    if (node)
        append(g, &node->input, &node->n_input, value ? value : (char *)none);
}

conure_value conure_op_output(conure_graph *g, const char *label)
{
    Onnx__NodeProto *node = last_node(g);
    char *name = node ? scoped(g, label) : NULL;
    if (!name || !append(g, &node->output, &node->n_output, name))
        return NULL;
    return name;
}

conure_value conure_op_(conure_graph *g, const char *op, const char *label, size_t n, const conure_value *inputs)
{
    Onnx__NodeProto *node = conure_graph_alloc(g, sizeof *node);
    if (!node || !conure_graph_grow(g, (void **)&g->proto.node, g->proto.n_node, &g->nodes_cap, sizeof node))
        return NULL;
    onnx__node_proto__init(node);
    node->op_type = conure_graph_text(g, op);
    node->name = scoped(g, label);
    g->proto.node[g->proto.n_node++] = node;
    for (size_t i = 0; i < n; i++)
        conure_op_input(g, inputs[i]);
    return conure_op_output(g, label);
}

static Onnx__AttributeProto *attribute(conure_graph *g, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__NodeProto *node = last_node(g);
    Onnx__AttributeProto *a = node ? conure_graph_alloc(g, sizeof *a) : NULL;
    if (!a)
        return NULL;
    if (!node->attribute)
        node->attribute = conure_graph_alloc(g, ATTRIBUTES_MAX * sizeof *node->attribute);
    if (!node->attribute)
        return NULL;
    assert(node->n_attribute < ATTRIBUTES_MAX);
    onnx__attribute_proto__init(a);
    a->name = conure_graph_text(g, name);
    a->has_type = 1;
    a->type = type;
    node->attribute[node->n_attribute++] = a;
    return a;
}

void conure_op_int(conure_graph *g, const char *name, int64_t value)
{
    Onnx__AttributeProto *a = attribute(g, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a)
        return;
    a->has_i = 1;
    a->i = value;
}

void conure_op_float(conure_graph *g, const char *name, float value)
{
    Onnx__AttributeProto *a = attribute(g, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a)
        return;
    a->has_f = 1;
    a->f = value;
}

void conure_op_ints_(conure_graph *g, const char *name, size_t n, const int64_t *list)
{
    Onnx__AttributeProto *a = attribute(g, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = a ? conure_graph_alloc(g, n * sizeof *copy) : NULL;
    if (!copy)
        return;
    a->ints = memcpy(copy, list, n * sizeof *copy);
    a->n_ints = n;
}

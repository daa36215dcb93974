/* constants.c - the constants of a graph: numbers, tables, and weights that stay in the model until they are written. */
#include "onnx/internal.h"

#include "base/memory.h"
#include "model/halves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t conure_onnx_type_bytes(conure_onnx_type type)
{
    switch (type) {
    case CONURE_ONNX_INT64: return 8;
    case CONURE_ONNX_FLOAT:
    case CONURE_ONNX_INT32: return 4;
    case CONURE_ONNX_FLOAT16:
    case CONURE_ONNX_BFLOAT16: return 2;
    case CONURE_ONNX_INT8:
    case CONURE_ONNX_BOOL: return 1;
    }
    return 0;
}

static conure_initializer *find(const conure_graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializers; i++)
        if (strcmp(g->initializers[i].name, name) == 0)
            return &g->initializers[i];
    return NULL;
}

/* A new constant, its elements still to come; NULL after a failure. */
static conure_initializer *add(conure_graph *g, const char *name, conure_onnx_type type, int rank, const int64_t *dims)
{
    size_t bytes = conure_onnx_type_bytes(type);
    if (!conure_graph_grow(g, (void **)&g->initializers, g->n_initializers, &g->initializers_cap, sizeof *g->initializers))
        return NULL;
    conure_initializer *it = &g->initializers[g->n_initializers];
    *it = (conure_initializer){.name = conure_graph_text(g, name), .type = type, .rank = rank, .scale = 1};
    for (int i = 0; i < rank; i++) {
        it->dims[i] = dims[i];
        if (!conure_mul(bytes, (size_t)dims[i], &bytes))
            conure_graph_fail(g, CONURE_LIMIT, "%s does not fit the address space", name);
    }
    it->bytes = bytes;
    if (g->status != CONURE_OK)
        return NULL;
    g->n_initializers++;
    return it;
}

static conure_value add_bytes(conure_graph *g, const char *name, conure_onnx_type type, int rank, const int64_t *dims, const void *data)
{
    conure_initializer *it = add(g, name, type, rank, dims);
    void *copy = it ? conure_graph_alloc(g, it->bytes) : NULL;
    if (!copy)
        return NULL;
    it->data = memcpy(copy, data, it->bytes);
    return it->name;
}

/* A constant that another of this name may stand for already: the name says its value. */
static conure_value shared(conure_graph *g, const char *name, conure_onnx_type type, int rank, const int64_t *dims, const void *data)
{
    const conure_initializer *known = g->status == CONURE_OK ? find(g, name) : NULL;
    return known ? known->name : add_bytes(g, name, type, rank, dims, data);
}

conure_value conure_ints_(conure_graph *g, size_t n, const int64_t *list)
{
    conure_buffer name = {0};
    const int64_t dims[1] = {(int64_t)n};
    conure_buffer_text(&name, "ints");
    for (size_t i = 0; i < n; i++)
        conure_buffer_format(&name, list[i] == INT64_MAX ? "_end" : "_%lld", (long long)list[i]);
    if (name.failed)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
    const conure_value out = name.failed ? NULL : shared(g, name.data, CONURE_ONNX_INT64, 1, dims, list);
    conure_buffer_free(&name);
    return out;
}

conure_value conure_index(conure_graph *g, int64_t value)
{
    char name[48];
    snprintf(name, sizeof name, "index_%lld", (long long)value);
    return shared(g, name, CONURE_ONNX_INT64, 0, NULL, &value);
}

conure_value conure_int32(conure_graph *g, int32_t value)
{
    char name[48];
    snprintf(name, sizeof name, "int32_%d", value);
    return shared(g, name, CONURE_ONNX_INT32, 0, NULL, &value);
}

conure_value conure_int8(conure_graph *g, int8_t value)
{
    char name[48];
    snprintf(name, sizeof name, "int8_%d", value);
    return shared(g, name, CONURE_ONNX_INT8, 0, NULL, &value);
}

conure_value conure_int8_zeros(conure_graph *g, uint32_t n)
{
    char name[48];
    const int64_t dims[1] = {n};
    void *zeros = conure_graph_alloc(g, n); /* the graph's, zeroed */
    snprintf(name, sizeof name, "int8_zeros_%u", n);
    return zeros ? shared(g, name, CONURE_ONNX_INT8, 1, dims, zeros) : NULL;
}

/* float32 -> the type of a constant, in place of the caller's choice. */
static void narrow(void *dst, const float *src, size_t n, conure_onnx_type type)
{
    uint16_t *halves = dst;
    if (type == CONURE_ONNX_FLOAT)
        memcpy(dst, src, n * sizeof *src);
    for (size_t i = 0; type == CONURE_ONNX_FLOAT16 && i < n; i++)
        halves[i] = narrow_f16(src[i]);
    for (size_t i = 0; type == CONURE_ONNX_BFLOAT16 && i < n; i++)
        halves[i] = narrow_bf16(src[i]);
}

static const char *type_suffix(conure_onnx_type type)
{
    return type == CONURE_ONNX_FLOAT16 ? "_f16" : type == CONURE_ONNX_BFLOAT16 ? "_bf16" : "";
}

conure_value conure_number(conure_graph *g, double value)
{
    char name[64];
    const float single = (float)value;
    uint32_t room;
    narrow(&room, &single, 1, g->type);
    snprintf(name, sizeof name, "number_%.9g%s", value, type_suffix(g->type));
    return shared(g, name, g->type, 0, NULL, &room);
}

conure_value conure_floats(conure_graph *g, const char *name, const float *data, int rank, const int64_t *dims)
{
    conure_initializer *it = data ? add(g, name, g->type, rank, dims) : NULL;
    void *copy = it ? conure_graph_alloc(g, it->bytes) : NULL;
    if (!copy)
        return NULL;
    narrow(copy, data, it->bytes / conure_onnx_type_bytes(g->type), g->type);
    it->data = copy;
    return it->name;
}

conure_value conure_int32s(conure_graph *g, const char *name, const int32_t *data, int rank, const int64_t *dims)
{
    return data ? add_bytes(g, name, CONURE_ONNX_INT32, rank, dims, data) : NULL;
}

/* ---- the model's tensors ---------------------------------------------------------------------- */

static const conure_tensor *tensor_of(conure_graph *g, const char *name, uint64_t n)
{
    const conure_tensor *tensor = g->status == CONURE_OK ? conure_model_tensor(g->model, name) : NULL;
    uint64_t count = 1;
    for (uint32_t i = 0; tensor && i < tensor->rank; i++)
        count *= tensor->shape[i];
    if (!tensor)
        conure_graph_fail(g, CONURE_BAD_FILE, "%s: tensor %s is missing", g->model->name, name);
    else if (count != n)
        conure_graph_fail(g, CONURE_BAD_FILE, "%s: %s has %llu elements, expected %llu", g->model->name, name,
                          (unsigned long long)count, (unsigned long long)n);
    else
        return tensor;
    return NULL;
}

conure_value conure_weight_value(conure_graph *g, const char *name, conure_turn_kind turn, double scale, int rank, const int64_t *dims)
{
    uint64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (uint64_t)dims[i];
    const conure_tensor *tensor = tensor_of(g, name, n);
    const conure_initializer *known = tensor ? find(g, name) : NULL;
    if (known)
        return known->name;
    conure_initializer *it = tensor ? add(g, name, g->type, rank, dims) : NULL;
    if (!it)
        return NULL;
    it->kind = CONURE_SOURCE_TENSOR;
    it->tensor = tensor;
    it->turn = turn;
    it->scale = scale;
    return it->name;
}

conure_value conure_weight_int8(conure_graph *g, const char *name, conure_int8_weights kind, double scale, uint32_t n, uint32_t k,
                                conure_value *scales)
{
    const int64_t dims[2] = {k, n}, rows[2] = {n, k}, scale_dims[1] = {n};
    char full[128];
    const conure_tensor *tensor = tensor_of(g, name, (uint64_t)n * k);
    float *data = conure_graph_read(g, name, (size_t)n * k);
    for (size_t i = 0; data && i < n; i++) /* row i is read before place i is written: k is at least 1 */
        data[i] = (float)(conure_int8_scale(data + i * k, k) * scale);
    snprintf(full, sizeof full, "%s_scale", name);
    *scales = conure_floats(g, full, data, 1, scale_dims);
    free(data);
    if (kind == CONURE_INT8_FLOAT)
        return conure_weight_value(g, name, CONURE_TURN_NONE, scale, 2, rows);
    snprintf(full, sizeof full, "%s_int8", name);
    conure_initializer *it = tensor ? add(g, full, CONURE_ONNX_INT8, 2, dims) : NULL;
    if (!it)
        return NULL;
    it->kind = CONURE_SOURCE_TENSOR;
    it->tensor = tensor;
    it->turn = CONURE_TURN_TRANSPOSE;
    return it->name;
}

conure_value conure_positions_value(conure_graph *g, uint32_t layer, int64_t first, int64_t n)
{
    const conure_config *c = &g->model->config;
    const int64_t dims[3] = {c->n_heads, c->d_model / c->n_heads, n};
    char name[128];
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_pos.weight", layer);
    const conure_tensor *tensor = tensor_of(g, name, (uint64_t)c->d_model * c->d_model);
    snprintf(name, sizeof name, "encoder.layers.%u.self_attn.positions", layer);
    conure_initializer *it = tensor ? add(g, name, g->type, 3, dims) : NULL;
    if (!it)
        return NULL;
    it->kind = CONURE_SOURCE_POSITIONS;
    it->tensor = tensor;
    it->first = first;
    return it->name;
}

bool conure_graph_has(const conure_graph *g, const char *name)
{
    return conure_model_tensor(g->model, name) != NULL;
}

float *conure_graph_read(conure_graph *g, const char *name, size_t n)
{
    const conure_tensor *tensor = tensor_of(g, name, n);
    float *data = tensor ? conure_calloc(n, sizeof *data) : NULL;
    conure_error err = {""};
    if (tensor && !data)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for %s (%zu bytes)", name, n * sizeof *data);
    const conure_status status = data ? conure_tensor_read_f32(tensor, data, n, &err) : g->status;
    if (status == CONURE_OK)
        return data;
    conure_graph_fail(g, status, "%s", err.text);
    free(data);
    return NULL;
}

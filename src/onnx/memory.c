/* memory.c - a graph for a runtime in this process: its message as bytes, its weights beside it one by one.
 *
 * Nothing goes through a file, and no message holds the weights, which Protocol Buffers would copy and limit to 2 GB: a weight
 * is declared as external data, in whose place the runtime takes memory that it is given under the weight's name. */
#include "onnx/internal.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Smaller constants stay in the graph, where shapes are inferred from them and nodes folded. */
enum { WEIGHT_BYTES_MIN = 1024 };

static bool is_weight(const conure_initializer *it)
{
    return it->bytes >= WEIGHT_BYTES_MIN;
}

size_t conure_graph_weights(const conure_graph *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_initializers; i++)
        n += is_weight(&g->initializers[i]);
    return n;
}

conure_status conure_graph_weight(const conure_graph *g, size_t index, conure_graph_weight_facts *facts, void **data, conure_error *err)
{
    const conure_initializer *it = g->initializers;
    while (!is_weight(it) || index--)
        it++;
    *facts = (conure_graph_weight_facts){.name = it->name, .type = it->type, .rank = it->rank, .dims = it->dims, .bytes = it->bytes};
    return conure_initializer_read(g, it, data, err);
}

/* The message of a constant; strings and elements of a small one are put into the graph's arena. */
static bool fill(conure_graph *g, Onnx__TensorProto *proto, const conure_initializer *it)
{
    static const char *const keys[2] = {"location", "length"};
    char length[24];
    onnx__tensor_proto__init(proto);
    proto->name = it->name;
    proto->n_dims = (size_t)it->rank;
    proto->dims = (int64_t *)it->dims;
    proto->has_data_type = 1;
    proto->data_type = (int32_t)it->type;
    if (!is_weight(it)) {
        void *data = NULL;
        const conure_status status = conure_initializer_read(g, it, &data, &g->error);
        proto->raw_data.data = status == CONURE_OK ? conure_graph_alloc(g, it->bytes + 1) : NULL;
        if (proto->raw_data.data)
            memcpy(proto->raw_data.data, data, it->bytes);
        if (status != CONURE_OK)
            g->status = status;
        proto->raw_data.len = it->bytes;
        proto->has_raw_data = 1;
        free(data);
        return g->status == CONURE_OK;
    }
    snprintf(length, sizeof length, "%llu", (unsigned long long)it->bytes);
    proto->external_data = conure_graph_alloc(g, 2 * sizeof *proto->external_data);
    for (size_t i = 0; i < 2 && proto->external_data; i++) {
        Onnx__StringStringEntryProto *entry = conure_graph_alloc(g, sizeof *entry);
        if (!entry)
            return false;
        onnx__string_string_entry_proto__init(entry);
        entry->key = conure_graph_text(g, keys[i]);
        entry->value = conure_graph_text(g, i ? length : "weights");
        proto->external_data[proto->n_external_data++] = entry;
    }
    proto->has_data_location = 1;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    return g->status == CONURE_OK;
}

conure_status conure_graph_pack(conure_graph *g, void **out, size_t *bytes, conure_error *err)
{
    *out = NULL;
    const size_t n = g->n_initializers;
    Onnx__TensorProto *protos = conure_graph_alloc(g, (n + 1) * sizeof *protos);
    Onnx__TensorProto **list = conure_graph_alloc(g, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n && list && fill(g, &protos[i], &g->initializers[i]); i++)
        list[i] = &protos[i];
    if (g->status != CONURE_OK)
        return conure_graph_status(g, err);
    Onnx__GraphProto graph = g->proto;
    Onnx__ModelProto whole = g->whole;
    graph.initializer = list;
    graph.n_initializer = n;
    whole.graph = &graph;
    *bytes = onnx__model_proto__get_packed_size(&whole);
    *out = malloc(*bytes + 1);
    if (!*out)
        return conure_fail_memory(err, g->proto.name, *bytes);
    onnx__model_proto__pack(&whole, *out);
    return CONURE_OK;
}

/* onnx_file.c - what a graph says of itself.  Everything that was read lies within its bounds. */
#include "model/onnx_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void look(const conure_onnx_port *ports, uint32_t n)
{
    if (n > CONURE_ONNX_PORTS_MAX)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        if (!memchr(ports[i].name, 0, sizeof ports[i].name) || !ports[i].name[0] || ports[i].rank > CONURE_ONNX_RANK_MAX)
            abort();
        for (uint32_t k = 0; k < ports[i].rank; k++)
            if (ports[i].dims[k] < -1 || ports[i].dims[k] > INT32_MAX)
                abort();
    }
}

typedef struct span {
    const uint8_t *data;
    size_t bytes;
} span;

static conure_status place(void *user, const char *path, size_t bytes, uint64_t end, conure_error *err)
{
    const span *s = user;
    (void)end;
    (void)err;
    if (!bytes || path < (const char *)s->data || bytes > (size_t)((const char *)s->data + s->bytes - path))
        abort();
    return CONURE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static conure_onnx_facts facts;
    conure_error err;
    uint32_t list[4], n;
    span all = {data, bytes};
    (void)conure_onnx_externals(data, bytes, place, &all, "fuzz", &err);
    if (conure_onnx_read(&facts, data, bytes, "fuzz", &err) != CONURE_OK)
        return 0;
    look(facts.inputs, facts.n_inputs);
    look(facts.outputs, facts.n_outputs);
    for (uint32_t i = 0; i < facts.n_metadata; i++) {
        const conure_onnx_entry *e = &facts.metadata[i];
        const char *end = (const char *)data + bytes;
        if (e->key < (const char *)data || e->key_bytes > (size_t)(end - e->key) || e->value < (const char *)data ||
            e->value_bytes > (size_t)(end - e->value))
            abort();
    }
    (void)conure_onnx_numbers(&facts, "vocab_size", 1, list, &n, "fuzz", &err);
    if (conure_onnx_numbers(&facts, "conure.durations", 4, list, &n, "fuzz", &err) == CONURE_OK && n > 4)
        abort();
    return 0;
}

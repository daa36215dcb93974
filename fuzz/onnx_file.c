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

static conure_status place(void *user, const conure_onnx_external *at, conure_error *err)
{
    const span *s = user;
    (void)err;
    if (!at->location_bytes || at->location < (const char *)s->data || at->location_bytes > (size_t)((const char *)s->data + s->bytes - at->location))
        abort();
    return CONURE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static conure_onnx_facts facts;
    conure_error err;
    uint32_t number = 0, list[4], n;
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
    const conure_status one = conure_onnx_number(&facts, "vocab_size", INT32_MAX, &number, "fuzz", &err);
    if (number > INT32_MAX || (one != CONURE_OK && number))
        abort();
    if (conure_onnx_numbers(&facts, "conure.durations", 9, 4, list, &n, "fuzz", &err) == CONURE_OK && n > 4)
        abort();
    return 0;
}

/* onnx_file.c - the Protocol Buffers of a graph, field by field (onnx_file.h).  Numbers of fields are those of onnx.proto. */
#include "model/onnx_file.h"

#include "base/memory.h"
#include "model/quote.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, SPAN = 2, FIXED32 = 5 };

typedef struct cursor {
    const uint8_t *at, *end;
    bool failed;
} cursor;

typedef struct field {
    uint64_t number; /* 1 .. 2^29 - 1 */
    int wire;
    uint64_t value;  /* VARINT */
    cursor span;     /* SPAN */
} field;

static uint64_t varint(cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        const uint8_t byte = *c->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    c->failed = true;
    return 0;
}

/* The next field; false at the end and where nothing makes sense. */
static bool next(cursor *c, field *f)
{
    if (c->failed || c->at == c->end)
        return false;
    const uint64_t tag = varint(c);
    *f = (field){.number = tag >> 3, .wire = (int)(tag & 7)};
    if (f->wire == VARINT) {
        f->value = varint(c);
    } else {
        const uint64_t bytes = f->wire == FIXED64 ? 8 : f->wire == FIXED32 ? 4 : f->wire == SPAN ? varint(c) : UINT64_MAX;
        if (bytes > (uint64_t)(c->end - c->at))
            c->failed = true;
        if (c->failed)
            return false;
        f->span = (cursor){c->at, c->at + bytes, false};
        c->at += bytes;
    }
    if (f->number == 0)
        c->failed = true;
    return !c->failed;
}

static bool is(const field *f, uint64_t number, int wire)
{
    return f->number == number && f->wire == wire;
}

/* TensorShapeProto: dim 1; of a dimension dim_value 1. */
static bool read_shape(conure_onnx_port *port, cursor c)
{
    field f, part;
    while (next(&c, &f)) {
        if (!is(&f, 1, SPAN))
            continue;
        int64_t size = -1;
        while (next(&f.span, &part))
            if (is(&part, 1, VARINT) && part.value <= INT32_MAX)
                size = (int64_t)part.value;
        if (f.span.failed || port->rank == CONURE_ONNX_RANK_MAX)
            return false;
        port->dims[port->rank++] = size;
    }
    return !c.failed;
}

/* TypeProto: tensor_type 1; of it elem_type 1, shape 2.  Anything but a tensor keeps type 0. */
static bool read_type(conure_onnx_port *port, cursor c)
{
    field f, part;
    while (next(&c, &f)) {
        if (!is(&f, 1, SPAN))
            continue;
        while (next(&f.span, &part)) {
            if (is(&part, 1, VARINT) && part.value <= 64)
                port->type = (int32_t)part.value;
            if (is(&part, 2, SPAN) && !read_shape(port, part.span))
                return false;
        }
        if (f.span.failed)
            return false;
    }
    return !c.failed;
}

/* ValueInfoProto: name 1, type 2. */
static bool read_port(conure_onnx_port *ports, uint32_t *n, cursor c)
{
    field f;
    if (*n == CONURE_ONNX_PORTS_MAX)
        return false;
    conure_onnx_port *port = &ports[*n];
    *port = (conure_onnx_port){.type = 0};
    while (next(&c, &f)) {
        const size_t bytes = f.wire == SPAN ? (size_t)(f.span.end - f.span.at) : 0;
        if (is(&f, 1, SPAN)) {
            if (bytes == 0 || bytes >= sizeof port->name || memchr(f.span.at, 0, bytes))
                return false;
            memcpy(port->name, f.span.at, bytes);
            port->name[bytes] = 0;
        } else if (is(&f, 2, SPAN)) {
            port->rank = 0;
            if (!read_type(port, f.span))
                return false;
        }
    }
    ++*n;
    return !c.failed && port->name[0];
}

/* GraphProto: input 11, output 12. */
static bool read_graph(conure_onnx_facts *out, cursor c)
{
    field f;
    while (next(&c, &f)) {
        if (is(&f, 11, SPAN) && !read_port(out->inputs, &out->n_inputs, f.span))
            return false;
        if (is(&f, 12, SPAN) && !read_port(out->outputs, &out->n_outputs, f.span))
            return false;
    }
    return !c.failed;
}

/* StringStringEntryProto: key 1, value 2. */
static bool read_entry(conure_onnx_facts *out, cursor c)
{
    field f;
    conure_onnx_entry entry = {.key = NULL};
    while (next(&c, &f)) {
        const size_t bytes = f.wire == SPAN ? (size_t)(f.span.end - f.span.at) : 0;
        if (is(&f, 1, SPAN)) {
            entry.key = (const char *)f.span.at;
            entry.key_bytes = bytes;
            if (!entry.value) /* an empty one may be left out */
                entry.value = entry.key;
        } else if (is(&f, 2, SPAN)) {
            entry.value = (const char *)f.span.at;
            entry.value_bytes = bytes;
        }
    }
    if (!c.failed && entry.key && entry.value && out->n_metadata < CONURE_ONNX_METADATA_MAX)
        out->metadata[out->n_metadata++] = entry;
    return !c.failed;
}

conure_status conure_onnx_read(conure_onnx_facts *out, const void *data, uint64_t bytes, const char *where, conure_error *err)
{
    cursor c = {data, bytes ? (const uint8_t *)data + bytes : data, false}; /* an empty file is at NULL */
    field f;
    uint32_t n_graphs = 0;
    *out = (conure_onnx_facts){.n_inputs = 0};
    while (bytes && next(&c, &f)) { /* ModelProto: graph 7, metadata_props 14 */
        if (is(&f, 7, SPAN)) {
            if (n_graphs++ || !read_graph(out, f.span))
                return conure_fail(err, CONURE_BAD_FILE, "%s: the graph's inputs and outputs cannot be read: damaged, or not a graph of a "
                                   "speech model", where);
        } else if (is(&f, 14, SPAN) && !read_entry(out, f.span)) {
            return conure_fail(err, CONURE_BAD_FILE, "%s: the metadata cannot be read: damaged", where);
        }
    }
    if (c.failed || !n_graphs)
        return conure_fail(err, CONURE_BAD_FILE, "%s: %s: fetch or export it again", where, c.failed ? "damaged, or cut short" : "holds no graph");
    return CONURE_OK;
}

const conure_onnx_entry *conure_onnx_find(const conure_onnx_facts *facts, const char *key)
{
    const size_t bytes = strlen(key);
    for (uint32_t i = 0; i < facts->n_metadata; i++)
        if (facts->metadata[i].key_bytes == bytes && memcmp(facts->metadata[i].key, key, bytes) == 0)
            return &facts->metadata[i];
    return NULL;
}

/* Digits as a number; false for none, for anything else, and for more than max. */
static bool parse(const char *text, size_t bytes, uint64_t max, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < bytes; i++) {
        const uint64_t digit = (uint64_t)(uint8_t)text[i] - '0';
        if (digit > 9 || *out > (max - 9) / 10)
            return false;
        *out = 10 * *out + digit;
    }
    return bytes != 0;
}

conure_status conure_onnx_numbers(const conure_onnx_facts *facts, const char *key, uint32_t cap, uint32_t *out, uint32_t *n,
                                  const char *where, conure_error *err)
{
    const conure_onnx_entry *e = conure_onnx_find(facts, key);
    bool good = true, more = e != NULL;
    char shown[64];
    *n = 0;
    for (size_t at = 0; good && more; ++*n) {
        const char *text = e->value + at, *comma = memchr(text, ',', e->value_bytes - at);
        const size_t bytes = comma ? (size_t)(comma - text) : e->value_bytes - at;
        uint64_t value;
        good = *n < cap && parse(text, bytes, INT32_MAX, &value) && (cap > 1 || value);
        if (good)
            out[*n] = (uint32_t)value;
        at += bytes + 1;
        more = comma != NULL;
    }
    return good ? CONURE_OK : conure_fail(err, CONURE_BAD_FILE, "%s: the metadata's %s is \"%s\": not %s", where, key,
                                          conure_quote(shown, sizeof shown, e->value, e->value_bytes), cap == 1 ? "a size" : "a list of numbers");
}

/* ---- weights in other files -------------------------------------------------------------------- */

enum { MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, DEPTH_MAX = 64 /* a graph in an attribute of a node of a graph .. */ };

/* Where tensors may be: the field of a message that holds another message. */
static const uint8_t inside[][3] = {
    {MODEL, 7, GRAPH}, {GRAPH, 1, NODE}, {GRAPH, 5, TENSOR}, {NODE, 5, ATTRIBUTE},
    {ATTRIBUTE, 5, TENSOR}, {ATTRIBUTE, 10, TENSOR}, {ATTRIBUTE, 6, GRAPH}, {ATTRIBUTE, 11, GRAPH},
};

typedef struct walker {
    conure_onnx_external_fn fn;
    void *user;
    conure_error *err;
    conure_status status;
} walker;

/* TensorProto: data_location 14, where 1 is another file, which external_data 13 names.  False: damaged. */
static bool walk_tensor(walker *w, cursor c)
{
    conure_onnx_facts told = {.n_inputs = 0};
    uint64_t offset = 0, bytes = 0;
    bool elsewhere = false;
    field f;
    while (next(&c, &f)) {
        if (is(&f, 14, VARINT))
            elsewhere = f.value == 1;
        else if (is(&f, 13, SPAN) && !read_entry(&told, f.span))
            return false;
    }
    if (c.failed || !elsewhere)
        return !c.failed;
    const conure_onnx_entry *at = conure_onnx_find(&told, "location"), *from = conure_onnx_find(&told, "offset"),
                            *length = conure_onnx_find(&told, "length");
    if (!at || !at->value_bytes || (from && !parse(from->value, from->value_bytes, INT64_MAX, &offset)) ||
        (length && !parse(length->value, length->value_bytes, INT64_MAX, &bytes)))
        return false;
    w->status = w->fn(w->user, at->value, at->value_bytes, offset + bytes, w->err);
    return true;
}

static bool walk(walker *w, cursor c, int message, int depth)
{
    field f;
    if (message == TENSOR)
        return walk_tensor(w, c);
    while (w->status == CONURE_OK && next(&c, &f))
        for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
            if (inside[i][0] == message && is(&f, inside[i][1], SPAN) && (depth == DEPTH_MAX || !walk(w, f.span, inside[i][2], depth + 1)))
                return false;
    return !c.failed;
}

conure_status conure_onnx_externals(const void *data, uint64_t bytes, conure_onnx_external_fn fn, void *user, const char *where,
                                    conure_error *err)
{
    walker w = {fn, user, err, CONURE_OK};
    if (bytes && !walk(&w, (cursor){data, (const uint8_t *)data + bytes, false}, MODEL, 0))
        return conure_fail(err, CONURE_BAD_FILE, "%s: nodes or constants cannot be read: damaged: fetch or export it again", where);
    return w.status;
}

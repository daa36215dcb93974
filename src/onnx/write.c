/* write.c - a graph as a file.
 *
 * Protocol Buffers want the length of a message in front of it, and protobuf-c wants all of it in memory.  The lengths are
 * known beforehand, so the messages around the weights are put together here and the weights go to the file one by one. */
#include "onnx/internal.h"

#include "base/files.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto, with wire type 2 (length and bytes). */
enum { TAG_MODEL_GRAPH = 7 << 3 | 2, TAG_GRAPH_INITIALIZER = 5 << 3 | 2, TAG_TENSOR_RAW_DATA = 9 << 3 | 2 };

/* Protocol Buffers count a message's bytes in 31 bits. */
static const uint64_t MESSAGE_BYTES_MAX = 0x7fffffff;
/* A constant of less stays in the graph, where a reader of shapes finds it. */
enum { EXTERNAL_BYTES_MIN = 1024, EXTERNAL_ALIGN = 4096 };

typedef struct file {
    conure_graph *g;
    const char *path;
    char data_name[256]; /* of the file of weights, beside the graph; "" when they are in the graph */
    uint64_t data_at;
    conure_writer *graph, *data;
    uint64_t bytes, all_bytes, done_bytes;
    conure_progress_fn progress;
    void *user;
    conure_error *err;
} file;

static size_t varint_bytes(uint64_t value)
{
    size_t n = 1;
    for (; value >= 0x80; value >>= 7)
        n++;
    return n;
}

static conure_status put(file *f, const void *data, size_t bytes)
{
    f->bytes += bytes;
    return conure_writer_write(f->graph, data, bytes, f->err);
}

/* A tag and a length. */
static conure_status put_head(file *f, uint8_t tag, uint64_t bytes)
{
    uint8_t head[11] = {tag};
    size_t n = 1;
    for (; bytes >= 0x80; bytes >>= 7)
        head[n++] = (uint8_t)(bytes | 0x80);
    head[n++] = (uint8_t)bytes;
    return put(f, head, n);
}

static bool is_external(const file *f, const conure_initializer *it)
{
    return f->data_name[0] && it->bytes >= EXTERNAL_BYTES_MIN;
}

/* The message of a constant without its elements, and what it refers to. */
typedef struct head {
    Onnx__TensorProto proto;
    Onnx__StringStringEntryProto entry[3], *entries[3];
    char offset[24], length[24];
} head;

static void make_head(const file *f, const conure_initializer *it, uint64_t offset, head *h)
{
    static const char *const keys[3] = {"location", "offset", "length"};
    const char *const values[3] = {f->data_name, h->offset, h->length};
    onnx__tensor_proto__init(&h->proto);
    h->proto.name = it->name;
    h->proto.n_dims = (size_t)it->rank;
    h->proto.dims = (int64_t *)it->dims;
    h->proto.has_data_type = 1;
    h->proto.data_type = (int32_t)it->type;
    if (!is_external(f, it))
        return;
    snprintf(h->offset, sizeof h->offset, "%llu", (unsigned long long)offset);
    snprintf(h->length, sizeof h->length, "%llu", (unsigned long long)it->bytes);
    for (int i = 0; i < 3; i++) {
        onnx__string_string_entry_proto__init(&h->entry[i]);
        h->entry[i].key = (char *)keys[i]; /* read, not written to */
        h->entry[i].value = (char *)values[i];
        h->entries[i] = &h->entry[i];
    }
    h->proto.external_data = h->entries;
    h->proto.n_external_data = 3;
    h->proto.has_data_location = 1;
    h->proto.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static uint64_t align(uint64_t at)
{
    return (at + EXTERNAL_ALIGN - 1) / EXTERNAL_ALIGN * EXTERNAL_ALIGN;
}

/* Bytes of a constant's message, and where the data file goes on behind it. */
static uint64_t message_bytes(const file *f, const conure_initializer *it, uint64_t *data_at)
{
    head h;
    const bool external = is_external(f, it);
    const uint64_t offset = external ? align(*data_at) : 0;
    make_head(f, it, offset, &h);
    if (external)
        *data_at = offset + it->bytes;
    return onnx__tensor_proto__get_packed_size(&h.proto) + (external ? 0 : 1 + varint_bytes(it->bytes) + it->bytes);
}

/* The graph's message, nodes, interface and constants; UINT64_MAX never happens: sizes were checked one by one. */
static uint64_t graph_bytes(const file *f)
{
    uint64_t bytes = onnx__graph_proto__get_packed_size(&f->g->proto), data_at = 0;
    for (size_t i = 0; i < f->g->n_initializers; i++) {
        const uint64_t message = message_bytes(f, &f->g->initializers[i], &data_at);
        bytes += 1 + varint_bytes(message) + message;
    }
    return bytes;
}

static conure_status put_external(file *f, const conure_initializer *it, const void *data)
{
    static const uint8_t zeros[EXTERNAL_ALIGN];
    const uint64_t offset = align(f->data_at);
    conure_status status = conure_writer_write(f->data, zeros, offset - f->data_at, f->err);
    if (status == CONURE_OK)
        status = conure_writer_write(f->data, data, it->bytes, f->err);
    f->data_at = offset + it->bytes;
    return status;
}

static conure_status put_initializer(file *f, const conure_initializer *it)
{
    head h;
    void *data = NULL, *packed;
    uint64_t at = f->data_at;
    const uint64_t message = message_bytes(f, it, &at);
    const bool external = is_external(f, it);
    conure_status status = conure_initializer_read(f->g, it, &data, f->err);
    if (status != CONURE_OK)
        return status;
    make_head(f, it, align(f->data_at), &h);
    const size_t head_bytes = onnx__tensor_proto__get_packed_size(&h.proto);
    packed = malloc(head_bytes + 1);
    if (!packed)
        status = conure_fail_memory(f->err, it->name, head_bytes);
    if (status == CONURE_OK)
        status = put_head(f, TAG_GRAPH_INITIALIZER, message);
    if (status == CONURE_OK)
        status = put(f, packed, onnx__tensor_proto__pack(&h.proto, packed));
    if (status == CONURE_OK && external)
        status = put_external(f, it, data);
    if (status == CONURE_OK && !external)
        status = put_head(f, TAG_TENSOR_RAW_DATA, it->bytes);
    if (status == CONURE_OK && !external)
        status = put(f, data, it->bytes);
    free(packed);
    free(data);
    f->done_bytes += it->bytes;
    if (status == CONURE_OK && f->progress && !f->progress(f->user, (double)f->done_bytes / (double)(f->all_bytes + 1)))
        status = conure_fail(f->err, CONURE_CANCELLED, "writing %s was cancelled", f->path);
    return status;
}

/* The model's own members, the graph's head, its nodes, its constants. */
static conure_status put_all(file *f)
{
    conure_graph *g = f->g;
    const size_t whole = onnx__model_proto__get_packed_size(&g->whole), nodes = onnx__graph_proto__get_packed_size(&g->proto);
    uint8_t *room = malloc(whole + nodes);
    conure_status status = room ? CONURE_OK : conure_fail_memory(f->err, f->path, whole + nodes);
    if (status == CONURE_OK)
        status = put(f, room, onnx__model_proto__pack(&g->whole, room));
    if (status == CONURE_OK)
        status = put_head(f, TAG_MODEL_GRAPH, graph_bytes(f));
    if (status == CONURE_OK)
        status = put(f, room, onnx__graph_proto__pack(&g->proto, room));
    free(room);
    for (size_t i = 0; i < g->n_initializers && status == CONURE_OK; i++)
        status = put_initializer(f, &g->initializers[i]);
    return status;
}

/* The order in which arguments were evaluated, a compiler's choice, must not show. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const conure_initializer *)a)->name, ((const conure_initializer *)b)->name);
}

static conure_status decide_external(file *f, conure_external external)
{
    const char *slash = strrchr(f->path, '/');
    const uint64_t bytes = graph_bytes(f) + onnx__model_proto__get_packed_size(&f->g->whole) + 16;
    if (external == CONURE_EXTERNAL_NEVER && bytes > MESSAGE_BYTES_MAX)
        return conure_fail(f->err, CONURE_LIMIT, "%s would have %llu bytes, and a file of Protocol Buffers holds %llu: put the weights into "
                           "a file of their own (--external always or auto)", f->path, (unsigned long long)bytes,
                           (unsigned long long)MESSAGE_BYTES_MAX);
    if (external == CONURE_EXTERNAL_NEVER || (external == CONURE_EXTERNAL_AUTO && bytes <= MESSAGE_BYTES_MAX))
        return CONURE_OK;
    if ((size_t)snprintf(f->data_name, sizeof f->data_name, "%s.data", slash ? slash + 1 : f->path) >= sizeof f->data_name)
        return conure_fail(f->err, CONURE_LIMIT, "%s: the name is too long", f->path);
    return CONURE_OK;
}

conure_status conure_graph_stage(conure_graph *g, const char *path, conure_external external, conure_staged_graph *out,
                                 conure_graph_facts *facts, conure_progress_fn progress, void *user, conure_error *err)
{
    char data_path[4096];
    file f = {.g = g, .path = path, .progress = progress, .user = user, .err = err};
    conure_status status = conure_graph_status(g, err);
    if (status == CONURE_OK && g->n_initializers)
        qsort(g->initializers, g->n_initializers, sizeof *g->initializers, by_name);
    if (status == CONURE_OK)
        status = decide_external(&f, external);
    for (size_t i = 0; i < g->n_initializers; i++)
        f.all_bytes += g->initializers[i].bytes;
    if (status == CONURE_OK)
        status = conure_writer_open(&f.graph, path, err);
    snprintf(data_path, sizeof data_path, "%s.data", path);
    if (status == CONURE_OK && f.data_name[0])
        status = conure_writer_open(&f.data, data_path, err);
    if (status == CONURE_OK)
        status = put_all(&f);
    if (status == CONURE_OK && f.data)
        status = conure_writer_finish(f.data, err);
    if (status == CONURE_OK)
        status = conure_writer_finish(f.graph, err);
    if (status != CONURE_OK) {
        conure_writer_abort(&f.data);
        conure_writer_abort(&f.graph);
    }
    *out = (conure_staged_graph){f.data, f.graph};
    *facts = (conure_graph_facts){.n_nodes = (uint32_t)g->proto.n_node, .n_initializers = (uint32_t)g->n_initializers,
                                  .bytes = f.bytes, .data_bytes = f.data_at};
    return status;
}

conure_status conure_graph_write(conure_graph *g, const char *path, conure_external external, conure_graph_facts *facts,
                                 conure_progress_fn progress, void *user, conure_error *err)
{
    conure_staged_graph staged;
    conure_status status = conure_graph_stage(g, path, external, &staged, facts, progress, user, err);
    if (status == CONURE_OK && staged.data)
        status = conure_writer_commit(&staged.data, err);
    if (status == CONURE_OK)
        status = conure_writer_commit(&staged.graph, err);
    conure_writer_abort(&staged.data);
    conure_writer_abort(&staged.graph);
    return status;
}

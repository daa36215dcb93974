/* reference.c - reference files, lines and frames.  The first byte chooses: as they are, or (odd) with the sum of every line computed
 * anew, so that what lies behind the sums is reached. */
#include "clearance/reference.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Every line that ends in a sum gets the right one. */
static void sign(conure_buffer *out, const char *text, size_t bytes)
{
    static const size_t tail = 8 + 64 + 2;
    char sum[65] = "";
    for (const char *at = text, *end = text + bytes; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t n = (size_t)((newline ? newline : end) - at);
        if (n > tail && memcmp(at + n - tail, ",\"sum\":\"", 8) == 0) {
            conure_reference_sum(sum, at, n - tail, NULL, 0);
            conure_buffer_add(out, at, n - tail);
            conure_buffer_format(out, ",\"sum\":\"%s\"}", sum);
        } else {
            conure_buffer_add(out, at, n);
        }
        if (newline)
            conure_buffer_text(out, "\n");
        at += n + (newline != NULL);
    }
}

static void look(const conure_source *source, const conure_chunk *c)
{
    conure_prediction p;
    if (c->contract != source->contract || c->n_frames > c->frames_cap || c->n_out > c->out_cap || c->length > c->n_frames)
        abort();
    for (conure_role role = 0; role < CONURE_ROLES; role++)
        if (!c->has[role])
            abort(); /* a chunk that is handed out is whole */
    conure_chunk_predict(c, &p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_buffer b = {0};
    conure_source *source;
    const conure_chunk *chunk;
    conure_error err = {""};
    if (bytes < 2)
        return 0;
    if (data[0] & 1)
        sign(&b, (const char *)data + 1, bytes - 1);
    else
        conure_buffer_add(&b, data + 1, bytes - 1);
    FILE *file = b.failed || !b.bytes ? NULL : fmemopen(b.data, b.bytes, "rb");
    if (!file) {
        conure_buffer_free(&b);
        return 0;
    }
    conure_status status = conure_reference_open_stream(&source, file, "fuzz", &err);
    uint64_t n = 0;
    while (status == CONURE_OK && (status = source->next(source, &chunk, &err)) == CONURE_OK) {
        look(source, chunk);
        n++;
    }
    if ((status < 0 && !*err.text) || (status == CONURE_END && (n != source->n_chunks || strlen(source->sha256) != 64)))
        abort();
    conure_source_close(&source);
    conure_buffer_free(&b);
    return 0;
}

/* reference_read.c - see reference.h.  A file may have been cut, edited or put together by anybody. */
#include "clearance/reference.h"

#include "clearance/record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ,"sum":"<64 digits>"} */
enum { SUM_BYTES = 64, TAIL_BYTES = 8 + SUM_BYTES + 2, HEADER_MAX = 1 << 20 };

typedef struct reference_source {
    conure_source base;
    FILE *file;
    char where[512];
    conure_contract contract;
    conure_reference_info info;
    conure_chunk chunk;
    float *made;              /* the features that the seed gives */
    conure_buffer json, payload;
    size_t json_max, payload_max;
    uint64_t n, record, offset, next_offset;
    char sum[65];
    bool ended;
} reference_source;

static void reference_close(conure_source *base)
{
    reference_source *s = (reference_source *)base;
    if (s->file)
        fclose(s->file);
    conure_chunk_close(&s->chunk);
    conure_buffer_free(&s->json);
    conure_buffer_free(&s->payload);
    free(s->made);
    free(s);
}

__attribute__((format(printf, 3, 4))) static conure_status bad(const reference_source *s, conure_error *err, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return conure_fail(err, CONURE_BAD_FILE, "%s: %s %llu: %s", s->where, s->info.frames ? "record" : "line",
                       (unsigned long long)s->record + 1, text);
}

/* ---- one record ------------------------------------------------------------------------------- */

static bool at_end(reference_source *s)
{
    const int c = getc(s->file);
    if (c == EOF)
        return true;
    ungetc(c, s->file);
    return false;
}

static conure_status truncated(const reference_source *s, conure_error *err)
{
    if (ferror(s->file))
        return conure_fail_errno(err, s->where);
    return bad(s, err, "the file ends here, after %llu of %llu chunks: it was cut off, or its making was interrupted (conure reference "
               "--resume goes on with a .part)", (unsigned long long)s->n, (unsigned long long)s->info.n_chunks);
}

/* Up to a newline, which is not kept. */
static conure_status read_line(reference_source *s, conure_error *err)
{
    char block[16384];
    size_t n = 0;
    int c;
    s->json.bytes = 0;
    while ((c = getc_unlocked(s->file)) != EOF && c != '\n') {
        block[n++] = (char)c;
        if (n == sizeof block) {
            if (s->json.bytes + n > s->json_max)
                return bad(s, err, "longer than the %zu bytes that a chunk of its contract can take", s->json_max);
            conure_buffer_add(&s->json, block, n);
            n = 0;
        }
    }
    conure_buffer_add(&s->json, block, n);
    if (s->json.failed)
        return conure_fail_memory(err, "a line of a reference", s->json.bytes + n);
    if (c == EOF)
        return truncated(s, err);
    s->next_offset += s->json.bytes + 1;
    return CONURE_OK;
}

static conure_status read_bytes(reference_source *s, conure_buffer *b, size_t bytes, conure_error *err)
{
    char block[65536]; /* memory grows with what is there, not with what a header says */
    b->bytes = 0;
    while (b->bytes < bytes) {
        const size_t n = bytes - b->bytes < sizeof block ? bytes - b->bytes : sizeof block;
        if (fread(block, 1, n, s->file) != n)
            return truncated(s, err);
        conure_buffer_add(b, block, n);
        if (b->failed)
            return conure_fail_memory(err, "a record of a reference", bytes);
    }
    s->next_offset += bytes;
    return CONURE_OK;
}

static conure_status read_frame(reference_source *s, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    conure_frame_head frame;
    if (fread(head, 1, sizeof head, s->file) != sizeof head)
        return truncated(s, err);
    conure_status status = conure_frame_get(&frame, head, s->payload_max, s->where, err);
    if (status == CONURE_OK)
        status = read_bytes(s, &s->json, frame.json_bytes, err);
    if (status == CONURE_OK)
        status = read_bytes(s, &s->payload, (size_t)frame.payload_bytes, err);
    s->next_offset += sizeof head;
    return status;
}

/* Read one, check its sum, parse it. */
static conure_status read_record(reference_source *s, json_t **record, conure_error *err)
{
    static const char key[] = ",\"sum\":\"";
    char sum[65];
    json_error_t why;
    *record = NULL;
    s->next_offset = s->offset;
    if (at_end(s))
        return truncated(s, err);
    const conure_status status = s->info.frames ? read_frame(s, err) : read_line(s, err);
    if (status != CONURE_OK)
        return status;
    const size_t body = s->json.bytes > TAIL_BYTES ? s->json.bytes - TAIL_BYTES : 0;
    const char *tail = body ? s->json.data + body : NULL;
    if (!tail || memcmp(tail, key, sizeof key - 1) != 0 || memcmp(tail + sizeof key - 1 + SUM_BYTES, "\"}", 2) != 0)
        return bad(s, err, "does not end with its sum: no record of a reference, or edited");
    memcpy(sum, s->sum, sizeof sum);
    conure_reference_sum(sum, s->json.data, body, s->payload.data, s->payload.bytes);
    if (memcmp(sum, tail + sizeof key - 1, SUM_BYTES) != 0)
        return bad(s, err, "its sum is not that of its content behind the record before it: edited, or lines are missing, repeated or out of "
                   "order");
    *record = json_loadb(s->json.data, s->json.bytes, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(*record)) {
        json_decref(*record);
        *record = NULL;
        return bad(s, err, "no JSON object: %.200s", why.text);
    }
    memcpy(s->sum, sum, sizeof sum);
    s->offset = s->next_offset;
    return CONURE_OK;
}

/* ---- header ----------------------------------------------------------------------------------- */

static conure_status text(reference_source *s, const json_t *header, const char *key, char *out, size_t cap, conure_error *err)
{
    const char *value = json_string_value(json_object_get(header, key));
    if (!value || strlen(value) >= cap)
        return bad(s, err, "\"%s\" is missing or no text of at most %zu bytes", key, cap - 1);
    snprintf(out, cap, "%s", value);
    return CONURE_OK;
}

static conure_status count(reference_source *s, const json_t *header, const char *key, uint64_t *out, conure_error *err)
{
    const json_t *value = json_object_get(header, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad(s, err, "\"%s\" is missing or no number from 0 on", key);
    *out = (uint64_t)json_integer_value(value);
    return CONURE_OK;
}

static conure_status take_contract(reference_source *s, const json_t *header, conure_error *err)
{
    char *dumped = json_dumps(json_object_get(header, "contract"), JSON_COMPACT);
    char where[600];
    snprintf(where, sizeof where, "%.500s: contract", s->where);
    if (!dumped)
        return bad(s, err, "\"contract\" is missing");
    const conure_status status = conure_contract_parse(&s->contract, dumped, strlen(dumped), where, err);
    free(dumped);
    return status;
}

static conure_status take_header(reference_source *s, const json_t *header, conure_error *err)
{
    char word[64];
    uint64_t format = 0;
    conure_status status = text(s, header, "reference", word, sizeof word, err);
    if (status == CONURE_OK)
        status = count(s, header, "format", &format, err);
    if (status == CONURE_OK && format != CONURE_REFERENCE_FORMAT)
        status = conure_fail(err, CONURE_UNSUPPORTED, "%s: format %llu, supported: %d", s->where, (unsigned long long)format,
                             CONURE_REFERENCE_FORMAT);
    if (status == CONURE_OK)
        status = text(s, header, "engine", s->info.engine, sizeof s->info.engine, err);
    if (status == CONURE_OK)
        status = text(s, header, "precision", s->info.precision, sizeof s->info.precision, err);
    if (status == CONURE_OK)
        status = text(s, header, "model_sha256", s->info.model_sha256, sizeof s->info.model_sha256, err);
    if (status == CONURE_OK)
        status = text(s, header, "audio_sha256", s->info.audio_sha256, sizeof s->info.audio_sha256, err);
    if (status == CONURE_OK)
        status = text(s, header, "generator", word, sizeof word, err);
    if (status == CONURE_OK)
        status = count(s, header, "seed", &s->info.seed, err);
    if (status == CONURE_OK)
        status = count(s, header, "chunks", &s->info.n_chunks, err);
    if (status != CONURE_OK)
        return status;
    s->info.audio = strcmp(word, "audio") == 0;
    if (!s->info.audio && strcmp(word, CONURE_GENERATOR) != 0)
        return bad(s, err, "generator \"%s\": known are \"audio\" and \"%s\"", word, CONURE_GENERATOR);
    return take_contract(s, header, err);
}

static conure_status open_tensors(reference_source *s, conure_error *err)
{
    const conure_status status = conure_chunk_open(&s->chunk, &s->contract, err);
    if (status != CONURE_OK)
        return status;
    const size_t mel = (size_t)s->chunk.frames_cap * s->contract.mel_bins;
    s->payload_max = (mel + 2 * (s->chunk.channel_floats + s->chunk.time_floats) + (size_t)s->chunk.out_cap * s->contract.d_model) * sizeof(float) + 64;
    s->json_max = s->info.frames ? CONURE_FRAME_JSON_MAX : s->payload_max / 3 * 4 + 65536;
    s->made = conure_calloc(mel, sizeof *s->made);
    return s->made ? CONURE_OK : conure_fail_memory(err, "features", mel * sizeof(float));
}

/* ---- chunks ----------------------------------------------------------------------------------- */

static conure_status check_order(const reference_source *s, conure_error *err)
{
    const conure_chunk *c = &s->chunk;
    if (c->index != s->n || c->step != s->n)
        return bad(s, err, "chunk %llu, step %llu: expected number %llu", (unsigned long long)c->index, (unsigned long long)c->step,
                   (unsigned long long)s->n);
    if (s->n >= s->info.n_chunks)
        return bad(s, err, "the header announces %llu chunks, and this is one more", (unsigned long long)s->info.n_chunks);
    for (conure_role role = 0; role < CONURE_ROLES; role++)
        if (!c->has[role])
            return bad(s, err, "%s is missing", s->contract.names[role]);
    if (c->length < 0 || c->length > c->n_frames)
        return bad(s, err, "%lld of %u frames are valid", (long long)c->length, c->n_frames);
    return CONURE_OK;
}

/* What a sum cannot tell: that the features are the seed's. */
static conure_status check_seed(const reference_source *s, conure_error *err)
{
    const conure_chunk *c = &s->chunk;
    if (s->info.audio)
        return CONURE_OK;
    conure_random_features(s->made, s->contract.mel_bins, c->n_frames, s->info.seed, c->index);
    if (memcmp(s->made, c->features, (size_t)c->n_frames * s->contract.mel_bins * sizeof(float)) == 0)
        return CONURE_OK;
    return bad(s, err, "the features are not those of seed %llu", (unsigned long long)s->info.seed);
}

static conure_status take_end(reference_source *s, const json_t *record, conure_error *err)
{
    const json_t *end = json_object_get(record, "end");
    if (!json_is_integer(end) || json_integer_value(end) != (json_int_t)s->n || s->n != s->info.n_chunks)
        return bad(s, err, "the end after %llu chunks: the header announces %llu", (unsigned long long)s->n, (unsigned long long)s->info.n_chunks);
    s->record++;
    if (!at_end(s))
        return bad(s, err, "the reference has ended, and something follows");
    s->ended = true;
    memcpy(s->base.sha256, s->sum, sizeof s->sum);
    return CONURE_END;
}

static conure_status reference_next(conure_source *base, const conure_chunk **chunk, conure_error *err)
{
    reference_source *s = (reference_source *)base;
    json_t *record;
    char where[600];
    char sum[65];
    const uint64_t offset = s->offset;
    *chunk = NULL;
    if (s->ended)
        return CONURE_END;
    memcpy(sum, s->sum, sizeof sum);
    conure_status status = read_record(s, &record, err);
    if (status != CONURE_OK)
        return status;
    if (json_object_get(record, "end")) {
        status = take_end(s, record, err);
        s->offset = offset; /* an end is written anew by whoever goes on */
        memcpy(s->sum, sum, sizeof sum);
        json_decref(record);
        return status;
    }
    snprintf(where, sizeof where, "%.500s: %s %llu", s->where, s->info.frames ? "record" : "line", (unsigned long long)s->record + 1);
    status = conure_record_get(&s->chunk, record, s->info.frames ? (const uint8_t *)(s->payload.data ? s->payload.data : "") : NULL,
                               s->payload.bytes, 0, CONURE_ROLES, where, err);
    json_decref(record);
    if (status == CONURE_OK)
        status = check_order(s, err);
    if (status == CONURE_OK)
        status = check_seed(s, err);
    if (status != CONURE_OK)
        return status;
    s->n++;
    s->record++;
    *chunk = &s->chunk;
    return CONURE_OK;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static conure_status open_header(reference_source *s, conure_error *err)
{
    char magic[8];
    json_t *header;
    const size_t n = fread(magic, 1, sizeof magic, s->file);
    s->info.frames = n == sizeof magic && memcmp(magic, CONURE_REFERENCE_MAGIC, sizeof magic) == 0;
    if (s->info.frames)
        s->offset = n;
    else
        rewind(s->file);
    s->json_max = HEADER_MAX;
    s->payload_max = 0;
    conure_status status = read_record(s, &header, err);
    if (status != CONURE_OK)
        return status;
    status = take_header(s, header, err);
    json_decref(header);
    s->record++;
    return status == CONURE_OK ? open_tensors(s, err) : status;
}

conure_status conure_reference_open_stream(conure_source **out, FILE *stream, const char *where, conure_error *err)
{
    reference_source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) {
        fclose(stream);
        return conure_fail_memory(err, "a source", sizeof *s);
    }
    s->base = (conure_source){.next = reference_next, .close = reference_close, .contract = &s->contract};
    s->file = stream;
    snprintf(s->where, sizeof s->where, "%s", where);
    const conure_status status = open_header(s, err);
    if (status != CONURE_OK) {
        reference_close(&s->base);
        return status;
    }
    s->base.n_chunks = s->info.n_chunks;
    snprintf(s->base.what, sizeof s->base.what, "%.200s: %.255s", s->where, s->info.engine);
    *out = &s->base;
    return CONURE_OK;
}

conure_status conure_reference_open(conure_source **out, const char *path, conure_error *err)
{
    FILE *file = fopen(path, "rb");
    *out = NULL;
    if (!file)
        return conure_fail_errno(err, path);
    return conure_reference_open_stream(out, file, path, err);
}

const conure_reference_info *conure_reference_get_info(const conure_source *source)
{
    return &((const reference_source *)source)->info;
}

uint64_t conure_reference_offset(const conure_source *source, char sha256[65])
{
    const reference_source *s = (const reference_source *)source;
    memcpy(sha256, s->sum, sizeof s->sum);
    return s->offset;
}

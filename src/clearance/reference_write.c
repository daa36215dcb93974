/* reference_write.c - see reference.h. */
#include "clearance/reference.h"

#include "clearance/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct conure_reference_writer {
    FILE *file;
    char *path, *part;
    conure_reference_info info;
    uint64_t n;
    char sum[65];
    conure_buffer json, payload;
};

void conure_reference_sum(char sum[65], const void *json, size_t json_bytes, const void *payload, size_t payload_bytes)
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, sum, strlen(sum)); /* "" before the first */
    conure_sha256_add(&sha, json, json_bytes);
    conure_sha256_add(&sha, payload, payload_bytes);
    conure_sha256_hex(&sha, sum);
}

conure_status conure_reference_header(conure_buffer *out, const conure_contract *contract, const conure_reference_info *info,
                                      conure_error *err)
{
    char *text = NULL;
    json_t *tree = NULL, *header = NULL;
    conure_status status = conure_contract_dump(contract, &text, err);
    if (status != CONURE_OK)
        return status;
    tree = json_loads(text, 0, NULL);
    free(text);
    header = tree ? json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:O}", "reference", "conure", "format",
                              (json_int_t)CONURE_REFERENCE_FORMAT, "tool_version", conure_version(), "engine", info->engine, "precision",
                              info->precision, "model_sha256", info->model_sha256, "generator", info->audio ? "audio" : CONURE_GENERATOR,
                              "seed", (json_int_t)info->seed, "audio_sha256", info->audio_sha256, "chunks", (json_int_t)info->n_chunks,
                              "contract", tree)
                  : NULL;
    text = header ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    json_decref(tree);
    if (!text)
        return conure_fail_memory(err, "a reference's header", 16384);
    conure_buffer_add(out, text, strlen(text) - 1); /* without the brace: the sum follows */
    free(text);
    return out->failed ? conure_fail_memory(err, "a reference's header", 16384) : CONURE_OK;
}

/* ---- one record ------------------------------------------------------------------------------- */

static conure_status put(conure_reference_writer *w, const void *data, size_t bytes, conure_error *err)
{
    if (bytes == 0 || fwrite(data, 1, bytes, w->file) == bytes)
        return CONURE_OK;
    return conure_fail_errno(err, w->part);
}

/* json holds the record without its closing brace. */
static conure_status put_record(conure_reference_writer *w, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    if (w->json.failed || w->payload.failed)
        return conure_fail_memory(err, "a record of a reference", w->json.bytes + w->payload.bytes);
    conure_reference_sum(w->sum, w->json.data, w->json.bytes, w->payload.data, w->payload.bytes);
    conure_buffer_format(&w->json, ",\"sum\":\"%s\"}%s", w->sum, w->info.frames ? "" : "\n");
    if (w->json.failed)
        return conure_fail_memory(err, "a record of a reference", w->json.bytes);
    conure_frame_put(head, &(conure_frame_head){(uint32_t)w->json.bytes, w->payload.bytes});
    conure_status status = w->info.frames ? put(w, head, sizeof head, err) : CONURE_OK;
    if (status == CONURE_OK)
        status = put(w, w->json.data, w->json.bytes, err);
    if (status == CONURE_OK)
        status = put(w, w->payload.data, w->payload.bytes, err);
    /* What was finished is there whatever comes: an interrupted run is resumed from it. */
    if (status == CONURE_OK && fflush(w->file) != 0)
        status = conure_fail_errno(err, w->part);
    w->json.bytes = w->payload.bytes = 0;
    return status;
}

conure_status conure_reference_add(conure_reference_writer *w, const conure_chunk *chunk, conure_error *err)
{
    conure_buffer_text(&w->json, "{");
    conure_record_put(&w->json, w->info.frames ? &w->payload : NULL, chunk, 0, CONURE_ROLES);
    const conure_status status = put_record(w, err);
    w->n += status == CONURE_OK;
    return status;
}

/* ---- beginning, going on, ending -------------------------------------------------------------- */

/* Read what there is of a part with the same header; leaves the file to be written behind its last whole record. */
static conure_status resume_part(conure_reference_writer *w, conure_chunk *last, conure_error *err)
{
    conure_source *source = NULL;
    const conure_chunk *chunk;
    conure_buffer there = {0};
    conure_status status = conure_reference_open(&source, w->part, err);
    if (status == CONURE_OK)
        status = conure_reference_header(&there, source->contract, conure_reference_get_info(source), err);
    if (status == CONURE_OK && (there.bytes != w->json.bytes || memcmp(there.data, w->json.data, there.bytes) != 0 ||
                                conure_reference_get_info(source)->frames != w->info.frames))
        status = conure_fail(err, CONURE_BAD_FILE, "%s: begun with another contract, model, engine, seed, audio, number of chunks or "
                             "format: remove it, or give what it was begun with", w->part);
    while (status == CONURE_OK && source->next(source, &chunk, NULL) == CONURE_OK) {
        w->n++;
        for (conure_role role = CONURE_ROLE_CHANNEL_OUT; role < CONURE_ROLES; role++)
            conure_chunk_copy(last, role, chunk, role);
    }
    if (status == CONURE_OK) {
        const uint64_t end = conure_reference_offset(source, w->sum);
        w->file = fopen(w->part, "r+b");
        if (!w->file || ftruncate(fileno(w->file), (off_t)end) != 0 || fseeko(w->file, (off_t)end, SEEK_SET) != 0)
            status = conure_fail_errno(err, w->part);
    }
    conure_buffer_free(&there);
    conure_source_close(&source);
    w->json.bytes = 0;
    return status;
}

static conure_status begin_part(conure_reference_writer *w, conure_error *err)
{
    w->file = fopen(w->part, "wb");
    if (!w->file)
        return conure_fail_errno(err, w->part);
    const conure_status status = w->info.frames ? put(w, CONURE_REFERENCE_MAGIC, 8, err) : CONURE_OK;
    return status == CONURE_OK ? put_record(w, err) : status;
}

conure_status conure_reference_create(conure_reference_writer **out, const char *path, const conure_contract *contract,
                                      const conure_reference_info *info, bool resume, uint64_t *done, conure_chunk *last, conure_error *err)
{
    conure_reference_writer *w = calloc(1, sizeof *w);
    conure_buffer part = {0};
    *out = NULL;
    *done = 0;
    if (!w)
        return conure_fail_memory(err, "a reference", sizeof *w);
    w->info = *info;
    conure_buffer_format(&part, "%s.part", path);
    w->part = part.data;
    w->path = conure_strdup(path);
    conure_status status = w->path && !part.failed ? conure_reference_header(&w->json, contract, info, err)
                                                   : conure_fail_memory(err, "a path", strlen(path));
    if (status == CONURE_OK)
        status = resume && access(w->part, F_OK) == 0 ? resume_part(w, last, err) : begin_part(w, err);
    if (status != CONURE_OK) {
        conure_reference_close(&w);
        return status;
    }
    *done = w->n;
    *out = w;
    return CONURE_OK;
}

conure_status conure_reference_commit(conure_reference_writer **writer, char *sha256, conure_error *err)
{
    conure_reference_writer *w = *writer;
    conure_buffer_format(&w->json, "{\"end\":%llu", (unsigned long long)w->n);
    conure_status status = put_record(w, err);
    if (status == CONURE_OK && fsync(fileno(w->file)) != 0 && errno != EINVAL)
        status = conure_fail_errno(err, w->part);
    if (status == CONURE_OK && rename(w->part, w->path) != 0)
        status = conure_fail_errno(err, w->path);
    memcpy(sha256, w->sum, sizeof w->sum);
    conure_reference_close(writer);
    return status;
}

void conure_reference_close(conure_reference_writer **writer)
{
    conure_reference_writer *w = *writer;
    if (!w)
        return;
    if (w->file)
        fclose(w->file);
    conure_buffer_free(&w->json);
    conure_buffer_free(&w->payload);
    free(w->path);
    free(w->part);
    free(w);
    *writer = NULL;
}

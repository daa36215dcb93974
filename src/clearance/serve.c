/* serve.c - see serve.h. */
#include "clearance/serve.h"

#include "clearance/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct serving {
    FILE *in, *out;
    conure_contract contract;
    conure_candidate *engine;
    conure_chunk chunk;
    conure_buffer json, payload;
    size_t payload_max;
    bool ended;
} serving;

static conure_status read_part(serving *s, conure_buffer *b, size_t bytes, conure_error *err)
{
    char block[65536];
    b->bytes = 0;
    while (b->bytes < bytes) {
        const size_t n = bytes - b->bytes < sizeof block ? bytes - b->bytes : sizeof block;
        if (fread(block, 1, n, s->in) != n)
            return conure_fail(err, CONURE_BAD_FILE, "the pipe ends within a frame");
        conure_buffer_add(b, block, n);
        if (b->failed)
            return conure_fail_memory(err, "a frame", bytes);
    }
    return CONURE_OK;
}

/* *tree is NULL at the end of the pipe. */
static conure_status read_frame(serving *s, json_t **tree, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    conure_frame_head frame;
    json_error_t why;
    const size_t n = fread(head, 1, sizeof head, s->in);
    *tree = NULL;
    if (n == 0) {
        s->ended = true;
        return ferror(s->in) ? conure_fail(err, CONURE_IO, "the pipe: %s", strerror(errno)) : CONURE_OK;
    }
    if (n != sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "the pipe ends within a frame");
    conure_status status = conure_frame_get(&frame, head, s->payload_max, "a chunk", err);
    if (status == CONURE_OK)
        status = read_part(s, &s->json, frame.json_bytes, err);
    if (status == CONURE_OK)
        status = read_part(s, &s->payload, (size_t)frame.payload_bytes, err);
    if (status != CONURE_OK)
        return status;
    *tree = json_loadb(s->json.data ? s->json.data : "", s->json.bytes, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(*tree))
        return CONURE_OK;
    json_decref(*tree);
    *tree = NULL;
    return conure_fail(err, CONURE_BAD_FILE, "a frame is no JSON object: %s", why.text);
}

static conure_status answer(serving *s, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    if (s->json.failed || s->payload.failed)
        return conure_fail_memory(err, "an answer", s->json.bytes + s->payload.bytes);
    conure_frame_put(head, &(conure_frame_head){(uint32_t)s->json.bytes, s->payload.bytes});
    if (fwrite(head, 1, sizeof head, s->out) == sizeof head && fwrite(s->json.data, 1, s->json.bytes, s->out) == s->json.bytes &&
        (s->payload.bytes == 0 || fwrite(s->payload.data, 1, s->payload.bytes, s->out) == s->payload.bytes) && fflush(s->out) == 0)
        return CONURE_OK;
    return conure_fail(err, CONURE_IO, "the pipe: %s", strerror(errno));
}

/* A frame that holds one text, which may hold anything. */
static conure_status answer_text(serving *s, const char *key, const char *value, const char *model_sha256, conure_error *err)
{
    json_t *tree = json_pack("{s:s, s:i, s:s*}", key, value, "protocol", 1, "model_sha256", model_sha256);
    char *text = tree ? json_dumps(tree, JSON_COMPACT) : NULL;
    json_decref(tree);
    s->json.bytes = s->payload.bytes = 0;
    s->json.failed = s->json.failed || !text;
    if (text)
        conure_buffer_text(&s->json, text);
    free(text);
    return answer(s, err);
}

static conure_status greet(serving *s, const char *spec, const conure_model *model, const conure_candidate_options *options, conure_error *err)
{
    json_t *hello;
    char *text = NULL;
    conure_status status = read_frame(s, &hello, err);
    if (status != CONURE_OK || !hello)
        return status;
    if (json_integer_value(json_object_get(hello, "protocol")) != 1)
        status = conure_fail(err, CONURE_UNSUPPORTED, "the greeting's protocol is not 1");
    else if (!(text = json_dumps(json_object_get(hello, "contract"), JSON_COMPACT)))
        status = conure_fail(err, CONURE_BAD_FILE, "the greeting has no contract");
    json_decref(hello);
    if (status == CONURE_OK)
        status = conure_contract_parse(&s->contract, text, strlen(text), "the greeting's contract", err);
    free(text);
    if (status == CONURE_OK)
        status = conure_candidate_open(&s->engine, spec, &s->contract, model, options, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&s->chunk, &s->contract, err);
    if (status != CONURE_OK)
        return status;
    s->payload_max = (s->chunk.channel_floats + s->chunk.time_floats + (size_t)s->chunk.frames_cap * s->contract.mel_bins) * sizeof(float) + 64;
    return answer_text(s, "candidate", conure_candidate_describe(s->engine), s->engine->model_sha256, err);
}

static conure_status one_step(serving *s, conure_error *err)
{
    json_t *tree;
    conure_status status = read_frame(s, &tree, err);
    if (status != CONURE_OK || !tree)
        return status;
    const uint8_t *payload = (const uint8_t *)(s->payload.data ? s->payload.data : "");
    status = conure_record_get(&s->chunk, tree, payload, s->payload.bytes, 0, CONURE_ROLE_INPUTS, "a chunk", err);
    json_decref(tree);
    if (status == CONURE_OK)
        status = conure_candidate_step(s->engine, &s->chunk, err);
    if (status != CONURE_OK)
        return status;
    s->json.bytes = s->payload.bytes = 0;
    conure_buffer_text(&s->json, "{");
    conure_record_put(&s->json, &s->payload, &s->chunk, CONURE_ROLE_INPUTS, CONURE_ROLES);
    conure_buffer_text(&s->json, "}");
    return answer(s, err);
}

conure_status conure_candidate_serve(FILE *in, FILE *out, const char *spec, const conure_model *model,
                                     const conure_candidate_options *options, conure_error *err)
{
    serving s = {.in = in, .out = out};
    conure_status status = greet(&s, spec, model, options, err);
    while (status == CONURE_OK && !s.ended)
        status = one_step(&s, err);
    if (status != CONURE_OK && status != CONURE_IO)
        (void)answer_text(&s, "error", err ? err->text : conure_status_text(status), NULL, NULL);
    conure_candidate_close(&s.engine);
    conure_chunk_close(&s.chunk);
    conure_buffer_free(&s.json);
    conure_buffer_free(&s.payload);
    return status;
}

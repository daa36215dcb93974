/* state.c - the caches of a stream: open, reset, and their way out and in.
 *
 * They are the contract's own tensors, the rows before their projection to keys and values, so that what is exported and
 * imported, or saved and loaded, goes on with the same bits. */
#include "engine/ort/ort.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_ROWS_MAX = 1 << 20, SNAPSHOT_FORMAT = 1 };
static const char MAGIC[8] = "cnrortst";

conure_status conure_ort_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err)
{
    conure_ort *r = self;
    const char *engine = conure_ort_engine_name(r->provider);
    *out = NULL;
    if (r->model->graphs)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: these graphs encode whole utterances and have no caches: stream with --mode buffered",
                           r->model->name);
    if (options->cache_rows > CACHE_ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows: at most %u are supported", options->cache_rows, CACHE_ROWS_MAX);
    if (!options->cache_rows || !r->config->conv_left)
        return conure_fail(err, CONURE_UNSUPPORTED, "a state of %u cached rows and %u columns of the convolution: the streaming graph of "
                           "%s needs some of both; engine cpu does without", options->cache_rows, r->config->conv_left, engine);
    if (options->kv_bf16)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine %s keeps rows, in float: open the state without kv_bf16", engine);
    conure_state *state = conure_calloc(1, sizeof *state);
    if (!state)
        return conure_fail_memory(err, "a stream's state", sizeof *state);
    state->options = *options;
    conure_status status = conure_ort_encoder_get(r, &state->encoder, options, err);
    if (status == CONURE_OK) {
        state->encoder->n_states++;
        status = conure_ort_caches_open(r, &state->caches, options->cache_rows, err);
    }
    if (status != CONURE_OK) {
        conure_ort_state_close(self, &state);
        return status;
    }
    conure_ort_state_reset(self, state);
    *out = state;
    return CONURE_OK;
}

void conure_ort_state_close(void *self, conure_state **state)
{
    if (!*state)
        return;
    conure_ort_caches_close(self, &(*state)->caches);
    if ((*state)->encoder)
        (*state)->encoder->n_states--;
    free(*state);
    *state = NULL;
}

static void put_zeros(conure_ort *r, conure_ort_tensor *tensor)
{
    float *zeros = tensor->host ? tensor->host : conure_calloc(tensor->floats, sizeof *zeros);
    if (tensor->host)
        memset(zeros, 0, tensor->floats * sizeof *zeros);
    else if (zeros)
        (void)conure_ort_tensor_write(r, tensor, zeros, NULL);
    if (!tensor->host)
        free(zeros);
}

void conure_ort_state_reset(void *self, conure_state *state)
{
    put_zeros(self, &state->caches.channel);
    put_zeros(self, &state->caches.time);
    state->length = 0;
}

int64_t conure_ort_state_length(const void *self, const conure_state *state)
{
    (void)self;
    return state->length;
}

/* ---- the contract's tensors ------------------------------------------------------------------- */

static conure_status need_rows(const conure_state *state, conure_error *err)
{
    if (state->options.keep_rows)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "this state was opened without keep_rows: its cache_last_channel does not go in or out");
}

conure_status conure_ort_state_export(void *self, const conure_state *state, float *last_channel, float *last_time, int64_t *length,
                                      conure_error *err)
{
    CONURE_TRY(need_rows(state, err));
    CONURE_TRY(conure_ort_tensor_read(self, &state->caches.channel, last_channel, err));
    CONURE_TRY(conure_ort_tensor_read(self, &state->caches.time, last_time, err));
    *length = state->length;
    return CONURE_OK;
}

/* Both tensors, by way of spare ones, so that a failure leaves the state as it was. */
static conure_status replace(conure_ort *r, conure_state *state, const float *last_channel, const float *last_time, int64_t length,
                             conure_error *err)
{
    conure_ort_caches fresh;
    CONURE_TRY(conure_ort_encoder_take(r, state->encoder, &fresh, err));
    conure_status status = conure_ort_tensor_write(r, &fresh.channel, last_channel, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_write(r, &fresh.time, last_time, err);
    if (status == CONURE_OK) {
        const conure_ort_caches old = state->caches;
        state->caches = fresh;
        state->length = length;
        fresh = old;
    }
    conure_ort_encoder_give(r, state->encoder, &fresh);
    return status;
}

conure_status conure_ort_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time,
                                      int64_t length, conure_error *err)
{
    CONURE_TRY(need_rows(state, err));
    if (length < 0 || length > (int64_t)state->options.cache_rows)
        return conure_fail(err, CONURE_BAD_ARG, "cache length %lld: the cache has %u rows, and engine %s knows the clamped rule alone",
                           (long long)length, state->options.cache_rows, conure_ort_engine_name(((conure_ort *)self)->provider));
    return replace(self, state, last_channel, last_time, length, err);
}

/* ---- snapshots -------------------------------------------------------------------------------- */

/* Then both caches.  Byte order is the machine's, which format gives away. */
typedef struct snapshot_head {
    char magic[8];
    uint32_t format, n_layers, d_model, conv_left;
    uint32_t cache_rows, drop_rows, flags, reserved;
    int64_t length;
} snapshot_head;

enum { FLAG_NEGATIVE = 1, FLAG_ALIGNED = 2, FLAG_ROWS = 4 };

/* What every state of these options has, but for the length. */
static snapshot_head head_of(const conure_ort *r, const conure_cache_options *o)
{
    snapshot_head head = {
        .format = SNAPSHOT_FORMAT, .n_layers = r->config->n_layers, .d_model = r->config->d_model, .conv_left = r->config->conv_left,
        .cache_rows = o->cache_rows, .drop_rows = o->drop_rows,
        .flags = (o->keep_negative ? FLAG_NEGATIVE : 0u) | (o->time_cache_aligned ? FLAG_ALIGNED : 0u) | (o->keep_rows ? FLAG_ROWS : 0u)};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    return head;
}

void conure_ort_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    const size_t caches = (state->caches.channel.floats + state->caches.time.floats) * sizeof(float);
    (void)self;
    *snapshot = sizeof(snapshot_head) + caches;
    *memory = sizeof *state + caches;
}

conure_status conure_ort_state_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    const size_t floats = state->caches.channel.floats + state->caches.time.floats;
    snapshot_head head = head_of(self, &state->options);
    float *caches = conure_calloc(floats, sizeof *caches); /* dst may lie at any address */
    if (!caches)
        return conure_fail_memory(err, "a snapshot", floats * sizeof *caches);
    head.length = state->length;
    conure_status status = conure_ort_tensor_read(self, &state->caches.channel, caches, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_read(self, &state->caches.time, caches + state->caches.channel.floats, err);
    if (status == CONURE_OK) {
        memcpy(dst, &head, sizeof head);
        memcpy((uint8_t *)dst + sizeof head, caches, floats * sizeof *caches);
    }
    free(caches);
    return status;
}

static conure_status check_head(const snapshot_head *head, const snapshot_head *want, conure_error *err)
{
    const struct {
        const char *what;
        uint32_t found, expected;
    } members[] = {
        {"format", head->format, want->format}, {"n_layers", head->n_layers, want->n_layers}, {"d_model", head->d_model, want->d_model},
        {"conv_left", head->conv_left, want->conv_left}, {"cache_rows", head->cache_rows, want->cache_rows},
        {"drop_rows", head->drop_rows, want->drop_rows},
        {"flags (1 keep_negative, 2 time_cache_aligned, 4 keep_rows)", head->flags, want->flags}};
    if (memcmp(head->magic, want->magic, sizeof want->magic) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: it does not begin with \"%.8s\"", MAGIC);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (members[i].found != members[i].expected)
            return conure_fail(err, CONURE_UNSUPPORTED, "snapshot of a state: %s is %u, here it is %u; it belongs to another model or to "
                               "other options", members[i].what, members[i].found, members[i].expected);
    if (head->reserved || head->length < 0 || head->length > (int64_t)head->cache_rows)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: length %lld of %u rows: no state is so", (long long)head->length,
                           head->cache_rows);
    return CONURE_OK;
}

conure_status conure_ort_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    const snapshot_head want = head_of(self, &state->options);
    const size_t floats = state->caches.channel.floats + state->caches.time.floats;
    snapshot_head head;
    if (bytes < sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, its head alone has %zu", bytes, sizeof head);
    memcpy(&head, src, sizeof head);
    CONURE_TRY(check_head(&head, &want, err));
    if (bytes != sizeof head + floats * sizeof(float))
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, expected %zu", bytes, sizeof head + floats * sizeof(float));
    float *caches = conure_calloc(floats, sizeof *caches);
    if (!caches)
        return conure_fail_memory(err, "a snapshot", floats * sizeof *caches);
    memcpy(caches, (const uint8_t *)src + sizeof head, floats * sizeof *caches);
    const conure_status status = replace(self, state, caches, caches + state->caches.channel.floats, head.length, err);
    free(caches);
    return status;
}

/* state.c - a stream's caches on the GPU, their way out and in. */
#include "engine/trt/engine.h"

#include "base/memory.h"
#include "engine/snapshot.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_ROWS_MAX = 1 << 20 };

size_t conure_trt_channel_floats(const conure_trt_engine *e, const conure_cache_options *options)
{
    return (size_t)e->config->n_layers * options->cache_rows * e->config->d_model;
}

size_t conure_trt_time_floats(const conure_trt_engine *e)
{
    return (size_t)e->config->n_layers * e->config->d_model * e->config->conv_left;
}

static size_t channel_bytes(const conure_trt_engine *e, const conure_state *state)
{
    return conure_trt_channel_floats(e, &state->options) * sizeof(float);
}

static size_t time_bytes(const conure_trt_engine *e)
{
    return conure_trt_time_floats(e) * sizeof(float);
}

static conure_status fill(conure_trt_engine *e, conure_state *state, conure_error *err)
{
    for (int i = 0; i < 2; i++) {
        void *channel = NULL, *time = NULL;
        conure_status status = conure_trt_alloc(e->trt, &channel, channel_bytes(e, state), err);
        state->channel[i] = channel;
        if (status == CONURE_OK)
            status = conure_trt_alloc(e->trt, &time, time_bytes(e), err);
        state->time[i] = time;
        if (status == CONURE_OK)
            status = conure_trt_zero(e->trt, channel, channel_bytes(e, state), err);
        if (status == CONURE_OK)
            status = conure_trt_zero(e->trt, time, time_bytes(e), err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_trt_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err)
{
    conure_trt_engine *e = self;
    *out = NULL;
    if (options->cache_rows > CACHE_ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows: at most %u are supported", options->cache_rows, CACHE_ROWS_MAX);
    if (options->kv_bf16)
        return conure_fail(err, CONURE_UNSUPPORTED, "the engine trt keeps the contract's tensors, in f32: open the state without kv_bf16");
    conure_state *state = conure_calloc(1, sizeof *state);
    if (!state)
        return conure_fail_memory(err, "a stream's state", sizeof *state);
    state->options = *options;
    const conure_status status = fill(e, state, err);
    if (status != CONURE_OK)
        conure_trt_state_close(self, &state);
    *out = state;
    return status;
}

void conure_trt_state_close(void *self, conure_state **state)
{
    conure_trt_engine *e = self;
    if (!*state)
        return;
    for (int i = 0; i < 2; i++) {
        conure_trt_graph_free(&(*state)->graphs[i]);
        conure_trt_free(e->trt, (*state)->channel[i]);
        conure_trt_free(e->trt, (*state)->time[i]);
    }
    free(*state);
    *state = NULL;
}

void conure_trt_state_reset(void *self, conure_state *state)
{
    conure_trt_engine *e = self;
    state->length = 0;
    /* What fails here fails again, with a report, in the step that follows on the same stream. */
    (void)conure_trt_zero(e->trt, state->channel[state->current], channel_bytes(e, state), NULL);
    (void)conure_trt_zero(e->trt, state->time[state->current], time_bytes(e), NULL);
}

int64_t conure_trt_state_length(const void *self, const conure_state *state)
{
    (void)self;
    return state->length;
}

/* ---- out and in ------------------------------------------------------------------------------- */

static conure_status get(conure_trt_engine *e, const conure_state *state, void *channel, void *time, conure_error *err)
{
    CONURE_TRY(conure_trt_copy(e->trt, channel, state->channel[state->current], channel_bytes(e, state), err));
    CONURE_TRY(conure_trt_copy(e->trt, time, state->time[state->current], time_bytes(e), err));
    return conure_trt_wait(e->trt, err);
}

/* Into the other halves, which become the current ones when all is there. */
static conure_status put(conure_trt_engine *e, conure_state *state, const void *channel, const void *time, int64_t length, conure_error *err)
{
    const uint32_t next = !state->current;
    CONURE_TRY(conure_trt_copy(e->trt, state->channel[next], channel, channel_bytes(e, state), err));
    CONURE_TRY(conure_trt_copy(e->trt, state->time[next], time, time_bytes(e), err));
    CONURE_TRY(conure_trt_wait(e->trt, err));
    state->current = next;
    state->length = length;
    return CONURE_OK;
}

static conure_status need_rows(const conure_state *state, conure_error *err)
{
    if (state->options.keep_rows)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "this state was opened without keep_rows: its cache_last_channel does not go in or out");
}

conure_status conure_trt_state_export(void *self, const conure_state *state, float *last_channel, float *last_time, int64_t *length,
                                      conure_error *err)
{
    CONURE_TRY(need_rows(state, err));
    CONURE_TRY(get(self, state, last_channel, last_time, err));
    *length = state->length;
    return CONURE_OK;
}

conure_status conure_trt_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time, int64_t length,
                                      conure_error *err)
{
    CONURE_TRY(need_rows(state, err));
    if (!conure_cache_length_possible(length, state->options.cache_rows))
        return conure_fail(err, CONURE_BAD_ARG, "cache length %lld: the cache has %u rows", (long long)length, state->options.cache_rows);
    return put(self, state, last_channel, last_time, length, err);
}

static conure_snapshot_head head_of(const conure_trt_engine *e, const conure_state *state)
{
    return conure_snapshot_head_of("cnrtrt32", e->config, &state->options);
}

void conure_trt_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    const size_t caches = channel_bytes(self, state) + time_bytes(self);
    *snapshot = sizeof(conure_snapshot_head) + caches;
    *memory = sizeof *state + 2 * caches;
}

conure_status conure_trt_state_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    conure_trt_engine *e = self;
    conure_snapshot_head head = head_of(e, state);
    uint8_t *to = dst;
    head.length = state->length;
    memcpy(to, &head, sizeof head);
    return get(e, state, to + sizeof head, to + sizeof head + channel_bytes(e, state), err);
}

conure_status conure_trt_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    conure_trt_engine *e = self;
    const conure_snapshot_head want = head_of(e, state);
    const size_t channel = channel_bytes(e, state), time = time_bytes(e);
    const uint8_t *at = src;
    conure_snapshot_head head;
    if (bytes < sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, its head alone has %zu", bytes, sizeof head);
    memcpy(&head, at, sizeof head);
    CONURE_TRY(conure_snapshot_head_check(&head, &want, err));
    if (bytes != sizeof head + channel + time)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, expected %zu", bytes, sizeof head + channel + time);
    return put(e, state, at + sizeof head, at + sizeof head + channel, head.length, err);
}

/* state.c - a stream's caches on the GPU, their way out and in. */
#include "engine/trt/engine.h"

#include "base/memory.h"
#include "engine/snapshot.h"
#include "model/halves.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_ROWS_MAX = 1 << 20 };

static size_t element_bytes(bool f16)
{
    return f16 ? sizeof(uint16_t) : sizeof(float);
}

static size_t channel_elements(const conure_trt_engine *e, const conure_cache_options *options)
{
    return (size_t)e->config->n_layers * options->cache_rows * e->config->d_model;
}

static size_t time_elements(const conure_trt_engine *e)
{
    return (size_t)e->config->n_layers * e->config->d_model * e->config->conv_left;
}

size_t conure_trt_channel_bytes(const conure_trt_engine *e, const conure_cache_options *options, bool f16)
{
    return channel_elements(e, options) * element_bytes(f16);
}

size_t conure_trt_time_bytes(const conure_trt_engine *e, bool f16)
{
    return time_elements(e) * element_bytes(f16);
}

static size_t channel_bytes(const conure_trt_engine *e, const conure_state *state)
{
    return conure_trt_channel_bytes(e, &state->options, state->form.f16);
}

static size_t time_bytes(const conure_trt_engine *e, const conure_state *state)
{
    return conure_trt_time_bytes(e, state->form.f16);
}

static conure_status fill(conure_trt_engine *e, conure_state *state, conure_error *err)
{
    for (int i = 0; i < 2; i++) {
        void *channel = NULL, *time = NULL;
        conure_status status = conure_trt_alloc(e->trt, &channel, channel_bytes(e, state), err);
        state->channel[i] = channel;
        if (status == CONURE_OK)
            status = conure_trt_alloc(e->trt, &time, time_bytes(e, state), err);
        state->time[i] = time;
        if (status == CONURE_OK)
            status = conure_trt_zero(e->trt, channel, channel_bytes(e, state), err);
        if (status == CONURE_OK)
            status = conure_trt_zero(e->trt, time, time_bytes(e, state), err);
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
    state->form = conure_trt_form_of(e, options);
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
    (void)conure_trt_zero(e->trt, state->time[state->current], time_bytes(e, state), NULL);
}

int64_t conure_trt_state_length(const void *self, const conure_state *state)
{
    (void)self;
    return state->length;
}

/* ---- out and in ------------------------------------------------------------------------------- */

/* From there to the host come the contract's tensors, in f32, whatever the plans have. */

static float element(bool f16, const uint8_t *raw, size_t i)
{
    uint16_t half;
    float value;
    if (!f16) {
        memcpy(&value, raw + i * sizeof value, sizeof value);
        return value;
    }
    memcpy(&half, raw + i * sizeof half, sizeof half);
    return widen_f16(half);
}

/* False where a finite value becomes infinite. */
static bool set_element(bool f16, uint8_t *raw, size_t i, float value)
{
    const uint16_t half = narrow_f16(value);
    if (f16)
        memcpy(raw + i * sizeof half, &half, sizeof half);
    else
        memcpy(raw + i * sizeof value, &value, sizeof value);
    return !f16 || !isfinite(value) || isfinite(widen_f16(half));
}

/* Where element i of a cache of matrices [rows][cols], one for each layer, is when these are turned. */
static size_t turned(size_t i, size_t rows, size_t cols)
{
    const size_t in_layer = i % (rows * cols);
    return i - in_layer + in_layer % cols * rows + in_layer / cols;
}

/* raw is as the GPU has it. */
static void widen(const conure_trt_engine *e, const conure_state *state, const uint8_t *raw, float *channel, float *time)
{
    const size_t n = channel_elements(e, &state->options), n_time = time_elements(e);
    for (size_t i = 0; i < n; i++)
        channel[i] = element(state->form.f16, raw, i);
    for (size_t i = 0; i < n_time; i++)
        time[i] = element(state->form.f16, raw, n + (state->form.matrices ? turned(i, e->config->d_model, e->config->conv_left) : i));
}

static bool narrow(const conure_trt_engine *e, const conure_state *state, uint8_t *raw, const float *channel, const float *time)
{
    const size_t n = channel_elements(e, &state->options), n_time = time_elements(e);
    bool fits = true;
    for (size_t i = 0; i < n; i++)
        fits = set_element(state->form.f16, raw, i, channel[i]) && fits;
    for (size_t i = 0; i < n_time; i++)
        fits = set_element(state->form.f16, raw, n + (state->form.matrices ? turned(i, e->config->d_model, e->config->conv_left) : i), time[i]) && fits;
    return fits;
}

/* Both caches of a stream as they lie on the GPU, one behind the other.  Freed by free(). */
static conure_status raw_open(const conure_trt_engine *e, const conure_state *state, uint8_t **out, conure_error *err)
{
    const size_t bytes = channel_bytes(e, state) + time_bytes(e, state);
    *out = conure_calloc(bytes + 1, 1);
    return *out ? CONURE_OK : conure_fail_memory(err, "the caches of a stream", bytes);
}

static conure_status get(conure_trt_engine *e, const conure_state *state, float *channel, float *time, conure_error *err)
{
    const size_t n_channel = channel_bytes(e, state);
    uint8_t *raw;
    CONURE_TRY(raw_open(e, state, &raw, err));
    conure_status status = conure_trt_copy(e->trt, raw, state->channel[state->current], n_channel, err);
    if (status == CONURE_OK)
        status = conure_trt_copy(e->trt, raw + n_channel, state->time[state->current], time_bytes(e, state), err);
    const conure_status waited = conure_trt_wait(e->trt, status == CONURE_OK ? err : NULL); /* for what is copied into this memory, also after a failure */
    status = status == CONURE_OK ? waited : status;
    if (status == CONURE_OK)
        widen(e, state, raw, channel, time);
    free(raw);
    return status;
}

/* Into the other halves, which become the current ones when all is there. */
static conure_status put(conure_trt_engine *e, conure_state *state, const float *channel, const float *time, int64_t length, conure_error *err)
{
    const size_t n_channel = channel_bytes(e, state);
    const uint32_t next = !state->current;
    uint8_t *raw;
    CONURE_TRY(raw_open(e, state, &raw, err));
    conure_status status = CONURE_OK;
    if (!narrow(e, state, raw, channel, time))
        status = conure_fail(err, CONURE_UNSUPPORTED, "the caches hold values beyond 65504, and plans of this engine keep them in f16: go on with an engine "
                             "of f32, or with plans that were built with --audio, which leaves layers of such values in f32");
    if (status == CONURE_OK)
        status = conure_trt_copy(e->trt, state->channel[next], raw, n_channel, err);
    if (status == CONURE_OK)
        status = conure_trt_copy(e->trt, state->time[next], raw + n_channel, time_bytes(e, state), err);
    const conure_status waited = conure_trt_wait(e->trt, status == CONURE_OK ? err : NULL);
    status = status == CONURE_OK ? waited : status;
    free(raw);
    if (status != CONURE_OK)
        return status;
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

/* Of a snapshot's tensors, one behind the other. */
static size_t snapshot_floats(const conure_trt_engine *e, const conure_state *state)
{
    return channel_elements(e, &state->options) + time_elements(e);
}

void conure_trt_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    *snapshot = sizeof(conure_snapshot_head) + snapshot_floats(self, state) * sizeof(float);
    *memory = sizeof *state + 2 * (channel_bytes(self, state) + time_bytes(self, state));
}

/* A place in a snapshot is aligned to nothing. */
conure_status conure_trt_state_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    conure_trt_engine *e = self;
    conure_snapshot_head head = head_of(e, state);
    const size_t n = snapshot_floats(e, state);
    float *tensors = conure_calloc(n + 1, sizeof *tensors);
    if (!tensors)
        return conure_fail_memory(err, "a snapshot", n * sizeof *tensors);
    const conure_status status = get(e, state, tensors, tensors + channel_elements(e, &state->options), err);
    head.length = state->length;
    memcpy(dst, &head, sizeof head);
    memcpy((uint8_t *)dst + sizeof head, tensors, n * sizeof *tensors);
    free(tensors);
    return status;
}

conure_status conure_trt_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    conure_trt_engine *e = self;
    const conure_snapshot_head want = head_of(e, state);
    const size_t n = snapshot_floats(e, state);
    conure_snapshot_head head;
    if (bytes < sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, its head alone has %zu", bytes, sizeof head);
    memcpy(&head, src, sizeof head);
    CONURE_TRY(conure_snapshot_head_check(&head, &want, err));
    if (bytes != sizeof head + n * sizeof(float))
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, expected %zu", bytes, sizeof head + n * sizeof(float));
    float *tensors = conure_calloc(n + 1, sizeof *tensors);
    if (!tensors)
        return conure_fail_memory(err, "a snapshot", n * sizeof *tensors);
    memcpy(tensors, (const uint8_t *)src + sizeof head, n * sizeof *tensors);
    const conure_status status = put(e, state, tensors, tensors + channel_elements(e, &state->options), head.length, err);
    free(tensors);
    return status;
}

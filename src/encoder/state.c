/* state.c - the caches of cache-aware streaming (spec 5.2 to 5.4): what a step leaves for the next.
 * cache.c keeps the rows of the attention cache, snapshot.c brings states out and in. */
#include "encoder/network.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_ROWS_MAX = 1 << 20 };

size_t conure_state_time_floats(const conure_network *net)
{
    return (size_t)net->config->n_layers * net->config->conv_left * net->config->d_model;
}

conure_status conure_network_state_open(conure_network *net, conure_state **out,
                                        const conure_cache_options *options, conure_error *err)
{
    *out = NULL;
    if (options->cache_rows > CACHE_ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows: at most %u are supported", options->cache_rows, CACHE_ROWS_MAX);
    conure_state *state = conure_calloc(1, sizeof *state);
    if (!state)
        return conure_fail_memory(err, "a stream's state", sizeof *state);
    state->options = *options;
    conure_status status = conure_ring_open(net, &state->ring, options, 0, err);
    for (uint32_t i = 0; i < 2 && status == CONURE_OK; i++) {
        void *memory = NULL;
        status = net->ops->alloc(net->backend, &memory, conure_state_time_floats(net) * sizeof(float) + 1, err);
        state->time[i] = memory;
    }
    if (status != CONURE_OK) {
        conure_network_state_close(net, &state);
        return status;
    }
    conure_network_state_reset(net, state);
    *out = state;
    return CONURE_OK;
}

void conure_network_state_close(conure_network *net, conure_state **state)
{
    if (!*state)
        return;
    conure_ring_close(net, &(*state)->ring);
    for (uint32_t i = 0; i < 2; i++)
        net->ops->free(net->backend, (*state)->time[i]);
    free(*state);
    *state = NULL;
}

void conure_network_state_reset(conure_network *net, conure_state *state)
{
    state->current = 0;
    state->length = 0;
    state->broken = false;
    state->ring.next = state->ring.n_rows = 0;
    (void)net->ops->zero(net->backend, state->time[0], conure_state_time_floats(net) * sizeof(float), NULL);
}

/* Rows that enter the attention cache; negative only where NeMo's rule is asked for. */
static int64_t kept(const conure_state *state, uint32_t n_rows)
{
    const int64_t keep = (int64_t)n_rows - state->options.drop_rows;
    return keep < 0 && !state->options.keep_negative ? 0 : keep;
}

/* next = the last C rows of concat(cache[keep:], rows[:keep]), in Python's sense of a negative keep. */
conure_turn conure_state_turn(const conure_state *state, uint32_t n_rows)
{
    const int64_t cap = state->options.cache_rows, keep = kept(state, n_rows);
    int64_t stays = keep < 0 ? -keep : cap - keep, enters = keep < 0 ? n_rows + keep : keep;
    stays = stays < 0 ? 0 : stays > cap ? cap : stays;
    enters = enters < 0 ? 0 : enters;
    const int64_t over = stays + enters > cap ? stays + enters - cap : 0; /* trimmed in front */
    const int64_t first = over > stays ? over - stays : 0;
    return (conure_turn){
        .stays = (uint32_t)(stays - (over - first)), .first = (uint32_t)first, .enters = (uint32_t)(enters - first)};
}

/* W = [cache | gated | zeros], next = W[e - left : e] (spec 5.4); invalid rows count as zeros. */
conure_status conure_state_advance_time(conure_network *net, conure_state *state, uint32_t layer,
                                        const conure_span *span, conure_rows gated, conure_error *err)
{
    const size_t d = net->config->d_model, row = d * sizeof(float);
    const int64_t left = net->config->conv_left, right = net->config->conv_right;
    const float *cache = state->time[state->current] + (size_t)layer * (size_t)left * d;
    float *next = state->time[!state->current] + (size_t)layer * (size_t)left * d;
    const int64_t past = span->n_past, first = (int64_t)span->key_first - past, end = (int64_t)span->key_end - past;
    int64_t e = left + span->n_rows - state->options.drop_rows + (state->options.time_cache_aligned ? 0 : right);
    e = e < left ? left : e;
    for (int64_t i = 0; i < left; i++) {
        const int64_t w = e - left + i, t = w - left;
        float *dst = next + (size_t)i * d;
        if (w < left)
            CONURE_TRY(net->ops->copy(net->backend, dst, cache + (size_t)w * d, row, err));
        else if (t < span->n_rows && t >= first && t < end)
            CONURE_TRY(net->ops->copy(net->backend, dst, gated.data + ((size_t)span->first_row + (size_t)t) * gated.stride, row, err));
        else
            CONURE_TRY(net->ops->zero(net->backend, dst, row, err));
    }
    return CONURE_OK;
}

void conure_state_commit(conure_state *state, uint32_t n_rows)
{
    const int64_t cap = state->options.cache_rows, length = state->length + kept(state, n_rows);
    const conure_turn turn = conure_state_turn(state, n_rows);
    conure_ring *ring = &state->ring;
    ring->n_rows = (ring->n_rows < turn.stays ? ring->n_rows : turn.stays) + turn.enters;
    if (turn.enters)
        ring->next = (ring->next + turn.enters) % ring->slots;
    state->broken = turn.stays + turn.enters < cap; /* only under NeMo's rule */
    state->length = length < cap ? length : cap;
    state->current = !state->current;
}

void conure_network_state_bytes(const conure_network *net, const conure_state *state, size_t *snapshot, size_t *memory)
{
    const size_t time = conure_state_time_floats(net) * sizeof(float);
    *snapshot = conure_snapshot_bytes(net, &state->options, state->ring.n_rows);
    *memory = sizeof *state + conure_ring_bytes(net, &state->ring, &state->options) + 2 * (time + 1);
}

int64_t conure_network_state_length(const conure_state *state)
{
    return state->length;
}

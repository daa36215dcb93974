/* state.c - the caches of cache-aware streaming (spec 5.2 to 5.4): what a step leaves for the next. */
#include "encoder/network.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static size_t channel_floats(const conure_network *net, const conure_state *state)
{
    return (size_t)net->config->n_layers * state->options.cache_rows * net->config->d_model;
}

static size_t time_floats(const conure_network *net)
{
    return (size_t)net->config->n_layers * net->config->conv_left * net->config->d_model;
}

conure_status conure_network_state_open(conure_network *net, conure_state **out,
                                        const conure_cache_options *options, conure_error *err)
{
    conure_status status = CONURE_OK;
    *out = NULL;
    if (options->cache_rows > (1u << 20))
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows: at most %u are supported", options->cache_rows, 1u << 20);
    conure_state *state = conure_calloc(1, sizeof *state);
    if (!state)
        return conure_fail_memory(err, "a stream's state", sizeof *state);
    state->options = *options;
    for (uint32_t i = 0; i < 2 && status == CONURE_OK; i++) {
        void *memory = NULL;
        status = net->ops->alloc(net->backend, &memory, channel_floats(net, state) * sizeof(float) + 1, err);
        state->channel[i] = memory;
        memory = NULL;
        if (status == CONURE_OK)
            status = net->ops->alloc(net->backend, &memory, time_floats(net) * sizeof(float) + 1, err);
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
    for (uint32_t i = 0; i < 2; i++) {
        net->ops->free(net->backend, (*state)->channel[i]);
        net->ops->free(net->backend, (*state)->time[i]);
    }
    free(*state);
    *state = NULL;
}

void conure_network_state_reset(conure_network *net, conure_state *state)
{
    state->current = 0;
    state->length = 0;
    state->broken = false;
    (void)net->ops->zero(net->backend, state->channel[0], channel_floats(net, state) * sizeof(float), NULL);
    (void)net->ops->zero(net->backend, state->time[0], time_floats(net) * sizeof(float), NULL);
}

/* Rows that enter the attention cache; negative only where NeMo's rule is asked for. */
static int64_t kept(const conure_state *state, uint32_t n_rows)
{
    const int64_t keep = (int64_t)n_rows - state->options.drop_rows;
    return keep < 0 && !state->options.keep_negative ? 0 : keep;
}

/* next = the last C rows of concat(cache[keep:], normed[:keep]), in Python's sense of a negative keep. */
conure_status conure_state_advance_channel(conure_network *net, conure_state *state, uint32_t layer,
                                           const conure_span *span, conure_rows normed, conure_error *err)
{
    const size_t d = net->config->d_model;
    const int64_t cap = state->options.cache_rows, keep = kept(state, span->n_rows);
    if (cap == 0)
        return CONURE_OK;
    int64_t old_first = keep < 0 ? cap + keep : keep, fresh = keep < 0 ? (int64_t)span->n_rows + keep : keep;
    old_first = old_first < 0 ? 0 : old_first > cap ? cap : old_first;
    fresh = fresh < 0 ? 0 : fresh > span->n_rows ? span->n_rows : fresh;
    int64_t old = cap - old_first;
    int64_t skip = old + fresh > cap ? old + fresh - cap : 0; /* trimmed to the last C rows */
    const int64_t old_skip = skip < old ? skip : old, fresh_skip = skip - old_skip;
    old -= old_skip;
    const float *cache = state->channel[state->current] + (size_t)layer * (size_t)cap * d;
    float *next = state->channel[!state->current] + (size_t)layer * (size_t)cap * d;
    const int64_t short_of = cap - old - (fresh - fresh_skip); /* > 0 only under NeMo's rule: broken */
    CONURE_TRY(net->ops->zero(net->backend, next, (size_t)short_of * d * sizeof(float), err));
    next += (size_t)short_of * d;
    CONURE_TRY(net->ops->copy(net->backend, next, cache + (size_t)(old_first + old_skip) * d,
                              (size_t)old * d * sizeof(float), err));
    return net->ops->copy(net->backend, next + (size_t)old * d,
                          normed.data + ((size_t)span->first_row + (size_t)fresh_skip) * d,
                          (size_t)(fresh - fresh_skip) * d * sizeof(float), err);
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

void conure_state_commit(const conure_network *net, conure_state *state, uint32_t n_rows)
{
    (void)net;
    const int64_t cap = state->options.cache_rows, keep = kept(state, n_rows);
    const int64_t length = state->length + keep;
    state->broken = cap > 0 && keep < 0 && n_rows < cap; /* -keep + (n_rows + keep) rows are left */
    state->length = length < cap ? length : cap;
    state->current = !state->current;
}

conure_status conure_network_state_export(conure_network *net, const conure_state *state, float *last_channel,
                                          float *last_time, int64_t *length, conure_error *err)
{
    const size_t d = net->config->d_model, left = net->config->conv_left, n = time_floats(net);
    CONURE_TRY(net->ops->download(net->backend, last_channel, state->channel[state->current],
                                  channel_floats(net, state) * sizeof(float), err));
    CONURE_TRY(conure_host_fit(net, n, err));
    CONURE_TRY(net->ops->download(net->backend, net->host, state->time[state->current], n * sizeof(float), err));
    for (size_t l = 0; l < net->config->n_layers; l++)
        for (size_t i = 0; i < left; i++)
            for (size_t k = 0; k < d; k++)
                last_time[(l * d + k) * left + i] = net->host[(l * left + i) * d + k];
    *length = state->length;
    return CONURE_OK;
}

conure_status conure_network_state_import(conure_network *net, conure_state *state, const float *last_channel,
                                          const float *last_time, int64_t length, conure_error *err)
{
    const size_t d = net->config->d_model, left = net->config->conv_left, n = time_floats(net);
    if (length > (int64_t)state->options.cache_rows || length < -(int64_t)UINT32_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "cache length %lld: the cache has %u rows", (long long)length,
                           state->options.cache_rows);
    CONURE_TRY(conure_host_fit(net, n, err));
    for (size_t l = 0; l < net->config->n_layers; l++)
        for (size_t i = 0; i < left; i++)
            for (size_t k = 0; k < d; k++)
                net->host[(l * left + i) * d + k] = last_time[(l * d + k) * left + i];
    CONURE_TRY(net->ops->upload(net->backend, state->time[!state->current], net->host, n * sizeof(float), err));
    CONURE_TRY(net->ops->upload(net->backend, state->channel[!state->current], last_channel,
                                channel_floats(net, state) * sizeof(float), err));
    state->current = !state->current;
    state->length = length;
    state->broken = false;
    return CONURE_OK;
}

/* state.c - the caches of the reference: what a step leaves for the next, and their way out and in.
 *
 * The contract's tensors are floats, so exporting rounds and a stream that is exported and imported goes on from the
 * rounded values; a snapshot holds the doubles, and what is loaded goes on bit for bit. */
#include "engine/reference/reference.h"

#include "base/memory.h"
#include "engine/snapshot.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_ROWS_MAX = 1 << 20 };

static size_t channel_doubles(const conure_ref *r, const conure_cache_options *o)
{
    return (size_t)r->config->n_layers * o->cache_rows * r->config->d_model;
}

static size_t time_doubles(const conure_ref *r)
{
    return (size_t)r->config->n_layers * r->config->d_model * r->config->conv_left;
}

conure_status conure_ref_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err)
{
    const conure_ref *r = self;
    *out = NULL;
    if (options->cache_rows > CACHE_ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows: at most %u are supported", options->cache_rows, CACHE_ROWS_MAX);
    if (options->kv_bf16)
        return conure_fail(err, CONURE_UNSUPPORTED, "the engine ref keeps its caches in double: open the state without kv_bf16");
    conure_state *state = conure_calloc(1, sizeof *state);
    if (!state)
        return conure_fail_memory(err, "a stream's state", sizeof *state);
    state->options = *options;
    for (int i = 0; i < 2; i++) {
        state->channel[i] = conure_calloc(channel_doubles(r, options) + 1, sizeof(double)); /* never of 0 bytes */
        state->time[i] = conure_calloc(time_doubles(r) + 1, sizeof(double));
        if (!state->channel[i] || !state->time[i]) {
            conure_ref_state_close(self, &state);
            return conure_fail_memory(err, "a stream's caches", (channel_doubles(r, options) + time_doubles(r)) * sizeof(double));
        }
    }
    *out = state;
    return CONURE_OK;
}

void conure_ref_state_close(void *self, conure_state **state)
{
    (void)self;
    if (!*state)
        return;
    for (int i = 0; i < 2; i++) {
        free((*state)->channel[i]);
        free((*state)->time[i]);
    }
    free(*state);
    *state = NULL;
}

void conure_ref_state_reset(void *self, conure_state *state)
{
    const conure_ref *r = self;
    memset(state->channel[state->current], 0, channel_doubles(r, &state->options) * sizeof(double));
    memset(state->time[state->current], 0, time_doubles(r) * sizeof(double));
    state->length = 0;
    state->broken = false;
}

int64_t conure_ref_state_length(const void *self, const conure_state *state)
{
    (void)self;
    return state->length;
}

/* ---- a step ----------------------------------------------------------------------------------- */

/* keep = T - drop rows enter the attention cache; below 0 only where NeMo's rule is asked for. */
static int64_t kept(const conure_state *state, int64_t n_rows)
{
    const int64_t keep = n_rows - state->options.drop_rows;
    return keep < 0 && !state->options.keep_negative ? 0 : keep;
}

/* Python's slices of a list of n: how many elements list[at:] and list[:at] have. */
static int64_t from(int64_t at, int64_t n)
{
    const int64_t first = at < 0 ? n + at : at;
    return first < 0 ? n : first > n ? 0 : n - first;
}

static int64_t until(int64_t at, int64_t n)
{
    const int64_t end = at < 0 ? n + at : at;
    return end < 0 ? 0 : end > n ? n : end;
}

/* new = concat(cache[keep:], rows[:keep]), then its last C rows; less than that stand at the end, too. */
void conure_ref_state_advance_channel(conure_ref_step *s, uint32_t layer, const double *rows)
{
    conure_state *state = s->state;
    const size_t d = s->r->config->d_model, cap = state->options.cache_rows;
    const int64_t keep = kept(state, s->n_rows), stay = from(keep, (int64_t)cap), enter = until(keep, s->n_rows), all = stay + enter;
    const double *cache = state->channel[state->current] + layer * cap * d;
    double *next = state->channel[!state->current] + layer * cap * d;
    for (int64_t i = 0; i < (int64_t)cap; i++) {
        const int64_t at = all - (int64_t)cap + i; /* of the concatenation */
        double *dst = next + (size_t)i * d;
        if (at < 0)
            memset(dst, 0, d * sizeof *dst);
        else if (at < stay)
            memcpy(dst, cache + ((int64_t)cap - stay + at) * (int64_t)d, d * sizeof *dst);
        else
            memcpy(dst, rows + (size_t)(at - stay) * d, d * sizeof *dst);
    }
}

/* next = w[e - left : e], where NeMo's e counts the zeros on the right and the aligned one ends before the next step's
 * first frame.  A step shorter than what it drops would end before the cache does: it leaves the cache as it is, where
 * NeMo fails. */
void conure_ref_state_advance_time(conure_ref_step *s, uint32_t layer, const double *w)
{
    conure_state *state = s->state;
    const conure_config *c = s->r->config;
    const int64_t d = c->d_model, left = c->conv_left, right = c->conv_right, columns = left + s->n_rows + right;
    int64_t end = columns - state->options.drop_rows - (state->options.time_cache_aligned ? right : 0);
    end = end < left ? left : end;
    double *next = state->time[!state->current] + layer * d * left;
    for (int64_t i = 0; i < d && left; i++)
        memcpy(next + i * left, w + i * columns + end - left, (size_t)left * sizeof *next);
}

void conure_ref_state_commit(conure_state *state, int64_t n_rows)
{
    const int64_t cap = state->options.cache_rows, keep = kept(state, n_rows), length = state->length + keep;
    state->broken = from(keep, cap) + until(keep, n_rows) < cap;
    state->length = length < cap ? length : cap;
    state->current = !state->current;
}

/* ---- the contract's tensors ------------------------------------------------------------------- */

static conure_status need_rows(const conure_state *state, conure_error *err)
{
    if (state->options.keep_rows)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "this state was opened without keep_rows: its cache_last_channel does not go in or out");
}

conure_status conure_ref_state_export(void *self, const conure_state *state, float *last_channel, float *last_time,
                                      int64_t *length, conure_error *err)
{
    const conure_ref *r = self;
    CONURE_TRY(need_rows(state, err));
    for (size_t i = 0; i < channel_doubles(r, &state->options); i++)
        last_channel[i] = (float)state->channel[state->current][i];
    for (size_t i = 0; i < time_doubles(r); i++)
        last_time[i] = (float)state->time[state->current][i];
    *length = state->length;
    return CONURE_OK;
}

conure_status conure_ref_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time,
                                      int64_t length, conure_error *err)
{
    const conure_ref *r = self;
    CONURE_TRY(need_rows(state, err));
    if (!conure_cache_length_possible(length, state->options.cache_rows))
        return conure_fail(err, CONURE_BAD_ARG, "cache length %lld: the cache has %u rows", (long long)length, state->options.cache_rows);
    for (size_t i = 0; i < channel_doubles(r, &state->options); i++)
        state->channel[state->current][i] = last_channel[i];
    for (size_t i = 0; i < time_doubles(r); i++)
        state->time[state->current][i] = last_time[i];
    state->length = length;
    state->broken = false;
    return CONURE_OK;
}

/* ---- snapshots -------------------------------------------------------------------------------- */

/* A head, then the attention cache and the time cache as they lie in memory. */
static conure_snapshot_head head_of(const conure_ref *r, const conure_cache_options *o)
{
    return conure_snapshot_head_of("cnrref64", r->config, o);
}

void conure_ref_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    const size_t caches = (channel_doubles(self, &state->options) + time_doubles(self)) * sizeof(double);
    *snapshot = sizeof(conure_snapshot_head) + caches;
    *memory = sizeof *state + 2 * (caches + 2 * sizeof(double));
}

conure_status conure_ref_state_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    const conure_ref *r = self;
    conure_snapshot_head head = head_of(r, &state->options);
    const size_t channel = channel_doubles(r, &state->options) * sizeof(double);
    uint8_t *to = dst;
    (void)err;
    head.broken = state->broken;
    head.length = state->length;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, state->channel[state->current], channel);
    memcpy(to + sizeof head + channel, state->time[state->current], time_doubles(r) * sizeof(double));
    return CONURE_OK;
}

conure_status conure_ref_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    const conure_ref *r = self;
    const conure_snapshot_head want = head_of(r, &state->options);
    const size_t channel = channel_doubles(r, &state->options) * sizeof(double), time = time_doubles(r) * sizeof(double);
    const uint8_t *at = src;
    conure_snapshot_head head;
    if (bytes < sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, its head alone has %zu", bytes, sizeof head);
    memcpy(&head, at, sizeof head);
    CONURE_TRY(conure_snapshot_head_check(&head, &want, err));
    if (bytes != sizeof head + channel + time)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, expected %zu", bytes, sizeof head + channel + time);
    memcpy(state->channel[state->current], at + sizeof head, channel);
    memcpy(state->time[state->current], at + sizeof head + channel, time);
    state->length = head.length;
    state->broken = head.broken;
    return CONURE_OK;
}

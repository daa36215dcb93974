/* cache.c - the attention cache of a stream: rings of projected rows, one per layer.
 *
 * A row is kept as its key beside its value, so a step projects its own rows only: a product treats rows
 * alone, and what it made of a row once it would make again.  The rings of all layers turn together.
 * They are longer than the cache by some spare slots: a step writes its rows there, and only when it is
 * done does the state count them in, so that a step that fails has changed nothing. */
#include "encoder/network.h"

#include "base/memory.h"

#include <string.h>

/* Rows that a step may bring without the rings having to grow. */
enum { SPARE_SLOTS = 16 };

size_t conure_cache_kv_bytes(const conure_network *net, const conure_cache_options *options)
{
    return 2 * (size_t)net->config->d_model * (options->kv_bf16 ? sizeof(uint16_t) : sizeof(float));
}

size_t conure_cache_row_bytes(const conure_network *net, const conure_cache_options *options)
{
    return options->keep_rows ? (size_t)net->config->d_model * sizeof(float) : 0;
}

conure_status conure_ring_open(conure_network *net, conure_ring *out, const conure_cache_options *options,
                               uint32_t spare, conure_error *err)
{
    const uint32_t cap = options->cache_rows;
    spare = spare < SPARE_SLOTS ? SPARE_SLOTS : spare;
    *out = (conure_ring){.slots = cap + (spare < cap ? spare : cap)};
    const size_t row = conure_cache_row_bytes(net, options);
    size_t slots, bytes;
    if (!conure_mul(net->config->n_layers, out->slots, &slots) || !conure_mul(slots, conure_cache_kv_bytes(net, options), &bytes))
        return conure_fail(err, CONURE_LIMIT, "a cache of %u rows does not fit the address space", cap);
    conure_status status = slots ? net->ops->alloc(net->backend, &out->kv, bytes, err) : CONURE_OK;
    if (status == CONURE_OK && slots && row) {
        void *rows = NULL;
        status = net->ops->alloc(net->backend, &rows, slots * row, err);
        out->rows = rows;
    }
    if (status != CONURE_OK)
        conure_ring_close(net, out);
    return status;
}

void conure_ring_close(conure_network *net, conure_ring *ring)
{
    net->ops->free(net->backend, ring->kv);
    net->ops->free(net->backend, ring->rows);
    *ring = (conure_ring){0};
}

size_t conure_ring_bytes(const conure_network *net, const conure_ring *ring, const conure_cache_options *options)
{
    return (size_t)net->config->n_layers * ring->slots *
           (conure_cache_kv_bytes(net, options) + conure_cache_row_bytes(net, options));
}

uint32_t conure_ring_runs(const conure_ring *ring, uint32_t slot, uint32_t n, conure_run runs[2])
{
    uint32_t n_runs = 0;
    for (uint32_t done = 0; done < n; slot = 0) {
        const uint32_t room = ring->slots - slot, left = n - done;
        runs[n_runs] = (conure_run){.slot = slot, .row = done, .n = room < left ? room : left};
        done += runs[n_runs++].n;
    }
    return n_runs;
}

/* The slot of the oldest of the n newest rows. */
uint32_t conure_ring_newest(const conure_ring *ring, uint32_t n)
{
    return n ? (ring->next + ring->slots - n) % ring->slots : ring->next;
}

/* ---- moving rows ----------------------------------------------------------------------------- */

uint8_t *conure_cache_kv(const conure_network *net, const conure_state *state, const conure_ring *ring, uint32_t layer, uint32_t slot)
{
    return (uint8_t *)ring->kv + ((size_t)layer * ring->slots + slot) * conure_cache_kv_bytes(net, &state->options);
}

float *conure_cache_row(const conure_network *net, const conure_ring *ring, uint32_t layer, uint32_t slot)
{
    return ring->rows + ((size_t)layer * ring->slots + slot) * net->config->d_model;
}

/* kv [n][2 d] to or from the slots from `slot` on. */
static uint32_t kv_moves(const conure_network *net, const conure_state *state, uint32_t layer, uint32_t slot, conure_rows kv,
                         conure_stored *moves)
{
    conure_run runs[2];
    const uint32_t n = conure_ring_runs(&state->ring, slot, kv.rows, runs);
    for (uint32_t i = 0; i < n; i++)
        moves[i] = (conure_stored){
            .rows = {kv.data + runs[i].row * kv.stride, kv.stride, runs[i].n, kv.cols},
            .data = conure_cache_kv(net, state, &state->ring, layer, runs[i].slot),
            .stride = kv.cols, .bf16 = state->options.kv_bf16};
    return n;
}

uint32_t conure_cache_past(const conure_network *net, const conure_state *state, uint32_t layer, conure_rows kv,
                           conure_stored moves[2])
{
    const uint32_t n = state->length > 0 ? (uint32_t)state->length : 0;
    kv.data += (size_t)(kv.rows - n) * kv.stride;
    kv.rows = n;
    return kv_moves(net, state, layer, conure_ring_newest(&state->ring, n), kv, moves);
}

uint32_t conure_cache_fresh(const conure_network *net, const conure_state *state, uint32_t layer, conure_rows kv,
                            conure_rows normed, conure_stored moves[4])
{
    conure_run runs[2];
    const conure_ring *ring = &state->ring;
    uint32_t n = kv_moves(net, state, layer, ring->next, kv, moves);
    const uint32_t n_runs = state->options.keep_rows ? conure_ring_runs(ring, ring->next, normed.rows, runs) : 0;
    for (uint32_t i = 0; i < n_runs; i++)
        moves[n++] = (conure_stored){
            .rows = {normed.data + runs[i].row * normed.stride, normed.stride, runs[i].n, normed.cols},
            .data = conure_cache_row(net, ring, layer, runs[i].slot), .stride = normed.cols};
    return n;
}

/* Longer rings with the same rows in their first slots. */
static conure_status grow(conure_network *net, conure_state *state, uint32_t spare, conure_error *err)
{
    const conure_ring *from = &state->ring;
    const size_t kv_bytes = conure_cache_kv_bytes(net, &state->options), row_bytes = conure_cache_row_bytes(net, &state->options);
    conure_ring grown;
    conure_run runs[2];
    CONURE_TRY(conure_ring_open(net, &grown, &state->options, spare, err));
    conure_status status = CONURE_OK;
    const uint32_t n_runs = conure_ring_runs(from, conure_ring_newest(from, from->n_rows), from->n_rows, runs);
    for (uint32_t l = 0; l < net->config->n_layers; l++)
        for (uint32_t i = 0; i < n_runs && status == CONURE_OK; i++) {
            status = net->ops->copy(net->backend, conure_cache_kv(net, state, &grown, l, runs[i].row),
                                    conure_cache_kv(net, state, from, l, runs[i].slot), runs[i].n * kv_bytes, err);
            if (status == CONURE_OK && row_bytes)
                status = net->ops->copy(net->backend, conure_cache_row(net, &grown, l, runs[i].row),
                                        conure_cache_row(net, from, l, runs[i].slot), runs[i].n * row_bytes, err);
        }
    if (status != CONURE_OK) {
        conure_ring_close(net, &grown);
        return status;
    }
    grown.n_rows = grown.next = from->n_rows; /* there are spare slots behind them */
    conure_ring_close(net, &state->ring);
    state->ring = grown;
    return CONURE_OK;
}

conure_status conure_cache_fit(conure_network *net, conure_state *state, uint32_t n_rows, conure_error *err)
{
    const uint32_t enters = conure_state_turn(state, n_rows).enters;
    return enters > state->ring.slots - state->options.cache_rows ? grow(net, state, enters, err) : CONURE_OK;
}

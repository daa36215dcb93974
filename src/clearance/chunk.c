/* chunk.c - see chunk.h. */
#include "clearance/chunk.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

conure_status conure_chunk_open(conure_chunk *chunk, const conure_contract *k, conure_error *err)
{
    conure_chunk c = {.contract = k};
    size_t mel = 0, out = 0, all = 0;
    for (uint32_t i = 0; i < k->n_profiles; i++)
        if (k->profiles[i].t_max > c.frames_cap)
            c.frames_cap = k->profiles[i].t_max;
    c.out_cap = k->streaming.valid_out;
    bool fits = conure_mul(c.frames_cap, k->mel_bins, &mel) && conure_mul(c.out_cap, k->d_model, &out) &&
                conure_mul((size_t)k->n_layers * k->d_model, k->streaming.cache_rows, &c.channel_floats) &&
                conure_mul((size_t)k->n_layers * k->d_model, k->conv_left, &c.time_floats);
    const size_t parts[] = {mel, out, c.channel_floats, c.channel_floats, c.time_floats, c.time_floats};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && fits; i++)
        fits = conure_add(all, parts[i], &all);
    memset(chunk, 0, sizeof *chunk);
    if (!fits || all > CONURE_CHUNK_BYTES_MAX / sizeof(float))
        return conure_fail(err, CONURE_LIMIT, "a chunk of this contract (%u layers, %u cache rows, width %u, %u frames) takes more than %zu "
                           "bytes", k->n_layers, k->streaming.cache_rows, k->d_model, c.frames_cap, CONURE_CHUNK_BYTES_MAX);
    c.features = conure_calloc(mel + 1, sizeof(float)); /* + 1: a cache of no rows is a pointer too */
    c.encoder = conure_calloc(out + 1, sizeof(float));
    for (int i = 0; i < 2; i++) {
        c.channel[i] = conure_calloc(c.channel_floats + 1, sizeof(float));
        c.time[i] = conure_calloc(c.time_floats + 1, sizeof(float));
    }
    *chunk = c;
    if (c.features && c.encoder && c.channel[0] && c.channel[1] && c.time[0] && c.time[1])
        return CONURE_OK;
    conure_chunk_close(chunk);
    return conure_fail_memory(err, "a chunk's tensors", all * sizeof(float));
}

void conure_chunk_close(conure_chunk *chunk)
{
    free(chunk->features);
    free(chunk->encoder);
    for (int i = 0; i < 2; i++) {
        free(chunk->channel[i]);
        free(chunk->time[i]);
    }
    memset(chunk, 0, sizeof *chunk);
}

static conure_chunk_tensor floats(float *data, uint32_t rank, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const size_t n = (size_t)a * b * c * (rank == 4 ? d : 1);
    return (conure_chunk_tensor){.data = data, .bytes = n * sizeof(float), .is_float = true, .rank = rank, .shape = {a, b, c, d}};
}

static conure_chunk_tensor integer(const int64_t *value)
{
    return (conure_chunk_tensor){.data = (void *)(uintptr_t)value, .bytes = sizeof *value, .rank = 1, .shape = {1}};
}

conure_chunk_tensor conure_chunk_view(const conure_chunk *c, conure_role role)
{
    const conure_contract *k = c->contract;
    const uint32_t first = k->layer_first ? k->n_layers : 1, second = k->layer_first ? 1 : k->n_layers;
    switch (role) {
    case CONURE_ROLE_FEATURES: return floats(c->features, 3, 1, k->mel_bins, c->n_frames, 0);
    case CONURE_ROLE_LENGTH: return integer(&c->length);
    case CONURE_ROLE_CHANNEL_IN: return floats(c->channel[0], 4, first, second, k->streaming.cache_rows, k->d_model);
    case CONURE_ROLE_TIME_IN: return floats(c->time[0], 4, first, second, k->d_model, k->conv_left);
    case CONURE_ROLE_CACHE_LENGTH_IN: return integer(&c->cache_length[0]);
    case CONURE_ROLE_ENCODER: return floats(c->encoder, 3, 1, k->d_model, c->n_out, 0);
    case CONURE_ROLE_ENCODED_LENGTH: return integer(&c->encoded_length);
    case CONURE_ROLE_CHANNEL_OUT: return floats(c->channel[1], 4, first, second, k->streaming.cache_rows, k->d_model);
    case CONURE_ROLE_TIME_OUT: return floats(c->time[1], 4, first, second, k->d_model, k->conv_left);
    default: return integer(&c->cache_length[1]);
    }
}

void conure_chunk_copy(conure_chunk *to, conure_role to_role, const conure_chunk *from, conure_role from_role)
{
    if (from_role == CONURE_ROLE_FEATURES)
        to->n_frames = from->n_frames;
    if (from_role == CONURE_ROLE_ENCODER)
        to->n_out = from->n_out;
    const conure_chunk_tensor a = conure_chunk_view(to, to_role), b = conure_chunk_view(from, from_role);
    memmove(a.data, b.data, b.bytes);
    to->has[to_role] = from->has[from_role];
}

void conure_chunk_take_inputs(conure_chunk *to, const conure_chunk *from)
{
    for (conure_role role = 0; role < CONURE_ROLE_INPUTS; role++)
        conure_chunk_copy(to, role, from, role);
    to->index = from->index;
    to->step = from->step;
}

void conure_chunk_zero_state(conure_chunk *c)
{
    memset(c->channel[0], 0, c->channel_floats * sizeof(float));
    memset(c->time[0], 0, c->time_floats * sizeof(float));
    c->cache_length[0] = 0;
    c->has[CONURE_ROLE_CHANNEL_IN] = c->has[CONURE_ROLE_TIME_IN] = c->has[CONURE_ROLE_CACHE_LENGTH_IN] = true;
}

void conure_chunk_carry_state(conure_chunk *to, const conure_chunk *from)
{
    conure_chunk_copy(to, CONURE_ROLE_CHANNEL_IN, from, CONURE_ROLE_CHANNEL_OUT);
    conure_chunk_copy(to, CONURE_ROLE_TIME_IN, from, CONURE_ROLE_TIME_OUT);
    conure_chunk_copy(to, CONURE_ROLE_CACHE_LENGTH_IN, from, CONURE_ROLE_CACHE_LENGTH_OUT);
}

void conure_chunk_predict(const conure_chunk *c, conure_prediction *out)
{
    const int64_t valid = c->length < 0 ? 0 : c->length > c->n_frames ? c->n_frames : c->length;
    conure_contract_predict(c->contract, c->step == 0, c->n_frames, (uint32_t)valid, c->cache_length[0], false, out);
}

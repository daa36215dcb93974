/* states.h - streams of random mel frames through the engine's states, for the tests of states. */
#ifndef CONURE_TESTS_STATES_H
#define CONURE_TESTS_STATES_H

#include "compare.h"

enum { MEL_FRAMES = 2400 };

static inline float *random_mel(const opened *o, uint64_t seed)
{
    const size_t n = (size_t)MEL_FRAMES * o->model->config.mel_bins;
    float *mel = malloc(n * sizeof *mel);
    for (size_t i = 0; i < n; i++)
        mel[i] = test_uniform(&seed, -2, 2);
    return mel;
}

/* A stream: slices of mel of some length, hop frames apart. */
typedef struct stream {
    const opened *o;
    const float *mel;
    uint32_t slice, hop, drop_first;
    conure_state *state;
    float *out; /* [64][d]: of the last step */
    uint32_t n_out, k;
} stream;

static inline stream stream_open(const opened *o, const float *mel, uint32_t slice, uint32_t hop,
                                 const conure_cache_options *options)
{
    stream s = {.o = o, .mel = mel, .slice = slice, .hop = hop, .drop_first = 2};
    conure_error err = {""};
    s.out = calloc(64 * (size_t)o->model->config.d_model, sizeof *s.out);
    if (options)
        test_int(o->engine->state_open(o->self, &s.state, options, &err), CONURE_OK);
    return s;
}

static inline void stream_close(stream *s)
{
    s->o->engine->state_close(s->o->self, &s->state);
    free(s->out);
}

static inline conure_encode_row stream_row(const stream *s)
{
    return (conure_encode_row){.mel = s->mel + (size_t)s->hop * s->k * s->o->model->config.mel_bins, .n_frames = s->slice,
                               .n_valid = s->slice, .drop_first = s->drop_first, .state = s->state, .out = s->out, .n_out_cap = 64};
}

static inline void stream_step(stream *s)
{
    conure_encode_row row = stream_row(s);
    conure_error err = {""};
    test_int(s->o->engine->encode(s->o->self, &row, 1, &err), CONURE_OK);
    s->n_out = row.n_out;
    s->k++;
}

static inline bool same_output(const stream *a, const stream *b)
{
    return a->n_out == b->n_out && memcmp(a->out, b->out, a->n_out * (size_t)a->o->model->config.d_model * sizeof *a->out) == 0;
}

typedef struct saved {
    uint8_t *data;
    size_t bytes;
} saved;

/* The state's snapshot, at an odd address of memory that ends where it does. */
static inline saved save(const stream *s)
{
    saved blob;
    size_t memory;
    conure_error err = {""};
    s->o->engine->state_bytes(s->o->self, s->state, &blob.bytes, &memory);
    blob.data = malloc(blob.bytes + 1);
    test_int(s->o->engine->state_save(s->o->self, s->state, ++blob.data, &err), CONURE_OK);
    return blob;
}

static inline void saved_free(saved *blob)
{
    free(blob->data - 1);
}

static inline conure_status load(stream *s, const saved *blob, size_t bytes, conure_error *err)
{
    return s->o->engine->state_load(s->o->self, s->state, blob->data, bytes, err);
}

static inline bool same_saved(const saved *a, const saved *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

/* The state is still what it was saved as. */
static inline bool unchanged(const stream *s, const saved *before)
{
    saved now = save(s);
    const bool same = same_saved(&now, before);
    saved_free(&now);
    return same;
}

#endif

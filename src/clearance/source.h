/* source.h - where the chunks of a run come from: made-up features or those of real audio, with what a reference makes of
 * them; a reference file; tensors that NeMo stored. */
#ifndef CONURE_CLEARANCE_SOURCE_H
#define CONURE_CLEARANCE_SOURCE_H

#include "clearance/candidate.h"

/* ---- features.c ------------------------------------------------------------------------------- */

#define CONURE_GENERATOR "splitmix64-uniform-1"

/* Features of chunk k: the value of mel bin b of frame t is sqrt(3) * (2 u - 1), rounded to float32, with
 * u = conure_random_unit(seed, k * 2^40 + t * mel_bins + b) in [0, 1).  docs/clearance.md has the generator and its first values. */
void conure_random_features(float *features, uint32_t mel_bins, uint32_t n_frames, uint64_t seed, uint64_t chunk);

/* Slices to feed.  Where features come from: */
typedef struct conure_feed {
    uint64_t seed;
    uint64_t n_chunks;     /* to make; with audio, at most */
    uint32_t n_frames;     /* of every slice; 0: the profile's */
    uint32_t n_padding;    /* of these, the last ones that are not valid; fewer than n_frames */
    const float *mel;      /* NULL: made up.  Else [n_mel][mel_bins] normalised, cut as the contract's schedule says */
    uint64_t n_mel;
} conure_feed;

/* BAD_ARG: no profile takes such slices, or the audio has not one. */
conure_status conure_feed_check(conure_feed *feed, const conure_contract *contract, conure_error *err); /* limits n_chunks to what there is */
/* Features, length and step of chunk k into the inputs. */
void conure_feed_chunk(const conure_feed *feed, uint64_t k, conure_chunk *chunk);

/* ---- a source --------------------------------------------------------------------------------- */

typedef struct conure_source {
    /* The next chunk: OK; END; else what is wrong with it.  The chunk stays the source's until the next call. */
    conure_status (*next)(struct conure_source *self, const conure_chunk **chunk, conure_error *err);
    void (*close)(struct conure_source *self);
    const conure_contract *contract; /* what its chunks are about; belongs to it or outlives it */
    uint64_t n_chunks;               /* as announced */
    char what[512];                  /* one line: what made them */
    char sha256[65];                 /* of a file's content; "" in lockstep */
} conure_source;

void conure_source_close(conure_source **source); /* NULL-safe */

/* The reference beside the candidate, with its own state from step to step.  All arguments must outlive it. */
conure_status conure_source_live(conure_source **out, conure_candidate *reference, const conure_feed *feed, const conure_contract *contract,
                                 conure_error *err);

/* Tensors that NeMo stored while stepping (PATH.safetensors with PATH.json beside it): the features, one encoder output a step,
 * lengths, and caches after some steps.
 *   name  of the case: "export593"; NULL: BAD_ARG lists them
 * The contract follows from the case and the model, and is the source's. */
conure_status conure_source_nemo(conure_source **out, const char *path, const char *name, const conure_model *model, conure_error *err);

#endif

/* chunk.h - one step of one stream as a contract's graph has it: the ten tensors, inputs and outputs, in host memory.
 * References hold chunks, candidates turn the inputs of one into its outputs.
 *
 * The batch is 1, so that layer-first and batch-first caches are the same bytes; shapes in files say which is meant.
 * Plain memory: one thread at a time on one chunk. */
#ifndef CONURE_CLEARANCE_CHUNK_H
#define CONURE_CLEARANCE_CHUNK_H

#include "contract/contract.h"

/* What a contract may ask for here: a chunk of the full-size model with 256 rows has 51 MiB. */
#define CONURE_CHUNK_BYTES_MAX ((size_t)1 << 30)

typedef struct conure_chunk {
    const conure_contract *contract; /* must outlive it */
    uint64_t index;                  /* 0, 1, ... of the run */
    uint64_t step;                   /* of its stream: 0 begins with a state of zeros */
    uint32_t n_frames;               /* T mel frames given, at most frames_cap */
    uint32_t n_out;                  /* time dimension of encoder_output, at most out_cap */
    bool has[CONURE_ROLES];          /* which tensors are there */
    float *features;                 /* [mel_bins][n_frames] */
    float *encoder;                  /* [d_model][n_out] */
    float *channel[2];               /* in, out: [n_layers][cache_rows][d_model] */
    float *time[2];                  /* in, out: [n_layers][d_model][conv_left] */
    int64_t length;                  /* valid mel frames */
    int64_t encoded_length;
    int64_t cache_length[2];         /* in, out */
    uint32_t frames_cap, out_cap;
    size_t channel_floats, time_floats;
} conure_chunk;

/* Room for any step of the contract's profiles.  LIMIT (names the size), NO_MEMORY. */
conure_status conure_chunk_open(conure_chunk *chunk, const conure_contract *contract, conure_error *err);
void conure_chunk_close(conure_chunk *chunk); /* {0} is fine */

/* A tensor as bytes; integers are one int64_t.  The shape has rank numbers of [4]. */
typedef struct conure_chunk_tensor {
    void *data;
    size_t bytes;
    bool is_float;
    uint32_t rank;
    uint32_t shape[4];
} conure_chunk_tensor;
conure_chunk_tensor conure_chunk_view(const conure_chunk *chunk, conure_role role);

/* Take over one role's values, or all of a state: from an output of the chunk before to an input. */
void conure_chunk_copy(conure_chunk *to, conure_role to_role, const conure_chunk *from, conure_role from_role);
void conure_chunk_take_inputs(conure_chunk *to, const conure_chunk *from);      /* all of them, with index and step */
void conure_chunk_zero_state(conure_chunk *chunk);                              /* inputs: a new stream */
void conure_chunk_carry_state(conure_chunk *to, const conure_chunk *from);      /* outputs to inputs; may be the same chunk */

/* What the contract's rules say that this chunk's inputs give. */
void conure_chunk_predict(const conure_chunk *chunk, conure_prediction *out);

#endif

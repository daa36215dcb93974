/* tdt.h - greedy decoding of token-and-duration transducers (spec 6.3), many streams in step. */
#ifndef CONURE_DECODE_TDT_H
#define CONURE_DECODE_TDT_H

#include "decode/trial.h"
#include "engine/engine.h"

/* What one stream carries from chunk to chunk (spec 6.6), and what it has found. */
typedef struct conure_tdt {
    float *h, *c;          /* [pred_layers][pred_hidden]: predictor state after the last token */
    float *prediction;     /* [joint_hidden]: projected predictor output */
    bool started;          /* the start step has run */
    uint64_t jump;         /* frames of the next chunk to skip */
    uint64_t offset;       /* frames of all chunks so far */
    uint64_t n_blanks;     /* evaluations that gave blank */
    conure_trial *trial;   /* NULL: no hotwords */
    conure_tdt_token *tokens;
    uint32_t n_tokens, tokens_cap;
} conure_tdt;

/* hotwords: NULL, or a list that must outlive the stream. */
conure_status conure_tdt_open(conure_tdt *tdt, const conure_config *config, const conure_hotwords *hotwords, conure_error *err);
void conure_tdt_close(conure_tdt *tdt);
void conure_tdt_reset(conure_tdt *tdt, const conure_config *config); /* as after open */

/* Forget what was said, but not where in the stream it is: the predictor starts anew. */
void conure_tdt_restart(conure_tdt *tdt, const conure_config *config);

/* One chunk of one stream. */
typedef struct conure_tdt_chunk {
    conure_tdt *tdt;
    const float *frames; /* [n_frames][joint_hidden], projected by engine->project */
    uint32_t n_frames;
    bool last;           /* no other follows: what is on trial is decided */
    conure_status status; /* out: not OK when this stream alone failed: BACKEND (scores that are not finite), LIMIT, NO_MEMORY */
    conure_error *err;    /* NULL, or receives why */
} conure_tdt_chunk;

/* What decoding works in; reused from call to call. */
typedef struct conure_tdt_room {
    float *logits, *h, *c, *predictions;
    const float **frames, **outputs;
    uint32_t *tokens, *active, *emitting;
    struct conure_tdt_cursor *cursors;
    uint32_t cap;
} conure_tdt_room;
void conure_tdt_room_free(conure_tdt_room *room);

typedef struct conure_tdt_options {
    uint32_t max_symbols;       /* tokens on one frame at most, >= 1 */
    const volatile int *cancel; /* NULL or a flag looked at between evaluations */
} conure_tdt_options;

/* Decode one chunk of each of n streams.  Each comes out as it would alone, and fails alone.
 * Returns OK, NO_MEMORY, CANCELLED or what the engine returned: then all have failed.  Streams that failed stand somewhere
 * within the chunk: put an earlier copy back (conure_tdt_copy), or close them. */
conure_status conure_tdt_decode(const conure_engine *engine, void *self, const conure_config *config,
                                const conure_tdt_options *options, conure_tdt_room *room,
                                conure_tdt_chunk *chunks, uint32_t n, conure_error *err);

/* Tokens of a phrase on trial are not among the tokens yet; where the last of them ends, or 0. */
uint64_t conure_tdt_pending(const conure_tdt *tdt);

/* Make dst, opened with the same configuration and hotwords, stand where src stands, without tokens. */
void conure_tdt_copy(conure_tdt *dst, const conure_tdt *src, const conure_config *config);

/* Index of the largest of n values (the first of equals); n when one of them is NaN or the largest is
 * infinite, which scores of a sound model never are. */
uint32_t conure_argmax(const float *values, uint32_t n);
/* exp(values[i]) / sum exp(values): stable; 0 .. 1. */
float conure_softmax_of(const float *values, uint32_t n, uint32_t i);

#endif

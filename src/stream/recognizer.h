/* recognizer.h - one engine with its model, front end and memory: what whole utterances and sessions run on. */
#ifndef CONURE_STREAM_RECOGNIZER_H
#define CONURE_STREAM_RECOGNIZER_H

#include "base/memory.h"
#include "base/threads.h"
#include "conure.h"
#include "contract/metrics.h"
#include "decode/tdt.h"
#include "engine/engine.h"
#include "features/mel.h"

#include <pthread.h>

struct conure_recognizer {
    const conure_model *model;
    const conure_engine *engine;
    void *self; /* of the engine */
    conure_mel *mel;
    conure_pool *pool; /* for the features */
    conure_tdt_options decoding;
    const conure_hotwords *hotwords; /* of whole utterances: held; NULL: none */
    conure_mask mask;
    conure_precision precision;
    uint64_t memory_bytes_max;
    const volatile int *cancel;
    conure_log log;
    /* Held while the engine, the pool or the rooms below are used: sessions may be stepped by several threads. */
    pthread_mutex_t in_use;
    conure_tdt_room room;
    conure_arena arena;        /* temporaries of a step */
    conure_session *sessions;  /* a list; guarded by in_use */
    uint64_t n_encoder_calls;
    conure_metrics closed;     /* of sessions that were closed; guarded by in_use */
};

/* Mel frames that the encoder sees of n_valid: the nemo mask has one more, which is masked (spec 1.2). */
uint32_t conure_recognizer_mel_frames(const conure_recognizer *recognizer, uint32_t n_valid);

/* Mel frames that so many samples become, at most. */
uint64_t conure_recognizer_frames_most(const conure_recognizer *recognizer, uint64_t n_samples);

/* Bytes of activations that one utterance of so many samples takes, as they are held against
 * memory_bytes_max; UINT64_MAX when it is longer than any that is supported. */
uint64_t conure_recognizer_bytes(const conure_recognizer *recognizer, uint64_t n_samples);

/* What is longer than conure_recognizer_samples_max() is more than the engine takes in one piece, however much memory there is. */
bool conure_recognizer_is_bounded(const conure_recognizer *recognizer);

/* The way out for utterances that conure_recognizer_bytes() has no room for, to be put behind another one and at the end, so that the command
 * can be copied: ", or build a longer plan: COMMAND"; "" where the engine has none. */
#define CONURE_WAY_OUT_BYTES (CONURE_LONGER_BYTES + 32)
void conure_recognizer_longer(const conure_recognizer *recognizer, uint64_t mel_frames, char out[CONURE_WAY_OUT_BYTES]);

/* BAD_ARG when hotwords, NULL or a list, were opened with another model. */
conure_status conure_check_hotwords(const conure_hotwords *hotwords, const conure_model *model, conure_error *err);

/* BAD_AUDIO names the first of n samples that cannot be used: not finite, or beyond what the transform can hold.
 * first: its number in the stream, for the text; what: "utterance 3". */
conure_status conure_check_samples(const float *pcm, uint64_t n, uint64_t first, uint32_t rate_hz, const char *what,
                                   uint64_t *n_good, conure_error *err);

#endif

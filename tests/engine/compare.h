/* compare.h - one clip through an engine, stage by stage, against reference tensors. */
#ifndef CONURE_TESTS_COMPARE_H
#define CONURE_TESTS_COMPARE_H

#include "../golden.h"
#include "engine/engine.h"

typedef struct stage_tolerance {
    float subsampling, layer_first, layer_last, encoder, logits; /* largest absolute difference */
} stage_tolerance;

typedef struct opened {
    conure_model *model;
    const conure_engine *engine;
    void *self;
} opened;

/* The engine that open_engine() opens: "cpu", or what a test program's argument named.  One that computes in a precision
 * of its own does so whatever is asked for. */
extern const char *compare_engine;

/* The model at path on that engine; false with the reason printed. */
bool open_engine(opened *o, const char *path, conure_precision precision, conure_mask mask, uint32_t n_threads,
                 const char *isa);
void close_engine(opened *o);

/* Mel of the golden [mel_bins][frames] to [frames][mel_bins]; freed by the caller. */
float *turned(const float *x, uint32_t rows, uint32_t cols);

/* Largest absolute difference. */
double worst(const float *a, const float *b, size_t n);

/* Tensors PREFIXmel, PREFIXsubsampling, PREFIXlayerN, PREFIXencoder and the PREFIXstep_* that the golden
 * file has; checks what it finds and returns the number of tensors compared. */
int compare_clip(opened *o, golden *g, const char *prefix, const stage_tolerance *tolerance);
/* PREFIXtokens, PREFIXframes, PREFIXdurations of g against decoding what the encoder makes of mel_name
 * of mels; PREFIXencoder too when limit is above 0. */
void compare_tokens(opened *o, golden *mels, const char *mel_name, golden *g, const char *prefix, float limit);

/* Counters of test.h, which is included once per test program: failures found by compare.c. */
extern long compare_checks, compare_failures;

#endif

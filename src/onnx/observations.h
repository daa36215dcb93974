/* observations.h - what was seen of an encoder, for those who fill it: observe.c by looking, ranges.c from a file. */
#ifndef CONURE_ONNX_OBSERVATIONS_H
#define CONURE_ONNX_OBSERVATIONS_H

#include "onnx/histogram.h"
#include "onnx/observe.h"

struct conure_weight;

/* A matrix as the network asked for it. */
typedef struct conure_observed {
    const struct conure_weight *weight; /* while it is looked at */
    char name[96];
    uint32_t n;
    int32_t layer; /* -1: of the subsampling; -2: of neither */
    float input;   /* where its int8 scale ends */
    conure_histogram *inputs; /* while it is looked at; owned */
} conure_observed;

struct conure_observations {
    conure_observed *matrices;
    uint32_t n_matrices, cap;
    uint32_t n_layers, n_utterances;
    uint64_t n_frames;     /* mel frames that were looked at */
    float *most, *columns; /* [n_layers + 1], the subsampling last; [n_layers] */
};

conure_status conure_observations_open(conure_observations **out, uint32_t n_layers, conure_error *err);
/* Room for one matrix more, zeroed; NULL without memory. */
conure_observed *conure_observations_add(conure_observations *observations);

/* Numbers that scales can be made of: finite, not all 0, of some speech.  BAD_FILE with the way out; where begins the text. */
conure_status conure_observations_check(const conure_observations *observations, const char *where, conure_error *err);

#endif

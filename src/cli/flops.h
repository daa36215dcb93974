/* flops.h - how much arithmetic an encoder run takes, from the configuration alone. */
#ifndef CONURE_CLI_FLOPS_H
#define CONURE_CLI_FLOPS_H

#include "model/model.h"

/* Operations (a multiplication and an addition are two) that mel_frames frames need, by kind. */
typedef struct conure_flops {
    double products;    /* of activations with weight matrices */
    double attention;   /* scores, with keys and with positions, and weighted sums of values */
    double convolution; /* depthwise ones and the first of the subsampling */
    uint32_t encoder_frames;
} conure_flops;

/* The positions' own projection is left out: it is computed once and kept. */
void conure_flops_encoder(const conure_config *config, uint32_t mel_frames, conure_flops *flops);

#endif

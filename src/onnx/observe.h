/* observe.h - how large values of the encoder become on real speech: what does not fit float16, and the scales of int8.
 *
 * The network runs in float32 on the CPU's operations, with a table of operations in between that looks at what passes.  Seen
 * are inputs and sums of every product with weights, attention scores, and everything that is added to the residual. */
#ifndef CONURE_ONNX_OBSERVE_H
#define CONURE_ONNX_OBSERVE_H

#include "model/model.h"

typedef struct conure_observations conure_observations;

/* Products of a layer whose inputs have ranges in int8; "encoder.layers.N." before, ".weight" behind.  Keys and values have the input of queries. */
#define CONURE_OBSERVED_PARTS(X)                                                             \
    X("feed_forward1.linear1") X("feed_forward1.linear2") X("self_attn.linear_q") X("self_attn.linear_out") \
    X("conv.pointwise_conv1") X("conv.pointwise_conv2") X("feed_forward2.linear1") X("feed_forward2.linear2")
#define CONURE_OBSERVED_FRONT "encoder.pre_encode.out.weight"

/* Beyond any value of a network that works; mel frames that are the least to judge by. */
#define CONURE_OBSERVED_MOST 1e15f
#define CONURE_OBSERVED_FRAMES_MIN 50

/* One utterance's features, [n_frames][mel_bins], normalised. */
typedef struct conure_utterance {
    const float *mel;
    uint32_t n_frames;
} conure_utterance;

/* Cost: encoding each twice, and the attention scores in plain loops.  Memory: of the utterances as the CPU engine takes it.
 * Status as an engine's. */
conure_status conure_observe(conure_observations **out, const conure_model *model, const conure_utterance *utterances, uint32_t n,
                             uint32_t n_threads, conure_mask mask, const volatile int *cancel, conure_progress_fn progress, void *user,
                             conure_error *err);
void conure_observations_free(conure_observations **observations); /* NULL-safe */

/* The largest magnitude in a layer; layer -1: in the subsampling. */
float conure_observed_most(const conure_observations *observations, int32_t layer);
/* Of what is multiplied by a matrix of the model, by its tensor's name, the magnitude that int8 had best end at; 0: never seen. */
float conure_observed_input(const conure_observations *observations, const char *name);
/* Of what goes into a layer's depthwise convolution. */
float conure_observed_columns(const conure_observations *observations, uint32_t layer);

#endif

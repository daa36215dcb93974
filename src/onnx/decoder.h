/* decoder.h - prediction network and joint as graphs: in one, as onnx-asr has them, or apart, as sherpa-onnx does.
 *
 *   one:    encoder_outputs [B][d][T], targets [B][U] int32, target_length [B] int32, input_states_1/2 [layers][B][hidden]
 *           -> outputs [B][T][U][V + 1 + durations], prednet_lengths [B] int32, output_states_1/2
 *   apart:  targets .. states -> outputs [B][hidden][U], prednet_lengths, states;
 *           encoder_outputs [B][d][T], decoder_outputs [B][hidden][U] -> outputs as above
 *
 * Outputs are logits, not their logarithm of softmax: the largest is the same one.  The first target of an utterance is V. */
#ifndef CONURE_ONNX_DECODER_H
#define CONURE_ONNX_DECODER_H

#include "onnx/graph.h"

void conure_decoder_joint_build(conure_graph *graph);
void conure_decoder_build(conure_graph *graph);
void conure_joiner_build(conure_graph *graph);

/* In three, as the engine table has them, each projection where it is computed once:
 *
 *   project:  frames [n][d] -> projected [n][joint]
 *   predict:  targets [n][1] int32, input_states_1/2 [layers][n][hidden] -> prediction [n][1][joint], output_states_1/2
 *   joint:    projected [n][joint], prediction [n][joint] -> logits [n][V + 1 + durations] */
void conure_project_build(conure_graph *graph);
void conure_predict_build(conure_graph *graph);
void conure_joint_build(conure_graph *graph);

#endif

/* features.h - the front end as a graph: waveforms [B][N], waveforms_lens [B] -> features [B][mel][1 + N / hop], normalised
 * per bin over the valid frames and zero behind them, and features_lens [B]. */
#ifndef CONURE_ONNX_FEATURES_H
#define CONURE_ONNX_FEATURES_H

#include "onnx/graph.h"

void conure_features_build(conure_graph *graph);

#endif

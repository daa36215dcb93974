/* random.h - models of real shapes with random weights, for tests and benchmarks where the real weights
 * cannot be had. */
#ifndef CONURE_MODEL_RANDOM_H
#define CONURE_MODEL_RANDOM_H

#include "model/model.h"

/* Shapes by name: "parakeet-tdt-0.6b-v3" (24 layers, width 1024, 8192 tokens, 627 M parameters) and "mini"
 * (4 layers, width 96, 512 tokens).  BAD_ARG names them. */
conure_status conure_config_preset(conure_config *config, const char *preset, conure_error *err);

/* The i-th number of a stream, uniform in [0, 1): splitmix64 of (seed, i), so that any element can be made
 * on its own and in any order. */
double conure_random_unit(uint64_t seed, uint64_t i);

/* A model in memory, of n_layers encoder layers (0: as many as the preset has), whose every weight is a function of preset and seed: matrices uniform in
 * +-1/sqrt(inputs), as PyTorch initialises them, norms near 1, batch statistics near (0, 1), position
 * biases in +-0.5; the joint is random too and decodes to nothing sensible until it is calibrated
 * (stream/random.h).  Matrices are f32 panels, but those that calibration changes (the joint's and
 * encoder.pre_encode.out) are f32 rows. */
conure_status conure_model_random_open(conure_model **out, const char *preset, uint32_t n_layers, uint64_t seed,
                                       conure_progress_fn progress, void *user, conure_error *err);

#endif

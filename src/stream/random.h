/* random.h - a random checkpoint that decodes like speech: for tests and benchmarks of the real shapes. */
#ifndef CONURE_STREAM_RANDOM_H
#define CONURE_STREAM_RANDOM_H

#include "conure.h"

/* Write a random model (model/random.h) to path, its joint calibrated on synthetic speech so that, on
 * speech, about half of the evaluations are blank, every duration occurs and tokens vary.
 *
 *   n_layers of the encoder; 0: as many as the preset has
 *   weights  as conure_model_convert()
 *
 * Takes about twice the model's f32 size in memory, once.  The same preset and seed give the same model
 * on the same instruction set; on another the joint may differ by rounding.
 * Returns OK, BAD_ARG, NO_MEMORY, IO, CANCELLED. */
conure_status conure_model_random(const char *path, const char *preset, uint32_t n_layers, uint64_t seed, const char *weights,
                                  conure_progress_fn progress, void *user, conure_error *err);

/* n samples of something with the spectrum and the rhythm of speech, at 16 kHz: voiced syllables with
 * moving formants, fricative noise, pauses. */
void conure_synthetic_speech(float *pcm, uint64_t n, uint64_t seed);

#endif

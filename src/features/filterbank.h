/* filterbank.h - the two tables of the front end, for models that do not store them. */
#ifndef CONURE_FEATURES_FILTERBANK_H
#define CONURE_FEATURES_FILTERBANK_H

#include "model/model.h"

/* dst [n]: the symmetric Hann window, w[i] = 0.5 - 0.5 cos(2 pi i / (n - 1)); {1} for n = 1.
 * Source: spec 1.2 step 4. */
void conure_hann_window(float *dst, uint32_t n);

/* dst [mel_bins][n_fft / 2 + 1]: triangles between points equally spaced on the Slaney mel scale,
 * each of area 1 Hz^-1 ("slaney" norm), rounded to float32 where librosa rounds.
 * The configuration must have passed conure_config_check(); mel_low_hz < mel_high_hz.
 * Source: spec 1.3, librosa filters.mel with htk=False, norm="slaney". */
void conure_mel_filterbank(float *dst, const conure_config *config);

/* The Slaney scale: linear to 1000 Hz (mel 15), logarithmic above. */
double conure_hz_to_mel(double hz);
double conure_mel_to_hz(double mel);

#endif

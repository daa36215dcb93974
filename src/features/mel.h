/* mel.h - samples to normalised log-mel features (spec 1; docs/model.md, "front end"). */
#ifndef CONURE_FEATURES_MEL_H
#define CONURE_FEATURES_MEL_H

#include "base/threads.h"
#include "conure.h"
#include "model/model.h"

/* Window, filterbank and FFT plan of one configuration; immutable, shareable between threads. */
typedef struct conure_mel conure_mel;

/* window [window_samples] and filterbank [mel_bins][n_fft/2 + 1] from the checkpoint
 * (preprocessor.featurizer.window/.fb), or NULL to compute them (spec 1.2 step 4, 1.3). */
conure_status conure_mel_open(conure_mel **out, const conure_config *config, const float *window,
                              const float *filterbank, conure_error *err);
void conure_mel_close(conure_mel **mel);

/* Valid frames of n samples: n / hop (floor). */
uint64_t conure_mel_frames(const conure_mel *mel, uint64_t n_samples);

/* Un-normalised log-mel of frames first .. first + n - 1 of a signal.
 *   pcm, n_samples   the whole signal; samples outside are 0, pre-emphasis starts at sample 0
 *   dst              [n][mel_bins], time-major
 * pool may be NULL.  Returns NO_MEMORY or OK. */
conure_status conure_mel_raw(const conure_mel *mel, conure_pool *pool, const float *pcm,
                             uint64_t n_samples, uint64_t first, uint64_t n, float *dst,
                             conure_error *err);

/* Per-feature normalisation over n frames, in place: mean, unbiased deviation + 1e-5 (spec 1.2
 * step 9).  Sums are carried in double.  n = 1 gives zeros. */
void conure_mel_normalize(float *frames, uint64_t n, uint32_t mel_bins);

#endif

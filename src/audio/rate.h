/* rate.h - interleaved frames from one sample rate to another: by libsoxr, or in builds without it by our own resampler (features/resample.h). */
#ifndef CONURE_AUDIO_RATE_H
#define CONURE_AUDIO_RATE_H

#include "conure.h"

/* Serves one thread at a time. */
typedef struct conure_rate conure_rate;

/* Two rates that differ.  NO_MEMORY; UNSUPPORTED for rates that it does not have: libsoxr has all of audio.h's. */
conure_status conure_rate_open(conure_rate **out, uint32_t from_hz, uint32_t to_hz, uint32_t n_channels, conure_error *err);
void conure_rate_close(conure_rate **rate);

/* Take some of in [n_in][n_channels], finite, and give what is certain by them, at most cap frames of out [cap][n_channels].  in NULL: there is no
 * more; the rest is given by calls until one gives nothing.  INTERNAL. */
conure_status conure_rate_run(conure_rate *rate, const float *in, size_t n_in, size_t *n_used, float *out, size_t cap, size_t *n_out,
                              conure_error *err);

#endif

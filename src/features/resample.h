/* resample.h - other sample rates to the model's, piece by piece, inside a session.
 *
 * Output n is the input, band-limited to 0.95 of the lower rate's Nyquist frequency, at time n / to_hz: the filter
 * is centred, so nothing is shifted, and what came before the first sample and comes after the last is silence.  It
 * depends on the samples alone, bit for bit, never on how they were portioned.  The whole state can be saved,
 * which is why this is no library's work (docs/dependencies.md).
 *
 * Frequencies up to 0.9 of the lower Nyquist frequency pass (ripple below 0.001 dB), those above it do not (below
 * -98 dB), nor do they fold back; tests/features/resample.c measures it.  Equal rates: samples pass untouched. */
#ifndef CONURE_FEATURES_RESAMPLE_H
#define CONURE_FEATURES_RESAMPLE_H

#include "base/memory.h"
#include "conure.h"

#define CONURE_RESAMPLE_HZ_MIN 8000
#define CONURE_RESAMPLE_HZ_MAX 192000

/* One signal on its way; serves one thread at a time. */
typedef struct conure_resampler conure_resampler;

/* Any two rates within the limits above.  All memory is taken here: at most 0.6 MB.
 * Returns OK, BAD_ARG (a rate), NO_MEMORY.  Cost: some milliseconds for the table of filters. */
conure_status conure_resampler_open(conure_resampler **out, uint32_t from_hz, uint32_t to_hz, conure_error *err);
void conure_resampler_close(conure_resampler **resampler);
void conure_resampler_reset(conure_resampler *resampler); /* as after open */

/* Seconds of signal behind an output sample that must have been heard before it is certain; 0 for equal rates. */
double conure_resampler_delay_s(const conure_resampler *resampler);

/* Take samples and give every output that is certain by them.
 *
 *   in, n_in  finite samples; 0 of them is allowed
 *   n_used    out: samples taken: all, or as many as give no more than out_cap outputs; the rest stays the caller's
 *   out       [out_cap]; may not overlap in
 *   n_out     out: how many were given
 *
 * Never allocates.  Not after a flush, unless a reset came between.  At most 2^45 samples in all. */
void conure_resampler_run(conure_resampler *resampler, const float *in, size_t n_in, size_t *n_used, float *out,
                          size_t out_cap, size_t *n_out);

/* The input is over: give what is owed, out_cap at most; call again until it gives 0.  N samples have then become
 * ceil(N * to_hz / from_hz) in all: those with a time before the end of the input. */
size_t conure_resampler_flush(conure_resampler *resampler, float *out, size_t out_cap);
bool conure_resampler_flushed(const conure_resampler *resampler); /* since the last reset */

/* How many samples, at most, a run takes for n_out outputs; and how many it needs to give that many. */
uint64_t conure_resampler_room(const conure_resampler *resampler, uint64_t n_out);
uint64_t conure_resampler_need(const conure_resampler *resampler, uint64_t n_out);

/* The state between two calls: a function of the rates, the samples taken, and what a flush gave.  At most some
 * kilobytes.  Load returns OK, or BAD_FILE for what no save has written or was saved at other rates; the resampler
 * is then as after a reset. */
void conure_resampler_save(const conure_resampler *resampler, conure_buffer *buffer);
conure_status conure_resampler_load(conure_resampler *resampler, conure_reader *reader, conure_error *err);

#endif

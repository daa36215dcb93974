/* rate_soxr.c - libsoxr at its best quality. */
#include <soxr.h>

#include "audio/audio.h"
#include "audio/rate.h"
#include "base/error.h"

/* No roll-off: the default one bends the top of the pass-band by 0.01 dB, 60 dB below the signal.
 * The precise clock serves ratios of large primes.  Figures: docs/performance/audio.md. */
conure_status conure_rate_open(conure_rate **out, uint32_t from_hz, uint32_t to_hz, uint32_t n_channels, conure_error *err)
{
    const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, SOXR_ROLLOFF_NONE | SOXR_HI_PREC_CLOCK);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t why = NULL;
    *out = (conure_rate *)soxr_create(from_hz, to_hz, n_channels, &why, &io, &quality, &runtime);
    if (*out)
        return CONURE_OK;
    return conure_fail(err, CONURE_NO_MEMORY, "cannot resample %u Hz to %u Hz: %s", from_hz, to_hz, why ? why : "no reason given");
}

void conure_rate_close(conure_rate **rate)
{
    soxr_delete((soxr_t)*rate);
    *rate = NULL;
}

conure_status conure_rate_run(conure_rate *rate, const float *in, size_t n_in, size_t *n_used, float *out, size_t cap, size_t *n_out,
                              conure_error *err)
{
    *n_used = *n_out = 0;
    const soxr_error_t why = soxr_process((soxr_t)rate, in, in ? n_in : 0, n_used, out, cap, n_out);
    return why ? conure_fail(err, CONURE_INTERNAL, "resampling failed: %s", why) : CONURE_OK;
}

const char *conure_audio_resampler(void)
{
    return soxr_version();
}

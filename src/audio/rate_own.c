/* rate_own.c - in place of rate_soxr.c where the build has no libsoxr: the resampler of live sessions, one for each channel. */
#include <stdlib.h>

#include "audio/audio.h"
#include "audio/rate.h"
#include "base/error.h"
#include "base/memory.h"
#include "features/resample.h"

enum { BLOCK = 4096 };

/* One sample can become 24, which a caller need not have room for: they are held. */
struct conure_rate {
    uint32_t n_channels;
    float in[BLOCK];       /* of a channel */
    float *held;           /* [n_channels][BLOCK] */
    size_t n_held, n_given; /* frames in it, and those of them that were given */
    conure_resampler *channels[];
};

conure_status conure_rate_open(conure_rate **out, uint32_t from_hz, uint32_t to_hz, uint32_t n_channels, conure_error *err)
{
    const uint32_t low = from_hz < to_hz ? from_hz : to_hz, high = from_hz < to_hz ? to_hz : from_hz;
    *out = NULL;
    if (low < CONURE_RESAMPLE_HZ_MIN || high > CONURE_RESAMPLE_HZ_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%u Hz to %u Hz: this build of conure, which has no libsoxr, resamples between %d and %d Hz: convert it, "
                           "e.g. ffmpeg -i IN -ar 16000 OUT.wav, or build with -DCONURE_AUDIO_LIBRARIES=ON", from_hz, to_hz, CONURE_RESAMPLE_HZ_MIN,
                           CONURE_RESAMPLE_HZ_MAX);
    conure_rate *rate = conure_calloc(1, sizeof *rate + n_channels * sizeof *rate->channels);
    if (rate)
        rate->held = conure_calloc((size_t)n_channels * BLOCK, sizeof *rate->held);
    conure_status status = rate && rate->held ? CONURE_OK : conure_fail_memory(err, "resampling", (size_t)n_channels * BLOCK * sizeof(float));
    for (uint32_t i = 0; i < n_channels && status == CONURE_OK; i++, rate->n_channels++)
        status = conure_resampler_open(&rate->channels[i], from_hz, to_hz, err);
    if (status != CONURE_OK)
        conure_rate_close(&rate);
    *out = rate;
    return status;
}

void conure_rate_close(conure_rate **rate)
{
    for (uint32_t i = 0; *rate && i < (*rate)->n_channels; i++)
        conure_resampler_close(&(*rate)->channels[i]);
    if (*rate)
        free((*rate)->held);
    free(*rate);
    *rate = NULL;
}

/* What a resampler takes and gives follows from how much it has had: it is the same for every channel. */
static void fill(conure_rate *rate, const float *in, size_t n_in, size_t *n_used)
{
    const size_t n = rate->n_channels, taken = n_in < BLOCK ? n_in : BLOCK;
    rate->n_given = rate->n_held = 0;
    for (size_t c = 0; c < n; c++) {
        for (size_t i = 0; in && i < taken; i++)
            rate->in[i] = in[i * n + c];
        if (in)
            conure_resampler_run(rate->channels[c], rate->in, taken, n_used, rate->held + c * BLOCK, BLOCK, &rate->n_held);
        else
            rate->n_held = conure_resampler_flush(rate->channels[c], rate->held + c * BLOCK, BLOCK);
    }
}

conure_status conure_rate_run(conure_rate *rate, const float *in, size_t n_in, size_t *n_used, float *out, size_t cap, size_t *n_out,
                              conure_error *err)
{
    (void)err;
    *n_used = 0;
    if (rate->n_given == rate->n_held)
        fill(rate, in, n_in, n_used);
    const size_t left = rate->n_held - rate->n_given;
    *n_out = cap < left ? cap : left;
    for (size_t i = 0; i < *n_out; i++)
        for (size_t c = 0; c < rate->n_channels; c++)
            out[i * rate->n_channels + c] = rate->held[c * BLOCK + rate->n_given + i];
    rate->n_given += *n_out;
    return CONURE_OK;
}

const char *conure_audio_resampler(void)
{
    return "no libsoxr: the resampler of live sessions";
}

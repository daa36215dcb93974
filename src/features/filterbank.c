/* filterbank.c - Hann window and Slaney mel filterbank; see filterbank.h. */
#include "features/filterbank.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925;

/* The scale's constants: 200/3 Hz a mel below 1000 Hz, 27 mels for each factor 6.4 above. */
static const double hz_per_mel = 200.0 / 3.0, break_hz = 1000.0, break_mel = 15.0;

static double log_step(void)
{
    return log(6.4) / 27.0;
}

void conure_hann_window(float *dst, uint32_t n)
{
    if (n == 1) {
        dst[0] = 1.0f;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        dst[i] = (float)(0.5 - 0.5 * cos(two_pi * i / (n - 1)));
}

double conure_hz_to_mel(double hz)
{
    return hz < break_hz ? hz / hz_per_mel : break_mel + log(hz / break_hz) / log_step();
}

double conure_mel_to_hz(double mel)
{
    return mel < break_mel ? mel * hz_per_mel : break_hz * exp(log_step() * (mel - break_mel));
}

void conure_mel_filterbank(float *dst, const conure_config *config)
{
    const uint32_t n_bins = config->n_fft / 2 + 1;
    const double low = conure_hz_to_mel(config->mel_low_hz);
    const double step = (conure_hz_to_mel(config->mel_high_hz) - low) / (config->mel_bins + 1);
    for (uint32_t m = 0; m < config->mel_bins; m++) {
        const double left = conure_mel_to_hz(low + step * m);
        const double peak = conure_mel_to_hz(low + step * (m + 1));
        const double right = conure_mel_to_hz(low + step * (m + 2));
        const double height = 2.0 / (right - left);
        for (uint32_t k = 0; k < n_bins; k++) {
            const double hz = (double)k * config->sample_rate_hz / config->n_fft;
            const double rise = (hz - left) / (peak - left);
            const double fall = (right - hz) / (right - peak);
            /* Rounded twice, as librosa does: once as a triangle of height 1, once scaled. */
            const float triangle = (float)fmax(0.0, fmin(rise, fall));
            dst[(size_t)m * n_bins + k] = (float)(triangle * height);
        }
    }
}

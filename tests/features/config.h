/* config.h - the front end's part of a configuration, for tests. */
#ifndef CONURE_TESTS_FEATURES_CONFIG_H
#define CONURE_TESTS_FEATURES_CONFIG_H

#include "model/model.h"

/* parakeet-tdt-0.6b-v3 (spec 1.1) but for the number of mel bins. */
static inline conure_config front_end_config(uint32_t mel_bins)
{
    return (conure_config){
        .sample_rate_hz = 16000,
        .window_samples = 400,
        .hop_samples = 160,
        .n_fft = 512,
        .mel_bins = mel_bins,
        .preemphasis = 0.97f,
        .log_guard = 0x1p-24f,
        .mel_low_hz = 0,
        .mel_high_hz = 8000,
    };
}

#endif

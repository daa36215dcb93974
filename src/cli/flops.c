/* flops.c - counting the encoder's multiplications; symbols as in docs/model.md. */
#include "cli/flops.h"

void conure_flops_encoder(const conure_config *c, uint32_t mel_frames, conure_flops *flops)
{
    double height = mel_frames, width = c->mel_bins;
    const double channels = c->subsampling_channels, d = c->d_model, ff = c->ff_width;
    double products = 0, convolution = 0, attention;
    uint32_t frames = mel_frames;
    for (int stage = 0; stage < 3; stage++) { /* each halves both axes, rounding up */
        frames = frames / 2 + frames % 2;
        height = frames;
        width = (double)(((uint32_t)width + 1) / 2);
        convolution += height * width * channels * 9;
        if (stage > 0)
            products += height * width * channels * channels;
    }
    products += height * channels * width * d;
    /* Two feed-forwards, q k v out, and both pointwise convolutions (the first is twice as wide). */
    products += c->n_layers * height * (4 * d * ff + 4 * d * d + 3 * d * d);
    attention = c->n_layers * 3 * height * height * d;
    convolution += c->n_layers * height * d * c->conv_kernel;
    flops->products = 2 * products;
    flops->attention = 2 * attention;
    flops->convolution = 2 * convolution;
    flops->encoder_frames = frames;
}

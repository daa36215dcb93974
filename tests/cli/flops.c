/* flops.c - the encoder's arithmetic, against sums made by hand for a small shape and against the model
 * size that everybody knows. */
#include "cli/flops.h"
#include "cli/measure.h"
#include "test.h"

int main(void)
{
    conure_config tiny = {.mel_bins = 8, .n_layers = 1, .d_model = 4, .ff_width = 8, .conv_kernel = 3,
                          .subsampling_channels = 2};
    conure_config full = {.mel_bins = 128, .n_layers = 24, .d_model = 1024, .ff_width = 4096,
                          .conv_kernel = 9, .subsampling_channels = 256};
    double values[] = {5, 1, 4, 2, 3};
    conure_flops f;
    conure_stats s;
    test_begin("cli.flops");
    /* 16 frames x 8 bins -> 8 x 4 -> 4 x 2 -> 2 x 1, 2 channels */
    conure_flops_encoder(&tiny, 16, &f);
    test_int(f.encoder_frames, 2);
    test_near(f.products, 2.0 * (4 * 2 * 2 * 2 + 2 * 1 * 2 * 2 + 2 * 2 * 1 * 4 + 2 * (4 * 4 * 8 + 7 * 16)), 0);
    test_near(f.attention, 2.0 * 3 * 2 * 2 * 4, 0);
    test_near(f.convolution, 2.0 * (8 * 4 * 2 * 9 + 4 * 2 * 2 * 9 + 2 * 1 * 2 * 9 + 2 * 4 * 3), 0);
    conure_flops_encoder(&full, 592, &f);
    test_int(f.encoder_frames, 74);
    /* 24 layers of 24.1 M weights used by every one of 74 frames, and the subsampling */
    test_near(f.products / 1e9, 2 * (74 * (24 * 24.117248e6 + 4096 * 1024.0) +
                                     (148.0 * 32 + 74 * 16) * 256 * 256) / 1e9, 1e-6);
    conure_stats_of(values, 5, &s);
    test_near(s.p50, 3, 0);
    test_near(s.p95, 5, 0);
    test_near(s.min, 1, 0);
    test_near(s.max, 5, 0);
    return test_end();
}

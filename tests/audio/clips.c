/* clips.c - from a FLAC file to NeMo's own normalised features: reading and front end together, on
 * the clips and reference tensors that every clone has. */
#include "../golden.h"
#include "audio/audio.h"
#include "features/mel.h"
#include "test.h"

static conure_config front_end(uint32_t mel_bins)
{
    return (conure_config){.sample_rate_hz = 16000,
                           .window_samples = 400,
                           .hop_samples = 160,
                           .n_fft = 512,
                           .mel_bins = mel_bins,
                           .preemphasis = 0.97f,
                           .log_guard = 0x1p-24f,
                           .mel_high_hz = 8000};
}

static void load(conure_audio_clip *clip, const char *name)
{
    char path[4096], rest[128];
    conure_error err = {""};
    snprintf(rest, sizeof rest, "audio/%s.flac", name);
    test_int(conure_audio_load(clip, data_path(path, sizeof path, rest), NULL, &err), CONURE_OK);
    test_text(err.text, "");
    test_text(clip->info.damage, "");
    test_int(clip->info.rate_hz, 16000);
    test_int(clip->n_channels, 1);
    test_true(clip->n_samples > 16000);
}

/* Tolerance: as in tests/features/golden_mel.c, where 5.8e-5 was measured on longer clips. */
static void check_clip(golden *g, uint32_t mel_bins, const char *clip_name, const char *file)
{
    char name[64];
    conure_audio_clip clip;
    load(&clip, file);
    const conure_config config = front_end(mel_bins);
    conure_mel *mel = NULL;
    test_int(conure_mel_open(&mel, &config, NULL, NULL, NULL), CONURE_OK);
    const uint64_t n = conure_mel_frames(mel, clip.n_samples);
    float *frames = malloc(n * mel_bins * sizeof *frames);
    test_int(conure_mel_raw(mel, NULL, clip.pcm, clip.n_samples, 0, n, frames, NULL), CONURE_OK);
    conure_mel_normalize(frames, n, mel_bins);
    snprintf(name, sizeof name, "%s.mel", clip_name);
    const float *want = golden_f32(g, name, mel_bins, (long long)n + 1);
    test_true(want != NULL);
    for (uint64_t m = 0; want && m < mel_bins; m++) {
        for (uint64_t t = 0; t < n; t++)
            test_near(frames[t * mel_bins + m], want[m * (n + 1) + t], 1e-4);
        test_near(want[m * (n + 1) + n], 0, 0);
    }
    free(frames);
    conure_mel_close(&mel);
    conure_audio_clip_free(&clip);
}

int main(void)
{
    static const char *const others[] = {"librispeech_59aceb6ca6",
                                         "librispeech_04f8a3ba8c",
                                         "librispeech_6af52fbae7",
                                         "librispeech_53826e90a4",
                                         "cards_001",
                                         "cards_003",
                                         "cards_004",
                                         "goforward"};
    static const char *const models[] = {"golden/tiny-v3.golden.safetensors",
                                         "golden/tiny-alt.golden.safetensors"};
    test_begin("audio clips");
    for (int i = 0; i < 2; i++) {
        char path[4096];
        golden g;
        test_true(golden_open(&g, data_path(path, sizeof path, models[i])));
        check_clip(&g, i == 0 ? 128 : 80, "short", "librispeech_e29030942b");
        check_clip(&g, i == 0 ? 128 : 80, "masked", "librispeech_7c95f9febc");
        golden_close(&g);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        conure_audio_clip clip;
        load(&clip, others[i]);
        conure_audio_clip_free(&clip);
    }
    return test_end();
}

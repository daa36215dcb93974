/* golden_mel.c - the front end against NeMo's own tensors: un-normalised and normalised features of
 * four clips. */
#include "../golden.h"
#include "config.h"
#include "features/mel.h"
#include "test.h"

/* NeMo's own distance from the same computation in double is 1.1e-4 at most on these clips, ours
 * 9.8e-5; measured between the two: 1.3e-4, and 5.8e-5 after normalisation. */
#define RAW_TOLERANCE 2.1e-4
#define TOLERANCE     1e-4

static double worst(const float *got, const float *want, long long bins, long long n,
                    long long want_frames)
{
    double most = 0; /* got [n][bins], want [bins][want_frames] */
    for (long long t = 0; t < n; t++)
        for (long long m = 0; m < bins; m++)
            most = fmax(most, fabs((double)got[t * bins + m] - want[m * want_frames + t]));
    return most;
}

static void check_clip(const conure_mel *mel, const char *clip)
{
    char path[4096], name[128];
    golden g;
    snprintf(name, sizeof name, "golden/%s.safetensors", clip);
    test_true(golden_open(&g, shared_path(path, sizeof path, name)));
    const long long n_samples = golden_dim(&g, "audio", 0), n = n_samples / 160;
    const float *pcm = golden_f32(&g, "audio", n_samples);
    const float *raw = golden_f32(&g, "mel_raw", 128, n + 1),
                *want = golden_f32(&g, "mel", 128, n + 1);
    float *got = malloc((size_t)(n + 1) * 128 * sizeof *got);
    if (pcm && raw && want && got) {
        test_int(conure_mel_frames(mel, (uint64_t)n_samples), n);
        test_int(conure_mel_raw(mel, NULL, pcm, (uint64_t)n_samples, 0, (uint64_t)n + 1, got, NULL),
                 CONURE_OK);
        const double raw_error = worst(got, raw, 128, n, n + 1);
        conure_mel_normalize(got, (uint64_t)n, 128);
        const double error = worst(got, want, 128, n, n + 1);
        fprintf(stderr, "%s: raw %.2g, normalised %.2g\n", clip, raw_error, error);
        test_true(raw_error <= RAW_TOLERANCE);
        test_true(error <= TOLERANCE);
    }
    free(got);
    golden_close(&g);
}

int main(void)
{
    char path[4096];
    test_begin("golden_mel");
    if (!shared_path(path, sizeof path, "golden/short.safetensors"))
        return test_skip("no ../shared");
    const conure_config config = front_end_config(128);
    conure_mel *mel = NULL;
    test_int(conure_mel_open(&mel, &config, NULL, NULL, NULL), CONURE_OK);
    static const char *const clips[] = {"short", "medium", "long", "masked"};
    for (int i = 0; i < 4; i++)
        check_clip(mel, clips[i]);
    conure_mel_close(&mel);
    return test_end();
}

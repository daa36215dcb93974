/* reference_f64.c - the engine "ref" against NeMo run in float64.
 *
 * The golden files hold that run's encoder output as float32: both sides are rounded doubles, equal, or within 1e-9 near zero,
 * or neighbours where the doubles lie on either side of a rounding border.  How often that happens says how far apart the doubles are: a distance x
 * crosses a border in x / unit of all values.  Measured in 0.3 to 0.7 % of them, with units of 6e-8 to 2.4e-7: about 5e-10.
 * (NeMo's table of positions comes from float32 sines, whose last bit is another library's.) */
#include "../test.h"
#include "compare.h"

#include <float.h>
#include <stdlib.h>

/* Float32's own noise, as the golden data's README has it. */
#define F32_LIMIT 2e-6

static void one_clip(opened *o, golden *g, const char *clip)
{
    const conure_config *c = &o->model->config;
    char key[64];
    snprintf(key, sizeof key, "%s.mel", clip);
    const uint32_t columns = (uint32_t)golden_dim(g, key, 1), cap = columns / 8 + 1, d = c->d_model;
    const float *mel = golden_f32(g, key, c->mel_bins, columns);
    snprintf(key, sizeof key, "%s.encoder_f64", clip);
    const uint32_t frames = (uint32_t)golden_dim(g, key, 1);
    const float *want = golden_f32(g, key, d, frames);
    snprintf(key, sizeof key, "%s.encoder", clip);
    const float *want32 = golden_f32(g, key, d, frames);
    float *rows = turned(mel, c->mel_bins, columns), *out = calloc((size_t)cap * d, sizeof *out);
    conure_encode_row row = {.mel = rows, .n_frames = columns, .n_valid = columns - 1, .out = out, .n_out_cap = cap};
    conure_error err = {""};
    test_int(o->engine->encode(o->self, &row, 1, &err), CONURE_OK);
    test_int(row.n_out, frames);
    float *got = turned(out, frames, d);
    double most = 0;
    size_t other = 0, far = 0;
    for (size_t i = 0; i < (size_t)frames * d; i++) {
        other += got[i] != want[i];
        far += fabs((double)got[i] - want[i]) > 1e-9 && got[i] != nextafterf(want[i], got[i]);
        most = fmax(most, fabs((double)got[i] - want[i]));
    }
    const double noise = worst(got, want32, (size_t)frames * d);
    fprintf(stderr, "%s: float64 %.3g, %zu of %zu values differ; float32 %.3g\n", clip, most, other, (size_t)frames * d, noise);
    test_int(far, 0);
    test_true(other * 100 < (size_t)frames * d);
    test_true(noise <= F32_LIMIT);
    test_true(most < noise / 4);
    free(got);
    free(out);
    free(rows);
}

int main(void)
{
    static const char *const models[] = {"tiny-v3", "tiny-alt"}, *const clips[] = {"short", "medium", "masked"};
    test_begin("engine.reference_f64");
    compare_engine = "ref";
    for (int m = 0; m < 2; m++) {
        char path[4096], file[4096], rest[128];
        golden g;
        opened o;
        snprintf(rest, sizeof rest, "models/%s.nemo", models[m]);
        data_path(path, sizeof path, rest);
        snprintf(rest, sizeof rest, "golden/%s.golden.safetensors", models[m]);
        if (!golden_open(&g, shared_path(file, sizeof file, rest)))
            return test_skip("no ../shared");
        test_true(open_engine(&o, path, CONURE_PRECISION_F64, CONURE_MASK_DEFAULT, 2, NULL));
        fprintf(stderr, "%s\n", models[m]);
        for (int i = 0; i < 3; i++)
            one_clip(&o, &g, clips[i]);
        close_engine(&o);
        golden_close(&g);
    }
    return test_end();
}

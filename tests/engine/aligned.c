/* aligned.c - streaming that loses nothing: a model with limited context on both sides, whose steps see all
 * the look-ahead that a frame depends on, gives what it gives offline, with the time cache that ends where
 * the next step begins; with NeMo's, it does not. */
#include "../test.h"
#include "compare.h"
#include "found.h"

#include <float.h>

enum { LEFT = 8, RIGHT = 1, STEPS = 60 };

/* In frames: the attention of every layer and its convolution, and one more, since the last row of a slice
 * sees zeros where its own mel frames on the right would be. */
static uint32_t look_ahead(const conure_config *c)
{
    return c->n_layers * (RIGHT + c->conv_right) + 1;
}

/* Every step emits one frame; returns the largest difference to the offline frames. */
static double stream(opened *o, const float *mel, const float *offline, const conure_cache_options *options)
{
    const conure_config *c = &o->model->config;
    const uint32_t look = look_ahead(c), d = c->d_model, bins = c->mel_bins, cap = look + 4;
    const uint32_t first = 1 + 8 * look, later = 9 + 8 + 8 * look;
    float *out = malloc((size_t)cap * d * sizeof *out), *slice = malloc((size_t)later * bins * sizeof *slice);
    conure_state *state = NULL;
    conure_error err = {""};
    double most = 0;
    test_int(o->engine->state_open(o->self, &state, options, &err), CONURE_OK);
    for (int k = 0; k < STEPS && state; k++) {
        const int start = k ? 1 + 8 * (k - 1) - 9 : 0, zeros = start < 0 ? -start : 0;
        const uint32_t n = k ? later : first;
        memset(slice, 0, (size_t)n * bins * sizeof *slice);
        memcpy(slice + (size_t)zeros * bins, mel + (size_t)(start + zeros) * bins, (size_t)(n - (uint32_t)zeros) * bins * sizeof *mel);
        conure_encode_row row = {.mel = slice, .n_frames = n, .n_valid = n, .drop_first = k ? 2 : 0, .state = state,
                                 .out = out, .n_out_cap = cap};
        test_int(o->engine->encode(o->self, &row, 1, &err), CONURE_OK);
        test_int(row.n_out, look + 1);
        const double off = worst(out, offline + (size_t)k * d, d);
        most = off > most ? off : most;
    }
    o->engine->state_close(o->self, &state);
    free(slice);
    free(out);
    return most;
}

static void one_model(const char *name, uint32_t cache_rows, bool kv_bf16)
{
    char path[4096], rest[64];
    opened o;
    conure_error err = {""};
    uint64_t seed = 9;
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    test_true(open_engine(&o, data_path(path, sizeof path, rest), CONURE_PRECISION_F32, CONURE_MASK_EXACT, 2, NULL));
    o.model->config.att_left = LEFT;
    o.model->config.att_right = RIGHT;
    const conure_config *c = &o.model->config;
    const uint32_t look = look_ahead(c), frames = STEPS + look + 2;
    float *mel = malloc((size_t)8 * frames * c->mel_bins * sizeof *mel), *offline = malloc((size_t)frames * c->d_model * sizeof *offline);
    for (size_t i = 0; i < (size_t)8 * frames * c->mel_bins; i++)
        mel[i] = test_uniform(&seed, -2, 2);
    conure_encode_row row = {.mel = mel, .n_frames = 8 * frames, .n_valid = 8 * frames, .out = offline, .n_out_cap = frames};
    test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_OK);
    conure_cache_options options = {.cache_rows = cache_rows, .drop_rows = look, .time_cache_aligned = true, .kv_bf16 = kv_bf16};
    const double aligned = stream(&o, mel, offline, &options);
    options.time_cache_aligned = false;
    const double nemo = stream(&o, mel, offline, &options);
    fprintf(stderr, "%s, %u rows%s: aligned %.2g, NeMo's cache %.2g\n", name, cache_rows, kv_bf16 ? ", bf16" : "", aligned, nemo);
    test_true(aligned <= (kv_bf16 ? 2e-2 : 40 * FLT_EPSILON));
    test_true(nemo > 1e-3);
    free(mel);
    free(offline);
    close_engine(&o);
}

int main(int argc, char **argv)
{
    test_begin("engine.aligned");
    compare_engine = argc > 1 ? argv[1] : compare_engine;
    if (engine_missing(compare_engine))
        return test_skip(engine_missing(compare_engine));
    one_model("tiny-v3", LEFT, false);
    one_model("tiny-v3", 40, false);
    one_model("tiny-alt", LEFT, false);
    one_model("tiny-alt", 13, false);
    if (strcmp(compare_engine, "cpu") == 0) /* ref keeps doubles only, a runtime floats */
        one_model("tiny-alt", 13, true);
    return test_end();
}

/* golden_cache.c - cache-aware stepping of the trained fixture model against NeMo: constant slices through
 * its export graph (a cache that stays empty, grows, fills, or runs below zero), one case that NeMo itself
 * cannot go on with, and two schedules of its own.  Both masks.
 *
 * The model's last layer has attention scores down to -5.8e6, so float32 itself is off by up to 5.8e-3
 * there: the encoder's output is compared to 1e-2, and caches of layers before the last to 2e-4. */
#include "../test.h"
#include "compare.h"
#include "found.h"

typedef struct stepping {
    const char *name;
    uint32_t n_steps;
    uint32_t slice_first, slice; /* mel frames of the first step and of later ones */
    int first, hop;              /* later steps begin at first + hop * k; before 0 are zeros */
    uint32_t cache_rows, drop, n_out;
    bool export;                 /* drops two frames on the first step too */
    int gain;                    /* rows that enter the cache each step until it is full */
    const char *error;           /* what the step after the last says */
} stepping;

static const stepping cases[] = {
    {"export592", 20, 592, 592, 0, 8, 64, 72, 1, true, 0, NULL},
    {"export584", 20, 584, 584, 0, 8, 64, 72, 1, true, -1, NULL},
    {"export593", 20, 593, 593, 0, 8, 64, 72, 1, true, 1, NULL},
    {"export640", 20, 640, 640, 0, 8, 64, 72, 1, true, 6, NULL},
    {"export584_C256", 1, 584, 584, 0, 8, 256, 72, 1, true, -1, "lost rows"},
    {"stepS6F3", 20, 41, 57, -16, 24, 60, 3, 3, false, 3, NULL},
    {"stepdefault", 20, 193, 209, -16, 8, 64, 24, 1, false, 1, NULL},
};

static const double limit_end = 1e-2, limit = 2e-4;
static double seen, seen_end; /* largest differences */

static void compare(golden *g, const char *key, const float *got, size_t n, const float *want, bool end)
{
    const double difference = want ? worst(got, want, n) : INFINITY, allowed = end ? limit_end : limit;
    double *most = end ? &seen_end : &seen;
    if (difference > *most)
        *most = difference;
    if (!(difference <= allowed))
        fprintf(stderr, "%s %s: difference %.3g, allowed %.3g\n", g->path, key, difference, allowed);
    test_true(difference <= allowed);
}

/* out [n][d] against want [d][n_want] of which the first n_want frames are compared. */
static void compare_frames(golden *g, const char *key, const float *out, uint32_t d, uint32_t n_want, const float *want)
{
    float *got = turned(out, n_want, d);
    compare(g, key, got, (size_t)n_want * d, want, true);
    free(got);
}

static void compare_caches(opened *o, golden *g, const stepping *s, const conure_state *state, uint32_t k, int64_t *length)
{
    const conure_config *c = &o->model->config;
    const size_t row = (size_t)s->cache_rows * c->d_model, column = (size_t)c->d_model * c->conv_left;
    float *caches = malloc(c->n_layers * (row + column) * sizeof *caches), *times = caches + c->n_layers * row;
    conure_error err = {""};
    char key[128];
    test_int(o->engine->state_export(o->self, state, caches, times, length, &err), CONURE_OK);
    snprintf(key, sizeof key, "%s.step%u.cache_last_channel", s->name, k);
    if (golden_has(g, key)) {
        const float *want = golden_f32(g, key, c->n_layers, s->cache_rows, c->d_model);
        for (uint32_t l = 0; l < c->n_layers && want; l++)
            compare(g, key, caches + l * row, row, want + l * row, l + 1 == c->n_layers);
    }
    snprintf(key, sizeof key, "%s.step%u.cache_last_time", s->name, k);
    if (golden_has(g, key)) {
        const float *want = golden_f32(g, key, c->n_layers, c->d_model, c->conv_left);
        for (uint32_t l = 0; l < c->n_layers && want; l++)
            compare(g, key, times + l * column, column, want + l * column, l + 1 == c->n_layers);
    }
    free(caches);
}

static conure_status one_step(opened *o, const stepping *s, conure_state *state, const float *features, uint32_t k,
                              float *out, uint32_t cap, uint32_t *n_out, conure_error *err)
{
    const uint32_t bins = o->model->config.mel_bins, n = k ? s->slice : s->slice_first;
    const int start = k ? s->first + s->hop * (int)k : 0, zeros = start < 0 ? -start : 0;
    float *mel = calloc((size_t)n * bins, sizeof *mel);
    memcpy(mel + (size_t)zeros * bins, features + (size_t)(start + zeros) * bins, (size_t)(n - (uint32_t)zeros) * bins * sizeof *mel);
    conure_encode_row row = {.mel = mel, .n_frames = n, .n_valid = n, .drop_first = k || s->export ? 2 : 0,
                             .state = state, .out = out, .n_out_cap = cap};
    const conure_status status = o->engine->encode(o->self, &row, 1, err);
    *n_out = row.n_out;
    free(mel);
    return status;
}

static void one_case(opened *o, golden *g, const stepping *s, const float *features, bool exact)
{
    const conure_config *c = &o->model->config;
    const conure_cache_options options = {.cache_rows = s->cache_rows, .drop_rows = s->drop, .keep_negative = true, .keep_rows = true};
    const uint32_t cap = 128, d = c->d_model;
    float *out = malloc((size_t)cap * d * sizeof *out);
    conure_state *state = NULL;
    conure_error err = {""};
    uint32_t n_out = 0;
    int64_t length = 0;
    char key[128];
    snprintf(key, sizeof key, exact ? "%s.encoder.inf1e30" : "%s.encoder", s->name);
    const float *encoder = golden_f32(g, key, s->n_steps, d, s->n_out);
    snprintf(key, sizeof key, "%s.cache_len", s->name);
    const int64_t *lengths = golden_i64(g, key, s->n_steps);
    snprintf(key, sizeof key, "%s.unclipped_len", s->name);
    const int64_t *n_whole = golden_i64(g, key, s->n_steps);
    test_true(encoder && lengths && n_whole);
    test_int(o->engine->state_open(o->self, &state, &options, &err), CONURE_OK);
    if (s->gain < 0 && strncmp(compare_engine, "ort/", 4) == 0) { /* which has no negative keep */
        test_int(one_step(o, s, state, features, 0, out, cap, &n_out, &err), CONURE_UNSUPPORTED);
        test_contains(err.text, "negative");
        o->engine->state_close(o->self, &state);
        free(out);
        return;
    }
    /* The engine "ref" is slow: a growing and a sinking length show in six steps. */
    const uint32_t n_steps = strcmp(compare_engine, "ref") == 0 && s->n_steps > 6 ? 6 : s->n_steps;
    for (uint32_t k = 0; state && encoder && lengths && n_whole && k < n_steps; k++) {
        test_int(one_step(o, s, state, features, k, out, cap, &n_out, &err), CONURE_OK);
        test_int(n_out, n_whole[k]);
        compare_frames(g, s->name, out, d, s->n_out, encoder + (size_t)k * d * s->n_out);
        snprintf(key, sizeof key, "%s.step%u.encoder_unclipped", s->name, k);
        if (!exact && golden_has(g, key))
            compare_frames(g, key, out, d, n_out, golden_f32(g, key, d, n_out));
        if (!exact)
            compare_caches(o, g, s, state, k, &length);
        test_true(exact || length == lengths[k]);
        const int64_t gain = s->gain * (int64_t)(k + 1);
        test_true(exact || length == (gain < (int64_t)s->cache_rows ? gain : (int64_t)s->cache_rows));
    }
    if (s->error) {
        test_int(one_step(o, s, state, features, s->n_steps, out, cap, &n_out, &err), CONURE_UNSUPPORTED);
        test_contains(err.text, s->error);
    }
    o->engine->state_close(o->self, &state);
    free(out);
}

int main(int argc, char **argv)
{
    char path[4096], file[4096];
    golden g;
    test_begin("engine.cache");
    compare_engine = argc > 1 ? argv[1] : compare_engine;
    if (engine_missing(compare_engine))
        return test_skip(engine_missing(compare_engine));
    if (!shared_path(path, sizeof path, "models/spike-tdt-8m.nemo") ||
        !golden_open(&g, shared_path(file, sizeof file, "golden/stream-cache.safetensors")))
        return test_skip("no ../shared");
    for (int exact = 0; exact < 2; exact++) {
        opened o;
        test_true(open_engine(&o, path, CONURE_PRECISION_F32, exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, 2, NULL));
        const uint32_t bins = o.model ? o.model->config.mel_bins : 0;
        const float *x = golden_f32(&g, "features", bins, 800);
        float *features = x && o.self ? turned(x, bins, 800) : NULL;
        for (size_t i = 0; i < sizeof cases / sizeof *cases && features; i++)
            one_case(&o, &g, &cases[i], features, exact);
        free(features);
        close_engine(&o);
    }
    golden_close(&g);
    fprintf(stderr, "largest differences: %.2g before the last layer, %.2g behind it\n", seen, seen_end);
    return test_end();
}

/* golden_steps.c - cache-aware stepping of the small models through the engine's state, against NeMo's
 * export graph: four slice lengths, caches after steps 0, 1 and 3, and lengths after every step. */
#include "../test.h"
#include "compare.h"
#include "found.h"

typedef struct stepping {
    const char *name;
    uint32_t slice, hop, cache_rows, drop, n_steps;
    int gain; /* rows that enter the cache each step until it is full */
} stepping;

static const stepping cases[] = {
    {"export592", 592, 8, 256, 72, 12, 0},
    {"export593", 593, 8, 256, 72, 12, 1},
    {"export640", 640, 48, 256, 72, 5, 6},
    {"export121", 121, 56, 64, 7, 14, 7},
};

static void compare(golden *g, const char *key, const float *got, const long long *shape, int rank)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (size_t)shape[i];
    const float *want = golden_f32_(g, key, rank, shape);
    const double difference = want ? worst(got, want, n) : INFINITY;
    if (difference > 1e-5)
        fprintf(stderr, "%s: difference %.3g\n", key, difference);
    test_true(difference <= 1e-5);
}

static void one_step(opened *o, golden *g, const stepping *s, conure_state *state, const float *features, uint32_t k)
{
    const conure_config *c = &o->model->config;
    const uint32_t cap = s->slice / 8 + 1;
    float *out = malloc((size_t)cap * c->d_model * sizeof *out);
    const size_t channel = (size_t)c->n_layers * s->cache_rows * c->d_model, time = (size_t)c->n_layers * c->d_model * c->conv_left;
    float *caches = malloc((channel + time) * sizeof *caches);
    conure_encode_row row = {.mel = features + (size_t)s->hop * k * c->mel_bins, .n_frames = s->slice, .n_valid = s->slice,
                             .drop_first = 2, .state = state, .out = out, .n_out_cap = cap};
    conure_error err = {""};
    char key[128];
    int64_t length = -1;
    test_int(o->engine->encode(o->self, &row, 1, &err), CONURE_OK);
    test_int(o->engine->state_export(o->self, state, caches, caches + channel, &length, &err), CONURE_OK);
    const long long want = (long long)s->gain * (k + 1);
    test_int(length, want < s->cache_rows ? want : s->cache_rows);
    snprintf(key, sizeof key, "%s.step%u.encoder", s->name, k);
    compare(g, key, out, (const long long[]){c->d_model, 1}, 2); /* the first frame: valid_out_len is 1 */
    snprintf(key, sizeof key, "%s.step%u.cache_last_channel", s->name, k);
    if (golden_has(g, key)) {
        compare(g, key, caches, (const long long[]){c->n_layers, s->cache_rows, c->d_model}, 3);
        snprintf(key, sizeof key, "%s.step%u.cache_last_time", s->name, k);
        compare(g, key, caches + channel, (const long long[]){c->n_layers, c->d_model, c->conv_left}, 3);
        /* what was exported can be imported, and stands for the same stream */
        o->engine->state_reset(o->self, state);
        test_int(o->engine->state_import(o->self, state, caches, caches + channel, length, &err), CONURE_OK);
    }
    free(caches);
    free(out);
}

static int one_model(const char *name)
{
    char path[4096], golden_file[4096], rest[128];
    golden g;
    opened o;
    int steps = 0;
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    data_path(path, sizeof path, rest);
    snprintf(rest, sizeof rest, "golden/%s.steps.safetensors", name);
    if (!golden_open(&g, data_path(golden_file, sizeof golden_file, rest)))
        return 0;
    test_true(open_engine(&o, path, CONURE_PRECISION_F32, CONURE_MASK_DEFAULT, 2, NULL));
    const uint32_t bins = o.model ? o.model->config.mel_bins : 0, columns = (uint32_t)golden_dim(&g, "features", 1);
    const float *x = golden_f32(&g, "features", bins, columns);
    float *features = x ? turned(x, bins, columns) : NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases && features; i++) {
        const conure_cache_options options = {.cache_rows = cases[i].cache_rows, .drop_rows = cases[i].drop, .keep_negative = true, .keep_rows = true};
        conure_state *state = NULL;
        conure_error err = {""};
        test_int(o.engine->state_open(o.self, &state, &options, &err), CONURE_OK);
        for (uint32_t k = 0; state && k < cases[i].n_steps; k++, steps++)
            one_step(&o, &g, &cases[i], state, features, k);
        o.engine->state_close(o.self, &state);
    }
    free(features);
    close_engine(&o);
    golden_close(&g);
    return steps;
}

int main(int argc, char **argv)
{
    test_begin("engine.steps");
    compare_engine = argc > 1 ? argv[1] : compare_engine;
    if (engine_missing(compare_engine))
        return test_skip(engine_missing(compare_engine));
    test_int(one_model("tiny-v3"), 43);
    test_int(one_model("tiny-alt"), 43);
    return test_end();
}

/* reference.c - the engine "ref" beside the native one, offline: how far float32 is from it, weights of every storage,
 * a batch against each row alone, threads, and what it refuses. */
#include "../test.h"
#include "compare.h"

#include <stdlib.h>

enum { FRAMES = 333 };

static opened open_on(const char *engine, const char *file, conure_precision precision, conure_mask mask, uint32_t n_threads)
{
    opened o;
    compare_engine = engine;
    test_true(open_engine(&o, file, precision, mask, n_threads, NULL));
    return o;
}

static float *features(uint32_t n_frames, uint32_t bins, uint64_t seed)
{
    float *mel = malloc((size_t)n_frames * bins * sizeof *mel);
    for (size_t i = 0; i < (size_t)n_frames * bins; i++)
        mel[i] = test_uniform(&seed, -1.7f, 1.7f);
    return mel;
}

/* Encoder rows, freed by the caller. */
static float *encode(opened *o, const float *mel, uint32_t n_frames, uint32_t n_valid, uint32_t *n_out)
{
    const uint32_t cap = n_frames / 8 + 1;
    float *out = calloc((size_t)cap * o->model->config.d_model, sizeof *out);
    conure_encode_row row = {.mel = mel, .n_frames = n_frames, .n_valid = n_valid, .out = out, .n_out_cap = cap};
    conure_error err = {""};
    test_int(o->engine->encode(o->self, &row, 1, &err), CONURE_OK);
    *n_out = row.n_out;
    return out;
}

/* Largest difference of two engines' frames, padding included. */
static double apart(opened *a, opened *b, uint32_t n_valid)
{
    const conure_config *c = &a->model->config;
    float *mel = features(FRAMES, c->mel_bins, 17);
    uint32_t n[2];
    float *x = encode(a, mel, FRAMES, n_valid, &n[0]), *y = encode(b, mel, FRAMES, n_valid, &n[1]);
    test_int(n[0], n[1]);
    const double most = worst(x, y, (size_t)n[0] * c->d_model);
    free(x);
    free(y);
    free(mel);
    return most;
}

/* Float32 is as near as its own noise, measured at up to 2.6e-6 on outputs of order 1, under both masks; a fault in either
 * engine shows at 1e-3 and more (a sign of r, a shifted frame, a swapped half of the GLU). */
static void beside_native(const char *name)
{
    char path[4096], rest[64];
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    data_path(path, sizeof path, rest);
    for (int m = CONURE_MASK_NEMO; m <= CONURE_MASK_EXACT; m++) {
        opened ref = open_on("ref", path, 0, (conure_mask)m, 2), native = open_on("cpu", path, CONURE_PRECISION_F32, (conure_mask)m, 2);
        const double whole = apart(&ref, &native, FRAMES), padded = apart(&ref, &native, FRAMES - 40);
        fprintf(stderr, "%s, mask %d: native f32 differs by %.2g, padded %.2g\n", name, m, whole, padded);
        test_true(whole > 0 && whole <= 1e-5);
        test_true(padded > 0 && padded <= 1e-5);
        close_engine(&ref);
        close_engine(&native);
    }
}

/* Context limits in both styles, which no small model's file has: the same as the native engine's, and other than without. */
static void contexts(void)
{
    static const struct {
        conure_context_style style;
        int32_t left, right;
    } cases[] = {{CONURE_REGULAR, 8, 1}, {CONURE_REGULAR, 0, -1}, {CONURE_CHUNKED_LIMITED, 8, 3}, {CONURE_CHUNKED_LIMITED, -1, 2},
                 {CONURE_CHUNKED_LIMITED, 5, -1}, {CONURE_CHUNKED_LIMITED, 0, 4}};
    char path[4096];
    data_path(path, sizeof path, "models/tiny-v3.nemo");
    opened ref = open_on("ref", path, 0, CONURE_MASK_NEMO, 2), native = open_on("cpu", path, CONURE_PRECISION_F32, CONURE_MASK_NEMO, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_config *c[2] = {&ref.model->config, &native.model->config};
        for (int k = 0; k < 2; k++) {
            c[k]->att_style = cases[i].style;
            c[k]->att_left = cases[i].left;
            c[k]->att_right = cases[i].right;
        }
        const double same = apart(&ref, &native, FRAMES - 9);
        c[1]->att_style = CONURE_REGULAR;
        c[1]->att_left = c[1]->att_right = -1;
        const double other = apart(&ref, &native, FRAMES - 9);
        fprintf(stderr, "style %d [%d, %d]: %.2g, %.2g without\n", (int)cases[i].style, cases[i].left, cases[i].right, same, other);
        test_true(same <= 1e-5 && other > 1e-3);
    }
    close_engine(&ref);
    close_engine(&native);
}

/* A file of each storage type.  What matters is that the weights are those of the file: the native engine in f32 reads the
 * same ones, and rounds scale * q to float, which the reference does not. */
static void storages(void)
{
    static const char *const types[4] = {"f32", "f16", "bf16", "int8"};
    char path[4096];
    conure_model *model = NULL;
    conure_error err = {""};
    test_int(conure_model_open(&model, data_path(path, sizeof path, "models/tiny-v3.nemo"), NULL, &err), CONURE_OK);
    opened plain = open_on("ref", path, 0, CONURE_MASK_NEMO, 2);
    for (int i = 0; i < 4; i++) {
        const char *file = "reference.storage.conure";
        test_int(conure_model_convert(model, file, types[i], NULL, NULL, &err), CONURE_OK);
        opened ref = open_on("ref", file, 0, CONURE_MASK_NEMO, 2), native = open_on("cpu", file, CONURE_PRECISION_F32, CONURE_MASK_NEMO, 2);
        const double same = apart(&ref, &native, FRAMES), from_plain = apart(&ref, &plain, FRAMES);
        fprintf(stderr, "%s weights: native f32 differs by %.2g; f32 weights by %.2g\n", types[i], same, from_plain);
        test_true(same <= 1e-5);
        test_true(i == 0 ? from_plain == 0 : from_plain > 1e-4);
        close_engine(&ref);
        close_engine(&native);
        remove(file);
    }
    close_engine(&plain);
    conure_model_close(&model);
}

/* Rows of a batch, and any number of threads: the same bits as alone with one. */
static void batches(const char *name)
{
    static const uint32_t lengths[4] = {FRAMES, 100, 7, 240};
    char path[4096], rest[64];
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    data_path(path, sizeof path, rest);
    opened one = open_on("ref", path, 0, CONURE_MASK_NEMO, 1), three = open_on("ref", path, 0, CONURE_MASK_NEMO, 3);
    const conure_config *c = &one.model->config;
    float *mel = features(FRAMES, c->mel_bins, 5), *alone[4], *together[4];
    conure_encode_row rows[4];
    conure_error err = {""};
    uint32_t n_out;
    for (uint32_t i = 0; i < 4; i++) {
        alone[i] = encode(&one, mel, lengths[i], lengths[i] - i, &n_out);
        together[i] = calloc((size_t)(FRAMES / 8 + 1) * c->d_model, sizeof **together);
        rows[i] = (conure_encode_row){.mel = mel, .n_frames = lengths[i], .n_valid = lengths[i] - i, .out = together[i],
                                      .n_out_cap = FRAMES / 8 + 1};
    }
    test_int(three.engine->encode(three.self, rows, 4, &err), CONURE_OK);
    for (int i = 0; i < 4; i++) {
        test_int(rows[i].n_out, (lengths[i] + 7) / 8);
        test_true(memcmp(alone[i], together[i], (size_t)rows[i].n_out * c->d_model * sizeof(float)) == 0);
        free(alone[i]);
        free(together[i]);
    }
    free(mel);
    close_engine(&one);
    close_engine(&three);
}

/* Decoder calls of three streams at once are those of each. */
static void decoder(void)
{
    char path[4096];
    opened o = open_on("ref", data_path(path, sizeof path, "models/tiny-alt.nemo"), 0, CONURE_MASK_NEMO, 2);
    const conure_config *c = &o.model->config;
    const size_t state = (size_t)c->pred_layers * c->pred_hidden, outputs = (size_t)c->vocab_size + 1 + c->n_durations, joint = c->joint_hidden;
    const uint32_t tokens[3] = {c->vocab_size, 0, 3};
    float *room = calloc(2 * 3 * (2 * state + joint + outputs), sizeof *room);
    float *h[2] = {room, room + 3 * state}, *cell[2] = {h[1] + 3 * state, h[1] + 6 * state}, *out[2] = {h[1] + 9 * state, h[1] + 9 * state + 3 * joint};
    float *z[2] = {out[1] + 3 * joint, out[1] + 3 * joint + 3 * outputs};
    conure_error err = {""};
    for (int step = 0; step < 3; step++) {
        test_int(o.engine->predict(o.self, tokens, h[0], cell[0], 3, out[0], &err), CONURE_OK);
        for (size_t i = 0; i < 3; i++)
            test_int(o.engine->predict(o.self, &tokens[i], h[1] + i * state, cell[1] + i * state, 1, out[1] + i * joint, &err), CONURE_OK);
    }
    test_true(memcmp(h[0], h[1], 3 * state * sizeof(float)) == 0 && memcmp(cell[0], cell[1], 3 * state * sizeof(float)) == 0);
    test_true(memcmp(out[0], out[1], 3 * joint * sizeof(float)) == 0 && out[0][0] != out[0][joint]);
    const float *frames[3] = {out[0], out[0] + joint, out[0] + 2 * joint}, *predictions[3] = {frames[1], frames[2], frames[0]};
    test_int(o.engine->joint(o.self, frames, predictions, 3, z[0], &err), CONURE_OK);
    for (int i = 0; i < 3; i++)
        test_int(o.engine->joint(o.self, &frames[i], &predictions[i], 1, z[1] + (size_t)i * outputs, &err), CONURE_OK);
    test_true(memcmp(z[0], z[1], 3 * outputs * sizeof(float)) == 0 && z[0][0] != z[0][outputs]);
    const uint32_t beyond = c->vocab_size + 1;
    test_int(o.engine->predict(o.self, &beyond, h[0], cell[0], 1, out[0], &err), CONURE_BAD_ARG);
    test_true(memcmp(h[0], h[1], 3 * state * sizeof(float)) == 0);
    free(room);
    close_engine(&o);
}

/* An engine takes its own precisions only, and says which those are. */
static void precisions(void)
{
    char path[4096];
    conure_model *model = NULL;
    conure_error err = {""};
    const conure_engine *ref, *cpu;
    void *self = NULL;
    test_int(conure_model_open(&model, data_path(path, sizeof path, "models/tiny-v3.nemo"), NULL, &err), CONURE_OK);
    test_int(conure_engine_find(&ref, "ref", &err), CONURE_OK);
    test_int(conure_engine_find(&cpu, "cpu", &err), CONURE_OK);
    conure_engine_options options = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    test_int(ref->open(&self, model, &options, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "in f64, not in f32");
    test_true(self == NULL);
    options.precision = CONURE_PRECISION_F64;
    test_int(cpu->open(&self, model, &options, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "engine cpu computes in f32, bf16 or int8, not in f64");
    test_true(self == NULL);
    test_int(conure_engine_precision(ref, model, CONURE_PRECISION_DEFAULT), CONURE_PRECISION_F64);
    test_int(conure_engine_precision(cpu, model, CONURE_PRECISION_DEFAULT), CONURE_PRECISION_F32);
    test_int(conure_engine_precision(cpu, model, CONURE_PRECISION_INT8), CONURE_PRECISION_INT8);
    conure_model_close(&model);
}

int main(void)
{
    test_begin("engine.reference");
    beside_native("tiny-v3");
    beside_native("tiny-alt");
    contexts();
    storages();
    batches("tiny-v3");
    batches("tiny-alt");
    decoder();
    precisions();
    return test_end();
}

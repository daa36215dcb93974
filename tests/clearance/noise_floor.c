/* noise_floor.c - the noise of float32, bf16 and int8 against double on the small models, and the file that follows from it. */
#include "../test.h"
#include "../engine/compare.h"
#include "clearance/noise_floor.h"

#include <jansson.h>

static opened open_on(const char *engine, conure_precision precision)
{
    char path[4096];
    opened o;
    compare_engine = engine;
    test_true(open_engine(&o, data_path(path, sizeof path, "models/tiny-v3.nemo"), precision, CONURE_MASK_DEFAULT, 2, NULL));
    return o;
}

static void measure(conure_noise_report *r, opened *ref, const char *engine, conure_precision precision, uint32_t slice, const float *mel,
                    uint64_t n_mel)
{
    char profile[32];
    conure_contract k;
    conure_error err = {""};
    opened other = open_on(engine, precision);
    snprintf(profile, sizeof profile, "unified=%u", slice);
    const conure_contract_options options = {.streaming = {.chunk = slice == 592 ? 73 : 13, .shift = slice == 592 ? 1 : 7, .cache_rows = 64, .export_graph = true},
                                             .profiles = profile};
    test_int(conure_contract_derive(&k, &ref->model->config, "tiny-v3", &options, &err), CONURE_OK);
    const conure_noise_options o = {.n_chunks = 6, .seed = 42, .mel = mel, .n_mel = n_mel};
    test_int(conure_noise_floor_run(r, &k, ref->engine, ref->self, other.engine, other.self, &o, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    fprintf(stderr, "%s %d, %u frames: %llu chunks, length %lld; max %.3g %.3g %.3g, offline %.3g; mean %.3g; cosine %.12g; %.3g and %.3g ms a step\n",
            engine, (int)precision, slice, (unsigned long long)r->n_chunks, (long long)r->length, r->tensors[0].max, r->tensors[1].max,
            r->tensors[2].max, r->tensors[3].max, conure_noise_mean(&r->tensors[0]), conure_noise_cosine(&r->tensors[0]),
            1e3 * r->reference_s / 7, 1e3 * r->candidate_s / 7);
    close_engine(&other);
}

/* What the file must say, read by another reader. */
static void file_says(const conure_noise_report *r, const char *state, double factor)
{
    char *text = NULL;
    conure_error err = {""};
    test_int(conure_noise_floor_dump(r, "test", "f32", factor, "made-up features, seed 42", &text, &err), CONURE_OK);
    json_t *tree = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *entry = json_array_get(json_object_get(tree, "entries"), 0), *tensors = json_object_get(entry, "tensors");
    test_text(json_string_value(json_object_get(entry, "state")), state);
    for (int i = 0; i < CONURE_NOISE_OFFLINE; i++) {
        const json_t *t = json_object_get(tensors, conure_noise_name((conure_noise_tensor)i));
        const double limit = json_number_value(json_object_get(t, "absolute_max"));
        test_true(json_is_object(t) && limit >= factor * r->tensors[i].max * 0.99999);
        test_true(r->tensors[i].max == 0 || limit < 1e-4);
    }
    test_text(json_string_value(json_object_get(tensors, "encoded_lengths")), "exact");
    test_true(json_number_value(json_object_get(entry, "slope_per_chunk")) > 0);
    json_decref(tree);
    free(text);
}

int main(void)
{
    test_begin("clearance.noise_floor");
    conure_noise_report f32, bf16, int8, same, reset, audio;
    opened ref = open_on("ref", CONURE_PRECISION_F64);
    measure(&f32, &ref, "cpu", CONURE_PRECISION_F32, 121, NULL, 0);
    measure(&bf16, &ref, "cpu", CONURE_PRECISION_BF16, 121, NULL, 0);
    measure(&int8, &ref, "cpu", CONURE_PRECISION_INT8, 121, NULL, 0);
    measure(&same, &ref, "ref", CONURE_PRECISION_F64, 121, NULL, 0);
    measure(&reset, &ref, "cpu", CONURE_PRECISION_F32, 592, NULL, 0);
    test_true(f32.flows && f32.length > 0 && !reset.flows && reset.length == 0);
    for (int i = 0; i < CONURE_NOISE_TENSORS; i++) {
        test_true(f32.tensors[i].n > 0 && f32.tensors[i].max > 0 && f32.tensors[i].max < 1e-5); /* the golden data's 2e-6 */
        test_true(bf16.tensors[i].max > 100 * f32.tensors[i].max && int8.tensors[i].max > 100 * f32.tensors[i].max);
        test_true(same.tensors[i].max == 0 && same.tensors[i].sum == 0);
        test_near(conure_noise_cosine(&f32.tensors[i]), 1, 1e-9);
        test_true(conure_noise_cosine(&int8.tensors[i]) < 1 - 1e-6);
        test_true(conure_noise_mean(&f32.tensors[i]) > 0 && conure_noise_mean(&f32.tensors[i]) <= f32.tensors[i].max);
    }
    test_true(reset.tensors[CONURE_NOISE_CHANNEL].max == 0 && reset.tensors[CONURE_NOISE_TIME].max > 0);
    file_says(&f32, "flows", 4);
    file_says(&reset, "reset", 4);
    file_says(&same, "flows", 4);

    /* Real speech: the golden clip's own features; what remains at its end fills no slice. */
    char path[4096];
    golden g;
    test_true(golden_open(&g, data_path(path, sizeof path, "golden/tiny-v3.golden.safetensors")));
    const uint32_t bins = ref.model->config.mel_bins, columns = (uint32_t)golden_dim(&g, "short.mel", 1);
    float *mel = turned(golden_f32(&g, "short.mel", bins, columns), bins, columns);
    measure(&audio, &ref, "cpu", CONURE_PRECISION_F32, 121, mel, columns);
    test_true(audio.n_chunks >= 1 && audio.n_chunks < 6);
    test_true(audio.tensors[0].max > 0 && audio.tensors[0].max < 1e-5 && audio.tensors[0].max != f32.tensors[0].max);
    free(mel);
    golden_close(&g);
    f32.tensors[0].max = INFINITY;
    char *text;
    conure_error err = {""};
    test_int(conure_noise_floor_dump(&f32, "test", "f32", 4, "x", &text, &err), CONURE_BACKEND);
    test_contains(err.text, "not finite");
    close_engine(&ref);
    return test_end();
}

/* noise_floor.c - the noise of float32, bf16 and int8 against double on the small models, and the file that follows from it. */
#include "../test.h"
#include "../engine/compare.h"
#include "clearance/noise_floor.h"
#include "clearance/tolerance.h"

#include <float.h>

static opened open_on(const char *engine, conure_precision precision)
{
    char path[4096];
    opened o;
    compare_engine = engine;
    test_true(open_engine(&o, data_path(path, sizeof path, "models/tiny-v3.nemo"), precision, CONURE_MASK_DEFAULT, 2, NULL));
    return o;
}

static void measure(conure_noise_report *r, opened *ref, const char *engine, conure_precision precision, uint32_t slice, const float *mel,
                    uint64_t n_mel, bool more)
{
    char profile[32];
    conure_contract k;
    conure_error err = {""};
    opened other = open_on(engine, precision);
    snprintf(profile, sizeof profile, "unified=%u", slice);
    const conure_contract_options options = {.streaming = {.chunk = slice == 592 ? 73 : 13, .shift = slice == 592 ? 1 : 7, .cache_rows = 64, .export_graph = true},
                                             .profiles = profile};
    test_int(conure_contract_derive(&k, &ref->model->config, "tiny-v3", &options, &err), CONURE_OK);
    const conure_noise_options o = {.n_chunks = 6, .seed = 42, .mel = mel, .n_mel = n_mel, .more = more};
    test_int(conure_noise_floor_run(r, &k, ref->engine, ref->self, other.engine, other.self, &o, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    fprintf(stderr, "%s %d, %u frames: %llu chunks, length %lld; max %.3g %.3g %.3g, offline %.3g; mean %.3g; cosine %.12g; %.3g and %.3g ms a step\n",
            engine, (int)precision, slice, (unsigned long long)r->n_chunks, (long long)r->length, r->tensors[0].max, r->tensors[1].max,
            r->tensors[2].max, r->tensors[3].max, conure_noise_mean(&r->tensors[0]), conure_noise_cosine(&r->tensors[0]),
            1e3 * r->reference_s / 7, 1e3 * r->candidate_s / 7);
    close_engine(&other);
}

/* What the file must say, as parity will read it. */
static void file_says(const conure_noise_report *r, bool flows, double factor)
{
    char *text = NULL;
    conure_error err = {""};
    conure_tolerance t;
    test_int(conure_noise_floor_dump(r, "test", "f32", factor, NULL, "made-up \"features\", seed 42", &text, &err), CONURE_OK);
    test_int(conure_tolerance_parse(&t, text ? text : "", text ? strlen(text) : 0, flows, "f32", "test", &err), CONURE_OK);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        const conure_noise *n = &r->tensors[m]; /* in the same order */
        const double least = FLT_EPSILON * n->largest, p95 = conure_errors_percentile(&n->errors, 0.95);
        test_text(conure_noise_name((conure_noise_tensor)m), conure_measured_name(m));
        test_near(t.limits[m].absolute_max / (factor * fmax(n->max, least) + 1e-300), n->largest > 0, 1e-5);
        test_near(t.limits[m].absolute_p95 / (factor * fmax(p95, least) + 1e-300), n->largest > 0, 1e-5);
        test_near(t.limits[m].relative_max, factor * fmax(n->relative_max, FLT_EPSILON), 1e-5 * t.limits[m].relative_max);
        test_true(n->max == 0 || (p95 > 0 && p95 < n->max)); /* of valid rows alone: zeros around them would make it 0 */
    }
    test_near(t.slope_per_chunk, t.limits[0].absolute_max / 100, 1e-5 * t.slope_per_chunk);
    test_int(t.speech_chunks, (int64_t)r->n_speech);
    test_contains(t.source, "chunks of made-up \"features\", seed 42");
    /* It is for the other kind of contract, or another precision, as little as any file. */
    test_int(conure_tolerance_parse(&t, text, strlen(text), !flows, "f32", "test", &err), CONURE_UNSUPPORTED);
    test_int(conure_tolerance_parse(&t, text, strlen(text), flows, "int8", "test", &err), CONURE_UNSUPPORTED);
    free(text);
}

int main(void)
{
    test_begin("clearance.noise_floor");
    conure_noise_report f32, bf16, int8, same, reset, audio;
    opened ref = open_on("ref", CONURE_PRECISION_F64);
    measure(&f32, &ref, "cpu", CONURE_PRECISION_F32, 121, NULL, 0, false);
    measure(&bf16, &ref, "cpu", CONURE_PRECISION_BF16, 121, NULL, 0, false);
    measure(&int8, &ref, "cpu", CONURE_PRECISION_INT8, 121, NULL, 0, false);
    measure(&same, &ref, "ref", CONURE_PRECISION_F64, 121, NULL, 0, false);
    measure(&reset, &ref, "cpu", CONURE_PRECISION_F32, 592, NULL, 0, false);
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
    file_says(&f32, true, 4);
    file_says(&reset, false, 4);
    file_says(&same, true, 4);

    /* Real speech: the golden clip's own features; what remains at its end fills no slice. */
    char path[4096];
    golden g;
    test_true(golden_open(&g, data_path(path, sizeof path, "golden/tiny-v3.golden.safetensors")));
    const uint32_t bins = ref.model->config.mel_bins, columns = (uint32_t)golden_dim(&g, "short.mel", 1);
    float *mel = turned(golden_f32(&g, "short.mel", bins, columns), bins, columns);
    measure(&audio, &ref, "cpu", CONURE_PRECISION_F32, 121, mel, columns, false);
    test_true(audio.n_chunks >= 1 && audio.n_chunks < 6);
    test_true(audio.tensors[0].max > 0 && audio.tensors[0].max < 1e-5 && audio.tensors[0].max != f32.tensors[0].max);
    /* Both in one report: no less than either. */
    conure_noise_report both = f32;
    measure(&both, &ref, "cpu", CONURE_PRECISION_F32, 121, mel, columns, true);
    test_int((long long)both.n_chunks, (long long)(f32.n_chunks + audio.n_chunks));
    for (int i = 0; i < CONURE_NOISE_TENSORS; i++) {
        test_near(both.tensors[i].max, fmax(f32.tensors[i].max, audio.tensors[i].max), 0);
        test_int((long long)both.tensors[i].n, (long long)(f32.tensors[i].n + audio.tensors[i].n));
    }
    test_true(f32.n_speech == 0 && audio.n_speech == audio.n_chunks && both.n_speech == audio.n_chunks);
    file_says(&both, true, 4);
    free(mel);
    golden_close(&g);
    f32.tensors[0].max = INFINITY;
    char *text;
    conure_error err = {""};
    test_int(conure_noise_floor_dump(&f32, "test", "f32", 4, NULL, "x", &text, &err), CONURE_BACKEND);
    test_contains(err.text, "not finite");
    char longer[513];
    memset(longer, 'x', 512);
    longer[512] = 0;
    test_int(conure_noise_floor_dump(&reset, "test", "f32", 4, NULL, longer, &text, &err), CONURE_BAD_ARG);
    close_engine(&ref);
    return test_end();
}

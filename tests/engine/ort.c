/* ort.c - the engine on ONNX Runtime's processor provider, beside the native one: streams of every kind, batches of unlike
 * rows, steps without rows, states out and in, cancelling, and what it refuses. */
#include "../test.h"
#include "states.h"

#include "found.h"
#include "onnx/ranges.h"
#include "stream/random.h"

#include <pthread.h>
#include <unistd.h>

static const conure_cache_options variants[] = {
    {.cache_rows = 24, .drop_rows = 3, .keep_rows = true},
    {.cache_rows = 24, .drop_rows = 3, .keep_rows = true, .time_cache_aligned = true},
    {.cache_rows = 256, .drop_rows = 1, .keep_rows = true},   /* keys and values are not made of cached rows */
    {.cache_rows = 33, .drop_rows = 20, .keep_rows = true},   /* clamped: nothing ever enters */
    {.cache_rows = 2, .drop_rows = 0, .keep_rows = true},     /* a step brings more than there is room */
    {.cache_rows = 16, .drop_rows = 2, .keep_rows = true, .keep_negative = true},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, STEPS = 12 };

/* Float32's own noise was measured at up to 3.4e-6 on these; a convention mistaken shows at 1e-2 and more. */
static const double NOISE = 2e-5;

static opened open_on(const char *engine, const char *name, conure_mask mask)
{
    char path[4096], rest[64];
    opened o;
    snprintf(rest, sizeof rest, "models/%s.nemo", name);
    compare_engine = engine;
    test_true(open_engine(&o, data_path(path, sizeof path, rest), CONURE_PRECISION_F32, mask, 2, NULL));
    return o;
}

static size_t cache_floats(const opened *o, const conure_cache_options *options)
{
    return (size_t)o->model->config.n_layers * o->model->config.d_model * (options->cache_rows + o->model->config.conv_left);
}

static int64_t export_to(const stream *s, const conure_cache_options *options, float *caches)
{
    const conure_config *c = &s->o->model->config;
    int64_t length = INT64_MIN;
    conure_error err = {""};
    test_int(s->o->engine->state_export(s->o->self, s->state, caches, caches + (size_t)c->n_layers * options->cache_rows * c->d_model,
                                        &length, &err), CONURE_OK);
    return length;
}

/* Step by step, each engine with its own caches.  Slices shorten and lengthen; some leave no row once two are dropped. */
static void beside_native(const char *name, conure_mask mask)
{
    static const uint32_t slices[4] = {57, 57, 80, 16};
    opened ort = open_on("ort/cpu", name, mask), native = open_on("cpu", name, mask);
    float *mel = random_mel(&ort, 11);
    double most = 0, most_cache = 0;
    for (size_t v = 0; v < N_VARIANTS; v++) {
        const conure_cache_options *options = &variants[v];
        stream a = stream_open(&ort, mel, 57, 24, options), b = stream_open(&native, mel, 57, 24, options);
        const size_t n = cache_floats(&ort, options);
        float *x = calloc(2 * n + 1, sizeof *x), *y = x + n;
        for (int k = 0; k < STEPS; k++) {
            a.slice = b.slice = options->keep_negative ? 57 : slices[k % 4];
            a.drop_first = b.drop_first = k ? 2 : 0;
            stream_step(&a);
            stream_step(&b);
            test_int(a.n_out, b.n_out);
            const double out = worst(a.out, b.out, (size_t)a.n_out * ort.model->config.d_model);
            test_int(export_to(&a, options, x), export_to(&b, options, y));
            test_int(ort.engine->state_length(ort.self, a.state), native.engine->state_length(native.self, b.state));
            const double cache = worst(x, y, n);
            most = out > most ? out : most;
            most_cache = cache > most_cache ? cache : most_cache;
        }
        free(x);
        stream_close(&a);
        stream_close(&b);
    }
    fprintf(stderr, "%s: outputs %.2g, caches %.2g from the native engine's\n", name, most, most_cache);
    test_true(most < NOISE && most_cache < NOISE);
    free(mel);
    close_engine(&ort);
    close_engine(&native);
}

/* Unlike streams and whole utterances in one batch, step after step, each as it is alone; the streams also change places. */
static void mixed(void)
{
    static const uint32_t slices[8] = {57, 57, 57, 89, 57, 65, 200, 190};
    static const int kind[8] = {0, 0, 0, 0, 1, 2, -1, -1};
    opened o = open_on("ort/cpu", "tiny-alt", CONURE_MASK_NEMO);
    float *mel = random_mel(&o, 5);
    stream alone[8], together[8];
    conure_error err = {""};
    double most = 0;
    for (int i = 0; i < 8; i++) {
        const conure_cache_options *options = kind[i] < 0 ? NULL : &variants[kind[i]];
        alone[i] = stream_open(&o, mel + 8 * i, slices[i], 24, options);
        together[i] = stream_open(&o, mel + 8 * i, slices[i], 24, options);
    }
    for (int k = 0; k < STEPS; k++) {
        conure_encode_row rows[8];
        for (int i = 0; i < 8; i++)
            rows[(i + k) % 8] = stream_row(&together[i]);
        rows[(6 + k) % 8].n_valid -= 30; /* two with padding */
        rows[(1 + k) % 8].n_valid -= 9;
        test_int(o.engine->encode(o.self, rows, 8, &err), CONURE_OK);
        for (int i = 0; i < 8; i++) {
            together[i].n_out = rows[(i + k) % 8].n_out;
            together[i].k++;
            conure_encode_row row = stream_row(&alone[i]);
            row.n_valid -= i == 6 ? 30 : i == 1 ? 9 : 0;
            test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_OK);
            alone[i].n_out = row.n_out;
            alone[i].k++;
            test_int(row.n_out_valid, rows[(i + k) % 8].n_out_valid);
            test_int(row.n_out, together[i].n_out);
            const double off = worst(alone[i].out, together[i].out, (size_t)row.n_out * o.model->config.d_model);
            most = off > most ? off : most;
            if (kind[i] >= 0)
                test_int(o.engine->state_length(o.self, alone[i].state), o.engine->state_length(o.self, together[i].state));
        }
    }
    fprintf(stderr, "a batch: %.2g from each alone\n", most);
    test_true(most < NOISE);
    for (int i = 0; i < 8; i++) {
        stream_close(&alone[i]);
        stream_close(&together[i]);
    }
    free(mel);
    close_engine(&o);
}

/* A state that was taken out and put into another goes on with the same bits, and so does a snapshot; a failed step changes
 * nothing, whatever row of the batch it was. */
static void out_and_in(void)
{
    const conure_cache_options *options = &variants[0];
    opened o = open_on("ort/cpu", "tiny-v3", CONURE_MASK_EXACT);
    float *mel = random_mel(&o, 3);
    stream a = stream_open(&o, mel, 57, 24, options), b = stream_open(&o, mel, 57, 24, options), c = stream_open(&o, mel, 57, 24, options);
    const conure_config *config = &o.model->config;
    const size_t channel = (size_t)config->n_layers * options->cache_rows * config->d_model;
    float *caches = calloc(cache_floats(&o, options), sizeof *caches);
    conure_error err = {""};
    for (int k = 0; k < 6; k++) {
        const int64_t length = export_to(&a, options, caches);
        test_int(o.engine->state_import(o.self, b.state, caches, caches + channel, length, &err), CONURE_OK);
        saved blob = save(&a);
        test_int(load(&c, &blob, blob.bytes, &err), CONURE_OK);
        test_int(load(&c, &blob, blob.bytes - 1, &err), CONURE_BAD_FILE);
        blob.data[40] ^= 64; /* the length */
        test_int(load(&c, &blob, blob.bytes, &err), CONURE_BAD_FILE);
        blob.data[40] ^= 64;
        blob.data[12]++; /* n_layers */
        test_int(load(&c, &blob, blob.bytes, &err), CONURE_UNSUPPORTED);
        test_contains(err.text, "n_layers");
        blob.data[12]--;
        blob.data[0] = 'x';
        test_int(load(&c, &blob, blob.bytes, &err), CONURE_BAD_FILE);
        blob.data[0] = 'c';
        conure_encode_row rows[2] = {stream_row(&a), stream_row(&b)};
        rows[1].n_out_cap = 1;
        test_int(o.engine->encode(o.self, rows, 2, &err), CONURE_BAD_ARG);
        test_contains(err.text, "row 1");
        rows[1] = rows[0];
        test_int(o.engine->encode(o.self, rows, 2, &err), CONURE_BAD_ARG);
        test_true(unchanged(&a, &blob));
        saved_free(&blob);
        a.k = b.k = c.k = (uint32_t)k;
        stream_step(&a);
        stream_step(&b);
        stream_step(&c);
        test_true(same_output(&a, &b) && same_output(&a, &c));
    }
    o.engine->state_reset(o.self, a.state);
    stream fresh = stream_open(&o, mel, 57, 24, options);
    saved blob = save(&fresh);
    test_true(unchanged(&a, &blob));
    saved_free(&blob);
    test_int(o.engine->state_import(o.self, a.state, caches, caches + channel, -1, &err), CONURE_BAD_ARG);
    test_int(o.engine->state_import(o.self, a.state, caches, caches + channel, options->cache_rows + 1, &err), CONURE_BAD_ARG);
    free(caches);
    free(mel);
    stream_close(&a);
    stream_close(&b);
    stream_close(&c);
    stream_close(&fresh);
    close_engine(&o);
}

static void refuses(void)
{
    opened o = open_on("ort/cpu", "tiny-v3", CONURE_MASK_NEMO);
    conure_cache_options options = {.cache_rows = 8, .kv_bf16 = true};
    conure_state *state = NULL;
    conure_error err = {""};
    void *self = NULL;
    test_int(o.engine->state_open(o.self, &state, &options, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "kv_bf16");
    options = (conure_cache_options){.cache_rows = 0};
    test_int(o.engine->state_open(o.self, &state, &options, &err), CONURE_UNSUPPORTED);
    options = (conure_cache_options){.cache_rows = 2000000};
    test_int(o.engine->state_open(o.self, &state, &options, &err), CONURE_LIMIT);
    options = (conure_cache_options){.cache_rows = 4, .drop_rows = 7, .keep_negative = true};
    float *mel = random_mel(&o, 2);
    stream s = stream_open(&o, mel, 57, 24, &options);
    conure_encode_row row = stream_row(&s);
    test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "negative");
    float caches[1];
    int64_t length;
    test_int(o.engine->state_export(o.self, s.state, caches, caches, &length, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "keep_rows");
    stream_close(&s);
    free(mel);
    const uint32_t token = o.model->config.vocab_size + 1;
    test_int(o.engine->predict(o.self, &token, NULL, NULL, 1, NULL, &err), CONURE_BAD_ARG);
    const conure_engine_options cuda = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    if (conure_engine_ort_cuda.open(&self, o.model, &cuda, &err) == CONURE_OK)
        conure_engine_ort_cuda.close(&self);
    else if (strstr(err.text, "without the provider")) { /* the library for processors alone: it says what there is */
        test_contains(err.text, "CUDA");
        test_contains(err.text, "ort/cpu");
    }
    close_engine(&o);
}

/* ---- cancelling ------------------------------------------------------------------------------- */

typedef struct later {
    volatile int *flag;
    useconds_t after_us;
} later;

static void *set_later(void *arg)
{
    const later *l = arg;
    usleep(l->after_us);
    __atomic_store_n(l->flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Before a run, in the middle of one, and not for the next. */
static void cancelled(void)
{
    opened o = open_on("cpu", "tiny-v3", CONURE_MASK_NEMO); /* for the model alone */
    volatile int flag = 1;
    const conure_engine_options options = {.n_threads = 2, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO, .cancel = &flag};
    const uint32_t frames = 20000, cap = frames / 8 + 1;
    float *mel = calloc((size_t)frames * o.model->config.mel_bins, sizeof *mel), *out = calloc((size_t)cap * o.model->config.d_model, sizeof *out);
    conure_encode_row row = {.mel = mel, .n_frames = 64, .n_valid = 64, .out = out, .n_out_cap = cap};
    conure_error err = {""};
    void *self = NULL;
    test_int(conure_engine_ort_cpu.open(&self, o.model, &options, &err), CONURE_CANCELLED);
    flag = 0;
    test_int(conure_engine_ort_cpu.open(&self, o.model, &options, &err), CONURE_OK);
    test_int(conure_engine_ort_cpu.encode(self, &row, 1, &err), CONURE_OK);
    flag = 1;
    test_int(conure_engine_ort_cpu.encode(self, &row, 1, &err), CONURE_CANCELLED);
    flag = 0;
    row.n_frames = row.n_valid = frames; /* seconds of work; a crowded machine may be slow to begin with it */
    for (useconds_t after_us = 100000; after_us <= 3200000; after_us *= 2) {
        pthread_t thread;
        later soon = {&flag, after_us};
        flag = 0;
        test_int(pthread_create(&thread, NULL, set_later, &soon), 0);
        test_int(conure_engine_ort_cpu.encode(self, &row, 1, &err), CONURE_CANCELLED);
        pthread_join(thread, NULL);
        if (strstr(err.text, "in the encoder"))
            break;
    }
    test_contains(err.text, "in the encoder");
    flag = 0;
    row.n_frames = row.n_valid = 64;
    test_int(conure_engine_ort_cpu.encode(self, &row, 1, &err), CONURE_OK);
    conure_engine_ort_cpu.close(&self);
    free(mel);
    free(out);
    close_engine(&o);
}

/* ---- narrower than float32 -------------------------------------------------------------------- */

static void count_warnings(void *user, conure_log_level level, const char *text)
{
    *(int *)user += level == CONURE_LOG_WARNING && strstr(text, "f16 without ranges") != NULL;
}

/* Of features like those that the test goes on with. */
static void make_ranges(const opened *o, const float *mel, const char *path)
{
    const conure_utterance speech = {mel, 400};
    conure_observations *seen = NULL;
    conure_error err = {""};
    test_int(conure_observe(&seen, o->model, &speech, 1, 2, CONURE_MASK_NEMO, NULL, NULL, NULL, &err), CONURE_OK);
    test_int(conure_ranges_write(seen, o->model, path, &err), CONURE_OK);
    conure_observations_free(&seen);
}

/* Another engine on the model of `native`: its description says what it is. */
static bool open_narrow(opened *out, const opened *native, conure_precision precision, const char *ranges, int *warnings)
{
    const conure_engine_options options = {.n_threads = 2, .precision = precision, .mask = CONURE_MASK_NEMO, .ranges = ranges,
                                           .log = {count_warnings, warnings}};
    conure_error err = {""};
    *out = (opened){.model = native->model, .engine = &conure_engine_ort_cpu};
    const conure_status status = out->engine->open(&out->self, out->model, &options, &err);
    test_int(status, CONURE_OK);
    test_text(err.text, "");
    return status == CONURE_OK;
}

/* Beside float32 for some steps, both from the same state; returns the largest difference of outputs. */
static double beside(const opened *narrow, const opened *native, const float *mel)
{
    const conure_cache_options *options = &variants[0];
    const conure_config *c = &native->model->config;
    const size_t channel = (size_t)c->n_layers * options->cache_rows * c->d_model;
    stream a = stream_open(narrow, mel, 57, 24, options), b = stream_open(native, mel, 57, 24, options);
    float *caches = calloc(cache_floats(native, options), sizeof *caches);
    conure_error err = {""};
    double most = 0;
    for (int k = 0; k < STEPS; k++) {
        const int64_t length = export_to(&b, options, caches);
        test_int(narrow->engine->state_import(narrow->self, a.state, caches, caches + channel, length, &err), CONURE_OK);
        stream_step(&a);
        stream_step(&b);
        test_int(a.n_out, b.n_out);
        const double off = worst(a.out, b.out, (size_t)a.n_out * c->d_model);
        most = off > most ? off : most;
    }
    free(caches);
    stream_close(&a);
    stream_close(&b);
    return most;
}

/* Outputs are about 3 at most.  11 bits are worth 1e-3 of it and 8 bits 1e-2, each many times over; less than a tenth of that would be float32. */
static void narrow(void)
{
    static const struct {
        conure_precision precision;
        bool ranges;
        double least, most;
        const char *says;
    } cases[] = {{CONURE_PRECISION_F16, false, 1e-4, 2e-2, "ort/cpu f16, "},
                 {CONURE_PRECISION_F16, true, 1e-4, 2e-2, "ort/cpu f16 (ranges "},
                 {CONURE_PRECISION_INT8, true, 3e-3, 0.5, "ort/cpu int8 (ranges "}};
    opened native = open_on("cpu", "tiny-v3", CONURE_MASK_NEMO);
    float *mel = random_mel(&native, 8);
    make_ranges(&native, mel, "ort.ranges.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        opened o;
        int warnings = 0;
        if (!open_narrow(&o, &native, cases[i].precision, cases[i].ranges ? "ort.ranges.json" : NULL, &warnings))
            continue;
        const double off = beside(&o, &native, mel);
        fprintf(stderr, "%s: %.2g from float32\n", o.engine->describe(o.self), off);
        test_true(off > cases[i].least && off < cases[i].most);
        test_contains(o.engine->describe(o.self), cases[i].says);
        test_int(warnings, cases[i].precision == CONURE_PRECISION_F16 && !cases[i].ranges);
        o.engine->close(&o.self);
    }
    unlink("ort.ranges.json");
    free(mel);
    close_engine(&native);
}

/* A session keeps keys and values in bf16 at this precision where the engine can, and this one cannot: it hears as much without. */
static void session(void)
{
    opened native = open_on("cpu", "tiny-v3", CONURE_MASK_NEMO);
    float *mel = random_mel(&native, 8), *pcm = calloc(32000, sizeof *pcm);
    conure_recognizer *r = NULL;
    conure_session *s = NULL;
    conure_recognizer_options options;
    conure_session_options cached;
    conure_session_stats stats = {.n_steps = 0};
    conure_error err = {""};
    size_t used = 0;
    make_ranges(&native, mel, "ort.session.json");
    conure_recognizer_options_init(&options);
    options.engine = "ort/cpu:int8@threads=2,ranges=ort.session.json";
    conure_session_options_init(&cached);
    cached.mode = CONURE_STREAM_CACHED;
    test_int(conure_session_options_preset(&cached, "live", &err), CONURE_OK);
    conure_synthetic_speech(pcm, 32000, 1);
    test_int(conure_recognizer_open(&r, native.model, &options, &err), CONURE_OK);
    test_int(conure_session_open(&s, r, &cached, &err), CONURE_OK);
    test_text(err.text, "");
    test_int(conure_session_feed(s, pcm, 32000, &used, &err), CONURE_OK);
    test_int(conure_session_finish(s, &err), CONURE_OK);
    while (conure_session_step(s, &err) == CONURE_OK) {
        const conure_event *event;
        while (conure_session_poll(s, &event) == CONURE_OK && event)
            ;
    }
    test_text(err.text, "");
    test_int(conure_session_get_stats(s, &stats), CONURE_OK);
    test_true(stats.n_frames >= 24);
    conure_session_close(&s);
    conure_recognizer_close(&r);
    unlink("ort.session.json");
    free(mel);
    free(pcm);
    close_engine(&native);
}

/* ONNX Runtime's processor provider has no product in bfloat16: its own words, and what to do. */
static void no_bf16(void)
{
    opened native = open_on("cpu", "tiny-v3", CONURE_MASK_NEMO), o;
    float *mel = random_mel(&native, 8);
    int warnings = 0;
    conure_error err = {""};
    conure_encode_row row = {.mel = mel, .n_frames = 64, .n_valid = 64};
    if (open_narrow(&o, &native, CONURE_PRECISION_BF16, NULL, &warnings)) {
        test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_BACKEND);
        test_contains(err.text, "engine ort/cpu does not run the encoder in bf16: ask for f32");
        test_contains(err.text, "ONNX Runtime said");
        test_int(warnings, 0);
        o.engine->close(&o.self);
    }
    free(mel);
    close_engine(&native);
}

int main(void)
{
    test_begin("engine.ort");
    if (engine_missing("ort/cpu"))
        return test_skip(engine_missing("ort/cpu"));
    beside_native("tiny-v3", CONURE_MASK_NEMO);
    beside_native("tiny-alt", CONURE_MASK_EXACT);
    mixed();
    out_and_in();
    refuses();
    cancelled();
    narrow();
    session();
    no_bf16();
    return test_end();
}

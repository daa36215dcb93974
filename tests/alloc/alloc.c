/* alloc.c - every allocation and every system call of open, transcribe, convert and close fails in turn:
 * the status says so, the text says something, nothing leaks, no file is left behind, and what worked all
 * the same has the right result. */
#include "../model/model_support.h"
#include "audio/audio.h"
#include "base/error.h"
#include "conure.h"
#include "decode/live_text.h"
#include "engine/engine.h"
#include "features/resample.h"
#include "inject.h"
#include "../model/synthetic.h"

#include <dirent.h>

/* Up to EVERY and of the LAST each number is tried, in between about MORE of them, spread out. */
enum { EVERY = 200, MORE = 150, LAST = 100 };

typedef struct outcome {
    conure_status status;
    conure_error err;
    char what[256]; /* of a success: the same each time */
} outcome;

typedef void (*scenario)(outcome *o);

#define ROOM "alloc.files"
static float speech[1600 * 12]; /* 1.2 s of a clip */

/* ---- what is done ---------------------------------------------------------------------------- */

static void transcribe(outcome *o, const char *path, conure_precision precision, uint32_t n_threads)
{
    conure_model *model = NULL;
    conure_recognizer *r = NULL;
    conure_result *results[2] = {NULL, NULL};
    conure_recognizer_options options;
    const float *pcm[2] = {speech, speech + 4000};
    const size_t n_samples[2] = {sizeof speech / sizeof *speech, 9000};
    o->status = conure_model_open(&model, path, NULL, &o->err);
    conure_recognizer_options_init(&options);
    options.precision = precision;
    options.n_threads = n_threads;
    options.memory_bytes_max = 1u << 30; /* else it is what is free, read from files */
    if (o->status == CONURE_OK)
        o->status = conure_recognizer_open(&r, model, &options, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_transcribe(r, pcm, n_samples, 2, results, &o->err);
    if (o->status == CONURE_OK)
        snprintf(o->what, sizeof o->what, "%u tokens %u words %.60s | %.60s", results[0]->n_tokens, results[0]->n_words,
                 results[0]->text, results[1]->text);
    conure_result_free(&results[0]);
    conure_result_free(&results[1]);
    conure_recognizer_close(&r);
    conure_model_close(&model);
}

static void nemo_f32(outcome *o)
{
    transcribe(o, TEST_DATA "/models/tiny-v3.nemo", CONURE_PRECISION_F32, 2);
}

static void folder_int8(outcome *o)
{
    transcribe(o, ROOM "/hf", CONURE_PRECISION_INT8, 1);
}

static void converted_int8(outcome *o)
{
    transcribe(o, ROOM "/int8.conure", CONURE_PRECISION_DEFAULT, 2);
}

/* A session from open to its end; feed and poll on the way never fail, as they take no memory. */
static void live(outcome *o, conure_stream_mode mode)
{
    conure_model *model = NULL;
    conure_recognizer *r = NULL;
    conure_session *s = NULL;
    conure_hotwords *list = NULL;
    conure_recognizer_options options;
    conure_session_options session;
    const conure_event *e;
    size_t used = 0, bytes = 0;
    int n_tokens = 0, n_events = 0;
    conure_recognizer_options_init(&options);
    options.n_threads = 2;
    options.memory_bytes_max = 1u << 30;
    conure_session_options_init(&session);
    session.mode = mode;
    session.left_s = 0.8;
    session.chunk_s = 0.4;
    session.right_s = 0.16;
    o->status = conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_hotwords_open(&list, model, "in the\t50\nwas\n", 14, NULL, &o->err);
    options.hotwords = session.hotwords = list;
    if (o->status == CONURE_OK)
        o->status = conure_recognizer_open(&r, model, &options, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_session_open(&s, r, &session, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_session_feed(s, speech, sizeof speech / sizeof *speech, &used, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_session_save(s, NULL, 0, &bytes, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_session_finish(s, &o->err);
    while (o->status == CONURE_OK) {
        o->status = conure_session_step(s, &o->err);
        for (; conure_session_poll(s, &e) == CONURE_OK; n_events++)
            n_tokens += (int)e->n_tokens;
    }
    if (o->status == CONURE_END)
        o->status = CONURE_OK;
    snprintf(o->what, sizeof o->what, "%zu samples, %zu bytes, %d events, %d tokens", used, bytes, n_events, n_tokens);
    conure_hotwords_close(&list); /* who uses it has it still */
    conure_session_close(&s);
    conure_recognizer_close(&r);
    conure_model_close(&model);
}

static void live_buffered(outcome *o)
{
    live(o, CONURE_STREAM_BUFFERED);
}

static void live_cached(outcome *o)
{
    live(o, CONURE_STREAM_CACHED);
}

static void convert(outcome *o)
{
    conure_model *model = NULL;
    o->status = conure_model_open(&model, ROOM "/f32.conure", NULL, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_model_convert(model, ROOM "/out/again.conure", "bf16", NULL, NULL, &o->err);
    conure_model_close(&model);
}

static void verify(outcome *o)
{
    conure_model *model = NULL;
    conure_model_info info = {.struct_bytes = sizeof info};
    o->status = conure_model_open(&model, TEST_DATA "/models/tiny-alt.nemo", NULL, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_model_verify(model, NULL, NULL, &o->err);
    if (o->status == CONURE_OK) {
        o->status = conure_model_get_info(model, &info);
        snprintf(o->what, sizeof o->what, "%s", o->status == CONURE_OK ? info.sha256 : "");
        snprintf(o->err.text, sizeof o->err.text, "no text: get_info takes no conure_error");
    }
    conure_model_close(&model);
}

static void audio(outcome *o)
{
    conure_audio_clip clip = {0};
    conure_audio_options options;
    conure_audio_options_init(&options);
    options.rate_hz = 11025;
    o->status = conure_audio_load(&clip, TEST_DATA "/audio/cards_001.flac", &options, &o->err);
    if (o->status == CONURE_OK)
        snprintf(o->what, sizeof o->what, "%llu samples", (unsigned long long)clip.n_samples);
    conure_audio_clip_free(&clip);
}

/* The text of a session, its snapshot, and what goes on from there. */
static void live_text(outcome *o)
{
    static const conure_token tokens[] = {{HELLO, 0, 1, 1, NULL}, {COMMA, 2, 1, 1, NULL}, {TWO_WORDS, 4, 1, 1, NULL},
                                          {BYTE_C3, 9, 1, 1, NULL}};
    conure_tokenizer *tokenizer = NULL;
    conure_live_text *live = NULL;
    conure_live_piece piece;
    conure_buffer saved = {0};
    const char *rest = "";
    o->status = conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC, NULL, true, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_live_text_open(&live, tokenizer, 0.08, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_live_text_add(live, tokens, 4, &o->err);
    if (o->status == CONURE_OK) {
        conure_live_text_save(live, &saved);
        conure_reader reader = {.data = (const uint8_t *)saved.data, .bytes = saved.bytes};
        o->status = saved.failed ? conure_fail_memory(&o->err, "a snapshot", 0)
                                 : conure_live_text_load(live, &reader, &o->err);
    }
    if (o->status == CONURE_OK)
        o->status = conure_live_text_tentative(live, tokens, 1, &rest, &o->err);
    if (o->status == CONURE_OK)
        o->status = conure_live_text_take(live, true, &piece, &o->err);
    if (o->status == CONURE_OK)
        snprintf(o->what, sizeof o->what, "%s | %u words, %s | %s", piece.text, piece.n_words, piece.words[0].text, rest);
    conure_buffer_free(&saved);
    conure_live_text_close(&live);
    conure_tokenizer_free(&tokenizer);
}

static void resampler(outcome *o)
{
    conure_resampler *r = NULL;
    float out[64];
    size_t used, made;
    o->status = conure_resampler_open(&r, 48000, 16000, &o->err);
    if (o->status == CONURE_OK) {
        conure_resampler_run(r, speech, 300, &used, out, 64, &made);
        snprintf(o->what, sizeof o->what, "%zu samples", made);
    }
    conure_resampler_close(&r);
}

/* Steps of a stream, one of them with more rows than its cache has room for at once; saved and loaded into
 * another. */
static conure_status stream_steps(const conure_engine *engine, void *self, conure_state *states[2], outcome *o)
{
    static const uint32_t rows[4] = {6, 30, 6, 6};
    static float mel[(9 + 8 * 32) * 128], out[34 * 64];
    conure_status status = CONURE_OK;
    double sum = 0;
    for (int k = 0; k < 4 && status == CONURE_OK; k++) {
        conure_encode_row row = {.mel = mel, .n_frames = 9 + 8 * rows[k], .n_valid = 9 + 8 * rows[k], .drop_first = 2,
                                 .state = states[k == 3], .out = out, .n_out_cap = 34};
        size_t bytes, memory;
        for (uint32_t i = 0; i < row.n_frames * 128; i++)
            mel[i] = (float)((i * 31 + (uint32_t)k) % 17) / 8 - 1;
        engine->state_bytes(self, states[0], &bytes, &memory);
        void *blob = k == 3 ? malloc(bytes) : NULL;
        if (k == 3 && !blob)
            status = conure_fail_memory(&o->err, "the test's bytes", bytes);
        if (blob)
            status = engine->state_save(self, states[0], blob, &o->err);
        if (blob && status == CONURE_OK)
            status = engine->state_load(self, states[1], blob, bytes, &o->err);
        free(blob);
        if (status == CONURE_OK)
            status = engine->encode(self, &row, 1, &o->err);
        for (uint32_t i = 0; i < row.n_out * 64 && status == CONURE_OK; i++)
            sum += fabsf(out[i]);
    }
    if (status == CONURE_OK)
        snprintf(o->what, sizeof o->what, "%.17g", sum);
    return status;
}

static void states(outcome *o)
{
    const conure_engine *engine = &conure_engine_native_cpu;
    const conure_engine_options options = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    const conure_cache_options caches = {.cache_rows = 64, .drop_rows = 2, .kv_bf16 = true, .keep_rows = true};
    conure_model *model = NULL;
    conure_state *both[2] = {NULL, NULL};
    void *self = NULL;
    o->status = conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &o->err);
    if (o->status == CONURE_OK)
        o->status = engine->open(&self, model, &options, &o->err);
    for (int i = 0; i < 2 && o->status == CONURE_OK; i++)
        o->status = engine->state_open(self, &both[i], &caches, &o->err);
    if (o->status == CONURE_OK)
        o->status = stream_steps(engine, self, both, o);
    for (int i = 0; i < 2 && self; i++)
        engine->state_close(self, &both[i]);
    if (self)
        engine->close(&self);
    conure_model_close(&model);
}

/* ---- one run, and what must hold after it ------------------------------------------------------- */

static int count_entries(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static outcome run(scenario work, inject_kind kind, long n, bool on, inject_report *report)
{
    outcome o = {.status = CONURE_INTERNAL};
    inject_start(kind, n, on);
    work(&o);
    *report = inject_stop();
    return o;
}

/* What a library of ours that is told "no memory" or whose file cannot be read may answer.  One that hides
 * the reason makes it a failed read of the file. */
static bool clean(conure_status status, inject_kind kind)
{
    return kind == INJECT_MEMORY ? status == CONURE_NO_MEMORY
                                 : status == CONURE_IO || status == CONURE_NO_MEMORY || status == CONURE_BACKEND;
}

static bool check(const char *name, const outcome *o, const outcome *good, inject_kind kind, long n,
                  const inject_report *report)
{
    bool ok = report->alive == 0;
    if (o->status == CONURE_OK)
        ok &= strcmp(o->what, good->what) == 0;
    else
        ok &= clean(o->status, kind) && o->err.text[0] && report->failed;
    if (!ok)
        fprintf(stderr, "%s, %s %ld (%s) fails: %s: \"%s\" %s, %ld blocks left\n", name,
                kind == INJECT_MEMORY ? "allocation" : "system call", n, report->failed ? report->failed : "none",
                conure_status_text(o->status), o->err.text, o->what, report->alive);
    return ok;
}

static void each(const char *name, scenario work, inject_kind kind, bool writes)
{
    inject_report report;
    run(work, INJECT_NOTHING, 0, false, &report); /* what the C library keeps from a first time */
    remove(ROOM "/out/again.conure");
    const outcome good = run(work, INJECT_NOTHING, 0, false, &report);
    remove(ROOM "/out/again.conure");
    test_int(good.status, CONURE_OK);
    if (good.status != CONURE_OK)
        fprintf(stderr, "%s: %s\n", name, good.err.text);
    test_int(report.alive, 0);
    const long total = kind == INJECT_MEMORY ? report.allocations : report.calls;
    const int n_fds = count_entries("/proc/self/fd");
    const long step = total > EVERY ? (total - EVERY) / MORE + 1 : 1;
    long n_failed = 0, n_runs = 0;
    test_true(total > 0);
    for (long n = 1; n <= total; n += n < EVERY || n > total - LAST ? 1 : step)
        for (int on = 0; on <= (n % 3 == 0); on++) {
            const outcome o = run(work, kind, n, on, &report);
            test_true(check(name, &o, &good, kind, n, &report));
            n_failed += o.status != CONURE_OK;
            n_runs++;
            if (writes) {
                test_int(count_entries(ROOM "/out"), o.status == CONURE_OK);
                remove(ROOM "/out/again.conure");
            }
        }
    test_int(count_entries("/proc/self/fd"), n_fds);
    test_true(n_failed * 2 > n_runs); /* the injection reaches what it is meant to */
    fprintf(stderr, "%s: %ld %s, %ld of %ld runs failed\n", name, total,
            kind == INJECT_MEMORY ? "allocations" : "system calls", n_failed, n_runs);
}

static void prepare(void)
{
    conure_model *model = NULL;
    conure_audio_clip clip = {0};
    conure_error err = {""};
    mkdir(ROOM, 0777);
    mkdir(ROOM "/out", 0777);
    remove(ROOM "/out/again.conure");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    test_int(conure_model_convert(model, ROOM "/int8.conure", "int8", NULL, NULL, &err), CONURE_OK);
    test_int(conure_model_convert(model, ROOM "/f32.conure", "f32", NULL, NULL, &err), CONURE_OK);
    conure_model_close(&model);
    test_int(conure_model_random_open(&model, "mini", 0, 7, NULL, NULL, &err), CONURE_OK);
    write_hf_texts(model, ROOM "/hf");
    write_hf_weights(model, ROOM "/hf", "model.safetensors", CONURE_BF16, NULL, NULL);
    conure_model_close(&model);
    test_int(conure_audio_load(&clip, TEST_DATA "/audio/cards_003.flac", NULL, &err), CONURE_OK);
    for (size_t i = 0; i < sizeof speech / sizeof *speech && i < clip.n_samples; i++)
        speech[i] = clip.pcm[i];
    conure_audio_clip_free(&clip);
}

/* Feeding takes what the session has, whatever the rate, and never asks for more. */
static void feeding(uint32_t rate_hz)
{
    conure_model *model = NULL;
    conure_recognizer *r = NULL;
    conure_session *s = NULL;
    conure_session_options session;
    conure_status status = CONURE_OK;
    size_t used = 0;
    conure_session_options_init(&session);
    session.sample_rate_hz = rate_hz;
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, NULL), CONURE_OK);
    test_int(conure_recognizer_open(&r, model, NULL, NULL), CONURE_OK);
    test_int(conure_session_open(&s, r, &session, NULL), CONURE_OK);
    inject_start(INJECT_NOTHING, 0, false);
    for (int i = 0; i < 200 && status == CONURE_OK; i++)
        status = conure_session_feed(s, speech, sizeof speech / sizeof *speech, &used, NULL);
    const conure_status gap = conure_session_gap(s, 1000, NULL), finish = conure_session_finish(s, NULL);
    const inject_report report = inject_stop();
    test_int(status, CONURE_FULL);
    test_int(gap, CONURE_FULL);
    test_int(finish, CONURE_OK);
    test_int(report.allocations, 0);
    conure_session_close(&s);
    conure_recognizer_close(&r);
    conure_model_close(&model);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        scenario work;
        bool writes, memory_only;
    } all[] = {
        {"nemo_f32", nemo_f32, false, false},
        {"folder_int8", folder_int8, false, false},
        {"converted_int8", converted_int8, false, false},
        {"convert", convert, true, false},
        {"verify", verify, false, false},
        {"audio", audio, false, false},
        {"live_text", live_text, false, true},
        {"resampler", resampler, false, true},
        {"states", states, false, true},
        {"live_buffered", live_buffered, false, false},
        {"live_cached", live_cached, false, false},
    };
    const inject_kind kind = argc > 1 && strcmp(argv[1], "system") == 0 ? INJECT_SYSTEM : INJECT_MEMORY;
    test_begin(kind == INJECT_SYSTEM ? "alloc.system" : "alloc.memory");
    prepare();
    if (kind == INJECT_MEMORY) {
        feeding(16000);
        feeding(44100);
        feeding(8000);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((argc < 3 || strcmp(argv[2], all[i].name) == 0) && !(all[i].memory_only && kind == INJECT_SYSTEM))
            each(all[i].name, all[i].work, kind, all[i].writes);
    return test_end();
}

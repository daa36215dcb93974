/* session.c - the laws of a session, on the model that is embedded: any split gives the same, reset is new, time goes on over
 * gaps and rates, snapshots go on where they were, and misuse is told. */
#include "../golden.h"
#include "audio/audio.h"
#include "collect.h"

#include <pthread.h>

static conure_model *model;
static conure_audio_clip clip, command; /* read speech; a spoken command, which is recognised right */

typedef struct setup {
    const char *name, *preset;
    conure_stream_mode mode;
} setup;

static const setup setups[] = {
    {"live", "10-2-2", CONURE_STREAM_BUFFERED},
    {"short", "1.6-0.8-0.4", CONURE_STREAM_BUFFERED},
    {"cached", "4-0.48-0.32", CONURE_STREAM_CACHED},
    {"frame", "2-0.08-0.32", CONURE_STREAM_CACHED},
    {"reset", "2-0.08-0.56", CONURE_STREAM_RESET},
};
enum { SETUPS = sizeof setups / sizeof *setups };

static conure_session_options options_of(const setup *s)
{
    conure_session_options o;
    conure_session_options_init(&o);
    test_int(conure_session_options_preset(&o, s->preset, NULL), CONURE_OK);
    o.mode = s->mode;
    o.slice_frames = 88;
    return o;
}

static conure_recognizer *open_recognizer(conure_progress_fn progress, void *user, int *cancel)
{
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_recognizer_options_init(&o);
    o.n_threads = 2;
    o.progress = progress;
    o.progress_user = user;
    o.cancel = cancel;
    test_int(conure_recognizer_open(&r, model, &o, NULL), CONURE_OK);
    return r;
}

static conure_session *open_session(conure_recognizer *r, const conure_session_options *o)
{
    conure_session *s = NULL;
    conure_error err = {""};
    if (conure_session_open(&s, r, o, &err) != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_true(s != NULL);
    return s;
}

/* ---- laws ------------------------------------------------------------------------------------ */

/* Any split, a reset session and a new one all give the same. */
static void splits(conure_recognizer *r, const setup *how)
{
    static const size_t most[] = {16000, 1000, 33, 1};
    const conure_session_options o = options_of(how);
    uint64_t seed = 7;
    heard want, got;
    conure_session *s = open_session(r, &o), *other = open_session(r, &o);
    const size_t n = how->mode == CONURE_STREAM_RESET ? 24000 : clip.n_samples;
    heard_all(&want, s, clip.pcm, n, 0, &seed);
    test_true(want.n_tokens > 0 && want.n_ends == 1);
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        const uint64_t before = seed;
        if (most[i] == 1 && how->mode != CONURE_STREAM_BUFFERED)
            continue;
        test_int(conure_session_reset(s, true, NULL), CONURE_OK);
        heard_all(&got, s, clip.pcm, n, most[i], &seed);
        if (!heard_same(&want, &got)) {
            fprintf(stderr, "%s: pieces of up to %zu, seed %llu\n", how->name, most[i], (unsigned long long)before);
            test_true(false);
        }
        heard_free(&got);
    }
    heard_all(&got, other, clip.pcm, n, 5000, &seed);
    test_true(heard_same(&want, &got));
    heard_free(&got);
    heard_free(&want);
    conure_session_close(&other);
    conure_session_close(&s);
}

/* What is said before it is final is the same text in the end: nothing final is ever taken back. */
static void tentative(conure_recognizer *r)
{
    conure_session_options o = options_of(&setups[0]);
    uint64_t seed = 1;
    heard with, without;
    o.left_s = 4;
    o.chunk_s = 0.4;
    o.right_s = 0.8;
    conure_session *s = open_session(r, &o);
    o.tentative = false;
    conure_session *plain = open_session(r, &o);
    heard_all(&with, s, clip.pcm, clip.n_samples, 999, &seed);
    heard_all(&without, plain, clip.pcm, clip.n_samples, 999, &seed);
    test_true(heard_same(&with, &without));
    test_true(with.n_tentative > 0 && without.n_tentative == 0);
    test_text(with.tentative, "");
    heard_free(&with);
    heard_free(&without);
    conure_session_close(&s);
    conure_session_close(&plain);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void short_gap(conure_recognizer *r)
{
    const conure_session_options o = options_of(&setups[1]);
    const size_t half = clip.n_samples / 2, lost = 8000;
    uint64_t seed = 3;
    heard want = {.n_tokens = 0}, got = {.n_tokens = 0};
    float *silence = calloc(lost, sizeof *silence);
    conure_session *s = open_session(r, &o);
    heard_feed(&want, s, clip.pcm, half, 0, &seed);
    heard_feed(&want, s, silence, lost, 0, &seed);
    heard_feed(&want, s, clip.pcm + half, clip.n_samples - half, 0, &seed);
    heard_finish(&want, s);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_feed(&got, s, clip.pcm, half, 0, &seed);
    while (conure_session_gap(s, lost, NULL) == CONURE_FULL)
        heard_steps(&got, s);
    heard_feed(&got, s, clip.pcm + half, clip.n_samples - half, 0, &seed);
    heard_finish(&got, s);
    test_true(heard_same(&want, &got));
    test_near(got.heard_s, (double)(clip.n_samples + lost) / 16000, 1e-9);
    heard_free(&want);
    heard_free(&got);
    free(silence);
    conure_session_close(&s);
}

/* Behind a long gap everything is as in a session of its own, but the times. */
static void long_gap(conure_recognizer *r, const setup *how)
{
    const conure_session_options o = options_of(how);
    const uint64_t lost = 5 * 16000;
    uint64_t seed = 4;
    heard alone, both = {.n_tokens = 0};
    conure_session *s = open_session(r, &o);
    heard_all(&alone, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_feed(&both, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_gap(s, lost, NULL), CONURE_OK);
    size_t used = 1;
    test_int(conure_session_feed(s, clip.pcm, 100, &used, NULL), CONURE_FULL); /* not before the gap is done */
    test_int(used, 0);
    test_int(conure_session_gap(s, 1, NULL), CONURE_FULL);
    test_int(heard_steps(&both, s), CONURE_NEED_AUDIO);
    heard_feed(&both, s, clip.pcm, clip.n_samples, 0, &seed);
    heard_finish(&both, s);
    const double shift = (double)(clip.n_samples + lost) / 16000;
    test_int(both.n_tokens, 2 * alone.n_tokens);
    test_int(both.n_words, 2 * alone.n_words);
    test_int(both.n_ends, 2);
    test_int(both.n_gaps, 1);
    for (uint32_t i = 0; i < alone.n_words && both.n_words == 2 * alone.n_words; i++) {
        const conure_word *first = &both.words[i], *second = &both.words[alone.n_words + i];
        test_near(first->start_s, alone.words[i].start_s, 1e-9);
        test_near(second->start_s, alone.words[i].start_s + shift, 1e-9);
        test_near(second->end_s, alone.words[i].end_s + shift, 1e-9);
        test_int(second->first_token, first->first_token + alone.n_tokens);
        test_text(both.word_texts[alone.n_words + i], alone.word_texts[i]);
    }
    char twice[sizeof alone.text * 2];
    snprintf(twice, sizeof twice, "%s %s", alone.text, alone.text);
    test_text(both.text, twice);
    test_near(both.heard_s, shift + (double)clip.n_samples / 16000, 1e-9);
    heard_free(&alone);
    heard_free(&both);
    /* a gap, and then nothing more */
    test_int(conure_session_reset(s, false, NULL), CONURE_OK);
    heard_feed(&both, s, clip.pcm, 16000, 0, &seed);
    test_int(conure_session_gap(s, lost, NULL), CONURE_OK);
    heard_finish(&both, s);
    test_int(both.n_ends, 1);
    heard_free(&both);
    conure_session_close(&s);
}

/* The clock of a reset session goes on, or begins anew. */
static void clock_of_resets(conure_recognizer *r)
{
    const conure_session_options o = options_of(&setups[1]);
    uint64_t seed = 5;
    heard first, again;
    conure_session *s = open_session(r, &o);
    heard_all(&first, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_reset(s, false, NULL), CONURE_OK);
    heard_all(&again, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(again.n_words, first.n_words);
    for (uint32_t i = 0; i < first.n_words && i < again.n_words; i++)
        test_near(again.words[i].start_s, first.words[i].start_s + (double)clip.n_samples / 16000, 1e-9);
    test_text(again.text, first.text);
    heard_free(&first);
    heard_free(&again);
    conure_session_close(&s);
}

/* However often it is reset: what the resampler held was heard too. */
static void clock_of_many_resets(conure_recognizer *r)
{
    conure_session_options o = options_of(&setups[1]);
    conure_session_stats stats;
    size_t used;
    o.sample_rate_hz = 8000;
    conure_session *s = open_session(r, &o);
    for (int i = 0; i < 1000; i++) {
        test_int(conure_session_feed(s, clip.pcm, 80, &used, NULL), CONURE_OK);
        test_int(conure_session_reset(s, false, NULL), CONURE_OK);
    }
    test_int(conure_session_get_stats(s, &stats), CONURE_OK);
    test_near(stats.heard_s, 10, 1e-9);
    conure_session_close(&s);
}

/* Samples that are not taken are not looked at: feeding an hour piece by piece does not read it a thousand times. */
static void only_what_is_taken(conure_recognizer *r)
{
    const size_t n = 1 << 20;
    size_t used;
    float *pcm = calloc(n, sizeof *pcm);
    pcm[n - 1] = NAN;
    conure_session *s = open_session(r, NULL);
    test_int(conure_session_feed(s, pcm, n, &used, NULL), CONURE_FULL);
    test_true(used > 0 && used < n);
    pcm[used + 1] = NAN;
    test_int(conure_session_feed(s, pcm + used, n - used, &used, NULL), CONURE_FULL);
    test_int(used, 0);
    conure_session_close(&s);
    free(pcm);
}

/* Other rates: the same words at the same times, and a change in between keeps the clock. */
static void rates(conure_recognizer *r)
{
    conure_session_options o = options_of(&setups[0]);
    uint64_t seed = 6;
    heard plain, got = {.n_tokens = 0};
    const size_t n = command.n_samples;
    float *wide = malloc(3 * n * sizeof *wide);
    for (size_t i = 0; i < 3 * n; i++) { /* 48 kHz by straight lines: good enough for words */
        const size_t k = i / 3;
        const float t = (float)(i % 3) / 3, next = k + 1 < n ? command.pcm[k + 1] : 0;
        wide[i] = command.pcm[k] + t * (next - command.pcm[k]);
    }
    conure_session *s = open_session(r, &o);
    heard_all(&plain, s, command.pcm, n, 0, &seed);
    conure_session_close(&s);
    o.sample_rate_hz = 48000;
    s = open_session(r, &o);
    heard_feed(&got, s, wide, 3 * (n / 2), 777, &seed);
    conure_status status;
    while ((status = conure_session_set_rate(s, 16000, NULL)) == CONURE_FULL)
        heard_steps(&got, s);
    test_int(status, CONURE_OK);
    heard_feed(&got, s, command.pcm + n / 2, n - n / 2, 777, &seed);
    heard_finish(&got, s);
    test_near(got.heard_s, (double)n / 16000, 1e-3);
    test_true(conure_session_latency_s(s) >= 4);
    test_int(got.n_words, plain.n_words);
    for (uint32_t i = 0; i < got.n_words && i < plain.n_words; i++)
        test_near(got.words[i].start_s, plain.words[i].start_s, 0.17);
    test_int(conure_session_set_rate(s, 16000, NULL), CONURE_BAD_STATE);
    heard_free(&plain);
    heard_free(&got);
    conure_session_close(&s);
    free(wide);
}

/* A session that has no more to do takes what comes next, whatever the rates and however little may wait. */
static void never_stuck(conure_recognizer *r, const setup *how)
{
    static const uint32_t hz[] = {8000, 11025, 44100, 16000};
    uint64_t seed = 21;
    for (size_t i = 0; i < sizeof hz / sizeof *hz; i++) {
        conure_session_options o = options_of(how);
        o.buffer_s = 0;
        o.sample_rate_hz = hz[i];
        heard got = {.n_tokens = 0};
        conure_session *s = open_session(r, &o);
        for (int k = 0; k < 6; k++) {
            heard_feed(&got, s, clip.pcm, 7001, 61, &seed);
            test_int(heard_steps(&got, s), CONURE_NEED_AUDIO);
            test_int(conure_session_gap(s, k % 2 ? hz[i] : 17, NULL), CONURE_OK);
            test_int(heard_steps(&got, s), CONURE_NEED_AUDIO);
            test_int(conure_session_set_rate(s, hz[(i + (size_t)k) % 4], NULL), CONURE_OK);
            test_int(conure_session_set_rate(s, hz[i], NULL), CONURE_OK);
        }
        heard_finish(&got, s);
        test_near(got.heard_s, 6 * 7001.0 / hz[i] + 3 + 3 * 17.0 / hz[i], 0.01);
        heard_free(&got);
        conure_session_close(&s);
    }
}

/* ---- ends of utterances ---------------------------------------------------------------------- */

/* A command, three seconds of faint noise, the command again. */
static void endpoints(conure_recognizer *r, bool energy, bool reset)
{
    conure_session_options o = options_of(&setups[0]);
    const size_t pause = 3 * 16000, n = 2 * command.n_samples + pause;
    uint64_t seed = 12;
    heard want, got;
    float *pcm = malloc(n * sizeof *pcm);
    for (size_t i = 0; i < n; i++)
        pcm[i] = test_uniform(&seed, -1e-3f, 1e-3f);
    for (size_t i = 0; i < command.n_samples; i++) {
        pcm[i] = command.pcm[i];
        pcm[command.n_samples + pause + i] = command.pcm[i];
    }
    o.endpoint = true;
    o.endpoint_energy_db = energy ? 20 : 0;
    o.endpoint_reset = reset;
    o.rule1_min_trailing_silence_s = 10; /* the pause is one utterance's end, and not another that is empty */
    conure_session *s = open_session(r, &o);
    heard_all(&want, s, pcm, n, 0, &seed);
    test_int(want.n_ends, 2);
    const double command_s = (double)command.n_samples / 16000;
    test_true(want.end_s[0] > command_s && want.end_s[0] < command_s + 3);
    test_true(strncmp(want.text, "go forward ten meters ", 22) == 0 && strstr(want.text + 22, "forward"));
    test_true(want.n_words > 4); /* the last word of the first utterance came with its end */
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_all(&got, s, pcm, n, 3000, &seed);
    test_true(heard_same(&want, &got));
    test_near(want.end_s[0], got.end_s[0], 1e-9);
    heard_free(&want);
    heard_free(&got);
    /* an utterance may be ended by its length, and none is where none is looked for */
    o.endpoint_reset = false;
    o.rule1_min_trailing_silence_s = o.rule2_min_trailing_silence_s = 0;
    o.rule3_min_utterance_length_s = 1;
    conure_session *t = open_session(r, &o);
    heard_all(&got, t, pcm, n, 0, &seed);
    test_int(got.n_ends, (int)ceil((double)n / 16000 / 1.04)); /* 13 frames are the first that make 1 s */
    heard_free(&got);
    conure_session_close(&t);
    conure_session_close(&s);
    free(pcm);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static void *saved(conure_session *s, size_t *bytes)
{
    conure_error err = {""};
    test_int(conure_session_save(s, NULL, 0, bytes, &err), CONURE_OK);
    void *data = malloc(*bytes + 1);
    size_t told = 0;
    test_int(conure_session_save(s, data, *bytes - 1, &told, &err), CONURE_FULL);
    test_int(told, *bytes);
    test_int(conure_session_save(s, data, *bytes, &told, &err), CONURE_OK);
    return data;
}

static void snapshots(conure_recognizer *r, const setup *how)
{
    conure_session_options o = options_of(how);
    uint64_t seed = 8;
    heard want, got = {.n_tokens = 0}, other = {.n_tokens = 0};
    size_t bytes, again_bytes;
    conure_error err = {""};
    const size_t n = how->mode == CONURE_STREAM_RESET ? 24000 : clip.n_samples, cut = n * 2 / 3 + 37;
    conure_session *a = open_session(r, &o), *b = open_session(r, &o);
    heard_all(&want, a, clip.pcm, n, 0, &seed);
    test_int(conure_session_reset(a, true, NULL), CONURE_OK);
    heard_feed(&got, a, clip.pcm, cut, 1234, &seed);
    heard_steps(&got, a);
    void *data = saved(a, &bytes);
    /* b has a life of its own before it becomes a copy of a */
    heard_feed(&other, b, clip.pcm + 5000, 20000, 3000, &seed);
    heard_free(&other);
    test_int(conure_session_load(b, data, bytes, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "load: %s\n", err.text);
    void *again = saved(b, &again_bytes);
    test_true(bytes == again_bytes && memcmp(data, again, bytes) == 0);
    free(again);
    /* both go on, each in its own way, and come to the same end */
    other = got;
    other.tokens = malloc((got.n_tokens + 1) * sizeof *got.tokens);
    other.words = malloc((got.n_words + 1) * sizeof *got.words);
    other.word_texts = malloc((got.n_words + 1) * sizeof *got.word_texts);
    if (got.n_tokens)
        memcpy(other.tokens, got.tokens, got.n_tokens * sizeof *got.tokens);
    if (got.n_words) {
        memcpy(other.words, got.words, got.n_words * sizeof *got.words);
        memcpy(other.word_texts, got.word_texts, got.n_words * sizeof *got.word_texts);
    }
    other.tokens_cap = got.n_tokens + 1;
    other.words_cap = got.n_words + 1;
    heard_feed(&other, b, clip.pcm + cut, n - cut, 500, &seed);
    heard_feed(&got, a, clip.pcm + cut, n - cut, 0, &seed);
    heard_finish(&got, a);
    heard_finish(&other, b);
    test_true(heard_same(&want, &got) && heard_same(&want, &other));
    /* refusals leave the session as it was */
    void *before = saved(b, &again_bytes);
    uint8_t *broken = malloc(bytes);
    for (int i = 0; i < 200; i++) {
        memcpy(broken, data, bytes);
        broken[test_random(&seed) % bytes] ^= (uint8_t)(1 + test_random(&seed) % 255);
        test_true(conure_session_load(b, broken, bytes, &err) < 0);
        test_true(conure_session_load(b, data, test_random(&seed) % bytes, &err) < 0);
    }
    size_t after_bytes;
    void *after = saved(b, &after_bytes);
    test_true(after_bytes == again_bytes && memcmp(before, after, again_bytes) == 0);
    free(before);
    free(after);
    free(broken);
    o.chunk_s *= 2;
    conure_session *c = open_session(r, &o);
    test_int(conure_session_load(c, data, bytes, &err), CONURE_UNSUPPORTED);
    conure_session_close(&c);
    free(data);
    heard_free(&want);
    heard_free(&got);
    heard_free(&other);
    conure_session_close(&a);
    conure_session_close(&b);
}

static void other_model(conure_recognizer *r)
{
    char path[4096];
    conure_model *tiny = NULL;
    conure_recognizer *second = NULL;
    conure_error err = {""};
    size_t bytes;
    const conure_session_options o = options_of(&setups[1]);
    conure_session *s = open_session(r, &o);
    void *data = saved(s, &bytes);
    test_int(conure_model_open(&tiny, data_path(path, sizeof path, "models/tiny-v3.nemo"), NULL, &err), CONURE_OK);
    test_int(conure_recognizer_open(&second, tiny, NULL, &err), CONURE_OK);
    conure_session *t = open_session(second, &o);
    test_int(conure_session_load(t, data, bytes, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "model");
    conure_session_close(&t);
    conure_recognizer_close(&second);
    conure_model_close(&tiny);
    free(data);
    conure_session_close(&s);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

static void arguments(conure_recognizer *r)
{
    static const struct {
        double left, chunk, right;
    } bad[] = {{-1, 1, 1}, {1, 0, 1}, {1, 0.05, 1}, {1, NAN, 1}, {1, 1, INFINITY}, {700, 1, 1}};
    conure_session *s = NULL;
    conure_session_options o;
    conure_error err = {""};
    const conure_event *e;
    float nan[3] = {0, NAN, 0};
    size_t used = 9;
    conure_session_options_init(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.left_s = bad[i].left;
        o.chunk_s = bad[i].chunk;
        o.right_s = bad[i].right;
        test_int(conure_session_open(&s, r, &o, &err), CONURE_BAD_ARG);
        test_true(s == NULL && strstr(err.text, "_s is"));
    }
    static const char *const presets[] = {"", "10", "10-2", "10-2-2-2", "10-2-2 ", "a-b-c", "1e3-2-2", "nan-2-2", "10-0-2", "10--2-2", "0x1-2-2"};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        test_int(conure_session_options_preset(&o, presets[i], &err), CONURE_BAD_ARG);
    conure_session_options_init(&o);
    o.sample_rate_hz = 7999;
    test_int(conure_session_open(&s, r, &o, &err), CONURE_BAD_ARG);
    test_contains(err.text, "7999");
    o.sample_rate_hz = 0;
    o.struct_bytes--;
    test_int(conure_session_open(&s, r, &o, &err), CONURE_BAD_ARG);
    test_int(conure_session_open(NULL, r, NULL, &err), CONURE_BAD_ARG);
    test_int(conure_session_open(&s, NULL, NULL, &err), CONURE_BAD_ARG);
    s = open_session(r, NULL);
    test_int(conure_session_feed(NULL, nan, 1, &used, &err), CONURE_BAD_ARG);
    test_int(conure_session_feed(s, NULL, 1, &used, &err), CONURE_BAD_ARG);
    test_int(conure_session_feed(s, NULL, 0, &used, &err), CONURE_OK);
    test_int(conure_session_feed(s, nan, 3, &used, &err), CONURE_BAD_AUDIO);
    test_int(used, 1); /* what is before it counts */
    test_int(conure_session_poll(s, NULL), CONURE_BAD_ARG);
    test_int(conure_session_poll(s, &e), CONURE_NEED_AUDIO);
    test_int(conure_session_step(s, &err), CONURE_NEED_AUDIO);
    test_int(conure_session_step(NULL, &err), CONURE_BAD_ARG);
    conure_session *twice[2] = {s, s};
    conure_status statuses[2];
    test_int(conure_sessions_step(twice, 2, statuses, &err), CONURE_BAD_STATE);
    test_int(conure_session_finish(s, &err), CONURE_OK);
    test_int(conure_session_finish(s, &err), CONURE_OK); /* again is no harm */
    test_int(conure_session_feed(s, nan, 1, &used, &err), CONURE_BAD_STATE);
    test_contains(err.text, "finish");
    test_int(conure_session_gap(s, 1, &err), CONURE_BAD_STATE);
    test_int(conure_session_step(s, &err), CONURE_OK);
    test_int(conure_session_step(s, &err), CONURE_FULL); /* poll first */
    test_int(conure_session_save(s, NULL, 0, &used, &err), CONURE_BAD_STATE);
    test_int(conure_session_poll(s, &e), CONURE_OK);
    test_true(e && (e->flags & CONURE_EVENT_END));
    test_int(conure_session_poll(s, &e), CONURE_END);
    test_int(conure_session_step(s, &err), CONURE_END);
    test_true(conure_session_bytes(s) < 2000000);
    conure_session_close(&s);
    conure_session_close(&s);
    conure_session_close(NULL);
}

/* Nothing fed at all, less than a window of the transform, less than a frame. */
static void little_audio(conure_recognizer *r, const setup *how)
{
    static const size_t lengths[] = {0, 1, 159, 160, 199, 200, 201, 320, 1279, 1280, 1281, 1480, 10240, 10400};
    const conure_session_options o = options_of(how);
    uint64_t seed = 9;
    conure_session *s = open_session(r, &o);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        heard want, got;
        heard_all(&want, s, clip.pcm + 8000, lengths[i], 0, &seed);
        test_int(conure_session_reset(s, true, NULL), CONURE_OK);
        heard_all(&got, s, clip.pcm + 8000, lengths[i], 100, &seed);
        test_true(heard_same(&want, &got) && got.n_ends == (lengths[i] >= 160)); /* an utterance has a frame at least */
        test_int(conure_session_reset(s, true, NULL), CONURE_OK);
        heard_free(&want);
        heard_free(&got);
    }
    conure_session_close(&s);
}

static void outliving(void)
{
    conure_model *const kept = model;
    test_int(conure_model_open(&model, EMBEDDED_MODEL, NULL, NULL), CONURE_OK);
    conure_recognizer *r = open_recognizer(NULL, NULL, NULL);
    conure_model_close(&model); /* the recognizer keeps it */
    model = kept;
    const conure_session_options o = options_of(&setups[1]);
    conure_error err = {""};
    const conure_event *e;
    size_t used;
    conure_session *s = open_session(r, &o), *t = open_session(r, &o);
    test_int(conure_session_feed(s, clip.pcm, clip.n_samples < 30000 ? clip.n_samples : 30000, &used, &err), CONURE_OK);
    test_int(conure_session_step(s, &err), CONURE_OK);
    conure_session_close(&t);
    conure_recognizer_close(&r);
    test_int(conure_session_feed(s, clip.pcm, 10, &used, &err), CONURE_BAD_STATE);
    test_contains(err.text, "recognizer");
    test_int(conure_session_step(s, &err), CONURE_BAD_STATE);
    test_int(conure_session_finish(s, &err), CONURE_BAD_STATE);
    test_int(conure_session_reset(s, true, &err), CONURE_BAD_STATE);
    test_int(conure_session_save(s, NULL, 0, &used, &err), CONURE_BAD_STATE);
    test_int(conure_session_poll(s, &e), CONURE_OK); /* what was final is not lost */
    test_true(e && e->n_tokens + e->n_words > 0);
    for (uint32_t i = 0; e && i < e->n_tokens; i++)
        test_true(strlen(e->tokens[i].text) > 0); /* nor are the pieces of the model */
    test_int(conure_session_poll(s, &e), CONURE_BAD_STATE);
    conure_session_close(&s);
}

typedef struct meddler {
    conure_session *session;
    int n_refused, n_other, countdown, flag;
} meddler;

/* From within a step, as another thread might: every call of the owner is refused. */
static bool meddle(void *user, double fraction)
{
    meddler *m = user;
    const conure_event *e;
    size_t used = 0;
    (void)fraction;
    if (m->countdown > 0 && --m->countdown == 0)
        __atomic_store_n(&m->flag, 1, __ATOMIC_RELAXED);
    if (m->session) {
        const conure_status got[] = {conure_session_feed(m->session, clip.pcm, 1, &used, NULL), conure_session_poll(m->session, &e),
                                     conure_session_finish(m->session, NULL)};
        for (size_t i = 0; i < sizeof got / sizeof *got; i++)
            *(got[i] == CONURE_BAD_STATE ? &m->n_refused : &m->n_other) += 1;
    }
    return true;
}

static void two_threads(void)
{
    meddler m = {.session = NULL};
    conure_recognizer *r = open_recognizer(meddle, &m, NULL);
    const conure_session_options o = options_of(&setups[1]);
    uint64_t seed = 10;
    heard want, got;
    conure_session *s = open_session(r, &o);
    heard_all(&want, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    m.session = s;
    heard_all(&got, s, clip.pcm, clip.n_samples, 0, &seed);
    test_true(m.n_refused > 0 && m.n_other == 0);
    test_true(heard_same(&want, &got));
    heard_free(&want);
    heard_free(&got);
    conure_session_close(&s);
    conure_recognizer_close(&r);
}

/* A step that is cancelled anywhere has changed nothing: called again it does what it would have done. */
static void cancelling(const setup *how)
{
    meddler m = {.session = NULL};
    conure_recognizer *r = open_recognizer(meddle, &m, &m.flag);
    const conure_session_options o = options_of(how);
    uint64_t seed = 11;
    heard want, got = {.n_tokens = 0};
    int n_cancelled = 0;
    const size_t n = how->mode == CONURE_STREAM_RESET ? 16000 : clip.n_samples;
    conure_session *s = open_session(r, &o);
    heard_all(&want, s, clip.pcm, n, 0, &seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    for (size_t done = 0, used; done < n; done += used) {
        const conure_status fed = conure_session_feed(s, clip.pcm + done, n - done < 4000 ? n - done : 4000, &used, NULL);
        test_true(fed >= 0);
        if (done + used == n)
            test_int(conure_session_finish(s, NULL), CONURE_OK);
        for (conure_status status = CONURE_OK; status == CONURE_OK || status == CONURE_CANCELLED;) {
            m.countdown = 1 + (int)(test_random(&seed) % 12);
            if (test_random(&seed) % 8 == 0)
                m.flag = 1; /* from the start */
            status = conure_session_step(s, NULL);
            m.flag = m.countdown = 0;
            n_cancelled += status == CONURE_CANCELLED;
            heard_poll(&got, s);
        }
    }
    test_true(n_cancelled > 3);
    test_true(got.over && heard_same(&want, &got));
    heard_free(&want);
    heard_free(&got);
    conure_session_close(&s);
    conure_recognizer_close(&r);
}

int main(void)
{
    char path[4096];
    conure_error err = {""};
    test_begin("stream.session");
    test_int(conure_model_open(&model, EMBEDDED_MODEL, NULL, &err), CONURE_OK);
    test_int(conure_audio_load(&clip, data_path(path, sizeof path, "audio/librispeech_59aceb6ca6.flac"), NULL, &err), CONURE_OK);
    test_int(conure_audio_load(&command, data_path(path, sizeof path, "audio/goforward.flac"), NULL, &err), CONURE_OK);
    conure_recognizer *r = model ? open_recognizer(NULL, NULL, NULL) : NULL;
    if (!r)
        return test_end();
    arguments(r);
    tentative(r);
    short_gap(r);
    clock_of_resets(r);
    clock_of_many_resets(r);
    only_what_is_taken(r);
    rates(r);
    endpoints(r, false, false);
    endpoints(r, true, false);
    endpoints(r, false, true);
    other_model(r);
    outliving();
    two_threads();
    for (int i = 0; i < SETUPS; i++) {
        fprintf(stderr, "%s\n", setups[i].name);
        splits(r, &setups[i]);
        never_stuck(r, &setups[i]);
        long_gap(r, &setups[i]);
        snapshots(r, &setups[i]);
        little_audio(r, &setups[i]);
        cancelling(&setups[i]);
    }
    conure_recognizer_close(&r);
    conure_audio_clip_free(&clip);
    conure_audio_clip_free(&command);
    conure_model_close(&model);
    return test_end();
}

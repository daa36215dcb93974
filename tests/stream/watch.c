/* watch.c - sessions on an engine that goes wrong on purpose: each kind of wrong is seen, each policy does what it says,
 * sessions of the same batch notice nothing, and the counts come out as text. */
#include "collect.h"

#include "audio/audio.h"
#include "engine/engine.h"
#include "stream/recognizer.h"

#include <math.h>

enum wrong { WRONG_NOT, WRONG_NAN, WRONG_FRAMES, WRONG_VALID, WRONG_LENGTH, WRONGS, WRONG_FAILS };
static const char *const rules[WRONGS] = {"", "finite", "encoder_frames", "encoded_length", "cache_length"};

/* The engine of a recognizer with a fault put in front of it. */
static conure_engine faulty;
static const conure_engine *honest;
static enum wrong wrong;
static int wrong_at, n_calls, wrong_row;
static bool length_is_wrong;

static conure_status encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    for (uint32_t i = 0; i < n && wrong == WRONG_FAILS; i++)
        if (rows[i].n_frames == (uint32_t)wrong_at)
            return conure_fail(err, CONURE_BACKEND, "slices of %d frames do not go", wrong_at);
    const conure_status status = honest->encode(self, rows, n, err);
    const bool now = n_calls++ == wrong_at && (uint32_t)wrong_row < n;
    conure_encode_row *row = &rows[wrong_row];
    length_is_wrong = now && wrong == WRONG_LENGTH;
    if (now && wrong == WRONG_NAN)
        row->out[5] = NAN;
    if (now && wrong == WRONG_FRAMES)
        row->n_out--;
    if (now && wrong == WRONG_VALID)
        row->n_out_valid--;
    return status;
}

static int64_t state_length(const void *self, const conure_state *state)
{
    const int64_t length = honest->state_length(self, state);
    const bool tell_wrong = length_is_wrong;
    length_is_wrong = false;
    return tell_wrong ? length + 1 : length;
}

static conure_model *model;
static conure_audio_clip clip;

static conure_recognizer *open_recognizer(void)
{
    conure_recognizer *r = NULL;
    test_int(conure_recognizer_open(&r, model, NULL, NULL), CONURE_OK);
    honest = r->engine;
    faulty = *honest;
    faulty.encode = encode;
    faulty.state_length = state_length;
    r->engine = &faulty;
    return r;
}

static conure_session *open_session(conure_recognizer *r, conure_stream_mode mode, conure_on_violation policy)
{
    conure_session *s = NULL;
    conure_session_options o;
    conure_error err = {""};
    conure_session_options_init(&o);
    test_int(conure_session_options_preset(&o, "4-0.24-0.16", NULL), CONURE_OK);
    o.mode = mode;
    o.slice_frames = 88;
    o.on_violation = policy;
    if (conure_session_open(&s, r, &o, &err) != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_true(s != NULL);
    return s;
}

static void go_wrong(enum wrong how, int at, int row)
{
    wrong = how;
    wrong_at = at;
    wrong_row = row;
    n_calls = 0;
    length_is_wrong = false;
}

static uint64_t violations(conure_session *s)
{
    conure_session_stats stats;
    test_int(conure_session_get_stats(s, &stats), CONURE_OK);
    return stats.n_violations;
}

/* The step fails, the session with it, and what was final stays; after a reset all is as before. */
static void stop(conure_recognizer *r, conure_stream_mode mode, enum wrong how, const heard *good)
{
    uint64_t seed = 3;
    heard got = {.n_tokens = 0};
    conure_session *s = open_session(r, mode, CONURE_ON_VIOLATION_STOP);
    conure_error err = {""};
    conure_status status = CONURE_OK;
    size_t used;
    go_wrong(how, 2, 0);
    for (size_t done = 0; done < clip.n_samples && status >= 0; done += used) {
        const size_t piece = clip.n_samples - done < 4000 ? clip.n_samples - done : 4000;
        test_true(conure_session_feed(s, clip.pcm + done, piece, &used, NULL) >= 0);
        while ((status = conure_session_step(s, &err)) == CONURE_OK)
            heard_poll(&got, s);
    }
    test_int(status, CONURE_VIOLATION);
    if (!strstr(err.text, rules[how]))
        fprintf(stderr, "expected rule %s: %s\n", rules[how], err.text);
    test_true(strstr(err.text, rules[how]) != NULL);
    test_int(got.n_events, 2);
    test_int(strncmp(got.text, good->text, strlen(got.text)), 0);
    test_int(violations(s), 1);
    test_int(conure_session_step(s, &err), CONURE_VIOLATION);
    test_int(conure_session_feed(s, clip.pcm, 1, &used, &err), CONURE_BAD_STATE);
    heard_free(&got);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_all(&got, s, clip.pcm, clip.n_samples, 4000, &seed);
    test_true(heard_same(&got, good));
    heard_free(&got);
    conure_session_close(&s);
}

/* The stream goes on; its frames count as silence or as if nothing had been. */
static void go_on(conure_recognizer *r, conure_stream_mode mode, conure_on_violation policy, enum wrong how, const heard *good)
{
    uint64_t seed = 3;
    heard got;
    conure_session *s = open_session(r, mode, policy);
    go_wrong(how, 2, 0);
    heard_all(&got, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(violations(s), 1);
    test_near(got.heard_s, good->heard_s, 1e-9);
    for (uint32_t i = 1; i < got.n_tokens; i++)
        test_true(got.tokens[i].frame >= got.tokens[i - 1].frame);
    if (policy == CONURE_ON_VIOLATION_COUNT && how == WRONG_LENGTH) /* only told wrong */
        test_true(heard_same(&got, good));
    if (policy == CONURE_ON_VIOLATION_RESET) {
        conure_session_stats stats;
        test_int(conure_session_get_stats(s, &stats), CONURE_OK);
        test_true(stats.n_frames > 0 && !isnan(got.tokens ? got.tokens[0].confidence : 0.0f));
        for (uint32_t i = 0; i < got.n_tokens; i++)
            test_true(!isnan(got.tokens[i].confidence));
    }
    heard_free(&got);
    conure_session_close(&s);
}

/* Of a batch only the session whose row is wrong notices. */
static void others(conure_recognizer *r, const heard *good)
{
    uint64_t seed = 5;
    conure_session *s[3];
    conure_status statuses[3];
    heard got[3] = {{.n_tokens = 0}};
    size_t used;
    conure_error err = {""};
    for (int i = 0; i < 3; i++)
        s[i] = open_session(r, CONURE_STREAM_CACHED, CONURE_ON_VIOLATION_STOP);
    go_wrong(WRONG_NAN, 0, 1);
    for (int i = 0; i < 3; i++)
        test_int(conure_session_feed(s[i], clip.pcm, 9000, &used, NULL), CONURE_OK);
    test_int(conure_sessions_step(s, 3, statuses, &err), CONURE_VIOLATION);
    test_int(statuses[0], CONURE_OK);
    test_int(statuses[1], CONURE_VIOLATION);
    test_int(statuses[2], CONURE_OK);
    for (int i = 0; i < 3; i += 2) {
        heard_feed(&got[i], s[i], clip.pcm + 9000, clip.n_samples - 9000, 0, &seed);
        heard_finish(&got[i], s[i]);
        test_true(heard_same(&got[i], good));
        heard_free(&got[i]);
    }
    for (int i = 0; i < 3; i++)
        conure_session_close(&s[i]);
}

/* One that the engine cannot step does not take the others with it. */
static void strangers(conure_recognizer *r, const heard *good)
{
    uint64_t seed = 6;
    conure_session *s[3];
    conure_status statuses[3];
    heard got = {.n_tokens = 0};
    size_t used;
    conure_error err = {""};
    for (int i = 0; i < 3; i++)
        s[i] = open_session(r, i == 1 ? CONURE_STREAM_RESET : CONURE_STREAM_CACHED, CONURE_ON_VIOLATION_STOP);
    go_wrong(WRONG_FAILS, 88, 0);
    for (int i = 0; i < 3; i++)
        test_int(conure_session_feed(s[i], clip.pcm, 16000, &used, NULL), CONURE_OK);
    test_int(conure_sessions_step(s, 3, statuses, &err), CONURE_BACKEND);
    test_true(strstr(err.text, "88 frames do not go") != NULL);
    test_int(statuses[0], CONURE_OK);
    test_int(statuses[1], CONURE_BACKEND);
    test_int(statuses[2], CONURE_OK);
    for (int i = 0; i < 3; i += 2) {
        heard_feed(&got, s[i], clip.pcm + 16000, clip.n_samples - 16000, 0, &seed);
        heard_finish(&got, s[i]);
        test_true(heard_same(&got, good));
        heard_free(&got);
    }
    test_int(conure_session_step(s[1], &err), CONURE_BACKEND);
    for (int i = 0; i < 3; i++)
        conure_session_close(&s[i]);
}

static void told(conure_recognizer *r, uint64_t n_bad)
{
    char line[128];
    size_t bytes = 0, again = 0;
    test_int(conure_recognizer_metrics(r, NULL, 0, &bytes, NULL), CONURE_OK);
    char *text = malloc(bytes);
    test_int(conure_recognizer_metrics(r, text, bytes - 1, &again, NULL), CONURE_FULL);
    test_int(again, bytes);
    test_int(conure_recognizer_metrics(r, text, bytes, &again, NULL), CONURE_OK);
    test_int(strlen(text) + 1, bytes);
    snprintf(line, sizeof line, "\nconure_contract_bad_steps_total{engine=\"cpu\",precision=\"f32\"} %llu\n", (unsigned long long)n_bad);
    if (!strstr(text, line))
        fprintf(stderr, "no line%sin\n%s", line, text);
    test_true(strstr(text, line) != NULL);
    test_true(strstr(text, "conure_contract_bad_steps_total") && strstr(text, "# TYPE"));
    test_int(conure_recognizer_metrics(NULL, NULL, 0, &bytes, NULL), CONURE_BAD_ARG);
    test_int(conure_recognizer_metrics(r, NULL, 5, &bytes, NULL), CONURE_BAD_ARG);
    free(text);
}

int main(void)
{
    static const conure_stream_mode modes[] = {CONURE_STREAM_BUFFERED, CONURE_STREAM_CACHED, CONURE_STREAM_RESET};
    uint64_t seed = 1, n_bad = 0;
    test_begin("stream.watch");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, NULL), CONURE_OK);
    test_int(conure_audio_load(&clip, TEST_DATA "/audio/cards_003.flac", NULL, NULL), CONURE_OK);
    clip.n_samples = clip.n_samples < 48000 ? clip.n_samples : 48000;
    conure_recognizer *r = open_recognizer();
    for (int m = 0; m < 3; m++) {
        heard good;
        conure_session *s = open_session(r, modes[m], CONURE_ON_VIOLATION_STOP);
        go_wrong(WRONG_NOT, 0, 0);
        heard_all(&good, s, clip.pcm, clip.n_samples, 0, &seed);
        test_true(good.n_tokens > 0);
        test_int(violations(s), 0);
        conure_session_close(&s);
        for (int how = WRONG_NAN; how < WRONGS; how++) {
            if (how == WRONG_LENGTH && modes[m] == CONURE_STREAM_BUFFERED)
                continue;
            stop(r, modes[m], how, &good);
            go_on(r, modes[m], CONURE_ON_VIOLATION_RESET, how, &good);
            n_bad += 2;
            if (how == WRONG_LENGTH) {
                go_on(r, modes[m], CONURE_ON_VIOLATION_COUNT, how, &good);
                n_bad++;
            }
        }
        if (modes[m] == CONURE_STREAM_CACHED) {
            others(r, &good);
            strangers(r, &good);
            n_bad++;
        }
        heard_free(&good);
    }
    told(r, n_bad);
    r->engine = honest;
    conure_recognizer_close(&r);
    conure_audio_clip_free(&clip);
    conure_model_close(&model);
    return test_end();
}

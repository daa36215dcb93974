/* inside.c - laws of a session that only show with its inside in view: what a step leaves when it fails at one place, and
 * what forged snapshots may not do. */
#include "../golden.h"
#include "audio/audio.h"
#include "collect.h"
#include "base/error.h"
#include "stream/session.h"

static conure_model *model;
static conure_audio_clip clip;
static int cancel;

static conure_session_options options_of(const char *preset, conure_stream_mode mode)
{
    conure_session_options o;
    conure_session_options_init(&o);
    test_int(conure_session_options_preset(&o, preset, NULL), CONURE_OK);
    o.mode = mode;
    return o;
}

static conure_recognizer *open_recognizer(void)
{
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_recognizer_options_init(&o);
    o.n_threads = 2;
    o.cancel = &cancel;
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

static void *saved(conure_session *s, size_t *bytes)
{
    test_int(conure_session_save(s, NULL, 0, bytes, NULL), CONURE_OK);
    void *data = malloc(*bytes + 1);
    test_int(conure_session_save(s, data, *bytes, bytes, NULL), CONURE_OK);
    return data;
}

/* ---- steps that fail ------------------------------------------------------------------------- */

/* Every step is cancelled in its features first: what the pool skipped is computed again. */
static void cancelled_features(conure_recognizer *r, conure_stream_mode mode)
{
    const conure_session_options o = options_of("4-0.48-0.32", mode);
    uint64_t seed = 1;
    heard want, got = {.n_tokens = 0};
    int n_cancelled = 0;
    conure_session *s = open_session(r, &o);
    heard_all(&want, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    for (size_t done = 0, used; done < clip.n_samples; done += used) {
        const size_t piece = clip.n_samples - done < 4000 ? clip.n_samples - done : 4000;
        conure_status status = CONURE_OK;
        test_int(conure_session_feed(s, clip.pcm + done, piece, &used, NULL), CONURE_OK);
        if (done + used == clip.n_samples)
            test_int(conure_session_finish(s, NULL), CONURE_OK);
        while (status == CONURE_OK) {
            cancel = 1;
            n_cancelled += conure_session_step(s, NULL) == CONURE_CANCELLED;
            cancel = 0;
            status = conure_session_step(s, NULL);
            heard_poll(&got, s);
        }
    }
    test_true(n_cancelled > 5);
    test_true(got.over && heard_same(&want, &got));
    heard_free(&want);
    heard_free(&got);
    conure_session_close(&s);
}

static conure_status no_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    (void)self, (void)encoder, (void)n, (void)out;
    return conure_fail(err, CONURE_NO_MEMORY, "no memory, as asked");
}

/* Encoded by one recognizer, whose decoding then failed, decoded by another that has not made a step yet. */
static void decoded_elsewhere(conure_recognizer *r)
{
    const conure_session_options o = options_of("4-2-2", CONURE_STREAM_CACHED);
    conure_recognizer *other = open_recognizer();
    const conure_engine *const engine = r->engine;
    conure_engine failing = *engine;
    heard want = {.n_tokens = 0}, got = {.n_tokens = 0};
    uint64_t seed = 4;
    size_t used, bytes;
    conure_session *s = open_session(r, &o), *t = open_session(other, &o);
    test_int(conure_session_feed(s, clip.pcm, 72000, &used, NULL), CONURE_OK);
    failing.project = no_project;
    r->engine = &failing;
    test_int(conure_session_step(s, NULL), CONURE_NO_MEMORY);
    r->engine = engine;
    void *data = saved(s, &bytes);
    test_int(conure_session_load(t, data, bytes, NULL), CONURE_OK);
    test_int(heard_steps(&got, t), CONURE_NEED_AUDIO);
    heard_finish(&got, t);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_all(&want, s, clip.pcm, 72000, 0, &seed);
    test_true(heard_same(&want, &got));
    heard_free(&want);
    heard_free(&got);
    free(data);
    conure_session_close(&s);
    conure_session_close(&t);
    conure_recognizer_close(&other);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Slices that are normalised alone are counted too: their sessions come back. */
static void slices_alone(conure_recognizer *r)
{
    conure_session_options o = options_of("4-0.48-0.32", CONURE_STREAM_CACHED);
    o.normalize = CONURE_NORMALIZE_SLICE;
    uint64_t seed = 2;
    heard want, got = {.n_tokens = 0};
    size_t bytes;
    conure_session *s = open_session(r, &o);
    heard_all(&want, s, clip.pcm, clip.n_samples, 0, &seed);
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    heard_feed(&got, s, clip.pcm, clip.n_samples / 2, 0, &seed);
    heard_steps(&got, s);
    void *data = saved(s, &bytes);
    conure_session_close(&s);
    s = open_session(r, &o);
    test_int(conure_session_load(s, data, bytes, NULL), CONURE_OK);
    heard_feed(&got, s, clip.pcm + clip.n_samples / 2, clip.n_samples - clip.n_samples / 2, 0, &seed);
    heard_finish(&got, s);
    test_true(heard_same(&want, &got));
    heard_free(&want);
    heard_free(&got);
    free(data);
    conure_session_close(&s);
}

/* What a step would be led astray by. */
typedef enum forgery { FAR_AHEAD, UNCOUNTED, OVER, ENDED, LAST, LONG_AGO, LATE, EARLY, SHORT, FORGERIES } forgery;

static void forge(conure_session *s, forgery kind)
{
    conure_schedule *h = &s->schedule;
    switch (kind) {
    case FAR_AHEAD: /* the length of the next slice overflows 32 bits to something harmless */
        s->finished = s->input.ended = true;
        do {
            h->position += h->rule.shift[1];
            h->n_steps++;
        } while (h->position < INT64_C(1) << 32);
        break;
    case UNCOUNTED:
        s->frames.counted = s->frames.first;
        break;
    case OVER:
        s->over = true;
        break;
    case ENDED:
        s->input.ended = true;
        break;
    case LAST:
        s->schedule.finished = true;
        break;
    case LONG_AGO:
        s->origin_s = -1e300;
        break;
    case LATE:
        s->tdt.offset += 100;
        break;
    case EARLY:
        s->utterance_first = UINT64_MAX;
        break;
    default:
        s->input.keep = 0;
    }
}

static void forged(conure_recognizer *r)
{
    const conure_session_options o = options_of("1-0.16-0.08", CONURE_STREAM_CACHED);
    conure_session *whole = open_session(r, &o);
    size_t whole_bytes;
    void *before = saved(whole, &whole_bytes);
    for (forgery kind = 0; kind < FORGERIES; kind++) {
        heard got = {.n_tokens = 0};
        uint64_t seed = 3;
        size_t bytes, after_bytes;
        conure_error err = {""};
        conure_session *s = open_session(r, &o);
        heard_feed(&got, s, clip.pcm, 20000, 0, &seed);
        heard_steps(&got, s);
        forge(s, kind);
        void *data = saved(s, &bytes);
        const conure_status status = conure_session_load(whole, data, bytes, &err);
        if (status != CONURE_BAD_FILE)
            fprintf(stderr, "forgery %d: %s\n", (int)kind, err.text);
        test_int(status, CONURE_BAD_FILE);
        void *after = saved(whole, &after_bytes);
        test_true(after_bytes == whole_bytes && memcmp(before, after, whole_bytes) == 0);
        free(after);
        free(data);
        heard_free(&got);
        conure_session_close(&s);
    }
    free(before);
    conure_session_close(&whole);
}

/* A clock that was set is not a gap. */
static void gap_too_long(conure_recognizer *r)
{
    conure_session *s = open_session(r, NULL);
    test_int(conure_session_gap(s, UINT64_MAX, NULL), CONURE_BAD_ARG);
    test_int(conure_session_step(s, NULL), CONURE_NEED_AUDIO);
    conure_session_close(&s);
}

int main(void)
{
    char path[4096];
    conure_error err = {""};
    test_begin("stream.inside");
    test_int(conure_model_open(&model, EMBEDDED_MODEL, NULL, &err), CONURE_OK);
    test_int(conure_audio_load(&clip, data_path(path, sizeof path, "audio/librispeech_59aceb6ca6.flac"), NULL, &err), CONURE_OK);
    conure_recognizer *r = model ? open_recognizer() : NULL;
    if (!r)
        return test_end();
    cancelled_features(r, CONURE_STREAM_CACHED);
    cancelled_features(r, CONURE_STREAM_BUFFERED);
    decoded_elsewhere(r);
    slices_alone(r);
    forged(r);
    gap_too_long(r);
    conure_recognizer_close(&r);
    conure_audio_clip_free(&clip);
    conure_model_close(&model);
    return test_end();
}

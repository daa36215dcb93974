/* hotwords.c - hotwords in whole utterances and sessions, of the embedded model: a name comes out that did not, nothing
 * changes without a list, and neither chunks nor snapshots matter, also where a phrase is on trial. */
#include "audio/audio.h"
#include "base/memory.h"
#include "collect.h"
#include "stream/recognizer.h"
#include "stream/session.h"

#define LIST "egyptian\nbondage\nbackground\nsojourn\nthe eagle\nat an end\ngrounded\n"

static conure_model *model;
static conure_audio_clip clip;

static conure_hotwords *list_of(const char *text, double score)
{
    conure_hotwords *list = NULL;
    conure_hotwords_options o;
    conure_error err = {""};
    conure_hotwords_options_init(&o);
    o.score = score;
    test_int(conure_hotwords_open(&list, model, text, strlen(text), &o, &err), CONURE_OK);
    if (!list)
        fprintf(stderr, "%s\n", err.text);
    return list;
}

static conure_recognizer *recognizer_of(const conure_hotwords *list)
{
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    conure_recognizer_options_init(&o);
    o.n_threads = 1;
    o.hotwords = list;
    test_int(conure_recognizer_open(&r, model, &o, NULL), CONURE_OK);
    return r;
}

static bool same_results(const conure_result *a, const conure_result *b)
{
    bool same = a->n_tokens == b->n_tokens && a->n_blanks == b->n_blanks && strcmp(a->text, b->text) == 0;
    for (uint32_t i = 0; i < a->n_tokens && same; i++)
        same = a->tokens[i].id == b->tokens[i].id && a->tokens[i].frame == b->tokens[i].frame &&
               a->tokens[i].duration == b->tokens[i].duration && a->tokens[i].confidence == b->tokens[i].confidence;
    return same;
}

/* ---- whole utterances ------------------------------------------------------------------------ */

static void whole(void)
{
    conure_hotwords *list = list_of(LIST, 8), *nothing = list_of(LIST, 0);
    conure_recognizer *r[3] = {recognizer_of(NULL), recognizer_of(nothing), recognizer_of(list)};
    conure_result *got[3], *pair[2];
    const float *pcm[2] = {clip.pcm, clip.pcm + 8000};
    const size_t n[2] = {clip.n_samples, clip.n_samples - 8000};
    conure_hotwords_close(&list); /* the recognizer has it */
    conure_hotwords_close(&nothing);
    test_true(!list);
    for (int i = 0; i < 3; i++)
        test_int(conure_transcribe(r[i], pcm, n, 1, &got[i], NULL), CONURE_OK);
    test_true(!strstr(got[0]->text, "egyptian") && !strstr(got[0]->text, "bondage"));
    test_contains(got[2]->text, "egyptian");
    test_contains(got[2]->text, "bondage");
    test_true(same_results(got[0], got[1]));
    /* What the list made come out has the probability that the model alone gives it. */
    float least = 1;
    for (uint32_t i = 0; i < got[2]->n_words; i++)
        if (strcmp(got[2]->words[i].text, "egyptian") == 0)
            least = got[2]->words[i].confidence;
    test_true(least > 0 && least < 0.5f);
    test_int(conure_transcribe(r[2], pcm, n, 2, pair, NULL), CONURE_OK);
    test_true(same_results(pair[0], got[2]));
    for (int i = 0; i < 3; i++) {
        conure_result_free(&got[i]);
        conure_recognizer_close(&r[i]);
    }
    conure_result_free(&pair[0]);
    conure_result_free(&pair[1]);
}

static void gives(const char *list_text, const char *text)
{
    conure_hotwords *list = list_text ? list_of(list_text, CONURE_HOTWORD_SCORE) : NULL;
    conure_recognizer *r = recognizer_of(list);
    const float *pcm = clip.pcm;
    conure_result *got;
    test_int(conure_transcribe(r, &pcm, &clip.n_samples, 1, &got, NULL), CONURE_OK);
    test_text(got->text, text);
    conure_result_free(&got);
    conure_recognizer_close(&r);
    conure_hotwords_close(&list);
}

/* What docs/hotwords.md shows; and a phrase is not bought with the score of a longer one that begins with it. */
static void texts(void)
{
    gives(NULL, "the eggption back the bound");
    gives("egyptian\nbondage\n", "the egyptian back of the bondage");
    gives("egyptian\t0\negyptianqq\t20\n", "the eggption back the bound");
    gives("egyptian\t0\negyptian\t20\negyptian\t0\n", "egyptian back of the boundage"); /* of the same phrase the highest */
}

/* ---- chunks of one stream --------------------------------------------------------------------- */

typedef struct frames {
    conure_recognizer *r;
    float *projected;
    uint32_t n;
} frames;

static void encode(frames *f)
{
    conure_recognizer *r = f->r;
    const conure_config *c = &model->config;
    const uint32_t valid = (uint32_t)conure_mel_frames(r->mel, clip.n_samples), n = conure_recognizer_mel_frames(r, valid);
    float *mel = calloc((size_t)n * c->mel_bins, sizeof *mel), *out = calloc((size_t)(n / 8 + 1) * c->d_model, sizeof *out);
    conure_encode_row row = {.mel = mel, .n_frames = n, .n_valid = valid, .out = out, .n_out_cap = n / 8 + 1};
    test_int(conure_mel_raw(r->mel, r->pool, clip.pcm, clip.n_samples, 0, valid, mel, NULL), CONURE_OK);
    conure_mel_normalize(mel, valid, c->mel_bins);
    test_int(r->engine->encode(r->self, &row, 1, NULL), CONURE_OK);
    f->n = row.n_out_valid;
    f->projected = calloc((size_t)f->n * c->joint_hidden, sizeof *f->projected);
    test_int(r->engine->project(r->self, out, f->n, f->projected, NULL), CONURE_OK);
    free(mel);
    free(out);
}

static void decode(const frames *f, conure_tdt *tdt, uint32_t from, uint32_t n, bool last)
{
    conure_tdt_room room = {0};
    conure_tdt_chunk chunk = {.tdt = tdt, .frames = f->projected + (size_t)from * model->config.joint_hidden, .n_frames = n, .last = last};
    test_int(conure_tdt_decode(f->r->engine, f->r->self, &model->config, &f->r->decoding, &room, &chunk, 1, NULL), CONURE_OK);
    test_int(chunk.status, CONURE_OK);
    conure_tdt_room_free(&room);
}

static void one_forged(conure_trial *trial, uint64_t offset)
{
    conure_buffer saved = {0};
    conure_trial_save(trial, &saved);
    conure_reader in = {.data = (const uint8_t *)saved.data, .bytes = saved.bytes};
    test_true(!conure_trial_load(trial, &in, offset, model->config.max_symbols));
    conure_buffer_free(&saved);
}

/* Values that no save has written, one at a time; the trial is as it was in the end. */
static void forged(conure_trial *trial, uint64_t offset)
{
    static const float spent[] = {-1, CONURE_HOTWORD_SCORE_MAX + 1, INFINITY, NAN};
    conure_trial was = *trial;
    for (int i = 0; i < 4; i++) {
        trial->spent = spent[i];
        one_forged(trial, offset);
        *trial = was;
    }
    trial->from_symbols = model->config.max_symbols;
    one_forged(trial, offset);
    *trial = was;
    trial->covered += trial->covered > 1 ? -1u : 1u; /* 0 is no trial, and possible */
    one_forged(trial, offset);
    *trial = was;
    if (trial->n_tokens > 1 && trial->tokens[1].frame > trial->tokens[0].frame) {
        trial->tokens[0].frame = trial->tokens[1].frame;
        trial->tokens[0].duration = 1;
        one_forged(trial, offset);
        *trial = was;
    }
}

/* Over a save and a load of what is on trial; forged positions are refused. */
static void through_snapshot(conure_trial *trial, uint64_t offset)
{
    const uint32_t symbols = model->config.max_symbols;
    conure_buffer saved = {0};
    if (trial->covered)
        forged(trial, offset);
    conure_trial_save(trial, &saved);
    for (size_t cut = 0; cut < saved.bytes; cut += 1 + saved.bytes / 7) {
        conure_reader part = {.data = (const uint8_t *)saved.data, .bytes = cut};
        test_true(!conure_trial_load(trial, &part, offset, symbols));
    }
    conure_reader far = {.data = (const uint8_t *)saved.data, .bytes = saved.bytes};
    test_true(!trial->covered || !conure_trial_load(trial, &far, offset + 2 * CONURE_TRIAL_FRAMES_MAX, symbols));
    conure_reader in = {.data = (const uint8_t *)saved.data, .bytes = saved.bytes};
    test_true(conure_trial_load(trial, &in, offset, symbols));
    test_int(in.at, saved.bytes);
    conure_buffer_free(&saved);
}

static void chunks(double score, uint64_t *seed, int *n_open)
{
    conure_hotwords *list = list_of(LIST, score);
    frames f = {.r = recognizer_of(NULL)};
    conure_tdt all, cut;
    encode(&f);
    conure_tdt_open(&all, &model->config, list, NULL);
    conure_tdt_open(&cut, &model->config, list, NULL);
    decode(&f, &all, 0, f.n, true);
    for (int k = 0; k < 60; k++) {
        const uint32_t most = 1 + (uint32_t)(test_random(seed) % 20);
        conure_tdt_reset(&cut, &model->config);
        for (uint32_t at = 0, n; at < f.n; at += n) {
            n = 1 + (uint32_t)(test_random(seed) % most);
            n = n < f.n - at ? n : f.n - at;
            decode(&f, &cut, at, n, at + n == f.n && k % 2);
            *n_open += conure_tdt_pending(&cut) > 0;
            through_snapshot(cut.trial, cut.offset);
        }
        if (k % 2 == 0)
            decode(&f, &cut, f.n, 0, true); /* the end comes without frames */
        bool same = cut.n_tokens == all.n_tokens && cut.n_blanks == all.n_blanks && !conure_tdt_pending(&cut);
        for (uint32_t i = 0; i < all.n_tokens && same; i++)
            same = memcmp(&cut.tokens[i], &all.tokens[i], sizeof *cut.tokens) == 0;
        test_true(same);
    }
    free(f.projected);
    conure_tdt_close(&all);
    conure_tdt_close(&cut);
    conure_recognizer_close(&f.r);
    conure_hotwords_close(&list);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static conure_session *session_of(conure_recognizer *r, const conure_hotwords *list, conure_stream_mode mode, bool endpoint)
{
    conure_session *s = NULL;
    conure_session_options o;
    conure_error err = {""};
    conure_session_options_init(&o);
    o.mode = mode;
    o.left_s = 2;
    o.chunk_s = 0.32;
    o.right_s = 0.24;
    o.endpoint = o.endpoint_reset = endpoint;
    o.rule2_min_trailing_silence_s = 0.3;
    o.hotwords = list;
    if (conure_session_open(&s, r, &o, &err) != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_true(s);
    return s;
}

/* What loading a session's snapshot into another says. */
static conure_status carry_over(conure_session *from, conure_session *to, conure_error *err)
{
    size_t bytes = 0;
    test_int(conure_session_save(from, NULL, 0, &bytes, NULL), CONURE_OK);
    void *data = malloc(bytes);
    test_int(conure_session_save(from, data, bytes, &bytes, NULL), CONURE_OK);
    const conure_status status = conure_session_load(to, data, bytes, err);
    free(data);
    return status;
}

/* Saved after every step, and gone on with in another session, whose list was read anew. */
static void by_snapshots(heard *h, conure_session *a, conure_session *b)
{
    size_t used = 0;
    conure_status status = CONURE_OK;
    memset(h, 0, sizeof *h);
    for (size_t done = 0; status >= 0 && status != CONURE_END; done += used) {
        used = clip.n_samples - done < 5120 ? clip.n_samples - done : 5120;
        if (used)
            test_int(conure_session_feed(a, clip.pcm + done, used, &used, NULL), CONURE_OK);
        else
            test_int(conure_session_finish(a, NULL), CONURE_OK);
        while ((status = conure_session_step(a, NULL)) == CONURE_OK) {
            heard_poll(h, a);
            if (h->over)
                break;
            test_int(carry_over(a, b, NULL), CONURE_OK);
            conure_session *const swap = a;
            a = b;
            b = swap;
        }
        if (h->over)
            break;
    }
    test_true(h->over);
}

static void sessions(conure_stream_mode mode, bool endpoint, uint64_t *seed)
{
    conure_hotwords *list = list_of(LIST, 12), *again = list_of("# the same\n" LIST, 12);
    conure_recognizer *r = recognizer_of(NULL);
    conure_session *s = session_of(r, list, mode, endpoint), *other = session_of(r, again, mode, endpoint);
    heard first, h;
    heard_all(&first, s, clip.pcm, clip.n_samples, 0, seed);
    test_true(first.n_tokens > 10);
    for (int k = 0; k < 3; k++) {
        test_int(conure_session_reset(s, true, NULL), CONURE_OK);
        heard_all(&h, s, clip.pcm, clip.n_samples, k ? 4000 : 700, seed);
        test_true(heard_same(&first, &h));
        heard_free(&h);
    }
    test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    by_snapshots(&h, s, other);
    test_true(heard_same(&first, &h));
    heard_free(&h);
    heard_free(&first);
    conure_hotwords_close(&list);
    conure_hotwords_close(&again);
    conure_session_close(&s);
    conure_session_close(&other);
    conure_recognizer_close(&r);
}

/* The input ends where a phrase has begun: what the model alone says is not lost. */
static void cut_off(conure_stream_mode mode, int *n_open)
{
    conure_hotwords *list = list_of("egyptianqzqzqz\n", 30);
    conure_recognizer *r = recognizer_of(NULL);
    for (uint32_t k = 1; 5120 * k <= clip.n_samples; k++) {
        heard h[2];
        for (int i = 0; i < 2; i++) {
            conure_session *s = session_of(r, i ? list : NULL, mode, false);
            uint64_t seed = k;
            memset(&h[i], 0, sizeof h[i]);
            heard_feed(&h[i], s, clip.pcm, 5120 * k, 0, &seed);
            test_int(heard_steps(&h[i], s), CONURE_NEED_AUDIO);
            *n_open += conure_tdt_pending(&s->tdt) > 0;
            heard_finish(&h[i], s);
            conure_session_close(&s);
        }
        test_true(heard_same(&h[0], &h[1]));
        heard_free(&h[0]);
        heard_free(&h[1]);
    }
    conure_recognizer_close(&r);
    conure_hotwords_close(&list);
}

static void refused(conure_session *from, conure_session *to, const char *why)
{
    conure_error err = {""};
    test_int(carry_over(from, to, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, why);
}

static void refusals(void)
{
    conure_hotwords *list = list_of(LIST, 8), *other = list_of(LIST, 9);
    conure_recognizer *r = recognizer_of(NULL), *none = NULL;
    conure_session *with = session_of(r, list, CONURE_STREAM_BUFFERED, false), *without = session_of(r, NULL, CONURE_STREAM_BUFFERED, false);
    conure_session *scored = session_of(r, other, CONURE_STREAM_BUFFERED, false);
    refused(with, without, "with the same list and score");
    refused(without, with, "with no hotwords, this one has hotwords");
    refused(with, scored, "with the same list and score");
    conure_model *tiny = NULL;
    conure_recognizer_options o;
    conure_error err = {""};
    test_int(conure_model_open(&tiny, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    conure_recognizer_options_init(&o);
    o.hotwords = list;
    test_int(conure_recognizer_open(&none, tiny, &o, &err), CONURE_BAD_ARG);
    test_contains(err.text, "opened with another model");
    conure_model_close(&tiny);
    conure_hotwords_close(&list);
    conure_hotwords_close(&other);
    conure_session_close(&with);
    conure_session_close(&without);
    conure_session_close(&scored);
    conure_recognizer_close(&r);
    conure_hotwords_options bad = {.struct_bytes = 3};
    test_int(conure_hotwords_open(&list, model, "a", 1, &bad, &err), CONURE_BAD_ARG);
    test_int(conure_hotwords_open(&list, NULL, "a", 1, NULL, &err), CONURE_BAD_ARG);
    test_int(conure_hotwords_open(&list, model, "egyptian\nE", 10, NULL, &err), CONURE_BAD_FILE);
    test_contains(err.text, "line 2: 'E'");
    conure_hotwords_close(&list);
    conure_hotwords_close(NULL);
}

int main(void)
{
    uint64_t seed = 20261129;
    int n_open = 0;
    conure_error err = {""};
    test_begin("stream.hotwords");
    if (conure_model_open(&model, EMBEDDED_MODEL, NULL, &err) != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_true(model);
    test_int(conure_audio_load(&clip, TEST_DATA "/audio/librispeech_7c95f9febc.flac", NULL, &err), CONURE_OK);
    if (model) {
        whole();
        texts();
        for (int score = 4; score <= 32; score *= 2)
            chunks(score, &seed, &n_open);
        test_true(n_open > 100); /* chunks that ended with a phrase on trial */
        sessions(CONURE_STREAM_BUFFERED, false, &seed);
        sessions(CONURE_STREAM_BUFFERED, true, &seed);
        sessions(CONURE_STREAM_CACHED, true, &seed);
        n_open = 0;
        cut_off(CONURE_STREAM_BUFFERED, &n_open);
        cut_off(CONURE_STREAM_CACHED, &n_open);
        test_true(n_open > 3);
        refusals();
    }
    conure_audio_clip_free(&clip);
    conure_model_close(&model);
    return test_end();
}

/* cached.c - a cache-aware session against a loop by hand: slices as the contract's rules cut them, each normalised by itself,
 * through the engine's steps, whose frames and caches tests/engine compares with NeMo's.  Tokens, frames and durations are
 * the same, whatever the pieces the session is fed with. */
#include "collect.h"

#include "audio/audio.h"
#include "contract/contract.h"
#include "stream/recognizer.h"

static conure_recognizer *r;
static conure_audio_clip clip;

typedef struct setup {
    uint32_t left, chunk, right; /* encoder frames */
    conure_time_cache time_cache;
    bool exact;                  /* mask */
} setup;

static const setup setups[] = {
    {60, 3, 3, CONURE_TIME_CACHE_NEMO, false},  {60, 3, 3, CONURE_TIME_CACHE_ALIGNED, true},
    {64, 1, 5, CONURE_TIME_CACHE_NEMO, false},  {25, 6, 0, CONURE_TIME_CACHE_ALIGNED, false},
    {4, 2, 7, CONURE_TIME_CACHE_NEMO, true},    {125, 25, 13, CONURE_TIME_CACHE_NEMO, false},
};

static double seconds(uint32_t frames)
{
    return frames * 0.08 + 0.001;
}

/* Frames wanted of a slice, decoded. */
static void decode(conure_tdt *tdt, const float *encoded, uint32_t n)
{
    const conure_config *c = &r->model->config;
    conure_tdt_room room = {0};
    float *projected = malloc((n + 1) * (size_t)c->joint_hidden * sizeof *projected);
    conure_tdt_chunk chunk = {.tdt = tdt, .frames = projected, .n_frames = n};
    test_int(r->engine->project(r->self, encoded, n, projected, NULL), CONURE_OK);
    test_int(conure_tdt_decode(r->engine, r->self, c, &r->decoding, &room, &chunk, 1, NULL), CONURE_OK);
    conure_tdt_room_free(&room);
    free(projected);
}

static void by_hand(const setup *how, conure_tdt *tdt)
{
    const conure_config *c = &r->model->config;
    const conure_streaming_options options = {.chunk = how->chunk + how->right, .shift = how->chunk, .cache_rows = how->left};
    const conure_cache_options caches = {.cache_rows = how->left, .drop_rows = how->right,
                                         .time_cache_aligned = how->time_cache == CONURE_TIME_CACHE_ALIGNED};
    conure_streaming plan;
    conure_state *state = NULL;
    const uint32_t bins = c->mel_bins, n_mel = (uint32_t)conure_mel_frames(r->mel, clip.n_samples);
    float *raw = malloc((size_t)n_mel * bins * sizeof *raw);
    test_int(conure_streaming_derive(&plan, c, &options, NULL), CONURE_OK);
    test_int(conure_mel_raw(r->mel, NULL, clip.pcm, clip.n_samples, 0, n_mel, raw, NULL), CONURE_OK);
    test_int(r->engine->state_open(r->self, &state, &caches, NULL), CONURE_OK);
    int64_t at = 0;
    for (int k = 0, last = 0; !last; k++) {
        const int later = k > 0;
        const int64_t first = at - plan.front_frames[later], until = at + plan.chunk_frames[later];
        last = until >= n_mel;
        const int64_t end = last ? n_mel : until, begin = first > 0 ? first : 0;
        const uint32_t n = (uint32_t)(end - first);
        float *mel = calloc((size_t)n * bins, sizeof *mel), *out = calloc((n / 8 + 1) * (size_t)c->d_model, sizeof *out);
        memcpy(mel + (begin - first) * bins, raw + begin * bins, (size_t)(end - begin) * bins * sizeof *mel);
        conure_mel_normalize(mel + (begin - first) * bins, (uint64_t)(end - begin), bins);
        conure_encode_row row = {.mel = mel, .n_frames = n, .n_valid = n, .drop_first = plan.drop_extra[later], .state = state, .out = out,
                                 .n_out_cap = n / 8 + 1};
        test_int(r->engine->encode(r->self, &row, 1, NULL), CONURE_OK);
        decode(tdt, out, last || row.n_out_valid < plan.valid_out ? row.n_out_valid : plan.valid_out);
        free(out);
        free(mel);
        at += plan.shift_frames[later];
    }
    r->engine->state_close(r->self, &state);
    free(raw);
}

static void one(const conure_model *model, const setup *how, uint64_t *seed)
{
    conure_recognizer_options recognizer;
    conure_session_options o;
    conure_session *s = NULL;
    conure_tdt tdt = {0};
    conure_recognizer_options_init(&recognizer);
    recognizer.mask = how->exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    test_int(conure_recognizer_open(&r, model, &recognizer, NULL), CONURE_OK);
    test_int(conure_tdt_open(&tdt, &model->config, NULL, NULL), CONURE_OK);
    by_hand(how, &tdt);
    conure_session_options_init(&o);
    o.mode = CONURE_STREAM_CACHED;
    o.left_s = seconds(how->left);
    o.chunk_s = seconds(how->chunk);
    o.right_s = seconds(how->right);
    o.time_cache = how->time_cache;
    o.normalize = CONURE_NORMALIZE_SLICE;
    test_int(conure_session_open(&s, r, &o, NULL), CONURE_OK);
    test_true(tdt.n_tokens > 0);
    for (int k = 0; k < 3; k++) {
        heard got;
        heard_all(&got, s, clip.pcm, clip.n_samples, k ? (size_t)(k == 1 ? 3000 : 200) : 0, seed);
        test_int(got.n_tokens, tdt.n_tokens);
        for (uint32_t i = 0; i < got.n_tokens && i < tdt.n_tokens; i++) {
            test_int(got.tokens[i].id, tdt.tokens[i].id);
            test_int(got.tokens[i].frame, tdt.tokens[i].frame);
            test_int(got.tokens[i].duration, tdt.tokens[i].duration);
        }
        heard_free(&got);
        test_int(conure_session_reset(s, true, NULL), CONURE_OK);
    }
    conure_session_close(&s);
    conure_tdt_close(&tdt);
    conure_recognizer_close(&r);
}

int main(void)
{
    static const char *const models[] = {TEST_DATA "/models/tiny-v3.nemo", TEST_DATA "/models/tiny-alt.nemo"};
    uint64_t seed = 17;
    test_begin("stream.cached");
    test_int(conure_audio_load(&clip, TEST_DATA "/audio/cards_003.flac", NULL, NULL), CONURE_OK);
    for (size_t m = 0; m < 2; m++) {
        conure_model *model = NULL;
        test_int(conure_model_open(&model, models[m], NULL, NULL), CONURE_OK);
        for (size_t i = 0; i < sizeof setups / sizeof *setups; i++)
            one(model, &setups[i], &seed);
        conure_model_close(&model);
    }
    conure_audio_clip_free(&clip);
    return test_end();
}

/* range.c - the largest attention score and the largest activation of a model on real speech, in float64: what float16 and int8 have to hold.
 *
 *     test_engine.range                       the model that ships, on clips of tests/data/audio: below 100, and below 10,000
 *     test_engine.range MODEL|- FILE...       of any model (-: the one that ships) on any audio: figures, and the same limits */
#include "../golden.h"
#include "../test.h"
#include "audio/audio.h"
#include "clearance/stages.h"
#include "decode/tdt.h"
#include "engine/engine.h"
#include "engine/reference/range.h"

#include <stdlib.h>

static const double score_max = 100, activation_max = 1e4;
static const char *const clips[] = {"goforward", "cards_003", "librispeech_7c95f9febc"};

typedef struct listener {
    conure_model *model;
    conure_mel *mel;
    void *self;
    double seconds;
    conure_error err;
} listener;

static conure_status decode(listener *l, const float *encoder, uint32_t n)
{
    const conure_config *c = &l->model->config;
    const conure_tdt_options options = {c->max_symbols, NULL};
    conure_tdt_room room = {0};
    conure_tdt tdt = {0};
    float *projected = malloc((size_t)(n + 1) * c->joint_hidden * sizeof *projected);
    conure_status status = projected ? conure_tdt_open(&tdt, c, NULL, &l->err) : CONURE_NO_MEMORY;
    if (status == CONURE_OK)
        status = conure_engine_reference.project(l->self, encoder, n, projected, &l->err);
    conure_tdt_chunk chunk = {.tdt = &tdt, .frames = projected, .n_frames = n};
    if (status == CONURE_OK)
        status = conure_tdt_decode(&conure_engine_reference, l->self, c, &options, &room, &chunk, 1, &l->err);
    conure_tdt_close(&tdt);
    conure_tdt_room_free(&room);
    free(projected);
    return status;
}

static conure_status hear(listener *l, const char *path)
{
    const uint32_t bins = l->model->config.mel_bins;
    conure_audio_clip clip = {0};
    conure_status status = conure_audio_load(&clip, path, NULL, &l->err);
    const uint64_t n = status == CONURE_OK ? conure_mel_frames(l->mel, clip.n_samples) : 0;
    conure_encode_row row = {.n_frames = (uint32_t)n, .n_valid = (uint32_t)n, .n_out_cap = (uint32_t)n / 8 + 2};
    float *mel = calloc(n + 1, bins * sizeof *mel);
    row.mel = mel;
    row.out = calloc(row.n_out_cap, l->model->config.d_model * sizeof *row.out);
    if (status == CONURE_OK)
        status = mel && row.out ? conure_mel_raw(l->mel, NULL, clip.pcm, clip.n_samples, 0, n, mel, &l->err) : CONURE_NO_MEMORY;
    if (status == CONURE_OK) {
        conure_mel_normalize(mel, n, bins);
        status = conure_engine_reference.encode(l->self, &row, 1, &l->err);
    }
    if (status == CONURE_OK)
        status = decode(l, row.out, row.n_out_valid);
    l->seconds += (double)clip.n_samples / l->model->config.sample_rate_hz;
    free(mel);
    free(row.out);
    conure_audio_clip_free(&clip);
    return status;
}

int main(int argc, char **argv)
{
    const conure_engine_options options = {.precision = CONURE_PRECISION_F64, .mask = CONURE_MASK_NEMO, .n_threads = 2};
    const bool own = argc > 2;
    const int n = own ? argc - 2 : (int)(sizeof clips / sizeof *clips);
    listener l = {0};
    conure_ref_range range = {0};
    char path[4096], rest[128];
    test_begin("engine.range");
    test_int(conure_model_open(&l.model, own && strcmp(argv[1], "-") != 0 ? argv[1] : EMBEDDED_MODEL, NULL, &l.err), CONURE_OK);
    test_int(l.model ? conure_clearing_mel(&l.mel, l.model, &l.err) : CONURE_BAD_ARG, CONURE_OK);
    test_int(l.mel ? conure_engine_reference.open(&l.self, l.model, &options, &l.err) : CONURE_BAD_ARG, CONURE_OK);
    for (int i = 0; l.self && i < n; i++) {
        conure_ref_set_range(l.self, &range);
        if (!own)
            snprintf(rest, sizeof rest, "audio/%s.flac", clips[i]);
        test_int(hear(&l, own ? argv[2 + i] : data_path(path, sizeof path, rest)), CONURE_OK);
    }
    fprintf(stderr, "%d files, %.0f s: largest score %.2f (%s), largest activation %.1f (%s)%s%s\n", n, l.seconds, range.score, range.score_at,
            range.activation, range.activation_at, l.err.text[0] ? "; " : "", l.err.text);
    test_true(range.score > 1 && range.score < score_max);
    test_true(range.activation > 1 && range.activation < activation_max);
    if (l.self)
        conure_engine_reference.close(&l.self);
    conure_mel_close(&l.mel);
    conure_model_close(&l.model);
    return test_end();
}

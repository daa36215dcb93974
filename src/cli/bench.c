/* bench.c - the measurements of `conure bench`; see bench.h.
 *
 * The clip is repeated to the length asked for.  Every size is run once before it is measured: position
 * tables and buffers are made then. */
#include "base/system.h"
#include "cli/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "base/cpu.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "engine/engine.h"
#include "model/model.h"

typedef struct bench_state {
    conure_bench *bench;
    conure_model *model;
    conure_recognizer *recognizer;
    float *clip; /* what is repeated */
    uint64_t clip_samples;
    float *pcm; /* of the row being measured */
    double *times, *features, *encoder, *decoder; /* [runs] */
    uint32_t rate_hz;
} bench_state;

static conure_status take_clip(bench_state *st, const float *pcm, uint64_t n, conure_error *err)
{
    if (n == 0)
        return conure_fail(err, CONURE_BAD_AUDIO, "the clip is empty");
    st->clip = conure_calloc(n, sizeof *st->clip);
    if (!st->clip)
        return conure_fail_memory(err, "the clip", n * sizeof *st->clip);
    memcpy(st->clip, pcm, n * sizeof *st->clip);
    st->clip_samples = n;
    return CONURE_OK;
}

static conure_status load_embedded(bench_state *st, const conure_audio_options *options,
                                   conure_error *err)
{
    const void *data;
    size_t bytes, n = 0, used = 0, cap = 60 * (size_t)options->rate_hz;
    conure_audio *audio = NULL;
    float *pcm = conure_calloc(cap, sizeof *pcm);
    conure_status status = CONURE_NO_MEMORY;
    if (!pcm)
        return conure_fail_memory(err, "the clip", cap * sizeof *pcm);
    conure_embedded_clip(&data, &bytes);
    status = conure_audio_open_memory(&audio, data, bytes, "the embedded clip", options, err);
    while (status == CONURE_OK && used < cap) {
        status = conure_audio_read(audio, pcm + used, cap - used, &n, err);
        if (status != CONURE_OK || n == 0)
            break;
        used += n;
    }
    if (status == CONURE_OK)
        status = take_clip(st, pcm, used, err);
    conure_audio_close(&audio);
    free(pcm);
    return status;
}

static conure_status load_clip(bench_state *st, conure_error *err)
{
    conure_audio_options options;
    conure_audio_clip clip;
    conure_status status;
    conure_audio_options_init(&options);
    options.rate_hz = st->rate_hz;
    options.cancel = st->bench->cancel;
    if (!st->bench->audio)
        return load_embedded(st, &options, err);
    memset(&clip, 0, sizeof clip);
    status = conure_audio_load(&clip, st->bench->audio, &options, err);
    if (status == CONURE_OK)
        status = take_clip(st, clip.pcm, clip.n_samples, err);
    conure_audio_clip_free(&clip);
    return status;
}

static conure_status make_pcm(bench_state *st, uint64_t n, conure_error *err)
{
    free(st->pcm);
    st->pcm = conure_calloc(n ? n : 1, sizeof *st->pcm);
    if (!st->pcm)
        return conure_fail_memory(err, "samples", n * sizeof *st->pcm);
    for (uint64_t i = 0; i < n; i++)
        st->pcm[i] = st->clip[i % st->clip_samples];
    return CONURE_OK;
}

/* One pass over n samples; i is the slot of its times, negative: not kept. */
static conure_status once(bench_state *st, size_t n, int i, uint32_t *n_tokens, uint32_t *n_words,
                          conure_error *err)
{
    const float *pcm = st->pcm;
    conure_result *result = NULL;
    const double start_s = conure_now_s();
    const conure_status status = conure_transcribe(st->recognizer, &pcm, &n, 1, &result, err);
    const double end_s = conure_now_s();
    if (status != CONURE_OK)
        return status;
    if (i >= 0) {
        st->times[i] = end_s - start_s;
        st->features[i] = result->features_s;
        st->encoder[i] = result->encoder_s;
        st->decoder[i] = result->decoder_s;
    }
    *n_tokens = result->n_tokens;
    *n_words = result->n_words;
    conure_result_free(&result);
    return CONURE_OK;
}

static conure_status measure(bench_state *st, uint64_t n, const char *what, uint32_t *n_tokens,
                             uint32_t *n_words, conure_error *err)
{
    conure_status status = make_pcm(st, n, err);
    for (int i = -1; status == CONURE_OK && i < (int)st->bench->runs; i++) {
        conure_progress_more("%s, run %d of %u", what, i + 1, st->bench->runs);
        status = once(st, (size_t)n, i, n_tokens, n_words, err);
    }
    return status;
}

static double median(double *values, uint32_t n)
{
    conure_stats stats;
    conure_stats_of(values, n, &stats);
    return stats.p50;
}

static conure_status measure_text(bench_state *st, uint32_t row, conure_error *err)
{
    conure_bench *b = st->bench;
    conure_bench_text *t = &b->text[row];
    char what[64];
    conure_status status;
    t->audio_s = b->seconds[row];
    snprintf(what, sizeof what, "%g s of audio", t->audio_s);
    status = measure(st, (uint64_t)(t->audio_s * st->rate_hz), what, &t->n_tokens, &t->n_words, err);
    if (status != CONURE_OK)
        return status;
    conure_stats_of(st->times, b->runs, &t->s);
    t->features_s = median(st->features, b->runs);
    t->encoder_s = median(st->encoder, b->runs);
    t->decoder_s = median(st->decoder, b->runs);
    return CONURE_OK;
}

static conure_status measure_encoder(bench_state *st, uint32_t row, conure_error *err)
{
    conure_bench *b = st->bench;
    conure_bench_encoder *e = &b->encoder[row];
    uint32_t tokens, words;
    char what[64];
    conure_status status;
    e->mel_frames = b->frames[row];
    snprintf(what, sizeof what, "%u mel frames", e->mel_frames);
    status = measure(st, (uint64_t)e->mel_frames * st->model->config.hop_samples, what, &tokens, &words,
                     err);
    if (status != CONURE_OK)
        return status;
    conure_stats_of(st->encoder, b->runs, &e->s);
    conure_flops_encoder(&st->model->config, e->mel_frames, &e->flops);
    if (st->model->graphs) /* nothing says what is inside */
        e->flops = (conure_flops){.encoder_frames = e->flops.encoder_frames};
    return CONURE_OK;
}

/* What the recognizer will use, to measure the machine with the same. */
static conure_status resolve(bench_state *st, conure_error *err)
{
    conure_bench *b = st->bench;
    conure_engine_spec spec = {.precision = CONURE_PRECISION_DEFAULT};
    const char *isa = b->recognizer.isa;
    conure_status status = CONURE_OK;
    if (b->recognizer.engine)
        status = conure_engine_spec_parse(&spec, b->recognizer.engine, err);
    if (status != CONURE_OK)
        return status;
    b->precision = spec.precision ? spec.precision : b->recognizer.precision;
    const conure_engine *engine;
    status = conure_engine_find(&engine, b->recognizer.engine ? spec.engine : conure_engine_default(st->model), err);
    if (status != CONURE_OK)
        return status;
    b->precision = conure_engine_precision(engine, st->model, b->precision);
    b->n_threads = conure_threads_or_all(spec.n_threads ? spec.n_threads : b->recognizer.n_threads);
    if (spec.isa[0])
        isa = spec.isa;
    return conure_cpu_features(&b->features, isa, err);
}

static conure_status open_all(bench_state *st, conure_error *err)
{
    conure_bench *b = st->bench;
    const double start_s = conure_now_s();
    conure_status status = conure_models_open(&st->model, b->model, NULL, err);
    if (status == CONURE_OK)
        status = conure_recognizer_open(&st->recognizer, st->model, &b->recognizer, err);
    b->load_s = conure_now_s() - start_s;
    if (status == CONURE_OK)
        st->rate_hz = st->model->config.sample_rate_hz;
    return status;
}

/* Facts for the report.  After the first text: the hash may cost reading the whole file. */
static conure_status describe(bench_state *st, conure_error *err)
{
    conure_bench *b = st->bench;
    conure_model_info info = {.struct_bytes = sizeof info};
    const conure_status status = conure_model_get_info(st->model, &info);
    if (status != CONURE_OK)
        return conure_fail(err, status, "%s", conure_status_text(status));
    snprintf(b->describe, sizeof b->describe, "%s", conure_recognizer_describe(st->recognizer));
    snprintf(b->model_name, sizeof b->model_name, "%s", info.name);
    snprintf(b->model_sha256, sizeof b->model_sha256, "%s", info.sha256);
    snprintf(b->weights, sizeof b->weights, "%s", info.weights);
    b->n_parameters = info.n_parameters;
    b->weight_bytes = info.weight_bytes;
    return resolve(st, err);
}

/* The very first text, cold: what somebody waits for who starts the command for one short file. */
static conure_status measure_first(bench_state *st, conure_error *err)
{
    conure_bench *b = st->bench;
    uint32_t tokens, words;
    conure_status status;
    b->first_audio_s = b->n_seconds ? b->seconds[0] : 10;
    status = make_pcm(st, (uint64_t)(b->first_audio_s * st->rate_hz), err);
    if (status == CONURE_OK)
        status = once(st, (size_t)(b->first_audio_s * st->rate_hz), -1, &tokens, &words, err);
    b->first_result_s = conure_process_age_s();
    return status;
}

static conure_status measure_stream(bench_state *st, conure_error *err)
{
    st->bench->stream->clip = st->clip;
    st->bench->stream->clip_samples = st->clip_samples;
    return conure_bench_stream_run(st->bench->stream, st->model, st->recognizer, err);
}

conure_status conure_bench_run(conure_bench *b, conure_error *err)
{
    bench_state st = {.bench = b};
    b->first_result_s = -1;
    conure_status status = open_all(&st, err);
    double *times = conure_calloc((size_t)b->runs * 4, sizeof *times);
    if (status == CONURE_OK && !times)
        status = conure_fail_memory(err, "times", (size_t)b->runs * 4 * sizeof *times);
    st.times = times;
    if (status == CONURE_OK) {
        st.features = times + b->runs;
        st.encoder = times + 2 * (size_t)b->runs;
        st.decoder = times + 3 * (size_t)b->runs;
        status = load_clip(&st, err);
    }
    if (status == CONURE_OK && !b->stream)
        status = measure_first(&st, err);
    if (status == CONURE_OK)
        status = describe(&st, err);
    if (status == CONURE_OK && b->stream)
        status = measure_stream(&st, err);
    for (uint32_t i = 0; status == CONURE_OK && i < b->n_frames; i++)
        status = measure_encoder(&st, i, err);
    for (uint32_t i = 0; status == CONURE_OK && i < b->n_seconds; i++)
        status = measure_text(&st, i, err);
    b->rss_peak_bytes = conure_rss_peak_bytes();
    if (status == CONURE_OK)
        b->peak_known = conure_peak_measure(&b->peak, b->features, b->precision, b->n_threads, NULL) ==
                        CONURE_OK;
    conure_progress_clear();
    free(times);
    free(st.pcm);
    free(st.clip);
    conure_recognizer_close(&st.recognizer);
    conure_model_close(&st.model);
    return status;
}

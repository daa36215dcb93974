/* recognizer.c - whole utterances to transcripts: features, encoder, decoder, words. */
#include "stream/recognizer.h"

#include "base/system.h"
#include "stream/result.h"
#include "stream/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Loud is fine; but the transform of samples near the end of float's range would overflow. */
static const float SAMPLE_MAX = 1e30f;

void conure_recognizer_options_init(conure_recognizer_options *options)
{
    if (options)
        *options = (conure_recognizer_options){.struct_bytes = sizeof *options};
}

/* The checkpoint's own window or filterbank, or NULL in *out when it has none. */
static conure_status read_table(const conure_model *model, const char *name, uint64_t n, float **out,
                                conure_error *err)
{
    const conure_tensor *tensor = conure_model_tensor(model, name);
    *out = NULL;
    if (!tensor)
        return CONURE_OK;
    *out = conure_calloc(n, sizeof **out);
    if (!*out)
        return conure_fail_memory(err, name, n * sizeof **out);
    return conure_tensor_read_f32(tensor, *out, n, err);
}

static conure_status open_mel(conure_recognizer *r, conure_error *err)
{
    const conure_config *c = &r->model->config;
    float *window = NULL, *filters = NULL;
    conure_status status = read_table(r->model, "preprocessor.featurizer.window", c->window_samples, &window, err);
    if (status == CONURE_OK)
        status = read_table(r->model, "preprocessor.featurizer.fb", (uint64_t)c->mel_bins * (c->n_fft / 2 + 1), &filters, err);
    if (status == CONURE_OK)
        status = conure_mel_open(&r->mel, c, window, filters, err);
    free(window);
    free(filters);
    return status;
}

/* Options, the engine spec's own settings first, to what the engine takes. */
static conure_status choose(conure_recognizer *r, const conure_recognizer_options *o, conure_engine_spec *spec,
                            conure_engine_options *engine, conure_error *err)
{
    const conure_status status = conure_engine_spec_parse(spec, o->engine ? o->engine : conure_engine_default(r->model), err);
    if (status != CONURE_OK)
        return status;
    if (o->n_threads > CONURE_THREADS_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "%u threads: at most %u are supported", o->n_threads, CONURE_THREADS_MAX);
    if (o->precision && !conure_precision_name(o->precision))
        return conure_fail(err, CONURE_BAD_ARG, "precision %d: expected f32, bf16, int8, f64, tf32 or f16", (int)o->precision);
    *engine = conure_engine_spec_options(spec, o->n_threads);
    engine->mask = o->mask ? o->mask : r->model->config.mask;
    if (engine->mask != CONURE_MASK_NEMO && engine->mask != CONURE_MASK_EXACT)
        return conure_fail(err, CONURE_BAD_ARG, "mask %d: expected nemo or exact", (int)engine->mask);
    if (!engine->isa)
        engine->isa = o->isa;
    if (engine->isa && strcmp(engine->isa, "native") == 0)
        engine->isa = NULL; /* all there are, which is no wish */
    if (!engine->device)
        engine->device = o->device;
    engine->cancel = o->cancel;
    engine->progress = o->progress;
    engine->progress_user = o->progress_user;
    engine->log = (conure_log){o->log, o->log_user};
    const conure_status found = conure_engine_find(&r->engine, spec->engine, err);
    if (found == CONURE_OK)
        engine->precision = conure_engine_precision(r->engine, r->model, spec->precision ? spec->precision : o->precision);
    return found;
}

conure_status conure_recognizer_open(conure_recognizer **out, const conure_model *model,
                                     const conure_recognizer_options *given, conure_error *err)
{
    conure_recognizer_options o;
    conure_engine_options engine = {0};
    conure_engine_spec spec;
    if (!out || !model)
        return conure_fail(err, CONURE_BAD_ARG, "conure_recognizer_open: out and model must not be NULL");
    *out = NULL;
    conure_recognizer_options_init(&o);
    if (given) {
        if (given->struct_bytes != sizeof o) /* there is one version so far */
            return conure_fail(err, CONURE_BAD_ARG, "conure_recognizer_options: struct_bytes is %u, this library "
                               "knows %zu: call conure_recognizer_options_init()", given->struct_bytes, sizeof o);
        memcpy(&o, given, given->struct_bytes);
    }
    conure_recognizer *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "a recognizer", sizeof *r);
    r->model = model;
    conure_model_hold(model);
    r->cancel = o.cancel;
    r->log = (conure_log){o.log, o.log_user};
    r->decoding = (conure_tdt_options){o.max_symbols ? o.max_symbols : model->config.max_symbols, o.cancel};
    pthread_mutex_init(&r->in_use, NULL);
    if (o.hotwords)
        conure_hotwords_hold(r->hotwords = o.hotwords);
    r->memory_bytes_max = o.memory_bytes_max ? o.memory_bytes_max : conure_memory_free() / 2;
    conure_status status = conure_check_hotwords(o.hotwords, model, err);
    if (status == CONURE_OK)
        status = choose(r, &o, &spec, &engine, err);
    r->mask = engine.mask;
    r->precision = engine.precision;
    if (status == CONURE_OK)
        status = open_mel(r, err);
    if (status == CONURE_OK)
        status = conure_engine_open(&r->self, r->engine, model, &engine, err);
    if (status == CONURE_OK)
        status = conure_pool_open(&r->pool, engine.n_threads, err);
    if (status == CONURE_OK)
        conure_pool_set_cancel(r->pool, o.cancel);
    if (status != CONURE_OK) {
        conure_recognizer_close(&r);
        return status;
    }
    conure_log_write(&r->log, CONURE_LOG_INFO, "%s: %s", model->name, r->engine->describe(r->self));
    *out = r;
    return CONURE_OK;
}

void conure_recognizer_close(conure_recognizer **recognizer)
{
    if (!recognizer || !*recognizer)
        return;
    conure_recognizer *r = *recognizer;
    while (r->sessions)
        conure_session_orphan(r->sessions);
    if (r->self)
        r->engine->close(&r->self);
    conure_pool_close(&r->pool);
    conure_mel_close(&r->mel);
    conure_tdt_room_free(&r->room);
    conure_arena_free(&r->arena);
    pthread_mutex_destroy(&r->in_use);
    conure_hotwords_release(r->hotwords);
    conure_model_release(r->model);
    free(r);
    *recognizer = NULL;
}

const char *conure_recognizer_describe(const conure_recognizer *recognizer)
{
    return recognizer ? recognizer->engine->describe(recognizer->self) : "";
}

/* ---- one batch ------------------------------------------------------------------------------- */

/* What one utterance goes through. */
typedef struct utterance {
    const float *pcm;
    uint64_t n_samples;
    uint32_t mel_valid, mel_frames; /* T, and T + 1 under NeMo's mask (spec 1.2) */
    float *mel, *encoded, *projected;
    conure_tdt tdt;
} utterance;

/* Bytes that utterances of these mel frame counts take in all. */
static uint64_t batch_bytes(const conure_recognizer *r, const uint32_t *frames, uint32_t n)
{
    const conure_config *c = &r->model->config;
    uint64_t bytes = r->engine->encode_bytes(r->self, frames, n);
    for (uint32_t i = 0; i < n && bytes != UINT64_MAX; i++)
        bytes += (uint64_t)frames[i] * c->mel_bins * sizeof(float) +
                 ((uint64_t)frames[i] / 8 + 1) * ((uint64_t)c->d_model + c->joint_hidden) * sizeof(float);
    return bytes;
}

uint64_t conure_recognizer_samples_max(const conure_recognizer *r)
{
    if (!r)
        return 0;
    uint64_t low = 0, high = 1u << 24; /* mel frames: what fits, what does not */
    while (high - low > 1) {
        const uint32_t middle = (uint32_t)((low + high) / 2);
        if (batch_bytes(r, &middle, 1) <= r->memory_bytes_max)
            low = middle;
        else
            high = middle;
    }
    return low ? (low - 1) * r->model->config.hop_samples : 0;
}

uint64_t conure_recognizer_frames_most(const conure_recognizer *r, uint64_t n_samples)
{
    return n_samples / r->model->config.hop_samples + 2;
}

uint64_t conure_recognizer_bytes(const conure_recognizer *r, uint64_t n_samples)
{
    const uint64_t frames = conure_recognizer_frames_most(r, n_samples);
    const uint32_t n = (uint32_t)frames;
    return frames < 1u << 24 ? batch_bytes(r, &n, 1) : UINT64_MAX;
}

bool conure_recognizer_is_bounded(const conure_recognizer *r)
{
    return conure_recognizer_bytes(r, conure_recognizer_samples_max(r)) == UINT64_MAX; /* of the most frames that become of them: one too many */
}

void conure_recognizer_longer(const conure_recognizer *r, uint64_t mel_frames, char out[CONURE_WAY_OUT_BYTES])
{
    char command[CONURE_LONGER_BYTES] = "";
    if (r->engine->longer)
        r->engine->longer(r->self, mel_frames, command);
    snprintf(out, CONURE_WAY_OUT_BYTES, "%s%s", command[0] ? ", or build a longer plan: " : "", command);
}

conure_status conure_check_hotwords(const conure_hotwords *hotwords, const conure_model *model, conure_error *err)
{
    if (!hotwords || conure_hotwords_model(hotwords) == model)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "option hotwords: the list was opened with another model: open it with this one");
}

conure_status conure_check_samples(const float *pcm, uint64_t n, uint64_t first, uint32_t rate_hz, const char *what,
                                   uint64_t *n_good, conure_error *err)
{
    for (uint64_t k = 0; k < n; k++)
        if (!(fabsf(pcm[k]) <= SAMPLE_MAX)) {
            *n_good = k;
            return conure_fail(err, CONURE_BAD_AUDIO, "%s: sample %llu (%.3f s) is %s: repair or cut the recording there", what,
                               (unsigned long long)(first + k), (double)(first + k) / rate_hz,
                               isnan(pcm[k]) ? "NaN" : isinf(pcm[k]) ? "infinite" : "beyond +-1e30, which no recording is");
        }
    *n_good = n;
    return CONURE_OK;
}

uint32_t conure_recognizer_mel_frames(const conure_recognizer *r, uint32_t n_valid)
{
    return n_valid ? n_valid + (r->mask == CONURE_MASK_NEMO) : 0;
}

static conure_status check_utterance(const float *pcm, uint64_t n, uint32_t i, uint32_t rate_hz, conure_error *err)
{
    char name[32];
    uint64_t n_good;
    snprintf(name, sizeof name, "utterance %u", i);
    return conure_check_samples(pcm, n, 0, rate_hz, name, &n_good, err);
}

static conure_status prepare(const conure_recognizer *r, utterance *u, const float *const *pcm,
                             const size_t *n_samples, uint32_t n, conure_error *err)
{
    const conure_config *c = &r->model->config;
    uint32_t *frames = conure_calloc(n, sizeof *frames), longest = 0;
    conure_status status = frames ? CONURE_OK : conure_fail_memory(err, "a batch", n * sizeof *frames);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        u[i].pcm = pcm[i];
        u[i].n_samples = n_samples[i];
        if (!pcm[i] && n_samples[i])
            status = conure_fail(err, CONURE_BAD_ARG, "utterance %u: %zu samples at NULL", i, n_samples[i]);
        else if (n_samples[i] / c->hop_samples >= 1u << 24)
            status = conure_fail(err, CONURE_LIMIT, "utterance %u: %.0f s is longer than the %.0f s that are supported in one "
                                 "piece: cut it at a pause", i, (double)n_samples[i] / c->sample_rate_hz,
                                 (double)(1u << 24) * c->hop_samples / c->sample_rate_hz);
        else
            status = check_utterance(pcm[i], n_samples[i], i, c->sample_rate_hz, err);
        if (status == CONURE_OK) {
            u[i].mel_valid = (uint32_t)conure_mel_frames(r->mel, n_samples[i]);
            frames[i] = u[i].mel_frames = conure_recognizer_mel_frames(r, u[i].mel_valid);
            longest = frames[i] > frames[longest] ? i : longest;
        }
    }
    if (status == CONURE_OK) {
        const uint64_t bytes = batch_bytes(r, frames, n);
        const double fits_s = bytes > r->memory_bytes_max ? (double)conure_recognizer_samples_max(r) / c->sample_rate_hz : 0;
        if (bytes == UINT64_MAX) {
            char longer[CONURE_WAY_OUT_BYTES];
            conure_recognizer_longer(r, frames[longest], longer);
            status = conure_fail(err, CONURE_LIMIT, "%s is %.1f s long, engine %s takes %.1f s at most in one piece: cut it%s",
                                 n == 1 ? "this audio" : "an utterance of this batch", (double)n_samples[longest] / c->sample_rate_hz,
                                 r->engine->name, fits_s, longer);
        }
        if (status == CONURE_OK && bytes > r->memory_bytes_max)
            status = conure_fail(err, CONURE_LIMIT, "%s needs %.0f MB of memory, the limit is %.0f MB: cut it into pieces of at "
                                 "most %.0f s, or raise the limit", n == 1 ? "this audio" : "this batch", (double)bytes / 1e6,
                                 (double)r->memory_bytes_max / 1e6, fits_s);
    }
    free(frames);
    return status;
}

static conure_status features(const conure_recognizer *r, utterance *u, conure_error *err)
{
    const uint32_t bins = r->model->config.mel_bins;
    if (!u->mel_valid)
        return CONURE_OK;
    u->mel = conure_calloc((size_t)u->mel_frames * bins, sizeof *u->mel);
    if (!u->mel)
        return conure_fail_memory(err, "features", (size_t)u->mel_frames * bins * sizeof *u->mel);
    const conure_status status = conure_mel_raw(r->mel, r->pool, u->pcm, u->n_samples, 0, u->mel_valid, u->mel, err);
    if (status == CONURE_OK)
        conure_mel_normalize(u->mel, u->mel_valid, bins);
    return status;
}

static conure_status encode(conure_recognizer *r, utterance *u, uint32_t n, conure_error *err)
{
    const conure_config *c = &r->model->config;
    conure_encode_row *rows = conure_calloc(n, sizeof *rows);
    conure_status status = rows ? CONURE_OK : conure_fail_memory(err, "a batch", n * sizeof *rows);
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        const uint32_t cap = u[i].mel_frames / 8 + 1;
        if (!u[i].mel_valid)
            continue;
        u[i].encoded = conure_alloc_aligned((size_t)cap * c->d_model * sizeof(float));
        u[i].projected = conure_alloc_aligned((size_t)cap * c->joint_hidden * sizeof(float));
        if (!u[i].encoded || !u[i].projected)
            status = conure_fail_memory(err, "encoder frames", (size_t)cap * c->d_model * sizeof(float));
        rows[n_rows++] = (conure_encode_row){
            .mel = u[i].mel, .n_frames = u[i].mel_frames, .n_valid = u[i].mel_valid, .out = u[i].encoded, .n_out_cap = cap};
    }
    if (status == CONURE_OK)
        status = r->engine->encode(r->self, rows, n_rows, err);
    for (uint32_t i = 0, k = 0; i < n && status == CONURE_OK; i++)
        if (u[i].mel_valid)
            status = r->engine->project(r->self, u[i].encoded, rows[k++].n_out_valid, u[i].projected, err);
    free(rows);
    return status;
}

static conure_status decode(conure_recognizer *r, utterance *u, uint32_t n, conure_error *err)
{
    const conure_config *c = &r->model->config;
    conure_tdt_chunk *chunks = conure_calloc(n, sizeof *chunks);
    conure_status status = chunks ? CONURE_OK : conure_fail_memory(err, "a batch", n * sizeof *chunks);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        status = conure_tdt_open(&u[i].tdt, c, r->hotwords, err);
        chunks[i] = (conure_tdt_chunk){
            .tdt = &u[i].tdt, .frames = u[i].projected, .n_frames = (u[i].mel_valid + 7) / 8, .last = true, .err = err};
    }
    if (status == CONURE_OK)
        status = conure_tdt_decode(r->engine, r->self, c, &r->decoding, &r->room, chunks, n, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = chunks[i].status;
    free(chunks);
    return status;
}

static conure_status run(conure_recognizer *r, utterance *u, uint32_t n, conure_result **results, conure_error *err)
{
    const double start_s = conure_now_s();
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        status = features(r, &u[i], err);
        if (conure_pool_skipped(r->pool) || conure_cancelled(r->cancel))
            return conure_fail(err, CONURE_CANCELLED, "cancelled in the features of utterance %u", i);
    }
    const double features_s = conure_now_s();
    if (status == CONURE_OK)
        status = encode(r, u, n, err);
    const double encoder_s = conure_now_s();
    if (status == CONURE_OK)
        status = decode(r, u, n, err);
    const double decoder_s = conure_now_s();
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        status = conure_result_build(&results[i], r->model, u[i].tdt.tokens, u[i].tdt.n_tokens, err);
        if (status != CONURE_OK)
            break;
        results[i]->n_frames = (uint32_t)u[i].tdt.offset;
        results[i]->n_blanks = (uint32_t)u[i].tdt.n_blanks;
        results[i]->audio_s = (double)u[i].n_samples / r->model->config.sample_rate_hz;
        results[i]->features_s = (features_s - start_s) / n;
        results[i]->encoder_s = (encoder_s - features_s) / n;
        results[i]->decoder_s = (decoder_s - encoder_s) / n;
    }
    return status;
}

conure_status conure_transcribe(conure_recognizer *r, const float *const *pcm, const size_t *n_samples, uint32_t n,
                                conure_result **results, conure_error *err)
{
    for (uint32_t i = 0; results && i < n; i++)
        results[i] = NULL;
    if (!r || !results || (n && (!pcm || !n_samples)))
        return conure_fail(err, CONURE_BAD_ARG, "conure_transcribe: recognizer, pcm, n_samples and results must not be NULL");
    if (n > CONURE_BATCH_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "conure_transcribe: a batch of %u, at most %u are supported", n, CONURE_BATCH_MAX);
    if (n == 0)
        return CONURE_OK;
    utterance *u = conure_calloc(n, sizeof *u);
    if (!u)
        return conure_fail_memory(err, "a batch", n * sizeof *u);
    conure_status status = prepare(r, u, pcm, n_samples, n, err);
    pthread_mutex_lock(&r->in_use);
    if (status == CONURE_OK)
        status = run(r, u, n, results, err);
    pthread_mutex_unlock(&r->in_use);
    for (uint32_t i = 0; i < n; i++) {
        free(u[i].mel);
        free(u[i].encoded);
        free(u[i].projected);
        conure_tdt_close(&u[i].tdt);
        if (status != CONURE_OK)
            conure_result_free(&results[i]);
    }
    free(u);
    return status;
}

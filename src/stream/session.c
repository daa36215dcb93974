/* session.c - audio in, events out.  The model runs in step.c. */
#include "stream/session.h"

#include "base/system.h"
#include "stream/session_options.h"

#include <math.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What a resampler still owes when its input ends fits here, whatever the rate. */
static const double RESERVE_S = 0.1;
/* A loss up to this long is filled with silence. */
static const double GAP_FILLED_S = 1.0;
/* A year: beyond it a clock was set, and times in doubles lose their microseconds. */
static const double GAP_S_MAX = 366 * 86400.0;

/* ---- readiness ------------------------------------------------------------------------------- */

/* A frame is final once the samples of its window are there: 160 t + 199 is the last (spec 1.4). */
uint64_t conure_session_mel_frames(const conure_session *s)
{
    const uint32_t hop = s->frame_samples / 8, behind = s->recognizer->model->config.window_samples / 2;
    if (s->input.ended)
        return s->input.heard / hop;
    return s->input.heard < behind ? 0 : (s->input.heard - behind) / hop + 1;
}

bool conure_session_ready(const conure_session *s)
{
    conure_window_step step;
    conure_slice slice;
    if (!s->recognizer || s->failed != CONURE_OK || s->over || conure_events_waiting(&s->events))
        return false;
    if (s->input.ended || s->n_ahead)
        return true; /* if only to say that this is the end */
    return conure_session_cached(s) ? conure_schedule_next(&s->schedule, conure_session_mel_frames(s), false, &slice)
                                    : conure_window_next(&s->window, s->input.heard, false, &step);
}

bool conure_session_look(conure_session *s)
{
    const bool was = s->ready_since_s > 0, is = !s->stepping && conure_session_ready(s);
    if (was != is)
        s->ready_since_s = is ? conure_now_s() : 0;
    return is && !was;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Samples that must stay for the next step, whatever comes. */
static uint64_t history_samples(const conure_session *s)
{
    const conure_config *c = &s->recognizer->model->config;
    if (!conure_session_cached(s))
        return (uint64_t)(s->left + s->chunk + s->right) * s->frame_samples + 1;
    return (uint64_t)conure_schedule_longest(&s->schedule.rule) * c->hop_samples + 4 * (uint64_t)c->n_fft;
}

static conure_status open_cached(conure_session *s, conure_error *err)
{
    const conure_recognizer *r = s->recognizer;
    const conure_config *c = &r->model->config;
    conure_schedule_rule rule;
    if (s->options.mode == CONURE_STREAM_RESET)
        conure_schedule_constant(&rule, s->options.slice_frames, s->chunk);
    else
        conure_schedule_nemo(&rule, s->chunk, s->right);
    conure_schedule_init(&s->schedule, &rule);
    const conure_cache_options cache = {
        .cache_rows = s->left, .drop_rows = rule.drop_rows, .keep_negative = s->options.keep_negative,
        .time_cache_aligned = s->options.time_cache == CONURE_TIME_CACHE_ALIGNED,
        .kv_bf16 = !s->options.cache_f32 && r->engine->kv_bf16 && (r->precision == CONURE_PRECISION_BF16 || r->precision == CONURE_PRECISION_INT8),
    };
    const uint64_t state = (uint64_t)(s->left + s->chunk) * c->n_layers * 2 * c->d_model * (cache.kv_bf16 ? 2 : 4);
    /* An engine of plans says how long whole utterances may be; which slices it takes shows in the first step. */
    const uint64_t step = conure_recognizer_bytes(r, (uint64_t)conure_schedule_longest(&rule) * c->hop_samples);
    const uint64_t bytes = state + (step == UINT64_MAX ? 0 : step);
    if (bytes > r->memory_bytes_max)
        return conure_fail(err, CONURE_LIMIT, "slices of %u mel frames with %u cached rows need %.0f MB of memory, the limit is %.0f MB: take "
                           "shorter contexts, or raise the limit", conure_schedule_longest(&rule), s->left, (double)bytes / 1e6,
                           (double)r->memory_bytes_max / 1e6);
    s->frames.cap = conure_schedule_longest(&rule) + rule.shift[1] + 1;
    s->frames.data = conure_calloc((size_t)s->frames.cap * s->mel_bins, sizeof(float));
    s->ahead_cap = conure_schedule_longest(&rule) / 8 + 1;
    s->ahead = conure_calloc((size_t)s->ahead_cap * c->d_model, sizeof(float));
    if (!s->frames.data || !s->ahead)
        return conure_fail_memory(err, "a session", s->frames.cap * (size_t)s->mel_bins * sizeof(float));
    s->bytes += (uint64_t)s->frames.cap * s->mel_bins * sizeof(float) + (uint64_t)s->ahead_cap * c->d_model * sizeof(float);
    conure_status status = conure_running_open(&s->running, s->mel_bins, err);
    if (status == CONURE_OK)
        status = r->engine->state_open(r->self, &s->state, &cache, err);
    return status;
}

static conure_status open_window(conure_session *s, conure_error *err)
{
    const conure_recognizer *r = s->recognizer;
    const conure_context limit = {.left = (uint64_t)s->left * s->frame_samples, .chunk = (uint64_t)s->chunk * s->frame_samples,
                                  .right = (uint64_t)s->right * s->frame_samples};
    conure_window_init(&s->window, &limit);
    const uint64_t samples = limit.left + limit.chunk + limit.right;
    const uint64_t bytes = conure_recognizer_bytes(r, samples);
    if (bytes == UINT64_MAX) {
        char longer[CONURE_WAY_OUT_BYTES];
        conure_recognizer_longer(r, conure_recognizer_frames_most(r, samples), longer);
        return conure_fail(err, CONURE_LIMIT, "a window is %.1f s long, engine %s takes %.1f s at most in one piece: take shorter contexts%s",
                           (double)samples / s->rate_hz, r->engine->name, (double)conure_recognizer_samples_max(r) / s->rate_hz, longer);
    }
    if (bytes > r->memory_bytes_max)
        return conure_fail(err, CONURE_LIMIT, "a window of %.1f s needs %.0f MB of memory, the limit is %.0f MB: take shorter contexts, or "
                           "raise the limit", (double)samples / s->rate_hz, (double)bytes / 1e6, (double)r->memory_bytes_max / 1e6);
    return CONURE_OK;
}

static conure_status open_watch(conure_session *s, conure_error *err)
{
    const conure_recognizer *r = s->recognizer;
    const bool reset = s->options.mode == CONURE_STREAM_RESET;
    const uint32_t window = conure_recognizer_mel_frames(r, (uint32_t)conure_mel_frames(r->mel, history_samples(s) - 1));
    const conure_watch_options options = {
        .cached = conure_session_cached(s), .constant = reset, .keep_negative = s->options.keep_negative,
        .time_cache_aligned = s->options.time_cache == CONURE_TIME_CACHE_ALIGNED, .mask_exact = r->mask == CONURE_MASK_EXACT,
        .left = s->left, .chunk = s->chunk, .right = s->right,
        .n_frames = reset ? s->options.slice_frames : window, .policy = (conure_policy)s->options.on_violation};
    return conure_watch_open(&s->watch, &r->model->config, &options, err);
}

static conure_status open_parts(conure_session *s, conure_error *err)
{
    conure_recognizer *r = s->recognizer;
    const conure_config *c = &r->model->config;
    uint32_t contexts[3];
    conure_status status = conure_session_contexts(&s->options, c, contexts, err);
    if (status != CONURE_OK)
        return status;
    s->left = contexts[0];
    s->chunk = contexts[1];
    s->right = contexts[2];
    s->rate_hz = c->sample_rate_hz;
    s->mel_bins = c->mel_bins;
    s->frame_samples = 8 * c->hop_samples;
    s->frame_s = (double)s->frame_samples / s->rate_hz;
    s->input_rate_hz = s->options.sample_rate_hz ? s->options.sample_rate_hz : s->rate_hz;
    const conure_endpoint_options rules = {
        .rule1_min_trailing_silence_s = s->options.rule1_min_trailing_silence_s,
        .rule2_min_trailing_silence_s = s->options.rule2_min_trailing_silence_s,
        .rule3_min_utterance_length_s = s->options.rule3_min_utterance_length_s,
        .energy_db = s->options.endpoint_energy_db,
    };
    status = conure_endpoint_plan(&s->rules, &rules, s->frame_s, err);
    if (status == CONURE_OK)
        status = conure_session_cached(s) ? open_cached(s, err) : open_window(s, err);
    if (status == CONURE_OK)
        status = open_watch(s, err);
    if (status != CONURE_OK)
        return status;
    /* A session that asks for more audio has room for a filled gap, and for what an old rate owes. */
    const double buffer_s = s->options.buffer_s > GAP_FILLED_S + 2 * RESERVE_S ? s->options.buffer_s : GAP_FILLED_S + 2 * RESERVE_S;
    s->input.cap = history_samples(s) + (uint64_t)((buffer_s + RESERVE_S) * s->rate_hz);
    s->input.ring = conure_calloc(s->input.cap, sizeof(float));
    if (!s->input.ring)
        return conure_fail_memory(err, "a session's audio", s->input.cap * sizeof(float));
    s->bytes += sizeof *s + s->input.cap * sizeof(float) +
                2 * (2 * (uint64_t)c->pred_layers * c->pred_hidden + c->joint_hidden) * sizeof(float);
    status = conure_resampler_open(&s->resampler, s->input_rate_hz, s->rate_hz, err);
    if (status == CONURE_OK)
        status = conure_tdt_open(&s->tdt, c, s->options.hotwords, err);
    if (status == CONURE_OK)
        status = conure_tdt_open(&s->spare, c, s->options.hotwords, err);
    s->bytes += 2 * conure_trial_bytes(s->tdt.trial);
    if (status == CONURE_OK)
        status = conure_live_text_open(&s->text, r->model->tokenizer, s->frame_s, err);
    return status;
}

static void close_parts(conure_session *s)
{
    conure_resampler_close(&s->resampler);
    conure_live_text_close(&s->text);
    conure_running_close(&s->running);
    conure_tdt_close(&s->tdt);
    conure_tdt_close(&s->spare);
    conure_events_close(&s->events);
    free(s->ahead);
    free(s->frames.data);
    free(s->input.ring);
}

conure_status conure_session_open(conure_session **out, conure_recognizer *recognizer, const conure_session_options *options,
                                  conure_error *err)
{
    if (!out || !recognizer)
        return conure_fail(err, CONURE_BAD_ARG, "conure_session_open: out and recognizer must not be NULL");
    *out = NULL;
    conure_session *s = conure_calloc(1, sizeof *s);
    if (!s)
        return conure_fail_memory(err, "a session", sizeof *s);
    atomic_flag_clear(&s->in_call);
    pthread_mutex_init(&s->lock, NULL);
    s->recognizer = recognizer;
    s->model = recognizer->model;
    conure_model_hold(s->model);
    conure_status status = conure_session_options_take(&s->options, options, err);
    if (status == CONURE_OK)
        status = conure_check_hotwords(s->options.hotwords, s->model, err);
    if (status != CONURE_OK)
        s->options.hotwords = NULL; /* not to be released */
    else if (s->options.hotwords)
        conure_hotwords_hold(s->options.hotwords);
    pthread_mutex_lock(&recognizer->in_use);
    s->next = recognizer->sessions;
    recognizer->sessions = s;
    if (status == CONURE_OK)
        status = open_parts(s, err);
    if (status == CONURE_OK)
        conure_session_begin(s, 0);
    pthread_mutex_unlock(&recognizer->in_use);
    if (status != CONURE_OK) {
        conure_session_close(&s);
        return status;
    }
    *out = s;
    return CONURE_OK;
}

void conure_session_weigh(conure_session *s)
{
    const conure_recognizer *r = s->recognizer;
    size_t snapshot;
    if (!s->state)
        return;
    r->engine->state_bytes(r->self, s->state, &snapshot, &s->state_memory);
    s->stats.cache_length = r->engine->state_length(r->self, s->state);
}

void conure_session_begin(conure_session *s, double origin_s)
{
    const conure_context limit = s->window.limit;
    const conure_schedule_rule rule = s->schedule.rule;
    s->input.heard = s->input.keep = 0;
    s->input.ended = false;
    s->input.gap_s = -1;
    s->origin_s = origin_s;
    conure_resampler_reset(s->resampler);
    conure_window_init(&s->window, &limit);
    conure_schedule_init(&s->schedule, &rule);
    s->endpoint = (conure_endpoint){0};
    conure_live_text_reset(s->text);
    conure_tdt_reset(&s->tdt, &s->recognizer->model->config);
    s->frames.first = s->frames.end = s->frames.counted = s->utterance_first = 0;
    s->n_fed = 0;
    s->n_ahead = s->n_ahead_final = 0;
    s->ahead_lost = false;
    if (conure_session_cached(s)) {
        conure_running_reset(&s->running);
        s->recognizer->engine->state_reset(s->recognizer->self, s->state);
        conure_session_weigh(s);
    }
}

/* Take it out of its recognizer's list; under in_use. */
void conure_session_orphan(conure_session *s)
{
    conure_recognizer *r = s->recognizer;
    for (conure_session **at = &r->sessions; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            conure_watch_add(&s->watch, &r->closed);
            break;
        }
    if (s->state)
        r->engine->state_close(r->self, &s->state);
    pthread_mutex_lock(&s->lock);
    s->recognizer = NULL;
    s->ready_since_s = 0;
    pthread_mutex_unlock(&s->lock);
}

void conure_session_close(conure_session **session)
{
    if (!session || !*session)
        return;
    conure_session *s = *session;
    if (s->scheduler)
        (void)conure_scheduler_remove(s->scheduler, s, NULL);
    if (s->recognizer) {
        conure_recognizer *r = s->recognizer;
        pthread_mutex_lock(&r->in_use);
        conure_session_orphan(s);
        pthread_mutex_unlock(&r->in_use);
    }
    close_parts(s);
    conure_hotwords_release(s->options.hotwords);
    conure_model_release(s->model);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *session = NULL;
}

/* ---- the owner's calls ----------------------------------------------------------------------- */

/* Every call of the owner begins and ends with these: one at a time, on a session whose recognizer is open. */
conure_status conure_session_claim(conure_session *s, const char *what, conure_error *err)
{
    if (!s)
        return conure_fail(err, CONURE_BAD_ARG, "%s: session must not be NULL", what);
    if (atomic_flag_test_and_set_explicit(&s->in_call, memory_order_acquire))
        return conure_fail(err, CONURE_BAD_STATE, "%s: another thread is in a call on this session: a session serves one thread at a time",
                           what);
    return CONURE_OK;
}

static conure_status enter(conure_session *s, const char *what, conure_error *err)
{
    const conure_status status = conure_session_claim(s, what, err);
    if (status == CONURE_OK)
        pthread_mutex_lock(&s->lock);
    return status;
}

/* wake: the session has become ready. */
static void leave_call(conure_session *s, bool wake)
{
    struct conure_scheduler *scheduler = s->scheduler;
    pthread_mutex_unlock(&s->lock);
    atomic_flag_clear_explicit(&s->in_call, memory_order_release);
    if (wake && scheduler)
        conure_scheduler_ready(scheduler);
}

conure_status conure_session_orphaned(const char *what, conure_error *err)
{
    return conure_fail(err, CONURE_BAD_STATE, "%s: the recognizer of this session was closed; close the session first", what);
}

/* The run may be fed: it was not finished, nothing failed. */
static conure_status may_feed(const conure_session *s, const char *what, conure_error *err)
{
    if (!s->recognizer)
        return conure_session_orphaned(what, err);
    if (s->finished)
        return conure_fail(err, CONURE_BAD_STATE, "%s: after conure_session_finish(): reset the session to begin anew", what);
    if (s->failed != CONURE_OK)
        return conure_fail(err, CONURE_BAD_STATE, "%s: the session has failed (%s): reset it to begin anew", what, s->error.text);
    return CONURE_OK;
}

/* Samples that may come before the ring would overwrite what a step needs. */
static uint64_t room(const conure_session *s)
{
    const uint64_t keep = conure_session_cached(s) ? s->input.keep : conure_window_keep(&s->window, UINT64_MAX);
    const uint64_t reserve = (uint64_t)(RESERVE_S * s->rate_hz), held = s->input.heard - (keep < s->input.heard ? keep : s->input.heard);
    return s->input.cap - reserve > held ? s->input.cap - reserve - held : 0;
}

static void append(conure_session *s, const float *pcm, size_t n)
{
    const uint64_t at = s->input.heard % s->input.cap, left = s->input.cap - at, first = n < left ? n : left;
    memcpy(s->input.ring + at, pcm, first * sizeof *pcm);
    memcpy(s->input.ring, pcm + first, (n - first) * sizeof *pcm);
    s->input.heard += n;
}

/* Samples at the input's rate into the ring. */
static size_t pour(conure_session *s, const float *pcm, size_t n)
{
    float made[512]; /* not straight into the ring: one sample of 8 kHz gives two, which may not fit before its end */
    size_t done = 0, used, n_made;
    if (n == 0) /* and pcm may be NULL */
        return 0;
    do {
        const uint64_t space = room(s);
        conure_resampler_run(s->resampler, pcm + done, n - done, &used, made,
                             space < sizeof made / sizeof *made ? space : sizeof made / sizeof *made, &n_made);
        append(s, made, n_made);
        done += used;
    } while (done < n && (used || n_made));
    return done;
}

/* What the resampler owes; the reserve holds it. */
static void flush(conure_session *s)
{
    float made[512];
    size_t n;
    while ((n = conure_resampler_flush(s->resampler, made, sizeof made / sizeof *made)) > 0)
        append(s, made, n);
}

conure_status conure_session_feed(conure_session *s, const float *pcm, size_t n, size_t *n_used, conure_error *err)
{
    size_t unused;
    size_t *const used = n_used ? n_used : &unused;
    uint64_t n_good;
    *used = 0;
    conure_status status = enter(s, "conure_session_feed", err);
    if (status != CONURE_OK)
        return status;
    status = may_feed(s, "conure_session_feed", err);
    if (status == CONURE_OK && n && !pcm)
        status = conure_fail(err, CONURE_BAD_ARG, "conure_session_feed: %zu samples at NULL", n);
    bool wake = false;
    if (status == CONURE_OK) {
        const uint64_t most = s->input.gap_s < 0 ? conure_resampler_room(s->resampler, room(s)) : 0;
        const size_t n_taken = n < most ? n : (size_t)most; /* whoever feeds hours at once has them looked at once */
        status = conure_check_samples(pcm, n_taken, s->n_fed, s->input_rate_hz, "conure_session_feed", &n_good, err);
        if (n_good)
            *used = pour(s, pcm, n_good);
        s->n_fed += *used;
        if (status == CONURE_OK && *used < n)
            status = conure_fail(err, CONURE_FULL, "%zu of %zu samples were taken: step, then feed the rest", *used, n);
        wake = conure_session_look(s);
    }
    leave_call(s, wake);
    return status;
}

static void end_run(conure_session *s)
{
    flush(s);
    s->input.ended = true;
}

conure_status conure_session_gap(conure_session *s, uint64_t n_samples, conure_error *err)
{
    static const float silence[256];
    conure_status status = enter(s, "conure_session_gap", err);
    if (status != CONURE_OK)
        return status;
    bool wake = false;
    status = may_feed(s, "conure_session_gap", err);
    if (status == CONURE_OK) {
        const double gap_s = (double)n_samples / s->input_rate_hz;
        const double owed = (double)n_samples * s->rate_hz / s->input_rate_hz;
        if (!(gap_s <= GAP_S_MAX)) {
            status = conure_fail(err, CONURE_BAD_ARG, "conure_session_gap: %.3g s: at most %.0f are supported", gap_s, GAP_S_MAX);
        } else if (s->input.gap_s >= 0) {
            status = conure_fail(err, CONURE_FULL, "conure_session_gap: the gap before is not done yet: step, then call again");
        } else if (gap_s > GAP_FILLED_S) {
            end_run(s);
            s->input.gap_s = gap_s;
        } else if (owed + 4 > (double)room(s)) { /* roundings of the resampler */
            status = conure_fail(err, CONURE_FULL, "conure_session_gap: no room for %.3f s: step, then call again", gap_s);
        } else {
            for (uint64_t left = n_samples; left;) {
                const size_t n = left < sizeof silence / sizeof *silence ? (size_t)left : sizeof silence / sizeof *silence;
                const size_t taken = pour(s, silence, n);
                assert(taken == n);
                left -= taken ? taken : left;
            }
        }
        wake = conure_session_look(s);
    }
    leave_call(s, wake);
    return status;
}

conure_status conure_session_set_rate(conure_session *s, uint32_t sample_rate_hz, conure_error *err)
{
    conure_resampler *other = NULL;
    conure_status status = conure_session_check_rate(sample_rate_hz, err);
    const uint32_t rate_hz = s && !sample_rate_hz ? s->rate_hz : sample_rate_hz;
    if (status == CONURE_OK && s && rate_hz != s->input_rate_hz) /* takes a while: not under the lock, which steps wait for */
        status = conure_resampler_open(&other, rate_hz, s->rate_hz, err);
    if (status == CONURE_OK)
        status = enter(s, "conure_session_set_rate", err);
    if (status != CONURE_OK) {
        conure_resampler_close(&other);
        return status;
    }
    status = may_feed(s, "conure_session_set_rate", err);
    if (status == CONURE_OK && s->input.gap_s >= 0)
        status = conure_fail(err, CONURE_FULL, "conure_session_set_rate: a gap is not done yet: step, then call again");
    if (status == CONURE_OK && room(s) < (uint64_t)(RESERVE_S * s->rate_hz))
        status = conure_fail(err, CONURE_FULL, "conure_session_set_rate: no room for what the old rate owes: step, then call again");
    bool wake = false;
    if (other && status == CONURE_OK) {
        conure_resampler *before = s->resampler;
        flush(s);
        s->resampler = other;
        s->input_rate_hz = rate_hz;
        s->n_fed = 0;
        other = before;
        wake = conure_session_look(s);
    }
    leave_call(s, wake);
    conure_resampler_close(&other);
    return status;
}

conure_status conure_session_finish(conure_session *s, conure_error *err)
{
    conure_status status = enter(s, "conure_session_finish", err);
    if (status != CONURE_OK)
        return status;
    bool wake = false;
    if (!s->recognizer)
        status = conure_session_orphaned("conure_session_finish", err);
    if (status == CONURE_OK && !s->finished) {
        s->finished = true;
        if (!s->input.ended)
            end_run(s);
        wake = conure_session_look(s);
    }
    leave_call(s, wake);
    return status;
}

conure_status conure_session_poll(conure_session *s, const conure_event **event)
{
    if (!event)
        return CONURE_BAD_ARG;
    *event = NULL;
    conure_status status = enter(s, "conure_session_poll", NULL);
    if (status != CONURE_OK)
        return status;
    *event = conure_events_poll(&s->events);
    if (!*event)
        status = s->over ? CONURE_END : !s->recognizer ? CONURE_BAD_STATE : s->failed != CONURE_OK ? s->failed : CONURE_NEED_AUDIO;
    leave_call(s, conure_session_look(s));
    return status;
}

conure_status conure_session_step(conure_session *s, conure_error *err)
{
    conure_status status = CONURE_INTERNAL;
    (void)conure_sessions_step(&s, 1, &status, err);
    return status;
}

conure_status conure_session_reset(conure_session *s, bool restart_clock, conure_error *err)
{
    conure_status status = enter(s, "conure_session_reset", err);
    if (status != CONURE_OK)
        return status;
    conure_recognizer *r = s->recognizer;
    pthread_mutex_unlock(&s->lock); /* in_use comes first */
    if (r)
        pthread_mutex_lock(&r->in_use);
    pthread_mutex_lock(&s->lock);
    if (!r) {
        status = conure_session_orphaned("conure_session_reset", err);
    } else {
        if (!s->input.ended)
            flush(s); /* what was fed counts, also what the resampler still holds */
        const double now_s = s->origin_s + (double)s->input.heard / s->rate_hz + (s->input.gap_s > 0 ? s->input.gap_s : 0);
        conure_events_clear(&s->events);
        s->finished = s->over = s->after_gap = false;
        s->failed = CONURE_OK;
        s->n_tokens_before = s->sequence = 0;
        s->text_before = s->space_owed = s->had_tentative = false;
        s->utterance = 0;
        s->stats = (conure_session_stats){0};
        s->ready_since_s = 0;
        conure_session_begin(s, restart_clock ? 0 : now_s);
        pthread_mutex_unlock(&r->in_use);
    }
    leave_call(s, false);
    return status;
}

void conure_session_copy(const conure_session *s, uint64_t first, uint64_t n, float *dst)
{
    const uint64_t at = first % s->input.cap, before_end = s->input.cap - at < n ? s->input.cap - at : n;
    memcpy(dst, s->input.ring + at, before_end * sizeof *dst);
    memcpy(dst + before_end, s->input.ring, (n - before_end) * sizeof *dst);
}

/* ---- facts ----------------------------------------------------------------------------------- */

conure_status conure_session_get_stats(conure_session *s, conure_session_stats *stats)
{
    if (!stats)
        return CONURE_BAD_ARG;
    const conure_status status = enter(s, "conure_session_get_stats", NULL);
    if (status != CONURE_OK)
        return status;
    *stats = s->stats;
    stats->heard_s = s->origin_s + (double)s->input.heard / s->rate_hz;
    leave_call(s, false);
    return CONURE_OK;
}

double conure_session_latency_s(const conure_session *s)
{
    if (!s)
        return 0;
    return (s->chunk + s->right) * s->frame_s + conure_resampler_delay_s(s->resampler) +
           (conure_session_cached(s) ? s->frame_s / 8 : 1.0 / s->rate_hz);
}

uint64_t conure_session_bytes(const conure_session *s)
{
    if (!s)
        return 0;
    pthread_mutex_t *lock = (pthread_mutex_t *)&s->lock; /* no change that anybody sees */
    pthread_mutex_lock(lock);
    const uint64_t bytes = s->bytes + s->state_memory;
    pthread_mutex_unlock(lock);
    return bytes;
}

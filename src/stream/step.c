/* step.c - one step of some sessions, in one batch: features of each, one encoder call for all, decoding of all,
 * events of each.
 *
 * A step is made whole or not at all.  Windows move on, and events appear, at its very end; the decoder's state is
 * put back when decoding fails.  Only an encoder's caches move earlier: what the encoder then gave is kept with the
 * session until it is decoded, so that calling again goes on from there. */
#include "stream/session.h"

#include "base/system.h"
#include "stream/publish.h"

#include <stdlib.h>
#include <string.h>

typedef struct job {
    conure_session *s;
    conure_status status;
    bool works;              /* has frames to encode or decode; false: only the end is told */
    bool from_ahead;         /* encoded before; only decoding is missing */
    bool last;               /* no frames will follow in this run */
    conure_window_step window;
    conure_slice slice;
    uint64_t first_sample, n_samples; /* that the features need */
    conure_encode_row row;
    uint32_t first_frame;    /* of row.out: those before belong to the left context */
    int64_t length_in;       /* of the attention cache before this step */
    bool violated;           /* the encoder did not do what the contract says */
    bool lost;               /* and its frames are not decoded */
    uint32_t n_final, n_look; /* frames to decode, and behind them tentatively */
    float *projected;        /* [n_final + n_look][joint_hidden] */
    float *mel;              /* BUFFERED: [row.n_valid][mel_bins] before normalisation; NULL when nobody asks */
    conure_decoded decoded;
} job;

typedef struct batch {
    conure_recognizer *r;
    job *jobs;
    uint32_t n;
    double features_s, encoder_s, decoder_s, wall_s;
    conure_error *err;
} batch;

/* ---- planning -------------------------------------------------------------------------------- */

static conure_status refuse(const conure_session *s, conure_error *err)
{
    if (!s->recognizer)
        return conure_fail(err, CONURE_BAD_STATE, "conure_session_step: the recognizer of this session was closed");
    if (s->failed != CONURE_OK)
        return conure_fail(err, s->failed, "%s", s->error.text);
    if (conure_events_waiting(&s->events))
        return conure_fail(err, CONURE_FULL, "conure_session_step: an event is waiting: poll it first");
    return s->over ? CONURE_END : CONURE_OK;
}

/* Which samples the features need. */
static void plan_samples(job *j)
{
    const conure_session *s = j->s;
    if (!conure_session_cached(s)) {
        j->first_sample = j->window.first;
        j->n_samples = j->window.n;
        return;
    }
    const conure_config *c = &s->recognizer->model->config;
    const uint64_t end = (uint64_t)(j->slice.first + j->slice.n_valid) * c->hop_samples + c->window_samples / 2;
    j->first_sample = conure_samples_from(c, s->frames.end);
    j->n_samples = (end < s->input.heard ? end : s->input.heard) - j->first_sample;
}

/* Under the session's lock: what there is to do. */
static conure_status plan(job *j, conure_error *err)
{
    conure_session *s = j->s;
    const conure_status status = refuse(s, err);
    if (status != CONURE_OK)
        return status;
    if (s->n_ahead) {
        j->works = j->from_ahead = true;
        j->last = s->ahead_last;
    } else if (conure_session_cached(s)) {
        j->works = conure_schedule_next(&s->schedule, conure_session_mel_frames(s), s->input.ended, &j->slice);
    } else {
        j->works = conure_window_next(&s->window, s->input.heard, s->input.ended, &j->window);
    }
    if (!j->works && !s->input.ended)
        return CONURE_NEED_AUDIO;
    if (j->works && !j->from_ahead)
        plan_samples(j);
    s->stepping = true;
    s->ready_since_s = 0;
    return CONURE_OK;
}

/* ---- features -------------------------------------------------------------------------------- */

/* Log-mel frames as they are.  What a cancelled run skipped is missing from dst: it must not be counted as done. */
static conure_status raw_frames(const batch *b, const float *pcm, uint64_t n_samples, uint64_t first, uint64_t n, float *dst)
{
    const conure_recognizer *r = b->r;
    const conure_status status = conure_mel_raw(r->mel, r->pool, pcm, n_samples, first, n, dst, b->err);
    if (conure_pool_skipped(r->pool) || conure_cancelled(r->cancel))
        return conure_fail(b->err, CONURE_CANCELLED, "cancelled in the features");
    return status;
}

/* Mel frames of a whole window, with its own statistics. */
static conure_status window_features(batch *b, job *j, const float *pcm)
{
    conure_recognizer *r = b->r;
    const uint32_t bins = j->s->mel_bins, valid = (uint32_t)conure_mel_frames(r->mel, j->window.n);
    j->row.n_valid = valid;
    j->row.n_frames = conure_recognizer_mel_frames(r, valid);
    float *mel = conure_arena_take(&r->arena, (size_t)j->row.n_frames * bins + 1, sizeof *mel);
    float *raw = j->s->options.endpoint_energy_db > 0 ? conure_arena_take(&r->arena, (size_t)valid * bins + 1, sizeof *raw) : NULL;
    if (!mel || (!raw && j->s->options.endpoint_energy_db > 0))
        return conure_fail_memory(b->err, "features", (size_t)j->row.n_frames * bins * sizeof *mel);
    memset(mel, 0, (size_t)j->row.n_frames * bins * sizeof *mel);
    const conure_status status = raw_frames(b, pcm, j->window.n, 0, valid, mel);
    if (raw)
        memcpy(raw, mel, (size_t)valid * bins * sizeof *mel);
    conure_mel_normalize(mel, valid, bins);
    j->row.mel = mel;
    j->mel = raw;
    return status;
}

/* The session's own mel frames up to the end of the slice, computed as far as they are not. */
static conure_status extend_frames(batch *b, job *j, const float *pcm)
{
    conure_session *s = j->s;
    conure_frames *f = &s->frames;
    const uint32_t hop = s->frame_samples / 8;
    const uint64_t end = (uint64_t)(j->slice.first + j->slice.n_valid), keep = conure_schedule_keep(&s->schedule);
    if (keep > f->first) {
        const uint64_t drop = keep < f->end ? keep - f->first : f->end - f->first;
        memmove(f->data, f->data + drop * s->mel_bins, (f->end - f->first - drop) * s->mel_bins * sizeof(float));
        f->first += drop;
    }
    const conure_status status = raw_frames(b, pcm, j->n_samples, f->end - j->first_sample / hop, end - f->end,
                                            f->data + (f->end - f->first) * s->mel_bins);
    if (status == CONURE_OK)
        f->end = end;
    return status;
}

/* The slice's frames, normalised; zeros before the stream's beginning. */
static conure_status slice_features(batch *b, job *j)
{
    conure_session *s = j->s;
    conure_frames *f = &s->frames;
    const uint32_t bins = s->mel_bins;
    const conure_slice *slice = &j->slice;
    const uint64_t first = slice->first > 0 ? (uint64_t)slice->first : 0, end = (uint64_t)(slice->first + slice->n_valid);
    const uint64_t zeros = (uint64_t)((int64_t)first - slice->first);
    float *mel = conure_arena_take(&b->r->arena, (size_t)slice->n_frames * bins + 1, sizeof *mel);
    if (!mel)
        return conure_fail_memory(b->err, "features", (size_t)slice->n_frames * bins * sizeof *mel);
    memset(mel, 0, (size_t)slice->n_frames * bins * sizeof *mel);
    const float *raw = f->data + (first - f->first) * bins;
    float *dst = mel + zeros * bins;
    if (s->options.normalize == CONURE_NORMALIZE_SLICE) {
        memcpy(dst, raw, (end - first) * bins * sizeof *dst);
        conure_mel_normalize(dst, end - first, bins);
    } else {
        conure_running_add(&s->running, f->data + (f->counted - f->first) * bins, end - f->counted);
        conure_running_normalize(&s->running, raw, end - first, dst);
    }
    f->counted = end;
    j->row = (conure_encode_row){.mel = mel, .n_frames = slice->n_frames, .n_valid = slice->n_valid, .drop_first = slice->drop_first, .last = slice->last,
                                 .state = s->state};
    return CONURE_OK;
}

static conure_status features(batch *b, job *j)
{
    float *pcm = conure_arena_take(&b->r->arena, j->n_samples + 1, sizeof *pcm);
    if (!pcm)
        return conure_fail_memory(b->err, "a window of audio", j->n_samples * sizeof *pcm);
    pthread_mutex_lock(&j->s->lock);
    conure_session_copy(j->s, j->first_sample, j->n_samples, pcm);
    pthread_mutex_unlock(&j->s->lock);
    if (!conure_session_cached(j->s))
        return window_features(b, j, pcm);
    const conure_status status = extend_frames(b, j, pcm);
    return status == CONURE_OK ? slice_features(b, j) : status;
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Which of the frames that came out are final, and which are look-ahead. */
static void choose_frames(job *j)
{
    const conure_session *s = j->s;
    const uint32_t have = j->row.n_out_valid;
    uint32_t wanted;
    if (conure_session_cached(s)) {
        j->first_frame = 0;
        wanted = s->schedule.rule.valid_out;
        j->last = j->slice.last;
    } else {
        const uint32_t left = (uint32_t)(j->window.context.left / s->frame_samples);
        j->first_frame = left < have ? left : have;
        wanted = (uint32_t)(j->window.context.chunk / s->frame_samples);
        j->last = j->window.last;
    }
    const uint32_t rest = have - j->first_frame;
    j->n_final = j->last || wanted > rest ? rest : wanted;
    j->n_look = rest - j->n_final;
}

/* A cache-aware session's caches have moved: its schedule goes with them, and what the encoder gave stays with it until it is
 * decoded. */
static void keep_ahead(const batch *b, const job *j)
{
    conure_session *s = j->s;
    const conure_config *c = &b->r->model->config;
    s->n_ahead = j->n_final + j->n_look;
    s->n_ahead_final = j->n_final;
    s->ahead_last = j->last;
    s->ahead_lost = j->lost;
    memcpy(s->ahead, j->row.out, (size_t)s->n_ahead * c->d_model * sizeof *s->ahead);
    pthread_mutex_lock(&s->lock);
    conure_schedule_advance(&s->schedule, &j->slice);
    s->input.keep = conure_samples_from(c, s->frames.end);
    pthread_mutex_unlock(&s->lock);
}

/* What came out, against the contract.  A session that stops for it keeps its caches as they are; it cannot be stepped. */
static void watch(const batch *b, job *j)
{
    conure_session *s = j->s;
    const bool cached = conure_session_cached(s);
    const int64_t length = cached ? b->r->engine->state_length(b->r->self, s->state) : 0;
    const conure_act act = conure_watch_step(&s->watch, &j->row, cached ? s->schedule.n_steps : s->watch.assertions.n_steps,
                                             cached ? j->slice.last : j->window.last, j->length_in, length, &j->violated, &s->error);
    if (act == CONURE_ACT_STOP) {
        j->status = CONURE_VIOLATION;
        return;
    }
    j->lost = act == CONURE_ACT_RESET;
    if (j->lost && cached)
        b->r->engine->state_reset(b->r->self, s->state);
}

static conure_status encode(batch *b)
{
    conure_recognizer *r = b->r;
    const uint32_t d = r->model->config.d_model;
    conure_encode_row *rows = conure_arena_take(&r->arena, b->n, sizeof *rows);
    uint32_t n = 0;
    if (!rows)
        return conure_fail_memory(b->err, "a step", b->n * sizeof *rows);
    for (uint32_t i = 0; i < b->n; i++) {
        job *j = &b->jobs[i];
        if (!j->works || j->from_ahead)
            continue;
        j->row.n_out_cap = j->row.n_frames / 8 + 1;
        j->row.out = conure_arena_take(&r->arena, (size_t)j->row.n_out_cap * d, sizeof(float));
        if (!j->row.out)
            return conure_fail_memory(b->err, "encoder frames", (size_t)j->row.n_out_cap * d * sizeof(float));
        if (j->row.state)
            j->length_in = r->engine->state_length(r->self, j->row.state);
        rows[n++] = j->row;
    }
    if (!n)
        return CONURE_OK;
    r->n_encoder_calls++;
    const conure_status status = r->engine->encode(r->self, rows, n, b->err);
    for (uint32_t i = 0, k = 0; i < b->n && status == CONURE_OK; i++) {
        job *j = &b->jobs[i];
        if (!j->works || j->from_ahead)
            continue;
        j->row = rows[k++];
        watch(b, j);
        choose_frames(j);
        if (conure_session_cached(j->s) && j->status == CONURE_OK)
            keep_ahead(b, j);
    }
    return status;
}

/* The joint's projection of the frames that will be decoded. */
static conure_status project(batch *b, job *j)
{
    conure_recognizer *r = b->r;
    const conure_session *s = j->s;
    const conure_config *c = &r->model->config;
    const float *frames = conure_session_cached(s) ? s->ahead : j->row.out + (size_t)j->first_frame * c->d_model;
    if (j->from_ahead) {
        j->n_final = s->n_ahead_final;
        j->n_look = s->n_ahead - s->n_ahead_final;
        j->lost = s->ahead_lost;
    }
    const uint32_t n = j->n_final + j->n_look;
    j->projected = conure_arena_take(&r->arena, (size_t)n * c->joint_hidden + 1, sizeof(float));
    if (!j->projected)
        return conure_fail_memory(b->err, "encoder frames", (size_t)n * c->joint_hidden * sizeof(float));
    return r->engine->project(r->self, frames, n, j->projected, b->err);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static bool decodes(const job *j, bool look)
{
    return j->works && j->status == CONURE_OK && !j->lost && (!look || (j->s->options.tentative && j->n_look));
}

/* A step whose frames broke the contract: they pass as if nothing was said, and the decoder begins anew behind them. */
static void pass_by(job *j, const conure_config *c)
{
    conure_session *s = j->s;
    conure_tdt_copy(&s->spare, &s->tdt, c);
    conure_tdt_restart(&s->tdt, c);
    s->tdt.jump = 0;
    s->tdt.n_tokens = 0;
    s->tdt.offset += j->n_final;
}

/* Decode `look` ? the look-ahead with a copy of the state : the final frames. */
static conure_status decode(batch *b, bool look)
{
    conure_recognizer *r = b->r;
    const conure_config *c = &r->model->config;
    conure_tdt_chunk *chunks = conure_arena_take(&r->arena, b->n, sizeof *chunks);
    uint32_t n = 0;
    if (!chunks)
        return conure_fail_memory(b->err, "a step", b->n * sizeof *chunks);
    for (uint32_t i = 0; i < b->n; i++) {
        job *j = &b->jobs[i];
        conure_session *s = j->s;
        if (!decodes(j, look))
            continue;
        conure_tdt_copy(&s->spare, &s->tdt, c);
        if (!look)
            s->tdt.n_tokens = 0;
        chunks[n++] = (conure_tdt_chunk){
            .tdt = look ? &s->spare : &s->tdt, .frames = j->projected + (look ? (size_t)j->n_final * c->joint_hidden : 0),
            .n_frames = look ? j->n_look : j->n_final, .last = look || j->last, .err = &s->error};
    }
    const conure_status status = n ? conure_tdt_decode(r->engine, r->self, c, &r->decoding, &r->room, chunks, n, b->err) : CONURE_OK;
    for (uint32_t i = 0, k = 0; i < b->n; i++) {
        job *j = &b->jobs[i];
        conure_session *s = j->s;
        if (!decodes(j, look))
            continue;
        const bool failed = status != CONURE_OK || chunks[k].status != CONURE_OK;
        if (look) {
            j->decoded.look = failed ? NULL : s->spare.tokens;
            j->decoded.n_look = failed ? 0 : s->spare.n_tokens;
        } else if (failed) {
            conure_tdt_copy(&s->tdt, &s->spare, c);
            j->status = status != CONURE_OK ? status : chunks[k].status;
        }
        k++;
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static uint64_t arena_bytes(const batch *b)
{
    const conure_config *c = &b->r->model->config;
    uint64_t bytes = 4096;
    for (uint32_t i = 0; i < b->n; i++) {
        const job *j = &b->jobs[i];
        uint64_t mel = 0, frames = 0;
        if (j->from_ahead) {
            frames = j->s->n_ahead;
        } else if (j->works) {
            mel = conure_session_cached(j->s) ? j->slice.n_frames : conure_recognizer_frames_most(b->r, j->n_samples);
            frames = mel / 8 + 2;
        }
        bytes += (j->n_samples + 2 * mel * c->mel_bins + frames * (c->d_model + c->joint_hidden)) * sizeof(float) + 8 * 2 * CONURE_ALIGN;
    }
    return bytes + b->n * (sizeof(conure_encode_row) + 2 * sizeof(conure_tdt_chunk) + 4 * CONURE_ALIGN);
}

static conure_status compute(batch *b)
{
    conure_recognizer *r = b->r;
    const uint64_t bytes = arena_bytes(b);
    if (r->arena.cap < bytes && !conure_arena_reserve(&r->arena, bytes))
        return conure_fail_memory(b->err, "a step", bytes);
    const double start_s = conure_now_s();
    for (uint32_t i = 0; i < b->n; i++)
        if (b->jobs[i].works && !b->jobs[i].from_ahead) {
            const conure_status status = features(b, &b->jobs[i]);
            if (status != CONURE_OK)
                return status;
        }
    const double features_s = conure_now_s();
    conure_status status = encode(b);
    for (uint32_t i = 0; i < b->n && status == CONURE_OK; i++)
        if (b->jobs[i].works && b->jobs[i].status == CONURE_OK)
            status = project(b, &b->jobs[i]);
    const double encoder_s = conure_now_s();
    if (status == CONURE_OK)
        status = decode(b, false);
    for (uint32_t i = 0; i < b->n && status == CONURE_OK; i++) {
        conure_decoded *d = &b->jobs[i].decoded;
        if (b->jobs[i].works && b->jobs[i].lost)
            pass_by(&b->jobs[i], &r->model->config);
        const conure_tdt *tdt = &b->jobs[i].s->tdt, *before = &b->jobs[i].s->spare;
        d->tokens = tdt->tokens;
        d->n_tokens = tdt->n_tokens;
        d->n_blanks = tdt->n_blanks - before->n_blanks;
    }
    if (status == CONURE_OK)
        (void)decode(b, true); /* without it there is no tentative text, and nothing else is lost */
    b->features_s = features_s - start_s;
    b->encoder_s = encoder_s - features_s;
    b->decoder_s = conure_now_s() - encoder_s;
    return status;
}

/* The log-mel frames of the frames decoded, for their energy. */
static void show_mel(job *j)
{
    const conure_session *s = j->s;
    const conure_frames *f = &s->frames;
    const uint64_t in_window = 8 * (uint64_t)j->first_frame, in_run = 8 * j->decoded.first_frame;
    if (s->options.endpoint_energy_db <= 0)
        return;
    if (conure_session_cached(s) && in_run >= f->first && in_run < f->end) {
        j->decoded.mel = f->data + (in_run - f->first) * s->mel_bins;
        j->decoded.n_mel = f->end - in_run;
    } else if (j->mel && in_window < j->row.n_valid) {
        j->decoded.mel = j->mel + in_window * s->mel_bins;
        j->decoded.n_mel = j->row.n_valid - in_window;
    }
}

/* Under the session's lock: its step is done, or has failed. */
static void settle(batch *b, job *j, uint32_t n_working)
{
    conure_session *s = j->s;
    conure_session_stats *stats = &s->stats;
    if (j->status == CONURE_OK && j->works) {
        const bool cached = conure_session_cached(s);
        j->decoded.n_frames = j->n_final;
        j->decoded.first_frame = s->tdt.offset - j->n_final;
        j->decoded.last = j->last;
        show_mel(j);
        stats->n_encoder_calls += !j->from_ahead;
        stats->features_s += b->features_s / n_working;
        stats->encoder_s += b->encoder_s / n_working;
        stats->decoder_s += b->decoder_s / n_working;
        if (!cached)
            conure_window_advance(&s->window, &j->window);
        s->n_ahead = s->n_ahead_final = 0;
        s->ahead_last = s->ahead_lost = false;
        conure_session_weigh(s);
        conure_metrics_observe(&s->watch.metrics, b->wall_s, stats->cache_length, j->decoded.n_blanks,
                               (uint64_t)j->decoded.n_blanks + j->decoded.n_tokens);
    }
    stats->n_violations += j->violated;
    const bool computed = j->status == CONURE_OK;
    if (computed)
        j->status = conure_publish(s, j->works ? &j->decoded : NULL, &s->error);
    if (j->status < 0 && (computed || (j->status != CONURE_CANCELLED && j->status != CONURE_NO_MEMORY)))
        s->failed = j->status; /* what was only put off can be tried again */
    s->stepping = false;
    (void)conure_session_look(s);
}

/* A batch failed for what may be the fault of one session, or of too many at once: each alone, from where it stands. */
static void compute_apart(batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        job *j = &b->jobs[i];
        batch alone = {.r = b->r, .jobs = j, .n = 1, .err = &j->s->error};
        if (!j->works || j->status == CONURE_VIOLATION)
            continue;
        b->r->arena.used = 0;
        j->from_ahead = j->s->n_ahead > 0;
        j->status = CONURE_OK;
        const conure_status status = compute(&alone);
        j->status = j->status == CONURE_OK ? status : j->status;
        b->features_s += alone.features_s;
        b->encoder_s += alone.encoder_s;
        b->decoder_s += alone.decoder_s;
    }
}

conure_status conure_step_batch(conure_recognizer *r, conure_session *const *sessions, uint32_t n, conure_status *statuses,
                                conure_error *err)
{
    const double start_s = conure_now_s();
    conure_status first = CONURE_OK;
    conure_error why = {""}; /* the caller may not ask, but the sessions do */
    uint32_t n_jobs = 0, n_working = 0;
    job *jobs = conure_calloc(n ? n : 1, sizeof *jobs);
    for (uint32_t i = 0; i < n && !jobs; i++)
        statuses[i] = CONURE_NO_MEMORY;
    if (!jobs)
        return conure_fail_memory(err, "a step", n * sizeof *jobs);
    batch b = {.r = r, .jobs = jobs, .err = &why};
    for (uint32_t i = 0; i < n; i++) {
        job j = {.s = sessions[i]};
        pthread_mutex_lock(&sessions[i]->lock);
        statuses[i] = plan(&j, &why);
        pthread_mutex_unlock(&sessions[i]->lock);
        if (statuses[i] == CONURE_OK) {
            n_working += j.works;
            jobs[n_jobs++] = j;
        }
    }
    b.n = n_jobs;
    conure_status status = n_working ? compute(&b) : CONURE_OK;
    if (status != CONURE_OK && status != CONURE_CANCELLED && n_working > 1) {
        compute_apart(&b);
        status = CONURE_OK;
    }
    r->arena.used = 0;
    b.wall_s = conure_now_s() - start_s;
    const double step_s = b.wall_s / (n_jobs ? n_jobs : 1);
    for (uint32_t i = 0, k = 0; i < n; i++) {
        if (statuses[i] == CONURE_OK && k < n_jobs && jobs[k].s == sessions[i]) {
            job *j = &jobs[k++];
            pthread_mutex_lock(&j->s->lock);
            if (status != CONURE_OK && j->works && j->status != CONURE_VIOLATION) {
                j->status = status;
                j->s->error = why;
            }
            j->s->stats.step_s += step_s;
            settle(&b, j, n_working ? n_working : 1);
            if (j->status < 0 && first == CONURE_OK)
                why = j->s->error;
            pthread_mutex_unlock(&j->s->lock);
            statuses[i] = j->status;
        }
        if (statuses[i] < 0 && first == CONURE_OK)
            first = statuses[i];
    }
    free(jobs);
    if (err && (first < 0 || n == 1))
        *err = why;
    return first;
}

/* ---- the public calls ------------------------------------------------------------------------ */

static conure_status check(conure_session *const *sessions, uint32_t n, conure_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!sessions[i])
            return conure_fail(err, CONURE_BAD_ARG, "conure_sessions_step: session %u is NULL", i);
        if (sessions[i]->scheduler)
            return conure_fail(err, CONURE_BAD_STATE, "conure_sessions_step: session %u belongs to a scheduler, which steps it", i);
        if (!sessions[i]->recognizer)
            return conure_fail(err, CONURE_BAD_STATE, "conure_session_step: the recognizer of this session was closed; close the session "
                               "first");
        if (sessions[i]->recognizer != sessions[0]->recognizer)
            return conure_fail(err, CONURE_BAD_ARG, "conure_sessions_step: sessions 0 and %u are of different recognizers", i);
    }
    return CONURE_OK;
}

conure_status conure_sessions_step(conure_session *const *sessions, uint32_t n, conure_status *statuses, conure_error *err)
{
    uint32_t n_entered = 0;
    if ((n && !sessions) || !statuses || n > CONURE_BATCH_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "conure_sessions_step: sessions and statuses must not be NULL, and at most %d", CONURE_BATCH_MAX);
    conure_status status = check(sessions, n, err);
    while (status == CONURE_OK && n_entered < n) {
        if (atomic_flag_test_and_set_explicit(&sessions[n_entered]->in_call, memory_order_acquire))
            status = conure_fail(err, CONURE_BAD_STATE, "conure_sessions_step: session %u is given twice, or another thread is in a call on it",
                                 n_entered);
        else
            n_entered++;
    }
    for (uint32_t i = 0; i < n && status != CONURE_OK; i++)
        statuses[i] = status;
    if (status == CONURE_OK && n) {
        conure_recognizer *r = sessions[0]->recognizer;
        pthread_mutex_lock(&r->in_use);
        status = conure_step_batch(r, sessions, n, statuses, err);
        pthread_mutex_unlock(&r->in_use);
    }
    for (uint32_t i = 0; i < n_entered; i++)
        atomic_flag_clear_explicit(&sessions[i]->in_call, memory_order_release);
    return status;
}

/* snapshot.c - a session as bytes, and back.
 *
 * Little-endian like everything here runs on: magic, the length, who it is for, everything a step or a feed changes, and a
 * SHA-256 of all that.  Who it is for: version, model, engine, precision, mask and the options that give the state its
 * form.  What an honest session cannot hold is refused, so that a forged one harms nobody. */
#include "stream/session.h"

#include "base/files.h"
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[16] = "conure session\n";
enum { VERSION = 2, SHA_BYTES = 64 };
static const double TIME_S_MAX = 1e12;

#define PUT(buffer, value) conure_buffer_add((buffer), &(value), sizeof(value))
#define GET(reader, value) conure_read((reader), &(value), sizeof(value))

/* A bool that anybody may have written. */
static bool get_bool(conure_reader *in)
{
    uint8_t byte = 0;
    conure_read(in, &byte, sizeof byte);
    return byte != 0;
}

/* ---- who it is for --------------------------------------------------------------------------- */

static void identity_numbers(const conure_session *s, conure_buffer *out)
{
    const conure_session_options *o = &s->options;
    const uint32_t numbers[] = {(uint32_t)o->mode, s->left, s->chunk, s->right, (uint32_t)o->endpoint, (uint32_t)o->endpoint_reset,
                                (uint32_t)o->time_cache, (uint32_t)o->normalize, o->keep_negative, o->cache_f32, o->slice_frames,
                                (uint32_t)s->recognizer->mask, (uint32_t)s->recognizer->precision,
                                s->recognizer->decoding.max_symbols};
    const double reals[] = {o->rule1_min_trailing_silence_s, o->rule2_min_trailing_silence_s, o->rule3_min_utterance_length_s,
                            o->endpoint_energy_db, o->buffer_s};
    conure_buffer_add(out, numbers, sizeof numbers);
    conure_buffer_add(out, reals, sizeof reals);
}

typedef struct identity {
    char version[16], model[68], engine[64], hotwords[68]; /* hotwords: "": none */
} identity;

static conure_status identify(const conure_session *s, identity *out, conure_error *err)
{
    conure_model_info info = {.struct_bytes = sizeof info};
    const conure_status status = conure_model_get_info(s->recognizer->model, &info);
    if (status != CONURE_OK)
        return conure_fail(err, status, "the model's hash: %s", conure_status_text(status));
    *out = (identity){{0}, {0}, {0}, {0}};
    snprintf(out->version, sizeof out->version, "%s", conure_version());
    snprintf(out->model, sizeof out->model, "%s", info.sha256);
    snprintf(out->engine, sizeof out->engine, "%s", s->recognizer->engine->name);
    if (s->options.hotwords)
        snprintf(out->hotwords, sizeof out->hotwords, "%s", conure_hotwords_sha256(s->options.hotwords));
    return CONURE_OK;
}

#define LIST_TEXT(hash) *(hash) ? "hotwords " : "no hotwords", (hash), *(hash) ? "..." : ""

static conure_status check_identity(const conure_session *s, conure_reader *in, conure_error *err)
{
    identity want, got;
    conure_buffer numbers = {0};
    conure_status status = identify(s, &want, err);
    GET(in, got);
    got.version[sizeof got.version - 1] = got.model[sizeof got.model - 1] = got.engine[sizeof got.engine - 1] =
        got.hotwords[sizeof got.hotwords - 1] = 0;
    if (status == CONURE_OK && strcmp(got.version, want.version) != 0)
        status = conure_fail(err, CONURE_UNSUPPORTED, "the snapshot was made by version %s, this is %s", got.version, want.version);
    if (status == CONURE_OK && strcmp(got.model, want.model) != 0)
        status = conure_fail(err, CONURE_UNSUPPORTED, "the snapshot is of model %.16s..., this session's is %.16s...", got.model, want.model);
    if (status == CONURE_OK && strcmp(got.engine, want.engine) != 0)
        status = conure_fail(err, CONURE_UNSUPPORTED, "the snapshot is of engine %s, this session's is %s", got.engine, want.engine);
    if (status == CONURE_OK && strcmp(got.hotwords, want.hotwords) != 0)
        status = conure_fail(err, CONURE_UNSUPPORTED, "the snapshot is of a session with %s%.16s%s, this one has %s%.16s%s: open it with the "
                             "same list and score", LIST_TEXT(got.hotwords), LIST_TEXT(want.hotwords));
    identity_numbers(s, &numbers);
    const void *same = conure_read_span(in, numbers.bytes);
    if (status == CONURE_OK && numbers.failed)
        status = conure_fail_memory(err, "a snapshot", numbers.bytes);
    if (status == CONURE_OK && (!same || memcmp(same, numbers.data, numbers.bytes) != 0))
        status = conure_fail(err, CONURE_UNSUPPORTED, "the snapshot is of a session with other options, mask, precision or max_symbols: open "
                             "this one with the same");
    conure_buffer_free(&numbers);
    return status;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static conure_status save_cached(const conure_session *s, conure_buffer *out, conure_error *err)
{
    const conure_recognizer *r = s->recognizer;
    size_t snapshot = 0, memory = 0;
    r->engine->state_bytes(r->self, s->state, &snapshot, &memory);
    const uint64_t bytes = snapshot;
    PUT(out, s->schedule.position);
    PUT(out, s->schedule.n_steps);
    PUT(out, s->schedule.finished);
    PUT(out, s->frames.first);
    PUT(out, s->frames.end);
    PUT(out, s->frames.counted);
    conure_buffer_add(out, s->frames.data, (s->frames.end - s->frames.first) * s->mel_bins * sizeof(float));
    conure_running_save(&s->running, out);
    PUT(out, s->n_ahead);
    PUT(out, s->n_ahead_final);
    PUT(out, s->ahead_last);
    PUT(out, s->ahead_lost);
    conure_buffer_add(out, s->ahead, (size_t)s->n_ahead * r->model->config.d_model * sizeof(float));
    void *state = malloc(bytes ? bytes : 1);
    if (!state)
        return conure_fail_memory(err, "a snapshot", bytes);
    const conure_status status = r->engine->state_save(r->self, s->state, state, err);
    PUT(out, bytes);
    conure_buffer_add(out, state, bytes);
    free(state);
    return status;
}

static void save_input(const conure_session *s, conure_buffer *out)
{
    const conure_input *in = &s->input;
    const uint64_t floor = conure_session_cached(s) ? in->keep : conure_window_keep(&s->window, in->heard);
    const uint64_t keep = floor < in->heard ? floor : in->heard;
    PUT(out, s->input_rate_hz);
    PUT(out, in->heard);
    PUT(out, keep);
    PUT(out, in->ended);
    PUT(out, in->gap_s);
    for (uint64_t i = keep, n; i < in->heard; i += n) {
        n = in->cap - i % in->cap < in->heard - i ? in->cap - i % in->cap : in->heard - i;
        conure_buffer_add(out, in->ring + i % in->cap, n * sizeof(float));
    }
    conure_resampler_save(s->resampler, out);
}

static void save_decoder(const conure_session *s, conure_buffer *out)
{
    const conure_config *c = &s->recognizer->model->config;
    conure_buffer_add(out, s->tdt.h, (2 * (size_t)c->pred_layers * c->pred_hidden + c->joint_hidden) * sizeof(float));
    PUT(out, s->tdt.started);
    PUT(out, s->tdt.jump);
    PUT(out, s->tdt.offset);
    PUT(out, s->tdt.n_blanks);
    if (s->tdt.trial)
        conure_trial_save(s->tdt.trial, out);
    conure_live_text_save(s->text, out);
    PUT(out, s->endpoint);
}

static conure_status save(const conure_session *s, conure_buffer *out, conure_error *err)
{
    identity who;
    char digest[SHA_BYTES + 1];
    conure_sha256 sha;
    conure_status status = identify(s, &who, err);
    if (status != CONURE_OK)
        return status;
    const uint32_t version = VERSION;
    uint64_t bytes = 0;
    conure_buffer_add(out, MAGIC, sizeof MAGIC);
    PUT(out, version);
    PUT(out, bytes);
    PUT(out, who);
    identity_numbers(s, out);
    PUT(out, s->finished);
    PUT(out, s->over);
    PUT(out, s->origin_s);
    PUT(out, s->stats);
    PUT(out, s->utterance_first);
    PUT(out, s->n_tokens_before);
    PUT(out, s->text_before);
    PUT(out, s->space_owed);
    PUT(out, s->had_tentative);
    PUT(out, s->sequence);
    PUT(out, s->utterance);
    PUT(out, s->after_gap);
    PUT(out, s->window.now);
    PUT(out, s->window.taken);
    PUT(out, s->window.finished);
    if (conure_session_cached(s))
        status = save_cached(s, out, err);
    save_input(s, out);
    save_decoder(s, out);
    if (status == CONURE_OK && !out->failed) {
        bytes = out->bytes + SHA_BYTES;
        memcpy(out->data + sizeof MAGIC + sizeof version, &bytes, sizeof bytes);
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, out->data, out->bytes);
        conure_sha256_hex(&sha, digest);
        conure_buffer_add(out, digest, SHA_BYTES);
    }
    if (status == CONURE_OK && out->failed)
        status = conure_fail_memory(err, "a snapshot", out->bytes);
    return status;
}

/* ---- loading --------------------------------------------------------------------------------- */

static conure_status damaged(const char *what, conure_error *err)
{
    return conure_fail(err, CONURE_BAD_FILE, "the snapshot is damaged: %s", what);
}

static conure_status check_whole(const void *data, size_t bytes, conure_reader *in, conure_error *err)
{
    uint32_t version;
    uint64_t told;
    char digest[SHA_BYTES + 1];
    conure_sha256 sha;
    char magic[sizeof MAGIC];
    *in = (conure_reader){.data = data, .bytes = bytes};
    GET(in, magic);
    GET(in, version);
    GET(in, told);
    if (in->failed || memcmp(magic, MAGIC, sizeof MAGIC) != 0)
        return damaged("it does not begin as a session's snapshot does", err);
    if (version != VERSION)
        return conure_fail(err, CONURE_UNSUPPORTED, "the snapshot is of version %u, this library reads %u", version, (uint32_t)VERSION);
    if (told != bytes || bytes < SHA_BYTES)
        return conure_fail(err, CONURE_BAD_FILE, "the snapshot is damaged: %zu bytes, it says %llu", bytes, (unsigned long long)told);
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, data, bytes - SHA_BYTES);
    conure_sha256_hex(&sha, digest);
    if (memcmp(digest, (const uint8_t *)data + bytes - SHA_BYTES, SHA_BYTES) != 0)
        return damaged("its checksum does not match", err);
    in->bytes = bytes - SHA_BYTES;
    return CONURE_OK;
}

static bool window_possible(const conure_window *w)
{
    const conure_context *now = &w->now, *limit = &w->limit;
    const uint64_t whole = limit->left + limit->chunk + limit->right;
    if (w->taken == 0)
        return now->left == 0 && now->chunk == 0 && now->right == 0;
    if (w->taken > (uint64_t)1 << 60 || now->left > limit->left + limit->chunk + limit->right || now->chunk > whole || now->right > whole)
        return false;
    const uint64_t all = now->left + now->chunk + now->right;
    return all <= whole && all <= w->taken && (w->finished || (now->chunk == limit->chunk && now->right == limit->right));
}

/* Mel frames up to the end of the slice before the next one: all of them were computed and counted. */
static uint64_t frames_behind(const conure_schedule *h)
{
    const int later = h->n_steps > 1;
    return h->n_steps ? (uint64_t)(h->position - h->rule.shift[later] + h->rule.frames[later]) : 0;
}

static conure_status load_cached(conure_session *s, conure_reader *in, conure_error *err)
{
    const conure_recognizer *r = s->recognizer;
    const size_t d = r->model->config.d_model;
    conure_schedule *h = &s->schedule;
    conure_frames *f = &s->frames;
    uint64_t bytes;
    GET(in, h->position);
    GET(in, h->n_steps);
    h->finished = get_bool(in);
    GET(in, f->first);
    GET(in, f->end);
    GET(in, f->counted);
    conure_schedule fresh;
    conure_schedule_init(&fresh, &h->rule);
    if (in->failed || h->n_steps > (uint64_t)1 << 40 ||
        h->position != fresh.position + (h->n_steps ? h->rule.shift[0] + (int64_t)(h->n_steps - 1) * h->rule.shift[1] : 0))
        return damaged("the schedule", err);
    if (f->first > f->end || f->end - f->first > f->cap || f->counted < f->first || f->counted > f->end ||
        f->first > conure_schedule_keep(h) || (int64_t)f->end > h->position + (int64_t)h->rule.frames[h->n_steps > 0] ||
        (!h->finished && f->counted < frames_behind(h)))
        return damaged("its mel frames", err);
    conure_read(in, f->data, (f->end - f->first) * s->mel_bins * sizeof(float));
    conure_running_load(&s->running, in);
    GET(in, s->n_ahead);
    GET(in, s->n_ahead_final);
    s->ahead_last = get_bool(in);
    s->ahead_lost = get_bool(in);
    if (in->failed || s->n_ahead > s->ahead_cap || s->n_ahead_final > s->n_ahead || (s->ahead_last && !h->finished))
        return damaged("its encoder frames", err);
    conure_read(in, s->ahead, s->n_ahead * d * sizeof(float));
    GET(in, bytes);
    const void *state = in->failed ? NULL : conure_read_span(in, bytes);
    if (!state)
        return damaged("its caches are cut off", err);
    return r->engine->state_load(r->self, s->state, state, bytes, err);
}

/* Samples before this one are needed for no frame from `frame` on. */
static uint64_t needed_for(const conure_session *s, uint64_t frame)
{
    return conure_samples_from(&s->recognizer->model->config, frame);
}

/* What finish(), a gap and the last step leave together. */
static bool ends_possible(const conure_session *s)
{
    const conure_input *in = &s->input;
    return in->ended == (s->finished || in->gap_s >= 0) && (!s->over || (s->finished && in->gap_s < 0)) &&
           (in->ended || !(s->window.finished || s->schedule.finished || conure_resampler_flushed(s->resampler)));
}

static conure_status load_input(conure_session *s, conure_reader *in, conure_error *err)
{
    conure_input *to = &s->input;
    uint32_t rate_hz;
    GET(in, rate_hz);
    GET(in, to->heard);
    GET(in, to->keep);
    to->ended = get_bool(in);
    GET(in, to->gap_s);
    const uint64_t needed = conure_session_cached(s) ? needed_for(s, s->frames.end) : conure_window_keep(&s->window, to->heard);
    if (in->failed || to->heard > (uint64_t)1 << 60 || to->keep > to->heard || to->heard - to->keep > to->cap ||
        to->keep > needed || s->window.taken > to->heard || !(to->gap_s >= -1 && to->gap_s < TIME_S_MAX))
        return damaged("its audio", err);
    if (conure_session_cached(s) && (s->frames.end > conure_session_mel_frames(s) ||
                                     (!s->schedule.finished && to->keep < needed_for(s, frames_behind(&s->schedule)))))
        return damaged("its mel frames", err);
    if (rate_hz < CONURE_RESAMPLE_HZ_MIN || rate_hz > CONURE_RESAMPLE_HZ_MAX)
        return damaged("its rate", err);
    for (uint64_t i = to->keep, n; i < to->heard; i += n) {
        n = to->cap - i % to->cap < to->heard - i ? to->cap - i % to->cap : to->heard - i;
        conure_read(in, to->ring + i % to->cap, n * sizeof(float));
    }
    if (rate_hz != s->input_rate_hz) {
        conure_resampler *other = NULL;
        const conure_status status = conure_resampler_open(&other, rate_hz, s->rate_hz, err);
        if (status != CONURE_OK)
            return status;
        conure_resampler_close(&s->resampler);
        s->resampler = other;
        s->input_rate_hz = rate_hz;
    }
    const conure_status status = conure_resampler_load(s->resampler, in, err);
    return status == CONURE_OK && !ends_possible(s) ? damaged("its end", err) : status;
}

/* Frames and utterances that the audio has room for. */
static bool places_possible(const conure_session *s)
{
    const conure_endpoint *e = &s->endpoint;
    return s->tdt.offset <= s->input.heard / s->frame_samples + 1 && s->utterance_first <= s->tdt.offset &&
           e->frame == (s->options.endpoint ? s->tdt.offset : 0) && e->start <= e->frame;
}

static conure_status load_decoder(conure_session *s, conure_reader *in, conure_error *err)
{
    const conure_config *c = &s->recognizer->model->config;
    conure_read(in, s->tdt.h, (2 * (size_t)c->pred_layers * c->pred_hidden + c->joint_hidden) * sizeof(float));
    s->tdt.started = get_bool(in);
    GET(in, s->tdt.jump);
    GET(in, s->tdt.offset);
    GET(in, s->tdt.n_blanks);
    s->tdt.n_tokens = 0;
    if (in->failed || s->tdt.jump > 1u << 20 ||
        (s->tdt.trial && !conure_trial_load(s->tdt.trial, in, s->tdt.offset, s->recognizer->decoding.max_symbols)))
        return damaged("its decoder", err);
    const conure_status status = conure_live_text_load(s->text, in, err);
    if (status != CONURE_OK)
        return status;
    GET(in, s->endpoint);
    if (in->failed || in->at != in->bytes)
        return damaged("it is cut off, or has more than it should", err);
    return places_possible(s) ? CONURE_OK : damaged("its places in the audio", err);
}

static conure_status load(conure_session *s, conure_reader *in, conure_error *err)
{
    s->finished = get_bool(in);
    s->over = get_bool(in);
    GET(in, s->origin_s);
    GET(in, s->stats);
    GET(in, s->utterance_first);
    GET(in, s->n_tokens_before);
    s->text_before = get_bool(in);
    s->space_owed = get_bool(in);
    s->had_tentative = get_bool(in);
    GET(in, s->sequence);
    GET(in, s->utterance);
    s->after_gap = get_bool(in);
    GET(in, s->window.now);
    GET(in, s->window.taken);
    s->window.finished = get_bool(in);
    if (in->failed || !(s->origin_s >= 0 && s->origin_s < TIME_S_MAX) || !window_possible(&s->window))
        return damaged("its windows", err);
    conure_status status = conure_session_cached(s) ? load_cached(s, in, err) : CONURE_OK;
    if (status == CONURE_OK)
        status = load_input(s, in, err);
    return status == CONURE_OK ? load_decoder(s, in, err) : status;
}

/* ---- the public calls ------------------------------------------------------------------------ */

/* The owner's call, with nobody stepping: in_use first, then the session's lock.  The first question for a model's hash takes
 * seconds: it is asked before anybody has to wait. */
static conure_status hold(conure_session *s, const char *what, conure_recognizer **r, conure_error *err)
{
    const conure_status status = conure_session_claim(s, what, err);
    if (status != CONURE_OK)
        return status;
    *r = s->recognizer;
    if (!*r) {
        atomic_flag_clear_explicit(&s->in_call, memory_order_release);
        return conure_session_orphaned(what, err);
    }
    conure_model_info info = {.struct_bytes = sizeof info};
    (void)conure_model_get_info(s->model, &info); /* identify() tells if it fails */
    pthread_mutex_lock(&(*r)->in_use);
    pthread_mutex_lock(&s->lock);
    return CONURE_OK;
}

static void let_go(conure_session *s, conure_recognizer *r)
{
    const bool wake = conure_session_look(s);
    struct conure_scheduler *scheduler = s->scheduler;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_unlock(&r->in_use);
    atomic_flag_clear_explicit(&s->in_call, memory_order_release);
    if (wake && scheduler)
        conure_scheduler_ready(scheduler);
}

conure_status conure_session_save(conure_session *s, void *data, size_t cap_bytes, size_t *bytes, conure_error *err)
{
    conure_buffer buffer = {0};
    conure_recognizer *r = NULL;
    if (!bytes || (cap_bytes && !data))
        return conure_fail(err, CONURE_BAD_ARG, "conure_session_save: bytes must not be NULL, nor data unless cap_bytes is 0");
    *bytes = 0;
    conure_status status = hold(s, "conure_session_save", &r, err);
    if (status != CONURE_OK)
        return status;
    if (conure_events_waiting(&s->events))
        status = conure_fail(err, CONURE_BAD_STATE, "conure_session_save: an event is waiting: poll it first");
    else if (s->failed != CONURE_OK)
        status = conure_fail(err, CONURE_BAD_STATE, "conure_session_save: the session has failed (%s)", s->error.text);
    else
        status = save(s, &buffer, err);
    let_go(s, r);
    if (status == CONURE_OK) {
        *bytes = buffer.bytes;
        if (data && buffer.bytes <= cap_bytes)
            memcpy(data, buffer.data, buffer.bytes);
        else if (data)
            status = conure_fail(err, CONURE_FULL, "conure_session_save: %zu bytes are needed, there is room for %zu", buffer.bytes, cap_bytes);
    }
    conure_buffer_free(&buffer);
    return status;
}

conure_status conure_session_load(conure_session *s, const void *data, size_t bytes, conure_error *err)
{
    conure_buffer before = {0};
    conure_reader in;
    conure_recognizer *r = NULL;
    if (!data)
        return conure_fail(err, CONURE_BAD_ARG, "conure_session_load: data must not be NULL");
    conure_status status = hold(s, "conure_session_load", &r, err);
    if (status != CONURE_OK)
        return status;
    status = check_whole(data, bytes, &in, err);
    if (status == CONURE_OK)
        status = check_identity(s, &in, err);
    if (status == CONURE_OK)
        status = save(s, &before, err); /* to go back to */
    if (status == CONURE_OK) {
        status = load(s, &in, err);
        if (status == CONURE_OK) {
            conure_events_clear(&s->events);
            s->failed = CONURE_OK;
            conure_session_weigh(s);
        } else if (check_whole(before.data, before.bytes, &in, NULL) != CONURE_OK || check_identity(s, &in, NULL) != CONURE_OK ||
                   load(s, &in, NULL) != CONURE_OK) {
            s->failed = conure_fail(&s->error, CONURE_NO_MEMORY, "a snapshot could not be loaded, nor what was before be put back");
        }
    }
    conure_buffer_free(&before);
    let_go(s, r);
    return status;
}

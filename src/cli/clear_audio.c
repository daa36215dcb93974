/* clear_audio.c - the stage audio: real speech through reference and candidate, each clip as a whole and live. */
#include "cli/clear.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"
#include "cli/terminal.h"
#include "cli/wer.h"
#include "cli/wer_input.h"
#include "stream/recognizer.h"
#include "stream/result.h"

#define FEED_SAMPLES 8000

/* ---- which clips ------------------------------------------------------------------------------ */

void conure_clear_clips_free(conure_clear_clips *clips)
{
    for (uint32_t i = 0; i < clips->n; i++) {
        free(clips->paths[i]);
        if (clips->texts)
            free(clips->texts[i]);
    }
    free(clips->paths);
    free(clips->texts);
    *clips = (conure_clear_clips){0};
}

static conure_status add_clip(conure_clear_clips *c, const char *folder, const char *name, const char *text, conure_error *err)
{
    char path[4096];
    if (name[0] == '/' || !folder[0])
        snprintf(path, sizeof path, "%s", name);
    else if (!conure_path_join(path, sizeof path, folder, name))
        return conure_fail(err, CONURE_BAD_FILE, "%.200s: the name of a clip is too long", name);
    c->paths[c->n] = conure_strdup(path);
    c->texts[c->n] = text ? conure_strdup(text) : NULL;
    const bool bad = !c->paths[c->n] || (text && !c->texts[c->n]);
    c->n++;
    return bad ? conure_fail_memory(err, "names of clips", sizeof path) : CONURE_OK;
}

static conure_status room_for(conure_clear_clips *c, size_t n, conure_error *err)
{
    c->paths = conure_calloc(n ? n : 1, sizeof *c->paths);
    c->texts = conure_calloc(n ? n : 1, sizeof *c->texts);
    return c->paths && c->texts ? CONURE_OK : conure_fail_memory(err, "names of clips", n * sizeof *c->paths);
}

static conure_status read_manifest(conure_clear_clips *c, const char *manifest, size_t max, conure_error *err)
{
    conure_utterances u = {0};
    char folder[4096] = "";
    const char *slash = strrchr(manifest, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - manifest) : 0, manifest);
    conure_status status = conure_utterances_read(&u, manifest, NULL, false, err);
    if (status == CONURE_OK && (!u.keyed || u.n == 0))
        status = conure_fail(err, CONURE_BAD_FILE, "%s names no audio files: a manifest has audio_filepath and text, a TSV file the columns file and "
                             "text", manifest);
    const size_t n = u.n < max ? u.n : max;
    if (status == CONURE_OK)
        status = room_for(c, n, err);
    for (size_t i = 0; i < n && status == CONURE_OK; i++)
        status = add_clip(c, folder, u.items[i].key, u.items[i].text, err);
    c->with_texts = true;
    conure_utterances_free(&u);
    return status;
}

conure_status conure_clear_clips_read(conure_clear_clips *out, const json_t *config, conure_error *err)
{
    const char *manifest = conure_clear_text(config, "audio.manifest", NULL);
    const json_t *files = json_object_get(json_object_get(config, "audio"), "files");
    const size_t max = (size_t)conure_clear_count(config, "audio.clips_max", UINT32_MAX);
    *out = (conure_clear_clips){0};
    if (manifest)
        return read_manifest(out, manifest, max, err);
    const size_t n = json_array_size(files) < max ? json_array_size(files) : max;
    conure_status status = room_for(out, n, err);
    for (size_t i = 0; i < n && status == CONURE_OK; i++)
        status = add_clip(out, "", json_string_value(json_array_get(files, i)), NULL, err);
    return status;
}

conure_status conure_clear_clips_hash(const conure_clear_clips *clips, char hex[65], conure_error *err)
{
    conure_sha256 sha;
    conure_status status = CONURE_OK;
    conure_sha256_init(&sha);
    for (uint32_t i = 0; i < clips->n && status == CONURE_OK; i++) {
        conure_map map;
        status = conure_map_open(&map, clips->paths[i], err);
        if (status != CONURE_OK)
            break;
        const uint64_t bytes = map.bytes;
        conure_sha256_add(&sha, &bytes, sizeof bytes);
        conure_sha256_add(&sha, map.data, (size_t)map.bytes);
        conure_map_close(&map);
    }
    conure_sha256_hex(&sha, hex);
    return status;
}

/* ---- hearing a clip --------------------------------------------------------------------------- */

/* Whole files; live in windows, each encoded anew; live with caches, as the contract's steps have them. */
enum { WHOLE = 0, WINDOWS, CACHES, WAYS };
static const char *const ways[WAYS] = {"offline", "live", "cached"};

typedef struct hearing {
    conure_recognizer *recognizers[2]; /* reference, candidate */
    conure_session_options sessions[WAYS]; /* [0] is not used: whole files */
    bool has[WAYS];
    const conure_model *model;
    conure_normaliser normaliser;
    conure_fault fault;       /* in what the candidate says */
    void (*inject)(bool on);  /* see conure_clearing */
    bool *durations, *tokens; /* seen in the reference's transcripts: [n_durations], [vocab_size] */
} hearing;

typedef struct tokens {
    conure_tdt_token *items;
    uint32_t n, cap;
} tokens;

static conure_status take_events(conure_session *s, tokens *t, conure_error *err)
{
    const conure_event *e;
    while (conure_session_poll(s, &e) == CONURE_OK) {
        if (t->n + e->n_tokens > t->cap) {
            const uint32_t cap = 2 * (t->n + e->n_tokens);
            conure_tdt_token *larger = realloc(t->items, cap * sizeof *larger);
            if (!larger)
                return conure_fail_memory(err, "tokens", cap * sizeof *larger);
            t->items = larger;
            t->cap = cap;
        }
        for (uint32_t i = 0; i < e->n_tokens; i++)
            t->items[t->n++] = (conure_tdt_token){e->tokens[i].id, e->tokens[i].frame, e->tokens[i].duration, e->tokens[i].confidence};
    }
    return CONURE_OK;
}

static conure_status step_all(conure_session *s, tokens *t, conure_error *err)
{
    for (;;) {
        conure_status status = conure_session_step(s, err);
        if (status == CONURE_NEED_AUDIO || status == CONURE_END)
            return take_events(s, t, err);
        if (status == CONURE_OK || status == CONURE_FULL)
            status = take_events(s, t, err);
        if (status != CONURE_OK)
            return status;
    }
}

static conure_status live(const hearing *h, int way, conure_recognizer *r, const float *pcm, size_t n, conure_result **out, conure_error *err)
{
    conure_session *s = NULL;
    conure_session_stats stats;
    tokens t = {0};
    conure_status status = conure_session_open(&s, r, &h->sessions[way], err);
    for (size_t done = 0, used = 0; done < n && status == CONURE_OK; done += used) {
        const size_t now = n - done < FEED_SAMPLES ? n - done : FEED_SAMPLES;
        status = conure_session_feed(s, pcm + done, now, &used, err);
        if (status == CONURE_OK || status == CONURE_FULL)
            status = step_all(s, &t, err);
    }
    if (status == CONURE_OK)
        status = conure_session_finish(s, err);
    if (status == CONURE_OK)
        status = step_all(s, &t, err);
    if (status == CONURE_OK)
        status = conure_session_get_stats(s, &stats);
    conure_session_close(&s);
    if (status == CONURE_OK)
        status = conure_result_build(out, h->model, t.items, t.n, err);
    if (status == CONURE_OK)
        (*out)->n_blanks = (uint32_t)stats.n_blanks;
    free(t.items);
    return status;
}

/* What a driver that loses text would hand on. */
static conure_status spoil(conure_result **result, conure_fault fault, const conure_model *model, conure_error *err)
{
    conure_result *r = *result;
    const uint32_t all = r->n_blanks + r->n_tokens;
    const bool nothing = fault == CONURE_FAULT_OF_EMPTY_TEXT || fault == CONURE_FAULT_OF_BLANKS;
    if (!nothing && fault != CONURE_FAULT_OF_TIMES_SHIFTED)
        return CONURE_OK;
    conure_tdt_token *t = conure_calloc(r->n_tokens ? r->n_tokens : 1, sizeof *t);
    if (!t)
        return conure_fail_memory(err, "tokens", r->n_tokens * sizeof *t);
    for (uint32_t i = 0; i < r->n_tokens; i++)
        t[i] = (conure_tdt_token){r->tokens[i].id, r->tokens[i].frame + 1, r->tokens[i].duration, r->tokens[i].confidence};
    const uint32_t n = nothing ? 0 : r->n_tokens, blanks = fault == CONURE_FAULT_OF_BLANKS ? all : r->n_blanks;
    conure_result_free(result);
    const conure_status status = conure_result_build(result, model, t, n, err);
    if (status == CONURE_OK)
        (*result)->n_blanks = blanks;
    free(t);
    return status;
}

/* ---- comparing -------------------------------------------------------------------------------- */

/* Confidences of tokens that are the same at the same place: pairs by a walk, since a real alignment is agreement.c's. */
static void compare_confidence(const conure_result *a, const conure_result *b, double *sum, uint64_t *pairs)
{
    for (uint32_t i = 0, j = 0; i < a->n_tokens && j < b->n_tokens;) {
        const conure_token *x = &a->tokens[i], *y = &b->tokens[j];
        if (x->frame == y->frame && x->id == y->id) {
            *sum += fabs((double)x->confidence - y->confidence);
            ++*pairs;
        }
        i += x->frame <= y->frame;
        j += y->frame <= x->frame;
    }
}

static conure_status count_words(const hearing *h, const char *reference, const char *said, conure_wer_counts *counts, conure_error *err)
{
    char *texts[2] = {NULL, NULL};
    conure_status status = conure_normalise(&texts[0], reference, h->normaliser, err);
    if (status == CONURE_OK)
        status = conure_normalise(&texts[1], said, h->normaliser, err);
    if (status == CONURE_OK)
        status = conure_wer_count(counts, texts[0], texts[1], err);
    free(texts[0]);
    free(texts[1]);
    return status;
}

static conure_status one_way(const hearing *h, conure_result *const results[2], const char *text, bool redact, json_t *clip, const char *way,
                             conure_error *err)
{
    conure_agreement a;
    double confidence = 0;
    uint64_t pairs = 0;
    conure_wer_counts counts[2] = {{0}, {0}};
    conure_status status = conure_agreement_open(&a, h->model->config.vocab_size, err);
    if (status == CONURE_OK)
        status = conure_agreement_add(&a, results[0], results[1], err);
    for (int i = 0; i < 2 && text && status == CONURE_OK; i++)
        status = count_words(h, text, results[i]->text, &counts[i], err);
    if (status == CONURE_OK) {
        compare_confidence(results[0], results[1], &confidence, &pairs);
        json_t *one = json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I}", "reference_tokens", (json_int_t)a.n_reference, "candidate_tokens", (json_int_t)a.n_candidate,
            "edits", (json_int_t)a.n_edits, "moved", (json_int_t)a.n_moved, "reference_blanks", (json_int_t)a.reference_blanks, "candidate_blanks",
            (json_int_t)a.candidate_blanks, "confidence_difference", confidence, "confidence_pairs", (json_int_t)pairs);
        if (text) {
            json_object_set_new(clip, "words", json_integer(counts[0].words));
            json_object_set_new(one, "reference_errors", json_integer((json_int_t)conure_wer_errors(&counts[0])));
            json_object_set_new(one, "candidate_errors", json_integer((json_int_t)conure_wer_errors(&counts[1])));
        }
        if (!redact) {
            json_object_set_new(one, "reference_text", json_string(results[0]->text));
            json_object_set_new(one, "candidate_text", json_string(results[1]->text));
        }
        json_object_set_new(clip, way, one);
    }
    conure_agreement_close(&a);
    return status;
}

static void note_seen(const hearing *h, const conure_result *r)
{
    const conure_config *c = &h->model->config;
    for (uint32_t i = 0; i < r->n_tokens; i++) {
        if (r->tokens[i].id < c->vocab_size)
            h->tokens[r->tokens[i].id] = true;
        for (uint32_t d = 0; d < c->n_durations; d++)
            if (c->durations[d] == r->tokens[i].duration)
                h->durations[d] = true;
    }
}

/* way_failed: of a failure the way that was being listened in, [0] also before any. */
static conure_status hear(const hearing *h, const char *path, const char *text, bool redact, json_t *clip, int *way_failed, conure_error *err)
{
    conure_audio_options options;
    conure_audio_clip audio = {0};
    conure_result *results[2] = {NULL, NULL};
    conure_audio_options_init(&options);
    options.rate_hz = h->model->config.sample_rate_hz;
    options.cancel = &conure_interrupted;
    conure_status status = conure_audio_load(&audio, path, &options, err);
    const float *pcm = audio.pcm;
    const size_t n = (size_t)audio.n_samples;
    *way_failed = WHOLE;
    json_object_set_new(clip, "seconds", json_real((double)n / options.rate_hz));
    for (int way = 0; way < WAYS && status == CONURE_OK; way++) {
        if (!h->has[way])
            continue;
        for (int i = 0; i < 2 && status == CONURE_OK; i++) {
            if (i == 1 && h->inject)
                h->inject(true);
            status = way ? live(h, way, h->recognizers[i], pcm, n, &results[i], err)
                         : conure_transcribe(h->recognizers[i], &pcm, &n, 1, &results[i], err);
            if (i == 1 && h->inject)
                h->inject(false);
        }
        if (status == CONURE_OK)
            status = spoil(&results[1], h->fault, h->model, err);
        if (status == CONURE_OK && way == 0)
            note_seen(h, results[0]);
        if (status == CONURE_OK)
            status = one_way(h, results, text, redact, clip, ways[way], err);
        conure_result_free(&results[0]);
        conure_result_free(&results[1]);
        *way_failed = way;
    }
    conure_audio_clip_free(&audio);
    return status;
}

/* ---- the stage -------------------------------------------------------------------------------- */

static conure_status open_recognizer(conure_recognizer **out, const char *spec, const conure_clearing *c, conure_error *err)
{
    conure_recognizer_options o;
    conure_recognizer_options_init(&o);
    o.engine = spec;
    o.n_threads = c->options.n_threads;
    o.log = conure_log_to_terminal;
    o.cancel = &conure_interrupted;
    return conure_recognizer_open(out, c->model, &o, err);
}

/* That live text can be heard at all: else every clip would be blamed for its windows. */
static conure_status try_live(const hearing *h, const char *live_text, conure_error *err)
{
    char prefix[96];
    conure_status status = CONURE_OK;
    for (int i = 0; i < 2 && h->has[WINDOWS] && status == CONURE_OK; i++) {
        conure_session *session = NULL;
        status = conure_session_open(&session, h->recognizers[i], &h->sessions[WINDOWS], err);
        conure_session_close(&session);
    }
    snprintf(prefix, sizeof prefix, "audio.live %.64s", live_text);
    if (status != CONURE_OK)
        conure_error_prefix(err, prefix);
    return status;
}

/* The contract's steps as a session has them: a shift is a chunk, what a slice sees beyond it is look-ahead. */
static void set_caches(conure_session_options *o, const conure_contract *k)
{
    const double hop_s = 0.01; /* of every model that is loaded */
    const conure_streaming *s = &k->streaming;
    o->mode = CONURE_STREAM_CACHED;
    o->chunk_s = s->shift_frames[1] * hop_s;
    o->right_s = s->chunk_frames[1] > s->shift_frames[1] ? (s->chunk_frames[1] - s->shift_frames[1]) * hop_s : 0;
    o->left_s = (double)s->cache_rows * s->factor * hop_s;
    o->time_cache = k->time_cache_aligned ? CONURE_TIME_CACHE_ALIGNED : CONURE_TIME_CACHE_NEMO;
    o->keep_negative = k->keep_negative;
}

static conure_status open_hearing(hearing *h, const conure_clear_audio *a, const conure_clearing *c, conure_error *err)
{
    const char *live_text = conure_clear_text(a->config, "audio.live", "10-2-2");
    const char *normaliser = conure_clear_text(a->config, "audio.normaliser", "basic");
    for (int way = WINDOWS; way < WAYS; way++) {
        conure_session_options_init(&h->sessions[way]);
        h->sessions[way].endpoint = false; /* one utterance a clip, as the reference */
        h->sessions[way].tentative = false;
    }
    h->model = c->model;
    h->has[WHOLE] = true;
    h->has[WINDOWS] = strcmp(live_text, "none") != 0;
    set_caches(&h->sessions[CACHES], c->contract);
    h->durations = conure_calloc(c->model->config.n_durations + 1, sizeof *h->durations);
    h->tokens = conure_calloc(c->model->config.vocab_size + 1, sizeof *h->tokens);
    if (!h->durations || !h->tokens)
        return conure_fail_memory(err, "tokens", c->model->config.vocab_size);
    conure_status status = h->has[WINDOWS] ? conure_session_options_preset(&h->sessions[WINDOWS], live_text, err) : CONURE_OK;
    for (int i = 0; conure_normaliser_names[i]; i++)
        if (strcmp(conure_normaliser_names[i], normaliser) == 0)
            h->normaliser = (conure_normaliser)i;
    if (status == CONURE_OK && strcmp(conure_normaliser_names[h->normaliser], normaliser) != 0)
        status = conure_fail(err, CONURE_BAD_ARG, "audio.normaliser is \"%.64s\", possible are none and basic", normaliser);
    if (status == CONURE_OK)
        status = open_recognizer(&h->recognizers[0], c->reference, c, err);
    if (status == CONURE_OK)
        status = open_recognizer(&h->recognizers[1], c->candidate, c, err);
    if (status == CONURE_OK)
        status = try_live(h, live_text, err);
    /* A contract may be for steps that no session makes; the report says so then. */
    conure_session *session = NULL;
    h->has[CACHES] = status == CONURE_OK && conure_contract_state_flows(c->contract) &&
                     conure_session_open(&session, h->recognizers[1], &h->sessions[CACHES], NULL) == CONURE_OK;
    conure_session_close(&session);
    return status;
}

/* Limits that are no tolerance of tensors; the configuration may set others. */
static json_t *limits_of(const json_t *config, const char *precision, double token_agreement)
{
    const bool exact = strcmp(precision, "f32") == 0;
    const double wer_max = conure_clear_real(config, "audio.limits.wer_max", NAN);
    return json_pack("{s:f, s:f, s:o, s:f, s:f, s:f}", "token_agreement", conure_clear_real(config, "audio.limits.token_agreement", token_agreement),
                     "wer_difference_max", conure_clear_real(config, "audio.limits.wer_difference_max", exact ? 0 : 0.01), "wer_max",
                     conure_evidence_number(wer_max), "blank_share_max", conure_clear_real(config, "audio.limits.blank_share_max", 0.97),
                     "blank_difference_max", conure_clear_real(config, "audio.limits.blank_difference_max", exact ? 0.001 : 0.02),
                     "confidence_difference_max", conure_clear_real(config, "audio.limits.confidence_difference_max", exact ? 0.001 : 0.05));
}

/* Which clip, in which way, why, and the way out where it is the clip's fault: steps that an engine does not take are no clip's.  Redacted:
 * without its name, and without a reason that holds it. */
static conure_status of_clip(const char *path, uint32_t i, int way, bool redact, conure_status status, conure_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const conure_error why = *err;
    const bool named = strstr(why.text, name) != NULL, innocent = way == CACHES || status == CONURE_NO_MEMORY || status == CONURE_BACKEND;
    const char *reason = !why.text[0] || (redact && named) ? conure_status_text(status) : why.text;
    const char *in = way == WHOLE ? "" : " ", *in_way = way == WHOLE ? "" : ways[way], *way_out = innocent ? "" : "; or leave the clip out";
    if (redact || named)
        return conure_fail(err, status, "clip %u could not be heard%s%s: %.400s%s", i + 1, in, in_way, reason, way_out);
    return conure_fail(err, status, "clip %u, %.100s, could not be heard%s%s: %.320s%s", i + 1, name, in, in_way, reason, way_out);
}

static conure_status hear_all(hearing *h, const conure_clear_audio *a, const conure_clearing *c, json_t *out, conure_error *err)
{
    conure_clear_clips clips;
    json_t *list = json_array();
    int way = WHOLE;
    json_object_set_new(out, "clips", list);
    conure_status status = conure_clear_clips_read(&clips, a->config, err);
    const uint32_t n = a->n_clips_max && a->n_clips_max < clips.n ? a->n_clips_max : clips.n;
    json_object_set_new(out, "texts", json_boolean(clips.with_texts));
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        const char *slash = strrchr(clips.paths[i], '/');
        json_t *clip = json_pack("{s:I}", "clip", (json_int_t)i + 1);
        if (!a->redact)
            json_object_set_new(clip, "name", json_string(slash ? slash + 1 : clips.paths[i]));
        if (!a->redact && clips.texts[i])
            json_object_set_new(clip, "text", json_string(clips.texts[i]));
        status = hear(h, clips.paths[i], clips.texts[i], a->redact, clip, &way, err);
        json_array_append_new(list, clip);
        if (status != CONURE_OK && status != CONURE_CANCELLED)
            status = of_clip(clips.paths[i], i, way, a->redact, status, err);
        if (status == CONURE_OK && !conure_clearing_show(c, "audio", i + 1, n))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    conure_clear_clips_free(&clips);
    return status;
}

json_t *conure_clear_audio_stage(void *user, const conure_clearing *c, conure_fault fault, conure_error *err)
{
    const conure_clear_audio *a = user;
    hearing h = {.fault = fault, .inject = c->inject};
    json_t *out = json_object();
    conure_engine_spec spec;
    conure_tolerance tolerance;
    uint64_t unseen = 0, distinct = 0;
    if (conure_candidate_is_command(c->candidate) || !c->model) {
        json_object_set_new(out, "not_applicable", json_string("a command gets encoder steps only: text would not be its own"));
        return out;
    }
    conure_status status = conure_engine_spec_parse(&spec, c->candidate, err);
    const char *precision = c->precision ? c->precision : conure_precision_name(spec.precision ? spec.precision : CONURE_PRECISION_F32);
    if (status == CONURE_OK)
        status = conure_tolerance_read(&tolerance, c->tolerance_file, conure_contract_state_flows(c->contract), precision, NULL, err);
    if (status == CONURE_OK)
        status = open_hearing(&h, a, c, err);
    if (status == CONURE_OK)
        status = hear_all(&h, a, c, out, err);
    for (uint32_t i = 0; h.durations && h.tokens && i < c->model->config.n_durations; i++)
        unseen += !h.durations[i];
    for (uint32_t i = 0; h.durations && h.tokens && i < c->model->config.vocab_size; i++)
        distinct += h.tokens[i];
    if (h.recognizers[1]) {
        json_object_set_new(out, "limits", limits_of(a->config, precision, tolerance.token_agreement));
        json_object_set_new(out, "normaliser", json_string(conure_normaliser_names[h.normaliser]));
        json_object_set_new(out, "redacted", json_boolean(a->redact));
        json_object_set_new(out, "live", h.has[WINDOWS] ? json_sprintf("%g-%g-%g", h.sessions[WINDOWS].left_s, h.sessions[WINDOWS].chunk_s,
                                                                       h.sessions[WINDOWS].right_s) : json_null());
        json_object_set_new(out, "cached", h.has[CACHES] ? json_sprintf("%g-%g-%g", h.sessions[CACHES].left_s, h.sessions[CACHES].chunk_s,
                                                                        h.sessions[CACHES].right_s) : json_null());
        json_object_set_new(out, "durations_unseen", json_integer((json_int_t)unseen));
        json_object_set_new(out, "distinct_tokens", json_integer((json_int_t)distinct));
    }
    if (status != CONURE_OK)
        json_object_set_new(out, "error", json_string(err->text[0] ? err->text : conure_status_text(status)));
    conure_recognizer_close(&h.recognizers[0]);
    conure_recognizer_close(&h.recognizers[1]);
    free(h.durations);
    free(h.tokens);
    return out;
}

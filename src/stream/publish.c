/* publish.c - see publish.h. */
#include "stream/publish.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_DB_MIN = -200 }; /* quieter than the log guard lets any frame be */

/* The end of the run, or of what was decoded of it, in session time. */
static double run_time(const conure_session *s, uint64_t frame)
{
    return s->origin_s + (double)frame * s->frame_s;
}

static double heard_time(const conure_session *s)
{
    return s->origin_s + (double)s->input.heard / s->rate_hz;
}

/* Decoder tokens as the public ones; NULL without memory. */
static conure_token *public_tokens(const conure_session *s, const conure_tdt_token *tokens, uint32_t n)
{
    conure_token *list = conure_calloc(n ? n : 1, sizeof *list);
    for (uint32_t i = 0; i < n && list; i++)
        list[i] = (conure_token){tokens[i].id, tokens[i].frame, tokens[i].duration, tokens[i].confidence,
                                 conure_tokenizer_piece(s->recognizer->model->tokenizer, tokens[i].id)};
    return list;
}

/* ---- one event ------------------------------------------------------------------------------- */

/* Text that became certain, behind a space when an utterance with text stands before it. */
static conure_status take_text(conure_session *s, conure_event_slot *slot, bool end, conure_error *err)
{
    conure_live_piece piece;
    conure_status status = conure_live_text_take(s->text, end, &piece, err);
    if (status != CONURE_OK)
        return status;
    if (*piece.text && s->space_owed)
        conure_buffer_text(&slot->final_text, " ");
    if (*piece.text) {
        s->space_owed = false;
        s->text_before = true;
    }
    conure_buffer_text(&slot->final_text, piece.text);
    return conure_event_words(slot, piece.words, piece.n_words, s->origin_s, s->n_tokens_before, err);
}

static conure_status look_ahead(conure_session *s, conure_event_slot *slot, const conure_decoded *d, conure_error *err)
{
    const char *text = "";
    conure_token *tokens = public_tokens(s, d->look, d->n_look);
    if (!tokens)
        return conure_fail_memory(err, "tentative text", d->n_look * sizeof *tokens);
    const conure_status status = conure_live_text_tentative(s->text, tokens, d->n_look, &text, err);
    if (status == CONURE_OK && *text && s->space_owed)
        conure_buffer_text(&slot->tentative_text, " ");
    if (status == CONURE_OK)
        conure_buffer_text(&slot->tentative_text, text);
    free(tokens);
    return status;
}

static void utterance_ended(conure_session *s, uint64_t end)
{
    s->utterance_first = end;
    s->utterance++;
    s->stats.n_utterances++;
    s->space_owed = s->text_before;
    s->n_tokens_before = s->stats.n_tokens;
}

/* An event of these tokens, up to frame `end` of the run.  ends: the utterance ends there, if it has any frame. */
static conure_status add_event(conure_session *s, const conure_token *tokens, uint32_t n, uint64_t end, bool ends,
                               const conure_decoded *look, uint32_t flags, conure_error *err)
{
    conure_event_slot *slot = conure_events_add(&s->events);
    if (!slot)
        return conure_fail_memory(err, "an event", sizeof *slot);
    conure_event *e = &slot->event;
    conure_status status = conure_event_tokens(slot, tokens, n, err);
    if (status == CONURE_OK)
        status = conure_live_text_add(s->text, tokens, n, err);
    if (status == CONURE_OK)
        status = take_text(s, slot, ends, err);
    if (status == CONURE_OK && look)
        status = look_ahead(s, slot, look, err);
    if (status == CONURE_OK)
        status = conure_event_end(slot, err);
    if (status != CONURE_OK)
        return status;
    const bool ended = ends && end > s->utterance_first;
    s->stats.n_tokens += n;
    e->sequence = ++s->sequence;
    e->flags = flags | (s->after_gap ? CONURE_EVENT_GAP : 0) | (ended ? CONURE_EVENT_END_OF_UTTERANCE : 0);
    if (slot->final_text.bytes || slot->tentative_text.bytes || s->had_tentative)
        e->flags |= CONURE_EVENT_TEXT;
    s->had_tentative = slot->tentative_text.bytes > 0;
    s->after_gap = false;
    e->origin_s = s->origin_s;
    e->end_s = run_time(s, end);
    e->heard_s = heard_time(s);
    if (e->end_s > e->heard_s)
        e->end_s = e->heard_s; /* the last frame may reach beyond the audio */
    e->utterance = s->utterance;
    if (ended)
        utterance_ended(s, end);
    e->stats = s->stats;
    e->stats.heard_s = e->heard_s;
    return CONURE_OK;
}

/* ---- ends of utterances ---------------------------------------------------------------------- */

/* Level of the final frames in dB, from their log-mel features: the mean power of 8 of them.  NULL without memory. */
static float *levels(const conure_session *s, const conure_decoded *d)
{
    float *db = conure_calloc((size_t)d->n_frames + 1, sizeof *db);
    for (uint32_t k = 0; k < d->n_frames && db; k++) {
        const uint64_t first = 8 * (uint64_t)k, end = first + 8 < d->n_mel ? first + 8 : d->n_mel;
        double power = 0;
        for (uint64_t i = first * s->mel_bins; i < end * s->mel_bins; i++)
            power += exp(d->mel[i]);
        db[k] = first < end ? (float)(10 * log10(power / (double)(end - first))) : LEVEL_DB_MIN;
    }
    return db;
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* The events of what was decoded: one for each utterance that ends in it, and one for the rest. */
static conure_status publish_decoded(conure_session *s, const conure_decoded *d, const conure_token *tokens, bool over, conure_error *err)
{
    const uint64_t end = d->first_frame + d->n_frames;
    const bool listens = s->options.endpoint && d->mel;
    float *level_db = listens ? levels(s, d) : NULL;
    if (listens && !level_db) /* by tokens alone the utterance might end elsewhere */
        return conure_fail_memory(err, "levels", d->n_frames * sizeof *level_db);
    conure_endpoint_frames rest = {.n_frames = d->n_frames, .tokens = tokens, .n_tokens = d->n_tokens, .level_db = level_db};
    conure_status status = CONURE_OK;
    conure_endpoint_hear(&s->endpoint, conure_tdt_pending(&s->tdt)); /* whatever comes of it: something was said */
    while (s->options.endpoint && rest.n_frames && status == CONURE_OK) {
        uint32_t n_frames, n_tokens;
        if (!conure_endpoint_run(&s->rules, &s->endpoint, &rest, &n_frames, &n_tokens))
            break;
        const bool at_end = d->last && n_frames == rest.n_frames; /* then the run's own end is its end */
        if (!at_end)
            status = add_event(s, rest.tokens, n_tokens, s->endpoint.frame, true, NULL, 0, err);
        if (at_end)
            break;
        rest.n_frames -= n_frames;
        rest.tokens += n_tokens;
        rest.n_tokens -= n_tokens;
        rest.level_db = level_db ? rest.level_db + n_frames : NULL;
        if (s->options.endpoint_reset && !rest.n_tokens && !conure_tdt_pending(&s->tdt))
            conure_tdt_restart(&s->tdt, &s->recognizer->model->config);
    }
    /* Whole steps that only end an utterance need no second event, unless there is more to tell. */
    const bool more = rest.n_frames || rest.n_tokens || d->last || d->n_look || s->had_tentative || conure_events_mark(&s->events) == 0;
    if (status == CONURE_OK && more)
        status = add_event(s, rest.tokens, rest.n_tokens, end, d->last, d->last ? NULL : d, over ? CONURE_EVENT_END : 0, err);
    free(level_db);
    return status;
}

/* The run has ended: the session has too, or the next run begins behind the gap. */
static void run_ended(conure_session *s, bool over)
{
    if (over) {
        s->over = true;
        return;
    }
    const double next_s = heard_time(s) + s->input.gap_s;
    conure_session_begin(s, next_s);
    s->after_gap = true;
    s->input.ended = s->finished; /* nothing more will come: the new run ends where it begins */
}

conure_status conure_publish(conure_session *s, const conure_decoded *decoded, conure_error *err)
{
    static const conure_decoded nothing = {.last = true};
    const conure_decoded *d = decoded ? decoded : &nothing;
    const bool over = d->last && s->input.gap_s < 0;
    conure_status status = CONURE_OK;
    s->stats.n_steps += decoded != NULL;
    s->stats.n_frames += d->n_frames;
    s->stats.n_blanks += d->n_blanks;
    if (decoded || over) {
        conure_token *tokens = public_tokens(s, d->tokens, d->n_tokens);
        const uint32_t mark = conure_events_mark(&s->events);
        status = tokens ? publish_decoded(s, d, tokens, over, err) : conure_fail_memory(err, "tokens", d->n_tokens * sizeof *tokens);
        if (status != CONURE_OK)
            conure_events_undo(&s->events, mark);
        free(tokens);
    }
    if (status == CONURE_OK && d->last)
        run_ended(s, over);
    return status;
}

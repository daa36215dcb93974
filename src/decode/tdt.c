/* tdt.c - greedy decoding of token-and-duration transducers: NeMo's label-looping result (spec 6.3),
 * written as the plain loop it is equal to, over as many streams as are given. */
#include "decode/tdt.h"

#include "base/inject.h"
#include "base/memory.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t NO_FRAME = INT64_MIN;
enum { TOKENS_MAX = 1 << 24 }; /* months of speech */

/* Where a stream stands within the chunk. */
struct conure_tdt_cursor {
    int64_t t;       /* frame of the chunk; negative: of one before, kept for a trial */
    int64_t last;    /* frame of the last token; NO_FRAME: none in this chunk */
    uint32_t symbols; /* tokens in a row on that frame */
    bool plain;      /* a trial that began at this evaluation has failed: no other is made */
};

conure_status conure_tdt_open(conure_tdt *tdt, const conure_config *config, const conure_hotwords *hotwords, conure_error *err)
{
    const size_t state = (size_t)config->pred_layers * config->pred_hidden;
    const size_t floats = 2 * state + config->joint_hidden;
    *tdt = (conure_tdt){0};
    tdt->h = conure_calloc(floats, sizeof *tdt->h);
    if (!tdt->h)
        return conure_fail_memory(err, "a decoder's state", floats * sizeof *tdt->h);
    tdt->c = tdt->h + state;
    tdt->prediction = tdt->c + state;
    return hotwords ? conure_trial_open(&tdt->trial, hotwords, config, floats, err) : CONURE_OK;
}

static size_t state_floats(const conure_config *c)
{
    return 2 * (size_t)c->pred_layers * c->pred_hidden + c->joint_hidden;
}

void conure_tdt_restart(conure_tdt *tdt, const conure_config *config)
{
    memset(tdt->h, 0, state_floats(config) * sizeof *tdt->h); /* c and prediction lie behind it */
    tdt->started = false;
    if (tdt->trial)
        conure_trial_reset(tdt->trial);
}

void conure_tdt_reset(conure_tdt *tdt, const conure_config *config)
{
    conure_tdt_restart(tdt, config);
    tdt->jump = tdt->offset = tdt->n_blanks = 0;
    tdt->n_tokens = 0;
}

void conure_tdt_copy(conure_tdt *dst, const conure_tdt *src, const conure_config *config)
{
    memcpy(dst->h, src->h, state_floats(config) * sizeof *dst->h);
    dst->started = src->started;
    dst->jump = src->jump;
    dst->offset = src->offset;
    dst->n_blanks = src->n_blanks;
    if (src->trial)
        conure_trial_copy(dst->trial, src->trial);
    dst->n_tokens = 0;
}

void conure_tdt_close(conure_tdt *tdt)
{
    conure_trial_close(&tdt->trial);
    free(tdt->h);
    free(tdt->tokens);
    *tdt = (conure_tdt){0};
}

void conure_tdt_room_free(conure_tdt_room *room)
{
    free(room->logits);
    free(room->h);
    free(room->c);
    free(room->predictions);
    free(room->frames);
    free(room->outputs);
    free(room->tokens);
    free(room->active);
    free(room->emitting);
    free(room->cursors);
    *room = (conure_tdt_room){0};
}

static conure_status room_fit(conure_tdt_room *room, const conure_config *c, uint32_t n, conure_error *err)
{
    const size_t outputs = (size_t)c->vocab_size + 1 + c->n_durations;
    const size_t state = (size_t)c->pred_layers * c->pred_hidden;
    if (n <= room->cap)
        return CONURE_OK;
    conure_tdt_room_free(room);
    room->logits = conure_calloc(n * outputs, sizeof(float));
    room->h = conure_calloc(n * state, sizeof(float));
    room->c = conure_calloc(n * state, sizeof(float));
    room->predictions = conure_calloc((size_t)n * c->joint_hidden, sizeof(float));
    room->frames = conure_calloc(n, sizeof *room->frames);
    room->outputs = conure_calloc(n, sizeof *room->outputs);
    room->tokens = conure_calloc(n, sizeof *room->tokens);
    room->active = conure_calloc(n, sizeof *room->active);
    room->emitting = conure_calloc(n, sizeof *room->emitting);
    room->cursors = conure_calloc(n, sizeof *room->cursors);
    if (!room->logits || !room->h || !room->c || !room->predictions || !room->frames || !room->outputs ||
        !room->tokens || !room->active || !room->emitting || !room->cursors) {
        conure_tdt_room_free(room);
        return conure_fail_memory(err, "decoding", n * (outputs + 2 * state) * sizeof(float));
    }
    room->cap = n;
    return CONURE_OK;
}

uint32_t conure_argmax(const float *values, uint32_t n)
{
    uint32_t best = 0;
    float top = -INFINITY;
    bool sound = true;
    for (uint32_t i = 0; i < n; i++) {
        sound &= values[i] == values[i];
        if (values[i] > top) {
            top = values[i];
            best = i;
        }
    }
    return sound && isfinite(top) ? best : n;
}

float conure_softmax_of(const float *values, uint32_t n, uint32_t i)
{
    float top = -INFINITY;
    double sum = 0;
    for (uint32_t k = 0; k < n; k++)
        top = values[k] > top ? values[k] : top;
    for (uint32_t k = 0; k < n; k++)
        sum += expf(values[k] - top);
    return (float)(expf(values[i] - top) / sum);
}

/* One predictor step for the streams emitting[0 .. n), whose last tokens (or the start) are in
 * room->tokens: gathers their states, runs the batch, puts the new states back. */
static conure_status predict(const conure_engine *engine, void *self, const conure_config *c, conure_tdt_room *room,
                             const conure_tdt_chunk *chunks, uint32_t n, conure_error *err)
{
    const size_t state = (size_t)c->pred_layers * c->pred_hidden;
    for (uint32_t i = 0; i < n; i++) {
        const conure_tdt *tdt = chunks[room->emitting[i]].tdt;
        memcpy(room->h + i * state, tdt->h, state * sizeof(float));
        memcpy(room->c + i * state, tdt->c, state * sizeof(float));
    }
    const conure_status status = engine->predict(self, room->tokens, room->h, room->c, n, room->predictions, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        conure_tdt *tdt = chunks[room->emitting[i]].tdt;
        memcpy(tdt->h, room->h + i * state, state * sizeof(float));
        memcpy(tdt->c, room->c + i * state, state * sizeof(float));
        memcpy(tdt->prediction, room->predictions + (size_t)i * c->joint_hidden, c->joint_hidden * sizeof(float));
        tdt->started = true;
    }
    return status;
}

static conure_status add_token(conure_tdt *tdt, conure_tdt_token token, conure_error *err)
{
    if (tdt->n_tokens >= TOKENS_MAX)
        return conure_fail(err, CONURE_LIMIT, "more than %u tokens in one stream: reset it at a pause", TOKENS_MAX);
    if (tdt->n_tokens == tdt->tokens_cap) {
        const uint32_t cap = tdt->tokens_cap ? 2 * tdt->tokens_cap : 64;
        conure_tdt_token *grown = realloc(tdt->tokens, cap * sizeof *grown);
        if (!grown)
            return conure_fail_memory(err, "tokens", cap * sizeof *grown);
        tdt->tokens = grown;
        tdt->tokens_cap = cap;
    }
    tdt->tokens[tdt->n_tokens++] = token;
    return CONURE_OK;
}

/* ---- hotwords -------------------------------------------------------------------------------- */

uint64_t conure_tdt_pending(const conure_tdt *tdt)
{
    const conure_trial *t = tdt->trial;
    if (!t || !t->n_tokens)
        return 0;
    const conure_tdt_token *token = &t->tokens[t->n_tokens - 1];
    return (uint64_t)token->frame + (token->duration ? token->duration : 1);
}

/* The token to take where the model alone would take `plain`; a trial begins with the first that is another. */
static uint32_t prefer(conure_tdt *tdt, struct conure_tdt_cursor *at, const float *logits, uint32_t plain)
{
    conure_trial *t = tdt->trial;
    const uint32_t id = at->plain ? plain : conure_hotwords_choose(t->hotwords, t->node, t->covered, t->covered ? t->spent : 0, logits, plain);
    at->plain = false;
    if (id == plain)
        return id;
    if (!t->covered) {
        t->from_node = t->node;
        t->from_frame = (uint64_t)((int64_t)tdt->offset + at->t);
        t->from_symbols = at->last == at->t ? at->symbols : 0;
        memcpy(t->from_state, tdt->h, t->state_floats * sizeof *t->from_state);
        t->spent = 0;
    }
    t->spent += logits[plain] - logits[id];
    return id;
}

/* The phrase on trial has broken off: back to where it began. */
static void go_back(conure_tdt *tdt, struct conure_tdt_cursor *at)
{
    conure_trial *t = tdt->trial;
    memcpy(tdt->h, t->from_state, t->state_floats * sizeof *t->from_state);
    *at = (struct conure_tdt_cursor){.t = (int64_t)t->from_frame - (int64_t)tdt->offset, .symbols = t->from_symbols, .plain = true};
    at->last = at->symbols ? at->t : NO_FRAME;
    t->node = t->from_node;
    t->covered = t->n_tokens = t->n_blanks = 0;
}

static bool too_long(const conure_tdt *tdt, const struct conure_tdt_cursor *at)
{
    return (int64_t)tdt->offset + at->t - (int64_t)tdt->trial->from_frame > (int64_t)CONURE_TRIAL_FRAMES_MAX;
}

/* A token was taken and the cursor moved on: it is text, or on trial, or the trial is over and has failed: then *back. */
static conure_status follow(conure_tdt *tdt, struct conure_tdt_cursor *at, conure_tdt_token token, bool preferred, bool *back,
                            conure_error *err)
{
    conure_trial *t = tdt->trial;
    uint32_t bytes;
    conure_status status = CONURE_OK;
    t->node = conure_hotwords_next(t->hotwords, t->node, token.id, &bytes);
    if (!t->covered && !preferred)
        return add_token(tdt, token, err);
    t->covered += bytes;
    const bool ended = conure_hotwords_ended(t->hotwords, t->node, t->covered, t->spent);
    *back = !ended && (!bytes || conure_hotwords_depth(t->hotwords, t->node) < t->covered || too_long(tdt, at));
    if (*back) {
        go_back(tdt, at);
        return CONURE_OK;
    }
    t->tokens[t->n_tokens++] = token;
    for (uint32_t i = 0; i < t->n_tokens && ended && status == CONURE_OK; i++)
        status = add_token(tdt, t->tokens[i], err);
    if (ended) {
        tdt->n_blanks += t->n_blanks;
        t->covered = t->n_tokens = t->n_blanks = 0;
    }
    return status;
}

static void count_blank(conure_tdt *tdt, struct conure_tdt_cursor *at)
{
    conure_trial *t = tdt->trial;
    if (!t || !t->covered)
        tdt->n_blanks++;
    else if (too_long(tdt, at))
        go_back(tdt, at);
    else
        t->n_blanks++;
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* What one evaluation says for one stream: move on, or emit.  *emitted tells which token, or blank. */
static conure_status take(const conure_config *c, const conure_tdt_options *options, conure_tdt *tdt,
                          struct conure_tdt_cursor *at, const float *logits, uint32_t *emitted, conure_error *err)
{
    const uint32_t blank = c->vocab_size;
    const uint32_t plain = conure_argmax(logits, blank + 1);
    const uint32_t step = conure_argmax(logits + blank + 1, c->n_durations);
    *emitted = blank;
    if (plain > blank || step >= c->n_durations)
        return conure_fail(err, CONURE_BACKEND, "the scores of frame %llu are not finite: the model's weights are damaged "
                           "('conure model verify' tells of a checkpoint; exported graphs: fetch or export them again), or the precision "
                           "is too low for them",
                           (unsigned long long)(tdt->offset + (uint64_t)at->t));
    const uint32_t id = tdt->trial ? prefer(tdt, at, logits, plain) : plain;
    const uint32_t duration = c->durations[step];
    if (id == blank) {
        at->t += duration ? duration : 1;
        count_blank(tdt, at);
        return CONURE_OK;
    }
    const conure_tdt_token token = {id, (uint32_t)(tdt->offset + (uint64_t)at->t), duration,
                                    conure_softmax_of(logits, blank + 1 + (CONURE_INJECTED(ONE_SOFTMAX) ? c->n_durations : 0), id)};
    at->symbols = at->last == at->t ? at->symbols + 1 : 1;
    at->last = at->t;
    at->t += duration;
    if (at->symbols >= options->max_symbols && at->t == at->last)
        at->t++; /* still stuck on the same frame after max_symbols tokens: go on */
    bool back = false;
    const conure_status status = tdt->trial ? follow(tdt, at, token, id != plain, &back, err) : add_token(tdt, token, err);
    if (!back)
        *emitted = id;
    return status;
}

/* The projected frame a stream stands on: of the chunk, or of one before that a trial has gone back to. */
static const float *frame_at(const conure_config *c, const conure_tdt_chunk *chunk, int64_t t)
{
    const conure_trial *trial = chunk->tdt->trial;
    return t >= 0 ? chunk->frames + (size_t)t * c->joint_hidden
                  : trial->frames + (size_t)((int64_t)trial->n_frames + t) * c->joint_hidden;
}

/* There is a frame left to evaluate; at the last one's end nothing stays on trial. */
static bool goes_on(const conure_tdt_chunk *chunk, struct conure_tdt_cursor *at)
{
    const conure_trial *trial = chunk->tdt->trial;
    if (at->t >= (int64_t)chunk->n_frames && chunk->last && trial && trial->covered)
        go_back(chunk->tdt, at);
    return at->t < (int64_t)chunk->n_frames;
}

/* One joint evaluation of every active stream, then the predictor of those that emitted. */
static conure_status advance(const conure_engine *engine, void *self, const conure_config *c,
                             const conure_tdt_options *options, conure_tdt_room *room,
                             conure_tdt_chunk *chunks, uint32_t n_active, conure_error *err)
{
    const size_t outputs = (size_t)c->vocab_size + 1 + c->n_durations;
    uint32_t n_emitting = 0;
    for (uint32_t i = 0; i < n_active; i++) {
        const uint32_t s = room->active[i];
        room->frames[i] = frame_at(c, &chunks[s], room->cursors[s].t);
        room->outputs[i] = chunks[s].tdt->prediction;
    }
    conure_status status = engine->joint(self, room->frames, room->outputs, n_active, room->logits, err);
    if (status == CONURE_OK && conure_cancelled(options->cancel))
        status = conure_fail(err, CONURE_CANCELLED, "cancelled while decoding");
    for (uint32_t i = 0; i < n_active && status == CONURE_OK; i++) {
        const uint32_t s = room->active[i];
        uint32_t id;
        chunks[s].status = take(c, options, chunks[s].tdt, &room->cursors[s], room->logits + i * outputs, &id, chunks[s].err);
        if (chunks[s].status == CONURE_OK && id != c->vocab_size) {
            room->tokens[n_emitting] = id;
            room->emitting[n_emitting++] = s;
        }
    }
    if (status == CONURE_OK && n_emitting)
        status = predict(engine, self, c, room, chunks, n_emitting, err);
    return status;
}

static conure_status start(const conure_engine *engine, void *self, const conure_config *c, conure_tdt_room *room,
                           const conure_tdt_chunk *chunks, uint32_t n, conure_error *err)
{
    uint32_t n_starting = 0;
    for (uint32_t i = 0; i < n; i++) {
        conure_tdt *tdt = chunks[i].tdt;
        room->cursors[i] = (struct conure_tdt_cursor){.t = CONURE_INJECTED(OVERSHOOT_DROPPED) ? 0 : (int64_t)tdt->jump, .last = NO_FRAME};
        if (CONURE_INJECTED(PREDICTOR_RESET) && tdt->offset > 0)
            conure_tdt_restart(tdt, c);
        if (CONURE_INJECTED(LABEL_FORGOTTEN)) /* the state goes on, from the start symbol */
            tdt->started = false;
        if (!tdt->started) {
            room->tokens[n_starting] = c->vocab_size;
            room->emitting[n_starting++] = i;
        }
    }
    return n_starting ? predict(engine, self, c, room, chunks, n_starting, err) : CONURE_OK;
}

conure_status conure_tdt_decode(const conure_engine *engine, void *self, const conure_config *config,
                                const conure_tdt_options *options, conure_tdt_room *room,
                                conure_tdt_chunk *chunks, uint32_t n, conure_error *err)
{
    conure_status status = room_fit(room, config, n, err);
    for (uint32_t i = 0; i < n; i++)
        chunks[i].status = CONURE_OK;
    if (status == CONURE_OK)
        status = start(engine, self, config, room, chunks, n, err);
    while (status == CONURE_OK) {
        uint32_t n_active = 0;
        for (uint32_t i = 0; i < n; i++)
            if (chunks[i].status == CONURE_OK && goes_on(&chunks[i], &room->cursors[i]))
                room->active[n_active++] = i;
        if (!n_active)
            break;
        status = advance(engine, self, config, options, room, chunks, n_active, err);
    }
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        conure_tdt *tdt = chunks[i].tdt;
        if (chunks[i].status != CONURE_OK)
            continue;
        if (tdt->trial)
            conure_trial_hold(tdt->trial, chunks[i].frames, chunks[i].n_frames, tdt->offset);
        tdt->jump = (uint64_t)room->cursors[i].t - chunks[i].n_frames;
        tdt->offset += chunks[i].n_frames;
    }
    return status;
}

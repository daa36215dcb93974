/* tdt.c - greedy decoding of token-and-duration transducers: NeMo's label-looping result (spec 6.3),
 * written as the plain loop it is equal to, over as many streams as are given. */
#include "decode/tdt.h"

#include "base/inject.h"
#include "base/memory.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 1 << 24 }; /* months of speech */

/* Where a stream stands within the chunk. */
struct conure_tdt_cursor {
    uint64_t t;      /* frame of the chunk */
    uint64_t last;   /* frame of the last token, + 1; 0: none in this chunk */
    uint32_t symbols; /* tokens in a row on that frame */
};

conure_status conure_tdt_open(conure_tdt *tdt, const conure_config *config, conure_error *err)
{
    const size_t state = (size_t)config->pred_layers * config->pred_hidden;
    const size_t floats = 2 * state + config->joint_hidden;
    *tdt = (conure_tdt){0};
    tdt->h = conure_calloc(floats, sizeof *tdt->h);
    if (!tdt->h)
        return conure_fail_memory(err, "a decoder's state", floats * sizeof *tdt->h);
    tdt->c = tdt->h + state;
    tdt->prediction = tdt->c + state;
    return CONURE_OK;
}

static size_t state_floats(const conure_config *c)
{
    return 2 * (size_t)c->pred_layers * c->pred_hidden + c->joint_hidden;
}

void conure_tdt_restart(conure_tdt *tdt, const conure_config *config)
{
    memset(tdt->h, 0, state_floats(config) * sizeof *tdt->h); /* c and prediction lie behind it */
    tdt->started = false;
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
    dst->n_tokens = 0;
}

void conure_tdt_close(conure_tdt *tdt)
{
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

/* What one evaluation says for one stream: move on, or emit.  *emitted tells which token, or blank. */
static conure_status take(const conure_config *c, const conure_tdt_options *options, conure_tdt *tdt,
                          struct conure_tdt_cursor *at, const float *logits, uint32_t *emitted, conure_error *err)
{
    const uint32_t blank = c->vocab_size;
    const uint32_t id = conure_argmax(logits, blank + 1);
    const uint32_t step = conure_argmax(logits + blank + 1, c->n_durations);
    *emitted = id;
    if (id > blank || step >= c->n_durations)
        return conure_fail(err, CONURE_BACKEND, "the scores of frame %llu are not finite: the model's weights are damaged "
                           "('conure model verify' tells), or the precision is too low for them",
                           (unsigned long long)(tdt->offset + at->t));
    const uint32_t duration = c->durations[step];
    if (id == blank) {
        at->t += duration ? duration : 1;
        tdt->n_blanks++;
        return CONURE_OK;
    }
    const conure_tdt_token token = {id, (uint32_t)(tdt->offset + at->t), duration,
                                    conure_softmax_of(logits, blank + 1 + (CONURE_INJECTED(ONE_SOFTMAX) ? c->n_durations : 0), id)};
    at->symbols = at->last == at->t + 1 ? at->symbols + 1 : 1;
    at->last = at->t + 1;
    at->t += duration;
    if (at->symbols >= options->max_symbols && at->t + 1 == at->last)
        at->t++; /* still stuck on the same frame after max_symbols tokens: go on */
    return add_token(tdt, token, err);
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
        room->frames[i] = chunks[s].frames + (size_t)room->cursors[s].t * c->joint_hidden;
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
        room->cursors[i] = (struct conure_tdt_cursor){.t = CONURE_INJECTED(OVERSHOOT_DROPPED) ? 0 : tdt->jump};
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
            if (chunks[i].status == CONURE_OK && room->cursors[i].t < chunks[i].n_frames)
                room->active[n_active++] = i;
        if (!n_active)
            break;
        status = advance(engine, self, config, options, room, chunks, n_active, err);
    }
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        conure_tdt *tdt = chunks[i].tdt;
        if (chunks[i].status != CONURE_OK)
            continue;
        tdt->jump = room->cursors[i].t - chunks[i].n_frames;
        tdt->offset += chunks[i].n_frames;
    }
    return status;
}

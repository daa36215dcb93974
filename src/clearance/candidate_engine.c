/* candidate_engine.c - an engine of this build as a candidate: one state, which is set before a step and taken out after it. */
#include "clearance/candidate.h"

#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct engine_candidate {
    conure_candidate base;
    const conure_engine *engine;
    void *self;
    conure_state *state;
    float *mel, *out;          /* [frames_cap][mel_bins], [rows_cap][d_model] */
    uint32_t frames_cap, rows_cap;
    conure_chunk given;        /* the state that the engine gave last: handing the same over again needs no import */
    bool holds_given;
} engine_candidate;

static void engine_close(conure_candidate *base)
{
    engine_candidate *c = (engine_candidate *)base;
    if (c->state)
        c->engine->state_close(c->self, &c->state);
    if (c->self)
        c->engine->close(&c->self);
    free(c->mel);
    free(c->out);
    conure_chunk_close(&c->given);
    free(c);
}

/* Importing projects every cached row anew, several times the cost of a step.  What the engine itself gave, bit for bit,
 * it still holds; so a closed loop need not pay for it, and one changed bit is imported. */
static bool is_given(const engine_candidate *c, const conure_chunk *chunk)
{
    return c->holds_given && chunk->cache_length[0] == c->given.cache_length[1] &&
           memcmp(chunk->channel[0], c->given.channel[1], c->given.channel_floats * sizeof(float)) == 0 &&
           memcmp(chunk->time[0], c->given.time[1], c->given.time_floats * sizeof(float)) == 0;
}

static conure_status set_state(engine_candidate *c, const conure_chunk *chunk, conure_error *err)
{
    if (is_given(c, chunk))
        return CONURE_OK;
    c->holds_given = false;
    c->engine->state_reset(c->self, c->state);
    return c->engine->state_import(c->self, c->state, chunk->channel[0], chunk->time[0], chunk->cache_length[0], err);
}

static void turn(float *to, const float *from, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

static conure_status engine_step(conure_candidate *base, conure_chunk *chunk, conure_error *err)
{
    engine_candidate *c = (engine_candidate *)base;
    const conure_contract *k = base->contract;
    if (chunk->n_frames > c->frames_cap || chunk->length < 0 || chunk->length > chunk->n_frames)
        return conure_fail(err, CONURE_BAD_ARG, "chunk %llu: %lld valid of %u frames, at most %u are possible", (unsigned long long)chunk->index,
                           (long long)chunk->length, chunk->n_frames, c->frames_cap);
    conure_status status = set_state(c, chunk, err);
    if (status != CONURE_OK)
        return status;
    turn(c->mel, chunk->features, k->mel_bins, chunk->n_frames);
    conure_encode_row row = {.mel = c->mel, .n_frames = chunk->n_frames, .n_valid = (uint32_t)chunk->length,
                             .drop_first = k->streaming.drop_extra[chunk->step > 0], .state = c->state, .out = c->out,
                             .n_out_cap = c->rows_cap};
    c->holds_given = false;
    status = c->engine->encode(c->self, &row, 1, err);
    if (status == CONURE_OK)
        status = c->engine->state_export(c->self, c->state, chunk->channel[1], chunk->time[1], &chunk->cache_length[1], err);
    if (status != CONURE_OK)
        return status;
    /* valid_out_len: what the graph cuts to */
    chunk->n_out = row.n_out < chunk->out_cap ? row.n_out : chunk->out_cap;
    chunk->encoded_length = row.n_out_valid < chunk->out_cap ? row.n_out_valid : chunk->out_cap;
    turn(chunk->encoder, c->out, chunk->n_out, k->d_model);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
        chunk->has[role] = true;
    conure_chunk_copy(&c->given, CONURE_ROLE_CHANNEL_OUT, chunk, CONURE_ROLE_CHANNEL_OUT);
    conure_chunk_copy(&c->given, CONURE_ROLE_TIME_OUT, chunk, CONURE_ROLE_TIME_OUT);
    c->given.cache_length[1] = chunk->cache_length[1];
    c->holds_given = true;
    return CONURE_OK;
}

static conure_status open_parts(engine_candidate *c, const char *words, const conure_model *model, const conure_candidate_options *o,
                                conure_error *err)
{
    const conure_contract *k = c->base.contract;
    conure_engine_spec spec;
    conure_cache_options caches;
    conure_status status = conure_engine_spec_parse(&spec, words, err);
    if (status == CONURE_OK && !model)
        status = conure_fail(err, CONURE_BAD_ARG, "%s: an engine needs a model", words);
    if (status == CONURE_OK)
        status = conure_engine_find(&c->engine, spec.engine, err);
    if (status == CONURE_OK)
        status = conure_contract_matches(k, model, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&c->given, k, err);
    if (status != CONURE_OK)
        return status;
    const uint32_t processors = conure_processors(), n_threads = spec.n_threads ? spec.n_threads : o->n_threads;
    const conure_engine_options options = {
        .isa = spec.isa[0] ? spec.isa : NULL, .precision = spec.precision ? spec.precision : CONURE_PRECISION_F32,
        .n_threads = n_threads ? n_threads : processors < CONURE_THREADS_MAX ? processors : CONURE_THREADS_MAX,
        .mask = k->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, .cancel = o->cancel, .log = o->log};
    snprintf(c->base.precision, sizeof c->base.precision, "%s", conure_precision_name(options.precision));
    c->frames_cap = c->given.frames_cap;
    c->rows_cap = c->frames_cap / k->streaming.factor + 1;
    c->mel = conure_calloc((size_t)c->frames_cap * k->mel_bins, sizeof *c->mel);
    c->out = conure_calloc((size_t)c->rows_cap * k->d_model, sizeof *c->out);
    if (!c->mel || !c->out)
        return conure_fail_memory(err, "a step's rows", ((size_t)c->frames_cap * k->mel_bins) * sizeof(float));
    status = c->engine->open(&c->self, model, &options, err);
    if (status != CONURE_OK)
        return status;
    snprintf(c->base.description, sizeof c->base.description, "%s: %s", words, c->engine->describe(c->self));
    conure_contract_cache_options(k, &caches);
    return c->engine->state_open(c->self, &c->state, &caches, err);
}

conure_status conure_candidate_engine_open(conure_candidate **out, const char *spec, const conure_contract *contract,
                                           const conure_model *model, const conure_candidate_options *options, conure_error *err)
{
    engine_candidate *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return conure_fail_memory(err, "a candidate", sizeof *c);
    c->base = (conure_candidate){.step = engine_step, .close = engine_close, .contract = contract, .cancel = options->cancel};
    const conure_status status = open_parts(c, spec, model, options, err);
    if (status == CONURE_OK)
        *out = &c->base;
    else
        engine_close(&c->base);
    return status;
}

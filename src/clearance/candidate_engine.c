/* candidate_engine.c - an engine of this build as a candidate: states that are set before a step and taken out after it. */
#include "clearance/candidate.h"

#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct engine_candidate {
    conure_candidate base;
    const conure_engine *engine;
    void *self;
    struct conure_kept_engine *place; /* that it goes back to; NULL: it ends with the candidate */
    bool failed;                      /* a step did: the engine is not used again */
    conure_state *states[CONURE_CANDIDATE_ROWS]; /* all but the first are opened when a batch first needs them */
    float *mel[CONURE_CANDIDATE_ROWS], *out[CONURE_CANDIDATE_ROWS]; /* [frames_cap][mel_bins], [rows_cap][d_model] */
    uint32_t frames_cap, rows_cap;
    conure_chunk given;        /* the state that the engine gave last: handing the same over again needs no import */
    bool holds_given;
} engine_candidate;

static void kept_end(struct conure_kept_engine *k)
{
    if (k->engine)
        k->engine->close(&k->self);
    *k = (struct conure_kept_engine){0};
}

void conure_kept_engines_close(conure_kept_engines *kept)
{
    for (int i = 0; i < CONURE_KEPT_ENGINES; i++)
        kept_end(&kept->list[i]);
}

/* One that was kept, or a new one, which is kept where there is room. */
static conure_status open_engine(engine_candidate *c, const char *words, const conure_model *model, const conure_engine_options *options,
                                 conure_kept_engines *kept, conure_error *err)
{
    const bool exact = options->mask == CONURE_MASK_EXACT;
    struct conure_kept_engine *room = NULL;
    for (int i = 0; kept && i < CONURE_KEPT_ENGINES; i++) {
        struct conure_kept_engine *at = &kept->list[i];
        if (!at->taken && (!room || !at->engine))
            room = at;
        if (!at->engine || at->taken || strcmp(at->words, words) != 0 || at->n_threads != options->n_threads || at->mask_exact != exact)
            continue;
        at->taken = true;
        c->place = at;
        c->self = at->self;
        return CONURE_OK;
    }
    if (room)
        kept_end(room);
    const conure_status status = conure_engine_open(&c->self, c->engine, model, options, err);
    if (status != CONURE_OK || !room || strlen(words) >= sizeof room->words)
        return status;
    *room = (struct conure_kept_engine){.engine = c->engine, .self = c->self, .n_threads = options->n_threads, .mask_exact = exact, .taken = true};
    memcpy(room->words, words, strlen(words) + 1);
    c->place = room;
    return CONURE_OK;
}

static void engine_close(conure_candidate *base)
{
    engine_candidate *c = (engine_candidate *)base;
    for (uint32_t i = 0; i < CONURE_CANDIDATE_ROWS; i++) {
        if (c->states[i])
            c->engine->state_close(c->self, &c->states[i]);
        free(c->mel[i]);
        free(c->out[i]);
    }
    if (c->place && c->failed)
        kept_end(c->place);
    else if (c->place)
        c->place->taken = false;
    else if (c->self)
        c->engine->close(&c->self);
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

static conure_status set_state(engine_candidate *c, uint32_t row, const conure_chunk *chunk, conure_error *err)
{
    if (row == 0 && is_given(c, chunk))
        return CONURE_OK;
    c->engine->state_reset(c->self, c->states[row]);
    return c->engine->state_import(c->self, c->states[row], chunk->channel[0], chunk->time[0], chunk->cache_length[0], err);
}

/* Memory and a state for a row. */
static conure_status open_row(engine_candidate *c, uint32_t row, conure_error *err)
{
    const conure_contract *k = c->base.contract;
    conure_cache_options caches;
    if (c->states[row])
        return CONURE_OK;
    if (!c->mel[row])
        c->mel[row] = conure_calloc((size_t)c->frames_cap * k->mel_bins, sizeof(float));
    if (!c->out[row])
        c->out[row] = conure_calloc((size_t)c->rows_cap * k->d_model, sizeof(float));
    if (!c->mel[row] || !c->out[row])
        return conure_fail_memory(err, "a step's rows", (size_t)c->frames_cap * k->mel_bins * sizeof(float));
    conure_contract_cache_options(k, &caches);
    return c->engine->state_open(c->self, &c->states[row], &caches, err);
}

static void turn(float *to, const float *from, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

/* All of a row but its state. */
static conure_status set_features(engine_candidate *c, uint32_t i, const conure_chunk *chunk, conure_encode_row *row, conure_error *err)
{
    const conure_contract *k = c->base.contract;
    if (chunk->n_frames > c->frames_cap || chunk->length < 0 || chunk->length > chunk->n_frames)
        return conure_fail(err, CONURE_BAD_ARG, "chunk %llu: %lld valid of %u frames, at most %u are possible", (unsigned long long)chunk->index,
                           (long long)chunk->length, chunk->n_frames, c->frames_cap);
    const conure_status status = open_row(c, i, err);
    if (status != CONURE_OK)
        return status;
    turn(c->mel[i], chunk->features, k->mel_bins, chunk->n_frames);
    *row = (conure_encode_row){.mel = c->mel[i], .n_frames = chunk->n_frames, .n_valid = (uint32_t)chunk->length,
                               .drop_first = k->streaming.drop_extra[chunk->step > 0], .state = c->states[i], .out = c->out[i],
                               .n_out_cap = c->rows_cap};
    return CONURE_OK;
}

static conure_status set_row(engine_candidate *c, uint32_t i, const conure_chunk *chunk, conure_encode_row *row, conure_error *err)
{
    const conure_status status = set_features(c, i, chunk, row, err);
    return status == CONURE_OK ? set_state(c, i, chunk, err) : status;
}

static conure_status take_row(engine_candidate *c, uint32_t i, conure_chunk *chunk, const conure_encode_row *row, conure_error *err)
{
    /* valid_out_len: what the graph cuts to */
    chunk->n_out = row->n_out < chunk->out_cap ? row->n_out : chunk->out_cap;
    chunk->encoded_length = row->n_out_valid < chunk->out_cap ? row->n_out_valid : chunk->out_cap;
    turn(chunk->encoder, c->out[i], chunk->n_out, c->base.contract->d_model);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
        chunk->has[role] = true;
    return c->engine->state_export(c->self, c->states[i], chunk->channel[1], chunk->time[1], &chunk->cache_length[1], err);
}

static conure_status engine_step_batch(conure_candidate *base, conure_chunk *const *chunks, uint32_t n, conure_error *err)
{
    engine_candidate *c = (engine_candidate *)base;
    conure_encode_row rows[CONURE_CANDIDATE_ROWS];
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = set_row(c, i, chunks[i], &rows[i], err);
    c->holds_given = false;
    if (status == CONURE_OK)
        status = c->engine->encode(c->self, rows, n, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = take_row(c, i, chunks[i], &rows[i], err);
    c->failed |= status != CONURE_OK;
    if (status != CONURE_OK)
        return status;
    conure_chunk_copy(&c->given, CONURE_ROLE_CHANNEL_OUT, chunks[0], CONURE_ROLE_CHANNEL_OUT);
    conure_chunk_copy(&c->given, CONURE_ROLE_TIME_OUT, chunks[0], CONURE_ROLE_TIME_OUT);
    c->given.cache_length[1] = chunks[0]->cache_length[1];
    c->holds_given = true;
    return CONURE_OK;
}

static conure_status engine_step(conure_candidate *base, conure_chunk *chunk, conure_error *err)
{
    return engine_step_batch(base, &chunk, 1, err);
}

static conure_status engine_held_step(conure_candidate *base, const conure_chunk *chunk, bool begins, conure_parts *parts, double *seconds,
                                      conure_error *err)
{
    engine_candidate *c = (engine_candidate *)base;
    conure_encode_row row;
    conure_status status = set_features(c, 0, chunk, &row, err);
    c->holds_given = false;
    if (status == CONURE_OK && parts && !c->engine->profile)
        status = conure_fail(err, CONURE_UNSUPPORTED, "%.200s does not say what the parts of a step take", base->description);
    if (status != CONURE_OK)
        return status;
    if (begins)
        c->engine->state_reset(c->self, c->states[0]);
    const double start_s = conure_now_s();
    status = parts ? c->engine->profile(c->self, &row, 1, conure_parts_add, parts, err) : c->engine->encode(c->self, &row, 1, err);
    *seconds = conure_now_s() - start_s;
    c->failed |= status != CONURE_OK;
    return status;
}

static uint64_t engine_device_bytes(conure_candidate *base)
{
    const engine_candidate *c = (const engine_candidate *)base;
    uint64_t bytes = 0;
    return c->engine->device_bytes && c->engine->device_bytes(c->self, &bytes, NULL) == CONURE_OK ? bytes : 0;
}

static conure_status open_parts(engine_candidate *c, const char *words, const conure_model *model, const conure_candidate_options *o,
                                conure_error *err)
{
    const conure_contract *k = c->base.contract;
    conure_engine_spec spec;
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
    const conure_precision own = c->engine->precision ? c->engine->precision : CONURE_PRECISION_F32;
    conure_engine_options options = conure_engine_spec_options(&spec, o->n_threads);
    options.precision = spec.precision ? spec.precision : own;
    options.mask = k->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    options.cancel = o->cancel;
    options.log = o->log;
    snprintf(c->base.precision, sizeof c->base.precision, "%s", conure_precision_name(options.precision));
    c->frames_cap = c->given.frames_cap;
    c->rows_cap = c->frames_cap / k->streaming.factor + 1;
    status = conure_model_hash(model, c->base.model_sha256, err);
    if (status == CONURE_OK)
        status = open_engine(c, words, model, &options, o->kept, err);
    if (status != CONURE_OK)
        return status;
    snprintf(c->base.description, sizeof c->base.description, "%s: %s", words, c->engine->describe(c->self));
    return open_row(c, 0, err);
}

conure_status conure_candidate_engine_open(conure_candidate **out, const char *spec, const conure_contract *contract,
                                           const conure_model *model, const conure_candidate_options *options, conure_error *err)
{
    engine_candidate *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return conure_fail_memory(err, "a candidate", sizeof *c);
    c->base = (conure_candidate){.step = engine_step, .step_batch = engine_step_batch, .held_step = engine_held_step,
                                 .device_bytes = engine_device_bytes, .close = engine_close, .contract = contract,
                                 .cancel = options->cancel};
    const conure_status status = open_parts(c, spec, model, options, err);
    if (status == CONURE_OK)
        *out = &c->base;
    else
        engine_close(&c->base);
    return status;
}

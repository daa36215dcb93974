/* check.c - a running engine against a contract.
 *
 * On each profile a stream per row of a small batch makes some steps, and that four times: as it is; once more on the
 * same states after a reset, where every bit must come again; and with every state taken out after every step and put into
 * another one, which must go on with the same bits, once as tensors and once as the bytes of a snapshot.  Buffers are filled with a pattern before each call and have guard values
 * behind them, so that it shows what an engine writes and what it does not. */
#include "clearance/check.h"

#include "base/memory.h"
#include "base/system.h"
#include "model/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, STEPS = 4, GUARD = 64 };
typedef enum pass_kind { PLAIN, AGAIN, HANDED_OVER, SAVED, PASSES } pass_kind;

/* A quiet NaN with a payload that no computation makes: "not written". */
static const uint32_t untouched = 0x7fc0dead;

typedef struct stream {
    conure_state *state, *spare;
    conure_assertions assertions;
    int64_t length;
} stream;

typedef struct checking {
    const conure_contract *contract;
    const conure_engine *engine;
    void *self;
    const conure_check_options *o;
    conure_check_report *report;
    conure_error *err;
    uint32_t n_steps, batch;  /* of this profile */
    uint32_t step_first;      /* a profile for later steps begins with step 1, though on a new state */
    const conure_profile *profile;
    stream streams[BATCH];
    float *mel;               /* [batch][t_max][mel_bins] */
    float *out;               /* [batch][frames_cap][d_model] + guard */
    size_t out_floats;        /* of one row, without its guard */
    float *channel, *time;    /* one stream's caches + guard */
    size_t channel_floats, time_floats;
    uint64_t *sums;           /* [n_steps + 1][batch][2]: of outputs and caches, from the first pass */
    uint64_t n_done, n_all;
} checking;

/* ---- findings --------------------------------------------------------------------------------- */

static conure_check_item *item(const checking *c, conure_check check)
{
    return &c->report->items[CONURE_RULES + check];
}

__attribute__((format(printf, 4, 5))) static void judge(const checking *c, conure_check check, bool ok, const char *format, ...)
{
    conure_check_item *i = item(c, check);
    i->checked++;
    if (ok)
        return;
    if (i->violated++ == 0) {
        va_list args;
        va_start(args, format);
        vsnprintf(i->first, sizeof i->first, format, args);
        va_end(args);
    }
}

static void start_report(conure_check_report *report)
{
    static const char *const ids[] = {
#define X(name, id, what) id,
        CONURE_CHECK_LIST(X)
#undef X
    };
    static const char *const whats[] = {
#define X(name, id, what) what,
        CONURE_CHECK_LIST(X)
#undef X
    };
    memset(report, 0, sizeof *report);
    for (uint32_t i = 0; i < CONURE_RULES; i++) {
        report->items[i].id = conure_rule_id(i);
        report->items[i].what = conure_rule_what(i);
    }
    for (uint32_t i = 0; i < CONURE_CHECKS; i++) {
        report->items[CONURE_RULES + i].id = ids[i];
        report->items[CONURE_RULES + i].what = whats[i];
    }
}

/* ---- buffers ---------------------------------------------------------------------------------- */

static void fill(float *buffer, size_t n)
{
    for (size_t i = 0; i < n + GUARD; i++)
        memcpy(&buffer[i], &untouched, sizeof untouched);
}

static bool is_untouched(float value)
{
    return memcmp(&value, &untouched, sizeof untouched) == 0;
}

/* The first of n that was not written, or n; and the guard behind them. */
static void judge_written(const checking *c, const float *buffer, size_t n, size_t cap, conure_role role, uint32_t row, uint32_t step)
{
    size_t missing = 0, beyond = n;
    while (missing < n && !is_untouched(buffer[missing]))
        missing++;
    while (beyond < cap + GUARD && is_untouched(buffer[beyond]))
        beyond++;
    judge(c, CONURE_CHECK_SHAPES, missing == n, "%s[%u]: value %zu of %zu was not written (profile %s, step %u)",
          c->contract->names[role], row, missing, n, c->profile->name, step);
    judge(c, CONURE_CHECK_SHAPES, beyond == cap + GUARD, "%s[%u]: %zu values are expected, and value %zu was written (profile %s, step %u)",
          c->contract->names[role], row, n, beyond, c->profile->name, step);
}

/* FNV-1a over words: tells whether bits are the same, cheaply. */
static uint64_t sum(uint64_t h, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        h = (h ^ bits) * 1099511628211u;
    }
    return h;
}

static conure_status buffers(checking *c)
{
    const conure_contract *k = c->contract;
    const size_t d = k->d_model, layers = k->n_layers, frames = c->profile->t_max / k->streaming.factor + 1;
    size_t mel, out, channel, time, sums;
    if (!conure_mul((size_t)c->batch * c->profile->t_max, k->mel_bins, &mel) || !conure_mul(frames, d, &c->out_floats) ||
        !conure_mul(c->out_floats + GUARD, c->batch, &out) || !conure_mul(layers * d, k->streaming.cache_rows, &channel) ||
        !conure_mul(layers * d, k->conv_left, &time) || !conure_mul((size_t)(c->n_steps + 1) * c->batch, 2, &sums))
        return conure_fail_memory(c->err, "tensors of a contract", SIZE_MAX);
    c->channel_floats = channel;
    c->time_floats = time;
    c->mel = conure_calloc(mel, sizeof *c->mel);
    c->out = conure_calloc(out, sizeof *c->out);
    c->channel = conure_calloc(channel + GUARD, sizeof *c->channel);
    c->time = conure_calloc(time + GUARD, sizeof *c->time);
    c->sums = conure_calloc(sums, sizeof *c->sums);
    return c->mel && c->out && c->channel && c->time && c->sums
               ? CONURE_OK
               : conure_fail_memory(c->err, "tensors of a contract", (mel + out + channel + time) * sizeof(float));
}

/* ---- one step --------------------------------------------------------------------------------- */

/* Frames of a row on a step: the profile's longest, shortest and usual in turn, each row another. */
static uint32_t frames_of(const conure_profile *p, uint32_t row, uint32_t step)
{
    const uint32_t t[3] = {p->t_max, p->t_min, p->t_opt};
    return t[(row + step) % 3];
}

/* On the last step some of the slice is padding. */
static uint32_t valid_of(const checking *c, uint32_t n_frames, uint32_t step)
{
    const uint32_t less = c->contract->streaming.factor + 1;
    return step + 1 == c->n_steps && n_frames > less ? n_frames - less : n_frames;
}

static void make_features(checking *c, uint32_t row, uint32_t step, uint32_t n_frames)
{
    const uint32_t bins = c->contract->mel_bins;
    const uint64_t base = ((uint64_t)step * BATCH + row) << 40; /* no two rows or steps share numbers */
    float *mel = c->mel + (size_t)row * c->profile->t_max * bins;
    for (size_t i = 0; i < (size_t)n_frames * bins; i++)
        mel[i] = (float)((conure_random_unit(c->o->seed, base + i) * 2 - 1) * 1.7320508075688772);
}

static conure_status look_at_cache(checking *c, uint32_t row, uint32_t step, int64_t *length)
{
    stream *s = &c->streams[row];
    const size_t d = c->contract->d_model, rows = c->contract->streaming.cache_rows;
    size_t first = 0;
    fill(c->channel, c->channel_floats);
    fill(c->time, c->time_floats);
    *length = INT64_MIN;
    const conure_status status = c->engine->state_export(c->self, s->state, c->channel, c->time, length, c->err);
    if (status != CONURE_OK)
        return status;
    judge_written(c, c->channel, c->channel_floats, c->channel_floats, CONURE_ROLE_CHANNEL_OUT, row, step);
    judge_written(c, c->time, c->time_floats, c->time_floats, CONURE_ROLE_TIME_OUT, row, step);
    uint64_t n = conure_count_not_finite(c->channel, c->channel_floats, &first);
    judge(c, CONURE_CHECK_CACHE_FINITE, n == 0, "%s[%u]: %llu values are not finite, the first is number %zu (profile %s, step %u)",
          c->contract->names[CONURE_ROLE_CHANNEL_OUT], row, (unsigned long long)n, first, c->profile->name, step);
    n = conure_count_not_finite(c->time, c->time_floats, &first);
    judge(c, CONURE_CHECK_CACHE_FINITE, n == 0, "%s[%u]: %llu values are not finite, the first is number %zu (profile %s, step %u)",
          c->contract->names[CONURE_ROLE_TIME_OUT], row, (unsigned long long)n, first, c->profile->name, step);
    if (*length < 0 || *length >= (int64_t)rows) /* a full one has no other rows */
        return CONURE_OK;
    for (size_t layer = 0; layer < c->contract->n_layers; layer++)
        for (size_t i = 0; i < (rows - (size_t)*length) * d; i++)
            if (c->channel[layer * rows * d + i] != 0) {
                judge(c, CONURE_CHECK_PAD, false, "%s[%u]: layer %zu, row %zu, channel %zu is %g, expected 0: only the last %lld rows are "
                      "valid (profile %s, step %u)", c->contract->names[CONURE_ROLE_CHANNEL_OUT], row, layer, i / d, i % d,
                      (double)c->channel[layer * rows * d + i], (long long)*length, c->profile->name, step);
                return CONURE_OK;
            }
    judge(c, CONURE_CHECK_PAD, true, "%s", "");
    return CONURE_OK;
}

/* The same bits as in the first pass? */
static void judge_sums(checking *c, pass_kind pass, uint32_t row, uint32_t step, uint64_t out, uint64_t cache)
{
    static const conure_check checks[PASSES] = {CONURE_CHECKS, CONURE_CHECK_REPEATS, CONURE_CHECK_HAND_OVER, CONURE_CHECK_SNAPSHOT};
    uint64_t *sums = c->sums + 2 * ((size_t)step * c->batch + row);
    if (pass == PLAIN) {
        sums[0] = out;
        sums[1] = cache;
    } else if (c->contract->repeatable) {
        judge(c, checks[pass], sums[0] == out && sums[1] == cache, "row %u: %s other bits than before (profile %s, step %u)", row,
              sums[0] != out ? "encoder_output has" : "the caches have", c->profile->name, step);
    }
}

/* What a step left, against the rules and the first pass. */
static conure_status look_at(checking *c, pass_kind pass, const conure_encode_row *r, uint32_t row, uint32_t step)
{
    stream *s = &c->streams[row];
    const conure_contract *k = c->contract;
    conure_prediction p;
    int64_t length = 0;
    conure_contract_predict_row(k, r->drop_first, r->n_frames, r->n_valid, s->length, false, &p);
    const size_t expected = (size_t)(c->o->trimmed ? p.encoder_frames : p.rows) * k->d_model;
    const conure_status status = look_at_cache(c, row, step, &length);
    if (status != CONURE_OK)
        return status;
    judge_written(c, r->out, expected < c->out_floats ? expected : c->out_floats, c->out_floats, CONURE_ROLE_ENCODER, row, step);
    const conure_step_facts facts = {
        .step = c->step_first + step, .row = row, .n_frames = r->n_frames, .n_valid = r->n_valid, .drop_first = r->drop_first, .n_out = r->n_out,
        .n_out_valid = r->n_out_valid, .trimmed = c->o->trimmed, .length_known = true, .length_in = s->length, .length_out = length,
        .out = (size_t)r->n_out * k->d_model <= c->out_floats ? r->out : NULL, .width = k->d_model};
    conure_error why = {""};
    uint64_t before[CONURE_RULES];
    memcpy(before, s->assertions.violated, sizeof before);
    (void)conure_assertions_step(&s->assertions, &facts, &why);
    for (uint32_t i = 0; i < CONURE_RULES; i++)
        if (s->assertions.violated[i] > before[i] && !c->report->items[i].first[0])
            snprintf(c->report->items[i].first, sizeof c->report->items[i].first, "%.380s, profile %s", why.text, c->profile->name);
    const uint64_t start = 14695981039346656037u;
    judge_sums(c, pass, row, step, sum(start, r->out, expected < c->out_floats ? expected : c->out_floats),
               sum(sum(start ^ (uint64_t)length, c->channel, c->channel_floats), c->time, c->time_floats));
    s->length = length;
    return CONURE_OK;
}

/* The state as its tensors into the other one; what the engine says of taking them in *taken and *why. */
static conure_status through_tensors(checking *c, stream *s, conure_status *taken, conure_error *why)
{
    int64_t length;
    const conure_status status = c->engine->state_export(c->self, s->state, c->channel, c->time, &length, c->err);
    if (status == CONURE_OK)
        *taken = c->engine->state_import(c->self, s->spare, c->channel, c->time, length, why);
    return status;
}

/* The same as a snapshot's bytes. */
static conure_status through_bytes(checking *c, stream *s, conure_status *taken, conure_error *why)
{
    size_t snapshot, memory;
    c->engine->state_bytes(c->self, s->state, &snapshot, &memory);
    void *bytes = conure_calloc(snapshot + 1, 1);
    conure_status status = bytes ? CONURE_OK : conure_fail_memory(c->err, "a snapshot", snapshot);
    if (status == CONURE_OK)
        status = c->engine->state_save(c->self, s->state, bytes, c->err);
    if (status == CONURE_OK)
        *taken = c->engine->state_load(c->self, s->spare, bytes, snapshot, why);
    free(bytes);
    return status;
}

/* The state into the other one, which takes its place.  *go_on: false when the engine does not take what it gave, which ends the pass as a
 * violation: what was found before is worth more than an error. */
static conure_status hand_over(checking *c, pass_kind pass, stream *s, uint32_t row, uint32_t step, bool *go_on)
{
    conure_error why = {""};
    conure_status taken = CONURE_OK;
    const conure_status status = pass == SAVED ? through_bytes(c, s, &taken, &why) : through_tensors(c, s, &taken, &why);
    if (status != CONURE_OK)
        return status;
    if (taken == CONURE_NO_MEMORY || taken == CONURE_CANCELLED)
        return conure_fail(c->err, taken, "%s", why.text);
    if (taken != CONURE_OK) {
        judge(c, pass == SAVED ? CONURE_CHECK_SNAPSHOT : CONURE_CHECK_HAND_OVER, false, "row %u: what the engine gave it does not take back: %.300s (profile %s, step %u)", row,
              why.text, c->profile->name, step);
        *go_on = false;
        return CONURE_OK;
    }
    conure_state *other = s->spare;
    s->spare = s->state;
    s->state = other;
    return CONURE_OK;
}

/* Negative lengths and lost rows under NeMo's rule: it fails there, and so may an engine. */
static bool may_go_on(const checking *c, const conure_encode_row *rows)
{
    for (uint32_t i = 0; i < c->batch; i++) {
        conure_prediction p;
        conure_contract_predict_row(c->contract, rows[i].drop_first, rows[i].n_frames, rows[i].n_valid, 0, false, &p);
        if (p.breaks)
            return false;
    }
    return true;
}

static conure_status step(checking *c, pass_kind pass, uint32_t k, bool *go_on)
{
    conure_encode_row rows[BATCH] = {{0}};
    const uint32_t bins = c->contract->mel_bins;
    for (uint32_t i = 0; i < c->batch; i++) {
        const uint32_t n = frames_of(c->profile, i, k), valid = valid_of(c, n, k);
        make_features(c, i, k, n);
        float *out = c->out + i * (c->out_floats + GUARD);
        fill(out, c->out_floats);
        rows[i] = (conure_encode_row){
            .mel = c->mel + (size_t)i * c->profile->t_max * bins, .n_frames = n, .n_valid = valid,
            .drop_first = c->contract->streaming.drop_extra[c->step_first + k > 0], .state = c->streams[i].state, .out = out,
            .n_out_cap = (uint32_t)(c->out_floats / c->contract->d_model)};
    }
    conure_status status = c->engine->encode(c->self, rows, c->batch, c->err);
    *go_on = may_go_on(c, rows);
    for (uint32_t i = 0; i < c->batch && status == CONURE_OK; i++) {
        status = look_at(c, pass, &rows[i], i, k);
        if (status == CONURE_OK && (pass == HANDED_OVER || pass == SAVED))
            status = hand_over(c, pass, &c->streams[i], i, k, go_on);
    }
    c->n_done++;
    if (status == CONURE_OK && c->o->cancel && *c->o->cancel)
        return conure_fail(c->err, CONURE_CANCELLED, "cancelled");
    if (status == CONURE_OK && c->o->progress && !c->o->progress(c->o->progress_user, (double)c->n_done / (double)c->n_all))
        return conure_fail(c->err, CONURE_CANCELLED, "cancelled");
    return status;
}

/* ---- one profile ------------------------------------------------------------------------------ */

static conure_status open_streams(checking *c)
{
    conure_cache_options options;
    conure_status status = CONURE_OK;
    conure_contract_cache_options(c->contract, &options);
    for (uint32_t i = 0; i < c->batch && status == CONURE_OK; i++) {
        stream *s = &c->streams[i];
        conure_assertions_init(&s->assertions, c->contract, CONURE_POLICY_COUNT);
        status = c->engine->state_open(c->self, &s->state, &options, c->err);
        if (status == CONURE_OK)
            status = c->engine->state_open(c->self, &s->spare, &options, c->err);
    }
    return status;
}

static void close_profile(checking *c)
{
    for (uint32_t i = 0; i < c->batch; i++) {
        stream *s = &c->streams[i];
        for (uint32_t rule = 0; rule < CONURE_RULES; rule++) {
            c->report->items[rule].checked += s->assertions.checked[rule];
            c->report->items[rule].violated += s->assertions.violated[rule];
        }
        if (s->state)
            c->engine->state_close(c->self, &s->state);
        if (s->spare)
            c->engine->state_close(c->self, &s->spare);
        *s = (stream){0};
    }
    free(c->mel);
    free(c->out);
    free(c->channel);
    free(c->time);
    free(c->sums);
    c->mel = c->out = c->channel = c->time = NULL;
    c->sums = NULL;
}

/* A reset state must be a new one: zeros, of length 0. */
static conure_status judge_reset(checking *c, uint32_t row)
{
    int64_t length = -1;
    stream *s = &c->streams[row];
    c->engine->state_reset(c->self, s->state);
    const conure_status status = c->engine->state_export(c->self, s->state, c->channel, c->time, &length, c->err);
    if (status != CONURE_OK)
        return status;
    bool zeros = length == 0;
    for (size_t i = 0; i < c->channel_floats && zeros; i++)
        zeros = c->channel[i] == 0;
    for (size_t i = 0; i < c->time_floats && zeros; i++)
        zeros = c->time[i] == 0;
    judge(c, CONURE_CHECK_RESET, zeros, "row %u: after a reset the length is %lld and not all of the caches is 0 (profile %s)", row,
          (long long)length, c->profile->name);
    s->length = 0;
    return CONURE_OK;
}

static conure_status run_profile(checking *c, conure_check_profile *result)
{
    conure_status status = buffers(c);
    if (status == CONURE_OK)
        status = open_streams(c);
    *result = (conure_check_profile){.profile = c->profile, .batch = c->batch};
    for (pass_kind pass = PLAIN; pass < PASSES && status == CONURE_OK; pass++) {
        bool go_on = true;
        for (uint32_t i = 0; i < c->batch && status == CONURE_OK; i++)
            status = judge_reset(c, i);
        for (uint32_t k = 0; k < c->n_steps && status == CONURE_OK && go_on; k++) {
            status = step(c, pass, k, &go_on);
            result->n_steps = k + 1;
        }
        result->length_out = c->streams[0].length;
    }
    close_profile(c);
    return status;
}

conure_status conure_contract_check_engine(const conure_contract *contract, const conure_engine *engine, void *self,
                                           const conure_check_options *options, conure_check_report *report, conure_error *err)
{
    checking c = {.contract = contract, .engine = engine, .self = self, .o = options, .report = report, .err = err};
    conure_status status = CONURE_OK;
    const double start_s = conure_now_s();
    start_report(report);
    report->state_flows = conure_contract_state_flows(contract);
    const uint32_t n_steps = options->n_steps ? options->n_steps : STEPS;
    for (uint32_t i = 0; i < contract->n_profiles; i++)
        c.n_all += (contract->profiles[i].steps == CONURE_STEPS_FIRST ? 1 : n_steps) * PASSES;
    for (uint32_t i = 0; i < contract->n_profiles && status == CONURE_OK; i++) {
        c.profile = &contract->profiles[i];
        c.step_first = c.profile->steps == CONURE_STEPS_LATER;
        c.n_steps = c.profile->steps == CONURE_STEPS_FIRST ? 1 : n_steps;
        c.batch = c.profile->b_max < BATCH ? c.profile->b_max : BATCH;
        c.batch = c.batch < c.profile->b_min ? c.profile->b_min : c.batch;
        if (c.batch > BATCH) {
            status = conure_fail(err, CONURE_UNSUPPORTED, "profile %s wants batches of at least %u, at most %d are checked",
                                 c.profile->name, c.profile->b_min, BATCH);
            break;
        }
        status = run_profile(&c, &report->profiles[report->n_profiles]);
        report->n_profiles++;
    }
    for (uint32_t i = 0; i < CONURE_RULES + CONURE_CHECKS; i++)
        report->n_violated += report->items[i].violated > 0;
    report->seconds = conure_now_s() - start_s;
    return status;
}

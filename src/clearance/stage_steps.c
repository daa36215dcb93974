/* stage_steps.c - the stages contract, noise and batch: steps of the candidate by themselves, beside float64, and together. */
#include "clearance/stages.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "clearance/errors.h"
#include "clearance/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 3, BATCH_STEPS = 3 };

/* ---- contract --------------------------------------------------------------------------------- */

static conure_status check_engine(conure_check_report *report, const conure_clearing *c, conure_error *err)
{
    conure_engine_spec spec;
    const conure_engine *engine;
    void *self = NULL;
    conure_status status = conure_engine_spec_parse(&spec, c->candidate, err);
    if (status == CONURE_OK)
        status = conure_engine_find(&engine, spec.engine, err);
    if (status != CONURE_OK)
        return status;
    const conure_precision own = engine->precision ? engine->precision : CONURE_PRECISION_F32;
    conure_engine_options options = conure_engine_spec_options(&spec, c->options.n_threads);
    options.precision = spec.precision ? spec.precision : own;
    options.mask = c->contract->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    options.cancel = c->options.cancel;
    options.log = c->options.log;
    const conure_check_options check = {.seed = c->seed, .cancel = c->options.cancel};
    status = conure_engine_open(&self, engine, c->model, &options, err);
    if (status == CONURE_OK)
        status = conure_contract_check_engine(c->contract, engine, self, &check, report, err);
    if (self)
        engine->close(&self);
    return status;
}

/* Of a command, whose steps are held to the rules in functional and closed_loop: the first step twice, to the bit. */
static conure_status repeat_step(json_t *out, const conure_clearing *c, conure_error *err)
{
    conure_candidate *candidate = NULL, *honest = NULL;
    conure_chunk chunks[2] = {{0}, {0}};
    const conure_feed feed = {.seed = c->seed, .n_chunks = 1, .n_frames = c->n_frames};
    conure_status status = conure_clearing_candidate(&candidate, &honest, c, err);
    for (int i = 0; i < 2 && status == CONURE_OK; i++) {
        status = conure_chunk_open(&chunks[i], c->contract, err);
        if (status != CONURE_OK)
            break;
        conure_chunk_zero_state(&chunks[i]);
        conure_feed_chunk(&feed, 0, &chunks[i]);
        status = conure_candidate_step(candidate, &chunks[i], err);
    }
    if (status == CONURE_OK && c->contract->repeatable) {
        double different = chunks[0].n_out != chunks[1].n_out;
        for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++) {
            const conure_chunk_tensor a = conure_chunk_view(&chunks[0], role), b = conure_chunk_view(&chunks[1], role);
            different += a.bytes != b.bytes || memcmp(a.data, b.data, a.bytes) != 0;
        }
        conure_evidence_check(out, CONURE_GATE_CONTRACT, "repeats: outputs that differ when the same step is asked twice", different, "==", 0,
                              CONURE_GATE_FAIL, NULL);
    }
    for (int i = 0; i < 2; i++)
        conure_chunk_close(&chunks[i]);
    conure_candidate_close(&candidate);
    conure_candidate_close(&honest);
    return status;
}

conure_status conure_stage_contract(json_t *out, const conure_clearing *c, conure_error *err)
{
    if (conure_candidate_is_command(c->candidate)) { /* its steps are held to the contract in the stages that follow */
        return repeat_step(out, c, err);
    }
    conure_check_report *report = calloc(1, sizeof *report);
    conure_status status = report ? check_engine(report, c, err) : CONURE_NO_MEMORY;
    for (size_t i = 0; report && i < CONURE_RULES + CONURE_CHECKS; i++) {
        const conure_check_item *item = &report->items[i];
        char what[160];
        if (!item->checked)
            continue;
        snprintf(what, sizeof what, "%s: violations in %llu looks (%s)", item->id, (unsigned long long)item->checked, item->what);
        conure_evidence_check(out, CONURE_GATE_CONTRACT, what, (double)item->violated, "==", 0, CONURE_GATE_FAIL,
                              item->first[0] ? item->first : NULL);
    }
    free(report);
    return status;
}

/* ---- noise ------------------------------------------------------------------------------------ */

typedef struct measured {
    conure_errors errors;
    double largest;
} measured;

static void measure(measured *m, const float *truth, const float *got, size_t n)
{
    size_t worst;
    double max, relative;
    conure_errors_add(&m->errors, truth, got, n, &worst, &max, &relative);
    for (size_t i = 0; i < n; i++)
        m->largest = fmax(m->largest, fabs((double)truth[i]));
}

static void measure_chunk(measured m[CONURE_MEASURED], const conure_chunk *truth, const conure_chunk *got)
{
    const size_t n_out = (size_t)truth->contract->d_model * truth->n_out;
    if (got->n_out == truth->n_out)
        measure(&m[CONURE_MEASURED_ENCODER], truth->encoder, got->encoder, n_out);
    measure(&m[CONURE_MEASURED_CHANNEL], truth->channel[1], got->channel[1], truth->channel_floats);
    measure(&m[CONURE_MEASURED_TIME], truth->time[1], got->time[1], truth->time_floats);
}

static json_t *measured_json(const measured m[CONURE_MEASURED], const char *what)
{
    json_t *tensors = json_object();
    for (conure_measured t = 0; t < CONURE_MEASURED; t++) {
        const conure_errors *e = &m[t].errors;
        json_object_set_new(tensors, conure_measured_name(t),
                            json_pack("{s:o, s:o, s:o, s:o, s:I}", "max", conure_evidence_number(e->n_not_finite ? NAN : e->max), "p95",
                                      conure_evidence_number(conure_errors_percentile(e, 0.95)), "mean",
                                      conure_evidence_number(e->n ? e->sum / (double)e->n : 0), "largest", conure_evidence_number(m[t].largest),
                                      "count", (json_int_t)e->n));
    }
    return json_pack("{s:s, s:o}", "what", what, "tensors", tensors);
}

typedef struct noise_run {
    conure_candidate *truth, *engines[2], *honest; /* engines: the reference, the candidate */
    conure_source *source;
    conure_chunk chunk;
    measured *m; /* [2][CONURE_MEASURED] */
    uint64_t n;
} noise_run;

static conure_status noise_open(noise_run *r, const conure_clearing *c, conure_error *err)
{
    const conure_feed feed = {.seed = c->seed, .n_chunks = c->n_noise, .n_frames = c->n_frames};
    r->m = calloc(2 * CONURE_MEASURED, sizeof *r->m);
    if (!r->m)
        return conure_fail_memory(err, "statistics", 2 * CONURE_MEASURED * sizeof *r->m);
    for (int i = 0; i < 2 * CONURE_MEASURED; i++)
        conure_errors_init(&r->m[i].errors);
    conure_status status = conure_candidate_open(&r->truth, "ref:f64", c->contract, c->model, &c->options, err);
    if (status == CONURE_OK)
        status = conure_candidate_open(&r->engines[0], c->reference, c->contract, c->model, &c->options, err);
    if (status == CONURE_OK)
        status = conure_clearing_candidate(&r->engines[1], &r->honest, c, err);
    if (status == CONURE_OK)
        status = conure_source_live(&r->source, r->truth, &feed, c->contract, err);
    return status == CONURE_OK ? conure_chunk_open(&r->chunk, c->contract, err) : status;
}

/* Both take every step from the state that float64 has, so that what is measured is one step. */
static conure_status noise_steps(noise_run *r, const conure_clearing *c, conure_error *err)
{
    const conure_chunk *truth;
    conure_status status = CONURE_OK;
    while (status == CONURE_OK) {
        status = r->source->next(r->source, &truth, err);
        for (int i = 0; i < 2 && status == CONURE_OK; i++) {
            conure_chunk_take_inputs(&r->chunk, truth);
            status = conure_candidate_step(r->engines[i], &r->chunk, err);
            if (status == CONURE_OK)
                measure_chunk(r->m + i * CONURE_MEASURED, truth, &r->chunk);
        }
        if (status == CONURE_OK)
            r->n++;
        if (status == CONURE_OK && !conure_clearing_show(c, "noise", r->n, c->n_noise))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    return status == CONURE_END ? CONURE_OK : status;
}

conure_status conure_stage_noise(json_t *out, const conure_clearing *c, conure_error *err)
{
    noise_run r = {0};
    if (!c->model) {
        json_object_set_new(out, "not_applicable", json_string("without a model there is no float64 to compare with"));
        return CONURE_OK;
    }
    conure_status status = noise_open(&r, c, err);
    if (status == CONURE_OK)
        status = noise_steps(&r, c, err);
    if (r.n > 0) {
        const char *precision = c->precision ? c->precision : conure_candidate_precision(r.engines[1]);
        json_object_set_new(out, "chunks", json_integer((json_int_t)r.n));
        json_object_set_new(out, "reference", measured_json(r.m, conure_candidate_describe(r.engines[0])));
        json_object_set_new(out, "candidate", measured_json(r.m + CONURE_MEASURED, conure_candidate_describe(r.engines[1])));
        /* What computes in float32 is honest arithmetic or it is not: TF32 is thousands of times the noise. */
        json_object_set_new(out, "ratio_judged", json_boolean(strcmp(precision, "f32") == 0));
        json_object_set_new(out, "ratio_max", json_real(c->ratio_max));
    }
    conure_source_close(&r.source);
    conure_candidate_close(&r.engines[1]);
    conure_candidate_close(&r.honest);
    conure_candidate_close(&r.engines[0]);
    conure_candidate_close(&r.truth);
    conure_chunk_close(&r.chunk);
    free(r.m);
    return status;
}

/* ---- batch ------------------------------------------------------------------------------------ */

static double difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        if (!(d <= most))
            most = isnan(d) ? INFINITY : d;
    }
    return most;
}

/* Row i of a batch: its own features, and fewer valid frames than its neighbours, so that there is padding to leak. */
static void row_inputs(conure_chunk *row, uint32_t i, uint64_t step, const conure_clearing *c)
{
    const conure_feed feed = {.seed = c->seed + i, .n_chunks = BATCH_STEPS, .n_frames = c->n_frames};
    conure_feed_chunk(&feed, step, row);
    const uint32_t less = i * 2 * row->contract->streaming.factor + i;
    row->length = less < row->n_frames ? row->n_frames - less : row->n_frames;
    if (step == 0)
        conure_chunk_zero_state(row);
    else
        conure_chunk_carry_state(row, row);
}

typedef struct batch_run {
    conure_candidate *honest, *candidate;
    conure_chunk rows[BATCH_ROWS], alone;
    double most[BATCH_ROWS][CONURE_MEASURED];
    double padded;      /* largest change of a first step when padding is cut off; negative: the candidate takes no such slice */
    uint64_t n_lengths;
} batch_run;

/* A new stream's first step once with padding behind its valid frames and once without: the valid frames are the same frames. */
static conure_status padding_step(batch_run *b, const conure_clearing *c, conure_error *err)
{
    conure_chunk *row = &b->rows[1];
    row_inputs(row, 1, 0, c);
    conure_status status = conure_candidate_step(b->candidate, row, err);
    if (status != CONURE_OK)
        return status;
    conure_chunk_take_inputs(&b->alone, row);
    const uint32_t bins = row->contract->mel_bins, n = (uint32_t)row->length;
    b->alone.n_frames = n;
    for (uint32_t m = 0; m < bins; m++)
        memcpy(b->alone.features + (size_t)m * n, row->features + (size_t)m * row->n_frames, n * sizeof(float));
    b->padded = -1;
    if (conure_candidate_step(b->candidate, &b->alone, NULL) != CONURE_OK)
        return CONURE_OK; /* built for the contract's slices alone */
    int64_t valid = row->encoded_length < b->alone.encoded_length ? row->encoded_length : b->alone.encoded_length;
    b->padded = 0;
    for (uint32_t d = 0; d < row->contract->d_model && valid > 0; d++)
        b->padded = fmax(b->padded, difference(row->encoder + (size_t)d * row->n_out, b->alone.encoder + (size_t)d * b->alone.n_out, (size_t)valid));
    return CONURE_OK;
}

static conure_status batch_step(batch_run *b, uint64_t step, const conure_clearing *c, conure_error *err)
{
    conure_chunk *rows[BATCH_ROWS];
    for (uint32_t i = 0; i < BATCH_ROWS; i++) {
        rows[i] = &b->rows[i];
        row_inputs(rows[i], i, step, c);
    }
    conure_status status = conure_candidate_step_batch(b->candidate, rows, BATCH_ROWS, err);
    for (uint32_t i = 0; i < BATCH_ROWS && status == CONURE_OK; i++) {
        const conure_chunk *row = rows[i];
        conure_chunk_take_inputs(&b->alone, row);
        status = conure_candidate_step(b->candidate, &b->alone, err);
        if (status != CONURE_OK)
            return status;
        const bool same = row->n_out == b->alone.n_out && row->encoded_length == b->alone.encoded_length &&
                          row->cache_length[1] == b->alone.cache_length[1];
        b->n_lengths += !same;
        const size_t valid = (size_t)(row->encoded_length < 0 ? 0 : row->encoded_length);
        double *most = b->most[i];
        for (uint32_t d = 0; same && d < row->contract->d_model; d++) /* frames beyond the valid ones are nobody's */
            most[0] = fmax(most[0], difference(row->encoder + (size_t)d * row->n_out, b->alone.encoder + (size_t)d * row->n_out, valid));
        most[1] = fmax(most[1], difference(row->channel[1], b->alone.channel[1], row->channel_floats));
        most[2] = fmax(most[2], difference(row->time[1], b->alone.time[1], row->time_floats));
    }
    return status;
}

conure_status conure_stage_batch(json_t *out, const conure_clearing *c, conure_error *err)
{
    batch_run b = {0};
    json_t *rows = json_array();
    if (conure_candidate_is_command(c->candidate)) {
        json_decref(rows);
        json_object_set_new(out, "not_applicable", json_string("a command gets one stream at a time"));
        return CONURE_OK;
    }
    conure_status status = conure_clearing_candidate(&b.candidate, &b.honest, c, err);
    for (int i = 0; i < BATCH_ROWS && status == CONURE_OK; i++)
        status = conure_chunk_open(&b.rows[i], c->contract, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&b.alone, c->contract, err);
    if (status == CONURE_OK)
        status = padding_step(&b, c, err);
    for (uint64_t step = 0; step < BATCH_STEPS && status == CONURE_OK; step++)
        status = batch_step(&b, step, c, err);
    for (int i = 0; i < BATCH_ROWS && status == CONURE_OK; i++)
        json_array_append_new(rows, json_pack("{s:I, s:I, s:o, s:o, s:o}", "frames", (json_int_t)b.rows[i].n_frames, "valid",
                                              (json_int_t)b.rows[i].length, conure_measured_name(0), conure_evidence_number(b.most[i][0]),
                                              conure_measured_name(1), conure_evidence_number(b.most[i][1]), conure_measured_name(2),
                                              conure_evidence_number(b.most[i][2])));
    if (status == CONURE_OK) {
        json_object_set(out, "rows", rows);
        json_object_set_new(out, "steps", json_integer(BATCH_STEPS));
        json_object_set_new(out, "padding", b.padded < 0 ? json_null() : conure_evidence_number(b.padded));
        json_object_set_new(out, "lengths_different", json_integer((json_int_t)b.n_lengths));
    }
    json_decref(rows);
    for (int i = 0; i < BATCH_ROWS; i++)
        conure_chunk_close(&b.rows[i]);
    conure_chunk_close(&b.alone);
    conure_candidate_close(&b.candidate);
    conure_candidate_close(&b.honest);
    return status;
}

/* parity.c - see parity.h. */
#include "clearance/parity.h"

#include "base/system.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FLOW_FACTOR = 100 }; /* times the noise that zeroing the cache must change the output by */

typedef struct run {
    conure_parity_report *r;
    const conure_parity_options *o;
    const conure_contract *contract;
    conure_candidate *candidate;
    conure_chunk own; /* the candidate's */
    conure_chunk young; /* a chunk that began with masked rows in its cache */
    bool has_young;
    double rr[CONURE_MEASURED], rc[CONURE_MEASURED]; /* sums of reference * reference, reference * candidate */
    conure_error *err;
} run;

const char *conure_verdict_name(conure_verdict verdict)
{
    static const char *const names[] = {"pass", "fail", "not_proven", "not_judged"};
    return names[verdict];
}

__attribute__((format(printf, 3, 4))) static void reason(conure_parity_report *r, conure_verdict verdict, const char *format, ...)
{
    if (verdict == CONURE_VERDICT_FAIL || r->verdict == CONURE_VERDICT_PASS)
        r->verdict = verdict;
    if (r->n_reasons == sizeof r->reasons / sizeof *r->reasons)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(r->reasons[r->n_reasons++], sizeof *r->reasons, format, args);
    va_end(args);
}

/* ---- one chunk -------------------------------------------------------------------------------- */

/* The inputs that the candidate gets; false when the reference did not store the state that it should begin from. */
static bool set_inputs(run *p, const conure_chunk *reference)
{
    conure_chunk *own = &p->own;
    /* Looked at first: a chunk that is left out leaves the last one whole, for probe_flow(). */
    for (conure_role role = CONURE_ROLE_CHANNEL_IN; role < CONURE_ROLE_INPUTS; role++)
        if (p->o->mode == CONURE_PARITY_FUNCTIONAL && reference->step > 0 && !reference->has[role])
            return false;
    if (p->o->mode == CONURE_PARITY_CLOSED_LOOP && reference->step > 0) {
        conure_chunk_carry_state(own, own);
        if (p->o->hand_over)
            p->o->hand_over(p->o->hand_over_user, own);
    }
    own->index = reference->index;
    own->step = reference->step;
    conure_chunk_copy(own, CONURE_ROLE_FEATURES, reference, CONURE_ROLE_FEATURES);
    conure_chunk_copy(own, CONURE_ROLE_LENGTH, reference, CONURE_ROLE_LENGTH);
    if (reference->step == 0) {
        conure_chunk_zero_state(own);
    } else if (p->o->mode == CONURE_PARITY_FUNCTIONAL) {
        for (conure_role role = CONURE_ROLE_CHANNEL_IN; role < CONURE_ROLE_INPUTS; role++)
            conure_chunk_copy(own, role, reference, role);
    }
    return true;
}

static void compare_floats(run *p, conure_measured m, const float *a, const float *b, size_t n, size_t offset, conure_parity_chunk *series)
{
    double *const max = &series->max[m];
    for (size_t i = 0; i < n; i++) {
        p->rr[m] += (double)a[i] * a[i];
        p->rc[m] += (double)a[i] * b[i];
    }
    conure_parity_tensor *t = &p->r->tensors[m];
    const conure_limits *limits = &p->o->tolerance->limits[m];
    size_t worst;
    double relative;
    conure_errors_add(&t->errors, a, b, n, &worst, max, &relative);
    t->n_chunks++;
    if (!(relative <= series->relative[m])) /* of a cache's layers the worst */
        series->relative[m] = relative;
    if (*max <= limits->absolute_max && relative <= limits->relative_max)
        return;
    if (t->n_bad++ == 0) {
        t->first_chunk = p->own.index;
        t->first_index = offset + worst;
        t->first_error = *max;
    }
}

/* Rows in front of the valid ones: they count in the maximum, and in no percentile. */
static double compare_masked(run *p, const conure_chunk *reference, size_t n_masked, double largest)
{
    const conure_contract *k = p->contract;
    const size_t rows = k->streaming.cache_rows, d = k->d_model;
    conure_parity_tensor *t = &p->r->tensors[CONURE_MEASURED_CHANNEL];
    for (size_t layer = 0; layer < k->n_layers; layer++)
        for (size_t i = layer * rows * d; i < (layer * rows + n_masked) * d; i++) {
            const double e = fabs((double)reference->channel[1][i] - p->own.channel[1][i]);
            if (e <= largest)
                continue;
            largest = isfinite(e) ? e : INFINITY;
            if (largest > p->o->tolerance->limits[CONURE_MEASURED_CHANNEL].absolute_max && t->n_bad++ == 0) {
                t->first_chunk = p->own.index;
                t->first_index = i;
                t->first_error = largest;
            }
        }
    return largest;
}

/* Of the attention cache its valid rows are compared, where there are any: zeros in front of them would make every percentile 0. */
static void compare_channel(run *p, const conure_chunk *reference, conure_parity_chunk *series)
{
    double *const max = &series->max[CONURE_MEASURED_CHANNEL];
    const conure_contract *k = p->contract;
    const size_t rows = k->streaming.cache_rows, d = k->d_model;
    const int64_t length = reference->cache_length[1];
    const size_t valid = length <= 0 || length > (int64_t)rows ? rows : (size_t)length;
    conure_parity_tensor *t = &p->r->tensors[CONURE_MEASURED_CHANNEL];
    const uint64_t n_chunks = t->n_chunks, n_bad = t->n_bad;
    double largest = 0;
    for (size_t layer = 0; layer < k->n_layers; layer++) {
        const size_t at = (layer * rows + rows - valid) * d;
        compare_floats(p, CONURE_MEASURED_CHANNEL, reference->channel[1] + at, p->own.channel[1] + at, valid * d, at, series);
        if (*max > largest)
            largest = *max;
    }
    *max = compare_masked(p, reference, rows - valid, largest);
    t->n_chunks = n_chunks + 1; /* layers are no chunks */
    t->n_bad = n_bad + (t->n_bad > n_bad);
}

static void compare_length(conure_parity_length *l, uint64_t chunk, int64_t expected, int64_t got)
{
    l->n++;
    if (expected == got || l->n_bad++ > 0)
        return;
    l->first_chunk = chunk;
    l->expected = expected;
    l->got = got;
}

static void compare(run *p, const conure_chunk *reference, conure_parity_chunk *series)
{
    const conure_chunk *own = &p->own;
    conure_parity_report *r = p->r;
    if (reference->has[CONURE_ROLE_ENCODER]) {
        const bool same = own->n_out == reference->n_out;
        if (same)
            compare_floats(p, CONURE_MEASURED_ENCODER, reference->encoder, own->encoder, (size_t)own->n_out * p->contract->d_model, 0, series);
        else
            reason(r, CONURE_VERDICT_FAIL, "chunk %llu: encoder_output has %u frames, the reference's %u", (unsigned long long)own->index,
                   own->n_out, reference->n_out);
    }
    if (reference->has[CONURE_ROLE_CHANNEL_OUT])
        compare_channel(p, reference, series);
    if (reference->has[CONURE_ROLE_TIME_OUT])
        compare_floats(p, CONURE_MEASURED_TIME, reference->time[1], own->time[1], own->time_floats, 0, series);
    if (reference->has[CONURE_ROLE_ENCODED_LENGTH])
        compare_length(&r->lengths[0], own->index, reference->encoded_length, own->encoded_length);
    if (reference->has[CONURE_ROLE_CACHE_LENGTH_OUT])
        compare_length(&r->lengths[1], own->index, reference->cache_length[1], own->cache_length[1]);
    series->cache_length = own->cache_length[1];
    series->reference_cache_length = reference->cache_length[1];
    if (own->step == 0)
        r->residual = series->max[CONURE_MEASURED_ENCODER];
    else if (series->max[CONURE_MEASURED_ENCODER] >= 0 && isfinite(series->max[CONURE_MEASURED_ENCODER]))
        conure_line_add(&r->line, (double)own->index, series->max[CONURE_MEASURED_ENCODER]);
}

static void hold_to_contract(run *p)
{
    const conure_chunk *c = &p->own;
    const conure_step_facts facts = {
        .step = c->step, .n_frames = c->n_frames, .n_valid = (uint32_t)c->length,
        .drop_first = p->contract->streaming.drop_extra[c->step > 0], .n_out = c->n_out,
        .n_out_valid = c->encoded_length < 0 ? 0 : (uint32_t)c->encoded_length, .trimmed = true, .length_known = true,
        .length_in = c->cache_length[0], .length_out = c->cache_length[1], .out = c->n_out ? c->encoder : NULL, /* in any order: only "finite" looks */
        .width = p->contract->d_model};
    conure_error why = {""};
    (void)conure_assertions_step(&p->r->assertions, &facts, &why);
    if (why.text[0] && !p->r->first_violation[0])
        snprintf(p->r->first_violation, sizeof p->r->first_violation, "%s", why.text);
}

static void note_flow(run *p, const conure_chunk *reference)
{
    conure_parity_report *r = p->r;
    if (r->n_chunks == 0)
        r->length_first = reference->cache_length[1];
    if (reference->cache_length[1] > r->length_max)
        r->length_max = reference->cache_length[1];
}

/* One with some rows in its cache if there is any, else the first, whose rows are all masked. */
static void keep_young(run *p)
{
    const int64_t length = p->own.cache_length[0];
    if (p->own.n_out == 0 || length >= (int64_t)p->contract->streaming.cache_rows || length < 0)
        return;
    if (p->has_young && (p->young.cache_length[0] > 0 || length == 0))
        return;
    for (conure_role role = 0; role < CONURE_ROLES; role++)
        conure_chunk_copy(&p->young, role, &p->own, role);
    p->young.index = p->own.index;
    p->young.step = p->own.step;
    p->has_young = true;
}

static conure_status one_chunk(run *p, const conure_chunk *reference)
{
    conure_parity_chunk series = {.chunk = reference->index, .max = {-1, -1, -1}};
    size_t first;
    if (!set_inputs(p, reference)) {
        p->r->n_skipped++;
        return CONURE_OK;
    }
    const double start_s = conure_now_s();
    const conure_status status = conure_candidate_step(p->candidate, &p->own, p->err);
    if (status != CONURE_OK)
        return status;
    series.seconds = conure_now_s() - start_s;
    p->r->candidate_seconds += series.seconds;
    compare(p, reference, &series);
    hold_to_contract(p);
    note_flow(p, reference);
    p->r->n_not_finite += conure_count_not_finite(p->own.channel[1], p->own.channel_floats, &first) +
                          conure_count_not_finite(p->own.time[1], p->own.time_floats, &first);
    keep_young(p);
    p->r->n_chunks++;
    if (p->o->chunk)
        p->o->chunk(p->o->chunk_user, &series);
    return CONURE_OK;
}

/* ---- evidence that state flows ---------------------------------------------------------------- */

static double largest_change(const float *a, const float *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= d)) /* NaN counts */
            d = fabs((double)a[i] - b[i]);
    return d;
}

/* A step once more with rows from .. to - 1 of every layer's cache set to a value: how much does the output change? */
static conure_status change_rows(run *p, const conure_chunk *step, conure_chunk *other, size_t from, size_t to, float value, double *change)
{
    const conure_contract *k = p->contract;
    const size_t rows = k->streaming.cache_rows, d = k->d_model;
    conure_chunk_take_inputs(other, step);
    for (size_t layer = 0; layer < k->n_layers; layer++)
        for (size_t i = (layer * rows + from) * d; i < (layer * rows + to) * d; i++)
            other->channel[0][i] = value;
    const conure_status status = conure_candidate_step(p->candidate, other, p->err);
    if (status == CONURE_OK)
        *change = other->n_out == step->n_out ? largest_change(step->encoder, other->encoder, (size_t)other->n_out * d) : INFINITY;
    return status;
}

static conure_status probe_flow(run *p)
{
    conure_parity_report *r = p->r;
    const size_t rows = p->contract->streaming.cache_rows;
    const int64_t length = p->own.cache_length[0];
    conure_chunk other;
    double scale = 0;
    const bool reaches = r->n_chunks > 0 && p->own.n_out > 0 && length > 0 && length <= (int64_t)rows;
    if (!reaches && !p->has_young)
        return CONURE_OK;
    conure_status status = conure_chunk_open(&other, p->contract, p->err);
    if (status == CONURE_OK && p->has_young)
        status = change_rows(p, &p->young, &other, 0, rows - (size_t)p->young.cache_length[0], 1, &r->masked_change);
    r->has_masked = status == CONURE_OK && p->has_young;
    if (status != CONURE_OK || !reaches) {
        conure_chunk_close(&other);
        return status;
    }
    for (size_t i = 0; i < (size_t)p->own.n_out * p->contract->d_model; i++)
        scale = fmax(scale, fabs((double)p->own.encoder[i]));
    r->rounding = scale * FLT_EPSILON;
    status = change_rows(p, &p->own, &other, rows - (size_t)length, rows, 0, &r->zeroed_change);
    r->probed = status == CONURE_OK;
    conure_chunk_close(&other);
    return status;
}

/* ---- verdict ---------------------------------------------------------------------------------- */

static void judge_tensors(run *p)
{
    conure_parity_report *r = p->r;
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        const conure_parity_tensor *t = &r->tensors[m];
        const conure_limits *limits = &p->o->tolerance->limits[m];
        const double p95 = conure_errors_percentile(&t->errors, 0.95);
        if (t->n_bad)
            reason(r, CONURE_VERDICT_FAIL, "%s: %llu of %llu chunks beyond %g (relative %g), the first is chunk %llu: error %.4g at value %zu",
                   conure_measured_name(m), (unsigned long long)t->n_bad, (unsigned long long)t->n_chunks, limits->absolute_max,
                   limits->relative_max, (unsigned long long)t->first_chunk, t->first_error, t->first_index);
        if (p95 > limits->absolute_p95)
            reason(r, CONURE_VERDICT_FAIL, "%s: the 95th percentile of the error is %.4g, at most %g is allowed", conure_measured_name(m), p95,
                   limits->absolute_p95);
    }
    for (int i = 0; i < 2; i++)
        if (r->lengths[i].n_bad)
            reason(r, CONURE_VERDICT_FAIL, "%s differs in %llu of %llu chunks, first in chunk %llu: %lld, the reference has %lld",
                   i ? "cache_last_channel_len" : "encoded_lengths", (unsigned long long)r->lengths[i].n_bad,
                   (unsigned long long)r->lengths[i].n, (unsigned long long)r->lengths[i].first_chunk, (long long)r->lengths[i].got,
                   (long long)r->lengths[i].expected);
    if (r->n_not_finite)
        reason(r, CONURE_VERDICT_FAIL, "%llu values of the caches are NaN or infinite", (unsigned long long)r->n_not_finite);
    if (r->assertions.n_bad_steps)
        reason(r, CONURE_VERDICT_FAIL, "%llu steps break the contract: %.250s", (unsigned long long)r->assertions.n_bad_steps, r->first_violation);
}

static void judge_drift(run *p)
{
    conure_parity_report *r = p->r;
    r->has_slope = conure_line_slope(&r->line, &r->slope, &r->slope_half_width);
    if (p->o->mode != CONURE_PARITY_CLOSED_LOOP)
        return;
    if (r->has_slope && r->slope - r->slope_half_width > p->o->tolerance->slope_per_chunk)
        reason(r, CONURE_VERDICT_FAIL, "encoder_output drifts: its largest error grows by %.3g +- %.2g a chunk, at most %g is allowed", r->slope,
               r->slope_half_width, p->o->tolerance->slope_per_chunk);
    if (!r->has_slope)
        reason(r, CONURE_VERDICT_NOT_PROVEN, "not_proven: a closed loop of %llu chunks says nothing about drift", (unsigned long long)r->n_chunks);
}

static void judge_flow(run *p)
{
    conure_parity_report *r = p->r;
    if (r->n_chunks == 0) {
        reason(r, CONURE_VERDICT_NOT_PROVEN, "not_proven: no chunk was compared");
    } else if (r->length_max <= 0) {
        reason(r, CONURE_VERDICT_NOT_PROVEN, "not_proven: no state flows: the cache's length stays at %lld for all %llu chunks, so that no error "
               "can pass from one to the next", (long long)r->length_max, (unsigned long long)r->n_chunks);
    } else if (!r->probed) {
        reason(r, CONURE_VERDICT_NOT_PROVEN, "not_proven: too few chunks for a step that begins with rows in the cache");
    } else {
        if (!(r->zeroed_change > FLOW_FACTOR * r->rounding))
            reason(r, CONURE_VERDICT_NOT_PROVEN, "not_proven: setting the valid cache rows to 0 changes encoder_output by %.3g, less than %d "
                   "roundings of it (%.3g): the cache does not reach the output", r->zeroed_change, FLOW_FACTOR, FLOW_FACTOR * r->rounding);
        const double allowed = strcmp(p->candidate->precision, "int8") == 0 ? r->rounding : 0; /* per-tensor scales see every row */
        if (r->has_masked && !(r->masked_change <= allowed))
            reason(r, CONURE_VERDICT_FAIL, "changing masked cache rows changes encoder_output by %.3g, expected %g", r->masked_change, allowed);
    }
}

/* ---- the run ---------------------------------------------------------------------------------- */

static conure_status all_chunks(run *p, conure_source *source)
{
    const uint64_t all = p->o->n_chunks && p->o->n_chunks < source->n_chunks ? p->o->n_chunks : source->n_chunks;
    const conure_chunk *reference;
    conure_status status = CONURE_OK;
    for (uint64_t done = 0; status == CONURE_OK; done++) {
        /* a source is read to its end, where it says whether it was whole */
        if (p->o->n_chunks && done == p->o->n_chunks)
            return CONURE_OK;
        status = source->next(source, &reference, p->err);
        if (status == CONURE_END)
            return CONURE_OK;
        if (status == CONURE_OK)
            status = one_chunk(p, reference);
        if (status == CONURE_OK && p->o->progress && !p->o->progress(p->o->progress_user, done + 1, all))
            status = conure_fail(p->err, CONURE_CANCELLED, "cancelled");
    }
    return status;
}

conure_status conure_parity_run(conure_parity_report *report, conure_source *source, conure_candidate *candidate,
                                const conure_parity_options *options, conure_error *err)
{
    run p = {.r = report, .o = options, .contract = source->contract, .candidate = candidate, .err = err};
    const double start_s = conure_now_s();
    memset(report, 0, sizeof *report);
    report->mode = options->mode;
    report->flows_by_rule = conure_contract_state_flows(source->contract);
    report->length_max = INT64_MIN;
    conure_assertions_init(&report->assertions, source->contract, CONURE_POLICY_COUNT);
    conure_status status = conure_chunk_open(&p.own, source->contract, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&p.young, source->contract, err);
    if (status == CONURE_OK)
        status = all_chunks(&p, source);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        report->gain[m] = p.rr[m] > 0 ? p.rc[m] / p.rr[m] : NAN;
    if (status == CONURE_OK)
        status = probe_flow(&p);
    judge_tensors(&p); /* what was found until an error is said too */
    judge_drift(&p);
    if (status == CONURE_OK)
        judge_flow(&p);
    else
        report->verdict = CONURE_VERDICT_NOT_JUDGED;
    conure_chunk_close(&p.own);
    conure_chunk_close(&p.young);
    report->seconds = conure_now_s() - start_s;
    return status;
}

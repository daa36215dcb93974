/* stage_parity.c - the stages functional, speech and closed_loop: a parity run with its series. */
#include "clearance/stages.h"

#include "base/error.h"
#include "clearance/parity.h"
#include "clearance/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPE_CHUNKS = 3 };

/* Arrays of the series, in this order. */
static const char *const columns[] = {"chunk", "encoder_output", "cache_last_channel", "cache_last_time", "encoder_output_relative",
                                      "cache_last_channel_relative", "cache_last_time_relative", "cache_length", "reference_cache_length",
                                      "seconds"};

typedef struct running {
    const conure_clearing *c;
    const char *what;
    json_t *series;
} running;

static void append(json_t *series, int column, json_t *value)
{
    json_array_append_new(json_object_get(series, columns[column]), value);
}

static void add(void *user, const conure_parity_chunk *chunk)
{
    running *r = user;
    append(r->series, 0, json_integer((json_int_t)chunk->chunk));
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        const bool compared = chunk->max[m] >= 0;
        append(r->series, 1 + (int)m, compared ? conure_evidence_number(chunk->max[m]) : json_null());
        append(r->series, 4 + (int)m, compared ? conure_evidence_number(chunk->relative[m]) : json_null());
    }
    append(r->series, 7, json_integer(chunk->cache_length));
    append(r->series, 8, json_integer(chunk->reference_cache_length));
    append(r->series, 9, conure_evidence_number(chunk->seconds));
}

static bool show(void *user, uint64_t done, uint64_t all)
{
    const running *r = user;
    return conure_clearing_show(r->c, r->what, done, all);
}

static json_t *new_series(void)
{
    json_t *series = json_object();
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        json_object_set_new(series, columns[i], json_array());
    return series;
}

typedef struct opened {
    conure_candidate *reference, *honest, *candidate;
    conure_source *source;
    conure_tolerance tolerance;
    char tolerance_sha256[65];
} opened;

/* Slices of other lengths than the run's own. */
typedef struct shape {
    uint32_t n_frames, n_padding; /* 0: the clearing's */
} shape;

static conure_status open_all(opened *o, conure_stage stage, uint64_t n_chunks, shape slices, const conure_clearing *c, conure_error *err)
{
    const conure_feed feed = {.seed = c->seed, .n_chunks = n_chunks, .n_frames = slices.n_frames ? slices.n_frames : c->n_frames,
                              .n_padding = slices.n_padding, .mel = stage == CONURE_STAGE_SPEECH ? c->mel : NULL, .n_mel = stage == CONURE_STAGE_SPEECH ? c->n_mel : 0};
    conure_status status;
    if (c->reference_file && stage != CONURE_STAGE_SPEECH && !slices.n_frames) {
        status = conure_reference_open(&o->source, c->reference_file, err);
    } else {
        status = conure_candidate_open(&o->reference, c->reference, c->contract, c->model, &c->options, err);
        if (status == CONURE_OK)
            status = conure_source_live(&o->source, o->reference, &feed, c->contract, err);
    }
    if (status == CONURE_OK)
        status = conure_clearing_candidate(&o->candidate, &o->honest, c, err);
    if (status == CONURE_OK)
        status = conure_clearing_tolerance(&o->tolerance, o->candidate, c, o->tolerance_sha256, err);
    return status;
}

static void close_all(opened *o)
{
    conure_source_close(&o->source);
    conure_candidate_close(&o->candidate);
    conure_candidate_close(&o->honest);
    conure_candidate_close(&o->reference);
}

static void check_shape(json_t *out, conure_gate gate, shape slices, const char *what, double value, double limit)
{
    char text[192];
    snprintf(text, sizeof text, "slices of %u frames, %u of them padding: %s", slices.n_frames, slices.n_padding, what);
    conure_evidence_check(out, gate, text, value, "<=", limit, CONURE_GATE_FAIL, NULL);
}

/* A few chunks of another shape, each from the reference's state. */
static conure_status one_shape(json_t *out, shape slices, const conure_clearing *c, conure_error *err)
{
    opened o = {0};
    char what[96];
    conure_parity_report *report = malloc(sizeof *report);
    conure_status status = report ? open_all(&o, CONURE_STAGE_FUNCTIONAL, SHAPE_CHUNKS, slices, c, err) : CONURE_NO_MEMORY;
    const conure_parity_options options = {.mode = CONURE_PARITY_FUNCTIONAL, .n_chunks = SHAPE_CHUNKS, .tolerance = &o.tolerance,
                                           .hand_over = conure_faulty_hand_over, .hand_over_user = o.candidate};
    if (status == CONURE_BAD_ARG)
        status = CONURE_OK; /* no profile takes every step of a stream at this length */
    else if (status == CONURE_OK && (status = conure_parity_run(report, o.source, o.candidate, &options, err)) == CONURE_OK) {
        for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
            const conure_errors *e = &report->tensors[m].errors;
            snprintf(what, sizeof what, "%s, largest error", conure_measured_name(m));
            if (report->tensors[m].n_chunks)
                check_shape(out, CONURE_GATE_FUNCTIONAL, slices, what, e->n_not_finite ? NAN : e->max, o.tolerance.limits[m].absolute_max);
        }
        check_shape(out, CONURE_GATE_CONTRACT, slices, "steps that break the contract or have other lengths than the reference's",
                    (double)(report->assertions.n_bad_steps + report->lengths[0].n_bad + report->lengths[1].n_bad), 0);
        check_shape(out, CONURE_GATE_FINITE, slices, "values that are NaN or infinite", (double)(report->assertions.n_not_finite + report->n_not_finite), 0);
    }
    close_all(&o);
    free(report);
    return status;
}

/* The ends of every profile's range, and a slice that is not all valid: an engine may be right at one length alone. */
static conure_status all_shapes(json_t *out, const conure_clearing *c, conure_error *err)
{
    const conure_contract *k = c->contract;
    uint32_t done[2 * CONURE_PROFILES_MAX + 1], n = 0, longest = 0;
    conure_status status = CONURE_OK;
    if (!c->model && c->reference_file)
        return CONURE_OK; /* there is no engine to make a reference with */
    for (uint32_t i = 0; i < 2 * k->n_profiles && status == CONURE_OK; i++) {
        const uint32_t t = i % 2 ? k->profiles[i / 2].t_max : k->profiles[i / 2].t_min;
        bool known = t == c->n_frames;
        for (uint32_t j = 0; j < n; j++)
            known = known || done[j] == t;
        longest = t > longest ? t : longest;
        if (known)
            continue;
        done[n++] = t;
        status = one_shape(out, (shape){t, 0}, c, err);
    }
    const uint32_t less = k->streaming.factor + 1;
    return status == CONURE_OK && longest > 2 * less ? one_shape(out, (shape){longest, less}, c, err) : status;
}

conure_status conure_stage_parity(json_t *out, conure_stage stage, const conure_clearing *c, conure_error *err)
{
    const bool closed = stage == CONURE_STAGE_CLOSED_LOOP;
    const uint64_t n_chunks = closed ? c->n_closed_loop : c->n_functional;
    opened o = {0};
    running r = {.c = c, .what = conure_stage_name(stage), .series = new_series()};
    conure_parity_report *report = malloc(sizeof *report);
    conure_status status = report && r.series ? open_all(&o, stage, n_chunks, (shape){0, 0}, c, err) : CONURE_NO_MEMORY;
    if (status == CONURE_OK) {
        const conure_parity_options options = {
            .mode = closed ? CONURE_PARITY_CLOSED_LOOP : CONURE_PARITY_FUNCTIONAL, .n_chunks = n_chunks, .tolerance = &o.tolerance,
            .progress = show, .progress_user = &r, .chunk = add, .chunk_user = &r, .hand_over = conure_faulty_hand_over,
            .hand_over_user = o.candidate};
        status = conure_parity_run(report, o.source, o.candidate, &options, err);
        json_t *summary = conure_parity_summary(report, o.source, o.candidate, &o.tolerance, o.tolerance_sha256, NULL);
        json_object_update(out, summary);
        json_decref(summary);
        json_object_del(out, "verdict"); /* the judge's, from what is measured here */
        json_object_del(out, "reasons");
        json_object_del(out, "error");
        json_object_set(out, "series", r.series);
    }
    json_decref(r.series);
    close_all(&o);
    free(report);
    return status == CONURE_OK && stage == CONURE_STAGE_FUNCTIONAL ? all_shapes(out, c, err) : status;
}

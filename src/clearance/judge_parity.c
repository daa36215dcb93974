/* judge_parity.c - what a run of chunks says about the gates functional, closed_loop, contract, finite and flow.  Maxima and the drift come
 * from the series, chunk by chunk; percentiles of single values were counted while it ran. */
#include "clearance/judge.h"

#include "clearance/errors.h"
#include "clearance/tolerance.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GAIN_F32   1e-4
#define GAIN_OTHER 0.02
enum { FLOW_FACTOR = 100 };

typedef struct judged_run {
    const json_t *stage, *series;
    const char *name, *prefix; /* of texts where a gate has two runs */
    conure_gate gate;
} judged_run;

static double limit_of(const json_t *limits, const char *key)
{
    const double limit = conure_judge_number(limits, key);
    return isnan(limit) ? INFINITY : limit; /* a file that sets none leaves it out */
}

/* The largest of a series that was compared, and where; NaN without any. */
static double largest(const judged_run *r, const char *key, double *chunk)
{
    const json_t *values = json_object_get(r->series, key), *chunks = json_object_get(r->series, "chunk");
    double most = NAN;
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value) {
        if (json_is_number(value) && !(json_number_value(value) <= most)) {
            most = json_number_value(value);
            *chunk = json_number_value(json_array_get(chunks, i));
        }
    }
    return most;
}

static void judge_tensor(conure_judging *j, const judged_run *r, const char *name)
{
    const json_t *tensor = json_object_get(json_object_get(r->stage, "tensors"), name), *limits = json_object_get(tensor, "limits");
    char relative[64], where[64];
    double chunk = 0;
    if (conure_judge_count(tensor, "chunks") == 0)
        return; /* a stored reference may lack a tensor; without any the gate has no checks and proves nothing */
    const bool finite = conure_judge_count(tensor, "not_finite") == 0;
    double most = largest(r, name, &chunk);
    snprintf(where, sizeof where, "largest in chunk %.0f", chunk);
    conure_judge_check(j, r->gate, finite ? most : NAN, "<=", limit_of(limits, "absolute_max"), CONURE_GATE_FAIL, where,
                       "%s%s: largest error", r->prefix, name);
    conure_judge_check(j, r->gate, finite ? conure_judge_number(tensor, "p95") : NAN, "<=", limit_of(limits, "absolute_p95"), CONURE_GATE_FAIL,
                       NULL, "%s%s: 95th percentile of the error", r->prefix, name);
    /* What errs in one direction hides below a limit for the largest error: 5 % of every value, say. */
    const double gain = conure_judge_number(tensor, "gain");
    const char *precision = json_string_value(json_object_get(json_object_get(r->stage, "candidate"), "precision"));
    if (isfinite(gain))
        conure_judge_check(j, r->gate, fabs(gain - 1), "<=", precision && strcmp(precision, "f32") == 0 ? GAIN_F32 : GAIN_OTHER, CONURE_GATE_FAIL,
                           NULL, "%s%s: gain against the reference, distance from 1", r->prefix, name);
    if (isfinite(limit_of(limits, "relative_max"))) {
        snprintf(relative, sizeof relative, "%s_relative", name);
        most = largest(r, relative, &chunk);
        conure_judge_check(j, r->gate, finite ? most : NAN, "<=", limit_of(limits, "relative_max"), CONURE_GATE_FAIL, NULL,
                           "%s%s: largest error over the largest value", r->prefix, name);
    }
}

static void judge_contract(conure_judging *j, const judged_run *r)
{
    static const char *const lengths[] = {"encoded_lengths", "cache_last_channel_len"};
    const json_t *assertions = json_object_get(r->stage, "assertions"), *tensors = json_object_get(r->stage, "tensors");
    conure_judge_check(j, CONURE_GATE_CONTRACT, (double)conure_judge_count(assertions, "bad_steps"), "==", 0, CONURE_GATE_FAIL,
                       json_string_value(json_object_get(assertions, "first")), "%s: steps that break the contract", r->name);
    for (int i = 0; i < 2; i++) {
        const json_t *length = json_object_get(tensors, lengths[i]), *first = json_object_get(length, "first_bad");
        char where[128];
        snprintf(where, sizeof where, "first in chunk %.0f: %.0f, the reference has %.0f", conure_judge_number(first, "chunk"),
                 conure_judge_number(first, "got"), conure_judge_number(first, "expected"));
        conure_judge_check(j, CONURE_GATE_CONTRACT, (double)conure_judge_count(length, "different"), "==", 0, CONURE_GATE_FAIL,
                           json_is_object(first) ? where : NULL, "%s: chunks with another %s", r->name, lengths[i]);
    }
}

static void judge_finite(conure_judging *j, const judged_run *r)
{
    double n = (double)conure_judge_count(json_object_get(r->stage, "assertions"), "not_finite");
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        n += (double)conure_judge_count(json_object_get(json_object_get(r->stage, "tensors"), conure_measured_name(m)), "not_finite");
    conure_judge_check(j, CONURE_GATE_FINITE, n, "==", 0, CONURE_GATE_FAIL, NULL, "%s: values that are NaN or infinite", r->name);
}

/* The straight line through the chunks' maxima, chunk 0 left out: what it differs by was there from the beginning. */
static void judge_drift(conure_judging *j, const judged_run *r)
{
    const json_t *values = json_object_get(r->series, "encoder_output"), *chunks = json_object_get(r->series, "chunk");
    conure_line line = {0};
    double slope = NAN, half = NAN;
    char where[96];
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value) {
        const double chunk = json_number_value(json_array_get(chunks, i));
        if (chunk > 0 && json_is_number(value))
            conure_line_add(&line, chunk, json_number_value(value));
    }
    if (!conure_line_slope(&line, &slope, &half)) {
        conure_judge_check(j, r->gate, (double)line.n, ">=", 3, CONURE_GATE_NOT_PROVEN, NULL, "chunks to see a drift in");
        return;
    }
    snprintf(where, sizeof where, "slope %.3g +- %.2g a chunk (95 %%)", slope, half);
    conure_judge_check(j, r->gate, slope - half, "<=", limit_of(json_object_get(r->stage, "drift"), "limit"), CONURE_GATE_FAIL, where,
                       "drift of the largest error a chunk, lower end of its interval");
    const double noise = conure_judge_noise_of(j, "reference", "encoder_output");
    if (noise > 0) {
        snprintf(where, sizeof where, "the drift is %.2g units of noise in 1000 chunks", 1000 * slope / noise);
        json_array_append_new(j->why[r->gate], json_string(where));
    }
}

static void judge_flow(conure_judging *j, const judged_run *r)
{
    const json_t *flow = json_object_get(r->stage, "flow"), *length = json_object_get(flow, "length_max");
    const double rounding = conure_judge_number(flow, "rounding"), measured = conure_judge_noise_of(j, "reference", "encoder_output");
    const double noise = measured > rounding ? measured : rounding;
    char where[128];
    conure_judge_check(j, CONURE_GATE_FLOW, json_is_integer(length) ? (double)json_integer_value(length) : NAN, ">", 0, CONURE_GATE_NOT_PROVEN,
                       "while it stays 0 no error can pass from one chunk to the next", "no state flows: the largest length of the cache");
    if (!(json_integer_value(length) > 0))
        return;
    snprintf(where, sizeof where, "%d times the noise, %.3g%s", FLOW_FACTOR, noise, measured > rounding ? "" : " (one rounding)");
    conure_judge_check(j, CONURE_GATE_FLOW, conure_judge_number(flow, "zeroed_rows_change"), ">", FLOW_FACTOR * noise, CONURE_GATE_NOT_PROVEN,
                       where, "change of encoder_output when the valid cache rows are zeros");
    const char *precision = json_string_value(json_object_get(json_object_get(r->stage, "candidate"), "precision"));
    const bool shared_scale = precision && strcmp(precision, "int8") == 0; /* a scale may depend on every row, masked or not */
    conure_judge_check(j, CONURE_GATE_FLOW, conure_judge_number(flow, "masked_rows_change"), "<=", shared_scale ? noise : 0,
                       json_is_null(json_object_get(flow, "masked_rows_change")) ? CONURE_GATE_NOT_PROVEN : CONURE_GATE_FAIL, NULL,
                       "change of encoder_output when masked cache rows are something else");
}

void conure_judge_parity(conure_judging *j, conure_stage stage)
{
    const bool closed = stage == CONURE_STAGE_CLOSED_LOOP;
    const judged_run r = {.stage = conure_judge_stage(j, stage), .series = json_object_get(conure_judge_stage(j, stage), "series"),
                          .name = conure_stage_name(stage),
                          .prefix = stage == CONURE_STAGE_SPEECH ? "speech, " : "", .gate = closed ? CONURE_GATE_CLOSED_LOOP : CONURE_GATE_FUNCTIONAL};
    if (!r.stage || !json_is_object(json_object_get(r.stage, "tensors")))
        return;
    const uint64_t chunks = json_array_size(json_object_get(r.series, "chunk")), usual = closed ? 300 : 50;
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        judge_tensor(j, &r, conure_measured_name(m));
    judge_contract(j, &r);
    judge_finite(j, &r);
    if (closed) {
        judge_drift(j, &r);
        judge_flow(j, &r);
    }
    if (stage == CONURE_STAGE_FUNCTIONAL && !conure_judge_stage(j, CONURE_STAGE_SPEECH))
        conure_judge_risk(j, "functional: the features were made up; random features are not speech");
    const json_t *tolerances = json_object_get(r.stage, "tolerances"), *of_speech = json_object_get(tolerances, "speech_chunks");
    if (stage == CONURE_STAGE_SPEECH) {
        if (json_is_integer(of_speech) && json_integer_value(of_speech) == 0)
            conure_judge_risk(j, "speech was judged by tolerances that were measured on made-up features alone, and its noise is larger where rows "
                              "nearly vanish: measure them on recordings too (conure noise-floor CONTRACT AUDIO)");
        return;
    }
    double at;
    if (closed && largest(&r, "encoder_output", &at) == 0)
        conure_judge_risk(j, "not one bit differs from the reference: it may be the same code, which a common fault would not show; reference and "
                          "features hold it to what NeMo stored");
    if (chunks < usual)
        conure_judge_risk(j, "%s: %llu chunks were compared; %llu are usual", r.name, (unsigned long long)chunks, (unsigned long long)usual);
    const char *contract = json_string_value(json_object_get(json_object_get(r.stage, "contract"), "precision"));
    const char *precision = json_string_value(json_object_get(json_object_get(r.stage, "candidate"), "precision"));
    if (stage == CONURE_STAGE_FUNCTIONAL && contract && precision && strcmp(contract, precision) != 0)
        conure_judge_risk(j, "the contract is for %s, and the candidate computes in %s", contract, precision);
    const char *file = json_string_value(json_object_get(tolerances, "file"));
    if (stage == CONURE_STAGE_FUNCTIONAL && file && strcmp(file, "note-2026-01") == 0)
        conure_judge_risk(j, "the tolerances are a published table, not derived from this model's noise floor (conure noise-floor)");
}

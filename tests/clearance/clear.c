/* clear.c - from stages to a verdict: an honest engine passes the gates that apply, the verdict is a pure function of the evidence, and one
 * number that is changed changes it. */
#include "support.h"

#include "base/files.h"
#include "clearance/stages.h"

static conure_clearing clearing_of(const small *s, const char *candidate)
{
    conure_clearing c;
    conure_clearing_init(&c);
    c.model = s->model;
    c.contract = &s->contract;
    c.candidate = candidate;
    c.options.n_threads = 1;
    c.n_functional = 8;
    c.n_closed_loop = 12;
    c.n_noise = 2;
    c.n_latency = 10;
    return c;
}

#define TENSORS (CONURE_STAGE_BIT(INPUTS) | CONURE_STAGE_BIT(CONTRACT) | CONURE_STAGE_BIT(NOISE) | CONURE_STAGE_BIT(FUNCTIONAL) | \
                 CONURE_STAGE_BIT(CLOSED_LOOP) | CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(LATENCY))

static json_t *measure(const conure_clearing *c, uint32_t stages)
{
    json_t *all = json_object();
    conure_error err = {""};
    for (conure_stage s = 0; s < CONURE_STAGES; s++) {
        json_t *one = NULL;
        if (!(stages & 1u << s))
            continue;
        good(conure_clear_stage(&one, s, c, &err), &err);
        json_object_set_new(all, conure_stage_name(s), one);
    }
    return json_pack("{s:{}, s:o}", "config", "stages", all);
}

static json_t *stage_of(const json_t *evidence, const char *name)
{
    return json_object_get(json_object_get(evidence, "stages"), name);
}

static json_t *judge(const json_t *evidence)
{
    json_t *report = conure_clear_judge(evidence);
    test_true(report != NULL);
    return report;
}

static void gate_is(const json_t *evidence, conure_gate gate, const char *verdict)
{
    json_t *report = judge(evidence);
    const char *got = conure_clear_gate_verdict(report, gate);
    test_text(got, verdict);
    if (got && strcmp(got, verdict) != 0)
        fprintf(stderr, "  gate %s\n", conure_gate_name(gate));
    json_decref(report);
}

/* An engine of this build keeps its state while it is timed; this one does not say what its parts take. */
static void times_are_of_held_states(const json_t *evidence)
{
    const json_t *latency = json_object_get(json_object_get(evidence, "stages"), "latency");
    test_text(json_string_value(json_object_get(latency, "state")), "held");
    test_int(json_array_size(json_object_get(latency, "seconds")), 10);
    test_true(json_object_get(latency, "parts") == NULL && json_object_get(latency, "device_bytes") == NULL);
}

static void verdict_is(const json_t *evidence, const char *verdict, int code)
{
    json_t *report = judge(evidence);
    test_text(json_string_value(json_object_get(report, "verdict")), verdict);
    test_int(conure_clear_exit(report), code);
    json_decref(report);
}

/* The rest of a clearance, so that tensors alone decide. */
static void excuse_others(json_t *evidence)
{
    static const char *const names[] = {"features", "confidence", "audio", "latency"};
    json_t *excused = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set_new(excused, names[i], json_string("not here"));
    json_object_set_new(json_object_get(evidence, "config"), "not_applicable", excused);
    json_object_set_new(json_object_get(evidence, "stages"), "reference",
                        json_pack("{s:[{s:s, s:s, s:i, s:s, s:i}]}", "checks", "gate", "reference", "what", "tokens", "value", 0, "relation", "==",
                                  "limit", 0));
    json_object_set_new(json_object_get(evidence, "stages"), "self_test",
                        json_pack("{s:[{s:s, s:s, s:b, s:[s]}], s:[{s:s, s:[]}]}", "faults", "fault", "drift", "gate", "closed_loop", "planted", 1,
                                  "failed", "closed_loop", "honest", "pair", "twice", "failed"));
}

static void honest(const json_t *evidence)
{
    static const conure_gate pass[] = {CONURE_GATE_INTEGRITY, CONURE_GATE_PROVENANCE, CONURE_GATE_CONTRACT, CONURE_GATE_FINITE,
                                       CONURE_GATE_FUNCTIONAL, CONURE_GATE_BATCH, CONURE_GATE_NOISE, CONURE_GATE_CLOSED_LOOP, CONURE_GATE_FLOW};
    for (size_t i = 0; i < sizeof pass / sizeof *pass; i++)
        gate_is(evidence, pass[i], CONURE_GATE_PASS);
    gate_is(evidence, CONURE_GATE_AUDIO, CONURE_GATE_NOT_APPLICABLE);
    verdict_is(evidence, CONURE_CLEARED, 0);
    json_t *report = judge(evidence), *again = judge(evidence);
    char *one = json_dumps(report, JSON_REAL_PRECISION(17)), *two = json_dumps(again, JSON_REAL_PRECISION(17));
    test_text(one, two);
    free(one);
    free(two);
    json_decref(report);
    json_decref(again);
}

/* One number of the evidence, and what becomes of it. */
static void changed(const json_t *evidence)
{
    static const struct {
        const char *stage, *member[3]; /* path within it; "[5]" is an element */
        json_type type;
        double value;
        conure_gate gate;
        const char *verdict, *whole;
    } changes[] = {
        {"functional", {"series", "encoder_output", "[5]"}, JSON_REAL, 0.01, CONURE_GATE_FUNCTIONAL, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
        {"functional", {"tensors", "cache_last_time", "not_finite"}, JSON_INTEGER, 1, CONURE_GATE_FINITE, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
        {"closed_loop", {"tensors", "encoder_output", "p95"}, JSON_REAL, 0.01, CONURE_GATE_CLOSED_LOOP, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
        {"closed_loop", {"flow", "length_max", NULL}, JSON_INTEGER, 0, CONURE_GATE_FLOW, CONURE_GATE_NOT_PROVEN, CONURE_NOT_PROVEN},
        {"closed_loop", {"flow", "zeroed_rows_change", NULL}, JSON_REAL, 1e-6, CONURE_GATE_FLOW, CONURE_GATE_NOT_PROVEN, CONURE_NOT_PROVEN},
        {"closed_loop", {"flow", "masked_rows_change", NULL}, JSON_REAL, 1e-7, CONURE_GATE_FLOW, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
        {"closed_loop", {"assertions", "bad_steps", NULL}, JSON_INTEGER, 2, CONURE_GATE_CONTRACT, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
        {"noise", {"chunks", NULL, NULL}, JSON_INTEGER, 0, CONURE_GATE_NOISE, CONURE_GATE_NOT_PROVEN, CONURE_NOT_PROVEN},
        {"batch", {"lengths_different", NULL, NULL}, JSON_INTEGER, 1, CONURE_GATE_BATCH, CONURE_GATE_FAIL, CONURE_NOT_CLEARED},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        json_t *other = json_deep_copy(evidence), *at = stage_of(other, changes[i].stage);
        json_t *value = changes[i].type == JSON_REAL ? json_real(changes[i].value) : json_integer((json_int_t)changes[i].value);
        int m = 0;
        for (; m < 2 && changes[i].member[m + 1]; m++)
            at = json_object_get(at, changes[i].member[m]);
        if (changes[i].member[m][0] == '[')
            test_int(json_array_set_new(at, (size_t)atoi(changes[i].member[m] + 1), value), 0);
        else
            test_int(json_object_set_new(at, changes[i].member[m], value), 0);
        gate_is(other, changes[i].gate, changes[i].verdict);
        verdict_is(other, changes[i].whole, 1);
        json_decref(other);
    }
}

static double own_noise(const json_t *evidence, const char *tensor)
{
    json_t *tensors = json_object_get(json_object_get(stage_of(evidence, "noise"), "candidate"), "tensors");
    const double own = json_real_value(json_object_get(json_object_get(tensors, tensor), "max"));
    test_true(own > 0);
    return own;
}

/* Rows of a batch may differ from the same alone by some of the candidate's own noise, not by more, and not by more than the tolerance. */
static void batched(const json_t *evidence)
{
    static const struct {
        double times;
        const char *verdict;
    } cases[] = {{3, CONURE_GATE_PASS}, {5, CONURE_GATE_FAIL}, {NAN, CONURE_GATE_FAIL}};
    const double own = own_noise(evidence, "cache_last_time"), heard = own_noise(evidence, "encoder_output");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *other = json_deep_copy(evidence), *row = json_array_get(json_object_get(stage_of(other, "batch"), "rows"), 1);
        json_object_set_new(row, "cache_last_time", isnan(cases[i].times) ? json_null() : json_real(cases[i].times * own));
        gate_is(other, CONURE_GATE_BATCH, cases[i].verdict);
        json_t *limits = json_object_get(json_object_get(json_object_get(stage_of(other, "functional"), "tensors"), "cache_last_time"), "limits");
        json_object_set_new(limits, "absolute_max", json_real(2.5 * own));
        gate_is(other, CONURE_GATE_BATCH, CONURE_GATE_FAIL);
        json_decref(other);
    }
    for (int times = 1; times <= 3; times += 2) {
        json_t *other = json_deep_copy(evidence);
        json_object_set_new(stage_of(other, "batch"), "padding", json_real(times * heard));
        gate_is(other, CONURE_GATE_BATCH, times < 2 ? CONURE_GATE_PASS : CONURE_GATE_FAIL);
        json_decref(other);
    }
}

/* A drift is seen in the series, whatever a summary says of it. */
static void drifting(const json_t *evidence)
{
    json_t *other = json_deep_copy(evidence), *series = json_object_get(json_object_get(stage_of(other, "closed_loop"), "series"), "encoder_output");
    for (size_t i = 0; i < json_array_size(series); i++)
        json_array_set_new(series, i, json_real(1e-6 + 4e-6 * (double)i));
    gate_is(other, CONURE_GATE_CLOSED_LOOP, CONURE_GATE_FAIL);
    json_decref(other);
}

/* A stage that did not run, or not to its end; a damaged file. */
static void missing(const json_t *evidence)
{
    json_t *other = json_deep_copy(evidence);
    json_object_del(json_object_get(other, "stages"), "batch");
    gate_is(other, CONURE_GATE_BATCH, CONURE_GATE_NOT_RUN);
    verdict_is(other, CONURE_NOT_PROVEN, 1);
    json_object_set_new(stage_of(other, "functional"), "error", json_string("the candidate ended with exit status 5"));
    gate_is(other, CONURE_GATE_FUNCTIONAL, CONURE_GATE_COULD_NOT_RUN);
    verdict_is(other, CONURE_NOT_JUDGED, 2);
    conure_evidence_check(stage_of(other, "inputs"), CONURE_GATE_INTEGRITY, "the reference file is whole", 0, "==", 1, CONURE_GATE_FAIL, NULL);
    gate_is(other, CONURE_GATE_INTEGRITY, CONURE_GATE_FAIL);
    verdict_is(other, CONURE_NOT_JUDGED, 2);
    json_decref(other);
    other = json_pack("{s:{}, s:{}}", "config", "stages");
    verdict_is(other, CONURE_NOT_PROVEN, 1); /* nothing is no clearance */
    json_decref(other);
}

/* The published configuration, where nothing flows; bf16 by the published table; a candidate that cannot be opened. */
static void others(const small *flowing)
{
    small still;
    conure_clearing c;
    small_open(&still, false);
    c = clearing_of(&still, "cpu:f32");
    json_t *evidence = measure(&c, TENSORS);
    excuse_others(evidence);
    gate_is(evidence, CONURE_GATE_FLOW, CONURE_GATE_NOT_PROVEN);
    verdict_is(evidence, CONURE_NOT_PROVEN, 1);
    json_decref(evidence);
    small_close(&still);
    c = clearing_of(flowing, "cpu:bf16");
    evidence = measure(&c, TENSORS);
    excuse_others(evidence);
    gate_is(evidence, CONURE_GATE_FUNCTIONAL, CONURE_GATE_FAIL);
    verdict_is(evidence, CONURE_NOT_CLEARED, 1);
    json_decref(evidence);
    c.tolerance_file = SOURCE_DIR "/tolerances/tiny-v3-bf16.json";
    evidence = measure(&c, TENSORS);
    excuse_others(evidence);
    verdict_is(evidence, CONURE_CLEARED, 0);
    json_decref(evidence);
    c = clearing_of(flowing, "nothing:f32");
    evidence = measure(&c, TENSORS);
    gate_is(evidence, CONURE_GATE_FUNCTIONAL, CONURE_GATE_COULD_NOT_RUN);
    verdict_is(evidence, CONURE_NOT_JUDGED, 2);
    json_decref(evidence);
}

/* The drift's trial among a self-test's faults, where a trial has four chunks and the closed loop so many. */
static bool drift_is_noticed(const small *s, const char *candidate, uint64_t n_closed_loop)
{
    conure_clearing c = clearing_of(s, candidate);
    json_t *stage = NULL, *one, *gate;
    size_t i, k;
    bool planted = false, noticed = false;
    conure_error err = {""};
    c.tolerance_file = "clear-wide.json";
    c.n_self_test = 4;
    c.n_closed_loop = n_closed_loop;
    good(conure_clear_stage(&stage, CONURE_STAGE_SELF_TEST, &c, &err), &err);
    test_true(!json_object_get(stage, "error"));
    json_array_foreach(json_object_get(stage, "faults"), i, one) {
        if (strcmp(json_string_value(json_object_get(one, "fault")), "drift") != 0)
            continue;
        planted = json_is_true(json_object_get(one, "planted"));
        json_array_foreach(json_object_get(one, "failed"), k, gate)
            noticed |= strcmp(json_string_value(gate), "closed_loop") == 0;
    }
    json_decref(stage);
    return planted && noticed;
}

/* How far the candidate's encoder_output is off at most in so many chunks of the closed loop. */
static double farthest(const small *s, const char *candidate, uint64_t n_closed_loop)
{
    conure_clearing c = clearing_of(s, candidate);
    c.n_closed_loop = n_closed_loop;
    json_t *evidence = measure(&c, CONURE_STAGE_BIT(CLOSED_LOOP));
    const json_t *tensors = json_object_get(stage_of(evidence, "closed_loop"), "tensors");
    const double most = json_real_value(json_object_get(json_object_get(tensors, "encoder_output"), "max"));
    json_decref(evidence);
    return most;
}

static void write_wide(double encoder, double others, const char *precision)
{
    char text[768];
    conure_error err = {""};
    const int n = snprintf(text, sizeof text, "{\"tolerances\": \"wide\", \"format\": 1, \"entries\": [{\"name\": \"wide\", \"state\": \"flows\", "
                           "\"precision\": [\"%s\"], \"source\": \"made up\", \"tensors\": {\"encoder_output\": {\"absolute_max\": %.9g}, "
                           "\"cache_last_channel\": {\"absolute_max\": %.9g}, \"cache_last_time\": {\"absolute_max\": %.9g}, \"encoded_lengths\": "
                           "\"exact\", \"cache_last_channel_len\": \"exact\"}, \"slope_per_chunk\": 9e-7, \"token_agreement\": 1}]}",
                           precision, encoder, others, others);
    good(conure_file_write("clear-wide.json", text, (size_t)n, &err), &err);
}

/* With the tolerances of a model of full size, whose float32 is ten times as far from float64, no trial of four chunks shows a drift of
 * 1e-6 a chunk; a run of a hundred does. */
static void slow_drift(const small *s)
{
    write_wide(9e-5, 2e-4, "f32");
    test_true(!drift_is_noticed(s, "cpu:f32@isa=c", 4));
    test_true(drift_is_noticed(s, "cpu:f32@isa=c", 120));
    /* An honest candidate that the longer run refuses shows nothing of the fault. */
    uint64_t n = 8;
    const double few = farthest(s, "cpu:bf16", 4);
    double many = few;
    for (; n <= 256 && many <= few * 1.01; n *= 2)
        many = farthest(s, "cpu:bf16", n);
    test_true(many > few * 1.01);
    write_wide((few + many) / 2, 1, "bf16");
    test_true(!drift_is_noticed(s, "cpu:bf16", n));
    remove("clear-wide.json");
}

int main(void)
{
    small s;
    test_begin("clearance.clear");
    small_open(&s, true);
    const conure_clearing c = clearing_of(&s, "cpu:f32@isa=c");
    json_t *evidence = measure(&c, TENSORS);
    times_are_of_held_states(evidence);
    excuse_others(evidence);
    honest(evidence);
    changed(evidence);
    batched(evidence);
    drifting(evidence);
    missing(evidence);
    others(&s);
    slow_drift(&s);
    json_decref(evidence);
    small_close(&s);
    return test_end();
}

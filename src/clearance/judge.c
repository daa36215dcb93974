/* judge.c - see judge.h: gates from checks, the verdict from gates. */
#include "clearance/judge.h"

#include "clearance/plain.h"
#include "conure.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *conure_evidence_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void conure_evidence_check(json_t *stage, conure_gate gate, const char *what, double value, const char *relation, double limit,
                           const char *otherwise, const char *where)
{
    json_t *checks = json_object_get(stage, "checks");
    if (!checks) {
        checks = json_array();
        json_object_set_new(stage, "checks", checks);
    }
    json_array_append_new(checks, json_pack("{s:s, s:s, s:o, s:s, s:o, s:s, s:s?}", "gate", conure_gate_name(gate), "what", what, "value",
                                            conure_evidence_number(value), "relation", relation, "limit", conure_evidence_number(limit),
                                            "otherwise", otherwise, "where", where));
}

const json_t *conure_judge_stage(const conure_judging *j, conure_stage stage)
{
    return json_object_get(j->stages, conure_stage_name(stage));
}

double conure_judge_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

uint64_t conure_judge_count(const json_t *object, const char *key)
{
    const json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 ? (uint64_t)n : 0;
}

/* A text that was cut may end within a character, which JSON does not take: a check or a reason must not vanish by it. */
static json_t *text_of(const char *text)
{
    json_t *value = json_string(text);
    conure_buffer whole = {0};
    if (value)
        return value;
    conure_plain_text(&whole, text, 0);
    value = whole.failed ? NULL : json_stringn(whole.data, whole.bytes);
    conure_buffer_free(&whole);
    return value;
}

void conure_judge_risk(conure_judging *j, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(j->risks, text_of(text));
}

/* ---- checks ----------------------------------------------------------------------------------- */

/* Worse ones stay. */
static int weight(const char *verdict)
{
    static const char *const order[] = {CONURE_GATE_PASS, CONURE_GATE_NOT_PROVEN, CONURE_GATE_COULD_NOT_RUN, CONURE_GATE_FAIL};
    for (int i = 0; i < 4; i++)
        if (strcmp(order[i], verdict) == 0)
            return i;
    return 3; /* an unknown word excuses nothing */
}

static bool holds(double value, const char *relation, double limit)
{
    if (strcmp(relation, "<=") == 0)
        return value <= limit;
    if (strcmp(relation, ">=") == 0)
        return value >= limit;
    if (strcmp(relation, ">") == 0)
        return value > limit;
    return strcmp(relation, "==") == 0 && value == limit;
}

static void worsen(conure_judging *j, conure_gate gate, const char *verdict)
{
    if (weight(verdict) > weight(j->worst[gate]))
        j->worst[gate] = weight(verdict) == 3 ? CONURE_GATE_FAIL : weight(verdict) == 2 ? CONURE_GATE_COULD_NOT_RUN : CONURE_GATE_NOT_PROVEN;
}

static const char *in_words(const char *relation)
{
    return relation[0] == '<' ? "at most" : strcmp(relation, ">") == 0 ? "more than" : relation[0] == '>' ? "at least" : "exactly";
}

static void add_check(conure_judging *j, conure_gate gate, const char *what, double value, const char *relation, double limit,
                      const char *otherwise, const char *where)
{
    /* An infinite limit is one that the tolerances do not set. */
    const bool ok = holds(value, relation, limit) || (isinf(limit) && limit > 0 && relation[0] == '<' && isfinite(value));
    char why[768];
    json_array_append_new(j->checks[gate],
                          json_pack("{s:o, s:o, s:s, s:o, s:b, s:o?}", "what", text_of(what), "value", conure_evidence_number(value), "relation",
                                    relation, "limit", conure_evidence_number(limit), "ok", ok, "where", where ? text_of(where) : NULL));
    if (ok)
        return;
    worsen(j, gate, otherwise);
    if (isfinite(value))
        snprintf(why, sizeof why, "%.320s is %.4g, expected %s %.4g%s%.280s", what, value, in_words(relation), limit, where ? ": " : "",
                 where ? where : "");
    else
        snprintf(why, sizeof why, "%.320s is not finite or was not measured, expected %s %.4g%s%.280s", what, in_words(relation), limit,
                 where ? ": " : "", where ? where : "");
    json_array_append_new(j->why[gate], text_of(why));
}

void conure_judge_check(conure_judging *j, conure_gate gate, double value, const char *relation, double limit, const char *otherwise,
                        const char *where, const char *what, ...)
{
    char text[320];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    add_check(j, gate, text, value, relation, limit, otherwise, where);
}

static void stored_checks(conure_judging *j, const json_t *stage)
{
    size_t i;
    json_t *one;
    conure_gate gate;
    json_array_foreach(json_object_get(stage, "checks"), i, one) {
        const char *name = json_string_value(json_object_get(one, "gate")), *what = json_string_value(json_object_get(one, "what"));
        const char *relation = json_string_value(json_object_get(one, "relation"));
        const char *otherwise = json_string_value(json_object_get(one, "otherwise"));
        if (name && conure_gate_parse(&gate, name))
            add_check(j, gate, what ? what : "", conure_judge_number(one, "value"), relation ? relation : "", conure_judge_number(one, "limit"),
                      otherwise ? otherwise : CONURE_GATE_FAIL, json_string_value(json_object_get(one, "where")));
    }
}

/* ---- gates ------------------------------------------------------------------------------------ */

static json_t *gate_of(conure_judging *j, conure_gate gate, const char *verdict)
{
    return json_pack("{s:s, s:s, s:s, s:O, s:O}", "gate", conure_gate_name(gate), "question", conure_gate_question(gate), "verdict", verdict,
                     "why", j->why[gate], "checks", j->checks[gate]);
}

static void say(conure_judging *j, conure_gate gate, const char *format, const char *a, const char *b)
{
    char text[640];
    snprintf(text, sizeof text, format, a, b);
    json_array_append_new(j->why[gate], text_of(text));
}

/* The word for a gate, with the reasons that are not in its checks. */
static const char *settle(conure_judging *j, conure_gate gate)
{
    const char *excuse = json_string_value(json_object_get(json_object_get(j->config, "not_applicable"), conure_gate_name(gate)));
    const char *verdict = j->worst[gate];
    if (excuse && conure_gate_optional(gate) && weight(verdict) == 0) { /* no excuse for what failed */
        say(j, gate, "the configuration says: %s%s", excuse, "");
        conure_judge_risk(j, "%s was not looked at: the configuration says \"%s\"", conure_gate_name(gate), excuse);
        return CONURE_GATE_NOT_APPLICABLE;
    }
    for (conure_stage s = 0; s < CONURE_STAGES; s++) {
        if (!(conure_gate_needs(gate) & 1u << s))
            continue;
        const json_t *stage = conure_judge_stage(j, s);
        const char *error = json_string_value(json_object_get(stage, "error"));
        const char *nature = json_string_value(json_object_get(stage, "not_applicable"));
        if (nature && conure_gate_optional(gate) && weight(verdict) == 0) {
            say(j, gate, "%s%s", nature, "");
            conure_judge_risk(j, "%s was not looked at: %s", conure_gate_name(gate), nature);
            return CONURE_GATE_NOT_APPLICABLE;
        }
        if (error)
            say(j, gate, "%s could not go on: %s", conure_stage_name(s), error);
        else if (!stage)
            say(j, gate, "%s did not run%s", conure_stage_name(s),
                s == CONURE_STAGE_AUDIO && !json_object_get(j->config, "audio") ? ": no recordings were named, which --manifest FILE does" : "");
        if (error && weight(verdict) < weight(CONURE_GATE_COULD_NOT_RUN))
            verdict = CONURE_GATE_COULD_NOT_RUN;
        else if (!stage && weight(verdict) < weight(CONURE_GATE_COULD_NOT_RUN))
            verdict = CONURE_GATE_NOT_RUN;
    }
    if (strcmp(verdict, CONURE_GATE_PASS) == 0 && json_array_size(j->checks[gate]) == 0) {
        say(j, gate, "nothing was compared%s%s", "", "");
        return CONURE_GATE_NOT_PROVEN;
    }
    return verdict;
}

/* The worst of the gates; the first reasons of the gates that have it. */
static const char *whole(const json_t *gates, json_t *why)
{
    static const char *const words[][2] = {
        {CONURE_GATE_FAIL, CONURE_NOT_CLEARED}, {CONURE_GATE_COULD_NOT_RUN, CONURE_NOT_JUDGED}, {CONURE_GATE_NOT_PROVEN, CONURE_NOT_PROVEN},
        {CONURE_GATE_NOT_RUN, CONURE_NOT_PROVEN}};
    const json_t *integrity = json_array_get(gates, CONURE_GATE_INTEGRITY);
    const char *verdict = CONURE_CLEARED;
    if (strcmp(json_string_value(json_object_get(integrity, "verdict")), CONURE_GATE_FAIL) == 0)
        verdict = CONURE_NOT_JUDGED; /* what was measured on damaged files says nothing */
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        size_t i;
        json_t *gate;
        json_array_foreach(gates, i, gate) {
            char text[900];
            if (strcmp(json_string_value(json_object_get(gate, "verdict")), words[w][0]) != 0)
                continue;
            if (strcmp(verdict, CONURE_CLEARED) == 0)
                verdict = words[w][1];
            const char *reason = json_string_value(json_array_get(json_object_get(gate, "why"), 0));
            snprintf(text, sizeof text, "%s, %s: %.700s", json_string_value(json_object_get(gate, "gate")), words[w][0], reason ? reason : "");
            json_array_append_new(why, text_of(text));
        }
    }
    return verdict;
}

json_t *conure_clear_judge(const json_t *evidence)
{
    conure_judging j = {.config = json_object_get(evidence, "config"), .stages = json_object_get(evidence, "stages"), .risks = json_array()};
    json_t *gates = json_array(), *why = json_array();
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        j.checks[g] = json_array();
        j.why[g] = json_array();
        j.worst[g] = CONURE_GATE_PASS;
    }
    for (conure_stage s = 0; s < CONURE_STAGES; s++)
        stored_checks(&j, conure_judge_stage(&j, s));
    conure_judge_noise(&j);
    conure_judge_batch(&j);
    conure_judge_parity(&j, CONURE_STAGE_FUNCTIONAL);
    conure_judge_parity(&j, CONURE_STAGE_SPEECH);
    conure_judge_parity(&j, CONURE_STAGE_CLOSED_LOOP);
    conure_judge_audio(&j);
    conure_judge_latency(&j);
    conure_judge_self_test(&j);
    for (conure_gate g = 0; g < CONURE_GATES; g++)
        json_array_append_new(gates, gate_of(&j, g, settle(&j, g)));
    const char *verdict = whole(gates, why);
    json_t *report = json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:O?, s:O?}", "clearance", CONURE_CLEARANCE_FORMAT, "conure", conure_version(),
                               "verdict", verdict, "why", why, "gates", gates, "risks", j.risks, "config", j.config, "stages", j.stages);
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        json_decref(j.checks[g]);
        json_decref(j.why[g]);
    }
    return report;
}

int conure_clear_exit(const json_t *report)
{
    const char *verdict = json_string_value(json_object_get(report, "verdict"));
    return !verdict || strcmp(verdict, CONURE_NOT_JUDGED) == 0 ? 2 : strcmp(verdict, CONURE_CLEARED) == 0 ? 0 : 1;
}

const char *conure_clear_gate_verdict(const json_t *report, conure_gate gate)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "gates"), i, one) {
        const char *name = json_string_value(json_object_get(one, "gate"));
        if (name && strcmp(name, conure_gate_name(gate)) == 0)
            return json_string_value(json_object_get(one, "verdict"));
    }
    return NULL;
}

/* clear_print.c - a clearance on a terminal: the verdict first. */
#include "cli/clear.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_gate(const json_t *gate)
{
    const json_t *why = json_object_get(gate, "why"), *checks = json_object_get(gate, "checks");
    const char *verdict = text_of(gate, "verdict");
    const bool passed = strcmp(verdict, CONURE_GATE_PASS) == 0;
    printf("  %-12s %-15s ", text_of(gate, "gate"), verdict);
    if (!passed && json_array_size(why))
        printf("%s\n", json_string_value(json_array_get(why, 0)));
    else
        printf("%zu checks\n", json_array_size(checks));
    for (size_t i = 1; !passed && i < json_array_size(why) && i < 4; i++)
        printf("  %-12s %-15s %s\n", "", "", json_string_value(json_array_get(why, i)));
}

void conure_clear_print(const json_t *report, const char *folder)
{
    const json_t *inputs = json_object_get(json_object_get(report, "stages"), "inputs"), *candidate = json_object_get(inputs, "candidate");
    size_t i;
    json_t *one;
    printf("%s\n", text_of(report, "verdict"));
    if (candidate)
        printf("candidate  %s\n", text_of(candidate, "what"));
    json_array_foreach(json_object_get(report, "gates"), i, one)
        print_gate(one);
    if (json_array_size(json_object_get(report, "risks")))
        printf("to know:\n");
    json_array_foreach(json_object_get(report, "risks"), i, one)
        printf("  %s\n", json_string_value(one));
    if (folder)
        printf("report: %s/report.html\n", folder);
}

/* ---- the harness on trial --------------------------------------------------------------------- */

static bool failed(const json_t *trial, const char *gate)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(trial, "failed"), i, one)
        if (json_is_string(one) && strcmp(json_string_value(one), gate) == 0)
            return true;
    return false;
}

static void print_trial(const json_t *trial, const char *name)
{
    printf("%-18.18s", name);
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        const bool named = strcmp(text_of(trial, "gate"), conure_gate_name(g)) == 0;
        const bool fails = failed(trial, conure_gate_name(g));
        printf(" %c", fails ? (named ? 'X' : 'x') : named ? '!' : '.');
    }
    printf("\n");
}

void conure_clear_print_matrix(const json_t *report)
{
    const json_t *stage = json_object_get(json_object_get(report, "stages"), "self_test");
    uint64_t planted = 0, caught = 0, honest = 0, alarms = 0;
    size_t i;
    json_t *one;
    if (!json_is_array(json_object_get(stage, "faults")))
        return;
    for (conure_gate g = 0; g < CONURE_GATES; g++)
        printf("%*s%c %s\n", 19 + 2 * (int)g, "", 'a' + (int)g, conure_gate_name(g));
    json_array_foreach(json_object_get(stage, "faults"), i, one) {
        if (!json_is_true(json_object_get(one, "planted"))) {
            printf("%-18.18s not planted: %s\n", text_of(one, "fault"), text_of(one, "why_not"));
            continue;
        }
        planted++;
        caught += failed(one, text_of(one, "gate"));
        print_trial(one, text_of(one, "fault"));
    }
    json_array_foreach(json_object_get(stage, "honest"), i, one) {
        honest++;
        alarms += json_array_size(json_object_get(one, "failed")) > 0;
        printf("honest: %s: %s\n", text_of(one, "pair"), json_array_size(json_object_get(one, "failed")) ? "REFUSED" : "passes");
    }
    printf("X the gate that is named for the fault, x others that noticed, ! a gate that should have\n");
    printf("%llu of %llu faults caught by their gate, %llu of %llu honest pairs pass\n", (unsigned long long)caught, (unsigned long long)planted,
           (unsigned long long)(honest - alarms), (unsigned long long)honest);
}

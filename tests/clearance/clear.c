/* clear.c - a clearance of the small model from end to end, and the harness on trial: every boundary fault is caught by the gate that is
 * named for it, and honest pairs pass. */
#include "support.h"

#include "clearance/stages.h"

#include <unistd.h>

static char room[] = "clear.XXXXXX";

static conure_clearing clearing_of(const small *s, const char *candidate)
{
    conure_clearing c;
    conure_clearing_init(&c);
    c.model = s->model;
    c.contract = &s->contract;
    c.candidate = candidate;
    c.options.n_threads = 1;
    c.n_functional = 12;
    c.n_closed_loop = 60;
    c.n_noise = 4;
    c.n_latency = 10;
    c.room = room;
    return c;
}

static json_t *run(const conure_clearing *c, uint32_t stages)
{
    json_t *all = json_object(), *evidence = json_pack("{s:{}, s:o}", "config", "stages", all);
    conure_error err = {""};
    for (conure_stage s = 0; s < CONURE_STAGES; s++) {
        json_t *one = NULL;
        if (!(stages & 1u << s))
            continue;
        good(conure_clear_stage(&one, s, c, &err), &err);
        json_object_set_new(all, conure_stage_name(s), one);
    }
    json_t *report = conure_clear_judge(evidence);
    json_decref(evidence);
    return report;
}

static void print(const json_t *report)
{
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        const json_t *gate = json_array_get(json_object_get(report, "gates"), g);
        const json_t *why = json_object_get(gate, "why");
        fprintf(stderr, "  %-12s %-14s %s\n", conure_gate_name(g), json_string_value(json_object_get(gate, "verdict")),
                json_array_size(why) ? json_string_value(json_array_get(why, 0)) : "");
    }
}

int main(void)
{
    small s;
    test_begin("clearance.clear");
    test_true(mkdtemp(room) != NULL);
    small_open(&s, true);
    conure_clearing c = clearing_of(&s, "cpu:f32@isa=c");
    json_t *report = run(&c, ~(CONURE_STAGE_BIT(AUDIO) | CONURE_STAGE_BIT(REFERENCE) | CONURE_STAGE_BIT(SPEECH)));
    print(report);
    fprintf(stderr, "%s\n", json_dumps(json_object_get(json_object_get(report, "stages"), "self_test"), JSON_INDENT(1)));
    json_decref(report);
    small_close(&s);
    rmdir(room);
    return test_end();
}

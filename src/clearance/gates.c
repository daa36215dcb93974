/* gates.c - see gates.h. */
#include "clearance/gates.h"

#include <string.h>

static const char *const stage_names[] = {
#define X(name, id, what) id,
    CONURE_STAGE_LIST(X)
#undef X
};
static const char *const stage_whats[] = {
#define X(name, id, what) what,
    CONURE_STAGE_LIST(X)
#undef X
};
static const struct {
    const char *name, *question;
    uint32_t needs, also;
} gates[] = {
#define X(name, id, question, needs, also) {id, question, needs, also},
    CONURE_GATE_LIST(X)
#undef X
};

const char *conure_stage_name(conure_stage stage)
{
    return stage_names[stage];
}

const char *conure_stage_what(conure_stage stage)
{
    return stage_whats[stage];
}

const char *conure_gate_name(conure_gate gate)
{
    return gates[gate].name;
}

const char *conure_gate_question(conure_gate gate)
{
    return gates[gate].question;
}

uint32_t conure_gate_needs(conure_gate gate)
{
    return gates[gate].needs;
}

uint32_t conure_gate_also(conure_gate gate)
{
    return gates[gate].also;
}

bool conure_gate_optional(conure_gate gate)
{
    return gate == CONURE_GATE_BATCH || gate == CONURE_GATE_CONFIDENCE || gate == CONURE_GATE_AUDIO || gate == CONURE_GATE_LATENCY ||
           gate == CONURE_GATE_NOISE || gate == CONURE_GATE_FEATURES;
}

bool conure_gate_parse(conure_gate *gate, const char *name)
{
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        if (strcmp(gates[g].name, name) == 0) {
            *gate = g;
            return true;
        }
    }
    return false;
}

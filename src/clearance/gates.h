/* gates.h - what a clearance asks, and what is run to answer it.  A stage measures and leaves evidence; a gate is a question that is
 * answered from the evidence of some stages, and from nothing else (judge.h). */
#ifndef CONURE_CLEARANCE_GATES_H
#define CONURE_CLEARANCE_GATES_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, identifier, what it runs) */
#define CONURE_STAGE_LIST(X)                                                                          \
    X(INPUTS, "inputs", "hashes of everything that the result rests on")                              \
    X(REFERENCE, "reference", "the reference engine against tensors and transcripts that NeMo stored") \
    X(CONTRACT, "contract", "the candidate's steps against the contract's rules")                     \
    X(NOISE, "noise", "reference and candidate against float64")                                      \
    X(FUNCTIONAL, "functional", "every chunk from the reference's state")                             \
    X(SPEECH, "speech", "the same on the features of real speech")                                    \
    X(CLOSED_LOOP, "closed_loop", "every chunk from the candidate's own state")                       \
    X(BATCH, "batch", "rows of a batch against the same rows alone")                                  \
    X(AUDIO, "audio", "transcripts of real speech, offline and live")                                 \
    X(LATENCY, "latency", "the candidate's steps by the clock")                                       \
    X(SELF_TEST, "self_test", "planted faults and honest pairs")

typedef enum conure_stage {
#define X(name, id, what) CONURE_STAGE_##name,
    CONURE_STAGE_LIST(X)
#undef X
    CONURE_STAGES
} conure_stage;

#define CONURE_STAGE_BIT(name) (1u << CONURE_STAGE_##name)

/* X(name, identifier, the question, stages that must have run, stages that sharpen it) */
#define CONURE_GATE_LIST(X)                                                                                                             \
    X(REFERENCE, "reference", "Does the reference itself do what NeMo does?", CONURE_STAGE_BIT(REFERENCE), 0)                            \
    X(INTEGRITY, "integrity", "Is every file whole, and the one that was named?", CONURE_STAGE_BIT(INPUTS), 0)                           \
    X(PROVENANCE, "provenance", "Are model, engine, contract and tolerances of one another?", CONURE_STAGE_BIT(INPUTS), 0)               \
    X(CONTRACT, "contract", "Do frames, lengths and caches move as the contract says?",                                                  \
      CONURE_STAGE_BIT(CONTRACT) | CONURE_STAGE_BIT(FUNCTIONAL) | CONURE_STAGE_BIT(CLOSED_LOOP), 0)                                      \
    X(FINITE, "finite", "Is every number a number?", CONURE_STAGE_BIT(FUNCTIONAL) | CONURE_STAGE_BIT(CLOSED_LOOP), 0)                    \
    X(FEATURES, "features", "Are the log-mel features NeMo's?", CONURE_STAGE_BIT(REFERENCE), 0)                                          \
    X(FUNCTIONAL, "functional", "Is one step computed right?", CONURE_STAGE_BIT(FUNCTIONAL), CONURE_STAGE_BIT(SPEECH))                 \
    X(BATCH, "batch", "Does a row of a batch come out as it would alone?", CONURE_STAGE_BIT(BATCH), CONURE_STAGE_BIT(NOISE))             \
    X(CONFIDENCE, "confidence", "Do confidences mean the same?", CONURE_STAGE_BIT(REFERENCE), CONURE_STAGE_BIT(AUDIO))               \
    X(NOISE, "noise", "How far is the candidate from float64, in units of honest rounding?", CONURE_STAGE_BIT(NOISE), 0)                 \
    X(CLOSED_LOOP, "closed_loop", "Do errors stay bounded when the candidate feeds itself?", CONURE_STAGE_BIT(CLOSED_LOOP), 0)           \
    X(FLOW, "flow", "Does state really flow, so that this proves something?", CONURE_STAGE_BIT(CLOSED_LOOP), CONURE_STAGE_BIT(NOISE))    \
    X(AUDIO, "audio", "Does speech become the same text?", CONURE_STAGE_BIT(AUDIO), 0)                                                   \
    X(LATENCY, "latency", "Is a step fast enough?", CONURE_STAGE_BIT(LATENCY), 0)                                                        \
    X(SELF_TEST, "self_test", "Would these gates have noticed?", CONURE_STAGE_BIT(SELF_TEST), 0)

typedef enum conure_gate {
#define X(name, id, question, needs, also) CONURE_GATE_##name,
    CONURE_GATE_LIST(X)
#undef X
    CONURE_GATES
} conure_gate;

const char *conure_stage_name(conure_stage stage);
const char *conure_stage_what(conure_stage stage);
const char *conure_gate_name(conure_gate gate);
const char *conure_gate_question(conure_gate gate);
uint32_t conure_gate_needs(conure_gate gate); /* CONURE_STAGE_BIT()s */
uint32_t conure_gate_also(conure_gate gate);
bool conure_gate_optional(conure_gate gate);  /* a configuration may leave it out, with a reason: the others are what a clearance is */
bool conure_gate_parse(conure_gate *gate, const char *name);

#endif

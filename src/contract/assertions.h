/* assertions.h - holding every step of a stream to its contract while it runs: a few comparisons and one look over what
 * came out.  What they compare with comes from the contract alone.
 *
 *     conure_assertions a;
 *     conure_assertions_init(&a, &contract, CONURE_POLICY_STOP);
 *     ... after each step of the stream:
 *     conure_step_facts facts = {.step = k, .n_frames = row.n_frames, ...};
 *     switch (conure_assertions_step(&a, &facts, &err)) {
 *     case CONURE_ACT_GO_ON: break;
 *     case CONURE_ACT_RESET: state_reset(...); break;       // err says why
 *     case CONURE_ACT_STOP:  return CONURE_VIOLATION;        // err says why
 *     }
 *
 * One object belongs to one stream and is used from one thread at a time; the contract must outlive it. */
#ifndef CONURE_CONTRACT_ASSERTIONS_H
#define CONURE_CONTRACT_ASSERTIONS_H

#include "contract/contract.h"

/* What a violation does; it is counted whatever it does. */
typedef enum conure_policy {
    CONURE_POLICY_STOP = 0, /* the step fails */
    CONURE_POLICY_RESET,    /* the stream's caches are reset, and it goes on */
    CONURE_POLICY_COUNT,    /* nothing */
} conure_policy;

typedef enum conure_act { CONURE_ACT_GO_ON = 0, CONURE_ACT_RESET, CONURE_ACT_STOP } conure_act;

/* One stream's step: what went in and what came out. */
typedef struct conure_step_facts {
    uint64_t step;         /* 0 on a new or reset state: the first */
    uint32_t row;          /* of the batch; for texts */
    uint32_t n_frames;     /* T: mel frames given */
    uint32_t n_valid;      /* of these, valid */
    uint32_t drop_first;   /* encoder frames dropped in front */
    bool last;             /* the stream's last step may be shorter, and gives all its frames */
    uint32_t n_out;        /* encoder frames that came out */
    uint32_t n_out_valid;  /* of these, valid */
    bool trimmed;          /* the engine cuts to valid_out itself, as an exported graph does */
    bool length_known;     /* the engine tells its cache's length; else the rules on it are not looked at */
    int64_t length_in, length_out;
    const float *out;      /* [n_out][width]; NULL: not at hand, the rule "finite" is not looked at */
    uint32_t width;
} conure_step_facts;

typedef struct conure_assertions {
    const conure_contract *contract;
    conure_policy policy;
    uint64_t checked[CONURE_RULES], violated[CONURE_RULES];
    uint64_t n_steps, n_bad_steps; /* steps looked at; with a violation */
    uint64_t n_resets, n_stops;
    uint64_t n_not_finite;         /* values */
} conure_assertions;

void conure_assertions_init(conure_assertions *assertions, const conure_contract *contract, conure_policy policy);

/* Look at one step.  err gets the first violation: tensor, index, expected, got, step.  It is untouched when all holds.
 * Never allocates.  Cost: one pass over out; bench_contract measures it (at full size, all 73 rows,
 * well below 0.1 % of a step). */
conure_act conure_assertions_step(conure_assertions *assertions, const conure_step_facts *facts, conure_error *err);

/* Values that are NaN or infinite.  *first: the index of the first, when there is one. */
uint64_t conure_count_not_finite(const float *values, size_t n, size_t *first);

/* "stop", "reset", "count"; false for another word. */
bool conure_policy_parse(conure_policy *policy, const char *word);
const char *conure_policy_name(conure_policy policy);

#endif

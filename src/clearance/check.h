/* check.h - holding a running engine to a contract, through the engine table alone: a few steps of made-up features on each
 * profile, in batches, four times over. */
#ifndef CONURE_CLEARANCE_CHECK_H
#define CONURE_CLEARANCE_CHECK_H

#include "contract/assertions.h"
#include "engine/engine.h"

/* X(name, identifier, what it says).  The rules of contract.h come first in a report, these after them. */
#define CONURE_CHECK_LIST(X)                                                                                     \
    X(SHAPES, "shapes", "outputs have the contract's shapes: all of them is written, nothing beyond")            \
    X(CACHE_FINITE, "cache_finite", "no value of a cache is NaN or infinite")                                    \
    X(PAD, "pad_side", "rows of a cache before the valid ones are zeros while the stream is young")              \
    X(REPEATS, "repeats", "the same steps on a new state give the same bits")                                    \
    X(HAND_OVER, "hand_over", "a state taken out and put into another one goes on with the same bits")           \
    X(SNAPSHOT, "snapshot", "a state saved as bytes and loaded into another one goes on with the same bits")     \
    X(RESET, "reset", "a state that was reset is as a new one")

typedef enum conure_check {
#define X(name, id, what) CONURE_CHECK_##name,
    CONURE_CHECK_LIST(X)
#undef X
    CONURE_CHECKS
} conure_check;

typedef struct conure_check_item {
    const char *id, *what;      /* static */
    uint64_t checked, violated; /* checked 0: not looked at */
    char first[512];            /* the first violation in words; "" when there is none */
} conure_check_item;

typedef struct conure_check_profile {
    const conure_profile *profile;
    uint32_t batch, n_steps;
    int64_t length_out;         /* of the first row after the last step */
} conure_check_profile;

typedef struct conure_check_report {
    conure_check_item items[CONURE_RULES + CONURE_CHECKS];
    conure_check_profile profiles[CONURE_PROFILES_MAX];
    uint32_t n_profiles;
    uint64_t n_violated;        /* items with a violation: 0 says that the engine keeps the contract */
    bool state_flows;           /* by the rule, on some profile */
    double seconds;
} conure_check_report;

typedef struct conure_check_options {
    uint32_t n_steps;           /* of each profile; 0: 4 */
    uint64_t seed;              /* of the features */
    bool trimmed;               /* see conure_step_facts */
    const volatile int *cancel; /* NULL, or a flag that ends it with CANCELLED */
    conure_progress_fn progress;
    void *progress_user;
} conure_check_options;

/* Run it.  Features are uniform in +-sqrt(3): mean 0, deviation 1, as normalised ones have.
 *
 *   engine, self  an open engine; whether it holds the contract's model is the caller's to see
 *                 (conure_contract_matches())
 *   report        out: filled also when it returns an error, with what was found until then
 *
 * Returns OK (also when the contract is broken: look at n_violated), NO_MEMORY, CANCELLED, or what the engine answered; an engine
 * that fails on a step that the contract allows is an error.
 * Cost: four times n_steps encoder calls a profile, memory for up to 3 rows of caches.  Source of the rules: contract.h. */
conure_status conure_contract_check_engine(const conure_contract *contract, const conure_engine *engine, void *self,
                                           const conure_check_options *options, conure_check_report *report, conure_error *err);

#endif

/* judge.h - from evidence to a verdict.  A pure function: the same evidence gives the same report, and nothing but the evidence is
 * looked at.  docs/clearance.md, "Evidence and report", has the members.
 *
 *     evidence   {"config": {...}, "stages": {"functional": {...}, ...}}
 *     report     {"clearance": 1, "verdict", "why", "gates": [{"gate", "verdict", "why", "checks"}], "risks", "config", "stages"}
 *
 * A check is a number, a relation and a limit:
 *     {"what": "encoder_output: largest error", "value": 1.2e-6, "relation": "<=", "limit": 1e-3, "ok": true, "where": "chunk 3"}
 * A value that is null was not finite or could not be had, and is never ok. */
#ifndef CONURE_CLEARANCE_JUDGE_H
#define CONURE_CLEARANCE_JUDGE_H

#include "clearance/gates.h"

#include <jansson.h>

#define CONURE_CLEARANCE_FORMAT 1

/* Of a gate. */
#define CONURE_GATE_PASS           "pass"
#define CONURE_GATE_FAIL           "fail"
#define CONURE_GATE_NOT_PROVEN     "not_proven"     /* nothing failed, but what was seen proves nothing */
#define CONURE_GATE_NOT_APPLICABLE "not_applicable" /* said by the configuration, or in the nature of the candidate */
#define CONURE_GATE_NOT_RUN        "not_run"        /* its stages did not run */
#define CONURE_GATE_COULD_NOT_RUN  "could_not_run"  /* they ended with an error */

/* Of the whole. */
#define CONURE_CLEARED     "cleared"     /* every gate that applies passed */
#define CONURE_NOT_CLEARED "not_cleared" /* a gate failed */
#define CONURE_NOT_PROVEN  "not_proven"  /* none failed, but one is not proven or did not run */
#define CONURE_NOT_JUDGED  "not_judged"  /* a file is damaged, or a stage could not run */

/* A new reference; NULL: no memory. */
json_t *conure_clear_judge(const json_t *evidence);

/* The exit status that goes with a report: 0 cleared, 1 not cleared or not proven, 2 not judged. */
int conure_clear_exit(const json_t *report);

/* The gate's verdict, one of the words above; NULL when the report has no such gate. */
const char *conure_clear_gate_verdict(const json_t *report, conure_gate gate);

/* ---- for stages: evidence --------------------------------------------------------------------- */

/* A number for JSON: null unless finite. */
json_t *conure_evidence_number(double value);

/* Append to the stage's "checks" a check of a gate that needs no arithmetic.
 *   relation   "<=", ">=", ">", "=="; value and limit are numbers
 *   otherwise  verdict of the gate when it does not hold: CONURE_GATE_FAIL, _NOT_PROVEN or _COULD_NOT_RUN
 *   where      NULL, or more words */
void conure_evidence_check(json_t *stage, conure_gate gate, const char *what, double value, const char *relation, double limit,
                           const char *otherwise, const char *where);

/* ---- shared by the judge's files -------------------------------------------------------------- */

typedef struct conure_judging {
    const json_t *config, *stages;
    json_t *checks[CONURE_GATES]; /* arrays */
    const char *worst[CONURE_GATES];
    json_t *why[CONURE_GATES];    /* arrays of texts */
    json_t *risks;
} conure_judging;

const json_t *conure_judge_stage(const conure_judging *j, conure_stage stage); /* NULL: did not run */
__attribute__((format(printf, 8, 9))) void conure_judge_check(conure_judging *j, conure_gate gate, double value, const char *relation,
                                                              double limit, const char *otherwise, const char *where, const char *what, ...);
__attribute__((format(printf, 2, 3))) void conure_judge_risk(conure_judging *j, const char *format, ...);
/* A number of an object, or NaN. */
double conure_judge_number(const json_t *object, const char *key);
uint64_t conure_judge_count(const json_t *object, const char *key);

void conure_judge_parity(conure_judging *j, conure_stage stage); /* judge_parity.c */
void conure_judge_noise(conure_judging *j);                      /* judge_noise.c, as the next four */
void conure_judge_batch(conure_judging *j);
void conure_judge_latency(conure_judging *j);
double conure_judge_percentile(const json_t *values, double share); /* of numbers; NaN: none */
double conure_judge_noise_of(const conure_judging *j, const char *engine, const char *tensor); /* largest error, NaN: not measured */
void conure_judge_audio(conure_judging *j);                      /* judge_audio.c */
void conure_judge_self_test(conure_judging *j);                  /* judge_audio.c */

#endif

/* parity.h - a candidate against a reference, chunk after chunk: functional (each chunk gets the reference's state) or closed loop
 * (each gets the candidate's own).  Says pass, fail, or not proven. */
#ifndef CONURE_CLEARANCE_PARITY_H
#define CONURE_CLEARANCE_PARITY_H

#include "clearance/errors.h"
#include "clearance/source.h"
#include "clearance/tolerance.h"
#include "contract/assertions.h"

#include <jansson.h>

typedef enum conure_parity_mode { CONURE_PARITY_FUNCTIONAL = 0, CONURE_PARITY_CLOSED_LOOP } conure_parity_mode;

typedef enum conure_verdict {
    CONURE_VERDICT_PASS = 0,
    CONURE_VERDICT_FAIL,
    CONURE_VERDICT_NOT_PROVEN, /* nothing failed, but what was seen proves nothing */
    CONURE_VERDICT_NOT_JUDGED, /* the run could not go to its end */
} conure_verdict;
const char *conure_verdict_name(conure_verdict verdict); /* "pass", "fail", "not_proven", "not_judged" */

typedef struct conure_parity_tensor {
    conure_errors errors;
    uint64_t n_chunks, n_bad;   /* compared; beyond a limit by themselves */
    uint64_t first_chunk;       /* of the bad ones */
    size_t first_index;         /* of its worst value, counted in the tensor's own shape */
    double first_error;
} conure_parity_tensor;

typedef struct conure_parity_length {
    uint64_t n, n_bad, first_chunk;
    int64_t expected, got;      /* of the first bad one */
} conure_parity_length;

/* One chunk's numbers, for series. */
typedef struct conure_parity_chunk {
    uint64_t chunk;
    double max[CONURE_MEASURED]; /* negative: not compared */
    double relative[CONURE_MEASURED]; /* max over the largest value of the reference's tensor */
    int64_t cache_length, reference_cache_length;
    double seconds;              /* of the candidate's step */
} conure_parity_chunk;

typedef struct conure_parity_report {
    conure_parity_mode mode;
    conure_verdict verdict;
    char reasons[8][320];        /* why it is not a pass */
    uint32_t n_reasons;
    uint64_t n_chunks, n_skipped; /* judged; without a stored state to begin from (functional, NeMo's references) */
    conure_parity_tensor tensors[CONURE_MEASURED];
    conure_parity_length lengths[2]; /* encoded_lengths, cache_last_channel_len */
    conure_assertions assertions;
    uint64_t n_not_finite;       /* values of any output that are NaN or infinite where the reference's are not looked at: all of both caches */
    double gain[CONURE_MEASURED]; /* of the candidate on the reference, by least squares; NaN: nothing but zeros */
    char first_violation[512];
    /* Drift of the per-chunk maximum of encoder_output, chunk 0 left out. */
    conure_line line;
    bool has_slope;
    double slope, slope_half_width, residual; /* residual: of chunk 0 */
    /* Does state flow? */
    bool flows_by_rule;
    int64_t length_first, length_max; /* reference's lengths after chunk 0, and the largest */
    bool probed;                 /* the two that follow were measured */
    double zeroed_change, masked_change; /* of encoder_output: valid cache rows set to 0; masked rows set to something */
    bool has_masked;             /* there were masked rows to change */
    double rounding;             /* what counts as noise: one rounding of the largest value of encoder_output */
    double seconds, candidate_seconds;
} conure_parity_report;

typedef struct conure_parity_options {
    conure_parity_mode mode;
    uint64_t n_chunks;          /* at most; 0: all of the source */
    const conure_tolerance *tolerance;
    bool (*progress)(void *user, uint64_t done, uint64_t all); /* NULL, or false cancels */
    void *progress_user;
    void (*chunk)(void *user, const conure_parity_chunk *chunk); /* NULL, or called after each */
    void *chunk_user;
    /* Closed loop: NULL, or may change the state that a step's outputs hand to the next step's inputs.  For planting faults where
     * functional parity, which feeds the reference's state, cannot see them. */
    void (*hand_over)(void *user, conure_chunk *next);
    void *hand_over_user;
} conure_parity_options;

/* Run it.  The report is filled also when it returns an error: what was found until then, verdict not_judged.
 * Returns OK, or what the source or the candidate failed with. */
conure_status conure_parity_run(conure_parity_report *report, conure_source *source, conure_candidate *candidate,
                                const conure_parity_options *options, conure_error *err);

/* ---- summary.c: the report as JSON, in a fixed order; given back with json_decref(); NULL: no memory.  candidate may be NULL. */
json_t *conure_parity_summary(const conure_parity_report *report, const conure_source *source, const conure_candidate *candidate,
                              const conure_tolerance *tolerance, const char *tolerance_sha256, const char *error);

/* ---- agreement.c: audio ----------------------------------------------------------------------- */

/* Tokens of transcripts, aligned by edit distance. */
typedef struct conure_agreement {
    uint64_t n_clips, n_same;      /* clips; with the same tokens, frames and durations */
    uint64_t n_reference, n_candidate, n_edits; /* tokens */
    uint64_t n_moved;              /* of the tokens that agree: on another frame or with another duration */
    uint64_t n_empty_reference, n_empty_candidate; /* clips without tokens */
    uint64_t reference_blanks, candidate_blanks;   /* decoder evaluations that gave blank */
    uint32_t n_distinct;           /* tokens of the reference */
    uint8_t *seen;                 /* [vocab_size] */
    uint32_t vocab_size;
} conure_agreement;

conure_status conure_agreement_open(conure_agreement *a, uint32_t vocab_size, conure_error *err);
void conure_agreement_close(conure_agreement *a);
conure_status conure_agreement_add(conure_agreement *a, const conure_result *reference, const conure_result *candidate, conure_error *err);
/* Share of tokens that agree: 1 - edits / the longer; 1 for two empty ones, which prove nothing. */
double conure_agreement_share(const conure_agreement *a);
/* Verdict; why [320] when it is no pass. */
conure_verdict conure_agreement_judge(const conure_agreement *a, double least, char *why);

#endif

/* noise_floor.h - how far honest arithmetic of a precision is from the same in double: the noise floor, from which
 * tolerances are derived.
 *
 * The candidate and the engine "ref" take the same steps of a contract, each with its own caches, and then one utterance
 * offline.  Thread counts and instruction sets are judged by what comes out, and never used to make it. */
#ifndef CONURE_CLEARANCE_NOISE_FLOOR_H
#define CONURE_CLEARANCE_NOISE_FLOOR_H

#include "clearance/errors.h"
#include "contract/contract.h"
#include "engine/engine.h"

typedef enum conure_noise_tensor {
    CONURE_NOISE_ENCODER = 0, /* encoder_output of the steps */
    CONURE_NOISE_CHANNEL,     /* cache_last_channel: its valid rows, or all of it while there are none, layer by layer, as parity has it */
    CONURE_NOISE_TIME,        /* cache_last_time */
    CONURE_NOISE_OFFLINE,     /* encoder_output of the utterance; part of no tolerance, which are about steps */
    CONURE_NOISE_TENSORS,
} conure_noise_tensor;
const char *conure_noise_name(conure_noise_tensor tensor); /* "encoder_output", ..., "offline" */

typedef struct conure_noise {
    conure_errors errors; /* for percentiles */
    uint64_t n;           /* values compared */
    double max, sum;      /* of absolute differences; max is infinite when one was NaN */
    double relative_max;  /* largest difference over the largest reference value of a step's tensor */
    double largest;       /* reference value */
    double dot, reference_square, candidate_square;
} conure_noise;
double conure_noise_mean(const conure_noise *noise);
double conure_noise_cosine(const conure_noise *noise); /* 1 where both are zero */

typedef struct conure_noise_options {
    uint64_t n_chunks;    /* at least 1 */
    uint64_t seed;        /* of the made-up features */
    const float *mel;     /* NULL: made up.  Else [n_mel][mel_bins] normalised features of real audio */
    uint64_t n_mel;
    bool more;            /* the report is of a run before: what is measured is added to it, from a new stream on */
    conure_progress_fn progress; /* NULL, or false cancels */
    void *progress_user;
} conure_noise_options;

typedef struct conure_noise_report {
    conure_noise tensors[CONURE_NOISE_TENSORS];
    uint64_t n_chunks;    /* done: less than asked for where the audio ends */
    uint64_t n_speech;    /* of these, of real audio */
    int64_t length;       /* of the cache after the last */
    bool flows;           /* by the contract's rule */
    double reference_s, candidate_s; /* spent in steps */
} conure_noise_report;

/* Run it.  Both engines are open on the contract's model and mask.  Made-up features are those of conure reference:
 * sqrt(3) (2 u - 1), u = splitmix64(seed, chunk * 2^40 + frame * mel_bins + bin).  Engines that disagree about a length
 * are an error: there is no noise to measure.
 * Returns OK, BAD_ARG (no profile for a step, audio shorter than one), CANCELLED, BACKEND (lengths), NO_MEMORY, or what
 * an engine answered. */
conure_status conure_noise_floor_run(conure_noise_report *report, const conure_contract *contract, const conure_engine *reference,
                                     void *reference_self, const conure_engine *candidate, void *candidate_self,
                                     const conure_noise_options *options, conure_error *err);

/* A tolerance file with one entry, for the precision and for contracts whose state flows as this one's does:
 *   absolute_max = factor * max(noise, FLT_EPSILON * largest value); absolute_p95 of its 95th percentile, relative_max likewise;
 *   slope: a drift that would use up absolute_max of encoder_output in 100 chunks.
 * how: what was measured on; the sentence "source" with it has at most 511 bytes.  *out is freed by free().
 * Returns OK, BACKEND (something was not finite), BAD_ARG (the sentence is longer), NO_MEMORY. */
conure_status conure_noise_floor_dump(const conure_noise_report *report, const char *name, const char *precision, double factor,
                                      const char *model_sha256, const char *how, char **out, conure_error *err);

#endif

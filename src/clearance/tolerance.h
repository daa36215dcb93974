/* tolerance.h - how far a candidate may be from a reference, as data: tolerances/NAME.json.  docs/clearance.md, "Tolerances", is the
 * format.  Immutable once read. */
#ifndef CONURE_CLEARANCE_TOLERANCE_H
#define CONURE_CLEARANCE_TOLERANCE_H

#include "contract/contract.h"

/* The outputs that are compared as numbers.  Lengths are always compared exactly. */
typedef enum conure_measured { CONURE_MEASURED_ENCODER = 0, CONURE_MEASURED_CHANNEL, CONURE_MEASURED_TIME, CONURE_MEASURED } conure_measured;
const char *conure_measured_name(conure_measured measured); /* "encoder_output", "cache_last_channel", "cache_last_time" */

/* Every limit must hold; a limit that a file leaves out is infinite. */
typedef struct conure_limits {
    double absolute_p95, absolute_max;
    double relative_max;      /* largest error over the largest reference value of a chunk's tensor */
} conure_limits;

typedef struct conure_tolerance {
    char file[64], name[64];  /* of the file and of the entry used */
    char why[256];            /* why this entry: the configuration and the precision that it is for */
    char source[512];         /* where its numbers come from */
    char model_sha256[65];    /* of the weights that it was measured with; "": of any */
    conure_limits limits[CONURE_MEASURED];
    double slope_per_chunk;   /* of the per-chunk maximum of encoder_output */
    int64_t speech_chunks;    /* of real audio that it was measured on; -1: the file does not say */
    double token_agreement;   /* audio: share of tokens that agree, at least */
} conure_tolerance;

#define CONURE_TOLERANCE_BYTES_MAX (1u << 20)

/* The first entry that is for this configuration and precision.
 *   flows      state flows (conure_contract_state_flows())
 *   precision  "f32", ...
 * Returns OK; BAD_FILE names the place, what is there and what may be; UNSUPPORTED when no entry is for it; NO_MEMORY. */
conure_status conure_tolerance_parse(conure_tolerance *out, const char *json, size_t bytes, bool flows, const char *precision,
                                     const char *where, conure_error *err);
/* path NULL: the table that is part of the program, tolerances/note-2026-01.json.  sha256 [65] of the bytes, NULL: not wanted. */
conure_status conure_tolerance_read(conure_tolerance *out, const char *path, bool flows, const char *precision, char *sha256,
                                    conure_error *err);
const char *conure_tolerance_note(size_t *bytes);

#endif

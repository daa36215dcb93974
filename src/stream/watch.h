/* watch.h - the steps of a session held to its contract, and what they count for those who watch a server. */
#ifndef CONURE_STREAM_WATCH_H
#define CONURE_STREAM_WATCH_H

#include "contract/assertions.h"
#include "contract/metrics.h"
#include "encoder/step.h"

typedef struct conure_watch {
    conure_contract contract;
    conure_assertions assertions;
    conure_metrics metrics; /* what is observed; the counts are in assertions */
} conure_watch;

/* What was chosen of a session's options, with its contexts in encoder frames. */
typedef struct conure_watch_options {
    bool cached;             /* false: whole windows of at most n_frames, nothing flows from one to the next */
    bool constant;           /* every slice has n_frames, no row is kept */
    bool keep_negative, time_cache_aligned, mask_exact;
    uint32_t left, chunk, right;
    uint32_t n_frames;       /* mel frames */
    conure_policy policy;
} conure_watch_options;

/* The contract is derived from the configuration, not from how the session cuts its slices: one checks the other.
 * BAD_ARG, UNSUPPORTED. */
conure_status conure_watch_open(conure_watch *watch, const conure_config *config, const conure_watch_options *options,
                                conure_error *err);

/* A step of the encoder.
 *
 *   step       of the stream, from 0
 *   last       the stream's last, which may be shorter
 *   length_in, length_out   of the attention cache
 *   violated   out: some rule did not hold; err says which */
conure_act conure_watch_step(conure_watch *watch, const conure_encode_row *row, uint64_t step, bool last, int64_t length_in,
                             int64_t length_out, bool *violated, conure_error *err);

/* Everything counted so far, to total. */
void conure_watch_add(const conure_watch *watch, conure_metrics *total);

#endif

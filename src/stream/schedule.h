/* schedule.h - which mel frames a cache-aware step looks at: NeMo's driving schedule (spec 5.1, 5.5), and constant
 * slices as an exported graph is fed.
 *
 * With F = chunk and right in encoder frames, look = F + right - 1:  the first step sees 1 + 8 look mel frames, later ones
 * 8 + 8 look behind the 9 before them, of which 2 encoder frames are dropped.  Each gives F frames; the right ones
 * behind them are look-ahead and enter no cache.  The last step gives all that are valid.
 *
 * Plain numbers: copy it to save it. */
#ifndef CONURE_STREAM_SCHEDULE_H
#define CONURE_STREAM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct conure_schedule_rule {
    uint32_t frames[2];     /* mel frames of the first and of later slices, without those in front */
    uint32_t shift[2];      /* mel frames that the position moves on after the first and after later ones */
    uint32_t in_front[2];   /* pre-encode cache: mel frames before the position */
    uint32_t drop_first[2]; /* encoder frames dropped in front (drop_extra_pre_encoded) */
    uint32_t valid_out;     /* encoder frames of one step */
    uint32_t drop_rows;     /* cache_drop_size */
    bool constant;          /* slices keep their length at the end, padded */
} conure_schedule_rule;

typedef struct conure_schedule {
    conure_schedule_rule rule;
    int64_t position; /* of the next slice, mel frames; negative: frames of zeros in front of the stream */
    uint64_t n_steps;
    bool finished;
} conure_schedule;

typedef struct conure_slice {
    int64_t first;       /* mel frame; frames before 0 are zeros and count as valid */
    uint32_t n_frames;   /* given to the encoder, padding included */
    uint32_t n_valid;
    uint32_t drop_first;
    bool last;           /* all valid frames are wanted, not valid_out of them */
} conure_slice;

/* NeMo's setup_streaming_params(chunk_size = chunk + right, shift_size = chunk). */
void conure_schedule_nemo(conure_schedule_rule *rule, uint32_t chunk, uint32_t right);
/* Slices of n mel frames without any in front, 2 encoder frames dropped from each, as through the export graph: one
 * step every chunk frames, no row of which is kept. */
void conure_schedule_constant(conure_schedule_rule *rule, uint32_t n_frames, uint32_t chunk);
/* Encoder frames that such a slice gives. */
uint32_t conure_schedule_rows(uint32_t n_frames);

void conure_schedule_init(conure_schedule *schedule, const conure_schedule_rule *rule);

/* The next slice once n_mel frames are there (final ones; when ended, all that there will be); false: more are needed, or
 * the stream has finished.  As with windows, a slice waits until it is known not to be the last. */
bool conure_schedule_next(const conure_schedule *schedule, uint64_t n_mel, bool ended, conure_slice *slice);
void conure_schedule_advance(conure_schedule *schedule, const conure_slice *slice);
/* Mel frames before this one are needed by no later slice. */
uint64_t conure_schedule_keep(const conure_schedule *schedule);
/* Mel frames of the longest slice. */
uint32_t conure_schedule_longest(const conure_schedule_rule *rule);

#endif

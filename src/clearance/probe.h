/* probe.h - a step once more with one of its inputs changed a little: what does that change in what comes out? */
#ifndef CONURE_CLEARANCE_PROBE_H
#define CONURE_CLEARANCE_PROBE_H

#include "clearance/chunk.h"
#include "clearance/tolerance.h"

/* X(name, identifier, label, what is changed) */
#define CONURE_PROBE_LIST(X)                                                                                                      \
    X(FEATURES, "audio_signal", "features", "the valid mel frames")                                                               \
    X(CHANNEL, "cache_last_channel", "channel", "its valid rows")                                                                 \
    X(MASKED, "cache_last_channel_masked", "channel, masked", "its rows before the valid ones, which must change nothing")        \
    X(TIME, "cache_last_time", "time", "all of it")                                                                               \
    X(LENGTH, "cache_last_channel_len", "length - 1", "one less, whatever the size: the oldest row is no longer seen")

typedef enum conure_probe {
#define X(name, id, label, what) CONURE_PROBE_##name,
    CONURE_PROBE_LIST(X)
#undef X
    CONURE_PROBES
} conure_probe;
const char *conure_probe_name(conure_probe probe);
const char *conure_probe_label(conure_probe probe); /* short, for plots */
const char *conure_probe_what(conure_probe probe);

/* Change the chunk's input: uniform noise, mean 0, whose deviation is size times the root mean square of what is changed, or size itself
 * where that is 0.  The same seed gives the same noise.  False when there is nothing to change: no valid row, no masked one. */
bool conure_probe_change(conure_chunk *chunk, conure_probe probe, double size, uint64_t seed);

/* How an output of `other` differs from that of `base`.  Of the attention cache the rows are compared that are valid in both. */
typedef struct conure_change {
    double max;      /* infinite when a value is not finite or the frames are not as many */
    double relative; /* root mean square of the difference over that of base; 0 for 0 / 0 */
} conure_change;
conure_change conure_probe_compare(const conure_chunk *base, const conure_chunk *other, conure_measured measured);

/* A row of every layer of an attention cache with so many valid rows; clamped to what there is. */
size_t conure_probe_valid_rows(const conure_contract *contract, int64_t length);

#endif

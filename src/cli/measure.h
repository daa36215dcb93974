/* measure.h - facts about this program, this process and this machine, and statistics of timings. */
#ifndef CONURE_CLI_MEASURE_H
#define CONURE_CLI_MEASURE_H

#include <stddef.h>
#include <stdint.h>

const char *conure_program_commit(void); /* "unknown" outside a git clone */
const char *conure_program_build(void);  /* compiler and build type */

uint64_t conure_rss_peak_bytes(void); /* largest resident size of this process so far */
double conure_process_age_s(void);    /* since the process was started (resolution 10 ms); negative: unknown */

typedef struct conure_stats {
    double p50, p95, p99, min, max;
    uint32_t n;
} conure_stats;

/* Nearest-rank percentiles; sorts values. n of 0 gives zeros. */
void conure_stats_of(double *values, uint32_t n, conure_stats *stats);

#endif

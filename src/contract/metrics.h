/* metrics.h - what is counted while streams run, and its text in Prometheus' format (version 0.0.4).
 *
 * Counting allocates nothing and takes no lock: each stream counts in its own object, and whoever shows them adds them up
 * under whatever lock guards the stream. */
#ifndef CONURE_CONTRACT_METRICS_H
#define CONURE_CONTRACT_METRICS_H

#include "base/memory.h"
#include "contract/assertions.h"

#define CONURE_BUCKETS_MAX 12

typedef struct conure_histogram {
    uint64_t counts[CONURE_BUCKETS_MAX + 1]; /* of values up to each bound and above the one before it; last: above all */
    double sum;
} conure_histogram;

typedef struct conure_metrics {
    uint64_t checked[CONURE_RULES], violated[CONURE_RULES];
    uint64_t n_streams;               /* that these are the sum of */
    uint64_t n_steps, n_bad_steps, n_resets, n_stops, n_not_finite;
    conure_histogram step_s;          /* seconds of a step */
    conure_histogram cache_rows;      /* valid rows after a step */
    conure_histogram blank_ratio;     /* blanks per decoder evaluation of a step */
} conure_metrics;

/* A stream's counts so far, beside what was observed. */
void conure_metrics_take(conure_metrics *metrics, const conure_assertions *assertions);
/* One step: seconds it took, rows in the cache after it, and of n_evaluations of the decoder how many gave blank (0 of 0:
 * the decoder did not run). */
void conure_metrics_observe(conure_metrics *metrics, double step_s, int64_t cache_rows, uint64_t n_blanks, uint64_t n_evaluations);
void conure_metrics_add(conure_metrics *total, const conure_metrics *part);

typedef struct conure_label {
    const char *name;  /* [a-zA-Z_][a-zA-Z0-9_]*; other characters come out as _ */
    const char *value; /* UTF-8, any */
} conure_label;

/* One labelled set. */
typedef struct conure_metrics_set {
    const conure_metrics *metrics;
    const conure_label *labels;
    uint32_t n_labels;
} conure_metrics_set;

/* Append HELP, TYPE and samples of every family, each family once and the sets below it in their order.  The numbers have a
 * point whatever the locale.  out->failed says no memory. */
void conure_metrics_text(conure_buffer *out, const conure_metrics_set *sets, uint32_t n_sets);

#endif

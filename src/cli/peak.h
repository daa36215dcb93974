/* peak.h - how fast this machine can multiply at best: registers only, no memory, so that a
 * benchmark can say which share of it was reached. */
#ifndef CONURE_CLI_PEAK_H
#define CONURE_CLI_PEAK_H

#include "conure.h"

typedef struct conure_peak {
    const char *instruction; /* "vfmadd (512 bit)", ... static */
    double ops_per_s;        /* all threads together; a multiply-add is two */
} conure_peak;

/* Measure for about half a second with n_threads threads and the instructions of features (base/cpu.h) that a
 * product in this precision would use.  NO_MEMORY, or UNSUPPORTED when there is no loop for them (plain C, another
 * architecture). */
conure_status conure_peak_measure(conure_peak *peak, uint32_t features, conure_precision precision,
                                  uint32_t n_threads, conure_error *err);

#endif

/* rows.h - the row kernels of kernels.h by instruction set.  rows_c.c is the reference: tests compare
 * the others with it and with double arithmetic.
 *
 * All variants of a kernel agree to rounding, none reads or writes outside its n elements, and each
 * element's result depends on n and its index alone, never on an address or on a thread. */
#ifndef CONURE_BACKEND_ROWS_H
#define CONURE_BACKEND_ROWS_H

#include "backend/cpu/kernels.h"

/* The row part of conure_kernels_choose(): the best variants that features (CONURE_CPU_*) allow. */
void conure_kernels_rows(conure_kernels *kernels, uint32_t features);

/* Each fills every row kernel of its instruction set. */
void conure_rows_c(conure_kernels *kernels);
#if defined(__x86_64__)
void conure_rows_avx2(conure_kernels *kernels);
void conure_rows_avx512(conure_kernels *kernels);
#endif

#define CONURE_LAYER_NORM_EPSILON 1e-5

/* activation of depthwise_row */
enum { CONURE_ACT_NONE = 0, CONURE_ACT_RELU = 1, CONURE_ACT_SILU = 2 };

#endif

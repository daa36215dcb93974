/* gemm.h - the product kernels of kernels.h by instruction set; gemm.def lists them.  gemm_c.c is the
 * reference: tests compare the others with it and with double arithmetic. */
#ifndef CONURE_BACKEND_GEMM_H
#define CONURE_BACKEND_GEMM_H

#include "backend/cpu/kernels.h"

/* The product part of conure_kernels_choose(). */
void conure_kernels_gemm(conure_kernels *kernels, uint32_t features);

#endif

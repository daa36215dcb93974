/* gemm.h - the product kernels of kernels.h by instruction set; gemm.def lists them.  gemm_c.c is the
 * reference: tests compare the others with it and with double arithmetic.
 *
 * k and lines are at least 1; m and n may be 0.  Any address will do for a and c, panels are aligned
 * to 4 bytes at least.  Nothing is read or written outside the matrices, but prefetched past them. */
#ifndef CONURE_BACKEND_GEMM_H
#define CONURE_BACKEND_GEMM_H

#include "backend/cpu/kernels.h"

/* The product part of conure_kernels_choose(). */
void conure_kernels_gemm(conure_kernels *kernels, uint32_t features);

typedef void conure_gemm_f32_fn(float *c, size_t ldc, const float *a, size_t lda, size_t m,
                                const float *panels, size_t n, size_t k, int accumulate);
typedef void conure_gemm_bf16_fn(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                                 const uint16_t *panels, size_t n, size_t lines, int accumulate);
typedef void conure_gemm_int8_fn(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                                 const int8_t *panels, const int32_t *sums, size_t n, size_t lines);
typedef float conure_quantize_row_fn(uint8_t *q, const float *x, size_t k, size_t k_padded);
typedef void conure_f32_to_bf16_row_fn(uint16_t *dst, const float *x, size_t k, size_t k_padded);
typedef void conure_finish_fn(const conure_finish *finish);

conure_gemm_f32_fn conure_gemm_f32_c;
conure_gemm_bf16_fn conure_gemm_bf16_c;
conure_gemm_int8_fn conure_gemm_int8_c;
conure_quantize_row_fn conure_quantize_row_c;
conure_f32_to_bf16_row_fn conure_f32_to_bf16_row_c;
conure_finish_fn conure_finish_c;
#if defined(__x86_64__)
conure_gemm_f32_fn conure_gemm_f32_avx2, conure_gemm_f32_avx512;
conure_gemm_bf16_fn conure_gemm_bf16_avx2, conure_gemm_bf16_bf16, conure_gemm_bf16_amx;
conure_gemm_int8_fn conure_gemm_int8_avx2, conure_gemm_int8_avxvnni, conure_gemm_int8_vnni;
conure_gemm_int8_fn conure_gemm_int8_amx;
conure_quantize_row_fn conure_quantize_row_avx2, conure_quantize_row_avx512;
conure_f32_to_bf16_row_fn conure_f32_to_bf16_row_avx2, conure_f32_to_bf16_row_avx512;
conure_finish_fn conure_finish_avx2, conure_finish_avx512;
#endif

#endif

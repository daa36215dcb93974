/* gemm_bf16.c - the bf16 product with AVX512-BF16: pairs of products, summed in f32. */
#include "backend/cpu/gemm.h"

#define SUM           float
#define VECTOR        __m512
#define LOAD          _mm512_maskz_loadu_ps
#define STORE         _mm512_mask_storeu_ps
#define STEP(s, x, w) _mm512_dpbf16_ps(s, (__m512bh)(x), (__m512bh)(w))
#include "backend/cpu/gemm_block_avx512.h"

#define LINES_MAX 512

void conure_gemm_bf16_bf16(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                           const uint16_t *panels, size_t n, size_t lines, int accumulate)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda * sizeof *a,
        .panels = (const char *)panels,
        .panel_bytes = lines * LINE_BYTES,
        .lines = lines,
    };
    products(&in, m, n, LINES_MAX, NULL, accumulate);
}

/* gemm_avx512.c - the f32 product with AVX-512. */
#include "backend/cpu/gemm.h"

#define SUM           float
#define VECTOR        __m512
#define LOAD          _mm512_maskz_loadu_ps
#define STORE         _mm512_mask_storeu_ps
#define STEP(s, x, w) _mm512_fmadd_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(w), s)
#include "backend/cpu/gemm_block_avx512.h"

#define LINES_MAX 512

void conure_gemm_f32_avx512(float *c, size_t ldc, const float *a, size_t lda, size_t m,
                            const float *panels, size_t n, size_t k, int accumulate)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda * sizeof *a,
        .panels = (const char *)panels,
        .panel_bytes = k * LINE_BYTES,
        .lines = k,
    };
    products(&in, m, n, LINES_MAX, NULL, accumulate);
}

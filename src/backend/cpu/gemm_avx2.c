/* gemm_avx2.c - the f32 product with AVX2 and FMA. */
#include "backend/cpu/gemm.h"

#define SUM            float
#define VECTOR         __m256
#define LOAD(p)        _mm256_loadu_ps(p)
#define STORE(p, v)    _mm256_storeu_ps(p, v)
#define PASSES         1
#define LINE(w, pass)  (w)
#define INPUT(x, pass) (x)
#define STEP(s, x, w)  _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(w), s)
#include "backend/cpu/gemm_block_avx2.h"

#define LINES_MAX 512

void conure_gemm_f32_avx2(float *c, size_t ldc, const float *a, size_t lda, size_t m,
                          const float *panels, size_t n, size_t k, int accumulate)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda * sizeof *a,
        .panel = (const char *)panels,
        .lines = k,
    };
    products(&in, m, n, LINES_MAX, NULL, accumulate);
}

/* gemm_avx2_bf16.c - the bf16 product with AVX2 and FMA: pairs are widened to f32, the even input (the
 * low half) in the first pass, the odd one in the second. */
#include "backend/cpu/gemm.h"

#define HALF(v, pass)                                                                              \
    ((pass) ? _mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u)) : _mm256_slli_epi32(v, 16))

#define SUM            float
#define VECTOR         __m256
#define LOAD(p)        _mm256_loadu_ps(p)
#define STORE(p, v)    _mm256_storeu_ps(p, v)
#define PASSES         2
#define LINE(w, pass)  HALF(w, pass)
#define INPUT(x, pass) HALF(x, pass)
#define STEP(s, x, w)  _mm256_fmadd_ps(_mm256_castsi256_ps(x), _mm256_castsi256_ps(w), s)
#include "backend/cpu/gemm_block_avx2.h"

#define LINES_MAX 512

void conure_gemm_bf16_avx2(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                           const uint16_t *panels, size_t n, size_t lines, int accumulate)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda * sizeof *a,
        .panel = (const char *)panels,
        .lines = lines,
    };
    products(&in, m, n, LINES_MAX, NULL, accumulate);
}

/* gemm_avx2_int8.c - the int8 product with AVX2 alone.  vpmaddubsw would saturate (255 * 127 * 2 is
 * past 16 bits), so both sides are widened to 16 bits: bytes 0 and 2 of each four in the first pass,
 * 1 and 3 in the second; vpmaddwd is exact. */
#include "backend/cpu/gemm.h"

#include <immintrin.h>

/* The empty asm keeps gcc from adding the products of both passes first, for which there are no
 * registers. */
static inline __attribute__((always_inline)) __m256i step(__m256i s, __m256i x, __m256i w)
{
    s = _mm256_add_epi32(s, _mm256_madd_epi16(x, w));
    __asm__("" : "+x"(s));
    return s;
}

#define SUM         int32_t
#define VECTOR      __m256i
#define LOAD(p)     _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define PASSES      2
#define LINE(w, pass)                                                                              \
    ((pass) ? _mm256_srai_epi16(w, 8) : _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8))
#define INPUT(x, pass)                                                                             \
    ((pass) ? _mm256_srli_epi16(x, 8) : _mm256_and_si256(x, _mm256_set1_epi16(0xff)))
#define STEP(s, x, w) step(s, x, w)
#include "backend/cpu/gemm_block_avx2.h"

void conure_gemm_int8_avx2(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                           const int8_t *panels, const int32_t *sums, size_t n, size_t lines)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda,
        .panel = (const char *)panels,
        .lines = lines,
    };
    products(&in, m, n, lines, sums, 0);
}

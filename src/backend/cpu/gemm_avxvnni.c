/* gemm_avxvnni.c - the int8 product with the 256-bit VEX form of VNNI, for processors without AVX-512. */
#include "backend/cpu/gemm.h"

#define SUM            int32_t
#define VECTOR         __m256i
#define LOAD(p)        _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, v)    _mm256_storeu_si256((__m256i *)(p), v)
#define PASSES         1
#define LINE(w, pass)  (w)
#define INPUT(x, pass) (x)
#define STEP(s, x, w)  _mm256_dpbusd_avx_epi32(s, x, w)
#include "backend/cpu/gemm_block_avx2.h"

void conure_gemm_int8_avxvnni(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
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

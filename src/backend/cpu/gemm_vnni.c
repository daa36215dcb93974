/* gemm_vnni.c - the int8 product with AVX-512 VNNI: vpdpbusd takes u8 by s8 and does not saturate. */
#include "backend/cpu/gemm.h"

#include <immintrin.h>

#define SUM           int32_t
#define VECTOR        __m512i
#define LOAD          _mm512_maskz_loadu_epi32
#define STORE         _mm512_mask_storeu_epi32
#define STEP(s, x, w) step(s, x, w)

/* _mm512_dpbusd_epi32(s, x, w), which gcc 12 surrounds with copies and spills that halve the speed. */
static inline __attribute__((always_inline)) __m512i step(__m512i s, __m512i x, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(x), "v"(w));
    return s;
}

#include "backend/cpu/gemm_block_avx512.h"

void conure_gemm_int8_vnni(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                           const int8_t *panels, const int32_t *sums, size_t n, size_t lines)
{
    const block_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda,
        .panels = (const char *)panels,
        .panel_bytes = lines * LINE_BYTES,
        .lines = lines,
    };
    products(&in, m, n, lines, sums, 0); /* a group of 4096 inputs is 256 KB: no need to split */
}

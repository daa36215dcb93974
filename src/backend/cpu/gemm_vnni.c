/* gemm_vnni.c - the int8 product with AVX-512 VNNI: vpdpbusd takes u8 by s8 and does not saturate. */
#include "backend/cpu/gemm.h"

#define SUM           int32_t
#define VECTOR        __m512i
#define LOAD          _mm512_maskz_loadu_epi32
#define STORE         _mm512_mask_storeu_epi32
#define STEP(s, x, w) _mm512_dpbusd_epi32(s, x, w)
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

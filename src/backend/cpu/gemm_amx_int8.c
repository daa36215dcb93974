/* gemm_amx_int8.c - the int8 product with AMX. */
#include "backend/cpu/gemm.h"

#define SUM               int32_t
#define MULTIPLY(c, a, b) _tile_dpbusd(c, a, b)
/* modulo 2^32: what a damaged file says of its sums must not be undefined */
#define LESS(a, b)        ((int32_t)((uint32_t)(a) - (uint32_t)(b)))
#include "backend/cpu/gemm_block_amx.h"

#define FEW_ROWS 8

void conure_gemm_int8_amx(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                          const int8_t *panels, const int32_t *sums, size_t n, size_t lines)
{
    const amx_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda,
        .panels = (const char *)panels,
        .lines = lines,
        .n = n,
        .sums = sums,
    };
#if !defined(CONURE_TILES)
    /* So few rows are limited by memory, and tiles would be nearly empty.  int8 is exact: which kernel
     * computes a row cannot be seen. */
    if (m < FEW_ROWS) {
        conure_gemm_int8_vnni(c, ldc, a, lda, m, panels, sums, n, lines);
        return;
    }
#endif
    products(&in, m);
}

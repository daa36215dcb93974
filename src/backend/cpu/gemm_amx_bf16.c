/* gemm_amx_bf16.c - the bf16 product with AMX: every row, however few there are, since its sums round
 * otherwise than AVX512-BF16's and a row must not depend on the others. */
#include "backend/cpu/gemm.h"

#define SUM               float
#define MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
#define LESS(a, b)        ((a) - (b))
#include "backend/cpu/gemm_block_amx.h"

void conure_gemm_bf16_amx(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                          const uint16_t *panels, size_t n, size_t lines, int accumulate)
{
    const amx_in in = {
        .c = c,
        .ldc = ldc,
        .a = (const char *)a,
        .row_bytes = lda * sizeof *a,
        .panels = (const char *)panels,
        .lines = lines,
        .n = n,
        .accumulate = accumulate,
    };
    products(&in, m);
}

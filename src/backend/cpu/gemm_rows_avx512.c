/* gemm_rows_avx512.c - what goes into a product and what comes out of it, with AVX-512: rows to int8
 * and bf16, finished tiles. */
#include "backend/cpu/gemm.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/math_avx512.h"

#define ALWAYS static inline __attribute__((always_inline))

float conure_quantize_row_avx512(uint8_t *q, const float *x, size_t k, size_t k_padded)
{
    const __m512 infinity = _mm512_set1_ps(INFINITY);
    __m512 largest = _mm512_setzero_ps();
    __mmask16 not_finite = 0;
    for (size_t i = 0; i < k; i += 16) {
        const __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(conure_mask_avx512(k - i), x + i));
        largest = _mm512_max_ps(largest, size);
        not_finite |= _mm512_cmp_ps_mask(size, infinity, _CMP_NLT_UQ);
    }
    const float max = _mm512_reduce_max_ps(largest);
    if (not_finite || max < 1e-30f) {
        memset(q, 128, k_padded);
        return not_finite ? NAN : 1.0f;
    }
    const __m512 factor = _mm512_set1_ps(127.0f / max);
    for (size_t i = 0; i < k; i += 16) {
        const __mmask16 lanes = conure_mask_avx512(k - i);
        const __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), factor);
        const __m512i whole = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(128));
        _mm512_mask_cvtepi32_storeu_epi8(q + i, lanes, whole);
    }
    memset(q + k, 128, k_padded - k);
    return max / 127.0f;
}

void conure_f32_to_bf16_row_avx512(uint16_t *dst, const float *x, size_t k, size_t k_padded)
{
    for (size_t i = 0; i < k; i += 16) {
        const __mmask16 lanes = conure_mask_avx512(k - i);
        const __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);
        const __m512i bits = _mm512_castps_si512(v);
        const __m512i high = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
        __m512i nearest = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
        nearest = _mm512_mask_or_epi32(_mm512_srli_epi32(nearest, 16),
                                       _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), high,
                                       _mm512_set1_epi32(0x40));
        _mm512_mask_cvtepi32_storeu_epi16(dst + i, lanes, nearest);
    }
    memset(dst + k, 0, (k_padded - k) * sizeof *dst);
}

/* Sum, scale and bias; see gemm_c.c on why the product and the sum are rounded apart. */
ALWAYS __m512 before(const void *sums, size_t at, __m512 row_scale, const float *scales,
                     const float *bias, size_t j, __mmask16 lanes, const int int8)
{
    __m512 y;
    if (int8) {
        const __m512i whole = _mm512_maskz_loadu_epi32(lanes, (const int32_t *)sums + at);
        const __m512 scale = _mm512_mul_ps(row_scale, _mm512_maskz_loadu_ps(lanes, scales + j));
        y = _mm512_mul_ps(_mm512_cvtepi32_ps(whole), scale);
    } else {
        y = _mm512_maskz_loadu_ps(lanes, (const float *)sums + at);
    }
    return _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, bias + j));
}

/* kind and int8 are constants where this is inlined. */
ALWAYS void finish(const conure_finish *f, const int kind, const int int8)
{
    const __m512 zero = _mm512_setzero_ps(), alpha = _mm512_set1_ps(f->alpha);
    for (size_t i = 0; i < f->m; i++) {
        const __m512 row_scale = _mm512_set1_ps(int8 ? f->row_scales[i] : 1.0f);
        float *dst = f->dst + i * f->ldd;
        for (size_t j = 0; j < f->n; j += 16) {
            const __mmask16 lanes = conure_mask_avx512(f->n - j);
            const size_t at = i * f->lds + j;
            __m512 y = before(f->sums, at, row_scale, f->scales, f->bias, j, lanes, int8);
            if (kind == CONURE_FINISH_RELU) {
                y = _mm512_max_ps(zero, y); /* in this order a NaN stays one */
            } else if (kind == CONURE_FINISH_SILU) {
                y = conure_silu_avx512(y);
            } else if (kind == CONURE_FINISH_ADD) {
                const __m512 residual =
                    f->residual ? _mm512_maskz_loadu_ps(lanes, f->residual + i * f->ldr + j) : zero;
                y = _mm512_add_ps(residual, _mm512_mul_ps(alpha, y));
            } else if (kind == CONURE_FINISH_GLU) {
                const __m512 gate = before(f->gate, at, row_scale, f->gate_scales, f->gate_bias, j,
                                           lanes, int8);
                y = _mm512_mul_ps(y, conure_sigmoid_avx512(gate));
            }
            _mm512_mask_storeu_ps(dst + j, lanes, y);
        }
    }
}

void conure_finish_avx512(const conure_finish *f)
{
    const int int8 = f->row_scales != NULL;
#define CASE(kind)                                        \
    case kind:                                            \
        int8 ? finish(f, kind, 1) : finish(f, kind, 0); \
        break;
    switch (f->kind) {
        CASE(CONURE_FINISH_STORE)
        CASE(CONURE_FINISH_RELU)
        CASE(CONURE_FINISH_SILU)
        CASE(CONURE_FINISH_GLU)
        CASE(CONURE_FINISH_ADD)
    }
#undef CASE
}

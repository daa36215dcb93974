/* gemm_rows_avx512.c - what goes into a product and what comes out of it, with AVX-512: rows to int8
 * and bf16, finished tiles. */
#include "backend/cpu/gemm.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/math_avx512.h"

#define ALWAYS static inline __attribute__((always_inline))

/* Bits of the largest magnitude: as whole numbers they rise with it, and NaN and infinity are on top.
 * Four chains, because one waits for itself. */
static uint32_t largest_bits(const float *x, size_t k)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i m[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                    _mm512_setzero_si512()};
    size_t i = 0;
    for (; i + 64 <= k; i += 64)
        for (size_t j = 0; j < 4; j++) {
            const __m512i v = _mm512_loadu_si512(x + i + 16 * j);
            m[j] = _mm512_max_epu32(m[j], _mm512_and_si512(v, magnitude));
        }
    for (; i < k; i += 16) {
        const __m512i v = _mm512_maskz_loadu_epi32(conure_mask_avx512(k - i), x + i);
        m[0] = _mm512_max_epu32(m[0], _mm512_and_si512(v, magnitude));
    }
    return _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_max_epu32(m[0], m[1]), _mm512_max_epu32(m[2], m[3])));
}

ALWAYS __m512i quantized(__m512 v, __m512 factor)
{
    return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(v, factor)), _mm512_set1_epi32(128));
}

float conure_quantize_row_avx512(uint8_t *q, const float *x, size_t k, size_t k_padded)
{
    const uint32_t bits = largest_bits(x, k);
    float max;
    memcpy(&max, &bits, sizeof max);
    if (!(max >= 1e-30f && max < INFINITY)) {
        memset(q, 128, k_padded);
        return max < 1e-30f ? 1.0f : NAN;
    }
    const __m512 factor = _mm512_set1_ps(127.0f / max);
    size_t i = 0;
    for (; i + 16 <= k; i += 16)
        _mm_storeu_si128((__m128i *)(void *)(q + i),
                         _mm512_cvtepi32_epi8(quantized(_mm512_loadu_ps(x + i), factor)));
    if (i < k) {
        const __mmask16 lanes = conure_mask_avx512(k - i);
        _mm512_mask_cvtepi32_storeu_epi8(q + i, lanes,
                                         quantized(_mm512_maskz_loadu_ps(lanes, x + i), factor));
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

/* kind, int8 and mostly lanes are constants where this is inlined. */
ALWAYS void finish_vector(const conure_finish *f, size_t i, size_t j, __mmask16 lanes,
                          const int kind, const int int8)
{
    const __m512 zero = _mm512_setzero_ps();
    const __m512 row_scale = _mm512_set1_ps(int8 ? f->row_scales[i] : 1.0f);
    const size_t at = i * f->lds + j;
    __m512 y = before(f->sums, at, row_scale, f->scales, f->bias, j, lanes, int8);
    if (kind == CONURE_FINISH_RELU) {
        y = _mm512_max_ps(zero, y); /* in this order a NaN stays one */
    } else if (kind == CONURE_FINISH_SILU) {
        y = conure_silu_avx512(y);
    } else if (kind == CONURE_FINISH_ADD) {
        const __m512 residual =
            f->residual ? _mm512_maskz_loadu_ps(lanes, f->residual + i * f->ldr + j) : zero;
        y = _mm512_add_ps(residual, _mm512_mul_ps(_mm512_set1_ps(f->alpha), y));
    } else if (kind == CONURE_FINISH_GLU) {
        const __m512 gate =
            before(f->gate, at, row_scale, f->gate_scales, f->gate_bias, j, lanes, int8);
        y = _mm512_mul_ps(y, conure_sigmoid_avx512(gate));
    }
    _mm512_mask_storeu_ps(f->dst + i * f->ldd + j, lanes, y);
}

ALWAYS void finish(const conure_finish *f, const int kind, const int int8)
{
    const conure_finish local = *f; /* which no store to dst can change */
    const size_t n = local.n, whole = n - n % 16;
    for (size_t i = 0; i < local.m; i++) {
        for (size_t j = 0; j < whole; j += 16)
            finish_vector(&local, i, j, 0xffff, kind, int8);
        if (whole < n)
            finish_vector(&local, i, whole, conure_mask_avx512(n - whole), kind, int8);
    }
}

void conure_finish_avx512(const conure_finish *f)
{
    const int int8 = f->row_scales != NULL;
#define CASE(kind)                                                                                 \
    case kind:                                                                                     \
        int8 ? finish(f, kind, 1) : finish(f, kind, 0);                                            \
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

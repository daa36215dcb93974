/* gemm_rows_avx2.c - what goes into a product and what comes out of it, with AVX2: rows to int8 and
 * bf16, finished tiles.  The steps are those of gemm_rows_avx512.c, so the bits are too. */
#include "backend/cpu/gemm.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/math_avx2.h"

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS __m256i first_lanes(size_t n)
{
    return conure_mask_avx2(n < 8 ? (unsigned)n : 8);
}

static float max_of(__m256 v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

float conure_quantize_row_avx2(uint8_t *q, const float *x, size_t k, size_t k_padded)
{
    const __m256 infinity = _mm256_set1_ps(INFINITY), sign = _mm256_set1_ps(-0.0f);
    __m256 largest = _mm256_setzero_ps(), not_finite = _mm256_setzero_ps();
    for (size_t i = 0; i < k; i += 8) {
        const __m256 size = _mm256_andnot_ps(sign, _mm256_maskload_ps(x + i, first_lanes(k - i)));
        largest = _mm256_max_ps(largest, size);
        not_finite = _mm256_or_ps(not_finite, _mm256_cmp_ps(size, infinity, _CMP_NLT_UQ));
    }
    const float max = max_of(largest);
    const int bad = _mm256_movemask_ps(not_finite);
    if (bad || max < 1e-30f) {
        memset(q, 128, k_padded);
        return bad ? NAN : 1.0f;
    }
    const __m256 factor = _mm256_set1_ps(127.0f / max);
    for (size_t i = 0; i < k; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, first_lanes(k - i)), factor);
        const __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(128));
        __m128i bytes =
            _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        bytes = _mm_packus_epi16(bytes, bytes);
        const uint64_t eight = (uint64_t)_mm_cvtsi128_si64(bytes);
        memcpy(q + i, &eight, k - i < 8 ? k - i : 8);
    }
    memset(q + k, 128, k_padded - k);
    return max / 127.0f;
}

void conure_f32_to_bf16_row_avx2(uint16_t *dst, const float *x, size_t k, size_t k_padded)
{
    for (size_t i = 0; i < k; i += 8) {
        const __m256 v = _mm256_maskload_ps(x + i, first_lanes(k - i));
        const __m256i bits = _mm256_castps_si256(v);
        const __m256i high = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
        __m256i nearest = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
        const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
        const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        nearest = _mm256_blendv_epi8(_mm256_srli_epi32(nearest, 16), quiet, is_nan);
        const __m128i halves =
            _mm_packus_epi32(_mm256_castsi256_si128(nearest), _mm256_extracti128_si256(nearest, 1));
        uint16_t eight[8];
        _mm_storeu_si128((__m128i *)eight, halves);
        memcpy(dst + i, eight, (k - i < 8 ? k - i : 8) * sizeof *dst);
    }
    memset(dst + k, 0, (k_padded - k) * sizeof *dst);
}

/* Sum, scale and bias; see gemm_c.c on why the product and the sum are rounded apart. */
ALWAYS __m256 before(const void *sums, size_t at, __m256 row_scale, const float *scales,
                     const float *bias, size_t j, __m256i lanes, const int int8)
{
    __m256 y;
    if (int8) {
        const __m256i whole = _mm256_maskload_epi32((const int32_t *)sums + at, lanes);
        const __m256 scale = _mm256_mul_ps(row_scale, _mm256_maskload_ps(scales + j, lanes));
        y = _mm256_mul_ps(_mm256_cvtepi32_ps(whole), scale);
    } else {
        y = _mm256_maskload_ps((const float *)sums + at, lanes);
    }
    return _mm256_add_ps(y, _mm256_maskload_ps(bias + j, lanes));
}

/* kind and int8 are constants where this is inlined. */
ALWAYS void finish(const conure_finish *f, const int kind, const int int8)
{
    const __m256 zero = _mm256_setzero_ps(), alpha = _mm256_set1_ps(f->alpha);
    for (size_t i = 0; i < f->m; i++) {
        const __m256 row_scale = _mm256_set1_ps(int8 ? f->row_scales[i] : 1.0f);
        float *dst = f->dst + i * f->ldd;
        for (size_t j = 0; j < f->n; j += 8) {
            const __m256i lanes = first_lanes(f->n - j);
            const size_t at = i * f->lds + j;
            __m256 y = before(f->sums, at, row_scale, f->scales, f->bias, j, lanes, int8);
            if (kind == CONURE_FINISH_RELU) {
                y = _mm256_max_ps(zero, y); /* in this order a NaN stays one */
            } else if (kind == CONURE_FINISH_SILU) {
                y = conure_silu_avx2(y);
            } else if (kind == CONURE_FINISH_ADD) {
                const __m256 residual =
                    f->residual ? _mm256_maskload_ps(f->residual + i * f->ldr + j, lanes) : zero;
                y = _mm256_add_ps(residual, _mm256_mul_ps(alpha, y));
            } else if (kind == CONURE_FINISH_GLU) {
                const __m256 gate =
                    before(f->gate, at, row_scale, f->gate_scales, f->gate_bias, j, lanes, int8);
                y = _mm256_mul_ps(y, conure_sigmoid_avx2(gate));
            }
            _mm256_maskstore_ps(dst + j, lanes, y);
        }
    }
}

void conure_finish_avx2(const conure_finish *f)
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

/* math_avx512.h - exp and what follows from it for 16 floats; the same steps as in math_avx2.h, so the
 * same bits.  Only for files built with AVX-512F. */
#ifndef CONURE_BACKEND_MATH_AVX512_H
#define CONURE_BACKEND_MATH_AVX512_H

#if !defined(__AVX512F__)
#error "build this file with -mavx512f"
#endif

#include <immintrin.h>

#include "backend/cpu/math_exp.h"

/* e^x, relative error below 1 ulp (1.2e-7) where the result is normal; -inf gives 0, large x gives
 * inf, NaN stays NaN.  scalef multiplies by 2^n with one rounding, whatever n. */
static inline __m512 conure_exp_avx512(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(CONURE_EXP_LOW), x);
    x = _mm512_min_ps(_mm512_set1_ps(CONURE_EXP_HIGH), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(CONURE_EXP_LOG2E)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(CONURE_EXP_LN2_HIGH), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(CONURE_EXP_LN2_LOW), r);
    __m512 q = _mm512_set1_ps(CONURE_EXP_Q4);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(CONURE_EXP_Q3));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(CONURE_EXP_Q2));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(CONURE_EXP_Q1));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(CONURE_EXP_Q0));
    q = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
    q = _mm512_add_ps(q, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(q, n);
}

static inline __m512 conure_negate_avx512(__m512 x)
{
    return _mm512_castsi512_ps(
        _mm512_xor_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0x80000000u)));
}

/* 1 / (1 + e^-x) */
static inline __m512 conure_sigmoid_avx512(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, conure_exp_avx512(conure_negate_avx512(x))));
}

/* x / (1 + e^-x) */
static inline __m512 conure_silu_avx512(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(x, _mm512_add_ps(one, conure_exp_avx512(conure_negate_avx512(x))));
}

/* The first n lanes, n up to 16 (more: all). */
static inline __mmask16 conure_mask_avx512(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

#endif

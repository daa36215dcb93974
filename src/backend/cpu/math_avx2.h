/* math_avx2.h - exp and what follows from it for 8 floats.  The AVX-512 twin takes the same steps, so
 * both give the same bits.  Only for files built with AVX2 and FMA. */
#ifndef CONURE_BACKEND_MATH_AVX2_H
#define CONURE_BACKEND_MATH_AVX2_H

#if !defined(__AVX2__) || !defined(__FMA__)
#error "build this file with -mavx2 -mfma"
#endif

#include <immintrin.h>

#include "backend/cpu/math_exp.h"

/* e^x, relative error below 1 ulp (1.2e-7) where the result is normal; -inf gives 0, large x gives
 * inf, NaN stays NaN.  x = n ln 2 + r with |r| <= ln 2 / 2; 2^n goes on in two halves, because n
 * itself can lie beyond the exponents of normal floats. */
static inline __m256 conure_exp_avx2(__m256 x)
{
    /* The constant first: with a NaN these return the second operand. */
    x = _mm256_max_ps(_mm256_set1_ps(CONURE_EXP_LOW), x);
    x = _mm256_min_ps(_mm256_set1_ps(CONURE_EXP_HIGH), x);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(CONURE_EXP_LOG2E)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CONURE_EXP_LN2_HIGH), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CONURE_EXP_LN2_LOW), r);
    __m256 q = _mm256_set1_ps(CONURE_EXP_Q4);
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(CONURE_EXP_Q3));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(CONURE_EXP_Q2));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(CONURE_EXP_Q1));
    q = _mm256_fmadd_ps(q, r, _mm256_set1_ps(CONURE_EXP_Q0));
    q = _mm256_fmadd_ps(_mm256_mul_ps(r, r), q, r);
    q = _mm256_add_ps(q, _mm256_set1_ps(1.0f));
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(q, first), second);
}

/* 1 / (1 + e^-x) */
static inline __m256 conure_sigmoid_avx2(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 minus = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    return _mm256_div_ps(one, _mm256_add_ps(one, conure_exp_avx2(minus)));
}

/* x / (1 + e^-x) */
static inline __m256 conure_silu_avx2(__m256 x)
{
    const __m256 minus = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), conure_exp_avx2(minus)));
}

/* The first n (0 .. 8) lanes, for maskload and maskstore. */
static inline __m256i conure_mask_avx2(unsigned n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

#endif

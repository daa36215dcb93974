/* rows_avx512.c - the row kernels with AVX-512 (F, BW, DQ, VL).  Tails go through masked loads and
 * stores, so an element's arithmetic is the same wherever it stands in its row. */
#include "backend/cpu/math_avx512.h"
#include "backend/cpu/math_tanh.h"
#include "backend/cpu/rows.h"

#include <math.h>

static inline __mmask16 lanes(size_t i, size_t n)
{
    return conure_mask_avx512(n - i);
}

/* Whole vectors skip the mask, which costs more than the arithmetic of the simple rows. */
static inline __m512 load(const float *x, size_t i, size_t n)
{
    return n - i >= 16 ? _mm512_loadu_ps(x + i) : _mm512_maskz_loadu_ps(lanes(i, n), x + i);
}

static inline void store(float *dst, size_t i, size_t n, __m512 y)
{
    if (n - i >= 16)
        _mm512_storeu_ps(dst + i, y);
    else
        _mm512_mask_storeu_ps(dst + i, lanes(i, n), y);
}

/* In three passes over a row that is in the first-level cache.  The mean of the first is rounded to
 * float32; the second takes the differences to it, which are exact where it matters, and with their
 * sum and squares corrects both the mean and the variance. */
static void layer_norm_row(float *dst, const float *x, const float *gamma, const float *beta,
                           size_t n)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, q0 = s0, q1 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm512_add_ps(s0, _mm512_loadu_ps(x + i));
        s1 = _mm512_add_ps(s1, _mm512_loadu_ps(x + i + 16));
    }
    for (; i < n; i += 16)
        s0 = _mm512_add_ps(s0, load(x, i, n));
    const float near = _mm512_reduce_add_ps(_mm512_add_ps(s0, s1)) / (float)n;
    const __m512 centre = _mm512_set1_ps(near);

    s0 = s1 = _mm512_setzero_ps();
    for (i = 0; i + 32 <= n; i += 32) {
        const __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(x + i), centre);
        const __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(x + i + 16), centre);
        s0 = _mm512_add_ps(s0, d0);
        s1 = _mm512_add_ps(s1, d1);
        q0 = _mm512_fmadd_ps(d0, d0, q0);
        q1 = _mm512_fmadd_ps(d1, d1, q1);
    }
    for (; i < n; i += 16) {
        const __m512 d = _mm512_maskz_sub_ps(lanes(i, n), load(x, i, n), centre);
        s0 = _mm512_add_ps(s0, d);
        q0 = _mm512_fmadd_ps(d, d, q0);
    }
    const double off = (double)_mm512_reduce_add_ps(_mm512_add_ps(s0, s1)) / (double)n;
    const double var = (double)_mm512_reduce_add_ps(_mm512_add_ps(q0, q1)) / (double)n - off * off;
    const __m512 rest = _mm512_set1_ps((float)off);
    const __m512 factor = _mm512_set1_ps((float)(1.0 / sqrt(var + CONURE_LAYER_NORM_EPSILON)));

    for (i = 0; i < n; i += 16) {
        const __m512 d = _mm512_sub_ps(_mm512_sub_ps(load(x, i, n), centre), rest);
        const __m512 y =
            _mm512_fmadd_ps(_mm512_mul_ps(d, factor), load(gamma, i, n), load(beta, i, n));
        store(dst, i, n, y);
    }
}

static void silu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        store(dst, i, n, conure_silu_avx512(load(x, i, n)));
}

static void glu_row(float *dst, const float *value, const float *gate, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        store(dst, i, n, _mm512_mul_ps(load(value, i, n), conure_sigmoid_avx512(load(gate, i, n))));
}

/* Of two operands max takes the second when one is NaN: NaN stays. */
static inline __m512 relu(__m512 x)
{
    return _mm512_max_ps(_mm512_setzero_ps(), x);
}

static void relu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        store(dst, i, n, relu(load(x, i, n)));
}

static void add_scaled_row(float *dst, const float *residual, const float *y, float alpha, size_t n)
{
    const __m512 factor = _mm512_set1_ps(alpha);
    for (size_t i = 0; i < n; i += 16)
        store(dst, i, n, _mm512_fmadd_ps(factor, load(y, i, n), load(residual, i, n)));
}

static void add_relu_row(float *dst, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        store(dst, i, n, relu(_mm512_add_ps(load(a, i, n), load(b, i, n))));
}

static inline __m512 activate(__m512 x, int activation)
{
    if (activation == CONURE_ACT_RELU)
        return relu(x);
    return activation == CONURE_ACT_SILU ? conure_silu_avx512(x) : x;
}

/* Four vectors of channels at a time hide the latency of the sums. */
static void depthwise_row(float *dst, const float *const *x, const float *weight, size_t ldw,
                          const float *bias, size_t n_taps, size_t n, int activation)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512 y[4];
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            y[v] = _mm512_loadu_ps(bias + i + 16 * v);
        for (size_t t = 0; t < n_taps; t++) {
            if (!x[t])
                continue;
            const float *row = x[t] + i, *w = weight + t * ldw + i;
#pragma GCC unroll 4
            for (size_t v = 0; v < 4; v++)
                y[v] = _mm512_fmadd_ps(_mm512_loadu_ps(w + 16 * v), _mm512_loadu_ps(row + 16 * v),
                                       y[v]);
        }
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            _mm512_storeu_ps(dst + i + 16 * v, activate(y[v], activation));
    }
    for (; i < n; i += 16) {
        __m512 y = load(bias, i, n);
        for (size_t t = 0; t < n_taps; t++)
            if (x[t])
                y = _mm512_fmadd_ps(load(weight + t * ldw, i, n), load(x[t], i, n), y);
        store(dst, i, n, activate(y, activation));
    }
}

static void conv9_row(float *dst, const float *x9, const float *weight, const float *bias, size_t n)
{
    __m512 pixel[9];
#pragma GCC unroll 9
    for (size_t t = 0; t < 9; t++)
        pixel[t] = _mm512_set1_ps(x9[t]);
    for (size_t i = 0; i < n; i += 16) {
        __m512 y = load(bias, i, n);
#pragma GCC unroll 9
        for (size_t t = 0; t < 9; t++)
            y = _mm512_fmadd_ps(pixel[t], load(weight + t * n, i, n), y);
        store(dst, i, n, relu(y));
    }
}

/* Sums in float32 over 16 vectors, then on in double: a row may be an hour of keys. */
static float exp_row(float *x, float max, size_t n)
{
    const __m512 top = _mm512_set1_ps(max);
    __m512d total = _mm512_setzero_pd();
    for (size_t from = 0; from < n; from += 256) {
        const size_t end = n - from < 256 ? n : from + 256;
        __m512 sum = _mm512_setzero_ps();
        for (size_t i = from; i < end; i += 16) {
            const __mmask16 in = lanes(i, end);
            const __m512 e =
                conure_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(in, x + i), top));
            _mm512_mask_storeu_ps(x + i, in, e);
            sum = _mm512_mask_add_ps(sum, in, sum, e);
        }
        total = _mm512_add_pd(total, _mm512_cvtps_pd(_mm512_castps512_ps256(sum)));
        total = _mm512_add_pd(total, _mm512_cvtps_pd(_mm512_extractf32x8_ps(sum, 1)));
    }
    return (float)_mm512_reduce_add_pd(total);
}

/* max returns its second operand when the first is NaN, so NaN scores are passed over. */
static float max_row(const float *x, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 m0 = least, m1 = least;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        m0 = _mm512_max_ps(_mm512_loadu_ps(x + i), m0);
        m1 = _mm512_max_ps(_mm512_loadu_ps(x + i + 16), m1);
    }
    for (; i < n; i += 16)
        m0 = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes(i, n), x + i), m0);
    return _mm512_reduce_max_ps(_mm512_max_ps(m0, m1));
}

static void scale_row(float *x, float factor, size_t n)
{
    const __m512 by = _mm512_set1_ps(factor);
    for (size_t i = 0; i < n; i += 16)
        store(x, i, n, _mm512_mul_ps(by, load(x, i, n)));
}

static inline __m512 tanh16(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f), size = _mm512_abs_ps(x), z = _mm512_mul_ps(x, x);
    const __m512 e = conure_exp_avx512(_mm512_add_ps(size, size));
    const __m512 large =
        _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), _mm512_add_ps(e, one)));
    __m512 p = _mm512_set1_ps(CONURE_TANH_P4);
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(CONURE_TANH_P3));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(CONURE_TANH_P2));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(CONURE_TANH_P1));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(CONURE_TANH_P0));
    const __m512 small = _mm512_fmadd_ps(_mm512_mul_ps(p, z), x, x);
    const __mmask16 is_small =
        _mm512_cmp_ps_mask(size, _mm512_set1_ps(CONURE_TANH_SMALL), _CMP_LT_OQ);
    const __m512 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
    return _mm512_mask_mov_ps(_mm512_or_ps(large, sign), is_small, small);
}

static void lstm_row(float *h, float *c, const float *gates, size_t hidden)
{
    for (size_t i = 0; i < hidden; i += 16) {
        const __m512 in = conure_sigmoid_avx512(load(gates, i, hidden));
        const __m512 forget = conure_sigmoid_avx512(load(gates + hidden, i, hidden));
        const __m512 cell = tanh16(load(gates + 2 * hidden, i, hidden));
        const __m512 out = conure_sigmoid_avx512(load(gates + 3 * hidden, i, hidden));
        const __m512 next = _mm512_fmadd_ps(forget, load(c, i, hidden), _mm512_mul_ps(in, cell));
        store(c, i, hidden, next);
        store(h, i, hidden, _mm512_mul_ps(out, tanh16(next)));
    }
}

/* 16 rows of 16 become 16 columns, in registers: pairs, then fours, then quarters of a register. */
static inline void transpose16(__m512 r[16])
{
    __m512 t[16];
#pragma GCC unroll 8
    for (size_t i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 2]);
        const __m512d c = _mm512_castps_pd(t[i + 1]), d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    }
}

static void pack_panel(float *dst, const float *x, size_t ldx, size_t n_rows, size_t k)
{
    for (size_t j = 0; j < k; j += 16) {
        const size_t n = k - j < 16 ? k - j : 16;
        __m512 r[16];
#pragma GCC unroll 16
        for (size_t i = 0; i < 16; i++)
            r[i] = i < n_rows ? load(x + i * ldx, j, k) : _mm512_setzero_ps();
        transpose16(r);
        for (size_t i = 0; i < n; i++)
            _mm512_storeu_ps(dst + (j + i) * 16, r[i]);
    }
}

static void bf16_to_f32_row(float *dst, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __m256i halves = _mm256_maskz_loadu_epi16(conure_mask_avx512(n - i), x + i);
        store(dst, i, n, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
    }
}

void conure_rows_avx512(conure_kernels *kernels)
{
    kernels->layer_norm_row = layer_norm_row;
    kernels->silu_row = silu_row;
    kernels->glu_row = glu_row;
    kernels->relu_row = relu_row;
    kernels->add_scaled_row = add_scaled_row;
    kernels->add_relu_row = add_relu_row;
    kernels->depthwise_row = depthwise_row;
    kernels->conv9_row = conv9_row;
    kernels->exp_row = exp_row;
    kernels->max_row = max_row;
    kernels->scale_row = scale_row;
    kernels->lstm_row = lstm_row;
    kernels->pack_panel = pack_panel;
    kernels->bf16_to_f32_row = bf16_to_f32_row;
}

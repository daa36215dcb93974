/* rows_avx2.c - the row kernels with AVX2 and FMA.  Tails go through masked loads and stores, so an
 * element's arithmetic is the same wherever it stands in its row. */
#include "backend/cpu/math_avx2.h"
#include "backend/cpu/math_tanh.h"
#include "backend/cpu/rows.h"

#include <math.h>
#include <string.h>

/* Whole vectors skip the mask: masked stores are slow on some processors. */
static inline __m256 load(const float *x, size_t i, size_t n)
{
    return n - i >= 8 ? _mm256_loadu_ps(x + i)
                      : _mm256_maskload_ps(x + i, conure_mask_avx2((unsigned)(n - i)));
}

static inline void store(float *dst, size_t i, size_t n, __m256 y)
{
    if (n - i >= 8)
        _mm256_storeu_ps(dst + i, y);
    else
        _mm256_maskstore_ps(dst + i, conure_mask_avx2((unsigned)(n - i)), y);
}

/* y where lane < n - i, other elsewhere */
static inline __m256 keep(__m256 y, __m256 other, size_t i, size_t n)
{
    if (n - i >= 8)
        return y;
    return _mm256_blendv_ps(other, y, _mm256_castsi256_ps(conure_mask_avx2((unsigned)(n - i))));
}

static inline double add_lanes(__m256 y)
{
    const __m256d sum = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(y)),
                                      _mm256_cvtps_pd(_mm256_extractf128_ps(y, 1)));
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
}

/* In three passes over a row that is in the first-level cache.  The mean of the first is rounded to
 * float32; the second takes the differences to it, which are exact where it matters, and with their
 * sum and squares corrects both the mean and the variance. */
static void layer_norm_row(float *dst, const float *x, const float *gamma, const float *beta,
                           size_t n)
{
    const __m256 zero = _mm256_setzero_ps();
    __m256 s0 = zero, s1 = zero, q0 = zero, q1 = zero;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_add_ps(s0, _mm256_loadu_ps(x + i));
        s1 = _mm256_add_ps(s1, _mm256_loadu_ps(x + i + 8));
    }
    for (; i < n; i += 8)
        s0 = _mm256_add_ps(s0, load(x, i, n));
    const __m256 centre = _mm256_set1_ps((float)(add_lanes(_mm256_add_ps(s0, s1)) / (double)n));

    s0 = s1 = zero;
    for (i = 0; i + 16 <= n; i += 16) {
        const __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(x + i), centre);
        const __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), centre);
        s0 = _mm256_add_ps(s0, d0);
        s1 = _mm256_add_ps(s1, d1);
        q0 = _mm256_fmadd_ps(d0, d0, q0);
        q1 = _mm256_fmadd_ps(d1, d1, q1);
    }
    for (; i < n; i += 8) {
        const __m256 d = keep(_mm256_sub_ps(load(x, i, n), centre), zero, i, n);
        s0 = _mm256_add_ps(s0, d);
        q0 = _mm256_fmadd_ps(d, d, q0);
    }
    const double off = add_lanes(_mm256_add_ps(s0, s1)) / (double)n;
    const double var = add_lanes(_mm256_add_ps(q0, q1)) / (double)n - off * off;
    const __m256 rest = _mm256_set1_ps((float)off);
    const __m256 factor = _mm256_set1_ps((float)(1.0 / sqrt(var + CONURE_LAYER_NORM_EPSILON)));

    for (i = 0; i < n; i += 8) {
        const __m256 d = _mm256_sub_ps(_mm256_sub_ps(load(x, i, n), centre), rest);
        store(dst, i, n,
              _mm256_fmadd_ps(_mm256_mul_ps(d, factor), load(gamma, i, n), load(beta, i, n)));
    }
}

static void silu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(dst, i, n, conure_silu_avx2(load(x, i, n)));
}

static void glu_row(float *dst, const float *value, const float *gate, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(dst, i, n, _mm256_mul_ps(load(value, i, n), conure_sigmoid_avx2(load(gate, i, n))));
}

/* Of two operands max takes the second when one is NaN: NaN stays. */
static inline __m256 relu(__m256 x)
{
    return _mm256_max_ps(_mm256_setzero_ps(), x);
}

static void relu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(dst, i, n, relu(load(x, i, n)));
}

static void add_scaled_row(float *dst, const float *residual, const float *y, float alpha, size_t n)
{
    const __m256 factor = _mm256_set1_ps(alpha);
    for (size_t i = 0; i < n; i += 8)
        store(dst, i, n, _mm256_fmadd_ps(factor, load(y, i, n), load(residual, i, n)));
}

static void add_relu_row(float *dst, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(dst, i, n, relu(_mm256_add_ps(load(a, i, n), load(b, i, n))));
}

static inline __m256 activate(__m256 x, int activation)
{
    if (activation == CONURE_ACT_RELU)
        return relu(x);
    return activation == CONURE_ACT_SILU ? conure_silu_avx2(x) : x;
}

/* Four vectors of channels at a time hide the latency of the sums. */
static void depthwise_row(float *dst, const float *const *x, const float *weight, size_t ldw,
                          const float *bias, size_t n_taps, size_t n, int activation)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 y[4];
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            y[v] = _mm256_loadu_ps(bias + i + 8 * v);
        for (size_t t = 0; t < n_taps; t++) {
            if (!x[t])
                continue;
            const float *row = x[t] + i, *w = weight + t * ldw + i;
#pragma GCC unroll 4
            for (size_t v = 0; v < 4; v++)
                y[v] =
                    _mm256_fmadd_ps(_mm256_loadu_ps(w + 8 * v), _mm256_loadu_ps(row + 8 * v), y[v]);
        }
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; v++)
            _mm256_storeu_ps(dst + i + 8 * v, activate(y[v], activation));
    }
    for (; i < n; i += 8) {
        __m256 y = load(bias, i, n);
        for (size_t t = 0; t < n_taps; t++)
            if (x[t])
                y = _mm256_fmadd_ps(load(weight + t * ldw, i, n), load(x[t], i, n), y);
        store(dst, i, n, activate(y, activation));
    }
}

static void conv9_row(float *dst, const float *x9, const float *weight, const float *bias, size_t n)
{
    __m256 pixel[9];
#pragma GCC unroll 9
    for (size_t t = 0; t < 9; t++)
        pixel[t] = _mm256_set1_ps(x9[t]);
    for (size_t i = 0; i < n; i += 8) {
        __m256 y = load(bias, i, n);
#pragma GCC unroll 9
        for (size_t t = 0; t < 9; t++)
            y = _mm256_fmadd_ps(pixel[t], load(weight + t * n, i, n), y);
        store(dst, i, n, relu(y));
    }
}

/* Sums in float32 over 16 vectors, then on in double: a row may be an hour of keys. */
static float exp_row(float *x, float max, size_t n)
{
    const __m256 top = _mm256_set1_ps(max), zero = _mm256_setzero_ps();
    double total = 0.0;
    for (size_t from = 0; from < n; from += 128) {
        const size_t end = n - from < 128 ? n : from + 128;
        __m256 sum = zero;
        for (size_t i = from; i < end; i += 8) {
            const __m256 e = conure_exp_avx2(_mm256_sub_ps(load(x, i, end), top));
            store(x, i, end, e);
            sum = _mm256_add_ps(sum, keep(e, zero, i, end));
        }
        total += add_lanes(sum);
    }
    return (float)total;
}

/* max returns its second operand when the first is NaN, so NaN scores are passed over. */
static float max_row(const float *x, size_t n)
{
    const __m256 least = _mm256_set1_ps(-INFINITY);
    __m256 m0 = least, m1 = least;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        m0 = _mm256_max_ps(_mm256_loadu_ps(x + i), m0);
        m1 = _mm256_max_ps(_mm256_loadu_ps(x + i + 8), m1);
    }
    for (; i < n; i += 8)
        m0 = _mm256_max_ps(keep(load(x, i, n), least, i, n), m0);
    m0 = _mm256_max_ps(m0, m1);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(m0), _mm256_extractf128_ps(m0, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static void scale_row(float *x, float factor, size_t n)
{
    const __m256 by = _mm256_set1_ps(factor);
    for (size_t i = 0; i < n; i += 8)
        store(x, i, n, _mm256_mul_ps(by, load(x, i, n)));
}

static inline __m256 tanh8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign_bit = _mm256_set1_ps(-0.0f);
    const __m256 size = _mm256_andnot_ps(sign_bit, x), z = _mm256_mul_ps(x, x);
    const __m256 e = conure_exp_avx2(_mm256_add_ps(size, size));
    const __m256 large =
        _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), _mm256_add_ps(e, one)));
    __m256 p = _mm256_set1_ps(CONURE_TANH_P4);
    p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(CONURE_TANH_P3));
    p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(CONURE_TANH_P2));
    p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(CONURE_TANH_P1));
    p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(CONURE_TANH_P0));
    const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(p, z), x, x);
    const __m256 is_small = _mm256_cmp_ps(size, _mm256_set1_ps(CONURE_TANH_SMALL), _CMP_LT_OQ);
    return _mm256_blendv_ps(_mm256_or_ps(large, _mm256_and_ps(x, sign_bit)), small, is_small);
}

static void lstm_row(float *h, float *c, const float *gates, size_t hidden)
{
    for (size_t i = 0; i < hidden; i += 8) {
        const __m256 in = conure_sigmoid_avx2(load(gates, i, hidden));
        const __m256 forget = conure_sigmoid_avx2(load(gates + hidden, i, hidden));
        const __m256 cell = tanh8(load(gates + 2 * hidden, i, hidden));
        const __m256 out = conure_sigmoid_avx2(load(gates + 3 * hidden, i, hidden));
        const __m256 next = _mm256_fmadd_ps(forget, load(c, i, hidden), _mm256_mul_ps(in, cell));
        store(c, i, hidden, next);
        store(h, i, hidden, _mm256_mul_ps(out, tanh8(next)));
    }
}

/* 8 rows of 8 become 8 columns, in registers: pairs, then fours, then halves of a register. */
static inline void transpose8(__m256 r[8])
{
    __m256 t[8];
#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        r[i] = t[i];
}

static void pack_panel(float *dst, const float *x, size_t ldx, size_t n_rows, size_t k)
{
    for (size_t j = 0; j < k; j += 8)
        for (size_t side = 0; side < 16; side += 8) {
            const size_t n = k - j < 8 ? k - j : 8;
            __m256 r[8];
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                r[i] = side + i < n_rows ? load(x + (side + i) * ldx, j, k) : _mm256_setzero_ps();
            transpose8(r);
            for (size_t i = 0; i < n; i++)
                _mm256_storeu_ps(dst + (j + i) * 16 + side, r[i]);
        }
}

static void bf16_to_f32_row(float *dst, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint16_t eight[8] = {0};
        const uint16_t *from = x + i;
        if (n - i < 8)
            from = memcpy(eight, x + i, (n - i) * sizeof *x);
        const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)from);
        store(dst, i, n, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)));
    }
}

void conure_rows_avx2(conure_kernels *kernels)
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

/* gemm_c.c - the product kernels in plain C: the reference, and what runs where nothing better does.
 *
 * Panels are read in the order in which they lie: line by line, 16 outputs at a time. */
#include "backend/cpu/gemm.h"

#include <math.h>
#include <string.h>

#define COLUMNS 16

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void conure_gemm_f32_c(float *c, size_t ldc, const float *a, size_t lda, size_t m,
                       const float *panels, size_t n, size_t k, int accumulate)
{
    for (size_t first = 0; first < n; first += COLUMNS, panels += k * COLUMNS) {
        const size_t width = least(COLUMNS, n - first);
        for (size_t i = 0; i < m; i++) {
            float sum[COLUMNS] = {0};
            if (accumulate)
                memcpy(sum, c + i * ldc + first, width * sizeof *sum);
            for (size_t l = 0; l < k; l++)
                for (size_t j = 0; j < COLUMNS; j++)
                    sum[j] += a[i * lda + l] * panels[l * COLUMNS + j];
            memcpy(c + i * ldc + first, sum, width * sizeof *sum);
        }
    }
}

static float widen(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

void conure_gemm_bf16_c(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                        const uint16_t *panels, size_t n, size_t lines, int accumulate)
{
    for (size_t first = 0; first < n; first += COLUMNS, panels += lines * 2 * COLUMNS) {
        const size_t width = least(COLUMNS, n - first);
        for (size_t i = 0; i < m; i++) {
            float sum[COLUMNS] = {0};
            if (accumulate)
                memcpy(sum, c + i * ldc + first, width * sizeof *sum);
            for (size_t l = 0; l < lines; l++) {
                const float even = widen(a[i * lda + 2 * l]), odd = widen(a[i * lda + 2 * l + 1]);
                const uint16_t *line = panels + l * 2 * COLUMNS;
                for (size_t j = 0; j < COLUMNS; j++) {
                    sum[j] += even * widen(line[2 * j]);
                    sum[j] += odd * widen(line[2 * j + 1]);
                }
            }
            memcpy(c + i * ldc + first, sum, width * sizeof *sum);
        }
    }
}

void conure_gemm_int8_c(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                        const int8_t *panels, const int32_t *sums, size_t n, size_t lines)
{
    (void)sums;
    for (size_t first = 0; first < n; first += COLUMNS, panels += lines * 4 * COLUMNS) {
        const size_t width = least(COLUMNS, n - first);
        for (size_t i = 0; i < m; i++) {
            int32_t sum[COLUMNS] = {0};
            for (size_t l = 0; l < lines; l++)
                for (size_t j = 0; j < COLUMNS; j++)
                    for (size_t g = 0; g < 4; g++)
                        sum[j] +=
                            (a[i * lda + 4 * l + g] - 128) * panels[(l * COLUMNS + j) * 4 + g];
            memcpy(c + i * ldc + first, sum, width * sizeof *sum);
        }
    }
}

/* Rounding to nearest even, as the vector conversions do.  Values whose largest is below 1e-30 count
 * as zeros: 127 / max would leave the range of floats.  A NaN gives some number, its scale is NaN. */
float conure_quantize_row_c(uint8_t *q, const float *x, size_t k, size_t k_padded)
{
    float max = 0.0f, nan = 0.0f;
    for (size_t i = 0; i < k; i++) {
        const float size = fabsf(x[i]);
        if (size > max)
            max = size;
        nan += size - size; /* 0, or NaN where x is not finite */
    }
    memset(q, 128, k_padded);
    if (nan != 0.0f)
        return nan;
    if (max < 1e-30f)
        return 1.0f;
    const float factor = 127.0f / max;
    for (size_t i = 0; i < k; i++)
        q[i] = (uint8_t)(128 + (int)nearbyintf(x[i] * factor));
    return max / 127.0f;
}

void conure_f32_to_bf16_row_c(uint16_t *dst, const float *x, size_t k, size_t k_padded)
{
    for (size_t i = 0; i < k; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const int is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
        dst[i] = (uint16_t)(is_nan ? (bits >> 16) | 0x40u
                                   : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
    memset(dst + k, 0, (k_padded - k) * sizeof *dst);
}

/* y before the activation.  Product and sum are rounded apart in every variant of finish, so int8
 * results are the same numbers whatever the instruction set, up to the exp of an activation. */
static float before(const void *sums, size_t at, float row_scale, const float *scales,
                    const float *bias, size_t j)
{
    if (scales)
        return (float)((const int32_t *)sums)[at] * (row_scale * scales[j]) + bias[j];
    return ((const float *)sums)[at] + bias[j];
}

void conure_finish_c(const conure_finish *f)
{
    for (size_t i = 0; i < f->m; i++) {
        const float row_scale = f->row_scales ? f->row_scales[i] : 1.0f;
        const float *scales = f->row_scales ? f->scales : NULL;
        const float *gate_scales = f->row_scales ? f->gate_scales : NULL;
        float *dst = f->dst + i * f->ldd;
        for (size_t j = 0; j < f->n; j++) {
            float y = before(f->sums, i * f->lds + j, row_scale, scales, f->bias, j);
            if (f->kind == CONURE_FINISH_RELU)
                y = y < 0.0f ? 0.0f : y;
            else if (f->kind == CONURE_FINISH_SILU)
                y = y / (1.0f + expf(-y));
            else if (f->kind == CONURE_FINISH_ADD)
                y = (f->residual ? f->residual[i * f->ldr + j] : 0.0f) + f->alpha * y;
            else if (f->kind == CONURE_FINISH_GLU)
                y *= 1.0f / (1.0f + expf(-before(f->gate, i * f->lds + j, row_scale, gate_scales,
                                                 f->gate_bias, j)));
            dst[j] = y;
        }
    }
}

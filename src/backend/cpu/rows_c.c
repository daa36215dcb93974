/* rows_c.c - the row kernels in plain C: the reference, and what runs where there is no AVX2. */
#include "backend/cpu/rows.h"

#include <math.h>
#include <string.h>

/* Sums in double: the mean first, then the centred squares, so a large offset costs no digits. */
static void layer_norm_row(float *dst, const float *x, const float *gamma, const float *beta,
                           size_t n)
{
    double sum = 0.0, squares = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    const double factor = 1.0 / sqrt(squares / (double)n + CONURE_LAYER_NORM_EPSILON);
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)((x[i] - mean) * factor) * gamma[i] + beta[i];
}

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float silu(float x)
{
    return x / (1.0f + expf(-x));
}

/* A NaN stays one, so that it is noticed at the end and not lost on the way. */
static float relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

static void silu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = silu(x[i]);
}

static void glu_row(float *dst, const float *value, const float *gate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = value[i] * sigmoid(gate[i]);
}

static void relu_row(float *dst, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = relu(x[i]);
}

static void add_scaled_row(float *dst, const float *residual, const float *y, float alpha, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = residual[i] + alpha * y[i];
}

static void add_relu_row(float *dst, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = relu(a[i] + b[i]);
}

static void depthwise_row(float *dst, const float *const *x, const float *weight, size_t ldw,
                          const float *bias, size_t n_taps, size_t n, int activation)
{
    memcpy(dst, bias, n * sizeof *dst);
    for (size_t t = 0; t < n_taps; t++) {
        const float *row = x[t], *w = weight + t * ldw;
        if (!row)
            continue;
        for (size_t i = 0; i < n; i++)
            dst[i] += w[i] * row[i];
    }
    if (activation == CONURE_ACT_RELU)
        relu_row(dst, dst, n);
    else if (activation == CONURE_ACT_SILU)
        silu_row(dst, dst, n);
}

static void conv9_row(float *dst, const float *x9, const float *weight, const float *bias, size_t n)
{
    memcpy(dst, bias, n * sizeof *dst);
    for (size_t t = 0; t < 9; t++)
        for (size_t i = 0; i < n; i++)
            dst[i] += x9[t] * weight[t * n + i];
    relu_row(dst, dst, n);
}

static float exp_row(float *x, float max, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    return (float)sum;
}

static float max_row(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

static void scale_row(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

static void lstm_row(float *h, float *c, const float *gates, size_t hidden)
{
    const float *in = gates, *forget = gates + hidden, *cell = gates + 2 * hidden,
                *out = gates + 3 * hidden;
    for (size_t i = 0; i < hidden; i++) {
        c[i] = sigmoid(forget[i]) * c[i] + sigmoid(in[i]) * tanhf(cell[i]);
        h[i] = sigmoid(out[i]) * tanhf(c[i]);
    }
}

static void pack_panel(float *dst, const float *x, size_t ldx, size_t n_rows, size_t k)
{
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < 16; i++)
            dst[j * 16 + i] = i < n_rows ? x[i * ldx + j] : 0.0f;
}

static void bf16_to_f32_row(float *dst, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(dst + i, &bits, sizeof bits);
    }
}

void conure_rows_c(conure_kernels *kernels)
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

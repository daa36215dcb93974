/* weights.c - the elements of a constant, as the file holds them. */
#include "onnx/internal.h"

#include "base/memory.h"
#include "model/halves.h"
#include "model/panels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32 };

/* src [n][k] -> dst [k][n], in squares that stay in the cache. */
static void transpose(float *dst, const float *src, size_t n, size_t k, bool deinterleave)
{
    for (size_t i0 = 0; i0 < n; i0 += BLOCK)
        for (size_t j0 = 0; j0 < k; j0 += BLOCK)
            for (size_t j = j0; j < j0 + BLOCK && j < k; j++) {
                float *row = dst + (deinterleave ? j % 2 * (k / 2) + j / 2 : j) * n;
                for (size_t i = i0; i < i0 + BLOCK && i < n; i++)
                    row[i] = src[i * k + j];
            }
}

static void turn(float *dst, const float *src, size_t n, size_t k, size_t heads, conure_turn_kind kind)
{
    static const size_t gates[4] = {0, 3, 1, 2}; /* of i f g o: i, o, f, g */
    switch (kind) {
    case CONURE_TURN_NONE:
        memcpy(dst, src, n * k * sizeof *src);
        break;
    case CONURE_TURN_TRANSPOSE:
    case CONURE_TURN_DEINTERLEAVE:
        transpose(dst, src, n, k, kind == CONURE_TURN_DEINTERLEAVE);
        break;
    case CONURE_TURN_GATES:
        for (size_t i = 0; i < 4; i++)
            memcpy(dst + i * (n / 4) * k, src + gates[i] * (n / 4) * k, n / 4 * k * sizeof *src);
        break;
    case CONURE_TURN_HEADS:
        for (size_t i = 0; i < heads; i++)
            transpose(dst + i * (n / heads) * k, src + i * (n / heads) * k, n / heads, k, false);
        break;
    case CONURE_TURN_TAPS:
        for (size_t i = 0; i < n; i++)
            for (size_t tap = 0; tap < 9; tap++)
                dst[i * 9 + tap % 3 * 3 + tap / 3] = src[i * 9 + tap];
        break;
    }
}

/* e(r) [d]: sin(r w_a), cos(r w_a) in turn, with the float angles of the table that the model was trained with. */
static void wave(float *e, int64_t r, uint32_t d)
{
    for (uint32_t a = 0; a < d / 2; a++) {
        const float exponent = (float)(2 * a) * (float)(-log(10000.0) / d), w = (float)exp((double)exponent);
        const float angle = (float)r * w;
        e[2 * a] = (float)sin((double)angle);
        e[2 * a + 1] = (float)cos((double)angle);
    }
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += (double)a[i + j] * (double)b[i + j];
    for (; i < n; i++)
        sum[0] += (double)a[i] * (double)b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* dst [d][n]: column p is Wpos e(first - p). */
static void positions(float *dst, float *waves, const float *weight, uint32_t d, int64_t first, size_t n)
{
    for (size_t p = 0; p < n; p++)
        wave(waves + p * d, first - (int64_t)p, d);
    for (size_t i = 0; i < d; i++)
        for (size_t p = 0; p < n; p++)
            dst[i * n + p] = (float)dot(weight + i * d, waves + p * d, d);
}

float conure_int8_scale(const float *row, size_t k)
{
    float most = 0;
    for (size_t j = 0; j < k; j++)
        most = fabsf(row[j]) > most ? fabsf(row[j]) : most;
    return most / 127 > 0 ? most / 127 : 1;
}

/* Whole numbers, still as floats. */
static void quantise(float *rows, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++) {
        const float scale = conure_int8_scale(rows + i * k, k);
        for (size_t j = 0; j < k; j++)
            rows[i * k + j] = nearbyintf(rows[i * k + j] / scale);
    }
}

/* In place: room for float32 is room for what is narrower. */
static conure_status to_type(const conure_initializer *it, float *data, size_t n, conure_error *err)
{
    uint16_t *halves = (uint16_t *)(void *)data;
    int8_t *bytes = (int8_t *)(void *)data;
    if (it->type == CONURE_ONNX_FLOAT)
        return CONURE_OK;
    for (size_t i = 0; i < n; i++) {
        if (it->type == CONURE_ONNX_INT8) {
            bytes[i] = (int8_t)data[i];
            continue;
        }
        const float value = data[i];
        halves[i] = it->type == CONURE_ONNX_FLOAT16 ? narrow_f16(value) : narrow_bf16(value);
        if (it->type == CONURE_ONNX_FLOAT16 && (halves[i] & 0x7fff) >= 0x7c00)
            return conure_fail(err, CONURE_UNSUPPORTED, "%s: holds numbers beyond the range of f16: export as bf16 or f32", it->name);
    }
    return CONURE_OK;
}

static conure_status read_positions(const conure_graph *g, const conure_initializer *it, float **out, conure_error *err)
{
    const uint32_t d = g->model->config.d_model;
    const size_t n = (size_t)it->dims[2];
    float *weight = conure_calloc((size_t)d * d, sizeof *weight), *waves = conure_calloc(n * d, sizeof *waves);
    float *made = conure_calloc(n * d, sizeof *made);
    if (!weight || !waves || !made) {
        free(made);
        made = NULL;
    } else {
        conure_tensor_rows_f32(it->tensor, weight, 0, d);
        positions(made, waves, weight, d, it->first, n);
    }
    free(weight);
    free(waves);
    *out = made;
    return made ? CONURE_OK : conure_fail_memory(err, it->name, n * d * sizeof *made);
}

static conure_status read_tensor(const conure_graph *g, const conure_initializer *it, float **out, conure_error *err)
{
    const size_t n = conure_tensor_n(it->tensor), k = conure_tensor_k(it->tensor);
    float *rows = conure_calloc(n * k, sizeof *rows), *made = conure_calloc(n * k, sizeof *made);
    if (!rows || !made) {
        free(made);
        made = NULL;
    } else {
        conure_tensor_rows_f32(it->tensor, rows, 0, n);
        for (size_t i = 0; i < n * k && it->scale != 1; i++)
            rows[i] = (float)(rows[i] * it->scale);
        if (it->type == CONURE_ONNX_INT8)
            quantise(rows, n, k);
        turn(made, rows, n, k, g->model->config.n_heads, it->turn);
    }
    free(rows);
    *out = made;
    conure_model_forget(g->model, it->tensor); /* or a checkpoint would stay in memory as it is read */
    return made ? CONURE_OK : conure_fail_memory(err, it->name, n * k * sizeof *made);
}

conure_status conure_initializer_read(const conure_graph *g, const conure_initializer *it, void **out, conure_error *err)
{
    float *made = NULL;
    *out = NULL;
    if (it->kind == CONURE_SOURCE_BYTES) {
        void *copy = conure_calloc(it->bytes + 1, 1);
        if (!copy)
            return conure_fail_memory(err, it->name, it->bytes);
        *out = memcpy(copy, it->data, it->bytes);
        return CONURE_OK;
    }
    conure_status status = it->kind == CONURE_SOURCE_TENSOR ? read_tensor(g, it, &made, err) : read_positions(g, it, &made, err);
    if (status == CONURE_OK)
        status = to_type(it, made, it->bytes / conure_onnx_type_bytes(it->type), err);
    if (status == CONURE_OK)
        *out = made;
    else
        free(made);
    return status;
}

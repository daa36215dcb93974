/* panels.c - the panel layout, written once for elements of 1, 2 and 4 bytes.
 *
 * A panel is 16 rows transposed in groups of g = 4 / element bytes columns: whatever the type, one line
 * is 16 words of 4 bytes, word j from row j.  So packing is a transposition of words, plus a tail line
 * when k is not a multiple of g. */
#include "model/panels.h"

#include "base/memory.h"
#include "model/halves.h"

#include <assert.h>
#include <string.h>

#define COLUMNS    CONURE_PANEL_COLUMNS
#define LINE_BYTES 64

static size_t group_of(conure_dtype dtype)
{
    const size_t elem_bytes = conure_dtype_bytes(dtype);
    return elem_bytes && elem_bytes <= 4 ? 4 / elem_bytes : 0;
}

size_t conure_panel_lines(conure_dtype dtype, size_t k)
{
    const size_t g = group_of(dtype);
    return g ? k / g + (k % g != 0) : 0;
}

size_t conure_panel_bytes(conure_dtype dtype, size_t n, size_t k)
{
    size_t lines, bytes;
    if (!conure_mul(n / COLUMNS + (n % COLUMNS != 0), conure_panel_lines(dtype, k), &lines) ||
        !conure_mul(lines, LINE_BYTES, &bytes))
        return 0;
    return bytes;
}

/* One panel of at most 16 rows of row_bytes each. */
static void pack_panel(uint8_t *dst, const uint8_t *rows, size_t n, size_t row_bytes)
{
    const size_t words = row_bytes / 4, rest = row_bytes % 4;
    if (n < COLUMNS)
        memset(dst, 0, (words + (rest != 0)) * LINE_BYTES);
    else if (rest)
        memset(dst + words * LINE_BYTES, 0, LINE_BYTES);
    for (size_t j = 0; j < n; j++)
        __builtin_prefetch(rows + j * row_bytes);
    for (size_t l = 0; l < words; l++)
        for (size_t j = 0; j < n; j++)
            memcpy(dst + l * LINE_BYTES + 4 * j, rows + j * row_bytes + 4 * l, 4);
    for (size_t j = 0; rest && j < n; j++)
        memcpy(dst + words * LINE_BYTES + 4 * j, rows + j * row_bytes + 4 * words, rest);
}

static void unpack_panel(uint8_t *rows, const uint8_t *panel, size_t n, size_t row_bytes)
{
    const size_t words = row_bytes / 4, rest = row_bytes % 4;
    for (size_t l = 0; l < words; l++)
        for (size_t j = 0; j < n; j++)
            memcpy(rows + j * row_bytes + 4 * l, panel + l * LINE_BYTES + 4 * j, 4);
    for (size_t j = 0; rest && j < n; j++)
        memcpy(rows + j * row_bytes + 4 * words, panel + words * LINE_BYTES + 4 * j, rest);
}

void conure_panels_pack_bits(conure_dtype dtype, void *dst, const void *rows, size_t n, size_t k)
{
    const size_t row_bytes = k * conure_dtype_bytes(dtype);
    const size_t panel_bytes = conure_panel_lines(dtype, k) * LINE_BYTES;
    uint8_t *to = dst;
    const uint8_t *from = rows;
    for (size_t i = 0; i < n; i += COLUMNS, to += panel_bytes, from += COLUMNS * row_bytes)
        pack_panel(to, from, n - i < COLUMNS ? n - i : COLUMNS, row_bytes);
}

void conure_panels_unpack_bits(conure_dtype dtype, void *dst, const void *panels, size_t n,
                               size_t k)
{
    const size_t row_bytes = k * conure_dtype_bytes(dtype);
    const size_t panel_bytes = conure_panel_lines(dtype, k) * LINE_BYTES;
    uint8_t *to = dst;
    const uint8_t *from = panels;
    for (size_t i = 0; i < n; i += COLUMNS, from += panel_bytes, to += COLUMNS * row_bytes)
        unpack_panel(to, from, n - i < COLUMNS ? n - i : COLUMNS, row_bytes);
}

/* Sixteen rows to halves, line by line: pairs of columns narrow into one word. */
static void pack_halves(conure_dtype dtype, uint16_t *dst, const float *rows, size_t n, size_t k)
{
    const size_t lines = conure_panel_lines(dtype, k);
    memset(dst, 0, lines * LINE_BYTES);
    for (size_t j = 0; j < n; j++) {
        const float *row = rows + j * k;
        for (size_t i = 0; i < k; i++)
            dst[(i / 2 * COLUMNS + j) * 2 + i % 2] =
                dtype == CONURE_F16 ? narrow_f16(row[i]) : narrow_bf16(row[i]);
    }
}

void conure_panels_pack(conure_dtype dtype, void *dst, const float *rows, size_t n, size_t k)
{
    if (dtype == CONURE_F32) {
        conure_panels_pack_bits(dtype, dst, rows, n, k);
        return;
    }
    assert(dtype == CONURE_F16 || dtype == CONURE_BF16);
    const size_t panel_bytes = conure_panel_lines(dtype, k) * LINE_BYTES;
    uint8_t *to = dst;
    for (size_t i = 0; i < n; i += COLUMNS, to += panel_bytes)
        pack_halves(dtype, (uint16_t *)(void *)to, rows + i * k, n - i < COLUMNS ? n - i : COLUMNS,
                    k);
}

static float max_magnitude(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) {
        const float magnitude = float_of_bits(bits_of_float(x[i]) & 0x7fffffffu);
        max = magnitude > max ? magnitude : max;
    }
    return max;
}

/* x / scale rounded to nearest even: adding 1.5 * 2^23 leaves the integer in the low bits. */
static int32_t round_quotient(float x, float scale)
{
    const float quotient = x / scale;
    const float clamped = quotient > 127.0f ? 127.0f : quotient < -127.0f ? -127.0f : quotient;
    return (int32_t)((bits_of_float(clamped + 12582912.0f) & 0x7fffffu) - 0x400000u);
}

void conure_panels_quantise(int8_t *dst, float *scales, int32_t *sums, const float *rows, size_t n,
                            size_t k)
{
    const size_t lines = conure_panel_lines(CONURE_I8, k);
    memset(dst, 0, conure_panel_bytes(CONURE_I8, n, k));
    for (size_t j = 0; j < n; j++) {
        const float *row = rows + j * k;
        int8_t *column = dst + j / COLUMNS * lines * LINE_BYTES + j % COLUMNS * 4;
        const float scale = max_magnitude(row, k) / 127.0f;
        int32_t sum = 0;
        /* A subnormal scale would make every quotient coarse. */
        scales[j] = scale >= 0x1p-126f ? scale : 1.0f;
        for (size_t i = 0; i < k; i++) {
            const int32_t q = round_quotient(row[i], scales[j]);
            column[i / 4 * LINE_BYTES + i % 4] = (int8_t)q;
            sum += q;
        }
        sums[j] = sum;
    }
}

void conure_panels_unpack(conure_dtype dtype, float *dst, const void *panels, const float *scales,
                          size_t n, size_t k)
{
    const size_t g = group_of(dtype), lines = conure_panel_lines(dtype, k);
    if (dtype == CONURE_F32) {
        conure_panels_unpack_bits(dtype, dst, panels, n, k);
        return;
    }
    for (size_t j = 0; j < n; j++) {
        const size_t first = (j / COLUMNS * lines * COLUMNS + j % COLUMNS) * g;
        const uint16_t *halves = (const uint16_t *)panels + first;
        const int8_t *bytes = (const int8_t *)panels + first;
        float *row = dst + j * k;
        for (size_t i = 0; i < k; i++) {
            const size_t at = i / g * COLUMNS * g + i % g;
            row[i] = dtype == CONURE_I8    ? scales[j] * (float)bytes[at]
                     : dtype == CONURE_F16 ? widen_f16(halves[at])
                                           : widen_bf16(halves[at]);
        }
    }
}

static void int8_from_tensor(int8_t *dst, float *scales, int32_t *sums, const conure_tensor *tensor,
                             size_t row, size_t n, size_t k)
{
    if (tensor->layout == CONURE_PANELS)
        memcpy(dst, (const int8_t *)tensor->data + conure_panel_bytes(CONURE_I8, row, k),
               conure_panel_bytes(CONURE_I8, n, k));
    else
        conure_panels_pack_bits(CONURE_I8, dst, (const int8_t *)tensor->data + row * k, n, k);
    memcpy(scales, tensor->scales + row, n * sizeof *scales);
    memcpy(sums, tensor->sums + row, n * sizeof *sums);
}

void conure_panels_from_tensor(conure_dtype dtype, void *dst, float *scales, int32_t *sums,
                               const conure_tensor *tensor, size_t first, size_t count,
                               float *scratch)
{
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t elem_bytes = conure_dtype_bytes(dtype);
    uint8_t *to = dst;
    for (size_t p = first; p < first + count && p * COLUMNS < n; p++) {
        const size_t row = p * COLUMNS, rows = n - row < COLUMNS ? n - row : COLUMNS;
        const size_t panel_bytes = conure_panel_lines(dtype, k) * LINE_BYTES;
        const size_t done = row - first * COLUMNS;
        if (dtype == CONURE_I8 && tensor->dtype == CONURE_I8) {
            int8_from_tensor((int8_t *)to, scales + done, sums + done, tensor, row, rows, k);
        } else if (tensor->dtype == dtype && tensor->layout == CONURE_PANELS) {
            memcpy(to, (const uint8_t *)tensor->data + p * panel_bytes, panel_bytes);
        } else if (tensor->dtype == dtype) {
            conure_panels_pack_bits(dtype, to, (const uint8_t *)tensor->data + row * k * elem_bytes,
                                    rows, k);
        } else {
            conure_tensor_rows_f32(tensor, scratch, row, rows);
            if (dtype == CONURE_I8)
                conure_panels_quantise((int8_t *)to, scales + done, sums + done, scratch, rows, k);
            else
                conure_panels_pack(dtype, to, scratch, rows, k);
        }
        to += panel_bytes;
    }
}

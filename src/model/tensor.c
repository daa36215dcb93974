/* tensor.c - element types, and reading a tensor's elements as float32 whatever its storage. */
#include "model/halves.h"
#include "model/model.h"
#include "model/panels.h"

#include <string.h>

size_t conure_dtype_bytes(conure_dtype dtype)
{
    switch (dtype) {
    case CONURE_I8:
        return 1;
    case CONURE_F16:
    case CONURE_BF16:
        return 2;
    case CONURE_F32:
    case CONURE_I32:
        return 4;
    case CONURE_I64:
    case CONURE_F64:
        return 8;
    }
    return 0;
}

const char *conure_dtype_name(conure_dtype dtype)
{
    switch (dtype) {
    case CONURE_F32:
        return "f32";
    case CONURE_F16:
        return "f16";
    case CONURE_BF16:
        return "bf16";
    case CONURE_I8:
        return "int8";
    case CONURE_I32:
        return "int32";
    case CONURE_I64:
        return "int64";
    case CONURE_F64:
        return "f64";
    }
    return "unknown";
}

float conure_f16_to_f32(uint16_t bits)
{
    return widen_f16(bits);
}

float conure_bf16_to_f32(uint16_t bits)
{
    return widen_bf16(bits);
}

uint16_t conure_f32_to_f16(float value)
{
    return narrow_f16(value);
}

uint16_t conure_f32_to_bf16(float value)
{
    return narrow_bf16(value);
}

size_t conure_tensor_n(const conure_tensor *tensor)
{
    return tensor->rank ? (size_t)tensor->shape[0] : 1;
}

size_t conure_tensor_k(const conure_tensor *tensor)
{
    size_t k = 1;
    for (uint32_t i = 1; i < tensor->rank; i++)
        k *= (size_t)tensor->shape[i];
    return k;
}

/* count elements from the first-th on, in row order. */
static void widen(const conure_tensor *tensor, float *dst, size_t first, size_t count)
{
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case CONURE_F32:
        if (count)
            memcpy(dst, (const float *)data + first, count * sizeof *dst);
        break;
    case CONURE_F16:
        for (size_t i = 0; i < count; i++)
            dst[i] = widen_f16(((const uint16_t *)data)[first + i]);
        break;
    case CONURE_BF16:
        for (size_t i = 0; i < count; i++)
            dst[i] = widen_bf16(((const uint16_t *)data)[first + i]);
        break;
    case CONURE_I8:
        for (size_t i = 0; i < count; i++)
            dst[i] = (float)((const int8_t *)data)[first + i];
        break;
    case CONURE_I32:
        for (size_t i = 0; i < count; i++)
            dst[i] = (float)((const int32_t *)data)[first + i];
        break;
    case CONURE_I64:
        for (size_t i = 0; i < count; i++)
            dst[i] = (float)((const int64_t *)data)[first + i];
        break;
    case CONURE_F64:
        for (size_t i = 0; i < count; i++)
            dst[i] = (float)((const double *)data)[first + i];
        break;
    }
}

/* Rows that begin inside a panel (row is not a multiple of 16): one element at a time. */
static void rows_within_panel(const conure_tensor *tensor, float *dst, size_t row, size_t count,
                              size_t k)
{
    const size_t elem_bytes = conure_dtype_bytes(tensor->dtype), g = 4 / elem_bytes;
    const uint8_t *panel = (const uint8_t *)tensor->data +
                           conure_panel_bytes(tensor->dtype, row - row % CONURE_PANEL_COLUMNS, k);
    for (size_t j = row % CONURE_PANEL_COLUMNS; count--; j++, row++)
        for (size_t i = 0; i < k; i++) {
            conure_tensor one = {.dtype = tensor->dtype};
            one.data = panel + i / g * 64 + j * 4 + i % g * elem_bytes;
            widen(&one, dst, 0, 1);
            if (tensor->scales)
                *dst *= tensor->scales[row];
            dst++;
        }
}

void conure_tensor_rows_f32(const conure_tensor *tensor, float *dst, size_t first, size_t count)
{
    const size_t k = conure_tensor_k(tensor);
    if (tensor->layout == CONURE_ROWS) {
        widen(tensor, dst, first * k, count * k);
        for (size_t j = 0; tensor->scales && j < count; j++)
            for (size_t i = 0; i < k; i++)
                dst[j * k + i] *= tensor->scales[first + j];
        return;
    }
    const size_t inside = first % CONURE_PANEL_COLUMNS;
    if (inside) {
        const size_t left = CONURE_PANEL_COLUMNS - inside, head = left < count ? left : count;
        rows_within_panel(tensor, dst, first, head, k);
        dst += head * k;
        first += head;
        count -= head;
    }
    if (count)
        conure_panels_unpack(tensor->dtype, dst,
                             (const uint8_t *)tensor->data +
                                 conure_panel_bytes(tensor->dtype, first, k),
                             tensor->scales ? tensor->scales + first : NULL, count, k);
}

conure_status conure_tensor_read_f32(const conure_tensor *tensor, float *dst, uint64_t n,
                                     conure_error *err)
{
    const uint64_t have = (uint64_t)conure_tensor_n(tensor) * conure_tensor_k(tensor);
    if (n != have)
        return conure_fail(err, CONURE_BAD_ARG, "%s: holds %llu elements, asked for %llu",
                           tensor->name, (unsigned long long)have, (unsigned long long)n);
    conure_tensor_rows_f32(tensor, dst, 0, conure_tensor_n(tensor));
    return CONURE_OK;
}

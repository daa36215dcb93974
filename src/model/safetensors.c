/* safetensors.c - reading the container's header, without trust. */
#include "model/safetensors.h"

#include "base/memory.h"
#include "model/json.h"
#include "model/load.h"

#include <string.h>

#define HEADER_BYTES_MAX (64u << 20)

static const struct {
    const char *name;
    conure_dtype dtype;
} dtypes[] = {
    {"F32", CONURE_F32}, {"F16", CONURE_F16}, {"BF16", CONURE_BF16}, {"I8", CONURE_I8},
    {"I32", CONURE_I32}, {"I64", CONURE_I64}, {"F64", CONURE_F64},
};
#define N_DTYPES (sizeof dtypes / sizeof *dtypes)

const char *conure_safetensors_dtype(conure_dtype dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return NULL;
}

static uint64_t header_bytes(const conure_map *map)
{
    uint64_t bytes = 0;
    for (int i = 0; i < 8; i++)
        bytes |= (uint64_t)map->data[i] << (8 * i);
    return bytes;
}

bool conure_safetensors_recognises(const conure_map *map)
{
    /* A plausible size and the brace that must follow it. */
    return map->bytes > 8 && map->data[8] == '{' && header_bytes(map) < (UINT64_C(1) << 40);
}

conure_status conure_safetensors_open(conure_safetensors *st, const conure_map *map,
                                      const char *where, conure_error *err)
{
    memset(st, 0, sizeof *st);
    st->where = where;
    if (!conure_safetensors_recognises(map))
        return conure_fail(err, CONURE_BAD_FILE, "%s: not a safetensors file", where);
    const uint64_t bytes = header_bytes(map);
    if (!conure_span_inside(8, bytes, map->bytes))
        return conure_fail(
            err, CONURE_BAD_FILE,
            "%s: the header should have %llu bytes, but the file has %llu: truncated?", where,
            (unsigned long long)bytes, (unsigned long long)map->bytes);
    if (bytes > HEADER_BYTES_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: header of %llu bytes, supported: up to %u",
                           where, (unsigned long long)bytes, HEADER_BYTES_MAX);
    const conure_status status =
        conure_json_object(&st->header, (const char *)map->data + 8, (size_t)bytes, where, err);
    if (status != CONURE_OK)
        return status;
    st->data = map->data + 8 + bytes;
    st->data_bytes = map->bytes - 8 - bytes;
    if (json_object_size(st->header) <= CONURE_TENSORS_MAX)
        return CONURE_OK;
    const size_t n = json_object_size(st->header);
    conure_safetensors_close(st);
    return conure_fail(err, CONURE_UNSUPPORTED, "%s: %zu tensors, supported: up to %d", where, n,
                       CONURE_TENSORS_MAX);
}

void conure_safetensors_close(conure_safetensors *st)
{
    json_decref(st->header);
    memset(st, 0, sizeof *st);
}

bool conure_safetensors_is_metadata(const char *key)
{
    return strcmp(key, "__metadata__") == 0;
}

const char *conure_safetensors_metadata(const conure_safetensors *st, const char *key)
{
    return json_string_value(json_object_get(json_object_get(st->header, "__metadata__"), key));
}

static conure_status read_dtype(const conure_safetensors *st, const char *name, const json_t *entry,
                                conure_tensor *tensor, conure_error *err)
{
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text)
        return conure_fail(err, CONURE_BAD_FILE, "%s: %.128s: dtype is missing", st->where, name);
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            tensor->dtype = dtypes[i].dtype;
            return CONURE_OK;
        }
    return conure_fail(err, CONURE_UNSUPPORTED,
                       "%s: %.128s: dtype %.16s, supported: F32, F16, BF16, I8, I32, I64, F64",
                       st->where, name, text);
}

/* The shape, and the bytes it takes. */
static conure_status read_shape(const conure_safetensors *st, const char *name, const json_t *entry,
                                conure_tensor *tensor, conure_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    size_t bytes = conure_dtype_bytes(tensor->dtype);
    if (!json_is_array(shape))
        return conure_fail(err, CONURE_BAD_FILE, "%s: %.128s: shape is missing", st->where, name);
    if (json_array_size(shape) > CONURE_RANK_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "%s: %.128s: %zu dimensions, supported: up to %d", st->where, name,
                           json_array_size(shape), CONURE_RANK_MAX);
    tensor->rank = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0 ||
            !conure_mul(bytes, (size_t)json_integer_value(dim), &bytes))
            return conure_fail(err, CONURE_BAD_FILE, "%s: %.128s: shape[%u] is not a size",
                               st->where, name, i);
        tensor->shape[i] = (uint64_t)json_integer_value(dim);
    }
    tensor->bytes = bytes;
    return CONURE_OK;
}

conure_status conure_safetensors_entry(const conure_safetensors *st, const char *name,
                                       const json_t *entry, conure_tensor *tensor,
                                       conure_error *err)
{
    memset(tensor, 0, sizeof *tensor);
    tensor->name = name;
    if (!json_is_object(entry))
        return conure_fail(err, CONURE_BAD_FILE, "%s: %.128s: entry is not an object", st->where,
                           name);
    conure_status status = read_dtype(st, name, entry, tensor, err);
    if (status == CONURE_OK)
        status = read_shape(st, name, entry, tensor, err);
    if (status != CONURE_OK)
        return status;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) ||
        json_integer_value(from) < 0 || json_integer_value(to) < json_integer_value(from))
        return conure_fail(err, CONURE_BAD_FILE,
                           "%s: %.128s: data_offsets is not a pair of offsets", st->where, name);
    const uint64_t start = (uint64_t)json_integer_value(from);
    const uint64_t bytes = (uint64_t)json_integer_value(to) - start;
    if (bytes != tensor->bytes)
        return conure_fail(
            err, CONURE_BAD_FILE, "%s: %.128s: data_offsets give %llu bytes, the shape needs %llu",
            st->where, name, (unsigned long long)bytes, (unsigned long long)tensor->bytes);
    if (!conure_span_inside(start, bytes, st->data_bytes))
        return conure_fail(err, CONURE_BAD_FILE,
                           "%s: %.128s: bytes %llu .. %llu lie beyond the %llu bytes of data: "
                           "truncated?",
                           st->where, name, (unsigned long long)start,
                           (unsigned long long)(start + bytes), (unsigned long long)st->data_bytes);
    tensor->data = st->data + start;
    return CONURE_OK;
}

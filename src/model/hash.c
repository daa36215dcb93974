/* hash.c - the hash of a model's numbers, in memory that does not grow with the model. */
#include "model/hash.h"

#include "base/memory.h"
#include "model/panels.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read in place");

#define SLICE_BYTES (1u << 20)

conure_status conure_hash_begin(conure_sha256 *sha, const conure_config *config, conure_error *err)
{
    char *json;
    const conure_status status = conure_config_dump(config, &json, err);
    if (status != CONURE_OK)
        return status;
    conure_sha256_init(sha);
    conure_sha256_add(sha, json, strlen(json) + 1);
    free(json);
    return CONURE_OK;
}

void conure_hash_tensor(conure_sha256 *sha, const conure_tensor *tensor, conure_dtype dtype)
{
    const char *type = conure_dtype_name(dtype);
    const uint64_t rank = tensor->rank;
    conure_sha256_add(sha, tensor->name, strlen(tensor->name) + 1);
    conure_sha256_add(sha, type, strlen(type) + 1);
    conure_sha256_add(sha, &rank, sizeof rank);
    conure_sha256_add(sha, tensor->shape, rank * sizeof *tensor->shape);
}

conure_status conure_slices_alloc(conure_slices *slices, const conure_plan_entry *entries,
                                  uint32_t n, conure_error *err)
{
    size_t k_max = 1;
    memset(slices, 0, sizeof *slices);
    for (uint32_t i = 0; i < n; i++) {
        const size_t k = conure_tensor_k(entries[i].tensor);
        k_max = k > k_max ? k : k_max;
    }
    /* A slice is sixteen rows of the widest tensor, or about a megabyte. */
    size_t bytes = conure_panel_bytes(CONURE_F32, CONURE_PANEL_COLUMNS, k_max);
    bytes = bytes < SLICE_BYTES ? SLICE_BYTES : bytes;
    slices->bytes = bytes;
    slices->scratch = conure_alloc_aligned(bytes);
    slices->rows = conure_alloc_aligned(bytes);
    slices->block = conure_alloc_aligned(bytes);
    if (slices->scratch && slices->rows && slices->block)
        return CONURE_OK;
    conure_slices_free(slices);
    return conure_fail_memory(err, "slices of tensors", 3 * bytes);
}

void conure_slices_free(conure_slices *slices)
{
    free(slices->scratch);
    free(slices->rows);
    free(slices->block);
    memset(slices, 0, sizeof *slices);
}

size_t conure_slices_panels(const conure_slices *slices, const conure_tensor *tensor)
{
    return slices->bytes /
           conure_panel_bytes(CONURE_F32, CONURE_PANEL_COLUMNS, conure_tensor_k(tensor));
}

/* A matrix in its own type. */
static void hash_matrix(conure_sha256 *sha, const conure_slices *slices,
                        const conure_tensor *tensor)
{
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t elem_bytes = conure_dtype_bytes(tensor->dtype);
    const size_t step = conure_slices_panels(slices, tensor) * CONURE_PANEL_COLUMNS;
    conure_hash_tensor(sha, tensor, tensor->dtype);
    if (tensor->layout == CONURE_ROWS)
        conure_sha256_add(sha, tensor->data, n * k * elem_bytes);
    for (size_t row = 0; tensor->layout == CONURE_PANELS && row < n; row += step) {
        const size_t rows = n - row < step ? n - row : step;
        conure_panels_unpack_bits(
            tensor->dtype, slices->rows,
            (const uint8_t *)tensor->data + conure_panel_bytes(tensor->dtype, row, k), rows, k);
        conure_sha256_add(sha, slices->rows, rows * k * elem_bytes);
    }
    if (tensor->scales)
        conure_sha256_add(sha, tensor->scales, n * sizeof *tensor->scales);
}

/* Anything else, as float32. */
static void hash_plain(conure_sha256 *sha, const conure_slices *slices, const conure_tensor *tensor)
{
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t step = conure_slices_panels(slices, tensor) * CONURE_PANEL_COLUMNS;
    conure_hash_tensor(sha, tensor, CONURE_F32);
    for (size_t row = 0; row < n; row += step) {
        const size_t rows = n - row < step ? n - row : step;
        conure_tensor_rows_f32(tensor, slices->rows, row, rows);
        conure_sha256_add(sha, slices->rows, rows * k * sizeof(float));
    }
}

conure_status conure_hash_model(const conure_model *model, char hex[65],
                                conure_progress_fn progress, void *user, conure_error *err)
{
    conure_plan_entry *entries;
    conure_slices slices = {0};
    conure_sha256 sha;
    uint64_t done = 0;
    uint32_t n;
    conure_status status = conure_model_plan(model, &entries, &n, err);
    if (status == CONURE_OK)
        status = conure_slices_alloc(&slices, entries, n, err);
    if (status == CONURE_OK)
        status = conure_hash_begin(&sha, &model->config, err);
    for (uint32_t i = 0; status == CONURE_OK && i < n; i++) {
        if (entries[i].optional)
            continue;
        if (entries[i].is_matrix)
            hash_matrix(&sha, &slices, entries[i].tensor);
        else
            hash_plain(&sha, &slices, entries[i].tensor);
        done += entries[i].tensor->bytes;
        if (progress && !progress(user, (double)done / (double)(model->weight_bytes + 1)))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    if (status == CONURE_OK)
        conure_sha256_hex(&sha, hex);
    conure_slices_free(&slices);
    free(entries);
    return status;
}

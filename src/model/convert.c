/* convert.c - writing a converted file (converted.h describes it).
 *
 * Two passes over the same loop: the first only hashes, as the hashes stand in the header, in front of
 * the data; the second writes.  Memory: a few slices of a matrix and the scales of int8, whatever the
 * size of the model. */
#include "base/memory.h"
#include "model/blocks.h"
#include "model/converted.h"
#include "model/graphs.h"
#include "model/hash.h"
#include "model/panels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct conversion {
    const conure_model *model;
    conure_dtype weights;
    conure_plan_entry *entries;
    uint32_t n;
    float **scales; /* int8: per entry [n], NULL for those that are no matrix */
    int32_t **sums;
    void *arena; /* holds them */
    conure_slices slices;
    uint64_t data_bytes, done_bytes; /* of one pass; of both */
    conure_sha256 data_sha, model_sha;
    conure_writer *writer; /* NULL in the first pass */
    conure_progress_fn progress;
    void *user;
    conure_error *err;
} conversion;

static uint64_t entry_bytes(const conversion *c, const conure_plan_entry *entry)
{
    const size_t n = conure_tensor_n(entry->tensor), k = conure_tensor_k(entry->tensor);
    return entry->is_matrix ? conure_panel_bytes(c->weights, n, k)
                            : (uint64_t)n * k * sizeof(float);
}

/* The next bytes of the data section. */
static conure_status put(conversion *c, const void *data, size_t bytes)
{
    if (c->writer) {
        const conure_status status = conure_writer_write(c->writer, data, bytes, c->err);
        if (status != CONURE_OK)
            return status;
    } else {
        conure_sha256_add(&c->data_sha, data, bytes);
    }
    c->done_bytes += bytes;
    if (c->progress && !c->progress(c->user, 0.5 * (double)c->done_bytes / (double)c->data_bytes))
        return conure_fail(c->err, CONURE_CANCELLED, "cancelled");
    return CONURE_OK;
}

/* Narrowing to f16 can overflow. */
static conure_status check_fits(const conversion *c, const conure_tensor *from, const void *block,
                                size_t bytes)
{
    const conure_tensor made = {
        .name = from->name, .dtype = c->weights, .data = block, .bytes = bytes};
    if (c->weights == CONURE_I8 || conure_tensor_check_finite(&made, NULL) == CONURE_OK)
        return CONURE_OK;
    return conure_fail(c->err, CONURE_UNSUPPORTED,
                       "%s: holds numbers beyond the range of %s: convert to bf16 or f32",
                       from->name, conure_dtype_name(c->weights));
}

static conure_status put_matrix(conversion *c, uint32_t index)
{
    const conure_tensor *tensor = c->entries[index].tensor;
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t panels = (n + CONURE_PANEL_COLUMNS - 1) / CONURE_PANEL_COLUMNS;
    const size_t step = conure_slices_panels(&c->slices, tensor);
    float *scales = c->scales[index];
    int32_t *sums = c->sums[index];
    conure_status status = CONURE_OK;
    if (!c->writer)
        conure_hash_tensor(&c->model_sha, tensor, c->weights);
    for (size_t p = 0; status == CONURE_OK && p < panels; p += step) {
        const size_t count = panels - p < step ? panels - p : step;
        const size_t row = p * CONURE_PANEL_COLUMNS;
        const size_t rows =
            n - row < count * CONURE_PANEL_COLUMNS ? n - row : count * CONURE_PANEL_COLUMNS;
        const size_t bytes = conure_panel_bytes(c->weights, rows, k);
        conure_panels_from_tensor(c->weights, c->slices.block, scales ? scales + row : NULL,
                                  sums ? sums + row : NULL, tensor, p, count, c->slices.scratch);
        if (!c->writer) {
            status = check_fits(c, tensor, c->slices.block, bytes);
            conure_panels_unpack_bits(c->weights, c->slices.rows, c->slices.block, rows, k);
            conure_sha256_add(&c->model_sha, c->slices.rows,
                              rows * k * conure_dtype_bytes(c->weights));
        }
        if (status == CONURE_OK)
            status = put(c, c->slices.block, bytes);
    }
    if (!c->writer && scales)
        conure_sha256_add(&c->model_sha, scales, n * sizeof *scales);
    return status;
}

static conure_status put_plain(conversion *c, uint32_t index)
{
    const conure_tensor *tensor = c->entries[index].tensor;
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t step = conure_slices_panels(&c->slices, tensor) * CONURE_PANEL_COLUMNS;
    const bool hashed = !c->writer && !c->entries[index].optional;
    conure_status status = CONURE_OK;
    if (hashed)
        conure_hash_tensor(&c->model_sha, tensor, CONURE_F32);
    for (size_t row = 0; status == CONURE_OK && row < n; row += step) {
        const size_t rows = n - row < step ? n - row : step;
        conure_tensor_rows_f32(tensor, c->slices.rows, row, rows);
        if (hashed)
            conure_sha256_add(&c->model_sha, c->slices.rows, rows * k * sizeof(float));
        status = put(c, c->slices.rows, rows * k * sizeof(float));
    }
    return status;
}

/* The data section, in order. */
static conure_status pass(conversion *c)
{
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; status == CONURE_OK && i < c->n; i++) {
        if (!c->writer) /* the check at open may have been left out */
            status = conure_tensor_check_finite(c->entries[i].tensor, c->err);
        if (status == CONURE_OK)
            status = c->entries[i].is_matrix ? put_matrix(c, i) : put_plain(c, i);
    }
    for (uint32_t i = 0; status == CONURE_OK && i < c->n; i++) {
        const size_t n = conure_tensor_n(c->entries[i].tensor);
        if (!c->scales[i])
            continue;
        status = put(c, c->scales[i], n * sizeof **c->scales);
        if (status == CONURE_OK)
            status = put(c, c->sums[i], n * sizeof **c->sums);
    }
    return status;
}

/* One entry of the header; offset moves on. */
static int add_entry(json_t *header, const char *name, conure_dtype dtype, uint32_t rank,
                     const uint64_t *shape, uint64_t bytes, uint64_t *offset)
{
    json_t *dims = json_array();
    for (uint32_t i = 0; i < rank; i++)
        json_array_append_new(dims, json_integer((json_int_t)shape[i]));
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", conure_safetensors_dtype(dtype), "shape", dims,
                  "data_offsets", (json_int_t)*offset, (json_int_t)(*offset + bytes));
    *offset += bytes;
    return json_object_set_new(header, name, entry);
}

static int add_entries(const conversion *c, json_t *header)
{
    uint64_t offset = 0, shape[CONURE_RANK_MAX];
    int failed = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const conure_tensor *tensor = c->entries[i].tensor;
        const uint64_t bytes = entry_bytes(c, &c->entries[i]);
        if (!c->entries[i].is_matrix) {
            failed |= add_entry(header, tensor->name, CONURE_F32, tensor->rank, tensor->shape,
                                bytes, &offset);
            continue;
        }
        conure_converted_shape(shape, c->weights, tensor->shape[0], conure_tensor_k(tensor));
        failed |=
            add_entry(header, tensor->name, c->weights, CONURE_RANK_MAX, shape, bytes, &offset);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const conure_tensor *tensor = c->entries[i].tensor;
        char name[160];
        if (!c->scales[i])
            continue;
        snprintf(name, sizeof name, "%s.scales", tensor->name);
        failed |=
            add_entry(header, name, CONURE_F32, 1, tensor->shape, 4 * tensor->shape[0], &offset);
        snprintf(name, sizeof name, "%s.sums", tensor->name);
        failed |=
            add_entry(header, name, CONURE_I32, 1, tensor->shape, 4 * tensor->shape[0], &offset);
    }
    return failed;
}

/* {"__metadata__": {...}, entries ...} as text; *out is freed by free(). */
static conure_status make_header(const conversion *c, const char *const *values, char **out)
{
    json_t *header = json_object(), *metadata = json_object();
    char header_hex[65];
    int failed = !header || !metadata;
    conure_converted_header_hash(header_hex, values);
    for (int i = 0; i < CONURE_CONVERTED_KEYS; i++)
        failed |= json_object_set_new(metadata, conure_converted_keys[i], json_string(values[i]));
    failed |= json_object_set_new(metadata, CONURE_CONVERTED_HEADER_KEY, json_string(header_hex));
    failed |= json_object_set(header, "__metadata__", metadata);
    failed |= add_entries(c, header);
    *out = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(metadata);
    json_decref(header);
    return *out ? CONURE_OK : conure_fail_memory(c->err, "the file's header", (size_t)c->n * 128);
}

static conure_status write_header(conversion *c, const char *const *values)
{
    static const char spaces[CONURE_ALIGN] =
        "                                                               ";
    char *header;
    conure_status status = make_header(c, values, &header);
    if (status != CONURE_OK)
        return status;
    const size_t bytes = strlen(header), pad = -(8 + bytes) % CONURE_ALIGN;
    const uint64_t whole = bytes + pad;
    status = conure_writer_write(c->writer, &whole, sizeof whole, c->err);
    if (status == CONURE_OK)
        status = conure_writer_write(c->writer, header, bytes, c->err);
    if (status == CONURE_OK)
        status = conure_writer_write(c->writer, spaces, pad, c->err);
    free(header);
    return status;
}

/* The header once the hashes are known. */
static conure_status describe(conversion *c)
{
    static const char *const formats[] = {"", "nemo ", "huggingface ", "conure "};
    const conure_model *model = c->model;
    char model_hex[65], data_hex[65], source[512];
    char *config = NULL, *tokenizer = NULL;
    conure_sha256_hex(&c->model_sha, model_hex);
    conure_sha256_hex(&c->data_sha, data_hex);
    snprintf(source, sizeof source, "%s%.400s", formats[model->format], model->name);
    conure_status status = conure_config_dump(&model->config, &config, c->err);
    if (status == CONURE_OK)
        status = conure_tokenizer_dump(model->tokenizer, &tokenizer, c->err);
    if (status == CONURE_OK) {
        const char *const values[CONURE_CONVERTED_KEYS] = {
            "1",    "panels16", conure_dtype_name(c->weights),
            config, tokenizer,  model->config.mask == CONURE_MASK_EXACT ? "exact" : "nemo",
            source, model_hex,  data_hex,
        };
        status = write_header(c, values);
    }
    free(config);
    free(tokenizer);
    return status;
}

/* Plan, slices, room for scales, the total. */
static conure_status prepare(conversion *c)
{
    conure_status status = conure_model_plan(c->model, &c->entries, &c->n, c->err);
    if (status == CONURE_OK)
        status = conure_slices_alloc(&c->slices, c->entries, c->n, c->err);
    if (status != CONURE_OK)
        return status;
    c->scales = conure_block_alloc(&c->arena, c->n * sizeof *c->scales);
    c->sums = conure_block_alloc(&c->arena, c->n * sizeof *c->sums);
    if (!c->scales || !c->sums)
        return conure_fail_memory(c->err, "scales", c->n * sizeof *c->scales);
    for (uint32_t i = 0; i < c->n; i++) {
        const size_t n = conure_tensor_n(c->entries[i].tensor);
        c->data_bytes += entry_bytes(c, &c->entries[i]);
        if (c->weights != CONURE_I8 || !c->entries[i].is_matrix)
            continue;
        c->scales[i] = conure_block_alloc(&c->arena, n * sizeof **c->scales);
        c->sums[i] = conure_block_alloc(&c->arena, n * sizeof **c->sums);
        if (!c->scales[i] || !c->sums[i])
            return conure_fail_memory(c->err, "scales", n * sizeof **c->scales);
        c->data_bytes += n * (sizeof **c->scales + sizeof **c->sums);
    }
    conure_sha256_init(&c->data_sha);
    return conure_hash_begin(&c->model_sha, &c->model->config, c->err);
}

static conure_status check_arguments(const conure_model *model, const char *path,
                                     const char *weights, conure_error *err)
{
    if (!model || !path || !weights)
        return conure_fail(err, CONURE_BAD_ARG, "a model, a path and a type of weights are needed");
    const conure_dtype dtype = conure_converted_dtype(weights);
    if (!dtype)
        return conure_fail(err, CONURE_BAD_ARG,
                           "weights \"%.32s\" are not known: use f32, f16, bf16 or int8", weights);
    if (model->weight_dtype == CONURE_I8 && dtype != CONURE_I8)
        return conure_fail(
            err, CONURE_UNSUPPORTED,
            "%s: has int8 weights; %s would have no more precision, only more bytes: "
            "convert from the original checkpoint",
            model->name, weights);
    return CONURE_OK;
}

conure_status conure_model_convert(const conure_model *model, const char *path, const char *weights,
                                   conure_progress_fn progress, void *user, conure_error *err)
{
    conure_status status = check_arguments(model, path, weights, err);
    if (status == CONURE_OK)
        status = conure_model_need_tensors(model, "conversion", err);
    if (status != CONURE_OK)
        return status;
    conversion c = {.model = model, .progress = progress, .user = user, .err = err};
    c.weights = conure_converted_dtype(weights);
    status = prepare(&c);
    if (status == CONURE_OK)
        status = pass(&c);
    if (status == CONURE_OK)
        status = conure_writer_open(&c.writer, path, err);
    if (status == CONURE_OK)
        status = describe(&c);
    if (status == CONURE_OK)
        status = pass(&c);
    if (status == CONURE_OK)
        status = conure_writer_commit(&c.writer, err);
    conure_writer_abort(&c.writer);
    conure_slices_free(&c.slices);
    conure_blocks_free(&c.arena);
    free(c.entries);
    return status;
}

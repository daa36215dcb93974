/* converted.c - opening a converted file: everything is taken from its header, the weights stay where
 * they are. */
#include "model/converted.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/panels.h"

#include <stdio.h>
#include <string.h>

const char *const conure_converted_keys[CONURE_CONVERTED_KEYS] = {
    "conure.format", "conure.layout", "conure.weights", "conure.config",      "conure.tokenizer",
    "conure.mask",   "conure.source", "conure.sha256",  "conure.sha256.data",
};

void conure_converted_header_hash(char hex[65], const char *const *values)
{
    conure_sha256 sha;
    conure_sha256_init(&sha);
    for (int i = 0; i < CONURE_CONVERTED_KEYS; i++) {
        conure_sha256_add(&sha, conure_converted_keys[i], strlen(conure_converted_keys[i]) + 1);
        conure_sha256_add(&sha, values[i], strlen(values[i]) + 1);
    }
    conure_sha256_hex(&sha, hex);
}

conure_dtype conure_converted_dtype(const char *name)
{
    static const conure_dtype dtypes[] = {CONURE_F32, CONURE_F16, CONURE_BF16, CONURE_I8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(name, conure_dtype_name(dtypes[i])) == 0)
            return dtypes[i];
    return 0;
}

void conure_converted_shape(uint64_t shape[CONURE_RANK_MAX], conure_dtype dtype, uint64_t n,
                            uint64_t k)
{
    shape[0] = n / CONURE_PANEL_COLUMNS + (n % CONURE_PANEL_COLUMNS != 0);
    shape[1] = conure_panel_lines(dtype, k);
    shape[2] = CONURE_PANEL_COLUMNS;
    shape[3] = 4 / conure_dtype_bytes(dtype);
}

typedef struct opening {
    conure_model *model;
    const conure_safetensors *st;
    conure_dtype weights;
    uint32_t n_used; /* entries of the header */
    uint32_t n_cap;  /* of model->tensors */
    conure_error *err;
} opening;

/* The entry of this name, of just this type and shape, aligned for its use. */
static conure_status take(opening *o, const char *name, conure_dtype dtype, uint32_t rank,
                          const uint64_t *shape, conure_tensor *tensor)
{
    const json_t *entry = json_object_get(o->st->header, name);
    if (!entry)
        return conure_fail(o->err, CONURE_BAD_FILE, "%s: %s is missing", o->st->where, name);
    const conure_status status = conure_safetensors_entry(o->st, name, entry, tensor, o->err);
    if (status != CONURE_OK)
        return status;
    if (tensor->dtype != dtype || tensor->rank != rank ||
        memcmp(tensor->shape, shape, rank * sizeof *shape) != 0)
        return conure_fail(o->err, CONURE_BAD_FILE,
                           "%s: %s: its type or shape is not what the configuration says "
                           "(expected %s, %u dimensions, the first %llu)",
                           o->st->where, name, conure_dtype_name(dtype), rank,
                           (unsigned long long)shape[0]);
    const size_t align =
        rank == CONURE_RANK_MAX && shape[2] == CONURE_PANEL_COLUMNS ? CONURE_ALIGN : 4;
    if ((uintptr_t)tensor->data % align)
        return conure_fail(o->err, CONURE_BAD_FILE, "%s: %s: its data is not aligned to %zu bytes",
                           o->st->where, name, align);
    o->n_used++;
    return CONURE_OK;
}

static conure_status take_matrix(opening *o, const conure_tensor_spec *spec, conure_tensor *tensor)
{
    const conure_tensor logical = {
        .rank = spec->rank,
        .shape = {spec->shape[0], spec->shape[1], spec->shape[2], spec->shape[3]}};
    const uint64_t n = spec->shape[0];
    conure_tensor scales, sums;
    uint64_t shape[CONURE_RANK_MAX];
    char name[sizeof spec->name + 8];
    conure_converted_shape(shape, o->weights, n, conure_tensor_k(&logical));
    conure_status status = take(o, spec->name, o->weights, CONURE_RANK_MAX, shape, tensor);
    if (status != CONURE_OK)
        return status;
    tensor->layout = CONURE_PANELS;
    if (o->weights != CONURE_I8)
        return CONURE_OK;
    snprintf(name, sizeof name, "%s.scales", spec->name);
    status = take(o, name, CONURE_F32, 1, &n, &scales);
    if (status != CONURE_OK)
        return status;
    snprintf(name, sizeof name, "%s.sums", spec->name);
    status = take(o, name, CONURE_I32, 1, &n, &sums);
    tensor->scales = scales.data;
    tensor->sums = sums.data;
    return status;
}

static conure_status take_one(void *user, const conure_tensor_spec *spec)
{
    opening *o = user;
    conure_model *model = o->model;
    conure_tensor tensor;
    if (spec->optional && !json_object_get(o->st->header, spec->name))
        return CONURE_OK;
    if (model->n_tensors == o->n_cap) {
        const uint32_t cap = o->n_cap ? 2 * o->n_cap : 1024;
        conure_tensor *more = conure_block_alloc(&model->arena, cap * sizeof *more);
        if (!more)
            return conure_fail_memory(o->err, "the list of tensors", cap * sizeof *more);
        if (model->n_tensors)
            memcpy(more, model->tensors, model->n_tensors * sizeof *more);
        model->tensors = more;
        o->n_cap = cap;
    }
    const conure_status status =
        spec->is_matrix ? take_matrix(o, spec, &tensor)
                        : take(o, spec->name, CONURE_F32, spec->rank, spec->shape, &tensor);
    if (status != CONURE_OK)
        return status;
    tensor.name = conure_block_text(&model->arena, spec->name, strlen(spec->name));
    tensor.rank = spec->rank;
    memcpy(tensor.shape, spec->shape, sizeof tensor.shape);
    model->tensors[model->n_tensors++] = tensor;
    return tensor.name ? CONURE_OK : conure_fail_memory(o->err, spec->name, sizeof spec->name);
}

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Every text of the metadata but the configuration and the tokenizer. */
static conure_status read_texts(opening *o, const char *const *values)
{
    const char *where = o->st->where;
    if (strcmp(values[0], "1") != 0)
        return conure_fail(o->err, CONURE_UNSUPPORTED,
                           "%s: conure.format is \"%.16s\", supported: \"1\": convert it again",
                           where, values[0]);
    if (strcmp(values[1], "panels16") != 0)
        return conure_fail(o->err, CONURE_UNSUPPORTED,
                           "%s: conure.layout is \"%.16s\", supported: \"panels16\"", where,
                           values[1]);
    o->weights = conure_converted_dtype(values[2]);
    if (!o->weights)
        return conure_fail(o->err, CONURE_UNSUPPORTED,
                           "%s: conure.weights is \"%.16s\", supported: f32, f16, bf16, int8",
                           where, values[2]);
    if (strcmp(values[5], "nemo") != 0 && strcmp(values[5], "exact") != 0)
        return conure_fail(o->err, CONURE_BAD_FILE,
                           "%s: conure.mask is \"%.16s\", expected nemo or exact", where,
                           values[5]);
    if (!is_hash(values[7]) || !is_hash(values[8]))
        return conure_fail(o->err, CONURE_BAD_FILE, "%s: conure.sha256 is not 64 hex digits",
                           where);
    memcpy(o->model->sha256, values[7], sizeof o->model->sha256);
    return CONURE_OK;
}

static conure_status read_metadata(opening *o)
{
    const char *values[CONURE_CONVERTED_KEYS];
    conure_model *model = o->model;
    for (int i = 0; i < CONURE_CONVERTED_KEYS; i++) {
        values[i] = conure_safetensors_metadata(o->st, conure_converted_keys[i]);
        if (!values[i])
            return conure_fail(o->err, CONURE_BAD_FILE, "%s: %s is missing in its metadata",
                               o->st->where, conure_converted_keys[i]);
    }
    conure_status status = read_texts(o, values);
    if (status == CONURE_OK)
        status =
            conure_config_parse(&model->config, values[3], strlen(values[3]), o->st->where, o->err);
    if (status != CONURE_OK)
        return status;
    model->config.mask = strcmp(values[5], "nemo") == 0 ? CONURE_MASK_NEMO : CONURE_MASK_EXACT;
    status = conure_config_check(&model->config, o->err);
    if (status == CONURE_OK)
        status =
            conure_tokenizer_from_dump(&model->tokenizer, values[4], strlen(values[4]), o->err);
    if (status != CONURE_OK)
        conure_error_prefix(o->err, o->st->where);
    return status;
}

/* The texts are small, so their hash is checked at every opening; that of the data is verify's. */
static conure_status check_header_hash(const conure_safetensors *st, conure_error *err)
{
    const char *values[CONURE_CONVERTED_KEYS];
    const char *want = conure_safetensors_metadata(st, CONURE_CONVERTED_HEADER_KEY);
    char got[65];
    for (int i = 0; i < CONURE_CONVERTED_KEYS; i++) {
        values[i] = conure_safetensors_metadata(st, conure_converted_keys[i]);
        if (!values[i])
            return conure_fail(err, CONURE_BAD_FILE, "%s: %s is missing", st->where,
                               conure_converted_keys[i]);
    }
    conure_converted_header_hash(got, values);
    if (want && strcmp(got, want) == 0)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE,
                       "%s: the metadata has SHA-256 %s, the header says %.64s: it was changed",
                       st->where, got, want ? want : "nothing");
}

/* Entries beyond the model's are not used, but a span outside the data is damage wherever it is. */
static conure_status check_spans(const conure_safetensors *st, conure_error *err)
{
    const char *name;
    json_t *entry;
    json_object_foreach(st->header, name, entry)
    {
        conure_tensor tensor;
        if (conure_safetensors_is_metadata(name))
            continue;
        const conure_status status = conure_safetensors_entry(st, name, entry, &tensor, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_converted_open(conure_model *model, const char *path, conure_error *err)
{
    conure_safetensors st = {0};
    opening o = {.model = model, .st = &st, .err = err};
    conure_status status = conure_safetensors_open(&st, &model->map, path, err);
    if (status == CONURE_OK && !conure_safetensors_metadata(&st, conure_converted_keys[0]))
        status =
            conure_fail(err, CONURE_UNSUPPORTED,
                        "%s: safetensors without a configuration: open the Hugging Face folder "
                        "that it belongs to (the one with config.json)",
                        path);
    if (status == CONURE_OK)
        status = read_metadata(&o);
    if (status == CONURE_OK)
        status = conure_config_tensors(&model->config, take_one, &o);
    if (status == CONURE_OK)
        status = check_spans(&st, err);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* or a fuzzer would never get further */
    if (status == CONURE_OK)
        status = check_header_hash(&st, err);
#endif
    if (status == CONURE_OK && o.n_used + 1 != json_object_size(st.header))
        conure_log_write(&model->log, CONURE_LOG_WARNING,
                         "%s: %zu tensors are not part of the model and are ignored", path,
                         json_object_size(st.header) - 1 - o.n_used);
    conure_safetensors_close(&st);
    return status;
}

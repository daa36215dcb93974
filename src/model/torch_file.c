/* torch_file.c - torch.save()'s zip: "<root>/data.pkl" describes, "<root>/data/<key>" holds the
 * numbers. */
#include "model/torch_file.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/pickle.h"
#include "model/quote.h"
#include "model/zip.h"

#include <stdlib.h>
#include <string.h>

/* How a storage's elements are kept: widened ones are small integers that no layer computes
 * with. */
static const struct kind {
    const char *name;
    conure_dtype dtype;
    uint8_t bytes;
    bool widen;
} kinds[] = {
    [CONURE_STORAGE_FLOAT] = {"FloatStorage", CONURE_F32, 4, false},
    [CONURE_STORAGE_HALF] = {"HalfStorage", CONURE_F16, 2, false},
    [CONURE_STORAGE_BFLOAT16] = {"BFloat16Storage", CONURE_BF16, 2, false},
    [CONURE_STORAGE_DOUBLE] = {"DoubleStorage", CONURE_F64, 8, false},
    [CONURE_STORAGE_LONG] = {"LongStorage", CONURE_I64, 8, false},
    [CONURE_STORAGE_INT] = {"IntStorage", CONURE_I32, 4, false},
    [CONURE_STORAGE_SHORT] = {"ShortStorage", CONURE_I32, 2, true},
    [CONURE_STORAGE_CHAR] = {"CharStorage", CONURE_I32, 1, true},
    [CONURE_STORAGE_BYTE] = {"ByteStorage", CONURE_I32, 1, true},
    [CONURE_STORAGE_BOOL] = {"BoolStorage", CONURE_I32, 1, true},
};

typedef struct reader {
    conure_model *model;
    conure_zip zip;
    const conure_zip_record *root; /* "<root>/data.pkl" */
    uint8_t *checked;              /* [n_records] CRC was right */
    uint32_t cap;                  /* of model->tensors */
    uint64_t copied_bytes, copied_bytes_max;
    char name[96]; /* of the tensor, for error texts */
} reader;

static bool ends(const char *text, size_t bytes, const char *with)
{
    const size_t n = strlen(with);
    return bytes >= n && memcmp(text + bytes - n, with, n) == 0;
}

static bool is(const conure_pickle_tensor *t, const char *name)
{
    return strlen(name) == t->name_bytes && memcmp(t->name, name, t->name_bytes) == 0;
}

/* Entries of a state dict that say nothing a forward pass needs. */
static bool left_out(const conure_pickle_tensor *t)
{
    return ends(t->name, t->name_bytes, ".num_batches_tracked") || is(t, "encoder.pos_enc.pe") ||
           ends(t->name, t->name_bytes, "dtype_sentinel_tensor");
}

/* The record "<root>/<rest>", rest at most 128 bytes; NULL when absent. */
static const conure_zip_record *record_find(const reader *r, const char *rest, size_t rest_bytes)
{
    char name[CONURE_ZIP_NAME_BYTES_MAX + 128];
    const size_t root = r->root->name_bytes - strlen("data.pkl"); /* with its slash */
    memcpy(name, r->root->name, root);
    memcpy(name + root, rest, rest_bytes);
    return conure_zip_find(&r->zip, name, root + rest_bytes);
}

static conure_status storage_find(reader *r, const conure_pickle_tensor *t,
                                  const conure_zip_record **out, conure_error *err)
{
    char rest[128], shown[64];
    uint64_t bytes;
    const struct kind *kind = &kinds[t->type];
    conure_quote(shown, sizeof shown, t->key, t->key_bytes);
    *out = NULL;
    if (t->key_bytes <= sizeof rest - 5) {
        memcpy(rest, "data/", 5);
        memcpy(rest + 5, t->key, t->key_bytes);
        *out = record_find(r, rest, 5 + (size_t)t->key_bytes);
    }
    if (!*out)
        return conure_fail(err, CONURE_BAD_FILE, "%s: its storage data/%s is missing", r->name,
                           shown);
    if (__builtin_mul_overflow(t->storage_elements, (uint64_t)kind->bytes, &bytes) ||
        bytes != (*out)->bytes)
        return conure_fail(
            err, CONURE_BAD_FILE,
            "%s: its storage data/%s has %llu bytes, expected %llu elements of %u bytes (%s)",
            r->name, shown, (unsigned long long)(*out)->bytes,
            (unsigned long long)t->storage_elements, kind->bytes, kind->name);
    uint8_t *checked = &r->checked[*out - r->zip.records];
    const conure_status status = *checked ? CONURE_OK : conure_zip_check(*out, err);
    *checked = status == CONURE_OK;
    return status;
}

/* Number of elements, and whether they all lie within the storage: offset + sum (size - 1)
 * stride. */
static conure_status span_check(const reader *r, const conure_pickle_tensor *t, uint64_t *n,
                                conure_error *err)
{
    uint64_t last = t->offset;
    bool inside = true;
    *n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        uint64_t step;
        if (t->shape[i] == 0)
            return conure_fail(err, CONURE_BAD_FILE, "%s: dimension %u is 0", r->name, i);
        inside = inside && !__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &step) &&
                 !__builtin_add_overflow(last, step, &last) &&
                 !__builtin_mul_overflow(*n, t->shape[i], n);
    }
    if (!inside || last >= t->storage_elements)
        return conure_fail(
            err, CONURE_BAD_FILE,
            "%s: offset %llu, shape and strides reach past its storage of %llu elements", r->name,
            (unsigned long long)t->offset, (unsigned long long)t->storage_elements);
    if (*n > t->storage_elements) /* stride 0: one element many times */
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "%s: %llu elements expanded from a storage of %llu", r->name,
                           (unsigned long long)*n, (unsigned long long)t->storage_elements);
    return CONURE_OK;
}

static bool contiguous(const conure_pickle_tensor *t)
{
    uint64_t expected = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        if (t->shape[i] > 1 && t->stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

static int32_t widened(conure_storage_type type, const uint8_t *at)
{
    int16_t number;
    if (type == CONURE_STORAGE_SHORT) {
        memcpy(&number, at, sizeof number);
        return number;
    }
    return type == CONURE_STORAGE_CHAR ? (int8_t)*at : *at;
}

/* Gather the elements in row order; all were found to lie inside. */
static void gather(uint8_t *to, const uint8_t *from, const conure_pickle_tensor *t, uint64_t n)
{
    const struct kind *kind = &kinds[t->type];
    uint64_t index[CONURE_PICKLE_RANK_MAX] = {0}, at = t->offset;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *element = from + at * kind->bytes;
        if (kind->widen) {
            const int32_t number = widened(t->type, element);
            memcpy(to + i * sizeof number, &number, sizeof number);
        } else {
            memcpy(to + i * kind->bytes, element, kind->bytes);
        }
        for (uint32_t d = t->rank; d-- > 0;) {
            at += t->stride[d];
            if (++index[d] < t->shape[d])
                break;
            at -= t->stride[d] * t->shape[d];
            index[d] = 0;
        }
    }
}

static conure_status data_place(reader *r, conure_tensor *tensor, const conure_pickle_tensor *t,
                                const uint8_t *storage, uint64_t n, conure_error *err)
{
    const struct kind *kind = &kinds[t->type];
    const uint8_t *start = storage + t->offset * kind->bytes;
    tensor->bytes = n * (kind->widen ? sizeof(int32_t) : kind->bytes);
    if (!kind->widen && contiguous(t) && (uintptr_t)start % kind->bytes == 0) {
        tensor->data = start;
        return CONURE_OK;
    }
    if (tensor->bytes > r->copied_bytes_max - r->copied_bytes)
        return conure_fail(err, CONURE_LIMIT,
                           "%s: more than %llu bytes of strided tensors, twice the file", r->name,
                           (unsigned long long)r->copied_bytes_max);
    uint8_t *copy = conure_block_alloc(&r->model->arena, (size_t)tensor->bytes);
    if (!copy)
        return conure_fail_memory(err, r->name, (size_t)tensor->bytes);
    r->copied_bytes += tensor->bytes;
    gather(copy, storage, t, n);
    tensor->data = copy;
    return CONURE_OK;
}

static conure_status tensors_grow(reader *r, conure_error *err)
{
    conure_model *model = r->model;
    if (model->n_tensors < r->cap)
        return CONURE_OK;
    const uint32_t cap = r->cap ? 2 * r->cap : 256;
    conure_tensor *grown = conure_block_alloc(&model->arena, cap * sizeof *grown);
    if (!grown)
        return conure_fail_memory(err, "the list of tensors", cap * sizeof *grown);
    if (model->n_tensors)
        memcpy(grown, model->tensors, model->n_tensors * sizeof *grown);
    model->tensors = grown;
    r->cap = cap;
    return CONURE_OK;
}

static conure_status tensor_add(void *user, const conure_pickle_tensor *t, conure_error *err)
{
    reader *r = user;
    conure_model *model = r->model;
    const conure_zip_record *record;
    uint64_t n;
    conure_quote(r->name, sizeof r->name, t->name, t->name_bytes);
    if (left_out(t))
        return CONURE_OK;
    if (t->name_bytes == 0 || t->name_bytes > 127 || memchr(t->name, 0, t->name_bytes))
        return conure_fail(err, CONURE_BAD_FILE,
                           "a tensor's name '%s' has %u bytes, expected 1 to 127 without NUL",
                           r->name, t->name_bytes);
    if (t->rank > CONURE_RANK_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u dimensions, at most %d", r->name,
                           t->rank, CONURE_RANK_MAX);
    conure_status status = storage_find(r, t, &record, err);
    if (status == CONURE_OK)
        status = span_check(r, t, &n, err);
    if (status == CONURE_OK)
        status = tensors_grow(r, err);
    if (status != CONURE_OK)
        return status;
    conure_tensor *tensor = &model->tensors[model->n_tensors];
    *tensor =
        (conure_tensor){.dtype = kinds[t->type].dtype, .layout = CONURE_ROWS, .rank = t->rank};
    memcpy(tensor->shape, t->shape, t->rank * sizeof *t->shape);
    tensor->name = conure_block_text(&model->arena, t->name, t->name_bytes);
    if (!tensor->name)
        return conure_fail_memory(err, "a tensor's name", t->name_bytes);
    status = data_place(r, tensor, t, record->data, n, err);
    model->n_tensors += status == CONURE_OK;
    return status;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static conure_status names_unique(const conure_model *model, conure_error *err)
{
    conure_status status = CONURE_OK;
    const char **names = conure_calloc(model->n_tensors + 1, sizeof *names);
    if (!names)
        return conure_fail_memory(err, "the names of tensors", model->n_tensors * sizeof *names);
    for (uint32_t i = 0; i < model->n_tensors; i++)
        names[i] = model->tensors[i].name;
    qsort(names, model->n_tensors, sizeof *names, name_order);
    for (uint32_t i = 1; i < model->n_tensors && status == CONURE_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0) {
            char shown[140];
            status = conure_fail(err, CONURE_BAD_FILE, "tensor '%s' is there twice",
                                 conure_quote(shown, sizeof shown, names[i], strlen(names[i])));
        }
    free(names);
    return status;
}

/* The one record "<root>/data.pkl", with a root that is a single folder. */
static conure_status root_find(reader *r, conure_error *err)
{
    for (uint32_t i = 0; i < r->zip.n_records; i++) {
        const conure_zip_record *record = &r->zip.records[i];
        const char *slash = memchr(record->name, '/', record->name_bytes);
        const size_t at = slash ? (size_t)(slash - record->name) : 0;
        if (!slash || !ends(record->name, record->name_bytes, "/data.pkl") ||
            at + 9 != record->name_bytes)
            continue;
        if (r->root)
            return conure_fail(err, CONURE_BAD_FILE, "two records named data.pkl");
        r->root = record;
    }
    if (!r->root)
        return conure_fail(err, CONURE_BAD_FILE,
                           "no record ROOT/data.pkl: not written by torch.save()");
    return CONURE_OK;
}

static conure_status byte_order_check(const reader *r, conure_error *err)
{
    const conure_zip_record *record = record_find(r, "byteorder", strlen("byteorder"));
    char shown[32];
    if (!record || (record->bytes == 6 && memcmp(record->data, "little", 6) == 0))
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "byteorder is '%s'; supported: little",
                       conure_quote(shown, sizeof shown, record->data,
                                    record->bytes < 16 ? (size_t)record->bytes : 16));
}

conure_status conure_torch_file_read(conure_model *model, const uint8_t *data, uint64_t bytes,
                                     conure_error *err)
{
    static const uint8_t legacy[] = {0x80, 2,    0x8a, 10,
                                     0x6c, 0xfc, 0x9c, 0x46}; /* its magic number */
    reader r = {.model = model, .copied_bytes_max = 2 * model->map.bytes};
    if (bytes >= sizeof legacy && memcmp(data, legacy, sizeof legacy) == 0)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "written by torch before 1.6; load and save it with a newer one");
    conure_status status = conure_zip_read(&r.zip, data, bytes, err);
    if (status != CONURE_OK)
        return status;
    r.checked = conure_calloc(r.zip.n_records + (size_t)1, 1);
    if (!r.checked)
        status = conure_fail_memory(err, "zip records", r.zip.n_records);
    if (status == CONURE_OK)
        status = root_find(&r, err);
    if (status == CONURE_OK)
        status = byte_order_check(&r, err);
    if (status == CONURE_OK)
        status = conure_zip_check(r.root, err);
    if (status == CONURE_OK)
        status = conure_pickle_read(r.root->data, (size_t)r.root->bytes, tensor_add, &r, err);
    if (status == CONURE_OK)
        status = names_unique(model, err);
    free(r.checked);
    conure_zip_free(&r.zip);
    return status;
}

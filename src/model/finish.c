/* finish.c - what every reader ends with: tensors in order, complete, of the right shape, finite. */
#include "base/memory.h"
#include "model/blocks.h"
#include "model/load.h"
#include "model/panels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "[512, 512]" into text. */
static const char *shape_text(char *text, size_t cap, uint32_t rank, const uint64_t *shape)
{
    size_t used = 1;
    snprintf(text, cap, "[");
    for (uint32_t i = 0; i < rank && used < cap; i++)
        used += (size_t)snprintf(text + used, cap - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < cap)
        snprintf(text + used, cap - used, "]");
    return text;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const conure_tensor *)a)->name, ((const conure_tensor *)b)->name);
}

static int find_by_name(const void *name, const void *tensor)
{
    return strcmp(name, ((const conure_tensor *)tensor)->name);
}

const conure_tensor *conure_model_tensor(const conure_model *model, const char *name)
{
    return model->n_tensors ? bsearch(name, model->tensors, model->n_tensors,
                                      sizeof *model->tensors, find_by_name)
                            : NULL;
}

conure_status conure_model_require(const conure_model *model, const char *name, uint32_t rank,
                                   const uint64_t *shape, const conure_tensor **out,
                                   conure_error *err)
{
    char got[96], want[96];
    const conure_tensor *tensor = conure_model_tensor(model, name);
    *out = NULL;
    if (!tensor)
        return conure_fail(err, CONURE_BAD_FILE, "%s is missing (expected shape %s)", name,
                           shape_text(want, sizeof want, rank, shape));
    if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof *shape) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: shape %s, expected %s", name,
                           shape_text(got, sizeof got, tensor->rank, tensor->shape),
                           shape_text(want, sizeof want, rank, shape));
    *out = tensor;
    return CONURE_OK;
}

/* ---- finite ---------------------------------------------------------------------------------- */

#define CHUNK 4096

/* Index of the first float whose exponent is all ones, or n.  Whole chunks first, without a branch per
 * element, so that the loop vectorises. */
static size_t first_nonfinite32(const uint32_t *bits, size_t n)
{
    for (size_t start = 0; start < n; start += CHUNK) {
        const size_t end = n - start < CHUNK ? n : start + CHUNK;
        uint32_t bad = 0;
        for (size_t i = start; i < end; i++)
            bad |= (bits[i] & 0x7f800000u) == 0x7f800000u;
        for (size_t i = start; bad && i < end; i++)
            if ((bits[i] & 0x7f800000u) == 0x7f800000u)
                return i;
    }
    return n;
}

/* The same for halves; ones is the exponent's mask. */
static size_t first_nonfinite16(const uint16_t *bits, size_t n, uint16_t ones)
{
    for (size_t start = 0; start < n; start += CHUNK) {
        const size_t end = n - start < CHUNK ? n : start + CHUNK;
        uint16_t bad = 0;
        for (size_t i = start; i < end; i++)
            bad |= (uint16_t)((bits[i] & ones) == ones);
        for (size_t i = start; bad && i < end; i++)
            if ((bits[i] & ones) == ones)
                return i;
    }
    return n;
}

conure_status conure_tensor_check_finite(const conure_tensor *tensor, conure_error *err)
{
    const size_t n = tensor->bytes / conure_dtype_bytes(tensor->dtype);
    size_t bad = n;
    if (tensor->dtype == CONURE_F32)
        bad = first_nonfinite32(tensor->data, n);
    else if (tensor->dtype == CONURE_F16)
        bad = first_nonfinite16(tensor->data, n, 0x7c00);
    else if (tensor->dtype == CONURE_BF16)
        bad = first_nonfinite16(tensor->data, n, 0x7f80);
    else if (tensor->dtype == CONURE_I8 && tensor->scales) {
        const size_t rows = conure_tensor_n(tensor);
        const size_t row = first_nonfinite32((const uint32_t *)(const void *)tensor->scales, rows);
        if (row < rows)
            return conure_fail(err, CONURE_BAD_FILE, "%s: the scale of row %zu is not finite",
                               tensor->name, row);
    }
    if (bad == n)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE,
                       "%s: element %zu is NaN or infinite: the checkpoint is damaged",
                       tensor->name, bad);
}

/* ---- finish ---------------------------------------------------------------------------------- */

typedef struct checking {
    conure_model *model;
    bool check_finite;
    bool *used;                 /* [n_tensors] */
    uint64_t type_elements[16]; /* of the matrices, by dtype */
    conure_error *err;
} checking;

static conure_status check_one(void *user, const conure_tensor_spec *spec)
{
    checking *c = user;
    const conure_tensor *tensor;
    uint64_t elements = 1;
    if (spec->optional && !conure_model_tensor(c->model, spec->name))
        return CONURE_OK;
    conure_status status =
        conure_model_require(c->model, spec->name, spec->rank, spec->shape, &tensor, c->err);
    if (status != CONURE_OK)
        return status;
    for (uint32_t i = 0; i < spec->rank; i++)
        elements *= spec->shape[i];
    const bool quantised = tensor->dtype == CONURE_I8 && tensor->scales && tensor->sums;
    if (tensor->dtype != CONURE_F32 && tensor->dtype != CONURE_F16 &&
        tensor->dtype != CONURE_BF16 && !(spec->is_matrix && quantised))
        return conure_fail(c->err, CONURE_UNSUPPORTED,
                           "%s: stored as %s, supported: f32, f16, bf16", spec->name,
                           conure_dtype_name(tensor->dtype));
    c->used[tensor - c->model->tensors] = true;
    if (!spec->optional && !strstr(spec->name, ".running_")) /* statistics are not trained */
        c->model->n_parameters += elements;
    c->model->weight_bytes += tensor->bytes;
    if (quantised)
        c->model->weight_bytes += 8 * spec->shape[0];
    if (spec->is_matrix)
        c->type_elements[tensor->dtype] += elements;
    return c->check_finite ? conure_tensor_check_finite(tensor, c->err) : CONURE_OK;
}

/* The joint's last layer is number 1 when it was built without dropout (spec 6.2). */
static void rename_joint(conure_model *model)
{
    for (uint32_t i = 0; i < model->n_tensors; i++) {
        conure_tensor *tensor = &model->tensors[i];
        if (strcmp(tensor->name, "joint.joint_net.1.weight") == 0)
            tensor->name = "joint.joint_net.2.weight";
        else if (strcmp(tensor->name, "joint.joint_net.1.bias") == 0)
            tensor->name = "joint.joint_net.2.bias";
    }
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Counters and tables that inference does not need (spec 7.4). */
static bool harmless(const char *name)
{
    return ends_with(name, ".num_batches_tracked") || ends_with(name, "dtype_sentinel_tensor") ||
           strcmp(name, "encoder.pos_enc.pe") == 0;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* What is left over.  An archive's state is exactly its model's, as NeMo's strict loading has it;
 * elsewhere heads of other tasks may be there, but no layers beyond the configuration's. */
static conure_status report_unused(const checking *c, const char *path)
{
    const conure_model *model = c->model;
    const bool is_nemo = model->format == CONURE_FORMAT_NEMO;
    const char *first = NULL, *first_refused = NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < model->n_tensors; i++) {
        const char *name = model->tensors[i].name;
        if (c->used[i] || harmless(name))
            continue;
        n++;
        first = first ? first : name;
        if (!first_refused && (is_nemo || begins_with(name, "encoder.layers.") ||
                               begins_with(name, "decoder.prediction.dec_rnn.")))
            first_refused = name;
    }
    if (first_refused)
        return conure_fail(c->err, CONURE_BAD_FILE,
                           "%s is no part of the model that the configuration describes, with "
                           "%s %u and %u layers of the decoder",
                           first_refused, is_nemo ? "encoder.n_layers" : "num_hidden_layers",
                           model->config.n_layers, model->config.pred_layers);
    if (n)
        conure_log_write(
            &model->log, CONURE_LOG_WARNING,
            "%s: %u tensors are not part of the model and are ignored, the first is %s", path, n,
            first);
    return CONURE_OK;
}

/* The start of decoding looks this row up, or takes zeros for it: both must be the same (spec 6.1). */
static conure_status check_blank_row(const conure_model *model, conure_error *err)
{
    static const char name[] = "decoder.prediction.embed.weight";
    const conure_tensor *embed = conure_model_tensor(model, name);
    const uint32_t blank = model->config.vocab_size, width = model->config.pred_hidden;
    float *row = conure_calloc(width, sizeof *row);
    if (!row)
        return conure_fail_memory(err, name, width * sizeof *row);
    conure_tensor_rows_f32(embed, row, blank, 1);
    uint32_t i = 0;
    while (i < width && row[i] == 0)
        i++;
    const double value = i < width ? row[i] : 0;
    free(row);
    if (i == width)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED,
                       "%s: row %u, of blank, holds %.9g at %u, expected zeros (blank_as_pad)",
                       name, blank, value, i);
}

static conure_status check_all(checking *c, const char *path)
{
    conure_model *model = c->model;
    for (uint32_t i = 1; i < model->n_tensors; i++)
        if (strcmp(model->tensors[i - 1].name, model->tensors[i].name) == 0)
            return conure_fail(c->err, CONURE_BAD_FILE, "%s: twice in the checkpoint",
                               model->tensors[i].name);
    c->used = conure_calloc((size_t)model->n_tensors + 1, sizeof *c->used);
    if (!c->used)
        return conure_fail_memory(c->err, "the list of tensors", model->n_tensors);
    model->n_parameters = model->weight_bytes = 0;
    conure_status status = conure_config_tensors(&model->config, check_one, c);
    if (status == CONURE_OK) {
        model->weight_dtype = CONURE_F32;
        for (uint32_t t = CONURE_F16; t <= CONURE_I8; t++) /* the type of most elements */
            if (c->type_elements[t] > c->type_elements[model->weight_dtype])
                model->weight_dtype = (conure_dtype)t;
        status = check_blank_row(model, c->err);
    }
    if (status == CONURE_OK)
        status = report_unused(c, path);
    free(c->used);
    return status;
}

conure_status conure_model_finish(conure_model *model, bool check_finite, const char *path,
                                  conure_error *err)
{
    checking c = {.model = model, .check_finite = check_finite, .err = err};
    const uint32_t pieces = conure_tokenizer_size(model->tokenizer);
    if (pieces < model->config.vocab_size)
        return conure_fail(err, CONURE_BAD_FILE,
                           "%s: the tokenizer has %u pieces, but the vocabulary %u", path, pieces,
                           model->config.vocab_size);
    if (model->n_tensors) {
        rename_joint(model);
        qsort(model->tensors, model->n_tensors, sizeof *model->tensors, by_name);
    }
    const conure_status status = check_all(&c, path);
    if (status != CONURE_OK)
        conure_error_prefix(err, path);
    return status;
}

/* ---- plan ------------------------------------------------------------------------------------ */

typedef struct planning {
    const conure_model *model;
    conure_plan_entry *entries;
    uint32_t n;
} planning;

static conure_status plan_one(void *user, const conure_tensor_spec *spec)
{
    planning *p = user;
    const conure_tensor *tensor = conure_model_tensor(p->model, spec->name);
    if (tensor)
        p->entries[p->n++] = (conure_plan_entry){tensor, spec->is_matrix, spec->optional};
    return CONURE_OK;
}

static int by_kind_and_name(const void *a, const void *b)
{
    const conure_plan_entry *x = a, *y = b;
    return x->is_matrix != y->is_matrix ? (x->is_matrix ? -1 : 1)
                                        : strcmp(x->tensor->name, y->tensor->name);
}

conure_status conure_model_plan(const conure_model *model, conure_plan_entry **out, uint32_t *n,
                                conure_error *err)
{
    /* Each entry of the specification is a tensor of the model, and names differ. */
    planning p = {.model = model,
                  .entries = conure_calloc((size_t)model->n_tensors + 1, sizeof *p.entries)};
    *out = p.entries;
    *n = 0;
    if (!p.entries)
        return conure_fail_memory(err, "the list of tensors", model->n_tensors * sizeof *p.entries);
    conure_config_tensors(&model->config, plan_one, &p);
    qsort(p.entries, p.n, sizeof *p.entries, by_kind_and_name);
    *n = p.n;
    return CONURE_OK;
}

/* verify.c - is a model what it claims to be: every weight, every hash. */
#include "base/memory.h"
#include "model/converted.h"
#include "model/graphs.h"
#include "model/hash.h"
#include "model/panels.h"

#include <stdlib.h>
#include <string.h>

/* One of several parts of the work; its fraction becomes a part of the whole. */
typedef struct part {
    conure_progress_fn progress;
    void *user;
    double from, to;
} part;

static bool part_progress(void *user, double fraction)
{
    const part *p = user;
    return !p->progress || p->progress(p->user, p->from + (p->to - p->from) * fraction);
}

static conure_status check_finite(const conure_plan_entry *entries, uint32_t n, part *p,
                                  conure_error *err)
{
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; status == CONURE_OK && i < n; i++) {
        status = conure_tensor_check_finite(entries[i].tensor, err);
        if (status == CONURE_OK && !part_progress(p, (double)(i + 1) / n))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    return status;
}

/* Sums and scales belong to their quotients, which stay within +-127; padding is zero. */
static conure_status check_panels(const conure_tensor *tensor, const conure_slices *slices,
                                  conure_error *err)
{
    const size_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    const size_t step = conure_slices_panels(slices, tensor) * CONURE_PANEL_COLUMNS;
    for (size_t row = 0; row < n; row += step) {
        const size_t rows = n - row < step ? n - row : step;
        const uint8_t *panels =
            (const uint8_t *)tensor->data + conure_panel_bytes(tensor->dtype, row, k);
        conure_panels_unpack_bits(tensor->dtype, slices->rows, panels, rows, k);
        conure_panels_pack_bits(tensor->dtype, slices->block, slices->rows, rows, k);
        if (memcmp(slices->block, panels, conure_panel_bytes(tensor->dtype, rows, k)) != 0)
            return conure_fail(err, CONURE_BAD_FILE, "%s: padding is not zero", tensor->name);
        const int8_t *q = slices->rows;
        for (size_t j = 0; tensor->dtype == CONURE_I8 && j < rows; j++) {
            int32_t sum = 0;
            bool inside = true;
            for (size_t i = 0; i < k; i++) {
                sum += q[j * k + i];
                inside = inside && q[j * k + i] != -128;
            }
            if (sum != tensor->sums[row + j] || !inside || !(tensor->scales[row + j] > 0))
                return conure_fail(err, CONURE_BAD_FILE, "%s: row %zu: %s", tensor->name, row + j,
                                   !inside                        ? "holds -128"
                                   : sum != tensor->sums[row + j] ? "its sum is wrong"
                                                                  : "its scale is not positive");
        }
    }
    return CONURE_OK;
}

static conure_status check_data_hash(const conure_safetensors *st, part *p, conure_error *err)
{
    const char *want = conure_safetensors_metadata(st, "conure.sha256.data");
    const uint64_t step = 4u << 20;
    conure_sha256 sha;
    char got[65];
    conure_sha256_init(&sha);
    for (uint64_t at = 0; at < st->data_bytes; at += step) {
        const uint64_t bytes = st->data_bytes - at < step ? st->data_bytes - at : step;
        conure_sha256_add(&sha, st->data + at, (size_t)bytes);
        if (!part_progress(p, (double)at / (double)st->data_bytes))
            return conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    conure_sha256_hex(&sha, got);
    if (want && strcmp(got, want) == 0)
        return CONURE_OK;
    return conure_fail(
        err, CONURE_BAD_FILE,
        "the data has SHA-256 %s, the header says %.64s: damaged, convert or fetch it again", got,
        want ? want : "nothing");
}

static conure_status converted_verify(const conure_model *model, conure_progress_fn progress,
                                      void *user, conure_error *err)
{
    conure_safetensors st = {0};
    conure_plan_entry *entries = NULL;
    conure_slices slices = {0};
    part p = {progress, user, 0, 0.3};
    uint32_t n = 0;
    conure_status status = conure_safetensors_open(&st, &model->map, model->name, err);
    if (status == CONURE_OK)
        status = check_data_hash(&st, &p, err);
    if (status == CONURE_OK)
        status = conure_model_plan(model, &entries, &n, err);
    if (status == CONURE_OK)
        status = conure_slices_alloc(&slices, entries, n, err);
    p = (part){progress, user, 0.3, 0.5};
    for (uint32_t i = 0; status == CONURE_OK && i < n; i++) {
        if (entries[i].is_matrix)
            status = check_panels(entries[i].tensor, &slices, err);
        if (status == CONURE_OK && !part_progress(&p, (double)i / n))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    conure_slices_free(&slices);
    free(entries);
    conure_safetensors_close(&st);
    return status;
}

conure_status conure_model_verify(const conure_model *model, conure_progress_fn progress,
                                  void *user, conure_error *err)
{
    conure_plan_entry *entries = NULL;
    part finite = {progress, user, 0.5, 0.6}, hash = {progress, user, 0.6, 1};
    char hex[65];
    uint32_t n = 0;
    if (!model)
        return conure_fail(err, CONURE_BAD_ARG, "no model");
    /* (A model that was made in memory has no file, and nothing to compare with.) */
    const bool converted = model->format == CONURE_FORMAT_CONURE && model->map.data;
    conure_status status = conure_model_need_tensors(model, "verification", err);
    if (status == CONURE_OK && converted)
        status = converted_verify(model, progress, user, err);
    if (status == CONURE_OK)
        status = conure_model_plan(model, &entries, &n, err);
    if (status == CONURE_OK)
        status = check_finite(entries, n, &finite, err);
    if (status == CONURE_OK)
        status = conure_hash_model(model, hex, part_progress, &hash, err);
    if (status == CONURE_OK && converted && strcmp(hex, model->sha256) != 0)
        status = conure_fail(err, CONURE_BAD_FILE,
                             "the weights have SHA-256 %s, the header says %s", hex, model->sha256);
    if (status != CONURE_OK) /* the texts name tensors and sums, not their file */
        conure_error_prefix(err, model->path ? model->path : model->name);
    if (status == CONURE_OK && progress)
        progress(user, 1);
    free(entries);
    return status;
}

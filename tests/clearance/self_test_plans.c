/* self_test_plans.c - see self_test_plans.h. */
#include "self_test_plans.h"

#include "model/blocks.h"
#include "model/load.h"
#include "support.h"

#include <unistd.h>

void scale_weights(conure_model *model, const char *part, float factor)
{
    conure_error err = {""};
    for (uint32_t i = 0; i < model->n_tensors; i++) {
        conure_tensor *t = &model->tensors[i];
        uint64_t n = 1;
        if (!strstr(t->name, part))
            continue;
        for (uint32_t r = 0; r < t->rank; r++)
            n *= t->shape[r];
        float *values = conure_block_alloc(&model->arena, n * sizeof *values);
        test_true(values != NULL);
        good(conure_tensor_read_f32(t, values, n, &err), &err);
        for (uint64_t j = 0; j < n; j++)
            values[j] *= factor;
        t->dtype = CONURE_F32;
        t->layout = CONURE_ROWS;
        t->data = values;
        t->bytes = n * sizeof *values;
    }
}

static void store(conure_plan_side *s, const conure_model *model, const conure_contract *k, const char *folder, const char *name,
                  const char *model_sha256)
{
    char path[128];
    void *bytes;
    conure_error err = {""};
    snprintf(s->gpu, sizeof s->gpu, "%s", trt_host_machine.gpu);
    snprintf(s->tensorrt, sizeof s->tensorrt, "%s", trt_host_machine.version);
    snprintf(s->model, sizeof s->model, "%s", model->name);
    snprintf(s->precision, sizeof s->precision, "f32");
    for (int i = 0; i < CONURE_PLAN_TENSORS; i++)
        snprintf(s->names[i], sizeof s->names[i], "%s", k->names[i]);
    if (model_sha256)
        snprintf(s->model_sha256, sizeof s->model_sha256, "%s", model_sha256);
    else
        good(conure_model_hash(model, s->model_sha256, &err), &err);
    const size_t n = trt_host_plan(s, &bytes);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    good(conure_plan_write(s, path, bytes, n, &err), &err);
    free(bytes);
    test_int(setenv("CONURE_PLANS", folder, 1), 0);
}

void store_plan(const conure_model *model, const conure_contract *k, const char *folder, const char *model_sha256)
{
    const conure_profile *p = &k->profiles[0];
    conure_plan_side s = {.mask_exact = k->mask_exact, .streaming = true, .layer_first = k->layer_first, .drop_first = k->streaming.drop_extra[0],
                          .t = {p->t_min, p->t_opt, p->t_max}, .b = {1, 4, 4}};
    test_int(k->streaming.drop_extra[0], k->streaming.drop_extra[1]); /* one plan serves all steps */
    conure_contract_cache_options(k, &s.caches);
    store(&s, model, k, folder, "step", model_sha256);
}

void store_offline_plan(const conure_model *model, const conure_contract *k, const char *folder, uint32_t frames_max)
{
    conure_plan_side s = {.mask_exact = k->mask_exact, .t = {9, frames_max, frames_max}, .b = {1, 1, 1}};
    store(&s, model, k, folder, "offline", NULL);
}

void remove_plan(const char *folder)
{
    static const char *const names[] = {"step.plan", "step.json", "offline.plan", "offline.json"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        test_true(unlink(path) == 0 || i >= 2);
    }
}

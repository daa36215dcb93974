/* nemo_support.h - opening and closing archives without the common part of conure_model_open(). */
#ifndef CONURE_TESTS_MODEL_NEMO_SUPPORT_H
#define CONURE_TESTS_MODEL_NEMO_SUPPORT_H

#include "model/blocks.h"
#include "model/nemo.h"
#include "test.h"

static inline void nemo_close(conure_model *model)
{
    conure_tokenizer_free(&model->tokenizer);
    conure_blocks_free(&model->arena);
    if (model->map_owned)
        conure_map_close(&model->map);
    *model = (conure_model){0};
}

static inline conure_status nemo_open_file(conure_model *model, const char *path, conure_error *err)
{
    *model = (conure_model){0};
    err->text[0] = '\0';
    const conure_status status = conure_map_open(&model->map, path, err);
    model->map_owned = true;
    return status == CONURE_OK ? conure_nemo_open(model, path, err) : status;
}

/* bytes of the caller, in place. */
static inline conure_status nemo_open_memory(conure_model *model, const void *data, size_t bytes,
                                             conure_error *err)
{
    *model = (conure_model){.map = {data, bytes}};
    err->text[0] = '\0';
    return conure_nemo_open(model, "test.nemo", err);
}

static inline const conure_tensor *nemo_tensor(const conure_model *model, const char *name)
{
    for (uint32_t i = 0; i < model->n_tensors; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return &model->tensors[i];
    return NULL;
}

#endif

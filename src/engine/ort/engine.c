/* engine.c - the engine table filled for ONNX Runtime, once for each provider. */
#include "engine/ort/ort.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

static void ort_close(void **self)
{
    conure_ort *r = *self;
    if (!r)
        return;
    const conure_ort_api *api = &r->library.api;
    conure_ort_watch_close(r);
    conure_ort_encoders_close(r);
    conure_ort_session_close(r, &r->project);
    conure_ort_session_close(r, &r->predict);
    conure_ort_session_close(r, &r->joint);
    if (r->allocator)
        api->ReleaseAllocator(r->allocator);
    conure_ort_session_close(r, &r->move);
    if (r->run)
        api->ReleaseRunOptions(r->run);
    if (r->device)
        api->ReleaseMemoryInfo(r->device);
    if (r->host)
        api->ReleaseMemoryInfo(r->host);
    if (r->env)
        api->ReleaseEnv(r->env);
    conure_ort_library_close(&r->library);
    conure_ort_room *const rooms[] = {&r->mel, &r->out, &r->batch[0], &r->batch[1], &r->batch[2], &r->batch[3], &r->decoder[0], &r->decoder[1],
                                      &r->decoder[2]};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        free(rooms[i]->data);
    free(r);
    *self = NULL;
}

/* The library prints its warnings unless somebody takes them.  What goes wrong comes back as a status with the same words. */
static void quiet(void *user, int severity, const char *category, const char *id, const char *where, const char *text)
{
    (void)user, (void)severity, (void)category, (void)id, (void)where, (void)text;
}

static conure_status open_parts(conure_ort *r, conure_error *err)
{
    const conure_ort_api *api = &r->library.api;
    const conure_ort_library *l = &r->library;
    const char *memory = conure_ort_memory_name(r->provider);
    CONURE_ORT_TRY(conure_ort_library_open(&r->library, r->options.library, err));
    CONURE_ORT_TRY(conure_ort_provider_check(r, err));
    CONURE_ORT_TRY(conure_ort_check(l, api->CreateEnvWithCustomLogger(quiet, NULL, ORT_LOG_FATAL, "conure", &r->env), "starting", err));
    CONURE_ORT_TRY(conure_ort_check(l, api->CreateCpuMemoryInfo(ORT_ALLOCATOR_ARENA, ORT_MEMORY_DEFAULT, &r->host), "memory", err));
    CONURE_ORT_TRY(conure_ort_check(l, api->CreateRunOptions(&r->run), "options of a run", err));
    CONURE_ORT_TRY(conure_ort_watch_open(r, err));
    if (memory) {
        CONURE_ORT_TRY(conure_ort_check(l, api->CreateMemoryInfo(memory, ORT_ALLOCATOR_DEVICE, (int)r->options.device, ORT_MEMORY_DEFAULT,
                                                                 &r->device), "device memory", err));
        CONURE_ORT_TRY(conure_ort_device_open(r, err));
    }
    return conure_ort_decoder_open(r, err);
}

static conure_status ort_open(void **self, conure_ort_provider provider, const conure_model *model, const conure_engine_options *options,
                              conure_error *err)
{
    const char *name = conure_ort_engine_name(provider);
    *self = NULL;
    if (options->precision != CONURE_PRECISION_F32)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine %s computes in f32, not in %s", name, conure_precision_name(options->precision));
    if (options->isa)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine %s chooses its instructions itself: leave out isa", name);
    if (options->device && !conure_ort_memory_name(provider))
        return conure_fail(err, CONURE_BAD_ARG, "engine %s has no device %u: leave out device", name, options->device);
    conure_ort *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "an engine", sizeof *r);
    r->model = model;
    r->config = &model->config;
    r->provider = provider;
    r->options = *options;
    void *made = r;
    const conure_status status = open_parts(r, err);
    if (status != CONURE_OK) {
        ort_close(&made);
        return status;
    }
    snprintf(r->description, sizeof r->description, "%s f32, ONNX Runtime %s, %u thread%s, mask %s", name, r->library.version,
             options->n_threads, options->n_threads == 1 ? "" : "s", options->mask == CONURE_MASK_NEMO ? "nemo" : "exact");
    *self = r;
    return CONURE_OK;
}

static const char *ort_describe(const void *self)
{
    return ((const conure_ort *)self)->description;
}

#define X(id, engine, provider, memory)                                                                              \
    static conure_status id##_open(void **self, const conure_model *model, const conure_engine_options *options, conure_error *err) \
    {                                                                                                                \
        return ort_open(self, CONURE_ORT_##id, model, options, err);                                                 \
    }                                                                                                                \
    const conure_engine conure_engine_ort_##id = {                                                                   \
        .name = engine,                                                                                              \
        .precision = CONURE_PRECISION_F32,                                                                           \
        .open = id##_open,                                                                                           \
        .close = ort_close,                                                                                          \
        .describe = ort_describe,                                                                                    \
        .encode_bytes = conure_ort_encode_bytes,                                                                     \
        .encode = conure_ort_encode,                                                                                 \
        .state_open = conure_ort_state_open,                                                                         \
        .state_close = conure_ort_state_close,                                                                       \
        .state_reset = conure_ort_state_reset,                                                                       \
        .state_export = conure_ort_state_export,                                                                     \
        .state_import = conure_ort_state_import,                                                                     \
        .state_bytes = conure_ort_state_bytes,                                                                       \
        .state_length = conure_ort_state_length,                                                                     \
        .state_save = conure_ort_state_save,                                                                         \
        .state_load = conure_ort_state_load,                                                                         \
        .project = conure_ort_project,                                                                               \
        .predict = conure_ort_predict,                                                                               \
        .joint = conure_ort_joint,                                                                                   \
    };
CONURE_ORT_PROVIDERS(X)
#undef X

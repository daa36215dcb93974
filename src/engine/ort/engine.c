/* engine.c - the engine table filled for ONNX Runtime, once for each provider. */
#include "engine/ort/ort.h"

#include "base/memory.h"
#include "onnx/encoder.h"
#include "onnx/ranges.h"

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
    conure_observations_free(&r->seen);
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
    CONURE_TRY(conure_ort_library_open(&r->library, r->options.library, err));
    CONURE_TRY(conure_ort_provider_check(r, err));
    CONURE_TRY(conure_ort_check(l, api->CreateEnvWithCustomLogger(quiet, NULL, ORT_LOG_FATAL, "conure", &r->env), "starting", err));
    CONURE_TRY(conure_ort_check(l, api->CreateCpuMemoryInfo(ORT_ALLOCATOR_ARENA, ORT_MEMORY_DEFAULT, &r->host), "memory", err));
    CONURE_TRY(conure_ort_check(l, api->CreateRunOptions(&r->run), "options of a run", err));
    CONURE_TRY(conure_ort_watch_open(r, err));
    if (memory) {
        CONURE_TRY(conure_ort_check(l, api->CreateMemoryInfo(memory, ORT_ALLOCATOR_DEVICE, (int)r->options.device, ORT_MEMORY_DEFAULT,
                                                             &r->device), "device memory", err));
        CONURE_TRY(conure_ort_provider_explain(r, conure_ort_device_open(r, err), err));
    }
    return conure_ort_decoder_open(r, err);
}

/* int8 without ranges would be a guess: there are no scales in a checkpoint. */
static conure_status check_precision(const char *name, const conure_model *model, const conure_engine_options *options, conure_error *err)
{
    const conure_precision p = options->precision;
    const char *text = conure_precision_name(p);
    if (p != CONURE_PRECISION_F32 && p != CONURE_PRECISION_F16 && p != CONURE_PRECISION_BF16 && p != CONURE_PRECISION_INT8)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine %s computes in f32, f16, bf16 or int8, not in %s", name, text);
    if (p != CONURE_PRECISION_F32 && model->graphs)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: exported graphs run in what they were exported in: leave out %s", model->name, text);
    if (options->ranges && p != CONURE_PRECISION_INT8 && p != CONURE_PRECISION_F16)
        return conure_fail(err, CONURE_BAD_ARG, "engine %s: ranges are for int8 and f16, not for %s: leave them out", name, text);
    if (p == CONURE_PRECISION_INT8 && !options->ranges)
        return conure_fail(err, CONURE_BAD_ARG, "engine %s:int8 takes its scales from speech: make them with  conure export ranges -m MODEL -o FILE "
                           "AUDIO...  and name them: %s:int8@ranges=FILE", name, name);
    return CONURE_OK;
}

static conure_status read_ranges(conure_ort *r, conure_error *err)
{
    const char *name = conure_ort_engine_name(r->provider);
    conure_encoder_plan plan = {.mask_exact = false};
    if (r->options.ranges)
        CONURE_TRY(conure_ranges_read(&r->seen, r->model, r->options.ranges, r->ranges_sha256, err));
    else if (r->options.precision == CONURE_PRECISION_F16)
        conure_log_write(&r->options.log, CONURE_LOG_WARNING, "%s:f16 without ranges: which layers do not fit float16 is not known, and none stays "
                         "float32; conure export ranges makes them, %s:f16@ranges=FILE names them", name, name);
    conure_encoder_plan_narrow(&plan, r->options.precision, r->seen, false, false);
    const uint32_t n = conure_encoder_n_wide(&plan, r->config->n_layers);
    if (n && r->seen)
        conure_log_write(&r->options.log, CONURE_LOG_INFO, "%s:f16: %u of %u parts of the encoder (subsampling, layers) stay float32", name, n,
                         r->config->n_layers + 1);
    return CONURE_OK;
}

/* By its ranges an int8 engine is another one. */
static void describe(conure_ort *r)
{
    char ranges[40] = "";
    if (r->seen)
        snprintf(ranges, sizeof ranges, " (ranges %.12s)", r->ranges_sha256);
    snprintf(r->description, sizeof r->description, "%s %s%s, ONNX Runtime %s, %u thread%s, mask %s", conure_ort_engine_name(r->provider),
             conure_precision_name(r->options.precision), ranges, r->library.version, r->options.n_threads,
             r->options.n_threads == 1 ? "" : "s", r->options.mask == CONURE_MASK_NEMO ? "nemo" : "exact");
}

static conure_status ort_open(void **self, conure_ort_provider provider, const conure_model *model, const conure_engine_options *options,
                              conure_error *err)
{
    const char *name = conure_ort_engine_name(provider);
    *self = NULL;
    CONURE_TRY(check_precision(name, model, options, err));
    if (options->device && !conure_ort_memory_name(provider))
        return conure_fail(err, CONURE_BAD_ARG, "engine %s takes no device: leave it out", name);
    conure_ort *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "an engine", sizeof *r);
    r->model = model;
    r->config = &model->config;
    r->provider = provider;
    r->options = *options;
    conure_contract_windows(&r->names, r->config, 1);
    void *made = r;
    conure_status status = read_ranges(r, err);
    if (status == CONURE_OK)
        status = open_parts(r, err);
    if (status != CONURE_OK) {
        ort_close(&made);
        return status;
    }
    describe(r);
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
        .takes = CONURE_TAKES_DEVICE | CONURE_TAKES_LIBRARY | CONURE_TAKES_RANGES,                                   \
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

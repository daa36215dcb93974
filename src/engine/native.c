/* native.c - the engine that is our own network on a backend's operations. */
#include "base/memory.h"
#include "encoder/encoder.h"
#include "engine/engine.h"
#include "model/graphs.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct native {
    const conure_ops *ops;
    void *backend;
    conure_network *network;
    char description[224];
} native;

static void native_close(void **self)
{
    native *n = *self;
    if (!n)
        return;
    conure_network_close(&n->network);
    if (n->backend)
        n->ops->close(&n->backend);
    free(n);
    *self = NULL;
}

static conure_status native_open(void **self, const conure_ops *ops, const conure_model *model,
                                 const conure_engine_options *options, conure_error *err)
{
    const conure_backend_options backend = {
        .n_threads = options->n_threads, .isa = options->isa, .precision = options->precision,
        .cancel = options->cancel, .log = options->log};
    *self = NULL;
    if (options->precision == CONURE_PRECISION_F64 || options->precision == CONURE_PRECISION_TF32 || options->precision == CONURE_PRECISION_F16)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine %s computes in f32, bf16 or int8, not in %s; %s", ops->name,
                           conure_precision_name(options->precision),
                           options->precision == CONURE_PRECISION_F64 ? "engine ref does" :
                           options->precision == CONURE_PRECISION_F16 ? "engines trt and ort/... do" : "engine trt does");
    const conure_status usable = conure_model_need_tensors(model, ops->name, err);
    if (usable != CONURE_OK)
        return usable;
    native *n = conure_calloc(1, sizeof *n);
    if (!n)
        return conure_fail_memory(err, "an engine", sizeof *n);
    n->ops = ops;
    void *made = n;
    conure_status status = ops->open(&n->backend, &backend, err);
    if (status == CONURE_OK)
        status = conure_network_open(&n->network, model, ops, n->backend, options->mask, options->cancel, err);
    if (status == CONURE_OK)
        conure_network_set_progress(n->network, options->progress, options->progress_user);
    if (status != CONURE_OK) {
        native_close(&made);
        return status;
    }
    snprintf(n->description, sizeof n->description, "%s %s, %s, mask %s", ops->name, conure_precision_name(options->precision),
             ops->describe(n->backend), options->mask == CONURE_MASK_NEMO ? "nemo" : "exact");
    *self = n;
    return CONURE_OK;
}

static conure_status cpu_open(void **self, const conure_model *model, const conure_engine_options *options,
                              conure_error *err)
{
    return native_open(self, &conure_ops_cpu, model, options, err);
}

/* A call that failed may leave word of items that a cancel flag skipped, which only wait() takes back: it
 * belongs to that call, and the next one must not hear of it. */
static conure_status settled(const native *n, conure_status status)
{
    if (status != CONURE_OK && n->ops->wait)
        (void)n->ops->wait(n->backend, NULL);
    return status;
}

static const char *native_describe(const void *self)
{
    return ((const native *)self)->description;
}

static void native_set_probe(void *self, conure_probe_fn probe, void *user)
{
    conure_network_set_probe(((native *)self)->network, probe, user);
}

static uint64_t native_encode_bytes(const void *self, const uint32_t *mel_frames, uint32_t n)
{
    return conure_network_encode_bytes(((const native *)self)->network, mel_frames, n);
}

static conure_status native_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    return settled(self, conure_network_encode(((native *)self)->network, rows, n, err));
}

static conure_status native_state_open(void *self, conure_state **out, const conure_cache_options *options,
                                       conure_error *err)
{
    return conure_network_state_open(((native *)self)->network, out, options, err);
}

static void native_state_close(void *self, conure_state **state)
{
    conure_network_state_close(((native *)self)->network, state);
}

static void native_state_reset(void *self, conure_state *state)
{
    conure_network_state_reset(((native *)self)->network, state);
}

static conure_status native_state_export(void *self, const conure_state *state, float *last_channel,
                                         float *last_time, int64_t *length, conure_error *err)
{
    return conure_network_state_export(((native *)self)->network, state, last_channel, last_time, length, err);
}

static conure_status native_state_import(void *self, conure_state *state, const float *last_channel,
                                         const float *last_time, int64_t length, conure_error *err)
{
    return settled(self, conure_network_state_import(((native *)self)->network, state, last_channel, last_time, length, err));
}

static void native_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory)
{
    conure_network_state_bytes(((const native *)self)->network, state, snapshot, memory);
}

static int64_t native_state_length(const void *self, const conure_state *state)
{
    (void)self;
    return conure_network_state_length(state);
}

static conure_status native_state_save(void *self, const conure_state *state, void *dst, conure_error *err)
{
    return settled(self, conure_network_state_save(((native *)self)->network, state, dst, err));
}

static conure_status native_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    return settled(self, conure_network_state_load(((native *)self)->network, state, src, bytes, err));
}

static conure_status native_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    return settled(self, conure_network_project(((native *)self)->network, encoder, n, out, err));
}

static conure_status native_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n,
                                    float *out, conure_error *err)
{
    return settled(self, conure_network_predict(((native *)self)->network, tokens, h, c, n, out, err));
}

static conure_status native_joint(void *self, const float *const *frames, const float *const *predictions,
                                  uint32_t n, float *logits, conure_error *err)
{
    return settled(self, conure_network_joint(((native *)self)->network, frames, predictions, n, logits, err));
}

const conure_engine conure_engine_native_cpu = {
    .name = "cpu",
    .takes = CONURE_TAKES_ISA,
    .kv_bf16 = true,
    .open = cpu_open,
    .close = native_close,
    .describe = native_describe,
    .set_probe = native_set_probe,
    .encode_bytes = native_encode_bytes,
    .encode = native_encode,
    .state_open = native_state_open,
    .state_close = native_state_close,
    .state_reset = native_state_reset,
    .state_export = native_state_export,
    .state_import = native_state_import,
    .state_bytes = native_state_bytes,
    .state_length = native_state_length,
    .state_save = native_state_save,
    .state_load = native_state_load,
    .project = native_project,
    .predict = native_predict,
    .joint = native_joint,
};

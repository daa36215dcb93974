/* cpu.c - the CPU backend's instance: what it may use of this processor, its threads, its table. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct instance {
    conure_cpu cpu; /* first: what the operations see */
    conure_kernels kernels;
} instance;

static void cpu_close(void **self)
{
    if (!self || !*self)
        return;
    instance *it = *self;
    conure_pool_close(&it->cpu.pool);
    conure_arena_free(&it->cpu.scratch);
    free(it);
    *self = NULL;
}

static conure_status cpu_open(void **self, const conure_backend_options *options, conure_error *err)
{
    *self = NULL;
    if (options->precision != CONURE_PRECISION_F32 && options->precision != CONURE_PRECISION_BF16 &&
        options->precision != CONURE_PRECISION_INT8)
        return conure_fail(err, CONURE_BAD_ARG, "precision %d: expected f32, bf16 or int8",
                           (int)options->precision);
    uint32_t features;
    conure_status status = conure_cpu_features(&features, options->isa, err);
    if (status != CONURE_OK)
        return status;
    instance *it = conure_calloc(1, sizeof *it);
    if (!it)
        return conure_fail_memory(err, "the CPU backend", sizeof *it);
    it->cpu.features = features;
    it->cpu.precision = options->precision;
    it->cpu.log = options->log;
    it->cpu.kernels = &it->kernels;
    conure_kernels_choose(&it->kernels, features);
    void *made = it;
    status = conure_pool_open(&it->cpu.pool, options->n_threads, err);
    if (status != CONURE_OK) {
        cpu_close(&made);
        return status;
    }
    conure_pool_set_cancel(it->cpu.pool, options->cancel);
    char text[96];
    snprintf(it->cpu.description, sizeof it->cpu.description, "%s, %u thread%s",
             conure_cpu_features_text(features, text, sizeof text), options->n_threads,
             options->n_threads == 1 ? "" : "s");
    *self = made;
    return CONURE_OK;
}

static const char *cpu_describe(const void *self)
{
    return ((const conure_cpu *)self)->description;
}

static conure_status cpu_alloc(void *self, void **out, size_t bytes, conure_error *err)
{
    (void)self;
    *out = conure_alloc_aligned(bytes ? bytes : 1);
    return *out ? CONURE_OK : conure_fail_memory(err, "activations", bytes);
}

static void cpu_free(void *self, void *memory)
{
    (void)self;
    free(memory);
}

/* The host's memory is the backend's: upload, download and copy are one. */
static conure_status cpu_copy(void *self, void *dst, const void *src, size_t bytes,
                              conure_error *err)
{
    (void)self;
    (void)err;
    if (bytes)
        memmove(dst, src, bytes);
    return CONURE_OK;
}

static conure_status cpu_zero(void *self, void *dst, size_t bytes, conure_error *err)
{
    (void)self;
    (void)err;
    if (bytes)
        memset(dst, 0, bytes);
    return CONURE_OK;
}

/* Every operation is done when it returns, unless the pool skipped items of it. */
static conure_status cpu_wait(void *self, conure_error *err)
{
    return conure_pool_skipped(((conure_cpu *)self)->pool) ? conure_fail(err, CONURE_CANCELLED, "cancelled") : CONURE_OK;
}

const conure_ops conure_ops_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .describe = cpu_describe,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .weight_create = conure_cpu_weight_create,
    .weight_free = conure_cpu_weight_free,
    .weight_borrows = conure_cpu_weight_borrows,
    .linear = conure_cpu_linear,
    .layer_norm = conure_cpu_layer_norm,
    .attention = conure_cpu_attention,
    .conv = conure_cpu_conv,
    .subsample = conure_cpu_subsample,
    .flatten = conure_cpu_flatten,
    .lstm_cell = conure_cpu_lstm_cell,
    .add_relu = conure_cpu_add_relu,
    .store_rows = conure_cpu_store_rows,
    .load_rows = conure_cpu_load_rows,
    .wait = cpu_wait,
};

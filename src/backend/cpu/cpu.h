/* cpu.h - what the parts of the CPU backend share: the instance, the kernel table, packed weights. */
#ifndef CONURE_BACKEND_CPU_H
#define CONURE_BACKEND_CPU_H

#include "backend/ops.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/threads.h"

typedef struct conure_kernels conure_kernels; /* kernels.h */

typedef struct conure_cpu {
    conure_pool *pool;
    uint32_t features; /* CONURE_CPU_* in use */
    conure_precision precision;
    const conure_kernels *kernels; /* chosen once, by features */
    conure_arena scratch;          /* grown between calls, never within one */
    conure_log log;
    char description[160];
} conure_cpu;

/* The operations, one file each: linear.c, attention.c, norm.c, conv.c, subsample.c, cell.c, store.c. */
conure_status conure_cpu_weight_create(void *self, conure_weight **out, const conure_tensor *matrix,
                                       const float *bias, conure_error *err);
void conure_cpu_weight_free(void *self, conure_weight **weight);
bool conure_cpu_weight_borrows(const conure_weight *weight);
conure_status conure_cpu_linear(void *self, conure_rows src, const conure_product *products,
                                uint32_t n_products, conure_error *err);
conure_status conure_cpu_layer_norm(void *self, conure_rows dst, conure_rows src, const float *gamma,
                                    const float *beta, conure_error *err);
conure_status conure_cpu_attention(void *self, const conure_attention *a, conure_error *err);
conure_status conure_cpu_conv(void *self, const conure_conv *c, conure_error *err);
conure_status conure_cpu_subsample(void *self, const conure_subsample *s, conure_error *err);
conure_status conure_cpu_flatten(void *self, conure_rows dst, const float *src, uint32_t width,
                                 uint32_t channels, conure_error *err);
conure_status conure_cpu_lstm_cell(void *self, conure_rows h, conure_rows c, conure_rows gates,
                                   conure_error *err);
conure_status conure_cpu_add_relu(void *self, conure_rows dst, conure_rows a, conure_rows b,
                                  conure_error *err);
conure_status conure_cpu_store_rows(void *self, const conure_stored *stored, uint32_t n,
                                    conure_error *err);
conure_status conure_cpu_load_rows(void *self, const conure_stored *stored, uint32_t n,
                                   conure_error *err);

#endif

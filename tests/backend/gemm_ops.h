/* gemm_ops.h - CPU instances, weights and guarded matrices for the tests of linear() and weights. */
#ifndef CONURE_TEST_GEMM_OPS_H
#define CONURE_TEST_GEMM_OPS_H

#include "gemm_fixture.h"

#include "backend/cpu/cpu.h"
#include "backend/cpu/weight.h"
#include "backend/ops.h"
#include "model/panels.h"

static const char *const precision_names[] = {"", "f32", "bf16", "int8"};

/* NULL when this processor does not reach the level. */
static inline void *cpu_instance(const char *isa, conure_precision precision, uint32_t n_threads)
{
    conure_backend_options options = {.n_threads = n_threads, .isa = isa, .precision = precision};
    conure_error err;
    void *self = NULL;
    const conure_status status = conure_ops_cpu.open(&self, &options, &err);
    if (status != CONURE_OK && status != CONURE_BACKEND) {
        fprintf(stderr, "open: %s\n", err.text);
        abort();
    }
    return self;
}

static inline conure_tensor matrix_tensor(const void *data, conure_dtype dtype, size_t n, size_t k)
{
    conure_tensor t = {.name = "w", .dtype = dtype, .rank = 2, .shape = {n, k}, .data = data};
    t.bytes = n * k * conure_dtype_bytes(dtype);
    return t;
}

/* Numbers of the processes: weights around 1 / sqrt(k), so that sums are around 1. */
static inline float *random_floats(size_t count, float size, uint64_t *seed)
{
    float *x = malloc((count ? count : 1) * sizeof *x);
    if (!x)
        abort();
    for (size_t i = 0; i < count; i++)
        x[i] = test_uniform(seed, -size, size);
    return x;
}

/* Rows within a block of guards (0xA5 in every byte); first points inside. */
typedef struct guarded_rows {
    void *block;
    size_t block_bytes;
    conure_rows rows;
} guarded_rows;

static inline guarded_rows guarded_rows_new(uint32_t rows, uint32_t cols)
{
    guarded_rows g = {.rows = {.rows = rows, .cols = cols, .stride = cols + 3}};
    g.block_bytes = (rows + 2) * g.rows.stride * sizeof(float);
    g.block = guarded(g.block_bytes);
    g.rows.data = (float *)g.block + g.rows.stride;
    return g;
}

static inline bool guarded_rows_intact(const guarded_rows *g)
{
    const float *data = g->rows.data;
    const size_t stride = g->rows.stride, cols = g->rows.cols;
    bool ok = untouched(g->block, stride * sizeof *data);
    for (size_t i = 0; i < g->rows.rows; i++)
        ok = ok && untouched(data + i * stride + cols, (stride - cols) * sizeof *data);
    return ok && untouched(data + g->rows.rows * stride, stride * sizeof *data);
}

#endif

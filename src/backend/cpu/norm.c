/* norm.c - layer normalisation and the joint's sum with ReLU, row by row. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/split.h"
#include "base/inject.h"

#include <math.h>

typedef struct row_job {
    const conure_kernels *kernels;
    conure_rows dst, a, b; /* b: add_relu only */
    const float *gamma, *beta;
    uint32_t rows_per_item;
} row_job;

static uint32_t item_end(const row_job *job, uint32_t first)
{
    const uint32_t left = job->dst.rows - first;
    return first + (left < job->rows_per_item ? left : job->rows_per_item);
}

/* A value that half precision makes infinite: infinity less its mean is no number, and so is the whole row. */
static bool overflows_half(const float *row, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (fabsf(row[i]) >= 65520)
            return true;
    return false;
}

static void norm_item(void *arg, uint32_t item, uint32_t worker)
{
    const row_job *job = arg;
    const uint32_t first = item * job->rows_per_item, end = item_end(job, first);
    (void)worker;
    for (uint32_t r = first; r < end; r++) {
        float *dst = job->dst.data + r * job->dst.stride;
        const float *src = job->a.data + r * job->a.stride;
        const bool lost = CONURE_INJECTED(NORM_OVERFLOW) && overflows_half(src, job->dst.cols);
        job->kernels->layer_norm_row(dst, src, job->gamma, job->beta, job->dst.cols);
        for (uint32_t i = 0; lost && i < job->dst.cols; i++)
            dst[i] = NAN;
    }
}

static void add_relu_item(void *arg, uint32_t item, uint32_t worker)
{
    const row_job *job = arg;
    const uint32_t first = item * job->rows_per_item, end = item_end(job, first);
    (void)worker;
    for (uint32_t r = first; r < end; r++)
        job->kernels->add_relu_row(job->dst.data + r * job->dst.stride,
                                   job->a.data + r * job->a.stride, job->b.data + r * job->b.stride,
                                   job->dst.cols);
}

static bool same_shape(conure_rows a, conure_rows b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

conure_status conure_cpu_layer_norm(void *self, conure_rows dst, conure_rows src,
                                    const float *gamma, const float *beta, conure_error *err)
{
    conure_cpu *cpu = self;
    row_job job = {.kernels = cpu->kernels, .dst = dst, .a = src, .gamma = gamma, .beta = beta};
    if (!same_shape(dst, src) || dst.cols == 0)
        return conure_fail(err, CONURE_INTERNAL, "layer_norm: src [%u, %u], dst [%u, %u]", src.rows,
                           src.cols, dst.rows, dst.cols);
    job.rows_per_item = conure_split_rows(dst.cols);
    conure_pool_run(cpu->pool, conure_split_items(dst.rows, job.rows_per_item), norm_item, &job);
    return CONURE_OK;
}

conure_status conure_cpu_add_relu(void *self, conure_rows dst, conure_rows a, conure_rows b,
                                  conure_error *err)
{
    conure_cpu *cpu = self;
    row_job job = {.kernels = cpu->kernels, .dst = dst, .a = a, .b = b};
    if (!same_shape(dst, a) || !same_shape(dst, b))
        return conure_fail(err, CONURE_INTERNAL, "add_relu: [%u, %u] + [%u, %u] into [%u, %u]",
                           a.rows, a.cols, b.rows, b.cols, dst.rows, dst.cols);
    job.rows_per_item = conure_split_rows(dst.cols);
    conure_pool_run(cpu->pool, conure_split_items(dst.rows, job.rows_per_item), add_relu_item,
                    &job);
    return CONURE_OK;
}

/* store.c - rows to and from where they are kept between calls, as f32 or bf16: the keys and values of
 * a stream's cache.  Each item moves some rows of one entry. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/split.h"

#include <string.h>

typedef struct store_job {
    const conure_kernels *kernels;
    const conure_stored *stored;
} store_job;

/* The rows that an item moves. */
typedef struct store_part {
    const conure_stored *stored;
    uint32_t first, end;
} store_part;

static uint32_t items_of(const conure_stored *s)
{
    return conure_split_items(s->rows.rows, conure_split_rows(s->rows.cols));
}

static store_part part_of(const store_job *job, uint32_t item)
{
    const conure_stored *s = job->stored;
    while (item >= items_of(s))
        item -= items_of(s++);
    const uint32_t n = conure_split_rows(s->rows.cols), left = s->rows.rows - item * n;
    return (store_part){s, item * n, item * n + (left < n ? left : n)};
}

static void store_item(void *arg, uint32_t item, uint32_t worker)
{
    const store_job *job = arg;
    const store_part part = part_of(job, item);
    const conure_stored *s = part.stored;
    const size_t cols = s->rows.cols;
    (void)worker;
    for (size_t r = part.first; r < part.end; r++) {
        const float *src = s->rows.data + r * s->rows.stride;
        if (s->bf16)
            job->kernels->f32_to_bf16_row((uint16_t *)s->data + r * s->stride, src, cols, cols);
        else
            memcpy((float *)s->data + r * s->stride, src, cols * sizeof *src);
    }
}

static void load_item(void *arg, uint32_t item, uint32_t worker)
{
    const store_job *job = arg;
    const store_part part = part_of(job, item);
    const conure_stored *s = part.stored;
    const size_t cols = s->rows.cols;
    (void)worker;
    for (size_t r = part.first; r < part.end; r++) {
        float *dst = s->rows.data + r * s->rows.stride;
        if (s->bf16)
            job->kernels->bf16_to_f32_row(dst, (const uint16_t *)s->data + r * s->stride, cols);
        else
            memcpy(dst, (const float *)s->data + r * s->stride, cols * sizeof *dst);
    }
}

static conure_status run(conure_cpu *cpu, const conure_stored *stored, uint32_t n,
                         void (*item)(void *, uint32_t, uint32_t), conure_error *err)
{
    store_job job = {cpu->kernels, stored};
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < n; i++) {
        const conure_rows *rows = &stored[i].rows;
        if (rows->rows && (rows->stride < rows->cols || stored[i].stride < rows->cols))
            return conure_fail(err, CONURE_INTERNAL, "stored rows of %u: strides %zu and %zu",
                               rows->cols, rows->stride, stored[i].stride);
        n_items += items_of(&stored[i]);
    }
    conure_pool_run(cpu->pool, n_items, item, &job);
    return CONURE_OK;
}

conure_status conure_cpu_store_rows(void *self, const conure_stored *stored, uint32_t n,
                                    conure_error *err)
{
    return run(self, stored, n, store_item, err);
}

conure_status conure_cpu_load_rows(void *self, const conure_stored *stored, uint32_t n,
                                   conure_error *err)
{
    return run(self, stored, n, load_item, err);
}

/* gemm_dnnl.c - the yardstick: oneDNN's matmul, f32, bf16 into f32, and u8 by s8 into s32.  Weights are
 * reordered once to the layout it prefers; one OpenMP thread unless asked for more. */
#include "gemm_bench.h"

#if defined(CONURE_BENCH_DNNL)
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

extern void omp_set_num_threads(int n); /* of the OpenMP that oneDNN was built on */

struct bench_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t matmul;
    dnnl_memory_t src, dst, *weights;
    size_t copies;
};

static void must(dnnl_status_t status, const char *what)
{
    if (status != dnnl_success) {
        fprintf(stderr, "oneDNN: %s failed (%d)\n", what, (int)status);
        exit(1);
    }
}

/* Memory of its own, filled with zeros: reordering and products take as long as with other values. */
static dnnl_memory_t memory_new(const dnnl_memory_desc_t *desc, dnnl_engine_t engine)
{
    dnnl_memory_t memory;
    void *data;
    must(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_ALLOCATE), "memory");
    must(dnnl_memory_get_data_handle(memory, &data), "handle");
    const size_t bytes = dnnl_memory_desc_get_size(desc);
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)data)[i] = 0;
    return memory;
}

bench_dnnl *bench_dnnl_open(uint32_t m, uint32_t n, uint32_t k, int precision, size_t copies,
                            uint32_t n_threads)
{
    static const dnnl_data_type_t src_types[] = {0, dnnl_f32, dnnl_bf16, dnnl_u8};
    static const dnnl_data_type_t weight_types[] = {0, dnnl_f32, dnnl_bf16, dnnl_s8};
    static const dnnl_data_type_t dst_types[] = {0, dnnl_f32, dnnl_f32, dnnl_s32};
    const dnnl_dims_t src_dims = {m, k}, weight_dims = {k, n}, dst_dims = {m, n};
    dnnl_memory_desc_t src, weight, dst;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t pd;
    bench_dnnl *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    omp_set_num_threads((int)n_threads);
    must(dnnl_engine_create(&b->engine, dnnl_cpu, 0), "engine");
    must(dnnl_stream_create(&b->stream, b->engine, dnnl_stream_default_flags), "stream");
    must(dnnl_memory_desc_init_by_tag(&src, 2, src_dims, src_types[precision], dnnl_ab), "src");
    must(dnnl_memory_desc_init_by_tag(&weight, 2, weight_dims, weight_types[precision],
                                      dnnl_format_tag_any),
         "weights");
    must(dnnl_memory_desc_init_by_tag(&dst, 2, dst_dims, dst_types[precision], dnnl_ab), "dst");
    must(dnnl_matmul_desc_init(&desc, &src, &weight, NULL, &dst), "matmul");
    if (dnnl_primitive_desc_create(&pd, &desc, NULL, b->engine, NULL) != dnnl_success) {
        bench_dnnl_close(b);
        return NULL;
    }
    must(dnnl_primitive_create(&b->matmul, pd), "primitive");
    b->src = memory_new(&src, b->engine);
    b->dst = memory_new(&dst, b->engine);
    b->weights = calloc(copies, sizeof *b->weights);
    b->copies = copies;
    for (size_t i = 0; b->weights && i < copies; i++)
        b->weights[i] =
            memory_new(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), b->engine);
    must(dnnl_primitive_desc_destroy(pd), "destroy");
    return b;
}

static void *memory_data(dnnl_memory_t memory)
{
    void *data;
    must(dnnl_memory_get_data_handle(memory, &data), "handle");
    return data;
}

void *bench_dnnl_src(const bench_dnnl *b)
{
    return memory_data(b->src);
}

const void *bench_dnnl_dst(const bench_dnnl *b)
{
    return memory_data(b->dst);
}

void bench_dnnl_run(bench_dnnl *b, size_t copy)
{
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, b->src}, {DNNL_ARG_WEIGHTS, b->weights[copy]}, {DNNL_ARG_DST, b->dst}};
    must(dnnl_primitive_execute(b->matmul, b->stream, 3, args), "execute");
    must(dnnl_stream_wait(b->stream), "wait");
}

void bench_dnnl_close(bench_dnnl *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->copies; i++)
        dnnl_memory_destroy(b->weights[i]);
    free(b->weights);
    if (b->src)
        dnnl_memory_destroy(b->src);
    if (b->dst)
        dnnl_memory_destroy(b->dst);
    if (b->matmul)
        dnnl_primitive_destroy(b->matmul);
    dnnl_stream_destroy(b->stream);
    dnnl_engine_destroy(b->engine);
    free(b);
}
#else
void *bench_dnnl_src(const bench_dnnl *b)
{
    (void)b;
    return NULL;
}

const void *bench_dnnl_dst(const bench_dnnl *b)
{
    (void)b;
    return NULL;
}

bench_dnnl *bench_dnnl_open(uint32_t m, uint32_t n, uint32_t k, int precision, size_t copies,
                            uint32_t n_threads)
{
    (void)m, (void)n, (void)k, (void)precision, (void)copies, (void)n_threads;
    return NULL;
}

void bench_dnnl_run(bench_dnnl *b, size_t copy)
{
    (void)b, (void)copy;
}

void bench_dnnl_close(bench_dnnl *b)
{
    (void)b;
}
#endif

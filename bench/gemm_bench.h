/* gemm_bench.h - what bench_gemm measures itself against. */
#ifndef CONURE_GEMM_BENCH_H
#define CONURE_GEMM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* G operations a second of one core that does nothing but products of registers; precision as
 * conure_precision.  Of the best instructions that features (CONURE_CPU_*) hold, AMX excepted. */
double bench_peak(uint32_t features, int precision);

/* A oneDNN matmul with `copies` weights packed as it likes; NULL without oneDNN or without the type. */
typedef struct bench_dnnl bench_dnnl;
bench_dnnl *bench_dnnl_open(uint32_t m, uint32_t n, uint32_t k, int precision, size_t copies,
                            uint32_t n_threads);
void *bench_dnnl_src(const bench_dnnl *b);       /* [m][k] of its type */
const void *bench_dnnl_dst(const bench_dnnl *b); /* [m][n] f32, s32 for int8 */
void bench_dnnl_run(bench_dnnl *b, size_t copy);
void bench_dnnl_close(bench_dnnl *b); /* NULL-safe */

#endif

/* peak.c - loops of independent multiply-adds, one per instruction; see peak.h.
 *
 * Twelve sums hide the latency of every known processor (4 to 6 cycles, two units).  The functions carry
 * their target as an attribute, not as flags of the file: each is ten lines, and only conure_peak_measure() calls them. */
#include "cli/peak.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "cli/terminal.h"

#define SUMS 12
#define MEASURE_S 0.2

/* Runs rounds of SUMS multiply-adds. */
typedef void (*loop_fn)(uint64_t rounds);

typedef struct loop {
    const char *instruction;
    uint32_t needs; /* CPU features */
    conure_precision precision;
    double ops;     /* of one multiply-add */
    loop_fn run;
} loop;

#if defined(__x86_64__)
#include <immintrin.h>

/* The empty assembly keeps the compiler from seeing that the sums are never used. */
#define KEEP(x) __asm__ volatile("" : "+x"(x))
#define KEEP_ALL                                                                                   \
    for (int i = 0; i < SUMS; i++)                                                                 \
    KEEP(sum[i])

__attribute__((target("avx2,fma"))) static void fma_256(uint64_t rounds)
{
    __m256 sum[SUMS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_ps();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm256_fmadd_ps(a, sum[i], b);
        KEEP(a);
    }
    KEEP_ALL;
}

__attribute__((target("avx512f"))) static void fma_512(uint64_t rounds)
{
    __m512 sum[SUMS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_ps();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm512_fmadd_ps(a, sum[i], b);
        __asm__ volatile("" : "+v"(a));
    }
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
}

/* Without dot product instructions: two multiplications in a row, 32 products in all. */
__attribute__((target("avx2"))) static void maddubs_256(uint64_t rounds)
{
    __m256i sum[SUMS], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1);
    const __m256i one = _mm256_set1_epi16(1);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_si256();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            KEEP(b);
            sum[i] = _mm256_add_epi32(sum[i],
                                      _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one));
        }
    }
    KEEP_ALL;
}

__attribute__((target("avxvnni"))) static void dpbusd_256(uint64_t rounds)
{
    __m256i sum[SUMS], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(1);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm256_setzero_si256();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, b);
        KEEP(a);
    }
    KEEP_ALL;
}

__attribute__((target("avx512f,avx512vnni"))) static void dpbusd_512(uint64_t rounds)
{
    __m512i sum[SUMS], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(1);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_si512();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
        __asm__ volatile("" : "+v"(a));
    }
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
}

__attribute__((target("avx512f,avx512bf16"))) static void dpbf16_512(uint64_t rounds)
{
    __m512 sum[SUMS];
    __m512i a = _mm512_set1_epi32(0x3f003f00);
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_ps();
    while (rounds--) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)a, (__m512bh)a);
        __asm__ volatile("" : "+v"(a));
    }
    for (int i = 0; i < SUMS; i++)
        __asm__ volatile("" : "+v"(sum[i]));
}

/* The first whose needs are met is used. */
static const loop loops[] = {
    {"vfmadd, 512 bit", CONURE_CPU_AVX512, CONURE_PRECISION_F32, 32, fma_512},
    {"vfmadd, 256 bit", CONURE_CPU_AVX2, CONURE_PRECISION_F32, 16, fma_256},
    {"vpdpbusd, 512 bit", CONURE_CPU_VNNI, CONURE_PRECISION_INT8, 128, dpbusd_512},
    {"vpdpbusd, 256 bit", CONURE_CPU_AVXVNNI, CONURE_PRECISION_INT8, 64, dpbusd_256},
    {"vpmaddubsw and vpmaddwd, 256 bit", CONURE_CPU_AVX2, CONURE_PRECISION_INT8, 64, maddubs_256},
    {"vdpbf16ps, 512 bit", CONURE_CPU_BF16, CONURE_PRECISION_BF16, 64, dpbf16_512},
    {"vfmadd, 512 bit", CONURE_CPU_AVX512, CONURE_PRECISION_BF16, 32, fma_512},
    {"vfmadd, 256 bit", CONURE_CPU_AVX2, CONURE_PRECISION_BF16, 16, fma_256},
};
#define N_LOOPS (sizeof loops / sizeof *loops)
#else
static const loop loops[1];
#define N_LOOPS 0
#endif

typedef struct work {
    const loop *loop;
    uint64_t rounds;
} work;

static void run_item(void *arg, uint32_t item, uint32_t worker)
{
    const work *w = arg;
    (void)item;
    (void)worker;
    w->loop->run(w->rounds);
}

conure_status conure_peak_measure(conure_peak *peak, uint32_t features, conure_precision precision,
                                  uint32_t n_threads, conure_error *err)
{
    conure_pool *pool = NULL;
    work w = {.rounds = 1u << 16};
    double best = 0;
    conure_status status;
    for (size_t i = 0; i < N_LOOPS && !w.loop; i++)
        if (loops[i].precision == precision && (features & loops[i].needs) == loops[i].needs)
            w.loop = &loops[i];
    if (!w.loop)
        return conure_fail(err, CONURE_UNSUPPORTED, "no measuring loop for these instructions");
    status = conure_pool_open(&pool, n_threads, err);
    if (status != CONURE_OK)
        return status;
    /* Short bursts, the best of them: what the machine can do, not what its other users leave.  One
     * item per thread. */
    for (const double end_s = conure_now_s() + MEASURE_S; conure_now_s() < end_s;) {
        const double start_s = conure_now_s();
        double rate;
        conure_pool_run(pool, n_threads, run_item, &w);
        rate = (double)n_threads * (double)w.rounds * SUMS * w.loop->ops / (conure_now_s() - start_s);
        best = rate > best ? rate : best;
    }
    conure_pool_close(&pool);
    peak->instruction = w.loop->instruction;
    peak->ops_per_s = best;
    return CONURE_OK;
}

/* peak.c - loops of independent multiply-adds, one per instruction; see peak.h.
 *
 * Twelve sums hide the latency of every known processor (4 to 6 cycles, two units).  The functions carry
 * their target as an attribute, not as flags of the file: each is ten lines, and only
 * conure_peak_measure() calls them. */
#include "base/system.h"
#include "cli/peak.h"

#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "cli/measure.h"
#include "cli/terminal.h"

#define SUMS 12
#define BURSTS 101
#define BURST_S 0.002 /* much longer than waking a thread takes, shorter than a time slice */

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

/* Twelve named sums: an array lies in registers only if the compiler unrolls the loop over it.  The empty
 * assembly keeps it from seeing that nobody uses them. */
#define EACH(step)                                                                                 \
    step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#define KEEP(x) __asm__ volatile("" : "+v"(x));

/* A function of one instruction: sums of a type that start as zero, and step(i), which changes s##i. */
#define LOOP(name, isa, type, zero, step)                                                          \
    __attribute__((target(isa))) static void name(uint64_t rounds)                                 \
    {                                                                                              \
        type s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero, s6 = zero,          \
             s7 = zero, s8 = zero, s9 = zero, s10 = zero, s11 = zero, a = zero, b = zero;          \
        KEEP(a)                                                                                    \
        KEEP(b)                                                                                    \
        while (rounds--) {                                                                         \
            EACH(step)                                                                             \
        }                                                                                          \
    }

#define FMA_256(i)                                                                                 \
    s##i = _mm256_fmadd_ps(a, b, s##i);                                                            \
    KEEP(s##i)
#define FMA_512(i)                                                                                 \
    s##i = _mm512_fmadd_ps(a, b, s##i);                                                            \
    KEEP(s##i)
/* Without dot product instructions: two multiplications in a row, 32 products in all. */
#define MADDUBS_256(i)                                                                             \
    KEEP(b)                                                                                        \
    s##i = _mm256_add_epi32(                                                                       \
        s##i, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));                \
    KEEP(s##i)
#define DPBUSD_256(i)                                                                              \
    s##i = _mm256_dpbusd_avx_epi32(s##i, a, b);                                                    \
    KEEP(s##i)
#define DPBUSD_512(i)                                                                              \
    s##i = _mm512_dpbusd_epi32(s##i, a, b);                                                        \
    KEEP(s##i)
#define DPBF16_512(i)                                                                              \
    s##i = _mm512_dpbf16_ps(s##i, (__m512bh)a, (__m512bh)b);                                       \
    KEEP(s##i)

LOOP(fma_256, "avx2,fma", __m256, _mm256_setzero_ps(), FMA_256)
LOOP(fma_512, "avx512f", __m512, _mm512_setzero_ps(), FMA_512)
LOOP(maddubs_256, "avx2", __m256i, _mm256_setzero_si256(), MADDUBS_256)
LOOP(dpbusd_256, "avx2,avxvnni", __m256i, _mm256_setzero_si256(), DPBUSD_256)
LOOP(dpbusd_512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), DPBUSD_512)
LOOP(dpbf16_512, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), DPBF16_512)

/* Shape of all eight tiles: 16 rows of 64 bytes.  The layout is Intel's (palette 1). */
typedef struct tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tiles;

static void full_tiles(tiles *t)
{
    memset(t, 0, sizeof *t);
    t->palette = 1;
    for (int i = 0; i < 8; i++) {
        t->row_bytes[i] = 64;
        t->rows[i] = 16;
    }
}

/* Twelve products of tiles into four sums: a product keeps the unit busy for 16 cycles, so four hide
 * its latency of 52. */
#define AMX_ROUND(product)                                                                         \
    for (int i = 0; i < 3; i++) {                                                                  \
        product(0, 4, 6);                                                                          \
        product(1, 4, 7);                                                                          \
        product(2, 5, 6);                                                                          \
        product(3, 5, 7);                                                                          \
    }

#define AMX_LOOP(name, isa, product)                                                               \
    __attribute__((target("amx-tile," isa))) static void name(uint64_t rounds)                     \
    {                                                                                              \
        tiles shape;                                                                               \
        full_tiles(&shape);                                                                        \
        /* gcc 12 takes ldtilecfg for a reader of eight bytes. */                                  \
        __asm__ volatile("" : : "r"(&shape) : "memory");                                           \
        _tile_loadconfig(&shape); /* sets all tiles to zero */                                     \
        while (rounds--)                                                                           \
            AMX_ROUND(product);                                                                    \
        _tile_release();                                                                           \
    }

AMX_LOOP(tile_int8, "amx-int8", _tile_dpbusd)
AMX_LOOP(tile_bf16, "amx-bf16", _tile_dpbf16ps)

/* The first whose needs are met is used. */
static const loop loops[] = {
    {"vfmadd, 512 bit", CONURE_CPU_AVX512, CONURE_PRECISION_F32, 32, fma_512},
    {"vfmadd, 256 bit", CONURE_CPU_AVX2, CONURE_PRECISION_F32, 16, fma_256},
    {"tdpbusd, tiles", CONURE_CPU_AMX_INT8, CONURE_PRECISION_INT8, 32768, tile_int8},
    {"vpdpbusd, 512 bit", CONURE_CPU_VNNI, CONURE_PRECISION_INT8, 128, dpbusd_512},
    {"vpdpbusd, 256 bit", CONURE_CPU_AVXVNNI, CONURE_PRECISION_INT8, 64, dpbusd_256},
    {"vpmaddubsw and vpmaddwd, 256 bit", CONURE_CPU_AVX2, CONURE_PRECISION_INT8, 64, maddubs_256},
    {"tdpbf16ps, tiles", CONURE_CPU_AMX_BF16, CONURE_PRECISION_BF16, 16384, tile_bf16},
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
    double cpu_s[CONURE_THREADS_MAX]; /* of each item */
} work;

static double cpu_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_item(void *arg, uint32_t item, uint32_t worker)
{
    work *w = arg;
    const double start_s = cpu_now_s();
    (void)worker;
    w->loop->run(w->rounds);
    w->cpu_s[item] = cpu_now_s() - start_s;
}

/* All threads at once, so that those that share a core share it; their rates by the processor time that they
 * got: what the machine can do, not what its other users leave. */
static double burst(conure_pool *pool, work *w, uint32_t n_threads)
{
    double sum_s = 0;
    conure_pool_run(pool, n_threads, run_item, w);
    for (uint32_t i = 0; i < n_threads; i++)
        sum_s += w->cpu_s[i];
    return sum_s > 0 ? (double)n_threads * n_threads * (double)w->rounds * SUMS * w->loop->ops / sum_s : 0;
}

/* Enough rounds for a burst on one thread. */
static uint64_t burst_rounds(const loop *l)
{
    uint64_t rounds = 1024;
    for (;;) {
        const double start_s = conure_now_s();
        l->run(rounds);
        if (conure_now_s() - start_s >= BURST_S)
            return rounds;
        rounds *= 2;
    }
}

conure_status conure_peak_measure(conure_peak *peak, uint32_t features, conure_precision precision,
                                  uint32_t n_threads, conure_error *err)
{
    conure_pool *pool = NULL;
    work w = {.loop = NULL};
    double rates[BURSTS];
    conure_stats stats;
    conure_status status;
    for (size_t i = 0; i < N_LOOPS && !w.loop; i++)
        if (loops[i].precision == precision && (features & loops[i].needs) == loops[i].needs)
            w.loop = &loops[i];
    if (!w.loop || n_threads < 1 || n_threads > CONURE_THREADS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "no measuring loop for these instructions");
    status = conure_pool_open(&pool, n_threads, err);
    if (status != CONURE_OK)
        return status;
    w.rounds = burst_rounds(w.loop);
    for (uint32_t i = 0; i < BURSTS; i++)
        rates[i] = burst(pool, &w, n_threads);
    conure_pool_close(&pool);
    conure_stats_of(rates, BURSTS, &stats);
    peak->instruction = w.loop->instruction;
    peak->ops_per_s = stats.p50;
    return CONURE_OK;
}

/* gemm_peak.c - the most products a core does: twelve independent sums in registers. */
#include "gemm_bench.h"

#include "base/cpu.h"

#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { ROUNDS = 1000000, TRIES = 12, SUMS = 12 };

/* What the compiler must take for a value of its own. */
#define HIDE(v) __asm__ volatile("" : "+v"(v))

/* Twelve steps a round; the empty asm keeps the compiler from folding rounds together. */
#define PEAK(name, isa, vector, start, step)                                                       \
    __attribute__((target(isa))) static double name(void)                                          \
    {                                                                                              \
        vector s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start, s6 = start, \
               s7 = start, s8 = start, s9 = start, s10 = start, s11 = start, x = start;            \
        HIDE(s0);                                                                                  \
        HIDE(s1);                                                                                  \
        HIDE(s2);                                                                                  \
        HIDE(s3);                                                                                  \
        HIDE(s4);                                                                                  \
        HIDE(s5);                                                                                  \
        HIDE(s6);                                                                                  \
        HIDE(s7);                                                                                  \
        HIDE(s8);                                                                                  \
        HIDE(s9);                                                                                  \
        HIDE(s10);                                                                                 \
        HIDE(s11);                                                                                 \
        const double began = now_s();                                                              \
        for (int i = 0; i < ROUNDS; i++) {                                                         \
            s0 = step(s0), s1 = step(s1), s2 = step(s2), s3 = step(s3), s4 = step(s4),             \
            s5 = step(s5), s6 = step(s6), s7 = step(s7), s8 = step(s8), s9 = step(s9),             \
            s10 = step(s10), s11 = step(s11);                                                      \
            __asm__ volatile("" : "+v"(x));                                                        \
        }                                                                                          \
        const double took = now_s() - began;                                                       \
        __asm__ volatile("" ::"v"(s0), "v"(s1), "v"(s2), "v"(s3), "v"(s4), "v"(s5), "v"(s6),       \
                         "v"(s7), "v"(s8), "v"(s9), "v"(s10), "v"(s11));                           \
        return took;                                                                               \
    }

#define F32_512(s) _mm512_fmadd_ps(x, x, s)
#define F32_256(s) _mm256_fmadd_ps(x, x, s)
#define BF16_512(s)                                                                                \
    _mm512_dpbf16_ps(s, (__m512bh)_mm512_castps_si512(x), (__m512bh)_mm512_castps_si512(x))
#define VNNI_512(s) _mm512_dpbusd_epi32(s, x, x)
#define MADD_256(s) _mm256_add_epi32(s, _mm256_madd_epi16(s, x))

PEAK(f32_avx512, "avx512f", __m512, _mm512_setzero_ps(), F32_512)
PEAK(f32_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), F32_256)
PEAK(bf16_avx512, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), BF16_512)
PEAK(int8_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), VNNI_512)
PEAK(int8_avx2, "avx2", __m256i, _mm256_setzero_si256(), MADD_256)

double bench_peak(uint32_t features, int precision)
{
    double (*fn)(void) = f32_avx2;
    double per_step = 2 * 8, best = 1e9;
    if (!(features & CONURE_CPU_AVX2))
        return 0;
    if (precision == 3 && features & CONURE_CPU_VNNI)
        fn = int8_vnni, per_step = 2 * 64;
    else if (precision == 3)
        fn = int8_avx2, per_step = 2 * 16;
    else if (precision == 2 && features & CONURE_CPU_BF16)
        fn = bf16_avx512, per_step = 2 * 32;
    else if (features & CONURE_CPU_AVX512)
        fn = f32_avx512, per_step = 2 * 16;
    for (int i = 0; i < TRIES; i++) {
        const double took = fn();
        best = took < best ? took : best;
    }
    return 1e-9 * per_step * SUMS * ROUNDS / best;
}
#else
double bench_peak(uint32_t features, int precision)
{
    (void)features;
    (void)precision;
    (void)now_s;
    return 0;
}
#endif

/* cpu.h - which instructions this processor and operating system offer. */
#ifndef CONURE_BASE_CPU_H
#define CONURE_BASE_CPU_H

#include "conure.h"

enum {
    CONURE_CPU_AVX2 = 1u << 0,      /* with FMA and F16C */
    CONURE_CPU_AVX512 = 1u << 1,    /* F, BW, DQ, VL */
    CONURE_CPU_VNNI = 1u << 2,      /* AVX512-VNNI */
    CONURE_CPU_AVXVNNI = 1u << 3,   /* the 256-bit form without AVX-512 */
    CONURE_CPU_BF16 = 1u << 4,      /* AVX512-BF16 */
    CONURE_CPU_AMX_INT8 = 1u << 5,  /* granted by the kernel too */
    CONURE_CPU_AMX_BF16 = 1u << 6,
};

/* Detect, then keep only what the named level allows: "native" or NULL, "c" (none), "avx2" (AVX2 and
 * AVXVNNI), "avx512", "vnni", "bf16", "amx" (each includes those before it).  BAD_ARG names the levels; BACKEND when
 * the level is known but this machine does not reach it.  Asks the kernel for AMX permission only
 * when AMX would be used. */
conure_status conure_cpu_features(uint32_t *features, const char *isa, conure_error *err);

/* e.g. "avx2 avx512 vnni bf16"; returns text. */
const char *conure_cpu_features_text(uint32_t features, char *text, size_t cap);
/* e.g. "AMD EPYC 9454"; "unknown" when the system does not say. */
const char *conure_cpu_name(char *text, size_t cap);

#endif

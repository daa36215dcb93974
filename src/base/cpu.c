/* cpu.c - what the processor has (cpuid), what the operating system keeps across a switch of threads
 * (xgetbv), and what it grants on request (AMX).  Both must say yes. */
#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* ---- detection ------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ARCH_REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM of the kernel's asm/prctl.h */
    TILE_DATA = 18,                   /* its number among the state components */
};

static uint64_t saved_state(void)
{
    uint32_t low, high; /* not the intrinsic: that needs a compiler flag for this file */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool bit(uint32_t word, int i)
{
    return word >> i & 1;
}

/* What the processor and the enabled state allow; AMX still to be asked for. */
static uint32_t detect(void)
{
    uint32_t a, b, c, d, a71 = 0, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27) /* OSXSAVE */ || !bit(c, 28) /* AVX */)
        return 0;
    const bool fma_f16c = bit(c, 12) && bit(c, 29);
    const uint64_t state = saved_state();
    if ((state & 0x6) != 0x6 || !fma_f16c) /* XMM and YMM */
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !bit(b, 5))
        return 0;
    if (a >= 1) { /* number of subleaves */
        uint32_t b71, c71, d71;
        __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
    }
    features |= CONURE_CPU_AVX2;
    if (bit(a71, 4))
        features |= CONURE_CPU_AVXVNNI;
    if ((state & 0xE6) != 0xE6 || !bit(b, 16) || !bit(b, 17) || !bit(b, 30) || !bit(b, 31))
        return features; /* opmask and ZMM; F, DQ, BW, VL */
    features |= CONURE_CPU_AVX512;
    if (bit(c, 11))
        features |= CONURE_CPU_VNNI;
    if (bit(a71, 5))
        features |= CONURE_CPU_BF16;
    if ((state & 0x60000) != 0x60000 || !bit(d, 24)) /* tile configuration and data; AMX-TILE */
        return features;
    if (bit(d, 25))
        features |= CONURE_CPU_AMX_INT8;
    if (bit(d, 22))
        features |= CONURE_CPU_AMX_BF16;
    return features;
}

static bool ask_for_amx(void)
{
    return syscall(SYS_arch_prctl, ARCH_REQUEST_PERMISSION, TILE_DATA) == 0;
}

static void brand(char name[49])
{
    uint32_t words[12] = {0};
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            break;
    memcpy(name, words, 48);
    name[48] = '\0';
}

#else

static uint32_t detect(void)
{
    return 0;
}

static bool ask_for_amx(void)
{
    return false;
}

static void brand(char name[49])
{
    name[0] = '\0';
}

#endif

/* ---- levels ---------------------------------------------------------------------------------- */

enum {
    AMX = CONURE_CPU_AMX_INT8 | CONURE_CPU_AMX_BF16,
    UP_TO_AVX2 = CONURE_CPU_AVX2 | CONURE_CPU_AVXVNNI,
    UP_TO_AVX512 = UP_TO_AVX2 | CONURE_CPU_AVX512,
    UP_TO_VNNI = UP_TO_AVX512 | CONURE_CPU_VNNI,
    UP_TO_BF16 = UP_TO_VNNI | CONURE_CPU_BF16,
    UP_TO_AMX = UP_TO_BF16 | AMX,
};

static const struct level {
    const char *name;
    uint32_t allowed;
    uint32_t needed; /* one of these, or none at all when 0 */
} levels[] = {
    {"native", UP_TO_AMX, 0},
    {"c", 0, 0},
    {"avx2", UP_TO_AVX2, CONURE_CPU_AVX2},
    {"avx512", UP_TO_AVX512, CONURE_CPU_AVX512},
    {"vnni", UP_TO_VNNI, CONURE_CPU_VNNI},
    {"bf16", UP_TO_BF16, CONURE_CPU_BF16},
    {"amx", UP_TO_AMX, AMX},
};

conure_status conure_cpu_features(uint32_t *features, const char *isa, conure_error *err)
{
    const struct level *level = NULL;
    char text[96];
    *features = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(isa ? isa : "native", levels[i].name) == 0)
            level = &levels[i];
    if (!level)
        return conure_fail(
            err, CONURE_BAD_ARG,
            "instruction set \"%s\": expected native, c, avx2, avx512, vnni, bf16 or amx", isa);
    const uint32_t detected = detect();
    uint32_t usable = detected & level->allowed;
    if ((usable & AMX) && !ask_for_amx())
        usable &= ~(uint32_t)AMX;
    if (level->needed && !(usable & level->needed))
        return conure_fail(
            err, CONURE_BACKEND,
            "instruction set \"%s\" is not to be had on this machine, which offers: %s", isa,
            conure_cpu_features_text(detected & ~(uint32_t)AMX, text, sizeof text));
    *features = usable;
    return CONURE_OK;
}

const char *conure_cpu_features_text(uint32_t features, char *text, size_t cap)
{
    static const char *const names[] = {"avx2", "avx512",   "vnni",    "avxvnni",
                                        "bf16", "amx-int8", "amx-bf16"};
    size_t at = 0;
    if (!cap)
        return text;
    snprintf(text, cap, "%s", features ? "" : "c");
    for (size_t i = 0; i < sizeof names / sizeof *names && at < cap; i++)
        if (features >> i & 1)
            at += (size_t)snprintf(text + at, cap - at, "%s%s", at ? " " : "", names[i]);
    return text;
}

const char *conure_cpu_name(char *text, size_t cap)
{
    char name[49];
    brand(name);
    size_t n = strlen(name), first = strspn(name, " ");
    while (n > first && name[n - 1] == ' ')
        name[--n] = '\0';
    snprintf(text, cap, "%s", name[first] ? name + first : "unknown");
    return text;
}

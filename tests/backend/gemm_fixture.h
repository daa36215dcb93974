/* gemm_fixture.h - what the tests of products share: every variant of every kernel that runs here, and
 * buffers with guards around them. */
#ifndef CONURE_TEST_GEMM_FIXTURE_H
#define CONURE_TEST_GEMM_FIXTURE_H

#include <float.h>

#include "backend/cpu/gemm.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "test.h"

/* One line of gemm.def.  fn is cast back to the type of its slot. */
typedef struct variant {
    const char *slot, *name;
    uint32_t needs;
    void (*fn)(void);
} variant;

/* Further entries of a test's own, which run everywhere. */
#ifndef EMULATED
#define EMULATED
#endif

static const variant variants[] = {
#define KERNEL(slot, needs, function) {#slot, #function, needs, (void (*)(void))function},
#include "backend/cpu/gemm.def"
#undef KERNEL
    EMULATED};

#define N_VARIANTS (sizeof variants / sizeof *variants)

/* Whether this processor runs variant i and it belongs to slot. */
static inline bool variant_runs(size_t i, const char *slot, uint32_t features)
{
    return strcmp(variants[i].slot, slot) == 0 &&
           (features & variants[i].needs) == variants[i].needs;
}

static inline uint32_t native_features(void)
{
    uint32_t features = 0;
    if (conure_cpu_features(&features, "native", NULL) != CONURE_OK)
        abort();
    return features;
}

/* bytes of memory filled with a byte that no test computes everywhere, to be freed. */
static inline void *guarded(size_t bytes)
{
    void *memory = conure_alloc_aligned(bytes + 64);
    if (!memory)
        abort();
    memset(memory, 0xA5, bytes + 64);
    return memory;
}

static inline bool untouched(const void *memory, size_t bytes)
{
    const uint8_t *byte = memory;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != 0xA5)
            return false;
    return true;
}

/* A result matrix of 4-byte elements [m][n], ldc > n, with a guard row before and behind. */
typedef struct result {
    uint8_t *block, *first;
    size_t m, n, ldc;
} result;

static inline result result_new(size_t m, size_t n, size_t offset)
{
    result r = {.m = m, .n = n, .ldc = n + 3};
    r.block = guarded((m + 2) * r.ldc * 4 + 4 * offset);
    r.first = r.block + (r.ldc + offset) * 4;
    return r;
}

static inline bool result_guards(const result *r)
{
    bool ok = untouched(r->block, (size_t)(r->first - r->block));
    for (size_t i = 0; i < r->m; i++)
        ok = ok && untouched(r->first + (i * r->ldc + r->n) * 4, (r->ldc - r->n) * 4);
    return ok;
}

/* The values at which widths of vectors, panels and groups of panels begin and end. */
static const size_t some_m[] = {1, 2, 3, 5, 6, 7, 12, 13, 16, 17, 31, 33};
static const size_t some_n[] = {1, 7, 15, 16, 17, 31, 48, 63, 64, 65, 130};
static const size_t some_k[] = {1, 2, 3, 4, 5, 17, 63, 64, 65, 130};

#define COUNT(array) (sizeof(array) / sizeof *(array))

#endif

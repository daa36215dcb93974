/* gemm_kernels.c - every product kernel that runs here, against sums in double (int8: in int64), at
 * sizes around each vector, panel and block, with guards around the result.  The AMX kernels run in any
 * case, on tiles in memory. */
#include "gemm_tiles.h"

#define EMULATED                                                                                   \
    {"gemm_int8", "amx on emulated tiles", 0, (void (*)(void))emulated_gemm_int8},                 \
        {"gemm_bf16", "amx on emulated tiles", 0, (void (*)(void))emulated_gemm_bf16},
#include "gemm_fixture.h"

#include "model/model.h"
#include "model/panels.h"

#define UNIT (FLT_EPSILON / 2) /* largest relative error of one rounding */

static uint64_t seed = 20261123;

/* ---- f32 and bf16 ------------------------------------------------------------------------------ */

/* One case: inputs as floats (exact in the kernel's type), packed operands, the truth. */
typedef struct float_case {
    size_t m, n, k, lda;
    bool bf16;
    void *a, *panels;      /* a: rows [m][lda] of the kernel's type */
    double *truth, *bound; /* [m][n]: the sum, and how far rounding may take it */
} float_case;

static float as_type(float value, bool bf16)
{
    return bf16 ? conure_bf16_to_f32(conure_f32_to_bf16(value)) : value;
}

/* A running sum of t terms errs by at most t units of the sum of magnitudes (and a term more for what
 * was there before); products are exact in bf16, and rounded by one unit where there is no FMA. */
static float_case float_case_new(size_t m, size_t n, size_t k, size_t pad, bool bf16)
{
    const size_t k_even = bf16 ? k + k % 2 : k;
    float_case c = {.m = m, .n = n, .k = k, .lda = k_even + pad, .bf16 = bf16};
    float *rows = calloc(n * k, sizeof *rows), *a = calloc(m * c.lda, sizeof *a);
    const conure_dtype dtype = bf16 ? CONURE_BF16 : CONURE_F32;
    c.panels = conure_alloc_aligned(conure_panel_bytes(dtype, n, k));
    c.a = guarded((m * c.lda + 4) * 4);
    c.truth = calloc(m * n, sizeof *c.truth);
    c.bound = calloc(m * n, sizeof *c.bound);
    for (size_t i = 0; i < n * k; i++)
        rows[i] = as_type(test_uniform(&seed, -1, 1), bf16);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++)
            a[i * c.lda + l] = as_type(test_uniform(&seed, -2, 2), bf16);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            for (size_t l = 0; l < k; l++) {
                const double term = (double)a[i * c.lda + l] * rows[j * k + l];
                c.truth[i * n + j] += term;
                c.bound[i * n + j] += fabs(term);
            }
            c.bound[i * n + j] *= (double)(k + 2) * UNIT;
        }
    conure_panels_pack(dtype, c.panels, rows, n, k);
    for (size_t i = 0; i < m * c.lda; i++)
        if (bf16)
            ((uint16_t *)c.a)[i] = conure_f32_to_bf16(a[i]);
        else
            ((float *)c.a)[i] = a[i];
    free(rows);
    free(a);
    return c;
}

static void float_case_free(float_case *c)
{
    free(c->a);
    free(c->panels);
    free(c->truth);
    free(c->bound);
}

static void call_float(const variant *v, const float_case *c, float *to, size_t ldc, size_t row,
                       size_t rows, int accumulate)
{
    if (c->bf16)
        ((conure_gemm_bf16_fn *)v->fn)(to, ldc, (const uint16_t *)c->a + row * c->lda, c->lda, rows,
                                       c->panels, c->n, (c->k + 1) / 2, accumulate);
    else
        ((conure_gemm_f32_fn *)v->fn)(to, ldc, (const float *)c->a + row * c->lda, c->lda, rows,
                                      c->panels, c->n, c->k, accumulate);
}

static void check_float(const variant *v, const float_case *c, int accumulate, size_t offset)
{
    result r = result_new(c->m, c->n, offset);
    float *out = (float *)(void *)r.first;
    float *alone = malloc(c->n * sizeof *alone);
    long failures = 0;
    for (size_t i = 0; i < c->m; i++)
        for (size_t j = 0; j < c->n; j++)
            out[i * r.ldc + j] = accumulate ? 0.5f : NAN;
    call_float(v, c, out, r.ldc, 0, c->m, accumulate);
    for (size_t i = 0; i < c->m; i++) {
        for (size_t j = 0; j < c->n; j++) {
            const double had = accumulate ? 0.5 : 0.0, at = c->truth[i * c->n + j] + had;
            const double bound = c->bound[i * c->n + j] + had * (double)(c->k + 2) * UNIT;
            failures += !(fabs(out[i * r.ldc + j] - at) <= bound);
        }
        for (size_t j = 0; j < c->n; j++)
            alone[j] = 0.5f;
        call_float(v, c, alone, c->n, i, 1, accumulate);
        failures += memcmp(alone, out + i * r.ldc, c->n * sizeof *alone) != 0;
    }
    failures += !result_guards(&r);
    if (failures)
        fprintf(stderr, "%s: m %zu n %zu k %zu accumulate %d offset %zu\n", v->name, c->m, c->n,
                c->k, accumulate, offset);
    test_int(failures, 0);
    free(alone);
    free(r.block);
}

static void check_float_shape(const char *slot, bool bf16, uint32_t features, size_t m, size_t n,
                              size_t k)
{
    float_case c = float_case_new(m, n, k, bf16 ? 2 * (m % 2) : m % 3, bf16);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!variant_runs(i, slot, features))
            continue;
        check_float(&variants[i], &c, 0, n % 4);
        check_float(&variants[i], &c, 1, k % 4);
    }
    float_case_free(&c);
}

static void test_float(const char *slot, bool bf16, uint32_t features)
{
    for (size_t i = 0; i < COUNT(some_m); i++)
        for (size_t j = 0; j < COUNT(some_n); j++)
            check_float_shape(slot, bf16, features, some_m[i], some_n[j],
                              some_k[(i + 3 * j) % COUNT(some_k)]);
    for (size_t l = 0; l < COUNT(some_k); l++)
        check_float_shape(slot, bf16, features, 7, 81, some_k[l]);
    /* Past the lines that are taken at a time, so that sums pass through c. */
    check_float_shape(slot, bf16, features, 7, 81, 512);
    check_float_shape(slot, bf16, features, 7, 81, 1027);
    check_float_shape(slot, bf16, features, 3, 17, 2051);
}

/* ---- int8 -------------------------------------------------------------------------------------- */

/* Every value of a row and of a weight occurs, the extremes often. */
static int draw(int low, int high)
{
    const uint64_t r = test_random(&seed) >> 33;
    if (r % 8 == 0)
        return low;
    if (r % 8 == 1)
        return high;
    return low + (int)(r / 8 % (uint64_t)(high - low + 1));
}

static void check_int8(const variant *v, const uint8_t *a, size_t lda, size_t m,
                       const int8_t *panels, const int32_t *sums, size_t n, size_t k,
                       const int64_t *truth)
{
    result r = result_new(m, n, k % 4);
    int32_t *out = (int32_t *)(void *)r.first;
    long failures = 0;
    ((conure_gemm_int8_fn *)v->fn)(out, r.ldc, a, lda, m, panels, sums, n, (k + 3) / 4);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            failures += out[i * r.ldc + j] != truth[i * n + j];
    failures += !result_guards(&r);
    if (failures)
        fprintf(stderr, "%s: m %zu n %zu k %zu\n", v->name, m, n, k);
    test_int(failures, 0);
    free(r.block);
}

static void check_int8_shape(uint32_t features, size_t m, size_t n, size_t k)
{
    const size_t lda = (k + 3) / 4 * 4 + 4 * (m % 3);
    int8_t *rows = calloc(n * k, 1),
           *panels = conure_alloc_aligned(conure_panel_bytes(CONURE_I8, n, k));
    int32_t *sums = calloc(n, sizeof *sums);
    int64_t *truth = calloc(m * n, sizeof *truth);
    uint8_t *a = guarded(m * lda);
    for (size_t i = 0; i < n * k; i++) {
        rows[i] = (int8_t)draw(-128, 127);
        sums[i / k] += rows[i];
    }
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < (k + 3) / 4 * 4; l++)
            a[i * lda + l] = l < k ? (uint8_t)draw(0, 255) : 128;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < k; l++)
                truth[i * n + j] += (a[i * lda + l] - 128) * rows[j * k + l];
    conure_panels_pack_bits(CONURE_I8, panels, rows, n, k);
    for (size_t i = 0; i < N_VARIANTS; i++)
        if (variant_runs(i, "gemm_int8", features))
            check_int8(&variants[i], a, lda, m, panels, sums, n, k, truth);
    free(rows);
    free(panels);
    free(sums);
    free(truth);
    free(a);
}

static void test_int8(uint32_t features)
{
    for (size_t i = 0; i < COUNT(some_m); i++)
        for (size_t j = 0; j < COUNT(some_n); j++)
            check_int8_shape(features, some_m[i], some_n[j], some_k[(i + 3 * j) % COUNT(some_k)]);
    for (size_t l = 0; l < COUNT(some_k); l++)
        check_int8_shape(features, 7, 81, some_k[l]);
    check_int8_shape(features, 5, 33, 4099);
}

int main(void)
{
    const uint32_t features = native_features();
    char text[96];
    fprintf(stderr, "on %s\n", conure_cpu_features_text(features, text, sizeof text));
    test_begin("backend_gemm");
    test_float("gemm_f32", false, features);
    test_float("gemm_bf16", true, features);
    test_int8(features);
    test_true(emulated_int8_released() && emulated_bf16_released());
    return test_end();
}

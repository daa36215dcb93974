/* gemm_weight.c - weights from every type and layout to every precision; in place where that is
 * possible. */
#include "gemm_ops.h"

static uint64_t seed = 5;

static const conure_dtype storages[] = {CONURE_F32, CONURE_F16, CONURE_BF16, CONURE_F64, CONURE_I8};

static conure_dtype panel_dtype(conure_precision precision)
{
    return precision == CONURE_PRECISION_INT8   ? CONURE_I8
           : precision == CONURE_PRECISION_BF16 ? CONURE_BF16
                                                : CONURE_F32;
}

/* The same numbers as a tensor of any storage; rows keeps the elements. */
static conure_tensor stored(conure_dtype dtype, conure_layout layout, const float *w, size_t n,
                            size_t k, float *scales, int32_t *sums, bool with_sums)
{
    uint8_t *rows = conure_alloc_aligned(n * k * 8);
    for (size_t i = 0; i < n * k; i++)
        if (dtype == CONURE_F32)
            ((float *)(void *)rows)[i] = w[i];
        else if (dtype == CONURE_F64)
            ((double *)(void *)rows)[i] = w[i];
        else if (dtype == CONURE_F16)
            ((uint16_t *)(void *)rows)[i] = conure_f32_to_f16(w[i]);
        else if (dtype == CONURE_BF16)
            ((uint16_t *)(void *)rows)[i] = conure_f32_to_bf16(w[i]);
        else
            ((int8_t *)rows)[i] = (int8_t)lrintf(w[i] * 100);
    for (size_t j = 0; j < n; j++) {
        scales[j] = 0.01f * (float)(1 + j % 3);
        sums[j] = 0;
        for (size_t l = 0; dtype == CONURE_I8 && l < k; l++)
            sums[j] += ((const int8_t *)rows)[j * k + l];
    }
    conure_tensor t = matrix_tensor(rows, dtype, n, k);
    t.scales = dtype == CONURE_I8 ? scales : NULL;
    t.sums = dtype == CONURE_I8 && with_sums ? sums : NULL;
    if (layout == CONURE_PANELS) {
        uint8_t *panels = conure_alloc_aligned(conure_panel_bytes(dtype, n, k));
        conure_panels_pack_bits(dtype, panels, rows, n, k);
        free(rows);
        t.data = panels;
        t.layout = CONURE_PANELS;
        t.bytes = conure_panel_bytes(dtype, n, k);
    }
    return t;
}

/* What the weight holds against what the tensor says: exact, but for what the panels' type rounds off. */
static void check_values(const conure_weight *w, const conure_tensor *t, conure_precision precision)
{
    const size_t n = w->n, k = w->k;
    float *want = malloc(n * k * sizeof *want), *got = malloc(n * k * sizeof *got);
    const conure_dtype dtype = panel_dtype(precision);
    long failures = 0;
    conure_tensor_rows_f32(t, want, 0, n);
    conure_panels_unpack(dtype, got, w->panels, w->scales, n, k);
    for (size_t j = 0; j < n; j++) {
        double largest = 0, half_step = 0;
        for (size_t l = 0; l < k; l++)
            largest = fabs(want[j * k + l]) > largest ? fabs(want[j * k + l]) : largest;
        if (dtype == CONURE_I8 && t->dtype != CONURE_I8)
            half_step = 0.5001 * largest / 127;
        for (size_t l = 0; l < k; l++) {
            const double x = want[j * k + l];
            const double loss = dtype == CONURE_BF16 ? fabs(x) / 256 : half_step;
            failures += !(fabs(got[j * k + l] - x) <= loss);
        }
        int32_t sum = 0;
        for (size_t l = 0; dtype == CONURE_I8 && l < k; l++)
            sum += (int32_t)lrintf(got[j * k + l] / w->scales[j]);
        failures += dtype == CONURE_I8 && w->sums[j] != sum;
    }
    test_int(failures, 0);
    free(want);
    free(got);
}

static void check_weight(void *self, conure_precision precision, const conure_tensor *t,
                         const float *bias)
{
    conure_weight *w;
    conure_error err;
    test_int(conure_ops_cpu.weight_create(self, &w, t, bias, &err), CONURE_OK);
    const bool in_place = t->layout == CONURE_PANELS && t->dtype == panel_dtype(precision) &&
                          (uintptr_t)t->data % 64 == 0;
    test_int(w->panels == t->data, in_place);
    test_int(in_place && t->scales ? w->scales == t->scales : 1, 1);
    test_int(in_place && t->sums ? w->sums == t->sums : 1, 1);
    test_int(w->n, t->shape[0]);
    check_values(w, t, precision);
    for (size_t j = 0; j < w->n; j++)
        test_true(w->bias[j] == (bias ? bias[j] : 0));
    conure_ops_cpu.weight_free(self, &w);
    test_true(w == NULL);
    conure_ops_cpu.weight_free(self, &w);
}

static void check_storage(void *self, conure_precision precision, conure_dtype dtype, size_t n,
                          size_t k)
{
    float *w = random_floats(n * k, 1, &seed), *bias = random_floats(n, 1, &seed);
    float *scales = calloc(n, sizeof *scales);
    int32_t *sums = calloc(n, sizeof *sums);
    for (int form = 0; form < 4; form++) {
        const conure_layout layout = form & 1 ? CONURE_PANELS : CONURE_ROWS;
        if (dtype == CONURE_F64 && layout == CONURE_PANELS)
            continue; /* panels are of words of 4 bytes */
        conure_tensor t = stored(dtype, layout, w, n, k, scales, sums, form & 2);
        check_weight(self, precision, &t, form & 2 ? bias : NULL);
        free((void *)(uintptr_t)t.data);
    }
    free(w);
    free(bias);
    free(scales);
    free(sums);
}

/* Panels of the right type at an odd address are copied, not used where they lie. */
static void test_misaligned(void *self, conure_precision precision)
{
    const conure_dtype dtype = panel_dtype(precision);
    float scales[20], *w = random_floats(20 * 9, 1, &seed);
    int32_t sums[20];
    conure_tensor t = stored(dtype, CONURE_PANELS, w, 20, 9, scales, sums, true);
    uint8_t *odd = conure_alloc_aligned(t.bytes + 64);
    memcpy(odd + 4, t.data, t.bytes);
    free((void *)(uintptr_t)t.data);
    t.data = odd + 4;
    check_weight(self, precision, &t, NULL);
    free(odd);
    free(w);
}

static void test_errors(void)
{
    void *self = cpu_instance("native", CONURE_PRECISION_INT8, 1);
    conure_weight *w = NULL;
    conure_error err;
    const float one = 1;
    conure_tensor t = matrix_tensor(&one, CONURE_F32, 0, 4);
    t.name = "encoder.w";
    test_int(conure_ops_cpu.weight_create(self, &w, &t, NULL, &err), CONURE_BAD_ARG);
    test_contains(err.text, "encoder.w");
    t.shape[0] = 1;
    t.shape[1] = 70000;
    test_int(conure_ops_cpu.weight_create(self, &w, &t, NULL, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "70000");
    t.shape[1] = 1;
    t.dtype = CONURE_I8;
    test_int(conure_ops_cpu.weight_create(self, &w, &t, NULL, &err), CONURE_BAD_ARG);
    test_contains(err.text, "scales");
    test_true(w == NULL);
    conure_ops_cpu.close(&self);
    /* A size that no number holds. */
    self = cpu_instance("native", CONURE_PRECISION_F32, 1);
    t = matrix_tensor(&one, CONURE_F16, (size_t)1 << 31, (size_t)1 << 32);
    test_int(conure_ops_cpu.weight_create(self, &w, &t, NULL, &err), CONURE_NO_MEMORY);
    test_true(w == NULL);
    conure_ops_cpu.close(&self);
}

int main(void)
{
    test_begin("backend_weight");
    for (int precision = CONURE_PRECISION_F32; precision <= CONURE_PRECISION_INT8; precision++) {
        void *self = cpu_instance("native", (conure_precision)precision, 2);
        for (size_t i = 0; i < COUNT(storages); i++) {
            check_storage(self, (conure_precision)precision, storages[i], 33, 21);
            check_storage(self, (conure_precision)precision, storages[i], 16, 4);
            check_storage(self, (conure_precision)precision, storages[i], 1, 1);
            check_storage(self, (conure_precision)precision, storages[i], 150, 7);
        }
        test_misaligned(self, (conure_precision)precision);
        conure_ops_cpu.close(&self);
    }
    test_errors();
    return test_end();
}

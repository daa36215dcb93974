/* gemm_rows.c - what surrounds the products: rows to int8 and bf16, and finished tiles. */
#include "gemm_fixture.h"

#include "model/model.h"

static uint64_t seed = 1123;

static const size_t lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130};

/* ---- quantize_row ------------------------------------------------------------------------------ */

static void check_quantized(const variant *v, const float *x, size_t k, float largest)
{
    const size_t k_padded = (k + 63) / 64 * 64;
    uint8_t *q = guarded(k_padded), *reference = guarded(k_padded);
    const float scale = ((conure_quantize_row_fn *)v->fn)(q, x, k, k_padded);
    const float scale_c = conure_quantize_row_c(reference, x, k, k_padded);
    long failures =
        memcmp(&scale, &scale_c, sizeof scale) != 0 && !(isnan(scale) && isnan(scale_c));
    failures += memcmp(q, reference, k_padded) != 0 || !untouched(q + k_padded, 64);
    /* x * (127 / max) was rounded twice before it was rounded to a whole number. */
    for (size_t i = 0; i < k && largest > 0; i++)
        failures +=
            !(fabs(x[i] - (double)scale * (q[i] - 128)) <= scale * (0.5 + 128 * FLT_EPSILON));
    if (largest > 0)
        test_near(scale, largest / 127.0, largest / 127.0 * FLT_EPSILON);
    if (failures)
        fprintf(stderr, "%s: k %zu largest %g\n", v->name, k, (double)largest);
    test_int(failures, 0);
    free(q);
    free(reference);
}

static void test_quantize(const variant *v)
{
    static const float ranges[] = {1.0f, 1e-20f, 3e30f, 127.0f};
    float x[140];
    for (size_t i = 0; i < COUNT(lengths); i++)
        for (size_t r = 0; r < COUNT(ranges); r++) {
            float largest = 0;
            for (size_t l = 0; l < lengths[i]; l++) {
                /* Multiples of a half in the range 127: ties, to be rounded to even. */
                x[l + 1] = r == 3 ? floorf(test_uniform(&seed, -254, 255)) / 2
                                  : test_uniform(&seed, -ranges[r], ranges[r]);
                if (r == 3 && l == 0)
                    x[l + 1] = -127;
                largest = fabsf(x[l + 1]) > largest ? fabsf(x[l + 1]) : largest;
            }
            check_quantized(v, x + 1, lengths[i], largest);
        }
    memset(x, 0, sizeof x);
    check_quantized(v, x, 17, 0);
    x[3] = -1e-38f;
    check_quantized(v, x, 17, 0);
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 4; i++)
        for (size_t at = 0; at < 17; at++) {
            uint8_t q[64];
            memset(x, 0, sizeof x);
            x[5] = 1;
            x[at] = odd[i];
            test_true(isnan(((conure_quantize_row_fn *)v->fn)(q, x, 17, 64)));
            check_quantized(v, x, 17, 0);
        }
}

/* ---- f32_to_bf16_row --------------------------------------------------------------------------- */

static void test_bf16(const variant *v)
{
    static const float odd[] = {0.0f,     -0.0f,  INFINITY,  -INFINITY, NAN,        FLT_MAX,
                                -FLT_MAX, 1e-40f, 0x1.01p0f, 0x1.03p0f, -0x1.01p-3f};
    float x[140];
    uint16_t y[260];
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const size_t k = lengths[i], k_padded = k + k % 2 + 32;
        for (size_t l = 0; l < k; l++)
            x[l] = l % 5 == 4 ? odd[test_random(&seed) % COUNT(odd)] : test_uniform(&seed, -9, 9);
        memset(y, 0xA5, sizeof y);
        ((conure_f32_to_bf16_row_fn *)v->fn)(y, x, k, k_padded);
        long failures = 0;
        for (size_t l = 0; l < k; l++)
            failures += y[l] != conure_f32_to_bf16(x[l]);
        for (size_t l = k; l < k_padded; l++)
            failures += y[l] != 0;
        failures += !untouched(y + k_padded, 32);
        if (failures)
            fprintf(stderr, "%s: k %zu\n", v->name, k);
        test_int(failures, 0);
    }
}

/* ---- finish ------------------------------------------------------------------------------------ */

enum { M = 3, N_MAX = 130, LD = N_MAX + 5 };

/* Operands of a tile, as large as any case needs. */
typedef struct operands {
    float sums[M * LD], gate[M * LD], residual[M * LD];
    int32_t sums_int8[M * LD], gate_int8[M * LD];
    float bias[2 * N_MAX], scales[2 * N_MAX], row_scales[M];
} operands;

static void fill(operands *o)
{
    for (size_t i = 0; i < M * LD; i++) {
        o->sums[i] = test_uniform(&seed, -30, 30);
        o->gate[i] = test_uniform(&seed, -30, 30);
        o->residual[i] = test_uniform(&seed, -5, 5);
        o->sums_int8[i] = (int32_t)test_uniform(&seed, -3e6f, 3e6f);
        o->gate_int8[i] = (int32_t)test_uniform(&seed, -3e6f, 3e6f);
    }
    for (size_t i = 0; i < 2 * N_MAX; i++) {
        o->bias[i] = test_uniform(&seed, -1, 1);
        o->scales[i] = test_uniform(&seed, 1e-3f, 3e-3f);
    }
    for (size_t i = 0; i < M; i++)
        o->row_scales[i] = test_uniform(&seed, 1e-3f, 3e-3f);
}

static conure_finish finish_case(const operands *o, int kind, bool int8, size_t n, float *dst)
{
    conure_finish f = {
        .kind = kind, .m = M, .n = n, .dst = dst, .ldd = n + 3, .lds = LD, .alpha = 0.5f};
    f.sums = int8 ? (const void *)o->sums_int8 : o->sums;
    f.gate = int8 ? (const void *)o->gate_int8 : o->gate;
    f.bias = o->bias;
    f.gate_bias = o->bias + N_MAX;
    f.row_scales = int8 ? o->row_scales : NULL;
    f.scales = int8 ? o->scales : NULL;
    f.gate_scales = int8 ? o->scales + N_MAX : NULL;
    f.residual = o->residual;
    f.ldr = LD;
    return f;
}

/* y before the activation in double, and in *bound how far three roundings may take it. */
static double before(const conure_finish *f, bool gate, size_t i, size_t j, double *bound)
{
    const void *sums = gate ? f->gate : f->sums;
    const float *bias = gate ? f->gate_bias : f->bias, *scales = gate ? f->gate_scales : f->scales;
    const double y = f->row_scales ? (double)((const int32_t *)sums)[i * f->lds + j] *
                                         f->row_scales[i] * scales[j]
                                   : ((const float *)sums)[i * f->lds + j];
    *bound = 2.0 * FLT_EPSILON * fabs(y) + FLT_EPSILON * fabs(y + bias[j]);
    return y + bias[j];
}

/* The truth and the bound at one element: what comes in errs by `bound`, exp, sum and quotient add
 * three units, and the slope of SiLU is at most 1.1, of the sigmoid 0.25. */
static double truth(const conure_finish *f, size_t i, size_t j, double *bound)
{
    double y = before(f, false, i, j, bound), other = 0;
    switch (f->kind) {
    case CONURE_FINISH_RELU:
        return y > 0 ? y : 0;
    case CONURE_FINISH_SILU:
        y /= 1 + exp(-y);
        *bound = 1.1 * *bound + 4 * FLT_EPSILON * fabs(y);
        return y;
    case CONURE_FINISH_ADD:
        *bound = fabs(f->alpha) * *bound + 2 * FLT_EPSILON * fabs(y);
        y = f->alpha * y;
        if (f->residual)
            y += f->residual[i * f->ldr + j];
        *bound += FLT_EPSILON * fabs(y);
        return y;
    case CONURE_FINISH_GLU: {
        const double gate = 1 / (1 + exp(-before(f, true, i, j, &other)));
        *bound = *bound * gate + fabs(y) * gate * (other + 5 * FLT_EPSILON);
        return y * gate;
    }
    default:
        return y;
    }
}

static void check_finish(const variant *v, const operands *o, int kind, bool int8, size_t n)
{
    result r = result_new(M, n, n % 4);
    float exact[M * LD];
    long failures = 0;
    conure_finish f = finish_case(o, kind, int8, n, (float *)(void *)r.first);
    if (kind == CONURE_FINISH_ADD && n % 3 == 0)
        f.residual = NULL;
    ((conure_finish_fn *)v->fn)(&f);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < n; j++) {
            double bound;
            const double want = truth(&f, i, j, &bound);
            failures += !(fabs(f.dst[i * f.ldd + j] - want) <= bound);
        }
    failures += !result_guards(&r);
    if (kind != CONURE_FINISH_SILU && kind != CONURE_FINISH_GLU) {
        conure_finish reference = f;
        reference.dst = exact;
        conure_finish_c(&reference);
        for (size_t i = 0; i < M; i++)
            failures += memcmp(exact + i * f.ldd, f.dst + i * f.ldd, n * sizeof *exact) != 0;
    }
    if (failures)
        fprintf(stderr, "%s: kind %d int8 %d n %zu\n", v->name, kind, int8, n);
    test_int(failures, 0);
    free(r.block);
}

/* In place, as the residual of a layer is. */
static void check_in_place(const variant *v, const operands *o)
{
    float rows[M * LD], want[M * LD];
    conure_finish f = finish_case(o, CONURE_FINISH_ADD, false, 77, want);
    f.ldd = LD;
    conure_finish_c(&f);
    memcpy(rows, o->residual, sizeof rows);
    f.dst = rows;
    f.residual = rows;
    ((conure_finish_fn *)v->fn)(&f);
    for (size_t i = 0; i < M; i++)
        test_true(memcmp(rows + i * LD, want + i * LD, 77 * sizeof *rows) == 0);
}

/* SiLU over the whole range, and where exp ends: near -88 the result is still more than FLT_MIN. */
static void check_silu(const variant *v)
{
    enum { N = 16 };
    float y[N], out[N], zero[N] = {0};
    conure_finish f = {.kind = CONURE_FINISH_SILU, .m = 1, .n = N, .dst = out, .ldd = N, .lds = N};
    f.sums = y;
    f.bias = zero;
    double worst = 0;
    for (int step = -8800; step < 20000; step += N) {
        for (int i = 0; i < N; i++)
            y[i] = (float)(step + i) * 0.01f + test_uniform(&seed, -0.004f, 0.004f);
        ((conure_finish_fn *)v->fn)(&f);
        for (int i = 0; i < N; i++) {
            const double want = y[i] / (1 + exp(-(double)y[i]));
            const double error = fabs(out[i] - want) / fabs(want);
            worst = error > worst ? error : worst;
        }
    }
    fprintf(stderr, "%s: silu errs by %.3g at most\n", v->name, worst);
    test_true(worst < 3e-7);
    static const float special[N] = {0,   -0.0f, NAN, INFINITY, -INFINITY,
                                     200, -200,  -87, 1e30f,    -1e30f};
    memcpy(y, special, sizeof y);
    ((conure_finish_fn *)v->fn)(&f);
    test_true(out[0] == 0 && out[1] == 0 && isnan(out[2]) && out[3] == INFINITY);
    test_true(out[5] == 200 && fabsf(out[6]) < 1e-30f && out[8] == 1e30f && fabsf(out[9]) < 1e-30f);
}

static void test_finish(const variant *v)
{
    static operands o;
    fill(&o);
    for (int kind = CONURE_FINISH_STORE; kind <= CONURE_FINISH_ADD; kind++)
        for (size_t i = 0; i < COUNT(lengths); i++) {
            check_finish(v, &o, kind, false, lengths[i]);
            check_finish(v, &o, kind, true, lengths[i]);
        }
    check_in_place(v, &o);
    check_silu(v);
}

int main(void)
{
    const uint32_t features = native_features();
    test_begin("backend_gemm_rows");
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (variant_runs(i, "quantize_row", features))
            test_quantize(&variants[i]);
        if (variant_runs(i, "f32_to_bf16_row", features))
            test_bf16(&variants[i]);
        if (variant_runs(i, "finish", features))
            test_finish(&variants[i]);
    }
    return test_end();
}

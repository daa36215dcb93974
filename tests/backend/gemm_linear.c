/* gemm_linear.c - linear() as the encoder calls it: every epilogue, precision and instruction set, odd
 * shapes, several products of one input, threads; against double, and bit by bit where that is
 * promised (rows by themselves, threads, int8 on every instruction set). */
#include "gemm_ops.h"

static uint64_t seed = 77;

static const char *const levels[] = {"c", "avx2", "avx512", "vnni", "bf16", "amx"};

/* A layer: three products of one input, one of them with every epilogue in turn. */
enum { N_PRODUCTS = 3 };

typedef struct layer {
    uint32_t m, k, n[N_PRODUCTS];
    conure_epilogue epilogue[N_PRODUCTS];
    float *x, *w[N_PRODUCTS], *bias[N_PRODUCTS], *residual;
    double *y[N_PRODUCTS], *bound[N_PRODUCTS];
} layer;

static uint32_t columns(const layer *l, int p)
{
    return l->epilogue[p] == CONURE_GLU ? l->n[p] / 2 : l->n[p];
}

/* ---- the truth --------------------------------------------------------------------------------- */

/* What the products see of k numbers: bf16 is rounded first, exactly known; int8 is left to bound. */
static void rounded(double *to, const float *x, size_t k, conure_precision precision)
{
    for (size_t i = 0; i < k; i++)
        to[i] = precision == CONURE_PRECISION_BF16 ? conure_bf16_to_f32(conure_f32_to_bf16(x[i]))
                                                   : x[i];
}

/* y = W x + bias of one row and column, and how far it may be: for f32 and bf16 k + 2 roundings of a
 * running sum; for int8 half a step (a 127th of the largest) on either side of every product. */
static double dot(const double *x, const double *w, size_t k, conure_precision precision,
                  double *bound)
{
    double sum = 0, size = 0, x_max = 0, w_max = 0, x_size = 0, w_size = 0;
    for (size_t i = 0; i < k; i++) {
        sum += x[i] * w[i];
        size += fabs(x[i] * w[i]);
        x_size += fabs(x[i]);
        w_size += fabs(w[i]);
        x_max = fabs(x[i]) > x_max ? fabs(x[i]) : x_max;
        w_max = fabs(w[i]) > w_max ? fabs(w[i]) : w_max;
    }
    *bound = (double)(k + 2) * FLT_EPSILON / 2 * size;
    if (precision == CONURE_PRECISION_INT8) {
        const double step_x = 0.5001 * x_max / 127, step_w = 0.5001 * w_max / 127;
        *bound = step_x * w_size + step_w * x_size + (double)k * step_x * step_w + 1e-6 * size;
    }
    return sum;
}

static void finish(const layer *l, int p, size_t row, const double *y, const double *error)
{
    const size_t n = columns(l, p);
    for (size_t j = 0; j < n; j++) {
        double v = y[j], e = error[j] + 2 * FLT_EPSILON * fabs(v);
        if (l->epilogue[p] == CONURE_RELU) {
            v = v > 0 ? v : 0;
        } else if (l->epilogue[p] == CONURE_SILU) {
            v /= 1 + exp(-v);
            e = 1.1 * e + 4 * FLT_EPSILON * fabs(v);
        } else if (l->epilogue[p] == CONURE_ADD) {
            v = l->residual[row * n + j] + 0.5 * v;
            e += 2 * FLT_EPSILON * fabs(v);
        } else if (l->epilogue[p] == CONURE_GLU) {
            const double gate = 1 / (1 + exp(-y[j + n]));
            e = e * gate + fabs(v) * (0.25 * error[j + n] + 5 * FLT_EPSILON) + error[j + n] * e;
            v *= gate;
        }
        l->y[p][row * n + j] = v;
        l->bound[p][row * n + j] = e;
    }
}

static void compute_truth(const layer *l, int p, conure_precision precision)
{
    const size_t n = l->n[p], k = l->k;
    double *w = malloc(n * k * sizeof *w), *x = malloc(k * sizeof *x);
    double *y = malloc(n * sizeof *y), *error = malloc(n * sizeof *error);
    for (size_t j = 0; j < n; j++)
        rounded(w + j * k, l->w[p] + j * k, k, precision);
    for (size_t i = 0; i < l->m; i++) {
        rounded(x, l->x + i * k, k, precision);
        for (size_t j = 0; j < n; j++)
            y[j] = dot(x, w + j * k, k, precision, &error[j]) + l->bias[p][j];
        finish(l, p, i, y, error);
    }
    free(w);
    free(x);
    free(y);
    free(error);
}

static layer layer_new(uint32_t m, uint32_t k, uint32_t n, conure_epilogue epilogue,
                       conure_precision precision)
{
    layer l = {.m = m, .k = k, .n = {n, 48, 7}, .epilogue = {epilogue, CONURE_STORE, CONURE_RELU}};
    l.x = random_floats((size_t)m * k, 2, &seed);
    l.residual = random_floats((size_t)m * n, 1, &seed);
    for (int p = 0; p < N_PRODUCTS; p++) {
        l.w[p] = random_floats((size_t)l.n[p] * k, 1.7f / sqrtf((float)k), &seed);
        l.bias[p] = random_floats(l.n[p], 1, &seed);
        l.y[p] = malloc((size_t)m * l.n[p] * sizeof(double));
        l.bound[p] = malloc((size_t)m * l.n[p] * sizeof(double));
        compute_truth(&l, p, precision);
    }
    return l;
}

static void layer_free(layer *l)
{
    free(l->x);
    free(l->residual);
    for (int p = 0; p < N_PRODUCTS; p++) {
        free(l->w[p]);
        free(l->bias[p]);
        free(l->y[p]);
        free(l->bound[p]);
    }
}

/* ---- running it -------------------------------------------------------------------------------- */

/* dst[p] of rows first .. first + m - 1; returns whether nothing else was written. */
static bool run_layer(const layer *l, void *self, uint32_t first, uint32_t m, guarded_rows *dst)
{
    conure_product products[N_PRODUCTS];
    conure_weight *weights[N_PRODUCTS];
    conure_error err;
    /* The input's rows stand apart, and begin where no vector would. */
    float *x = malloc((m * (l->k + 5) + 1) * sizeof *x);
    const conure_rows src = {x + 1, l->k + 5, m, l->k};
    bool ok = true;
    for (size_t i = 0; i < m; i++)
        memcpy(src.data + i * src.stride, l->x + (first + i) * l->k, l->k * sizeof *x);
    for (int p = 0; p < N_PRODUCTS; p++) {
        const conure_tensor t = matrix_tensor(l->w[p], CONURE_F32, l->n[p], l->k);
        if (conure_ops_cpu.weight_create(self, &weights[p], &t, l->bias[p], &err) != CONURE_OK) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
        dst[p] = guarded_rows_new(m, columns(l, p));
        products[p] = (conure_product){.weight = weights[p], .dst = dst[p].rows, .alpha = 0.5f};
        products[p].epilogue = l->epilogue[p];
        products[p].residual =
            (conure_rows){l->residual + (size_t)first * l->n[p], l->n[p], m, l->n[p]};
    }
    ok = conure_ops_cpu.linear(self, src, products, N_PRODUCTS, &err) == CONURE_OK;
    for (int p = 0; p < N_PRODUCTS; p++) {
        ok = ok && guarded_rows_intact(&dst[p]);
        conure_ops_cpu.weight_free(self, &weights[p]);
    }
    free(x);
    return ok;
}

static void free_rows(guarded_rows *dst)
{
    for (int p = 0; p < N_PRODUCTS; p++)
        free(dst[p].block);
}

static bool same_rows(const conure_rows *a, size_t row_a, const conure_rows *b, size_t row_b)
{
    return memcmp(a->data + row_a * a->stride, b->data + row_b * b->stride,
                  a->cols * sizeof *a->data) == 0;
}

static long count_far(const layer *l, const guarded_rows *dst)
{
    long far = 0;
    for (int p = 0; p < N_PRODUCTS; p++)
        for (size_t i = 0; i < l->m; i++)
            for (size_t j = 0; j < dst[p].rows.cols; j++) {
                const size_t at = i * dst[p].rows.cols + j;
                const float got = dst[p].rows.data[i * dst[p].rows.stride + j];
                far += !(fabs(got - l->y[p][at]) <= l->bound[p][at]);
            }
    return far;
}

/* A row alone gives the bits it gives among others. */
static long count_dependent(const layer *l, void *self, const guarded_rows *all)
{
    long differ = 0;
    for (uint32_t row = 0; row<l->m; row += l->m> 8 ? l->m / 3 : 1) {
        guarded_rows one[N_PRODUCTS];
        differ += !run_layer(l, self, row, 1, one);
        for (int p = 0; p < N_PRODUCTS; p++)
            differ += !same_rows(&one[p].rows, 0, &all[p].rows, row);
        free_rows(one);
    }
    return differ;
}

static long count_different(const layer *l, const guarded_rows *a, const guarded_rows *b)
{
    long differ = 0;
    for (int p = 0; p < N_PRODUCTS; p++)
        for (size_t i = 0; i < l->m; i++)
            differ += !same_rows(&a[p].rows, i, &b[p].rows, i);
    return differ;
}

static void check_layer(const layer *l, conure_precision precision)
{
    guarded_rows reference[N_PRODUCTS], dst[N_PRODUCTS];
    const bool has_exp = l->epilogue[0] == CONURE_SILU || l->epilogue[0] == CONURE_GLU;
    void *self = cpu_instance("c", precision, 1);
    long failures = !run_layer(l, self, 0, l->m, reference);
    conure_ops_cpu.close(&self);
    for (size_t i = 0; i < COUNT(levels); i++)
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
            guarded_rows threads[N_PRODUCTS];
            self = cpu_instance(levels[i], precision, n_threads);
            if (!self)
                break;
            failures += !run_layer(l, self, 0, l->m, n_threads == 1 ? dst : threads);
            if (n_threads == 1) {
                failures += count_far(l, dst) + count_dependent(l, self, dst);
                if (precision == CONURE_PRECISION_INT8 && !has_exp)
                    failures += count_different(l, dst, reference);
            } else {
                failures += count_different(l, threads, dst);
                free_rows(threads);
            }
            conure_ops_cpu.close(&self);
            if (failures)
                fprintf(stderr, "%s %s, %u threads, m %u k %u n %u epilogue %d: %ld\n", levels[i],
                        precision_names[precision], n_threads, l->m, l->k, l->n[0], l->epilogue[0],
                        failures);
            if (n_threads == 3)
                free_rows(dst);
        }
    test_int(failures, 0);
    free_rows(reference);
}

static void check_shape(uint32_t m, uint32_t k, uint32_t n, conure_epilogue epilogue)
{
    for (int precision = CONURE_PRECISION_F32; precision <= CONURE_PRECISION_INT8; precision++) {
        layer l = layer_new(m, k, n, epilogue, (conure_precision)precision);
        check_layer(&l, (conure_precision)precision);
        layer_free(&l);
    }
}

/* ---- the rest of the contract ------------------------------------------------------------------ */

/* The residual may be dst itself, and absent; a NaN in a row stays in that row. */
static void test_residual_and_nan(conure_precision precision)
{
    enum { M = 5, N = 40, K = 24 };
    void *self = cpu_instance("native", precision, 2);
    float *w = random_floats(N * K, 0.3f, &seed), *x = random_floats(M * K, 1, &seed);
    const conure_tensor t = matrix_tensor(w, CONURE_F32, N, K);
    float plain[M * N], added[M * N], bare[M * N];
    conure_weight *weight;
    x[2 * K + 7] = NAN;
    test_int(conure_ops_cpu.weight_create(self, &weight, &t, NULL, NULL), CONURE_OK);
    const conure_rows src = {x, K, M, K};
    conure_product p = {.weight = weight, .dst = {plain, N, M, N}};
    test_int(conure_ops_cpu.linear(self, src, &p, 1, NULL), CONURE_OK);
    for (int i = 0; i < M * N; i++)
        added[i] = (float)i;
    p = (conure_product){
        .weight = weight, .dst = {added, N, M, N}, .epilogue = CONURE_ADD, .alpha = 2};
    p.residual = p.dst;
    test_int(conure_ops_cpu.linear(self, src, &p, 1, NULL), CONURE_OK);
    p.dst.data = bare;
    p.residual.data = NULL;
    test_int(conure_ops_cpu.linear(self, src, &p, 1, NULL), CONURE_OK);
    long failures = 0;
    for (int i = 0; i < M * N; i++) {
        const bool nan = i / N == 2;
        failures += isnan(plain[i]) != nan || isnan(added[i]) != nan || isnan(bare[i]) != nan;
        failures += !nan && (added[i] != (float)i + 2 * plain[i] || bare[i] != 2 * plain[i]);
    }
    test_int(failures, 0);
    test_int(conure_ops_cpu.linear(self, (conure_rows){x, K, 0, K}, &p, 1, NULL), CONURE_OK);
    conure_ops_cpu.weight_free(self, &weight);
    conure_ops_cpu.close(&self);
    free(w);
    free(x);
}

static void test_instance(void)
{
    conure_error err;
    void *self = cpu_instance("c", CONURE_PRECISION_INT8, 1);
    test_contains(conure_ops_cpu.describe(self), "c, 1 thread");
    conure_ops_cpu.close(&self);
    conure_backend_options options = {.n_threads = 1, .precision = CONURE_PRECISION_DEFAULT};
    test_int(conure_ops_cpu.open(&self, &options, &err), CONURE_BAD_ARG);
    options =
        (conure_backend_options){.n_threads = 1, .precision = CONURE_PRECISION_F32, .isa = "z80"};
    test_int(conure_ops_cpu.open(&self, &options, &err), CONURE_BAD_ARG);
    test_true(self == NULL);
}

int main(void)
{
    test_begin("backend_linear");
    for (int e = CONURE_STORE; e <= CONURE_ADD; e++) {
        check_shape(1, 33, 96, (conure_epilogue)e);
        check_shape(13, 65, 160, (conure_epilogue)e); /* GLU: halves of 5 panels */
        check_shape(5, 130, 50, (conure_epilogue)e);  /* GLU: halves end within a panel */
        check_shape(1, 1, 2, (conure_epilogue)e);
    }
    check_shape(300, 40, 200, CONURE_SILU); /* tiles of 100 rows */
    check_shape(97, 600, 520, CONURE_GLU);
    check_shape(2, 1027, 900, CONURE_STORE);
    for (int precision = CONURE_PRECISION_F32; precision <= CONURE_PRECISION_INT8; precision++)
        test_residual_and_nan((conure_precision)precision);
    test_instance();
    return test_end();
}

/* Every row kernel of every instruction set against double arithmetic: lengths around each vector
 * width, every alignment, guards around what may be written. */
#include "rows_fixture.h"

enum { N_MAX = 1100, PAD = 24, TAPS = 9 };
static const size_t lengths[] = {0,  1,  2,  7,  8,   9,   15,  16,  17,   31,
                                 33, 63, 64, 65, 100, 127, 129, 640, 1024, 1031};

static const char *isa; /* under test, for failures */
static const double EPS = FLT_EPSILON;
/* Results below the smallest normal number may be flushed. */
static const double TINY = FLT_MIN;

typedef struct buffers {
    float x[TAPS + 1][N_MAX + PAD], y[N_MAX + 2 * PAD], before[N_MAX + 2 * PAD];
    float weight[TAPS * N_MAX + PAD];
} buffers;

static buffers b;

static void fill(float *x, size_t n, float low, float high, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = test_uniform(seed, low, high);
}

static void fill_all(float low, float high, uint64_t seed)
{
    for (size_t t = 0; t <= TAPS; t++)
        fill(b.x[t], N_MAX + PAD, low, high, &seed);
    fill(b.weight, TAPS * N_MAX + PAD, -1, 1, &seed);
    fill(b.y, N_MAX + 2 * PAD, low, high, &seed);
    memcpy(b.before, b.y, sizeof b.y);
}

static void check(const char *kernel, float got, double want, double bound, size_t n, size_t i)
{
    const bool ok = fabs(got - want) <= bound;
    if (!ok)
        fprintf(stderr, "%s %s n %zu i %zu: ", kernel, isa, n, i);
    test_near(got, want, bound);
}

/* Nothing but y[start .. start + n) may have changed. */
static void check_guards(const char *kernel, size_t start, size_t n)
{
    const size_t after = start + n;
    const bool ok = memcmp(b.y, b.before, start * sizeof *b.y) == 0 &&
                    memcmp(b.y + after, b.before + after, sizeof b.y - after * sizeof *b.y) == 0;
    if (!ok)
        fprintf(stderr, "%s %s n %zu at %zu: ", kernel, isa, n, start);
    test_true(ok);
}

/* Calls BODY for each length and offset with n, start and offset set and y restored. */
#define FOR_EACH_LENGTH(low, high)                                                                 \
    for (size_t i_ = 0; i_ < sizeof lengths / sizeof *lengths; i_++)                               \
        for (size_t offset = 0, n = lengths[i_], start = PAD;                                      \
             offset < 4 && (fill_all(low, high, 1 + i_ * 4 + offset), true);                       \
             offset++, start = PAD + offset)

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* exp in float32 is good to 2 eps here (its argument is reduced exactly), the sum and the quotient
 * round once each. */
static void test_activations(const conure_kernels *k)
{
    FOR_EACH_LENGTH(-30, 30)
    {
        const float *x = b.x[0] + offset, *gate = b.x[1] + offset;
        k->silu_row(b.y + start, x, n);
        for (size_t i = 0; i < n; i++)
            check("silu", b.y[start + i], x[i] * sigmoid(x[i]),
                  4 * EPS * fabs(x[i] * sigmoid(x[i])) + TINY, n, i);
        check_guards("silu", start, n);
        k->glu_row(b.y + start, x, gate, n);
        for (size_t i = 0; i < n; i++) {
            const double want = x[i] * sigmoid(gate[i]);
            check("glu", b.y[start + i], want, 4 * EPS * fabs(want) + TINY, n, i);
        }
        check_guards("glu", start, n);
        k->relu_row(b.y + start, x, n);
        for (size_t i = 0; i < n; i++)
            check("relu", b.y[start + i], x[i] > 0 ? x[i] : 0, 0, n, i);
        check_guards("relu", start, n);
    }
}

static void test_sums(const conure_kernels *k)
{
    FOR_EACH_LENGTH(-3, 3)
    {
        const float *x = b.x[0] + offset, *z = b.x[1] + offset;
        k->add_scaled_row(b.y + start, x, z, 0.37f, n);
        for (size_t i = 0; i < n; i++) {
            const double part = (double)0.37f * z[i];
            check("add_scaled", b.y[start + i], x[i] + part, EPS * (fabs(part) + fabs(x[i])), n, i);
        }
        check_guards("add_scaled", start, n);
        memcpy(b.y, b.before, sizeof b.y);
        k->add_scaled_row(b.y + start, b.y + start, z, -1.5f, n); /* in place */
        for (size_t i = 0; i < n; i++)
            check("add_scaled in place", b.y[start + i], b.before[start + i] - 1.5 * z[i],
                  EPS * (1.5 * fabs(z[i]) + fabs(b.before[start + i])), n, i);
        k->add_relu_row(b.y + start, x, z, n);
        for (size_t i = 0; i < n; i++)
            check("add_relu", b.y[start + i], fmax((double)x[i] + z[i], 0),
                  EPS * fabs((double)x[i] + z[i]), n, i);
        check_guards("add_relu", start, n);
        memcpy(b.y, b.before, sizeof b.y);
        k->scale_row(b.y + start, 1.0f / 3, n);
        for (size_t i = 0; i < n; i++)
            check("scale", b.y[start + i], (double)b.before[start + i] * (1.0f / 3),
                  EPS * fabs(b.y[start + i]), n, i);
        check_guards("scale", start, n);
    }
}

/* Rows around a large offset: the centred form must not lose it.  x - mean is exact to one rounding of
 * each, the variance to (n / 8 + 8) roundings, halved by the root. */
static void norm_lengths(const conure_kernels *k, float low, float high)
{
    FOR_EACH_LENGTH(low, high)
    {
        const float *x = b.x[0] + offset, *gamma = b.weight + offset, *beta = b.weight + 2 * N_MAX + offset;
        double mean = 0, var = 0, largest = 0;
        if (n == 0)
            continue;
        k->layer_norm_row(b.y + start, x, gamma, beta, n);
        for (size_t i = 0; i < n; i++)
            mean += x[i] / (double)n;
        for (size_t i = 0; i < n; i++) {
            var += (x[i] - mean) * (x[i] - mean) / (double)n;
            largest = fmax(largest, fabs(x[i] - mean));
        }
        const double factor = 1 / sqrt(var + 1e-5), roundings = (double)n / 16 + 8;
        for (size_t i = 0; i < n; i++) {
            const double normal = (x[i] - mean) * factor, want = normal * gamma[i] + beta[i];
            const double bound =
                EPS * (fabs(gamma[i]) * (roundings * fabs(normal) + 4 * largest * factor) +
                       fabs(want) + fabs(beta[i]));
            check("layer_norm", b.y[start + i], want, bound, n, i);
        }
        check_guards("layer_norm", start, n);
        memcpy(b.before, b.y, sizeof b.y);
        memcpy(b.y + start, x, n * sizeof *x); /* in place: the same bits */
        k->layer_norm_row(b.y + start, b.y + start, gamma, beta, n);
        test_true(memcmp(b.y, b.before, sizeof b.y) == 0);
    }
}

static void test_norm(const conure_kernels *k)
{
    norm_lengths(k, -2, 2);
    norm_lengths(k, 9998, 10002);
    norm_lengths(k, 999998, 1000002);
    norm_lengths(k, 0, 0); /* no variance at all: beta comes out */
}

static void test_depthwise(const conure_kernels *k)
{
    FOR_EACH_LENGTH(-2, 2)
    {
        const size_t n_taps = offset * 3; /* 0, 3, 6, 9 */
        const float *bias = b.x[TAPS] + offset, *taps[TAPS];
        const size_t ldw = n + offset;
        for (size_t t = 0; t < n_taps; t++)
            taps[t] = t % 4 == 2 ? NULL : b.x[t] + offset;
        for (int activation = 0; activation < 3; activation++) {
            k->depthwise_row(b.y + start, taps, b.weight, ldw, bias, n_taps, n, activation);
            for (size_t i = 0; i < n; i++) {
                double sum = bias[i], size = fabs(bias[i]);
                for (size_t t = 0; t < n_taps; t++) {
                    const double part = taps[t] ? (double)b.weight[t * ldw + i] * taps[t][i] : 0;
                    sum += part;
                    size += fabs(part);
                }
                const double want = activation == 0   ? sum
                                    : activation == 1 ? fmax(sum, 0)
                                                      : sum * sigmoid(sum);
                /* 10 sums, each rounded once to half an eps; silu's slope is below 1.1 */
                check("depthwise", b.y[start + i], want,
                      (1.1 * 10 / 2 * size + 4 * fabs(want)) * EPS, n, i);
            }
            check_guards("depthwise", start, n);
        }
        k->conv9_row(b.y + start, b.x[0] + offset, b.weight + offset, bias, n);
        for (size_t i = 0; i < n; i++) {
            double sum = bias[i], size = fabs(bias[i]);
            for (size_t t = 0; t < 9; t++) {
                sum += (double)b.x[0][offset + t] * b.weight[offset + t * n + i];
                size += fabs((double)b.x[0][offset + t] * b.weight[offset + t * n + i]);
            }
            check("conv9", b.y[start + i], fmax(sum, 0), 10.0 / 2 * size * EPS, n, i);
        }
        check_guards("conv9", start, n);
    }
}

static void exp_lengths(const conure_kernels *k, float low, float high)
{
    FOR_EACH_LENGTH(low, high)
    {
        double want = 0;
        const float max = k->max_row(b.y + start, n);
        float by_hand = -INFINITY;
        for (size_t i = 0; i < n; i++)
            by_hand = b.y[start + i] > by_hand ? b.y[start + i] : by_hand;
        test_true(max == by_hand);
        const float sum = k->exp_row(b.y + start, max, n);
        for (size_t i = 0; i < n; i++) {
            const double e =
                exp((double)(b.before[start + i] - max)); /* the difference in float32 */
            check("exp", b.y[start + i], e, 2 * EPS * e + TINY, n, i);
            want += b.y[start + i];
        }
        check("exp sum", sum, want, (4 + (double)n / 16) * EPS * want, n, 0);
        check_guards("exp", start, n);
    }
}

static void test_softmax(const conure_kernels *k)
{
    exp_lengths(k, -20, 20);
    exp_lengths(k, -3e4f, 3e4f);
    exp_lengths(k, -5.8e6f, 0);
    float x[5] = {-INFINITY, 1, 2, -FLT_MAX, -88.5f};
    test_near(k->exp_row(x, 2, 5), 1 + exp(-1), 2 * EPS);
    test_true(x[0] == 0 && x[3] == 0 && x[4] <= FLT_MIN && x[2] == 1);
    test_true(k->max_row(x, 0) == -INFINITY);
    float odd[3] = {NAN, INFINITY, 0};
    test_true(isnan(k->exp_row(odd, 1, 3)) && isnan(odd[0]));
}

static void test_lstm(const conure_kernels *k)
{
    static const float sizes[] = {0.01f, 1, 30};
    static float gates[4 * N_MAX], c[N_MAX + 2], h[N_MAX + 2], c_before[N_MAX + 2];
    uint64_t seed = 31;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (size_t s = 0; s < 3; s++) {
            const size_t n = lengths[l];
            fill(gates, 4 * n, -sizes[s], sizes[s], &seed);
            fill(c, N_MAX + 2, -2, 2, &seed);
            fill(h, N_MAX + 2, -2, 2, &seed);
            const float guard = h[n + 1], first = h[0];
            memcpy(c_before, c, sizeof c);
            k->lstm_row(h + 1, c + 1, gates, n);
            for (size_t i = 0; i < n; i++) {
                const double keep = sigmoid(gates[n + i]) * c_before[1 + i];
                const double add = sigmoid(gates[i]) * tanh(gates[2 * n + i]);
                check("lstm c", c[1 + i], keep + add, 5 * EPS * (fabs(keep) + fabs(add)) + TINY, n,
                      i);
                const double out =
                    sigmoid(gates[3 * n + i]) * tanh(c[1 + i]); /* from the c it made */
                check("lstm h", h[1 + i], out, 5 * EPS * fabs(out) + TINY, n, i);
            }
            test_true(h[n + 1] == guard && h[0] == first && c[n + 1] == c_before[n + 1] &&
                      c[0] == c_before[0]);
        }
}

static void test_pack(const conure_kernels *k)
{
    static float x[16 * 140], panel[16 * 140];
    uint64_t seed = 3;
    fill(x, 16 * 140, -1, 1, &seed);
    for (size_t rows = 0; rows <= 16; rows++)
        for (size_t cols = 1; cols < 135; cols += rows % 2 ? 1 : 5) {
            bool ok = true;
            for (size_t i = 0; i < 16 * 140; i++)
                panel[i] = GUARD;
            k->pack_panel(panel, x, 137, rows, cols);
            for (size_t i = 0; i < 16 * 140; i++)
                ok &= panel[i] == (i >= 16 * cols  ? GUARD
                                   : i % 16 < rows ? x[i % 16 * 137 + i / 16]
                                                   : 0);
            test_true(ok);
        }
}

/* Exact for every pattern, so the same bits in every variant, NaN's too. */
static void test_widen(const conure_kernels *k)
{
    static uint16_t x[1 << 16];
    static float y[1 << 16];
    for (size_t i = 0; i < 1 << 16; i++)
        x[i] = (uint16_t)i;
    k->bf16_to_f32_row(y, x, 1 << 16);
    long bad = 0;
    for (uint32_t i = 0; i < 1 << 16; i++) {
        uint32_t bits;
        memcpy(&bits, y + i, sizeof bits);
        bad += bits != i << 16;
    }
    test_int(bad, 0);
    FOR_EACH_LENGTH(-1, 1)
    {
        k->bf16_to_f32_row(b.y + start, x + 0x3f00 + offset, n); /* from 0.5 on */
        for (size_t i = 0; i < n; i++)
            check("bf16_to_f32", b.y[start + i], y[0x3f00 + offset + i], 0, n, i);
        check_guards("bf16_to_f32", start, n);
    }
}

/* What is not finite stays visible, and nothing crashes. */
static void test_not_finite(const conure_kernels *k)
{
    float x[21], y[21], one[21];
    for (size_t i = 0; i < 21; i++) {
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
        one[i] = 1;
    }
    k->silu_row(y, x, 21);
    test_true(isnan(y[0]) && isnan(y[18]) && y[1] == INFINITY);
    k->relu_row(y, x, 21);
    test_true(isnan(y[0]) && isnan(y[18]) && y[1] == INFINITY && y[20] == 0);
    k->glu_row(y, one, x, 21);
    test_true(isnan(y[0]) && y[1] == 1 && y[19] == 1 && fabsf(y[20]) <= FLT_MIN);
    k->layer_norm_row(y, x, one, one, 21);
    test_true(isnan(y[0]) && isnan(y[20]));
}

int main(void)
{
    test_begin("row kernels");
    for (size_t i = 0; i < N_ISA; i++) {
        conure_kernels kernels;
        uint32_t features;
        isa = isa_names[i];
        if (!isa_features(&features, i))
            continue;
        conure_kernels_rows(&kernels, features);
        test_activations(&kernels);
        test_sums(&kernels);
        test_norm(&kernels);
        test_depthwise(&kernels);
        test_softmax(&kernels);
        test_lstm(&kernels);
        test_pack(&kernels);
        test_widen(&kernels);
        test_not_finite(&kernels);
    }
    return test_end();
}

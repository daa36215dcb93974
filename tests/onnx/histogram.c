/* histogram.c - where an int8 scale had best end: beside a search over the values themselves, in any order and at any size. */
#include "../test.h"

#include "onnx/histogram.h"

#include <math.h>

enum { N = 400000 };

static double error_of(const float *x, double range)
{
    double sum = 0;
    for (int i = 0; i < N; i++) {
        const double v = fabs((double)x[i]), q = fmin(nearbyint(v / range * 127), 127) * range / 127;
        sum += (v - q) * (v - q);
    }
    return sum;
}

static double best_of(const float *x, double largest)
{
    double least = INFINITY;
    for (int i = 20; i <= 100; i += 2)
        least = fmin(least, error_of(x, largest * i / 100));
    return least;
}

/* Even, or with a tail that falls by e for each scale. */
static float *make(bool tail, float scale)
{
    float *x = malloc(N * sizeof *x);
    uint64_t seed = 7;
    for (int i = 0; i < N; i++) {
        const double u = test_uniform(&seed, -1, 1);
        x[i] = (float)(tail ? copysign(-log(fabs(u) + 1e-9), u) : u) * scale;
    }
    return x;
}

static void near_the_best(bool tail, float scale, double least, double most)
{
    float *x = make(tail, scale);
    conure_histogram *h = calloc(1, sizeof *h), *turned = calloc(1, sizeof *h);
    for (int i = 0; i < N; i++) {
        conure_histogram_add(h, &x[i], 1);
        conure_histogram_add(turned, &x[N - 1 - i], 1);
    }
    const double range = conure_histogram_range(h), back = conure_histogram_range(turned);
    test_true(range / h->largest >= least && range / h->largest <= most);
    test_true(error_of(x, range) <= 1.05 * best_of(x, h->largest));
    test_true(error_of(x, back) <= 1.05 * best_of(x, h->largest));
    test_true(h->largest == turned->largest);
    free(x);
    free(h);
    free(turned);
}

static void edges(void)
{
    static const float zeros[3] = {0, -0.0f, 0}, strange[4] = {NAN, INFINITY, -INFINITY, -2.5f}, tiny[2] = {1e-44f, -1e-40f};
    conure_histogram *h = calloc(1, sizeof *h);
    test_true(conure_histogram_range(h) == 0);
    conure_histogram_add(h, zeros, 3);
    test_true(conure_histogram_range(h) == 0);
    conure_histogram_add(h, tiny, 2);
    test_true(conure_histogram_range(h) == 1e-40f);
    conure_histogram_add(h, strange, 4);
    test_true(conure_histogram_range(h) > 2.4f && conure_histogram_range(h) <= 2.5f);
    test_int(h->counts[0], 5);
    test_int(h->counts[CONURE_HISTOGRAM_BINS - 1], 1);
    free(h);
}

int main(void)
{
    test_begin("onnx.histogram");
    near_the_best(false, 4.5f, 0.95, 1);
    near_the_best(true, 1, 0.5, 0.9);
    near_the_best(true, 1e-20f, 0.5, 0.9);
    near_the_best(true, 1e20f, 0.5, 0.9);
    edges();
    return test_end();
}

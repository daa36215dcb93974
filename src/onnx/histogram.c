/* histogram.c - see histogram.h. */
#include "onnx/histogram.h"

#include <float.h>
#include <math.h>

enum { LEVELS = 127, TRIALS = 41 };

/* Twice the width: two bins become one. */
static void widen(conure_histogram *h)
{
    for (size_t i = 0; i < CONURE_HISTOGRAM_BINS / 2; i++)
        h->counts[i] = h->counts[2 * i] + h->counts[2 * i + 1];
    for (size_t i = CONURE_HISTOGRAM_BINS / 2; i < CONURE_HISTOGRAM_BINS; i++)
        h->counts[i] = 0;
    h->top *= 2;
}

void conure_histogram_add(conure_histogram *h, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float x = fabsf(values[i]);
        if (!(x <= FLT_MAX / 4))
            continue;
        h->largest = fmaxf(h->largest, x);
        if (h->top == 0 && x > FLT_MIN * CONURE_HISTOGRAM_BINS)
            h->top = x; /* zeros before it belong to the first bin */
        while (h->top > 0 && x > h->top)
            widen(h);
        const float bin = h->top > 0 ? x / h->top * CONURE_HISTOGRAM_BINS : 0;
        h->counts[bin < CONURE_HISTOGRAM_BINS ? (size_t)bin : CONURE_HISTOGRAM_BINS - 1]++;
    }
}

/* Of all that was seen, each bin by its middle. */
static double squared_error(const conure_histogram *h, double range)
{
    const double width = (double)h->top / CONURE_HISTOGRAM_BINS, step = range / LEVELS;
    double sum = 0;
    for (size_t i = 0; i < CONURE_HISTOGRAM_BINS; i++) {
        const double x = ((double)i + 0.5) * width, level = fmin(nearbyint(x / step), LEVELS);
        sum += (double)h->counts[i] * (x - level * step) * (x - level * step);
    }
    return sum;
}

float conure_histogram_range(const conure_histogram *h)
{
    float best = h->largest;
    double least = INFINITY;
    if (h->top == 0)
        return h->largest;
    for (int i = 0; i < TRIALS; i++) {
        const float range = h->largest * (1 - 0.02f * (float)i);
        const double error = squared_error(h, range);
        if (error < least) {
            least = error;
            best = range;
        }
    }
    return best;
}

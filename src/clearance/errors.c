/* errors.c - see errors.h. */
#include "clearance/errors.h"

#include <math.h>
#include <string.h>

enum { LOWEST_EXPONENT = -80, BINS_PER_OCTAVE = 64 };

void conure_errors_init(conure_errors *e)
{
    memset(e, 0, sizeof *e);
}

/* Bin 0 is an exact 0; differences below 2^-80 share bin 1, those above 2^16 the last one. */
static size_t bin_of(double d)
{
    int exponent;
    if (d == 0)
        return 0;
    const double m = frexp(d, &exponent); /* [0.5, 1) */
    const int octave = exponent - 1 - LOWEST_EXPONENT;
    if (octave < 0)
        return 1;
    if (octave >= CONURE_ERRORS_OCTAVES)
        return CONURE_ERRORS_BINS - 1;
    return 1 + (size_t)octave * BINS_PER_OCTAVE + (size_t)((m * 2 - 1) * BINS_PER_OCTAVE);
}

static double upper_edge(size_t bin)
{
    if (bin == 0)
        return 0;
    const size_t i = bin - 1;
    return ldexp(1 + (double)(i % BINS_PER_OCTAVE + 1) / BINS_PER_OCTAVE, (int)(i / BINS_PER_OCTAVE) + LOWEST_EXPONENT);
}

void conure_errors_add(conure_errors *e, const float *a, const float *b, size_t n, size_t *worst, double *max, double *relative)
{
    double largest = 0, scale = 0;
    bool bad = false;
    *worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        if (!isfinite(d)) {
            const bool same = (isnan(a[i]) && isnan(b[i])) || a[i] == b[i]; /* infinities are equal to themselves */
            e->n_not_finite += !same;
            if (!same && !bad) {
                *worst = i;
                bad = true;
            }
            continue;
        }
        e->n++;
        e->sum += d;
        e->bins[bin_of(d)]++;
        if (d > largest) {
            largest = d;
            if (!bad)
                *worst = i;
        }
        if (fabs((double)a[i]) > scale)
            scale = fabs((double)a[i]);
    }
    *max = bad ? INFINITY : largest;
    *relative = *max == 0 ? 0 : *max / scale;
    if (*max > e->max)
        e->max = *max;
    if (*relative > e->relative_max)
        e->relative_max = *relative;
}

double conure_errors_percentile(const conure_errors *e, double share)
{
    const uint64_t all = e->n + e->n_not_finite, rank = (uint64_t)ceil(share * (double)all);
    uint64_t seen = 0;
    if (all == 0)
        return 0;
    for (size_t i = 0; i < CONURE_ERRORS_BINS; i++) {
        seen += e->bins[i];
        if (seen >= rank && seen > 0)
            return fmin(upper_edge(i), e->max);
    }
    return INFINITY; /* so many are not finite */
}

/* ---- a line ----------------------------------------------------------------------------------- */

void conure_line_add(conure_line *l, double x, double y)
{
    l->n++;
    l->x += x;
    l->y += y;
    l->xx += x * x;
    l->xy += x * y;
    l->yy += y * y;
}

/* The 97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else the expansion of Cornish and Fisher
 * (Abramowitz and Stegun 26.7.5), which is within 0.7 % from 3 on. */
static double student(double f)
{
    const double z = 1.959963984540054, z2 = z * z;
    if (f < 1.5)
        return 12.706204736432095;
    if (f < 2.5)
        return 4.302652729911275;
    const double g1 = (z2 + 1) * z / 4, g2 = ((5 * z2 + 16) * z2 + 3) * z / 96, g3 = (((3 * z2 + 19) * z2 + 17) * z2 - 15) * z / 384;
    return z + g1 / f + g2 / (f * f) + g3 / (f * f * f);
}

bool conure_line_slope(const conure_line *l, double *slope, double *half_width)
{
    const double n = (double)l->n;
    *slope = *half_width = 0;
    if (l->n < 3)
        return false;
    const double sxx = l->xx - l->x * l->x / n, sxy = l->xy - l->x * l->y / n, syy = l->yy - l->y * l->y / n;
    *slope = sxy / sxx;
    const double rest = fmax(syy - *slope * sxy, 0);
    *half_width = student(n - 2) * sqrt(rest / (n - 2) / sxx);
    return true;
}

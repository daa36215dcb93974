/* errors.h - statistics of differences in constant memory, and a straight line through the chunks' maxima. */
#ifndef CONURE_CLEARANCE_ERRORS_H
#define CONURE_CLEARANCE_ERRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Percentiles come from a histogram with 64 bins to an octave: what is reported is the upper edge of the bin, at most
 * 1.6 % above the true value and never below it, but never above the maximum, which is exact. */
enum { CONURE_ERRORS_OCTAVES = 96, CONURE_ERRORS_BINS = CONURE_ERRORS_OCTAVES * 64 + 1 };

typedef struct conure_errors {
    uint64_t n;               /* finite differences */
    uint64_t n_not_finite;    /* pairs of which one is NaN or infinite, unless both are the same infinity or both NaN */
    double sum, max, relative_max;
    uint64_t bins[CONURE_ERRORS_BINS];
} conure_errors;

void conure_errors_init(conure_errors *e);
/* Compare n values.  *worst: index of the largest difference, or of the first that is not finite; *max: that difference, infinite
 * then; relative: max over the largest reference value, 0 for 0 / 0. */
void conure_errors_add(conure_errors *e, const float *reference, const float *candidate, size_t n, size_t *worst, double *max,
                       double *relative);
double conure_errors_percentile(const conure_errors *e, double share); /* 0.95; 0 without values */

/* Least squares through (x, y): the slope and half the width of its 95 % confidence interval (Student's t).  False with fewer
 * than 3 points. */
typedef struct conure_line {
    uint64_t n;
    double x, y, xx, xy, yy; /* sums */
} conure_line;
void conure_line_add(conure_line *line, double x, double y);
bool conure_line_slope(const conure_line *line, double *slope, double *half_width);

#endif

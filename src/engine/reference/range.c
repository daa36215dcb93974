/* range.c - see range.h. */
#include "engine/reference/range.h"

#include "engine/reference/reference.h"

#include <math.h>
#include <stdio.h>

void conure_ref_set_range(void *self, conure_ref_range *range)
{
    ((conure_ref *)self)->range = range;
}

double conure_ref_magnitude(const double *x, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double magnitude = fabs(x[i]);
        if (!(magnitude <= most)) /* NaN too */
            most = isnan(magnitude) ? INFINITY : magnitude;
    }
    return most;
}

void conure_ref_note(const conure_ref *r, const char *where, const double *x, size_t n)
{
    const double magnitude = r->range ? conure_ref_magnitude(x, n) : 0;
    if (magnitude > 0 && magnitude > r->range->activation) {
        r->range->activation = magnitude;
        snprintf(r->range->activation_at, sizeof r->range->activation_at, "%s", where);
    }
}

void conure_ref_note_scores(const conure_ref *r, const char *where, double magnitude)
{
    if (r->range && magnitude > r->range->score) {
        r->range->score = magnitude;
        snprintf(r->range->score_at, sizeof r->range->score_at, "%s", where);
    }
}

/* judge_noise.c - distances from float64, batches, and the clock. */
#include "clearance/judge.h"

#include "clearance/tolerance.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double conure_judge_noise_of(const conure_judging *j, const char *engine, const char *tensor)
{
    const json_t *tensors = json_object_get(json_object_get(conure_judge_stage(j, CONURE_STAGE_NOISE), engine), "tensors");
    const json_t *one = json_object_get(tensors, tensor);
    const double max = conure_judge_number(one, "max"), least = FLT_EPSILON * conure_judge_number(one, "largest");
    return max >= least ? max : isnan(max) ? NAN : least; /* luck is no floor: one rounding of the largest value is there */
}

/* A limit below what honest arithmetic differs by is met by luck or not at all. */
static void judge_limit(conure_judging *j, const char *tensor, double noise)
{
    const json_t *functional = conure_judge_stage(j, CONURE_STAGE_FUNCTIONAL);
    const json_t *limits = json_object_get(json_object_get(json_object_get(functional, "tensors"), tensor), "limits");
    const double limit = conure_judge_number(limits, "absolute_max");
    if (functional && isfinite(limit) && isfinite(noise))
        conure_judge_check(j, CONURE_GATE_NOISE, limit, ">=", noise, CONURE_GATE_NOT_PROVEN, "a limit below the noise is met by luck",
                           "%s: the limit against the noise of float32", tensor);
}

void conure_judge_noise(conure_judging *j)
{
    const json_t *stage = conure_judge_stage(j, CONURE_STAGE_NOISE);
    const bool judged = json_is_true(json_object_get(stage, "ratio_judged"));
    if (!stage || !json_is_object(json_object_get(stage, "reference")))
        return;
    conure_judge_check(j, CONURE_GATE_NOISE, conure_judge_number(stage, "chunks"), ">=", 1, CONURE_GATE_NOT_PROVEN, NULL,
                       "chunks that float64 computed too");
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        const char *name = conure_measured_name(m);
        const double noise = conure_judge_noise_of(j, "reference", name);
        const double error = conure_judge_number(json_object_get(json_object_get(json_object_get(stage, "candidate"), "tensors"), name), "max");
        const double ratio = noise > 0 ? error / noise : error == 0 ? 0 : NAN;
        char where[128];
        snprintf(where, sizeof where, "error %.3g, noise %.3g", error, noise);
        if (noise == 0 && error == 0)
            continue; /* a cache that nothing enters */
        if (judged)
            conure_judge_check(j, CONURE_GATE_NOISE, ratio, "<=", conure_judge_number(stage, "ratio_max"), CONURE_GATE_FAIL, where,
                               "%s: error / noise", name);
        else
            conure_judge_check(j, CONURE_GATE_NOISE, ratio, ">=", 0, CONURE_GATE_FAIL, where, "%s: error / noise, reported for this precision", name);
        judge_limit(j, name, noise);
    }
}

/* A row of a batch and the same alone may come of two plans, whose kernels round differently: each is off float64 by what the candidate is, which a
 * few chunks showed in part.  Honest ones were 2.1 and 2.5 times as far apart.  Padding is cut off of one and the same. */
static const struct own_noise {
    double times;
    const char *words;
} of_batch = {4, "four times the candidate's own distance from float64"}, of_padding = {2, "twice the candidate's own distance from float64"};

/* So many times what the candidate is off float64, and never more than the tolerance, which is all there is without a measurement. */
static double own_limit(const conure_judging *j, const char *tensor, const struct own_noise *of, const char **where)
{
    const double own = of->times * conure_judge_noise_of(j, "candidate", tensor);
    const json_t *functional = conure_judge_stage(j, CONURE_STAGE_FUNCTIONAL);
    const double most = conure_judge_number(json_object_get(json_object_get(json_object_get(functional, "tensors"), tensor), "limits"), "absolute_max");
    if (isfinite(own) && !(own > most)) {
        *where = of->words;
        return own;
    }
    *where = isfinite(own) ? "the tolerance, which is less than that" : "the tolerance, as the noise was not measured";
    return most;
}

void conure_judge_batch(conure_judging *j)
{
    const json_t *stage = conure_judge_stage(j, CONURE_STAGE_BATCH), *rows = json_object_get(stage, "rows");
    if (!json_is_array(rows))
        return;
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        const char *name = conure_measured_name(m), *where;
        const double limit = own_limit(j, name, &of_batch, &where);
        double most = 0;
        size_t i;
        json_t *row;
        json_array_foreach(rows, i, row) {
            const double d = conure_judge_number(row, name);
            most = d <= most || isnan(most) ? most : d; /* NaN stays */
        }
        conure_judge_check(j, CONURE_GATE_BATCH, most, "<=", limit, CONURE_GATE_FAIL, where, "%s: largest difference between batch and alone", name);
    }
    if (json_is_number(json_object_get(stage, "padding"))) {
        const char *where;
        const double limit = own_limit(j, conure_measured_name(0), &of_padding, &where);
        conure_judge_check(j, CONURE_GATE_BATCH, conure_judge_number(stage, "padding"), "<=", limit, CONURE_GATE_FAIL, where,
                           "encoder_output: largest change when padding is cut off");
    }
    conure_judge_check(j, CONURE_GATE_BATCH, conure_judge_number(stage, "lengths_different"), "==", 0, CONURE_GATE_FAIL, NULL,
                       "rows whose lengths differ between batch and alone");
    conure_judge_check(j, CONURE_GATE_BATCH, (double)json_array_size(rows), ">=", 2, CONURE_GATE_NOT_PROVEN, NULL, "rows in the batch");
}

/* ---- the clock -------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double conure_judge_percentile(const json_t *values, double share)
{
    const size_t n = json_array_size(values);
    double *sorted = n ? malloc(n * sizeof *sorted) : NULL;
    size_t i;
    json_t *value;
    if (!sorted)
        return NAN;
    json_array_foreach(values, i, value)
        sorted[i] = json_number_value(value);
    qsort(sorted, n, sizeof *sorted, by_size);
    const double at = sorted[(size_t)(share * (double)(n - 1) + 0.5)];
    free(sorted);
    return at;
}

void conure_judge_latency(conure_judging *j)
{
    const json_t *stage = conure_judge_stage(j, CONURE_STAGE_LATENCY), *seconds = json_object_get(stage, "seconds");
    static const struct {
        double share;
        const char *what, *limit;
    } asked[] = {{0.50, "median of a step, seconds", "p50_s"}, {0.95, "95th percentile of a step, seconds", "p95_s"},
                 {0.99, "99th percentile of a step, seconds", "p99_s"}};
    if (json_array_size(seconds) == 0)
        return; /* the stage says why */
    for (int i = 0; i < 3; i++) {
        const double limit = conure_judge_number(json_object_get(stage, "limits"), asked[i].limit);
        conure_judge_check(j, CONURE_GATE_LATENCY, conure_judge_percentile(seconds, asked[i].share), "<=", isnan(limit) ? INFINITY : limit,
                           CONURE_GATE_FAIL, NULL, "%s", asked[i].what);
    }
    if (json_array_size(seconds) < 50)
        conure_judge_risk(j, "latency: %zu steps were timed; fewer than 50 say little about the slowest", json_array_size(seconds));
}

/* probe.c - see probe.h. */
#include "clearance/probe.h"

#include "model/random.h"

#include <math.h>

const char *conure_probe_name(conure_probe probe)
{
    static const char *const names[] = {
#define X(name, id, label, what) id,
        CONURE_PROBE_LIST(X)
#undef X
    };
    return names[probe];
}

const char *conure_probe_label(conure_probe probe)
{
    static const char *const labels[] = {
#define X(name, id, label, what) label,
        CONURE_PROBE_LIST(X)
#undef X
    };
    return labels[probe];
}

const char *conure_probe_what(conure_probe probe)
{
    static const char *const texts[] = {
#define X(name, id, label, what) what,
        CONURE_PROBE_LIST(X)
#undef X
    };
    return texts[probe];
}

size_t conure_probe_valid_rows(const conure_contract *k, int64_t length)
{
    return length <= 0 ? 0 : length < (int64_t)k->streaming.cache_rows ? (size_t)length : k->streaming.cache_rows;
}

/* What is changed: n_runs runs of run floats, each stride behind the one before. */
typedef struct region {
    float *first;
    size_t n_runs, run, stride;
} region;

static region rows_of(const conure_chunk *c, size_t from, size_t to)
{
    const size_t d = c->contract->d_model, rows = c->contract->streaming.cache_rows;
    return (region){c->channel[0] + from * d, c->contract->n_layers, (to - from) * d, rows * d};
}

static region region_of(const conure_chunk *c, conure_probe probe)
{
    const size_t rows = c->contract->streaming.cache_rows, valid = conure_probe_valid_rows(c->contract, c->cache_length[0]);
    switch (probe) {
    case CONURE_PROBE_FEATURES: return (region){c->features, c->contract->mel_bins, c->length > 0 ? (size_t)c->length : 0, c->n_frames};
    case CONURE_PROBE_CHANNEL: return rows_of(c, rows - valid, rows);
    case CONURE_PROBE_MASKED: return rows_of(c, 0, rows - valid);
    default: return (region){c->time[0], 1, c->time_floats, c->time_floats};
    }
}

bool conure_probe_change(conure_chunk *c, conure_probe probe, double size, uint64_t seed)
{
    if (probe == CONURE_PROBE_LENGTH) {
        const bool any = c->cache_length[0] > 0;
        c->cache_length[0] -= any;
        return any;
    }
    const region r = region_of(c, probe);
    double square = 0;
    if (r.n_runs == 0 || r.run == 0)
        return false;
    for (size_t i = 0; i < r.n_runs; i++)
        for (size_t k = 0; k < r.run; k++)
            square += (double)r.first[i * r.stride + k] * r.first[i * r.stride + k];
    const double rms = sqrt(square / (double)(r.n_runs * r.run)), width = size * (rms > 0 ? rms : 1) * sqrt(3);
    for (size_t i = 0; i < r.n_runs; i++)
        for (size_t k = 0; k < r.run; k++)
            r.first[i * r.stride + k] += (float)(width * (2 * conure_random_unit(seed, i * r.run + k) - 1));
    return true;
}

typedef struct sums {
    double max, difference, base;
} sums;

static void add(sums *s, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        if (!(d <= s->max))
            s->max = isnan(d) ? INFINITY : d;
        s->difference += d * d;
        s->base += (double)a[i] * a[i];
    }
}

conure_change conure_probe_compare(const conure_chunk *base, const conure_chunk *other, conure_measured measured)
{
    const conure_contract *k = base->contract;
    const size_t rows = k->streaming.cache_rows, d = k->d_model;
    const size_t own = conure_probe_valid_rows(k, base->cache_length[1]), others = conure_probe_valid_rows(k, other->cache_length[1]);
    const size_t valid = own < others ? own : others;
    sums s = {0};
    if (measured == CONURE_MEASURED_ENCODER && base->n_out != other->n_out)
        return (conure_change){INFINITY, INFINITY};
    if (measured == CONURE_MEASURED_ENCODER)
        add(&s, base->encoder, other->encoder, (size_t)base->n_out * d);
    else if (measured == CONURE_MEASURED_TIME)
        add(&s, base->time[1], other->time[1], base->time_floats);
    for (size_t layer = 0; measured == CONURE_MEASURED_CHANNEL && layer < k->n_layers; layer++)
        add(&s, base->channel[1] + (layer * rows + rows - valid) * d, other->channel[1] + (layer * rows + rows - valid) * d, valid * d);
    const double relative = s.difference > 0 ? sqrt(s.difference / s.base) : 0;
    return (conure_change){s.max, isfinite(s.max) ? relative : INFINITY};
}

/* resample.c - a polyphase resampler of windowed sinc filters.
 *
 * With from_hz : to_hz = step : phases in lowest terms, output n lies at n * step / phases input samples: at a whole
 * number `at` plus phase / phases.  It is the sum of the n_taps samples around, at - half + 1 .. at + half, times the
 * filter at their distances.  There is a row of taps for each phase, or, where those would be too many, rows for
 * evenly spaced phases between which outputs are interpolated.
 *
 * Source: A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, 7.5.3 (Kaiser's window and its
 * formulas for length and beta); the interpolation: J. O. Smith, Digital Audio Resampling. */
#include "features/resample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Fractions of the lower Nyquist frequency. */
#define PASS_END   0.9
#define STOP_START 1.0
#define STOP_DB    100.0 /* asked of the window's formulas; 98 come out at the edge */

#define TABLE_TAPS_MAX  (1u << 17) /* 0.5 MB, within a second-level cache */
#define ROWS_PER_PERIOD 512        /* rows between samples of the lower rate where outputs are interpolated: linear
                                      interpolation is then exact to (pi / 512)^2 / 8, -107 dB */
#define BLOCK_SAMPLES   1024       /* taken before what is done with is moved out */
#define SAMPLES_MAX     (1ull << 45) /* products with a rate fit 64 bits */
#define LANES           16         /* sums in flight; half is a multiple of 8, so that no lane is left over */
#define PI              3.14159265358979323846

struct conure_resampler {
    uint32_t from_hz, to_hz;
    uint32_t step, phases;
    uint32_t half, n_taps;  /* 0: equal rates */
    uint32_t n_rows;        /* of one period; without interpolation as many as phases */
    bool interpolated;
    float *rows;            /* [n_rows + 1][n_taps]; the last is the first of the next period */
    float *held;            /* [cap] samples from `first` on; before the signal and, in a flush, behind it zeros */
    size_t n_held, cap;
    int64_t first;
    uint64_t n_in, n_out;   /* so far */
    uint64_t at;            /* where the next output lies */
    uint32_t phase;
    bool flushing;
};

/* ---- filters --------------------------------------------------------------------------------- */

/* The modified Bessel function of order 0, by its power series. */
static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-17 * sum; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(PI * x) / (PI * x);
}

/* Taps for samples at -half + 1 .. half around a place `fraction` behind sample 0.  They sum to 1: each phase lets a
 * constant pass as it is. */
static void make_row(float *row, uint32_t half, double fraction, double cutoff)
{
    const double beta = 0.1102 * (STOP_DB - 8.7), scale = 1 / bessel_i0(beta);
    double sum = 0;

    for (int pass = 0; pass < 2; pass++) {
        const double gain = pass ? 1 / sum : 0;
        for (uint32_t i = 0; i < 2 * half; i++) {
            const double t = (double)i - (double)half + 1 - fraction, edge = t / half;
            const double window = bessel_i0(beta * sqrt(fmax(0, 1 - edge * edge))) * scale;
            const double tap = cutoff * sinc(cutoff * t) * window;
            if (pass)
                row[i] = (float)(tap * gain);
            else
                sum += tap;
        }
    }
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b) {
        const uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Choose lengths; the filter is as long in time at every rate: periods of the lower one. */
static void plan(conure_resampler *r)
{
    const uint32_t common = gcd(r->from_hz, r->to_hz);
    const double stretch = fmax(1, (double)r->from_hz / r->to_hz); /* input samples per period of the lower rate */
    const double periods = (STOP_DB - 7.95) / (2.285 * PI * (STOP_START - PASS_END));

    r->step = r->from_hz / common;
    r->phases = r->to_hz / common;
    if (r->from_hz == r->to_hz)
        return;
    r->half = ((uint32_t)ceil(stretch * periods / 2) + 7) / 8 * 8;
    r->n_taps = 2 * r->half;
    r->n_rows = r->phases;
    r->interpolated = (uint64_t)(r->phases + 1) * r->n_taps > TABLE_TAPS_MAX;
    if (r->interpolated)
        r->n_rows = (uint32_t)ceil(ROWS_PER_PERIOD / stretch);
    r->cap = r->n_taps + BLOCK_SAMPLES;
}

static bool make_table(conure_resampler *r)
{
    const double stretch = fmax(1, (double)r->from_hz / r->to_hz);
    const double cutoff = (PASS_END + STOP_START) / 2 / stretch;

    if (!r->n_taps)
        return true;
    r->rows = conure_calloc((size_t)(r->n_rows + 1) * r->n_taps, sizeof *r->rows);
    r->held = conure_calloc(r->cap, sizeof *r->held);
    if (!r->rows || !r->held)
        return false;
    for (uint32_t i = 0; i <= r->n_rows; i++)
        make_row(r->rows + (size_t)i * r->n_taps, r->half, (double)i / r->n_rows, cutoff);
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool rate_ok(uint32_t hz)
{
    return hz >= CONURE_RESAMPLE_HZ_MIN && hz <= CONURE_RESAMPLE_HZ_MAX;
}

conure_status conure_resampler_open(conure_resampler **out, uint32_t from_hz, uint32_t to_hz, conure_error *err)
{
    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "resampler: no place for the result");
    *out = NULL;
    if (!rate_ok(from_hz) || !rate_ok(to_hz))
        return conure_fail(err, CONURE_BAD_ARG, "resampler: %u Hz to %u Hz, expected rates of %u to %u Hz", from_hz,
                           to_hz, CONURE_RESAMPLE_HZ_MIN, CONURE_RESAMPLE_HZ_MAX);
    conure_resampler *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "a resampler", sizeof *r);
    r->from_hz = from_hz;
    r->to_hz = to_hz;
    plan(r);
    if (!make_table(r)) {
        conure_resampler_close(&r);
        return conure_fail_memory(err, "a resampler's filters", TABLE_TAPS_MAX * sizeof(float));
    }
    conure_resampler_reset(r);
    *out = r;
    return CONURE_OK;
}

void conure_resampler_close(conure_resampler **resampler)
{
    if (!resampler || !*resampler)
        return;
    free((*resampler)->rows);
    free((*resampler)->held);
    free(*resampler);
    *resampler = NULL;
}

/* Set the counts, and hold nothing but the zeros before the signal that the next output's window begins with. */
static void place(conure_resampler *r, uint64_t n_in, uint64_t n_out)
{
    r->n_in = n_in;
    r->n_out = n_out;
    r->at = n_out * r->step / r->phases;
    r->phase = (uint32_t)(n_out * r->step % r->phases);
    r->first = (int64_t)r->at + 1 - (int64_t)r->half;
    r->n_held = r->first < 0 ? (size_t)-r->first : 0;
    r->flushing = false;
    if (r->n_held)
        memset(r->held, 0, r->n_held * sizeof *r->held);
}

void conure_resampler_reset(conure_resampler *resampler)
{
    place(resampler, 0, 0);
}

double conure_resampler_delay_s(const conure_resampler *resampler)
{
    return (double)resampler->half / resampler->from_hz;
}

/* ---- running --------------------------------------------------------------------------------- */

/* The order of additions is fixed here, not left to the compiler. */
static float dot(const float *a, const float *b, uint32_t n)
{
    float sums[LANES] = {0};
    for (uint32_t i = 0; i < n; i += LANES)
        for (uint32_t k = 0; k < LANES; k++)
            sums[k] += a[i + k] * b[i + k];
    for (uint32_t width = LANES / 2; width; width /= 2)
        for (uint32_t k = 0; k < width; k++)
            sums[k] += sums[k + width];
    return sums[0];
}

static int64_t window_start(const conure_resampler *r)
{
    return (int64_t)r->at + 1 - (int64_t)r->half;
}

/* Whether the window of the next output is held. */
static bool ready(const conure_resampler *r)
{
    return (int64_t)r->at + r->half < r->first + (int64_t)r->n_held;
}

static float next_output(conure_resampler *r)
{
    const float *window = r->held + (window_start(r) - r->first);
    float value;

    if (r->interpolated) {
        const uint64_t place = (uint64_t)r->phase * r->n_rows;
        const float *row = r->rows + (size_t)(place / r->phases) * r->n_taps;
        const float share = (float)(place % r->phases) / (float)r->phases;
        const float low = dot(window, row, r->n_taps), high = dot(window, row + r->n_taps, r->n_taps);
        value = low + share * (high - low);
    } else {
        value = dot(window, r->rows + (size_t)r->phase * r->n_taps, r->n_taps);
    }
    r->n_out++;
    r->at += (r->phase + r->step) / r->phases;
    r->phase = (r->phase + r->step) % r->phases;
    return value;
}

/* Samples behind the held ones, NULL: zeros.  Returns how many found room; at least one if nothing is ready. */
static size_t hold(conure_resampler *r, const float *in, size_t n)
{
    if (r->n_held == r->cap) {
        const size_t done = (size_t)(window_start(r) - r->first); /* a step is shorter than a window */
        r->n_held -= done;
        r->first += (int64_t)done;
        memmove(r->held, r->held + done, r->n_held * sizeof *r->held);
    }
    if (n > r->cap - r->n_held)
        n = r->cap - r->n_held;
    if (in)
        memcpy(r->held + r->n_held, in, n * sizeof *in);
    else
        memset(r->held + r->n_held, 0, n * sizeof *r->held);
    r->n_held += n;
    return n;
}

uint64_t conure_resampler_need(const conure_resampler *resampler, uint64_t n_out)
{
    return n_out ? conure_resampler_room(resampler, n_out - 1) + 1 : 0;
}

/* One more would make output n_out (from 0) certain: the sample `half` behind its place. */
uint64_t conure_resampler_room(const conure_resampler *resampler, uint64_t n_out)
{
    const conure_resampler *r = resampler;
    const uint64_t most = SAMPLES_MAX - r->n_in;
    if (n_out > SAMPLES_MAX - r->n_out)
        return most;
    const uint64_t last = (r->n_out + n_out) * r->step / r->phases + r->half - r->n_in;
    return last < most ? last : most;
}

void conure_resampler_run(conure_resampler *resampler, const float *in, size_t n_in, size_t *n_used, float *out,
                          size_t out_cap, size_t *n_out)
{
    conure_resampler *r = resampler;
    const uint64_t room = conure_resampler_room(r, out_cap);
    const size_t n = n_in < room ? n_in : (size_t)room;
    size_t used = 0, made = 0;

    assert(!r->flushing);
    if (!r->n_taps) {
        if (n)
            memcpy(out, in, n * sizeof *in);
        r->n_out = r->at = r->n_out + n;
        used = made = n;
    }
    while (used < n) {
        used += hold(r, in + used, n - used);
        while (ready(r))
            out[made++] = next_output(r);
    }
    r->n_in += n;
    *n_used = used;
    *n_out = made;
}

/* ceil(n * to / from): outputs with a place before input sample n. */
static uint64_t outputs_before(const conure_resampler *r, uint64_t n)
{
    return (n * r->phases + r->step - 1) / r->step;
}

size_t conure_resampler_flush(conure_resampler *resampler, float *out, size_t out_cap)
{
    conure_resampler *r = resampler;
    const uint64_t all = outputs_before(r, r->n_in);
    size_t made = 0;

    r->flushing = true;
    while (made < out_cap && r->n_out < all) {
        while (!ready(r))
            hold(r, NULL, r->n_taps);
        out[made++] = next_output(r);
    }
    return made;
}

bool conure_resampler_flushed(const conure_resampler *resampler)
{
    return resampler->flushing;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Counts, then the samples from the next window's start on that are the signal's own. */

static uint64_t first_kept(const conure_resampler *r)
{
    const int64_t start = window_start(r);
    return !r->n_taps || start > (int64_t)r->n_in ? r->n_in : start < 0 ? 0 : (uint64_t)start;
}

void conure_resampler_save(const conure_resampler *resampler, conure_buffer *buffer)
{
    const conure_resampler *r = resampler;
    const uint64_t from = first_kept(r);
    const uint32_t flushing = r->flushing;

    conure_buffer_add(buffer, &r->from_hz, sizeof r->from_hz);
    conure_buffer_add(buffer, &r->to_hz, sizeof r->to_hz);
    conure_buffer_add(buffer, &flushing, sizeof flushing);
    conure_buffer_add(buffer, &r->n_in, sizeof r->n_in);
    conure_buffer_add(buffer, &r->n_out, sizeof r->n_out);
    if (from < r->n_in)
        conure_buffer_add(buffer, r->held + ((int64_t)from - r->first), (size_t)(r->n_in - from) * sizeof *r->held);
}

/* Outputs that n samples make certain. */
static uint64_t certain(const conure_resampler *r, uint64_t n)
{
    return n > r->half ? outputs_before(r, n - r->half) : 0;
}

static bool counts_ok(const conure_resampler *r, uint64_t n_in, uint64_t n_out, uint32_t flushing)
{
    if (flushing > 1 || n_in > SAMPLES_MAX)
        return false;
    return flushing ? n_out >= certain(r, n_in) && n_out <= outputs_before(r, n_in) : n_out == certain(r, n_in);
}

static conure_status load_samples(conure_resampler *r, conure_reader *reader)
{
    const uint64_t n = r->n_in - first_kept(r); /* less than a window */

    if (!n)
        return CONURE_OK;
    float *to = r->held + r->n_held;
    conure_read(reader, to, (size_t)n * sizeof *to);
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(to[i]))
            return CONURE_BAD_FILE;
    r->n_held += (size_t)n;
    return CONURE_OK;
}

conure_status conure_resampler_load(conure_resampler *resampler, conure_reader *reader, conure_error *err)
{
    conure_resampler *r = resampler;
    uint32_t from_hz, to_hz, flushing;
    uint64_t n_in, n_out;

    conure_resampler_reset(r);
    conure_read(reader, &from_hz, sizeof from_hz);
    conure_read(reader, &to_hz, sizeof to_hz);
    conure_read(reader, &flushing, sizeof flushing);
    conure_read(reader, &n_in, sizeof n_in);
    conure_read(reader, &n_out, sizeof n_out);
    if (!reader->failed && (from_hz != r->from_hz || to_hz != r->to_hz))
        return conure_fail(err, CONURE_BAD_FILE, "snapshot: audio of %u Hz for %u Hz, expected %u Hz for %u Hz",
                           from_hz, to_hz, r->from_hz, r->to_hz);
    if (!reader->failed && counts_ok(r, n_in, n_out, flushing)) {
        place(r, n_in, n_out);
        if (load_samples(r, reader) == CONURE_OK && !reader->failed) {
            r->flushing = flushing;
            return CONURE_OK;
        }
        conure_resampler_reset(r);
    }
    return conure_fail(err, CONURE_BAD_FILE, "snapshot: the resampler's part is damaged");
}

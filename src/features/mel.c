/* mel.c - samples to log-mel features: pre-emphasis, window, FFT, power, mel, log (spec 1.2).
 *
 * Every frame is computed from the samples alone, by the same operations in the same order wherever
 * it lies in a call and on whichever thread: pieces and threads change no bit.
 *
 * Precision: samples, window and FFT are float32, as in the model's training; what follows the FFT
 * (unpacking, power, mel sums, logarithm) is double, which costs little and leaves the FFT's
 * rounding, about 1e-7 of a frame's largest bin, as the only error. */
#include "features/mel.h"

#include <assert.h>
#include <kiss_fft.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/inject.h"
#include "base/error.h"
#include "base/memory.h"
#include "features/filterbank.h"

#define FRAMES_PER_ITEM 32 /* about 0.2 ms: large beside handing an item out, small beside a run */
#define N_FFT_MAX       65536
#define DEVIATION_GUARD 1e-5 /* added to the deviation, not to the variance */

/* The span of FFT bins on which a filter is not zero, and where its weights begin. */
typedef struct filter {
    uint32_t first, n;
    size_t weights;
} filter;

struct conure_mel {
    uint32_t hop, window, n_fft, mel_bins;
    uint32_t left;     /* zeros before the window in the FFT's buffer */
    float preemphasis; /* rounded to float32 before use, as in the model's training */
    double log_guard;
    kiss_fft_cfg fft;     /* complex, n_fft / 2 points; kiss_fft() only reads it */
    float *window_values; /* [window] */
    double *twiddles;     /* [n_fft / 4 + 1][2]: cos, sin of 2 pi k / n_fft */
    filter *filters;      /* [mel_bins] */
    double *weights;      /* the filters' non-zero spans, one after the other */
    size_t scratch_bytes; /* of one worker */
};

/* One worker's room: time [n_fft], spectrum [n_fft / 2] complex, power [n_fft / 2 + 1]. */
typedef struct scratch {
    float *time;
    kiss_fft_cpx *spectrum;
    double *power;
} scratch;

static size_t round_up(size_t bytes)
{
    return (bytes + CONURE_ALIGN - 1) / CONURE_ALIGN * CONURE_ALIGN;
}

static scratch scratch_at(const conure_mel *mel, uint8_t *base)
{
    scratch s;
    s.time = (float *)base;
    base += round_up(mel->n_fft * sizeof(float));
    s.spectrum = (kiss_fft_cpx *)base;
    base += round_up(mel->n_fft / 2 * sizeof(kiss_fft_cpx));
    s.power = (double *)base;
    return s;
}

/* Other factors would make kissfft allocate in every call and print when it cannot. */
static bool only_factors_2_3_5(uint32_t n)
{
    static const uint32_t primes[] = {2, 3, 5};
    for (int i = 0; i < 3; i++)
        while (n % primes[i] == 0)
            n /= primes[i];
    return n == 1;
}

static conure_status check(const conure_config *c, conure_error *err)
{
    if (c->n_fft < 4 || c->n_fft > N_FFT_MAX || c->n_fft % 4 || !only_factors_2_3_5(c->n_fft))
        return conure_fail(
            err, CONURE_UNSUPPORTED,
            "preprocessor.n_fft is %u, expected a multiple of 4 up to %d whose prime "
            "factors are 2, 3 and 5",
            c->n_fft, N_FFT_MAX);
    if (!c->window_samples || c->window_samples > c->n_fft)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.window_size is %u samples, expected 1 to n_fft = %u",
                           c->window_samples, c->n_fft);
    if (!c->hop_samples)
        return conure_fail(err, CONURE_UNSUPPORTED, "preprocessor.window_stride is 0");
    if (!c->mel_bins || c->mel_bins > c->n_fft)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.features is %u, expected 1 to n_fft = %u", c->mel_bins,
                           c->n_fft);
    if (!(c->mel_low_hz >= 0 && c->mel_low_hz < c->mel_high_hz) || !isfinite(c->mel_high_hz))
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.lowfreq %g and highfreq %g do not make a range",
                           c->mel_low_hz, c->mel_high_hz);
    return CONURE_OK;
}

/* Keep of each row what lies between its first and last non-zero weight. */
static bool pack_filters(conure_mel *mel, const float *filterbank)
{
    const uint32_t n_bins = mel->n_fft / 2 + 1;
    size_t total = 0;
    for (uint32_t m = 0; m < mel->mel_bins; m++) {
        const float *row = filterbank + (size_t)m * n_bins;
        uint32_t first = 0, end = n_bins;
        while (end > 0 && row[end - 1] == 0)
            end--;
        while (first < end && row[first] == 0)
            first++;
        mel->filters[m] = (filter){first, end - first, total};
        total += end - first;
    }
    mel->weights = conure_calloc(total ? total : 1, sizeof *mel->weights);
    if (!mel->weights)
        return false;
    for (uint32_t m = 0; m < mel->mel_bins; m++) {
        const filter f = mel->filters[m];
        for (uint32_t k = 0; k < f.n; k++)
            mel->weights[f.weights + k] = filterbank[(size_t)m * n_bins + f.first + k];
    }
    return true;
}

/* The tables that do not come from the checkpoint, and copies of those that do. */
static bool make_tables(conure_mel *mel, const conure_config *config, const float *window,
                        const float *filterbank)
{
    const uint32_t n_bins = mel->n_fft / 2 + 1;
    float *made = NULL;
    mel->fft = kiss_fft_alloc((int)(mel->n_fft / 2), 0, NULL, NULL);
    mel->window_values = conure_calloc(mel->window, sizeof *mel->window_values);
    mel->twiddles = conure_calloc(mel->n_fft / 4 + 1, 2 * sizeof *mel->twiddles);
    mel->filters = conure_calloc(mel->mel_bins, sizeof *mel->filters);
    if (!mel->fft || !mel->window_values || !mel->twiddles || !mel->filters)
        return false;
    if (window)
        memcpy(mel->window_values, window, mel->window * sizeof *window);
    else
        conure_hann_window(mel->window_values, mel->window);
    for (uint32_t k = 0; k <= mel->n_fft / 4; k++) {
        const double angle = 6.283185307179586476925 * k / mel->n_fft;
        mel->twiddles[2 * k] = cos(angle);
        mel->twiddles[2 * k + 1] = sin(angle);
    }
    if (!filterbank) {
        made = conure_calloc((size_t)mel->mel_bins * n_bins, sizeof *made);
        if (!made)
            return false;
        conure_mel_filterbank(made, config);
    }
    const bool ok = pack_filters(mel, made ? made : filterbank);
    free(made);
    return ok;
}

conure_status conure_mel_open(conure_mel **out, const conure_config *config, const float *window,
                              const float *filterbank, conure_error *err)
{
    *out = NULL;
    const conure_status status = check(config, err);
    if (status != CONURE_OK)
        return status;
    conure_mel *mel = conure_calloc(1, sizeof *mel);
    if (!mel)
        return conure_fail_memory(err, "the front end", sizeof *mel);
    mel->hop = config->hop_samples;
    mel->window = config->window_samples;
    mel->n_fft = config->n_fft;
    mel->mel_bins = config->mel_bins;
    mel->left = (config->n_fft - config->window_samples) / 2;
    mel->preemphasis = config->preemphasis;
    mel->log_guard = config->log_guard;
    mel->scratch_bytes = round_up(mel->n_fft * sizeof(float)) +
                         round_up(mel->n_fft / 2 * sizeof(kiss_fft_cpx)) +
                         round_up((mel->n_fft / 2 + 1) * sizeof(double));
    if (!make_tables(mel, config, window, filterbank)) {
        conure_mel_close(&mel);
        return conure_fail_memory(err, "the front end's tables",
                                  (size_t)config->mel_bins * config->n_fft * sizeof(float) / 2);
    }
    *out = mel;
    return CONURE_OK;
}

void conure_mel_close(conure_mel **mel)
{
    if (!mel || !*mel)
        return;
    kiss_fft_free((*mel)->fft);
    free((*mel)->window_values);
    free((*mel)->twiddles);
    free((*mel)->filters);
    free((*mel)->weights);
    free(*mel);
    *mel = NULL;
}

uint64_t conure_mel_frames(const conure_mel *mel, uint64_t n_samples)
{
    return n_samples / mel->hop;
}

/* ---- one frame ------------------------------------------------------------------------------- */

static float emphasis(const conure_mel *mel)
{
    return CONURE_INJECTED(NO_PREEMPHASIS) ? 0 : mel->preemphasis;
}

/* y[i] = x[i] - a x[i - 1] with y[0] = x[0] and nothing outside the signal: no -a x[L - 1] at L. */
static float emphasised(const conure_mel *mel, const float *pcm, uint64_t n_samples, int64_t i)
{
    if (i < 0 || (uint64_t)i >= n_samples)
        return 0.0f;
    return i == 0 ? pcm[0] : pcm[i] - emphasis(mel) * pcm[i - 1];
}

/* The windowed samples of frame t, centred on sample t hop.  What surrounds the window in time is
 * zero already. */
static void load_frame(const conure_mel *mel, const float *pcm, uint64_t n_samples, uint64_t t,
                       float *time)
{
    const int64_t start = (int64_t)(t * mel->hop) + mel->left - mel->n_fft / 2;
    const float a = emphasis(mel);
    float *dst = time + mel->left;
    if (start >= 1 && (uint64_t)start + mel->window <= n_samples) { /* the same sums, unguarded */
        const float *x = pcm + start;
        for (uint32_t i = 0; i < mel->window; i++)
            dst[i] = (x[i] - a * (x - 1)[i]) * mel->window_values[i];
        return;
    }
    for (uint32_t i = 0; i < mel->window; i++)
        dst[i] = emphasised(mel, pcm, n_samples, start + i) * mel->window_values[i];
}

/* The real signal went through a complex FFT of half its length as even + i odd samples, giving Z.
 * With E = (Z[k] + conj Z[h-k]) / 2, O = (Z[k] - conj Z[h-k]) / 2i and w = exp(-2 pi i k / n_fft) the
 * real signal's bins are X[k] = E + w O and X[h-k] = conj(E - w O). */
static void unpack_power(const conure_mel *mel, const kiss_fft_cpx *z, double *power)
{
    const uint32_t half = mel->n_fft / 2;
    const double sum = (double)z[0].r + z[0].i, difference = (double)z[0].r - z[0].i;
    power[0] = sum * sum;
    power[half] = difference * difference;
    for (uint32_t k = 1; k <= half / 2; k++) {
        const double ar = z[k].r, ai = z[k].i, br = z[half - k].r, bi = z[half - k].i;
        const double er = ar + br, ei = ai - bi;   /* 2 E */
        const double o_r = ai + bi, o_i = br - ar; /* 2 O */
        const double c = mel->twiddles[2 * k], s = mel->twiddles[2 * k + 1];
        const double wr = o_r * c + o_i * s, wi = o_i * c - o_r * s; /* 2 w O */
        power[k] = 0.25 * ((er + wr) * (er + wr) + (ei + wi) * (ei + wi));
        power[half - k] = 0.25 * ((er - wr) * (er - wr) + (ei - wi) * (ei - wi));
    }
}

static void log_mel(const conure_mel *mel, const double *power, float *dst)
{
    for (uint32_t m = 0; m < mel->mel_bins; m++) {
        const filter f = mel->filters[m];
        const double *weights = mel->weights + f.weights;
        double sum = CONURE_INJECTED(LOG_GUARD) ? 1e-5 : mel->log_guard;
        for (uint32_t k = 0; k < f.n; k++)
            sum += weights[k] * power[f.first + k];
        dst[m] = (float)log(sum);
    }
}

/* ---- many frames ----------------------------------------------------------------------------- */

typedef struct job {
    const conure_mel *mel;
    const float *pcm;
    uint64_t n_samples, first, n;
    float *dst;
    uint8_t *scratch; /* [workers][scratch_bytes] */
} job;

static void run_item(void *arg, uint32_t item, uint32_t worker)
{
    const job *j = arg;
    const conure_mel *mel = j->mel;
    const scratch s = scratch_at(mel, j->scratch + worker * mel->scratch_bytes);
    const uint64_t begin = (uint64_t)item * FRAMES_PER_ITEM;
    const uint64_t end = j->n - begin < FRAMES_PER_ITEM ? j->n : begin + FRAMES_PER_ITEM;
    memset(s.time, 0, mel->n_fft * sizeof *s.time);
    for (uint64_t t = begin; t < end; t++) {
        load_frame(mel, j->pcm, j->n_samples, j->first + t, s.time);
        kiss_fft(mel->fft, (const kiss_fft_cpx *)s.time, s.spectrum);
        unpack_power(mel, s.spectrum, s.power);
        log_mel(mel, s.power, j->dst + t * mel->mel_bins);
    }
}

conure_status conure_mel_raw(const conure_mel *mel, conure_pool *pool, const float *pcm,
                             uint64_t n_samples, uint64_t first, uint64_t n, float *dst,
                             conure_error *err)
{
    const uint64_t n_items = (n + FRAMES_PER_ITEM - 1) / FRAMES_PER_ITEM;
    const uint32_t n_workers = pool && n_items > 1 ? conure_pool_threads(pool) : 1;
    assert(n_items <= UINT32_MAX && first <= (uint64_t)INT64_MAX / mel->hop - n);
    if (!n)
        return CONURE_OK;
    uint8_t *room = conure_alloc_aligned(n_workers * mel->scratch_bytes);
    if (!room)
        return conure_fail_memory(err, "the FFT of the front end", n_workers * mel->scratch_bytes);
    job j = {mel, pcm, n_samples, first, n, dst, room};
    if (n_workers > 1)
        conure_pool_run(pool, (uint32_t)n_items, run_item, &j);
    else
        for (uint32_t i = 0; i < n_items; i++)
            run_item(&j, i, 0);
    free(room);
    return CONURE_OK;
}

/* ---- normalisation --------------------------------------------------------------------------- */

#define BINS_PER_BLOCK 64

/* A feature that never changes gives exact zeros: the double sum of n equal floats is exact, and so
 * is its mean (n < 2^29). */
static void normalize_block(float *frames, uint64_t n, uint32_t stride, uint32_t n_bins)
{
    double mean[BINS_PER_BLOCK] = {0}, scale[BINS_PER_BLOCK] = {0};
    for (uint64_t t = 0; t < n; t++)
        for (uint32_t m = 0; m < n_bins; m++)
            mean[m] += frames[t * stride + m];
    for (uint32_t m = 0; m < n_bins; m++)
        mean[m] /= (double)n;
    for (uint64_t t = 0; t < n; t++)
        for (uint32_t m = 0; m < n_bins; m++) {
            const double d = frames[t * stride + m] - mean[m];
            scale[m] += d * d;
        }
    for (uint32_t m = 0; m < n_bins; m++)
        scale[m] = 1.0 / ((n > 1 ? sqrt(scale[m] / (double)(n - !CONURE_INJECTED(DEVIATION_N))) : 0.0) + DEVIATION_GUARD);
    for (uint64_t t = 0; t < n; t++)
        for (uint32_t m = 0; m < n_bins; m++) {
            float *x = &frames[t * stride + m];
            *x = (float)((*x - mean[m]) * scale[m]);
        }
}

void conure_mel_normalize(float *frames, uint64_t n, uint32_t mel_bins)
{
    if (CONURE_INJECTED(CHUNK_NORMALISED) && n > 100) { /* each half by itself */
        conure_mel_normalize(frames + n / 2 * mel_bins, n > 200 ? 100 : n - n / 2, mel_bins);
        n /= 2;
    }
    for (uint32_t m = 0; n && m < mel_bins; m += BINS_PER_BLOCK) {
        const uint32_t rest = mel_bins - m;
        normalize_block(frames + m, n, mel_bins, rest < BINS_PER_BLOCK ? rest : BINS_PER_BLOCK);
    }
}

/* mel.c - the front end against the specification's worked numbers, a direct double computation, and
 * itself in pieces and on threads. */
#include "features/mel.h"

#include <float.h>

#include "config.h"
#include "features/filterbank.h"
#include "test.h"

enum { MEL_BINS = 128, N_FFT = 512, HOP = 160, WINDOW = 400 };
static const double pi = 3.14159265358979323846;

static conure_mel *open_mel(uint32_t mel_bins)
{
    const conure_config config = front_end_config(mel_bins);
    conure_mel *mel = NULL;
    test_int(conure_mel_open(&mel, &config, NULL, NULL, NULL), CONURE_OK);
    return mel;
}

static float *random_pcm(uint64_t *seed, size_t n)
{
    float *pcm = malloc((n ? n : 1) * sizeof *pcm); /* exact size: a read past the end is caught */
    for (size_t i = 0; i < n; i++)
        pcm[i] = test_uniform(seed, -0.5f, 0.5f);
    return pcm;
}

/* Spec 1.2, worked numbers (b) and (c); 1.2 step 7 for silence. */
static void test_worked_numbers(void)
{
    float pcm[1600], frames[11][MEL_BINS];
    conure_mel *mel = open_mel(MEL_BINS);
    for (int n = 0; n < 1600; n++)
        pcm[n] = (float)(0.5 * sin(2 * pi * 1000 * n / 16000));
    test_int(conure_mel_frames(mel, 1600), 10);
    test_int(conure_mel_raw(mel, NULL, pcm, 1600, 0, 11, frames[0], NULL), CONURE_OK);
    test_near(frames[5][41], 1.91146, 1e-5);
    test_near(frames[5][42], 2.45813, 1e-5);
    test_near(frames[5][43], 1.84006, 1e-5);
    /* Bins far from the tone hold less than the rounding of float32 samples, which depends on how
     * the sine was computed: 1.3e-3 at most here, where the power itself is 1e-10. */
    test_near(frames[5][0], -16.6107, 1.3e-3);
    test_near(frames[5][30], -16.3703, 1.3e-3);
    test_near(frames[5][127], -16.6343, 1.3e-3);

    memset(pcm, 0, sizeof pcm);
    pcm[0] = 1;
    test_int(conure_mel_raw(mel, NULL, pcm, 1600, 0, 11, frames[0], NULL), CONURE_OK);
    test_near(frames[0][0], -10.41603, 1e-5);
    test_near(frames[0][1], -10.22984, 1e-5);
    test_near(frames[0][2], -10.05479, 1e-5);
    test_near(frames[0][127], -2.08947, 1e-5);
    /* w[40] - 0.97 w[41] is left of two values 50 times its size: an ulp of the window is 3e-5. */
    test_near(frames[1][0], -15.53783, 3e-5);
    for (int t = 2; t < 11; t++)
        for (int m = 0; m < MEL_BINS; m++)
            test_near(frames[t][m], -16.635532, 1e-6);
    conure_mel_close(&mel);
    test_true(mel == NULL);
}

/* Spec 1.3, check values; no filter is empty. */
static void test_filterbank(void)
{
    enum { BINS = N_FFT / 2 + 1 };
    static float fb[MEL_BINS][BINS];
    const conure_config config = front_end_config(MEL_BINS);
    conure_mel_filterbank(fb[0], &config);
    const double step = conure_hz_to_mel(8000) / 129;
    test_near(conure_hz_to_mel(8000), 45.2456404719, 1e-10);
    test_near(conure_mel_to_hz(step), 23.38275993, 1e-8);
    test_near(conure_mel_to_hz(128 * step), 7809.3946175, 1e-7);
    static const struct {
        int m, k;
        double value;
    } checks[] = {{0, 1, 0.028377542},     {1, 1, 0.014389008},       {1, 2, 0.013988535},
                  {2, 2, 0.028778017},     {64, 54, 0.011216706},     {64, 55, 0.018818283},
                  {64, 56, 0.00064914452}, {127, 244, 4.7641341e-05}, {127, 255, 8.7053137e-04}};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        test_near(fb[checks[i].m][checks[i].k], checks[i].value, 1e-7 * checks[i].value);
    static const int spans[][3] = {{0, 1, 1}, {1, 1, 2}, {2, 2, 2}, {64, 54, 56}, {127, 244, 255}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        for (int k = 0; k < BINS; k++)
            test_int(fb[spans[i][0]][k] > 0, k >= spans[i][1] && k <= spans[i][2]);
    for (int m = 0; m < MEL_BINS; m++) {
        float sum = 0;
        for (int k = 0; k < BINS; k++)
            sum += fb[m][k];
        test_true(sum > 0);
    }
    float window[WINDOW], one;
    conure_hann_window(window, WINDOW);
    test_near(window[0], 0, 0);
    test_near(window[100], 0.5 - 0.5 * cos(2 * pi * 100 / 399), FLT_EPSILON);
    test_near(window[399], 0, 1e-12);
    test_near(window[199], window[200], FLT_EPSILON);
    conure_hann_window(&one, 1);
    test_near(one, 1, 0);
}

/* Frame t by the formulas of spec 1.2 in double, DFT written out.  slack receives, for each bin, how
 * far a float32 FFT may be off: an amplitude error of 4 FLT_EPSILON times the norm of the windowed
 * frame on every FFT bin (measured: a quarter of it), and half an ulp of the result. */
static void reference_frame(const float *pcm, int64_t n, int64_t t, uint32_t mel_bins,
                            const float *fb, double *want, double *slack)
{
    double y[WINDOW], power[N_FFT / 2 + 1], norm = 0;
    for (int j = 0; j < WINDOW; j++) {
        const int64_t i = t * HOP - WINDOW / 2 + j;
        const double now = i >= 0 && i < n ? pcm[i] : 0;
        const double before = i >= 1 && i < n ? pcm[i - 1] : 0;
        y[j] = (now - 0.97 * before) * (0.5 - 0.5 * cos(2 * pi * j / (WINDOW - 1)));
        norm += y[j] * y[j];
    }
    const double wrong = 4 * FLT_EPSILON * sqrt(norm);
    for (int k = 0; k <= N_FFT / 2; k++) {
        double re = 0, im = 0;
        for (int j = 0; j < WINDOW; j++) {
            const double angle = 2 * pi * ((k * (j + 56)) % N_FFT) / N_FFT;
            re += y[j] * cos(angle);
            im -= y[j] * sin(angle);
        }
        power[k] = re * re + im * im;
    }
    for (uint32_t m = 0; m < mel_bins; m++) {
        double sum = 0, error = 0;
        for (int k = 0; k <= N_FFT / 2; k++) {
            const double weight = fb[m * (N_FFT / 2 + 1) + k];
            sum += weight * power[k];
            error += weight * (2 * sqrt(power[k]) * wrong + wrong * wrong);
        }
        want[m] = log(sum + 0x1p-24);
        slack[m] = error / (sum + 0x1p-24) + FLT_EPSILON * fabs(want[m]);
    }
}

static void check_signal(const conure_mel *mel, uint32_t mel_bins, const float *fb,
                         const float *pcm, uint64_t n_samples)
{
    const uint64_t n = conure_mel_frames(mel, n_samples) + 1;
    float *frames = malloc(n * mel_bins * sizeof *frames);
    double want[MEL_BINS], slack[MEL_BINS];
    test_int(conure_mel_raw(mel, NULL, pcm, n_samples, 0, n, frames, NULL), CONURE_OK);
    for (uint64_t t = 0; t < n; t++) {
        reference_frame(pcm, (int64_t)n_samples, (int64_t)t, mel_bins, fb, want, slack);
        for (uint32_t m = 0; m < mel_bins; m++)
            test_near(frames[t * mel_bins + m], want[m], slack[m]);
    }
    free(frames);
}

/* Lengths around the edges of hop and window, each frame up to the one beyond the last. */
static void test_lengths(uint64_t seed)
{
    static const uint64_t lengths[] = {0, 1, 2, 159, 160, 161, 199, 200, 201, 320, 400, 401, 4000};
    static const uint32_t bins[] = {128, 80, 1};
    for (size_t b = 0; b < sizeof bins / sizeof *bins; b++) {
        static float fb[MEL_BINS * (N_FFT / 2 + 1)];
        const conure_config config = front_end_config(bins[b]);
        conure_mel_filterbank(fb, &config);
        conure_mel *mel = open_mel(bins[b]);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            float *pcm = random_pcm(&seed, lengths[i]);
            test_int(conure_mel_frames(mel, lengths[i]), lengths[i] / 160);
            check_signal(mel, bins[b], fb, pcm, lengths[i]);
            free(pcm);
        }
        test_int(conure_mel_raw(mel, NULL, NULL, 0, 0, 0, NULL, NULL), CONURE_OK);
        conure_mel_close(&mel);
    }
}

/* Frames do not depend on what else the call computes, nor on the number of threads: no bit differs. */
static void test_pieces(uint64_t seed)
{
    enum { SAMPLES = 50000, FRAMES = SAMPLES / HOP + 1 };
    static float whole[FRAMES][MEL_BINS], other[FRAMES][MEL_BINS];
    conure_mel *mel = open_mel(MEL_BINS);
    float *pcm = random_pcm(&seed, SAMPLES);
    conure_mel_raw(mel, NULL, pcm, SAMPLES, 0, FRAMES, whole[0], NULL);
    for (uint64_t piece = 1; piece < 100; piece = piece * 2 + 1) {
        memset(other, 0xff, sizeof other);
        for (uint64_t t = 0; t < FRAMES; t += piece)
            conure_mel_raw(mel, NULL, pcm, SAMPLES, t, FRAMES - t < piece ? FRAMES - t : piece,
                           other[t], NULL);
        test_true(memcmp(whole, other, sizeof whole) == 0);
    }
    for (uint32_t n_threads = 1; n_threads <= 5; n_threads++) {
        conure_pool *pool = NULL;
        test_int(conure_pool_open(&pool, n_threads, NULL), CONURE_OK);
        memset(other, 0xff, sizeof other);
        test_int(conure_mel_raw(mel, pool, pcm, SAMPLES, 0, FRAMES, other[0], NULL), CONURE_OK);
        test_true(memcmp(whole, other, sizeof whole) == 0);
        conure_pool_close(&pool);
    }
    /* The signal's end matters to the frames near it alone: 200 samples after a frame's centre. */
    conure_mel_raw(mel, NULL, pcm, 100 * HOP + 200, 0, 101, other[0], NULL);
    test_true(memcmp(whole, other, 101 * sizeof *whole) == 0);
    free(pcm);
    conure_mel_close(&mel);
}

/* What a checkpoint stores is used in place of what we would compute. */
static void test_given_tables(uint64_t seed)
{
    enum { BINS = N_FFT / 2 + 1, FRAMES = 10 };
    static float fb[MEL_BINS * BINS], window[WINDOW], a[FRAMES][MEL_BINS], b[FRAMES][MEL_BINS];
    const conure_config config = front_end_config(MEL_BINS);
    conure_mel *own = open_mel(MEL_BINS), *given = NULL;
    float *pcm = random_pcm(&seed, FRAMES * HOP);
    conure_mel_filterbank(fb, &config);
    conure_hann_window(window, WINDOW);
    conure_mel_raw(own, NULL, pcm, FRAMES * HOP, 0, FRAMES, a[0], NULL);
    for (int round = 0; round < 3; round++) { /* the same; filters doubled; window halved too */
        test_int(conure_mel_open(&given, &config, window, fb, NULL), CONURE_OK);
        conure_mel_raw(given, NULL, pcm, FRAMES * HOP, 0, FRAMES, b[0], NULL);
        const double factor = round == 0 ? 1 : round == 1 ? 2 : 0.5;
        for (int t = 0; t < FRAMES; t++)
            for (int m = 0; m < MEL_BINS; m++)
                test_near(b[t][m], log(factor * (exp(a[t][m]) - 0x1p-24) + 0x1p-24),
                          round ? 4e-6 : 1e-6);
        for (int i = 0; round == 0 && i < MEL_BINS * BINS; i++)
            fb[i] *= 2;
        for (int i = 0; round == 1 && i < WINDOW; i++)
            window[i] /= 2;
        conure_mel_close(&given);
    }
    /* Filters of nothing, of every bin, and of the last bin alone. */
    memset(fb, 0, sizeof fb);
    for (int k = 0; k < BINS; k++)
        fb[BINS + k] = 1;
    fb[2 * BINS + BINS - 1] = 1;
    test_int(conure_mel_open(&given, &config, NULL, fb, NULL), CONURE_OK);
    conure_mel_raw(given, NULL, pcm, FRAMES * HOP, 0, FRAMES, b[0], NULL);
    for (int t = 0; t < FRAMES; t++) {
        test_near(b[t][0], -16.635532, 1e-6);
        test_true(b[t][1] > b[t][2] && b[t][2] > b[t][0]);
    }
    conure_mel_close(&given);
    conure_mel_close(&own);
    free(pcm);
}

static void test_normalize(uint64_t seed)
{
    float four[] = {1, 2, 3, 4}; /* spec 1.2, worked number (a) */
    conure_mel_normalize(four, 4, 1);
    test_near(four[0], -1.1618860, 1e-6);
    test_near(four[1], -0.3872953, 1e-6);
    test_near(four[2], 0.3872953, 1e-6);
    test_near(four[3], 1.1618860, 1e-6);

    float one[3] = {5, -3, 1e30f};
    conure_mel_normalize(one, 0, 3);
    test_near(one[1], -3, 0);
    conure_mel_normalize(one, 1, 3);
    for (int m = 0; m < 3; m++)
        test_near(one[m], 0, 0);

    static float silence[997 * 3]; /* an odd count: a rounded mean would give 0.1 and more */
    for (size_t i = 0; i < sizeof silence / sizeof *silence; i++)
        silence[i] = -16.635532f;
    conure_mel_normalize(silence, 997, 3);
    for (size_t i = 0; i < sizeof silence / sizeof *silence; i++)
        test_near(silence[i], 0, 0);

    static const uint32_t bins[] = {1, 63, 64, 65, 80, 128, 130};
    enum { FRAMES = 37 };
    for (size_t b = 0; b < sizeof bins / sizeof *bins; b++) {
        const uint32_t n = bins[b];
        float *x = random_pcm(&seed, (size_t)FRAMES * n), *y = malloc(FRAMES * n * sizeof *y);
        memcpy(y, x, FRAMES * n * sizeof *x);
        conure_mel_normalize(y, FRAMES, n);
        for (uint32_t m = 0; m < n; m++) {
            double mean = 0, variance = 0;
            for (int t = 0; t < FRAMES; t++)
                mean += (double)x[t * n + m] / FRAMES;
            for (int t = 0; t < FRAMES; t++)
                variance += (x[t * n + m] - mean) * (x[t * n + m] - mean) / (FRAMES - 1);
            for (int t = 0; t < FRAMES; t++)
                test_near(y[t * n + m], (x[t * n + m] - mean) / (sqrt(variance) + 1e-5), 1e-6);
        }
        free(x);
        free(y);
    }
}

static void refused(conure_config config, const char *says)
{
    conure_error err = {""};
    conure_mel *mel = (conure_mel *)&config; /* must become NULL */
    test_int(conure_mel_open(&mel, &config, NULL, NULL, &err), CONURE_UNSUPPORTED);
    test_true(mel == NULL);
    test_contains(err.text, says);
}

static void test_refused(void)
{
    conure_config c = front_end_config(MEL_BINS);
    refused((c.n_fft = 514, c), "n_fft is 514");
    refused((c.n_fft = 28, c), "n_fft is 28");
    refused((c.n_fft = 0, c), "n_fft is 0");
    refused((c.n_fft = 1u << 17, c), "n_fft is 131072");
    c = front_end_config(MEL_BINS);
    refused((c.window_samples = 513, c), "window_size is 513");
    refused((c.window_samples = 0, c), "window_size is 0");
    c = front_end_config(MEL_BINS);
    refused((c.hop_samples = 0, c), "window_stride is 0");
    refused(front_end_config(0), "features is 0");
    refused(front_end_config(100000), "features is 100000");
    c = front_end_config(MEL_BINS);
    refused((c.mel_low_hz = 8000, c), "lowfreq 8000");
    c = front_end_config(MEL_BINS);
    refused((c.mel_high_hz = NAN, c), "highfreq nan");
    conure_mel *none = NULL;
    conure_mel_close(&none);
    conure_mel_close(NULL);
}

int main(void)
{
    const uint64_t seed = 20260117;
    test_begin("mel");
    test_worked_numbers();
    test_filterbank();
    test_lengths(seed);
    test_pieces(seed);
    test_given_tables(seed);
    test_normalize(seed);
    test_refused();
    return test_end();
}

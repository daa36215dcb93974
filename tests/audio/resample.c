/* resample.c - other rates to 16 kHz: how clean, how long, where in time, and in any portions. */
#include "make.h"
#include "test.h"

static heard hear_at(const float *samples, size_t n, int rate_hz, int n_channels, int32_t channel)
{
    conure_audio_options o;
    conure_audio_options_init(&o);
    o.channel = channel;
    o.raw = CONURE_AUDIO_F32LE;
    o.raw_rate_hz = (uint32_t)rate_hz;
    o.raw_channels = (uint32_t)n_channels;
    return hear(samples, n * (size_t)n_channels * sizeof *samples, &o);
}

/* Power of what differs from the sine that should come out, to its power, in dB; the ends, where the
 * filter sees the silence around the signal, are left out.  No gain, no delay is fitted: a shift of a
 * thousandth of a sample would show. */
static void test_sine(int rate_hz, double of_band, double want_db)
{
    const double hz = of_band * fmin(rate_hz, 16000) / 2, seconds = 2;
    const size_t n = (size_t)(seconds * rate_hz);
    float *samples = make_sine(hz, rate_hz, 0.9, n);
    heard h = hear_at(samples, n, rate_hz, 1, CONURE_AUDIO_MIX);
    double error = 0, power = 0;
    test_int(h.status, CONURE_OK);
    test_int(h.n, seconds * 16000);
    for (size_t i = h.n / 4; i < 3 * h.n / 4; i++) {
        const double want = 0.9 * sin(6.283185307179586 * hz * (double)i / 16000);
        error += (h.pcm[i] - want) * (h.pcm[i] - want);
        power += want * want;
    }
    const double db = 10 * log10(power / error);
    if (!(db >= want_db))
        fprintf(stderr, "%d Hz, tone at %.0f Hz: %.1f dB\n", rate_hz, hz, db);
    test_true(db >= want_db);
    heard_free(&h);
    free(samples);
}

/* A tone above the new Nyquist frequency must vanish, not fold back. */
static void test_alias(int rate_hz, double hz)
{
    const size_t n = 2 * (size_t)rate_hz;
    float *samples = make_sine(hz, rate_hz, 0.9, n);
    heard h = hear_at(samples, n, rate_hz, 1, CONURE_AUDIO_MIX);
    double most = 0;
    for (size_t i = h.n / 4; i < 3 * h.n / 4; i++)
        most = fmax(most, fabs((double)h.pcm[i]));
    test_int(h.status, CONURE_OK);
    test_true(most < 1e-5); /* -100 dB */
    heard_free(&h);
    free(samples);
}

/* A smooth pulse stays where it was, at the start and at the end of a file too. */
static void test_position(int rate_hz)
{
    const double seconds = 1, places[] = {0.05, 0.5, 0.95};
    const size_t n = (size_t)(seconds * rate_hz);
    for (int p = 0; p < 3; p++) {
        float *samples = malloc(n * sizeof *samples);
        for (size_t i = 0; i < n; i++) {
            const double x = ((double)i / rate_hz - places[p]) / 0.002;
            samples[i] = (float)exp(-x * x);
        }
        heard h = hear_at(samples, n, rate_hz, 1, CONURE_AUDIO_MIX);
        double sum = 0, moment = 0;
        for (size_t i = 0; i < h.n; i++) {
            sum += h.pcm[i];
            moment += h.pcm[i] * (double)i;
        }
        test_int(h.status, CONURE_OK);
        test_near(moment / sum / 16000, places[p], 0.01 / 16000); /* a hundredth of a sample */
        heard_free(&h);
        free(samples);
    }
}

/* Lengths: the audio's own, to half a sample, whatever the length; nothing is lost at the end. */
static void test_lengths(void)
{
    static const int rates[] = {100, 7999, 8000, 11025, 44100, 48000, 192000, 768000};
    static const size_t lengths[] = {0, 1, 2, 159, 160, 161, 1000, 4411, 32769};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            if (rates[r] < 8000 && lengths[l] > 161)
                continue; /* 44 minutes of it */
            float *samples = make_sine(0.1 * rates[r], rates[r], 0.5, lengths[l]);
            heard h = hear_at(samples, lengths[l], rates[r], 1, CONURE_AUDIO_MIX);
            test_int(h.status, CONURE_OK);
            test_near(h.n, (double)lengths[l] * 16000 / rates[r], 1);
            heard_free(&h);
            free(samples);
        }
}

/* Channels are resampled alike: each alone gives what it gives among eight. */
static void test_many_channels(void)
{
    enum { N = 22050, CHANNELS = 8 };
    float *samples = malloc(N * CHANNELS * sizeof *samples);
    for (int i = 0; i < N * CHANNELS; i++)
        samples[i] = (float)sin(0.001 * (i / CHANNELS) * (i % CHANNELS + 1));
    heard each = hear_at(samples, N, 44100, CHANNELS, CONURE_AUDIO_EACH);
    test_int(each.status, CONURE_OK);
    test_int(each.n, 8000);
    for (int32_t c = 0; c < CHANNELS; c++) {
        heard one = hear_at(samples, N, 44100, CHANNELS, c);
        test_int(one.n, each.n);
        bool same = one.n == each.n;
        for (size_t i = 0; same && i < one.n; i++)
            same = one.pcm[i] == each.pcm[i * CHANNELS + (size_t)c];
        test_true(same);
        heard_free(&one);
    }
    heard_free(&each);
    free(samples);
}

static void test_too_large(void)
{
    enum { N = 4000 };
    float samples[N];
    for (int i = 0; i < N; i++)
        samples[i] = i / 10 % 2 ? 3.4e38f : -3.4e38f;
    heard h = hear_at(samples, N, 44100, 1, CONURE_AUDIO_MIX);
    test_int(h.status, CONURE_BAD_AUDIO);
    test_contains(h.err.text, "too large to be resampled");
    heard_free(&h);
    h = hear_at(samples, N, 16000, 1, CONURE_AUDIO_MIX); /* as they are: nothing overflows */
    test_int(h.status, CONURE_OK);
    heard_free(&h);
}

int main(void)
{
    static const int rates[] = {8000,  11025, 12000, 22050, 24000,  32000,
                                44100, 48000, 88200, 96000, 192000, 768000};
    test_begin("audio resample");
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        test_sine(rates[i], 0.05, 130); /* 148 to 151 were measured: float32 itself */
        test_sine(rates[i], 0.5, 130);
        test_sine(rates[i], 0.9, 130);
        test_position(rates[i]);
    }
    test_sine(7999, 0.5, 110); /* a prime: the ratio is approximated */
    test_sine(44101, 0.9, 110);
    test_alias(44100, 9000);
    test_alias(48000, 15000);
    test_alias(192000, 90000);
    test_lengths();
    test_many_channels();
    test_too_large();
    return test_end();
}

/* formats.c - every container and encoding that is read: values, channels, raw PCM. */
#include "make.h"
#include "test.h"

static conure_audio_options options(int32_t channel)
{
    conure_audio_options o;
    conure_audio_options_init(&o);
    o.channel = channel;
    return o;
}

/* Integer values k over the whole range of so many bits, as floats k / 2^(bits - 1): exact for 24 bits
 * and fewer. */
static float *steps(int bits, size_t n)
{
    uint64_t seed = 77 + (uint64_t)bits;
    float *samples = malloc(n * sizeof *samples);
    for (size_t i = 0; i < n; i++) {
        const int64_t k = (int64_t)(test_random(&seed) >> (64 - bits)) - ((int64_t)1 << (bits - 1));
        samples[i] = (float)ldexp((double)k, 1 - bits);
    }
    samples[0] = -1;
    samples[1] = (float)(1 - ldexp(1, 1 - bits));
    samples[2] = 0;
    samples[3] = (float)ldexp(1, 1 - bits);
    return samples;
}

/* 16 kHz mono passes bit for bit. */
static void test_lossless(void)
{
    static const struct {
        int format, bits;
        const char *describes;
    } cases[] = {
        {SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 8, "WAV, Unsigned 8 bit PCM"},
        {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16, "WAV, Signed 16 bit PCM"},
        {SF_FORMAT_WAV | SF_FORMAT_PCM_24, 24, "WAV, Signed 24 bit PCM"},
        {SF_FORMAT_WAV | SF_FORMAT_PCM_32, 24, "WAV, Signed 32 bit PCM"},
        {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 24, "WAV, 32 bit float"},
        {SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 24, "WAV, 64 bit float"},
        {SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG, 16, "WAV, Signed 16 bit PCM"},
        {SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 24, "WAV, Signed 24 bit PCM"},
        {SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 16, "WAV, Signed 16 bit PCM"},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_S8, 8, "AIFF, Signed 8 bit PCM"},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 16, "AIFF, Signed 16 bit PCM"},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 24, "AIFF, Signed 24 bit PCM"},
        {SF_FORMAT_AIFF | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE, 16, "AIFF, Signed 16 bit PCM"},
        {SF_FORMAT_AIFF | SF_FORMAT_FLOAT, 24, "AIFF, 32 bit float"},
        {SF_FORMAT_FLAC | SF_FORMAT_PCM_S8, 8, "FLAC, Signed 8 bit PCM"},
        {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16, "FLAC, Signed 16 bit PCM"},
        {SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 24, "FLAC, Signed 24 bit PCM"},
    };
    static const size_t lengths[] = {4, 5, 4097, 20000};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            const size_t n = lengths[l];
            if (n % 2 && cases[i].format == (SF_FORMAT_AIFF | SF_FORMAT_PCM_S8))
                continue; /* libsndfile 1.2.0 counts the padding byte as it writes */
            if (n < 8 && cases[i].format == (SF_FORMAT_AIFF | SF_FORMAT_FLOAT))
                continue; /* and writes 6 samples here */
            float *samples = steps(cases[i].bits, n);
            made m = make_file(cases[i].format, 16000, 1, samples, n);
            heard h = hear(m.data, m.bytes, NULL);
            test_int(h.status, CONURE_OK);
            test_text(h.info.format, cases[i].describes);
            test_text(h.info.damage, "");
            test_true(!h.info.damaged);
            test_int(h.info.frames_declared, n);
            test_int(h.info.frames_decoded, n);
            test_int(h.n, n);
            test_true(h.n == n && memcmp(h.pcm, samples, n * sizeof *samples) == 0);
            heard_free(&h);
            made_free(&m);
            free(samples);
        }
}

static double peak(const heard *h)
{
    double most = 0;
    for (size_t i = 0; i < h->n * h->info.n_channels_out; i++)
        most = fmax(most, fabs((double)h->pcm[i]));
    return most;
}

/* Beyond +-1: exact where samples are stored as floats, kept by lossy decoders, resampled or not. */
static void test_beyond_one(void)
{
    enum { N = 32000 };
    float *samples = make_sine(440, 16000, 1.5, N);
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, samples, N);
    heard h = hear(m.data, m.bytes, NULL);
    test_int(h.status, CONURE_OK);
    test_true(h.n == N && memcmp(h.pcm, samples, N * sizeof *samples) == 0);
    heard_free(&h);
    made_free(&m);
    static const int lossy[] = {SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_OGG | SF_FORMAT_OPUS,
                                SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    for (int i = 0; i < 3; i++) {
        m = make_file(lossy[i], 16000, 1, samples, N);
        h = hear(m.data, m.bytes, NULL);
        test_int(h.status, CONURE_OK);
        test_text(h.info.damage, "");
        test_int(h.n, N);
        test_true(peak(&h) > 1.4 && peak(&h) < 2);
        double error = 0, power = 0; /* it is the same sine, at the same place */
        for (size_t k = 4000; k < 28000 && h.n == N; k++) {
            error += (h.pcm[k] - samples[k]) * (h.pcm[k] - samples[k]);
            power += samples[k] * samples[k];
        }
        test_true(error < 0.01 * power);
        heard_free(&h);
        made_free(&m);
    }
    free(samples);
    samples = make_sine(440, 44100, 1.5, N);
    m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 1, samples, N);
    h = hear(m.data, m.bytes, NULL);
    test_int(h.status, CONURE_OK);
    test_true(peak(&h) > 1.49);
    heard_free(&h);
    made_free(&m);
    free(samples);
}

/* Channel c of frame i holds (i mod 100 + 1000 c) / 2^15. */
static void test_channels(int n_channels)
{
    enum { N = 5000 };
    float *samples = malloc((size_t)n_channels * N * sizeof *samples);
    for (int i = 0; i < N * n_channels; i++)
        samples[i] = (float)(i / n_channels % 100 + 100 * (i % n_channels)) / 32768;
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, n_channels, samples, N);
    for (int c = CONURE_AUDIO_EACH; c <= n_channels; c++) {
        const conure_audio_options o = options(c);
        heard h = hear(m.data, m.bytes, &o);
        if (c == n_channels) {
            test_int(h.status, CONURE_BAD_ARG);
            test_contains(h.err.text, "has no channel");
            break;
        }
        test_int(h.status, CONURE_OK);
        test_int(h.n, N);
        test_int(h.info.n_channels, n_channels);
        test_int(h.info.n_channels_out, c == CONURE_AUDIO_EACH ? n_channels : 1);
        for (int i = 0; i < N && h.n == N; i++) {
            if (c == CONURE_AUDIO_EACH)
                test_true(memcmp(h.pcm + i * n_channels, samples + i * n_channels,
                                 (size_t)n_channels * sizeof *samples) == 0);
            else if (c == CONURE_AUDIO_MIX)
                test_near(h.pcm[i], (i % 100 + 50.0 * (n_channels - 1)) / 32768, 1e-9);
            else
                test_near(h.pcm[i], samples[i * n_channels + c], 0);
        }
        heard_free(&h);
    }
    made_free(&m);
    free(samples);
}

static void test_rates_and_channels_caps(void)
{
    static float samples[1024 * 8];
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 256, samples, 8);
    heard h = hear(m.data, m.bytes, NULL);
    test_int(h.status, CONURE_OK);
    test_int(h.n, 8);
    heard_free(&h);
    made_free(&m);
    m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 257, samples, 8);
    h = hear(m.data, m.bytes, NULL);
    test_int(h.status, CONURE_UNSUPPORTED);
    test_contains(h.err.text, "257 channels, expected 1 to 256");
    made_free(&m);
    m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 768001, 1, samples, 8);
    h = hear(m.data, m.bytes, NULL);
    test_int(h.status, CONURE_UNSUPPORTED);
    test_contains(h.err.text, "sample rate 768001 Hz, expected 100 to 768000");
    made_free(&m);
}

static void test_raw(void)
{
    static const uint8_t s16[] = {0x00, 0x80, 0xff, 0x7f, 0x01, 0x00, 0xff, 0xff, 0x34, 0x12, 0x77};
    static const uint8_t f32[] = {0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0, 1, 0, 0, 0, 0, 0, 0x80, 0x7f};
    conure_audio_options o = options(CONURE_AUDIO_MIX);
    o.raw = CONURE_AUDIO_S16LE;
    heard h = hear(s16, 10, &o);
    test_int(h.status, CONURE_OK);
    test_int(h.n, 5);
    test_near(h.pcm[0], -1, 0);
    test_near(h.pcm[1], 32767.0 / 32768, 0);
    test_near(h.pcm[2], 1.0 / 32768, 0);
    test_near(h.pcm[3], -1.0 / 32768, 0);
    test_near(h.pcm[4], 0x1234 / 32768.0, 0);
    test_true(!h.info.damaged);
    test_text(h.info.format, "raw PCM, signed 16 bit");
    heard_free(&h);
    h = hear(s16, 11, &o); /* half a sample too many */
    test_int(h.status, CONURE_OK);
    test_int(h.n, 5);
    test_true(h.info.damaged);
    test_contains(h.info.damage, "last 1 bytes");
    heard_free(&h);
    h = hear(s16, 0, &o);
    test_int(h.status, CONURE_OK);
    test_int(h.n, 0);
    heard_free(&h);
    o.raw_channels = 2;
    o.channel = CONURE_AUDIO_EACH;
    h = hear(s16, 8, &o);
    test_int(h.n, 2);
    test_near(h.pcm[3], -1.0 / 32768, 0);
    heard_free(&h);
    o = options(0);
    o.raw = CONURE_AUDIO_F32LE;
    h = hear(f32, 12, &o);
    test_int(h.n, 3);
    test_near(h.pcm[0], 1.5, 0);
    test_near(h.pcm[1], -2, 0);
    test_near(h.pcm[2], 0x1p-149, 0);
    heard_free(&h);
    h = hear(f32, 16, &o);
    test_int(h.status, CONURE_BAD_AUDIO);
    test_contains(h.err.text, "clip: sample 3 (0.000 s) of channel 1 is infinite");
    heard_free(&h);
    for (int bad = 0; bad < 4; bad++) {
        o.raw_rate_hz = bad == 0 ? 99 : bad == 1 ? 768001 : 16000;
        o.raw_channels = bad == 2 ? 0 : bad == 3 ? 257 : 1;
        h = hear(f32, 12, &o);
        test_int(h.status, CONURE_UNSUPPORTED);
        test_contains(h.err.text, bad < 2 ? "sample rate" : "channels, expected 1 to 256");
    }
}

static void test_options(void)
{
    static const char *const good[] = {"mix", "each", "1", "2", "256"};
    static const int32_t means[] = {CONURE_AUDIO_MIX, CONURE_AUDIO_EACH, 0, 1, 255};
    static const char *const bad[] = {"",   "0",   "-1", "257",
                                      "1x", "Mix", " 1", "99999999999999999999"};
    int32_t channel = 99;
    for (int i = 0; i < 5; i++) {
        test_true(conure_audio_parse_channel(good[i], &channel));
        test_int(channel, means[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        test_true(!conure_audio_parse_channel(bad[i], &channel));
    conure_audio_options o = options(256);
    heard h = hear("", 0, &o);
    test_int(h.status, CONURE_BAD_ARG);
    o = options(-3);
    h = hear("", 0, &o);
    test_int(h.status, CONURE_BAD_ARG);
    o = options(0);
    o.rate_hz = 99;
    h = hear("", 0, &o);
    test_int(h.status, CONURE_BAD_ARG);
    o = options(0);
    o.raw = (conure_audio_raw)7;
    h = hear("", 0, &o);
    test_int(h.status, CONURE_BAD_ARG);
    conure_audio_close(NULL);
}

int main(void)
{
    test_begin("audio formats");
    test_lossless();
    test_beyond_one();
    test_channels(1);
    test_channels(2);
    test_channels(8);
    test_rates_and_channels_caps();
    test_raw();
    test_options();
    return test_end();
}

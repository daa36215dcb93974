/* plain.c - audio of builds without libsndfile and libsoxr: WAV and raw samples, by files, memory and pipes; what else there is gets a way out. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "make.h"
#include "test.h"

static void same_samples(const heard *h, const float *samples, size_t n, double tolerance)
{
    test_int(h->status, CONURE_OK);
    test_text(h->err.text, "");
    test_text(h->info.damage, "");
    test_int(h->n, n);
    for (size_t i = 0; i < n && i < h->n; i++)
        test_near(h->pcm[i], samples[i], tolerance);
}

static void encodings(void)
{
    static const struct {
        int format;
        double step;
        const char *describes;
    } cases[] = {
        {SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 0x1p-7, "WAV stream, PCM 8 bit"},    {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0x1p-15, "WAV stream, PCM 16 bit"},
        {SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 0x1p-23, "WAV stream, PCM 24 bit"}, {SF_FORMAT_WAV | SF_FORMAT_PCM_32, 0x1p-23, "WAV stream, PCM 32 bit"},
        {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0, "WAV stream, float 32 bit"},        {SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 0x1p-15, "WAV stream, PCM 16 bit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *sine = make_sine(440, 16000, 0.5, 20000);
        made m = make_file(cases[i].format, 16000, 1, sine, 20000);
        heard h = hear(m.data, m.bytes, NULL);
        test_text(h.info.format, cases[i].describes);
        same_samples(&h, sine, 20000, cases[i].step);
        heard_free(&h);
        made_free(&m);
        free(sine);
    }
}

static void file_and_pipe(void)
{
    float *sine = make_sine(300, 16000, 0.25, 16000);
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, sine, 16000);
    conure_audio_clip clip;
    conure_error err = {""};
    test_int(conure_audio_load(&clip, make_on_disk("plain.wav", m.data, m.bytes), NULL, &err), CONURE_OK);
    test_int(clip.n_samples, 16000);
    for (size_t i = 0; i < 16000 && clip.pcm; i++)
        test_near(clip.pcm[i], sine[i], 0);
    conure_audio_clip_free(&clip);
    int ends[2];
    test_int(pipe(ends), 0);
    test_int(write(ends[1], m.data, 50000), 50000); /* fits into a pipe; the rest does not come */
    close(ends[1]);
    test_int(dup2(ends[0], 0), 0);
    close(ends[0]);
    test_int(conure_audio_load(&clip, "-", NULL, &err), CONURE_OK);
    test_true(clip.info.damaged && clip.n_samples > 12000 && clip.n_samples < 12500);
    test_contains(clip.info.damage, "it is cut off: it declares 16000 samples");
    conure_audio_clip_free(&clip);
    made_free(&m);
    free(sine);
}

/* Of one rate and another, each channel by itself: as long, in place, as loud. */
static void rates(void)
{
    static const int from[] = {8000, 11025, 22050, 44100, 48000, 192000};
    for (size_t r = 0; r < sizeof from / sizeof *from; r++) {
        const size_t n = (size_t)from[r], n_out = 16000;
        float *left = make_sine(440, from[r], 0.5, n), *right = make_sine(1000, from[r], 0.25, n), *both = malloc(2 * n * sizeof *both);
        for (size_t i = 0; i < n; i++) {
            both[2 * i] = left[i];
            both[2 * i + 1] = right[i];
        }
        made m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, from[r], 2, both, n);
        conure_audio_options o;
        conure_audio_options_init(&o);
        o.channel = CONURE_AUDIO_EACH;
        heard h = hear(m.data, m.bytes, &o);
        test_int(h.status, CONURE_OK);
        test_int(h.n, n_out);
        float *want[2] = {make_sine(440, 16000, 0.5, n_out), make_sine(1000, 16000, 0.25, n_out)};
        for (size_t i = 200; i + 200 < n_out && h.n == n_out; i++)
            for (size_t c = 0; c < 2; c++)
                test_near(h.pcm[2 * i + c], want[c][i], 2e-4);
        free(want[0]);
        free(want[1]);
        heard_free(&h);
        made_free(&m);
        free(both);
        free(left);
        free(right);
    }
}

static void refused(int format, int rate_hz, conure_status status, const char *what, const char *way_out)
{
    float *sine = make_sine(100, rate_hz, 0.5, 4000);
    made m = make_file(format, rate_hz, 1, sine, 4000);
    heard h = hear(m.data, m.bytes, NULL);
    test_int(h.status, status);
    test_contains(h.err.text, what);
    test_contains(h.err.text, way_out);
    heard_free(&h);
    made_free(&m);
    free(sine);
}

int main(void)
{
    test_begin("audio.plain");
    test_true(!conure_audio_has_decoders());
    test_contains(conure_audio_decoder(), "no libsndfile");
    test_contains(conure_audio_resampler(), "no libsoxr");
    encodings();
    file_and_pipe();
    rates();
    refused(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, CONURE_UNSUPPORTED, "this is FLAC", "or build with -DCONURE_AUDIO_LIBRARIES=ON");
    refused(SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 16000, CONURE_UNSUPPORTED, "this is AIFF", "ffmpeg -i IN -ar 16000");
    refused(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 6000, CONURE_UNSUPPORTED, "6000 Hz to 16000 Hz", "between 8000 and 192000 Hz");
    return test_end();
}

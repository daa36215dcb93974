/* speed.c - resampling to 16 kHz: CPU time for 10 s of mono audio, and how clean a sine of half the
 * pass-band comes out. */
#include <time.h>

#include "make.h"
#include "test.h"

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the core may be shared: count our own time */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Best of 20 runs; reading floats from memory is part of it. */
static bool measure(uint32_t rate_hz)
{
    const double hz = fmin(rate_hz, 16000) / 4;
    const size_t n = 10 * (size_t)rate_hz;
    float *samples = make_sine(hz, rate_hz, 0.9, n), *out = malloc(160000 * sizeof *out);
    double best_ms = INFINITY, error = 0, power = 0;
    conure_audio_options o;
    conure_audio_options_init(&o);
    o.raw = CONURE_AUDIO_F32LE;
    o.raw_rate_hz = rate_hz;
    bool ok = samples && out;
    for (int run = 0; ok && run < 20; run++) {
        conure_audio *audio = NULL;
        size_t got = 0;
        const double start = now_ms();
        ok = conure_audio_open_memory(&audio, samples, n * sizeof *samples, "sine", &o, NULL) ==
                 CONURE_OK &&
             conure_audio_read(audio, out, 160000, &got, NULL) == CONURE_OK && got == 160000;
        conure_audio_close(&audio);
        best_ms = fmin(best_ms, now_ms() - start);
    }
    for (size_t i = 40000; ok && i < 120000; i++) {
        const double want = 0.9 * sin(6.283185307179586 * hz * (double)i / 16000);
        error += (out[i] - want) * (out[i] - want);
        power += want * want;
    }
    printf("%7u Hz  %6.1f dB  %6.2f ms\n", rate_hz, 10 * log10(power / error), best_ms);
    free(samples);
    free(out);
    return ok;
}

int main(void)
{
    static const uint32_t rates[] = {8000,  11025, 16000,  22050, 44100,
                                     48000, 96000, 192000, 768000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (!measure(rates[i]))
            return 1;
    return 0;
}

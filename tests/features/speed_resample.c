/* speed_resample.c - time of the session's resampler on one thread: per output sample, best of 21 runs, in portions
 * of 20 ms; and of opening it. */
#include <time.h>

#include "features/resample.h"
#include "test.h"

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the core may be shared: count our own time */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measure(uint32_t from_hz, uint32_t to_hz)
{
    const size_t n = from_hz * 2, portion = from_hz / 50;
    float *in = malloc(n * sizeof *in), *out = malloc(((size_t)to_hz * 2 + 100) * sizeof *out);
    double best = 1e30;
    uint64_t seed = 1;
    size_t total = 0;
    conure_resampler *r = NULL;
    const double before = now_ns();

    if (!in || !out || conure_resampler_open(&r, from_hz, to_hz, NULL) != CONURE_OK)
        exit(1);
    const double opened = now_ns() - before;
    for (size_t i = 0; i < n; i++)
        in[i] = test_uniform(&seed, -1, 1);
    for (int run = 0; run < 21; run++) {
        const double start = now_ns();
        conure_resampler_reset(r);
        total = 0;
        for (size_t at = 0, used, made; at < n; at += used) {
            conure_resampler_run(r, in + at, n - at < portion ? n - at : portion, &used, out + total, 2 * (size_t)to_hz,
                                 &made);
            total += made;
        }
        best = fmin(best, now_ns() - start);
    }
    printf("%6u to %6u Hz: %.1f ns an output sample, %.2f ms a second of audio, open %.1f ms\n", from_hz, to_hz,
           best / (double)total, best * 1e-6 / 2, opened * 1e-6);
    conure_resampler_close(&r);
    free(in);
    free(out);
}

int main(void)
{
    measure(8000, 16000);
    measure(22050, 16000);
    measure(44100, 16000);
    measure(48000, 16000);
    measure(192000, 16000);
    measure(15999, 16000);
    measure(44101, 16000);
    return 0;
}

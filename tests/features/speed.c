/* speed.c - time of the front end for 10 s of audio on one thread: median and best of 101 runs. */
#include <time.h>

#include "config.h"
#include "features/mel.h"
#include "test.h"

enum { RUNS = 101, SAMPLES = 160000 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the core may be shared: count our own time */
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *ms)
{
    qsort(ms, RUNS, sizeof *ms, by_value);
    printf("%-10s p50 %.2f ms  best %.2f ms\n", what, ms[RUNS / 2], ms[0]);
}

int main(void)
{
    const conure_config config = front_end_config(128);
    static double raw_ms[RUNS], normalize_ms[RUNS];
    float *pcm = malloc(SAMPLES * sizeof *pcm), *frames = malloc(SAMPLES * sizeof *frames);
    uint64_t seed = 1;
    conure_mel *mel = NULL;
    if (!pcm || !frames || conure_mel_open(&mel, &config, NULL, NULL, NULL) != CONURE_OK)
        return 1;
    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = test_uniform(&seed, -0.5f, 0.5f);
    for (int i = 0; i < RUNS; i++) {
        const double start = now_ms();
        if (conure_mel_raw(mel, NULL, pcm, SAMPLES, 0, 1000, frames, NULL) != CONURE_OK)
            return 1;
        const double middle = now_ms();
        conure_mel_normalize(frames, 1000, config.mel_bins);
        raw_ms[i] = middle - start;
        normalize_ms[i] = now_ms() - middle;
    }
    report("log-mel", raw_ms);
    report("normalise", normalize_ms);
    conure_mel_close(&mel);
    free(pcm);
    free(frames);
    return 0;
}

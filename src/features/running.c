/* running.c - see running.h. */
#include "features/running.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Frames of 10 ms.  The forgetting is as long as an utterance that models are trained on; the prior is what
 * half a second counts, at the deviation that log-mel features of speech have. */
static const double FORGET_FRAMES = 1500, PRIOR_FRAMES = 50, PRIOR_DEVIATION = 3, DEVIATION_GUARD = 1e-5;

conure_status conure_running_open(conure_running *running, uint32_t mel_bins, conure_error *err)
{
    *running = (conure_running){.mel_bins = mel_bins};
    running->sums = conure_calloc(2 * (size_t)mel_bins, sizeof *running->sums);
    return running->sums ? CONURE_OK : conure_fail_memory(err, "a running mean", 2 * mel_bins * sizeof *running->sums);
}

void conure_running_close(conure_running *running)
{
    free(running->sums);
    *running = (conure_running){0};
}

void conure_running_reset(conure_running *running)
{
    memset(running->sums, 0, 2 * (size_t)running->mel_bins * sizeof *running->sums);
    running->weight = 0;
}

void conure_running_add(conure_running *running, const float *frames, uint64_t n)
{
    const double keep = exp(-1 / FORGET_FRAMES);
    double *sum = running->sums, *square = running->sums + running->mel_bins;
    for (uint64_t t = 0; t < n; t++, frames += running->mel_bins) {
        running->weight = running->weight * keep + 1;
        for (uint32_t m = 0; m < running->mel_bins; m++) {
            const double x = frames[m];
            sum[m] = sum[m] * keep + x;
            square[m] = square[m] * keep + x * x;
        }
    }
}

void conure_running_normalize(const conure_running *running, const float *frames, uint64_t n, float *dst)
{
    const uint32_t bins = running->mel_bins;
    for (uint32_t m = 0; m < bins; m++) {
        const double mean = running->weight > 0 ? running->sums[m] / running->weight : 0;
        const double spread = running->weight > 0 ? running->sums[bins + m] / running->weight - mean * mean : 0;
        const double variance = ((spread > 0 ? spread : 0) * running->weight + PRIOR_DEVIATION * PRIOR_DEVIATION * PRIOR_FRAMES) /
                                (running->weight + PRIOR_FRAMES);
        const double scale = 1 / (sqrt(variance) + DEVIATION_GUARD);
        for (uint64_t t = 0; t < n; t++)
            dst[t * bins + m] = (float)((frames[t * bins + m] - mean) * scale);
    }
}

void conure_running_save(const conure_running *running, conure_buffer *buffer)
{
    conure_buffer_add(buffer, &running->weight, sizeof running->weight);
    conure_buffer_add(buffer, running->sums, 2 * (size_t)running->mel_bins * sizeof *running->sums);
}

void conure_running_load(conure_running *running, conure_reader *reader)
{
    conure_read(reader, &running->weight, sizeof running->weight);
    conure_read(reader, running->sums, 2 * (size_t)running->mel_bins * sizeof *running->sums);
}

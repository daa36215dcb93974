/* resample.c - snapshots of the session's resampler: what loads works, and saves to the same bytes.
 *
 * Input: a byte that picks the rates, then the snapshot. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "features/resample.h"

enum { N = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint32_t rates[][2] = {{44100, 16000}, {48000, 16000}, {16000, 16000}, {8000, 192000}};
    static float in[N], out[N];
    static conure_resampler *resamplers[4]; /* kept: their tables take longer than all else here */
    conure_buffer saved = {0};
    size_t used, made;

    if (!bytes)
        return 0;
    const unsigned which = data[0] % 4;
    conure_resampler **r = &resamplers[which];
    if (!*r && conure_resampler_open(r, rates[which][0], rates[which][1], NULL) != CONURE_OK)
        return 0;
    conure_reader reader = {.data = data + 1, .bytes = bytes - 1};
    if (conure_resampler_load(*r, &reader, NULL) == CONURE_OK) {
        conure_resampler_save(*r, &saved);
        assert(saved.failed || (saved.bytes == reader.at && memcmp(saved.data, data + 1, saved.bytes) == 0));
        uint32_t flushing;
        memcpy(&flushing, data + 1 + 8, sizeof flushing);
        if (!flushing)
            conure_resampler_run(*r, in, N, &used, out, N, &made);
        for (int i = 0; i < 4 && conure_resampler_flush(*r, out, N); i++)
            ;
    }
    conure_buffer_free(&saved);
    return 0;
}

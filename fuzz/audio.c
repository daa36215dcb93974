/* audio.c - whole files through the decoders, the channel mixer and the resampler.  The first byte
 * chooses the options. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "audio/audio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static conure_audio_options options_of(uint8_t choice)
{
    conure_audio_options o;
    conure_audio_options_init(&o);
    o.channel = choice % 4 - 2; /* each, mix, the first, the second */
    o.rate_hz = choice & 4 ? 16000 : 8000;
    o.raw = choice >> 3 & 3 ? (conure_audio_raw)((choice >> 3 & 3) % 3) : CONURE_AUDIO_HEADER;
    o.raw_rate_hz = choice & 32 ? 16000 : 44100;
    o.raw_channels = choice & 64 ? 2 : 1;
    o.samples_max = 200000; /* of a channel: a few milliseconds of work */
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_audio *audio = NULL;
    conure_error err = {""};
    if (!bytes)
        return 0;
    const conure_audio_options options = options_of(data[0]);
    conure_status status =
        conure_audio_open_memory(&audio, data + 1, bytes - 1, "input", &options, &err);
    assert((status == CONURE_OK) == (audio != NULL));
    while (status == CONURE_OK) {
        enum { CAP = 1000 };
        static float frames[CAP * CONURE_AUDIO_CHANNELS_MAX];
        size_t n = 0;
        status = conure_audio_read(audio, frames, CAP, &n, &err);
        assert(n <= CAP);
        for (size_t i = 0;
             status == CONURE_OK && i < n * conure_audio_get_info(audio)->n_channels_out; i++)
            assert(isfinite(frames[i]));
        if (status == CONURE_OK && !n)
            break;
    }
    assert(status == CONURE_OK || err.text[0]);
    conure_audio_close(&audio);
    return 0;
}

/* decoder_plain.c - in place of decoder_sndfile.c where the build has no libsndfile: WAV and raw samples are read without it, no more. */
#include <assert.h>

#include "audio/decoder.h"
#include "base/error.h"

conure_status conure_decoded_open(conure_decoder *d, conure_audio_info *info, conure_error *err)
{
    (void)info;
    return conure_fail(err, CONURE_UNSUPPORTED, "%s: this is %s, and this build of conure, which has no libsndfile, reads WAV (RIFF, PCM or float) and "
                       "raw samples alone: convert it, e.g. ffmpeg -i IN -ar 16000 -ac 1 OUT.wav, or build with -DCONURE_AUDIO_LIBRARIES=ON",
                       d->bytes.name, conure_container_name(d->container.kind));
}

size_t conure_decoded_read(conure_decoder *d, float *dst, size_t cap)
{
    (void)d, (void)dst, (void)cap;
    assert(!"nothing was opened");
    return 0;
}

const char *conure_decoded_error(const conure_decoder *d)
{
    (void)d;
    return NULL;
}

void conure_decoded_close(conure_decoder *d)
{
    assert(!d->file);
    (void)d;
}

bool conure_audio_has_decoders(void)
{
    return false;
}

const char *conure_audio_decoder(void)
{
    return "no libsndfile: WAV and raw samples alone";
}

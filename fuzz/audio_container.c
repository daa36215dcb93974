/* audio_container.c - the walks over WAV, AIFF, FLAC, Ogg and MP3, without a decoder. */
#include <assert.h>
#include <string.h>

#include "audio/container.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static conure_bytes source; /* large: kept off the stack */
    conure_container container;
    conure_error err = {""};
    if (conure_bytes_open_memory(&source, data, bytes, "input", &err) == CONURE_OK) {
        const conure_status status = conure_container_check(&container, &source, &err);
        assert(status == CONURE_OK || err.text[0]);
        assert(memchr(container.damage, 0, sizeof container.damage));
        assert(!container.unusable || container.damage[0]);
    }
    conure_bytes_close(&source);
    return 0;
}

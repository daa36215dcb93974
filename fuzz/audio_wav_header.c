/* audio_wav_header.c - the header of a WAV stream, in pieces whose length the first byte says: what comes out must not
 * depend on them. */
#include <assert.h>
#include <string.h>

#include "audio/wav_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static conure_status take(conure_wav_header *header, const uint8_t *data, size_t bytes, size_t piece, size_t *n_used)
{
    conure_error err = {""};
    conure_status status = CONURE_NEED_AUDIO;
    *n_used = 0;
    memset(header, 0, sizeof *header);
    while (status == CONURE_NEED_AUDIO && *n_used < bytes) {
        const size_t left = bytes - *n_used, now = piece < left ? piece : left;
        size_t used;
        status = conure_wav_header_take(header, data + *n_used, now, &used, &err);
        assert(used <= now && (status != CONURE_NEED_AUDIO || used == now));
        *n_used += used;
    }
    assert(status >= 0 || err.text[0]);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_wav_header whole, parts;
    size_t whole_used, parts_used;
    if (!bytes)
        return 0;
    const conure_status status = take(&whole, data + 1, bytes - 1, bytes, &whole_used);
    assert(take(&parts, data + 1, bytes - 1, data[0] % 64 + 1u, &parts_used) == status);
    if (status != CONURE_OK)
        return 0;
    assert(whole_used == parts_used && whole.data_bytes == parts.data_bytes && whole.rate_hz == parts.rate_hz);
    assert(whole.n_channels == parts.n_channels && whole.sample_bytes == parts.sample_bytes && whole.is_float == parts.is_float);
    assert(whole.n_channels > 0 && whole.sample_bytes >= 1 && whole.sample_bytes <= 4);
    assert(!whole.is_float || whole.sample_bytes == 4);
    return 0;
}

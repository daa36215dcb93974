/* wav_header.c - see wav_header.h. */
#include "audio/wav_header.h"

#include <string.h>

#include "audio/container.h"
#include "base/error.h"

enum { STATE_NEW = 0, STATE_RIFF, STATE_CHUNK, STATE_FORMAT, STATE_LONG, STATE_DONE };

enum { TAG_PCM = 1, TAG_FLOAT = 3, TAG_EXTENSIBLE = 0xfffe };

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

/* Collect a piece of so many bytes next. */
static void want(conure_wav_header *h, int state, uint32_t bytes)
{
    h->state = state;
    h->n_part = 0;
    h->part_bytes = bytes;
}

/* What programs write that do not know the length: nothing, all ones (less the header, with some), or about 2 GiB. */
static bool is_placeholder(uint32_t bytes)
{
    return bytes == 0 || bytes >= 0xffffff00u || (bytes >= 0x7f000000u && bytes <= 0x80000100u);
}

static conure_status take_riff(conure_wav_header *h, conure_error *err)
{
    h->is_rf64 = memcmp(h->part, "RF64", 4) == 0;
    if ((!h->is_rf64 && memcmp(h->part, "RIFF", 4) != 0) || memcmp(h->part + 8, "WAVE", 4) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "it does not begin as a WAV stream does");
    want(h, STATE_CHUNK, 8);
    return CONURE_OK;
}

static conure_status take_data(conure_wav_header *h, uint32_t bytes, conure_error *err)
{
    if (!h->has_format)
        return conure_fail(err, CONURE_BAD_FILE, "its audio begins before its format was told");
    if (h->is_rf64 && bytes == 0xffffffffu && h->has_long && h->long_bytes)
        h->data_bytes = h->long_bytes;
    else
        h->data_bytes = is_placeholder(bytes) ? UINT64_MAX : bytes;
    h->state = STATE_DONE;
    return CONURE_OK;
}

/* A chunk's id and length. */
static conure_status take_chunk(conure_wav_header *h, conure_error *err)
{
    const uint32_t bytes = conure_le32(h->part + 4);
    const uint64_t padded = (uint64_t)bytes + (bytes & 1);
    if (memcmp(h->part, "data", 4) == 0)
        return take_data(h, bytes, err);
    if (++h->n_chunks > CONURE_WAV_CHUNKS_MAX)
        return conure_fail(err, CONURE_BAD_FILE, "more than %d chunks stand in front of its audio", CONURE_WAV_CHUNKS_MAX);
    if (padded > CONURE_WAV_SKIP_MAX - h->taken)
        return conure_fail(err, CONURE_BAD_FILE, "a chunk of %u bytes stands in front of its audio, where at most %d MiB are skipped",
                           bytes, CONURE_WAV_SKIP_MAX >> 20);
    h->chunk_bytes = bytes;
    if (memcmp(h->part, "fmt ", 4) == 0) {
        if (h->has_format)
            return conure_fail(err, CONURE_BAD_FILE, "it tells its format twice");
        if (bytes < 16)
            return conure_fail(err, CONURE_BAD_FILE, "its format chunk has %u bytes, expected at least 16", bytes);
        want(h, STATE_FORMAT, bytes < sizeof h->part ? bytes : (uint32_t)sizeof h->part);
    } else if (h->is_rf64 && memcmp(h->part, "ds64", 4) == 0 && bytes >= 16) {
        want(h, STATE_LONG, 16);
    } else {
        h->skip = padded;
        want(h, STATE_CHUNK, 8);
    }
    return CONURE_OK;
}

/* Go past what was not looked at of a chunk. */
static void skip_rest(conure_wav_header *h)
{
    h->skip = (uint64_t)h->chunk_bytes + (h->chunk_bytes & 1) - h->part_bytes;
    want(h, STATE_CHUNK, 8);
}

static conure_status take_format(conure_wav_header *h, conure_error *err)
{
    const uint8_t *p = h->part;
    const uint32_t block = le16(p + 12), bits = le16(p + 14);
    uint32_t tag = le16(p);
    if (tag == TAG_EXTENSIBLE && h->part_bytes >= 40)
        tag = le16(p + 24); /* the first bytes of the subformat's GUID */
    h->n_channels = le16(p + 2);
    h->rate_hz = conure_le32(p + 4);
    if (tag != TAG_PCM && tag != TAG_FLOAT)
        return conure_fail(err, CONURE_UNSUPPORTED, "its encoding is 0x%04x: of a WAV stream PCM and float are read as they come; "
                           "convert it on its way, e.g. ffmpeg -i - -f wav -c:a pcm_s16le -", tag);
    if (h->n_channels == 0 || block % h->n_channels)
        return conure_fail(err, CONURE_BAD_FILE, "its format chunk contradicts itself: %u channels in %u bytes", h->n_channels, block);
    h->sample_bytes = block / h->n_channels;
    h->is_float = tag == TAG_FLOAT;
    if (h->sample_bytes < 1 || h->sample_bytes > 4 || bits > 8 * h->sample_bytes || bits + 8 <= 8 * h->sample_bytes)
        return conure_fail(err, h->is_float && bits == 64 ? CONURE_UNSUPPORTED : CONURE_BAD_FILE,
                           "its samples have %u bits in %u bytes, expected PCM of 8 to 32 bits or float of 32", bits, h->sample_bytes);
    if (h->is_float && h->sample_bytes != 4)
        return conure_fail(err, CONURE_UNSUPPORTED, "its samples are float of %u bits, expected 32", bits);
    h->has_format = true;
    skip_rest(h);
    return CONURE_OK;
}

/* The piece that was wanted is there. */
static conure_status take_part(conure_wav_header *h, conure_error *err)
{
    switch (h->state) {
    case STATE_RIFF:
        return take_riff(h, err);
    case STATE_CHUNK:
        return take_chunk(h, err);
    case STATE_FORMAT:
        return take_format(h, err);
    default: /* STATE_LONG */
        h->long_bytes = conure_le64(h->part + 8);
        h->has_long = true;
        skip_rest(h);
        return CONURE_OK;
    }
}

conure_status conure_wav_header_take(conure_wav_header *h, const uint8_t *data, size_t n, size_t *n_used, conure_error *err)
{
    *n_used = 0;
    if (h->state == STATE_NEW)
        want(h, STATE_RIFF, 12);
    while (h->state != STATE_DONE) {
        const size_t left = n - *n_used, wanted = h->skip ? (size_t)h->skip : h->part_bytes - h->n_part;
        const size_t now = left < wanted ? left : wanted;
        if (!left)
            return CONURE_NEED_AUDIO;
        if (h->skip) {
            h->skip -= now;
        } else {
            memcpy(h->part + h->n_part, data + *n_used, now);
            h->n_part += (uint32_t)now;
        }
        *n_used += now;
        h->taken += now;
        if (!h->skip && h->n_part == h->part_bytes) {
            const conure_status status = take_part(h, err);
            if (status != CONURE_OK)
                return status;
        }
    }
    return CONURE_OK;
}

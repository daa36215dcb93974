/* decoder_pcm.c - PCM that no decoder is needed for: raw, and of a WAV that is read from its beginning to its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/decoder.h"
#include "audio/wav_header.h"
#include "base/error.h"

static conure_status take_block(conure_decoder *d, conure_error *err)
{
    d->pcm.block = malloc(PCM_BLOCK_BYTES);
    return d->pcm.block ? CONURE_OK : conure_fail_memory(err, d->bytes.name, PCM_BLOCK_BYTES);
}

conure_status conure_pcm_open_raw(conure_decoder *d, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err)
{
    const conure_status status = take_block(d, err);
    if (status != CONURE_OK)
        return status;
    d->pcm.sample_bytes = options->raw == CONURE_AUDIO_S16LE ? 2 : 4;
    d->pcm.is_float = options->raw == CONURE_AUDIO_F32LE;
    d->pcm.left_bytes = CONURE_FRAMES_UNKNOWN;
    info->rate_hz = options->raw_rate_hz;
    info->n_channels = d->n_channels = options->raw_channels;
    snprintf(info->format, sizeof info->format, "raw PCM, %s",
             d->pcm.is_float ? "32 bit float" : "signed 16 bit");
    if (!d->bytes.is_pipe && info->n_channels)
        info->frames_declared = d->bytes.size / ((uint64_t)d->pcm.sample_bytes * info->n_channels);
    return conure_decoder_check(&d->bytes, options->raw_rate_hz, options->raw_channels, err);
}

/* ---- WAV in order ---------------------------------------------------------------------------- */

bool conure_pcm_is_wav(conure_decoder *d)
{
    uint8_t head[12];
    const size_t n = d->bytes.is_pipe ? conure_bytes_peek(&d->bytes, head, sizeof head) : conure_bytes_at(&d->bytes, 0, head, sizeof head);
    return n == sizeof head && (memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RF64", 4) == 0) && memcmp(head + 8, "WAVE", 4) == 0;
}

/* The header; what was read behind it is held. */
static conure_status read_header(conure_decoder *d, conure_wav_header *header, conure_error *err)
{
    for (conure_status status = CONURE_NEED_AUDIO; status == CONURE_NEED_AUDIO;) {
        const size_t got = conure_bytes_some(&d->bytes, d->pcm.block, PCM_BLOCK_BYTES);
        size_t used = 0;
        if (!got) {
            status = conure_bytes_status(&d->bytes, err);
            return status != CONURE_OK ? status
                                       : conure_fail(err, CONURE_BAD_FILE, "%s: ended within the header of its WAV stream, after %llu bytes",
                                                     d->bytes.name, (unsigned long long)header->taken);
        }
        status = conure_wav_header_take(header, d->pcm.block, got, &used, err);
        if (status < 0) {
            conure_error_prefix(err, d->bytes.name);
            return status;
        }
        d->pcm.n_held = got - used;
        memmove(d->pcm.block, d->pcm.block + used, d->pcm.n_held);
    }
    return CONURE_OK;
}

conure_status conure_pcm_open_wav(conure_decoder *d, conure_audio_info *info, conure_error *err)
{
    conure_wav_header header = {0};
    conure_status status = take_block(d, err);
    if (status == CONURE_OK)
        status = read_header(d, &header, err);
    if (status == CONURE_OK)
        status = conure_decoder_check(&d->bytes, header.rate_hz, header.n_channels, err);
    if (status != CONURE_OK)
        return status;
    d->pcm.sample_bytes = header.sample_bytes;
    d->pcm.is_float = header.is_float;
    d->pcm.left_bytes = header.data_bytes;
    d->n_channels = info->n_channels = header.n_channels;
    info->rate_hz = header.rate_hz;
    snprintf(info->format, sizeof info->format, "WAV stream, %s %u bit", header.is_float ? "float" : "PCM", 8 * header.sample_bytes);
    if (header.data_bytes != CONURE_FRAMES_UNKNOWN) {
        const uint32_t frame_bytes = header.sample_bytes * header.n_channels;
        info->frames_declared = header.data_bytes / frame_bytes;
        d->pcm.left_bytes -= header.data_bytes % frame_bytes;
        if (header.data_bytes % frame_bytes)
            conure_audio_note(info, "its audio ends in the middle of a sample");
    }
    return CONURE_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static float sample(const conure_pcm *pcm, const uint8_t *p)
{
    uint32_t bits;
    float value;
    switch (pcm->sample_bytes) {
    case 1:
        return (float)((int)p[0] - 128) * 0x1p-7f;
    case 2:
        return (float)(int16_t)(uint16_t)(p[0] | p[1] << 8) * 0x1p-15f;
    case 3:
        bits = (uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24;
        return (float)(int32_t)bits * 0x1p-31f;
    default:
        bits = conure_le32(p);
        memcpy(&value, &bits, sizeof value);
        return pcm->is_float ? value : (float)(int32_t)bits * 0x1p-31f;
    }
}

/* The stream has ended, with nothing but a part of a frame left. */
static void ended(conure_decoder *d, conure_audio_info *info, size_t frame_bytes)
{
    const conure_pcm *pcm = &d->pcm;
    if (conure_bytes_cancelled(&d->bytes) || d->bytes.failed)
        return;
    if (pcm->left_bytes != CONURE_FRAMES_UNKNOWN && pcm->left_bytes > 0 && !(d->bytes.end && *d->bytes.end))
        conure_audio_note(info, "it is cut off: it declares %llu samples (%.3f s), %llu came (%.3f s)",
                          (unsigned long long)info->frames_declared, (double)info->frames_declared / info->rate_hz,
                          (unsigned long long)info->frames_decoded, (double)info->frames_decoded / info->rate_hz);
    else if (pcm->n_held)
        conure_audio_note(info, "its last %zu bytes are less than a sample of every channel (%zu bytes): is the format, or the "
                          "number of channels, right?", pcm->n_held, frame_bytes);
}

/* A chunk of a RIFF file begins here, and ends within what there is. */
static bool is_chunk(const uint8_t *head, uint64_t n)
{
    for (int i = 0; i < 4; i++)
        if (head[i] < 0x20 || head[i] > 0x7e)
            return false;
    const uint64_t bytes = head[4] | (uint64_t)head[5] << 8 | (uint64_t)head[6] << 16 | (uint64_t)head[7] << 24;
    return n >= 8 && bytes <= n - 8;
}

/* The audio that the header declares is over.  Titles and the like may follow; much else says that the header lied. */
static void look_behind(conure_decoder *d, conure_audio_info *info, size_t frame_bytes)
{
    conure_pcm *pcm = &d->pcm;
    uint8_t head[9];
    uint64_t n = pcm->n_held;
    size_t n_head = n < sizeof head ? (size_t)n : sizeof head, got;
    memset(head, 0, sizeof head);
    memcpy(head, pcm->block, n_head);
    pcm->past_end = true;
    pcm->n_held = 0;
    while ((got = conure_bytes_some(&d->bytes, pcm->block, PCM_BLOCK_BYTES)) > 0) {
        const size_t more = got < sizeof head - n_head ? got : sizeof head - n_head;
        memcpy(head + n_head, pcm->block, more);
        n_head += more;
        n += got;
    }
    if (n > frame_bytes && !is_chunk(head, n) && !is_chunk(head + 1, n - 1)) /* chunks begin at even places */
        conure_audio_note(info, "%llu bytes come behind the audio that its header declares, and are no part of it; if the header is "
                          "wrong, send the samples alone, with --raw", (unsigned long long)n);
}

size_t conure_pcm_read(conure_decoder *d, conure_audio_info *info, float *dst, size_t cap, bool some)
{
    conure_pcm *pcm = &d->pcm;
    const size_t frame_bytes = (size_t)pcm->sample_bytes * d->n_channels, most = PCM_BLOCK_BYTES / frame_bytes;
    size_t want = (cap < most ? cap : most) * frame_bytes, got = 1;
    if (want > pcm->left_bytes)
        want = (size_t)pcm->left_bytes;
    while (got && pcm->n_held < (some && want ? frame_bytes : want)) {
        uint8_t *at = pcm->block + pcm->n_held;
        got = some ? conure_bytes_some(&d->bytes, at, want - pcm->n_held) : conure_bytes_next(&d->bytes, at, want - pcm->n_held);
        pcm->n_held += got;
    }
    const size_t n = (pcm->n_held < want ? pcm->n_held : want) / frame_bytes;
    for (size_t i = 0; i < n * d->n_channels; i++)
        dst[i] = sample(pcm, pcm->block + i * pcm->sample_bytes);
    pcm->n_held -= n * frame_bytes;
    memmove(pcm->block, pcm->block + n * frame_bytes, pcm->n_held);
    if (pcm->left_bytes != CONURE_FRAMES_UNKNOWN)
        pcm->left_bytes -= n * frame_bytes;
    if (n == 0 && want)
        ended(d, info, frame_bytes);
    else if (n == 0 && cap >= 1 && pcm->left_bytes == 0 && !pcm->past_end)
        look_behind(d, info, frame_bytes);
    return n;
}

/* decoder.c - who reads a file, and the comparison of what was declared with what came out. */
#include "audio/decoder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

void conure_audio_note(conure_audio_info *info, const char *format, ...)
{
    va_list args;
    if (info->damaged)
        return;
    info->damaged = true;
    va_start(args, format);
    vsnprintf(info->damage, sizeof info->damage, format, args);
    va_end(args);
}

const char *conure_container_name(conure_container_kind kind)
{
    static const char *const names[] = {
        [CONURE_CONTAINER_WAV] = "WAV",   [CONURE_CONTAINER_AIFF] = "AIFF",
        [CONURE_CONTAINER_FLAC] = "FLAC", [CONURE_CONTAINER_OGG] = "Ogg",
        [CONURE_CONTAINER_MP3] = "MP3",
    };
    return names[kind];
}

/* ---- opening --------------------------------------------------------------------------------- */

conure_status conure_decoder_check(const conure_bytes *bytes, long long rate_hz, long long n_channels,
                                   conure_error *err)
{
    if (rate_hz < CONURE_AUDIO_RATE_MIN_HZ || rate_hz > CONURE_AUDIO_RATE_MAX_HZ)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: sample rate %lld Hz, expected %d to %d",
                           bytes->name, rate_hz, CONURE_AUDIO_RATE_MIN_HZ,
                           CONURE_AUDIO_RATE_MAX_HZ);
    if (n_channels < 1 || n_channels > CONURE_AUDIO_CHANNELS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %lld channels, expected 1 to %d",
                           bytes->name, n_channels, CONURE_AUDIO_CHANNELS_MAX);
    return CONURE_OK;
}

conure_status conure_decoder_open(conure_decoder *d, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err)
{
    d->frames_expected = CONURE_FRAMES_UNKNOWN;
    info->frames_declared = CONURE_FRAMES_UNKNOWN;
    if (options->raw != CONURE_AUDIO_HEADER)
        return conure_pcm_open_raw(d, options, info, err);
    const bool plain = !conure_audio_has_decoders(), as_it_comes = options->live && d->bytes.is_pipe;
    if ((plain || as_it_comes) && conure_pcm_is_wav(d))
        return conure_pcm_open_wav(d, info, err);
    conure_status status = conure_bytes_keep(&d->bytes, options->spool_bytes_max, err);
    if (status == CONURE_OK)
        status = conure_container_check(&d->container, &d->bytes, err);
    if (status != CONURE_OK)
        return status;
    if (d->container.has_rate) /* a decoder would refuse it in words of its own */
        status = conure_decoder_check(&d->bytes, d->container.rate_hz, 1, err);
    if (status != CONURE_OK)
        return status;
    md5_init(&d->md5);
    /* The sizes whose integers come back from floats as they were; libsndfile reads no other. */
    const uint32_t bits = d->container.md5_bits;
    d->container.has_md5 = d->container.has_md5 && (bits == 8 || bits == 16 || bits == 24);
    status = conure_decoded_open(d, info, err);
    if (status != CONURE_OK)
        return status;
    d->n_channels = info->n_channels;
    if (d->container.damage[0])
        conure_audio_note(info, "%s", d->container.damage);
    return CONURE_OK;
}

void conure_decoder_close(conure_decoder *d)
{
    conure_decoded_close(d);
    free(d->pcm.block);
    d->pcm.block = NULL;
    conure_bytes_close(&d->bytes);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* FLAC: the samples as the integers they were, which floats of up to 24 bits give back exactly. */
static void add_to_md5(conure_decoder *d, const float *samples, size_t n)
{
    uint8_t block[3 * 1024];
    const uint32_t bits = d->container.md5_bits;
    const size_t bytes = (bits + 7) / 8, step = sizeof block / 3;
    const float scale = (float)(1u << (bits - 1));
    for (size_t start = 0; start < n; start += step) {
        const size_t end = n - start < step ? n : start + step;
        uint8_t *p = block;
        for (size_t i = start; i < end; i++) {
            const uint32_t value = (uint32_t)(int32_t)(samples[i] * scale);
            for (size_t b = 0; b < bytes; b++)
                *p++ = (uint8_t)(value >> (8 * b));
        }
        md5_update(&d->md5, (size_t)(p - block), block);
    }
}

static void compare_md5(conure_decoder *d, conure_audio_info *info)
{
    uint8_t got[16];
    if (!d->container.has_md5)
        return;
    md5_digest(&d->md5, sizeof got, got);
    if (memcmp(got, d->container.md5, sizeof got) != 0)
        conure_audio_note(info, "the MD5 sum of its samples is not the one that its header declares");
    d->container.has_md5 = false; /* compared once */
}

/* The decoder has nothing more: was that all? */
static void compare(conure_decoder *d, conure_audio_info *info)
{
    const uint64_t decoded = info->frames_decoded;
    uint64_t expected = d->container.frames_declared;
    const char *error = conure_decoded_error(d);
    if (error)
        conure_audio_note(info, "decoding stopped at sample %llu (%.3f s): libsndfile says \"%s\"",
             (unsigned long long)decoded, (double)decoded / info->rate_hz, error);
    if (expected == CONURE_FRAMES_UNKNOWN)
        expected = d->frames_expected;
    if (expected != CONURE_FRAMES_UNKNOWN && expected != decoded)
        conure_audio_note(info, "it declares %llu samples (%.3f s), %llu could be decoded (%.3f s)",
             (unsigned long long)expected, (double)expected / info->rate_hz,
             (unsigned long long)decoded, (double)decoded / info->rate_hz);
    if (decoded < d->container.frames_least)
        conure_audio_note(info, "decoding ended at sample %llu (%.3f s), before its last frame",
             (unsigned long long)decoded, (double)decoded / info->rate_hz);
    compare_md5(d, info);
}

conure_status conure_decoder_read(conure_decoder *d, conure_audio_info *info, float *dst,
                                  size_t cap, bool some, size_t *n, conure_error *err)
{
    *n = d->pcm.sample_bytes ? conure_pcm_read(d, info, dst, cap, some) : conure_decoded_read(d, dst, cap);
    const conure_status status = conure_bytes_status(&d->bytes, err);
    if (status != CONURE_OK)
        return status;
    info->frames_decoded += *n;
    if (d->container.has_md5)
        add_to_md5(d, dst, *n * d->n_channels);
    if (*n == 0 && d->file)
        compare(d, info);
    if (*n == 0 && info->damaged && info->frames_decoded == 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: nothing of it can be decoded: %s",
                           d->bytes.name, info->damage);
    return CONURE_OK;
}

/* decoder.c - libsndfile over our own bytes, and the comparison of what was declared with
 * what came out. */
#include "audio/decoder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* Without a tag libmpg123 guesses an MP3 file's length from its size and its first frames, and
 * libsndfile ends there: a third of the way in files of variable bitrate.  A size that is so many
 * times too large keeps the guess, which is used for nothing else, beyond the real end whatever the
 * bitrates, 320 : 8 kbit/s at most; reading ends where the bytes do. */
#define UNCOUNTED_MP3_FACTOR 64

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

/* ---- what libsndfile reads from --------------------------------------------------------------- */

static sf_count_t file_bytes(void *user)
{
    return (sf_count_t)((conure_decoder *)user)->size_shown;
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *user)
{
    const conure_decoder *d = user;
    conure_bytes *bytes = &((conure_decoder *)user)->bytes;
    const sf_count_t from = whence == SEEK_SET   ? 0
                            : whence == SEEK_CUR ? (sf_count_t)bytes->position
                                                 : (sf_count_t)d->size_shown;
    if ((offset > 0 && from > INT64_MAX - offset) || from + offset < 0)
        return -1;
    bytes->position = (uint64_t)(from + offset);
    return from + offset;
}

static sf_count_t file_read(void *dst, sf_count_t n, void *user)
{
    conure_decoder *d = user;
    if (n <= 0)
        return 0;
    /* libmpg123 looks for a tag at what it takes for the end, and gives up when it cannot read it. */
    if (!d->file && d->bytes.position >= d->bytes.size && d->size_shown > d->bytes.size) {
        memset(dst, 0, (size_t)n);
        return n;
    }
    return (sf_count_t)conure_bytes_next(&d->bytes, dst, (size_t)n);
}

static sf_count_t file_write(const void *src, sf_count_t n, void *user)
{
    (void)src, (void)n, (void)user;
    return 0;
}

static sf_count_t file_tell(void *user)
{
    return (sf_count_t)((conure_decoder *)user)->bytes.position;
}

static const char *kind_name(conure_container_kind kind)
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

static conure_status fail_open(conure_decoder *d, conure_error *err)
{
    conure_status status = conure_bytes_status(&d->bytes, err);
    if (status != CONURE_OK)
        return status;
    const char *damage = d->container.damage;
    status = sf_error(NULL) == SF_ERR_UNSUPPORTED_ENCODING ? CONURE_UNSUPPORTED : CONURE_BAD_FILE;
    return conure_fail(
        err, status,
        "%s: cannot be decoded as %s: libsndfile says \"%s\"%s%s; get the file again, "
        "or try to repair it, e.g. ffmpeg -i IN -ar 16000 -ac 1 OUT.wav",
        d->bytes.name, kind_name(d->container.kind), sf_strerror(NULL), damage[0] ? "; " : "",
        damage);
}

static void describe(conure_decoder *d, const SF_INFO *sf, conure_audio_info *info)
{
    SF_FORMAT_INFO subtype = {.format = sf->format & SF_FORMAT_SUBMASK};
    const bool named = sf_command(d->file, SFC_GET_FORMAT_INFO, &subtype, sizeof subtype) == 0;
    info->rate_hz = (uint32_t)sf->samplerate;
    info->n_channels = (uint32_t)sf->channels;
    snprintf(info->format, sizeof info->format, "%s, %s", kind_name(d->container.kind),
             named && subtype.name ? subtype.name : "unnamed encoding");
    /* The decoder's own announcement: for MP3 it may be an estimate, for Ogg it may be missing. */
    if (d->container.kind != CONURE_CONTAINER_MP3 && sf->frames >= 0 && sf->frames < SF_COUNT_MAX)
        d->frames_expected = (uint64_t)sf->frames;
    info->frames_declared = d->container.frames_declared != CONURE_FRAMES_UNKNOWN
                                ? d->container.frames_declared
                                : d->frames_expected;
}

conure_status conure_decoder_open(conure_decoder *d, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err)
{
    SF_VIRTUAL_IO io = {file_bytes, file_seek, file_read, file_write, file_tell};
    SF_INFO sf = {0};
    d->frames_expected = CONURE_FRAMES_UNKNOWN;
    info->frames_declared = CONURE_FRAMES_UNKNOWN;
    if (options->raw != CONURE_AUDIO_HEADER)
        return conure_pcm_open_raw(d, options, info, err);
    if (options->live && conure_pcm_is_wav(d))
        return conure_pcm_open_wav(d, info, err);
    conure_status status = conure_bytes_keep(&d->bytes, options->spool_bytes_max, err);
    if (status == CONURE_OK)
        status = conure_container_check(&d->container, &d->bytes, err);
    if (status != CONURE_OK)
        return status;
    if (d->container.has_rate) /* libsndfile would refuse it in words of its own */
        status = conure_decoder_check(&d->bytes, d->container.rate_hz, 1, err);
    if (status != CONURE_OK)
        return status;
    md5_init(&d->md5);
    /* The sizes whose integers come back from floats as they were; libsndfile reads no other. */
    const uint32_t bits = d->container.md5_bits;
    d->container.has_md5 = d->container.has_md5 && (bits == 8 || bits == 16 || bits == 24);
    d->size_shown = d->bytes.size;
    if (d->container.kind == CONURE_CONTAINER_MP3 && !d->container.counted)
        d->size_shown *= UNCOUNTED_MP3_FACTOR;
    d->file = sf_open_virtual(&io, SFM_READ, &sf, d);
    if (!d->file)
        return fail_open(d, err);
    if (d->container.kind == CONURE_CONTAINER_FLAC && d->container.has_rate)
        sf.samplerate = (int)d->container.rate_hz;
    status = conure_decoder_check(&d->bytes, sf.samplerate, sf.channels, err);
    if (status != CONURE_OK)
        return status;
    describe(d, &sf, info);
    d->n_channels = info->n_channels;
    if (d->container.damage[0])
        conure_audio_note(info, "%s", d->container.damage);
    return CONURE_OK;
}

void conure_decoder_close(conure_decoder *d)
{
    if (d->file)
        sf_close(d->file);
    d->file = NULL;
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
    if (sf_error(d->file) != SF_ERR_NO_ERROR)
        conure_audio_note(info, "decoding stopped at sample %llu (%.3f s): libsndfile says \"%s\"",
             (unsigned long long)decoded, (double)decoded / info->rate_hz, sf_strerror(d->file));
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
    *n = 0;
    if (d->pcm.sample_bytes) {
        *n = conure_pcm_read(d, info, dst, cap, some);
    } else {
        const sf_count_t got = sf_readf_float(d->file, dst, (sf_count_t)cap);
        *n = got > 0 ? (size_t)got : 0;
    }
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

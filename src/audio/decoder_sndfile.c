/* decoder_sndfile.c - libsndfile over our own bytes. */
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "audio/decoder.h"
#include "base/error.h"

/* Without a tag libmpg123 guesses an MP3 file's length from its size and its first frames, and
 * libsndfile ends there: a third of the way in files of variable bitrate.  A size that is so many
 * times too large keeps the guess, which is used for nothing else, beyond the real end whatever the
 * bitrates, 320 : 8 kbit/s at most; reading ends where the bytes do. */
#define UNCOUNTED_MP3_FACTOR 64

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
        d->bytes.name, conure_container_name(d->container.kind), sf_strerror(NULL), damage[0] ? "; " : "",
        damage);
}

static void describe(conure_decoder *d, const SF_INFO *sf, conure_audio_info *info)
{
    SF_FORMAT_INFO subtype = {.format = sf->format & SF_FORMAT_SUBMASK};
    const bool named = sf_command(d->file, SFC_GET_FORMAT_INFO, &subtype, sizeof subtype) == 0;
    info->rate_hz = (uint32_t)sf->samplerate;
    info->n_channels = (uint32_t)sf->channels;
    snprintf(info->format, sizeof info->format, "%s, %s", conure_container_name(d->container.kind),
             named && subtype.name ? subtype.name : "unnamed encoding");
    /* The decoder's own announcement: for MP3 it may be an estimate, for Ogg it may be missing. */
    if (d->container.kind != CONURE_CONTAINER_MP3 && sf->frames >= 0 && sf->frames < SF_COUNT_MAX)
        d->frames_expected = (uint64_t)sf->frames;
    info->frames_declared = d->container.frames_declared != CONURE_FRAMES_UNKNOWN
                                ? d->container.frames_declared
                                : d->frames_expected;
}

conure_status conure_decoded_open(conure_decoder *d, conure_audio_info *info, conure_error *err)
{
    SF_VIRTUAL_IO io = {file_bytes, file_seek, file_read, file_write, file_tell};
    SF_INFO sf = {0};
    d->size_shown = d->bytes.size;
    if (d->container.kind == CONURE_CONTAINER_MP3 && !d->container.counted)
        d->size_shown *= UNCOUNTED_MP3_FACTOR;
    d->file = sf_open_virtual(&io, SFM_READ, &sf, d);
    if (!d->file)
        return fail_open(d, err);
    if (d->container.kind == CONURE_CONTAINER_FLAC && d->container.has_rate)
        sf.samplerate = (int)d->container.rate_hz;
    const conure_status status = conure_decoder_check(&d->bytes, sf.samplerate, sf.channels, err);
    if (status == CONURE_OK)
        describe(d, &sf, info);
    return status;
}

size_t conure_decoded_read(conure_decoder *d, float *dst, size_t cap)
{
    const sf_count_t got = sf_readf_float(d->file, dst, (sf_count_t)cap);
    return got > 0 ? (size_t)got : 0;
}

const char *conure_decoded_error(const conure_decoder *d)
{
    return sf_error(d->file) != SF_ERR_NO_ERROR ? sf_strerror(d->file) : NULL;
}

void conure_decoded_close(conure_decoder *d)
{
    if (d->file)
        sf_close(d->file);
    d->file = NULL;
}

bool conure_audio_has_decoders(void)
{
    return true;
}

const char *conure_audio_decoder(void)
{
    return sf_version_string();
}

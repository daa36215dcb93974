/* container.c - which format the bytes are; the walks are in the container_*.c beside it. */
#include "audio/container.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

void conure_container_note(conure_container *c, const char *format, ...)
{
    va_list args;
    if (c->damage[0])
        return;
    va_start(args, format);
    vsnprintf(c->damage, sizeof c->damage, format, args);
    va_end(args);
}

uint64_t conure_id3v2_bytes(const uint8_t *head, size_t n)
{
    if (n < 10 || memcmp(head, "ID3", 3) != 0 || ((head[6] | head[7] | head[8] | head[9]) & 0x80))
        return 0;
    const uint64_t body =
        (uint64_t)head[6] << 21 | (uint64_t)head[7] << 14 | (uint64_t)head[8] << 7 | head[9];
    return 10 + body + (head[5] & 0x10 ? 10 : 0);
}

static conure_status unknown_format(const conure_bytes *bytes, const uint8_t *head, size_t n,
                                    conure_error *err)
{
    const char *looks = "";
    if (n >= 8 && memcmp(head + 4, "ftyp", 4) == 0)
        looks = " (it looks like MP4)";
    else if (n >= 4 && memcmp(head, "\x1a\x45\xdf\xa3", 4) == 0)
        looks = " (it looks like Matroska or WebM)";
    else if (n >= 4 && (memcmp(head, "caff", 4) == 0 || memcmp(head, "riff", 4) == 0 ||
                        memcmp(head, ".snd", 4) == 0))
        looks = " (it looks like CAF, W64 or AU)";
    return conure_fail(err, CONURE_UNSUPPORTED,
                       "%s: not WAV, AIFF, FLAC, Ogg or MP3%s: convert it, e.g. ffmpeg -i IN -ar "
                       "16000 -ac 1 OUT.wav; PCM without a header is read with --raw",
                       bytes->name, looks);
}

static bool is_mp3_sync(const uint8_t *p, size_t n)
{
    return n >= 2 && p[0] == 0xff && (p[1] & 0xe0) == 0xe0 && (p[1] & 0x06) != 0;
}

static conure_status check_after_id3(conure_container *out, conure_bytes *bytes, uint64_t offset,
                                     conure_error *err)
{
    uint8_t head[12] = {0};
    const size_t n = conure_bytes_at(bytes, offset, head, sizeof head);
    if (n >= 4 && memcmp(head, "fLaC", 4) == 0) {
        out->kind = CONURE_CONTAINER_FLAC;
        conure_check_flac(out, bytes, offset);
    } else if (offset || is_mp3_sync(head, n)) {
        out->kind = CONURE_CONTAINER_MP3;
        conure_check_mp3(out, bytes, offset);
    } else {
        return unknown_format(bytes, head, n, err);
    }
    return CONURE_OK;
}

conure_status conure_container_check(conure_container *out, conure_bytes *bytes, conure_error *err)
{
    uint8_t head[12] = {0};
    conure_status status = CONURE_OK;
    memset(out, 0, sizeof *out);
    out->frames_declared = CONURE_FRAMES_UNKNOWN;
    const size_t n = conure_bytes_at(bytes, 0, head, sizeof head);
    const bool is_chunked = n == sizeof head;
    if (!n && (status = conure_bytes_status(bytes, err)) != CONURE_OK)
        return status;
    if (!n)
        return conure_fail(err, CONURE_BAD_FILE, "%s: is empty", bytes->name);
    if (is_chunked && memcmp(head + 8, "WAVE", 4) == 0 &&
        (memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RIFX", 4) == 0 ||
         memcmp(head, "RF64", 4) == 0)) {
        out->kind = CONURE_CONTAINER_WAV;
        conure_check_riff(out, bytes);
    } else if (is_chunked && memcmp(head, "FORM", 4) == 0 &&
               (memcmp(head + 8, "AIFF", 4) == 0 || memcmp(head + 8, "AIFC", 4) == 0)) {
        out->kind = CONURE_CONTAINER_AIFF;
        conure_check_aiff(out, bytes);
    } else if (n >= 4 && memcmp(head, "OggS", 4) == 0) {
        out->kind = CONURE_CONTAINER_OGG;
        conure_check_ogg(out, bytes);
    } else {
        status = check_after_id3(out, bytes, conure_id3v2_bytes(head, n), err);
    }
    if (status == CONURE_OK)
        status = conure_bytes_status(bytes, err);
    if (status == CONURE_OK && out->unusable)
        return conure_fail(err, CONURE_BAD_FILE, "%s: nothing of it can be decoded: %s",
                           bytes->name, out->damage);
    return status;
}

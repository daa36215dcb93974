/* container.h - what an audio file says of itself, checked against the bytes it has.
 *
 * libsndfile believes the length of the file where a header declares more, and stops in silence where
 * data ends early; so headers, chunks, pages and frames are walked here first.  Nothing is decoded. */
#ifndef CONURE_AUDIO_CONTAINER_H
#define CONURE_AUDIO_CONTAINER_H

#include "audio/bytes.h"

#define CONURE_FRAMES_UNKNOWN UINT64_MAX

typedef enum conure_container_kind {
    CONURE_CONTAINER_WAV = 1, /* RIFF, RIFX, RF64 */
    CONURE_CONTAINER_AIFF,    /* AIFF, AIFF-C */
    CONURE_CONTAINER_FLAC,
    CONURE_CONTAINER_OGG,
    CONURE_CONTAINER_MP3,
} conure_container_kind;

typedef struct conure_container {
    conure_container_kind kind;
    uint64_t frames_declared; /* by the header, whatever the file holds; CONURE_FRAMES_UNKNOWN */
    bool counted;             /* MP3: a tag counts its frames */
    uint64_t frames_least;    /* what its pieces must give at least; 0 when that cannot be told */
    bool has_rate;            /* WAV, AIFF, FLAC: a header gives the sample rate ... */
    int64_t rate_hz;          /* ... which may be any number; FLAC: the frames' where they say */
    bool has_md5;             /* FLAC: of all samples as integers of this size, little-endian */
    uint8_t md5[16];
    uint32_t md5_bits;
    bool unusable;    /* the damage leaves nothing to decode */
    char damage[224]; /* "" when the file agrees with itself */
} conure_container;

/* Returns OK (damage or not), UNSUPPORTED when the bytes are of no format that is read here,
 * BAD_FILE for a file without anything to decode, IO, CANCELLED.  Cost: a few reads; Ogg and MP3: one header of each page
 * or frame. */
conure_status conure_container_check(conure_container *out, conure_bytes *bytes, conure_error *err);

/* The walks, one for each family (container_chunks.c, _flac.c, _ogg.c, _mp3.c).
 * offset: of the first byte after an ID3v2 tag. */
void conure_check_riff(conure_container *c, conure_bytes *bytes);
void conure_check_aiff(conure_container *c, conure_bytes *bytes);
void conure_check_flac(conure_container *c, conure_bytes *bytes, uint64_t offset);
void conure_check_ogg(conure_container *c, conure_bytes *bytes);
void conure_check_mp3(conure_container *c, conure_bytes *bytes, uint64_t offset);

/* Bytes of the ID3v2 tag that starts with these, its header included; 0 when there is none.  MP3 and some
 * FLAC files begin with one (id3.org, ID3v2.4.0 section 3: 7 bits a byte, high bits 0). */
uint64_t conure_id3v2_bytes(const uint8_t *head, size_t n);

/* Note damage; the first note stays, it is nearest the cause. */
__attribute__((format(printf, 2, 3))) void conure_container_note(conure_container *c,
                                                                 const char *format, ...);

static inline uint32_t conure_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t conure_be32(const uint8_t *p)
{
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

static inline uint64_t conure_le64(const uint8_t *p)
{
    return conure_le32(p) | (uint64_t)conure_le32(p + 4) << 32;
}

#endif

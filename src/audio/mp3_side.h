/* mp3_side.h - the side information of an MPEG layer III frame, checked against the data it describes.
 *
 * Decoders conceal what they cannot follow, so damage that leaves the headers of frames alone shows
 * only here: in bit counts that contradict each other or point outside the data, in codes that the
 * standard reserves, and in the checksum of files that have one. */
#ifndef CONURE_AUDIO_MP3_SIDE_H
#define CONURE_AUDIO_MP3_SIDE_H

#include <stddef.h>

#include "audio/mp3_codes.h"

#define MP3_SIDE_BYTES_MAX  32
#define MP3_FRAME_BYTES_MAX 1441 /* 320 kbit/s at 32 kHz, with padding */
#define MP3_BACK_BYTES_MAX  511

/* What the frames so far leave to the next. */
typedef struct mp3_reservoir {
    uint64_t written; /* bytes of main data up to the current frame */
    uint64_t taken;   /* of them up to the end of the last frame's own */
    size_t n_held;    /* bytes of data: the last of the frames so far */
    uint8_t data[MP3_BACK_BYTES_MAX + MP3_FRAME_BYTES_MAX];
} mp3_reservoir;

/* Bytes of the side information. */
size_t mp3_side_bytes(bool version_1, bool mono);

/* side: of a frame with this header, of at most MP3_FRAME_BYTES_MAX; data: what follows it in the
 * frame.  NULL when all agrees, or what does not. */
const char *mp3_side_check(mp3_reservoir *reservoir, const mp3_codes *codes, uint32_t head,
                           const uint8_t *side, const uint8_t *data, size_t data_bytes);

/* The checksum over the header's last 16 bits and the side information. */
uint16_t mp3_side_crc(uint32_t head, const uint8_t *side);

#endif

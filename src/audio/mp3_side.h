/* mp3_side.h - the side information of an MPEG layer III frame, checked against the data it describes.
 *
 * Decoders conceal what they cannot follow, so damage that leaves the headers of frames alone shows
 * only here: in bit counts that contradict each other or point outside the data, in codes that the
 * standard reserves, and in the checksum of files that have one. */
#ifndef CONURE_AUDIO_MP3_SIDE_H
#define CONURE_AUDIO_MP3_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP3_SIDE_BYTES_MAX 32

/* What the frames so far leave to the next. */
typedef struct mp3_reservoir {
    uint64_t written; /* bytes of main data up to the current frame */
    uint64_t taken;   /* of them up to the end of the last frame's own */
} mp3_reservoir;

/* Bytes of the side information. */
size_t mp3_side_bytes(bool version_1, bool mono);

/* side: of a frame whose header ends with `head` and which has main_bytes of main data after it.
 * NULL when all agrees, or what does not. */
const char *mp3_side_check(mp3_reservoir *reservoir, uint32_t head, const uint8_t *side,
                           uint32_t main_bytes);

/* The checksum over the header's last 16 bits and the side information. */
uint16_t mp3_side_crc(uint32_t head, const uint8_t *side);

#endif

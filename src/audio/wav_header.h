/* wav_header.h - the header of a WAV stream, understood byte by byte as it arrives.
 *
 * A program that writes a WAV file into a pipe cannot come back to fill in the lengths, so those are believed only where
 * they can be meant.  Chunks in front of the audio are skipped; what stands behind it is not looked at.
 * Sources: Microsoft/IBM "Multimedia Programming Interface" 1.0, "WAVE_FORMAT_EXTENSIBLE", EBU Tech 3306 (RF64). */
#ifndef CONURE_AUDIO_WAV_HEADER_H
#define CONURE_AUDIO_WAV_HEADER_H

#include "conure.h"

#define CONURE_WAV_CHUNKS_MAX 256        /* in front of the audio */
#define CONURE_WAV_SKIP_MAX   (16 << 20) /* their bytes together: room for a picture */

typedef struct conure_wav_header {
    /* Out, once it is complete. */
    uint32_t rate_hz, n_channels; /* any values: the caller checks their range */
    uint32_t sample_bytes;        /* 1 (unsigned), 2, 3, 4 */
    bool is_float;                /* of 4 */
    uint64_t data_bytes;          /* of audio; UINT64_MAX: until the stream ends */
    /* Where it stands; all zero at the beginning. */
    int state;
    uint64_t long_bytes;          /* RF64: of the audio */
    bool is_rf64, has_format, has_long;
    uint64_t skip;                /* bytes to go past */
    uint64_t taken;               /* bytes so far */
    uint32_t n_chunks, chunk_bytes;
    uint32_t n_part, part_bytes;  /* of part: there, wanted */
    uint8_t part[40];             /* the piece that is being collected */
} conure_wav_header;

/* Take bytes.
 *
 *   n_used  out: bytes of the header among them; once OK is returned the rest is audio
 *
 * Returns OK (complete), NEED_AUDIO (all were taken, more must come), BAD_FILE, UNSUPPORTED (an encoding that is neither
 * PCM of 8 to 32 bits nor float of 32).  Cost: O(n). */
conure_status conure_wav_header_take(conure_wav_header *header, const uint8_t *data, size_t n, size_t *n_used,
                                     conure_error *err);

#endif

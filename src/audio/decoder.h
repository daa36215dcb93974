/* decoder.h - bytes of one audio file to interleaved float frames at the file's own rate. */
#ifndef CONURE_AUDIO_DECODER_H
#define CONURE_AUDIO_DECODER_H

#include <nettle/md5.h>
#include <sndfile.h>

#include "audio/audio.h"
#include "audio/bytes.h"
#include "audio/container.h"

typedef struct conure_decoder {
    conure_bytes bytes; /* opened by the caller before conure_decoder_open(); owned from there */
    conure_container container;
    SNDFILE *file;       /* NULL for raw PCM */
    uint64_t size_shown; /* the size that libsndfile is told, see conure_decoder_open() */
    conure_audio_raw raw;
    uint64_t frames_expected; /* what the decoder itself announced; CONURE_FRAMES_UNKNOWN */
    uint8_t *raw_block;       /* [RAW_BLOCK_BYTES] */
    struct md5_ctx md5;       /* of the samples so far, when the container has one */
    uint32_t n_channels;
} conure_decoder;

/* Fills info's facts of the file.  Statuses of conure_audio_open().  On failure, close it. */
conure_status conure_decoder_open(conure_decoder *decoder, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err);
void conure_decoder_close(conure_decoder *decoder);

/* Up to cap frames of n_channels samples; *n = 0 at the end, and then info->damaged is final.
 * Counts info->frames_decoded. */
conure_status conure_decoder_read(conure_decoder *decoder, conure_audio_info *info, float *dst,
                                  size_t cap, size_t *n, conure_error *err);

#endif

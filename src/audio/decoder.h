/* decoder.h - bytes of one audio file to interleaved float frames at the file's own rate. */
#ifndef CONURE_AUDIO_DECODER_H
#define CONURE_AUDIO_DECODER_H

#include <nettle/md5.h>

#include "audio/audio.h"
#include "audio/bytes.h"
#include "audio/container.h"

/* Samples as they lie in raw PCM, or in the data of a WAV stream. */
typedef struct conure_pcm {
    uint32_t sample_bytes; /* 1 (unsigned), 2, 3, 4; 0: libsndfile decodes */
    bool is_float;         /* of 4 */
    uint64_t left_bytes;   /* of a declared length; CONURE_FRAMES_UNKNOWN: until the end */
    bool past_end;         /* what comes behind them was looked at */
    uint8_t *block;        /* [PCM_BLOCK_BYTES] */
    size_t n_held;         /* bytes in it that were read and not used yet */
} conure_pcm;

#define PCM_BLOCK_BYTES 65536 /* holds a frame of any number of channels */

typedef struct conure_decoder {
    conure_bytes bytes; /* opened by the caller before conure_decoder_open(); owned from there */
    conure_container container;
    void *file;          /* of decoder_sndfile.c; NULL for PCM that is read here */
    uint64_t size_shown; /* the size that libsndfile is told, see decoder_sndfile.c */
    conure_pcm pcm;
    uint64_t frames_expected; /* what the decoder itself announced; CONURE_FRAMES_UNKNOWN */
    struct md5_ctx md5;       /* of the samples so far, when the container has one */
    uint32_t n_channels;
} conure_decoder;

/* Fills info's facts of the file.  Statuses of conure_audio_open().  On failure, close it. */
conure_status conure_decoder_open(conure_decoder *decoder, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err);
void conure_decoder_close(conure_decoder *decoder);

/* Up to cap frames of n_channels samples; *n = 0 at the end, and then info->damaged is final.  some: do not wait
 * for more than one.
 * Counts info->frames_decoded. */
conure_status conure_decoder_read(conure_decoder *decoder, conure_audio_info *info, float *dst,
                                  size_t cap, bool some, size_t *n, conure_error *err);

/* What is wrong, if nothing was said before: the first is nearest the cause. */
__attribute__((format(printf, 2, 3))) void conure_audio_note(conure_audio_info *info, const char *format, ...);
/* UNSUPPORTED when a rate or a number of channels is out of range. */
conure_status conure_decoder_check(const conure_bytes *bytes, long long rate_hz, long long n_channels, conure_error *err);

const char *conure_container_name(conure_container_kind kind); /* "WAV", "FLAC" ... */

/* ---- decoder_sndfile.c, or decoder_plain.c in builds without libsndfile */

/* What the container holds; fills info's rate, channels and format.  UNSUPPORTED, BAD_FILE, and what reading its bytes gives. */
conure_status conure_decoded_open(conure_decoder *decoder, conure_audio_info *info, conure_error *err);
size_t conure_decoded_read(conure_decoder *decoder, float *dst, size_t cap); /* frames; 0 at the end */
const char *conure_decoded_error(const conure_decoder *decoder);             /* what ended it early; NULL: nothing did */
void conure_decoded_close(conure_decoder *decoder);                          /* harmless when nothing was opened */

/* ---- decoder_pcm.c */

conure_status conure_pcm_open_raw(conure_decoder *decoder, const conure_audio_options *options,
                                  conure_audio_info *info, conure_error *err);
/* Whether what was not read yet starts as a WAV stream does. */
bool conure_pcm_is_wav(conure_decoder *decoder);
/* Read its header as it comes. */
conure_status conure_pcm_open_wav(conure_decoder *decoder, conure_audio_info *info, conure_error *err);
size_t conure_pcm_read(conure_decoder *decoder, conure_audio_info *info, float *dst, size_t cap, bool some);

#endif

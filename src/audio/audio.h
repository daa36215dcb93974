/* audio.h - audio files, pipes and raw PCM to float32 at one rate.
 *
 * WAV (RIFF, RIFX, RF64; integer, float, and what else libsndfile decodes in them), AIFF and AIFF-C,
 * FLAC, Ogg Vorbis and Opus, MP3; and PCM without a header.  The content decides, not the name.
 *
 * Samples: integer PCM is scaled by 2^-(bits - 1).  Float samples, and what Vorbis, Opus and MP3
 * decoders give beyond +-1, are neither clipped nor rescaled.  Audio that has the asked rate passes
 * through without any arithmetic but the mixing of channels; other rates are resampled by libsoxr
 * (docs/performance/audio.md).  Non-finite samples are refused.  Builds without these libraries (CONURE_AUDIO_LIBRARIES=OFF) read
 * WAV (RIFF, RF64; PCM, float) and raw samples, from its beginning to its end, and resample between 8 and 192 kHz.
 *
 * Damage: what a file says of itself is checked against what it holds: lengths, the chain of
 * chunks, pages or frames, what follows the audio, what the decoder gave.  A file that contradicts
 * itself is refused when nothing of it can be decoded; otherwise the samples are used and
 * info->damaged says so: look at it after the last read (or conure_audio_load()).
 * Beyond that only checksums tell, where a format has them: docs/audio.md says what stays unseen.
 *
 * Threads: one thread at a time on one object.  libsndfile keeps the reason of a failed open in a
 * global: when two threads fail to open at once, a reason may be the other's; nothing else is shared.
 * Quiet, but for libmpg123, which notes damage in MP3 data on stderr and cannot be told not to; as it
 * tells its caller nothing, the data is checked before it sees it (mp3_side.h). */
#ifndef CONURE_AUDIO_AUDIO_H
#define CONURE_AUDIO_AUDIO_H

#include "conure.h"

#define CONURE_AUDIO_RATE_MIN_HZ  100 /* libsndfile makes 1 Hz of some headers that say 0 */
#define CONURE_AUDIO_RATE_MAX_HZ  768000
#define CONURE_AUDIO_CHANNELS_MAX 256

/* options.channel: one of these, or a channel counted from 0. */
#define CONURE_AUDIO_MIX  (-1) /* the mean of all channels */
#define CONURE_AUDIO_EACH (-2) /* every channel by itself */

typedef enum conure_audio_raw {
    CONURE_AUDIO_HEADER = 0, /* not raw: the file says what it is */
    CONURE_AUDIO_S16LE = 1,
    CONURE_AUDIO_F32LE = 2,
} conure_audio_raw;

typedef struct conure_audio_options {
    int32_t channel;            /* CONURE_AUDIO_MIX */
    uint32_t rate_hz;           /* of the output, in the same range; 16000 */
    uint32_t keep_min_hz, keep_max_hz; /* a file of a rate between these is not resampled; 0, 0: none */
    conure_audio_raw raw;       /* PCM without a header ... */
    uint32_t raw_rate_hz;       /* ... at this rate, CONURE_AUDIO_RATE_MIN_HZ .. _MAX_HZ; 16000 */
    uint32_t raw_channels;      /* ... with this many interleaved channels; 1 */
    bool live;                  /* WAV from a pipe is read as it comes, if it is PCM or float, and without a look at
                                   what follows its audio; other formats are read whole first all the same */
    uint64_t samples_max;       /* output samples of a channel: more is LIMIT; 24 h */
    uint64_t spool_bytes_max;   /* of a pipe that must be kept in memory: more is LIMIT; 1 GiB */
    const volatile int *cancel; /* NULL, or a flag that ends a call with CANCELLED once not 0 */
    const volatile int *end;    /* NULL, or a flag that ends a pipe or a terminal once not 0, as if its
                                   writer had closed it; what it holds by then is still read */
} conure_audio_options;

typedef struct conure_audio_info {
    uint32_t rate_hz;         /* of the file */
    uint32_t rate_out_hz;     /* of what read() gives */
    uint32_t n_channels;      /* of the file */
    uint32_t n_channels_out;  /* of what read() gives: 1, or n_channels with CONURE_AUDIO_EACH */
    char format[96];          /* e.g. "WAV, signed 16 bit PCM" */
    uint64_t frames_declared; /* at the file's rate; UINT64_MAX when the file does not say */
    uint64_t frames_decoded;  /* so far */
    bool damaged;
    char damage[320]; /* what is wrong, without the file's name; "" when nothing is */
} conure_audio_info;

typedef struct conure_audio conure_audio;

void conure_audio_options_init(conure_audio_options *options);

/* "mix", "each", or a channel counted from 1 as people do.  False: none of these. */
bool conure_audio_parse_channel(const char *text, int32_t *channel);

/* Open a file, or standard input for "-" (or any pipe by its path): raw PCM is read as it comes; a
 * pipe of any other format is read to its end first, into memory, as its decoders seek.
 *
 *   options  NULL: defaults; with .live the header of a pipe is waited for
 *
 * Returns OK; IO (not to be read: absent, a folder, no permission), BAD_FILE (damaged beyond use),
 * UNSUPPORTED (not an audio format that is read here; rate or channels out of range), BAD_ARG
 * (options; no such channel), LIMIT, NO_MEMORY, CANCELLED.  Texts name the file and the way out. */
conure_status conure_audio_open(conure_audio **out, const char *path,
                                const conure_audio_options *options, conure_error *err);

/* The same for bytes in memory, which must stay until close; name is for messages. */
conure_status conure_audio_open_memory(conure_audio **out, const void *data, size_t bytes,
                                       const char *name, const conure_audio_options *options,
                                       conure_error *err);
void conure_audio_close(conure_audio **audio); /* NULL-safe; sets *audio to NULL */

const conure_audio_info *conure_audio_get_info(const conure_audio *audio); /* belongs to it */

/* Up to cap more frames, n_channels_out interleaved samples each; *n = 0 is the end.
 * Returns OK; BAD_AUDIO (a non-finite sample, named with its position), BAD_FILE (nothing at all could
 * be decoded of a damaged file), IO, LIMIT, NO_MEMORY, CANCELLED.  After a failure the object can
 * only be closed. */
conure_status conure_audio_read(conure_audio *audio, float *dst, size_t cap, size_t *n,
                                conure_error *err);

/* The same, but it does not wait for more than there is of a pipe: at least one frame, or the end. */
conure_status conure_audio_read_some(conure_audio *audio, float *dst, size_t cap, size_t *n,
                                     conure_error *err);

/* A whole file.  pcm [n_channels][n_samples], one channel after the other. */
typedef struct conure_audio_clip {
    float *pcm; /* NULL when there are no samples */
    uint64_t n_samples;
    uint32_t n_channels;
    conure_audio_info info;
} conure_audio_clip;

/* Status as of open and read.  Memory grows with what is decoded, not with what the file declares. */
conure_status conure_audio_load(conure_audio_clip *out, const char *path,
                                const conure_audio_options *options, conure_error *err);
/* The same of an open one: stops when more than samples_max frames were read, which the clip then holds, without *ended.
 * What is left can be read on. */
conure_status conure_audio_fill(conure_audio_clip *out, conure_audio *audio, uint64_t samples_max, bool *ended,
                                conure_error *err);
void conure_audio_clip_free(conure_audio_clip *clip); /* NULL-safe */

/* More than WAV and raw samples can be read.  And what decodes and resamples, for people: a library and its version, or that there is none; static. */
bool conure_audio_has_decoders(void);
const char *conure_audio_decoder(void);
const char *conure_audio_resampler(void);

#endif

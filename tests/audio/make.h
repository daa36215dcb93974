/* make.h - audio files in memory, written by libsndfile, for tests. */
#ifndef CONURE_TESTS_AUDIO_MAKE_H
#define CONURE_TESTS_AUDIO_MAKE_H

#include <sndfile.h>
#include <stdint.h>

#include "audio/audio.h"

typedef struct made {
    uint8_t *data; /* owned */
    size_t bytes, cap;
    size_t position;
} made;

/* samples [n][n_channels]; format as for libsndfile. */
made make_file(int format, int rate_hz, int n_channels, const float *samples, size_t n);
void made_free(made *m);

/* sin(2 pi hz i / rate_hz) * amplitude; to be freed. */
float *make_sine(double hz, double rate_hz, double amplitude, size_t n);

/* Write bytes to a file of the working folder; its path, static until the next call. */
const char *make_on_disk(const char *name, const void *data, size_t bytes);

/* Everything that reading gives, from a copy of exact size (reads past its end are caught); pcm is
 * interleaved and to be freed. */
typedef struct heard {
    conure_status status;
    conure_error err;
    conure_audio_info info;
    float *pcm;
    size_t n;
} heard;

heard hear(const void *data, size_t bytes, const conure_audio_options *options);
void heard_free(heard *h);

#endif

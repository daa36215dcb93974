/* clearance.h - what the commands that measure engines have in common. */
#ifndef CONURE_CLI_CLEARANCE_H
#define CONURE_CLI_CLEARANCE_H

#include "clearance/parity.h"

/* Features of audio files, each normalised over itself, one after the other.
 *   mel     out: [n_mel][mel_bins]; freed by free()
 *   sha256  [65] out: of these floats
 * Status as conure_audio_load(). */
conure_status conure_clearance_mel(const conure_model *model, char *const *files, int n_files, float **mel, uint64_t *n_mel, char *sha256,
                                   conure_error *err);

/* Progress of chunks with the time that remains; a bool (*)(void *, uint64_t, uint64_t). */
typedef struct conure_clearance_progress {
    const char *what;
    double start_s;
    uint64_t first; /* chunks that were done before */
} conure_clearance_progress;
bool conure_clearance_show(void *progress, uint64_t done, uint64_t all);

/* A result as JSON: printed, when print is set, and written to the file out, unless that is NULL.  json NULL: NO_MEMORY. */
conure_status conure_clearance_write(const json_t *json, bool print, const char *out, conure_error *err);

/* What could not be judged: says why, gives the exit status. */
int conure_clearance_fail(conure_status status, const conure_error *err);

#endif

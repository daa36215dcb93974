/* running.h - normalisation of log-mel features where no window has all of them: by mean and deviation of what
 * was heard so far.  Our own design (NeMo has none that is streaming-safe, spec 1.4).
 *
 * Every frame counts once and is forgotten with a time constant, so that another speaker or microphone is
 * followed.  The deviation starts from a prior, so that the first words after silence are not blown up. */
#ifndef CONURE_FEATURES_RUNNING_H
#define CONURE_FEATURES_RUNNING_H

#include "base/memory.h"
#include "conure.h"

typedef struct conure_running {
    double *sums;   /* [2][mel_bins]: weighted sums of values and squares */
    double weight;  /* of all frames so far */
    uint32_t mel_bins;
} conure_running;

conure_status conure_running_open(conure_running *running, uint32_t mel_bins, conure_error *err);
void conure_running_close(conure_running *running);
void conure_running_reset(conure_running *running);

/* Count n frames [n][mel_bins], in order. */
void conure_running_add(conure_running *running, const float *frames, uint64_t n);
/* dst = (frames - mean) / (deviation + 1e-5) of what was counted; dst may be frames.  Without any frame: zeros. */
void conure_running_normalize(const conure_running *running, const float *frames, uint64_t n, float *dst);

void conure_running_save(const conure_running *running, conure_buffer *buffer);
void conure_running_load(conure_running *running, conure_reader *reader);

#endif

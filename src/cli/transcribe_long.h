/* transcribe_long.h - a recording of any length in constant memory: through buffered sessions, one for each channel, in
 * windows that keep some audio of both sides.  Only the tokens are kept, 16 bytes each, and made into a result at the end. */
#ifndef CONURE_CLI_TRANSCRIBE_LONG_H
#define CONURE_CLI_TRANSCRIBE_LONG_H

#include "audio/audio.h"
#include "conure.h"

typedef struct conure_long_job {
    conure_recognizer *recognizer;
    conure_session_options session;
    const char *file;         /* for messages */
    const volatile int *end;  /* NULL, or a flag that ends the input once not 0, where the windows are */
    /* Called now and then: how much was read, and of what; UINT64_MAX: not known. */
    void (*progress)(void *user, uint64_t n_samples, uint64_t n_samples_all);
    /* Called once the input has ended, before the last words are flushed. */
    void (*ended)(void *user, uint64_t n_samples);
    void *user;
} conure_long_job;

/* Transcribe what is left of an open audio at the recognizer's rate, behind what was read of it already.
 *
 *   head     the beginning; its samples are freed as soon as they were taken, n_samples becomes that of all
 *   results  [head->n_channels] out: to be freed with conure_result_free(); NULL on failure
 *
 * Returns OK; what reading, opening a session (LIMIT: a window does not fit the memory limit) and stepping give.  Texts name
 * the file. */
conure_status conure_transcribe_long(const conure_long_job *job, conure_audio *audio, conure_audio_clip *head,
                                     conure_result **results, conure_error *err);

#endif

/* transcribe.h - from a list of audio files to a sink: loading, batching, failing one by one. */
#ifndef CONURE_CLI_TRANSCRIBE_H
#define CONURE_CLI_TRANSCRIBE_H

#include "audio/audio.h"
#include "cli/sink.h"
#include "conure.h"

/* What the progress line says of the files at hand. */
typedef struct conure_transcribe_progress {
    char label[256];
    double start_s; /* when the pass that is running began */
    bool windows;   /* it is made of many: their own fractions say nothing */
} conure_transcribe_progress;

/* A conure_progress_fn for the recognizer; user is a conure_transcribe_progress. */
bool conure_transcribe_show(void *user, double fraction);

typedef struct conure_transcribe_job {
    conure_recognizer *recognizer;
    const char *model_name, *model_sha256; /* for formats that tell them, else NULL */
    conure_audio_options audio;  /* samples_max is set by conure_transcribe_files() */
    conure_session_options session; /* for what is too long for one pass */
    const char *contexts;        /* its windows, as they are called */
    bool stream;                 /* take everything for too long */
    conure_sink *sink;
    uint32_t batch;              /* utterances in one pass at most */
    conure_transcribe_progress *progress;
    /* out */
    uint32_t n_good, n_damaged, n_failed; /* files; damaged ones are among the good */
    double audio_s;
} conure_transcribe_job;

/* The session's windows fit into one piece; of others it says why not when it is opened. */
bool conure_transcribe_windows_fit(const conure_transcribe_job *job);

/* Transcribe files in their order.  A file that cannot be used is told on standard error and counted; the
 * others go on.  Returns OK also then; IO when the sink failed; NO_MEMORY; CANCELLED: also when
 * conure_input_ended has ended a stream, after what came of it was transcribed and written. */
conure_status conure_transcribe_files(conure_transcribe_job *job, char *const *files, int n_files,
                                      conure_error *err);

#endif

/* sink.h - where transcripts go: standard output, or one file each in a folder. */
#ifndef CONURE_CLI_SINK_H
#define CONURE_CLI_SINK_H

#include "cli/output.h"

typedef struct conure_sink {
    conure_output_format format;
    const char *folder; /* NULL: standard output */
    bool timestamps;
    bool several;       /* more than one input: text gets labels, JSON is an array */
    bool each;          /* every channel has a transcript of its own */
    uint32_t n_written; /* array elements so far */
} conure_sink;

/* The name that an input's transcript gets: its file's name without folder and ending, "stdin" for "-",
 * ".chN" with a channel, and the format's ending.  False when it does not fit. */
bool conure_sink_name(char *out, size_t cap, const char *file, int channel,
                      conure_output_format format);

/* ---- sink_check.c */

/* Make the folder, after seeing that no two inputs would be written to one file and that none would be
 * replaced by a transcript.  BAD_ARG names both, and nothing was written; IO; NO_MEMORY. */
conure_status conure_sink_prepare(const conure_sink *sink, char *const *files, int n_files,
                                  conure_error *err);

/* BAD_ARG, with the reason, when this input's transcript can have no name in the folder. */
conure_status conure_sink_place(const conure_sink *sink, const char *file, conure_error *err);

/* ---- sink.c */

conure_status conure_sink_begin(conure_sink *sink);
/* IO: the output could not be written; more would not help.  err stays empty when that is standard output, of
 * which main() tells when it closes it. */
conure_status conure_sink_write(conure_sink *sink, const conure_transcript *transcript,
                                conure_error *err);
conure_status conure_sink_end(conure_sink *sink);

#endif

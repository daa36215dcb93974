/* parity.h - what command_parity.c and parity_audio.c share. */
#ifndef CONURE_CLI_PARITY_H
#define CONURE_CLI_PARITY_H

#include "cli/comparison.h"

typedef struct conure_parity_settings {
    conure_comparison_settings compared;
    const char *tolerances, *precision, *out, *series;
    uint64_t n_chunks;
    int mode;
    bool json;
} conure_parity_settings;

/* Mode audio: transcripts of whole files by both engines.  Fills *summary (json_decref() it; NULL only without memory) and
 * *verdict; OK, or why it could not be judged. */
conure_status conure_parity_audio(const conure_parity_settings *settings, const conure_model *model, char *const *files, int n_files,
                                  json_t **summary, conure_verdict *verdict, conure_error *err);

#endif

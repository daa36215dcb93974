/* hotwords.h - the two options of commands that take a list of hotwords. */
#ifndef CONURE_CLI_HOTWORDS_H
#define CONURE_CLI_HOTWORDS_H

#include "conure.h"

typedef struct conure_hotword_settings {
    const char *file; /* NULL: none */
    double score;     /* negative: not given */
} conure_hotword_settings;

/* NULL, or why these do not go together. */
const char *conure_hotword_settings_check(const conure_hotword_settings *settings);

/* *out is NULL without a file.  Errors name the file. */
conure_status conure_hotword_settings_open(conure_hotwords **out, const conure_hotword_settings *settings,
                                           const conure_model *model, conure_error *err);

#define CONURE_HOTWORD_OPTIONS(member) \
    {.kind = CONURE_OPTION_TEXT, .name = "hotwords", .value = "FILE", .complete = CONURE_COMPLETE_FILE, \
     .offset = offsetof(settings, member.file), \
     .help = "prefer the phrases of a text file, one a line as the model writes them, where the model is unsure; " \
             "behind a tab a line may have a score of its own"}, \
    {.kind = CONURE_OPTION_REAL, .name = "hotword-score", .value = "X", .offset = offsetof(settings, member.score), \
     .help = "how much a hotword may cost: 0 to 100; more finds more, also what was not said (default: 8)"}

#endif

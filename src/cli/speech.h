/* speech.h - recordings that show how large a model's values become: for the scales of int8, and for layers that overflow float16. */
#ifndef CONURE_CLI_SPEECH_H
#define CONURE_CLI_SPEECH_H

#include "onnx/observe.h"

typedef struct conure_speech {
    conure_utterance *utterances; /* of each file */
    uint32_t n;
    char sha256[65]; /* of all features in order; "": of none */
} conure_speech;

/* Of audio files, and of those in folders that have an ending of audio, by name.  BAD_ARG: a folder without, a file without a frame, or of silence; LIMIT: a file of more than a
 * minute; otherwise as conure_audio_load(). */
conure_status conure_speech_load(conure_speech *out, const conure_model *model, char *const *paths, int n, conure_error *err);
void conure_speech_free(conure_speech *speech); /* {0} is fine */

#endif

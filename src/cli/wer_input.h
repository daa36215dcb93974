/* wer_input.h - reading references and hypotheses, and pairing them.
 *
 * A file is told apart by its content:
 *   JSON         an object or a list of objects (what `conure transcribe --format json` writes), or one
 *                object a line (NeMo's manifests); keys audio_filepath, file, audio or path name the
 *                utterance, and text holds what was said; in a hypothesis pred_text goes before text
 *   TSV          a first line with tabs that names the columns; the same names
 *   plain text   anything else: one utterance a line, no names */
#ifndef CONURE_CLI_WER_INPUT_H
#define CONURE_CLI_WER_INPUT_H

#include "conure.h"

#define CONURE_WER_FILE_BYTES_MAX ((size_t)64 << 20)
#define CONURE_UTTERANCES_MAX     (1u << 20)

typedef struct conure_utterance {
    char *key;   /* the audio file's name; NULL: not named */
    char *text;
    size_t line; /* where it was found: a line, or in a JSON list its number, from 1 */
} conure_utterance;

typedef struct conure_utterances {
    conure_utterance *items;
    uint32_t n, cap;
    bool keyed; /* every one has a key */
} conure_utterances;

/* Parse bytes of data; errors start with name and, where one is known, the line.
 *
 *   field       the key or column that holds the text; NULL: pred_text (hypotheses only), then text
 *   hypothesis  an object with "error" and no text is left out: a file that could not be transcribed
 *
 * Returns OK, BAD_FILE, LIMIT, NO_MEMORY; *out is to be freed either way. */
conure_status conure_utterances_parse(conure_utterances *out, const char *name, const char *data,
                                      size_t bytes, const char *field, bool hypothesis,
                                      conure_error *err);
/* The same from a file. */
conure_status conure_utterances_read(conure_utterances *out, const char *path, const char *field,
                                     bool hypothesis, conure_error *err);
void conure_utterances_free(conure_utterances *utterances);

#define CONURE_UTTERANCE_MISSING UINT32_MAX

/* Find the hypothesis of each reference: by the name of the audio file when both files have names, by
 * line otherwise (then both must have as many).  Names are compared without folder and ending, unless that
 * makes two of one file equal: then as they are.
 *
 *   matches  out [reference->n]: index into hypothesis, or CONURE_UTTERANCE_MISSING
 *   n_extra  out: hypotheses that no reference asked for
 *
 * Returns OK, BAD_FILE (names that occur twice, unequal line counts), NO_MEMORY. */
conure_status conure_utterances_match(uint32_t *matches, uint32_t *n_extra,
                                      const conure_utterances *reference,
                                      const conure_utterances *hypothesis, conure_error *err);

#endif

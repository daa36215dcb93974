/* output.h - a transcript as text, JSON, SRT, WebVTT or TSV.
 *
 * Every writer is a pure function from a transcript to a buffer: UTF-8, numbers with a point whatever
 * the locale, lines ended by \n.  The caller checks buffer.failed once. */
#ifndef CONURE_CLI_OUTPUT_H
#define CONURE_CLI_OUTPUT_H

#include "base/memory.h"
#include "conure.h"

typedef enum conure_output_format {
    CONURE_OUTPUT_TEXT = 0,
    CONURE_OUTPUT_JSON,
    CONURE_OUTPUT_SRT,
    CONURE_OUTPUT_VTT,
    CONURE_OUTPUT_TSV,
} conure_output_format;

/* Names and file endings in the enum's order, NULL at the end. */
extern const char *const conure_output_names[];
extern const char *const conure_output_endings[];

/* One input's outcome; nothing in it is owned. */
typedef struct conure_transcript {
    const char *file;             /* as the user named it; need not be UTF-8 */
    int channel;                  /* 1 .. n with --channel each, else 0 */
    const conure_result *result;  /* NULL: this input failed, and error says why */
    const char *error;
    const char *const *warnings;
    uint32_t n_warnings;
    const char *model_name, *model_sha256;
} conure_transcript;

/* Append one whole transcript in a format.  label: text lines start with "FILE: " (several inputs).
 * timestamps: text has one line a segment, with its times. */
void conure_output_write(conure_buffer *out, conure_output_format format, const conure_transcript *t,
                         bool label, bool timestamps);

void conure_output_text(conure_buffer *out, const conure_transcript *t, bool label, bool timestamps);
/* One JSON object in the shape of OpenAI's verbose_json, without a newline after it. */
void conure_output_json(conure_buffer *out, const conure_transcript *t);
void conure_output_srt(conure_buffer *out, const conure_transcript *t);
void conure_output_vtt(conure_buffer *out, const conure_transcript *t);
void conure_output_tsv(conure_buffer *out, const conure_transcript *t);

/* ---- output_cues.c */

#define CONURE_CUE_CHARACTERS 84 /* two lines of 42, what subtitle guides agree on */
#define CONURE_CUE_S 7.0

typedef struct conure_cue {
    uint32_t first_word, n_words;
    double start_s, end_s;
} conure_cue;

/* Split the result's segments into cues of at most CONURE_CUE_CHARACTERS and CONURE_CUE_S each (one word that
 * exceeds them stays whole).  Returns false when out of memory; *cues is freed by free(). */
bool conure_cues_split(const conure_result *result, conure_cue **cues, uint32_t *n_cues);

/* ---- output.c */

/* Append text as valid UTF-8 in one line: broken sequences become U+FFFD, and what conure_is_control() a space. */
void conure_output_clean(conure_buffer *out, const char *text);
/* The same into a new string, NULL without memory. */
char *conure_clean_copy(const char *text);

/* Milliseconds, rounded, never negative; not-a-number gives 0. */
uint64_t conure_output_ms(double seconds);
/* "01:02:03.456" with the given mark before the milliseconds; hours may need more digits. */
void conure_output_clock(conure_buffer *out, double seconds, char mark);
/* Characters (code points) of UTF-8 text. */
uint32_t conure_characters(const char *text);

#endif

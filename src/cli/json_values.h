/* json_values.h - what transcripts and events have in common as JSON values.  A value is NULL without memory, which jansson's
 * packing and conure_value_dump() pass on. */
#ifndef CONURE_CLI_JSON_VALUES_H
#define CONURE_CLI_JSON_VALUES_H

#include <jansson.h>

#include "base/memory.h"
#include "conure.h"

/* Rounded to the decimals that mean something; null when it is not finite. */
json_t *conure_value_number(double value, double places);
json_t *conure_value_seconds(double value);    /* times are multiples of a frame; 1e-6 s */
json_t *conure_value_confidence(double value); /* float32: six decimals */
json_t *conure_value_text(const char *value);  /* made valid UTF-8 without control characters; null for NULL */
json_t *conure_value_word(const conure_word *word);   /* word, start, end, confidence */
json_t *conure_value_token(const conure_token *token); /* id, frame, duration, text, confidence */

/* Append a value in one line and give it up. */
void conure_value_dump(conure_buffer *out, json_t *json);

#endif

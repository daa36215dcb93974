/* quote.h - bytes of a hostile file made safe to stand in an error text. */
#ifndef CONURE_MODEL_QUOTE_H
#define CONURE_MODEL_QUOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copy text into out (cap >= 8), with control characters and bytes past ASCII as \xNN and "..."
 * where it did not fit; always terminated.  Returns out. */
const char *conure_quote(char *out, size_t cap, const void *text, size_t bytes);

/* The character of UTF-8 at text, of which left > 0 bytes are left, and how many bytes it takes; -1 and one byte where there is none. */
int32_t conure_character(const char *text, size_t left, size_t *bytes);

/* Moves a terminal's cursor (C0, DEL, C1), ends a line (U+2028, U+2029), or turns text around so that it looks like another (overrides and
 * isolates of direction).  Not the joiners and marks of direction that honest Persian and Hebrew names hold. */
bool conure_is_control(int32_t code);
bool conure_has_controls(const char *text); /* in UTF-8; a C1 as a byte counts too */

#endif

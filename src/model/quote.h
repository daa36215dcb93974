/* quote.h - bytes of a hostile file made safe to stand in an error text. */
#ifndef CONURE_MODEL_QUOTE_H
#define CONURE_MODEL_QUOTE_H

#include <stdbool.h>
#include <stddef.h>

/* Copy text into out (cap >= 8), with control characters and bytes past ASCII as \xNN and "..."
 * where it did not fit; always terminated.  Returns out. */
const char *conure_quote(char *out, size_t cap, const void *text, size_t bytes);
bool conure_has_controls(const char *text); /* holds a control character of ASCII, DEL included */

#endif

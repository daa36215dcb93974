/* plain.h - texts from outside as plain text: for formats that have no escapes of their own, and for JSON. */
#ifndef CONURE_CLEARANCE_PLAIN_H
#define CONURE_CLEARANCE_PLAIN_H

#include "base/memory.h"

/* Append text as valid UTF-8: control characters, line ends among them, marks that turn the direction of writing and whatever is no UTF-8
 * become U+FFFD; at most chars_max characters (0: all), then an ellipsis.  NULL: nothing. */
void conure_plain_text(conure_buffer *out, const char *text, size_t chars_max);

#endif

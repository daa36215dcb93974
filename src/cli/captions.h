/* captions.h - live text on a terminal: final text stays, what may still change stands behind it and is drawn anew.
 *
 * Lines are broken here, between words and before the last column, so that it is always known where the cursor is.  Only what
 * may change is erased: tentative text, and the last final word as long as it may grow.  Pure: all goes into a buffer. */
#ifndef CONURE_CLI_CAPTIONS_H
#define CONURE_CLI_CAPTIONS_H

#include "base/memory.h"

typedef struct conure_captions {
    uint32_t columns, rows; /* of the terminal; may change between calls */
    bool styles;            /* tentative text is dim */
    /* Zero at the beginning. */
    conure_buffer pending;  /* final text whose last word may grow */
    uint32_t column;        /* of the cursor behind the text that stays */
    uint32_t n_drawn;       /* line breaks in what is drawn behind it */
    bool drawn;
} conure_captions;

/* Final text to be appended, and the tentative text behind it; both without control characters. */
void conure_captions_show(conure_captions *captions, conure_buffer *out, const char *final, const char *tentative);
/* Erase what may change; the next show draws it again. */
void conure_captions_hide(conure_captions *captions, conure_buffer *out);
/* The line is complete: what is pending stays, and the cursor goes to the next line unless it stands at the beginning of one. */
void conure_captions_end(conure_captions *captions, conure_buffer *out);
void conure_captions_free(conure_captions *captions);

#endif

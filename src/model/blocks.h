/* blocks.h - memory that lives as long as its owner: many blocks, one call to free them all. */
#ifndef CONURE_MODEL_BLOCKS_H
#define CONURE_MODEL_BLOCKS_H

#include <stddef.h>

/* A zeroed block aligned to 64 bytes, chained to *arena (NULL at first); NULL when memory is short or
 * bytes is absurd.  0 bytes give a valid pointer that must not be read. */
void *conure_block_alloc(void **arena, size_t bytes);

/* A copy of text[0 .. bytes) with a NUL behind it; NULL when memory is short. */
char *conure_block_text(void **arena, const char *text, size_t bytes);

void conure_blocks_free(void **arena); /* all of them; sets *arena to NULL; NULL-safe */

#endif

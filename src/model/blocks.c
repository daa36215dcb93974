/* blocks.c - a chain of blocks; each starts with a line that points to the one before it. */
#include "model/blocks.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* One alignment unit, so that what follows it is aligned too. */
typedef union block {
    union block *next;
    char line[CONURE_ALIGN];
} block;

void *conure_block_alloc(void **arena, size_t bytes)
{
    size_t whole;
    if (!conure_add(bytes, sizeof(block), &whole))
        return NULL;
    block *head = conure_alloc_aligned(whole);
    if (!head)
        return NULL;
    memset(head, 0, whole);
    head->next = *arena;
    *arena = head;
    return head + 1;
}

char *conure_block_text(void **arena, const char *text, size_t bytes)
{
    size_t whole;
    char *copy = conure_add(bytes, 1, &whole) ? conure_block_alloc(arena, whole) : NULL;
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

void conure_blocks_free(void **arena)
{
    if (!arena)
        return;
    for (block *head = *arena, *next; head; head = next) {
        next = head->next;
        free(head);
    }
    *arena = NULL;
}

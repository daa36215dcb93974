/* split.h - cutting element-wise work into items for the pool. */
#ifndef CONURE_BACKEND_SPLIT_H
#define CONURE_BACKEND_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/* An item of this many elements takes some 2 to 10 us: long against handing it out (under 1 us),
 * short against a frame's work, so that threads finish together. */
#define CONURE_SPLIT_ELEMENTS 16384u

/* Rows in one item, at least 1. */
static inline uint32_t conure_split_rows(size_t elements_per_row)
{
    if (elements_per_row == 0 || elements_per_row >= CONURE_SPLIT_ELEMENTS)
        return 1;
    return (uint32_t)(CONURE_SPLIT_ELEMENTS / elements_per_row);
}

static inline uint32_t conure_split_items(uint32_t rows, uint32_t rows_per_item)
{
    return rows / rows_per_item + (rows % rows_per_item != 0);
}

#endif

/* memory.h - allocation with overflow checks, aligned blocks, growing buffers, and arenas. */
#ifndef CONURE_BASE_MEMORY_H
#define CONURE_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONURE_ALIGN 64 /* one cache line, one AVX-512 register, one AMX tile row */

bool conure_mul(size_t a, size_t b, size_t *out); /* false on overflow */
bool conure_add(size_t a, size_t b, size_t *out);

/* True when [offset, offset + bytes) lies within total; cannot overflow.  Every span that a file
 * names passes here. */
bool conure_span_inside(uint64_t offset, uint64_t bytes, uint64_t total);

void *conure_calloc(size_t count, size_t elem_bytes); /* zeroed; NULL on overflow or no memory */
void *conure_alloc_aligned(size_t bytes);             /* CONURE_ALIGN, not zeroed; free with free() */
char *conure_strdup(const char *text);
char *conure_strndup(const char *text, size_t bytes);

/* A byte buffer that grows by doubling.  {0} is an empty one. */
typedef struct conure_buffer {
    char *data; /* NUL-terminated once anything was added */
    size_t bytes, cap;
    bool failed; /* an append could not allocate; later appends do nothing: check once at the end */
} conure_buffer;

void conure_buffer_add(conure_buffer *buffer, const void *data, size_t bytes);
void conure_buffer_text(conure_buffer *buffer, const char *text);
__attribute__((format(printf, 2, 3))) void conure_buffer_format(conure_buffer *buffer,
                                                                const char *format, ...);
void conure_buffer_free(conure_buffer *buffer);

/* Reading back what a buffer collected: snapshots.  Bytes are hostile, sizes checked. */
typedef struct conure_reader {
    const uint8_t *data;
    size_t bytes, at;
    bool failed; /* a read went beyond the end; it and later ones give zeros: check once at the end */
} conure_reader;

void conure_read(conure_reader *reader, void *dst, size_t bytes);
/* The next bytes where they lie, unaligned; NULL beyond the end. */
const void *conure_read_span(conure_reader *reader, size_t bytes);

/* Room for the temporaries of one step: taken in order, given back all at once by restoring the mark.
 *     const size_t mark = arena->used;  ... conure_arena_take(...) ...;  arena->used = mark; */
typedef struct conure_arena {
    uint8_t *base; /* aligned to CONURE_ALIGN; owned */
    size_t cap, used, peak;
} conure_arena;

bool conure_arena_init(conure_arena *arena, size_t bytes);
bool conure_arena_reserve(conure_arena *arena, size_t bytes); /* grow; only while used == 0 */
/* count elements, aligned, uninitialised; NULL when full or on overflow.  Under ASan the gap after
 * each take is poisoned. */
void *conure_arena_take(conure_arena *arena, size_t count, size_t elem_bytes);
void conure_arena_free(conure_arena *arena);

#endif

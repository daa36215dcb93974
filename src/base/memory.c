/* memory.c - sizes that cannot overflow, and the two ways memory grows here: buffers and arenas. */
#include "base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes)   ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#endif

/* ---- sizes ----------------------------------------------------------------------------------- */

bool conure_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool conure_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

bool conure_span_inside(uint64_t offset, uint64_t bytes, uint64_t total)
{
    return offset <= total && bytes <= total - offset;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Nothing is asked for with size 0, whose answer may be NULL. */

void *conure_calloc(size_t count, size_t elem_bytes)
{
    size_t bytes;
    if (!conure_mul(count, elem_bytes, &bytes))
        return NULL;
    return calloc(bytes ? bytes : 1, 1);
}

void *conure_alloc_aligned(size_t bytes)
{
    void *memory = NULL;
    return posix_memalign(&memory, CONURE_ALIGN, bytes ? bytes : 1) == 0 ? memory : NULL;
}

char *conure_strdup(const char *text)
{
    return conure_strndup(text, strlen(text));
}

char *conure_strndup(const char *text, size_t bytes)
{
    size_t with_end;
    const size_t n = strnlen(text, bytes);
    char *copy = conure_add(n, 1, &with_end) ? malloc(with_end) : NULL;
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

/* ---- buffer ---------------------------------------------------------------------------------- */

/* Room for `bytes` more and the NUL. */
static bool buffer_room(conure_buffer *buffer, size_t bytes)
{
    size_t need, cap = buffer->cap ? buffer->cap : 64;
    if (buffer->failed)
        return false;
    if (!conure_add(buffer->bytes, bytes, &need) || !conure_add(need, 1, &need))
        return !(buffer->failed = true);
    if (buffer->data && need <= buffer->cap)
        return true;
    while (cap < need)
        if (!conure_mul(cap, 2, &cap))
            cap = need;
    char *grown = realloc(buffer->data, cap);
    if (!grown)
        return !(buffer->failed = true);
    buffer->data = grown;
    buffer->cap = cap;
    return true;
}

void conure_buffer_add(conure_buffer *buffer, const void *data, size_t bytes)
{
    if (!buffer_room(buffer, bytes))
        return;
    if (bytes)
        memcpy(buffer->data + buffer->bytes, data, bytes);
    buffer->bytes += bytes;
    buffer->data[buffer->bytes] = '\0';
}

void conure_buffer_text(conure_buffer *buffer, const char *text)
{
    conure_buffer_add(buffer, text, strlen(text));
}

void conure_buffer_format(conure_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        buffer->failed = true;
    if (n < 0 || !buffer_room(buffer, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(buffer->data + buffer->bytes, (size_t)n + 1, format, args);
    va_end(args);
    buffer->bytes += (size_t)n;
}

const void *conure_read_span(conure_reader *reader, size_t bytes)
{
    if (reader->failed || bytes > reader->bytes - reader->at) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *span = reader->data + reader->at;
    reader->at += bytes;
    return span;
}

void conure_read(conure_reader *reader, void *dst, size_t bytes)
{
    const void *span = conure_read_span(reader, bytes);
    if (span && bytes)
        memcpy(dst, span, bytes);
    else if (bytes)
        memset(dst, 0, bytes);
}

void conure_buffer_free(conure_buffer *buffer)
{
    free(buffer->data);
    *buffer = (conure_buffer){0};
}

/* ---- arena ----------------------------------------------------------------------------------- */

/* `used` moves in whole lines of CONURE_ALIGN, so what lies there is aligned. */
static bool round_to_line(size_t bytes, size_t *rounded)
{
    if (!conure_add(bytes, CONURE_ALIGN - 1, rounded))
        return false;
    *rounded -= *rounded % CONURE_ALIGN;
    return true;
}

bool conure_arena_init(conure_arena *arena, size_t bytes)
{
    *arena = (conure_arena){0};
    return conure_arena_reserve(arena, bytes);
}

bool conure_arena_reserve(conure_arena *arena, size_t bytes)
{
    size_t cap;
    assert(arena->used == 0);
    if (arena->base && bytes <= arena->cap)
        return true;
    if (!round_to_line(bytes, &cap))
        return false;
    uint8_t *base = conure_alloc_aligned(cap);
    if (!base)
        return false;
    const size_t peak = arena->peak;
    conure_arena_free(arena);
    *arena = (conure_arena){.base = base, .cap = cap, .peak = peak};
    ASAN_POISON_MEMORY_REGION(base, cap);
    return true;
}

void *conure_arena_take(conure_arena *arena, size_t count, size_t elem_bytes)
{
    size_t bytes, lines;
    if (!conure_mul(count, elem_bytes, &bytes) || !round_to_line(bytes, &lines))
        return NULL;
    if (!arena->base || lines > arena->cap - arena->used)
        return NULL;
    uint8_t *taken = arena->base + arena->used;
    arena->used += lines;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    /* What follows is out of bounds for this take: the rest of its last line, and the next line until
     * that is taken in its turn (it may hold what was taken before a mark was restored). */
    const size_t left = arena->cap - arena->used;
    ASAN_UNPOISON_MEMORY_REGION(taken, bytes);
    ASAN_POISON_MEMORY_REGION(taken + bytes, lines - bytes + (left ? CONURE_ALIGN : 0));
    return taken;
}

void conure_arena_free(conure_arena *arena)
{
    if (arena->base)
        ASAN_UNPOISON_MEMORY_REGION(arena->base, arena->cap);
    free(arena->base);
    *arena = (conure_arena){0};
}

/* Overflow checks, buffers, and arenas with their marks, peak and (under ASan) poison. */
#include "base/memory.h"

#include "test.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

static void test_sizes(void)
{
    size_t n = 0;
    test_true(conure_mul(0, SIZE_MAX, &n) && n == 0);
    test_true(conure_mul(SIZE_MAX, 1, &n) && n == SIZE_MAX);
    test_true(conure_mul((size_t)1 << 32, ((size_t)1 << 32) - 1, &n));
    test_true(!conure_mul((size_t)1 << 32, (size_t)1 << 32, &n));
    test_true(!conure_mul(SIZE_MAX, 2, &n));
    test_true(conure_add(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
    test_true(!conure_add(SIZE_MAX, 1, &n));

    test_true(conure_span_inside(0, 0, 0));
    test_true(conure_span_inside(10, 0, 10));
    test_true(conure_span_inside(3, 7, 10));
    test_true(!conure_span_inside(3, 8, 10));
    test_true(!conure_span_inside(11, 0, 10));
    test_true(!conure_span_inside(5, UINT64_MAX, 10));
    test_true(!conure_span_inside(UINT64_MAX, UINT64_MAX, 10));
    test_true(conure_span_inside(0, UINT64_MAX, UINT64_MAX));
}

static void test_blocks(void)
{
    test_true(conure_calloc(SIZE_MAX / 2, 4) == NULL);
    char *zeroed = conure_calloc(33, 7), *empty = conure_calloc(0, 8);
    test_true(zeroed && empty);
    for (int i = 0; zeroed && i < 33 * 7; i++)
        if (zeroed[i])
            test_int(zeroed[i], 0);
    free(zeroed);
    free(empty);
    for (size_t bytes = 0; bytes < 300; bytes += 37) {
        void *block = conure_alloc_aligned(bytes);
        test_true(block && (uintptr_t)block % CONURE_ALIGN == 0);
        if (block)
            memset(block, 1, bytes);
        free(block);
    }
    char *whole = conure_strdup("h\xC3\xA9"), *part = conure_strndup("abcdef", 3);
    char *longer = conure_strndup("ab", 100), *none = conure_strndup("ab", 0);
    test_text(whole, "h\xC3\xA9");
    test_text(part, "abc");
    test_text(longer, "ab");
    test_text(none, "");
    free(whole);
    free(part);
    free(longer);
    free(none);
}

static void test_reader(void)
{
    conure_buffer buffer = {0};
    uint32_t number = 7, got = 0;
    conure_buffer_add(&buffer, &number, sizeof number);
    conure_buffer_text(&buffer, "text");
    conure_reader reader = {.data = (const uint8_t *)buffer.data, .bytes = buffer.bytes};
    conure_read(&reader, &got, sizeof got);
    test_int(got, 7);
    test_true(memcmp(conure_read_span(&reader, 4), "text", 4) == 0);
    test_true(conure_read_span(&reader, 0) != NULL && !reader.failed);
    got = 9;
    conure_read(&reader, &got, sizeof got); /* beyond the end: zeros, and every later read too */
    test_true(got == 0 && reader.failed && conure_read_span(&reader, 0) == NULL);
    reader = (conure_reader){.data = (const uint8_t *)buffer.data, .bytes = buffer.bytes, .at = 1};
    test_true(conure_read_span(&reader, SIZE_MAX) == NULL && reader.failed);
    conure_buffer_free(&buffer);
}

static void test_buffer(void)
{
    conure_buffer buffer = {0};
    conure_buffer_add(&buffer, NULL, 0);
    test_text(buffer.data, "");
    for (int i = 0; i < 1000; i++)
        conure_buffer_format(&buffer, "%03d,", i);
    test_int(buffer.bytes, 4000);
    test_int(strlen(buffer.data), 4000);
    test_true(buffer.cap > buffer.bytes && strncmp(buffer.data + 3996, "999,", 5) == 0);
    conure_buffer_text(&buffer, "end");
    conure_buffer_add(&buffer, "\0z", 2);
    test_int(buffer.bytes, 4005);
    test_text(buffer.data + 4000, "end");
    test_text(buffer.data + 4004, "z");
    test_true(!buffer.failed);
    conure_buffer_free(&buffer);
    test_true(!buffer.data && !buffer.bytes && !buffer.cap);

    conure_buffer_text(&buffer, "kept");
    conure_buffer_add(&buffer, "x", SIZE_MAX - 2); /* size overflows before anything is read */
    test_true(buffer.failed);
    conure_buffer_text(&buffer, "more");
    conure_buffer_format(&buffer, "%d", 1);
    test_int(buffer.bytes, 4);
    test_text(buffer.data, "kept");
    conure_buffer_free(&buffer);
    test_true(!buffer.failed);
}

static void test_arena(void)
{
    conure_arena arena;
    test_true(conure_arena_init(&arena, 1000)); /* 16 lines */
    test_int(arena.cap, 1024);
    float *a = conure_arena_take(&arena, 3, sizeof *a);
    const size_t mark = arena.used;
    uint8_t *b = conure_arena_take(&arena, 65, 1);
    test_true(a && b && (uintptr_t)a % CONURE_ALIGN == 0 && (uintptr_t)b % CONURE_ALIGN == 0);
    test_true((uint8_t *)a + 64 == b);
    memset(a, 1, 3 * sizeof *a);
    memset(b, 2, 65);
    test_int(arena.used, 64 + 128);
    test_true(conure_arena_take(&arena, 833, 1) == NULL); /* one byte more than 13 lines */
    test_int(arena.used, 64 + 128);
    test_true(conure_arena_take(&arena, SIZE_MAX / 2, 4) == NULL);
    test_true(conure_arena_take(&arena, SIZE_MAX, 1) == NULL);
    uint8_t *rest = conure_arena_take(&arena, 832, 1);
    test_true(rest != NULL);
    if (rest)
        memset(rest, 3, 832);
    test_true(conure_arena_take(&arena, 1, 1) == NULL);
    test_int(arena.peak, 1024);
    arena.used = mark;
    test_true(conure_arena_take(&arena, 65, 1) == b);
    test_int(arena.peak, 1024);
    arena.used = 0;
    test_true(conure_arena_reserve(&arena, 512) && arena.cap == 1024); /* never smaller */
    test_true(conure_arena_reserve(&arena, 4096) && arena.cap == 4096 && arena.used == 0);
    test_true(!conure_arena_reserve(&arena, SIZE_MAX) && arena.cap == 4096);
    uint8_t *all = conure_arena_take(&arena, 4096, 1);
    test_true(all != NULL);
    if (all)
        memset(all, 4, 4096);
    test_int(arena.peak, 4096);
    conure_arena_free(&arena);
    test_true(!arena.base && conure_arena_take(&arena, 1, 1) == NULL);
    conure_arena_free(&arena);
    test_true(conure_arena_init(&arena, 0) && conure_arena_take(&arena, 1, 1) == NULL);
    conure_arena_free(&arena);
}

#ifdef WITH_ASAN
static void test_poison(void)
{
    conure_arena arena;
    test_true(conure_arena_init(&arena, 1024));
    test_true(__asan_address_is_poisoned(arena.base));
    uint8_t *a = conure_arena_take(&arena, 40, 1);
    test_true(!__asan_address_is_poisoned(a + 39) && __asan_address_is_poisoned(a + 40));
    uint8_t *b = conure_arena_take(&arena, 128, 1);
    test_true(__asan_address_is_poisoned(a + 63) && !__asan_address_is_poisoned(b));
    test_true(!__asan_address_is_poisoned(b + 127) && __asan_address_is_poisoned(b + 128));
    arena.used = 0; /* a restored mark: what is taken again has new bounds */
    uint8_t *c = conure_arena_take(&arena, 50, 1);
    test_true(c == a && !__asan_address_is_poisoned(c + 49) && __asan_address_is_poisoned(c + 50));
    test_true(__asan_address_is_poisoned(c + 64));
    conure_arena_free(&arena);
}
#endif

int main(void)
{
    test_begin("base_memory");
    test_sizes();
    test_blocks();
    test_buffer();
    test_reader();
    test_arena();
#ifdef WITH_ASAN
    test_poison();
#endif
    return test_end();
}

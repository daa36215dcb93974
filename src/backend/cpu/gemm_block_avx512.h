/* gemm_block_avx512.h - the register block of every AVX-512 product.  f32, bf16 and int8 differ in one
 * instruction only: each multiplies 4 bytes of a row (1, 2 or 4 inputs), repeated over a register,
 * with one line of a panel (64 bytes, 16 outputs).  The file that includes this defines
 *
 *   SUM            type of one sum: float or int32_t
 *   VECTOR         16 of them: __m512 or __m512i
 *   LOAD, STORE    masked, (mask, pointer) and (pointer, mask, vector)
 *   STEP(s, x, w)  s + x * w with x, w as __m512i
 *
 * A block is up to 6 rows by 4 panels: 24 sums, 4 lines and 1 input fill 29 of 32 registers, and each
 * step takes 10 loads to 24 products.  Zen 4 starts one 512-bit product a cycle and loads one line a
 * cycle, Intel's servers two and two; in both the products set the pace.  docs/performance/products.md
 * has the other shapes that were tried. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/unroll.h"

#define BLOCK_ROWS    6
#define ALONE_ROWS    3 /* up to so many are limited by memory: one panel at a time */
#define BLOCK_PANELS  4
#define LINE_BYTES    64
#define GROUP_COLUMNS (BLOCK_PANELS * 16)
#define ALWAYS        static inline __attribute__((always_inline))

typedef struct block_in {
    SUM *c;
    size_t ldc;
    const char *a; /* first row */
    size_t row_bytes;
    const char *panels; /* first line of the first panel */
    size_t panel_bytes; /* from a panel to the next */
    size_t lines;       /* >= 1 */
    __mmask16 last;     /* lanes of the last panel that exist */
    const SUM *start;   /* sums begin as c when NULL; else as start[column], for all rows */
    size_t ahead_bytes; /* from a line of the first panel to what is to be prefetched with it */
} block_in;

/* rows and panels are constants where this is inlined.  Three rows share a pointer, so that all of
 * them stay in registers; the empty asm keeps the compiler from making one pointer a row. */
ALWAYS void block(const block_in *in, const int rows, const int panels)
{
    VECTOR s[BLOCK_ROWS][BLOCK_PANELS];
    const size_t ld = in->row_bytes, pb = in->panel_bytes;
    const char *a0 = in->a, *a3 = in->a + (rows > 3 ? 3 * ld : 0);
    const char *w = in->panels, *const end = in->panels + in->lines * LINE_BYTES;
    UNROLL
    for (int i = 0; i < rows; i++) {
        const SUM *from = in->start ? in->start : in->c + (size_t)i * in->ldc;
        UNROLL
        for (int j = 0; j < panels; j++)
            s[i][j] = LOAD(j == panels - 1 ? in->last : (__mmask16)0xffff, from + (size_t)j * 16);
    }
    do {
        __m512i line[BLOCK_PANELS];
        UNROLL
        for (int j = 0; j < panels; j++)
            line[j] = _mm512_loadu_si512(w + (size_t)j * pb);
        _mm_prefetch(w + in->ahead_bytes, _MM_HINT_T1);
        UNROLL
        for (int i = 0; i < rows; i++) {
            int32_t bits;
            __builtin_memcpy(&bits, (i < 3 ? a0 : a3) + (size_t)(i % 3) * ld, sizeof bits);
            const __m512i x = _mm512_set1_epi32(bits);
            UNROLL
            for (int j = 0; j < panels; j++)
                s[i][j] = STEP(s[i][j], x, line[j]);
        }
        w += LINE_BYTES;
        a0 += 4;
        a3 += 4;
        __asm__("" : "+r"(a0), "+r"(a3));
    } while (w != end);
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int j = 0; j < panels; j++)
            STORE(in->c + (size_t)i * in->ldc + (size_t)j * 16,
                  j == panels - 1 ? in->last : (__mmask16)0xffff, s[i][j]);
    }
}

typedef void (*block_fn)(const block_in *in);

#define BLOCK(rows, panels)                                                                        \
    static void block_##rows##x##panels(const block_in *in)                                        \
    {                                                                                              \
        block(in, rows, panels);                                                                   \
    }
#define BLOCKS(rows) BLOCK(rows, 1) BLOCK(rows, 2) BLOCK(rows, 3) BLOCK(rows, 4)
BLOCKS(1)
BLOCKS(2)
BLOCKS(3)
BLOCKS(4)
BLOCKS(5)
BLOCKS(6)

#define NAMES(rows)                                                                                \
    {                                                                                              \
        block_##rows##x1, block_##rows##x2, block_##rows##x3, block_##rows##x4                     \
    }
static const block_fn blocks[BLOCK_ROWS][BLOCK_PANELS] = {NAMES(1), NAMES(2), NAMES(3),
                                                          NAMES(4), NAMES(5), NAMES(6)};

/* All rows of one group of panels: blocks of nearly equal height, so that none is a sliver.  The first
 * blocks each prefetch a panel of what comes next_bytes later: weights that come from memory are in
 * the second-level cache by then, which the processor's own prefetching of so many streams at once
 * does not achieve. */
static void group_rows(block_in in, size_t m, size_t panels, size_t next_bytes)
{
    const size_t whole = (m + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const size_t n_blocks = whole < 2 && m > ALONE_ROWS ? 2 : whole;
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t rows = m / n_blocks + (b < m % n_blocks);
        in.ahead_bytes = n_blocks > 1 && b < panels ? next_bytes + b * in.panel_bytes : 0;
        blocks[rows - 1][panels - 1](&in);
        in.c += rows * in.ldc;
        in.a += rows * in.row_bytes;
    }
}

/* One group of up to 4 panels, lines_max lines at a time: so many stay in the second-level cache and
 * those of 6 rows in the first.  c holds the sums between, which changes no bit. */
static void group_lines(const block_in *all, size_t m, size_t panels, size_t lines_max)
{
    const size_t group_bytes = panels * all->panel_bytes;
    block_in in = *all;
    for (size_t line = 0; line < all->lines; line += in.lines) {
        const size_t left = all->lines - line, done_bytes = line * LINE_BYTES;
        in.lines = left < lines_max ? left : lines_max;
        in.panels = all->panels + done_bytes;
        in.a = all->a + line * 4;
        group_rows(in, m, panels,
                   left > in.lines ? in.lines * LINE_BYTES : group_bytes - done_bytes);
        in.start = NULL;
    }
}

/* c[m][n] (+)= a * panels.  A few rows take one panel at a time, all of it: weights are then one
 * stream from memory, which the processor prefetches best by itself.  sums (or NULL): -128 times them is what int8
 * sums start as, because its rows carry + 128. */
static void products(const block_in *all, size_t m, size_t n, size_t lines_max, const int32_t *sums,
                     int accumulate)
{
    const size_t group = m > ALONE_ROWS ? GROUP_COLUMNS : 16;
    for (size_t first = 0; first < n; first += group) {
        const size_t width = n - first < group ? n - first : group;
        const size_t panels = (width + 15) / 16;
        SUM start[GROUP_COLUMNS] = {0};
        block_in in = *all;
        for (size_t j = 0; sums && j < width; j++)
            start[j] = (SUM)(int32_t)(-128u * (uint32_t)sums[first + j]);
        in.c += first;
        in.panels += first / 16 * all->panel_bytes;
        in.start = accumulate ? NULL : start;
        in.last = (__mmask16)(0xffffu >> (panels * 16 - width));
        group_lines(&in, m, panels, m > ALONE_ROWS ? lines_max : all->lines);
    }
}

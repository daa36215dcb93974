/* gemm_block_avx2.h - the register block of every product on 256-bit registers.  As in its AVX-512
 * twin the types differ in how 4 bytes of a row meet a line of a panel (64 bytes, 16 outputs, here two
 * halves).  Types that must be widened take a line in two passes.  The file that includes this defines
 *
 *   SUM, VECTOR      float and __m256, or int32_t and __m256i
 *   LOAD(p), STORE(p, v)
 *   PASSES           1 or 2
 *   LINE(w, pass)    what this pass takes of half a line, __m256i
 *   INPUT(x, pass)   the same of the input, 4 bytes repeated
 *   STEP(s, x, w)    s + x * w
 *
 * A block is up to 6 rows by one panel: 12 sums, 2 halves and an input fill 15 of 16 registers. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "backend/cpu/unroll.h"

#define BLOCK_ROWS 6
#define COLUMNS    16
#define LINE_BYTES 64
#define ALWAYS     static inline __attribute__((always_inline))

typedef struct block_in {
    SUM *c; /* at least 16 columns */
    size_t ldc;
    const char *a;
    size_t row_bytes;
    const char *panel; /* first line */
    size_t lines;      /* >= 1 */
    const SUM *start;  /* sums begin as c when NULL; else as start[column], for all rows */
} block_in;

/* rows is a constant where this is inlined.  Three rows share a pointer, so that all of them stay in
 * registers; the empty asm keeps the compiler from making one pointer a row, and between passes from
 * keeping what it loaded, for which there are no registers. */
ALWAYS void block(const block_in *in, const int rows)
{
    VECTOR s[BLOCK_ROWS][2];
    const size_t ld = in->row_bytes;
    const char *a0 = in->a, *a3 = in->a + (rows > 3 ? 3 * ld : 0);
    const char *w = in->panel, *const end = in->panel + in->lines * LINE_BYTES;
    UNROLL
    for (int i = 0; i < rows; i++) {
        const SUM *from = in->start ? in->start : in->c + (size_t)i * in->ldc;
        s[i][0] = LOAD(from);
        s[i][1] = LOAD(from + 8);
    }
    do {
        UNROLL
        for (int pass = 0; pass < PASSES; pass++) {
            const __m256i v0 = LINE(_mm256_loadu_si256((const __m256i *)w), pass);
            const __m256i v1 =
                LINE(_mm256_loadu_si256((const __m256i *)(w + LINE_BYTES / 2)), pass);
            UNROLL
            for (int i = 0; i < rows; i++) {
                int32_t bits;
                memcpy(&bits, (i < 3 ? a0 : a3) + (size_t)(i % 3) * ld, sizeof bits);
                const __m256i x = INPUT(_mm256_set1_epi32(bits), pass);
                s[i][0] = STEP(s[i][0], x, v0);
                s[i][1] = STEP(s[i][1], x, v1);
            }
            if (pass + 1 < PASSES)
                __asm__("" : "+r"(a0), "+r"(a3), "+r"(w));
        }
        w += LINE_BYTES;
        a0 += 4;
        a3 += 4;
        __asm__("" : "+r"(a0), "+r"(a3));
    } while (w != end);
    UNROLL
    for (int i = 0; i < rows; i++) {
        STORE(in->c + (size_t)i * in->ldc, s[i][0]);
        STORE(in->c + (size_t)i * in->ldc + 8, s[i][1]);
    }
}

typedef void (*block_fn)(const block_in *in);

#define BLOCK(rows)                                                                                \
    static void block_##rows(const block_in *in)                                                   \
    {                                                                                              \
        block(in, rows);                                                                           \
    }
BLOCK(1)
BLOCK(2)
BLOCK(3)
BLOCK(4)
BLOCK(5)
BLOCK(6)

static const block_fn blocks[BLOCK_ROWS] = {block_1, block_2, block_3, block_4, block_5, block_6};

/* A block of the last panel, which has fewer than 16 columns in c: through a full-width copy. */
static void block_narrow(block_in in, size_t rows, size_t width)
{
    SUM wide[BLOCK_ROWS * COLUMNS] = {0};
    SUM *const c = in.c;
    const size_t ldc = in.ldc;
    in.c = wide;
    in.ldc = COLUMNS;
    for (size_t i = 0; !in.start && i < rows; i++)
        memcpy(wide + i * COLUMNS, c + i * ldc, width * sizeof *c);
    blocks[rows - 1](&in);
    for (size_t i = 0; i < rows; i++)
        memcpy(c + i * ldc, wide + i * COLUMNS, width * sizeof *c);
}

/* All rows of one panel: blocks of nearly equal height, so that none is a sliver. */
static void panel_rows(block_in in, size_t m, size_t width)
{
    const size_t n_blocks = (m + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t rows = m / n_blocks + (b < m % n_blocks);
        if (width < COLUMNS)
            block_narrow(in, rows, width);
        else
            blocks[rows - 1](&in);
        in.c += rows * in.ldc;
        in.a += rows * in.row_bytes;
    }
}

/* c[m][n] (+)= a * panels, lines_max lines at a time: so many of a panel stay in the cache while the
 * rows pass.  c holds the sums between, which changes no bit.  sums (or NULL): -128 times them is what
 * int8 sums start as, because its rows carry + 128. */
static void products(const block_in *all, size_t m, size_t n, size_t lines_max, const int32_t *sums,
                     int accumulate)
{
    for (size_t first = 0; first < n; first += COLUMNS) {
        const size_t width = n - first < COLUMNS ? n - first : COLUMNS;
        const char *panel = all->panel + first / COLUMNS * all->lines * LINE_BYTES;
        SUM start[COLUMNS] = {0};
        block_in in = *all;
        for (size_t j = 0; sums && j < width; j++)
            start[j] = (SUM)(int32_t)(-128u * (uint32_t)sums[first + j]);
        in.c += first;
        in.start = accumulate ? NULL : start;
        for (size_t line = 0; line < all->lines; line += in.lines) {
            in.lines = all->lines - line < lines_max ? all->lines - line : lines_max;
            in.panel = panel + line * LINE_BYTES;
            in.a = all->a + line * 4;
            panel_rows(in, m, width);
            in.start = NULL;
        }
    }
}

/* gemm_block_amx.h - the tile block of the AMX products.  int8 and bf16 differ in one instruction.  The
 * file that includes this defines
 *
 *   SUM                 type of one sum: float or int32_t
 *   MULTIPLY(c, a, b)   tiles by number: c += a * b
 *
 * A line of a panel is what one row of a tile holds, so 16 lines are a tile as they lie, and so are 64
 * bytes of 16 rows of the input.  A block is 2 tiles of rows by 2 panels: 4 tiles of sums (0 to 3), 2 of
 * rows (4, 5), 2 of lines (6, 7); it loads 4 tiles (8 cycles each) for 4 products (16 cycles each).
 *
 * The tiles are configured and released within a call: other threads and other code see none of it.
 * A test runs this file with tiles in memory (CONURE_TILES names a header that defines them). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(CONURE_TILES)
#include CONURE_TILES
#else
#include <immintrin.h>
#endif

#define TILE_ROWS   16
#define TILE_LINES  16
#define LINE_BYTES  64
#define PANEL_WIDTH 16

/* gcc 12 does not know that loading a tile reads memory: what was written to a local buffer for it must
 * be declared read. */
#define WRITTEN(buffer) __asm__ volatile("" ::"r"(buffer) : "memory")

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

typedef struct amx_in {
    SUM *c;
    size_t ldc;
    const char *a;
    size_t row_bytes;
    const char *panels;
    size_t lines; /* >= 1 */
    size_t n;
    const int32_t *sums; /* or NULL */
    int accumulate;
} amx_in;

/* Up to 32 rows by up to 2 panels. */
typedef struct amx_block {
    const char *a;
    const char *panel[2]; /* both the same when there is one */
    SUM *c;
    size_t rows[2]; /* of the two tiles of rows; the second may be 0 */
    size_t width[2];
    const int32_t *sums;
} amx_block;

/* rows[1] may be 0, but a tile may not: it gets one row, which is not used. */
static void configure(size_t rows0, size_t rows1)
{
    tile_config config = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        const size_t rows = tile >= 6 ? TILE_LINES : tile == 4 || tile < 2 ? rows0 : rows1;
        config.row_bytes[tile] = LINE_BYTES;
        config.rows[tile] = (uint8_t)(rows ? rows : 1);
    }
    WRITTEN(&config);
    _tile_loadconfig(&config);
}

/* One step of 16 lines; a0 and a1 are where the two tiles of rows begin. */
#define STEP(a0, a1, stride, b0, b1)                                                               \
    do {                                                                                           \
        _tile_loadd(6, b0, LINE_BYTES);                                                            \
        _tile_loadd(4, a0, stride);                                                                \
        MULTIPLY(0, 4, 6);                                                                         \
        _tile_loadd(7, b1, LINE_BYTES);                                                            \
        MULTIPLY(1, 4, 7);                                                                         \
        if (two) {                                                                                 \
            _tile_loadd(5, a1, stride);                                                            \
            MULTIPLY(2, 5, 6);                                                                     \
            MULTIPLY(3, 5, 7);                                                                     \
        }                                                                                          \
    } while (0)

/* The lines past the last whole tile, filled up with zeros on both sides. */
static void last_lines(const amx_in *in, const amx_block *b, size_t done)
{
    char rows[2 * TILE_ROWS][LINE_BYTES] = {{0}};
    char lines[2][TILE_LINES * LINE_BYTES] = {{0}};
    const size_t left = in->lines - done;
    const int two = b->rows[1] != 0;
    for (size_t i = 0; i < b->rows[0] + b->rows[1]; i++)
        memcpy(rows[i], b->a + i * in->row_bytes + done * 4, left * 4);
    memcpy(lines[0], b->panel[0] + done * LINE_BYTES, left * LINE_BYTES);
    memcpy(lines[1], b->panel[1] + done * LINE_BYTES, left * LINE_BYTES);
    WRITTEN(rows);
    WRITTEN(lines);
    STEP(rows[0], rows[TILE_ROWS], LINE_BYTES, lines[0], lines[1]);
}

/* 16 columns of c as a tile is laid out, to begin with what c holds. */
static void read_c(SUM tile[TILE_ROWS * PANEL_WIDTH], const amx_in *in, const amx_block *b, int row,
                   int panel)
{
    const SUM *c = b->c + (size_t)row * TILE_ROWS * in->ldc + (size_t)panel * PANEL_WIDTH;
    for (size_t i = 0; i < b->rows[row]; i++)
        memcpy(tile + i * PANEL_WIDTH, c + i * in->ldc, b->width[panel] * sizeof *c);
}

/* And back.  int8 rows carry + 128, which comes off here. */
static void write_c(const SUM tile[TILE_ROWS * PANEL_WIDTH], const amx_in *in, const amx_block *b,
                    int row, int panel)
{
    SUM *c = b->c + (size_t)row * TILE_ROWS * in->ldc + (size_t)panel * PANEL_WIDTH;
    SUM less[PANEL_WIDTH] = {0};
    for (size_t j = 0; b->sums && j < b->width[panel]; j++)
        less[j] = (SUM)(int32_t)(128u * (uint32_t)b->sums[(size_t)panel * PANEL_WIDTH + j]);
    for (size_t i = 0; i < b->rows[row]; i++)
        for (size_t j = 0; j < b->width[panel]; j++)
            c[i * in->ldc + j] = LESS(tile[i * PANEL_WIDTH + j], less[j]);
}

static void start_sums(const amx_in *in, const amx_block *b)
{
    if (!in->accumulate) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    SUM tile[4][TILE_ROWS * PANEL_WIDTH] = {{0}};
    for (int i = 0; i < 4; i++)
        read_c(tile[i], in, b, i / 2, i % 2);
    WRITTEN(tile);
    _tile_loadd(0, tile[0], LINE_BYTES);
    _tile_loadd(1, tile[1], LINE_BYTES);
    _tile_loadd(2, tile[2], LINE_BYTES);
    _tile_loadd(3, tile[3], LINE_BYTES);
}

static void block(const amx_in *in, const amx_block *b)
{
    SUM tile[4][TILE_ROWS * PANEL_WIDTH];
    const int two = b->rows[1] != 0;
    const size_t whole = in->lines - in->lines % TILE_LINES;
    start_sums(in, b);
    for (size_t line = 0; line < whole; line += TILE_LINES) {
        const char *a = b->a + line * 4;
        STEP(a, a + TILE_ROWS * in->row_bytes, in->row_bytes, b->panel[0] + line * LINE_BYTES,
             b->panel[1] + line * LINE_BYTES);
    }
    if (whole < in->lines)
        last_lines(in, b, whole);
    _tile_stored(0, tile[0], LINE_BYTES);
    _tile_stored(1, tile[1], LINE_BYTES);
    if (two) {
        _tile_stored(2, tile[2], LINE_BYTES);
        _tile_stored(3, tile[3], LINE_BYTES);
    }
    for (int i = 0; i < 4; i++)
        write_c(tile[i], in, b, i / 2, i % 2);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* c[m][n] (+)= a * panels. */
static void products(const amx_in *in, size_t m)
{
    const size_t panel_bytes = in->lines * LINE_BYTES;
    size_t configured[2] = {0, 0};
    for (size_t row = 0; row < m; row += 2 * TILE_ROWS) {
        amx_block b = {.a = in->a + row * in->row_bytes};
        b.rows[0] = least(m - row, TILE_ROWS);
        b.rows[1] = least(m - row - b.rows[0], TILE_ROWS);
        if (b.rows[0] != configured[0] || b.rows[1] != configured[1])
            configure(b.rows[0], b.rows[1]);
        memcpy(configured, b.rows, sizeof configured);
        for (size_t first = 0; first < in->n; first += 2 * PANEL_WIDTH) {
            b.width[0] = least(in->n - first, PANEL_WIDTH);
            b.width[1] = least(in->n - first - b.width[0], PANEL_WIDTH);
            b.panel[0] = in->panels + first / PANEL_WIDTH * panel_bytes;
            b.panel[1] = b.width[1] ? b.panel[0] + panel_bytes : b.panel[0];
            b.sums = in->sums ? in->sums + first : NULL;
            b.c = in->c + row * in->ldc + first;
            block(in, &b);
        }
    }
    if (m)
        _tile_release();
}

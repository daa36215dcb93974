/* tiles.h - the AMX tile instructions in plain C, as Intel's manual describes them, so that the kernels
 * written with them can be tested on processors that have none.  One thread only. */
#ifndef CONURE_TEST_TILES_H
#define CONURE_TEST_TILES_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { N_TILES = 8, TILE_ROWS_MAX = 16, TILE_ROW_BYTES_MAX = 64 };

typedef struct emulated_tiles {
    bool configured;
    uint16_t row_bytes[N_TILES];
    uint8_t rows[N_TILES];
    uint8_t data[N_TILES][TILE_ROWS_MAX][TILE_ROW_BYTES_MAX];
} emulated_tiles;

static emulated_tiles tiles_;

/* Each faults where the processor would. */
static inline void tile_usable(int tile)
{
    assert(tiles_.configured && tile >= 0 && tile < N_TILES && tiles_.rows[tile] > 0);
}

static inline void emulate_loadconfig(const void *memory)
{
    const uint8_t *bytes = memory;
    assert(bytes[0] == 1 && bytes[1] == 0);
    for (int i = 2; i < 16; i++)
        assert(bytes[i] == 0);
    memset(&tiles_, 0, sizeof tiles_);
    for (int i = 0; i < N_TILES; i++) {
        memcpy(&tiles_.row_bytes[i], bytes + 16 + 2 * i, 2);
        tiles_.rows[i] = bytes[48 + i];
        assert(tiles_.rows[i] <= TILE_ROWS_MAX && tiles_.row_bytes[i] <= TILE_ROW_BYTES_MAX);
        assert((tiles_.rows[i] == 0) == (tiles_.row_bytes[i] == 0));
    }
    for (int i = N_TILES; i < 16; i++)
        assert(bytes[16 + 2 * i] == 0 && bytes[17 + 2 * i] == 0 && bytes[48 + i] == 0);
    tiles_.configured = true;
}

static inline void emulate_zero(int tile)
{
    tile_usable(tile);
    memset(tiles_.data[tile], 0, sizeof tiles_.data[tile]);
}

static inline void emulate_loadd(int tile, const void *base, size_t stride)
{
    tile_usable(tile);
    emulate_zero(tile);
    for (size_t i = 0; i < tiles_.rows[tile]; i++)
        memcpy(tiles_.data[tile][i], (const char *)base + i * stride, tiles_.row_bytes[tile]);
}

static inline void emulate_stored(int tile, void *base, size_t stride)
{
    tile_usable(tile);
    for (size_t i = 0; i < tiles_.rows[tile]; i++)
        memcpy((char *)base + i * stride, tiles_.data[tile][i], tiles_.row_bytes[tile]);
}

static inline void product_usable(int c, int a, int b)
{
    tile_usable(a);
    tile_usable(b);
    tile_usable(c);
    assert(a != b && b != c && a != c);
    assert(tiles_.row_bytes[a] / 4 == tiles_.rows[b] && tiles_.rows[c] == tiles_.rows[a] &&
           tiles_.row_bytes[c] == tiles_.row_bytes[b]);
}

static inline void emulate_dpbusd(int c, int a, int b)
{
    product_usable(c, a, b);
    for (int m = 0; m < tiles_.rows[c]; m++)
        for (int k = 0; k < tiles_.rows[b]; k++)
            for (int n = 0; n < tiles_.row_bytes[c] / 4; n++) {
                int32_t sum;
                memcpy(&sum, &tiles_.data[c][m][4 * n], 4);
                for (int i = 0; i < 4; i++)
                    sum += tiles_.data[a][m][4 * k + i] * (int8_t)tiles_.data[b][k][4 * n + i];
                memcpy(&tiles_.data[c][m][4 * n], &sum, 4);
            }
}

static inline float emulated_half(const uint8_t *bytes)
{
    const uint32_t bits = (uint32_t)bytes[1] << 24 | (uint32_t)bytes[0] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The processor sums the even and the odd inputs apart; the bound of the tests covers any order. */
static inline void emulate_dpbf16ps(int c, int a, int b)
{
    product_usable(c, a, b);
    for (int m = 0; m < tiles_.rows[c]; m++)
        for (int n = 0; n < tiles_.row_bytes[c] / 4; n++) {
            float sum, even = 0, odd = 0;
            memcpy(&sum, &tiles_.data[c][m][4 * n], 4);
            for (int k = 0; k < tiles_.rows[b]; k++) {
                const uint8_t *x = &tiles_.data[a][m][4 * k], *w = &tiles_.data[b][k][4 * n];
                even += emulated_half(x) * emulated_half(w);
                odd += emulated_half(x + 2) * emulated_half(w + 2);
            }
            sum += even + odd;
            memcpy(&tiles_.data[c][m][4 * n], &sum, 4);
        }
}

static inline void emulate_release(void)
{
    memset(&tiles_, 0, sizeof tiles_);
}

#define _tile_loadconfig(memory)         emulate_loadconfig(memory)
#define _tile_zero(tile)                 emulate_zero(tile)
#define _tile_loadd(tile, base, stride)  emulate_loadd(tile, base, (size_t)(stride))
#define _tile_stored(tile, base, stride) emulate_stored(tile, base, (size_t)(stride))
#define _tile_dpbusd(c, a, b)            emulate_dpbusd(c, a, b)
#define _tile_dpbf16ps(c, a, b)          emulate_dpbf16ps(c, a, b)
#define _tile_release()                  emulate_release()

#endif

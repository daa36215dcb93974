/* mp3_side.c - see mp3_side.h.  Sources: ISO/IEC 11172-3, 2.4.1.7 and 2.4.2.7; 13818-3, 2.4.1.7 and
 * 2.4.3.2 (scale factors of the low sampling frequencies). */
#include "audio/mp3_side.h"

#include <string.h>

#define BIG_VALUES_MAX 288 /* pairs: 576 lines */

typedef struct bits {
    const uint8_t *data;
    uint32_t at;
} bits;

static uint32_t take(bits *b, uint32_t n)
{
    uint32_t value = 0;
    for (; n; n--, b->at++)
        value = value << 1 | (b->data[b->at / 8] >> (7 - b->at % 8) & 1u);
    return value;
}

typedef struct granule {
    uint32_t data_bits, big_values, scale_code;
    uint32_t tables[3], n_tables;
    uint32_t regions[2]; /* bands of the first and the second, less 1 */
    bool windowed, mixed;
    uint32_t block_type; /* 0: long windows, 2: three short ones */
} granule;

static granule read_granule(bits *b, bool version_1)
{
    granule g = {0};
    g.data_bits = take(b, 12);
    g.big_values = take(b, 9);
    take(b, 8); /* global gain: any */
    g.scale_code = take(b, version_1 ? 4 : 9);
    g.windowed = take(b, 1);
    if (g.windowed) {
        g.block_type = take(b, 2);
        g.mixed = take(b, 1);
    }
    g.n_tables = g.windowed ? 2 : 3;
    for (uint32_t i = 0; i < g.n_tables; i++)
        g.tables[i] = take(b, 5);
    if (g.windowed) {
        take(b, 9); /* the gains of three windows */
    } else {
        g.regions[0] = take(b, 4);
        g.regions[1] = take(b, 3);
    }
    take(b, version_1 ? 3 : 2); /* pre-emphasis, scale, table of the small values */
    return g;
}

/* Bits of the scale factors of version 1; shared: groups that the first granule's are used for. */
static uint32_t scale_bits_1(const granule *g, uint32_t shared)
{
    static const uint8_t lengths[16][2] = {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {3, 0}, {1, 1},
                                           {1, 2}, {1, 3}, {2, 1}, {2, 2}, {2, 3}, {3, 1},
                                           {3, 2}, {3, 3}, {4, 2}, {4, 3}};
    static const uint8_t bands[4] = {6, 5, 5, 5};
    const uint8_t *n = lengths[g->scale_code];
    uint32_t sum = 0;
    if (g->block_type == 2)
        return (g->mixed ? 17u : 18u) * n[0] + 18u * n[1];
    for (uint32_t i = 0; i < 4; i++)
        if (!(shared >> (3 - i) & 1))
            sum += bands[i] * n[i / 2];
    return sum;
}

/* The same of version 2, but for the right channel of intensity stereo. */
static uint32_t scale_bits_2(const granule *g)
{
    static const uint8_t bands[3][3][4] = {
        {{6, 5, 5, 5}, {9, 9, 9, 9}, {6, 9, 9, 9}},
        {{6, 5, 7, 3}, {9, 9, 12, 6}, {6, 9, 12, 6}},
        {{11, 10, 0, 0}, {18, 18, 0, 0}, {15, 18, 0, 0}},
    };
    const uint32_t code = g->scale_code, kind = code < 400 ? 0 : code < 500 ? 1 : 2;
    const uint32_t c = kind == 1 ? code - 400 : kind == 2 ? code - 500 : code;
    const uint32_t lengths[3][4] = {
        {(c >> 4) / 5, (c >> 4) % 5, c % 16 >> 2, c % 4},
        {(c >> 2) / 5, (c >> 2) % 5, c % 4, 0},
        {c / 3, c % 3, 0, 0},
    };
    const uint8_t *n = bands[kind][g->block_type != 2 ? 0 : g->mixed ? 2 : 1];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 4; i++)
        sum += n[i] * lengths[kind][i];
    return sum;
}

static const char *check_granule(const granule *g, uint32_t scale_bits)
{
    if (g->big_values > BIG_VALUES_MAX)
        return "it has more than 576 frequency lines";
    if (g->windowed && g->block_type == 0)
        return "its block type is reserved";
    for (uint32_t i = 0; g->big_values && i < g->n_tables; i++)
        if (g->tables[i] == 4 || g->tables[i] == 14)
            return "its code table is reserved";
    if (g->data_bits && scale_bits > g->data_bits)
        return "its scale factors are longer than its data";
    return NULL;
}

/* Lines below so many bands of long windows, at most 22 (ISO/IEC 11172-3 and 13818-3, table B.8). */
static uint32_t lines_below(uint32_t head, uint32_t n_bands)
{
    enum { K44, K48, K32, K22, K24, K8 };
    static const uint8_t widths[6][22] = {
        {4, 4, 4, 4, 4, 4, 6, 6, 8, 8, 10, 12, 16, 20, 24, 28, 34, 42, 50, 54, 76, 158},
        {4, 4, 4, 4, 4, 4, 6, 6, 6, 8, 10, 12, 16, 18, 22, 28, 34, 40, 46, 54, 54, 192},
        {4, 4, 4, 4, 4, 4, 6, 6, 8, 10, 12, 16, 20, 24, 30, 38, 46, 56, 68, 84, 102, 26},
        {6, 6, 6, 6, 6, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 38, 46, 52, 60, 68, 58, 54},
        {6, 6, 6, 6, 6, 6, 8, 10, 12, 14, 16, 18, 22, 26, 32, 38, 46, 54, 62, 70, 76, 36},
        {12, 12, 12, 12, 12, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 76, 90, 2, 2, 2, 2, 2},
    };
    static const uint8_t rows[4][3] = {{K22, K22, K8}, {0, 0, 0}, {K22, K24, K22}, {K44, K48, K32}};
    const uint8_t *width = widths[rows[head >> 19 & 3][head >> 10 & 3]];
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n_bands && i < 22; i++)
        sum += width[i];
    return sum;
}

/* Whether the large values end within their granule's data, from bit `at` to `end`. */
static bool values_fit(const mp3_codes *codes, uint32_t head, const granule *g, const uint8_t *data,
                       uint32_t at, uint32_t end)
{
    const bool is_short = g->block_type == 2;
    const uint32_t n_bands =
        g->windowed ? (is_short && (head >> 19 & 3) != 3 ? 6 : 8) : g->regions[0] + 1;
    uint32_t ends[3] = {lines_below(head, n_bands) / 2,
                        g->windowed ? BIG_VALUES_MAX
                                    : lines_below(head, n_bands + g->regions[1] + 1) / 2,
                        BIG_VALUES_MAX};
    for (uint32_t i = 0, pair = 0; i < 3 && pair < g->big_values; i++) {
        const uint32_t last = ends[i] < g->big_values ? ends[i] : g->big_values;
        if (!mp3_codes_fit(codes, data, &at, end, g->tables[i], last - pair))
            return false;
        pair = last;
    }
    return true;
}

size_t mp3_side_bytes(bool version_1, bool mono)
{
    return version_1 ? (mono ? 17 : 32) : (mono ? 9 : 17);
}

/* The fields of one frame. */
typedef struct frame_side {
    uint32_t back; /* bytes before the frame's own at which its data begins */
    uint32_t n_granules, data_bits;
    granule granules[4];
    uint32_t scale_bits[4];
    bool scale_known[4];
} frame_side;

static void read_side(frame_side *f, uint32_t head, const uint8_t *side)
{
    const bool version_1 = (head >> 19 & 3) == 3, mono = (head >> 6 & 3) == 3;
    const bool intensity = (head >> 6 & 3) == 1 && (head >> 4 & 1);
    const uint32_t n_channels = mono ? 1 : 2;
    uint32_t shared[2] = {0, 0};
    bits b = {side, 0};
    f->back = take(&b, version_1 ? 9 : 8);
    f->n_granules = (version_1 ? 2 : 1) * n_channels;
    f->data_bits = 0;
    take(&b, version_1 ? (mono ? 5 : 3) : n_channels); /* private bits */
    for (uint32_t channel = 0; version_1 && channel < n_channels; channel++)
        shared[channel] = take(&b, 4);
    for (uint32_t i = 0; i < f->n_granules; i++) {
        const uint32_t channel = i % n_channels;
        f->granules[i] = read_granule(&b, version_1);
        const granule *g = &f->granules[i];
        /* The right channel of intensity stereo has another table in version 2, mixed windows are
         * laid out in ways that differ: not looked into. */
        f->scale_known[i] = version_1 || (!(intensity && channel) && !g->mixed);
        f->scale_bits[i] = !f->scale_known[i] ? 0
                           : version_1 ? scale_bits_1(g, i < n_channels ? 0 : shared[channel])
                                       : scale_bits_2(g);
        f->data_bits += g->data_bits;
    }
}

/* Append a frame's data to what is held; the place in it where the frame begins. */
static size_t hold(mp3_reservoir *r, const uint8_t *data, size_t bytes)
{
    const size_t kept = r->n_held < MP3_BACK_BYTES_MAX ? r->n_held : MP3_BACK_BYTES_MAX;
    memmove(r->data, r->data + r->n_held - kept, kept);
    memcpy(r->data + kept, data, bytes);
    r->n_held = kept + bytes;
    r->written += bytes;
    return kept;
}

const char *mp3_side_check(mp3_reservoir *r, const mp3_codes *codes, uint32_t head,
                           const uint8_t *side, const uint8_t *data, size_t data_bytes)
{
    const size_t frame_at = hold(r, data, data_bytes);
    const uint64_t before = r->written - data_bytes;
    frame_side f;
    read_side(&f, head, side);
    /* A stream may begin in the middle of another: what is before its first byte is not known. */
    const bool is_known = f.back <= frame_at;
    const uint64_t start = is_known ? before - f.back : 0;
    const uint64_t end = is_known ? start + (f.data_bits + 7) / 8 : before;
    for (uint32_t i = 0; i < f.n_granules; i++) {
        const char *wrong = check_granule(&f.granules[i], f.scale_bits[i]);
        if (wrong)
            return wrong;
    }
    if (is_known && start < r->taken)
        return "its data begins within that of the frame before";
    if (end > r->written)
        return "it has fewer bytes than it counts";
    r->taken = end;
    uint32_t at = is_known ? 8 * (uint32_t)(frame_at - f.back) : 0;
    for (uint32_t i = 0; is_known && i < f.n_granules; at += f.granules[i].data_bits, i++)
        if (f.scale_known[i] && f.granules[i].data_bits &&
            !values_fit(codes, head, &f.granules[i], r->data, at + f.scale_bits[i],
                        at + f.granules[i].data_bits))
            return "its codes are longer than its data";
    return NULL;
}

uint16_t mp3_side_crc(uint32_t head, const uint8_t *side)
{
    const bool version_1 = (head >> 19 & 3) == 3, mono = (head >> 6 & 3) == 3;
    const size_t n = mp3_side_bytes(version_1, mono);
    uint16_t crc = 0xffff;
    for (size_t i = 0; i < n + 2; i++) {
        const uint8_t byte = i == 0 ? head >> 8 & 0xff : i == 1 ? head & 0xff : side[i - 2];
        crc ^= (uint16_t)(byte << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x8005 : crc << 1);
    }
    return crc;
}

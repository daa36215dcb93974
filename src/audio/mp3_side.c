/* mp3_side.c - see mp3_side.h.  Sources: ISO/IEC 11172-3, 2.4.1.7 and 2.4.2.7; 13818-3, 2.4.1.7 and
 * 2.4.3.2 (scale factors of the low sampling frequencies). */
#include "audio/mp3_side.h"

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
    /* the gains of three windows, or the lengths of regions; pre-emphasis, scale, quad table */
    take(b, (g.windowed ? 9 : 7) + (version_1 ? 3 : 2));
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

size_t mp3_side_bytes(bool version_1, bool mono)
{
    return version_1 ? (mono ? 17 : 32) : (mono ? 9 : 17);
}

const char *mp3_side_check(mp3_reservoir *r, uint32_t head, const uint8_t *side,
                           uint32_t main_bytes)
{
    const bool version_1 = (head >> 19 & 3) == 3, mono = (head >> 6 & 3) == 3;
    const bool intensity = (head >> 6 & 3) == 1 && (head >> 4 & 1);
    const uint32_t n_channels = mono ? 1 : 2, n_granules = version_1 ? 2 : 1;
    bits b = {side, 0};
    const uint32_t back = take(&b, version_1 ? 9 : 8);
    uint32_t shared[2] = {0, 0}, data_bits = 0;
    const char *wrong = NULL;
    take(&b, version_1 ? (mono ? 5 : 3) : n_channels); /* private bits */
    for (uint32_t channel = 0; version_1 && channel < n_channels; channel++)
        shared[channel] = take(&b, 4);
    for (uint32_t i = 0; i < n_granules * n_channels; i++) {
        const uint32_t channel = i % n_channels;
        const granule g = read_granule(&b, version_1);
        const uint32_t scale_bits = version_1
                                        ? scale_bits_1(&g, i < n_channels ? 0 : shared[channel])
                                    : intensity && channel ? 0
                                                           : scale_bits_2(&g);
        const char *found = check_granule(&g, scale_bits);
        wrong = wrong ? wrong : found;
        data_bits += g.data_bits;
    }
    /* A stream may begin in the middle of another: what is before its first byte is not known. */
    const bool is_known = back <= r->written;
    const uint64_t start = is_known ? r->written - back : 0;
    const uint64_t end = r->written - (is_known ? back : r->written) + (data_bits + 7) / 8;
    r->written += main_bytes;
    if (wrong)
        return wrong;
    if (is_known && start < r->taken)
        return "its data begins within that of the frame before";
    if (is_known && end > r->written)
        return "it has fewer bytes than it counts";
    r->taken = is_known ? end : 0;
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

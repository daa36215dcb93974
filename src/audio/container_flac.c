/* container_flac.c - FLAC: metadata blocks, the sample count of the first, and where the last frame
 * ends.  Source: RFC 9639. */
#include <string.h>

#include "audio/container.h"

/* Where the search for the last frame begins, from the end: more than a frame of 8 channels with 24
 * bits and 65,535 samples. */
#define TAIL_BYTES     (2u << 20)
#define CANDIDATES_MAX 24 /* sync codes to try, the last first; one in 32 KiB is a chance hit */
#define PIECE_BYTES    4096
#define BLOCKS_MAX     65536

/* CRC-16 of x^16 + x^15 + x^2 + 1, highest bit first; over a whole frame with its checksum it is 0. */
static uint16_t crc16(uint16_t crc, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint16_t)(data[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x8005 : crc << 1);
    }
    return crc;
}

static bool is_frame(conure_bytes *bytes, uint64_t start, uint64_t end)
{
    uint8_t piece[PIECE_BYTES];
    uint16_t crc = 0;
    while (start < end) {
        const size_t want = end - start < sizeof piece ? (size_t)(end - start) : sizeof piece;
        const size_t n = conure_bytes_at(bytes, start, piece, want);
        if (!n)
            return false;
        crc = crc16(crc, piece, n);
        start += n;
    }
    return crc == 0;
}

/* The frame that ends exactly at end: its start, or UINT64_MAX. */
static uint64_t last_frame(conure_bytes *bytes, uint64_t audio, uint64_t end)
{
    const uint64_t first = end - audio > TAIL_BYTES ? end - TAIL_BYTES : audio;
    uint8_t piece[PIECE_BYTES + 1];
    int n_tried = 0;
    for (uint64_t top = end; top > first;) { /* pieces from the last, one byte of overlap */
        const uint64_t at = top - first > PIECE_BYTES ? top - PIECE_BYTES : first;
        const size_t n = conure_bytes_at(bytes, at, piece, (size_t)(top - at) + 1);
        for (size_t i = n < 2 ? 0 : n - 1; i-- > 0;) {
            if (piece[i] != 0xff || (piece[i + 1] & 0xfe) != 0xf8)
                continue;
            if (is_frame(bytes, at + i, end))
                return at + i;
            if (++n_tried >= CANDIDATES_MAX)
                return UINT64_MAX;
        }
        top = at;
    }
    return UINT64_MAX;
}

/* Samples up to the end of the frame at start, from its header (RFC 9639, 9.1); 0 when that cannot be
 * told.  block: samples of every frame but the last, where all have the same. */
static uint64_t samples_after(conure_bytes *bytes, uint64_t start, uint32_t block)
{
    uint8_t h[16] = {0};
    conure_bytes_at(bytes, start, h, sizeof h);
    const bool counts_samples = h[1] & 1;
    const uint32_t code = h[2] >> 4;
    uint64_t number = h[4];
    size_t at = 5;
    if (h[4] >= 0xc0) { /* coded as UTF-8, up to 36 bits */
        int n_more = 1;
        while (n_more < 6 && (h[4] & (0x40 >> n_more)))
            n_more++;
        number = h[4] & (0x3f >> n_more);
        for (; n_more > 0; n_more--)
            number = number << 6 | (h[at++] & 0x3f);
    }
    const uint32_t n = code == 1   ? 192
                       : code <= 5 ? 144u << code
                       : code == 6 ? h[at] + 1u
                       : code == 7 ? ((uint32_t)h[at] << 8 | h[at + 1]) + 1u
                                   : 1u << code;
    if (code == 0 || (!counts_samples && !block))
        return 0;
    return (counts_samples ? number : number * block) + n;
}

/* Past the metadata; 0, and noted, when the file ends within it.  block: of every frame, 0 if they
 * differ. */
static uint64_t skip_metadata(conure_container *c, conure_bytes *bytes, uint64_t at,
                              uint32_t *block)
{
    uint8_t head[4], body[18];
    for (int i = 0; i < BLOCKS_MAX; i++) {
        if (conure_bytes_at(bytes, at, head, sizeof head) < sizeof head)
            break;
        const uint32_t length = conure_be32(head) & 0xffffff;
        if (i == 0 && (head[0] & 0x7f) == 0 &&
            conure_bytes_at(bytes, at + 4, body, sizeof body) == sizeof body) {
            const uint64_t total = (uint64_t)(body[13] & 0x0f) << 32 | conure_be32(body + 14);
            if (total) /* 0: not known when it was written */
                c->frames_declared = total;
            if (memcmp(body, body + 2, 2) == 0)
                *block = conure_be32(body) >> 16;
        }
        at += 4 + (uint64_t)length;
        if (at > bytes->size)
            break;
        if (head[0] & 0x80)
            return at;
    }
    conure_container_note(c, "it is cut off within its metadata");
    return 0;
}

/* Files put one behind the other: decoders end with the first. */
static void find_second_stream(conure_container *c, conure_bytes *bytes, uint64_t at)
{
    static const uint8_t start[8] = {'f', 'L', 'a', 'C', 0, 0, 0, 34};
    uint8_t piece[16384];
    while (!conure_bytes_cancelled(bytes)) {
        const size_t n = conure_bytes_at(bytes, at, piece, sizeof piece);
        const uint8_t *found = memmem(piece, n, start, sizeof start);
        if (found)
            conure_container_note(c, "a second stream begins at byte %llu and is not used",
                                  (unsigned long long)(at + (uint64_t)(found - piece)));
        if (found || n < sizeof piece)
            return;
        at += n - (sizeof start - 1);
    }
}

void conure_check_flac(conure_container *c, conure_bytes *bytes, uint64_t offset)
{
    uint8_t tag[3];
    uint64_t end = bytes->size;
    uint32_t block = 0;
    const uint64_t audio = skip_metadata(c, bytes, offset + 4, &block);
    if (!audio)
        return;
    if (end - audio >= 128 && conure_bytes_at(bytes, end - 128, tag, 3) == 3 &&
        memcmp(tag, "TAG", 3) == 0)
        end -= 128; /* ID3v1 */
    if (end == audio)
        return;
    find_second_stream(c, bytes, audio);
    const uint64_t start = last_frame(bytes, audio, end);
    const uint64_t found = start == UINT64_MAX ? 0 : samples_after(bytes, start, block);
    if (start == UINT64_MAX)
        conure_container_note(c, "its last frame is cut off or damaged, or other bytes follow it");
    else if (found && c->frames_declared != CONURE_FRAMES_UNKNOWN && found != c->frames_declared)
        conure_container_note(c, "it declares %llu samples, its last frame ends at sample %llu",
                              (unsigned long long)c->frames_declared, (unsigned long long)found);
}

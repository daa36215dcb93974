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

/* What the first metadata block says. */
typedef struct stream_info {
    uint32_t block; /* samples of every frame but the last; 0 if they differ */
    uint32_t rate_hz, n_channels, n_bits;
} stream_info;

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

/* The header of a frame (RFC 9639, 9.1). */
typedef struct frame_head {
    uint64_t number; /* of the frame, or of its first sample */
    bool counts_samples;
    uint32_t n;               /* samples of each channel; 0 when it does not say */
    uint32_t rate_hz, n_bits; /* 0 when it does not say */
    uint32_t n_channels;
    bool intact; /* by its checksum */
} frame_head;

/* CRC-8 of x^8 + x^2 + x + 1, highest bit first; over a header with its checksum it is 0. */
static uint8_t crc8(const uint8_t *data, size_t n)
{
    uint8_t crc = 0;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x07 : crc << 1);
    }
    return crc;
}

static frame_head read_frame_head(conure_bytes *bytes, uint64_t start)
{
    static const uint32_t rates[12] = {0,     88200, 176400, 192000, 8000,  16000,
                                       22050, 24000, 32000,  44100,  48000, 96000};
    static const uint8_t sizes[8] = {0, 8, 12, 0, 16, 20, 24, 32};
    frame_head f = {0};
    uint8_t h[20] = {0};
    conure_bytes_at(bytes, start, h, sizeof h);
    const uint32_t code = h[2] >> 4, rate = h[2] & 15, channels = h[3] >> 4;
    size_t at = 5;
    f.counts_samples = h[1] & 1;
    f.number = h[4];
    if (h[4] >= 0xc0) { /* coded as UTF-8, up to 36 bits */
        int n_more = 1;
        while (n_more < 6 && (h[4] & (0x40 >> n_more)))
            n_more++;
        f.number = h[4] & (0x3f >> n_more);
        for (; n_more > 0; n_more--)
            f.number = f.number << 6 | (h[at++] & 0x3f);
    }
    f.n = code == 0   ? 0
          : code == 1 ? 192
          : code <= 5 ? 144u << code
          : code == 6 ? h[at] + 1u
          : code == 7 ? ((uint32_t)h[at] << 8 | h[at + 1]) + 1u
                      : 1u << code;
    at += code == 6 ? 1 : code == 7 ? 2 : 0;
    const uint32_t word = (uint32_t)h[at] << 8 | h[at + 1];
    f.rate_hz = rate < 12    ? rates[rate]
                : rate == 12 ? h[at] * 1000u
                : rate == 13 ? word
                : rate == 14 ? word * 10
                             : 0;
    at += rate == 12 ? 1 : rate == 13 || rate == 14 ? 2 : 0;
    f.n_channels = channels < 8 ? channels + 1 : 2;
    f.n_bits = sizes[h[3] >> 1 & 7];
    f.intact = h[0] == 0xff && (h[1] & 0xfe) == 0xf8 && crc8(h, at + 1) == 0;
    return f;
}

/* Samples up to the end of the frame at start; 0 when that cannot be told. */
static uint64_t samples_after(conure_bytes *bytes, uint64_t start, const stream_info *info)
{
    const frame_head f = read_frame_head(bytes, start);
    if (f.n == 0 || (!f.counts_samples && !info->block))
        return 0;
    return (f.counts_samples ? f.number : f.number * info->block) + f.n;
}

/* The 34 bytes of STREAMINFO (RFC 9639, 8.2). */
static void read_stream_info(conure_container *c, const uint8_t *body, stream_info *info)
{
    static const uint8_t not_known[16] = {0};
    const uint64_t total = (uint64_t)(body[13] & 0x0f) << 32 | conure_be32(body + 14);
    if (total) /* 0: not known when it was written */
        c->frames_declared = total;
    if (memcmp(body, body + 2, 2) == 0)
        info->block = conure_be32(body) >> 16;
    info->rate_hz = conure_be32(body + 10) >> 12;
    info->n_channels = (body[12] >> 1 & 7) + 1u;
    info->n_bits = ((body[12] & 1u) << 4 | body[13] >> 4) + 1;
    c->has_rate = true;
    c->rate_hz = info->rate_hz;
    c->has_md5 = memcmp(body + 18, not_known, 16) != 0;
    memcpy(c->md5, body + 18, 16);
    c->md5_bits = info->n_bits;
}

/* Past the metadata; 0, and noted, when the file ends within it. */
static uint64_t skip_metadata(conure_container *c, conure_bytes *bytes, uint64_t at,
                              stream_info *info)
{
    uint8_t head[4], body[34];
    for (int i = 0; i < BLOCKS_MAX; i++) {
        if (conure_bytes_at(bytes, at, head, sizeof head) < sizeof head)
            break;
        const uint32_t length = conure_be32(head) & 0xffffff;
        if (i == 0 && (head[0] & 0x7f) == 0 &&
            conure_bytes_at(bytes, at + 4, body, sizeof body) == sizeof body)
            read_stream_info(c, body, info);
        at += 4 + (uint64_t)length;
        if (at > bytes->size)
            break;
        if (head[0] & 0x80)
            return at;
    }
    conure_container_note(c, "it is cut off within its metadata");
    return 0;
}

/* Every frame repeats what STREAMINFO says.  Decoders use STREAMINFO's rate unseen; the frames', under
 * a checksum, is the one to believe.  Samples of another size or number are refused. */
static void compare_frame(conure_container *c, conure_bytes *bytes, uint64_t at,
                          const stream_info *info)
{
    const frame_head f = read_frame_head(bytes, at);
    if (!f.intact || !c->has_rate)
        return;
    if (f.n_channels != info->n_channels || (f.n_bits && f.n_bits != info->n_bits)) {
        conure_container_note(c,
                              "its header says %u channels of %u bits, its first frame %u channels "
                              "of %u bits",
                              info->n_channels, info->n_bits, f.n_channels,
                              f.n_bits ? f.n_bits : info->n_bits);
        c->unusable = true;
        return;
    }
    if (f.rate_hz && f.rate_hz != info->rate_hz) {
        conure_container_note(
            c, "its header says a sample rate of %u Hz, its frames %u Hz, which is used",
            info->rate_hz, f.rate_hz);
        c->rate_hz = f.rate_hz;
    }
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
    stream_info info = {0};
    const uint64_t audio = skip_metadata(c, bytes, offset + 4, &info);
    if (!audio)
        return;
    if (end - audio >= 128 && conure_bytes_at(bytes, end - 128, tag, 3) == 3 &&
        memcmp(tag, "TAG", 3) == 0)
        end -= 128; /* ID3v1 */
    if (end == audio)
        return;
    compare_frame(c, bytes, audio, &info);
    find_second_stream(c, bytes, audio);
    const uint64_t start = last_frame(bytes, audio, end);
    const uint64_t found = start == UINT64_MAX ? 0 : samples_after(bytes, start, &info);
    if (start == UINT64_MAX)
        conure_container_note(c, "its last frame is cut off or damaged, or other bytes follow it");
    else if (found && c->frames_declared != CONURE_FRAMES_UNKNOWN && found != c->frames_declared)
        conure_container_note(c, "it declares %llu samples, its last frame ends at sample %llu",
                              (unsigned long long)c->frames_declared, (unsigned long long)found);
}

/* container_streams.c - Ogg pages and MP3 frames: streams without a table of contents.
 * Sources: RFC 3533 (Ogg); ISO/IEC 11172-3 and 13818-3 (MPEG audio headers); the Xing tag as encoders
 * write it. */
#include <stdio.h>
#include <string.h>

#include "audio/container.h"

/* ---- Ogg ------------------------------------------------------------------------------------- */

enum { PAGE_HEAD = 27, CHECKSUM_AT = 22, PAGE_FIRST = 2, PAGE_LAST = 4 };

/* CRC-32 of polynomial 0x04c11db7, highest bit first, starting at 0. */
static void crc32_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i << 24;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x80000000 ? crc << 1 ^ 0x04c11db7 : crc << 1;
        table[i] = crc;
    }
}

static uint32_t crc32_add(const uint32_t table[256], uint32_t crc, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        crc = crc << 8 ^ table[crc >> 24 ^ data[i]];
    return crc;
}

typedef struct page {
    uint8_t head[PAGE_HEAD + 255];
    size_t head_bytes, body_bytes;
} page;

static bool read_page_head(conure_bytes *bytes, uint64_t at, page *p)
{
    const size_t n = conure_bytes_at(bytes, at, p->head, sizeof p->head);
    if (n < PAGE_HEAD || memcmp(p->head, "OggS", 4) != 0 || p->head[4] != 0)
        return false;
    const size_t n_segments = p->head[26];
    if (n < PAGE_HEAD + n_segments)
        return false;
    p->head_bytes = PAGE_HEAD + n_segments;
    p->body_bytes = 0;
    for (size_t i = 0; i < n_segments; i++)
        p->body_bytes += p->head[PAGE_HEAD + i];
    return true;
}

static bool page_intact(conure_bytes *bytes, uint64_t at, page *p, const uint32_t table[256])
{
    uint8_t piece[4096];
    const uint32_t want = conure_le32(p->head + CHECKSUM_AT);
    memset(p->head + CHECKSUM_AT, 0, 4);
    uint32_t crc = crc32_add(table, 0, p->head, p->head_bytes);
    at += p->head_bytes;
    for (size_t left = p->body_bytes; left;) {
        const size_t n =
            conure_bytes_at(bytes, at, piece, left < sizeof piece ? left : sizeof piece);
        if (!n)
            return false;
        crc = crc32_add(table, crc, piece, n);
        at += n;
        left -= n;
    }
    return crc == want;
}

/* What the pages say together. */
typedef struct ogg {
    uint32_t serial, sequence; /* of the first stream */
    uint64_t n_pages, n_begun, n_ended;
    uint64_t n_audio; /* intact pages on which a packet with audio ends */
} ogg;

/* The granule position counts samples: it is 0 on header pages and -1 where no packet ends. */
static bool has_audio(const page *p)
{
    const uint64_t granule = conure_le64(p->head + 6);
    return granule && granule != UINT64_MAX;
}

static void follow_page(conure_container *c, ogg *o, const page *p, uint64_t at)
{
    const uint32_t serial = conure_le32(p->head + 14), sequence = conure_le32(p->head + 18);
    if (!o->n_pages++)
        o->serial = serial;
    else if (serial == o->serial && sequence != o->sequence + 1 && !(p->head[5] & PAGE_FIRST))
        conure_container_note(c, "pages are missing before byte %llu", (unsigned long long)at);
    if (serial == o->serial)
        o->sequence = sequence;
    if ((p->head[5] & PAGE_FIRST) && o->n_ended)
        conure_container_note(c, "a second stream begins at byte %llu and is not used",
                              (unsigned long long)at);
    o->n_begun += (p->head[5] & PAGE_FIRST) != 0;
    o->n_ended += (p->head[5] & PAGE_LAST) != 0;
}

/* One page; its bytes, or 0 and noted when there is none. */
static uint64_t walk_page(conure_container *c, conure_bytes *bytes, uint64_t at, ogg *o,
                          const uint32_t table[256])
{
    page p;
    const unsigned long long byte = at, left = bytes->size - at;
    if (!read_page_head(bytes, at, &p)) {
        conure_container_note(c, "from byte %llu on, %llu bytes are not an Ogg page", byte, left);
        return 0;
    }
    if (p.head_bytes + p.body_bytes > left) {
        conure_container_note(c, "it is cut off within the Ogg page at byte %llu", byte);
        return 0;
    }
    follow_page(c, o, &p, at);
    if (page_intact(bytes, at, &p, table))
        o->n_audio += has_audio(&p);
    else
        conure_container_note(c, "the checksum of the Ogg page at byte %llu is wrong", byte);
    return p.head_bytes + p.body_bytes;
}

void conure_check_ogg(conure_container *c, conure_bytes *bytes)
{
    uint32_t table[256];
    ogg o = {0};
    crc32_table(table);
    for (uint64_t at = 0, n = 1; at < bytes->size && n; at += n) {
        if (conure_bytes_cancelled(bytes) || bytes->failed)
            return;
        n = walk_page(c, bytes, at, &o, table);
        /* Damage before the first audio is damage of the codec's headers, without which there is
         * nothing; libsndfile 1.2.0 would say so too, and leak. */
        c->unusable |= c->damage[0] && !o.n_audio;
    }
    if (o.n_begun > o.n_ended)
        conure_container_note(c, "it is cut off: its last Ogg page is not marked as such");
    c->unusable |= c->damage[0] && !o.n_audio;
}

/* ---- MP3 ------------------------------------------------------------------------------------- */

/* Decoders drop what encoder delay and padding added, at most 4095 samples each as the tag counts
 * them, and up to 529 samples and a frame of their own start. */
#define TRIMMED_SAMPLES_MAX (2 * 4095 + 529 + 2 * 1152)

typedef struct mpeg {
    uint32_t same; /* the header's bits that do not change within a stream */
    uint32_t bytes, samples;
    bool free_format, version_1, mono;
} mpeg;

/* Bits of sync, version, layer and sample rate. */
#define SAME_BITS 0xfffe0c00u

static bool parse_mpeg(uint32_t head, mpeg *out)
{
    /* kbit/s: version 1 layers I, II, III; version 2 and 2.5 layer I, layers II and III */
    static const uint16_t kbits[5][15] = {
        {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
        {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
    };
    static const uint32_t rates[3] = {44100, 48000, 32000};
    const uint32_t version = head >> 19 & 3, layer = 4 - (head >> 17 & 3); /* layer 4: reserved */
    const uint32_t i_rate = head >> 10 & 3, i_kbits = head >> 12 & 15, padding = head >> 9 & 1;
    if (head >> 21 != 0x7ff || version == 1 || layer == 4 || i_rate == 3 || i_kbits == 15)
        return false;
    const bool v1 = version == 3;
    const uint32_t row = v1 ? layer - 1 : layer == 1 ? 3 : 4;
    const uint32_t rate = rates[i_rate] >> (v1 ? 0 : version == 2 ? 1 : 2);
    const uint32_t bits = kbits[row][i_kbits] * 1000u;
    out->same = head & SAME_BITS;
    out->free_format = i_kbits == 0;
    out->version_1 = v1;
    out->mono = (head >> 6 & 3) == 3;
    out->samples = layer == 1 ? 384 : layer == 3 && !v1 ? 576 : 1152;
    out->bytes =
        layer == 1 ? (12 * bits / rate + padding) * 4 : out->samples / 8 * bits / rate + padding;
    return true;
}

/* Frames as the tag of the first frame counts them; 0: there is no such tag. */
static uint32_t xing_frames(conure_bytes *bytes, uint64_t at, const mpeg *first, bool *is_tag)
{
    uint8_t tag[12];
    const uint32_t side = first->version_1 ? (first->mono ? 17 : 32) : (first->mono ? 9 : 17);
    *is_tag = conure_bytes_at(bytes, at + 4 + side, tag, sizeof tag) == sizeof tag &&
              (memcmp(tag, "Xing", 4) == 0 || memcmp(tag, "Info", 4) == 0);
    return *is_tag && (tag[7] & 1) ? conure_be32(tag + 8) : 0;
}

/* Bytes of the tag at a place between or behind frames (ID3v1, ID3v2, APE, Lyrics3); 0: no tag. */
static uint64_t tag_bytes(conure_bytes *bytes, uint64_t at)
{
    uint8_t id[16] = {0};
    const size_t n = conure_bytes_at(bytes, at, id, sizeof id);
    if (n >= 3 && memcmp(id, "TAG", 3) == 0)
        return n >= 4 && id[3] == '+' ? 227 : 128;
    if (n == sizeof id && memcmp(id, "APETAGEX", 8) == 0)
        return 32 + (uint64_t)conure_le32(id + 12); /* the length is without the header */
    if (n >= 11 && memcmp(id, "LYRICSBEGIN", 11) == 0)
        return bytes->size - at; /* its length is at its end: taken for the last thing */
    return conure_id3v2_bytes(id, n);
}

void conure_check_mp3(conure_container *c, conure_bytes *bytes, uint64_t offset)
{
    uint8_t head[4];
    mpeg first = {0}, frame;
    uint64_t at = offset, n_frames = 0;
    uint32_t n_counted = 0;
    bool is_tag = false;
    while (at < bytes->size) {
        if (conure_bytes_cancelled(bytes) || bytes->failed)
            return;
        const bool is_frame = conure_bytes_at(bytes, at, head, 4) == 4 &&
                              parse_mpeg(conure_be32(head), &frame) &&
                              (!n_frames || frame.same == first.same);
        const uint64_t skip = is_frame ? 0 : tag_bytes(bytes, at);
        if (skip) {
            at += skip;
            continue;
        }
        if (!is_frame) {
            conure_container_note(c, "from byte %llu on, %llu bytes are not an MP3 frame",
                                  (unsigned long long)at, (unsigned long long)(bytes->size - at));
            break;
        }
        if (frame.free_format)
            return; /* its length is not written anywhere */
        if (!n_frames++) {
            first = frame;
            n_counted = xing_frames(bytes, at, &first, &is_tag);
        }
        if (frame.bytes > bytes->size - at) {
            conure_container_note(c, "it is cut off within the MP3 frame at byte %llu",
                                  (unsigned long long)at);
            break;
        }
        at += frame.bytes;
    }
    n_frames -= is_tag && n_frames;
    c->counted = n_counted != 0;
    if (n_counted && n_frames < n_counted)
        conure_container_note(c, "it is cut off: its tag counts %u MP3 frames, %llu are there",
                              n_counted, (unsigned long long)n_frames);
    if (n_counted && n_frames > n_counted + 1ull) /* some encoders count the tag's own frame too */
        conure_container_note(c, "its tag counts %u MP3 frames, %llu are there", n_counted,
                              (unsigned long long)n_frames);
    const uint64_t samples = n_frames * first.samples;
    c->frames_least = samples > TRIMMED_SAMPLES_MAX ? samples - TRIMMED_SAMPLES_MAX : 0;
}

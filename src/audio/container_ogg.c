/* container_ogg.c - Ogg: the chain of pages and their checksums.  Source: RFC 3533. */
#include <string.h>

#include "audio/container.h"

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

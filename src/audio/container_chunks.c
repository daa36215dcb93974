/* container_chunks.c - WAV and AIFF: chunks of an id, a length and a body, one after the other.
 * Sources: Microsoft/IBM "Multimedia Programming Interface" 1.0 (RIFF WAVE), EBU Tech 3306 (RF64),
 * Apple "AIFF 1.3" and "AIFF-C". */
#include <string.h>

#include "audio/container.h"

#define CHUNKS_MAX 65536 /* more than any file has; a walk ends */

typedef struct chunk {
    char id[5];
    uint64_t body, bytes; /* bytes: as declared */
} chunk;

typedef struct walk {
    conure_bytes *bytes;
    bool big_endian;
    uint64_t at; /* of the next chunk */
    uint32_t n;
} walk;

static uint32_t get32(const walk *w, const uint8_t *p)
{
    return w->big_endian ? conure_be32(p) : conure_le32(p);
}

static uint32_t get16(const walk *w, const uint8_t *p)
{
    return w->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static bool printable(const uint8_t *id)
{
    for (int i = 0; i < 4; i++)
        if (id[i] < 0x20 || id[i] > 0x7e)
            return false;
    return true;
}

/* The next chunk's header; false at the end of the chunks, noted when bytes are left over.  A single
 * byte is the padding of a chunk of odd length. */
static bool next_chunk(walk *w, conure_container *c, chunk *out)
{
    uint8_t head[8];
    if (w->at >= w->bytes->size || w->n++ >= CHUNKS_MAX)
        return false;
    const size_t n = conure_bytes_at(w->bytes, w->at, head, sizeof head);
    if (n == sizeof head && printable(head)) {
        memcpy(out->id, head, 4);
        out->id[4] = 0;
        out->body = w->at + 8;
        out->bytes = get32(w, head + 4);
        return true;
    }
    conure_container_note(c, "the last %llu bytes, from byte %llu on, are no part of it",
                          (unsigned long long)(w->bytes->size - w->at), (unsigned long long)w->at);
    return false;
}

/* Go past a chunk of so many bytes; false, and noted, when it ends after the file. */
static bool skip_chunk(walk *w, conure_container *c, const chunk *at, uint64_t bytes)
{
    const uint64_t held = w->bytes->size - at->body;
    if (bytes > held) {
        conure_container_note(c,
                              "it is cut off: its chunk \"%s\" declares %llu bytes, %llu are there",
                              at->id, (unsigned long long)bytes, (unsigned long long)held);
        return false;
    }
    w->at = at->body + bytes + (bytes & 1);
    return true;
}

/* ---- WAV ------------------------------------------------------------------------------------- */

typedef struct wav {
    uint32_t tag, block_bytes;
    uint64_t rf64_bytes; /* of the data chunk, from ds64 */
    bool rf64, data_seen;
} wav;

/* Formats whose blocks are one sample of each channel: PCM, float, A-law, mu-law, extensible. */
static bool one_frame_a_block(uint32_t tag)
{
    return tag == 1 || tag == 3 || tag == 6 || tag == 7 || tag == 0xfffe;
}

/* Lengths that programs write into a pipe, where they cannot go back to correct them. */
static bool is_placeholder(uint64_t bytes, uint64_t held)
{
    return bytes == 0xffffffff || (bytes >= 0x7f000000 && bytes <= 0x80000000 && bytes > held);
}

static bool wav_data(walk *w, conure_container *c, wav *f, const chunk *at)
{
    const uint64_t held = w->bytes->size - at->body;
    uint64_t bytes = at->bytes;
    if (f->data_seen)
        conure_container_note(c, "it has a second data chunk, which is not used");
    f->data_seen = true;
    if (f->rf64 && bytes == 0xffffffff)
        bytes = f->rf64_bytes;
    else if (is_placeholder(bytes, held))
        return false; /* all that follows is audio */
    if (f->block_bytes && one_frame_a_block(f->tag)) {
        c->frames_declared = bytes / f->block_bytes;
        if (bytes % f->block_bytes)
            conure_container_note(c, "its audio ends in the middle of a sample");
    }
    return skip_chunk(w, c, at, bytes);
}

void conure_check_riff(conure_container *c, conure_bytes *bytes)
{
    uint8_t body[24] = {0};
    wav f = {0};
    walk w = {.bytes = bytes, .at = 12};
    chunk at;
    conure_bytes_at(bytes, 0, body, 4);
    w.big_endian = memcmp(body, "RIFX", 4) == 0;
    f.rf64 = memcmp(body, "RF64", 4) == 0;
    for (bool more = true; more && next_chunk(&w, c, &at);) {
        const size_t n = conure_bytes_at(bytes, at.body, body, sizeof body);
        if (strcmp(at.id, "data") == 0) {
            more = wav_data(&w, c, &f, &at);
            continue;
        }
        if (strcmp(at.id, "ds64") == 0 && n >= 16) {
            f.rf64_bytes = conure_le64(body + 8);
        } else if (strcmp(at.id, "fmt ") == 0 && n >= 16) {
            f.tag = get16(&w, body);
            f.block_bytes = get16(&w, body + 12);
            c->has_rate = true;
            c->rate_hz = get32(&w, body + 4);
        }
        more = skip_chunk(&w, c, &at, at.bytes);
    }
}

/* ---- AIFF ------------------------------------------------------------------------------------ */

/* AIFF-C encodings whose COMM chunk counts samples: the others count packets. */
static bool counts_samples(const uint8_t *type)
{
    static const char types[][5] = {"NONE", "twos", "sowt", "raw ", "in24", "42ni", "in32", "23ni",
                                    "fl32", "FL32", "fl64", "FL64", "ulaw", "ULAW", "alaw", "ALAW"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (memcmp(type, types[i], 4) == 0)
            return true;
    return false;
}

/* A whole number from IEEE 754's 80-bit format; INT64_MAX for what is larger or no number. */
static int64_t extended(const uint8_t *p)
{
    const int exponent = ((p[0] & 0x7f) << 8 | p[1]) - 16383;
    const uint64_t mantissa = (uint64_t)conure_be32(p + 2) << 32 | conure_be32(p + 6);
    if (exponent < 0 || mantissa == 0)
        return 0;
    if (exponent > 62)
        return INT64_MAX;
    const int64_t value = (int64_t)(mantissa >> (63 - exponent));
    return p[0] & 0x80 ? -value : value;
}

void conure_check_aiff(conure_container *c, conure_bytes *bytes)
{
    uint8_t body[26] = {0}, form[12] = {0};
    walk w = {.bytes = bytes, .big_endian = true, .at = 12};
    chunk at;
    conure_bytes_at(bytes, 0, form, sizeof form);
    const bool is_aifc = memcmp(form + 8, "AIFC", 4) == 0;
    while (next_chunk(&w, c, &at)) {
        const size_t n = conure_bytes_at(bytes, at.body, body, sizeof body);
        if (strcmp(at.id, "SSND") == 0 && is_placeholder(at.bytes, bytes->size - at.body)) {
            c->frames_declared = CONURE_FRAMES_UNKNOWN; /* all that follows is audio */
            return;
        }
        if (strcmp(at.id, "COMM") == 0 && n >= 18 &&
            (!is_aifc || (n >= 22 && counts_samples(body + 18))))
            c->frames_declared = conure_be32(body + 2);
        if (strcmp(at.id, "COMM") == 0 && n >= 18) {
            c->has_rate = true;
            c->rate_hz = extended(body + 8);
        }
        if (!skip_chunk(&w, c, &at, at.bytes))
            break;
    }
}

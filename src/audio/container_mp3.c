/* container_mp3.c - MP3: the chain of frames, and whether the side information of each fits its data.
 * Sources: ISO/IEC 11172-3 and 13818-3; the Xing tag as encoders write it. */
#include <string.h>

#include "audio/container.h"
#include "audio/mp3_side.h"

/* Decoders drop what encoder delay and padding added, at most 4095 samples each as the tag counts
 * them, and up to 529 samples and a frame of their own start. */
#define TRIMMED_SAMPLES_MAX (2 * 4095 + 529 + 2 * 1152)

typedef struct mpeg {
    uint32_t same; /* the header's bits that do not change within a stream */
    uint32_t head, bytes, samples, layer;
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
    out->head = head;
    out->layer = layer;
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
    const size_t side = mp3_side_bytes(first->version_1, first->mono);
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

/* What the frames say together. */
typedef struct mp3 {
    mpeg first;
    uint64_t n_frames;
    uint32_t n_counted; /* by the tag in the first frame; 0: no tag, or it does not count */
    bool is_tag;
    mp3_reservoir reservoir;
    mp3_codes codes;
    uint64_t n_right, n_wrong, first_wrong; /* checksums; where the first wrong one is */
} mp3;

/* Side information and data of a layer III frame: noted when they disagree. */
static void check_frame(conure_container *c, conure_bytes *bytes, uint64_t at, const mpeg *frame,
                        mp3 *m)
{
    uint8_t data[MP3_FRAME_BYTES_MAX];
    const bool has_crc = !(frame->head >> 16 & 1);
    const size_t before = has_crc ? 2 : 0;
    const size_t side = before + mp3_side_bytes(frame->version_1, frame->mono);
    const char *wrong = NULL;
    if (frame->layer != 3)
        return;
    if (frame->mono != m->first.mono)
        wrong = "it has another number of channels";
    else if (frame->bytes < 4 + side || frame->bytes > sizeof data ||
             conure_bytes_at(bytes, at + 4, data, frame->bytes - 4) < frame->bytes - 4)
        wrong = "it is too short";
    else
        wrong = mp3_side_check(&m->reservoir, &m->codes, frame->head, data + before, data + side,
                               frame->bytes - 4 - side);
    if (wrong)
        conure_container_note(c, "the MP3 frame at byte %llu is damaged: %s",
                              (unsigned long long)at, wrong);
    if (wrong || !has_crc)
        return;
    if (mp3_side_crc(frame->head, data + before) == (data[0] << 8 | data[1]))
        m->n_right++;
    else if (!m->n_wrong++)
        m->first_wrong = at;
}

/* One frame or tag; its bytes, or 0, and noted if so, when there is none. */
static uint64_t walk_frame(conure_container *c, conure_bytes *bytes, uint64_t at, mp3 *m,
                           bool *free_format)
{
    uint8_t head[4];
    mpeg frame;
    const unsigned long long byte = at, left = bytes->size - at;
    const bool is_frame = conure_bytes_at(bytes, at, head, 4) == 4 &&
                          parse_mpeg(conure_be32(head), &frame) &&
                          (!m->n_frames || (frame.same == m->first.same && !frame.free_format));
    if (!is_frame) {
        const uint64_t skip = tag_bytes(bytes, at);
        if (!skip)
            conure_container_note(c, "from byte %llu on, %llu bytes are not an MP3 frame", byte,
                                  left);
        return skip;
    }
    *free_format = frame.free_format; /* its length is not written anywhere */
    if (frame.free_format)
        return 0;
    const bool is_first = !m->n_frames++;
    if (is_first) {
        m->first = frame;
        m->n_counted = xing_frames(bytes, at, &m->first, &m->is_tag);
    }
    if (frame.bytes > left) {
        conure_container_note(c, "it is cut off within the MP3 frame at byte %llu", byte);
        return 0;
    }
    if (!is_first || !m->is_tag) /* the tag takes the place of side information and data */
        check_frame(c, bytes, at, &frame, m);
    return frame.bytes;
}

static void check_count(conure_container *c, const mp3 *m, uint64_t n_frames)
{
    if (m->n_counted && n_frames < m->n_counted)
        conure_container_note(c, "it is cut off: its tag counts %u MP3 frames, %llu are there",
                              m->n_counted, (unsigned long long)n_frames);
    /* some encoders count the tag's own frame too */
    if (m->n_counted && n_frames > m->n_counted + 1ull)
        conure_container_note(c, "its tag counts %u MP3 frames, %llu are there", m->n_counted,
                              (unsigned long long)n_frames);
}

void conure_check_mp3(conure_container *c, conure_bytes *bytes, uint64_t offset)
{
    mp3 m = {0};
    bool free_format = false;
    mp3_codes_build(&m.codes);
    for (uint64_t at = offset, n = 1; at < bytes->size && n; at += n) {
        if (conure_bytes_cancelled(bytes) || bytes->failed)
            return;
        n = walk_frame(c, bytes, at, &m, &free_format);
    }
    if (free_format)
        return;
    /* Some encoders wrote checksums of their own: only one wrong among right ones tells. */
    if (m.n_wrong && m.n_right > m.n_wrong)
        conure_container_note(c, "the checksum of the MP3 frame at byte %llu is wrong",
                              (unsigned long long)m.first_wrong);
    const uint64_t n_frames = m.n_frames - (m.is_tag && m.n_frames);
    c->counted = m.n_counted != 0;
    check_count(c, &m, n_frames);
    const uint64_t samples = n_frames * m.first.samples;
    c->frames_least = samples > TRIMMED_SAMPLES_MAX ? samples - TRIMMED_SAMPLES_MAX : 0;
}

/* damage.c - files that are cut off, lie about themselves or hold what is no audio: used with a
 * warning or refused with a reason, never silently shorter than they say. */
#include "audio/mp3_side.h"
#include "make.h"
#include "test.h"

enum { N = 20000, RATE = 16000 };

static const struct {
    const char *name;
    int format;
} formats[] = {
    {"WAV", SF_FORMAT_WAV | SF_FORMAT_PCM_16},
    {"WAV float", SF_FORMAT_WAV | SF_FORMAT_FLOAT},
    {"WAVEX", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24},
    {"RF64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16},
    {"AIFF", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
    {"AIFC", SF_FORMAT_AIFF | SF_FORMAT_FLOAT},
    {"FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
    {"Vorbis", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
    {"Opus", SF_FORMAT_OGG | SF_FORMAT_OPUS},
    {"MP3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III},
};
#define N_FORMATS (sizeof formats / sizeof *formats)

static made make_speech_like(int format, int n)
{
    float *samples = malloc((size_t)n * sizeof *samples);
    uint64_t seed = 5;
    for (int i = 0; i < n; i++)
        samples[i] =
            (float)(0.4 * sin(0.05 * i) * sin(0.001 * i)) + test_uniform(&seed, -0.1f, 0.1f);
    made m = make_file(format, RATE, 1, samples, (size_t)n);
    free(samples);
    return m;
}

/* Refused with a reason that names the file, or used with a warning; tells how many samples came. */
static size_t suspicious(const void *data, size_t bytes, const char *what, size_t where)
{
    heard h = hear(data, bytes, NULL);
    const size_t n = h.status == CONURE_OK ? h.n : 0;
    const bool refused = h.status != CONURE_OK && strncmp(h.err.text, "clip: ", 6) == 0;
    const bool warned = h.status == CONURE_OK && h.info.damaged && h.info.damage[0];
    if (!refused && !warned)
        fprintf(stderr, "%s at %zu: %s, %zu samples, no warning\n", what, where,
                conure_status_text(h.status), h.n);
    test_true(refused || warned);
    heard_free(&h);
    return n;
}

static void test_truncated(void)
{
    for (size_t f = 0; f < N_FORMATS; f++) {
        const bool is_vorbis = strcmp(formats[f].name, "Vorbis") == 0;
        const size_t n_whole = is_vorbis ? 8 * N : N; /* its pages are long */
        made m = make_speech_like(formats[f].format, (int)n_whole);
        heard whole = hear(m.data, m.bytes, NULL);
        test_int(whole.status, CONURE_OK);
        test_text(whole.info.damage, "");
        test_int(whole.n, n_whole);
        heard_free(&whole);
        size_t most = 0;
        for (size_t cut = 0; cut < m.bytes; cut += cut < 200 ? 1 : 1 + m.bytes / 97) {
            const size_t n = suspicious(m.data, cut, formats[f].name, cut);
            most = n > most ? n : most;
            test_true(n <= n_whole + 1152); /* an MP3 cut within its last frame keeps its padding */
        }
        suspicious(m.data, m.bytes - 1, formats[f].name, m.bytes - 1);
        test_true(most > n_whole / 2);
        made_free(&m);
    }
}

static void test_trailing_junk(void)
{
    for (size_t f = 0; f < N_FORMATS; f++) {
        made m = make_speech_like(formats[f].format, N);
        for (size_t junk = 2; junk < 5000; junk *= 7) {
            uint8_t *longer = malloc(m.bytes + junk);
            memcpy(longer, m.data, m.bytes);
            for (size_t i = 0; i < junk; i++)
                longer[m.bytes + i] = (uint8_t)(0x80 + i * 37 % 101);
            const size_t n = suspicious(longer, m.bytes + junk, formats[f].name, m.bytes + junk);
            test_true(n >= N); /* all of its own audio is used */
            free(longer);
        }
        uint8_t *twice = malloc(2 * m.bytes); /* a second file behind the first */
        memcpy(twice, m.data, m.bytes);
        memcpy(twice + m.bytes, m.data, m.bytes);
        if (strcmp(formats[f].name, "MP3") != 0) { /* frames go on: two MP3 make one */
            suspicious(twice, 2 * m.bytes, formats[f].name, 2 * m.bytes);
        }
        free(twice);
        made_free(&m);
    }
}

/* Bytes overwritten in the middle: seen wherever the format has checksums or a structure to break;
 * PCM and float hold any bits, and are read as they are unless they make a NaN. */
static void test_overwritten(void)
{
    uint64_t seed = 99;
    for (size_t f = 6; f < N_FORMATS; f++) {
        made m = make_speech_like(formats[f].format, 4 * N);
        const bool is_mp3 = strcmp(formats[f].name, "MP3") == 0;
        for (int round = 0; round < 20; round++) {
            const size_t n = is_mp3 ? 600 : 40; /* at least one frame header */
            const size_t at = m.bytes / 4 + test_random(&seed) % (m.bytes / 2 - n);
            uint8_t *copy = malloc(m.bytes);
            memcpy(copy, m.data, m.bytes);
            for (size_t i = 0; i < n; i++)
                copy[at + i] ^= (uint8_t)(1 + test_random(&seed) % 255);
            suspicious(copy, m.bytes, formats[f].name, at);
            free(copy);
        }
        made_free(&m);
    }
}

static size_t find(const made *m, const char *id)
{
    for (size_t i = 0; i + 4 <= m->bytes; i++)
        if (memcmp(m->data + i, id, 4) == 0)
            return i;
    abort();
}

static void put32(uint8_t *p, uint32_t value, bool big_endian)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (big_endian ? 24 - 8 * i : 8 * i));
}

static void expect(const made *m, conure_status status, size_t n, const char *says)
{
    heard h = hear(m->data, m->bytes, NULL);
    test_int(h.status, status);
    test_contains(h.status == CONURE_OK ? h.info.damage : h.err.text, says);
    if (h.status == CONURE_OK) {
        test_int(h.n, n);
        test_int(h.info.damaged, says[0] != 0);
    }
    heard_free(&h);
}

static void test_wav_lies(void)
{
    static const uint32_t streamed[] = {0xffffffff, 0x7ffff000, 0x7fffffff};
    made m = make_speech_like(SF_FORMAT_WAV | SF_FORMAT_PCM_16, N);
    uint8_t *const fmt = m.data + find(&m, "fmt "), *const data = m.data + find(&m, "data");
    put32(data + 4, 3 * N, false);
    expect(&m, CONURE_OK, N, "cut off: its chunk \"data\" declares 60000 bytes, 40000 are there");
    put32(data + 4, N, false); /* half of it: the rest is then no chunk */
    expect(&m, CONURE_OK, N / 2, "the last 20000 bytes, from byte 20044 on, are no part of it");
    put32(data + 4, 2 * N - 1, false);
    expect(&m, CONURE_OK, N - 1, "ends in the middle of a sample");
    put32(data + 4, 0, false);
    suspicious(m.data, m.bytes, "data of 0", 0);
    for (int i = 0; i < 3; i++) { /* what programs write into pipes is no lie */
        put32(data + 4, streamed[i], false);
        put32(m.data + 4, streamed[i], false);
        expect(&m, CONURE_OK, N, "");
    }
    put32(data + 4, 2 * N, false);
    expect(&m, CONURE_OK, N, "");
    put32(m.data + 4, 36 + 2 * N, false);

    put32(fmt + 12, 0, false); /* rate */
    expect(&m, CONURE_UNSUPPORTED, 0, "clip: sample rate 0 Hz, expected 100 to 768000");
    put32(fmt + 12, 0xffffffff, false);
    expect(&m, CONURE_UNSUPPORTED, 0, "clip: sample rate 4294967295 Hz, expected 100 to 768000");
    put32(fmt + 12, RATE, false);
    fmt[10] = 0; /* channels */
    test_true(suspicious(m.data, m.bytes, "no channels", 0) == 0);
    fmt[10] = 1;
    put32(fmt + 4, 0x7fffffff, false); /* a chunk past the end, before the audio */
    suspicious(m.data, m.bytes, "fmt too long", 0);
    put32(fmt + 4, 16, false);
    expect(&m, CONURE_OK, N, "");
    made_free(&m);
}

static void test_other_lies(void)
{
    made m = make_speech_like(SF_FORMAT_AIFF | SF_FORMAT_PCM_16, N);
    uint8_t *const common = m.data + find(&m, "COMM"), *const sound = m.data + find(&m, "SSND");
    put32(common + 10, 2 * N, true);
    expect(&m, CONURE_OK, N,
           "it declares 40000 samples (2.500 s), 20000 could be decoded (1.250 s)");
    put32(common + 10, N / 2, true);
    suspicious(m.data, m.bytes, "AIFF of half", 0);
    put32(common + 10, N, true);
    put32(sound + 4, 4 * N, true);
    expect(&m, CONURE_OK, N, "cut off: its chunk \"SSND\"");
    put32(sound + 4, 0x7f000008, true); /* into a pipe */
    put32(common + 10, 0x3f800000, true);
    expect(&m, CONURE_OK, N, "");
    put32(common + 10, N, true);
    put32(sound + 4, 8 + 2 * N, true);
    expect(&m, CONURE_OK, N, "");
    memset(common + 16, 0, 10); /* rate, an 80-bit float */
    expect(&m, CONURE_UNSUPPORTED, 0, "clip: sample rate 0 Hz, expected");
    common[16] = 0xc0; /* -2 */
    common[18] = 0x80;
    expect(&m, CONURE_UNSUPPORTED, 0, "clip: sample rate -2 Hz, expected");
    common[16] = 0x7f; /* infinite */
    common[17] = 0xff;
    expect(&m, CONURE_UNSUPPORTED, 0, "clip: sample rate 9223372036854775807 Hz, expected");
    made_free(&m);

    m = make_speech_like(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, N);
    uint8_t *const total = m.data + 4 + 4 + 14; /* the low 32 bits of the sample count */
    put32(total, N + 5000, true);
    suspicious(m.data, m.bytes, "FLAC of more", 0);
    put32(total, N - 5000, true);
    suspicious(m.data, m.bytes, "FLAC of less", 0);
    put32(total, 0, true); /* not known to its writer: no lie */
    expect(&m, CONURE_OK, N, "");
    put32(total, N, true);
    expect(&m, CONURE_OK, N, "");
    m.data[4 + 4 + 10] = m.data[4 + 4 + 11] = 0; /* rate 0 */
    m.data[4 + 4 + 12] &= 0x0f;
    expect(&m, CONURE_BAD_FILE, 0, "its header says a sample rate of 0 Hz, its frames 16000 Hz");
    made_free(&m);

    m = make_speech_like(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, N);
    size_t tag = 0;
    while (memcmp(m.data + tag, "Xing", 4) != 0 && memcmp(m.data + tag, "Info", 4) != 0)
        tag++;
    const uint32_t n_frames = (uint32_t)m.data[tag + 10] << 8 | m.data[tag + 11];
    put32(m.data + tag + 8, n_frames + 10, true);
    suspicious(m.data, m.bytes, "MP3 of more", 0);
    put32(m.data + tag + 8, n_frames - 10, true);
    suspicious(m.data, m.bytes, "MP3 of less", 0);
    made_free(&m);
}

/* STREAMINFO against the frames' headers and against the samples themselves. */
static void test_flac_header(void)
{
    static const int formats_of[] = {SF_FORMAT_PCM_S8, SF_FORMAT_PCM_16, SF_FORMAT_PCM_24};
    for (int i = 0; i < 3; i++) {
        float samples[2 * 9000];
        uint64_t seed = 3;
        for (int s = 0; s < 2 * 9000; s++)
            samples[s] = s == 7 ? -1 : test_uniform(&seed, -1, 1);
        made m = make_file(SF_FORMAT_FLAC | formats_of[i], RATE, 2, samples, 9000);
        uint8_t *const info = m.data + 8;
        expect(&m, CONURE_OK, 9000, "");
        info[18 + 5] ^= 0xff;
        expect(&m, CONURE_OK, 9000, "the MD5 sum of its samples is not the one that its header");
        memset(info + 18, 0, 16); /* not known to its writer */
        expect(&m, CONURE_OK, 9000, "");
        info[12] ^= 0x10; /* rate 16001: the output would be 2 samples shorter */
        expect(&m, CONURE_OK, 9000,
               "its header says a sample rate of 16001 Hz, its frames 16000 Hz, which is used");
        info[12] ^= 0x10;
        info[12] ^= 0x02; /* one channel */
        expect(&m, CONURE_BAD_FILE, 0, "its header says 1 channels of");
        info[12] ^= 0x02;
        info[13] ^= 0x40; /* 4 bits more or less */
        expect(&m, CONURE_BAD_FILE, 0, "its first frame 2 channels of");
        made_free(&m);
    }
}

/* MP3 frames without the tag that counts them are read to their end, whatever bitrates vary; ID3v1
 * and ID3v2 tags are no damage, and do not hide a second file behind a counted first. */
static void test_mp3_tags(void)
{
    made m = make_speech_like(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 4 * N);
    static const uint8_t id3v2[20] = {'I', 'D', '3', 4, 0, 0, 0, 0, 0, 10};
    uint8_t *file = calloc(1, 2 * m.bytes + 148);
    size_t n = 0;
    memcpy(file, id3v2, sizeof id3v2);
    n += sizeof id3v2;
    memcpy(file + n, m.data, m.bytes);
    n += m.bytes;
    memcpy(file + n, "TAGtitle", 8);
    n += 128;
    heard h = hear(file, n, NULL);
    test_int(h.status, CONURE_OK);
    test_text(h.info.damage, "");
    test_int(h.n, 4 * N);
    heard_free(&h);
    memcpy(file + n, m.data, m.bytes);
    suspicious(file, n + m.bytes, "two MP3", n);
    /* all frames but the first, which is the tag */
    size_t second = 200;
    while (memcmp(m.data + second, m.data, 2) != 0)
        second++;
    memcpy(file, m.data + second, m.bytes - second);
    h = hear(file, m.bytes - second, NULL);
    test_int(h.status, CONURE_OK);
    test_text(h.info.damage, "");
    test_true(h.n >= 4 * N);
    heard_free(&h);
    free(file);
    made_free(&m);
}

/* Set n bits that begin at a bit of a byte string. */
static void put_bits(uint8_t *p, size_t at, int n, uint32_t value)
{
    for (int i = 0; i < n; i++, at++) {
        const uint8_t bit = (uint8_t)(0x80 >> at % 8);
        p[at / 8] = (uint8_t)((value >> (n - 1 - i) & 1) ? p[at / 8] | bit : p[at / 8] & ~bit);
    }
}

/* Side information that cannot be true: decoders conceal it.  The fields of MPEG-2 mono, in bits. */
static void test_mp3_side(void)
{
    enum { HEAD = 32, DATA_BITS = 9, BIG = 21, SCALE = 38, WINDOWED = 47, TABLE = 48, NOT = -1 };
    static const struct {
        int at, n;
        uint32_t value;
        int at_2, n_2;
        uint32_t value_2;
        const char *says;
    } cases[] = {
        {BIG, 9, 289, NOT, 0, 0, "it has more than 576 frequency lines"},
        {WINDOWED, 3, 4, NOT, 0, 0, "its block type is reserved"},
        {WINDOWED, 1, 0, TABLE, 5, 14, "its code table is reserved"},
        {DATA_BITS, 12, 1, SCALE, 9, 319, "its scale factors are longer than its data"},
        {DATA_BITS, 12, 4095, SCALE, 9, 0, "it has fewer bytes than it counts"},
        {DATA_BITS, 21, 100 << 9 | 288, SCALE, 25, 24 << 10 | 24 << 5 | 24,
         "its codes are longer than its data"},
        {0, 8, 255, NOT, 0, 0, "its data begins within that of the frame before"},
    };
    made m = make_speech_like(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 4 * N);
    size_t frame = m.bytes / 2;
    while (memcmp(m.data + frame, m.data, 2) != 0)
        frame++;
    test_int(m.data[1], 0xf3); /* version 2, layer III, no checksum */
    test_int(m.data[frame + 3] >> 6, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *copy = malloc(m.bytes);
        char text[128];
        memcpy(copy, m.data, m.bytes);
        put_bits(copy + frame, HEAD + (size_t)cases[i].at, cases[i].n, cases[i].value);
        if (cases[i].at_2 != NOT)
            put_bits(copy + frame, HEAD + (size_t)cases[i].at_2, cases[i].n_2, cases[i].value_2);
        snprintf(text, sizeof text, "the MP3 frame at byte %zu is damaged: %s", frame,
                 cases[i].says);
        heard h = hear(copy, m.bytes, NULL);
        test_int(h.status, CONURE_OK);
        test_int(h.info.damaged, true);
        test_text(h.info.damage, text);
        heard_free(&h);
        free(copy);
    }
    const uint8_t kept = m.data[frame + 2];
    m.data[frame + 2] &= 0x0f; /* a bit rate of 0: not written there */
    heard h = hear(m.data, m.bytes, NULL);
    test_contains(h.info.damage, "bytes are not an MP3 frame");
    heard_free(&h);
    m.data[frame + 2] = kept;
    m.data[frame + 3] &= 0x3f; /* stereo */
    h = hear(m.data, m.bytes, NULL);
    test_contains(h.info.damage, "is damaged: it has another number of channels");
    heard_free(&h);
    made_free(&m);
    /* the checksum of a frame that LAME wrote */
    static const uint8_t side[9] = {0x00, 0x18, 0x98, 0xf6, 0x44, 0x14, 0x7b, 0x06, 0x0c};
    test_int(mp3_side_crc(0xfff248c4, side), 0x0922);
}

/* Code words of ISO/IEC 11172-3, table B.7, with the signs and escapes that follow them. */
static void test_mp3_codes(void)
{
    static const struct {
        uint32_t table;
        uint8_t word;
        uint32_t n_bits;
    } cases[] = {
        {0, 0x00, 0},           {1, 0x80, 1},
        {1, 0x40, 2 + 1},       {1, 0x00, 3 + 2},
        {2, 0x08, 5 + 2},       {3, 0xc0, 2},
        {13, 0x80, 1},          {16, 0x03, 8 + 2 + 2 * 1},
        {23, 0x03, 8 + 28},     {24, 0x30, 4 + 2 + 8},
        {31, 0x30, 4 + 2 + 26},
    };
    mp3_codes codes;
    mp3_codes_build(&codes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t data[8] = {cases[i].word};
        uint32_t at = 0;
        test_true(mp3_codes_fit(&codes, data, &at, 64, cases[i].table, 1));
        test_int(at, cases[i].n_bits);
        at = 0;
        test_true(!cases[i].n_bits ||
                  !mp3_codes_fit(&codes, data, &at, cases[i].n_bits - 1, cases[i].table, 1));
    }
}

static void test_ogg_structure(void)
{
    made m = make_speech_like(SF_FORMAT_OGG | SF_FORMAT_OPUS, 8 * N);
    size_t pages[64], n_pages = 0;
    for (size_t i = 0; i + 4 <= m.bytes && n_pages < 64; i++)
        if (memcmp(m.data + i, "OggS", 4) == 0)
            pages[n_pages++] = i;
    test_true(n_pages >= 5);
    const size_t drop = pages[3], next = pages[4]; /* a page in the middle is gone */
    uint8_t *copy = malloc(m.bytes);
    memcpy(copy, m.data, drop);
    memcpy(copy + drop, m.data + next, m.bytes - next);
    suspicious(copy, m.bytes - (next - drop), "Opus without a page", drop);
    free(copy);
    copy = malloc(m.bytes); /* a bit of the second page, which holds a header, is wrong */
    memcpy(copy, m.data, m.bytes);
    copy[pages[1] + 40] ^= 1;
    heard h = hear(copy, m.bytes, NULL);
    test_int(h.status, CONURE_BAD_FILE);
    test_contains(h.err.text, "clip: nothing of it can be decoded: the checksum of the Ogg page");
    heard_free(&h);
    free(copy);
    /* the last page is missing, cut exactly at its start */
    suspicious(m.data, pages[n_pages - 1], "Opus without its last page", pages[n_pages - 1]);
    made_free(&m);
}

static void test_not_finite(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const char *const says[] = {"is not a number", "is infinite", "is infinite"};
    for (int b = 0; b < 3; b++)
        for (int place = 0; place < 3; place++) {
            float samples[2 * 3000] = {0};
            const int frame = place == 0 ? 0 : place == 1 ? 1601 : 2999;
            char text[64];
            samples[2 * frame + 1] = bad[b];
            made m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, RATE, 2, samples, 3000);
            snprintf(text, sizeof text, "clip: sample %d (%.3f s) of channel 2 %s", frame,
                     frame / 16000.0, says[b]);
            expect(&m, CONURE_BAD_AUDIO, 0, text);
            conure_audio_options o;
            conure_audio_options_init(&o);
            o.channel = 0; /* the other channel is sound */
            heard h = hear(m.data, m.bytes, &o);
            test_int(h.status, CONURE_OK);
            test_int(h.n, 3000);
            heard_free(&h);
            made_free(&m);
        }
}

static void test_no_audio(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        conure_status status;
        const char *says;
    } cases[] = {
        {"", 0, CONURE_BAD_FILE, "clip: is empty"},
        {"x", 1, CONURE_UNSUPPORTED, "not WAV, AIFF, FLAC, Ogg or MP3"},
        {"This is a text about audio.", 27, CONURE_UNSUPPORTED, "--raw"},
        {"\0\0\0\x18"
         "ftypM4A ........",
         20, CONURE_UNSUPPORTED, "looks like MP4"},
        {"\x1a\x45\xdf\xa3........", 12, CONURE_UNSUPPORTED, "looks like Matroska"},
        {"RIFF\x04\0\0\0WAVE", 12, CONURE_BAD_FILE, "cannot be decoded as WAV"},
        {"RIFF\x04\0\0\0AVI LIST", 16, CONURE_UNSUPPORTED, "not WAV"},
        {"FORM\0\0\0\x04"
         "AIFF",
         12, CONURE_BAD_FILE, "cannot be decoded as AIFF"},
        {"fLaC", 4, CONURE_BAD_FILE, "cannot be decoded as FLAC"},
        {"OggS", 4, CONURE_BAD_FILE, "from byte 0 on, 4 bytes are not an Ogg page"},
        {"\xff\xfb\x90\x64", 4, CONURE_BAD_FILE, "cannot be decoded as MP3"},
        {"ID3\x04\0\0\0\0\0\x0a__________", 20, CONURE_BAD_FILE, "MP3"},
        {"ID3\x04\0\0\x7f\x7f\x7f\x7f", 10, CONURE_BAD_FILE, "MP3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        heard h = hear(cases[i].bytes, cases[i].n, NULL);
        test_int(h.status, cases[i].status);
        test_contains(h.err.text, cases[i].says);
        test_int(h.n, 0);
        heard_free(&h);
    }
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE, 1, NULL, 0);
    expect(&m, CONURE_OK, 0, ""); /* no samples, and none declared */
    made_free(&m);
}

int main(void)
{
    test_begin("audio damage");
    test_truncated();
    test_trailing_junk();
    test_overwritten();
    test_wav_lies();
    test_other_lies();
    test_flac_header();
    test_mp3_tags();
    test_mp3_side();
    test_mp3_codes();
    test_ogg_structure();
    test_not_finite();
    test_no_audio();
    return test_end();
}

/* tokenizer.c - a vocabulary after its checks, and token ids to text.  The readers of the file formats
 * are in tokenizer_sentencepiece.c, tokenizer_json.c and tokenizer_dump.c. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/tokenizer_internal.h"

#define SPACE_MARK      "\xE2\x96\x81" /* U+2581, SentencePiece's space */
#define SPACE_MARK_SIZE 3
#define REPLACEMENT     "\xEF\xBF\xBD" /* U+FFFD */
#define UNK_SURFACE     " \xE2\x81\x87 " /* U+2047, SentencePiece's default */

/* ---- looks of pieces ------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int conure_piece_byte(const char *text, size_t bytes)
{
    if (bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static bool enclosed(const char *text, size_t bytes, char open, char close)
{
    return bytes >= 2 && text[0] == open && text[bytes - 1] == close;
}

conure_piece_type conure_piece_type_guess(const char *text, size_t bytes)
{
    if (bytes == 5 && memcmp(text, "<unk>", 5) == 0)
        return CONURE_PIECE_UNKNOWN;
    if (conure_piece_byte(text, bytes) >= 0)
        return CONURE_PIECE_BYTE;
    return enclosed(text, bytes, '<', '>') ? CONURE_PIECE_CONTROL : CONURE_PIECE_NORMAL;
}

static bool starts_with(const char *text, size_t bytes, const char *prefix)
{
    const size_t n = strlen(prefix);
    return bytes >= n && memcmp(text, prefix, n) == 0;
}

/* ---- characters ------------------------------------------------------------------------------ */

/* Read one code point; returns its bytes, 0 (and code 0) at the end or on text that is not UTF-8. */
static size_t next_char(const char *text, size_t bytes, int32_t *code)
{
    utf8proc_int32_t value;
    *code = 0;
    if (!bytes)
        return 0;
    const utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &value);
    if (n <= 0)
        return 0;
    *code = value;
    return (size_t)n;
}

bool conure_text_valid(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        int32_t code;
        const size_t n = next_char(text + i, bytes - i, &code);
        if (!n || code == 0)
            return false;
        i += n;
    }
    return true;
}

static bool is_punctuation(int32_t code)
{
    const utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

/* What Python's \s matches, which NeMo removes before a mark. */
static bool is_space(int32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static int compare_codes(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool is_mark(const conure_tokenizer *tokenizer, int32_t code)
{
    const uint32_t key = (uint32_t)code;
    return tokenizer->n_marks && bsearch(&key, tokenizer->marks, tokenizer->n_marks,
                                         sizeof *tokenizer->marks, compare_codes);
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Append whole characters of valid text.  Where whitespace before marks is left out, each whitespace character waits
 * for the character behind it. */
static void emit(const conure_tokenizer *tokenizer, conure_decoding *d, const char *chars, size_t bytes,
                 conure_buffer *text)
{
    if (bytes)
        d->any = true;
    if (!d->strip || !tokenizer->n_marks) {
        conure_buffer_add(text, chars, bytes);
        return;
    }
    for (size_t at = 0; at < bytes;) {
        int32_t code;
        size_t n = next_char(chars + at, bytes - at, &code);
        if (!n)
            n = 1; /* cannot be: pieces and surfaces are valid */
        if (!is_mark(tokenizer, code))
            conure_buffer_add(text, d->space, d->n_space);
        d->n_space = 0;
        if (is_space(code))
            memcpy(d->space, chars + at, d->n_space = (uint8_t)n);
        else
            conure_buffer_add(text, chars + at, n);
        at += n;
    }
}

/* The piece with spaces for its marks.  While the text is empty a leading mark is left out: every time
 * with remove_extra_whitespaces, once with add_dummy_prefix alone. */
static void add_piece(const conure_tokenizer *tokenizer, conure_decoding *d, const conure_piece *piece,
                      conure_buffer *text)
{
    const char *from = piece->text, *const end = piece->text + piece->bytes;
    const bool strip = tokenizer->remove_extra_whitespaces ||
                       (tokenizer->add_dummy_prefix && !d->first_space_seen);

    if (strip && !d->any && starts_with(from, piece->bytes, SPACE_MARK)) {
        from += SPACE_MARK_SIZE;
        d->first_space_seen = true;
    }
    while (from < end) {
        const char *mark = strstr(from, SPACE_MARK);
        emit(tokenizer, d, from, (size_t)((mark ? mark : end) - from), text);
        if (!mark)
            break;
        emit(tokenizer, d, " ", 1, text);
        from = mark + SPACE_MARK_SIZE;
    }
}

/* Decode the characters that the bytes held make; what may still become one stays, unless the run is over. */
static void settle_bytes(const conure_tokenizer *tokenizer, conure_decoding *d, bool run_over, conure_buffer *text)
{
    while (d->n_bytes) {
        int32_t code;
        size_t used = next_char(d->bytes, d->n_bytes, &code);
        if (used && code != 0) {
            emit(tokenizer, d, d->bytes, used, text);
        } else if (run_over || d->n_bytes == sizeof d->bytes) {
            emit(tokenizer, d, REPLACEMENT, strlen(REPLACEMENT), text);
            used = 1;
        } else {
            return;
        }
        d->n_bytes = (uint8_t)(d->n_bytes - used);
        memmove(d->bytes, d->bytes + used, d->n_bytes);
    }
}

void conure_decoding_add(conure_decoding *decoding, const conure_tokenizer *tokenizer, uint32_t id,
                         conure_buffer *text)
{
    const conure_piece *piece = &tokenizer->pieces[id];

    if (piece->type == CONURE_PIECE_BYTE)
        decoding->bytes[decoding->n_bytes++] = (char)piece->byte;
    settle_bytes(tokenizer, decoding, piece->type != CONURE_PIECE_BYTE, text);
    if (piece->type == CONURE_PIECE_UNKNOWN)
        emit(tokenizer, decoding, tokenizer->unk_surface, strlen(tokenizer->unk_surface), text);
    else if (piece->type != CONURE_PIECE_BYTE && piece->type != CONURE_PIECE_CONTROL)
        add_piece(tokenizer, decoding, piece, text);
}

void conure_decoding_end(conure_decoding *decoding, const conure_tokenizer *tokenizer, conure_buffer *text)
{
    settle_bytes(tokenizer, decoding, true, text);
    conure_buffer_add(text, decoding->space, decoding->n_space);
    *decoding = (conure_decoding){.strip = decoding->strip};
}

void conure_decoding_save(const conure_decoding *decoding, conure_buffer *buffer)
{
    const uint8_t numbers[5] = {decoding->strip, decoding->any, decoding->first_space_seen, decoding->n_bytes,
                                decoding->n_space};
    conure_buffer_add(buffer, numbers, sizeof numbers);
    conure_buffer_add(buffer, decoding->bytes, decoding->n_bytes);
    conure_buffer_add(buffer, decoding->space, decoding->n_space);
}

bool conure_decoding_load(conure_decoding *decoding, conure_reader *reader)
{
    uint8_t numbers[5];
    int32_t code;

    conure_read(reader, numbers, sizeof numbers);
    if (reader->failed || numbers[0] > 1 || numbers[1] > 1 || numbers[2] > 1 ||
        numbers[3] >= sizeof decoding->bytes || numbers[4] > sizeof decoding->space)
        return false;
    *decoding = (conure_decoding){.strip = numbers[0], .any = numbers[1], .first_space_seen = numbers[2],
                                  .n_bytes = numbers[3], .n_space = numbers[4]};
    conure_read(reader, decoding->bytes, decoding->n_bytes);
    conure_read(reader, decoding->space, decoding->n_space);
    return !reader->failed && next_char(decoding->space, decoding->n_space, &code) == decoding->n_space &&
           (!decoding->n_space || is_space(code));
}

/* All ids are in range. */
static void join(const conure_tokenizer *tokenizer, const uint32_t *ids, size_t n, bool strip,
                 conure_buffer *text)
{
    conure_decoding decoding = {.strip = strip};

    for (size_t i = 0; i < n; i++)
        conure_decoding_add(&decoding, tokenizer, ids[i], text);
    conure_decoding_end(&decoding, tokenizer, text);
}

static conure_status decode(const conure_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                            bool strip, char **out, conure_error *err)
{
    conure_buffer text = {0};

    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no place for the text");
    *out = NULL;
    if (!tokenizer || (n && !ids))
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no tokens");
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= tokenizer->n_pieces)
            return conure_fail(err, CONURE_BAD_ARG,
                               "tokenizer: token %zu is %u, the vocabulary has %u pieces", i, ids[i],
                               tokenizer->n_pieces);
    join(tokenizer, ids, n, strip, &text);
    if (!text.failed && !text.data)
        text.data = conure_strdup("");
    if (text.failed || !text.data) {
        conure_buffer_free(&text);
        return conure_fail_memory(err, "text of tokens", n);
    }
    *out = text.data;
    return CONURE_OK;
}

conure_status conure_tokenizer_join(const conure_tokenizer *tokenizer, const uint32_t *ids, size_t n,
                                    char **out, conure_error *err)
{
    return decode(tokenizer, ids, n, false, out, err);
}

conure_status conure_tokenizer_decode(const conure_tokenizer *tokenizer, const uint32_t *ids,
                                      size_t n, char **out, conure_error *err)
{
    return decode(tokenizer, ids, n, true, out, err);
}

/* ---- building -------------------------------------------------------------------------------- */

conure_status conure_tokenizer_check_bytes(const void *data, size_t bytes, conure_error *err)
{
    if (!data)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no data");
    if (bytes > CONURE_TOKENIZER_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "tokenizer: %zu bytes, at most %u are read", bytes,
                           CONURE_TOKENIZER_BYTES_MAX);
    return CONURE_OK;
}

static conure_status check_pieces(const conure_raw_piece *pieces, size_t n_pieces,
                                  const conure_text_rules *rules, conure_error *err)
{
    if (n_pieces == 0)
        return conure_fail(err, CONURE_BAD_FILE, "tokenizer: the vocabulary is empty");
    if (n_pieces > CONURE_PIECES_MAX)
        return conure_fail(err, CONURE_LIMIT, "tokenizer: %zu pieces, at most %u are supported",
                           n_pieces, CONURE_PIECES_MAX);
    for (size_t i = 0; i < n_pieces; i++) {
        const conure_raw_piece *piece = &pieces[i];
        if (!piece->text || piece->bytes == 0 || piece->bytes > CONURE_PIECE_BYTES_MAX)
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: piece %zu has %zu bytes, expected 1 to %d", i,
                               piece->text ? piece->bytes : 0, CONURE_PIECE_BYTES_MAX);
        if (!conure_text_valid(piece->text, piece->bytes))
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: piece %zu is not UTF-8 text without NUL", i);
        if (piece->type < CONURE_PIECE_NORMAL || piece->type > CONURE_PIECE_BYTE)
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: piece %zu has type %d, expected 1 to 6", i, piece->type);
        if (piece->type == CONURE_PIECE_BYTE && conure_piece_byte(piece->text, piece->bytes) < 0)
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: byte piece %zu is \"%.*s\", expected <0x00> to <0xFF>", i,
                               (int)piece->bytes, piece->text);
    }
    if (rules->unk_surface && (rules->unk_surface_bytes > CONURE_PIECE_BYTES_MAX ||
                               !conure_text_valid(rules->unk_surface, rules->unk_surface_bytes)))
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: unk_surface is not UTF-8 text of at most %d bytes",
                           CONURE_PIECE_BYTES_MAX);
    return CONURE_OK;
}

static bool copy_pieces(conure_tokenizer *tokenizer, const conure_raw_piece *pieces)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < tokenizer->n_pieces; i++)
        bytes += pieces[i].bytes + 1; /* at most 2^20 times 513 */
    tokenizer->pieces = conure_calloc(tokenizer->n_pieces, sizeof *tokenizer->pieces);
    tokenizer->strings = conure_calloc(bytes, 1);
    if (!tokenizer->pieces || !tokenizer->strings)
        return false;
    char *to = tokenizer->strings;
    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        conure_piece *piece = &tokenizer->pieces[i];
        piece->text = memcpy(to, pieces[i].text, pieces[i].bytes);
        piece->bytes = (uint16_t)pieces[i].bytes;
        piece->type = (uint8_t)pieces[i].type;
        if (piece->type == CONURE_PIECE_BYTE)
            piece->byte = (uint8_t)conure_piece_byte(piece->text, piece->bytes);
        to += pieces[i].bytes + 1;
    }
    return true;
}

/* The punctuation of the vocabulary, by NeMo's rule: characters of category P in pieces that do not
 * start a word and are not special by their looks.  Source: spec 7.5. */
static bool collect_marks(conure_tokenizer *tokenizer)
{
    conure_buffer codes = {0};
    bool seen_ascii[128] = {false};

    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        const conure_piece *piece = &tokenizer->pieces[i];
        if (starts_with(piece->text, piece->bytes, SPACE_MARK) ||
            starts_with(piece->text, piece->bytes, "##") ||
            enclosed(piece->text, piece->bytes, '<', '>') ||
            enclosed(piece->text, piece->bytes, '[', ']'))
            continue;
        int32_t code;
        for (size_t at = 0, n; (n = next_char(piece->text + at, piece->bytes - at, &code)); at += n) {
            if (!is_punctuation(code) || (code < 128 && seen_ascii[code]))
                continue;
            if (code < 128)
                seen_ascii[code] = true;
            conure_buffer_add(&codes, &(uint32_t){(uint32_t)code}, sizeof(uint32_t));
        }
    }
    if (codes.failed) {
        conure_buffer_free(&codes);
        return false;
    }
    if (!codes.bytes)
        return true;
    tokenizer->marks = (uint32_t *)(void *)codes.data;
    const size_t n = codes.bytes / sizeof(uint32_t);
    qsort(tokenizer->marks, n, sizeof *tokenizer->marks, compare_codes);
    for (size_t i = 0; i < n; i++) /* once each */
        if (i == 0 || tokenizer->marks[i] != tokenizer->marks[i - 1])
            tokenizer->marks[tokenizer->n_marks++] = tokenizer->marks[i];
    return true;
}

/* Decode every piece alone. */
static bool make_surfaces(conure_tokenizer *tokenizer)
{
    conure_buffer text = {0};
    size_t at = 0;

    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        conure_buffer one = {0};
        join(tokenizer, &i, 1, false, &one);
        int32_t code;
        tokenizer->pieces[i].punctuation = one.bytes && !one.failed &&
                                           next_char(one.data, one.bytes, &code) == one.bytes &&
                                           is_mark(tokenizer, code);
        if (one.bytes)
            conure_buffer_add(&text, one.data, one.bytes);
        conure_buffer_add(&text, "", 1);
        text.failed = text.failed || one.failed;
        conure_buffer_free(&one);
    }
    tokenizer->surfaces = text.data;
    if (text.failed)
        return false;
    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        tokenizer->pieces[i].surface = text.data + at;
        at += strlen(text.data + at) + 1;
    }
    return true;
}

conure_status conure_tokenizer_build(conure_tokenizer **out, const conure_raw_piece *pieces,
                                     size_t n_pieces, const conure_text_rules *rules,
                                     conure_error *err)
{
    *out = NULL;
    conure_status status = check_pieces(pieces, n_pieces, rules, err);
    if (status != CONURE_OK)
        return status;
    conure_tokenizer *tokenizer = conure_calloc(1, sizeof *tokenizer);
    if (!tokenizer)
        return conure_fail_memory(err, "a tokenizer", sizeof *tokenizer);
    tokenizer->n_pieces = (uint32_t)n_pieces;
    tokenizer->add_dummy_prefix = rules->add_dummy_prefix;
    tokenizer->remove_extra_whitespaces = rules->remove_extra_whitespaces;
    tokenizer->unk_surface = rules->unk_surface
                                 ? conure_strndup(rules->unk_surface, rules->unk_surface_bytes)
                                 : conure_strdup(UNK_SURFACE);
    if (!tokenizer->unk_surface || !copy_pieces(tokenizer, pieces) || !collect_marks(tokenizer) ||
        !make_surfaces(tokenizer)) {
        conure_tokenizer_free(&tokenizer);
        return conure_fail_memory(err, "a tokenizer's pieces", n_pieces * sizeof(conure_piece));
    }
    *out = tokenizer;
    return CONURE_OK;
}

conure_status conure_tokenizer_from_pieces(conure_tokenizer **out, const char *const *pieces,
                                           const uint8_t *types, uint32_t n_pieces,
                                           const char *unk_surface, bool strip_leading_space,
                                           conure_error *err)
{
    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no place for the result");
    *out = NULL;
    if (n_pieces && !pieces)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no pieces");
    if (n_pieces > CONURE_PIECES_MAX)
        return conure_fail(err, CONURE_LIMIT, "tokenizer: %u pieces, at most %u are supported",
                           n_pieces, CONURE_PIECES_MAX);
    conure_raw_piece *raw = conure_calloc(n_pieces ? n_pieces : 1, sizeof *raw);
    if (!raw)
        return conure_fail_memory(err, "a tokenizer's pieces", n_pieces * sizeof *raw);
    for (uint32_t i = 0; i < n_pieces; i++) {
        raw[i].text = pieces[i];
        raw[i].bytes = pieces[i] ? strlen(pieces[i]) : 0;
        raw[i].type = types ? types[i] : conure_piece_type_guess(pieces[i], raw[i].bytes);
    }
    const conure_text_rules rules = {
        .unk_surface = unk_surface,
        .unk_surface_bytes = unk_surface ? strlen(unk_surface) : 0,
        .add_dummy_prefix = strip_leading_space,
        .remove_extra_whitespaces = strip_leading_space,
    };
    const conure_status status = conure_tokenizer_build(out, raw, n_pieces, &rules, err);
    free(raw);
    return status;
}

void conure_tokenizer_free(conure_tokenizer **tokenizer)
{
    if (!tokenizer || !*tokenizer)
        return;
    free((*tokenizer)->pieces);
    free((*tokenizer)->marks);
    free((*tokenizer)->strings);
    free((*tokenizer)->surfaces);
    free((*tokenizer)->unk_surface);
    free(*tokenizer);
    *tokenizer = NULL;
}

/* ---- questions ------------------------------------------------------------------------------- */

uint32_t conure_tokenizer_size(const conure_tokenizer *tokenizer)
{
    return tokenizer ? tokenizer->n_pieces : 0;
}

static const conure_piece *find(const conure_tokenizer *tokenizer, uint32_t id)
{
    return tokenizer && id < tokenizer->n_pieces ? &tokenizer->pieces[id] : NULL;
}

const char *conure_tokenizer_piece(const conure_tokenizer *tokenizer, uint32_t id)
{
    const conure_piece *piece = find(tokenizer, id);
    return piece ? piece->text : NULL;
}

const char *conure_tokenizer_surface(const conure_tokenizer *tokenizer, uint32_t id)
{
    const conure_piece *piece = find(tokenizer, id);
    return piece ? piece->surface : NULL;
}

conure_piece_type conure_tokenizer_type(const conure_tokenizer *tokenizer, uint32_t id)
{
    const conure_piece *piece = find(tokenizer, id);
    return piece ? (conure_piece_type)piece->type : CONURE_PIECE_UNUSED;
}

bool conure_tokenizer_is_punctuation(const conure_tokenizer *tokenizer, uint32_t id)
{
    const conure_piece *piece = find(tokenizer, id);
    return piece && piece->punctuation;
}

/* tokenizer_json.c - Hugging Face's tokenizer.json, of vocabularies that came from SentencePiece.
 *
 * Only what decoding needs is read: model.vocab, the unknown piece, byte_fallback, added_tokens, decoder.
 * Special added tokens are SentencePiece's CONTROL pieces and the others its USER_DEFINED ones (so
 * transformers converts them); decoding then follows SentencePiece, not Hugging Face, whose decoder differs
 * in rare cases, as in a text that starts with several spaces. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/tokenizer_internal.h"

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */
#define BLANK      "<blank>"      /* transformers appends it; it is no piece of ours */

/* The vocabulary while it is read. */
typedef struct vocabulary {
    conure_raw_piece *pieces; /* [cap], text NULL where no token was seen yet */
    size_t cap, n_model;      /* room; entries of model.vocab */
    json_int_t unk_id;        /* -1: none by number */
    const char *unk_token;    /* NULL: none by name */
    bool byte_fallback;
} vocabulary;

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* The string under a key for messages: never NULL. */
static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

/* ---- decoder --------------------------------------------------------------------------------- */

static conure_status refuse_decoder(conure_error *err, const char *type, const char *why)
{
    return conure_fail(err, CONURE_UNSUPPORTED,
                       "tokenizer: decoder %.60s%s is not supported; expected Metaspace, or Replace in "
                       "a Sequence, that turn U+2581 into a space",
                       type, why);
}

static conure_status read_metaspace(const json_t *decoder, conure_text_rules *rules,
                                    conure_error *err)
{
    const json_t *scheme = json_object_get(decoder, "prepend_scheme");
    const json_t *prefix = json_object_get(decoder, "add_prefix_space"); /* of older files */

    if (!is_text(json_object_get(decoder, "replacement"), SPACE_MARK))
        return refuse_decoder(err, "Metaspace", " with another replacement");
    const bool strip = scheme ? !is_text(scheme, "never") : !json_is_false(prefix);
    rules->add_dummy_prefix = strip;
    rules->remove_extra_whitespaces = strip;
    return CONURE_OK;
}

/* One step of a Sequence; *found becomes true at the one that makes spaces. */
static conure_status read_step(const json_t *step, conure_text_rules *rules, bool *found,
                               conure_error *err)
{
    const char *type = text_of(step, "type");

    if (strcmp(type, "ByteFallback") == 0 || strcmp(type, "Fuse") == 0)
        return CONURE_OK;
    if (strcmp(type, "Metaspace") == 0) {
        *found = true;
        return read_metaspace(step, rules, err);
    }
    if (strcmp(type, "Replace") == 0) {
        const json_t *pattern = json_object_get(step, "pattern");
        *found = true;
        if (!is_text(json_object_get(pattern, "String"), SPACE_MARK) ||
            !is_text(json_object_get(step, "content"), " "))
            return refuse_decoder(err, type, " of other characters");
        return CONURE_OK;
    }
    if (strcmp(type, "Strip") == 0) {
        if (!is_text(json_object_get(step, "content"), " ") ||
            json_integer_value(json_object_get(step, "start")) != 1 ||
            json_integer_value(json_object_get(step, "stop")) != 0)
            return refuse_decoder(err, type, " of other than one leading space");
        rules->add_dummy_prefix = true;
        return CONURE_OK;
    }
    return refuse_decoder(err, type, "");
}

static conure_status read_decoder(const json_t *decoder, conure_text_rules *rules,
                                  conure_error *err)
{
    const char *type = text_of(decoder, "type");
    const json_t *steps = json_object_get(decoder, "decoders");
    bool found = false;

    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(decoder, rules, err);
    if (strcmp(type, "Sequence") != 0)
        return refuse_decoder(err, type, "");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const conure_status status = read_step(json_array_get(steps, i), rules, &found, err);
        if (status != CONURE_OK)
            return status;
    }
    return found ? CONURE_OK : refuse_decoder(err, type, " that makes no spaces");
}

/* ---- model.vocab ----------------------------------------------------------------------------- */

/* Set an entry of model.vocab.  The text stays jansson's. */
static conure_status put(vocabulary *vocab, json_int_t id, const char *text, size_t bytes,
                         conure_error *err)
{
    if (id < 0 || (uint64_t)id >= vocab->n_model)
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: model.vocab gives \"%.40s\" the id %lld, expected 0 to %zu",
                           text, (long long)id, vocab->n_model - 1);
    conure_raw_piece *piece = &vocab->pieces[id];
    if (piece->text)
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: model.vocab gives the id %lld to \"%.40s\" and \"%.40s\"",
                           (long long)id, piece->text, text);
    const bool unknown = id == vocab->unk_id || (vocab->unk_token && strcmp(text, vocab->unk_token) == 0);
    const bool byte = vocab->byte_fallback && conure_piece_byte(text, bytes) >= 0;
    piece->text = text;
    piece->bytes = bytes;
    piece->type = unknown ? CONURE_PIECE_UNKNOWN : byte ? CONURE_PIECE_BYTE : CONURE_PIECE_NORMAL;
    return CONURE_OK;
}

/* BPE: {"piece": id}. */
static conure_status read_bpe(vocabulary *vocab, json_t *entries, conure_error *err)
{
    const char *text;
    json_t *id;

    json_object_foreach(entries, text, id) {
        if (!json_is_integer(id))
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: model.vocab[\"%.40s\"] is not a whole number", text);
        const conure_status status = put(vocab, json_integer_value(id), text, strlen(text), err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

/* Unigram: [["piece", score]]. */
static conure_status read_unigram(vocabulary *vocab, const json_t *entries, conure_error *err)
{
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *text = json_array_get(json_array_get(entries, i), 0);
        if (!json_is_string(text))
            return conure_fail(err, CONURE_BAD_FILE,
                               "tokenizer: model.vocab[%zu] is not a pair of a piece and a score", i);
        const conure_status status = put(vocab, (json_int_t)i, json_string_value(text),
                                         json_string_length(text), err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

/* Affixes would be taken off by decoding in a way that SentencePiece does not know. */
static conure_status check_affix(const json_t *model, const char *key, conure_error *err)
{
    const json_t *value = json_object_get(model, key);
    if (!value || json_is_null(value) || is_text(value, ""))
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "tokenizer: model.%s is set, which is not supported",
                       key);
}

static conure_status read_model(vocabulary *vocab, const json_t *model, size_t n_added,
                                conure_error *err)
{
    const char *type = text_of(model, "type");
    json_t *entries = json_object_get(model, "vocab");
    const json_t *unk_id = json_object_get(model, "unk_id");
    const bool bpe = strcmp(type, "BPE") == 0;

    if (!bpe && strcmp(type, "Unigram") != 0)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "tokenizer: model.type is \"%.40s\", expected BPE or Unigram", type);
    if (bpe ? !json_is_object(entries) : !json_is_array(entries))
        return conure_fail(err, CONURE_BAD_FILE, "tokenizer: model.vocab is missing or not %s",
                           bpe ? "an object" : "a list");
    conure_status status = check_affix(model, "continuing_subword_prefix", err);
    if (status == CONURE_OK)
        status = check_affix(model, "end_of_word_suffix", err);
    if (status != CONURE_OK)
        return status;

    vocab->n_model = bpe ? json_object_size(entries) : json_array_size(entries);
    if (vocab->n_model + n_added > CONURE_PIECES_MAX)
        return conure_fail(err, CONURE_LIMIT, "tokenizer: %zu pieces, at most %u are supported",
                           vocab->n_model + n_added, CONURE_PIECES_MAX);
    vocab->cap = vocab->n_model + n_added;
    vocab->pieces = conure_calloc(vocab->cap ? vocab->cap : 1, sizeof *vocab->pieces);
    if (!vocab->pieces)
        return conure_fail_memory(err, "a tokenizer's pieces", vocab->cap * sizeof *vocab->pieces);
    vocab->unk_id = json_is_integer(unk_id) ? json_integer_value(unk_id) : -1;
    vocab->unk_token = json_string_value(json_object_get(model, "unk_token"));
    vocab->byte_fallback = json_is_true(json_object_get(model, "byte_fallback"));
    return bpe ? read_bpe(vocab, entries, err) : read_unigram(vocab, entries, err);
}

/* ---- added_tokens ---------------------------------------------------------------------------- */

static conure_status read_added(vocabulary *vocab, const json_t *token, size_t i,
                                conure_error *err)
{
    const json_t *number = json_object_get(token, "id"), *content = json_object_get(token, "content");

    if (!json_is_integer(number) || !json_is_string(content))
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: added_tokens[%zu] lacks an id or a content", i);
    const json_int_t id = json_integer_value(number);
    const char *text = json_string_value(content);
    if (id < 0 || (uint64_t)id >= vocab->cap)
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: added_tokens[%zu] has id %lld, expected 0 to %zu", i,
                           (long long)id, vocab->cap - 1);
    conure_raw_piece *piece = &vocab->pieces[id];
    if (piece->text && strcmp(piece->text, text) != 0)
        return conure_fail(err, CONURE_BAD_FILE,
                           "tokenizer: token %lld is \"%.40s\" in added_tokens, but \"%.40s\" before",
                           (long long)id, text, piece->text);
    const bool by_name = vocab->unk_token && strcmp(text, vocab->unk_token) == 0;
    if (piece->type != CONURE_PIECE_UNKNOWN)
        piece->type = by_name ? CONURE_PIECE_UNKNOWN
                      : json_is_true(json_object_get(token, "special")) ? CONURE_PIECE_CONTROL
                                                                        : CONURE_PIECE_USER_DEFINED;
    piece->text = text;
    piece->bytes = json_string_length(content);
    return CONURE_OK;
}

/* The number of pieces: up to the last id that was seen, without the blank that ends it. */
static conure_status count(const vocabulary *vocab, size_t *n_pieces, conure_error *err)
{
    size_t n = vocab->cap;

    while (n && !vocab->pieces[n - 1].text)
        n--;
    if (n > vocab->n_model && strcmp(vocab->pieces[n - 1].text, BLANK) == 0)
        n--;
    for (size_t i = 0; i < n; i++)
        if (!vocab->pieces[i].text)
            return conure_fail(err, CONURE_BAD_FILE, "tokenizer: no token has the id %zu, but %zu has",
                               i, n - 1);
    *n_pieces = n;
    return CONURE_OK;
}

/* ---- the file -------------------------------------------------------------------------------- */

static conure_status from_json(conure_tokenizer **out, json_t *root, conure_error *err)
{
    const json_t *added = json_object_get(root, "added_tokens");
    const size_t n_added = json_array_size(added);
    vocabulary vocab = {0};
    conure_text_rules rules = {0};
    size_t n_pieces = 0;

    conure_status status = read_decoder(json_object_get(root, "decoder"), &rules, err);
    if (status == CONURE_OK)
        status = read_model(&vocab, json_object_get(root, "model"), n_added, err);
    for (size_t i = 0; status == CONURE_OK && i < n_added; i++)
        status = read_added(&vocab, json_array_get(added, i), i, err);
    if (status == CONURE_OK)
        status = count(&vocab, &n_pieces, err);
    if (status == CONURE_OK)
        status = conure_tokenizer_build(out, vocab.pieces, n_pieces, &rules, err);
    free(vocab.pieces);
    return status;
}

conure_status conure_tokenizer_parse_json(json_t **out, const char *json, size_t bytes,
                                          conure_error *err)
{
    json_error_t why;

    *out = NULL;
    const conure_status status = conure_tokenizer_check_bytes(json, bytes, err);
    if (status != CONURE_OK)
        return status;
    *out = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &why);
    if (*out)
        return CONURE_OK;
    /* jansson often says nothing when memory runs out */
    if (json_error_code(&why) == json_error_out_of_memory || !why.text[0])
        return conure_fail_memory(err, "a tokenizer's JSON text", bytes);
    return conure_fail(err, CONURE_BAD_FILE, "tokenizer: line %d, column %d: %s", why.line, why.column,
                       why.text);
}

conure_status conure_tokenizer_from_json(conure_tokenizer **out, const char *json, size_t bytes,
                                         conure_error *err)
{
    json_t *root;

    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: no place for the result");
    *out = NULL;
    conure_status status = conure_tokenizer_parse_json(&root, json, bytes, err);
    if (status == CONURE_OK)
        status = from_json(out, root, err);
    json_decref(root);
    return status;
}

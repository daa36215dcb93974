/* tokenizer_dump.c - a tokenizer as a compact JSON text and back: what a converted file stores.
 *
 *     {"kind": "conure-tokenizer", "version": 1, "unk_surface": " x ", "add_dummy_prefix": true,
 *      "remove_extra_whitespaces": true, "types": "211", "pieces": ["<unk>", "\u2581the", "."]}
 *
 * types holds one digit a piece.  The text is the same for equal tokenizers, so it can be hashed. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/tokenizer_internal.h"

#define KIND    "conure-tokenizer"
#define VERSION 1

static int append(const char *text, size_t bytes, void *user)
{
    conure_buffer *buffer = user;
    conure_buffer_add(buffer, text, bytes);
    return buffer->failed ? -1 : 0;
}

static json_t *to_json(const conure_tokenizer *tokenizer)
{
    char *types = conure_calloc((size_t)tokenizer->n_pieces + 1, 1);
    json_t *pieces = json_array();
    bool ok = types && pieces;

    for (uint32_t i = 0; ok && i < tokenizer->n_pieces; i++) {
        const conure_piece *piece = &tokenizer->pieces[i];
        types[i] = (char)('0' + piece->type);
        ok = json_array_append_new(pieces, json_stringn(piece->text, piece->bytes)) == 0;
    }
    json_t *root = NULL;
    if (ok)
        root = json_pack("{s:s, s:i, s:s, s:b, s:b, s:s, s:O}", "kind", KIND, "version", VERSION,
                         "unk_surface", tokenizer->unk_surface, "add_dummy_prefix",
                         tokenizer->add_dummy_prefix, "remove_extra_whitespaces",
                         tokenizer->remove_extra_whitespaces, "types", types, "pieces", pieces);
    json_decref(pieces);
    free(types);
    return root;
}

conure_status conure_tokenizer_dump(const conure_tokenizer *tokenizer, char **out, conure_error *err)
{
    conure_buffer text = {0};

    if (!tokenizer || !out)
        return conure_fail(err, CONURE_BAD_ARG, "tokenizer: nothing to dump");
    *out = NULL;
    json_t *root = to_json(tokenizer);
    const bool ok = root && json_dump_callback(root, append, &text, JSON_COMPACT) == 0;
    json_decref(root);
    if (!ok || text.failed) {
        conure_buffer_free(&text);
        return conure_fail_memory(err, "a tokenizer's dump", tokenizer->n_pieces);
    }
    *out = text.data;
    return CONURE_OK;
}

static conure_status from_json(conure_tokenizer **out, json_t *root, conure_error *err)
{
    const char *kind, *unk_surface, *types;
    size_t unk_surface_bytes, n_types;
    int version, add_dummy_prefix, remove_extra_whitespaces;
    json_t *pieces;
    json_error_t why;

    if (json_unpack_ex(root, &why, 0, "{s:s, s:i, s:s%, s:b, s:b, s:s%, s:o}", "kind", &kind,
                       "version", &version, "unk_surface", &unk_surface, &unk_surface_bytes,
                       "add_dummy_prefix", &add_dummy_prefix, "remove_extra_whitespaces",
                       &remove_extra_whitespaces, "types", &types, &n_types, "pieces", &pieces) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "tokenizer: %s", why.text);
    if (strcmp(kind, KIND) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "tokenizer: kind is \"%.40s\", expected \"" KIND "\"",
                           kind);
    if (version != VERSION)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "tokenizer: version %d, this build reads %d; convert the model again",
                           version, VERSION);
    const size_t n = json_array_size(pieces); /* 0 for what is not an array */
    if (n != n_types)
        return conure_fail(err, CONURE_BAD_FILE, "tokenizer: %zu pieces but %zu types", n, n_types);
    conure_raw_piece *raw = conure_calloc(n ? n : 1, sizeof *raw);
    if (!raw)
        return conure_fail_memory(err, "a tokenizer's pieces", n * sizeof *raw);
    for (size_t i = 0; i < n; i++) {
        json_t *piece = json_array_get(pieces, i);
        raw[i].text = json_string_value(piece); /* NULL for what is not a string: build refuses */
        raw[i].bytes = json_string_length(piece);
        raw[i].type = types[i] - '0';
    }
    const conure_text_rules rules = {unk_surface, unk_surface_bytes, add_dummy_prefix != 0,
                                     remove_extra_whitespaces != 0};
    const conure_status status = conure_tokenizer_build(out, raw, n, &rules, err);
    free(raw);
    return status;
}

conure_status conure_tokenizer_from_dump(conure_tokenizer **out, const char *json, size_t bytes,
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

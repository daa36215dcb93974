/* The readers of vocabulary files: SentencePiece models written here by hand, tokenizer.json, dumps. */
#include "base/memory.h"
#include "model/tokenizer.h"

#include "synthetic.h"
#include "test.h"

/* ---- a writer of protobuf, as far as needed -------------------------------------------------- */

static void add_varint(conure_buffer *out, uint64_t value)
{
    do {
        const uint8_t byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        conure_buffer_add(out, &byte, 1);
        value >>= 7;
    } while (value);
}

static void add_number(conure_buffer *out, uint32_t field, uint64_t value)
{
    add_varint(out, field << 3);
    add_varint(out, value);
}

static void add_block(conure_buffer *out, uint32_t field, const void *data, size_t bytes)
{
    add_varint(out, field << 3 | 2);
    add_varint(out, bytes);
    conure_buffer_add(out, data, bytes);
}

/* Every piece with a score (field 2, fixed32) that readers skip; type only where it is not NORMAL. */
static void add_pieces(conure_buffer *out, const char *const *pieces, const uint8_t *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        conure_buffer piece = {0};
        add_block(&piece, 1, pieces[i], strlen(pieces[i]));
        conure_buffer_add(&piece, "\x15\0\0\0\xBF", 5);
        if (types && types[i] != CONURE_PIECE_NORMAL)
            add_number(&piece, 3, types[i]);
        add_block(out, 1, piece.data, piece.bytes);
        conure_buffer_free(&piece);
    }
}

static char *dump_of(const conure_tokenizer *tokenizer)
{
    char *dump = NULL;
    test_int(conure_tokenizer_dump(tokenizer, &dump, NULL), CONURE_OK);
    return dump;
}

/* ---- SentencePiece --------------------------------------------------------------------------- */

static void check_sentencepiece(void)
{
    conure_tokenizer *plain = NULL, *read = NULL;
    conure_buffer model = {0};

    add_pieces(&model, synthetic_pieces, synthetic_types, N_SYNTHETIC);
    test_int(conure_tokenizer_from_sentencepiece(&read, model.data, model.bytes, NULL), CONURE_OK);
    test_int(conure_tokenizer_from_pieces(&plain, synthetic_pieces, synthetic_types, N_SYNTHETIC, NULL,
                                          true, NULL), CONURE_OK);
    char *a = dump_of(plain), *b = dump_of(read);
    test_text(b, a);
    free(a);
    free(b);
    conure_tokenizer_free(&plain);
    conure_tokenizer_free(&read);

    /* Every cut is refused or read, never worse (the sanitizers watch); a cut inside a piece is refused. */
    conure_error err;
    for (size_t cut = 0; cut < model.bytes; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, model.data, cut);
        const conure_status status = conure_tokenizer_from_sentencepiece(&read, copy, cut, &err);
        test_true(status == CONURE_OK || status == CONURE_BAD_FILE);
        conure_tokenizer_free(&read);
        free(copy);
    }
    test_int(conure_tokenizer_from_sentencepiece(&read, model.data, model.bytes - 1, &err),
             CONURE_BAD_FILE);
    test_contains(err.text, "SentencePiece");
    conure_buffer_free(&model);
}

/* The normalizer's and the trainer's options: what a text that starts with three spaces becomes. */
static void check_options(void)
{
    static const struct {
        int add_dummy_prefix, remove_extra_whitespaces; /* -1: not in the file */
        const char *want;
    } cases[] = {
        {-1, -1, "Hello#"}, {1, 0, " Hello#"},    {0, 1, "Hello#"},
        {0, 0, "  Hello#"}, {-1, 0, " Hello#"}, {0, -1, "Hello#"},
    };
    static const uint32_t ids[] = {SPACE, START, HELLO, UNK};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_buffer model = {0}, normalizer = {0}, trainer = {0};
        conure_tokenizer *tokenizer = NULL;
        char *text = NULL;
        add_pieces(&model, synthetic_pieces, synthetic_types, N_SYNTHETIC);
        add_block(&normalizer, 1, "nmt_nfkc", 8);
        if (cases[i].add_dummy_prefix >= 0)
            add_number(&normalizer, 3, (uint64_t)cases[i].add_dummy_prefix);
        if (cases[i].remove_extra_whitespaces >= 0)
            add_number(&normalizer, 4, (uint64_t)cases[i].remove_extra_whitespaces);
        add_block(&model, 3, normalizer.data, normalizer.bytes);
        add_block(&trainer, 44, "#", 1);
        add_block(&model, 2, trainer.data, trainer.bytes);
        test_int(conure_tokenizer_from_sentencepiece(&tokenizer, model.data, model.bytes, NULL),
                 CONURE_OK);
        test_int(conure_tokenizer_decode(tokenizer, ids, 4, &text, NULL), CONURE_OK);
        test_text(text, cases[i].want);
        char *dump = dump_of(tokenizer);
        conure_tokenizer *again = NULL;
        test_int(conure_tokenizer_from_dump(&again, dump, strlen(dump), NULL), CONURE_OK);
        free(text);
        test_int(conure_tokenizer_decode(again, ids, 4, &text, NULL), CONURE_OK);
        test_text(text, cases[i].want);
        free(text);
        free(dump);
        conure_tokenizer_free(&again);
        conure_tokenizer_free(&tokenizer);
        conure_buffer_free(&model);
        conure_buffer_free(&normalizer);
        conure_buffer_free(&trainer);
    }
}

static void check_hostile_sentencepiece(void)
{
    conure_tokenizer *tokenizer = NULL;
    conure_error err;
    conure_buffer model = {0}, part = {0};

    add_pieces(&model, synthetic_pieces, synthetic_types, 8);
    add_block(&part, 2, "rules", 5);
    add_block(&model, 5, part.data, part.bytes);
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, model.data, model.bytes, &err),
             CONURE_UNSUPPORTED);
    test_contains(err.text, "denormalizer");
    conure_buffer_free(&model);
    conure_buffer_free(&part);

    /* A NUL inside a piece, and a type nobody knows. */
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, "\n\5\n\3a\0b", 7, &err), CONURE_BAD_FILE);
    test_contains(err.text, "NUL");
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, "\n\5\n\1a\x18\x09", 7, &err), CONURE_BAD_FILE);
    test_contains(err.text, "type 9");
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, "", 0, &err), CONURE_BAD_FILE);
    test_contains(err.text, "empty");
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, NULL, 0, &err), CONURE_BAD_ARG);
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, "", (size_t)CONURE_TOKENIZER_BYTES_MAX + 1,
                                                 &err), CONURE_LIMIT);

    /* Empty pieces by the million: two bytes each in the file. */
    for (uint32_t i = 0; i < 2 * CONURE_PIECES_MAX; i++)
        conure_buffer_add(&model, "\n\0", 2);
    test_int(conure_tokenizer_from_sentencepiece(&tokenizer, model.data, model.bytes, &err),
             CONURE_LIMIT);
    test_true(!tokenizer);
    conure_buffer_free(&model);
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

#define METASPACE \
    "\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}"
#define LLAMA                                                                                        \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":" \
    "\"\\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"               \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"
#define BPE(vocab) "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":" vocab "}"
#define ADDED                                                                                       \
    "\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"                           \
    "{\"id\":1,\"content\":\"<pad>\",\"special\":true},{\"id\":5,\"content\":\"<tag>\",\"special\":" \
    "false},{\"id\":6,\"content\":\"<blank>\",\"special\":true}],"
#define VOCAB "{\"<unk>\":0,\"\\u2581a\":2,\"<pad>\":1,\".\":3,\"<0x2E>\":4}"

static void check_json(void)
{
    static const char *const pieces[] = {"<unk>", "<pad>", SP "a", ".", "<0x2E>", "<tag>"};
    static const uint8_t types[] = {2, 3, 1, 1, 6, 4};
    static const char *const good[] = {
        "{" ADDED METASPACE "," BPE(VOCAB) "}",
        "{" ADDED METASPACE ",\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,"
        "\"vocab\":[[\"<unk>\",0],[\"<pad>\",0],[\"\\u2581a\",-1.5],[\".\",-2],[\"<0x2E>\",0]]}}",
    };
    conure_tokenizer *want = NULL, *got = NULL;

    test_int(conure_tokenizer_from_pieces(&want, pieces, types, 6, NULL, true, NULL), CONURE_OK);
    char *dump = dump_of(want);
    for (size_t i = 0; i < 2; i++) {
        conure_error err = {""};
        test_int(conure_tokenizer_from_json(&got, good[i], strlen(good[i]), &err), CONURE_OK);
        test_text(err.text, "");
        char *again = dump_of(got);
        test_text(again, dump);
        free(again);
        conure_tokenizer_free(&got);
    }
    /* Another decoder of the same meaning, but for the number of leading spaces. */
    static const uint32_t ids[] = {2, 2, 3};
    static const char llama[] = "{" LLAMA "," BPE("{\"<unk>\":0,\"b\":1,\"\\u2581\":2,\".\":3}") "}";
    char *text = NULL;
    test_int(conure_tokenizer_from_json(&got, llama, sizeof llama - 1, NULL), CONURE_OK);
    test_int(conure_tokenizer_join(got, ids, 3, &text, NULL), CONURE_OK);
    test_text(text, " .");
    free(text);
    free(dump);
    conure_tokenizer_free(&got);
    conure_tokenizer_free(&want);
}

static void check_bad_json(void)
{
    static const struct {
        const char *json;
        conure_status status;
        const char *says;
    } bad[] = {
        {"{", CONURE_BAD_FILE, "line 1"},
        {"[]", CONURE_UNSUPPORTED, "decoder (none)"},
        {"{\"decoder\":{\"type\":\"ByteLevel\"}}", CONURE_UNSUPPORTED, "ByteLevel"},
        {"{\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}}", CONURE_UNSUPPORTED, "replacement"},
        {"{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"}]}}", CONURE_UNSUPPORTED,
         "no spaces"},
        {"{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"CTC\"}]}}", CONURE_UNSUPPORTED, "CTC"},
        {"{" METASPACE "}", CONURE_UNSUPPORTED, "model.type"},
        {"{" METASPACE ",\"model\":{\"type\":\"WordPiece\"}}", CONURE_UNSUPPORTED, "WordPiece"},
        {"{" METASPACE ",\"model\":{\"type\":\"BPE\"}}", CONURE_BAD_FILE, "not an object"},
        {"{" METASPACE ",\"model\":{\"type\":\"Unigram\",\"vocab\":{}}}", CONURE_BAD_FILE, "not a list"},
        {"{" METASPACE ",\"model\":{\"type\":\"Unigram\",\"vocab\":[[1,2]]}}", CONURE_BAD_FILE, "vocab[0]"},
        {"{" METASPACE "," BPE("{}") "}", CONURE_BAD_FILE, "empty"},
        {"{" METASPACE "," BPE("{\"a\":\"0\"}") "}", CONURE_BAD_FILE, "whole number"},
        {"{" METASPACE "," BPE("{\"a\":-1}") "}", CONURE_BAD_FILE, "id -1"},
        {"{" METASPACE "," BPE("{\"a\":1}") "}", CONURE_BAD_FILE, "id 1"},
        {"{" METASPACE "," BPE("{\"a\":0,\"b\":0}") "}", CONURE_BAD_FILE, "id 0 to"},
        {"{" METASPACE "," BPE("{\"a\":0,\"a\":1}") "}", CONURE_BAD_FILE, "duplicate"},
        {"{" METASPACE ",\"added_tokens\":[{\"id\":2,\"content\":\"b\"},{\"id\":2,\"content\":\"b\"}],"
         BPE("{\"a\":0}") "}", CONURE_BAD_FILE, "no token has the id 1"},
        {"{" METASPACE ",\"added_tokens\":[{\"id\":0,\"content\":\"b\"}]," BPE("{\"a\":0}") "}",
         CONURE_BAD_FILE, "token 0 is \"b\""},
        {"{" METASPACE ",\"added_tokens\":[{\"id\":9,\"content\":\"b\"}]," BPE("{\"a\":0}") "}",
         CONURE_BAD_FILE, "id 9"},
        {"{" METASPACE ",\"added_tokens\":[3]," BPE("{\"a\":0}") "}", CONURE_BAD_FILE, "added_tokens[0]"},
        {"{" METASPACE ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"end_of_word_suffix\":\"</w>\"}}",
         CONURE_UNSUPPORTED, "end_of_word_suffix"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_tokenizer *tokenizer = NULL;
        conure_error err = {""};
        test_int(conure_tokenizer_from_json(&tokenizer, bad[i].json, strlen(bad[i].json), &err),
                 bad[i].status);
        test_true(!tokenizer);
        test_contains(err.text, bad[i].says);
    }
}

/* ---- dumps ----------------------------------------------------------------------------------- */

static void check_bad_dump(void)
{
#define DUMP(kind, version, types, pieces)                                                        \
    "{\"kind\":\"" kind "\",\"version\":" version ",\"unk_surface\":\" \",\"add_dummy_prefix\":true," \
    "\"remove_extra_whitespaces\":true,\"types\":\"" types "\",\"pieces\":" pieces "}"
    static const struct {
        const char *json;
        conure_status status;
        const char *says;
    } cases[] = {
        {DUMP("conure-tokenizer", "1", "12", "[\"a\",\"<unk>\"]"), CONURE_OK, ""},
        {DUMP("conure-tokenizer", "2", "1", "[\"a\"]"), CONURE_UNSUPPORTED, "version 2"},
        {DUMP("other", "1", "1", "[\"a\"]"), CONURE_BAD_FILE, "\"other\""},
        {DUMP("conure-tokenizer", "1", "1", "[\"a\",\"b\"]"), CONURE_BAD_FILE, "2 pieces but 1"},
        {DUMP("conure-tokenizer", "1", "", "{}"), CONURE_BAD_FILE, "empty"},
        {DUMP("conure-tokenizer", "1", "1", "[1]"), CONURE_BAD_FILE, "0 bytes"},
        {DUMP("conure-tokenizer", "1", "x", "[\"a\"]"), CONURE_BAD_FILE, "type 72"},
        {"{\"kind\":1}", CONURE_BAD_FILE, "tokenizer: "},
        {"[]", CONURE_BAD_FILE, "tokenizer: "},
        {"nonsense", CONURE_BAD_FILE, "line 1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_tokenizer *tokenizer = NULL;
        conure_error err = {""};
        test_int(conure_tokenizer_from_dump(&tokenizer, cases[i].json, strlen(cases[i].json), &err),
                 cases[i].status);
        test_true(!tokenizer == (cases[i].status != CONURE_OK));
        test_contains(err.text, cases[i].says);
        conure_tokenizer_free(&tokenizer);
    }
}

int main(void)
{
    test_begin("tokenizer_files");
    check_sentencepiece();
    check_options();
    check_hostile_sentencepiece();
    check_json();
    check_bad_json();
    check_bad_dump();
    return test_end();
}

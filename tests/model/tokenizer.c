/* Decoding by table, on a vocabulary with a piece of every kind (spec 7.5).  The expected texts without
 * punctuation rule were confirmed with SentencePiece 0.2 on a model of the same pieces. */
#include "model/tokenizer.h"

#include "synthetic.h"
#include "test.h"

#define IDS(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4

typedef struct decode_case {
    const uint32_t *ids;
    size_t n;
    const char *joined, *text; /* by SentencePiece; by NeMo (NULL: the same) */
} decode_case;

static const decode_case cases[] = {
    {NULL, 0, "", NULL},
    {IDS(HELLO), "Hello", NULL},
    {IDS(HELLO, WOR, LD, SPACE, BANG), "Hello world !", "Hello world!"},
    {IDS(HELLO, SPACE, SPACE, BANG), "Hello  !", "Hello !"}, /* one space only */
    {IDS(SPACE, SPACE, HELLO), "Hello", NULL},               /* leading ones all go */
    {IDS(LD, HELLO), "ld Hello", NULL},
    {IDS(SPACE_DOT, HELLO), ". Hello", NULL},
    {IDS(HELLO, SPACE_DOT), "Hello .", "Hello."},
    {IDS(HELLO, SPACE_DASH, WOR), "Hello - wor", NULL},
    {IDS(HELLO, INVERTED, WOR), "Hello \xC2\xBF wor", NULL},
    {IDS(HELLO, SPACE_DOLLAR), "Hello $", NULL}, /* a symbol, not punctuation */
    {IDS(DON, APOSTROPHE, T, SPACE, APOSTROPHE), "don't '", "don't'"},
    {IDS(HELLO, SPACE, ELLIPSIS), "Hello ...", "Hello..."},
    {IDS(HELLO, SPACE, STOP_CJK), "Hello \xE3\x80\x82", "Hello\xE3\x80\x82"},
    {IDS(TWO_WORDS, TWO_WORDS), "in the in the", NULL},
    {IDS(START, HELLO, START, WOR), "Hello wor", NULL},
    {IDS(UNK, HELLO), " \xE2\x81\x87  Hello", NULL},
    {IDS(HELLO, UNK, DOT), "Hello \xE2\x81\x87 .", "Hello \xE2\x81\x87."},
    {IDS(HELLO, SPEAKER, NOISE), "Hello<|speaker|>[noise]", NULL},
    {IDS(HELLO, SPACE, NOISE), "Hello [noise]", NULL},
    {IDS(USER_SPACE, HELLO), "tag  Hello", NULL},
    {IDS(HELLO, UNUSED), "Hello old", NULL},
    {IDS(HELLO, BYTE_C3, BYTE_A9), "Hello\xC3\xA9", NULL},
    {IDS(BYTE_E2, BYTE_82, BYTE_AC, HELLO), "\xE2\x82\xAC Hello", NULL},
    {IDS(BYTE_C3), FFFD, NULL},
    {IDS(BYTE_C3, HELLO, BYTE_A9), FFFD " Hello" FFFD, NULL},             /* a run ends at text */
    {IDS(BYTE_C3, START, BYTE_A9), FFFD FFFD, NULL},                      /* and at CONTROL */
    {IDS(BYTE_C3, BYTE_C3, BYTE_A9), FFFD "\xC3\xA9", NULL},              /* each bad byte alone */
    {IDS(BYTE_E2, BYTE_82), FFFD FFFD, NULL},                             /* cut short */
    {IDS(BYTE_ED, BYTE_AC, BYTE_82), FFFD FFFD FFFD, NULL},               /* a surrogate */
    {IDS(BYTE_C0, BYTE_AC), FFFD FFFD, NULL},                             /* overlong */
    {IDS(BYTE_A9, BYTE_C3, BYTE_A9, BYTE_82), FFFD "\xC3\xA9" FFFD, NULL},
    {IDS(HELLO, SPACE, BYTE_2E), "Hello .", "Hello."},
    {IDS(BYTE_00, HELLO), FFFD " Hello", NULL},
};

static void check_decode(const conure_tokenizer *tokenizer)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        test_int(conure_tokenizer_join(tokenizer, cases[i].ids, cases[i].n, &text, NULL), CONURE_OK);
        test_text(text, cases[i].joined);
        free(text);
        test_int(conure_tokenizer_decode(tokenizer, cases[i].ids, cases[i].n, &text, NULL), CONURE_OK);
        test_text(text, cases[i].text ? cases[i].text : cases[i].joined);
        free(text);
    }
}

static void check_questions(const conure_tokenizer *tokenizer)
{
    static const struct {
        uint32_t id;
        bool punctuation;
        const char *surface;
    } facts[] = {
        {DOT, true, "."},          {COMMA, true, ","},         {APOSTROPHE, true, "'"},
        {SPACE_DOT, true, "."},    {BYTE_2E, true, "."},       {STOP_CJK, true, "\xE3\x80\x82"},
        {ELLIPSIS, false, "..."},  {SPACE_DASH, false, "-"},   {SPACE_DOLLAR, false, "$"},
        {HELLO, false, "Hello"},   {SPACE, false, ""},         {START, false, ""},
        {BYTE_C3, false, FFFD},    {NOISE, false, "[noise]"},  {INVERTED, false, "\xC2\xBF"},
        {TWO_WORDS, false, "in the"}, {UNK, false, " \xE2\x81\x87 "},
    };

    test_int(conure_tokenizer_size(tokenizer), N_SYNTHETIC);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        test_int(conure_tokenizer_is_punctuation(tokenizer, facts[i].id), facts[i].punctuation);
        test_text(conure_tokenizer_surface(tokenizer, facts[i].id), facts[i].surface);
    }
    for (uint32_t i = 0; i < N_SYNTHETIC; i++) {
        test_text(conure_tokenizer_piece(tokenizer, i), synthetic_pieces[i]);
        test_int(conure_tokenizer_type(tokenizer, i), synthetic_types[i]);
    }
    test_true(!conure_tokenizer_piece(tokenizer, N_SYNTHETIC));
    test_true(!conure_tokenizer_surface(tokenizer, UINT32_MAX));
    test_true(!conure_tokenizer_is_punctuation(tokenizer, N_SYNTHETIC));
}

static void check_bad_ids(const conure_tokenizer *tokenizer)
{
    conure_error err = {""};
    char *text = (char *)"kept";
    const uint32_t ids[] = {HELLO, N_SYNTHETIC};

    test_int(conure_tokenizer_decode(tokenizer, ids, 2, &text, &err), CONURE_BAD_ARG);
    test_true(!text);
    test_contains(err.text, "token 1 is 34");
    test_int(conure_tokenizer_decode(tokenizer, NULL, 1, &text, &err), CONURE_BAD_ARG);
    test_int(conure_tokenizer_decode(NULL, NULL, 0, &text, &err), CONURE_BAD_ARG);
    test_int(conure_tokenizer_join(tokenizer, ids, 1, NULL, &err), CONURE_BAD_ARG);
}

/* Spaces at the start stay where the model says so. */
static void check_no_strip(void)
{
    conure_tokenizer *tokenizer = NULL;
    char *text = NULL;

    test_int(conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC,
                                          "?", false, NULL), CONURE_OK);
    test_int(conure_tokenizer_decode(tokenizer, IDS(SPACE, HELLO, UNK), &text, NULL), CONURE_OK);
    test_text(text, "  Hello?");
    test_text(conure_tokenizer_surface(tokenizer, HELLO), " Hello");
    test_true(!conure_tokenizer_is_punctuation(tokenizer, SPACE_DOT)); /* " ." */
    free(text);
    conure_tokenizer_free(&tokenizer);
    test_true(!tokenizer);
    conure_tokenizer_free(&tokenizer);
    conure_tokenizer_free(NULL);
}

/* Types by looks, and what is refused. */
static void check_pieces(void)
{
    static const char *const guessed[] = {"<unk>", "<pad>", "<0x41>", "<0xag>", "a", "<", "<>"};
    static const int want[] = {2, 3, 6, 3, 1, 1, 3};
    static char wide[CONURE_PIECE_BYTES_MAX + 2];
    conure_tokenizer *tokenizer = NULL;
    conure_error err;

    test_int(conure_tokenizer_from_pieces(&tokenizer, guessed, NULL, 7, NULL, true, NULL), CONURE_OK);
    for (uint32_t i = 0; i < 7; i++)
        test_int(conure_tokenizer_type(tokenizer, i), want[i]);
    conure_tokenizer_free(&tokenizer);

    memset(wide, 'a', sizeof wide - 1);
    const struct {
        const char *piece;
        uint8_t type;
        const char *says;
    } bad[] = {
        {"", 1, "piece 1 has 0 bytes"},     {NULL, 1, "piece 1 has 0 bytes"},
        {wide, 1, "513 bytes"},             {"\xFF", 1, "not UTF-8"},
        {"a\xC3", 1, "not UTF-8"},          {"a", 0, "type 0"},
        {"a", 7, "type 7"},                 {"<0xff>", 6, "byte piece 1"},
        {"\xED\xA0\x80", 1, "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const pieces[] = {"b", bad[i].piece};
        const uint8_t types[] = {1, bad[i].type};
        test_int(conure_tokenizer_from_pieces(&tokenizer, pieces, types, 2, NULL, true, &err),
                 CONURE_BAD_FILE);
        test_true(!tokenizer);
        test_contains(err.text, bad[i].says);
    }
    test_int(conure_tokenizer_from_pieces(&tokenizer, NULL, NULL, 0, NULL, true, &err), CONURE_BAD_FILE);
    test_contains(err.text, "empty");
    test_int(conure_tokenizer_from_pieces(&tokenizer, guessed, NULL, 7, "\xFF", true, &err),
             CONURE_BAD_FILE);
    test_contains(err.text, "unk_surface");
    test_int(conure_tokenizer_from_pieces(&tokenizer, guessed, NULL, CONURE_PIECES_MAX + 1, NULL, true,
                                          &err), CONURE_LIMIT);
}

int main(void)
{
    conure_tokenizer *tokenizer = NULL, *again = NULL;
    conure_error err = {""};
    char *dump = NULL, *second = NULL;

    test_begin("tokenizer");
    test_int(conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC,
                                          NULL, true, &err), CONURE_OK);
    check_decode(tokenizer);
    check_questions(tokenizer);
    check_bad_ids(tokenizer);

    test_int(conure_tokenizer_dump(tokenizer, &dump, &err), CONURE_OK);
    test_int(conure_tokenizer_from_dump(&again, dump, strlen(dump), &err), CONURE_OK);
    check_decode(again);
    check_questions(again);
    test_int(conure_tokenizer_dump(again, &second, &err), CONURE_OK);
    test_text(second, dump);
    free(dump);
    free(second);
    conure_tokenizer_free(&tokenizer);
    conure_tokenizer_free(&again);

    check_no_strip();
    check_pieces();
    return test_end();
}

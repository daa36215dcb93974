/* Words and segments by table, on a vocabulary with a piece of every kind (spec 6.5).  The tables, and
 * 60,000 random sequences, were compared with NeMo 2.7.3's own functions on a SentencePiece model of the
 * same pieces. */
#include "decode/words.h"

#include "model/synthetic.h"
#include "test.h"

#define WORDS_MAX 8

typedef struct span {
    const char *text;
    uint32_t start, end; /* frames */
    uint32_t first, n;   /* tokens of a word, words of a segment */
} span;

typedef struct words_case {
    struct {
        uint32_t id, frame, duration;
    } tokens[WORDS_MAX];
    uint32_t n_tokens;
    const char *text;
    span words[WORDS_MAX];    /* up to the one without text */
    span segments[WORDS_MAX];
} words_case;

static const words_case cases[] = {
    /* marks take no time, though emitted late; segments end at . ? ! */
    {{{HELLO, 0, 2}, {COMMA, 9, 1}, {WOR, 10, 2}, {LD, 12, 1}, {DOT, 20, 4}, {HELLO, 30, 0}}, 6,
     "Hello, world. Hello",
     {{"Hello,", 0, 2, 0, 2}, {"world.", 10, 13, 2, 3}, {"Hello", 30, 30, 5, 1}},
     {{"Hello, world.", 0, 13, 0, 2}, {"Hello", 30, 30, 2, 1}}},
    {{{HELLO, 0, 2}, {BANG, 2, 1}, {WOR, 10, 2}, {QUESTION, 12, 1}, {DON, 14, 1}, {ELLIPSIS, 15, 2}}, 6,
     "Hello! wor? don...",
     {{"Hello!", 0, 2, 0, 2}, {"wor?", 10, 12, 2, 2}, {"don...", 14, 17, 4, 2}},
     {{"Hello!", 0, 2, 0, 1}, {"wor?", 10, 12, 1, 1}, {"don...", 14, 17, 2, 1}}},
    /* an apostrophe is a mark too: the t behind it has its own times */
    {{{DON, 3, 2}, {APOSTROPHE, 6, 2}, {T, 9, 1}}, 3, "don't", {{"don't", 3, 10, 0, 3}}, {{"don't", 3, 10, 0, 1}}},
    /* a mark behind a space joins the word with its space; the text of the whole loses it */
    {{{HELLO, 0, 2}, {SPACE_DOT, 4, 1}, {HELLO, 6, 1}}, 3, "Hello. Hello",
     {{"Hello .", 0, 2, 0, 2}, {"Hello", 6, 7, 2, 1}},
     {{"Hello .", 0, 2, 0, 1}, {"Hello", 6, 7, 1, 1}}},
    /* a bare space starts a word; a mark then takes its place */
    {{{HELLO, 0, 2}, {SPACE, 3, 1}, {LD, 5, 1}, {SPACE, 6, 1}, {BANG, 9, 1}}, 5, "Hello ld!",
     {{"Hello", 0, 2, 0, 1}, {"ld", 3, 6, 1, 2}, {"!", 6, 7, 3, 2}},
     {{"Hello ld !", 0, 7, 0, 3}}},
    /* the first word starts with the first token, whatever it is */
    {{{LD, 4, 1}, {HELLO, 6, 1}}, 2, "ld Hello", {{"ld", 4, 5, 0, 1}, {"Hello", 6, 7, 1, 1}}, {{"ld Hello", 4, 7, 0, 2}}},
    {{{DOT, 4, 3}, {HELLO, 8, 1}}, 2, ". Hello", {{".", 4, 7, 0, 1}, {"Hello", 8, 9, 1, 1}},
     {{".", 4, 7, 0, 1}, {"Hello", 8, 9, 1, 1}}},
    /* bytes start words of their own, as NeMo has it; control pieces empty ones */
    {{{HELLO, 0, 1}, {BYTE_C3, 1, 1}, {BYTE_A9, 2, 1}, {T, 3, 1}}, 4, "Hello\xC3\xA9t",
     {{"Hello", 0, 1, 0, 1}, {FFFD, 1, 2, 1, 1}, {FFFD "t", 2, 4, 2, 2}},
     {{"Hello " FFFD " " FFFD "t", 0, 4, 0, 3}}},
    {{{HELLO, 0, 1}, {START, 1, 1}, {WOR, 2, 1}}, 3, "Hello wor",
     {{"Hello", 0, 1, 0, 1}, {"", 1, 2, 1, 1}, {"wor", 2, 3, 2, 1}}, {{"Hello  wor", 0, 3, 0, 3}}},
    {{{HELLO, 0, 1}, {BYTE_2E, 5, 1}, {T, 7, 1}}, 3, "Hello.t", {{"Hello.t", 0, 8, 0, 3}}, {{"Hello.t", 0, 8, 0, 1}}},
    /* user-defined pieces print as they are and continue the word; so do unused ones, by their space */
    {{{HELLO, 0, 1}, {SPEAKER, 1, 1}, {NOISE, 2, 2}, {UNUSED, 5, 1}}, 4, "Hello<|speaker|>[noise] old",
     {{"Hello<|speaker|>[noise]", 0, 4, 0, 3}, {"old", 5, 6, 3, 1}},
     {{"Hello<|speaker|>[noise] old", 0, 6, 0, 2}}},
    {{{HELLO, 0, 1}, {UNK, 1, 1}}, 2, "Hello \xE2\x81\x87 ", {{"Hello", 0, 1, 0, 1}, {" \xE2\x81\x87 ", 1, 2, 1, 1}},
     {{"Hello  \xE2\x81\x87 ", 0, 2, 0, 2}}},
    /* two words in one piece are one word */
    {{{TWO_WORDS, 1, 3}, {STOP_CJK, 5, 1}}, 2, "in the\xE3\x80\x82", {{"in the\xE3\x80\x82", 1, 4, 0, 2}},
     {{"in the\xE3\x80\x82", 1, 4, 0, 1}}},
    {.n_tokens = 0, .text = ""},
};

static uint32_t count(const span *spans)
{
    uint32_t n = 0;
    while (n < WORDS_MAX && spans[n].text)
        n++;
    return n;
}

static void check_case(const conure_tokenizer *tokenizer, const words_case *c)
{
    conure_token tokens[WORDS_MAX] = {{0}};
    conure_words got;

    for (uint32_t i = 0; i < c->n_tokens; i++)
        tokens[i] = (conure_token){c->tokens[i].id, c->tokens[i].frame, c->tokens[i].duration,
                                   1 - 0.1f * (float)i, NULL};
    test_int(conure_words_build(&got, tokenizer, tokens, c->n_tokens, 0.08, NULL), CONURE_OK);
    test_text(got.text, c->text);
    test_int(got.n_words, count(c->words));
    for (uint32_t i = 0; i < got.n_words && i < count(c->words); i++) {
        const conure_word *word = &got.words[i];
        test_text(word->text, c->words[i].text);
        test_near(word->start_s, 0.08 * c->words[i].start, 1e-12);
        test_near(word->end_s, 0.08 * c->words[i].end, 1e-12);
        test_int(word->first_token, c->words[i].first);
        test_int(word->n_tokens, c->words[i].n);
        test_near(word->confidence, 1 - 0.1f * (float)(word->first_token + word->n_tokens - 1), 1e-6);
    }
    test_int(got.n_segments, count(c->segments));
    for (uint32_t i = 0; i < got.n_segments && i < count(c->segments); i++) {
        const conure_segment *segment = &got.segments[i];
        test_text(segment->text, c->segments[i].text);
        test_near(segment->start_s, 0.08 * c->segments[i].start, 1e-12);
        test_near(segment->end_s, 0.08 * c->segments[i].end, 1e-12);
        test_int(segment->first_word, c->segments[i].first);
        test_int(segment->n_words, c->segments[i].n);
        test_near(segment->confidence, got.words[segment->first_word + segment->n_words - 1].confidence, 0);
    }
    conure_words_free(&got);
    test_true(!got.words && !got.text);
}

/* The least confident token need not be the last. */
static void check_confidence(const conure_tokenizer *tokenizer)
{
    const conure_token tokens[] = {{HELLO, 0, 1, 0.9f, NULL}, {LD, 1, 1, 0.2f, NULL}, {T, 2, 1, 0.7f, NULL},
                                   {WOR, 3, 1, 0.6f, NULL}};
    conure_words got;

    test_int(conure_words_build(&got, tokenizer, tokens, 4, 0.08, NULL), CONURE_OK);
    test_int(got.n_words, 2);
    test_near(got.words[0].confidence, 0.2f, 0);
    test_near(got.words[1].confidence, 0.6f, 0);
    test_near(got.segments[0].confidence, 0.2f, 0);
    conure_words_free(&got);
}

/* A space of its own separates words, where the tokenizer keeps leading spaces. */
static void check_delimiter(void)
{
    static const conure_token tokens[] = {{T, 0, 1, 1, NULL},     {SPACE, 1, 1, 0.1f, NULL}, {LD, 3, 1, 1, NULL},
                                          {SPACE, 4, 1, 1, NULL}, {DOT, 9, 1, 1, NULL},      {SPACE, 10, 1, 1, NULL}};
    conure_tokenizer *tokenizer = NULL;
    conure_words got;

    test_int(conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC,
                                          NULL, false, NULL), CONURE_OK);
    test_int(conure_words_build(&got, tokenizer, tokens, 6, 1, NULL), CONURE_OK);
    test_text(got.text, "t ld. ");
    test_int(got.n_words, 2);
    test_text(got.words[0].text, "t");
    test_near(got.words[0].confidence, 1, 0); /* the space is no part of it */
    test_text(got.words[1].text, "ld.");
    test_near(got.words[1].start_s, 3, 0);
    test_near(got.words[1].end_s, 5, 0);
    test_int(got.words[1].n_tokens, 3); /* ld, the space, the mark */
    test_int(got.n_segments, 1);
    test_text(got.segments[0].text, "t ld.");
    conure_words_free(&got);

    /* Where NeMo fails: a mark behind an empty word. */
    static const conure_token odd[] = {{START, 0, 1, 1, NULL}, {SPACE, 1, 1, 1, NULL}, {DOT, 2, 1, 1, NULL}};
    test_int(conure_words_build(&got, tokenizer, odd, 3, 1, NULL), CONURE_OK);
    test_int(got.n_words, 1);
    test_text(got.words[0].text, ".");
    conure_words_free(&got);
    conure_tokenizer_free(&tokenizer);
}

/* Any numbers are safe, and long inputs take linear time. */
static void check_hostile(const conure_tokenizer *tokenizer)
{
    const uint32_t n = 200000;
    conure_token *tokens = calloc(n, sizeof *tokens);
    conure_words got;
    conure_error err;
    uint64_t seed = 5;

    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (conure_token){(uint32_t)(test_random(&seed) % N_SYNTHETIC), UINT32_MAX, UINT32_MAX, NAN, NULL};
    test_int(conure_words_build(&got, tokenizer, tokens, n, 0.08, NULL), CONURE_OK);
    test_near(got.words[got.n_words - 1].end_s, 2.0 * UINT32_MAX * 0.08, 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < got.n_words; i++) {
        if (got.words[i].first_token < at || got.words[i].n_tokens == 0)
            break;
        at = got.words[i].first_token + got.words[i].n_tokens;
    }
    test_int(at, n);
    conure_words_free(&got);
    for (uint32_t i = 0; i < n; i++)
        tokens[i].id = SPACE;
    test_int(conure_words_build(&got, tokenizer, tokens, n, 0.08, NULL), CONURE_OK);
    test_text(got.text, "");
    test_int(got.n_words, n);
    conure_words_free(&got);
    tokens[7].id = N_SYNTHETIC;
    test_int(conure_words_build(&got, tokenizer, tokens, n, 0.08, &err), CONURE_BAD_ARG);
    test_contains(err.text, "token 7 is 34");
    test_true(!got.words && !got.n_words);
    test_int(conure_words_build(&got, tokenizer, NULL, 1, 0.08, &err), CONURE_BAD_ARG);
    test_int(conure_words_build(&got, NULL, tokens, 1, 0.08, &err), CONURE_BAD_ARG);
    free(tokens);
}

int main(void)
{
    conure_tokenizer *tokenizer = NULL;

    test_begin("words");
    test_int(conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC,
                                          NULL, true, NULL), CONURE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(tokenizer, &cases[i]);
    check_confidence(tokenizer);
    check_delimiter();
    check_hostile(tokenizer);
    conure_tokenizer_free(&tokenizer);
    return test_end();
}

/* Live text beside conure_words_build() of all tokens: random vocabularies, tokens, portions, takes and snapshots. */
#include "decode/live_text.h"

#include <malloc.h>

#include "decode/words.h"
#include "model/synthetic.h"
#include "test.h"

enum { TOKENS_MAX = 80, PIECES_MAX = 40, WORDS_MAX = TOKENS_MAX };

static const double frame_s = 0.08;

/* More kinds of space than the synthetic vocabulary has. */
static const struct {
    const char *text;
    conure_piece_type type;
} odd_pieces[] = {
    {" ", CONURE_PIECE_NORMAL},       {" ", CONURE_PIECE_USER_DEFINED}, {"_", CONURE_PIECE_NORMAL},
    {SP SP, CONURE_PIECE_NORMAL},     {"<0x20>", CONURE_PIECE_BYTE},    {"\xC2\xA0", CONURE_PIECE_NORMAL},
    {"a ", CONURE_PIECE_NORMAL},      {" .", CONURE_PIECE_NORMAL},      {"\xE3\x80\x80", CONURE_PIECE_NORMAL},
    {"<0xF0>", CONURE_PIECE_BYTE},    {"<0x9F>", CONURE_PIECE_BYTE},    {"<0x98>", CONURE_PIECE_BYTE},
    {SP "_", CONURE_PIECE_NORMAL},    {"x" SP, CONURE_PIECE_NORMAL},    {"-", CONURE_PIECE_UNUSED},
    {"\t", CONURE_PIECE_USER_DEFINED}, {SP "\xC3\xA9", CONURE_PIECE_NORMAL},
};
enum { N_ODD = sizeof odd_pieces / sizeof *odd_pieces };

/* Everything that one utterance gave, put together. */
typedef struct collected {
    conure_buffer text;
    conure_word words[WORDS_MAX];
    uint32_t n_words;
} collected;

static conure_tokenizer *random_vocabulary(uint64_t *seed)
{
    static const char *const unk[] = {NULL, " ", "?", "", " .", "x"};
    const char *pieces[PIECES_MAX];
    uint8_t types[PIECES_MAX];
    conure_tokenizer *tokenizer = NULL;
    const uint32_t n = 2 + (uint32_t)(test_random(seed) % (PIECES_MAX - 2));

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t pick = (uint32_t)(test_random(seed) % (N_SYNTHETIC + N_ODD));
        pieces[i] = pick < N_SYNTHETIC ? synthetic_pieces[pick] : odd_pieces[pick - N_SYNTHETIC].text;
        types[i] = pick < N_SYNTHETIC ? synthetic_types[pick] : (uint8_t)odd_pieces[pick - N_SYNTHETIC].type;
    }
    test_int(conure_tokenizer_from_pieces(&tokenizer, pieces, types, n, unk[test_random(seed) % 6],
                                          test_random(seed) & 1, NULL), CONURE_OK);
    return tokenizer;
}

static void collect(collected *all, const conure_live_piece *piece)
{
    test_true(conure_text_valid(piece->text, strlen(piece->text)));
    conure_buffer_text(&all->text, piece->text);
    for (uint32_t i = 0; i < piece->n_words && all->n_words < WORDS_MAX; i++) {
        all->words[all->n_words] = piece->words[i];
        all->words[all->n_words++].text = conure_strdup(piece->words[i].text);
    }
}

static void forget(collected *all)
{
    for (uint32_t i = 0; i < all->n_words; i++)
        free((char *)(uintptr_t)all->words[i].text);
    conure_buffer_free(&all->text);
    *all = (collected){0};
}

static bool same_word(const conure_word *a, const conure_word *b)
{
    return strcmp(a->text, b->text) == 0 && a->start_s == b->start_s && a->end_s == b->end_s &&
           memcmp(&a->confidence, &b->confidence, sizeof a->confidence) == 0 && a->first_token == b->first_token &&
           a->n_tokens == b->n_tokens;
}

static bool same_as_whole(const collected *all, const conure_words *whole)
{
    bool same = strcmp(all->text.data ? all->text.data : "", whole->text) == 0 && all->n_words == whole->n_words;
    for (uint32_t i = 0; same && i < all->n_words; i++)
        same = same_word(&all->words[i], &whole->words[i]);
    return same;
}

/* What was taken and a tentative rest are the text of all tokens there would be. */
static bool tentative_ok(conure_live_text *live, const collected *all, const conure_tokenizer *tokenizer,
                         const conure_token *tokens, uint32_t n_added, uint32_t n_more)
{
    conure_words whole;
    const char *rest;
    test_int(conure_words_build(&whole, tokenizer, tokens, n_added + n_more, frame_s, NULL), CONURE_OK);
    test_int(conure_live_text_tentative(live, tokens + n_added, n_more, &rest, NULL), CONURE_OK);
    const size_t n = all->text.bytes;
    const bool same = strncmp(whole.text, all->text.data ? all->text.data : "", n) == 0 &&
                      strcmp(whole.text + n, rest) == 0;
    conure_words_free(&whole);
    return same;
}

static void through_snapshot(conure_live_text *live[2])
{
    conure_live_text *const other = live[1];
    conure_buffer a = {0}, b = {0};

    conure_live_text_save(live[0], &a);
    conure_reader reader = {.data = (const uint8_t *)a.data, .bytes = a.bytes};
    test_int(conure_live_text_load(other, &reader, NULL), CONURE_OK);
    test_int(reader.at, a.bytes);
    conure_live_text_save(other, &b);
    test_true(a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0);
    live[1] = live[0];
    live[0] = other;
    conure_buffer_free(&a);
    conure_buffer_free(&b);
}

/* Tokens of a few kinds only, so that rare neighbours meet. */
static uint32_t random_tokens(conure_token *tokens, uint32_t n_pieces, uint64_t *seed)
{
    const uint32_t n = (uint32_t)(test_random(seed) % TOKENS_MAX), n_kinds = 1 + (uint32_t)(test_random(seed) % 8);
    uint32_t kinds[8];

    for (uint32_t i = 0; i < n_kinds; i++)
        kinds[i] = (uint32_t)(test_random(seed) % n_pieces);
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (conure_token){
            .id = test_random(seed) % 16 ? kinds[test_random(seed) % n_kinds] : (uint32_t)(test_random(seed) % n_pieces),
            .frame = test_random(seed) % 64 ? 3 * i : UINT32_MAX,
            .duration = (uint32_t)(test_random(seed) % 5),
            .confidence = test_random(seed) % 64 ? test_uniform(seed, 0, 1) : NAN,
        };
    return n;
}

static bool utterance(conure_live_text *live[2], const conure_tokenizer *tokenizer, uint64_t *seed)
{
    conure_token tokens[TOKENS_MAX];
    const uint32_t n = random_tokens(tokens, conure_tokenizer_size(tokenizer), seed);
    collected all = {0};
    conure_live_piece piece;
    conure_words whole;
    bool same = true;

    for (uint32_t at = 0; at < n;) {
        const uint32_t more = (uint32_t)(test_random(seed) % 6), add = more < n - at ? more : n - at;
        test_int(conure_live_text_add(live[0], tokens + at, add, NULL), CONURE_OK);
        at += add;
        if (test_random(seed) % 4) {
            test_int(conure_live_text_take(live[0], false, &piece, NULL), CONURE_OK);
            collect(&all, &piece);
        }
        if (test_random(seed) % 4 == 0)
            same = same && tentative_ok(live[0], &all, tokenizer, tokens, at, (uint32_t)(test_random(seed) % (n - at + 1)));
        if (test_random(seed) % 8 == 0)
            through_snapshot(live);
    }
    test_int(conure_live_text_take(live[0], true, &piece, NULL), CONURE_OK);
    collect(&all, &piece);
    test_int(conure_words_build(&whole, tokenizer, tokens, n, frame_s, NULL), CONURE_OK);
    same = same && same_as_whole(&all, &whole);
    conure_words_free(&whole);
    forget(&all);
    return same;
}

static void test_random_utterances(uint64_t first, uint64_t n)
{
    for (uint64_t start = first; start < first + n; start++) {
        uint64_t seed = start * 0x9E3779B97F4A7C15ull;
        conure_tokenizer *tokenizer = random_vocabulary(&seed);
        conure_live_text *live[2] = {NULL, NULL};
        test_int(conure_live_text_open(&live[0], tokenizer, frame_s, NULL), CONURE_OK);
        test_int(conure_live_text_open(&live[1], tokenizer, frame_s, NULL), CONURE_OK);
        for (int i = 0; i < 8; i++) {
            const bool same = utterance(live, tokenizer, &seed);
            test_true(same);
            if (!same)
                fprintf(stderr, "seed %llu, utterance %d\n", (unsigned long long)start, i);
        }
        conure_live_text_close(&live[0]);
        conure_live_text_close(&live[1]);
        conure_tokenizer_free(&tokenizer);
    }
}

/* ---- by hand --------------------------------------------------------------------------------- */

static const char *take_after(conure_live_text *live, uint32_t id, uint32_t n_words)
{
    static conure_live_piece piece;
    static uint32_t frame;
    const conure_token token = {id, frame++, 1, 1, NULL};
    test_int(conure_live_text_add(live, &token, 1, NULL), CONURE_OK);
    test_int(conure_live_text_take(live, false, &piece, NULL), CONURE_OK);
    test_int(piece.n_words, n_words);
    return piece.text;
}

/* When things become certain. */
static void test_certainty(const conure_tokenizer *tokenizer)
{
    conure_live_text *live = NULL;
    conure_live_piece piece;
    const char *text;
    const conure_token more[] = {{COMMA, 9, 1, 1, NULL}, {DON, 9, 1, 1, NULL}};

    test_int(conure_live_text_open(&live, tokenizer, frame_s, NULL), CONURE_OK);
    test_text(take_after(live, HELLO, 0), "Hello");
    test_text(take_after(live, SPACE, 1), ""); /* a mark may remove it: ... */
    test_int(conure_live_text_tentative(live, more, 2, &text, NULL), CONURE_OK);
    test_text(text, ", don");
    test_int(conure_live_text_tentative(live, NULL, 0, &text, NULL), CONURE_OK);
    test_text(text, " ");
    test_text(take_after(live, LD, 0), " ld");
    test_text(take_after(live, DOT, 0), "."); /* ... here in a word of its own, as NeMo has it */
    test_text(take_after(live, BYTE_E2, 1), "");
    test_text(take_after(live, BYTE_82, 1), "");
    test_text(take_after(live, BYTE_AC, 1), "\xE2\x82\xAC");
    test_text(take_after(live, BYTE_E2, 1), "");
    test_int(conure_live_text_take(live, true, &piece, NULL), CONURE_OK);
    test_text(piece.text, FFFD);
    test_int(piece.n_words, 1);
    test_int(piece.words[0].first_token, 7);
    test_int(conure_live_text_take(live, true, &piece, NULL), CONURE_OK);
    test_text(piece.text, "");
    test_true(piece.n_words == 0 && !piece.words);
    test_text(take_after(live, WOR, 0), "wor"); /* a new utterance has no space before it */
    conure_live_text_reset(live);
    test_text(take_after(live, WOR, 0), "wor");
    conure_live_text_close(&live);
    test_true(!live);
}

static void test_refused(const conure_tokenizer *tokenizer)
{
    conure_live_text *live = NULL;
    conure_live_piece piece;
    conure_error err;
    const char *text;
    const conure_token tokens[] = {{HELLO, 0, 1, 1, NULL}, {N_SYNTHETIC, 0, 1, 1, NULL}};

    test_int(conure_live_text_open(&live, NULL, frame_s, &err), CONURE_BAD_ARG);
    test_int(conure_live_text_open(&live, tokenizer, frame_s, &err), CONURE_OK);
    test_int(conure_live_text_add(live, tokens, 2, &err), CONURE_BAD_ARG);
    test_contains(err.text, "token 1 is 34");
    test_int(conure_live_text_tentative(live, tokens, 2, &text, &err), CONURE_BAD_ARG);
    test_int(conure_live_text_add(live, NULL, 2, &err), CONURE_BAD_ARG);
    test_int(conure_live_text_take(live, true, &piece, &err), CONURE_OK);
    test_text(piece.text, "");
    conure_live_text_close(&live);
}

/* Snapshots cut anywhere and bent anywhere: refused, or used without harm. */
static void test_hostile(uint64_t seed)
{
    conure_tokenizer *tokenizer = random_vocabulary(&seed);
    conure_live_text *live = NULL;
    conure_token tokens[TOKENS_MAX];
    conure_live_piece piece;
    conure_buffer saved = {0};
    const uint32_t n = random_tokens(tokens, conure_tokenizer_size(tokenizer), &seed);

    test_int(conure_live_text_open(&live, tokenizer, frame_s, NULL), CONURE_OK);
    test_int(conure_live_text_add(live, tokens, n, NULL), CONURE_OK);
    conure_live_text_save(live, &saved);
    for (size_t cut = 0; cut < saved.bytes; cut++) {
        uint8_t *bytes = malloc(cut + 1);
        memcpy(bytes, saved.data, cut);
        conure_reader reader = {.data = bytes, .bytes = cut};
        test_int(conure_live_text_load(live, &reader, NULL), CONURE_BAD_FILE);
        free(bytes);
    }
    for (int i = 0; i < 500; i++) {
        uint8_t *bytes = malloc(saved.bytes);
        memcpy(bytes, saved.data, saved.bytes);
        bytes[test_random(&seed) % saved.bytes] = (uint8_t)test_random(&seed);
        conure_reader reader = {.data = bytes, .bytes = saved.bytes};
        if (conure_live_text_load(live, &reader, NULL) == CONURE_OK)
            conure_live_text_add(live, tokens, n, NULL);
        test_int(conure_live_text_take(live, true, &piece, NULL), CONURE_OK);
        test_true(conure_text_valid(piece.text, strlen(piece.text)));
        for (uint32_t k = 0; k < piece.n_words; k++)
            test_true(conure_text_valid(piece.words[k].text, strlen(piece.words[k].text)));
        free(bytes);
    }
    conure_buffer_free(&saved);
    conure_live_text_close(&live);
    conure_tokenizer_free(&tokenizer);
}

/* Two million tokens of one utterance: what a session keeps does not grow. */
static void test_long(const conure_tokenizer *tokenizer)
{
    conure_live_text *live = NULL;
    conure_live_piece piece;
    conure_buffer early = {0}, late = {0};
    uint64_t seed = 21, n_words = 0;
    size_t used_early = 0;

    test_int(conure_live_text_open(&live, tokenizer, frame_s, NULL), CONURE_OK);
    for (uint32_t i = 0; i < 2000000; i += 10) {
        conure_token tokens[10];
        for (uint32_t k = 0; k < 10; k++)
            tokens[k] = (conure_token){(uint32_t)(test_random(&seed) % N_SYNTHETIC), i + k, 1, 1, NULL};
        if (conure_live_text_add(live, tokens, 10, NULL) != CONURE_OK ||
            conure_live_text_take(live, false, &piece, NULL) != CONURE_OK)
            break;
        n_words += piece.n_words;
        if (i == 200000) {
            used_early = mallinfo2().uordblks;
            conure_live_text_save(live, &early);
        }
    }
    const size_t used_late = mallinfo2().uordblks;
    conure_live_text_save(live, &late);
    test_int(conure_live_text_take(live, true, &piece, NULL), CONURE_OK);
    n_words += piece.n_words;
    test_true(n_words > 1000000);
    test_int(piece.words[piece.n_words - 1].first_token + piece.words[piece.n_words - 1].n_tokens, 2000000);
    test_true(late.bytes < 2000 && early.bytes < 2000);
    test_true(used_late <= used_early + 8192); /* the longest word grows a little; an early snapshot lies there too */
    conure_buffer_free(&early);
    conure_buffer_free(&late);
    conure_live_text_close(&live);
}

int main(int argc, char **argv)
{
    conure_tokenizer *tokenizer = NULL;

    test_begin("live text");
    test_int(conure_tokenizer_from_pieces(&tokenizer, synthetic_pieces, synthetic_types, N_SYNTHETIC, NULL, true,
                                          NULL), CONURE_OK);
    test_certainty(tokenizer);
    test_refused(tokenizer);
    test_random_utterances(1, argc > 1 ? strtoull(argv[1], NULL, 10) : 2000);
    for (uint64_t seed = 1; seed <= 10; seed++)
        test_hostile(seed);
    test_long(tokenizer);
    conure_tokenizer_free(&tokenizer);
    return test_end();
}

/* hotwords.c - the tree of hotwords against texts compared letter by letter, and the lists it is made from. */
#include "../test.h"
#include "decode/hotwords.h"

#include <assert.h>

#define SP CONURE_SPACE_MARK

/* A vocabulary in which texts of a, b, c can be cut in many ways; d is in no piece alone. */
static const char *const pieces[] = {"<unk>", "a", "b", "c", "ab", "ba", "abc", SP, SP "a", SP "b", SP "ab", SP "ca", SP "a" SP "b", "bd",
                                     "<0x64>", "<s>", "c", "caab"};
enum { N_PIECES = sizeof pieces / sizeof *pieces, N_LISTS = 300, N_STEPS = 40 };

static conure_tokenizer *vocabulary(uint32_t n_pieces)
{
    conure_tokenizer *tokenizer = NULL;
    test_int(conure_tokenizer_from_pieces(&tokenizer, pieces, NULL, n_pieces, NULL, true, NULL), CONURE_OK);
    return tokenizer;
}

/* ---- what is asked, without a tree ------------------------------------------------------------ */

typedef struct phrase {
    char text[64]; /* spelled */
    double score;
} phrase;

typedef struct world {
    const conure_tokenizer *tokenizer;
    phrase phrases[8];
    uint32_t n_phrases;
    char text[4096]; /* all that tokens have spelled */
} world;

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void spelling(const world *w, uint32_t id, char out[64])
{
    size_t n;
    const char *text = conure_tokenizer_spelling(w->tokenizer, id, &n);
    memcpy(out, text, n);
    out[n] = 0;
}

static bool spellable(const world *w, const char *text)
{
    bool can = !*text;
    for (uint32_t id = 1; id < N_PIECES && !can; id++) {
        char part[64];
        spelling(w, id, part);
        can = *part && begins(text, part) && spellable(w, text + strlen(part));
    }
    return can;
}

/* The longest end of the text that begins a phrase; none is 0 bytes long, and begins them all. */
static size_t longest(const world *w)
{
    const size_t n = strlen(w->text);
    for (size_t from = 0; from < n; from++)
        for (uint32_t i = 0; i < w->n_phrases; i++)
            if (begins(w->phrases[i].text, w->text + from))
                return n - from;
    return 0;
}

/* An end of the text, of at least `least` bytes, is a phrase whose own score allows what was spent. */
static bool ended(const world *w, size_t least, float spent)
{
    const size_t n = strlen(w->text);
    for (uint32_t i = 0; i < w->n_phrases; i++) {
        const size_t bytes = strlen(w->phrases[i].text);
        if (bytes >= least && bytes <= n && strcmp(w->phrases[i].text, w->text + n - bytes) == 0 && spent <= (float)w->phrases[i].score)
            return true;
    }
    return false;
}

/* A phrase goes on with this token, in some way that can be spelled to its end; the score of those that do is *score. */
static bool goes_on(const world *w, size_t from, const char *part, double *score)
{
    char with[4200];
    bool on = false;
    *score = -1;
    snprintf(with, sizeof with, "%s%s", w->text + from, part);
    for (uint32_t i = 0; i < w->n_phrases; i++)
        if (begins(w->phrases[i].text, with)) {
            *score = fmax(*score, w->phrases[i].score);
            on |= spellable(w, w->phrases[i].text + strlen(with));
        }
    return on;
}

static uint32_t choose(const world *w, size_t covered, float spent, const float *logits, uint32_t plain)
{
    const size_t n = strlen(w->text);
    uint32_t best = plain;
    float top = -INFINITY;
    for (uint32_t id = 1; id < N_PIECES; id++)
        for (size_t from = 0; from <= n && n - from >= covered; from++) {
            char part[64];
            double score;
            spelling(w, id, part);
            if (*part && goes_on(w, from, part, &score) && logits[id] > top && spent + (logits[plain] - logits[id]) <= (float)score) {
                top = logits[id];
                best = id;
            }
        }
    return best;
}

/* ---- the tree against it --------------------------------------------------------------------- */

static void random_phrase(phrase *p, char *line, uint64_t *seed)
{
    const uint32_t n = 1 + (uint32_t)(test_random(seed) % 7);
    bool space = true;
    *p = (phrase){.score = (double)(test_random(seed) % 9)};
    char *to = line;
    for (uint32_t i = 0; i < n; i++) {
        const char letter = "abcd"[test_random(seed) % (i ? 4 : 3)];
        snprintf(p->text + strlen(p->text), sizeof p->text - strlen(p->text), "%s%c", space ? SP : "", letter);
        *to++ = letter;
        space = i + 1 < n && test_random(seed) % 4 == 0;
        if (space)
            *to++ = ' ';
    }
    sprintf(to, "\t%g\n", p->score);
}

static int n_preferred, n_refused; /* else the comparison would prove nothing: tokens; phrases that cost too much */

static void walk(world *w, const conure_hotwords *list, uint64_t *seed)
{
    uint32_t node = CONURE_HOTWORDS_ROOT;
    w->text[0] = 0;
    for (int k = 0; k < N_STEPS; k++) {
        float logits[N_PIECES + 1];
        char part[64];
        uint32_t plain = 0, bytes;
        for (uint32_t i = 0; i <= N_PIECES; i++)
            logits[i] = (float)(test_random(seed) % 100000) / 10000 - 5;
        for (uint32_t i = 1; i <= N_PIECES; i++)
            plain = logits[i] > logits[plain] ? i : plain;
        const uint32_t depth = conure_hotwords_depth(list, node);
        const uint32_t covered = depth && test_random(seed) % 2 ? 1 + (uint32_t)(test_random(seed) % depth) : 0;
        const float spent = covered ? (float)(test_random(seed) % 40) / 10 : 0;
        const uint32_t id = conure_hotwords_choose(list, node, covered, spent, logits, plain);
        n_preferred += id != plain;
        test_int(id, choose(w, covered, spent, logits, plain));
        test_int(depth, longest(w));
        test_int(conure_hotwords_ended(list, node, covered, spent), ended(w, covered, spent));
        n_refused += ended(w, covered, 0) && !ended(w, covered, spent);
        /* The next token: the one chosen, or another, so that phrases break off. */
        const uint32_t next = id < N_PIECES && id && test_random(seed) % 4 ? id : 1 + (uint32_t)(test_random(seed) % (N_PIECES - 1));
        node = conure_hotwords_next(list, node, next, &bytes);
        spelling(w, next, part);
        test_int(bytes, strlen(part));
        strcat(w->text, part);
        test_true(node < conure_hotwords_nodes(list));
    }
}

static void against_texts(const conure_tokenizer *tokenizer)
{
    uint64_t seed = 20261129;
    for (int k = 0; k < N_LISTS; k++) {
        const uint64_t before = seed;
        world w = {.tokenizer = tokenizer, .n_phrases = 1 + (uint32_t)(test_random(&seed) % 8)};
        char text[1024] = "";
        conure_hotwords *list = NULL;
        conure_error err = {""};
        for (uint32_t i = 0; i < w.n_phrases; i++)
            random_phrase(&w.phrases[i], text + strlen(text), &seed);
        test_int(conure_hotwords_build(&list, tokenizer, text, strlen(text), 5, &err), CONURE_OK);
        if (list)
            walk(&w, list, &seed);
        else
            fprintf(stderr, "seed %llu: %s\n%s", (unsigned long long)before, err.text, text);
        conure_hotwords_close(&list);
    }
}

/* ---- lists ------------------------------------------------------------------------------------ */

static void good(const char *text, size_t bytes, const char *spelled, double first_score)
{
    conure_hotwords_text list;
    conure_error err = {""};
    char all[256] = "";
    test_int(conure_hotwords_read(&list, text, bytes, 5, &err), CONURE_OK);
    for (uint32_t i = 0; i < list.n_words; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%.*s|", (int)list.words[i].bytes, list.spelled.data + list.words[i].text);
    test_text(all, spelled);
    test_near(list.n_words ? list.words[0].score : -1, first_score, 0);
    conure_hotwords_text_free(&list);
}

static void bad(const conure_tokenizer *tokenizer, const char *text, size_t bytes, double score, conure_status status, const char *why)
{
    conure_hotwords *list = NULL;
    conure_error err = {""};
    test_int(conure_hotwords_build(&list, tokenizer, text, bytes, score, &err), status);
    test_true(!list);
    test_contains(err.text, why);
}

static void lists(const conure_tokenizer *tokenizer)
{
#define TEXT(text) text, sizeof(text) - 1
    good(TEXT("a"), SP "a|", 5);
    good(TEXT("\xEF\xBB\xBF" "ab  c \r\n\r\n# ab\n  ba\t \n"), SP "ab" SP "c|" SP "ba|", 5);
    good(TEXT("\t# a\n  b \n"), SP "b|", 5);
    good(TEXT("a b\t7.25\nc\t0"), SP "a" SP "b|" SP "c|", 7.25);
    good(TEXT("e\xCC\x81\xC2\xA0\xEF\xBD\x81"), SP "\xC3\xA9" SP "a|", 5); /* combining accent, hard space, full-width letter */
    bad(tokenizer, TEXT(""), 5, CONURE_BAD_FILE, "no phrase");
    bad(tokenizer, TEXT("# nothing\n\n \t\n"), 5, CONURE_BAD_FILE, "no phrase");
    bad(tokenizer, TEXT("\xE3\x80\x80\n\xC2\xA0\n"), 5, CONURE_BAD_FILE, "no phrase"); /* spaces of other kinds */
    bad(tokenizer, TEXT("a\nab\0c\n"), 5, CONURE_BAD_FILE, "line 2: has a NUL");
    bad(tokenizer, TEXT("a\n\nb\xFFz\n"), 5, CONURE_BAD_FILE, "line 3: not UTF-8");
    bad(tokenizer, TEXT("a\n\t9\nb\n"), 5, CONURE_BAD_FILE, "line 2: a score without a phrase");
    bad(tokenizer, TEXT(" \tb\n"), 5, CONURE_BAD_FILE, "line 1: the score behind the tab is 'b'");
    bad(tokenizer, TEXT("a\n\xC2\xA0\t5\n"), 5, CONURE_BAD_FILE, "line 2: a score without a phrase");
    bad(tokenizer, TEXT("a\tnan"), 5, CONURE_BAD_FILE, "line 1: the score behind the tab is 'nan'");
    bad(tokenizer, TEXT("a\t-1"), 5, CONURE_BAD_FILE, "'-1'");
    bad(tokenizer, TEXT("a\t100.5"), 5, CONURE_BAD_FILE, "from 0 to 100");
    bad(tokenizer, TEXT("a\t1e2"), 5, CONURE_BAD_FILE, "'1e2'");
    bad(tokenizer, TEXT("a b\nab\xC3\xA9" "c"), 5, CONURE_BAD_FILE, "line 2: '\xC3\xA9' in '" SP "ab\xC3\xA9" "c'");
    bad(tokenizer, TEXT("a"), NAN, CONURE_BAD_ARG, "expected 0 to 100");
    char *many = malloc(CONURE_HOTWORDS_BYTES_MAX + 1);
    memset(many, 'a', CONURE_HOTWORDS_BYTES_MAX + 1);
    bad(tokenizer, many, CONURE_HOTWORDS_BYTES_MAX + 1, 5, CONURE_LIMIT, "at most");
    bad(tokenizer, many, CONURE_HOTWORD_BYTES_MAX - 2, 5, CONURE_LIMIT, "line 1: a phrase of 257 bytes");
    good(many, 5, SP "aaaaa|", 5);
    for (size_t i = 1; i < 2 * CONURE_HOTWORDS_MAX + 2; i += 2)
        many[i] = '\n';
    bad(tokenizer, many, 2 * CONURE_HOTWORDS_MAX + 2, 5, CONURE_LIMIT, "line 16385: more than 16384");
    conure_hotwords *list = NULL;
    test_int(conure_hotwords_build(&list, tokenizer, many, 2 * CONURE_HOTWORDS_MAX, 5, NULL), CONURE_OK);
    test_int(conure_hotwords_nodes(list), 5);
    conure_hotwords_close(&list);
    free(many);
}

/* Equal phrases, scores and order, and nothing else, make an equal hash: nodes have the same numbers then. */
static void hashes(const conure_tokenizer *tokenizer)
{
    static const char *const texts[] = {"a\nb c\n", "# x\na \r\n  b  c", "b c\na\n", "a\t5\nb c", "a\t6\nb c", "a b c"};
    char sha[6][65];
    for (int i = 0; i < 6; i++) {
        conure_hotwords *list = NULL;
        test_int(conure_hotwords_build(&list, tokenizer, texts[i], strlen(texts[i]), 5, NULL), CONURE_OK);
        snprintf(sha[i], sizeof sha[i], "%s", conure_hotwords_sha256(list));
        conure_hotwords_close(&list);
    }
    test_text(sha[1], sha[0]);
    test_text(sha[3], sha[0]);
    test_true(strcmp(sha[2], sha[0]) && strcmp(sha[4], sha[0]) && strcmp(sha[5], sha[0]));
}

int main(void)
{
    test_begin("hotwords");
    conure_tokenizer *tokenizer = vocabulary(N_PIECES), *letters = vocabulary(4);
    against_texts(tokenizer);
    test_true(n_preferred > N_LISTS && n_refused > 50);
    lists(tokenizer);
    hashes(tokenizer);
    bad(letters, "a", 1, 5, CONURE_BAD_FILE, "line 1: '" SP "'"); /* no piece begins a word */
    conure_tokenizer_free(&letters);
    conure_tokenizer_free(&tokenizer);
    return test_end();
}

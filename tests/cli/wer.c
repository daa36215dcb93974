/* Counting, normalising and the bootstrap of `conure wer`. */
#include "cli/wer.h"

#include "test.h"

/* ---- counting -------------------------------------------------------------------------------- */

static void check_counts(void)
{
    static const struct {
        const char *reference, *hypothesis;
        uint32_t words, hypothesis_words, substitutions, insertions, deletions;
    } cases[] = {
        {"", "", 0, 0, 0, 0, 0},
        {"a", "", 1, 0, 0, 0, 1},
        {"", "a b", 0, 2, 0, 2, 0},
        {"a b c", "a b c", 3, 3, 0, 0, 0},
        {"a b c", "a x c", 3, 3, 1, 0, 0},
        {"a b c", "a c", 3, 2, 0, 0, 1},
        {"a b c", "a b x c", 3, 4, 0, 1, 0},
        {"a b", "b c", 2, 2, 0, 1, 1}, /* not two substitutions: one word is right */
        {"a b c d", "b c d a", 4, 4, 0, 1, 1},
        {"the cat sat on the mat", "cat sat in the mat hat", 6, 6, 1, 1, 1},
        {"a a a a", "a a", 4, 2, 0, 0, 2},
        {"ab", "a b", 1, 2, 1, 1, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_wer_counts got;
        test_int(conure_wer_count(&got, cases[i].reference, cases[i].hypothesis, NULL), CONURE_OK);
        test_int(got.words, cases[i].words);
        test_int(got.hypothesis, cases[i].hypothesis_words);
        test_int(got.substitutions, cases[i].substitutions);
        test_int(got.insertions, cases[i].insertions);
        test_int(got.deletions, cases[i].deletions);
    }
}

/* The fewest errors of a and b by trying everything: S in *s, I + D in the rest. */
static uint32_t by_force(const char *a, const char *b)
{
    if (!*a || !*b)
        return (uint32_t)(strlen(a) + strlen(b)) << 8;
    const uint32_t both = by_force(a + 1, b + 1) + (*a == *b ? 0 : 257);
    const uint32_t less_a = by_force(a + 1, b) + 256, less_b = by_force(a, b + 1) + 256;
    const uint32_t less = less_a < less_b ? less_a : less_b;
    return both < less ? both : less;
}

static void check_against_force(void)
{
    uint64_t seed = 77;

    for (int round = 0; round < 300; round++) {
        char a[7], b[7], words_a[16] = "", words_b[16] = "";
        char *const letters[] = {a, b}, *const words[] = {words_a, words_b};
        for (int k = 0; k < 2; k++) {
            const size_t n = test_random(&seed) % 7;
            for (size_t i = 0; i < n; i++) {
                letters[k][i] = (char)('a' + test_random(&seed) % 3);
                snprintf(words[k] + 2 * i, 3, "%c ", letters[k][i]);
            }
            letters[k][n] = '\0';
            words[k][n ? 2 * n - 1 : 0] = '\0';
        }
        conure_wer_counts got;
        test_int(conure_wer_count(&got, words_a, words_b, NULL), CONURE_OK);
        test_int(conure_wer_errors(&got) << 8 | got.substitutions, by_force(a, b));
        test_int(got.words - got.deletions, got.hypothesis - got.insertions); /* right and substituted */
    }
}

static void check_cap(void)
{
    const size_t n = CONURE_WER_WORDS_MAX + 1;
    char *text = malloc(2 * n);
    conure_wer_counts got;
    conure_error err;

    for (size_t i = 0; i < n; i++)
        memcpy(text + 2 * i, i + 1 < n ? "a " : "a", 2);
    test_int(conure_wer_count(&got, text, "a", &err), CONURE_LIMIT);
    test_contains(err.text, "reference has 32769 words");
    test_int(conure_wer_count(&got, "a", text, &err), CONURE_LIMIT);
    test_contains(err.text, "hypothesis");
    test_int(conure_wer_count(&got, text + 2, text + 4, &err), CONURE_OK);
    test_int(got.deletions, 1);
    free(text);
}

/* ---- normalising ----------------------------------------------------------------------------- */

static void check_normalise(void)
{
    static const struct {
        const char *text, *none, *basic;
    } cases[] = {
        {"", "", ""},
        {"  \t ", "", ""},
        {" Hello,  World! ", "Hello, World!", "hello world"},
        {"Don't, U.S.-made!", "Don't, U.S.-made!", "don't u s made"},
        {"dogs' 'tis rock'n'roll '", "dogs' 'tis rock'n'roll '", "dogs tis rock'n'roll"},
        {"it\xE2\x80\x99s \xE2\x80\x9Cso\xE2\x80\x9D", "it\xE2\x80\x99s \xE2\x80\x9Cso\xE2\x80\x9D", "it's so"},
        {"a''b a'-b", "a''b a'-b", "a b a b"},
        {"Cafe\xCC\x81 \xC3\x89TE\xCC\x81", "Cafe\xCC\x81 \xC3\x89TE\xCC\x81", "caf\xC3\xA9 \xC3\xA9t\xC3\xA9"},
        {"\xC3\x84" "A\xCC\x88", "\xC3\x84" "A\xCC\x88", "\xC3\xA4\xC3\xA4"},
        {"one\xE2\x80\x94two\xC2\xA0three\xE3\x80\x80x", "one\xE2\x80\x94two three x", "one two three x"},
        {"\xCE\xA3\xCE\xA6 5$ 3.5 \xE2\x82\xAC" "7 @x", "\xCE\xA3\xCE\xA6 5$ 3.5 \xE2\x82\xAC" "7 @x",
         "\xCF\x83\xCF\x86 5$ 3 5 \xE2\x82\xAC" "7 x"},
        {"\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x86\x8D", "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x86\x8D",
         "\xE4\xBD\xA0\xE5\xA5\xBD \xE5\x86\x8D"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = NULL, *again = NULL;
        test_int(conure_normalise(&got, cases[i].text, CONURE_NORMALISER_NONE, NULL), CONURE_OK);
        test_text(got, cases[i].none);
        free(got);
        test_int(conure_normalise(&got, cases[i].text, CONURE_NORMALISER_BASIC, NULL), CONURE_OK);
        test_text(got, cases[i].basic);
        test_int(conure_normalise(&again, got, CONURE_NORMALISER_BASIC, NULL), CONURE_OK);
        test_text(again, got); /* once is enough */
        free(got);
        free(again);
    }
    conure_error err;
    char *got;
    test_int(conure_normalise(&got, "a\xFF", CONURE_NORMALISER_NONE, &err), CONURE_BAD_FILE);
    test_true(!got);
    test_int(conure_normalise(&got, "a\xE2\x80", CONURE_NORMALISER_BASIC, &err), CONURE_BAD_FILE);
    test_contains(err.text, "UTF-8");
}

/* ---- estimates ------------------------------------------------------------------------------- */

#define N 400

static void check_bootstrap(void)
{
    static conure_wer_counts a[N], b[N], c[N];
    const conure_wer_counts *systems[] = {a, b, c};
    conure_wer_estimate got[3], again[3];
    uint64_t seed = 3;
    double errors = 0;

    for (int i = 0; i < N; i++) { /* a: each word wrong with 0.2; b: one less, where a had two; c: as a */
        a[i] = (conure_wer_counts){.words = 10, .hypothesis = 10};
        for (int k = 0; k < 10; k++)
            a[i].substitutions += test_uniform(&seed, 0, 1) < 0.2f;
        b[i] = c[i] = a[i];
        b[i].substitutions -= a[i].substitutions > 1;
        errors += a[i].substitutions;
    }
    test_int(conure_wer_estimate_all(got, systems, 3, N, 4000, 9, NULL), CONURE_OK);
    const double wer = errors / (10.0 * N), sigma = sqrt(wer * (1 - wer) / (10.0 * N));
    test_near(got[0].wer, wer, 1e-12);
    /* a normal interval of the binomial: the bootstrap agrees to a tenth of it */
    test_near(got[0].low, wer - 1.96 * sigma, 0.2 * sigma);
    test_near(got[0].high, wer + 1.96 * sigma, 0.2 * sigma);
    test_true(isnan(got[0].difference) && isnan(got[0].p));
    /* the difference is much surer than the rates: it is paired */
    test_near(got[1].difference, got[1].wer - wer, 1e-12);
    test_true(got[1].difference_low < got[1].difference && got[1].difference < got[1].difference_high);
    test_true(got[1].difference_high < 0 && got[1].difference_high - got[1].difference_low < got[0].high - got[0].low);
    test_near(got[1].p, 2.0 / 4001, 1e-12);
    test_near(got[2].difference, 0, 0);
    test_near(got[2].difference_low, 0, 0);
    test_near(got[2].p, 1, 0);

    test_int(conure_wer_estimate_all(again, systems, 3, N, 4000, 9, NULL), CONURE_OK);
    test_near(again[1].difference_low, got[1].difference_low, 0);
    test_near(again[0].high, got[0].high, 0);
    test_int(conure_wer_estimate_all(again, systems, 3, N, 4000, 10, NULL), CONURE_OK);
    test_true(again[0].high != got[0].high);

    test_int(conure_wer_estimate_all(got, systems, 2, 1, 4000, 9, NULL), CONURE_OK);
    test_true(isnan(got[0].low) && isnan(got[1].p) && !isnan(got[1].difference)); /* one utterance */
    test_int(conure_wer_estimate_all(got, systems, 1, N, 0, 9, NULL), CONURE_OK);
    test_true(isnan(got[0].low) && !isnan(got[0].wer));
    memset(a, 0, sizeof a);
    test_int(conure_wer_estimate_all(got, systems, 1, N, 100, 9, NULL), CONURE_OK);
    test_true(isnan(got[0].wer) && isnan(got[0].low));
    test_int(conure_wer_estimate_all(got, systems, 0, N, 100, 9, NULL), CONURE_BAD_ARG);
    test_int(conure_wer_estimate_all(got, systems, 1, N, CONURE_WER_RESAMPLES_MAX + 1, 9, NULL), CONURE_BAD_ARG);
}

int main(void)
{
    test_begin("wer");
    check_counts();
    check_against_force();
    check_cap();
    check_normalise();
    check_bootstrap();
    return test_end();
}

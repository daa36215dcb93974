/* wer.c - counting word errors, and intervals by resampling utterances. */
#include "cli/wer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* ---- words to numbers ------------------------------------------------------------------------ */

/* Both texts' words as numbers, equal where the words are: comparing them is then one instruction. */
typedef struct interned {
    struct {
        const char *word;
        size_t bytes;
    } *slots;            /* [mask + 1] open addressing; the number of a word is its slot */
    size_t mask;
    uint32_t *numbers;   /* the reference's, then the hypothesis's */
    size_t n_reference, n_hypothesis;
} interned;

static size_t count_words(const char *text)
{
    size_t n = *text != '\0';
    for (; *text; text++)
        n += *text == ' ';
    return n;
}

static uint64_t hash(const char *word, size_t bytes) /* FNV-1a */
{
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (uint8_t)word[i]) * 1099511628211ull;
    return h ^ h >> 32;
}

static uint32_t number_of(interned *in, const char *word, size_t bytes)
{
    size_t i = hash(word, bytes) & in->mask;
    while (in->slots[i].word &&
           (in->slots[i].bytes != bytes || memcmp(in->slots[i].word, word, bytes) != 0))
        i = (i + 1) & in->mask;
    in->slots[i].word = word;
    in->slots[i].bytes = bytes;
    return (uint32_t)i;
}

static void number_all(interned *in, const char *text, uint32_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const size_t bytes = strcspn(text, " ");
        numbers[i] = number_of(in, text, bytes);
        text += bytes + 1; /* not used after the last */
    }
}

static conure_status intern(interned *in, const char *reference, const char *hypothesis,
                            conure_error *err)
{
    in->n_reference = count_words(reference);
    in->n_hypothesis = count_words(hypothesis);
    if (in->n_reference > CONURE_WER_WORDS_MAX || in->n_hypothesis > CONURE_WER_WORDS_MAX)
        return conure_fail(err, CONURE_LIMIT,
                           "the %s has %zu words, at most %d can be aligned: split it into utterances",
                           in->n_reference > CONURE_WER_WORDS_MAX ? "reference" : "hypothesis",
                           in->n_reference > CONURE_WER_WORDS_MAX ? in->n_reference : in->n_hypothesis,
                           CONURE_WER_WORDS_MAX);
    const size_t n = in->n_reference + in->n_hypothesis;
    size_t cap = 16;
    while (cap < 2 * n)
        cap *= 2;
    in->mask = cap - 1;
    in->slots = conure_calloc(cap, sizeof *in->slots);
    in->numbers = conure_calloc(n ? n : 1, sizeof *in->numbers);
    if (!in->slots || !in->numbers)
        return conure_fail_memory(err, "words", cap * sizeof *in->slots);
    number_all(in, reference, in->numbers, in->n_reference);
    number_all(in, hypothesis, in->numbers + in->n_reference, in->n_hypothesis);
    return CONURE_OK;
}

/* ---- alignment ------------------------------------------------------------------------------- */

/* The cost of an alignment in one number: errors in the high half, substitutions in the low one.  The
 * smallest cost has the fewest errors, and then the fewest substitutions. */
#define ERROR        ((uint64_t)1 << 32)
#define SUBSTITUTION (ERROR + 1)

/* Cost of aligning a [n] with b [m]; row holds m + 1 numbers. */
static uint64_t align(const uint32_t *a, size_t n, const uint32_t *b, size_t m, uint64_t *row)
{
    for (size_t j = 0; j <= m; j++)
        row[j] = j * ERROR;
    for (size_t i = 0; i < n; i++) {
        uint64_t diagonal = row[0];
        row[0] += ERROR;
        for (size_t j = 0; j < m; j++) {
            uint64_t best = diagonal + (a[i] == b[j] ? 0 : SUBSTITUTION);
            const uint64_t deleted = row[j + 1] + ERROR, inserted = row[j] + ERROR;
            diagonal = row[j + 1];
            best = deleted < best ? deleted : best;
            row[j + 1] = inserted < best ? inserted : best;
        }
    }
    return row[m];
}

conure_status conure_wer_count(conure_wer_counts *out, const char *reference, const char *hypothesis,
                               conure_error *err)
{
    interned in = {0};
    uint64_t *row = NULL;

    *out = (conure_wer_counts){0};
    conure_status status = intern(&in, reference, hypothesis, err);
    if (status == CONURE_OK) {
        row = conure_calloc(in.n_hypothesis + 1, sizeof *row);
        if (!row)
            status = conure_fail_memory(err, "an alignment", in.n_hypothesis * sizeof *row);
    }
    if (status == CONURE_OK) {
        const uint32_t *a = in.numbers, *b = in.numbers + in.n_reference;
        size_t n = in.n_reference, m = in.n_hypothesis;
        for (; n && m && *a == *b; n--, m--) /* equal ends cost nothing and need no table */
            a++, b++;
        while (n && m && a[n - 1] == b[m - 1])
            n--, m--;
        const uint64_t cost = align(a, n, b, m, row);
        const uint64_t substitutions = cost % ERROR, rest = cost / ERROR - substitutions;
        /* rest = insertions + deletions, and m - n = insertions - deletions */
        out->words = (uint32_t)in.n_reference;
        out->hypothesis = (uint32_t)in.n_hypothesis;
        out->substitutions = (uint32_t)substitutions;
        out->insertions = (uint32_t)((rest + m - n) / 2);
        out->deletions = (uint32_t)(rest - out->insertions);
    }
    free(in.slots);
    free(in.numbers);
    free(row);
    return status;
}

/* ---- estimates ------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two neighbours in sorted values; n > 0. */
static double quantile(const double *values, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    return i + 1 < n ? values[i] + (at - (double)i) * (values[i + 1] - values[i]) : values[n - 1];
}

static void interval(double *values, size_t n, double *low, double *high)
{
    qsort(values, n, sizeof *values, compare_doubles);
    *low = quantile(values, n, 0.025);
    *high = quantile(values, n, 0.975);
}

/* As described at conure_wer_estimate; differences need not be sorted. */
static double p_value(const double *differences, size_t n)
{
    size_t below = 0, above = 0;
    for (size_t i = 0; i < n; i++) {
        below += differences[i] <= 0;
        above += differences[i] >= 0;
    }
    const double p = 2 * (double)((below < above ? below : above) + 1) / (double)(n + 1);
    return p < 1 ? p : 1;
}

static double rate(uint64_t errors, uint64_t words)
{
    return words ? (double)errors / (double)words : NAN;
}

/* One resample's rates into rates[system * stride]; false when it drew no words. */
static bool resample(const conure_wer_counts *const *systems, uint32_t n_systems, uint32_t n,
                     uint64_t *state, uint64_t *errors, double *rates, size_t stride)
{
    uint64_t words = 0;

    memset(errors, 0, n_systems * sizeof *errors);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t pick = (uint32_t)((next_random(state) >> 32) * n >> 32);
        words += systems[0][pick].words;
        for (uint32_t s = 0; s < n_systems; s++)
            errors[s] += conure_wer_errors(&systems[s][pick]);
    }
    for (uint32_t s = 0; s < n_systems && words; s++)
        rates[s * stride] = rate(errors[s], words);
    return words > 0;
}

/* rates: [n_systems][stride], of which n are filled. */
static void fill_intervals(conure_wer_estimate *out, uint32_t n_systems, double *rates, size_t stride,
                           size_t n)
{
    for (uint32_t s = n_systems; s-- > 0;) { /* the first one last: the others need it in order */
        double *own = rates + s * stride, *spare = rates + n_systems * stride;
        if (s > 0) {
            for (size_t i = 0; i < n; i++)
                spare[i] = own[i] - rates[i];
            out[s].p = p_value(spare, n);
            interval(spare, n, &out[s].difference_low, &out[s].difference_high);
        }
        interval(own, n, &out[s].low, &out[s].high);
    }
}

conure_status conure_wer_estimate_all(conure_wer_estimate *out, const conure_wer_counts *const *systems,
                                      uint32_t n_systems, uint32_t n_utterances, uint32_t resamples,
                                      uint64_t seed, conure_error *err)
{
    size_t n = 0, room;

    if (!out || !systems || !n_systems || resamples > CONURE_WER_RESAMPLES_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "no systems, or more than %u resamples",
                           CONURE_WER_RESAMPLES_MAX);
    for (uint32_t s = 0; s < n_systems; s++) {
        uint64_t words = 0, errors = 0;
        for (uint32_t i = 0; i < n_utterances; i++) {
            words += systems[s][i].words;
            errors += conure_wer_errors(&systems[s][i]);
        }
        out[s] = (conure_wer_estimate){rate(errors, words), NAN, NAN, NAN, NAN, NAN, NAN};
        if (s > 0)
            out[s].difference = out[s].wer - out[0].wer;
    }
    if (resamples == 0 || n_utterances < 2 || isnan(out[0].wer))
        return CONURE_OK;
    double *rates = conure_mul(resamples, (size_t)n_systems + 1, &room)
                        ? conure_calloc(room, sizeof *rates) : NULL;
    uint64_t *errors = conure_calloc(n_systems, sizeof *errors);
    if (!rates || !errors) {
        free(rates);
        free(errors);
        return conure_fail_memory(err, "resamples", (size_t)resamples * n_systems * sizeof *rates);
    }
    for (uint32_t i = 0; i < resamples; i++)
        n += resample(systems, n_systems, n_utterances, &seed, errors, rates + n, resamples);
    if (n)
        fill_intervals(out, n_systems, rates, resamples, n);
    free(rates);
    free(errors);
    return CONURE_OK;
}

/* wer.h - word error rate: normalising texts, counting errors, and how sure the rate is.  Knows neither
 * files nor options (wer_input.h, command_wer.c). */
#ifndef CONURE_CLI_WER_H
#define CONURE_CLI_WER_H

#include "conure.h"

/* What is done to both texts before words are compared; a rate means little without its name.
 *
 *   none   nothing; words are what white space parts
 *   basic  Unicode NFC, then lower case (character by character, no locale); U+2019 and U+02BC become
 *          apostrophes; an apostrophe between letters, digits or marks stays; every other character
 *          of category P (punctuation) becomes a space.  "Don't, U.S.-made!" gives "don't u s made".
 *          Numbers, symbols, spelling and fillers are left as they are. */
typedef enum conure_normaliser {
    CONURE_NORMALISER_NONE = 0,
    CONURE_NORMALISER_BASIC = 1,
} conure_normaliser;

extern const char *const conure_normaliser_names[]; /* in the enum's order, NULL at the end */

/* *out: the words with one space between, freed by free().  BAD_FILE when text is not UTF-8. */
conure_status conure_normalise(char **out, const char *text, conure_normaliser normaliser,
                               conure_error *err);

/* ---- counting -------------------------------------------------------------------------------- */

#define CONURE_WER_WORDS_MAX 32768 /* of one text: an alignment takes their product in time */

typedef struct conure_wer_counts {
    uint32_t words;      /* of the reference */
    uint32_t hypothesis; /* words of the hypothesis */
    uint32_t substitutions, insertions, deletions;
} conure_wer_counts;

static inline uint64_t conure_wer_errors(const conure_wer_counts *counts)
{
    return (uint64_t)counts->substitutions + counts->insertions + counts->deletions;
}

/* Count errors of hypothesis against reference, both normalised: the fewest, and among alignments with
 * the fewest errors one with the fewest substitutions, that is the most words right; so all counts
 * are unique.  LIMIT names which text has more than CONURE_WER_WORDS_MAX words.
 * Cost: time O(words * hypothesis), memory O(words + hypothesis). */
conure_status conure_wer_count(conure_wer_counts *out, const char *reference, const char *hypothesis,
                               conure_error *err);

/* ---- estimates ------------------------------------------------------------------------------- */

#define CONURE_WER_RESAMPLES_MAX 1000000u

/* NaN stands for what the data cannot tell (fewer than two utterances, no words, the first system's
 * difference to itself). */
typedef struct conure_wer_estimate {
    double wer;        /* errors / words of all utterances together */
    double low, high;  /* 95 % interval */
    double difference; /* to the first system: wer - wer of systems[0] */
    double difference_low, difference_high;
    double p;          /* two-sided, of no difference */
} conure_wer_estimate;

/* Rates and percentile bootstrap intervals over utterances.  Each resample draws n_utterances with
 * replacement, the same for all systems, which makes the differences paired.  p is twice the smaller
 * share of resampled differences on one side of zero, (count + 1) / (resamples + 1), at most 1.
 *
 *   out        [n_systems]
 *   systems    [n_systems] of [n_utterances]; words must agree between systems
 *   resamples  0 (no intervals) .. CONURE_WER_RESAMPLES_MAX
 *   seed       the same gives the same numbers everywhere
 *
 * Returns OK, BAD_ARG, NO_MEMORY. */
conure_status conure_wer_estimate_all(conure_wer_estimate *out, const conure_wer_counts *const *systems,
                                      uint32_t n_systems, uint32_t n_utterances, uint32_t resamples,
                                      uint64_t seed, conure_error *err);

#endif

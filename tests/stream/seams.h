/* seams.h - what goes wrong at chunk borders: two lists of words aligned, and their differences near borders named. */
#ifndef CONURE_TESTS_SEAMS_H
#define CONURE_TESTS_SEAMS_H

#include <stddef.h>
#include <stdint.h>

typedef struct seam_word {
    const char *text;
    double start_s, end_s;
} seam_word;

typedef struct seam_counts {
    uint32_t repeated;  /* a word more that is its neighbour again */
    uint32_t dropped;   /* a word less */
    uint32_t glued;     /* two words that became one, or one that became two */
    uint32_t reordered; /* a word less here that is a word more within three words */
    uint32_t added;     /* a word more of any other kind */
    uint32_t changed;   /* another word in its place */
    uint32_t n_words;   /* wanted ones near a border */
} seam_counts;

/* Add what differs within reach_s of a border k * every_s, k >= 1; every_s 0: everywhere. */
void seam_score(const seam_word *want, size_t n_want, const seam_word *got, size_t n_got, double every_s, double reach_s,
                seam_counts *counts);

/* All faults but changed words, which an encoder that sees other context gives anywhere. */
static inline uint32_t seam_faults(const seam_counts *c)
{
    return c->repeated + c->dropped + c->glued + c->reordered + c->added;
}

#endif

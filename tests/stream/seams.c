/* seams.c - see seams.h. */
#include "seams.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct edit {
    const seam_word *want, *got; /* one is NULL for a word less or more */
    bool done;
} edit;

static bool equal(const seam_word *a, const seam_word *b)
{
    return strcmp(a->text, b->text) == 0;
}

/* The cheapest way from want to got, in order; a change costs a little more than a word less or more alone, so that words that
 * moved are seen as such. */
static size_t align(const seam_word *want, size_t n, const seam_word *got, size_t m, edit *edits)
{
    const size_t row = m + 1;
    uint32_t *cost = calloc((n + 1) * row, sizeof *cost);
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                cost[i * row + j] = (uint32_t)(2 * (i + j));
                continue;
            }
            const uint32_t pair = cost[(i - 1) * row + j - 1] + (equal(&want[i - 1], &got[j - 1]) ? 0 : 3);
            const uint32_t less = cost[(i - 1) * row + j] + 2, more = cost[i * row + j - 1] + 2;
            cost[i * row + j] = pair <= less && pair <= more ? pair : less < more ? less : more;
        }
    size_t i = n, j = m, k = n + m;
    while (i || j) {
        const uint32_t here = cost[i * row + j];
        edit *e = &edits[--k];
        *e = (edit){NULL, NULL, false};
        if (i && j && here == cost[(i - 1) * row + j - 1] + (equal(&want[i - 1], &got[j - 1]) ? 0u : 3u)) {
            e->want = &want[--i];
            e->got = &got[--j];
        } else if (i && here == cost[(i - 1) * row + j] + 2) {
            e->want = &want[--i];
        } else {
            e->got = &got[--j];
        }
    }
    free(cost);
    memmove(edits, edits + k, (n + m - k) * sizeof *edits);
    return n + m - k;
}

static bool near_border(const seam_word *w, double every_s, double reach_s)
{
    if (every_s <= 0)
        return true;
    for (double border_s = every_s; border_s <= w->end_s + reach_s; border_s += every_s)
        if (w->start_s - reach_s <= border_s && border_s <= w->end_s + reach_s)
            return true;
    return false;
}

static bool joined(const char *whole, const char *first, const char *second)
{
    const size_t n = strlen(first);
    return strncmp(whole, first, n) == 0 && strcmp(whole + n, second) == 0;
}

/* Word k and one beside it are one word on the other side. */
static bool glued(edit *edits, size_t n, size_t k)
{
    for (int side = -1; side <= 1; side += 2) {
        const size_t other = k + (size_t)side;
        if (other >= n || edits[other].done)
            continue;
        const edit *a = &edits[side < 0 ? other : k], *b = &edits[side < 0 ? k : other];
        const char *got = a->got && !b->got ? a->got->text : !a->got && b->got ? b->got->text : NULL;
        const char *want = a->want && !b->want ? a->want->text : !a->want && b->want ? b->want->text : NULL;
        if ((got && a->want && b->want && joined(got, a->want->text, b->want->text)) ||
            (want && a->got && b->got && joined(want, a->got->text, b->got->text))) {
            edits[other].done = true;
            return true;
        }
    }
    return false;
}

static bool reordered(edit *edits, size_t n, size_t k)
{
    const edit *e = &edits[k];
    const seam_word *w = e->want ? e->want : e->got;
    for (size_t i = k > 3 ? k - 3 : 0; i < n && i <= k + 3; i++) {
        edit *o = &edits[i];
        if (i != k && !o->done && ((e->want && !o->want && equal(w, o->got)) || (e->got && !o->got && equal(w, o->want)))) {
            o->done = true;
            return true;
        }
    }
    return false;
}

static bool repeated(const edit *edits, size_t n, size_t k)
{
    return (k > 0 && edits[k - 1].got && equal(edits[k].got, edits[k - 1].got)) ||
           (k + 1 < n && edits[k + 1].got && equal(edits[k].got, edits[k + 1].got));
}

void seam_score(const seam_word *want, size_t n_want, const seam_word *got, size_t n_got, double every_s, double reach_s,
                seam_counts *counts)
{
    edit *edits = calloc(n_want + n_got + 1, sizeof *edits);
    const size_t n = align(want, n_want, got, n_got, edits);
    for (size_t k = 0; k < n; k++) {
        edit *e = &edits[k];
        const seam_word *w = e->want ? e->want : e->got;
        const bool same = e->want && e->got && equal(e->want, e->got), near = near_border(w, every_s, reach_s);
        counts->n_words += e->want && near;
        if (e->done || same || !near)
            continue;
        e->done = true;
        if (glued(edits, n, k))
            counts->glued++;
        else if (e->want && e->got)
            counts->changed++;
        else if (e->got && repeated(edits, n, k))
            counts->repeated++;
        else if (reordered(edits, n, k))
            counts->reordered++;
        else if (e->got)
            counts->added++;
        else
            counts->dropped++;
    }
    free(edits);
}

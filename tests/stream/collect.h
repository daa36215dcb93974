/* collect.h - what a session says, put together: for tests that compare two ways to the same end. */
#ifndef CONURE_TESTS_COLLECT_H
#define CONURE_TESTS_COLLECT_H

#include "../test.h"
#include "conure.h"

typedef struct heard {
    conure_token *tokens;
    conure_word *words;
    char (*word_texts)[64];
    uint32_t n_tokens, n_words, n_events, tokens_cap, words_cap;
    uint32_t n_ends, n_gaps, n_tentative; /* events of these kinds */
    char text[16384], tentative[4096];
    double end_s[64];                     /* of utterances */
    double heard_s;
    bool over;
    conure_status last;                   /* of the last poll */
} heard;

static inline void heard_free(heard *h)
{
    free(h->tokens);
    free(h->words);
    free(h->word_texts);
    memset(h, 0, sizeof *h);
}

static inline void heard_grow(void **list, uint32_t *cap, uint32_t need, size_t bytes)
{
    while (*cap < need)
        *cap = *cap ? 2 * *cap : 64;
    *list = realloc(*list, *cap * bytes);
}

static inline void heard_event(heard *h, const conure_event *e)
{
    test_int(e->sequence, ++h->n_events);
    if (h->n_tokens + e->n_tokens > h->tokens_cap)
        heard_grow((void **)&h->tokens, &h->tokens_cap, h->n_tokens + e->n_tokens, sizeof *h->tokens);
    for (uint32_t i = 0; i < e->n_tokens; i++)
        h->tokens[h->n_tokens++] = e->tokens[i];
    if (h->n_words + e->n_words > h->words_cap) {
        uint32_t cap = h->words_cap;
        heard_grow((void **)&h->word_texts, &cap, h->n_words + e->n_words, sizeof *h->word_texts);
        heard_grow((void **)&h->words, &h->words_cap, h->n_words + e->n_words, sizeof *h->words);
    }
    for (uint32_t i = 0; i < e->n_words; i++) {
        snprintf(h->word_texts[h->n_words], sizeof *h->word_texts, "%s", e->words[i].text);
        h->words[h->n_words++] = e->words[i];
    }
    test_true(strlen(h->text) + strlen(e->final_text) < sizeof h->text);
    strncat(h->text, e->final_text, sizeof h->text - strlen(h->text) - 1);
    snprintf(h->tentative, sizeof h->tentative, "%s", e->tentative_text);
    h->n_tentative += *e->tentative_text != 0;
    h->n_gaps += (e->flags & CONURE_EVENT_GAP) != 0;
    if (e->flags & CONURE_EVENT_END_OF_UTTERANCE)
        h->end_s[h->n_ends++ % 64] = e->end_s;
    test_true(e->heard_s >= h->heard_s && e->end_s <= e->heard_s + 1e-9);
    h->heard_s = e->heard_s;
    test_true(!h->over); /* nothing comes behind the end */
    h->over |= (e->flags & CONURE_EVENT_END) != 0;
}

static inline void heard_poll(heard *h, conure_session *s)
{
    const conure_event *e;
    while ((h->last = conure_session_poll(s, &e)) == CONURE_OK)
        heard_event(h, e);
}

/* Step and poll until nothing is left to do; what the last step said. */
static inline conure_status heard_steps(heard *h, conure_session *s)
{
    conure_error err = {""};
    conure_status status;
    heard_poll(h, s);
    while ((status = conure_session_step(s, &err)) == CONURE_OK)
        heard_poll(h, s);
    if (status < 0)
        fprintf(stderr, "step: %s\n", err.text);
    return status;
}

/* Feed n samples in pieces of 1 to `most` (0: as much as fits), with steps at random moments and when it is full. */
static inline void heard_feed(heard *h, conure_session *s, const float *pcm, size_t n, size_t most, uint64_t *seed)
{
    for (size_t done = 0; done < n;) {
        size_t piece = most ? 1 + test_random(seed) % most : n - done, used = 0;
        piece = piece < n - done ? piece : n - done;
        conure_error err = {""};
        const conure_status status = conure_session_feed(s, pcm + done, piece, &used, &err);
        if (status != CONURE_OK && status != CONURE_FULL)
            fprintf(stderr, "feed: %s\n", err.text);
        test_true(status == CONURE_OK ? used == piece : status == CONURE_FULL && used < piece);
        if (status < 0)
            return;
        done += used;
        if (status == CONURE_FULL || (most && test_random(seed) % 2))
            test_int(heard_steps(h, s), CONURE_NEED_AUDIO);
    }
}

static inline void heard_finish(heard *h, conure_session *s)
{
    test_int(conure_session_finish(s, NULL), CONURE_OK);
    test_int(heard_steps(h, s), CONURE_END);
    test_true(h->over && h->last == CONURE_END);
}

/* All of pcm through a session that is new or reset. */
static inline void heard_all(heard *h, conure_session *s, const float *pcm, size_t n, size_t most, uint64_t *seed)
{
    memset(h, 0, sizeof *h);
    heard_feed(h, s, pcm, n, most, seed);
    heard_finish(h, s);
}

static inline bool heard_same(const heard *a, const heard *b)
{
    bool same = a->n_tokens == b->n_tokens && a->n_words == b->n_words && strcmp(a->text, b->text) == 0 && a->n_ends == b->n_ends;
    for (uint32_t i = 0; i < a->n_tokens && same; i++)
        same = a->tokens[i].id == b->tokens[i].id && a->tokens[i].frame == b->tokens[i].frame &&
               a->tokens[i].duration == b->tokens[i].duration && fabsf(a->tokens[i].confidence - b->tokens[i].confidence) < 1e-5f;
    for (uint32_t i = 0; i < a->n_words && same; i++)
        same = strcmp(a->word_texts[i], b->word_texts[i]) == 0 && fabs(a->words[i].start_s - b->words[i].start_s) < 1e-9 &&
               fabs(a->words[i].end_s - b->words[i].end_s) < 1e-9 && a->words[i].first_token == b->words[i].first_token &&
               a->words[i].n_tokens == b->words[i].n_tokens;
    if (!same)
        fprintf(stderr, "%u tokens, %u words, %u ends \"%.300s\"\n%u tokens, %u words, %u ends \"%.300s\"\n", a->n_tokens, a->n_words,
                a->n_ends, a->text, b->n_tokens, b->n_words, b->n_ends, b->text);
    return same;
}

#endif

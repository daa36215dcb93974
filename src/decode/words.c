/* words.c - tokens with times to words and segments.
 * Source: NeMo 2.7.3, _compute_offsets_tdt, _refine_timestamps_tdt, get_words_offsets and
 * get_segment_offsets, as spec 6.5 tells them; rewritten for one pass. */
#include "decode/words.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

typedef struct times {
    uint64_t start, end; /* frames; 64 bits hold the sum of two 32-bit numbers */
} times;

/* The words so far, and the one that is being built. */
typedef struct builder {
    const conure_tokenizer *tokenizer;
    const conure_token *tokens;
    uint32_t n_tokens;
    double frame_s;
    times *times;          /* [n_tokens] */
    uint32_t *built;       /* [n_tokens] ids of the word being built */
    uint32_t n_built;
    uint32_t first;        /* the token it began with */
    uint32_t next;         /* see mark_follows() */
    conure_word *words;    /* [n_tokens]; text is set at the end */
    uint32_t n_words;
    conure_buffer strings; /* the words' texts, each with its NUL */
} builder;

/* ---- times ----------------------------------------------------------------------------------- */

static void set_times(builder *b)
{
    for (uint32_t i = 0; i < b->n_tokens; i++) {
        const conure_token *token = &b->tokens[i];
        times *t = &b->times[i];
        if (i > 0 && conure_tokenizer_is_punctuation(b->tokenizer, token->id)) {
            t->start = t->end = b->times[i - 1].end;
        } else {
            t->start = token->frame;
            t->end = t->start + token->duration;
        }
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *surface(const builder *b, uint32_t i)
{
    return conure_tokenizer_surface(b->tokenizer, b->tokens[i].id);
}

static bool is_delimiter(const char *text)
{
    return strcmp(text, " ") == 0;
}

/* Whether the next token after i that prints more than a space is a mark.  The place found is kept: the
 * questions come in order, and a long run of spaces is walked through once. */
static bool mark_follows(builder *b, uint32_t i)
{
    if (b->next <= i)
        b->next = i + 1;
    while (b->next < b->n_tokens && (!*surface(b, b->next) || is_delimiter(surface(b, b->next))))
        b->next++;
    return b->next < b->n_tokens &&
           conure_tokenizer_is_punctuation(b->tokenizer, b->tokens[b->next].id);
}

static bool starts_word(builder *b, uint32_t i)
{
    const char *text = surface(b, i), *piece = conure_tokenizer_piece(b->tokenizer, b->tokens[i].id);
    return strcmp(text, piece) != 0 || (is_delimiter(text) && !mark_follows(b, i));
}

static float smallest_confidence(const conure_token *tokens, uint32_t n)
{
    float least = tokens[0].confidence;
    for (uint32_t i = 1; i < n; i++)
        if (tokens[i].confidence < least)
            least = tokens[i].confidence;
    return least;
}

/* Words come in order, so tokens first .. last have the times of the ends. */
static void set_span(builder *b, conure_word *word, uint32_t first, uint32_t last)
{
    word->first_token = first;
    word->n_tokens = last - first + 1;
    word->start_s = (double)b->times[first].start * b->frame_s;
    word->end_s = (double)b->times[last].end * b->frame_s;
    word->confidence = smallest_confidence(b->tokens + first, word->n_tokens);
}

/* The word being built is complete and ends with token last. */
static conure_status finish_word(builder *b, uint32_t last, conure_error *err)
{
    char *text = NULL;

    if (!b->n_built)
        return CONURE_OK;
    const conure_status status = conure_tokenizer_join(b->tokenizer, b->built, b->n_built, &text, err);
    if (status != CONURE_OK)
        return status;
    conure_buffer_add(&b->strings, text, strlen(text) + 1);
    free(text);
    set_span(b, &b->words[b->n_words++], b->first, last);
    b->n_built = 0;
    return CONURE_OK;
}

/* A mark behind a finished word: it replaces a space at that word's end. */
static void join_last_word(builder *b, uint32_t i)
{
    conure_word *word = &b->words[b->n_words - 1];

    if (b->strings.failed)
        return;
    b->strings.bytes--; /* the NUL */
    if (b->strings.bytes && b->strings.data[b->strings.bytes - 1] == ' ')
        b->strings.bytes--;
    conure_buffer_add(&b->strings, surface(b, i), strlen(surface(b, i)) + 1);
    set_span(b, word, word->first_token, i);
}

/* A mark inside the word being built takes the place of a bare space before it. */
static void drop_bare_space(builder *b)
{
    const char *piece = conure_tokenizer_piece(b->tokenizer, b->built[b->n_built - 1]);
    if (strcmp(piece, " ") == 0 || strcmp(piece, "_") == 0 || strcmp(piece, "\xE2\x96\x81") == 0)
        b->n_built--;
}

static conure_status add_token(builder *b, uint32_t i, conure_error *err)
{
    const uint32_t id = b->tokens[i].id;
    const bool mark = conure_tokenizer_is_punctuation(b->tokenizer, id);

    if (!mark && starts_word(b, i)) {
        const conure_status status = finish_word(b, i - 1, err); /* nothing built when i is 0 */
        if (status != CONURE_OK || is_delimiter(surface(b, i)))
            return status;
        b->first = i;
    } else if (mark && !b->n_built && b->n_words) {
        join_last_word(b, i);
        return CONURE_OK;
    } else if (mark && b->n_built) {
        drop_bare_space(b);
    } else if (!b->n_built) {
        b->first = i;
    }
    b->built[b->n_built++] = id;
    return CONURE_OK;
}

static conure_status make_words(builder *b, conure_error *err)
{
    for (uint32_t i = 0; i < b->n_tokens; i++) {
        const conure_status status = add_token(b, i, err);
        if (status != CONURE_OK)
            return status;
    }
    const conure_status status = finish_word(b, b->n_tokens - 1, err);
    if (status == CONURE_OK && b->n_words)
        b->words[0].start_s = (double)b->times[0].start * b->frame_s;
    return status;
}

/* ---- segments -------------------------------------------------------------------------------- */

static bool ends_segment(const char *word)
{
    const size_t n = strlen(word);
    return n && strchr(".?!", word[n - 1]);
}

/* Fill segments [at most n_words] of the words; texts lies behind the words' texts as a second copy of
 * them, in which a segment's words become one text.  Returns how many. */
static uint32_t make_segments(conure_segment *segments, const conure_word *words, uint32_t n_words,
                              char *texts)
{
    uint32_t n = 0;
    char *at = texts;

    for (uint32_t i = 0; i < n_words; i++) {
        conure_segment *segment = &segments[n];
        if (segment->n_words++ == 0) {
            *segment = (conure_segment){.text = at, .start_s = words[i].start_s, .first_word = i,
                                        .confidence = words[i].confidence, .n_words = 1};
        }
        segment->end_s = words[i].end_s;
        if (words[i].confidence < segment->confidence)
            segment->confidence = words[i].confidence;
        at += strlen(words[i].text);
        if (ends_segment(words[i].text) || i + 1 == n_words)
            n++;
        else
            *at = ' ';
        at++;
    }
    return n;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static conure_status allocate(builder *b, conure_error *err)
{
    b->times = conure_calloc(b->n_tokens, sizeof *b->times);
    b->built = conure_calloc(b->n_tokens, sizeof *b->built);
    b->words = conure_calloc(b->n_tokens, sizeof *b->words);
    if (!b->times || !b->built || !b->words)
        return conure_fail_memory(err, "words", (size_t)b->n_tokens * sizeof *b->words);
    return CONURE_OK;
}

/* Move what was built into out: the texts twice, see make_segments(). */
static conure_status hand_over(conure_words *out, builder *b, conure_error *err)
{
    const size_t bytes = b->strings.bytes;
    size_t both;

    if (!b->n_words)
        return CONURE_OK;
    if (b->strings.failed || !conure_mul(bytes, 2, &both))
        return conure_fail_memory(err, "words", bytes);
    out->strings = malloc(both);
    out->segments = conure_calloc(b->n_words, sizeof *out->segments);
    if (!out->strings || !out->segments)
        return conure_fail_memory(err, "segments", both);
    memcpy(out->strings, b->strings.data, bytes);
    memcpy(out->strings + bytes, b->strings.data, bytes);
    out->words = b->words;
    out->n_words = b->n_words;
    b->words = NULL;
    const char *at = out->strings;
    for (uint32_t i = 0; i < out->n_words; i++) {
        out->words[i].text = at;
        at += strlen(at) + 1;
    }
    out->n_segments = make_segments(out->segments, out->words, out->n_words, out->strings + bytes);
    return CONURE_OK;
}

static conure_status make_text(conure_words *out, builder *b, conure_error *err)
{
    uint32_t *ids = b->built; /* free by now */
    for (uint32_t i = 0; i < b->n_tokens; i++)
        ids[i] = b->tokens[i].id;
    return conure_tokenizer_decode(b->tokenizer, ids, b->n_tokens, &out->text, err);
}

conure_status conure_words_build(conure_words *out, const conure_tokenizer *tokenizer,
                                 const conure_token *tokens, uint32_t n_tokens, double frame_s,
                                 conure_error *err)
{
    builder b = {.tokenizer = tokenizer, .tokens = tokens, .n_tokens = n_tokens, .frame_s = frame_s};
    conure_status status = CONURE_OK;

    if (!out || !tokenizer || (n_tokens && !tokens))
        return conure_fail(err, CONURE_BAD_ARG, "words: no tokens or no tokenizer");
    *out = (conure_words){0};
    for (uint32_t i = 0; i < n_tokens; i++)
        if (tokens[i].id >= conure_tokenizer_size(tokenizer))
            return conure_fail(err, CONURE_BAD_ARG, "words: token %u is %u, the vocabulary has %u pieces",
                               i, tokens[i].id, conure_tokenizer_size(tokenizer));
    if (n_tokens) {
        status = allocate(&b, err);
        if (status == CONURE_OK) {
            set_times(&b);
            status = make_words(&b, err);
        }
        if (status == CONURE_OK)
            status = hand_over(out, &b, err);
    }
    if (status == CONURE_OK)
        status = make_text(out, &b, err);
    free(b.times);
    free(b.built);
    free(b.words);
    conure_buffer_free(&b.strings);
    if (status != CONURE_OK)
        conure_words_free(out);
    return status;
}

void conure_words_free(conure_words *words)
{
    if (!words)
        return;
    free(words->words);
    free(words->segments);
    free(words->text);
    free(words->strings);
    *words = (conure_words){0};
}

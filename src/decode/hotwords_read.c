/* hotwords_read.c - a list of hotwords from its text. */
#include "decode/hotwords.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Digits with at most one point: the C library reads numbers by the locale, and other things as numbers. */
static bool read_score(const char *text, size_t bytes, double *out)
{
    double value = 0, scale = 1;
    size_t n_digits = 0, n_points = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '.' && !n_points++)
            continue;
        if (text[i] < '0' || text[i] > '9' || ++n_digits > 15)
            return false;
        value = 10 * value + (text[i] - '0');
        scale *= n_points ? 10 : 1;
    }
    *out = value / scale;
    return n_digits > 0;
}

static conure_status add(conure_hotwords_text *out, uint32_t line, const char *text, size_t bytes, double score, bool scored,
                         conure_error *err)
{
    const size_t before = out->spelled.bytes;
    conure_error why = {""};
    const conure_status status = conure_text_spell(text, bytes, &out->spelled, &why);
    const size_t spelled = out->spelled.bytes - before;
    if (status == CONURE_NO_MEMORY)
        return conure_fail(err, status, "%s", why.text);
    if (status != CONURE_OK)
        return conure_fail(err, status, "hotwords, line %u: %s", line, why.text);
    if (!spelled && scored)
        return conure_fail(err, CONURE_BAD_FILE, "hotwords, line %u: a score without a phrase: write the phrase before the tab", line);
    if (!spelled) /* of spaces that are no ASCII ones */
        return CONURE_OK;
    if (spelled > CONURE_HOTWORD_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "hotwords, line %u: a phrase of %zu bytes, at most %d are supported: split it", line,
                           spelled, CONURE_HOTWORD_BYTES_MAX);
    if (out->n_words == CONURE_HOTWORDS_MAX)
        return conure_fail(err, CONURE_LIMIT, "hotwords, line %u: more than %d phrases: leave out what the model gets right without",
                           line, CONURE_HOTWORDS_MAX);
    out->words[out->n_words++] = (conure_hotword){(uint32_t)before, (uint32_t)spelled, line, (float)score};
    return CONURE_OK;
}

/* One line without its end: a phrase, and behind a tab its score. */
static conure_status read_line(conure_hotwords_text *out, uint32_t line, const char *text, size_t bytes, double score, conure_error *err)
{
    while (bytes && blank(text[bytes - 1]))
        bytes--;
    size_t first = 0;
    while (first < bytes && blank(text[first]))
        first++;
    if (first == bytes || text[first] == '#')
        return CONURE_OK;
    if (memchr(text, '\0', bytes))
        return conure_fail(err, CONURE_BAD_FILE, "hotwords, line %u: has a NUL byte: this is no text", line);
    const char *tab = memchr(text, '\t', bytes);
    if (tab) {
        const char *number = tab;
        while (blank(*number))
            number++;
        if (!read_score(number, (size_t)(text + bytes - number), &score) || score > CONURE_HOTWORD_SCORE_MAX)
            return conure_fail(err, CONURE_BAD_FILE, "hotwords, line %u: the score behind the tab is '%.*s', expected a number from 0 "
                               "to %d", line, (int)(text + bytes - number < 40 ? text + bytes - number : 40), number,
                               CONURE_HOTWORD_SCORE_MAX);
        bytes = (size_t)(tab - text);
    }
    return add(out, line, text, bytes, score, tab != NULL, err);
}

conure_status conure_hotwords_read(conure_hotwords_text *out, const char *text, size_t bytes, double score, conure_error *err)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* some editors begin a file with it */
    conure_status status = CONURE_OK;
    *out = (conure_hotwords_text){0};
    if (!(score >= 0 && score <= CONURE_HOTWORD_SCORE_MAX))
        return conure_fail(err, CONURE_BAD_ARG, "the score of hotwords is %g: expected 0 to %d", score, CONURE_HOTWORD_SCORE_MAX);
    if (bytes > CONURE_HOTWORDS_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "hotwords: %zu bytes, at most %d are read", bytes, CONURE_HOTWORDS_BYTES_MAX);
    out->words = conure_calloc(CONURE_HOTWORDS_MAX, sizeof *out->words);
    if (!out->words)
        return conure_fail_memory(err, "hotwords", CONURE_HOTWORDS_MAX * sizeof *out->words);
    size_t at = bytes >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    for (uint32_t line = 1; at < bytes && status == CONURE_OK; line++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t n = end ? (size_t)(end - text) - at : bytes - at;
        status = read_line(out, line, text + at, n, score, err);
        at += n + 1;
    }
    if (status == CONURE_OK && !out->n_words)
        status = conure_fail(err, CONURE_BAD_FILE, "hotwords: no phrase in the list: write one on each line");
    if (status != CONURE_OK)
        conure_hotwords_text_free(out);
    return status;
}

void conure_hotwords_text_free(conure_hotwords_text *text)
{
    free(text->words);
    conure_buffer_free(&text->spelled);
    *text = (conure_hotwords_text){0};
}

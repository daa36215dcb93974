/* output_cues.c - transcripts as subtitles: SRT and WebVTT.
 *
 * A segment (a sentence) is one cue when it fits; a longer one is split between words: at the last
 * comma or pause of its second half if there is one, else where the limit falls. */
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

#define PAUSE_S 0.5
#define LINE_CHARACTERS 42
#define SHORTEST_S 0.001 /* a cue that ends where it starts is refused by players */

/* The words first .. first + n - 1 with spaces between them. */
static uint32_t characters(const conure_result *r, uint32_t first, uint32_t n)
{
    uint32_t sum = n ? n - 1 : 0;
    for (uint32_t i = first; i < first + n; i++)
        sum += conure_characters(r->words[i].text);
    return sum;
}

/* Whether a reader would pause between word i and the next one. */
static bool pause_after(const conure_result *r, uint32_t i)
{
    const char *text = r->words[i].text;
    const size_t bytes = strlen(text);
    return (bytes && strchr(",;:", text[bytes - 1])) ||
           r->words[i + 1].start_s - r->words[i].end_s >= PAUSE_S;
}

/* How many of the words first .. end - 1 the next cue takes; at least one. */
static uint32_t take(const conure_result *r, uint32_t first, uint32_t end)
{
    uint32_t n = 0, sum = 0;
    while (first + n < end) {
        sum += conure_characters(r->words[first + n].text) + (n ? 1 : 0);
        if (n && (sum > CONURE_CUE_CHARACTERS ||
                  r->words[first + n].end_s - r->words[first].start_s > CONURE_CUE_S))
            break;
        n++;
    }
    if (first + n == end)
        return n;
    for (uint32_t k = n - 1; k > n / 2; k--)
        if (pause_after(r, first + k - 1))
            return k;
    return n;
}

bool conure_cues_split(const conure_result *result, conure_cue **cues, uint32_t *n_cues)
{
    uint32_t n = 0;
    *n_cues = 0;
    /* Every cue holds a word, so there are at most n_words. */
    *cues = conure_calloc(result->n_words ? result->n_words : 1, sizeof **cues);
    if (!*cues)
        return false;
    for (uint32_t s = 0; s < result->n_segments; s++) {
        const conure_segment *segment = &result->segments[s];
        uint32_t first = segment->first_word, end = first + segment->n_words;
        while (first < end) {
            const uint32_t taken = take(result, first, end);
            conure_cue *cue = &(*cues)[n++];
            cue->first_word = first;
            cue->n_words = taken;
            cue->start_s = result->words[first].start_s;
            cue->end_s = result->words[first + taken - 1].end_s;
            if (!(cue->end_s >= cue->start_s + SHORTEST_S))
                cue->end_s = cue->start_s + SHORTEST_S;
            first += taken;
        }
    }
    *n_cues = n;
    return true;
}

/* WebVTT knows character references.  SRT knows no escaping at all: only the arrow, which a player could
 * take for a line of times, is written otherwise. */
static void escape(conure_buffer *out, const char *text, bool vtt)
{
    for (; *text; text++) {
        if (vtt && *text == '&')
            conure_buffer_text(out, "&amp;");
        else if (vtt && *text == '<')
            conure_buffer_text(out, "&lt;");
        else if (vtt && *text == '>')
            conure_buffer_text(out, "&gt;");
        else if (!vtt && strncmp(text, "-->", 3) == 0) {
            conure_buffer_text(out, "\xE2\x86\x92"); /* U+2192, rightwards arrow */
            text += 2;
        } else
            conure_buffer_add(out, text, 1);
    }
}

/* Where to break into two lines of the most equal length; n_words: not at all. */
static uint32_t line_break(const conure_result *r, const conure_cue *cue)
{
    const uint32_t all = characters(r, cue->first_word, cue->n_words);
    uint32_t best = cue->n_words, best_longer = all;
    if (all <= LINE_CHARACTERS)
        return best;
    for (uint32_t k = 1; k < cue->n_words; k++) {
        const uint32_t front = characters(r, cue->first_word, k), back = all - front - 1;
        const uint32_t longer = front > back ? front : back;
        if (longer < best_longer) {
            best_longer = longer;
            best = k;
        }
    }
    return best;
}

static void cue_text(conure_buffer *out, const conure_result *r, const conure_cue *cue, bool vtt)
{
    const uint32_t at = line_break(r, cue);
    for (uint32_t i = 0; i < cue->n_words; i++) {
        char *clean = conure_clean_copy(r->words[cue->first_word + i].text);
        if (!clean) {
            out->failed = true;
            return;
        }
        if (i)
            conure_buffer_text(out, i == at ? "\n" : " ");
        escape(out, clean, vtt);
        free(clean);
    }
    conure_buffer_text(out, "\n");
}

static void write_cues(conure_buffer *out, const conure_transcript *t, bool vtt)
{
    conure_cue *cues = NULL;
    uint32_t n = 0;
    if (t->result && !conure_cues_split(t->result, &cues, &n))
        out->failed = true;
    for (uint32_t i = 0; i < n; i++) {
        if (i || vtt)
            conure_buffer_text(out, "\n");
        if (!vtt)
            conure_buffer_format(out, "%u\n", i + 1);
        conure_output_clock(out, cues[i].start_s, vtt ? '.' : ',');
        conure_buffer_text(out, " --> ");
        conure_output_clock(out, cues[i].end_s, vtt ? '.' : ',');
        conure_buffer_text(out, "\n");
        cue_text(out, t->result, &cues[i], vtt);
    }
    free(cues);
}

void conure_output_srt(conure_buffer *out, const conure_transcript *t)
{
    write_cues(out, t, false);
}

void conure_output_vtt(conure_buffer *out, const conure_transcript *t)
{
    conure_buffer_text(out, "WEBVTT\n");
    write_cues(out, t, true);
}

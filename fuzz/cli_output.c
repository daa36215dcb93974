/* cli_output.c - transcripts of any bytes through every output format: JSON must parse, everything must be
 * UTF-8, and no cue may be split by its own text.
 *
 * Input: four bytes of times each, then zero-terminated words, a segment end where a word is empty. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "cli/output.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_utf8(const conure_buffer *b)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)b->data;
    for (size_t left = b->bytes; left;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t n = utf8proc_iterate(at, (utf8proc_ssize_t)left, &c);
        if (n <= 0)
            return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

/* Every line of times was written by us: as many arrows as cues, each alone in its block. */
static void check_cues(const conure_buffer *b, uint32_t n_cues)
{
    uint32_t arrows = 0;
    for (const char *at = b->data; at && (at = strstr(at, "-->")); at += 3)
        arrows++;
    assert(arrows == n_cues);
}

static void check(const conure_transcript *t, conure_output_format format)
{
    conure_buffer out = {0};
    conure_cue *cues = NULL;
    uint32_t n_cues = 0;
    conure_output_write(&out, format, t, true, true);
    assert(!out.failed && is_utf8(&out));
    if (format == CONURE_OUTPUT_JSON) {
        json_t *json = json_loadb(out.data, out.bytes, 0, NULL);
        assert(json);
        json_decref(json);
    }
    if (format == CONURE_OUTPUT_SRT || format == CONURE_OUTPUT_VTT) {
        assert(conure_cues_split(t->result, &cues, &n_cues));
        check_cues(&out, n_cues);
        free(cues);
    }
    conure_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    conure_word words[WORDS_MAX];
    conure_segment segments[WORDS_MAX + 1];
    conure_token tokens[WORDS_MAX];
    char *text = malloc(size + 1);
    uint32_t n = 0, n_segments = 1, first = 0;
    size_t at = 0;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(segments, 0, sizeof segments);
    segments[0].text = text;
    while (n < WORDS_MAX && at + 4 < size) {
        int16_t times[2];
        conure_word *w = &words[n];
        memcpy(times, text + at, 4);
        at += 4;
        *w = (conure_word){.text = text + at, .start_s = times[0] / 10.0, .end_s = times[1] / 10.0,
                           .confidence = (float)times[0] / 256, .first_token = n, .n_tokens = 1};
        tokens[n] = (conure_token){.id = n, .frame = (uint16_t)times[1], .text = w->text};
        segments[n_segments - 1].n_words++;
        n++;
        if (!w->text[0]) {
            first = n;
            segments[n_segments++] = (conure_segment){.text = w->text, .first_word = first};
        }
        at += strlen(text + at) + 1;
    }
    {
        const conure_result result = {.text = text, .words = words, .segments = segments, .tokens = tokens,
                                      .n_words = n, .n_segments = n_segments, .n_tokens = n, .audio_s = 1};
        const char *const warnings[] = {text};
        const conure_transcript t = {.file = text, .channel = (int)(size % 3), .result = &result,
                                     .warnings = warnings, .n_warnings = 1, .model_name = text,
                                     .model_sha256 = ""};
        for (int format = CONURE_OUTPUT_TEXT; format <= CONURE_OUTPUT_TSV; format++)
            check(&t, (conure_output_format)format);
    }
    free(text);
    return 0;
}

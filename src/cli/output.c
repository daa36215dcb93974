/* output.c - what the writers of transcripts share. */
#include "cli/output.h"
#include "model/quote.h"

#include <math.h>
#include <string.h>

const char *const conure_output_names[] = {"text", "json", "srt", "vtt", "tsv", NULL};
const char *const conure_output_endings[] = {"txt", "json", "srt", "vtt", "tsv", NULL};

void conure_output_clean(conure_buffer *out, const char *text)
{
    for (size_t left = strlen(text), bytes; left > 0; text += bytes, left -= bytes) {
        const int32_t code = conure_character(text, left, &bytes);
        if (code < 0)
            conure_buffer_text(out, "\xEF\xBF\xBD");
        else if (conure_is_control(code))
            conure_buffer_text(out, " ");
        else
            conure_buffer_add(out, text, bytes);
    }
}

char *conure_clean_copy(const char *text)
{
    conure_buffer clean = {0};
    conure_buffer_text(&clean, ""); /* so that empty text gives an empty string */
    conure_output_clean(&clean, text);
    if (clean.failed || !clean.data) {
        const bool empty = !clean.failed;
        conure_buffer_free(&clean);
        return empty ? conure_strdup("") : NULL;
    }
    return clean.data;
}

uint64_t conure_output_ms(double seconds)
{
    return seconds > 0 && seconds < 1e12 ? (uint64_t)llround(seconds * 1000) : 0;
}

void conure_output_clock(conure_buffer *out, double seconds, char mark)
{
    const unsigned long long ms = conure_output_ms(seconds);
    conure_buffer_format(out, "%02llu:%02llu:%02llu%c%03llu", ms / 3600000, ms / 60000 % 60,
                         ms / 1000 % 60, mark, ms % 1000);
}

uint32_t conure_characters(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void conure_output_write(conure_buffer *out, conure_output_format format, const conure_transcript *t,
                         bool label, bool timestamps)
{
    switch (format) {
    case CONURE_OUTPUT_TEXT:
        conure_output_text(out, t, label, timestamps);
        break;
    case CONURE_OUTPUT_JSON:
        conure_output_json(out, t);
        break;
    case CONURE_OUTPUT_SRT:
        conure_output_srt(out, t);
        break;
    case CONURE_OUTPUT_VTT:
        conure_output_vtt(out, t);
        break;
    case CONURE_OUTPUT_TSV:
        conure_output_tsv(out, t);
        break;
    }
}

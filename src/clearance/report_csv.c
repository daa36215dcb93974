/* report_csv.c - the raw series for a spreadsheet or a script; see report.h. */
#include "clearance/report_page.h"

#include <string.h>

/* As exact as it was measured. */
static void number(conure_buffer *out, const json_t *value)
{
    char digits[64];
    if (!json_is_number(value))
        return;
    const size_t n = json_dumpb(value, digits, sizeof digits, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    conure_buffer_add(out, digits, n < sizeof digits ? n : 0);
}

/* In quotes; a quote twice.  A spreadsheet takes =, +, - and @ in front for a formula, in quotes too, and skips spaces before. */
static void quoted(conure_buffer *out, const char *text)
{
    conure_buffer clean = {0};
    conure_plain_text(&clean, text, 0);
    const char *c = clean.data ? clean.data : "", *first = c + strspn(c, " ");
    conure_buffer_text(out, *first && strchr("=+-@", *first) ? "\"'" : "\"");
    for (; *c; c++)
        conure_buffer_add(out, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
    conure_buffer_text(out, "\"");
    out->failed = out->failed || clean.failed;
    conure_buffer_free(&clean);
}

static void head(conure_buffer *out, const char *const *names, size_t n, const char *rest)
{
    for (size_t i = 0; i < n; i++)
        conure_buffer_format(out, "%s%s", i ? "," : "", names[i]);
    conure_buffer_text(out, rest);
}

static void series(conure_buffer *out, const json_t *values)
{
    static const char *const names[] = {"chunk", "encoder_output", "encoder_output_relative", "cache_last_channel", "cache_last_channel_relative",
                                        "cache_last_time", "cache_last_time_relative", "cache_length", "reference_cache_length", "seconds"};
    enum { N = sizeof names / sizeof *names };
    const json_t *columns[N];
    size_t rows = 0;
    head(out, names, N, "\n");
    for (size_t i = 0; i < N; i++) {
        columns[i] = json_object_get(values, names[i]);
        rows = json_array_size(columns[i]) > rows ? json_array_size(columns[i]) : rows;
    }
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < N; i++) {
            number(out, json_array_get(columns[i], row));
            conure_buffer_text(out, i + 1 < N ? "," : "\n");
        }
    }
}

static void latency(conure_buffer *out, const json_t *stage)
{
    size_t i;
    json_t *value;
    conure_buffer_text(out, "step,seconds\n");
    json_array_foreach(json_object_get(stage, "seconds"), i, value) {
        conure_buffer_format(out, "%zu,", i);
        number(out, value);
        conure_buffer_text(out, "\n");
    }
}

static void audio(conure_buffer *out, const json_t *stage)
{
    static const char *const of_clip[] = {"clip", "seconds", "words"}, *const texts[] = {"reference_text", "candidate_text"};
    static const char *const of_way[] = {"reference_tokens", "candidate_tokens", "edits", "moved", "reference_blanks", "candidate_blanks",
                                         "reference_errors", "candidate_errors", "confidence_difference", "confidence_pairs"};
    static const char *const ways[] = {"offline", "live", "cached"};
    const bool redacted = json_is_true(json_object_get(stage, "redacted"));
    size_t i;
    json_t *clip;
    head(out, of_clip, 3, ",name,heard,");
    head(out, of_way, 10, redacted ? "\n" : ",text,reference_text,candidate_text\n");
    json_array_foreach(json_object_get(stage, "clips"), i, clip) {
        for (int w = 0; w < 3; w++) {
            const json_t *one = json_object_get(clip, ways[w]);
            if (!json_is_object(one))
                continue;
            for (int k = 0; k < 3; k++) {
                number(out, json_object_get(clip, of_clip[k]));
                conure_buffer_text(out, ",");
            }
            quoted(out, report_text_at(clip, "name"));
            conure_buffer_format(out, ",%s", ways[w]);
            for (int k = 0; k < 10; k++) {
                conure_buffer_text(out, ",");
                number(out, json_object_get(one, of_way[k]));
            }
            for (int k = 0; k < 3 && !redacted; k++) {
                conure_buffer_text(out, ",");
                quoted(out, k ? report_text_at(one, texts[k - 1]) : report_text_at(clip, "text"));
            }
            conure_buffer_text(out, "\n");
        }
    }
}

conure_status conure_report_csv(const json_t *report, const char *part, conure_buffer *out)
{
    const json_t *stage = json_object_get(json_object_get(report, "stages"), part);
    if (strcmp(part, "functional") == 0 || strcmp(part, "closed_loop") == 0)
        series(out, json_object_get(stage, "series"));
    else if (strcmp(part, "latency") == 0)
        latency(out, stage);
    else if (strcmp(part, "audio") == 0)
        audio(out, stage);
    else
        return CONURE_BAD_ARG;
    return out->failed ? CONURE_NO_MEMORY : CONURE_OK;
}

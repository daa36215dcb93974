/* output_json.c - transcripts as JSON in the shape of OpenAI's verbose_json, with what else we know:
 * confidences, tokens, the model, warnings.
 *
 * One line for each segment, word and token: readable, and comparable by diff.  jansson writes the
 * values (escapes, numbers with a point); this file only the frame around them. */
#include <jansson.h>

#include "cli/json_values.h"
#include "cli/output.h"

static void key(conure_buffer *out, const char *name)
{
    conure_buffer_format(out, ",\n \"%s\":", name);
}

static void member(conure_buffer *out, const char *name, json_t *value)
{
    key(out, name);
    conure_value_dump(out, value);
}

static void row(conure_buffer *out, uint32_t i, json_t *value)
{
    conure_buffer_text(out, i ? ",\n  " : "\n  ");
    conure_value_dump(out, value);
}

static void segments(conure_buffer *out, const conure_result *r)
{
    key(out, "segments");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_segments; i++) {
        const conure_segment *s = &r->segments[i];
        row(out, i, json_pack("{s:i, s:o, s:o, s:o, s:o}", "id", (int)i, "start", conure_value_seconds(s->start_s),
                              "end", conure_value_seconds(s->end_s), "text", conure_value_text(s->text), "confidence",
                              conure_value_confidence(s->confidence)));
    }
    conure_buffer_text(out, "]");
}

static void words(conure_buffer *out, const conure_result *r)
{
    key(out, "words");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_words; i++)
        row(out, i, conure_value_word(&r->words[i]));
    conure_buffer_text(out, "]");
}

static void tokens(conure_buffer *out, const conure_result *r)
{
    key(out, "tokens");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_tokens; i++)
        row(out, i, conure_value_token(&r->tokens[i]));
    conure_buffer_text(out, "]");
}

static void about(conure_buffer *out, const conure_transcript *t)
{
    member(out, "model",
           json_pack("{s:o, s:o}", "name", conure_value_text(t->model_name), "hash", conure_value_text(t->model_sha256)));
    member(out, "file", conure_value_text(t->file));
    if (t->channel)
        member(out, "channel", json_integer(t->channel));
    key(out, "warnings");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < t->n_warnings; i++)
        row(out, i, conure_value_text(t->warnings[i]));
    conure_buffer_text(out, "]}");
}

void conure_output_json(conure_buffer *out, const conure_transcript *t)
{
    const conure_result *r = t->result;
    conure_buffer_text(out, "{\"task\":\"transcribe\"");
    if (!r) {
        member(out, "error", conure_value_text(t->error ? t->error : "failed"));
        about(out, t);
        return;
    }
    member(out, "language", json_null());
    member(out, "duration", conure_value_seconds(r->audio_s));
    member(out, "text", conure_value_text(r->text));
    segments(out, r);
    words(out, r);
    tokens(out, r);
    about(out, t);
}

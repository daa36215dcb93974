/* output_json.c - transcripts as JSON in the shape of OpenAI's verbose_json, with what else we know:
 * confidences, tokens, the model, warnings.
 *
 * One line for each segment, word and token: readable, and comparable by diff.  jansson writes the
 * values (escapes, numbers with a point); this file only the frame around them. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "cli/output.h"

/* Decimals that mean something: times are multiples of 0.08 s, confidences float32. */
static json_t *number(double value, double places)
{
    return isfinite(value) ? json_real(round(value * places) / places) : json_null();
}

static json_t *seconds(double value)
{
    return number(value, 1e6);
}

static json_t *text(const char *value)
{
    char *clean = value ? conure_clean_copy(value) : NULL;
    json_t *json = clean ? json_string(clean) : NULL;
    if (!value)
        return json_null();
    free(clean);
    return json; /* NULL: no memory, which json_pack and dump() pass on */
}

/* Append a value and give it up. */
static void dump(conure_buffer *out, json_t *json)
{
    char *line = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
    if (line)
        conure_buffer_text(out, line);
    else
        out->failed = true;
    free(line);
    json_decref(json);
}

static void key(conure_buffer *out, const char *name)
{
    conure_buffer_format(out, ",\n \"%s\":", name);
}

static void member(conure_buffer *out, const char *name, json_t *value)
{
    key(out, name);
    dump(out, value);
}

static void row(conure_buffer *out, uint32_t i, json_t *value)
{
    conure_buffer_text(out, i ? ",\n  " : "\n  ");
    dump(out, value);
}

static void segments(conure_buffer *out, const conure_result *r)
{
    key(out, "segments");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_segments; i++) {
        const conure_segment *s = &r->segments[i];
        row(out, i, json_pack("{s:i, s:o, s:o, s:o, s:o}", "id", (int)i, "start", seconds(s->start_s),
                              "end", seconds(s->end_s), "text", text(s->text), "confidence",
                              number(s->confidence, 1e6)));
    }
    conure_buffer_text(out, "]");
}

static void words(conure_buffer *out, const conure_result *r)
{
    key(out, "words");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_words; i++) {
        const conure_word *w = &r->words[i];
        row(out, i, json_pack("{s:o, s:o, s:o, s:o}", "word", text(w->text), "start",
                              seconds(w->start_s), "end", seconds(w->end_s), "confidence",
                              number(w->confidence, 1e6)));
    }
    conure_buffer_text(out, "]");
}

static void tokens(conure_buffer *out, const conure_result *r)
{
    key(out, "tokens");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < r->n_tokens; i++) {
        const conure_token *t = &r->tokens[i];
        row(out, i, json_pack("{s:I, s:I, s:I, s:o, s:o}", "id", (json_int_t)t->id, "frame",
                              (json_int_t)t->frame, "duration", (json_int_t)t->duration, "text",
                              text(t->text), "confidence", number(t->confidence, 1e6)));
    }
    conure_buffer_text(out, "]");
}

static void about(conure_buffer *out, const conure_transcript *t)
{
    member(out, "model",
           json_pack("{s:o, s:o}", "name", text(t->model_name), "hash", text(t->model_sha256)));
    member(out, "file", text(t->file));
    if (t->channel)
        member(out, "channel", json_integer(t->channel));
    key(out, "warnings");
    conure_buffer_text(out, "[");
    for (uint32_t i = 0; i < t->n_warnings; i++)
        row(out, i, text(t->warnings[i]));
    conure_buffer_text(out, "]}");
}

void conure_output_json(conure_buffer *out, const conure_transcript *t)
{
    const conure_result *r = t->result;
    conure_buffer_text(out, "{\"task\":\"transcribe\"");
    if (!r) {
        member(out, "error", text(t->error ? t->error : "failed"));
        about(out, t);
        return;
    }
    member(out, "language", json_null());
    member(out, "duration", seconds(r->audio_s));
    member(out, "text", text(r->text));
    segments(out, r);
    words(out, r);
    tokens(out, r);
    about(out, t);
}

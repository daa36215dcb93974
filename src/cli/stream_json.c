/* stream_json.c - live text for programs: JSON lines.  The last one holds the whole session: its text, words and tokens are
 * kept until then, about 100 bytes a word. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cli/json_values.h"
#include "cli/stream.h"
#include "cli/terminal.h"

struct conure_stream_json {
    conure_buffer text, words, tokens; /* of the session; words and tokens as members of an array */
    double end_s;                      /* of the event before */
};

static bool print(conure_buffer *out)
{
    bool good = !out->failed;
    if (good) {
        conure_progress_clear();
        fwrite(out->data, 1, out->bytes, stdout);
        good = conure_stdout_flush();
    }
    conure_buffer_free(out);
    return good;
}

static void member(conure_buffer *out, const char *name, json_t *value)
{
    conure_buffer_format(out, ",\"%s\":", name);
    conure_value_dump(out, value);
}

static void element(conure_buffer *array, json_t *value)
{
    if (array->bytes)
        conure_buffer_text(array, ",");
    conure_value_dump(array, value);
}

static void array_member(conure_buffer *out, const char *name, const conure_buffer *array)
{
    conure_buffer_format(out, ",\"%s\":[", name);
    conure_buffer_add(out, array->bytes ? array->data : "", array->bytes);
    conure_buffer_text(out, "]");
    out->failed = out->failed || array->failed;
}

static json_t *flags(const conure_event *e)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } names[] = {{CONURE_EVENT_TEXT, "text"}, {CONURE_EVENT_END_OF_UTTERANCE, "end_of_utterance"}, {CONURE_EVENT_GAP, "gap"},
                 {CONURE_EVENT_END, "end"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (e->flags & names[i].flag)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

static json_t *stats(const conure_session_stats *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "steps", (json_int_t)s->n_steps, "encoder_calls",
                     (json_int_t)s->n_encoder_calls, "frames", (json_int_t)s->n_frames, "tokens", (json_int_t)s->n_tokens, "blanks",
                     (json_int_t)s->n_blanks, "utterances", (json_int_t)s->n_utterances, "violations", (json_int_t)s->n_violations,
                     "cache_length", (json_int_t)s->cache_length,
                     "audio_s", conure_value_seconds(s->heard_s), "features_s", conure_value_seconds(s->features_s), "encoder_s",
                     conure_value_seconds(s->encoder_s), "decoder_s", conure_value_seconds(s->decoder_s), "step_s",
                     conure_value_seconds(s->step_s));
}

static bool on_event(void *self, const conure_event *e)
{
    conure_stream_json *j = self;
    conure_buffer out = {0}, words = {0}, tokens = {0};
    conure_buffer_text(&j->text, e->final_text);
    for (uint32_t i = 0; i < e->n_words; i++) {
        element(&words, conure_value_word(&e->words[i]));
        element(&j->words, conure_value_word(&e->words[i]));
    }
    for (uint32_t i = 0; i < e->n_tokens; i++) {
        element(&tokens, conure_value_token(&e->tokens[i]));
        element(&j->tokens, conure_value_token(&e->tokens[i]));
    }
    conure_buffer_format(&out, "{\"type\":\"event\",\"sequence\":%llu", (unsigned long long)e->sequence);
    member(&out, "flags", flags(e));
    member(&out, "utterance", json_integer(e->utterance));
    member(&out, "start", conure_value_seconds(j->end_s));
    member(&out, "end", conure_value_seconds(e->end_s));
    member(&out, "heard", conure_value_seconds(e->heard_s));
    member(&out, "origin", conure_value_seconds(e->origin_s));
    member(&out, "final", conure_value_text(e->final_text));
    member(&out, "tentative", conure_value_text(e->tentative_text));
    array_member(&out, "words", &words);
    array_member(&out, "tokens", &tokens);
    member(&out, "stats", stats(&e->stats));
    conure_buffer_text(&out, "}\n");
    j->end_s = e->end_s;
    conure_buffer_free(&words);
    conure_buffer_free(&tokens);
    return print(&out);
}

static void on_hide(void *self)
{
    (void)self;
}

static bool on_end(void *self, const conure_stream_summary *s)
{
    conure_stream_json *j = self;
    conure_buffer out = {0};
    const double heard_s = s->stats.heard_s;
    json_t *all = stats(&s->stats);
    json_object_set_new(all, "real_time_factor", heard_s > 0 ? conure_value_number(s->stats.step_s / heard_s, 1e6) : json_null());
    json_object_set_new(all, "latency_s", conure_value_seconds(s->latency_s));
    json_object_set_new(all, "step_p50_s", conure_value_seconds(s->step_p50_s));
    json_object_set_new(all, "step_p95_s", conure_value_seconds(s->step_p95_s));
    json_object_set_new(all, "step_max_s", conure_value_seconds(s->step_max_s));
    conure_buffer_text(&out, "{\"type\":\"result\"");
    member(&out, "file", conure_value_text(s->file));
    member(&out, "duration", conure_value_seconds(heard_s));
    member(&out, "text", conure_value_text(j->text.bytes ? j->text.data : ""));
    array_member(&out, "words", &j->words);
    array_member(&out, "tokens", &j->tokens);
    member(&out, "model", json_pack("{s:o, s:o}", "name", conure_value_text(s->model_name), "hash", conure_value_text(s->model_sha256)));
    member(&out, "warnings", s->warning ? json_pack("[o]", conure_value_text(s->warning)) : json_array());
    member(&out, "stats", all);
    conure_buffer_text(&out, "}\n");
    out.failed = out.failed || j->text.failed;
    return print(&out);
}

conure_status conure_stream_json_open(conure_stream_json **out, conure_stream_view *view, conure_error *err)
{
    conure_stream_json *j = conure_calloc(1, sizeof *j);
    *out = j;
    if (!j)
        return conure_fail_memory(err, "a view", sizeof *j);
    *view = (conure_stream_view){.event = on_event, .hide = on_hide, .end = on_end, .self = j};
    return CONURE_OK;
}

void conure_stream_json_close(conure_stream_json **json)
{
    if (!*json)
        return;
    conure_buffer_free(&(*json)->text);
    conure_buffer_free(&(*json)->words);
    conure_buffer_free(&(*json)->tokens);
    free(*json);
    *json = NULL;
}

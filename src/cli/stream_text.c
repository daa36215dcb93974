/* stream_text.c - live text for people: one line for each utterance, which grows. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "cli/captions.h"
#include "cli/output.h"
#include "cli/stream.h"
#include "cli/terminal.h"

struct conure_stream_text {
    bool terminal;
    bool begun; /* elsewhere: the line has text */
    conure_captions captions;
};

static bool print(conure_buffer *out)
{
    bool good = !out->failed;
    if (good && out->bytes) {
        conure_progress_clear();
        fwrite(out->data, 1, out->bytes, stdout);
        good = conure_stdout_flush();
    }
    conure_buffer_free(out);
    return good;
}

/* Drawn in place. */
static bool draw(conure_stream_text *t, const conure_event *e)
{
    conure_buffer out = {0};
    char *final = conure_clean_copy(e->final_text), *tentative = conure_clean_copy(e->tentative_text);
    const bool ends = e->flags & CONURE_EVENT_END_OF_UTTERANCE;
    conure_stdout_size(&t->captions.columns, &t->captions.rows);
    if (final && tentative) {
        conure_captions_show(&t->captions, &out, final, ends ? "" : tentative);
        if (ends)
            conure_captions_end(&t->captions, &out);
    }
    out.failed = out.failed || !final || !tentative;
    free(final);
    free(tentative);
    return print(&out);
}

/* To a file or a pipe: final text only. */
static bool append(conure_stream_text *t, const conure_event *e)
{
    conure_buffer out = {0};
    const char *text = e->final_text;
    if (!t->begun && *text == ' ')
        text++; /* stands between utterances, each of which has a line here */
    conure_output_clean(&out, text);
    t->begun = t->begun || *text;
    if ((e->flags & CONURE_EVENT_END_OF_UTTERANCE) && t->begun) {
        conure_buffer_text(&out, "\n");
        t->begun = false;
    }
    return print(&out);
}

static bool on_event(void *self, const conure_event *event)
{
    conure_stream_text *t = self;
    return t->terminal ? draw(t, event) : append(t, event);
}

static void on_hide(void *self)
{
    conure_stream_text *t = self;
    conure_buffer out = {0};
    if (!t->terminal)
        return;
    conure_captions_end(&t->captions, &out);
    (void)print(&out); /* that it failed is told when standard output is closed */
}

static bool on_end(void *self, const conure_stream_summary *summary)
{
    (void)summary;
    on_hide(self);
    return true;
}

conure_status conure_stream_text_open(conure_stream_text **out, conure_stream_view *view, conure_error *err)
{
    conure_stream_text *t = conure_calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return conure_fail_memory(err, "a view", sizeof *t);
    t->terminal = conure_stdout_is_terminal(&t->captions.styles);
    *view = (conure_stream_view){.event = on_event, .hide = on_hide, .end = on_end, .self = t};
    return CONURE_OK;
}

void conure_stream_text_close(conure_stream_text **text)
{
    if (!*text)
        return;
    conure_captions_free(&(*text)->captions);
    free(*text);
    *text = NULL;
}

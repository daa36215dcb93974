/* stream.h - live text: from one input, as it arrives, through a session to a view. */
#ifndef CONURE_CLI_STREAM_H
#define CONURE_CLI_STREAM_H

#include "audio/audio.h"
#include "base/memory.h"
#include "conure.h"

#define CONURE_STREAM_STEPS_KEPT 4096 /* of whose times percentiles are made */

/* What a whole session has been. */
typedef struct conure_stream_summary {
    const char *file;
    const char *model_name, *model_sha256;
    const char *warning;         /* NULL: the input is sound */
    conure_session_stats stats;
    double latency_s;            /* conure_session_latency_s() */
    double step_p50_s, step_p95_s, step_max_s; /* of the last CONURE_STREAM_STEPS_KEPT steps */
} conure_stream_summary;

/* Where events go.  false: the output failed, and more would not help. */
typedef struct conure_stream_view {
    bool (*event)(void *self, const conure_event *event);
    void (*hide)(void *self); /* a message is about to be said; the next event draws again */
    bool (*end)(void *self, const conure_stream_summary *summary);
    void *self;
} conure_stream_view;

typedef struct conure_stream_job {
    const char *file; /* "-": standard input */
    conure_recognizer *recognizer;
    conure_session_options session; /* sample_rate_hz is set from the input */
    conure_audio_options audio;
    conure_stream_view *view;
    conure_stream_summary summary;
    /* out */
    bool input_failed; /* the status is the input's: what came before was flushed */
    bool damaged;
    char damage[320];
} conure_stream_job;

/* Returns OK; CANCELLED, also when conure_input_ended has ended the input, after all that came of it was told; IO without a
 * text when the view failed; what opening or reading gives (input_failed); what a session gives. */
conure_status conure_stream_run(conure_stream_job *job, conure_error *err);

/* ---- stream_text.c: lines of text; on a terminal with the tentative text behind them */

typedef struct conure_stream_text conure_stream_text;
conure_status conure_stream_text_open(conure_stream_text **out, conure_stream_view *view, conure_error *err);
void conure_stream_text_close(conure_stream_text **text);

/* ---- stream_json.c: a line for each event, and one for the session */

typedef struct conure_stream_json conure_stream_json;
conure_status conure_stream_json_open(conure_stream_json **out, conure_stream_view *view, conure_error *err);
void conure_stream_json_close(conure_stream_json **json);

#endif

/* stream.c - reading, feeding, stepping and polling, in one thread: what waits in the pipe meanwhile is read next, in one
 * piece.  See stream.h. */
#include "cli/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/system.h"
#include "cli/measure.h"
#include "cli/terminal.h"

#define BLOCK_FRAMES 8192

typedef struct run_state {
    conure_stream_job *job;
    conure_audio *audio;
    conure_session *session;
    float *block;
    double *times; /* [CONURE_STREAM_STEPS_KEPT], a ring */
    uint64_t n_times;
} run_state;

/* ---- steps ----------------------------------------------------------------------------------- */

static conure_status poll_events(run_state *st)
{
    const conure_event *event;
    conure_status status;
    while ((status = conure_session_poll(st->session, &event)) == CONURE_OK)
        if (!st->job->view->event(st->job->view->self, event))
            return CONURE_IO;
    return status == CONURE_NEED_AUDIO || status == CONURE_END ? CONURE_OK : status;
}

/* All that can be made of what was fed. */
static conure_status step_all(run_state *st, conure_error *err)
{
    for (;;) {
        const double start_s = conure_now_s();
        conure_status status = conure_session_step(st->session, err);
        if (status == CONURE_NEED_AUDIO || status == CONURE_END)
            return CONURE_OK;
        if (status == CONURE_OK)
            st->times[st->n_times++ % CONURE_STREAM_STEPS_KEPT] = conure_now_s() - start_s;
        else if (status != CONURE_FULL)
            return status;
        status = poll_events(st);
        if (status != CONURE_OK)
            return status;
    }
}

static conure_status feed_all(run_state *st, size_t n, conure_error *err)
{
    for (size_t done = 0, used = 0; done < n; done += used) {
        conure_status status = conure_session_feed(st->session, st->block + done, n - done, &used, err);
        if (status == CONURE_BAD_AUDIO) {
            st->job->input_failed = true;
            conure_error_prefix(err, st->job->file);
        }
        if (status != CONURE_OK && status != CONURE_FULL)
            return status;
        status = step_all(st, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

/* ---- the input ------------------------------------------------------------------------------- */

static conure_status read_all(run_state *st, conure_error *err)
{
    for (size_t n = 1; n;) {
        conure_status status = conure_audio_read_some(st->audio, st->block, BLOCK_FRAMES, &n, err);
        if (status != CONURE_OK) {
            st->job->input_failed = status != CONURE_CANCELLED && status != CONURE_NO_MEMORY;
            return status;
        }
        status = feed_all(st, n, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static void tell_ended(run_state *st)
{
    const conure_audio_info *info = conure_audio_get_info(st->audio);
    char heard[32];
    st->job->view->hide(st->job->view->self);
    conure_say(CONURE_SAY_NOTE, "the input ends here, after %s of audio; Ctrl-C again stops at once",
               conure_text_seconds((double)info->frames_decoded / info->rate_hz, heard));
}

/* The last words, also of an input that failed: nothing that was heard is lost. */
static conure_status flush(run_state *st, conure_error *err)
{
    conure_status status = conure_session_finish(st->session, err);
    if (status == CONURE_OK)
        status = step_all(st, err);
    return status;
}

static conure_status open_all(run_state *st, conure_error *err)
{
    conure_stream_job *job = st->job;
    conure_status status = conure_audio_open(&st->audio, job->file, &job->audio, err);
    if (status != CONURE_OK) {
        if (conure_input_ended && status != CONURE_NO_MEMORY) /* Ctrl-C before there was any audio */
            status = CONURE_CANCELLED;
        job->input_failed = status != CONURE_CANCELLED && status != CONURE_NO_MEMORY;
        return status;
    }
    job->session.sample_rate_hz = conure_audio_get_info(st->audio)->rate_out_hz;
    st->block = conure_calloc(BLOCK_FRAMES, sizeof *st->block);
    st->times = conure_calloc(CONURE_STREAM_STEPS_KEPT, sizeof *st->times);
    if (!st->block || !st->times)
        return conure_fail_memory(err, "a stream", BLOCK_FRAMES * sizeof *st->block);
    return conure_session_open(&st->session, job->recognizer, &job->session, err);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void sum_up(run_state *st)
{
    conure_stream_job *job = st->job;
    conure_stream_summary *s = &job->summary;
    const conure_audio_info *info = conure_audio_get_info(st->audio);
    const uint32_t n = (uint32_t)(st->n_times < CONURE_STREAM_STEPS_KEPT ? st->n_times : CONURE_STREAM_STEPS_KEPT);
    conure_stats times;
    conure_stats_of(st->times, n, &times);
    s->file = job->file;
    s->step_p50_s = times.p50;
    s->step_p95_s = times.p95;
    s->step_max_s = times.max;
    s->latency_s = conure_session_latency_s(st->session);
    (void)conure_session_get_stats(st->session, &s->stats);
    job->damaged = info->damaged;
    if (info->damaged)
        snprintf(job->damage, sizeof job->damage, "%s", info->damage);
    else if (info->frames_decoded == 0 && !job->input_failed) {
        job->damaged = true;
        snprintf(job->damage, sizeof job->damage, "is empty: there is no audio in it");
    }
    s->warning = job->damaged ? job->damage : NULL;
}

static conure_status transcribe(run_state *st, conure_error *err)
{
    conure_error later = {""};
    conure_status status = read_all(st, err), last;
    if (status != CONURE_OK && !st->job->input_failed)
        return status;
    if (conure_input_ended && !conure_interrupted)
        tell_ended(st);
    last = flush(st, &later);
    if (last == CONURE_OK) {
        sum_up(st);
        if (!st->job->view->end(st->job->view->self, &st->job->summary))
            last = CONURE_IO;
    }
    if (status != CONURE_OK)
        return status;
    if (last != CONURE_OK && err)
        *err = later;
    return last == CONURE_OK && conure_input_ended ? CONURE_CANCELLED : last;
}

conure_status conure_stream_run(conure_stream_job *job, conure_error *err)
{
    run_state st = {.job = job};
    const bool stream = conure_input_is_stream(job->file);
    if (stream) {
        conure_progress("listening to %s; Ctrl-C ends it", job->file[0] == '-' && !job->file[1] ? "standard input" : job->file);
        conure_input_begin();
    }
    conure_status status = open_all(&st, err);
    if (status == CONURE_OK)
        status = transcribe(&st, err);
    job->view->hide(job->view->self);
    conure_input_finish();
    conure_progress_clear();
    conure_session_close(&st.session);
    conure_audio_close(&st.audio);
    free(st.block);
    free(st.times);
    return status;
}

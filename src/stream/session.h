/* session.h - what is inside a session; session.c takes audio and gives events, step.c makes steps.
 *
 * Two threads may be at work on a session: its owner's (feed, poll, ...) and one that steps it (the scheduler's).
 * What they share is under `lock`, held for as long as copying takes and never while the model runs.  The rest
 * belongs to whoever holds the recognizer's in_use. */
#ifndef CONURE_STREAM_SESSION_H
#define CONURE_STREAM_SESSION_H

#include "decode/tdt.h"
#include "decode/live_text.h"
#include "features/resample.h"
#include "features/running.h"
#include "stream/endpoint.h"
#include "stream/events.h"
#include "stream/recognizer.h"
#include "stream/schedule.h"
#include "stream/watch.h"
#include "stream/window.h"

#include <stdatomic.h>

/* Audio of the run at hand, at the model's rate: a ring in which sample i lies at i % cap. */
typedef struct conure_input {
    float *ring;
    uint64_t cap;
    uint64_t heard;  /* samples so far */
    uint64_t keep;   /* those before this one may be overwritten */
    bool ended;      /* no more will come in this run */
    double gap_s;    /* >= 0: the run ended for a gap of this length, and another follows */
} conure_input;

/* Mel frames of a cache-aware run that a later slice may need, not normalised. */
typedef struct conure_frames {
    float *data;     /* [cap][mel_bins] */
    uint32_t cap;
    uint64_t first, end; /* frames in data */
    uint64_t counted;    /* of these, in the running mean: all before */
} conure_frames;

struct conure_session {
    conure_recognizer *recognizer; /* NULL once that was closed; changes under lock */
    conure_session *next;          /* in the recognizer's list */
    const conure_model *model;     /* kept: events point to its pieces, also when the recognizer was closed */
    conure_session_options options;
    uint32_t left, chunk, right;   /* contexts in encoder frames */
    uint32_t frame_samples, rate_hz, mel_bins; /* of the model: 1280, 16000, 128 */
    double frame_s;
    uint64_t bytes;                /* taken at open */
    size_t state_memory;           /* taken by the engine's state; grows with its cache */

    atomic_flag in_call;           /* a call of the owner is running */
    pthread_mutex_t lock;
    /* Under lock. */
    conure_input input;
    conure_resampler *resampler;
    uint32_t input_rate_hz;
    uint64_t n_fed;                /* samples since it began or its rate changed, for texts */
    bool finished;                 /* finish() was called */
    bool over;                     /* the last event was made */
    bool stepping;                 /* a step has it in hand */
    double origin_s;               /* session time of the run's first sample */
    double ready_since_s;          /* 0: not ready */
    conure_events events;
    conure_status failed;          /* a step failed for good: reset or close */
    conure_error error;            /* why */
    conure_session_stats stats;
    struct conure_scheduler *scheduler; /* NULL: stepped by its owner */

    /* Of the steps. */
    conure_window window;          /* BUFFERED */
    conure_schedule schedule;      /* CACHED, RESET */
    conure_state *state;
    conure_frames frames;
    conure_running running;
    float *ahead;                  /* [ahead_cap][d_model]: encoder frames of this step, or of one whose decoding failed;
                                      CACHED, RESET */
    uint32_t n_ahead, n_ahead_final, ahead_cap; /* n_ahead_final of them are final, the others look-ahead */
    bool ahead_last;
    bool ahead_lost;               /* they broke the contract, and are not decoded */
    conure_watch watch;
    conure_tdt tdt, spare;         /* spare: the state before a step, then what decodes tentative text */
    conure_live_text *text;
    conure_endpoint_rules rules;
    conure_endpoint endpoint;
    uint64_t utterance_first;      /* frame of the run on which the utterance begins */
    uint64_t n_tokens_before;      /* of the session, before this utterance */
    bool had_tentative;            /* the event before had tentative text */
    bool text_before;              /* some final text was made */
    bool space_owed;               /* the next final text is the first of its utterance, and stands behind other text */
    uint64_t sequence;
    uint32_t utterance;
    bool after_gap;                /* the next event is the first behind a gap */
};

static inline bool conure_session_cached(const conure_session *s)
{
    return s->options.mode != CONURE_STREAM_BUFFERED;
}

/* Mel frames of the run whose samples are all there. */
uint64_t conure_session_mel_frames(const conure_session *session);
/* The first sample that mel frames from `frame` on reach back to, or some before it: half a window, and one of pre-emphasis. */
static inline uint64_t conure_samples_from(const conure_config *config, uint64_t frame)
{
    const uint32_t back = config->window_samples / 2 / config->hop_samples + 1;
    return frame > back ? (frame - back) * config->hop_samples : 0;
}
/* A step could be made now; under lock. */
bool conure_session_ready(const conure_session *session);
/* Look again whether it is ready; tells whether it has just become so.  Under lock. */
bool conure_session_look(conure_session *session);
/* Samples from first on, n of them, out of the ring; under lock. */
void conure_session_copy(const conure_session *session, uint64_t first, uint64_t n, float *dst);
/* Ask the engine anew what its state takes and how much of it is filled. */
void conure_session_weigh(conure_session *session);
/* Begin a run at origin_s with everything new but the clock, the events and the options; under in_use and lock. */
void conure_session_begin(conure_session *session, double origin_s);
/* Its recognizer is being closed: leave it.  Under in_use, or alone. */
void conure_session_orphan(conure_session *session);
/* A call of the owner begins: BAD_ARG, or BAD_STATE while another is running.  Ends with clearing in_call. */
conure_status conure_session_claim(conure_session *session, const char *what, conure_error *err);
conure_status conure_session_orphaned(const char *what, conure_error *err); /* BAD_STATE, with its text */

/* One batch; sessions are of one recognizer and different, none of them stepped by anybody else. */
conure_status conure_step_batch(conure_recognizer *recognizer, conure_session *const *sessions, uint32_t n,
                                conure_status *statuses, conure_error *err);

/* scheduler.c: the session has become ready; it is being closed. */
void conure_scheduler_ready(struct conure_scheduler *scheduler);

#endif

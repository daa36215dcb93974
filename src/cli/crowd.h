/* crowd.h - some sessions with the same options and a scheduler, fed from one clip that is repeated: for `conure bench`. */
#ifndef CONURE_CLI_CROWD_H
#define CONURE_CLI_CROWD_H

#include "conure.h"

typedef struct conure_crowd_member {
    conure_session *session;
    uint64_t fed; /* samples */
} conure_crowd_member;

typedef struct conure_crowd {
    const float *clip;
    uint64_t clip_samples;
    uint32_t rate_hz, n;
    conure_scheduler *scheduler;
    conure_crowd_member *members; /* [n] */
} conure_crowd;

/* Called for each event of a member; may be NULL. */
typedef void (*conure_crowd_event_fn)(void *user, uint32_t member, const conure_event *event);

/* The caller sets clip, clip_samples and rate_hz; n sessions of one recognizer are opened. */
conure_status conure_crowd_open(conure_crowd *crowd, conure_recognizer *recognizer, const conure_session_options *options, uint32_t n,
                                conure_error *err);
void conure_crowd_close(conure_crowd *crowd);

/* Feed a session from the clip until `until` samples were fed in all, or it is full. */
conure_status conure_crowd_feed(const conure_crowd *crowd, conure_crowd_member *member, uint64_t until, conure_error *err);

/* One step of the scheduler, and every event polled.  NEED_AUDIO: nothing was ready. */
conure_status conure_crowd_step(conure_crowd *crowd, double timeout_s, uint32_t *n_stepped, conure_crowd_event_fn tell, void *user,
                                conure_error *err);

/* Feed the sessions as the clock goes, with steps that fall due evenly spread, for some seconds.
 *
 *   fill_s     audio that each has had before, as fast as it goes: a full left context, chunk and right
 *   chunk_s    audio that a step makes final
 *   behind_s   audio behind it that the step waits for
 *   lag_max_s  out: from when a step was due to when its text was there, at most */
conure_status conure_crowd_live(conure_crowd *crowd, double fill_s, double chunk_s, double behind_s, double seconds, double *lag_max_s,
                                conure_error *err);

#endif

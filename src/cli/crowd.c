/* crowd.c - see crowd.h. */
#include "cli/crowd.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/system.h"

conure_status conure_crowd_open(conure_crowd *crowd, conure_recognizer *recognizer, const conure_session_options *options, uint32_t n,
                                conure_error *err)
{
    conure_scheduler_options scheduling;
    crowd->n = 0;
    crowd->scheduler = NULL;
    crowd->members = conure_calloc(n, sizeof *crowd->members);
    if (!crowd->members)
        return conure_fail_memory(err, "sessions", n * sizeof *crowd->members);
    conure_scheduler_options_init(&scheduling);
    conure_status status = conure_scheduler_open(&crowd->scheduler, recognizer, &scheduling, err);
    while (status == CONURE_OK && crowd->n < n) {
        conure_session **session = &crowd->members[crowd->n].session;
        status = conure_session_open(session, recognizer, options, err);
        if (status != CONURE_OK)
            break;
        crowd->n++;
        status = conure_scheduler_add(crowd->scheduler, *session, err);
    }
    if (status != CONURE_OK)
        conure_crowd_close(crowd);
    return status;
}

void conure_crowd_close(conure_crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->n; i++)
        conure_session_close(&crowd->members[i].session);
    conure_scheduler_close(&crowd->scheduler);
    free(crowd->members);
    crowd->members = NULL;
    crowd->n = 0;
}

conure_status conure_crowd_feed(const conure_crowd *crowd, conure_crowd_member *member, uint64_t until, conure_error *err)
{
    conure_status status = CONURE_OK;
    while (status == CONURE_OK && member->fed < until) {
        const uint64_t at = member->fed % crowd->clip_samples, left = crowd->clip_samples - at, wanted = until - member->fed;
        size_t used = 0;
        status = conure_session_feed(member->session, crowd->clip + at, (size_t)(left < wanted ? left : wanted), &used, err);
        member->fed += used;
    }
    return status == CONURE_FULL ? CONURE_OK : status;
}

static conure_status poll(conure_crowd *crowd, conure_crowd_event_fn tell, void *user, conure_error *err)
{
    for (uint32_t i = 0; i < crowd->n; i++) {
        const conure_event *event;
        conure_status status;
        while ((status = conure_session_poll(crowd->members[i].session, &event)) == CONURE_OK)
            if (tell)
                tell(user, i, event);
        if (status < 0)
            return conure_fail(err, status, "session %u: %s", i, conure_status_text(status));
    }
    return CONURE_OK;
}

conure_status conure_crowd_step(conure_crowd *crowd, double timeout_s, uint32_t *n_stepped, conure_crowd_event_fn tell, void *user,
                                conure_error *err)
{
    const conure_status status = conure_scheduler_step(crowd->scheduler, timeout_s, n_stepped, err);
    if (status != CONURE_OK)
        return status;
    return poll(crowd, tell, user, err);
}

/* ---- in real time ---------------------------------------------------------------------------- */

typedef struct live {
    uint64_t *begun;  /* [n] samples fed when the clock started */
    uint32_t rate_hz;
    double behind_s, start_s, lag_max_s; /* start_s: 0 before the clock runs */
} live;

static void told(void *user, uint32_t member, const conure_event *event)
{
    live *l = user;
    if (l->start_s <= 0)
        return;
    /* The step was due when what it waits for behind its final text was there. */
    const double due_s = event->end_s + l->behind_s - (double)l->begun[member] / l->rate_hz;
    const double lag_s = conure_now_s() - l->start_s - due_s;
    l->lag_max_s = lag_s > l->lag_max_s ? lag_s : l->lag_max_s;
}

/* Everything up to begun[], as fast as it goes. */
static conure_status fill(conure_crowd *crowd, live *l, conure_error *err)
{
    conure_status status = CONURE_OK;
    while (status == CONURE_OK) {
        for (uint32_t i = 0; i < crowd->n && status == CONURE_OK; i++)
            status = conure_crowd_feed(crowd, &crowd->members[i], l->begun[i], err);
        if (status == CONURE_OK)
            status = conure_crowd_step(crowd, 0, NULL, told, l, err);
    }
    return status == CONURE_NEED_AUDIO ? CONURE_OK : status;
}

conure_status conure_crowd_live(conure_crowd *crowd, double fill_s, double chunk_s, double behind_s, double seconds, double *lag_max_s,
                                conure_error *err)
{
    live l = {.rate_hz = crowd->rate_hz, .behind_s = behind_s};
    l.begun = conure_calloc(crowd->n ? crowd->n : 1, sizeof *l.begun);
    if (!l.begun)
        return conure_fail_memory(err, "sessions", crowd->n * sizeof *l.begun);
    for (uint32_t i = 0; i < crowd->n; i++)
        l.begun[i] = (uint64_t)((fill_s + chunk_s * i / crowd->n) * crowd->rate_hz);
    conure_status status = fill(crowd, &l, err);
    l.start_s = conure_now_s();
    for (double now_s = 0; status == CONURE_OK && now_s < seconds; now_s = conure_now_s() - l.start_s) {
        for (uint32_t i = 0; i < crowd->n && status == CONURE_OK; i++)
            status = conure_crowd_feed(crowd, &crowd->members[i], l.begun[i] + (uint64_t)(now_s * crowd->rate_hz), err);
        if (status == CONURE_OK)
            status = conure_crowd_step(crowd, 0.002, NULL, told, &l, err);
        if (status == CONURE_NEED_AUDIO)
            status = CONURE_OK;
    }
    free(l.begun);
    *lag_max_s = l.lag_max_s;
    return status;
}

/* scheduler.c - many sessions, one thread that steps them in batches.
 *
 * The scheduler's lock guards its list and what is in hand; it is never held while the model runs, and no session's lock is
 * taken to look for the next batch for longer than a few comparisons.  Order: scheduler, then session; in_use alone. */
#include "stream/session.h"

#include "base/system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct conure_scheduler {
    conure_recognizer *recognizer;
    conure_scheduler_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;   /* a session has become ready, or wake() */
    pthread_cond_t done;      /* a batch is no longer in hand */
    /* Under lock. */
    conure_session **sessions;
    uint32_t n_sessions, cap;
    uint64_t n_changes;       /* counts what `changed` tells, so that none is missed */
    bool woken;
    bool stepping;            /* a batch is in hand */
    conure_scheduler_stats stats;
    /* Of the batch in hand: [batch_max]. */
    conure_session **batch;
    conure_status *statuses;
    uint32_t n_batch;
};

void conure_scheduler_options_init(conure_scheduler_options *options)
{
    if (options)
        *options = (conure_scheduler_options){.struct_bytes = sizeof *options, .batch_max = 16, .batch_s_max = 120};
}

static conure_status check_options(const conure_scheduler_options *o, conure_error *err)
{
    if (o->struct_bytes != sizeof *o)
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_options: struct_bytes is %u, this library knows %zu: call "
                           "conure_scheduler_options_init()", o->struct_bytes, sizeof *o);
    if (o->batch_max < 1 || o->batch_max > CONURE_BATCH_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "scheduler option batch_max is %u: expected 1 to %d", o->batch_max, CONURE_BATCH_MAX);
    if (!(o->batch_s_max > 0 && o->batch_s_max <= 1e6))
        return conure_fail(err, CONURE_BAD_ARG, "scheduler option batch_s_max is %g: expected seconds of audio", o->batch_s_max);
    if (!(o->wait_s >= 0 && o->wait_s <= 60))
        return conure_fail(err, CONURE_BAD_ARG, "scheduler option wait_s is %g: expected 0 to 60 seconds", o->wait_s);
    return CONURE_OK;
}

static bool init_conditions(conure_scheduler *s)
{
    pthread_condattr_t monotonic; /* setting the time of day must not wake or keep anybody */
    if (pthread_condattr_init(&monotonic) != 0)
        return false;
    const bool good = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&s->changed, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (!good)
        return false;
    if (pthread_cond_init(&s->done, NULL) == 0) {
        if (pthread_mutex_init(&s->lock, NULL) == 0)
            return true;
        pthread_cond_destroy(&s->done);
    }
    pthread_cond_destroy(&s->changed);
    return false;
}

conure_status conure_scheduler_open(conure_scheduler **out, conure_recognizer *recognizer, const conure_scheduler_options *options,
                                    conure_error *err)
{
    conure_scheduler_options o;
    if (!out || !recognizer)
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_open: out and recognizer must not be NULL");
    *out = NULL;
    conure_scheduler_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_bytes == sizeof o ? sizeof o : sizeof o.struct_bytes);
    const conure_status status = check_options(&o, err);
    if (status != CONURE_OK)
        return status;
    conure_scheduler *s = conure_calloc(1, sizeof *s);
    if (!s || !init_conditions(s)) {
        free(s);
        return conure_fail_memory(err, "a scheduler", sizeof *s);
    }
    s->recognizer = recognizer;
    s->options = o;
    s->batch = conure_calloc(o.batch_max, sizeof *s->batch);
    s->statuses = conure_calloc(o.batch_max, sizeof *s->statuses);
    if (!s->batch || !s->statuses) {
        conure_scheduler_close(&s);
        return conure_fail_memory(err, "a scheduler", o.batch_max * sizeof *s->batch);
    }
    *out = s;
    return CONURE_OK;
}

static void set_scheduler(conure_session *session, conure_scheduler *scheduler)
{
    pthread_mutex_lock(&session->lock);
    session->scheduler = scheduler;
    (void)conure_session_look(session);
    pthread_mutex_unlock(&session->lock);
}

void conure_scheduler_close(conure_scheduler **scheduler)
{
    if (!scheduler || !*scheduler)
        return;
    conure_scheduler *s = *scheduler;
    for (uint32_t i = 0; i < s->n_sessions; i++)
        set_scheduler(s->sessions[i], NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    pthread_cond_destroy(&s->done);
    free(s->statuses);
    free(s->batch);
    free(s->sessions);
    free(s);
    *scheduler = NULL;
}

/* ---- coming and going ------------------------------------------------------------------------ */

static void tell(conure_scheduler *s)
{
    s->n_changes++;
    pthread_cond_broadcast(&s->changed);
}

void conure_scheduler_ready(conure_scheduler *s)
{
    pthread_mutex_lock(&s->lock);
    tell(s);
    pthread_mutex_unlock(&s->lock);
}

void conure_scheduler_wake(conure_scheduler *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    tell(s);
    pthread_mutex_unlock(&s->lock);
}

static uint32_t place_of(const conure_scheduler *s, const conure_session *session)
{
    uint32_t i = 0;
    while (i < s->n_sessions && s->sessions[i] != session)
        i++;
    return i;
}

conure_status conure_scheduler_add(conure_scheduler *s, conure_session *session, conure_error *err)
{
    if (!s || !session)
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_add: scheduler and session must not be NULL");
    pthread_mutex_lock(&session->lock);
    const bool other = session->recognizer != s->recognizer, taken = session->scheduler != NULL;
    pthread_mutex_unlock(&session->lock);
    if (other || taken)
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_add: the session %s", other ? "is of another recognizer" :
                           "is attached to a scheduler already");
    pthread_mutex_lock(&s->lock);
    if (s->n_sessions == s->cap) {
        const uint32_t cap = s->cap ? 2 * s->cap : 16;
        conure_session **grown = realloc(s->sessions, cap * sizeof *grown);
        if (!grown) {
            pthread_mutex_unlock(&s->lock);
            return conure_fail_memory(err, "a scheduler's sessions", cap * sizeof *grown);
        }
        s->sessions = grown;
        s->cap = cap;
    }
    s->sessions[s->n_sessions++] = session;
    set_scheduler(session, s);
    tell(s);
    pthread_mutex_unlock(&s->lock);
    return CONURE_OK;
}

static bool in_hand(const conure_scheduler *s, const conure_session *session)
{
    for (uint32_t i = 0; i < s->n_batch; i++)
        if (s->batch[i] == session)
            return true;
    return false;
}

conure_status conure_scheduler_remove(conure_scheduler *s, conure_session *session, conure_error *err)
{
    if (!s || !session)
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_remove: scheduler and session must not be NULL");
    pthread_mutex_lock(&s->lock);
    const uint32_t at = place_of(s, session);
    if (at == s->n_sessions) {
        pthread_mutex_unlock(&s->lock);
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_remove: the session is not attached to this scheduler");
    }
    s->sessions[at] = s->sessions[--s->n_sessions]; /* no later batch takes it */
    while (in_hand(s, session))
        pthread_cond_wait(&s->done, &s->lock);
    set_scheduler(session, NULL);
    pthread_mutex_unlock(&s->lock);
    return CONURE_OK;
}

/* ---- stepping -------------------------------------------------------------------------------- */

/* A ready session: since when, and how much audio its step looks at. */
typedef struct candidate {
    conure_session *session;
    double since_s, window_s;
} candidate;

static double window_seconds(const conure_session *s)
{
    if (!conure_session_cached(s))
        return (s->left + s->chunk + s->right) * s->frame_s;
    return conure_schedule_longest(&s->schedule.rule) * s->frame_s / 8;
}

static int longest_ready_first(const void *a, const void *b)
{
    const double x = ((const candidate *)a)->since_s, y = ((const candidate *)b)->since_s;
    return x < y ? -1 : x > y;
}

/* Under lock: who is ready. */
static uint32_t find_ready(conure_scheduler *s, candidate *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_sessions; i++) {
        conure_session *session = s->sessions[i];
        pthread_mutex_lock(&session->lock);
        if (session->ready_since_s > 0)
            list[n++] = (candidate){session, session->ready_since_s, window_seconds(session)};
        pthread_mutex_unlock(&session->lock);
    }
    s->stats.n_ready = n;
    return n;
}

/* Under lock: fill the batch with those that have waited longest. */
static void choose(conure_scheduler *s, candidate *list, uint32_t n, double now_s)
{
    double audio_s = 0;
    qsort(list, n, sizeof *list, longest_ready_first);
    s->n_batch = 0;
    for (uint32_t i = 0; i < n && s->n_batch < s->options.batch_max; i++) {
        if (s->n_batch && audio_s + list[i].window_s > s->options.batch_s_max)
            continue; /* a shorter one may fit; this one is first in the next batch */
        audio_s += list[i].window_s;
        s->batch[s->n_batch++] = list[i].session;
        const double waited_s = now_s - list[i].since_s;
        s->stats.wait_s_max = waited_s > s->stats.wait_s_max ? waited_s : s->stats.wait_s_max;
    }
}

static struct timespec at(double s)
{
    const time_t whole = (time_t)s;
    return (struct timespec){.tv_sec = whole, .tv_nsec = (long)((s - (double)whole) * 1e9)};
}

/* Under lock: wait for a batch worth stepping, until until_s.  NO_MEMORY, NEED_AUDIO or OK with n_batch > 0. */
static conure_status gather(conure_scheduler *s, double until_s, conure_error *err)
{
    for (;;) {
        const uint64_t seen = s->n_changes;
        candidate *list = conure_calloc((size_t)s->n_sessions + 1, sizeof *list);
        if (!list)
            return conure_fail_memory(err, "a batch", s->n_sessions * sizeof *list);
        const uint32_t n = find_ready(s, list);
        const double now_s = conure_now_s();
        double oldest_s = now_s;
        for (uint32_t i = 0; i < n; i++)
            oldest_s = list[i].since_s < oldest_s ? list[i].since_s : oldest_s;
        const bool enough = n >= s->options.batch_max || n == s->n_sessions;
        const double go_s = oldest_s + s->options.wait_s; /* company may come until then */
        if (n && (enough || now_s >= go_s))
            choose(s, list, n, now_s);
        free(list);
        if (s->n_batch)
            return CONURE_OK;
        const double next_s = n && go_s < until_s ? go_s : until_s;
        if (s->woken || now_s >= until_s) {
            s->woken = false;
            return CONURE_NEED_AUDIO;
        }
        const struct timespec deadline = at(next_s);
        while (s->n_changes == seen)
            if (pthread_cond_timedwait(&s->changed, &s->lock, &deadline) == ETIMEDOUT)
                break;
    }
}

conure_status conure_scheduler_step(conure_scheduler *s, double timeout_s, uint32_t *n_stepped, conure_error *err)
{
    if (n_stepped)
        *n_stepped = 0;
    if (!s || !(timeout_s >= 0))
        return conure_fail(err, CONURE_BAD_ARG, "conure_scheduler_step: scheduler must not be NULL, and timeout_s at least 0");
    const double until_s = conure_now_s() + (timeout_s < 1e6 ? timeout_s : 1e6);
    pthread_mutex_lock(&s->lock);
    if (s->stepping) {
        pthread_mutex_unlock(&s->lock);
        return conure_fail(err, CONURE_BAD_STATE, "conure_scheduler_step: another thread is in it: one thread steps a scheduler");
    }
    s->stepping = true;
    conure_status status = gather(s, until_s, err);
    const uint32_t n = s->n_batch;
    pthread_mutex_unlock(&s->lock);
    if (status == CONURE_OK) {
        const double start_s = conure_now_s();
        pthread_mutex_lock(&s->recognizer->in_use);
        const uint64_t calls = s->recognizer->n_encoder_calls;
        status = conure_step_batch(s->recognizer, s->batch, n, s->statuses, err);
        const uint64_t made = s->recognizer->n_encoder_calls - calls;
        pthread_mutex_unlock(&s->recognizer->in_use);
        const double step_s = conure_now_s() - start_s;
        pthread_mutex_lock(&s->lock);
        for (uint32_t i = 0; i < n; i++)
            s->stats.n_steps += s->statuses[i] == CONURE_OK;
        s->stats.n_calls += made;
        s->stats.step_s_max = step_s > s->stats.step_s_max ? step_s : s->stats.step_s_max;
        pthread_mutex_unlock(&s->lock);
        if (n_stepped)
            for (uint32_t i = 0; i < n; i++)
                *n_stepped += s->statuses[i] == CONURE_OK;
    }
    pthread_mutex_lock(&s->lock);
    s->n_batch = 0;
    s->stepping = false;
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->lock);
    return status;
}

conure_status conure_scheduler_get_stats(conure_scheduler *s, conure_scheduler_stats *stats)
{
    if (!s || !stats)
        return CONURE_BAD_ARG;
    pthread_mutex_lock(&s->lock);
    *stats = s->stats;
    stats->n_sessions = s->n_sessions;
    s->stats.wait_s_max = s->stats.step_s_max = 0;
    pthread_mutex_unlock(&s->lock);
    return CONURE_OK;
}

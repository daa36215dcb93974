/* watch.c - cancelling a run.  A run of ONNX Runtime looks at a flag of its own after every node; somebody must set it while
 * the run has the caller's thread.  The thread for that sleeps unless a run is under way, and is there only where the caller
 * gave a flag. */
#include "engine/ort/ort.h"

#include "base/threads.h"

#include <time.h>

enum { LOOK_NS = 5000000 };

static void look(conure_ort *r)
{
    conure_ort_watch *w = &r->watch;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&w->changed, &w->lock, &until);
    if (w->running && !w->ended && conure_cancelled(r->options.cancel)) {
        w->ended = true;
        (void)conure_ort_check(&r->library, r->library.api.RunOptionsSetTerminate(r->run), "ending a run", NULL);
    }
}

static void *watch(void *arg)
{
    conure_ort *r = arg;
    conure_ort_watch *w = &r->watch;
    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        if (w->running && !w->ended)
            look(r);
        else
            pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

conure_status conure_ort_watch_open(conure_ort *r, conure_error *err)
{
    if (!r->options.cancel)
        return CONURE_OK;
    pthread_mutex_init(&r->watch.lock, NULL);
    pthread_cond_init(&r->watch.changed, NULL);
    if (pthread_create(&r->watch.thread, NULL, watch, r) == 0) {
        r->watch.started = true;
        return CONURE_OK;
    }
    pthread_cond_destroy(&r->watch.changed);
    pthread_mutex_destroy(&r->watch.lock);
    return conure_fail(err, CONURE_NO_MEMORY, "the system gives no thread");
}

void conure_ort_watch_close(conure_ort *r)
{
    conure_ort_watch *w = &r->watch;
    if (!w->started)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    w->started = false;
}

void conure_ort_watch_begin(conure_ort *r)
{
    conure_ort_watch *w = &r->watch;
    if (!w->started)
        return;
    pthread_mutex_lock(&w->lock);
    w->running = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

bool conure_ort_watch_end(conure_ort *r)
{
    conure_ort_watch *w = &r->watch;
    if (!w->started)
        return false;
    pthread_mutex_lock(&w->lock);
    const bool ended = w->ended;
    w->running = w->ended = false;
    pthread_mutex_unlock(&w->lock);
    if (ended)
        (void)conure_ort_check(&r->library, r->library.api.RunOptionsUnsetTerminate(r->run), "after a run", NULL);
    return ended;
}

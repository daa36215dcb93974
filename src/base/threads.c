/* threads.c - the pool.
 *
 * A run is published by one 64-bit word, `ticket`: the number of the run above, the items not yet
 * handed out below.  Taking an item is one compare-and-swap on it.  Whoever took one knows that the run
 * cannot end before that item is done, so it may read the run's task; whoever did not must not, and
 * does not: a worker that wakes up late finds no item and goes back to sleep.
 *
 * Sleeping is by futex on two words: `epoch` (workers wait for the next run) and `n_pending` (the caller
 * waits for the last item).  Each has a count of sleepers, so that nobody makes a system call to
 * wake nobody: the sleeper announces itself and then looks at the word, the waker changes the word
 * and then looks for sleepers, both in sequentially consistent order, so one of them sees the other. */
#include "base/threads.h"

#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"

/* Longer than the gap between two products of a layer, far shorter than a time slice. */
enum { SPIN_NS = 10000, PAUSES_PER_LOOK = 8 };

typedef struct worker {
    conure_pool *pool;
    pthread_t thread;
    uint32_t index;
} worker;

struct conure_pool {
    _Alignas(CONURE_ALIGN) _Atomic uint64_t ticket;    /* run << 32 | items not yet handed out */
    _Alignas(CONURE_ALIGN) _Atomic uint32_t n_pending; /* items not yet done */
    _Atomic uint32_t caller_sleeps;
    _Alignas(CONURE_ALIGN) _Atomic uint32_t epoch; /* moves with each run, and to stop */
    _Atomic uint32_t n_sleeping;
    _Atomic bool stopping;

    const volatile int *cancel; /* set before the first run */
    atomic_bool skipped;
    /* Of the run; written while no item is out. */
    _Alignas(CONURE_ALIGN) conure_task task;
    void *arg;
    uint32_t n_items;

    uint32_t n_threads, n_started;
    bool spins;
    worker workers[CONURE_THREADS_MAX - 1];
};

/* ---- waiting --------------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void pause_processor(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Wait a little, awake, until *word is no longer `seen`; false when it still is. */
static bool spin(_Atomic uint32_t *word, uint32_t seen)
{
    const uint64_t start_ns = now_ns();
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++)
            pause_processor();
        if (atomic_load_explicit(word, memory_order_acquire) != seen)
            return true;
    } while (now_ns() - start_ns < SPIN_NS);
    return false;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static bool take_item(conure_pool *pool, uint32_t *n_left)
{
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_relaxed);
    while ((uint32_t)ticket != 0)
        if (atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            *n_left = (uint32_t)ticket;
            return true;
        }
    return false;
}

static void work(conure_pool *pool, uint32_t index)
{
    uint32_t n_left;
    while (take_item(pool, &n_left)) {
        if (conure_cancelled(pool->cancel))
            atomic_store_explicit(&pool->skipped, true, memory_order_relaxed);
        else
            pool->task(pool->arg, pool->n_items - n_left, index);
        if (atomic_fetch_sub(&pool->n_pending, 1) == 1 && index != 0 &&
            atomic_load(&pool->caller_sleeps))
            futex_wake(&pool->n_pending, 1);
    }
}

static void wait_for_done(conure_pool *pool)
{
    uint32_t pending = atomic_load(&pool->n_pending);
    if (pending && pool->spins) {
        const uint64_t start_ns = now_ns();
        while (pending && now_ns() - start_ns < SPIN_NS) {
            spin(&pool->n_pending, pending);
            pending = atomic_load(&pool->n_pending);
        }
    }
    if (!pending)
        return;
    atomic_store(&pool->caller_sleeps, 1);
    while ((pending = atomic_load(&pool->n_pending)) != 0)
        futex_wait(&pool->n_pending, pending);
    atomic_store(&pool->caller_sleeps, 0);
}

void conure_pool_run(conure_pool *pool, uint32_t n_items, conure_task task, void *arg)
{
    if (pool->n_threads == 1 || n_items <= 1) {
        for (uint32_t i = 0; i < n_items; i++)
            if (conure_cancelled(pool->cancel))
                atomic_store_explicit(&pool->skipped, true, memory_order_relaxed);
            else
                task(arg, i, 0);
        return;
    }
    assert(atomic_load(&pool->n_pending) == 0); /* one run at a time, none from within a task */
    pool->task = task;
    pool->arg = arg;
    pool->n_items = n_items;
    atomic_store(&pool->n_pending, n_items);
    const uint32_t run = atomic_load(&pool->epoch) + 1;
    atomic_store_explicit(&pool->ticket, (uint64_t)run << 32 | n_items, memory_order_release);
    atomic_store(&pool->epoch, run);
    if (atomic_load(&pool->n_sleeping))
        futex_wake(&pool->epoch,
                   (int)(n_items - 1 < pool->n_threads ? n_items - 1 : pool->n_threads));
    work(pool, 0);
    wait_for_done(pool);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
    const worker *self = arg;
    conure_pool *pool = self->pool;
    uint32_t seen = 0; /* not what epoch is now: the first run may have begun */
    for (;;) {
        if (!pool->spins || !spin(&pool->epoch, seen)) {
            atomic_fetch_add(&pool->n_sleeping, 1);
            while (atomic_load(&pool->epoch) == seen)
                futex_wait(&pool->epoch, seen);
            atomic_fetch_sub(&pool->n_sleeping, 1);
        }
        seen = atomic_load(&pool->epoch);
        if (atomic_load(&pool->stopping))
            return NULL;
        work(pool, self->index);
    }
}

/* The host program's signals are its own business: ours are all blocked in the workers. */
static int start_worker(worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    const int masked = pthread_sigmask(SIG_SETMASK, &all, &before);
    const int rc = pthread_create(&w->thread, NULL, worker_main, w);
    if (masked == 0)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(w->thread, "conure");
    return rc;
}

conure_status conure_pool_open(conure_pool **out, uint32_t n_threads, conure_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > CONURE_THREADS_MAX)
        return conure_fail(err, CONURE_BAD_ARG, "threads: %u, expected 1 to %d", n_threads,
                           CONURE_THREADS_MAX);
    conure_pool *pool = conure_alloc_aligned(sizeof *pool);
    if (!pool)
        return conure_fail_memory(err, "the thread pool", sizeof *pool);
    memset(pool, 0, sizeof *pool);
    pool->n_threads = n_threads;
    pool->spins = n_threads > 1 && n_threads <= conure_processors();
    while (pool->n_started + 1 < n_threads) {
        worker *w = &pool->workers[pool->n_started];
        *w = (worker){.pool = pool, .index = pool->n_started + 1};
        const int rc = start_worker(w);
        if (rc != 0) {
            const uint32_t n_started = pool->n_started + 1;
            conure_pool_close(&pool);
            return conure_fail(
                err, CONURE_BACKEND,
                "could start only %u of %u threads (error %d): ask for fewer, or raise "
                "the limit of processes",
                n_started, n_threads, rc);
        }
        pool->n_started++;
    }
    *out = pool;
    return CONURE_OK;
}

void conure_pool_close(conure_pool **pool_)
{
    if (!pool_ || !*pool_)
        return;
    conure_pool *pool = *pool_;
    atomic_store(&pool->stopping, true);
    atomic_fetch_add(&pool->epoch, 1);
    futex_wake(&pool->epoch, CONURE_THREADS_MAX);
    for (uint32_t i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    free(pool);
    *pool_ = NULL;
}

void conure_pool_set_cancel(conure_pool *pool, const volatile int *cancel)
{
    pool->cancel = cancel;
}

bool conure_pool_skipped(conure_pool *pool)
{
    return atomic_exchange(&pool->skipped, false);
}

uint32_t conure_pool_threads(const conure_pool *pool)
{
    return pool->n_threads;
}

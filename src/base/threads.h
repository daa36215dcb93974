/* threads.h - a private pool that splits one piece of work into items.
 *
 * Made for cores that are shared with others: items are handed out one at a time by a counter, so a
 * worker that lost its core holds up at most the item it is in; a run ends when every item is done,
 * not when every worker has arrived; waiting spins for a few microseconds and then sleeps. */
#ifndef CONURE_BASE_THREADS_H
#define CONURE_BASE_THREADS_H

#include "conure.h"

typedef struct conure_pool conure_pool;

/* item: 0 .. n_items - 1, in any order.  worker: 0 .. n_threads - 1, unique among the calls that run at
 * the same time (an index for per-worker scratch). */
typedef void (*conure_task)(void *arg, uint32_t item, uint32_t worker);

#define CONURE_THREADS_MAX 64

/* n_threads counts the caller, so n_threads - 1 are started; 1 starts none. */
conure_status conure_pool_open(conure_pool **out, uint32_t n_threads, conure_error *err);
void conure_pool_close(conure_pool **pool);
uint32_t conure_pool_threads(const conure_pool *pool);

/* A flag that, once not 0, makes runs skip the items that are not yet handed out.  What they would have
 * computed is missing then: conure_pool_skipped() tells, once, whether that happened since it was last
 * asked, even if the flag is 0 again.  NULL: none. */
void conure_pool_set_cancel(conure_pool *pool, const volatile int *cancel);
bool conure_pool_skipped(conure_pool *pool);

/* Run task for every item; returns when all are done.  The caller works too.  One run at a time. */
void conure_pool_run(conure_pool *pool, uint32_t n_items, conure_task task, void *arg);

/* A caller's cancel flag, which another thread or a signal handler may set; NULL is never set. */
static inline bool conure_cancelled(const volatile int *flag)
{
    return flag && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

uint32_t conure_processors(void); /* that this process may use (affinity, cgroup quota), at least 1 */
uint32_t conure_threads_or_all(uint32_t asked); /* asked, or where that is 0 one for each of these, CONURE_THREADS_MAX at most */

#endif

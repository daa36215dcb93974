/* The pool: every item once, by workers that are told apart, with nothing of an old run touched, when
 * workers sleep, wake late, are more than the processors, or share them with busy processes. */
#include "base/threads.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

enum { ITEMS_MAX = 3000 };

/* Lives on the stack of one run and is overwritten after it: a late worker would count in rubbish. */
typedef struct run {
    uint64_t id;
    uint32_t n_items, n_threads;
    uint32_t slow_item;                   /* sleeps; UINT32_MAX: none */
    uint64_t *done;                       /* [ITEMS_MAX] plain writes: each item has one owner */
    uint64_t scratch[CONURE_THREADS_MAX]; /* plain too: each worker has one */
    atomic_int busy[CONURE_THREADS_MAX];
    atomic_int n_wrong;
} run;

static void nap_us(long us)
{
    const struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

static void count_item(void *arg, uint32_t item, uint32_t worker)
{
    run *r = arg;
    if (item >= r->n_items || worker >= r->n_threads || atomic_exchange(&r->busy[worker], 1)) {
        atomic_fetch_add(&r->n_wrong, 1);
        return;
    }
    if (item == r->slow_item)
        nap_us(500);
    r->scratch[worker] += item + 1;
    r->done[item] = r->done[item] == r->id ? 0 : r->id; /* a second time would show */
    atomic_store(&r->busy[worker], 0);
}

static void one_run(conure_pool *pool, uint32_t n_items, uint32_t slow_item)
{
    static uint64_t done[ITEMS_MAX], n_runs;
    run r = {.id = ++n_runs,
             .n_items = n_items,
             .n_threads = conure_pool_threads(pool),
             .slow_item = slow_item,
             .done = done};
    conure_pool_run(pool, n_items, count_item, &r);
    uint64_t sum = 0, n_done = 0;
    for (uint32_t i = 0; i < n_items; i++)
        n_done += done[i] == r.id;
    for (uint32_t i = 0; i < r.n_threads; i++)
        sum += r.scratch[i];
    test_int(n_done, n_items);
    test_int(sum, (uint64_t)n_items * (n_items + 1) / 2);
    test_int(atomic_load(&r.n_wrong), 0);
    memset(&r, 0xEE, sizeof r);
}

static void test_runs(uint32_t n_threads, int n_runs)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 5, 8, 64, 65, 1000, ITEMS_MAX};
    conure_pool *pool = NULL;
    uint64_t seed = 7 + n_threads;
    test_int(conure_pool_open(&pool, n_threads, NULL), CONURE_OK);
    if (!pool)
        return;
    test_int(conure_pool_threads(pool), n_threads);
    for (int i = 0; i < n_runs; i++) {
        const uint64_t random = test_random(&seed);
        const uint32_t n_items = sizes[random % (sizeof sizes / sizeof *sizes)];
        /* Mostly small sizes, back to back, so that late workers meet the next run. */
        const uint32_t n = n_items > 64 && random >> 32 & 7 ? n_items % 7 : n_items;
        const bool slow = (random >> 40 & 255) == 0;
        one_run(pool, n, slow && n ? (uint32_t)(random >> 48) % n : UINT32_MAX);
        if ((random >> 56 & 63) == 0)
            nap_us(200); /* the workers fall asleep */
    }
    conure_pool_close(&pool);
    test_true(pool == NULL);
    conure_pool_close(&pool);
    conure_pool_close(NULL);
}

static void test_open_close(void)
{
    conure_pool *pool = (conure_pool *)&pool;
    conure_error err;
    test_int(conure_pool_open(&pool, 0, &err), CONURE_BAD_ARG);
    test_true(pool == NULL);
    test_contains(err.text, "0, expected 1 to 64");
    test_int(conure_pool_open(&pool, CONURE_THREADS_MAX + 1, &err), CONURE_BAD_ARG);
    for (uint32_t i = 0; i < 60; i++) { /* closed before its workers have begun */
        test_int(conure_pool_open(&pool, i % 7 + 1, &err), CONURE_OK);
        if (i % 3 == 0)
            one_run(pool, 9, UINT32_MAX);
        conure_pool_close(&pool);
    }
}

/* Every worker takes part when the items are slow enough. */
static void test_all_take_part(void)
{
    conure_pool *pool = NULL;
    static uint64_t done[ITEMS_MAX];
    run r = {.id = UINT64_MAX, .n_items = 200, .n_threads = 4, .done = done};
    test_int(conure_pool_open(&pool, 4, NULL), CONURE_OK);
    for (int attempt = 0; attempt < 100; attempt++) {
        bool all = true;
        for (uint32_t i = 0; i < r.n_items; i++) {
            r.slow_item = i % 8;
            done[i] = 0;
        }
        conure_pool_run(pool, r.n_items, count_item, &r);
        for (uint32_t i = 0; i < r.n_threads; i++)
            all = all && r.scratch[i] > 0;
        if (all)
            break;
    }
    for (uint32_t i = 0; i < r.n_threads; i++)
        test_true(r.scratch[i] > 0);
    test_int(atomic_load(&r.n_wrong), 0);
    conure_pool_close(&pool);
}

static void test_beside_busy_processes(void)
{
    pid_t busy[2];
    for (int i = 0; i < 2; i++) {
        busy[i] = fork();
        if (busy[i] == 0)
            for (const pid_t parent = getppid(); getppid() == parent;)
                continue;
    }
    test_runs(conure_processors() < 8 ? conure_processors() : 8, 1500);
    test_runs(4, 1500);
    for (int i = 0; i < 2; i++)
        if (busy[i] > 0) {
            kill(busy[i], SIGKILL);
            waitpid(busy[i], NULL, 0);
        }
}

int main(void)
{
    test_begin("base_threads");
    test_beside_busy_processes(); /* first: it forks, which wants a process of one thread */
    test_open_close();
    test_runs(1, 300);
    test_runs(2, 4000);
    test_runs(3, 3000);
    test_runs(8, 1500);
    test_runs(CONURE_THREADS_MAX, 60);
    test_all_take_part();
    return test_end();
}

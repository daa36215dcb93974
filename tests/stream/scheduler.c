/* scheduler.c - many sessions in batches: each as it is alone, few encoder calls, nobody starves, and sessions that come and go
 * while others are stepped. */
#include "../golden.h"
#include "audio/audio.h"
#include "base/system.h"
#include "collect.h"

#include <pthread.h>
#include <unistd.h>

static conure_model *model;

enum { CLIPS = 4, KINDS = 5, MANY = 8 };
static const char *const names[CLIPS] = {"goforward", "cards_001", "librispeech_e29030942b", "librispeech_7c95f9febc"};
static conure_audio_clip clips[CLIPS];

static conure_session_options options_of(int kind)
{
    static const char *const presets[KINDS] = {"10-2-2", "4-0.8-0.4", "1.6-0.32-0.24", "4-0.48-0.32", "2-0.16-0.16"};
    conure_session_options o;
    conure_session_options_init(&o);
    test_int(conure_session_options_preset(&o, presets[kind], NULL), CONURE_OK);
    o.mode = kind >= 3 ? CONURE_STREAM_CACHED : CONURE_STREAM_BUFFERED;
    return o;
}

static conure_session *open_session(conure_recognizer *r, int kind)
{
    conure_session *s = NULL;
    const conure_session_options o = options_of(kind);
    test_int(conure_session_open(&s, r, &o, NULL), CONURE_OK);
    return s;
}

static heard alone[CLIPS][KINDS];

static void make_alone(conure_recognizer *r)
{
    uint64_t seed = 1;
    for (int k = 0; k < KINDS; k++) {
        conure_session *s = open_session(r, k);
        for (int i = 0; i < CLIPS && s; i++) {
            heard_all(&alone[i][k], s, clips[i].pcm, clips[i].n_samples, 0, &seed);
            test_int(conure_session_reset(s, true, NULL), CONURE_OK);
        }
        conure_session_close(&s);
    }
}

/* ---- one thread ------------------------------------------------------------------------------ */

/* Sessions of all kinds, out of phase, in batches of what happens to be ready. */
static void batches(conure_recognizer *r)
{
    uint64_t seed = 2;
    conure_session *s[MANY];
    heard got[MANY] = {{.n_tokens = 0}};
    size_t done[MANY] = {0};
    bool finished[MANY] = {false};
    int n_over = 0;
    for (int i = 0; i < MANY; i++)
        s[i] = open_session(r, i % KINDS);
    for (int round = 0; n_over < MANY && round < 100000; round++) {
        conure_status statuses[MANY];
        for (int i = 0; i < MANY; i++) {
            const conure_audio_clip *clip = &clips[i % CLIPS];
            size_t used = 0, piece = (size_t)(test_random(&seed) % 9000);
            piece = piece < clip->n_samples - done[i] ? piece : clip->n_samples - done[i];
            if (!finished[i])
                test_true(conure_session_feed(s[i], clip->pcm + done[i], piece, &used, NULL) >= 0);
            done[i] += used;
            if (done[i] == clip->n_samples && !finished[i]) {
                finished[i] = true;
                test_int(conure_session_finish(s[i], NULL), CONURE_OK);
            }
        }
        test_int(conure_sessions_step(s, MANY, statuses, NULL), CONURE_OK);
        n_over = 0;
        for (int i = 0; i < MANY; i++) {
            heard_poll(&got[i], s[i]);
            n_over += got[i].over;
        }
    }
    for (int i = 0; i < MANY; i++) {
        test_true(heard_same(&got[i], &alone[i % CLIPS][i % KINDS]));
        heard_free(&got[i]);
        conure_session_close(&s[i]);
    }
}

/* Eight sessions that are ready cost two encoder calls at most. */
static void few_calls(conure_recognizer *r)
{
    conure_scheduler *scheduler = NULL;
    conure_scheduler_stats stats;
    conure_session *s[MANY];
    uint32_t n, n_stepped = 0;
    heard got = {.n_tokens = 0};
    test_int(conure_scheduler_open(&scheduler, r, NULL, NULL), CONURE_OK);
    for (int i = 0; i < MANY; i++) {
        size_t used;
        s[i] = open_session(r, 1);
        test_int(conure_session_feed(s[i], clips[i % CLIPS].pcm, 22000, &used, NULL), CONURE_OK);
        test_int(conure_scheduler_add(scheduler, s[i], NULL), CONURE_OK);
    }
    while (conure_scheduler_step(scheduler, 0, &n, NULL) == CONURE_OK)
        n_stepped += n;
    test_int(n_stepped, MANY);
    test_int(conure_scheduler_get_stats(scheduler, &stats), CONURE_OK);
    test_true(stats.n_calls >= 1 && stats.n_calls <= 2);
    test_int(stats.n_steps, MANY);
    test_int(stats.n_sessions, MANY);
    test_true(stats.step_s_max > 0 && stats.wait_s_max > 0);
    test_int(conure_scheduler_add(scheduler, s[0], NULL), CONURE_BAD_ARG);
    test_int(conure_session_step(s[0], NULL), CONURE_BAD_STATE);
    heard_poll(&got, s[0]);
    test_int(got.n_events, 1);
    test_int(conure_scheduler_remove(scheduler, s[0], NULL), CONURE_OK);
    test_int(conure_scheduler_remove(scheduler, s[0], NULL), CONURE_BAD_ARG);
    test_int(conure_session_step(s[0], NULL), CONURE_NEED_AUDIO);
    conure_session_close(&s[1]); /* while attached */
    test_int(conure_scheduler_get_stats(scheduler, &stats), CONURE_OK);
    test_int(stats.n_sessions, MANY - 2);
    conure_scheduler_close(&scheduler);
    heard_free(&got);
    test_int(conure_session_step(s[2], NULL), CONURE_FULL); /* its own again; the event was never polled */
    for (int i = 0; i < MANY; i++)
        conure_session_close(&s[i]);
}

/* Small batches, and one session with much more audio than the others: everybody's turn comes. */
static void fairness(conure_recognizer *r)
{
    conure_scheduler *scheduler = NULL;
    conure_scheduler_options o;
    conure_session *s[MANY];
    heard got[MANY] = {{.n_tokens = 0}};
    uint32_t n, first_done[MANY] = {0}, n_rounds = 0;
    conure_scheduler_options_init(&o);
    o.batch_max = 2;
    test_int(conure_scheduler_open(&scheduler, r, &o, NULL), CONURE_OK);
    for (int i = 0; i < MANY; i++) {
        size_t used;
        s[i] = open_session(r, 1);
        test_true(conure_session_feed(s[i], clips[3].pcm, i ? 22000 : clips[3].n_samples, &used, NULL) >= 0);
        test_int(conure_scheduler_add(scheduler, s[i], NULL), CONURE_OK);
    }
    while (conure_scheduler_step(scheduler, 0, &n, NULL) == CONURE_OK) {
        n_rounds++;
        test_true(n >= 1 && n <= 2);
        for (int i = 0; i < MANY; i++) {
            heard_poll(&got[i], s[i]);
            if (got[i].n_events && !first_done[i])
                first_done[i] = n_rounds;
        }
    }
    for (int i = 0; i < MANY; i++) {
        test_true(first_done[i] >= 1 && first_done[i] <= MANY / 2);
        heard_free(&got[i]);
        conure_session_close(&s[i]);
    }
    conure_scheduler_close(&scheduler);
}

static void options(conure_recognizer *r)
{
    conure_scheduler *s = NULL;
    conure_scheduler_options o;
    conure_error err = {""};
    uint32_t n = 7;
    conure_scheduler_options_init(&o);
    o.batch_max = 0;
    test_int(conure_scheduler_open(&s, r, &o, &err), CONURE_BAD_ARG);
    test_contains(err.text, "batch_max");
    conure_scheduler_options_init(&o);
    o.wait_s = -1;
    test_int(conure_scheduler_open(&s, r, &o, &err), CONURE_BAD_ARG);
    o.struct_bytes = 4;
    test_int(conure_scheduler_open(&s, r, &o, &err), CONURE_BAD_ARG);
    test_int(conure_scheduler_open(&s, NULL, NULL, &err), CONURE_BAD_ARG);
    test_int(conure_scheduler_open(&s, r, NULL, &err), CONURE_OK);
    test_int(conure_scheduler_step(s, -1, NULL, &err), CONURE_BAD_ARG);
    const double start_s = conure_now_s();
    test_int(conure_scheduler_step(s, 0.05, &n, &err), CONURE_NEED_AUDIO);
    test_true(n == 0 && conure_now_s() - start_s >= 0.04);
    conure_scheduler_wake(s);
    test_int(conure_scheduler_step(s, 100, &n, &err), CONURE_NEED_AUDIO);
    conure_scheduler_close(&s);
    conure_scheduler_close(&s);
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct world {
    conure_recognizer *r;
    conure_scheduler *scheduler;
    int stop;
} world;

static void *worker(void *arg)
{
    world *w = arg;
    while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
        conure_error err = {""};
        const conure_status status = conure_scheduler_step(w->scheduler, 1, NULL, &err);
        if (status < 0)
            fprintf(stderr, "scheduler: %s\n", err.text);
    }
    return NULL;
}

typedef struct client {
    world *w;
    int number;
    int n_good, n_left; /* sessions that came out right; that left in the middle */
} client;

static bool serve(client *c, int i, int kind, uint64_t *seed)
{
    const conure_audio_clip *clip = &clips[i];
    const bool leaves = test_random(seed) % 4 == 0;
    heard got = {.n_tokens = 0};
    conure_session *s = open_session(c->w->r, kind);
    bool good = conure_scheduler_add(c->w->scheduler, s, NULL) == CONURE_OK;
    for (size_t done = 0, used; done < clip->n_samples && good;) {
        size_t piece = 1 + (size_t)(test_random(seed) % 6000);
        piece = piece < clip->n_samples - done ? piece : clip->n_samples - done;
        good = conure_session_feed(s, clip->pcm + done, piece, &used, NULL) >= 0;
        done += used;
        heard_poll(&got, s);
        if (used == 0)
            usleep(500);
        if (leaves && done > clip->n_samples / 2)
            break;
    }
    if (leaves) {
        conure_session_close(&s); /* attached, perhaps in a step */
        c->n_left++;
    } else {
        good = good && conure_session_finish(s, NULL) == CONURE_OK;
        for (int wait = 0; good && !got.over && wait < 60000; wait++) {
            heard_poll(&got, s);
            usleep(500);
        }
        good = good && got.over && heard_same(&got, &alone[i][kind]);
        c->n_good += good;
        conure_session_close(&s);
    }
    heard_free(&got);
    return good;
}

static void *customer(void *arg)
{
    client *c = arg;
    uint64_t seed = 100 + (uint64_t)c->number;
    for (int i = 0; i < 6; i++)
        if (!serve(c, (c->number + i) % CLIPS, (c->number * 3 + i) % KINDS, &seed))
            fprintf(stderr, "client %d, session %d went wrong\n", c->number, i);
    return NULL;
}

static void threads(conure_recognizer *r)
{
    world w = {.r = r};
    client clients[4];
    pthread_t stepping, customers[4];
    int n = 0;
    test_int(conure_scheduler_open(&w.scheduler, r, NULL, NULL), CONURE_OK);
    test_int(pthread_create(&stepping, NULL, worker, &w), 0);
    for (int i = 0; i < 4; i++) {
        clients[i] = (client){.w = &w, .number = i};
        test_int(pthread_create(&customers[i], NULL, customer, &clients[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(customers[i], NULL);
        n += clients[i].n_good + clients[i].n_left;
    }
    test_int(n, 24);
    __atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
    conure_scheduler_wake(w.scheduler);
    pthread_join(stepping, NULL);
    conure_scheduler_close(&w.scheduler);
}

int main(void)
{
    char path[4096], rest[128];
    conure_error err = {""};
    conure_recognizer *r = NULL;
    conure_recognizer_options o;
    test_begin("stream.scheduler");
    test_int(conure_model_open(&model, EMBEDDED_MODEL, NULL, &err), CONURE_OK);
    for (int i = 0; i < CLIPS; i++) {
        snprintf(rest, sizeof rest, "audio/%s.flac", names[i]);
        test_int(conure_audio_load(&clips[i], data_path(path, sizeof path, rest), NULL, &err), CONURE_OK);
    }
    conure_recognizer_options_init(&o);
    o.n_threads = 2;
    test_int(conure_recognizer_open(&r, model, &o, &err), CONURE_OK);
    if (r) {
        make_alone(r);
        batches(r);
        few_calls(r);
        fairness(r);
        options(r);
        threads(r);
    }
    for (int i = 0; i < CLIPS; i++) {
        for (int k = 0; k < KINDS; k++)
            heard_free(&alone[i][k]);
        conure_audio_clip_free(&clips[i]);
    }
    conure_recognizer_close(&r);
    conure_model_close(&model);
    return test_end();
}

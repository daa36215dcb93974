/* plan_build.c - making a plan: the graph into a file beside where the plan will be, TensorRT, plan and side file; see plan_build.h. */
#include "cli/plan_build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "engine/trt/runtime.h"
#include "model/load.h"
#include "onnx/encoder.h"

#define TIMING_BYTES_MAX ((size_t)256 << 20)
enum { ENDING_BYTES = 64 }; /* at most: ".PID.onnx.data" and a temporary's */
/* TensorRT 8.6 took 320 s for a step of f16 with 24 layers in three parts (1.94 ms on an H200), 1,200 s in one.  Other precisions and plans for
 * several rows have one: whether they gain was not measured with nothing beside. */
enum { FUSED_LAYERS = 8 };

/* ---- progress: TensorRT blocks for minutes and may say nothing -------------------------------- */

typedef struct ticker {
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool ended;
    char phase[80];
    uint32_t step, n_steps;
    double start_s;
    const char *what;
    const conure_log *deaf; /* where to say, once, that this TensorRT cannot be interrupted; else NULL */
} ticker;

static void show_phase(void *user, const char *phase, uint32_t step, uint32_t n_steps)
{
    ticker *t = user;
    pthread_mutex_lock(&t->lock);
    snprintf(t->phase, sizeof t->phase, "%.60s", phase);
    t->step = step;
    if (n_steps)
        t->n_steps = n_steps;
    pthread_mutex_unlock(&t->lock);
}

static void *tick(void *user)
{
    ticker *t = user;
    pthread_mutex_lock(&t->lock);
    while (!t->ended) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        (void)pthread_cond_timedwait(&t->end, &t->lock, &until);
        if (!t->ended && t->deaf && conure_cancelled(&conure_interrupted)) {
            conure_log_write(t->deaf, CONURE_LOG_WARNING, "this TensorRT cannot stop: waiting for %s; a second interrupt ends all at once", t->what);
            t->deaf = NULL;
        }
        if (!t->ended && t->phase[0])
            conure_progress("building %s: %.0f s, %s %u of %u", t->what, conure_now_s() - t->start_s, t->phase, t->step, t->n_steps);
        else if (!t->ended)
            conure_progress("building %s: %.0f s", t->what, conure_now_s() - t->start_s);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- one plan --------------------------------------------------------------------------------- */

typedef struct making {
    const conure_model *model;
    const conure_plan_wish *wish;
    const char *timing;
    conure_log log;
    conure_trt *trt;
    conure_plan_made *made;
    conure_observations *seen; /* what the wish's speech showed; NULL: nothing was looked at yet, or there is none */
    char graph[PATH_MAX + ENDING_BYTES]; /* a file that is removed when it was read, and weights beside it */
    conure_error *err;
} making;

/* The contract as the graph is to have it: this plan's slices, and every row that a step computes, since an engine gives all of them. */
static conure_contract contract_of(const conure_plan_side *s, const conure_contract *whole)
{
    conure_contract k = *whole;
    k.streaming.drop_extra[0] = k.streaming.drop_extra[1] = s->drop_first;
    k.streaming.valid_out = 0;
    k.n_profiles = 1;
    k.profiles[0].t_min = s->t[0];
    k.profiles[0].t_opt = s->t[1];
    k.profiles[0].t_max = s->t[2];
    return k;
}

/* What the version that will read the graph wants: 8 knows no LayerNormalization and no int8 constants; from 11 on a graph's types say what
 * is computed in. */
static uint32_t opset_for(const conure_trt_facts *facts)
{
    return atoi(facts->version) < 10 ? CONURE_OPSET_MIN : CONURE_OPSET_MIN + 1;
}

static conure_int8_weights weights_for(const conure_trt_facts *facts, conure_precision precision)
{
    if (precision != CONURE_PRECISION_INT8)
        return CONURE_INT8_NONE;
    return atoi(facts->version) < 10 ? CONURE_INT8_FLOAT : CONURE_INT8_WHOLE;
}

static conure_onnx_type type_for(const conure_trt_facts *facts, conure_precision precision)
{
    if (atoi(facts->version) < 11)
        return CONURE_ONNX_FLOAT;
    return precision == CONURE_PRECISION_F16 ? CONURE_ONNX_FLOAT16 : precision == CONURE_PRECISION_BF16 ? CONURE_ONNX_BFLOAT16 : CONURE_ONNX_FLOAT;
}

static conure_status write_graph(making *m)
{
    const conure_plan_side *s = &m->made->side;
    const conure_trt_facts *facts = conure_trt_get_facts(m->trt);
    char words[] = "writing the graph";
    conure_graph *g = NULL;
    conure_graph_facts written;
    conure_encoder_plan plan;
    conure_contract k;
    if (m->wish->contract)
        k = contract_of(s, m->wish->contract);
    conure_status status = conure_graph_open(&g, m->model, s->streaming ? "encoder_streaming" : "encoder", opset_for(facts), CONURE_ONNX_FLOAT,
                                            m->err);
    if (status == CONURE_OK)
        status = conure_encoder_plan_make(&plan, &m->model->config, m->wish->contract ? &k : NULL,
                                          s->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, s->t[2], m->err);
    if (status == CONURE_OK) {
        plan.type = type_for(facts, m->wish->precision); /* features, output and caches stay float32 */
        plan.int8 = weights_for(facts, m->wish->precision);
        plan.seen = m->seen;
        plan.frames_min = s->t[0]; /* of a plan of one size, shapes are constants */
        plan.fusible = !s->by_layer;
        plan.batch = s->b[0] == s->b[2] ? s->b[0] : 0;
        plan.halves = s->f16 || s->bf16;
        plan.fused_layers = m->wish->precision == CONURE_PRECISION_F16 && plan.batch == 1 && s->t[0] == s->t[2] ? FUSED_LAYERS : 0;
        plan.io_rows = s->io_rows;
        plan.cache_matrices = s->cache_matrices;
        if (s->caches_f16)
            plan.caches = plan.type; /* or as TensorRT is told */
        conure_encoder_build(g, &plan);
        status = conure_graph_write(g, m->graph, CONURE_EXTERNAL_AUTO, &written, conure_progress_fraction, words, m->err);
    }
    conure_graph_close(&g);
    return status;
}

static conure_trt_range range(const char *name, uint32_t rank, const uint32_t shape[4], int t_at, int b_at, const conure_plan_side *s)
{
    conure_trt_range r = {.name = name, .rank = rank};
    uint32_t *const parts[3] = {r.min, r.opt, r.max};
    for (int i = 0; i < 3; i++) {
        memcpy(parts[i], shape, 4 * sizeof *shape);
        parts[i][b_at] = s->b[i];
        if (t_at >= 0)
            parts[i][t_at] = s->t[i];
    }
    return r;
}

/* Of a cache with a matrix [rows][columns] of each layer and row of the batch. */
static conure_trt_range cache_range(const conure_plan_side *s, const conure_config *c, conure_plan_tensor which, uint32_t rows, uint32_t columns)
{
    const int b_at = s->layer_first ? 1 : 0;
    uint32_t shape[4] = {c->n_layers, c->n_layers, rows, columns};
    if (!s->cache_matrices)
        return range(s->names[which], 4, shape, -1, b_at, s);
    conure_trt_range r = {.name = s->names[which], .rank = 2};
    uint32_t *const parts[3] = {r.min, r.opt, r.max};
    for (int i = 0; i < 3; i++) {
        parts[i][0] = s->b[i] * c->n_layers * rows;
        parts[i][1] = columns;
    }
    return r;
}

static uint32_t ranges_of(const conure_plan_side *s, const conure_config *c, conure_trt_range out[5])
{
    uint32_t n = 0;
    out[n++] = s->io_rows ? range(s->names[CONURE_PLAN_FEATURES], 3, (const uint32_t[4]){0, 0, c->mel_bins}, 1, 0, s)
                          : range(s->names[CONURE_PLAN_FEATURES], 3, (const uint32_t[4]){0, c->mel_bins}, 2, 0, s);
    out[n++] = range(s->names[CONURE_PLAN_LENGTH], 1, (const uint32_t[4]){0}, -1, 0, s);
    if (s->streaming) {
        out[n++] = cache_range(s, c, CONURE_PLAN_CHANNEL_IN, s->caches.cache_rows, c->d_model);
        out[n++] = s->cache_matrices ? cache_range(s, c, CONURE_PLAN_TIME_IN, c->conv_left, c->d_model)
                                     : cache_range(s, c, CONURE_PLAN_TIME_IN, c->d_model, c->conv_left);
        out[n++] = range(s->names[CONURE_PLAN_CACHE_LENGTH_IN], 1, (const uint32_t[4]){0}, -1, 0, s);
    }
    return n;
}

static conure_trt_precision precision_of(conure_precision p)
{
    switch (p) {
    case CONURE_PRECISION_TF32: return CONURE_TRT_TF32;
    case CONURE_PRECISION_F16: return CONURE_TRT_F16;
    case CONURE_PRECISION_BF16: return CONURE_TRT_BF16;
    case CONURE_PRECISION_INT8: return CONURE_TRT_INT8;
    default: return CONURE_TRT_F32;
    }
}

/* A file of timings that is not there yet has none. */
static conure_status read_timing(const char *path, char **out, size_t *bytes, conure_error *err)
{
    *out = NULL;
    *bytes = 0;
    if (!path || access(path, F_OK) != 0)
        return CONURE_OK;
    return conure_file_read(out, bytes, path, TIMING_BYTES_MAX, err);
}

/* Before all that takes minutes: it can be written, and read where it is there. */
static conure_status check_timing(const char *path, conure_error *err)
{
    conure_writer *writer = NULL;
    char *timing = NULL;
    size_t bytes;
    conure_status status = path ? conure_writer_open(&writer, path, err) : CONURE_OK;
    conure_writer_abort(&writer);
    if (status == CONURE_OK)
        status = read_timing(path, &timing, &bytes, err);
    free(timing);
    if (status != CONURE_OK)
        conure_error_prefix(err, "--timing-cache");
    return status;
}

/* Without them the next build takes longer, no more. */
static void keep_timing(const making *m, const conure_trt_blob *blob)
{
    conure_error why = {""};
    if (m->timing && blob->data && conure_file_write(m->timing, blob->data, blob->bytes, &why) != CONURE_OK)
        conure_log_write(&m->log, CONURE_LOG_WARNING, "--timing-cache: what was timed is not kept: %s", why.text);
}

/* Names of nodes begin with the part of the encoder that they are of. */
static bool is_wide(void *user, const char *node)
{
    const conure_plan_side *s = user;
    unsigned layer = 0;
    if (strncmp(node, "pre_encode.", 11) == 0)
        return s->wide[0];
    return sscanf(node, "layers.%3u.", &layer) == 1 && layer + 1 < CONURE_PLAN_PARTS && s->wide[layer + 1];
}

static conure_status run_builder(making *m, conure_trt_built *built)
{
    conure_trt_range ranges[5];
    char *timing = NULL;
    ticker t = {.lock = PTHREAD_MUTEX_INITIALIZER, .end = PTHREAD_COND_INITIALIZER, .start_s = conure_now_s(),
                .what = m->made->side.streaming ? "a step's plan" : "an offline plan",
                .deaf = atoi(conure_trt_get_facts(m->trt)->version) < 10 ? &m->log : NULL};
    pthread_t thread;
    conure_trt_build_options o = {.onnx = m->graph, .precision = precision_of(m->wish->precision), .f16_beside = m->wish->f16_beside,
                                  .ranges = ranges, .level = m->wish->level, .n_threads = m->wish->n_threads, .wide = is_wide,
                                  .wide_user = &m->made->side, .cancel = &conure_interrupted, .progress = show_phase, .progress_user = &t};
    const char *const halves[] = {m->made->side.names[CONURE_PLAN_CHANNEL_IN], m->made->side.names[CONURE_PLAN_TIME_IN],
                                  m->made->side.names[CONURE_PLAN_CHANNEL_OUT], m->made->side.names[CONURE_PLAN_TIME_OUT]};
    o.halves = halves;
    o.n_halves = m->made->side.caches_f16 ? 4 : 0;
    o.n_ranges = ranges_of(&m->made->side, &m->model->config, ranges);
    conure_status status = read_timing(m->timing, &timing, &o.timing_bytes, m->err);
    o.timing = timing;
    if (status == CONURE_OK) {
        const bool shows = pthread_create(&thread, NULL, tick, &t) == 0;
        status = conure_trt_build(m->trt, &o, built, m->err);
        pthread_mutex_lock(&t.lock);
        t.ended = true;
        pthread_cond_signal(&t.end);
        pthread_mutex_unlock(&t.lock);
        if (shows)
            pthread_join(thread, NULL);
    }
    free(timing);
    return status;
}

/* Once for all plans of the wish, when one is to be built: which parts f16 does not hold, and the scales of int8. */
static conure_status look(making *m)
{
    const conure_plan_wish *w = m->wish;
    const conure_mask mask = m->made->side.mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    conure_plan_side *s = &m->made->side;
    char words[] = "looking at the recordings";
    conure_status status = CONURE_OK;
    if (!m->seen && w->n_utterances)
        status = conure_observe(&m->seen, m->model, w->utterances, w->n_utterances, w->n_threads, mask, &conure_interrupted,
                                conure_progress_fraction, words, m->err);
    for (uint32_t i = 0; m->seen && s->f16 && i <= m->model->config.n_layers && i < CONURE_PLAN_PARTS; i++)
        s->wide[i] = conure_encoder_overflows(m->seen, (int32_t)i - 1);
    return status;
}

/* How memory of the engine lies, which nobody else sees.  Features and output as rows, which the host need not turn.  Caches in f16, half of the
 * memory of a stream, where f16 is what layers make of caches in any case: not where one is held in f32 since f16 does not hold
 * its values.  And matrices, which are taken and given as they lie. */
static void choose_forms(making *m)
{
    conure_plan_side *s = &m->made->side;
    bool any_wide = false;
    for (int i = 0; i < CONURE_PLAN_PARTS; i++)
        any_wide = any_wide || s->wide[i];
    s->io_rows = true;
    s->cache_matrices = s->streaming;
    s->caches_f16 = s->streaming && m->wish->precision == CONURE_PRECISION_F16 && !any_wide;
}

static void remove_graph(const making *m)
{
    char data[sizeof m->graph + 8];
    snprintf(data, sizeof data, "%s.data", m->graph);
    (void)unlink(m->graph);
    (void)unlink(data);
}

static conure_status build(making *m)
{
    conure_trt_built built = {0};
    conure_plan_side *s = &m->made->side;
    conure_status status = look(m);
    choose_forms(m);
    if (status == CONURE_OK)
        status = write_graph(m);
    if (status == CONURE_OK)
        status = run_builder(m, &built);
    remove_graph(m); /* as large as the plan, which needs the room now */
    s->n_kept_f32 = built.n_kept_f32;
    s->seconds = built.seconds;
    m->made->timing_used = built.timing_used;
    m->made->n_layers = built.n_layers;
    if (status == CONURE_OK)
        keep_timing(m, &built.timing); /* first: they make building again short, should the plan not be written */
    if (status == CONURE_OK)
        status = conure_plan_write(s, m->made->path, built.plan.data, built.plan.bytes, m->err);
    conure_trt_blob_free(&built.plan);
    conure_trt_blob_free(&built.timing);
    return status;
}

/* A side file that says the same as what would be built, of a plan that is whole. */
static bool is_there(conure_plan_made *made)
{
    char path[PATH_MAX + 8], key[48], wanted[48], sha256[65], *text = NULL;
    size_t bytes;
    conure_plan_side found;
    snprintf(path, sizeof path, "%s.json", made->path);
    bool there = conure_file_read(&text, &bytes, path, CONURE_PLAN_SIDE_BYTES_MAX, NULL) == CONURE_OK &&
                 conure_plan_side_parse(&found, text, bytes, path, NULL) == CONURE_OK;
    free(text);
    if (!there)
        return false;
    conure_plan_key(&found, key);
    conure_plan_key(&made->side, wanted);
    snprintf(path, sizeof path, "%s.plan", made->path);
    there = strcmp(key, wanted) == 0 && conure_file_sha256(sha256, path, NULL) == CONURE_OK && strcmp(sha256, found.plan_sha256) == 0;
    if (there)
        made->side = found;
    return there;
}

static conure_status make(making *m, const char *folder, bool force)
{
    const conure_trt_facts *facts = conure_trt_get_facts(m->trt);
    conure_plan_side *s = &m->made->side;
    char key[48];
    snprintf(s->gpu, sizeof s->gpu, "%s", facts->gpu);
    snprintf(s->tensorrt, sizeof s->tensorrt, "%s", facts->version);
    conure_plan_key(s, key);
    if (!conure_path_join(m->made->path, PATH_MAX - ENDING_BYTES, folder, key))
        return conure_fail(m->err, CONURE_LIMIT, "%.100s: the path is too long", folder);
    m->made->was_there = !force && is_there(m->made);
    if (m->made->was_there)
        return CONURE_OK;
    snprintf(m->graph, sizeof m->graph, "%s.%ld.onnx", m->made->path, (long)getpid());
    return build(m);
}

/* Of builds that were killed, up to 2.4 GB each: KEY.PID.onnx, its weights, temporaries, those of plans too.  Of another host or container that has
 * the folder too PID says nothing, so what is younger than a day, which no build takes, stays. */
static void remove_left(const char *folder)
{
    static const char name[] = "^[0-9a-f]{12}-[a-z0-9]+-[0-9a-f]{16}\\.(([0-9]{1,9})\\.onnx(\\.data)?(\\.[0-9a-z]{10}\\.tmp)?|(plan|json)\\.[0-9a-z]{10}\\.tmp)$";
    struct stat info;
    regex_t graph;
    regmatch_t at[3]; /* the third: PID, where there is one */
    if (regcomp(&graph, name, REG_EXTENDED) != 0)
        return;
    DIR *dir = opendir(folder);
    for (const struct dirent *d; dir && (d = readdir(dir));)
        if (regexec(&graph, d->d_name, 3, at, 0) == 0 && fstatat(dirfd(dir), d->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            time(NULL) - info.st_mtime > 24 * 3600 && (at[2].rm_so < 0 || (kill(atoi(d->d_name + at[2].rm_so), 0) != 0 && errno == ESRCH)))
            (void)unlinkat(dirfd(dir), d->d_name, 0);
    if (dir)
        closedir(dir);
    regfree(&graph);
}

/* Before a graph is written, which takes long. */
static conure_status check_version(const conure_trt_facts *facts, const conure_plan_wish *wish, conure_error *err)
{
    const int version = atoi(facts->version);
    if (wish->precision == CONURE_PRECISION_BF16 && version < 10)
        return conure_fail(err, CONURE_UNSUPPORTED, "TensorRT %s has no bf16, 10 and later have: --precision f16, tf32 and f32 are there",
                           facts->version);
    if (wish->f16_beside && version >= 11)
        return conure_fail(err, CONURE_UNSUPPORTED, "TensorRT %s takes types from the graph, and in ours f32 is beside int8: leave out --beside f16",
                           facts->version);
    return CONURE_OK;
}

conure_status conure_plans_build(conure_plan_made made[CONURE_PLANS_OF_CONTRACT], uint32_t *n, const conure_model *model,
                                 const conure_plan_wish *wish, const char *folder, const char *timing, bool force, conure_log log,
                                 conure_error *err)
{
    conure_plan_side sides[CONURE_PLANS_OF_CONTRACT];
    uint32_t n_sides = 0;
    making *m = calloc(1, sizeof *m);
    *n = 0;
    if (!m)
        return conure_fail_memory(err, "a plan", sizeof *m);
    m->model = model;
    m->wish = wish;
    m->timing = timing;
    m->log = log;
    m->err = err;
    conure_status status = check_timing(timing, err);
    if (status == CONURE_OK)
        status = conure_plans_choose(sides, &n_sides, model, wish, err);
    if (status == CONURE_OK)
        status = conure_trt_open(&m->trt, &wish->place, log, err);
    if (status == CONURE_OK)
        status = check_version(conure_trt_get_facts(m->trt), wish, err);
    if (status == CONURE_OK) /* nothing is left behind where a build cannot begin */
        status = conure_make_folders(folder, err);
    if (status == CONURE_OK)
        remove_left(folder);
    for (uint32_t i = 0; i < n_sides && status == CONURE_OK; i++) {
        m->made = &made[i];
        *m->made = (conure_plan_made){.side = sides[i]};
        status = make(m, folder, force);
        *n += status == CONURE_OK;
    }
    conure_observations_free(&m->seen);
    conure_trt_close(&m->trt);
    free(m);
    return status;
}

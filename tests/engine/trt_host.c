/* trt_host.c - see trt_host.h. */
#include "trt_host.h"

#include "base/inject.h"
#include "model/halves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

trt_host trt_host_machine;

struct conure_trt {
    conure_trt_facts facts;
    void *network; /* of the engine cpu */
    int64_t ticks, marks[2];
};

struct conure_trt_plan {
    conure_trt *trt;
    conure_plan_side side;
};

struct conure_trt_context {
    conure_trt_plan *plan;
};

struct conure_trt_graph {
    conure_trt_context *context;
    conure_trt_tensor tensors[CONURE_PLAN_TENSORS];
    uint32_t n;
};

static void *counted(void *memory)
{
    trt_host_machine.n_live += memory != NULL;
    return memory;
}

static void dropped(void *memory)
{
    trt_host_machine.n_live -= memory != NULL;
    free(memory);
}

const char *conure_trt_built_with(void)
{
    return "the host";
}

conure_status conure_trt_open(conure_trt **out, const conure_trt_place *place, conure_log log, conure_error *err)
{
    trt_host_machine.place = *place;
    *out = NULL;
    if (trt_host_machine.no_gpu)
        return conure_fail(err, CONURE_BACKEND, "there is no GPU");
    const conure_engine_options options = {.precision = CONURE_PRECISION_F32, .mask = trt_host_machine.mask, .n_threads = 1};
    conure_trt *t = counted(calloc(1, sizeof *t));
    (void)log;
    snprintf(t->facts.gpu, sizeof t->facts.gpu, "%s", trt_host_machine.gpu);
    snprintf(t->facts.version, sizeof t->facts.version, "%s", trt_host_machine.version);
    const conure_model *held = CONURE_INJECTED(PLAN_OF_OTHER) ? trt_host_machine.other : trt_host_machine.model;
    const conure_status status = conure_engine_native_cpu.open(&t->network, held, &options, err);
    *out = t;
    if (status != CONURE_OK)
        conure_trt_close(out);
    return status;
}

void conure_trt_close(conure_trt **trt)
{
    if (*trt && (*trt)->network)
        conure_engine_native_cpu.close(&(*trt)->network);
    dropped(*trt);
    *trt = NULL;
}

const conure_trt_facts *conure_trt_get_facts(const conure_trt *trt)
{
    return &trt->facts;
}

/* ---- plans ------------------------------------------------------------------------------------ */

size_t trt_host_plan(const conure_plan_side *side, void **out)
{
    *out = malloc(sizeof *side);
    memcpy(*out, side, sizeof *side);
    return sizeof *side;
}

conure_status conure_trt_plan_open(conure_trt *trt, conure_trt_plan **out, const void *bytes, size_t n, conure_error *err)
{
    *out = NULL;
    if (n != sizeof(conure_plan_side))
        return conure_fail(err, CONURE_BACKEND, "a plan of %zu bytes", n);
    *out = counted(calloc(1, sizeof **out));
    (*out)->trt = trt;
    memcpy(&(*out)->side, bytes, n);
    return CONURE_OK;
}

void conure_trt_plan_close(conure_trt_plan **plan)
{
    dropped(*plan);
    *plan = NULL;
}

static void put_blob(conure_trt_blob *out, const char *text)
{
    *out = (conure_trt_blob){.data = text, .bytes = strlen(text), .owner = counted(malloc(1))};
}

conure_status conure_trt_build(conure_trt *trt, const conure_trt_build_options *options, conure_trt_built *out, conure_error *err)
{
    (void)trt;
    (void)err;
    *out = (conure_trt_built){.timing_used = options->timing != NULL, .n_layers = 100, .seconds = 0.5};
    trt_host_machine.building(options);
    put_blob(&out->plan, "plan");
    put_blob(&out->timing, "timings");
    return CONURE_OK;
}

void conure_trt_blob_free(conure_trt_blob *blob)
{
    if (blob->owner)
        dropped(blob->owner);
    *blob = (conure_trt_blob){0};
}

bool conure_trt_plan_tensor(const conure_trt_plan *plan, const char *name, bool input, uint32_t *element_bytes)
{
    for (conure_plan_tensor t = 0; t < CONURE_PLAN_TENSORS; t++)
        if (strcmp(plan->side.names[t], name) == 0) {
            const bool integer = t == CONURE_PLAN_LENGTH || t == CONURE_PLAN_CACHE_LENGTH_IN || t == CONURE_PLAN_ENCODED_LENGTH ||
                                 t == CONURE_PLAN_CACHE_LENGTH_OUT;
            const bool cache = t == CONURE_PLAN_CHANNEL_IN || t == CONURE_PLAN_TIME_IN || t == CONURE_PLAN_CHANNEL_OUT || t == CONURE_PLAN_TIME_OUT;
            *element_bytes = integer ? trt_host_machine.integer_bytes : cache && plan->side.caches_f16 ? sizeof(uint16_t) : sizeof(float);
            return input == (t < CONURE_PLAN_ENCODER);
        }
    return false;
}

conure_status conure_trt_context_open(conure_trt_plan *plan, conure_trt_context **out, conure_error *err)
{
    (void)err;
    trt_host_machine.n_contexts++;
    *out = counted(calloc(1, sizeof **out));
    (*out)->plan = plan;
    return CONURE_OK;
}

void conure_trt_context_close(conure_trt_context **context)
{
    dropped(*context);
    *context = NULL;
}

/* ---- running ---------------------------------------------------------------------------------- */

/* One run: its tensors in the order of conure_plan_tensor. */
typedef struct host_run {
    const conure_plan_side *side;
    void *self;
    const conure_config *config;
    void *data[CONURE_PLAN_TENSORS];
    uint32_t batch, n_frames, n_rows;
} host_run;

static int64_t get(const void *data, uint32_t i)
{
    return trt_host_machine.integer_bytes == 4 ? ((const int32_t *)data)[i] : ((const int64_t *)data)[i];
}

static void put(void *data, uint32_t i, int64_t value)
{
    if (trt_host_machine.integer_bytes == 4)
        ((int32_t *)data)[i] = (int32_t)value;
    else
        ((int64_t *)data)[i] = value;
}

/* One stream's cache to or from its place in the batch: [layer][B].. or [B][layer].., a layer's columns as rows where the plan has them so. */
static void move(const host_run *r, void *batch, float *own, size_t rows, size_t cols, bool turned, uint32_t row, bool out)
{
    for (uint32_t l = 0; l < r->config->n_layers; l++) {
        const size_t at = r->side->layer_first ? (size_t)l * r->batch + row : (size_t)row * r->config->n_layers + l;
        for (size_t i = 0; i < rows * cols; i++) {
            const size_t there = at * rows * cols + (turned ? i % cols * rows + i / cols : i);
            float *mine = own + l * rows * cols + i;
            if (r->side->caches_f16 && out)
                ((uint16_t *)batch)[there] = narrow_f16(*mine);
            else if (r->side->caches_f16)
                *mine = widen_f16(((const uint16_t *)batch)[there]);
            else if (out)
                ((float *)batch)[there] = *mine;
            else
                *mine = ((const float *)batch)[there];
        }
    }
}

static conure_status one_row(const host_run *r, uint32_t row, conure_error *err)
{
    const conure_engine *cpu = &conure_engine_native_cpu;
    const conure_config *c = r->config;
    const size_t channel = (size_t)r->side->caches.cache_rows * c->d_model, time = (size_t)c->d_model * c->conv_left;
    const float *features = (const float *)r->data[CONURE_PLAN_FEATURES] + (size_t)row * c->mel_bins * r->n_frames;
    float *mel = malloc((size_t)r->n_frames * c->mel_bins * sizeof *mel), *out = calloc((size_t)r->n_rows * c->d_model + 1, sizeof *out);
    float *channels = malloc((c->n_layers * channel + 1) * sizeof *channels), *times = malloc((c->n_layers * time + 1) * sizeof *times);
    float *encoder = (float *)r->data[CONURE_PLAN_ENCODER] + (size_t)row * c->d_model * r->n_rows;
    conure_cache_options options = r->side->caches;
    conure_encode_row step = {.mel = mel, .n_frames = r->n_frames, .n_valid = (uint32_t)get(r->data[CONURE_PLAN_LENGTH], row),
                              .drop_first = r->side->drop_first, .out = out, .n_out_cap = r->n_rows};
    int64_t length = 0;
    conure_status status = CONURE_OK;
    options.keep_rows = true;
    for (uint32_t t = 0; t < r->n_frames; t++)
        for (uint32_t m = 0; m < c->mel_bins; m++)
            mel[(size_t)t * c->mel_bins + m] = features[r->side->io_rows ? (size_t)t * c->mel_bins + m : (size_t)m * r->n_frames + t];
    if (r->side->streaming) {
        move(r, r->data[CONURE_PLAN_CHANNEL_IN], channels, r->side->caches.cache_rows, c->d_model, false, row, false);
        move(r, r->data[CONURE_PLAN_TIME_IN], times, c->d_model, c->conv_left, r->side->cache_matrices, row, false);
        status = cpu->state_open(r->self, &step.state, &options, err);
        if (status == CONURE_OK)
            status = cpu->state_import(r->self, step.state, channels, times, get(r->data[CONURE_PLAN_CACHE_LENGTH_IN], row), err);
    }
    if (status == CONURE_OK)
        status = cpu->encode(r->self, &step, 1, err);
    if (status == CONURE_OK && step.state)
        status = cpu->state_export(r->self, step.state, channels, times, &length, err);
    if (status == CONURE_OK && step.state) {
        move(r, r->data[CONURE_PLAN_CHANNEL_OUT], channels, r->side->caches.cache_rows, c->d_model, false, row, true);
        move(r, r->data[CONURE_PLAN_TIME_OUT], times, c->d_model, c->conv_left, r->side->cache_matrices, row, true);
        put(r->data[CONURE_PLAN_CACHE_LENGTH_OUT], row, length);
    }
    for (uint32_t t = 0; t < r->n_rows; t++)
        for (uint32_t j = 0; j < c->d_model; j++)
            encoder[r->side->io_rows ? (size_t)t * c->d_model + j : (size_t)j * r->n_rows + t] = out[(size_t)t * c->d_model + j];
    put(r->data[CONURE_PLAN_ENCODED_LENGTH], row, step.n_out_valid);
    cpu->state_close(r->self, &step.state);
    free(mel);
    free(out);
    free(channels);
    free(times);
    return status;
}

/* The shape of a cache that comes in is the one that this plan has. */
static bool fits(const host_run *r, const conure_trt_tensor *t, uint32_t rows, uint32_t columns)
{
    const uint32_t n = r->config->n_layers, four[4] = {r->side->layer_first ? n : r->batch, r->side->layer_first ? r->batch : n, rows, columns};
    if (r->side->cache_matrices)
        return t->rank == 2 && t->dims[0] == r->batch * n * rows && t->dims[1] == columns;
    return t->rank == 4 && memcmp(t->dims, four, sizeof four) == 0;
}

static bool caches_fit(const host_run *r, const conure_trt_tensor *tensors, uint32_t n)
{
    const uint32_t d = r->config->d_model, left = r->config->conv_left;
    bool good = true;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(tensors[i].name, r->side->names[CONURE_PLAN_CHANNEL_IN]) == 0)
            good = good && fits(r, &tensors[i], r->side->caches.cache_rows, d);
        if (strcmp(tensors[i].name, r->side->names[CONURE_PLAN_TIME_IN]) == 0)
            good = good && fits(r, &tensors[i], r->side->cache_matrices ? left : d, r->side->cache_matrices ? d : left);
    }
    return good;
}

static conure_status run(const conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_error *err)
{
    const conure_plan_side *side = &context->plan->side;
    host_run r = {.side = side, .self = context->plan->trt->network, .config = &trt_host_machine.model->config};
    if (trt_host_machine.fail_after >= 0 && trt_host_machine.fail_after-- == 0)
        return conure_fail(err, CONURE_BACKEND, "a run that was to fail");
    for (uint32_t i = 0; i < n; i++)
        for (conure_plan_tensor t = 0; t < CONURE_PLAN_TENSORS; t++)
            if (strcmp(side->names[t], tensors[i].name) == 0) {
                r.data[t] = tensors[i].data;
                if (t == CONURE_PLAN_FEATURES) {
                    r.batch = tensors[i].dims[0];
                    r.n_frames = tensors[i].dims[side->io_rows ? 1 : 2];
                    if (tensors[i].dims[side->io_rows ? 2 : 1] != r.config->mel_bins)
                        return conure_fail(err, CONURE_BACKEND, "features of %u bins", tensors[i].dims[side->io_rows ? 2 : 1]);
                }
            }
    if (r.n_frames < side->t[0] || r.n_frames > side->t[2] || r.batch < side->b[0] || r.batch > side->b[2])
        return conure_fail(err, CONURE_BACKEND, "%u frames, batch %u: outside of the plan's ranges", r.n_frames, r.batch);
    if (side->streaming && !caches_fit(&r, tensors, n))
        return conure_fail(err, CONURE_BACKEND, "a cache of another shape than the plan's");
    r.n_rows = (r.n_frames + 7) / 8 - side->drop_first;
    trt_host_machine.last_batch = r.batch;
    for (uint32_t i = 0; i < r.batch; i++) {
        const conure_status status = one_row(&r, i, err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_trt_run(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_error *err)
{
    trt_host_machine.n_runs++;
    return run(context, tensors, n, err);
}

conure_status conure_trt_record(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_trt_graph **out,
                                conure_error *err)
{
    (void)err;
    *out = NULL;
    if (trt_host_machine.no_graphs)
        return CONURE_OK;
    trt_host_machine.n_records++;
    *out = counted(calloc(1, sizeof **out));
    (*out)->context = context;
    (*out)->n = n;
    memcpy((*out)->tensors, tensors, n * sizeof *tensors);
    return CONURE_OK;
}

conure_status conure_trt_replay(conure_trt_graph *graph, conure_error *err)
{
    trt_host_machine.n_replays++;
    return run(graph->context, graph->tensors, graph->n, err);
}

void conure_trt_graph_free(conure_trt_graph **graph)
{
    dropped(*graph);
    *graph = NULL;
}

/* ---- memory: what is uninitialised is full of NaN --------------------------------------------- */

static conure_status take(void **out, size_t bytes)
{
    *out = counted(malloc(bytes + 1));
    memset(*out, 0xff, bytes);
    return CONURE_OK;
}

conure_status conure_trt_alloc(conure_trt *trt, void **out, size_t bytes, conure_error *err)
{
    (void)trt;
    (void)err;
    return take(out, bytes);
}

conure_status conure_trt_alloc_host(conure_trt *trt, void **out, size_t bytes, conure_error *err)
{
    (void)trt;
    (void)err;
    return take(out, bytes);
}

void conure_trt_free(conure_trt *trt, void *memory)
{
    (void)trt;
    dropped(memory);
}

void conure_trt_free_host(conure_trt *trt, void *memory)
{
    (void)trt;
    dropped(memory);
}

conure_status conure_trt_copy(conure_trt *trt, void *to, const void *from, size_t bytes, conure_error *err)
{
    (void)trt;
    (void)err;
    memcpy(to, from, bytes);
    return CONURE_OK;
}

conure_status conure_trt_copy_rows(conure_trt *trt, void *to, size_t to_stride, const void *from, size_t from_stride, size_t row_bytes,
                                   size_t n_rows, conure_error *err)
{
    (void)trt;
    (void)err;
    for (size_t i = 0; i < n_rows; i++)
        memcpy((uint8_t *)to + i * to_stride, (const uint8_t *)from + i * from_stride, row_bytes);
    return CONURE_OK;
}

conure_status conure_trt_zero(conure_trt *trt, void *to, size_t bytes, conure_error *err)
{
    (void)trt;
    (void)err;
    memset(to, 0, bytes);
    return CONURE_OK;
}

conure_status conure_trt_profile(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_part_fn fn, void *user,
                                 conure_error *err)
{
    const conure_status status = conure_trt_run(context, tensors, n, err);
    for (int i = 0; i < 2 && status == CONURE_OK; i++)
        fn(user, i ? "the rest of it" : "a layer", i ? 1e-3 : 2e-3);
    return status;
}

conure_status conure_trt_mark(conure_trt *trt, int which, conure_error *err)
{
    (void)err;
    trt->marks[which] = ++trt->ticks;
    return CONURE_OK;
}

conure_status conure_trt_between_marks(conure_trt *trt, double *seconds, conure_error *err)
{
    (void)err;
    *seconds = 1e-3 * (double)(trt->marks[1] - trt->marks[0]);
    return CONURE_OK;
}

conure_status conure_trt_memory(conure_trt *trt, uint64_t *used, conure_error *err)
{
    (void)trt;
    (void)err;
    *used = 4096;
    return CONURE_OK;
}

conure_status conure_trt_wait(conure_trt *trt, conure_error *err)
{
    (void)trt;
    (void)err;
    return CONURE_OK;
}

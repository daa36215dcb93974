/* observe.c - a table of operations that passes everything on and remembers how large it was. */
#include "onnx/observations.h"

#include "base/memory.h"
#include "encoder/encoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The backend that the network gets. */
typedef struct observer {
    void *inner;
    conure_observations *o;
    int32_t layer;     /* of the last product */
    uint32_t n_convs;  /* depthwise convolutions so far, one a layer */
    float pending;     /* seen before the next product, whose layer it belongs to */
    float *room;
    size_t room_floats;
} observer;

static const conure_ops *const ops = &conure_ops_cpu;

static float largest(conure_rows m)
{
    float most = 0;
    for (uint32_t i = 0; i < m.rows; i++)
        for (uint32_t j = 0; j < m.cols; j++)
            most = fmaxf(most, fabsf(m.data[i * m.stride + j]));
    return most;
}

static void note(observer *w, int32_t layer, float value)
{
    conure_observations *o = w->o;
    if (layer >= (int32_t)o->n_layers || layer < -1)
        return;
    float *most = &o->most[layer < 0 ? o->n_layers : (uint32_t)layer];
    *most = fmaxf(*most, value);
}

/* ---- what is looked at ------------------------------------------------------------------------ */

static conure_status weight_create(void *self, conure_weight **out, const conure_tensor *matrix, const float *bias, conure_error *err)
{
    observer *w = self;
    conure_status status = ops->weight_create(w->inner, out, matrix, bias, err);
    if (status != CONURE_OK)
        return status;
    conure_histogram *inputs = conure_calloc(1, sizeof *inputs);
    conure_observed *s = inputs ? conure_observations_add(w->o) : NULL;
    if (!s) {
        free(inputs);
        ops->weight_free(w->inner, out);
        return conure_fail_memory(err, "observations", sizeof *inputs);
    }
    *s = (conure_observed){.weight = *out, .n = (uint32_t)matrix->shape[0], .layer = -2, .inputs = inputs};
    snprintf(s->name, sizeof s->name, "%s", matrix->name);
    if (sscanf(matrix->name, "encoder.layers.%d.", &s->layer) != 1 && strncmp(matrix->name, "encoder.pre_encode.", 19) == 0)
        s->layer = -1;
    return CONURE_OK;
}

static conure_observed *matrix_of(observer *w, const conure_weight *weight)
{
    for (uint32_t i = 0; i < w->o->n_matrices; i++)
        if (w->o->matrices[i].weight == weight)
            return &w->o->matrices[i];
    return NULL;
}

/* The sums before an epilogue hides them. */
static conure_status look_at_sums(observer *w, conure_rows src, const conure_product *p, const conure_observed *s, conure_error *err)
{
    const size_t floats = (size_t)src.rows * s->n;
    if (floats > w->room_floats) {
        float *grown = NULL;
        ops->free(w->inner, w->room);
        w->room = NULL;
        w->room_floats = 0;
        const conure_status status = ops->alloc(w->inner, (void **)&grown, floats * sizeof *grown, err);
        if (status != CONURE_OK)
            return status;
        w->room = grown;
        w->room_floats = floats;
    }
    const conure_product plain = {.weight = p->weight, .dst = {w->room, s->n, src.rows, s->n}, .epilogue = CONURE_STORE};
    const conure_status status = ops->linear(w->inner, src, &plain, 1, err);
    note(w, s->layer, largest(plain.dst));
    return status;
}

static void add_rows(conure_histogram *h, conure_rows m)
{
    for (uint32_t i = 0; i < m.rows; i++)
        conure_histogram_add(h, m.data + (size_t)i * m.stride, m.cols);
}

static conure_status linear(void *self, conure_rows src, const conure_product *products, uint32_t n, conure_error *err)
{
    observer *w = self;
    conure_status status = CONURE_OK;
    const float input = largest(src);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        conure_observed *s = matrix_of(w, products[i].weight);
        if (!s)
            continue;
        add_rows(s->inputs, src);
        w->layer = s->layer;
        note(w, s->layer, fmaxf(input, w->pending));
        status = look_at_sums(w, src, &products[i], s, err);
    }
    w->pending = 0;
    if (status == CONURE_OK)
        status = ops->linear(w->inner, src, products, n, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        if (products[i].epilogue == CONURE_ADD)
            note(w, w->layer, largest(products[i].dst));
    return status;
}

static conure_status layer_norm(void *self, conure_rows dst, conure_rows src, const float *gamma, const float *beta, conure_error *err)
{
    observer *w = self;
    const float most = largest(src);
    note(w, w->layer, most); /* the last norm of a layer has no product behind it */
    w->pending = fmaxf(w->pending, most);
    return ops->layer_norm(w->inner, dst, src, gamma, beta, err);
}

/* Both parts of the largest score, and their sum, of one query. */
static float scores_of(const conure_attention *a, const conure_span *s, uint32_t head, uint32_t query)
{
    const size_t h = a->head_dim, at = head * h;
    const float *q = a->q.data + (s->first_row + query) * a->q.stride + at;
    float most = 0;
    for (uint32_t key = s->key_first; key < s->key_end; key++) {
        const float *k = a->k.data + (s->kv_row + key) * a->k.stride + at;
        const int64_t r = (int64_t)s->n_past + query - key;
        const float *p = a->pos.data + (size_t)(a->pos_first - r) * a->pos.stride + at;
        float content = 0, position = 0;
        for (size_t i = 0; i < h; i++) {
            content += (q[i] + a->bias_u[at + i]) * k[i];
            position += (q[i] + a->bias_v[at + i]) * p[i];
        }
        most = fmaxf(most, fmaxf(fmaxf(fabsf(content), fabsf(position)), fabsf(content + position)));
    }
    return most / sqrtf((float)h);
}

static conure_status attention(void *self, const conure_attention *a, conure_error *err)
{
    observer *w = self;
    for (uint32_t i = 0; i < a->n_spans; i++)
        for (uint32_t head = 0; head < a->n_heads; head++)
            for (uint32_t query = 0; query < a->spans[i].n_rows && a->spans[i].n_past + query < a->spans[i].key_end; query++)
                note(w, w->layer, scores_of(a, &a->spans[i], head, query));
    return ops->attention(w->inner, a, err);
}

static conure_status conv(void *self, const conure_conv *c, conure_error *err)
{
    observer *w = self;
    const conure_status status = ops->conv(w->inner, c, err);
    float *columns = &w->o->columns[w->n_convs++ % w->o->n_layers];
    *columns = fmaxf(*columns, largest(c->src));
    note(w, w->layer, fmaxf(*columns, largest(c->dst)));
    return status;
}

static conure_status subsample(void *self, const conure_subsample *s, conure_error *err)
{
    observer *w = self;
    const conure_status status = ops->subsample(w->inner, s, err);
    const uint32_t cols = (s->width + 1) / 2 * s->channels;
    note(w, -1, largest((conure_rows){s->dst, cols, (s->height + 1) / 2, cols}));
    return status;
}

/* ---- what is passed on ------------------------------------------------------------------------ */

#define INNER(self) (((observer *)(self))->inner)

static conure_status pass_alloc(void *self, void **out, size_t bytes, conure_error *err)
{
    return ops->alloc(INNER(self), out, bytes, err);
}
static void pass_free(void *self, void *memory)
{
    ops->free(INNER(self), memory);
}
static conure_status pass_upload(void *self, void *dst, const void *src, size_t bytes, conure_error *err)
{
    return ops->upload(INNER(self), dst, src, bytes, err);
}
static conure_status pass_download(void *self, void *dst, const void *src, size_t bytes, conure_error *err)
{
    return ops->download(INNER(self), dst, src, bytes, err);
}
static conure_status pass_copy(void *self, void *dst, const void *src, size_t bytes, conure_error *err)
{
    return ops->copy(INNER(self), dst, src, bytes, err);
}
static conure_status pass_zero(void *self, void *dst, size_t bytes, conure_error *err)
{
    return ops->zero(INNER(self), dst, bytes, err);
}
static void pass_weight_free(void *self, conure_weight **weight)
{
    ops->weight_free(INNER(self), weight);
}
static conure_status pass_flatten(void *self, conure_rows dst, const float *src, uint32_t width, uint32_t channels, conure_error *err)
{
    return ops->flatten(INNER(self), dst, src, width, channels, err);
}
static conure_status pass_lstm_cell(void *self, conure_rows h, conure_rows c, conure_rows gates, conure_error *err)
{
    return ops->lstm_cell(INNER(self), h, c, gates, err);
}
static conure_status pass_add_relu(void *self, conure_rows dst, conure_rows a, conure_rows b, conure_error *err)
{
    return ops->add_relu(INNER(self), dst, a, b, err);
}
static conure_status pass_store_rows(void *self, const conure_stored *stored, uint32_t n, conure_error *err)
{
    return ops->store_rows(INNER(self), stored, n, err);
}
static conure_status pass_load_rows(void *self, const conure_stored *stored, uint32_t n, conure_error *err)
{
    return ops->load_rows(INNER(self), stored, n, err);
}
static conure_status pass_wait(void *self, conure_error *err)
{
    return ops->wait ? ops->wait(INNER(self), err) : CONURE_OK;
}

/* ---- running ---------------------------------------------------------------------------------- */

static conure_status run(observer *w, conure_network *net, const conure_utterance *utterances, uint32_t n, conure_progress_fn progress,
                         void *user, conure_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        conure_encode_row row = {.mel = utterances[i].mel, .n_frames = utterances[i].n_frames, .n_valid = utterances[i].n_frames};
        if (progress && !progress(user, (double)i / n))
            return conure_fail(err, CONURE_CANCELLED, "cancelled");
        w->layer = -1;
        w->n_convs = 0;
        const conure_status status = conure_network_encode(net, &row, 1, err);
        if (status != CONURE_OK)
            return status;
        w->o->n_utterances++;
        w->o->n_frames += row.n_frames;
    }
    return CONURE_OK;
}

static void forget(conure_observed *s)
{
    free(s->inputs);
    s->inputs = NULL;
}

static void conclude(conure_observations *o)
{
    for (uint32_t i = 0; i < o->n_matrices; i++) {
        o->matrices[i].input = conure_histogram_range(o->matrices[i].inputs);
        forget(&o->matrices[i]);
    }
}

conure_status conure_observe(conure_observations **out, const conure_model *model, const conure_utterance *utterances, uint32_t n,
                             uint32_t n_threads, conure_mask mask, const volatile int *cancel, conure_progress_fn progress, void *user,
                             conure_error *err)
{
    conure_ops table = {
        .name = "observer", .alloc = pass_alloc, .free = pass_free, .upload = pass_upload, .download = pass_download, .copy = pass_copy,
        .zero = pass_zero, .weight_create = weight_create, .weight_free = pass_weight_free, .weight_borrows = ops->weight_borrows,
        .linear = linear, .layer_norm = layer_norm, .attention = attention, .conv = conv, .subsample = subsample, .flatten = pass_flatten,
        .lstm_cell = pass_lstm_cell, .add_relu = pass_add_relu, .store_rows = pass_store_rows, .load_rows = pass_load_rows,
        .wait = pass_wait};
    const conure_backend_options options = {.n_threads = n_threads, .precision = CONURE_PRECISION_F32, .cancel = cancel};
    conure_network *net = NULL;
    observer w = {0};
    *out = NULL;
    conure_status status = conure_observations_open(&w.o, model->config.n_layers, err);
    if (status == CONURE_OK)
        status = ops->open(&w.inner, &options, err);
    if (status == CONURE_OK)
        status = conure_network_open(&net, model, &table, &w, mask ? mask : model->config.mask, cancel, err);
    if (status == CONURE_OK)
        status = run(&w, net, utterances, n, progress, user, err);
    if (status == CONURE_OK)
        conclude(w.o);
    if (status == CONURE_OK)
        status = conure_observations_check(w.o, "the speech that was named", err);
    conure_network_close(&net);
    if (w.inner) {
        ops->free(w.inner, w.room);
        ops->close(&w.inner);
    }
    if (status != CONURE_OK)
        conure_observations_free(&w.o);
    *out = w.o;
    return status;
}

/* ---- what was seen ---------------------------------------------------------------------------- */

conure_status conure_observations_open(conure_observations **out, uint32_t n_layers, conure_error *err)
{
    conure_observations *o = *out = conure_calloc(1, sizeof *o);
    if (!o)
        return conure_fail_memory(err, "observations", sizeof *o);
    o->n_layers = n_layers;
    o->most = conure_calloc(2 * (size_t)n_layers + 1, sizeof *o->most);
    if (!o->most) {
        conure_observations_free(out);
        return conure_fail_memory(err, "observations", n_layers);
    }
    o->columns = o->most + n_layers + 1;
    return CONURE_OK;
}

conure_status conure_observations_check(const conure_observations *o, const char *where, conure_error *err)
{
    float most = 0;
    if (o->n_frames < CONURE_OBSERVED_FRAMES_MIN)
        return conure_fail(err, CONURE_BAD_FILE, "%s: %llu frames of 10 ms were looked at, and scales need %d at least: a dozen short files of speech "
                           "are plenty", where, (unsigned long long)o->n_frames, CONURE_OBSERVED_FRAMES_MIN);
    for (uint32_t i = 0; i < 2 * o->n_layers + 1; i++) /* columns stand behind */
        most = fmaxf(most, o->most[i]);
    for (uint32_t i = 0; i < o->n_matrices; i++)
        most = fmaxf(most, o->matrices[i].input);
    if (!(most > 0 && most <= CONURE_OBSERVED_MOST))
        return conure_fail(err, CONURE_BAD_FILE, "%s: the largest value is %g: conure model verify tells whether the model is sound, conure export ranges "
                           "-o FILE AUDIO... measures anew", where, (double)most);
    return CONURE_OK;
}

conure_observed *conure_observations_add(conure_observations *o)
{
    if (o->n_matrices == o->cap) {
        const uint32_t more = o->cap ? 2 * o->cap : 64;
        conure_observed *grown = realloc(o->matrices, more * sizeof *grown);
        if (!grown)
            return NULL;
        o->matrices = grown;
        o->cap = more;
    }
    o->matrices[o->n_matrices] = (conure_observed){.name = ""};
    return &o->matrices[o->n_matrices++];
}

void conure_observations_free(conure_observations **observations)
{
    conure_observations *o = *observations;
    if (!o)
        return;
    for (uint32_t i = 0; i < o->n_matrices; i++)
        forget(&o->matrices[i]);
    free(o->matrices);
    free(o->most);
    free(o);
    *observations = NULL;
}

float conure_observed_most(const conure_observations *o, int32_t layer)
{
    return o->most[layer < 0 ? o->n_layers : (uint32_t)layer];
}

float conure_observed_columns(const conure_observations *o, uint32_t layer)
{
    return o->columns[layer];
}

float conure_observed_input(const conure_observations *o, const char *name)
{
    for (uint32_t i = 0; i < o->n_matrices; i++)
        if (strcmp(o->matrices[i].name, name) == 0)
            return o->matrices[i].input;
    return 0;
}

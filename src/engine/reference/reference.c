/* reference.c - the engine "ref": opening it, and one encoder step, row after row of the batch. */
#include "engine/reference/reference.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/graphs.h"

#include <stdio.h>
#include <stdlib.h>

/* As the native engine has them: far above any use, below any overflow. */
enum { ROWS_MAX = 4096, MEL_FRAMES_MAX = 1 << 24 };

/* ---- opening ---------------------------------------------------------------------------------- */

static void ref_close(void **self)
{
    conure_ref *r = *self;
    if (!r)
        return;
    conure_pool_close(&r->pool);
    conure_blocks_free(&r->arena);
    free(r->positions);
    free(r);
    *self = NULL;
}

static conure_status ref_open(void **self, const conure_model *model, const conure_engine_options *options, conure_error *err)
{
    *self = NULL;
    if (options->precision != CONURE_PRECISION_F64)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine ref computes in f64, not in %s", conure_precision_name(options->precision));
    CONURE_TRY(conure_model_need_tensors(model, "ref", err));
    conure_ref *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "an engine", sizeof *r);
    void *made = r;
    r->model = model;
    r->config = &model->config;
    r->mask = options->mask;
    r->cancel = options->cancel;
    r->progress = options->progress;
    r->progress_user = options->progress_user;
    r->radius = -1;
    conure_status status = conure_pool_open(&r->pool, options->n_threads, err);
    if (status == CONURE_OK)
        status = conure_ref_load(r, err);
    if (status != CONURE_OK) {
        ref_close(&made);
        return status;
    }
    snprintf(r->description, sizeof r->description, "ref f64, plain loops, %u thread%s, mask %s", conure_pool_threads(r->pool),
             conure_pool_threads(r->pool) == 1 ? "" : "s", r->mask == CONURE_MASK_NEMO ? "nemo" : "exact");
    *self = r;
    return CONURE_OK;
}

static const char *ref_describe(const void *self)
{
    return ((const conure_ref *)self)->description;
}

static void ref_set_probe(void *self, conure_probe_fn probe, void *user)
{
    conure_ref *r = self;
    r->probe = probe;
    r->probe_user = user;
}

/* ---- encoding --------------------------------------------------------------------------------- */

double *conure_ref_take(conure_ref_step *s, size_t rows, size_t columns)
{
    size_t count, bytes;
    double *taken = NULL;
    if (conure_mul(rows, columns, &count) && conure_mul(count, sizeof *taken, &bytes))
        taken = conure_block_alloc(&s->arena, bytes);
    if (!taken)
        (void)conure_fail(s->err, CONURE_NO_MEMORY, "out of memory for a step of %zu x %zu values", rows, columns);
    return taken;
}

static conure_status check_row(const conure_encode_row *row, uint32_t i, conure_error *err)
{
    const int64_t frames = conure_ref_frames(row->n_frames) - row->drop_first;
    if (row->n_frames > MEL_FRAMES_MAX)
        return conure_fail(err, CONURE_LIMIT, "row %u: %u mel frames, at most %u are supported", i, row->n_frames, MEL_FRAMES_MAX);
    if (row->n_valid > row->n_frames || (row->n_valid && !row->mel))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: %u valid of %u mel frames", i, row->n_valid, row->n_frames);
    if (row->state && row->state->broken)
        return conure_fail(err, CONURE_UNSUPPORTED, "row %u: the cache lost rows in the step before (a negative keep under NeMo's rule, "
                           "where NeMo fails too); use longer slices or the clamped rule", i);
    if (row->state && row->state->in_step)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: its state is that of a row before it", i);
    if (row->out && (int64_t)row->n_out_cap < frames)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: room for %u encoder frames, %lld come out", i, row->n_out_cap, (long long)frames);
    return CONURE_OK;
}

static void copy_out(const conure_ref_step *s, float *dst)
{
    const size_t n = (size_t)s->n_rows * s->r->config->d_model;
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)s->x[i];
}

static conure_status show(const conure_ref_step *s, const char *name, uint32_t index)
{
    if (!s->r->probe)
        return CONURE_OK;
    const size_t n = (size_t)s->n_rows * s->r->config->d_model;
    float *floats = conure_calloc(n + 1, sizeof *floats);
    if (!floats)
        return conure_fail_memory(s->err, "a probe", n * sizeof *floats);
    copy_out(s, floats);
    s->r->probe(s->r->probe_user, name, index, floats, (uint32_t)s->n_rows, s->r->config->d_model);
    free(floats);
    return CONURE_OK;
}

/* The layers of row `index`, whose x is there. */
static conure_status run_layers(conure_ref_step *s, uint32_t index, uint32_t n)
{
    conure_ref *r = s->r;
    conure_status status = show(s, "subsampling", index);
    for (uint32_t i = 0; i < r->config->n_layers && status == CONURE_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer.%u", i);
        if (r->progress && !r->progress(r->progress_user, (index + (double)i / r->config->n_layers) / n))
            status = conure_fail(s->err, CONURE_CANCELLED, "cancelled before layer %u", i);
        if (status == CONURE_OK)
            status = conure_ref_layer_run(s, i);
        conure_blocks_free(&s->arena);
        if (status == CONURE_OK && conure_cancelled(r->cancel))
            status = conure_fail(s->err, CONURE_CANCELLED, "cancelled in layer %u", i);
        if (status == CONURE_OK)
            status = show(s, name, index);
    }
    return status;
}

/* One row of the batch: as it would be alone. */
static conure_status encode_row(conure_ref *r, conure_encode_row *row, uint32_t index, uint32_t n, conure_error *err)
{
    const int64_t frames = conure_ref_frames(row->n_frames), valid = conure_ref_frames(row->n_valid), drop = row->drop_first;
    conure_ref_step s = {.r = r, .row = row, .state = row->state, .err = err,
                         .n_rows = frames > drop ? frames - drop : 0, .n_valid = valid > drop ? valid - drop : 0};
    if (row->state) {
        s.n_past = row->state->options.cache_rows;
        s.n_past_valid = row->state->length;
    }
    row->n_out = (uint32_t)s.n_rows;
    row->n_out_valid = (uint32_t)s.n_valid;
    if (s.n_rows + s.n_past == 0)
        return CONURE_OK;
    s.x = conure_calloc((size_t)s.n_rows * r->config->d_model + 1, sizeof *s.x);
    if (!s.x)
        return conure_fail_memory(err, "a step", (size_t)s.n_rows * r->config->d_model * sizeof *s.x);
    conure_status status = conure_ref_front_run(&s);
    if (status == CONURE_OK)
        status = run_layers(&s, index, n);
    if (status == CONURE_OK && row->out)
        copy_out(&s, row->out);
    free(s.x);
    return status;
}

static conure_status ref_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    uint32_t checked = 0;
    conure_status status = CONURE_OK;
    if (n > ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a batch of %u: at most %u are supported", n, ROWS_MAX);
    for (; checked < n && status == CONURE_OK; checked++) {
        status = check_row(&rows[checked], checked, err);
        if (status != CONURE_OK)
            break;
        if (rows[checked].state)
            rows[checked].state->in_step = true;
    }
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = encode_row(self, &rows[i], i, n, err);
    for (uint32_t i = 0; i < checked; i++) {
        conure_state *state = rows[i].state;
        if (!state)
            continue;
        state->in_step = false;
        if (status == CONURE_OK && state->options.cache_rows + rows[i].n_out) /* else nothing has moved */
            conure_ref_state_commit(state, rows[i].n_out);
    }
    return status;
}

/* One row at a time: the longest counts.  A layer's matrices, the images of a piece of the subsampling, and the positions. */
static uint64_t ref_encode_bytes(const void *self, const uint32_t *mel_frames, uint32_t n)
{
    const conure_ref *r = self;
    const conure_config *c = r->config;
    int64_t longest = 0;
    for (uint32_t i = 0; i < n; i++)
        longest = conure_ref_frames(mel_frames[i]) > longest ? conure_ref_frames(mel_frames[i]) : longest;
    const uint64_t rows = (uint64_t)longest, d = c->d_model;
    const uint64_t columns = 20 * d + 2 * (uint64_t)c->ff_width + 2 * (uint64_t)conure_pool_threads(r->pool);
    const uint64_t images = 140 * (uint64_t)c->mel_bins * c->subsampling_channels;
    const uint64_t tables = 2 * (rows + 64) * d * (uint64_t)(c->n_layers + 2);
    return (rows * columns + images + tables) * sizeof(double);
}

const conure_engine conure_engine_reference = {
    .name = "ref",
    .precision = CONURE_PRECISION_F64,
    .open = ref_open,
    .close = ref_close,
    .describe = ref_describe,
    .set_probe = ref_set_probe,
    .encode_bytes = ref_encode_bytes,
    .encode = ref_encode,
    .state_open = conure_ref_state_open,
    .state_close = conure_ref_state_close,
    .state_reset = conure_ref_state_reset,
    .state_export = conure_ref_state_export,
    .state_import = conure_ref_state_import,
    .state_bytes = conure_ref_state_bytes,
    .state_length = conure_ref_state_length,
    .state_save = conure_ref_state_save,
    .state_load = conure_ref_state_load,
    .project = conure_ref_project,
    .predict = conure_ref_predict,
    .joint = conure_ref_joint,
};

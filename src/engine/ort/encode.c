/* encode.c - one step of a batch of rows.
 *
 * Rows that one run can take together go together: those of one kind of state with as many frames, or whole utterances of
 * about the same length.  A stream alone has its caches bound where they are, in and out; several are brought side by side
 * and back.  Nothing changes before all of them are done. */
#include "engine/ort/ort.h"

#include "base/memory.h"
#include "base/threads.h"
#include "model/graphs.h"
#include "onnx/encoder.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 4096, MEL_FRAMES_MAX = 1 << 24, GROUP_MAX = 64 };

typedef struct job {
    conure_encode_row *row;
    conure_ort_encoder *encoder;
    conure_ort_caches next; /* what the state's caches become */
    int64_t length;
    bool done;
} job;

static uint32_t rows_of(uint32_t mel_frames, uint32_t drop)
{
    const uint32_t frames = mel_frames / CONURE_FACTOR + (mel_frames % CONURE_FACTOR != 0);
    return frames > drop ? frames - drop : 0;
}

static conure_status check_row(const conure_ort *r, const conure_encode_row *row, uint32_t i, conure_error *err)
{
    const uint32_t n_out = rows_of(row->n_frames, row->drop_first);
    const conure_state *state = row->state;
    if (row->n_frames > MEL_FRAMES_MAX)
        return conure_fail(err, CONURE_LIMIT, "row %u: %u mel frames, at most %u are supported", i, row->n_frames, MEL_FRAMES_MAX);
    if (row->n_valid > row->n_frames || (row->n_valid && !row->mel))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: %u valid of %u mel frames", i, row->n_valid, row->n_frames);
    if (r->model->graphs && row->drop_first)
        return conure_fail(err, CONURE_UNSUPPORTED, "row %u: %s drops no frames in front", i, r->model->name);
    if (state && state->in_step)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: its state is that of a row before it", i);
    if (state && state->options.keep_negative && n_out < state->options.drop_rows)
        return conure_fail(err, CONURE_UNSUPPORTED, "row %u: %u rows less %u keep a negative number under NeMo's rule, which the streaming graph "
                           "does not have: use longer slices, the clamped rule, or engine cpu", i, n_out, state->options.drop_rows);
    if (row->out && row->n_out_cap < n_out)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: room for %u encoder frames, %u come out", i, row->n_out_cap, n_out);
    return CONURE_OK;
}

/* ---- a group ---------------------------------------------------------------------------------- */

typedef struct group {
    conure_ort *r;
    conure_ort_encoder *encoder;
    job *jobs[GROUP_MAX];
    uint32_t n, n_frames, n_out; /* of the longest row */
    int64_t valid[GROUP_MAX], cached[GROUP_MAX], valid_out[GROUP_MAX], cached_out[GROUP_MAX];
    conure_error *err;
} group;

/* One utterance is padded to another's length where that costs at most an eighth. */
static bool goes_with(const group *g, const job *j)
{
    const conure_encode_row *first = g->jobs[0]->row;
    if (j->done || j->encoder != g->encoder || j->row->drop_first != first->drop_first || g->n == GROUP_MAX)
        return false;
    if (j->row->state)
        return j->row->n_frames == first->n_frames && !g->r->device;
    const uint64_t longest = g->n_frames > j->row->n_frames ? g->n_frames : j->row->n_frames;
    for (uint32_t i = 0; i < g->n; i++)
        if (longest * 8 > (uint64_t)g->jobs[i]->row->n_frames * 9)
            return false;
    return longest * 8 <= (uint64_t)j->row->n_frames * 9;
}

static void join(group *g, job *j)
{
    const conure_encode_row *row = j->row;
    g->valid[g->n] = row->n_valid;
    g->cached[g->n] = row->state ? row->state->length : 0;
    g->jobs[g->n++] = j;
    if (row->n_frames > g->n_frames) {
        g->n_frames = row->n_frames;
        g->n_out = row->n_out;
    }
}

/* [T][mel] of each row to [B][mel][T], zeros where a row is padding. */
static conure_status put_features(group *g)
{
    const size_t bins = g->r->config->mel_bins, t = g->n_frames;
    CONURE_TRY(conure_ort_room_fit(&g->r->mel, g->n * bins * t, "a step's features", g->err));
    memset(g->r->mel.data, 0, g->n * bins * t * sizeof(float));
    for (uint32_t i = 0; i < g->n; i++) {
        const conure_encode_row *row = g->jobs[i]->row;
        float *dst = g->r->mel.data + i * bins * t;
        for (size_t f = 0; f < row->n_valid; f++)
            for (size_t b = 0; b < bins; b++)
                dst[b * t + f] = row->mel[f * bins + b];
    }
    return CONURE_OK;
}

/* [B][d][T'] to [T'][d] of each row. */
static void take_frames(const group *g)
{
    const size_t d = g->r->config->d_model, t = g->n_out;
    for (uint32_t i = 0; i < g->n; i++) {
        conure_encode_row *row = g->jobs[i]->row;
        const float *src = g->r->out.data + i * d * t;
        const int64_t valid = g->valid_out[i] < 0 ? 0 : g->valid_out[i]; /* a graph's word: not beyond what there is */
        row->n_out_valid = valid < row->n_out ? (uint32_t)valid : row->n_out;
        for (size_t f = 0; row->out && f < row->n_out; f++)
            for (size_t k = 0; k < d; k++)
                row->out[f * d + k] = src[k * t + f];
    }
}

/* The caches of all streams side by side, in the rooms for what goes in; or back from those of what came out. */
static conure_status gather(group *g)
{
    const conure_ort_caches *first = &g->jobs[0]->row->state->caches;
    const size_t floats[2] = {first->channel.floats, first->time.floats};
    for (uint32_t i = 0; i < 4; i++)
        CONURE_TRY(conure_ort_room_fit(&g->r->batch[i], g->n * floats[i / 2], "a batch's caches", g->err));
    for (uint32_t i = 0; i < g->n; i++) {
        const conure_ort_caches *caches = &g->jobs[i]->row->state->caches;
        memcpy(g->r->batch[0].data + i * floats[0], caches->channel.host, floats[0] * sizeof(float));
        memcpy(g->r->batch[2].data + i * floats[1], caches->time.host, floats[1] * sizeof(float));
    }
    return CONURE_OK;
}

static void scatter(const group *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        conure_ort_caches *next = &g->jobs[i]->next;
        memcpy(next->channel.host, g->r->batch[1].data + i * next->channel.floats, next->channel.floats * sizeof(float));
        memcpy(next->time.host, g->r->batch[3].data + i * next->time.floats, next->time.floats * sizeof(float));
    }
}

static void bind_caches(group *g, conure_ort_call *call)
{
    const conure_contract *names = &g->r->names;
    const conure_ort_caches *now = &g->jobs[0]->row->state->caches, *next = &g->jobs[0]->next;
    const int64_t lengths[1] = {g->n};
    if (g->n == 1) {
        conure_ort_bind_value(call, true, names->names[CONURE_ROLE_CHANNEL_IN], now->channel.value);
        conure_ort_bind_value(call, true, names->names[CONURE_ROLE_TIME_IN], now->time.value);
        conure_ort_bind_value(call, false, names->names[CONURE_ROLE_CHANNEL_OUT], next->channel.value);
        conure_ort_bind_value(call, false, names->names[CONURE_ROLE_TIME_OUT], next->time.value);
    } else {
        const int64_t *c = now->channel.shape, *t = now->time.shape, channel[4] = {g->n, c[1], c[2], c[3]}, time[4] = {g->n, t[1], t[2], t[3]};
        conure_ort_bind(call, true, names->names[CONURE_ROLE_CHANNEL_IN], CONURE_ONNX_FLOAT, g->r->batch[0].data, 4, channel);
        conure_ort_bind(call, false, names->names[CONURE_ROLE_CHANNEL_OUT], CONURE_ONNX_FLOAT, g->r->batch[1].data, 4, channel);
        conure_ort_bind(call, true, names->names[CONURE_ROLE_TIME_IN], CONURE_ONNX_FLOAT, g->r->batch[2].data, 4, time);
        conure_ort_bind(call, false, names->names[CONURE_ROLE_TIME_OUT], CONURE_ONNX_FLOAT, g->r->batch[3].data, 4, time);
    }
    conure_ort_bind(call, true, names->names[CONURE_ROLE_CACHE_LENGTH_IN], CONURE_ONNX_INT64, g->cached, 1, lengths);
    conure_ort_bind(call, false, names->names[CONURE_ROLE_CACHE_LENGTH_OUT], CONURE_ONNX_INT64, g->cached_out, 1, lengths);
}

static conure_status run(group *g)
{
    conure_ort *r = g->r;
    const conure_contract *names = &r->names;
    const conure_config *c = r->config;
    const bool streaming = g->encoder->options.cache_rows != 0;
    const conure_model_graphs *foreign = r->model->graphs;
    const char *in[2] = {names->names[CONURE_ROLE_FEATURES], names->names[CONURE_ROLE_LENGTH]};
    const char *outs[2] = {streaming ? names->names[CONURE_ROLE_ENCODER] : "outputs", names->names[CONURE_ROLE_ENCODED_LENGTH]};
    const int64_t audio[3] = {g->n, c->mel_bins, g->n_frames}, lengths[1] = {g->n}, one[1] = {1}, out[3] = {g->n, c->d_model, g->n_out};
    int64_t drop = g->jobs[0]->row->drop_first;
    for (int i = 0; foreign && i < 2; i++) {
        in[i] = foreign->encoder.facts.inputs[i].name;
        outs[i] = foreign->encoder.facts.outputs[i].name;
    }
    conure_ort_call call = conure_ort_call_begin(r, &g->encoder->session, g->err);
    conure_ort_bind(&call, true, in[0], CONURE_ONNX_FLOAT, r->mel.data, 3, audio);
    conure_ort_bind(&call, true, in[1], CONURE_ONNX_INT64, g->valid, 1, lengths);
    if (!foreign)
        conure_ort_bind(&call, true, CONURE_ENCODER_DROP, CONURE_ONNX_INT64, &drop, 1, one);
    conure_ort_bind(&call, false, outs[0], CONURE_ONNX_FLOAT, r->out.data, 3, out);
    conure_ort_bind(&call, false, outs[1], CONURE_ONNX_INT64, g->valid_out, 1, lengths);
    if (streaming)
        bind_caches(g, &call);
    return conure_ort_call_run(&call, "the encoder");
}

static conure_status run_group(group *g)
{
    const bool streaming = g->encoder->options.cache_rows != 0;
    CONURE_TRY(conure_ort_encoder_fit(g->r, g->encoder, g->n_frames, g->err));
    for (uint32_t i = 0; i < g->n && streaming; i++)
        CONURE_TRY(conure_ort_encoder_take(g->r, g->encoder, &g->jobs[i]->next, g->err));
    CONURE_TRY(put_features(g));
    CONURE_TRY(conure_ort_room_fit(&g->r->out, (size_t)g->n * g->n_out * g->r->config->d_model, "a step's frames", g->err));
    if (streaming && g->n > 1)
        CONURE_TRY(gather(g));
    CONURE_TRY(run(g));
    take_frames(g);
    if (streaming && g->n > 1)
        scatter(g);
    for (uint32_t i = 0; i < g->n; i++) {
        g->jobs[i]->length = g->cached_out[i];
        g->jobs[i]->done = true;
    }
    return CONURE_OK;
}

/* A step that gives no row runs no graph.  Under NeMo's rule zeros still enter the time cache. */
static conure_status run_empty(conure_ort *r, job *j, conure_error *err)
{
    const conure_state *state = j->row->state;
    j->row->n_out_valid = 0;
    j->done = true;
    if (!state)
        return CONURE_OK;
    j->length = state->length;
    const size_t left = r->config->conv_left, right = r->config->conv_right, drop = state->options.drop_rows;
    if (state->options.time_cache_aligned || right <= drop)
        return CONURE_OK;
    const size_t shift = right - drop < left ? right - drop : left;
    const size_t channel_floats = state->caches.channel.floats, floats = state->caches.time.floats;
    float *caches = conure_calloc(channel_floats + 2 * floats, sizeof *caches);
    if (!caches)
        return conure_fail_memory(err, "a step", (channel_floats + 2 * floats) * sizeof *caches);
    float *time = caches + channel_floats, *moved = time + floats;
    conure_status status = conure_ort_encoder_take(r, j->encoder, &j->next, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_read(r, &state->caches.channel, caches, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_read(r, &state->caches.time, time, err);
    for (size_t i = 0; i < floats; i += left)
        memcpy(moved + i, time + i + shift, (left - shift) * sizeof *time);
    if (status == CONURE_OK)
        status = conure_ort_tensor_write(r, &j->next.channel, caches, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_write(r, &j->next.time, moved, err);
    free(caches);
    return status;
}

/* ---- the whole step --------------------------------------------------------------------------- */

static conure_status prepare(conure_ort *r, job *jobs, conure_encode_row *rows, uint32_t n, uint32_t *checked, conure_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        CONURE_TRY(check_row(r, &rows[i], i, err));
        rows[i].n_out = rows_of(rows[i].n_frames, rows[i].drop_first);
        jobs[i].row = &rows[i];
        jobs[i].encoder = rows[i].state ? rows[i].state->encoder : NULL;
        if (!rows[i].state)
            CONURE_TRY(conure_ort_encoder_get(r, &jobs[i].encoder, NULL, err));
        else
            rows[i].state->in_step = true;
        *checked = i + 1;
    }
    return CONURE_OK;
}

static conure_status run_all(conure_ort *r, job *jobs, uint32_t n, conure_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        group g = {.r = r, .encoder = jobs[i].encoder, .err = err};
        if (r->options.progress && !r->options.progress(r->options.progress_user, (double)i / n))
            return conure_fail(err, CONURE_CANCELLED, "cancelled before row %u", i);
        if (jobs[i].done)
            continue;
        if (jobs[i].row->n_out == 0) {
            CONURE_TRY(run_empty(r, &jobs[i], err));
            continue;
        }
        join(&g, &jobs[i]);
        for (uint32_t k = i + 1; k < n; k++)
            if (jobs[k].row->n_out && goes_with(&g, &jobs[k]))
                join(&g, &jobs[k]);
        CONURE_TRY(run_group(&g));
    }
    return CONURE_OK;
}

conure_status conure_ort_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    conure_ort *r = self;
    uint32_t checked = 0;
    if (n == 0)
        return CONURE_OK;
    if (n > ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a batch of %u: at most %u are supported", n, ROWS_MAX);
    job *jobs = conure_calloc(n, sizeof *jobs);
    conure_status status = jobs ? prepare(r, jobs, rows, n, &checked, err) : conure_fail_memory(err, "a step", n * sizeof *jobs);
    if (status == CONURE_OK)
        status = run_all(r, jobs, n, err);
    for (uint32_t i = 0; i < checked; i++) {
        conure_state *state = rows[i].state;
        if (!state)
            continue;
        state->in_step = false;
        if (status == CONURE_OK && jobs[i].next.channel.value) {
            const conure_ort_caches old = state->caches;
            state->caches = jobs[i].next;
            jobs[i].next = old;
        }
        if (status == CONURE_OK)
            state->length = jobs[i].length;
        if (jobs[i].next.channel.value)
            conure_ort_encoder_give(r, jobs[i].encoder, &jobs[i].next);
    }
    free(jobs);
    return status;
}

/* Of the longest row of a group, times the rows that go with it: the two images of the subsampling that are there at once,
 * the scores of one layer in the five forms that they take, with the positions of all pairs twice as wide, and a layer's rows;
 * the session's own plan of memory rounds up. */
uint64_t conure_ort_encode_bytes(const void *self, const uint32_t *mel_frames, uint32_t n)
{
    const conure_config *c = ((const conure_ort *)self)->config;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t t = mel_frames[i], rows = rows_of(mel_frames[i], 0);
        if (rows > 1 << 20)
            return UINT64_MAX;
        const uint64_t images = 2 * (t / 2 + 1) * (c->mel_bins / 2 + 1) * c->subsampling_channels;
        const uint64_t scores = 9 * c->n_heads * rows * rows, wide = rows * (4 * (uint64_t)c->ff_width + 12 * (uint64_t)c->d_model);
        bytes += (images > scores + wide ? images : scores + wide) * sizeof(float);
    }
    return bytes;
}

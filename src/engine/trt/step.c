/* step.c - encoder steps of the engine "trt": rows that can go together are put into one run of a plan.
 *
 * Features go to the GPU and the encoder's output comes back; caches stay there.  Of one stream the plan reads and writes the stream's own
 * memory, which two runs recorded as graphs do, one for each direction; of several the caches are gathered into a batch and put back. */
#include "engine/trt/engine.h"

#include "base/files.h"
#include "base/inject.h"
#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 4096,   /* of one call, as the other engines have it */
    OFFLINE_STEP = 64, /* offline slices are padded to a multiple of so many mel frames, so that few shapes are needed */
};

/* Places in the integers of a slot. */
enum { LENGTH = 0, CACHE_LENGTH_IN, ENCODED_LENGTH, CACHE_LENGTH_OUT, INTEGERS };

static uint32_t frames_of(uint32_t mel_frames, uint32_t drop)
{
    const uint32_t n = mel_frames / 8 + (mel_frames % 8 != 0);
    return n > drop ? n - drop : 0;
}

/* ---- plans ------------------------------------------------------------------------------------ */

/* Could be run by this plan, whatever its length. */
static bool of_kind(const conure_plan_side *s, const conure_encode_row *row)
{
    if (s->streaming != (row->state != NULL) || s->drop_first != row->drop_first)
        return false;
    return !row->state || conure_trt_takes_state(s, row->state);
}

/* Mel frames that a plan is run with for so many: of a stream those, but for its end, which may be shorter than any plan. */
static uint32_t padded(const conure_plan_side *s, uint32_t n_frames)
{
    if (s->streaming)
        return n_frames < s->t[0] ? s->t[0] : n_frames;
    const uint32_t up = (n_frames + OFFLINE_STEP - 1) / OFFLINE_STEP * OFFLINE_STEP;
    return up > s->t[2] ? s->t[2] : up < s->t[0] ? s->t[0] : up;
}

/* Of two plans that take a row of so many frames of a call with n: the one that is run with fewer frames; then the narrower range of them,
 * then the batch that n fit into with the least left over, or the largest; and of equal ones the fused. */
static bool suits_better(const conure_plan_side *a, const conure_plan_side *b, uint32_t n_frames, uint32_t n)
{
    const uint32_t run_a = padded(a, n_frames), run_b = padded(b, n_frames), range_a = a->t[2] - a->t[0], range_b = b->t[2] - b->t[0];
    const bool fits_a = a->b[2] >= n, fits_b = b->b[2] >= n;
    if (run_a != run_b)
        return run_a < run_b;
    if (range_a != range_b)
        return range_a < range_b;
    if (fits_a != fits_b)
        return fits_a;
    if (a->b[2] == b->b[2])
        return b->by_layer && !a->by_layer;
    return fits_a ? a->b[2] < b->b[2] : a->b[2] > b->b[2];
}

static conure_trt_ready *plan_for(conure_trt_engine *e, const conure_encode_row *row, uint32_t n)
{
    conure_trt_ready *best = NULL;
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        if (!of_kind(s, row) || row->n_frames > s->t[2] || (s->streaming && !row->last && row->n_frames < s->t[0]))
            continue;
        if (!best || suits_better(s, &best->found.side, row->n_frames, n))
            best = &e->ready[i];
    }
    return best;
}

static conure_status no_plan(const conure_trt_engine *e, uint32_t index, const conure_encode_row *row, conure_error *err)
{
    char kinds[120] = "", command[CONURE_LONGER_BYTES];
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        const size_t n = strlen(kinds);
        if (n + 40 < sizeof kinds)
            snprintf(kinds + n, sizeof kinds - n, "%s%s %u..%u drop %u", n ? ", " : "", s->streaming ? "step" : "offline", s->t[0], s->t[2],
                     s->drop_first);
    }
    if (!row->state) {
        conure_trt_advise_offline(e, row->n_frames, command);
        return conure_fail(err, CONURE_LIMIT, "row %u: no plan takes %u mel frames offline (there are: %s): %s%s", index, row->n_frames, kinds,
                           command[0] ? command : "cut the audio, no plan can take as many", command[0] ? " makes one" : "");
    }
    conure_trt_advise_steps(e, command);
    return conure_fail(err, CONURE_LIMIT, "row %u: no plan takes a step of %u mel frames with %u encoder frames dropped, a cache of %u rows and %u "
                       "of look-ahead (there are: %s): %s makes one, of a contract of such steps (conure contract derive)", index, row->n_frames,
                       row->drop_first, row->state->options.cache_rows, row->state->options.drop_rows, kinds, command);
}

uint32_t conure_trt_offline_max(const conure_trt_engine *e)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        if (!s->streaming && s->t[2] > most)
            most = s->t[2];
    }
    return most;
}

static bool is_cache(conure_plan_tensor t)
{
    return t == CONURE_PLAN_CHANNEL_IN || t == CONURE_PLAN_TIME_IN || t == CONURE_PLAN_CHANNEL_OUT || t == CONURE_PLAN_TIME_OUT;
}

/* Names and element types of what a step binds. */
static conure_status check_tensors(conure_trt_ready *r, conure_error *err)
{
    const conure_plan_side *s = &r->found.side;
    for (conure_plan_tensor t = 0; t < CONURE_PLAN_TENSORS; t++) {
        const bool used = s->streaming || t == CONURE_PLAN_FEATURES || t == CONURE_PLAN_LENGTH || t == CONURE_PLAN_ENCODER ||
                          t == CONURE_PLAN_ENCODED_LENGTH;
        const bool integer = t == CONURE_PLAN_LENGTH || t == CONURE_PLAN_CACHE_LENGTH_IN || t == CONURE_PLAN_ENCODED_LENGTH ||
                             t == CONURE_PLAN_CACHE_LENGTH_OUT;
        uint32_t bytes = 0;
        if (!used)
            continue;
        if (!conure_trt_plan_tensor(r->plan, s->names[t], t < CONURE_PLAN_ENCODER, &bytes))
            return conure_fail(err, CONURE_BAD_FILE, "%s.plan has no tensor %s, which its side file names", r->found.path, s->names[t]);
        if (t == CONURE_PLAN_LENGTH)
            r->integer_bytes = bytes;
        if (bytes != (integer ? r->integer_bytes : is_cache(t) && s->caches_f16 ? sizeof(uint16_t) : sizeof(float)))
            return conure_fail(err, CONURE_UNSUPPORTED, "%s.plan: %s has elements of %u bytes", r->found.path, s->names[t], bytes);
    }
    return CONURE_OK;
}

static conure_status bring(conure_trt_engine *e, conure_trt_ready *r, conure_error *err)
{
    char path[PATH_MAX], hex[65];
    conure_sha256 sha;
    conure_map map;
    if (r->plan)
        return CONURE_OK;
    if (snprintf(path, sizeof path, "%s.plan", r->found.path) >= (int)sizeof path)
        return conure_fail(err, CONURE_LIMIT, "%s: the path is too long", r->found.path);
    CONURE_TRY(conure_map_open(&map, path, err));
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, map.data, map.bytes);
    conure_sha256_hex(&sha, hex);
    conure_status status = CONURE_OK;
    if (map.bytes != r->found.side.plan_bytes || strcmp(hex, r->found.side.plan_sha256) != 0)
        status = conure_fail(err, CONURE_BAD_FILE, "%s is not the plan that its side file describes (%llu bytes, expected %llu): build it again",
                             path, (unsigned long long)map.bytes, (unsigned long long)r->found.side.plan_bytes);
    if (status == CONURE_OK)
        status = conure_trt_plan_open(e->trt, &r->plan, map.data, map.bytes, err);
    conure_map_close(&map);
    if (status == CONURE_OK)
        status = check_tensors(r, err);
    if (status != CONURE_OK && r->plan)
        conure_trt_plan_close(&r->plan);
    return status;
}

/* ---- slots ------------------------------------------------------------------------------------ */

static void slot_close(conure_trt_engine *e, conure_trt_slot *s)
{
    (void)conure_trt_wait(e->trt, NULL); /* a step that failed half-way may still run */
    conure_trt_graph_free(&s->graph);
    conure_trt_context_close(&s->context);
    void *const device[] = {s->features, s->encoder, s->integers, s->channel[0], s->channel[1], s->time[0], s->time[1]};
    void *const host[] = {s->host_features, s->host_encoder, s->host_integers};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++)
        if (device[i])
            conure_trt_free(e->trt, device[i]);
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        if (host[i])
            conure_trt_free_host(e->trt, host[i]);
    *s = (conure_trt_slot){0};
}

void conure_trt_slots_close(conure_trt_engine *e)
{
    for (int i = 0; i < CONURE_TRT_SLOTS; i++)
        if (e->slots[i].ready)
            slot_close(e, &e->slots[i]);
}

static conure_status take(conure_trt_engine *e, bool host, void *out, size_t bytes, conure_error *err)
{
    void *memory = NULL;
    const conure_status status = host ? conure_trt_alloc_host(e->trt, &memory, bytes, err) : conure_trt_alloc(e->trt, &memory, bytes, err);
    memcpy(out, &memory, sizeof memory);
    return status;
}

static conure_status slot_fill(conure_trt_engine *e, conure_trt_slot *s, conure_error *err)
{
    const conure_plan_side *side = &s->ready->found.side;
    const size_t features = (size_t)s->batch * e->config->mel_bins * s->n_frames * sizeof(float);
    const size_t encoder = (size_t)s->batch * e->config->d_model * s->n_rows * sizeof(float), integers = (size_t)INTEGERS * s->batch * sizeof(int64_t);
    CONURE_TRY(bring(e, s->ready, err));
    CONURE_TRY(conure_trt_context_open(s->ready->plan, &s->context, err));
    CONURE_TRY(take(e, false, &s->features, features, err));
    CONURE_TRY(take(e, false, &s->encoder, encoder, err));
    CONURE_TRY(take(e, false, &s->integers, integers, err));
    CONURE_TRY(take(e, true, &s->host_features, features, err));
    CONURE_TRY(take(e, true, &s->host_encoder, encoder, err));
    CONURE_TRY(take(e, true, &s->host_integers, integers, err));
    for (int i = 0; i < 2 && side->streaming && s->batch > 1; i++) {
        const size_t channel = s->batch * conure_trt_channel_bytes(e, &side->caches, side->caches_f16);
        const size_t time = s->batch * conure_trt_time_bytes(e, side->caches_f16);
        CONURE_TRY(take(e, false, &s->channel[i], channel, err));
        CONURE_TRY(take(e, false, &s->time[i], time, err));
        CONURE_TRY(conure_trt_zero(e->trt, s->channel[i], channel, err)); /* of rows that are made up */
        CONURE_TRY(conure_trt_zero(e->trt, s->time[i], time, err));
    }
    return CONURE_OK;
}

/* The slot of a plan at these shapes; the one that was not used for longest gives way. */
static conure_status slot_for(conure_trt_engine *e, conure_trt_ready *r, uint32_t n_frames, uint32_t batch, conure_trt_slot **out, conure_error *err)
{
    conure_trt_slot *s = &e->slots[0];
    for (int i = 0; i < CONURE_TRT_SLOTS; i++) {
        conure_trt_slot *at = &e->slots[i];
        if (at->ready == r && at->n_frames == n_frames && at->batch == batch) {
            at->used = ++e->n_used;
            *out = at;
            return CONURE_OK;
        }
        if (at->used < s->used)
            s = at;
    }
    if (s->ready)
        slot_close(e, s);
    *s = (conure_trt_slot){.ready = r, .n_frames = n_frames, .n_rows = frames_of(n_frames, r->found.side.drop_first), .batch = batch,
                           .serial = ++e->n_serials, .used = ++e->n_used};
    const conure_status status = slot_fill(e, s, err);
    if (status != CONURE_OK)
        slot_close(e, s);
    *out = s;
    return status;
}

/* ---- integers --------------------------------------------------------------------------------- */

static void put_integer(const conure_trt_slot *s, int which, uint32_t row, int64_t value)
{
    const int32_t narrow = (int32_t)value;
    const size_t at = (size_t)which * s->batch + row;
    if (s->ready->integer_bytes == 4)
        memcpy((int32_t *)s->host_integers + at, &narrow, sizeof narrow);
    else
        memcpy((int64_t *)s->host_integers + at, &value, sizeof value);
}

static int64_t get_integer(const conure_trt_slot *s, int which, uint32_t row)
{
    const size_t at = (size_t)which * s->batch + row;
    return s->ready->integer_bytes == 4 ? ((const int32_t *)s->host_integers)[at] : ((const int64_t *)s->host_integers)[at];
}

static void *integer_address(const conure_trt_slot *s, int which)
{
    return (uint8_t *)s->integers + (size_t)which * s->batch * s->ready->integer_bytes;
}

/* ---- one run ---------------------------------------------------------------------------------- */

/* Rows of a call that go into one run; the plan may want more than there are, which are silence. */
typedef struct group {
    conure_trt_engine *e;
    conure_trt_slot *slot;
    conure_encode_row **rows;
    uint32_t n;
} group;

/* to [cols][rows_to] of from [rows][stride]; rows beyond are zeros.  In tiles, so that neither side is walked against its lines. */
static void turn(float *to, size_t rows_to, const float *from, size_t rows, size_t cols, size_t stride)
{
    enum { TILE = 16 };
    for (size_t i0 = 0; i0 < rows_to; i0 += TILE)
        for (size_t j0 = 0; j0 < cols; j0 += TILE)
            for (size_t j = j0; j < cols && j < j0 + TILE; j++)
                for (size_t i = i0; i < rows_to && i < i0 + TILE; i++)
                    to[j * rows_to + i] = i < rows ? from[i * stride + j] : 0;
}

/* to [rows_to][cols] of from [rows][cols]; rows beyond are zeros. */
static void put_rows(float *to, size_t rows_to, const float *from, size_t rows, size_t cols)
{
    if (rows)
        memcpy(to, from, rows * cols * sizeof *to);
    memset(to + rows * cols, 0, (rows_to - rows) * cols * sizeof *to);
}

static conure_status send(const group *g, conure_error *err)
{
    const conure_trt_slot *s = g->slot;
    const size_t image = (size_t)g->e->config->mel_bins * s->n_frames;
    for (uint32_t i = 0; i < g->n; i++) {
        const conure_encode_row *row = g->rows[i];
        float *to = s->host_features + i * image;
        if (s->ready->found.side.io_rows)
            put_rows(to, s->n_frames, row->mel, row->n_valid, g->e->config->mel_bins);
        else
            turn(to, s->n_frames, row->mel, row->n_valid, g->e->config->mel_bins, g->e->config->mel_bins);
        put_integer(s, LENGTH, i, row->n_valid);
        put_integer(s, CACHE_LENGTH_IN, i, row->state ? row->state->length : 0);
    }
    memset(s->host_features + g->n * image, 0, (s->batch - g->n) * image * sizeof(float));
    for (uint32_t i = g->n; i < s->batch; i++) {
        put_integer(s, LENGTH, i, s->n_frames);
        put_integer(s, CACHE_LENGTH_IN, i, 0);
    }
    CONURE_TRY(conure_trt_copy(g->e->trt, s->features, s->host_features, s->batch * image * sizeof(float), err));
    return conure_trt_copy(g->e->trt, s->integers, s->host_integers, 2 * (size_t)s->batch * s->ready->integer_bytes, err);
}

/* Caches of a batch, gathered (in) from the streams or put back (out) to their other halves. */
static conure_status move_caches(const group *g, bool in, conure_error *err)
{
    const conure_plan_side *side = &g->slot->ready->found.side;
    const size_t n_layers = g->e->config->n_layers;
    const size_t sizes[2] = {conure_trt_channel_bytes(g->e, &side->caches, side->caches_f16), conure_trt_time_bytes(g->e, side->caches_f16)};
    for (uint32_t i = 0; i < g->n; i++) {
        conure_state *state = g->rows[CONURE_INJECTED(CACHES_CROSSED) && !in ? (i + 1) % g->n : i]->state;
        const uint32_t half = in ? state->current : !state->current;
        void *const own[2] = {state->channel[half], state->time[half]};
        void *const batch[2] = {g->slot->channel[!in], g->slot->time[!in]};
        for (int t = 0; t < 2; t++) {
            const size_t layer = sizes[t] / n_layers, stride = side->layer_first ? layer * g->slot->batch : layer;
            uint8_t *place = (uint8_t *)batch[t] + i * (side->layer_first ? layer : sizes[t]);
            CONURE_TRY(in ? conure_trt_copy_rows(g->e->trt, place, stride, own[t], layer, layer, n_layers, err)
                          : conure_trt_copy_rows(g->e->trt, own[t], layer, place, stride, layer, n_layers, err));
        }
    }
    return CONURE_OK;
}

/* A cache that comes in: matrices [rows][columns], one of each layer and row of the batch. */
static conure_trt_tensor cache_of(const group *g, conure_plan_tensor which, void *data, uint32_t rows, uint32_t columns)
{
    const conure_plan_side *side = &g->slot->ready->found.side;
    const uint32_t b = g->slot->batch, l = g->e->config->n_layers;
    if (side->cache_matrices)
        return (conure_trt_tensor){side->names[which], data, 2, {b * l * rows, columns}};
    return (conure_trt_tensor){side->names[which], data, 4, {side->layer_first ? l : b, side->layer_first ? b : l, rows, columns}};
}

static uint32_t bind(const group *g, conure_trt_tensor list[CONURE_PLAN_TENSORS])
{
    const conure_trt_slot *s = g->slot;
    const conure_plan_side *side = &s->ready->found.side;
    const conure_config *c = g->e->config;
    const uint32_t b = s->batch;
    uint32_t n = 0;
    list[n++] = side->io_rows ? (conure_trt_tensor){side->names[CONURE_PLAN_FEATURES], s->features, 3, {b, s->n_frames, c->mel_bins}}
                              : (conure_trt_tensor){side->names[CONURE_PLAN_FEATURES], s->features, 3, {b, c->mel_bins, s->n_frames}};
    list[n++] = (conure_trt_tensor){side->names[CONURE_PLAN_LENGTH], integer_address(s, LENGTH), 1, {b}};
    list[n++] = (conure_trt_tensor){.name = side->names[CONURE_PLAN_ENCODER], .data = s->encoder};
    list[n++] = (conure_trt_tensor){.name = side->names[CONURE_PLAN_ENCODED_LENGTH], .data = integer_address(s, ENCODED_LENGTH)};
    if (!side->streaming)
        return n;
    const conure_state *state = g->n == 1 && s->batch == 1 ? g->rows[0]->state : NULL;
    void *const channel_in = state ? state->channel[state->current] : s->channel[0];
    void *const channel_out = state ? state->channel[!state->current] : s->channel[1];
    void *const time_in = state ? state->time[state->current] : s->time[0], *const time_out = state ? state->time[!state->current] : s->time[1];
    list[n++] = cache_of(g, CONURE_PLAN_CHANNEL_IN, channel_in, side->caches.cache_rows, c->d_model);
    list[n++] = side->cache_matrices ? cache_of(g, CONURE_PLAN_TIME_IN, time_in, c->conv_left, c->d_model)
                                     : cache_of(g, CONURE_PLAN_TIME_IN, time_in, c->d_model, c->conv_left);
    list[n++] = (conure_trt_tensor){side->names[CONURE_PLAN_CACHE_LENGTH_IN], integer_address(s, CACHE_LENGTH_IN), 1, {b}};
    list[n++] = (conure_trt_tensor){.name = side->names[CONURE_PLAN_CHANNEL_OUT], .data = channel_out};
    list[n++] = (conure_trt_tensor){.name = side->names[CONURE_PLAN_TIME_OUT], .data = time_out};
    list[n++] = (conure_trt_tensor){.name = side->names[CONURE_PLAN_CACHE_LENGTH_OUT], .data = integer_address(s, CACHE_LENGTH_OUT)};
    return n;
}

/* The first run at these shapes is plain, for TensorRT to settle; then it is recorded once for each set of addresses, and replayed. */
static conure_status launch(const group *g, conure_error *err)
{
    conure_trt_slot *s = g->slot;
    conure_state *state = s->batch == 1 ? g->rows[0]->state : NULL;
    const uint32_t half = state && !CONURE_INJECTED(GRAPH_STALE) ? state->current : 0;
    conure_trt_graph **graph = state ? &state->graphs[half] : &s->graph;
    conure_trt_tensor list[CONURE_PLAN_TENSORS];
    const uint32_t n = bind(g, list);
    if (g->e->part)
        return conure_trt_profile(s->context, list, n, g->e->part, g->e->part_user, err);
    if (state && state->serials[half] != s->serial)
        conure_trt_graph_free(graph);
    if (!*graph && s->has_run && !s->no_graphs) {
        conure_error why = {""};
        const conure_status status = conure_trt_record(s->context, list, n, graph, &why);
        if (status != CONURE_OK)
            return conure_fail(err, status, "%s", why.text);
        s->no_graphs = !*graph;
        if (s->no_graphs && !g->e->said_no_graphs)
            conure_log_write(&g->e->log, CONURE_LOG_WARNING, "engine trt: steps cannot be recorded as a CUDA graph, and take longer (a plan of one T "
                             "and one B can, which conure engine build --fixed makes): %s", why.text);
        g->e->said_no_graphs |= s->no_graphs;
        if (state)
            state->serials[half] = s->serial;
    }
    if (*graph)
        return conure_trt_replay(*graph, err);
    s->has_run = true;
    return conure_trt_run(s->context, list, n, err);
}

/* Valid rows of the cache after a last step that was padded, whose own count is of the slice that it was padded to. */
static int64_t length_of_shorter(const conure_encode_row *row)
{
    const conure_cache_options *caches = &row->state->options;
    const int64_t keep = (int64_t)row->n_out - caches->drop_rows;
    const int64_t length = row->state->length + (keep < 0 && !caches->keep_negative ? 0 : keep);
    return length < caches->cache_rows ? length : caches->cache_rows;
}

static void receive(const group *g)
{
    const conure_trt_slot *s = g->slot;
    const uint32_t d = g->e->config->d_model, drop = s->ready->found.side.drop_first;
    for (uint32_t i = 0; i < g->n; i++) {
        conure_encode_row *row = g->rows[i];
        const float *image = s->host_encoder + (size_t)i * d * s->n_rows;
        const int64_t valid = get_integer(s, ENCODED_LENGTH, i);
        row->n_out = frames_of(row->n_frames, drop);
        row->n_out_valid = valid < 0 ? 0 : valid > row->n_out ? row->n_out : (uint32_t)valid;
        if (row->out && s->ready->found.side.io_rows)
            put_rows(row->out, row->n_out, image, row->n_out, d);
        else if (row->out)
            turn(row->out, d, image, d, row->n_out, s->n_rows);
        if (row->state)
            row->state->next_length = s->n_frames == row->n_frames ? get_integer(s, CACHE_LENGTH_OUT, i) : length_of_shorter(row);
    }
}

static conure_status run_group(const group *g, conure_error *err)
{
    conure_trt_slot *s = g->slot;
    const bool gathers = s->batch > 1 && g->rows[0]->state;
    const size_t integers = (size_t)INTEGERS * s->batch * s->ready->integer_bytes;
    CONURE_TRY(send(g, err));
    if (gathers)
        CONURE_TRY(move_caches(g, true, err));
    CONURE_TRY(conure_trt_mark(g->e->trt, 0, err));
    CONURE_TRY(launch(g, err));
    CONURE_TRY(conure_trt_mark(g->e->trt, 1, err));
    if (gathers)
        CONURE_TRY(move_caches(g, false, err));
    CONURE_TRY(conure_trt_copy(g->e->trt, s->host_encoder, s->encoder, (size_t)g->n * g->e->config->d_model * s->n_rows * sizeof(float), err));
    CONURE_TRY(conure_trt_copy(g->e->trt, s->host_integers, s->integers, integers, err));
    CONURE_TRY(conure_trt_wait(g->e->trt, err));
    double seconds = 0;
    CONURE_TRY(conure_trt_between_marks(g->e->trt, &seconds, err));
    g->e->device_s += seconds;
    receive(g);
    return CONURE_OK;
}

/* ---- a call ----------------------------------------------------------------------------------- */

static conure_status check_row(const conure_encode_row *row, uint32_t i, conure_error *err)
{
    if (row->n_valid > row->n_frames || (row->n_valid && !row->mel))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: %u valid of %u mel frames", i, row->n_valid, row->n_frames);
    if (row->state && row->state->in_step)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: its state is that of a row before it", i);
    if (row->out && row->n_out_cap < frames_of(row->n_frames, row->drop_first))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: room for %u encoder frames, %u come out", i, row->n_out_cap,
                           frames_of(row->n_frames, row->drop_first));
    return CONURE_OK;
}

/* From row `first` on, those that can go with it; done[] says which went before. */
static conure_status run_from(conure_trt_engine *e, conure_encode_row *rows, uint32_t n, uint32_t first, bool *done, conure_encode_row **list,
                              conure_error *err)
{
    conure_trt_ready *ready = plan_for(e, &rows[first], n);
    if (!ready)
        return no_plan(e, first, &rows[first], err);
    const conure_plan_side *side = &ready->found.side;
    const uint32_t n_frames = padded(side, rows[first].n_frames);
    group g = {.e = e, .rows = list};
    for (uint32_t i = first; i < n && g.n < side->b[2]; i++)
        if (!done[i] && plan_for(e, &rows[i], n) == ready && padded(side, rows[i].n_frames) == n_frames) {
            list[g.n++] = &rows[i];
            done[i] = true;
        }
    CONURE_TRY(slot_for(e, ready, n_frames, g.n < side->b[0] ? side->b[0] : g.n, &g.slot, err));
    return run_group(&g, err);
}

static void commit(conure_state *state)
{
    state->length = state->next_length;
    state->current ^= !CONURE_INJECTED(HALF_KEPT);
}

static conure_status run_all(conure_trt_engine *e, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    bool *done = conure_calloc(n + 1, sizeof *done);
    conure_encode_row **list = conure_calloc(n + 1, sizeof *list);
    conure_status status = done && list ? CONURE_OK : conure_fail_memory(err, "a step", n * sizeof *list);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        if (conure_cancelled(e->cancel))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled before row %u", i);
        else if (rows[i].n_frames == 0 && !rows[i].state)
            rows[i].n_out = rows[i].n_out_valid = 0;
        else if (!done[i])
            status = run_from(e, rows, n, i, done, list, err);
    }
    free(done);
    free(list);
    return status;
}

conure_status conure_trt_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    conure_status status = CONURE_OK;
    uint32_t checked = 0;
    ((conure_trt_engine *)self)->device_s = 0;
    if (n > ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a batch of %u: at most %u are supported", n, ROWS_MAX);
    for (; checked < n; checked++) {
        status = check_row(&rows[checked], checked, err);
        if (status != CONURE_OK)
            break;
        if (rows[checked].state)
            rows[checked].state->in_step = true;
    }
    if (status == CONURE_OK)
        status = run_all(self, rows, n, err);
    for (uint32_t i = 0; i < checked; i++)
        if (rows[i].state) {
            rows[i].state->in_step = false;
            if (status == CONURE_OK)
                commit(rows[i].state);
        }
    return status;
}

conure_status conure_trt_encode_profiled(void *self, conure_encode_row *rows, uint32_t n, conure_part_fn fn, void *user, conure_error *err)
{
    conure_trt_engine *e = self;
    e->part = fn;
    e->part_user = user;
    const conure_status status = conure_trt_encode(e, rows, n, err);
    e->part = NULL;
    return status;
}

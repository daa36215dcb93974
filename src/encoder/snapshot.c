/* snapshot.c - states out of the backend and into it: the contract's tensors, and snapshots.
 *
 * Whatever comes in goes into memory of its own and takes the place of the old once all of it is there,
 * so that a failure leaves the state as it was.
 *
 * A snapshot is snapshot_head, then for each layer the rows of the attention cache, oldest first - keys
 * beside values [n_rows][2 d] in the type they are kept in, then with keep_rows [n_rows][d] floats -, then
 * the time cache [n_layers][conv_left][d].  Only the head is checked: any floats are a state. */
#include "encoder/network.h"

#include <stdlib.h>
#include <string.h>

enum { SNAPSHOT_FORMAT = 1 };
static const char MAGIC[8] = "cnrstate";

enum { FLAG_NEGATIVE = 1, FLAG_ALIGNED = 2, FLAG_BF16 = 4, FLAG_ROWS = 8 };

/* In the byte order of the machine, which format gives away. */
typedef struct snapshot_head {
    char magic[8];
    uint32_t format;
    uint32_t n_layers, d_model, conv_left; /* of the model */
    uint32_t cache_rows, drop_rows, flags; /* of the options */
    uint32_t n_rows, broken, reserved;
    int64_t length;
} snapshot_head;

static uint32_t flags_of(const conure_cache_options *o)
{
    return (o->keep_negative ? FLAG_NEGATIVE : 0u) | (o->time_cache_aligned ? FLAG_ALIGNED : 0u) |
           (o->kv_bf16 ? FLAG_BF16 : 0u) | (o->keep_rows ? FLAG_ROWS : 0u);
}

/* What a state of these options and so many rows has as its head, but for the length. */
static snapshot_head head_of(const conure_network *net, const conure_cache_options *o, uint32_t n_rows)
{
    snapshot_head head = {
        .format = SNAPSHOT_FORMAT, .n_layers = net->config->n_layers, .d_model = net->config->d_model,
        .conv_left = net->config->conv_left, .cache_rows = o->cache_rows, .drop_rows = o->drop_rows,
        .flags = flags_of(o), .n_rows = n_rows};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    return head;
}

/* No overflow: that many rows are, or would be, in memory. */
size_t conure_snapshot_bytes(const conure_network *net, const conure_cache_options *options, uint32_t n_rows)
{
    const size_t row = conure_cache_kv_bytes(net, options) + conure_cache_row_bytes(net, options);
    return sizeof(snapshot_head) + net->config->n_layers * (n_rows * row) + conure_state_time_floats(net) * sizeof(float);
}

/* The length that a cache of n_rows rows may have. */
static bool length_possible(int64_t length, uint32_t n_rows)
{
    return length <= (int64_t)n_rows && length >= -(int64_t)UINT32_MAX;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

conure_status conure_network_state_save(conure_network *net, const conure_state *state, void *dst, conure_error *err)
{
    const conure_ring *ring = &state->ring;
    const size_t kv_bytes = conure_cache_kv_bytes(net, &state->options), row_bytes = conure_cache_row_bytes(net, &state->options);
    snapshot_head head = head_of(net, &state->options, ring->n_rows);
    head.broken = state->broken;
    head.length = state->length;
    memcpy(dst, &head, sizeof head);
    uint8_t *to = (uint8_t *)dst + sizeof head;
    conure_run runs[2];
    const uint32_t n_runs = conure_ring_runs(ring, conure_ring_newest(ring, ring->n_rows), ring->n_rows, runs);
    for (uint32_t l = 0; l < net->config->n_layers; l++) {
        for (uint32_t i = 0; i < n_runs; to += runs[i++].n * kv_bytes)
            CONURE_TRY(net->ops->download(net->backend, to, conure_cache_kv(net, state, ring, l, runs[i].slot),
                                          runs[i].n * kv_bytes, err));
        for (uint32_t i = 0; row_bytes && i < n_runs; to += runs[i++].n * row_bytes)
            CONURE_TRY(net->ops->download(net->backend, to, conure_cache_row(net, ring, l, runs[i].slot),
                                          runs[i].n * row_bytes, err));
    }
    return net->ops->download(net->backend, to, state->time[state->current], conure_state_time_floats(net) * sizeof(float), err);
}

static conure_status differs(conure_error *err, const char *what, uint32_t found, uint32_t expected)
{
    return conure_fail(err, CONURE_UNSUPPORTED, "snapshot of a state: %s is %u, here it is %u; it belongs to another model "
                       "or to other options", what, found, expected);
}

static conure_status check_head(const conure_network *net, const conure_state *state, const snapshot_head *head, size_t bytes,
                                conure_error *err)
{
    const snapshot_head want = head_of(net, &state->options, 0);
    if (memcmp(head->magic, want.magic, sizeof want.magic) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: it does not begin with \"%.8s\"", MAGIC);
    if (head->format != want.format)
        return differs(err, "format", head->format, want.format);
    if (head->n_layers != want.n_layers)
        return differs(err, "n_layers", head->n_layers, want.n_layers);
    if (head->d_model != want.d_model)
        return differs(err, "d_model", head->d_model, want.d_model);
    if (head->conv_left != want.conv_left)
        return differs(err, "conv_left", head->conv_left, want.conv_left);
    if (head->cache_rows != want.cache_rows)
        return differs(err, "cache_rows", head->cache_rows, want.cache_rows);
    if (head->drop_rows != want.drop_rows)
        return differs(err, "drop_rows", head->drop_rows, want.drop_rows);
    if (head->flags != want.flags)
        return differs(err, "flags (1 keep_negative, 2 time_cache_aligned, 4 kv_bf16, 8 keep_rows)", head->flags, want.flags);
    if (head->n_rows > head->cache_rows || head->broken > 1 || head->reserved || (head->broken && !(head->flags & FLAG_NEGATIVE)) ||
        !length_possible(head->length, head->broken ? head->cache_rows : head->n_rows))
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %u rows of %u, length %lld, broken %u: no state is so",
                           head->n_rows, head->cache_rows, (long long)head->length, head->broken);
    const size_t whole = conure_snapshot_bytes(net, &state->options, head->n_rows);
    if (bytes != whole)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, with %u rows it has %zu", bytes, head->n_rows, whole);
    return CONURE_OK;
}

/* The rings and the other time cache, filled from what follows the head. */
static conure_status upload(conure_network *net, conure_state *state, conure_ring *ring, const uint8_t *src, conure_error *err)
{
    const size_t kv_bytes = ring->n_rows * conure_cache_kv_bytes(net, &state->options);
    const size_t row_bytes = ring->n_rows * conure_cache_row_bytes(net, &state->options);
    for (uint32_t l = 0; ring->n_rows && l < net->config->n_layers; l++) {
        CONURE_TRY(net->ops->upload(net->backend, conure_cache_kv(net, state, ring, l, 0), src, kv_bytes, err));
        src += kv_bytes;
        if (row_bytes)
            CONURE_TRY(net->ops->upload(net->backend, conure_cache_row(net, ring, l, 0), src, row_bytes, err));
        src += row_bytes;
    }
    CONURE_TRY(net->ops->upload(net->backend, state->time[!state->current], src, conure_state_time_floats(net) * sizeof(float), err));
    return conure_network_wait(net, err);
}

/* The state becomes what the ring and the other time cache hold. */
static void replace(conure_network *net, conure_state *state, const conure_ring *ring, int64_t length, bool broken)
{
    conure_ring_close(net, &state->ring);
    state->ring = *ring;
    state->current = !state->current;
    state->length = length;
    state->broken = broken;
}

conure_status conure_network_state_load(conure_network *net, conure_state *state, const void *src, size_t bytes, conure_error *err)
{
    snapshot_head head;
    conure_ring ring;
    if (bytes < sizeof head)
        return conure_fail(err, CONURE_BAD_FILE, "snapshot of a state: %zu bytes, its head alone has %zu", bytes, sizeof head);
    memcpy(&head, src, sizeof head);
    CONURE_TRY(check_head(net, state, &head, bytes, err));
    CONURE_TRY(conure_ring_open(net, &ring, &state->options, 0, err));
    ring.n_rows = head.n_rows;
    ring.next = head.n_rows; /* there are spare slots behind the cache, unless it has no rows */
    const conure_status status = upload(net, state, &ring, (const uint8_t *)src + sizeof head, err);
    if (status != CONURE_OK) {
        conure_ring_close(net, &ring);
        return status;
    }
    replace(net, state, &ring, head.length, head.broken);
    return CONURE_OK;
}

/* ---- the contract's tensors ------------------------------------------------------------------ */

static conure_status need_rows(const conure_state *state, conure_error *err)
{
    return state->options.keep_rows ? CONURE_OK
                                    : conure_fail(err, CONURE_UNSUPPORTED, "this state keeps keys and values, not the rows of "
                                                  "cache_last_channel: open it with keep_rows to export or import them");
}

conure_status conure_network_state_export(conure_network *net, const conure_state *state, float *last_channel,
                                          float *last_time, int64_t *length, conure_error *err)
{
    const conure_ring *ring = &state->ring;
    const size_t d = net->config->d_model, left = net->config->conv_left, n = conure_state_time_floats(net);
    const size_t cap = state->options.cache_rows, missing = cap - ring->n_rows;
    conure_run runs[2];
    CONURE_TRY(need_rows(state, err));
    const uint32_t n_runs = conure_ring_runs(ring, conure_ring_newest(ring, ring->n_rows), ring->n_rows, runs);
    for (uint32_t l = 0; l < net->config->n_layers; l++) {
        float *dst = last_channel + l * cap * d;
        if (missing)
            memset(dst, 0, missing * d * sizeof *dst);
        for (uint32_t i = 0; i < n_runs; i++)
            CONURE_TRY(net->ops->download(net->backend, dst + (missing + runs[i].row) * d,
                                          conure_cache_row(net, ring, l, runs[i].slot), runs[i].n * d * sizeof *dst, err));
    }
    CONURE_TRY(conure_host_fit(net, n, err));
    CONURE_TRY(net->ops->download(net->backend, net->host, state->time[state->current], n * sizeof(float), err));
    for (size_t l = 0; l < net->config->n_layers; l++)
        for (size_t i = 0; i < left; i++)
            for (size_t k = 0; k < d; k++)
                last_time[(l * d + k) * left + i] = net->host[(l * left + i) * d + k];
    *length = state->length;
    return CONURE_OK;
}

/* All rows of the cache into the ring's first slots, projected to keys and values as a step does it. */
static conure_status project_rows(conure_network *net, const conure_state *state, conure_ring *ring, const float *last_channel,
                                  conure_error *err)
{
    const uint32_t d = net->config->d_model, cap = state->options.cache_rows;
    CONURE_TRY(conure_room_fit(net, &net->key_rows, cap, 2 * (size_t)d, err));
    const conure_rows kv = {net->key_rows.data, 2 * (size_t)d, cap, 2 * d};
    for (uint32_t l = 0; cap && l < net->config->n_layers; l++) {
        const conure_rows rows = {conure_cache_row(net, ring, l, 0), d, cap, d};
        const conure_product products[2] = {{.weight = net->layers[l].key, .dst = {kv.data, kv.stride, cap, d}},
                                            {.weight = net->layers[l].value, .dst = {kv.data + d, kv.stride, cap, d}}};
        const conure_stored stored = {.rows = kv, .data = conure_cache_kv(net, state, ring, l, 0), .stride = kv.cols,
                                      .bf16 = state->options.kv_bf16};
        CONURE_TRY(net->ops->upload(net->backend, rows.data, last_channel + (size_t)l * cap * d, (size_t)cap * d * sizeof(float), err));
        CONURE_TRY(net->ops->linear(net->backend, rows, products, 2, err));
        CONURE_TRY(net->ops->store_rows(net->backend, &stored, 1, err));
    }
    return conure_network_wait(net, err);
}

conure_status conure_network_state_import(conure_network *net, conure_state *state, const float *last_channel,
                                          const float *last_time, int64_t length, conure_error *err)
{
    const size_t d = net->config->d_model, left = net->config->conv_left, n = conure_state_time_floats(net);
    conure_ring ring;
    CONURE_TRY(need_rows(state, err));
    if (!length_possible(length, state->options.cache_rows))
        return conure_fail(err, CONURE_BAD_ARG, "cache length %lld: the cache has %u rows", (long long)length,
                           state->options.cache_rows);
    CONURE_TRY(conure_host_fit(net, n, err));
    for (size_t l = 0; l < net->config->n_layers; l++)
        for (size_t i = 0; i < left; i++)
            for (size_t k = 0; k < d; k++)
                net->host[(l * left + i) * d + k] = last_time[(l * d + k) * left + i];
    CONURE_TRY(net->ops->upload(net->backend, state->time[!state->current], net->host, n * sizeof(float), err));
    CONURE_TRY(conure_ring_open(net, &ring, &state->options, 0, err));
    ring.n_rows = ring.next = state->options.cache_rows;
    const conure_status status = project_rows(net, state, &ring, last_channel, err);
    if (status != CONURE_OK) {
        conure_ring_close(net, &ring);
        return status;
    }
    replace(net, state, &ring, length, false);
    return CONURE_OK;
}

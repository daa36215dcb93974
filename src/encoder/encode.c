/* encode.c - one encoder step of a batch of utterances or streams: mel frames to encoder frames. */
#include "encoder/network.h"

#include "base/inject.h"
#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Utterances at once, mel frames of one: far above any use, below any overflow. */
enum { ROWS_MAX = 4096, MEL_FRAMES_MAX = 1 << 24, ATTENTION_PANELS_LEAST = 16 << 20 };

static conure_status check_row(const conure_network *net, const conure_encode_row *row, uint32_t i, conure_error *err)
{
    if (row->n_frames > MEL_FRAMES_MAX)
        return conure_fail(err, CONURE_LIMIT, "row %u: %u mel frames, at most %u are supported", i, row->n_frames, MEL_FRAMES_MAX);
    if (row->n_valid > row->n_frames || (row->n_valid && !row->mel))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: %u valid of %u mel frames", i, row->n_valid, row->n_frames);
    if (row->state && row->state->broken)
        return conure_fail(err, CONURE_UNSUPPORTED, "row %u: the cache lost rows in the step before (a negative keep "
                           "under NeMo's rule, where NeMo fails too); use longer slices or the clamped rule", i);
    if (row->state && row->state->in_step)
        return conure_fail(err, CONURE_BAD_ARG, "row %u: its state is that of a row before it", i);
    const uint32_t frames = conure_encoder_frames(row->n_frames);
    if (row->out && row->n_out_cap < (frames > row->drop_first ? frames - row->drop_first : 0))
        return conure_fail(err, CONURE_BAD_ARG, "row %u: room for %u encoder frames, %u come out", i, row->n_out_cap, frames - row->drop_first);
    (void)net;
    return CONURE_OK;
}

/* Where a row's frames stand in the stacked matrices, and which keys are valid (spec 5.3). */
static conure_span span_of(conure_encode_row *row, uint32_t first_row, uint32_t kv_row)
{
    const uint32_t frames = conure_encoder_frames(row->n_frames), valid = conure_encoder_frames(row->n_valid);
    row->n_out = frames > row->drop_first ? frames - row->drop_first : 0;
    row->n_out_valid = valid > row->drop_first ? valid - row->drop_first : 0;
    conure_span s = {.first_row = first_row, .n_rows = row->n_out, .kv_row = kv_row};
    int64_t first = 0;
    if (row->state) {
        s.n_past = row->state->options.cache_rows;
        first = (int64_t)s.n_past - row->state->length;
    }
    s.key_end = s.n_past + row->n_out_valid;
    s.key_first = first > s.key_end ? s.key_end : (uint32_t)first;
    return s;
}

/* Show every row's part of a stacked matrix to the probe. */
conure_status conure_network_show(conure_network *net, const char *name, int32_t index, conure_rows x,
                                  const conure_span *spans, uint32_t n, conure_error *err)
{
    char text[64];
    snprintf(text, sizeof text, index < 0 ? "%s" : "%s.%d", name, index);
    CONURE_TRY(conure_host_fit(net, (size_t)x.rows * x.cols, err));
    CONURE_TRY(net->ops->download(net->backend, net->host, x.data, (size_t)x.rows * x.cols * sizeof(float), err));
    for (uint32_t i = 0; i < n; i++)
        net->probe(net->probe_user, text, i, net->host + (size_t)spans[i].first_row * x.cols, spans[i].n_rows, x.cols);
    return CONURE_OK;
}

static conure_status encode_spans(conure_network *net, conure_encode_row *rows, const conure_span *spans,
                                  uint32_t n, uint32_t n_rows, conure_error *err)
{
    const uint32_t d = net->config->d_model;
    CONURE_TRY(conure_room_fit(net, &net->x, n_rows ? n_rows : 1, d, err)); /* a sample or two have no row, but a place */
    const conure_rows x = {net->x.data, d, n_rows, d};
    for (uint32_t i = 0; i < n; i++) {
        const conure_rows dst = {x.data + (size_t)spans[i].first_row * d, d, spans[i].n_rows, d};
        CONURE_TRY(conure_front_run(net, &rows[i], dst, err));
        if (conure_cancelled(net->cancel))
            return conure_fail(err, CONURE_CANCELLED, "cancelled in the subsampling");
    }
    if (net->probe)
        CONURE_TRY(conure_network_show(net, "subsampling", -1, x, spans, n, err));
    CONURE_TRY(conure_layers_run(net, x, rows, spans, n, err));
    for (uint32_t i = 0; i < n; i++)
        if (rows[i].out)
            CONURE_TRY(net->ops->download(net->backend, rows[CONURE_INJECTED(ROWS_MIXED) ? (i + 1) % n : i].out, x.data + (size_t)spans[i].first_row * d,
                                          (size_t)spans[i].n_rows * d * sizeof(float), err));
    return conure_network_wait(net, err);
}

conure_status conure_network_encode(conure_network *net, conure_encode_row *rows, uint32_t n, conure_error *err)
{
    uint64_t n_rows = 0, kv_rows = 0;
    if (n == 0)
        return CONURE_OK;
    if (n > ROWS_MAX)
        return conure_fail(err, CONURE_LIMIT, "a batch of %u: at most %u are supported", n, ROWS_MAX);
    conure_span *spans = conure_calloc(n, sizeof *spans);
    if (!spans)
        return conure_fail_memory(err, "a step", n * sizeof *spans);
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        status = check_row(net, &rows[i], i, err);
        if (status != CONURE_OK)
            break;
        spans[i] = span_of(&rows[i], (uint32_t)n_rows, (uint32_t)kv_rows);
        if (rows[i].state) {
            rows[i].state->in_step = true;
            status = conure_cache_fit(net, rows[i].state, spans[i].n_rows, err);
        }
        n_rows += spans[i].n_rows;
        kv_rows += (uint64_t)spans[i].n_rows + spans[i].n_past;
        if (status == CONURE_OK && kv_rows > INT32_MAX)
            status = conure_fail(err, CONURE_LIMIT, "a batch of %llu encoder frames is too large", (unsigned long long)kv_rows);
    }
    if (status == CONURE_OK)
        status = encode_spans(net, rows, spans, n, (uint32_t)n_rows, err);
    for (uint32_t i = 0; i < n; i++) {
        if (!rows[i].state)
            continue;
        rows[i].state->in_step = false;
        if (status == CONURE_OK && spans[i].n_past + spans[i].n_rows) /* else nothing has moved */
            conure_state_commit(rows[i].state, spans[i].n_rows);
    }
    free(spans);
    return status;
}

uint64_t conure_network_encode_bytes(const conure_network *net, const uint32_t *mel_frames, uint32_t n)
{
    const conure_config *c = net->config;
    const uint64_t wide = c->ff_width > 2 * c->d_model ? c->ff_width : 2 * c->d_model;
    uint64_t rows = 0;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t frames = conure_encoder_frames(mel_frames[i]);
        rows += frames;
        longest = frames > longest ? frames : longest;
    }
    /* x, normed, wide, keys and values; what a product makes of its input (at most 2 bytes a value at
     * lower precision); attention's panels and its block of scores for each thread (attention.c); the
     * positions; the front's images. */
    const uint64_t row_bytes = (2 * (uint64_t)c->d_model + wide + 2 * (uint64_t)c->d_model) * sizeof(float) + 2 * wide;
    const uint64_t panels = 16 * (uint64_t)(c->d_model / c->n_heads) * longest;
    const uint64_t scores = CONURE_THREADS_ESTIMATE * 64 * ((uint64_t)longest + 32);
    const uint64_t block = (panels > ATTENTION_PANELS_LEAST ? panels : ATTENTION_PANELS_LEAST) + scores;
    if (rows > (1ull << 32))
        return UINT64_MAX;
    return rows * row_bytes + block + conure_positions_bytes(net, longest) + conure_front_bytes(net);
}

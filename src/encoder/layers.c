/* layers.c - Conformer layers (spec 3): loading one, and running rows of frames through all of them. */
#include "encoder/network.h"

#include "base/inject.h"
#include "base/memory.h"
#include "base/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- loading --------------------------------------------------------------------------------- */

typedef struct layer_loader {
    conure_network *net;
    uint32_t index;
    conure_error *err;
} layer_loader;

static const char *full_name(char *name, size_t cap, const layer_loader *l, const char *part)
{
    snprintf(name, cap, "encoder.layers.%u.%s", l->index, part);
    return name;
}

static conure_status load_norm(const layer_loader *l, const char *part, float *norm[2])
{
    char name[128], sub[96];
    snprintf(sub, sizeof sub, "%s.weight", part);
    CONURE_TRY(conure_network_vector(l->net, full_name(name, sizeof name, l, sub), l->net->config->d_model,
                                     &norm[0], l->err));
    snprintf(sub, sizeof sub, "%s.bias", part);
    return conure_network_vector(l->net, full_name(name, sizeof name, l, sub), l->net->config->d_model,
                                 &norm[1], l->err);
}

/* A matrix [n][k], or [n][k][1] when rank is 3; its bias when the model has them and may_bias. */
static conure_status load_matrix(const layer_loader *l, const char *part, uint64_t n, uint64_t k,
                                 uint32_t rank, bool may_bias, conure_weight **out)
{
    char name[128], bias[128], sub[96];
    const uint64_t shape[3] = {n, k, 1};
    snprintf(sub, sizeof sub, "%s.weight", part);
    full_name(name, sizeof name, l, sub);
    snprintf(sub, sizeof sub, "%s.bias", part);
    full_name(bias, sizeof bias, l, sub);
    return conure_network_matrix(l->net, name, shape, rank,
                                 may_bias && l->net->config->use_bias ? bias : NULL, out, l->err);
}

/* The depthwise convolution with the batch norm folded in (spec 3.2 step 5), turned to [kernel][d]. */
static conure_status load_conv(const layer_loader *l, conure_layer *layer)
{
    conure_network *net = l->net;
    const uint32_t d = net->config->d_model, kernel = net->config->conv_kernel;
    static const char *const norms[4] = {"conv.batch_norm.weight", "conv.batch_norm.bias",
                                         "conv.batch_norm.running_mean", "conv.batch_norm.running_var"};
    char name[128];
    float *block = conure_alloc_aligned((size_t)d * (2 * (size_t)kernel + 6) * sizeof(float));
    if (!block)
        return conure_fail_memory(l->err, "a convolution", (size_t)d * (2 * (size_t)kernel + 6) * sizeof(float));
    float *vectors = block, *bias = block + 4 * (size_t)d, *rows = bias + 2 * (size_t)d, *turned = rows + (size_t)d * kernel;
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < 4 && status == CONURE_OK; i++)
        status = conure_network_read(net, full_name(name, sizeof name, l, norms[i]), d, vectors + (size_t)i * d, l->err);
    if (status == CONURE_OK)
        status = conure_network_read(net, full_name(name, sizeof name, l, "conv.depthwise_conv.weight"),
                                     (uint64_t)d * kernel, rows, l->err);
    memset(bias, 0, d * sizeof *bias);
    if (status == CONURE_OK && net->config->use_bias)
        status = conure_network_read(net, full_name(name, sizeof name, l, "conv.depthwise_conv.bias"), d, bias, l->err);
    for (uint32_t i = 0; i < d && status == CONURE_OK; i++) {
        const float *v = vectors + i;
        const double scale = v[0] / sqrt((double)v[3 * (size_t)d] + 1e-5);
        for (uint32_t k = 0; k < kernel; k++)
            turned[CONURE_INJECTED(WEIGHT_TURNED) ? (size_t)i * kernel + k : (size_t)k * d + i] = (float)(rows[(size_t)i * kernel + k] * scale);
        bias[i] = (float)(v[d] + (bias[i] - v[2 * (size_t)d]) * scale);
    }
    if (status == CONURE_OK)
        status = conure_network_upload(net, turned, (size_t)d * kernel, &layer->conv_weight, l->err);
    if (status == CONURE_OK)
        status = conure_network_upload(net, bias, d, &layer->conv_bias, l->err);
    free(block);
    return status;
}

conure_status conure_layer_open(conure_network *net, uint32_t i, conure_error *err)
{
    const uint64_t d = net->config->d_model, ff = net->config->ff_width;
    conure_layer *y = &net->layers[i];
    const layer_loader l = {net, i, err};
    char name[128];
    CONURE_TRY(load_norm(&l, "norm_feed_forward1", y->norm_ff1));
    CONURE_TRY(load_matrix(&l, "feed_forward1.linear1", ff, d, 2, true, &y->ff1_in));
    CONURE_TRY(load_matrix(&l, "feed_forward1.linear2", d, ff, 2, true, &y->ff1_out));
    CONURE_TRY(load_norm(&l, "norm_self_att", y->norm_att));
    CONURE_TRY(load_matrix(&l, "self_attn.linear_q", d, d, 2, true, &y->query));
    CONURE_TRY(load_matrix(&l, "self_attn.linear_k", d, d, 2, true, &y->key));
    CONURE_TRY(load_matrix(&l, "self_attn.linear_v", d, d, 2, true, &y->value));
    CONURE_TRY(load_matrix(&l, "self_attn.linear_out", d, d, 2, true, &y->out));
    CONURE_TRY(load_matrix(&l, "self_attn.linear_pos", d, d, 2, false, &y->pos));
    CONURE_TRY(conure_network_vector(net, full_name(name, sizeof name, &l, "self_attn.pos_bias_u"), d, &y->bias_u, err));
    CONURE_TRY(conure_network_vector(net, full_name(name, sizeof name, &l, "self_attn.pos_bias_v"), d, &y->bias_v, err));
    CONURE_TRY(load_norm(&l, "norm_conv", y->norm_conv));
    CONURE_TRY(load_matrix(&l, "conv.pointwise_conv1", 2 * d, d, 3, true, &y->conv_in));
    CONURE_TRY(load_conv(&l, y));
    CONURE_TRY(load_matrix(&l, "conv.pointwise_conv2", d, d, 3, true, &y->conv_out));
    CONURE_TRY(load_norm(&l, "norm_feed_forward2", y->norm_ff2));
    CONURE_TRY(load_matrix(&l, "feed_forward2.linear1", ff, d, 2, true, &y->ff2_in));
    CONURE_TRY(load_matrix(&l, "feed_forward2.linear2", d, ff, 2, true, &y->ff2_out));
    return load_norm(&l, "norm_out", y->norm_out);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Rows of 1024 or 4096 floats lie a power of two apart and share a few sets of every cache; an odd number
 * of cache lines spreads them. */
static size_t spread(size_t cols)
{
    return (cols + 15) / 16 * 16 + ((cols + 15) / 16 % 2 ? 0 : 16);
}

/* What one run through the layers works on. */
typedef struct layer_run {
    conure_network *net;
    const conure_encode_row *rows;
    const conure_span *spans;
    uint32_t n;
    uint32_t n_positions, kv_rows;
    bool cached;
    conure_rows x, normed;
    const float **history;       /* [n]: conv caches, NULL where a row has none */
    conure_stored *past, *fresh; /* [2 n], [4 n]: rows out of and into the attention caches; NULL: none */
    conure_error *err;
} layer_run;

static conure_status norm(const layer_run *r, conure_rows dst, float *const weights[2])
{
    return r->net->ops->layer_norm(r->net->backend, dst, r->x, weights[0], weights[1], r->err);
}

static conure_status product(const layer_run *r, conure_rows dst, conure_rows src, const conure_weight *weight,
                             conure_epilogue epilogue, float alpha)
{
    const conure_product p = {
        .weight = weight, .dst = dst, .epilogue = epilogue, .alpha = alpha,
        .residual = epilogue == CONURE_ADD ? dst : (conure_rows){0},
    };
    return r->net->ops->linear(r->net->backend, src, &p, 1, r->err);
}

/* x += 0.5 * W2 silu(W1 norm(x)) */
static conure_status feed_forward(const layer_run *r, float *const weights[2], const conure_weight *in,
                                  const conure_weight *out)
{
    const uint32_t ff = r->net->config->ff_width;
    const conure_rows wide = {r->net->wide.data, spread(ff), r->x.rows, ff};
    CONURE_TRY(norm(r, r->normed, weights));
    CONURE_TRY(product(r, wide, r->normed, in, CONURE_SILU, 0));
    return product(r, r->x, wide, out, CONURE_ADD, 0.5f);
}

/* The rows of one utterance in a matrix of this step's rows. */
static conure_rows part_of(conure_rows m, const conure_span *s)
{
    return (conure_rows){m.data + s->first_row * m.stride, m.stride, s->n_rows, m.cols};
}

/* Keys and values see [cache ; new]: the cached ones come out of the states' rings, valid ones only, the
 * new ones go in.  kv [kv_rows][2 d], fresh [rows][2 d]: this step's, in place when there is one utterance. */
static conure_status turn_caches(const layer_run *r, uint32_t layer, conure_rows kv, conure_rows fresh)
{
    const conure_network *net = r->net;
    uint32_t n_past = 0, n_fresh = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        const conure_span *s = &r->spans[i];
        const conure_state *state = r->rows[i].state;
        float *cached = kv.data + s->kv_row * kv.stride;
        conure_rows own = part_of(fresh, s), normed = part_of(r->normed, s);
        if (r->n > 1)
            CONURE_TRY(net->ops->copy(net->backend, cached + s->n_past * kv.stride, own.data,
                                      s->n_rows * kv.stride * sizeof(float), r->err));
        if (!state)
            continue;
        const conure_turn turn = conure_state_turn(state, s->n_rows);
        own.data += turn.first * own.stride;
        normed.data += turn.first * normed.stride;
        own.rows = normed.rows = turn.enters;
        n_past += conure_cache_past(net, state, layer, (conure_rows){cached, kv.stride, s->n_past, kv.cols}, r->past + n_past);
        n_fresh += conure_cache_fresh(net, state, layer, own, normed, r->fresh + n_fresh);
    }
    CONURE_TRY(net->ops->load_rows(net->backend, r->past, n_past, r->err));
    return net->ops->store_rows(net->backend, r->fresh, n_fresh, r->err);
}

/* Queries of this step's rows, keys and values of cached and new ones; a key stands beside its value. */
static conure_status project_keys(const layer_run *r, uint32_t layer, conure_rows q, conure_rows kv)
{
    conure_network *net = r->net;
    const conure_layer *y = &net->layers[layer];
    const uint32_t d = net->config->d_model, rows = r->x.rows;
    conure_rows fresh = {kv.data, kv.stride, rows, kv.cols};
    if (r->cached) /* spans lie apart there: first together behind them all, so that the product is one */
        fresh.data += (r->n == 1 ? r->spans[0].n_past : r->kv_rows) * kv.stride;
    const conure_product p[3] = {{.weight = y->query, .dst = q},
                                 {.weight = y->key, .dst = {fresh.data, kv.stride, rows, d}},
                                 {.weight = y->value, .dst = {fresh.data + d, kv.stride, rows, d}}};
    CONURE_TRY(net->ops->linear(net->backend, r->normed, p, 3, r->err));
    return r->cached ? turn_caches(r, layer, kv, fresh) : CONURE_OK;
}

static conure_status attend(const layer_run *r, uint32_t layer)
{
    conure_network *net = r->net;
    const conure_config *c = net->config;
    const conure_layer *y = &net->layers[layer];
    const uint32_t d = c->d_model, rows = r->x.rows;
    const size_t stride = spread(d);
    const conure_rows q = {net->wide.data, stride, rows, d}, out = {net->wide.data + rows * stride, stride, rows, d};
    const conure_rows kv = {net->key_rows.data, spread(2 * (size_t)d), r->kv_rows, 2 * d};
    CONURE_TRY(norm(r, r->normed, y->norm_att));
    CONURE_TRY(project_keys(r, layer, q, kv));
    conure_attention a = {
        .n_heads = c->n_heads, .head_dim = d / c->n_heads, .q = q, .k = {kv.data, kv.stride, kv.rows, d},
        .v = {kv.data + d, kv.stride, kv.rows, d}, .dst = out,
        .bias_u = y->bias_u, .bias_v = y->bias_v, .spans = r->spans, .n_spans = r->n,
        .left = c->att_left, .right = c->att_right, .style = c->att_style, .mask = net->mask,
    };
    if (CONURE_INJECTED(MASK_OTHER))
        a.mask = net->mask == CONURE_MASK_NEMO ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    CONURE_TRY(conure_positions_rows(net, layer, r->n_positions, &a.pos, &a.pos_first, r->err));
    CONURE_TRY(net->ops->attention(net->backend, &a, r->err));
    return product(r, r->x, out, y->out, CONURE_ADD, 1.0f);
}

/* x += Wp2 silu(norm(depthwise(glu(Wp1 norm(x))))), and the caches of this layer move on. */
static conure_status convolve(const layer_run *r, uint32_t layer)
{
    conure_network *net = r->net;
    const conure_layer *y = &net->layers[layer];
    const uint32_t d = net->config->d_model, rows = r->x.rows, left = net->config->conv_left;
    const size_t stride = spread(d);
    const conure_rows gated = {net->wide.data, stride, rows, d}, out = {net->wide.data + rows * stride, stride, rows, d};
    for (uint32_t i = 0; i < r->n; i++) {
        const conure_state *state = r->rows[i].state;
        r->history[i] = state ? state->time[state->current] + (size_t)layer * left * d : NULL;
    }
    CONURE_TRY(norm(r, r->normed, y->norm_conv));
    CONURE_TRY(product(r, gated, r->normed, y->conv_in, CONURE_GLU, 0));
    const conure_conv conv = {
        .src = gated, .dst = out, .weight = y->conv_weight, .bias = y->conv_bias, .kernel = net->config->conv_kernel,
        .left = left, .spans = r->spans, .n_spans = r->n, .history = r->cached ? r->history : NULL,
    };
    CONURE_TRY(net->ops->conv(net->backend, &conv, r->err));
    for (uint32_t i = 0; i < r->n; i++)
        if (r->rows[i].state)
            CONURE_TRY(conure_state_advance_time(net, r->rows[i].state, layer, &r->spans[i], gated, r->err));
    return product(r, r->x, out, y->conv_out, CONURE_ADD, 1.0f);
}

static conure_status run_layer(const layer_run *r, uint32_t i)
{
    conure_network *net = r->net;
    const conure_layer *y = &net->layers[i];
    CONURE_TRY(feed_forward(r, y->norm_ff1, y->ff1_in, y->ff1_out));
    CONURE_TRY(attend(r, i));
    CONURE_TRY(convolve(r, i));
    CONURE_TRY(feed_forward(r, y->norm_ff2, y->ff2_in, y->ff2_out));
    return norm(r, r->x, y->norm_out);
}

/* How far the relative positions of a step reach: from the first cached row, so that a table is made at
 * a stream's first step and not again and again as its cache fills; when that would be too large for a
 * table, only as far as valid keys do. */
static conure_status fit_positions(layer_run *r)
{
    uint32_t all = 0, valid = 1;
    for (uint32_t i = 0; i < r->n; i++) {
        const conure_span *s = &r->spans[i];
        const uint32_t keys = s->key_end - s->key_first;
        all = s->n_past + s->n_rows > all ? s->n_past + s->n_rows : all;
        valid = keys > valid ? keys : valid;
    }
    r->n_positions = conure_positions_kept(r->net, all) ? all : valid;
    return conure_positions_fit(r->net, r->n_positions, r->err);
}

static conure_status fit_rooms(layer_run *r)
{
    conure_network *net = r->net;
    const uint32_t d = net->config->d_model, rows = r->x.rows;
    const size_t ff = spread(net->config->ff_width), two = 2 * spread(d);
    const size_t kv_rows = (size_t)r->kv_rows + (r->cached && r->n > 1 ? rows : 0); /* see project_keys() */
    CONURE_TRY(conure_room_fit(net, &net->normed, rows, d, r->err));
    CONURE_TRY(conure_room_fit(net, &net->wide, rows, ff > two ? ff : two, r->err));
    CONURE_TRY(conure_room_fit(net, &net->key_rows, kv_rows, spread(2 * (size_t)d), r->err));
    CONURE_TRY(fit_positions(r));
    r->normed = (conure_rows){net->normed.data, d, rows, d};
    r->history = conure_calloc(r->n, sizeof *r->history);
    r->past = r->cached ? conure_calloc(6 * (size_t)r->n, sizeof *r->past) : NULL;
    if (!r->history || (r->cached && !r->past))
        return conure_fail_memory(r->err, "a step", r->n * (sizeof *r->history + 6 * sizeof *r->past));
    r->fresh = r->cached ? r->past + 2 * (size_t)r->n : NULL;
    return CONURE_OK;
}

conure_status conure_layers_run(conure_network *net, conure_rows x, const conure_encode_row *rows,
                                const conure_span *spans, uint32_t n, conure_error *err)
{
    layer_run r = {.net = net, .rows = rows, .spans = spans, .n = n, .x = x, .err = err};
    for (uint32_t i = 0; i < n; i++) {
        r.kv_rows += spans[i].n_past + spans[i].n_rows;
        r.cached |= rows[i].state != NULL;
    }
    if (!r.kv_rows)
        return CONURE_OK;
    const uint32_t n_layers = net->config->n_layers;
    conure_status status = fit_rooms(&r);
    for (uint32_t i = 0; i < n_layers && status == CONURE_OK; i++) {
        if (net->progress && !net->progress(net->progress_user, (double)i / n_layers))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled before layer %u", i);
        if (status == CONURE_OK)
            status = run_layer(&r, i);
        if (status == CONURE_OK && conure_cancelled(net->cancel)) /* what the layer gave is unfinished */
            status = conure_fail(err, CONURE_CANCELLED, "cancelled in layer %u", i);
        if (status == CONURE_OK && net->probe)
            status = conure_network_show(net, "layer", (int32_t)i, x, spans, n, err);
    }
    free(r.past);
    free(r.history);
    return status;
}

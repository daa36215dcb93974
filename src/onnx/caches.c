/* caches.c - a stream's caches as a graph has them: in, cut for every layer, joined, out.
 *
 * Outside they are the contract's tensors, [B][layers][rows][d] and [B][layers][d][columns], or with layers first; or matrices,
 * [B layers rows][d] and [B layers columns][d], which TensorRT takes and gives as they lie: what has four axes it turns at the door.
 * Inside every layer has its own.  A convolution wants [B][d][columns], which is cut from a tensor without the axis of layers; as sums of
 * rows [B][columns][d].  Attention wants what it can put rows behind: see encoder.h. */
#include "onnx/encoder.h"

#include "onnx/nodes.h"

#include <stdio.h>

static bool layer_first(const conure_encoder_parts *e)
{
    return e->plan->contract->layer_first;
}

/* Of both caches, in and out: [rows][columns] of a layer as they are outside. */
static void shape_outside(const conure_encoder_parts *e, char *out, size_t cap, uint32_t rows, uint32_t columns)
{
    if (e->plan->cache_matrices && e->plan->batch)
        snprintf(out, cap, "%llu,%u", (unsigned long long)e->plan->batch * e->c->n_layers * rows, columns);
    else if (e->plan->cache_matrices)
        snprintf(out, cap, "BLR%u,%u", rows, columns);
    else if (layer_first(e))
        snprintf(out, cap, "%u,%s,%u,%u", e->c->n_layers, e->batch, rows, columns);
    else
        snprintf(out, cap, "%s,%u,%u,%u", e->batch, e->c->n_layers, rows, columns);
}

static conure_value four_axes(conure_encoder_parts *e, const char *label, conure_value x, int64_t rows, int64_t columns)
{
    const int64_t n = e->c->n_layers;
    return conure_reshape(e->g, label, x, layer_first(e) ? conure_ints(e->g, n, -1, rows, columns) : conure_ints(e->g, -1, n, rows, columns));
}

/* To [B][rows][columns] for every layer. */
static void apart(conure_encoder_parts *e, const char *label, conure_value x, int64_t rows, int64_t columns, conure_value *parts)
{
    const int64_t n = e->c->n_layers;
    const bool first = layer_first(e);
    char name[64];
    snprintf(name, sizeof name, "%s_joined", label);
    /* A zero says that a size is as it was; of a matrix it is not. */
    const int64_t batch = e->plan->cache_matrices ? -1 : 0;
    x = conure_reshape(e->g, name, x, first ? conure_ints(e->g, -1, rows, columns) : conure_ints(e->g, batch, n * rows, columns));
    conure_split(e->g, label, x, first ? 0 : 1, n, first ? e->plan->batch : rows, parts);
}

/* And back: behind each other along the axis of layers, or of a layer's rows where there is none. */
static conure_value together(conure_encoder_parts *e, const char *label, const conure_value *parts)
{
    return conure_concat_(e->g, label, layer_first(e) ? 0 : 1, e->c->n_layers, parts);
}

/* ---- in --------------------------------------------------------------------------------------- */

static void channels_in(conure_encoder_parts *e, conure_value x)
{
    const int64_t rows = e->cache_rows, d = e->c->d_model, n = e->c->n_layers;
    const bool matrices = e->plan->cache_matrices;
    if (e->memory_axis == 1) {
        apart(e, "channel", x, rows, d, e->channel_in);
    } else if (e->memory_axis == 0) {
        x = matrices ? x : conure_reshape(e->g, "channel_matrix", x, conure_ints(e->g, n * rows, d));
        conure_split(e->g, "channel", x, 0, n, rows, e->channel_in);
    } else {
        x = matrices ? four_axes(e, "channel_4d", x, rows, d) : x;
        conure_split(e->g, "channel", x, layer_first(e) ? 0 : 1, n, 1, e->channel_in);
    }
}

static void times_in(conure_encoder_parts *e, conure_value x)
{
    const int64_t left = e->conv_left, d = e->c->d_model;
    const bool sums = e->plan->fusible, matrices = e->plan->cache_matrices;
    if (matrices && !sums)
        x = four_axes(e, "time_4d", x, left, d);
    if (matrices != sums)
        x = conure_transpose(e->g, "time_turned", x, 0, 1, 3, 2);
    apart(e, "time", x, sums ? left : d, sums ? d : left, e->time_in);
}

void conure_encoder_caches_in(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const conure_contract *k = e->plan->contract;
    const uint32_t d = e->c->d_model, left = e->conv_left;
    const bool matrices = e->plan->cache_matrices;
    char channel[64], time[64];
    shape_outside(e, channel, sizeof channel, e->cache_rows, d);
    shape_outside(e, time, sizeof time, matrices ? left : d, matrices ? d : left);
    const conure_value channel_in = conure_graph_input(g, k->names[CONURE_ROLE_CHANNEL_IN], e->plan->caches, "%s", channel);
    const conure_value time_in = conure_graph_input(g, k->names[CONURE_ROLE_TIME_IN], e->plan->caches, "%s", time);
    e->cache_length = conure_graph_input(g, k->names[CONURE_ROLE_CACHE_LENGTH_IN], CONURE_ONNX_INT64, "%s", e->batch);
    conure_graph_scope(g, "caches.");
    channels_in(e, channel_in);
    times_in(e, time_in);
}

/* ---- out -------------------------------------------------------------------------------------- */

static void channels_out(conure_encoder_parts *e, const char *name)
{
    conure_graph *g = e->g;
    const int64_t rows = e->cache_rows, d = e->c->d_model;
    const bool matrices = e->plan->cache_matrices, same = e->memory_axis == (matrices ? 0 : 2);
    const char *label = same ? name : "channel_out";
    const conure_value x = e->memory_axis == 0 ? conure_concat_(g, label, 0, e->c->n_layers, e->channel_out) : together(e, label, e->channel_out);
    if (!same && matrices)
        conure_reshape(g, name, x, conure_ints(g, -1, d));
    else if (!same)
        four_axes(e, name, x, rows, d);
}

static void times_out(conure_encoder_parts *e, const char *name)
{
    conure_graph *g = e->g;
    const int64_t n = e->c->n_layers, left = e->conv_left, d = e->c->d_model;
    const bool sums = e->plan->fusible, matrices = e->plan->cache_matrices, turns = matrices != sums;
    const conure_value x = together(e, "time_out_joined", e->time_out);
    if (matrices && sums) {
        conure_reshape(g, name, x, conure_ints(g, -1, d));
        return;
    }
    const int64_t first = sums ? left : d, second = sums ? d : left;
    const conure_value whole = conure_reshape(g, turns ? "time_out_rows" : name, x,
                                              layer_first(e) ? conure_ints(g, n, -1, first, second) : conure_ints(g, 0, n, first, second));
    const conure_value turned = turns ? conure_transpose(g, matrices ? "time_out_turned" : name, whole, 0, 1, 3, 2) : whole;
    if (matrices)
        conure_reshape(g, name, turned, conure_ints(g, -1, d));
}

void conure_encoder_caches_out(conure_encoder_parts *e)
{
    conure_graph *g = e->g;
    const conure_contract *k = e->plan->contract;
    const uint32_t d = e->c->d_model, left = e->conv_left;
    const bool matrices = e->plan->cache_matrices;
    char channel[64], time[64], name[80];
    shape_outside(e, channel, sizeof channel, e->cache_rows, d);
    shape_outside(e, time, sizeof time, matrices ? left : d, matrices ? d : left);
    conure_graph_scope(g, "caches.");
    snprintf(name, sizeof name, ":%s", k->names[CONURE_ROLE_CHANNEL_OUT]);
    channels_out(e, name);
    snprintf(name, sizeof name, ":%s", k->names[CONURE_ROLE_TIME_OUT]);
    times_out(e, name);
    snprintf(name, sizeof name, ":%s", k->names[CONURE_ROLE_CACHE_LENGTH_OUT]);
    const conure_value grown = conure_op(g, "Add", "length_grown", e->cache_length, e->keep);
    conure_op(g, "Min", name, grown, conure_ints(g, e->cache_rows));
    conure_graph_output(g, k->names[CONURE_ROLE_CHANNEL_OUT], e->plan->caches, "%s", channel);
    conure_graph_output(g, k->names[CONURE_ROLE_TIME_OUT], e->plan->caches, "%s", time);
    conure_graph_output(g, k->names[CONURE_ROLE_CACHE_LENGTH_OUT], CONURE_ONNX_INT64, "%s", e->batch);
}

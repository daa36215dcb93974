/* weights.c - the tensors of a checkpoint, by name, for the reference: vectors as doubles, matrices where they lie. */
#include "engine/reference/reference.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/panels.h"

#include <stdio.h>
#include <string.h>

void conure_ref_rows(const conure_ref *r, const conure_tensor *tensor, size_t first, size_t count, double *dst, float *narrow)
{
    const size_t k = conure_tensor_k(tensor);
    if (tensor->dtype == CONURE_F64 && tensor->layout == CONURE_ROWS) { /* through float they would lose digits */
        memcpy(dst, (const double *)tensor->data + first * k, count * k * sizeof *dst);
        return;
    }
    /* scale * q is exact in double and is not in float: read q alone. */
    conure_tensor plain = *tensor;
    if (tensor->scales)
        plain.scales = r->ones;
    conure_tensor_rows_f32(&plain, narrow, first, count);
    for (size_t j = 0; j < count; j++) {
        const double scale = tensor->scales ? tensor->scales[first + j] : 1;
        for (size_t i = 0; i < k; i++)
            dst[j * k + i] = scale * narrow[j * k + i];
    }
}

/* ---- by name ---------------------------------------------------------------------------------- */

typedef struct loader {
    conure_ref *r;
    char prefix[64];
    conure_error *err;
} loader;

static conure_status find(const loader *l, const char *name, const conure_tensor **out)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", l->prefix, name);
    *out = conure_model_tensor(l->r->model, full);
    return *out ? CONURE_OK : conure_fail(l->err, CONURE_BAD_FILE, "%s: tensor %s is missing", l->r->model->name, full);
}

/* All of a tensor as doubles; n is how many that must be. */
static conure_status vector(const loader *l, const char *name, uint64_t n, const double **out)
{
    const conure_tensor *tensor;
    const conure_status status = find(l, name, &tensor);
    if (status != CONURE_OK)
        return status;
    const uint64_t rows = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    if (rows * k != n)
        return conure_fail(l->err, CONURE_BAD_FILE, "%s: %llu elements, expected %llu", tensor->name,
                           (unsigned long long)(rows * k), (unsigned long long)n);
    double *dst = conure_block_alloc(&l->r->arena, n * sizeof *dst);
    void *narrow = NULL;
    float *floats = conure_block_alloc(&narrow, n * sizeof *floats);
    if (dst && floats)
        conure_ref_rows(l->r, tensor, 0, rows, dst, floats);
    *out = dst;
    conure_blocks_free(&narrow);
    return dst && floats ? CONURE_OK : conure_fail_memory(l->err, tensor->name, n * sizeof *dst);
}

static conure_status named(const loader *l, const char *part, const char *ending, uint64_t n, const double **out)
{
    char name[96];
    snprintf(name, sizeof name, "%s.%s", part, ending);
    return vector(l, name, n, out);
}

static conure_status norm(const loader *l, const char *part, conure_ref_norm *out)
{
    const conure_status status = named(l, part, "weight", l->r->config->d_model, &out->weight);
    return status == CONURE_OK ? named(l, part, "bias", l->r->config->d_model, &out->bias) : status;
}

/* W [n][k], whatever trailing dimensions of 1 it has, and its bias when asked for. */
static conure_status weights(const loader *l, const char *name, const char *bias, uint64_t n, uint64_t k, conure_ref_matrix *out)
{
    conure_status status = find(l, name, &out->tensor);
    if (status != CONURE_OK)
        return status;
    out->n = (uint32_t)n;
    out->k = (uint32_t)k;
    if (conure_tensor_n(out->tensor) != n || conure_tensor_k(out->tensor) != k)
        return conure_fail(l->err, CONURE_BAD_FILE, "%s: a matrix [%zu, %zu], expected [%llu, %llu]", out->tensor->name,
                           conure_tensor_n(out->tensor), conure_tensor_k(out->tensor), (unsigned long long)n, (unsigned long long)k);
    return bias ? vector(l, bias, n, &out->bias) : CONURE_OK;
}

static conure_status matrix(const loader *l, const char *part, uint64_t n, uint64_t k, bool with_bias, conure_ref_matrix *out)
{
    char name[96], bias[96];
    snprintf(name, sizeof name, "%s.weight", part);
    snprintf(bias, sizeof bias, "%s.bias", part);
    return weights(l, name, with_bias ? bias : NULL, n, k, out);
}

/* ---- the parts -------------------------------------------------------------------------------- */

static conure_status load_front(const loader *l)
{
    const conure_config *c = l->r->config;
    conure_ref_front *f = &l->r->front;
    static const char *const images[3] = {"conv.0", "conv.2", "conv.5"};
    const uint64_t channels = c->subsampling_channels;
    for (int i = 0; i < 3; i++) {
        CONURE_TRY(named(l, images[i], "weight", channels * 9, &f->weight[i]));
        CONURE_TRY(named(l, images[i], "bias", channels, &f->bias[i]));
    }
    CONURE_TRY(matrix(l, "conv.3", channels, channels, true, &f->pointwise[0]));
    CONURE_TRY(matrix(l, "conv.6", channels, channels, true, &f->pointwise[1]));
    return matrix(l, "out", c->d_model, channels * (uint64_t)conure_ref_frames(c->mel_bins), true, &f->out);
}

static conure_status load_attention(const loader *l, conure_ref_layer *y)
{
    const conure_config *c = l->r->config;
    const uint64_t d = c->d_model;
    CONURE_TRY(matrix(l, "self_attn.linear_q", d, d, c->use_bias, &y->linear_q));
    CONURE_TRY(matrix(l, "self_attn.linear_k", d, d, c->use_bias, &y->linear_k));
    CONURE_TRY(matrix(l, "self_attn.linear_v", d, d, c->use_bias, &y->linear_v));
    CONURE_TRY(matrix(l, "self_attn.linear_out", d, d, c->use_bias, &y->linear_out));
    CONURE_TRY(matrix(l, "self_attn.linear_pos", d, d, false, &y->linear_pos)); /* never has one */
    CONURE_TRY(vector(l, "self_attn.pos_bias_u", d, &y->pos_bias_u)); /* a pair tied across layers is listed in each */
    return vector(l, "self_attn.pos_bias_v", d, &y->pos_bias_v);
}

static conure_status load_convolution(const loader *l, conure_ref_layer *y)
{
    const conure_config *c = l->r->config;
    const uint64_t d = c->d_model;
    CONURE_TRY(matrix(l, "conv.pointwise_conv1", 2 * d, d, c->use_bias, &y->pointwise_conv1));
    CONURE_TRY(vector(l, "conv.depthwise_conv.weight", d * c->conv_kernel, &y->depthwise));
    if (c->use_bias)
        CONURE_TRY(vector(l, "conv.depthwise_conv.bias", d, &y->depthwise_bias));
    CONURE_TRY(norm(l, "conv.batch_norm", &y->batch_norm));
    CONURE_TRY(vector(l, "conv.batch_norm.running_mean", d, &y->running_mean));
    CONURE_TRY(vector(l, "conv.batch_norm.running_var", d, &y->running_var));
    return matrix(l, "conv.pointwise_conv2", d, d, c->use_bias, &y->pointwise_conv2);
}

static conure_status load_layer(const loader *l, conure_ref_layer *y)
{
    const conure_config *c = l->r->config;
    const uint64_t d = c->d_model, ff = c->ff_width;
    CONURE_TRY(norm(l, "norm_feed_forward1", &y->norm_feed_forward1));
    CONURE_TRY(matrix(l, "feed_forward1.linear1", ff, d, c->use_bias, &y->linear1[0]));
    CONURE_TRY(matrix(l, "feed_forward1.linear2", d, ff, c->use_bias, &y->linear2[0]));
    CONURE_TRY(norm(l, "norm_self_att", &y->norm_self_att));
    CONURE_TRY(load_attention(l, y));
    CONURE_TRY(norm(l, "norm_conv", &y->norm_conv));
    CONURE_TRY(load_convolution(l, y));
    CONURE_TRY(norm(l, "norm_feed_forward2", &y->norm_feed_forward2));
    CONURE_TRY(matrix(l, "feed_forward2.linear1", ff, d, c->use_bias, &y->linear1[1]));
    CONURE_TRY(matrix(l, "feed_forward2.linear2", d, ff, c->use_bias, &y->linear2[1]));
    return norm(l, "norm_out", &y->norm_out);
}

static conure_status load_decoder(const loader *l)
{
    const conure_config *c = l->r->config;
    conure_ref_decoder *y = &l->r->decoder;
    const uint64_t hidden = c->pred_hidden, joint = c->joint_hidden, outputs = (uint64_t)c->vocab_size + 1 + c->n_durations;
    char name[2][64];
    CONURE_TRY(vector(l, "decoder.prediction.embed.weight", ((uint64_t)c->vocab_size + 1) * hidden, &y->embed));
    for (uint32_t i = 0; i < c->pred_layers; i++) {
        static const char *const parts[2] = {"ih", "hh"};
        for (int p = 0; p < 2; p++) {
            snprintf(name[0], sizeof name[0], "decoder.prediction.dec_rnn.lstm.weight_%s_l%u", parts[p], i);
            snprintf(name[1], sizeof name[1], "decoder.prediction.dec_rnn.lstm.bias_%s_l%u", parts[p], i);
            CONURE_TRY(weights(l, name[0], name[1], 4 * hidden, hidden, p ? &y->recurrent[i] : &y->input[i]));
        }
    }
    CONURE_TRY(matrix(l, "joint.pred", joint, hidden, true, &y->pred));
    CONURE_TRY(matrix(l, "joint.enc", joint, c->d_model, true, &y->enc));
    return matrix(l, "joint.joint_net.2", outputs, joint, true, &y->out);
}

/* Room for the widest matrix, and ones for the longest. */
static conure_status make_room(conure_ref *r, conure_error *err)
{
    const conure_config *c = r->config;
    const size_t widths[] = {c->d_model, c->ff_width, c->pred_hidden, c->joint_hidden, c->subsampling_channels,
                             (size_t)c->subsampling_channels * (size_t)conure_ref_frames(c->mel_bins)};
    const size_t heights[] = {c->d_model, 2 * (size_t)c->d_model, c->ff_width, 4 * (size_t)c->pred_hidden, c->joint_hidden,
                              c->subsampling_channels, (size_t)c->vocab_size + 1 + c->n_durations};
    size_t widest = 0, highest = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        widest = widths[i] > widest ? widths[i] : widest;
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++)
        highest = heights[i] > highest ? heights[i] : highest;
    r->room_doubles = conure_ref_room_doubles(widest);
    r->room = conure_block_alloc(&r->arena, conure_pool_threads(r->pool) * r->room_doubles * sizeof *r->room);
    r->ones = conure_block_alloc(&r->arena, highest * sizeof *r->ones);
    r->layers = conure_block_alloc(&r->arena, c->n_layers * sizeof *r->layers);
    if (!r->room || !r->ones || !r->layers)
        return conure_fail_memory(err, "the reference engine", r->room_doubles * sizeof *r->room);
    for (size_t i = 0; i < highest; i++)
        r->ones[i] = 1;
    return CONURE_OK;
}

conure_status conure_ref_load(conure_ref *r, conure_error *err)
{
    loader l = {.r = r, .prefix = "encoder.pre_encode.", .err = err};
    CONURE_TRY(make_room(r, err));
    CONURE_TRY(load_front(&l));
    for (uint32_t i = 0; i < r->config->n_layers; i++) {
        if (conure_cancelled(r->cancel))
            return conure_fail(err, CONURE_CANCELLED, "loading %s was cancelled", r->model->name);
        snprintf(l.prefix, sizeof l.prefix, "encoder.layers.%u.", i);
        CONURE_TRY(load_layer(&l, &r->layers[i]));
    }
    l.prefix[0] = 0;
    return load_decoder(&l);
}

/* spec.c - the tensors that a configuration implies, with NeMo's names. */
#include "model/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PLAIN = 0, MATRIX = 1, OPTIONAL = 2 };

typedef struct walk {
    conure_spec_fn fn;
    void *user;
    conure_status status; /* the first that is not OK; nothing is called after it */
    const char *prefix;
} walk;

/* rank dimensions of type uint64_t follow. */
static void add(walk *w, int kind, const char *name, uint32_t rank, ...)
{
    conure_tensor_spec spec = {
        .rank = rank, .is_matrix = kind == MATRIX, .optional = kind == OPTIONAL};
    va_list shape;
    if (w->status != CONURE_OK)
        return;
    va_start(shape, rank);
    for (uint32_t i = 0; i < rank; i++)
        spec.shape[i] = va_arg(shape, uint64_t);
    va_end(shape);
    snprintf(spec.name, sizeof spec.name, "%s%s", w->prefix, name);
    w->status = w->fn(w->user, &spec);
}

/* Gain and offset of a normalisation over n channels. */
static void add_norm(walk *w, const char *name, uint64_t n)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add(w, PLAIN, full, 1, n);
    snprintf(full, sizeof full, "%s.bias", name);
    add(w, PLAIN, full, 1, n);
}

/* A layer [n][k], or a 1x1 convolution when ones > 0: that many trailing dimensions of 1. */
static void add_linear(walk *w, const char *name, uint64_t n, uint64_t k, uint32_t ones, bool bias)
{
    const uint64_t one = 1;
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    add(w, MATRIX, full, 2 + ones, n, k, one, one);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        add(w, PLAIN, full, 1, n);
}

static void add_subsampling(walk *w, const conure_config *c)
{
    const uint64_t channels = c->subsampling_channels, one = 1, three = 3;
    uint64_t bins = c->mel_bins;
    for (int stage = 0; stage < 3; stage++)
        bins = (bins + 1) / 2;
    w->prefix = "encoder.pre_encode.";
    static const char *const convs[] = {"conv.0", "conv.2", "conv.5"};
    for (int i = 0; i < 3; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.weight", convs[i]);
        add(w, PLAIN, full, 4, channels, one, three, three);
        snprintf(full, sizeof full, "%s.bias", convs[i]);
        add(w, PLAIN, full, 1, channels);
    }
    add_linear(w, "conv.3", channels, channels, 2, true);
    add_linear(w, "conv.6", channels, channels, 2, true);
    add_linear(w, "out", c->d_model, channels * bins, 0, true);
}

static void add_layer(walk *w, const conure_config *c, uint32_t layer)
{
    static const char *const attention[] = {"self_attn.linear_q", "self_attn.linear_k",
                                            "self_attn.linear_v", "self_attn.linear_out"};
    const uint64_t d = c->d_model, ff = c->ff_width, one = 1, kernel = c->conv_kernel;
    const uint64_t heads = c->n_heads, head_dim = c->n_heads ? d / heads : 0;
    const bool bias = c->use_bias;
    char prefix[48];
    snprintf(prefix, sizeof prefix, "encoder.layers.%u.", layer);
    w->prefix = prefix;

    add_norm(w, "norm_feed_forward1", d);
    add_linear(w, "feed_forward1.linear1", ff, d, 0, bias);
    add_linear(w, "feed_forward1.linear2", d, ff, 0, bias);
    add_norm(w, "norm_self_att", d);
    for (int i = 0; i < 4; i++)
        add_linear(w, attention[i], d, d, 0, bias);
    add_linear(w, "self_attn.linear_pos", d, d, 0, false);
    add(w, PLAIN, "self_attn.pos_bias_u", 2, heads, head_dim);
    add(w, PLAIN, "self_attn.pos_bias_v", 2, heads, head_dim);
    add_norm(w, "norm_conv", d);
    add_linear(w, "conv.pointwise_conv1", 2 * d, d, 1, bias);
    add(w, PLAIN, "conv.depthwise_conv.weight", 3, d, one, kernel);
    if (bias)
        add(w, PLAIN, "conv.depthwise_conv.bias", 1, d);
    add_norm(w, "conv.batch_norm", d);
    add(w, PLAIN, "conv.batch_norm.running_mean", 1, d);
    add(w, PLAIN, "conv.batch_norm.running_var", 1, d);
    add_linear(w, "conv.pointwise_conv2", d, d, 1, bias);
    add_norm(w, "norm_feed_forward2", d);
    add_linear(w, "feed_forward2.linear1", ff, d, 0, bias);
    add_linear(w, "feed_forward2.linear2", d, ff, 0, bias);
    add_norm(w, "norm_out", d);
    w->prefix = "";
}

static void add_decoder(walk *w, const conure_config *c)
{
    const uint64_t hidden = c->pred_hidden, gates = 4 * hidden, rows = (uint64_t)c->vocab_size + 1;
    w->prefix = "decoder.prediction.";
    /* Rows are looked up, not multiplied: not a matrix here. */
    add(w, PLAIN, "embed.weight", 2, rows, hidden);
    w->prefix = "decoder.prediction.dec_rnn.lstm.";
    for (uint32_t i = 0; i < c->pred_layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "weight_ih_l%u", i);
        add(w, MATRIX, name, 2, gates, hidden);
        snprintf(name, sizeof name, "weight_hh_l%u", i);
        add(w, MATRIX, name, 2, gates, hidden);
        snprintf(name, sizeof name, "bias_ih_l%u", i);
        add(w, PLAIN, name, 1, gates);
        snprintf(name, sizeof name, "bias_hh_l%u", i);
        add(w, PLAIN, name, 1, gates);
    }
    w->prefix = "joint.";
    add_linear(w, "pred", c->joint_hidden, hidden, 0, true);
    add_linear(w, "enc", c->joint_hidden, c->d_model, 0, true);
    add_linear(w, "joint_net.2", rows + c->n_durations, c->joint_hidden, 0, true);
}

conure_status conure_config_tensors(const conure_config *config, conure_spec_fn fn, void *user)
{
    walk w = {.fn = fn, .user = user, .prefix = ""};
    const uint64_t one = 1, window = config->window_samples, bins = config->mel_bins;
    const uint64_t lines = (uint64_t)config->n_fft / 2 + 1;
    add(&w, OPTIONAL, "preprocessor.featurizer.window", 1, window);
    add(&w, OPTIONAL, "preprocessor.featurizer.fb", 3, one, bins, lines);
    add_subsampling(&w, config);
    for (uint32_t i = 0; i < config->n_layers && w.status == CONURE_OK; i++)
        add_layer(&w, config, i);
    add_decoder(&w, config);
    return w.status;
}

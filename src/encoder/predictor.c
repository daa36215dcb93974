/* predictor.c - the prediction network and the joint (spec 6.1, 6.2). */
#include "encoder/network.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

conure_status conure_predictor_open(conure_network *net, conure_error *err)
{
    const conure_config *c = net->config;
    conure_predictor *p = &net->predictor;
    const uint64_t hidden = c->pred_hidden, gates[2] = {4 * hidden, hidden}, joint[2] = {c->joint_hidden, hidden};
    const uint64_t embed[2] = {(uint64_t)c->vocab_size + 1, hidden};
    const conure_tensor *tensor = NULL;
    char name[128], bias[128];
    CONURE_TRY(conure_model_require(net->model, "decoder.prediction.embed.weight", 2, embed, &tensor, err));
    if (tensor->dtype == CONURE_F32 && tensor->layout == CONURE_ROWS) {
        p->embed = (float *)tensor->data; /* rows are looked up: used where they lie, never written */
    } else {
        p->embed = conure_alloc_aligned(embed[0] * hidden * sizeof(float));
        if (!p->embed)
            return conure_fail_memory(err, "the embedding", embed[0] * hidden * sizeof(float));
        p->embed_owned = true;
        CONURE_TRY(conure_tensor_read_f32(tensor, p->embed, embed[0] * hidden, err));
    }
    for (uint32_t l = 0; l < c->pred_layers; l++) {
        snprintf(name, sizeof name, "decoder.prediction.dec_rnn.lstm.weight_ih_l%u", l);
        snprintf(bias, sizeof bias, "decoder.prediction.dec_rnn.lstm.bias_ih_l%u", l);
        CONURE_TRY(conure_network_matrix(net, name, gates, 2, bias, &p->input[l], err));
        snprintf(name, sizeof name, "decoder.prediction.dec_rnn.lstm.weight_hh_l%u", l);
        snprintf(bias, sizeof bias, "decoder.prediction.dec_rnn.lstm.bias_hh_l%u", l);
        CONURE_TRY(conure_network_matrix(net, name, gates, 2, bias, &p->recurrent[l], err));
    }
    return conure_network_matrix(net, "joint.pred.weight", joint, 2, "joint.pred.bias", &p->project, err);
}

/* Fit small[i] as [n][cols]. */
static conure_status small_rows(conure_network *net, uint32_t i, uint32_t n, uint32_t cols, conure_rows *out,
                                conure_error *err)
{
    CONURE_TRY(conure_room_fit(net, &net->small[i], n, cols, err));
    *out = (conure_rows){net->small[i].data, cols, n, cols};
    return CONURE_OK;
}

static conure_status upload_rows(conure_network *net, conure_rows dst, uint32_t i, const float *src, conure_error *err)
{
    return net->ops->upload(net->backend, dst.data + (size_t)i * dst.stride, src, dst.cols * sizeof(float), err);
}

/* One LSTM layer of n streams: in [n][hidden] becomes this layer's h. */
static conure_status lstm_layer(conure_network *net, uint32_t layer, conure_rows in, conure_rows h,
                                conure_rows c, conure_rows gates, conure_error *err)
{
    const conure_product from_input = {.weight = net->predictor.input[layer], .dst = gates};
    const conure_product from_state = {
        .weight = net->predictor.recurrent[layer], .dst = gates, .epilogue = CONURE_ADD, .residual = gates, .alpha = 1.0f};
    CONURE_TRY(net->ops->linear(net->backend, in, &from_input, 1, err));
    CONURE_TRY(net->ops->linear(net->backend, h, &from_state, 1, err));
    return net->ops->lstm_cell(net->backend, in, c, gates, err);
}

conure_status conure_network_predict(conure_network *net, const uint32_t *tokens, float *h, float *c, uint32_t n,
                                     float *out, conure_error *err)
{
    const conure_config *config = net->config;
    const uint32_t hidden = config->pred_hidden, layers = config->pred_layers;
    const size_t row = hidden * sizeof(float);
    conure_rows x, state_h, state_c, gates;
    if (n == 0)
        return CONURE_OK;
    CONURE_TRY(small_rows(net, 0, n, hidden, &x, err));
    CONURE_TRY(small_rows(net, 1, n, 2 * hidden, &state_h, err));
    CONURE_TRY(small_rows(net, 2, n, 4 * hidden > config->joint_hidden ? 4 * hidden : config->joint_hidden, &gates, err));
    gates.cols = 4 * hidden;
    state_h = (conure_rows){net->small[1].data, hidden, n, hidden};
    state_c = (conure_rows){net->small[1].data + (size_t)n * hidden, hidden, n, hidden};
    for (uint32_t i = 0; i < n; i++) {
        if (tokens[i] > config->vocab_size)
            return conure_fail(err, CONURE_BAD_ARG, "token %u: the vocabulary has %u", tokens[i], config->vocab_size);
        CONURE_TRY(upload_rows(net, x, i, net->predictor.embed + (size_t)tokens[i] * hidden, err));
    }
    for (uint32_t l = 0; l < layers; l++) {
        for (uint32_t i = 0; i < n; i++) {
            CONURE_TRY(upload_rows(net, state_h, i, h + ((size_t)i * layers + l) * hidden, err));
            CONURE_TRY(upload_rows(net, state_c, i, c + ((size_t)i * layers + l) * hidden, err));
        }
        CONURE_TRY(lstm_layer(net, l, x, state_h, state_c, gates, err));
        for (uint32_t i = 0; i < n; i++) {
            CONURE_TRY(net->ops->download(net->backend, h + ((size_t)i * layers + l) * hidden, x.data + (size_t)i * hidden, row, err));
            CONURE_TRY(net->ops->download(net->backend, c + ((size_t)i * layers + l) * hidden, state_c.data + (size_t)i * hidden, row, err));
        }
    }
    const conure_rows projected = {gates.data, config->joint_hidden, n, config->joint_hidden};
    const conure_product p = {.weight = net->predictor.project, .dst = projected};
    CONURE_TRY(net->ops->linear(net->backend, x, &p, 1, err));
    CONURE_TRY(net->ops->download(net->backend, out, projected.data, (size_t)n * config->joint_hidden * sizeof(float), err));
    return conure_network_wait(net, err);
}

conure_status conure_network_project(conure_network *net, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    const uint32_t d = net->config->d_model, joint = net->config->joint_hidden;
    conure_rows src, dst;
    if (n == 0)
        return CONURE_OK;
    CONURE_TRY(small_rows(net, 0, n, d, &src, err));
    CONURE_TRY(small_rows(net, 1, n, joint, &dst, err));
    const conure_product p = {.weight = net->joint_encoder, .dst = dst};
    CONURE_TRY(net->ops->upload(net->backend, src.data, encoder, (size_t)n * d * sizeof(float), err));
    CONURE_TRY(net->ops->linear(net->backend, src, &p, 1, err));
    CONURE_TRY(net->ops->download(net->backend, out, dst.data, (size_t)n * joint * sizeof(float), err));
    return conure_network_wait(net, err);
}

conure_status conure_network_joint(conure_network *net, const float *const *frames, const float *const *predictions,
                                   uint32_t n, float *logits, conure_error *err)
{
    const uint32_t joint = net->config->joint_hidden, outputs = net->config->vocab_size + 1 + net->config->n_durations;
    conure_rows a, b, out;
    if (n == 0)
        return CONURE_OK;
    CONURE_TRY(small_rows(net, 0, n, joint, &a, err));
    CONURE_TRY(small_rows(net, 1, n, joint, &b, err));
    CONURE_TRY(small_rows(net, 3, n, outputs, &out, err));
    for (uint32_t i = 0; i < n; i++) {
        CONURE_TRY(upload_rows(net, a, i, frames[i], err));
        CONURE_TRY(upload_rows(net, b, i, predictions[i], err));
    }
    CONURE_TRY(net->ops->add_relu(net->backend, a, a, b, err));
    const conure_product p = {.weight = net->joint_out, .dst = out};
    CONURE_TRY(net->ops->linear(net->backend, a, &p, 1, err));
    CONURE_TRY(net->ops->download(net->backend, logits, out.data, (size_t)n * outputs * sizeof(float), err));
    return conure_network_wait(net, err);
}

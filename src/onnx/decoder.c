/* decoder.c - prediction network and joint as nodes (decoder.h). */
#include "onnx/decoder.h"

#include "base/memory.h"
#include "onnx/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Both biases of a layer, [1][8 hidden], in the operator's order of gates. */
static conure_value lstm_bias(conure_graph *g, uint32_t layer, uint32_t hidden)
{
    static const char *const parts[2] = {"ih", "hh"};
    static const size_t gates[4] = {0, 3, 1, 2}; /* of i f g o: i, o, f, g */
    const int64_t dims[2] = {1, 8 * (int64_t)hidden};
    const size_t block = hidden * sizeof(float);
    char name[80];
    float *all = conure_calloc(8 * (size_t)hidden, sizeof *all);
    for (int p = 0; p < 2; p++) {
        snprintf(name, sizeof name, "decoder.prediction.dec_rnn.lstm.bias_%s_l%u", parts[p], layer);
        float *bias = conure_graph_read(g, name, 4 * (size_t)hidden);
        for (size_t i = 0; all && bias && i < 4; i++)
            memcpy(all + (4 * (size_t)p + i) * hidden, bias + gates[i] * hidden, block);
        free(bias);
    }
    if (!all)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
    snprintf(name, sizeof name, "decoder.prediction.dec_rnn.lstm.bias_l%u", layer);
    const conure_value out = conure_floats(g, name, all, 2, dims);
    free(all);
    return out;
}

static conure_value lstm_weight(conure_graph *g, const char *part, uint32_t layer, uint32_t hidden)
{
    const int64_t dims[3] = {1, 4 * (int64_t)hidden, hidden};
    char name[80];
    snprintf(name, sizeof name, "decoder.prediction.dec_rnn.lstm.weight_%s_l%u", part, layer);
    return conure_weight_value(g, name, CONURE_TURN_GATES, 1, 3, dims);
}

/* One layer: x [U][B][hidden] -> the same; state [1][B][hidden] each, in and out. */
static conure_value lstm(conure_graph *g, uint32_t layer, conure_value x, conure_value *h, conure_value *c)
{
    const uint32_t hidden = conure_graph_config(g)->pred_hidden;
    char label[4][24];
    static const char *const parts[4] = {"all", "h", "c", "out"};
    for (int i = 0; i < 4; i++)
        snprintf(label[i], sizeof label[i], "lstm%u.%s", layer, parts[i]);
    const conure_value w = lstm_weight(g, "ih", layer, hidden), r = lstm_weight(g, "hh", layer, hidden);
    const conure_value bias = lstm_bias(g, layer, hidden), all = conure_op(g, "LSTM", label[0], x, w, r, bias, NULL, *h, *c);
    *h = conure_op_output(g, label[1]);
    *c = conure_op_output(g, label[2]);
    conure_op_int(g, "hidden_size", hidden);
    return conure_op(g, "Squeeze", label[3], all, conure_ints(g, 1));
}

/* Inputs and outputs of the state, around the layers; returns [U][B][hidden].  lengths: they go in, and out as they are. */
static conure_value predictor(conure_graph *g, bool lengths)
{
    const conure_config *c = conure_graph_config(g);
    const uint32_t layers = c->pred_layers, hidden = c->pred_hidden;
    const int64_t embed_dims[2] = {(int64_t)c->vocab_size + 1, hidden};
    conure_value h[CONURE_PREDICTOR_LAYERS_MAX], cell[CONURE_PREDICTOR_LAYERS_MAX];
    const conure_value targets = conure_graph_input(g, "targets", CONURE_ONNX_INT32, "B,U");
    const conure_value length = lengths ? conure_graph_input(g, "target_length", CONURE_ONNX_INT32, "B") : NULL;
    const conure_value h_in = conure_graph_input(g, "input_states_1", conure_graph_type(g), "%u,B,%u", layers, hidden);
    const conure_value c_in = conure_graph_input(g, "input_states_2", conure_graph_type(g), "%u,B,%u", layers, hidden);
    conure_graph_scope(g, "prediction.");
    if (lengths)
        conure_op(g, "Identity", ":prednet_lengths", length);
    h[0] = h_in;
    cell[0] = c_in;
    if (layers > 1) {
        conure_split(g, "h_in", h_in, 0, layers, 1, h);
        conure_split(g, "c_in", c_in, 0, layers, 1, cell);
    }
    const conure_value embed = conure_weight_value(g, "decoder.prediction.embed.weight", CONURE_TURN_NONE, 1, 2, embed_dims);
    const conure_value turned = conure_transpose(g, "targets_turned", targets, 1, 0);
    conure_value x = conure_op(g, "Gather", "embedded", embed, turned);
    for (uint32_t i = 0; i < layers; i++)
        x = lstm(g, i, x, &h[i], &cell[i]);
    conure_concat_(g, ":output_states_1", 0, layers, h);
    conure_concat_(g, ":output_states_2", 0, layers, cell);
    return x;
}

static void state_outputs(conure_graph *g, bool lengths)
{
    const conure_config *c = conure_graph_config(g);
    if (lengths)
        conure_graph_output(g, "prednet_lengths", CONURE_ONNX_INT32, "B");
    conure_graph_output(g, "output_states_1", conure_graph_type(g), "%u,B,%u", c->pred_layers, c->pred_hidden);
    conure_graph_output(g, "output_states_2", conure_graph_type(g), "%u,B,%u", c->pred_layers, c->pred_hidden);
}

/* encoder [B][d][T] and prediction [B][U][hidden] -> "outputs" [B][T][U][V + 1 + durations] */
static void joint(conure_graph *g, conure_value encoder, conure_value prediction)
{
    const conure_config *c = conure_graph_config(g);
    const uint32_t n = c->vocab_size + 1 + c->n_durations;
    conure_graph_scope(g, "joint.");
    const conure_value frames = conure_transpose(g, "frames", encoder, 0, 2, 1);
    const conure_value from_encoder = conure_linear(g, "enc", frames, "joint.enc", c->joint_hidden, c->d_model, NULL);
    const conure_value from_prediction = conure_linear(g, "pred", prediction, "joint.pred", c->joint_hidden, c->pred_hidden, NULL);
    const conure_value rows = conure_unsqueeze(g, "enc_4d", from_encoder, 2), columns = conure_unsqueeze(g, "pred_4d", from_prediction, 1);
    const conure_value hidden = conure_op(g, "Relu", "relu", conure_op(g, "Add", "sum", rows, columns));
    conure_linear(g, ":outputs", hidden, "joint.joint_net.2", n, c->joint_hidden, NULL);
    conure_graph_output(g, "outputs", conure_graph_type(g), "B,T,U,%u", n);
}

void conure_decoder_joint_build(conure_graph *g)
{
    const conure_value encoder = conure_graph_input(g, "encoder_outputs", conure_graph_type(g), "B,%u,T", conure_graph_config(g)->d_model);
    const conure_value x = predictor(g, true);
    joint(g, encoder, conure_transpose(g, "out", x, 1, 0, 2));
    state_outputs(g, true);
}

void conure_decoder_build(conure_graph *g)
{
    conure_transpose(g, ":outputs", predictor(g, true), 1, 2, 0);
    conure_graph_output(g, "outputs", conure_graph_type(g), "B,%u,U", conure_graph_config(g)->pred_hidden);
    state_outputs(g, true);
}

void conure_joiner_build(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const conure_value encoder = conure_graph_input(g, "encoder_outputs", conure_graph_type(g), "B,%u,T", c->d_model);
    const conure_value decoder = conure_graph_input(g, "decoder_outputs", conure_graph_type(g), "B,%u,U", c->pred_hidden);
    conure_graph_scope(g, "joint.");
    joint(g, encoder, conure_transpose(g, "prediction", decoder, 0, 2, 1));
}

void conure_project_build(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const conure_value frames = conure_graph_input(g, "frames", conure_graph_type(g), "N,%u", c->d_model);
    conure_graph_scope(g, "joint.");
    conure_linear(g, ":projected", frames, "joint.enc", c->joint_hidden, c->d_model, NULL);
    conure_graph_output(g, "projected", conure_graph_type(g), "N,%u", c->joint_hidden);
}

void conure_predict_build(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const conure_value x = conure_transpose(g, "out", predictor(g, false), 1, 0, 2);
    conure_linear(g, ":prediction", x, "joint.pred", c->joint_hidden, c->pred_hidden, NULL);
    conure_graph_output(g, "prediction", conure_graph_type(g), "B,U,%u", c->joint_hidden);
    state_outputs(g, false);
}

void conure_joint_build(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const uint32_t n = c->vocab_size + 1 + c->n_durations;
    const conure_value frames = conure_graph_input(g, "projected", conure_graph_type(g), "N,%u", c->joint_hidden);
    const conure_value prediction = conure_graph_input(g, "prediction", conure_graph_type(g), "N,%u", c->joint_hidden);
    conure_graph_scope(g, "joint.");
    const conure_value hidden = conure_op(g, "Relu", "relu", conure_op(g, "Add", "sum", frames, prediction));
    conure_linear(g, ":logits", hidden, "joint.joint_net.2", n, c->joint_hidden, NULL);
    conure_graph_output(g, "logits", conure_graph_type(g), "N,%u", n);
}

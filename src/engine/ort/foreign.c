/* foreign.c - the decoder of graphs that somebody else exported, in the shape of the engine table.
 *
 * Projections are inside these graphs, so a projected frame is the frame.  In sherpa-onnx's layout a prediction is what the
 * decoder gave, and the joiner does the rest.  In onnx-asr's there is no such thing: prediction network and joint are one
 * graph, which runs once for the new state, with a frame of zeros, and once for every joint; a prediction is what makes it
 * do so, the token and the state before it.  Both have room in joint_hidden (model/graphs.h). */
#include "engine/ort/ort.h"

#include "base/memory.h"
#include "model/graphs.h"

#include <stdlib.h>
#include <string.h>

/* The names of one graph's inputs and outputs, by their order. */
static const char *in(const conure_graph_file *g, uint32_t i)
{
    return g->facts.inputs[i].name;
}

static const char *out_of(const conure_graph_file *g, uint32_t i)
{
    return g->facts.outputs[i].name;
}

static size_t state_floats(const conure_config *c)
{
    return (size_t)c->pred_layers * c->pred_hidden;
}

static uint32_t n_logits(const conure_config *c)
{
    return c->vocab_size + 1 + c->n_durations;
}

conure_status conure_ort_foreign_open(conure_ort *r, conure_error *err)
{
    const conure_model_graphs *g = r->model->graphs;
    conure_ort_encoder *encoder = NULL;
    /* Its damage is found here, once, and not with every recording. */
    CONURE_TRY(conure_ort_encoder_get(r, &encoder, NULL, err));
    CONURE_TRY(conure_ort_encoder_fit(r, encoder, 1, err));
    CONURE_TRY(conure_ort_session_open_file(r, &r->predict, g->decoder.path, false, err));
    return g->joiner.path ? conure_ort_session_open_file(r, &r->joint, g->joiner.path, false, err) : CONURE_OK;
}

/* Rows of `width` floats into rows of joint_hidden, or back; what is behind them is zero. */
static void pad(float *dst, size_t dst_width, const float *src, size_t src_width, uint32_t n)
{
    const size_t width = dst_width < src_width ? dst_width : src_width;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(dst + i * dst_width, src + i * src_width, width * sizeof *dst);
        if (width < dst_width)
            memset(dst + i * dst_width + width, 0, (dst_width - width) * sizeof *dst);
    }
}

conure_status conure_ort_foreign_project(conure_ort *r, const float *encoder, uint32_t n, float *out)
{
    pad(out, r->config->joint_hidden, encoder, r->config->d_model, n);
    return CONURE_OK;
}

/* What one run of a prediction network takes and gives; in onnx-asr's layout with frames and logits. */
typedef struct decoding {
    float *frames;              /* [n][d]; NULL: apart */
    const uint32_t *tokens;
    float *h_in, *c_in, *h_out, *c_out; /* [layers][n][hidden]; outs NULL: not wanted, bound all the same */
    float *out;                 /* logits [n][..], or predictions [n][hidden] */
    size_t out_width;
} decoding;

static conure_status run_decoder(conure_ort *r, const decoding *d, uint32_t n, conure_error *err)
{
    const conure_config *c = r->config;
    const conure_graph_file *g = &r->model->graphs->decoder;
    const uint32_t first = d->frames ? 1 : 0;
    const int64_t frames[3] = {n, c->d_model, 1}, targets[2] = {n, 1}, lengths[1] = {n}, states[3] = {c->pred_layers, n, c->pred_hidden};
    const int64_t logits[4] = {n, 1, 1, (int64_t)d->out_width}, predictions[3] = {n, (int64_t)d->out_width, 1};
    int32_t *ones = conure_calloc(2 * (size_t)n, sizeof *ones); /* lengths in, lengths out */
    if (!ones)
        return conure_fail_memory(err, "a decoder step", 2 * (size_t)n * sizeof *ones);
    for (uint32_t i = 0; i < n; i++)
        ones[i] = 1;
    conure_ort_call call = conure_ort_call_begin(r, &r->predict, err);
    if (d->frames)
        conure_ort_bind(&call, true, in(g, 0), CONURE_ONNX_FLOAT, d->frames, 3, frames);
    conure_ort_bind(&call, true, in(g, first), CONURE_ONNX_INT32, (uint32_t *)d->tokens, 2, targets);
    conure_ort_bind(&call, true, in(g, first + 1), CONURE_ONNX_INT32, ones, 1, lengths);
    conure_ort_bind(&call, true, in(g, first + 2), CONURE_ONNX_FLOAT, d->h_in, 3, states);
    conure_ort_bind(&call, true, in(g, first + 3), CONURE_ONNX_FLOAT, d->c_in, 3, states);
    conure_ort_bind(&call, false, out_of(g, 0), CONURE_ONNX_FLOAT, d->out, d->frames ? 4 : 3, d->frames ? logits : predictions);
    if (g->facts.outputs[1].type == CONURE_ONNX_INT32)
        conure_ort_bind(&call, false, out_of(g, 1), CONURE_ONNX_INT32, ones + n, 1, lengths);
    conure_ort_bind(&call, false, out_of(g, 2), CONURE_ONNX_FLOAT, d->h_out, 3, states);
    conure_ort_bind(&call, false, out_of(g, 3), CONURE_ONNX_FLOAT, d->c_out, 3, states);
    const conure_status status = conure_ort_call_run(&call, "the prediction network");
    free(ones);
    return status;
}

conure_status conure_ort_foreign_predict(conure_ort *r, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err)
{
    const conure_config *config = r->config;
    const bool apart = r->model->graphs->joiner.path != NULL;
    const size_t floats = state_floats(config), all = n * floats, layers = config->pred_layers, hidden = config->pred_hidden;
    const size_t width = apart ? (size_t)r->model->graphs->joiner.facts.inputs[1].dims[1] : n_logits(config);
    CONURE_TRY(conure_ort_room_fit(&r->decoder[0], 4 * all, "a decoder step", err));
    CONURE_TRY(conure_ort_room_fit(&r->decoder[2], n * (width + config->d_model), "a decoder step", err));
    float *room = r->decoder[0].data, *given = r->decoder[2].data;
    const decoding d = {.frames = apart ? NULL : given + n * width, .tokens = tokens, .h_in = room, .c_in = room + all,
                        .h_out = room + 2 * all, .c_out = room + 3 * all, .out = given, .out_width = width};
    if (!apart)
        memset(d.frames, 0, n * config->d_model * sizeof *d.frames);
    conure_ort_turn(d.h_in, h, n, layers, hidden);
    conure_ort_turn(d.c_in, c, n, layers, hidden);
    CONURE_TRY(run_decoder(r, &d, n, err));
    if (apart)
        pad(out, config->joint_hidden, given, width, n);
    for (uint32_t i = 0; !apart && i < n; i++) { /* the token's bits, the state before it */
        float *to = out + (size_t)i * config->joint_hidden;
        memset(to, 0, config->joint_hidden * sizeof *to);
        memcpy(to, &tokens[i], sizeof *to);
        memcpy(to + 1, h + i * floats, floats * sizeof *to);
        memcpy(to + 1 + floats, c + i * floats, floats * sizeof *to);
    }
    conure_ort_turn(h, d.h_out, layers, n, hidden);
    conure_ort_turn(c, d.c_out, layers, n, hidden);
    return CONURE_OK;
}

static conure_status joint_apart(conure_ort *r, float *frames, const float *predictions, uint32_t n, float *logits, conure_error *err)
{
    const conure_graph_file *g = &r->model->graphs->joiner;
    const int64_t width = g->facts.inputs[1].dims[1], d = r->config->d_model;
    const int64_t frame[3] = {n, d, 1}, prediction[3] = {n, width, 1}, out[4] = {n, 1, 1, n_logits(r->config)};
    CONURE_TRY(conure_ort_room_fit(&r->decoder[0], n * (size_t)width, "a joint step", err));
    pad(r->decoder[0].data, (size_t)width, predictions, r->config->joint_hidden, n);
    conure_ort_call call = conure_ort_call_begin(r, &r->joint, err);
    conure_ort_bind(&call, true, in(g, 0), CONURE_ONNX_FLOAT, frames, 3, frame);
    conure_ort_bind(&call, true, in(g, 1), CONURE_ONNX_FLOAT, r->decoder[0].data, 3, prediction);
    conure_ort_bind(&call, false, out_of(g, 0), CONURE_ONNX_FLOAT, logits, 4, out);
    return conure_ort_call_run(&call, "the joint");
}

static conure_status joint_in_one(conure_ort *r, float *frames, const float *predictions, uint32_t n, float *logits, conure_error *err)
{
    const conure_config *c = r->config;
    const size_t floats = state_floats(c), all = n * floats, layers = c->pred_layers, hidden = c->pred_hidden;
    uint32_t *tokens = conure_calloc(n, sizeof *tokens);
    conure_status status = tokens ? conure_ort_room_fit(&r->decoder[0], 5 * all, "a joint step", err)
                                  : conure_fail_memory(err, "a joint step", n * sizeof *tokens);
    if (status == CONURE_OK) {
        float *room = r->decoder[0].data, *state = room + 4 * all;
        const decoding d = {.frames = frames, .tokens = tokens, .h_in = room, .c_in = room + all, .h_out = room + 2 * all,
                            .c_out = room + 3 * all, .out = logits, .out_width = n_logits(c)};
        for (uint32_t part = 0; part < 2; part++) {
            for (uint32_t i = 0; i < n; i++) {
                const float *from = predictions + (size_t)i * c->joint_hidden;
                memcpy(&tokens[i], from, sizeof *tokens);
                memcpy(state + i * floats, from + 1 + part * floats, floats * sizeof *state);
            }
            conure_ort_turn(part ? d.c_in : d.h_in, state, n, layers, hidden);
        }
        status = run_decoder(r, &d, n, err);
    }
    free(tokens);
    return status;
}

conure_status conure_ort_foreign_joint(conure_ort *r, const float *frames, const float *predictions, uint32_t n, float *logits,
                                       conure_error *err)
{
    const size_t d = r->config->d_model;
    CONURE_TRY(conure_ort_room_fit(&r->decoder[2], n * d, "a joint step", err));
    pad(r->decoder[2].data, d, frames, r->config->joint_hidden, n);
    if (r->model->graphs->joiner.path)
        return joint_apart(r, r->decoder[2].data, predictions, n, logits, err);
    return joint_in_one(r, r->decoder[2].data, predictions, n, logits, err);
}

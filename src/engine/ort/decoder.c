/* decoder.c - prediction network and joint as three small sessions (onnx/decoder.h says why three: the projections of a frame
 * and of a prediction are used by many joints, and computed once). */
#include "engine/ort/ort.h"

#include "onnx/decoder.h"

#include <string.h>

static conure_status open_one(conure_ort *r, conure_ort_session *out, const char *name, void (*build)(conure_graph *graph), conure_error *err)
{
    conure_graph *g = NULL;
    CONURE_TRY(conure_graph_open(&g, r->model, name, CONURE_OPSET_MIN, CONURE_ONNX_FLOAT, err));
    build(g);
    const conure_status status = conure_ort_session_open(r, out, g, false, err);
    conure_graph_close(&g);
    return status;
}

conure_status conure_ort_decoder_open(conure_ort *r, conure_error *err)
{
    if (r->model->graphs)
        return conure_ort_foreign_open(r, err);
    CONURE_TRY(open_one(r, &r->project, "project", conure_project_build, err));
    CONURE_TRY(open_one(r, &r->predict, "predict", conure_predict_build, err));
    return open_one(r, &r->joint, "joint", conure_joint_build, err);
}

conure_status conure_ort_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    conure_ort *r = self;
    const int64_t in_shape[2] = {n, r->config->d_model}, out_shape[2] = {n, r->config->joint_hidden};
    if (n == 0)
        return CONURE_OK;
    if (r->model->graphs)
        return conure_ort_foreign_project(r, encoder, n, out);
    conure_ort_call call = conure_ort_call_begin(r, &r->project, err);
    conure_ort_bind(&call, true, "frames", CONURE_ONNX_FLOAT, (float *)encoder, 2, in_shape);
    conure_ort_bind(&call, false, "projected", CONURE_ONNX_FLOAT, out, 2, out_shape);
    return conure_ort_call_run(&call, "the joint's projection");
}

void conure_ort_turn(float *dst, const float *src, size_t a, size_t b, size_t width)
{
    for (size_t i = 0; i < a; i++)
        for (size_t j = 0; j < b; j++)
            memcpy(dst + (j * a + i) * width, src + (i * b + j) * width, width * sizeof *dst);
}

/* States go in and come out in rooms of ours: on failure the caller's have not changed. */
conure_status conure_ort_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err)
{
    conure_ort *r = self;
    const size_t layers = r->config->pred_layers, hidden = r->config->pred_hidden, floats = n * layers * hidden;
    const int64_t targets[2] = {n, 1}, states[3] = {(int64_t)layers, n, (int64_t)hidden}, prediction[3] = {n, 1, r->config->joint_hidden};
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] > r->config->vocab_size)
            return conure_fail(err, CONURE_BAD_ARG, "token %u: the vocabulary has %u", tokens[i], r->config->vocab_size);
    if (n == 0)
        return CONURE_OK;
    if (r->model->graphs)
        return conure_ort_foreign_predict(r, tokens, h, c, n, out, err);
    CONURE_TRY(conure_ort_room_fit(&r->decoder[0], 4 * floats, "a decoder step", err));
    float *h_in = r->decoder[0].data, *c_in = h_in + floats, *h_out = c_in + floats, *c_out = h_out + floats;
    conure_ort_turn(h_in, h, n, layers, hidden);
    conure_ort_turn(c_in, c, n, layers, hidden);
    conure_ort_call call = conure_ort_call_begin(r, &r->predict, err);
    conure_ort_bind(&call, true, "targets", CONURE_ONNX_INT32, (uint32_t *)tokens, 2, targets);
    conure_ort_bind(&call, true, "input_states_1", CONURE_ONNX_FLOAT, h_in, 3, states);
    conure_ort_bind(&call, true, "input_states_2", CONURE_ONNX_FLOAT, c_in, 3, states);
    conure_ort_bind(&call, false, "prediction", CONURE_ONNX_FLOAT, out, 3, prediction);
    conure_ort_bind(&call, false, "output_states_1", CONURE_ONNX_FLOAT, h_out, 3, states);
    conure_ort_bind(&call, false, "output_states_2", CONURE_ONNX_FLOAT, c_out, 3, states);
    const conure_status status = conure_ort_call_run(&call, "the prediction network");
    if (status != CONURE_OK)
        return status;
    conure_ort_turn(h, h_out, layers, n, hidden);
    conure_ort_turn(c, c_out, layers, n, hidden);
    return CONURE_OK;
}

conure_status conure_ort_joint(void *self, const float *const *frames, const float *const *predictions, uint32_t n, float *logits,
                               conure_error *err)
{
    conure_ort *r = self;
    const size_t joint = r->config->joint_hidden;
    const int64_t in_shape[2] = {n, (int64_t)joint}, out_shape[2] = {n, (int64_t)r->config->vocab_size + 1 + r->config->n_durations};
    if (n == 0)
        return CONURE_OK;
    CONURE_TRY(conure_ort_room_fit(&r->decoder[1], 2 * n * joint, "a joint step", err));
    float *frame = r->decoder[1].data, *prediction = frame + n * joint;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(frame + i * joint, frames[i], joint * sizeof *frame);
        memcpy(prediction + i * joint, predictions[i], joint * sizeof *prediction);
    }
    if (r->model->graphs)
        return conure_ort_foreign_joint(r, frame, prediction, n, logits, err);
    conure_ort_call call = conure_ort_call_begin(r, &r->joint, err);
    conure_ort_bind(&call, true, "projected", CONURE_ONNX_FLOAT, frame, 2, in_shape);
    conure_ort_bind(&call, true, "prediction", CONURE_ONNX_FLOAT, prediction, 2, in_shape);
    conure_ort_bind(&call, false, "logits", CONURE_ONNX_FLOAT, logits, 2, out_shape);
    return conure_ort_call_run(&call, "the joint");
}

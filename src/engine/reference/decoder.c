/* decoder.c - prediction network and joint of the reference.  What goes in and comes out is float, as the engine table has
 * it: a stream's h and c are rounded once a step. */
#include "engine/reference/reference.h"

#include "model/blocks.h"

#include <math.h>
#include <string.h>

/* Doubles for one call. */
static double *take(void **arena, size_t n, conure_error *err)
{
    double *room = conure_block_alloc(arena, n * sizeof *room);
    if (!room)
        (void)conure_fail_memory(err, "a decoder step", n * sizeof *room);
    return room;
}

static void narrow(float *dst, const double *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (float)src[i];
}

static void widen(double *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i];
}

/* y [n][w->n] = x W' + bias, back to floats. */
static conure_status to_floats(conure_ref *r, void **arena, float *out, const double *x, uint32_t n, const conure_ref_matrix *w,
                               conure_error *err)
{
    double *y = take(arena, (size_t)n * w->n, err);
    if (!y)
        return CONURE_NO_MEMORY;
    conure_ref_product(r, y, x, n, w);
    narrow(out, y, (size_t)n * w->n);
    return CONURE_OK;
}

conure_status conure_ref_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    conure_ref *r = self;
    void *arena = NULL;
    const size_t count = (size_t)n * r->config->d_model;
    double *x = take(&arena, count, err);
    conure_status status = CONURE_NO_MEMORY;
    if (x) {
        widen(x, encoder, count);
        status = to_floats(r, &arena, out, x, n, &r->decoder.enc, err);
    }
    conure_blocks_free(&arena);
    return status;
}

/* z = Wih a + bih + Whh h + bhh; i, f, g, o are its quarters; c = f c + i g, h = o tanh(c). */
static void cell(double *h, double *c, const double *from_input, const double *from_state, size_t hidden)
{
    for (size_t j = 0; j < hidden; j++) {
        double z[4];
        for (size_t gate = 0; gate < 4; gate++)
            z[gate] = from_input[gate * hidden + j] + from_state[gate * hidden + j];
        c[j] = conure_ref_sigmoid(z[1]) * c[j] + conure_ref_sigmoid(z[0]) * tanh(z[2]);
        h[j] = conure_ref_sigmoid(z[3]) * tanh(c[j]);
    }
}

/* One stream through all layers: state [2][layers][hidden], h then c; in [hidden] becomes the last layer's h. */
static void lstm(conure_ref *r, double *state, double *in, double *gates)
{
    const size_t hidden = r->config->pred_hidden, layers = r->config->pred_layers;
    for (size_t l = 0; l < layers; l++) {
        double *h = state + l * hidden, *c = state + (layers + l) * hidden;
        conure_ref_product(r, gates, in, 1, &r->decoder.input[l]);
        conure_ref_product(r, gates + 4 * hidden, h, 1, &r->decoder.recurrent[l]);
        cell(h, c, gates, gates + 4 * hidden, hidden);
        memcpy(in, h, hidden * sizeof *in);
    }
}

conure_status conure_ref_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err)
{
    conure_ref *r = self;
    const size_t hidden = r->config->pred_hidden, per_stream = r->config->pred_layers * hidden;
    void *arena = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (tokens[i] > r->config->vocab_size)
            return conure_fail(err, CONURE_BAD_ARG, "token %u: the vocabulary has %u", tokens[i], r->config->vocab_size);
    double *last = take(&arena, n * hidden, err), *state = take(&arena, n * 2 * per_stream, err), *gates = take(&arena, 8 * hidden, err);
    conure_status status = last && state && gates ? CONURE_OK : CONURE_NO_MEMORY;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        double *mine = state + i * 2 * per_stream;
        widen(mine, h + i * per_stream, per_stream);
        widen(mine + per_stream, c + i * per_stream, per_stream);
        memcpy(last + i * hidden, r->decoder.embed + tokens[i] * hidden, hidden * sizeof *last);
        lstm(r, mine, last + i * hidden, gates);
    }
    if (status == CONURE_OK)
        status = to_floats(r, &arena, out, last, n, &r->decoder.pred, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) { /* all is done: the states may change */
        narrow(h + i * per_stream, state + i * 2 * per_stream, per_stream);
        narrow(c + i * per_stream, state + i * 2 * per_stream + per_stream, per_stream);
    }
    conure_blocks_free(&arena);
    return status;
}

conure_status conure_ref_joint(void *self, const float *const *frames, const float *const *predictions, uint32_t n, float *logits,
                               conure_error *err)
{
    conure_ref *r = self;
    const size_t joint = r->config->joint_hidden;
    void *arena = NULL;
    double *x = take(&arena, n * joint, err);
    conure_status status = CONURE_NO_MEMORY;
    for (size_t i = 0; x && i < n; i++)
        for (size_t j = 0; j < joint; j++) {
            const double sum = (double)frames[i][j] + (double)predictions[i][j];
            x[i * joint + j] = sum < 0 ? 0 : sum; /* NaN stays NaN */
        }
    if (x)
        status = to_floats(r, &arena, logits, x, n, &r->decoder.out, err);
    conure_blocks_free(&arena);
    return status;
}

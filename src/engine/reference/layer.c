/* layer.c - one Conformer layer of the reference: feed forward, attention, convolution, feed forward, norm. */
#include "engine/reference/reference.h"

#include "model/blocks.h"

#include <math.h>
#include <string.h>

/* x += 0.5 * linear2(silu(linear1(norm(x)))) */
static conure_status feed_forward(conure_ref_step *s, const conure_ref_norm *norm, const conure_ref_matrix *linear1,
                                  const conure_ref_matrix *linear2)
{
    const size_t rows = (size_t)s->n_rows, d = s->r->config->d_model, ff = s->r->config->ff_width;
    double *normed = conure_ref_take(s, rows, d), *wide = conure_ref_take(s, rows, ff), *add = conure_ref_take(s, rows, d);
    if (!normed || !wide || !add)
        return CONURE_NO_MEMORY;
    conure_ref_layer_norm(normed, s->x, rows, d, norm);
    conure_ref_product(s->r, wide, normed, rows, linear1);
    for (size_t i = 0; i < rows * ff; i++)
        wide[i] = conure_ref_silu(wide[i]);
    conure_ref_product(s->r, add, wide, rows, linear2);
    for (size_t i = 0; i < rows * d; i++)
        s->x[i] += 0.5 * add[i];
    conure_ref_note(s->r, linear2->tensor->name, s->x, rows * d);
    return CONURE_OK;
}

/* Depthwise convolution, batch norm and SiLU of w [d][left + T + right] into out [T][d]. */
static void depthwise(const conure_ref_step *s, const conure_ref_layer *y, const double *w, double *out)
{
    const conure_config *c = s->r->config;
    const size_t d = c->d_model, kernel = c->conv_kernel, rows = (size_t)s->n_rows, columns = rows + kernel - 1;
    for (size_t t = 0; t < rows; t++)
        for (size_t i = 0; i < d; i++) {
            double sum = 0;
            for (size_t k = 0; k < kernel; k++)
                sum += y->depthwise[i * kernel + k] * w[i * columns + t + k];
            sum += y->depthwise_bias ? y->depthwise_bias[i] : 0;
            sum = (sum - y->running_mean[i]) / sqrt(y->running_var[i] + 1e-5) * y->batch_norm.weight[i] + y->batch_norm.bias[i];
            out[t * d + i] = sum;
        }
    conure_ref_note(s->r, "a batch norm of encoder.layers", out, rows * d);
    for (size_t i = 0; i < rows * d; i++)
        out[i] = conure_ref_silu(out[i]);
}

/* x += pointwise2(silu(batch_norm(depthwise(glu(pointwise1(norm(x))))))), and the layer's time cache moves on. */
static conure_status convolve(conure_ref_step *s, uint32_t layer)
{
    conure_ref *r = s->r;
    const conure_ref_layer *y = &r->layers[layer];
    const size_t rows = (size_t)s->n_rows, d = r->config->d_model, left = r->config->conv_left, right = r->config->conv_right;
    const size_t columns = left + rows + right;
    double *normed = conure_ref_take(s, rows, d), *u = conure_ref_take(s, rows, 2 * d), *w = conure_ref_take(s, d, columns);
    double *out = conure_ref_take(s, rows, d), *add = conure_ref_take(s, rows, d);
    if (!normed || !u || !w || !out || !add)
        return CONURE_NO_MEMORY;
    conure_ref_layer_norm(normed, s->x, rows, d, &y->norm_conv);
    conure_ref_product(r, u, normed, rows, &y->pointwise_conv1);
    for (size_t i = 0; i < d; i++) {
        if (s->state && left)
            memcpy(w + i * columns, s->state->time[s->state->current] + (layer * d + i) * left, left * sizeof *w);
        for (size_t t = 0; t < rows; t++) /* the first half is the value, the second the gate; padding is zero */
            if (conure_ref_valid(s, s->n_past + (int64_t)t))
                w[i * columns + left + t] = u[t * 2 * d + i] * conure_ref_sigmoid(u[t * 2 * d + d + i]);
    }
    if (s->state)
        conure_ref_state_advance_time(s, layer, w);
    depthwise(s, y, w, out);
    conure_ref_product(r, add, out, rows, &y->pointwise_conv2);
    for (size_t i = 0; i < rows * d; i++)
        s->x[i] += add[i];
    conure_ref_note(r, y->pointwise_conv2.tensor->name, s->x, rows * d);
    return CONURE_OK;
}

conure_status conure_ref_layer_run(conure_ref_step *s, uint32_t layer)
{
    const conure_ref_layer *y = &s->r->layers[layer];
    const size_t rows = (size_t)s->n_rows, d = s->r->config->d_model;
    CONURE_TRY(feed_forward(s, &y->norm_feed_forward1, &y->linear1[0], &y->linear2[0]));
    CONURE_TRY(conure_ref_attention_run(s, layer));
    CONURE_TRY(convolve(s, layer));
    CONURE_TRY(feed_forward(s, &y->norm_feed_forward2, &y->linear1[1], &y->linear2[1]));
    double *normed = conure_ref_take(s, rows, d);
    if (!normed)
        return CONURE_NO_MEMORY;
    conure_ref_layer_norm(normed, s->x, rows, d, &y->norm_out);
    memcpy(s->x, normed, rows * d * sizeof *normed);
    return CONURE_OK;
}

/* attention.c - relative-position attention of the reference, with the keys of the cache in front:
 *
 *     S[i][j] = ((q_i + u) k_j + (q_i + w) R_(C+i-j)) / sqrt(head width),   R_r = Wpos e(r)
 *
 * for the queries of this step, i = 0 .. T - 1, and the keys j = 0 .. C + T - 1 of [cache ; this step]. */
#include "engine/reference/reference.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tables of R above this are made anew for every layer and step. */
static const size_t TABLE_BYTES_MAX = (size_t)1 << 30;

/* e(r) [d] = sin(r w_a), cos(r w_a) in turn, w_a = 10000^(-2a/d).  The model was trained with a table of floats, of float
 * angles: its values are as much a part of it as its weights are, so they are rounded as they were there. */
static void wave(double *e, int64_t r, uint32_t d)
{
    for (uint32_t a = 0; a < d / 2; a++) {
        const float exponent = (float)(2 * a) * (float)(-log(10000.0) / d), w = (float)exp((double)exponent);
        const float angle = (float)r * w;
        e[2 * a] = (double)(float)sin((double)angle);
        e[2 * a + 1] = (double)(float)cos((double)angle);
    }
}

/* R_r for r = radius .. -radius, of one layer, into rows [2 radius + 1][d]; waves as large. */
static void project(conure_ref *r, uint32_t layer, int64_t radius, const double *waves, double *rows)
{
    conure_ref_product(r, rows, waves, (size_t)(2 * radius + 1), &r->layers[layer].linear_pos);
}

static double *all_waves(int64_t radius, uint32_t d)
{
    double *waves = conure_calloc((size_t)(2 * radius + 1) * d, sizeof *waves);
    for (int64_t i = 0; waves && i <= 2 * radius; i++)
        wave(waves + (size_t)i * d, radius - i, d);
    return waves;
}

/* The layer's R, with *radius at least the number of keys less one.  Rows that the table has are those that a longer or
 * a shorter one has. */
static conure_status positions(conure_ref_step *s, uint32_t layer, int64_t n_keys, const double **out, int64_t *radius)
{
    conure_ref *r = s->r;
    const uint32_t d = r->config->d_model, n_layers = r->config->n_layers;
    const int64_t rounded = (n_keys + 63) / 64 * 64;
    const size_t per_layer = (size_t)(2 * rounded + 1) * d;
    const bool keep = per_layer * n_layers * sizeof(double) <= TABLE_BYTES_MAX;
    if (r->radius < n_keys - 1) {
        double *waves = all_waves(rounded, d);
        double *rows = keep ? conure_calloc(n_layers, per_layer * sizeof *rows) : conure_ref_take(s, (size_t)(2 * rounded + 1), d);
        if (!waves || !rows) {
            free(waves);
            free(keep ? rows : NULL);
            return conure_fail_memory(s->err, "relative positions", per_layer * sizeof *rows);
        }
        for (uint32_t i = 0; i < (keep ? n_layers : 1); i++)
            project(r, keep ? i : layer, rounded, waves, rows + i * per_layer);
        free(waves);
        *out = rows;
        *radius = rounded;
        if (!keep)
            return CONURE_OK;
        free(r->positions);
        r->positions = rows;
        r->radius = rounded;
    }
    *radius = r->radius;
    *out = r->positions + layer * (size_t)(2 * r->radius + 1) * d;
    return CONURE_OK;
}

/* ---- masks ------------------------------------------------------------------------------------ */

/* The context rule, on positions of [cache ; this step]. */
static bool in_context(const conure_config *c, int64_t query, int64_t key)
{
    const int64_t left = c->att_left, right = c->att_right;
    if (c->att_style == CONURE_CHUNKED_LIMITED && right >= 0) {
        const int64_t chunk = right + 1, chunks_left = left >= 0 ? left / chunk : 10000;
        const int64_t back = query / chunk - key / chunk;
        return back >= 0 && back <= chunks_left;
    }
    if (c->att_style == CONURE_CHUNKED_LIMITED)
        return left < 0 || query - key <= left;
    return (left < 0 || query - key <= left) && (right < 0 || key - query <= right);
}

/* Scores to weights.  NeMo's way: what is masked is -10000 in the softmax and 0 behind it, with no further normalisation,
 * so that where all else is far below -10000 nothing is left.  The exact way: what is masked takes no part. */
static void softmax(double *score, const bool *allowed, int64_t n, bool nemo)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        if (!allowed[j])
            score[j] = nemo ? -10000.0 : -INFINITY;
        most = score[j] > most ? score[j] : most;
    }
    for (int64_t j = 0; j < n; j++) {
        score[j] = score[j] == -INFINITY ? 0 : exp(score[j] - most);
        sum += score[j];
    }
    for (int64_t j = 0; j < n; j++)
        score[j] = allowed[j] ? score[j] / sum : 0;
}

/* ---- one query, one head ---------------------------------------------------------------------- */

typedef struct attention {
    const conure_ref_step *s;
    const conure_ref_layer *y;
    const double *q, *k, *v, *positions; /* [T][d], [N][d], [N][d], [2 radius + 1][d] */
    int64_t radius, n_keys;
    double *dst;                         /* [T][d] */
    double *score;                       /* [threads][N] */
    double *query;                       /* [threads][2 * head width]: q + u, q + w */
    double *most;                        /* [threads]: the largest score so far */
    bool *allowed;                       /* [threads][N] */
} attention;

static void attend(void *arg, uint32_t item, uint32_t worker)
{
    const attention *a = arg;
    const conure_config *c = a->s->r->config;
    const size_t d = c->d_model, width = d / c->n_heads, at = item % c->n_heads * width;
    const int64_t i = item / c->n_heads, position = a->s->n_past + i;
    double *score = a->score + worker * (size_t)a->n_keys, *with_u = a->query + worker * 2 * width, *with_w = with_u + width;
    bool *allowed = a->allowed + worker * (size_t)a->n_keys;
    for (size_t e = 0; e < width; e++) {
        with_u[e] = a->q[(size_t)i * d + at + e] + a->y->pos_bias_u[at + e];
        with_w[e] = a->q[(size_t)i * d + at + e] + a->y->pos_bias_v[at + e];
    }
    for (int64_t j = 0; j < a->n_keys; j++) {
        const double *pos = a->positions + (size_t)(a->radius - (position - j)) * d + at;
        score[j] = (conure_ref_dot(with_u, a->k + (size_t)j * d + at, width) + conure_ref_dot(with_w, pos, width)) / sqrt((double)width);
        allowed[j] = conure_ref_valid(a->s, position) && conure_ref_valid(a->s, j) && in_context(c, position, j);
        if (allowed[j] && !(fabs(score[j]) <= a->most[worker]))
            a->most[worker] = conure_ref_magnitude(score + j, 1);
    }
    softmax(score, allowed, a->n_keys, a->s->r->mask == CONURE_MASK_NEMO);
    double *dst = a->dst + (size_t)i * d + at;
    for (size_t e = 0; e < width; e++)
        dst[e] = 0;
    for (int64_t j = 0; j < a->n_keys; j++)
        for (size_t e = 0; e < width && allowed[j]; e++)
            dst[e] += score[j] * a->v[(size_t)j * d + at + e];
}

conure_status conure_ref_attention_run(conure_ref_step *s, uint32_t layer)
{
    conure_ref *r = s->r;
    const conure_ref_layer *y = &r->layers[layer];
    const size_t d = r->config->d_model, threads = conure_pool_threads(r->pool), rows = (size_t)s->n_rows, past = (size_t)s->n_past;
    const size_t n = past + rows, width = d / r->config->n_heads;
    double *m = conure_ref_take(s, n, d), *q = conure_ref_take(s, rows, d), *k = conure_ref_take(s, n, d), *v = conure_ref_take(s, n, d);
    double *out = conure_ref_take(s, rows, d), *add = conure_ref_take(s, rows, d), *score = conure_ref_take(s, threads, n);
    double *query = conure_ref_take(s, threads, 2 * width), *allowed = conure_ref_take(s, threads, n), *most = conure_ref_take(s, threads, 1);
    if (!m || !q || !k || !v || !out || !add || !score || !query || !allowed || !most)
        return CONURE_NO_MEMORY;
    if (past)
        memcpy(m, s->state->channel[s->state->current] + layer * past * d, past * d * sizeof *m);
    double *normed = m + past * d; /* keys and values see [cache ; normed] */
    conure_ref_layer_norm(normed, s->x, rows, d, &y->norm_self_att);
    if (s->state)
        conure_ref_state_advance_channel(s, layer, normed);
    if (!rows)
        return CONURE_OK;
    conure_ref_product(r, q, normed, rows, &y->linear_q);
    conure_ref_product(r, k, m, n, &y->linear_k);
    conure_ref_product(r, v, m, n, &y->linear_v);
    attention a = {.s = s, .y = y, .q = q, .k = k, .v = v, .n_keys = (int64_t)n, .dst = out, .score = score, .query = query,
                   .most = most, .allowed = (bool *)(void *)allowed};
    CONURE_TRY(positions(s, layer, (int64_t)n, &a.positions, &a.radius));
    conure_pool_run(r->pool, (uint32_t)rows * r->config->n_heads, attend, &a);
    conure_ref_note_scores(r, y->linear_q.tensor->name, conure_ref_magnitude(most, threads));
    conure_ref_product(r, add, out, rows, &y->linear_out);
    for (size_t i = 0; i < rows * d; i++)
        s->x[i] += add[i];
    conure_ref_note(r, y->linear_out.tensor->name, s->x, rows * d);
    return CONURE_OK;
}

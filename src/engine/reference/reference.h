/* reference.h - the parts of the engine "ref": the network once more, in double precision, in plain loops.
 *
 * It is there to be right and to be read beside docs/model.md, not to be fast: the yardstick of float32's noise, and a
 * second opinion on the native engine, of which it uses nothing.  Both read the same weights through model/, and both
 * take the same float features; everything between is written anew.  Sums run in one order, whatever the threads and
 * the batch, so the same input gives the same bits.
 *
 * Matrices are [rows][columns], row-major, contiguous. */
#ifndef CONURE_ENGINE_REFERENCE_REFERENCE_H
#define CONURE_ENGINE_REFERENCE_REFERENCE_H

#include "base/threads.h"
#include "engine/engine.h"
#include "engine/reference/range.h"

#define CONURE_REF_FACTOR 8 /* mel frames to one encoder frame */

/* y = W x + bias.  The weights stay in the model as they are stored and are widened as they are used: a model of 0.6 B
 * parameters would take 5 GB as doubles. */
typedef struct conure_ref_matrix {
    const conure_tensor *tensor; /* [n][k] */
    const double *bias;          /* [n]; NULL: none */
    uint32_t n, k;
} conure_ref_matrix;

/* Gain and offset of a normalisation. */
typedef struct conure_ref_norm {
    const double *weight, *bias;
} conure_ref_norm;

/* The five convolutions in front: conv 0, 2 and 5 are 3x3, 3 and 6 are pointwise. */
typedef struct conure_ref_front {
    const double *weight[3], *bias[3]; /* [channels][3][3], [channels] */
    conure_ref_matrix pointwise[2], out;
} conure_ref_front;

/* One Conformer layer, by NeMo's names. */
typedef struct conure_ref_layer {
    conure_ref_norm norm_feed_forward1, norm_self_att, norm_conv, norm_feed_forward2, norm_out;
    conure_ref_matrix linear1[2], linear2[2]; /* of feed_forward1 and feed_forward2 */
    conure_ref_matrix linear_q, linear_k, linear_v, linear_out, linear_pos;
    const double *pos_bias_u, *pos_bias_v;    /* [d] */
    conure_ref_matrix pointwise_conv1, pointwise_conv2;
    const double *depthwise, *depthwise_bias; /* [d][kernel], [d] or NULL */
    conure_ref_norm batch_norm;
    const double *running_mean, *running_var; /* [d] */
} conure_ref_layer;

typedef struct conure_ref_decoder {
    const double *embed;                                 /* [V + 1][hidden] */
    conure_ref_matrix input[CONURE_PREDICTOR_LAYERS_MAX]; /* weight_ih, bias_ih */
    conure_ref_matrix recurrent[CONURE_PREDICTOR_LAYERS_MAX];
    conure_ref_matrix pred, enc, out;                    /* joint.pred, joint.enc, joint.joint_net.2 */
} conure_ref_decoder;

typedef struct conure_ref {
    const conure_model *model;
    const conure_config *config;
    conure_mask mask;
    const volatile int *cancel;
    conure_progress_fn progress;
    void *progress_user;
    conure_probe_fn probe;
    void *probe_user;
    conure_ref_range *range;   /* NULL: nobody asks */
    conure_pool *pool;
    void *arena;               /* what follows, and every vector above, as doubles */
    conure_ref_front front;
    conure_ref_layer *layers;  /* [n_layers] */
    conure_ref_decoder decoder;
    double *room;              /* [threads][room_doubles]: a block of weights of each worker */
    size_t room_doubles;
    float *ones;               /* as many as any matrix has rows */
    double *positions;         /* [n_layers][2 radius + 1][d]: Wpos e(r), r = radius .. -radius; owned */
    int64_t radius;            /* -1: none yet */
    char description[160];
} conure_ref;

/* The caches of one stream.  A step writes the other half of each pair; commit turns to it, so that a step that fails
 * has changed nothing. */
struct conure_state {
    conure_cache_options options;
    double *channel[2]; /* [n_layers][cache_rows][d], valid rows last */
    double *time[2];    /* [n_layers][d][conv_left] */
    int current;        /* the half to read */
    int64_t length;     /* cache_last_channel_len */
    bool broken;        /* NeMo's rule left less rows than the cache has: the next step cannot be done */
    bool in_step;       /* so that a batch cannot have it twice */
};

/* One row of a batch on its way through the network. */
typedef struct conure_ref_step {
    conure_ref *r;
    conure_encode_row *row;
    conure_state *state;    /* NULL: offline */
    void *arena;            /* what this step takes, given back at its end */
    int64_t n_rows;         /* T: rows of x, padding included */
    int64_t n_valid;        /* n: of these, valid */
    int64_t n_past;         /* C: cached rows in front of them, 0 offline */
    int64_t n_past_valid;   /* len; can be below 0 under NeMo's rule */
    double *x;              /* [T][d]: the residual stream */
    conure_error *err;
} conure_ref_step;

/* Position p of [cache ; this step's rows] holds something: p >= C - len and p < C + n. */
static inline bool conure_ref_valid(const conure_ref_step *s, int64_t p)
{
    return p >= s->n_past - s->n_past_valid && p < s->n_past + s->n_valid;
}

/* Doubles that live as long as the step, zeros; NULL, with the error filled in, when memory is short. */
double *conure_ref_take(conure_ref_step *s, size_t rows, size_t columns);

/* ---- weights.c ---- */
conure_status conure_ref_load(conure_ref *r, conure_error *err);
/* Rows first .. first + count - 1 of a matrix as doubles [count][k]; narrow: room for as many floats. */
void conure_ref_rows(const conure_ref *r, const conure_tensor *tensor, size_t first, size_t count, double *dst, float *narrow);

/* ---- product.c ---- */
/* y [rows][w->n] = x [rows][w->k] W' + bias. */
void conure_ref_product(conure_ref *r, double *y, const double *x, size_t rows, const conure_ref_matrix *w);
/* Doubles that a worker's block of the widest matrix takes. */
size_t conure_ref_room_doubles(size_t k);
double conure_ref_dot(const double *a, const double *b, size_t n);
double conure_ref_sigmoid(double x);
double conure_ref_silu(double x);
void conure_ref_layer_norm(double *y, const double *x, size_t rows, size_t d, const conure_ref_norm *norm);

/* ---- range.c ---- */
/* The largest |x| of n values; infinite where one is no number. */
double conure_ref_magnitude(const double *x, size_t n);
/* Activations x [n] went by, of the weight (or block) `where`; a layer's scores up to that magnitude. */
void conure_ref_note(const conure_ref *r, const char *where, const double *x, size_t n);
void conure_ref_note_scores(const conure_ref *r, const char *where, double magnitude);

/* ---- front.c ---- */
int64_t conure_ref_frames(int64_t mel_frames); /* ceil(n / 8) */
conure_status conure_ref_front_run(conure_ref_step *s);

/* ---- attention.c ---- */
/* x += attention(norm_self_att(x)), and the layer's rows of the attention cache move on. */
conure_status conure_ref_attention_run(conure_ref_step *s, uint32_t layer);

/* ---- layer.c ---- */
conure_status conure_ref_layer_run(conure_ref_step *s, uint32_t layer);

/* ---- state.c ---- */
conure_status conure_ref_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err);
void conure_ref_state_close(void *self, conure_state **state);
void conure_ref_state_reset(void *self, conure_state *state);
conure_status conure_ref_state_export(void *self, const conure_state *state, float *last_channel, float *last_time,
                                      int64_t *length, conure_error *err);
conure_status conure_ref_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time,
                                      int64_t length, conure_error *err);
void conure_ref_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory);
int64_t conure_ref_state_length(const void *self, const conure_state *state);
conure_status conure_ref_state_save(void *self, const conure_state *state, void *dst, conure_error *err);
conure_status conure_ref_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err);
/* Of a step's T rows of norm_self_att(x), those that are kept, into the other half. */
void conure_ref_state_advance_channel(conure_ref_step *s, uint32_t layer, const double *rows);
/* w [d][left + T + right] = [cache | this step's columns | zeros]: the convolution's input. */
void conure_ref_state_advance_time(conure_ref_step *s, uint32_t layer, const double *w);
void conure_ref_state_commit(conure_state *state, int64_t n_rows);

/* ---- decoder.c ---- */
conure_status conure_ref_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err);
conure_status conure_ref_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err);
conure_status conure_ref_joint(void *self, const float *const *frames, const float *const *predictions, uint32_t n, float *logits,
                               conure_error *err);

#endif

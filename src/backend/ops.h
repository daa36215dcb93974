/* ops.h - the operations our encoder and decoder are written on.  A backend is one table of them:
 * the CPU's is the reference; a GPU's is the same list on device memory.
 *
 * Activations are float32, row-major, one row per frame, in memory from alloc().  Rows of different
 * utterances stand one after another (no padding between them), described by spans, so a batch of
 * unequal lengths needs no mask and every row comes out as it would alone.
 * All functions of one backend instance are called from one thread at a time. */
#ifndef CONURE_BACKEND_OPS_H
#define CONURE_BACKEND_OPS_H

#include "base/error.h"
#include "conure.h"
#include "model/model.h"

typedef struct conure_backend_options {
    uint32_t n_threads;
    const char *isa;            /* see conure_cpu_features() */
    conure_precision precision; /* of matrix products with weights; never DEFAULT */
    const volatile int *cancel; /* NULL, or a flag: once set, operations may leave their results
                                   unfinished, and the next wait() says so */
    conure_log log;
} conure_backend_options;

/* A weight matrix W [n][k] with its bias, in the backend's own form. */
typedef struct conure_weight conure_weight;

/* A matrix of rows; stride in elements, >= cols. */
typedef struct conure_rows {
    float *data;
    size_t stride;
    uint32_t rows, cols;
} conure_rows;

typedef enum conure_epilogue {
    CONURE_STORE = 0, /* dst = y                     where y = W x + bias */
    CONURE_RELU,      /* dst = max(y, 0) */
    CONURE_SILU,      /* dst = y / (1 + exp(-y)) */
    CONURE_GLU,       /* dst[i] = y[i] * sigmoid(y[i + n/2]), dst has n/2 columns */
    CONURE_ADD,       /* dst = residual + alpha * y; residual may be dst; residual.data NULL: zeros */
} conure_epilogue;

/* One product of linear(): several that share their input may go together. */
typedef struct conure_product {
    const conure_weight *weight;
    conure_rows dst; /* rows = src rows; cols = n, or n/2 for GLU */
    conure_epilogue epilogue;
    conure_rows residual; /* ADD */
    float alpha;          /* ADD */
} conure_product;

/* One utterance's part of the stacked rows. */
typedef struct conure_span {
    uint32_t first_row; /* in the stacked matrix of queries (this step's frames) */
    uint32_t n_rows;
    uint32_t kv_row;    /* in the stacked matrix of keys and values */
    uint32_t n_past;    /* C: cached rows in front; keys are n_past + n_rows */
    uint32_t key_first; /* keys key_first .. key_end - 1 are valid, positions counted from kv_row; others
                           are never read; */
    uint32_t key_end;   /* query i is valid when position n_past + i is */
} conure_span;

typedef struct conure_attention {
    uint32_t n_heads, head_dim;
    conure_rows q, k, v, dst;        /* cols = n_heads * head_dim */
    const float *bias_u, *bias_v;    /* [n_heads * head_dim], added to q before the two products */
    conure_rows pos;                 /* row i is Wpos e(pos_first - i): r descends; covers every
                                        r = n_past + i - j of every span's valid queries and keys */
    int32_t pos_first;
    const conure_span *spans;
    uint32_t n_spans;
    int32_t left, right;             /* att_context_size; -1 unlimited */
    conure_context_style style;
    conure_mask mask;                /* NEMO or EXACT */
} conure_attention;

/* The depthwise convolution over time with its folded norm and SiLU (spec 3.2 steps 3 to 6).
 * Row t of dst = silu(bias + sum_k weight[k] * x[t + k - left]), where rows before the span come from
 * history (NULL: zeros), rows from n_valid on and after the span are zero. */
typedef struct conure_conv {
    conure_rows src, dst;
    const float *weight; /* [kernel][cols] */
    const float *bias;   /* [cols] */
    uint32_t kernel, left;
    const conure_span *spans; /* n_rows, and valid rows as key_first/key_end minus n_past say */
    uint32_t n_spans;
    const float *const *history; /* NULL, or n_spans pointers to [left][cols] */
} conure_conv;

/* One stride-2 3x3 stage of the subsampling, on images [height][width][channels] of one utterance. */
typedef struct conure_subsample {
    const float *src;    /* [height][width][channels_in] */
    float *dst;          /* [ceil(height/2)][ceil(width/2)][channels] */
    uint32_t height, width;
    uint32_t channels;   /* of dst; channels_in is 1 (first stage) or the same (depthwise) */
    bool depthwise;
    bool relu;
    const float *weight; /* [3][3][channels] */
    const float *bias;   /* [channels] */
} conure_subsample;

/* Rows on their way to or from a place where they are kept between calls, as f32 or as bf16. */
typedef struct conure_stored {
    conure_rows rows; /* the f32 side; its shape is that of both */
    void *data;       /* the kept side, from alloc(): float or uint16_t [rows][stride] */
    size_t stride;    /* in elements, >= cols */
    bool bf16;
} conure_stored;

typedef struct conure_ops {
    const char *name; /* "cpu" */

    conure_status (*open)(void **self, const conure_backend_options *options, conure_error *err);
    void (*close)(void **self);
    /* "avx512 vnni, 2 threads"; belongs to self. */
    const char *(*describe)(const void *self);

    /* Backend memory, CONURE_ALIGN-aligned, not zeroed. */
    conure_status (*alloc)(void *self, void **out, size_t bytes, conure_error *err);
    void (*free)(void *self, void *memory);
    conure_status (*upload)(void *self, void *dst, const void *src, size_t bytes, conure_error *err);
    conure_status (*download)(void *self, void *dst, const void *src, size_t bytes, conure_error *err);
    conure_status (*copy)(void *self, void *dst, const void *src, size_t bytes, conure_error *err);
    conure_status (*zero)(void *self, void *dst, size_t bytes, conure_error *err);

    /* Bring a matrix (n = shape[0], k = the rest) and its bias ([n] host floats, NULL: none) into the
     * form this precision computes with.  May refer to the tensor's memory instead of copying. */
    conure_status (*weight_create)(void *self, conure_weight **out, const conure_tensor *matrix,
                                   const float *bias, conure_error *err);
    void (*weight_free)(void *self, conure_weight **weight);
    /* The weight refers to the tensor's memory; otherwise that may be given back. */
    bool (*weight_borrows)(const conure_weight *weight);

    /* Every product of src [rows][k] with its weight. A row's result does not depend on the others. */
    conure_status (*linear)(void *self, conure_rows src, const conure_product *products,
                            uint32_t n_products, conure_error *err);
    /* dst = (x - mean) / sqrt(var + 1e-5) * gamma + beta per row; dst may be src. */
    conure_status (*layer_norm)(void *self, conure_rows dst, conure_rows src, const float *gamma,
                                const float *beta, conure_error *err);
    conure_status (*attention)(void *self, const conure_attention *a, conure_error *err);
    conure_status (*conv)(void *self, const conure_conv *c, conure_error *err);
    conure_status (*subsample)(void *self, const conure_subsample *s, conure_error *err);
    /* [rows = height][width][channels] -> dst row h, column c * width + w (spec 2, "Flatten"). */
    conure_status (*flatten)(void *self, conure_rows dst, const float *src, uint32_t width,
                             uint32_t channels, conure_error *err);
    /* Gates in torch order i f g o [rows][4 * hidden] -> c (in and out) and h [rows][hidden]. */
    conure_status (*lstm_cell)(void *self, conure_rows h, conure_rows c, conure_rows gates,
                               conure_error *err);
    /* dst[r] = max(a[r] + b[r], 0) */
    conure_status (*add_relu)(void *self, conure_rows dst, conure_rows a, conure_rows b,
                              conure_error *err);
    /* rows -> data of each of n, bf16 rounded to nearest even; no two of them overlap. */
    conure_status (*store_rows)(void *self, const conure_stored *stored, uint32_t n,
                                conure_error *err);
    /* data -> rows, exactly. */
    conure_status (*load_rows)(void *self, const conure_stored *stored, uint32_t n,
                               conure_error *err);
    /* Work queued before is done when this returns; CANCELLED when the cancel flag left some undone.
     * (optional) NULL: calls are synchronous and never leave work undone. */
    conure_status (*wait)(void *self, conure_error *err);
} conure_ops;

extern const conure_ops conure_ops_cpu;

#endif

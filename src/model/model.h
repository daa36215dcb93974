/* model.h - a checkpoint in memory: configuration, named tensors, tokenizer.  Whatever file it came
 * from, tensors carry NeMo's names (spec.c lists them) and the encoder asks for them by name. */
#ifndef CONURE_MODEL_MODEL_H
#define CONURE_MODEL_MODEL_H

#include "base/error.h"
#include "base/files.h"
#include "conure.h"
#include "model/tokenizer.h"

#include <pthread.h>

typedef enum conure_dtype {
    CONURE_F32 = 1,
    CONURE_F16,
    CONURE_BF16,
    CONURE_I8,
    CONURE_I32,
    CONURE_I64,
    CONURE_F64,
} conure_dtype;

size_t conure_dtype_bytes(conure_dtype dtype);
const char *conure_dtype_name(conure_dtype dtype); /* "f32", ... */

/* How the elements of a matrix W [n][k] lie in memory. */
typedef enum conure_layout {
    CONURE_ROWS = 0,
    /* Panels of 16 outputs, each panel a block of lines of 64 bytes: line l of panel p holds, for the
     * outputs n = 16 p .. 16 p + 15 in turn, the g inputs k = g l .. g l + g - 1, where g is
     * 4 / element bytes (f32 1, f16 and bf16 2, i8 4).  A line is what one AVX-512 register, one AMX
     * tile row or two AVX2 registers hold.  [ceil(n / 16)][ceil(k / g)][16][g]; elements past n and
     * k are zero.  The block is aligned to 64 bytes. */
    CONURE_PANELS = 1,
} conure_layout;

#define CONURE_PANEL_COLUMNS 16
size_t conure_panel_bytes(conure_dtype dtype, size_t n, size_t k); /* 0 on overflow */

#define CONURE_RANK_MAX 4
#define CONURE_TENSORS_MAX 65536

/* One named tensor, contiguous, of the model's own memory or of its mapped file. */
typedef struct conure_tensor {
    const char *name;
    conure_dtype dtype;
    conure_layout layout;            /* PANELS only for matrices of converted files */
    uint32_t rank;
    uint64_t shape[CONURE_RANK_MAX]; /* logical, in either layout; as a matrix n = shape[0] and
                                        k = the product of the rest */
    const void *data;
    uint64_t bytes;
    const float *scales;             /* I8: [n], w = scale * q; NULL otherwise */
    const int32_t *sums;             /* I8: [n], sum over k of q; NULL otherwise */
} conure_tensor;

typedef enum conure_context_style { CONURE_REGULAR = 0, CONURE_CHUNKED_LIMITED = 1 } conure_context_style;

#define CONURE_DURATIONS_MAX        16
#define CONURE_PREDICTOR_LAYERS_MAX 8

/* Everything the configuration says that the mathematics needs; docs/model.md has the
 * formulas. Comments name the NeMo key. */
typedef struct conure_config {
    /* preprocessor.* */
    uint32_t sample_rate_hz, window_samples, hop_samples, n_fft, mel_bins;
    float preemphasis, log_guard;
    double mel_low_hz, mel_high_hz;
    /* encoder.* */
    uint32_t n_layers, d_model, n_heads, ff_width, conv_kernel; /* n_layers d_model n_heads .. conv_kernel_size */
    uint32_t conv_left, conv_right;        /* conv_context_size; null: (kernel - 1) / 2 each */
    uint32_t subsampling_channels;         /* subsampling_conv_channels; the factor is 8 */
    bool use_bias, xscaling, untie_biases; /* use_bias xscaling untie_biases */
    int32_t att_left, att_right;           /* att_context_size; -1 = unlimited */
    conure_context_style att_style;        /* att_context_style */
    uint32_t pos_emb_max_len;
    /* decoder.*, joint.* */
    uint32_t vocab_size;                   /* V; blank id = V */
    uint32_t pred_hidden, pred_layers, joint_hidden;
    uint32_t n_durations;
    uint32_t durations[CONURE_DURATIONS_MAX];
    uint32_t max_symbols;                  /* decoding.greedy.max_symbols; 10 when absent */
    conure_mask mask;                      /* NEMO for .nemo, EXACT for Hugging Face; stored by convert */
} conure_config;

/* Ranges and combinations; every reader ends with it.  UNSUPPORTED or BAD_FILE name the field, its
 * value and what is supported. */
conure_status conure_config_check(const conure_config *config, conure_error *err);

typedef struct conure_model_graphs conure_model_graphs; /* graphs.h */

struct conure_model {
    conure_config config;
    conure_tokenizer *tokenizer;
    conure_format format;
    char *name;
    const char *path;       /* as it was opened, in the arena; NULL for a model that has no file */
    char sha256[65];        /* filled at open for converted files, on first request otherwise: use
                               conure_model_hash() */
    pthread_mutex_t lock;   /* guards sha256 and n_users, the things that change after open */
    uint32_t n_users;       /* its owner, and each recognizer on it: the last one to leave frees it */
    conure_tensor *tensors; /* sorted by name; the array lies in the arena */
    uint32_t n_tensors;
    conure_map map;         /* the file the tensors lie in */
    bool map_owned;         /* false: the caller's memory */
    conure_map *shards;     /* further files of a sharded checkpoint; the array lies in the arena */
    uint32_t n_shards;
    void *arena;            /* names, copies of strided tensors, scales: freed by close (blocks.h) */
    const conure_model_graphs *graphs; /* in place of tensors: a folder of exported graphs; NULL otherwise */
    conure_log log;
    uint64_t n_parameters, weight_bytes;
    conure_dtype weight_dtype; /* of the matrices */
};

/* A recognizer begins and ends to use a model: until then it stays, even if its owner closes it. */
void conure_model_hold(const conure_model *model);
void conure_model_release(const conure_model *model);

/* NULL when absent. */
const conure_tensor *conure_model_tensor(const conure_model *model, const char *name);

/* The tensor, with its shape checked: BAD_FILE "encoder.layers.3...: shape [512, 512], expected
 * [1024, 512]" or "... is missing".  rank dimensions follow as uint64_t in shape. */
conure_status conure_model_require(const conure_model *model, const char *name, uint32_t rank,
                                   const uint64_t *shape, const conure_tensor **out,
                                   conure_error *err);

/* The tensor's bytes will not be needed soon: if they lie in the model's own mapping, give the pages
 * back (they are read again from the file when touched).  Never on the caller's memory. */
void conure_model_forget(const conure_model *model, const conure_tensor *tensor);

/* Elements as float32, whatever the storage, dequantised, in row order.  dst holds n elements;
 * n must be the tensor's element count. */
/* (conure_tensor_rows_f32() in panels.h reads a range of rows.) */
conure_status conure_tensor_read_f32(const conure_tensor *tensor, float *dst, uint64_t n,
                                     conure_error *err);

float conure_f16_to_f32(uint16_t bits);
float conure_bf16_to_f32(uint16_t bits);
uint16_t conure_f32_to_f16(float value);  /* round to nearest even, overflow to infinity */
uint16_t conure_f32_to_bf16(float value); /* round to nearest even; NaN stays NaN */

/* Every tensor that a configuration implies, in file order: the loader checks a checkpoint against
 * it, convert and random write by it.  is_matrix: may be stored as f16, bf16 or int8 panels. */
typedef struct conure_tensor_spec {
    char name[128];
    uint32_t rank;
    uint64_t shape[CONURE_RANK_MAX];
    bool is_matrix;
    bool optional; /* preprocessor.featurizer.*, recomputed when absent */
} conure_tensor_spec;

/* Call fn for each; stops at, and returns, the first status that is not OK. */
typedef conure_status (*conure_spec_fn)(void *user, const conure_tensor_spec *spec);
conure_status conure_config_tensors(const conure_config *config, conure_spec_fn fn, void *user);

#endif

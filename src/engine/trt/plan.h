/* plan.h - plans on disk: a file NAME.plan that TensorRT wrote, and NAME.json beside it that says what it is for.
 *
 * A plan runs on the GPU model and the TensorRT version that made it, with the weights that were built in, at the precision that was
 * chosen then.  All of it is in the side file and compared before the plan is touched. */
#ifndef CONURE_ENGINE_TRT_PLAN_H
#define CONURE_ENGINE_TRT_PLAN_H

#include "base/error.h"
#include "encoder/step.h"
#include "model/model.h"

#include <limits.h>

#define CONURE_PLAN_TEXT_CAP 96
#define CONURE_PLAN_SIDE_BYTES_MAX (1u << 16)
#define CONURE_PLANS_MAX 256 /* of one folder that are looked at */
#define CONURE_PLAN_PARTS 257 /* of an encoder, at most: the subsampling, its layers */
#define CONURE_PLAN_PARTS_CAP 640 /* of their names as a text */

/* The tensors of a step in the order of the contract; offline the first two inputs and outputs. */
typedef enum conure_plan_tensor {
    CONURE_PLAN_FEATURES = 0,
    CONURE_PLAN_LENGTH,
    CONURE_PLAN_CHANNEL_IN,
    CONURE_PLAN_TIME_IN,
    CONURE_PLAN_CACHE_LENGTH_IN,
    CONURE_PLAN_ENCODER,
    CONURE_PLAN_ENCODED_LENGTH,
    CONURE_PLAN_CHANNEL_OUT,
    CONURE_PLAN_TIME_OUT,
    CONURE_PLAN_CACHE_LENGTH_OUT,
    CONURE_PLAN_TENSORS,
} conure_plan_tensor;

typedef struct conure_plan_side {
    /* Where it runs. */
    char gpu[CONURE_PLAN_TEXT_CAP], tensorrt[CONURE_PLAN_TEXT_CAP];
    /* What it computes. */
    char model[128], model_sha256[65], contract_sha256[65]; /* contract: "" offline */
    char precision[16];              /* "f32", "tf32", "f16" ... */
    bool tf32, f16, bf16, int8;      /* what TensorRT was allowed; f16 beside int8 too */
    uint32_t n_audio;                /* recordings whose values were looked at, for scales and for what overflows float16 */
    char audio_sha256[65];           /* of their features; "": none were */
    bool wide[CONURE_PLAN_PARTS];    /* parts held in f32 whose values float16 does not hold: [0] the subsampling, [1 + i] layer i */
    bool mask_exact;
    bool streaming, layer_first;     /* a step with caches; their layout */
    bool by_layer;                   /* the encoder is not one fused part: slower, for the times of its layers */
    uint32_t drop_first;             /* encoder frames dropped in front of every slice */
    bool io_rows;                    /* features are [B][T][mel] and the output [B][T'][d_model], as they lie on the host; else columns */
    bool caches_f16, cache_matrices; /* how the plan has caches: their elements, and as matrices [B layers rows][d_model], the
                                     * columns of the convolution as rows too */
    conure_cache_options caches;     /* cache_rows, drop_rows, keep_negative, time_cache_aligned count */
    uint32_t t[3], b[3];             /* mel frames and rows of the batch: least, what it was tuned for, most */
    char names[CONURE_PLAN_TENSORS][CONURE_PLAN_TEXT_CAP];
    /* How it was made. */
    char plan_sha256[65];
    uint64_t plan_bytes;
    uint32_t level, n_kept_f32;
    double seconds;
} conure_plan_side;

/* $CONURE_PLANS, or $XDG_CACHE_HOME/conure/plans, or ~/.cache/conure/plans.  IO when none is set. */
conure_status conure_plan_folder(char out[PATH_MAX], conure_error *err);

/* A step's caches have so few rows in all that TensorRT counts them, as a matrix of each, in 31 bits. */
bool conure_plan_rows_fit(const conure_plan_side *side, const conure_config *config);

/* "subsampling, layers 0-3 7", "" for none: which parts are held in f32. */
void conure_plan_wide_text(const bool wide[CONURE_PLAN_PARTS], char out[CONURE_PLAN_PARTS_CAP]);

/* The name of its two files without ending, [48]: from everything that decides what is built, so that the same build has the same name. */
void conure_plan_key(const conure_plan_side *side, char out[48]);

/* *out is freed by free(). */
conure_status conure_plan_side_dump(const conure_plan_side *side, char **out, conure_error *err);
/* Hostile text.  BAD_FILE, UNSUPPORTED (another format, numbers out of range). */
conure_status conure_plan_side_parse(conure_plan_side *out, const char *json, size_t bytes, const char *where, conure_error *err);

/* Writes both files, the plan first and each whole or not at all; fills plan_sha256 and plan_bytes.  path: without ending */
conure_status conure_plan_write(conure_plan_side *side, const char *path, const void *plan, size_t bytes, conure_error *err);

/* A side file that was found, and the path of its plan without ending. */
typedef struct conure_plan_found {
    conure_plan_side side;
    char path[PATH_MAX];
} conure_plan_found;

/* The side files of a folder in the order of their names; those that cannot be read are passed over with a warning.  A folder that is not
 * there has none.  *out is freed by free(). */
conure_status conure_plan_list(conure_plan_found **out, uint32_t *n, const char *folder, const conure_log *log, conure_error *err);

#endif

/* step.h - what goes in and out of one encoder step, whoever runs it: our own network or an engine that
 * is handed whole graphs. */
#ifndef CONURE_ENCODER_STEP_H
#define CONURE_ENCODER_STEP_H

#include "conure.h"

/* How the caches of cache-aware streaming move (spec 5.3, 5.4). */
typedef struct conure_cache_options {
    uint32_t cache_rows;      /* C, rows of the attention cache; 0: no caches (offline) */
    uint32_t drop_rows;       /* cache_drop_size: look-ahead rows that are not kept */
    bool keep_negative;       /* negative keep as NeMo does it; false: clamped to 0 */
    bool time_cache_aligned;  /* conv cache ends before the next step's first frame; false: NeMo's */
    bool kv_bf16;             /* keep keys and values as bf16, rounded to nearest even; false: f32 */
    bool keep_rows;           /* keep cache_last_channel's rows beside them, for state_export/import */
} conure_cache_options;

typedef struct conure_state conure_state; /* of one stream, in one engine */

/* One row of a batched encoder step. */
typedef struct conure_encode_row {
    const float *mel;       /* [n_frames][mel_bins] normalised, host memory */
    uint32_t n_frames;      /* columns given */
    uint32_t n_valid;       /* length: frames from here on are padding (taken as zeros) */
    uint32_t drop_first;    /* encoder frames to drop in front (drop_extra_pre_encoded) */
    conure_state *state;    /* NULL: offline */
    bool last;              /* nothing follows in this stream: its cached values after the step do not matter, only how many there are */
    float *out;             /* [n_out_cap][d_model], host memory; NULL: not wanted on the host */
    uint32_t n_out_cap;
    uint32_t n_out;         /* out: encoder frames computed, padding rows included */
    uint32_t n_out_valid;   /* out: of these, valid */
} conure_encode_row;

/* Intermediate tensors for tests and diagnostics: called with "subsampling", "layer.0" ..., row by row
 * of the batch; data [rows][cols] is valid during the call. */
typedef void (*conure_probe_fn)(void *user, const char *name, uint32_t row, const float *data,
                                uint32_t rows, uint32_t cols);

#endif

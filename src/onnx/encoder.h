/* encoder.h - the encoder as a graph: offline, or one step of cache-aware streaming as a contract has it.
 *
 * Offline: audio_signal [B][mel][T], length [B] -> outputs [B][d][T'], encoded_lengths [B].  Streaming: the contract's ten
 * tensors, names and layout.  Mathematics: docs/model.md; what is computed when the graph is made and not when it runs:
 * scales, batch norms, biases of attention, and where T is bounded the projected relative positions. */
#ifndef CONURE_ONNX_ENCODER_H
#define CONURE_ONNX_ENCODER_H

#include "contract/contract.h"
#include "onnx/graph.h"
#include "onnx/observe.h"

/* Above this a layer stays float32 in a float16 graph: a quarter of what float16 holds, as other speech may be larger. */
#define CONURE_F16_MOST 16376.0f

typedef struct conure_encoder_plan {
    const conure_contract *contract; /* NULL: offline */
    bool mask_exact;
    uint32_t frames_min, frames_max; /* mel frames of a slice; frames_max 0: any number */
    bool drop_input;                 /* drop_extra is an input, CONURE_ENCODER_DROP, and not the contract's */
    conure_onnx_type type;           /* of what is computed: FLOAT, FLOAT16, BFLOAT16 */
    conure_int8_weights int8;        /* products with weights in int8; needs seen */
    conure_onnx_type io, caches;     /* of features and encoder output; of the caches, INT8 with int8 only */
    const conure_observations *seen; /* NULL: none */
    bool fusible;                    /* as TensorRT fuses it: the convolution over time as sums of products over rows, see layer.c, and the
                                      * rows of a batch as one matrix */
    uint32_t batch;                  /* rows of a call, where there are always as many; 0: any number */
    bool cache_matrices;             /* caches are [B layers rows][d] and [B layers columns][d], and not as the contract has them */
    uint32_t fused_layers;           /* fusible: about so many are fused, 0: all; between them a convolution over time is an operator */
    bool io_rows;                    /* features and output are rows, [B][T][mel] and [B][T'][d], and not columns */
    bool halves;                     /* whoever runs it may compute in f16 or bf16 whatever the types say */
} conure_encoder_plan;

/* [1] int64: encoder frames dropped in front, of all rows of a step.  A graph that takes it serves every step of a stream. */
#define CONURE_ENCODER_DROP "drop_extra"

/* Streaming: UNSUPPORTED for a contract that one graph cannot keep; the text says why. */
conure_status conure_encoder_plan_make(conure_encoder_plan *out, const conure_config *config, const conure_contract *contract,
                                       conure_mask mask, uint32_t frames_max, conure_error *err);
/* Values of the layer come near to what float16 holds, or beyond; -1: the subsampling. */
bool conure_encoder_overflows(const conure_observations *seen, int32_t layer);
/* Computed in F32, F16, BF16, or INT8, which needs seen; narrow: features and output, or a stream's caches, are of that type too. */
void conure_encoder_plan_narrow(conure_encoder_plan *plan, conure_precision precision, const conure_observations *seen, bool narrow_io,
                                bool narrow_caches);
/* The layer is computed in float32, whatever the others are; -1: the subsampling.  And how many are. */
bool conure_encoder_is_wide(const conure_encoder_plan *plan, int32_t layer);
uint32_t conure_encoder_n_wide(const conure_encoder_plan *plan, uint32_t n_layers);
void conure_encoder_build(conure_graph *graph, const conure_encoder_plan *plan);

/* ---- parts, for the files of this folder ------------------------------------------------------ */

/* An encoder under construction.  Rows are encoder frames; T' of this slice, N = cached rows + T' and padding.  Sizes are [1] int64, and
 * constants where every slice has as many rows.  A stream's cache and what is put behind it, its memory, are [B][1][N][d], or [1][B][N][d]
 * where layers come first; in fusible graphs [B][N][d], and of a single stream [N][d], which TensorRT 8.6 copies when it is made from more
 * axes.  Between layers rows are [B][T'][d], in fusible graphs [B T'][d]: TensorRT 8.6 makes B
 * products of the former, each padded to its tile. */
typedef struct conure_encoder_parts {
    conure_graph *g;
    const conure_config *c;
    const conure_encoder_plan *plan;
    int memory_axis;           /* of a memory's rows: 2, 1 or 0 */
    char batch[12];            /* of shapes: "B", or how many */
    uint32_t drop_first, cache_rows, cache_drop, valid_out; /* 0 offline */
    uint32_t conv_left;        /* columns of the time cache; 0 offline */
    uint32_t rows_max;         /* T' at most; 0: unbounded */
    bool rows_fixed;           /* T' is rows_max */
    bool absorbed;             /* keys and values are not made of cached rows: see attention.c */
    uint32_t keys_padding;     /* rows of zeros behind a memory's, which no query may see: see padding_of() */
    conure_value length, cache_length; /* inputs [B] */
    conure_value drop, drop_frames;    /* [1]: that input, or the contract's number, and its mel frames; NULL: none are dropped */
    conure_value columns_mask; /* [B][1][1][T]: 1 where a mel frame is valid */
    conure_value rows_mask;    /* [B][1][1][T'] */
    conure_value conv_mask;    /* [B][1][T']; fusible [B][T'][1] */
    conure_value margins[2];   /* fusible: zeros before and behind the columns, [B][n][d] in float32; NULL: none */
    conure_value memory_margin; /* zeros behind a memory, [B][n][d] or of a single stream [n][d], in the plan's type; NULL: none */
    conure_value pairs;        /* [B][1][T'][N]: 1 where a query may see a key, and the same as bool */
    conure_value pairs_bool;
    conure_value pairs_wide, conv_mask_wide; /* the same for layers in float32; NULL until one asks */
    conure_value hidden[2];    /* scores in place of those of pairs that are not valid, with half precision and without; NULL until a layer asks */
    conure_onnx_type x_type;   /* of what goes from layer to layer */
    conure_value rows, n_keys; /* T', N */
    conure_value n_keys_scalar; /* NULL until one asks */
    conure_value n_positions;  /* P = T' + N, with padding a multiple of eight */
    conure_value shift_shape;  /* 0 0 T' -1 */
    conure_value trunk_shape;  /* of rows between layers */
    conure_value rows_shape, positions_shape, fresh_shape; /* -1 T' d; H -1 T' P; a stream's: -1 1 T' d, or 1 -1 T' d */
    conure_value heads_shape, keys_shape; /* not absorbed: -1 T' H h; -1 N H h */
    conure_value flat_shape, queries_shape, wide_shape, turned_shape; /* absorbed: 0 -1 N, or -1 N; -1 H T' N; -1 H T' d; H -1 T' d */
    conure_value waves_wide;   /* [T' + N][d]: e(r) for r = N .. 1 - T', sines before cosines, in float32; NULL when bounded */
    conure_value waves;        /* in the plan's type; NULL until a layer asks */
    conure_value table_start, table_end; /* columns of a layer's table; NULL: all of them */
    conure_value keep, keep_end, time_start, time_end; /* rows and columns that stay in the caches */
    uint32_t time_padding;     /* zeros behind the columns that the time cache takes some of, under NeMo's rule */
    conure_value *channel_in, *time_in, *channel_out, *time_out; /* [n_layers] */
} conure_encoder_parts;

/* subsampling.c: audio [B][mel][T] -> [B][T'][d]; fills the masks of columns and rows */
conure_value conure_encoder_front(conure_encoder_parts *e, conure_value audio);
/* What layers share, in the graph's type. */
conure_value conure_encoder_pairs(conure_encoder_parts *e);
conure_value conure_encoder_conv_mask(conure_encoder_parts *e);
conure_value conure_encoder_hidden(conure_encoder_parts *e, bool half);
conure_value conure_encoder_waves(conure_encoder_parts *e); /* positions, where T is not bounded */
/* How large the input of a layer's product becomes, by the end of its name: "self_attn.linear_q". */
float conure_encoder_seen(const conure_encoder_parts *e, uint32_t layer, const char *part);
/* What the layer computes is rounded to float16, or may be; -1: the subsampling. */
bool conure_encoder_is_half(const conure_encoder_parts *e, int32_t layer);
/* The layer's norm of that name, as "norm". */
conure_value conure_encoder_norm(conure_encoder_parts *e, uint32_t layer, conure_value x, const char *name);
/* N and P = T' + N at most, with padding; 0 where T' is unbounded. */
uint32_t conure_encoder_keys_most(const conure_encoder_parts *e);
uint32_t conure_encoder_positions_most(const conure_encoder_parts *e);
/* Into how many parts a product of all rows of a call with W [n][k] is cut. */
uint32_t conure_encoder_parts_for(const conure_encoder_parts *e, uint32_t n, uint32_t k);
/* caches.c: inputs and channel_in, time_in; channel_out, time_out and outputs */
void conure_encoder_caches_in(conure_encoder_parts *e);
void conure_encoder_caches_out(conure_encoder_parts *e);
/* masks.c: everything that all layers share */
void conure_encoder_shared(conure_encoder_parts *e, conure_value x);
/* attention.c, layer.c: rows -> the same */
conure_value conure_encoder_attention(conure_encoder_parts *e, uint32_t layer, conure_value x);
conure_value conure_encoder_layer(conure_encoder_parts *e, uint32_t layer, conure_value x);

#endif

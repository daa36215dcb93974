/* panels.h - matrices to and from the panel layout of model.h (CONURE_PANELS), which the CPU's product
 * kernels read in place.
 *
 * Every function works on n rows of W [n][k] that start at a panel border, and writes whole panels:
 * to split a matrix among threads, call it per range of 16 rows (panel p begins at
 * p * conure_panel_bytes(dtype, 16, k) and at row 16 p).  n need not be a multiple of 16; rows and
 * columns past the end are written as zeros.  No function allocates. */
#ifndef CONURE_MODEL_PANELS_H
#define CONURE_MODEL_PANELS_H

#include "model/model.h"

/* Lines of 64 bytes in one panel: ceil(k / g). */
size_t conure_panel_lines(conure_dtype dtype, size_t k);

/* rows [n][k] float32 -> panels of F32, F16 or BF16 (round to nearest even).  dst holds
 * conure_panel_bytes(dtype, n, k), aligned to 64. */
void conure_panels_pack(conure_dtype dtype, void *dst, const float *rows, size_t n, size_t k);

/* rows [n][k] float32 -> int8 panels: per row scale = max|w| / 127 and q = w / scale rounded to nearest
 * even, within -127 .. 127; scale is 1 for a row of zeros (or of values too small to scale).
 * scales and sums: [n]. */
void conure_panels_quantise(int8_t *dst, float *scales, int32_t *sums, const float *rows, size_t n,
                            size_t k);

/* rows [n][k] of elements that have the panels' type already (int8 too: q), copied bit by bit. */
void conure_panels_pack_bits(conure_dtype dtype, void *dst, const void *rows, size_t n, size_t k);
/* The way back: dst [n][k] in the panels' own type, bit by bit. */
void conure_panels_unpack_bits(conure_dtype dtype, void *dst, const void *panels, size_t n,
                               size_t k);

/* Panels -> rows [n][k] float32; scales [n] for I8, else NULL. */
void conure_panels_unpack(conure_dtype dtype, float *dst, const void *panels, const float *scales,
                          size_t n, size_t k);

/* Panels first .. first + count - 1 of a matrix of any dtype and layout, as panels of dtype F32, F16,
 * BF16 or I8; dst is where panel `first` goes.  For I8, scales and sums point at row 16 * first; from
 * an I8 tensor q, scales and sums are copied, which loses nothing.  Panels of the same type are copied.
 *   scratch  [16][k] floats of the caller's, one per thread
 * The tensor's shape must be trusted (see conure_config_tensors). */
void conure_panels_from_tensor(conure_dtype dtype, void *dst, float *scales, int32_t *sums,
                               const conure_tensor *tensor, size_t first, size_t count,
                               float *scratch);

/* Rows first .. first + count - 1 of a tensor seen as a matrix (shape[0] rows; a scalar or vector has
 * rows of one element) as float32 [count][k], whatever its dtype and layout. */
void conure_tensor_rows_f32(const conure_tensor *tensor, float *dst, size_t first, size_t count);

/* n and k of a tensor seen as a matrix. */
size_t conure_tensor_n(const conure_tensor *tensor);
size_t conure_tensor_k(const conure_tensor *tensor);

#endif

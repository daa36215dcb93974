/* converted.h - the file that conure_model_convert() writes and conure_model_open() maps.
 *
 * A safetensors file that other readers can open.  Its metadata (texts):
 *     conure.format         "1"
 *     conure.layout         "panels16": matrices are stored as [ceil(n/16), ceil(k/g), 16, g], the
 *                           memory image of CONURE_PANELS; their logical shape follows from the config
 *     conure.weights        type of the matrices: "f32", "f16", "bf16" or "int8"
 *     conure.config         canonical JSON (conure_config_dump())
 *     conure.tokenizer      JSON (conure_tokenizer_dump())
 *     conure.mask           "nemo" or "exact"
 *     conure.source         what it was made from, for people
 *     conure.sha256         of the numbers (hash.h)
 *     conure.sha256.data    of all bytes behind the header
 *     conure.sha256.header  of the texts above, in this order, each with its key, each NUL-terminated
 * Data: matrices first, in order of names, each a multiple of 64 bytes at an address that is one; then
 * everything else as float32 rows, in order of names; for int8 then <name>.scales F32 [n] and
 * <name>.sums I32 [n] of each matrix.  No holes, as the container demands; spaces pad the header. */
#ifndef CONURE_MODEL_CONVERTED_H
#define CONURE_MODEL_CONVERTED_H

#include "model/load.h"
#include "model/safetensors.h"

#define CONURE_CONVERTED_KEYS 9
extern const char *const conure_converted_keys[CONURE_CONVERTED_KEYS]; /* all but sha256.header */
#define CONURE_CONVERTED_HEADER_KEY "conure.sha256.header"

/* Hash of the texts: values in the order of conure_converted_keys. */
void conure_converted_header_hash(char hex[65], const char *const *values);

/* Type of matrices by its name: f32, f16, bf16, int8; 0 for others. */
conure_dtype conure_converted_dtype(const char *name);

/* The shape that the container shows for a matrix of n rows and k columns. */
void conure_converted_shape(uint64_t shape[CONURE_RANK_MAX], conure_dtype dtype, uint64_t n,
                            uint64_t k);

#endif

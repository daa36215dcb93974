/* hash.h - the hash that names a model: of its numbers, not of the file they lie in.
 *
 * SHA-256 over the configuration's canonical JSON and a NUL; then for each tensor, matrices by name
 * first, the others by name after them, without the optional ones:
 *     name NUL, type NUL ("f32", ...), rank and dimensions as u64 little-endian, and the elements in row
 *     order, little-endian; for int8 the quotients, then the scales as f32.
 * Matrices count in the type they are stored in, everything else as f32. */
#ifndef CONURE_MODEL_HASH_H
#define CONURE_MODEL_HASH_H

#include "base/files.h"
#include "model/load.h"

/* The beginning: the configuration. */
conure_status conure_hash_begin(conure_sha256 *sha, const conure_config *config, conure_error *err);
/* A tensor's name, type and shape; its elements follow with conure_sha256_add(). */
void conure_hash_tensor(conure_sha256 *sha, const conure_tensor *tensor, conure_dtype dtype);

/* Memory for conure_hash_elements() and for conversion: enough for one slice of any tensor. */
typedef struct conure_slices {
    size_t bytes;   /* of each of the three */
    float *scratch; /* [16][k] */
    void *rows;     /* elements in row order */
    void *block;    /* the same as panels */
} conure_slices;
conure_status conure_slices_alloc(conure_slices *slices, const conure_plan_entry *entries,
                                  uint32_t n, conure_error *err);
void conure_slices_free(conure_slices *slices); /* {0} is fine */
/* Panels that one slice of this matrix takes: as many as fit, at least 1. */
size_t conure_slices_panels(const conure_slices *slices, const conure_tensor *tensor);

/* Hash of a whole model, with progress from 0 to 1; CANCELLED when progress says so. */
conure_status conure_hash_model(const conure_model *model, char hex[65],
                                conure_progress_fn progress, void *user, conure_error *err);

#endif

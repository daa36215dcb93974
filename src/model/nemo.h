/* nemo.h - opening a .nemo archive: tar (or gzip of it) with model_config.yaml,
 * model_weights.ckpt and the tokenizer's files. */
#ifndef CONURE_MODEL_NEMO_H
#define CONURE_MODEL_NEMO_H

#include "model/model.h"

/* A gzip file, or a first block that is a tar header. */
bool conure_nemo_recognises(const conure_map *map);

/* Fill config, tokenizer, tensors and n_tensors of a model whose map holds the file; a gzip
 * file's map is replaced by that of the inflated archive.  Tensors point into the map, or into
 * the arena where a checkpoint holds them strided, unaligned or as short, byte, bool (widened to
 * I32).  They are in the file's order, their names are unique, their bytes have passed the
 * archive's CRC-32; shapes and values are not checked here.  num_batches_tracked and the table
 * encoder.pos_enc.pe are left out.
 *
 *   path   for error texts
 *
 * Returns OK, NO_MEMORY, IO, BAD_FILE, UNSUPPORTED, LIMIT.  On failure the model is half filled
 * and conure_model_close() frees it.  Cost: reads every byte once. */
conure_status conure_nemo_open(conure_model *model, const char *path, conure_error *err);

#endif

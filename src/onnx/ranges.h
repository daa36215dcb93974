/* ranges.h - what was seen of a model's encoder on speech, as a file: whoever makes int8 or float16 graphs of it later needs no speech.
 *
 * JSON: the model's hash, and for the subsampling and each layer the largest magnitude anywhere in it ("most"), of what goes into its
 * depthwise convolution ("columns"), and where int8 had best end for the input of each product (histogram.h).  Numbers go there and back unchanged. */
#ifndef CONURE_ONNX_RANGES_H
#define CONURE_ONNX_RANGES_H

#include "onnx/observe.h"

#define CONURE_RANGES_BYTES_MAX (1u << 20)

/* NO_MEMORY or IO; the file appears whole or not at all. */
conure_status conure_ranges_write(const conure_observations *observations, const conure_model *model, const char *path, conure_error *err);
/* The text that is written; *out is freed by free(). */
conure_status conure_ranges_dump(const conure_observations *observations, const char *model, const char *model_sha256, char **out,
                                 conure_error *err);

/* Of this model, by its hash; another's are refused.  sha256: of the file.  Cost: conure_model_hash(). */
conure_status conure_ranges_read(conure_observations **out, const conure_model *model, const char *path, char sha256[65], conure_error *err);
/* text is hostile.  BAD_FILE: damaged, of another model, or without a layer; where begins the error's text. */
conure_status conure_ranges_parse(conure_observations **out, const char *text, size_t bytes, uint32_t n_layers, const char *model_sha256,
                                  const char *where, conure_error *err);

#endif

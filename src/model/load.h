/* load.h - what the readers of the three kinds of checkpoint share with conure_model_open().
 *
 * A reader gets a model whose map (or folder) is open, whose name, format and log are set, and fills
 * config, tokenizer, tensors (any order, names unique; the array and all it points to in the arena or
 * in a map) and n_tensors.  On failure it leaves a half-built model that conure_model_close() takes.
 * conure_model_finish() then does what is common. */
#ifndef CONURE_MODEL_LOAD_H
#define CONURE_MODEL_LOAD_H

#include "model/model.h"

/* An empty model.  name is taken over, and freed on failure too; NULL is "no memory for it". */
conure_status conure_model_new(conure_model **out, const conure_model_options *options, char *name,
                               conure_error *err);

#define CONURE_JSON_BYTES_MAX (64u << 20)

/* A folder with config.json, tokenizer.json and model.safetensors (or its index and shards). */
conure_status conure_huggingface_open(conure_model *model, const char *folder, conure_error *err);

/* The weights of a folder that has them in several files: every tensor of every shard that the index
 * (model.safetensors.index.json) names.  Shards must lie in the folder itself. */
conure_status conure_huggingface_shards(conure_model *model, const char *folder, const char *index_path,
                                        conure_error *err);

/* Only the configuration, from the texts of config.json and processor_config.json (NULL: absent).
 * where begins the error texts: the folder. */
conure_status conure_huggingface_config(conure_config *config, const char *json, size_t bytes,
                                        const char *processor, size_t processor_bytes,
                                        const char *where, const conure_log *log,
                                        conure_error *err);

/* A file written by conure_model_convert().  Cost: its header, not its weights. */
bool conure_safetensors_recognises(const conure_map *map);
conure_status conure_converted_open(conure_model *model, const char *path, conure_error *err);

/* Take joint_net.1 for joint_net.2, sort, check that every tensor of the configuration is there with
 * its shape in a type we compute with, that (check_finite) all are finite, and that the embedding of
 * blank is zero; count parameters and bytes; name what is left over in the log. */
conure_status conure_model_finish(conure_model *model, bool check_finite, const char *path,
                                  conure_error *err);

/* BAD_FILE names the tensor and the first element that is NaN or infinite. */
conure_status conure_tensor_check_finite(const conure_tensor *tensor, conure_error *err);

/* The tensors of a model in the order of files and hashes: matrices by name, then the others by name.
 * *out is freed by free(). */
typedef struct conure_plan_entry {
    const conure_tensor *tensor;
    bool is_matrix, optional;
} conure_plan_entry;
conure_status conure_model_plan(const conure_model *model, conure_plan_entry **out, uint32_t *n,
                                conure_error *err);

/* Canonical JSON of a configuration: keys sorted, no spaces.  The mask convention, which does not
 * change any number that is stored, is left out.  *out is freed by free(). */
conure_status conure_config_dump(const conure_config *config, char **out, conure_error *err);
/* The way back; mask is set to DEFAULT.  Unknown and missing keys are errors. */
conure_status conure_config_parse(conure_config *config, const char *json, size_t bytes,
                                  const char *where, conure_error *err);

/* The hash of configuration and weights (hash.h), computed once: hex [65].  Thread-safe.  Cost: for
 * models that are not converted files the first call reads every weight (seconds for gigabytes). */
conure_status conure_model_hash(const conure_model *model, char hex[65], conure_error *err);

#endif

/* huggingface.c - a folder as transformers writes it: weights and their names.
 *
 * Shapes and layouts are NeMo's; only names differ.  hf_config.c reads the configuration. */
#include "base/memory.h"
#include "model/blocks.h"
#include "model/json.h"
#include "model/load.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARDS_MAX     1000
#define NAME_MAX_BYTES 256

/* Parts of names.  The prefixes of layers are the same. */
static const struct {
    const char *theirs, *ours;
} prefixes[] =
    {
        {"encoder.subsampling.layers.", "encoder.pre_encode.conv."},
        {"encoder.subsampling.linear.", "encoder.pre_encode.out."},
        {"encoder_projector.", "joint.enc."},
        {"decoder.decoder_projector.", "joint.pred."},
        {"decoder.embedding.", "decoder.prediction.embed."},
        {"decoder.lstm.", "decoder.prediction.dec_rnn.lstm."},
        {"joint.head.", "joint.joint_net.2."},
},
  in_layers[] = {
      {".self_attn.q_proj.", ".self_attn.linear_q."},
      {".self_attn.k_proj.", ".self_attn.linear_k."},
      {".self_attn.v_proj.", ".self_attn.linear_v."},
      {".self_attn.o_proj.", ".self_attn.linear_out."},
      {".self_attn.relative_k_proj.", ".self_attn.linear_pos."},
      {".self_attn.bias_u", ".self_attn.pos_bias_u"},
      {".self_attn.bias_v", ".self_attn.pos_bias_v"},
      {".conv.norm.", ".conv.batch_norm."},
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Our name for a tensor, in the arena; NULL when memory is short. */
static const char *nemo_name(void **arena, const char *name)
{
    char text[2 * NAME_MAX_BYTES];
    const size_t length = strlen(name);
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        const size_t n = strlen(prefixes[i].theirs);
        if (strncmp(name, prefixes[i].theirs, n) == 0) {
            const int got = snprintf(text, sizeof text, "%s%s", prefixes[i].ours, name + n);
            return conure_block_text(arena, text, (size_t)got);
        }
    }
    for (size_t i = 0; strncmp(name, "encoder.layers.", 15) == 0 && i < COUNT(in_layers); i++) {
        const char *at = strstr(name, in_layers[i].theirs);
        if (at) {
            const int got = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - name), name,
                                     in_layers[i].ours, at + strlen(in_layers[i].theirs));
            return conure_block_text(arena, text, (size_t)got);
        }
    }
    return conure_block_text(arena, name, length);
}

/* Data at an address that its type may be read from: where the file has it, or a copy. */
static conure_status align(conure_model *model, conure_tensor *tensor, conure_error *err)
{
    if ((uintptr_t)tensor->data % conure_dtype_bytes(tensor->dtype) == 0)
        return CONURE_OK;
    void *copy = conure_block_alloc(&model->arena, tensor->bytes);
    if (!copy)
        return conure_fail_memory(err, tensor->name, tensor->bytes);
    memcpy(copy, tensor->data, tensor->bytes);
    tensor->data = copy;
    return CONURE_OK;
}

/* Every tensor of one file, or of those that weight_map assigns to it. */
static conure_status read_file(conure_model *model, const conure_map *map, const char *path,
                               const json_t *weight_map, const char *file, conure_error *err)
{
    conure_safetensors st;
    conure_status status = conure_safetensors_open(&st, map, path, err);
    if (status != CONURE_OK)
        return status;
    const size_t n = model->n_tensors + json_object_size(st.header);
    conure_tensor *tensors = conure_block_alloc(&model->arena, n * sizeof *tensors);
    const char *name;
    json_t *entry;
    if (!tensors || n > CONURE_TENSORS_MAX)
        status = tensors ? conure_fail(err, CONURE_UNSUPPORTED, "%s: more than %d tensors", path,
                                       CONURE_TENSORS_MAX)
                         : conure_fail_memory(err, "the list of tensors", n * sizeof *tensors);
    if (status == CONURE_OK) {
        if (model->n_tensors)
            memcpy(tensors, model->tensors, model->n_tensors * sizeof *tensors);
        model->tensors = tensors;
    }
    json_object_foreach(st.header, name, entry)
    {
        const char *home = json_string_value(json_object_get(weight_map, name));
        conure_tensor tensor;
        if (status != CONURE_OK)
            break;
        if (conure_safetensors_is_metadata(name) || (weight_map && (!home || strcmp(home, file))))
            continue;
        if (strlen(name) >= NAME_MAX_BYTES)
            status = conure_fail(err, CONURE_UNSUPPORTED, "%s: tensor name of %zu bytes", path,
                                 strlen(name));
        if (status == CONURE_OK)
            status = conure_safetensors_entry(&st, name, entry, &tensor, err);
        if (status == CONURE_OK && !(tensor.name = nemo_name(&model->arena, name)))
            status = conure_fail_memory(err, "a tensor's name", strlen(name));
        if (status == CONURE_OK)
            status = align(model, &tensor, err);
        if (status == CONURE_OK)
            model->tensors[model->n_tensors++] = tensor;
    }
    conure_safetensors_close(&st);
    return status;
}

/* One entry per different file of the index, opened when it is first met. */
static conure_status read_shards(conure_model *model, const char *folder, const json_t *weight_map,
                                 const char *index_path, conure_error *err)
{
    json_t *seen = json_object(), *value;
    const char *key;
    conure_status status = CONURE_OK;
    model->shards = conure_block_alloc(&model->arena, SHARDS_MAX * sizeof *model->shards);
    if (!seen || !model->shards)
        status = conure_fail_memory(err, "the list of shards", SHARDS_MAX * sizeof *model->shards);
    json_object_foreach((json_t *)(uintptr_t)weight_map, key, value)
    {
        const char *file = json_string_value(value);
        char path[4096];
        if (status != CONURE_OK)
            break;
        if (file && json_object_get(seen, file))
            continue;
        if (!file || !*file || strchr(file, '/') || strcmp(file, "..") == 0 ||
            !conure_path_join(path, sizeof path, folder, file))
            status = conure_fail(err, CONURE_BAD_FILE,
                                 "%s: weight_map: %.64s is not assigned to a file of the folder",
                                 index_path, key);
        else if (model->n_shards == SHARDS_MAX)
            status = conure_fail(err, CONURE_UNSUPPORTED, "%s: more than %d files", index_path,
                                 SHARDS_MAX);
        else if (json_object_set_new(seen, file, json_true()))
            status = conure_fail_memory(err, "the list of shards", 0);
        else
            status = conure_map_open(&model->shards[model->n_shards], path, err);
        if (status != CONURE_OK)
            break;
        const conure_map *map = &model->shards[model->n_shards++];
        status = read_file(model, map, path, weight_map, file, err);
    }
    json_decref(seen);
    return status;
}

conure_status conure_huggingface_shards(conure_model *model, const char *folder, const char *index_path,
                                        conure_error *err)
{
    char *text = NULL;
    size_t bytes;
    json_t *index = NULL, *weight_map;
    conure_status status = conure_file_read(&text, &bytes, index_path, CONURE_JSON_BYTES_MAX, err);
    if (status == CONURE_OK)
        status = conure_json_object(&index, text, bytes, index_path, err);
    if (status == CONURE_OK)
        status =
            conure_json_inner(index, "weight_map", CONURE_REQUIRED, &weight_map, index_path, err);
    if (status == CONURE_OK)
        status = read_shards(model, folder, weight_map, index_path, err);
    json_decref(index);
    free(text);
    return status;
}

/* Whether there is such a name, readable or not: a file that cannot be read is an error, one that is
 * absent may be none. */
static bool present(const char *path)
{
    return access(path, F_OK) == 0;
}

static conure_status read_weights(conure_model *model, const char *folder, conure_error *err)
{
    char path[4096], index_path[4096];
    if (!conure_path_join(path, sizeof path, folder, "model.safetensors") ||
        !conure_path_join(index_path, sizeof index_path, folder, "model.safetensors.index.json"))
        return conure_fail(err, CONURE_BAD_ARG, "%.64s...: path too long", folder);
    if (!present(path) && present(index_path))
        return conure_huggingface_shards(model, folder, index_path, err);
    model->map_owned = true;
    const conure_status status = conure_map_open(&model->map, path, err);
    return status == CONURE_OK ? read_file(model, &model->map, path, NULL, NULL, err) : status;
}

static conure_status read_config(conure_model *model, const char *folder, conure_error *err)
{
    char path[4096], other[4096], older[4096];
    char *json = NULL, *processor = NULL;
    size_t bytes, processor_bytes = 0;
    if (!conure_path_join(path, sizeof path, folder, "config.json") ||
        !conure_path_join(other, sizeof other, folder, "processor_config.json") ||
        !conure_path_join(older, sizeof older, folder, "preprocessor_config.json"))
        return conure_fail(err, CONURE_BAD_ARG, "%.64s...: path too long", folder);
    if (!present(path))
        return conure_fail(err, CONURE_IO,
                           "%s: is a folder without config.json: not a Hugging Face checkpoint",
                           folder);
    /* The front end's settings; neither file is needed, as every value has its default. */
    const char *settings = present(other) ? other : present(older) ? older : NULL;
    conure_status status = conure_file_read(&json, &bytes, path, CONURE_JSON_BYTES_MAX, err);
    if (status == CONURE_OK && settings)
        status =
            conure_file_read(&processor, &processor_bytes, settings, CONURE_JSON_BYTES_MAX, err);
    if (status == CONURE_OK)
        status = conure_huggingface_config(&model->config, json, bytes, processor, processor_bytes,
                                           folder, &model->log, err);
    free(json);
    free(processor);
    return status;
}

static conure_status read_tokenizer(conure_model *model, const char *folder, conure_error *err)
{
    char path[4096];
    char *json = NULL;
    size_t bytes;
    if (!conure_path_join(path, sizeof path, folder, "tokenizer.json"))
        return conure_fail(err, CONURE_BAD_ARG, "%.64s...: path too long", folder);
    conure_status status = conure_file_read(&json, &bytes, path, CONURE_JSON_BYTES_MAX, err);
    if (status != CONURE_OK)
        return status;
    status = conure_tokenizer_from_json(&model->tokenizer, json, bytes, err);
    if (status != CONURE_OK)
        conure_error_prefix(err, path);
    free(json);
    return status;
}

conure_status conure_huggingface_open(conure_model *model, const char *folder, conure_error *err)
{
    conure_status status = read_config(model, folder, err);
    if (status == CONURE_OK)
        status = read_tokenizer(model, folder, err);
    if (status == CONURE_OK)
        status = read_weights(model, folder, err);
    return status;
}

/* model.c - opening a checkpoint by its content, and what the public interface says about one. */
#include "model/model.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/graphs.h"
#include "model/hash.h"
#include "model/load.h"
#include "model/nemo.h"
#include "model/quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conure_model_options_init(conure_model_options *options)
{
    if (!options)
        return;
    memset(options, 0, sizeof *options);
    options->struct_bytes = sizeof *options;
    options->check_finite = true;
}

/* The caller's options, of whatever version, over the defaults. */
static conure_status take_options(conure_model_options *out, const conure_model_options *options,
                                  conure_error *err)
{
    conure_model_options_init(out);
    if (!options)
        return CONURE_OK;
    if (options->struct_bytes < sizeof options->struct_bytes || options->struct_bytes > sizeof *out)
        return conure_fail(err, CONURE_BAD_ARG,
                           "options: struct_bytes is %u, expected at most %zu: call "
                           "conure_model_options_init() first",
                           options->struct_bytes, sizeof *out);
    memcpy(out, options, options->struct_bytes);
    out->struct_bytes = sizeof *out;
    return CONURE_OK;
}

/* What is no UTF-8 as U+FFFD: JSON and ONNX hold nothing else, and a file may be called anything. */
static char *valid_utf8(const char *text, size_t bytes)
{
    conure_buffer out = {0};
    conure_buffer_text(&out, "");
    for (size_t used; bytes > 0; text += used, bytes -= used) {
        const bool valid = conure_character(text, bytes, &used) >= 0;
        conure_buffer_add(&out, valid ? text : "\xEF\xBF\xBD", valid ? used : 3);
    }
    if (out.failed)
        conure_buffer_free(&out);
    return out.data;
}

/* "folder/name.ending" to "name"; "folder/" to "folder". */
static char *name_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    size_t dot = end;
    while (dot > start && path[dot - 1] != '.')
        dot--;
    if (dot > start + 1 && !conure_path_is_folder(path)) /* ".hidden" keeps its name */
        end = dot - 1;
    return valid_utf8(path + start, end - start);
}

conure_status conure_model_new(conure_model **out, const conure_model_options *options, char *name,
                               conure_error *err)
{
    conure_model *model = conure_calloc(1, sizeof *model);
    if (!model || !name || pthread_mutex_init(&model->lock, NULL) != 0) {
        free(model);
        free(name);
        return conure_fail_memory(err, "a model", sizeof *model);
    }
    model->name = name;
    model->n_users = 1;
    model->log = (conure_log){options->log, options->log_user};
    *out = model;
    return CONURE_OK;
}

void conure_model_hold(const conure_model *model)
{
    conure_model *m = (conure_model *)model; /* what changes is under lock */
    pthread_mutex_lock(&m->lock);
    m->n_users++;
    pthread_mutex_unlock(&m->lock);
}

void conure_model_release(const conure_model *model)
{
    conure_model *m = (conure_model *)model;
    pthread_mutex_lock(&m->lock);
    const bool last = --m->n_users == 0;
    pthread_mutex_unlock(&m->lock);
    if (!last)
        return;
    conure_tokenizer_free(&m->tokenizer);
    if (m->map_owned)
        conure_map_close(&m->map);
    for (uint32_t i = 0; i < m->n_shards; i++)
        conure_map_close(&m->shards[i]);
    conure_blocks_free(&m->arena);
    pthread_mutex_destroy(&m->lock);
    free(m->name);
    free(m);
}

void conure_model_close(conure_model **model)
{
    if (!model || !*model)
        return;
    conure_model_release(*model);
    *model = NULL;
}

void conure_model_forget(const conure_model *model, const conure_tensor *tensor)
{
    const uint8_t *start = tensor->data;
    for (uint32_t i = 0; i <= model->n_shards; i++) {
        const conure_map *map = i < model->n_shards ? &model->shards[i] : &model->map;
        if ((i < model->n_shards || model->map_owned) && map->data && start >= map->data &&
            start < map->data + map->bytes)
            conure_map_forget(map, start, tensor->bytes);
    }
}

/* Files that people try, by how they begin. */
static conure_status fail_unknown(const conure_map *map, const char *path, conure_error *err)
{
    static const struct {
        const char *begin;
        size_t bytes;
        const char *what;
    } known[] = {
        {"version https://git-lfs", 23, "a Git LFS pointer: fetch the file itself (git lfs pull)"},
        {"PK\3\4", 4,
         "a zip archive, perhaps PyTorch weights: open the .nemo archive they belong to"},
        {"GGUF", 4, "a GGUF file, which is not supported"},
        {"<!", 2, "a web page: was the file fetched from its real address?"},
        {"<html", 5, "a web page: was the file fetched from its real address?"},
        {"{", 1, "JSON text: open the folder that it lies in"},
        {"\x08", 1, "perhaps a graph of ONNX: open the folder that it lies in, with decoder and vocabulary beside it"},
        {"RIFF", 4, "audio: give the model with -m and the audio as an argument"},
        {"fLaC", 4, "audio: give the model with -m and the audio as an argument"},
    };
    if (map->bytes == 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s: the file is empty", path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (map->bytes >= known[i].bytes && memcmp(map->data, known[i].begin, known[i].bytes) == 0)
            return conure_fail(err, CONURE_BAD_FILE, "%s: %s", path, known[i].what);
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < map->bytes; i++)
        snprintf(hex + 3 * i, sizeof hex - 3 * i, " %02x", map->data[i]);
    return conure_fail(
        err, CONURE_BAD_FILE,
        "%s: begins with%s, expected a .nemo archive, a converted file, a Hugging Face "
        "folder, or a folder of exported graphs",
        path, hex);
}

static conure_status open_file(conure_model *model, const char *path, conure_error *err)
{
    model->map_owned = true;
    const conure_status status = conure_map_open(&model->map, path, err);
    if (status != CONURE_OK)
        return status;
    if (conure_safetensors_recognises(&model->map)) {
        model->format = CONURE_FORMAT_CONURE;
        return conure_converted_open(model, path, err);
    }
    if (conure_nemo_recognises(&model->map)) {
        model->format = CONURE_FORMAT_NEMO;
        return conure_nemo_open(model, path, err);
    }
    return fail_unknown(&model->map, path, err);
}

conure_status conure_model_open(conure_model **out, const char *path,
                                const conure_model_options *options, conure_error *err)
{
    conure_model_options o;
    conure_model *model = NULL;
    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "no place for the model");
    *out = NULL;
    if (!path || !*path)
        return conure_fail(err, CONURE_BAD_ARG, "no path of a model");
    conure_status status = take_options(&o, options, err);
    if (status == CONURE_OK)
        status = conure_model_new(&model, &o, name_of(path), err);
    if (status != CONURE_OK)
        return status;
    model->path = conure_block_text(&model->arena, path, strlen(path));
    if (!model->path) {
        status = conure_fail_memory(err, "a path", strlen(path));
    } else if (conure_path_is_folder(path) && conure_graphs_recognise(path)) {
        model->format = CONURE_FORMAT_GRAPHS;
        status = conure_graphs_open(model, path, err);
    } else if (conure_path_is_folder(path)) {
        model->format = CONURE_FORMAT_HUGGINGFACE;
        status = conure_huggingface_open(model, path, err);
    } else {
        status = open_file(model, path, err);
    }
    /* Converted files were checked when they were written: opening reads no weights. */
    if (status == CONURE_OK && !model->graphs)
        status = conure_model_finish(model, o.check_finite && model->format != CONURE_FORMAT_CONURE,
                                     path, err);
    if (status == CONURE_OK)
        *out = model;
    else
        conure_model_close(&model);
    return status;
}

conure_status conure_model_open_memory(conure_model **out, const void *data, size_t bytes,
                                       const char *name, const conure_model_options *options,
                                       conure_error *err)
{
    conure_model_options o;
    conure_model *model = NULL;
    if (!out)
        return conure_fail(err, CONURE_BAD_ARG, "no place for the model");
    *out = NULL;
    if (!data || !name || (uintptr_t)data % CONURE_ALIGN)
        return conure_fail(err, CONURE_BAD_ARG,
                           "a model in memory needs data aligned to %d bytes and "
                           "a name",
                           CONURE_ALIGN);
    conure_status status = take_options(&o, options, err);
    if (status == CONURE_OK)
        status = conure_model_new(&model, &o, conure_strdup(name), err);
    if (status != CONURE_OK)
        return status;
    model->map = (conure_map){.data = data, .bytes = bytes};
    model->format = CONURE_FORMAT_CONURE;
    status = conure_converted_open(model, name, err);
    if (status == CONURE_OK)
        status = conure_model_finish(model, false, name, err);
    if (status == CONURE_OK)
        *out = model;
    else
        conure_model_close(&model);
    return status;
}

conure_status conure_model_hash(const conure_model *model, char hex[65], conure_error *err)
{
    /* The hash is a cache: filling it does not change the model as its users see it. */
    conure_model *m = (conure_model *)(uintptr_t)model;
    conure_status status = CONURE_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->sha256[0] && m->graphs)
        status = conure_graphs_hash(model, m->sha256, err);
    else if (!m->sha256[0])
        status = conure_hash_model(model, m->sha256, NULL, NULL, err);
    memcpy(hex, m->sha256, sizeof m->sha256);
    pthread_mutex_unlock(&m->lock);
    return status;
}

conure_status conure_model_get_info(const conure_model *model, conure_model_info *info)
{
    char hex[65];
    if (!model || !info || info->struct_bytes < sizeof info->struct_bytes ||
        info->struct_bytes > sizeof *info)
        return CONURE_BAD_ARG;
    const conure_status status = conure_model_hash(model, hex, NULL);
    if (status != CONURE_OK)
        return status;
    const conure_config *c = &model->config;
    const conure_model_info facts = {
        .struct_bytes = info->struct_bytes,
        .name = model->name,
        .sha256 = model->sha256,
        .format = model->format,
        .mask = c->mask,
        .weights = conure_dtype_name(model->weight_dtype),
        .n_parameters = model->n_parameters,
        .weight_bytes = model->weight_bytes,
        .sample_rate_hz = c->sample_rate_hz,
        .mel_bins = c->mel_bins,
        .n_layers = c->n_layers,
        .d_model = c->d_model,
        .n_heads = c->n_heads,
        .vocab_size = c->vocab_size,
        .n_durations = c->n_durations,
        .frame_s = 8.0 * c->hop_samples / c->sample_rate_hz,
    };
    memcpy(info, &facts, info->struct_bytes);
    return CONURE_OK;
}

const char *conure_model_piece(const conure_model *model, uint32_t token)
{
    return model && token < model->config.vocab_size
               ? conure_tokenizer_piece(model->tokenizer, token)
               : NULL;
}

/* nemo.c - a .nemo archive: find the members, read each with its own reader. */
#include "model/nemo.h"

#include "model/gzip.h"
#include "model/nemo_config.h"
#include "model/quote.h"
#include "model/tar.h"
#include "model/torch_file.h"

#include <stdio.h>
#include <string.h>

/* Weights hardly compress (float32 to about 0.9); a small file that claims to be huge is an
 * attack. */
#define INFLATED_TIMES_MAX 64
#define INFLATED_BYTES_MAX ((uint64_t)64 << 30)

bool conure_nemo_recognises(const conure_map *map)
{
    return conure_gzip_recognises(map->data, map->bytes) ||
           conure_tar_recognises(map->data, map->bytes);
}

static conure_status inflate_map(conure_model *model, conure_error *err)
{
    conure_map inflated;
    uint64_t bytes_max = INFLATED_BYTES_MAX;
    if (!conure_gzip_recognises(model->map.data, model->map.bytes))
        return CONURE_OK;
    if (model->map.bytes < INFLATED_BYTES_MAX / INFLATED_TIMES_MAX)
        bytes_max = model->map.bytes * INFLATED_TIMES_MAX;
    const conure_status status =
        conure_gzip_inflate(&inflated, model->map.data, model->map.bytes, bytes_max, err);
    if (status != CONURE_OK)
        return status;
    if (model->map_owned)
        conure_map_close(&model->map);
    model->map = inflated;
    model->map_owned = true;
    return CONURE_OK;
}

/* The member, or an error that says what the archive has. */
static conure_status member_find(const conure_tar *tar, const char *name,
                                 const conure_tar_member **out, conure_error *err)
{
    char shown[96];
    *out = conure_tar_find(tar, name);
    if (*out)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE,
                       "member %s is missing among %u: not a .nemo archive, or cut short",
                       conure_quote(shown, sizeof shown, name, strlen(name)), tar->n_members);
}

static conure_status tokenizer_open(conure_model *model, const conure_tar *tar,
                                    const conure_nemo_config *config, conure_error *err)
{
    const conure_tar_member *member;
    const char *from = config->tokenizer_member;
    conure_status status;
    char shown[96];
    if (from) {
        status = member_find(tar, from, &member, err);
        if (status == CONURE_OK)
            status = conure_tokenizer_from_sentencepiece(&model->tokenizer, member->data,
                                                         (size_t)member->bytes, err);
    } else if (config->pieces) {
        from = "joint.vocabulary";
        status =
            conure_tokenizer_from_pieces(&model->tokenizer, (const char *const *)config->pieces,
                                         NULL, config->n_pieces, NULL, true, err);
    } else {
        return conure_fail(
            err, CONURE_BAD_FILE,
            "model_config.yaml: neither tokenizer.model_path nor joint.vocabulary: no tokenizer");
    }
    if (status == CONURE_OK && conure_tokenizer_size(model->tokenizer) != model->config.vocab_size)
        status = conure_fail(err, CONURE_BAD_FILE, "%u pieces, but decoder.vocab_size is %u",
                             conure_tokenizer_size(model->tokenizer), model->config.vocab_size);
    if (status != CONURE_OK)
        conure_error_prefix(err, conure_quote(shown, sizeof shown, from, strlen(from)));
    return status;
}

static conure_status config_open(conure_model *model, const conure_tar *tar, const char *path,
                                 conure_error *err)
{
    const conure_tar_member *member;
    conure_nemo_config config;
    conure_status status = member_find(tar, "model_config.yaml", &member, err);
    if (status != CONURE_OK)
        return status;
    status = conure_nemo_config_read(&config, member->data, (size_t)member->bytes, err);
    if (status != CONURE_OK) {
        conure_error_prefix(err, "model_config.yaml");
        return status;
    }
    model->config = config.config;
    if (config.note[0])
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s: model_config.yaml: %s", path,
                         config.note);
    status = tokenizer_open(model, tar, &config, err);
    conure_nemo_config_free(&config);
    return status;
}

static conure_status weights_open(conure_model *model, const conure_tar *tar, conure_error *err)
{
    const conure_tar_member *member;
    conure_status status = member_find(tar, "model_weights.ckpt", &member, err);
    if (status != CONURE_OK)
        return status;
    status = conure_torch_file_read(model, member->data, member->bytes, err);
    if (status != CONURE_OK)
        conure_error_prefix(err, "model_weights.ckpt");
    return status;
}

conure_status conure_nemo_open(conure_model *model, const char *path, conure_error *err)
{
    conure_tar tar = {0};
    conure_status status = inflate_map(model, err);
    if (status == CONURE_OK)
        status = conure_tar_read(&tar, model->map.data, model->map.bytes, err);
    if (status == CONURE_OK)
        status = config_open(model, &tar, path, err);
    if (status == CONURE_OK)
        status = weights_open(model, &tar, err);
    conure_tar_free(&tar);
    if (status != CONURE_OK)
        conure_error_prefix(err, path);
    return status;
}

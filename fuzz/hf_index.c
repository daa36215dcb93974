/* hf_index.c - the index of weights in several files: whatever it says, only files of its folder are opened. */
#include "model/load.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[] = "hf-index-XXXXXX", shard[64], index_path[64];

static void clean(void)
{
    unlink(shard);
    unlink(index_path);
    rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0)
        abort();
}

/* A folder with one shard of one tensor, "w", two floats. */
static void prepare(void)
{
    static const char header[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    uint8_t file[8 + sizeof header - 1 + 8] = {sizeof header - 1};
    if (!mkdtemp(folder))
        abort();
    snprintf(shard, sizeof shard, "%s/a.safetensors", folder);
    snprintf(index_path, sizeof index_path, "%s/index.json", folder);
    memcpy(file + 8, header, sizeof header - 1);
    write_file(shard, file, sizeof file);
    atexit(clean);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_model *model = NULL;
    conure_model_options options;
    conure_error err;
    if (!shard[0])
        prepare();
    write_file(index_path, data, bytes);
    conure_model_options_init(&options);
    if (conure_model_new(&model, &options, conure_strdup("fuzz"), &err) != CONURE_OK)
        return 0;
    if (conure_huggingface_shards(model, folder, index_path, &err) == CONURE_OK)
        for (uint32_t i = 0; i < model->n_tensors; i++)
            if (model->tensors[i].bytes != 8 || ((const uint8_t *)model->tensors[i].data)[7] != 0)
                abort();
    conure_model_close(&model);
    return 0;
}

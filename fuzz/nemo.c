/* nemo.c - any bytes as a .nemo archive, gzip too; the checksums of tar headers are put right. */
#include "model/nemo.h"

#include "../tests/model/nemo_build.h"
#include "model/blocks.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_error err;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    conure_model model = {.map = {copy, bytes}};
    if (!copy)
        return 0;
    if (bytes)
        memcpy(copy, data, bytes);
    for (size_t at = 0; at + 512 <= bytes; at += 512)
        if (copy[at] && memcmp(copy + at + 257, "ustar", 5) == 0)
            tar_checksum(copy + at);
    if (conure_nemo_recognises(&model.map))
        conure_nemo_open(&model, "fuzz.nemo", &err);
    conure_tokenizer_free(&model.tokenizer);
    conure_blocks_free(&model.arena);
    if (model.map_owned) /* inflated */
        conure_map_close(&model.map);
    free(copy);
    return 0;
}

/* nemo.c - any bytes as a .nemo archive, gzip too. */
#include "model/nemo.h"
#include "model/blocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_error err;
    conure_model model = {.map = {data, bytes}};
    if (conure_nemo_recognises(&model.map))
        conure_nemo_open(&model, "fuzz.nemo", &err);
    conure_tokenizer_free(&model.tokenizer);
    conure_blocks_free(&model.arena);
    if (model.map_owned) /* inflated */
        conure_map_close(&model.map);
    return 0;
}

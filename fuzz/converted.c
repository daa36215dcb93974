/* converted.c - converted files: opening stands anything; a model that opens can be described and verified. */
#include "base/memory.h"
#include "model/load.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_model *model = NULL;
    conure_error err;
    /* The exact size, so that a read past the end is caught, at the alignment that is asked for. */
    void *copy;
    if (posix_memalign(&copy, CONURE_ALIGN, bytes ? bytes : 1) != 0)
        return 0;
    memcpy(copy, data, bytes);
    if (conure_model_open_memory(&model, copy, bytes, "fuzz", NULL, &err) == CONURE_OK) {
        conure_model_info info = {.struct_bytes = sizeof info};
        (void)conure_model_get_info(model, &info);
        for (uint32_t i = 0; i < info.vocab_size; i++)
            (void)conure_model_piece(model, i);
        (void)conure_model_verify(model, NULL, NULL, &err);
    }
    conure_model_close(&model);
    free(copy);
    return 0;
}

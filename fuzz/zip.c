/* zip.c - any bytes as a zip archive, and as what torch.save() wrote. */
#include "model/zip.h"
#include "model/blocks.h"
#include "model/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_error err;
    conure_zip zip;
    conure_model model = {.map = {data, bytes}};
    if (conure_zip_read(&zip, data, bytes, &err) == CONURE_OK) {
        for (uint32_t i = 0; i < zip.n_records; i++)
            conure_zip_check(&zip.records[i], &err);
        conure_zip_free(&zip);
    }
    conure_torch_file_read(&model, data, bytes, &err);
    conure_blocks_free(&model.arena);
    return 0;
}

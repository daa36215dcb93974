/* pickle.c - any bytes as the pickle of a checkpoint with three storages; every element of the
 * tensors that come out is read. */
#include "model/blocks.h"
#include "model/torch_file.h"

#include "../tests/model/nemo_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint8_t storage[480];
    conure_error err;
    conure_model model = {0};
    zip_builder zip = {0};
    volatile uint8_t sum = 0;
    zip_add(&zip, "m/data.pkl", data, bytes);
    zip_add(&zip, "m/data/0", storage, 24);
    zip_add(&zip, "m/data/1", storage, 480);
    zip_add(&zip, "m/data/2", storage, 1);
    zip_end(&zip);
    model.map = (conure_map){(const uint8_t *)zip.out.data, zip.out.bytes};
    if (conure_torch_file_read(&model, model.map.data, model.map.bytes, &err) == CONURE_OK)
        for (uint32_t i = 0; i < model.n_tensors; i++)
            for (uint64_t k = 0; k < model.tensors[i].bytes; k++)
                sum = (uint8_t)(sum + ((const uint8_t *)model.tensors[i].data)[k]);
    conure_blocks_free(&model.arena);
    conure_buffer_free(&zip.out);
    return 0;
}

/* safetensors.c - headers of safetensors files: every entry that is accepted must be readable. */
#include "model/safetensors.h"
#include "model/load.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const conure_map map = {.data = data, .bytes = bytes};
    conure_safetensors st;
    conure_error err;
    const char *name;
    json_t *entry;
    if (conure_safetensors_open(&st, &map, "fuzz", &err) != CONURE_OK)
        return 0;
    json_object_foreach(st.header, name, entry)
    {
        conure_tensor tensor;
        if (conure_safetensors_is_metadata(name) ||
            conure_safetensors_entry(&st, name, entry, &tensor, &err) != CONURE_OK)
            continue;
        const uint8_t *at = tensor.data;
        uint64_t sum = 0, product = 1;
        for (uint64_t i = 0; i < tensor.bytes; i++)
            sum += at[i];
        const uint64_t elements = tensor.bytes / conure_dtype_bytes(tensor.dtype);
        for (uint32_t i = 0; i < tensor.rank; i++)
            product *= tensor.shape[i];
        if (elements != product || sum > 255 * tensor.bytes)
            abort();
    }
    (void)conure_safetensors_metadata(&st, "format");
    conure_safetensors_close(&st);
    return 0;
}

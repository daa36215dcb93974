/* nemo_config.c - any bytes as a model_config.yaml. */
#include "model/nemo_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_error err;
    conure_nemo_config config;
    if (conure_nemo_config_read(&config, data, bytes, &err) == CONURE_OK)
        conure_nemo_config_free(&config);
    return 0;
}

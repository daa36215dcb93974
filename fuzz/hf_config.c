/* hf_config.c - config.json and processor_config.json, separated by a NUL: a configuration that is accepted
 * passes its check, and comes back from its own JSON. */
#include "model/load.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const conure_log silent = {0};
    const char *text = (const char *)data;
    const char *end = bytes ? memchr(text, 0, bytes) : NULL;
    const size_t first = end ? (size_t)(end - text) : bytes;
    conure_config config, back;
    conure_error err;
    char *json, *again;
    if (conure_huggingface_config(&config, text, first, end ? end + 1 : NULL,
                                  end ? bytes - first - 1 : 0, "fuzz", &silent,
                                  &err) != CONURE_OK) {
        if (!*err.text)
            abort(); /* every refusal says why */
        (void)conure_config_parse(&config, text, first, "fuzz", &err);
        return 0;
    }
    if (conure_config_check(&config, NULL) != CONURE_OK)
        abort();
    if (conure_config_dump(&config, &json, NULL) != CONURE_OK)
        return 0;
    if (conure_config_parse(&back, json, strlen(json), "fuzz", &err) != CONURE_OK ||
        conure_config_dump(&back, &again, NULL) != CONURE_OK || strcmp(json, again) != 0)
        abort();
    free(json);
    free(again);
    return 0;
}

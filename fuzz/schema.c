/* schema.c - a JSON Schema and a value, separated by a NUL: both hostile; validating ends, and every refusal says why. */
#include "contract/schema.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data, *end = bytes ? memchr(text, 0, bytes) : NULL;
    const size_t first = end ? (size_t)(end - text) : bytes;
    conure_schema *schema;
    conure_error err = {""};
    if (conure_schema_open(&schema, text, first, "fuzz", &err) != CONURE_OK) {
        if (!*err.text || schema)
            abort();
        return 0;
    }
    json_t *value = end ? json_loadb(end + 1, bytes - first - 1, JSON_DECODE_ANY, NULL) : NULL;
    if (value && conure_schema_check(schema, value, "value", &err) != CONURE_OK && !*err.text)
        abort();
    json_decref(value);
    conure_schema_close(&schema);
    return 0;
}

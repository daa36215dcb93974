/* ranges.c - a file of ranges: what is accepted is the same again when it is written and read, and every number makes a step. */
#include "onnx/ranges.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { LAYERS = 2 };
static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void check(float value)
{
    if (!(value == 0 || (value > 1e-31f && value < 2e30f)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_observations *seen = NULL, *back = NULL;
    conure_error err = {""};
    char *text = NULL, *again = NULL;
    const conure_status status = conure_ranges_parse(&seen, (const char *)data, bytes, LAYERS, hash, "fuzz", &err);
    if ((status == CONURE_OK) != (seen != NULL) || (status != CONURE_OK) != (err.text[0] != '\0'))
        abort();
    if (!seen)
        return 0;
    for (int32_t i = -1; i < LAYERS; i++)
        check(conure_observed_most(seen, i));
    check(conure_observed_input(seen, "encoder.layers.1.conv.pointwise_conv2.weight"));
    if (conure_ranges_dump(seen, "model", hash, &text, NULL) == CONURE_OK &&
        (conure_ranges_parse(&back, text, strlen(text), LAYERS, hash, "fuzz", &err) != CONURE_OK ||
         conure_ranges_dump(back, "model", hash, &again, NULL) != CONURE_OK || strcmp(text, again) != 0))
        abort();
    free(text);
    free(again);
    conure_observations_free(&seen);
    conure_observations_free(&back);
    return 0;
}

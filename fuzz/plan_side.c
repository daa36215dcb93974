/* plan_side.c - the side file of a plan.  What is read must be written and read again to the same text. */
#include "engine/trt/plan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_plan_side side, again;
    char *text = NULL, *second = NULL, key[48];
    conure_error err = {""};
    if (bytes > CONURE_PLAN_SIDE_BYTES_MAX)
        return 0;
    const conure_status status = conure_plan_side_parse(&side, (const char *)data, bytes, "side", &err);
    if (status != CONURE_OK) {
        if (err.text[0] == '\0')
            abort();
        return 0;
    }
    conure_plan_key(&side, key);
    if (conure_plan_side_dump(&side, &text, &err) != CONURE_OK || conure_plan_side_parse(&again, text, strlen(text), "again", &err) != CONURE_OK ||
        conure_plan_side_dump(&again, &second, &err) != CONURE_OK || strcmp(text, second) != 0)
        abort();
    free(text);
    free(second);
    return 0;
}

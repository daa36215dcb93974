/* tolerance.c - tolerance files: whatever is accepted bounds every tensor with finite numbers that are not negative. */
#include "clearance/tolerance.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (int flows = 0; flows < 2; flows++) {
        conure_tolerance t;
        conure_error err = {""};
        const conure_status status = conure_tolerance_parse(&t, (const char *)data, bytes, flows, flows ? "f32" : "int8", "fuzz", &err);
        if ((status != CONURE_OK) != (err.text[0] != '\0'))
            abort();
        for (int m = 0; m < CONURE_MEASURED && status == CONURE_OK; m++)
            if (!isfinite(t.limits[m].absolute_max) || t.limits[m].absolute_max < 0 || isnan(t.limits[m].absolute_p95) ||
                isnan(t.limits[m].relative_max) || !(t.slope_per_chunk >= 0) || !(t.token_agreement <= 1))
                abort();
    }
    return 0;
}

/* ops.c - the backends that were built in. */
#include "backend/ops.h"

#include <string.h>

static const conure_ops *const backends[] = {
    &conure_ops_cpu, /* always built: it is the reference */
};

#define N_BACKENDS (sizeof backends / sizeof *backends)

conure_status conure_ops_find(const conure_ops **out, const char *name, conure_error *err)
{
    char names[128] = "";
    size_t used = 0;
    *out = NULL;
    for (size_t i = 0; i < N_BACKENDS; i++) {
        const char *have = backends[i]->name;
        const size_t length = strlen(have), comma = used ? 2 : 0;
        if (strcmp(name, have) == 0) {
            *out = backends[i];
            return CONURE_OK;
        }
        if (used + comma + length < sizeof names) {
            memcpy(names + used, ", ", comma);
            memcpy(names + used + comma, have, length + 1);
            used += comma + length;
        }
    }
    return conure_fail(err, CONURE_BACKEND, "no backend is called \"%s\"; there are: %s", name,
                       names);
}

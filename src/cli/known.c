/* known.c - the table of known models; known.h explains the columns.
 *
 * The hash of parakeet-tdt-0.6b-v3.nemo is the one that NVIDIA's TensorRT sample records for the file it
 * was made from.  The file's exact size is not published; it holds 2,508,362,520 bytes of tensors. */
#include <stddef.h>
#include <string.h>

#include "cli/known.h"

const conure_known_model conure_known_models[] = {
    {
        .name = "parakeet-tdt-0.6b-v3",
        .repo = "nvidia/parakeet-tdt-0.6b-v3",
        .revision = "main",
        .file = "parakeet-tdt-0.6b-v3.nemo",
        .sha256 = "3cbdc85877e668ca7b82d0d56770eb1fac76691f55d6b97545e8d61ca588d10d",
        .bytes_max = 2600000000u,
        .licence = "CC-BY-4.0",
    },
    {NULL, NULL, NULL, NULL, NULL, 0, NULL},
};

const conure_known_model *conure_known_find(const char *name)
{
    for (const conure_known_model *m = conure_known_models; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

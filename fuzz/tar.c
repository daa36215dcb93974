/* tar.c - any bytes as a tar archive, with the checksums of headers put right, which no mutation
 * would do by itself; the first byte says whether. */
#include "model/tar.h"

#include "../tests/model/nemo_build.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_error err;
    conure_tar tar;
    volatile uint8_t sum = 0;
    if (bytes < 1)
        return 0;
    const size_t n = bytes - 1;
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        return 0;
    memcpy(copy, data + 1, n);
    for (size_t at = 0; (data[0] & 1) && at + 512 <= n; at += 512)
        if (copy[at] && copy[at + 257] == 'u')
            tar_checksum(copy + at);
    conure_tar_recognises(copy, n);
    if (conure_tar_read(&tar, copy, n, &err) == CONURE_OK) {
        for (uint32_t i = 0; i < tar.n_members; i++)
            for (uint64_t k = 0; k < tar.members[i].bytes; k++)
                sum = (uint8_t)(sum + tar.members[i].data[k]);
        conure_tar_free(&tar);
    }
    free(copy);
    return 0;
}

/* pull_headers.c - a server's headers, line by line: what comes out is bounded text without control
 * characters, as it goes into our next request. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pull_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    assert(strlen(text) < CONURE_ETAG_BYTES);
    for (; *text; text++)
        assert((unsigned char)*text >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    conure_headers headers;
    char hex[65];
    memset(&headers, 0, sizeof headers);
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        const size_t bytes = end ? (size_t)(end - data) + 1 : size;
        char *line = malloc(bytes); /* exact, so that reading past it is seen */
        if (!line)
            return 0;
        memcpy(line, data, bytes);
        conure_headers_line(&headers, line, bytes);
        free(line);
        data += bytes;
        size -= bytes;
    }
    check_text(headers.etag);
    check_text(headers.linked_etag);
    if (conure_etag_sha256(headers.linked_etag, hex) || conure_etag_sha256(headers.etag, hex))
        assert(strspn(hex, "0123456789abcdef") == 64 && hex[64] == '\0');
    return 0;
}

/* pull_headers.h - what a fetch wants to know of a server's headers.  Parses hostile text, knows no network. */
#ifndef CONURE_CLI_PULL_HEADERS_H
#define CONURE_CLI_PULL_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONURE_ETAG_BYTES 160 /* a longer one counts as none */

/* Of the last response of a chain of redirects, but for linked_*, which are the first response's that has them:
 * the hub's own word, not that of the host it points to.  {0} to begin with. */
typedef struct conure_headers {
    char etag[CONURE_ETAG_BYTES]; /* with its quotes; "" when absent */
    bool weak;                    /* the etag is W/"...": not a promise of equal bytes */
    char linked_etag[CONURE_ETAG_BYTES]; /* X-Linked-Etag */
    uint64_t linked_bytes;               /* X-Linked-Size, 0: unknown */
    bool range_seen;                     /* Content-Range named a first byte */
    uint64_t range_first, range_total;   /* total 0: unknown */
} conure_headers;

/* One line as it came, with its end; it need not be terminated.  "HTTP/..." starts the next response. */
void conure_headers_line(conure_headers *headers, const char *line, size_t bytes);

/* An etag that is 64 hex digits, with or without quotes, in lower case. */
bool conure_etag_sha256(const char *etag, char hex[65]);

#endif

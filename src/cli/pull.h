/* pull.h - fetching one file over HTTP so that what arrives is what was meant.
 *
 * Knows how the Hugging Face hub answers (a redirect whose X-Linked-Etag is the SHA-256 of a large file)
 * but works with any server.  The other side is taken for hostile: sizes are capped, redirects
 * counted and kept to https, a length that lies, a range that is ignored and a file that changed
 * half-way are found.  One thread. */
#ifndef CONURE_CLI_PULL_H
#define CONURE_CLI_PULL_H

#include "conure.h"

typedef struct conure_pull_progress {
    uint64_t bytes, total_bytes; /* total 0: unknown */
    double bytes_per_s;
    double left_s;               /* negative: unknown */
} conure_pull_progress;

typedef struct conure_pull_request {
    const char *url;
    const char *path;     /* appears when complete; PATH.part and PATH.part.etag until then */
    const char *sha256;   /* expected, NULL: unknown */
    uint64_t bytes_max;   /* never take more than this */
    uint32_t attempts;    /* without progress between them, at least 1 */
    double backoff_s;     /* before the second attempt; doubles, at most 30 */
    uint32_t stall_s;     /* give an attempt up after so long without a byte */
    const volatile int *cancel;
    void (*progress)(void *user, const conure_pull_progress *progress); /* NULL: none */
    void (*note)(void *user, const char *text); /* retries and the like; NULL: none */
    void *user;
} conure_pull_request;

typedef enum conure_pull_check {
    CONURE_PULL_KNOWN_SHA256 = 1, /* the one in the request */
    CONURE_PULL_SERVER_SHA256,    /* the one the server named: guards against damage, not against it */
    CONURE_PULL_SIZE_ONLY,        /* the server named none */
} conure_pull_check;

typedef struct conure_pull_report {
    conure_pull_check check;
    char sha256[65];        /* of what lies there now */
    uint64_t bytes;
    uint64_t resumed_bytes; /* were there from an earlier run */
    bool was_there;         /* complete already: nothing was fetched */
} conure_pull_report;

/* Returns OK; IO (network, server, disk), BAD_FILE (not the expected content: nothing is kept), LIMIT (larger than
 * bytes_max), CANCELLED, NO_MEMORY.  After IO and CANCELLED what came stays in PATH.part and the next call
 * goes on from there.  A file that is there already is kept when its hash is the expected one, or when
 * none is known. */
conure_status conure_pull_file(const conure_pull_request *request, conure_pull_report *report,
                               conure_error *err);

/* "https://host/owner/repo/resolve/revision/file"; base without or with a slash at its end.  LIMIT
 * when it does not fit, BAD_ARG when base is not http:// or https://. */
conure_status conure_pull_url(char *out, size_t cap, const char *base, const char *repo,
                              const char *revision, const char *file, conure_error *err);

#endif

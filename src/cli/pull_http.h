/* pull_http.h - one HTTP transfer into an open file: the part of pull that knows libcurl. */
#ifndef CONURE_CLI_PULL_HTTP_H
#define CONURE_CLI_PULL_HTTP_H

#include "cli/pull.h"
#include "cli/pull_headers.h"

typedef enum conure_transfer_verdict {
    CONURE_TRANSFER_DONE = 1, /* the file is complete as far as the server says */
    CONURE_TRANSFER_RETRY,    /* broke off: go on later from what is there */
    CONURE_TRANSFER_RESTART,  /* what is there does not fit the server's file: empty it first */
    CONURE_TRANSFER_FAIL,     /* for good; status and error say why */
} conure_transfer_verdict;

typedef struct conure_transfer {
    /* in */
    const conure_pull_request *request;
    int fd;                            /* the partial file, written at the end of what is there */
    uint64_t offset;                   /* bytes there; 0 once the server sends the whole file */
    char if_range[CONURE_ETAG_BYTES];  /* "": ask without condition */
    /* out */
    uint64_t bytes;                    /* in the file now */
    uint64_t total_bytes;              /* of the whole file, 0: unknown */
    conure_headers headers;            /* etag: the strong one of the body's response, "" if none */
    char server_sha256[65];            /* "" when the server named none */
    conure_status status;
    conure_error error;                /* why RETRY, RESTART or FAIL */
    /* private */
    void *curl;
    bool body_begun, restart;
    long code;
    uint64_t refused_bytes;
    double start_s;
} conure_transfer;

conure_transfer_verdict conure_transfer_run(conure_transfer *transfer);

#endif

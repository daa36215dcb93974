/* known.h - the models that `conure pull NAME` knows by name, with what their files must be. */
#ifndef CONURE_CLI_KNOWN_H
#define CONURE_CLI_KNOWN_H

#include <stdint.h>

typedef struct conure_known_model {
    const char *name;     /* what -m and pull call it */
    const char *repo;     /* on the hub: "owner/name" */
    const char *revision; /* branch, tag or commit */
    const char *file;     /* within the repository, and in the cache */
    const char *sha256;   /* 64 hex digits */
    uint64_t bytes_max;   /* more than this is not that file */
    const char *licence;
} conure_known_model;

/* name is NULL in the last row. */
extern const conure_known_model conure_known_models[];
const conure_known_model *conure_known_find(const char *name); /* NULL: unknown */

#endif

/* tar.h - the members of a tar archive in memory, used in place.
 * Reads ustar, PAX (path and size records) and GNU (long names, base-256 sizes). */
#ifndef CONURE_MODEL_TAR_H
#define CONURE_MODEL_TAR_H

#include "base/error.h"

#define CONURE_TAR_MEMBERS_MAX    4096
#define CONURE_TAR_NAME_BYTES_MAX 4095

typedef struct conure_tar_member {
    char *name;          /* without leading "./"; owned by the tar */
    const uint8_t *data; /* [bytes] within the archive, at a multiple of 512 from its start */
    uint64_t bytes;
} conure_tar_member;

typedef struct conure_tar {
    conure_tar_member *members; /* regular files in the order of the archive */
    uint32_t n_members;
} conure_tar;

/* The first block is a tar header with a correct checksum. */
bool conure_tar_recognises(const uint8_t *data, uint64_t bytes);

/* List the files.  Directories are skipped.  BAD_FILE names the member: absolute paths, "..",
 * links, devices, a wrong checksum, a size past the end, the same name twice; LIMIT: too many
 * members. data must outlive tar.  On failure nothing has to be freed.  Cost: one header a
 * member. */
conure_status conure_tar_read(conure_tar *tar, const uint8_t *data, uint64_t bytes,
                              conure_error *err);
void conure_tar_free(conure_tar *tar);

/* NULL when absent. */
const conure_tar_member *conure_tar_find(const conure_tar *tar, const char *name);

#endif

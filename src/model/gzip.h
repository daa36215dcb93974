/* gzip.h - a gzip file inflated into a mapping that no memory has to hold. */
#ifndef CONURE_MODEL_GZIP_H
#define CONURE_MODEL_GZIP_H

#include "base/error.h"
#include "base/files.h"

bool conure_gzip_recognises(const uint8_t *data, uint64_t bytes);

/* Inflate (all members of) a gzip file into an unlinked temporary file in $TMPDIR (/tmp when
 * unset) and map that; out is closed with conure_map_close().  BAD_FILE: damaged or cut short
 * (checksums are checked); LIMIT: more than bytes_max; IO: the temporary file cannot be written. */
conure_status conure_gzip_inflate(conure_map *out, const uint8_t *data, uint64_t bytes,
                                  uint64_t bytes_max, conure_error *err);

#endif

/* zip.h - the records of a zip archive in memory, stored without compression, used in place: the
 * container of torch.save(). */
#ifndef CONURE_MODEL_ZIP_H
#define CONURE_MODEL_ZIP_H

#include "base/error.h"

#define CONURE_ZIP_RECORDS_MAX    (1u << 18)
#define CONURE_ZIP_NAME_BYTES_MAX 1024

typedef struct conure_zip_record {
    const char *name; /* [name_bytes] within the archive, not terminated */
    uint32_t name_bytes;
    uint32_t crc32;
    const uint8_t *data; /* [bytes] within the archive, any alignment */
    uint64_t bytes;
} conure_zip_record;

typedef struct conure_zip {
    conure_zip_record *records; /* sorted by name */
    uint32_t n_records;
} conure_zip;

bool conure_zip_recognises(const uint8_t *data, uint64_t bytes);

/* Read the central directory (classic or zip64) and check every local header against it.
 * BAD_FILE: damaged, cut short or a name twice; UNSUPPORTED: compressed, encrypted or split.
 * data must outlive zip.  On failure nothing has to be freed.  Cost: O(records), no data is
 * read. */
conure_status conure_zip_read(conure_zip *zip, const uint8_t *data, uint64_t bytes,
                              conure_error *err);
void conure_zip_free(conure_zip *zip);

/* NULL when absent. */
const conure_zip_record *conure_zip_find(const conure_zip *zip, const char *name,
                                         size_t name_bytes);

/* BAD_FILE when the record's bytes do not have its CRC-32.  Cost: reads them. */
conure_status conure_zip_check(const conure_zip_record *record, conure_error *err);

#endif

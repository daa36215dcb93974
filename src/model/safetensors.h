/* safetensors.h - the container: u64 little-endian header size, a JSON header, then data.
 *     {"__metadata__": {key: text}, name: {"dtype": "F16", "shape": [..], "data_offsets": [from, to]}}
 * Offsets count from the end of the header. */
#ifndef CONURE_MODEL_SAFETENSORS_H
#define CONURE_MODEL_SAFETENSORS_H

#include "base/files.h"
#include "model/model.h"

#include <jansson.h>

typedef struct conure_safetensors {
    json_t *header; /* iterate with json_object_foreach(); skip conure_safetensors_is_metadata() */
    const uint8_t *data;
    uint64_t data_bytes;
    const char *where; /* begins error texts; the caller's */
} conure_safetensors;

/* The map must outlive *st.  BAD_FILE, UNSUPPORTED (header beyond 64 MiB), NO_MEMORY. */
conure_status conure_safetensors_open(conure_safetensors *st, const conure_map *map,
                                      const char *where, conure_error *err);
void conure_safetensors_close(conure_safetensors *st); /* {0} is fine */

bool conure_safetensors_is_metadata(const char *key);
/* NULL when absent or not a text; belongs to *st. */
const char *conure_safetensors_metadata(const conure_safetensors *st, const char *key);

/* One entry of the header, checked: known type, at most CONURE_RANK_MAX dimensions, a span inside the
 * data that has just the bytes of its shape.  The tensor's name is `name`, its data lies in the map. */
conure_status conure_safetensors_entry(const conure_safetensors *st, const char *name,
                                       const json_t *entry, conure_tensor *tensor,
                                       conure_error *err);

/* "F32" and so on, NULL for types the container does not know. */
const char *conure_safetensors_dtype(conure_dtype dtype);

#endif

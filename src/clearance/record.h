/* record.h - chunks as bytes.  One record is a JSON object that names tensors, with their values in base64 (a line of a
 * JSON Lines file), or without them and the values behind it (a frame of a compact file, or of a candidate's pipe).
 *
 * A frame:  "CREC", u32 bytes of JSON, u64 bytes of payload (both little-endian), the JSON, the payload.  The payload
 * holds the tensors one after the other, in the order of the contract, without padding: f32 or i64, little-endian.
 * What is read is hostile: sizes are compared with the contract's shapes before anything is taken. */
#ifndef CONURE_CLEARANCE_RECORD_H
#define CONURE_CLEARANCE_RECORD_H

#include "base/memory.h"
#include "clearance/chunk.h"

#include <jansson.h>

#define CONURE_FRAME_HEAD_BYTES 16
#define CONURE_FRAME_JSON_MAX   (2u << 20)

typedef struct conure_frame_head {
    uint32_t json_bytes;
    uint64_t payload_bytes;
} conure_frame_head;

void conure_frame_put(uint8_t head[CONURE_FRAME_HEAD_BYTES], const conure_frame_head *frame);
/* BAD_FILE: no frame, or its sizes are beyond CONURE_FRAME_JSON_MAX and payload_max; where begins the text. */
conure_status conure_frame_get(conure_frame_head *frame, const uint8_t head[CONURE_FRAME_HEAD_BYTES], uint64_t payload_max,
                               const char *where, conure_error *err);

/* The tensors from .. to - 1 that the chunk has, as the members of a JSON object without its braces:
 *     "chunk":3,"step":3,"tensors":{"audio_signal":{"type":"f32","shape":[1,128,592],"data":"..."},...}
 * payload NULL: values in base64; else they are appended there and "data" is left out.
 * Memory that is missing shows in the buffers' failed. */
void conure_record_put(conure_buffer *json, conure_buffer *payload, const conure_chunk *chunk, conure_role from, conure_role to);

/* Take the tensors of a parsed record into the chunk; has says which were there.  Roles outside from .. to - 1, unknown
 * tensors, other types or shapes and values of another size are BAD_FILE.  payload NULL: they are in base64. */
conure_status conure_record_get(conure_chunk *chunk, const json_t *record, const uint8_t *payload, size_t payload_bytes,
                                conure_role from, conure_role to, const char *where, conure_error *err);

void conure_base64_put(conure_buffer *out, const void *data, size_t bytes);
/* Strict: no blanks, the padding that belongs there, no stray bits.  False unless it is exactly `bytes` bytes. */
bool conure_base64_get(void *out, size_t bytes, const char *text, size_t text_bytes);

#endif

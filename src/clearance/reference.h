/* reference.h - chunks with the outputs of a reference engine, as a file: JSON Lines with tensors in base64, or frames with the
 * same content (record.h).  docs/clearance.md, "Reference files", is the format.
 *
 *     header   what made it: contract, engine, generator
 *     chunk    one record each, in order
 *     end      how many there were
 *
 * Every record ends with a SHA-256 over itself and the sum of the record before it: a record that is edited, missing, repeated
 * or out of place shows at that record, and the last sum is the file's.  One record is in memory at a time. */
#ifndef CONURE_CLEARANCE_REFERENCE_H
#define CONURE_CLEARANCE_REFERENCE_H

#include "base/memory.h"
#include "clearance/source.h"

#include <stdio.h>

#define CONURE_REFERENCE_FORMAT   1
#define CONURE_REFERENCE_MAGIC    "CONUREF1" /* a file of frames begins with these 8 bytes */

typedef struct conure_reference_info {
    bool frames;           /* frames instead of lines */
    char engine[256];      /* what ran: one line */
    char precision[32];
    char model_sha256[65]; /* of the weights that ran, also where the contract is for any */
    bool audio;            /* features of real audio, else made up from the seed */
    uint64_t seed;
    char audio_sha256[65]; /* of the features [n_mel][mel_bins], when audio */
    uint64_t n_chunks;
} conure_reference_info;

/* ---- writing ---------------------------------------------------------------------------------- */

typedef struct conure_reference_writer conure_reference_writer;

/* Begins PATH.part, which becomes PATH when it is complete.  resume: go on with a PATH.part that has the same header; *done is how
 * many chunks it has, and the outputs of the last are in *last (an open chunk).  A record that was cut off is made again.
 * Returns OK, IO, BAD_FILE (PATH.part is of another reference: names both), NO_MEMORY. */
conure_status conure_reference_create(conure_reference_writer **out, const char *path, const conure_contract *contract,
                                      const conure_reference_info *info, bool resume, uint64_t *done, conure_chunk *last, conure_error *err);
conure_status conure_reference_add(conure_reference_writer *writer, const conure_chunk *chunk, conure_error *err);
/* The end record, and the file under its name.  sha256 [65]: the last sum. */
conure_status conure_reference_commit(conure_reference_writer **writer, char *sha256, conure_error *err);
void conure_reference_close(conure_reference_writer **writer); /* NULL-safe; PATH.part stays, to be resumed */

/* ---- reading ---------------------------------------------------------------------------------- */

/* A source whose contract is the file's.  Its next() gives BAD_FILE for whatever is not as it was written, naming file and record;
 * features of a made-up reference are made again from the seed and compared. */
conure_status conure_reference_open(conure_source **out, const char *path, conure_error *err);
/* The same from an open stream, which it closes; where begins the error texts.  For tests, and for fuzzing. */
conure_status conure_reference_open_stream(conure_source **out, FILE *stream, const char *where, conure_error *err);
const conure_reference_info *conure_reference_get_info(const conure_source *source);
/* Where the record after the last one that next() gave begins, and the sum it follows: for resuming. */
uint64_t conure_reference_offset(const conure_source *source, char sha256[65]);

/* ---- shared by both --------------------------------------------------------------------------- */

/* The header's JSON without its sum. */
conure_status conure_reference_header(conure_buffer *out, const conure_contract *contract, const conure_reference_info *info,
                                      conure_error *err);
/* sum = sha256(sum, json, payload), as hex. */
void conure_reference_sum(char sum[65], const void *json, size_t json_bytes, const void *payload, size_t payload_bytes);

#endif

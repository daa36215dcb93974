/* onnx_file.h - what a graph of the Open Neural Network Exchange says of itself: inputs, outputs, metadata.
 *
 * Weights are stepped over by their lengths, so a file of gigabytes costs what its list of constants costs.
 * Bytes are hostile.  No memory is allocated; names and values are copies or spans of the file. */
#ifndef CONURE_MODEL_ONNX_FILE_H
#define CONURE_MODEL_ONNX_FILE_H

#include "base/error.h"

#define CONURE_ONNX_PORTS_MAX    16
#define CONURE_ONNX_RANK_MAX     6
#define CONURE_ONNX_METADATA_MAX 64
#define CONURE_ONNX_NAME_CAP     128

/* An input or an output: a tensor. */
typedef struct conure_onnx_port {
    char name[CONURE_ONNX_NAME_CAP];
    int32_t type;                       /* ONNX's number: 1 float, 6 int32, 7 int64, 10 float16 */
    uint32_t rank;
    int64_t dims[CONURE_ONNX_RANK_MAX]; /* -1: any */
} conure_onnx_port;

typedef struct conure_onnx_entry {
    const char *key, *value; /* spans of the file, not terminated */
    size_t key_bytes, value_bytes;
} conure_onnx_entry;

typedef struct conure_onnx_facts {
    conure_onnx_port inputs[CONURE_ONNX_PORTS_MAX], outputs[CONURE_ONNX_PORTS_MAX];
    uint32_t n_inputs, n_outputs;
    conure_onnx_entry metadata[CONURE_ONNX_METADATA_MAX]; /* more are left out */
    uint32_t n_metadata;
} conure_onnx_facts;

/* where begins the error texts: the file.  BAD_FILE, UNSUPPORTED (more inputs, or wider ones, than a speech model has). */
conure_status conure_onnx_read(conure_onnx_facts *out, const void *data, uint64_t bytes, const char *where, conure_error *err);

/* The metadata's entry of this name; NULL: absent. */
const conure_onnx_entry *conure_onnx_find(const conure_onnx_facts *facts, const char *key);

/* A list of the metadata, "0,1,2": 1 to cap numbers up to 2^31 - 1, a single one (cap 1) not 0.  *n is 0 where the key is absent.
 * BAD_FILE, which names key and value: anything else. */
conure_status conure_onnx_numbers(const conure_onnx_facts *facts, const char *key, uint32_t cap, uint32_t *out, uint32_t *n,
                                  const char *where, conure_error *err);

/* fn hears of each constant whose elements another file has: its path from the graph's folder (bytes long, at least 1, a span of
 * data) and where they end in it.  BAD_FILE, and what fn says. */
typedef conure_status (*conure_onnx_external_fn)(void *user, const char *path, size_t bytes, uint64_t end, conure_error *err);
conure_status conure_onnx_externals(const void *data, uint64_t bytes, conure_onnx_external_fn fn, void *user, const char *where,
                                    conure_error *err);

#endif

/* pickle.h - the tensors that a pickle written by torch.save() describes.
 *
 * A pickle is a program for a stack machine that may call any function.  This reader runs the
 * few operations that a dictionary of tensors needs, treats the names of functions as symbols,
 * of which it knows thirteen, and calls nothing: whatever else a file asks for is refused. */
#ifndef CONURE_MODEL_PICKLE_H
#define CONURE_MODEL_PICKLE_H

#include "base/error.h"

#define CONURE_PICKLE_RANK_MAX         8
#define CONURE_PICKLE_BYTES_MAX        (64u << 20) /* of the pickle; 0.6 B parameters take 150 KB */
#define CONURE_PICKLE_STACK_MAX        (1u << 16) /* values; torch.save() groups 1000 items */
#define CONURE_PICKLE_MEMO_MAX         (1u << 20)
#define CONURE_PICKLE_ITEMS_MAX        (1u << 20) /* of tuples, lists and dictionaries in all */
#define CONURE_PICKLE_TENSORS_MAX      (1u << 16)
#define CONURE_PICKLE_STRING_BYTES_MAX 4096

typedef enum conure_storage_type {
    CONURE_STORAGE_FLOAT,
    CONURE_STORAGE_HALF,
    CONURE_STORAGE_BFLOAT16,
    CONURE_STORAGE_DOUBLE,
    CONURE_STORAGE_LONG,
    CONURE_STORAGE_INT,
    CONURE_STORAGE_SHORT,
    CONURE_STORAGE_CHAR,
    CONURE_STORAGE_BYTE,
    CONURE_STORAGE_BOOL,
} conure_storage_type;

/* One entry of the dictionary, as the file claims it: nothing is checked against any data yet. */
typedef struct conure_pickle_tensor {
    const char *name; /* [name_bytes] within the pickle, not terminated, any bytes */
    uint32_t name_bytes;
    const char *key; /* [key_bytes] of the storage, likewise */
    uint32_t key_bytes;
    conure_storage_type type;
    uint64_t storage_elements; /* the storage's size */
    uint64_t offset;           /* of the first element; in elements, as are the strides */
    uint32_t rank;
    uint64_t shape[CONURE_PICKLE_RANK_MAX], stride[CONURE_PICKLE_RANK_MAX];
} conure_pickle_tensor;

/* Returns OK to go on. */
typedef conure_status (*conure_pickle_fn)(void *user, const conure_pickle_tensor *tensor,
                                          conure_error *err);

/* Run the pickle (protocol 2) and hand each entry of the dictionary it leaves to fn, in its order.
 * Nothing is handed out unless the whole pickle was accepted.
 * Returns OK; UNSUPPORTED for a function or operation that is not known (the text names it and the
 * byte); BAD_FILE for a damaged one; LIMIT; NO_MEMORY; or what fn returned. */
conure_status conure_pickle_read(const uint8_t *data, size_t bytes, conure_pickle_fn fn, void *user,
                                 conure_error *err);

#endif

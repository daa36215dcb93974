/* golden.h - reading reference tensors in tests: one safetensors file, tensors by name.
 *
 *     golden g;
 *     char path[4096];
 *     if (!golden_open(&g, shared_path(path, sizeof path, "golden/short.safetensors")))
 *         return test_skip("no ../shared");
 *     const float *mel = golden_f32(&g, "mel", 128, 205);
 *     ...
 *     golden_close(&g);
 *
 * Separate from the product's own safetensors reader on purpose: a fault there must not hide here. */
#ifndef CONURE_TESTS_GOLDEN_H
#define CONURE_TESTS_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct golden {
    char path[4096];
    char *file;       /* the whole file; owned */
    size_t bytes;
    const char *data; /* first byte after the header */
    void *header;     /* json_t */
} golden;

/* The file, or path.gz where it is not there.  False, with g closed, when path is NULL or the file cannot be read or parsed (then it says why on
 * stderr). */
bool golden_open(golden *g, const char *path);
void golden_close(golden *g); /* harmless on a closed one */

/* A tensor's data, valid until golden_close().  The shape is given dimension by dimension; a
 * dimension of -1 matches any size.  NULL, with the reason on stderr, when the tensor is absent or of
 * another type or shape.  Use the macros: they count the dimensions. */
const float *golden_f32_(golden *g, const char *name, int rank, const long long *shape);
const int64_t *golden_i64_(golden *g, const char *name, int rank, const long long *shape);

#define GOLDEN_SHAPE_(...)                                                          \
    (int)(sizeof((long long[]){__VA_ARGS__}) / sizeof(long long)), (const long long[]) \
    {                                                                               \
        __VA_ARGS__                                                                 \
    }
#define golden_f32(g, name, ...) golden_f32_((g), (name), GOLDEN_SHAPE_(__VA_ARGS__))
#define golden_i64(g, name, ...) golden_i64_((g), (name), GOLDEN_SHAPE_(__VA_ARGS__))

bool golden_has(const golden *g, const char *name);
/* Size of one dimension; -1 when there is no such tensor or dimension. */
long long golden_dim(const golden *g, const char *name, int dimension);

/* buf = path of rest inside ../shared (environment CONURE_SHARED, else SOURCE_DIR/../shared);
 * NULL when that does not exist or the buffer is too small. */
const char *shared_path(char *buf, size_t cap, const char *rest);
/* buf = path of rest inside tests/data. */
const char *data_path(char *buf, size_t cap, const char *rest);

#endif

/* golden.c - see golden.h. */
#include "golden.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static bool complain(const golden *g, const char *name, const char *what)
{
    fprintf(stderr, "%s: %s%s%s\n", g->path, name ? name : "", name ? ": " : "", what);
    return false;
}

/* As it is, or packed beside that name. */
static bool read_all(golden *g)
{
    enum { PIECE = 1 << 20 };
    const size_t n = strlen(g->path);
    if (access(g->path, F_OK) != 0 && n + 4 < sizeof g->path)
        memcpy(g->path + n, ".gz", 4);
    gzFile file = gzopen(g->path, "rb"); /* reads what is not packed as it is */
    int got = file ? PIECE : -1;
    while (got == PIECE) {
        char *larger = realloc(g->file, g->bytes + PIECE); /* aligned for any element */
        if (larger)
            g->file = larger;
        got = larger ? gzread(file, larger + g->bytes, PIECE) : -1;
        g->bytes += got > 0 ? (size_t)got : 0;
    }
    if (file)
        gzclose(file);
    return got >= 0 || complain(g, NULL, "cannot be read");
}

static bool parse(golden *g)
{
    uint64_t header_bytes = 0;
    json_error_t why;
    if (g->bytes < 8)
        return complain(g, NULL, "too short for safetensors");
    memcpy(&header_bytes, g->file, 8); /* little endian, like every machine this runs on */
    if (header_bytes > g->bytes - 8)
        return complain(g, NULL, "header longer than the file");
    g->header = json_loadb(g->file + 8, header_bytes, 0, &why);
    if (!json_is_object((json_t *)g->header))
        return complain(g, NULL, "header is not a JSON object");
    g->data = g->file + 8 + header_bytes;
    return true;
}

bool golden_open(golden *g, const char *path)
{
    memset(g, 0, sizeof *g);
    if (!path)
        return false;
    snprintf(g->path, sizeof g->path, "%s", path);
    if (read_all(g) && parse(g))
        return true;
    golden_close(g);
    return false;
}

void golden_close(golden *g)
{
    json_decref(g->header);
    free(g->file);
    memset(g, 0, sizeof *g);
}

bool golden_has(const golden *g, const char *name)
{
    return json_object_get(g->header, name) != NULL;
}

long long golden_dim(const golden *g, const char *name, int dimension)
{
    const json_t *shape = json_object_get(json_object_get(g->header, name), "shape");
    const json_t *size = dimension < 0 ? NULL : json_array_get(shape, (size_t)dimension);
    return size ? json_integer_value(size) : -1;
}

static const void *find(golden *g, const char *name, const char *dtype, size_t elem_bytes, int rank,
                        const long long *shape)
{
    const json_t *entry = json_object_get(g->header, name);
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const char *stored = json_string_value(json_object_get(entry, "dtype"));
    size_t bytes = elem_bytes;
    if (!entry || !stored)
        return complain(g, name, "no such tensor"), NULL;
    if (strcmp(stored, dtype) != 0)
        return complain(g, name, "stored in another type"), NULL;
    if ((int)json_array_size(json_object_get(entry, "shape")) != rank)
        return complain(g, name, "of another rank"), NULL;
    for (int i = 0; i < rank; i++) {
        const long long size = golden_dim(g, name, i);
        if (size < 0 || (shape[i] >= 0 && size != shape[i])) {
            fprintf(stderr, "%s: %s: dimension %d is %lld, expected %lld\n", g->path, name, i, size,
                    shape[i]);
            return NULL;
        }
        bytes *= (size_t)size;
    }
    const size_t start = (size_t)json_integer_value(json_array_get(offsets, 0));
    const size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    const size_t data_bytes = g->bytes - (size_t)(g->data - g->file);
    if (start > end || end > data_bytes || end - start != bytes ||
        (size_t)(g->data + start - g->file) % elem_bytes != 0)
        return complain(g, name, "offsets do not fit shape, file or alignment"), NULL;
    return g->data + start;
}

const float *golden_f32_(golden *g, const char *name, int rank, const long long *shape)
{
    return find(g, name, "F32", sizeof(float), rank, shape);
}

const int64_t *golden_i64_(golden *g, const char *name, int rank, const long long *shape)
{
    return find(g, name, "I64", sizeof(int64_t), rank, shape);
}

static const char *join(char *buf, size_t cap, const char *folder, const char *middle,
                        const char *rest)
{
    const int n = snprintf(buf, cap, "%s%s/%s", folder, middle, rest);
    return n >= 0 && (size_t)n < cap ? buf : NULL;
}

const char *shared_path(char *buf, size_t cap, const char *rest)
{
    const char *folder = getenv("CONURE_SHARED");
    struct stat info;
    const bool set = folder && *folder;
    if (!join(buf, cap, set ? folder : SOURCE_DIR, set ? "" : "/../shared", rest))
        return NULL;
    return stat(buf, &info) == 0 ? buf : NULL;
}

const char *data_path(char *buf, size_t cap, const char *rest)
{
    return join(buf, cap, TEST_DATA, "", rest);
}

/* gzip.c - inflating by zlib into a temporary file, because a checkpoint can be larger than
 * memory. */
#include "model/gzip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (1u << 18)

bool conure_gzip_recognises(const uint8_t *data, uint64_t bytes)
{
    return bytes >= 18 && data[0] == 0x1f && data[1] == 0x8b && data[2] == 8;
}

/* A file that has no name any more; -1 on failure. */
static int temporary_open(char *path, size_t cap)
{
    const char *folder = getenv("TMPDIR");
    const int n = snprintf(path, cap, "%s/conure-XXXXXX", folder && *folder ? folder : "/tmp");
    if (n < 0 || (size_t)n >= cap) {
        errno = ENAMETOOLONG;
        return -1;
    }
    const int fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool write_all(int fd, const uint8_t *data, size_t bytes)
{
    while (bytes) {
        const ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

typedef struct inflater {
    z_stream stream;
    uint8_t *chunk;       /* [CHUNK] */
    const uint8_t *data;  /* what is left of the input */
    uint64_t left, total; /* input bytes left, output bytes written */
    uint64_t bytes_max;
    int fd;
    const char *path;
} inflater;

static conure_status step(inflater *in, bool *end, conure_error *err)
{
    z_stream *z = &in->stream;
    const uInt given = in->left < CHUNK ? (uInt)in->left : CHUNK;
    z->next_in = (Bytef *)(uintptr_t)in->data; /* zlib does not write there */
    z->avail_in = given;
    z->next_out = in->chunk;
    z->avail_out = CHUNK;
    const int result = inflate(z, Z_NO_FLUSH);
    const size_t made = CHUNK - z->avail_out;
    in->data += given - z->avail_in;
    in->left -= given - z->avail_in;
    if (result == Z_MEM_ERROR)
        return conure_fail_memory(err, "inflating gzip", CHUNK);
    if (result != Z_OK && result != Z_STREAM_END)
        return conure_fail(err, CONURE_BAD_FILE, "gzip: %s, after %llu bytes of output",
                           z->msg ? z->msg : "cut short or damaged", (unsigned long long)in->total);
    if (made > in->bytes_max - in->total)
        return conure_fail(
            err, CONURE_LIMIT,
            "gzip: inflates to more than %llu bytes; unpack it with gunzip if that is right",
            (unsigned long long)in->bytes_max);
    if (!write_all(in->fd, in->chunk, made))
        return conure_fail(err, CONURE_IO,
                           "gzip: writing the temporary file %s: %s; set TMPDIR to a folder with "
                           "room, or gunzip the file",
                           in->path, strerror(errno));
    in->total += made;
    *end = false;
    if (result == Z_STREAM_END) {
        *end = !conure_gzip_recognises(in->data, in->left); /* else another member follows */
        if (!*end && inflateReset(z) != Z_OK)
            return conure_fail(err, CONURE_INTERNAL, "gzip: inflateReset failed");
    } else if (in->left == 0 && made == 0) {
        return conure_fail(err, CONURE_BAD_FILE, "gzip: cut short after %llu bytes of output",
                           (unsigned long long)in->total);
    }
    return CONURE_OK;
}

conure_status conure_gzip_inflate(conure_map *out, const uint8_t *data, uint64_t bytes,
                                  uint64_t bytes_max, conure_error *err)
{
    char path[4096];
    conure_status status = CONURE_OK;
    inflater in = {.data = data, .left = bytes, .bytes_max = bytes_max, .fd = -1, .path = path};
    *out = (conure_map){0};
    in.chunk = malloc(CHUNK);
    if (!in.chunk || inflateInit2(&in.stream, 15 + 16) != Z_OK) { /* 16: gzip, not zlib */
        free(in.chunk);
        return conure_fail_memory(err, "inflating gzip", CHUNK);
    }
    in.fd = temporary_open(path, sizeof path);
    if (in.fd < 0)
        status = conure_fail(err, CONURE_IO,
                             "gzip: temporary file %s: %s; set TMPDIR to a writable folder", path,
                             strerror(errno));
    for (bool end = false; status == CONURE_OK && !end;)
        status = step(&in, &end, err);
    if (status == CONURE_OK && in.total > 0) {
        void *map = in.total <= SIZE_MAX
                        ? mmap(NULL, (size_t)in.total, PROT_READ, MAP_PRIVATE, in.fd, 0)
                        : MAP_FAILED;
        if (map == MAP_FAILED)
            status = conure_fail(err, CONURE_IO, "gzip: mapping %llu bytes: %s",
                                 (unsigned long long)in.total, strerror(errno));
        else
            *out = (conure_map){map, in.total};
    }
    inflateEnd(&in.stream);
    free(in.chunk);
    if (in.fd >= 0)
        close(in.fd);
    return status;
}

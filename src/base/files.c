/* files.c - files that are read: mapped, or whole into memory; their hash; names of paths. */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"

enum { READ_BYTES = 1 << 16 };

static conure_status fail_errno(conure_error *err, const char *path, const char *what)
{
    char text[128];
    const int why = errno;
    return conure_fail(err, why == ENOMEM ? CONURE_NO_MEMORY : CONURE_IO, "%s: cannot %s: %s", path,
                       what, strerror_r(why, text, sizeof text));
}

/* Open for reading what is no folder; O_NONBLOCK so that a pipe without a writer does not hang us
 * here, though reading from one waits. */
static conure_status open_file(int *fd, struct stat *info, const char *path, conure_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return fail_errno(err, path, "open");
    if (fstat(*fd, info) != 0 || fcntl(*fd, F_SETFL, 0) != 0) {
        const conure_status status = fail_errno(err, path, "stat");
        close(*fd);
        return status;
    }
    if (S_ISDIR(info->st_mode)) {
        close(*fd);
        return conure_fail(err, CONURE_IO, "%s: is a folder, expected a file", path);
    }
    return CONURE_OK;
}

/* ---- maps ------------------------------------------------------------------------------------ */

conure_status conure_map_open(conure_map *map, const char *path, conure_error *err)
{
    int fd;
    struct stat info;
    *map = (conure_map){0};
    conure_status status = open_file(&fd, &info, path, err);
    if (status != CONURE_OK)
        return status;
    if (!S_ISREG(info.st_mode)) {
        status = conure_fail(err, CONURE_IO,
                             "%s: is no regular file and cannot be mapped: copy it to one", path);
    } else if ((uint64_t)info.st_size > SIZE_MAX / 2) {
        status = conure_fail(err, CONURE_LIMIT, "%s: %lld bytes are more than can be mapped", path,
                             (long long)info.st_size);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = fail_errno(err, path, "map");
        else
            *map = (conure_map){.data = data, .bytes = (uint64_t)info.st_size};
    }
    close(fd);
    return status;
}

void conure_map_close(conure_map *map)
{
    if (map->data)
        munmap((void *)map->data, (size_t)map->bytes);
    *map = (conure_map){0};
}

void conure_map_forget(const conure_map *map, const void *start, size_t bytes)
{
    const uintptr_t base = (uintptr_t)map->data, at = (uintptr_t)start;
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (!map->data || at < base || !conure_span_inside(at - base, bytes, map->bytes))
        return;
    /* Only pages that lie in the range whole: others may be in use by a neighbour. */
    const size_t first = (at - base + page_bytes - 1) / page_bytes * page_bytes;
    const size_t end = (at - base + bytes) / page_bytes * page_bytes;
    if (first < end)
        madvise((void *)(base + first), end - first, MADV_DONTNEED);
}

/* ---- whole files ----------------------------------------------------------------------------- */

/* Read to the end, or until more than bytes_max; the size that stat() told is a guess (of files in
 * /proc it is 0). */
static conure_status read_all(conure_buffer *buffer, int fd, const char *path, size_t bytes_max,
                              conure_error *err)
{
    char *chunk = malloc(READ_BYTES);
    conure_status status = CONURE_OK;
    if (!chunk)
        return conure_fail_memory(err, path, READ_BYTES);
    conure_buffer_add(buffer, "", 0);
    while (status == CONURE_OK && !buffer->failed) {
        const ssize_t n = read(fd, chunk, READ_BYTES);
        if (n == 0)
            break;
        if (n > 0)
            conure_buffer_add(buffer, chunk, (size_t)n);
        else if (errno != EINTR)
            status = fail_errno(err, path, "read");
        if (buffer->bytes > bytes_max)
            status =
                conure_fail(err, CONURE_BAD_FILE,
                            "%s: more than %zu bytes, expected at most so many", path, bytes_max);
    }
    free(chunk);
    return buffer->failed ? conure_fail_memory(err, path, buffer->bytes) : status;
}

static conure_status read_whole(char **out, size_t *bytes, const char *path, size_t bytes_max, bool any, conure_error *err)
{
    int fd;
    struct stat info;
    conure_buffer buffer = {0};
    *out = NULL;
    *bytes = 0;
    conure_status status = open_file(&fd, &info, path, err);
    if (status != CONURE_OK)
        return status;
    if (!any && !S_ISREG(info.st_mode))
        status = conure_fail(err, CONURE_IO, "%s: is no regular file: copy it to one", path);
    else if (S_ISREG(info.st_mode) && (uint64_t)info.st_size > bytes_max)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: %lld bytes, expected at most %zu", path,
                             (long long)info.st_size, bytes_max);
    else
        status = read_all(&buffer, fd, path, bytes_max, err);
    close(fd);
    if (status != CONURE_OK) {
        conure_buffer_free(&buffer);
        return status;
    }
    *out = buffer.data;
    *bytes = buffer.bytes;
    return CONURE_OK;
}

conure_status conure_file_read(char **out, size_t *bytes, const char *path, size_t bytes_max, conure_error *err)
{
    return read_whole(out, bytes, path, bytes_max, false, err);
}

conure_status conure_file_read_any(char **out, size_t *bytes, const char *path, size_t bytes_max, conure_error *err)
{
    return read_whole(out, bytes, path, bytes_max, true, err);
}

/* ---- hash ------------------------------------------------------------------------------------ */

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(conure_sha256), "conure_sha256 is too small");
_Static_assert(_Alignof(struct sha256_ctx) <= _Alignof(conure_sha256),
               "conure_sha256 is misaligned");

void conure_sha256_init(conure_sha256 *sha)
{
    sha256_init((struct sha256_ctx *)(void *)sha->opaque);
}

void conure_sha256_add(conure_sha256 *sha, const void *data, size_t bytes)
{
    if (bytes)
        sha256_update((struct sha256_ctx *)(void *)sha->opaque, bytes, data);
}

void conure_sha256_hex(conure_sha256 *sha, char hex[65])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest((struct sha256_ctx *)(void *)sha->opaque, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
}

conure_status conure_file_sha256(char hex[65], const char *path, conure_error *err)
{
    conure_map map;
    conure_sha256 sha;
    const conure_status status = conure_map_open(&map, path, err);
    if (status != CONURE_OK)
        return status;
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, map.data, (size_t)map.bytes);
    conure_sha256_hex(&sha, hex);
    conure_map_close(&map);
    return CONURE_OK;
}

/* ---- paths ----------------------------------------------------------------------------------- */

bool conure_path_join(char *out, size_t cap, const char *folder, const char *name)
{
    const size_t n_folder = strlen(folder);
    const char *between = n_folder && folder[n_folder - 1] != '/' ? "/" : "";
    const int n = snprintf(out, cap, "%s%s%s", folder, between, name);
    return n >= 0 && (size_t)n < cap;
}

bool conure_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* bytes.c - bytes of files, memory and pipes; see bytes.h. */
#include "audio/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"

/* How long a read from a silent pipe may keep us from looking at the cancel flag. */
#define POLL_MS 100

/* What a pipe may hold when it is ended: Linux lets a process make it no larger. */
#define DRAIN_BYTES (1 << 20)

static conure_status fail_errno(const conure_bytes *bytes, const char *what, int why,
                                conure_error *err)
{
    char text[128];
    return conure_fail(err, CONURE_IO, "%s: %s: %s", bytes->name, what,
                       strerror_r(why, text, sizeof text));
}

static conure_status open_fd(conure_bytes *bytes, const char *path, conure_error *err)
{
    struct stat info;
    if (strcmp(path, "-") == 0) {
        bytes->fd = STDIN_FILENO;
    } else {
        bytes->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        bytes->fd_owned = bytes->fd >= 0;
    }
    if (bytes->fd < 0)
        return fail_errno(bytes, "cannot be opened", errno, err);
    if (fstat(bytes->fd, &info) != 0)
        return fail_errno(bytes, "cannot be read", errno, err);
    if (S_ISDIR(info.st_mode))
        return conure_fail(err, CONURE_IO, "%s: is a folder: name the audio files in it",
                           bytes->name);
    if (!S_ISREG(info.st_mode)) {
        bytes->is_pipe = true;
        return CONURE_OK;
    }
    const off_t at = lseek(bytes->fd, 0, SEEK_CUR); /* standard input may have been read from */
    bytes->start = at > 0 ? (uint64_t)at : 0;
    bytes->size = (uint64_t)info.st_size > bytes->start ? (uint64_t)info.st_size - bytes->start : 0;
    return CONURE_OK;
}

conure_status conure_bytes_open(conure_bytes *bytes, const char *path, conure_error *err)
{
    memset(bytes, 0, sizeof *bytes);
    bytes->fd = -1;
    bytes->name = conure_strdup(strcmp(path, "-") == 0 ? "standard input" : path);
    if (!bytes->name)
        return conure_fail_memory(err, "a file name", strlen(path));
    return open_fd(bytes, path, err);
}

conure_status conure_bytes_open_memory(conure_bytes *bytes, const void *data, size_t size,
                                       const char *name, conure_error *err)
{
    memset(bytes, 0, sizeof *bytes);
    bytes->fd = -1;
    bytes->name = conure_strdup(name);
    if (!bytes->name)
        return conure_fail_memory(err, "a file name", strlen(name));
    bytes->data = data;
    bytes->size = size;
    return CONURE_OK;
}

void conure_bytes_close(conure_bytes *bytes)
{
    if (bytes->fd_owned)
        close(bytes->fd);
    free(bytes->kept);
    free(bytes->name);
    memset(bytes, 0, sizeof *bytes);
    bytes->fd = -1;
}

bool conure_bytes_cancelled(const conure_bytes *bytes)
{
    return conure_cancelled(bytes->cancel);
}

conure_status conure_bytes_status(const conure_bytes *bytes, conure_error *err)
{
    if (conure_bytes_cancelled(bytes))
        return conure_fail(err, CONURE_CANCELLED, "%s: cancelled", bytes->name);
    if (bytes->failed)
        return fail_errno(bytes, "cannot be read", bytes->failed, err);
    return CONURE_OK;
}

/* Read what a pipe has, waiting for it; 0 at its end, after an error, or when cancelled.  Once bytes->end
 * is set only what is there already: a writer that goes on is not waited for. */
static size_t read_pipe(conure_bytes *bytes, uint8_t *dst, size_t n)
{
    while (!conure_bytes_cancelled(bytes) && !bytes->failed) {
        struct pollfd ready = {.fd = bytes->fd, .events = POLLIN};
        const bool ended = conure_cancelled(bytes->end);
        const int n_ready = poll(&ready, 1, ended ? 0 : POLL_MS);
        if (ended && (n_ready == 0 || bytes->drained >= DRAIN_BYTES))
            return 0;
        if (n_ready == 0 || (n_ready < 0 && errno == EINTR))
            continue;
        const ssize_t got = n_ready < 0 ? -1 : read(bytes->fd, dst, n);
        if (got >= 0) {
            bytes->drained += ended ? (size_t)got : 0;
            return (size_t)got;
        }
        if (errno != EINTR && errno != EAGAIN)
            bytes->failed = errno;
    }
    return 0;
}

/* The same, behind what was only looked at. */
static size_t take_pipe(conure_bytes *bytes, uint8_t *dst, size_t n)
{
    const size_t held = bytes->head_bytes - bytes->head_used;
    if (!held)
        return read_pipe(bytes, dst, n);
    if (n > held)
        n = held;
    memcpy(dst, bytes->head + bytes->head_used, n);
    bytes->head_used += n;
    return n;
}

size_t conure_bytes_peek(conure_bytes *bytes, void *dst, size_t n)
{
    while (bytes->head_bytes < n) {
        const size_t got = read_pipe(bytes, bytes->head + bytes->head_bytes, n - bytes->head_bytes);
        if (!got)
            break;
        bytes->head_bytes += got;
    }
    if (n > bytes->head_bytes)
        n = bytes->head_bytes;
    memcpy(dst, bytes->head, n);
    return n;
}

conure_status conure_bytes_keep(conure_bytes *bytes, uint64_t bytes_max, conure_error *err)
{
    size_t cap = 0;
    if (!bytes->is_pipe || bytes->data)
        return CONURE_OK;
    for (;;) {
        if (bytes->size == cap) {
            cap = cap ? cap * 2 : 1 << 16;
            uint8_t *larger = realloc(bytes->kept, cap);
            if (!larger)
                return conure_fail_memory(err, bytes->name, cap);
            bytes->kept = larger;
        }
        const size_t got = take_pipe(bytes, bytes->kept + bytes->size, cap - bytes->size);
        if (!got)
            break;
        bytes->size += got;
        if (bytes->size > bytes_max)
            return conure_fail(err, CONURE_LIMIT,
                               "%s: more than %llu MiB through a pipe: store it in a file and name "
                               "that, or send raw PCM",
                               bytes->name, (unsigned long long)(bytes_max >> 20));
    }
    bytes->data = bytes->kept;
    return conure_bytes_status(bytes, err);
}

static size_t read_file(conure_bytes *bytes, uint64_t offset, uint8_t *dst, size_t n)
{
    size_t done = 0;
    while (done < n && !bytes->failed) {
        const ssize_t got =
            pread(bytes->fd, dst + done, n - done, (off_t)(bytes->start + offset + done));
        if (got > 0)
            done += (size_t)got;
        else if (got == 0)
            break; /* the file shrank since it was opened */
        else if (errno != EINTR)
            bytes->failed = errno;
    }
    return done;
}

size_t conure_bytes_at(conure_bytes *bytes, uint64_t offset, void *dst, size_t n)
{
    if (offset >= bytes->size || conure_bytes_cancelled(bytes))
        return 0;
    if (n > bytes->size - offset)
        n = (size_t)(bytes->size - offset);
    if (bytes->data) {
        memcpy(dst, bytes->data + offset, n);
        return n;
    }
    if (n > BYTES_WINDOW / 2)
        return read_file(bytes, offset, dst, n);
    if (offset < bytes->window_start ||
        !conure_span_inside(offset - bytes->window_start, n, bytes->window_bytes)) {
        bytes->window_bytes = read_file(bytes, offset, bytes->window, BYTES_WINDOW);
        bytes->window_start = offset;
    }
    const size_t held = bytes->window_bytes - (size_t)(offset - bytes->window_start);
    if (n > held)
        n = held;
    memcpy(dst, bytes->window + (offset - bytes->window_start), n);
    return n;
}

size_t conure_bytes_some(conure_bytes *bytes, void *dst, size_t n)
{
    const bool kept = !bytes->is_pipe || bytes->data;
    const size_t got = kept ? conure_bytes_at(bytes, bytes->position, dst, n) : take_pipe(bytes, dst, n);
    bytes->position += got;
    return got;
}

size_t conure_bytes_next(conure_bytes *bytes, void *dst, size_t n)
{
    size_t done = 0;
    if (!bytes->is_pipe || bytes->data) {
        done = conure_bytes_at(bytes, bytes->position, dst, n);
    } else {
        for (size_t got; done < n; done += got) {
            got = take_pipe(bytes, (uint8_t *)dst + done, n - done);
            if (!got)
                break;
        }
    }
    bytes->position += done;
    return done;
}

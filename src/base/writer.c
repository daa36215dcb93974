/* writer.c - a file that appears under its name only when it is complete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"

enum { WRITE_BYTES = 1 << 18, SUFFIX_CHARS = 10, NAME_TRIES = 100 };

struct conure_writer {
    char *path;      /* as the caller named it, for texts */
    char *target;    /* what is replaced: path, or what it links to */
    char *temporary; /* beside target, so that renaming stays on one file system */
    int fd;          /* -1 once closed */
    bool made;       /* the temporary exists */
    uint8_t *pending;
    size_t n_pending;
    conure_status status; /* the first failure, told again by every call after it */
    conure_error error;
};

static conure_status fail_write(conure_writer *writer, const char *what)
{
    char text[128];
    const int why = errno;
    const char *reason = strerror_r(why, text, sizeof text);
    const char *way_out = "";
    if (why == ENOSPC || why == EDQUOT)
        way_out = "; make room there or choose another place";
    else if (why == EFBIG)
        way_out = "; raise the file size limit or choose another place";
    writer->status = conure_fail(&writer->error, CONURE_IO, "%s: cannot %s: %s%s", writer->path,
                                 what, reason, way_out);
    return writer->status;
}

static conure_status tell(const conure_writer *writer, conure_error *err)
{
    return conure_fail(err, writer->status, "%s", writer->error.text);
}

static void release(conure_writer **writer_)
{
    conure_writer *writer = *writer_;
    *writer_ = NULL;
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->made)
        unlink(writer->temporary);
    free(writer->pending);
    free(writer->temporary);
    free(writer->target);
    free(writer->path);
    free(writer);
}

/* ---- opening --------------------------------------------------------------------------------- */

static void random_suffix(char text[SUFFIX_CHARS + 1])
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
        struct timespec t; /* O_EXCL keeps names apart; they need not be unpredictable */
        clock_gettime(CLOCK_MONOTONIC, &t);
        number = (uint64_t)t.tv_nsec * 2685821657736338717u ^ (uint64_t)getpid();
    }
    for (int i = 0; i < SUFFIX_CHARS; i++, number /= 36)
        text[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    text[SUFFIX_CHARS] = '\0';
}

static conure_status make_temporary(conure_writer *writer)
{
    const size_t bytes = strlen(writer->target) + SUFFIX_CHARS + sizeof ".x.tmp";
    char suffix[SUFFIX_CHARS + 1];
    writer->temporary = conure_calloc(bytes, 1);
    if (!writer->temporary)
        return writer->status = conure_fail_memory(&writer->error, writer->path, bytes);
    for (int i = 0; i < NAME_TRIES; i++) {
        random_suffix(suffix);
        snprintf(writer->temporary, bytes, "%s.%s.tmp", writer->target, suffix);
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        writer->made = writer->fd >= 0;
        if (writer->made)
            return CONURE_OK;
        if (errno != EEXIST)
            break;
    }
    return fail_write(writer, "create a file beside it");
}

/* A device or a pipe must not be replaced by a file. */
static conure_status check_target(conure_writer *writer)
{
    struct stat info;
    if (stat(writer->target, &info) != 0 || S_ISREG(info.st_mode))
        return CONURE_OK;
    return writer->status =
               conure_fail(&writer->error, CONURE_IO, "%s: is %s, expected the name of a file",
                           writer->path, S_ISDIR(info.st_mode) ? "a folder" : "no regular file");
}

conure_status conure_writer_open(conure_writer **out, const char *path, conure_error *err)
{
    *out = NULL;
    conure_writer *writer = conure_calloc(1, sizeof *writer);
    if (!writer)
        return conure_fail_memory(err, path, sizeof *writer);
    writer->fd = -1;
    writer->path = conure_strdup(path);
    writer->target = realpath(path, NULL); /* what a link points to, so that the link stays one */
    if (!writer->target)
        writer->target = conure_strdup(path);
    writer->pending = malloc(WRITE_BYTES);
    if (!writer->path || !writer->target || !writer->pending)
        writer->status = conure_fail_memory(&writer->error, path, WRITE_BYTES);
    else if (check_target(writer) == CONURE_OK)
        make_temporary(writer);
    if (writer->status != CONURE_OK) {
        const conure_status status = tell(writer, err);
        release(&writer);
        return status;
    }
    *out = writer;
    return CONURE_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static conure_status write_through(conure_writer *writer, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t n = write(writer->fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_write(writer, "write");
        data += n;
        bytes -= (size_t)n;
    }
    return CONURE_OK;
}

static conure_status flush(conure_writer *writer)
{
    const size_t bytes = writer->n_pending;
    writer->n_pending = 0;
    return write_through(writer, writer->pending, bytes);
}

conure_status conure_writer_write(conure_writer *writer, const void *data, size_t bytes,
                                  conure_error *err)
{
    if (writer->status == CONURE_OK && bytes > WRITE_BYTES - writer->n_pending)
        flush(writer);
    if (writer->status == CONURE_OK && bytes >= WRITE_BYTES) {
        write_through(writer, data, bytes);
    } else if (writer->status == CONURE_OK && bytes > 0) {
        memcpy(writer->pending + writer->n_pending, data, bytes);
        writer->n_pending += bytes;
    }
    return writer->status == CONURE_OK ? CONURE_OK : tell(writer, err);
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* Make the new name last through a power cut; a file system that cannot is no failure of ours. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? conure_strndup(path, (size_t)(slash - path) + 1) : conure_strdup(".");
    const int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static void finish(conure_writer *writer)
{
    if (writer->fd < 0 || flush(writer) != CONURE_OK)
        return;
    /* EINVAL: a file system without fsync. */
    if (fsync(writer->fd) != 0 && errno != EINVAL) {
        fail_write(writer, "write");
        return;
    }
    const int fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0 && errno != EINTR) { /* where some file systems tell of a full disk */
        fail_write(writer, "write");
    }
}

static void put_in_place(conure_writer *writer)
{
    if (rename(writer->temporary, writer->target) != 0) {
        fail_write(writer, "put the finished file there");
        return;
    }
    writer->made = false;
    sync_folder(writer->target);
}

conure_status conure_writer_finish(conure_writer *writer, conure_error *err)
{
    if (writer->status == CONURE_OK)
        finish(writer);
    return writer->status == CONURE_OK ? CONURE_OK : tell(writer, err);
}

const char *conure_writer_temporary(const conure_writer *writer)
{
    return writer->temporary;
}

conure_status conure_writer_commit(conure_writer **writer, conure_error *err)
{
    if ((*writer)->status == CONURE_OK)
        finish(*writer);
    if ((*writer)->status == CONURE_OK)
        put_in_place(*writer);
    const conure_status status = (*writer)->status;
    if (status != CONURE_OK)
        tell(*writer, err);
    release(writer);
    return status;
}

void conure_writer_abort(conure_writer **writer)
{
    if (writer && *writer)
        release(writer);
}

static conure_status write_whole(const char *path, const void *data, size_t bytes, const char *end, conure_error *err)
{
    conure_writer *writer = NULL;
    conure_status status = conure_writer_open(&writer, path, err);
    if (status != CONURE_OK)
        return status;
    (void)conure_writer_write(writer, data, bytes, err); /* commit tells */
    (void)conure_writer_write(writer, end, strlen(end), err);
    return conure_writer_commit(&writer, err);
}

conure_status conure_file_write(const char *path, const void *data, size_t bytes, conure_error *err)
{
    return write_whole(path, data, bytes, "", err);
}

conure_status conure_file_write_line(const char *path, const char *text, conure_error *err)
{
    return write_whole(path, text, strlen(text), "\n", err);
}

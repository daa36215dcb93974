/* bytes.h - where the bytes of one audio file come from: a regular file, memory, or a pipe, which is
 * either read once in order or kept in memory whole. */
#ifndef CONURE_AUDIO_BYTES_H
#define CONURE_AUDIO_BYTES_H

#include "conure.h"

#define BYTES_WINDOW 32768
#define BYTES_HEAD   16 /* of a pipe, that can be looked at before it is read */

typedef struct conure_bytes {
    char *name; /* for messages; owned */
    int fd;     /* -1 for memory */
    bool fd_owned, is_pipe;
    uint64_t start;             /* offset in fd of the first byte */
    const uint8_t *data;        /* memory, or a pipe's content once kept */
    uint8_t *kept;              /* owned */
    uint64_t size;              /* unknown (0) for a pipe that was not kept */
    uint64_t position;          /* of conure_bytes_next() */
    int failed;                 /* errno of a read that failed */
    const volatile int *cancel; /* may be NULL */
    const volatile int *end;    /* may be NULL; a pipe ends once it is not 0 */
    size_t drained;             /* bytes read since it was */
    size_t head_bytes, head_used; /* bytes of a pipe that were looked at, and that were read since */
    uint8_t head[BYTES_HEAD];
    uint64_t window_start;      /* small reads go through a window */
    size_t window_bytes;
    uint8_t window[BYTES_WINDOW];
} conure_bytes;

/* "-" is standard input.  Returns OK, IO, NO_MEMORY; on failure the object can be closed. */
conure_status conure_bytes_open(conure_bytes *bytes, const char *path, conure_error *err);
conure_status conure_bytes_open_memory(conure_bytes *bytes, const void *data, size_t size,
                                       const char *name, conure_error *err);
void conure_bytes_close(conure_bytes *bytes); /* harmless on a zeroed one with fd = -1 */

/* Read a pipe to its end into memory; nothing to do for others.  OK, IO, LIMIT, NO_MEMORY, CANCELLED. */
conure_status conure_bytes_keep(conure_bytes *bytes, uint64_t bytes_max, conure_error *err);

/* Up to n bytes at an offset; fewer at the end of the file, after an error (bytes->failed) or
 * when cancelled.  Not for a pipe that was not kept. */
size_t conure_bytes_at(conure_bytes *bytes, uint64_t offset, void *dst, size_t n);

/* The first n bytes of a pipe that was not read yet, n <= BYTES_HEAD, which stay to be read. */
size_t conure_bytes_peek(conure_bytes *bytes, void *dst, size_t n);

/* In order, pipes too: what is there of n bytes, waiting for one; 0 at the end. */
size_t conure_bytes_some(conure_bytes *bytes, void *dst, size_t n);

/* The same; waits until n are there or the end is. */
size_t conure_bytes_next(conure_bytes *bytes, void *dst, size_t n);

bool conure_bytes_cancelled(const conure_bytes *bytes);

/* The status of bytes->failed or a cancel, with its text; OK when there is neither. */
conure_status conure_bytes_status(const conure_bytes *bytes, conure_error *err);

#endif

/* pull.c - fetching one file: attempts, what is kept between them, and the check at the end.
 *
 * PATH.part holds what has come and PATH.part.etag the server's name for that version, so that a later
 * run goes on only if the file is still the same.  Whatever the server says on the way, the file gets
 * its name only after its hash (or, where none is known, its size) was checked. */
#include "base/system.h"
#include "cli/pull.h"
#include "base/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/pull_http.h"
#include "cli/terminal.h"

#define BACKOFF_S_MAX 30.0
#define RESTARTS_MAX 2
#define READ_BYTES (1 << 18)
#define PROGRESS_BYTES (1 << 20) /* an attempt that brought so much counts as progress */

typedef struct job {
    const conure_pull_request *request;
    conure_pull_report *report;
    conure_transfer transfer;
    char part[PATH_MAX], etag_path[PATH_MAX];
    char etag[CONURE_ETAG_BYTES];
    int fd;
    bool locked; /* the part is ours */
} job;

conure_status conure_pull_url(char *out, size_t cap, const char *base, const char *repo,
                              const char *revision, const char *file, conure_error *err)
{
    size_t bytes = strlen(base);
    if (strncasecmp(base, "https://", 8) != 0 && strncasecmp(base, "http://", 7) != 0)
        return conure_fail(err, CONURE_BAD_ARG, "CONURE_HUB is '%s', expected https://HOST", base);
    while (bytes && base[bytes - 1] == '/')
        bytes--;
    if (snprintf(out, cap, "%.*s/%s/resolve/%s/%s", (int)bytes, base, repo, revision, file) >= (int)cap)
        return conure_fail(err, CONURE_LIMIT, "the address of %s is too long", file);
    return CONURE_OK;
}

static bool cancelled(const job *j)
{
    return conure_cancelled(j->request->cancel);
}

__attribute__((format(printf, 2, 3))) static void note(const job *j, const char *format, ...)
{
    char text[700];
    va_list args;
    if (!j->request->note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->request->note(j->request->user, text);
}

/* SHA-256 of an open file, from its start. */
static conure_status hash_file(const job *j, int fd, const char *name, char hex[65], uint64_t *bytes,
                               conure_error *err)
{
    conure_sha256 sha;
    conure_status status = CONURE_OK;
    uint8_t *block = malloc(READ_BYTES);
    ssize_t n = 0;
    *bytes = 0;
    if (!block)
        return conure_fail(err, CONURE_NO_MEMORY, "%s: out of memory", name);
    conure_sha256_init(&sha);
    while ((n = pread(fd, block, READ_BYTES, (off_t)*bytes)) > 0 && !cancelled(j)) {
        conure_sha256_add(&sha, block, (size_t)n);
        *bytes += (uint64_t)n;
    }
    if (n < 0)
        status = conure_fail(err, CONURE_IO, "%s: cannot be read back: %s", name, strerror(errno));
    else if (n > 0)
        status = conure_fail(err, CONURE_CANCELLED, "%s: cancelled; what has come is kept", name);
    conure_sha256_hex(&sha, hex);
    free(block);
    return status;
}

/* The file is there already: right, wrong, or nobody knows. */
static conure_status check_present(job *j, bool *right, conure_error *err)
{
    const conure_pull_request *r = j->request;
    conure_status status;
    const int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    *right = false;
    if (fd < 0)
        return CONURE_OK;
    status = hash_file(j, fd, r->path, j->report->sha256, &j->report->bytes, err);
    close(fd);
    if (status != CONURE_OK)
        return status;
    *right = !r->sha256 || strcasecmp(r->sha256, j->report->sha256) == 0;
    j->report->check = r->sha256 ? CONURE_PULL_KNOWN_SHA256 : CONURE_PULL_SIZE_ONLY;
    j->report->was_there = *right;
    if (!*right)
        note(j, "%s is there, but its SHA-256 is %s: fetching it anew", r->path, j->report->sha256);
    return CONURE_OK;
}

static conure_status open_part(job *j, conure_error *err)
{
    struct stat st;
    if (snprintf(j->part, sizeof j->part, "%s.part", j->request->path) >= (int)sizeof j->part ||
        snprintf(j->etag_path, sizeof j->etag_path, "%s.etag", j->part) >= (int)sizeof j->etag_path)
        return conure_fail(err, CONURE_IO, "%s: the path is too long", j->request->path);
    j->fd = open(j->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (j->fd < 0 || fstat(j->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return conure_fail(err, CONURE_IO, "%s: cannot be written: %s", j->part,
                           j->fd < 0 ? strerror(errno) : "not a plain file");
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
        return conure_fail(err, CONURE_IO, "%s: another conure is fetching this file", j->part);
    j->locked = true;
    return CONURE_OK;
}

static void read_etag(job *j)
{
    char *text = NULL;
    size_t bytes = 0;
    j->etag[0] = '\0';
    if (conure_file_read(&text, &bytes, j->etag_path, sizeof j->etag - 1, NULL) == CONURE_OK)
        snprintf(j->etag, sizeof j->etag, "%s", text);
    j->etag[strcspn(j->etag, "\r\n")] = '\0'; /* must not become a second header */
    free(text);
}

static void write_etag(job *j)
{
    conure_writer *writer = NULL;
    if (strcmp(j->etag, j->transfer.headers.etag) == 0)
        return;
    memcpy(j->etag, j->transfer.headers.etag, sizeof j->etag);
    if (!j->etag[0]) {
        unlink(j->etag_path);
    } else if (conure_writer_open(&writer, j->etag_path, NULL) == CONURE_OK) {
        /* Losing it costs a fetch from the start, no more. */
        if (conure_writer_write(writer, j->etag, strlen(j->etag), NULL) == CONURE_OK)
            conure_writer_commit(&writer, NULL);
        conure_writer_abort(&writer);
    }
}

static conure_status empty_part(job *j, conure_error *err)
{
    j->etag[0] = '\0';
    unlink(j->etag_path);
    if (ftruncate(j->fd, 0) != 0)
        return conure_fail(err, CONURE_IO, "%s: %s", j->part, strerror(errno));
    return CONURE_OK;
}

static void wait_s(const job *j, double seconds)
{
    const struct timespec tick = {0, 50 * 1000 * 1000};
    const double end_s = conure_now_s() + seconds;
    while (!cancelled(j) && conure_now_s() < end_s)
        nanosleep(&tick, NULL);
}

/* One transfer from what is there.  Without a way to tell that the file is still the same one, start over. */
static conure_transfer_verdict attempt(job *j)
{
    conure_transfer_verdict verdict;
    const off_t there = lseek(j->fd, 0, SEEK_END);
    conure_transfer *t = &j->transfer;
    memset(t, 0, sizeof *t);
    t->request = j->request;
    t->fd = j->fd;
    t->offset = there > 0 ? (uint64_t)there : 0;
    if (!j->etag[0] && !j->request->sha256)
        t->offset = 0;
    if (t->offset)
        memcpy(t->if_range, j->etag, sizeof t->if_range);
    if (t->offset == 0 && (ftruncate(j->fd, 0) != 0 || lseek(j->fd, 0, SEEK_SET) != 0)) {
        t->status = conure_fail(&t->error, CONURE_IO, "%s: %s", j->part, strerror(errno));
        return CONURE_TRANSFER_FAIL;
    }
    verdict = conure_transfer_run(t);
    if (t->body_begun && (t->code == 200 || t->code == 206))
        write_etag(j);
    return verdict;
}

/* Attempts until the file is complete or it is no use. */
static conure_status fetch(job *j, conure_error *err)
{
    const conure_pull_request *r = j->request;
    uint64_t most_bytes = 0;
    double pause_s = r->backoff_s;
    unsigned restarts = 0;
    for (uint32_t n = 1;;) {
        const conure_transfer_verdict verdict = attempt(j);
        if (verdict == CONURE_TRANSFER_DONE)
            return CONURE_OK;
        if (verdict == CONURE_TRANSFER_FAIL)
            return conure_fail(err, j->transfer.status, "%s", j->transfer.error.text);
        if (verdict == CONURE_TRANSFER_RESTART) {
            if (++restarts > RESTARTS_MAX)
                return conure_fail(err, CONURE_IO, "%s", j->transfer.error.text);
            note(j, "%s: starting over", j->transfer.error.text);
            if (empty_part(j, err) != CONURE_OK)
                return CONURE_IO;
            continue;
        }
        /* Only more than ever before is progress: a server cannot keep us for longer than its file. */
        if (j->transfer.bytes >= most_bytes + PROGRESS_BYTES) {
            most_bytes = j->transfer.bytes;
            pause_s = r->backoff_s;
            n = 1;
        }
        if (n++ >= r->attempts)
            return conure_fail(err, CONURE_IO, "%s (%u attempts; what has come is kept)",
                               j->transfer.error.text, r->attempts);
        note(j, "%s: trying again in %.0f s", j->transfer.error.text, pause_s);
        wait_s(j, pause_s);
        pause_s = 2 * pause_s < BACKOFF_S_MAX ? 2 * pause_s : BACKOFF_S_MAX;
        if (cancelled(j))
            return conure_fail(err, CONURE_CANCELLED, "%s: cancelled; what has come is kept", r->url);
    }
}

/* Compare what came with what was meant.  *again: it was patched together from two runs and may be right
 * when fetched whole. */
static conure_status check(job *j, bool *again, conure_error *err)
{
    conure_pull_report *report = j->report;
    const conure_pull_request *r = j->request;
    const conure_transfer *t = &j->transfer;
    const char *expected = r->sha256 ? r->sha256 : t->server_sha256;
    const bool resumed = t->offset > 0;
    conure_status status = hash_file(j, j->fd, j->part, report->sha256, &report->bytes, err);
    *again = false;
    if (status != CONURE_OK)
        return status;
    report->check = r->sha256 ? CONURE_PULL_KNOWN_SHA256
                              : *expected ? CONURE_PULL_SERVER_SHA256 : CONURE_PULL_SIZE_ONLY;
    if (*expected && strcasecmp(expected, report->sha256) != 0)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: SHA-256 is %s, expected %s (%s)", r->url,
                             report->sha256, expected,
                             r->sha256 ? "known to this program" : "named by the server");
    else if ((t->total_bytes && report->bytes != t->total_bytes) ||
             (t->headers.linked_bytes && report->bytes != t->headers.linked_bytes))
        status = conure_fail(err, CONURE_BAD_FILE, "%s: %llu bytes came, expected %llu", r->url,
                             (unsigned long long)report->bytes,
                             (unsigned long long)(t->total_bytes ? t->total_bytes : t->headers.linked_bytes));
    *again = status != CONURE_OK && resumed;
    return status;
}

static conure_status publish(job *j, conure_error *err)
{
    if (fsync(j->fd) != 0 || rename(j->part, j->request->path) != 0)
        return conure_fail(err, CONURE_IO, "%s: %s", j->request->path, strerror(errno));
    unlink(j->etag_path);
    return CONURE_OK;
}

conure_status conure_pull_file(const conure_pull_request *request, conure_pull_report *report,
                               conure_error *err)
{
    job j = {.request = request, .report = report, .fd = -1};
    struct stat st;
    bool right, again = false;
    conure_status status;
    memset(report, 0, sizeof *report);
    status = check_present(&j, &right, err);
    if (status != CONURE_OK || right)
        return status;
    status = open_part(&j, err);
    if (status != CONURE_OK)
        goto done;
    read_etag(&j);
    for (int round = 0; round < 2; round++) {
        report->resumed_bytes = fstat(j.fd, &st) == 0 ? (uint64_t)st.st_size : 0;
        status = fetch(&j, err);
        if (status != CONURE_OK)
            goto done;
        if (j.transfer.offset == 0)
            report->resumed_bytes = 0;
        status = check(&j, &again, err);
        if (!again)
            break;
        note(&j, "what was there from before does not fit: starting over");
        if (empty_part(&j, err) != CONURE_OK)
            goto done;
    }
    if (status == CONURE_OK)
        status = publish(&j, err);
    if (status == CONURE_BAD_FILE) { /* of no use to anybody */
        unlink(j.part);
        unlink(j.etag_path);
    }
done:
    if (status != CONURE_OK && j.locked && fstat(j.fd, &st) == 0 && st.st_size == 0) {
        unlink(j.part); /* nothing has come that could be gone on with */
        unlink(j.etag_path);
    }
    if (j.fd >= 0)
        close(j.fd);
    return status;
}

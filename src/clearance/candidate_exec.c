/* candidate_exec.c - a command as a candidate.  docs/clearance.md, "Pipe protocol", is what the other side reads.
 *
 * The command is another's program: it may hang, die, or answer anything.  Every wait has a deadline, every size is compared with
 * the contract's before memory is taken, and an answer that is no such thing ends the run with what was wrong with it. */
#include "clearance/candidate.h"

#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"
#include "clearance/record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMEOUT_S = 60, GRACE_MS = 1000, POLL_MS = 100 };

typedef struct exec_candidate {
    conure_candidate base;
    pid_t pid;         /* 0: not running */
    int to, from;      /* our ends of its pipes; -1: closed */
    double timeout_s;
    uint64_t n_answers;
    bool failed;       /* it need not be waited for */
    size_t payload_max;
    conure_buffer json, payload; /* of the frame being written or read */
} exec_candidate;

/* ---- the process ------------------------------------------------------------------------------ */

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* True once it is gone; status as waitpid() gives it. */
static bool gone(exec_candidate *c, int *status, int wait_ms)
{
    for (int waited = 0;; waited += 10) {
        const pid_t pid = waitpid(c->pid, status, WNOHANG);
        if (pid == c->pid || (pid < 0 && errno != EINTR)) {
            c->pid = 0;
            return true;
        }
        if (waited >= wait_ms)
            return false;
        poll(NULL, 0, 10);
    }
}

static void exec_close(conure_candidate *base)
{
    exec_candidate *c = (exec_candidate *)base;
    int status;
    close_end(&c->to); /* the end of its input: it should leave */
    close_end(&c->from);
    if (c->pid && !gone(c, &status, c->failed ? 0 : GRACE_MS)) {
        kill(-c->pid, SIGTERM); /* its group: the shell and what that started */
        if (!gone(c, &status, GRACE_MS)) {
            kill(-c->pid, SIGKILL);
            waitpid(c->pid, &status, 0);
        }
    }
    conure_buffer_free(&c->json);
    conure_buffer_free(&c->payload);
    free(c);
}

/* Runs in the child: nothing but calls that are safe there. */
static void become(const char *command, int in, int out)
{
    setpgid(0, 0);
    signal(SIGINT, SIG_IGN); /* Ctrl-C ends us first, and then it */
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
        _exit(127);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static conure_status start(exec_candidate *c, const char *command, conure_error *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    const bool piped = pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0;
    const pid_t pid = piped ? fork() : -1;
    if (pid == 0)
        become(command, in[0], out[1]);
    const int error = errno;
    close_end(&in[0]);
    close_end(&out[1]);
    c->to = in[1];
    c->from = out[0];
    if (pid < 0)
        return conure_fail(err, CONURE_IO, "exec:%s: %s", command, strerror(error));
    c->pid = pid;
    fcntl(c->to, F_SETFL, O_NONBLOCK);
    fcntl(c->from, F_SETFL, O_NONBLOCK);
    return CONURE_OK;
}

/* ---- bytes, with a deadline ------------------------------------------------------------------- */

static conure_status died(exec_candidate *c, const char *doing, conure_error *err)
{
    int status = 0;
    if (!gone(c, &status, GRACE_MS))
        return conure_fail(err, CONURE_BACKEND, "the candidate closed its %s after %llu answers and goes on running", doing,
                           (unsigned long long)c->n_answers);
    if (WIFSIGNALED(status))
        return conure_fail(err, CONURE_BACKEND, "the candidate was ended by signal %d (%s) after %llu answers", WTERMSIG(status),
                           strsignal(WTERMSIG(status)), (unsigned long long)c->n_answers);
    return conure_fail(err, CONURE_BACKEND, "the candidate ended with exit status %d after %llu answers%s", WEXITSTATUS(status),
                       (unsigned long long)c->n_answers, WEXITSTATUS(status) == 127 ? ": is there such a command?" : "");
}

static conure_status wait_for(exec_candidate *c, int fd, short events, double deadline_s, const char *doing, conure_error *err)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        const int n = poll(&p, 1, POLL_MS);
        if (conure_cancelled(c->base.cancel))
            return conure_fail(err, CONURE_CANCELLED, "cancelled");
        if (n > 0)
            return CONURE_OK; /* an error or a hang-up shows in the call that follows */
        if (n < 0 && errno != EINTR)
            return conure_fail(err, CONURE_IO, "waiting for the candidate: %s", strerror(errno));
        if (conure_now_s() > deadline_s)
            return conure_fail(err, CONURE_BACKEND, "the candidate did not %s within %g s, after %llu answers: it hangs, or needs a longer "
                               "--timeout", doing, c->timeout_s, (unsigned long long)c->n_answers);
    }
}

static conure_status put(exec_candidate *c, const void *data, size_t bytes, double deadline_s, conure_error *err)
{
    for (const char *at = data; bytes > 0;) {
        const ssize_t n = write(c->to, at, bytes);
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        } else if (errno == EPIPE) {
            return died(c, "input", err);
        } else if (errno == EAGAIN || errno == EINTR) {
            const conure_status status = wait_for(c, c->to, POLLOUT, deadline_s, "take a chunk", err);
            if (status != CONURE_OK)
                return status;
        } else {
            return conure_fail(err, CONURE_IO, "writing to the candidate: %s", strerror(errno));
        }
    }
    return CONURE_OK;
}

static conure_status get(exec_candidate *c, void *data, size_t bytes, double deadline_s, conure_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n = read(c->from, (char *)data + done, bytes - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            if (done == 0)
                return died(c, "output", err);
            return conure_fail(err, CONURE_BACKEND, "the candidate answered short: %zu of %zu bytes, after %llu answers", done, bytes,
                               (unsigned long long)c->n_answers);
        } else if (errno == EAGAIN || errno == EINTR) {
            const conure_status status = wait_for(c, c->from, POLLIN, deadline_s, "answer", err);
            if (status != CONURE_OK)
                return status;
        } else {
            return conure_fail(err, CONURE_IO, "reading from the candidate: %s", strerror(errno));
        }
    }
    return CONURE_OK;
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void begin(conure_buffer *b)
{
    b->bytes = 0;
    b->failed = false;
}

static conure_status send_frame(exec_candidate *c, double deadline_s, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    if (c->json.failed || c->payload.failed)
        return conure_fail_memory(err, "a frame for the candidate", c->payload_max);
    conure_frame_put(head, &(conure_frame_head){(uint32_t)c->json.bytes, c->payload.bytes});
    conure_status status = put(c, head, sizeof head, deadline_s, err);
    if (status == CONURE_OK)
        status = put(c, c->json.data, c->json.bytes, deadline_s, err);
    if (status == CONURE_OK)
        status = put(c, c->payload.data, c->payload.bytes, deadline_s, err);
    return status;
}

static conure_status room(conure_buffer *b, size_t bytes, conure_error *err)
{
    if (b->cap <= bytes) {
        char *data = realloc(b->data, bytes + 1);
        if (!data)
            return conure_fail_memory(err, "a candidate's answer", bytes);
        b->data = data;
        b->cap = bytes + 1;
    }
    b->bytes = bytes;
    b->failed = false;
    b->data[bytes] = '\0';
    return CONURE_OK;
}

static conure_status receive_frame(exec_candidate *c, json_t **answer, double deadline_s, conure_error *err)
{
    uint8_t head[CONURE_FRAME_HEAD_BYTES];
    conure_frame_head frame = {0};
    json_error_t why;
    *answer = NULL;
    conure_status status = get(c, head, sizeof head, deadline_s, err);
    if (status == CONURE_OK)
        status = conure_frame_get(&frame, head, c->payload_max, "the candidate's answer", err);
    if (status == CONURE_OK)
        status = room(&c->json, frame.json_bytes, err);
    if (status == CONURE_OK)
        status = room(&c->payload, (size_t)frame.payload_bytes, err);
    if (status == CONURE_OK)
        status = get(c, c->json.data, c->json.bytes, deadline_s, err);
    if (status == CONURE_OK)
        status = get(c, c->payload.data, c->payload.bytes, deadline_s, err);
    if (status != CONURE_OK)
        return status;
    *answer = json_loadb(c->json.data, c->json.bytes, JSON_REJECT_DUPLICATES, &why);
    const char *said = json_string_value(json_object_get(*answer, "error"));
    if (*answer && !said)
        return CONURE_OK;
    status = said ? conure_fail(err, CONURE_BACKEND, "the candidate says: %.300s", said)
                  : conure_fail(err, CONURE_BAD_FILE, "the candidate's answer is not valid JSON: %s", why.text);
    json_decref(*answer);
    *answer = NULL;
    return status;
}

/* BAD_FILE of an answer is the candidate's failure, not a file's. */
static conure_status as_backend(conure_status status)
{
    return status == CONURE_BAD_FILE ? CONURE_BACKEND : status;
}

static conure_status exec_step(conure_candidate *base, conure_chunk *chunk, conure_error *err)
{
    exec_candidate *c = (exec_candidate *)base;
    const double deadline_s = conure_now_s() + c->timeout_s;
    const uint64_t index = chunk->index, step = chunk->step;
    json_t *answer = NULL;
    char where[64];
    begin(&c->json);
    begin(&c->payload);
    conure_buffer_text(&c->json, "{");
    conure_record_put(&c->json, &c->payload, chunk, 0, CONURE_ROLE_INPUTS);
    conure_buffer_text(&c->json, "}");
    conure_status status = send_frame(c, deadline_s, err);
    if (status == CONURE_OK)
        status = receive_frame(c, &answer, deadline_s, err);
    snprintf(where, sizeof where, "the candidate's answer to chunk %llu", (unsigned long long)index);
    if (status == CONURE_OK)
        status = conure_record_get(chunk, answer, (const uint8_t *)c->payload.data, c->payload.bytes, CONURE_ROLE_INPUTS, CONURE_ROLES, where,
                                   err);
    json_decref(answer);
    if (status == CONURE_OK && (chunk->index != index || chunk->step != step))
        status = conure_fail(err, CONURE_BACKEND, "%s says chunk %llu, step %llu: expected step %llu", where, (unsigned long long)chunk->index,
                             (unsigned long long)chunk->step, (unsigned long long)step);
    chunk->index = index;
    chunk->step = step;
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES && status == CONURE_OK; role++)
        if (!chunk->has[role])
            status = conure_fail(err, CONURE_BACKEND, "%s lacks %s", where, c->base.contract->names[role]);
    c->n_answers += status == CONURE_OK;
    c->failed = status != CONURE_OK;
    return as_backend(status);
}

static conure_status greet(exec_candidate *c, conure_error *err)
{
    const double deadline_s = conure_now_s() + c->timeout_s;
    char *text = NULL;
    json_t *answer = NULL;
    conure_status status = conure_contract_dump(c->base.contract, &text, err);
    if (status != CONURE_OK)
        return status;
    begin(&c->json);
    begin(&c->payload);
    conure_buffer_format(&c->json, "{\"conure\":\"%s\",\"protocol\":1,\"contract\":", conure_version());
    conure_buffer_text(&c->json, text);
    conure_buffer_text(&c->json, "}");
    free(text);
    status = send_frame(c, deadline_s, err);
    if (status == CONURE_OK)
        status = receive_frame(c, &answer, deadline_s, err);
    const char *name = json_string_value(json_object_get(answer, "candidate"));
    const json_t *protocol = json_object_get(answer, "protocol");
    if (status == CONURE_OK && (!name || json_integer_value(protocol) != 1))
        status = conure_fail(err, CONURE_BACKEND, "the candidate's greeting is not {\"candidate\": \"NAME\", \"protocol\": 1}");
    if (status == CONURE_OK)
        snprintf(c->base.description, sizeof c->base.description, "exec: %.200s", name);
    const char *runs = json_string_value(json_object_get(answer, "model_sha256")); /* it may say what it runs */
    if (status == CONURE_OK && runs)
        snprintf(c->base.model_sha256, sizeof c->base.model_sha256, "%.64s", runs);
    json_decref(answer);
    c->failed = status != CONURE_OK;
    return as_backend(status);
}

conure_status conure_candidate_exec_open(conure_candidate **out, const char *command, const conure_contract *contract,
                                         const conure_candidate_options *options, conure_error *err)
{
    exec_candidate *c = calloc(1, sizeof *c);
    conure_chunk sizes;
    *out = NULL;
    if (!c)
        return conure_fail_memory(err, "a candidate", sizeof *c);
    c->base = (conure_candidate){.step = exec_step, .close = exec_close, .contract = contract, .cancel = options->cancel};
    c->to = c->from = -1;
    c->timeout_s = options->timeout_s > 0 ? options->timeout_s : TIMEOUT_S;
    conure_contract_precision(contract, c->base.precision);
    conure_status status = conure_chunk_open(&sizes, contract, err);
    if (status == CONURE_OK) {
        c->payload_max = (sizes.channel_floats + sizes.time_floats + (size_t)sizes.out_cap * contract->d_model) * sizeof(float) + 64;
        conure_chunk_close(&sizes);
        status = start(c, command, err);
    }
    if (status == CONURE_OK)
        status = greet(c, err);
    if (status == CONURE_OK)
        *out = &c->base;
    else
        exec_close(&c->base);
    return status;
}

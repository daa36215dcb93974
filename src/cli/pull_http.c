/* pull_http.c - one HTTP transfer with libcurl; see pull_http.h.
 *
 * The callbacks decide as early as they can: a size that is too large or not the expected one ends the
 * transfer before the first byte is kept. */
#include "base/system.h"
#include "cli/pull_http.h"
#include "base/threads.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/terminal.h"

#define REDIRECTS_MAX 8
#define CONNECT_S 20
#define REFUSED_BYTES_MAX 65536 /* of an error page */

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    conure_transfer *t = user;
    conure_headers_line(&t->headers, line, size * n);
    return size * n;
}

/* ---- body */

static size_t refuse(conure_transfer *t, conure_status status)
{
    t->status = status;
    return 0; /* libcurl ends the transfer */
}

static bool check_total(conure_transfer *t, uint64_t total)
{
    const conure_pull_request *r = t->request;
    if (total > r->bytes_max) {
        t->status = conure_fail(&t->error, CONURE_LIMIT,
                                "%s: the server has %llu bytes, more than the %llu this file may have",
                                r->url, (unsigned long long)total, (unsigned long long)r->bytes_max);
        return false;
    }
    if (t->headers.linked_bytes && total != t->headers.linked_bytes) {
        t->status = conure_fail(&t->error, CONURE_BAD_FILE,
                                "%s: the hub says %llu bytes, the server it names sends %llu", r->url,
                                (unsigned long long)t->headers.linked_bytes, (unsigned long long)total);
        return false;
    }
    t->total_bytes = total;
    return true;
}

/* The response's headers are complete and bytes are coming: may they go into the file? */
static bool begin_body(conure_transfer *t)
{
    curl_off_t length = -1;
    t->body_begun = true;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->code);
    curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (t->code == 200) {
        /* The server ignores ranges, or the file has changed: all of it comes. */
        if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0) {
            t->status = conure_fail(&t->error, CONURE_IO, "%s.part: %s", t->request->path,
                                    strerror(errno));
            return false;
        }
        t->offset = t->bytes = 0;
        return length < 0 || check_total(t, (uint64_t)length);
    }
    if (t->code == 206) {
        if (!t->headers.range_seen || t->headers.range_first != t->offset) {
            t->restart = true;
            conure_fail(&t->error, CONURE_IO, "%s: the server sent another range than was asked for",
                        t->request->url);
            return false;
        }
        return t->headers.range_total == 0 || check_total(t, t->headers.range_total);
    }
    return true; /* an error page: counted and dropped */
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    conure_transfer *t = user;
    const size_t bytes = size * n;
    if (!t->body_begun && !begin_body(t))
        return 0;
    if (t->code != 200 && t->code != 206) {
        t->refused_bytes += bytes;
        return t->refused_bytes > REFUSED_BYTES_MAX ? 0 : bytes;
    }
    if (bytes > t->request->bytes_max - t->bytes)
        return refuse(t, conure_fail(&t->error, CONURE_LIMIT,
                                     "%s: the server sends more than the %llu bytes this file may have",
                                     t->request->url, (unsigned long long)t->request->bytes_max));
    for (size_t done = 0; done < bytes;) {
        const ssize_t w = write(t->fd, data + done, bytes - done);
        if (w < 0 && errno == EINTR && !conure_cancelled(t->request->cancel))
            continue;
        if (w <= 0)
            return refuse(t, conure_fail(&t->error, CONURE_IO, "%s.part: %s; make room and run it again: "
                                         "what has come is kept", t->request->path, strerror(errno)));
        done += (size_t)w;
        t->bytes += (uint64_t)w;
    }
    return bytes;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    const conure_transfer *t = user;
    const double elapsed_s = conure_now_s() - t->start_s;
    conure_pull_progress p = {t->bytes, t->total_bytes ? t->total_bytes : t->headers.linked_bytes, 0, -1};
    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    if (conure_cancelled(t->request->cancel))
        return 1;
    if (t->request->progress && t->body_begun) {
        if (elapsed_s > 0)
            p.bytes_per_s = (double)(t->bytes - t->offset) / elapsed_s;
        if (p.bytes_per_s > 0 && p.total_bytes >= p.bytes)
            p.left_s = (double)(p.total_bytes - p.bytes) / p.bytes_per_s;
        t->request->progress(t->request->user, &p);
    }
    return 0;
}

/* ---- the transfer */

static bool set_up(conure_transfer *t, struct curl_slist **headers)
{
    CURL *c = t->curl;
    const bool plain = strncasecmp(t->request->url, "http://", 7) == 0;
    char text[CONURE_ETAG_BYTES + 16];
    bool ok = true;
    /* Plain http only where the user named it, for a server of his own; never after a redirect. */
#if LIBCURL_VERSION_NUM >= 0x075500
    ok &= !curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    ok &= !curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, plain ? "http,https" : "https");
#else
    ok &= !curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
    ok &= !curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS,
                            (long)(plain ? CURLPROTO_HTTP | CURLPROTO_HTTPS : CURLPROTO_HTTPS));
#endif
    ok &= !curl_easy_setopt(c, CURLOPT_URL, t->request->url);
    ok &= !curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    ok &= !curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    ok &= !curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    ok &= !curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    ok &= !curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)t->request->stall_s);
    ok &= !curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    ok &= !curl_easy_setopt(c, CURLOPT_USERAGENT, "conure");
    ok &= !curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    ok &= !curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    ok &= !curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    ok &= !curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    ok &= !curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    ok &= !curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    ok &= !curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (t->offset) {
        snprintf(text, sizeof text, "%llu-", (unsigned long long)t->offset);
        ok &= !curl_easy_setopt(c, CURLOPT_RANGE, text);
        if (t->if_range[0]) {
            snprintf(text, sizeof text, "If-Range: %s", t->if_range);
            *headers = curl_slist_append(NULL, text);
            ok &= *headers != NULL;
            ok &= !curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
        }
    }
    return ok;
}

static conure_transfer_verdict fail(conure_transfer *t, conure_status status)
{
    t->status = status;
    return CONURE_TRANSFER_FAIL;
}

/* What the server's status code means. */
static conure_transfer_verdict judge_code(conure_transfer *t)
{
    const char *url = t->request->url;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->code);
    if (t->code == 200 || t->code == 206) {
        if (!t->body_begun && !begin_body(t)) /* an empty body */
            return t->restart ? CONURE_TRANSFER_RESTART : CONURE_TRANSFER_FAIL;
        if (t->total_bytes && t->bytes < t->total_bytes) {
            conure_fail(&t->error, CONURE_IO, "%s: %llu of %llu bytes came", url,
                        (unsigned long long)t->bytes, (unsigned long long)t->total_bytes);
            return CONURE_TRANSFER_RETRY;
        }
        return CONURE_TRANSFER_DONE;
    }
    if (t->code == 416) { /* nothing beyond what is there: complete, or another file */
        t->total_bytes = t->headers.range_total;
        conure_fail(&t->error, CONURE_IO, "%s: the server's file ends before what is there", url);
        return t->headers.range_total == t->offset && t->offset ? CONURE_TRANSFER_DONE
                                                        : CONURE_TRANSFER_RESTART;
    }
    if (t->code == 404 || t->code == 410)
        return fail(t, conure_fail(&t->error, CONURE_IO, "%s: not there (HTTP %ld)", url, t->code));
    if (t->code == 401 || t->code == 403)
        return fail(t, conure_fail(&t->error, CONURE_IO,
                                   "%s: access refused (HTTP %ld): does this model need a login?", url,
                                   t->code));
    conure_fail(&t->error, CONURE_IO, "%s: the server answers HTTP %ld", url, t->code);
    if (t->code == 408 || t->code == 429 || t->code >= 500)
        return CONURE_TRANSFER_RETRY;
    return fail(t, CONURE_IO);
}

static conure_transfer_verdict judge_curl(conure_transfer *t, CURLcode code, const char *detail)
{
    const char *url = t->request->url;
    const char *text = *detail ? detail : curl_easy_strerror(code);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(t, conure_fail(&t->error, CONURE_CANCELLED, "%s: cancelled; what has come is kept",
                                   url));
    case CURLE_TOO_MANY_REDIRECTS:
        return fail(t, conure_fail(&t->error, CONURE_IO, "%s: more than %d redirects", url,
                                   REDIRECTS_MAX));
    case CURLE_UNSUPPORTED_PROTOCOL:
        return fail(t, conure_fail(&t->error, CONURE_IO,
                                   "%s: redirected to something else than https: %s", url, text));
    case CURLE_OUT_OF_MEMORY:
        return fail(t, conure_fail(&t->error, CONURE_NO_MEMORY, "%s: out of memory", url));
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        conure_fail(&t->error, CONURE_IO, "%s: %s", url, text);
        return CONURE_TRANSFER_RETRY;
    default:
        return fail(t, conure_fail(&t->error, CONURE_IO, "%s: %s", url, text));
    }
}

conure_transfer_verdict conure_transfer_run(conure_transfer *t)
{
    conure_transfer_verdict verdict;
    struct curl_slist *headers = NULL;
    char detail[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_OUT_OF_MEMORY;
    t->bytes = t->offset;
    t->status = CONURE_OK;
    t->start_s = conure_now_s();
    t->curl = curl_easy_init();
    if (t->curl && set_up(t, &headers)) {
        curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, detail);
        code = curl_easy_perform(t->curl);
    }
    if (t->status != CONURE_OK) /* a callback has refused and said why */
        verdict = CONURE_TRANSFER_FAIL;
    else if (t->restart)
        verdict = CONURE_TRANSFER_RESTART;
    else if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && t->refused_bytes))
        verdict = judge_code(t);
    else
        verdict = judge_curl(t, code, detail);
    if (!conure_etag_sha256(t->headers.linked_etag, t->server_sha256) &&
        !conure_etag_sha256(t->headers.etag, t->server_sha256))
        t->server_sha256[0] = '\0';
    if (t->headers.weak)
        t->headers.etag[0] = '\0'; /* does not promise the same bytes */
    curl_slist_free_all(headers);
    curl_easy_cleanup(t->curl);
    t->curl = NULL;
    return verdict;
}

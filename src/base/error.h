/* error.h - filling the caller's conure_error, and logging through the caller's callback. */
#ifndef CONURE_BASE_ERROR_H
#define CONURE_BASE_ERROR_H

#include "conure.h"

/* Format into err->text (truncated at a UTF-8 boundary, always terminated) and return status, so that
 * a failing function reads:  return conure_fail(err, CONURE_BAD_FILE, "%s: ...", path);
 * err may be NULL.  Never allocates.  A text names what, where and the way out. */
__attribute__((format(printf, 3, 4))) conure_status conure_fail(conure_error *err,
                                                                conure_status status,
                                                                const char *format, ...);

/* As conure_fail() with status CONURE_NO_MEMORY: "out of memory for WHAT (N bytes)". */
conure_status conure_fail_memory(conure_error *err, const char *what, size_t bytes);

/* Returns from the calling function what the call returned, unless that is OK; for functions that hold nothing to be freed. */
#define CONURE_TRY(call)                   \
    do {                                   \
        const conure_status try_ = (call); \
        if (try_ != CONURE_OK)             \
            return try_;                   \
    } while (0)

/* What errno says about a file or stream, "WHAT: reason": IO, or NO_MEMORY where that is the reason. */
conure_status conure_fail_errno(conure_error *err, const char *what);

/* Put "PREFIX: " before a text that is already there. */
void conure_error_prefix(conure_error *err, const char *prefix);

typedef struct conure_log {
    conure_log_fn fn; /* NULL: silent */
    void *user;
} conure_log;

__attribute__((format(printf, 3, 4))) void conure_log_write(const conure_log *log,
                                                            conure_log_level level,
                                                            const char *format, ...);

#endif

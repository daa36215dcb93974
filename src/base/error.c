/* error.c - error texts and log lines: formatted on the stack, cut where a character ends. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A sequence of UTF-8 that lost its end in a buffer of `cap` bytes goes whole. */
static void trim_partial_character(char *text, size_t cap)
{
    size_t end = strnlen(text, cap - 1), start = end, want = 1;
    while (start > 0 && end - start < 3 && ((uint8_t)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    const uint8_t lead = (uint8_t)text[--start];
    if (lead >= 0xF0)
        want = 4;
    else if (lead >= 0xE0)
        want = 3;
    else if (lead >= 0xC0)
        want = 2;
    if (end - start < want)
        text[start] = '\0';
}

static void format_text(char *text, size_t cap, const char *format, va_list args)
{
    const int n = vsnprintf(text, cap, format, args);
    if (n < 0)
        snprintf(text, cap, "(a text that could not be formatted)");
    else if ((size_t)n >= cap)
        trim_partial_character(text, cap);
}

conure_status conure_fail(conure_error *err, conure_status status, const char *format, ...)
{
    if (err) {
        conure_error made; /* apart: the arguments may hold err->text itself */
        va_list args;
        va_start(args, format);
        format_text(made.text, sizeof made.text, format, args);
        va_end(args);
        memcpy(err->text, made.text, strlen(made.text) + 1);
    }
    return status;
}

conure_status conure_fail_memory(conure_error *err, const char *what, size_t bytes)
{
    return conure_fail(err, CONURE_NO_MEMORY, "out of memory for %s (%zu bytes)", what, bytes);
}

conure_status conure_fail_errno(conure_error *err, const char *what)
{
    char text[128];
    const int why = errno;
    return conure_fail(err, why == ENOMEM ? CONURE_NO_MEMORY : CONURE_IO, "%s: %s", what, strerror_r(why, text, sizeof text));
}

void conure_error_prefix(conure_error *err, const char *prefix)
{
    if (err)
        conure_fail(err, CONURE_OK, "%s: %s", prefix, err->text);
}

void conure_log_write(const conure_log *log, conure_log_level level, const char *format, ...)
{
    if (!log || !log->fn)
        return;
    char text[1024];
    va_list args;
    va_start(args, format);
    format_text(text, sizeof text, format, args);
    va_end(args);
    log->fn(log->user, level, text);
}

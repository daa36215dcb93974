/* terminal.h - what the command says on standard error: messages, colours and the progress line, and
 * the safe closing of standard output.
 *
 * One terminal belongs to one process, so this file keeps the command's only static state.  Used from the
 * main thread; messages may also come from a library's log callback in another thread (a lock). */
#ifndef CONURE_CLI_TERMINAL_H
#define CONURE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "conure.h"

typedef enum conure_say_kind {
    CONURE_SAY_PLAIN,
    CONURE_SAY_ERROR,   /* "conure: error: ..." */
    CONURE_SAY_WARNING, /* "conure: warning: ..." */
    CONURE_SAY_NOTE,    /* "conure: ..."; not when quiet */
} conure_say_kind;

/* Look at standard error and the environment (NO_COLOR, TERM). */
void conure_terminal_init(void);
void conure_terminal_quiet(bool quiet); /* no notes and no progress; warnings and errors stay */

/* One line on standard error; the progress line is wiped before it.  Control characters that a file name
 * may carry come out as '?', so that they cannot drive the terminal. */
__attribute__((format(printf, 2, 3))) void conure_say(conure_say_kind kind, const char *format, ...);

/* Replace the progress line (only on a terminal, not when quiet, at most ten times a second unless
 * it is the first); conure_progress_clear() wipes it. */
__attribute__((format(printf, 1, 2))) void conure_progress(const char *format, ...);
void conure_progress_clear(void);
bool conure_progress_shown(void); /* whether progress goes anywhere */

/* A conure_progress_fn: user is the text in front ("converting").  Returns false once interrupted. */
bool conure_progress_fraction(void *user, double fraction);

/* A conure_log_fn that prints warnings, and with CONURE_DEBUG set in the environment everything. */
void conure_log_to_terminal(void *user, conure_log_level level, const char *text);

/* From now on SIGINT and SIGTERM set the flag, the second one ends the process; SIGPIPE is ignored,
 * so that a closed pipe is a write error like any other. */
void conure_signals_init(void);
extern volatile int conure_interrupted;

/* Bring what was printed on its way; false when that or something before failed. */
bool conure_stdout_flush(void);

/* Flush and close standard output: false, with a message, when something written did not arrive. */
bool conure_stdout_close(void);

/* 12.3 MiB, 1 h 02 min, ... into text (of at least 32 bytes); returns text. */
const char *conure_text_bytes(uint64_t bytes, char *text);
const char *conure_text_seconds(double seconds, char *text);

double conure_now_s(void); /* monotonic */

#endif

/* terminal.h - what the command says on standard error: messages, colours and the progress line, and
 * the safe closing of standard output.
 *
 * One terminal belongs to one process, so this file keeps the command's only static state.  Used from the
 * main thread; messages may also come from a library's log callback in another thread (a lock). */
#ifndef CONURE_CLI_TERMINAL_H
#define CONURE_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
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
 * may carry (C1 too) come out as '?', so that they cannot drive the terminal, and bytes that are no
 * UTF-8 as U+FFFD. */
__attribute__((format(printf, 2, 3))) void conure_say(conure_say_kind kind, const char *format, ...);

/* Says why a command ends before it is done; its exit status: USAGE for BAD_ARG, SOME for BAD_FILE, INTERRUPTED, else CANNOT. */
int conure_command_fail(conure_status status, const conure_error *err);

/* Replace the progress line (only on a terminal, not when quiet); conure_progress_clear() wipes it.
 * conure_progress() is for what is going on now and always shows; conure_progress_more() for how far it
 * is: at most ten times a second. */
__attribute__((format(printf, 1, 2))) void conure_progress(const char *format, ...);
__attribute__((format(printf, 1, 2))) void conure_progress_more(const char *format, ...);
void conure_progress_clear(void);
bool conure_progress_shown(void); /* whether progress goes anywhere */

/* A conure_progress_fn: user is the text in front ("converting").  Returns false once interrupted. */
bool conure_progress_fraction(void *user, double fraction);

/* A conure_log_fn that prints warnings, and with CONURE_DEBUG set in the environment everything. */
void conure_log_to_terminal(void *user, conure_log_level level, const char *text);

/* From now on SIGINT and SIGTERM set conure_interrupted, and the next one ends the process; but those
 * that the parent ignores (nohup, a job in the background) stay ignored.  SIGPIPE is ignored, so that a
 * closed pipe is a write error like any other. */
void conure_signals_init(void);
extern volatile int conure_interrupted;

/* Between input_begin() and input_finish() a stream is being read that may have no end of its own: the
 * first SIGINT there sets conure_input_ended, and only the next one conure_interrupted. */
void conure_input_begin(void);
void conure_input_finish(void);
extern volatile int conure_input_ended;

/* Something that may never end by itself: a pipe, a terminal, a device; "-" is standard input. */
bool conure_input_is_stream(const char *file);

/* Whether standard output is a terminal on which text can be drawn anew, with styles unless NO_COLOR is set, and its size. */
bool conure_stdout_is_terminal(bool *styles);
void conure_stdout_size(uint32_t *columns, uint32_t *rows);

/* Bring what was printed on its way; false when that or something before failed. */
bool conure_stdout_flush(void);

/* Flush and close standard output: false, with a message, when something written did not arrive. */
bool conure_stdout_close(void);

/* 12.3 MiB, 1 h 02 min, ... into text (of at least 32 bytes); returns text. */
const char *conure_text_bytes(uint64_t bytes, char *text);
const char *conure_text_seconds(double seconds, char *text);


#endif

/* terminal.c - standard error and standard output of the command; see terminal.h. */
#include "base/system.h"
#include "cli/exit.h"
#include "cli/terminal.h"
#include "model/quote.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES_MAX 6144

static struct {
    bool terminal, colours, quiet, debug;
    bool line_shown;      /* a progress line stands on the terminal */
    double line_s;        /* when it was written */
    int stdout_errno;     /* why standard output failed first; 0: not known */
    pthread_mutex_t lock;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

volatile int conure_interrupted, conure_input_ended;
static volatile sig_atomic_t input_open;

static bool draws(int fd, bool *colours)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    const bool terminal = isatty(fd) && term && strcmp(term, "dumb") != 0;
    *colours = terminal && !(no_color && *no_color);
    return terminal;
}

bool conure_stdout_is_terminal(bool *styles)
{
    return draws(STDOUT_FILENO, styles);
}

void conure_stdout_size(uint32_t *columns, uint32_t *rows)
{
    struct winsize size;
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    *columns = known && size.ws_col ? size.ws_col : 80;
    *rows = known && size.ws_row ? size.ws_row : 24;
}

void conure_terminal_init(void)
{
    state.terminal = draws(STDERR_FILENO, &state.colours);
    state.debug = getenv("CONURE_DEBUG") != NULL;
}

void conure_terminal_quiet(bool quiet)
{
    state.quiet = quiet;
}

/* Formatted text, made harmless: what could move the cursor, ring the bell or turn text around becomes '?', what is
 * no UTF-8 U+FFFD.  out holds TEXT_BYTES_MAX. */
static void tame(char *out, const char *format, va_list args)
{
    char text[TEXT_BYTES_MAX / 3]; /* a byte may become three */
    const char *from = text;
    const int written = vsnprintf(text, sizeof text, format, args);
    size_t left = written < 0 ? 0 : written < (int)sizeof text ? (size_t)written : sizeof text - 1;
    for (size_t used; left > 0; from += used, left -= used) {
        const int32_t code = conure_character(from, left, &used);
        if (code < 0) {
            memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
        } else if (conure_is_control(code)) {
            *out++ = '?';
        } else {
            memcpy(out, from, used);
            out += used;
        }
    }
    *out = '\0';
}

static void wipe(void)
{
    if (state.line_shown)
        fputs("\r\033[K", stderr);
    state.line_shown = false;
}

void conure_say(conure_say_kind kind, const char *format, ...)
{
    static const char *const before[] = {"", "conure: error: ", "conure: warning: ", "conure: "};
    static const char *const colour[] = {"", "\033[1;31m", "\033[1;33m", ""};
    char text[TEXT_BYTES_MAX];
    va_list args;
    if (kind == CONURE_SAY_NOTE && state.quiet)
        return;
    va_start(args, format);
    tame(text, format, args);
    va_end(args);
    pthread_mutex_lock(&state.lock);
    wipe();
    if (state.colours && *colour[kind])
        fprintf(stderr, "%s%s\033[0m%s\n", colour[kind], before[kind], text);
    else
        fprintf(stderr, "%s%s\n", before[kind], text);
    fflush(stderr);
    pthread_mutex_unlock(&state.lock);
}

bool conure_progress_shown(void)
{
    return state.terminal && !state.quiet;
}

/* Cut to the width of the terminal, at a character: a line that wraps cannot be wiped. */
static void fit(char *text)
{
    struct winsize size;
    size_t columns = 80, seen = 0;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    for (char *c = text; *c; c++)
        if (((unsigned char)*c & 0xc0) != 0x80 && ++seen >= columns) {
            *c = '\0';
            return;
        }
}

static void show(const char *format, va_list args)
{
    char text[TEXT_BYTES_MAX];
    tame(text, format, args);
    fit(text);
    pthread_mutex_lock(&state.lock);
    wipe();
    fputs(text, stderr);
    fflush(stderr);
    state.line_shown = true;
    state.line_s = conure_now_s();
    pthread_mutex_unlock(&state.lock);
}

int conure_command_fail(conure_status status, const conure_error *err)
{
    conure_progress_clear();
    if (status == CONURE_CANCELLED) {
        conure_say(CONURE_SAY_PLAIN, "conure: interrupted");
        return CONURE_EXIT_INTERRUPTED;
    }
    conure_say(CONURE_SAY_ERROR, "%s", err->text[0] ? err->text : conure_status_text(status));
    return status == CONURE_BAD_ARG ? CONURE_EXIT_USAGE : status == CONURE_BAD_FILE ? CONURE_EXIT_SOME : CONURE_EXIT_CANNOT;
}

void conure_progress(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (conure_progress_shown())
        show(format, args);
    va_end(args);
}

void conure_progress_more(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (conure_progress_shown() && !(state.line_shown && conure_now_s() < state.line_s + 0.1))
        show(format, args);
    va_end(args);
}

void conure_progress_clear(void)
{
    pthread_mutex_lock(&state.lock);
    wipe();
    fflush(stderr);
    pthread_mutex_unlock(&state.lock);
}

bool conure_progress_fraction(void *user, double fraction)
{
    conure_progress_more("%s %3.0f %%", (const char *)user, 100 * fraction);
    return !conure_interrupted;
}

void conure_log_to_terminal(void *user, conure_log_level level, const char *text)
{
    (void)user;
    if (level == CONURE_LOG_WARNING)
        conure_say(CONURE_SAY_WARNING, "%s", text);
    else if (state.debug)
        conure_say(CONURE_SAY_PLAIN, "conure: %s", text);
}

static void on_interrupt(int signal_number)
{
    if (signal_number == SIGINT && input_open && !conure_input_ended) {
        conure_input_ended = 1;
        return;
    }
    conure_interrupted = 1;
    signal(signal_number, SIG_DFL); /* who asks again does not want to wait */
}

void conure_input_begin(void)
{
    input_open = 1;
}

void conure_input_finish(void)
{
    input_open = 0;
}

bool conure_input_is_stream(const char *file)
{
    struct stat st;
    const bool known = strcmp(file, "-") == 0 ? fstat(STDIN_FILENO, &st) == 0 : stat(file, &st) == 0;
    return known && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static void catch(int signal_number)
{
    struct sigaction action;
    if (sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        return;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_interrupt; /* no SA_RESTART: a read from a pipe ends too */
    sigaction(signal_number, &action, NULL);
}

void conure_signals_init(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    catch(SIGINT);
    catch(SIGTERM);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

bool conure_stdout_flush(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    if (!state.stdout_errno)
        state.stdout_errno = errno;
    return false;
}

bool conure_stdout_close(void)
{
    bool good = conure_stdout_flush();
    /* A network file system may tell of a full disk only here.  EBADF: standard output was closed when
     * we started, and nothing was written. */
    if (fclose(stdout) != 0 && good && errno != EBADF) {
        good = false;
        state.stdout_errno = errno;
    }
    if (!good)
        conure_say(CONURE_SAY_ERROR, "standard output could not be written%s%s",
                   state.stdout_errno ? ": " : "",
                   state.stdout_errno ? strerror(state.stdout_errno) : "");
    return good;
}

const char *conure_text_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *conure_text_seconds(double seconds, char *text)
{
    const long total = (long)(seconds + 0.5);
    if (seconds < 60)
        snprintf(text, 32, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(text, 32, "%ld min %02ld s", total / 60, total % 60);
    else
        snprintf(text, 32, "%ld h %02ld min", total / 3600, total / 60 % 60);
    return text;
}

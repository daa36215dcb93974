/* options.c - parsing a command line by its command's table.
 *
 * getopt_long() does the work; this file makes its tables, checks values and words the messages. */
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/terminal.h"

#define OPTIONS_MAX 40
#define LONG_BASE 1000 /* what getopt_long() returns for row i: LONG_BASE + i */

/* Digits of a number, without sign, space, infinity or hexadecimal. */
static bool plain_number(const char *text, bool fraction)
{
    if (*text < '0' || *text > '9')
        return false;
    for (bool point = false; *text; text++) {
        if (*text == '.' && fraction && !point)
            point = true;
        else if (*text < '0' || *text > '9')
            return false;
    }
    return true;
}

bool conure_parse_count(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (!plain_number(text, false))
        return false;
    for (; *text; text++) {
        const uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* By hand, because strtod() reads what the locale and the user's habits make of it. */
bool conure_parse_real(const char *text, double *out)
{
    double value = 0, scale = 1;
    bool point = false;
    if (strlen(text) > 40 || !plain_number(text, true))
        return false;
    for (; *text; text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        value = value * 10 + (*text - '0');
        scale *= point ? 10 : 1;
    }
    *out = value / scale;
    return true;
}

bool conure_parse_bytes(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char number[41];
    double value;
    const size_t digits = strspn(text, "0123456789.");
    const char *unit = text + digits;
    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!conure_parse_real(number, &value))
        return false;
    if (*unit) {
        const char upper = (char)(*unit >= 'a' && *unit <= 'z' ? *unit - 'a' + 'A' : *unit);
        const char *found = strchr(units, upper);
        if (!found || (unit[1] && strcmp(unit + 1, "B") != 0 && strcmp(unit + 1, "iB") != 0))
            return false;
        for (const char *u = units; u <= found; u++)
            value *= 1024;
    }
    if (!(value < 9e18))
        return false;
    *out = (uint64_t)value;
    return true;
}

/* Edits (insert, delete, replace) between two words of at most 31 bytes. */
static unsigned edits(const char *a, const char *b)
{
    unsigned row[32];
    const size_t n = strlen(a), m = strlen(b);
    if (n > 31 || m > 31)
        return UINT_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *conure_nearest(const char *word, const char *const *candidates)
{
    const char *best = NULL;
    unsigned best_edits = (unsigned)strlen(word) / 3 + 2; /* this many is too far */
    for (; *candidates; candidates++) {
        unsigned d = edits(word, *candidates);
        if (strlen(word) >= 2 && strncmp(*candidates, word, strlen(word)) == 0)
            d = 1;
        if (d < best_edits) {
            best_edits = d;
            best = *candidates;
        }
    }
    return best;
}

static int usage_error(const char *full_name)
{
    conure_say(CONURE_SAY_PLAIN, "Try '%s --help'.", full_name);
    return CONURE_EXIT_USAGE;
}

/* "text, json, srt" into out. */
static void list_choices(const char *const *choices, char *out, size_t cap)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; choices[i]; i++) {
        const size_t bytes = strlen(choices[i]);
        if (used + bytes + 3 > cap)
            return;
        if (i) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        memcpy(out + used, choices[i], bytes + 1);
        used += bytes;
    }
}

static bool set_choice(const conure_option *option, const char *full_name, const char *text,
                       int *member)
{
    char names[256];
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(option->choices[i], text) == 0) {
            *member = i;
            return true;
        }
    list_choices(option->choices, names, sizeof names);
    conure_say(CONURE_SAY_ERROR, "%s: --%s is '%s', expected one of: %s", full_name, option->name,
               text, names);
    return false;
}

static bool set_number(const conure_option *option, const char *full_name, const char *text,
                       uint64_t *member)
{
    const bool bytes = option->kind == CONURE_OPTION_BYTES;
    const uint64_t max = option->max ? option->max : UINT64_MAX;
    uint64_t value;
    if (bytes ? conure_parse_bytes(text, &value) : conure_parse_count(text, &value))
        if (value >= option->min && value <= max) {
            *member = value;
            return true;
        }
    if (bytes)
        conure_say(CONURE_SAY_ERROR, "%s: --%s is '%s', expected a size such as 512M or 2G, at least %llu",
                   full_name, option->name, text, (unsigned long long)option->min);
    else if (option->max)
        conure_say(CONURE_SAY_ERROR, "%s: --%s is '%s', expected a whole number from %llu to %llu",
                   full_name, option->name, text, (unsigned long long)option->min,
                   (unsigned long long)option->max);
    else
        conure_say(CONURE_SAY_ERROR, "%s: --%s is '%s', expected a whole number of at least %llu",
                   full_name, option->name, text, (unsigned long long)option->min);
    return false;
}

static bool set_real(const conure_option *option, const char *full_name, const char *text,
                     double *member)
{
    double value;
    if (conure_parse_real(text, &value) && value >= (double)option->min) {
        *member = value;
        return true;
    }
    conure_say(CONURE_SAY_ERROR, "%s: --%s is '%s', expected a number of at least %llu, such as 2.5",
               full_name, option->name, text, (unsigned long long)option->min);
    return false;
}

static bool set_option(const conure_option *option, const char *full_name, const char *text,
                       void *settings)
{
    void *member = (char *)settings + option->offset;
    switch (option->kind) {
    case CONURE_OPTION_FLAG:
        *(bool *)member = true;
        return true;
    case CONURE_OPTION_TEXT:
        if (!*text) {
            conure_say(CONURE_SAY_ERROR, "%s: --%s has an empty value", full_name, option->name);
            return false;
        }
        *(const char **)member = text;
        return true;
    case CONURE_OPTION_CHOICE:
        return set_choice(option, full_name, text, member);
    case CONURE_OPTION_COUNT:
    case CONURE_OPTION_BYTES:
        return set_number(option, full_name, text, member);
    case CONURE_OPTION_REAL:
        return set_real(option, full_name, text, member);
    case CONURE_OPTION_END:
        break;
    }
    return false;
}

/* getopt_long() found something it could not use. */
static void complain(const conure_command *command, const char *full_name, int kind,
                     const char *word)
{
    const char *names[OPTIONS_MAX + 2];
    size_t n = 0;
    for (const conure_option *o = command->options; o && o->kind; o++)
        names[n++] = o->name;
    names[n++] = "help";
    names[n] = NULL;
    if (kind == ':' && word) {
        conure_say(CONURE_SAY_ERROR, "%s: option '%s' needs a value", full_name, word);
    } else if (word && strncmp(word, "--", 2) == 0) {
        char name[64];
        const char *near;
        size_t bytes = strcspn(word + 2, "=");
        bytes = bytes < sizeof name ? bytes : sizeof name - 1;
        memcpy(name, word + 2, bytes);
        name[bytes] = '\0';
        near = conure_nearest(name, names);
        if (near && strcmp(near, name) == 0)
            conure_say(CONURE_SAY_ERROR, "%s: option '--%s' takes no value", full_name, name);
        else if (near)
            conure_say(CONURE_SAY_ERROR, "%s: no option '--%s'; did you mean '--%s'?", full_name,
                       name, near);
        else
            conure_say(CONURE_SAY_ERROR, "%s: no option '--%s'", full_name, name);
    } else {
        conure_say(CONURE_SAY_ERROR, "%s: no option '-%c'", full_name, optopt);
    }
}

static void build_tables(const conure_command *command, struct option *rows, char *letters)
{
    size_t n = 0, l = 0;
    letters[l++] = ':'; /* a missing value is told apart from an unknown option */
    for (const conure_option *o = command->options; o && o->kind && n < OPTIONS_MAX; o++, n++) {
        const bool takes = o->kind != CONURE_OPTION_FLAG;
        rows[n] = (struct option){o->name, takes ? required_argument : no_argument, NULL,
                                  LONG_BASE + (int)n};
        if (o->letter) {
            letters[l++] = o->letter;
            if (takes)
                letters[l++] = ':';
        }
    }
    rows[n] = (struct option){"help", no_argument, NULL, 'h'};
    rows[n + 1] = (struct option){NULL, 0, NULL, 0};
    letters[l++] = 'h';
    letters[l] = '\0';
}

static const conure_option *find_letter(const conure_command *command, int letter)
{
    for (const conure_option *o = command->options; o && o->kind; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

int conure_options_parse(const conure_command *command, const char *full_name, int argc, char **argv,
                         void *settings, int *first, bool *help)
{
    struct option rows[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 4];
    int c;
    build_tables(command, rows, letters);
    *help = false;
    opterr = 0; /* the messages are ours */
    optind = 0; /* GNU: start afresh */
    while ((c = getopt_long(argc, argv, letters, rows, NULL)) != -1) {
        const conure_option *option = NULL;
        if (c == 'h') {
            *help = true;
            return CONURE_EXIT_GOOD;
        }
        if (c == '?' || c == ':') {
            complain(command, full_name, c, optind > 0 ? argv[optind - 1] : NULL);
            return usage_error(full_name);
        }
        option = c >= LONG_BASE ? &command->options[c - LONG_BASE] : find_letter(command, c);
        if (!option || !set_option(option, full_name, optarg, settings))
            return usage_error(full_name);
    }
    *first = optind;
    if (argc - optind < (int)command->min_arguments) {
        conure_say(CONURE_SAY_ERROR, "%s: missing argument: %s", full_name, command->arguments);
        return usage_error(full_name);
    }
    if (argc - optind > (int)command->max_arguments) {
        conure_say(CONURE_SAY_ERROR, "%s: unexpected argument '%s'", full_name,
                   argv[optind + (int)command->max_arguments]);
        return usage_error(full_name);
    }
    return CONURE_EXIT_GOOD;
}

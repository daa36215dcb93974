/* command.h - what a command of `conure` is: one table of options that drives parsing, --help, the
 * manual page and shell completion, so that they cannot disagree.
 *
 * A command file defines a settings struct, a table of options that point into it, and one
 * conure_command; main.c lists them.  Options are parsed before run() is called. */
#ifndef CONURE_CLI_COMMAND_H
#define CONURE_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/exit.h"

/* The kind says what the value may be and the type of the settings member at offset. */
typedef enum conure_option_kind {
    CONURE_OPTION_END = 0, /* the table's last row */
    CONURE_OPTION_FLAG,    /* bool, set to true; takes no value */
    CONURE_OPTION_TEXT,    /* const char * */
    CONURE_OPTION_COUNT,   /* uint64_t within min .. max */
    CONURE_OPTION_BYTES,   /* uint64_t; K, M, G mean 1024^1, ^2, ^3; at least min */
    CONURE_OPTION_REAL,    /* double, finite and >= min */
    CONURE_OPTION_CHOICE,  /* int, index into choices */
} conure_option_kind;

/* What a shell may complete. */
typedef enum conure_complete {
    CONURE_COMPLETE_NOTHING = 0,
    CONURE_COMPLETE_FILE,
    CONURE_COMPLETE_FOLDER,
    CONURE_COMPLETE_COMMAND, /* names of commands */
} conure_complete;

typedef struct conure_option {
    conure_option_kind kind;
    const char *name;           /* long name, without -- */
    char letter;                /* 0: none */
    const char *value;          /* how help calls the value: "FILE"; NULL for flags */
    const char *help;           /* starts lower-case, no full stop; one line or several sentences */
    size_t offset;              /* offsetof(settings, member) */
    const char *const *choices; /* CHOICE: names, NULL at the end */
    uint64_t min, max;          /* COUNT, BYTES, REAL */
    conure_complete complete;   /* TEXT */
} conure_option;

typedef struct conure_example {
    const char *command, *what; /* both NULL at the end */
} conure_example;

typedef struct conure_command conure_command;
struct conure_command {
    const char *name;      /* "transcribe"; of a child the second word: "info" */
    const char *summary;   /* one line without full stop */
    const char *arguments; /* after the options in the usage line: "FILE... | -" */
    const char *details;   /* paragraphs parted by an empty line; may be NULL */
    const conure_option *options;           /* NULL: none but --help */
    const conure_example *examples;         /* NULL: none */
    const conure_command *const *children;  /* NULL-terminated; then run is NULL */
    conure_complete complete;               /* what the arguments are */
    const char *const *words;               /* or the words they may be, NULL at the end */
    unsigned min_arguments, max_arguments;
    size_t settings_bytes;
    void (*defaults)(void *settings);       /* NULL: all zero */
    /* arguments: what is left after the options, NULL-terminated.  Returns an exit status. */
    int (*run)(const void *settings, int n_arguments, char *const *arguments);
};

/* Every command, NULL at the end (commands.c). */
extern const conure_command *const conure_commands[];

/* ---- options.c */

/* Parse argv[1 ..] into settings (zeroed by the caller, defaults() already applied).  argv is permuted;
 * *first is the index of the first argument.  full_name is what messages call the command:
 * "conure model info".  Sets *help when --help was given; returns CONURE_EXIT_GOOD or, after a message on
 * standard error, CONURE_EXIT_USAGE. */
int conure_options_parse(const conure_command *command, const char *full_name, int argc, char **argv,
                         void *settings, int *first, bool *help);

/* Numbers as the command line takes them: the whole text must be one.  Locale-independent. */
bool conure_parse_count(const char *text, uint64_t *out);
bool conure_parse_bytes(const char *text, uint64_t *out); /* "512", "512K", "1.5G", "2GiB" */
bool conure_parse_real(const char *text, double *out);

/* The candidate (NULL-terminated list) nearest to a mistyped word, NULL when none is near. */
const char *conure_nearest(const char *word, const char *const *candidates);

/* ---- help.c: from the tables to text; out is filled, .failed says no memory */
struct conure_buffer;
void conure_help_program(struct conure_buffer *out);
void conure_help_command(struct conure_buffer *out, const conure_command *command,
                         const char *full_name);

/* ---- manual.c: pages in the man macro language; full_name as above; NULL command: conure(1) */
void conure_manual(struct conure_buffer *out, const conure_command *command, const char *full_name);

/* ---- completion.c: shell is "bash", "zsh" or "fish"; false for another */
bool conure_completion(struct conure_buffer *out, const char *shell);

/* ---- one per file command_*.c */
extern const conure_command conure_command_transcribe;
extern const conure_command conure_command_stream;
extern const conure_command conure_command_model;
extern const conure_command conure_command_bench;
extern const conure_command conure_command_doctor;
extern const conure_command conure_command_pull;
extern const conure_command conure_command_wer;
extern const conure_command conure_command_export;
extern const conure_command conure_command_engine;
extern const conure_command conure_command_contract;
extern const conure_command conure_command_diagnose;
extern const conure_command conure_command_noise_floor;
extern const conure_command conure_command_reference;
extern const conure_command conure_command_parity;
extern const conure_command conure_command_clear;
extern const conure_command conure_command_candidate;
extern const conure_command conure_command_completion;
extern const conure_command conure_command_help;

#endif

/* options.c - the command line's parser, and what is made from the same tables. */
#include "base/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "test.h"

typedef struct settings {
    const char *model;
    int format;
    uint64_t threads, memory;
    double seconds;
    bool quiet;
} settings;

static const char *const formats[] = {"text", "json", NULL};

static const conure_option table[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", .help = "it's a model",
     .offset = offsetof(settings, model), .complete = CONURE_COMPLETE_FILE},
    {.kind = CONURE_OPTION_CHOICE, .name = "format", .letter = 'f', .value = "F", .help = "format",
     .offset = offsetof(settings, format), .choices = formats},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .help = "threads", .min = 1, .max = 64,
     .offset = offsetof(settings, threads)},
    {.kind = CONURE_OPTION_BYTES, .name = "memory", .value = "SIZE", .help = "memory", .min = 1024,
     .offset = offsetof(settings, memory)},
    {.kind = CONURE_OPTION_REAL, .name = "seconds", .value = "S", .help = "seconds",
     .offset = offsetof(settings, seconds)},
    {.kind = CONURE_OPTION_FLAG, .name = "quiet", .letter = 'q', .help = "quiet",
     .offset = offsetof(settings, quiet)},
    {0},
};

static const conure_command command = {.name = "try", .summary = "Try", .arguments = "FILE...",
                                       .options = table, .min_arguments = 1, .max_arguments = 2};

/* words: the command line, parted by single spaces.  Texts in s are valid until the next call. */
static int parse(const char *words, settings *s, int *n_arguments, bool *help)
{
    static char copy[256];
    char *argv[20] = {copy};
    int argc = 0, first = 0, code;
    snprintf(copy, sizeof copy, "try %s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    memset(s, 0, sizeof *s);
    code = conure_options_parse(&command, "conure try", argc, argv, s, &first, help);
    *n_arguments = argc - first;
    return code;
}

static void good_lines(void)
{
    settings s;
    int n;
    bool help;
    test_int(parse("-m a --format json --threads=64 --memory 1.5K --seconds 0.25 -q x", &s, &n, &help), 0);
    test_text(s.model, "a");
    test_int(s.format, 1);
    test_int(s.threads, 64);
    test_int(s.memory, 1536);
    test_near(s.seconds, 0.25, 0);
    test_true(s.quiet && !help);
    test_int(n, 1);
    test_int(parse("x -q y -fjson", &s, &n, &help), 0); /* options after arguments */
    test_int(n, 2);
    test_true(s.quiet && s.format == 1);
    test_int(parse("-- -q", &s, &n, &help), 0);
    test_true(!s.quiet);
    test_int(parse("-", &s, &n, &help), 0);
    test_int(n, 1);
    test_int(parse("--help --nonsense", &s, &n, &help), 0);
    test_true(help);
}

static void bad_lines(void)
{
    static const char *const lines[] = {
        "",          "x y z",       "--nonsense x",     "-z x",           "--threads 0 x", "--threads 65 x",
        "--threads", "--threads -1 x", "--threads 1x x", "--threads 99999999999999999999 x",
        "--format xml x", "--memory 1 x", "--memory 1X x", "--memory 1KK x", "--memory K x",
        "--seconds nan x", "--seconds 1e5 x", "--seconds -1 x", "--seconds 1.2.3 x", "--quiet=1 x",
        "--model= x", "-f text -f j x",
    };
    settings s;
    int n;
    bool help;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const int code = parse(lines[i], &s, &n, &help);
        if (code != CONURE_EXIT_USAGE)
            fprintf(stderr, "accepted: %s\n", lines[i]);
        test_int(code, CONURE_EXIT_USAGE);
    }
}

static void numbers(void)
{
    uint64_t u;
    double d;
    test_true(conure_parse_count("18446744073709551615", &u) && u == UINT64_MAX);
    test_true(!conure_parse_count("18446744073709551616", &u));
    test_true(!conure_parse_count("", &u) && !conure_parse_count("+1", &u) && !conure_parse_count(" 1", &u));
    test_true(conure_parse_bytes("2G", &u) && u == (uint64_t)2 << 30);
    test_true(conure_parse_bytes("2GiB", &u) && u == (uint64_t)2 << 30);
    test_true(conure_parse_bytes("10m", &u) && u == (uint64_t)10 << 20);
    test_true(!conure_parse_bytes("99999999999T", &u) && !conure_parse_bytes("", &u));
    test_true(conure_parse_real("10", &d) && d == 10);
    test_true(conure_parse_real("2.5", &d) && d == 2.5);
    test_true(!conure_parse_real("2,5", &d) && !conure_parse_real(".", &d) && !conure_parse_real("inf", &d));
}

static void suggestions(void)
{
    static const char *const words[] = {"transcribe", "model", "bench", NULL};
    test_text(conure_nearest("trnscribe", words), "transcribe");
    test_text(conure_nearest("modle", words), "model");
    test_text(conure_nearest("tra", words), "transcribe");
    test_true(!conure_nearest("xyzzy", words));
}

/* Every option of every real command appears in its help, manual page and all completions. */
static void tables_agree(void)
{
    conure_buffer bash = {0}, zsh = {0}, fish = {0};
    test_true(conure_completion(&bash, "bash") && conure_completion(&zsh, "zsh") && conure_completion(&fish, "fish"));
    test_true(!bash.failed && !zsh.failed && !fish.failed);
    for (const conure_command *const *list = conure_commands; *list; list++) {
        const conure_command *one[2] = {*list, NULL};
        for (const conure_command *const *c = (*list)->children ? (*list)->children : one; *c; c++) {
            conure_buffer help = {0}, manual = {0};
            conure_help_command(&help, *c, "conure x");
            conure_manual(&manual, *c, "conure x");
            test_true((*c)->run && (*c)->summary && (*c)->arguments);
            test_contains(bash.data, (*c)->name);
            for (const conure_option *o = (*c)->options; o && o->kind; o++) {
                char name[64], fish_name[64];
                snprintf(name, sizeof name, "--%s", o->name);
                snprintf(fish_name, sizeof fish_name, "-l %s", o->name);
                test_contains(help.data, name);
                test_contains(bash.data, name);
                test_contains(zsh.data, name);
                test_contains(fish.data, fish_name);
                test_true((o->kind == CONURE_OPTION_FLAG) == (o->value == NULL));
                test_true((o->kind == CONURE_OPTION_CHOICE) == (o->choices != NULL));
                test_true(o->help && strlen(o->help) > 3);
            }
            test_contains(manual.data, ".SH OPTIONS");
            test_contains(manual.data, ".SH EXIT STATUS");
            conure_buffer_free(&help);
            conure_buffer_free(&manual);
        }
    }
    conure_buffer_free(&bash);
    conure_buffer_free(&zsh);
    conure_buffer_free(&fish);
}

int main(void)
{
    test_begin("cli.options");
    conure_terminal_init();
    good_lines();
    bad_lines();
    numbers();
    suggestions();
    tables_agree();
    return test_end();
}

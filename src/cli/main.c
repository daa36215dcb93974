/* main.c - the command `conure`: finds the subcommand, parses its options, runs it.
 *
 * Everything that is specific to a command lies in its command_*.c; the exit codes in exit.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "conure.h"

static const conure_command *find(const conure_command *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp((*list)->name, name) == 0)
            return *list;
    return NULL;
}

static int unknown(const conure_command *const *list, const char *before, const char *name)
{
    const char *names[32];
    const char *near;
    size_t n = 0;
    for (; list[n] && n < 31; n++)
        names[n] = list[n]->name;
    names[n] = NULL;
    near = conure_nearest(name, names);
    if (near)
        conure_say(CONURE_SAY_ERROR, "no command '%s %s'; did you mean '%s %s'?", before, name,
                   before, near);
    else
        conure_say(CONURE_SAY_ERROR, "no command '%s %s'", before, name);
    conure_say(CONURE_SAY_PLAIN, "Try '%s --help'.", before);
    return CONURE_EXIT_USAGE;
}

static int print(conure_buffer *text)
{
    const bool failed = text->failed;
    if (!failed)
        fwrite(text->data, 1, text->bytes, stdout);
    else
        conure_say(CONURE_SAY_ERROR, "out of memory");
    conure_buffer_free(text);
    return failed ? CONURE_EXIT_CANNOT : CONURE_EXIT_GOOD;
}

static int print_help(const conure_command *command, const char *full_name)
{
    conure_buffer text = {0};
    if (command)
        conure_help_command(&text, command, full_name);
    else
        conure_help_program(&text);
    return print(&text);
}

static int run(const conure_command *command, const char *full_name, int argc, char **argv)
{
    void *settings = calloc(1, command->settings_bytes ? command->settings_bytes : 1);
    bool help = false;
    int first = 0, status;
    if (!settings) {
        conure_say(CONURE_SAY_ERROR, "out of memory");
        return CONURE_EXIT_CANNOT;
    }
    if (command->defaults)
        command->defaults(settings);
    status = conure_options_parse(command, full_name, argc, argv, settings, &first, &help);
    if (status == CONURE_EXIT_GOOD)
        status = help ? print_help(command, full_name)
                      : command->run(settings, argc - first, argv + first);
    free(settings);
    return status;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch(int argc, char **argv)
{
    char full_name[64];
    const conure_command *command;
    if (argc < 2) {
        print_help(NULL, "conure");
        return CONURE_EXIT_USAGE;
    }
    if (is_help(argv[1]))
        return print_help(NULL, "conure");
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("conure %s\n", conure_version());
        return CONURE_EXIT_GOOD;
    }
    command = find(conure_commands, argv[1]);
    if (!command)
        return unknown(conure_commands, "conure", argv[1]);
    snprintf(full_name, sizeof full_name, "conure %s", command->name);
    if (command->children) {
        const conure_command *child;
        if (argc < 3 || is_help(argv[2])) {
            print_help(command, full_name);
            return argc < 3 ? CONURE_EXIT_USAGE : CONURE_EXIT_GOOD;
        }
        child = find(command->children, argv[2]);
        if (!child)
            return unknown(command->children, full_name, argv[2]);
        snprintf(full_name, sizeof full_name, "conure %s %s", command->name, child->name);
        return run(child, full_name, argc - 2, argv + 2);
    }
    return run(command, full_name, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int status;
    conure_terminal_init();
    conure_signals_init();
    status = dispatch(argc, argv);
    conure_progress_clear();
    if (!conure_stdout_close() && status == CONURE_EXIT_GOOD)
        status = CONURE_EXIT_CANNOT;
    return conure_interrupted ? CONURE_EXIT_INTERRUPTED : status;
}

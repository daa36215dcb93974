/* command_help.c - `conure help [--man] [COMMAND [COMMAND]]`. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"

typedef struct settings {
    bool man;
} settings;

static const conure_command *find(const conure_command *const *list, const char *name)
{
    for (; list && *list; list++)
        if (strcmp((*list)->name, name) == 0)
            return *list;
    return NULL;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    const conure_command *const *list = conure_commands;
    const conure_command *command = NULL;
    char full_name[64] = "conure";
    conure_buffer text = {0};
    int status = CONURE_EXIT_GOOD;
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(full_name);
        command = find(list, arguments[i]);
        if (!command) {
            conure_say(CONURE_SAY_ERROR, "no command '%s %s'; 'conure help' lists them", full_name,
                       arguments[i]);
            return CONURE_EXIT_USAGE;
        }
        snprintf(full_name + used, sizeof full_name - used, " %s", command->name);
        list = command->children;
    }
    if (s->man)
        conure_manual(&text, command, full_name);
    else if (command)
        conure_help_command(&text, command, full_name);
    else
        conure_help_program(&text);
    if (text.failed) {
        conure_say(CONURE_SAY_ERROR, "out of memory");
        status = CONURE_EXIT_CANNOT;
    } else {
        fwrite(text.data, 1, text.bytes, stdout);
    }
    conure_buffer_free(&text);
    return status;
}

static const conure_option options[] = {
    {.kind = CONURE_OPTION_FLAG, .name = "man", .help = "print the manual page's source (man macros)",
     .offset = offsetof(settings, man)},
    {0},
};

static const conure_example examples[] = {
    {"conure help transcribe", "what conure transcribe can do"},
    {"conure help --man bench | man -l -", "read a manual page that is not installed"},
    {NULL, NULL},
};

const conure_command conure_command_help = {
    .name = "help",
    .summary = "Print help or a manual page",
    .arguments = "[--man] [COMMAND [COMMAND]]",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_COMMAND,
    .max_arguments = 2,
    .settings_bytes = sizeof(settings),
    .run = run,
};

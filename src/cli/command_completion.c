/* command_completion.c - `conure completion SHELL`. */
#include <stdio.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"

static int run(const void *settings, int n, char *const *arguments)
{
    conure_buffer text = {0};
    int status = CONURE_EXIT_GOOD;
    (void)settings;
    (void)n;
    if (!conure_completion(&text, arguments[0])) {
        conure_say(CONURE_SAY_ERROR, "no completion for the shell '%s', only for bash, zsh and fish",
                   arguments[0]);
        status = CONURE_EXIT_USAGE;
    } else if (text.failed) {
        conure_say(CONURE_SAY_ERROR, "out of memory");
        status = CONURE_EXIT_CANNOT;
    } else {
        fwrite(text.data, 1, text.bytes, stdout);
    }
    conure_buffer_free(&text);
    return status;
}

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static const conure_example examples[] = {
    {"eval \"$(conure completion bash)\"", "complete in this shell"},
    {"conure completion fish > ~/.config/fish/completions/conure.fish", "complete in fish, for good"},
    {NULL, NULL},
};

const conure_command conure_command_completion = {
    .name = "completion",
    .summary = "Print a script that makes a shell complete conure's words",
    .arguments = "bash|zsh|fish",
    .examples = examples,
    .words = shells,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};

/* command_candidate.c - `conure candidate`: an engine of this build behind the pipe protocol. */
#include <stdio.h>

#include "cli/clearance.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "clearance/serve.h"

typedef struct settings {
    const char *model, *engine;
    uint64_t n_threads;
} settings;

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_model *model = NULL;
    conure_error err = {""};
    conure_model_options options;
    (void)n;
    (void)arguments;
    conure_model_options_init(&options);
    options.log = conure_log_to_terminal;
    const conure_candidate_options engine = {.n_threads = (uint32_t)s->n_threads, .cancel = &conure_interrupted,
                                             .log = {conure_log_to_terminal, NULL}};
    conure_status status = conure_models_open(&model, s->model, &options, &err);
    if (status == CONURE_OK)
        status = conure_candidate_serve(stdin, stdout, s->engine ? s->engine : "cpu:f32", model, &engine, &err);
    conure_model_close(&model);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_clearance_fail(status, &err);
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint, as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine), .help = "what computes: NAME" CONURE_ENGINE_SETTINGS " (default: cpu:f32)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {0},
};
static const conure_example examples[] = {
    {"conure parity --reference reference.jsonl --candidate 'exec:ssh other conure candidate -m parakeet.conure'",
     "judge an engine on another machine"},
    {NULL, NULL},
};
const conure_command conure_command_candidate = {
    .name = "candidate",
    .summary = "Answer conure parity over a pipe: an engine of this build as somebody else's",
    .arguments = "[OPTION]...",
    .details = "Speaks the pipe protocol of docs/clearance.md on standard input and output until the input ends.",
    .options = options,
    .examples = examples,
    .settings_bytes = sizeof(settings),
    .run = run,
};

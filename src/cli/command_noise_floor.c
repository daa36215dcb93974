/* command_noise_floor.c - `conure noise-floor`: how far a precision is from double, and the tolerances that follow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/threads.h"
#include "clearance/noise_floor.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/terminal.h"

typedef struct settings {
    const char *model, *candidate, *out, *name;
    uint64_t n_chunks, seed, n_threads, factor;
} settings;

static void defaults(void *at)
{
    settings *s = at;
    s->n_chunks = 20;
    s->seed = 42;
    s->factor = 4;
    s->candidate = "cpu:f32";
    s->name = "noise-floor";
}

/* An engine, open. */
typedef struct running {
    const conure_engine *engine;
    void *self;
    conure_precision precision;
} running;

static conure_status open_engine(running *r, const settings *s, const char *words, const conure_contract *k, const conure_model *model,
                                 conure_error *err)
{
    conure_engine_spec spec;
    conure_status status = conure_engine_spec_parse(&spec, words, err);
    if (status == CONURE_OK)
        status = conure_engine_find(&r->engine, spec.engine, err);
    if (status != CONURE_OK)
        return status;
    const uint32_t processors = conure_processors(), n_threads = spec.n_threads ? spec.n_threads : (uint32_t)s->n_threads;
    r->precision = conure_engine_precision(r->engine, model, spec.precision);
    const conure_engine_options options = {
        .isa = spec.isa[0] ? spec.isa : NULL, .precision = r->precision,
        .n_threads = n_threads ? n_threads : processors < CONURE_THREADS_MAX ? processors : CONURE_THREADS_MAX,
        .mask = k->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO, .cancel = &conure_interrupted,
        .log = {conure_log_to_terminal, NULL}};
    return r->engine->open(&r->self, model, &options, err);
}

static void print(const conure_noise_report *r, const char *description)
{
    printf("%s against ref f64: %llu chunks, cache length %lld at the end, %s\n\n", description, (unsigned long long)r->n_chunks,
           (long long)r->length, r->flows ? "state flows" : "no state flows");
    printf("%-20s %10s %10s %12s %16s\n", "tensor", "max", "mean", "max relative", "cosine");
    for (int i = 0; i < CONURE_NOISE_TENSORS; i++) {
        const conure_noise *n = &r->tensors[i];
        printf("%-20s %10.3g %10.3g %12.3g %16.12f\n", conure_noise_name((conure_noise_tensor)i), n->max, conure_noise_mean(n), n->relative_max,
               conure_noise_cosine(n));
    }
    const double steps = (double)r->n_chunks + 1;
    printf("\n%.3g ms a step, ref %.3g ms\n", 1e3 * r->candidate_s / steps, 1e3 * r->reference_s / steps);
}

static conure_status write_file(const settings *s, const conure_noise_report *r, conure_precision precision, conure_error *err)
{
    char *text, how[64];
    conure_writer *writer;
    snprintf(how, sizeof how, "made-up features, seed %llu", (unsigned long long)s->seed);
    conure_status status = conure_noise_floor_dump(r, s->name, conure_precision_name(precision), (double)s->factor, how, &text, err);
    if (status != CONURE_OK)
        return status;
    status = conure_writer_open(&writer, s->out, err);
    if (status == CONURE_OK) {
        (void)conure_writer_write(writer, text, strlen(text), err); /* commit tells */
        status = conure_writer_commit(&writer, err);
    }
    free(text);
    return status;
}

static conure_status measure(const settings *s, const char *contract, conure_error *err)
{
    conure_contract k;
    conure_model *model = NULL;
    conure_model_options options;
    running ref = {0}, candidate = {0};
    char words[] = "measuring";
    conure_noise_report report;
    const conure_noise_options o = {.n_chunks = s->n_chunks, .seed = s->seed, .progress = conure_progress_fraction, .progress_user = words};
    conure_model_options_init(&options);
    options.log = conure_log_to_terminal;
    conure_status status = conure_contract_read(&k, contract, NULL, err);
    if (status == CONURE_OK)
        status = conure_models_open(&model, s->model, &options, err);
    if (status == CONURE_OK)
        status = conure_contract_matches(&k, model, err);
    if (status == CONURE_OK)
        status = open_engine(&candidate, s, s->candidate, &k, model, err);
    if (status == CONURE_OK)
        status = open_engine(&ref, s, "ref:f64", &k, model, err);
    if (status == CONURE_OK)
        status = conure_noise_floor_run(&report, &k, ref.engine, ref.self, candidate.engine, candidate.self, &o, err);
    conure_progress_clear();
    if (status == CONURE_OK && s->out)
        status = write_file(s, &report, candidate.precision, err);
    if (status == CONURE_OK)
        print(&report, candidate.engine->describe(candidate.self));
    if (ref.self)
        ref.engine->close(&ref.self);
    if (candidate.self)
        candidate.engine->close(&candidate.self);
    conure_model_close(&model);
    return status;
}

static int run(const void *at, int n, char *const *arguments)
{
    const settings *s = at;
    conure_error err = {""};
    (void)n;
    if (strspn(s->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(s->name) || !*s->name ||
        strlen(s->name) > 63) {
        conure_say(CONURE_SAY_ERROR, "--name %s: 1 to 63 letters, digits, '.', '_' and '-'", s->name);
        return CONURE_EXIT_USAGE;
    }
    const conure_status status = measure(s, arguments[0], &err);
    conure_progress_clear();
    if (status == CONURE_OK)
        return CONURE_EXIT_GOOD;
    if (status == CONURE_CANCELLED) {
        conure_say(CONURE_SAY_PLAIN, "conure: interrupted");
        return CONURE_EXIT_INTERRUPTED;
    }
    conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : conure_status_text(status));
    return CONURE_EXIT_USAGE;
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the contract's checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "candidate", .value = "SPEC", AT(candidate),
     .help = "whose noise: NAME[:PRECISION][@threads=N,isa=NAME] (default: cpu:f32)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE,
     .help = "write the tolerances that follow"},
    {.kind = CONURE_OPTION_TEXT, .name = "name", .value = "NAME", AT(name), .help = "what they are called in it (default: noise-floor)"},
    {.kind = CONURE_OPTION_COUNT, .name = "factor", .value = "N", .min = 1, .max = 1000, AT(factor),
     .help = "a tolerance is this many times the noise (default: 4)"},
    {.kind = CONURE_OPTION_COUNT, .name = "chunks", .value = "N", .min = 1, .max = 1000000, AT(n_chunks), .help = "steps (default: 20)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", AT(seed), .help = "of the made-up features (default: 42)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads of both engines (default: the processors this process may use)"},
    {0},
};
static const conure_example examples[] = {
    {"conure noise-floor encoder.contract.json -m parakeet.conure -o tolerances/parakeet-f32.json", "tolerances for float32 on this checkpoint"},
    {NULL, NULL},
};
const conure_command conure_command_noise_floor = {
    .name = "noise-floor",
    .summary = "Measure how far a precision is from double, and derive tolerances",
    .arguments = "[OPTION]... CONTRACT",
    .details = "The candidate and the engine ref, in double, take the same steps of the contract on made-up features, each with its own caches. "
               "docs/clearance.md explains the file.\n\nExit status: 0 measured; 2 it could not be.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 1,
    .max_arguments = 1,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

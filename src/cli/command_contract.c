/* command_contract.c - `conure contract derive|check|show`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "cli/clearance.h"
#include "cli/command.h"
#include "cli/contract_print.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "model/graphs.h"
#include "model/random.h"

/* 0: kept, 1: not kept or not valid, 2: could not be judged.  What could not run must never look like a verdict. */
/* A file that breaks the rules is an answer; anything else is none. */
static int fail(conure_status status, const conure_error *err)
{
    return status == CONURE_BAD_FILE ? conure_command_fail(status, err) : conure_clearance_fail(status, err);
}

/* ---- derive ----------------------------------------------------------------------------------- */

static const char *const schedules[] = {"nemo", "export", NULL};
static const char *const keeps[] = {"clamped", "nemo", NULL};
static const char *const masks[] = {"default", "nemo", "exact", NULL};
static const char *const times[] = {"nemo", "aligned", NULL};
static const char *const layouts[] = {"batch-first", "layer-first", NULL};
static const char *const sides[] = {"left", "right", NULL};
static const char *const precisions[] = {"f32", "tf32", "f16", "bf16", "int8", NULL};
static const char *const determinisms[] = {"bitwise", "unspecified", NULL};

typedef struct derive_settings {
    const char *model, *preset, *out, *profiles, *file;
    uint64_t chunk, shift, left_chunks, cache_rows, batch_min, batch_max;
    int schedule, keep, mask, time, layout, side, precision, determinism;
    bool any_weights;
} derive_settings;

static void derive_defaults(void *settings)
{
    derive_settings *s = settings;
    s->batch_min = s->batch_max = 1;
}

static conure_contract_options options_of(const derive_settings *s, const conure_config *config)
{
    return (conure_contract_options){
        .streaming = {.chunk = (uint32_t)s->chunk, .shift = (uint32_t)(s->shift ? s->shift : s->chunk),
                      .left_chunks = (uint32_t)s->left_chunks, .cache_rows = (uint32_t)s->cache_rows,
                      .export_graph = s->schedule == 1},
        .profiles = s->profiles, .b_min = (uint32_t)s->batch_min, .b_max = (uint32_t)s->batch_max,
        .keep_negative = s->keep == 1, .time_cache_aligned = s->time == 1,
        .mask_exact = s->mask ? s->mask == 2 : config->mask == CONURE_MASK_EXACT,
        .layer_first = s->layout == 1, .pad_right = s->side == 1, .unrepeatable = s->determinism == 1,
        .precision = precisions[s->precision],
    };
}

static conure_status derive(const derive_settings *s, conure_contract *k, conure_error *err)
{
    conure_config config;
    conure_model *model = NULL;
    conure_contract_options options;
    conure_status status;
    if (s->preset && s->model)
        return conure_fail(err, CONURE_BAD_ARG, "conure contract derive: --model and --preset exclude each other");
    if (s->preset) {
        status = conure_config_preset(&config, s->preset, err);
        if (status != CONURE_OK)
            return status;
        options = options_of(s, &config);
        return conure_contract_derive(k, &config, s->preset, &options, err);
    }
    status = conure_models_load(&model, s->model, err);
    if (status == CONURE_OK)
        status = conure_model_need_tensors(model, "contract derive", err);
    if (status == CONURE_OK) {
        options = options_of(s, &model->config);
        status = s->any_weights ? conure_contract_derive(k, &model->config, model->name, &options, err)
                                : conure_contract_derive_model(k, model, &options, err);
    }
    conure_model_close(&model);
    return status;
}

static int run_derive(const void *settings, int n, char *const *arguments)
{
    const derive_settings *s = settings;
    conure_contract k;
    conure_error err = {""};
    char *text = NULL;
    (void)n;
    (void)arguments;
    conure_status status = derive(s, &k, &err);
    if (status == CONURE_OK && s->file)
        status = conure_contract_add_file(&k, s->file, NULL, &err);
    if (status == CONURE_OK)
        status = s->out ? conure_contract_write(&k, s->out, &err) : conure_contract_dump(&k, &text, &err);
    conure_progress_clear();
    if (status != CONURE_OK) {
        (void)fail(status, &err);
        return status == CONURE_CANCELLED ? CONURE_EXIT_INTERRUPTED : CONURE_EXIT_USAGE;
    }
    if (text)
        fputs(text, stdout);
    else if (!conure_contract_state_flows(&k))
        conure_say(CONURE_SAY_WARNING, "%s: with these profiles no row is ever kept: no state flows, and a clearance on it can only say "
                   "\"not proven\"", s->out);
    free(text);
    return CONURE_EXIT_GOOD;
}

/* ---- check ------------------------------------------------------------------------------------ */

typedef struct check_settings {
    const char *model, *engine;
    uint64_t n_threads, n_steps, seed;
    bool json;
} check_settings;

static void check_defaults(void *settings)
{
    check_settings *s = settings;
    s->n_steps = 4;
    s->seed = 42;
}

typedef struct running {
    conure_model *model;
    const conure_engine *engine;
    void *self;
} running;

static bool precision_is(const conure_contract *k, conure_precision precision)
{
    char name[32];
    /* f64 turns on none of the switches either. */
    const char *asked = conure_precision_name(precision == CONURE_PRECISION_F64 ? CONURE_PRECISION_F32 : precision);
    return strcmp(conure_contract_precision(k, name), asked) == 0;
}

/* The engine as the contract wants it: its mask, and its precision unless the spec names one. */
static conure_status open_engine(const check_settings *s, const conure_contract *k, running *r, conure_error *err)
{
    conure_engine_spec spec;
    char wanted[32], words[64];
    conure_status status = conure_engine_spec_parse(&spec, s->engine ? s->engine : "cpu", err);
    if (status != CONURE_OK)
        return status;
    status = conure_engine_find(&r->engine, spec.engine, err);
    if (status != CONURE_OK)
        return status;
    if (r->engine->precision && !spec.precision)
        spec.precision = r->engine->precision;
    if (!spec.precision) {
        conure_engine_spec asked;
        snprintf(words, sizeof words, "cpu:%s", conure_contract_precision(k, wanted));
        if (conure_engine_spec_parse(&asked, words, NULL) != CONURE_OK)
            return conure_fail(err, CONURE_BACKEND, "the contract is for precision %s, which no engine of this build has: name one with "
                               "--engine", wanted);
        spec.precision = asked.precision;
    }
    status = conure_models_load(&r->model, s->model, err);
    if (status != CONURE_OK)
        return status;
    conure_engine_options options = conure_engine_spec_options(&spec, (uint32_t)s->n_threads);
    options.mask = k->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    options.cancel = &conure_interrupted;
    options.log = (conure_log){conure_log_to_terminal, NULL};
    status = conure_contract_matches(k, r->model, err);
    if (status == CONURE_OK && !precision_is(k, spec.precision))
        status = conure_fail(err, CONURE_BAD_FILE, "the contract is for precision %s, and the engine runs at %s: derive one for it with "
                             "--precision %s", conure_contract_precision(k, wanted), conure_precision_name(spec.precision),
                             conure_precision_name(spec.precision));
    if (status == CONURE_OK)
        status = conure_engine_open(&r->self, r->engine, r->model, &options, err);
    return status;
}

static int check_running(const check_settings *s, const conure_contract *k, const char *path, const char *sha256)
{
    running r = {0};
    conure_error err = {""};
    char words[] = "checking";
    conure_check_report *report = calloc(1, sizeof *report);
    const conure_check_options options = {.n_steps = (uint32_t)s->n_steps, .seed = s->seed, .cancel = &conure_interrupted,
                                          .progress = conure_progress_fraction, .progress_user = words};
    conure_status status = report ? open_engine(s, k, &r, &err) : conure_fail_memory(&err, "a report", sizeof *report);
    int code;
    conure_progress_clear();
    if (status == CONURE_OK)
        status = conure_contract_check_engine(k, r.engine, r.self, &options, report, &err);
    conure_progress_clear();
    if (status != CONURE_OK)
        code = fail(status, &err);
    else if (!conure_contract_print_report(k, path, sha256, r.engine->describe(r.self), report, s->json))
        code = fail(CONURE_NO_MEMORY, &err);
    else
        code = report->n_violated ? CONURE_EXIT_SOME : CONURE_EXIT_GOOD;
    if (r.self)
        r.engine->close(&r.self);
    conure_model_close(&r.model);
    free(report);
    return code;
}

static int run_check(const void *settings, int n, char *const *arguments)
{
    const check_settings *s = settings;
    conure_contract k;
    conure_error err = {""};
    char sha256[65];
    (void)n;
    const conure_status status = conure_contract_read(&k, arguments[0], sha256, &err);
    if (status != CONURE_OK)
        return fail(status, &err);
    if (s->model || s->engine)
        return check_running(s, &k, arguments[0], sha256);
    if (!conure_contract_print_valid(&k, arguments[0], sha256, s->json))
        return fail(CONURE_NO_MEMORY, &err);
    return CONURE_EXIT_GOOD;
}

/* ---- show ------------------------------------------------------------------------------------- */

typedef struct show_settings {
    bool json, schema;
    uint64_t n_steps;
} show_settings;

static void show_defaults(void *settings)
{
    ((show_settings *)settings)->n_steps = 4;
}

static int run_show(const void *settings, int n, char *const *arguments)
{
    const show_settings *s = settings;
    conure_contract k;
    conure_error err = {""};
    char sha256[65];
    if (s->schema) {
        size_t bytes;
        const char *text = conure_contract_schema(&bytes);
        fwrite(text, 1, bytes, stdout);
        return CONURE_EXIT_GOOD;
    }
    if (n == 0) {
        conure_say(CONURE_SAY_ERROR, "conure contract show: which? a FILE or --schema is needed");
        return CONURE_EXIT_USAGE;
    }
    const conure_status status = conure_contract_read(&k, arguments[0], sha256, &err);
    if (status != CONURE_OK)
        return fail(status, &err);
    if (!conure_contract_print(&k, sha256, (uint32_t)s->n_steps, s->json))
        return fail(CONURE_NO_MEMORY, &err);
    return CONURE_EXIT_GOOD;
}

/* ---- tables ----------------------------------------------------------------------------------- */

#define AT(type, member) .offset = offsetof(type, member)
#define CHOICE(text, member_, names, what)                                                                     \
    {.kind = CONURE_OPTION_CHOICE, .name = text, .value = "WORD", AT(derive_settings, member_), .choices = names, .help = what}
#define COUNT(text, member_, lo, hi, what)                                                                     \
    {.kind = CONURE_OPTION_COUNT, .name = text, .value = "N", AT(derive_settings, member_), .min = lo, .max = hi, .help = what}
#define EXIT_STATUS                                                                                            \
    "\n\nExit status: 0 it holds; 1 it does not hold, or the contract is not valid; 2 it could not be judged."

static const conure_option derive_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(derive_settings, model),
     .complete = CONURE_COMPLETE_FILE, .help = "the checkpoint, as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "preset", .value = "NAME", AT(derive_settings, preset),
     .help = "the configuration of parakeet-tdt-0.6b-v3 or mini, whatever the weights, instead of a checkpoint"},
    {.kind = CONURE_OPTION_FLAG, .name = "any-weights", AT(derive_settings, any_weights),
     .help = "hold for any weights of the checkpoint's configuration: do not name their hash"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(derive_settings, out),
     .complete = CONURE_COMPLETE_FILE, .help = "the file to write (default: standard output)"},
    COUNT("chunk", chunk, 1, 65535, "encoder frames that a step sees, look-ahead included (default: from the checkpoint's attention context, as NeMo "
          "computes it)"),
    COUNT("shift", shift, 1, 65535, "of these, frames that it gives (default: all)"),
    COUNT("left-chunks", left_chunks, 1, 65535, "cache this many chunks"),
    COUNT("cache", cache_rows, 1, 1 << 20, "rows of the attention cache, whatever NeMo computes"),
    CHOICE("schedule", schedule, schedules, "nemo: the first step is another; export: all steps alike, as through an exported graph (default: nemo)"),
    {.kind = CONURE_OPTION_TEXT, .name = "profiles", .value = "LIST", AT(derive_settings, profiles),
     .help = "mel frames of slices, [NAME=]T or [NAME=]T..T with commas between; first and later are of the first step and of later ones, "
             "any other name of all (default: what the schedule feeds)"},
    COUNT("batch-min", batch_min, 1, 4096, "smallest batch of the profiles (default: 1)"),
    COUNT("batch-max", batch_max, 1, 4096, "largest batch of the profiles (default: 1)"),
    CHOICE("negative-keep", keep, keeps, "what a step that would keep a negative number of rows means: clamped to 0, or as NeMo does it, a "
           "violation (default: clamped)"),
    CHOICE("mask", mask, masks, "masked scores: nemo -10000, exact -infinity, default what the checkpoint says"),
    CHOICE("time-cache", time, times, "the convolution's cache: nemo, or aligned with the next step (default: nemo)"),
    CHOICE("layout", layout, layouts, "of the caches: batch-first as NeMo's graph has it, or layer-first (default: batch-first)"),
    CHOICE("pad-side", side, sides, "where a short cache is filled up: left, or right, where no row is ever kept (default: left)"),
    CHOICE("precision", precision, precisions, "f32, tf32, f16, bf16 or int8 (default: f32)"),
    CHOICE("determinism", determinism, determinisms, "bitwise: the same step gives the same bits; or unspecified (default: bitwise)"),
    {.kind = CONURE_OPTION_TEXT, .name = "file", .value = "FILE", AT(derive_settings, file), .complete = CONURE_COMPLETE_FILE,
     .help = "name this file (a graph, a plan) by its hash"},
    {0},
};
static const conure_example derive_examples[] = {
    {"conure contract derive -m parakeet.conure --cache 256 --chunk 6 --shift 3 -o encoder.contract.json",
     "a contract for these weights, chunks of 6 frames of which 3 are look-ahead"},
    {"conure contract derive --preset parakeet-tdt-0.6b-v3 --cache 256 --schedule export --profiles first=592,later=584,unified=584..592",
     "the profiles of a published export, on standard output"},
    {NULL, NULL},
};
static const conure_command derive_command = {
    .name = "derive",
    .summary = "Write what a checkpoint and a streaming configuration demand of an engine",
    .arguments = "[OPTION]...",
    .details = "The contract is JSON: tensors with their shapes, cache rules, profiles, assertions, hashes. docs/clearance.md explains it; "
               "conure contract show prints it as a table.",
    .options = derive_options,
    .examples = derive_examples,
    .settings_bytes = sizeof(derive_settings),
    .defaults = derive_defaults,
    .run = run_derive,
};

static const conure_option check_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(check_settings, model),
     .complete = CONURE_COMPLETE_FILE, .help = "run this checkpoint (with --engine alone: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(check_settings, engine),
     .help = "on this engine: NAME" CONURE_ENGINE_SETTINGS " (default: cpu at the contract's precision)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(check_settings, n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_COUNT, .name = "steps", .value = "N", .min = 1, .max = 10000, AT(check_settings, n_steps),
     .help = "steps on each profile, made four times (default: 4)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", AT(check_settings, seed), .help = "of the made-up features (default: 42)"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(check_settings, json), .help = "print JSON"},
    {0},
};
static const conure_example check_examples[] = {
    {"conure contract check encoder.contract.json", "is the file a valid contract?"},
    {"conure contract check encoder.contract.json -m parakeet.conure --engine cpu:int8@threads=2", "does this engine keep it?"},
    {NULL, NULL},
};
static const conure_command check_command = {
    .name = "check",
    .summary = "Validate a contract, and hold a running engine to it",
    .arguments = "[OPTION]... FILE",
    .details = "FILE is validated against the schema that conure contract show --schema prints, and against itself. With --model or --engine the "
               "checkpoint then runs a few steps on every profile: shapes, lengths step by step, finite values, the same bits again, and a state "
               "that is taken out and put back." EXIT_STATUS,
    .options = check_options,
    .examples = check_examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 1,
    .max_arguments = 1,
    .settings_bytes = sizeof(check_settings),
    .defaults = check_defaults,
    .run = run_check,
};

static const conure_option show_options[] = {
    {.kind = CONURE_OPTION_COUNT, .name = "steps", .value = "N", .min = 1, .max = 64, AT(show_settings, n_steps),
     .help = "lengths after how many steps (default: 4)"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(show_settings, json), .help = "print JSON: the contract, and what follows from it"},
    {.kind = CONURE_OPTION_FLAG, .name = "schema", AT(show_settings, schema), .help = "print the JSON Schema of contracts instead"},
    {0},
};
static const conure_example show_examples[] = {
    {"conure contract show contracts/encoder_streaming.contract.json", "shapes, rules, and the lengths that they predict"},
    {NULL, NULL},
};
static const conure_command show_command = {
    .name = "show",
    .summary = "Print a contract, and the lengths that it predicts",
    .arguments = "[OPTION]... FILE",
    .options = show_options,
    .examples = show_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(show_settings),
    .defaults = show_defaults,
    .run = run_show,
};

static const conure_command *const children[] = {&derive_command, &check_command, &show_command, NULL};

const conure_command conure_command_contract = {
    .name = "contract",
    .summary = "Derive, check or print what an engine must do with a step of streaming",
    .arguments = "COMMAND",
    .children = children,
};

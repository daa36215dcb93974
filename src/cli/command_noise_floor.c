/* command_noise_floor.c - `conure noise-floor`: how far a precision is from double, and the tolerances that follow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/threads.h"
#include "clearance/noise_floor.h"
#include "cli/clearance.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "model/load.h"

enum { CHUNKS_MAX = 1000000 };

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
    r->precision = conure_engine_precision(r->engine, model, spec.precision);
    conure_engine_options options = conure_engine_spec_options(&spec, (uint32_t)s->n_threads);
    options.precision = r->precision;
    options.mask = k->mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO;
    options.cancel = &conure_interrupted;
    options.log = (conure_log){conure_log_to_terminal, NULL};
    return conure_engine_open(&r->self, r->engine, model, &options, err);
}

static void print(const conure_noise_report *r, const char *description, const char *how)
{
    printf("%s against ref f64: %llu chunks, cache length %lld at the end, %s\n%s\n\n", description, (unsigned long long)r->n_chunks,
           (long long)r->length, r->flows ? "state flows" : "no state flows", how);
    printf("%-20s %10s %10s %10s %12s %16s\n", "tensor", "max", "p95", "mean", "max relative", "cosine");
    for (int i = 0; i < CONURE_NOISE_TENSORS; i++) {
        const conure_noise *n = &r->tensors[i];
        printf("%-20s %10.3g %10.3g %10.3g %12.3g %16.12f\n", conure_noise_name((conure_noise_tensor)i), n->max,
               conure_errors_percentile(&n->errors, 0.95), conure_noise_mean(n), n->relative_max, conure_noise_cosine(n));
    }
    const double steps = (double)r->n_chunks + 1;
    printf("\n%.3g ms a step, ref %.3g ms\n", 1e3 * r->candidate_s / steps, 1e3 * r->reference_s / steps);
}

/* What is measured, and on what. */
typedef struct measured {
    conure_contract contract;
    conure_model *model;
    running ref, candidate;
    float *mel;
    conure_noise_report report;
    char how[256];
    char model_sha256[65]; /* for the file */
} measured;

static conure_status describe(measured *m, const settings *s, int n_files, const char *sha256, conure_error *err)
{
    const conure_contract *k = &m->contract;
    char audio[64] = "";
    if (n_files > 0)
        snprintf(audio, sizeof audio, " and %d audio file%s (features %.12s)", n_files, n_files > 1 ? "s" : "", sha256);
    const conure_status status = conure_model_hash(m->model, m->model_sha256, err);
    if (status == CONURE_OK)
        snprintf(m->how, sizeof m->how, "made-up features (seed %llu)%s, model %.40s (%.12s), %u mel frames a step, %u cached rows",
                 (unsigned long long)s->seed, audio, k->model, m->model_sha256, k->profiles[k->n_profiles - 1].t_opt, k->streaming.cache_rows);
    return status;
}

static conure_status write_file(const settings *s, const conure_noise_report *r, conure_precision precision, const char *model_sha256, const char *how,
                                conure_error *err)
{
    char *text;
    conure_status status = conure_noise_floor_dump(r, s->name, conure_precision_name(precision), (double)s->factor, model_sha256, how, &text, err);
    if (status != CONURE_OK)
        return status;
    status = conure_file_write(s->out, text, strlen(text), err);
    free(text);
    return status;
}

/* Made-up features, then those of audio, all of it. */
static conure_status measure_both(measured *m, const settings *s, char *const *files, int n_files, conure_error *err)
{
    char words[] = "measuring", sha256[65] = "";
    conure_noise_options o = {.n_chunks = s->n_chunks, .seed = s->seed, .progress = conure_progress_fraction, .progress_user = words};
    conure_feed feed = {.n_chunks = CHUNKS_MAX};
    conure_status status = conure_noise_floor_run(&m->report, &m->contract, m->ref.engine, m->ref.self, m->candidate.engine, m->candidate.self, &o,
                                                  err);
    if (status == CONURE_OK && n_files > 0) {
        status = conure_clearance_mel(m->model, files, n_files, &m->mel, &feed.n_mel, sha256, err);
        feed.mel = m->mel;
        if (status == CONURE_OK)
            status = conure_feed_check(&feed, &m->contract, err);
        o.n_chunks = feed.n_chunks;
        o.mel = feed.mel;
        o.n_mel = feed.n_mel;
        o.more = true;
        if (status == CONURE_OK)
            status = conure_noise_floor_run(&m->report, &m->contract, m->ref.engine, m->ref.self, m->candidate.engine, m->candidate.self, &o, err);
    }
    return status == CONURE_OK ? describe(m, s, n_files, sha256, err) : status;
}

static conure_status measure(measured *m, const settings *s, const char *contract, char *const *files, int n_files, conure_error *err)
{
    conure_model_options options;
    conure_model_options_init(&options);
    options.log = conure_log_to_terminal;
    conure_status status = conure_contract_read(&m->contract, contract, NULL, err);
    if (status == CONURE_OK)
        status = conure_models_open(&m->model, s->model, &options, err);
    if (status == CONURE_OK)
        status = conure_contract_matches(&m->contract, m->model, err);
    if (status == CONURE_OK)
        status = open_engine(&m->candidate, s, s->candidate, &m->contract, m->model, err);
    if (status == CONURE_OK)
        status = open_engine(&m->ref, s, "ref:f64", &m->contract, m->model, err);
    if (status == CONURE_OK)
        status = measure_both(m, s, files, n_files, err);
    conure_progress_clear();
    if (status == CONURE_OK && s->out)
        status = write_file(s, &m->report, m->candidate.precision, m->model_sha256, m->how, err);
    if (status == CONURE_OK)
        print(&m->report, m->candidate.engine->describe(m->candidate.self), m->how);
    return status;
}

static void close_all(measured *m)
{
    if (m->ref.self)
        m->ref.engine->close(&m->ref.self);
    if (m->candidate.self)
        m->candidate.engine->close(&m->candidate.self);
    conure_model_close(&m->model);
    free(m->mel);
    free(m);
}

static int run(const void *at, int n, char *const *arguments)
{
    const settings *s = at;
    conure_error err = {""};
    if (strspn(s->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != strlen(s->name) || !*s->name ||
        strlen(s->name) > 63) {
        conure_say(CONURE_SAY_ERROR, "--name %s: 1 to 63 letters, digits, '.', '_' and '-'", s->name);
        return CONURE_EXIT_USAGE;
    }
    measured *m = calloc(1, sizeof *m);
    const conure_status status = m ? measure(m, s, arguments[0], arguments + 1, n - 1, &err)
                                   : conure_fail_memory(&err, "statistics", sizeof *m);
    if (m)
        close_all(m);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_clearance_fail(status, &err);
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the contract's checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "candidate", .value = "SPEC", AT(candidate),
     .help = "whose noise: NAME" CONURE_ENGINE_SETTINGS " (default: cpu:f32)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE,
     .help = "write the tolerances that follow"},
    {.kind = CONURE_OPTION_TEXT, .name = "name", .value = "NAME", AT(name), .help = "what they are called in it (default: noise-floor)"},
    {.kind = CONURE_OPTION_COUNT, .name = "factor", .value = "N", .min = 1, .max = 1000, AT(factor),
     .help = "a tolerance is this many times the noise (default: 4)"},
    {.kind = CONURE_OPTION_COUNT, .name = "chunks", .value = "N", .min = 1, .max = CHUNKS_MAX, AT(n_chunks),
     .help = "steps on made-up features (default: 20)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", AT(seed), .help = "of the made-up features (default: 42)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads of both engines (default: the processors this process may use)"},
    {0},
};
static const conure_example examples[] = {
    {"conure noise-floor encoder.contract.json -m parakeet.conure -o tolerances/parakeet-f32.json", "tolerances for float32 on this checkpoint"},
    {"conure noise-floor encoder.contract.json --candidate cpu:int8 -o tolerances/int8.json *.flac", "on speech too"},
    {NULL, NULL},
};
const conure_command conure_command_noise_floor = {
    .name = "noise-floor",
    .summary = "Measure how far a precision is from double, and derive tolerances",
    .arguments = "[OPTION]... CONTRACT [AUDIO]...",
    .details = "The candidate and the engine ref, in double, take the same steps of the contract on made-up features, and then on those of AUDIO, "
               "each with its own caches. docs/clearance.md explains the file.\n\nExit status: 0 measured; 2 it could not be.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 1,
    .max_arguments = 100000,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

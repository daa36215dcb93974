/* command_diagnose.c - `conure diagnose`: where one chunk's errors are, what its outputs depend on, what becomes of an error. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/system.h"
#include "clearance/diagnose.h"
#include "clearance/probe.h"
#include "cli/command.h"
#include "cli/comparison.h"
#include "cli/terminal.h"

enum { SHOWN = 8 }; /* values in a line for people */
static const char *const modes[] = {"functional", "closed_loop", NULL};

typedef struct settings {
    conure_comparison_settings compared;
    const char *out, *plots;
    uint64_t chunk, n_after;
    double size;
    int mode;
    bool json;
} settings;

static void defaults(void *settings_)
{
    settings *s = settings_;
    conure_comparison_defaults(&s->compared);
    s->chunk = 10;
    s->n_after = 20;
    s->size = CONURE_DIAGNOSE_SIZE;
}

/* ---- for people ------------------------------------------------------------------------------- */

static void print_value(const json_t *value)
{
    if (json_is_number(value))
        printf(" %9.3g", json_number_value(value));
    else
        printf(" %9s", json_is_string(value) ? "inf" : "-");
}

/* A few values in full, of many the largest. */
static void print_axis(const char *name, const json_t *values)
{
    const size_t n = json_array_size(values);
    double largest = -1;
    size_t at = 0;
    printf("    %-9s", name);
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(values, i);
        const double x = json_is_string(value) ? INFINITY : json_is_number(value) ? json_number_value(value) : -1;
        if (n <= SHOWN)
            print_value(value);
        if (x > largest) {
            largest = x;
            at = i;
        }
    }
    if (n > SHOWN && largest > 0)
        printf(" largest of %zu at %zu: %.3g", n, at, largest);
    printf("%s\n", n > SHOWN && largest <= 0 ? largest < 0 ? " nothing there" : " all equal" : "");
}

static void print_errors(const json_t *errors)
{
    const char *tensor, *axis;
    json_t *one, *values;
    printf("\nerrors (largest, mean; then without masked places)\n");
    json_object_foreach((json_t *)(uintptr_t)errors, tensor, one)
    {
        const json_t *all = json_object_get(one, "all"), *valid = json_object_get(one, "valid");
        printf("  %-20s", tensor);
        print_value(json_object_get(all, "max"));
        print_value(json_object_get(all, "mean"));
        print_value(json_object_get(valid, "max"));
        print_value(json_object_get(valid, "mean"));
        printf("   %zu masked %ss\n", json_array_size(json_object_get(one, "masked")), json_string_value(json_object_get(one, "mask_axis")));
        json_object_foreach(json_object_get(all, "by"), axis, values)
            print_axis(axis, json_object_get(values, "max"));
    }
}

static void print_sensitivity(const json_t *sensitivity)
{
    static const char *const engines[] = {"candidate", "reference"};
    printf("\nsensitivity (an input changed by %g of its size; relative change of the outputs)\n  %-28s %9s %9s %9s\n",
           json_number_value(json_object_get(sensitivity, "size")), "", "encoder", "channel", "time");
    for (size_t e = 0; e < 2; e++) {
        const json_t *inputs = json_object_get(sensitivity, engines[e]);
        size_t i;
        json_t *input;
        json_array_foreach(inputs, i, input)
        {
            printf("  %-10s %-17s", engines[e], conure_probe_label((conure_probe)i));
            for (conure_measured m = 0; m < CONURE_MEASURED; m++)
                print_value(json_object_get(json_object_get(json_object_get(input, "outputs"), conure_measured_name(m)), "relative"));
            printf("\n");
        }
    }
}

/* Some of the chunks, evenly chosen, the last among them. */
static void print_series(const char *name, const json_t *values)
{
    const size_t n = json_array_size(values), step = n > SHOWN ? (n - 1 + SHOWN - 2) / (SHOWN - 1) : 1;
    if (n == 0)
        return;
    printf("  %-28s", name);
    for (size_t i = 0; i < n; i += step)
        print_value(json_array_get(values, i));
    printf("\n");
}

static void print_growth(const char *name, const json_t *followed)
{
    const json_t *growth = json_object_get(followed, "growth"), *interval = json_object_get(growth, "interval_95");
    if (json_is_object(growth))
        printf("  %s: x%.3g a chunk (95 %%: %.3g to %.3g)\n", name, json_number_value(json_object_get(growth, "factor")),
               json_number_value(json_array_get(interval, 0)), json_number_value(json_array_get(interval, 1)));
}

static void print_propagation(const json_t *p)
{
    const json_t *candidate = json_object_get(p, "candidate"), *reference = json_object_get(p, "reference");
    printf("\npropagation (encoder_output, largest difference; the state before the first chunk is changed by %g of its size)\n",
           json_number_value(json_object_get(p, "size")));
    print_series("chunk", json_object_get(p, "chunks"));
    print_series("candidate, changed", json_object_get(candidate, "encoder_output"));
    print_series("reference, changed", json_object_get(reference, "encoder_output"));
    print_series("candidate against reference", json_object_get(json_object_get(p, "error"), "encoder_output"));
    print_growth("candidate", candidate);
    print_growth("reference", reference);
}

static void print_diagnosis(const json_t *d)
{
    const json_t *length = json_object_get(d, "cache_length");
    printf("chunk %lld, %s\n", (long long)json_integer_value(json_object_get(d, "chunk")), json_string_value(json_object_get(d, "mode")));
    printf("candidate   %s\n", json_string_value(json_object_get(json_object_get(d, "candidate"), "what")));
    printf("reference   %s\n", json_string_value(json_object_get(json_object_get(d, "reference"), "what")));
    printf("cache       %lld of %lld rows before the step, %lld after it\n", (long long)json_integer_value(json_object_get(length, "in")),
           (long long)json_integer_value(json_object_get(length, "rows")), (long long)json_integer_value(json_object_get(length, "out")));
    if (json_integer_value(json_object_get(length, "in")) <= 0)
        printf("            no row is valid: the attention cache changes nothing, only cache_last_time is carried\n");
    print_errors(json_object_get(d, "errors"));
    print_sensitivity(json_object_get(d, "sensitivity"));
    print_propagation(json_object_get(d, "propagation"));
}

/* ---- plots ------------------------------------------------------------------------------------ */

static conure_status write_plot(const char *folder, const char *name, const conure_buffer *svg, conure_error *err)
{
    char file[64], path[4096];
    snprintf(file, sizeof file, "%s.svg", name);
    if (svg->failed)
        return conure_fail_memory(err, "a plot", svg->bytes);
    if (!conure_path_join(path, sizeof path, folder, file))
        return conure_fail(err, CONURE_BAD_ARG, "%.200s: the path is too long", folder);
    return conure_file_write(path, svg->data, svg->bytes, err);
}

static conure_status write_plots(const char *folder, const json_t *diagnosis, conure_error *err)
{
    conure_status status = CONURE_OK;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return conure_fail(err, CONURE_IO, "%s: %s", folder, strerror(errno));
    for (size_t i = 0; i < CONURE_DIAGNOSE_PLOTS && status == CONURE_OK; i++) {
        conure_buffer svg = {0};
        if (conure_diagnose_plot(&svg, diagnosis, i) || svg.failed)
            status = write_plot(folder, conure_diagnose_plot_name(i), &svg, err);
        conure_buffer_free(&svg);
    }
    return status;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static conure_status diagnose(const settings *s, conure_comparison *c, char *const *files, int n_files, json_t **diagnosis, conure_error *err)
{
    conure_clearance_progress progress = {.what = "diagnosis", .start_s = conure_now_s()};
    const conure_diagnose_options options = {.chunk = s->chunk, .n_after = s->n_after, .closed_loop = s->mode == 1, .size = s->size,
                                             .seed = s->compared.seed, .progress = conure_clearance_show, .progress_user = &progress};
    conure_status status = conure_comparison_begin(c, &s->compared, err);
    if (status == CONURE_OK)
        status = conure_comparison_open(c, s->chunk + s->n_after + 1, files, n_files, err);
    conure_progress_clear();
    if (status == CONURE_OK)
        status = conure_diagnose_run(diagnosis, c->source, c->candidate, c->reference, &options, err);
    conure_progress_clear();
    if (status == CONURE_OK)
        status = conure_clearance_write(*diagnosis, s->json, s->out, err);
    if (status == CONURE_OK && s->plots)
        status = write_plots(s->plots, *diagnosis, err);
    return status;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_comparison compared = {0};
    json_t *diagnosis = NULL;
    conure_error err = {""};
    if (!s->compared.candidate) {
        conure_say(CONURE_SAY_ERROR, "conure diagnose: which --candidate?");
        return CONURE_EXIT_USAGE;
    }
    const conure_status status = diagnose(s, &compared, arguments, n, &diagnosis, &err);
    if (status == CONURE_OK && !s->json)
        print_diagnosis(diagnosis);
    json_decref(diagnosis);
    conure_comparison_close(&compared);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_clearance_fail(status, &err);
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    CONURE_COMPARISON_OPTIONS(settings, compared),
    {.kind = CONURE_OPTION_COUNT, .name = "chunk", .value = "N", .max = 1000000, AT(chunk), .help = "which one; 0 is the first (default: 10)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mode", .value = "WORD", AT(mode), .choices = modes,
     .help = "functional: the chunk begins from the reference's state; closed_loop: from the candidate's own (default: functional)"},
    {.kind = CONURE_OPTION_COUNT, .name = "after", .value = "N", .max = 1000000, AT(n_after),
     .help = "chunks to follow a perturbation through; fewer where a file ends (default: 20)"},
    {.kind = CONURE_OPTION_REAL, .name = "size", .value = "X", AT(size),
     .help = "of a perturbation, as a share of what is perturbed (default: 0.001)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE,
     .help = "write the diagnosis as JSON"},
    {.kind = CONURE_OPTION_TEXT, .name = "plots", .value = "FOLDER", AT(plots), .complete = CONURE_COMPLETE_FOLDER,
     .help = "write plots as SVG files; the folder is made if it is not there"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print the diagnosis as JSON"},
    {0},
};
static const conure_example examples[] = {
    {"conure diagnose -m parakeet.conure --candidate cpu:int8 --contract encoder.contract.json --plots plots", "chunk 10 beside the float32 engine"},
    {"conure diagnose --candidate 'exec:python3 my_engine.py' --reference reference.jsonl --chunk 3", "from a file"},
    {NULL, NULL},
};
const conure_command conure_command_diagnose = {
    .name = "diagnose",
    .summary = "Show where an engine's errors are in one chunk, and what becomes of them",
    .arguments = "[OPTION]... [AUDIO]...",
    .details = "For one chunk: the error along every axis of encoder_output and the caches, with and without masked places; how much each output "
               "changes when an input is changed a little; and how a change of the state goes on through later chunks. In lockstep AUDIO gives the "
               "features instead of the seed. There is no verdict: conure parity gives one. docs/clearance.md describes the JSON.\n\nExit status: 0 "
               "diagnosed; 2 it could not be.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 100000,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

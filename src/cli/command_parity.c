/* command_parity.c - `conure parity`: a candidate against a reference. */
#include "cli/parity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "clearance/reference.h"
#include "model/load.h"

enum { FUNCTIONAL_CHUNKS = 50, CLOSED_LOOP_CHUNKS = 300, MODE_AUDIO = 2 };
static const char *const modes[] = {"functional", "closed_loop", "audio", NULL};

typedef conure_parity_settings settings;

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->seed = 42;
    s->timeout_s = 60;
}

typedef struct judging {
    const settings *s;
    conure_contract contract; /* in lockstep */
    conure_model *model;
    conure_candidate *reference, *candidate;
    conure_source *source;
    conure_feed feed;
    float *mel;
    conure_tolerance tolerance;
    char tolerance_sha256[65];
    conure_parity_report *report;
    FILE *series;
} judging;

/* ---- what is compared ------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_command(const char *spec)
{
    return strncmp(spec, "exec:", 5) == 0;
}

static conure_status open_model(judging *j, conure_error *err)
{
    conure_model_options options;
    conure_model_options_init(&options);
    options.log = conure_log_to_terminal;
    conure_progress("loading the model");
    return conure_models_open(&j->model, j->s->model, &options, err);
}

static conure_status open_candidate(judging *j, const char *spec, const conure_contract *contract, conure_candidate **out, conure_error *err)
{
    const conure_candidate_options options = {.n_threads = (uint32_t)j->s->n_threads, .timeout_s = j->s->timeout_s,
                                              .cancel = &conure_interrupted, .log = {conure_log_to_terminal, NULL}};
    conure_progress("opening %s", spec);
    return conure_candidate_open(out, spec, contract, j->model, &options, err);
}

static conure_status open_lockstep(judging *j, char *const *files, int n_files, conure_error *err)
{
    const settings *s = j->s;
    char sha256[65];
    if (!s->contract)
        return conure_fail(err, CONURE_BAD_ARG, "give a --reference, or a --contract for a reference engine beside the candidate");
    conure_status status = conure_contract_read(&j->contract, s->contract, NULL, err);
    j->feed = (conure_feed){.seed = s->seed, .n_frames = (uint32_t)s->n_frames,
                            .n_chunks = s->n_chunks ? s->n_chunks : s->mode ? CLOSED_LOOP_CHUNKS : FUNCTIONAL_CHUNKS};
    if (status == CONURE_OK)
        status = open_candidate(j, s->engine ? s->engine : "cpu:f32", &j->contract, &j->reference, err);
    if (status == CONURE_OK && n_files > 0) {
        status = conure_clearance_mel(j->model, files, n_files, &j->mel, &j->feed.n_mel, sha256, err);
        j->feed.mel = j->mel;
    }
    return status == CONURE_OK ? conure_source_live(&j->source, j->reference, &j->feed, &j->contract, err) : status;
}

static conure_status open_source(judging *j, char *const *files, int n_files, conure_error *err)
{
    const settings *s = j->s;
    if (!s->reference)
        return open_lockstep(j, files, n_files, err);
    if (n_files > 0)
        return conure_fail(err, CONURE_BAD_ARG, "a reference file has its own features: name no audio beside --reference");
    if (ends_with(s->reference, ".safetensors"))
        return conure_source_nemo(&j->source, s->reference, s->name, j->model, err);
    conure_status status = conure_reference_open(&j->source, s->reference, err);
    if (status != CONURE_OK || !j->model)
        return status;
    /* The contract may be for any weights: what ran is named beside it. */
    const char *ran = conure_reference_get_info(j->source)->model_sha256;
    char own[65];
    status = conure_model_hash(j->model, own, err);
    if (status == CONURE_OK && strcmp(ran, own) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s was made with the model %.16s..., and this is %.16s...: nothing can be compared", s->reference,
                           ran, own);
    return status;
}

/* ---- series ----------------------------------------------------------------------------------- */

static void print_number(FILE *file, double x)
{
    if (x < 0)
        fputc(',', file);
    else
        fprintf(file, ",%.9g", x);
}

static void add_to_series(void *user, const conure_parity_chunk *c)
{
    FILE *file = user;
    fprintf(file, "%llu", (unsigned long long)c->chunk);
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        print_number(file, c->max[m]);
    fprintf(file, ",%lld,%lld,%.6f\n", (long long)c->cache_length, (long long)c->reference_cache_length, c->seconds);
}

static conure_status open_series(judging *j, conure_error *err)
{
    if (!j->s->series)
        return CONURE_OK;
    j->series = fopen(j->s->series, "w");
    if (!j->series)
        return conure_fail(err, CONURE_IO, "%s: %s", j->s->series, strerror(errno));
    fputs("chunk,encoder_output_max,cache_last_channel_max,cache_last_time_max,cache_last_channel_len,reference_cache_last_channel_len,seconds\n",
          j->series);
    return CONURE_OK;
}

static conure_status close_series(judging *j, conure_error *err)
{
    const bool bad = j->series && (ferror(j->series) | (fclose(j->series) != 0));
    j->series = NULL;
    return bad ? conure_fail(err, CONURE_IO, "%s: could not be written", j->s->series) : CONURE_OK;
}

/* ---- what is said ----------------------------------------------------------------------------- */

static void print_tensor(const conure_parity_report *r, conure_measured m)
{
    const conure_parity_tensor *t = &r->tensors[m];
    printf("  %-24s", conure_measured_name(m));
    if (t->n_chunks == 0)
        printf("not compared\n");
    else
        printf("max %.3g, p99 %.3g, p95 %.3g, p50 %.3g in %llu chunks, %llu beyond their limits\n", t->errors.max,
               conure_errors_percentile(&t->errors, 0.99), conure_errors_percentile(&t->errors, 0.95),
               conure_errors_percentile(&t->errors, 0.50), (unsigned long long)t->n_chunks, (unsigned long long)t->n_bad);
}

static void print_report(const judging *j)
{
    const conure_parity_report *r = j->report;
    printf("%s\n", conure_verdict_name(r->verdict));
    for (uint32_t i = 0; i < r->n_reasons; i++)
        printf("  %s\n", r->reasons[i]);
    printf("candidate   %s\nreference   %s\n", conure_candidate_describe(j->candidate), j->source->what);
    printf("tolerances  %s, %s: %s\n", j->tolerance.file, j->tolerance.name, j->tolerance.why);
    printf("%s: %llu chunks", modes[j->s->mode], (unsigned long long)r->n_chunks);
    if (r->n_skipped)
        printf(", %llu without a stored state left out", (unsigned long long)r->n_skipped);
    printf("\n");
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        print_tensor(r, m);
    printf("  lengths                 %llu of %llu equal\n",
           (unsigned long long)(r->lengths[0].n + r->lengths[1].n - r->lengths[0].n_bad - r->lengths[1].n_bad),
           (unsigned long long)(r->lengths[0].n + r->lengths[1].n));
    printf("  contract                %llu of %llu steps keep it\n", (unsigned long long)(r->assertions.n_steps - r->assertions.n_bad_steps),
           (unsigned long long)r->assertions.n_steps);
    if (r->has_slope)
        printf("  drift of the maximum    %.3g +- %.2g a chunk behind chunk 0\n", r->slope, r->slope_half_width);
    if (r->probed)
        printf("  cache                   up to %lld rows; without them the output changes by %.3g\n", (long long)r->length_max, r->zeroed_change);
}

static conure_status write_summary(const settings *s, json_t *summary, conure_error *err)
{
    char *text = summary ? json_dumps(summary, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    conure_writer *writer = NULL;
    if (!text)
        return conure_fail_memory(err, "a summary", 8192);
    conure_status status = CONURE_OK;
    if (s->json)
        printf("%s\n", text);
    if (s->out) {
        status = conure_writer_open(&writer, s->out, err);
        if (status == CONURE_OK)
            status = conure_writer_write(writer, text, strlen(text), err);
        if (status == CONURE_OK)
            status = conure_writer_write(writer, "\n", 1, err);
        if (status == CONURE_OK)
            status = conure_writer_commit(&writer, err);
        conure_writer_abort(&writer);
    }
    free(text);
    return status;
}

static int exit_of(conure_verdict verdict)
{
    return verdict == CONURE_VERDICT_PASS ? CONURE_EXIT_GOOD : verdict == CONURE_VERDICT_NOT_JUDGED ? CONURE_EXIT_USAGE : CONURE_EXIT_SOME;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static conure_status judge_tensors(judging *j, char *const *files, int n_files, conure_error *err)
{
    const settings *s = j->s;
    char what[64];
    snprintf(what, sizeof what, "parity, %s", modes[s->mode]);
    conure_status status = open_source(j, files, n_files, err);
    if (status == CONURE_OK)
        status = open_candidate(j, s->candidate, j->source->contract, &j->candidate, err);
    if (status == CONURE_OK)
        status = conure_tolerance_read(&j->tolerance, s->tolerances, conure_contract_state_flows(j->source->contract),
                                       s->precision ? s->precision : conure_candidate_precision(j->candidate), j->tolerance_sha256, err);
    if (status == CONURE_OK)
        status = open_series(j, err);
    conure_progress_clear();
    if (status != CONURE_OK)
        return status;
    conure_clearance_progress progress = {.what = what, .start_s = conure_now_s()};
    const conure_parity_options options = {
        .mode = s->mode ? CONURE_PARITY_CLOSED_LOOP : CONURE_PARITY_FUNCTIONAL, .n_chunks = s->n_chunks, .tolerance = &j->tolerance,
        .progress = conure_clearance_show, .progress_user = &progress, .chunk = j->series ? add_to_series : NULL, .chunk_user = j->series};
    j->report = malloc(sizeof *j->report);
    if (!j->report)
        return conure_fail_memory(err, "a report", sizeof *j->report);
    return conure_parity_run(j->report, j->source, j->candidate, &options, err);
}

static int run_tensors(judging *j, char *const *files, int n_files)
{
    conure_error err = {""}, later = {""};
    conure_status status = judge_tensors(j, files, n_files, &err);
    conure_status written = close_series(j, &later);
    conure_progress_clear();
    if (j->report) { /* also what was found before it could not go on */
        json_t *summary = conure_parity_summary(j->report, j->source, j->candidate, &j->tolerance, j->tolerance_sha256,
                                                status == CONURE_OK ? NULL : err.text);
        if (written == CONURE_OK)
            written = write_summary(j->s, summary, &later);
        json_decref(summary);
        if (!j->s->json)
            print_report(j);
    }
    if (status != CONURE_OK)
        return conure_clearance_fail(status, &err);
    if (written != CONURE_OK)
        return conure_clearance_fail(written, &later);
    return exit_of(j->report->verdict);
}

static int run_audio(judging *j, char *const *files, int n_files)
{
    conure_error err = {""};
    conure_verdict verdict;
    json_t *summary;
    conure_status status = conure_parity_audio(j->s, j->model, files, n_files, &summary, &verdict, &err);
    conure_progress_clear();
    if (summary && status == CONURE_OK && !j->s->json) {
        const json_t *audio = json_object_get(summary, "audio");
        printf("%s\n%s%s%saudio: %lld clips, %.4f of %lld tokens agree, %lld clips are the same to the frame\n", conure_verdict_name(verdict),
               json_array_size(json_object_get(summary, "reasons")) ? "  " : "",
               json_array_size(json_object_get(summary, "reasons")) ? json_string_value(json_array_get(json_object_get(summary, "reasons"), 0)) : "",
               json_array_size(json_object_get(summary, "reasons")) ? "\n" : "", (long long)json_integer_value(json_object_get(audio, "clips")),
               json_real_value(json_object_get(audio, "token_agreement")),
               (long long)json_integer_value(json_object_get(audio, "reference_tokens")),
               (long long)json_integer_value(json_object_get(audio, "same_clips")));
    }
    if (summary) {
        conure_error later = {""};
        const conure_status written = write_summary(j->s, summary, &later);
        json_decref(summary);
        if (status == CONURE_OK && written != CONURE_OK)
            return conure_clearance_fail(written, &later);
    }
    return status == CONURE_OK ? exit_of(verdict) : conure_clearance_fail(status, &err);
}

static int run(const void *settings_, int n, char *const *arguments)
{
    judging j = {.s = settings_};
    conure_error err = {""};
    int code;
    if (!j.s->candidate) {
        conure_say(CONURE_SAY_ERROR, "conure parity: which --candidate?");
        return CONURE_EXIT_USAGE;
    }
    /* A command from a reference file needs no model of ours. */
    const bool modelless = is_command(j.s->candidate) && j.s->reference && !ends_with(j.s->reference, ".safetensors");
    const conure_status status = modelless ? CONURE_OK : open_model(&j, &err);
    if (status != CONURE_OK)
        code = conure_clearance_fail(status, &err);
    else
        code = j.s->mode == MODE_AUDIO ? run_audio(&j, arguments, n) : run_tensors(&j, arguments, n);
    conure_source_close(&j.source);
    conure_candidate_close(&j.candidate);
    conure_candidate_close(&j.reference);
    conure_model_close(&j.model);
    free(j.report);
    free(j.mel);
    return code;
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "candidate", .value = "SPEC", AT(candidate),
     .help = "what is judged: NAME[:PRECISION][@threads=N,isa=NAME], or exec:COMMAND, which speaks the pipe protocol of docs/clearance.md"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mode", .value = "WORD", AT(mode), .choices = modes,
     .help = "functional: every chunk gets the reference's state; closed_loop: the candidate's own; audio: transcripts of AUDIO (default: "
             "functional)"},
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint, as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "reference", .value = "FILE", AT(reference), .complete = CONURE_COMPLETE_FILE,
     .help = "a file of conure reference, or what NeMo stored (NAME.safetensors with NAME.json); without it a reference runs beside the candidate"},
    {.kind = CONURE_OPTION_TEXT, .name = "case", .value = "NAME", AT(name), .help = "of a file that NeMo stored: which case"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "in lockstep: what a step is"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine), .help = "in lockstep: the reference (default: cpu:f32)"},
    {.kind = CONURE_OPTION_COUNT, .name = "chunks", .value = "N", .min = 1, .max = 1000000, AT(n_chunks),
     .help = "chunks at most (default: all of a file; in lockstep 50, closed loop 300)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", .max = INT64_MAX, AT(seed), .help = "in lockstep: of made-up features (default: 42)"},
    {.kind = CONURE_OPTION_COUNT, .name = "frames", .value = "T", .min = 1, .max = 1 << 20, AT(n_frames),
     .help = "in lockstep: mel frames of every slice (default: the contract's first profile for the step)"},
    {.kind = CONURE_OPTION_TEXT, .name = "tolerances", .value = "FILE", AT(tolerances), .complete = CONURE_COMPLETE_FILE,
     .help = "how far apart is allowed (default: the table note-2026-01, which is part of the program)"},
    {.kind = CONURE_OPTION_TEXT, .name = "precision", .value = "NAME", AT(precision),
     .help = "judge by the tolerances for f32, tf32, f16, bf16 or int8 (default: the candidate's; a command's is its contract's)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_REAL, .name = "timeout", .value = "S", AT(timeout_s), .help = "seconds that a command may take for an answer (default: 60)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE,
     .help = "write the summary as JSON"},
    {.kind = CONURE_OPTION_TEXT, .name = "series", .value = "FILE", AT(series), .complete = CONURE_COMPLETE_FILE,
     .help = "write every chunk's numbers as CSV"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print the summary as JSON"},
    {0},
};
static const conure_example examples[] = {
    {"conure parity -m parakeet.conure --candidate cpu:int8 --contract encoder.contract.json", "50 chunks beside the float32 engine"},
    {"conure parity -m parakeet.conure --candidate cpu:f32@isa=c --reference reference.jsonl --mode closed_loop", "against a file"},
    {"conure parity --candidate 'exec:python3 my_engine.py' --reference reference.jsonl -o summary.json", "somebody else's engine"},
    {"conure parity -m parakeet.conure --candidate cpu:int8 --mode audio *.flac", "do the transcripts agree, token by token?"},
    {NULL, NULL},
};
const conure_command conure_command_parity = {
    .name = "parity",
    .summary = "Judge an engine by a reference: chunk after chunk, in a closed loop, or by transcripts",
    .arguments = "[OPTION]... [AUDIO]...",
    .details = "In lockstep AUDIO gives the features instead of the seed. What passes is data: docs/clearance.md describes tolerance files, the "
               "verdicts and the summary.\n\nExit status: 0 pass; 1 fail, or not proven; 2 it could not be judged: what was found until then is "
               "printed and written all the same.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 100000,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

/* command_parity.c - `conure parity`: a candidate against a reference. */
#include "cli/parity.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "cli/command.h"
#include "cli/terminal.h"

enum { FUNCTIONAL_CHUNKS = 50, CLOSED_LOOP_CHUNKS = 300, MODE_AUDIO = 2 };
static const char *const modes[] = {"functional", "closed_loop", "audio", NULL};

typedef conure_parity_settings settings;

static void defaults(void *settings_)
{
    settings *s = settings_;
    conure_comparison_defaults(&s->compared);
}

typedef struct judging {
    const settings *s;
    conure_comparison compared;
    conure_tolerance tolerance;
    char tolerance_sha256[65];
    conure_parity_report *report;
    FILE *series;
} judging;

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
    printf("candidate   %s\nreference   %s\n", conure_candidate_describe(j->compared.candidate), j->compared.source->what);
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
    const uint64_t n_chunks = s->n_chunks ? s->n_chunks : s->mode ? CLOSED_LOOP_CHUNKS : FUNCTIONAL_CHUNKS;
    conure_status status = conure_comparison_open(&j->compared, n_chunks, files, n_files, err);
    if (status == CONURE_OK)
        status = conure_tolerance_read(&j->tolerance, s->tolerances, conure_contract_state_flows(j->compared.source->contract),
                                       s->precision ? s->precision : conure_candidate_precision(j->compared.candidate), j->tolerance_sha256, err);
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
    return conure_parity_run(j->report, j->compared.source, j->compared.candidate, &options, err);
}

static int run_tensors(judging *j, char *const *files, int n_files)
{
    conure_error err = {""}, later = {""};
    conure_status status = judge_tensors(j, files, n_files, &err);
    conure_status written = close_series(j, &later);
    conure_progress_clear();
    if (j->report) { /* also what was found before it could not go on */
        json_t *summary = conure_parity_summary(j->report, j->compared.source, j->compared.candidate, &j->tolerance, j->tolerance_sha256,
                                                status == CONURE_OK ? NULL : err.text);
        if (written == CONURE_OK)
            written = conure_clearance_write(summary, j->s->json, j->s->out, &later);
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
    conure_status status = conure_parity_audio(j->s, j->compared.model, files, n_files, &summary, &verdict, &err);
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
        const conure_status written = conure_clearance_write(summary, j->s->json, j->s->out, &later);
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
    if (!j.s->compared.candidate) {
        conure_say(CONURE_SAY_ERROR, "conure parity: which --candidate?");
        return CONURE_EXIT_USAGE;
    }
    const conure_status status = conure_comparison_begin(&j.compared, &j.s->compared, &err);
    if (status != CONURE_OK)
        code = conure_clearance_fail(status, &err);
    else
        code = j.s->mode == MODE_AUDIO ? run_audio(&j, arguments, n) : run_tensors(&j, arguments, n);
    conure_comparison_close(&j.compared);
    free(j.report);
    return code;
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    CONURE_COMPARISON_OPTIONS(settings, compared),
    {.kind = CONURE_OPTION_CHOICE, .name = "mode", .value = "WORD", AT(mode), .choices = modes,
     .help = "functional: every chunk gets the reference's state; closed_loop: the candidate's own; audio: transcripts of AUDIO (default: "
             "functional)"},
    {.kind = CONURE_OPTION_COUNT, .name = "chunks", .value = "N", .min = 1, .max = 1000000, AT(n_chunks),
     .help = "chunks at most (default: all of a file; in lockstep 50, closed loop 300)"},
    {.kind = CONURE_OPTION_TEXT, .name = "tolerances", .value = "FILE", AT(tolerances), .complete = CONURE_COMPLETE_FILE,
     .help = "how far apart is allowed (default: the table note-2026-01, which is part of the program)"},
    {.kind = CONURE_OPTION_TEXT, .name = "precision", .value = "NAME", AT(precision),
     .help = "judge by the tolerances for f32, tf32, f16, bf16 or int8 (default: the candidate's; a command's is its contract's)"},
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

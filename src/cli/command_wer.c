/* command_wer.c - `conure wer`: word error rates of hypotheses, with intervals and differences. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/memory.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "cli/wer_report.h"

#define HYPOTHESES_MAX    32
#define RESAMPLES_DEFAULT 10000

typedef struct settings {
    int normaliser;
    uint64_t resamples, seed;
    const char *reference_field, *hypothesis_field;
    bool missing, each, json;
} settings;

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->normaliser = CONURE_NORMALISER_BASIC;
    s->resamples = RESAMPLES_DEFAULT;
    s->seed = 1;
}

/* ---- one file of hypotheses ------------------------------------------------------------------ */

static conure_status check_missing(conure_wer_system *system, const conure_utterances *references,
                                   bool allowed, conure_error *err)
{
    const conure_utterance *first = NULL;

    for (uint32_t i = 0; i < references->n; i++) {
        if (system->matches[i] != CONURE_UTTERANCE_MISSING)
            continue;
        if (!system->n_missing++)
            first = &references->items[i];
    }
    if (!first || allowed)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE,
                       "no hypothesis for %u of %u utterances, as for \"%.100s\"; --allow-missing counts "
                       "them as empty",
                       system->n_missing, references->n, first->key ? first->key : "");
}

static conure_status count_one(conure_wer_system *system, const conure_wer_report *report, uint32_t i,
                               conure_error *err)
{
    const bool missing = system->matches[i] == CONURE_UTTERANCE_MISSING;
    const conure_utterance *said = missing ? NULL : &system->hypotheses.items[system->matches[i]];
    char prefix[64];

    conure_status status = conure_normalise(&system->texts[i], said ? said->text : "",
                                            report->normaliser, err);
    if (status == CONURE_OK)
        status = conure_wer_count(&system->counts[i], report->texts[i], system->texts[i], err);
    if (status != CONURE_OK && status != CONURE_NO_MEMORY) {
        snprintf(prefix, sizeof prefix, "line %zu", said ? said->line : report->references.items[i].line);
        conure_error_prefix(err, prefix);
    }
    return status;
}

static conure_status score(conure_wer_system *system, const conure_wer_report *report,
                           const settings *s, conure_error *err)
{
    const uint32_t n = report->references.n;

    conure_status status = conure_utterances_read(&system->hypotheses, system->path,
                                                  s->hypothesis_field, true, err);
    if (status != CONURE_OK)
        return status; /* names the file */
    system->matches = conure_calloc(n, sizeof *system->matches);
    system->texts = conure_calloc(n, sizeof *system->texts);
    system->counts = conure_calloc(n, sizeof *system->counts);
    if (!system->matches || !system->texts || !system->counts)
        return conure_fail_memory(err, "utterances", n * sizeof *system->counts);
    status = conure_utterances_match(system->matches, &system->n_extra, &report->references,
                                     &system->hypotheses, err);
    if (status == CONURE_OK)
        status = check_missing(system, &report->references, s->missing, err);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = count_one(system, report, i, err);
    if (status != CONURE_OK && status != CONURE_NO_MEMORY)
        conure_error_prefix(err, system->path);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static conure_status read_references(conure_wer_report *report, const settings *s, conure_error *err)
{
    conure_status status =
        conure_utterances_read(&report->references, report->path, s->reference_field, false, err);
    if (status != CONURE_OK)
        return status;
    report->texts = conure_calloc(report->references.n, sizeof *report->texts);
    if (!report->texts)
        return conure_fail_memory(err, "references", report->references.n * sizeof *report->texts);
    for (uint32_t i = 0; i < report->references.n; i++) {
        const conure_utterance *utterance = &report->references.items[i];
        status = conure_normalise(&report->texts[i], utterance->text, report->normaliser, err);
        if (status == CONURE_OK)
            continue;
        char prefix[64];
        snprintf(prefix, sizeof prefix, "line %zu", utterance->line);
        conure_error_prefix(err, prefix);
        conure_error_prefix(err, report->path);
        return status;
    }
    return CONURE_OK;
}

static conure_status measure(conure_wer_report *report, const settings *s, conure_error *err)
{
    const conure_wer_counts *counts[HYPOTHESES_MAX];

    conure_status status = read_references(report, s, err);
    for (uint32_t i = 0; i < report->n_systems && status == CONURE_OK && !conure_interrupted; i++) {
        status = score(&report->systems[i], report, s, err);
        counts[i] = report->systems[i].counts;
    }
    if (status == CONURE_OK && !conure_interrupted)
        status = conure_wer_estimate_all(report->estimates, counts, report->n_systems,
                                         report->references.n, report->resamples, report->seed, err);
    return status;
}

static void tell_oddities(const conure_wer_report *report)
{
    for (uint32_t i = 0; i < report->n_systems; i++) {
        const conure_wer_system *system = &report->systems[i];
        if (system->n_missing)
            conure_say(CONURE_SAY_WARNING, "%s: no hypothesis for %u utterances: counted as empty",
                       system->path, system->n_missing);
        if (system->n_extra)
            conure_say(CONURE_SAY_WARNING, "%s: %u hypotheses have no reference: left out",
                       system->path, system->n_extra);
    }
}

static void free_texts(char **texts, uint32_t n)
{
    for (uint32_t i = 0; texts && i < n; i++)
        free(texts[i]);
    free(texts);
}

static void free_report(conure_wer_report *report)
{
    for (uint32_t i = 0; report->systems && i < report->n_systems; i++) {
        conure_wer_system *system = &report->systems[i];
        free_texts(system->texts, report->references.n);
        free(system->matches);
        free(system->counts);
        conure_utterances_free(&system->hypotheses);
    }
    free(report->systems);
    free(report->estimates);
    free_texts(report->texts, report->references.n);
    conure_utterances_free(&report->references);
}

static int print(const conure_wer_report *report, bool json)
{
    conure_buffer out = {0};

    if (json)
        conure_wer_report_json(&out, report);
    else
        conure_wer_report_text(&out, report);
    const bool failed = out.failed;
    if (failed)
        conure_say(CONURE_SAY_ERROR, "out of memory");
    else
        fwrite(out.data, 1, out.bytes, stdout); /* write errors: conure_stdout_close() */
    conure_buffer_free(&out);
    return failed ? CONURE_EXIT_CANNOT : CONURE_EXIT_GOOD;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_error err = {""};
    conure_wer_report report = {
        .path = arguments[0],
        .n_systems = (uint32_t)n - 1,
        .normaliser = (conure_normaliser)s->normaliser,
        .resamples = (uint32_t)s->resamples,
        .seed = s->seed,
        .each = s->each,
    };
    conure_status status = CONURE_NO_MEMORY;
    int exit_status;

    report.systems = conure_calloc(report.n_systems, sizeof *report.systems);
    report.estimates = conure_calloc(report.n_systems, sizeof *report.estimates);
    for (uint32_t i = 0; report.systems && i < report.n_systems; i++)
        report.systems[i].path = arguments[i + 1];
    if (report.systems && report.estimates)
        status = measure(&report, s, &err);
    if (conure_interrupted) { /* a read that a signal ended looks like a short file */
        conure_say(CONURE_SAY_PLAIN, "conure: interrupted");
        exit_status = CONURE_EXIT_INTERRUPTED;
    } else if (status == CONURE_OK) {
        tell_oddities(&report);
        exit_status = print(&report, s->json);
    } else {
        conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : "out of memory");
        exit_status = status == CONURE_NO_MEMORY ? CONURE_EXIT_CANNOT : CONURE_EXIT_SOME;
    }
    free_report(&report);
    return exit_status;
}

/* ---- the table of the command ---------------------------------------------------------------- */

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_CHOICE, .name = "normaliser", .letter = 'n', .value = "NAME",
     AT(normaliser), .choices = conure_normaliser_names,
     .help = "what is done to both texts first: none or basic (default: basic)"},
    {.kind = CONURE_OPTION_FLAG, .name = "each", .letter = 'e', AT(each),
     .help = "list every utterance with its errors and normalised texts, parted by tabs"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "write JSON instead of a table"},
    {.kind = CONURE_OPTION_FLAG, .name = "allow-missing", AT(missing),
     .help = "count utterances without a hypothesis as empty instead of refusing the file"},
    {.kind = CONURE_OPTION_TEXT, .name = "ref-field", .value = "NAME", AT(reference_field),
     .help = "JSON key or TSV column of the reference text (default: text)"},
    {.kind = CONURE_OPTION_TEXT, .name = "hyp-field", .value = "NAME", AT(hypothesis_field),
     .help = "JSON key or TSV column of the hypothesis (default: pred_text, else text)"},
    {.kind = CONURE_OPTION_COUNT, .name = "resamples", .value = "N", AT(resamples), .min = 0,
     .max = CONURE_WER_RESAMPLES_MAX, .help = "bootstrap resamples, 0 for no intervals (default: 10000)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", AT(seed), .min = 0, .max = INT64_MAX,
     .help = "seed of the bootstrap; the same seed gives the same intervals (default: 1)"},
    {0},
};

static const conure_example examples[] = {
    {"conure wer reference.tsv transcripts.json", "rate and 95 % interval, paired by file name"},
    {"conure wer manifest.json before.json after.json", "is the second better than the first?"},
    {"conure wer --each --normaliser none ref.txt hyp.txt", "line by line, texts as they are"},
    {NULL, NULL},
};

const conure_command conure_command_wer = {
    .name = "wer",
    .summary = "Measure the word error rate of transcripts",
    .arguments = "[OPTION]... REF HYP...",
    .details =
        "REF and each HYP hold one text per utterance: plain text (one a line), TSV whose first line names "
        "columns such as file and text, a NeMo manifest (one JSON object a line with audio_filepath and "
        "text or pred_text), or the JSON that conure transcribe writes. When both files name their "
        "audio, utterances are paired by that name without folder and ending; otherwise by line.\n\n"
        "Normaliser none: words are what white space parts. Normaliser basic: Unicode NFC and lower "
        "case; apostrophes inside words stay; any other punctuation counts as a space. Numbers, "
        "spelling and filler words are never changed.\n\n"
        "The rate is substitutions, insertions and deletions over reference words, all utterances "
        "together. Its 95 % interval is a percentile bootstrap over utterances. With several HYPs each is "
        "compared with the first on the same resamples; p is two-sided, of no difference.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 2,
    .max_arguments = HYPOTHESES_MAX + 1,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

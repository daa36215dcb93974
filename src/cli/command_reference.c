/* command_reference.c - `conure reference`: chunks with a reference engine's outputs, as a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/system.h"
#include "cli/clearance.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "clearance/reference.h"
#include "model/load.h"

typedef struct settings {
    const char *model, *contract, *out, *engine;
    uint64_t n_chunks, seed, n_frames, n_threads;
    int format;
    bool resume, check;
} settings;

static const char *const formats[] = {"jsonl", "frames", NULL};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->n_chunks = 50;
    s->seed = 42;
}

typedef struct making {
    const settings *s;
    conure_contract contract;
    conure_model *model;
    conure_candidate *engine;
    conure_feed feed;
    conure_reference_info info;
    conure_reference_writer *writer;
    conure_chunk chunk;
    float *mel;
} making;

static conure_status prepare(making *m, char *const *files, int n_files, conure_error *err)
{
    const settings *s = m->s;
    const conure_candidate_options engine = {.n_threads = (uint32_t)s->n_threads, .cancel = &conure_interrupted,
                                             .log = {conure_log_to_terminal, NULL}};
    conure_status status = conure_contract_read(&m->contract, s->contract, NULL, err);
    if (status == CONURE_OK)
        status = conure_models_load(&m->model, s->model, err);
    if (status == CONURE_OK)
        status = conure_candidate_open(&m->engine, s->engine ? s->engine : "cpu:f32", &m->contract, m->model, &engine, err);
    m->feed = (conure_feed){.seed = s->seed, .n_chunks = s->n_chunks, .n_frames = (uint32_t)s->n_frames};
    if (status == CONURE_OK && n_files > 0) {
        conure_progress("features of %d files", n_files);
        status = conure_clearance_mel(m->model, files, n_files, &m->mel, &m->feed.n_mel, m->info.audio_sha256, err);
        m->feed.mel = m->mel;
        m->info.audio = true;
    }
    if (status == CONURE_OK)
        status = conure_feed_check(&m->feed, &m->contract, err);
    if (status == CONURE_OK)
        status = conure_model_hash(m->model, m->info.model_sha256, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&m->chunk, &m->contract, err);
    if (status != CONURE_OK)
        return status;
    m->info.frames = s->format == 1;
    m->info.seed = s->seed;
    m->info.n_chunks = m->feed.n_chunks;
    snprintf(m->info.engine, sizeof m->info.engine, "%s", conure_candidate_describe(m->engine));
    snprintf(m->info.precision, sizeof m->info.precision, "%s", conure_candidate_precision(m->engine));
    return CONURE_OK;
}

static conure_status make(making *m, conure_error *err)
{
    uint64_t done;
    conure_status status = conure_reference_create(&m->writer, m->s->out, &m->contract, &m->info, m->s->resume, &done, &m->chunk, err);
    conure_clearance_progress progress = {.what = "reference", .start_s = conure_now_s(), .first = done};
    if (status == CONURE_OK && done > 0)
        conure_say(CONURE_SAY_NOTE, "going on after %llu chunks", (unsigned long long)done);
    for (uint64_t k = done; k < m->feed.n_chunks && status == CONURE_OK; k++) {
        if (k == 0)
            conure_chunk_zero_state(&m->chunk);
        else
            conure_chunk_carry_state(&m->chunk, &m->chunk);
        conure_feed_chunk(&m->feed, k, &m->chunk);
        status = conure_candidate_step(m->engine, &m->chunk, err);
        if (status == CONURE_OK)
            status = conure_reference_add(m->writer, &m->chunk, err);
        if (status == CONURE_OK && !conure_clearance_show(&progress, k + 1, m->feed.n_chunks))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    return status;
}

static int run_make(const settings *s, int n, char *const *files)
{
    making m = {.s = s};
    conure_error err = {""};
    char sum[65];
    conure_status status = prepare(&m, files, n, &err);
    if (status == CONURE_OK)
        status = make(&m, &err);
    if (status == CONURE_OK)
        status = conure_reference_commit(&m.writer, sum, &err);
    conure_progress_clear();
    if (status == CONURE_OK)
        printf("%s  %s: %llu chunks, %s\n", sum, s->out, (unsigned long long)m.feed.n_chunks, m.info.engine);
    else if (m.writer)
        conure_say(CONURE_SAY_NOTE, "what was made is kept in %s.part: the same command with --resume goes on", s->out);
    conure_reference_close(&m.writer);
    conure_candidate_close(&m.engine);
    conure_chunk_close(&m.chunk);
    conure_model_close(&m.model);
    free(m.mel);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_clearance_fail(status, &err);
}

/* Read a whole reference: every sum, every shape, the seed. */
static int run_check(int n, char *const *files)
{
    for (int i = 0; i < n; i++) {
        conure_source *source = NULL;
        conure_error err = {""};
        const conure_chunk *chunk;
        conure_clearance_progress progress = {.what = files[i], .start_s = conure_now_s()};
        uint64_t done = 0;
        conure_status status = conure_reference_open(&source, files[i], &err);
        while (status == CONURE_OK) {
            status = source->next(source, &chunk, &err);
            if (status == CONURE_OK && !conure_clearance_show(&progress, ++done, source->n_chunks))
                status = CONURE_CANCELLED;
        }
        conure_progress_clear();
        if (status == CONURE_END)
            printf("%s  %s: %llu chunks, %s\n", source->sha256, files[i], (unsigned long long)done, conure_reference_get_info(source)->engine);
        conure_source_close(&source);
        if (status != CONURE_END)
            return conure_clearance_fail(status, &err);
    }
    return CONURE_EXIT_GOOD;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    if (s->check && n > 0)
        return run_check(n, arguments);
    if (s->check || !s->contract || !s->out) {
        conure_say(CONURE_SAY_ERROR, s->check ? "conure reference --check: which FILE?" : "conure reference: --contract and --out are needed");
        return CONURE_EXIT_USAGE;
    }
    return run_make(s, n, arguments);
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint, as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "what a step is: made by conure contract derive"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE,
     .help = "the file to write; FILE.part until it is complete"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine), .help = "what computes the reference (default: cpu:f32)"},
    {.kind = CONURE_OPTION_COUNT, .name = "chunks", .value = "N", .min = 1, .max = 1000000, AT(n_chunks),
     .help = "chunks to make; of audio, at most (default: 50)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", .max = INT64_MAX, AT(seed), .help = "of made-up features (default: 42)"},
    {.kind = CONURE_OPTION_COUNT, .name = "frames", .value = "T", .min = 1, .max = 1 << 20, AT(n_frames),
     .help = "mel frames of every slice (default: the contract's first profile for the step)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "format", .value = "WORD", AT(format), .choices = formats,
     .help = "jsonl: lines with tensors in base64; frames: the same content, a quarter smaller (default: jsonl)"},
    {.kind = CONURE_OPTION_FLAG, .name = "resume", AT(resume), .help = "go on with FILE.part, if it was begun by the same command"},
    {.kind = CONURE_OPTION_FLAG, .name = "check", AT(check), .help = "read the references that are given, every sum and shape, instead"},
    {0},
};
static const conure_example examples[] = {
    {"conure reference -m parakeet.conure --contract encoder.contract.json -o reference.jsonl", "50 chunks of made-up features, seed 42"},
    {"conure reference -m parakeet.conure --contract encoder.contract.json --format frames -o speech.ref talk.wav", "chunks of real speech"},
    {"conure reference --check reference.jsonl", "is it whole, and as it was written?"},
    {NULL, NULL},
};
const conure_command conure_command_reference = {
    .name = "reference",
    .summary = "Make a reference: chunks of streaming with the outputs that an engine must give",
    .arguments = "[OPTION]... [AUDIO]...",
    .details = "Without AUDIO the features are made up from the seed, by a generator that docs/clearance.md describes so that anybody can repeat "
               "it. Memory does not grow with the number of chunks.\n\nExit status: 0 done; 2 it could not be made, or a reference that was "
               "checked is damaged.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 100000,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

/* comparison.h - what is compared with what: the options that parity and diagnose share, and opening what they name. */
#ifndef CONURE_CLI_COMPARISON_H
#define CONURE_CLI_COMPARISON_H

#include "cli/clearance.h"

typedef struct conure_comparison_settings {
    const char *model, *contract, *reference, *name, *candidate, *engine;
    uint64_t seed, n_frames, n_threads;
    double timeout_s;
} conure_comparison_settings;
void conure_comparison_defaults(conure_comparison_settings *settings);

typedef struct conure_comparison {
    const conure_comparison_settings *s;
    conure_contract contract;     /* in lockstep; source->contract is the one that holds */
    conure_model *model;          /* NULL: a command beside a reference file needs none of ours */
    conure_candidate *reference;  /* NULL: from a file */
    conure_candidate *candidate;
    conure_source *source;
    conure_feed feed;
    float *mel;
} conure_comparison;

/* The model.  Statuses as conure_models_open(). */
conure_status conure_comparison_begin(conure_comparison *comparison, const conure_comparison_settings *settings, conure_error *err);
/* Then the source, with n_chunks in lockstep, and the candidate.  files: audio whose features are fed in lockstep.
 * BAD_ARG, or what one of them could not be opened for. */
conure_status conure_comparison_open(conure_comparison *comparison, uint64_t n_chunks, char *const *files, int n_files, conure_error *err);
void conure_comparison_close(conure_comparison *comparison); /* {0} is fine */

/* Rows of a table of options, for a member of that type in the settings. */
#define CONURE_COMPARISON_AT(type, member, field) .offset = offsetof(type, member) + offsetof(conure_comparison_settings, field)
#define CONURE_COMPARISON_OPTIONS(type, member)                                                                                             \
    {.kind = CONURE_OPTION_TEXT, .name = "candidate", .value = "SPEC", CONURE_COMPARISON_AT(type, member, candidate),                       \
     .help = "what is judged: NAME" CONURE_ENGINE_SETTINGS ", or exec:COMMAND, which speaks the pipe protocol of docs/clearance.md"}, \
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", CONURE_COMPARISON_AT(type, member, model),               \
     .complete = CONURE_COMPLETE_FILE, .help = "the checkpoint, as conure transcribe has it"},                                              \
    {.kind = CONURE_OPTION_TEXT, .name = "reference", .value = "FILE", CONURE_COMPARISON_AT(type, member, reference),                       \
     .complete = CONURE_COMPLETE_FILE, .help = "a file of conure reference, or what NeMo stored (NAME.safetensors with NAME.json); without " \
                                               "it a reference runs beside the candidate"},                                                 \
    {.kind = CONURE_OPTION_TEXT, .name = "case", .value = "NAME", CONURE_COMPARISON_AT(type, member, name),                                 \
     .help = "of a file that NeMo stored: which case"},                                                                                     \
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", CONURE_COMPARISON_AT(type, member, contract),                         \
     .complete = CONURE_COMPLETE_FILE, .help = "in lockstep: what a step is"},                                                              \
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", CONURE_COMPARISON_AT(type, member, engine),                             \
     .help = "in lockstep: the reference (default: cpu:f32)"},                                                                              \
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", .max = INT64_MAX, CONURE_COMPARISON_AT(type, member, seed),                 \
     .help = "in lockstep: of made-up features (default: 42)"},                                                                             \
    {.kind = CONURE_OPTION_COUNT, .name = "frames", .value = "T", .min = 1, .max = 1 << 20, CONURE_COMPARISON_AT(type, member, n_frames),   \
     .help = "in lockstep: mel frames of every slice (default: the contract's first profile for the step)"},                                \
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, CONURE_COMPARISON_AT(type, member, n_threads),      \
     .help = "threads to compute with (default: the processors this process may use)"},                                                     \
    {.kind = CONURE_OPTION_REAL, .name = "timeout", .value = "S", CONURE_COMPARISON_AT(type, member, timeout_s),                            \
     .help = "seconds that a command may take for an answer (default: 60)"}

#endif

/* wer_report.h - what `conure wer` found, and writing it as a table or as JSON. */
#ifndef CONURE_CLI_WER_REPORT_H
#define CONURE_CLI_WER_REPORT_H

#include "base/memory.h"
#include "cli/wer.h"
#include "cli/wer_input.h"

/* One file of hypotheses against the references. */
typedef struct conure_wer_system {
    const char *path;
    conure_utterances hypotheses;
    uint32_t *matches;         /* [references.n] */
    char **texts;              /* [references.n] normalised; "" where none matches */
    conure_wer_counts *counts; /* [references.n] */
    uint32_t n_missing, n_extra;
} conure_wer_system;

typedef struct conure_wer_report {
    const char *path;
    conure_utterances references;
    char **texts; /* [references.n] normalised */
    conure_wer_system *systems;
    conure_wer_estimate *estimates; /* [n_systems] */
    uint32_t n_systems;
    conure_normaliser normaliser;
    uint32_t resamples;
    uint64_t seed;
    bool each; /* list utterances too */
} conure_wer_report;

/* Append the report; out->failed says no memory. */
void conure_wer_report_text(conure_buffer *out, const conure_wer_report *report);
void conure_wer_report_json(conure_buffer *out, const conure_wer_report *report);

#endif

/* parity_audio.c - `conure parity --mode audio`: from samples to tokens, by a reference engine and a candidate. */
#include "cli/parity.h"

#include <stdio.h>
#include <string.h>

#include "audio/audio.h"
#include "base/system.h"
#include "cli/terminal.h"

typedef struct listening {
    conure_recognizer *reference, *candidate;
    conure_agreement agreement;
    conure_tolerance tolerance;
    char tolerance_sha256[65];
} listening;

static conure_status open_one(conure_recognizer **out, const conure_model *model, const char *spec, uint64_t n_threads, conure_error *err)
{
    conure_recognizer_options options;
    conure_recognizer_options_init(&options);
    options.engine = spec;
    options.n_threads = (uint32_t)n_threads;
    options.log = conure_log_to_terminal;
    options.cancel = &conure_interrupted;
    return conure_recognizer_open(out, model, &options, err);
}

static conure_status open_both(listening *l, const conure_parity_settings *s, const conure_model *model, conure_error *err)
{
    conure_engine_spec spec;
    if (conure_candidate_is_command(s->compared.candidate))
        return conure_fail(err, CONURE_UNSUPPORTED, "a command gets encoder steps only: mode audio needs an engine of this build");
    conure_status status = conure_engine_spec_parse(&spec, s->compared.candidate, err);
    const char *precision = s->precision ? s->precision : conure_precision_name(spec.precision ? spec.precision : CONURE_PRECISION_F32);
    if (status == CONURE_OK) /* whole files: no state between chunks is in question, and both kinds of entry hold the same limit */
        status = conure_tolerance_read(&l->tolerance, s->tolerances, true, precision, l->tolerance_sha256, err);
    if (status == CONURE_OK)
        status = open_one(&l->reference, model, s->compared.engine ? s->compared.engine : "cpu:f32", s->compared.n_threads, err);
    if (status == CONURE_OK)
        status = open_one(&l->candidate, model, s->compared.candidate, s->compared.n_threads, err);
    if (status == CONURE_OK)
        status = conure_agreement_open(&l->agreement, model->config.vocab_size, err);
    return status;
}

static conure_status one_file(listening *l, const conure_model *model, const char *file, conure_error *err)
{
    conure_audio_options options;
    conure_audio_clip clip = {0};
    conure_result *results[2] = {NULL, NULL};
    conure_audio_options_init(&options);
    options.rate_hz = model->config.sample_rate_hz;
    options.cancel = &conure_interrupted;
    conure_status status = conure_audio_load(&clip, file, &options, err);
    if (status == CONURE_OK) {
        const float *pcm = clip.pcm;
        const size_t n = (size_t)clip.n_samples;
        status = conure_transcribe(l->reference, &pcm, &n, 1, &results[0], err);
        if (status == CONURE_OK)
            status = conure_transcribe(l->candidate, &pcm, &n, 1, &results[1], err);
    }
    if (status == CONURE_OK)
        status = conure_agreement_add(&l->agreement, results[0], results[1], err);
    conure_result_free(&results[0]);
    conure_result_free(&results[1]);
    conure_audio_clip_free(&clip);
    return status;
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *summary_of(const listening *l, const char *verdict, const char *why, const char *error)
{
    const conure_agreement *a = &l->agreement;
    return json_pack(
        "{s:s, s:s, s:o, s:s?, s:s?, s:s?, s:{s:s, s:s, s:s, s:s, s:s}, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:o, s:o, s:I}}",
        "verdict", verdict, "mode", "audio", "reasons", why[0] ? json_pack("[s]", why) : json_array(), "error", error, "candidate",
        l->candidate ? conure_recognizer_describe(l->candidate) : NULL, "reference",
        l->reference ? conure_recognizer_describe(l->reference) : NULL, "tolerances", "file", l->tolerance.file, "entry", l->tolerance.name, "why",
        l->tolerance.why, "source", l->tolerance.source, "sha256", l->tolerance_sha256, "audio", "clips", count(a->n_clips), "same_clips",
        count(a->n_same), "reference_tokens", count(a->n_reference), "candidate_tokens", count(a->n_candidate), "edits", count(a->n_edits),
        "moved", count(a->n_moved), "token_agreement", conure_agreement_share(a), "token_agreement_min", l->tolerance.token_agreement,
        "empty_reference", count(a->n_empty_reference), "empty_candidate", count(a->n_empty_candidate), "reference_blanks",
        count(a->reference_blanks), "candidate_blanks", count(a->candidate_blanks), "distinct_tokens", (json_int_t)a->n_distinct);
}

conure_status conure_parity_audio(const conure_parity_settings *s, const conure_model *model, char *const *files, int n_files,
                                  json_t **summary, conure_verdict *verdict, conure_error *err)
{
    listening l = {0};
    char why[320] = "";
    conure_clearance_progress progress = {.what = "parity, audio", .start_s = conure_now_s()};
    *verdict = CONURE_VERDICT_NOT_JUDGED;
    *summary = NULL;
    if (n_files == 0)
        return conure_fail(err, CONURE_BAD_ARG, "mode audio: which files? name some audio");
    conure_status status = open_both(&l, s, model, err);
    for (int i = 0; i < n_files && status == CONURE_OK; i++) {
        status = one_file(&l, model, files[i], err);
        if (status == CONURE_OK && !conure_clearance_show(&progress, (uint64_t)i + 1, (uint64_t)n_files))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    if (status == CONURE_OK)
        *verdict = conure_agreement_judge(&l.agreement, l.tolerance.token_agreement, why);
    *summary = summary_of(&l, conure_verdict_name(*verdict), why, status == CONURE_OK ? NULL : err->text);
    conure_agreement_close(&l.agreement);
    conure_recognizer_close(&l.reference);
    conure_recognizer_close(&l.candidate);
    return status;
}

/* comparison.c - see comparison.h. */
#include "cli/comparison.h"

#include <stdlib.h>
#include <string.h>

#include "cli/models.h"
#include "cli/terminal.h"
#include "clearance/reference.h"
#include "model/load.h"

void conure_comparison_defaults(conure_comparison_settings *s)
{
    s->seed = 42;
    s->timeout_s = 60;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

conure_status conure_comparison_begin(conure_comparison *c, const conure_comparison_settings *s, conure_error *err)
{
    c->s = s;
    if (conure_candidate_is_command(s->candidate) && s->reference && !ends_with(s->reference, ".safetensors"))
        return CONURE_OK;
    return conure_models_load(&c->model, s->model, err);
}

static conure_status open_candidate(conure_comparison *c, const char *spec, const conure_contract *contract, conure_candidate **out,
                                    conure_error *err)
{
    const conure_candidate_options options = {.n_threads = (uint32_t)c->s->n_threads, .timeout_s = c->s->timeout_s,
                                              .cancel = &conure_interrupted, .log = {conure_log_to_terminal, NULL}};
    conure_progress("opening %s", spec);
    return conure_candidate_open(out, spec, contract, c->model, &options, err);
}

static conure_status open_lockstep(conure_comparison *c, uint64_t n_chunks, char *const *files, int n_files, conure_error *err)
{
    const conure_comparison_settings *s = c->s;
    char sha256[65];
    if (!s->contract)
        return conure_fail(err, CONURE_BAD_ARG, "give a --reference, or a --contract for a reference engine beside the candidate");
    conure_status status = conure_contract_read(&c->contract, s->contract, NULL, err);
    c->feed = (conure_feed){.seed = s->seed, .n_frames = (uint32_t)s->n_frames, .n_chunks = n_chunks};
    if (status == CONURE_OK)
        status = open_candidate(c, s->engine ? s->engine : "cpu:f32", &c->contract, &c->reference, err);
    if (status == CONURE_OK && n_files > 0) {
        status = conure_clearance_mel(c->model, files, n_files, &c->mel, &c->feed.n_mel, sha256, err);
        c->feed.mel = c->mel;
    }
    return status == CONURE_OK ? conure_source_live(&c->source, c->reference, &c->feed, &c->contract, err) : status;
}

static conure_status open_source(conure_comparison *c, uint64_t n_chunks, char *const *files, int n_files, conure_error *err)
{
    const conure_comparison_settings *s = c->s;
    if (!s->reference)
        return open_lockstep(c, n_chunks, files, n_files, err);
    if (n_files > 0)
        return conure_fail(err, CONURE_BAD_ARG, "a reference file has its own features: name no audio beside --reference");
    if (ends_with(s->reference, ".safetensors"))
        return conure_source_nemo(&c->source, s->reference, s->name, c->model, err);
    conure_status status = conure_reference_open(&c->source, s->reference, err);
    if (status != CONURE_OK || !c->model)
        return status;
    /* The contract may be for any weights: what ran is named beside it. */
    const char *ran = conure_reference_get_info(c->source)->model_sha256;
    char own[65];
    status = conure_model_hash(c->model, own, err);
    if (status == CONURE_OK && strcmp(ran, own) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s was made with the model %.16s..., and this is %.16s...: nothing can be compared", s->reference,
                           ran, own);
    return status;
}

conure_status conure_comparison_open(conure_comparison *c, uint64_t n_chunks, char *const *files, int n_files, conure_error *err)
{
    const conure_status status = open_source(c, n_chunks, files, n_files, err);
    return status == CONURE_OK ? open_candidate(c, c->s->candidate, c->source->contract, &c->candidate, err) : status;
}

void conure_comparison_close(conure_comparison *c)
{
    conure_source_close(&c->source);
    conure_candidate_close(&c->candidate);
    conure_candidate_close(&c->reference);
    conure_model_close(&c->model);
    free(c->mel);
    *c = (conure_comparison){0};
}

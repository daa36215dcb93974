/* stages.c - see stages.h. */
#include "clearance/stages.h"

#include "base/error.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

void conure_clearing_init(conure_clearing *c)
{
    *c = (conure_clearing){.reference = "cpu:f32", .seed = 42, .n_functional = 50, .n_closed_loop = 300, .n_noise = 20, .n_latency = 100,
                           .n_self_test = 40, .ratio_max = 10, .latency_p99_s = INFINITY, .fault = CONURE_FAULT_NONE};
}

bool conure_clearing_show(const conure_clearing *c, const char *what, uint64_t done, uint64_t all)
{
    return !c->progress || c->progress(c->progress_user, what, done, all);
}

conure_status conure_clearing_candidate(conure_candidate **out, conure_candidate **honest, const conure_clearing *c, conure_error *err)
{
    *out = NULL;
    if (c->inject)
        c->inject(true);
    conure_status status = conure_candidate_open(honest, c->candidate, c->contract, c->model, &c->options, err);
    if (c->inject)
        c->inject(false);
    if (status == CONURE_OK)
        status = conure_faulty_open(out, *honest, c->fault, c->inject, err);
    return status;
}

conure_status conure_clearing_tolerance(conure_tolerance *out, const conure_candidate *candidate, const conure_clearing *c, char *sha256,
                                        conure_error *err)
{
    return conure_tolerance_read(out, c->tolerance_file, conure_contract_state_flows(c->contract),
                                 c->precision ? c->precision : conure_candidate_precision(candidate), sha256, err);
}

static conure_status run(json_t *out, conure_stage stage, const conure_clearing *c, conure_error *err)
{
    switch (stage) {
    case CONURE_STAGE_REFERENCE: return conure_stage_reference(out, c, err);
    case CONURE_STAGE_CONTRACT: return conure_stage_contract(out, c, err);
    case CONURE_STAGE_NOISE: return conure_stage_noise(out, c, err);
    case CONURE_STAGE_FUNCTIONAL:
    case CONURE_STAGE_SPEECH:
    case CONURE_STAGE_CLOSED_LOOP: return conure_stage_parity(out, stage, c, err);
    case CONURE_STAGE_BATCH: return conure_stage_batch(out, c, err);
    case CONURE_STAGE_LATENCY: return conure_stage_latency(out, c, err);
    case CONURE_STAGE_SELF_TEST: return conure_stage_self_test(out, c, err);
    default: return conure_fail(err, CONURE_BAD_ARG, "%s is not run here", conure_stage_name(stage));
    }
}

conure_status conure_clear_stage(json_t **out, conure_stage stage, const conure_clearing *c, conure_error *err)
{
    conure_error own = {""};
    *out = stage == CONURE_STAGE_INPUTS ? conure_stage_inputs(c, &own)
           : stage == CONURE_STAGE_AUDIO ? (c->audio ? c->audio(c->audio_user, c, c->fault, &own) : json_object())
                                         : json_object();
    conure_status status = *out ? CONURE_OK : CONURE_NO_MEMORY;
    if (status == CONURE_OK && stage != CONURE_STAGE_INPUTS && stage != CONURE_STAGE_AUDIO)
        status = run(*out, stage, c, &own);
    if (c->options.cancel && conure_cancelled(c->options.cancel))
        status = CONURE_CANCELLED;
    if (status == CONURE_CANCELLED || status == CONURE_NO_MEMORY) {
        json_decref(*out);
        *out = NULL;
        return conure_fail(err, status, "%s", own.text[0] ? own.text : conure_status_text(status));
    }
    if (status != CONURE_OK)
        json_object_set_new(*out, "error", json_string(own.text[0] ? own.text : conure_status_text(status)));
    json_object_set_new(*out, "stage", json_string(conure_stage_name(stage)));
    return CONURE_OK;
}

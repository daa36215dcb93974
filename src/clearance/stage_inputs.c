/* stage_inputs.c - what the result rests on, by hash, and whether it belongs together. */
#include "clearance/stages.h"

#include "base/cpu.h"
#include "base/files.h"
#include "base/threads.h"
#include "clearance/reference.h"
#include "engine/engine.h"
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void provenance(json_t *out, const char *what, bool right, const char *where)
{
    conure_evidence_check(out, CONURE_GATE_PROVENANCE, what, right, "==", 1, CONURE_GATE_FAIL, where);
}

static void pinned(json_t *out, const char *what, const char *pin, const char *found)
{
    char where[192];
    if (!pin)
        return;
    snprintf(where, sizeof where, "expected %.64s, found %.64s", pin, found[0] ? found : "none");
    provenance(out, what, strcmp(pin, found) == 0, where);
}

/* A file by its bytes; hex "" when it cannot be read, which is for integrity to say. */
static void add_file(json_t *out, const char *name, const char *path, char hex[65])
{
    conure_error err = {""};
    char what[160];
    hex[0] = '\0';
    const conure_status status = conure_file_sha256(hex, path, &err);
    snprintf(what, sizeof what, "%s: can be read", name);
    conure_evidence_check(out, CONURE_GATE_INTEGRITY, what, status == CONURE_OK, "==", 1, CONURE_GATE_FAIL, status == CONURE_OK ? NULL : err.text);
    json_object_set_new(json_object_get(out, "files"), name, json_pack("{s:s, s:s}", "path", path, "sha256", hex));
}

static bool same_contract(const conure_contract *a, const conure_contract *b)
{
    char *one = NULL, *two = NULL;
    const bool same = conure_contract_dump(a, &one, NULL) == CONURE_OK && conure_contract_dump(b, &two, NULL) == CONURE_OK && strcmp(one, two) == 0;
    free(one);
    free(two);
    return same;
}

/* Every record of a reference file, by the sums in it. */
static conure_status read_reference(json_t *out, const conure_clearing *c, const char *expected, conure_error *err)
{
    conure_source *source = NULL;
    const conure_chunk *chunk;
    conure_error why = {""};
    uint64_t n = 0;
    conure_status status = conure_reference_open(&source, c->reference_file, &why);
    if (status == CONURE_OK)
        provenance(out, "the reference file is about this contract", same_contract(source->contract, c->contract), NULL);
    if (status == CONURE_OK && expected[0]) {
        const char *ran = conure_reference_get_info(source)->model_sha256;
        provenance(out, "the reference file was made with this model", strcmp(ran, expected) == 0, ran);
    }
    while (status == CONURE_OK) {
        status = source->next(source, &chunk, &why);
        n += status == CONURE_OK;
        if (status == CONURE_OK && !conure_clearing_show(c, "reading the reference", n, source->n_chunks))
            status = CONURE_CANCELLED;
    }
    conure_source_close(&source);
    if (status == CONURE_NO_MEMORY || status == CONURE_CANCELLED)
        return conure_fail(err, status, "%s", why.text);
    conure_evidence_check(out, CONURE_GATE_INTEGRITY, "the reference file is whole", status == CONURE_END, "==", 1, CONURE_GATE_FAIL,
                          status == CONURE_END ? NULL : why.text);
    return CONURE_OK;
}

/* What it says it is.  Opened here so that the wrong engine is known before hours are spent on it. */
static conure_status ask_candidate(json_t *out, const conure_clearing *c, const char *expected, conure_error *err)
{
    conure_candidate *candidate, *honest = NULL;
    char where[160];
    const conure_status status = conure_clearing_candidate(&candidate, &honest, c, err);
    if (status == CONURE_OK) {
        json_object_set_new(out, "candidate", json_pack("{s:s, s:s, s:s, s:s}", "spec", c->candidate, "what", conure_candidate_describe(candidate),
                                                        "precision", conure_candidate_precision(candidate), "model_sha256",
                                                        candidate->model_sha256));
        snprintf(where, sizeof where, "it says %.64s, expected %.64s", candidate->model_sha256, expected);
        conure_tolerance tolerance;
        if (conure_clearing_tolerance(&tolerance, candidate, c, NULL, NULL) == CONURE_OK && tolerance.model_sha256[0] && expected[0])
            provenance(out, "the tolerances were measured with this model", strcmp(tolerance.model_sha256, expected) == 0, tolerance.model_sha256);
        if (candidate->model_sha256[0] && expected[0])
            provenance(out, "the candidate runs this model", strcmp(candidate->model_sha256, expected) == 0, where);
    }
    conure_candidate_close(&candidate);
    conure_candidate_close(&honest);
    return status;
}

static void add_machine(json_t *out, const conure_clearing *c)
{
    char name[128], features[128];
    uint32_t bits = 0;
    (void)conure_cpu_features(&bits, NULL, NULL);
    json_object_set_new(out, "machine", json_pack("{s:s, s:s, s:i}", "cpu", conure_cpu_name(name, sizeof name), "isa",
                                                  conure_cpu_features_text(bits, features, sizeof features), "processors",
                                                  (int)conure_processors()));
    json_object_set_new(out, "program", json_pack("{s:s, s:s*}", "version", conure_version(), "commit", c->commit));
}

json_t *conure_stage_inputs(const conure_clearing *c, conure_error *err)
{
    json_t *out = json_object();
    char model[65] = "", contract[65] = "", tolerances[65] = "", reference[65] = "", other[65];
    conure_error why = {""};
    conure_status status = CONURE_OK;
    if (!out || json_object_set_new(out, "files", json_object()) < 0)
        return out;
    if (c->contract_file)
        add_file(out, "contract", c->contract_file, contract);
    if (c->tolerance_file)
        add_file(out, "tolerances", c->tolerance_file, tolerances);
    if (c->reference_file)
        add_file(out, "reference", c->reference_file, reference);
    if (c->config_file)
        add_file(out, "config", c->config_file, other);
    if (c->manifest_file)
        add_file(out, "manifest", c->manifest_file, other);
    if (c->recordings_sha256)
        json_object_set_new(json_object_get(out, "files"), "recordings", json_pack("{s:s, s:s}", "path", c->manifest_file ? c->manifest_file : "",
                                                                                   "sha256", c->recordings_sha256));
    conure_engine_spec spec;
    if (!conure_candidate_is_command(c->candidate) && conure_engine_spec_parse(&spec, c->candidate, NULL) == CONURE_OK && spec.ranges[0])
        add_file(out, "ranges", spec.ranges, other);
    for (uint32_t i = 0; i < c->n_stored_steps; i++) {
        char name[32];
        snprintf(name, sizeof name, "golden %u", i + 1);
        add_file(out, name, c->stored_steps[i].file, other);
    }
    if (c->model && (status = conure_model_hash(c->model, model, err)) == CONURE_OK)
        json_object_set_new(json_object_get(out, "files"), "model", json_pack("{s:s, s:s}", "path", c->model->name, "sha256", model));
    if (c->model)
        conure_evidence_check(out, CONURE_GATE_INTEGRITY, "the model's weights can be read", model[0] != 0, "==", 1, CONURE_GATE_FAIL, NULL);
    pinned(out, "the model is the one that was pinned", c->pin_model, model);
    pinned(out, "the contract is the one that was pinned", c->pin_contract, contract);
    pinned(out, "the tolerances are those that were pinned", c->pin_tolerances, tolerances);
    const bool belongs = !c->model || conure_contract_matches(c->contract, c->model, &why) == CONURE_OK;
    provenance(out, "the contract is about this model", belongs, belongs ? NULL : why.text);
    const char *expected = model[0] ? model : c->contract->model_sha256;
    if (status == CONURE_OK && c->reference_file)
        status = read_reference(out, c, expected, err);
    if (status == CONURE_OK && belongs)
        status = ask_candidate(out, c, expected, err);
    add_machine(out, c);
    if (status != CONURE_OK && status != CONURE_NO_MEMORY)
        json_object_set_new(out, "error", json_string(err->text));
    return out;
}

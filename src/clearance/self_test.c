/* self_test.c - the harness on trial: each fault is planted in the candidate, the stages that its gate looks at are run, and the judge of
 * the real run judges them.  Honest pairs must pass the same way. */
#include "clearance/stages.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/files.h"
#include "clearance/reference.h"
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_CHUNKS = 4, LONGER_MAX = 300 };

/* ---- judging a trial -------------------------------------------------------------------------- */

/* Names of the gates that fail on the evidence of these stages. */
static conure_status judge(json_t **failed, uint32_t stages, const conure_clearing *c, conure_error *err)
{
    json_t *evidence = json_pack("{s:{}, s:{}}", "config", "stages");
    json_t *all = json_object_get(evidence, "stages");
    conure_status status = evidence ? CONURE_OK : CONURE_NO_MEMORY;
    for (conure_stage s = 0; s < CONURE_STAGES && status == CONURE_OK; s++) {
        json_t *one = NULL;
        if (!(stages & 1u << s))
            continue;
        status = conure_clear_stage(&one, s, c, err);
        if (status == CONURE_OK)
            json_object_set_new(all, conure_stage_name(s), one);
    }
    json_t *report = status == CONURE_OK ? conure_clear_judge(evidence) : NULL;
    *failed = json_array();
    for (conure_gate g = 0; g < CONURE_GATES && report; g++) {
        const char *verdict = conure_clear_gate_verdict(report, g);
        if (verdict && strcmp(verdict, CONURE_GATE_FAIL) == 0)
            json_array_append_new(*failed, json_string(conure_gate_name(g)));
    }
    if (status == CONURE_OK && !report)
        status = CONURE_NO_MEMORY;
    json_decref(report);
    json_decref(evidence);
    return status;
}

/* ---- what each kind needs --------------------------------------------------------------------- */

static bool file_name(char *out, size_t cap, const conure_clearing *c, const char *name)
{
    return conure_path_join(out, cap, c->room, name);
}

/* A short reference file of an honest engine. */
static conure_status write_reference(const char *path, const conure_clearing *c, conure_error *err)
{
    const conure_feed feed = {.seed = c->seed, .n_chunks = FILE_CHUNKS, .n_frames = c->n_frames};
    conure_reference_info info = {.seed = c->seed, .n_chunks = FILE_CHUNKS};
    conure_reference_writer *writer = NULL;
    conure_candidate *reference = NULL;
    conure_source *source = NULL;
    conure_chunk last = {0};
    const conure_chunk *chunk;
    uint64_t done;
    char sum[65];
    conure_status status = conure_model_hash(c->model, info.model_sha256, err);
    if (status == CONURE_OK)
        status = conure_candidate_open(&reference, c->reference, c->contract, c->model, &c->options, err);
    if (status == CONURE_OK)
        status = conure_source_live(&source, reference, &feed, c->contract, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&last, c->contract, err);
    if (status == CONURE_OK) {
        snprintf(info.engine, sizeof info.engine, "%s", conure_candidate_describe(reference));
        snprintf(info.precision, sizeof info.precision, "%s", conure_candidate_precision(reference));
        status = conure_reference_create(&writer, path, c->contract, &info, false, &done, &last, err);
    }
    while (status == CONURE_OK && (status = source->next(source, &chunk, err)) == CONURE_OK)
        status = conure_reference_add(writer, chunk, err);
    if (status == CONURE_END)
        status = conure_reference_commit(&writer, sum, err);
    conure_reference_close(&writer);
    conure_source_close(&source);
    conure_candidate_close(&reference);
    conure_chunk_close(&last);
    return status;
}

static conure_status file_trial(json_t **failed, conure_fault fault, const conure_clearing *c, conure_error *err)
{
    char whole[4096], damaged[4096];
    conure_clearing other = *c;
    if (!file_name(whole, sizeof whole, c, "self-test.reference") || !file_name(damaged, sizeof damaged, c, "self-test.damaged"))
        return conure_fail(err, CONURE_BAD_ARG, "the folder's name is too long");
    conure_status status = write_reference(whole, c, err);
    if (status == CONURE_OK)
        status = conure_fault_file(fault, whole, damaged, err);
    other.reference_file = damaged;
    if (status == CONURE_OK)
        status = judge(failed, CONURE_STAGE_BIT(INPUTS), &other, err);
    unlink(whole);
    unlink(damaged);
    return status;
}

/* The tolerance file with an edit, under the hash of the one that was meant. */
static conure_status tolerance_trial(json_t **failed, const conure_clearing *c, conure_error *err)
{
    char path[4096], sha256[65];
    char *text = NULL;
    size_t bytes;
    conure_writer *writer = NULL;
    conure_clearing other = *c;
    conure_sha256 sha;
    conure_status status = CONURE_OK;
    if (c->tolerance_file)
        status = conure_file_read(&text, &bytes, c->tolerance_file, CONURE_TOLERANCE_BYTES_MAX, err);
    const char *meant = c->tolerance_file ? text : conure_tolerance_note(&bytes);
    if (status == CONURE_OK && !file_name(path, sizeof path, c, "self-test.tolerances.json"))
        status = conure_fail(err, CONURE_BAD_ARG, "the folder's name is too long");
    if (status == CONURE_OK) {
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, meant, bytes);
        conure_sha256_hex(&sha, sha256);
        status = conure_writer_open(&writer, path, err);
    }
    if (status == CONURE_OK) /* one blank is edit enough: the hash is of bytes */
        status = conure_writer_write(writer, meant, bytes, err);
    if (status == CONURE_OK)
        status = conure_writer_write(writer, " ", 1, err);
    if (status == CONURE_OK)
        status = conure_writer_commit(&writer, err);
    conure_writer_abort(&writer);
    free(text);
    other.tolerance_file = path;
    other.pin_tolerances = sha256;
    if (status == CONURE_OK)
        status = judge(failed, CONURE_STAGE_BIT(INPUTS), &other, err);
    unlink(path);
    return status;
}

static conure_status origin_trial(json_t **failed, conure_fault fault, const conure_clearing *c, conure_error *err)
{
    conure_clearing other = *c;
    conure_contract stale = *c->contract;
    if (fault == CONURE_FAULT_OF_EDITED_TOLERANCES)
        return tolerance_trial(failed, c, err);
    if (fault == CONURE_FAULT_OF_STALE_CONTRACT) {
        memset(stale.model_sha256, 'f', 64);
        stale.model_sha256[64] = '\0';
        other.contract = &stale;
    } else {
        other.fault = fault;
    }
    return judge(failed, CONURE_STAGE_BIT(INPUTS), &other, err);
}

static conure_status trial(json_t **failed, conure_fault fault, const conure_clearing *c, conure_error *err)
{
    conure_clearing other = *c;
    other.fault = fault;
    switch (conure_fault_kind_of(fault)) {
    case CONURE_FAULT_FILE: return file_trial(failed, fault, c, err);
    case CONURE_FAULT_ORIGIN: return origin_trial(failed, fault, c, err);
    case CONURE_FAULT_TEXT: return judge(failed, CONURE_STAGE_BIT(AUDIO), &other, err);
    default: return judge(failed, CONURE_STAGE_BIT(FUNCTIONAL) | CONURE_STAGE_BIT(CLOSED_LOOP), &other, err);
    }
}

/* Why this fault is not planted here; NULL: it is. */
static const char *hidden(conure_fault fault, const conure_clearing *c, double slope)
{
    const conure_fault_kind kind = conure_fault_kind_of(fault);
    if (kind == CONURE_FAULT_INNER)
        return "inside the engine: planted by the project's own tests";
    if (kind == CONURE_FAULT_TEXT && !c->audio)
        return "there is no audio";
    if (kind == CONURE_FAULT_FILE && (!c->model || !c->room))
        return "there is no model to make a reference with";
    if (fault == CONURE_FAULT_OF_EDITED_TOLERANCES && !c->room)
        return "there is no folder for an edited file";
    if (fault == CONURE_FAULT_OF_OTHER_MODEL && !c->model && !c->contract->model_sha256[0])
        return "nobody says which model it is";
    if (fault == CONURE_FAULT_OF_STALE_CONTRACT && !c->model)
        return "without a model the contract is all that is known";
    return conure_fault_hidden(fault, c->contract, slope);
}

/* ---- honest pairs ----------------------------------------------------------------------------- */

/* The candidate's spec with other threads or another instruction set; false where that is none. */
static bool vary(char *out, size_t cap, const char *spec, const char *part)
{
    const char *at = strchr(spec, '@');
    conure_engine_spec parsed;
    if (conure_candidate_is_command(spec) || conure_engine_spec_parse(&parsed, spec, NULL) != CONURE_OK)
        return false;
    const bool isa = strncmp(part, "isa=", 4) == 0;
    if (isa && strncmp(spec, "cpu", 3) != 0)
        return false;
    char kept[1200] = "";
    if (isa && parsed.n_threads)
        snprintf(kept, sizeof kept, ",threads=%u", parsed.n_threads);
    else if (!isa && parsed.isa[0])
        snprintf(kept, sizeof kept, ",isa=%s", parsed.isa);
    if (parsed.device)
        snprintf(kept + strlen(kept), sizeof kept - strlen(kept), ",device=%u", parsed.device);
    if (parsed.library[0])
        snprintf(kept + strlen(kept), sizeof kept - strlen(kept), ",library=%s", parsed.library);
    if (parsed.ranges[0])
        snprintf(kept + strlen(kept), sizeof kept - strlen(kept), ",ranges=%s", parsed.ranges);
    snprintf(out, cap, "%.*s@%s%s", at ? (int)(at - spec) : (int)strlen(spec), spec, part, kept);
    return true;
}

static conure_status honest_pair(json_t *list, const char *what, const char *variant, const conure_clearing *c, conure_error *err)
{
    conure_clearing pair = *c;
    json_t *failed = NULL;
    char text[320];
    pair.reference = c->candidate;
    pair.reference_file = NULL;
    pair.candidate = variant;
    const conure_status status = judge(&failed, CONURE_STAGE_BIT(FUNCTIONAL) | CONURE_STAGE_BIT(CLOSED_LOOP), &pair, err);
    snprintf(text, sizeof text, "%s: %.120s and %.120s", what, c->candidate, variant);
    if (status == CONURE_OK)
        json_array_append_new(list, json_pack("{s:s, s:O}", "pair", text, "failed", failed));
    json_decref(failed);
    return status;
}

static conure_status honest_pairs(json_t *list, const conure_clearing *c, conure_error *err)
{
    char spec[2048];
    uint32_t features = 0;
    conure_status status = honest_pair(list, "the same engine twice", c->candidate, c, err);
    if (status == CONURE_OK && vary(spec, sizeof spec, c->candidate, "threads=1"))
        status = honest_pair(list, "another thread count", spec, c, err);
    const bool wide = conure_cpu_features(&features, "avx2", NULL) == CONURE_OK && features;
    if (status == CONURE_OK && vary(spec, sizeof spec, c->candidate, wide ? "isa=avx2" : "isa=c"))
        status = honest_pair(list, "another instruction set", spec, c, err);
    return status;
}

/* ---- the stage -------------------------------------------------------------------------------- */

/* The same clearance with few chunks and, within trials, no progress of its own. */
static conure_clearing small(const conure_clearing *c)
{
    conure_clearing s = *c;
    s.n_functional = s.n_closed_loop = c->n_self_test;
    s.progress = NULL;
    s.fault = CONURE_FAULT_NONE;
    return s;
}

/* What the tolerances allow, and how long the run is that counts. */
typedef struct sized {
    double slope;
    uint64_t n_closed_loop;
    char precision[32];
} sized;

static conure_status size_up(sized *s, const conure_clearing *c, conure_error *err)
{
    conure_tolerance tolerance;
    conure_candidate *candidate, *honest = NULL;
    conure_status status = conure_clearing_candidate(&candidate, &honest, c, err);
    if (status == CONURE_OK)
        status = conure_clearing_tolerance(&tolerance, candidate, c, NULL, err);
    *s = (sized){.slope = status == CONURE_OK ? tolerance.slope_per_chunk : 0};
    if (status == CONURE_OK)
        snprintf(s->precision, sizeof s->precision, "%s", c->precision ? c->precision : conure_candidate_precision(candidate));
    conure_candidate_close(&candidate);
    conure_candidate_close(&honest);
    return status;
}

static bool names(const json_t *failed, conure_gate gate)
{
    size_t i;
    json_t *one;
    json_array_foreach(failed, i, one)
        if (strcmp(json_string_value(one), conure_gate_name(gate)) == 0)
            return true;
    return false;
}

/* A fault that was not noticed: would it be if the reference itself had it, by the same tolerances?  If not, these are wider than what it
 * does, and no harness could see it; the report says so. */
static conure_status too_wide(bool *wide, conure_fault fault, const conure_clearing *c, const char *precision, conure_error *err)
{
    conure_clearing other = *c;
    json_t *failed = NULL;
    other.candidate = c->reference;
    other.precision = precision;
    const conure_status status = trial(&failed, fault, &other, err);
    *wide = status == CONURE_OK && !names(failed, conure_fault_gate(fault));
    json_decref(failed);
    return status;
}

/* What grows from chunk to chunk shows in as many as are judged, if not in a trial's few: the closed loop alone, over n_whole chunks.  An
 * honest candidate must pass it first; otherwise the fault was not what failed, and nothing changes. */
static conure_status longer(json_t **failed, conure_fault fault, conure_clearing *c, uint64_t n_whole, conure_error *err)
{
    conure_clearing whole = *c;
    json_t *honest = NULL, *again = NULL;
    whole.n_closed_loop = n_whole < LONGER_MAX ? n_whole : LONGER_MAX;
    if (whole.n_closed_loop <= c->n_closed_loop)
        return CONURE_OK;
    conure_status status = judge(&honest, CONURE_STAGE_BIT(CLOSED_LOOP), &whole, err);
    whole.fault = fault;
    if (status == CONURE_OK && !names(honest, conure_fault_gate(fault)))
        status = judge(&again, CONURE_STAGE_BIT(CLOSED_LOOP), &whole, err);
    if (status == CONURE_OK && again) {
        json_decref(*failed);
        *failed = again;
        again = NULL;
        c->n_closed_loop = whole.n_closed_loop;
    }
    json_decref(honest);
    json_decref(again);
    return status;
}

static conure_status one_fault(json_t *list, conure_fault fault, const conure_clearing *c, const sized *s, conure_error *err)
{
    const char *why_not = hidden(fault, c, s->slope);
    json_t *failed = NULL;
    bool wide = false;
    conure_clearing tried = *c;
    conure_status status = why_not ? CONURE_OK : trial(&failed, fault, &tried, err);
    if (status == CONURE_OK && failed && fault == CONURE_FAULT_OF_DRIFT && !names(failed, conure_fault_gate(fault)))
        status = longer(&failed, fault, &tried, s->n_closed_loop, err);
    if (status == CONURE_OK && failed && conure_fault_kind_of(fault) == CONURE_FAULT_TENSOR && !names(failed, conure_fault_gate(fault)))
        status = too_wide(&wide, fault, &tried, s->precision, err);
    if (wide)
        why_not = "the tolerances are wider than what it does: the reference with this fault is within them";
    json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s?, s:O*}", "fault", conure_fault_name(fault), "what", conure_fault_what(fault), "kind",
                            conure_fault_kind_name(conure_fault_kind_of(fault)), "gate", conure_gate_name(conure_fault_gate(fault)), "planted",
                            why_not == NULL, "why_not", why_not, "failed", failed);
    if (tried.n_closed_loop != c->n_closed_loop)
        json_object_set_new(one, "chunks", json_integer((json_int_t)tried.n_closed_loop));
    if (wide)
        json_object_set_new(one, "too_wide", json_true());
    if (status == CONURE_OK)
        json_array_append_new(list, one);
    else
        json_decref(one);
    json_decref(failed);
    return status;
}

conure_status conure_stage_self_test(json_t *out, const conure_clearing *clearing, conure_error *err)
{
    conure_kept_engines kept = {0};
    conure_clearing c = small(clearing);
    json_t *faults = json_array(), *honest = json_array();
    sized s;
    json_object_set_new(out, "chunks", json_integer((json_int_t)c.n_self_test));
    json_object_set_new(out, "faults", faults);
    json_object_set_new(out, "honest", honest);
    if (!c.inject) /* a fault inside the engine may be one of opening it */
        c.options.kept = &kept;
    conure_status status = size_up(&s, &c, err);
    s.n_closed_loop = clearing->n_closed_loop;
    for (conure_fault f = 0; f < CONURE_FAULTS && status == CONURE_OK; f++) {
        status = one_fault(faults, f, &c, &s, err);
        if (status == CONURE_OK && !conure_clearing_show(clearing, "self_test", f + 1, CONURE_FAULTS + 1))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    if (status == CONURE_OK)
        status = honest_pairs(honest, &c, err);
    conure_kept_engines_close(&kept);
    return status;
}

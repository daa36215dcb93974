/* summary.c - a parity run as JSON: everything that a verdict rests on, in a fixed order. */
#include "clearance/parity.h"

#include <math.h>
#include <string.h>

/* JSON has no infinity: null says "no limit", or "not finite". */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *limits(const conure_limits *l)
{
    return json_pack("{s:o, s:o, s:o}", "absolute_p95", number(l->absolute_p95), "absolute_max", number(l->absolute_max), "relative_max",
                     number(l->relative_max));
}

static json_t *tensor(const conure_parity_tensor *t, const conure_limits *l)
{
    const conure_errors *e = &t->errors;
    json_t *first = t->n_bad ? json_pack("{s:o, s:o, s:o}", "chunk", count(t->first_chunk), "index", count(t->first_index), "error",
                                         number(t->first_error))
                             : json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "chunks", count(t->n_chunks), "count",
                     count(e->n + e->n_not_finite), "not_finite", count(e->n_not_finite), "max", number(e->max), "mean",
                     number(e->n ? e->sum / (double)e->n : 0), "p50", number(conure_errors_percentile(e, 0.50)), "p95",
                     number(conure_errors_percentile(e, 0.95)), "p99", number(conure_errors_percentile(e, 0.99)), "relative_max",
                     number(e->relative_max), "bad_chunks", count(t->n_bad), "first_bad", first, "limits", limits(l));
}

static json_t *length(const conure_parity_length *l)
{
    json_t *first = l->n_bad ? json_pack("{s:o, s:I, s:I}", "chunk", count(l->first_chunk), "expected", (json_int_t)l->expected, "got",
                                         (json_int_t)l->got)
                             : json_null();
    return json_pack("{s:o, s:o, s:o}", "chunks", count(l->n), "different", count(l->n_bad), "first_bad", first);
}

static json_t *tensors(const conure_parity_report *r, const conure_tolerance *t)
{
    json_t *all = json_object();
    for (conure_measured m = 0; m < CONURE_MEASURED; m++) {
        json_t *one = tensor(&r->tensors[m], &t->limits[m]);
        json_object_set_new(one, "gain", number(r->gain[m]));
        json_object_set_new(all, conure_measured_name(m), one);
    }
    json_object_set_new(all, "encoded_lengths", length(&r->lengths[0]));
    json_object_set_new(all, "cache_last_channel_len", length(&r->lengths[1]));
    return all;
}

static json_t *assertions(const conure_parity_report *r)
{
    json_t *all = json_object();
    for (conure_rule rule = 0; rule < CONURE_RULES; rule++)
        json_object_set_new(all, conure_rule_id(rule),
                            json_pack("{s:o, s:o}", "checked", count(r->assertions.checked[rule]), "violated", count(r->assertions.violated[rule])));
    return json_pack("{s:o, s:o, s:o, s:s?, s:o}", "steps", count(r->assertions.n_steps), "bad_steps", count(r->assertions.n_bad_steps),
                     "not_finite", count(r->assertions.n_not_finite + r->n_not_finite), "first", r->first_violation[0] ? r->first_violation : NULL, "rules", all);
}

static json_t *flow(const conure_parity_report *r)
{
    const bool any = r->n_chunks > 0;
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "by_rule", r->flows_by_rule, "length_first",
                     any ? json_integer(r->length_first) : json_null(), "length_max", any ? json_integer(r->length_max) : json_null(),
                     "zeroed_rows_change", r->probed ? number(r->zeroed_change) : json_null(), "masked_rows_change",
                     r->has_masked ? number(r->masked_change) : json_null(), "rounding",
                     r->probed ? number(r->rounding) : json_null());
}

static json_t *drift(const conure_parity_report *r, const conure_tolerance *t)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "residual", r->n_chunks && r->residual >= 0 ? number(r->residual) : json_null(), "slope_per_chunk",
                     r->has_slope ? number(r->slope) : json_null(), "half_width_95", r->has_slope ? number(r->slope_half_width) : json_null(),
                     "limit", number(t->slope_per_chunk));
}

static json_t *reasons(const conure_parity_report *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_reasons; i++)
        json_array_append_new(list, json_string(r->reasons[i]));
    return list;
}

json_t *conure_parity_summary(const conure_parity_report *r, const conure_source *source, const conure_candidate *candidate,
                              const conure_tolerance *t, const char *tolerance_sha256, const char *error)
{
    char switches[32];
    json_t *tolerance = json_pack("{s:s, s:s, s:s, s:s, s:s?}", "file", t->file, "entry", t->name, "why", t->why, "source", t->source, "sha256",
                                  tolerance_sha256);
    if (tolerance && t->speech_chunks >= 0)
        json_object_set_new(tolerance, "speech_chunks", json_integer(t->speech_chunks));
    json_t *reference = json_pack("{s:s, s:s?, s:o}", "what", source->what, "sha256", source->sha256[0] ? source->sha256 : NULL, "chunks",
                                  count(source->n_chunks));
    json_t *who = json_pack("{s:s?, s:s?}", "what", candidate ? candidate->description : NULL, "precision",
                            candidate ? candidate->precision : NULL);
    return json_pack("{s:s, s:s, s:o, s:s?, s:o, s:o, s:o, s:{s:s, s:s?, s:s, s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verdict",
                     conure_verdict_name(r->verdict), "mode", r->mode == CONURE_PARITY_FUNCTIONAL ? "functional" : "closed_loop", "reasons",
                     reasons(r), "error", error, "candidate", who, "reference", reference, "tolerances", tolerance, "contract", "model",
                     source->contract->model, "model_sha256", source->contract->model_sha256[0] ? source->contract->model_sha256 : NULL,
                     "config_sha256", source->contract->config_sha256, "precision", conure_contract_precision(source->contract, switches), "chunks", count(r->n_chunks), "skipped", count(r->n_skipped), "tensors",
                     tensors(r, t), "drift", drift(r, t), "flow", flow(r), "assertions", assertions(r), "seconds", number(r->seconds),
                     "candidate_seconds", number(r->candidate_seconds));
}

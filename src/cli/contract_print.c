/* contract_print.c - see contract_print.h. */
#include "cli/contract_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/terminal.h"
#include "contract/internal.h"

enum { STEPS_MAX = 64 };

static bool print_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(json);
    return text != NULL;
}

/* "584" or "584..592" */
static const char *range(char out[32], int64_t a, int64_t b)
{
    if (a == b)
        snprintf(out, 32, "%lld", (long long)a);
    else
        snprintf(out, 32, "%lld..%lld", (long long)a, (long long)b);
    return out;
}

static const char no_flow[] = "no row is ever kept with these profiles: no state flows, and a clearance on it can only say \"not proven\"";

/* ---- what follows from a contract ------------------------------------------------------------- */

/* Steps of one profile at one frame count. */
typedef struct forecast {
    conure_prediction step[2]; /* the first, a later one */
    int64_t lengths[STEPS_MAX];
    uint32_t n;
} forecast;

static void predict(const conure_contract *k, const conure_profile *p, uint32_t n_frames, uint32_t n_steps, forecast *f)
{
    int64_t length = 0;
    *f = (forecast){.n = 0};
    const uint32_t n = p->steps == CONURE_STEPS_FIRST ? 1 : n_steps < STEPS_MAX ? n_steps : STEPS_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const bool first = i == 0 && p->steps != CONURE_STEPS_LATER;
        conure_prediction *step = &f->step[i > 0];
        conure_contract_predict(k, first, n_frames, n_frames, length, false, step);
        f->lengths[f->n++] = length = step->length_out;
        if (step->breaks)
            break;
    }
    if (f->n < 2)
        f->step[1] = f->step[0];
}

static json_t *forecast_json(const conure_contract *k, const conure_profile *p, uint32_t n_frames, uint32_t n_steps)
{
    forecast f;
    predict(k, p, n_frames, n_steps, &f);
    json_t *lengths = json_array();
    for (uint32_t i = 0; i < f.n; i++)
        if (json_array_append_new(lengths, json_integer(f.lengths[i])) != 0) {
            json_decref(lengths);
            return NULL;
        }
    const conure_prediction *s = &f.step[1];
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:b}", "T", (json_int_t)n_frames, "T_sub", (json_int_t)s->t_sub, "rows",
                     (json_int_t)s->rows, "keep", (json_int_t)s->keep, "encoder_frames", (json_int_t)s->encoder_frames, "encoded_length",
                     (json_int_t)s->encoded_length, "lengths", lengths, "breaks", s->breaks);
}

static json_t *forecasts(const conure_contract *k, uint32_t n_steps)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_profile *p = &k->profiles[i];
        json_t *one = json_pack("{s:s, s:o, s:o}", "profile", p->name, "shortest", forecast_json(k, p, p->t_min, n_steps), "longest",
                                forecast_json(k, p, p->t_max, n_steps));
        if (json_array_append_new(list, one) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* ---- show ------------------------------------------------------------------------------------- */

static void print_head(const conure_contract *k, const char *sha256)
{
    const conure_streaming *s = &k->streaming;
    char precision[32];
    printf("contract     encoder_streaming, written by %s %s\n", k->tool, k->tool_version);
    printf("hash         %s\n", sha256);
    printf("model        %s, %s%s, configuration %.16s\n", k->model, k->model_sha256[0] ? "weights " : "any weights",
           k->model_sha256[0] ? k->model_sha256 : "", k->config_sha256);
    for (uint32_t i = 0; i < k->n_files; i++)
        printf("file         %s %s\n", k->files[i].name, k->files[i].sha256);
    printf("encoder      %u layers of width %u, %u mel bins, %u mel frames to an encoder frame\n", k->n_layers, k->d_model,
           k->mel_bins, s->factor);
    printf("slices       [first, later] chunk [%u, %u], in front [%u, %u], shift [%u, %u] mel frames\n", s->chunk_frames[0],
           s->chunk_frames[1], s->front_frames[0], s->front_frames[1], s->shift_frames[0], s->shift_frames[1]);
    printf("steps        drop [%u, %u] encoder frames in front, give %u; the last %u enter no cache\n", s->drop_extra[0], s->drop_extra[1],
           s->valid_out, s->cache_drop);
    printf("cache        %u rows, %s, padded on the %s; time cache %s\n", s->cache_rows, k->layer_first ? "layer first" : "batch first",
           k->pad_right ? "right" : "left", k->time_cache_aligned ? "aligned" : "nemo");
    printf("conventions  negative keep %s, mask %s, determinism %s\n", k->keep_negative ? "nemo" : "clamped",
           k->mask_exact ? "exact" : "nemo", k->repeatable ? "bitwise" : "unspecified");
    printf("precision    %s\n", conure_contract_precision(k, precision));
}

static void print_tensors(const json_t *list, const char *title)
{
    printf("\n%-27s %-8s %-28s %s\n", title, "TYPE", "SHAPE", "CONSTRAINT");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i), *shape = json_object_get(t, "shape");
        char text[96] = "";
        for (size_t d = 0; d < json_array_size(shape); d++) {
            const json_t *dimension = json_array_get(shape, d);
            const size_t used = strlen(text);
            if (json_is_string(dimension))
                snprintf(text + used, sizeof text - used, "%s%s", d ? ", " : "[", json_string_value(dimension));
            else
                snprintf(text + used, sizeof text - used, "%s%lld", d ? ", " : "[", (long long)json_integer_value(dimension));
        }
        strncat(text, "]", sizeof text - strlen(text) - 1);
        printf("%-27s %-8s %-28s %s\n", json_string_value(json_object_get(t, "name")), json_string_value(json_object_get(t, "dtype")), text,
               json_string_value(json_object_get(t, "constraint")));
    }
}

static void print_lengths(const forecast *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        printf("%s%lld", i ? ", " : "", (long long)f->lengths[i]);
    if (f->step[f->n > 1].breaks)
        printf(" and then the cache has lost rows");
}

static void print_profiles(const conure_contract *k, uint32_t n_steps)
{
    printf("\n%-16s %-6s %-10s %-6s %-8s %-7s %-6s %s\n", "PROFILE", "STEPS", "T", "B", "ROWS", "KEEP", "GIVES", "CACHE LENGTH AFTER EACH STEP");
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_profile *p = &k->profiles[i];
        forecast shortest, longest;
        char t[32], b[32], rows[32], keep[32], gives[32];
        predict(k, p, p->t_min, n_steps, &shortest);
        predict(k, p, p->t_max, n_steps, &longest);
        const conure_prediction *lo = &shortest.step[1], *hi = &longest.step[1];
        printf("%-16s %-6s %-10s %-6s %-8s %-7s %-6s ", p->name, conure_steps_names[p->steps], range(t, p->t_min, p->t_max),
               range(b, p->b_min, p->b_max), range(rows, lo->rows, hi->rows), range(keep, lo->keep, hi->keep),
               range(gives, lo->encoder_frames, hi->encoder_frames));
        print_lengths(&shortest);
        if (p->t_min != p->t_max) {
            printf(" (T = %u); ", p->t_min);
            print_lengths(&longest);
            printf(" (T = %u)", p->t_max);
        }
        printf("\n");
    }
}

bool conure_contract_print(const conure_contract *k, const char *sha256, uint32_t n_steps, bool json)
{
    json_t *tree = conure_contract_tree(k);
    if (json)
        return print_json(json_pack("{s:s, s:b, s:o, s:o}", "sha256", sha256, "state_flows", conure_contract_state_flows(k), "forecast",
                                    forecasts(k, n_steps), "contract", tree));
    if (!tree)
        return false;
    print_head(k, sha256);
    print_tensors(json_object_get(tree, "inputs"), "INPUT");
    print_tensors(json_object_get(tree, "outputs"), "OUTPUT");
    print_profiles(k, n_steps);
    printf("\n%-16s %s\n", "ASSERTION", "AFTER EVERY STEP");
    for (uint32_t i = 0; i < CONURE_RULES; i++)
        if (k->asserts[i])
            printf("%-16s %s\n", conure_rule_id(i), conure_rule_what(i));
    if (!conure_contract_state_flows(k))
        printf("\nNote: %s.\n", no_flow);
    json_decref(tree);
    return true;
}

/* ---- check ------------------------------------------------------------------------------------ */

bool conure_contract_print_valid(const conure_contract *k, const char *path, const char *sha256, bool json)
{
    if (json)
        return print_json(json_pack("{s:s, s:s, s:b, s:b, s:s}", "contract", path, "sha256", sha256, "valid", 1, "state_flows",
                                    conure_contract_state_flows(k), "model", k->model));
    printf("valid: a contract for %s, %u profiles\n", k->model, k->n_profiles);
    if (!conure_contract_state_flows(k))
        conure_say(CONURE_SAY_NOTE, "%s", no_flow);
    return true;
}

static json_t *items_json(const conure_check_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < CONURE_RULES + CONURE_CHECKS; i++) {
        const conure_check_item *item = &r->items[i];
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:s*}", "check", item->id, "what", item->what, "checked",
                                                  (json_int_t)item->checked, "violated", (json_int_t)item->violated, "first",
                                                  item->first[0] ? item->first : NULL)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *ran_json(const conure_check_report *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->n_profiles; i++) {
        const conure_check_profile *p = &r->profiles[i];
        if (json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "profile", p->profile->name, "batch", (json_int_t)p->batch, "steps",
                                                  (json_int_t)p->n_steps, "length_out", (json_int_t)p->length_out)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

bool conure_contract_print_report(const conure_contract *k, const char *path, const char *sha256, const char *engine,
                                  const conure_check_report *r, bool json)
{
    if (json)
        return print_json(json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:f, s:o, s:o}", "contract", path, "sha256", sha256, "model", k->model,
                                    "engine", engine, "holds", r->n_violated == 0, "state_flows", r->state_flows, "seconds", r->seconds,
                                    "profiles", ran_json(r), "checks", items_json(r)));
    printf("%s\n%s on %s, %.1f s\n\n", r->n_violated ? "BROKEN" : "holds", k->model, engine, r->seconds);
    for (uint32_t i = 0; i < r->n_profiles; i++)
        printf("profile %s: %u steps, batch %u, four times; cache length %lld at the end\n", r->profiles[i].profile->name,
               r->profiles[i].n_steps, r->profiles[i].batch, (long long)r->profiles[i].length_out);
    printf("\n%-16s %9s %9s  %s\n", "CHECK", "LOOKED AT", "BROKEN", "WHAT");
    for (size_t i = 0; i < CONURE_RULES + CONURE_CHECKS; i++) {
        const conure_check_item *item = &r->items[i];
        printf("%-16s %9llu %9llu  %s\n", item->id, (unsigned long long)item->checked, (unsigned long long)item->violated,
               item->first[0] ? item->first : item->what);
    }
    if (!r->state_flows)
        printf("\nNote: %s.\n", no_flow);
    return true;
}

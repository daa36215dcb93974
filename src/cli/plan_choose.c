/* plan_choose.c - which plans a contract needs; see plan_build.h. */
#include "cli/plan_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "engine/engine.h"
#include "model/load.h"
#include "model/quote.h"

enum { OFFLINE_FRAMES_MIN = 64 };

/* Widened by a profile. */
static void widen(conure_plan_side *s, const conure_profile *p)
{
    const bool first = s->t[2] == 0;
    s->t[0] = first || p->t_min < s->t[0] ? p->t_min : s->t[0];
    s->b[0] = first || p->b_min < s->b[0] ? p->b_min : s->b[0];
    s->t[1] = p->t_opt > s->t[1] ? p->t_opt : s->t[1];
    s->b[1] = p->b_opt > s->b[1] ? p->b_opt : s->b[1];
    s->t[2] = p->t_max > s->t[2] ? p->t_max : s->t[2];
    s->b[2] = p->b_max > s->b[2] ? p->b_max : s->b[2];
}

/* One plan over the profiles of these steps, or over the one of this name. */
static bool over(conure_plan_side *s, const conure_contract *k, bool first, bool later, const char *name)
{
    s->t[2] = 0;
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_profile *p = &k->profiles[i];
        const bool serves = (first && p->steps != CONURE_STEPS_LATER) || (later && p->steps != CONURE_STEPS_FIRST);
        if (name ? strcmp(p->name, name) == 0 : serves)
            widen(s, p);
    }
    return s->t[2] > 0;
}

static conure_status no_profile(const conure_contract *k, const char *profile, conure_error *err)
{
    char names[320] = "";
    for (uint32_t i = 0; i < k->n_profiles && strlen(names) + 70 < sizeof names; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), ", %.60s", k->profiles[i].name);
    return conure_fail(err, CONURE_BAD_ARG, "--profile %.60s: there are all, first, next, unified, offline, a file FILE.json and the contract's own%s", profile, names);
}

static const conure_profile *named(const conure_contract *k, const char *name)
{
    for (uint32_t i = 0; i < k->n_profiles; i++)
        if (strcmp(k->profiles[i].name, name) == 0)
            return &k->profiles[i];
    return NULL;
}

static conure_status choose_steps(conure_plan_side out[], uint32_t *n, const conure_contract *k, const char *profile, conure_error *err)
{
    const uint32_t *drop = k->streaming.drop_extra;
    const bool same = drop[0] == drop[1], all = strcmp(profile, "all") == 0, unified = strcmp(profile, "unified") == 0;
    bool first = strcmp(profile, "first") == 0, later = strcmp(profile, "next") == 0;
    const conure_profile *own = all || unified || first || later ? NULL : named(k, profile);
    if (unified && !same)
        return conure_fail(err, CONURE_BAD_ARG, "--profile unified: the contract drops %u encoder frames of the first step and %u of later ones, "
                           "which takes two plans: --profile all builds both", drop[0], drop[1]);
    if (own) {
        first = own->steps != CONURE_STEPS_LATER;
        later = own->steps != CONURE_STEPS_FIRST;
    }
    if (all || unified)
        first = later = true;
    if (!first && !later)
        return no_profile(k, profile, err);
    if (same) {
        out[0].drop_first = drop[0];
        *n += over(&out[0], k, first, later, own ? profile : NULL);
    } else {
        for (int i = 0; i < 2; i++) {
            out[*n].drop_first = drop[i];
            *n += (i ? later : first) && over(&out[*n], k, i == 0, i == 1, own ? profile : NULL);
        }
    }
    return *n ? CONURE_OK : no_profile(k, profile, err);
}

/* Ranges from a file in place of the contract's, unless a profile of the contract is called so. */
static bool is_file(const conure_contract *k, const char *profile)
{
    const size_t n = strlen(profile);
    return !named(k, profile) && (strchr(profile, '/') || (n > 5 && strcmp(profile + n - 5, ".json") == 0));
}

/* As the reader of side files takes it: whole characters, none of them controls.  A file may be called anything, and this is written when all is built. */
static void take_name(conure_plan_side *s, const char *name)
{
    for (size_t left = strlen(name), used = 0, bytes; left > 0 && used + 4 < sizeof s->model; name += bytes, left -= bytes) {
        const int32_t code = conure_character(name, left, &bytes);
        const bool plain = code >= 0 && !conure_is_control(code);
        used += (size_t)snprintf(s->model + used, 5, "%.*s", plain ? (int)bytes : 1, plain ? name : "?");
    }
}

/* Everything but ranges and dropped frames. */
static conure_status common(conure_plan_side *s, const conure_model *model, const conure_plan_wish *w, conure_error *err)
{
    const conure_contract *k = w->contract;
    static const char *const offline[CONURE_PLAN_TENSORS] = {[CONURE_PLAN_FEATURES] = "audio_signal", [CONURE_PLAN_LENGTH] = "length",
                                                             [CONURE_PLAN_ENCODER] = "outputs", [CONURE_PLAN_ENCODED_LENGTH] = "encoded_lengths"};
    const conure_mask mask = w->mask ? w->mask : model->config.mask;
    *s = (conure_plan_side){.mask_exact = k ? k->mask_exact : mask == CONURE_MASK_EXACT, .streaming = k != NULL, .level = w->level, .by_layer = w->by_layer,
                            .tf32 = w->precision == CONURE_PRECISION_TF32, .f16 = w->precision == CONURE_PRECISION_F16 || w->f16_beside,
                            .bf16 = w->precision == CONURE_PRECISION_BF16, .int8 = w->precision == CONURE_PRECISION_INT8,
                            .n_audio = w->n_utterances};
    snprintf(s->audio_sha256, sizeof s->audio_sha256, "%s", w->audio_sha256 ? w->audio_sha256 : "");
    take_name(s, model->name);
    snprintf(s->precision, sizeof s->precision, "%s", conure_precision_name(w->precision));
    for (uint32_t i = 0; i < CONURE_PLAN_TENSORS; i++)
        snprintf(s->names[i], sizeof s->names[i], "%s", k ? k->names[i] : offline[i] ? offline[i] : "");
    if (k) {
        s->layer_first = k->layer_first;
        conure_contract_cache_options(k, &s->caches);
    }
    return conure_model_hash(model, s->model_sha256, err);
}

static conure_status contract_hash(const conure_contract *k, char hex[65], conure_error *err)
{
    char *text = NULL;
    conure_sha256 sha;
    const conure_status status = conure_contract_dump(k, &text, err);
    if (status != CONURE_OK)
        return status;
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, text, strlen(text));
    conure_sha256_hex(&sha, hex);
    free(text);
    return CONURE_OK;
}

/* What the precision needs, and what is of no use to it. */
static conure_status check(const conure_plan_wish *w, conure_error *err)
{
    const bool int8 = w->precision == CONURE_PRECISION_INT8;
    if (int8 && !w->n_utterances)
        return conure_fail(err, CONURE_BAD_ARG, "--precision int8 takes its scales from speech: name recordings with --audio FILE|FOLDER, a dozen "
                           "short ones are plenty");
    if (w->n_utterances && !int8 && w->precision != CONURE_PRECISION_F16)
        return conure_fail(err, CONURE_BAD_ARG, "--audio is for --precision int8 and f16, %s needs none", conure_precision_name(w->precision));
    if (w->f16_beside && !int8)
        return conure_fail(err, CONURE_BAD_ARG, "--beside f16 is for --precision int8: it says what is not quantised");
    return CONURE_OK;
}

conure_status conure_plans_choose(conure_plan_side out[CONURE_PLANS_OF_CONTRACT], uint32_t *n, const conure_model *model, const conure_plan_wish *w,
                                  conure_error *err)
{
    char contract[65] = "";
    *n = 0;
    conure_status status = check(w, err);
    if (status == CONURE_OK && w->contract)
        status = conure_contract_matches(w->contract, model, err);
    if (status == CONURE_OK && w->contract)
        status = contract_hash(w->contract, contract, err);
    for (int i = 0; i < CONURE_PLANS_OF_CONTRACT && status == CONURE_OK; i++) {
        status = common(&out[i], model, w, err);
        memcpy(out[i].contract_sha256, contract, sizeof contract);
    }
    if (status != CONURE_OK)
        return status;
    if (w->contract && is_file(w->contract, w->profile)) {
        conure_contract own = *w->contract;
        status = conure_contract_take_profiles(&own, w->profile, err);
        if (status == CONURE_OK)
            status = choose_steps(out, n, &own, "all", err);
    } else if (w->contract) {
        status = choose_steps(out, n, w->contract, w->profile, err);
    } else {
        const uint32_t least = w->frames_max < OFFLINE_FRAMES_MIN ? w->frames_max : OFFLINE_FRAMES_MIN;
        out[0].t[0] = least;
        out[0].t[1] = out[0].t[2] = w->frames_max;
        out[0].b[0] = out[0].b[1] = out[0].b[2] = 1;
        *n = 1;
    }
    for (uint32_t i = 0; i < *n && w->batch_max; i++) {
        out[i].b[0] = 1;
        out[i].b[1] = out[i].b[2] = w->batch_max;
    }
    for (uint32_t i = 0; i < *n && w->fixed; i++) {
        out[i].b[0] = out[i].b[1] = out[i].b[2];
        if (!out[i].streaming)
            out[i].t[0] = out[i].t[2];
    }
    for (uint32_t i = 0; i < *n && status == CONURE_OK; i++)
        if (!conure_plan_rows_fit(&out[i], &model->config))
            status = conure_fail(err, CONURE_LIMIT, "a batch of %u with caches of %u rows in %u layers: more than 2^31 rows in all, ask for a smaller "
                                 "batch", out[i].b[2], out[i].caches.cache_rows, model->config.n_layers);
    return status;
}

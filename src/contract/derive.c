/* derive.c - a contract from a checkpoint or its configuration, and a streaming configuration. */
#include "contract/internal.h"

#include "base/files.h"
#include "model/graphs.h"
#include "model/load.h"
#include "model/quote.h"

#include <stdio.h>
#include <string.h>

/* The note's names; an engine whose graph has others says so in its contract. */
static const char *const default_names[CONURE_ROLES] = {
    "audio_signal",    "length",          "cache_last_channel",     "cache_last_time",     "cache_last_channel_len",
    "encoder_output",  "encoded_lengths", "cache_last_channel_out", "cache_last_time_out", "cache_last_channel_len_out",
};

static conure_status bad_profile(const char *text, size_t n, conure_error *err)
{
    char quoted[80];
    return conure_fail(err, CONURE_BAD_ARG, "profile '%s': expected [NAME=]T or [NAME=]T..T, such as 593, first=592 or "
                       "unified=584..592", conure_quote(quoted, sizeof quoted, text, n));
}

static bool parse_frames(const char **at, const char *end, uint32_t *out)
{
    const char *start = *at;
    uint32_t value = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && value <= CONURE_CONTRACT_FRAMES_MAX; (*at)++)
        value = value * 10 + (uint32_t)(**at - '0');
    *out = value;
    return *at > start && value >= 1 && value <= CONURE_CONTRACT_FRAMES_MAX;
}

static conure_status parse_profile(conure_profile *p, const char *text, size_t n, conure_error *err)
{
    const char *end = text + n, *equals = memchr(text, '=', n), *at = equals ? equals + 1 : text;
    if (!parse_frames(&at, end, &p->t_min))
        return bad_profile(text, n, err);
    p->t_max = p->t_min;
    if (end - at > 2 && at[0] == '.' && at[1] == '.') {
        at += 2;
        if (!parse_frames(&at, end, &p->t_max) || p->t_max < p->t_min)
            return bad_profile(text, n, err);
    }
    if (at != end || (equals && (equals == text || equals - text >= CONURE_CONTRACT_NAME_CAP)))
        return bad_profile(text, n, err);
    if (equals)
        snprintf(p->name, sizeof p->name, "%.*s", (int)(equals - text), text);
    else if (p->t_min == p->t_max)
        snprintf(p->name, sizeof p->name, "T%u", p->t_min);
    else
        snprintf(p->name, sizeof p->name, "T%u-%u", p->t_min, p->t_max);
    p->steps = strcmp(p->name, "first") == 0   ? CONURE_STEPS_FIRST
               : strcmp(p->name, "later") == 0 ? CONURE_STEPS_LATER
                                               : CONURE_STEPS_ALL;
    p->t_opt = p->t_max;
    return CONURE_OK;
}

static conure_status parse_profiles(conure_contract *k, const char *text, conure_error *err)
{
    for (;;) {
        const size_t n = strcspn(text, ",");
        if (k->n_profiles == CONURE_PROFILES_MAX)
            return conure_fail(err, CONURE_BAD_ARG, "more than %d profiles", CONURE_PROFILES_MAX);
        const conure_status status = parse_profile(&k->profiles[k->n_profiles++], text, n, err);
        if (status != CONURE_OK || !text[n])
            return status;
        text += n + 1;
    }
}

/* What the schedule itself feeds. */
static void default_profiles(conure_contract *k)
{
    const conure_streaming *s = &k->streaming;
    const uint32_t t[2] = {s->chunk_frames[0] + s->front_frames[0], s->chunk_frames[1] + s->front_frames[1]};
    const bool same = t[0] == t[1];
    k->n_profiles = same ? 1 : 2;
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        conure_profile *p = &k->profiles[i];
        *p = (conure_profile){.t_min = t[i], .t_opt = t[i], .t_max = t[i]};
        p->steps = same ? CONURE_STEPS_ALL : i ? CONURE_STEPS_LATER : CONURE_STEPS_FIRST;
        snprintf(p->name, sizeof p->name, "%s", same ? "all" : i ? "later" : "first");
    }
}

static conure_status set_precision(conure_contract *k, const char *name, conure_error *err)
{
    if (!name || strcmp(name, "f32") == 0)
        return CONURE_OK;
    k->tf32 = strcmp(name, "tf32") == 0;
    k->f16 = strcmp(name, "f16") == 0;
    k->bf16 = strcmp(name, "bf16") == 0;
    k->int8 = strcmp(name, "int8") == 0;
    if (k->tf32 || k->f16 || k->bf16 || k->int8)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG, "precision '%s': expected f32, tf32, f16, bf16 or int8", name);
}

const char *conure_contract_precision(const conure_contract *k, char *out)
{
    snprintf(out, 32, "%s%s%s%s", k->tf32 ? "+tf32" : "", k->f16 ? "+f16" : "", k->bf16 ? "+bf16" : "", k->int8 ? "+int8" : "");
    if (!*out)
        snprintf(out, 32, "f32");
    else
        memmove(out, out + 1, strlen(out));
    return out;
}

static conure_status fill(conure_contract *k, const conure_config *config, const conure_contract_options *o, conure_error *err)
{
    conure_status status = conure_streaming_derive(&k->streaming, config, &o->streaming, err);
    if (status == CONURE_OK)
        status = conure_contract_config_hash(k->config_sha256, config, err);
    if (status == CONURE_OK)
        status = set_precision(k, o->precision, err);
    if (status == CONURE_OK && o->profiles)
        status = parse_profiles(k, o->profiles, err);
    if (status != CONURE_OK)
        return status;
    if (!o->profiles)
        default_profiles(k);
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        conure_profile *p = &k->profiles[i];
        p->b_min = p->b_opt = o->b_min ? o->b_min : 1;
        p->b_max = o->b_max ? o->b_max : p->b_min;
    }
    return conure_contract_check(k, "contract", err);
}

conure_status conure_contract_derive(conure_contract *out, const conure_config *config, const char *name,
                                     const conure_contract_options *o, conure_error *err)
{
    conure_contract k = {
        .n_layers = config->n_layers, .d_model = config->d_model, .mel_bins = config->mel_bins,
        .conv_left = config->conv_left, .conv_right = config->conv_right,
        .att_left = config->att_left, .att_right = config->att_right,
        .keep_negative = o->keep_negative, .mask_exact = o->mask_exact, .time_cache_aligned = o->time_cache_aligned,
        .layer_first = o->layer_first, .pad_right = o->pad_right, .repeatable = !o->unrepeatable,
    };
    if (strlen(name) >= sizeof k.model)
        return conure_fail(err, CONURE_BAD_ARG, "the model's name has %zu bytes, at most %zu are possible", strlen(name),
                           sizeof k.model - 1);
    snprintf(k.model, sizeof k.model, "%s", name);
    snprintf(k.tool, sizeof k.tool, "conure");
    snprintf(k.tool_version, sizeof k.tool_version, "%s", conure_version());
    for (uint32_t i = 0; i < CONURE_ROLES; i++)
        snprintf(k.names[i], sizeof k.names[i], "%s", default_names[i]);
    for (uint32_t i = 0; i < CONURE_RULES; i++)
        k.asserts[i] = true;
    const conure_status status = fill(&k, config, o, err);
    if (status == CONURE_OK)
        *out = k;
    /* What was derived and is not possible comes from an argument, not from a file. */
    return status == CONURE_BAD_FILE ? CONURE_BAD_ARG : status;
}

void conure_contract_windows(conure_contract *out, const conure_config *config, uint32_t n_frames)
{
    *out = (conure_contract){
        .n_layers = config->n_layers, .d_model = config->d_model, .mel_bins = config->mel_bins,
        .streaming = {.factor = CONURE_FACTOR},
        .profiles = {{.name = "window", .t_min = 1, .t_opt = n_frames, .t_max = n_frames, .b_min = 1, .b_opt = 1, .b_max = 1}},
        .n_profiles = 1,
        .asserts = {[CONURE_RULE_FRAMES_IN] = true, [CONURE_RULE_ENCODER_FRAMES] = true, [CONURE_RULE_ENCODED_LENGTH] = true,
                    [CONURE_RULE_FINITE] = true},
    };
    for (uint32_t i = 0; i < CONURE_ROLES; i++)
        snprintf(out->names[i], sizeof out->names[i], "%s", default_names[i]);
}

conure_status conure_contract_derive_model(conure_contract *out, const conure_model *model,
                                           const conure_contract_options *options, conure_error *err)
{
    conure_contract k;
    conure_status status = conure_model_need_tensors(model, "a contract", err);
    if (status == CONURE_OK)
        status = conure_contract_derive(&k, &model->config, model->name, options, err);
    if (status == CONURE_OK)
        status = conure_model_hash(model, k.model_sha256, err);
    if (status == CONURE_OK)
        *out = k;
    return status;
}

conure_status conure_contract_add_file(conure_contract *k, const char *path, const char *name, conure_error *err)
{
    const char *slash = strrchr(path, '/');
    name = name ? name : slash ? slash + 1 : path;
    char sha256[65];
    if (k->n_files == CONURE_CONTRACT_FILES_MAX)
        return conure_fail(err, CONURE_LIMIT, "%s: a contract names at most %d files", path, CONURE_CONTRACT_FILES_MAX);
    if (!conure_contract_is_name(name) || strlen(name) >= CONURE_CONTRACT_NAME_CAP)
        return conure_fail(err, CONURE_BAD_ARG, "%s: a contract cannot hold this name: letters, digits and _ . : / - are possible, at most "
                           "%d of them", path, CONURE_CONTRACT_NAME_CAP - 1);
    const conure_status status = conure_file_sha256(sha256, path, err);
    if (status != CONURE_OK)
        return status;
    conure_contract_file *f = &k->files[k->n_files++];
    snprintf(f->name, sizeof f->name, "%s", name);
    memcpy(f->sha256, sha256, sizeof sha256);
    return CONURE_OK;
}

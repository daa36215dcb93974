/* valid.c - what any contract must satisfy, and whether it is about a given model. */
#include "contract/internal.h"

#include "base/files.h"
#include "model/load.h"
#include "model/quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 1 << 20, BATCH_MAX = 4096, FACTOR = 8 };

typedef struct checking {
    const char *where;
    conure_error *err;
    conure_status status; /* of the first range that is left */
} checking;

static void range(checking *c, const char *member, int64_t value, int64_t min, int64_t max)
{
    if (c->status == CONURE_OK && (value < min || value > max))
        c->status = conure_fail(c->err, CONURE_BAD_FILE, "%s: %s is %lld, possible: %lld to %lld", c->where, member,
                                (long long)value, (long long)min, (long long)max);
}

static void fail(checking *c, const char *member, const char *text)
{
    if (c->status == CONURE_OK)
        c->status = conure_fail(c->err, CONURE_BAD_FILE, "%s: %s: %s", c->where, member, text);
}

bool conure_contract_is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-";
    return *name && strspn(name, allowed) == strlen(name);
}

static void check_name(checking *c, const char *member, const char *name)
{
    char quoted[80], text[192];
    if (conure_contract_is_name(name))
        return;
    snprintf(text, sizeof text, "'%s' is no name: letters, digits and _ . : / - are possible, at most %d of them",
             conure_quote(quoted, sizeof quoted, name, strlen(name)), CONURE_CONTRACT_NAME_CAP - 1);
    fail(c, member, text);
}

static void check_hash(checking *c, const char *member, const char *hash)
{
    if (strlen(hash) != 64 || strspn(hash, "0123456789abcdef") != 64)
        fail(c, member, "is no SHA-256: 64 hexadecimal digits in lower case");
}

static void check_model(checking *c, const conure_contract *k)
{
    check_hash(c, "model.config_sha256", k->config_sha256);
    if (k->model_sha256[0])
        check_hash(c, "model.sha256", k->model_sha256);
    range(c, "model.n_layers", k->n_layers, 1, 256);
    range(c, "model.d_model", k->d_model, 2, 16384);
    range(c, "model.mel_bins", k->mel_bins, 1, 1024);
    range(c, "model.conv_left", k->conv_left, 0, 254);
    range(c, "model.conv_right", k->conv_right, 0, 254);
    range(c, "model.att_context[0]", k->att_left, -1, 1000000);
    range(c, "model.att_context[1]", k->att_right, -1, 1000000);
}

static void check_streaming(checking *c, const conure_streaming *s)
{
    range(c, "streaming.subsampling_factor", s->factor, FACTOR, FACTOR);
    range(c, "streaming.cache_rows", s->cache_rows, 1, ROWS_MAX);
    range(c, "streaming.cache_drop", s->cache_drop, 0, ROWS_MAX);
    range(c, "streaming.valid_out", s->valid_out, 1, ROWS_MAX);
    for (int i = 0; i < 2; i++) {
        range(c, i ? "streaming.chunk_frames[1]" : "streaming.chunk_frames[0]", s->chunk_frames[i], 1, CONURE_CONTRACT_FRAMES_MAX);
        range(c, i ? "streaming.shift_frames[1]" : "streaming.shift_frames[0]", s->shift_frames[i], 1, CONURE_CONTRACT_FRAMES_MAX);
        range(c, i ? "streaming.front_frames[1]" : "streaming.front_frames[0]", s->front_frames[i], 0, 1024);
        range(c, i ? "streaming.drop_extra[1]" : "streaming.drop_extra[0]", s->drop_extra[i], 0, 1024);
    }
}

static void check_profile(checking *c, const conure_contract *k, uint32_t i)
{
    const conure_profile *p = &k->profiles[i];
    char member[CONURE_CONTRACT_NAME_CAP + 32];
    snprintf(member, sizeof member, "profiles[%u].name", i);
    check_name(c, member, p->name);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(k->profiles[j].name, p->name) == 0)
            fail(c, member, "another profile has this name");
#define WITHIN(part, value, lo, hi)                                           \
    do {                                                                      \
        snprintf(member, sizeof member, "profile %s: " part, p->name);        \
        range(c, member, value, lo, hi);                                      \
    } while (0)
    WITHIN("steps", p->steps, CONURE_STEPS_ALL, CONURE_STEPS_LATER);
    WITHIN("T.min", p->t_min, 1, CONURE_CONTRACT_FRAMES_MAX);
    WITHIN("T.max", p->t_max, p->t_min, CONURE_CONTRACT_FRAMES_MAX);
    WITHIN("T.opt", p->t_opt, p->t_min, p->t_max);
    WITHIN("B.min", p->b_min, 1, BATCH_MAX);
    WITHIN("B.max", p->b_max, p->b_min, BATCH_MAX);
    WITHIN("B.opt", p->b_opt, p->b_min, p->b_max);
#undef WITHIN
    if (c->status != CONURE_OK)
        return;
    for (int first = 0; first < 2; first++) {
        conure_prediction step;
        conure_contract_predict(k, first, p->t_min, p->t_min, 0, false, &step);
        if (step.rows == 0 && (p->steps == CONURE_STEPS_ALL || (p->steps == CONURE_STEPS_FIRST) == first)) {
            snprintf(member, sizeof member, "profile %s: T.min", p->name);
            fail(c, member, "such a slice gives no encoder frame: all of them are dropped in front");
        }
    }
}

static void check_assertions(checking *c, const conure_contract *k)
{
    static const conure_rule needed[] = {CONURE_RULE_ENCODER_FRAMES, CONURE_RULE_ENCODED_LENGTH, CONURE_RULE_CACHE_LENGTH};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!k->asserts[needed[i]]) {
            char text[96];
            snprintf(text, sizeof text, "'%s' is not among them, and a contract without it proves nothing",
                     conure_rule_id(needed[i]));
            fail(c, "assertions", text);
        }
}

/* Tensors are as narrow as the arithmetic at most; features have no scale to be int8. */
static void check_types(checking *c, const conure_contract *k)
{
    const bool possible[CONURE_CONTRACT_TYPES] = {true, k->f16, k->bf16, k->int8};
    if (k->io == CONURE_CONTRACT_INT8 || !possible[k->io] || !possible[k->caches])
        fail(c, "dtype", possible[k->caches] ? "features are not of this type under this precision" : "caches are not of this type under this precision");
}

conure_status conure_contract_check(const conure_contract *k, const char *where, conure_error *err)
{
    checking c = {where, err, CONURE_OK};
    bool first = false, later = false;
    check_model(&c, k);
    check_streaming(&c, &k->streaming);
    check_types(&c, k);
    for (uint32_t i = 0; i < CONURE_ROLES; i++) {
        check_name(&c, i < CONURE_ROLE_INPUTS ? "inputs: name" : "outputs: name", k->names[i]);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(k->names[i], k->names[j]) == 0)
                fail(&c, k->names[i], "two tensors have this name");
    }
    range(&c, "number of profiles", k->n_profiles, 1, CONURE_PROFILES_MAX);
    for (uint32_t i = 0; i < k->n_profiles && c.status == CONURE_OK; i++) {
        check_profile(&c, k, i);
        first |= k->profiles[i].steps != CONURE_STEPS_LATER;
        later |= k->profiles[i].steps != CONURE_STEPS_FIRST;
    }
    if (!first || !later)
        fail(&c, "profiles", first ? "none serves the later steps" : "none serves the first step");
    check_assertions(&c, k);
    range(&c, "number of files", k->n_files, 0, CONURE_CONTRACT_FILES_MAX);
    for (uint32_t i = 0; i < k->n_files && c.status == CONURE_OK; i++) {
        check_name(&c, "files: name", k->files[i].name);
        check_hash(&c, "files: sha256", k->files[i].sha256);
    }
    if (c.status == CONURE_OK && k->pad_right && conure_contract_state_flows(k))
        fail(&c, "caches.pad_side", "is right, but rows are kept, and those must end at the right: say left, or use slices "
             "that keep none");
    return c.status;
}

conure_status conure_contract_config_hash(char hex[65], const conure_config *config, conure_error *err)
{
    char *json;
    conure_sha256 sha;
    const conure_status status = conure_config_dump(config, &json, err);
    if (status != CONURE_OK)
        return status;
    conure_sha256_init(&sha);
    conure_sha256_add(&sha, json, strlen(json));
    conure_sha256_hex(&sha, hex);
    free(json);
    return CONURE_OK;
}

conure_status conure_contract_matches(const conure_contract *k, const conure_model *model, conure_error *err)
{
    const conure_config *c = &model->config;
    char hash[65];
    conure_status status = conure_contract_config_hash(hash, c, err);
    if (status != CONURE_OK)
        return status;
    if (strcmp(hash, k->config_sha256) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "the contract is about %s (%u layers of width %u, configuration %.12s), not about %s "
                           "(%u layers of width %u, configuration %.12s): derive one from this model", k->model, k->n_layers,
                           k->d_model, k->config_sha256, model->name, c->n_layers, c->d_model, hash);
    if (!k->model_sha256[0])
        return CONURE_OK;
    status = conure_model_hash(model, hash, err);
    if (status == CONURE_OK && strcmp(hash, k->model_sha256) != 0)
        status = conure_fail(err, CONURE_BAD_FILE, "the contract is about the weights %.12s, and %s has %.12s of the same shapes: derive "
                             "one from this model, or one for any weights", k->model_sha256, model->name, hash);
    return status;
}

/* clear_config.c - the configuration of a clearance: one table says what may be in it. */
#include "cli/clear.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"

typedef enum member_kind { TEXT, PATH, PATHS, HASH, COUNT, REAL, GATES, CASES } member_kind;

typedef struct member {
    const char *path; /* "audio.manifest" */
    member_kind kind;
    double min, max;
} member;

static const member members[] = {
    {"model", TEXT, 0, 0}, /* a file, a folder, a fetched model's name, or "embedded" */
    {"candidate", TEXT, 0, 0}, {"reference", TEXT, 0, 0}, {"precision", TEXT, 0, 0},
    {"contract", PATH, 0, 0}, {"tolerances", PATH, 0, 0}, {"reference_file", PATH, 0, 0},
    {"seed", COUNT, 0, 9e15}, {"frames", COUNT, 1, 1 << 20}, {"threads", COUNT, 1, 64}, {"timeout_s", REAL, 0.001, 86400},
    {"chunks.functional", COUNT, 1, 1e6}, {"chunks.closed_loop", COUNT, 1, 1e6}, {"chunks.noise", COUNT, 1, 1e6},
    {"chunks.latency", COUNT, 1, 1e6}, {"chunks.self_test", COUNT, 4, 1e6},
    {"noise.ratio_max", REAL, 1, 1e9}, {"latency.p99_s", REAL, 1e-9, 1e6},
    {"golden", CASES, 0, 0},
    {"audio.manifest", PATH, 0, 0}, {"audio.files", PATHS, 0, 0}, {"audio.live", TEXT, 0, 0}, {"audio.normaliser", TEXT, 0, 0},
    {"audio.clips_max", COUNT, 1, 1e6},
    {"audio.limits.token_agreement", REAL, 0, 1}, {"audio.limits.wer_difference_max", REAL, 0, 10}, {"audio.limits.wer_max", REAL, 0, 10},
    {"audio.limits.blank_share_max", REAL, 0, 1}, {"audio.limits.blank_difference_max", REAL, 0, 1},
    {"audio.limits.confidence_difference_max", REAL, 0, 1},
    {"not_applicable", GATES, 0, 0},
    {"pins.model", HASH, 0, 0}, {"pins.contract", HASH, 0, 0}, {"pins.tolerances", HASH, 0, 0},
};
enum { N_MEMBERS = sizeof members / sizeof *members, CASES_MAX = 64, FILES_MAX = 100000 };

typedef struct place {
    const char *where, *folder;
    conure_error *err;
} place;

static json_t *find(const json_t *tree, const char *path)
{
    char part[64];
    const json_t *at = tree;
    for (const char *p = path; at && *p;) {
        const size_t n = strcspn(p, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        at = json_object_get(at, part);
        p += n + (p[n] == '.');
    }
    return (json_t *)at;
}

/* ---- values ----------------------------------------------------------------------------------- */

static conure_status wrong(const place *p, const char *name, const char *expected)
{
    return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s is not %s", p->where, name, expected);
}

/* Relative names are beside the configuration. */
static json_t *placed(const json_t *value, const place *p)
{
    char path[4096];
    const char *name = json_string_value(value);
    if (name[0] == '/' || !p->folder[0])
        return json_string(name);
    return conure_path_join(path, sizeof path, p->folder, name) ? json_string(path) : NULL;
}

static conure_status check_cases(json_t *list, const place *p)
{
    size_t i;
    json_t *one;
    if (!json_is_array(list) || json_array_size(list) > CASES_MAX)
        return wrong(p, "golden", "a list of {\"file\": PATH, \"case\": NAME}");
    json_array_foreach(list, i, one) {
        json_t *file = json_object_get(one, "file");
        if (!json_is_object(one) || json_object_size(one) != 2 || !json_is_string(file) || !json_is_string(json_object_get(one, "case")))
            return wrong(p, "golden", "a list of {\"file\": PATH, \"case\": NAME}");
        json_object_set_new(one, "file", placed(file, p));
    }
    return CONURE_OK;
}

static conure_status check_paths(json_t *list, const place *p)
{
    size_t i;
    json_t *one;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > FILES_MAX)
        return wrong(p, "audio.files", "a list of file names");
    json_array_foreach(list, i, one) {
        if (!json_is_string(one))
            return wrong(p, "audio.files", "a list of file names");
        json_array_set_new(list, i, placed(one, p));
    }
    return CONURE_OK;
}

static conure_status check_gates(json_t *value, const place *p)
{
    const char *key;
    json_t *why;
    if (!json_is_object(value))
        return wrong(p, "not_applicable", "an object with gates and reasons");
    json_object_foreach(value, key, why) {
        conure_gate gate;
        if (!conure_gate_parse(&gate, key) || !conure_gate_optional(gate))
            return conure_fail(p->err, CONURE_BAD_FILE, "%s: not_applicable.%.64s: only batch, confidence, audio, latency, noise and features may be left "
                               "out", p->where, key);
        if (!json_is_string(why) || json_string_length(why) < 3 || json_string_length(why) > 300)
            return conure_fail(p->err, CONURE_BAD_FILE, "%s: not_applicable.%s needs a reason in words (3 to 300 bytes)", p->where, key);
    }
    return CONURE_OK;
}

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static conure_status check_member(json_t *tree, const member *m, const place *p)
{
    json_t *value = find(tree, m->path);
    char expected[96];
    if (!value)
        return CONURE_OK;
    switch (m->kind) {
    case CASES: return check_cases(value, p);
    case PATHS: return check_paths(value, p);
    case GATES: return check_gates(value, p);
    case COUNT:
    case REAL:
        snprintf(expected, sizeof expected, "a %s from %g to %g", m->kind == COUNT ? "whole number" : "number", m->min, m->max);
        if (!(m->kind == COUNT ? json_is_integer(value) : json_is_number(value)) || !(json_number_value(value) >= m->min) ||
            !(json_number_value(value) <= m->max))
            return wrong(p, m->path, expected);
        return CONURE_OK;
    default: break;
    }
    if (!json_is_string(value) || json_string_length(value) == 0 || json_string_length(value) > 2000)
        return wrong(p, m->path, "a text");
    if (m->kind == HASH && !is_hash(json_string_value(value)))
        return wrong(p, m->path, "a SHA-256 (64 hex digits)");
    if (m->kind == PATH) {
        json_t *path = placed(value, p);
        char group[64];
        const char *dot = strrchr(m->path, '.');
        if (!path)
            return wrong(p, m->path, "a file name of sane length");
        snprintf(group, sizeof group, "%.*s", dot ? (int)(dot - m->path) : 0, m->path);
        json_object_set_new(dot ? find(tree, group) : tree, dot ? dot + 1 : m->path, path);
    }
    return CONURE_OK;
}

/* ---- nothing unknown -------------------------------------------------------------------------- */

/* True when path is a member, or members lie under it. */
static bool known(const char *path, bool *group)
{
    const size_t n = strlen(path);
    *group = false;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        if (strcmp(members[i].path, path) == 0)
            return true;
        if (strncmp(members[i].path, path, n) == 0 && members[i].path[n] == '.')
            *group = true;
    }
    return *group;
}

static conure_status check_known(const json_t *tree, const char *prefix, const place *p)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)tree, key, value) {
        char path[160];
        bool group;
        snprintf(path, sizeof path, "%.64s%s%.64s", prefix, *prefix ? "." : "", key);
        if (*prefix == '\0' && strcmp(key, "clearance") == 0) {
            if (!json_is_integer(value) || json_integer_value(value) != CONURE_CLEARANCE_FORMAT)
                return conure_fail(p->err, CONURE_UNSUPPORTED, "%s: clearance is another format, supported: %d", p->where, CONURE_CLEARANCE_FORMAT);
            continue;
        }
        if (!known(path, &group))
            return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s is no member of a clearance's configuration: see conure clear --help", p->where, path);
        if (group && !json_is_object(value))
            return wrong(p, path, "an object");
        const conure_status status = group ? check_known(value, path, p) : CONURE_OK;
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_clear_config_parse(json_t **out, const char *text, size_t bytes, const char *folder, const char *where, conure_error *err)
{
    json_error_t why;
    const place p = {where, folder, err};
    json_t *tree = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    *out = NULL;
    if (!tree)
        return conure_fail(err, CONURE_BAD_FILE, "%s: line %d: %s", where, why.line, why.text);
    conure_status status = json_is_object(tree) ? check_known(tree, "", &p) : conure_fail(err, CONURE_BAD_FILE, "%s is no JSON object", where);
    for (size_t i = 0; i < N_MEMBERS && status == CONURE_OK; i++)
        status = check_member(tree, &members[i], &p);
    if (status == CONURE_OK)
        *out = tree;
    else
        json_decref(tree);
    return status;
}

conure_status conure_clear_config_read(json_t **out, const char *path, conure_error *err)
{
    char folder[4096] = "";
    char *text;
    size_t bytes;
    if (!path) {
        *out = json_object();
        return *out ? CONURE_OK : conure_fail_memory(err, "a configuration", 64);
    }
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    conure_status status = conure_file_read_any(&text, &bytes, path, CONURE_CLEAR_CONFIG_BYTES_MAX, err);
    if (status != CONURE_OK)
        return status;
    status = conure_clear_config_parse(out, text, bytes, slash == path ? "/" : folder, path, err);
    free(text);
    return status;
}

/* ---- reading it ------------------------------------------------------------------------------- */

const char *conure_clear_text(const json_t *config, const char *path, const char *fallback)
{
    const char *text = json_string_value(find(config, path));
    return text ? text : fallback;
}

uint64_t conure_clear_count(const json_t *config, const char *path, uint64_t fallback)
{
    const json_t *value = find(config, path);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value) : fallback;
}

double conure_clear_real(const json_t *config, const char *path, double fallback)
{
    const json_t *value = find(config, path);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

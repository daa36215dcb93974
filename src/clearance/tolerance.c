/* tolerance.c - see tolerance.h.  A tolerance file decides what passes, so that anything odd in it is refused. */
#include "clearance/tolerance.h"

#include "base/files.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 64, FORMAT = 1 };

/* The bytes of tolerances/note-2026-01.json, placed by the assembler. */
__asm__(".pushsection .rodata\n"
        "conure_tolerance_note_begin:\n"
        ".incbin \"" CONURE_TOLERANCE_FILE "\"\n"
        "conure_tolerance_note_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char conure_tolerance_note_begin[] __attribute__((visibility("hidden")));
extern const char conure_tolerance_note_end[] __attribute__((visibility("hidden")));

const char *conure_tolerance_note(size_t *bytes)
{
    *bytes = (size_t)(conure_tolerance_note_end - conure_tolerance_note_begin);
    return conure_tolerance_note_begin;
}

const char *conure_measured_name(conure_measured measured)
{
    static const char *const names[CONURE_MEASURED] = {"encoder_output", "cache_last_channel", "cache_last_time"};
    return measured < CONURE_MEASURED ? names[measured] : "";
}

typedef struct place {
    char at[256]; /* "FILE: /entries/0/tensors/encoder_output" */
    conure_error *err;
} place;

static conure_status unknown(const json_t *object, const char *const *known, const place *p)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        bool found = false;
        for (size_t i = 0; known[i] && !found; i++)
            found = strcmp(known[i], key) == 0;
        if (!found)
            return conure_fail(p->err, CONURE_BAD_FILE, "%s/%.60s: no member of a tolerance file", p->at, key);
    }
    return CONURE_OK;
}

/* Leaves *out alone when it is missing and that is allowed. */
static conure_status number(const json_t *object, const char *key, bool required, double max, double *out, const place *p)
{
    const json_t *value = json_object_get(object, key);
    if (!value && !required)
        return CONURE_OK;
    if (!json_is_number(value))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s/%s is %s, expected a number", p->at, key, value ? "something else" : "missing");
    const double x = json_number_value(value);
    if (!isfinite(x) || signbit(x) || x > max)
        return conure_fail(p->err, CONURE_BAD_FILE, "%s/%s is %g, expected 0 to %g", p->at, key, x, max);
    *out = x;
    return CONURE_OK;
}

static conure_status text(const json_t *object, const char *key, char *out, size_t cap, const place *p)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || !*value || strlen(value) >= cap)
        return conure_fail(p->err, CONURE_BAD_FILE, "%s/%s is missing or no text of 1 to %zu bytes", p->at, key, cap - 1);
    snprintf(out, cap, "%s", value);
    return CONURE_OK;
}

static place below(const place *p, const char *part)
{
    place q = {.err = p->err};
    snprintf(q.at, sizeof q.at, "%.180s/%.60s", p->at, part);
    return q;
}

static conure_status tensor_limits(const json_t *tensors, const char *name, conure_limits *out, const place *p)
{
    static const char *const known[] = {"absolute_p95", "absolute_max", "relative_max", NULL};
    const json_t *t = json_object_get(tensors, name);
    const place q = below(p, name);
    *out = (conure_limits){INFINITY, INFINITY, INFINITY};
    if (!json_is_object(t))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s is missing or no object", q.at);
    conure_status status = unknown(t, known, &q);
    if (status == CONURE_OK) /* a tensor without a bound would pass whatever it holds */
        status = number(t, "absolute_max", true, 1e6, &out->absolute_max, &q);
    if (status == CONURE_OK)
        status = number(t, "absolute_p95", false, 1e6, &out->absolute_p95, &q);
    if (status == CONURE_OK)
        status = number(t, "relative_max", false, 1e6, &out->relative_max, &q);
    if (status == CONURE_OK && isfinite(out->absolute_p95) && out->absolute_p95 > out->absolute_max)
        return conure_fail(p->err, CONURE_BAD_FILE, "%s/absolute_p95 is %g, expected at most absolute_max, %g", q.at, out->absolute_p95,
                           out->absolute_max);
    return status;
}

static conure_status all_limits(const json_t *entry, conure_tolerance *out, const place *p)
{
    static const char *const known[] = {"encoder_output", "cache_last_channel", "cache_last_time", "encoded_lengths", "cache_last_channel_len", NULL};
    const json_t *tensors = json_object_get(entry, "tensors");
    const place q = below(p, "tensors");
    if (!json_is_object(tensors))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s is missing or no object", q.at);
    conure_status status = unknown(tensors, known, &q);
    for (conure_measured i = 0; i < CONURE_MEASURED && status == CONURE_OK; i++)
        status = tensor_limits(tensors, known[i], &out->limits[i], &q);
    for (size_t i = CONURE_MEASURED; known[i] && status == CONURE_OK; i++) {
        const char *word = json_string_value(json_object_get(tensors, known[i]));
        if (!word || strcmp(word, "exact") != 0)
            status = conure_fail(p->err, CONURE_BAD_FILE, "%s/%s is something else than \"exact\": lengths are never compared otherwise", q.at,
                                 known[i]);
    }
    return status;
}

static conure_status has_precision(const json_t *entry, const char *precision, bool *found, const place *p)
{
    static const char *const known[] = {"f32", "tf32", "f16", "bf16", "int8", NULL};
    const json_t *list = json_object_get(entry, "precision");
    *found = false;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return conure_fail(p->err, CONURE_BAD_FILE, "%s/precision is missing or no list", p->at);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        bool one = false;
        for (size_t j = 0; known[j] && word && !one; j++)
            one = strcmp(known[j], word) == 0;
        if (!one)
            return conure_fail(p->err, CONURE_BAD_FILE, "%s/precision/%zu is no precision: f32, tf32, f16, bf16 or int8", p->at, i);
        *found = *found || strcmp(word, precision) == 0;
    }
    return CONURE_OK;
}

/* Every entry is checked, also those that are not used. */
static conure_status one_entry(const json_t *entry, conure_tolerance *out, bool flows, const char *precision, bool *mine, const place *p)
{
    static const char *const known[] = {"name", "state", "precision", "source", "tensors", "slope_per_chunk", "token_agreement", "model_sha256", "speech_chunks",
                                        NULL};
    const json_t *speech = json_object_get(entry, "speech_chunks");
    char state[16];
    if (!json_is_object(entry))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s is no object", p->at);
    conure_status status = unknown(entry, known, p);
    if (status == CONURE_OK)
        status = text(entry, "name", out->name, sizeof out->name, p);
    if (status == CONURE_OK)
        status = text(entry, "source", out->source, sizeof out->source, p);
    out->model_sha256[0] = '\0';
    if (status == CONURE_OK && json_object_get(entry, "model_sha256"))
        status = text(entry, "model_sha256", out->model_sha256, sizeof out->model_sha256, p);
    if (status == CONURE_OK)
        status = text(entry, "state", state, sizeof state, p);
    if (status == CONURE_OK && strcmp(state, "flows") != 0 && strcmp(state, "reset") != 0 && strcmp(state, "any") != 0)
        status = conure_fail(p->err, CONURE_BAD_FILE, "%s/state is \"%s\", expected \"flows\", \"reset\" or \"any\"", p->at, state);
    if (status == CONURE_OK)
        status = has_precision(entry, precision, mine, p);
    if (status == CONURE_OK)
        status = all_limits(entry, out, p);
    if (status == CONURE_OK)
        status = number(entry, "slope_per_chunk", true, 1e6, &out->slope_per_chunk, p);
    if (status == CONURE_OK)
        status = number(entry, "token_agreement", true, 1, &out->token_agreement, p);
    if (status == CONURE_OK && speech && (!json_is_integer(speech) || json_integer_value(speech) < 0))
        status = conure_fail(p->err, CONURE_BAD_FILE, "%s/speech_chunks is no whole number from 0 on", p->at);
    out->speech_chunks = json_is_integer(speech) ? (int64_t)json_integer_value(speech) : -1;
    *mine = *mine && (strcmp(state, "any") == 0 || (strcmp(state, "flows") == 0) == flows);
    snprintf(out->why, sizeof out->why, "the first entry for precision %s where %s", precision,
             flows ? "state flows" : "no state flows (the cache's length stays 0)");
    return status;
}

static conure_status all_entries(const json_t *tree, conure_tolerance *out, bool flows, const char *precision, const place *p)
{
    static const char *const known[] = {"tolerances", "format", "entries", NULL};
    const json_t *entries = json_object_get(tree, "entries"), *format = json_object_get(tree, "format");
    bool found = false;
    char file[64];
    conure_status status = unknown(tree, known, p);
    if (status == CONURE_OK)
        status = text(tree, "tolerances", file, sizeof file, p);
    if (status == CONURE_OK && (!json_is_integer(format) || json_integer_value(format) != FORMAT))
        status = conure_fail(p->err, CONURE_UNSUPPORTED, "%s/format is missing or another, supported: %d", p->at, FORMAT);
    if (status == CONURE_OK && (!json_is_array(entries) || json_array_size(entries) == 0 || json_array_size(entries) > ENTRIES_MAX))
        status = conure_fail(p->err, CONURE_BAD_FILE, "%s/entries is no list of 1 to %d", p->at, ENTRIES_MAX);
    for (size_t i = 0; status == CONURE_OK && i < json_array_size(entries); i++) {
        conure_tolerance t = {.file = ""};
        char part[32];
        bool mine = false;
        snprintf(part, sizeof part, "entries/%zu", i);
        const place q = below(p, part);
        status = one_entry(json_array_get(entries, i), &t, flows, precision, &mine, &q);
        if (status == CONURE_OK && mine && !found) {
            *out = t;
            snprintf(out->file, sizeof out->file, "%s", file);
            found = true;
        }
    }
    if (status == CONURE_OK && !found)
        return conure_fail(p->err, CONURE_UNSUPPORTED, "%sno entry is for precision %s where %s: conure noise-floor measures one", p->at, precision,
                           flows ? "state flows" : "no state flows");
    return status;
}

conure_status conure_tolerance_parse(conure_tolerance *out, const char *json, size_t bytes, bool flows, const char *precision,
                                     const char *where, conure_error *err)
{
    json_error_t why;
    place p = {.err = err};
    json_t *tree = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(tree)) {
        const conure_status status = tree ? conure_fail(err, CONURE_BAD_FILE, "%s: no JSON object", where)
                                          : conure_fail(err, CONURE_BAD_FILE, "%s: line %d: not valid JSON: %s (NaN and Infinity are none)", where,
                                                        why.line, why.text);
        json_decref(tree);
        return status;
    }
    snprintf(p.at, sizeof p.at, "%.170s: ", where);
    const conure_status status = all_entries(tree, out, flows, precision, &p);
    json_decref(tree);
    return status;
}

conure_status conure_tolerance_read(conure_tolerance *out, const char *path, bool flows, const char *precision, char *sha256,
                                    conure_error *err)
{
    char *data = NULL;
    size_t bytes;
    const char *json = conure_tolerance_note(&bytes);
    if (path) {
        const conure_status status = conure_file_read_any(&data, &bytes, path, CONURE_TOLERANCE_BYTES_MAX, err);
        if (status != CONURE_OK)
            return status;
        json = data;
    }
    if (sha256) {
        conure_sha256 sha;
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, json, bytes);
        conure_sha256_hex(&sha, sha256);
    }
    const conure_status status = conure_tolerance_parse(out, json, bytes, flows, precision, path ? path : "tolerances/note-2026-01.json", err);
    free(data);
    return status;
}

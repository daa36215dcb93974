/* read.c - a contract from JSON.  Three sieves: our schema, ranges and combinations, and at last the contract written anew
 * must be the same JSON, so that no word in the file can contradict its numbers. */
#include "contract/internal.h"

#include "base/files.h"
#include "contract/schema.h"
#include "model/json.h"
#include "model/quote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__asm__(".pushsection .rodata\n"
        "conure_contract_schema_begin:\n"
        ".incbin \"" CONURE_CONTRACT_SCHEMA_FILE "\"\n"
        "conure_contract_schema_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char conure_contract_schema_begin[] __attribute__((visibility("hidden")));
extern const char conure_contract_schema_end[] __attribute__((visibility("hidden")));

const char *conure_contract_schema(size_t *bytes)
{
    *bytes = (size_t)(conure_contract_schema_end - conure_contract_schema_begin);
    return conure_contract_schema_begin;
}

static conure_status validate(const json_t *json, const char *where, conure_error *err)
{
    size_t bytes;
    const char *text = conure_contract_schema(&bytes);
    conure_schema *schema;
    conure_status status = conure_schema_open(&schema, text, bytes, "the contract's schema", err);
    if (status == CONURE_OK)
        status = conure_schema_check(schema, json, where, err);
    conure_schema_close(&schema);
    return status;
}

/* ---- members; the schema has seen to it that they are there, of their types and within 32 bits --------- */

static uint32_t number(const json_t *object, const char *key)
{
    return (uint32_t)json_number_value(json_object_get(object, key));
}

static void numbers(const json_t *object, const char *key, uint32_t out[2])
{
    for (size_t i = 0; i < 2; i++)
        out[i] = (uint32_t)json_number_value(json_array_get(json_object_get(object, key), i));
}

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool says(const json_t *object, const char *key, const char *what)
{
    return strcmp(word(object, key), what) == 0;
}

/* A text that is too long is cut, and then differs from the file. */
static void copy(char *out, size_t cap, const json_t *object, const char *key)
{
    snprintf(out, cap, "%s", word(object, key));
}
#define COPY(member, object, key) copy(member, sizeof(member), object, key)

static void read_model(conure_contract *k, const json_t *root)
{
    const json_t *m = json_object_get(root, "model"), *attention = json_object_get(m, "att_context");
    uint32_t conv[2];
    COPY(k->model, m, "name");
    COPY(k->model_sha256, m, "sha256");
    COPY(k->config_sha256, m, "config_sha256");
    k->n_layers = number(m, "n_layers");
    k->d_model = number(m, "d_model");
    k->mel_bins = number(m, "mel_bins");
    k->att_left = (int32_t)json_number_value(json_array_get(attention, 0));
    k->att_right = (int32_t)json_number_value(json_array_get(attention, 1));
    numbers(m, "conv_context", conv);
    k->conv_left = conv[0];
    k->conv_right = conv[1];
}

static void read_streaming(conure_streaming *s, const json_t *root)
{
    const json_t *from = json_object_get(root, "streaming");
    s->factor = number(from, "subsampling_factor");
    numbers(from, "chunk_frames", s->chunk_frames);
    numbers(from, "shift_frames", s->shift_frames);
    numbers(from, "front_frames", s->front_frames);
    numbers(from, "drop_extra", s->drop_extra);
    s->cache_rows = number(from, "cache_rows");
    s->cache_drop = number(from, "cache_drop");
    s->valid_out = number(from, "valid_out");
}

static void read_conventions(conure_contract *k, const json_t *root)
{
    const json_t *caches = json_object_get(root, "caches"), *precision = json_object_get(root, "precision");
    k->keep_negative = says(json_object_get(root, "rules"), "negative_keep", "nemo");
    k->layer_first = says(caches, "layout", "layer_first");
    k->pad_right = says(caches, "pad_side", "right");
    k->time_cache_aligned = says(caches, "time_cache", "aligned");
    k->mask_exact = says(root, "mask", "exact");
    k->repeatable = says(root, "determinism", "bitwise");
    k->tf32 = json_is_true(json_object_get(precision, "tf32"));
    k->f16 = json_is_true(json_object_get(precision, "f16"));
    k->bf16 = json_is_true(json_object_get(precision, "bf16"));
    k->int8 = json_is_true(json_object_get(precision, "int8"));
}

static void read_range(const json_t *profile, const char *key, uint32_t *min, uint32_t *opt, uint32_t *max)
{
    const json_t *range = json_object_get(profile, key);
    *min = number(range, "min");
    *opt = number(range, "opt");
    *max = number(range, "max");
}

static void read_profiles(conure_contract *k, const json_t *root)
{
    const json_t *profiles = json_object_get(root, "profiles");
    k->n_profiles = 0;
    for (size_t i = 0; i < json_array_size(profiles) && i < CONURE_PROFILES_MAX; i++) {
        const json_t *from = json_array_get(profiles, i);
        conure_profile *p = &k->profiles[k->n_profiles++];
        COPY(p->name, from, "name");
        p->steps = says(from, "steps", "first") ? CONURE_STEPS_FIRST : says(from, "steps", "later") ? CONURE_STEPS_LATER : CONURE_STEPS_ALL;
        read_range(from, "T", &p->t_min, &p->t_opt, &p->t_max);
        read_range(from, "B", &p->b_min, &p->b_opt, &p->b_max);
    }
}

/* What is none stays float32, and then differs from the file. */
static conure_contract_type read_type(const json_t *tensor)
{
    for (conure_contract_type i = 0; i < CONURE_CONTRACT_TYPES; i++)
        if (says(tensor, "dtype", conure_contract_type_id(i)))
            return i;
    return CONURE_CONTRACT_F32;
}

static void read_lists(conure_contract *k, const json_t *root)
{
    const json_t *inputs = json_object_get(root, "inputs"), *outputs = json_object_get(root, "outputs");
    const json_t *assertions = json_object_get(root, "assertions"), *files = json_object_get(root, "files");
    for (size_t i = 0; i < CONURE_ROLES; i++)
        COPY(k->names[i], i < CONURE_ROLE_INPUTS ? json_array_get(inputs, i) : json_array_get(outputs, i - CONURE_ROLE_INPUTS), "name");
    k->io = read_type(json_array_get(inputs, CONURE_ROLE_FEATURES));
    k->caches = read_type(json_array_get(inputs, CONURE_ROLE_CHANNEL_IN));
    read_profiles(k, root);
    for (size_t i = 0; i < json_array_size(assertions); i++)
        for (uint32_t rule = 0; rule < CONURE_RULES; rule++)
            k->asserts[rule] |= says(json_array_get(assertions, i), "rule", conure_rule_id(rule));
    for (size_t i = 0; i < json_array_size(files) && i < CONURE_CONTRACT_FILES_MAX; i++) {
        COPY(k->files[i].name, json_array_get(files, i), "name");
        COPY(k->files[i].sha256, json_array_get(files, i), "sha256");
        k->n_files++;
    }
}

/* ---- the last sieve --------------------------------------------------------------------------- */

/* The first place where two trees differ, as a JSON pointer; false when they do not. */
static bool find_difference(const json_t *file, const json_t *implied, char *path, size_t cap, const json_t **a, const json_t **b)
{
    const size_t used = strlen(path);
    const char *key;
    json_t *member;
    if (json_is_number(file) && json_is_number(implied) && json_number_value(file) == json_number_value(implied))
        return false;
    json_object_foreach((json_t *)implied, key, member)
    {
        snprintf(path + used, cap - used, "/%s", key);
        if (find_difference(json_object_get(file, key), member, path, cap, a, b))
            return true;
    }
    for (size_t i = 0; i < json_array_size(implied) && i < json_array_size(file); i++) {
        snprintf(path + used, cap - used, "/%zu", i);
        if (find_difference(json_array_get(file, i), json_array_get(implied, i), path, cap, a, b))
            return true;
    }
    path[used] = '\0';
    *a = file;
    *b = implied;
    if (json_is_object(file) && json_is_object(implied)) /* the schema lets no other members in */
        return json_object_size(file) != json_object_size(implied);
    if (json_is_array(file) && json_is_array(implied))
        return json_array_size(file) != json_array_size(implied);
    return !json_equal(file, implied);
}

static conure_status compare(const conure_contract *k, const json_t *file, const char *where, conure_error *err)
{
    char path[256] = "", quoted[2][100];
    const json_t *a, *b;
    json_t *implied = conure_contract_tree(k);
    conure_status status = CONURE_OK;
    if (!implied)
        return conure_fail_memory(err, where, 8192);
    if (find_difference(file, implied, path, sizeof path, &a, &b)) {
        char *text[2] = {json_dumps(a, JSON_ENCODE_ANY), json_dumps(b, JSON_ENCODE_ANY)};
        for (int i = 0; i < 2; i++)
            conure_quote(quoted[i], sizeof quoted[i], text[i] ? text[i] : "?", text[i] ? strlen(text[i]) : 1);
        status = conure_fail(err, CONURE_BAD_FILE, "%s: %s is %s, but the rest of the contract implies %s; was it edited? derive it anew",
                             where, path, quoted[0], quoted[1]);
        free(text[0]);
        free(text[1]);
    }
    json_decref(implied);
    return status;
}

static conure_status fill(conure_contract *out, const json_t *root, const char *where, conure_error *err)
{
    conure_contract k = {.tool = ""};
    const json_t *format = json_object_get(root, "format"), *tool = json_object_get(root, "tool");
    if (json_is_integer(format) && json_integer_value(format) != CONURE_CONTRACT_FORMAT)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: format %lld, this program knows %d: use the version of conure that wrote it, or "
                           "derive it anew", where, (long long)json_integer_value(format), CONURE_CONTRACT_FORMAT);
    conure_status status = validate(root, where, err);
    if (status != CONURE_OK)
        return status;
    COPY(k.tool, tool, "name");
    COPY(k.tool_version, tool, "version");
    read_model(&k, root);
    read_streaming(&k.streaming, root);
    read_conventions(&k, root);
    read_lists(&k, root);
    status = conure_contract_check(&k, where, err);
    if (status == CONURE_OK)
        status = compare(&k, root, where, err);
    if (status == CONURE_OK)
        *out = k;
    return status;
}

conure_status conure_contract_parse(conure_contract *out, const char *json, size_t bytes, const char *where, conure_error *err)
{
    json_t *root;
    conure_status status = conure_json_object(&root, json, bytes, where, err);
    if (status != CONURE_OK)
        return status;
    status = fill(out, root, where, err);
    json_decref(root);
    return status;
}

conure_status conure_contract_read(conure_contract *out, const char *path, char *sha256, conure_error *err)
{
    char *text;
    size_t bytes;
    conure_status status = conure_file_read_any(&text, &bytes, path, CONURE_CONTRACT_BYTES_MAX, err);
    if (status != CONURE_OK)
        return status;
    status = conure_contract_parse(out, text, bytes, path, err);
    if (status == CONURE_OK && sha256) {
        conure_sha256 sha;
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, text, bytes);
        conure_sha256_hex(&sha, sha256);
    }
    free(text);
    return status;
}

/* The schema sees them in their place in the whole. */
conure_status conure_contract_take_profiles(conure_contract *contract, const char *path, conure_error *err)
{
    conure_contract k = *contract;
    json_t *tree = conure_contract_tree(contract), *root = NULL;
    char *text = NULL;
    size_t bytes = 0;
    conure_status status = tree ? conure_file_read_any(&text, &bytes, path, CONURE_CONTRACT_BYTES_MAX, err) : conure_fail_memory(err, path, 8192);
    if (status == CONURE_OK)
        status = conure_json_object(&root, text, bytes, path, err);
    if (status == CONURE_OK && json_object_set(tree, "profiles", json_object_get(root, "profiles")) != 0)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: there is no member profiles, as a contract has it", path);
    if (status == CONURE_OK)
        status = validate(tree, path, err);
    if (status == CONURE_OK) {
        read_profiles(&k, tree);
        status = conure_contract_check(&k, path, err);
    }
    if (status == CONURE_OK)
        *contract = k;
    json_decref(root);
    json_decref(tree);
    free(text);
    return status;
}

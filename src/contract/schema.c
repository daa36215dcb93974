/* schema.c - a validator for the part of JSON Schema that schema.h names.  A schema is checked when it is opened, so that
 * validating need not doubt it. */
#include "contract/schema.h"

#include "base/memory.h"
#include "model/json.h"
#include "model/quote.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, PATH_CAP = 256, TEXT_CAP = 96, STEPS_MAX = 1000000 };

struct conure_schema {
    json_t *root;
};

/* The way into the value (or the schema), as a JSON pointer. */
typedef struct place {
    char path[PATH_CAP];
    const char *where;
    conure_error *err;
    const json_t *root;
    int depth;
    long steps; /* made: a schema that refers to itself twice on each level would take a power of two of them */
} place;

static size_t enter(place *p, const char *key)
{
    const size_t before = strlen(p->path);
    char quoted[80];
    snprintf(p->path + before, PATH_CAP - before, "/%s", conure_quote(quoted, sizeof quoted, key, strlen(key)));
    p->depth++;
    return before;
}

static size_t enter_index(place *p, size_t i)
{
    char key[24];
    snprintf(key, sizeof key, "%zu", i);
    return enter(p, key);
}

static void leave(place *p, size_t before)
{
    p->path[before] = '\0';
    p->depth--;
}

static const char *here(const place *p)
{
    return p->path[0] ? p->path : "the whole";
}

/* ---- scalars ---------------------------------------------------------------------------------- */

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

/* 1 and 1.0 are the same number. */
static bool same(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* A scalar as it would stand in an error text. */
static const char *shown(char out[TEXT_CAP], const json_t *value)
{
    char quoted[64];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        snprintf(out, TEXT_CAP, "an object");
        break;
    case JSON_ARRAY:
        snprintf(out, TEXT_CAP, "a list of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        snprintf(out, TEXT_CAP, "\"%s\"", conure_quote(quoted, sizeof quoted, json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER:
        snprintf(out, TEXT_CAP, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, TEXT_CAP, "%.9g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, TEXT_CAP, "%s", json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(out, TEXT_CAP, "null");
        break;
    }
    return out;
}

static const char *const type_names[] = {"object", "array", "string", "integer", "number", "boolean", "null"};

static bool is_type(const json_t *value, const char *type)
{
    if (strcmp(type, "object") == 0)
        return json_is_object(value);
    if (strcmp(type, "array") == 0)
        return json_is_array(value);
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "integer") == 0) /* 1.0 is one */
        return json_is_integer(value) || (json_is_real(value) && floor(json_real_value(value)) == json_real_value(value));
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    return json_is_null(value);
}

/* Characters, not bytes. */
static size_t characters(const json_t *text)
{
    const char *s = json_string_value(text);
    size_t n = 0;
    for (size_t i = 0; i < json_string_length(text); i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

/* ---- opening: is the schema one --------------------------------------------------------------- */

static conure_status check_schema(place *p, const json_t *schema);

static conure_status bad_schema(const place *p, const char *keyword, const char *expected)
{
    return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s: %s must be %s", p->where, here(p), keyword, expected);
}

typedef enum shape { TEXT, TYPE, SCALAR, SCALARS, COUNT, NUMBER, NAMES, SCHEMA, SCHEMAS, SCHEMA_LIST, REFERENCE } shape;

static const struct {
    const char *keyword;
    shape shape;
} keywords[] = {
    {"$schema", TEXT},      {"$id", TEXT},        {"$comment", TEXT},  {"title", TEXT},
    {"description", TEXT},  {"$defs", SCHEMAS},   {"$ref", REFERENCE}, {"type", TYPE},
    {"const", SCALAR},      {"enum", SCALARS},    {"minimum", NUMBER}, {"maximum", NUMBER},
    {"minLength", COUNT},   {"maxLength", COUNT}, {"minItems", COUNT}, {"maxItems", COUNT},
    {"properties", SCHEMAS}, {"required", NAMES}, {"additionalProperties", SCHEMA}, {"items", SCHEMA},
    {"prefixItems", SCHEMA_LIST},
};

/* The schema that "#/$defs/NAME" means; NULL when there is none. */
static const json_t *referred(const json_t *root, const json_t *reference)
{
    static const char start[] = "#/$defs/";
    const char *text = json_string_value(reference);
    if (!text || strncmp(text, start, sizeof start - 1) != 0)
        return NULL;
    return json_object_get(json_object_get(root, "$defs"), text + sizeof start - 1);
}

static bool is_type_name(const json_t *value)
{
    for (size_t i = 0; json_is_string(value) && i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(json_string_value(value), type_names[i]) == 0)
            return true;
    return false;
}

static bool all(const json_t *list, bool (*is)(const json_t *))
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is(json_array_get(list, i)))
            return false;
    return json_is_array(list) && json_array_size(list) > 0;
}

static bool is_text(const json_t *value)
{
    return json_is_string(value);
}

static conure_status check_schemas(place *p, const char *keyword, const json_t *schemas)
{
    const size_t before = enter(p, keyword);
    conure_status status = CONURE_OK;
    const char *key;
    json_t *inner;
    json_object_foreach((json_t *)schemas, key, inner)
    {
        const size_t inside = enter(p, key);
        status = check_schema(p, inner);
        leave(p, inside);
        if (status != CONURE_OK)
            break;
    }
    for (size_t i = 0; status == CONURE_OK && i < json_array_size(schemas); i++) {
        const size_t inside = enter_index(p, i);
        status = check_schema(p, json_array_get(schemas, i));
        leave(p, inside);
    }
    leave(p, before);
    return status;
}

static conure_status check_keyword(place *p, const char *keyword, shape kind, const json_t *value)
{
    switch (kind) {
    case TEXT:
        return json_is_string(value) ? CONURE_OK : bad_schema(p, keyword, "a text");
    case TYPE:
        return is_type_name(value) || all(value, is_type_name) ? CONURE_OK : bad_schema(p, keyword, "a type or a list of types");
    case SCALAR:
        return is_scalar(value) ? CONURE_OK : bad_schema(p, keyword, "a text, a number, true, false or null");
    case SCALARS:
        return all(value, is_scalar) ? CONURE_OK : bad_schema(p, keyword, "a list of texts, numbers, true, false, null");
    case COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0 ? CONURE_OK : bad_schema(p, keyword, "an integer from 0");
    case NUMBER:
        return json_is_number(value) ? CONURE_OK : bad_schema(p, keyword, "a number");
    case NAMES:
        return all(value, is_text) ? CONURE_OK : bad_schema(p, keyword, "a list of names");
    case SCHEMAS:
        return json_is_object(value) ? check_schemas(p, keyword, value) : bad_schema(p, keyword, "an object of schemas");
    case SCHEMA_LIST:
        return json_is_array(value) ? check_schemas(p, keyword, value) : bad_schema(p, keyword, "a list of schemas");
    case REFERENCE:
        return referred(p->root, value) ? CONURE_OK : bad_schema(p, keyword, "\"#/$defs/NAME\" of a schema in $defs");
    case SCHEMA:
        break;
    }
    const size_t before = enter(p, keyword);
    const conure_status status = check_schema(p, value);
    leave(p, before);
    return status;
}

static conure_status check_schema(place *p, const json_t *schema)
{
    const char *key;
    json_t *value;
    if (json_is_boolean(schema))
        return CONURE_OK;
    if (!json_is_object(schema))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s is no schema: expected an object, true or false", p->where, here(p));
    if (p->depth > DEPTH_MAX)
        return conure_fail(p->err, CONURE_UNSUPPORTED, "%s: %s: schemas within schemas, deeper than %d", p->where, here(p), DEPTH_MAX);
    json_object_foreach((json_t *)schema, key, value)
    {
        size_t i = 0;
        char quoted[64];
        while (i < sizeof keywords / sizeof *keywords && strcmp(keywords[i].keyword, key) != 0)
            i++;
        if (i == sizeof keywords / sizeof *keywords)
            return conure_fail(p->err, CONURE_UNSUPPORTED, "%s: %s: the keyword '%s' is not known here", p->where, here(p),
                               conure_quote(quoted, sizeof quoted, key, strlen(key)));
        const conure_status status = check_keyword(p, key, keywords[i].shape, value);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_schema_open(conure_schema **out, const char *text, size_t bytes, const char *where, conure_error *err)
{
    *out = NULL;
    conure_schema *schema = conure_calloc(1, sizeof *schema);
    if (!schema)
        return conure_fail_memory(err, where, sizeof *schema);
    conure_status status = conure_json_object(&schema->root, text, bytes, where, err);
    if (status == CONURE_OK) {
        place p = {.where = where, .err = err, .root = schema->root};
        status = check_schema(&p, schema->root);
    }
    if (status != CONURE_OK) {
        conure_schema_close(&schema);
        return status;
    }
    *out = schema;
    return CONURE_OK;
}

void conure_schema_close(conure_schema **schema)
{
    if (!schema || !*schema)
        return;
    json_decref((*schema)->root);
    free(*schema);
    *schema = NULL;
}

/* ---- validating ------------------------------------------------------------------------------- */

static conure_status validate(place *p, const json_t *schema, const json_t *value);

static conure_status differs(const place *p, const json_t *value, const char *expected)
{
    char text[TEXT_CAP];
    return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s is %s, expected %s", p->where, here(p), shown(text, value), expected);
}

static conure_status validate_type(const place *p, const json_t *type, const json_t *value)
{
    char expected[128] = "";
    if (json_is_string(type)) {
        snprintf(expected, sizeof expected, "%s", json_string_value(type));
        return is_type(value, expected) ? CONURE_OK : differs(p, value, expected);
    }
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        if (is_type(value, name))
            return CONURE_OK;
        const size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", used ? " or " : "", name);
    }
    return differs(p, value, expected);
}

static conure_status validate_enum(const place *p, const json_t *list, const json_t *value)
{
    char expected[200] = "one of";
    for (size_t i = 0; i < json_array_size(list); i++) {
        char text[TEXT_CAP];
        const json_t *entry = json_array_get(list, i);
        if (same(entry, value))
            return CONURE_OK;
        const size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s %s", i ? "," : "", shown(text, entry));
    }
    return differs(p, value, expected);
}

static conure_status validate_range(const place *p, const char *what, double got, const json_t *min, const json_t *max)
{
    char text[TEXT_CAP];
    if (min && got < json_number_value(min))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s%s is %.9g, at least %s is expected", p->where, here(p), what, got, shown(text, min));
    if (max && got > json_number_value(max))
        return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s%s is %.9g, at most %s is expected", p->where, here(p), what, got, shown(text, max));
    return CONURE_OK;
}

static conure_status validate_object(place *p, const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const char *key;
    json_t *member;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        char quoted[64];
        if (!json_object_get(value, name))
            return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s has no member '%s'", p->where, here(p),
                               conure_quote(quoted, sizeof quoted, name, strlen(name)));
    }
    json_object_foreach((json_t *)value, key, member)
    {
        const json_t *inner = json_object_get(properties, key);
        if (!inner)
            inner = others;
        if (!inner)
            continue;
        const size_t before = enter(p, key);
        const conure_status status = validate(p, inner, member);
        leave(p, before);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static conure_status validate_array(place *p, const json_t *schema, const json_t *value)
{
    const json_t *first = json_object_get(schema, "prefixItems"), *rest = json_object_get(schema, "items");
    conure_status status = validate_range(p, ": the number of entries", (double)json_array_size(value), json_object_get(schema, "minItems"),
                                          json_object_get(schema, "maxItems"));
    for (size_t i = 0; status == CONURE_OK && i < json_array_size(value); i++) {
        const json_t *inner = i < json_array_size(first) ? json_array_get(first, i) : rest;
        if (!inner)
            break;
        const size_t before = enter_index(p, i);
        status = validate(p, inner, json_array_get(value, i));
        leave(p, before);
    }
    return status;
}

static conure_status validate_scalar(const place *p, const json_t *schema, const json_t *value)
{
    const json_t *type = json_object_get(schema, "type"), *list = json_object_get(schema, "enum");
    const json_t *constant = json_object_get(schema, "const");
    conure_status status = type ? validate_type(p, type, value) : CONURE_OK;
    if (status == CONURE_OK && list)
        status = validate_enum(p, list, value);
    if (status == CONURE_OK && constant && !same(constant, value)) {
        char expected[TEXT_CAP];
        status = differs(p, value, shown(expected, constant));
    }
    if (status == CONURE_OK && json_is_number(value))
        status = validate_range(p, "", json_number_value(value), json_object_get(schema, "minimum"), json_object_get(schema, "maximum"));
    if (status == CONURE_OK && json_is_string(value))
        status = validate_range(p, ": the number of characters", (double)characters(value), json_object_get(schema, "minLength"),
                                json_object_get(schema, "maxLength"));
    return status;
}

static conure_status validate(place *p, const json_t *schema, const json_t *value)
{
    const json_t *reference = json_object_get(schema, "$ref");
    if (json_is_true(schema))
        return CONURE_OK;
    if (json_is_false(schema)) /* what it is matters less than that it is there */
        return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s is not expected here", p->where, here(p));
    if (p->depth > DEPTH_MAX)
        return conure_fail(p->err, CONURE_BAD_FILE, "%s: %s: nested deeper than %d, or a schema that refers to itself", p->where,
                           here(p), DEPTH_MAX);
    if (++p->steps > STEPS_MAX)
        return conure_fail(p->err, CONURE_UNSUPPORTED, "%s: %s: more than %d checks", p->where, here(p), STEPS_MAX);
    if (reference) {
        p->depth++;
        const conure_status status = validate(p, referred(p->root, reference), value);
        p->depth--;
        if (status != CONURE_OK)
            return status;
    }
    conure_status status = validate_scalar(p, schema, value);
    if (status == CONURE_OK && json_is_object(value))
        status = validate_object(p, schema, value);
    if (status == CONURE_OK && json_is_array(value))
        status = validate_array(p, schema, value);
    return status;
}

conure_status conure_schema_check(const conure_schema *schema, const json_t *value, const char *where, conure_error *err)
{
    place p = {.where = where, .err = err, .root = schema->root};
    return validate(&p, schema->root, value);
}

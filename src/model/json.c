/* json.c - fields of JSON objects, checked.  Jansson limits the depth of nesting itself. */
#include "model/json.h"

#include "model/model.h"

#include <math.h>

conure_status conure_json_object(json_t **out, const char *text, size_t bytes, const char *where,
                                 conure_error *err)
{
    json_error_t at;
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &at);
    if (!*out && json_error_code(&at) == json_error_out_of_memory)
        return conure_fail_memory(err, where, bytes);
    if (!*out)
        return conure_fail(err, CONURE_BAD_FILE, "%s: not valid JSON: line %d: %s", where, at.line,
                           at.text);
    if (json_is_object(*out))
        return CONURE_OK;
    json_decref(*out);
    *out = NULL;
    return conure_fail(err, CONURE_BAD_FILE, "%s: not a JSON object", where);
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

static conure_status wrong_type(const json_t *value, const char *key, const char *expected,
                                const char *where, conure_error *err)
{
    return conure_fail(err, CONURE_BAD_FILE, "%s: %.64s is %s, expected %s", where, key,
                       type_name(value), expected);
}

/* *value is NULL when the key may be absent and is. */
static conure_status find(const json_t *object, const char *key, conure_presence presence,
                          json_t **value, const char *where, conure_error *err)
{
    *value = json_object_get(object, key);
    if (*value && !(presence == CONURE_OPTIONAL && json_is_null(*value)))
        return CONURE_OK;
    *value = NULL;
    if (presence == CONURE_OPTIONAL)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE, "%s: %.64s is missing", where, key);
}

conure_status conure_json_u32(const json_t *object, const char *key, conure_presence presence,
                              uint32_t min, uint32_t max, uint32_t *out, const char *where,
                              conure_error *err)
{
    json_t *value;
    const conure_status status = find(object, key, presence, &value, where, err);
    if (!value)
        return status;
    if (!json_is_integer(value))
        return wrong_type(value, key, "an integer", where, err);
    const json_int_t number = json_integer_value(value);
    if (number < (json_int_t)min || number > (json_int_t)max)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %.64s is %lld, supported: %u to %u", where,
                           key, (long long)number, min, max);
    *out = (uint32_t)number;
    return CONURE_OK;
}

conure_status conure_json_bool(const json_t *object, const char *key, conure_presence presence,
                               bool *out, const char *where, conure_error *err)
{
    json_t *value;
    const conure_status status = find(object, key, presence, &value, where, err);
    if (!value)
        return status;
    if (!json_is_boolean(value))
        return wrong_type(value, key, "true or false", where, err);
    *out = json_is_true(value);
    return CONURE_OK;
}

conure_status conure_json_real(const json_t *object, const char *key, conure_presence presence,
                               double *out, const char *where, conure_error *err)
{
    json_t *value;
    const conure_status status = find(object, key, presence, &value, where, err);
    if (!value)
        return status;
    if (!json_is_number(value))
        return wrong_type(value, key, "a number", where, err);
    *out = json_number_value(value);
    return CONURE_OK;
}

conure_status conure_json_text(const json_t *object, const char *key, conure_presence presence,
                               const char **out, const char *where, conure_error *err)
{
    json_t *value;
    const conure_status status = find(object, key, presence, &value, where, err);
    if (!value)
        return status;
    if (!json_is_string(value))
        return wrong_type(value, key, "a text", where, err);
    *out = json_string_value(value);
    return CONURE_OK;
}

conure_status conure_json_inner(const json_t *object, const char *key, conure_presence presence,
                                json_t **out, const char *where, conure_error *err)
{
    json_t *value;
    const conure_status status = find(object, key, presence, &value, where, err);
    if (!value)
        return status;
    if (!json_is_object(value))
        return wrong_type(value, key, "an object", where, err);
    *out = value;
    return CONURE_OK;
}

conure_status conure_json_durations(const json_t *object, const char *key, uint32_t *durations,
                                    uint32_t *n, const char *where, conure_error *err)
{
    json_t *list;
    const conure_status status = find(object, key, CONURE_REQUIRED, &list, where, err);
    if (!list)
        return status;
    if (!json_is_array(list))
        return wrong_type(list, key, "a list of integers", where, err);
    if (json_array_size(list) > CONURE_DURATIONS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "%s: %.64s has %zu entries, supported: up to %d", where, key,
                           json_array_size(list), CONURE_DURATIONS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_integer(value))
            return wrong_type(value, key, "a list of integers", where, err);
        if (json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
            return conure_fail(err, CONURE_BAD_FILE, "%s: %.64s holds %lld", where, key,
                               (long long)json_integer_value(value));
        durations[i] = (uint32_t)json_integer_value(value);
    }
    *n = (uint32_t)json_array_size(list);
    return CONURE_OK;
}

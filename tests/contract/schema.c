/* schema.c - the validator: each keyword accepts and refuses, and a schema that it does not fully know is refused.  What is
 * expected here is what the Python package jsonschema 4.26 (draft 2020-12) says of the same pairs. */
#include "../test.h"
#include "contract/contract.h"
#include "contract/schema.h"

static const struct {
    const char *schema, *value;
    const char *says; /* NULL: valid */
} pairs[] = {
    {"{}", "[1]", NULL},
    {"{\"type\":\"integer\"}", "[1]", "is a list of 1, expected integer"},
    {"{\"items\":{\"type\":\"integer\"}}", "[1, 2.0]", NULL},
    {"{\"items\":{\"type\":\"integer\"}}", "[1, 2.5]", "/1 is 2.5, expected integer"},
    {"{\"items\":{\"type\":\"number\"}}", "[1, 2.5]", NULL},
    {"{\"items\":{\"type\":\"number\"}}", "[\"1\"]", "/0 is \"1\", expected number"},
    {"{\"items\":{\"type\":\"boolean\"}}", "[true, false]", NULL},
    {"{\"items\":{\"type\":\"boolean\"}}", "[0]", "/0 is 0, expected boolean"},
    {"{\"items\":{\"type\":[\"string\",\"null\"]}}", "[null, \"a\"]", NULL},
    {"{\"items\":{\"type\":[\"string\",\"null\"]}}", "[false]", "/0 is false, expected string or null"},
    {"{\"items\":{\"type\":\"object\"}}", "[{}]", NULL},
    {"{\"items\":{\"type\":\"array\"}}", "[{}]", "/0 is an object, expected array"},
    {"{\"items\":{\"const\":1}}", "[1, 1.0]", NULL},
    {"{\"items\":{\"const\":1}}", "[true]", "/0 is true, expected 1"},
    {"{\"items\":{\"const\":\"a\"}}", "[\"b\"]", "/0 is \"b\", expected \"a\""},
    {"{\"items\":{\"enum\":[1,\"a\",null]}}", "[1, \"a\", null, 1.0]", NULL},
    {"{\"items\":{\"enum\":[1,\"a\",null]}}", "[\"A\"]", "/0 is \"A\", expected one of 1, \"a\", null"},
    {"{\"items\":{\"minimum\":-2,\"maximum\":3.5}}", "[-2, 3.5, \"x\"]", NULL},
    {"{\"items\":{\"minimum\":-2}}", "[-2.5]", "/0 is -2.5, at least -2"},
    {"{\"items\":{\"maximum\":3.5}}", "[4]", "/0 is 4, at most 3.5"},
    {"{\"items\":{\"minLength\":2,\"maxLength\":2}}", "[\"\xc3\xa4\xc3\xb6\", 7]", NULL},
    {"{\"items\":{\"minLength\":2}}", "[\"\xc3\xa4\"]", "/0: the number of characters is 1, at least 2"},
    {"{\"items\":{\"maxLength\":1}}", "[\"ab\"]", "/0: the number of characters is 2, at most 1"},
    {"{\"minItems\":1,\"maxItems\":2}", "[1, 2]", NULL},
    {"{\"minItems\":1}", "[]", "the whole: the number of entries is 0, at least 1"},
    {"{\"maxItems\":2}", "[1, 2, 3]", "the number of entries is 3, at most 2"},
    {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"string\"}}", "[null, \"a\", \"b\"]", NULL},
    {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"string\"}}", "[null, null]", "/1 is null, expected string"},
    {"{\"prefixItems\":[true, false],\"items\":false}", "[1]", NULL},
    {"{\"prefixItems\":[true],\"items\":false}", "[1, 2]", "/1 is not expected here"},
    {"{\"required\":[\"a\"]}", "{\"a\": null}", NULL},
    {"{\"required\":[\"a\"]}", "[]", NULL},
    {"{\"required\":[\"a\", \"b\"]}", "{\"a\": null}", "the whole has no member 'b'"},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}}}", "{\"b\": 1}", NULL},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}}}", "{\"a\": 1}", "/a is 1, expected null"},
    {"{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\": 1}", NULL},
    {"{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\": 1, \"b\": 2}", "/b is not expected here"},
    {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"x\": \"y\"}", NULL},
    {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"x\": 1}", "/x is 1, expected string"},
    {"{\"$defs\":{\"n\":{\"type\":\"null\"}},\"items\":{\"$ref\":\"#/$defs/n\"}}", "[null]", NULL},
    {"{\"$defs\":{\"n\":{\"type\":\"null\"}},\"items\":{\"$ref\":\"#/$defs/n\"}}", "[0]", "/0 is 0, expected null"},
    {"{\"$defs\":{\"n\":{\"type\":[\"integer\",\"array\"],\"items\":{\"$ref\":\"#/$defs/n\"}}},\"$ref\":\"#/$defs/n\"}", "[[[1], 2]]", NULL},
    {"{\"$defs\":{\"n\":{\"type\":[\"integer\",\"array\"],\"items\":{\"$ref\":\"#/$defs/n\"}}},\"$ref\":\"#/$defs/n\"}", "[[[1], null]]",
     "/0/1 is null, expected integer or array"},
    {"{\"$defs\":{\"s\":{\"minLength\":2}},\"items\":{\"$ref\":\"#/$defs/s\",\"maxLength\":3}}", "[\"abcd\"]", "at most 3"},
    {"{\"$schema\":\"x\",\"$id\":\"y\",\"$comment\":\"z\",\"title\":\"t\",\"description\":\"d\"}", "{}", NULL},
};

static void validates(void)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        conure_schema *schema = NULL;
        conure_error err = {""};
        json_t *value = json_loads(pairs[i].value, 0, NULL);
        test_int(conure_schema_open(&schema, pairs[i].schema, strlen(pairs[i].schema), "schema", &err), CONURE_OK);
        test_true(value && schema);
        if (value && schema)
            test_int(conure_schema_check(schema, value, "value", &err), pairs[i].says ? CONURE_BAD_FILE : CONURE_OK);
        if (pairs[i].says)
            test_contains(err.text, pairs[i].says);
        if (pairs[i].says)
            test_contains(err.text, "value: ");
        json_decref(value);
        conure_schema_close(&schema);
    }
}

static void refuses_schemas(void)
{
    static const struct {
        const char *schema;
        conure_status status;
        const char *says;
    } bad[] = {
        {"", CONURE_BAD_FILE, "not valid JSON"},
        {"[]", CONURE_BAD_FILE, "not a JSON object"},
        {"{\"pattern\":\"a\"}", CONURE_UNSUPPORTED, "the keyword 'pattern' is not known here"},
        {"{\"items\":{\"oneOf\":[]}}", CONURE_UNSUPPORTED, "/items: the keyword 'oneOf'"},
        {"{\"$defs\":{\"a\":{\"not\":{}}}}", CONURE_UNSUPPORTED, "/$defs/a: the keyword 'not'"},
        {"{\"type\":\"int\"}", CONURE_BAD_FILE, "type must be"},
        {"{\"type\":[]}", CONURE_BAD_FILE, "type must be"},
        {"{\"type\":[\"null\",1]}", CONURE_BAD_FILE, "type must be"},
        {"{\"const\":{}}", CONURE_BAD_FILE, "const must be"},
        {"{\"enum\":\"a\"}", CONURE_BAD_FILE, "enum must be"},
        {"{\"enum\":[[]]}", CONURE_BAD_FILE, "enum must be"},
        {"{\"minimum\":\"1\"}", CONURE_BAD_FILE, "minimum must be a number"},
        {"{\"minItems\":-1}", CONURE_BAD_FILE, "minItems must be"},
        {"{\"maxLength\":1.5}", CONURE_BAD_FILE, "maxLength must be"},
        {"{\"required\":\"a\"}", CONURE_BAD_FILE, "required must be"},
        {"{\"required\":[1]}", CONURE_BAD_FILE, "required must be"},
        {"{\"properties\":[]}", CONURE_BAD_FILE, "properties must be"},
        {"{\"properties\":{\"a\":1}}", CONURE_BAD_FILE, "/properties/a is no schema"},
        {"{\"prefixItems\":{}}", CONURE_BAD_FILE, "prefixItems must be"},
        {"{\"prefixItems\":[7]}", CONURE_BAD_FILE, "/prefixItems/0 is no schema"},
        {"{\"items\":null}", CONURE_BAD_FILE, "/items is no schema"},
        {"{\"$ref\":\"#/$defs/a\"}", CONURE_BAD_FILE, "$ref must be"},
        {"{\"$ref\":\"other.json\"}", CONURE_BAD_FILE, "$ref must be"},
        {"{\"title\":1}", CONURE_BAD_FILE, "title must be a text"},
        {"{\"type\":\"null\",\"type\":\"null\"}", CONURE_BAD_FILE, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_schema *schema = NULL;
        conure_error err = {""};
        test_int(conure_schema_open(&schema, bad[i].schema, strlen(bad[i].schema), "schema", &err), bad[i].status);
        test_true(!schema);
        test_contains(err.text, bad[i].says);
    }
}

/* Schemas that go round in circles end all the same, and so do those that branch at every level. */
static void ends(void)
{
    static const char circle[] = "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}},\"$ref\":\"#/$defs/a\"}";
    static const char bush[] = "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\",\"items\":{\"$ref\":\"#/$defs/a\"}},"
                               "\"b\":{\"items\":{\"$ref\":\"#/$defs/a\"}}},\"$ref\":\"#/$defs/a\"}";
    char deep[64];
    conure_schema *schema = NULL;
    conure_error err = {""};
    memset(deep, '[', 20);
    memset(deep + 20, ']', 20);
    deep[40] = '\0';
    json_t *value = json_loads(deep, 0, NULL);
    test_true(value);
    test_int(conure_schema_open(&schema, circle, strlen(circle), "schema", &err), CONURE_OK);
    test_int(conure_schema_check(schema, value, "value", &err), CONURE_BAD_FILE);
    test_contains(err.text, "refers to itself");
    conure_schema_close(&schema);
    test_int(conure_schema_open(&schema, bush, strlen(bush), "schema", &err), CONURE_OK);
    test_int(conure_schema_check(schema, value, "value", &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "checks");
    conure_schema_close(&schema);
    json_decref(value);
}

static void ours(void)
{
    size_t bytes;
    const char *text = conure_contract_schema(&bytes);
    conure_schema *schema = NULL;
    conure_error err = {""};
    test_int(conure_schema_open(&schema, text, bytes, "ours", &err), CONURE_OK);
    test_text(err.text, "");
    conure_schema_close(&schema);
    conure_schema_close(&schema);
}

int main(void)
{
    test_begin("contract.schema");
    validates();
    refuses_schemas();
    ends();
    ours();
    return test_end();
}

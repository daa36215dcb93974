/* nemo_keys.c - typed questions to a section of a YAML configuration. */
#include "model/nemo_keys.h"

#include "base/memory.h"
#include "model/quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void conure_keys_fail(conure_keys *keys, conure_status status, const char *format, ...)
{
    char text[384];
    va_list args;
    if (keys->status != CONURE_OK)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keys->status = conure_fail(keys->err, status, "%s", text);
}

/* The node as it stands, null too. */
static conure_yaml_node lookup(conure_keys *keys, conure_section section, const char *key)
{
    bool twice = false;
    if (keys->status != CONURE_OK)
        return 0;
    const conure_yaml_node node = conure_yaml_get(keys->yaml, section.node, key, &twice);
    if (twice)
        conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: is there twice", section.path, key);
    return keys->status == CONURE_OK ? node : 0;
}

bool conure_keys_has(conure_keys *keys, conure_section section, const char *key, bool *is_null)
{
    const conure_yaml_node node = lookup(keys, section, key);
    *is_null = node && conure_yaml_is_null(keys->yaml, node);
    return node && !*is_null;
}

conure_yaml_node conure_keys_find(conure_keys *keys, conure_section section, const char *key)
{
    const conure_yaml_node node = lookup(keys, section, key);
    return conure_yaml_is_null(keys->yaml, node) ? 0 : node;
}

static void wrong_type(conure_keys *keys, conure_section section, const char *key,
                       const char *expected)
{
    char shown[96];
    const conure_yaml_node node = lookup(keys, section, key);
    conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: '%s' (line %u), expected %s", section.path, key,
                     conure_yaml_show(keys->yaml, node, shown, sizeof shown),
                     (unsigned)conure_yaml_line(keys->yaml, node), expected);
}

void conure_keys_refuse(conure_keys *keys, conure_section section, const char *key,
                        const char *supported)
{
    char shown[96];
    const conure_yaml_node node = lookup(keys, section, key);
    if (!node)
        conure_keys_fail(keys, CONURE_UNSUPPORTED, "%s%s: missing; supported: %s", section.path,
                         key, supported);
    conure_keys_fail(keys, CONURE_UNSUPPORTED, "%s%s: '%s' is not supported; supported: %s",
                     section.path, key, conure_yaml_show(keys->yaml, node, shown, sizeof shown),
                     supported);
}

conure_section conure_keys_section(conure_keys *keys, conure_section parent, const char *key,
                                   const char *path, bool required)
{
    const conure_section section = {path, conure_keys_find(keys, parent, key)};
    if (section.node && conure_yaml_kind_of(keys->yaml, section.node) != CONURE_YAML_MAPPING)
        wrong_type(keys, parent, key, "a mapping");
    if (!section.node && required)
        conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: missing", parent.path, key);
    return section;
}

/* The index of word among those of list, which single spaces separate; -1 when it is none. */
static int word_index(const char *list, const char *word)
{
    const size_t n = strlen(word);
    if (n == 0 || strchr(word, ' '))
        return -1;
    for (int i = 0; list; i++) {
        if (strncmp(list, word, n) == 0 && (list[n] == ' ' || list[n] == '\0'))
            return i;
        const char *space = strchr(list, ' ');
        list = space ? space + 1 : NULL;
    }
    return -1;
}

void conure_keys_known(conure_keys *keys, conure_section section, const char *words)
{
    char shown[96], shown_key[64];
    for (conure_yaml_node at = conure_yaml_first(keys->yaml, section.node), item; at;
         at = conure_yaml_next(keys->yaml, item)) {
        const char *key = conure_yaml_text(keys->yaml, at);
        item = conure_yaml_next(keys->yaml, at);
        if (!key || word_index(words, key) < 0)
            conure_keys_fail(
                keys, CONURE_UNSUPPORTED,
                "%s%s: '%s' (line %u): a key that is not known and might change the result",
                section.path, conure_yaml_show(keys->yaml, at, shown_key, sizeof shown_key),
                conure_yaml_show(keys->yaml, item, shown, sizeof shown),
                (unsigned)conure_yaml_line(keys->yaml, at));
    }
}

int64_t conure_keys_int(conure_keys *keys, conure_section section, const char *key,
                        int64_t otherwise, int64_t low, int64_t high)
{
    const conure_yaml_node node = lookup(keys, section, key);
    char expected[80];
    int64_t value;
    double number;
    if (!node)
        return otherwise;
    bool ok = conure_yaml_int(keys->yaml, node, &value);
    if (!ok && conure_yaml_number(keys->yaml, node, &number) && number >= -1e15 && number <= 1e15) {
        value = (int64_t)number; /* "4.0" */
        ok = (double)value == number;
    }
    if (ok && value >= low && value <= high)
        return value;
    snprintf(expected, sizeof expected, "a whole number, %lld to %lld", (long long)low,
             (long long)high);
    wrong_type(keys, section, key, expected);
    return otherwise;
}

int64_t conure_keys_required(conure_keys *keys, conure_section section, const char *key,
                             int64_t low, int64_t high)
{
    if (!lookup(keys, section, key))
        conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: missing", section.path, key);
    return conure_keys_int(keys, section, key, low, low, high);
}

double conure_keys_number(conure_keys *keys, conure_section section, const char *key,
                          double otherwise)
{
    const conure_yaml_node node = lookup(keys, section, key);
    double value;
    if (!node)
        return otherwise;
    if (conure_yaml_number(keys->yaml, node, &value))
        return value;
    wrong_type(keys, section, key, "a number");
    return otherwise;
}

bool conure_keys_bool(conure_keys *keys, conure_section section, const char *key, bool otherwise)
{
    const conure_yaml_node node = lookup(keys, section, key);
    bool value;
    if (!node)
        return otherwise;
    if (conure_yaml_bool(keys->yaml, node, &value))
        return value;
    wrong_type(keys, section, key, "true or false");
    return otherwise;
}

uint32_t conure_keys_choice(conure_keys *keys, conure_section section, const char *key,
                            uint32_t otherwise, const char *words)
{
    const conure_yaml_node node = lookup(keys, section, key);
    const char *text = node ? conure_yaml_text(keys->yaml, node) : NULL;
    const int i = text ? word_index(words, text) : -1;
    if (!node)
        return otherwise;
    if (i >= 0)
        return (uint32_t)i;
    conure_keys_refuse(keys, section, key, words);
    return otherwise;
}

/* What is not supported because the key is absent and its default is another value. */
static void refuse_default(conure_keys *keys, conure_section section, const char *key,
                           const char *means, const char *supported)
{
    if (lookup(keys, section, key))
        conure_keys_refuse(keys, section, key, supported);
    else
        conure_keys_fail(keys, CONURE_UNSUPPORTED, "%s%s: absent, which means %s; supported: %s",
                         section.path, key, means, supported);
}

void conure_keys_want_bool(conure_keys *keys, conure_section section, const char *key,
                           bool otherwise, bool want)
{
    if (conure_keys_bool(keys, section, key, otherwise) != want)
        refuse_default(keys, section, key, want ? "false" : "true", want ? "true" : "false");
}

void conure_keys_want_number(conure_keys *keys, conure_section section, const char *key,
                             double otherwise, double want)
{
    char wanted[32], means[32];
    if (conure_keys_number(keys, section, key, otherwise) == want)
        return;
    snprintf(wanted, sizeof wanted, "%d", (int)want); /* every wanted number is a small whole one */
    snprintf(means, sizeof means, "%d", (int)otherwise);
    refuse_default(keys, section, key, means, wanted);
}

void conure_keys_want_null(conure_keys *keys, conure_section section, const char *key)
{
    if (conure_keys_find(keys, section, key))
        conure_keys_refuse(keys, section, key, "null");
}

void conure_keys_want_class(conure_keys *keys, conure_section section, const char *key,
                            const char *name)
{
    const conure_yaml_node node = conure_keys_find(keys, section, key);
    const char *text = node ? conure_yaml_text(keys->yaml, node) : NULL;
    const char *dot = text ? strrchr(text, '.') : NULL;
    if (node && (!text || strcmp(dot ? dot + 1 : text, name) != 0))
        conure_keys_refuse(keys, section, key, name);
}

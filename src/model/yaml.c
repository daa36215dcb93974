/* yaml.c - libyaml's events gathered into a tree of nodes in one array. */
#include "model/yaml.h"

#include "base/memory.h"
#include "model/quote.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct node {
    uint8_t kind; /* conure_yaml_kind; 0: an alias of target */
    bool plain;   /* a scalar without quotes */
    bool open;    /* a collection whose end has not come yet */
    uint32_t line;
    uint32_t next;               /* sibling */
    uint32_t first, last, count; /* of a collection */
    uint32_t target;
    size_t text; /* offset of a scalar's text */
} node;

struct conure_yaml {
    node *nodes; /* from 1 on */
    uint32_t n_nodes, cap;
    conure_buffer text;
};

typedef struct builder {
    conure_yaml *yaml;
    conure_error *err;
    uint32_t path[CONURE_YAML_DEPTH_MAX]; /* open collections */
    uint32_t depth;
    struct {
        char *name;
        uint32_t node;
    } anchors[CONURE_YAML_ANCHORS_MAX];
    uint32_t n_anchors;
    bool ended;
} builder;

static const node *resolve(const conure_yaml *yaml, uint32_t at)
{
    const node *n = &yaml->nodes[at <= yaml->n_nodes ? at : 0];
    return n->kind == 0 && n->target ? &yaml->nodes[n->target] : n;
}

/* ---- building -------------------------------------------------------------------------------- */

static conure_status node_add(builder *b, node made, uint32_t *at)
{
    conure_yaml *yaml = b->yaml;
    if (yaml->n_nodes == CONURE_YAML_NODES_MAX)
        return conure_fail(b->err, CONURE_LIMIT, "yaml: more than %u values",
                           CONURE_YAML_NODES_MAX);
    if (yaml->n_nodes + 1 >= yaml->cap) {
        const uint32_t cap = yaml->cap ? 2 * yaml->cap : 256;
        node *grown = realloc(yaml->nodes, cap * sizeof *grown);
        if (!grown)
            return conure_fail_memory(b->err, "yaml values", cap * sizeof *grown);
        if (yaml->cap == 0)
            grown[0] = (node){0};
        yaml->nodes = grown;
        yaml->cap = cap;
    }
    *at = ++yaml->n_nodes;
    yaml->nodes[*at] = made;
    if (b->depth == 0) /* the root: node 1 */
        return CONURE_OK;
    node *parent = &yaml->nodes[b->path[b->depth - 1]];
    if (parent->last)
        yaml->nodes[parent->last].next = *at;
    else
        parent->first = *at;
    parent->last = *at;
    parent->count++;
    return CONURE_OK;
}

static conure_status anchor_add(builder *b, const yaml_char_t *name, uint32_t at)
{
    if (!name)
        return CONURE_OK;
    if (b->n_anchors == CONURE_YAML_ANCHORS_MAX)
        return conure_fail(b->err, CONURE_LIMIT, "yaml: more than %d anchors",
                           CONURE_YAML_ANCHORS_MAX);
    char *copy = conure_strdup((const char *)name);
    if (!copy)
        return conure_fail_memory(b->err, "a yaml anchor", strlen((const char *)name) + 1);
    b->anchors[b->n_anchors].name = copy;
    b->anchors[b->n_anchors++].node = at;
    return CONURE_OK;
}

static conure_status add_scalar(builder *b, const yaml_event_t *event, node made)
{
    const char *text = (const char *)event->data.scalar.value;
    const size_t bytes = event->data.scalar.length;
    conure_buffer *into = &b->yaml->text;
    uint32_t at = 0;
    if (memchr(text, 0, bytes))
        return conure_fail(b->err, CONURE_BAD_FILE, "yaml: line %u: a NUL character in a value",
                           made.line);
    made.kind = CONURE_YAML_SCALAR;
    made.plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
    made.text = into->bytes;
    conure_buffer_add(into, text, bytes);
    conure_buffer_add(into, "", 1);
    if (into->failed)
        return conure_fail_memory(b->err, "yaml text", bytes);
    const conure_status status = node_add(b, made, &at);
    return status == CONURE_OK ? anchor_add(b, event->data.scalar.anchor, at) : status;
}

static conure_status add_collection(builder *b, node made, const yaml_char_t *anchor)
{
    uint32_t at = 0;
    made.open = true;
    if (b->depth == CONURE_YAML_DEPTH_MAX)
        return conure_fail(b->err, CONURE_LIMIT, "yaml: line %u: nested deeper than %d levels",
                           made.line, CONURE_YAML_DEPTH_MAX);
    conure_status status = node_add(b, made, &at);
    if (status == CONURE_OK)
        status = anchor_add(b, anchor, at);
    if (status == CONURE_OK)
        b->path[b->depth++] = at;
    return status;
}

static conure_status add_alias(builder *b, const char *name, node made)
{
    uint32_t at;
    for (uint32_t i = b->n_anchors; i-- > 0;) { /* the last anchor of that name counts */
        if (strcmp(b->anchors[i].name, name) != 0)
            continue;
        made.target = b->anchors[i].node;
        if (b->yaml->nodes[made.target].open)
            return conure_fail(b->err, CONURE_BAD_FILE,
                               "yaml: line %u: a value that contains itself", made.line);
        return node_add(b, made, &at);
    }
    return conure_fail(b->err, CONURE_BAD_FILE, "yaml: line %u: an alias of nothing", made.line);
}

static conure_status take_event(builder *b, const yaml_event_t *event)
{
    const node made = {.line = (uint32_t)event->start_mark.line + 1};
    node collection = made;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return add_scalar(b, event, made);
    case YAML_SEQUENCE_START_EVENT:
        collection.kind = CONURE_YAML_SEQUENCE;
        return add_collection(b, collection, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        collection.kind = CONURE_YAML_MAPPING;
        return add_collection(b, collection, event->data.mapping_start.anchor);
    case YAML_ALIAS_EVENT:
        return add_alias(b, (const char *)event->data.alias.anchor, made);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->yaml->nodes[b->path[--b->depth]].open = false;
        return CONURE_OK;
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        b->ended = true;
        return CONURE_OK;
    default:
        return CONURE_OK;
    }
}

static conure_status build(builder *b, yaml_parser_t *parser)
{
    conure_status status = CONURE_OK;
    while (status == CONURE_OK && !b->ended) {
        yaml_event_t event;
        char shown[128];
        const char *problem = NULL;
        if (!yaml_parser_parse(parser, &event)) {
            problem = parser->problem ? parser->problem : "damaged";
            if (parser->error == YAML_MEMORY_ERROR)
                return conure_fail_memory(b->err, "parsing yaml", 0);
            return conure_fail(b->err, CONURE_BAD_FILE, "yaml: line %zu: %s",
                               parser->problem_mark.line + 1,
                               conure_quote(shown, sizeof shown, problem, strlen(problem)));
        }
        status = take_event(b, &event);
        yaml_event_delete(&event);
    }
    if (status == CONURE_OK && b->yaml->n_nodes == 0)
        status = conure_fail(b->err, CONURE_BAD_FILE, "yaml: the file is empty");
    return status;
}

conure_status conure_yaml_parse(conure_yaml **out, const uint8_t *text, size_t bytes,
                                conure_error *err)
{
    yaml_parser_t parser;
    *out = NULL;
    if (bytes > CONURE_YAML_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "yaml: %zu bytes, limit %u", bytes,
                           CONURE_YAML_BYTES_MAX);
    builder *b = conure_calloc(1, sizeof *b);
    conure_yaml *yaml = conure_calloc(1, sizeof *yaml);
    if (!b || !yaml || !yaml_parser_initialize(&parser)) {
        free(b);
        free(yaml);
        return conure_fail_memory(err, "parsing yaml", sizeof *b + sizeof *yaml);
    }
    b->yaml = yaml;
    b->err = err;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text, bytes);
    const conure_status status = build(b, &parser);
    yaml_parser_delete(&parser);
    for (uint32_t i = 0; i < b->n_anchors; i++)
        free(b->anchors[i].name);
    free(b);
    if (status != CONURE_OK)
        conure_yaml_free(&yaml);
    *out = yaml;
    return status;
}

void conure_yaml_free(conure_yaml **yaml)
{
    if (*yaml) {
        free((*yaml)->nodes);
        conure_buffer_free(&(*yaml)->text);
        free(*yaml);
    }
    *yaml = NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

conure_yaml_node conure_yaml_root(const conure_yaml *yaml)
{
    return yaml->n_nodes > 0;
}

conure_yaml_kind conure_yaml_kind_of(const conure_yaml *yaml, conure_yaml_node at)
{
    return (conure_yaml_kind)resolve(yaml, at)->kind;
}

uint32_t conure_yaml_line(const conure_yaml *yaml, conure_yaml_node at)
{
    return at <= yaml->n_nodes ? yaml->nodes[at].line : 0;
}

conure_yaml_node conure_yaml_first(const conure_yaml *yaml, conure_yaml_node parent)
{
    return resolve(yaml, parent)->first;
}

conure_yaml_node conure_yaml_next(const conure_yaml *yaml, conure_yaml_node at)
{
    return at <= yaml->n_nodes ? yaml->nodes[at].next : 0;
}

uint32_t conure_yaml_count(const conure_yaml *yaml, conure_yaml_node parent)
{
    const node *n = resolve(yaml, parent);
    return n->kind == CONURE_YAML_MAPPING ? n->count / 2 : n->count;
}

conure_yaml_node conure_yaml_get(const conure_yaml *yaml, conure_yaml_node mapping, const char *key,
                                 bool *twice)
{
    conure_yaml_node found = 0;
    if (conure_yaml_kind_of(yaml, mapping) != CONURE_YAML_MAPPING)
        return 0;
    for (uint32_t at = conure_yaml_first(yaml, mapping), item; at;
         at = conure_yaml_next(yaml, item)) {
        const char *text = conure_yaml_text(yaml, at);
        item = conure_yaml_next(yaml, at);
        if (!text || strcmp(text, key) != 0)
            continue;
        if (found && twice)
            *twice = true;
        found = item;
    }
    return found;
}

const char *conure_yaml_text(const conure_yaml *yaml, conure_yaml_node at)
{
    const node *n = resolve(yaml, at);
    return n->kind == CONURE_YAML_SCALAR ? yaml->text.data + n->text : NULL;
}

/* A scalar's text if it has no quotes, else "'": no word and no number. */
static const char *plain_text(const conure_yaml *yaml, conure_yaml_node at)
{
    const node *n = resolve(yaml, at);
    return n->kind == CONURE_YAML_SCALAR && n->plain ? yaml->text.data + n->text : "'";
}

static bool one_of(const char *text, const char *const *words)
{
    while (*words && strcmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

bool conure_yaml_is_null(const conure_yaml *yaml, conure_yaml_node at)
{
    static const char *const words[] = {"null", "Null", "NULL", "~", "", NULL};
    return one_of(plain_text(yaml, at), words);
}

bool conure_yaml_bool(const conure_yaml *yaml, conure_yaml_node at, bool *out)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON",  NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};
    *out = one_of(plain_text(yaml, at), yes);
    return *out || one_of(plain_text(yaml, at), no);
}

bool conure_yaml_int(const conure_yaml *yaml, conure_yaml_node at, int64_t *out)
{
    const char *text = plain_text(yaml, at);
    const bool negative = *text == '-';
    int64_t value = 0;
    text += *text == '-' || *text == '+';
    if (*text == '\0' || strlen(text) > 18 || (*text == '0' && text[1])) /* 012 would be octal */
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (*text - '0');
    }
    *out = negative ? -value : value;
    return true;
}

bool conure_yaml_number(const conure_yaml *yaml, conure_yaml_node at, double *out)
{
    const char *text = plain_text(yaml, at);
    if (strspn(text, "+-.0123456789eE") != strlen(text) || strlen(text) > 64 || !*text)
        return false;
    /* The caller's locale may have another decimal point. */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *end = NULL;
    if (!plain)
        return false;
    *out = strtod_l(text, &end, plain);
    freelocale(plain);
    return end != text && *end == '\0' && isfinite(*out);
}

const char *conure_yaml_show(const conure_yaml *yaml, conure_yaml_node at, char *out, size_t cap)
{
    const node *n = resolve(yaml, at);
    if (n->kind == CONURE_YAML_SCALAR) {
        const char *text = yaml->text.data + n->text;
        return conure_yaml_is_null(yaml, at) ? conure_quote(out, cap, "null", 4)
                                             : conure_quote(out, cap, text, strlen(text));
    }
    const char *what = n->kind == CONURE_YAML_SEQUENCE  ? "a list"
                       : n->kind == CONURE_YAML_MAPPING ? "a mapping"
                                                        : "absent";
    return conure_quote(out, cap, what, strlen(what));
}

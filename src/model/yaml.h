/* yaml.h - a YAML document as a tree, and typed access to its scalars.
 *
 * Aliases point at the node they name, nothing is copied, so they cannot blow up; a node that
 * contains itself is refused.  Tags are ignored: every scalar is text until a caller asks for a
 * type. */
#ifndef CONURE_MODEL_YAML_H
#define CONURE_MODEL_YAML_H

#include "base/error.h"

#define CONURE_YAML_BYTES_MAX   (32u << 20)
#define CONURE_YAML_DEPTH_MAX   64
#define CONURE_YAML_NODES_MAX   (1u << 20)
#define CONURE_YAML_ANCHORS_MAX 256

typedef enum conure_yaml_kind {
    CONURE_YAML_SCALAR = 1,
    CONURE_YAML_SEQUENCE,
    CONURE_YAML_MAPPING,
} conure_yaml_kind;

typedef struct conure_yaml conure_yaml;

/* A node's number; 0 is "no such node", which every function accepts. */
typedef uint32_t conure_yaml_node;

/* Only the first document is read.  The root may be of any kind. */
conure_status conure_yaml_parse(conure_yaml **out, const uint8_t *text, size_t bytes,
                                conure_error *err);
void conure_yaml_free(conure_yaml **yaml);

conure_yaml_node conure_yaml_root(const conure_yaml *yaml);
conure_yaml_kind conure_yaml_kind_of(const conure_yaml *yaml,
                                     conure_yaml_node node); /* 0 for node 0 */
uint32_t conure_yaml_line(const conure_yaml *yaml,
                          conure_yaml_node node); /* from 1; 0 for node 0 */

/* The value of a key of a mapping; 0 when absent or not a mapping.  *twice (may be NULL) is set
 * when the key is there more than once.  Cost: O(keys). */
conure_yaml_node conure_yaml_get(const conure_yaml *yaml, conure_yaml_node mapping, const char *key,
                                 bool *twice);

/* Items of a sequence, or keys and values of a mapping in turn:
 *     for (n = conure_yaml_first(yaml, list); n; n = conure_yaml_next(yaml, n))
 * The numbers are places in their parent; all other functions see through aliases. */
conure_yaml_node conure_yaml_first(const conure_yaml *yaml, conure_yaml_node parent);
conure_yaml_node conure_yaml_next(const conure_yaml *yaml, conure_yaml_node node);
uint32_t conure_yaml_count(const conure_yaml *yaml,
                           conure_yaml_node parent); /* of items or of keys */

/* A scalar's text, NUL-terminated, no NUL within; NULL for other nodes. */
const char *conure_yaml_text(const conure_yaml *yaml, conure_yaml_node node);
/* An unquoted "null", "~" or nothing. */
bool conure_yaml_is_null(const conure_yaml *yaml, conure_yaml_node node);
/* Unquoted scalars of that type (YAML 1.1: yes and on are true); false when it is not one. */
bool conure_yaml_bool(const conure_yaml *yaml, conure_yaml_node node, bool *out);
bool conure_yaml_int(const conure_yaml *yaml, conure_yaml_node node, int64_t *out);
bool conure_yaml_number(const conure_yaml *yaml, conure_yaml_node node, double *out); /* finite */

/* What a node looks like, for error texts: its quoted text, "a list", ... ; returns out. */
const char *conure_yaml_show(const conure_yaml *yaml, conure_yaml_node node, char *out, size_t cap);

#endif

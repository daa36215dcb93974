/* schema.h - checking JSON against a JSON Schema (draft 2020-12), of which this is known:
 *
 *     $schema $id $comment title description $defs $ref ("#/$defs/NAME")
 *     type const enum (of scalars)  minimum maximum  minLength maxLength
 *     properties required additionalProperties  items prefixItems minItems maxItems
 *
 * A schema with anything else is refused, so that no keyword is silently without effect.  docs/dependencies.md says
 * why this is not a library. */
#ifndef CONURE_CONTRACT_SCHEMA_H
#define CONURE_CONTRACT_SCHEMA_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

typedef struct conure_schema conure_schema; /* immutable: any number of threads may use it */

/* Parse and check a schema; where begins the error texts.
 * Returns OK, BAD_FILE (no JSON, or a keyword's value is no such thing), UNSUPPORTED (a keyword that is not known here),
 * NO_MEMORY.  *out is NULL on failure. */
conure_status conure_schema_open(conure_schema **out, const char *text, size_t bytes, const char *where, conure_error *err);
void conure_schema_close(conure_schema **schema); /* NULL-safe */

/* BAD_FILE: "WHERE: /inputs/0/shape/1 is 7, expected ..." for the first place that does not fit.  Cost: linear in the value
 * but for enum and required lists. */
conure_status conure_schema_check(const conure_schema *schema, const json_t *value, const char *where, conure_error *err);

#endif

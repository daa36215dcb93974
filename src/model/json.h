/* json.h - reading fields of JSON objects with the checks and error texts that hostile files need. */
#ifndef CONURE_MODEL_JSON_H
#define CONURE_MODEL_JSON_H

#include "base/error.h"
#include "conure.h"

#include <jansson.h>

/* Parse an object; *out is given back with json_decref().  where begins the error texts. */
conure_status conure_json_object(json_t **out, const char *text, size_t bytes, const char *where,
                                 conure_error *err);

/* What a missing key means. */
typedef enum conure_presence {
    CONURE_REQUIRED, /* an error */
    CONURE_OPTIONAL, /* *out stays as it is; so for null */
} conure_presence;

/* Each leaves *out unchanged unless it returns OK with the key present.  BAD_FILE: missing, or another
 * type; UNSUPPORTED: outside min .. max.  Texts: "WHERE: KEY is 7, supported: 1 to 5". */
conure_status conure_json_u32(const json_t *object, const char *key, conure_presence presence,
                              uint32_t min, uint32_t max, uint32_t *out, const char *where,
                              conure_error *err);
conure_status conure_json_bool(const json_t *object, const char *key, conure_presence presence,
                               bool *out, const char *where, conure_error *err);
conure_status conure_json_real(const json_t *object, const char *key, conure_presence presence,
                               double *out, const char *where, conure_error *err);
/* *out belongs to the object. */
conure_status conure_json_text(const json_t *object, const char *key, conure_presence presence,
                               const char **out, const char *where, conure_error *err);
/* An object inside the object; *out belongs to it. */
conure_status conure_json_inner(const json_t *object, const char *key, conure_presence presence,
                                json_t **out, const char *where, conure_error *err);
/* A list of at most CONURE_DURATIONS_MAX small integers. */
conure_status conure_json_durations(const json_t *object, const char *key, uint32_t *durations,
                                    uint32_t *n, const char *where, conure_error *err);

#endif

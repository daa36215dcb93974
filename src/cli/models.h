/* models.h - which model a command means: -m, CONURE_MODEL, the cache of fetched models, the embedded
 * one. */
#ifndef CONURE_CLI_MODELS_H
#define CONURE_CLI_MODELS_H

#include <limits.h>

#include "conure.h"

/* $XDG_CACHE_HOME/conure/models, or ~/.cache/conure/models.  IO when neither variable is set. */
conure_status conure_cache_models(char *out, size_t cap, conure_error *err);

/* "parakeet-tdt-0.6b-v3" or "owner/name": letters, digits, '.', '_', '-', no part that starts with '.'. */
bool conure_is_model_name(const char *text);

/* Turn what -m was given into a path: an existing file or folder as it is, else a fetched model of that
 * name.  IO: neither; the text says where was looked and how to fetch it. */
conure_status conure_model_find(const char *model, char *path, size_t cap, conure_error *err);

/* What conure_models_choose() found. */
typedef enum conure_model_source {
    CONURE_MODEL_GIVEN,       /* -m */
    CONURE_MODEL_ENVIRONMENT, /* CONURE_MODEL */
    CONURE_MODEL_EMBEDDED,
    CONURE_MODEL_NONE, /* nothing given, and this build embeds no model */
} conure_model_source;

/* given: -m's value or NULL.  *name is the text to look up for the first two sources.  "embedded", where nothing of that name lies, is the
 * embedded model also when another is in the environment. */
conure_model_source conure_models_choose(const char *given, const char **name);

/* Choose, find and open.  options may be NULL. */
conure_status conure_models_open(conure_model **out, const char *given,
                                 const conure_model_options *options, conure_error *err);

/* The same with what a command shows meanwhile: progress, and warnings on standard error. */
conure_status conure_models_load(conure_model **out, const char *given, conure_error *err);

/* The model that is part of this program; false when the build has none.  Aligned to 64 bytes. */
bool conure_embedded_model(const void **data, size_t *bytes);
#define CONURE_EMBEDDED_NAME "embedded"

/* A few seconds of speech as a FLAC file, for `conure bench`. */
void conure_embedded_clip(const void **data, size_t *bytes);

/* What NeMo computes from that clip with the embedded model: safetensors, names "clip.mel" and so on; false when the build has none. */
bool conure_embedded_golden(const void **data, size_t *bytes);
#define CONURE_EMBEDDED_GOLDEN "clip"

/* mkdir -p: existing folders are fine.  IO names the one that failed. */
conure_status conure_make_folders(const char *path, conure_error *err);

#endif

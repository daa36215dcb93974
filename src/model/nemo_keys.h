/* nemo_keys.h - asking one section of a configuration for keys: typed, with defaults, refusing
 * by name.
 *
 * The first failure sticks: later calls do nothing and return their default, so a long list of
 * questions needs one check at its end. */
#ifndef CONURE_MODEL_NEMO_KEYS_H
#define CONURE_MODEL_NEMO_KEYS_H

#include "model/yaml.h"

typedef struct conure_keys {
    const conure_yaml *yaml;
    conure_error *err;
    conure_status status; /* the first failure */
} conure_keys;

typedef struct conure_section {
    const char *path;      /* "encoder.", "" for the top: goes before keys in error texts */
    conure_yaml_node node; /* 0: absent, so every key is */
} conure_section;

/* The subsection path (with its trailing dot) under key; an error when it is there but no
 * mapping, or absent and required. */
conure_section conure_keys_section(conure_keys *keys, conure_section parent, const char *key,
                                   const char *path, bool required);

/* Refuse every key of the section that is not among the words (separated by single spaces). */
void conure_keys_known(conure_keys *keys, conure_section section, const char *words);

/* 0 when absent or null. */
conure_yaml_node conure_keys_find(conure_keys *keys, conure_section section, const char *key);
/* As above, and false also when null; *is_null tells the two apart. */
bool conure_keys_has(conure_keys *keys, conure_section section, const char *key, bool *is_null);

/* The value; otherwise when absent.  A value of another type, null, or one out of range is
 * refused. */
int64_t conure_keys_int(conure_keys *keys, conure_section section, const char *key,
                        int64_t otherwise, int64_t low, int64_t high);
double conure_keys_number(conure_keys *keys, conure_section section, const char *key,
                          double otherwise);
bool conure_keys_bool(conure_keys *keys, conure_section section, const char *key, bool otherwise);
/* As conure_keys_int, but absent is an error. */
int64_t conure_keys_required(conure_keys *keys, conure_section section, const char *key,
                             int64_t low, int64_t high);
/* The index in words (separated by single spaces) of the text; otherwise, an index, when absent. */
uint32_t conure_keys_choice(conure_keys *keys, conure_section section, const char *key,
                            uint32_t otherwise, const char *words);

/* Refuse any value but the one given; absent stands for otherwise. */
void conure_keys_want_bool(conure_keys *keys, conure_section section, const char *key,
                           bool otherwise, bool want);
void conure_keys_want_number(conure_keys *keys, conure_section section, const char *key,
                             double otherwise, double want);
void conure_keys_want_null(conure_keys *keys, conure_section section, const char *key);
/* A dotted class name whose last part must be name; absent is fine. */
void conure_keys_want_class(conure_keys *keys, conure_section section, const char *key,
                            const char *name);

/* "encoder.subsampling: 'striding' is not supported; supported: dw_striding" */
void conure_keys_refuse(conure_keys *keys, conure_section section, const char *key,
                        const char *supported);
/* "encoder.feat_in: 64, but preprocessor.features is 80" and the like */
__attribute__((format(printf, 3, 4))) void conure_keys_fail(conure_keys *keys, conure_status status,
                                                            const char *format, ...);

#endif

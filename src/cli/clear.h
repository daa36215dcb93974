/* clear.h - `conure clear`: from a configuration to a folder with a report.  The library (clearance/stages.h, judge.h) measures and
 * judges; here are the configuration, the audio, and the folder. */
#ifndef CONURE_CLI_CLEAR_H
#define CONURE_CLI_CLEAR_H

#include <jansson.h>

#include "cli/clearance.h"
#include "clearance/stages.h"

/* ---- clear_config.c --------------------------------------------------------------------------- */

#define CONURE_CLEAR_CONFIG_BYTES_MAX (1u << 20)

/* What a configuration may hold; docs/clearance.md, "Configuration".  A new tree, whose file names are as they are seen from the working folder.
 *   path  NULL: an empty one
 * Returns OK; IO; BAD_FILE names the member, what is there and what may be. */
conure_status conure_clear_config_read(json_t **out, const char *path, conure_error *err);
/* The same of a text; folder is put before relative file names.  For fuzzing, and for tests. */
conure_status conure_clear_config_parse(json_t **out, const char *text, size_t bytes, const char *folder, const char *where, conure_error *err);

/* Members by path, "audio.manifest"; the fallback where there is none. */
const char *conure_clear_text(const json_t *config, const char *path, const char *fallback);
uint64_t conure_clear_count(const json_t *config, const char *path, uint64_t fallback);
double conure_clear_real(const json_t *config, const char *path, double fallback);

/* ---- clear_audio.c: the stage audio ----------------------------------------------------------- */

typedef struct conure_clear_audio {
    const json_t *config;
    bool redact;              /* keep no texts and no names */
    uint32_t n_clips_max;     /* 0: all */
} conure_clear_audio;

/* conure_clearing.audio; user is a conure_clear_audio. */
json_t *conure_clear_audio_stage(void *user, const conure_clearing *clearing, conure_fault fault, conure_error *err);

/* Names of the clips that a configuration means, each to be freed, and their texts (NULL: none).  *out is freed by conure_clear_clips_free(). */
typedef struct conure_clear_clips {
    char **paths, **texts;
    uint32_t n;
    bool with_texts;
} conure_clear_clips;
conure_status conure_clear_clips_read(conure_clear_clips *out, const json_t *config, conure_error *err);
void conure_clear_clips_free(conure_clear_clips *clips);
/* The bytes of all recordings, one after the other.  IO names one that cannot be read. */
conure_status conure_clear_clips_hash(const conure_clear_clips *clips, char hex[65], conure_error *err);

/* ---- clear_folder.c: what lies in the folder --------------------------------------------------- */

/* FOLDER/evidence/STAGE.json.  key: what the evidence rests on; evidence with another key is not gone on with. */
conure_status conure_clear_save(const char *folder, conure_stage stage, json_t *evidence, const char *key, conure_error *err);
/* Take away evidence that rests on something else: of other inputs, or not redacted. */
void conure_clear_forget(const char *folder, const char *key);
/* A new reference, or NULL: there is none, or it rests on something else, or it ended with an error. */
json_t *conure_clear_load(const char *folder, conure_stage stage, const char *key);
/* report.html, report.md, report.json, series, and the hashes of them all in SHA256SUMS. */
conure_status conure_clear_write(const char *folder, const json_t *report, conure_error *err);

/* Everything that a folder says about itself holds: exit status, after saying what does not. */
int conure_clear_verify(const char *folder);
/* What differs between two. */
int conure_clear_diff(const char *a, const char *b);

/* ---- clear_print.c ---------------------------------------------------------------------------- */

void conure_clear_print(const json_t *report, const char *folder);
/* Faults and gates as a table; nothing when the stage did not run. */
void conure_clear_print_matrix(const json_t *report);

#endif

/* cleared.c - see cleared.h. */
#include "cli/cleared.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/terminal.h"
#include "clearance/judge.h"

#define REPORT_BYTES_MAX ((size_t)512 << 20)

static const char *text_at(const json_t *inputs, const char *part, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(inputs, part), key));
    return text ? text : "";
}

/* "cpu int8" and "mask nemo" of "cpu int8, avx2 avx512, 2 threads, mask nemo": threads and instructions are no other engine. */
static void essence(char *out, size_t cap, const char *described)
{
    const char *mask = strstr(described, "mask ");
    snprintf(out, cap, "%.*s, %s", (int)strcspn(described, ","), described, mask ? mask : "no mask named");
}

/* A file that the clearance rests on is another now. */
static bool changed(const char *path, const char *then)
{
    char now[65];
    return conure_file_sha256(now, path, NULL) != CONURE_OK || strcmp(now, then) != 0;
}

/* A session whose mode and contexts the clearance turned no speech into text with. */
static bool unheard(char *why, size_t cap, const json_t *audio, const conure_session_options *o)
{
    const char *heard = json_string_value(json_object_get(audio, o->mode == CONURE_STREAM_BUFFERED ? "live" : "cached"));
    char asked[64];
    snprintf(asked, sizeof asked, "%g-%g-%g", o->left_s, o->chunk_s, o->right_s);
    if (!audio) /* tensors alone were cleared, and the report says so */
        return false;
    if (heard && o->mode != CONURE_STREAM_RESET && strcmp(heard, asked) == 0)
        return false;
    snprintf(why, cap, "it heard %s in %.60s, and this stream is %s in %s", o->mode == CONURE_STREAM_BUFFERED ? "windows" : "cached steps",
             heard ? heard : "nothing", o->mode == CONURE_STREAM_RESET ? "reset slices" : o->mode == CONURE_STREAM_CACHED ? "cached" : "windows", asked);
    return true;
}

/* What differs, in words; false: nothing. */
static bool differs(char *why, size_t cap, const json_t *report, const conure_model *model, const conure_recognizer *recognizer,
                    const conure_session_options *session)
{
    const json_t *inputs = json_object_get(json_object_get(report, "stages"), "inputs");
    const char *verdict = json_string_value(json_object_get(report, "verdict")), *what = text_at(inputs, "candidate", "what");
    const char *sha256 = json_string_value(json_object_get(json_object_get(json_object_get(inputs, "files"), "model"), "sha256"));
    const char *described = strstr(what, ": ");
    conure_model_info info = {.struct_bytes = sizeof info};
    char cleared[192], runs[192];
    if (strcmp(verdict, CONURE_CLEARED) != 0) {
        snprintf(why, cap, "its evidence says %s", verdict);
        return true;
    }
    if (conure_model_get_info(model, &info) != CONURE_OK || !sha256 || strcmp(info.sha256, sha256) != 0) {
        snprintf(why, cap, "it is about the weights %.16s..., and these are %.16s...", sha256 ? sha256 : "unknown", info.sha256 ? info.sha256 : "");
        return true;
    }
    essence(cleared, sizeof cleared, described ? described + 2 : what);
    essence(runs, sizeof runs, conure_recognizer_describe(recognizer));
    if (strcmp(cleared, runs) != 0) {
        snprintf(why, cap, "it is about \"%s\", and this is \"%s\"", cleared, runs);
        return true;
    }
    if (session && unheard(why, cap, json_object_get(json_object_get(report, "stages"), "audio"), session))
        return true;
    const char *name;
    json_t *file;
    json_object_foreach(json_object_get(inputs, "files"), name, file) {
        const char *path = json_string_value(json_object_get(file, "path")), *then = json_string_value(json_object_get(file, "sha256"));
        if (!path || !then || strcmp(name, "model") == 0 || strcmp(name, "recordings") == 0 || !changed(path, then))
            continue;
        snprintf(why, cap, "%.40s, %.200s, has changed since or is not there", name, path);
        return true;
    }
    if (strcmp(text_at(inputs, "program", "version"), conure_version()) != 0) {
        snprintf(why, cap, "it was made by version %.40s, and this is %s", text_at(inputs, "program", "version"), conure_version());
        return true;
    }
    return false;
}

conure_status conure_cleared_check(const char *folder, bool strict, const conure_model *model, const conure_recognizer *recognizer,
                                   const conure_session_options *session, conure_error *err)
{
    char path[4096], why[512];
    char *text = NULL;
    size_t bytes;
    json_error_t wrong;
    if (!folder)
        return CONURE_OK;
    if (!conure_path_join(path, sizeof path, folder, "report.json"))
        return conure_fail(err, CONURE_BAD_ARG, "%.100s: the name is too long", folder);
    conure_status status = conure_file_read(&text, &bytes, path, REPORT_BYTES_MAX, err);
    json_t *typed = status == CONURE_OK ? json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &wrong) : NULL;
    free(text);
    if (status == CONURE_OK && !typed)
        return conure_fail(err, CONURE_BAD_FILE, "%s: line %d: %s", path, wrong.line, wrong.text);
    json_t *report = typed ? conure_clear_judge(typed) : NULL; /* what was typed into it counts for nothing */
    if (typed && !report)
        status = conure_fail_memory(err, "a report", 65536);
    if (report && differs(why, sizeof why, report, model, recognizer, session)) {
        if (strict)
            status = conure_fail(err, CONURE_UNSUPPORTED, "the clearance in %.100s does not hold here: %.300s; run  conure clear  for what is to be deployed",
                                 folder, why);
        else
            conure_say(CONURE_SAY_WARNING, "the clearance in %s does not hold here: %s", folder, why);
    }
    json_decref(report);
    json_decref(typed);
    return status;
}

/* models.c - finding and opening the model that a command means; see models.h. */
#include "cli/models.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "cli/known.h"
#include "cli/terminal.h"

conure_status conure_cache_models(char *out, size_t cap, conure_error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (xdg && xdg[0] == '/') /* the XDG specification: relative paths are ignored */
        n = snprintf(out, cap, "%s/conure/models", xdg);
    else if (home && home[0] == '/')
        n = snprintf(out, cap, "%s/.cache/conure/models", home);
    else
        return conure_fail(err, CONURE_IO,
                           "no cache folder: neither XDG_CACHE_HOME nor HOME is set to a full path");
    if (n < 0 || (size_t)n >= cap)
        return conure_fail(err, CONURE_IO, "the path of the cache folder is too long");
    return CONURE_OK;
}

static bool name_part(const char *text, size_t bytes)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return bytes > 0 && bytes <= 100 && text[0] != '.' && text[0] != '-' &&
           strspn(text, allowed) >= bytes;
}

bool conure_is_model_name(const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash)
        return name_part(text, strlen(text));
    return name_part(text, (size_t)(slash - text)) && name_part(slash + 1, strlen(slash + 1));
}

static bool has_ending(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    return n > e && strcmp(name + n - e, ending) == 0;
}

/* The checkpoint in a folder of the cache: a Hugging Face folder itself, or its only .conure file, or its
 * only .nemo file. */
static bool checkpoint_in(const char *folder, char *path, size_t cap)
{
    static const char *const endings[] = {".conure", ".nemo"};
    char weights[PATH_MAX];
    if (conure_path_join(weights, sizeof weights, folder, "model.safetensors") &&
        access(weights, R_OK) == 0)
        return snprintf(path, cap, "%s", folder) < (int)cap;
    for (size_t i = 0; i < 2; i++) {
        DIR *dir = opendir(folder);
        unsigned found = 0;
        if (!dir)
            return false;
        for (const struct dirent *d = readdir(dir); d; d = readdir(dir))
            if (has_ending(d->d_name, endings[i]) && conure_path_join(path, cap, folder, d->d_name))
                found++;
        closedir(dir);
        if (found == 1)
            return true;
    }
    return false;
}

conure_status conure_model_find(const char *model, char *path, size_t cap, conure_error *err)
{
    char cache[PATH_MAX], folder[PATH_MAX];
    struct stat st;
    conure_status status;
    if (stat(model, &st) == 0) {
        if (snprintf(path, cap, "%s", model) >= (int)cap)
            return conure_fail(err, CONURE_IO, "%s: the path is too long", model);
        return CONURE_OK;
    }
    if (!conure_is_model_name(model))
        return conure_fail(err, CONURE_IO, "%s: %s", model, strerror(errno));
    status = conure_cache_models(cache, sizeof cache, err);
    if (status != CONURE_OK)
        return status;
    if (conure_path_join(folder, sizeof folder, cache, model) && checkpoint_in(folder, path, cap))
        return CONURE_OK;
    if (conure_known_find(model))
        return conure_fail(err, CONURE_IO,
                           "%s: not fetched yet (nothing in %s); run: conure pull %s", model, folder,
                           model);
    return conure_fail(err, CONURE_IO, "%s: no such file or folder, and no fetched model in %s", model,
                       folder);
}

conure_model_source conure_models_choose(const char *given, const char **name)
{
    const char *environment = getenv("CONURE_MODEL");
    const void *data;
    size_t bytes;
    const bool embedded = conure_embedded_model(&data, &bytes), asked = given || (environment && *environment);
    *name = given ? given : asked ? environment : NULL;
    if (asked && !(embedded && strcmp(*name, CONURE_EMBEDDED_NAME) == 0 && access(*name, F_OK) != 0)) /* what lies there comes first */
        return given ? CONURE_MODEL_GIVEN : CONURE_MODEL_ENVIRONMENT;
    return embedded ? CONURE_MODEL_EMBEDDED : CONURE_MODEL_NONE;
}

conure_status conure_models_open(conure_model **out, const char *given,
                                 const conure_model_options *options, conure_error *err)
{
    const char *name = NULL;
    const void *data = NULL;
    size_t bytes = 0;
    char path[PATH_MAX];
    conure_status status;
    const conure_model_source source = conure_models_choose(given, &name);
    *out = NULL;
    if (source == CONURE_MODEL_NONE)
        return conure_fail(err, CONURE_IO,
                           "no model: name one with --model or CONURE_MODEL (this build embeds none)");
    if (source == CONURE_MODEL_EMBEDDED) {
        conure_embedded_model(&data, &bytes);
        return conure_model_open_memory(out, data, bytes, CONURE_EMBEDDED_NAME, options, err);
    }
    status = conure_model_find(name, path, sizeof path, err);
    if (status == CONURE_OK)
        status = conure_model_open(out, path, options, err);
    if (status != CONURE_OK && source == CONURE_MODEL_ENVIRONMENT)
        conure_error_prefix(err, "CONURE_MODEL");
    return status;
}

conure_status conure_models_load(conure_model **out, const char *given, conure_error *err)
{
    conure_model_options options;
    conure_model_options_init(&options);
    options.log = conure_log_to_terminal;
    conure_progress("loading the model");
    return conure_models_open(out, given, &options, err);
}

conure_status conure_make_folders(const char *path, conure_error *err)
{
    char part[PATH_MAX];
    const size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof part)
        return conure_fail(err, CONURE_IO, "%s: not a usable folder name", path);
    memcpy(part, path, bytes + 1);
    for (char *c = part + 1;; c++) {
        const char kept = *c;
        if (kept != '/' && kept != '\0')
            continue;
        *c = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return conure_fail(err, CONURE_IO, "%s: cannot make this folder: %s", part,
                               strerror(errno));
        *c = kept;
        if (kept == '\0')
            break;
    }
    if (!conure_path_is_folder(path))
        return conure_fail(err, CONURE_IO, "%s: not a folder", path);
    return CONURE_OK;
}

/* speech.c - recordings of files and folders as features; see speech.h. */
#include "cli/speech.h"

#include "base/files.h"
#include "base/memory.h"
#include "cli/clearance.h"
#include "cli/terminal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FRAMES_MAX = 6000, FILES_MAX = 4096 }; /* attention scores are looked at one by one */

typedef struct list {
    char **paths;
    size_t n;
} list;

static conure_status add(list *files, const char *path, conure_error *err)
{
    if (files->n == FILES_MAX)
        return conure_fail(err, CONURE_LIMIT, "%s: more than %d recordings: a dozen short ones are plenty", path, FILES_MAX);
    char *copy = strdup(path), **grown = realloc(files->paths, (files->n + 1) * sizeof *grown);
    if (grown)
        files->paths = grown;
    if (!copy || !grown) {
        free(copy);
        return conure_fail_memory(err, "a list of recordings", files->n * sizeof *grown);
    }
    files->paths[files->n++] = copy;
    return CONURE_OK;
}

static bool is_audio(const char *name)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && dot != name && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static conure_status add_folder(list *files, const char *folder, conure_error *err)
{
    const size_t first = files->n;
    char path[PATH_MAX];
    conure_status status = CONURE_OK;
    DIR *dir = opendir(folder);
    if (!dir)
        return conure_fail(err, CONURE_IO, "%s: %s", folder, strerror(errno));
    for (const struct dirent *d = readdir(dir); d && status == CONURE_OK; d = readdir(dir))
        if (is_audio(d->d_name))
            status = conure_path_join(path, sizeof path, folder, d->d_name)
                         ? add(files, path, err) : conure_fail(err, CONURE_LIMIT, "%s: the path is too long", folder);
    closedir(dir);
    if (status == CONURE_OK && files->n == first)
        return conure_fail(err, CONURE_BAD_ARG, "%s: no file in this folder has an ending of audio (.wav, .flac, .ogg, .opus, .mp3, .aiff)", folder);
    if (files->n > first)
        qsort(files->paths + first, files->n - first, sizeof *files->paths, by_name);
    return status;
}

static conure_status load(conure_speech *out, const conure_model *model, const list *files, conure_error *err)
{
    conure_sha256 sha;
    out->utterances = conure_calloc(files->n + 1, sizeof *out->utterances);
    conure_status status = out->utterances ? CONURE_OK : conure_fail_memory(err, "recordings", files->n * sizeof *out->utterances);
    conure_sha256_init(&sha);
    for (size_t i = 0; i < files->n && status == CONURE_OK; i++) {
        float *mel = NULL;
        uint64_t n_mel = 0;
        char of_file[65];
        conure_progress("reading %s", files->paths[i]);
        status = conure_clearance_mel(model, &files->paths[i], 1, &mel, &n_mel, of_file, err);
        if (status == CONURE_OK && n_mel > FRAMES_MAX)
            status = conure_fail(err, CONURE_LIMIT, "%s: %.0f s of speech to look at: at most %d s in one file, a dozen short files are plenty",
                                 files->paths[i], (double)n_mel / 100, FRAMES_MAX / 100);
        conure_sha256_add(&sha, of_file, 64);
        out->utterances[out->n++] = (conure_utterance){mel, (uint32_t)n_mel};
    }
    if (status == CONURE_OK && files->n)
        conure_sha256_hex(&sha, out->sha256);
    return status;
}

conure_status conure_speech_load(conure_speech *out, const conure_model *model, char *const *paths, int n, conure_error *err)
{
    list files = {0};
    conure_status status = CONURE_OK;
    *out = (conure_speech){0};
    for (int i = 0; i < n && status == CONURE_OK; i++) {
        struct stat st;
        const bool folder = stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode);
        status = folder ? add_folder(&files, paths[i], err) : add(&files, paths[i], err);
    }
    if (status == CONURE_OK)
        status = load(out, model, &files, err);
    for (size_t i = 0; i < files.n; i++)
        free(files.paths[i]);
    free(files.paths);
    if (status != CONURE_OK)
        conure_speech_free(out);
    return status;
}

void conure_speech_free(conure_speech *speech)
{
    for (uint32_t i = 0; i < speech->n; i++)
        free((float *)speech->utterances[i].mel);
    free(speech->utterances);
    *speech = (conure_speech){0};
}

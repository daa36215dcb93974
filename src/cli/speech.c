/* speech.c - recordings of files and folders as features; see speech.h. */
#include "cli/speech.h"

#include "base/files.h"
#include "base/memory.h"
#include "cli/clearance.h"
#include "cli/terminal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FRAMES_MAX = 6000 }; /* attention scores are looked at one by one */

typedef struct loading {
    conure_speech *out;
    const conure_model *model;
    conure_sha256 sha;
    conure_error *err;
} loading;

/* Each frame is the first again, as of digital silence: how large values become in speech is not seen there. */
static bool is_silent(const float *mel, uint64_t n_mel, uint32_t bins)
{
    for (uint64_t i = 1; i < n_mel; i++)
        if (memcmp(mel, mel + i * bins, bins * sizeof *mel) != 0)
            return false;
    return n_mel > 1;
}

static conure_status load_file(loading *l, char *path)
{
    conure_speech *s = l->out;
    float *mel = NULL;
    uint64_t n_mel = 0;
    char sha256[65];
    conure_utterance *grown = realloc(s->utterances, (s->n + 1) * sizeof *grown);
    if (!grown)
        return conure_fail_memory(l->err, "recordings", (s->n + 1) * sizeof *grown);
    s->utterances = grown;
    conure_progress("reading %s", path);
    conure_status status = conure_clearance_mel(l->model, &path, 1, &mel, &n_mel, sha256, l->err);
    if (status == CONURE_OK && n_mel > FRAMES_MAX)
        status = conure_fail(l->err, CONURE_LIMIT, "%s: %.0f s of speech to look at: at most %d s in one file, a dozen short files are plenty", path,
                             (double)n_mel / 100, FRAMES_MAX / 100);
    if (status == CONURE_OK && n_mel == 0)
        status = conure_fail(l->err, CONURE_BAD_ARG, "%s: not a single frame of 10 ms is in this file: leave it out, and name files with speech", path);
    if (status == CONURE_OK && is_silent(mel, n_mel, l->model->config.mel_bins))
        status = conure_fail(l->err, CONURE_BAD_ARG, "%s: nothing but digital silence is in this file: leave it out, and name files with speech", path);
    conure_sha256_add(&l->sha, sha256, 64);
    s->utterances[s->n++] = (conure_utterance){mel, (uint32_t)n_mel};
    return status;
}

static int is_audio(const struct dirent *entry)
{
    static const char *const endings[] = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"};
    const char *dot = strrchr(entry->d_name, '.');
    for (size_t i = 0; dot && dot != entry->d_name && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return 1;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static conure_status load_folder(loading *l, const char *folder)
{
    struct dirent **entries = NULL;
    char path[PATH_MAX];
    conure_status status = CONURE_OK;
    const int n = scandir(folder, &entries, is_audio, by_name);
    if (n < 0)
        return conure_fail(l->err, CONURE_IO, "%s: %s", folder, strerror(errno));
    if (n == 0)
        status = conure_fail(l->err, CONURE_BAD_ARG, "%s: no file in this folder has an ending of audio (.wav, .flac, .ogg, .opus, .mp3, .aiff)", folder);
    for (int i = 0; i < n; i++) {
        if (status == CONURE_OK && !conure_path_join(path, sizeof path, folder, entries[i]->d_name))
            status = conure_fail(l->err, CONURE_LIMIT, "%s: the path is too long", folder);
        if (status == CONURE_OK)
            status = load_file(l, path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

conure_status conure_speech_load(conure_speech *out, const conure_model *model, char *const *paths, int n, conure_error *err)
{
    loading l = {.out = out, .model = model, .err = err};
    conure_status status = CONURE_OK;
    *out = (conure_speech){0};
    conure_sha256_init(&l.sha);
    for (int i = 0; i < n && status == CONURE_OK; i++) {
        struct stat st;
        status = stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode) ? load_folder(&l, paths[i]) : load_file(&l, paths[i]);
    }
    if (status != CONURE_OK)
        conure_speech_free(out);
    else if (n)
        conure_sha256_hex(&l.sha, out->sha256);
    return status;
}

void conure_speech_free(conure_speech *speech)
{
    for (uint32_t i = 0; i < speech->n; i++)
        free((float *)speech->utterances[i].mel);
    free(speech->utterances);
    *speech = (conure_speech){0};
}

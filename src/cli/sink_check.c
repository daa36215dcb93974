/* sink_check.c - what is looked at before the first transcript is written into a folder: that no two
 * inputs share a name there, and that none of them would be replaced by a transcript. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/audio.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/models.h"
#include "cli/sink.h"

/* A transcript is written beside its final name first, under one that is this much longer. */
#define TEMPORARY_BYTES 16

typedef struct target {
    char *name;
    const char *file;
} target;

typedef struct input {
    dev_t device;
    ino_t inode;
    const char *file;
} input;

/* ---- names */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const target *)a)->name, ((const target *)b)->name);
}

conure_status conure_sink_place(const conure_sink *sink, const char *file, conure_error *err)
{
    char name[NAME_MAX + 1 - TEMPORARY_BYTES];
    const size_t bytes = strlen(file);
    if (!sink->folder || !bytes || file[bytes - 1] == '/' || /* these cannot be read at all */
        conure_sink_name(name, sizeof name, file, sink->each ? CONURE_AUDIO_CHANNELS_MAX : 0, sink->format))
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG,
                       "%s: the name is too long for a transcript of it in %s (%zu bytes fit, with the "
                       "ending): rename the file, or leave out --output-dir",
                       file, sink->folder, sizeof name - 1);
}

/* targets [n_files]; those that have no name there are left out: they are told one by one, later. */
static conure_status name_targets(const conure_sink *sink, target *targets, int *n_targets,
                                  char *const *files, int n_files, conure_error *err)
{
    for (int i = 0; i < n_files; i++) {
        char name[NAME_MAX + 1];
        if (conure_sink_place(sink, files[i], NULL) != CONURE_OK ||
            !conure_sink_name(name, sizeof name, files[i], 0, sink->format))
            continue;
        targets[*n_targets].file = files[i];
        targets[*n_targets].name = conure_strdup(name);
        if (!targets[*n_targets].name)
            return conure_fail_memory(err, "file names", sizeof name);
        ++*n_targets;
    }
    qsort(targets, (size_t)*n_targets, sizeof *targets, by_name);
    return CONURE_OK;
}

static conure_status check_collisions(const conure_sink *sink, const target *targets, int n,
                                      conure_error *err)
{
    for (int i = 1; i < n; i++)
        if (strcmp(targets[i - 1].name, targets[i].name) == 0)
            return conure_fail(err, CONURE_BAD_ARG,
                               "%s and %s would both be written to %s/%s: give them to two runs with "
                               "different folders",
                               targets[i - 1].file, targets[i].file, sink->folder, targets[i].name);
    return CONURE_OK;
}

/* ---- files */

static int by_file(const void *a_, const void *b_)
{
    const input *a = a_, *b = b_;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

/* inputs [n_files]: those that are there, whatever links lead to them. */
static int find_inputs(input *inputs, char *const *files, int n_files)
{
    struct stat st;
    int n = 0;
    for (int i = 0; i < n_files; i++)
        if (strcmp(files[i], "-") == 0 ? fstat(STDIN_FILENO, &st) == 0 : stat(files[i], &st) == 0)
            inputs[n++] = (input){st.st_dev, st.st_ino, files[i]};
    qsort(inputs, (size_t)n, sizeof *inputs, by_file);
    return n;
}

static conure_status check_one(const conure_sink *sink, const char *file, int channel,
                               const input *inputs, int n, conure_error *err)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    struct stat st;
    input there;
    const input *found;
    if (!conure_sink_name(name, sizeof name, file, channel, sink->format) ||
        !conure_path_join(path, sizeof path, sink->folder, name) || stat(path, &st) != 0)
        return CONURE_OK;
    there = (input){st.st_dev, st.st_ino, NULL};
    found = n ? bsearch(&there, inputs, (size_t)n, sizeof *inputs, by_file) : NULL;
    if (!found)
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_ARG,
                       "the transcript of %s would be written to %s, which is the input %s: name another "
                       "folder with --output-dir",
                       file, path, strcmp(found->file, "-") == 0 ? "on standard input" : found->file);
}

static conure_status check_inputs(const conure_sink *sink, const target *targets, int n_targets,
                                  const input *inputs, int n_inputs, conure_error *err)
{
    conure_status status = CONURE_OK;
    const int first = sink->each ? 1 : 0, last = sink->each ? CONURE_AUDIO_CHANNELS_MAX : 0;
    for (int i = 0; i < n_targets; i++)
        for (int channel = first; channel <= last && status == CONURE_OK; channel++)
            status = check_one(sink, targets[i].file, channel, inputs, n_inputs, err);
    return status;
}

conure_status conure_sink_prepare(const conure_sink *sink, char *const *files, int n_files,
                                  conure_error *err)
{
    conure_status status;
    target *targets;
    input *inputs;
    int n_targets = 0;
    if (!sink->folder)
        return CONURE_OK;
    targets = conure_calloc((size_t)n_files + 1, sizeof *targets);
    inputs = conure_calloc((size_t)n_files + 1, sizeof *inputs);
    status = targets && inputs ? CONURE_OK
                               : conure_fail_memory(err, "file names", (size_t)n_files * sizeof *targets);
    if (status == CONURE_OK)
        status = name_targets(sink, targets, &n_targets, files, n_files, err);
    if (status == CONURE_OK)
        status = check_collisions(sink, targets, n_targets, err);
    if (status == CONURE_OK)
        status = check_inputs(sink, targets, n_targets, inputs, find_inputs(inputs, files, n_files), err);
    for (int i = 0; i < n_targets; i++)
        free(targets[i].name);
    free(targets);
    free(inputs);
    return status == CONURE_OK ? conure_make_folders(sink->folder, err) : status;
}

/* library.c - see library.h. */
#include "engine/trt/library.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

#define OPTIONS "--library FOLDER of conure engine build, @library=FOLDER of --engine trt"

static conure_status too_long(const char *named, conure_error *err)
{
    return conure_fail(err, CONURE_BACKEND, "engine trt: library %.100s..: the path is too long: name its folder with " OPTIONS, named);
}

/* Of another major version: "libnvinfer.so.10" where libnvinfer.so.8 is looked for.  The shortest, which the others are behind. */
static bool find_other(char out[NAME_MAX + 1], const char *folder, const char *name)
{
    const size_t n = (size_t)(strrchr(name, '.') - name) + 1;
    DIR *d = opendir(folder);
    out[0] = '\0';
    for (const struct dirent *e; d && (e = readdir(d));) {
        const bool other = strncmp(e->d_name, name, n) == 0 && e->d_name[n] >= '0' && e->d_name[n] <= '9' &&
                           strncmp(e->d_name + n, name + n, strlen(name + n)) != 0;
        if (other && (!out[0] || strlen(e->d_name) < strlen(out)))
            snprintf(out, NAME_MAX + 1, "%s", e->d_name);
    }
    if (d)
        closedir(d);
    return out[0] != '\0';
}

static conure_status not_in_folder(const char *folder, const char *name, conure_error *err)
{
    const char *version = strrchr(name, '.') + 1;
    char other[NAME_MAX + 1], below[PATH_MAX];
    if (snprintf(below, sizeof below, "%s/lib/%s", folder, name) < (int)sizeof below && access(below, F_OK) == 0)
        return conure_fail(err, CONURE_BACKEND, "engine trt: %.160s: no %s in this folder, it is in %.160s/lib: name that", folder, name, folder);
    if (find_other(other, folder, name))
        return conure_fail(err, CONURE_BACKEND, "engine trt: %.200s: no %s in this folder, but %.60s: name a folder of TensorRT %s (" OPTIONS
                           "), or build this program with the headers of that one (-DCONURE_TENSORRT_INCLUDE=FOLDER)", folder, name, other, version);
    return conure_fail(err, CONURE_BACKEND, "engine trt: %.200s: no %s in this folder: name the one of TensorRT %s that holds it, lib of NVIDIA's "
                       "archive (" OPTIONS ")", folder, name, version);
}

conure_status conure_trt_library_path(char *out, size_t cap, const char *named, const char *name, bool main, conure_error *err)
{
    char folder[PATH_MAX];
    conure_error why = {""};
    struct stat info;
    const char *slash = named ? strrchr(named, '/') : NULL;
    if (!named || !named[0] || (!main && !slash && !conure_path_is_folder(named))) {
        snprintf(out, cap, "%s", name);
        return CONURE_OK;
    }
    if (snprintf(folder, sizeof folder, "%s", named) >= (int)sizeof folder)
        return too_long(named, err);
    if (stat(named, &info) != 0) {
        if (slash || errno != ENOENT) {
            conure_fail_errno(&why, named);
            return conure_fail(err, CONURE_BACKEND, "engine trt: library %.300s: name the folder that holds %s (" OPTIONS ")", why.text, name);
        }
        snprintf(out, cap, "%s", named);
        return CONURE_OK;
    }
    if (!S_ISDIR(info.st_mode) && main)
        return snprintf(out, cap, "%s", named) < (int)cap ? CONURE_OK : too_long(named, err);
    if (!S_ISDIR(info.st_mode)) /* beside it */
        folder[slash - named + (slash == named)] = '\0';
    if (snprintf(out, cap, "%s/%s", folder, name) >= (int)cap)
        return too_long(named, err);
    return access(out, F_OK) == 0 ? CONURE_OK : not_in_folder(folder, name, err);
}

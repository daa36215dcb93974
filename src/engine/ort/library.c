/* library.c - finding and opening ONNX Runtime (library.h). */
#include "engine/ort/library.h"

#include "base/files.h"

#include <dlfcn.h>
#include <elf.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What OrtGetApiBase() gives. */
typedef struct ort_api_base {
    const void *(*get)(uint32_t interface);
    const char *(*version)(void);
} ort_api_base;

#define WAY_OUT "pip install onnxruntime, then name its library (onnxruntime/capi/libonnxruntime.so.*) or the folder that holds " \
                "it in CONURE_ORT_LIBRARY"

/* ---- looking ---------------------------------------------------------------------------------- */

#define LIBRARY "libonnxruntime.so"
#define MODULE  "onnxruntime_pybind11_state" /* of a wheel: all of ONNX Runtime where there is no library beside it */

/* Not a library is ".1.32.0.sha256" beside one. */
static bool is_release(const char *path)
{
    const char *end = strstr(strrchr(path, '/'), LIBRARY) + strlen(LIBRARY);
    while (end[0] == '.' && end[1] >= '0' && end[1] <= '9')
        end += 1 + strspn(end + 1, "0123456789");
    return *end == 0;
}

/* FOLDER/REST/NAME*: of several Pythons and releases the latest, 1.32 after 1.9. */
static bool match_in(char out[PATH_MAX], const char *folder, const char *rest, const char *name)
{
    char pattern[PATH_MAX];
    const char *best = NULL;
    glob_t found;
    if ((size_t)snprintf(pattern, sizeof pattern, "%s/%s%s*", folder, rest, name) >= sizeof pattern || glob(pattern, 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        if (strlen(path) < PATH_MAX && (strcmp(name, LIBRARY) != 0 || is_release(path)) && (!best || strverscmp(path, best) > 0))
            best = path;
    }
    if (best)
        snprintf(out, PATH_MAX, "%s", best);
    globfree(&found);
    return best != NULL;
}

/* A folder of the library itself, of a wheel that was unpacked, or of an environment. */
static bool find_in_folder(char out[PATH_MAX], const char *folder, const char *name)
{
    static const char *const rests[] = {"", "capi/", "onnxruntime/capi/", "lib/", "lib/python3.[0-9]*/site-packages/onnxruntime/capi/"};
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++)
        if (match_in(out, folder, rests[i], name))
            return true;
    return false;
}

/* ---- whether it is whole: the loader maps without looking, and what reads beyond the end ends the process ---- */

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_NONE }; /* the loader says it */
#endif

static bool is_within(uint64_t at, uint64_t n, uint64_t size, uint64_t bytes)
{
    return at <= bytes && (size == 0 || n <= (bytes - at) / size);
}

static bool is_whole(const conure_map *map, const Elf64_Ehdr *h)
{
    Elf64_Phdr p;
    const uint64_t sections = h->e_shnum ? h->e_shnum : h->e_shoff ? 1 : 0; /* too many: the first has their number */
    bool whole = is_within(h->e_shoff, sections, h->e_shentsize, map->bytes) && is_within(h->e_phoff, h->e_phnum, sizeof p, map->bytes);
    for (uint32_t i = 0; i < h->e_phnum && whole; i++) {
        memcpy(&p, map->data + h->e_phoff + i * sizeof p, sizeof p);
        whole = is_within(p.p_offset, p.p_filesz, 1, map->bytes);
    }
    return whole;
}

static conure_status check_file(const char *path, conure_error *err)
{
    Elf64_Ehdr h = {.e_type = ET_NONE};
    conure_map map;
    conure_status status = conure_map_open(&map, path, err);
    if (status != CONURE_OK)
        return status;
    memcpy(&h, map.data ? map.data : (const uint8_t *)"", map.bytes < sizeof h ? map.bytes : sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0)
        status = conure_fail(err, CONURE_BACKEND, "%s: is no shared library", path);
    else if (map.bytes >= sizeof h && (h.e_ident[EI_CLASS] != ELFCLASS64 || (MACHINE != EM_NONE && h.e_machine != MACHINE) ||
                                       h.e_phentsize != sizeof(Elf64_Phdr)))
        status = conure_fail(err, CONURE_BACKEND, "%s: is for another machine", path);
    else if (map.bytes < sizeof h || !is_whole(&map, &h))
        status = conure_fail(err, CONURE_BACKEND, "%s: is cut short, its header places more than its %llu bytes: fetch it again", path,
                             (unsigned long long)map.bytes);
    conure_map_close(&map);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static void *open_file(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static conure_status fail_in_folder(const char *folder, const char *by, conure_error *err)
{
    char module[PATH_MAX];
    if (find_in_folder(module, folder, MODULE))
        return conure_fail(err, CONURE_BACKEND, "%s (%s): a wheel whose ONNX Runtime cannot be opened by itself; from about 1.20 on they have "
                           "libonnxruntime.so: pip install -U onnxruntime, or name another in CONURE_ORT_LIBRARY", folder, by);
    return conure_fail(err, CONURE_BACKEND, "%s (%s): no libonnxruntime.so in this folder; " WAY_OUT, folder, by);
}

static conure_status open_named(conure_ort_library *l, const char *path, const char *by, conure_error *err)
{
    conure_error why = {""};
    snprintf(l->path, sizeof l->path, "%s", path);
    if (conure_path_is_folder(path) && !find_in_folder(l->path, path, LIBRARY))
        return fail_in_folder(path, by, err);
    if (strchr(l->path, '/') && check_file(l->path, &why) != CONURE_OK) /* else the loader knows where it is */
        return conure_fail(err, CONURE_BACKEND, "%.300s (%s); " WAY_OUT, why.text, by);
    l->handle = open_file(l->path);
    if (l->handle)
        return CONURE_OK;
    return conure_fail(err, CONURE_BACKEND, "%s (%s) cannot be opened as ONNX Runtime's library: %.300s; " WAY_OUT, path, by, dlerror());
}

static conure_status open_found(conure_ort_library *l, conure_error *err)
{
    static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    const char *environment = getenv("VIRTUAL_ENV");
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(l->path, sizeof l->path, "%s", names[i]);
        l->handle = open_file(names[i]);
        if (l->handle)
            return CONURE_OK;
    }
    if (environment && *environment && find_in_folder(path, environment, LIBRARY))
        return open_named(l, path, "found by VIRTUAL_ENV", err);
    if (environment && *environment && find_in_folder(path, environment, MODULE))
        return fail_in_folder(environment, "VIRTUAL_ENV", err);
    return conure_fail(err, CONURE_BACKEND, "ONNX Runtime is not installed: no libonnxruntime.so where the loader looks%s; " WAY_OUT,
                       environment && *environment ? ", nor in VIRTUAL_ENV" : "");
}

static conure_status take_functions(conure_ort_library *l, conure_error *err)
{
    const ort_api_base *(*base_of)(void);
    *(void **)&base_of = dlsym(l->handle, "OrtGetApiBase");
    const ort_api_base *base = base_of ? base_of() : NULL;
    if (!base)
        return conure_fail(err, CONURE_BACKEND, "%s is not ONNX Runtime: it has no OrtGetApiBase; " WAY_OUT, l->path);
    snprintf(l->version, sizeof l->version, "%s", base->version());
    void (*const *table)(void) = base->get(CONURE_ORT_INTERFACE);
    if (!table)
        return conure_fail(err, CONURE_BACKEND, "%s is ONNX Runtime %s, and " CONURE_ORT_VERSION_MIN " or later is needed: pip install -U "
                           "onnxruntime, or name another library in CONURE_ORT_LIBRARY", l->path, l->version);
#define X(returns, name, place, arguments) l->api.name = (returns (*) arguments)table[place];
    CONURE_ORT_FUNCTIONS(X)
#undef X
    return CONURE_OK;
}

conure_status conure_ort_library_open(conure_ort_library *l, const char *path, conure_error *err)
{
    const char *environment = getenv("CONURE_ORT_LIBRARY");
    conure_status status;
    *l = (conure_ort_library){.handle = NULL};
    if (path)
        status = open_named(l, path, "given with the engine", err);
    else if (environment && *environment)
        status = open_named(l, environment, "CONURE_ORT_LIBRARY", err);
    else
        status = open_found(l, err);
    if (status == CONURE_OK)
        status = take_functions(l, err);
    if (status != CONURE_OK)
        conure_ort_library_close(l);
    return status;
}

void conure_ort_library_close(conure_ort_library *l)
{
    if (l->handle)
        dlclose(l->handle);
    l->handle = NULL;
}

/* ---- asking ----------------------------------------------------------------------------------- */

void conure_ort_providers(const conure_ort_library *l, char *out, size_t cap)
{
    static const char suffix[] = "ExecutionProvider";
    char **names = NULL;
    int n = 0;
    size_t at = 0;
    *out = 0;
    if (conure_ort_check(l, l->api.GetAvailableProviders(&names, &n), "listing its providers", NULL) != CONURE_OK)
        return;
    for (int i = 0; i < n && at < cap; i++) {
        const char *end = strstr(names[i], suffix);
        at += (size_t)snprintf(out + at, cap - at, "%s%.*s", i ? ", " : "", end ? (int)(end - names[i]) : 60, names[i]);
    }
    (void)conure_ort_check(l, l->api.ReleaseAvailableProviders(names, n), "its providers", NULL);
}

/* Of "source.cc:7 a function [ONNXRuntimeError] : 1 : FAIL : what is wrong", which may be nested, what is wrong. */
static const char *cause_of(const char *text)
{
    static const char mark[] = "[ONNXRuntimeError] : ";
    for (const char *at = text; (at = strstr(at, mark));) {
        const char *code = strstr(at + strlen(mark), " : "), *rest = code ? strstr(code + 3, " : ") : NULL;
        at += strlen(mark);
        if (rest && rest[3])
            text = rest + 3;
    }
    return text;
}

conure_status conure_ort_check(const conure_ort_library *l, ort_status *status, const char *what, conure_error *err)
{
    enum { CAUSE_BYTES = 240 };
    if (!status)
        return CONURE_OK;
    const char *text = cause_of(l->api.GetErrorMessage(status)), *from = text;
    size_t n = strlen(text);
    while (n && strchr("\n .", text[n - 1]))
        n--;
    if (n > CAUSE_BYTES)
        for (from = text + n - CAUSE_BYTES; ((uint8_t)*from & 0xC0) == 0x80;) /* not amid a character */
            from++;
    (void)conure_fail(err, CONURE_BACKEND, "ONNX Runtime %s, %s: %s%.*s", l->version, what, from > text ? ".." : "", (int)(text + n - from), from);
    l->api.ReleaseStatus(status);
    return CONURE_BACKEND;
}

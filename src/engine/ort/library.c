/* library.c - opening ONNX Runtime (library.h). */
#include "engine/ort/library.h"

#include "base/files.h"

#include <dlfcn.h>
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

/* ---- opening ---------------------------------------------------------------------------------- */

static void *open_file(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* No library in a folder: an old wheel has all of it in its Python module, which nothing else can open. */
static conure_status fail_in_folder(const char *folder, const char *by, conure_error *err)
{
    char module[PATH_MAX];
    if (conure_ort_find_module(module, folder))
        return conure_fail(err, CONURE_BACKEND, "%s (%s): this wheel of ONNX Runtime has a Python module, and no libonnxruntime.so that can be opened "
                           "by itself, as wheels have from about 1.20 on: pip install -U onnxruntime, or name another library in "
                           "CONURE_ORT_LIBRARY", folder, by);
    return conure_fail(err, CONURE_BACKEND, "%s (%s): no libonnxruntime.so in this folder; " WAY_OUT, folder, by);
}

static conure_status open_named(conure_ort_library *l, const char *path, const char *by, conure_error *err)
{
    conure_error why = {""};
    snprintf(l->path, sizeof l->path, "%s", path);
    if (conure_path_is_folder(path) && !conure_ort_find_library(l->path, path))
        return fail_in_folder(path, by, err);
    if (strchr(l->path, '/') && conure_ort_check_file(l->path, &why) != CONURE_OK) /* else the loader knows where it is */
        return conure_fail(err, CONURE_BACKEND, "%s: %.300s; " WAY_OUT, by, why.text);
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
    if (environment && *environment && conure_ort_find_library(path, environment))
        return open_named(l, path, "found by VIRTUAL_ENV", err);
    if (environment && *environment && conure_ort_find_module(path, environment))
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

static bool is_within_character(char c)
{
    return ((uint8_t)c & 0xC0) == 0x80;
}

/* What it could not do stands at the beginning, and why at the end: of a long text the middle is left out. */
static void shorten(char out[CONURE_ORT_CAUSE_CAP], const char *text)
{
    enum { HEAD = 80, TAIL = CONURE_ORT_CAUSE_CAP - HEAD - 6 };
    size_t n = strlen(text), head = HEAD;
    while (n && strchr("\n .", text[n - 1]))
        n--;
    const char *tail = text + (n > TAIL ? n - TAIL : 0);
    if (n < CONURE_ORT_CAUSE_CAP) {
        snprintf(out, CONURE_ORT_CAUSE_CAP, "%.*s", (int)n, text);
        return;
    }
    while (head && is_within_character(text[head]))
        head--;
    while (is_within_character(*tail))
        tail++;
    snprintf(out, CONURE_ORT_CAUSE_CAP, "%.*s ... %.*s", (int)head, text, (int)(text + n - tail), tail);
}

conure_status conure_ort_check(const conure_ort_library *l, ort_status *status, const char *what, conure_error *err)
{
    char cause[CONURE_ORT_CAUSE_CAP];
    if (!status)
        return CONURE_OK;
    shorten(cause, cause_of(l->api.GetErrorMessage(status)));
    (void)conure_fail(err, CONURE_BACKEND, "ONNX Runtime %s, %s: %s", l->version, what, cause);
    l->api.ReleaseStatus(status);
    return CONURE_BACKEND;
}

/* fake_ort.c - a library that says it is an ONNX Runtime of long ago: it has no interface that is asked for.
 * With FAKE_ORT=VERSION in the environment it is that one, built for CUDA, whose libraries are missing: opening an engine fails there,
 * with words as the real one has them. */
#include "engine/ort/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct api_base {
    const void *(*get)(uint32_t interface);
    const char *(*version)(void);
} api_base;

__attribute__((visibility("default"))) const api_base *OrtGetApiBase(void);

#pragma GCC diagnostic ignored "-Wunused-parameter"

static char thing; /* what every handle points to: nobody looks inside */
static char cuda[] = "CUDAExecutionProvider", cpu[] = "CPUExecutionProvider";
static char *provider_names[] = {cuda, cpu};

static const char *GetErrorMessage(const ort_status *status)
{
    static char text[1024], noise[400];
    memset(noise, 'x', sizeof noise - 1);
    snprintf(text, sizeof text, "/source/bridge.cc:2043 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library %s with error: "
             "libcudnn.so.9: cannot open\n", strcmp(getenv("FAKE_ORT"), "1.99.0") == 0 ? noise : "cuda.so");
    return text;
}

/* One that goes well: X(name, what it does, parameters) */
#define WORKING(X) \
    X(GetAvailableProviders, (*out = provider_names, *n = 2), char ***out, int *n) \
    X(ReleaseAvailableProviders, (void)0, char **a, int b) \
    X(CreateEnvWithCustomLogger, *out = (ort_env *)&thing, ort_log_fn a, void *b, int c, const char *d, ort_env **out) \
    X(CreateCpuMemoryInfo, *out = NULL, int a, int b, ort_memory **out) \
    X(CreateMemoryInfo, *out = NULL, const char *a, int b, int c, int d, ort_memory **out) \
    X(CreateRunOptions, *out = NULL, ort_run_options **out) \
    X(CreateSessionOptions, *out = (ort_options *)&thing, ort_options **out) \
    X(SetSessionLogSeverityLevel, (void)0, ort_options *o, int level) \
    X(SetSessionGraphOptimizationLevel, (void)0, ort_options *o, int level) \
    X(SetIntraOpNumThreads, (void)0, ort_options *o, int n) \
    X(AddSessionConfigEntry, (void)0, ort_options *o, const char *a, const char *b)
#define X(name, what, ...) static ort_status *name(__VA_ARGS__) { what; return NULL; }
WORKING(X)
#undef X

static ort_status *CreateCUDAOptions(ort_provider_options **out) { return (ort_status *)&thing; }
static void ReleaseStatus(ort_status *status) {}
static void ReleaseEnv(ort_env *env) {}
static void ReleaseSessionOptions(ort_options *options) {}

#define X(returns, name, place, arguments) AT_##name = place,
enum { CONURE_ORT_FUNCTIONS(X) };
#undef X

static const void *get(uint32_t interface)
{
#define X(name, ...) [AT_##name] = (void (*)(void))name,
    static void (*const table[300])(void) = {WORKING(X) X(GetErrorMessage) X(CreateCUDAOptions) X(ReleaseStatus) X(ReleaseEnv)
                                             X(ReleaseSessionOptions)};
#undef X
    return getenv("FAKE_ORT") ? table : NULL;
}

static const char *version(void)
{
    return getenv("FAKE_ORT") ? getenv("FAKE_ORT") : "1.8.1";
}

const api_base *OrtGetApiBase(void)
{
    static const api_base base = {get, version};
    return &base;
}

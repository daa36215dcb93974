/* fake_ort.c - a library that says it is an ONNX Runtime of long ago: it has no interface that is asked for.
 *
 * With FAKE_ORT=VERSION in the environment it is that one, as far as an engine's opening goes: built for CUDA, whose libraries are
 * missing, which it says as the real one does. */
#include "engine/ort/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct api_base {
    const void *(*get)(uint32_t interface);
    const char *(*version)(void);
} api_base;

__attribute__((visibility("default"))) const api_base *OrtGetApiBase(void);

static char thing; /* what every handle points to: nobody looks inside */
static char cuda[] = "CUDAExecutionProvider", cpu[] = "CPUExecutionProvider";
static char *provider_names[] = {cuda, cpu};

static const char *message(const ort_status *status)
{
    static char text[1024], noise[400];
    (void)status;
    memset(noise, 'x', sizeof noise - 1);
    snprintf(text, sizeof text, "/source/bridge.cc:2043 Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library %s with error: "
             "libcudnn.so.9: cannot open\n", strcmp(getenv("FAKE_ORT"), "1.99.0") == 0 ? noise : "cuda.so");
    return text;
}

static ort_status *providers(char ***names, int *n)
{
    *names = provider_names;
    *n = 2;
    return NULL;
}

static ort_status *create_env(ort_log_fn log, void *user, int severity, const char *id, ort_env **out)
{
    (void)log, (void)user, (void)severity, (void)id;
    *out = (ort_env *)&thing;
    return NULL;
}

static ort_status *create_options(ort_options **out)
{
    *out = (ort_options *)&thing;
    return NULL;
}

static ort_status *create_cuda(ort_provider_options **out)
{
    (void)out;
    return (ort_status *)&thing;
}

/* ---- the rest of its table: nothing is made, nothing is wrong ---------------------------------- */

static ort_status *release_providers(char **names, int n)
{
    (void)names, (void)n;
    return NULL;
}

static ort_status *set_severity(ort_options *options, int level)
{
    (void)options, (void)level;
    return NULL;
}

static ort_status *set_optimization(ort_options *options, int level)
{
    (void)options, (void)level;
    return NULL;
}

static ort_status *set_threads(ort_options *options, int n)
{
    (void)options, (void)n;
    return NULL;
}

static ort_status *add_entry(ort_options *options, const char *key, const char *value)
{
    (void)options, (void)key, (void)value;
    return NULL;
}

static ort_status *create_run_options(ort_run_options **out)
{
    (void)out;
    return NULL;
}

static ort_status *create_host_memory(int allocator, int kind, ort_memory **out)
{
    (void)allocator, (void)kind, (void)out;
    return NULL;
}

static ort_status *create_memory(const char *name, int allocator, int device, int kind, ort_memory **out)
{
    (void)name, (void)allocator, (void)device, (void)kind, (void)out;
    return NULL;
}

static void release_status(ort_status *status)
{
    (void)status;
}

static void release_env(ort_env *env)
{
    (void)env;
}

static void release_options(ort_options *options)
{
    (void)options;
}

#define X(returns, name, place, arguments) AT_##name = place,
enum { CONURE_ORT_FUNCTIONS(X) PLACES = 300 };
#undef X

#define SET(name, function) table[AT_##name] = (void (*)(void))function

static const void *get(uint32_t interface)
{
    static void (*table[PLACES])(void);
    if (!getenv("FAKE_ORT") || interface != CONURE_ORT_INTERFACE)
        return NULL;
    SET(GetErrorMessage, message);
    SET(GetAvailableProviders, providers);
    SET(ReleaseAvailableProviders, release_providers);
    SET(CreateEnvWithCustomLogger, create_env);
    SET(CreateCpuMemoryInfo, create_host_memory);
    SET(CreateMemoryInfo, create_memory);
    SET(CreateRunOptions, create_run_options);
    SET(CreateSessionOptions, create_options);
    SET(SetSessionLogSeverityLevel, set_severity);
    SET(SetSessionGraphOptimizationLevel, set_optimization);
    SET(SetIntraOpNumThreads, set_threads);
    SET(AddSessionConfigEntry, add_entry);
    SET(CreateCUDAOptions, create_cuda);
    SET(ReleaseStatus, release_status);
    SET(ReleaseEnv, release_env);
    SET(ReleaseSessionOptions, release_options);
    return table;
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

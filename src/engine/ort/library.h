/* library.h - ONNX Runtime's shared library, opened at run time: where it is looked for, and the functions that are used.
 *
 * Its C interface is a table of function pointers that grows at its end: the place of a function never changes.  So nothing is
 * needed to build, and every release since VERSION_MIN will do.  What is declared here are the places and signatures of the
 * functions that the engine calls, no more (source: onnxruntime_c_api.h, interface version 17, and 23 of tables that have it). */
#ifndef CONURE_ENGINE_ORT_LIBRARY_H
#define CONURE_ENGINE_ORT_LIBRARY_H

#include "base/error.h"

#include <limits.h>

typedef struct ort_status ort_status; /* NULL: done; else freed by ReleaseStatus */
typedef struct ort_env ort_env;
typedef struct ort_memory ort_memory;
typedef struct ort_binding ort_binding;
typedef struct ort_session ort_session;
typedef struct ort_value ort_value;
typedef struct ort_run_options ort_run_options;
typedef struct ort_options ort_options;
typedef struct ort_metadata ort_metadata;
typedef struct ort_allocator ort_allocator;
typedef struct ort_provider_options ort_provider_options;

/* Its enumerations, as far as they are used. */
enum { ORT_LOG_FATAL = 4, ORT_OPTIMIZE_ALL = 99, ORT_ALLOCATOR_DEVICE = 0, ORT_ALLOCATOR_ARENA = 1, ORT_MEMORY_DEFAULT = 0 };

typedef void (*ort_log_fn)(void *user, int severity, const char *category, const char *id, const char *where, const char *text);

/* X(returns, name, place, arguments) */
#define CONURE_ORT_FUNCTIONS(X)                                                                                          \
    X(const char *, GetErrorMessage, 2, (const ort_status *))                                                            \
    X(ort_status *, CreateEnvWithCustomLogger, 4, (ort_log_fn, void *, int, const char *, ort_env **))                   \
    X(ort_status *, CreateSession, 7, (const ort_env *, const char *, const ort_options *, ort_session **))              \
    X(ort_status *, CreateSessionFromArray, 8, (const ort_env *, const void *, size_t, const ort_options *, ort_session **)) \
    X(ort_status *, Run, 9, (ort_session *, const ort_run_options *, const char *const *, const ort_value *const *, size_t, \
                             const char *const *, size_t, ort_value **))                                                 \
    X(ort_status *, CreateSessionOptions, 10, (ort_options **))                                                          \
    X(ort_status *, SetSessionLogSeverityLevel, 22, (ort_options *, int))                                                \
    X(ort_status *, SetSessionGraphOptimizationLevel, 23, (ort_options *, int))                                          \
    X(ort_status *, SetIntraOpNumThreads, 24, (ort_options *, int))                                                      \
    X(ort_status *, CreateRunOptions, 39, (ort_run_options **))                                                          \
    X(ort_status *, RunOptionsSetTerminate, 46, (ort_run_options *))                                                     \
    X(ort_status *, RunOptionsUnsetTerminate, 47, (ort_run_options *))                                                   \
    X(ort_status *, CreateTensorAsOrtValue, 48, (ort_allocator *, const int64_t *, size_t, int, ort_value **))           \
    X(ort_status *, CreateTensorWithDataAsOrtValue, 49, (const ort_memory *, void *, size_t, const int64_t *, size_t, int, \
                                                         ort_value **))                                                  \
    X(ort_status *, CreateMemoryInfo, 68, (const char *, int, int, int, ort_memory **))                                  \
    X(ort_status *, CreateCpuMemoryInfo, 69, (int, int, ort_memory **))                                                  \
    X(void, ReleaseEnv, 92, (ort_env *))                                                                                 \
    X(void, ReleaseStatus, 93, (ort_status *))                                                                           \
    X(void, ReleaseMemoryInfo, 94, (ort_memory *))                                                                       \
    X(void, ReleaseSession, 95, (ort_session *))                                                                         \
    X(void, ReleaseValue, 96, (ort_value *))                                                                             \
    X(void, ReleaseRunOptions, 97, (ort_run_options *))                                                                  \
    X(void, ReleaseSessionOptions, 100, (ort_options *))                                                                 \
    X(ort_status *, GetAvailableProviders, 125, (char ***, int *))                                                       \
    X(ort_status *, ReleaseAvailableProviders, 126, (char **, int))                                                      \
    X(ort_status *, AddSessionConfigEntry, 130, (ort_options *, const char *, const char *))                             \
    X(ort_status *, CreateAllocator, 131, (const ort_session *, const ort_memory *, ort_allocator **))                   \
    X(void, ReleaseAllocator, 132, (ort_allocator *))                                                                    \
    X(ort_status *, RunWithBinding, 133, (ort_session *, const ort_run_options *, const ort_binding *))                  \
    X(ort_status *, CreateIoBinding, 134, (ort_session *, ort_binding **))                                               \
    X(void, ReleaseIoBinding, 135, (ort_binding *))                                                                      \
    X(ort_status *, BindInput, 136, (ort_binding *, const char *, const ort_value *))                                    \
    X(ort_status *, BindOutput, 137, (ort_binding *, const char *, const ort_value *))                                   \
    X(void, ClearBoundInputs, 141, (ort_binding *))                                                                      \
    X(void, ClearBoundOutputs, 142, (ort_binding *))                                                                     \
    X(ort_status *, AppendTensorRT, 170, (ort_options *, const ort_provider_options *))                                  \
    X(ort_status *, CreateTensorRTOptions, 171, (ort_provider_options **))                                               \
    X(ort_status *, UpdateTensorRTOptions, 172, (ort_provider_options *, const char *const *, const char *const *, size_t)) \
    X(void, ReleaseTensorRTOptions, 174, (ort_provider_options *))                                                       \
    X(ort_status *, AppendCUDA, 204, (ort_options *, const ort_provider_options *))                                      \
    X(ort_status *, CreateCUDAOptions, 205, (ort_provider_options **))                                                   \
    X(ort_status *, UpdateCUDAOptions, 206, (ort_provider_options *, const char *const *, const char *const *, size_t))  \
    X(void, ReleaseCUDAOptions, 208, (ort_provider_options *))                                                           \
    X(ort_status *, AddExternalInitializers, 210, (ort_options *, const char *const *, const ort_value *const *, size_t)) \
    X(ort_status *, AppendExecutionProvider, 216, (ort_options *, const char *, const char *const *, const char *const *, size_t))

typedef struct conure_ort_api {
#define X(returns, name, place, arguments) returns (*name) arguments;
    CONURE_ORT_FUNCTIONS(X)
#undef X
} conure_ort_api;

enum { CONURE_ORT_INTERFACE = 17 };
#define CONURE_ORT_VERSION_MIN "1.17"

typedef struct conure_ort_library {
    void *handle;
    conure_ort_api api;
    char path[PATH_MAX]; /* what was opened, as it was named */
    char version[32];
} conure_ort_library;

/* path: a library or a folder that holds one; NULL: $CONURE_ORT_LIBRARY, else what the loader finds, else the Python
 * environment that $VIRTUAL_ENV names.  Something that is named and cannot be used is an error, never passed over.
 * BACKEND says where was looked, what was found there, and what to do.  The library stays in the process once it was opened:
 * it does not survive being taken out. */
conure_status conure_ort_library_open(conure_ort_library *out, const char *path, conure_error *err);
void conure_ort_library_close(conure_ort_library *library); /* NULL-safe where it was never opened */

/* "CPU, CUDA": what this library was built with, in its order of preference. */
void conure_ort_providers(const conure_ort_library *library, char *out, size_t cap);

/* OK, or BACKEND with "what: its text", of a long one the end, where the cause is; frees the status. */
conure_status conure_ort_check(const conure_ort_library *library, ort_status *status, const char *what, conure_error *err);

#endif

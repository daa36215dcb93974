/* device.c - the CUDA driver behind runtime.h: a GPU, its memory, and runs that were recorded on it; see device.h. */
#include "engine/trt/device.h"

#include "base/memory.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CU_(name) p_##name
#define CU(name) CU_(name)

struct conure_trt_graph {
    conure_gpu *gpu;
    CUgraphExec exec;
};

static conure_status failed(const conure_gpu *gpu, CUresult result, const char *what, conure_error *err)
{
    const char *name = NULL;
    if (gpu->cuda.CU(cuGetErrorName)(result, &name) != CUDA_SUCCESS || !name)
        name = "an unknown error";
    return conure_fail(err, result == CUDA_ERROR_OUT_OF_MEMORY ? CONURE_NO_MEMORY : CONURE_BACKEND, "GPU: %s: %s", what, name);
}

#define TRY(gpu, what, name, ...)                                   \
    do {                                                            \
        const CUresult result_ = (gpu)->cuda.CU(name)(__VA_ARGS__); \
        if (result_ != CUDA_SUCCESS)                                \
            return failed((gpu), result_, (what), err);             \
    } while (0)

/* ---- opening ---------------------------------------------------------------------------------- */

conure_status conure_gpu_library(void **out, const char *name, const char *way_out, conure_error *err)
{
    *out = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (*out)
        return CONURE_OK;
    const char *why = dlerror(); /* names what is missing, which may be something that this library needs */
    const bool own = strncmp(why, name, strlen(name)) == 0;
    return conure_fail(err, CONURE_BACKEND, "engine trt: %.150s%s%.200s; %s", own ? "" : name, own ? "" : ": ", why, way_out);
}

static conure_status load(conure_gpu *gpu, conure_error *err)
{
    const conure_status status = conure_gpu_library(&gpu->libcuda, "libcuda.so.1", "it comes with NVIDIA's driver", err);
    if (status != CONURE_OK)
        return status;
#define LOAD_(name)                                                                                            \
    do {                                                                                                       \
        void *entry_ = dlsym(gpu->libcuda, #name);                                                             \
        memcpy(&gpu->cuda.p_##name, &entry_, sizeof entry_);                                                   \
        if (!entry_)                                                                                           \
            return conure_fail(err, CONURE_BACKEND, "engine trt: this driver has no %s: 525 or a later one does", #name); \
    } while (0);
#define LOAD(name) LOAD_(name)
    CONURE_CUDA_LIST(LOAD)
    return CONURE_OK;
}

static conure_status look(conure_gpu *gpu, uint32_t device, conure_error *err)
{
    conure_trt_facts *facts = &gpu->facts;
    int n = 0, driver = 0, major = 0, minor = 0;
    size_t total = 0;
    TRY(gpu, "starting", cuInit, 0);
    TRY(gpu, "counting", cuDeviceGetCount, &n);
    if (n < 1)
        return conure_fail(err, CONURE_BACKEND, "engine trt: there is no GPU");
    if (device >= (uint32_t)n)
        return conure_fail(err, CONURE_BACKEND, "engine trt: there is no GPU %u: CUDA shows %d, from 0 on (CUDA_VISIBLE_DEVICES hides some)", device, n);
    TRY(gpu, "choosing it", cuDeviceGet, &gpu->device, (int)device);
    TRY(gpu, "its name", cuDeviceGetName, facts->gpu, (int)sizeof facts->gpu, gpu->device);
    TRY(gpu, "its driver", cuDriverGetVersion, &driver);
    TRY(gpu, "its capability", cuDeviceGetAttribute, &major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, gpu->device);
    TRY(gpu, "its capability", cuDeviceGetAttribute, &minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, gpu->device);
    TRY(gpu, "its memory", cuDeviceTotalMem, &total, gpu->device);
    TRY(gpu, "its context", cuDevicePrimaryCtxRetain, &gpu->context, gpu->device);
    facts->compute[0] = (uint32_t)major;
    facts->compute[1] = (uint32_t)minor;
    facts->driver = (uint32_t)driver;
    facts->memory_bytes = total;
    return CONURE_OK;
}

static conure_status start(conure_gpu *gpu, conure_error *err)
{
    size_t spare = 0, total = 0;
    TRY(gpu, "its free memory", cuMemGetInfo, &spare, &total);
    TRY(gpu, "a stream", cuStreamCreate, &gpu->stream, CU_STREAM_NON_BLOCKING);
    for (int i = 0; i < 2; i++)
        TRY(gpu, "an event", cuEventCreate, &gpu->marks[i], CU_EVENT_DEFAULT);
    gpu->facts.free_bytes = spare;
    return CONURE_OK;
}

conure_status conure_gpu_open(conure_gpu *gpu, uint32_t device, conure_error *err)
{
    conure_status status = load(gpu, err);
    if (status == CONURE_OK)
        status = look(gpu, device, err);
    if (status != CONURE_OK)
        return status;
    conure_gpu_enter(gpu);
    status = start(gpu, err);
    conure_gpu_leave(gpu);
    return status;
}

void conure_gpu_close(conure_gpu *gpu)
{
    if (!gpu->context)
        return;
    conure_gpu_enter(gpu);
    for (int i = 0; i < 2; i++)
        if (gpu->marks[i])
            gpu->cuda.CU(cuEventDestroy)(gpu->marks[i]);
    if (gpu->stream)
        gpu->cuda.CU(cuStreamDestroy)(gpu->stream);
    conure_gpu_leave(gpu);
    gpu->cuda.CU(cuDevicePrimaryCtxRelease)(gpu->device);
    gpu->context = NULL;
}

void conure_gpu_enter(conure_gpu *gpu)
{
    gpu->cuda.CU(cuCtxPushCurrent)(gpu->context);
}

void conure_gpu_leave(conure_gpu *gpu)
{
    CUcontext was;
    gpu->cuda.CU(cuCtxPopCurrent)(&was);
}

/* ---- recorded runs ---------------------------------------------------------------------------- */

conure_status conure_gpu_record_begin(conure_gpu *gpu, conure_error *err)
{
    TRY(gpu, "recording a step", cuStreamBeginCapture, gpu->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    return CONURE_OK;
}

void conure_gpu_record_end(conure_gpu *gpu, bool started, conure_trt_graph **out)
{
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    const CUresult ended = gpu->cuda.CU(cuStreamEndCapture)(gpu->stream, &graph);
    *out = NULL;
    if (started && ended == CUDA_SUCCESS && graph && gpu->cuda.CU(cuGraphInstantiateWithFlags)(&exec, graph, 0) == CUDA_SUCCESS) {
        *out = conure_calloc(1, sizeof **out);
        if (*out)
            **out = (conure_trt_graph){gpu, exec};
        else
            gpu->cuda.CU(cuGraphExecDestroy)(exec);
    }
    if (graph)
        gpu->cuda.CU(cuGraphDestroy)(graph);
}

/* Within the GPU: what TRY returns must not skip leaving it. */
static conure_status launch(conure_gpu *gpu, CUgraphExec exec, conure_error *err)
{
    TRY(gpu, "replaying a step", cuGraphLaunch, exec, gpu->stream);
    return CONURE_OK;
}

conure_status conure_trt_replay(conure_trt_graph *graph, conure_error *err)
{
    conure_gpu_enter(graph->gpu);
    const conure_status status = launch(graph->gpu, graph->exec, err);
    conure_gpu_leave(graph->gpu);
    return status;
}

void conure_trt_graph_free(conure_trt_graph **graph)
{
    if (*graph) {
        conure_gpu_enter((*graph)->gpu);
        (*graph)->gpu->cuda.CU(cuGraphExecDestroy)((*graph)->exec);
        conure_gpu_leave((*graph)->gpu);
        free(*graph);
    }
    *graph = NULL;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static CUdeviceptr address(const void *p)
{
    return (CUdeviceptr)(uintptr_t)p;
}

/* One call of the driver with the GPU current. */
#define CALL(trt, what, name, ...)                                          \
    do {                                                                    \
        conure_gpu *gpu_ = conure_trt_gpu(trt);                             \
        conure_gpu_enter(gpu_);                                             \
        const CUresult result_ = gpu_->cuda.CU(name)(__VA_ARGS__);          \
        conure_gpu_leave(gpu_);                                             \
        if (result_ != CUDA_SUCCESS)                                        \
            return failed(gpu_, result_, (what), err);                      \
    } while (0)

conure_status conure_trt_alloc(conure_trt *trt, void **out, size_t bytes, conure_error *err)
{
    CUdeviceptr p = 0;
    *out = NULL;
    CALL(trt, "memory", cuMemAlloc, &p, bytes ? bytes : 1);
    *out = (void *)(uintptr_t)p;
    return CONURE_OK;
}

conure_status conure_trt_alloc_host(conure_trt *trt, void **out, size_t bytes, conure_error *err)
{
    *out = NULL;
    CALL(trt, "pinned memory", cuMemHostAlloc, out, bytes ? bytes : 1, 0);
    return CONURE_OK;
}

void conure_trt_free(conure_trt *trt, void *memory)
{
    conure_gpu *gpu = conure_trt_gpu(trt);
    conure_gpu_enter(gpu);
    if (memory)
        gpu->cuda.CU(cuMemFree)(address(memory));
    conure_gpu_leave(gpu);
}

void conure_trt_free_host(conure_trt *trt, void *memory)
{
    conure_gpu *gpu = conure_trt_gpu(trt);
    conure_gpu_enter(gpu);
    if (memory)
        gpu->cuda.CU(cuMemFreeHost)(memory);
    conure_gpu_leave(gpu);
}

conure_status conure_trt_copy(conure_trt *trt, void *to, const void *from, size_t bytes, conure_error *err)
{
    if (bytes)
        CALL(trt, "a copy", cuMemcpyAsync, address(to), address(from), bytes, gpu_->stream);
    return CONURE_OK;
}

conure_status conure_trt_copy_rows(conure_trt *trt, void *to, size_t to_stride, const void *from, size_t from_stride, size_t row_bytes,
                                   size_t n_rows, conure_error *err)
{
    const CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_UNIFIED, .srcDevice = address(from), .srcPitch = from_stride,
                                .dstMemoryType = CU_MEMORYTYPE_UNIFIED, .dstDevice = address(to), .dstPitch = to_stride,
                                .WidthInBytes = row_bytes, .Height = n_rows};
    if (row_bytes && n_rows)
        CALL(trt, "a copy of rows", cuMemcpy2DAsync, &copy, gpu_->stream);
    return CONURE_OK;
}

conure_status conure_trt_zero(conure_trt *trt, void *to, size_t bytes, conure_error *err)
{
    if (bytes)
        CALL(trt, "zeros", cuMemsetD8Async, address(to), 0, bytes, gpu_->stream);
    return CONURE_OK;
}

conure_status conure_trt_wait(conure_trt *trt, conure_error *err)
{
    CALL(trt, "a step", cuStreamSynchronize, gpu_->stream);
    return CONURE_OK;
}

conure_status conure_trt_memory(conure_trt *trt, uint64_t *used, conure_error *err)
{
    size_t spare = 0, total = 0;
    *used = 0;
    CALL(trt, "its free memory", cuMemGetInfo, &spare, &total);
    const uint64_t at_first = conure_trt_gpu(trt)->facts.free_bytes;
    *used = at_first > spare ? at_first - spare : 0;
    return CONURE_OK;
}

conure_status conure_trt_mark(conure_trt *trt, int which, conure_error *err)
{
    CALL(trt, "a mark", cuEventRecord, gpu_->marks[which != 0], gpu_->stream);
    return CONURE_OK;
}

conure_status conure_trt_between_marks(conure_trt *trt, double *seconds, conure_error *err)
{
    float ms = 0;
    CALL(trt, "the time between marks", cuEventElapsedTime, &ms, gpu_->marks[0], gpu_->marks[1]);
    *seconds = 1e-3 * (double)ms;
    return CONURE_OK;
}

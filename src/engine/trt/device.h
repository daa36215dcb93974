/* device.h - a GPU through the CUDA driver, which is opened with dlopen(): what runtime.cpp builds on, and where runtime.h's memory and
 * recorded runs are.
 *
 * The driver's interface is used and not the runtime library's: libcuda comes with the driver and has had the same entries since CUDA 12,
 * whichever CUDA runtime TensorRT brings along.  TensorRT uses the same primary context. */
#ifndef CONURE_ENGINE_TRT_DEVICE_H
#define CONURE_ENGINE_TRT_DEVICE_H

#include <cuda.h>

#include "engine/trt/runtime.h"

/* cuda.h calls some of these name_v2 by a macro: the names are expanded before they are looked up. */
#define CONURE_CUDA_LIST(X)                                                                                                  \
    X(cuInit) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute)             \
    X(cuDeviceTotalMem) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease) X(cuCtxPushCurrent) X(cuCtxPopCurrent)       \
    X(cuMemGetInfo) X(cuMemAlloc) X(cuMemFree) X(cuMemHostAlloc) X(cuMemFreeHost) X(cuMemcpyAsync) X(cuMemcpy2DAsync)         \
    X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuStreamBeginCapture)                    \
    X(cuStreamEndCapture) X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuGetErrorName)  \
    X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord) X(cuEventElapsedTime)

typedef struct conure_cuda {
#define CONURE_CUDA_MEMBER_(name) __typeof__(&name) p_##name;
#define CONURE_CUDA_MEMBER(name) CONURE_CUDA_MEMBER_(name)
    CONURE_CUDA_LIST(CONURE_CUDA_MEMBER)
} conure_cuda;

typedef struct conure_gpu {
    conure_cuda cuda;
    void *libcuda;
    CUdevice device;
    CUcontext context;
    CUstream stream;
    CUevent marks[2];
    conure_trt_facts facts; /* but for TensorRT's version */
} conure_gpu;

/* A library that is opened now, or why it cannot be, with the way out. */
conure_status conure_gpu_library(void **out, const char *name, const char *way_out, conure_error *err);

/* gpu is zeros before; what was opened when it fails is closed by conure_gpu_close(), which leaves the library loaded: CUDA keeps threads
 * and handlers that must not lose their code. */
conure_status conure_gpu_open(conure_gpu *gpu, uint32_t device, conure_error *err);
void conure_gpu_close(conure_gpu *gpu);

/* The GPU is current in the calling thread between these, and what was current before it afterwards. */
void conure_gpu_enter(conure_gpu *gpu);
void conure_gpu_leave(conure_gpu *gpu);

/* What is started on the stream between these is recorded.  *out is NULL when it cannot be, with OK. */
conure_status conure_gpu_record_begin(conure_gpu *gpu, conure_error *err);
void conure_gpu_record_end(conure_gpu *gpu, bool started, conure_trt_graph **out);

/* runtime.cpp: the GPU of a runtime. */
conure_gpu *conure_trt_gpu(conure_trt *trt);

#endif

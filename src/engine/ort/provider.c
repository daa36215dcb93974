/* provider.c - execution providers: which there are, and how a session is told to use one. */
#include "engine/ort/ort.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *engine, *name, *memory;
} providers[] = {
#define X(id, engine, name, memory) {engine, name, memory},
    CONURE_ORT_PROVIDERS(X)
#undef X
};

const char *conure_ort_engine_name(conure_ort_provider provider)
{
    return providers[provider].engine;
}

const char *conure_ort_memory_name(conure_ort_provider provider)
{
    return providers[provider].memory;
}

/* The name is one of a list with ", " between. */
static bool listed(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (; *list; list += strspn(list, ", ")) {
        const size_t word = strcspn(list, ",");
        if (word == n && strncmp(list, name, n) == 0)
            return true;
        list += word;
    }
    return false;
}

conure_status conure_ort_provider_check(const conure_ort *r, conure_error *err)
{
    char available[256], usable[128] = "";
    conure_ort_providers(&r->library, available, sizeof available);
    if (listed(available, providers[r->provider].name))
        return CONURE_OK;
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++)
        if (listed(available, providers[i].name)) {
            strncat(usable, usable[0] ? ", " : "", sizeof usable - strlen(usable) - 1);
            strncat(usable, providers[i].engine, sizeof usable - strlen(usable) - 1);
        }
    return conure_fail(err, CONURE_BACKEND, "engine %s: ONNX Runtime %s (%.120s) was built without the provider %s; it has %s, so possible "
                       "here: %s.  Name another library in CONURE_ORT_LIBRARY (the package onnxruntime-gpu has CUDA and TensorRT)",
                       providers[r->provider].engine, r->library.version, r->library.path, providers[r->provider].name, available, usable);
}

/* Options in words; TF32 would be another precision than the one that was asked for. */
static conure_status append_cuda(const conure_ort *r, ort_options *options, conure_error *err)
{
    static const char *const keys[] = {"device_id", "use_tf32"};
    char device[16];
    const char *const values[] = {device, "0"};
    ort_provider_options *cuda = NULL;
    const conure_ort_api *api = &r->library.api;
    snprintf(device, sizeof device, "%u", r->options.device);
    CONURE_TRY(conure_ort_check(&r->library, api->CreateCUDAOptions(&cuda), "CUDA", err));
    conure_status status = conure_ort_check(&r->library, api->UpdateCUDAOptions(cuda, keys, values, 2), "CUDA", err);
    if (status == CONURE_OK)
        status = conure_ort_check(&r->library, api->AppendCUDA(options, cuda), "CUDA", err);
    api->ReleaseCUDAOptions(cuda);
    return status;
}

static conure_status append_tensorrt(const conure_ort *r, ort_options *options, conure_error *err)
{
    static const char *const keys[] = {"device_id"};
    char device[16];
    const char *const values[] = {device};
    ort_provider_options *trt = NULL;
    const conure_ort_api *api = &r->library.api;
    snprintf(device, sizeof device, "%u", r->options.device);
    CONURE_TRY(conure_ort_check(&r->library, api->CreateTensorRTOptions(&trt), "TensorRT", err));
    conure_status status = conure_ort_check(&r->library, api->UpdateTensorRTOptions(trt, keys, values, 1), "TensorRT", err);
    if (status == CONURE_OK)
        status = conure_ort_check(&r->library, api->AppendTensorRT(options, trt), "TensorRT", err);
    api->ReleaseTensorRTOptions(trt);
    return status;
}

conure_status conure_ort_provider_append(const conure_ort *r, ort_options *options, conure_error *err)
{
    static const char *const keys[] = {"device_id"};
    char device[16];
    const char *const values[] = {device};
    snprintf(device, sizeof device, "%u", r->options.device);
    switch (r->provider) {
    case CONURE_ORT_cpu: return CONURE_OK; /* always the last resort */
    case CONURE_ORT_cuda: return append_cuda(r, options, err);
    case CONURE_ORT_tensorrt: /* what it does not take goes to CUDA */
        CONURE_TRY(append_tensorrt(r, options, err));
        return append_cuda(r, options, err);
    case CONURE_ORT_nvtensorrtrtx:
        return conure_ort_check(&r->library, r->library.api.AppendExecutionProvider(options, "NvTensorRtRtx", keys, values, 1),
                                "NvTensorRtRtx", err);
    }
    return CONURE_OK;
}

conure_status conure_ort_provider_explain(const conure_ort *r, conure_status status, conure_error *err)
{
    const conure_error why = err ? *err : (conure_error){""};
    if (status != CONURE_BACKEND)
        return status;
    return conure_fail(err, status, "engine %s: provider %s does not start: %.280s; needed where the loader looks (LD_LIBRARY_PATH): the driver's "
                       "libcuda.so.1, CUDA's libcudart, libcublas, libcufft, libcurand, cuDNN's libcudnn%s, of the releases it names; ort/cpu "
                       "needs none", providers[r->provider].engine, providers[r->provider].name, why.text,
                       r->provider == CONURE_ORT_cuda ? "" : ", TensorRT's libnvinfer");
}

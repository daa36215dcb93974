/* tensor.c - caches where the provider computes, and their way in and out.
 *
 * In the host's memory they are ours, and moving is copying.  Memory of a device is reached by a graph of one Identity, whose
 * input and output are bound on either side: ONNX Runtime has no copy of its own that every release offers. */
#include "engine/ort/ort.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

conure_status conure_ort_device_open(conure_ort *r, conure_error *err)
{
    conure_graph *g = NULL;
    CONURE_TRY(conure_graph_open(&g, r->model, "move", CONURE_OPSET_MIN, CONURE_ONNX_FLOAT, err));
    conure_op(g, "Identity", ":to", conure_graph_input(g, "from", CONURE_ONNX_FLOAT, "A,B,C,D"));
    conure_graph_output(g, "to", CONURE_ONNX_FLOAT, "A,B,C,D");
    conure_status status = conure_ort_session_open(r, &r->move, g, false, err);
    conure_graph_close(&g);
    if (status == CONURE_OK)
        status = conure_ort_check(&r->library, r->library.api.CreateAllocator(r->move.session, r->device, &r->allocator), "device memory", err);
    return status;
}

static conure_status move(conure_ort *r, ort_value *from, ort_value *to, conure_error *err)
{
    conure_ort_call call = conure_ort_call_begin(r, &r->move, err);
    conure_ort_bind_value(&call, true, "from", from);
    conure_ort_bind_value(&call, false, "to", to);
    return conure_ort_call_run(&call, "moving caches");
}

/* A value over memory of the host with the tensor's shape, for one move: as one row, which has as many elements. */
static conure_status over(conure_ort *r, ort_value **out, float *data, const int64_t shape[4], size_t floats, conure_error *err)
{
    return conure_ort_check(&r->library, r->library.api.CreateTensorWithDataAsOrtValue(r->host, data, floats * sizeof *data, shape, 4,
                            CONURE_ONNX_FLOAT, out), "a tensor", err);
}

conure_status conure_ort_tensor_open(conure_ort *r, conure_ort_tensor *out, const int64_t shape[4], conure_error *err)
{
    size_t floats = 1;
    *out = (conure_ort_tensor){.value = NULL};
    for (int i = 0; i < 4; i++) {
        out->shape[i] = shape[i];
        if (!conure_mul(floats, (size_t)shape[i], &floats))
            return conure_fail(err, CONURE_LIMIT, "a stream's caches do not fit the address space");
    }
    out->floats = floats;
    if (r->device)
        return conure_ort_check(&r->library, r->library.api.CreateTensorAsOrtValue(r->allocator, shape, 4, CONURE_ONNX_FLOAT, &out->value),
                                "a stream's caches", err);
    out->host = conure_alloc_aligned(floats * sizeof *out->host);
    if (!out->host)
        return conure_fail_memory(err, "a stream's caches", floats * sizeof *out->host);
    memset(out->host, 0, floats * sizeof *out->host);
    const conure_status status = over(r, &out->value, out->host, shape, floats, err);
    if (status != CONURE_OK)
        conure_ort_tensor_close(r, out);
    return status;
}

void conure_ort_tensor_close(conure_ort *r, conure_ort_tensor *t)
{
    if (t->value)
        r->library.api.ReleaseValue(t->value);
    free(t->host);
    *t = (conure_ort_tensor){.value = NULL};
}

conure_status conure_ort_tensor_read(conure_ort *r, const conure_ort_tensor *t, float *dst, conure_error *err)
{
    ort_value *value = NULL;
    if (t->host) {
        memcpy(dst, t->host, t->floats * sizeof *dst);
        return CONURE_OK;
    }
    CONURE_TRY(over(r, &value, dst, t->shape, t->floats, err));
    const conure_status status = move(r, t->value, value, err);
    r->library.api.ReleaseValue(value);
    return status;
}

conure_status conure_ort_tensor_write(conure_ort *r, conure_ort_tensor *t, const float *src, conure_error *err)
{
    ort_value *value = NULL;
    if (t->host) {
        memcpy(t->host, src, t->floats * sizeof *src);
        return CONURE_OK;
    }
    CONURE_TRY(over(r, &value, (float *)src, t->shape, t->floats, err)); /* an input is not written to */
    const conure_status status = move(r, value, t->value, err);
    r->library.api.ReleaseValue(value);
    return status;
}

conure_status conure_ort_caches_open(conure_ort *r, conure_ort_caches *out, uint32_t cache_rows, conure_error *err)
{
    const conure_config *c = r->config;
    const int64_t channel[4] = {1, c->n_layers, cache_rows, c->d_model}, time[4] = {1, c->n_layers, c->d_model, c->conv_left};
    *out = (conure_ort_caches){.channel = {.value = NULL}};
    conure_status status = conure_ort_tensor_open(r, &out->channel, channel, err);
    if (status == CONURE_OK)
        status = conure_ort_tensor_open(r, &out->time, time, err);
    if (status != CONURE_OK)
        conure_ort_caches_close(r, out);
    return status;
}

void conure_ort_caches_close(conure_ort *r, conure_ort_caches *caches)
{
    conure_ort_tensor_close(r, &caches->channel);
    conure_ort_tensor_close(r, &caches->time);
}

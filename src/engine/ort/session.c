/* session.c - sessions of ONNX Runtime from graphs, and runs with everything bound by name. */
#include "engine/ort/ort.h"

#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

/* ---- sessions --------------------------------------------------------------------------------- */

/* The graph's weights as values over our memory, which ONNX Runtime copies while the session is made. */
typedef struct weights {
    const char **names;
    ort_value **values;
    void **data;
    size_t n;
} weights;

static void weights_close(conure_ort *r, weights *w)
{
    for (size_t i = 0; i < w->n && w->values; i++)
        r->library.api.ReleaseValue(w->values[i]);
    for (size_t i = 0; i < w->n && w->data; i++)
        free(w->data[i]);
    free(w->names);
    free(w->values);
    free(w->data);
    *w = (weights){0};
}

static conure_status weights_open(conure_ort *r, weights *w, const conure_graph *graph, conure_error *err)
{
    const size_t n = conure_graph_weights(graph);
    conure_status status = CONURE_OK;
    *w = (weights){.n = n};
    w->names = conure_calloc(n + 1, sizeof *w->names);
    w->values = conure_calloc(n + 1, sizeof *w->values);
    w->data = conure_calloc(n + 1, sizeof *w->data);
    if (!w->names || !w->values || !w->data)
        return conure_fail_memory(err, "a graph's weights", n * sizeof *w->data);
    for (size_t i = 0; i < n && status == CONURE_OK; i++) {
        conure_graph_weight_facts facts;
        status = conure_graph_weight(graph, i, &facts, &w->data[i], err);
        if (status != CONURE_OK)
            break;
        w->names[i] = facts.name;
        status = conure_ort_check(&r->library, r->library.api.CreateTensorWithDataAsOrtValue(r->host, w->data[i], facts.bytes, facts.dims,
                                  (size_t)facts.rank, (int)facts.type, &w->values[i]), facts.name, err);
        if (status == CONURE_OK && conure_cancelled(r->options.cancel))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled while a session was made");
    }
    return status;
}

static conure_status set_options(conure_ort *r, ort_options *o, const weights *w, bool is_long, conure_error *err)
{
    const conure_ort_api *api = &r->library.api;
    const conure_ort_library *l = &r->library;
    CONURE_TRY(conure_ort_check(l, api->SetSessionLogSeverityLevel(o, ORT_LOG_FATAL), "log level", err));
    CONURE_TRY(conure_ort_check(l, api->SetSessionGraphOptimizationLevel(o, ORT_OPTIMIZE_ALL), "optimization level", err));
    CONURE_TRY(conure_ort_check(l, api->SetIntraOpNumThreads(o, (int)r->options.n_threads), "threads", err));
    CONURE_TRY(conure_ort_check(l, api->AddSessionConfigEntry(o, "session.intra_op.allow_spinning", is_long ? "1" : "0"), "spinning", err));
    if (w->n)
        CONURE_TRY(conure_ort_check(l, api->AddExternalInitializers(o, w->names, (const ort_value *const *)w->values, w->n), "weights", err));
    return conure_ort_provider_append(r, o, err);
}

conure_status conure_ort_session_open(conure_ort *r, conure_ort_session *out, conure_graph *graph, bool is_long, conure_error *err)
{
    const conure_ort_library *l = &r->library;
    ort_options *options = NULL;
    void *message = NULL;
    size_t bytes = 0;
    weights w;
    *out = (conure_ort_session){.is_long = is_long};
    conure_status status = weights_open(r, &w, graph, err);
    if (status == CONURE_OK)
        status = conure_graph_pack(graph, &message, &bytes, err);
    if (status == CONURE_OK)
        status = conure_ort_check(l, l->api.CreateSessionOptions(&options), "options", err);
    if (status == CONURE_OK)
        status = set_options(r, options, &w, is_long, err);
    if (status == CONURE_OK)
        status = conure_ort_check(l, l->api.CreateSessionFromArray(r->env, message, bytes, options, &out->session), "making a session", err);
    if (status == CONURE_OK)
        status = conure_ort_check(l, l->api.CreateIoBinding(out->session, &out->binding), "binding", err);
    if (options)
        l->api.ReleaseSessionOptions(options);
    free(message);
    weights_close(r, &w);
    if (status != CONURE_OK)
        conure_ort_session_close(r, out);
    return status;
}

/* A file may name further files beside it, which ONNX Runtime reads itself. */
static conure_status open_file(conure_ort *r, conure_ort_session *out, const char *path, const ort_options *options, conure_error *err)
{
    conure_error why = {""};
    if (conure_ort_check(&r->library, r->library.api.CreateSession(r->env, path, options, &out->session), "making a session", &why) == CONURE_OK)
        return CONURE_OK;
    return conure_fail(err, CONURE_BACKEND, "%s: %s; where it or the file of its weights beside it is damaged, missing or of another model: fetch "
                       "or export the whole folder again", path, why.text);
}

conure_status conure_ort_session_open_file(conure_ort *r, conure_ort_session *out, const char *path, bool is_long, conure_error *err)
{
    const conure_ort_library *l = &r->library;
    const weights none = {.n = 0};
    ort_options *options = NULL;
    *out = (conure_ort_session){.is_long = is_long};
    conure_status status = conure_ort_check(l, l->api.CreateSessionOptions(&options), "options", err);
    if (status == CONURE_OK)
        status = set_options(r, options, &none, is_long, err);
    if (status == CONURE_OK)
        status = open_file(r, out, path, options, err);
    if (status == CONURE_OK)
        status = conure_ort_check(l, l->api.CreateIoBinding(out->session, &out->binding), "binding", err);
    if (options)
        l->api.ReleaseSessionOptions(options);
    if (status != CONURE_OK)
        conure_ort_session_close(r, out);
    return status;
}

void conure_ort_session_close(conure_ort *r, conure_ort_session *s)
{
    if (s->binding)
        r->library.api.ReleaseIoBinding(s->binding);
    if (s->session)
        r->library.api.ReleaseSession(s->session);
    *s = (conure_ort_session){.session = NULL};
}

/* ---- runs ------------------------------------------------------------------------------------- */

conure_ort_call conure_ort_call_begin(conure_ort *r, conure_ort_session *session, conure_error *err)
{
    return (conure_ort_call){.r = r, .session = session, .status = CONURE_OK, .err = err};
}

void conure_ort_bind_value(conure_ort_call *c, bool input, const char *name, ort_value *value)
{
    const conure_ort_api *api = &c->r->library.api;
    if (c->status != CONURE_OK)
        return;
    ort_status *failed = input ? api->BindInput(c->session->binding, name, value) : api->BindOutput(c->session->binding, name, value);
    c->status = conure_ort_check(&c->r->library, failed, name, c->err);
}

static size_t type_bytes(conure_onnx_type type)
{
    return type == CONURE_ONNX_INT64 ? 8 : type == CONURE_ONNX_FLOAT16 ? 2 : 4;
}

void conure_ort_bind(conure_ort_call *c, bool input, const char *name, conure_onnx_type type, void *data, size_t rank,
                     const int64_t *shape)
{
    ort_value *value = NULL;
    size_t bytes = type_bytes(type);
    for (size_t i = 0; i < rank; i++)
        bytes *= (size_t)shape[i];
    if (c->status != CONURE_OK)
        return;
    c->status = conure_ort_check(&c->r->library, c->r->library.api.CreateTensorWithDataAsOrtValue(c->r->host, data, bytes, shape, rank,
                                 (int)type, &value), name, c->err);
    if (c->status != CONURE_OK)
        return;
    c->owned[c->n_owned++] = value;
    conure_ort_bind_value(c, input, name, value);
}

conure_status conure_ort_call_run(conure_ort_call *c, const char *what)
{
    conure_ort *r = c->r;
    const conure_ort_api *api = &r->library.api;
    if (c->status == CONURE_OK && conure_cancelled(r->options.cancel))
        c->status = conure_fail(c->err, CONURE_CANCELLED, "cancelled before %s", what);
    if (c->status == CONURE_OK) {
        if (c->session->is_long)
            conure_ort_watch_begin(r);
        ort_status *failed = api->RunWithBinding(c->session->session, r->run, c->session->binding);
        const bool ended = c->session->is_long && conure_ort_watch_end(r);
        c->status = conure_ort_check(&r->library, failed, what, c->err);
        if (c->status != CONURE_OK && ended)
            c->status = conure_fail(c->err, CONURE_CANCELLED, "cancelled in %s", what);
    }
    api->ClearBoundInputs(c->session->binding);
    api->ClearBoundOutputs(c->session->binding);
    while (c->n_owned)
        api->ReleaseValue(c->owned[--c->n_owned]);
    return c->status;
}

conure_status conure_ort_room_fit(conure_ort_room *room, size_t floats, const char *what, conure_error *err)
{
    if (floats <= room->floats)
        return CONURE_OK;
    free(room->data);
    room->data = conure_alloc_aligned(floats * sizeof(float));
    room->floats = room->data ? floats : 0;
    return room->data ? CONURE_OK : conure_fail_memory(err, what, floats * sizeof(float));
}

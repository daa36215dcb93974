/* encoder.c - the encoder's sessions: one for whole utterances, and one for each kind of state that is open.
 *
 * drop_extra is an input of these graphs, so the first step of a stream and later ones share a session and its weights. */
#include "engine/ort/ort.h"

#include "base/memory.h"
#include "base/system.h"
#include "model/graphs.h"
#include "onnx/encoder.h"

#include <stdlib.h>

/* LayerNormalization is an operator from here on. */
enum { OPSET = 17 };

static bool same_kind(const conure_cache_options *a, const conure_cache_options *b)
{
    return a->cache_rows == b->cache_rows && a->drop_rows == b->drop_rows && a->time_cache_aligned == b->time_cache_aligned;
}

static void close_one(conure_ort *r, conure_ort_encoder *e)
{
    conure_ort_session_close(r, &e->session);
    while (e->n_spare)
        conure_ort_caches_close(r, &e->spare[--e->n_spare]);
    free(e->spare);
    free(e);
}

/* Sessions for states of which none is open any more: their weights are most of what the engine takes. */
static void close_unused(conure_ort *r)
{
    for (conure_ort_encoder **at = &r->encoders; *at;) {
        conure_ort_encoder *e = *at;
        if (e->options.cache_rows == 0 || e->n_states) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        close_one(r, e);
    }
}

conure_status conure_ort_encoder_get(conure_ort *r, conure_ort_encoder **out, const conure_cache_options *options, conure_error *err)
{
    static const conure_cache_options offline = {0};
    options = options ? options : &offline;
    for (conure_ort_encoder *e = r->encoders; e; e = e->next)
        if (same_kind(&e->options, options)) {
            *out = e;
            return CONURE_OK;
        }
    if (options->cache_rows)
        close_unused(r);
    conure_ort_encoder *e = *out = conure_calloc(1, sizeof *e);
    if (!e)
        return conure_fail_memory(err, "an encoder", sizeof *e);
    e->options = *options;
    e->next = r->encoders;
    r->encoders = e;
    return CONURE_OK;
}

void conure_ort_encoders_close(conure_ort *r)
{
    while (r->encoders) {
        conure_ort_encoder *e = r->encoders;
        r->encoders = e->next;
        close_one(r, e);
    }
}

/* What a contract would say of such a step. */
static void describe(const conure_ort *r, const conure_ort_encoder *e, uint32_t n_frames, conure_contract *k)
{
    conure_contract_windows(k, r->config, n_frames);
    k->conv_left = r->config->conv_left;
    k->conv_right = r->config->conv_right;
    k->streaming.cache_rows = e->options.cache_rows;
    k->streaming.cache_drop = e->options.drop_rows;
    k->time_cache_aligned = e->options.time_cache_aligned;
    k->mask_exact = r->options.mask == CONURE_MASK_EXACT;
}

/* A provider need not have every operator in every type; which, it says itself. */
static conure_status explain(const conure_ort *r, conure_error *err)
{
    const conure_error why = err ? *err : (conure_error){""};
    return conure_fail(err, CONURE_BACKEND, "engine %s does not run the encoder in %s: ask for f32, or for another engine. ONNX Runtime said: %.300s",
                       conure_ort_engine_name(r->provider), conure_precision_name(r->options.precision), why.text);
}

conure_status conure_ort_encoder_fit(conure_ort *r, conure_ort_encoder *e, uint32_t n_frames, conure_error *err)
{
    const bool offline = e->options.cache_rows == 0;
    const double start_s = conure_now_s();
    conure_contract *contract = NULL;
    conure_graph *g = NULL;
    if (e->session.session && (offline || n_frames <= e->frames_max))
        return CONURE_OK;
    if (r->model->graphs)
        return conure_ort_session_open_file(r, &e->session, r->model->graphs->encoder.path, true, err);
    contract = conure_calloc(1, sizeof *contract);
    if (!contract)
        return conure_fail_memory(err, "a contract", sizeof *contract);
    describe(r, e, n_frames, contract);
    conure_encoder_plan plan = {.contract = offline ? NULL : contract, .mask_exact = contract->mask_exact, .frames_min = 1,
                                .frames_max = offline ? 0 : n_frames, .drop_input = true, .caches = CONURE_ONNX_FLOAT};
    /* What goes in and out, caches too, are the contract's float32 whatever is computed in between. */
    conure_encoder_plan_narrow(&plan, r->options.precision, r->seen, false, false);
    conure_ort_session_close(r, &e->session);
    conure_status status = conure_graph_open(&g, r->model, offline ? "encoder" : "encoder_streaming", OPSET, CONURE_ONNX_FLOAT, err);
    if (status == CONURE_OK) {
        conure_encoder_build(g, &plan);
        status = conure_ort_session_open(r, &e->session, g, true, err);
    }
    if (status == CONURE_BACKEND && r->options.precision != CONURE_PRECISION_F32)
        status = explain(r, err);
    if (status == CONURE_OK)
        conure_log_write(&r->options.log, CONURE_LOG_INFO, "%s: a session for %s, %u nodes, made in %.1f s", conure_ort_engine_name(r->provider),
                         offline ? "whole utterances" : "steps of a stream", conure_graph_nodes(g), conure_now_s() - start_s);
    e->frames_max = status == CONURE_OK ? n_frames : 0;
    conure_graph_close(&g);
    free(contract);
    return status;
}

conure_status conure_ort_encoder_take(conure_ort *r, conure_ort_encoder *e, conure_ort_caches *out, conure_error *err)
{
    if (!e->n_spare)
        return conure_ort_caches_open(r, out, e->options.cache_rows, err);
    *out = e->spare[--e->n_spare];
    return CONURE_OK;
}

void conure_ort_encoder_give(conure_ort *r, conure_ort_encoder *e, conure_ort_caches *caches)
{
    if (e->n_spare == e->spare_cap) {
        const uint32_t cap = e->spare_cap ? 2 * e->spare_cap : 4;
        conure_ort_caches *grown = realloc(e->spare, cap * sizeof *grown);
        if (!grown) {
            conure_ort_caches_close(r, caches);
            return;
        }
        e->spare = grown;
        e->spare_cap = cap;
    }
    e->spare[e->n_spare++] = *caches;
    *caches = (conure_ort_caches){.channel = {.value = NULL}};
}

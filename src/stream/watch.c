/* watch.c - contracts of sessions, their steps against them, and the text of all that was counted. */
#include "stream/watch.h"

#include "stream/session.h"

#include <stdio.h>
#include <string.h>

_Static_assert((int)CONURE_ON_VIOLATION_STOP == (int)CONURE_POLICY_STOP && (int)CONURE_ON_VIOLATION_RESET == (int)CONURE_POLICY_RESET &&
                   (int)CONURE_ON_VIOLATION_COUNT == (int)CONURE_POLICY_COUNT,
               "the same three policies");

conure_status conure_watch_open(conure_watch *w, const conure_config *config, const conure_watch_options *o, conure_error *err)
{
    conure_status status = CONURE_OK;
    if (!o->cached) {
        conure_contract_windows(&w->contract, config, o->n_frames);
    } else {
        /* A constant slice has its rows for chunk and, behind it, for what is dropped: nothing is kept. */
        char profile[16];
        snprintf(profile, sizeof profile, "%u", o->n_frames);
        const conure_contract_options options = {
            .streaming = {.chunk = o->chunk + o->right + (o->constant ? o->chunk : 0), .shift = o->chunk, .cache_rows = o->left ? o->left : 1,
                          .export_graph = o->constant},
            .profiles = o->constant ? profile : NULL,
            .keep_negative = o->keep_negative, .time_cache_aligned = o->time_cache_aligned, .mask_exact = o->mask_exact};
        status = conure_contract_derive(&w->contract, config, "session", &options, err);
        w->contract.streaming.cache_rows = o->left; /* a session may do without an attention cache, a graph may not */
    }
    conure_assertions_init(&w->assertions, &w->contract, o->policy);
    return status;
}

conure_act conure_watch_step(conure_watch *w, const conure_encode_row *row, uint64_t step, bool last, int64_t length_in,
                             int64_t length_out, bool *violated, conure_error *err)
{
    const conure_step_facts facts = {
        .step = step, .n_frames = row->n_frames, .n_valid = row->n_valid, .drop_first = row->drop_first, .last = last,
        .n_out = row->n_out, .n_out_valid = row->n_out_valid, .length_known = row->state != NULL, .length_in = length_in,
        .length_out = length_out, .out = row->out, .width = w->contract.d_model};
    const uint64_t before = w->assertions.n_bad_steps;
    const conure_act act = conure_assertions_step(&w->assertions, &facts, err);
    *violated = w->assertions.n_bad_steps != before;
    return act;
}

void conure_watch_add(const conure_watch *w, conure_metrics *total)
{
    conure_metrics all = w->metrics;
    conure_metrics_take(&all, &w->assertions);
    conure_metrics_add(total, &all);
}

conure_status conure_recognizer_metrics(conure_recognizer *r, char *text, size_t cap_bytes, size_t *bytes, conure_error *err)
{
    if (!r || !bytes || (!text && cap_bytes))
        return conure_fail(err, CONURE_BAD_ARG, "conure_recognizer_metrics: recognizer, bytes, and text unless cap_bytes is 0, must not be NULL");
    pthread_mutex_lock(&r->in_use); /* steps count under it */
    conure_metrics total = r->closed;
    for (const conure_session *s = r->sessions; s; s = s->next)
        conure_watch_add(&s->watch, &total);
    pthread_mutex_unlock(&r->in_use);
    const conure_label labels[] = {{"engine", r->engine->name}, {"precision", conure_precision_name(r->precision)}};
    const conure_metrics_set set = {&total, labels, 2};
    conure_buffer out = {0};
    conure_metrics_text(&out, &set, 1);
    conure_status status = CONURE_OK;
    *bytes = out.bytes + 1;
    if (out.failed)
        status = conure_fail_memory(err, "metrics", out.bytes);
    else if (!text)
        status = CONURE_OK;
    else if (cap_bytes < *bytes)
        status = conure_fail(err, CONURE_FULL, "conure_recognizer_metrics: %zu bytes are needed, there are %zu", *bytes, cap_bytes);
    else
        memcpy(text, out.data, *bytes);
    conure_buffer_free(&out);
    return status;
}

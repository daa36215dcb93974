/* stage_latency.c - the stage latency: the candidate's steps by the clock, and what their parts take where it says.
 *
 * An engine of this build keeps the state, as it does when it is deployed: features go in and the encoder's output comes out.  A command
 * is handed the state with every step, as the pipe has it, which is part of its time. */
#include "clearance/stages.h"

#include "base/error.h"
#include "base/system.h"

#include <math.h>

#define HOP_S 0.01 /* of every model that is loaded */
enum { WARM_UP = 3, PROFILED = 10, PARTS_KEPT = 25 };

typedef struct timing {
    const conure_clearing *c;
    conure_candidate *candidate, *honest;
    conure_chunk chunk;
    conure_feed feed;
    bool held; /* the state stays with the engine */
} timing;

/* A step k of the stream; parts: NULL, or what gets its parts. */
static conure_status step(timing *t, uint64_t k, conure_parts *parts, double *seconds, conure_error *err)
{
    if (k == 0)
        conure_chunk_zero_state(&t->chunk);
    else if (!t->held)
        conure_chunk_carry_state(&t->chunk, &t->chunk);
    conure_feed_chunk(&t->feed, k, &t->chunk);
    if (t->held)
        return conure_candidate_held_step(t->candidate, &t->chunk, k == 0, parts, seconds, err);
    const double start_s = conure_now_s();
    const conure_status status = conure_candidate_step(t->candidate, &t->chunk, err);
    *seconds = conure_now_s() - start_s;
    return status;
}

/* Its parts, in more steps: they are timed one by one, so that a step takes longer.  An engine that does not say has none. */
static conure_status profile(json_t *out, timing *t, conure_error *err)
{
    conure_parts parts = {0};
    conure_status status = CONURE_OK;
    double seconds;
    for (uint64_t k = 0; k < PROFILED && status == CONURE_OK; k++)
        status = step(t, k, &parts, &seconds, err);
    if (status == CONURE_OK && parts.failed)
        status = conure_fail_memory(err, "the parts of a step", CONURE_PARTS_MAX * sizeof *parts.list);
    if (status == CONURE_OK && parts.n) {
        json_t *longest = json_array();
        conure_parts_sort(&parts);
        for (uint32_t i = 0; i < parts.n && i < PARTS_KEPT; i++)
            json_array_append_new(longest, json_pack("{s:s, s:f}", "name", parts.list[i].name, "seconds", parts.list[i].seconds / PROFILED));
        json_object_set_new(out, "parts", json_pack("{s:I, s:f, s:o}", "number", (json_int_t)parts.n, "seconds",
                                                    conure_parts_seconds(&parts) / PROFILED, "longest", longest));
    }
    conure_parts_free(&parts);
    return status == CONURE_UNSUPPORTED ? CONURE_OK : status;
}

static conure_status time_steps(json_t *seconds, timing *t, conure_error *err)
{
    conure_status status = CONURE_OK;
    for (uint64_t k = 0; k < t->feed.n_chunks && status == CONURE_OK; k++) {
        double taken = 0;
        status = step(t, k, NULL, &taken, err);
        if (status == CONURE_OK && k >= WARM_UP)
            json_array_append_new(seconds, json_real(taken));
        if (status == CONURE_OK && !conure_clearing_show(t->c, "latency", k + 1, t->feed.n_chunks))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
    }
    return status;
}

conure_status conure_stage_latency(json_t *out, const conure_clearing *c, conure_error *err)
{
    timing t = {.c = c, .feed = {.seed = c->seed, .n_chunks = c->n_latency + WARM_UP, .n_frames = c->n_frames}};
    json_t *seconds = json_array();
    conure_status status = conure_feed_check(&t.feed, c->contract, err);
    if (status == CONURE_OK)
        status = conure_clearing_candidate(&t.candidate, &t.honest, c, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&t.chunk, c->contract, err);
    t.held = status == CONURE_OK && conure_candidate_holds_state(t.candidate);
    if (status == CONURE_OK)
        status = time_steps(seconds, &t, err);
    const uint64_t device_bytes = status == CONURE_OK ? conure_candidate_device_bytes(t.candidate) : 0;
    if (status == CONURE_OK && t.held)
        status = profile(out, &t, err);
    json_object_set_new(out, "seconds", seconds);
    json_object_set_new(out, "state", json_string(t.held ? "held" : "handed"));
    if (device_bytes)
        json_object_set_new(out, "device_bytes", json_integer((json_int_t)device_bytes));
    json_object_set_new(out, "warm_up", json_integer(WARM_UP));
    json_object_set_new(out, "batch", json_integer(1));
    json_object_set_new(out, "step_s", json_real(c->contract->streaming.shift_frames[1] * HOP_S));
    json_object_set_new(out, "limits", json_pack("{s:n, s:n, s:o}", "p50_s", "p95_s", "p99_s", conure_evidence_number(c->latency_p99_s)));
    conure_chunk_close(&t.chunk);
    conure_candidate_close(&t.candidate);
    conure_candidate_close(&t.honest);
    return status;
}

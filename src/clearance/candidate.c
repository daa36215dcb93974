/* candidate.c - see candidate.h: which kind a spec means, and what holds for both. */
#include "clearance/candidate.h"

#include "base/threads.h"

#include <assert.h>
#include <string.h>

bool conure_candidate_is_command(const char *spec)
{
    return strncmp(spec, "exec:", 5) == 0;
}

conure_status conure_candidate_open(conure_candidate **out, const char *spec, const conure_contract *contract, const conure_model *model,
                                    const conure_candidate_options *options, conure_error *err)
{
    *out = NULL;
    if (conure_candidate_is_command(spec))
        return conure_candidate_exec_open(out, spec + 5, contract, options, err);
    return conure_candidate_engine_open(out, spec, contract, model, options, err);
}

void conure_candidate_close(conure_candidate **candidate)
{
    if (*candidate)
        (*candidate)->close(*candidate);
    *candidate = NULL;
}

const char *conure_candidate_describe(const conure_candidate *c)
{
    return c->description;
}

const char *conure_candidate_precision(const conure_candidate *c)
{
    return c->precision;
}

static conure_status ready(const conure_candidate *c, conure_chunk *chunk, conure_error *err)
{
    for (conure_role role = 0; role < CONURE_ROLE_INPUTS; role++)
        if (!chunk->has[role])
            return conure_fail(err, CONURE_BAD_ARG, "chunk %llu: %s is missing, and a step needs it", (unsigned long long)chunk->index,
                               c->contract->names[role]);
    for (conure_role role = CONURE_ROLE_INPUTS; role < CONURE_ROLES; role++)
        chunk->has[role] = false;
    return conure_cancelled(c->cancel) ? conure_fail(err, CONURE_CANCELLED, "cancelled") : CONURE_OK;
}

conure_status conure_candidate_step(conure_candidate *c, conure_chunk *chunk, conure_error *err)
{
    const conure_status status = ready(c, chunk, err);
    return status == CONURE_OK ? c->step(c, chunk, err) : status;
}

bool conure_candidate_holds_state(const conure_candidate *c)
{
    return c->held_step != NULL;
}

conure_status conure_candidate_held_step(conure_candidate *c, const conure_chunk *chunk, bool begins, conure_parts *parts, double *seconds,
                                         conure_error *err)
{
    assert(c->held_step);
    return conure_cancelled(c->cancel) ? conure_fail(err, CONURE_CANCELLED, "cancelled") : c->held_step(c, chunk, begins, parts, seconds, err);
}

uint64_t conure_candidate_device_bytes(conure_candidate *c)
{
    return c->device_bytes ? c->device_bytes(c) : 0;
}

conure_status conure_candidate_step_batch(conure_candidate *c, conure_chunk *const *chunks, uint32_t n, conure_error *err)
{
    assert(n >= 1 && n <= CONURE_CANDIDATE_ROWS);
    if (!c->step_batch)
        return conure_fail(err, CONURE_UNSUPPORTED, "%.200s takes one row at a time", c->description);
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        status = ready(c, chunks[i], err);
    return status == CONURE_OK ? c->step_batch(c, chunks, n, err) : status;
}

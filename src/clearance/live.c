/* live.c - a reference that runs beside the candidate: no file, two chunks of memory. */
#include "clearance/source.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct live_source {
    conure_source base;
    conure_candidate *reference;
    conure_feed feed;
    conure_chunk chunk;
    uint64_t next;
} live_source;

static void live_close(conure_source *base)
{
    conure_chunk_close(&((live_source *)base)->chunk);
    free(base);
}

static conure_status live_next(conure_source *base, const conure_chunk **chunk, conure_error *err)
{
    live_source *s = (live_source *)base;
    *chunk = NULL;
    if (s->next == s->feed.n_chunks)
        return CONURE_END;
    if (s->next == 0)
        conure_chunk_zero_state(&s->chunk);
    else
        conure_chunk_carry_state(&s->chunk, &s->chunk);
    conure_feed_chunk(&s->feed, s->next, &s->chunk);
    const conure_status status = conure_candidate_step(s->reference, &s->chunk, err);
    if (status != CONURE_OK) {
        conure_error_prefix(err, "the reference");
        return status;
    }
    s->next++;
    *chunk = &s->chunk;
    return CONURE_OK;
}

void conure_source_close(conure_source **source)
{
    if (*source)
        (*source)->close(*source);
    *source = NULL;
}

conure_status conure_source_live(conure_source **out, conure_candidate *reference, const conure_feed *feed, const conure_contract *contract,
                                 conure_error *err)
{
    live_source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return conure_fail_memory(err, "a source", sizeof *s);
    s->base = (conure_source){.next = live_next, .close = live_close, .contract = contract};
    s->reference = reference;
    s->feed = *feed;
    conure_status status = conure_feed_check(&s->feed, contract, err);
    if (status == CONURE_OK)
        status = conure_chunk_open(&s->chunk, contract, err);
    if (status != CONURE_OK) {
        live_close(&s->base);
        return status;
    }
    s->base.n_chunks = s->feed.n_chunks;
    snprintf(s->base.what, sizeof s->base.what, "in lockstep: %s", conure_candidate_describe(reference));
    *out = &s->base;
    return CONURE_OK;
}

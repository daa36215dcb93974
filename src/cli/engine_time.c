/* engine_time.c - see engine_time.h. */
#include "cli/engine_time.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/system.h"
#include "base/threads.h"

enum { WARM_UP = 8, PROFILED = 10 };

/* Streams that are stepped together, and what they read and write. */
typedef struct crew {
    conure_encode_row *rows; /* [batch] */
    conure_state **states;   /* [batch]; NULL offline */
    float *mel, *out;        /* [batch][n_frames][mel_bins], [batch][rows][d_model] */
} crew;

static void crew_close(crew *c, const conure_engine *engine, void *self, uint32_t batch)
{
    for (uint32_t i = 0; c->states && i < batch; i++)
        if (c->states[i])
            engine->state_close(self, &c->states[i]);
    free(c->states);
    free(c->rows);
    free(c->mel);
    free(c->out);
}

static conure_status crew_open(crew *c, const conure_engine *engine, void *self, const conure_config *config, const conure_contract *contract,
                               const conure_step_shape *s, conure_error *err)
{
    const size_t frames = (size_t)s->n_frames * config->mel_bins, n_rows = s->n_frames / CONURE_FACTOR + 1, rows = n_rows * config->d_model;
    uint64_t seed = 42;
    c->rows = conure_calloc(s->batch, sizeof *c->rows);
    c->states = conure_calloc(s->batch, sizeof *c->states);
    c->mel = conure_calloc(s->batch * frames, sizeof *c->mel);
    c->out = conure_calloc(s->batch * rows, sizeof *c->out);
    if (!c->rows || !c->states || !c->mel || !c->out)
        return conure_fail_memory(err, "rows to time", s->batch * (frames + rows) * sizeof *c->mel);
    for (size_t i = 0; i < s->batch * frames; i++) { /* deviation 1, as normalised features have */
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        c->mel[i] = ((float)(seed >> 40) * 0x1p-23f - 1.0f) * 1.7320508f;
    }
    for (uint32_t i = 0; i < s->batch; i++) {
        conure_cache_options caches;
        if (!s->offline) {
            conure_contract_cache_options(contract, &caches);
            const conure_status status = engine->state_open(self, &c->states[i], &caches, err);
            if (status != CONURE_OK)
                return status;
        }
        c->rows[i] = (conure_encode_row){.mel = c->mel + i * frames, .n_frames = s->n_frames, .n_valid = s->n_frames, .drop_first = s->drop_first,
                                         .state = c->states[i], .out = c->out + i * rows, .n_out_cap = (uint32_t)n_rows};
    }
    return CONURE_OK;
}

conure_status conure_time_steps(conure_step_times *out, const conure_engine *engine, void *self, const conure_config *config,
                                const conure_contract *contract, const conure_step_shape *shape, uint32_t n_steps, conure_parts *parts,
                                const volatile int *cancel, conure_error *err)
{
    crew c = {0};
    double *times = conure_calloc(2 * (size_t)n_steps, sizeof *times), *device = times ? times + n_steps : NULL;
    *out = (conure_step_times){.shape = *shape};
    conure_status status = times ? crew_open(&c, engine, self, config, contract, shape, err)
                                 : conure_fail_memory(err, "times", n_steps * sizeof *times);
    for (uint32_t i = 0; i < WARM_UP + n_steps && status == CONURE_OK; i++) {
        const double start_s = conure_now_s();
        if (conure_cancelled(cancel))
            status = conure_fail(err, CONURE_CANCELLED, "cancelled");
        else
            status = engine->encode(self, c.rows, shape->batch, err);
        if (i == 0)
            out->warm_up_s = conure_now_s() - start_s;
        if (i >= WARM_UP)
            times[i - WARM_UP] = conure_now_s() - start_s;
        if (i >= WARM_UP && engine->device_seconds)
            device[i - WARM_UP] = engine->device_seconds(self);
    }
    if (status == CONURE_OK)
        conure_stats_of(times, n_steps, &out->s);
    if (status == CONURE_OK && engine->device_seconds)
        conure_stats_of(device, n_steps, &out->device);
    if (status == CONURE_OK && engine->device_bytes)
        status = engine->device_bytes(self, &out->device_bytes, err);
    for (; parts && engine->profile && out->n_profiled < PROFILED && status == CONURE_OK; out->n_profiled++)
        status = engine->profile(self, c.rows, shape->batch, conure_parts_add, parts, err);
    if (status == CONURE_OK && parts && parts->failed)
        status = conure_fail_memory(err, "the parts of a step", CONURE_PARTS_MAX * sizeof *parts->list);
    crew_close(&c, engine, self, shape->batch);
    free(times);
    return status;
}

/* engine_time.h - how long an engine takes for steps, through the engine table: caches stay where the engine has them. */
#ifndef CONURE_CLI_ENGINE_TIME_H
#define CONURE_CLI_ENGINE_TIME_H

#include "cli/measure.h"
#include "contract/contract.h"
#include "engine/engine.h"

/* What is timed: steps of a contract's streams, or slices offline. */
typedef struct conure_step_shape {
    uint32_t n_frames, batch;
    uint32_t drop_first;
    bool offline;
} conure_step_shape;

typedef struct conure_step_times {
    conure_step_shape shape;
    conure_stats s;      /* seconds of a call with a batch of rows */
    conure_stats device; /* of these the device computed; n 0: the engine does not say */
    double warm_up_s;    /* the first call: what is opened, recorded, filled then */
    uint64_t device_bytes; /* of the device's memory in use after them; 0: the engine has none */
    uint32_t n_profiled; /* steps that parts are of; 0: the engine does not say, or was not asked */
} conure_step_times;

/* n_steps calls after a few to warm up.  contract: NULL offline.  Features are made up; the caches move as in a stream.
 * parts: NULL, or zeros that get what the parts of a few more calls took, where the engine says.
 * Returns what the engine does, CANCELLED, NO_MEMORY. */
conure_status conure_time_steps(conure_step_times *out, const conure_engine *engine, void *self, const conure_config *config,
                                const conure_contract *contract, const conure_step_shape *shape, uint32_t n_steps, conure_parts *parts,
                                const volatile int *cancel, conure_error *err);

#endif

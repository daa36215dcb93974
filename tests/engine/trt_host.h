/* trt_host.h - engine/trt/runtime.h on the host: memory is malloc's, and a plan is our own network at f32, so that what the engine "trt"
 * does around a plan can be compared with the engine "cpu" bit for bit, on any machine. */
#ifndef CONURE_TESTS_TRT_HOST_H
#define CONURE_TESTS_TRT_HOST_H

#include "engine/engine.h"
#include "engine/trt/plan.h"
#include "engine/trt/runtime.h"

/* What the next conure_trt_open() finds, and how its plans behave.  One program, one machine. */
typedef struct trt_host {
    const conure_model *model, *other; /* other: what its plans hold when PLAN_OF_OTHER is planted (base/inject.h) */
    conure_mask mask;
    char gpu[64], version[32];
    uint32_t integer_bytes;  /* 4 as in TensorRT 8, or 8 */
    bool no_gpu;             /* it cannot be opened */
    bool no_graphs;          /* nothing can be recorded */
    int64_t fail_after;      /* runs until one fails; negative: none does */
    conure_trt_place place;  /* asked for last */
    uint32_t last_batch;     /* rows of the last run */
    void (*building)(const conure_trt_build_options *options); /* sees what is to be built; plans are then the text "plan" */
    uint32_t n_runs, n_records, n_replays, n_contexts, n_live; /* seen; live: memory and objects that are open */
} trt_host;
extern trt_host trt_host_machine;

/* A plan's bytes: they hold what the side file says of the step, as a real plan does. */
size_t trt_host_plan(const conure_plan_side *side, void **out);

#endif

/* plan_build.h - from a checkpoint and a contract to plans of TensorRT: which plans a contract needs, and making one. */
#ifndef CONURE_CLI_PLAN_BUILD_H
#define CONURE_CLI_PLAN_BUILD_H

#include "contract/contract.h"
#include "engine/trt/plan.h"
#include "engine/trt/runtime.h"
#include "onnx/observe.h"

#define CONURE_PLANS_OF_CONTRACT 2 /* the first step of a stream and later ones */

/* What is to be built, of a model at a precision. */
typedef struct conure_plan_wish {
    const conure_contract *contract; /* NULL: offline */
    const char *profile;             /* see conure_plans_choose() */
    uint32_t frames_max;             /* offline: mel frames at most */
    uint32_t batch_max;              /* 0: the contract's; offline 1 */
    bool by_layer;                   /* layers are parts of the plan of their own, for their times */
    bool fixed;                      /* batches, and utterances offline, always have the largest size: what is missing is made up */
    conure_mask mask;                /* offline; DEFAULT: the checkpoint's */
    conure_precision precision;
    bool f16_beside;                 /* int8: what is not quantised may be f16 */
    const conure_utterance *utterances; /* speech: int8 needs it for its scales, f16 should have it */
    uint32_t n_utterances, n_threads;
    const char *audio_sha256;        /* of their features; NULL: none */
    uint32_t level;
    conure_trt_place place;
} conure_plan_wish;

/* The plans of a wish, without GPU, version and what is known when they are built.  profile, for a contract:
 *   "all"      a plan for every number of dropped frames that its steps have
 *   "first"    of a stream's first step, "next" of later ones
 *   "unified"  one plan for all steps, which must drop the same number of frames
 *   FILE.json  the same as "all", over the profiles that the file has in place of the contract's
 *   NAME       the profile that the contract calls so
 * BAD_ARG names what there is, or what the precision needs. */
conure_status conure_plans_choose(conure_plan_side out[CONURE_PLANS_OF_CONTRACT], uint32_t *n, const conure_model *model,
                                  const conure_plan_wish *wish, conure_error *err);

typedef struct conure_plan_made {
    char path[PATH_MAX];   /* of plan and side file, without ending */
    bool was_there;        /* built before: nothing was done */
    bool timing_used;
    uint32_t n_layers;
    conure_plan_side side;
} conure_plan_made;

/* Builds those of a wish that the folder does not have yet.
 *   folder   where plans are; made when it is not there
 *   timing   NULL, or a file of timings that is read, and written with what was added (or a warning)
 *   log      TensorRT's messages
 * Returns OK, BAD_ARG, UNSUPPORTED, BACKEND, IO, CANCELLED, NO_MEMORY; made [n] are done when a later one fails. */
conure_status conure_plans_build(conure_plan_made made[CONURE_PLANS_OF_CONTRACT], uint32_t *n, const conure_model *model,
                                 const conure_plan_wish *wish, const char *folder, const char *timing, bool force, conure_log log,
                                 conure_error *err);

#endif

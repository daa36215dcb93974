/* self_test_plans.h - the engine "trt" for the self-test: a plan on disk that runs on the host (tests/engine/trt_host.h), and models whose
 * weights were changed. */
#ifndef CONURE_TESTS_CLEARANCE_SELF_TEST_PLANS_H
#define CONURE_TESTS_CLEARANCE_SELF_TEST_PLANS_H

#include "../engine/trt_host.h"
#include "contract/contract.h"

/* Tensors whose name holds `part` times `factor`; the model keeps its hash. */
void scale_weights(conure_model *model, const char *part, float factor);

/* The plan of a contract's steps, for the GPU and the library that trt_host_machine has, in `folder`, which CONURE_PLANS names from here on.
 * model_sha256: NULL, or whose weights the side file says it has */
void store_plan(const conure_model *model, const conure_contract *contract, const char *folder, const char *model_sha256);
void store_offline_plan(const conure_model *model, const conure_contract *contract, const char *folder, uint32_t frames_max);
void remove_plan(const char *folder); /* of steps, and offline if there is one */

#endif

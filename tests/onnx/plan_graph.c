/* plan_graph.c - the graph that a plan is built from, whose caches are matrices, and features and output rows: written to a file, for runtime.py to run.
 *
 *     plan_graph MODEL CONTRACT|FRAMES OUT.onnx fusible|plain BATCH [f32|f16|halves [FUSED]]
 *
 * Of whole utterances of so many mel frames where no contract is named.  BATCH 0: any number.  halves: in float32, and as for someone who may
 * compute it in float16.  FUSED: about how many layers are fused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"
#include "model/load.h"
#include "onnx/encoder.h"

static conure_status write_graph(int argc, char **argv, conure_error *err)
{
    conure_model *model = NULL;
    conure_contract contract;
    conure_graph *g = NULL;
    conure_graph_facts facts;
    conure_encoder_plan plan;
    const uint32_t frames = (uint32_t)strtoul(argv[2], NULL, 10);
    const char *kind = argc > 6 ? argv[6] : "f32";
    conure_status status = conure_model_open(&model, argv[1], NULL, err);
    if (status == CONURE_OK && !frames)
        status = conure_contract_read(&contract, argv[2], NULL, err);
    if (status == CONURE_OK)
        status = conure_encoder_plan_make(&plan, &model->config, frames ? NULL : &contract, CONURE_MASK_DEFAULT, frames, err);
    if (status == CONURE_OK)
        status = conure_graph_open(&g, model, "encoder_streaming", CONURE_OPSET_MIN, CONURE_ONNX_FLOAT, err);
    if (status == CONURE_OK) {
        plan.fusible = strcmp(argv[4], "fusible") == 0;
        plan.batch = (uint32_t)strtoul(argv[5], NULL, 10);
        plan.cache_matrices = plan.io_rows = true;
        plan.halves = strcmp(kind, "halves") == 0;
        plan.fused_layers = argc == 8 ? (uint32_t)strtoul(argv[7], NULL, 10) : 0;
        if (frames)
            plan.frames_min = frames;
        if (strcmp(kind, "f16") == 0)
            plan.type = plan.caches = CONURE_ONNX_FLOAT16;
        conure_encoder_build(g, &plan);
        status = conure_graph_write(g, argv[3], CONURE_EXTERNAL_NEVER, &facts, NULL, NULL, err);
    }
    conure_graph_close(&g);
    conure_model_close(&model);
    return status;
}

int main(int argc, char **argv)
{
    conure_error err = {""};
    if (argc < 6 || argc > 8)
        return 2;
    const conure_status status = write_graph(argc, argv, &err);
    if (status != CONURE_OK)
        fprintf(stderr, "plan_graph: %s\n", err.text);
    return status != CONURE_OK;
}

/* contract.c - what holding every step to its contract costs beside the step itself.  bench_contract MODEL [PRECISION]
 *
 * Steps of 593 frames, 73 rows out, all of them looked at for values that are not finite: the most that a session asks for. */
#include "base/system.h"
#include "contract/assertions.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 10, LOOKS = 1000, FRAMES = 593 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    char words[64];
    conure_model *model = NULL;
    conure_engine_spec spec;
    const conure_engine *engine;
    void *self = NULL;
    conure_state *state = NULL;
    conure_contract contract;
    conure_cache_options cache;
    conure_error err = {""};
    const conure_contract_options o = {.streaming = {.chunk = 73, .shift = 1, .cache_rows = 256, .export_graph = true}};
    snprintf(words, sizeof words, "cpu:%s", argc > 2 ? argv[2] : "f32");
    if (argc < 2 || conure_engine_spec_parse(&spec, words, &err) != CONURE_OK || conure_engine_find(&engine, "cpu", &err) != CONURE_OK ||
        conure_model_open(&model, argv[1], NULL, &err) != CONURE_OK)
        return fprintf(stderr, "bench_contract MODEL [PRECISION]: %s\n", err.text), 2;
    const conure_engine_options options = {.n_threads = 2, .precision = spec.precision, .mask = model->config.mask};
    if (engine->open(&self, model, &options, &err) != CONURE_OK ||
        conure_contract_derive(&contract, &model->config, "bench", &o, &err) != CONURE_OK)
        return fprintf(stderr, "%s\n", err.text), 2;
    conure_contract_cache_options(&contract, &cache);
    cache.keep_rows = false;
    const uint32_t d = model->config.d_model, cap = FRAMES / 8 + 1;
    float *mel = calloc((size_t)FRAMES * model->config.mel_bins, sizeof *mel), *out = calloc((size_t)cap * d, sizeof *out);
    double step_s[STEPS];
    conure_encode_row row = {.n_out = 0};
    if (!mel || !out || engine->state_open(self, &state, &cache, &err) != CONURE_OK)
        return fprintf(stderr, "no memory: %s\n", err.text), 2;
    for (int i = -1; i < STEPS; i++) { /* the first is not counted */
        const double start_s = conure_now_s();
        row = (conure_encode_row){.mel = mel, .n_frames = FRAMES, .n_valid = FRAMES, .drop_first = 2, .state = state, .out = out, .n_out_cap = cap};
        if (engine->encode(self, &row, 1, &err) != CONURE_OK)
            return fprintf(stderr, "%s\n", err.text), 2;
        if (i >= 0)
            step_s[i] = conure_now_s() - start_s;
    }
    conure_assertions a;
    conure_assertions_init(&a, &contract, CONURE_POLICY_STOP);
    const double start_s = conure_now_s();
    for (int i = 0; i < LOOKS; i++) {
        const conure_step_facts facts = {.step = (uint64_t)i, .n_frames = FRAMES, .n_valid = FRAMES, .drop_first = 2, .n_out = row.n_out,
                                         .n_out_valid = row.n_out_valid, .length_known = true, .length_in = i < 256 ? i : 256,
                                         .length_out = i < 255 ? i + 1 : 256, .out = out, .width = d};
        if (conure_assertions_step(&a, &facts, &err) != CONURE_ACT_GO_ON)
            return fprintf(stderr, "%s\n", err.text), 2;
    }
    const double look_s = (conure_now_s() - start_s) / LOOKS;
    qsort(step_s, STEPS, sizeof *step_s, compare);
    printf("step %.1f ms (median of %d), assertions %.1f us: %.4f %% of it\n", step_s[STEPS / 2] * 1e3, STEPS, look_s * 1e6,
           100 * look_s / step_s[STEPS / 2]);
    engine->state_close(self, &state);
    engine->close(&self);
    conure_model_close(&model);
    free(mel);
    free(out);
    return 0;
}

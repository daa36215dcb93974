/* state.c - a snapshot of a stream's state, into a state of a small model: refused, with the state as it was,
 * or a state that steps and is saved as it was loaded. */
#include "engine/engine.h"

#include "model/random.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const conure_engine *const engine = &conure_engine_native_cpu;
static conure_model *model;
static void *self;
static conure_state *state;
static float *mel;

enum { FRAMES = 33 };

static void clean(void)
{
    engine->state_close(self, &state);
    engine->close(&self);
    conure_model_close(&model);
    free(mel);
}

static void prepare(void)
{
    const conure_engine_options options = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    const conure_cache_options caches = {.cache_rows = 2, .drop_rows = 2, .kv_bf16 = true, .keep_negative = true};
    if (conure_model_random_open(&model, "mini", 0, 1, NULL, NULL, NULL) != CONURE_OK ||
        engine->open(&self, model, &options, NULL) != CONURE_OK ||
        engine->state_open(self, &state, &caches, NULL) != CONURE_OK ||
        !(mel = calloc((size_t)FRAMES * model->config.mel_bins, sizeof *mel)))
        abort();
    atexit(clean);
}

static uint8_t *save(size_t *bytes)
{
    size_t memory;
    engine->state_bytes(self, state, bytes, &memory);
    uint8_t *saved = malloc(*bytes);
    if (!saved || engine->state_save(self, state, saved, NULL) != CONURE_OK)
        abort();
    return saved;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t n_before, n_after;
    conure_error err;
    if (!model)
        prepare();
    engine->state_reset(self, state);
    uint8_t *before = save(&n_before);
    const conure_status status = engine->state_load(self, state, data, bytes, &err);
    uint8_t *after = save(&n_after);
    const uint8_t *want = status == CONURE_OK ? data : before;
    if (n_after != (status == CONURE_OK ? bytes : n_before) || memcmp(after, want, n_after) != 0)
        abort();
    free(before);
    free(after);
    conure_encode_row row = {.mel = mel, .n_frames = FRAMES, .n_valid = FRAMES, .drop_first = 2, .state = state};
    const conure_status step = engine->encode(self, &row, 1, &err);
    if (step != CONURE_OK && step != CONURE_UNSUPPORTED) /* NeMo's rule may have lost rows */
        abort();
    return 0;
}

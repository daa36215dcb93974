/* stream_steps.c - times steps of cache-aware streaming: the encoder alone, one stream, on its state.
 *
 *     bench_stream_steps MODEL [isa [threads [cache_rows [rows...]]]]     default: native 2 256 6 14
 *
 * For each number of new rows a step brings (half of them look-ahead, as with NeMo's chunk 6, shift 3) and
 * each way to keep keys and values: milliseconds of a step with an empty and with a full cache, median and
 * fastest, and the bytes of the state; and what projecting the cache's rows to keys and values takes, which a
 * step would have to do that kept rows alone (importing a state does it).  The ways take turns step by step,
 * so that what else runs on the machine hits all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine.h"
#include "model/model.h"

enum { WAYS = 3, ROUNDS = 60, ROWS_MAX = 256 };

static const char *const way_names[WAYS] = {"f32", "bf16", "f32 and rows"};

typedef struct contract {
    float *rows, *time; /* last_channel, last_time */
    int64_t length;
} contract;

typedef struct way {
    conure_state *state;
    double empty[ROUNDS], full[ROUNDS]; /* ms */
} way;

static conure_error err;

static void need(conure_status status)
{
    if (status == CONURE_OK)
        return;
    fprintf(stderr, "bench_stream_steps: %s\n", err.text);
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double step_ms(void *self, conure_state *state, const float *mel, uint32_t rows)
{
    conure_encode_row row = {.mel = mel, .n_frames = 9 + 8 * rows, .n_valid = 9 + 8 * rows, .drop_first = 2, .state = state};
    const double start = now_ms();
    need(conure_engine_native_cpu.encode(self, &row, 1, &err));
    return now_ms() - start;
}

/* The contract's tensors of a state that keeps rows. */
static void export_rows(void *self, conure_state *state, const conure_config *c, uint32_t cache_rows, contract *out)
{
    out->rows = calloc((size_t)c->n_layers * cache_rows * c->d_model, sizeof(float));
    out->time = calloc((size_t)c->n_layers * c->d_model * c->conv_kernel, sizeof(float));
    if (!out->rows || !out->time)
        exit(1);
    need(conure_engine_native_cpu.state_export(self, state, out->rows, out->time, &out->length, &err));
}

static double import_ms(void *self, conure_state *state, const contract *from)
{
    const double start = now_ms();
    need(conure_engine_native_cpu.state_import(self, state, from->rows, from->time, from->length, &err));
    return now_ms() - start;
}

static void print(const char *what, double *ms)
{
    qsort(ms, ROUNDS, sizeof *ms, by_value);
    printf("  %s p50 %7.2f min %7.2f ms", what, ms[ROUNDS / 2], ms[0]);
}

static void one_size(void *self, const conure_config *config, const float *mel, uint32_t cache_rows, uint32_t rows)
{
    static way ways[WAYS];
    double projected[ROUNDS];
    contract full;
    const conure_engine *engine = &conure_engine_native_cpu;
    for (int w = 0; w < WAYS; w++) {
        const conure_cache_options options = {
            .cache_rows = cache_rows, .drop_rows = rows / 2, .kv_bf16 = w == 1, .keep_rows = w == 2};
        need(engine->state_open(self, &ways[w].state, &options, &err));
        step_ms(self, ways[w].state, mel, rows);
        engine->state_reset(self, ways[w].state);
    }
    for (int i = 0; i < ROUNDS; i++)
        for (int w = 0; w < WAYS; w++) {
            ways[w].empty[i] = step_ms(self, ways[w].state, mel, rows);
            engine->state_reset(self, ways[w].state);
        }
    for (uint32_t n = 0; n < cache_rows; n += rows - rows / 2)
        for (int w = 0; w < WAYS; w++)
            step_ms(self, ways[w].state, mel, rows);
    export_rows(self, ways[2].state, config, cache_rows, &full);
    for (int i = 0; i < ROUNDS; i++) {
        for (int w = 0; w < WAYS; w++)
            ways[w].full[i] = step_ms(self, ways[w].state, mel, rows);
        projected[i] = import_ms(self, ways[2].state, &full);
    }
    for (int w = 0; w < WAYS; w++) {
        size_t snapshot, memory;
        engine->state_bytes(self, ways[w].state, &snapshot, &memory);
        printf("%3u rows, C %u, %-12s", rows, cache_rows, way_names[w]);
        print("empty:", ways[w].empty);
        print("full:", ways[w].full);
        printf("  state %.2f MB, snapshot %.2f MB\n", 1e-6 * (double)memory, 1e-6 * (double)snapshot);
        engine->state_close(self, &ways[w].state);
    }
    printf("%3u rows, C %u, projecting the cache's rows anew:", rows, cache_rows);
    print("", projected);
    printf("\n");
    free(full.rows);
    free(full.time);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"6", "14"};
    conure_model *model = NULL;
    void *self = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_stream_steps MODEL [isa [threads [cache_rows [rows...]]]]\n");
        return 2;
    }
    need(conure_model_open(&model, argv[1], NULL, &err));
    const conure_engine_options options = {
        .isa = argc > 2 ? argv[2] : "native", .n_threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 2,
        .precision = model->weight_dtype == CONURE_I8 ? CONURE_PRECISION_INT8 : CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO};
    need(conure_engine_native_cpu.open(&self, model, &options, &err));
    const size_t n = (size_t)(9 + 8 * ROWS_MAX) * model->config.mel_bins;
    float *mel = malloc(n * sizeof *mel);
    for (size_t i = 0; mel && i < n; i++)
        mel[i] = (float)(i * 2654435761u % 1000) / 250 - 2;
    printf("%s\n", conure_engine_native_cpu.describe(self));
    const char *const *sizes = argc > 5 ? (const char *const *)argv + 5 : usual;
    for (int i = 0; mel && i < (argc > 5 ? argc - 5 : 2); i++) {
        const int rows = atoi(sizes[i]);
        if (rows > 1 && rows <= ROWS_MAX)
            one_size(self, &model->config, mel, argc > 4 ? (uint32_t)atoi(argv[4]) : 256, (uint32_t)rows);
    }
    free(mel);
    conure_engine_native_cpu.close(&self);
    conure_model_close(&model);
    return 0;
}

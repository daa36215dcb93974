/* row_ops.c - times attention and the other row operations of the CPU backend at the shapes of
 * parakeet-tdt-0.6b-v3 (1024 wide, 8 heads of 128, 9 taps, 256 channels).
 *
 *     bench_row_ops [isa [threads [frames...]]]      default: native 2 75 125 375
 *
 * Prints the median and the fastest of the repetitions in microseconds of one call, and what that is
 * in arithmetic or in bytes moved. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"

enum { WIDTH = 1024, HEADS = 8, KERNEL = 9, CHANNELS = 256, MEL = 128, REPEATS_MAX = 400 };

typedef struct bench {
    conure_cpu cpu;
    conure_kernels kernels;
    uint32_t frames;
    float *q, *k, *v, *dst, *pos, *small, *image, *half;
} bench;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Repeats for about half a second; amount is what one call does, in units of 1e9. */
static void measure(bench *b, const char *name, void (*call)(bench *), double amount,
                    const char *unit)
{
    double times[REPEATS_MAX], end;
    size_t n = 0;
    call(b);
    call(b);
    end = now_s() + 0.5;
    while (n < 5 || (n < REPEATS_MAX && now_s() < end)) {
        const double start = now_s();
        call(b);
        times[n++] = now_s() - start;
    }
    qsort(times, n, sizeof *times, by_value);
    printf("%-22s %6u frames  p50 %9.1f us  min %9.1f us  %7.1f %s (p50)\n", name, b->frames,
           1e6 * times[n / 2], 1e6 * times[0], amount / times[n / 2], unit);
}

static conure_rows rows_of(float *data, uint32_t rows, uint32_t cols)
{
    return (conure_rows){.data = data, .stride = cols, .rows = rows, .cols = cols};
}

static void attend(bench *b, int32_t left, int32_t right)
{
    const conure_span span = {.n_rows = b->frames, .key_end = b->frames};
    const conure_attention a = {.n_heads = HEADS,
                                .head_dim = WIDTH / HEADS,
                                .q = rows_of(b->q, b->frames, WIDTH),
                                .k = rows_of(b->k, b->frames, WIDTH),
                                .v = rows_of(b->v, b->frames, WIDTH),
                                .dst = rows_of(b->dst, b->frames, WIDTH),
                                .bias_u = b->small,
                                .bias_v = b->small + WIDTH,
                                .pos = rows_of(b->pos, 2 * b->frames - 1, WIDTH),
                                .pos_first = (int32_t)b->frames - 1,
                                .spans = &span,
                                .n_spans = 1,
                                .left = left,
                                .right = right,
                                .style = CONURE_REGULAR,
                                .mask = CONURE_MASK_NEMO};
    if (conure_cpu_attention(&b->cpu, &a, NULL) != CONURE_OK)
        exit(1);
}

static void full_attention(bench *b)
{
    attend(b, -1, -1);
}

static void window_attention(bench *b)
{
    attend(b, 64, 64);
}

static void conv(bench *b)
{
    const conure_span span = {.n_rows = b->frames, .key_end = b->frames};
    const conure_conv c = {.src = rows_of(b->q, b->frames, WIDTH),
                           .dst = rows_of(b->dst, b->frames, WIDTH),
                           .weight = b->small,
                           .bias = b->small + KERNEL * WIDTH,
                           .kernel = KERNEL,
                           .left = KERNEL / 2,
                           .spans = &span,
                           .n_spans = 1};
    conure_cpu_conv(&b->cpu, &c, NULL);
}

static void norm(bench *b)
{
    conure_cpu_layer_norm(&b->cpu, rows_of(b->dst, b->frames, WIDTH),
                          rows_of(b->q, b->frames, WIDTH), b->small, b->small + WIDTH, NULL);
}

static void subsample_first(bench *b)
{
    const conure_subsample s = {.src = b->q,
                                .dst = b->image,
                                .height = 8 * b->frames,
                                .width = MEL,
                                .channels = CHANNELS,
                                .relu = true,
                                .weight = b->small,
                                .bias = b->small};
    conure_cpu_subsample(&b->cpu, &s, NULL);
}

static void subsample_depthwise(bench *b)
{
    const conure_subsample s = {.src = b->image,
                                .dst = b->half,
                                .height = 4 * b->frames,
                                .width = MEL / 2,
                                .channels = CHANNELS,
                                .depthwise = true,
                                .weight = b->small,
                                .bias = b->small};
    conure_cpu_subsample(&b->cpu, &s, NULL);
}

static void flatten(bench *b)
{
    conure_cpu_flatten(&b->cpu, rows_of(b->half, b->frames, MEL / 8 * CHANNELS), b->image, MEL / 8,
                       CHANNELS, NULL);
}

static void kernel_rows(bench *b, int which)
{
    for (uint32_t r = 0; r < b->frames; r++) {
        float *dst = b->dst + (size_t)r * WIDTH;
        const float *x = b->q + (size_t)r * WIDTH, *y = b->k + (size_t)r * WIDTH;
        if (which == 0)
            b->kernels.silu_row(dst, x, WIDTH);
        else if (which == 1)
            b->kernels.glu_row(dst, x, y, WIDTH);
        else
            b->kernels.add_scaled_row(dst, x, y, 0.5f, WIDTH);
    }
}

static void silu_rows(bench *b)
{
    kernel_rows(b, 0);
}

static void glu_rows(bench *b)
{
    kernel_rows(b, 1);
}

static void add_rows(bench *b)
{
    kernel_rows(b, 2);
}

static void lstm(bench *b)
{
    conure_cpu_lstm_cell(&b->cpu, rows_of(b->dst, 1, 640), rows_of(b->v, 1, 640),
                         rows_of(b->q, 1, 2560), NULL);
}

static float *random_floats(size_t n)
{
    float *x = conure_alloc_aligned(n * sizeof *x);
    if (!x)
        exit(1);
    uint32_t state = 12345;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    return x;
}

static void run(bench *b)
{
    const double t = b->frames, row = WIDTH * sizeof(float) * 1e-9, pixels = t * 4 * 64 * CHANNELS;
    const size_t n = (size_t)b->frames * WIDTH;
    float **const buffers[] = {&b->q,   &b->k,     &b->v,     &b->dst,
                               &b->pos, &b->small, &b->image, &b->half};
    const size_t sizes[] = {n, n, n, n, 2 * n, 16 * WIDTH, 64 * n, 16 * n};
    for (size_t i = 0; i < 8; i++)
        *buffers[i] = random_floats(sizes[i]);
    measure(b, "attention", full_attention, 6e-9 * t * t * WIDTH, "GFLOP/s");
    measure(b, "attention 64/64", window_attention, 6e-9 * t * fmin(t, 129) * WIDTH, "GFLOP/s");
    measure(b, "conv", conv, 2 * t * row, "GB/s");
    measure(b, "layer_norm", norm, 2 * t * row, "GB/s");
    measure(b, "silu, 1 thread", silu_rows, 2 * t * row, "GB/s");
    measure(b, "glu, 1 thread", glu_rows, 3 * t * row, "GB/s");
    measure(b, "add_scaled, 1 thread", add_rows, 3 * t * row, "GB/s");
    measure(b, "subsample first", subsample_first, 4e-9 * pixels, "GB/s");
    measure(b, "subsample depthwise", subsample_depthwise, 5e-9 * pixels, "GB/s");
    measure(b, "flatten", flatten, 8 * t * row, "GB/s");
    measure(b, "lstm cell 640", lstm, 5 * 640e-9, "G evaluations/s");
    for (size_t i = 0; i < 8; i++)
        free(*buffers[i]);
}

int main(int argc, char **argv)
{
    static const uint32_t frames[] = {75, 125, 375};
    const char *isa = argc > 1 ? argv[1] : "native";
    bench b = {0};
    conure_error err;
    if (conure_cpu_features(&b.cpu.features, isa, &err) != CONURE_OK ||
        conure_pool_open(&b.cpu.pool, argc > 2 ? (uint32_t)atoi(argv[2]) : 2, &err) != CONURE_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    conure_kernels_choose(&b.kernels, b.cpu.features);
    b.cpu.kernels = &b.kernels;
    if (!conure_arena_init(&b.cpu.scratch, 64))
        return 1;
    for (int i = 0; i < (argc > 3 ? argc - 3 : 3); i++) {
        b.frames = argc > 3 ? (uint32_t)atoi(argv[3 + i]) : frames[i];
        run(&b);
    }
    conure_pool_close(&b.cpu.pool);
    conure_arena_free(&b.cpu.scratch);
    return 0;
}

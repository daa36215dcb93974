/* gemm.c - how fast the matrix products are: our linear() at the shapes of a 0.6 B model, beside what
 * the machine can do at most and, where it is installed, beside oneDNN at the same shapes.
 *
 *     bench_gemm [--isa LEVEL] [--precision f32|bf16|int8] [--threads N] [--seconds S] [--warm]
 *                [--shape M,N,K]
 *
 * Times are of calls from outside: ours go from f32 rows to f32 rows with scales and bias.  oneDNN has
 * two columns: the bare product of ready operands, and (int8, bf16) the same with rows converted
 * before and scaled after it by our own kernels, since it has no scale per row; that is what a user of
 * it would pay.  Weights rotate through COLD_BYTES, more
 * than the caches hold, as they do when a whole model runs; --warm keeps to one.  Ours and oneDNN's
 * calls alternate, so a busy machine is busy for both.  Best and median of all repetitions, in time of
 * the thread when there is one (what others take is not counted), else in time of the clock. */
#include "gemm_bench.h"

#include "backend/cpu/kernels.h"
#include "backend/ops.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "model/panels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLD_BYTES  ((size_t)96 << 20)
#define COPIES_MAX  256
#define REPEATS_MAX 20000

typedef struct settings {
    const char *isa;
    uint32_t n_threads;
    double seconds;
    bool warm;
    int precision; /* 0: all */
    struct shape {
        uint32_t m, n, k;
    } only; /* m 0: all */
    clockid_t clock;
    uint32_t features;
} settings;

static const struct shape shapes[] = {
    {75, 1024, 1024},  {75, 4096, 1024},  {75, 1024, 4096},  {75, 2048, 1024}, {125, 1024, 1024},
    {125, 4096, 1024}, {125, 1024, 4096}, {125, 2048, 1024}, {125, 640, 1024}, {375, 1024, 1024},
    {375, 4096, 1024}, {375, 1024, 4096}, {375, 2048, 1024}, {375, 640, 1024}, {125, 8198, 640},
    {1, 8198, 640},    {1, 2560, 640},    {4, 1024, 1024},
};

static const char *const names[] = {"", "f32", "bf16", "int8"};

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_gemm: %s\n", what);
    exit(1);
}

/* ---- our side ---------------------------------------------------------------------------------- */

typedef struct ours {
    void *self;
    conure_weight *weights[COPIES_MAX];
    float *x, *y;
} ours;

static size_t copies_for(const struct shape *s, int precision, bool warm)
{
    const size_t bytes = (size_t)s->n * s->k * (precision == 1 ? 4 : precision == 2 ? 2 : 1);
    const size_t copies = warm ? 1 : COLD_BYTES / bytes + 2;
    return copies < COPIES_MAX ? copies : COPIES_MAX;
}

static void ours_open(ours *o, const settings *set, const struct shape *s, int precision,
                      size_t copies)
{
    const conure_backend_options options = {
        .n_threads = set->n_threads, .isa = set->isa, .precision = (conure_precision)precision};
    conure_error err;
    if (conure_ops_cpu.open(&o->self, &options, &err) != CONURE_OK)
        die(err.text);
    float *w = conure_alloc_aligned((size_t)s->n * s->k * sizeof *w);
    o->x = conure_alloc_aligned((size_t)s->m * s->k * sizeof *w);
    o->y = conure_alloc_aligned((size_t)s->m * s->n * sizeof *w);
    if (!w || !o->x || !o->y)
        die("out of memory");
    for (size_t i = 0; i < (size_t)s->n * s->k; i++)
        w[i] = (float)(i % 251) / 251.0f - 0.5f;
    for (size_t i = 0; i < (size_t)s->m * s->k; i++)
        o->x[i] = (float)(i % 241) / 241.0f - 0.5f;
    memset(o->y, 0, (size_t)s->m * s->n * sizeof *o->y);
    conure_tensor t = {
        .name = "w", .dtype = CONURE_F32, .rank = 2, .shape = {s->n, s->k}, .data = w};
    for (size_t i = 0; i < copies; i++)
        if (conure_ops_cpu.weight_create(o->self, &o->weights[i], &t, NULL, &err) != CONURE_OK)
            die(err.text);
    free(w);
}

static void ours_run(ours *o, const struct shape *s, size_t copy)
{
    const conure_product p = {.weight = o->weights[copy], .dst = {o->y, s->n, s->m, s->n}};
    if (conure_ops_cpu.linear(o->self, (conure_rows){o->x, s->k, s->m, s->k}, &p, 1, NULL) !=
        CONURE_OK)
        die("linear failed");
}

static void ours_close(ours *o, size_t copies)
{
    for (size_t i = 0; i < copies; i++)
        conure_ops_cpu.weight_free(o->self, &o->weights[i]);
    conure_ops_cpu.close(&o->self);
    free(o->x);
    free(o->y);
}

/* ---- measuring --------------------------------------------------------------------------------- */

/* The surroundings of oneDNN's product, one thread. */
typedef struct around {
    conure_kernels kernels;
    float *scales, *row_scales, *bias;
} around;

static void around_open(around *a, uint32_t features, const struct shape *s)
{
    conure_kernels_choose(&a->kernels, features);
    a->scales = conure_calloc(s->n, sizeof(float));
    a->bias = conure_calloc(s->n, sizeof(float));
    a->row_scales = conure_calloc(s->m, sizeof(float));
    if (!a->scales || !a->bias || !a->row_scales)
        die("out of memory");
}

static void around_close(around *a)
{
    free(a->scales);
    free(a->bias);
    free(a->row_scales);
}

static void around_before(around *a, const struct shape *s, int precision, const float *x,
                          void *src)
{
    for (size_t i = 0; i < s->m; i++)
        if (precision == CONURE_PRECISION_INT8)
            a->row_scales[i] =
                a->kernels.quantize_row((uint8_t *)src + i * s->k, x + i * s->k, s->k, s->k);
        else if (precision == CONURE_PRECISION_BF16)
            a->kernels.f32_to_bf16_row((uint16_t *)src + i * s->k, x + i * s->k, s->k, s->k);
}

static void around_after(around *a, const struct shape *s, int precision, const void *dst, float *y)
{
    conure_finish f = {.m = s->m, .n = s->n, .dst = y, .ldd = s->n, .sums = dst, .lds = s->n};
    f.bias = a->bias;
    f.row_scales = a->row_scales;
    f.scales = a->scales;
    if (precision == CONURE_PRECISION_INT8) /* the others have a bias in oneDNN */
        a->kernels.finish(&f);
}

typedef struct times {
    double s[REPEATS_MAX];
    size_t n;
} times;

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Best and median, in G operations a second. */
static void rates(times *t, const struct shape *s, double *best, double *median)
{
    const double giga = 2e-9 * s->m * s->n * s->k;
    qsort(t->s, t->n, sizeof *t->s, by_size);
    *best = giga / t->s[0];
    *median = giga / t->s[t->n / 2];
}

static void bench_shape(const settings *set, const struct shape *s, int precision, double peak)
{
    static times mine, theirs, bare;
    static ours o;
    static around a;
    const size_t copies = copies_for(s, precision, set->warm);
    bench_dnnl *dnnl = bench_dnnl_open(s->m, s->n, s->k, precision, copies, set->n_threads);
    ours_open(&o, set, s, precision, copies);
    around_open(&a, set->features, s);
    mine.n = theirs.n = bare.n = 0;
    const double start = now_s(set->clock);
    for (size_t i = 0; now_s(set->clock) - start < set->seconds && i < REPEATS_MAX; i++) {
        const double t0 = now_s(set->clock);
        ours_run(&o, s, i % copies);
        const double t1 = now_s(set->clock);
        if (dnnl)
            around_before(&a, s, precision, o.x, bench_dnnl_src(dnnl));
        const double t2 = now_s(set->clock);
        if (dnnl)
            bench_dnnl_run(dnnl, i % copies);
        const double t3 = now_s(set->clock);
        if (dnnl)
            around_after(&a, s, precision, bench_dnnl_dst(dnnl), o.y);
        const double t4 = now_s(set->clock);
        if (i < 2) /* scratch grows, code is made */
            continue;
        mine.s[mine.n++] = t1 - t0;
        bare.s[bare.n++] = t3 - t2;
        theirs.s[theirs.n++] = t4 - t1;
    }
    if (mine.n) {
        double best, median;
        rates(&mine, s, &best, &median);
        printf("%-5s %4u %5u %5u  %8.1f %8.1f  %4.0f%%", names[precision], s->m, s->n, s->k, best,
               median, 100 * best / (peak * set->n_threads));
        if (dnnl) {
            rates(&theirs, s, &best, &median);
            printf("  %8.1f %8.1f", best, median);
            rates(&bare, s, &best, &median);
            printf("  %8.1f %8.1f", best, median);
        }
        printf("\n");
        fflush(stdout);
    }
    bench_dnnl_close(dnnl);
    around_close(&a);
    ours_close(&o, copies);
}

/* ---- command line ------------------------------------------------------------------------------ */

static void parse(settings *set, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--warm") == 0) {
            set->warm = true;
            continue;
        }
        if (!value)
            die("an option lacks its value");
        if (strcmp(argv[i], "--isa") == 0)
            set->isa = value;
        else if (strcmp(argv[i], "--threads") == 0)
            set->n_threads = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            set->seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--precision") == 0)
            for (int p = 1; p <= 3; p++)
                set->precision = strcmp(value, names[p]) == 0 ? p : set->precision;
        else if (strcmp(argv[i], "--shape") == 0 &&
                 sscanf(value, "%u,%u,%u", &set->only.m, &set->only.n, &set->only.k) == 3)
            ;
        else
            die("options: --isa L --precision f32|bf16|int8 --threads N --seconds S --warm "
                "--shape M,N,K");
        i++;
    }
}

int main(int argc, char **argv)
{
    settings set = {.n_threads = 1, .seconds = 0.5};
    char text[128];
    conure_error err;
    parse(&set, argc, argv);
    set.clock = set.n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    if (conure_cpu_features(&set.features, set.isa, &err) != CONURE_OK)
        die(err.text);
    printf("%s: ", conure_cpu_name(text, sizeof text));
    printf("%s, %u threads, weights %s\n",
           conure_cpu_features_text(set.features, text, sizeof text), set.n_threads,
           set.warm ? "in the cache" : "from memory");
    printf("G operations/s; peak is per thread\n");
    printf("%-5s %4s %5s %5s  %8s %8s  %5s  %8s %8s  %8s %8s\n", "type", "m", "n", "k", "best",
           "median", "peak", "oneDNN", "median", "bare", "median");
    for (int precision = 1; precision <= 3; precision++) {
        if (set.precision && set.precision != precision)
            continue;
        const double peak = bench_peak(set.features, precision);
        printf("%-5s peak of one core %.1f\n", names[precision], peak);
        if (set.only.m)
            bench_shape(&set, &set.only, precision, peak);
        for (size_t i = 0; !set.only.m && i < sizeof shapes / sizeof *shapes; i++)
            bench_shape(&set, &shapes[i], precision, peak);
    }
    return 0;
}

/* weight.c - tensors of any type and layout to panels of the type that this precision computes with.
 * A tensor that is such panels already is used where it lies. */
#include "backend/cpu/weight.h"

#include "backend/cpu/cpu.h"
#include "base/inject.h"
#include "model/panels.h"

#include <stdlib.h>
#include <string.h>

/* 255 * 127 * 65536 stays within int32. */
#define INT8_K_MAX 65536u

/* Panels that one item of the pool packs: 64 rows. */
#define PANELS_PER_ITEM 4u

typedef struct packing {
    const conure_tensor *tensor;
    conure_dtype dtype;
    size_t n, k, lines;
    uint8_t *panels;
    float *scales;
    int32_t *sums;
    float *scratch; /* [threads][16][k] */
} packing;

static conure_dtype dtype_of(conure_precision precision)
{
    return precision == CONURE_PRECISION_INT8   ? CONURE_I8
           : precision == CONURE_PRECISION_BF16 ? CONURE_BF16
                                                : CONURE_F32;
}

/* Sums over k of the columns of one panel of int8. */
static void sum_panel(int32_t *sums, const int8_t *panel, size_t columns, size_t lines)
{
    int32_t total[CONURE_PANEL_COLUMNS] = {0};
    for (size_t l = 0; l < lines; l++)
        for (size_t j = 0; j < CONURE_PANEL_COLUMNS; j++) {
            const int8_t *four = panel + l * 64 + j * 4;
            total[j] += four[0] + four[1] + four[2] + four[3];
        }
    memcpy(sums, total, columns * sizeof *sums);
}

/* int8 stays int8, with the file's scales; sums are made here when the file has none. */
static void pack_int8_panel(const packing *p, size_t panel, size_t columns)
{
    const conure_tensor *tensor = p->tensor;
    const size_t row = panel * CONURE_PANEL_COLUMNS, panel_bytes = p->lines * 64;
    int8_t *to = (int8_t *)p->panels + panel * panel_bytes;
    if (tensor->layout == CONURE_PANELS)
        memcpy(to, (const int8_t *)tensor->data + panel * panel_bytes, panel_bytes);
    else
        conure_panels_pack_bits(CONURE_I8, to, (const int8_t *)tensor->data + row * p->k, columns,
                                p->k);
    memcpy(p->scales + row, tensor->scales + row, columns * sizeof *p->scales);
    sum_panel(p->sums + row, to, columns, p->lines);
}

static void pack_item(void *arg, uint32_t item, uint32_t worker)
{
    const packing *p = arg;
    const size_t n_panels = (p->n + CONURE_PANEL_COLUMNS - 1) / CONURE_PANEL_COLUMNS;
    const size_t first = (size_t)item * PANELS_PER_ITEM;
    for (size_t panel = first; panel < first + PANELS_PER_ITEM && panel < n_panels; panel++) {
        const size_t row = panel * CONURE_PANEL_COLUMNS;
        const size_t columns =
            p->n - row < CONURE_PANEL_COLUMNS ? p->n - row : CONURE_PANEL_COLUMNS;
        if (p->dtype == CONURE_I8 && p->tensor->dtype == CONURE_I8)
            pack_int8_panel(p, panel, columns);
        else
            conure_panels_from_tensor(p->dtype, p->panels + panel * p->lines * 64,
                                      p->scales ? p->scales + row : NULL,
                                      p->sums ? p->sums + row : NULL, p->tensor, panel, 1,
                                      p->scratch + (size_t)worker * CONURE_PANEL_COLUMNS * p->k);
    }
}

static conure_status check(const conure_tensor *tensor, conure_dtype dtype, conure_error *err)
{
    const char *name = tensor->name ? tensor->name : "weight";
    const uint64_t n = conure_tensor_n(tensor), k = conure_tensor_k(tensor);
    if (!tensor->data || n == 0 || k == 0)
        return conure_fail(err, CONURE_BAD_ARG, "%s: an empty matrix [%llu, %llu]", name,
                           (unsigned long long)n, (unsigned long long)k);
    if (dtype == CONURE_I8 && k > INT8_K_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "%s: %llu inputs, int8 sums hold at most %u: use --precision f32", name,
                           (unsigned long long)k, INT8_K_MAX);
    if (tensor->dtype == CONURE_I8 && !tensor->scales)
        return conure_fail(err, CONURE_BAD_ARG, "%s: int8 without scales", name);
    return CONURE_OK;
}

/* Whether the tensor's own memory will do; the kernels take any alignment, but pay for a bad one. */
static bool usable_in_place(const conure_tensor *tensor, conure_dtype dtype)
{
    return tensor->layout == CONURE_PANELS && tensor->dtype == dtype &&
           (uintptr_t)tensor->data % CONURE_ALIGN == 0;
}

/* Bytes of the owned block: bias, then what the tensor does not already provide; 0 on overflow. */
typedef struct sizes {
    size_t bias, scales, sums, panels, all;
} sizes;

static bool measure(sizes *s, size_t n, size_t panel_bytes, bool own_scales, bool own_sums)
{
    size_t padded, vector;
    if (!conure_add(n, CONURE_PANEL_COLUMNS - 1, &padded) ||
        !conure_mul(padded / CONURE_PANEL_COLUMNS, CONURE_ALIGN, &vector))
        return false;
    s->bias = vector;
    s->scales = own_scales ? vector : 0;
    s->sums = own_sums ? vector : 0;
    s->panels = panel_bytes;
    return conure_add(s->bias, s->scales, &s->all) && conure_add(s->all, s->sums, &s->all) &&
           conure_add(s->all, s->panels, &s->all);
}

/* To ten bits behind the point, to nearest, as TF32 takes the inputs of a product. */
static void round_to_tf32(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bits = (bits + 0x1000u) & ~0x1fffu;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

/* The converted copy, in parallel. */
static conure_status pack(conure_cpu *cpu, packing *p, conure_error *err)
{
    size_t floats;
    const size_t n_panels = (p->n + CONURE_PANEL_COLUMNS - 1) / CONURE_PANEL_COLUMNS;
    const size_t n_items = (n_panels + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM;
    const size_t n_rows = (size_t)conure_pool_threads(cpu->pool) * CONURE_PANEL_COLUMNS;
    if (!conure_mul(n_rows, p->k, &floats) || !conure_mul(floats, sizeof *p->scratch, &floats) ||
        n_items > UINT32_MAX)
        return conure_fail_memory(err, p->tensor->name, SIZE_MAX);
    p->scratch = conure_alloc_aligned(floats);
    if (!p->scratch)
        return conure_fail_memory(err, "packing weights", floats);
    conure_pool_run(cpu->pool, (uint32_t)n_items, pack_item, p);
    free(p->scratch);
    return CONURE_OK;
}

static conure_status fill(conure_cpu *cpu, conure_weight *w, const conure_tensor *tensor,
                          const float *bias, conure_error *err)
{
    const conure_dtype dtype = dtype_of(w->precision);
    const bool in_place = usable_in_place(tensor, dtype), int8 = dtype == CONURE_I8;
    const bool own_sums = int8 && !(in_place && tensor->sums), own_scales = int8 && !in_place;
    const size_t panel_bytes = conure_panel_bytes(dtype, w->n, w->k);
    sizes s;
    if (panel_bytes == 0 || !measure(&s, w->n, in_place ? 0 : panel_bytes, own_scales, own_sums))
        return conure_fail_memory(err, tensor->name, SIZE_MAX);
    uint8_t *block = conure_alloc_aligned(s.all);
    if (!block)
        return conure_fail_memory(err, "a weight matrix", s.all);
    w->owned = block;
    memset(block, 0, s.bias + s.scales + s.sums);
    if (bias)
        memcpy(block, bias, w->n * sizeof *bias);
    packing p = {tensor, dtype, w->n, w->k, w->lines, NULL, NULL, NULL, NULL};
    p.scales = own_scales ? (float *)(void *)(block + s.bias) : NULL;
    p.sums = own_sums ? (int32_t *)(void *)(block + s.bias + s.scales) : NULL;
    p.panels = in_place ? NULL : block + s.bias + s.scales + s.sums;
    w->bias = (const float *)(const void *)block;
    w->scales = own_scales ? p.scales : tensor->scales;
    w->sums = own_sums ? p.sums : tensor->sums;
    w->panels = in_place ? tensor->data : p.panels;
    w->borrows = in_place;
    if (!in_place) {
        const conure_status status = pack(cpu, &p, err);
        if (CONURE_INJECTED(CHANNEL_SCALE) && own_scales && strstr(tensor->name, "layers.0.feed_forward1.linear1"))
            p.scales[0] *= 8;
        if (CONURE_INJECTED(TF32_ON) && dtype == CONURE_F32)
            round_to_tf32((float *)(void *)p.panels, panel_bytes / sizeof(float));
        return status;
    }
    for (size_t row = 0; own_sums && row < w->n; row += CONURE_PANEL_COLUMNS)
        sum_panel(p.sums + row,
                  (const int8_t *)w->panels + row / CONURE_PANEL_COLUMNS * w->lines * 64,
                  w->n - row < CONURE_PANEL_COLUMNS ? w->n - row : CONURE_PANEL_COLUMNS, w->lines);
    return CONURE_OK;
}

conure_status conure_cpu_weight_create(void *self, conure_weight **out, const conure_tensor *matrix,
                                       const float *bias, conure_error *err)
{
    conure_cpu *cpu = self;
    const conure_dtype dtype = dtype_of(cpu->precision);
    conure_weight *w = NULL;
    *out = NULL;
    conure_status status = check(matrix, dtype, err);
    if (status != CONURE_OK)
        return status;
    w = conure_calloc(1, sizeof *w);
    if (!w)
        return conure_fail_memory(err, "a weight", sizeof *w);
    w->n = conure_tensor_n(matrix);
    w->k = conure_tensor_k(matrix);
    w->lines = conure_panel_lines(dtype, w->k);
    w->precision = cpu->precision;
    status = fill(cpu, w, matrix, bias, err);
    if (status == CONURE_OK)
        *out = w;
    else
        conure_cpu_weight_free(self, &w);
    return status;
}

bool conure_cpu_weight_borrows(const conure_weight *weight)
{
    return weight->borrows;
}

void conure_cpu_weight_free(void *self, conure_weight **weight)
{
    (void)self;
    if (!weight || !*weight)
        return;
    free((*weight)->owned);
    free(*weight);
    *weight = NULL;
}

/* linear.c - products of activation rows with weights, cut into items for the pool.
 *
 * An item is some groups of 64 columns (4 panels) by up to 128 rows: its tile of sums stays in the
 * cache until finish() has written it to the caller's rows, activation and all.  Items that share
 * columns follow one another, so a panel comes from memory once.  Rows are brought to int8 or bf16
 * once for all products of a call. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/weight.h"

#include <assert.h>

#define GROUP_COLUMNS 64u
#define TILE_ROWS_MAX 128u
#define TILE_ROWS_MIN 24u
#define TILE_BYTES    (TILE_ROWS_MAX * GROUP_COLUMNS * sizeof(float))

/* What a line of a panel costs, roughly: to bring it here, and per row.  Only the proportions to the
 * cost of handing out an item (under 1000 ns) matter. */
#define LINE_NS     2.0
#define LINE_ROW_NS 0.3
#define ITEM_NS     15000.0
#define ALONE_NS    10000.0 /* less than this in all is not worth a second thread */

/* One product and the items it is cut into. */
typedef struct part {
    const conure_weight *weight;
    const conure_product *product;
    conure_epilogue epilogue;
    conure_rows dst;  /* the product's, or scratch when GLU does not fit panels */
    uint32_t columns; /* of dst */
    uint32_t n_groups, groups_per_item;
    uint32_t n_items; /* column ranges times row ranges */
} part;

typedef struct job {
    const conure_kernels *kernels;
    conure_precision precision;
    conure_rows src;
    const uint8_t *a; /* rows as the kernels take them: src itself for f32 */
    size_t row_bytes;
    uint8_t *converted; /* the same, to be written */
    float *row_scales;
    uint32_t rows_per_item, n_row_items;
    uint32_t convert_rows; /* rows in one item of conversion */
    part *parts;
    uint8_t *tiles; /* two for each thread */
} job;

static uint32_t ceil_div(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

/* ---- rows to the kernels' type ----------------------------------------------------------------- */

static void convert_item(void *arg, uint32_t item, uint32_t worker)
{
    const job *j = arg;
    const size_t first = (size_t)item * j->convert_rows, k = j->src.cols;
    (void)worker;
    for (size_t i = first; i < first + j->convert_rows && i < j->src.rows; i++) {
        const float *x = j->src.data + i * j->src.stride;
        uint8_t *to = j->converted + i * j->row_bytes;
        if (j->precision == CONURE_PRECISION_INT8)
            j->row_scales[i] = j->kernels->quantize_row(to, x, k, j->row_bytes);
        else
            j->kernels->f32_to_bf16_row((uint16_t *)(void *)to, x, k, j->row_bytes / 2);
    }
}

/* ---- items ------------------------------------------------------------------------------------- */

/* sums[rows][columns] of one tile; columns begin at a panel. */
static void multiply(const job *j, const conure_weight *w, void *sums, size_t row, size_t rows,
                     size_t column, size_t columns)
{
    const uint8_t *a = j->a + row * j->row_bytes;
    const uint8_t *panels =
        (const uint8_t *)w->panels + column / CONURE_PANEL_COLUMNS * w->lines * 64;
    switch (j->precision) {
    case CONURE_PRECISION_INT8:
        j->kernels->gemm_int8(sums, GROUP_COLUMNS, a, j->row_bytes, rows, (const int8_t *)panels,
                              w->sums + column, columns, w->lines);
        break;
    case CONURE_PRECISION_BF16:
        j->kernels->gemm_bf16(sums, GROUP_COLUMNS, (const uint16_t *)(const void *)a,
                              j->row_bytes / 2, rows, (const uint16_t *)(const void *)panels,
                              columns, w->lines, 0);
        break;
    default:
        j->kernels->gemm_f32(sums, GROUP_COLUMNS, (const float *)(const void *)a,
                             j->row_bytes / sizeof(float), rows,
                             (const float *)(const void *)panels, columns, w->lines, 0);
    }
}

static void tile(const job *j, const part *p, uint8_t *tiles, size_t row, size_t rows,
                 size_t column)
{
    const conure_weight *w = p->weight;
    const conure_rows *residual = &p->product->residual;
    const size_t half = w->n / 2;
    const bool int8 = j->precision == CONURE_PRECISION_INT8;
    conure_finish f = {.kind = (int)p->epilogue, .m = rows, .lds = GROUP_COLUMNS, .sums = tiles};
    f.n = p->columns - column < GROUP_COLUMNS ? p->columns - column : GROUP_COLUMNS;
    f.dst = p->dst.data + row * p->dst.stride + column;
    f.ldd = p->dst.stride;
    f.bias = w->bias + column;
    f.row_scales = int8 ? j->row_scales + row : NULL;
    f.scales = int8 ? w->scales + column : NULL;
    multiply(j, w, tiles, row, rows, column, f.n);
    if (p->epilogue == CONURE_GLU) {
        f.gate = tiles + TILE_BYTES;
        f.gate_bias = f.bias + half;
        f.gate_scales = int8 ? f.scales + half : NULL;
        multiply(j, w, tiles + TILE_BYTES, row, rows, half + column, f.n);
    }
    if (p->epilogue == CONURE_ADD) {
        f.residual = residual->data ? residual->data + row * residual->stride + column : NULL;
        f.ldr = residual->stride;
        f.alpha = p->product->alpha;
    }
    j->kernels->finish(&f);
}

static void multiply_item(void *arg, uint32_t item, uint32_t worker)
{
    const job *j = arg;
    const part *p = j->parts;
    for (; item >= p->n_items; p++)
        item -= p->n_items;
    const uint32_t row = item % j->n_row_items * j->rows_per_item;
    const uint32_t first = item / j->n_row_items * p->groups_per_item;
    const uint32_t left = j->src.rows - row, more = p->n_groups - first;
    const uint32_t rows = left < j->rows_per_item ? left : j->rows_per_item;
    const uint32_t groups = more < p->groups_per_item ? more : p->groups_per_item;
    for (uint32_t g = first; g < first + groups; g++)
        tile(j, p, j->tiles + (size_t)worker * 2 * TILE_BYTES, row, rows,
             (size_t)g * GROUP_COLUMNS);
}

/* ---- cutting ----------------------------------------------------------------------------------- */

/* The two halves of a GLU are read side by side, so the second must begin at a panel. */
static bool glu_by_panels(const conure_weight *w)
{
    return w->n / 2 % CONURE_PANEL_COLUMNS == 0;
}

static void set_part(part *p, const conure_product *product)
{
    const conure_weight *w = product->weight;
    const bool halves = product->epilogue == CONURE_GLU && glu_by_panels(w);
    p->weight = w;
    p->product = product;
    p->dst = product->dst;
    p->epilogue = product->epilogue == CONURE_GLU && !halves ? CONURE_STORE : product->epilogue;
    p->columns = (uint32_t)(halves ? w->n / 2 : w->n);
    p->n_groups = ceil_div(p->columns, GROUP_COLUMNS);
}

/* Tall tiles, but enough items that a thread which loses its core for a while is made up for; wide
 * items only where few rows make a group of columns too little work to hand out. */
static uint32_t cut(job *j, uint32_t n_products, uint32_t n_threads)
{
    const uint32_t rows = j->src.rows, n_wanted = n_threads > 1 ? 4 * n_threads : 1;
    uint32_t n_groups = 0, n_items = 0;
    double total_ns = 0;
    j->n_row_items = ceil_div(rows, TILE_ROWS_MAX);
    for (uint32_t i = 0; i < n_products; i++)
        n_groups += j->parts[i].n_groups;
    while (j->n_row_items * n_groups < n_wanted && rows / (j->n_row_items + 1) >= TILE_ROWS_MIN)
        j->n_row_items++;
    j->rows_per_item = ceil_div(rows, j->n_row_items);
    j->n_row_items = ceil_div(rows, j->rows_per_item);
    for (uint32_t i = 0; i < n_products; i++)
        total_ns += (double)j->parts[i].weight->n / 16 * (double)j->parts[i].weight->lines *
                    (LINE_NS * j->n_row_items + LINE_ROW_NS * rows);
    for (uint32_t i = 0; i < n_products; i++) {
        part *p = &j->parts[i];
        const uint32_t fair = p->n_groups / (2 * n_threads);
        const double group_ns = total_ns / n_groups / j->n_row_items;
        uint32_t g = 1 + (uint32_t)(ITEM_NS / group_ns);
        g = g > fair ? fair : g;
        p->groups_per_item = total_ns < ALONE_NS ? p->n_groups : g ? g : 1;
        p->n_items = ceil_div(p->n_groups, p->groups_per_item) * j->n_row_items;
        n_items += p->n_items;
    }
    return n_items;
}

/* ---- scratch ----------------------------------------------------------------------------------- */

/* An odd number of cache lines, so that rows below one another do not compete for the same ways. */
static size_t converted_row_bytes(size_t k, size_t elem_bytes)
{
    const size_t lines = (k * elem_bytes + CONURE_ALIGN - 1) / CONURE_ALIGN;
    return (lines | 1) * CONURE_ALIGN;
}

/* Everything a call takes from the arena, with room for the alignment of each take. */
static conure_status reserve(conure_cpu *cpu, job *j, const conure_product *products,
                             uint32_t n_products, conure_error *err)
{
    const size_t rows = j->src.rows, n_threads = conure_pool_threads(cpu->pool);
    const size_t converted = j->precision == CONURE_PRECISION_F32 ? 0 : j->row_bytes;
    size_t bytes, more;
    bool fits = conure_mul(rows, converted + sizeof *j->row_scales, &bytes);
    for (uint32_t i = 0; i < n_products; i++)
        if (products[i].epilogue == CONURE_GLU && !glu_by_panels(products[i].weight))
            fits = fits && conure_mul(rows, products[i].weight->n * sizeof(float), &more) &&
                   conure_add(bytes, more + 2 * CONURE_ALIGN, &bytes);
    more = n_products * sizeof(part) + n_threads * 2 * TILE_BYTES + 8 * CONURE_ALIGN;
    fits = fits && conure_add(bytes, more, &bytes);
    if (!fits || !conure_arena_reserve(&cpu->scratch, bytes))
        return conure_fail_memory(err, "the scratch of a matrix product", fits ? bytes : SIZE_MAX);
    j->parts = conure_arena_take(&cpu->scratch, n_products, sizeof(part));
    j->tiles = conure_arena_take(&cpu->scratch, n_threads, 2 * TILE_BYTES);
    j->row_scales = conure_arena_take(&cpu->scratch, rows, sizeof *j->row_scales);
    j->converted = conure_arena_take(&cpu->scratch, rows, converted);
    if (!j->parts || !j->tiles || !j->row_scales || !j->converted)
        return conure_fail_memory(err, "the scratch of a matrix product", bytes);
    for (uint32_t i = 0; i < n_products; i++) {
        part *p = &j->parts[i];
        set_part(p, &products[i]);
        if (products[i].epilogue != CONURE_GLU || p->epilogue == CONURE_GLU)
            continue;
        p->dst.stride = p->dst.cols = p->columns;
        p->dst.data = conure_arena_take(&cpu->scratch, rows * p->columns, sizeof(float));
        if (!p->dst.data)
            return conure_fail_memory(err, "the scratch of a matrix product", bytes);
    }
    return CONURE_OK;
}

/* ---- the call ---------------------------------------------------------------------------------- */

static void convert(conure_cpu *cpu, job *j)
{
    if (j->precision == CONURE_PRECISION_F32) {
        j->a = (const uint8_t *)j->src.data;
        return;
    }
    j->a = j->converted;
    j->convert_rows = 1 + 16384 / j->src.cols;
    conure_pool_run(cpu->pool, ceil_div(j->src.rows, j->convert_rows), convert_item, j);
}

/* GLU of products whose halves do not begin at a panel: sums went to scratch whole. */
static void finish_glu(const job *j, uint32_t n_products)
{
    for (uint32_t i = 0; i < n_products; i++) {
        const part *p = &j->parts[i];
        const conure_rows *dst = &p->product->dst;
        const size_t half = p->weight->n / 2;
        if (p->product->epilogue != CONURE_GLU || p->epilogue == CONURE_GLU)
            continue;
        for (size_t r = 0; r < j->src.rows; r++) {
            const float *y = p->dst.data + r * p->dst.stride;
            j->kernels->glu_row(dst->data + r * dst->stride, y, y + half, half);
        }
    }
}

conure_status conure_cpu_linear(void *self, conure_rows src, const conure_product *products,
                                uint32_t n_products, conure_error *err)
{
    conure_cpu *cpu = self;
    if (src.rows == 0 || n_products == 0)
        return CONURE_OK;
    for (uint32_t i = 0; i < n_products; i++) {
        const conure_weight *w = products[i].weight;
        assert(w->k == src.cols && w->precision == cpu->precision);
        assert(products[i].dst.rows == src.rows);
        assert(products[i].dst.cols == (products[i].epilogue == CONURE_GLU ? w->n / 2 : w->n));
        (void)w;
    }
    job j = {.kernels = cpu->kernels, .precision = cpu->precision, .src = src};
    j.row_bytes =
        cpu->precision == CONURE_PRECISION_F32
            ? src.stride * sizeof(float)
            : converted_row_bytes(src.cols, cpu->precision == CONURE_PRECISION_BF16 ? 2 : 1);
    const size_t mark = cpu->scratch.used;
    const conure_status status = reserve(cpu, &j, products, n_products, err);
    if (status == CONURE_OK) {
        const uint32_t n_items = cut(&j, n_products, conure_pool_threads(cpu->pool));
        convert(cpu, &j);
        conure_pool_run(cpu->pool, n_items, multiply_item, &j);
        finish_glu(&j, n_products);
    }
    cpu->scratch.used = mark;
    return status;
}

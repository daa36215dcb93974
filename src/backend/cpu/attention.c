/* attention.c - relative-position attention (spec 3.3) on the CPU, all in f32.
 *
 *     S[i][j] = ((q_i + u) . k_j + (q_i + w) . R_(p_i - j)) / sqrt(head_dim),  p_i = n_past + i
 *
 * The position scores of a block of queries are one product with a contiguous range of position rows:
 * query i needs rows from one place on, query i + 1 the same range moved by one.  So the product is
 * laid out with row length L, and the same memory read with row length L - 1 has S's second term in
 * place: the content scores are then added on top, and nothing is ever shifted.
 *
 * Memory: the panels of a few heads and, per thread, one block of scores [BLOCK][keys]; never
 * [queries][keys]. */
#include "backend/cpu/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"

#define BLOCK CONURE_ATT_BLOCK
/* Panels of as many units as fit are packed at once; always at least one unit. */
#define WAVE_BYTES  ((size_t)16 << 20)
#define WAVE_UNITS  256u
#define NEMO_MASKED (-10000.0f) /* INF_VAL of NeMo's attention */

typedef struct att_job {
    const conure_attention *a;
    const conure_kernels *kernels;
    conure_att_unit *units; /* of the wave */
    uint32_t n_units;
    size_t score_stride; /* L - 1: a multiple of 16 */
    float *workers;      /* [threads][worker_floats] */
    size_t worker_floats;
    float scale;
} att_job;

/* One worker's room. */
typedef struct att_room {
    float *u, *w;   /* [head_dim]: the biases times scale */
    float *qu, *qw; /* [BLOCK][head_dim]: (q + bias) * scale */
    float *scores; /* [BLOCK][L], then read as [BLOCK][L - 1] from BLOCK - 1 on, which is aligned */
} att_room;

static size_t round16(size_t n)
{
    return (n + 15) / 16 * 16;
}

/* Floats, a multiple of 16, so that every worker's room is aligned. */
static size_t room_floats(uint32_t head_dim, size_t score_stride)
{
    return round16(2 * (size_t)head_dim) + 2 * round16((size_t)BLOCK * head_dim) +
           round16(BLOCK * (score_stride + 1) + 1);
}

static att_room room_of(const att_job *job, uint32_t worker)
{
    const size_t dim = job->a->head_dim;
    att_room room;
    room.u = job->workers + worker * job->worker_floats;
    room.w = room.u + dim;
    room.qu = room.u + round16(2 * dim);
    room.qw = room.qu + round16(BLOCK * dim);
    room.scores = room.qw + round16(BLOCK * dim) + 1; /* + 1 + BLOCK - 1 is a multiple of 16 */
    return room;
}

/* ---- packing ---------------------------------------------------------------------------------
 * An item packs 16 rows of keys, of values or of positions for all heads of one utterance that are in
 * the wave: head after head along the rows, so that memory is read in long runs. */

static size_t tiles(size_t n)
{
    return (n + 15) / 16;
}

static void pack_keys(const att_job *job, const conure_att_unit *unit, size_t row)
{
    const conure_rows k = job->a->k;
    const size_t dim = job->a->head_dim, n = unit->n_keys - row < 16 ? unit->n_keys - row : 16;
    const size_t first = unit->span->kv_row + (size_t)unit->key_first + row;
    job->kernels->pack_panel(unit->k_panels + row * dim,
                             k.data + first * k.stride + unit->head * dim, k.stride, n, dim);
}

/* Values are summed over keys, so their panels keep the rows and cut the columns. */
static void pack_values(const att_job *job, const conure_att_unit *unit, size_t row)
{
    const conure_rows v = job->a->v;
    const size_t dim = job->a->head_dim, end = unit->n_keys - row < 16 ? unit->n_keys : row + 16;
    const float *src =
        v.data + unit->head * dim + (unit->span->kv_row + (size_t)unit->key_first) * v.stride;
    for (size_t column = 0; column < dim; column += 16) {
        float *panel = unit->v_panels + column * unit->n_keys;
        const size_t n = dim - column < 16 ? dim - column : 16;
        for (size_t i = row; i < end; i++) {
            if (n == 16) {
                memcpy(panel + i * 16, src + i * v.stride + column,
                       16 * sizeof *src); /* one move */
            } else {
                memcpy(panel + i * 16, src + i * v.stride + column, n * sizeof *src);
                memset(panel + i * 16 + n, 0, (16 - n) * sizeof *src);
            }
        }
    }
}

/* As pack_keys(), but lines outside the matrix (which no score reads) are zeros. */
static void pack_positions(const att_job *job, const conure_att_unit *unit, size_t line)
{
    const conure_rows pos = job->a->pos;
    const size_t dim = job->a->head_dim;
    const int64_t row = unit->pos_first + (int64_t)line;
    const float *src = pos.data + unit->head * dim;
    float *panel = unit->pos_panels + line * dim;
    if (row >= 0 && row + 16 <= (int64_t)pos.rows) {
        job->kernels->pack_panel(panel, src + (size_t)row * pos.stride, pos.stride, 16, dim);
        return;
    }
    for (size_t k = 0; k < dim; k++)
        for (int64_t i = 0; i < 16; i++)
            panel[k * 16 + (size_t)i] = row + i >= 0 && row + i < (int64_t)pos.rows
                                            ? src[(size_t)(row + i) * pos.stride + k]
                                            : 0.0f;
}

/* Items of the units that share the span of this one, the first of them. */
static size_t pack_items(const conure_att_unit *unit)
{
    return 2 * tiles(unit->n_keys) + tiles(unit->n_pos);
}

/* The unit behind those that share its span. */
static const conure_att_unit *next_span(const att_job *job, const conure_att_unit *unit)
{
    const conure_att_unit *const end = job->units + job->n_units, *next = unit;
    while (next < end && next->span == unit->span)
        next++;
    return next;
}

static void pack_item(void *arg, uint32_t item, uint32_t worker)
{
    const att_job *job = arg;
    const conure_att_unit *first = job->units;
    size_t tile = item;
    (void)worker;
    for (; tile >= pack_items(first); first = next_span(job, first))
        tile -= pack_items(first);
    const size_t n_keys = tiles(first->n_keys);
    for (const conure_att_unit *unit = first; unit != next_span(job, first); unit++) {
        if (tile < n_keys)
            pack_keys(job, unit, 16 * tile);
        else if (tile < 2 * n_keys)
            pack_values(job, unit, 16 * (tile - n_keys));
        else
            pack_positions(job, unit, 16 * (tile - 2 * n_keys));
    }
}

/* ---- one block of queries --------------------------------------------------------------------- */

typedef struct att_block {
    const conure_att_unit *unit;
    uint32_t row, n_rows; /* queries, rows of the span */
    uint32_t index;       /* in the unit */
    uint32_t first, end;  /* keys that the block looks at, positions; first is on a panel */
} att_block;

static void add_biases(const att_job *job, const att_room *room, const att_block *block)
{
    const conure_attention *a = job->a;
    const size_t dim = a->head_dim, column = block->unit->head * dim;
    for (size_t d = 0; d < dim; d++) {
        room->u[d] = a->bias_u[column + d] * job->scale;
        room->w[d] = a->bias_v[column + d] * job->scale;
    }
    for (size_t i = 0; i < block->n_rows; i++) {
        const float *q = a->q.data +
                         (block->unit->span->first_row + (size_t)block->row + i) * a->q.stride +
                         column;
        job->kernels->add_scaled_row(room->qu + i * dim, room->u, q, job->scale, dim);
        job->kernels->add_scaled_row(room->qw + i * dim, room->w, q, job->scale, dim);
    }
}

/* Scores of query i and key j: scores[BLOCK - 1 + i * (L - 1) + j - block->first]. */
static void score(const att_job *job, const att_room *room, const att_block *block)
{
    const conure_att_unit *unit = block->unit;
    const size_t dim = job->a->head_dim, n = block->end - block->first;
    const size_t key = block->first - unit->key_first;
    const size_t line = (size_t)(unit->n_blocks - 1 - block->index) * BLOCK + key;
    job->kernels->gemm_f32(room->scores, job->score_stride + 1, room->qw, dim, block->n_rows,
                           unit->pos_panels + line * dim, BLOCK - 1 + n, dim, 0);
    job->kernels->gemm_f32(room->scores + BLOCK - 1, job->score_stride, room->qu, dim,
                           block->n_rows, unit->k_panels + key * dim, n, dim, 1);
}

/* exp in place, zeros for the keys of the block that query i may not look at; returns what the sum
 * over the values is to be multiplied by.  (A valid query may at least look at itself.) */
static float soften(const att_job *job, const att_block *block, uint32_t i, float *scores)
{
    const conure_attention *a = job->a;
    const conure_span *span = block->unit->span;
    const conure_att_range range =
        conure_att_allowed(a, block->unit, span->n_past + block->row + i);
    const size_t n = range.end - range.first, before = range.first - block->first;
    const uint64_t n_masked = (uint64_t)span->n_past + span->n_rows - n;
    float *allowed = scores + before;
    assert(n > 0);
    memset(scores, 0, before * sizeof *scores);
    memset(allowed + n, 0, (block->end - range.end) * sizeof *scores);
    const float max = job->kernels->max_row(allowed, n);
    const float sum = job->kernels->exp_row(allowed, max, n);
    if (a->mask != CONURE_MASK_NEMO || n_masked == 0)
        return 1.0f / sum;
    /* Every masked key has the same score, so all of them are one term of the sum: infinite, and the
     * factor 0, when the allowed scores lie far below theirs. */
    return 1.0f / (sum + (float)n_masked * expf(NEMO_MASKED - max));
}

/* dst rows = weights [n_rows][end - first] times the values of those keys. */
static void weigh(const att_job *job, const att_room *room, const att_block *block, float *dst)
{
    const conure_att_unit *unit = block->unit;
    const size_t dim = job->a->head_dim, n = block->end - block->first;
    const size_t key = block->first - unit->key_first, stride = job->a->dst.stride;
    const float *weights = room->scores + BLOCK - 1;
    if (n == unit->n_keys) {
        job->kernels->gemm_f32(dst, stride, weights, job->score_stride, block->n_rows,
                               unit->v_panels, dim, n, 0);
        return;
    }
    for (size_t column = 0; column < dim; column += 16)
        job->kernels->gemm_f32(dst + column, stride, weights, job->score_stride, block->n_rows,
                               unit->v_panels + column * unit->n_keys + key * 16,
                               dim - column < 16 ? dim - column : 16, n, 0);
}

static void do_block(const att_job *job, const att_block *block, const att_room *room)
{
    const conure_attention *a = job->a;
    const size_t dim = a->head_dim;
    float *dst = a->dst.data + (block->unit->span->first_row + (size_t)block->row) * a->dst.stride +
                 block->unit->head * dim;
    float factors[BLOCK];
    add_biases(job, room, block);
    score(job, room, block);
    for (uint32_t i = 0; i < block->n_rows; i++)
        factors[i] = soften(job, block, i, room->scores + BLOCK - 1 + i * job->score_stride);
    weigh(job, room, block, dst);
    for (uint32_t i = 0; i < block->n_rows; i++)
        job->kernels->scale_row(dst + i * a->dst.stride, factors[i], dim);
}

static void block_item(void *arg, uint32_t item, uint32_t worker)
{
    const att_job *job = arg;
    const conure_att_unit *unit = job->units;
    while (item >= unit->n_blocks)
        item -= unit++->n_blocks;
    const att_room room = room_of(job, worker);
    const uint32_t done = item * BLOCK, left = unit->n_queries - done;
    att_block block = {.unit = unit,
                       .row = unit->query_first + done,
                       .n_rows = left < BLOCK ? left : BLOCK,
                       .index = item};
    const uint32_t position = unit->span->n_past + block.row;
    const uint32_t first = conure_att_allowed(job->a, unit, position).first;
    block.first = unit->key_first + (first - unit->key_first) / 16 * 16;
    block.end = conure_att_allowed(job->a, unit, position + block.n_rows - 1).end;
    do_block(job, &block, &room);
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Queries outside the valid range attend to nothing. */
static void zero_invalid(const conure_attention *a, const conure_att_unit *unit)
{
    const size_t bytes = (size_t)a->n_heads * a->head_dim * sizeof(float);
    for (uint32_t i = 0; i < unit->span->n_rows; i++)
        if (i < unit->query_first || i - unit->query_first >= unit->n_queries)
            memset(a->dst.data + (unit->span->first_row + (size_t)i) * a->dst.stride, 0, bytes);
}

/* Scratch of one call: what does not depend on the wave. */
typedef struct att_sizes {
    size_t wave_bytes, keys; /* panels of a wave; keys of the longest block */
} att_sizes;

static att_sizes measure(const conure_attention *a)
{
    att_sizes sizes = {0};
    size_t all = 0, largest = 0;
    for (uint32_t i = 0; i < a->n_spans; i++) {
        conure_att_unit unit;
        conure_att_unit_plan(&unit, a, &a->spans[i], 0);
        const size_t bytes = conure_att_unit_bytes(&unit, a->head_dim);
        const size_t keys = conure_att_block_keys(a, &unit);
        all += bytes * a->n_heads;
        largest = bytes > largest ? bytes : largest;
        sizes.keys = keys > sizes.keys ? keys : sizes.keys;
    }
    sizes.wave_bytes = largest > WAVE_BYTES ? largest : all < WAVE_BYTES ? all : WAVE_BYTES;
    return sizes;
}

/* Fill the wave with units from number *next (of n_spans * n_heads) on, as many as fit. */
static void plan_wave(att_job *job, uint64_t *next, float *panels, size_t wave_bytes)
{
    const conure_attention *a = job->a;
    const uint64_t n_all = (uint64_t)a->n_spans * a->n_heads;
    size_t used = 0;
    for (job->n_units = 0; *next < n_all && job->n_units < WAVE_UNITS; ++*next) {
        const conure_span *span = &a->spans[*next / a->n_heads];
        const uint32_t head = (uint32_t)(*next % a->n_heads);
        conure_att_unit unit;
        conure_att_unit_plan(&unit, a, span, head);
        const size_t bytes = conure_att_unit_bytes(&unit, a->head_dim);
        if (bytes > wave_bytes - used)
            break;
        if (head == 0)
            zero_invalid(a, &unit);
        if (unit.n_blocks == 0)
            continue;
        unit.k_panels = panels + used / sizeof *panels;
        unit.v_panels = unit.k_panels + round16(unit.n_keys) * a->head_dim;
        unit.pos_panels = unit.v_panels + round16(a->head_dim) * unit.n_keys;
        used += bytes;
        job->units[job->n_units++] = unit;
    }
}

static void run_wave(const att_job *job, conure_pool *pool)
{
    const conure_att_unit *const end = job->units + job->n_units;
    uint32_t n_blocks = 0, n_tiles = 0;
    for (const conure_att_unit *unit = job->units; unit < end; unit++)
        n_blocks += unit->n_blocks;
    for (const conure_att_unit *unit = job->units; unit < end; unit = next_span(job, unit))
        n_tiles += (uint32_t)pack_items(unit);
    conure_pool_run(pool, n_tiles, pack_item, (void *)job);
    conure_pool_run(pool, n_blocks, block_item, (void *)job);
}

conure_status conure_cpu_attention(void *self, const conure_attention *a, conure_error *err)
{
    conure_cpu *cpu = self;
    const uint32_t n_threads = conure_pool_threads(cpu->pool);
    const att_sizes sizes = measure(a);
    att_job job = {.a = a, .kernels = cpu->kernels, .scale = 1.0f / sqrtf((float)a->head_dim)};
    job.score_stride = round16(sizes.keys + BLOCK);
    job.worker_floats = room_floats(a->head_dim, job.score_stride);

    conure_arena *arena = &cpu->scratch;
    const size_t mark = arena->used;
    const size_t bytes = sizes.wave_bytes + WAVE_UNITS * sizeof *job.units +
                         n_threads * job.worker_floats * sizeof(float);
    if (!conure_arena_reserve(arena, mark + bytes + 8 * CONURE_ALIGN))
        return conure_fail_memory(err, "attention scratch", bytes);
    float *panels = conure_arena_take(arena, sizes.wave_bytes, 1);
    job.units = conure_arena_take(arena, WAVE_UNITS, sizeof *job.units);
    job.workers = conure_arena_take(arena, n_threads * job.worker_floats, sizeof(float));
    if (!panels || !job.units || !job.workers) {
        arena->used = mark;
        return conure_fail_memory(err, "attention scratch", bytes);
    }
    for (uint64_t next = 0; next < (uint64_t)a->n_spans * a->n_heads;) {
        plan_wave(&job, &next, panels, sizes.wave_bytes);
        run_wave(&job, cpu->pool);
    }
    arena->used = mark;
    return CONURE_OK;
}

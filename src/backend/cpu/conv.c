/* conv.c - the depthwise convolution over time of the convolution module, with the folded norm and
 * SiLU (spec 3.2 steps 3 to 6). */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "base/inject.h"

#define ROWS_PER_ITEM 16u
/* Channels done together: a kernel of 9 taps and the rows under it then stay in the first-level
 * cache (9 * 128 * 4 bytes each) while time advances. */
#define CHANNEL_BLOCK 128u
#define TAPS_MAX      256u

typedef struct conv_job {
    const conure_kernels *kernels;
    const conure_conv *conv;
} conv_job;

static uint32_t items_of(const conure_span *span)
{
    return span->n_rows / ROWS_PER_ITEM + (span->n_rows % ROWS_PER_ITEM != 0);
}

/* Input row t of a span (t may lie before or behind it), or NULL for a row of zeros. */
static const float *input_row(const conure_conv *c, uint32_t i_span, int64_t t)
{
    const conure_span *span = &c->spans[i_span];
    if (t < 0) {
        const float *history = c->history ? c->history[i_span] : NULL;
        const int64_t row = t + c->left;
        return history && row >= 0 ? history + (size_t)row * c->src.cols : NULL;
    }
    const int64_t position = t + span->n_past;
    if (t >= span->n_rows || position < span->key_first || (position >= span->key_end && !CONURE_INJECTED(PADDING_LEAKS)))
        return NULL;
    return c->src.data + ((size_t)span->first_row + (size_t)t) * c->src.stride;
}

static void conv_row(const conv_job *job, uint32_t i_span, uint32_t t, uint32_t column, uint32_t n)
{
    const conure_conv *c = job->conv;
    const float *taps[TAPS_MAX];
    for (uint32_t k = 0; k < c->kernel; k++) {
        const float *row = input_row(c, i_span, (int64_t)t + k - c->left);
        taps[k] = row ? row + column : NULL;
    }
    float *dst = c->dst.data + ((size_t)c->spans[i_span].first_row + t) * c->dst.stride;
    job->kernels->depthwise_row(dst + column, taps, c->weight + column, c->src.cols,
                                c->bias + column, c->kernel, n, 2);
}

static void conv_item(void *arg, uint32_t item, uint32_t worker)
{
    const conv_job *job = arg;
    const conure_conv *c = job->conv;
    uint32_t i_span = 0;
    (void)worker;
    while (item >= items_of(&c->spans[i_span]))
        item -= items_of(&c->spans[i_span++]);
    const uint32_t first = item * ROWS_PER_ITEM, rows = c->spans[i_span].n_rows;
    const uint32_t end = rows - first < ROWS_PER_ITEM ? rows : first + ROWS_PER_ITEM;
    for (uint32_t column = 0; column < c->src.cols; column += CHANNEL_BLOCK) {
        const uint32_t left = c->src.cols - column;
        for (uint32_t t = first; t < end; t++)
            conv_row(job, i_span, t, column, left < CHANNEL_BLOCK ? left : CHANNEL_BLOCK);
    }
}

/* src and dst must not overlap: a row is read after its neighbours were written. */
conure_status conure_cpu_conv(void *self, const conure_conv *c, conure_error *err)
{
    conure_cpu *cpu = self;
    const conv_job job = {.kernels = cpu->kernels, .conv = c};
    uint64_t items = 0;
    if (c->kernel > TAPS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "convolution kernel of %u taps, at most %u",
                           c->kernel, TAPS_MAX);
    for (uint32_t i = 0; i < c->n_spans; i++) {
        const conure_span *span = &c->spans[i];
        const uint64_t end = (uint64_t)span->first_row + span->n_rows;
        if (end > c->src.rows || end > c->dst.rows || c->src.cols != c->dst.cols)
            return conure_fail(err, CONURE_INTERNAL, "conv: span to row %llu of [%u, %u], [%u, %u]",
                               (unsigned long long)end, c->src.rows, c->src.cols, c->dst.rows,
                               c->dst.cols);
        items += items_of(span);
    }
    conure_pool_run(cpu->pool, (uint32_t)items, conv_item, (void *)&job);
    return CONURE_OK;
}

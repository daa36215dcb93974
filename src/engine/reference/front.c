/* front.c - the subsampling of the reference: three stages of stride 2 turn 8 mel frames into one row.
 *
 * NeMo zeroes what is behind the valid length before and after every stage; so an image ends at its valid height here, and
 * is zero beyond.  The images of a long recording would take gigabytes: rows come in pieces, each with exactly the image
 * rows that it depends on. */
#include "engine/reference/reference.h"

#include "model/blocks.h"

#include <math.h>

enum { PIECE_ROWS = 32 };

/* Rows first .. first + rows - 1 of an image of some height: data [rows][width][channels].  Rows outside 0 .. height - 1
 * are zeros, other rows outside the window are never asked for. */
typedef struct image {
    double *data;
    int64_t first, rows, height, width, channels;
} image;

typedef struct stage {
    const image *src, *dst;
    const double *weight, *bias; /* [channels][3][3], [channels] */
    bool relu;
} stage;

static int64_t half(int64_t n)
{
    return (n + 1) / 2;
}

int64_t conure_ref_frames(int64_t mel_frames)
{
    return half(half(half(mel_frames)));
}

/* Where a pixel's channels begin; NULL outside the image, which is zero there. */
static const double *pixel(const image *m, int64_t row, int64_t column)
{
    if (row < 0 || row >= m->height || column < 0 || column >= m->width)
        return NULL;
    return m->data + ((row - m->first) * m->width + column) * m->channels;
}

/* 3x3, stride 2, one zero around: from one channel to all, or each channel by itself. */
static void convolve_row(void *arg, uint32_t item, uint32_t worker)
{
    const stage *s = arg;
    const int64_t i = s->dst->first + item, n = s->dst->channels, step = s->src->channels == 1 ? 0 : 1;
    (void)worker;
    for (int64_t f = 0; f < s->dst->width; f++) {
        double *dst = s->dst->data + ((int64_t)item * s->dst->width + f) * n; /* zeros so far */
        for (int64_t tap = 0; tap < 9; tap++) {
            const double *src = pixel(s->src, 2 * i + tap / 3 - 1, 2 * f + tap % 3 - 1);
            for (int64_t c = 0; c < n && src; c++)
                dst[c] += s->weight[c * 9 + tap] * src[c * step];
        }
        for (int64_t c = 0; c < n; c++) {
            dst[c] += s->bias[c];
            dst[c] = s->relu && dst[c] < 0 ? 0 : dst[c];
        }
    }
}

static void convolve(conure_ref *r, const image *dst, const image *src, uint32_t index, bool relu)
{
    stage s = {src, dst, r->front.weight[index], r->front.bias[index], relu};
    conure_pool_run(r->pool, (uint32_t)dst->rows, convolve_row, &s);
    conure_ref_note(r, "a 3x3 convolution of encoder.pre_encode", dst->data, (size_t)(dst->rows * dst->width * dst->channels));
}

static void pointwise(conure_ref *r, const image *dst, const image *src, uint32_t index)
{
    const int64_t n = src->rows * src->width;
    conure_ref_product(r, dst->data, src->data, (size_t)n, &r->front.pointwise[index]);
    for (int64_t i = 0; i < n * dst->channels; i++)
        dst->data[i] = dst->data[i] < 0 ? 0 : dst->data[i];
}

/* The rows of the stage before that rows first .. first + rows - 1 of m look at, of an image of that height and width. */
static image looked_at(const image *m, int64_t height, int64_t width, int64_t channels)
{
    const int64_t first = 2 * m->first - 1 < 0 ? 0 : 2 * m->first - 1;
    const int64_t end = 2 * (m->first + m->rows) < height ? 2 * (m->first + m->rows) : height;
    return (image){.first = first, .rows = end - first, .height = height, .width = width, .channels = channels};
}

/* Rows first .. first + rows - 1 of the subsampled utterance into x [rows][d]. */
static conure_status run_piece(conure_ref_step *s, void **arena, int64_t first, int64_t rows, double *x)
{
    conure_ref *r = s->r;
    const int64_t h0 = s->row->n_valid, w0 = r->config->mel_bins, c = r->config->subsampling_channels;
    const int64_t h1 = half(h0), w1 = half(w0), h2 = half(h1), w2 = half(w1), h3 = half(h2), w3 = half(w2);
    image m3 = {.first = first, .rows = rows, .height = h3, .width = w3, .channels = c};
    image m2 = looked_at(&m3, h2, w2, c), m1 = looked_at(&m2, h1, w1, c), m0 = looked_at(&m1, h0, w0, 1);
    image before2 = m2, before3 = m3; /* between a depthwise convolution and the pointwise one behind it */
    image *all[6] = {&m0, &m1, &before2, &m2, &before3, &m3};
    for (int i = 0; i < 6; i++) {
        all[i]->data = conure_block_alloc(arena, (size_t)(all[i]->rows * all[i]->width * all[i]->channels) * sizeof(double));
        if (!all[i]->data)
            return conure_fail_memory(s->err, "the subsampling", (size_t)(all[i]->rows * all[i]->width) * sizeof(double));
    }
    for (int64_t i = 0; i < m0.rows * w0; i++)
        m0.data[i] = s->row->mel[m0.first * w0 + i];
    convolve(r, &m1, &m0, 0, true);
    convolve(r, &before2, &m1, 1, false);
    pointwise(r, &m2, &before2, 0);
    convolve(r, &before3, &m2, 2, false);
    pointwise(r, &m3, &before3, 1);
    double *flat = conure_block_alloc(arena, (size_t)(rows * c * w3) * sizeof *flat);
    if (!flat)
        return conure_fail_memory(s->err, "the subsampling", (size_t)(rows * c * w3) * sizeof *flat);
    for (int64_t t = 0; t < rows; t++) /* channel-major: c * 16 + f */
        for (int64_t i = 0; i < c; i++)
            for (int64_t f = 0; f < w3; f++)
                flat[(t * c + i) * w3 + f] = m3.data[(t * w3 + f) * c + i];
    conure_ref_product(r, x, flat, (size_t)rows, &r->front.out);
    return CONURE_OK;
}

conure_status conure_ref_front_run(conure_ref_step *s)
{
    const conure_config *c = s->r->config;
    const int64_t d = c->d_model, drop = s->row->drop_first;
    for (int64_t first = 0; first < s->n_valid; first += PIECE_ROWS) {
        void *arena = NULL;
        const int64_t rows = s->n_valid - first < PIECE_ROWS ? s->n_valid - first : PIECE_ROWS;
        const conure_status status = run_piece(s, &arena, drop + first, rows, s->x + first * d);
        conure_blocks_free(&arena);
        if (status != CONURE_OK)
            return status;
        if (conure_cancelled(s->r->cancel))
            return conure_fail(s->err, CONURE_CANCELLED, "cancelled in the subsampling");
    }
    for (int64_t t = s->n_valid; t < s->n_rows; t++) /* zeros through the last product */
        for (int64_t i = 0; i < d; i++)
            s->x[t * d + i] = s->r->front.out.bias[i];
    const double scale = c->xscaling ? sqrt((double)d) : 1;
    for (int64_t i = 0; i < s->n_rows * d; i++)
        s->x[i] *= scale;
    conure_ref_note(s->r, "the residual stream behind encoder.pre_encode", s->x, (size_t)(s->n_rows * d));
    return CONURE_OK;
}

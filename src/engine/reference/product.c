/* product.c - the arithmetic that the parts of the reference share: matrix products, norms, activations. */
#include "engine/reference/reference.h"

#include <math.h>

/* Outputs that one worker computes at once: their weights are widened once and serve all rows. */
enum { BLOCK = 16 };

typedef struct product {
    conure_ref *r;
    double *y;
    const double *x;
    size_t rows;
    const conure_ref_matrix *w;
} product;

size_t conure_ref_room_doubles(size_t k)
{
    return k * BLOCK * 2 + k * BLOCK / 2 + 8; /* rows, the same turned, and floats */
}

/* One row of x with BLOCK outputs: each output is one sum over k in ascending order. */
static void one_row(double *restrict y, const double *restrict x, const double *restrict turned, size_t k, size_t n, const double *bias)
{
    double sum[BLOCK] = {0};
    for (size_t i = 0; i < k; i++) {
        const double *w = turned + i * BLOCK, v = x[i];
        for (size_t j = 0; j < BLOCK; j++)
            sum[j] += v * w[j];
    }
    for (size_t j = 0; j < n; j++)
        y[j] = sum[j] + (bias ? bias[j] : 0);
}

static void one_block(void *arg, uint32_t item, uint32_t worker)
{
    const product *p = arg;
    const size_t k = p->w->k, first = (size_t)item * BLOCK;
    const size_t n = p->w->n - first < BLOCK ? p->w->n - first : BLOCK;
    double *rows = p->r->room + worker * p->r->room_doubles, *turned = rows + BLOCK * k;
    conure_ref_rows(p->r, p->w->tensor, first, n, rows, (float *)(void *)(turned + BLOCK * k));
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < BLOCK; j++)
            turned[i * BLOCK + j] = j < n ? rows[j * k + i] : 0;
    for (size_t i = 0; i < p->rows; i++)
        one_row(p->y + i * p->w->n + first, p->x + i * k, turned, k, n, p->w->bias ? p->w->bias + first : NULL);
}

void conure_ref_product(conure_ref *r, double *y, const double *x, size_t rows, const conure_ref_matrix *w)
{
    product p = {r, y, x, rows, w};
    if (!rows)
        return;
    conure_pool_run(r->pool, (w->n + BLOCK - 1) / BLOCK, one_block, &p);
    conure_ref_note(r, w->tensor->name, y, rows * w->n);
}

double conure_ref_dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

double conure_ref_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double conure_ref_silu(double x)
{
    return x / (1 + exp(-x));
}

/* (v - mean) / sqrt(var + 1e-5) * weight + bias over the channels of a frame; the variance is the biased one. */
void conure_ref_layer_norm(double *y, const double *x, size_t rows, size_t d, const conure_ref_norm *norm)
{
    for (size_t r = 0; r < rows; r++, x += d, y += d) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < d; i++)
            mean += x[i];
        mean /= (double)d;
        for (size_t i = 0; i < d; i++)
            var += (x[i] - mean) * (x[i] - mean);
        var /= (double)d;
        for (size_t i = 0; i < d; i++)
            y[i] = (x[i] - mean) / sqrt(var + 1e-5) * norm->weight[i] + norm->bias[i];
    }
}

/* kernels.h - the inner loops, one function pointer each, filled from kernels.def by CPU features.
 * Every kernel has a reference in plain C (kernels_c.c) and variants per instruction set in files of
 * their own, built with their own flags.  Naming: conure_<op>_<type>_<isa>. */
#ifndef CONURE_BACKEND_KERNELS_H
#define CONURE_BACKEND_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* What happens to a finished tile of sums on its way to the caller's rows:
 * y = sum + bias, or with int8 y = sum * (row scale * column scale) + bias, then the activation. */
enum {
    CONURE_FINISH_STORE = 0,
    CONURE_FINISH_RELU,
    CONURE_FINISH_SILU,
    CONURE_FINISH_GLU,
    CONURE_FINISH_ADD,
};

typedef struct conure_finish {
    int kind;
    size_t m, n;               /* rows and columns of dst to write */
    float *dst;                /* [m][n], any alignment */
    size_t ldd;
    const void *sums;          /* [m][n] f32, or int32 when row_scales is not NULL; not inside dst */
    const void *gate;          /* GLU: the other half, as sums */
    size_t lds;                /* of sums and gate */
    const float *bias;         /* [n] */
    const float *gate_bias;    /* GLU */
    const float *row_scales;   /* [m], int8 */
    const float *scales;       /* [n], int8 */
    const float *gate_scales;  /* GLU and int8 */
    const float *residual;     /* ADD: [m][n]; may be dst with the same stride; NULL: zeros */
    size_t ldr;
    float alpha;               /* ADD */
} conure_finish;

typedef struct conure_kernels {
    /* ---- products (gemm_*.c) ---- */
    /* c[m][0 .. n) (+)= a[m][k] * B, B f32 panels [ceil(n/16)][k][16] (see CONURE_PANELS); accumulate
     * false: c is overwritten.  Each element is one running sum over k in order, so a row's result
     * does not depend on m.  Any alignment of a and c. */
    void (*gemm_f32)(float *c, size_t ldc, const float *a, size_t lda, size_t m, const float *panels,
                     size_t n, size_t k, int accumulate);
    /* c[m][n] = a[m][.] * B in bf16: a is bf16 pairs [m][2*ceil(k/2)] (lda in elements, even), B bf16
     * panels of `lines` = ceil(k/2) lines; products are summed in f32. */
    void (*gemm_bf16)(float *c, size_t ldc, const uint16_t *a, size_t lda, size_t m,
                      const uint16_t *panels, size_t n, size_t lines, int accumulate);
    /* c[m][n] = sum over k of (a - 128) * b, exact in int32: a is u8 [m][4*ceil(k/4)] with zero point
     * 128 (lda in bytes, multiple of 4), B int8 panels of `lines` = ceil(k/4) lines, sums [n] as in
     * conure_tensor (the kernel may sum a * b and subtract 128 * sums). */
    void (*gemm_int8)(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, size_t m,
                      const int8_t *panels, const int32_t *sums, size_t n, size_t lines);
    /* q = round(x * (127 / max)) + 128, max = max|x|, halves to even, for k values; then 128 up to
     * k_padded.  Returns the scale max / 127; 1 when no |x| reaches 1e-30 (all q are 128); NaN when some
     * x is not finite, so that the row's results are NaN.  The same bits in every variant. */
    float (*quantize_row)(uint8_t *q, const float *x, size_t k, size_t k_padded);
    /* To nearest even, NaN stays NaN; zeros from k up to k_padded.  The same bits in every variant. */
    void (*f32_to_bf16_row)(uint16_t *dst, const float *x, size_t k, size_t k_padded);
    /* STORE, RELU and ADD give the same bits in every variant. */
    void (*finish)(const conure_finish *finish);

    /* ---- element-wise and rows (rows_*.c) ---- */
    void (*layer_norm_row)(float *dst, const float *x, const float *gamma, const float *beta, size_t n);
    void (*silu_row)(float *dst, const float *x, size_t n);
    void (*glu_row)(float *dst, const float *value, const float *gate, size_t n);
    void (*relu_row)(float *dst, const float *x, size_t n);
    void (*add_scaled_row)(float *dst, const float *residual, const float *y, float alpha, size_t n);
    void (*add_relu_row)(float *dst, const float *a, const float *b, size_t n);
    /* dst = sum over taps of weight[t][n] * x[t][n] + bias, then SiLU or ReLU or nothing; weight rows
     * are ldw elements apart; x are n_taps pointers, NULL = zeros; none overlaps dst. */
    void (*depthwise_row)(float *dst, const float *const *x, const float *weight, size_t ldw,
                          const float *bias, size_t n_taps, size_t n,
                          int activation); /* 0 none, 1 relu, 2 silu */
    /* First subsampling stage: dst[c] = bias[c] + sum over 9 taps of x[t] * weight[t][c], then ReLU. */
    void (*conv9_row)(float *dst, const float *x9, const float *weight, const float *bias, size_t n);
    /* In place over n scores: e = exp(x - max), returns the sum of e; x becomes e.  -inf gives 0. */
    float (*exp_row)(float *x, float max, size_t n);
    float (*max_row)(const float *x, size_t n); /* -inf for n = 0 */
    void (*scale_row)(float *x, float factor, size_t n);
    void (*lstm_row)(float *h, float *c, const float *gates, size_t hidden);
    /* One f32 panel: dst[k][16] from n_rows <= 16 rows of x (ldx in elements); missing rows are 0. */
    void (*pack_panel)(float *dst, const float *x, size_t ldx, size_t n_rows, size_t k);
    void (*bf16_to_f32_row)(float *dst, const uint16_t *x, size_t n); /* exact */
} conure_kernels;

/* Fill the table with the best variant that features allow.  Never fails: C is always there. */
void conure_kernels_choose(conure_kernels *kernels, uint32_t features);

#endif

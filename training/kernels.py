"""Kernels in C that run on a GPU (through CuPy) and on a CPU (through g++): the lattices of TDT and CTC, the gathering of audio, and the
two depthwise convolutions, with channels last and bf16 activations.

One source, so that what is tested on a CPU is what trains on a GPU: a block is a loop there, a thread is the whole block.
"""
import ctypes, os, subprocess, tempfile
import numpy as np
import torch

SOURCE = r'''
#define DURATIONS 5
#define NONE -1e30f
#define AT(t, u) ((t) * U0 + (u))

/* Sum of exponentials kept as maximum and mantissa. */
struct logsum { float top, sum; };
DEVICE void add(logsum *s, float x)
{
    if (x <= NONE / 2) return;
    if (x > s->top) { s->sum = s->sum * expf(s->top - x) + 1; s->top = x; }
    else s->sum += expf(x - s->top);
}
DEVICE float value(logsum s) { return s.sum > 0 ? s.top + logf(s.sum) : NONE; }

/* One utterance a block.  blank, label [B][T0][U0] and duration [B][T0][U0][5] are logarithms of probabilities.
 * A path starts at (0,0); a label moves (0..4, 1), a blank (1..4, 0); it ends with a blank that reaches frame T from (t, U).
 * Out: log probability of all paths, and minus the expected use of every arc (the gradients of -log probability). */
GLOBAL void tdt(const float *blank, const float *label, const float *duration, const int *Ts, const int *Us, float *alpha,
                float *beta, float *total, float *g_blank, float *g_label, float *g_duration, int T0, int U0)
{
    const int k = BLOCK, T = Ts[k], U = Us[k];
    const size_t o = (size_t)k * T0 * U0;
    blank += o; label += o; alpha += o; beta += o; g_blank += o; g_label += o;
    duration += o * DURATIONS; g_duration += o * DURATIONS;
    for (int n = 0; n < T + U; n++) {
        for (int u = THREAD; u <= U; u += THREADS) {
            const int t = n - u;
            if (t < 0 || t >= T) continue;
            logsum s = {NONE, 0};
            if (n == 0) add(&s, 0);
            for (int q = 0; q < DURATIONS && q <= t; q++) {
                if (q > 0) add(&s, alpha[AT(t - q, u)] + blank[AT(t - q, u)] + duration[AT(t - q, u) * DURATIONS + q]);
                if (u > 0) add(&s, alpha[AT(t - q, u - 1)] + label[AT(t - q, u - 1)] + duration[AT(t - q, u - 1) * DURATIONS + q]);
            }
            alpha[AT(t, u)] = value(s);
        }
        SYNC;
    }
    logsum end = {NONE, 0};
    for (int q = 1; q < DURATIONS && q <= T; q++)
        add(&end, alpha[AT(T - q, U)] + blank[AT(T - q, U)] + duration[AT(T - q, U) * DURATIONS + q]);
    const float z = value(end);
    if (THREAD == 0) total[k] = z;
    for (int n = T + U - 1; n >= 0; n--) {
        for (int u = THREAD; u <= U; u += THREADS) {
            const int t = n - u;
            if (t < 0 || t >= T) continue;
            logsum s = {NONE, 0};
            for (int q = 0; q < DURATIONS && t + q <= T; q++) {
                const float d = duration[AT(t, u) * DURATIONS + q];
                if (q > 0 && t + q < T) add(&s, beta[AT(t + q, u)] + blank[AT(t, u)] + d);
                if (q > 0 && t + q == T && u == U) add(&s, blank[AT(t, u)] + d);
                if (u < U && t + q < T) add(&s, beta[AT(t + q, u + 1)] + label[AT(t, u)] + d);
            }
            beta[AT(t, u)] = value(s);
        }
        SYNC;
    }
    for (int i = THREAD; i < T * (U + 1); i += THREADS) {
        const int t = i / (U + 1), u = i % (U + 1);
        const float a = alpha[AT(t, u)] - z;
        float by_blank = 0, by_label = 0;
        for (int q = 0; q < DURATIONS; q++) {
            const float d = duration[AT(t, u) * DURATIONS + q];
            float both = 0;
            if (q > 0 && (t + q < T || (t + q == T && u == U))) {
                const float rest = t + q < T ? beta[AT(t + q, u)] : 0;
                const float p = expf(fminf(0, a + blank[AT(t, u)] + d + rest));
                by_blank += p; both += p;
            }
            if (u < U && t + q < T) {
                const float p = expf(fminf(0, a + label[AT(t, u)] + d + beta[AT(t + q, u + 1)]));
                by_label += p; both += p;
            }
            g_duration[AT(t, u) * DURATIONS + q] = -both;
        }
        g_blank[AT(t, u)] = -by_blank;
        g_label[AT(t, u)] = -by_label;
    }
}

/* Connectionist temporal classification, one utterance a block.  logp [B][T0][V] with the blank last, label [B][U0];
 * alpha, beta [B][T0][2 U0 + 1], filled with NONE.  Out: log probability of all paths (0 where there is none), and minus
 * the expected use of every output, added to grad [B][T0][V]. */
GLOBAL void ctc(const float *logp, const long long *label, const int *Ts, const int *Us, float *alpha, float *beta, float *total,
                float *grad, int T0, int U0, int V)
{
    const int k = BLOCK, T = Ts[k], S = 2 * Us[k] + 1, S0 = 2 * U0 + 1;
    logp += (size_t)k * T0 * V; grad += (size_t)k * T0 * V;
    alpha += (size_t)k * T0 * S0; beta += (size_t)k * T0 * S0;
    label += (size_t)k * U0;
#define SYMBOL(s) ((s) % 2 ? (int)label[(s) / 2] : V - 1)
#define SKIPS(s) ((s) % 2 && (s) > 1 && label[(s) / 2] != label[(s) / 2 - 1])        /* from s - 2 straight to s */
    for (int t = 0; t < T; t++) {
        for (int s = THREAD; s < S; s += THREADS) {
            logsum sum = {NONE, 0};
            if (t == 0) {
                if (s < 2) add(&sum, 0);
            } else {
                const float *a = alpha + (size_t)(t - 1) * S0;
                add(&sum, a[s]);
                if (s > 0) add(&sum, a[s - 1]);
                if (SKIPS(s)) add(&sum, a[s - 2]);
            }
            const float v = value(sum);
            alpha[(size_t)t * S0 + s] = v <= NONE / 2 ? NONE : v + logp[(size_t)t * V + SYMBOL(s)];
        }
        SYNC;
    }
    logsum end = {NONE, 0};
    add(&end, alpha[(size_t)(T - 1) * S0 + S - 1]);
    if (S > 1) add(&end, alpha[(size_t)(T - 1) * S0 + S - 2]);
    const float z = value(end);
    if (THREAD == 0) total[k] = z <= NONE / 2 ? 0 : z;
    if (z <= NONE / 2) return;
    for (int t = T - 1; t >= 0; t--) {
        for (int s = THREAD; s < S; s += THREADS) {
            logsum sum = {NONE, 0};
            if (t == T - 1) {
                if (s >= S - 2) add(&sum, 0);
            } else {
                const float *b = beta + (size_t)(t + 1) * S0, *p = logp + (size_t)(t + 1) * V;
                add(&sum, b[s] + p[SYMBOL(s)]);
                if (s + 1 < S) add(&sum, b[s + 1] + p[SYMBOL(s + 1)]);
                if (s + 2 < S && SKIPS(s + 2)) add(&sum, b[s + 2] + p[SYMBOL(s + 2)]);
            }
            const float v = value(sum), a = alpha[(size_t)t * S0 + s];
            beta[(size_t)t * S0 + s] = v;
            if (a > NONE / 2 && v > NONE / 2) ADD(grad + (size_t)t * V + SYMBOL(s), -expf(fminf(0, a + v - z)));
        }
        SYNC;
    }
}

/* Rows of audio from one pool of samples: two clips a row, each from its own place, at its own speed, starting where it is told.
 * offset, length, start, speed are [B][2]; cubic interpolation between samples; out [B][L]. */
GLOBAL void gather(const short *pool, const long long *offset, const int *length, const int *start, const double *speed,
                   float *out, int L)
{
    const int row = BLOCK;
    for (int i = THREAD; i < L; i += THREADS) {
        float sum = 0;
        for (int s = 0; s < 2; s++) {
            const double at = (i - start[row * 2 + s]) * speed[row * 2 + s];
            const int n = (int)at;
            if (i < start[row * 2 + s] || n + 2 >= length[row * 2 + s]) continue;
            const short *p = pool + offset[row * 2 + s] + n;
            const float f = (float)(at - n), a = n > 0 ? p[-1] : p[0], b = p[0], c = p[1], d = p[2];
            sum += b + .5f * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)));
        }
        out[(size_t)row * L + i] = sum / 32768;
    }
}

/* bf16 <-> float, to nearest even. */
typedef unsigned short bf16;
DEVICE float wide(bf16 x)
{
    union { unsigned u; float f; } v;
    v.u = (unsigned)x << 16;
    return v.f;
}
DEVICE bf16 narrow(float x)
{
    union { unsigned u; float f; } v;
    v.f = x;
    return (bf16)((v.u + 0x7fff + ((v.u >> 16) & 1)) >> 16);
}

/* 3x3 depthwise convolution, stride 2, padding 1.  x [B][T][H][C], w [9][C], y [B][T2][H2][C]; frames >= n[b] count as 0.
 * A block is one (b, t2). */
GLOBAL void dw2_forward(const bf16 *x, const float *w, const float *bias, const int *n, bf16 *y, int T, int H, int C, int T2, int H2)
{
    const int b = BLOCK / T2, t2 = BLOCK % T2, valid = n[b] < T ? n[b] : T;
    for (int c = THREAD; c < C; c += THREADS) {
        float k[9], left[3] = {0, 0, 0};
        for (int i = 0; i < 9; i++) k[i] = w[i * C + c];
        for (int h2 = 0; h2 < H2; h2++) {
            float sum = bias[c];
            for (int i = 0; i < 3; i++) {
                const int t = 2 * t2 + i - 1;
                float middle = 0, right = 0;
                if (t >= 0 && t < valid) {
                    const bf16 *p = x + (((size_t)b * T + t) * H + 2 * h2) * C + c;
                    middle = wide(p[0]);
                    if (2 * h2 + 1 < H) right = wide(p[C]);
                }
                sum += k[i * 3] * left[i] + k[i * 3 + 1] * middle + k[i * 3 + 2] * right;
                left[i] = right;
            }
            y[(((size_t)b * T2 + t2) * H2 + h2) * C + c] = narrow(sum);
        }
    }
}

/* Its gradient for x.  A block is one (b, t). */
GLOBAL void dw2_input(const bf16 *g, const float *w, const int *n, bf16 *dx, int T, int H, int C, int T2, int H2)
{
    const int b = BLOCK / T, t = BLOCK % T, valid = n[b] < T ? n[b] : T;
    for (int c = THREAD; c < C; c += THREADS) {
        float k[9];
        for (int i = 0; i < 9; i++) k[i] = w[i * C + c];
        for (int h = 0; h < H; h++) {
            float sum = 0;
            for (int i = 0; i < 3; i++) {
                const int t_up = t + 1 - i;
                if (t >= valid || t_up < 0 || t_up % 2 || t_up / 2 >= T2) continue;
                for (int j = 0; j < 3; j++) {
                    const int h_up = h + 1 - j;
                    if (h_up < 0 || h_up % 2 || h_up / 2 >= H2) continue;
                    sum += k[i * 3 + j] * wide(g[(((size_t)b * T2 + t_up / 2) * H2 + h_up / 2) * C + c]);
                }
            }
            dx[(((size_t)b * T + t) * H + h) * C + c] = narrow(sum);
        }
    }
}

/* Its gradient for w and bias, in parts [blocks][10][C] to be added up.  A block takes every blocks-th (b, t2). */
GLOBAL void dw2_weight(const bf16 *x, const bf16 *g, const int *n, float *part, int T, int H, int C, int T2, int H2, int rows, int blocks)
{
    for (int c = THREAD; c < C; c += THREADS) {
        float sum[10] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        for (int row = BLOCK; row < rows; row += blocks) {
            const int b = row / T2, t2 = row % T2, valid = n[b] < T ? n[b] : T;
            float left[3] = {0, 0, 0};
            for (int h2 = 0; h2 < H2; h2++) {
                const float d = wide(g[((size_t)row * H2 + h2) * C + c]);
                sum[9] += d;
                for (int i = 0; i < 3; i++) {
                    const int t = 2 * t2 + i - 1;
                    float middle = 0, right = 0;
                    if (t >= 0 && t < valid) {
                        const bf16 *p = x + (((size_t)b * T + t) * H + 2 * h2) * C + c;
                        middle = wide(p[0]);
                        if (2 * h2 + 1 < H) right = wide(p[C]);
                    }
                    sum[i * 3] += d * left[i];
                    sum[i * 3 + 1] += d * middle;
                    sum[i * 3 + 2] += d * right;
                    left[i] = right;
                }
            }
        }
        for (int i = 0; i < 10; i++) part[((size_t)BLOCK * 10 + i) * C + c] = sum[i];
    }
}

/* Depthwise convolution over time, 9 taps, padding 4, chunk: a frame sees nothing beyond the last frame of its chunk.
 * x [B][T][C], w [9][C], y [B][T][C].  A block is one (b, 16 frames). */
#define TAPS 9
GLOBAL void dw1_forward(const bf16 *x, const float *w, const int *chunk_frames, float *y, int T, int C)
{
    const int chunk = *chunk_frames;
    const int parts = (T + 15) / 16, b = BLOCK / parts, t0 = BLOCK % parts * 16;
    for (int c = THREAD; c < C; c += THREADS) {
        float k[TAPS];
        for (int i = 0; i < TAPS; i++) k[i] = w[i * C + c];
        for (int t = t0; t < T && t < t0 + 16; t++) {
            const int end = (t / chunk + 1) * chunk;
            float sum = 0;
            for (int i = 0; i < TAPS; i++) {
                const int s = t + i - TAPS / 2;
                if (s >= 0 && s < T && s < end) sum += k[i] * wide(x[((size_t)b * T + s) * C + c]);
            }
            y[((size_t)b * T + t) * C + c] = sum;
        }
    }
}

GLOBAL void dw1_input(const float *g, const float *w, const int *chunk_frames, bf16 *dx, int T, int C)
{
    const int chunk = *chunk_frames;
    const int parts = (T + 15) / 16, b = BLOCK / parts, t0 = BLOCK % parts * 16;
    for (int c = THREAD; c < C; c += THREADS) {
        float k[TAPS];
        for (int i = 0; i < TAPS; i++) k[i] = w[i * C + c];
        for (int s = t0; s < T && s < t0 + 16; s++) {
            float sum = 0;
            for (int i = 0; i < TAPS; i++) {
                const int t = s - i + TAPS / 2;
                if (t >= 0 && t < T && s < (t / chunk + 1) * chunk) sum += k[i] * g[((size_t)b * T + t) * C + c];
            }
            dx[((size_t)b * T + s) * C + c] = narrow(sum);
        }
    }
}

GLOBAL void dw1_weight(const bf16 *x, const float *g, const int *chunk_frames, float *part, int T, int C, int rows, int blocks)
{
    const int chunk = *chunk_frames;
    for (int c = THREAD; c < C; c += THREADS) {
        float sum[TAPS] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
        for (int row = BLOCK; row < rows; row += blocks) {
            const int b = row / T, t = row % T, end = (t / chunk + 1) * chunk;
            const float d = g[(size_t)row * C + c];
            for (int i = 0; i < TAPS; i++) {
                const int s = t + i - TAPS / 2;
                if (s >= 0 && s < T && s < end) sum[i] += d * wide(x[((size_t)b * T + s) * C + c]);
            }
        }
        for (int i = 0; i < TAPS; i++) part[((size_t)BLOCK * TAPS + i) * C + c] = sum[i];
    }
}
'''
NAMES = ('tdt', 'ctc', 'gather', 'dw2_forward', 'dw2_input', 'dw2_weight', 'dw1_forward', 'dw1_input', 'dw1_weight')
ON_GPU = '''#define DEVICE __device__
#define GLOBAL extern "C" __global__
#define BLOCK blockIdx.x
#define THREAD threadIdx.x
#define THREADS blockDim.x
#define SYNC __syncthreads()
#define ADD(p, x) atomicAdd(p, x)
'''
ON_CPU = '''#include <cmath>
#include <cstddef>
#define DEVICE static
#define GLOBAL extern "C"
#define THREAD 0
#define THREADS 1
#define SYNC
#define ADD(p, x) (*(p) += (x))
static int BLOCK;
extern "C" void set_block(int k) { BLOCK = k; }
'''
_built = {}


def _build(cuda):
    if cuda not in _built:
        if cuda:
            import cupy
            module = cupy.RawModule(code=ON_GPU + SOURCE)
            _built[cuda] = {n: module.get_function(n) for n in NAMES}
        else:
            folder = tempfile.mkdtemp()
            path = os.path.join(folder, 'k.cpp')
            open(path, 'w').write(ON_CPU + SOURCE)
            subprocess.run(['g++', '-O2', '-shared', '-fPIC', '-o', path + '.so', path], check=True)
            _built[cuda] = ctypes.CDLL(path + '.so')
    return _built[cuda]


def launch(name, blocks, threads, tensors, *integers):
    cuda = tensors[0].is_cuda
    assert all(t.is_contiguous() for t in tensors)
    if cuda:
        import cupy
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            _build(True)[name]((blocks,), (threads,), tuple(t.data_ptr() for t in tensors) + tuple(np.int32(i) for i in integers))
    else:
        lib = _build(False)
        for k in range(blocks):
            lib.set_block(k)
            getattr(lib, name)(*[ctypes.c_void_p(t.data_ptr()) for t in tensors], *[ctypes.c_int(i) for i in integers])


class Depthwise2(torch.autograd.Function):
    """x [B][T][H][C] in bf16, weight [C][1][3][3], n int32 [B] valid frames of x -> [B][T/2][H/2][C]."""

    @staticmethod
    def forward(ctx, x, weight, bias, n):
        B, T, H, C = x.shape
        T2, H2 = (T + 1) // 2, (H + 1) // 2
        w = weight.detach().view(C, 9).t().contiguous()
        y = torch.empty(B, T2, H2, C, dtype=x.dtype, device=x.device)
        launch('dw2_forward', B * T2, C, [x, w, bias.detach(), n, y], T, H, C, T2, H2)
        ctx.save_for_backward(x, w, n)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, n = ctx.saved_tensors
        (B, T, H, C), (T2, H2) = x.shape, g.shape[1:3]
        g = g.contiguous()
        dx, blocks = torch.empty_like(x), min(B * T2, 1056)
        launch('dw2_input', B * T, C, [g, w, n, dx], T, H, C, T2, H2)
        part = torch.empty(blocks, 10, C, device=x.device)
        launch('dw2_weight', blocks, C, [x, g, n, part], T, H, C, T2, H2, B * T2, blocks)
        part = part.sum(0)
        return dx, part[:9].t().reshape(C, 1, 3, 3), part[9], None


class Depthwise1(torch.autograd.Function):
    """x [B][T][C] in bf16, weight [C][1][9], chunk int32 [1] -> float32 [B][T][C]."""

    @staticmethod
    def forward(ctx, x, weight, chunk):
        B, T, C = x.shape
        w = weight.detach().view(C, 9).t().contiguous()
        y = torch.empty(B, T, C, device=x.device)
        launch('dw1_forward', B * ((T + 15) // 16), C, [x, w, chunk, y], T, C)
        ctx.save_for_backward(x, w, chunk)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, chunk = ctx.saved_tensors
        B, T, C = x.shape
        g = g.float().contiguous()
        dx, blocks = torch.empty_like(x), min(B * T, 1056)
        launch('dw1_input', B * ((T + 15) // 16), C, [g, w, chunk, dx], T, C)
        part = torch.empty(blocks, 9, C, device=x.device)
        launch('dw1_weight', blocks, C, [x, g, chunk, part], T, C, B * T, blocks)
        return dx, part.sum(0).t().reshape(C, 1, 9), None

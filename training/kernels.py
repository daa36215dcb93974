"""Two kernels in C that run on a GPU (through CuPy) and on a CPU (through g++): the TDT lattice and the gathering of audio.

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
'''
ON_GPU = '''#define DEVICE __device__
#define GLOBAL extern "C" __global__
#define BLOCK blockIdx.x
#define THREAD threadIdx.x
#define THREADS blockDim.x
#define SYNC __syncthreads()
'''
ON_CPU = '''#include <cmath>
#include <cstddef>
#define DEVICE static
#define GLOBAL extern "C"
#define THREAD 0
#define THREADS 1
#define SYNC
static int BLOCK;
extern "C" void set_block(int k) { BLOCK = k; }
'''
_built = {}


def _build(cuda):
    if cuda not in _built:
        if cuda:
            import cupy
            module = cupy.RawModule(code=ON_GPU + SOURCE)
            _built[cuda] = {n: module.get_function(n) for n in ('tdt', 'gather')}
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

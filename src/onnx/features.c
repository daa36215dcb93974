/* features.c - the front end as nodes (features.h).
 *
 * The windowed Fourier transform is a convolution whose kernels are the window times cosines and sines: two rows for each
 * bin.  Power needs no node of its own: the filterbank stands twice beside itself and sums the squares of both.  The order
 * of operations is that of docs/model.md; pre-emphasis comes before the length is applied, as there. */
#include "onnx/features.h"

#include "base/memory.h"
#include "features/filterbank.h"
#include "onnx/nodes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A table of the checkpoint, or ours where it has none; the caller frees it. */
static float *table(conure_graph *g, const char *name, size_t n, bool *given)
{
    float *data = conure_calloc(n, sizeof *data);
    *given = conure_graph_has(g, name);
    if (!data)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for the front end");
    if (!*given || !data)
        return data;
    free(data);
    return conure_graph_read(g, name, n);
}

/* [2 bins][1][window]: cosines, then sines, about the middle of the transform. */
static conure_value fourier(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const size_t bins = c->n_fft / 2 + 1, width = c->window_samples, left = (c->n_fft - width) / 2;
    const int64_t dims[3] = {2 * (int64_t)bins, 1, (int64_t)width};
    bool given;
    float *window = table(g, "preprocessor.featurizer.window", width, &given), *rows = conure_calloc(2 * bins * width, sizeof *rows);
    if (window && !given)
        conure_hann_window(window, c->window_samples);
    if (!rows)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for the front end");
    for (size_t k = 0; window && rows && k < bins; k++)
        for (size_t i = 0; i < width; i++) { /* the angle is reduced as an integer, exactly */
            const double angle = 6.283185307179586476925 * (double)(k * (i + left) % c->n_fft) / c->n_fft;
            rows[k * width + i] = (float)(window[i] * cos(angle));
            rows[(bins + k) * width + i] = (float)(window[i] * sin(angle));
        }
    const conure_value out = conure_floats(g, "fourier", window ? rows : NULL, 3, dims);
    free(rows);
    free(window);
    return out;
}

/* [mel][2 bins]: the filters twice. */
static conure_value filters(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const size_t bins = c->n_fft / 2 + 1, mel = c->mel_bins;
    const int64_t dims[2] = {(int64_t)mel, 2 * (int64_t)bins};
    bool given;
    float *bank = table(g, "preprocessor.featurizer.fb", mel * bins, &given), *twice = conure_calloc(2 * mel * bins, sizeof *twice);
    if (bank && !given)
        conure_mel_filterbank(bank, c);
    if (!twice)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for the front end");
    for (size_t m = 0; bank && twice && m < mel; m++)
        for (size_t k = 0; k < 2 * bins; k++)
            twice[m * 2 * bins + k] = bank[m * bins + k % bins];
    const conure_value out = conure_floats(g, "filterbank", bank ? twice : NULL, 2, dims);
    free(twice);
    free(bank);
    return out;
}

/* 1 where an element of the last axis of x is within the length [B], [B][1][n], as bool. */
static conure_value within(conure_graph *g, const char *label, conure_value x, int axis, conure_value length)
{
    char name[4][48];
    static const char *const parts[4] = {"count_int64", "count", "index", "length"};
    for (int i = 0; i < 4; i++)
        snprintf(name[i], sizeof name[i], "%s_%s", label, parts[i]);
    const conure_value n = conure_cast(g, name[1], conure_size_scalar(g, name[0], x, axis), CONURE_ONNX_INT32);
    const conure_value index = conure_op(g, "Range", name[2], conure_int32(g, 0), n, conure_int32(g, 1));
    return conure_op(g, "Less", label, index, conure_unsqueeze(g, name[3], length, 1, 2));
}

/* Samples to log-mel energies, [B][mel][1 + N / hop]. */
static conure_value log_mel(conure_graph *g, conure_value waveforms, conure_value length)
{
    const conure_config *c = conure_graph_config(g);
    const int64_t width = c->window_samples, left = c->n_fft / 2 - (c->n_fft - c->window_samples) / 2, taps_dims[3] = {1, 1, 2};
    const float taps[2] = {-c->preemphasis, 1};
    const conure_value row = conure_unsqueeze(g, "row", waveforms, 1);
    const conure_value emphasised = conure_op(g, "Conv", "emphasised", row, conure_floats(g, "preemphasis", taps, 3, taps_dims));
    conure_op_ints(g, "pads", 1, 0);
    const conure_value samples = within(g, "samples_within", waveforms, 1, length);
    const conure_value signal = conure_op(g, "Where", "signal", samples, emphasised, conure_number(g, 0));
    const conure_value spectrum = conure_op(g, "Conv", "spectrum", signal, fourier(g));
    conure_op_ints(g, "pads", left, width - left);
    conure_op_ints(g, "strides", c->hop_samples);
    const conure_value power = conure_op(g, "Mul", "power", spectrum, spectrum);
    const conure_value mel = conure_op(g, "MatMul", "mel", filters(g), power);
    return conure_op(g, "Log", "log", conure_op(g, "Add", "guarded", mel, conure_number(g, (double)c->log_guard)));
}

/* (x - mean) / (deviation + 1e-5) over the valid frames, of which there may be one or none: both counts are at least 1. */
static void normalise(conure_graph *g, conure_value x, conure_value frames)
{
    const conure_value valid = within(g, "frames_within", x, 2, frames), zero = conure_number(g, 0), one = conure_number(g, 1);
    const conure_value n = conure_unsqueeze(g, "n", conure_cast(g, "n_float", frames, conure_graph_type(g)), 1, 2);
    const conure_value less = conure_op(g, "Max", "n_less_one", conure_op(g, "Sub", "n_less", n, one), one);
    const conure_value kept = conure_op(g, "Where", "kept", valid, x, zero);
    const conure_value sum = conure_reduce_last(g, "ReduceSum", "sum", kept);
    const conure_value mean = conure_op(g, "Div", "mean", sum, conure_op(g, "Max", "n_or_one", n, one));
    const conure_value centred = conure_op(g, "Where", "centred", valid, conure_op(g, "Sub", "less_mean", x, mean), zero);
    const conure_value squares = conure_reduce_last(g, "ReduceSumSquare", "squares", centred);
    const conure_value deviation = conure_op(g, "Sqrt", "deviation", conure_op(g, "Div", "variance", squares, less));
    conure_op(g, "Div", ":features", centred, conure_op(g, "Add", "deviation_guarded", deviation, conure_number(g, 1e-5)));
}

void conure_features_build(conure_graph *g)
{
    const conure_config *c = conure_graph_config(g);
    const conure_value waveforms = conure_graph_input(g, "waveforms", CONURE_ONNX_FLOAT, "B,N");
    const conure_value lengths = conure_graph_input(g, "waveforms_lens", CONURE_ONNX_INT64, "B");
    conure_graph_scope(g, "mel.");
    const conure_value samples = conure_cast(g, "length", lengths, CONURE_ONNX_INT32);
    const conure_value x = log_mel(g, waveforms, samples);
    const conure_value frames = conure_op(g, "Div", "n_frames", samples, conure_int32(g, (int32_t)c->hop_samples));
    normalise(g, x, frames);
    conure_cast(g, ":features_lens", frames, CONURE_ONNX_INT64);
    conure_graph_output(g, "features", CONURE_ONNX_FLOAT, "B,%u,T", c->mel_bins);
    conure_graph_output(g, "features_lens", CONURE_ONNX_INT64, "B");
}

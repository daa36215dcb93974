/* subsampling.c - the convolutional front that turns 8 mel frames into one encoder row (spec 2).
 *
 * It works through an utterance in pieces of PIECE_ROWS encoder rows, so that its images, 8 * channels
 * times as large as the mel frames, stay small whatever the length.  A piece begins 8 mel frames early;
 * the one row that sees the cut is dropped, every other row has all of its neighbours, so pieces give
 * what the whole would give, bit by bit. */
#include "encoder/network.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_ROWS = 32, PIECE_FRAMES = (PIECE_ROWS + 1) * CONURE_SUBSAMPLING_FACTOR };

/* [channels][1][3][3] of the checkpoint to [3][3][channels]. */
static conure_status open_image_conv(conure_network *net, uint32_t stage, uint32_t index,
                                     conure_error *err)
{
    const uint32_t channels = net->config->subsampling_channels;
    const size_t n = (size_t)channels * 9;
    char name[64];
    CONURE_TRY(conure_host_fit(net, 2 * n, err));
    float *rows = net->host, *turned = net->host + n;
    snprintf(name, sizeof name, "encoder.pre_encode.conv.%u.weight", index);
    CONURE_TRY(conure_network_read(net, name, n, rows, err));
    for (uint32_t c = 0; c < channels; c++)
        for (uint32_t tap = 0; tap < 9; tap++)
            turned[tap * channels + c] = rows[c * 9 + tap];
    CONURE_TRY(conure_network_upload(net, turned, n, &net->front.weight[stage], err));
    snprintf(name, sizeof name, "encoder.pre_encode.conv.%u.bias", index);
    return conure_network_vector(net, name, channels, &net->front.bias[stage], err);
}

conure_status conure_front_open(conure_network *net, conure_error *err)
{
    const conure_config *c = net->config;
    const uint64_t point[4] = {c->subsampling_channels, c->subsampling_channels, 1, 1};
    const uint64_t out[2] = {c->d_model, (uint64_t)c->subsampling_channels * conure_encoder_frames(c->mel_bins)};
    const float scale = c->xscaling ? sqrtf((float)c->d_model) : 1.0f;
    CONURE_TRY(open_image_conv(net, 0, 0, err));
    CONURE_TRY(open_image_conv(net, 1, 2, err));
    CONURE_TRY(open_image_conv(net, 2, 5, err));
    CONURE_TRY(conure_network_matrix(net, "encoder.pre_encode.conv.3.weight", point, 4,
                                     "encoder.pre_encode.conv.3.bias", &net->front.pointwise[0], err));
    CONURE_TRY(conure_network_matrix(net, "encoder.pre_encode.conv.6.weight", point, 4,
                                     "encoder.pre_encode.conv.6.bias", &net->front.pointwise[1], err));
    CONURE_TRY(conure_network_matrix(net, "encoder.pre_encode.out.weight", out, 2,
                                     "encoder.pre_encode.out.bias", &net->front.out, err));
    CONURE_TRY(conure_host_fit(net, c->d_model, err));
    CONURE_TRY(conure_network_read(net, "encoder.pre_encode.out.bias", c->d_model, net->host, err));
    for (uint32_t i = 0; i < c->d_model; i++)
        net->host[i] *= scale;
    return conure_network_upload(net, net->host, c->d_model, &net->front.padding, err);
}

static inline uint32_t half(uint32_t n)
{
    return n / 2 + n % 2;
}

/* One pointwise convolution with ReLU over an image of n positions. */
static conure_status pointwise(conure_network *net, uint32_t i, float *dst, const float *src,
                               uint32_t n, conure_error *err)
{
    const uint32_t channels = net->config->subsampling_channels;
    const conure_product product = {
        .weight = net->front.pointwise[i],
        .dst = {dst, channels, n, channels},
        .epilogue = CONURE_RELU,
    };
    return net->ops->linear(net->backend, (conure_rows){(float *)src, channels, n, channels}, &product, 1, err);
}

/* frames mel frames (backend, [frames][mel_bins]) to ceil8(frames) flattened rows in rooms[2]. */
static conure_status run_piece(conure_network *net, const float *mel, uint32_t frames, conure_error *err)
{
    const conure_config *c = net->config;
    const uint32_t channels = c->subsampling_channels;
    const uint32_t h1 = half(frames), w1 = half(c->mel_bins), h2 = half(h1), w2 = half(w1);
    const uint32_t h3 = half(h2), w3 = half(w2);
    float *a = net->front_rooms[1].data, *b = net->front_rooms[2].data;
    conure_subsample s = {
        .src = mel, .dst = a, .height = frames, .width = c->mel_bins, .channels = channels, .relu = true,
        .weight = net->front.weight[0], .bias = net->front.bias[0],
    };
    CONURE_TRY(net->ops->subsample(net->backend, &s, err));
    s = (conure_subsample){
        .src = a, .dst = b, .height = h1, .width = w1, .channels = channels, .depthwise = true,
        .weight = net->front.weight[1], .bias = net->front.bias[1],
    };
    CONURE_TRY(net->ops->subsample(net->backend, &s, err));
    CONURE_TRY(pointwise(net, 0, a, b, h2 * w2, err));
    s = (conure_subsample){
        .src = a, .dst = b, .height = h2, .width = w2, .channels = channels, .depthwise = true,
        .weight = net->front.weight[2], .bias = net->front.bias[2],
    };
    CONURE_TRY(net->ops->subsample(net->backend, &s, err));
    CONURE_TRY(pointwise(net, 1, a, b, h3 * w3, err));
    return net->ops->flatten(net->backend, (conure_rows){b, (size_t)w3 * channels, h3, w3 * channels}, a, w3,
                             channels, err);
}

static size_t image_floats(const conure_network *net)
{
    return (size_t)half(PIECE_FRAMES) * half(net->config->mel_bins) * net->config->subsampling_channels;
}

uint64_t conure_front_bytes(const conure_network *net)
{
    return (2 * (uint64_t)image_floats(net) + (uint64_t)PIECE_FRAMES * net->config->mel_bins) * sizeof(float);
}

conure_status conure_front_run(conure_network *net, const conure_encode_row *row, conure_rows dst,
                               conure_error *err)
{
    const conure_config *c = net->config;
    const uint32_t valid = conure_encoder_frames(row->n_valid);
    const uint32_t columns = c->subsampling_channels * conure_encoder_frames(c->mel_bins);
    const float scale = c->xscaling ? sqrtf((float)c->d_model) : 1.0f;
    CONURE_TRY(conure_room_fit(net, &net->front_rooms[0], PIECE_FRAMES, c->mel_bins, err));
    CONURE_TRY(conure_room_fit(net, &net->front_rooms[1], image_floats(net), 1, err));
    CONURE_TRY(conure_room_fit(net, &net->front_rooms[2], image_floats(net), 1, err));
    for (uint32_t first = row->drop_first; first < valid; first += PIECE_ROWS) {
        const uint32_t end = valid - first < PIECE_ROWS ? valid : first + PIECE_ROWS;
        const uint32_t lead = first > 0; /* the row that sees the cut */
        const uint32_t mel_first = (first - lead) * CONURE_SUBSAMPLING_FACTOR;
        const uint64_t mel_end_full = (uint64_t)end * CONURE_SUBSAMPLING_FACTOR;
        const uint32_t mel_end = mel_end_full < row->n_valid ? (uint32_t)mel_end_full : row->n_valid;
        CONURE_TRY(net->ops->upload(net->backend, net->front_rooms[0].data,
                                    row->mel + (size_t)mel_first * c->mel_bins,
                                    (size_t)(mel_end - mel_first) * c->mel_bins * sizeof(float), err));
        CONURE_TRY(run_piece(net, net->front_rooms[0].data, mel_end - mel_first, err));
        const conure_product out = {
            .weight = net->front.out,
            .dst = {dst.data + (size_t)(first - row->drop_first) * dst.stride, dst.stride, end - first, c->d_model},
            .epilogue = c->xscaling ? CONURE_ADD : CONURE_STORE,
            .alpha = scale,
        };
        const conure_rows flat = {net->front_rooms[2].data + (size_t)lead * columns, columns, end - first, columns};
        CONURE_TRY(net->ops->linear(net->backend, flat, &out, 1, err));
    }
    for (uint32_t i = valid > row->drop_first ? valid - row->drop_first : 0; i < dst.rows; i++)
        CONURE_TRY(net->ops->copy(net->backend, dst.data + (size_t)i * dst.stride, net->front.padding,
                                  c->d_model * sizeof(float), err));
    return CONURE_OK;
}

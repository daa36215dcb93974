/* position.c - the relative positions of the attention: R_r = Wpos e(r) of each layer (spec 3.3).
 *
 * R depends on the layer and on r only, so each layer keeps a table of r = radius .. -radius, which
 * grows with the longest input seen.  Tables of all layers together stay below TABLE_BYTES_MAX; an
 * input longer than that computes its rows anew, layer by layer, in one shared room. */
#include "encoder/network.h"

#include "base/inject.h"
#include "base/memory.h"

#include <math.h>

enum { RADIUS_STEP = 64 };
static const uint64_t TABLE_BYTES_MAX = 160u << 20;

static uint64_t table_bytes(const conure_network *net, int64_t radius)
{
    return (uint64_t)net->config->n_layers * (uint64_t)(2 * radius + 1) * net->config->d_model * sizeof(float);
}

static int64_t rounded_radius(uint32_t n_keys)
{
    return ((int64_t)n_keys + RADIUS_STEP - 1) / RADIUS_STEP * RADIUS_STEP;
}

/* e(r) for r = first, first - 1 ..., n rows, uploaded into dst.  The product r * w is rounded to float
 * before the sine, as the table that trained the model was. */
static conure_status upload_waves(conure_network *net, int64_t first, uint32_t n, float *dst,
                                  conure_error *err)
{
    const uint32_t d = net->config->d_model;
    CONURE_TRY(conure_host_fit(net, (size_t)n * d, err));
    for (uint32_t a = 0; a < d / 2; a++) {
        const float w = expf((float)(2 * a) * (float)-(log(10000.0) / d));
        for (uint32_t i = 0; i < n; i++) {
            const float angle = (float)(first - i) * (CONURE_INJECTED(POSITION_SIGN) ? -w : w);
            net->host[(size_t)i * d + 2 * a] = (float)sin((double)angle);
            net->host[(size_t)i * d + 2 * a + 1] = (float)cos((double)angle);
        }
    }
    return net->ops->upload(net->backend, dst, net->host, (size_t)n * d * sizeof(float), err);
}

static conure_status project(conure_network *net, uint32_t layer, const float *waves, float *dst,
                             uint32_t n, conure_error *err)
{
    const uint32_t d = net->config->d_model;
    const conure_product product = {.weight = net->layers[layer].pos, .dst = {dst, d, n, d}};
    return net->ops->linear(net->backend, (conure_rows){(float *)waves, d, n, d}, &product, 1, err);
}

static conure_status grow_tables(conure_network *net, int64_t radius, conure_error *err)
{
    const uint32_t d = net->config->d_model, n = (uint32_t)(2 * radius + 1);
    net->positions_radius = -1;
    CONURE_TRY(conure_room_fit(net, &net->positions, n, d, err));
    CONURE_TRY(upload_waves(net, radius, n, net->positions.data, err));
    for (uint32_t i = 0; i < net->config->n_layers; i++) {
        void *table = NULL;
        net->ops->free(net->backend, net->layers[i].positions);
        net->layers[i].positions = NULL;
        CONURE_TRY(net->ops->alloc(net->backend, &table, (size_t)n * d * sizeof(float), err));
        net->layers[i].positions = table;
        CONURE_TRY(project(net, i, net->positions.data, table, n, err));
    }
    CONURE_TRY(conure_network_wait(net, err)); /* unfinished tables must not be kept */
    net->positions_radius = (int32_t)radius;
    return CONURE_OK;
}

bool conure_positions_kept(const conure_network *net, uint32_t n_keys)
{
    return table_bytes(net, rounded_radius(n_keys)) <= TABLE_BYTES_MAX;
}

/* Rows for n_keys keys: r = n_keys - 1 .. -(n_keys - 1). */
conure_status conure_positions_fit(conure_network *net, uint32_t n_keys, conure_error *err)
{
    const uint32_t d = net->config->d_model;
    const int64_t radius = rounded_radius(n_keys);
    if ((int64_t)net->positions_radius >= (int64_t)n_keys - 1)
        return CONURE_OK;
    if (conure_positions_kept(net, n_keys))
        return grow_tables(net, radius, err);
    CONURE_TRY(conure_room_fit(net, &net->positions, 2 * (2 * (size_t)n_keys - 1), d, err));
    return upload_waves(net, (int64_t)n_keys - 1, 2 * n_keys - 1, net->positions.data, err);
}

conure_status conure_positions_rows(conure_network *net, uint32_t layer, uint32_t n_keys,
                                    conure_rows *out, int32_t *first, conure_error *err)
{
    const uint32_t d = net->config->d_model, n = 2 * n_keys - 1;
    if (net->positions_radius >= (int32_t)n_keys - 1) {
        *first = net->positions_radius;
        *out = (conure_rows){net->layers[layer].positions, d, 2 * (uint32_t)net->positions_radius + 1, d};
        return CONURE_OK;
    }
    float *rows = net->positions.data + (size_t)n * d;
    *first = (int32_t)n_keys - 1;
    *out = (conure_rows){rows, d, n, d};
    return project(net, layer, net->positions.data, rows, n, err);
}

uint64_t conure_positions_bytes(const conure_network *net, uint32_t n_keys)
{
    const uint64_t row = (uint64_t)net->config->d_model * sizeof(float);
    const uint64_t tables = table_bytes(net, rounded_radius(n_keys));
    if (tables <= TABLE_BYTES_MAX)
        return tables + 2 * (2 * (uint64_t)rounded_radius(n_keys) + 1) * row;
    return 3 * (2 * (uint64_t)n_keys) * row;
}

/* network.c - opening and closing the network: weights by name into the backend, and the rooms that
 * a step works in. */
#include "encoder/network.h"

#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Remember what came from the backend, so that close frees all of it whatever open got to. */
static conure_status remember(void ***list, uint32_t *n, uint32_t *cap, void *item, conure_error *err)
{
    if (*n == *cap) {
        const uint32_t more = *cap ? 2 * *cap : 64;
        void **grown = realloc(*list, more * sizeof **list);
        if (!grown)
            return conure_fail_memory(err, "the list of weights", more * sizeof **list);
        *list = grown;
        *cap = more;
    }
    (*list)[(*n)++] = item;
    return CONURE_OK;
}

conure_status conure_network_upload(conure_network *net, const float *host, size_t n, float **out,
                                    conure_error *err)
{
    void *memory = NULL;
    *out = NULL;
    CONURE_TRY(net->ops->alloc(net->backend, &memory, n * sizeof *host, err));
    const conure_status status = remember(&net->memory, &net->n_memory, &net->memory_cap, memory, err);
    if (status != CONURE_OK) {
        net->ops->free(net->backend, memory);
        return status;
    }
    CONURE_TRY(net->ops->upload(net->backend, memory, host, n * sizeof *host, err));
    *out = memory;
    return CONURE_OK;
}

conure_status conure_network_read(conure_network *net, const char *name, uint64_t n, float *dst,
                                  conure_error *err)
{
    const conure_tensor *tensor = conure_model_tensor(net->model, name);
    if (!tensor)
        return conure_fail(err, CONURE_BAD_FILE, "%s: tensor %s is missing", net->model->name, name);
    return conure_tensor_read_f32(tensor, dst, n, err);
}

conure_status conure_network_vector(conure_network *net, const char *name, uint64_t n, float **out,
                                    conure_error *err)
{
    CONURE_TRY(conure_host_fit(net, n, err));
    CONURE_TRY(conure_network_read(net, name, n, net->host, err));
    return conure_network_upload(net, net->host, n, out, err);
}

conure_status conure_network_matrix(conure_network *net, const char *name, const uint64_t *shape,
                                    uint32_t rank, const char *bias_name, conure_weight **out,
                                    conure_error *err)
{
    const conure_tensor *tensor = NULL;
    const float *bias = NULL;
    *out = NULL;
    CONURE_TRY(conure_model_require(net->model, name, rank, shape, &tensor, err));
    if (bias_name) {
        CONURE_TRY(conure_host_fit(net, shape[0], err));
        CONURE_TRY(conure_network_read(net, bias_name, shape[0], net->host, err));
        bias = net->host;
    }
    CONURE_TRY(net->ops->weight_create(net->backend, out, tensor, bias, err));
    const conure_status status = remember((void ***)&net->weights, &net->n_weights,
                                          &net->weights_cap, *out, err);
    if (status != CONURE_OK)
        net->ops->weight_free(net->backend, out);
    /* A matrix that was repacked is not needed in its old form: give its pages back, or a 2.4 GB
     * checkpoint would stand in memory twice. */
    else if (!net->ops->weight_borrows(*out))
        conure_model_forget(net->model, tensor);
    return status;
}

conure_status conure_room_fit(conure_network *net, conure_room *room, size_t rows, size_t cols,
                              conure_error *err)
{
    size_t floats, bytes;
    if (!conure_mul(rows, cols, &floats) || !conure_mul(floats, sizeof(float), &bytes))
        return conure_fail(err, CONURE_LIMIT, "%zu rows of %zu values do not fit the address space", rows, cols);
    if (bytes <= room->bytes)
        return CONURE_OK;
    void *grown = NULL;
    net->ops->free(net->backend, room->data);
    *room = (conure_room){0};
    CONURE_TRY(net->ops->alloc(net->backend, &grown, bytes, err));
    room->data = grown;
    room->bytes = bytes;
    return CONURE_OK;
}

conure_status conure_host_fit(conure_network *net, size_t floats, conure_error *err)
{
    size_t bytes;
    if (!conure_mul(floats, sizeof(float), &bytes))
        return conure_fail_memory(err, "a host copy", SIZE_MAX);
    if (bytes <= net->host_bytes)
        return CONURE_OK;
    free(net->host);
    net->host_bytes = 0;
    net->host = conure_alloc_aligned(bytes);
    if (!net->host)
        return conure_fail_memory(err, "a host copy", bytes);
    net->host_bytes = bytes;
    return CONURE_OK;
}

static conure_status open_parts(conure_network *net, conure_error *err)
{
    const conure_config *c = net->config;
    const uint64_t enc[2] = {c->joint_hidden, c->d_model};
    const uint64_t out[2] = {(uint64_t)c->vocab_size + 1 + c->n_durations, c->joint_hidden};
    net->layers = conure_calloc(c->n_layers, sizeof *net->layers);
    if (!net->layers)
        return conure_fail_memory(err, "the layers", c->n_layers * sizeof *net->layers);
    CONURE_TRY(conure_front_open(net, err));
    for (uint32_t i = 0; i < c->n_layers; i++) {
        if (conure_cancelled(net->cancel))
            return conure_fail(err, CONURE_CANCELLED, "loading %s was cancelled", net->model->name);
        CONURE_TRY(conure_layer_open(net, i, err));
    }
    CONURE_TRY(conure_predictor_open(net, err));
    CONURE_TRY(conure_network_matrix(net, "joint.enc.weight", enc, 2, "joint.enc.bias",
                                     &net->joint_encoder, err));
    CONURE_TRY(conure_network_matrix(net, "joint.joint_net.2.weight", out, 2, "joint.joint_net.2.bias",
                                     &net->joint_out, err));
    return conure_network_wait(net, err);
}

conure_status conure_network_open(conure_network **out, const conure_model *model,
                                  const conure_ops *ops, void *backend, conure_mask mask,
                                  const volatile int *cancel, conure_error *err)
{
    *out = NULL;
    conure_network *net = conure_calloc(1, sizeof *net);
    if (!net)
        return conure_fail_memory(err, "the network", sizeof *net);
    net->model = model;
    net->config = &model->config;
    net->ops = ops;
    net->backend = backend;
    net->mask = mask;
    net->cancel = cancel;
    net->positions_radius = -1;
    const conure_status status = open_parts(net, err);
    if (status != CONURE_OK) {
        conure_network_close(&net);
        return status;
    }
    *out = net;
    return CONURE_OK;
}

static void close_room(conure_network *net, conure_room *room)
{
    net->ops->free(net->backend, room->data);
}

void conure_network_close(conure_network **network)
{
    conure_network *net = *network;
    if (!net)
        return;
    for (uint32_t i = 0; i < net->n_weights; i++)
        net->ops->weight_free(net->backend, &net->weights[i]);
    for (uint32_t i = 0; i < net->n_memory; i++)
        net->ops->free(net->backend, net->memory[i]);
    for (uint32_t i = 0; net->layers && i < net->config->n_layers; i++)
        net->ops->free(net->backend, net->layers[i].positions);
    close_room(net, &net->x);
    close_room(net, &net->normed);
    close_room(net, &net->wide);
    close_room(net, &net->key_rows);
    close_room(net, &net->positions);
    for (uint32_t i = 0; i < 3; i++)
        close_room(net, &net->front_rooms[i]);
    for (uint32_t i = 0; i < 4; i++)
        close_room(net, &net->small[i]);
    if (net->predictor.embed_owned)
        free(net->predictor.embed);
    free(net->weights);
    free(net->memory);
    free(net->layers);
    free(net->host);
    free(net);
    *network = NULL;
}

void conure_network_set_progress(conure_network *net, conure_progress_fn progress, void *user)
{
    net->progress = progress;
    net->progress_user = user;
}

void conure_network_set_probe(conure_network *net, conure_probe_fn probe, void *user)
{
    net->probe = probe;
    net->probe_user = user;
}

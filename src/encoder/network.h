/* network.h - the parts of conure_network, shared by the files of this folder. */
#ifndef CONURE_ENCODER_NETWORK_H
#define CONURE_ENCODER_NETWORK_H

#include "encoder/encoder.h"

#define CONURE_SUBSAMPLING_FACTOR 8
#define CONURE_THREADS_ESTIMATE 8 /* threads that encode_bytes() counts scratch for */

/* One Conformer layer (spec 3).  Vectors are in backend memory. */
typedef struct conure_layer {
    float *norm_ff1[2], *norm_att[2], *norm_conv[2], *norm_ff2[2], *norm_out[2]; /* weight, bias [d] */
    conure_weight *ff1_in, *ff1_out, *ff2_in, *ff2_out; /* [ff][d], [d][ff] */
    conure_weight *query, *key, *value, *out, *pos;     /* [d][d] */
    float *bias_u, *bias_v;                             /* [d] */
    conure_weight *conv_in, *conv_out;                  /* [2d][d], [d][d] */
    float *conv_weight, *conv_bias;                     /* [kernel][d], [d]: batch norm folded in */
    float *positions;                                   /* [2 * radius + 1][d], see position.c */
} conure_layer;

/* The five convolutions of the subsampling (spec 2): conv 0, 2, 5 are 3x3, 3 and 6 are pointwise. */
typedef struct conure_front {
    float *weight[3], *bias[3]; /* [3][3][channels], [channels] */
    conure_weight *pointwise[2];
    conure_weight *out;         /* [d][channels * mel_bins / 8] */
    float *padding;             /* [d]: what a frame of padding becomes, bias of out, scaled */
} conure_front;

typedef struct conure_predictor {
    float *embed;               /* [V + 1][hidden], host memory */
    bool embed_owned;
    conure_weight *input[CONURE_PREDICTOR_LAYERS_MAX];     /* weight_ih [4 hidden][hidden] */
    conure_weight *recurrent[CONURE_PREDICTOR_LAYERS_MAX]; /* weight_hh */
    conure_weight *project;     /* joint.pred */
} conure_predictor;

/* Backend memory that grows on demand and is reused from step to step. */
typedef struct conure_room {
    float *data;
    size_t bytes;
} conure_room;

struct conure_network {
    const conure_model *model;
    const conure_config *config;
    const conure_ops *ops;
    void *backend;
    conure_mask mask;
    const volatile int *cancel;
    conure_progress_fn progress;
    void *progress_user;
    conure_probe_fn probe;
    void *probe_user;

    conure_front front;
    conure_layer *layers; /* [n_layers] */
    conure_predictor predictor;
    conure_weight *joint_encoder, *joint_out; /* joint.enc, joint.joint_net.2 */

    int32_t positions_radius; /* layers' positions cover |r| <= radius; -1: none yet */
    conure_room x, normed, wide, key_rows, positions, front_rooms[3], small[4];
    float *host;              /* for the probe and for gathering */
    size_t host_bytes;
    /* Everything from the backend, freed in one place. */
    void **memory;
    uint32_t n_memory, memory_cap;
    conure_weight **weights;
    uint32_t n_weights, weights_cap;
};

/* Rows of the attention cache, oldest first in the n_rows slots before next; a ring per layer, all turned
 * alike.  See cache.c. */
typedef struct conure_ring {
    void *kv;        /* [n_layers][slots][2 d]: a row's key beside its value, f32 or bf16 */
    float *rows;     /* [n_layers][slots][d], NULL without keep_rows */
    uint32_t slots;  /* > cache_rows, by what one step may bring; 0 when that is 0 */
    uint32_t next;   /* slot of the next row */
    uint32_t n_rows; /* <= cache_rows; length may be less, under NeMo's rule also below 0 */
} conure_ring;

/* n rows that lie in one piece of a ring, from slot on; the first is row number row of those asked for. */
typedef struct conure_run {
    uint32_t slot, row, n;
} conure_run;

/* The caches of one stream (spec 5.2).  A step writes spare slots of the ring and the other time cache;
 * conure_state_commit() then takes them over, so that a step that fails leaves the state as it was. */
struct conure_state {
    conure_cache_options options;
    conure_ring ring;
    float *time[2];   /* [n_layers][conv_left][d], time-major */
    int64_t length;
    uint32_t current; /* the time cache to read */
    bool broken;      /* NeMo's rule left less than cache_rows rows: the next step cannot be done */
    bool in_step;     /* so that a batch cannot have it twice */
};

/* How a step of some rows turns the attention cache: the newest `stays` rows stay, and new rows first ..
 * first + enters - 1 follow them. */
typedef struct conure_turn {
    uint32_t stays, first, enters;
} conure_turn;

/* network.c */
conure_status conure_network_vector(conure_network *net, const char *name, uint64_t n, float **out,
                                    conure_error *err);
conure_status conure_network_upload(conure_network *net, const float *host, size_t n, float **out,
                                    conure_error *err);
/* out receives a matrix with shape[0] = n and the rest = k; bias_name NULL: none. */
conure_status conure_network_matrix(conure_network *net, const char *name, const uint64_t *shape,
                                    uint32_t rank, const char *bias_name, conure_weight **out,
                                    conure_error *err);
conure_status conure_network_read(conure_network *net, const char *name, uint64_t n, float *dst,
                                  conure_error *err);
conure_status conure_room_fit(conure_network *net, conure_room *room, size_t rows, size_t cols,
                              conure_error *err);
conure_status conure_host_fit(conure_network *net, size_t floats, conure_error *err);

/* subsampling.c */
conure_status conure_front_open(conure_network *net, conure_error *err);
/* Encoder rows skip .. of one utterance's mel (host) into dst (backend rows); rows from the valid
 * length on are the padding row. */
conure_status conure_front_run(conure_network *net, const conure_encode_row *row, conure_rows dst,
                               conure_error *err);
uint64_t conure_front_bytes(const conure_network *net);
static inline uint32_t conure_encoder_frames(uint32_t mel_frames)
{
    return mel_frames / CONURE_SUBSAMPLING_FACTOR + (mel_frames % CONURE_SUBSAMPLING_FACTOR != 0);
}

/* position.c */
conure_status conure_positions_fit(conure_network *net, uint32_t n_keys, conure_error *err);
/* True when rows for n_keys keys fit into tables that are kept from call to call. */
bool conure_positions_kept(const conure_network *net, uint32_t n_keys);
/* Rows of layer's R for r = *first, *first - 1 ...; from the table, or computed into a room. */
conure_status conure_positions_rows(conure_network *net, uint32_t layer, uint32_t n_keys,
                                    conure_rows *out, int32_t *first, conure_error *err);
uint64_t conure_positions_bytes(const conure_network *net, uint32_t n_keys);

/* layers.c */
conure_status conure_layer_open(conure_network *net, uint32_t i, conure_error *err);
/* x [rows][d] through every layer, with the caches of the rows that have a state. */
conure_status conure_layers_run(conure_network *net, conure_rows x, const conure_encode_row *rows,
                                const conure_span *spans, uint32_t n, conure_error *err);

/* cache.c */
size_t conure_cache_kv_bytes(const conure_network *net, const conure_cache_options *options);  /* of one row */
size_t conure_cache_row_bytes(const conure_network *net, const conure_cache_options *options); /* 0: not kept */
/* An empty ring with room for a step that brings `spare` rows (or a few more, at most the cache's). */
conure_status conure_ring_open(conure_network *net, conure_ring *out, const conure_cache_options *options,
                               uint32_t spare, conure_error *err);
void conure_ring_close(conure_network *net, conure_ring *ring);
size_t conure_ring_bytes(const conure_network *net, const conure_ring *ring, const conure_cache_options *options);
/* The pieces that n slots from `slot` on lie in; returns how many, at most 2. */
uint32_t conure_ring_runs(const conure_ring *ring, uint32_t slot, uint32_t n, conure_run runs[2]);
uint32_t conure_ring_newest(const conure_ring *ring, uint32_t n); /* first slot of the n newest rows */
uint8_t *conure_cache_kv(const conure_network *net, const conure_state *state, const conure_ring *ring, uint32_t layer,
                         uint32_t slot);
float *conure_cache_row(const conure_network *net, const conure_ring *ring, uint32_t layer, uint32_t slot);
/* Moves that bring the valid rows of a layer into the last of kv [cache_rows][2 d]; returns how many. */
uint32_t conure_cache_past(const conure_network *net, const conure_state *state, uint32_t layer, conure_rows kv,
                           conure_stored moves[2]);
/* Moves that put new rows kv [n][2 d] and what they were made of, normed [n][d], into the next slots. */
uint32_t conure_cache_fresh(const conure_network *net, const conure_state *state, uint32_t layer, conure_rows kv,
                            conure_rows normed, conure_stored moves[4]);
/* There is room for what a step of n_rows rows brings. */
conure_status conure_cache_fit(conure_network *net, conure_state *state, uint32_t n_rows, conure_error *err);

/* state.c */
size_t conure_state_time_floats(const conure_network *net);
conure_turn conure_state_turn(const conure_state *state, uint32_t n_rows);
/* The next time cache of one layer, into the one that is not current. */
conure_status conure_state_advance_time(conure_network *net, conure_state *state, uint32_t layer,
                                        const conure_span *span, conure_rows gated, conure_error *err);
void conure_state_commit(conure_state *state, uint32_t n_rows);

/* snapshot.c */
size_t conure_snapshot_bytes(const conure_network *net, const conure_cache_options *options, uint32_t n_rows);

/* encode.c */
conure_status conure_network_show(conure_network *net, const char *name, int32_t index, conure_rows x,
                                  const conure_span *spans, uint32_t n, conure_error *err);

/* predictor.c */
conure_status conure_predictor_open(conure_network *net, conure_error *err);

/* Queued work is done, or CANCELLED when some of it was left undone. */
static inline conure_status conure_network_wait(const conure_network *net, conure_error *err)
{
    return net->ops->wait ? net->ops->wait(net->backend, err) : CONURE_OK;
}

#endif

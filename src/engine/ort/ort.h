/* ort.h - the engine "ort": graphs of the network, written by src/onnx/, handed to ONNX Runtime in this process.
 *
 * One instance holds the sessions of one model: three small ones of the decoder from the beginning, one of the encoder for
 * whole utterances and one for each kind of state, made when they are first needed; all from the beginning where the graphs are
 * files.  A session has the weights in memory of
 * its own.  Used from one thread at a time; a session has the threads that it was asked for. */
#ifndef CONURE_ENGINE_ORT_H
#define CONURE_ENGINE_ORT_H

#include "contract/contract.h"
#include "engine/engine.h"
#include "engine/ort/library.h"
#include "onnx/graph.h"
#include "onnx/observe.h"

#include <pthread.h>

/* What runs the nodes.  X(identifier, engine, provider as ONNX Runtime calls it, memory of its device or NULL: the host's) */
#define CONURE_ORT_PROVIDERS(X)                             \
    X(cpu, "ort/cpu", "CPU", NULL)                          \
    X(cuda, "ort/cuda", "CUDA", "Cuda")                     \
    X(tensorrt, "ort/tensorrt", "Tensorrt", "Cuda")         \
    X(nvtensorrtrtx, "ort/nvtensorrtrtx", "NvTensorRTRTX", "Cuda")

typedef enum conure_ort_provider {
#define X(id, engine, name, memory) CONURE_ORT_##id,
    CONURE_ORT_PROVIDERS(X)
#undef X
} conure_ort_provider;

typedef struct conure_ort_session {
    ort_session *session;
    ort_binding *binding;
    bool is_long; /* its runs are worth spinning for between nodes, and ending early */
} conure_ort_session;

/* A float tensor [1].. that stays where the provider computes. */
typedef struct conure_ort_tensor {
    ort_value *value;
    float *host; /* its elements, owned; NULL on a device */
    int64_t shape[4];
    size_t floats;
} conure_ort_tensor;

/* The caches of one stream: [1][n_layers][cache_rows][d], [1][n_layers][d][conv_left]. */
typedef struct conure_ort_caches {
    conure_ort_tensor channel, time;
} conure_ort_caches;

/* The encoder for whole utterances, or for states of one kind. */
typedef struct conure_ort_encoder {
    struct conure_ort_encoder *next;
    conure_cache_options options; /* cache_rows 0: offline; else also drop_rows and time_cache_aligned count */
    uint32_t n_states;
    uint32_t frames_max;          /* mel frames that its session takes */
    conure_ort_session session;   /* made by the first step */
    conure_ort_caches *spare;     /* where steps put their outputs: they change places with those of states */
    uint32_t n_spare, spare_cap;
} conure_ort_encoder;

/* Ends a run when the caller's flag is set: a run itself does not look. */
typedef struct conure_ort_watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, running, closing, ended;
} conure_ort_watch;

typedef struct conure_ort_room {
    float *data;
    size_t floats;
} conure_ort_room;

typedef struct conure_ort {
    const conure_model *model;
    const conure_config *config;
    conure_ort_provider provider;
    conure_engine_options options;
    conure_observations *seen; /* where ranges were named, and the hash of their file; NULL and "" */
    char ranges_sha256[65];
    conure_contract names;     /* of a step's tensors; the rest of it says nothing here */
    conure_ort_library library;
    ort_env *env;
    ort_memory *host, *device; /* device: NULL where the provider computes in the host's memory */
    ort_allocator *allocator;  /* of device memory */
    ort_run_options *run;
    conure_ort_watch watch;
    conure_ort_session project, predict, joint;
    conure_ort_session move;   /* between host and device; only where there is one */
    conure_ort_encoder *encoders;
    conure_ort_room mel, out, batch[4]; /* a step's features and frames, and the caches of several streams, in and out */
    conure_ort_room decoder[3];
    char description[256];
} conure_ort;

struct conure_state {
    conure_cache_options options;
    conure_ort_encoder *encoder;
    conure_ort_caches caches;
    int64_t length;
    bool in_step; /* this step has seen it already */
};

/* ---- provider.c ---- */
const char *conure_ort_engine_name(conure_ort_provider provider);
const char *conure_ort_memory_name(conure_ort_provider provider); /* NULL: the host's */
/* What is asked for can be had; an error lists what can. */
conure_status conure_ort_provider_check(const conure_ort *r, conure_error *err);
conure_status conure_ort_provider_append(const conure_ort *r, ort_options *options, conure_error *err);
/* status; BACKEND, of the first session on a device, with what a device takes. */
conure_status conure_ort_provider_explain(const conure_ort *r, conure_status status, conure_error *err);

/* ---- session.c ---- */
/* A graph that somebody exported; what is wrong with it or the files that it names is said of path. */
conure_status conure_ort_session_open_file(conure_ort *r, conure_ort_session *out, const char *path, bool is_long, conure_error *err);
/* The graph as a session; the builder's failure if it has one. */
conure_status conure_ort_session_open(conure_ort *r, conure_ort_session *out, conure_graph *graph, bool is_long, conure_error *err);
void conure_ort_session_close(conure_ort *r, conure_ort_session *session);

/* One run: inputs and outputs are bound by name, then it goes.  Sticky: after a failure every call does nothing. */
enum { CONURE_ORT_BOUND_MAX = 8 };
typedef struct conure_ort_call {
    conure_ort *r;
    conure_ort_session *session;
    ort_value *owned[2 * CONURE_ORT_BOUND_MAX];
    uint32_t n_owned;
    conure_status status;
    conure_error *err;
} conure_ort_call;

conure_ort_call conure_ort_call_begin(conure_ort *r, conure_ort_session *session, conure_error *err);
/* Of this type, shape [rank], over memory of the host. */
void conure_ort_bind(conure_ort_call *call, bool input, const char *name, conure_onnx_type type, void *data, size_t rank,
                     const int64_t *shape);
void conure_ort_bind_value(conure_ort_call *call, bool input, const char *name, ort_value *value);
/* Run, unless something failed; CANCELLED when the caller's flag was set.  Ends the call. */
conure_status conure_ort_call_run(conure_ort_call *call, const char *what);

/* Room for floats, which are lost when it grows. */
conure_status conure_ort_room_fit(conure_ort_room *room, size_t floats, const char *what, conure_error *err);

/* ---- tensor.c ---- */
/* Zeros. */
conure_status conure_ort_tensor_open(conure_ort *r, conure_ort_tensor *out, const int64_t shape[4], conure_error *err);
void conure_ort_tensor_close(conure_ort *r, conure_ort_tensor *tensor);
conure_status conure_ort_tensor_read(conure_ort *r, const conure_ort_tensor *tensor, float *dst, conure_error *err);
conure_status conure_ort_tensor_write(conure_ort *r, conure_ort_tensor *tensor, const float *src, conure_error *err);
conure_status conure_ort_caches_open(conure_ort *r, conure_ort_caches *out, uint32_t cache_rows, conure_error *err);
void conure_ort_caches_close(conure_ort *r, conure_ort_caches *caches);
/* The session that moves tensors, and device memory: only for providers with a device. */
conure_status conure_ort_device_open(conure_ort *r, conure_error *err);

/* ---- watch.c ---- */
conure_status conure_ort_watch_open(conure_ort *r, conure_error *err);
void conure_ort_watch_close(conure_ort *r);
void conure_ort_watch_begin(conure_ort *r);
bool conure_ort_watch_end(conure_ort *r); /* the run was ended */

/* ---- encoder.c ---- */
/* The one for these options, made or found; NULL options: offline. */
conure_status conure_ort_encoder_get(conure_ort *r, conure_ort_encoder **out, const conure_cache_options *options, conure_error *err);
/* It has a session that takes so many frames. */
conure_status conure_ort_encoder_fit(conure_ort *r, conure_ort_encoder *encoder, uint32_t n_frames, conure_error *err);
/* Caches for a step's outputs, and back with those that are not needed. */
conure_status conure_ort_encoder_take(conure_ort *r, conure_ort_encoder *encoder, conure_ort_caches *out, conure_error *err);
void conure_ort_encoder_give(conure_ort *r, conure_ort_encoder *encoder, conure_ort_caches *caches);
void conure_ort_encoders_close(conure_ort *r);

/* ---- encode.c ---- */
conure_status conure_ort_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err);
uint64_t conure_ort_encode_bytes(const void *self, const uint32_t *mel_frames, uint32_t n);

/* ---- state.c ---- */
conure_status conure_ort_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err);
void conure_ort_state_close(void *self, conure_state **state);
void conure_ort_state_reset(void *self, conure_state *state);
conure_status conure_ort_state_export(void *self, const conure_state *state, float *last_channel, float *last_time, int64_t *length,
                                      conure_error *err);
conure_status conure_ort_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time,
                                      int64_t length, conure_error *err);
void conure_ort_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory);
int64_t conure_ort_state_length(const void *self, const conure_state *state);
conure_status conure_ort_state_save(void *self, const conure_state *state, void *dst, conure_error *err);
conure_status conure_ort_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err);

/* ---- foreign.c: the decoder of graphs that somebody else exported ---- */
conure_status conure_ort_foreign_open(conure_ort *r, conure_error *err);
conure_status conure_ort_foreign_project(conure_ort *r, const float *encoder, uint32_t n, float *out);
conure_status conure_ort_foreign_predict(conure_ort *r, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err);
/* frames, predictions [n][joint_hidden] */
conure_status conure_ort_foreign_joint(conure_ort *r, const float *frames, const float *predictions, uint32_t n, float *logits,
                                       conure_error *err);

/* ---- decoder.c ---- */
/* [a][b][width] to [b][a][width] */
void conure_ort_turn(float *dst, const float *src, size_t a, size_t b, size_t width);
conure_status conure_ort_decoder_open(conure_ort *r, conure_error *err);
conure_status conure_ort_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err);
conure_status conure_ort_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err);
conure_status conure_ort_joint(void *self, const float *const *frames, const float *const *predictions, uint32_t n, float *logits,
                               conure_error *err);

#endif

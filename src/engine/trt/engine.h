/* engine.h - what the files of the engine "trt" share. */
#ifndef CONURE_ENGINE_TRT_ENGINE_H
#define CONURE_ENGINE_TRT_ENGINE_H

#include "engine/engine.h"
#include "engine/trt/plan.h"
#include "engine/trt/runtime.h"

/* Shapes that are kept ready at a time: each has activations on the GPU. */
enum { CONURE_TRT_SLOTS = 8 };

/* A plan of this model, opened when it is first used. */
typedef struct conure_trt_ready {
    conure_plan_found found;
    conure_trt_plan *plan;
    uint32_t integer_bytes; /* of its lengths: 4 in TensorRT 8, 8 later */
} conure_trt_ready;

/* A plan at one T and B: context, buffers, and the recorded run where it does not depend on a stream. */
typedef struct conure_trt_slot {
    conure_trt_ready *ready; /* NULL: free */
    uint32_t n_frames, n_rows, batch; /* T, T', B */
    uint64_t serial;         /* unlike any slot before it, so that what was recorded on an older one shows */
    uint64_t used;           /* when, for choosing the one to replace */
    conure_trt_context *context;
    conure_trt_graph *graph;
    bool has_run, no_graphs;
    float *features, *encoder; /* device: [B][mel][T], [B][d][T'], or as rows, [B][T][mel], [B][T'][d] */
    void *integers;          /* device: length, cache length in, encoded length, cache length out, [4][B] */
    void *channel[2], *time[2]; /* device: caches of a batch, in and out; NULL for B = 1 */
    float *host_features, *host_encoder; /* pinned */
    void *host_integers;
} conure_trt_slot;

typedef struct conure_trt_engine {
    const conure_model *model;
    const conure_config *config;
    const volatile int *cancel;
    conure_log log;
    conure_trt *trt;
    void *native; /* the engine cpu at f32: prediction network and joint run on the host */
    conure_trt_ready *ready;
    uint32_t n_ready;
    conure_trt_slot slots[CONURE_TRT_SLOTS];
    uint64_t n_serials, n_used;
    bool said_no_graphs; /* once is enough */
    double device_s;     /* that the GPU ran plans for in the last call */
    conure_part_fn part; /* while a step is profiled, else NULL */
    void *part_user;
    char folder[PATH_MAX];
    char precision[16];
    bool mask_exact;
    uint32_t device;
    char library[512]; /* "" when none was named */
    char description[1024];
} conure_trt_engine;

/* How caches lie on the GPU, as conure_plan_side has it. */
typedef struct conure_trt_form {
    bool f16, matrices;
} conure_trt_form;

/* A stream's caches on the GPU.  A step reads [current] and writes the other; committing swaps them. */
struct conure_state {
    conure_cache_options options;
    conure_trt_form form;
    void *channel[2]; /* [n_layers][cache_rows][d_model], elements as form says */
    void *time[2];    /* [n_layers][d_model][conv_left], or as matrices [conv_left][d_model] */
    uint32_t current;
    int64_t length, next_length;
    bool in_step;
    conure_trt_graph *graphs[2]; /* the run that reads [0], [1] */
    uint64_t serials[2];         /* of the slots that they were recorded on */
};

/* step.c */
conure_status conure_trt_encode(void *self, conure_encode_row *rows, uint32_t n, conure_error *err);
conure_status conure_trt_encode_profiled(void *self, conure_encode_row *rows, uint32_t n, conure_part_fn fn, void *user, conure_error *err);
void conure_trt_slots_close(conure_trt_engine *e);
/* The longest offline slice that a plan takes; 0: there is no offline plan. */
uint32_t conure_trt_offline_max(const conure_trt_engine *e);

/* advice.c: the command that builds a plan for this engine, of utterances (0 mel frames: of the usual length; "" for more than a plan may
 * take), or of the steps of a contract. */
void conure_trt_advise_offline(const conure_trt_engine *e, uint64_t mel_frames, char out[CONURE_LONGER_BYTES]);
void conure_trt_advise_steps(const conure_trt_engine *e, char out[CONURE_LONGER_BYTES]);

/* engine.c */
/* Of a stream with such caches, which goes from plan to plan: of two forms that its plans have matrices are taken, and of elements the wider. */
conure_trt_form conure_trt_form_of(const conure_trt_engine *e, const conure_cache_options *options);
bool conure_trt_takes_state(const conure_plan_side *side, const conure_state *state); /* its caches are such as the plan has */

/* state.c: as engine.h has them */
size_t conure_trt_channel_bytes(const conure_trt_engine *e, const conure_cache_options *options, bool f16);
size_t conure_trt_time_bytes(const conure_trt_engine *e, bool f16);
conure_status conure_trt_state_open(void *self, conure_state **out, const conure_cache_options *options, conure_error *err);
void conure_trt_state_close(void *self, conure_state **state);
void conure_trt_state_reset(void *self, conure_state *state);
conure_status conure_trt_state_export(void *self, const conure_state *state, float *last_channel, float *last_time, int64_t *length,
                                      conure_error *err);
conure_status conure_trt_state_import(void *self, conure_state *state, const float *last_channel, const float *last_time, int64_t length,
                                      conure_error *err);
void conure_trt_state_bytes(const void *self, const conure_state *state, size_t *snapshot, size_t *memory);
int64_t conure_trt_state_length(const void *self, const conure_state *state);
conure_status conure_trt_state_save(void *self, const conure_state *state, void *dst, conure_error *err);
conure_status conure_trt_state_load(void *self, conure_state *state, const void *src, size_t bytes, conure_error *err);

#endif

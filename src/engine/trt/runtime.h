/* runtime.h - TensorRT and the CUDA driver behind plain C: libraries that are opened when they are asked for, plans, device memory, runs.
 * runtime.cpp and device.c fill it, in builds that are pointed at an SDK's headers (CONURE_TENSORRT_INCLUDE); a test does on the host.
 *
 * One conure_trt is one GPU with one stream, on which everything happens in
 * order and nothing waits but conure_trt_wait().  Used from one thread at a time, any thread.  No exception leaves it. */
#ifndef CONURE_ENGINE_TRT_RUNTIME_H
#define CONURE_ENGINE_TRT_RUNTIME_H

#include "base/error.h"
#include "engine/parts.h"

typedef struct conure_trt conure_trt;                 /* libraries, a GPU, a stream */
typedef struct conure_trt_plan conure_trt_plan;       /* a plan on the GPU */
typedef struct conure_trt_context conure_trt_context; /* a plan's activations for one set of shapes */
typedef struct conure_trt_graph conure_trt_graph;     /* a run that was recorded */

typedef struct conure_trt_facts {
    char version[32];        /* of the library: "8.6.0" */
    char gpu[96];            /* "NVIDIA H200" */
    uint32_t compute[2];     /* 9, 0 */
    uint32_t driver;         /* CUDA version of the driver: 13000 */
    uint64_t memory_bytes, free_bytes; /* of the GPU, when it was opened */
} conure_trt_facts;

/* Of the headers that this was built with: "8.6.0".  Static. */
const char *conure_trt_built_with(void);

/* Which GPU, in CUDA's order, and which TensorRT: NULL for what the loader finds, a folder that holds it, or the file. */
typedef struct conure_trt_place {
    uint32_t device;
    const char *library;
} conure_trt_place;

/* BACKEND: a library or the GPU is not there, or the library is of another major version than the headers; the text names it. */
conure_status conure_trt_open(conure_trt **out, const conure_trt_place *place, conure_log log, conure_error *err);
void conure_trt_close(conure_trt **trt); /* after all that was opened on it */
const conure_trt_facts *conure_trt_get_facts(const conure_trt *trt);

/* ---- building --------------------------------------------------------------------------------- */

typedef enum conure_trt_precision { CONURE_TRT_F32 = 0, CONURE_TRT_TF32, CONURE_TRT_F16, CONURE_TRT_BF16, CONURE_TRT_INT8 } conure_trt_precision;

#define CONURE_TRT_RANK_MAX 4

/* Shapes that an input may have. */
typedef struct conure_trt_range {
    const char *name;
    uint32_t rank;
    uint32_t min[CONURE_TRT_RANK_MAX], opt[CONURE_TRT_RANK_MAX], max[CONURE_TRT_RANK_MAX];
} conure_trt_range;

/* Bytes that TensorRT owns. */
typedef struct conure_trt_blob {
    const void *data;
    size_t bytes;
    void *owner;
} conure_trt_blob;
void conure_trt_blob_free(conure_trt_blob *blob); /* {0} is fine; while the conure_trt is open */

typedef struct conure_trt_build_options {
    const char *onnx;              /* a file; weights beside it */
    conure_trt_precision precision; /* from TensorRT 11 on the graph has it, and TF32 alone is set here; INT8: its graph quantises */
    bool f16_beside;               /* INT8: what is not quantised may be f16 */
    bool (*wide)(void *user, const char *node); /* NULL, or says of a node that it stays in f32 where others are reduced */
    void *wide_user;
    const conure_trt_range *ranges;
    uint32_t n_ranges;
    const char *const *halves;     /* names of inputs and outputs whose elements are f16 whatever the graph says; until 11, which takes its word */
    uint32_t n_halves;
    uint32_t level;                /* 0 .. 5: how long better kernels are looked for */
    uint32_t n_threads;            /* to compile with, 1 at least */
    const void *timing;            /* a timing cache of an earlier build, or NULL */
    size_t timing_bytes;
    const volatile int *cancel;    /* NULL, or a flag that ends the build (TensorRT 10 and later) */
    void (*progress)(void *user, const char *phase, uint32_t step, uint32_t n_steps); /* NULL, or called by any thread (10 and later) */
    void *progress_user;
} conure_trt_build_options;

typedef struct conure_trt_built {
    conure_trt_blob plan, timing;
    bool timing_used;      /* the timing cache that was given was taken */
    uint32_t n_layers;     /* of the network as it was parsed */
    uint32_t n_kept_f32;   /* of these, held in f32 while others may be reduced */
    double seconds;
} conure_trt_built;

/* Returns OK; UNSUPPORTED (this version does not have the precision, or not an operator: the text names the node), BACKEND, CANCELLED. */
conure_status conure_trt_build(conure_trt *trt, const conure_trt_build_options *options, conure_trt_built *out, conure_error *err);

/* ---- running ---------------------------------------------------------------------------------- */

/* bytes are a plan that is trusted: TensorRT runs what it finds there.  They may go after the call. */
conure_status conure_trt_plan_open(conure_trt *trt, conure_trt_plan **out, const void *bytes, size_t n, conure_error *err);
void conure_trt_plan_close(conure_trt_plan **plan); /* after its contexts */
/* The plan has this tensor, as an input or output; bytes of an element. */
bool conure_trt_plan_tensor(const conure_trt_plan *plan, const char *name, bool input, uint32_t *element_bytes);

conure_status conure_trt_context_open(conure_trt_plan *plan, conure_trt_context **out, conure_error *err);
void conure_trt_context_close(conure_trt_context **context);

/* A tensor of a run: where it is on the device, and of an input its shape (rank 0: an output). */
typedef struct conure_trt_tensor {
    const char *name;
    void *data;
    uint32_t rank;
    uint32_t dims[CONURE_TRT_RANK_MAX];
} conure_trt_tensor;

conure_status conure_trt_run(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_error *err);
/* The same run as a graph that is replayed later, with these addresses; the context must have run with these shapes before.  *out is
 * NULL when this version or network cannot be recorded, which is no failure: OK, and err says why. */
conure_status conure_trt_record(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_trt_graph **out,
                                conure_error *err);
conure_status conure_trt_replay(conure_trt_graph *graph, conure_error *err);
void conure_trt_graph_free(conure_trt_graph **graph); /* NULL-safe */
/* conure_trt_run(), waiting for each layer of the plan to time it; what TensorRT fused is one layer. */
conure_status conure_trt_profile(conure_trt_context *context, const conure_trt_tensor *tensors, uint32_t n, conure_part_fn fn, void *user,
                                 conure_error *err);

/* ---- memory ----------------------------------------------------------------------------------- */

conure_status conure_trt_alloc(conure_trt *trt, void **out, size_t bytes, conure_error *err);      /* of the device */
conure_status conure_trt_alloc_host(conure_trt *trt, void **out, size_t bytes, conure_error *err); /* of the host, pinned */
void conure_trt_free(conure_trt *trt, void *memory);      /* NULL-safe; waits for what runs */
void conure_trt_free_host(conure_trt *trt, void *memory);
/* Host or device, either side; host memory that is not pinned is copied before the call returns or as the stream comes to it, so that it
 * must stay until conure_trt_wait(). */
conure_status conure_trt_copy(conure_trt *trt, void *to, const void *from, size_t bytes, conure_error *err);
/* n_rows pieces of row_bytes, whose beginnings are to_stride and from_stride bytes apart. */
conure_status conure_trt_copy_rows(conure_trt *trt, void *to, size_t to_stride, const void *from, size_t from_stride, size_t row_bytes,
                                   size_t n_rows, conure_error *err);
conure_status conure_trt_zero(conure_trt *trt, void *to, size_t bytes, conure_error *err);
conure_status conure_trt_wait(conure_trt *trt, conure_error *err); /* for all that was asked for; reports what failed of it */
/* The GPU's own time between two points of the stream, 0 and then 1, which conure_trt_wait() has waited for. */
conure_status conure_trt_mark(conure_trt *trt, int which, conure_error *err);
conure_status conure_trt_between_marks(conure_trt *trt, double *seconds, conure_error *err);
/* Bytes of the GPU's memory that are taken more than when it was opened: plans, activations, states, and whatever others took since. */
conure_status conure_trt_memory(conure_trt *trt, uint64_t *used, conure_error *err);

#endif

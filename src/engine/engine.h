/* engine.h - something that can run the network: our own encoder on a backend's operations ("cpu",
 * later "cuda"), the same network in double precision and plain loops ("ref"), or a runtime that is
 * handed whole graphs.  Callers know this table only.
 *
 * An engine instance holds one model at one precision and is used from one thread at a time.  The
 * state of a stream (encoder caches) is an object of the engine, so that it may stay on a device. */
#ifndef CONURE_ENGINE_ENGINE_H
#define CONURE_ENGINE_ENGINE_H

#include "base/error.h"
#include "conure.h"
#include "encoder/step.h"
#include "engine/parts.h"
#include "model/model.h"

typedef struct conure_engine_options {
    const char *isa;
    uint32_t n_threads;
    conure_precision precision; /* never DEFAULT */
    conure_mask mask;           /* never DEFAULT */
    const volatile int *cancel; /* NULL or a flag that ends a call with CANCELLED */
    conure_progress_fn progress; /* NULL or called as encode() goes on; false cancels */
    void *progress_user;
    conure_log log;
    uint32_t device;     /* of engines that have several, from 0 */
    const char *library; /* of engines that open one at run time; NULL: where they look for it */
    const char *ranges;  /* of engines whose int8 or f16 was seen on speech: what `conure export ranges` wrote; NULL: none */
} conure_engine_options;

#define CONURE_LONGER_BYTES 320 /* of a command in a message, which holds it beside why */

/* Settings that an engine takes beside threads and precision: others are refused, so that none is passed over in silence. */
enum { CONURE_TAKES_ISA = 1, CONURE_TAKES_DEVICE = 2, CONURE_TAKES_LIBRARY = 4, CONURE_TAKES_RANGES = 8 };

typedef struct conure_engine {
    const char *name;
    uint32_t takes;             /* CONURE_TAKES_..., or'ed */
    conure_precision precision; /* what it computes in unless told otherwise; DEFAULT: see
                                   conure_engine_precision() */
    bool kv_bf16;               /* states can keep keys and values in bf16; others keep the contract's float32 rows */
    /* Called by conure_engine_open(). */
    conure_status (*open)(void **self, const conure_model *model, const conure_engine_options *options,
                          conure_error *err);
    void (*close)(void **self);
    const char *(*describe)(const void *self);
    void (*set_probe)(void *self, conure_probe_fn probe, void *user); /* (optional) NULL: none */

    /* Bytes of activations that encoding rows of these lengths takes at once; UINT64_MAX on overflow. */
    uint64_t (*encode_bytes)(const void *self, const uint32_t *mel_frames, uint32_t n);
    /* (optional) The command after which it takes utterances of so many mel frames; "" where none would help, NULL: none ever does. */
    void (*longer)(const void *self, uint64_t mel_frames, char out[CONURE_LONGER_BYTES]);

    /* One step of n rows; each comes out as it would alone.  On failure no state has changed. */
    conure_status (*encode)(void *self, conure_encode_row *rows, uint32_t n, conure_error *err);
    /* (optional) The same, slower, and what its parts took, by the names that the engine has for them. */
    conure_status (*profile)(void *self, conure_encode_row *rows, uint32_t n, conure_part_fn fn, void *user, conure_error *err);
    /* (optional) Bytes of the device's memory that this instance takes, as the device counts. */
    conure_status (*device_bytes)(void *self, uint64_t *bytes, conure_error *err);
    /* (optional) Seconds that the device computed for in the last encode(), by its own clock: without what goes up and comes down. */
    double (*device_seconds)(const void *self);

    conure_status (*state_open)(void *self, conure_state **out, const conure_cache_options *options,
                                conure_error *err);
    void (*state_close)(void *self, conure_state **state);
    void (*state_reset)(void *self, conure_state *state);
    /* The contract's tensors, one stream, layer-first [n_layers][cache_rows][d_model] and
     * [n_layers][d_model][conv_left], and the length (NeMo's rule can make it negative).  UNSUPPORTED
     * unless the state was opened with keep_rows.  Import projects the rows to keys and values as the
     * step did that they come from, so the stream goes on with the same bits (f32 kept; "ref" rounds its
     * doubles to the tensors' floats); on failure the state is unchanged. */
    conure_status (*state_export)(void *self, const conure_state *state, float *last_channel,
                                  float *last_time, int64_t *length, conure_error *err);
    conure_status (*state_import)(void *self, conure_state *state, const float *last_channel,
                                  const float *last_time, int64_t length, conure_error *err);

    /* Bytes that state_save() writes as the state is now (more as its cache fills), and memory that the
     * state takes, wherever that is.  Both out parameters are required. */
    void (*state_bytes)(const void *self, const conure_state *state, size_t *snapshot, size_t *memory);
    /* cache_last_channel_len: valid rows of the attention cache; below 0 only under NeMo's rule. */
    int64_t (*state_length)(const void *self, const conure_state *state);
    /* The whole state as bytes in host memory, dst [snapshot bytes], any alignment. */
    conure_status (*state_save)(void *self, const conure_state *state, void *dst, conure_error *err);
    /* Back from such bytes, into a state with the same options, of any instance of this engine with the
     * same model at the same precision (the caller sees to that: a snapshot knows the model's shape
     * only).  What follows is bit for bit what would have followed.  src is hostile: UNSUPPORTED for
     * other options or another shape, BAD_FILE for what no state can be.  On failure the state is
     * unchanged. */
    conure_status (*state_load)(void *self, conure_state *state, const void *src, size_t bytes,
                                conure_error *err);

    /* Joint's projection of encoder frames: [n][d_model] -> [n][joint_hidden]. Host memory here and
     * below: these are small. */
    conure_status (*project)(void *self, const float *encoder, uint32_t n, float *out,
                             conure_error *err);
    /* One predictor step of n streams: token (V = start, the zero row) and state h, c
     * [n][pred_layers][pred_hidden] in place; out [n][joint_hidden] is the projected output.
     * output (may be NULL) receives the last layer's h [n][pred_hidden]. */
    conure_status (*predict)(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n,
                             float *out, conure_error *err);
    /* logits [n][V + 1 + n_durations] of n pairs of projected frame and predictor output. */
    conure_status (*joint)(void *self, const float *const *frames, const float *const *predictions,
                           uint32_t n, float *logits, conure_error *err);
} conure_engine;

/* A candidate in words, BACKEND[/PROVIDER] and these: what --engine takes. */
#define CONURE_ENGINE_SETTINGS "[:PRECISION][@threads=N,isa=NAME,device=N,library=PATH,ranges=FILE]"
#define CONURE_DEVICE_MAX 255
typedef struct conure_engine_spec {
    char engine[64];            /* "cpu", "ort/cuda" */
    conure_precision precision; /* DEFAULT when not given */
    uint32_t n_threads;         /* 0 when not given */
    char isa[32];               /* "" when not given */
    uint32_t device;            /* 0 when not given */
    char library[512];          /* "" when not given */
    char ranges[512];           /* "" when not given */
} conure_engine_spec;

/* BAD_ARG names the part that is wrong and what is accepted there.  A path that holds a comma cannot be given. */
conure_status conure_engine_spec_parse(conure_engine_spec *spec, const char *text, conure_error *err);

/* Where and on what a spec says to run: isa, device, library, ranges, precision (DEFAULT where it names none) and threads, else n_threads, else one per
 * processor that the process may use; the rest is zeros.  The options keep pointers into *spec. */
conure_engine_options conure_engine_spec_options(const conure_engine_spec *spec, uint32_t n_threads);

/* "f32", "bf16", "int8", "f64", "tf32", "f16"; NULL for DEFAULT and what is none. */
const char *conure_precision_name(conure_precision precision);

/* What an engine computes in when asked for `asked`: that; else its own; else int8 for a model whose
 * matrices are int8, and f32. */
conure_precision conure_engine_precision(const conure_engine *engine, const conure_model *model, conure_precision asked);

/* The engine of a model for which none was asked: "cpu", but "ort/cpu" for exported graphs; static. */
const char *conure_engine_default(const conure_model *model);

/* An instance; it is closed by the table's close().  BAD_ARG for a setting that the engine does not take, else what it says. */
conure_status conure_engine_open(void **self, const conure_engine *engine, const conure_model *model, const conure_engine_options *options,
                                 conure_error *err);

/* By name; a BACKEND error names those that this build has. */
conure_status conure_engine_find(const conure_engine **out, const char *name, conure_error *err);

extern const conure_engine conure_engine_native_cpu;
extern const conure_engine conure_engine_reference;
extern const conure_engine conure_engine_ort_cpu, conure_engine_ort_cuda, conure_engine_ort_tensorrt, conure_engine_ort_nvtensorrtrtx;
extern const conure_engine conure_engine_trt; /* only in builds with CONURE_HAVE_TRT */

#endif

/* export.h - a checkpoint as a folder of ONNX graphs, in the layouts that runtimes read. */
#ifndef CONURE_ONNX_EXPORT_H
#define CONURE_ONNX_EXPORT_H

#include "contract/contract.h"
#include "onnx/graph.h"
#include "onnx/observe.h"

/* X(name, identifier on the command line) */
#define CONURE_EXPORT_LAYOUT_LIST(X) \
    X(ONNX_ASR, "onnx-asr")          \
    X(SHERPA_ONNX, "sherpa-onnx")

typedef enum conure_export_layout {
#define X(name, id) CONURE_EXPORT_##name,
    CONURE_EXPORT_LAYOUT_LIST(X)
#undef X
} conure_export_layout;

/* Of the encoders; decoder and front end are small and stay float32.  X(name, identifier, what file names carry) */
#define CONURE_EXPORT_PRECISION_LIST(X) \
    X(F32, "f32", "")                   \
    X(F16, "f16", ".fp16")              \
    X(BF16, "bf16", ".bf16")            \
    X(INT8, "int8", ".int8")

typedef enum conure_export_precision {
#define X(name, id, suffix) CONURE_EXPORT_##name,
    CONURE_EXPORT_PRECISION_LIST(X)
#undef X
} conure_export_precision;

/* Graphs that are written, or'ed. */
enum {
    CONURE_EXPORT_ENCODER = 1,   /* offline */
    CONURE_EXPORT_STREAMING = 2, /* one step, as the contract has it */
    CONURE_EXPORT_DECODER = 4,   /* prediction network and joint */
    CONURE_EXPORT_FEATURES = 8,  /* the front end; sherpa-onnx has its own */
};

typedef struct conure_export_options {
    conure_export_layout layout;
    uint32_t graphs;
    const conure_contract *contract; /* for STREAMING; of this model and this precision */
    uint32_t opset;
    conure_mask mask;                /* of the offline encoder; DEFAULT: the checkpoint's */
    uint32_t frames_max;             /* mel frames that the offline encoder takes at most; 0: any number */
    conure_export_precision precision;
    bool float_weights;              /* INT8: CONURE_INT8_FLOAT and not _WHOLE */
    bool fusible;                    /* encoders as TensorRT fuses them, conure_encoder_plan */
    uint32_t batch;                  /* STREAMING: rows of every step, within the contract's profiles; 0: any number */
    bool narrow_io;                  /* features and encoder output in f16 or bf16 too; false: float32 */
    bool narrow_caches;              /* caches in f16, bf16 or int8 too */
    const conure_utterance *utterances; /* speech that shows how large values become; INT8 needs it, F16 should have it */
    uint32_t n_utterances, n_threads;
    const conure_observations *seen; /* in place of utterances, what was seen of them */
    const volatile int *cancel;
    conure_external external;
    bool force;                      /* replace files that are there */
    conure_log log;
    conure_progress_fn progress;     /* NULL or called with 0 .. 1 */
    void *progress_user;
} conure_export_options;

#define CONURE_EXPORT_FILES_MAX 16

/* One file that was written. */
typedef struct conure_export_file {
    char name[64];
    bool is_graph;
    conure_graph_facts facts; /* of a graph; of another only bytes */
} conure_export_file;

typedef struct conure_export_report {
    conure_export_file files[CONURE_EXPORT_FILES_MAX];
    uint32_t n_files;
    uint32_t n_wide; /* layers of the encoder that stayed float32 in a float16 graph, the subsampling counted as one */
} conure_export_report;

/* folder exists.  Files appear whole and together, once all of them are made: after a failure the folder is as it was and the report
 * empty.  GRAPH.data of a graph that is replaced by one without goes.
 * Cost: reading the checkpoint twice (hash, weights); memory: the largest matrix three times. */
conure_status conure_export_onnx(const conure_model *model, const char *folder, const conure_export_options *options,
                                 conure_export_report *report, conure_error *err);

#endif

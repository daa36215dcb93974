/* conure.h - speech to text with FastConformer-TDT models.  This file is the contract of libconure:
 * what is not here is private.
 *
 * Threads:   a conure_model is immutable and may be shared by any number of threads.  A
 *            conure_recognizer serves one thread at a time; open one per thread, all on one model.
 *            Functions that take neither may be called from anywhere.
 * Lifetimes: close every recognizer before its model.  No call keeps a pointer of the caller's, but
 *            conure_model_open_memory(), whose bytes must outlive the model, and the cancel flag and
 *            log callback, which must outlive the object they were given to.
 * Memory:    what the library hands out, the library frees: every *_open has its *_close.
 * Quiet:     the library never prints, exits, installs a signal handler, changes the locale or keeps
 *            global state.  What it has to say goes to the log callback.
 * Text:      UTF-8, NUL-terminated.  Times are seconds from the first sample.
 * Versions:  option structs carry their size, set by their _init function, so they can grow. */
#ifndef CONURE_H
#define CONURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CONURE_API __attribute__((visibility("default")))
#else
#define CONURE_API
#endif

#define CONURE_VERSION_MAJOR 0
#define CONURE_VERSION_MINOR 1
#define CONURE_VERSION_PATCH 0

/* ---- status ---------------------------------------------------------------------------------- */

/* Sign tells the kind: 0 done, < 0 failed.  (Positive values, "not an error: act and call again",
 * are reserved for sessions.) */
#define CONURE_STATUS_LIST(X)                                              \
    X(OK, 0, "ok")                                                         \
    X(BAD_ARG, -1, "argument out of range")                                \
    X(NO_MEMORY, -2, "out of memory")                                      \
    X(IO, -3, "file or stream could not be read or written")               \
    X(BAD_FILE, -4, "file is damaged or not of the expected format")       \
    X(UNSUPPORTED, -5, "well formed, but not supported")                   \
    X(LIMIT, -6, "a limit would be exceeded")                              \
    X(CANCELLED, -7, "cancelled by the caller")                            \
    X(BAD_AUDIO, -8, "audio cannot be used")                               \
    X(BACKEND, -9, "compute backend failed or is not available")           \
    X(INTERNAL, -10, "internal error: please report it")

typedef enum conure_status {
#define X(name, value, text) CONURE_##name = value,
    CONURE_STATUS_LIST(X)
#undef X
} conure_status;

/* Says what failed, where, and the way out.  The caller's; NULL is allowed everywhere. */
typedef struct conure_error {
    char text[512];
} conure_error;

CONURE_API const char *conure_status_text(conure_status status); /* static, never NULL */
CONURE_API const char *conure_version(void);                     /* "MAJOR.MINOR.PATCH", static */

/* ---- logging --------------------------------------------------------------------------------- */

typedef enum conure_log_level {
    CONURE_LOG_WARNING = 1,
    CONURE_LOG_INFO = 2,
    CONURE_LOG_DEBUG = 3,
} conure_log_level;

/* Called from the thread that called the library; must not call back into it. */
typedef void (*conure_log_fn)(void *user, conure_log_level level, const char *text);

/* Called now and then during long work with a fraction 0 .. 1; return false to cancel. */
typedef bool (*conure_progress_fn)(void *user, double fraction);

/* ---- model ----------------------------------------------------------------------------------- */

typedef struct conure_model conure_model;

typedef enum conure_mask {
    CONURE_MASK_DEFAULT = 0, /* what the checkpoint says: nemo for .nemo, exact for Hugging Face */
    CONURE_MASK_NEMO = 1,    /* masked scores are -10000, then the weights are zeroed */
    CONURE_MASK_EXACT = 2,   /* masked scores are -infinity */
} conure_mask;

typedef enum conure_precision {
    CONURE_PRECISION_DEFAULT = 0, /* f32, but int8 for a file with int8 weights */
    CONURE_PRECISION_F32 = 1,
    CONURE_PRECISION_BF16 = 2, /* bf16 weights and activations of matrix products, f32 sums */
    CONURE_PRECISION_INT8 = 3, /* int8 weights per output channel, int8 activations per frame */
} conure_precision;

/* What kind of file a model came from. */
typedef enum conure_format {
    CONURE_FORMAT_NEMO = 1,
    CONURE_FORMAT_HUGGINGFACE = 2,
    CONURE_FORMAT_CONURE = 3, /* written by conure_model_convert() */
} conure_format;

typedef struct conure_model_options {
    uint32_t struct_bytes; /* set by conure_model_options_init() */
    conure_log_fn log;     /* NULL: silent */
    void *log_user;
    bool check_finite;     /* refuse weights that hold NaN or infinity; default true.  Reads every
                              weight once; converted files were checked when they were written. */
} conure_model_options;

/* Facts about an open model.  Strings belong to the model. */
typedef struct conure_model_info {
    uint32_t struct_bytes; /* set by the caller to sizeof */
    const char *name;      /* file name without folder and ending */
    const char *sha256;    /* 64 hex digits: of the weights and the configuration, format-independent
                              for the same numbers in the same storage type; never NULL */
    conure_format format;
    conure_mask mask;      /* never DEFAULT */
    const char *weights;   /* storage type of the matrices: "f32", "f16", "bf16" or "int8" */
    uint64_t n_parameters;
    uint64_t weight_bytes;
    uint32_t sample_rate_hz, mel_bins, n_layers, d_model, n_heads, vocab_size, n_durations;
    double frame_s;        /* seconds of one encoder frame */
} conure_model_info;

CONURE_API void conure_model_options_init(conure_model_options *options);

/* Open a checkpoint: a .nemo archive, a Hugging Face folder, or a converted file; the content
 * decides, not the name.  The file is mapped, not read: it must not shrink while the model is open.
 *
 *   out      receives the model; NULL on failure
 *   path     file or folder
 *   options  NULL: defaults
 *
 * Returns OK, BAD_ARG, NO_MEMORY, IO, BAD_FILE, UNSUPPORTED.
 * Cost: parses headers and, for .nemo and Hugging Face, reads every weight once (check_finite). */
CONURE_API conure_status conure_model_open(conure_model **out, const char *path,
                                           const conure_model_options *options, conure_error *err);

/* The same for a converted file that is already in memory (an embedded model).
 * data must be aligned to 64 bytes and stay valid and unchanged until conure_model_close(). */
CONURE_API conure_status conure_model_open_memory(conure_model **out, const void *data, size_t bytes,
                                                  const char *name,
                                                  const conure_model_options *options,
                                                  conure_error *err);

CONURE_API void conure_model_close(conure_model **model); /* NULL-safe; sets *model to NULL */

/* Returns OK, BAD_ARG, NO_MEMORY.  Cost: the first call on a model that is not a converted file hashes
 * its weights (seconds for gigabytes); the hash is kept. */
CONURE_API conure_status conure_model_get_info(const conure_model *model, conure_model_info *info);

/* The text piece of a token as the tokenizer stores it, e.g. "\xE2\x96\x81the"; NULL if out of range.
 * Belongs to the model. */
CONURE_API const char *conure_model_piece(const conure_model *model, uint32_t token);

/* ---- recognizer ------------------------------------------------------------------------------ */

typedef struct conure_recognizer conure_recognizer;

typedef struct conure_recognizer_options {
    uint32_t struct_bytes;      /* set by conure_recognizer_options_init() */
    const char *engine;         /* "cpu" (default when NULL) */
    conure_precision precision;
    conure_mask mask;
    uint32_t n_threads;         /* 0: one per processor the process may use, at most 64 */
    const char *isa;            /* CPU features to use at most: NULL or "native", "c", "avx2",
                                   "avx512", "vnni", "bf16", "amx"; see docs/model.md */
    uint64_t memory_bytes_max;  /* for activations; 0: half of the memory that is free at open */
    uint32_t max_symbols;       /* tokens on one frame at most; 0: the model's own value */
    conure_log_fn log;          /* NULL: silent */
    void *log_user;
    const volatile int *cancel; /* NULL, or a flag that ends a running call with CANCELLED once it
                                   is not 0; looked at many times a second.  Set it from a signal
                                   handler, or from another thread with an atomic store
                                   (__atomic_store_n), and clear it only between calls */
    conure_progress_fn progress; /* NULL, or called between layers of a running transcription, from
                                   the thread that called */
    void *progress_user;
} conure_recognizer_options;

CONURE_API void conure_recognizer_options_init(conure_recognizer_options *options);

/* Returns OK, BAD_ARG, NO_MEMORY, BAD_FILE, UNSUPPORTED, CANCELLED, BACKEND (an engine or instruction set
 * that was asked for by name and is not to be had is an error, never replaced silently). */
CONURE_API conure_status conure_recognizer_open(conure_recognizer **out, const conure_model *model,
                                                const conure_recognizer_options *options,
                                                conure_error *err);
CONURE_API void conure_recognizer_close(conure_recognizer **recognizer);

/* One line that says what runs: engine, precision, instruction set, threads.  Belongs to it. */
CONURE_API const char *conure_recognizer_describe(const conure_recognizer *recognizer);

/* Longest input in samples that fits the recognizer's memory limit in one conure_transcribe(). */
CONURE_API uint64_t conure_recognizer_samples_max(const conure_recognizer *recognizer);

typedef struct conure_token {
    uint32_t id;
    uint32_t frame;      /* encoder frame on which it was emitted; frame k is centred at k * frame_s */
    uint32_t duration;   /* frames until the next evaluation, one of the model's durations */
    float confidence;    /* softmax over labels and blank (durations excluded) at emission, 0 .. 1 */
    const char *text;    /* its piece; belongs to the model */
} conure_token;

typedef struct conure_word {
    const char *text;
    double start_s, end_s;
    float confidence;                /* smallest of its tokens' */
    uint32_t first_token, n_tokens;  /* indexes into tokens */
} conure_word;

typedef struct conure_segment {
    const char *text;                /* ends at . ? ! or at the end of the input */
    double start_s, end_s;
    float confidence;                /* smallest of its words' */
    uint32_t first_word, n_words;
} conure_segment;

/* One utterance's transcript.  All pointers belong to the result; arrays may be NULL when empty. */
typedef struct conure_result {
    const char *text;
    const conure_token *tokens;
    const conure_word *words;
    const conure_segment *segments;
    uint32_t n_tokens, n_words, n_segments;
    uint32_t n_frames;               /* encoder frames decoded */
    uint32_t n_blanks;               /* decoder evaluations that gave blank */
    double audio_s;
    double features_s, encoder_s, decoder_s; /* processing time; shared equally within a batch */
} conure_result;

#define CONURE_BATCH_MAX 1024

/* Transcribe n utterances, at most CONURE_BATCH_MAX, in one batch.  Each gives what it would give alone: the same tokens,
 * frames and durations.
 *
 *   pcm        n pointers to mono float32 samples at the model's rate, nominal range [-1, 1];
 *              values beyond are used as they are; non-finite samples are refused
 *   n_samples  n lengths; 0 is allowed and gives an empty result
 *   results    out: n results, each to be freed with conure_result_free(); all NULL on failure
 *
 * Returns OK, BAD_ARG, NO_MEMORY, BAD_AUDIO (names the utterance and sample), LIMIT (the batch does
 * not fit memory_bytes_max; the text says how long a piece would), CANCELLED, BACKEND. */
CONURE_API conure_status conure_transcribe(conure_recognizer *recognizer, const float *const *pcm,
                                           const size_t *n_samples, uint32_t n,
                                           conure_result **results, conure_error *err);
CONURE_API void conure_result_free(conure_result **result);

/* ---- model files ----------------------------------------------------------------------------- */

/* Write a model as one file that is mapped at load: safetensors, with configuration, tokenizer, mask
 * convention and hashes in its metadata, matrices in the panel layout the CPU kernels read in place.
 * The file appears under its name only when it is complete.
 *
 *   weights   "f32", "f16", "bf16" or "int8" (symmetric, one scale per output channel)
 *
 * Returns OK, BAD_ARG, NO_MEMORY, IO, UNSUPPORTED (to more precision than the model has), CANCELLED. */
CONURE_API conure_status conure_model_convert(const conure_model *model, const char *path,
                                              const char *weights, conure_progress_fn progress,
                                              void *user, conure_error *err);

/* Recompute every hash and check every weight: BAD_FILE if the content is not what it claims. */
CONURE_API conure_status conure_model_verify(const conure_model *model, conure_progress_fn progress,
                                             void *user, conure_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* conure.h - speech to text with FastConformer-TDT models.  This file is the contract of libconure:
 * what is not here is private.
 *
 * Threads:   a conure_model is immutable and may be shared by any number of threads.  A
 *            conure_recognizer serves one thread at a time; open one per thread, all on one model.
 *            A conure_session serves one thread at a time; several sessions of one recognizer may be used
 *            by several threads.  A conure_scheduler may be used by all of them.
 *            Functions that take none of these may be called from anywhere.
 * Lifetimes: a model stays until its last recognizer and session are closed, also when it is closed before.
 *            Close every session before its recognizer, and while it is being closed make no call on them:
 *            one that is left over then answers BAD_STATE, though what it had made final can still be polled.  No call keeps a pointer of the caller's, but
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

/* Sign tells the kind: 0 done, > 0 not an error (act and call again), < 0 failed. */
#define CONURE_STATUS_LIST(X)                                              \
    X(OK, 0, "ok")                                                         \
    X(NEED_AUDIO, 1, "feed more audio to go on")                           \
    X(END, 2, "the session has finished")                                  \
    X(FULL, 3, "full: step or poll, then call again")                      \
    X(BAD_ARG, -1, "argument out of range")                                \
    X(NO_MEMORY, -2, "out of memory")                                      \
    X(IO, -3, "file or stream could not be read or written")               \
    X(BAD_FILE, -4, "file is damaged or not of the expected format")       \
    X(UNSUPPORTED, -5, "well formed, but not supported")                   \
    X(LIMIT, -6, "a limit would be exceeded")                              \
    X(CANCELLED, -7, "cancelled by the caller")                            \
    X(BAD_AUDIO, -8, "audio cannot be used")                               \
    X(BACKEND, -9, "compute backend failed or is not available")           \
    X(INTERNAL, -10, "internal error: please report it")                   \
    X(BAD_STATE, -11, "the object is not in a state for this call")        \
    X(VIOLATION, -12, "the engine did not do what its contract says")

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
    CONURE_PRECISION_DEFAULT = 0, /* f32, but int8 for a file with int8 weights; engine "ref": f64 */
    CONURE_PRECISION_F32 = 1,
    CONURE_PRECISION_BF16 = 2, /* bf16 weights and activations of matrix products, f32 sums */
    CONURE_PRECISION_INT8 = 3, /* int8 weights per output channel, int8 activations per frame, or as they were seen on speech */
    CONURE_PRECISION_F64 = 4,  /* everything in double: the engine "ref" alone, for comparisons; slow */
    CONURE_PRECISION_TF32 = 5, /* f32, but matrix products round their inputs to 10 bits: on GPUs alone */
    CONURE_PRECISION_F16 = 6,  /* half precision where it does not overflow: engines that are handed graphs */
} conure_precision;

/* What kind of file a model came from. */
typedef enum conure_format {
    CONURE_FORMAT_NEMO = 1,
    CONURE_FORMAT_HUGGINGFACE = 2,
    CONURE_FORMAT_CONURE = 3, /* written by conure_model_convert() */
    CONURE_FORMAT_GRAPHS = 4, /* a folder of graphs that were exported: only an engine that is handed graphs runs it */
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

/* Open a checkpoint: a .nemo archive, a Hugging Face folder, a converted file, or a folder of exported graphs; the content
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

/* ---- hotwords -------------------------------------------------------------------------------- */

/* Phrases that decoding prefers where the model is unsure: names, terms.  A phrase's score is what it may cost, in natural
 * logarithms: it is taken where the model holds what it would have said instead, over all tokens together, for at most
 * exp(score) times likelier.  A phrase is taken whole or not at all: one that breaks off leaves no trace.  So its tokens
 * become final when it ends, at most two seconds after the first that the model alone would not have chosen; one
 * that takes longer is not found.
 *
 * A list never changes and may be used by any number of recognizers and sessions of its model, and threads; it stays until
 * the last of them is closed, also when it is closed before. */
typedef struct conure_hotwords conure_hotwords;

#define CONURE_HOTWORDS_MAX 16384           /* phrases */
#define CONURE_HOTWORDS_BYTES_MAX (1 << 20) /* of the text */
#define CONURE_HOTWORD_BYTES_MAX 256        /* of a phrase, a space before each word counted as 3 */
#define CONURE_HOTWORD_SCORE 8.0            /* the default; docs/hotwords.md has what others gave */
#define CONURE_HOTWORD_SCORE_MAX 100

typedef struct conure_hotwords_options {
    uint32_t struct_bytes; /* set by conure_hotwords_options_init() */
    double score;          /* of phrases that have none of their own: 0 (nothing) to CONURE_HOTWORD_SCORE_MAX */
} conure_hotwords_options;

CONURE_API void conure_hotwords_options_init(conure_hotwords_options *options);

/* Read a list: UTF-8, a phrase on each line, written as the model writes it: case counts, and so do marks.  A phrase is
 * whole words from their beginning; runs of spaces are one.  Behind a tab a line may have a score of its own; of a phrase that
 * comes more than once the highest counts.  Empty lines and those that begin with # are skipped.
 *
 *   text     [bytes]; not kept
 *   options  NULL: the defaults
 *
 * Returns OK; BAD_FILE (not UTF-8, a bad score or one without a phrase, a character that no piece of the vocabulary has, no
 * phrase at all), LIMIT: both name the line; BAD_ARG (a score out of range, or not a number), NO_MEMORY.
 * Cost: O(bytes) steps, each with a search of the vocabulary; some 40 bytes of memory for one of the text. */
CONURE_API conure_status conure_hotwords_open(conure_hotwords **out, const conure_model *model, const char *text, size_t bytes,
                                              const conure_hotwords_options *options, conure_error *err);
CONURE_API void conure_hotwords_close(conure_hotwords **hotwords); /* NULL-safe; sets *hotwords to NULL */

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
    const conure_hotwords *hotwords; /* of conure_transcribe(), of this model; NULL: none.  Sessions have their own */
    uint32_t device;            /* of engines that have several, from 0, in the order in which their runtime counts them */
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
    float confidence;    /* softmax over labels and blank (durations excluded) at emission, 0 .. 1; of the model
                            alone, so that a token which hotwords made come out has a low one */
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

/* ---- sessions: live text --------------------------------------------------------------------- */

/* A session turns audio into text as it arrives.
 *
 *     conure_session_open(&session, recognizer, &options, &err);
 *     while ((n = read_some(pcm)) > 0) {
 *         for (size_t used = 0, done = 0; done < n; done += used) {   // FULL: the rest goes in after a step
 *             if (conure_session_feed(session, pcm + done, n - done, &used, &err) < 0)
 *                 return fail(&err);                                  // a bad sample, or the session has failed
 *             while (conure_session_step(session, &err) == CONURE_OK)
 *                 while (conure_session_poll(session, &event) == CONURE_OK)
 *                     show(event);
 *         }
 *     }
 *     conure_session_finish(session, &err);
 *     ... step and poll until poll() gives CONURE_END ...
 *     conure_session_close(&session);
 *
 * Text comes in two parts.  Final text only ever grows: append it.  Tentative text stands behind it and is
 * replaced by each event. */
typedef struct conure_session conure_session;

typedef enum conure_stream_mode {
    CONURE_STREAM_BUFFERED = 0, /* each step encodes a window [left | chunk | right] anew and keeps the
                                   frames of its chunk: NeMo's way for models with full context */
    CONURE_STREAM_CACHED = 1,   /* each step encodes chunk and right only; left context is cached keys and
                                   values (NeMo: cache-aware): cheap, for models trained so */
    CONURE_STREAM_RESET = 2,    /* cached, with slices so long that no row is ever kept: the
                                   configuration of an encoder_streaming contract with length 0 */
} conure_stream_mode;

typedef enum conure_time_cache {
    CONURE_TIME_CACHE_ALIGNED = 0, /* convolution continues where the last chunk ended */
    CONURE_TIME_CACHE_NEMO = 1,    /* conv right context frames late, as NeMo has it */
} conure_time_cache;

/* How features are normalised where no window has all of them (modes CACHED and RESET). */
typedef enum conure_normalize {
    CONURE_NORMALIZE_RUNNING = 0, /* by mean and deviation of what was heard, forgetting slowly */
    CONURE_NORMALIZE_SLICE = 1,   /* each slice by its own (NeMo: online_normalization) */
} conure_normalize;

/* What happens when a step does not do what the session's contract says: lengths of the encoder's output and of its
 * cache by rule, no value that is not finite.  Every step is looked at; violations are counted whatever happens. */
typedef enum conure_on_violation {
    CONURE_ON_VIOLATION_STOP = 0,  /* the step fails with VIOLATION, the session with it: reset or close */
    CONURE_ON_VIOLATION_RESET = 1, /* caches and decoder begin anew, the step's frames count as silence, and the stream
                                      goes on */
    CONURE_ON_VIOLATION_COUNT = 2, /* nothing */
} conure_on_violation;

typedef struct conure_session_options {
    uint32_t struct_bytes;     /* set by conure_session_options_init() */
    conure_stream_mode mode;
    uint32_t sample_rate_hz;   /* of what will be fed; 0: the model's.  8000 .. 192000 */
    double left_s, chunk_s, right_s; /* contexts, rounded down to encoder frames as NeMo does; 10, 2, 2 */
    double buffer_s;           /* audio that may wait to be processed beyond one window; 2, at least 1.2 are kept */
    bool tentative;            /* decode the right context too, as tentative text; true */

    /* End of an utterance: a rule of 0 is off.  Silence is time without tokens, and where
     * endpoint_energy_db is not 0 also with less energy than that below the loudest speech so far. */
    double rule1_min_trailing_silence_s; /* silence, nothing said before it; 2.4 */
    double rule2_min_trailing_silence_s; /* silence after something was said; 1.2 */
    double rule3_min_utterance_length_s; /* an utterance this long ends anyway; 20 */
    double endpoint_energy_db;           /* 0: only tokens count; e.g. 30 */
    bool endpoint;             /* look for ends of utterances; false: only finish() ends one */
    bool endpoint_reset;       /* begin the next utterance with a new decoder state; false: NeMo's loop goes on */

    conure_on_violation on_violation;
    const conure_hotwords *hotwords; /* of the recognizer's model; NULL: none */

    /* Modes CACHED and RESET. */
    conure_time_cache time_cache;
    conure_normalize normalize;
    bool keep_negative;        /* a negative keep as NeMo does it, which is a violation; false: clamped */
    bool cache_f32;            /* keep keys and values in f32; false: in bf16 unless the precision is f32, where the engine can */
    uint32_t slice_frames;     /* RESET: mel frames of a slice, which gives its chunk's frames; right_s is what is left
                                  of it; 592 */
} conure_session_options;

CONURE_API void conure_session_options_init(conure_session_options *options);

/* Set the contexts by name: "LEFT-CHUNK-RIGHT" in seconds ("10-2-2", "10-10-5", "2-1-0.5"), or one of
 * "file" (10-10-5), "live" (10-2-2), "fast" (6-0.96-0.64), "fastest" (4-0.32-0.24).  BAD_ARG names what is accepted. */
CONURE_API conure_status conure_session_options_preset(conure_session_options *options, const char *name,
                                                       conure_error *err);

/* Open a session on a recognizer, which must stay open as long.  All memory that a session needs for
 * feeding is taken here.
 *
 * Returns OK, BAD_ARG (names the option and its range), NO_MEMORY, UNSUPPORTED, LIMIT (the window does not fit
 * the recognizer's memory limit), BACKEND. */
CONURE_API conure_status conure_session_open(conure_session **out, conure_recognizer *recognizer,
                                             const conure_session_options *options, conure_error *err);
CONURE_API void conure_session_close(conure_session **session); /* NULL-safe; sets *session to NULL */

/* Take audio; the model runs in conure_session_step().
 *
 *   pcm        [n_samples] mono float32, nominal range [-1, 1], at the session's rate
 *   n_used     out: samples taken; the rest stays the caller's
 *
 * Returns OK (all taken); FULL (n_used < n_samples: step, then feed the rest); BAD_AUDIO (a sample that is not
 * finite or beyond +-1e30, named: what is before it was taken, n_used says how much); BAD_ARG; BAD_STATE (after finish, or two
 * threads at once).  Never allocates, never runs the model.  Cost: O(n_samples). */
CONURE_API conure_status conure_session_feed(conure_session *session, const float *pcm, size_t n_samples,
                                             size_t *n_used, conure_error *err);

/* n_samples of the input, at its rate, were lost.  Up to a second is taken as silence; more ends the
 * utterance as finish() would, and a new one begins behind the gap.  Times go on.
 * Returns OK; FULL (nothing was taken: step, then call again); BAD_ARG (more than a year), BAD_STATE. */
CONURE_API conure_status conure_session_gap(conure_session *session, uint64_t n_samples, conure_error *err);

/* What is fed from here on has another rate; what was fed before is not lost.  OK, FULL, BAD_ARG, BAD_STATE. */
CONURE_API conure_status conure_session_set_rate(conure_session *session, uint32_t sample_rate_hz, conure_error *err);

/* No more audio will come: the remaining steps flush what was heard. */
CONURE_API conure_status conure_session_finish(conure_session *session, conure_error *err);

/* One step: at most one encoder call, then decoding.
 *
 * Returns OK (a step was made: poll), NEED_AUDIO, END (after finish: nothing is left to do), FULL (an event is
 * waiting: poll first); CANCELLED (nothing has changed: call again); VIOLATION (see conure_on_violation); BACKEND,
 * NO_MEMORY (call again; where no memory was left to put out what was decoded the session has failed: reset it), BAD_STATE. */
CONURE_API conure_status conure_session_step(conure_session *session, conure_error *err);

/* One step of each of n different sessions of one recognizer, in one encoder call; each comes out as it would alone.
 *
 *   statuses  [n] out: for each what conure_session_step() would return
 *
 * Returns OK when every status is >= 0, else the first failure. */
CONURE_API conure_status conure_sessions_step(conure_session *const *sessions, uint32_t n,
                                              conure_status *statuses, conure_error *err);

typedef struct conure_session_stats {
    uint64_t n_steps, n_encoder_calls; /* a call is shared by the sessions of a batch */
    uint64_t n_frames;                 /* encoder frames decoded: final ones */
    uint64_t n_tokens, n_blanks;
    uint64_t n_utterances;             /* ended */
    uint64_t n_violations;             /* steps that did not keep the contract */
    double heard_s;                    /* audio fed, gaps included */
    double features_s, encoder_s, decoder_s; /* processing time; of a batch, the session's share */
    double step_s;                     /* all of it */
    int64_t cache_length;              /* rows; CACHED and RESET */
} conure_session_stats;

enum {
    CONURE_EVENT_TEXT = 1,             /* final or tentative text changed */
    CONURE_EVENT_END_OF_UTTERANCE = 2, /* an utterance ended at end_s, after this event's text */
    CONURE_EVENT_GAP = 4,              /* audio was lost before origin_s: see conure_session_gap() */
    CONURE_EVENT_END = 8,              /* the last event of a finished session */
};

typedef struct conure_event {
    uint64_t sequence;          /* 1, 2, 3 ... */
    uint32_t flags;             /* CONURE_EVENT_* */
    const char *final_text;     /* to be appended to the final text so far; may be "" */
    const char *tentative_text; /* stands behind it, replaces the tentative text before; may be "" */
    const conure_token *tokens; /* that became final.  frame counts from origin_s */
    const conure_word *words;   /* that are complete; first_token counts the session's tokens */
    uint32_t n_tokens, n_words;
    double origin_s;            /* session time of frame 0 */
    double end_s;               /* text is final up to here */
    double heard_s;             /* audio that this event knows of ends here */
    uint32_t utterance;         /* 0, 1, ... that the text belongs to */
    conure_session_stats stats;
} conure_event;

/* The next event; its strings and arrays are valid until the next poll, reset, load or close.
 * Returns OK; NEED_AUDIO (none now); END (none will come); BAD_ARG, BAD_STATE.  *event is NULL unless OK. */
CONURE_API conure_status conure_session_poll(conure_session *session, const conure_event **event);

/* Begin anew: as a session just opened, but times go on (the clock of heard_s) unless restart_clock.  An event
 * that waits is dropped: poll first.  Not while attached to a scheduler that steps it: waits for that. */
CONURE_API conure_status conure_session_reset(conure_session *session, bool restart_clock, conure_error *err);

CONURE_API conure_status conure_session_get_stats(conure_session *session, conure_session_stats *stats);

/* Seconds from a sample being fed to its being final, at least: the right context, the chunk, the resampler. */
CONURE_API double conure_session_latency_s(const conure_session *session);
/* Bytes of memory that belong to this session alone. */
CONURE_API uint64_t conure_session_bytes(const conure_session *session);

/* Snapshots: everything of a session, byte for byte, wherever its engine keeps it.  Loading into a session of
 * the same model, engine, precision, hotwords and options makes it go on exactly as the saved one would; another is refused.
 *
 *   data, cap_bytes  NULL and 0: only the size is told
 *   bytes            out: size
 *
 * save: OK, FULL (cap_bytes too small, *bytes says how much), BAD_ARG, BAD_STATE.
 * load: OK, BAD_FILE (damaged), UNSUPPORTED (another model, version, engine or options: named), NO_MEMORY, BAD_STATE;
 * on failure the session is as it was, or has failed for good where there was no memory for that. */
CONURE_API conure_status conure_session_save(conure_session *session, void *data, size_t cap_bytes, size_t *bytes,
                                             conure_error *err);
CONURE_API conure_status conure_session_load(conure_session *session, const void *data, size_t bytes,
                                             conure_error *err);

/* What the sessions of a recognizer, open and closed, counted: steps, violations by rule, values that are not finite,
 * histograms of step time, cache length and share of blanks, as text in Prometheus' format (version 0.0.4).
 *
 *   text, cap_bytes  NULL and 0: only the size is told
 *   bytes            out: size with the final NUL
 *
 * Waits for a step that is being made.  OK, FULL (cap_bytes too small), BAD_ARG, NO_MEMORY. */
CONURE_API conure_status conure_recognizer_metrics(conure_recognizer *recognizer, char *text, size_t cap_bytes,
                                                   size_t *bytes, conure_error *err);

/* ---- many sessions at once ------------------------------------------------------------------- */

/* Steps any number of sessions of one recognizer in batches: the longest ready first, so none starves.  One thread
 * calls conure_scheduler_step() in a loop; others open, feed, poll, finish and close sessions meanwhile. */
typedef struct conure_scheduler conure_scheduler;

typedef struct conure_scheduler_options {
    uint32_t struct_bytes;   /* set by conure_scheduler_options_init() */
    uint32_t batch_max;      /* sessions in one encoder call at most; 16 */
    double batch_s_max;      /* seconds of window audio in one encoder call at most, so that a call stays short; 120.
                                One session goes alone whatever its window. */
    double wait_s;           /* how long a ready session may wait for company; 0 */
} conure_scheduler_options;

typedef struct conure_scheduler_stats {
    uint64_t n_calls;        /* encoder calls */
    uint64_t n_steps;        /* sessions stepped in them */
    uint32_t n_sessions, n_ready;
    double wait_s_max;       /* longest time from ready to begun, since the last question */
    double step_s_max;       /* longest call, likewise */
} conure_scheduler_stats;

CONURE_API void conure_scheduler_options_init(conure_scheduler_options *options);
CONURE_API conure_status conure_scheduler_open(conure_scheduler **out, conure_recognizer *recognizer,
                                               const conure_scheduler_options *options, conure_error *err);
/* Detaches what is still attached.  No other call on it or its sessions may be running. */
CONURE_API void conure_scheduler_close(conure_scheduler **scheduler);

/* Attach a session; from here on only the scheduler steps it.  OK, BAD_ARG (of another recognizer, attached already),
 * NO_MEMORY. */
CONURE_API conure_status conure_scheduler_add(conure_scheduler *scheduler, conure_session *session, conure_error *err);
/* Detach it; waits for a step that has it in hand.  Closing a session detaches it too. */
CONURE_API conure_status conure_scheduler_remove(conure_scheduler *scheduler, conure_session *session, conure_error *err);

/* Wait until a session is ready, at most timeout_s, and step those that are, in one batch.
 *
 *   n_stepped  out: sessions stepped; NULL is allowed
 *
 * Returns OK, NEED_AUDIO (none was ready in time, or conure_scheduler_wake()), CANCELLED, or what failed; a session
 * that failed is told by its next poll. */
CONURE_API conure_status conure_scheduler_step(conure_scheduler *scheduler, double timeout_s, uint32_t *n_stepped,
                                               conure_error *err);
CONURE_API void conure_scheduler_wake(conure_scheduler *scheduler); /* a waiting step returns */
CONURE_API conure_status conure_scheduler_get_stats(conure_scheduler *scheduler, conure_scheduler_stats *stats);

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

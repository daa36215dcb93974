/* contract.h - what an engine must do with one step of cache-aware streaming, as data: shapes, lengths, caches,
 * profiles.  A contract follows from a checkpoint's configuration and a streaming configuration, is kept as a JSON
 * file, and is what a running engine is held to.
 *
 * Everything here but reading and writing is a pure function of plain numbers: no threads, no memory, no cost worth
 * naming.  Frames are mel frames (10 ms) unless a name says encoder frames or rows (80 ms).
 * Source: the streaming formulas of NeMo (docs/model.md, "Cache-aware streaming"); the file is described in
 * docs/clearance.md. */
#ifndef CONURE_CONTRACT_CONTRACT_H
#define CONURE_CONTRACT_CONTRACT_H

#include "base/error.h"
#include "encoder/step.h"
#include "model/model.h"

/* The tensors of a step, in the order of the exported graph. */
typedef enum conure_role {
    CONURE_ROLE_FEATURES = 0,
    CONURE_ROLE_LENGTH,
    CONURE_ROLE_CHANNEL_IN,
    CONURE_ROLE_TIME_IN,
    CONURE_ROLE_CACHE_LENGTH_IN,
    CONURE_ROLE_ENCODER,
    CONURE_ROLE_ENCODED_LENGTH,
    CONURE_ROLE_CHANNEL_OUT,
    CONURE_ROLE_TIME_OUT,
    CONURE_ROLE_CACHE_LENGTH_OUT,
    CONURE_ROLES,
} conure_role;
#define CONURE_ROLE_INPUTS CONURE_ROLE_ENCODER /* roles before this one are inputs */

/* What is looked at after every step.  X(name, identifier in files, what it says) */
#define CONURE_RULE_LIST(X)                                                                        \
    X(FRAMES_IN, "frames_in", "frames of a slice lie within a profile")                            \
    X(ENCODER_FRAMES, "encoder_frames", "frames that came out are as many as the rule says")       \
    X(ENCODED_LENGTH, "encoded_length", "valid frames that came out are as many as the rule says") \
    X(CACHE_LENGTH, "cache_length", "the cache's length moved as the rule says")                   \
    X(CACHE_RANGE, "cache_range", "the cache's length is neither negative nor above its rows")     \
    X(KEEP, "keep", "a step keeps no negative number of rows")                                     \
    X(FINITE, "finite", "no value that came out is NaN or infinite")

typedef enum conure_rule {
#define X(name, id, what) CONURE_RULE_##name,
    CONURE_RULE_LIST(X)
#undef X
    CONURE_RULES
} conure_rule;

const char *conure_rule_id(conure_rule rule);   /* "cache_length"; static */
const char *conure_rule_what(conure_rule rule); /* one line; static */

typedef enum conure_steps { CONURE_STEPS_ALL = 0, CONURE_STEPS_FIRST, CONURE_STEPS_LATER } conure_steps;

/* What tensors other than lengths hold.  X(name, as files have it) */
#define CONURE_CONTRACT_TYPE_LIST(X) X(F32, "float32") X(F16, "float16") X(BF16, "bfloat16") X(INT8, "int8")
typedef enum conure_contract_type {
#define X(name, id) CONURE_CONTRACT_##name,
    CONURE_CONTRACT_TYPE_LIST(X)
#undef X
    CONURE_CONTRACT_TYPES
} conure_contract_type;
const char *conure_contract_type_id(conure_contract_type type); /* "float16"; static */

#define CONURE_CONTRACT_NAME_CAP 64
#define CONURE_PROFILES_MAX      16
#define CONURE_CONTRACT_FILES_MAX 8

/* A range of shapes that an engine is built for: T frames and a batch of B. */
typedef struct conure_profile {
    char name[CONURE_CONTRACT_NAME_CAP];
    conure_steps steps; /* which steps of a stream it serves */
    uint32_t t_min, t_opt, t_max;
    uint32_t b_min, b_opt, b_max;
} conure_profile;

/* A file that the contract is about (an exported graph, a plan), known by its bytes. */
typedef struct conure_contract_file {
    char name[CONURE_CONTRACT_NAME_CAP];
    char sha256[65];
} conure_contract_file;

#define CONURE_FACTOR 8 /* mel frames to one encoder frame, of every model that is loaded */

/* How slices are cut and what of a step enters the caches.  [0] is of a stream's first step, [1] of later ones. */
typedef struct conure_streaming {
    uint32_t factor;          /* mel frames to one encoder frame: 8 */
    uint32_t chunk_frames[2]; /* frames of a slice, without those in front */
    uint32_t shift_frames[2]; /* frames that the next slice begins later */
    uint32_t front_frames[2]; /* frames in front of the chunk (pre_encode_cache_size) */
    uint32_t drop_extra[2];   /* encoder frames dropped in front (drop_extra_pre_encoded) */
    uint32_t cache_rows;      /* C, last_channel_cache_size */
    uint32_t cache_drop;      /* cache_drop_size: look-ahead rows that enter no cache */
    uint32_t valid_out;       /* valid_out_len: encoder frames that a step gives */
} conure_streaming;

typedef struct conure_contract {
    char tool[CONURE_CONTRACT_NAME_CAP], tool_version[CONURE_CONTRACT_NAME_CAP];
    /* The checkpoint. */
    char model[128];
    char model_sha256[65];    /* "" when it is about a configuration, whatever the weights */
    char config_sha256[65];
    uint32_t n_layers, d_model, mel_bins, conv_left, conv_right;
    int32_t att_left, att_right;
    conure_streaming streaming;
    /* Conventions. */
    bool keep_negative;       /* "nemo": a negative keep as NeMo does it; false: "clamped" to 0 */
    bool mask_exact;          /* "exact": masked scores are -infinity; false: "nemo", -10000 */
    bool time_cache_aligned;  /* "aligned"; false: "nemo", conv_right frames late */
    bool layer_first;         /* caches [layer][B]...; false: [B][layer]... */
    bool pad_right;           /* a short cache is filled up on the right; false: on the left, where NeMo reads zeros */
    bool repeatable;          /* "bitwise": the same step twice gives the same bits; false: "unspecified" */
    /* Precision switches that are on. */
    bool tf32, f16, bf16, int8;
    conure_contract_type io, caches; /* of features and encoder output, of the caches: as a graph has them; others float32 */
    char names[CONURE_ROLES][CONURE_CONTRACT_NAME_CAP];
    conure_profile profiles[CONURE_PROFILES_MAX];
    uint32_t n_profiles;
    bool asserts[CONURE_RULES]; /* which rules are looked at while running */
    conure_contract_file files[CONURE_CONTRACT_FILES_MAX];
    uint32_t n_files;
} conure_contract;

/* ---- rules.c ---------------------------------------------------------------------------------- */

/* A streaming configuration as NeMo's setup_streaming_params() takes it. */
typedef struct conure_streaming_options {
    uint32_t chunk, shift;  /* encoder frames; 0: from the checkpoint's attention context */
    uint32_t left_chunks;   /* 0: not given */
    uint32_t cache_rows;    /* 0: what NeMo computes; its 10000 for unlimited context is an error here */
    bool export_graph;      /* every step as through forward_for_export(): drop_extra 2 from the first on, no frames
                               put in front.  false: NeMo's driving schedule */
} conure_streaming_options;

/* BAD_ARG and UNSUPPORTED name the option, its value and what is possible. */
conure_status conure_streaming_derive(conure_streaming *out, const conure_config *config,
                                      const conure_streaming_options *options, conure_error *err);

/* What a step must give. */
typedef struct conure_prediction {
    uint32_t t_sub;          /* ceil(T / factor) */
    uint32_t rows;           /* encoder frames computed: t_sub less those dropped in front */
    uint32_t valid;          /* of these, from valid input */
    uint32_t encoder_frames; /* time dimension of encoder_output */
    uint32_t encoded_length;
    int64_t keep;            /* rows that enter the attention cache; negative only under keep_negative */
    int64_t length_out;
    bool breaks;             /* the cache lost rows (negative keep): NeMo fails in the next step */
} conure_prediction;

/*   first        the stream's first step
 *   n_frames     T, of which n_valid are no padding; n_valid <= n_frames
 *   length_in    valid rows before the step; any value: NeMo's rule can make it negative
 *   last         the stream's last step, which gives all its valid frames (NeMo cuts there too, and loses them) */
void conure_contract_predict(const conure_contract *contract, bool first, uint32_t n_frames, uint32_t n_valid,
                             int64_t length_in, bool last, conure_prediction *out);

/* The same for one frame count and a given drop_first, as a row of an engine has it. */
void conure_contract_predict_row(const conure_contract *contract, uint32_t drop_first, uint32_t n_frames, uint32_t n_valid,
                                 int64_t length_in, bool last, conure_prediction *out);

/* Frames that a slice may have on the first or a later step: within one of the profiles for it. */
bool conure_contract_accepts(const conure_contract *contract, bool first, uint32_t n_frames);

/* Some profile's steps put rows into the attention cache, so that a state can flow.  Where none does, nothing that
 * is compared chunk after chunk proves anything about the attention cache. */
bool conure_contract_state_flows(const conure_contract *contract);

/* What to open an engine's state with. */
void conure_contract_cache_options(const conure_contract *contract, conure_cache_options *out);

/* ---- derive.c --------------------------------------------------------------------------------- */

typedef struct conure_contract_options {
    conure_streaming_options streaming;
    const char *profiles;     /* "[NAME=]T[..T],..."; NULL: what the schedule needs */
    uint32_t b_min, b_max;    /* batch; 0: 1 */
    bool keep_negative, time_cache_aligned, mask_exact, layer_first, pad_right, unrepeatable;
    const char *precision;    /* "f32", "tf32", "f16", "bf16", "int8"; NULL: f32 */
} conure_contract_options;

/* From a configuration alone: model_sha256 stays empty.  name: of the model, at most 127 bytes.
 * Returns OK, BAD_ARG, UNSUPPORTED, NO_MEMORY. */
conure_status conure_contract_derive(conure_contract *out, const conure_config *config, const char *name,
                                     const conure_contract_options *options, conure_error *err);
/* From a checkpoint, with its hash.  Cost: that of conure_model_hash(). */
conure_status conure_contract_derive_model(conure_contract *out, const conure_model *model,
                                           const conure_contract_options *options, conure_error *err);
/* Of whole windows of up to n_frames mel frames, none of which leaves anything to the next: for assertions alone. */
void conure_contract_windows(conure_contract *out, const conure_config *config, uint32_t n_frames);
/* Also name a file by its hash.  name: what it will be called, NULL: as it is.  IO, LIMIT (CONURE_CONTRACT_FILES_MAX). */
conure_status conure_contract_add_file(conure_contract *contract, const char *path, const char *name, conure_error *err);

/* Ranges and combinations, whatever they were read or derived from; every function above ends with it and every reader
 * does.  BAD_FILE names the member, its value and what is possible; where begins the text. */
conure_status conure_contract_check(const conure_contract *contract, const char *where, conure_error *err);

/* The contract is about this model.  BAD_FILE names what differs, and the way out. */
conure_status conure_contract_matches(const conure_contract *contract, const conure_model *model, conure_error *err);

/* "f32", or the switches that are on: "int8", "f16+tf32"; out [32] */
const char *conure_contract_precision(const conure_contract *contract, char *out);

/* ---- write.c, read.c -------------------------------------------------------------------------- */

#define CONURE_CONTRACT_BYTES_MAX (1u << 20)

/* As the file holds it: the same contract gives the same bytes.  *out is freed by free(). */
conure_status conure_contract_dump(const conure_contract *contract, char **out, conure_error *err);
/* Written whole or not at all. */
conure_status conure_contract_write(const conure_contract *contract, const char *path, conure_error *err);

/* Validates against our schema, fills the contract, checks it, and refuses a text any of whose members says other
 * than the rest of it implies.  where begins the error texts; hostile input.
 * Returns OK, BAD_FILE, UNSUPPORTED (another format version), NO_MEMORY. */
conure_status conure_contract_parse(conure_contract *out, const char *json, size_t bytes, const char *where,
                                    conure_error *err);
/* The same from a file.  sha256: NULL or [65], the hash of the file's bytes. */
conure_status conure_contract_read(conure_contract *out, const char *path, char *sha256, conure_error *err);
/* Its profiles replaced by the member "profiles" of a file, which may be another contract.  IO, BAD_FILE (none, or not what this contract
 * can have), NO_MEMORY: it is as it was. */
conure_status conure_contract_take_profiles(conure_contract *contract, const char *path, conure_error *err);

/* contracts/encoder_streaming.schema.json as it is part of the program. */
const char *conure_contract_schema(size_t *bytes);

#endif

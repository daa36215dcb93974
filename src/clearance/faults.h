/* faults.h - what an engine, its driver or its files can get wrong, planted in an otherwise honest candidate: the harness on trial.
 *
 * Boundary faults change tensors, state or files from outside and are part of the program.  Inner faults are mistakes inside the
 * engine; they are listed here and planted in the test build only (tests/clearance/self_test.c). */
#ifndef CONURE_CLEARANCE_FAULTS_H
#define CONURE_CLEARANCE_FAULTS_H

#include "clearance/candidate.h"
#include "clearance/gates.h"

typedef enum conure_fault_kind {
    CONURE_FAULT_TENSOR = 0, /* a step's outputs, or the state on its way to the next step */
    CONURE_FAULT_FILE,       /* a reference file */
    CONURE_FAULT_ORIGIN,     /* what belongs to what */
    CONURE_FAULT_TEXT,       /* transcripts */
    CONURE_FAULT_INNER,      /* inside the engine */
} conure_fault_kind;

/* X(name, identifier, kind, gate that must fail, what it is) */
#define CONURE_FAULT_LIST(X)                                                                                              \
    X(LENGTH_PINNED, "length_pinned", TENSOR, CONTRACT, "the cache's length stays at 0")                                 \
    X(ENCODED_LENGTH, "encoded_length", TENSOR, CONTRACT, "the encoded length is one too large")                         \
    X(LAYERS_SWAPPED, "layers_swapped", TENSOR, CLOSED_LOOP, "two layers' caches are swapped from one step to the next") \
    X(STREAMS_CROSSED, "streams_crossed", TENSOR, CLOSED_LOOP, "a stream gets the state of another one")                 \
    X(STATE_OLD, "state_old", TENSOR, CLOSED_LOOP, "the state is one step old")                                          \
    X(TIME_LATE, "time_late", TENSOR, CLOSED_LOOP, "the time cache is one frame late")                                   \
    X(DRIFT, "drift", TENSOR, CLOSED_LOOP, "an error grows by 1e-6 a chunk")                                             \
    X(NAN, "nan", TENSOR, FINITE, "one value that comes out is NaN")                                                     \
    X(OTHER_MODEL, "other_model", ORIGIN, PROVENANCE, "the engine was built from another checkpoint")                    \
    X(STALE_CONTRACT, "stale_contract", ORIGIN, PROVENANCE, "the contract is of another checkpoint")                     \
    X(EDITED_TOLERANCES, "edited_tolerances", ORIGIN, PROVENANCE, "the tolerance file was edited")                       \
    X(FILE_CUT, "file_cut", FILE, INTEGRITY, "the reference file is cut off")                                            \
    X(FILE_BIT, "file_bit", FILE, INTEGRITY, "one bit of the reference file is another")                                 \
    X(FILE_ORDER, "file_order", FILE, INTEGRITY, "two records of the reference file changed places")                     \
    X(FILE_TWICE, "file_twice", FILE, INTEGRITY, "a record of the reference file is there twice")                        \
    X(EMPTY_TEXT, "empty_text", TEXT, AUDIO, "all transcripts are empty")                                                \
    X(BLANKS, "blanks", TEXT, AUDIO, "the decoder gives blanks only")                                                    \
    X(TIMES_SHIFTED, "times_shifted", TEXT, AUDIO, "all tokens lie one frame late")                                      \
    X(OVERSHOOT_DROPPED, "overshoot_dropped", INNER, AUDIO, "a duration that reaches beyond its chunk is forgotten")     \
    X(PREDICTOR_RESET, "predictor_reset", INNER, AUDIO, "the predictor's state is not carried to the next chunk")        \
    X(LABEL_FORGOTTEN, "label_forgotten", INNER, AUDIO, "the last label is not carried to the next chunk")               \
    X(CHUNK_NORMALISED, "chunk_normalised", INNER, FEATURES, "features are normalised over a part of what they should be") \
    X(DEVIATION_N, "deviation_n", INNER, FEATURES, "the deviation divides by N instead of N - 1")                        \
    X(NO_PREEMPHASIS, "no_preemphasis", INNER, FEATURES, "no pre-emphasis")                                              \
    X(LOG_GUARD, "log_guard", INNER, FEATURES, "another guard of the logarithm")                                         \
    X(PADDING_LEAKS, "padding_leaks", INNER, BATCH, "padding leaks through the convolution")                             \
    X(ROWS_MIXED, "rows_mixed", INNER, BATCH, "rows of a batch come out in another order")                               \
    X(MASK_OTHER, "mask_other", INNER, FUNCTIONAL, "the other mask convention")                                          \
    X(ONE_SOFTMAX, "one_softmax", INNER, CONFIDENCE, "one softmax over tokens and durations together")                   \
    X(CHANNEL_SCALE, "channel_scale", INNER, FUNCTIONAL, "the scale of one int8 channel is wrong")                       \
    X(WEIGHT_TURNED, "weight_turned", INNER, FUNCTIONAL, "a weight is transposed")                                       \
    X(POSITION_SIGN, "position_sign", INNER, FUNCTIONAL, "relative positions have the other sign")          \
    X(TF32_ON, "tf32_on", INNER, NOISE, "products round to ten bits where float32 was asked for")                        \
    X(NORM_OVERFLOW, "norm_overflow", INNER, FINITE, "half precision overflows to infinity inside a norm")               \
    X(PLAN_OF_OTHER, "plan_of_other", INNER, FUNCTIONAL, "a plan of another checkpoint says that it is of this one")     \
    X(HALF_KEPT, "half_kept", INNER, CLOSED_LOOP, "the halves of a stream's caches are not swapped after a step")        \
    X(GRAPH_STALE, "graph_stale", INNER, CLOSED_LOOP, "a recorded step is replayed for the other half of the caches")    \
    X(CACHES_CROSSED, "caches_crossed", INNER, BATCH, "a batch gives a stream's caches back to another stream")

typedef enum conure_fault {
#define X(name, id, kind, gate, what) CONURE_FAULT_OF_##name,
    CONURE_FAULT_LIST(X)
#undef X
    CONURE_FAULTS,
    CONURE_FAULT_NONE = CONURE_FAULTS
} conure_fault;

const char *conure_fault_name(conure_fault fault);
const char *conure_fault_what(conure_fault fault);
conure_fault_kind conure_fault_kind_of(conure_fault fault);
conure_gate conure_fault_gate(conure_fault fault);
const char *conure_fault_kind_name(conure_fault_kind kind); /* "tensor", ... */

/* Why a fault of kind TENSOR cannot be shown here; NULL: it can.  By the contract's rules, never by what came out.
 *   slope  the drift that the tolerances allow */
const char *conure_fault_hidden(conure_fault fault, const conure_contract *contract, double slope);

/* The candidate with a TENSOR fault, or OTHER_MODEL; honest must outlive it and is not closed with it.
 *   inject  NULL, or called with true before and with false after each call of the honest one: how a test plants what is INNER */
conure_status conure_faulty_open(conure_candidate **out, conure_candidate *honest, conure_fault fault, void (*inject)(bool on),
                                 conure_error *err);

/* For conure_parity_options.hand_over; user is the candidate that conure_faulty_open() gave. */
void conure_faulty_hand_over(void *user, conure_chunk *next);

/* Damage a reference file: from PATH to OTHER.  IO, NO_MEMORY, BAD_FILE (fewer than 3 records). */
conure_status conure_fault_file(conure_fault fault, const char *path, const char *other, conure_error *err);

#endif

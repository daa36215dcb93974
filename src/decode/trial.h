/* trial.h - a phrase of a list of hotwords while it is not known whether it will come whole.
 *
 * At the first token that the model alone would not have chosen the stream is remembered, and what comes is kept aside: when
 * the phrase ends it is text, when it breaks off the stream goes back and takes what the model alone says.  The frames in
 * between are kept over the end of a chunk, so that chunks do not matter. */
#ifndef CONURE_DECODE_TRIAL_H
#define CONURE_DECODE_TRIAL_H

#include "base/memory.h"
#include "conure.h"
#include "decode/hotwords.h"
#include "model/model.h"

/* From the token that began it to the end of the phrase: two seconds; text waits no longer for a decision. */
#define CONURE_TRIAL_FRAMES_MAX 25u

typedef struct conure_tdt_token {
    uint32_t id, frame, duration; /* frame: from the stream's beginning */
    float confidence;             /* softmax over labels and blank, without what hotwords prefer */
} conure_tdt_token;

typedef struct conure_trial {
    const conure_hotwords *hotwords;
    uint32_t node;      /* where the text so far stands in them; the rest is of a phrase on trial */
    uint32_t covered;   /* bytes of text on trial; 0: none is */
    uint32_t from_node; /* where it goes back to: node, */
    uint64_t from_frame; /* frame of the stream, */
    uint32_t from_symbols; /* tokens before on that frame, */
    float *from_state;  /* [state_floats] and the predictor */
    float spent;        /* how much likelier the tokens were that the model would have chosen: sum of differences of logits */
    uint32_t n_blanks;  /* evaluations that gave blank */
    uint32_t n_tokens;
    conure_tdt_token tokens[CONURE_HOTWORD_BYTES_MAX]; /* each spells at least a byte */
    float *frames;      /* [n_frames][joint_hidden]: of the chunks before, from from_frame on */
    uint32_t n_frames;
    size_t state_floats, joint_hidden;
} conure_trial;

/* state_floats: of the predictor's state and output.  The list must outlive it. */
conure_status conure_trial_open(conure_trial **out, const conure_hotwords *hotwords, const conure_config *config,
                                size_t state_floats, conure_error *err);
void conure_trial_close(conure_trial **trial); /* NULL-safe */
void conure_trial_reset(conure_trial *trial);
void conure_trial_copy(conure_trial *dst, const conure_trial *src); /* of the same list */
uint64_t conure_trial_bytes(const conure_trial *trial);

/* Keep the frames of a chunk that a trial may go back to; frame: of the chunk's first. */
void conure_trial_hold(conure_trial *trial, const float *frames, uint32_t n_frames, uint64_t frame);

/* For snapshots.  offset: frames of the stream so far; max_symbols: as tdt.h has it.  Load gives false for what no save has
 * written. */
void conure_trial_save(const conure_trial *trial, conure_buffer *buffer);
bool conure_trial_load(conure_trial *trial, conure_reader *reader, uint64_t offset, uint32_t max_symbols);

#endif

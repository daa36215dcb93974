/* endpoint.h - where an utterance ends, by three rules.
 *
 * An utterance of frames has ended when
 *   rule 1: it ends in that much silence, whether or not something was said;
 *   rule 2: something was said, and it ends in that much silence;
 *   rule 3: it is that long.
 * The lowest of those that hold is reported, and the next utterance begins with the next frame.  Frames behind the
 * last token's last one are silence.  With energy_db they must also be quiet: that many dB below the level of speech,
 * which is the loudest of the frames that tokens cover and forgets 1 dB for each second of them; until something
 * was said every frame is quiet.  So quiet speech that gave no tokens yet is not cut off, nor music ended, but by rule 3.
 *
 * Rules and names: sherpa-onnx's endpoint detection; its silence is the frames since the last token.
 *
 * Frames are encoder frames, counted from the stream's first; a token's last frame is frame + duration - 1, or its
 * frame for duration 0.  States hold numbers only, without padding: copies of their bytes are snapshots, and any bytes
 * are safe.  Decisions depend on the frames, never on how they were portioned. */
#ifndef CONURE_STREAM_ENDPOINT_H
#define CONURE_STREAM_ENDPOINT_H

#include "conure.h"

/* 0 turns a rule off, and the energy. */
typedef struct conure_endpoint_options {
    double rule1_min_trailing_silence_s; /* 2.4 */
    double rule2_min_trailing_silence_s; /* 1.2 */
    double rule3_min_utterance_length_s; /* 20 */
    double energy_db;                    /* 0 */
} conure_endpoint_options;

/* The options in frames; immutable. */
typedef struct conure_endpoint_rules {
    uint64_t silence1_frames, silence2_frames, length3_frames; /* 0: off */
    double energy_db;
    double forget_db;          /* of the level, a frame */
} conure_endpoint_rules;

/* {0} is the start of a stream. */
typedef struct conure_endpoint {
    uint64_t frame;            /* frames so far */
    uint64_t start;            /* of the utterance */
    uint64_t speech_end;       /* behind the last token */
    uint64_t loud_end;         /* behind the last frame that was not quiet */
    double speech_db;          /* its level, if has_level */
    uint32_t spoken;           /* 1: the utterance has a token */
    uint32_t has_level;        /* 1: a frame of speech was measured, in any utterance */
} conure_endpoint;

typedef struct conure_endpoint_frames {
    uint32_t n_frames;
    const conure_token *tokens; /* [n_tokens] that were emitted on these frames, in order */
    uint32_t n_tokens;
    const float *level_db;      /* [n_frames], or NULL: tokens alone decide */
} conure_endpoint_frames;

void conure_endpoint_options_init(conure_endpoint_options *options);

/* frame_s: seconds of a frame.  Returns OK, or BAD_ARG for an option that is negative, not finite or above a day. */
conure_status conure_endpoint_plan(conure_endpoint_rules *out, const conure_endpoint_options *options, double frame_s,
                                   conure_error *err);

/* Something is said up to this frame, though its tokens are not decided yet. */
void conure_endpoint_hear(conure_endpoint *endpoint, uint64_t end);

/* Go on with frames, up to the first end of an utterance among them.  The rest is for another call.
 *
 *   n_frames, n_tokens  out: how many of each were used: all, or those of the utterance that ended
 *
 * Returns 0, or the rule by which the utterance ended; it consists of the frames before endpoint->frame. */
uint32_t conure_endpoint_run(const conure_endpoint_rules *rules, conure_endpoint *endpoint,
                             const conure_endpoint_frames *frames, uint32_t *n_frames, uint32_t *n_tokens);

#endif

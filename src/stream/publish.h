/* publish.h - what a step found becomes events: text, words, ends of utterances. */
#ifndef CONURE_STREAM_PUBLISH_H
#define CONURE_STREAM_PUBLISH_H

#include "stream/session.h"

/* What decoding gave. */
typedef struct conure_decoded {
    const conure_tdt_token *tokens, *look; /* final; and what the look-ahead would add */
    uint32_t n_tokens, n_look;
    uint64_t n_blanks;    /* evaluations that gave blank */
    uint64_t first_frame; /* of the final frames, in the run */
    uint32_t n_frames;
    const float *mel;     /* log-mel frames from the first final frame on, 8 of each, for their energy; NULL: not looked at */
    uint64_t n_mel;
    bool last;            /* the run ends with this */
} conure_decoded;

/* Make the events of a step; decoded NULL: the run ended without one.  Under the session's lock and in_use.  When the run
 * ended for a gap the next one is begun.
 * Returns OK or NO_MEMORY: then no event was made of it. */
conure_status conure_publish(conure_session *session, const conure_decoded *decoded, conure_error *err);

#endif

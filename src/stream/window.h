/* window.h - which samples a buffered step looks at: NeMo's arithmetic of [left | chunk | right] windows.
 *
 * The first window holds chunk and right; each later one moves on by a chunk, and left grows to its limit.
 * The last one takes what remains and decodes it all; it need not be a multiple of a frame (spec 6.7 and
 * its addendum), which is why everything here counts samples.
 *
 * Plain numbers: copy it to save it. */
#ifndef CONURE_STREAM_WINDOW_H
#define CONURE_STREAM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct conure_context {
    uint64_t left, chunk, right; /* samples */
} conure_context;

typedef struct conure_window {
    conure_context limit; /* as configured: multiples of an encoder frame */
    conure_context now;   /* of the step before */
    uint64_t taken;       /* samples that steps have taken so far */
    bool finished;        /* the last step was taken */
} conure_window;

/* One step: samples first .. first + n - 1 of the stream are encoded; of what comes out the first
 * left / frame_samples frames are dropped, and then chunk / frame_samples are decoded, or all on the last step. */
typedef struct conure_window_step {
    uint64_t first, n;
    conure_context context;
    bool last;
} conure_window_step;

void conure_window_init(conure_window *window, const conure_context *limit);

/* The next step once heard samples are there; false: more are needed, or the stream has finished.  A step is not
 * ready before a sample behind it was heard or the stream has ended: only then is it known not to be the last. */
bool conure_window_next(const conure_window *window, uint64_t heard, bool ended, conure_window_step *step);

/* The step is done. */
void conure_window_advance(conure_window *window, const conure_window_step *step);

/* With heard samples there: those before this one are needed by no later step.  At most one whole window up to the
 * end of the next step stays. */
uint64_t conure_window_keep(const conure_window *window, uint64_t heard);

#endif

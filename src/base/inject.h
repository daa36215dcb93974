/* inject.h - mistakes inside the engine, for one test program that plants them to see whether a clearance notices
 * (tests/clearance/self_test.c).  In every other build CONURE_INJECTED() is 0 and nothing is left of it. */
#ifndef CONURE_BASE_INJECT_H
#define CONURE_BASE_INJECT_H

#ifdef CONURE_INJECT

enum {
    CONURE_INJECT_NOTHING = 0,
    CONURE_INJECT_OVERSHOOT_DROPPED,
    CONURE_INJECT_PREDICTOR_RESET,
    CONURE_INJECT_LABEL_FORGOTTEN,
    CONURE_INJECT_CHUNK_NORMALISED,
    CONURE_INJECT_DEVIATION_N,
    CONURE_INJECT_NO_PREEMPHASIS,
    CONURE_INJECT_LOG_GUARD,
    CONURE_INJECT_PADDING_LEAKS,
    CONURE_INJECT_ROWS_MIXED,
    CONURE_INJECT_MASK_OTHER,
    CONURE_INJECT_ONE_SOFTMAX,
    CONURE_INJECT_CHANNEL_SCALE,
    CONURE_INJECT_WEIGHT_TURNED,
    CONURE_INJECT_POSITION_SIGN,
    CONURE_INJECT_TF32_ON,
    CONURE_INJECT_NORM_OVERFLOW,
    CONURE_INJECT_PLAN_OF_OTHER,
    CONURE_INJECT_HALF_KEPT,
    CONURE_INJECT_GRAPH_STALE,
    CONURE_INJECT_CACHES_CROSSED,
};
extern volatile int conure_injected; /* which; the test's */
#define CONURE_INJECTED(name) (conure_injected == CONURE_INJECT_##name)

#else
#define CONURE_INJECTED(name) 0
#endif

#endif

/* bench_stream.h - measuring sessions of live text: steps, delays, how many run at once, what each takes. */
#ifndef CONURE_CLI_BENCH_STREAM_H
#define CONURE_CLI_BENCH_STREAM_H

#include <jansson.h>

#include "cli/measure.h"
#include "conure.h"
#include "model/model.h"

#define CONURE_BENCH_STREAM_ROWS 16
#define CONURE_BENCH_STREAM_SESSIONS_MAX 256

/* Audio processed, the time it took, and the processors' time that this process had meanwhile. */
typedef struct conure_bench_pace {
    double audio_s, wall_s, cpu_s;
} conure_bench_pace;

/* Sessions fed in real time. */
typedef struct conure_bench_live {
    uint32_t n_sessions; /* most that kept up; 0: none did, or it was not tried */
    double seconds;      /* 0: not tried */
    double lag_max_s;    /* from a step being due to its text being there, at most; of the last try */
} conure_bench_live;

typedef struct conure_bench_stream_row {
    /* in */
    char name[32];
    conure_session_options options;
    /* out */
    double left_s, chunk_s, right_s;  /* as rounded to frames */
    double window_s;                  /* audio that a step gives to the encoder */
    double latency_s;                 /* conure_session_latency_s() */
    conure_stats step;                /* one session, stepped alone */
    conure_stats word_stream, word;   /* end of a word to its final text: audio fed meanwhile; and the step's time on top */
    double features, encoder, decoder, other; /* shares of the steps' time; other: everything else */
    uint64_t session_bytes;
    conure_bench_pace alone, batched;
    double batch_mean;                /* sessions in an encoder call */
    double gain;                      /* batched against alone, audio by time: median of rounds that take turns */
    conure_bench_live live;
} conure_bench_stream_row;

typedef struct conure_bench_stream {
    /* in */
    uint32_t n_sessions; /* that the scheduler steps */
    double seconds;      /* of audio measured alone, and again batched, a row */
    double live_s;       /* 0: do not try in real time */
    const float *clip;   /* [clip_samples], repeated */
    uint64_t clip_samples;
    uint32_t n_rows;
    conure_bench_stream_row rows[CONURE_BENCH_STREAM_ROWS];
    /* out */
    double load_before, load_after; /* of the machine: runnable processes, mean of a minute; negative: unknown */
} conure_bench_stream;

/* A row for contexts by name; more, if cached, than the preset's meaning for conure_session_options_preset(). */
conure_status conure_bench_stream_add(conure_bench_stream *bench, const char *preset, conure_stream_mode mode, conure_error *err);

conure_status conure_bench_stream_run(conure_bench_stream *bench, const conure_model *model, conure_recognizer *recognizer,
                                      conure_error *err);

/* Seconds of audio per second of work. */
static inline double conure_bench_sessions(const conure_bench_pace *pace)
{
    return pace->wall_s > 0 ? pace->audio_s / pace->wall_s : 0;
}

static inline double conure_bench_sessions_per_core(const conure_bench_pace *pace)
{
    return pace->cpu_s > 0 ? pace->audio_s / pace->cpu_s : 0;
}

void conure_bench_stream_print(const conure_bench_stream *bench);
json_t *conure_bench_stream_json(const conure_bench_stream *bench); /* NULL without memory */

#endif

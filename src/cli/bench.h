/* bench.h - measuring a recognizer: encoder alone, audio to text, loading, memory; or sessions. */
#ifndef CONURE_CLI_BENCH_H
#define CONURE_CLI_BENCH_H

#include "cli/bench_stream.h"
#include "cli/flops.h"
#include "cli/measure.h"
#include "cli/peak.h"
#include "conure.h"

#define CONURE_BENCH_ROWS 8

typedef struct conure_bench_encoder {
    uint32_t mel_frames;
    conure_stats s;
    conure_flops flops;
} conure_bench_encoder;

typedef struct conure_bench_text {
    double audio_s;
    conure_stats s;                  /* of the whole: samples in, text out */
    double features_s, encoder_s, decoder_s; /* p50 each */
    uint32_t n_tokens, n_words;
} conure_bench_text;

typedef struct conure_bench {
    /* in */
    const char *model, *audio; /* as on the command line; NULL: default */
    conure_recognizer_options recognizer;
    uint32_t runs;
    double seconds[CONURE_BENCH_ROWS];
    uint32_t frames[CONURE_BENCH_ROWS];
    uint32_t n_seconds, n_frames;
    const volatile int *cancel;
    conure_bench_stream *stream; /* NULL, or measure this in place of encoder and text */
    /* out; strings are copies */
    char describe[256], model_name[128], model_sha256[65], weights[8];
    uint64_t n_parameters, weight_bytes;
    conure_precision precision;
    uint32_t n_threads, features;
    double load_s;          /* model and recognizer opened */
    double first_result_s;  /* from the start of the process to the first text; negative: unknown */
    double first_audio_s;   /* length of that clip */
    uint64_t rss_peak_bytes;
    bool peak_known;
    conure_peak peak;
    conure_bench_encoder encoder[CONURE_BENCH_ROWS];
    conure_bench_text text[CONURE_BENCH_ROWS];
} conure_bench;

conure_status conure_bench_run(conure_bench *bench, conure_error *err);

/* conure_bench as text or JSON on standard output; false without memory. */
bool conure_bench_print_text(const conure_bench *bench);
bool conure_bench_print_json(const conure_bench *bench);

#endif

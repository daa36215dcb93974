/* bench_stream.c - the measurements of `conure bench --stream`; see bench_stream.h.
 *
 * For each row one session is stepped alone, fed 10 ms at a time so that a step begins as soon as it can, and some sessions are
 * stepped together by a scheduler, fed as much as they take.  The two take turns, so that what else runs on the machine
 * hits both.  Measured is the steady state: before, every session is brought so far that its left context is full. */
#include "cli/bench_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/crowd.h"
#include "cli/terminal.h"
#include "stream/schedule.h"
#include "stream/session_options.h"

enum { ROUNDS = 3, FEEDS_PER_S = 100, LIVE_TRIES = 4 };

/* What a row is measured with. */
typedef struct bench_room {
    conure_bench_stream *bench;
    conure_bench_stream_row *row;
    conure_crowd alone, together; /* one session, which we step ourselves; many */
    uint32_t rate_hz;
    double behind_s;              /* audio behind its final text that a step waits for */
    double *steps, *words_stream, *words; /* samples of the row */
    uint32_t n_steps, n_words, words_cap, steps_cap;
    double *arrived_s, *took_s;   /* [n_tokens]: audio fed when a token became final, and the time of that step */
    uint32_t n_tokens, tokens_cap;
    bool counting;                /* the warm-up is over */
    double features_s, encoder_s, decoder_s, step_s;
} bench_room;

conure_status conure_bench_stream_add(conure_bench_stream *bench, const char *preset, conure_stream_mode mode, conure_error *err)
{
    if (bench->n_rows == CONURE_BENCH_STREAM_ROWS)
        return conure_fail(err, CONURE_BAD_ARG, "at most %d presets can be measured at once", CONURE_BENCH_STREAM_ROWS);
    conure_bench_stream_row *row = &bench->rows[bench->n_rows];
    conure_session_options_init(&row->options);
    const conure_status status = conure_session_options_preset(&row->options, preset, err);
    if (status != CONURE_OK)
        return status;
    row->options.mode = mode;
    snprintf(row->name, sizeof row->name, "%s", preset);
    bench->n_rows++;
    return CONURE_OK;
}

/* ---- one session alone ----------------------------------------------------------------------- */

/* Room for one more in each of two arrays that grow together. */
static bool grow(double **a, double **b, uint32_t *cap, uint32_t n)
{
    if (n < *cap)
        return true;
    const uint32_t more = *cap ? 2 * *cap : 1024;
    double *x = realloc(*a, more * sizeof *x);
    if (x)
        *a = x;
    double *y = realloc(*b, more * sizeof *y);
    if (y)
        *b = y;
    if (x && y)
        *cap = more;
    return x && y;
}

/* When a word's last token became final, against when the word ended. */
static bool take_event(bench_room *room, const conure_event *event, double heard_s, double took_s)
{
    for (uint32_t i = 0; i < event->n_tokens; i++) {
        if (!grow(&room->arrived_s, &room->took_s, &room->tokens_cap, room->n_tokens))
            return false;
        room->arrived_s[room->n_tokens] = heard_s;
        room->took_s[room->n_tokens++] = took_s;
    }
    for (uint32_t i = 0; i < event->n_words && room->counting; i++) {
        const conure_word *word = &event->words[i];
        const uint32_t last = word->first_token + word->n_tokens - 1;
        if (!word->n_tokens || last >= room->n_tokens)
            continue;
        if (!grow(&room->words_stream, &room->words, &room->words_cap, room->n_words))
            return false;
        room->words_stream[room->n_words] = room->arrived_s[last] - word->end_s;
        room->words[room->n_words] = room->words_stream[room->n_words] + room->took_s[last];
        room->n_words++;
    }
    return true;
}

static conure_status take_step(bench_room *room, double took_s, conure_error *err)
{
    conure_crowd_member *member = room->alone.members;
    const conure_event *event;
    while (conure_session_poll(member->session, &event) == CONURE_OK)
        if (!take_event(room, event, (double)member->fed / room->rate_hz, took_s))
            return conure_fail_memory(err, "times", room->tokens_cap * sizeof(double));
    if (room->counting && room->n_steps < room->steps_cap)
        room->steps[room->n_steps++] = took_s;
    if (room->counting)
        room->step_s += took_s;
    return CONURE_OK;
}

/* n steps of the session that is alone. */
static conure_status step_alone(bench_room *room, uint32_t n, conure_error *err)
{
    conure_crowd_member *member = room->alone.members;
    conure_status status = CONURE_OK;
    for (uint32_t done = 0; status == CONURE_OK && done < n;) {
        const double start_s = conure_now_s();
        status = conure_session_step(member->session, err);
        if (status == CONURE_OK) {
            status = take_step(room, conure_now_s() - start_s, err);
            done++;
        } else if (status == CONURE_NEED_AUDIO) {
            status = conure_crowd_feed(&room->alone, member, member->fed + room->rate_hz / FEEDS_PER_S, err);
        }
    }
    return status;
}

/* ---- many ------------------------------------------------------------------------------------ */

/* At least n steps of the scheduler's sessions; *done says how many. */
static conure_status step_together(bench_room *room, uint32_t n, uint32_t *done, conure_error *err)
{
    conure_crowd *crowd = &room->together;
    conure_status status = CONURE_OK;
    *done = 0;
    while (status == CONURE_OK && *done < n) {
        uint32_t stepped = 0;
        for (uint32_t i = 0; i < crowd->n && status == CONURE_OK; i++)
            status = conure_crowd_feed(crowd, &crowd->members[i], UINT64_MAX, err);
        if (status == CONURE_OK)
            status = conure_crowd_step(crowd, 0, &stepped, NULL, NULL, err);
        *done += stepped;
    }
    return status;
}

static double cpu_s(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec : 0;
}

static void pace_begin(conure_bench_pace *pace)
{
    *pace = (conure_bench_pace){.wall_s = -conure_now_s(), .cpu_s = -cpu_s()};
}

static void pace_end(conure_bench_pace *pace, double audio_s)
{
    pace->wall_s += conure_now_s();
    pace->cpu_s += cpu_s();
    pace->audio_s = audio_s;
}

static void pace_add(conure_bench_pace *sum, const conure_bench_pace *pace)
{
    sum->audio_s += pace->audio_s;
    sum->wall_s += pace->wall_s;
    sum->cpu_s += pace->cpu_s;
}

/* ---- a row ----------------------------------------------------------------------------------- */

static conure_status plan(bench_room *room, const conure_config *config, conure_error *err)
{
    conure_bench_stream_row *row = room->row;
    uint32_t frames[3];
    conure_schedule_rule rule;
    const double frame_s = 8.0 * config->hop_samples / config->sample_rate_hz;
    const conure_status status = conure_session_contexts(&row->options, config, frames, err);
    if (status != CONURE_OK)
        return status;
    conure_schedule_nemo(&rule, frames[1], frames[2]);
    row->left_s = frames[0] * frame_s;
    row->chunk_s = frames[1] * frame_s;
    row->right_s = frames[2] * frame_s;
    row->window_s = row->options.mode == CONURE_STREAM_BUFFERED ? (frames[0] + frames[1] + frames[2]) * frame_s
                                                                : conure_schedule_longest(&rule) * frame_s / 8;
    /* A slice ends 7 mel frames before its last encoder frame does, but waits for the samples of its last window (schedule.h). */
    room->behind_s = row->right_s;
    if (row->options.mode == CONURE_STREAM_CACHED)
        room->behind_s -= (7.0 * config->hop_samples - config->window_samples / 2.0) / config->sample_rate_hz;
    return CONURE_OK;
}

static conure_status open_room(bench_room *room, conure_recognizer *recognizer, uint32_t n_steps, conure_error *err)
{
    const conure_bench_stream *b = room->bench;
    const conure_crowd crowd = {.clip = b->clip, .clip_samples = b->clip_samples, .rate_hz = room->rate_hz};
    room->alone = room->together = crowd;
    room->steps_cap = n_steps;
    room->steps = conure_calloc(n_steps, sizeof *room->steps);
    if (!room->steps)
        return conure_fail_memory(err, "times", n_steps * sizeof *room->steps);
    conure_status status = conure_crowd_open(&room->alone, recognizer, &room->row->options, 1, err);
    if (status == CONURE_OK)
        status = conure_scheduler_remove(room->alone.scheduler, room->alone.members->session, err);
    if (status == CONURE_OK)
        status = conure_crowd_open(&room->together, recognizer, &room->row->options, b->n_sessions, err);
    return status;
}

static void close_room(bench_room *room)
{
    conure_crowd_close(&room->alone);
    conure_crowd_close(&room->together);
    free(room->steps);
    free(room->words_stream);
    free(room->words);
    free(room->arrived_s);
    free(room->took_s);
}

/* One turn of each. */
static conure_status measure_round(bench_room *room, uint32_t n_steps, double *gain, conure_error *err)
{
    conure_bench_stream_row *row = room->row;
    conure_bench_pace alone, together;
    uint32_t stepped = 0;
    pace_begin(&alone);
    conure_status status = step_alone(room, n_steps, err);
    pace_end(&alone, n_steps * row->chunk_s);
    if (status != CONURE_OK)
        return status;
    pace_begin(&together);
    status = step_together(room, n_steps, &stepped, err);
    pace_end(&together, stepped * row->chunk_s);
    pace_add(&row->alone, &alone);
    pace_add(&row->batched, &together);
    *gain = conure_bench_sessions(&together) / conure_bench_sessions(&alone);
    return status;
}

static void take_shares(bench_room *room, const conure_session_stats *before)
{
    conure_bench_stream_row *row = room->row;
    conure_session_stats after;
    const double all = room->step_s;
    if (conure_session_get_stats(room->alone.members->session, &after) != CONURE_OK || all <= 0)
        return;
    row->features = (after.features_s - before->features_s) / all;
    row->encoder = (after.encoder_s - before->encoder_s) / all;
    row->decoder = (after.decoder_s - before->decoder_s) / all;
    row->other = 1 - row->features - row->encoder - row->decoder;
}

static conure_status measure_row(bench_room *room, uint32_t n_steps, conure_error *err)
{
    conure_bench_stream_row *row = room->row;
    /* Windows are full once left, chunk and right were heard. */
    const uint32_t n_full = (uint32_t)ceil(row->left_s / row->chunk_s) + 2;
    conure_session_stats before;
    conure_scheduler_stats scheduled[2];
    double gains[ROUNDS] = {0};
    uint32_t stepped;
    conure_progress("%s: filling the left context", row->name);
    conure_status status = step_alone(room, n_full, err);
    if (status == CONURE_OK)
        status = step_together(room, n_full * room->bench->n_sessions, &stepped, err);
    if (status == CONURE_OK)
        status = conure_session_get_stats(room->alone.members->session, &before);
    if (status == CONURE_OK)
        status = conure_scheduler_get_stats(room->together.scheduler, &scheduled[0]);
    room->counting = true;
    for (uint32_t i = 0; status == CONURE_OK && i < ROUNDS; i++) {
        conure_progress("%s: round %u of %d", row->name, i + 1, ROUNDS);
        status = measure_round(room, n_steps, &gains[i], err);
    }
    if (status != CONURE_OK)
        return status;
    conure_stats gain;
    conure_stats_of(gains, ROUNDS, &gain);
    row->gain = gain.p50;
    take_shares(room, &before);
    conure_stats_of(room->steps, room->n_steps, &row->step);
    conure_stats_of(room->words_stream, room->n_words, &row->word_stream);
    conure_stats_of(room->words, room->n_words, &row->word);
    row->latency_s = conure_session_latency_s(room->alone.members->session);
    row->session_bytes = conure_session_bytes(room->alone.members->session);
    status = conure_scheduler_get_stats(room->together.scheduler, &scheduled[1]);
    const double calls = (double)(scheduled[1].n_calls - scheduled[0].n_calls);
    row->batch_mean = calls > 0 ? (double)(scheduled[1].n_steps - scheduled[0].n_steps) / calls : 0;
    return status;
}

/* As many in real time as the measurements promise, then fewer until they keep up. */
static conure_status try_live(bench_room *room, conure_recognizer *recognizer, conure_error *err)
{
    const conure_bench_stream *b = room->bench;
    conure_bench_stream_row *row = room->row;
    const double promised = conure_bench_sessions(&row->batched);
    uint32_t n = promised < CONURE_BENCH_STREAM_SESSIONS_MAX ? (uint32_t)promised : CONURE_BENCH_STREAM_SESSIONS_MAX;
    conure_status status = CONURE_OK;
    row->live.seconds = b->live_s;
    for (int i = 0; i < LIVE_TRIES && n > 0 && status == CONURE_OK; i++, n -= n > 8 ? n / 8 : 1) {
        conure_crowd crowd = {.clip = b->clip, .clip_samples = b->clip_samples, .rate_hz = room->rate_hz};
        conure_progress("%s: %u sessions in real time", row->name, n);
        status = conure_crowd_open(&crowd, recognizer, &row->options, n, err);
        if (status == CONURE_OK)
            status = conure_crowd_live(&crowd, row->left_s + 2 * row->chunk_s + row->right_s, row->chunk_s, room->behind_s, b->live_s,
                                       &row->live.lag_max_s, err);
        conure_crowd_close(&crowd);
        if (status == CONURE_OK && row->live.lag_max_s <= row->chunk_s) { /* each step's text before the next was due */
            row->live.n_sessions = n;
            break;
        }
    }
    return status;
}

static conure_status run_row(conure_bench_stream *bench, conure_bench_stream_row *row, const conure_config *config,
                             conure_recognizer *recognizer, conure_error *err)
{
    bench_room room = {.bench = bench, .row = row, .rate_hz = config->sample_rate_hz};
    conure_status status = plan(&room, config, err);
    if (status != CONURE_OK)
        return status;
    const double a_round = ceil(bench->seconds / row->chunk_s / ROUNDS);
    const uint32_t n_steps = a_round < 1 ? 1 : a_round > 1e6 ? 1000000 : (uint32_t)a_round;
    status = open_room(&room, recognizer, ROUNDS * n_steps, err);
    if (status == CONURE_OK)
        status = measure_row(&room, n_steps, err);
    close_room(&room);
    if (status == CONURE_OK && bench->live_s > 0)
        status = try_live(&room, recognizer, err);
    return status;
}

static double machine_load(void)
{
    double load;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

conure_status conure_bench_stream_run(conure_bench_stream *bench, const conure_model *model, conure_recognizer *recognizer,
                                      conure_error *err)
{
    conure_status status = CONURE_OK;
    bench->load_before = machine_load();
    for (uint32_t i = 0; status == CONURE_OK && i < bench->n_rows; i++)
        status = run_row(bench, &bench->rows[i], &model->config, recognizer, err);
    bench->load_after = machine_load();
    return status;
}

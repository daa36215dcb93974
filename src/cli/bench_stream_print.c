/* bench_stream_print.c - what `conure bench --stream` prints. */
#include "cli/bench_stream.h"

#include <stdio.h>

static const char *mode_name(const conure_bench_stream_row *row)
{
    return row->options.mode == CONURE_STREAM_BUFFERED ? "buffered" : row->options.mode == CONURE_STREAM_CACHED ? "cache" : "reset";
}

static void print_name(const conure_bench_stream_row *row)
{
    printf("%-12s %-8s", row->name, mode_name(row));
}

static void print_steps(const conure_bench_stream *b)
{
    printf("\n%-21s %8s %8s %6s %8s %8s %8s %9s %8s %8s %7s %9s\n", "a step alone", "window s", "chunk s", "work", "p50 ms", "p95 ms",
           "p99 ms", "features", "encoder", "decoder", "other", "session");
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const conure_bench_stream_row *r = &b->rows[i];
        print_name(r);
        printf(" %8.2f %8.2f %6.1f %8.1f %8.1f %8.1f %7.1f %% %6.1f %% %6.1f %% %5.2f %% %6.2f MB\n", r->window_s, r->chunk_s,
               r->window_s / r->chunk_s, 1e3 * r->step.p50, 1e3 * r->step.p95, 1e3 * r->step.p99, 100 * r->features, 100 * r->encoder,
               100 * r->decoder, 100 * r->other, (double)r->session_bytes / 1e6);
    }
}

static void print_live(const conure_bench_stream_row *r)
{
    if (r->live.seconds <= 0)
        printf(" %14s\n", "-");
    else if (r->live.n_sessions)
        printf(" %3u, %4.0f ms late\n", r->live.n_sessions, 1e3 * r->live.lag_max_s);
    else
        printf(" %14s\n", "none kept up");
}

static void print_sessions(const conure_bench_stream *b)
{
    printf("\n%-21s %9s %10s %10s %11s %11s %11s %11s %14s\n", "live", "latency s", "word p50 s", "word p95 s", "alone", "batched",
           "gain", "a core", "in real time");
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const conure_bench_stream_row *r = &b->rows[i];
        print_name(r);
        printf(" %9.2f", r->latency_s);
        if (r->word.n)
            printf(" %10.2f %10.2f", r->word.p50, r->word.p95);
        else
            printf(" %10s %10s", "-", "-");
        printf(" %11.1f %4.1f by %3.1f %10.2fx %11.1f", conure_bench_sessions(&r->alone), conure_bench_sessions(&r->batched), r->batch_mean,
               r->gain, conure_bench_sessions_per_core(&r->batched));
        print_live(r);
    }
}

void conure_bench_stream_print(const conure_bench_stream *b)
{
    if (b->load_before >= 0)
        printf("load         %.2f before, %.2f after (runnable processes, mean of a minute)\n", b->load_before, b->load_after);
    print_steps(b);
    print_sessions(b);
}

static json_t *times(const conure_stats *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I}", "p50_s", s->p50, "p95_s", s->p95, "p99_s", s->p99, "min_s", s->min, "max_s", s->max,
                     "n", (json_int_t)s->n);
}

static json_t *pace(const conure_bench_pace *p)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "audio_s", p->audio_s, "wall_s", p->wall_s, "cpu_s", p->cpu_s, "sessions",
                     conure_bench_sessions(p), "sessions_per_core", conure_bench_sessions_per_core(p));
}

static json_t *live(const conure_bench_live *l)
{
    if (l->seconds <= 0)
        return json_null();
    return json_pack("{s:I, s:f, s:f}", "sessions", (json_int_t)l->n_sessions, "seconds", l->seconds, "lag_max_s", l->lag_max_s);
}

static json_t *row_json(const conure_bench_stream *b, const conure_bench_stream_row *r)
{
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:{s:f, s:f, s:f, s:f}, s:I, s:o, s:o, s:I, s:f, s:f, s:o}",
                     "name", r->name, "mode", mode_name(r), "left_s", r->left_s, "chunk_s", r->chunk_s, "right_s", r->right_s, "window_s",
                     r->window_s, "amplification", r->window_s / r->chunk_s, "latency_s", r->latency_s, "step", times(&r->step),
                     "word_to_text", times(&r->word), "word_to_text_audio", times(&r->word_stream), "share_of_step", "features",
                     r->features, "encoder", r->encoder, "decoder", r->decoder, "other", r->other, "session_bytes",
                     (json_int_t)r->session_bytes, "alone", pace(&r->alone), "batched", pace(&r->batched), "batched_sessions",
                     (json_int_t)b->n_sessions, "batch_mean", r->batch_mean, "batched_gain", r->gain, "live", live(&r->live));
}

json_t *conure_bench_stream_json(const conure_bench_stream *b)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < b->n_rows; i++)
        json_array_append_new(rows, row_json(b, &b->rows[i]));
    return json_pack("{s:f, s:f, s:o}", "load_before", b->load_before, "load_after", b->load_after, "rows", rows);
}

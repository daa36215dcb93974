/* bench_print.c - what `conure bench` prints. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "cli/bench.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "engine/engine.h"

static double gops(const conure_bench_encoder *e)
{
    const double all = e->flops.products + e->flops.attention + e->flops.convolution;
    return e->s.p50 > 0 ? all / e->s.p50 / 1e9 : 0;
}

static double share(const conure_bench *b, const conure_bench_encoder *e)
{
    return b->peak_known && b->peak.ops_per_s > 0 ? 1e9 * gops(e) / b->peak.ops_per_s : 0;
}

static void print_rows(const conure_bench *b)
{
    printf("\n%-22s %10s %10s %10s %10s\n", "encoder", "p50 ms", "p95 ms", "GOP/s", "of peak");
    for (uint32_t i = 0; i < b->n_frames; i++) {
        const conure_bench_encoder *e = &b->encoder[i];
        printf("%-6u mel frames      %10.1f %10.1f %10.0f", e->mel_frames, 1e3 * e->s.p50,
               1e3 * e->s.p95, gops(e));
        if (b->peak_known)
            printf(" %8.0f %%", 100 * share(b, e));
        printf("\n");
    }
    printf("\n%-22s %10s %10s %10s %10s %10s %10s %8s\n", "audio to text", "p50 ms", "p95 ms",
           "x realtime", "features", "encoder", "decoder", "tokens");
    for (uint32_t i = 0; i < b->n_seconds; i++) {
        const conure_bench_text *t = &b->text[i];
        printf("%-6g s               %10.1f %10.1f %10.1f %10.1f %10.1f %10.1f %8u\n", t->audio_s,
               1e3 * t->s.p50, 1e3 * t->s.p95, t->s.p50 > 0 ? t->audio_s / t->s.p50 : 0,
               1e3 * t->features_s, 1e3 * t->encoder_s, 1e3 * t->decoder_s, t->n_tokens);
    }
}

bool conure_bench_print_text(const conure_bench *b)
{
    char cpu[128], features[128], size[32], peak[32], *name = conure_clean_copy(b->model_name);
    printf("conure %s, commit %s, %s\n", conure_version(), conure_program_commit(),
           conure_program_build());
    printf("cpu          %s (%s), %u processors\n", conure_cpu_name(cpu, sizeof cpu),
           conure_cpu_features_text(b->features, features, sizeof features), conure_processors());
    printf("runs         %s\n", b->describe);
    printf("model        %s, %.1f M parameters, %s, %s, hash %.12s\n", name ? name : "?",
           (double)b->n_parameters / 1e6, b->weights, conure_text_bytes(b->weight_bytes, size),
           b->model_sha256);
    free(name);
    printf("load         %.3f s\n", b->load_s);
    if (b->first_result_s >= 0)
        printf("first text   %.3f s from the start of the process, %g s of audio\n", b->first_result_s,
               b->first_audio_s);
    printf("peak memory  %s resident\n", conure_text_bytes(b->rss_peak_bytes, peak));
    if (b->peak_known)
        printf("machine      %.0f GOP/s with %s, %u threads\n", b->peak.ops_per_s / 1e9,
               b->peak.instruction, b->n_threads);
    if (b->stream)
        conure_bench_stream_print(b->stream);
    else
        print_rows(b);
    return true;
}

static json_t *stats_json(const conure_stats *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:I}", "p50_s", s->p50, "p95_s", s->p95, "min_s", s->min,
                     "max_s", s->max, "runs", (json_int_t)s->n);
}

static json_t *encoder_json(const conure_bench *b)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < b->n_frames; i++) {
        const conure_bench_encoder *e = &b->encoder[i];
        json_array_append_new(
            rows, json_pack("{s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:f}", "mel_frames",
                            (json_int_t)e->mel_frames, "encoder_frames",
                            (json_int_t)e->flops.encoder_frames, "time", stats_json(&e->s),
                            "products_gop", e->flops.products / 1e9, "attention_gop",
                            e->flops.attention / 1e9, "convolution_gop", e->flops.convolution / 1e9,
                            "gop_per_s", gops(e), "share_of_peak", share(b, e)));
    }
    return rows;
}

static json_t *text_json(const conure_bench *b)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < b->n_seconds; i++) {
        const conure_bench_text *t = &b->text[i];
        json_array_append_new(
            rows, json_pack("{s:f, s:o, s:f, s:f, s:f, s:f, s:I, s:I}", "audio_s", t->audio_s, "time",
                            stats_json(&t->s), "real_time_factor",
                            t->audio_s > 0 ? t->s.p50 / t->audio_s : 0, "features_p50_s", t->features_s,
                            "encoder_p50_s", t->encoder_s, "decoder_p50_s", t->decoder_s, "tokens",
                            (json_int_t)t->n_tokens, "words", (json_int_t)t->n_words));
    }
    return rows;
}

bool conure_bench_print_json(const conure_bench *b)
{
    char cpu[128], features[128];
    const char *precision = conure_precision_name(b->precision);
    json_t *json = json_pack(
        "{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:I}, s:{s:s, s:s, s:I}, s:{s:s, s:s, s:s, s:I, s:I}, s:f, s:o, "
        "s:f, s:I, s:o}",
        "program", "version", conure_version(), "commit", conure_program_commit(), "build",
        conure_program_build(), "machine", "cpu", conure_cpu_name(cpu, sizeof cpu), "instructions",
        conure_cpu_features_text(b->features, features, sizeof features), "processors",
        (json_int_t)conure_processors(), "run", "description", b->describe, "precision",
        precision ? precision : "default", "threads", (json_int_t)b->n_threads, "model", "name",
        b->model_name, "hash", b->model_sha256, "weights", b->weights, "parameters",
        (json_int_t)b->n_parameters, "weight_bytes", (json_int_t)b->weight_bytes, "load_s", b->load_s,
        "first_result_s", b->first_result_s >= 0 ? json_real(b->first_result_s) : json_null(),
        "first_audio_s", b->first_audio_s, "peak_rss_bytes", (json_int_t)b->rss_peak_bytes, "peak",
        b->peak_known ? json_pack("{s:s, s:f}", "instruction", b->peak.instruction, "gop_per_s",
                                  b->peak.ops_per_s / 1e9)
                      : json_null());
    if (b->stream) {
        json_object_set_new(json, "stream", conure_bench_stream_json(b->stream));
    } else {
        json_object_set_new(json, "encoder", encoder_json(b));
        json_object_set_new(json, "audio_to_text", text_json(b));
    }
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(json);
    return text != NULL;
}

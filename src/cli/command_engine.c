/* command_engine.c - `conure engine`: plans of TensorRT, and how long steps of any engine take. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "cli/clearance.h"
#include "cli/command.h"
#include "cli/engine_time.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "engine/trt/plan.h"
#include "model/quote.h"
#ifdef CONURE_HAVE_PLANS
#include "cli/plan_build.h"
#include "cli/speech.h"
#endif

/* ---- build ------------------------------------------------------------------------------------ */

typedef struct build_settings {
    const char *model, *contract, *profile, *timing, *plans, *audio, *library;
    uint64_t batch_max, frames_max, level, n_threads, device;
    int precision, beside, mask;
    bool by_layer, fixed, force;
} build_settings;

static const char *const precision_names[] = {"f32", "tf32", "f16", "bf16", "int8", NULL};
static const char *const besides[] = {"f32", "f16", NULL};
static const char *const masks[] = {"default", "nemo", "exact", NULL};

enum { FRAMES_USUAL = 2000 };

static void build_defaults(void *settings)
{
    build_settings *s = settings;
    s->profile = "all";
    s->level = 3;
}

#ifdef CONURE_HAVE_PLANS

static const conure_precision precisions[] = {CONURE_PRECISION_F32, CONURE_PRECISION_TF32, CONURE_PRECISION_F16, CONURE_PRECISION_BF16,
                                              CONURE_PRECISION_INT8};

static void print_made(const conure_plan_made *m)
{
    char bytes[32], seconds[32], parts[CONURE_PLAN_PARTS_CAP];
    const conure_plan_side *s = &m->side;
    conure_plan_wide_text(s->wide, parts);
    printf("%s.plan  %s, %s, T %u..%u, B %u..%u", m->path, s->streaming ? "step" : "offline", s->precision, s->t[0], s->t[2], s->b[0], s->b[2]);
    if (s->streaming)
        printf(", drop %u, cache %u", s->drop_first, s->caches.cache_rows);
    printf("%s", s->by_layer ? ", by layer" : "");
    printf("; TF32 %s, ", s->tf32 ? "on" : "off");
    if (s->int8)
        printf("%s beside int8, ", s->f16 ? "f16" : "f32");
    if (s->f16)
        printf("in f32: norms%s%s, ", parts[0] ? ", " : "", parts);
    if (s->n_audio)
        printf("%u recording%s looked at, ", s->n_audio, s->n_audio == 1 ? "" : "s");
    printf("%s with TensorRT %s, %s", s->gpu, s->tensorrt, conure_text_bytes(s->plan_bytes, bytes));
    if (m->was_there) {
        printf("; was there\n");
        return;
    }
    printf("; built in %s%s", conure_text_seconds(s->seconds, seconds), m->timing_used ? " with the timing cache" : "");
    if (s->n_kept_f32)
        printf(", %u of %u layers of TensorRT held in f32", s->n_kept_f32, m->n_layers);
    printf("\n");
}

/* --audio and what is behind the options: files and folders. */
static conure_status hear(conure_speech *speech, const build_settings *s, int n, char *const *arguments, const conure_model *model,
                          conure_error *err)
{
    const char **paths = calloc((size_t)n + 1, sizeof *paths);
    int n_paths = 0;
    if (!paths)
        return conure_fail_memory(err, "a list of recordings", ((size_t)n + 1) * sizeof *paths);
    if (s->audio)
        paths[n_paths++] = s->audio;
    for (int i = 0; i < n; i++)
        paths[n_paths++] = arguments[i];
    const conure_status status = conure_speech_load(speech, model, (char *const *)paths, n_paths, err);
    free(paths);
    return status;
}

static conure_status build_plans(const build_settings *s, conure_plan_wish *wish, int n, char *const *arguments, conure_plan_made *made,
                                 uint32_t *n_made, conure_error *err)
{
    char usual[PATH_MAX];
    const char *folder = s->plans ? s->plans : usual;
    conure_model *model = NULL;
    conure_speech speech = {0};
    conure_status status = s->plans ? CONURE_OK : conure_plan_folder(usual, err);
    if (status == CONURE_OK)
        status = conure_models_load(&model, s->model, err);
    if (status == CONURE_OK)
        status = hear(&speech, s, n, arguments, model, err);
    wish->utterances = speech.utterances;
    wish->n_utterances = speech.n;
    wish->audio_sha256 = speech.sha256;
    if (status == CONURE_OK)
        status = conure_plans_build(made, n_made, model, wish, folder, s->timing, s->force, (conure_log){conure_log_to_terminal, NULL}, err);
    conure_speech_free(&speech);
    conure_model_close(&model);
    return status;
}

static int run_build(const void *settings, int n, char *const *arguments)
{
    const build_settings *s = settings;
    const bool offline = strcmp(s->profile, "offline") == 0;
    conure_plan_made *made = calloc(CONURE_PLANS_OF_CONTRACT, sizeof *made);
    uint32_t n_made = 0;
    conure_error err = {""};
    conure_contract contract;
    conure_plan_wish wish = {.profile = s->profile, .frames_max = s->frames_max ? (uint32_t)s->frames_max : FRAMES_USUAL, .batch_max = (uint32_t)s->batch_max,
                             .by_layer = s->by_layer, .fixed = s->fixed, .mask = (conure_mask)s->mask,
                             .precision = precisions[s->precision], .f16_beside = s->beside == 1,
                             .level = (uint32_t)s->level, .n_threads = conure_threads_or_all((uint32_t)s->n_threads),
                             .place = {(uint32_t)s->device, s->library}};
    conure_status status = made ? CONURE_OK : conure_fail_memory(&err, "a list of plans", sizeof *made);
    if (status == CONURE_OK && !offline && !s->contract)
        status = conure_fail(&err, CONURE_BAD_ARG, "conure engine build: a plan of steps needs --contract, which conure contract derive writes; "
                             "--profile offline builds one of whole utterances");
    if (status == CONURE_OK && offline && s->contract)
        status = conure_fail(&err, CONURE_BAD_ARG, "--profile offline is of whole utterances, which --contract %s has none of: leave one of them out",
                             s->contract);
    if (status == CONURE_OK && !offline && s->frames_max)
        status = conure_fail(&err, CONURE_BAD_ARG, "--max-frames is of --profile offline: how long a step is, --contract %s says: leave it out", s->contract);
    if (status == CONURE_OK && !offline) {
        status = conure_contract_read(&contract, s->contract, NULL, &err);
        if (status == CONURE_OK && s->mask && (s->mask == CONURE_MASK_EXACT) != contract.mask_exact) /* as conure export onnx has it */
            status = conure_fail(&err, CONURE_BAD_ARG, "--mask %s was asked for, and the contract says %s: leave it out, or derive a contract with it",
                                 masks[s->mask], masks[contract.mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO]);
        wish.contract = &contract;
    }
    if (status == CONURE_OK)
        status = build_plans(s, &wish, n, arguments, made, &n_made, &err);
    conure_progress_clear();
    for (uint32_t i = 0; i < n_made; i++)
        print_made(&made[i]);
    if (n_made && wish.precision == CONURE_PRECISION_F16 && !made[0].side.n_audio)
        conure_say(CONURE_SAY_NOTE, "no audio was looked at: norms are held in f32, other layers that overflow are not known; --audio "
                   "FILE|FOLDER shows them");
    free(made);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_command_fail(status, &err);
}

#else

static int run_build(const void *settings, int n, char *const *arguments)
{
    conure_error err = {""};
    (void)settings;
    (void)n;
    (void)arguments;
    return conure_command_fail(conure_fail(&err, CONURE_UNSUPPORTED, "conure engine build: this program was made without TensorRT's headers: configure "
                                           "with -DCONURE_TENSORRT_INCLUDE=FOLDER, which holds NvInfer.h and NvOnnxParser.h (docs/tensorrt.md)"), &err);
}

#endif

#define AT(member) .offset = offsetof(build_settings, member)

static const conure_option build_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "what a step is: of conure contract derive"},
    {.kind = CONURE_OPTION_TEXT, .name = "profile", .value = "NAME", AT(profile),
     .help = "all (default), first, next, unified, one that the contract names, or FILE.json with profiles in place of the contract's; offline "
             "for whole utterances"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "NAME", AT(precision), .choices = precision_names,
     .help = "f32 (default; TF32 is off), tf32, f16, bf16 (TensorRT 10 and later), int8"},
    {.kind = CONURE_OPTION_TEXT, .name = "audio", .value = "FILE|FOLDER", AT(audio), .complete = CONURE_COMPLETE_FILE,
     .help = "speech that shows how large values become: the scales of int8, which layers stay f32 at f16; more may follow the options"},
    {.kind = CONURE_OPTION_CHOICE, .name = "beside", .value = "NAME", AT(beside), .choices = besides,
     .help = "int8: what is not quantised, f32 (default), or f16 where TensorRT finds it faster"},
    {.kind = CONURE_OPTION_TEXT, .name = "timing-cache", .value = "FILE", AT(timing), .complete = CONURE_COMPLETE_FILE,
     .help = "timings of kernels: read when it is there, and written, so that what was timed is not timed again; of one build at a time"},
    {.kind = CONURE_OPTION_TEXT, .name = "plans", .value = "FOLDER", AT(plans), .complete = CONURE_COMPLETE_FOLDER,
     .help = "where plans are (default: CONURE_PLANS, or conure/plans in the cache folder)"},
    {.kind = CONURE_OPTION_COUNT, .name = "batch", .value = "N", .min = 1, .max = 64, AT(batch_max),
     .help = "rows at a time at most, for which it is tuned (default: the contract's; offline 1)"},
    {.kind = CONURE_OPTION_COUNT, .name = "max-frames", .value = "N", .min = 9, .max = 1 << 20, AT(frames_max),
     .help = "offline: mel frames (10 ms each) at most (default: 2000)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mask", .value = "NAME", AT(mask), .choices = masks,
     .help = "offline: masked scores, default what the checkpoint says; of a step the contract says it"},
    {.kind = CONURE_OPTION_COUNT, .name = "level", .value = "N", .min = 0, .max = 5, AT(level),
     .help = "how long better kernels are looked for (default: 3)"},
    {.kind = CONURE_OPTION_COUNT, .name = "device", .value = "N", .max = CONURE_DEVICE_MAX, AT(device), .help = "which GPU, in CUDA's order (default: 0)"},
    {.kind = CONURE_OPTION_TEXT, .name = "library", .value = "PATH", AT(library), .complete = CONURE_COMPLETE_FILE,
     .help = "TensorRT's folder, or its libnvinfer (default: what the loader finds)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = CONURE_THREADS_MAX, AT(n_threads),
     .help = "threads to look at the audio and to compile with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_FLAG, .name = "by-layer", AT(by_layer),
     .help = "each layer a part of the plan, so that engine time --parts and reports show what each takes; slower than one fused part"},
    {.kind = CONURE_OPTION_FLAG, .name = "fixed", AT(fixed),
     .help = "always the largest batch, and offline the longest utterance, missing rows and frames made up: what has one size only is recorded "
             "as a CUDA graph"},
    {.kind = CONURE_OPTION_FLAG, .name = "force", AT(force), .help = "build again what is there"},
    {0},
};
#undef AT
static const conure_example build_examples[] = {
    {"conure engine build -m parakeet.conure --contract encoder.contract.json --precision f16 --audio talks",
     "every plan that the contract's steps need; layers that overflow on these recordings stay f32"},
    {"conure engine build -m parakeet.conure --contract encoder.contract.json --precision int8 --audio *.flac", "int8, its scales from recordings"},
    {"conure engine build -m parakeet.conure --profile offline --max-frames 3000", "whole utterances of up to 30 s"},
    {NULL, NULL},
};
static const conure_command build_command = {
    .name = "build",
    .summary = "Build TensorRT plans of a checkpoint on this GPU",
    .arguments = "[OPTION]... [AUDIO]...",
    .details = "A plan runs on the GPU model and the TensorRT version that built it. Its side file says so, with the hashes of model and contract "
               "and the precision; --engine trt:PRECISION uses the plans of the folder that fit, and refuses others with the reason.",
    .options = build_options,
    .examples = build_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 4096,
    .settings_bytes = sizeof(build_settings),
    .defaults = build_defaults,
    .run = run_build,
};

/* ---- list ------------------------------------------------------------------------------------- */

static int run_list(const void *settings, int n, char *const *arguments)
{
    char usual[PATH_MAX], bytes[32], quoted[4 * PATH_MAX];
    const char *folder = n ? arguments[0] : usual;
    conure_plan_found *list = NULL;
    uint32_t n_plans = 0;
    conure_error err = {""};
    const conure_log log = {conure_log_to_terminal, NULL};
    (void)settings;
    conure_status status = n ? CONURE_OK : conure_plan_folder(usual, &err);
    if (status == CONURE_OK)
        status = conure_plan_list(&list, &n_plans, folder, &log, &err);
    if (status != CONURE_OK)
        return conure_command_fail(status, &err);
    for (uint32_t i = 0; i < n_plans; i++) {
        const conure_plan_side *s = &list[i].side;
        const char *path = list[i].path; /* of a folder that anybody may have filled; what side files say holds no control characters */
        if (conure_has_controls(path))
            path = conure_quote(quoted, sizeof quoted, path, strlen(path));
        printf("%s.plan\n  %s (%.12s), %s, mask %s, %s T %u..%u B %u..%u", path, s->model, s->model_sha256, s->precision,
               s->mask_exact ? "exact" : "nemo", s->streaming ? "step" : "offline", s->t[0], s->t[2], s->b[0], s->b[2]);
        if (s->streaming)
            printf(" drop %u cache %u", s->drop_first, s->caches.cache_rows);
        printf("%s, %s, TensorRT %s, %s\n", s->by_layer ? ", by layer" : "", s->gpu, s->tensorrt, conure_text_bytes(s->plan_bytes, bytes));
    }
    if (!n_plans)
        conure_say(CONURE_SAY_NOTE, "%s holds no plans", folder);
    free(list);
    return CONURE_EXIT_GOOD;
}

static const conure_command list_command = {
    .name = "list",
    .summary = "The TensorRT plans of a folder",
    .arguments = "[FOLDER]",
    .complete = CONURE_COMPLETE_FOLDER,
    .max_arguments = 1,
    .run = run_list,
};

/* ---- time ------------------------------------------------------------------------------------- */

typedef struct time_settings {
    const char *model, *contract, *engine, *batches, *frames;
    uint64_t n_steps, n_threads, n_parts;
    bool json;
} time_settings;

enum { LIST_MAX = CONURE_PROFILES_MAX };

static void time_defaults(void *settings)
{
    time_settings *s = settings;
    s->engine = "cpu";
    s->batches = "1";
    s->n_steps = 200;
}

/* "1,8,32" */
static conure_status parse_list(const char *option, const char *text, uint32_t list[LIST_MAX], uint32_t *n, conure_error *err)
{
    *n = 0;
    for (const char *p = text; *p;) {
        char *end = NULL;
        const unsigned long value = strtoul(p, &end, 10);
        if (*p < '1' || *p > '9' || value > 1 << 20 || (*end && *end != ',') || *n == LIST_MAX)
            return conure_fail(err, CONURE_BAD_ARG, "--%s %.60s: expected up to %d numbers with commas between", option, text, LIST_MAX);
        list[(*n)++] = (uint32_t)value;
        p = end + (*end == ',');
    }
    return *n ? CONURE_OK : conure_fail(err, CONURE_BAD_ARG, "--%s is empty", option);
}

typedef struct timing {
    conure_model *model;
    const conure_engine *engine;
    void *self;
    conure_contract contract;
    bool has_contract;
    uint32_t batches[LIST_MAX], n_batches, frames[LIST_MAX], drops[LIST_MAX], n_frames;
} timing;

static conure_status prepare(timing *t, const time_settings *s, conure_error *err)
{
    conure_engine_spec spec;
    conure_status status = conure_engine_spec_parse(&spec, s->engine, err);
    if (status == CONURE_OK)
        status = conure_engine_find(&t->engine, spec.engine, err);
    if (status == CONURE_OK && s->contract) {
        status = conure_contract_read(&t->contract, s->contract, NULL, err);
        t->has_contract = true;
    }
    if (status == CONURE_OK)
        status = parse_list("batch", s->batches, t->batches, &t->n_batches, err);
    if (status == CONURE_OK && !s->frames && !s->contract)
        status = conure_fail(err, CONURE_BAD_ARG, "conure engine time: name a --contract, whose steps are timed, or --frames of slices offline");
    if (status == CONURE_OK && s->frames)
        status = parse_list("frames", s->frames, t->frames, &t->n_frames, err);
    for (uint32_t i = 0; t->has_contract && i < LIST_MAX; i++)
        t->drops[i] = t->contract.streaming.drop_extra[1];
    for (uint32_t i = 0; status == CONURE_OK && !s->frames && i < t->contract.n_profiles; i++) {
        t->drops[t->n_frames] = t->contract.streaming.drop_extra[t->contract.profiles[i].steps != CONURE_STEPS_FIRST];
        t->frames[t->n_frames++] = t->contract.profiles[i].t_opt;
    }
    if (status == CONURE_OK)
        status = conure_models_load(&t->model, s->model, err);
    if (status == CONURE_OK && t->has_contract)
        status = conure_contract_matches(&t->contract, t->model, err);
    if (status != CONURE_OK)
        return status;
    conure_engine_options options = conure_engine_spec_options(&spec, (uint32_t)s->n_threads);
    options.precision = conure_engine_precision(t->engine, t->model, spec.precision);
    options.mask = t->has_contract ? t->contract.mask_exact ? CONURE_MASK_EXACT : CONURE_MASK_NEMO : t->model->config.mask;
    options.cancel = &conure_interrupted;
    options.log = (conure_log){conure_log_to_terminal, NULL};
    return conure_engine_open(&t->self, t->engine, t->model, &options, err);
}

static json_t *times_json(const conure_step_times *t, const conure_parts *parts)
{
    json_t *json = json_pack("{s:b, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I}", "offline", t->shape.offline, "frames",
                             (json_int_t)t->shape.n_frames, "drop_first", (json_int_t)t->shape.drop_first, "batch", (json_int_t)t->shape.batch,
                             "p50_s", t->s.p50, "p95_s", t->s.p95, "p99_s", t->s.p99, "min_s", t->s.min, "warm_up_s", t->warm_up_s, "n",
                             (json_int_t)t->s.n);
    json_t *list = t->n_profiled ? json_array() : NULL;
    if (t->device.n)
        json_object_set_new(json, "device_p50_s", json_real(t->device.p50));
    if (t->device_bytes)
        json_object_set_new(json, "device_bytes", json_integer((json_int_t)t->device_bytes));
    for (uint32_t i = 0; list && i < parts->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "name", parts->list[i].name, "seconds", parts->list[i].seconds / t->n_profiled));
    if (list)
        json_object_set_new(json, "parts", list);
    return json;
}

static void print_times(const conure_step_times *t, const conure_parts *parts, uint32_t n_parts)
{
    char bytes[32] = "";
    const double sum = conure_parts_seconds(parts);
    printf("  %-8s %7u %6u %10.3f %10.3f %10.3f %10.1f %14.0f", t->shape.offline ? "offline" : "step", t->shape.n_frames, t->shape.batch,
           1e3 * t->s.p50, 1e3 * t->s.p95, 1e3 * t->s.p99, 1e3 * t->warm_up_s, t->shape.batch * t->shape.n_frames * 0.01 / t->s.p50);
    if (t->device.n)
        printf(" %13.3f", 1e3 * t->device.p50);
    printf("  %s\n", t->device_bytes ? conure_text_bytes(t->device_bytes, bytes) : "");
    for (uint32_t i = 0; i < parts->n && i < n_parts; i++)
        printf("           %10.4f ms %5.1f %%  %s\n", 1e3 * parts->list[i].seconds / t->n_profiled, 100 * parts->list[i].seconds / sum,
               parts->list[i].name);
    if (parts->n > n_parts && n_parts)
        printf("           %10.4f ms in all %u parts, timed one by one\n", 1e3 * sum / t->n_profiled, parts->n);
}

static conure_status time_all(timing *t, const time_settings *s, json_t *results, conure_error *err)
{
    conure_status status = CONURE_OK;
    if (!s->json)
        printf("%s\n  %-8s %7s %6s %10s %10s %10s %10s %14s%s\n", t->engine->describe(t->self), "", "frames", "batch", "p50 ms",
               "p95 ms", "p99 ms", "first ms", "audio s / s", t->engine->device_seconds ? "     device ms  memory" : "");
    if (s->n_parts && !t->engine->profile)
        conure_say(CONURE_SAY_NOTE, "engine %s does not say what its parts take", t->engine->name);
    for (uint32_t i = 0; i < t->n_frames; i++)
        for (uint32_t j = 0; j < t->n_batches && status == CONURE_OK; j++) {
            conure_step_times times;
            conure_parts parts = {0};
            const conure_step_shape shape = {.n_frames = t->frames[i], .batch = t->batches[j], .offline = !t->has_contract,
                                             .drop_first = t->drops[i]};
            conure_progress("timing %u frames, batch %u", shape.n_frames, shape.batch);
            status = conure_time_steps(&times, t->engine, t->self, &t->model->config, t->has_contract ? &t->contract : NULL, &shape,
                                       (uint32_t)s->n_steps, s->n_parts ? &parts : NULL, &conure_interrupted, err);
            conure_progress_clear();
            conure_parts_sort(&parts);
            if (status == CONURE_OK)
                json_array_append_new(results, times_json(&times, &parts));
            if (status == CONURE_OK && !s->json)
                print_times(&times, &parts, (uint32_t)s->n_parts);
            conure_parts_free(&parts);
        }
    return status;
}

static conure_status print_json(const timing *t, json_t *results, conure_error *err)
{
    json_t *json = json_pack("{s:s, s:O}", "engine", t->engine->describe(t->self), "times", results);
    const conure_status status = conure_clearance_write(json, true, NULL, err);
    json_decref(json);
    return status;
}

static int run_time(const void *settings, int n, char *const *arguments)
{
    const time_settings *s = settings;
    conure_error err = {""};
    timing *t = calloc(1, sizeof *t);
    json_t *results = json_array();
    (void)n;
    (void)arguments;
    conure_status status = t && results ? prepare(t, s, &err) : conure_fail_memory(&err, "timings", sizeof *t);
    conure_progress_clear();
    if (status == CONURE_OK)
        status = time_all(t, s, results, &err);
    if (status == CONURE_OK && s->json)
        status = print_json(t, results, &err);
    if (t && t->self)
        t->engine->close(&t->self);
    if (t)
        conure_model_close(&t->model);
    json_decref(results);
    free(t);
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_command_fail(status, &err);
}

#define AT(member) .offset = offsetof(time_settings, member)

static const conure_option time_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine), .help = "what computes: NAME" CONURE_ENGINE_SETTINGS " (default: cpu)"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "time steps of its streams; without it slices offline"},
    {.kind = CONURE_OPTION_TEXT, .name = "frames", .value = "LIST", AT(frames),
     .help = "mel frames of a step, with commas between (default: the contract's)"},
    {.kind = CONURE_OPTION_TEXT, .name = "batch", .value = "LIST", AT(batches),
     .help = "rows that are stepped together, with commas between (default: 1)"},
    {.kind = CONURE_OPTION_COUNT, .name = "steps", .value = "N", .min = 1, .max = 100000, AT(n_steps), .help = "calls that are timed (default: 200)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_COUNT, .name = "parts", .value = "N", .max = CONURE_PARTS_MAX, AT(n_parts),
     .help = "print the N parts that take longest, of an engine that knows them (TensorRT: layers); JSON has all"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print JSON"},
    {0},
};
#undef AT
static const conure_example time_examples[] = {
    {"conure engine time -m parakeet.conure --contract encoder.contract.json --engine trt:f16 --batch 1,8,32", "steps of streams on a GPU"},
    {"conure engine time --frames 592 --engine cpu:int8", "an utterance of 6 s, offline"},
    {NULL, NULL},
};
static const conure_command time_command = {
    .name = "time",
    .summary = "How long an engine takes for a step",
    .arguments = "[OPTION]...",
    .details = "Features go in and the encoder's output comes out, in host memory; caches stay with the engine, and move from step to step.",
    .options = time_options,
    .examples = time_examples,
    .settings_bytes = sizeof(time_settings),
    .defaults = time_defaults,
    .run = run_time,
};

static const conure_command *const children[] = {
    &build_command, &list_command, &time_command, NULL};

const conure_command conure_command_engine = {
    .name = "engine",
    .summary = "TensorRT plans, and how long steps take",
    .arguments = "COMMAND",
    .children = children,
};

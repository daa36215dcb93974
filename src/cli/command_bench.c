/* command_bench.c - `conure bench`: options; bench.c measures, bench_print.c prints. */
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/command.h"
#include "cli/engines.h"
#include "cli/terminal.h"

enum { RUNS = 10, SESSIONS = 8, MODE_ALL = 0, MODE_CACHE = 2 };

typedef struct settings {
    const char *model, *seconds, *frames, *engine, *isa, *preset; /* NULL: not given */
    int precision, mode;
    uint64_t runs, n_threads, memory_bytes, n_sessions, device;
    double live_s; /* negative: not given */
    bool json, stream;
} settings;

static const char *const precisions[] = {"default", "f32", "bf16", "int8", "f64", "tf32", "f16", NULL};
static const char *const modes[] = {"all", "buffered", "cache", NULL};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->live_s = -1;
}

/* "10,30" into at most CONURE_BENCH_ROWS numbers within (0, max]; "0" alone is none. */
static bool parse_list(const char *text, double max, double *values, uint32_t *n)
{
    *n = 0;
    if (strcmp(text, "0") == 0)
        return true;
    while (*text) {
        char item[24];
        const size_t bytes = strcspn(text, ",");
        if (bytes == 0 || bytes >= sizeof item || *n == CONURE_BENCH_ROWS)
            return false;
        memcpy(item, text, bytes);
        item[bytes] = '\0';
        if (!conure_parse_real(item, &values[*n]) || values[*n] <= 0 || values[*n] > max)
            return false;
        ++*n;
        text += bytes;
        if (*text == ',' && *++text == '\0')
            return false;
    }
    return *n > 0;
}

static int usage(const char *option, const char *value)
{
    conure_say(CONURE_SAY_ERROR, "conure bench: --%s is '%s', expected up to %d numbers with commas "
               "between them, or 0", option, value, CONURE_BENCH_ROWS);
    conure_say(CONURE_SAY_PLAIN, "Try 'conure bench --help'.");
    return CONURE_EXIT_USAGE;
}

static int refuse(const char *text)
{
    conure_say(CONURE_SAY_ERROR, "conure bench: %s", text);
    conure_say(CONURE_SAY_PLAIN, "Try 'conure bench --help'.");
    return CONURE_EXIT_USAGE;
}

/* Options that say nothing about what is measured are refused, not ignored. */
static int check_kind(const settings *s)
{
    if (!s->stream && (s->preset || s->mode || s->n_sessions || s->live_s >= 0))
        return refuse("--preset, --mode, --sessions and --live describe sessions: they need --stream");
    if (s->stream && (s->frames || s->runs))
        return refuse("--frames and --runs do not go with --stream: --seconds says how much is measured");
    return CONURE_EXIT_GOOD;
}

/* "file,live" or "10-2-2" into rows of one mode. */
static conure_status add_presets(conure_bench_stream *stream, const char *list, conure_stream_mode mode, conure_error *err)
{
    conure_status status = CONURE_OK;
    while (status == CONURE_OK) {
        char name[32];
        const size_t bytes = strcspn(list, ",");
        snprintf(name, sizeof name, "%.*s", bytes < sizeof name ? (int)bytes : (int)sizeof name - 1, list);
        status = conure_bench_stream_add(stream, name, mode, err);
        if (!list[bytes])
            break;
        list += bytes + 1;
    }
    return status;
}

static int set_stream(const settings *s, conure_bench *b, conure_bench_stream *stream)
{
    conure_error err = {""};
    conure_status status = CONURE_OK;
    if (b->n_seconds != 1)
        return refuse("--seconds is one number with --stream");
    if (s->mode != MODE_CACHE)
        status = add_presets(stream, s->preset ? s->preset : "file,live,fast,fastest", CONURE_STREAM_BUFFERED, &err);
    if (status == CONURE_OK && (s->mode == MODE_CACHE || (s->mode == MODE_ALL && !s->preset)))
        status = add_presets(stream, s->preset ? s->preset : "live,fast,fastest", CONURE_STREAM_CACHED, &err);
    if (status != CONURE_OK)
        return refuse(err.text);
    stream->seconds = b->seconds[0];
    stream->n_sessions = s->n_sessions ? (uint32_t)s->n_sessions : SESSIONS;
    stream->live_s = s->live_s > 0 ? s->live_s : 0;
    b->stream = stream;
    return CONURE_EXIT_GOOD;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_bench b;
    conure_error err = {""};
    conure_status status;
    double n_frames[CONURE_BENCH_ROWS];
    conure_bench_stream stream = {0};
    const char *seconds = s->seconds ? s->seconds : s->stream ? "60" : "10,30", *frames = s->frames ? s->frames : "592";
    memset(&b, 0, sizeof b);
    const int unfit = check_kind(s);
    if (unfit != CONURE_EXIT_GOOD)
        return unfit;
    if (!parse_list(seconds, 86400, b.seconds, &b.n_seconds))
        return usage("seconds", seconds);
    if (!parse_list(frames, 8640000, n_frames, &b.n_frames))
        return usage("frames", frames);
    for (uint32_t i = 0; i < b.n_frames; i++)
        b.frames[i] = (uint32_t)n_frames[i];
    if (s->stream) {
        const int code = set_stream(s, &b, &stream);
        if (code != CONURE_EXIT_GOOD)
            return code;
    }
    b.model = s->model;
    b.audio = n ? arguments[0] : NULL;
    b.runs = s->runs ? (uint32_t)s->runs : RUNS;
    b.cancel = &conure_interrupted;
    conure_recognizer_options_init(&b.recognizer);
    b.recognizer.engine = s->engine;
    b.recognizer.device = (uint32_t)s->device;
    b.recognizer.precision = (conure_precision)s->precision;
    b.recognizer.isa = s->isa;
    b.recognizer.n_threads = (uint32_t)s->n_threads;
    b.recognizer.memory_bytes_max = s->memory_bytes;
    b.recognizer.log = conure_log_to_terminal;
    b.recognizer.cancel = &conure_interrupted;
    conure_engines_warn(&b.recognizer);
    status = conure_bench_run(&b, &err);
    if (status == CONURE_CANCELLED) {
        conure_say(CONURE_SAY_PLAIN, "conure: interrupted");
        return CONURE_EXIT_INTERRUPTED;
    }
    if (status != CONURE_OK) {
        conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : conure_status_text(status));
        return CONURE_EXIT_CANNOT;
    }
    if (s->json ? conure_bench_print_json(&b) : conure_bench_print_text(&b))
        return CONURE_EXIT_GOOD;
    conure_say(CONURE_SAY_ERROR, "out of memory");
    return CONURE_EXIT_CANNOT;
}

#define AT(member) .offset = offsetof(settings, member)
static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model),
     .complete = CONURE_COMPLETE_FILE, .help = "as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "seconds", .value = "LIST", AT(seconds),
     .help = "audio to text: lengths of audio, 0 for none (default: 10,30); with --stream: audio measured alone, and again in batches "
             "(default: 60)"},
    {.kind = CONURE_OPTION_TEXT, .name = "frames", .value = "LIST", AT(frames),
     .help = "encoder alone: numbers of mel frames, 0 for none (default: 592)"},
    {.kind = CONURE_OPTION_COUNT, .name = "runs", .value = "N", .min = 1, .max = 100000, AT(runs),
     .help = "measured runs of every size, after one that is not (default: 10)"},
    {.kind = CONURE_OPTION_FLAG, .name = "stream", AT(stream),
     .help = "measure sessions of live text: steps, delays, how many run at once, memory"},
    {.kind = CONURE_OPTION_TEXT, .name = "preset", .letter = 'p', .value = "LIST", AT(preset),
     .help = "with --stream: contexts by name or as LEFT-CHUNK-RIGHT in seconds, commas between them (default: file, live, fast and "
             "fastest, and all but the first with caches)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mode", .value = "MODE", AT(mode), .choices = modes,
     .help = "with --stream: buffered or cache, as conure stream has them (default: all without --preset, buffered with it)"},
    {.kind = CONURE_OPTION_COUNT, .name = "sessions", .value = "N", .min = 1, .max = CONURE_BENCH_STREAM_SESSIONS_MAX, AT(n_sessions),
     .help = "with --stream: sessions that are stepped in batches (default: 8)"},
    {.kind = CONURE_OPTION_REAL, .name = "live", .value = "S", AT(live_s),
     .help = "with --stream: then feed as many sessions as were found in real time for so many seconds, fewer until they keep up "
             "(default: 0, not)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "P", AT(precision),
     .choices = precisions, .help = "f32, bf16 or int8; f64 with --engine ref, f16 with ort/... or trt, tf32 with trt (default: as conure transcribe)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine),
     .help = "what computes: NAME" CONURE_ENGINE_SETTINGS ", NAME being cpu, ref or ort/cpu (default: cpu); what it says wins over "
             "--precision, --threads and --isa"},
    {.kind = CONURE_OPTION_COUNT, .name = "device", .value = "N", .max = CONURE_DEVICE_MAX, AT(device),
     .help = "which GPU, from 0, of engines that compute on one (default: 0; --engine NAME@device=N says the same)"},
    {.kind = CONURE_OPTION_TEXT, .name = "isa", .value = "NAME", AT(isa),
     .help = "instructions to use at most: c, avx2, avx512, vnni, bf16, amx, native (default: native)"},
    {.kind = CONURE_OPTION_BYTES, .name = "memory", .value = "SIZE", .min = 1 << 20, AT(memory_bytes),
     .help = "memory for activations (default: half of what is free)"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print JSON"},
    {0},
};

static const conure_example examples[] = {
    {"conure bench", "the embedded model on a clip that is part of the program"},
    {"conure bench -m model.conure --threads 2 --seconds 10,30 --json talk.wav",
     "a model on two threads, as JSON, with speech of your own"},
    {"conure bench --stream -m model.conure", "what live text costs at every preset"},
    {"conure bench --stream -m model.conure --preset live --live 30", "how many live sessions this machine carries, tried for half a minute"},
    {NULL, NULL},
};

const conure_command conure_command_bench = {
    .name = "bench",
    .summary = "Measure speed and memory on this machine",
    .arguments = "[OPTION]... [AUDIO]",
    .details =
        "AUDIO (default: a clip of two seconds that is part of the program) is repeated to the lengths "
        "asked for. Printed are the median and the 95th percentile of the encoder's time and of the time "
        "from samples to text, the largest resident memory, the time to load, the time from the start "
        "of the process to the first text, and the arithmetic done per second beside what this "
        "machine's multiply-add instructions reach in the same run with nothing else to do.\n\n"
        "With --stream sessions are measured, in the steady state and as fast as steps allow. One session stepped alone gives the "
        "percentiles of a step's time, where it goes (features, encoder, decoder, and other: all that is not these), and for each "
        "word how much audio was fed from its end to its final text, plus that step. \"work\" is audio encoded for each second "
        "of audio. Sessions are how many live streams the time would do for: one after the other, in batches of the scheduler, and a "
        "core by the processors' time that was used. --live tries it: late is the longest time from a step being due to its text.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

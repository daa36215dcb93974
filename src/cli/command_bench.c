/* command_bench.c - `conure bench`: options; bench.c measures, bench_print.c prints. */
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/command.h"
#include "cli/engines.h"
#include "cli/terminal.h"

typedef struct settings {
    const char *model, *seconds, *frames, *engine, *isa;
    int precision;
    uint64_t runs, n_threads, memory_bytes;
    bool json;
} settings;

static const char *const precisions[] = {"default", "f32", "bf16", "int8", NULL};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->seconds = "10,30";
    s->frames = "592";
    s->runs = 10;
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

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    conure_bench b;
    conure_error err = {""};
    conure_status status;
    double frames[CONURE_BENCH_ROWS];
    memset(&b, 0, sizeof b);
    if (!parse_list(s->seconds, 86400, b.seconds, &b.n_seconds))
        return usage("seconds", s->seconds);
    if (!parse_list(s->frames, 8640000, frames, &b.n_frames))
        return usage("frames", s->frames);
    for (uint32_t i = 0; i < b.n_frames; i++)
        b.frames[i] = (uint32_t)frames[i];
    b.model = s->model;
    b.audio = n ? arguments[0] : NULL;
    b.runs = (uint32_t)s->runs;
    b.cancel = &conure_interrupted;
    conure_recognizer_options_init(&b.recognizer);
    b.recognizer.engine = s->engine;
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
     .help = "audio to text: lengths of audio, 0 for none (default: 10,30)"},
    {.kind = CONURE_OPTION_TEXT, .name = "frames", .value = "LIST", AT(frames),
     .help = "encoder alone: numbers of mel frames, 0 for none (default: 592)"},
    {.kind = CONURE_OPTION_COUNT, .name = "runs", .value = "N", .min = 1, .max = 100000, AT(runs),
     .help = "measured runs of every size, after one that is not (default: 10)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "P", AT(precision),
     .choices = precisions, .help = "f32, bf16 or int8 (default: as conure transcribe)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine),
     .help = "what computes: NAME[:PRECISION][@threads=N,isa=NAME] (default: cpu); what it says wins over "
             "--precision, --threads and --isa"},
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
        "machine's multiply-add instructions reach in the same run with nothing else to do.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

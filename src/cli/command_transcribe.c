/* command_transcribe.c - `conure transcribe`: options, model and recognizer; the work is transcribe.c's. */
#include <stdio.h>
#include <string.h>

#include "base/system.h"
#include "cli/cleared.h"
#include "cli/command.h"
#include "cli/engines.h"
#include "cli/hotwords.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "cli/transcribe.h"
#include "model/model.h"
#include "stream/recognizer.h"

typedef struct settings {
    const char *model, *clearance, *engine, *isa, *folder, *channel, *preset;
    int format, precision, mask, raw;
    uint64_t n_threads, rate_hz, n_channels, memory_bytes, batch, device;
    bool strict, timestamps, quiet, stream;
    conure_hotword_settings hotwords;
} settings;

/* In the order of the public enums, whose 0 is "default". */
static const char *const precisions[] = {"default", "f32", "bf16", "int8", "f64", "tf32", "f16", NULL};
static const char *const masks[] = {"default", "nemo", "exact", NULL};
static const char *const raws[] = {"none", "s16le", "f32le", NULL};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->batch = 1;
    s->hotwords.score = -1;
}

static int usage(const char *text)
{
    conure_say(CONURE_SAY_ERROR, "conure transcribe: %s", text);
    conure_say(CONURE_SAY_PLAIN, "Try 'conure transcribe --help'.");
    return CONURE_EXIT_USAGE;
}

static bool is_each(const settings *s)
{
    return s->channel && strcmp(s->channel, "each") == 0;
}

/* Combinations that the table cannot express. */
static int check(const settings *s, int n, char *const *files)
{
    const bool cues = s->format == CONURE_OUTPUT_SRT || s->format == CONURE_OUTPUT_VTT ||
                      s->format == CONURE_OUTPUT_TSV;
    int pipes = 0;
    int32_t channel;
    if (s->channel && !conure_audio_parse_channel(s->channel, &channel))
        return usage("--channel is neither mix nor each nor a number from 1");
    conure_session_options session;
    conure_error err = {""};
    if (s->preset && conure_session_options_preset(&session, s->preset, &err) != CONURE_OK)
        return usage(err.text);
    if (conure_hotword_settings_check(&s->hotwords))
        return usage(conure_hotword_settings_check(&s->hotwords));
    if (!s->raw && (s->rate_hz || s->n_channels))
        return usage("--rate and --channels describe raw audio: they need --raw");
    if (cues && (n > 1 || is_each(s)) && !s->folder)
        return usage("several transcripts in one stream are not a valid file of this format: add "
                     "--output-dir");
    for (int i = 0; i < n; i++)
        pipes += strcmp(files[i], "-") == 0;
    return pipes > 1 ? usage("standard input (-) can be read only once") : CONURE_EXIT_GOOD;
}

static conure_status open_recognizer(const settings *s, const conure_model *model, const conure_hotwords *hotwords,
                                     conure_transcribe_progress *progress, conure_recognizer **out,
                                     conure_error *err)
{
    conure_recognizer_options o;
    conure_recognizer_options_init(&o);
    o.engine = s->engine;
    o.device = (uint32_t)s->device;
    o.precision = (conure_precision)s->precision;
    o.mask = (conure_mask)s->mask;
    o.n_threads = (uint32_t)s->n_threads;
    o.isa = s->isa;
    o.memory_bytes_max = s->memory_bytes;
    o.log = conure_log_to_terminal;
    o.cancel = &conure_interrupted;
    o.hotwords = hotwords;
    if (conure_progress_shown()) {
        o.progress = conure_transcribe_show;
        o.progress_user = progress;
    }
    conure_engines_warn(&o);
    const conure_status status = conure_recognizer_open(out, model, &o, err);
    return status == CONURE_OK ? conure_cleared_check(s->clearance, s->strict, model, *out, NULL, err) : status;
}

static void set_audio(const settings *s, uint32_t rate_hz, conure_audio_options *audio)
{
    conure_audio_options_init(audio);
    audio->rate_hz = rate_hz;
    if (s->channel)
        conure_audio_parse_channel(s->channel, &audio->channel);
    audio->raw = (conure_audio_raw)s->raw;
    if (s->rate_hz)
        audio->raw_rate_hz = (uint32_t)s->rate_hz;
    if (s->n_channels)
        audio->raw_channels = (uint32_t)s->n_channels;
    audio->cancel = &conure_interrupted;
    audio->end = &conure_input_ended;
}

/* How what is too long for one pass is transcribed: as asked for (check() has seen it), else with the longest windows that the
 * memory limit, or the engine, allows.  Where an engine takes none of them, a plan is to be built, and it may be one for the longest. */
static void set_windows(const settings *s, const conure_hotwords *hotwords, conure_transcribe_job *job, char contexts[48])
{
    static const char *const presets[] = {"file", "live", "fast", "fastest"};
    conure_session_options *o = &job->session;
    bool fits = false;
    conure_session_options_init(o);
    o->tentative = false;
    o->hotwords = hotwords;
    o->endpoint = false; /* segments are made of all tokens, at the end */
    for (size_t i = 0; i < sizeof presets / sizeof *presets && !fits; i++) {
        (void)conure_session_options_preset(o, s->preset ? s->preset : presets[i], NULL);
        fits = s->preset || conure_transcribe_windows_fit(job);
    }
    if (!fits && conure_recognizer_is_bounded(job->recognizer))
        (void)conure_session_options_preset(o, presets[0], NULL);
    snprintf(contexts, 48, "%g-%g-%g", o->left_s, o->chunk_s, o->right_s);
    job->contexts = contexts;
    job->stream = s->stream || s->preset;
}

static void sum_up(const conure_transcribe_job *job, int n_files, double elapsed_s)
{
    char audio[32], work[32];
    if (!conure_progress_shown() || n_files < 2)
        return;
    conure_say(CONURE_SAY_NOTE, "%u of %d files, %s of audio in %s", job->n_good, n_files,
               conure_text_seconds(job->audio_s, audio), conure_text_seconds(elapsed_s, work));
}

static int interrupted(uint32_t n_done, int n)
{
    conure_say(CONURE_SAY_PLAIN, "conure: interrupted: %u of %d files done", n_done, n);
    return CONURE_EXIT_INTERRUPTED;
}

static int transcribe(const settings *s, const conure_model *model, const conure_hotwords *hotwords, conure_recognizer *recognizer,
                      conure_transcribe_progress *progress, int n, char *const *files)
{
    conure_error err = {""};
    conure_model_info info = {.struct_bytes = sizeof info};
    conure_sink sink = {
        .format = (conure_output_format)s->format,
        .folder = s->folder,
        .timestamps = s->timestamps,
        .several = n > 1 || is_each(s),
        .each = is_each(s),
    };
    conure_transcribe_job job = {.recognizer = recognizer, .sink = &sink, .batch = (uint32_t)s->batch,
                                 .progress = progress};
    const double start_s = conure_now_s();
    char contexts[48];
    conure_status status = CONURE_OK;
    /* The hash of a .nemo file costs reading it once more: only for those who see it. */
    if (sink.format == CONURE_OUTPUT_JSON) {
        status = conure_model_get_info(model, &info);
        job.model_name = info.name;
        job.model_sha256 = info.sha256;
    }
    if (status == CONURE_OK) {
        set_audio(s, model->config.sample_rate_hz, &job.audio);
        set_windows(s, hotwords, &job, contexts);
        conure_sink_begin(&sink);
        status = conure_transcribe_files(&job, files, n, &err);
        /* What is finished is kept, as a whole document, also after Ctrl-C. */
        if (conure_sink_end(&sink) != CONURE_OK && status == CONURE_OK)
            status = CONURE_IO;
    }
    if (status == CONURE_CANCELLED)
        return interrupted(job.n_good, n);
    if (status != CONURE_OK) {
        if (err.text[0])
            conure_say(CONURE_SAY_ERROR, "%s", err.text);
        return CONURE_EXIT_CANNOT;
    }
    sum_up(&job, n, conure_now_s() - start_s);
    return job.n_failed || job.n_damaged ? CONURE_EXIT_SOME : CONURE_EXIT_GOOD;
}

static int run(const void *settings_, int n, char *const *files)
{
    const settings *s = settings_;
    const conure_sink sink = {
        .format = (conure_output_format)s->format, .folder = s->folder, .each = is_each(s)};
    conure_model *model = NULL;
    conure_recognizer *recognizer = NULL;
    conure_hotwords *hotwords = NULL;
    conure_transcribe_progress progress = {.label = ""};
    conure_error err = {""};
    conure_status status;
    int code = check(s, n, files);
    if (code != CONURE_EXIT_GOOD)
        return code;
    conure_terminal_quiet(s->quiet);
    status = conure_sink_prepare(&sink, files, n, &err);
    if (status == CONURE_BAD_ARG)
        return usage(err.text);
    if (status == CONURE_OK)
        status = conure_models_load(&model, s->model, &err);
    if (status == CONURE_OK)
        status = conure_hotword_settings_open(&hotwords, &s->hotwords, model, &err);
    if (status == CONURE_OK)
        status = open_recognizer(s, model, hotwords, &progress, &recognizer, &err);
    if (status == CONURE_OK) {
        code = transcribe(s, model, hotwords, recognizer, &progress, n, files);
    } else if (status == CONURE_CANCELLED) {
        code = interrupted(0, n);
    } else {
        conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : conure_status_text(status));
        code = CONURE_EXIT_CANNOT;
    }
    conure_recognizer_close(&recognizer);
    conure_hotwords_close(&hotwords);
    conure_model_close(&model);
    return code;
}

#define AT(member) .offset = offsetof(settings, member)
static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model),
     .complete = CONURE_COMPLETE_FILE,
     .help = "a checkpoint (.nemo file, Hugging Face folder, converted file) or the name of a fetched "
             "model, or \"embedded\" (default: CONURE_MODEL, else the embedded model)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "format", .letter = 'f', .value = "FORMAT", AT(format),
     .choices = conure_output_names,
     .help = "text, json (OpenAI's verbose_json, an array for several files), srt, vtt or tsv (default: "
             "text)"},
    {.kind = CONURE_OPTION_FLAG, .name = "timestamps", .letter = 't', AT(timestamps),
     .help = "text with one line for each segment and its times (other formats always have them)"},
    {.kind = CONURE_OPTION_TEXT, .name = "output-dir", .letter = 'o', .value = "DIR", AT(folder),
     .complete = CONURE_COMPLETE_FOLDER,
     .help = "write DIR/NAME.txt (.json, .srt, ...) for every FILE instead of standard output"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "P", AT(precision),
     .choices = precisions,
     .help = "compute in f32, bf16 or int8; f64 with --engine ref, f16 with ort/... or trt, tf32 with trt (default: f32, but int8 for a file with "
             "int8 weights)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine),
     .help = "what computes: NAME" CONURE_ENGINE_SETTINGS ", NAME being cpu, ref or ort/cpu (default: cpu); what it says wins over "
             "--precision, --threads and --isa"},
    {.kind = CONURE_OPTION_COUNT, .name = "device", .value = "N", .max = CONURE_DEVICE_MAX, AT(device),
     .help = "which GPU, from 0, of engines that compute on one (default: 0; --engine NAME@device=N says the same)"},
    {.kind = CONURE_OPTION_TEXT, .name = "clearance", .value = "DIR", AT(clearance), .complete = CONURE_COMPLETE_FOLDER,
     .help = "a folder of conure clear: warn when it is not about this model, engine and precision, or did not end in cleared"},
    {.kind = CONURE_OPTION_FLAG, .name = "strict", AT(strict), .help = "with --clearance: refuse to run then"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mask", .value = "MASK", AT(mask), .choices = masks,
     .help = "attention mask convention, nemo or exact (default: the checkpoint's own)"},
    {.kind = CONURE_OPTION_TEXT, .name = "isa", .value = "NAME", AT(isa),
     .help = "instructions to use at most: c, avx2, avx512, vnni, bf16, amx, native (default: native)"},
    {.kind = CONURE_OPTION_TEXT, .name = "channel", .value = "WHICH", AT(channel),
     .help = "mix (the mean of all), each (a transcript for every channel), or a channel's number "
             "counted from 1 (default: mix)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "raw", .value = "TYPE", AT(raw), .choices = raws,
     .help = "the input is PCM without a header: s16le or f32le"},
    {.kind = CONURE_OPTION_COUNT, .name = "rate", .value = "HZ",
     .min = CONURE_AUDIO_RATE_MIN_HZ,
     .max = CONURE_AUDIO_RATE_MAX_HZ, AT(rate_hz), .help = "samples a second of raw input (default: 16000)"},
    {.kind = CONURE_OPTION_COUNT, .name = "channels", .value = "N", .min = 1,
     .max = CONURE_AUDIO_CHANNELS_MAX, AT(n_channels),
     .help = "interleaved channels of raw input (default: 1)"},
    {.kind = CONURE_OPTION_BYTES, .name = "memory", .value = "SIZE", .min = 1 << 20, AT(memory_bytes),
     .help = "memory for activations, such as 2G; what is too long for it is transcribed in windows (default: "
             "half of what is free)"},
    {.kind = CONURE_OPTION_FLAG, .name = "stream", AT(stream),
     .help = "transcribe in windows from the first second, in memory that does not grow with the length; WAV and raw PCM "
             "from a pipe are read as they come"},
    {.kind = CONURE_OPTION_TEXT, .name = "preset", .value = "NAME", AT(preset),
     .help = "--stream, and its windows: file (10-10-5), live, fast, fastest, or LEFT-CHUNK-RIGHT in seconds (default: "
             "the longest of these that fits the memory)"},
    CONURE_HOTWORD_OPTIONS(hotwords),
    {.kind = CONURE_OPTION_COUNT, .name = "batch", .value = "N", .min = 1, .max = 256, AT(batch),
     .help = "compute N files at once; results do not change, throughput may (default: 1)"},
    {.kind = CONURE_OPTION_FLAG, .name = "quiet", .letter = 'q', AT(quiet),
     .help = "no progress and no summary on standard error; warnings and errors stay"},
    {0},
};

static const conure_example examples[] = {
    {"conure transcribe talk.flac", "print what is said"},
    {"conure transcribe -m parakeet-tdt-0.6b-v3 -f srt -o subtitles *.mp3",
     "subtitles of many files with a fetched model"},
    {"conure transcribe -f json talk.wav | jq .words", "words with their times and confidences"},
    {"arecord -f S16_LE -r 16000 -t raw | conure transcribe --raw s16le -",
     "what the microphone hears, until Ctrl-C"},
    {"conure transcribe --stream -f vtt -o subtitles meeting.flac", "hours of it in little memory"},
    {NULL, NULL},
};

const conure_command conure_command_transcribe = {
    .name = "transcribe",
    .summary = "Turn audio files into text",
    .arguments = "[OPTION]... FILE... | -",
    .details =
        "WAV, FLAC, Ogg Vorbis and Opus, MP3 and AIFF at any rate and with any number of channels are "
        "read; - is standard input. Results come in the order of the files. A file that cannot be used "
        "is told on standard error, the others are done, and the exit status is 1; so it is when a file "
        "is damaged and only what could be decoded was used.\n\n"
        "With several inputs a line of text starts with \"FILE: \", and JSON is an array, in which a "
        "file that failed has a member \"error\". Times are seconds in JSON, milliseconds in TSV. A "
        "token's confidence is its probability among labels and blank; a word's is the smallest of "
        "its tokens', a segment's the smallest of its words'.\n\n"
        "Ctrl-C while a pipe or a terminal is read ends that input: what came until then is transcribed, "
        "and the command stops with exit status 130. So it ends a file that is transcribed in windows where they are. A "
        "second Ctrl-C, and any other, stops at once; what was finished is kept.\n\n"
        "The whole of a file is looked at at once as long as the memory limit allows. A longer file is transcribed in "
        "windows, each with some audio before and behind what becomes text, in memory that does not grow; a note says so, "
        "as words near the seams may differ from those of one pass. --stream does so from the beginning.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 1,
    .max_arguments = 1000000,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

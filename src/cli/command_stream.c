/* command_stream.c - `conure stream`: options, model, recognizer, view; the work is stream.c's. */
#include <stdio.h>
#include <string.h>

#include "cli/cleared.h"
#include "cli/command.h"
#include "cli/engines.h"
#include "cli/hotwords.h"
#include "cli/models.h"
#include "cli/stream.h"
#include "cli/terminal.h"
#include "model/model.h"

/* What a session resamples itself; other rates are brought to the model's before. */
#define KEEP_MIN_HZ 8000
#define KEEP_MAX_HZ 192000

typedef struct settings {
    const char *model, *clearance, *engine, *isa, *channel, *preset;
    int precision, mask, raw, mode, time_cache, normalize, on_violation;
    double left_s, chunk_s, right_s, rule1_s, rule2_s, rule3_s, energy_db; /* negative: not given */
    uint64_t n_threads, rate_hz, n_channels, memory_bytes, device;
    bool strict, json, quiet, no_endpoint, no_tentative;
    conure_hotword_settings hotwords;
} settings;

/* In the order of the public enums. */
static const char *const precisions[] = {"default", "f32", "bf16", "int8", "f64", "tf32", "f16", NULL};
static const char *const masks[] = {"default", "nemo", "exact", NULL};
static const char *const raws[] = {"none", "s16le", "f32le", NULL};
static const char *const modes[] = {"buffered", "cache", "reset", NULL};
static const char *const time_caches[] = {"aligned", "nemo", NULL};
static const char *const normalizes[] = {"running", "slice", NULL};
static const char *const on_violations[] = {"stop", "reset", "count", NULL};

static void defaults(void *settings_)
{
    settings *s = settings_;
    s->left_s = s->chunk_s = s->right_s = s->rule1_s = s->rule2_s = s->rule3_s = s->energy_db = s->hotwords.score = -1;
}

static int usage(const char *text)
{
    conure_say(CONURE_SAY_ERROR, "conure stream: %s", text);
    conure_say(CONURE_SAY_PLAIN, "Try 'conure stream --help'.");
    return CONURE_EXIT_USAGE;
}

static void set_real(double given, double *member)
{
    if (given >= 0)
        *member = given;
}

static conure_status set_session(const settings *s, conure_session_options *o, conure_error *err)
{
    conure_session_options_init(o);
    if (s->preset) {
        const conure_status status = conure_session_options_preset(o, s->preset, err);
        if (status != CONURE_OK)
            return status;
    }
    o->mode = (conure_stream_mode)s->mode;
    o->time_cache = (conure_time_cache)s->time_cache;
    o->normalize = (conure_normalize)s->normalize;
    o->on_violation = (conure_on_violation)s->on_violation;
    o->endpoint = !s->no_endpoint;
    o->tentative = !s->no_tentative;
    if (o->mode == CONURE_STREAM_RESET && !s->preset)
        o->chunk_s = 0.08; /* one valid frame of each slice, as the contract with length 0 has it */
    set_real(s->left_s, &o->left_s);
    set_real(s->chunk_s, &o->chunk_s);
    set_real(s->right_s, &o->right_s);
    set_real(s->rule1_s, &o->rule1_min_trailing_silence_s);
    set_real(s->rule2_s, &o->rule2_min_trailing_silence_s);
    set_real(s->rule3_s, &o->rule3_min_utterance_length_s);
    set_real(s->energy_db, &o->endpoint_energy_db);
    return CONURE_OK;
}

static void set_audio(const settings *s, uint32_t rate_hz, conure_audio_options *audio)
{
    conure_audio_options_init(audio);
    audio->rate_hz = rate_hz;
    audio->keep_min_hz = KEEP_MIN_HZ;
    audio->keep_max_hz = KEEP_MAX_HZ;
    audio->live = true;
    if (s->channel)
        conure_audio_parse_channel(s->channel, &audio->channel);
    audio->raw = (conure_audio_raw)s->raw;
    if (s->rate_hz)
        audio->raw_rate_hz = (uint32_t)s->rate_hz;
    if (s->n_channels)
        audio->raw_channels = (uint32_t)s->n_channels;
    audio->samples_max = UINT64_MAX;
    audio->cancel = &conure_interrupted;
    audio->end = &conure_input_ended;
}

static conure_status open_recognizer(const settings *s, const conure_model *model, const conure_session_options *session, conure_recognizer **out,
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
    conure_engines_warn(&o);
    const conure_status status = conure_recognizer_open(out, model, &o, err);
    return status == CONURE_OK ? conure_cleared_check(s->clearance, s->strict, model, *out, session, err) : status;
}

/* What came out, as an exit status, with its message. */
static int verdict(const conure_stream_job *job, conure_status status, const conure_error *err)
{
    if (status == CONURE_CANCELLED) {
        if (!conure_input_ended || conure_interrupted)
            conure_say(CONURE_SAY_PLAIN, "conure: interrupted");
        return CONURE_EXIT_INTERRUPTED;
    }
    if (status == CONURE_BAD_ARG && !job->input_failed)
        return usage(err->text);
    if (status != CONURE_OK) {
        if (err->text[0])
            conure_say(CONURE_SAY_ERROR, "%s", err->text);
        return job->input_failed ? CONURE_EXIT_SOME : CONURE_EXIT_CANNOT;
    }
    if (job->damaged)
        conure_say(CONURE_SAY_WARNING, "%s: %s", job->file, job->damage);
    return job->damaged ? CONURE_EXIT_SOME : CONURE_EXIT_GOOD;
}

static int stream(const settings *s, const conure_model *model, conure_stream_job *job)
{
    conure_error err = {""};
    conure_model_info info = {.struct_bytes = sizeof info};
    conure_stream_view view;
    conure_stream_text *text = NULL;
    conure_stream_json *json = NULL;
    conure_status status = CONURE_OK;
    set_audio(s, model->config.sample_rate_hz, &job->audio);
    if (s->json) { /* the hash of a .nemo file costs reading it: only for those who see it */
        status = conure_model_get_info(model, &info);
        job->summary.model_name = info.name;
        job->summary.model_sha256 = info.sha256;
    }
    if (status == CONURE_OK)
        status = s->json ? conure_stream_json_open(&json, &view, &err) : conure_stream_text_open(&text, &view, &err);
    job->view = &view;
    if (status == CONURE_OK)
        status = conure_stream_run(job, &err);
    conure_stream_json_close(&json);
    conure_stream_text_close(&text);
    return verdict(job, status, &err);
}

static int run(const void *settings_, int n, char *const *files)
{
    const settings *s = settings_;
    conure_model *model = NULL;
    conure_hotwords *hotwords = NULL;
    conure_stream_job job = {.file = files[0]};
    conure_error err = {""};
    int32_t channel;
    int code;
    (void)n;
    if (s->channel && (!conure_audio_parse_channel(s->channel, &channel) || channel == CONURE_AUDIO_EACH))
        return usage("--channel is neither mix nor a number from 1");
    if (conure_hotword_settings_check(&s->hotwords))
        return usage(conure_hotword_settings_check(&s->hotwords));
    if (!s->raw && (s->rate_hz || s->n_channels))
        return usage("--rate and --channels describe raw audio: they need --raw");
    if (set_session(s, &job.session, &err) != CONURE_OK)
        return usage(err.text);
    conure_terminal_quiet(s->quiet);
    conure_status status = conure_models_load(&model, s->model, &err);
    if (status == CONURE_OK)
        status = conure_hotword_settings_open(&hotwords, &s->hotwords, model, &err);
    job.session.hotwords = hotwords;
    if (status == CONURE_OK)
        status = open_recognizer(s, model, &job.session, &job.recognizer, &err);
    if (status == CONURE_OK) {
        code = stream(s, model, &job);
    } else if (status == CONURE_CANCELLED) {
        code = verdict(&job, status, &err);
    } else {
        conure_say(CONURE_SAY_ERROR, "%s", err.text[0] ? err.text : conure_status_text(status));
        code = CONURE_EXIT_CANNOT;
    }
    conure_recognizer_close(&job.recognizer);
    conure_hotwords_close(&hotwords);
    conure_model_close(&model);
    return code;
}

#define AT(member) .offset = offsetof(settings, member)
static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "as conure transcribe has it (default: CONURE_MODEL, else the embedded model)"},
    {.kind = CONURE_OPTION_TEXT, .name = "preset", .letter = 'p', .value = "NAME", AT(preset),
     .help = "contexts by name: live (10-2-2), fast (6-0.96-0.64), fastest (4-0.32-0.24), file (10-10-5), or "
             "LEFT-CHUNK-RIGHT in seconds (default: live)"},
    {.kind = CONURE_OPTION_REAL, .name = "left", .value = "S", AT(left_s),
     .help = "seconds of audio before a chunk that the encoder sees again"},
    {.kind = CONURE_OPTION_REAL, .name = "chunk", .value = "S", AT(chunk_s), .help = "seconds that become final at a time"},
    {.kind = CONURE_OPTION_REAL, .name = "right", .value = "S", AT(right_s),
     .help = "seconds behind a chunk that are waited for; they give the tentative text"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mode", .value = "MODE", AT(mode), .choices = modes,
     .help = "buffered (windows, for any model), cache (for models trained with limited context), or reset (slices without memory) "
             "(default: buffered)"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json),
     .help = "a JSON object a line for each event, and a last one with all tokens, words and statistics"},
    CONURE_HOTWORD_OPTIONS(hotwords),
    {.kind = CONURE_OPTION_FLAG, .name = "no-tentative", AT(no_tentative), .help = "final text only; saves decoding the right context"},
    {.kind = CONURE_OPTION_FLAG, .name = "no-endpoint", AT(no_endpoint), .help = "all is one utterance, which ends with the input"},
    {.kind = CONURE_OPTION_REAL, .name = "rule1-min-trailing-silence", .value = "S", AT(rule1_s),
     .help = "an utterance ends after this silence when nothing was said; 0: never (default: 2.4)"},
    {.kind = CONURE_OPTION_REAL, .name = "rule2-min-trailing-silence", .value = "S", AT(rule2_s),
     .help = "an utterance ends after this silence when something was said; 0: never (default: 1.2)"},
    {.kind = CONURE_OPTION_REAL, .name = "rule3-min-utterance-length", .value = "S", AT(rule3_s),
     .help = "an utterance of this length ends anyway; 0: never (default: 20)"},
    {.kind = CONURE_OPTION_REAL, .name = "endpoint-energy-db", .value = "DB", AT(energy_db),
     .help = "silence is also this much quieter than the loudest speech so far; 0: it is time without tokens (default: 0)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "time-cache", .value = "KIND", AT(time_cache), .choices = time_caches,
     .help = "mode cache: the convolution's cache as the offline model has it, or as NeMo shifts it (default: aligned)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "normalize", .value = "KIND", AT(normalize), .choices = normalizes,
     .help = "modes cache and reset: features by the statistics of what was heard so far, or of each slice (default: running)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "on-violation", .value = "DO", AT(on_violation), .choices = on_violations,
     .help = "when a step breaks the contract (lengths, values that are not finite): stop, reset the caches and go on, or count "
             "only (default: stop)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "raw", .value = "TYPE", AT(raw), .choices = raws,
     .help = "the input is PCM without a header: s16le or f32le"},
    {.kind = CONURE_OPTION_COUNT, .name = "rate", .value = "HZ", .min = CONURE_AUDIO_RATE_MIN_HZ, .max = CONURE_AUDIO_RATE_MAX_HZ,
     AT(rate_hz), .help = "samples a second of raw input (default: 16000)"},
    {.kind = CONURE_OPTION_COUNT, .name = "channels", .value = "N", .min = 1, .max = CONURE_AUDIO_CHANNELS_MAX, AT(n_channels),
     .help = "interleaved channels of raw input (default: 1)"},
    {.kind = CONURE_OPTION_TEXT, .name = "channel", .value = "WHICH", AT(channel),
     .help = "mix (the mean of all) or a channel's number counted from 1 (default: mix)"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "P", AT(precision), .choices = precisions,
     .help = "compute in f32, bf16 or int8; f64 with --engine ref, f16 with ort/... or trt, tf32 with trt (default: as conure transcribe)"},
    {.kind = CONURE_OPTION_TEXT, .name = "engine", .value = "SPEC", AT(engine),
     .help = "what computes: NAME" CONURE_ENGINE_SETTINGS ", NAME being cpu, ref or ort/cpu (default: cpu); what it says "
             "wins over --precision, --threads and --isa"},
    {.kind = CONURE_OPTION_COUNT, .name = "device", .value = "N", .max = CONURE_DEVICE_MAX, AT(device),
     .help = "which GPU, from 0, of engines that compute on one (default: 0; --engine NAME@device=N says the same)"},
    {.kind = CONURE_OPTION_TEXT, .name = "clearance", .value = "DIR", AT(clearance), .complete = CONURE_COMPLETE_FOLDER,
     .help = "a folder of conure clear: warn when it is not about this model, engine and precision, or did not end in cleared"},
    {.kind = CONURE_OPTION_FLAG, .name = "strict", AT(strict), .help = "with --clearance: refuse to run then"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mask", .value = "MASK", AT(mask), .choices = masks,
     .help = "attention mask convention, nemo or exact (default: the checkpoint's own)"},
    {.kind = CONURE_OPTION_TEXT, .name = "isa", .value = "NAME", AT(isa),
     .help = "instructions to use at most: c, avx2, avx512, vnni, bf16, amx, native (default: native)"},
    {.kind = CONURE_OPTION_BYTES, .name = "memory", .value = "SIZE", .min = 1 << 20, AT(memory_bytes),
     .help = "memory for activations, such as 2G (default: half of what is free)"},
    {.kind = CONURE_OPTION_FLAG, .name = "quiet", .letter = 'q', AT(quiet),
     .help = "no notes on standard error; warnings and errors stay"},
    {0},
};

static const conure_example examples[] = {
    {"arecord -f S16_LE -r 16000 -t wav | conure stream -", "what the microphone hears, until Ctrl-C"},
    {"arecord -f S16_LE -r 16000 -t raw | conure stream --raw s16le --preset fast -", "the same with a third of the delay"},
    {"ffmpeg -loglevel error -i https://example.org/live -f wav - | conure stream --json - | jq -r .final", "a broadcast, for a program"},
    {"conure stream --preset file talk.flac", "a recording of any length in little memory"},
    {NULL, NULL},
};

const conure_command conure_command_stream = {
    .name = "stream",
    .summary = "Turn audio into text while it arrives",
    .arguments = "[OPTION]... FILE | -",
    .details =
        "WAV (PCM or float) or raw PCM from a pipe is read as it comes, at any rate and with any number of channels; lengths that a "
        "WAV header tells are believed where they can be meant, so that what programs write who do not know them does no harm. "
        "Files, and other formats from a pipe once all of it is there, are read as conure transcribe does.\n\n"
        "Final text only grows; tentative text stands behind it, until the audio it is made of is final. On a terminal it is dim and "
        "drawn in place. Elsewhere only final text is written, a line for each utterance, as it grows. An utterance ends after a "
        "silence; --no-endpoint makes all of it one.\n\n"
        "With --json each event is a line: \"final\" is to be appended to the text so far, \"tentative\" stands behind it, \"words\" "
        "and \"tokens\" became complete. The last line has the type \"result\" and all words and tokens, as conure transcribe -f json "
        "has them. Seconds count from the beginning of the input.\n\n"
        "A word is final when the chunk that it lies in and the right context behind it were heard: a preset's delay is at least its "
        "right context and at most that and a chunk. What a step costs grows with left, chunk and right together.\n\n"
        "Ctrl-C ends a pipe or a terminal: the last words are told, and the exit status is 130. A second Ctrl-C stops at once.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .min_arguments = 1,
    .max_arguments = 1,
    .settings_bytes = sizeof(settings),
    .defaults = defaults,
    .run = run,
};

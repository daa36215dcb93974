/* command_clear.c - `conure clear`: may this engine serve speech? */
#include "cli/clear.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio.h"
#include "base/error.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/command.h"
#include "cli/measure.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "model/load.h"

typedef struct settings {
    const char *out, *model, *candidate, *contract, *tolerances, *manifest, *only;
    uint64_t n_threads;
    bool resume, redact, self_test, verify, diff, json;
} settings;

enum { SPEECH_FILES = 40, TRIAL_CLIPS = 6 };

typedef struct clearance {
    const settings *s;
    const char *path; /* of the configuration; NULL: options alone */
    json_t *config;
    conure_model *model, *embedded;
    conure_contract contract;
    conure_clear_clips clips;
    conure_clear_audio audio;
    conure_stored_clip stored_clip;
    conure_audio_clip stored_pcm;
    conure_stored_steps *stored_steps;
    float *mel;
    conure_clearing clearing;
    double stage_start_s;
    char key[65], recordings[65];
} clearance;

/* ---- what is asked ---------------------------------------------------------------------------- */

static conure_status set_text(json_t *object, const char *key, const char *value)
{
    return !value || json_object_set_new(object, key, json_string(value)) == 0 ? CONURE_OK : CONURE_NO_MEMORY;
}

/* Options go before the configuration. */
static conure_status read_config(clearance *c, const char *path, conure_error *err)
{
    const settings *s = c->s;
    conure_status status = conure_clear_config_read(&c->config, path, err);
    if (status != CONURE_OK)
        return status;
    if (set_text(c->config, "model", s->model) != CONURE_OK || set_text(c->config, "candidate", s->candidate) != CONURE_OK ||
        set_text(c->config, "contract", s->contract) != CONURE_OK || set_text(c->config, "tolerances", s->tolerances) != CONURE_OK)
        return conure_fail_memory(err, "a configuration", 4096);
    if (s->n_threads)
        json_object_set_new(c->config, "threads", json_integer((json_int_t)s->n_threads));
    if (s->manifest) {
        if (!json_object_get(c->config, "audio"))
            json_object_set_new(c->config, "audio", json_object());
        (void)set_text(json_object_get(c->config, "audio"), "manifest", s->manifest);
    }
    if (!conure_clear_text(c->config, "candidate", NULL))
        return conure_fail(err, CONURE_BAD_ARG, "conure clear: which candidate? name one with --candidate, or in the configuration");
    if (!conure_clear_text(c->config, "contract", NULL))
        return conure_fail(err, CONURE_BAD_ARG, "conure clear: which contract? make one of the configuration that will be deployed with  conure contract "
                           "derive  and name it with --contract");
    return CONURE_OK;
}

static conure_status open_model(clearance *c, conure_error *err)
{
    if (conure_candidate_is_command(conure_clear_text(c->config, "candidate", "")) && conure_clear_text(c->config, "reference_file", NULL) &&
        !conure_clear_text(c->config, "model", NULL))
        return CONURE_OK; /* somebody else's engine on somebody else's model */
    return conure_models_load(&c->model, conure_clear_text(c->config, "model", NULL), err);
}

/* Features of the first clips, as many as the chunks take. */
static conure_status read_speech(clearance *c, conure_error *err)
{
    char sha256[65];
    conure_status status = conure_clear_clips_read(&c->clips, c->config, err);
    if (status != CONURE_OK || c->clips.n == 0 || !c->model)
        return status;
    conure_progress("reading speech");
    const int n = c->clips.n < SPEECH_FILES ? (int)c->clips.n : SPEECH_FILES;
    status = conure_clearance_mel(c->model, c->clips.paths, n, &c->mel, &c->clearing.n_mel, sha256, err);
    conure_feed feed = {.n_chunks = 1, .n_frames = c->clearing.n_frames, .mel = c->mel, .n_mel = c->clearing.n_mel};
    if (status == CONURE_OK && conure_feed_check(&feed, &c->contract, NULL) == CONURE_OK)
        c->clearing.mel = c->mel; /* shorter than one slice: made-up features are all there is */
    return status;
}

static conure_status load_clip(conure_audio_clip *out, uint32_t rate_hz, conure_error *err)
{
    const void *data;
    size_t bytes;
    bool ended;
    conure_audio *audio = NULL;
    conure_audio_options options;
    conure_audio_options_init(&options);
    options.rate_hz = rate_hz;
    conure_embedded_clip(&data, &bytes);
    conure_status status = conure_audio_open_memory(&audio, data, bytes, "the embedded clip", &options, err);
    if (status == CONURE_OK)
        status = conure_audio_fill(out, audio, UINT64_MAX, &ended, err);
    conure_audio_close(&audio);
    return status;
}

/* What NeMo stored of the embedded model and the clip beside it. */
static conure_status open_stored(clearance *c, conure_error *err)
{
    const json_t *golden = json_object_get(c->config, "golden");
    const void *data, *tensors;
    size_t bytes, tensor_bytes;
    c->stored_steps = conure_calloc(json_array_size(golden) + 1, sizeof *c->stored_steps);
    if (!c->stored_steps)
        return conure_fail_memory(err, "cases", sizeof *c->stored_steps);
    for (size_t i = 0; i < json_array_size(golden); i++)
        c->stored_steps[i] = (conure_stored_steps){json_string_value(json_object_get(json_array_get(golden, i), "file")),
                                                   json_string_value(json_object_get(json_array_get(golden, i), "case"))};
    c->clearing.stored_steps = c->stored_steps;
    c->clearing.n_stored_steps = (uint32_t)json_array_size(golden);
    if (!conure_embedded_model(&data, &bytes) || !conure_embedded_golden(&tensors, &tensor_bytes))
        return CONURE_OK; /* built without: the gates say that nothing was compared */
    conure_status status = conure_model_open_memory(&c->embedded, data, bytes, CONURE_EMBEDDED_NAME, NULL, err);
    if (status != CONURE_OK)
        return status;
    status = load_clip(&c->stored_pcm, c->embedded->config.sample_rate_hz, err);
    c->stored_clip = (conure_stored_clip){.what = "the embedded model", .model = c->embedded, .pcm = c->stored_pcm.pcm,
                                          .n_samples = (size_t)c->stored_pcm.n_samples, .tensors = tensors, .bytes = tensor_bytes,
                                          .prefix = CONURE_EMBEDDED_GOLDEN};
    c->clearing.stored_clips = &c->stored_clip;
    c->clearing.n_stored_clips = status == CONURE_OK;
    return status;
}

static bool show(void *user, const char *what, uint64_t done, uint64_t all)
{
    const clearance *c = user;
    const double spent_s = conure_now_s() - c->stage_start_s;
    char left[32];
    if (done > 0 && done < all)
        conure_progress_more("%s: %llu of %llu, %s left", what, (unsigned long long)done, (unsigned long long)all,
                             conure_text_seconds(spent_s / (double)done * (double)(all - done), left));
    return !conure_interrupted;
}

static void fill(clearance *c)
{
    const json_t *k = c->config;
    conure_clearing *o = &c->clearing;
    o->model = c->model;
    o->contract = &c->contract;
    o->candidate = conure_clear_text(k, "candidate", NULL);
    o->reference = conure_clear_text(k, "reference", o->reference);
    o->reference_file = conure_clear_text(k, "reference_file", NULL);
    o->contract_file = conure_clear_text(k, "contract", NULL);
    o->config_file = c->path;
    o->commit = conure_program_commit();
    o->manifest_file = c->s->redact ? NULL : conure_clear_text(k, "audio.manifest", NULL);
    o->tolerance_file = conure_clear_text(k, "tolerances", NULL);
    o->precision = conure_clear_text(k, "precision", NULL);
    o->options = (conure_candidate_options){.n_threads = (uint32_t)conure_clear_count(k, "threads", 0),
                                            .timeout_s = conure_clear_real(k, "timeout_s", 60), .cancel = &conure_interrupted,
                                            .log = {conure_log_to_terminal, NULL}};
    o->seed = conure_clear_count(k, "seed", o->seed);
    o->n_frames = (uint32_t)conure_clear_count(k, "frames", 0);
    o->n_functional = conure_clear_count(k, "chunks.functional", o->n_functional);
    o->n_closed_loop = conure_clear_count(k, "chunks.closed_loop", o->n_closed_loop);
    o->n_noise = conure_clear_count(k, "chunks.noise", o->n_noise);
    o->n_latency = conure_clear_count(k, "chunks.latency", o->n_latency);
    o->n_self_test = conure_clear_count(k, "chunks.self_test", o->n_self_test);
    o->ratio_max = conure_clear_real(k, "noise.ratio_max", o->ratio_max);
    o->latency_p99_s = conure_clear_real(k, "latency.p99_s", INFINITY);
    o->pin_model = conure_clear_text(k, "pins.model", NULL);
    o->pin_contract = conure_clear_text(k, "pins.contract", NULL);
    o->pin_tolerances = conure_clear_text(k, "pins.tolerances", NULL);
    o->room = c->s->out;
    o->progress = show;
    o->progress_user = c;
}

static void add_bytes(conure_sha256 *sha, const char *path)
{
    conure_map map;
    if (!path || !*path || conure_path_is_folder(path) || conure_map_open(&map, path, NULL) != CONURE_OK)
        return;
    conure_sha256_add(sha, map.data, (size_t)map.bytes);
    conure_map_close(&map);
}

/* Files that a command's words name: who edits a script has another engine, whatever it calls itself. */
static void add_command(conure_sha256 *sha, const char *words)
{
    char word[1024];
    for (const char *p = words + 5; *p; p += strspn(p, " \t")) {
        const size_t n = strcspn(p, " \t");
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), p);
        add_bytes(sha, word);
        p += n;
    }
}

/* What evidence rests on: the same key, the same measurement but for chance. */
static conure_status make_key(clearance *c, conure_error *err)
{
    conure_sha256 sha;
    char model[65] = "", *contract = NULL, *config = json_dumps(c->config, JSON_COMPACT | JSON_SORT_KEYS), *tolerances = NULL;
    size_t bytes = 0;
    conure_status status = config ? conure_contract_dump(&c->contract, &contract, err) : conure_fail_memory(err, "a configuration", 4096);
    if (status == CONURE_OK && c->model)
        status = conure_model_hash(c->model, model, err);
    if (status == CONURE_OK && c->clearing.tolerance_file)
        status = conure_file_read(&tolerances, &bytes, c->clearing.tolerance_file, CONURE_TOLERANCE_BYTES_MAX, err);
    if (status == CONURE_OK) {
        const char *const parts[] = {conure_version(), conure_program_commit(), c->s->redact ? "redacted" : "", model, config, contract};
        conure_sha256_init(&sha);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            conure_sha256_add(&sha, parts[i], strlen(parts[i]) + 1);
        conure_sha256_add(&sha, tolerances, bytes);
        conure_sha256_add(&sha, c->recordings, sizeof c->recordings);
        add_bytes(&sha, conure_clear_text(c->config, "audio.manifest", NULL));
        add_bytes(&sha, c->clearing.reference_file);
        for (uint32_t i = 0; i < c->clearing.n_stored_steps; i++)
            add_bytes(&sha, c->stored_steps[i].file);
        conure_engine_spec spec;
        if (conure_candidate_is_command(c->clearing.candidate))
            add_command(&sha, c->clearing.candidate);
        else if (conure_engine_spec_parse(&spec, c->clearing.candidate, NULL) == CONURE_OK)
            add_bytes(&sha, spec.ranges);
        conure_sha256_hex(&sha, c->key);
    }
    free(config);
    free(contract);
    free(tolerances);
    return status;
}

/* An engine that this build has not is known before a folder is made. */
static conure_status check_spec(const char *words, conure_error *err)
{
    conure_engine_spec spec;
    const conure_engine *engine;
    if (conure_candidate_is_command(words))
        return CONURE_OK;
    const conure_status status = conure_engine_spec_parse(&spec, words, err);
    return status == CONURE_OK ? conure_engine_find(&engine, spec.engine, err) : status;
}

static conure_status prepare(clearance *c, const char *path, conure_error *err)
{
    conure_status status = read_config(c, path, err);
    if (status == CONURE_OK)
        status = check_spec(conure_clear_text(c->config, "candidate", ""), err);
    if (status == CONURE_OK)
        status = check_spec(conure_clear_text(c->config, "reference", "cpu:f32"), err);
    if (status == CONURE_OK)
        status = conure_make_folders(c->s->out, err);
    if (status == CONURE_OK)
        status = conure_contract_read(&c->contract, conure_clear_text(c->config, "contract", NULL), NULL, err);
    if (status == CONURE_OK)
        status = open_model(c, err);
    if (status != CONURE_OK)
        return status;
    conure_clearing_init(&c->clearing);
    fill(c);
    status = read_speech(c, err);
    if (status == CONURE_OK)
        status = conure_clear_clips_hash(&c->clips, c->recordings, err);
    c->clearing.recordings_sha256 = c->clips.n > 0 ? c->recordings : NULL;
    if (status == CONURE_OK)
        status = open_stored(c, err);
    if (status == CONURE_OK)
        status = make_key(c, err);
    c->audio = (conure_clear_audio){.config = c->config, .redact = c->s->redact};
    if (c->clips.n > 0 || conure_candidate_is_command(c->clearing.candidate)) { /* of a command the stage says that it does not apply */
        c->clearing.audio = conure_clear_audio_stage;
        c->clearing.audio_user = &c->audio;
    }
    return status;
}

/* ---- which stages ----------------------------------------------------------------------------- */

/* "contract,flow": the stages of these gates. */
static conure_status stages_of(uint32_t *stages, const char *only, conure_error *err)
{
    char name[32];
    *stages = 0;
    for (const char *p = only; *p;) {
        const size_t n = strcspn(p, ",");
        conure_gate gate;
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p);
        if (!conure_gate_parse(&gate, name)) {
            char all[320] = "";
            for (conure_gate g = 0; g < CONURE_GATES; g++)
                snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", g ? ", " : "", conure_gate_name(g));
            return conure_fail(err, CONURE_BAD_ARG, "--only %s: there is no gate \"%s\"; there are %s", only, name, all);
        }
        *stages |= conure_gate_needs(gate) | conure_gate_also(gate);
        p += n + (p[n] == ',');
    }
    return CONURE_OK;
}

/* Stages whose gates all do not apply need not run; without audio there is nothing to hear. */
static uint32_t sensible(const clearance *c, uint32_t stages)
{
    const json_t *excused = json_object_get(c->config, "not_applicable");
    uint32_t used = 0;
    for (conure_gate g = 0; g < CONURE_GATES; g++)
        if (!json_object_get(excused, conure_gate_name(g)))
            used |= conure_gate_needs(g) | conure_gate_also(g);
    if (json_object_get(excused, "audio") || !c->clearing.audio)
        used &= ~CONURE_STAGE_BIT(AUDIO);
    if (json_object_get(excused, "noise"))
        used &= ~CONURE_STAGE_BIT(NOISE);
    if (!c->clearing.mel)
        used &= ~CONURE_STAGE_BIT(SPEECH);
    return (stages | CONURE_STAGE_BIT(INPUTS)) & used; /* what it rests on is said always */
}

/* ---- running ---------------------------------------------------------------------------------- */

/* Trials of the self-test hear a few clips only. */
static json_t *hear(clearance *c, conure_stage stage, conure_error *err, conure_status *status)
{
    json_t *one = NULL;
    c->audio.n_clips_max = stage == CONURE_STAGE_SELF_TEST ? TRIAL_CLIPS : 0;
    c->stage_start_s = conure_now_s();
    conure_progress("%s: %s", conure_stage_name(stage), conure_stage_what(stage));
    *status = conure_clear_stage(&one, stage, &c->clearing, err);
    return one;
}

static conure_status run_stages(clearance *c, uint32_t run, json_t *stages, conure_error *err)
{
    conure_status status = CONURE_OK;
    conure_clear_forget(c->s->out, c->key);
    for (conure_stage s = 0; s < CONURE_STAGES && status == CONURE_OK; s++) {
        const bool wanted = run & 1u << s;
        json_t *one = !wanted || c->s->resume ? conure_clear_load(c->s->out, s, c->key) : NULL; /* what other runs found stays */
        if (!one && !wanted)
            continue;
        if (!one) {
            one = hear(c, s, err, &status);
            if (status == CONURE_OK)
                status = conure_clear_save(c->s->out, s, one, c->key, err);
        }
        if (status == CONURE_OK)
            json_object_set_new(stages, conure_stage_name(s), one);
    }
    return status;
}

/* The configuration as the report has it. */
static json_t *public_config(const clearance *c)
{
    json_t *config = json_deep_copy(c->config);
    if (c->s->redact && json_object_get(config, "audio")) {
        json_object_del(json_object_get(config, "audio"), "manifest");
        json_object_del(json_object_get(config, "audio"), "files");
    }
    return config;
}

static int judge(clearance *c, json_t *stages)
{
    conure_error err = {""};
    json_t *evidence = json_pack("{s:o, s:O}", "config", public_config(c), "stages", stages);
    /* Through text, as --verify will read it. */
    char *text = json_dumps(evidence, JSON_REAL_PRECISION(17));
    json_t *again = text ? json_loads(text, 0, NULL) : NULL, *report = again ? conure_clear_judge(again) : NULL;
    const conure_status status = report ? conure_clear_write(c->s->out, report, &err) : conure_fail_memory(&err, "a report", 65536);
    conure_progress_clear();
    int code = CONURE_EXIT_USAGE;
    if (status == CONURE_OK) {
        char *whole = c->s->json ? json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
        if (whole) {
            printf("%s\n", whole);
        } else {
            if (c->s->self_test)
                conure_clear_print_matrix(report);
            conure_clear_print(report, c->s->out);
        }
        free(whole);
        code = conure_clear_exit(report);
    } else {
        code = conure_clearance_fail(status, &err);
    }
    json_decref(report);
    json_decref(again);
    json_decref(evidence);
    free(text);
    return code;
}

static void close_all(clearance *c)
{
    conure_model_close(&c->model);
    conure_model_close(&c->embedded);
    conure_clear_clips_free(&c->clips);
    conure_audio_clip_free(&c->stored_pcm);
    free(c->stored_steps);
    free(c->mel);
    json_decref(c->config);
}

static int clear(const settings *s, const char *path)
{
    clearance c = {.s = s, .path = path};
    conure_error err = {""};
    uint32_t run = ~0u;
    json_t *stages = json_object();
    conure_status status = s->self_test && !s->only ? stages_of(&run, "self_test", &err) : s->only ? stages_of(&run, s->only, &err) : CONURE_OK;
    if (status == CONURE_OK)
        status = prepare(&c, path, &err);
    if (status == CONURE_OK)
        status = run_stages(&c, sensible(&c, run), stages, &err);
    conure_progress_clear();
    int code;
    if (status == CONURE_OK) {
        code = judge(&c, stages);
    } else {
        code = conure_clearance_fail(status, &err);
        if (status == CONURE_CANCELLED)
            conure_say(CONURE_SAY_NOTE, "what was measured is in %s/evidence: --resume goes on from there", s->out);
    }
    json_decref(stages);
    close_all(&c);
    return code;
}

static int run(const void *settings_, int n, char *const *arguments)
{
    const settings *s = settings_;
    const int folders = s->diff ? 2 : 1;
    if (s->verify || s->diff) {
        if (n != folders || (s->verify && s->diff)) {
            conure_say(CONURE_SAY_ERROR, "conure clear %s", s->diff ? "--diff takes two folders" : "--verify takes one folder");
            return CONURE_EXIT_USAGE;
        }
        return s->diff ? conure_clear_diff(arguments[0], arguments[1]) : conure_clear_verify(arguments[0]);
    }
    if (n > 1 || !s->out) {
        conure_say(CONURE_SAY_ERROR, n > 1 ? "conure clear: one configuration at a time" : "conure clear: where to? name a folder with --out");
        return CONURE_EXIT_USAGE;
    }
    return clear(s, n == 1 ? arguments[0] : NULL);
}

#define AT(member) .offset = offsetof(settings, member)

static const conure_option options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "DIR", AT(out), .complete = CONURE_COMPLETE_FOLDER,
     .help = "folder for evidence, series and report; made when it is not there"},
    {.kind = CONURE_OPTION_TEXT, .name = "candidate", .value = "SPEC", AT(candidate),
     .help = "what is to be cleared: NAME[/PROVIDER]" CONURE_ENGINE_SETTINGS ", or exec:COMMAND"},
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint, as conure transcribe has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "the streaming configuration that will be deployed, of conure contract derive"},
    {.kind = CONURE_OPTION_TEXT, .name = "tolerances", .value = "FILE", AT(tolerances), .complete = CONURE_COMPLETE_FILE,
     .help = "how far apart is allowed, of conure noise-floor (default: the table note-2026-01, which is part of the program)"},
    {.kind = CONURE_OPTION_TEXT, .name = "manifest", .value = "FILE", AT(manifest), .complete = CONURE_COMPLETE_FILE,
     .help = "real speech with what is said: NeMo's JSON lines, or TSV; file names are beside it"},
    {.kind = CONURE_OPTION_TEXT, .name = "only", .value = "GATE,...", AT(only),
     .help = "measure for these gates alone; what other runs with the same inputs left in the folder stays"},
    {.kind = CONURE_OPTION_FLAG, .name = "self-test", AT(self_test),
     .help = "measure for the gate self_test alone, and print which gates notice which fault"},
    {.kind = CONURE_OPTION_FLAG, .name = "resume", AT(resume), .help = "go on with what an interrupted run left in the folder"},
    {.kind = CONURE_OPTION_FLAG, .name = "redact", AT(redact), .help = "keep no transcripts and no names of recordings"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = 64, AT(n_threads),
     .help = "threads to compute with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_FLAG, .name = "verify", AT(verify),
     .help = "DIR: is it as it was written, does its evidence give its verdict, and has what it is about changed since?"},
    {.kind = CONURE_OPTION_FLAG, .name = "diff", AT(diff), .help = "DIR DIR: what differs between two clearances"},
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(json), .help = "print the report as JSON"},
    {0},
};
static const conure_example examples[] = {
    {"conure clear --candidate cpu:int8 --contract encoder.contract.json --manifest dev.tsv -o clearance", "the whole suite; the report is "
                                                                                                           "clearance/report.html"},
    {"conure clear clearance.json -o clearance --resume", "from a configuration, going on after an interruption"},
    {"conure clear clearance.json -o clearance --only contract,flow", "two gates"},
    {"conure clear clearance.json -o clearance --self-test", "would it have noticed?"},
    {"conure clear --verify clearance", "before it is deployed, and after"},
    {NULL, NULL},
};
const conure_command conure_command_clear = {
    .name = "clear",
    .summary = "May this engine serve speech? Measure, judge, and write a report",
    .arguments = "[OPTION]... -o DIR [CONFIG] | --verify DIR | --diff DIR DIR",
    .details = "Gates: reference, integrity, provenance, contract, finite, features, functional, batch, confidence, noise, closed_loop, flow, audio, "
               "latency, self_test. Cleared is what passes every gate that applies. docs/clearance.md describes the configuration, a JSON file, and "
               "how to clear an engine in ten minutes.\n\nExit status: 0 cleared; 1 not cleared, or not proven; 2 it could not be judged.",
    .options = options,
    .examples = examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 2,
    .settings_bytes = sizeof(settings),
    .run = run,
};

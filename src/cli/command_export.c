/* command_export.c - `conure export onnx` and `conure export ranges`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/threads.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/speech.h"
#include "cli/terminal.h"
#include "model/graphs.h"
#include "onnx/export.h"
#include "onnx/ranges.h"

static const char *const layouts[] = {
#define X(name, id) id,
    CONURE_EXPORT_LAYOUT_LIST(X)
#undef X
    NULL};
static const char *const precisions[] = {
#define X(name, id, suffix) id,
    CONURE_EXPORT_PRECISION_LIST(X)
#undef X
    NULL};
static const char *const widths[] = {"f32", "narrow", NULL};
static const char *const weights[] = {"int8", "f32", NULL};
static const char *const readers[] = {"any", "tensorrt", NULL};
static const char *const masks[] = {"default", "nemo", "exact", NULL};
static const char *const externals[] = {"auto", "always", "never", NULL};

typedef struct onnx_settings {
    const char *model, *out, *contract, *graphs, *ranges;
    uint64_t opset, frames_max, batch, n_threads;
    int layout, mask, external, precision, weights, reader, io, caches;
    bool force;
} onnx_settings;

static void onnx_defaults(void *settings)
{
    onnx_settings *s = settings;
    s->opset = 17;
}

/* "encoder,decoder" to bits. */
static conure_status parse_graphs(const char *text, uint32_t *out, conure_error *err)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } known[] = {{"encoder", CONURE_EXPORT_ENCODER}, {"streaming", CONURE_EXPORT_STREAMING}, {"decoder", CONURE_EXPORT_DECODER},
                 {"features", CONURE_EXPORT_FEATURES}};
    *out = 0;
    for (const char *at = text; *at;) {
        const size_t bytes = strcspn(at, ",");
        uint32_t bit = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].name) == bytes && memcmp(at, known[i].name, bytes) == 0)
                bit = known[i].bit;
        if (!bit)
            return conure_fail(err, CONURE_BAD_ARG, "--graphs %s: '%.*s' is none; there are encoder, streaming, decoder and features", text,
                               (int)(bytes < 64 ? bytes : 64), at);
        *out |= bit;
        at += bytes + (at[bytes] == ',');
    }
    return CONURE_OK;
}

static void print_report(const conure_export_report *report, const char *folder)
{
    char bytes[32], data[32];
    for (uint32_t i = 0; i < report->n_files; i++) {
        const conure_export_file *file = &report->files[i];
        if (!file->is_graph)
            printf("%s/%s\n", folder, file->name);
        else if (file->facts.data_bytes)
            printf("%s/%s  %u nodes, %s, weights %s in %s.data\n", folder, file->name, file->facts.n_nodes,
                   conure_text_bytes(file->facts.bytes, bytes), conure_text_bytes(file->facts.data_bytes, data), file->name);
        else
            printf("%s/%s  %u nodes, %s\n", folder, file->name, file->facts.n_nodes, conure_text_bytes(file->facts.bytes, bytes));
    }
}

/* Cut a path's last part. */
static size_t parent(char *path, size_t bytes)
{
    while (bytes > 0 && path[--bytes] != '/')
        continue;
    path[bytes] = '\0';
    return bytes;
}

static conure_status export_model(const onnx_settings *s, char *const *files, int n, conure_export_options *options,
                                  conure_export_report *report, conure_error *err)
{
    conure_model *model = NULL;
    conure_contract contract;
    conure_observations *seen = NULL;
    conure_speech speech = {0};
    char sha256[65], there[PATH_MAX], made[PATH_MAX];
    size_t old = (size_t)snprintf(there, sizeof there, "%s", s->out), all = (size_t)snprintf(made, sizeof made, "%s", s->out);
    while (old > 0 && old < sizeof there && access(there, F_OK) != 0)
        old = parent(there, old);
    conure_status status = CONURE_OK;
    if (s->contract) {
        status = conure_contract_read(&contract, s->contract, NULL, err);
        options->contract = &contract;
    }
    if (status == CONURE_OK)
        status = conure_models_load(&model, s->model, err);
    if (status == CONURE_OK && s->ranges)
        status = conure_ranges_read(&seen, model, s->ranges, sha256, err);
    if (status == CONURE_OK && n)
        status = conure_speech_load(&speech, model, files, n, err);
    options->utterances = speech.utterances;
    options->n_utterances = speech.n;
    options->seen = seen;
    if (status == CONURE_OK)
        status = conure_make_folders(s->out, err);
    if (status == CONURE_OK)
        status = conure_export_onnx(model, s->out, options, report, err);
    while (status != CONURE_OK && all > old && all < sizeof made && (rmdir(made) == 0 || errno == ENOENT)) /* a refused export leaves no folder */
        all = parent(made, all);
    conure_speech_free(&speech);
    conure_observations_free(&seen);
    conure_model_close(&model);
    return status;
}

static int run_onnx(const void *settings, int n, char *const *arguments)
{
    const onnx_settings *s = settings;
    conure_error err = {""};
    conure_export_report report = {0};
    char words[] = "exporting";
    conure_export_options options = {
        .layout = (conure_export_layout)s->layout, .opset = (uint32_t)s->opset, .mask = (conure_mask)s->mask,
        .frames_max = (uint32_t)s->frames_max, .batch = (uint32_t)s->batch, .external = (conure_external)s->external, .force = s->force,
        .precision = (conure_export_precision)s->precision, .float_weights = s->weights == 1, .fusible = s->reader == 1,
        .narrow_io = s->io == 1, .narrow_caches = s->caches == 1, .cancel = &conure_interrupted,
        .log = {conure_log_to_terminal, NULL}, .progress = conure_progress_fraction, .progress_user = words};
    options.n_threads = conure_threads_or_all((uint32_t)s->n_threads);
    options.graphs = CONURE_EXPORT_ENCODER | CONURE_EXPORT_DECODER | (s->contract ? CONURE_EXPORT_STREAMING : 0);
    if (options.layout == CONURE_EXPORT_ONNX_ASR)
        options.graphs |= CONURE_EXPORT_FEATURES;
    conure_status status = s->graphs ? parse_graphs(s->graphs, &options.graphs, &err) : CONURE_OK;
    if (status == CONURE_OK && !s->out)
        status = conure_fail(&err, CONURE_BAD_ARG, "conure export onnx: name the folder to write to with -o");
    if (status == CONURE_OK && (n || s->ranges) && options.precision != CONURE_EXPORT_INT8 && options.precision != CONURE_EXPORT_F16)
        status = conure_fail(&err, CONURE_BAD_ARG, "%s: audio and ranges are for --precision int8 and f16, %s needs none: leave them out",
                             n ? arguments[0] : s->ranges, precisions[options.precision]);
    if (status == CONURE_OK && n && s->ranges)
        status = conure_fail(&err, CONURE_BAD_ARG, "%s: --ranges %s stands in place of audio: leave out one of them", arguments[0], s->ranges);
    if (status == CONURE_OK)
        status = export_model(s, arguments, n, &options, &report, &err);
    conure_progress_clear();
    print_report(&report, s->out);
    if (report.n_wide && options.precision == CONURE_EXPORT_BF16)
        conure_say(CONURE_SAY_NOTE, "convolutions stay float32: there is none in bfloat16 before opset 22");
    else if (report.n_wide)
        conure_say(CONURE_SAY_NOTE, "%u part%s of the encoder (subsampling, layers) stay float32: values there come near to what float16 holds",
                   report.n_wide, report.n_wide == 1 ? "" : "s");
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_command_fail(status, &err);
}

#define AT(member) .offset = offsetof(onnx_settings, member)

static const conure_option onnx_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FOLDER", AT(out), .complete = CONURE_COMPLETE_FOLDER,
     .help = "where to write; made if it is not there"},
    {.kind = CONURE_OPTION_CHOICE, .name = "layout", .value = "NAME", AT(layout), .choices = layouts,
     .help = "whose names and interfaces: onnx-asr or sherpa-onnx (default: onnx-asr)"},
    {.kind = CONURE_OPTION_TEXT, .name = "contract", .value = "FILE", AT(contract), .complete = CONURE_COMPLETE_FILE,
     .help = "also write a streaming encoder with explicit caches, as this contract has it"},
    {.kind = CONURE_OPTION_TEXT, .name = "graphs", .value = "LIST", AT(graphs),
     .help = "only these, with commas between: encoder, streaming, decoder, features (default: all that the layout has)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "mask", .value = "NAME", AT(mask), .choices = masks,
     .help = "masked scores: nemo -10000, exact -infinity, default what the checkpoint says"},
    {.kind = CONURE_OPTION_CHOICE, .name = "precision", .value = "NAME", AT(precision), .choices = precisions,
     .help = "of the encoders: f32, f16, bf16, or int8 as quantise and dequantise nodes; AUDIO shows how large values become (default: f32)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "int8-weights", .value = "TYPE", AT(weights), .choices = weights,
     .help = "how an int8 graph holds weights: int8, or f32 behind nodes that quantise them, which TensorRT 8 takes alone (default: int8)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "for", .value = "READER", AT(reader), .choices = readers,
     .help = "encoders in a form for any reader, or as TensorRT fuses them best; both compute the same (default: any)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "io", .value = "TYPE", AT(io), .choices = widths,
     .help = "features and encoder output: f32, or narrow as the precision is (default: f32)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "caches", .value = "TYPE", AT(caches), .choices = widths,
     .help = "caches of the streaming encoder: f32, or narrow as the precision is, int8 included (default: f32)"},
    {.kind = CONURE_OPTION_TEXT, .name = "ranges", .value = "FILE", AT(ranges), .complete = CONURE_COMPLETE_FILE,
     .help = "how large values become, as conure export ranges wrote it, in place of AUDIO"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = CONURE_THREADS_MAX, AT(n_threads),
     .help = "threads to look at AUDIO with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_COUNT, .name = "opset", .value = "N", .min = CONURE_OPSET_MIN, .max = CONURE_OPSET_MAX, AT(opset),
     .help = "version of the operators; below 17 there is no LayerNormalization, which TensorRT 8 does not know (default: 17)"},
    {.kind = CONURE_OPTION_COUNT, .name = "max-frames", .value = "N", .min = 1, .max = 1 << 20, AT(frames_max),
     .help = "the offline encoder takes at most so many mel frames (10 ms each): relative positions are then constants (default: any number)"},
    {.kind = CONURE_OPTION_COUNT, .name = "batch", .value = "N", .min = 1, .max = 4096, AT(batch),
     .help = "the streaming encoder takes N rows always; in a form for TensorRT few rows are then multiplied in parts, as in plans (default: any "
             "number)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "external", .value = "WHEN", AT(external), .choices = externals,
     .help = "weights in a file GRAPH.data: auto above 2 GB, always or never (default: auto)"},
    {.kind = CONURE_OPTION_FLAG, .name = "force", AT(force), .help = "replace files that are there"},
    {0},
};
static const conure_example onnx_examples[] = {
    {"conure export onnx -m parakeet.conure -o parakeet-onnx", "encoder, decoder and front end as onnx-asr reads them"},
    {"conure export onnx -m parakeet.conure --layout sherpa-onnx -o parakeet-sherpa", "the same for sherpa-onnx"},
    {"conure export onnx -m parakeet.conure --precision int8 --max-frames 3000 -o parakeet-int8 talk*.flac",
     "int8, its scales from a few recordings; up to 30 s at once"},
    {"conure export onnx -m parakeet.conure --contract encoder.contract.json --graphs streaming --opset 16 --for tensorrt --batch 1 -o engine",
     "a step of cache-aware streaming of one stream, for TensorRT 8"},
    {NULL, NULL},
};
static const conure_command onnx_command = {
    .name = "onnx",
    .summary = "Write a checkpoint as ONNX graphs",
    .arguments = "[OPTION]... -o FOLDER [AUDIO]...",
    .details = "AUDIO is files, and folders of them. Time is dynamic, and the batch but for --batch. The mask convention, the checkpoint's hash and the contract are in each graph's metadata. The same "
               "checkpoint and options give the same bytes. docs/export.md describes the layouts.",
    .options = onnx_options,
    .examples = onnx_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 4096,
    .settings_bytes = sizeof(onnx_settings),
    .defaults = onnx_defaults,
    .run = run_onnx,
};

/* ---- ranges ----------------------------------------------------------------------------------- */

typedef struct ranges_settings {
    const char *model, *out;
    uint64_t n_threads;
    bool force;
} ranges_settings;

static bool show_looking(void *user, double fraction)
{
    (void)user;
    conure_progress("looking at speech: %.0f %%", 100 * fraction);
    return !conure_interrupted;
}

static conure_status write_ranges(const ranges_settings *s, char *const *files, int n, conure_error *err)
{
    conure_model *model = NULL;
    conure_observations *seen = NULL;
    conure_speech speech = {0};
    conure_status status = conure_models_load(&model, s->model, err);
    if (status == CONURE_OK)
        status = conure_model_need_tensors(model, "export ranges", err);
    if (status == CONURE_OK)
        status = conure_speech_load(&speech, model, files, n, err);
    if (status == CONURE_OK)
        status = conure_observe(&seen, model, speech.utterances, speech.n, conure_threads_or_all((uint32_t)s->n_threads), CONURE_MASK_DEFAULT, &conure_interrupted, show_looking,
                                NULL, err);
    if (status == CONURE_OK)
        status = conure_ranges_write(seen, model, s->out, err);
    conure_observations_free(&seen);
    conure_speech_free(&speech);
    conure_model_close(&model);
    return status;
}

static int run_ranges(const void *settings, int n, char *const *arguments)
{
    const ranges_settings *s = settings;
    conure_error err = {""};
    conure_status status = CONURE_OK;
    if (!s->out || n == 0)
        status = conure_fail(&err, CONURE_BAD_ARG, "conure export ranges: name the file to write to with -o, and some audio files to look at");
    if (status == CONURE_OK && !s->force && access(s->out, F_OK) == 0)
        status = conure_fail(&err, CONURE_BAD_ARG, "%s is there already: name another file, or replace it with --force", s->out);
    if (status == CONURE_OK)
        status = write_ranges(s, arguments, n, &err);
    conure_progress_clear();
    return status == CONURE_OK ? CONURE_EXIT_GOOD : conure_command_fail(status, &err);
}

#undef AT
#define AT(member) .offset = offsetof(ranges_settings, member)

static const conure_option ranges_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(model), .complete = CONURE_COMPLETE_FILE,
     .help = "the checkpoint (default: as conure transcribe has it)"},
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE", AT(out), .complete = CONURE_COMPLETE_FILE, .help = "where to write"},
    {.kind = CONURE_OPTION_COUNT, .name = "threads", .value = "N", .min = 1, .max = CONURE_THREADS_MAX, AT(n_threads),
     .help = "threads to look with (default: the processors this process may use)"},
    {.kind = CONURE_OPTION_FLAG, .name = "force", AT(force), .help = "replace the file if it is there"},
    {0},
};
static const conure_example ranges_examples[] = {
    {"conure export ranges -m parakeet.conure -o parakeet.ranges.json talk*.flac", "a dozen short files are plenty"},
    {"conure transcribe -m parakeet.conure --engine ort/cpu:int8@ranges=parakeet.ranges.json talk.flac", "what it is for"},
    {NULL, NULL},
};
static const conure_command ranges_command = {
    .name = "ranges",
    .summary = "Measure on speech how large values become, for int8 and f16",
    .arguments = "[OPTION]... -o FILE AUDIO...",
    .details = "The file has the model's SHA-256 and serves that model alone: the engines ort/... take it as @ranges=FILE, conure export onnx as "
               "--ranges FILE.",
    .options = ranges_options,
    .examples = ranges_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 4096,
    .settings_bytes = sizeof(ranges_settings),
    .run = run_ranges,
};

static const conure_command *const children[] = {&onnx_command, &ranges_command, NULL};

const conure_command conure_command_export = {
    .name = "export",
    .summary = "Write a model for another engine",
    .arguments = "COMMAND",
    .children = children,
};

/* command_model.c - `conure model info|verify|convert|random`. */
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "cli/command.h"
#include "cli/models.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "stream/random.h"

static const char *const format_names[] = {"", "nemo", "huggingface", "conure", "graphs"};
static const char *const mask_names[] = {"", "nemo", "exact"};

static conure_status open_model(conure_model **model, const char *named, int n,
                                char *const *arguments, conure_error *err)
{
    if (named && n)
        return conure_fail(err, CONURE_BAD_ARG, "two models are named: %s and %s", named, arguments[0]);
    return conure_models_load(model, n ? arguments[0] : named, err);
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- info */

typedef struct info_settings {
    const char *model;
    bool json;
} info_settings;

static bool print_json(const conure_model_info *i)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "name", i->name,
        "hash", i->sha256, "format", format_names[i->format], "mask", mask_names[i->mask], "weights",
        i->weights, "parameters", (json_int_t)i->n_parameters, "weight_bytes",
        (json_int_t)i->weight_bytes, "sample_rate_hz", (json_int_t)i->sample_rate_hz, "mel_bins",
        (json_int_t)i->mel_bins, "layers", (json_int_t)i->n_layers, "d_model",
        (json_int_t)i->d_model, "heads", (json_int_t)i->n_heads, "vocabulary",
        (json_int_t)i->vocab_size, "durations", (json_int_t)i->n_durations, "frame_s", i->frame_s);
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(json);
    return text != NULL;
}

static void print_text(const conure_model_info *i)
{
    char size[32], *name = conure_clean_copy(i->name);
    printf("name         %s\n", name ? name : "?");
    free(name);
    printf("format       %s\n", format_names[i->format]);
    printf("hash         %s\n", i->sha256);
    if (i->format == CONURE_FORMAT_GRAPHS) { /* which do not say what is inside */
        printf("weights      as they were exported, %s\n", conure_text_bytes(i->weight_bytes, size));
        printf("encoder      width %u\n", i->d_model);
    } else {
        printf("parameters   %.1f million\n", (double)i->n_parameters / 1e6);
        printf("weights      %s, %s\n", i->weights, conure_text_bytes(i->weight_bytes, size));
        printf("encoder      %u layers, width %u, %u heads, mask %s\n", i->n_layers, i->d_model, i->n_heads, mask_names[i->mask]);
    }
    printf("audio        %u Hz, %u mel bins, one frame each %g s\n", i->sample_rate_hz, i->mel_bins,
           i->frame_s);
    printf("tokens       %u and blank, %u durations\n", i->vocab_size, i->n_durations);
}

static int run_info(const void *settings, int n, char *const *arguments)
{
    const info_settings *s = settings;
    conure_model *model = NULL;
    conure_error err = {""};
    conure_model_info info = {.struct_bytes = sizeof info};
    conure_status status = open_model(&model, s->model, n, arguments, &err);
    int code = CONURE_EXIT_GOOD;
    if (status == CONURE_OK)
        status = conure_model_get_info(model, &info);
    conure_progress_clear();
    if (status != CONURE_OK)
        code = conure_command_fail(status, &err);
    else if (!s->json)
        print_text(&info);
    else if (!print_json(&info))
        code = conure_command_fail(CONURE_NO_MEMORY, &err);
    conure_model_close(&model);
    return code;
}

/* ---- verify */

static int run_verify(const void *settings, int n, char *const *arguments)
{
    const info_settings *s = settings;
    conure_model *model = NULL;
    conure_error err = {""};
    char words[] = "checking";
    conure_status status = open_model(&model, s->model, n, arguments, &err);
    int code = CONURE_EXIT_GOOD;
    if (status == CONURE_OK)
        status = conure_model_verify(model, conure_progress_fraction, words, &err);
    conure_progress_clear();
    if (status == CONURE_OK)
        printf("good\n");
    else
        code = conure_command_fail(status, &err);
    conure_model_close(&model);
    return code;
}

/* ---- convert */

static const char *const weight_names[] = {"f32", "f16", "bf16", "int8", NULL};

typedef struct write_settings {
    const char *model, *out, *preset;
    int weights;
    uint64_t n_layers, seed;
} write_settings;

static void tell_written(const char *path)
{
    char size[32];
    conure_progress_clear();
    conure_say(CONURE_SAY_NOTE, "%s: %s", path, conure_text_bytes(file_bytes(path), size));
}

static int need_out(const write_settings *s, const char *command)
{
    if (s->out)
        return CONURE_EXIT_GOOD;
    conure_say(CONURE_SAY_ERROR, "conure model %s: where to? --out FILE is needed", command);
    return CONURE_EXIT_USAGE;
}

static int run_convert(const void *settings, int n, char *const *arguments)
{
    const write_settings *s = settings;
    conure_model *model = NULL;
    conure_error err = {""};
    char words[] = "converting";
    conure_status status;
    int code = need_out(s, "convert");
    if (code != CONURE_EXIT_GOOD)
        return code;
    status = open_model(&model, s->model, n, arguments, &err);
    if (status == CONURE_OK)
        status = conure_model_convert(model, s->out, weight_names[s->weights],
                                      conure_progress_fraction, words, &err);
    if (status == CONURE_OK)
        tell_written(s->out);
    else
        code = conure_command_fail(status, &err);
    conure_model_close(&model);
    return code;
}

/* ---- random */

static void random_defaults(void *settings)
{
    write_settings *s = settings;
    s->seed = 1;
}

static int run_random(const void *settings, int n, char *const *arguments)
{
    const write_settings *s = settings;
    conure_error err = {""};
    char words[] = "making a model";
    conure_status status;
    int code = need_out(s, "random");
    (void)n;
    (void)arguments;
    if (code != CONURE_EXIT_GOOD)
        return code;
    status = conure_model_random(s->out, s->preset ? s->preset : "parakeet-tdt-0.6b-v3", (uint32_t)s->n_layers, s->seed,
                                 weight_names[s->weights], conure_progress_fraction, words, &err);
    if (status != CONURE_OK)
        return conure_command_fail(status, &err);
    tell_written(s->out);
    return CONURE_EXIT_GOOD;
}

/* ---- tables */

#define AT(type, member) .offset = offsetof(type, member)
#define MODEL_DETAILS                                                                              \
    "MODEL is a .nemo file, a Hugging Face folder, a converted file, or the name of a fetched "    \
    "model; without it CONURE_MODEL is meant, else the model embedded in the program."

#define MODEL_OPTION(type)                                                                         \
    {.kind = CONURE_OPTION_TEXT, .name = "model", .letter = 'm', .value = "MODEL", AT(type, model), \
     .complete = CONURE_COMPLETE_FILE, .help = "the model, when it is not an argument"}

static const conure_option info_options[] = {
    MODEL_OPTION(info_settings),
    {.kind = CONURE_OPTION_FLAG, .name = "json", AT(info_settings, json), .help = "print JSON"},
    {0},
};
static const conure_example info_examples[] = {
    {"conure model info parakeet-tdt-0.6b-v3.nemo", "what is in a checkpoint"},
    {NULL, NULL},
};
static const conure_command info = {
    .name = "info",
    .summary = "Print what a model is",
    .arguments = "[--json] [MODEL]",
    .details = MODEL_DETAILS,
    .options = info_options,
    .examples = info_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(info_settings),
    .run = run_info,
};

static const conure_option verify_options[] = {MODEL_OPTION(info_settings), {0}};
static const conure_example verify_examples[] = {
    {"conure model verify model.conure", "prints \"good\", or what is wrong; exit status 0 or 1"},
    {NULL, NULL},
};
static const conure_command verify = {
    .name = "verify",
    .summary = "Check every weight and every hash of a model",
    .arguments = "[MODEL]",
    .details = MODEL_DETAILS,
    .options = verify_options,
    .examples = verify_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(info_settings),
    .run = run_verify,
};

static const conure_option convert_options[] = {
    MODEL_OPTION(write_settings),
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE",
     AT(write_settings, out), .complete = CONURE_COMPLETE_FILE, .help = "the file to write; needed"},
    {.kind = CONURE_OPTION_CHOICE, .name = "weights", .letter = 'w', .value = "TYPE",
     AT(write_settings, weights), .choices = weight_names,
     .help = "storage of the matrices: f32, f16, bf16 or int8 (default: f32)"},
    {0},
};
static const conure_example convert_examples[] = {
    {"conure model convert parakeet-tdt-0.6b-v3.nemo -w int8 -o parakeet.conure",
     "a file of a quarter of the size that loads at once"},
    {NULL, NULL},
};
static const conure_command convert = {
    .name = "convert",
    .summary = "Write a model as one file that is mapped into memory when it is opened",
    .arguments = "[OPTION]... [MODEL] -o FILE",
    .details = MODEL_DETAILS
        "\n\nThe file holds the configuration, the tokenizer, the mask convention, hashes, and the weights in "
        "the layout that the processor reads. It appears under its name only when it is complete.",
    .options = convert_options,
    .examples = convert_examples,
    .complete = CONURE_COMPLETE_FILE,
    .max_arguments = 1,
    .settings_bytes = sizeof(write_settings),
    .run = run_convert,
};

static const conure_option random_options[] = {
    {.kind = CONURE_OPTION_TEXT, .name = "out", .letter = 'o', .value = "FILE",
     AT(write_settings, out), .complete = CONURE_COMPLETE_FILE, .help = "the file to write; needed"},
    {.kind = CONURE_OPTION_TEXT, .name = "preset", .value = "NAME", AT(write_settings, preset),
     .help = "whose shapes: parakeet-tdt-0.6b-v3 or mini (default: parakeet-tdt-0.6b-v3)"},
    {.kind = CONURE_OPTION_COUNT, .name = "layers", .value = "N", AT(write_settings, n_layers), .min = 1, .max = 256,
     .help = "so many layers of the encoder, for experiments (default: as many as the preset has)"},
    {.kind = CONURE_OPTION_COUNT, .name = "seed", .value = "N", AT(write_settings, seed),
     .help = "the same seed gives the same model (default: 1)"},
    {.kind = CONURE_OPTION_CHOICE, .name = "weights", .letter = 'w', .value = "TYPE",
     AT(write_settings, weights), .choices = weight_names,
     .help = "storage of the matrices: f32, f16, bf16 or int8 (default: f32)"},
    {0},
};
static const conure_example random_examples[] = {
    {"conure model random --seed 1 -w int8 -o random.conure",
     "a model of the real shapes to measure with; what it prints is not what was said"},
    {NULL, NULL},
};
static const conure_command random_model = {
    .name = "random",
    .summary = "Write a model of real shapes with random weights, for tests and benchmarks",
    .arguments = "[OPTION]... -o FILE",
    .options = random_options,
    .examples = random_examples,
    .settings_bytes = sizeof(write_settings),
    .defaults = random_defaults,
    .run = run_random,
};

static const conure_command *const children[] = {&info, &verify, &convert, &random_model, NULL};

const conure_command conure_command_model = {
    .name = "model",
    .summary = "Look at, check, convert or make a model",
    .arguments = "COMMAND",
    .children = children,
};

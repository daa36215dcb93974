/* random.c - models of real shapes with random weights. */
#include "model/random.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_BESIDE_LAYERS = 64, TENSORS_OF_LAYER = 64 }; /* more than any model has */

typedef struct preset {
    const char *name;
    uint32_t n_layers, d_model, n_heads, subsampling_channels, vocab_size, pred_hidden, joint_hidden;
} preset;

static const preset presets[] = {
    {"parakeet-tdt-0.6b-v3", 24, 1024, 8, 256, 8192, 640, 640},
    {"mini", 4, 96, 4, 32, 512, 64, 64},
};

conure_status conure_config_preset(conure_config *config, const char *name, conure_error *err)
{
    const preset *p = NULL;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (name && strcmp(presets[i].name, name) == 0)
            p = &presets[i];
    if (!p)
        return conure_fail(err, CONURE_BAD_ARG, "preset '%s': known are %s and %s", name ? name : "", presets[0].name, presets[1].name);
    *config = (conure_config){
        .sample_rate_hz = 16000, .window_samples = 400, .hop_samples = 160, .n_fft = 512, .mel_bins = 128,
        .preemphasis = 0.97f, .log_guard = 0x1p-24f, .mel_low_hz = 0, .mel_high_hz = 8000,
        .n_layers = p->n_layers, .d_model = p->d_model, .n_heads = p->n_heads, .ff_width = 4 * p->d_model,
        .conv_kernel = 9, .conv_left = 4, .conv_right = 4, .subsampling_channels = p->subsampling_channels,
        .use_bias = false, .xscaling = false, .untie_biases = true, .att_left = -1, .att_right = -1,
        .att_style = CONURE_REGULAR, .pos_emb_max_len = 5000, .vocab_size = p->vocab_size,
        .pred_hidden = p->pred_hidden, .pred_layers = 2, .joint_hidden = p->joint_hidden,
        .n_durations = 5, .durations = {0, 1, 2, 3, 4}, .max_symbols = 10, .mask = CONURE_MASK_NEMO,
    };
    return conure_config_check(config, err);
}

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

double conure_random_unit(uint64_t seed, uint64_t i)
{
    return (double)(mix(mix(seed) ^ i) >> 11) * 0x1p-53;
}

/* ---- tokenizer ------------------------------------------------------------------------------- */

/* Piece i: a few specials, the four marks of punctuation, then syllables, every second one beginning a
 * word; all different. */
static void piece_text(char *text, size_t cap, uint32_t i)
{
    static const char *const first[] = {"<unk>", "<|nospeech|>", "<pad>", "<|endoftext|>", ".", ",", "?", "!"};
    static const char consonants[] = "bcdfghjklmnprstvz", vowels[] = "aeiou";
    const uint32_t n_consonants = sizeof consonants - 1, n_vowels = sizeof vowels - 1;
    if (i < 8) {
        snprintf(text, cap, "%s", first[i]);
        return;
    }
    uint32_t rest = (i - 8) / 2;
    char syllables[32];
    size_t n = 0;
    do {
        syllables[n++] = consonants[rest % n_consonants];
        rest /= n_consonants;
        syllables[n++] = vowels[rest % n_vowels];
        rest /= n_vowels;
    } while (rest && n + 3 < sizeof syllables);
    syllables[n] = 0;
    snprintf(text, cap, "%s%s", i % 2 ? "" : "\xE2\x96\x81", syllables);
}

static conure_status make_tokenizer(conure_model *model, conure_error *err)
{
    const uint32_t n = model->config.vocab_size;
    enum { TEXT_CAP = 40 };
    char *texts = conure_calloc(n, TEXT_CAP);
    const char **pieces = conure_calloc(n, sizeof *pieces);
    uint8_t *types = conure_calloc(n, 1);
    conure_status status = texts && pieces && types ? CONURE_OK : conure_fail_memory(err, "a tokenizer", (size_t)n * TEXT_CAP);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        piece_text(texts + (size_t)i * TEXT_CAP, TEXT_CAP, i);
        pieces[i] = texts + (size_t)i * TEXT_CAP;
        types[i] = i == 0 ? CONURE_PIECE_UNKNOWN : i < 4 ? CONURE_PIECE_CONTROL : CONURE_PIECE_NORMAL;
    }
    if (status == CONURE_OK)
        status = conure_tokenizer_from_pieces(&model->tokenizer, pieces, types, n, " \xE2\x81\x87 ", true, err);
    free(texts);
    free(pieces);
    free(types);
    return status;
}

/* ---- weights --------------------------------------------------------------------------------- */

typedef struct maker {
    conure_model *model;
    uint64_t seed;
    uint32_t cap, n_expected;
    conure_progress_fn progress;
    void *user;
    conure_error *err;
} maker;

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Lowest and highest value of a tensor, by what it is. */
static void range_of(const conure_tensor_spec *spec, double fan_in, double *low, double *high)
{
    const bool norm = strstr(spec->name, "norm") != NULL;
    const double spread = 1.0 / sqrt(fan_in);
    *low = -spread;
    *high = spread;
    if (ends_with(spec->name, "running_mean"))
        *low = -0.2, *high = 0.2;
    else if (ends_with(spec->name, "running_var"))
        *low = 0.3, *high = 1.5;
    else if (norm && ends_with(spec->name, "weight"))
        *low = 0.6, *high = 1.4;
    else if (norm)
        *low = -0.2, *high = 0.2;
    else if (strstr(spec->name, "pos_bias"))
        *low = -0.5, *high = 0.5;
    else if (ends_with(spec->name, "embed.weight"))
        *low = -1.7320508, *high = 1.7320508; /* variance 1 */
    else if (strstr(spec->name, "joint_net") && spec->rank == 2)
        *low = -2.5 * spread, *high = 2.5 * spread;
}

/* Element [row][column] of W [n][k] is number row * k + column of the tensor's own stream. */
static void fill(const conure_tensor *t, uint64_t seed, double low, double high, uint64_t n, uint64_t k)
{
    float *dst = (float *)t->data;
    const double width = high - low;
    if (t->layout == CONURE_ROWS) {
        for (uint64_t i = 0; i < n * k; i++)
            dst[i] = (float)(low + width * conure_random_unit(seed, i));
        return;
    }
    for (uint64_t panel = 0; panel * CONURE_PANEL_COLUMNS < n; panel++)
        for (uint64_t column = 0; column < k; column++)
            for (uint64_t i = 0; i < CONURE_PANEL_COLUMNS; i++, dst++) {
                const uint64_t row = panel * CONURE_PANEL_COLUMNS + i;
                *dst = row < n ? (float)(low + width * conure_random_unit(seed, row * k + column)) : 0.0f;
            }
}

static conure_status make_tensor(void *user, const conure_tensor_spec *spec)
{
    maker *m = user;
    conure_model *model = m->model;
    if (spec->optional)
        return CONURE_OK; /* the front end computes its own tables */
    if (m->progress && !m->progress(m->user, fmin(1.0, (double)model->n_tensors / m->n_expected)))
        return conure_fail(m->err, CONURE_CANCELLED, "cancelled, nothing was written");
    if (model->n_tensors == m->cap)
        return conure_fail(m->err, CONURE_LIMIT, "a model of more than %u tensors", m->cap);
    uint64_t k = 1, n = spec->rank ? spec->shape[0] : 1;
    for (uint32_t i = 1; i < spec->rank; i++)
        k *= spec->shape[i];
    conure_tensor *t = &model->tensors[model->n_tensors];
    const bool calibrated = strncmp(spec->name, "joint.", 6) == 0 || strncmp(spec->name, "encoder.pre_encode.out.", 23) == 0;
    const bool panels = spec->is_matrix && !calibrated;
    *t = (conure_tensor){.dtype = CONURE_F32, .layout = panels ? CONURE_PANELS : CONURE_ROWS, .rank = spec->rank};
    memcpy(t->shape, spec->shape, sizeof t->shape);
    t->bytes = panels ? conure_panel_bytes(CONURE_F32, n, k) : n * k * sizeof(float);
    t->name = conure_block_text(&model->arena, spec->name, strlen(spec->name));
    t->data = conure_block_alloc(&model->arena, t->bytes);
    if (!t->name || !t->data)
        return conure_fail_memory(m->err, spec->name, t->bytes);
    double low, high;
    const bool recurrent = strstr(spec->name, "lstm") != NULL;
    range_of(spec, recurrent ? model->config.pred_hidden : (double)(k > 1 ? k : n), &low, &high);
    fill(t, mix(m->seed) + model->n_tensors, low, high, n, k);
    if (ends_with(spec->name, "embed.weight"))
        memset((float *)t->data + (n - 1) * k, 0, k * sizeof(float)); /* blank, the start of every utterance */
    model->n_tensors++;
    return CONURE_OK;
}

conure_status conure_model_random_open(conure_model **out, const char *preset_name, uint32_t n_layers, uint64_t seed,
                                       conure_progress_fn progress, void *user, conure_error *err)
{
    char name[96];
    conure_model *model = NULL;
    conure_model_options options;
    conure_config config;
    *out = NULL;
    conure_model_options_init(&options);
    conure_status status = conure_config_preset(&config, preset_name, err);
    if (status == CONURE_OK && n_layers) {
        config.n_layers = n_layers;
        status = conure_config_check(&config, err);
    }
    if (status != CONURE_OK)
        return status;
    int length = snprintf(name, sizeof name, "random-%s-%llu", preset_name, (unsigned long long)seed);
    if (n_layers)
        snprintf(name + length, sizeof name - (size_t)length, "-%u-layers", n_layers);
    status = conure_model_new(&model, &options, conure_strdup(name), err);
    if (status != CONURE_OK)
        return status;
    maker m = {.model = model, .seed = seed, .cap = TENSORS_BESIDE_LAYERS + TENSORS_OF_LAYER * config.n_layers,
               .n_expected = 28 * config.n_layers, .progress = progress, .user = user, .err = err};
    model->config = config;
    model->format = CONURE_FORMAT_CONURE;
    model->tensors = conure_block_alloc(&model->arena, m.cap * sizeof *model->tensors);
    status = model->tensors ? make_tokenizer(model, err) : conure_fail_memory(err, "a model's tensors", m.cap * sizeof *model->tensors);
    if (status == CONURE_OK)
        status = conure_config_tensors(&model->config, make_tensor, &m);
    if (status == CONURE_OK)
        status = conure_model_finish(model, false, name, err);
    if (status != CONURE_OK) {
        conure_model_close(&model);
        return status;
    }
    *out = model;
    return CONURE_OK;
}

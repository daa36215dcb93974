/* random.c - a random checkpoint that decodes like speech.
 *
 * In a random network every frame looks much like the next one, and a random joint gives one label for
 * ever, or blank for ever.  So the network is run on synthetic speech and set right in two steps: first the
 * subsampling's last product is centred and scaled, so that frames differ as much as they are large
 * (otherwise the joint would have to amplify small differences, and rounding with them); then the joint's
 * two projections are centred and scaled, its outputs centred, the blank's bias set to the quantile that
 * makes about half of all evaluations blank, and the durations' biases to a mix in which each occurs. */
#include "stream/random.h"

#include "base/memory.h"
#include "engine/engine.h"
#include "features/mel.h"
#include "model/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CALIBRATION_S = 20, LABELS = 64, SAMPLED_LABELS = 8, SAMPLED_FRAMES = 48 };
static const double CALIBRATION_AT = 0.3, WRITING_AT = 0.5; /* of the whole, for progress */
static const double FRONT_SPREAD = 1.0, ENCODER_SPREAD = 2.4, PREDICTOR_SPREAD = 1.0, BLANK_QUANTILE = 0.65;

/* ---- synthetic speech ------------------------------------------------------------------------ */

static void voiced(float *pcm, uint64_t n, uint64_t seed, double rate)
{
    const double f0 = 85 + 140 * conure_random_unit(seed, 1), glide = 0.8 + 0.4 * conure_random_unit(seed, 2);
    const double f1 = 250 + 550 * conure_random_unit(seed, 3), f2 = 900 + 1500 * conure_random_unit(seed, 4);
    const double f3 = 2300 + 900 * conure_random_unit(seed, 5), level = 0.05 + 0.2 * conure_random_unit(seed, 6);
    double phase = 0;
    for (uint64_t i = 0; i < n; i++) {
        const double at = (double)i / (double)n, pitch = f0 * (1 + (glide - 1) * at);
        double sum = 0;
        phase += 2 * 3.14159265358979323846 * pitch / rate;
        for (int h = 1; h * pitch < 4000; h++) {
            const double f = h * pitch, a = (f - f1) / 120, b = (f - f2) / 180, c = (f - f3) / 250;
            sum += (exp(-a * a) + 0.5 * exp(-b * b) + 0.25 * exp(-c * c) + 0.02) * sin(h * phase) / sqrt(h);
        }
        pcm[i] = (float)(level * sum * sin(3.14159265358979323846 * at));
    }
}

static void hissing(float *pcm, uint64_t n, uint64_t seed)
{
    const double level = 0.02 + 0.06 * conure_random_unit(seed, 1), colour = conure_random_unit(seed, 2);
    double before = 0;
    for (uint64_t i = 0; i < n; i++) {
        const double noise = 2 * conure_random_unit(seed, 10 + i) - 1;
        pcm[i] = (float)(level * (noise - colour * before) * sin(3.14159265358979323846 * (double)i / (double)n));
        before = noise;
    }
}

void conure_synthetic_speech(float *pcm, uint64_t n, uint64_t seed)
{
    for (uint64_t at = 0, k = 0; at < n; k++) {
        const uint64_t key = seed * 7919 + k * 104729;
        const double kind = conure_random_unit(key, 0);
        const uint64_t want = (uint64_t)(16000 * (0.06 + 0.22 * conure_random_unit(key, 7)));
        const uint64_t length = want < n - at ? want : n - at;
        if (kind < 0.6)
            voiced(pcm + at, length, key, 16000);
        else if (kind < 0.85)
            hissing(pcm + at, length, key);
        else
            memset(pcm + at, 0, length * sizeof *pcm);
        at += length;
    }
    for (uint64_t i = 0; i < n; i++)
        pcm[i] += (float)(1e-3 * (2 * conure_random_unit(seed ^ 0x5eed, i) - 1));
}

/* ---- calibration ----------------------------------------------------------------------------- */

typedef struct calibration {
    conure_model *model;
    float *mel;          /* [n_mel][mel_bins] */
    float *front;        /* [n_frames][d_model]: rows after the subsampling */
    float *encoded;      /* [n_frames][d_model] */
    uint32_t n_mel, n_frames;
    float *outputs;      /* [LABELS][pred_hidden]: the predictor's output after each of some labels */
    float *frames_part;  /* [n_frames][joint_hidden], after calibration of joint.enc */
    float *labels_part;  /* [LABELS][joint_hidden] */
    conure_progress_fn progress;
    void *user;
    int cancel;          /* set when progress says so */
    conure_error *err;
} calibration;

static float *weights_of(const conure_model *model, const char *name)
{
    return (float *)conure_model_tensor(model, name)->data; /* made by us a moment ago, rows, f32 */
}

static void keep_front(void *user, const char *name, uint32_t row, const float *data, uint32_t rows, uint32_t cols)
{
    calibration *c = user;
    (void)row;
    if (c->progress && !c->progress(c->user, CALIBRATION_AT)) /* asked after every layer */
        c->cancel = 1;
    if (strcmp(name, "subsampling") == 0)
        memcpy(c->front, data, (size_t)rows * cols * sizeof *data);
}

/* Features of synthetic speech. */
static conure_status listen(calibration *c, uint64_t seed)
{
    const conure_config *config = &c->model->config;
    const uint64_t n = (uint64_t)CALIBRATION_S * config->sample_rate_hz;
    float *pcm = conure_calloc(n, sizeof *pcm);
    conure_mel *mel = NULL;
    conure_status status = pcm ? conure_mel_open(&mel, config, NULL, NULL, c->err) : conure_fail_memory(c->err, "calibration", n * sizeof *pcm);
    if (status == CONURE_OK) {
        c->n_mel = (uint32_t)conure_mel_frames(mel, n);
        c->n_frames = (c->n_mel + 7) / 8;
        c->mel = conure_calloc((size_t)c->n_mel * config->mel_bins, sizeof *c->mel);
        c->encoded = conure_calloc((size_t)c->n_frames * config->d_model, sizeof *c->encoded);
        c->front = conure_calloc((size_t)c->n_frames * config->d_model, sizeof *c->front);
        c->outputs = conure_calloc((size_t)LABELS * config->pred_hidden, sizeof *c->outputs);
        c->frames_part = conure_calloc((size_t)c->n_frames * config->joint_hidden, sizeof *c->frames_part);
        c->labels_part = conure_calloc((size_t)LABELS * config->joint_hidden, sizeof *c->labels_part);
        if (!c->mel || !c->encoded || !c->front || !c->outputs || !c->frames_part || !c->labels_part)
            status = conure_fail_memory(c->err, "calibration", (size_t)c->n_mel * config->mel_bins * sizeof *c->mel);
    }
    if (status == CONURE_OK) {
        conure_synthetic_speech(pcm, n, seed);
        status = conure_mel_raw(mel, NULL, pcm, n, 0, c->n_mel, c->mel, c->err);
    }
    if (status == CONURE_OK)
        conure_mel_normalize(c->mel, c->n_mel, config->mel_bins);
    conure_mel_close(&mel);
    free(pcm);
    return status;
}

/* The predictor's output after each of some labels, from the start. */
static conure_status run_predictor(calibration *c, const conure_engine *engine, void *self, uint64_t seed)
{
    const conure_config *config = &c->model->config;
    const size_t state = (size_t)config->pred_layers * config->pred_hidden;
    float *h = conure_calloc(2 * state + config->joint_hidden, sizeof *h);
    conure_status status = h ? CONURE_OK : conure_fail_memory(c->err, "calibration", 2 * state * sizeof *h);
    for (uint32_t i = 0; i < LABELS && status == CONURE_OK; i++) {
        const uint32_t label = (uint32_t)(conure_random_unit(seed + 1, i) * config->vocab_size);
        memset(h, 0, 2 * state * sizeof *h);
        status = engine->predict(self, &label, h, h + state, 1, h + 2 * state, c->err);
        memcpy(c->outputs + (size_t)i * config->pred_hidden, h + state - config->pred_hidden, config->pred_hidden * sizeof *h);
    }
    free(h);
    return status;
}

/* Run the encoder and the predictor with the weights as they are now. */
static conure_status observe(calibration *c, uint64_t seed)
{
    const conure_engine *engine = &conure_engine_native_cpu;
    const uint32_t processors = conure_processors();
    const conure_engine_options options = {.n_threads = processors < 16 ? processors : 16,
                                           .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_EXACT,
                                           .cancel = &c->cancel};
    conure_encode_row row = {.mel = c->mel, .n_frames = c->n_mel, .n_valid = c->n_mel, .out = c->encoded, .n_out_cap = c->n_frames};
    void *self = NULL;
    conure_status status = conure_engine_open(&self, engine, c->model, &options, c->err);
    if (status == CONURE_OK) {
        engine->set_probe(self, keep_front, c);
        status = engine->encode(self, &row, 1, c->err);
    }
    if (status == CONURE_OK)
        status = run_predictor(c, engine, self, seed);
    if (self)
        engine->close(&self);
    return status;
}

/* Centre and scale what the subsampling gives, through the weights and bias of its last product: rows
 * W x + b become a (W x + b - mean) per output. */
static void centre_front(calibration *c)
{
    const size_t d = c->model->config.d_model, n = c->n_frames;
    const conure_tensor *tensor = conure_model_tensor(c->model, "encoder.pre_encode.out.weight");
    float *w = (float *)tensor->data, *b = weights_of(c->model, "encoder.pre_encode.out.bias");
    const size_t k = (size_t)tensor->shape[1];
    for (size_t i = 0; i < d; i++) {
        double mean = 0, squares = 0;
        for (size_t t = 0; t < n; t++)
            mean += c->front[t * d + i] / (double)n;
        for (size_t t = 0; t < n; t++)
            squares += (c->front[t * d + i] - mean) * (c->front[t * d + i] - mean);
        const double factor = FRONT_SPREAD / sqrt(squares / (double)n + 1e-30);
        for (size_t j = 0; j < k; j++)
            w[i * k + j] = (float)(w[i * k + j] * factor);
        b[i] = (float)((b[i] - mean) * factor);
    }
}

/* Scale W [n][k] and set b [n] so that W x + b over the rows x [rows][k] has mean 0 and deviation spread;
 * out [rows][n] receives it. */
static void centre(float *w, float *b, const float *x, size_t rows, size_t n, size_t k, double spread, float *out)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        double mean = 0;
        for (size_t r = 0; r < rows; r++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += (double)w[i * k + j] * x[r * k + j];
            out[r * n + i] = (float)sum;
            mean += sum / (double)rows;
        }
        b[i] = (float)-mean;
        for (size_t r = 0; r < rows; r++) {
            out[r * n + i] -= (float)mean;
            squares += (double)out[r * n + i] * out[r * n + i];
        }
    }
    const float factor = (float)(spread / sqrt(squares / ((double)rows * (double)n) + 1e-30));
    for (size_t i = 0; i < n * k; i++)
        w[i] *= factor;
    for (size_t i = 0; i < n; i++)
        b[i] *= factor;
    for (size_t i = 0; i < rows * n; i++)
        out[i] *= factor;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Outputs: centred on what the sampled pairs of frame and label give; then blank and durations. */
static conure_status set_outputs(calibration *c)
{
    const conure_config *config = &c->model->config;
    const size_t joint = config->joint_hidden, V = config->vocab_size, outputs = V + 1 + config->n_durations;
    const size_t pairs = (size_t)SAMPLED_FRAMES * SAMPLED_LABELS;
    float *w = weights_of(c->model, "joint.joint_net.2.weight"), *b = weights_of(c->model, "joint.joint_net.2.bias");
    float *hidden = conure_calloc(pairs * joint + joint + 2 * pairs, sizeof *hidden);
    if (!hidden)
        return conure_fail_memory(c->err, "calibration", pairs * joint * sizeof *hidden);
    float *mean = hidden + pairs * joint, *top = mean + joint, *blank = top + pairs;
    for (size_t p = 0; p < pairs; p++) {
        const float *f = c->frames_part + (p / SAMPLED_LABELS) * c->n_frames / SAMPLED_FRAMES * joint;
        const float *l = c->labels_part + (p % SAMPLED_LABELS) * joint;
        top[p] = -INFINITY;
        for (size_t j = 0; j < joint; j++) {
            hidden[p * joint + j] = f[j] + l[j] > 0 ? f[j] + l[j] : 0;
            mean[j] += hidden[p * joint + j] / (float)pairs;
        }
    }
    for (size_t i = 0; i < outputs; i++) {
        double sum = 0;
        for (size_t j = 0; j < joint; j++)
            sum += (double)w[i * joint + j] * mean[j];
        b[i] = (float)-sum;
        for (size_t p = 0; p < pairs && i <= V; p++) {
            float z = b[i];
            for (size_t j = 0; j < joint; j++)
                z += w[i * joint + j] * hidden[p * joint + j];
            if (i == V)
                blank[p] = z;
            else
                top[p] = z > top[p] ? z : top[p];
        }
    }
    for (size_t p = 0; p < pairs; p++)
        top[p] -= blank[p];
    qsort(top, pairs, sizeof *top, by_value);
    b[V] += top[(size_t)(BLANK_QUANTILE * (double)pairs)];
    for (size_t i = (V + 1) * joint; i < outputs * joint; i++)
        w[i] *= 0.6f;
    for (size_t i = V + 1; i < outputs; i++)
        b[i] *= 0.6f;
    b[V + 1] -= 1.2f; /* duration 0 is rare in speech, 1 is common, the longest less so */
    b[V + 2] += 0.5f;
    b[outputs - 1] -= 0.5f;
    free(hidden);
    return CONURE_OK;
}

static conure_status calibrate(conure_model *model, uint64_t seed, conure_progress_fn progress, void *user, conure_error *err)
{
    const conure_config *config = &model->config;
    calibration c = {.model = model, .progress = progress, .user = user, .err = err};
    conure_status status = listen(&c, seed);
    if (status == CONURE_OK)
        status = observe(&c, seed);
    if (status == CONURE_OK) {
        centre_front(&c);
        status = observe(&c, seed);
    }
    if (status == CONURE_OK) {
        centre(weights_of(model, "joint.enc.weight"), weights_of(model, "joint.enc.bias"), c.encoded, c.n_frames,
               config->joint_hidden, config->d_model, ENCODER_SPREAD, c.frames_part);
        centre(weights_of(model, "joint.pred.weight"), weights_of(model, "joint.pred.bias"), c.outputs, LABELS,
               config->joint_hidden, config->pred_hidden, PREDICTOR_SPREAD, c.labels_part);
        status = set_outputs(&c);
    }
    free(c.mel);
    free(c.front);
    free(c.encoded);
    free(c.outputs);
    free(c.frames_part);
    free(c.labels_part);
    return status;
}

/* Parts of the work as fractions of all of it. */
typedef struct part_progress {
    conure_progress_fn fn;
    void *user;
    double first, last;
} part_progress;

static bool in_part(void *user, double fraction)
{
    const part_progress *p = user;
    return !p->fn || p->fn(p->user, p->first + (p->last - p->first) * fraction);
}

conure_status conure_model_random(const char *path, const char *preset, uint32_t n_layers, uint64_t seed, const char *weights,
                                  conure_progress_fn progress, void *user, conure_error *err)
{
    conure_model *model = NULL;
    part_progress making = {progress, user, 0, CALIBRATION_AT}, writing = {progress, user, WRITING_AT, 1};
    conure_status status = conure_model_random_open(&model, preset, n_layers, seed, in_part, &making, err);
    if (status == CONURE_OK)
        status = calibrate(model, seed, progress, user, err);
    if (status == CONURE_OK)
        status = conure_model_convert(model, path, weights, in_part, &writing, err);
    conure_model_close(&model);
    return status;
}

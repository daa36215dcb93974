/* compare.c - one clip through an engine, stage by stage, against reference tensors. */
#include "compare.h"

#include "decode/tdt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *compare_engine = "cpu";
long compare_checks, compare_failures;

static void check(bool ok, const char *prefix, const char *what, double got, double limit)
{
    compare_checks++;
    if (!ok)
        compare_failures++;
    if (!ok || getenv("CONURE_TEST_VERBOSE"))
        fprintf(stderr, "%s%s: difference %.3g, at most %.3g%s\n", prefix, what, got, limit, ok ? "" : "  FAILED");
}

bool open_engine(opened *o, const char *path, conure_precision precision, conure_mask mask, uint32_t n_threads,
                 const char *isa)
{
    conure_error err = {""};
    *o = (opened){0};
    if (conure_model_open(&o->model, path, NULL, &err) != CONURE_OK ||
        conure_engine_find(&o->engine, compare_engine, &err) != CONURE_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        close_engine(o);
        return false;
    }
    const conure_engine_options options = {
        .isa = strcmp(compare_engine, "cpu") == 0 ? isa : NULL, .n_threads = n_threads, .precision = conure_engine_precision(o->engine, o->model, o->engine->precision ? 0 : precision),
        .mask = mask ? mask : o->model->config.mask};
    if (o->engine->open(&o->self, o->model, &options, &err) != CONURE_OK) {
        fprintf(stderr, "%s: %s\n", path, err.text);
        close_engine(o);
        return false;
    }
    return true;
}

void close_engine(opened *o)
{
    if (o->self)
        o->engine->close(&o->self);
    conure_model_close(&o->model);
}

float *turned(const float *x, uint32_t rows, uint32_t cols)
{
    float *y = malloc((size_t)rows * cols * sizeof *y + 1);
    for (uint32_t r = 0; y && r < rows; r++)
        for (uint32_t c = 0; c < cols; c++)
            y[(size_t)c * rows + r] = x[(size_t)r * cols + c];
    return y;
}

double worst(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        if (!(d <= most))
            most = isnan(d) ? INFINITY : d;
    }
    return most;
}

typedef struct probe_data {
    golden *g;
    const char *prefix;
    const stage_tolerance *tolerance;
    uint32_t n_layers;
    float scale; /* of the subsampling's rows: NeMo's tensor is from before xscaling, ours from after */
    int compared;
} probe_data;

static void probe(void *user, const char *name, uint32_t row, const float *data, uint32_t rows, uint32_t cols)
{
    probe_data *p = user;
    char key[128];
    const bool layer = strncmp(name, "layer.", 6) == 0;
    const uint32_t index = layer ? (uint32_t)atoi(name + 6) : 0;
    (void)row;
    if (layer)
        snprintf(key, sizeof key, "%slayer%u", p->prefix, index);
    else
        snprintf(key, sizeof key, "%s%s", p->prefix, name);
    if (!golden_has(p->g, key))
        return;
    const float *want = golden_f32(p->g, key, rows, cols);
    const float limit = !layer ? p->tolerance->subsampling : index + 1 < p->n_layers ? p->tolerance->layer_first : p->tolerance->layer_last;
    double got = want ? 0 : INFINITY;
    for (size_t i = 0; want && i < (size_t)rows * cols; i++) {
        const double d = fabs((double)data[i] / (layer ? 1.0f : p->scale) - want[i]);
        got = d <= got ? got : isnan(d) ? INFINITY : d;
    }
    check(got <= limit, p->prefix, name, got, limit);
    p->compared++;
}

/* Encoder rows of a golden mel; freed by the caller. */
static float *encode(opened *o, golden *g, const char *mel_name, uint32_t *n_out, uint32_t *n_valid)
{
    const conure_config *c = &o->model->config;
    const uint32_t frames = (uint32_t)golden_dim(g, mel_name, 1);
    const float *mel = golden_f32(g, mel_name, c->mel_bins, frames);
    float *rows = mel ? turned(mel, c->mel_bins, frames) : NULL;
    const uint32_t cap = frames / 8 + 1;
    float *out = malloc((size_t)cap * c->d_model * sizeof *out);
    /* NeMo's front end computes one column more than is valid (spec 1.2). */
    conure_encode_row row = {.mel = rows, .n_frames = frames, .n_valid = frames - 1, .out = out, .n_out_cap = cap};
    conure_error err = {""};
    if (!rows || !out || o->engine->encode(o->self, &row, 1, &err) != CONURE_OK) {
        fprintf(stderr, "%s: %s\n", mel_name, err.text);
        compare_failures++;
        free(out);
        out = NULL;
    }
    free(rows);
    *n_out = row.n_out;
    *n_valid = row.n_out_valid;
    return out;
}

/* Replay the recorded decoder steps: the same frames and labels, every tensor of each. */
static int compare_steps(opened *o, golden *g, const char *prefix, const float *encoder, float limit)
{
    const conure_config *c = &o->model->config;
    const uint32_t L = c->pred_layers, H = c->pred_hidden, J = c->joint_hidden, V = c->vocab_size, O = V + 1 + c->n_durations;
    char key[128];
#define KEY(name) (snprintf(key, sizeof key, "%s" name, prefix), key)
    if (!golden_has(g, KEY("step_logits")))
        return 0;
    const int64_t n = golden_dim(g, key, 0);
    const float *logits = golden_f32(g, KEY("step_logits"), n, O), *h = golden_f32(g, KEY("step_h"), n, L, H);
    const float *cc = golden_f32(g, KEY("step_c"), n, L, H), *proj = golden_f32(g, KEY("step_enc_proj"), n, J);
    const float *pred = golden_f32(g, KEY("step_pred"), n, H);
    const int64_t *frame = golden_i64(g, KEY("step_frame"), n), *label = golden_i64(g, KEY("step_label"), n);
#undef KEY
    float *state = calloc(2 * (size_t)L * H, sizeof *state), *out = malloc(J * sizeof *out), *z = malloc(O * sizeof *z);
    float *projected = malloc(J * sizeof *projected);
    double most[5] = {0};
    conure_error err = {""};
    bool ok = logits && h && cc && proj && pred && frame && label && state && out && z && projected;
    for (int64_t i = 0; ok && i < n; i++) {
        const uint32_t token = (uint32_t)label[i];
        /* a new label, or the same label again after it was emitted twice: then the state has moved */
        const bool moved = i == 0 || memcmp(h + i * L * H, h + (i - 1) * L * H, (size_t)L * H * sizeof *h) != 0;
        if (moved)
            ok = o->engine->predict(o->self, &token, state, state + (size_t)L * H, 1, out, &err) == CONURE_OK;
        ok = ok && o->engine->project(o->self, encoder + frame[i] * c->d_model, 1, projected, &err) == CONURE_OK;
        const float *a = projected, *b = out;
        ok = ok && o->engine->joint(o->self, &a, &b, 1, z, &err) == CONURE_OK;
        const double d[5] = {worst(state, h + i * L * H, (size_t)L * H), worst(state + (size_t)L * H, cc + i * L * H, (size_t)L * H),
                             worst(projected, proj + i * J, J), worst(z, logits + i * O, O),
                             worst(state + (size_t)(L - 1) * H, pred + i * H, H)};
        for (int k = 0; k < 5; k++)
            most[k] = d[k] > most[k] ? d[k] : most[k];
    }
    static const char *const names[5] = {"step_h", "step_c", "step_enc_proj", "step_logits", "step_pred"};
    for (int k = 0; k < 5; k++)
        check(ok && most[k] <= limit, prefix, names[k], most[k], limit);
    if (!ok)
        fprintf(stderr, "%ssteps: %s\n", prefix, err.text);
    free(state);
    free(out);
    free(z);
    free(projected);
    return 5;
}

static bool compare_encoder(golden *g, const char *prefix, const float *rows, uint32_t n_out, uint32_t d, float limit)
{
    char key[128];
    snprintf(key, sizeof key, "%sencoder", prefix);
    if (!golden_has(g, key))
        return false;
    const float *want = golden_f32(g, key, d, n_out);
    float *got = turned(rows, n_out, d);
    const double difference = want && got ? worst(got, want, (size_t)n_out * d) : INFINITY;
    check(difference <= limit, prefix, "encoder", difference, limit);
    free(got);
    return true;
}

int compare_clip(opened *o, golden *g, const char *prefix, const stage_tolerance *tolerance)
{
    char key[128];
    uint32_t n_out = 0, n_valid = 0;
    const float *want;
    probe_data p = {g, prefix, tolerance, o->model->config.n_layers,
                    o->model->config.xscaling ? sqrtf((float)o->model->config.d_model) : 1.0f, 0};
    snprintf(key, sizeof key, "%smel", prefix);
    if (o->engine->set_probe) /* a runtime shows no stages */
        o->engine->set_probe(o->self, probe, &p);
    float *rows = encode(o, g, key, &n_out, &n_valid);
    if (o->engine->set_probe)
        o->engine->set_probe(o->self, NULL, NULL);
    snprintf(key, sizeof key, "%sencoder", prefix);
    if (rows && compare_encoder(g, prefix, rows, n_out, o->model->config.d_model, tolerance->encoder))
        p.compared++;
    /* The decoder starts from the reference's encoder output: its projection may amplify the encoder's
     * rounding differences, which are judged above. */
    want = golden_has(g, key) ? golden_f32(g, key, o->model->config.d_model, n_out) : NULL;
    float *reference = want ? turned(want, o->model->config.d_model, n_out) : NULL;
    if (reference)
        p.compared += compare_steps(o, g, prefix, reference, tolerance->logits);
    free(reference);
    free(rows);
    return p.compared;
}

static void compare_list(golden *g, const char *prefix, const char *name, const conure_tdt *tdt, size_t offset)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    const int64_t n = golden_dim(g, key, 0);
    const int64_t *want = golden_i64(g, key, n);
    compare_checks++;
    int64_t same = 0;
    for (uint32_t i = 0; want && i < tdt->n_tokens && i < n; i++, same++)
        if (*(const uint32_t *)((const char *)&tdt->tokens[i] + offset) != want[i])
            break;
    if (same == n && tdt->n_tokens == n)
        return;
    compare_failures++;
    fprintf(stderr, "%s: %u, expected %lld; the first %lld agree\n", key, tdt->n_tokens, (long long)n, (long long)same);
}

void compare_tokens(opened *o, golden *mels, const char *mel_name, golden *g, const char *prefix, float limit)
{
    const conure_config *c = &o->model->config;
    const conure_tdt_options options = {c->max_symbols, NULL};
    conure_tdt_room room = {0};
    conure_tdt tdt = {0};
    conure_error err = {""};
    uint32_t n_out = 0, n_valid = 0;
    float *rows = encode(o, mels, mel_name, &n_out, &n_valid);
    if (rows && limit > 0)
        compare_encoder(g, prefix, rows, n_out, c->d_model, limit);
    float *projected = malloc((size_t)(n_out + 1) * c->joint_hidden * sizeof *projected);
    conure_status status = rows && projected ? conure_tdt_open(&tdt, c, NULL, &err) : CONURE_NO_MEMORY;
    if (status == CONURE_OK)
        status = o->engine->project(o->self, rows, n_valid, projected, &err);
    conure_tdt_chunk chunk = {.tdt = &tdt, .frames = projected, .n_frames = n_valid};
    if (status == CONURE_OK)
        status = conure_tdt_decode(o->engine, o->self, c, &options, &room, &chunk, 1, &err);
    check(status == CONURE_OK, prefix, err.text, (double)status, 0);
    compare_list(g, prefix, "tokens", &tdt, offsetof(conure_tdt_token, id));
    compare_list(g, prefix, "frames", &tdt, offsetof(conure_tdt_token, frame));
    compare_list(g, prefix, "durations", &tdt, offsetof(conure_tdt_token, duration));
    conure_tdt_close(&tdt);
    conure_tdt_room_free(&room);
    free(projected);
    free(rows);
}

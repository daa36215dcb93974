/* stage_reference.c - the reference itself on trial: against what NeMo stored, of a clip from samples to confidences, and of steps. */
#include "clearance/stages.h"

#include "base/memory.h"
#include "base/threads.h"
#include "clearance/parity.h"
#include "model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How close float32 is to NeMo's float32, with room: measured differences of the small models are 2e-6 (steps), 1e-5 (encoder of a clip, whose
 * features differ already), 3e-5 (features, in deviations) and 3e-6 (confidences, where durations among the
 * labels would move them by 3e-5). */
static const double mel_max = 5e-4, encoder_max = 2e-3, steps_max = 1e-4, confidence_max = 1e-5;

/* ---- the front end ---------------------------------------------------------------------------- */

static conure_status read_table(const conure_model *model, const char *name, uint64_t n, float **out, conure_error *err)
{
    const conure_tensor *tensor = conure_model_tensor(model, name);
    if (!tensor)
        return CONURE_OK; /* computed */
    *out = conure_calloc(n, sizeof **out);
    return *out ? conure_tensor_read_f32(tensor, *out, n, err) : conure_fail_memory(err, name, n * sizeof **out);
}

conure_status conure_clearing_mel(conure_mel **out, const conure_model *model, conure_error *err)
{
    const conure_config *c = &model->config;
    float *window = NULL, *filters = NULL;
    conure_status status = read_table(model, "preprocessor.featurizer.window", c->window_samples, &window, err);
    if (status == CONURE_OK)
        status = read_table(model, "preprocessor.featurizer.fb", (uint64_t)c->mel_bins * (c->n_fft / 2 + 1), &filters, err);
    if (status == CONURE_OK)
        status = conure_mel_open(out, c, window, filters, err);
    free(window);
    free(filters);
    return status;
}

/* ---- a stored file ---------------------------------------------------------------------------- */

typedef struct stored {
    const conure_stored_clip *clip;
    conure_map map;
    conure_safetensors st;
    conure_error *err;
} stored;

static conure_status stored_tensor(const stored *s, const char *name, uint32_t rank, conure_dtype dtype, conure_tensor *out)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", s->clip->prefix, name);
    const json_t *entry = json_object_get(s->st.header, full);
    if (!entry)
        return conure_fail(s->err, CONURE_BAD_FILE, "%s lacks %s", s->clip->what, full);
    const conure_status status = conure_safetensors_entry(&s->st, full, entry, out, s->err);
    if (status == CONURE_OK && (out->rank != rank || out->dtype != dtype))
        return conure_fail(s->err, CONURE_BAD_FILE, "%s: %s is of another type or rank", s->clip->what, full);
    return status;
}

static int64_t integer(const conure_tensor *t, uint64_t i)
{
    int64_t x;
    memcpy(&x, (const uint8_t *)t->data + 8 * i, sizeof x);
    return x;
}

static float real(const conure_tensor *t, uint64_t i)
{
    float x;
    memcpy(&x, (const uint8_t *)t->data + 4 * i, sizeof x);
    return x;
}

static void check(json_t *out, const stored *s, conure_gate gate, const char *what, double value, const char *relation, double limit)
{
    char text[256];
    snprintf(text, sizeof text, "%s: %s", s->clip->what, what);
    conure_evidence_check(out, gate, text, value, relation, limit, CONURE_GATE_FAIL, NULL);
}

/* Largest difference between rows [n][width] of ours and columns [width][>= n] of NeMo's; infinite for what is not finite. */
static double distance(const conure_tensor *want, const float *got, uint64_t n, uint64_t width)
{
    double most = 0;
    if (want->shape[0] != width || want->shape[1] < n)
        return INFINITY;
    for (uint64_t t = 0; t < n; t++)
        for (uint64_t b = 0; b < width; b++) {
            const double d = fabs((double)got[t * width + b] - real(want, b * want->shape[1] + t));
            most = d <= most ? most : isnan(d) ? INFINITY : d;
        }
    return most;
}

/* ---- features, encoder ------------------------------------------------------------------------ */

static conure_status features(json_t *out, const stored *s, float **mel, uint64_t *n)
{
    const conure_stored_clip *c = s->clip;
    const uint32_t bins = c->model->config.mel_bins;
    conure_mel *plan = NULL;
    conure_tensor want;
    conure_status status = stored_tensor(s, "mel", 2, CONURE_F32, &want);
    if (status == CONURE_OK)
        status = conure_clearing_mel(&plan, c->model, s->err);
    *n = plan ? conure_mel_frames(plan, c->n_samples) : 0;
    if (status == CONURE_OK && !(*mel = conure_calloc((size_t)*n * bins, sizeof **mel)))
        status = conure_fail_memory(s->err, "features", (size_t)*n * bins * sizeof **mel);
    if (status == CONURE_OK)
        status = conure_mel_raw(plan, NULL, c->pcm, c->n_samples, 0, *n, *mel, s->err);
    conure_mel_close(&plan);
    if (status != CONURE_OK)
        return status;
    conure_mel_normalize(*mel, *n, bins);
    check(out, s, CONURE_GATE_FEATURES, "largest difference of the features to NeMo's, in deviations", distance(&want, *mel, *n, bins), "<=", mel_max);
    return CONURE_OK;
}

static conure_status encoder(json_t *out, const stored *s, const conure_clearing *c, const float *mel, uint64_t n)
{
    const conure_model *model = s->clip->model;
    const uint32_t rows = (uint32_t)n / 8 + 2, d = model->config.d_model;
    conure_engine_spec spec;
    const conure_engine *engine = NULL;
    void *self = NULL;
    conure_tensor want;
    float *got = conure_calloc((size_t)rows * d, sizeof *got);
    conure_status status = got ? stored_tensor(s, "encoder", 2, CONURE_F32, &want) : conure_fail_memory(s->err, "frames", rows * d);
    if (status == CONURE_OK)
        status = conure_engine_spec_parse(&spec, c->reference, s->err);
    if (status == CONURE_OK)
        status = conure_engine_find(&engine, spec.engine, s->err);
    if (status == CONURE_OK) {
        conure_engine_options options = conure_engine_spec_options(&spec, c->options.n_threads);
        options.precision = conure_engine_precision(engine, model, spec.precision);
        options.mask = CONURE_MASK_NEMO;
        options.cancel = c->options.cancel;
        options.log = c->options.log;
        status = conure_engine_open(&self, engine, model, &options, s->err);
    }
    conure_encode_row row = {.mel = mel, .n_frames = (uint32_t)n, .n_valid = (uint32_t)n, .out = got, .n_out_cap = rows};
    if (status == CONURE_OK)
        status = engine->encode(self, &row, 1, s->err);
    if (status == CONURE_OK)
        check(out, s, CONURE_GATE_REFERENCE, "largest difference of the encoder's output to NeMo's", distance(&want, got, row.n_out_valid, d), "<=",
              encoder_max);
    if (self)
        engine->close(&self);
    free(got);
    return status;
}

/* ---- tokens, confidences ---------------------------------------------------------------------- */

/* Tokens that differ in number, frame or duration. */
static double different(const conure_result *r, const conure_tensor *ids, const conure_tensor *frames, const conure_tensor *durations)
{
    const uint64_t n = ids->shape[0];
    double bad = fabs((double)n - r->n_tokens);
    if (frames->shape[0] != n || durations->shape[0] != n)
        return INFINITY;
    for (uint64_t i = 0; i < n && i < r->n_tokens; i++)
        bad += r->tokens[i].id != integer(ids, i) || r->tokens[i].frame != integer(frames, i) || r->tokens[i].duration != integer(durations, i);
    return bad;
}

/* Softmax over labels and blank of NeMo's logits, for the steps that gave a token. */
static double confidence_distance(const conure_result *r, const conure_tensor *logits, const conure_tensor *labels, uint32_t vocab, uint64_t *n)
{
    const uint64_t width = logits->shape[1];
    double most = 0;
    *n = 0;
    if (width <= vocab || labels->shape[0] != logits->shape[0])
        return INFINITY;
    for (uint64_t k = 0; k < logits->shape[0]; k++) {
        const int64_t label = integer(labels, k);
        double sum = 0;
        if (label < 0 || label >= vocab || *n >= r->n_tokens)
            continue;
        for (uint64_t v = 0; v <= vocab; v++)
            sum += exp((double)real(logits, k * width + v) - real(logits, k * width + (uint64_t)label));
        const double d = fabs(1 / sum - r->tokens[*n].confidence);
        most = d <= most ? most : isnan(d) ? INFINITY : d;
        ++*n;
    }
    return most;
}

static conure_status transcript(json_t *out, const stored *s, const conure_clearing *c)
{
    const conure_stored_clip *clip = s->clip;
    conure_recognizer_options o;
    conure_recognizer *recognizer = NULL;
    conure_result *result = NULL;
    conure_tensor ids, frames, durations, logits, labels;
    uint64_t n = 0;
    conure_recognizer_options_init(&o);
    o.engine = c->reference;
    o.n_threads = c->options.n_threads;
    o.mask = CONURE_MASK_NEMO;
    o.cancel = c->options.cancel;
    conure_status status = conure_recognizer_open(&recognizer, clip->model, &o, s->err);
    if (status == CONURE_OK)
        status = conure_transcribe(recognizer, &clip->pcm, &clip->n_samples, 1, &result, s->err);
    if (status == CONURE_OK)
        status = stored_tensor(s, "tokens", 1, CONURE_I64, &ids);
    if (status == CONURE_OK)
        status = stored_tensor(s, "frames", 1, CONURE_I64, &frames);
    if (status == CONURE_OK)
        status = stored_tensor(s, "durations", 1, CONURE_I64, &durations);
    if (status == CONURE_OK)
        status = stored_tensor(s, "step_logits", 2, CONURE_F32, &logits);
    if (status == CONURE_OK)
        status = stored_tensor(s, "step_token", 1, CONURE_I64, &labels);
    if (status == CONURE_OK) {
        check(out, s, CONURE_GATE_REFERENCE, "tokens with another number, frame or duration than NeMo's", different(result, &ids, &frames, &durations),
              "==", 0);
        const double d = confidence_distance(result, &logits, &labels, clip->model->config.vocab_size, &n);
        check(out, s, CONURE_GATE_CONFIDENCE, "largest difference of a confidence to the softmax of NeMo's logits", n ? d : NAN, "<=", confidence_max);
    }
    conure_result_free(&result);
    conure_recognizer_close(&recognizer);
    return status;
}

static conure_status one_clip(json_t *out, const conure_stored_clip *clip, const conure_clearing *c, conure_error *err)
{
    stored s = {.clip = clip, .map = {.data = clip->tensors, .bytes = clip->bytes}, .err = err};
    float *mel = NULL;
    uint64_t n = 0;
    conure_status status = conure_safetensors_open(&s.st, &s.map, clip->what, err);
    if (status == CONURE_OK)
        status = features(out, &s, &mel, &n);
    if (status == CONURE_OK)
        status = encoder(out, &s, c, mel, n);
    if (status == CONURE_OK)
        status = transcript(out, &s, c);
    conure_safetensors_close(&s.st);
    free(mel);
    return status;
}

/* ---- steps ------------------------------------------------------------------------------------ */

static conure_status one_case(json_t *out, const conure_stored_steps *steps, const conure_clearing *c, conure_error *err)
{
    conure_source *source = NULL;
    conure_candidate *reference = NULL;
    conure_parity_report *r = malloc(sizeof *r);
    conure_tolerance none = {.slope_per_chunk = INFINITY, .speech_chunks = -1};
    char what[320];
    for (conure_measured m = 0; m < CONURE_MEASURED; m++)
        none.limits[m] = (conure_limits){INFINITY, INFINITY, INFINITY};
    conure_status status = r ? conure_source_nemo(&source, steps->file, steps->name, c->model, err) : conure_fail_memory(err, "a report", sizeof *r);
    if (status == CONURE_OK)
        status = conure_candidate_open(&reference, c->reference, source->contract, c->model, &c->options, err);
    const conure_parity_options o = {.mode = CONURE_PARITY_CLOSED_LOOP, .tolerance = &none};
    if (status == CONURE_OK)
        status = conure_parity_run(r, source, reference, &o, err);
    for (conure_measured m = 0; m < CONURE_MEASURED && status == CONURE_OK; m++) {
        const conure_parity_tensor *t = &r->tensors[m];
        if (!t->n_chunks)
            continue;
        snprintf(what, sizeof what, "%.120s, %.60s: %s, largest difference to NeMo's", steps->file, steps->name, conure_measured_name(m));
        conure_evidence_check(out, CONURE_GATE_REFERENCE, what, t->errors.n_not_finite ? NAN : t->errors.max, "<=", steps_max, CONURE_GATE_FAIL, NULL);
    }
    if (status == CONURE_OK) {
        snprintf(what, sizeof what, "%.120s, %.60s: lengths that are not NeMo's, in %llu steps", steps->file, steps->name,
                 (unsigned long long)r->n_chunks);
        conure_evidence_check(out, CONURE_GATE_REFERENCE, what, (double)(r->lengths[0].n_bad + r->lengths[1].n_bad), "==", 0, CONURE_GATE_FAIL, NULL);
    }
    conure_candidate_close(&reference);
    conure_source_close(&source);
    free(r);
    return status;
}

conure_status conure_stage_reference(json_t *out, const conure_clearing *c, conure_error *err)
{
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < c->n_stored_clips && status == CONURE_OK; i++)
        status = one_clip(out, &c->stored_clips[i], c, err);
    for (uint32_t i = 0; i < c->n_stored_steps && c->model && status == CONURE_OK; i++)
        status = one_case(out, &c->stored_steps[i], c, err);
    return status;
}

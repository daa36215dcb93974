/* noise_floor.c - see noise_floor.h. */
#include "clearance/noise_floor.h"

#include "base/memory.h"
#include "base/system.h"
#include "clearance/plot.h"
#include "model/random.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the two engines do side by side; [0] is the reference. */
typedef struct measuring {
    const conure_contract *k;
    const conure_noise_options *o;
    conure_noise_report *report;
    const conure_engine *engine[2];
    void *self[2];
    conure_state *state[2];
    float *mel, *out[2], *channel[2], *time[2];
    size_t channel_floats, time_floats;
    uint32_t out_cap;
    conure_error *err;
} measuring;

const char *conure_noise_name(conure_noise_tensor tensor)
{
    static const char *const names[CONURE_NOISE_TENSORS] = {"encoder_output", "cache_last_channel", "cache_last_time", "offline"};
    return tensor < CONURE_NOISE_TENSORS ? names[tensor] : "";
}

double conure_noise_mean(const conure_noise *noise)
{
    return noise->n ? noise->sum / (double)noise->n : 0;
}

double conure_noise_cosine(const conure_noise *noise)
{
    const double norm = sqrt(noise->reference_square) * sqrt(noise->candidate_square);
    return norm > 0 ? noise->dot / norm : noise->reference_square == noise->candidate_square ? 1 : 0;
}

static void add(conure_noise *noise, const float *reference, const float *candidate, size_t n)
{
    size_t worst;
    double max, relative;
    conure_errors_add(&noise->errors, reference, candidate, n, &worst, &max, &relative);
    for (size_t i = 0; i < n; i++) {
        const double a = reference[i], b = candidate[i];
        noise->largest = fabs(a) > noise->largest ? fabs(a) : noise->largest;
        noise->dot += a * b;
        noise->reference_square += a * a;
        noise->candidate_square += b * b;
    }
    noise->n += n;
    noise->sum = noise->errors.sum;
    noise->max = noise->errors.max;
    noise->relative_max = noise->errors.relative_max;
}

/* Zeros in front of the valid rows would make every percentile 0. */
static void add_channel(conure_noise *noise, const conure_contract *k, const float *reference, const float *candidate, int64_t length)
{
    const size_t rows = k->streaming.cache_rows, d = k->d_model, valid = length <= 0 || length > (int64_t)rows ? rows : (size_t)length;
    for (size_t layer = 0; layer < k->n_layers; layer++)
        add(noise, reference + (layer * rows + rows - valid) * d, candidate + (layer * rows + rows - valid) * d, valid * d);
}

/* The first profile that serves the step; 0: none. */
static uint32_t frames_of(const conure_contract *k, bool first)
{
    for (uint32_t i = 0; i < k->n_profiles; i++) {
        const conure_steps steps = k->profiles[i].steps;
        if (steps == CONURE_STEPS_ALL || (steps == CONURE_STEPS_FIRST) == first)
            return k->profiles[i].t_opt;
    }
    return 0;
}

/* Where slice `chunk` of the audio begins, frames in front included; below 0 are zeros. */
static int64_t slice_begin(const conure_contract *k, uint64_t chunk)
{
    const conure_streaming *s = &k->streaming;
    const int64_t position = chunk == 0 ? 0 : (int64_t)s->shift_frames[0] + (int64_t)(chunk - 1) * s->shift_frames[1];
    return position - (int64_t)s->front_frames[chunk > 0];
}

/* Features of a slice into m->mel [n][bins]; false where the audio has ended. */
static bool make_features(measuring *m, uint64_t chunk, uint32_t n)
{
    const uint32_t bins = m->k->mel_bins;
    const int64_t begin = slice_begin(m->k, chunk);
    if (!m->o->mel) {
        for (size_t i = 0; i < (size_t)n * bins; i++)
            m->mel[i] = (float)((conure_random_unit(m->o->seed, (chunk << 40) + i) * 2 - 1) * 1.7320508075688772);
        return true;
    }
    if (begin + (int64_t)n > (int64_t)m->o->n_mel)
        return false;
    const size_t zeros = begin < 0 ? (size_t)-begin : 0;
    memset(m->mel, 0, zeros * bins * sizeof *m->mel);
    memcpy(m->mel + zeros * bins, m->o->mel + (size_t)(begin + (int64_t)zeros) * bins, (n - zeros) * bins * sizeof *m->mel);
    return true;
}

/* Both engines over the same frames. */
static conure_status encode(measuring *m, uint32_t n_frames, uint32_t drop_first, bool cached, uint32_t *n_out)
{
    double *const spent[2] = {&m->report->reference_s, &m->report->candidate_s};
    uint32_t n[2];
    for (int i = 0; i < 2; i++) {
        conure_encode_row row = {.mel = m->mel, .n_frames = n_frames, .n_valid = n_frames, .drop_first = drop_first,
                                 .state = cached ? m->state[i] : NULL, .out = m->out[i], .n_out_cap = m->out_cap};
        const double start_s = conure_now_s();
        const conure_status status = m->engine[i]->encode(m->self[i], &row, 1, m->err);
        *spent[i] += conure_now_s() - start_s;
        if (status != CONURE_OK)
            return status;
        n[i] = row.n_out_valid;
    }
    *n_out = n[0];
    return n[0] == n[1] ? CONURE_OK
                        : conure_fail(m->err, CONURE_BACKEND, "the candidate gives %u encoder frames, the reference %u: no noise", n[1], n[0]);
}

static conure_status one_step(measuring *m, uint64_t chunk, uint32_t n_frames)
{
    int64_t length[2] = {0, 0};
    uint32_t n_out;
    conure_status status = encode(m, n_frames, m->k->streaming.drop_extra[chunk > 0], true, &n_out);
    for (int i = 0; i < 2 && status == CONURE_OK; i++)
        status = m->engine[i]->state_export(m->self[i], m->state[i], m->channel[i], m->time[i], &length[i], m->err);
    if (status != CONURE_OK)
        return status;
    if (length[0] != length[1])
        return conure_fail(m->err, CONURE_BACKEND, "chunk %llu: the candidate's cache has %lld rows, the reference's %lld: no noise",
                           (unsigned long long)chunk, (long long)length[1], (long long)length[0]);
    n_out = n_out < m->k->streaming.valid_out ? n_out : m->k->streaming.valid_out;
    add(&m->report->tensors[CONURE_NOISE_ENCODER], m->out[0], m->out[1], (size_t)n_out * m->k->d_model);
    add_channel(&m->report->tensors[CONURE_NOISE_CHANNEL], m->k, m->channel[0], m->channel[1], length[0]);
    add(&m->report->tensors[CONURE_NOISE_TIME], m->time[0], m->time[1], m->time_floats);
    m->report->length = length[0];
    m->report->n_chunks++;
    m->report->n_speech += m->o->mel != NULL;
    return CONURE_OK;
}

static conure_status open_all(measuring *m, uint32_t longest)
{
    const conure_contract *k = m->k;
    const size_t row = (size_t)k->n_layers * k->d_model;
    conure_cache_options options;
    conure_contract_cache_options(k, &options);
    m->out_cap = longest / k->streaming.factor + 1;
    if (!conure_mul(row, k->streaming.cache_rows, &m->channel_floats) || !conure_mul(row, k->conv_left, &m->time_floats))
        return conure_fail_memory(m->err, "caches", SIZE_MAX);
    m->mel = conure_calloc((size_t)longest * k->mel_bins, sizeof *m->mel);
    for (int i = 0; i < 2; i++) {
        m->out[i] = conure_calloc((size_t)m->out_cap * k->d_model, sizeof(float));
        m->channel[i] = conure_calloc(m->channel_floats + 1, sizeof(float));
        m->time[i] = conure_calloc(m->time_floats + 1, sizeof(float));
        if (!m->mel || !m->out[i] || !m->channel[i] || !m->time[i])
            return conure_fail_memory(m->err, "tensors of a step", (m->channel_floats + m->time_floats) * sizeof(float));
        const conure_status status = m->engine[i]->state_open(m->self[i], &m->state[i], &options, m->err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

static void close_all(measuring *m)
{
    for (int i = 0; i < 2; i++) {
        if (m->state[i])
            m->engine[i]->state_close(m->self[i], &m->state[i]);
        free(m->out[i]);
        free(m->channel[i]);
        free(m->time[i]);
    }
    free(m->mel);
}

static conure_status run(measuring *m)
{
    const uint32_t frames[2] = {frames_of(m->k, true), frames_of(m->k, false)};
    const uint32_t longest = frames[1] > frames[0] ? frames[1] : frames[0];
    if (m->o->n_chunks == 0 || frames[0] == 0 || (m->o->n_chunks > 1 && frames[1] == 0))
        return conure_fail(m->err, CONURE_BAD_ARG, "no chunks, or no profile of the contract for %s steps", frames[0] ? "later" : "first");
    const uint64_t before = m->report->n_chunks;
    conure_status status = open_all(m, longest);
    for (uint64_t i = 0; i < m->o->n_chunks && status == CONURE_OK; i++) {
        if (!make_features(m, i, frames[i > 0]))
            break;
        status = one_step(m, i, frames[i > 0]);
        if (status == CONURE_OK && m->o->progress && !m->o->progress(m->o->progress_user, (double)(i + 1) / (double)(m->o->n_chunks + 1)))
            status = conure_fail(m->err, CONURE_CANCELLED, "cancelled");
    }
    if (status == CONURE_OK && m->report->n_chunks == before)
        status = conure_fail(m->err, CONURE_BAD_ARG, "the audio has %llu mel frames, the first step takes %u", (unsigned long long)m->o->n_mel,
                             frames[0]);
    uint32_t n_out = 0;
    if (status == CONURE_OK) { /* the last slice once more, as an utterance of its own */
        status = encode(m, frames[m->report->n_chunks > before + 1], 0, false, &n_out);
        if (status == CONURE_OK)
            add(&m->report->tensors[CONURE_NOISE_OFFLINE], m->out[0], m->out[1], (size_t)n_out * m->k->d_model);
    }
    return status;
}

conure_status conure_noise_floor_run(conure_noise_report *report, const conure_contract *contract, const conure_engine *reference,
                                     void *reference_self, const conure_engine *candidate, void *candidate_self,
                                     const conure_noise_options *options, conure_error *err)
{
    measuring m = {.k = contract, .o = options, .report = report, .engine = {reference, candidate},
                   .self = {reference_self, candidate_self}, .err = err};
    if (!options->more)
        memset(report, 0, sizeof *report);
    report->flows = conure_contract_state_flows(contract);
    const conure_status status = run(&m);
    close_all(&m);
    return status;
}

/* ---- the tolerance file ----------------------------------------------------------------------- */

static double at_least(double noise, double least)
{
    return noise > least ? noise : least;
}

/* Where the numbers come from, as a JSON string; freed by free(). */
static char *source_of(const conure_noise_report *r, double factor, const char *how, conure_error *err)
{
    char words[512], number[CONURE_PLOT_NUMBER_CAP]; /* what a tolerance file may have */
    conure_plot_number(number, factor, 6);
    const int n = snprintf(words, sizeof words, "%s x the largest difference (absolute_p95: the 95th percentile) to ref:f64 over %llu chunks of %s, at "
                           "least %s x float32's epsilon of the largest value; slope: a drift that would use up absolute_max in 100 chunks",
                           number, (unsigned long long)r->n_chunks, how, number);
    if (n < 0 || (size_t)n >= sizeof words) {
        conure_fail(err, CONURE_BAD_ARG, "where the numbers come from takes %d bytes, at most %zu are possible", n, sizeof words - 1);
        return NULL;
    }
    json_t *string = json_string(words);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    if (!quoted)
        conure_fail(err, CONURE_BAD_ARG, "where the numbers come from is no UTF-8: %.60s", words);
    return quoted;
}

/* "key": number, whatever the locale. */
static void member(conure_buffer *text, const char *before, const char *key, double value, const char *after)
{
    char number[CONURE_PLOT_NUMBER_CAP];
    conure_buffer_format(text, "%s\"%s\": %s%s", before, key, conure_plot_number(number, value, 6), after);
}

conure_status conure_noise_floor_dump(const conure_noise_report *r, const char *name, const char *precision, double factor,
                                      const char *model_sha256, const char *how, char **out, conure_error *err)
{
    conure_buffer text = {0};
    *out = NULL;
    for (int i = 0; i < CONURE_NOISE_OFFLINE; i++)
        if (!isfinite(r->tensors[i].max) || !isfinite(r->tensors[i].relative_max))
            return conure_fail(err, CONURE_BACKEND, "%s: the candidate gave what is not finite, no tolerance follows from that",
                               conure_noise_name((conure_noise_tensor)i));
    char *source = source_of(r, factor, how, err);
    if (!source)
        return CONURE_BAD_ARG;
    conure_buffer_format(&text, "{\n  \"tolerances\": \"%s\",\n  \"format\": 1,\n  \"entries\": [\n    {\n", name);
    conure_buffer_format(&text, "      \"name\": \"noise floor, %s\",\n      \"state\": \"%s\",\n      \"precision\": [\"%s\"],\n", precision,
                         r->flows ? "flows" : "reset", precision);
    if (model_sha256)
        conure_buffer_format(&text, "      \"model_sha256\": \"%s\",\n", model_sha256);
    conure_buffer_format(&text, "      \"source\": %s,\n      \"speech_chunks\": %llu,\n      \"tensors\": {\n", source,
                         (unsigned long long)r->n_speech);
    for (int i = 0; i < CONURE_NOISE_OFFLINE; i++) {
        const conure_noise *t = &r->tensors[i];
        const double least = (double)FLT_EPSILON * t->largest;
        conure_buffer_format(&text, "        \"%s\": {", conure_noise_name((conure_noise_tensor)i));
        member(&text, "", "absolute_p95", factor * at_least(conure_errors_percentile(&t->errors, 0.95), least), ", ");
        member(&text, "", "absolute_max", factor * at_least(t->max, least), ", ");
        member(&text, "", "relative_max", factor * at_least(t->relative_max, (double)FLT_EPSILON), "},\n");
    }
    const conure_noise *e = &r->tensors[CONURE_NOISE_ENCODER];
    conure_buffer_text(&text, "        \"encoded_lengths\": \"exact\",\n        \"cache_last_channel_len\": \"exact\"\n      },\n");
    member(&text, "      ", "slope_per_chunk", factor * at_least(e->max, (double)FLT_EPSILON * e->largest) / 100, ",\n");
    member(&text, "      ", "token_agreement", strcmp(precision, "f32") == 0 ? 1 : 0.99, "\n    }\n  ]\n}\n");
    free(source);
    if (text.failed) {
        conure_buffer_free(&text);
        return conure_fail_memory(err, "a tolerance file", 4096);
    }
    *out = text.data;
    return CONURE_OK;
}

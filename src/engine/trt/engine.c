/* engine.c - the engine "trt": the encoder as TensorRT plans that were built before, the decoder on the host.
 *
 * An engine knows a model, a precision and a mask; which plans can serve them is in their side files.  They are all looked at when it is
 * opened, and each is brought to the GPU when a step first needs it. */
#include "engine/trt/engine.h"

#include "base/files.h"
#include "base/memory.h"
#include "model/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which plans ------------------------------------------------------------------------------ */

/* Why plans of the folder are of no use, counted, with an example. */
typedef struct refusals {
    uint32_t model, precision, mask, gpu, version, size;
    char other_gpu[CONURE_PLAN_TEXT_CAP], other_version[CONURE_PLAN_TEXT_CAP];
} refusals;

static bool serves(const conure_trt_engine *e, const conure_plan_side *s, const char *model_sha256, refusals *why)
{
    const conure_trt_facts *facts = conure_trt_get_facts(e->trt);
    if (strcmp(s->model_sha256, model_sha256) != 0)
        why->model++;
    else if (strcmp(s->precision, e->precision) != 0)
        why->precision++;
    else if (s->mask_exact != e->mask_exact)
        why->mask++;
    else if (strcmp(s->gpu, facts->gpu) != 0 && ++why->gpu)
        snprintf(why->other_gpu, sizeof why->other_gpu, "%s", s->gpu);
    else if (strcmp(s->tensorrt, facts->version) != 0 && ++why->version)
        snprintf(why->other_version, sizeof why->other_version, "%s", s->tensorrt);
    else if (!conure_plan_rows_fit(s, e->config))
        why->size++; /* no plan of ours has as many rows */
    else
        return true;
    return false;
}

static void tell_refusals(const refusals *why, uint32_t n, conure_buffer *text)
{
    if (n)
        conure_buffer_format(text, "; of the %u there", n);
    if (why->model)
        conure_buffer_format(text, ", %u are of other weights", why->model);
    if (why->precision)
        conure_buffer_format(text, ", %u of another precision", why->precision);
    if (why->mask)
        conure_buffer_format(text, ", %u of the other mask", why->mask);
    if (why->gpu)
        conure_buffer_format(text, ", %u for another GPU (%.40s)", why->gpu, why->other_gpu);
    if (why->version)
        conure_buffer_format(text, ", %u of another TensorRT (%.20s)", why->version, why->other_version);
    if (why->size)
        conure_buffer_format(text, ", %u say that their caches have more than 2^31 rows", why->size);
}

/* The command comes whole; why plans there do not serve is said where an error's text has room for it beside. */
static conure_status none(const conure_trt_engine *e, const refusals *why, uint32_t n, conure_error *err)
{
    static const char makes[] = " makes one of whole utterances, --contract FILE in place of --profile offline one of steps";
    const conure_trt_facts *facts = conure_trt_get_facts(e->trt);
    char command[CONURE_LONGER_BYTES], wanted[256];
    conure_buffer reasons = {0};
    conure_trt_advise_offline(e, 0, command);
    snprintf(wanted, sizeof wanted, "engine trt has no plan of this model at %s, mask %s, for %.40s with TensorRT %.16s in %.60s", e->precision,
             e->mask_exact ? "exact" : "nemo", facts->gpu, facts->version, e->folder);
    tell_refusals(why, n, &reasons);
    const bool fit = reasons.data && strlen(wanted) + reasons.bytes + strlen(": ") + strlen(command) + strlen(makes) < sizeof err->text;
    const conure_status status = reasons.failed ? conure_fail_memory(err, "a text", sizeof err->text)
                                                : conure_fail(err, CONURE_BACKEND, "%s%s: %s%s", wanted, fit ? reasons.data : "", command, makes);
    conure_buffer_free(&reasons);
    return status;
}

static bool same_caches(const conure_cache_options *a, const conure_cache_options *b)
{
    return a->cache_rows == b->cache_rows && a->drop_rows == b->drop_rows && a->keep_negative == b->keep_negative &&
           a->time_cache_aligned == b->time_cache_aligned;
}

conure_trt_form conure_trt_form_of(const conure_trt_engine *e, const conure_cache_options *options)
{
    conure_trt_form form = {0};
    bool any = false;
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        if (!s->streaming || !same_caches(&s->caches, options) || (any && form.matrices && !s->cache_matrices))
            continue;
        const bool same = any && form.matrices == s->cache_matrices;
        form = (conure_trt_form){s->caches_f16 && (!same || form.f16), s->cache_matrices};
        any = true;
    }
    return form;
}

bool conure_trt_takes_state(const conure_plan_side *s, const conure_state *state)
{
    return s->cache_matrices == state->form.matrices && s->caches_f16 == state->form.f16 && same_caches(&s->caches, &state->options);
}

/* Plans that no stream will come to. */
static void say_unused(const conure_trt_engine *e)
{
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        const conure_trt_form form = conure_trt_form_of(e, &s->caches);
        if (s->streaming && (s->cache_matrices != form.matrices || s->caches_f16 != form.f16))
            conure_log_write(&e->log, CONURE_LOG_WARNING, "%s.plan is not used: it keeps caches in %s, %s, and another plan for the same caches in %s, %s, "
                             "which streams have then: remove it and its .json, or build all plans of one model and precision by the same program with the "
                             "same --audio", e->ready[i].found.path, s->caches_f16 ? "f16" : "f32", s->cache_matrices ? "as matrices" : "as columns",
                             form.f16 ? "f16" : "f32", form.matrices ? "as matrices" : "as columns");
    }
}

static conure_status find_plans(conure_trt_engine *e, conure_error *err)
{
    conure_plan_found *list;
    uint32_t n;
    char sha256[65];
    refusals why = {0};
    CONURE_TRY(conure_plan_folder(e->folder, err));
    CONURE_TRY(conure_model_hash(e->model, sha256, err));
    CONURE_TRY(conure_plan_list(&list, &n, e->folder, &e->log, err));
    e->ready = conure_calloc(n + 1, sizeof *e->ready);
    conure_status status = e->ready ? CONURE_OK : conure_fail_memory(err, "a list of plans", n * sizeof *e->ready);
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++)
        if (serves(e, &list[i].side, sha256, &why))
            e->ready[e->n_ready++].found = list[i];
    say_unused(e);
    if (status == CONURE_OK && e->n_ready == 0)
        status = none(e, &why, n, err);
    free(list);
    return status;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static void trt_close(void **self)
{
    conure_trt_engine *e = *self;
    if (!e)
        return;
    conure_trt_slots_close(e);
    for (uint32_t i = 0; i < e->n_ready; i++)
        conure_trt_plan_close(&e->ready[i].plan);
    free(e->ready);
    if (e->native)
        conure_engine_native_cpu.close(&e->native);
    conure_trt_close(&e->trt);
    free(e);
    *self = NULL;
}

/* What its plans hold in f32 and were calibrated with, of all of them together. */
static void describe_plans(const conure_trt_engine *e, conure_buffer *text)
{
    char parts[CONURE_PLAN_PARTS_CAP];
    bool wide[CONURE_PLAN_PARTS] = {false}, f16 = false, int8 = false, blind = false;
    for (uint32_t i = 0; i < e->n_ready; i++) {
        const conure_plan_side *s = &e->ready[i].found.side;
        for (uint32_t j = 0; j < CONURE_PLAN_PARTS; j++)
            wide[j] = wide[j] || s->wide[j];
        f16 = f16 || s->f16;
        int8 = int8 || s->int8;
        blind = blind || (s->f16 && !s->n_audio);
    }
    conure_plan_wide_text(wide, parts);
    if (int8)
        conure_buffer_format(text, ", %s beside int8", f16 ? "f16" : "f32");
    if (f16)
        conure_buffer_format(text, ", in f32: norms%s%s%s", parts[0] ? ", " : "", parts, blind ? " (no audio was looked at)" : "");
}

static conure_status open_parts(conure_trt_engine *e, const conure_engine_options *options, conure_error *err)
{
    const char *precision = conure_precision_name(options->precision);
    conure_engine_options decoder = *options;
    decoder.precision = CONURE_PRECISION_F32;
    snprintf(e->precision, sizeof e->precision, "%s", precision ? precision : "?");
    snprintf(e->library, sizeof e->library, "%s", options->library ? options->library : "");
    e->device = options->device;
    e->mask_exact = options->mask == CONURE_MASK_EXACT;
    if (options->precision == CONURE_PRECISION_F64)
        return conure_fail(err, CONURE_UNSUPPORTED, "engine trt computes in f32, tf32, f16, bf16 or int8, not in f64; engine ref does");
    const conure_trt_place place = {options->device, options->library};
    CONURE_TRY(conure_trt_open(&e->trt, &place, options->log, err));
    CONURE_TRY(find_plans(e, err));
    CONURE_TRY(conure_engine_native_cpu.open(&e->native, e->model, &decoder, err));
    const conure_trt_facts *facts = conure_trt_get_facts(e->trt);
    const conure_plan_side *first = &e->ready[0].found.side; /* flags are those of the precision, in all of them */
    conure_buffer text = {0};
    conure_buffer_format(&text, "trt %s, %s, TensorRT %s, TF32 %s", e->precision, facts->gpu, facts->version, first->tf32 ? "on" : "off");
    describe_plans(e, &text);
    conure_buffer_format(&text, ", %u plan%s, mask %s; decoder on %s", e->n_ready, e->n_ready == 1 ? "" : "s", e->mask_exact ? "exact" : "nemo",
                         conure_engine_native_cpu.describe(e->native));
    const conure_status status = text.failed ? conure_fail_memory(err, "a description", sizeof e->description) : CONURE_OK;
    snprintf(e->description, sizeof e->description, "%s", text.failed ? "" : text.data);
    conure_buffer_free(&text);
    return status;
}

static conure_status trt_open(void **self, const conure_model *model, const conure_engine_options *options, conure_error *err)
{
    *self = NULL;
    conure_trt_engine *e = conure_calloc(1, sizeof *e);
    if (!e)
        return conure_fail_memory(err, "an engine", sizeof *e);
    void *made = e;
    e->model = model;
    e->config = &model->config;
    e->cancel = options->cancel;
    e->log = options->log;
    const conure_status status = open_parts(e, options, err);
    if (status == CONURE_OK)
        *self = e;
    else
        trt_close(&made);
    return status;
}

static const char *trt_describe(const void *self)
{
    return ((const conure_trt_engine *)self)->description;
}

/* Of the host: features and output twice, pinned and as rows.  What no plan takes does not fit. */
static uint64_t trt_encode_bytes(const void *self, const uint32_t *mel_frames, uint32_t n)
{
    const conure_trt_engine *e = self;
    const uint32_t most = conure_trt_offline_max(e);
    uint64_t floats = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (mel_frames[i] > most)
            return UINT64_MAX;
        floats += 2 * (uint64_t)mel_frames[i] * e->config->mel_bins + 2 * ((uint64_t)mel_frames[i] / 8 + 1) * e->config->d_model;
    }
    return floats * sizeof(float);
}

static void trt_longer(const void *self, uint64_t mel_frames, char out[CONURE_LONGER_BYTES])
{
    conure_trt_advise_offline(self, mel_frames, out);
}

static conure_status trt_device_bytes(void *self, uint64_t *bytes, conure_error *err)
{
    return conure_trt_memory(((conure_trt_engine *)self)->trt, bytes, err);
}

static double trt_device_seconds(const void *self)
{
    return ((const conure_trt_engine *)self)->device_s;
}

/* ---- the decoder, on the host ----------------------------------------------------------------- */

static conure_status trt_project(void *self, const float *encoder, uint32_t n, float *out, conure_error *err)
{
    return conure_engine_native_cpu.project(((conure_trt_engine *)self)->native, encoder, n, out, err);
}

static conure_status trt_predict(void *self, const uint32_t *tokens, float *h, float *c, uint32_t n, float *out, conure_error *err)
{
    return conure_engine_native_cpu.predict(((conure_trt_engine *)self)->native, tokens, h, c, n, out, err);
}

static conure_status trt_joint(void *self, const float *const *frames, const float *const *predictions, uint32_t n, float *logits, conure_error *err)
{
    return conure_engine_native_cpu.joint(((conure_trt_engine *)self)->native, frames, predictions, n, logits, err);
}

const conure_engine conure_engine_trt = {
    .name = "trt",
    .takes = CONURE_TAKES_ISA | CONURE_TAKES_DEVICE | CONURE_TAKES_LIBRARY, /* isa: of the decoder, on the host */
    .precision = CONURE_PRECISION_F32,
    .open = trt_open,
    .close = trt_close,
    .describe = trt_describe,
    .encode_bytes = trt_encode_bytes,
    .longer = trt_longer,
    .encode = conure_trt_encode,
    .profile = conure_trt_encode_profiled,
    .device_bytes = trt_device_bytes,
    .device_seconds = trt_device_seconds,
    .state_open = conure_trt_state_open,
    .state_close = conure_trt_state_close,
    .state_reset = conure_trt_state_reset,
    .state_export = conure_trt_state_export,
    .state_import = conure_trt_state_import,
    .state_bytes = conure_trt_state_bytes,
    .state_length = conure_trt_state_length,
    .state_save = conure_trt_state_save,
    .state_load = conure_trt_state_load,
    .project = trt_project,
    .predict = trt_predict,
    .joint = trt_joint,
};

/* config.c - ranges and combinations of a configuration, and its canonical JSON.
 *
 * One table lists the fields: the JSON key is our name, the other NeMo's, for error texts. */
#include "base/error.h"
#include "model/json.h"
#include "model/load.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { U32, I32, BOOL, F32, F64 } kind;

typedef struct field {
    const char *key, *nemo;
    kind kind;
    size_t offset;
    double min, max; /* supported; caps keep every product of two or three of them within 64 bits */
} field;

/* clang-format off */
#define FIELD(name, nemo, kind, lo, hi) {#name, nemo, kind, offsetof(conure_config, name), lo, hi}
/* clang-format on */
static const field fields[] = {
    FIELD(sample_rate_hz, "preprocessor.sample_rate", U32, 4000, 192000),
    FIELD(window_samples, "preprocessor.window_size in samples", U32, 2, 16384),
    FIELD(hop_samples, "preprocessor.window_stride in samples", U32, 1, 16384),
    FIELD(n_fft, "preprocessor.n_fft", U32, 2, 16384),
    FIELD(mel_bins, "preprocessor.features", U32, 1, 1024),
    FIELD(preemphasis, "preprocessor.preemph", F32, 0, 1),
    FIELD(log_guard, "preprocessor.log_zero_guard_value", F32, 1e-37, 1),
    FIELD(mel_low_hz, "preprocessor.lowfreq", F64, 0, 96000),
    FIELD(mel_high_hz, "preprocessor.highfreq", F64, 0, 96000),
    FIELD(n_layers, "encoder.n_layers", U32, 1, 256),
    FIELD(d_model, "encoder.d_model", U32, 2, 16384),
    FIELD(n_heads, "encoder.n_heads", U32, 1, 256),
    FIELD(ff_width, "encoder.d_model * encoder.ff_expansion_factor", U32, 1, 131072),
    FIELD(conv_kernel, "encoder.conv_kernel_size", U32, 1, 255),
    FIELD(conv_left, "encoder.conv_context_size[0]", U32, 0, 254),
    FIELD(conv_right, "encoder.conv_context_size[1]", U32, 0, 254),
    FIELD(subsampling_channels, "encoder.subsampling_conv_channels", U32, 1, 4096),
    FIELD(use_bias, "encoder.use_bias", BOOL, 0, 1),
    FIELD(xscaling, "encoder.xscaling", BOOL, 0, 1),
    FIELD(untie_biases, "encoder.untie_biases", BOOL, 0, 1),
    FIELD(att_left, "encoder.att_context_size[0]", I32, -1, 1000000),
    FIELD(att_right, "encoder.att_context_size[1]", I32, -1, 1000000),
    FIELD(att_style, "encoder.att_context_style", U32, CONURE_REGULAR, CONURE_CHUNKED_LIMITED),
    FIELD(pos_emb_max_len, "encoder.pos_emb_max_len", U32, 1, 100000000),
    FIELD(vocab_size, "decoder.vocab_size", U32, 1, CONURE_PIECES_MAX),
    FIELD(pred_hidden, "decoder.prednet.pred_hidden", U32, 1, 16384),
    FIELD(pred_layers, "decoder.prednet.pred_rnn_layers", U32, 1, CONURE_PREDICTOR_LAYERS_MAX),
    FIELD(joint_hidden, "joint.jointnet.joint_hidden", U32, 1, 16384),
    FIELD(n_durations, "model_defaults.tdt_durations", U32, 1, CONURE_DURATIONS_MAX),
    FIELD(max_symbols, "decoding.greedy.max_symbols", U32, 1, 100000),
};
#undef FIELD
#define N_FIELDS     (sizeof fields / sizeof *fields)
#define DURATION_MAX 10000

static double field_value(const conure_config *config, const field *f)
{
    const char *at = (const char *)config + f->offset;
    switch (f->kind) {
    case U32: {
        /* The one enumeration among them has the same size and non-negative values. */
        uint32_t value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    case I32:
        return *(const int32_t *)(const void *)at;
    case BOOL:
        return *(const bool *)(const void *)at;
    case F32:
        return *(const float *)(const void *)at;
    case F64:
        break;
    }
    return *(const double *)(const void *)at;
}

_Static_assert(sizeof(conure_context_style) == sizeof(uint32_t), "field_value() copies it as one");

static conure_status check_ranges(const conure_config *config, conure_error *err)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        const double value = field_value(config, &fields[i]);
        if (!(value >= fields[i].min && value <= fields[i].max)) /* NaN fails too */
            return conure_fail(err, CONURE_UNSUPPORTED, "%s is %.9g, supported: %.9g to %.9g",
                               fields[i].nemo, value, fields[i].min, fields[i].max);
    }
    if (config->mask != CONURE_MASK_NEMO && config->mask != CONURE_MASK_EXACT)
        return conure_fail(err, CONURE_BAD_FILE, "mask convention is %d, expected nemo or exact",
                           (int)config->mask);
    return CONURE_OK;
}

static conure_status check_front_end(const conure_config *c, conure_error *err)
{
    if (c->window_samples > c->n_fft)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.n_fft is %u, shorter than the window of %u samples",
                           c->n_fft, c->window_samples);
    if (c->n_fft % 2)
        return conure_fail(err, CONURE_UNSUPPORTED, "preprocessor.n_fft is %u, supported: even",
                           c->n_fft);
    if (c->hop_samples > c->window_samples)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.window_stride is %u samples, more than the window's %u",
                           c->hop_samples, c->window_samples);
    if (!(c->mel_low_hz < c->mel_high_hz) || c->mel_high_hz > 0.5 * c->sample_rate_hz)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "preprocessor.lowfreq .. highfreq is %.9g .. %.9g Hz, supported: "
                           "ascending, up to half of the sample rate of %u Hz",
                           c->mel_low_hz, c->mel_high_hz, c->sample_rate_hz);
    return CONURE_OK;
}

static conure_status check_encoder(const conure_config *c, conure_error *err)
{
    if (c->d_model % c->n_heads)
        return conure_fail(err, CONURE_BAD_FILE,
                           "encoder.d_model is %u, not a multiple of encoder.n_heads, %u",
                           c->d_model, c->n_heads);
    if (c->d_model % 2)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "encoder.d_model is %u, supported: even (pairs of sine and cosine)",
                           c->d_model);
    if (c->conv_left + c->conv_right + 1 != c->conv_kernel)
        return conure_fail(err, CONURE_UNSUPPORTED,
                           "encoder.conv_context_size is [%u, %u], supported: a sum of "
                           "conv_kernel_size - 1 = %u",
                           c->conv_left, c->conv_right, c->conv_kernel - 1);
    if (c->att_style == CONURE_CHUNKED_LIMITED && c->att_left > 0 && c->att_right >= 0 &&
        c->att_left % (c->att_right + 1))
        return conure_fail(err, CONURE_BAD_FILE,
                           "encoder.att_context_size is [%d, %d]: in style chunked_limited the "
                           "left context must be a multiple of the chunk, %d",
                           c->att_left, c->att_right, c->att_right + 1);
    return CONURE_OK;
}

conure_status conure_config_check(const conure_config *config, conure_error *err)
{
    conure_status status = check_ranges(config, err);
    if (status == CONURE_OK)
        status = check_front_end(config, err);
    if (status == CONURE_OK)
        status = check_encoder(config, err);
    for (uint32_t i = 0; status == CONURE_OK && i < config->n_durations; i++)
        if (config->durations[i] > DURATION_MAX)
            status = conure_fail(err, CONURE_UNSUPPORTED,
                                 "model_defaults.tdt_durations[%u] is %u, supported: 0 to %d", i,
                                 config->durations[i], DURATION_MAX);
    return status;
}

static json_t *field_json(const conure_config *config, const field *f)
{
    const double value = field_value(config, f);
    switch (f->kind) {
    case U32:
    case I32:
        return json_integer((json_int_t)value);
    case BOOL:
        return json_boolean(value != 0);
    case F32:
    case F64:
        break;
    }
    return json_real(value);
}

conure_status conure_config_dump(const conure_config *config, char **out, conure_error *err)
{
    json_t *object = json_object(), *durations = json_array();
    int failed = !object || !durations;
    *out = NULL;
    for (size_t i = 0; !failed && i < N_FIELDS; i++)
        failed = json_object_set_new(object, fields[i].key, field_json(config, &fields[i]));
    for (uint32_t i = 0; !failed && i < config->n_durations; i++)
        failed = json_array_append_new(durations, json_integer(config->durations[i]));
    failed = failed || json_object_set(object, "durations", durations);
    if (!failed) /* 17 digits: every double comes back as it was */
        *out = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    json_decref(durations);
    json_decref(object);
    return *out ? CONURE_OK : conure_fail_memory(err, "the configuration's JSON", 4096);
}

static conure_status field_parse(conure_config *config, const field *f, const json_t *object,
                                 const char *where, conure_error *err)
{
    char *at = (char *)config + f->offset;
    double number = 0;
    if (f->kind == BOOL)
        return conure_json_bool(object, f->key, CONURE_REQUIRED, (bool *)(void *)at, where, err);
    if (f->kind == U32)
        return conure_json_u32(object, f->key, CONURE_REQUIRED, (uint32_t)f->min, (uint32_t)f->max,
                               (uint32_t *)(void *)at, where, err);
    const conure_status status =
        conure_json_real(object, f->key, CONURE_REQUIRED, &number, where, err);
    if (status != CONURE_OK)
        return status;
    /* Before the conversions below, which are undefined outside their range. */
    if (!(number >= f->min && number <= f->max))
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %s is %.9g, supported: %.9g to %.9g",
                           where, f->key, number, f->min, f->max);
    if (f->kind == I32)
        *(int32_t *)(void *)at = (int32_t)number;
    else if (f->kind == F32)
        *(float *)(void *)at = (float)number;
    else
        *(double *)(void *)at = number;
    return CONURE_OK;
}

conure_status conure_config_parse(conure_config *config, const char *json, size_t bytes,
                                  const char *where, conure_error *err)
{
    json_t *object;
    uint32_t n_durations = 0;
    conure_status status = conure_json_object(&object, json, bytes, where, err);
    if (status != CONURE_OK)
        return status;
    memset(config, 0, sizeof *config);
    for (size_t i = 0; status == CONURE_OK && i < N_FIELDS; i++)
        status = field_parse(config, &fields[i], object, where, err);
    if (status == CONURE_OK)
        status =
            conure_json_durations(object, "durations", config->durations, &n_durations, where, err);
    if (status == CONURE_OK && n_durations != config->n_durations)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: n_durations is %u, but durations has %u",
                             where, config->n_durations, n_durations);
    if (status == CONURE_OK && json_object_size(object) != N_FIELDS + 1)
        status = conure_fail(err, CONURE_UNSUPPORTED,
                             "%s: has %zu fields, expected %zu: written by another version?", where,
                             json_object_size(object), N_FIELDS + 1);
    json_decref(object);
    return status;
}

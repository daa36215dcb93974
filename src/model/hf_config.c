/* hf_config.c - config.json and processor_config.json of transformers to our configuration (spec 8).
 * What is not as spec 1 to 6 describe it is refused by name. */
#include "base/memory.h"
#include "model/json.h"
#include "model/load.h"

#include <stdio.h>
#include <string.h>

#define U32_MAX_JSON 0x7fffffffu
#define MEL_BINS_MAX 1024 /* as conure_config_check() has it */

/* Reads one object after another; after the first failure nothing more is read. */
typedef struct reader {
    const json_t *object;
    char where[1200];
    conure_status status;
    conure_error *err;
} reader;

static void read_u32(reader *r, const char *key, conure_presence presence, uint32_t *out)
{
    if (r->status == CONURE_OK)
        r->status =
            conure_json_u32(r->object, key, presence, 0, U32_MAX_JSON, out, r->where, r->err);
}

static void read_bool(reader *r, const char *key, bool *out)
{
    if (r->status == CONURE_OK)
        r->status = conure_json_bool(r->object, key, CONURE_REQUIRED, out, r->where, r->err);
}

/* The key may be absent, but if it is there it has this value. */
static void expect_u32(reader *r, const char *key, uint32_t want)
{
    uint32_t got = want;
    read_u32(r, key, CONURE_OPTIONAL, &got);
    if (r->status == CONURE_OK && got != want)
        r->status = conure_fail(r->err, CONURE_UNSUPPORTED, "%s: %s is %u, supported: %u", r->where,
                                key, got, want);
}

static void expect_text(reader *r, const char *key, conure_presence presence, const char *want)
{
    const char *got = want;
    if (r->status == CONURE_OK)
        r->status = conure_json_text(r->object, key, presence, &got, r->where, r->err);
    if (r->status == CONURE_OK && strcmp(got, want) != 0)
        r->status = conure_fail(r->err, CONURE_UNSUPPORTED,
                                "%s: %s is \"%.64s\", supported: \"%s\"", r->where, key, got, want);
}

static void read_encoder(reader *r, conure_config *c)
{
    bool attention_bias = false, convolution_bias = false;
    expect_text(r, "model_type", CONURE_OPTIONAL, "parakeet_encoder");
    expect_text(r, "hidden_act", CONURE_OPTIONAL, "silu");
    read_u32(r, "hidden_size", CONURE_REQUIRED, &c->d_model);
    read_u32(r, "intermediate_size", CONURE_REQUIRED, &c->ff_width);
    read_u32(r, "num_hidden_layers", CONURE_REQUIRED, &c->n_layers);
    read_u32(r, "num_attention_heads", CONURE_REQUIRED, &c->n_heads);
    expect_u32(r, "num_key_value_heads", c->n_heads);
    if (r->status ==
        CONURE_OK) /* here, or the processor's file would be blamed for the difference */
        r->status = conure_json_u32(r->object, "num_mel_bins", CONURE_REQUIRED, 1, MEL_BINS_MAX,
                                    &c->mel_bins, r->where, r->err);
    read_u32(r, "conv_kernel_size", CONURE_REQUIRED, &c->conv_kernel);
    read_u32(r, "subsampling_conv_channels", CONURE_REQUIRED, &c->subsampling_channels);
    expect_u32(r, "subsampling_factor", 8);
    expect_u32(r, "subsampling_conv_kernel_size", 3);
    expect_u32(r, "subsampling_conv_stride", 2);
    read_u32(r, "max_position_embeddings", CONURE_OPTIONAL, &c->pos_emb_max_len);
    read_bool(r, "attention_bias", &attention_bias);
    read_bool(r, "convolution_bias", &convolution_bias);
    read_bool(r, "scale_input", &c->xscaling);
    if (r->status == CONURE_OK && attention_bias != convolution_bias)
        r->status = conure_fail(r->err, CONURE_UNSUPPORTED,
                                "%s: attention_bias is %s and convolution_bias is %s, supported: "
                                "both or neither",
                                r->where, attention_bias ? "true" : "false",
                                convolution_bias ? "true" : "false");
    if (r->status == CONURE_OK && c->conv_kernel % 2 == 0)
        r->status =
            conure_fail(r->err, CONURE_UNSUPPORTED, "%s: conv_kernel_size is %u, supported: odd",
                        r->where, c->conv_kernel);
    c->use_bias = attention_bias;
    c->conv_left = c->conv_right = (c->conv_kernel - 1) / 2;
}

static void read_transducer(reader *r, conure_config *c)
{
    uint32_t outputs = 0;
    expect_text(r, "model_type", CONURE_REQUIRED, "parakeet_tdt");
    expect_text(r, "hidden_act", CONURE_OPTIONAL, "relu");
    read_u32(r, "vocab_size", CONURE_REQUIRED, &outputs); /* blank included */
    if (r->status == CONURE_OK && outputs < 2)
        r->status = conure_fail(r->err, CONURE_BAD_FILE, "%s: vocab_size is %u, expected 2 or more",
                                r->where, outputs);
    c->vocab_size = outputs - 1;
    expect_u32(r, "blank_token_id", c->vocab_size);
    read_u32(r, "decoder_hidden_size", CONURE_REQUIRED, &c->pred_hidden);
    c->joint_hidden = c->pred_hidden;
    read_u32(r, "num_decoder_layers", CONURE_REQUIRED, &c->pred_layers);
    read_u32(r, "max_symbols_per_step", CONURE_OPTIONAL, &c->max_symbols);
    if (r->status == CONURE_OK)
        r->status = conure_json_durations(r->object, "durations", c->durations, &c->n_durations,
                                          r->where, r->err);
}

/* Keys whose meaning is known; any other is named in the log, for it may matter. */
static void warn_unknown(const reader *r, const conure_log *log)
{
    static const char *const known[] = {
        "feature_extractor_type", "feature_size",  "hop_length",  "n_fft",
        "padding_side",           "padding_value", "preemphasis", "processor_class",
        "return_attention_mask",  "sampling_rate", "win_length",
    };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->object, key, value)
    {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && strcmp(key, known[i]))
            i++;
        if (i == sizeof known / sizeof *known)
            conure_log_write(log, CONURE_LOG_WARNING, "%s: %.64s is not known and was ignored",
                             r->where, key);
    }
}

static void read_front_end(reader *r, conure_config *c, const conure_log *log)
{
    double preemphasis = c->preemphasis, padding = 0;
    expect_text(r, "feature_extractor_type", CONURE_OPTIONAL, "ParakeetFeatureExtractor");
    expect_u32(r, "feature_size", c->mel_bins);
    read_u32(r, "sampling_rate", CONURE_OPTIONAL, &c->sample_rate_hz);
    read_u32(r, "win_length", CONURE_OPTIONAL, &c->window_samples);
    read_u32(r, "hop_length", CONURE_OPTIONAL, &c->hop_samples);
    read_u32(r, "n_fft", CONURE_OPTIONAL, &c->n_fft);
    if (r->status == CONURE_OK)
        r->status = conure_json_real(r->object, "preemphasis", CONURE_OPTIONAL, &preemphasis,
                                     r->where, r->err);
    if (r->status == CONURE_OK)
        r->status = conure_json_real(r->object, "padding_value", CONURE_OPTIONAL, &padding,
                                     r->where, r->err);
    if (r->status == CONURE_OK && !(preemphasis >= 0 && preemphasis <= 1))
        r->status =
            conure_fail(r->err, CONURE_UNSUPPORTED, "%s: preemphasis is %.9g, supported: 0 to 1",
                        r->where, preemphasis);
    if (r->status == CONURE_OK && padding != 0)
        r->status = conure_fail(r->err, CONURE_UNSUPPORTED,
                                "%s: padding_value is %.9g, supported: 0", r->where, padding);
    if (r->status != CONURE_OK)
        return;
    c->preemphasis = (float)preemphasis;
    c->mel_high_hz = 0.5 * c->sample_rate_hz;
    warn_unknown(r, log);
}

/* What config.json does not say: spec 1.1 and 8. */
static void set_defaults(conure_config *c)
{
    memset(c, 0, sizeof *c);
    c->sample_rate_hz = 16000;
    c->window_samples = 400;
    c->hop_samples = 160;
    c->n_fft = 512;
    c->preemphasis = 0.97f;
    c->log_guard = 0x1p-24f;
    c->mel_high_hz = 8000;
    c->untie_biases = true;
    c->att_left = c->att_right = -1;
    c->att_style = CONURE_REGULAR;
    c->pos_emb_max_len = 5000;
    c->max_symbols = 10;
    c->mask = CONURE_MASK_EXACT;
}

/* The settings of the front end: inside a processor's file, or a file of their own. */
static conure_status read_processor(conure_config *config, const char *text, size_t bytes,
                                    const char *where, const conure_log *log, conure_error *err)
{
    reader r = {.err = err};
    json_t *processor, *inner = NULL;
    snprintf(r.where, sizeof r.where, "%.1024s: processor_config.json", where);
    r.status = conure_json_object(&processor, text, bytes, r.where, err);
    if (r.status != CONURE_OK)
        return r.status;
    r.object = processor;
    expect_text(&r, "decoder_type", CONURE_OPTIONAL, "tdt");
    if (r.status == CONURE_OK)
        r.status = conure_json_inner(processor, "feature_extractor", CONURE_OPTIONAL, &inner,
                                     r.where, err);
    if (inner)
        r.object = inner;
    read_front_end(&r, config, log);
    json_decref(processor);
    return r.status;
}

conure_status conure_huggingface_config(conure_config *config, const char *json, size_t bytes,
                                        const char *processor, size_t processor_bytes,
                                        const char *where, const conure_log *log, conure_error *err)
{
    reader r = {.err = err};
    json_t *object, *encoder = NULL;
    set_defaults(config);
    snprintf(r.where, sizeof r.where, "%.1024s: config.json", where);
    r.status = conure_json_object(&object, json, bytes, r.where, err);
    if (r.status != CONURE_OK)
        return r.status;
    r.object = object;
    read_transducer(&r, config);
    if (r.status == CONURE_OK)
        r.status =
            conure_json_inner(object, "encoder_config", CONURE_REQUIRED, &encoder, r.where, err);
    snprintf(r.where, sizeof r.where, "%.1024s: config.json: encoder_config", where);
    r.object = encoder;
    if (r.status == CONURE_OK)
        read_encoder(&r, config);
    json_decref(object);
    if (r.status == CONURE_OK && processor)
        r.status = read_processor(config, processor, processor_bytes, where, log, err);
    if (r.status != CONURE_OK)
        return r.status;
    r.status = conure_config_check(config, err);
    if (r.status != CONURE_OK)
        conure_error_prefix(err, where);
    return r.status;
}

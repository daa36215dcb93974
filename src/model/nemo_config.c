/* nemo_config.c - model_config.yaml to conure_config. Keys and their defaults: the constructors
 * of NeMo's AudioToMelSpectrogramPreprocessor, ConformerEncoder, RNNTDecoder and RNNTJoint
 * (2.7.3). */
#include "model/nemo_config.h"

#include "base/memory.h"
#include "model/nemo_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_ANY 16777216 /* more than any dimension; conure_config_check() is stricter */

typedef struct sections {
    conure_section top, preprocessor, encoder, decoder, prednet, joint, jointnet;
} sections;

/* ---- preprocessor ---------------------------------------------------------------------------- */

/* Dither, nb_augmentation_prob and rng act in training only. */
static const char preprocessor_keys[] =
    "_target_ sample_rate window_size window_stride n_window_size n_window_stride window "
    "normalize n_fft preemph features lowfreq highfreq log log_zero_guard_type "
    "log_zero_guard_value dither pad_to frame_splicing exact_pad pad_value mag_power rng "
    "nb_augmentation_prob nb_max_freq use_torchaudio mel_norm stft_exact_pad stft_conv";

static void preprocessor_fixed(conure_keys *keys, conure_section p)
{
    conure_keys_want_class(keys, p, "_target_", "AudioToMelSpectrogramPreprocessor");
    conure_keys_choice(keys, p, "window", 0, "hann");
    conure_keys_choice(keys, p, "normalize", 0, "per_feature");
    conure_keys_choice(keys, p, "log_zero_guard_type", 0, "add");
    conure_keys_choice(keys, p, "mel_norm", 0, "slaney");
    conure_keys_want_bool(keys, p, "log", true, true);
    conure_keys_want_bool(keys, p, "exact_pad", false, false);
    conure_keys_want_bool(keys, p, "use_torchaudio", false, false);
    conure_keys_want_bool(keys, p, "stft_exact_pad", false, false);
    conure_keys_want_bool(keys, p, "stft_conv", false, false);
    conure_keys_want_number(keys, p, "mag_power", 2, 2);
    conure_keys_want_number(keys, p, "frame_splicing", 1, 1);
    /* Padding to a multiple adds masked frames, and under the -10000 mask (NeMo's) frames that are
     * masked can change those that are not. */
    conure_keys_want_number(keys, p, "pad_to", 16, 0);
    conure_keys_want_number(keys, p, "pad_value", 0, 0);
}

/* A length in seconds, as NeMo truncates it, or the same in samples; one of the two is null. */
static uint32_t window_samples(conure_keys *keys, conure_section p, const char *key_s,
                               const char *key_samples, double otherwise_s, uint32_t rate_hz)
{
    bool is_null, unused;
    const bool seconds = conure_keys_has(keys, p, key_s, &is_null);
    const bool samples = conure_keys_has(keys, p, key_samples, &unused);
    if (samples) {
        if (!is_null)
            conure_keys_fail(keys, CONURE_BAD_FILE, "preprocessor.%s: given as well as %s",
                             key_samples, key_s);
        return (uint32_t)conure_keys_required(keys, p, key_samples, 1, SIZE_MAX_ANY);
    }
    const double n =
        (seconds || is_null ? conure_keys_number(keys, p, key_s, otherwise_s) : otherwise_s) *
        rate_hz;
    if (n >= 1 && n <= SIZE_MAX_ANY)
        return (uint32_t)n;
    conure_keys_fail(keys, CONURE_BAD_FILE, "preprocessor.%s: %g samples, expected 1 to %d", key_s,
                     n, SIZE_MAX_ANY);
    return 1;
}

static uint32_t power_of_two_from(uint32_t n)
{
    uint32_t power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static void preprocessor_read(conure_keys *keys, conure_config *c, const sections *s)
{
    const conure_section p = s->preprocessor;
    bool is_null;
    conure_keys_known(keys, p, preprocessor_keys);
    preprocessor_fixed(keys, p);
    c->sample_rate_hz = (uint32_t)conure_keys_int(keys, p, "sample_rate", 16000, 1, SIZE_MAX_ANY);
    const int64_t top_hz =
        conure_keys_int(keys, s->top, "sample_rate", c->sample_rate_hz, 1, SIZE_MAX_ANY);
    if (top_hz != c->sample_rate_hz)
        conure_keys_fail(keys, CONURE_BAD_FILE,
                         "sample_rate: %lld, but preprocessor.sample_rate is %u", (long long)top_hz,
                         c->sample_rate_hz);
    c->window_samples =
        window_samples(keys, p, "window_size", "n_window_size", 0.02, c->sample_rate_hz);
    c->hop_samples =
        window_samples(keys, p, "window_stride", "n_window_stride", 0.01, c->sample_rate_hz);
    c->n_fft = power_of_two_from(c->window_samples);
    if (conure_keys_has(keys, p, "n_fft", &is_null))
        c->n_fft = (uint32_t)conure_keys_int(keys, p, "n_fft", 0, 1, SIZE_MAX_ANY);
    c->mel_bins = (uint32_t)conure_keys_int(keys, p, "features", 64, 1, SIZE_MAX_ANY);
    c->preemphasis = 0.97f;
    if (conure_keys_has(keys, p, "preemph", &is_null) || is_null) /* null: none */
        c->preemphasis = is_null ? 0 : (float)conure_keys_number(keys, p, "preemph", 0);
    /* "tiny" and "eps" are refused as no numbers. */
    c->log_guard = (float)conure_keys_number(keys, p, "log_zero_guard_value", ldexp(1, -24));
    c->mel_low_hz = conure_keys_number(keys, p, "lowfreq", 0);
    c->mel_high_hz = c->sample_rate_hz / 2.0;
    if (conure_keys_has(keys, p, "highfreq", &is_null))
        c->mel_high_hz = conure_keys_number(keys, p, "highfreq", 0);
}

/* ---- encoder --------------------------------------------------------------------------------- */

/* Dropouts, stochastic depth and att_context_probs act in training only; chunking of the
 * subsampling and sdpa change how, not what; the global_* are of another attention. */
static const char encoder_keys[] =
    "_target_ feat_in feat_out n_layers d_model use_bias subsampling subsampling_factor "
    "subsampling_conv_channels subsampling_conv_chunking_factor causal_downsampling "
    "reduction reduction_position reduction_factor ff_expansion_factor self_attention_model "
    "n_heads att_context_size att_context_probs att_context_style xscaling untie_biases "
    "pos_emb_max_len conv_kernel_size conv_norm_type conv_context_size dropout "
    "dropout_pre_encoder dropout_emb dropout_att stochastic_depth_drop_prob "
    "stochastic_depth_mode stochastic_depth_start_layer global_tokens global_tokens_spacing "
    "global_attn_separate use_pytorch_sdpa use_pytorch_sdpa_backends sync_max_audio_length";

static void encoder_fixed(conure_keys *keys, conure_section e)
{
    conure_keys_want_class(keys, e, "_target_", "ConformerEncoder");
    if (!conure_keys_find(keys, e, "subsampling")) /* NeMo's default is "striding" */
        conure_keys_refuse(keys, e, "subsampling", "dw_striding");
    conure_keys_choice(keys, e, "subsampling", 0, "dw_striding");
    conure_keys_want_number(keys, e, "subsampling_factor", 4, 8);
    conure_keys_want_bool(keys, e, "causal_downsampling", false, false);
    conure_keys_want_null(keys, e, "reduction");
    conure_keys_choice(keys, e, "self_attention_model", 0, "rel_pos");
    conure_keys_choice(keys, e, "conv_norm_type", 0, "batch_norm");
}

/* Two whole numbers; false when the node is not a list of two. */
static bool pair_read(conure_keys *keys, conure_yaml_node list, int64_t pair[2])
{
    const conure_yaml_node first = conure_yaml_first(keys->yaml, list);
    return conure_yaml_kind_of(keys->yaml, list) == CONURE_YAML_SEQUENCE &&
           conure_yaml_count(keys->yaml, list) == 2 &&
           conure_yaml_int(keys->yaml, first, &pair[0]) &&
           conure_yaml_int(keys->yaml, conure_yaml_next(keys->yaml, first), &pair[1]);
}

static void attention_context(conure_keys *keys, conure_config *c, conure_section e)
{
    const conure_yaml_node node = conure_keys_find(keys, e, "att_context_size");
    const conure_yaml_node first = conure_yaml_first(keys->yaml, node);
    int64_t pair[2] = {-1, -1};
    c->att_style = (conure_context_style)conure_keys_choice(
        keys, e, "att_context_style", CONURE_REGULAR, "regular chunked_limited");
    if (node && !pair_read(keys, node, pair) && /* a list of pairs: the first is for inference */
        !(conure_yaml_kind_of(keys->yaml, node) == CONURE_YAML_SEQUENCE &&
          pair_read(keys, first, pair)))
        conure_keys_refuse(keys, e, "att_context_size",
                           "null, [left, right], or a list of such pairs");
    if (pair[0] < -1 || pair[1] < -1 || pair[0] > SIZE_MAX_ANY || pair[1] > SIZE_MAX_ANY)
        conure_keys_fail(keys, CONURE_UNSUPPORTED,
                         "encoder.att_context_size: [%lld, %lld] is not supported; supported: -1 "
                         "(all) or 0 to %d frames",
                         (long long)pair[0], (long long)pair[1], SIZE_MAX_ANY);
    if (c->att_style == CONURE_CHUNKED_LIMITED && pair[1] >= 0 && pair[0] > 0 &&
        pair[0] % (pair[1] + 1) != 0)
        conure_keys_fail(keys, CONURE_BAD_FILE,
                         "encoder.att_context_size: [%lld, %lld] with chunked_limited: left must "
                         "be a multiple of right + 1",
                         (long long)pair[0], (long long)pair[1]);
    c->att_left = (int32_t)pair[0];
    c->att_right = (int32_t)pair[1];
}

static void convolution_context(conure_keys *keys, conure_config *c, conure_section e)
{
    const conure_yaml_node node = conure_keys_find(keys, e, "conv_context_size");
    const char *text = conure_yaml_text(keys->yaml, node);
    int64_t pair[2] = {(c->conv_kernel - 1) / 2, (c->conv_kernel - 1) / 2};
    if (text && strcmp(text, "causal") == 0) {
        pair[0] = c->conv_kernel - 1;
        pair[1] = 0;
    } else if (node && !pair_read(keys, node, pair)) {
        conure_keys_refuse(keys, e, "conv_context_size", "null, causal, [left, right]");
    }
    if (pair[0] < 0 || pair[1] < 0 || pair[0] >= c->conv_kernel ||
        pair[0] + pair[1] + 1 != c->conv_kernel)
        conure_keys_fail(keys, CONURE_BAD_FILE,
                         "encoder.conv_context_size: [%lld, %lld], expected left + right + 1 = "
                         "conv_kernel_size, which is %u",
                         (long long)pair[0], (long long)pair[1], c->conv_kernel);
    c->conv_left = (uint32_t)pair[0];
    c->conv_right = (uint32_t)pair[1];
}

static void encoder_read(conure_keys *keys, conure_config *c, const sections *s)
{
    const conure_section e = s->encoder;
    conure_keys_known(keys, e, encoder_keys);
    encoder_fixed(keys, e);
    const int64_t feat_in = conure_keys_required(keys, e, "feat_in", 1, SIZE_MAX_ANY);
    if (feat_in != c->mel_bins)
        conure_keys_fail(keys, CONURE_BAD_FILE,
                         "encoder.feat_in: %lld, but preprocessor.features is %u",
                         (long long)feat_in, c->mel_bins);
    c->n_layers = (uint32_t)conure_keys_required(keys, e, "n_layers", 1, SIZE_MAX_ANY);
    c->d_model = (uint32_t)conure_keys_required(keys, e, "d_model", 1, SIZE_MAX_ANY);
    c->n_heads = (uint32_t)conure_keys_int(keys, e, "n_heads", 4, 1, SIZE_MAX_ANY);
    c->conv_kernel = (uint32_t)conure_keys_int(keys, e, "conv_kernel_size", 31, 1, SIZE_MAX_ANY);
    c->ff_width = c->d_model * (uint32_t)conure_keys_int(keys, e, "ff_expansion_factor", 4, 1, 64);
    const int64_t feat_out = conure_keys_int(keys, e, "feat_out", -1, INT32_MIN, INT32_MAX);
    if (feat_out > 0 && feat_out != c->d_model) /* would add a projection */
        conure_keys_refuse(keys, e, "feat_out", "-1");
    const int64_t channels =
        conure_keys_int(keys, e, "subsampling_conv_channels", -1, INT32_MIN, SIZE_MAX_ANY);
    c->subsampling_channels = channels > 0 ? (uint32_t)channels : c->d_model;
    c->use_bias = conure_keys_bool(keys, e, "use_bias", true);
    c->xscaling = conure_keys_bool(keys, e, "xscaling", true);
    c->untie_biases = conure_keys_bool(keys, e, "untie_biases", true);
    c->pos_emb_max_len =
        (uint32_t)conure_keys_int(keys, e, "pos_emb_max_len", 5000, 1, SIZE_MAX_ANY);
    attention_context(keys, c, e);
    convolution_context(keys, c, e);
}

/* ---- decoder, joint, durations --------------------------------------------------------------- */

/* Training only: random_state_sampling, dropout, t_max, the scales of initial weights,
 * masking_prob, the fused loss.  log_softmax shifts all scores of a frame alike. */
static const char decoder_keys[] =
    "_target_ prednet vocab_size normalization_mode random_state_sampling blank_as_pad";
static const char prednet_keys[] =
    "pred_hidden pred_rnn_layers t_max dropout forget_gate_bias weights_init_scale "
    "hidden_hidden_bias_scale rnn_hidden_size";
static const char joint_keys[] =
    "_target_ jointnet num_classes num_extra_outputs vocabulary log_softmax preserve_memory "
    "fuse_loss_wer fused_batch_size experimental_fuse_loss_wer masking_prob";
static const char jointnet_keys[] = "joint_hidden activation dropout encoder_hidden pred_hidden";

static void same(conure_keys *keys, conure_section section, const char *key, uint32_t want,
                 const char *as)
{
    const int64_t value = conure_keys_int(keys, section, key, want, INT32_MIN, INT32_MAX);
    if (value != want)
        conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: %lld, but %s is %u", section.path, key,
                         (long long)value, as, want);
}

static void decoder_read(conure_keys *keys, conure_config *c, const sections *s)
{
    conure_keys_known(keys, s->decoder, decoder_keys);
    conure_keys_known(keys, s->prednet, prednet_keys);
    conure_keys_known(keys, s->joint, joint_keys);
    conure_keys_known(keys, s->jointnet, jointnet_keys);
    conure_keys_want_class(keys, s->decoder, "_target_", "RNNTDecoder");
    conure_keys_want_class(keys, s->joint, "_target_", "RNNTJoint");
    conure_keys_want_null(keys, s->decoder, "normalization_mode");
    conure_keys_want_bool(keys, s->decoder, "blank_as_pad", true, true);
    if (conure_keys_int(keys, s->prednet, "rnn_hidden_size", -1, INT32_MIN, INT32_MAX) > 0)
        conure_keys_refuse(keys, s->prednet, "rnn_hidden_size", "-1");
    c->vocab_size = (uint32_t)conure_keys_required(keys, s->decoder, "vocab_size", 1, SIZE_MAX_ANY);
    c->pred_hidden =
        (uint32_t)conure_keys_required(keys, s->prednet, "pred_hidden", 1, SIZE_MAX_ANY);
    c->pred_layers = (uint32_t)conure_keys_int(keys, s->prednet, "pred_rnn_layers", 1, 1, 1024);
    c->joint_hidden =
        (uint32_t)conure_keys_required(keys, s->jointnet, "joint_hidden", 1, SIZE_MAX_ANY);
    if (!conure_keys_find(keys, s->jointnet, "activation"))
        conure_keys_refuse(keys, s->jointnet, "activation", "relu");
    conure_keys_choice(keys, s->jointnet, "activation", 0, "relu");
    same(keys, s->joint, "num_classes", c->vocab_size, "decoder.vocab_size");
    same(keys, s->jointnet, "encoder_hidden", c->d_model, "encoder.d_model");
    same(keys, s->jointnet, "pred_hidden", c->pred_hidden, "decoder.prednet.pred_hidden");
}

typedef struct durations {
    uint32_t n, frames[CONURE_DURATIONS_MAX];
} durations;

/* The list of this key; false when it is absent. */
static bool durations_list(conure_keys *keys, conure_section in, const char *key, durations *out)
{
    const conure_yaml_node list = conure_keys_find(keys, in, key);
    *out = (durations){0};
    if (!list)
        return false;
    if (conure_yaml_kind_of(keys->yaml, list) != CONURE_YAML_SEQUENCE ||
        conure_yaml_count(keys->yaml, list) > CONURE_DURATIONS_MAX)
        conure_keys_refuse(keys, in, key, "a list of at most 16 numbers");
    for (conure_yaml_node at = conure_yaml_first(keys->yaml, list); at && keys->status == CONURE_OK;
         at = conure_yaml_next(keys->yaml, at)) {
        int64_t frames;
        if (!conure_yaml_int(keys->yaml, at, &frames) || frames < 0 || frames > SIZE_MAX_ANY)
            conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: an item is not a number of frames",
                             in.path, key);
        else
            out->frames[out->n++] = (uint32_t)frames;
    }
    return true;
}

/* "[0, 1, 2]" into text. */
static const char *durations_text(char *text, size_t cap, const durations *d)
{
    size_t used = (size_t)snprintf(text, cap, "[");
    for (uint32_t i = 0; i < d->n && used < cap; i++)
        used += (size_t)snprintf(text + used, cap - used, "%s%u", i ? ", " : "", d->frames[i]);
    if (used < cap)
        snprintf(text + used, cap - used, "]");
    return text;
}

/* NeMo's order: the loss's, when it is the tdt loss, then decoding's, then model_defaults'.  The first
 * is used, the others are read too: they should say the same. */
static void durations_read(conure_keys *keys, conure_nemo_config *out, const sections *s)
{
    conure_config *c = &out->config;
    const conure_section loss = conure_keys_section(keys, s->top, "loss", "loss.", false);
    const conure_section tdt =
        conure_keys_section(keys, loss, "tdt_kwargs", "loss.tdt_kwargs.", false);
    const conure_section decoding =
        conure_keys_section(keys, s->top, "decoding", "decoding.", false);
    const conure_section defaults =
        conure_keys_section(keys, s->top, "model_defaults", "model_defaults.", false);
    const struct {
        conure_section section;
        const char *key;
    } places[] = {{tdt, "durations"}, {decoding, "durations"}, {defaults, "tdt_durations"}};
    const bool has_loss = conure_keys_find(keys, loss, "loss_name") != 0;
    durations used = {0}, other;
    size_t from = 0;
    conure_keys_choice(keys, loss, "loss_name", 0, "tdt");
    if (!has_loss) /* with the tdt loss NeMo sets it, whatever stands there */
        conure_keys_choice(keys, decoding, "model_type", 0, "tdt");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char text[2][64];
        if (!durations_list(keys, places[i].section, places[i].key, &other))
            continue;
        if (!used.n) {
            used = other;
            from = i;
        } else if (memcmp(&used, &other, sizeof used) != 0 && !out->note[0]) {
            snprintf(out->note, sizeof out->note, "%s%s is %s, but %s%s, which is used, is %s",
                     places[i].section.path, places[i].key,
                     durations_text(text[0], sizeof text[0], &other), places[from].section.path,
                     places[from].key, durations_text(text[1], sizeof text[1], &used));
        }
    }
    c->n_durations = used.n;
    memcpy(c->durations, used.frames, sizeof used.frames);
    if (c->n_durations == 0)
        conure_keys_fail(keys, CONURE_UNSUPPORTED,
                         "loss.tdt_kwargs.durations: missing, also as decoding.durations and "
                         "model_defaults.tdt_durations; "
                         "only TDT models are supported");
    const int64_t extra = conure_keys_int(keys, s->joint, "num_extra_outputs", 0, 0, SIZE_MAX_ANY);
    if (extra != c->n_durations)
        conure_keys_fail(keys, CONURE_BAD_FILE,
                         "joint.num_extra_outputs: %lld, but there are %u durations",
                         (long long)extra, c->n_durations);
}

static void decoding_read(conure_keys *keys, conure_config *c, const sections *s)
{
    static const char *const spellings[] = {"max_symbols", "max_symbols_per_step"};
    const conure_section decoding =
        conure_keys_section(keys, s->top, "decoding", "decoding.", false);
    const conure_section greedy =
        conure_keys_section(keys, decoding, "greedy", "decoding.greedy.", false);
    conure_keys_choice(keys, decoding, "strategy", 0, "greedy_batch greedy");
    c->max_symbols = 10; /* absent or null; NeMo's own configurations say 10 */
    for (int i = 0; i < 2; i++) {
        if (!conure_keys_find(keys, greedy, spellings[i]))
            continue;
        c->max_symbols = (uint32_t)conure_keys_int(keys, greedy, spellings[i], 10, 1, SIZE_MAX_ANY);
        break;
    }
}

/* ---- vocabulary and tokenizer ---------------------------------------------------------------- */

static void list_size(conure_keys *keys, conure_section section, const char *key,
                      uint32_t vocab_size)
{
    const conure_yaml_node list = conure_keys_find(keys, section, key);
    if (list && (conure_yaml_kind_of(keys->yaml, list) != CONURE_YAML_SEQUENCE ||
                 conure_yaml_count(keys->yaml, list) != vocab_size))
        conure_keys_fail(keys, CONURE_BAD_FILE, "%s%s: %u items, but decoder.vocab_size is %u",
                         section.path, key, conure_yaml_count(keys->yaml, list), vocab_size);
}

static void pieces_read(conure_keys *keys, conure_nemo_config *out, const sections *s)
{
    conure_yaml_node list = conure_keys_find(keys, s->joint, "vocabulary");
    list_size(keys, s->joint, "vocabulary", out->config.vocab_size);
    list_size(keys, s->top, "labels", out->config.vocab_size);
    if (!list)
        list = conure_keys_find(keys, s->top, "labels");
    const uint32_t n = conure_yaml_count(keys->yaml, list);
    if (!list || n == 0 || keys->status != CONURE_OK)
        return;
    out->pieces = conure_calloc(n, sizeof *out->pieces);
    if (!out->pieces)
        keys->status = conure_fail_memory(keys->err, "the vocabulary", n * sizeof *out->pieces);
    for (conure_yaml_node at = conure_yaml_first(keys->yaml, list); at && keys->status == CONURE_OK;
         at = conure_yaml_next(keys->yaml, at)) {
        const char *text = conure_yaml_text(keys->yaml, at);
        if (!text) {
            conure_keys_fail(keys, CONURE_BAD_FILE, "vocabulary: item %u is not a text",
                             out->n_pieces);
            return;
        }
        out->pieces[out->n_pieces] = conure_strdup(text);
        if (!out->pieces[out->n_pieces++])
            keys->status = conure_fail_memory(keys->err, "the vocabulary", strlen(text) + 1);
    }
}

static void tokenizer_read(conure_keys *keys, conure_nemo_config *out, const sections *s)
{
    const conure_section t = conure_keys_section(keys, s->top, "tokenizer", "tokenizer.", false);
    const conure_yaml_node path = conure_keys_find(keys, t, "model_path");
    const char *text = conure_yaml_text(keys->yaml, path);
    conure_keys_choice(keys, t, "type", 0, "bpe");
    if (path && !text)
        conure_keys_refuse(keys, t, "model_path", "nemo:MEMBER");
    if (!text || !*text || keys->status != CONURE_OK)
        return;
    if (strncmp(text, "nemo:", 5) == 0)
        text += 5;
    out->tokenizer_member = conure_strdup(text);
    if (!out->tokenizer_member)
        keys->status = conure_fail_memory(keys->err, "the tokenizer's name", strlen(text) + 1);
}

/* ---- all ------------------------------------------------------------------------------------- */

static void sections_find(conure_keys *keys, sections *s)
{
    s->top = (conure_section){"", conure_yaml_root(keys->yaml)};
    if (conure_yaml_kind_of(keys->yaml, s->top.node) != CONURE_YAML_MAPPING)
        conure_keys_fail(keys, CONURE_BAD_FILE, "the document is not a mapping");
    const conure_section model = conure_keys_section(keys, s->top, "model", "model.", false);
    if (model.node) /* a training configuration: the model is a part of it */
        s->top.node = model.node;
    conure_keys_want_class(keys, s->top, "target", "EncDecRNNTBPEModel");
    s->preprocessor = conure_keys_section(keys, s->top, "preprocessor", "preprocessor.", true);
    s->encoder = conure_keys_section(keys, s->top, "encoder", "encoder.", true);
    s->decoder = conure_keys_section(keys, s->top, "decoder", "decoder.", true);
    s->prednet = conure_keys_section(keys, s->decoder, "prednet", "decoder.prednet.", true);
    s->joint = conure_keys_section(keys, s->top, "joint", "joint.", true);
    s->jointnet = conure_keys_section(keys, s->joint, "jointnet", "joint.jointnet.", true);
}

conure_status conure_nemo_config_read(conure_nemo_config *out, const uint8_t *text, size_t bytes,
                                      conure_error *err)
{
    conure_yaml *yaml;
    sections s;
    *out = (conure_nemo_config){.config.mask = CONURE_MASK_NEMO};
    const conure_status status = conure_yaml_parse(&yaml, text, bytes, err);
    if (status != CONURE_OK)
        return status;
    conure_keys keys = {yaml, err, CONURE_OK};
    sections_find(&keys, &s);
    preprocessor_read(&keys, &out->config, &s);
    encoder_read(&keys, &out->config, &s);
    decoder_read(&keys, &out->config, &s);
    durations_read(&keys, out, &s);
    decoding_read(&keys, &out->config, &s);
    pieces_read(&keys, out, &s);
    tokenizer_read(&keys, out, &s);
    conure_yaml_free(&yaml);
    if (keys.status != CONURE_OK)
        conure_nemo_config_free(out);
    return keys.status;
}

void conure_nemo_config_free(conure_nemo_config *config)
{
    for (uint32_t i = 0; i < config->n_pieces; i++)
        free(config->pieces[i]);
    free(config->pieces);
    free(config->tokenizer_member);
    *config = (conure_nemo_config){0};
}

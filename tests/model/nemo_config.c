/* nemo_config.c - model_config.yaml: one change at a time, and what comes of it. */
#include "model/nemo_config.h"
#include "base/memory.h"
#include "nemo_yaml.h"
#include "test.h"

#include <locale.h>

/* The base text with one piece replaced (from must be there); freed by the caller. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(nemo_yaml, from);
    char *text = malloc(sizeof nemo_yaml + strlen(to));
    test_true(at != NULL);
    if (!at)
        at = nemo_yaml;
    sprintf(text, "%.*s%s%s", (int)(at - nemo_yaml), nemo_yaml, to, at + strlen(from));
    return text;
}

static conure_status read_text(conure_nemo_config *out, const char *text, conure_error *err)
{
    err->text[0] = '\0';
    return conure_nemo_config_read(out, (const uint8_t *)text, strlen(text), err);
}

static conure_config config_of(const char *from, const char *to)
{
    conure_nemo_config out;
    conure_error err;
    char *text = changed(from, to);
    const conure_status status = read_text(&out, text, &err);
    if (status != CONURE_OK)
        fprintf(stderr, "'%s': %s\n", to, err.text);
    test_int(status, CONURE_OK);
    const conure_config config = out.config;
    conure_nemo_config_free(&out);
    free(text);
    return config;
}

static void refused(const char *from, const char *to, conure_status want, const char *part)
{
    conure_nemo_config out;
    conure_error err;
    char *text = changed(from, to);
    test_int(read_text(&out, text, &err), want);
    test_contains(err.text, part);
    test_true(out.pieces == NULL && out.tokenizer_member == NULL);
    conure_nemo_config_free(&out);
    free(text);
}

static void test_base(void)
{
    conure_nemo_config out;
    conure_error err;
    test_int(read_text(&out, nemo_yaml, &err), CONURE_OK);
    const conure_config *c = &out.config;
    test_int(c->mel_bins, 80);
    test_int(c->window_samples, 400);
    test_int(c->ff_width, 192);
    test_int(c->use_bias || c->xscaling, false);
    test_int(c->max_symbols, 7);
    test_int(c->n_durations, 3);
    test_int(c->conv_left * 10 + c->conv_right, 44);
    test_int(c->vocab_size, 4);
    test_int(c->mask, CONURE_MASK_NEMO);
    test_int(out.n_pieces, 4);
    test_text(out.pieces[1], "\xe2\x96\x81t");
    test_text(out.pieces[2], "on");
    test_text(out.pieces[3], "'");
    test_true(out.tokenizer_member == NULL);
    conure_nemo_config_free(&out);
}

/* What NeMo's constructors take when a key is absent. */
static void test_defaults(void)
{
    test_int(config_of("  xscaling: false\n", "").xscaling, true);
    test_int(config_of("  use_bias: false\n", "").use_bias, true);
    test_int(config_of("  untie_biases: true\n", "").untie_biases, true);
    test_int(config_of("  att_context_size: [-1, -1]\n", "").att_left, -1);
    test_int(config_of("  att_context_style: regular\n", "").att_style, CONURE_REGULAR);
    test_int(config_of("  subsampling_conv_channels: 24\n", "").subsampling_channels, 48);
    test_int(config_of("  ff_expansion_factor: 4\n", "").ff_width, 192);
    test_int(config_of("  n_heads: 3\n", "").n_heads, 4);
    test_int(config_of("  conv_kernel_size: 9\n", "").conv_kernel, 31);
    test_int(config_of("  conv_kernel_size: 9\n", "").conv_left, 15);
    test_int(config_of("  pos_emb_max_len: 5000\n", "").pos_emb_max_len, 5000);
    test_int(config_of("  window_size: 0.025\n", "").window_samples, 320);
    test_int(config_of("  window_stride: 0.01\n", "").hop_samples, 160);
    test_int(config_of("  n_fft: 512\n", "").n_fft, 512);
    test_int(config_of("  n_fft: 512\n", "  n_fft: null\n").n_fft, 512);
    test_int(config_of("  window_size: 0.025\n", "  window_size: null\n  n_window_size: 384\n")
                 .window_samples,
             384);
    test_int(config_of("    pred_rnn_layers: 2\n", "").pred_layers, 1);
    test_int(config_of("    max_symbols: 7\n", "    other: 1\n").max_symbols, 10);
    test_int(config_of("    max_symbols: 7\n", "    max_symbols: null\n").max_symbols, 10);
    test_int(config_of("    max_symbols: 7\n", "    max_symbols_per_step: 5\n").max_symbols, 5);
    test_near(config_of("  log: true\n", "").preemphasis, 0.97, 1e-7);
    test_near(config_of("  log: true\n", "  preemph: 0.9\n").preemphasis, 0.9, 1e-7);
    test_near(config_of("  log: true\n", "  preemph: null\n").preemphasis, 0, 0);
    test_near(config_of("  log: true\n", "  log_zero_guard_value: 1e-5\n").log_guard, 1e-5, 1e-12);
    test_near(config_of("  log: true\n", "  highfreq: 7600\n  lowfreq: 20.5\n").mel_high_hz, 7600,
              0);
    test_near(config_of("  log: true\n", "  highfreq: 7600\n  lowfreq: 20.5\n").mel_low_hz, 20.5,
              0);
}

static void test_understood(void)
{
    test_int(config_of("xscaling: false", "xscaling: True").xscaling, true);
    test_int(config_of("att_context_size: [-1, -1]", "att_context_size: [70, 13]").att_right, 13);
    const conure_config pairs =
        config_of("att_context_size: [-1, -1]\n  att_context_style: regular",
                  "att_context_size: [[70, 13], [70, 6]]\n  att_context_style: chunked_limited");
    test_int(pairs.att_left, 70);
    test_int(pairs.att_right, 13);
    test_int(pairs.att_style, CONURE_CHUNKED_LIMITED);
    test_int(config_of("conv_context_size: null", "conv_context_size: causal").conv_left, 8);
    test_int(config_of("conv_context_size: null", "conv_context_size: causal").conv_right, 0);
    test_int(config_of("conv_context_size: null", "conv_context_size: [6, 2]").conv_left, 6);
    test_int(config_of("dropout: 0.1", "stochastic_depth_mode: linear").n_layers, 2);
    /* The loss's durations come before decoding's, decoding's before model_defaults'. */
    test_int(
        config_of("decoding:\n  strategy: greedy_batch\n  model_type: tdt\n  durations: [0, 1, 2]",
                  "decoding:\n  strategy: greedy_batch\n  model_type: rnnt\n  durations: [5]")
            .durations[2],
        2);
    test_int(config_of("loss:\n  loss_name: tdt\n  tdt_kwargs:\n    durations: [0, 1, 2]",
                       "loss:\n  loss_name: tdt")
                 .n_durations,
             3);
    test_int(
        config_of("model_defaults:\n  tdt_durations: [0, 1, 2]", "model_defaults: {}").n_durations,
        3);
    test_int(
        config_of("tdt_kwargs:\n    durations: [0, 1, 2]", "tdt_kwargs:\n    durations: [0, 1, 8]")
            .durations[2],
        8);
    /* An alias of a finished section, quoted and flow style. */
    test_int(config_of("train_ds:\n  anything: ignored\n", "train_ds: &t {a: [1, 2]}\nother: *t\n")
                 .n_layers,
             2);
}

/* Lists of durations that disagree: the first in NeMo's order is used, and the other is named. */
static void test_disagreement(void)
{
    static const struct {
        const char *from, *to, *note;
    } cases[] = {
        {"train_ds", "train_ds", ""},
        {"tdt_durations: [0, 1, 2]", "tdt_durations: [0, 1, 4]",
         "model_defaults.tdt_durations is [0, 1, 4], but loss.tdt_kwargs.durations, which is used, "
         "is [0, 1, 2]"},
        {"  durations: [0, 1, 2]\n  greedy", "  durations: [0]\n  greedy",
         "decoding.durations is [0], but loss.tdt_kwargs.durations, which is used, is [0, 1, 2]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_nemo_config out;
        conure_error err;
        char *text = changed(cases[i].from, cases[i].to);
        test_int(read_text(&out, text, &err), CONURE_OK);
        test_text(out.note, cases[i].note);
        test_int(out.config.durations[2], 2);
        conure_nemo_config_free(&out);
        free(text);
    }
}

/* The whole model under "model:", as in training configurations; the member's name. */
static void test_subtree(void)
{
    conure_buffer text = {0};
    conure_nemo_config out;
    conure_error err;
    conure_buffer_text(&text, "trainer: {max_epochs: 1}\nencoder: nonsense\nmodel:\n");
    for (const char *line = nemo_yaml; *line;) {
        const char *end = strchr(line, '\n') + 1;
        conure_buffer_format(&text, "  %.*s", (int)(end - line), line);
        line = end;
    }
    test_int(read_text(&out, text.data, &err), CONURE_OK);
    test_int(out.config.n_layers, 2);
    conure_nemo_config_free(&out);
    conure_buffer_free(&text);
    char *with = changed("  type: bpe\n", "  type: bpe\n  model_path: nemo:0123_tokenizer.model\n");
    test_int(read_text(&out, with, &err), CONURE_OK);
    test_text(out.tokenizer_member, "0123_tokenizer.model");
    conure_nemo_config_free(&out);
    free(with);
}

static void test_refused_mathematics(void)
{
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"window: hann", "window: hamming",
         "preprocessor.window: 'hamming' is not supported; supported: hann"},
        {"window: hann", "window: null", "preprocessor.window: 'null' is not supported"},
        {"normalize: per_feature", "normalize: all_features",
         "preprocessor.normalize: 'all_features'"},
        {"normalize: per_feature", "normalize: null", "preprocessor.normalize: 'null'"},
        {"log: true", "log: false", "preprocessor.log: 'false' is not supported; supported: true"},
        {"frame_splicing: 1", "frame_splicing: 3",
         "preprocessor.frame_splicing: '3' is not supported; supported: 1"},
        {"pad_to: 0", "pad_to: 16", "preprocessor.pad_to: '16' is not supported; supported: 0"},
        {"  pad_to: 0\n", "", "preprocessor.pad_to: absent, which means 16; supported: 0"},
        {"pad_value: 0.0", "pad_value: -1.5", "preprocessor.pad_value: '-1.5'"},
        {"  log: true\n", "  log_zero_guard_type: clamp\n",
         "preprocessor.log_zero_guard_type: 'clamp'"},
        {"  log: true\n", "  mag_power: 1.0\n",
         "preprocessor.mag_power: '1.0' is not supported; supported: 2"},
        {"  log: true\n", "  exact_pad: true\n", "preprocessor.exact_pad: 'true'"},
        {"  log: true\n", "  mel_norm: null\n",
         "preprocessor.mel_norm: 'null' is not supported; supported: slaney"},
        {"  log: true\n", "  use_torchaudio: true\n", "preprocessor.use_torchaudio: 'true'"},
        {"  log: true\n", "  cepstra: 13\n",
         "preprocessor.cepstra: '13' (line 17): a key that is not known"},
        {"  log: true\n", "  log dither: true\n", "preprocessor.log dither: 'true'"},
        {"modules.AudioToMelSpectrogramPreprocessor", "modules.AudioToMFCCPreprocessor",
         "preprocessor._target_"},
        {"subsampling: dw_striding", "subsampling: striding",
         "encoder.subsampling: 'striding' is not supported; supported: dw_striding"},
        {"  subsampling: dw_striding\n", "",
         "encoder.subsampling: missing; supported: dw_striding"},
        {"subsampling_factor: 8", "subsampling_factor: 4",
         "encoder.subsampling_factor: '4' is not supported; supported: 8"},
        {"  subsampling_factor: 8\n", "",
         "encoder.subsampling_factor: absent, which means 4; supported: 8"},
        {"causal_downsampling: false", "causal_downsampling: true",
         "encoder.causal_downsampling: 'true'"},
        {"reduction: null", "reduction: striding", "encoder.reduction: 'striding'"},
        {"self_attention_model: rel_pos", "self_attention_model: rel_pos_local_attn",
         "encoder.self_attention_model: 'rel_pos_local_attn'"},
        {"conv_norm_type: batch_norm", "conv_norm_type: layer_norm",
         "encoder.conv_norm_type: 'layer_norm'"},
        {"att_context_style: regular", "att_context_style: chunked_limited_with_rc",
         "encoder.att_context_style"},
        {"att_context_size: [-1, -1]", "att_context_size: 5", "encoder.att_context_size: '5'"},
        {"att_context_size: [-1, -1]", "att_context_size: [1, 2, 3]",
         "encoder.att_context_size: 'a list'"},
        {"att_context_size: [-1, -1]", "att_context_size: [-2, 0]",
         "encoder.att_context_size: [-2, 0]"},
        {"conv_context_size: null", "conv_context_size: future",
         "encoder.conv_context_size: 'future'"},
        {"feat_out: -1", "feat_out: 512", "encoder.feat_out: '512'"},
        {"dropout: 0.1", "adapters: {}", "encoder.adapters: 'a mapping'"},
        {"blank_as_pad: true", "blank_as_pad: false", "decoder.blank_as_pad: 'false'"},
        {"normalization_mode: null", "normalization_mode: layer",
         "decoder.normalization_mode: 'layer'"},
        {"    pred_rnn_layers: 2\n", "    rnn_hidden_size: 64\n",
         "decoder.prednet.rnn_hidden_size: '64'"},
        {"    pred_rnn_layers: 2\n", "    context_size: 2\n", "decoder.prednet.context_size"},
        {"activation: relu", "activation: tanh",
         "joint.jointnet.activation: 'tanh' is not supported; supported: relu"},
        {"    activation: relu\n", "", "joint.jointnet.activation: missing"},
        {"  log_softmax: null\n", "  gated: true\n", "joint.gated: 'true'"},
        {"loss_name: tdt", "loss_name: warprnnt_numba", "loss.loss_name: 'warprnnt_numba'"},
        {"strategy: greedy_batch", "strategy: beam",
         "decoding.strategy: 'beam' is not supported; supported: greedy_batch greedy"},
        {"type: bpe", "type: agg", "tokenizer.type: 'agg'"},
        {"target: nemo.collections.asr.models.rnnt_bpe_models.EncDecRNNTBPEModel",
         "target: a.EncDecCTCModel", "target: 'a.EncDecCTCModel'"},
        {"\ntarget", "\n${x}: ${y}\ntarget", ""},
    };
    for (size_t i = 0; i + 1 < sizeof cases / sizeof *cases; i++)
        refused(cases[i].from, cases[i].to, CONURE_UNSUPPORTED, cases[i].part);
    /* The last: a key outside of the four sections is nobody's business. */
    test_int(config_of("\ntarget", "\n${x}: ${y}\ntarget").n_layers, 2);
}

static void test_refused_contradictions(void)
{
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"feat_in: 80", "feat_in: 64", "encoder.feat_in: 64, but preprocessor.features is 80"},
        {"sample_rate: 16000\n", "sample_rate: 8000\n",
         "sample_rate: 8000, but preprocessor.sample_rate is 16000"},
        {"num_classes: 4", "num_classes: 5", "joint.num_classes: 5, but decoder.vocab_size is 4"},
        {"encoder_hidden: 48", "encoder_hidden: 64",
         "joint.jointnet.encoder_hidden: 64, but encoder.d_model is 48"},
        {"    encoder_hidden: 48\n    pred_hidden: 32", "    pred_hidden: 33",
         "joint.jointnet.pred_hidden: 33"},
        {"num_extra_outputs: 3", "num_extra_outputs: 5",
         "joint.num_extra_outputs: 5, but there are 3 durations"},
        {"  num_extra_outputs: 3\n", "", "joint.num_extra_outputs: 0, but there are 3 durations"},
        {"  - ''''\n", "", "joint.vocabulary: 3 items, but decoder.vocab_size is 4"},
        {"  - ''''\n", "  - [x]\n", "vocabulary: item 3 is not a text"},
        {"att_context_size: [-1, -1]\n  att_context_style: regular",
         "att_context_size: [70, 3]\n  att_context_style: chunked_limited",
         "left must be a multiple of right + 1"},
        {"conv_context_size: null", "conv_context_size: [4, 5]",
         "left + right + 1 = conv_kernel_size, which is 9"},
        {"conv_kernel_size: 9", "conv_kernel_size: 8", "which is 8"},
        {"n_layers: 2", "n_layers: two",
         "encoder.n_layers: 'two' (line 26), expected a whole number"},
        {"n_layers: 2", "n_layers: '2'", "encoder.n_layers: '2'"},
        {"n_layers: 2", "n_layers: ${model.n}", "encoder.n_layers: '${model.n}'"},
        {"n_layers: 2", "n_layers: -2", "expected a whole number, 1 to"},
        {"n_layers: 2", "n_layers: 99999999999999999999", "encoder.n_layers"},
        {"  n_layers: 2\n", "", "encoder.n_layers: missing"},
        {"n_layers: 2", "n_layers: 2\n  n_layers: 3", "encoder.n_layers: is there twice"},
        {"use_bias: false", "use_bias: 0", "encoder.use_bias: '0'"},
        {"window_size: 0.025", "window_size: .nan", "preprocessor.window_size: '.nan'"},
        {"window_size: 0.025", "window_size: 1e30", "preprocessor.window_size: 1.6e+34 samples"},
        {"window_size: 0.025", "window_size: 0.025\n  n_window_size: 400",
         "given as well as window_size"},
        {"  log: true\n", "  log_zero_guard_value: eps\n",
         "preprocessor.log_zero_guard_value: 'eps'"},
        {"durations: [0, 1, 2]\ntarget", "durations: [0, -1]\ntarget",
         "loss.tdt_kwargs.durations: an item is not"},
        {"tdt_durations: [0, 1, 2]", "tdt_durations: [0, 1, -2]",
         "model_defaults.tdt_durations: an item is not"},
        {"  durations: [0, 1, 2]\n  greedy", "  durations: [0, 1, -2]\n  greedy",
         "decoding.durations: an item is not"},
        {"max_symbols: 7", "max_symbols: 0", "decoding.greedy.max_symbols: '0'"},
        {"  jointnet:\n", "  jointnet_:\n", "joint.jointnet: missing"},
        {"encoder:\n", "encoder_:\n", "encoder: missing"},
        {"train_ds:\n  anything: ignored", "train_ds: *nothing", "line 4: an alias of nothing"},
        {"train_ds:\n  anything: ignored", "train_ds: &a [*a]",
         "line 4: a value that contains itself"},
        {"train_ds:\n  anything: ignored", "train_ds: \"a\\0b\"", "line 4: a NUL character"},
        {"train_ds:\n  anything: ignored", "train_ds: ]", "yaml: line 4: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].from, cases[i].to, CONURE_BAD_FILE, cases[i].part);
}

static void refused_text(const char *text, conure_status want, const char *part)
{
    conure_nemo_config out;
    conure_error err;
    test_int(read_text(&out, text, &err), want);
    test_contains(err.text, part);
}

static void test_documents(void)
{
    conure_buffer deep = {0}, bomb = {0};
    refused_text("", CONURE_BAD_FILE, "empty");
    refused_text("- 1\n", CONURE_BAD_FILE, "not a mapping");
    refused_text("model: 5\n", CONURE_BAD_FILE, "model: '5' (line 1), expected a mapping");
    refused_text("\xff\xfe\n", CONURE_BAD_FILE, "yaml: ");
    conure_buffer_text(&deep, "a: ");
    for (int i = 0; i < 100; i++)
        conure_buffer_text(&deep, "[");
    refused_text(deep.data, CONURE_LIMIT, "nested deeper than 64 levels");
    conure_buffer_free(&deep);
    /* Nine levels of nine aliases each: 9^9 items, were they copied. */
    conure_buffer_text(&bomb, "a0: &a0 [1,1,1,1,1,1,1,1,1]\n");
    for (int i = 1; i < 10; i++) {
        conure_buffer_format(&bomb, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            conure_buffer_format(&bomb, "*a%d,", i - 1);
        conure_buffer_text(&bomb, "]\n");
    }
    conure_buffer_text(&bomb, nemo_yaml);
    conure_nemo_config out;
    conure_error err;
    test_int(read_text(&out, bomb.data, &err), CONURE_OK);
    conure_nemo_config_free(&out);
    conure_buffer_free(&bomb);
    /* Cut anywhere: never a crash, and never a success before all that is required. */
    long wrong = 0;
    for (size_t n = 0; n < sizeof nemo_yaml - 1; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        memcpy(cut, nemo_yaml, n);
        const conure_status status = conure_nemo_config_read(&out, cut, n, &err);
        wrong += status == CONURE_OK &&
                 n < (size_t)(strstr(nemo_yaml, "  num_classes:") - nemo_yaml) - 1;
        conure_nemo_config_free(&out);
        free(cut);
    }
    test_int(wrong, 0);
}

int main(void)
{
    test_begin("nemo_config");
    /* A locale with a decimal comma, where there is one, must not matter. */
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        setlocale(LC_NUMERIC, "fr_FR.UTF-8");
    test_base();
    test_defaults();
    test_understood();
    test_disagreement();
    test_subtree();
    test_refused_mathematics();
    test_refused_contradictions();
    test_documents();
    return test_end();
}

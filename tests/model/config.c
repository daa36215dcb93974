/* config.c - ranges and combinations of configurations, the tensors they imply, their JSON, and those of
 * transformers. */
#include "model_support.h"

static conure_config v3(void)
{
    conure_config config;
    test_int(conure_config_preset(&config, "parakeet-tdt-0.6b-v3", NULL), CONURE_OK);
    return config;
}

typedef struct listing {
    const char *want; /* a name to look for */
    conure_tensor_spec found;
    uint64_t n, elements, optional, matrices;
} listing;

static conure_status list_one(void *user, const conure_tensor_spec *spec)
{
    listing *l = user;
    uint64_t elements = 1;
    for (uint32_t i = 0; i < spec->rank; i++)
        elements *= spec->shape[i];
    l->n++;
    l->optional += spec->optional;
    l->matrices += spec->is_matrix;
    l->elements += spec->optional || strstr(spec->name, "running") ? 0 : elements;
    if (strcmp(spec->name, l->want) == 0)
        l->found = *spec;
    return CONURE_OK;
}

static conure_status stop_third(void *user, const conure_tensor_spec *spec)
{
    int *n = user;
    (void)spec;
    return ++*n == 3 ? CONURE_CANCELLED : CONURE_OK;
}

static void expect_tensor(const conure_config *config, const char *name, uint32_t rank, uint64_t a,
                          uint64_t b, uint64_t c, bool matrix)
{
    listing l = {.want = name};
    test_int(conure_config_tensors(config, list_one, &l), CONURE_OK);
    test_text(l.found.name, name);
    test_int(l.found.rank, rank);
    test_int(l.found.shape[0], a);
    test_int(rank > 1 ? l.found.shape[1] : 0, b);
    test_int(rank > 2 ? l.found.shape[2] : 0, c);
    test_int(l.found.is_matrix, matrix);
}

static void test_tensors(void)
{
    conure_config config = v3();
    listing l = {.want = ""};
    int n = 0;
    test_int(conure_config_tensors(&config, list_one, &l), CONURE_OK);
    test_int(l.n, 725 - 24); /* all but a counter per layer */
    test_int(l.optional, 2);
    test_int(l.elements, 627008134); /* parameters: without running statistics */
    expect_tensor(&config, "preprocessor.featurizer.fb", 3, 1, 128, 257, false);
    expect_tensor(&config, "encoder.pre_encode.out.weight", 2, 1024, 4096, 0, true);
    expect_tensor(&config, "encoder.pre_encode.conv.6.weight", 4, 256, 256, 1, true);
    expect_tensor(&config, "encoder.pre_encode.conv.5.weight", 4, 256, 1, 3, false);
    expect_tensor(&config, "encoder.layers.23.conv.pointwise_conv1.weight", 3, 2048, 1024, 1, true);
    expect_tensor(&config, "encoder.layers.0.conv.depthwise_conv.weight", 3, 1024, 1, 9, false);
    expect_tensor(&config, "encoder.layers.7.self_attn.pos_bias_v", 2, 8, 128, 0, false);
    expect_tensor(&config, "decoder.prediction.embed.weight", 2, 8193, 640, 0, false);
    expect_tensor(&config, "decoder.prediction.dec_rnn.lstm.weight_hh_l1", 2, 2560, 640, 0, true);
    expect_tensor(&config, "joint.joint_net.2.weight", 2, 8198, 640, 0, true);
    test_int(conure_config_tensors(&config, stop_third, &n), CONURE_CANCELLED);
    test_int(n, 3);

    config.use_bias = true; /* 4 feed-forward, 4 attention, 3 convolutions per layer */
    l = (listing){.want = ""};
    test_int(conure_config_tensors(&config, list_one, &l), CONURE_OK);
    test_int(l.n, 725 - 24 + 24 * 11);
    expect_tensor(&config, "encoder.layers.1.conv.pointwise_conv1.bias", 1, 2048, 0, 0, false);
    expect_tensor(&config, "encoder.layers.1.self_attn.linear_out.bias", 1, 1024, 0, 0, false);
}

#define REFUSED(change, says)                                                                      \
    do {                                                                                           \
        conure_config c = v3();                                                                    \
        conure_error err = {""};                                                                   \
        change;                                                                                    \
        test_true(conure_config_check(&c, &err) < 0);                                              \
        test_contains(err.text, says);                                                             \
    } while (0)

static void test_ranges(void)
{
    conure_config config = v3();
    test_int(conure_config_check(&config, NULL), CONURE_OK);
    REFUSED(c.n_layers = 0, "encoder.n_layers is 0, supported: 1 to 256");
    REFUSED(c.n_layers = 257, "encoder.n_layers is 257");
    REFUSED(c.d_model = 1000000, "encoder.d_model is 1000000");
    REFUSED(c.n_heads = 7, "not a multiple of encoder.n_heads, 7");
    REFUSED(c.n_heads = 0, "encoder.n_heads is 0");
    REFUSED((c.d_model = 15, c.n_heads = 3), "encoder.d_model is 15, supported: even");
    REFUSED(c.conv_left = 8, "conv_context_size is [8, 4]");
    REFUSED(c.att_left = -2, "att_context_size[0] is -2");
    REFUSED((c.att_style = CONURE_CHUNKED_LIMITED, c.att_left = 256, c.att_right = 13),
            "multiple of the chunk, 14");
    REFUSED(c.n_fft = 256, "shorter than the window of 400");
    REFUSED(c.n_fft = 513, "supported: even");
    REFUSED(c.hop_samples = 500, "window_stride is 500");
    REFUSED(c.hop_samples = 0, "window_stride in samples is 0");
    REFUSED(c.mel_high_hz = 9000, "0 .. 9000 Hz");
    REFUSED(c.mel_low_hz = NAN, "preprocessor.lowfreq is");
    REFUSED(c.log_guard = 0, "log_zero_guard_value is 0");
    REFUSED(c.preemphasis = -1, "preprocessor.preemph is -1");
    REFUSED(c.n_durations = 0, "tdt_durations is 0");
    REFUSED(c.n_durations = CONURE_DURATIONS_MAX + 1, "tdt_durations is 17");
    REFUSED(c.durations[4] = 4000000000u, "tdt_durations[4] is 4000000000");
    REFUSED(c.vocab_size = 0, "decoder.vocab_size is 0");
    REFUSED(c.mask = CONURE_MASK_DEFAULT, "mask convention is 0");
    config.att_style = CONURE_CHUNKED_LIMITED;
    config.att_left = 70;
    config.att_right = 13;
    test_int(conure_config_check(&config, NULL), CONURE_OK);
}

static void test_json(void)
{
    conure_config config = v3(), back;
    conure_error err;
    char *text, *again;
    config.preemphasis = 0.1f;
    config.mel_high_hz = 7999.3;
    config.att_left = 128;
    config.use_bias = true;
    test_int(conure_config_dump(&config, &text, NULL), CONURE_OK);
    test_int(conure_config_parse(&back, text, strlen(text), "t", NULL), CONURE_OK);
    test_int(back.mask, CONURE_MASK_DEFAULT);
    back.mask = config.mask;
    test_int(conure_config_check(&back, NULL), CONURE_OK);
    test_true(back.preemphasis == 0.1f && back.mel_high_hz == 7999.3 && back.att_left == 128);
    test_true(back.use_bias && back.untie_biases && !back.xscaling && back.log_guard == 0x1p-24f);
    test_int(back.durations[4], 4);
    test_int(conure_config_dump(&back, &again, NULL), CONURE_OK);
    test_text(again, text);
    config.mask = CONURE_MASK_EXACT; /* does not show */
    free(again);
    test_int(conure_config_dump(&config, &again, NULL), CONURE_OK);
    test_text(again, text);
    free(again);

    static const struct {
        const char *from, *to, *says;
    } bad[] = {
        {"\"n_layers\":24", "\"n_layers\":\"24\"", "n_layers is a text, expected an integer"},
        {"\"n_layers\":24", "\"n_layers\":-1", "n_layers is -1, supported: 1 to 256"},
        {"\"n_layers\":24", "\"layers\":24", "n_layers is missing"},
        {"\"n_layers\":24", "\"n_layers\":24,\"extra\":1", "written by another version"},
        {"\"n_layers\":24", "\"n_layers\":24,\"n_layers\":24", "not valid JSON"},
        {"\"use_bias\":true", "\"use_bias\":1", "use_bias is an integer, expected true or false"},
        {"\"att_left\":128", "\"att_left\":1e300", "att_left is 1e+300"},
        {"[0,1,2,3,4]", "[0,1,2,3]", "n_durations is 5, but durations has 4"},
        {"[0,1,2,3,4]", "[0,1,2,3,-4]", "durations holds -4"},
        {"[0,1,2,3,4]", "[0,1,2,3,4.5]", "expected a list of integers"},
        {"[0,1,2,3,4]", "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", "17 entries"},
        {"[0,1,2,3,4]", "7", "durations is an integer"},
        {"{", "[", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char changed[4096];
        const char *at = strstr(text, bad[i].from);
        test_true(at != NULL);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, bad[i].to,
                 at + strlen(bad[i].from));
        test_true(conure_config_parse(&back, changed, strlen(changed), "t", &err) < 0);
        test_contains(err.text, bad[i].says);
    }
    free(text);
}

static void count_log(void *user, conure_log_level level, const char *text)
{
    (void)level;
    test_contains(text, "do_something");
    ++*(int *)user;
}

/* One value of config.json replaced (NULL: removed), in the encoder's object or outside. */
static conure_status parse_changed(const char *key, json_t *value, bool encoder, conure_error *err)
{
    const conure_config config = v3();
    json_t *object = hf_config(&config);
    json_t *target = encoder ? json_object_get(object, "encoder_config") : object;
    conure_config got;
    const conure_log silent = {0};
    if (value)
        json_object_set_new(target, key, value);
    else
        json_object_del(target, key);
    char *text = json_dumps(object, 0);
    const conure_status status =
        conure_huggingface_config(&got, text, strlen(text), NULL, 0, "folder", &silent, err);
    free(text);
    json_decref(object);
    return status;
}

static void refused(const char *key, json_t *value, bool encoder, conure_status status,
                    const char *says)
{
    conure_error err = {""};
    test_int(parse_changed(key, value, encoder, &err), status);
    test_contains(err.text, says);
    test_contains(err.text, "folder: ");
}

static void test_huggingface(void)
{
    conure_config want = v3(), got;
    json_t *object = hf_config(&want);
    char *text = json_dumps(object, 0), *a, *b;
    int warnings = 0;
    const conure_log log = {count_log, &warnings};
    test_int(conure_huggingface_config(&got, text, strlen(text), NULL, 0, "f", &log, NULL),
             CONURE_OK);
    test_int(got.mask, CONURE_MASK_EXACT);
    test_int(conure_config_dump(&got, &a, NULL), CONURE_OK);
    test_int(conure_config_dump(&want, &b, NULL), CONURE_OK);
    test_text(a, b);
    free(a);
    free(b);

    static const char processor[] = "{\"feature_extractor\":{\"sampling_rate\":8000,\"n_fft\":256,"
                                    "\"win_length\":200,\"hop_length\":80,\"preemphasis\":0.5,"
                                    "\"do_something\":true}}";
    test_int(conure_huggingface_config(&got, text, strlen(text), processor, strlen(processor), "f",
                                       &log, NULL),
             CONURE_OK);
    test_int(got.sample_rate_hz, 8000);
    test_int(got.window_samples, 200);
    test_true(got.preemphasis == 0.5f && got.mel_high_hz == 4000);
    test_int(warnings, 1);
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"feature_extractor\":{\"feature_size\":80}}", "feature_size is 80, supported: 128"},
        {"{\"feature_extractor\":{\"preemphasis\":2}}", "preemphasis is 2"},
        {"{\"feature_extractor\":{\"padding_value\":1}}", "padding_value is 1"},
        {"{\"feature_extractor\":{\"feature_extractor_type\":\"Other\"}}", "\"Other\""},
        {"{\"feature_extractor\":3}", "feature_extractor is an integer"},
        {"{\"feature_size\":64}", "feature_size is 64"},
        {"{\"decoder_type\":\"ctc\"}", "decoder_type is \"ctc\""},
        {"{\"feature_extractor\":{\"hop_length\":0}}", "window_stride in samples is 0"},
        {"[]", "not a JSON object"},
        {"", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_error err = {""};
        test_true(conure_huggingface_config(&got, text, strlen(text), bad[i].text,
                                            strlen(bad[i].text), "f", &log, &err) < 0);
        test_contains(err.text, bad[i].says);
    }
    free(text);
    json_decref(object);

    refused("model_type", json_string("parakeet_ctc"), false, CONURE_UNSUPPORTED,
            "\"parakeet_ctc\"");
    refused("model_type", NULL, false, CONURE_BAD_FILE, "model_type is missing");
    refused("hidden_act", json_string("tanh"), false, CONURE_UNSUPPORTED, "hidden_act is \"tanh\"");
    refused("hidden_act", json_string("gelu"), true, CONURE_UNSUPPORTED, "hidden_act is \"gelu\"");
    refused("vocab_size", json_integer(0), false, CONURE_BAD_FILE, "vocab_size is 0");
    refused("blank_token_id", json_integer(0), false, CONURE_UNSUPPORTED, "blank_token_id is 0");
    refused("num_key_value_heads", json_integer(2), true, CONURE_UNSUPPORTED,
            "num_key_value_heads is 2");
    refused("subsampling_factor", json_integer(4), true, CONURE_UNSUPPORTED, "supported: 8");
    refused("convolution_bias", json_true(), true, CONURE_UNSUPPORTED, "convolution_bias is true");
    refused("scale_input", NULL, true, CONURE_BAD_FILE, "scale_input is missing");
    refused("scale_input", json_integer(1), true, CONURE_BAD_FILE, "expected true or false");
    refused("conv_kernel_size", json_integer(8), true, CONURE_UNSUPPORTED, "supported: odd");
    refused("num_mel_bins", json_integer(0), true, CONURE_UNSUPPORTED,
            "config.json: encoder_config: num_mel_bins is 0, supported: 1 to 1024");
    refused("hidden_size", json_real(1024.5), true, CONURE_BAD_FILE, "hidden_size is a number");
    refused("hidden_size", json_integer(-1024), true, CONURE_UNSUPPORTED, "hidden_size is -1024");
    refused("num_hidden_layers", json_integer(100000), true, CONURE_UNSUPPORTED,
            "encoder.n_layers is 100000");
    refused("encoder_config", NULL, false, CONURE_BAD_FILE, "encoder_config is missing");
    refused("durations", json_string("0 1"), false, CONURE_BAD_FILE, "durations is a text");
    conure_error err;
    test_int(parse_changed("num_key_value_heads", NULL, true, &err), CONURE_OK);
    test_int(parse_changed("max_symbols_per_step", json_null(), false, &err), CONURE_OK);
}

int main(void)
{
    test_begin("model.config");
    test_tensors();
    test_ranges();
    test_json();
    test_huggingface();
    return test_end();
}

/* nemo_files.c - whole .nemo archives: configuration, tokenizer, tensors, all three with their
 * numbers. Without arguments the fixtures of tests/data; with "shared" those beside the
 * repository. */
#include "base/files.h"
#include "nemo_support.h"

#include <zlib.h>

typedef struct expected {
    const char *file;
    uint32_t mel_bins, n_layers, d_model, n_heads, conv_kernel, subsampling_channels, pred_hidden,
        joint_hidden, n_durations, n_tensors;
    bool use_bias, xscaling;
    conure_dtype weights;
} expected;

/* From the archives' own model_config.yaml; n_tensors is the number of persistent ids that
 * pickletools lists, less one num_batches_tracked a layer. */
static const expected fixtures[] = {
    {"tiny-v3.nemo", 128, 3, 64, 4, 9, 32, 48, 56, 5, 113, false, false, CONURE_F32},
    {"tiny-alt.nemo", 80, 2, 48, 3, 5, 24, 32, 40, 3, 107, true, true, CONURE_F32},
    {"tiny-hostile.nemo", 128, 2, 64, 4, 9, 32, 48, 56, 5, 85, false, false, CONURE_F32},
};
static const expected shared[] = {
    {"spike-tdt-8m.nemo", 128, 8, 192, 6, 9, 128, 192, 192, 5, 253, false, false, CONURE_F16},
};

static void check_config(const conure_config *c, const expected *e)
{
    test_int(c->sample_rate_hz, 16000);
    test_int(c->window_samples, 400);
    test_int(c->hop_samples, 160);
    test_int(c->n_fft, 512);
    test_int(c->mel_bins, e->mel_bins);
    test_near(c->preemphasis, 0.97, 1e-7);
    test_near(c->log_guard, 5.9604644775390625e-08, 0);
    test_near(c->mel_low_hz, 0, 0);
    test_near(c->mel_high_hz, 8000, 0);
    test_int(c->n_layers, e->n_layers);
    test_int(c->d_model, e->d_model);
    test_int(c->n_heads, e->n_heads);
    test_int(c->ff_width, 4 * e->d_model);
    test_int(c->conv_kernel, e->conv_kernel);
    test_int(c->conv_left, e->conv_kernel / 2);
    test_int(c->conv_right, e->conv_kernel / 2);
    test_int(c->subsampling_channels, e->subsampling_channels);
    test_int(c->use_bias, e->use_bias);
    test_int(c->xscaling, e->xscaling);
    test_int(c->untie_biases, true);
    test_int(c->att_left, -1);
    test_int(c->att_right, -1);
    test_int(c->att_style, CONURE_REGULAR);
    test_int(c->pos_emb_max_len, 5000);
    test_int(c->vocab_size, 256);
    test_int(c->pred_hidden, e->pred_hidden);
    test_int(c->pred_layers, 2);
    test_int(c->joint_hidden, e->joint_hidden);
    test_int(c->n_durations, e->n_durations);
    for (uint32_t i = 0; i < c->n_durations; i++)
        test_int(c->durations[i], i);
    test_int(c->max_symbols, 10);
    test_int(c->mask, CONURE_MASK_NEMO);
}

static void check_shape(const conure_model *model, const char *name, conure_dtype dtype,
                        uint32_t rank, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t shape[3] = {a, b, c};
    const conure_tensor *tensor = nemo_tensor(model, name);
    uint64_t n = 1;
    test_true(tensor != NULL);
    if (!tensor)
        return;
    test_int(tensor->rank, rank);
    test_int(tensor->dtype, dtype);
    for (uint32_t i = 0; i < rank; i++) {
        test_int(tensor->shape[i], shape[i]);
        n *= shape[i];
    }
    test_int(tensor->bytes, n * conure_dtype_bytes(dtype));
    test_true((const uint8_t *)tensor->data >= model->map.data &&
              (const uint8_t *)tensor->data + tensor->bytes <= model->map.data + model->map.bytes);
    test_int((uintptr_t)tensor->data % conure_dtype_bytes(dtype), 0);
}

static void check_tensors(const conure_model *model, const expected *e)
{
    test_int(model->n_tensors, e->n_tensors);
    check_shape(model, "preprocessor.featurizer.window", CONURE_F32, 1, 400, 0, 0);
    check_shape(model, "preprocessor.featurizer.fb", CONURE_F32, 3, 1, e->mel_bins, 257);
    check_shape(model, "encoder.pre_encode.out.weight", e->weights, 2, e->d_model,
                e->subsampling_channels * e->mel_bins / 8, 0);
    check_shape(model, "encoder.layers.1.conv.depthwise_conv.weight", e->weights, 3, e->d_model, 1,
                e->conv_kernel);
    check_shape(model, "encoder.layers.1.self_attn.pos_bias_u", e->weights, 2, e->n_heads,
                e->d_model / e->n_heads, 0);
    check_shape(model, "decoder.prediction.embed.weight", e->weights, 2, 257, e->pred_hidden, 0);
    check_shape(model, "decoder.prediction.dec_rnn.lstm.weight_hh_l1", e->weights, 2,
                4 * e->pred_hidden, e->pred_hidden, 0);
    check_shape(model, "joint.joint_net.2.weight", e->weights, 2, 257 + e->n_durations,
                e->joint_hidden, 0);
    test_true(nemo_tensor(model, "encoder.layers.0.conv.batch_norm.num_batches_tracked") == NULL);
    /* A symmetric Hann window of 400 points: zero at its ends, and the value in its middle. */
    const conure_tensor *window = nemo_tensor(model, "preprocessor.featurizer.window");
    if (window) {
        const float *w = window->data;
        test_near(w[0], 0, 0);
        test_near(w[399], 0, 1e-6);
        test_near(w[200], 0.5 - 0.5 * cos(2 * acos(-1.0) * 200 / 399), 1e-6);
    }
}

static void check_file(const char *folder, const expected *e)
{
    char path[4096];
    conure_model model;
    conure_error err;
    test_true(conure_path_join(path, sizeof path, folder, e->file));
    const conure_status status = nemo_open_file(&model, path, &err);
    if (status != CONURE_OK)
        fprintf(stderr, "%s\n", err.text);
    test_int(status, CONURE_OK);
    if (status == CONURE_OK) {
        test_true(conure_nemo_recognises(&model.map));
        check_config(&model.config, e);
        check_tensors(&model, e);
        test_int(conure_tokenizer_size(model.tokenizer), 256);
        test_text(conure_tokenizer_piece(model.tokenizer, 0), "<unk>");
        test_text(conure_tokenizer_piece(model.tokenizer, 11), "\xe2\x96\x81the");
    }
    nemo_close(&model);
    /* And every tensor that the configuration implies is there, in its shape, finite. */
    conure_model *whole = NULL;
    conure_model_info info = {.struct_bytes = sizeof info};
    test_int(conure_model_open(&whole, path, NULL, &err), CONURE_OK);
    test_int(conure_model_get_info(whole, &info), CONURE_OK);
    test_int(info.n_layers, e->n_layers);
    test_int(info.format, CONURE_FORMAT_NEMO);
    conure_model_close(&whole);
}

/* The same archive through gzip gives the same tensors, from the inflated map. */
static void check_gzip(const char *folder)
{
    char path[4096];
    const char *zipped = "nemo_files.nemo.gz";
    conure_model plain, inflated;
    conure_error err;
    test_true(conure_path_join(path, sizeof path, folder, "tiny-alt.nemo"));
    test_int(nemo_open_file(&plain, path, &err), CONURE_OK);
    gzFile out = gzopen(zipped, "wb1");
    /* Two members in a row are one file to gzip. */
    const unsigned half = (unsigned)(plain.map.bytes / 2);
    test_int(gzwrite(out, plain.map.data, half), half);
    test_int(gzclose(out), Z_OK);
    out = gzopen(zipped, "ab1");
    test_int(gzwrite(out, plain.map.data + half, (unsigned)plain.map.bytes - half),
             plain.map.bytes - half);
    test_int(gzclose(out), Z_OK);
    const conure_status status = nemo_open_file(&inflated, zipped, &err);
    test_int(status, CONURE_OK);
    test_int(inflated.map.bytes, plain.map.bytes);
    test_int(inflated.n_tensors, plain.n_tensors);
    for (uint32_t i = 0; status == CONURE_OK && i < plain.n_tensors; i++) {
        test_text(inflated.tensors[i].name, plain.tensors[i].name);
        test_true(memcmp(inflated.tensors[i].data, plain.tensors[i].data, plain.tensors[i].bytes) ==
                  0);
    }
    test_true(memcmp(&inflated.config, &plain.config, sizeof plain.config) == 0);
    nemo_close(&inflated);
    nemo_close(&plain);
    remove(zipped);
}

static void note(void *user, conure_log_level level, const char *text)
{
    test_int(level, CONURE_LOG_WARNING);
    snprintf(user, 512, "%s", text);
}

/* The configuration of a whole archive changed in place, by a text of the same length. */
static conure_status open_changed(const char *from, const char *to, char noted[512],
                                  conure_error *err)
{
    char path[4096];
    const char *changed = "nemo_files.nemo";
    conure_model *model = NULL;
    conure_model_options options;
    conure_map map;
    conure_model_options_init(&options);
    options.log = note;
    options.log_user = noted;
    noted[0] = err->text[0] = '\0';
    test_true(conure_path_join(path, sizeof path, TEST_DATA "/models", "tiny-alt.nemo"));
    test_int(conure_map_open(&map, path, err), CONURE_OK);
    uint8_t *copy = malloc(map.bytes);
    memcpy(copy, map.data, map.bytes);
    uint8_t *at = memmem(copy, map.bytes, from, strlen(from));
    test_true(at != NULL);
    if (at)
        memcpy(at, to, strlen(to));
    FILE *file = fopen(changed, "wb");
    test_true(file && fwrite(copy, 1, map.bytes, file) == map.bytes);
    test_true(file && fclose(file) == 0);
    free(copy);
    conure_map_close(&map);
    const conure_status status = conure_model_open(&model, changed, &options, err);
    conure_model_close(&model);
    remove(changed);
    return status;
}

/* Weights beyond the configuration's are refused as by NeMo's strict loading. */
static void check_contradictions(void)
{
    char noted[512];
    conure_error err;
    test_int(open_changed("n_layers: 2", "n_layers: 2", noted, &err), CONURE_OK);
    test_text(noted, "");
    test_int(open_changed("n_layers: 2", "n_layers: 1", noted, &err), CONURE_BAD_FILE);
    test_contains(err.text, "nemo_files.nemo: encoder.layers.1.");
    test_contains(err.text, "is no part of the model that the configuration describes, with "
                            "encoder.n_layers 1 ");
    test_int(open_changed("tdt_durations:\n  - 0\n  - 1\n  - 2",
                          "tdt_durations:\n  - 0\n  - 1\n  - 4", noted, &err),
             CONURE_OK);
    test_contains(noted, "nemo_files.nemo: model_config.yaml: model_defaults.tdt_durations is [0, "
                         "1, 4], but loss.tdt_kwargs.durations, which is used, is [0, 1, 2]");
}

int main(int argc, char **argv)
{
    test_begin("nemo_files");
    if (argc > 1 && strcmp(argv[1], "shared") == 0) {
        char folder[4096];
        const char *root = getenv("CONURE_SHARED");
        snprintf(folder, sizeof folder, "%s/models", root ? root : SOURCE_DIR "/../shared");
        if (!conure_path_is_folder(folder))
            return test_skip("no ../shared");
        check_file(folder, &shared[0]);
        for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
            check_file(folder, &fixtures[i]);
        return test_end();
    }
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
        check_file(TEST_DATA "/models", &fixtures[i]);
    check_gzip(TEST_DATA "/models");
    check_contradictions();
    return test_end();
}

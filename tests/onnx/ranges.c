/* ranges.c - ranges as a file: there and back, for this model alone, and what engines say of them before any library is opened. */
#include "../test.h"

#include "base/files.h"
#include "engine/engine.h"
#include "model/load.h"
#include "onnx/export.h"
#include "onnx/ranges.h"

#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "onnx.ranges.tmp.json"
#define FOLDER "onnx.ranges.tmp"

static conure_model *open_model(const char *name)
{
    char path[512];
    conure_model *model = NULL;
    conure_error err = {""};
    snprintf(path, sizeof path, TEST_DATA "/models/%s.nemo", name);
    test_int(conure_model_open(&model, path, NULL, &err), CONURE_OK);
    return model;
}

/* What was seen of made-up speech. */
static conure_observations *look(const conure_model *model)
{
    const uint32_t n = 120, bins = model->config.mel_bins;
    uint64_t seed = 11;
    float *mel = malloc((size_t)n * bins * sizeof *mel);
    conure_observations *seen = NULL;
    conure_error err = {""};
    for (size_t i = 0; i < (size_t)n * bins; i++)
        mel[i] = test_uniform(&seed, -1.7f, 1.7f);
    const conure_utterance speech = {mel, n};
    test_int(conure_observe(&seen, model, &speech, 1, 2, CONURE_MASK_DEFAULT, NULL, NULL, NULL, &err), CONURE_OK);
    free(mel);
    return seen;
}

static char *text_of(const conure_observations *seen, const conure_model *model)
{
    char sha256[65], *text = NULL;
    test_int(conure_model_hash(model, sha256, NULL), CONURE_OK);
    test_int(conure_ranges_dump(seen, model->name, sha256, &text, NULL), CONURE_OK);
    return text;
}

/* Bit for bit what was seen, and a graph of the same bytes. */
static void there_and_back(void)
{
    conure_model *model = open_model("tiny-alt");
    conure_observations *seen = look(model), *back = NULL;
    conure_error err = {""};
    char sha256[65], *bytes[2];
    size_t n[2];
    test_int(conure_ranges_write(seen, model, FILE_NAME, &err), CONURE_OK);
    test_int(conure_ranges_read(&back, model, FILE_NAME, sha256, &err), CONURE_OK);
    test_text(err.text, "");
    char *first = text_of(seen, model), *second = text_of(back, model);
    test_text(first, second);
    for (int32_t i = -1; i < (int32_t)model->config.n_layers; i++) {
        test_true(conure_observed_most(seen, i) > 0);
        test_true(conure_observed_most(seen, i) == conure_observed_most(back, i));
        test_true(i < 0 || conure_observed_columns(seen, (uint32_t)i) == conure_observed_columns(back, (uint32_t)i));
    }
    test_true(conure_observed_input(seen, CONURE_OBSERVED_FRONT) > 0);
    mkdir(FOLDER, 0777);
    for (int i = 0; i < 2; i++) {
        conure_export_report report;
        const conure_export_options options = {.graphs = CONURE_EXPORT_ENCODER, .opset = 17, .precision = CONURE_EXPORT_INT8, .force = true,
                                               .seen = i ? back : seen};
        test_int(conure_export_onnx(model, FOLDER, &options, &report, &err), CONURE_OK);
        test_int(conure_file_read(&bytes[i], &n[i], FOLDER "/encoder-model.int8.onnx", 1u << 26, &err), CONURE_OK);
    }
    test_true(n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
    free(first);
    free(second);
    conure_observations_free(&seen);
    conure_observations_free(&back);
    conure_model_close(&model);
}

static void refused(const conure_model *model, const char *text, const char *why)
{
    conure_observations *seen = NULL;
    conure_error err = {""};
    char sha256[65];
    test_int(conure_model_hash(model, sha256, NULL), CONURE_OK);
    test_true(conure_ranges_parse(&seen, text, strlen(text), model->config.n_layers, sha256, "r.json", &err) < 0);
    test_true(!seen);
    test_contains(err.text, "r.json");
    test_contains(err.text, why);
}

/* The text with one part exchanged. */
static void refused_with(const conure_model *model, const char *text, const char *part, const char *other, const char *why)
{
    const char *at = strstr(text, part);
    char *changed = malloc(strlen(text) + strlen(other) + 1);
    test_true(at != NULL);
    if (at) {
        sprintf(changed, "%.*s%s%s", (int)(at - text), text, other, at + strlen(part));
        refused(model, changed, why);
    }
    free(changed);
}

static void damaged(void)
{
    conure_model *model = open_model("tiny-v3"), *other = open_model("tiny-alt");
    conure_observations *seen = look(model);
    char *text = text_of(seen, model), *cut = strdup(text);
    refused(other, text, "ranges of another model, \"tiny-v3");
    refused(other, text, "conure export ranges");
    cut[strlen(cut) / 2] = '\0';
    refused(model, cut, "not valid JSON");
    refused(model, "[]", "not a JSON object");
    refused_with(model, text, "\"ranges\": 1", "\"ranges\": 2", "ranges is 2, supported: 1");
    refused_with(model, text, "\"utterances\": 1,", "\"utterances\": 1, \"more\": 1,", "8 members, expected 7");
    refused_with(model, text, "\"utterances\": 1,", "\"utterances\": 0,", "utterances is 0");
    refused_with(model, text, "\"columns\": ", "\"columns\": -", "layers/0: columns is -");
    refused_with(model, text, "\"columns\": ", "\"columns\": 1e300, \"x\": ", "members");
    refused_with(model, text, "\"conv.pointwise_conv1\": ", "\"conv.pointwise_conv1\": 1e-300, \"x\": ", "members");
    refused_with(model, text, "\"out\": ", "\"out\": -", "subsampling: out is");
    refused_with(model, text, "\"out\": ", "\"away\": ", "out is missing");
    refused_with(model, text, "\"layers\": [", "\"layers\": [{},", "layers is no list of");
    free(cut);
    free(text);
    conure_observations_free(&seen);
    conure_model_close(&model);
    conure_model_close(&other);
}

/* Said before anything else is asked for. */
static void engine_refuses(const conure_engine *engine, const conure_model *model, conure_precision precision, const char *ranges,
                           conure_status status, const char *why)
{
    const conure_engine_options options = {.n_threads = 1, .precision = precision, .mask = CONURE_MASK_NEMO, .ranges = ranges};
    conure_error err = {""};
    void *self = NULL;
    test_int(conure_engine_open(&self, engine, model, &options, &err), status);
    test_true(!self);
    test_contains(err.text, why);
}

static void engines(void)
{
    conure_model *model = open_model("tiny-alt"), *other = open_model("tiny-v3"); /* the file is tiny-alt's */
    const conure_engine *ort = &conure_engine_ort_cpu;
    engine_refuses(ort, model, CONURE_PRECISION_INT8, NULL, CONURE_BAD_ARG, "conure export ranges -m MODEL -o FILE");
    engine_refuses(ort, model, CONURE_PRECISION_INT8, NULL, CONURE_BAD_ARG, "ort/cpu:int8@ranges=FILE");
    engine_refuses(ort, model, CONURE_PRECISION_F64, NULL, CONURE_UNSUPPORTED, "f32, f16, bf16 or int8, not in f64");
    engine_refuses(ort, model, CONURE_PRECISION_BF16, FILE_NAME, CONURE_BAD_ARG, "not for bf16");
    engine_refuses(ort, model, CONURE_PRECISION_INT8, "nowhere.json", CONURE_IO, "nowhere.json");
    engine_refuses(ort, other, CONURE_PRECISION_INT8, FILE_NAME, CONURE_BAD_FILE, "ranges of another model");
    engine_refuses(ort, other, CONURE_PRECISION_F16, FILE_NAME, CONURE_BAD_FILE, "ranges of another model");
    engine_refuses(&conure_engine_native_cpu, model, CONURE_PRECISION_INT8, FILE_NAME, CONURE_BAD_ARG, "takes no ranges: leave it out");
    engine_refuses(&conure_engine_reference, model, CONURE_PRECISION_F64, FILE_NAME, CONURE_BAD_ARG, "takes no ranges: leave it out");
    conure_model_close(&model);
    conure_model_close(&other);
}

int main(void)
{
    test_begin("onnx.ranges");
    there_and_back();
    damaged();
    engines();
    unlink(FILE_NAME);
    unlink(FOLDER "/encoder-model.int8.onnx");
    unlink(FOLDER "/vocab.txt");
    unlink(FOLDER "/config.json");
    rmdir(FOLDER);
    return test_end();
}

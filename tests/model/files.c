/* files.c - checkpoints of every kind: opened, converted, compared, verified, and damaged. */
#include "model/converted.h"
#include "model_support.h"

#define FOLDER "model.files.tmp"

static conure_model *mini; /* random, in memory */

static const char *const types[] = {"f32", "f16", "bf16", "int8"};
static const conure_dtype dtypes[] = {CONURE_F32, CONURE_F16, CONURE_BF16, CONURE_I8};

static conure_model *open_ok(const char *path)
{
    conure_model *model = NULL;
    conure_error err = {""};
    if (conure_model_open(&model, path, NULL, &err) != CONURE_OK)
        test_text(err.text, "");
    test_true(model != NULL);
    return model;
}

static conure_model_info info_of(const conure_model *model)
{
    conure_model_info info = {.struct_bytes = sizeof info};
    test_int(conure_model_get_info(model, &info), CONURE_OK);
    return info;
}

static bool count_up(void *user, double fraction)
{
    double *last = user;
    test_true(fraction >= *last && fraction <= 1 + 1e-9);
    *last = fraction;
    return true;
}

static bool stop_late(void *user, double fraction)
{
    return fraction < *(double *)user;
}

/* ---- .nemo to every type and back ------------------------------------------------------------ */

static void test_convert(const char *name)
{
    char nemo_path[512];
    snprintf(nemo_path, sizeof nemo_path, "%s/models/%s.nemo", TEST_DATA, name);
    conure_model *nemo = open_ok(nemo_path);
    if (!nemo)
        return;
    test_int(info_of(nemo).format, CONURE_FORMAT_NEMO);
    test_int(info_of(nemo).mask, CONURE_MASK_NEMO);
    test_text(info_of(nemo).name, name);
    test_text(info_of(nemo).weights, "f32");
    for (int i = 0; i < 4; i++) {
        const char *path = in_folder(FOLDER, "converted.safetensors");
        double last = 0;
        test_int(conure_model_convert(nemo, path, types[i], count_up, &last, NULL), CONURE_OK);
        test_near(last, 1, 1e-9);
        conure_model *model = open_ok(path);
        const conure_model_info info = info_of(model);
        test_same(model, nemo, dtypes[i]);
        test_int(info.format, CONURE_FORMAT_CONURE);
        test_int(info.mask, CONURE_MASK_NEMO);
        test_text(info.name, "converted");
        test_text(info.weights, types[i]);
        if (i == 0)
            test_text(info.sha256, info_of(nemo).sha256);
        else
            test_true(strcmp(info.sha256, info_of(nemo).sha256) != 0);
        last = 0;
        conure_error err = {""};
        test_int(conure_model_verify(model, count_up, &last, &err), CONURE_OK);
        test_text(err.text, "");
        test_near(last, 1, 0);
        /* Again to the same type: the same file but for its source. */
        const char *second = in_folder(FOLDER, "second.safetensors");
        test_int(conure_model_convert(model, second, types[i], NULL, NULL, NULL), CONURE_OK);
        conure_model *copy = open_ok(second);
        test_same(copy, model, dtypes[i]);
        test_text(info_of(copy).sha256, info.sha256);
        test_int(conure_model_verify(copy, NULL, NULL, NULL), CONURE_OK);
        conure_model_close(&copy);
        conure_model_close(&model);
    }
    test_int(conure_model_verify(nemo, NULL, NULL, NULL), CONURE_OK);
    conure_model_close(&nemo);
    test_true(nemo == NULL);
}

/* Precision cannot be gained, types must be known, work can be stopped and then leaves no file. */
static void test_convert_refusals(void)
{
    const char *path = in_folder(FOLDER, "int8.safetensors"),
               *other = in_folder(FOLDER, "no.safetensors");
    conure_error err = {""};
    test_int(conure_model_convert(mini, path, "int8", NULL, NULL, NULL), CONURE_OK);
    conure_model *int8 = open_ok(path);
    for (int i = 0; i < 3; i++) {
        test_int(conure_model_convert(int8, other, types[i], NULL, NULL, &err), CONURE_UNSUPPORTED);
        test_contains(err.text, "int8: has int8 weights");
    }
    test_int(conure_model_convert(mini, other, "int4", NULL, NULL, &err), CONURE_BAD_ARG);
    test_contains(err.text, "use f32, f16, bf16 or int8");
    test_int(conure_model_convert(mini, NULL, "f32", NULL, NULL, &err), CONURE_BAD_ARG);
    test_int(conure_model_convert(mini, in_folder(FOLDER, "absent/x"), "f32", NULL, NULL, &err),
             CONURE_IO);
    for (double stop = 0.1; stop < 1; stop += 0.2) {
        test_int(conure_model_convert(mini, other, "f16", stop_late, &stop, &err),
                 CONURE_CANCELLED);
        test_true(access(other, F_OK) != 0);
        test_int(conure_model_verify(int8, stop_late, &stop, &err), CONURE_CANCELLED);
    }
    conure_model_close(&int8);
}

static void test_narrowing(void)
{
    const conure_tensor *tensor =
        conure_model_tensor(mini, "encoder.layers.0.self_attn.linear_q.weight");
    float *first = (float *)(uintptr_t)tensor->data, kept = *first;
    conure_error err = {""};
    *first = 70000;
    test_int(
        conure_model_convert(mini, in_folder(FOLDER, "no.safetensors"), "f16", NULL, NULL, &err),
        CONURE_UNSUPPORTED);
    test_contains(err.text, "linear_q.weight: holds numbers beyond the range of f16");
    test_int(
        conure_model_convert(mini, in_folder(FOLDER, "bf16.safetensors"), "bf16", NULL, NULL, &err),
        CONURE_OK);
    *first = NAN;
    for (int i = 0; i < 4; i++) {
        test_int(conure_model_convert(mini, in_folder(FOLDER, "no.safetensors"), types[i], NULL,
                                      NULL, &err),
                 CONURE_BAD_FILE);
        test_contains(err.text, "linear_q.weight: element 0 is NaN or infinite");
    }
    *first = kept;
}

/* ---- Hugging Face ---------------------------------------------------------------------------- */

static void expect_open(const char *path, conure_status status, const char *says)
{
    conure_model *model = NULL;
    conure_error err = {""};
    test_int(conure_model_open(&model, path, NULL, &err), status);
    test_contains(err.text, says);
    test_true(model == NULL);
    conure_model_close(&model);
}

static void test_huggingface(void)
{
    static const conure_dtype kinds[] = {CONURE_F32, CONURE_F16, CONURE_BF16};
    for (int i = 0; i < 3; i++) {
        write_hf_texts(mini, FOLDER "/hf");
        write_hf_weights(mini, FOLDER "/hf", "model.safetensors", kinds[i], NULL, NULL);
        conure_model *hf = open_ok(FOLDER "/hf/");
        /* Everything in the folder is of the type, not only matrices. */
        conure_model *rounded = open_ok(FOLDER "/hf");
        const char *path = in_folder(FOLDER, "from_hf.safetensors");
        test_int(info_of(hf).format, CONURE_FORMAT_HUGGINGFACE);
        test_int(info_of(hf).mask, CONURE_MASK_EXACT);
        test_text(info_of(hf).name, "hf");
        test_text(info_of(hf).weights, conure_dtype_name(kinds[i]));
        if (kinds[i] == CONURE_F32)
            test_same(hf, mini, CONURE_F32);
        test_int(conure_model_convert(hf, path, conure_dtype_name(kinds[i]), NULL, NULL, NULL),
                 CONURE_OK);
        conure_model *back = open_ok(path);
        test_same(back, hf, kinds[i]);
        test_int(info_of(back).mask, CONURE_MASK_EXACT);
        test_text(info_of(back).sha256, info_of(rounded).sha256);
        conure_model_close(&back);
        conure_model_close(&rounded);
        conure_model_close(&hf);
    }
}

static void write_index(json_t *weight_map)
{
    json_t *index =
        json_pack("{s:{s:i}, s:O}", "metadata", "total_size", 1, "weight_map", weight_map);
    write_json(FOLDER "/shards/model.safetensors.index.json", index);
    json_decref(index);
}

static void test_shards(void)
{
    json_t *map = json_object();
    const char *folder = FOLDER "/shards";
    write_hf_texts(mini, folder);
    unlink(in_folder(folder, "processor_config.json")); /* every value has its default */
    write_hf_weights(mini, folder, "model-00001-of-00002.safetensors", CONURE_F32, "layers.1.",
                     map);
    write_hf_weights(mini, folder, "model-00002-of-00002.safetensors", CONURE_F32, "!layers.1.",
                     map);
    write_index(map);
    conure_model *model = open_ok(folder);
    if (model)
        test_same(model, mini, CONURE_F32);
    conure_model_close(&model);

    json_object_set_new(map, "joint.head.bias", json_string("../../elsewhere.safetensors"));
    write_index(map);
    expect_open(folder, CONURE_BAD_FILE, "joint.head.bias is not assigned to a file of the folder");
    json_object_set_new(map, "joint.head.bias", json_string("model-00001-of-00002.safetensors"));
    write_index(map);
    expect_open(folder, CONURE_BAD_FILE,
                "joint.joint_net.2.bias is missing (expected shape [518])");
    json_object_set_new(map, "joint.head.bias", json_string("model-00003-of-00002.safetensors"));
    write_index(map);
    expect_open(folder, CONURE_IO, "model-00003-of-00002.safetensors");
    json_object_set_new(map, "joint.head.bias", json_integer(3));
    write_index(map);
    expect_open(folder, CONURE_BAD_FILE, "joint.head.bias is not assigned");
    json_decref(map);
    write_text(FOLDER "/shards/model.safetensors.index.json", "{\"weight_map\":[]}");
    expect_open(folder, CONURE_BAD_FILE, "weight_map is a list, expected an object");
    unlink(FOLDER "/shards/model.safetensors.index.json");
    expect_open(folder, CONURE_IO, "model.safetensors");
}

/* A text in the header of the folder's weights replaced by another of any length. */
static void patch_weights(const char *from, const char *to, size_t pad)
{
    size_t bytes;
    uint64_t header_bytes;
    write_hf_weights(mini, FOLDER "/bad", "model.safetensors", CONURE_F32, NULL, NULL);
    uint8_t *file = read_file(FOLDER "/bad/model.safetensors", &bytes);
    memcpy(&header_bytes, file, 8);
    char *header = conure_strndup((const char *)file + 8, header_bytes);
    char *at = strstr(header, from);
    test_true(at != NULL);
    if (at) {
        conure_buffer changed = {0};
        conure_buffer_add(&changed, header, (size_t)(at - header));
        conure_buffer_text(&changed, to);
        conure_buffer_text(&changed, at + strlen(from));
        write_safetensors(FOLDER "/bad/model.safetensors", changed.data, file + 8 + header_bytes,
                          bytes - 8 - header_bytes, pad);
        conure_buffer_free(&changed);
    }
    free(header);
    free(file);
}

static void note(void *user, conure_log_level level, const char *text)
{
    test_int(level, CONURE_LOG_WARNING);
    snprintf(user, 512, "%s", text);
}

static void test_bad_weights(void)
{
    const char *folder = FOLDER "/bad";
    const conure_log_fn log = note;
    char noted[512] = "";
    conure_model_options options;
    conure_model *model;
    write_hf_texts(mini, folder);
    static const struct {
        const char *from, *to;
        conure_status status;
        const char *says;
    } cases[] = {
        {"encoder.layers.3.self_attn.q_proj.weight", "encoder.layers.9.self_attn.q_proj.weight",
         CONURE_BAD_FILE,
         "encoder.layers.3.self_attn.linear_q.weight is missing (expected shape [96, 96])"},
        {"[518,64]", "[64,518]", CONURE_BAD_FILE,
         "joint.joint_net.2.weight: shape [64, 518], expected [518, 64]"},
        {"[518,64]", "[518,65]", CONURE_BAD_FILE,
         "data_offsets give 132608 bytes, the shape needs 134680"},
        {"[518,64]", "[518,-64]", CONURE_BAD_FILE, "shape[1] is not a size"},
        {"[518,64]", "[9223372036854775807,9223372036854775807]", CONURE_BAD_FILE,
         "shape[0] is not a size"},
        {"[518,64]", "[1,1,1,518,64]", CONURE_UNSUPPORTED, "5 dimensions, supported: up to 4"},
        {"[518,64]", "518", CONURE_BAD_FILE, "shape is missing"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F8_E4M3\"", CONURE_UNSUPPORTED,
         "dtype F8_E4M3, supported: F32"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"I32\"", CONURE_UNSUPPORTED,
         "stored as int32, supported: f32"},
        {"\"dtype\":\"F32\"", "\"dtipe\":\"F32\"", CONURE_BAD_FILE, "dtype is missing"},
        {"\"data_offsets\":[0,", "\"data_offsets\":[4,", CONURE_BAD_FILE, "data_offsets give"},
        {"\"data_offsets\":[0,", "\"data_offsets\":[-4,", CONURE_BAD_FILE, "not a pair of offsets"},
        {"\"data_offsets\":[0,", "\"data_offsets\":[0,0,", CONURE_BAD_FILE,
         "not a pair of offsets"},
        {"joint.head.bias", "joint.head.weight", CONURE_BAD_FILE, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        patch_weights(cases[i].from, cases[i].to, 0);
        expect_open(folder, cases[i].status, cases[i].says);
    }
    /* Names that stand for the same tensor, and the other number of the joint's layer. */
    patch_weights("joint.head.bias", "joint.joint_net.2.weight", 0);
    expect_open(folder, CONURE_BAD_FILE, "joint.joint_net.2.weight: twice in the checkpoint");
    patch_weights("joint.head.bias", "joint.joint_net.1.bias", 0);
    model = open_ok(folder);
    test_same(model, mini, CONURE_F32);
    conure_model_close(&model);
    patch_weights("encoder.layers.0.conv.norm.num_batches_tracked",
                  "encoder.layers.4.norm_out.bias", 0);
    expect_open(folder, CONURE_BAD_FILE,
                "encoder.layers.4.norm_out.bias is no part of the model that the configuration "
                "describes, with num_hidden_layers 4 and 2 layers of the decoder");
    /* Data at odd addresses is copied to where it can be read; what is left over is named. */
    conure_model_options_init(&options);
    options.log = log;
    options.log_user = noted;
    for (size_t pad = 0; pad < 4; pad++) {
        patch_weights("encoder.layers.0.conv.norm.num_batches_tracked",
                      pad % 2 ? "encoder.pos_enc.pe" : "stray", pad);
        noted[0] = 0;
        test_int(conure_model_open(&model, folder, &options, NULL), CONURE_OK);
        test_same(model, mini, CONURE_F32);
        if (pad % 2)
            test_text(noted, "");
        else
            test_contains(
                noted, "1 tensors are not part of the model and are ignored, the first is stray");
        conure_model_close(&model);
    }
}

static float *weight_of(const char *name)
{
    return (float *)(uintptr_t)conure_model_tensor(mini, name)->data;
}

static void test_bad_values(void)
{
    const char *folder = FOLDER "/bad";
    conure_model_options options;
    conure_model *model = NULL;
    conure_model_options_init(&options);
    options.check_finite = false;
    float *bias = weight_of("encoder.layers.2.norm_out.bias");
    float *embed = weight_of("decoder.prediction.embed.weight");
    const float kept = bias[17];
    for (int i = 0; i < 3; i++) {
        static const conure_dtype kinds[] = {CONURE_F32, CONURE_F16, CONURE_BF16};
        bias[17] = i ? -INFINITY : NAN;
        write_hf_weights(mini, folder, "model.safetensors", kinds[i], NULL, NULL);
        expect_open(folder, CONURE_BAD_FILE,
                    "encoder.layers.2.norm_out.bias: element 17 is NaN or infinite");
        test_int(conure_model_open(&model, folder, &options, NULL), CONURE_OK);
        test_int(conure_model_verify(model, NULL, NULL, NULL), CONURE_BAD_FILE);
        conure_model_close(&model);
        bias[17] = kept;
    }
    embed[512 * 64 + 63] = 0.5f;
    write_hf_weights(mini, folder, "model.safetensors", CONURE_F32, NULL, NULL);
    expect_open(folder, CONURE_UNSUPPORTED,
                "embed.weight: row 512, of blank, holds 0.5 at 63, expected zeros");
    embed[512 * 64 + 63] = 0;
    write_hf_weights(mini, folder, "model.safetensors", CONURE_F32, NULL, NULL);
    write_text(FOLDER "/bad/tokenizer.json",
               "{\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\"},\"model\":{"
               "\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0.0],[\"a\",0.0]]}}");
    expect_open(folder, CONURE_BAD_FILE, "the tokenizer has 2 pieces, but the vocabulary 512");
    unlink(FOLDER "/bad/tokenizer.json");
    expect_open(folder, CONURE_IO, "tokenizer.json");
    unlink(FOLDER "/bad/config.json");
    expect_open(folder, CONURE_IO, "a folder without config.json");
}

/* ---- converted files, damaged ---------------------------------------------------------------- */

static conure_status open_memory(const uint8_t *data, size_t bytes, conure_error *err, bool verify)
{
    conure_model *model = NULL;
    conure_status status = conure_model_open_memory(&model, data, bytes, "memory", NULL, err);
    test_true((status == CONURE_OK) == (model != NULL));
    if (status == CONURE_OK && verify)
        status = conure_model_verify(model, NULL, NULL, err);
    conure_model_close(&model);
    return status;
}

static void test_memory(const char *type)
{
    const char *path = in_folder(FOLDER, "damaged.safetensors");
    test_int(conure_model_convert(mini, path, type, NULL, NULL, NULL), CONURE_OK);
    size_t bytes;
    uint8_t *file = read_file(path, &bytes);
    uint64_t header_bytes;
    conure_error err = {""};
    memcpy(&header_bytes, file, 8);
    const size_t data_at = 8 + header_bytes;
    test_int(data_at % 64, 0);
    test_int(open_memory(file, bytes, &err, true), CONURE_OK);
    conure_model *model = NULL;
    test_int(conure_model_open_memory(&model, file + 8, bytes, "m", NULL, &err), CONURE_BAD_ARG);
    test_contains(err.text, "aligned to 64 bytes");
    test_int(conure_model_open_memory(NULL, file, bytes, "m", NULL, NULL), CONURE_BAD_ARG);
    test_int(conure_model_open_memory(&model, NULL, bytes, "m", NULL, NULL), CONURE_BAD_ARG);

    /* Cut off anywhere: an error, whether in the header or in the data. */
    for (size_t i = 0; i < 40; i++) {
        const size_t cut = i < 20 ? i * data_at / 20 : data_at + (i - 20) * (bytes - data_at) / 20;
        uint8_t *copy = conure_alloc_aligned(cut + 1);
        memcpy(copy, file, cut);
        err.text[0] = 0;
        test_int(open_memory(copy, cut, &err, false), CONURE_BAD_FILE);
        test_contains(err.text, "memory: ");
        free(copy);
    }
    /* A bit of the data: verify finds it (and opening may: the row of blank). */
    for (size_t i = 0; i < 24; i++) {
        const size_t at = i == 23 ? bytes - 1 : data_at + i * (bytes - data_at) / 23;
        file[at] ^= 1u << i % 8;
        const conure_status status = open_memory(file, bytes, &err, true);
        test_true(status == CONURE_BAD_FILE || status == CONURE_UNSUPPORTED);
        file[at] ^= 1u << i % 8;
    }
    /* A bit of the header: refused, at the latest by verify; opening must stand it. */
    long passed = 0;
    for (size_t at = 0; at < data_at; at += 1 + at / 60) {
        if (at >= 8 && file[at] == ' ')
            continue;
        file[at] ^= 1u << at % 7;
        passed += open_memory(file, bytes, &err, true) == CONURE_OK;
        file[at] ^= 1u << at % 7;
    }
    test_int(passed, 0);
    free(file);
}

/* A text of the metadata replaced by one of the same length: what opening says, what verify says. */
static void test_metadata(void)
{
    static const struct {
        const char *from, *to;
        conure_status status;
        const char *says;
    } cases[] = {
        {"\"conure.format\":\"1\"", "\"conure.format\":\"2\"", CONURE_UNSUPPORTED,
         "conure.format is \"2\""},
        {"\"panels16\"", "\"panels32\"", CONURE_UNSUPPORTED, "conure.layout is \"panels32\""},
        {"\"conure.weights\":\"int8\"", "\"conure.weights\":\"int4\"", CONURE_UNSUPPORTED,
         "conure.weights is \"int4\""},
        {"\"conure.weights\":\"int8\"", "\"conure.weights\":\"bf16\"", CONURE_BAD_FILE,
         "is not what the configuration says"},
        {"\"conure.mask\":\"nemo\"", "\"conure.mask\":\"eemo\"", CONURE_BAD_FILE,
         "conure.mask is \"eemo\""},
        {"\"conure.sha256\":\"", "\"conure.sha256\":\"G", CONURE_BAD_FILE, ""},
        {"\"conure.tokenizer\"", "\"conure.tokenizet\"", CONURE_BAD_FILE,
         "conure.tokenizer is missing"},
        {"\"conure.format\"", "\"conure.formax\"", CONURE_UNSUPPORTED,
         "open the Hugging Face folder"},
        {"\\\"n_layers\\\":4", "\\\"n_layers\\\":5", CONURE_BAD_FILE,
         "encoder.layers.4.norm_feed_forward1.weight is missing"},
        {"\\\"n_layers\\\":4", "\\\"n_layers\\\":0", CONURE_UNSUPPORTED, "n_layers is 0"},
        {"\\\"n_heads\\\":4", "\\\"n_heads\\\":5", CONURE_BAD_FILE,
         "not a multiple of encoder.n_heads"},
        {"joint.joint_net.2.weight.sums", "joint.joint_net.2.weight.sumz", CONURE_BAD_FILE,
         "weight.sums is missing"},
        {"joint.joint_net.2.weight\"", "joint.joint_net.3.weight\"", CONURE_BAD_FILE,
         "joint_net.2.weight is missing"},
        /* What opening cannot see. */
        {"\\\"xscaling\\\":false", "\\\"xscaling\\\":true ", CONURE_BAD_FILE,
         "the metadata has SHA-256"},
        {"\"conure.source\":\"conure r", "\"conure.source\":\"conure s", CONURE_BAD_FILE,
         "it was changed"},
    };
    size_t bytes;
    conure_error err;
    const char *path = in_folder(FOLDER, "metadata.safetensors");
    test_int(conure_model_convert(mini, path, "int8", NULL, NULL, NULL), CONURE_OK);
    uint8_t *file = read_file(path, &bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *copy = conure_alloc_aligned(bytes), *at;
        const size_t length = strlen(cases[i].to);
        memcpy(copy, file, bytes);
        at = memmem(copy, bytes, cases[i].from, strlen(cases[i].from));
        test_true(at != NULL);
        if (at)
            memcpy(at, cases[i].to, length);
        err.text[0] = 0;
        test_int(open_memory(copy, bytes, &err, true), cases[i].status);
        test_contains(err.text, cases[i].says);
        test_contains(err.text, "memory");
        free(copy);
    }
    free(file);
}

/* The value of a metadata key replaced by another of 64 digits. */
static void set_hash(uint8_t *file, size_t header_bytes, const char *key, const char *hex)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    uint8_t *at = memmem(file, header_bytes, quoted, strlen(quoted));
    test_true(at != NULL);
    if (at)
        memcpy(at + strlen(quoted), hex, 64);
}

/* Both hashes of a file made to fit what it holds now, as a forger would. */
static void seal(uint8_t *file, size_t bytes)
{
    conure_safetensors st;
    conure_sha256 sha;
    const char *values[CONURE_CONVERTED_KEYS];
    char hex[65];
    for (int pass = 0; pass < 2; pass++) {
        test_int(conure_safetensors_open(&st, &(conure_map){file, bytes}, "seal", NULL), CONURE_OK);
        const size_t header_bytes = (size_t)(st.data - file);
        for (int i = 0; i < CONURE_CONVERTED_KEYS; i++)
            values[i] = conure_safetensors_metadata(&st, conure_converted_keys[i]);
        conure_sha256_init(&sha);
        conure_sha256_add(&sha, st.data, st.data_bytes);
        conure_sha256_hex(&sha, hex);
        if (pass == 1)
            conure_converted_header_hash(hex, values);
        set_hash(file, header_bytes, pass ? CONURE_CONVERTED_HEADER_KEY : "conure.sha256.data",
                 hex);
        conure_safetensors_close(&st);
    }
}

/* Damage that the hashes of the file cover up. */
static void test_forged(void)
{
    static const char matrix[] = "decoder.prediction.dec_rnn.lstm.weight_hh_l1";
    size_t bytes;
    conure_error err;
    const char *path = in_folder(FOLDER, "forged.safetensors");
    test_int(conure_model_convert(mini, path, "int8", NULL, NULL, NULL), CONURE_OK);
    for (int i = 0; i < 6; i++) {
        static const char *const says[] = {"weight_hh_l1: row 3: its sum is wrong",
                                           "weight_hh_l1: row 3: its scale is",
                                           "weight_hh_l1: row 0: holds -128",
                                           "joint.joint_net.2.weight: padding is not zero",
                                           "weights have SHA-256",
                                           "norm_out.bias: element 5 is NaN"};
        conure_model *model = NULL;
        uint8_t *file = read_file(path, &bytes);
        test_int(conure_model_open_memory(&model, file, bytes, "m", NULL, NULL), CONURE_OK);
        const conure_tensor *tensor = conure_model_tensor(model, matrix);
        const conure_tensor *padded =
            conure_model_tensor(model, "joint.joint_net.2.weight"); /* 518 rows */
        const conure_tensor *plain = conure_model_tensor(model, "encoder.layers.0.norm_out.bias");
        if (i == 0)
            ((int32_t *)(uintptr_t)tensor->sums)[3]++;
        else if (i == 1)
            ((float *)(uintptr_t)tensor->scales)[3] *= -1;
        else if (i == 2)
            *(int8_t *)(uintptr_t)tensor->data = -128;
        else if (i == 3)
            ((int8_t *)(uintptr_t)padded->data)[padded->bytes - 1] = 1;
        else
            ((float *)(uintptr_t)plain->data)[5] = i == 4 ? 0.25f : NAN;
        seal(file, bytes);
        test_int(conure_model_verify(model, NULL, NULL, &err), CONURE_BAD_FILE);
        test_contains(err.text, says[i]);
        test_true(strncmp(err.text, "m: ", 3) == 0);
        conure_model_close(&model);
        free(file);
    }
}

/* What verify says of a file begins with its path. */
static void test_verify_path(void)
{
    size_t bytes;
    conure_error err;
    conure_model *model = NULL;
    char want[512];
    const char *path = in_folder(FOLDER, "damaged.safetensors");
    test_int(conure_model_convert(mini, path, "int8", NULL, NULL, NULL), CONURE_OK);
    uint8_t *file = read_file(path, &bytes);
    file[bytes - 100] ^= 1;
    FILE *out = fopen(path, "wb");
    test_true(out && fwrite(file, 1, bytes, out) == bytes && fclose(out) == 0);
    test_int(conure_model_open(&model, path, NULL, NULL), CONURE_OK);
    test_int(conure_model_verify(model, NULL, NULL, &err), CONURE_BAD_FILE);
    snprintf(want, sizeof want, "%s: the data has SHA-256 ", path);
    test_true(strncmp(err.text, want, strlen(want)) == 0);
    conure_model_close(&model);
    free(file);
}

/* An entry that is no part of the model: ignored with a warning, unless it points outside. */
static void test_extra_entry(void)
{
    static const struct {
        const char *entry;
        conure_status status;
        const char *says;
    } cases[] = {
        {"\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},", CONURE_OK,
         "1 tensors are not part"},
        {"\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[999999996,1000000000]},",
         CONURE_BAD_FILE, "x: bytes 999999996 .. 1000000000 lie beyond"},
        {"\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]},", CONURE_BAD_FILE,
         "x: data_offsets give 4 bytes, the shape needs 8"},
    };
    enum { ADDED = 128 }; /* keeps the data aligned */
    size_t bytes;
    const char *path = in_folder(FOLDER, "extra.safetensors");
    test_int(conure_model_convert(mini, path, "int8", NULL, NULL, NULL), CONURE_OK);
    uint8_t *file = read_file(path, &bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t n = strlen(cases[i].entry);
        conure_model *model = NULL;
        conure_error err = {""};
        char noted[512] = "";
        uint64_t header_bytes;
        conure_model_options options;
        conure_model_options_init(&options);
        options.log = note;
        options.log_user = noted;
        uint8_t *copy = conure_alloc_aligned(bytes + ADDED);
        memcpy(&header_bytes, file, 8);
        header_bytes += ADDED;
        memcpy(copy, &header_bytes, 8);
        copy[8] = '{';
        memcpy(copy + 9, cases[i].entry, n);
        memset(copy + 9 + n, ' ', ADDED - n);
        memcpy(copy + 9 + ADDED, file + 9, bytes - 9);
        test_int(conure_model_open_memory(&model, copy, bytes + ADDED, "m", &options, &err),
                 cases[i].status);
        test_contains(cases[i].status == CONURE_OK ? noted : err.text, cases[i].says);
        conure_model_close(&model);
        free(copy);
    }
    free(file);
}

/* Files that are no model; each says what it looks like. */
static void test_strangers(void)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"", 0, "the file is empty"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "a Git LFS pointer"},
        {"PK\3\4................", 20, "a zip archive"},
        {"GGUF\3", 5, "a GGUF file"},
        {"<!DOCTYPE html>", 15, "a web page"},
        {"{\"model_type\":1}", 16, "JSON text"},
        {"RIFF....WAVE", 12, "audio"},
        {"\1\2\3", 3, "begins with 01 02 03, expected a .nemo archive"},
        {"\2\0\0\0\0\0\0\0{}", 10, "open the Hugging Face folder"},
        {"\3\0\0\0\0\0\0\0{}", 10, "the header should have 3 bytes, but the file has 10"},
        {"\2\0\0\0\0\0\0\0{x", 10, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = in_folder(FOLDER, "stranger.nemo");
        conure_model *model = NULL;
        conure_error err = {""};
        write_file(path, cases[i].text, cases[i].bytes);
        test_true(conure_model_open(&model, path, NULL, &err) < 0);
        test_contains(err.text, cases[i].says);
        test_contains(err.text, "stranger.nemo: ");
    }
    expect_open(FOLDER "/absent", CONURE_IO, "absent");
    expect_open("", CONURE_BAD_ARG, "no path");
    expect_open("/", CONURE_IO, "without config.json");
    test_int(conure_model_open(NULL, "x", NULL, NULL), CONURE_BAD_ARG);
    conure_model_options options = {.struct_bytes = 4096};
    conure_model *model = NULL;
    conure_error err;
    test_int(conure_model_open(&model, "x", &options, &err), CONURE_BAD_ARG);
    test_contains(err.text, "conure_model_options_init()");
    conure_model_info info = {.struct_bytes = 1 << 20};
    test_int(conure_model_get_info(mini, &info), CONURE_BAD_ARG);
    test_true(conure_model_piece(mini, 512) == NULL && conure_model_piece(NULL, 0) == NULL);
}

int main(void)
{
    conure_model *random = NULL;
    test_begin("model.files");
    test_convert("tiny-v3");
    test_convert("tiny-alt");
    /* Rows throughout, so that the tests can change single elements. */
    test_int(conure_model_random_open(&random, "mini", 0, 7, NULL, NULL, NULL), CONURE_OK);
    write_hf_texts(random, FOLDER "/mini");
    write_hf_weights(random, FOLDER "/mini", "model.safetensors", CONURE_F32, NULL, NULL);
    conure_model *read = open_ok(FOLDER "/mini");
    test_same(read, random, CONURE_F32);
    conure_model_close(&read);
    mini = random;
    test_int(conure_model_verify(mini, NULL, NULL, NULL), CONURE_OK);
    test_convert_refusals();
    test_narrowing();
    test_huggingface();
    test_shards();
    test_bad_weights();
    test_bad_values();
    test_memory("f32");
    test_memory("int8");
    test_metadata();
    test_forged();
    test_verify_path();
    test_extra_entry();
    test_strangers();
    conure_model_close(&mini);
    return test_end();
}

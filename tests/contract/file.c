/* file.c - contracts as files: the shipped one comes again byte for byte, whatever is written can be read, and what somebody
 * edited cannot. */
#include "support.h"

#include "base/files.h"
#include "contract/schema.h"

#include <unistd.h>

#define SHIPPED SOURCE_DIR "/contracts/encoder_streaming.contract.json"

static void shipped(void)
{
    const conure_contract k = full_size(&published);
    conure_contract read;
    conure_error err = {""};
    char *text = NULL, *file = NULL, sha256[65] = "";
    size_t bytes = 0;
    test_int(conure_contract_dump(&k, &text, &err), CONURE_OK);
    test_int(conure_file_read(&file, &bytes, SHIPPED, CONURE_CONTRACT_BYTES_MAX, &err), CONURE_OK);
    /* Another version, another rule?  conure contract derive --preset parakeet-tdt-0.6b-v3 --cache 256 --schedule export
     * --profiles first=592,later=584,unified=584..592 --layout layer-first -o contracts/encoder_streaming.contract.json */
    test_text(file, text);
    test_int(conure_contract_read(&read, SHIPPED, sha256, &err), CONURE_OK);
    test_int(memcmp(&read, &k, sizeof k), 0);
    test_int(strlen(sha256), 64);
    free(text);
    free(file);
}

static void round_trip(const conure_contract_options *o)
{
    conure_contract k = full_size(o), read;
    conure_error err = {""};
    char *text = NULL, *again = NULL;
    memset(k.names[CONURE_ROLE_ENCODER], 0, sizeof k.names[0]); /* compared to the last byte */
    snprintf(k.names[CONURE_ROLE_ENCODER], sizeof k.names[0], "outputs");
    k.n_files = 1;
    snprintf(k.files[0].name, sizeof k.files[0].name, "encoder.onnx");
    memset(k.files[0].sha256, 'a', 64);
    memset(k.model_sha256, '7', 64);
    k.asserts[CONURE_RULE_FINITE] = false;
    test_int(conure_contract_dump(&k, &text, &err), CONURE_OK);
    test_int(conure_contract_parse(&read, text, strlen(text), "made", &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    test_int(memcmp(&read, &k, sizeof k), 0);
    test_int(conure_contract_dump(&read, &again, &err), CONURE_OK);
    test_text(again, text);
    free(text);
    free(again);
}

static void round_trips(void)
{
    round_trip(&published);
    round_trip(&(conure_contract_options){.streaming = {.chunk = 6, .shift = 3, .cache_rows = 256}, .b_min = 2, .b_max = 9,
                                          .keep_negative = true, .time_cache_aligned = true, .mask_exact = true, .precision = "int8"});
    round_trip(&(conure_contract_options){.streaming = {.cache_rows = 64, .export_graph = true}, .profiles = "592", .pad_right = true,
                                          .unrepeatable = true, .precision = "tf32"});
    round_trip(&(conure_contract_options){.streaming = {.cache_rows = 1}, .profiles = "a=577,b=600..700", .precision = "f16"});
}

/* Replace the first `from` after `after` in the shipped contract, and read it. */
static conure_status edited(const char *after, const char *from, const char *to, conure_error *err)
{
    conure_contract read;
    char *file = NULL;
    size_t bytes = 0;
    char *text;
    test_int(conure_file_read(&file, &bytes, SHIPPED, CONURE_CONTRACT_BYTES_MAX, err), CONURE_OK);
    char *at = strstr(file, after);
    at = at ? strstr(at, from) : NULL;
    test_true(at);
    if (!at || !(text = malloc(bytes + strlen(to) + 1))) {
        free(file);
        return CONURE_OK;
    }
    const int n = sprintf(text, "%.*s%s%s", (int)(at - file), file, to, at + strlen(from));
    err->text[0] = '\0';
    const conure_status status = conure_contract_parse(&read, text, (size_t)n, "edited", err);
    free(text);
    free(file);
    return status;
}

static void edits(void)
{
    static const struct {
        const char *after, *from, *to, *says;
    } bad[] = {
        {"", "\"contract\": \"encoder_streaming\"", "\"contract\": \"decoder\"", "/contract is \"decoder\", expected \"encoder_streaming\""},
        {"\"tool\"", "\"name\": \"conure\", ", "", "/tool has no member 'name'"},
        {"", "\"files\": [],", "\"files\": [], \"note\": 1,", "/note is not expected here"},
        {"\"model\"", "\"sha256\": null", "\"sha256\": \"abc\"", "/model/sha256: the number of characters is 3"},
        {"", "74ed1182", "74ED1182", "model.config_sha256: is no SHA-256"},
        {"", "\"n_layers\": 24", "\"n_layers\": 23", "/inputs/2/shape/0 is 24, but the rest of the contract implies 23"},
        {"", "\"n_layers\": 24", "\"n_layers\": 0", "model.n_layers is 0, possible: 1 to 256"},
        {"", "\"n_layers\": 24", "\"n_layers\": \"24\"", "/model/n_layers is \"24\", expected integer"},
        {"", "\"n_layers\": 24", "\"n_layers\": -1", "/model/n_layers is -1, at least 0"},
        {"", "\"n_layers\": 24", "\"n_layers\": 1e999", "not valid JSON"},
        {"", "\"subsampling_factor\": 8", "\"subsampling_factor\": 4", "possible: 8 to 8"},
        {"", "\"cache_rows\": 256", "\"cache_rows\": 128", "/inputs/2/shape/2 is 256, but the rest of the contract implies 128"},
        {"", "\"cache_rows\": 256", "\"cache_rows\": 0", "streaming.cache_rows is 0"},
        {"", "\"valid_out\": 1", "\"valid_out\": 0", "streaming.valid_out is 0"},
        {"\"drop_extra\"", "[2, 2]", "[2]", "number of entries is 1, at least 2"},
        {"\"drop_extra\"", "[2, 2]", "[90, 2]", "profile first: T.min: such a slice gives no encoder frame"},
        {"\"keep\"", "max(0, rows - cache_drop)", "rows - cache_drop", "/rules/keep is \"rows - cache_drop\", but"},
        {"", "\"negative_keep\": \"clamped\"", "\"negative_keep\": \"nemo\"", "/rules/keep is"},
        {"", "\"negative_keep\": \"clamped\"", "\"negative_keep\": \"zero\"", "expected one of \"clamped\", \"nemo\""},
        {"", "\"layout\": \"layer_first\"", "\"layout\": \"batch_first\"", "/inputs/2/shape/0 is 24, but the rest of the contract implies \"B\""},
        {"", "\"pad_side\": \"left\"", "\"pad_side\": \"right\"", "/outputs/2/constraint"},
        {"", "\"pad_value\": 0.0", "\"pad_value\": 1", "/caches/pad_value is 1, expected 0"},
        {"\"audio_signal\"", "float32", "float64", "/inputs/0/dtype is \"float64\", expected one of"},
        {"\"audio_signal\"", "float32", "float16", "dtype: features are not of this type"},
        {"\"cache_last_channel\"", "float32", "int8", "dtype: caches are not of this type"},
        {"\"cache_last_time\"", "float32", "int8", "/inputs/3/dtype is \"int8\", but"},
        {"\"audio_signal\"", "float32", "int64", "/inputs/0/dtype is \"int64\", but"},
        {"\"encoder_output\"", "1024", "1000", "/outputs/0/shape/1 is 1000, but"},
        {"\"inputs\"", "\"length\"", "\"audio_signal\"", "audio_signal: two tensors have this name"},
        {"\"inputs\"", "\"length\"", "\"leng th\"", "is no name"},
        {"\"profiles\"", "\"min\": 592", "\"min\": 600", "profile first: T.max is 592, possible: 600 to"},
        {"\"profiles\"", "\"name\": \"later\"", "\"name\": \"first\"", "another profile has this name"},
        {"\"B\"", "\"max\": 1}", "\"max\": 5000}", "B.max is 5000"},
        {"\"assertions\"", "\"finite\"", "\"fine\"", "/assertions/6/rule"},
        {"\"assertions\"", "{\"rule\": \"cache_length\", \"tensor\": \"cache_last_channel_len_out\", \"expected\": \"len_out\"},", "",
         "'cache_length' is not among them"},
        {"\"assertions\"", "\"expected\": \"len_out\"", "\"expected\": \"anything\"", "/assertions/3/expected is \"anything\", but"},
        {"", "}\n", "}\n]", "not valid JSON"},
        {"\"format\"", "1", "2", "format 2, this program knows 1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_error err = {""};
        const conure_status status = edited(bad[i].after, bad[i].from, bad[i].to, &err);
        test_int(status, strstr(bad[i].says, "this program") ? CONURE_UNSUPPORTED : CONURE_BAD_FILE);
        test_contains(err.text, bad[i].says);
        test_contains(err.text, "edited: ");
    }
}

/* What is only written otherwise is the same contract. */
static void harmless(void)
{
    conure_error err = {""};
    test_int(edited("\"valid_out\"", "1", "1.0", &err), CONURE_OK);
    test_int(edited("", "\"pad_value\": 0.0", "\"pad_value\": 0", &err), CONURE_OK);
    test_int(edited("", "\"mask\":", "\n\n\"mask\":", &err), CONURE_OK);
    test_int(edited("", "\"mask\": \"nemo\"", "\"mask\": \"exact\"", &err), CONURE_OK);
    test_int(edited("\"outputs\"", "\"encoded_lengths\"", "\"lengths_out\"", &err), CONURE_BAD_FILE); /* an assertion names it */
    test_contains(err.text, "/assertions/2/tensor");
}

static void derive_errors(void)
{
    static const struct {
        conure_contract_options o;
        const char *says;
    } bad[] = {
        {{.streaming = {.cache_rows = 256}, .profiles = "x=592..584"}, "profile 'x=592..584'"},
        {{.streaming = {.cache_rows = 256}, .profiles = ""}, "profile ''"},
        {{.streaming = {.cache_rows = 256}, .profiles = "592,"}, "profile ''"},
        {{.streaming = {.cache_rows = 256}, .profiles = "=592"}, "profile '=592'"},
        {{.streaming = {.cache_rows = 256}, .profiles = "592..."}, "profile '592...'"},
        {{.streaming = {.cache_rows = 256}, .profiles = "99999999999"}, "profile '99999999999'"},
        {{.streaming = {.cache_rows = 256}, .profiles = "first=592"}, "none serves the later steps"},
        {{.streaming = {.cache_rows = 256}, .profiles = "later=592"}, "none serves the first step"},
        {{.streaming = {.cache_rows = 256}, .profiles = "a b=592"}, "is no name"},
        {{.streaming = {.cache_rows = 256}, .profiles = "592,592"}, "another profile has this name"},
        {{.streaming = {.cache_rows = 256}, .profiles = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, "more than 16"},
        {{.streaming = {.cache_rows = 256}, .profiles = "8"}, "gives no encoder frame"},
        {{.streaming = {.cache_rows = 256}, .b_min = 3, .b_max = 2}, "B.max is 2"},
        {{.streaming = {.cache_rows = 256}, .precision = "f8"}, "precision 'f8'"},
        {{.streaming = {.cache_rows = 256}, .pad_right = true}, "caches.pad_side"},
        {{.streaming = {0}}, "name the rows"},
    };
    conure_config config;
    conure_error err = {""};
    test_int(conure_config_preset(&config, "mini", &err), CONURE_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        conure_contract k;
        test_int(conure_contract_derive(&k, &config, "mini", &bad[i].o, &err), CONURE_BAD_ARG);
        test_contains(err.text, bad[i].says);
    }
    char name[200];
    conure_contract k;
    memset(name, 'n', sizeof name);
    name[128] = '\0';
    test_int(conure_contract_derive(&k, &config, name, &published, &err), CONURE_BAD_ARG);
    name[127] = '\0';
    test_int(conure_contract_derive(&k, &config, name, &published, &err), CONURE_OK);
}

static void files(void)
{
    conure_contract k = full_size(&published), read;
    conure_error err = {""};
    test_int(conure_contract_write(&k, "written.contract.json", &err), CONURE_OK);
    test_int(conure_contract_read(&read, "written.contract.json", NULL, &err), CONURE_OK);
    test_int(memcmp(&read, &k, sizeof k), 0);
    test_int(conure_contract_add_file(&k, "written.contract.json", NULL, &err), CONURE_OK);
    test_text(k.files[0].name, "written.contract.json");
    test_int(strlen(k.files[0].sha256), 64);
    test_int(conure_contract_add_file(&k, "no such file", NULL, &err), CONURE_BAD_ARG);
    test_int(conure_contract_add_file(&k, "no-such-file", NULL, &err), CONURE_IO);
    test_int(k.n_files, 1);
    k.n_files = CONURE_CONTRACT_FILES_MAX;
    test_int(conure_contract_add_file(&k, "written.contract.json", NULL, &err), CONURE_LIMIT);
    test_int(conure_contract_read(&read, "no-such-file", NULL, &err), CONURE_IO);
    test_int(conure_contract_write(&k, "no/such/folder/x.json", &err), CONURE_IO);
    unlink("written.contract.json");
}

static void about_a_model(void)
{
    conure_contract k;
    conure_error err = {""};
    conure_model *model = NULL, *other = NULL;
    const conure_contract_options o = {.streaming = {.chunk = 6, .shift = 3, .cache_rows = 64}};
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    test_int(conure_model_open(&other, TEST_DATA "/models/tiny-alt.nemo", NULL, &err), CONURE_OK);
    test_int(conure_contract_derive_model(&k, model, &o, &err), CONURE_OK);
    test_int(conure_contract_matches(&k, model, &err), CONURE_OK);
    test_int(conure_contract_matches(&k, other, &err), CONURE_BAD_FILE);
    test_contains(err.text, "the contract is about tiny-v3");
    k.model_sha256[3] = k.model_sha256[3] == '0' ? '1' : '0';
    test_int(conure_contract_matches(&k, model, &err), CONURE_BAD_FILE);
    test_contains(err.text, "weights");
    k.model_sha256[0] = '\0'; /* any weights */
    test_int(conure_contract_matches(&k, model, &err), CONURE_OK);
    conure_model_close(&model);
    conure_model_close(&other);
}

int main(void)
{
    test_begin("contract.file");
    shipped();
    round_trips();
    edits();
    harmless();
    derive_errors();
    files();
    about_a_model();
    return test_end();
}

/* nemo_hostile.c - whole archives, damaged in every way that is cheap to try: always a status
 * and a text, never a crash, nothing leaked (run it under the sanitizers). */
#include "nemo_build.h"
#include "nemo_support.h"
#include "nemo_yaml.h"

/* A complete archive of a few kilobytes: configuration, vocabulary, three tensors, PAX headers. */
static conure_buffer small_archive(void)
{
    static const int64_t shape[] = {2, 3}, row[] = {3, 1}, column[] = {1, 2};
    static const float numbers[] = {1, 2, 3, 4, 5, 6};
    conure_buffer pickle = {0}, out = {0};
    zip_builder zip = {0};
    pickle_begin(&pickle);
    pickle_tensor(&pickle, "a", "FloatStorage", "0", 6, 0, 2, shape, row);
    pickle_tensor(&pickle, "b", "FloatStorage", "0", 6, 0, 2, shape, column);
    pickle_tensor(&pickle, "c", "HalfStorage", "1", 12, 6, 2, shape, row);
    pickle_end(&pickle);
    zip_add(&zip, "model_weights/data.pkl", pickle.data, pickle.bytes);
    zip_add(&zip, "model_weights/byteorder", "little", 6);
    zip_add(&zip, "model_weights/data/0", numbers, sizeof numbers);
    zip_add(&zip, "model_weights/data/1", numbers, sizeof numbers);
    zip_end(&zip);
    tar_add(&out, "./", '5', "", 0);
    tar_pax(&out, 'x', "mtime", "1795416948.7");
    tar_add(&out, "./model_weights.ckpt", '0', zip.out.data, zip.out.bytes);
    tar_pax(&out, 'x', "path", "./model_config.yaml");
    tar_add(&out, "./model_conf", '0', nemo_yaml, sizeof nemo_yaml - 1);
    tar_end(&out);
    conure_buffer_free(&pickle);
    conure_buffer_free(&zip.out);
    return out;
}

/* Open the first n bytes in a block of exactly that size, one bit changed if it lies there;
 * returns the status and reads all that came out. */
static conure_status open_damaged(const uint8_t *data, size_t n, size_t bit, long *wrong)
{
    conure_model model;
    conure_error err;
    volatile uint8_t sum = 0;
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    if (bit / 8 < n)
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    const conure_status status = nemo_open_memory(&model, copy, n, &err);
    for (uint32_t i = 0; status == CONURE_OK && i < model.n_tensors; i++)
        for (uint64_t k = 0; k < model.tensors[i].bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)model.tensors[i].data)[k]);
    *wrong += status != CONURE_OK && strncmp(err.text, "test.nemo: ", 11) != 0;
    nemo_close(&model);
    free(copy);
    return status;
}

static void test_small(void)
{
    conure_buffer in = small_archive();
    const uint8_t *data = (const uint8_t *)in.data;
    long wrong = 0, accepted = 0;
    test_int(open_damaged(data, in.bytes, SIZE_MAX, &wrong), CONURE_OK);
    const size_t config = (size_t)((const uint8_t *)memmem(data, in.bytes, nemo_yaml, 64) - data);
    for (size_t n = 0; n < in.bytes; n++) /* whole from the end of the configuration on */
        wrong += (open_damaged(data, n, SIZE_MAX, &wrong) == CONURE_OK) !=
                 (n >= config + sizeof nemo_yaml - 1);
    test_int(wrong, 0);
    for (size_t bit = 0; bit < 8 * in.bytes; bit++)
        accepted += open_damaged(data, in.bytes, bit, &wrong) == CONURE_OK;
    test_int(wrong, 0);
    test_true(accepted > 0 &&
              accepted < (long)(8 * in.bytes)); /* padding does not matter, weights do */
    conure_buffer_free(&in);
}

static void missing(const char *name, const char *part)
{
    conure_buffer in = small_archive();
    conure_model model;
    conure_error err;
    char *at = memmem(in.data, in.bytes, name, strlen(name));
    test_true(at != NULL);
    if (at)
        at[strlen(name) - 1] = 'Z';
    for (size_t header = 0; header + 512 <= in.bytes; header += 512)
        if (memcmp(in.data + header + 257, "ustar", 5) == 0)
            tar_checksum((uint8_t *)in.data + header);
    test_int(nemo_open_memory(&model, in.data, in.bytes, &err), CONURE_BAD_FILE);
    test_contains(err.text, part);
    nemo_close(&model);
    conure_buffer_free(&in);
}

/* A pickle that calls a function, deep within an archive that is well formed otherwise. */
static void test_call(void)
{
    static const char call[] = "\x80\x02"
                               "cposix\nsystem\nX\x19\0\0\0touch nemo_hostile.called\x85R.";
    conure_buffer out = {0};
    zip_builder zip = {0};
    conure_model model;
    conure_error err;
    remove("nemo_hostile.called");
    zip_add(&zip, "archive/data.pkl", call, sizeof call - 1);
    zip_end(&zip);
    tar_add(&out, "model_config.yaml", '0', nemo_yaml, sizeof nemo_yaml - 1);
    tar_add(&out, "model_weights.ckpt", '0', zip.out.data, zip.out.bytes);
    tar_end(&out);
    test_int(nemo_open_memory(&model, out.data, out.bytes, &err), CONURE_UNSUPPORTED);
    test_text(
        err.text,
        "test.nemo: model_weights.ckpt: pickle, byte 2: pickle calls 'posix system': refused, "
        "nothing was executed");
    test_true(fopen("nemo_hostile.called", "rb") == NULL);
    nemo_close(&model);
    conure_buffer_free(&zip.out);
    conure_buffer_free(&out);
}

static void test_tokenizer(void)
{
    conure_buffer in = small_archive(), out = {0};
    conure_model model;
    conure_error err;
    char yaml[sizeof nemo_yaml + 64];
    const char *type = strstr(nemo_yaml, "  type: bpe\n");
    snprintf(yaml, sizeof yaml, "%.*s  model_path: nemo:t.model\n%s", (int)(type - nemo_yaml),
             nemo_yaml, type);
    tar_add(&out, "model_config.yaml", '0', yaml, strlen(yaml));
    test_int(nemo_open_memory(&model, out.data, out.bytes, &err), CONURE_BAD_FILE);
    test_contains(err.text, "t.model: member t.model is missing");
    nemo_close(&model);
    tar_add(&out, "t.model", '0',
            "\x0a\x05\x0a\x03"
            "abc",
            7); /* one piece, "abc" */
    test_int(nemo_open_memory(&model, out.data, out.bytes, &err), CONURE_BAD_FILE);
    test_contains(err.text, "test.nemo: t.model: 1 pieces, but decoder.vocab_size is 4");
    nemo_close(&model);
    conure_buffer_free(&out);
    test_int(nemo_open_memory(&model, in.data, in.bytes, &err), CONURE_OK);
    test_int(conure_tokenizer_size(model.tokenizer), 4);
    test_text(conure_tokenizer_piece(model.tokenizer, 2), "on");
    nemo_close(&model);
    conure_buffer_free(&in);
}

/* A real one: random bits anywhere, and random cuts. */
static void test_real(uint64_t seed)
{
    conure_map map;
    conure_error err;
    long wrong = 0, refused = 0;
    const uint64_t first = seed;
    test_int(conure_map_open(&map, TEST_DATA "/models/tiny-alt.nemo", &err), CONURE_OK);
    for (int i = 0; i < 40 && map.data; i++) {
        refused += open_damaged(map.data, map.bytes, test_random(&seed) % (8 * map.bytes),
                                &wrong) != CONURE_OK;
        refused +=
            open_damaged(map.data, test_random(&seed) % map.bytes, SIZE_MAX, &wrong) != CONURE_OK;
    }
    test_int(wrong, 0);
    /* Storages and what the cuts take are three quarters of the file; the rest is the tokenizer
     * and padding. */
    test_true(refused > 40);
    if (refused <= 40 || wrong)
        fprintf(stderr, "seed %llu: %ld refused\n", (unsigned long long)first, refused);
    conure_map_close(&map);
}

int main(void)
{
    test_begin("nemo_hostile");
    test_small();
    missing("model_weights.ckpt", "member model_weights.ckpt is missing");
    missing("model_config.yaml", "member model_config.yaml is missing");
    test_call();
    test_tokenizer();
    test_real(20250714);
    return test_end();
}

/* model_support.h - models for the tests: a small random one, written as a Hugging Face folder; files in a
 * folder of the test's own; comparison of two models. */
#ifndef CONURE_TESTS_MODEL_SUPPORT_H
#define CONURE_TESTS_MODEL_SUPPORT_H

#include "base/memory.h"
#include "model/load.h"
#include "model/panels.h"
#include "model/random.h"
#include "model/safetensors.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

/* A folder below the test's working directory, and names in it (four at a time). */
static inline const char *in_folder(const char *folder, const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    mkdir(folder, 0777);
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline void write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    test_true(file && fwrite(data, 1, bytes, file) == bytes);
    if (file)
        test_int(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_file(path, text, strlen(text));
}

/* A whole file, aligned like a map, with *bytes; freed by free(). */
static inline uint8_t *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    *bytes = 0;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        const size_t n = (size_t)ftell(file);
        rewind(file);
        data = conure_alloc_aligned(n + 1);
        *bytes = data ? fread(data, 1, n, file) : 0;
    }
    test_true(data && *bytes);
    if (file)
        fclose(file);
    return data;
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Elements as float32; freed by free(). */
static inline float *elements(const conure_tensor *tensor, size_t *n)
{
    *n = conure_tensor_n(tensor) * conure_tensor_k(tensor);
    float *values = malloc((*n + 1) * sizeof *values);
    test_int(conure_tensor_read_f32(tensor, values, *n, NULL), CONURE_OK);
    return values;
}

/* What a value becomes in a type of storage. */
static inline float stored_as(conure_dtype dtype, float value)
{
    return dtype == CONURE_F16    ? conure_f16_to_f32(conure_f32_to_f16(value))
           : dtype == CONURE_BF16 ? conure_bf16_to_f32(conure_f32_to_bf16(value))
                                  : value;
}

typedef struct comparison {
    const conure_model *got, *want;
    conure_dtype matrices; /* the type that got's matrices were rounded to */
    long wrong, n_tensors;
} comparison;

static inline conure_status compare_one(void *user, const conure_tensor_spec *spec)
{
    comparison *c = user;
    const conure_tensor *a = conure_model_tensor(c->got, spec->name);
    const conure_tensor *b = conure_model_tensor(c->want, spec->name);
    size_t n, m;
    if (spec->optional && !a)
        return CONURE_OK;
    if (!a || !b || a->rank != b->rank || memcmp(a->shape, b->shape, sizeof a->shape)) {
        fprintf(stderr, "%s: absent, or of another shape\n", spec->name);
        c->wrong++;
        return CONURE_OK;
    }
    float *x = elements(a, &n), *y = elements(b, &m);
    const size_t k = conure_tensor_k(b);
    for (size_t row = 0; row * k < n; row++) {
        float largest = 0;
        for (size_t i = 0; i < k; i++)
            largest = fmaxf(largest, fabsf(y[row * k + i]));
        for (size_t i = row * k; i < (row + 1) * k; i++)
            if (spec->is_matrix && c->matrices == CONURE_I8 && b->dtype != CONURE_I8)
                c->wrong += !(fabsf(x[i] - y[i]) <= 0.50001f * largest / 127);
            else
                c->wrong += x[i] != (spec->is_matrix ? stored_as(c->matrices, y[i]) : y[i]);
    }
    free(x);
    free(y);
    c->n_tensors++;
    return CONURE_OK;
}

/* Every tensor of want is in got, its matrices rounded to dtype; everything else is the same. */
static inline void test_same(const conure_model *got, const conure_model *want, conure_dtype dtype)
{
    comparison c = {got, want, dtype, 0, 0};
    test_int(conure_config_tensors(&want->config, compare_one, &c), CONURE_OK);
    test_int(c.wrong, 0);
    test_true(c.n_tensors > 50);
    test_int(got->n_parameters, want->n_parameters);
    test_int(conure_tokenizer_size(got->tokenizer), conure_tokenizer_size(want->tokenizer));
    for (uint32_t i = 0; i < want->config.vocab_size; i++)
        if (strcmp(conure_model_piece(got, i), conure_model_piece(want, i)) != 0)
            test_text(conure_model_piece(got, i), conure_model_piece(want, i));
    char *a = NULL, *b = NULL;
    test_int(conure_config_dump(&got->config, &a, NULL), CONURE_OK);
    test_int(conure_config_dump(&want->config, &b, NULL), CONURE_OK);
    test_text(a, b);
    free(a);
    free(b);
}

/* ---- a Hugging Face folder ------------------------------------------------------------------- */

typedef struct hf_writer {
    const conure_model *model;
    json_t *header;
    conure_buffer data;
    conure_dtype dtype;
    const char *only; /* NULL: every tensor; else those whose names contain it; with '!': do not */
} hf_writer;

/* Our names to theirs, written apart from the reader's table. */
static inline void hf_name(char *out, size_t cap, const char *name)
{
    static const char *const pairs[][2] = {
        {"encoder.pre_encode.conv.", "encoder.subsampling.layers."},
        {"encoder.pre_encode.out.", "encoder.subsampling.linear."},
        {"decoder.prediction.embed.", "decoder.embedding."},
        {"decoder.prediction.dec_rnn.lstm.", "decoder.lstm."},
        {"joint.enc.", "encoder_projector."},
        {"joint.pred.", "decoder.decoder_projector."},
        {"joint.joint_net.2.", "joint.head."},
        {"self_attn.linear_q.", "self_attn.q_proj."},
        {"self_attn.linear_k.", "self_attn.k_proj."},
        {"self_attn.linear_v.", "self_attn.v_proj."},
        {"self_attn.linear_out.", "self_attn.o_proj."},
        {"self_attn.linear_pos.", "self_attn.relative_k_proj."},
        {"self_attn.pos_bias_", "self_attn.bias_"},
        {"conv.batch_norm.", "conv.norm."},
    };
    snprintf(out, cap, "%s", name);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *at = strstr(name, pairs[i][0]);
        if (at)
            snprintf(out, cap, "%.*s%s%s", (int)(at - name), name, pairs[i][1],
                     at + strlen(pairs[i][0]));
    }
}

static inline conure_status hf_add(void *user, const conure_tensor_spec *spec)
{
    hf_writer *w = user;
    char name[160];
    size_t n;
    const conure_tensor *tensor = conure_model_tensor(w->model, spec->name);
    if (spec->optional || !tensor)
        return CONURE_OK;
    hf_name(name, sizeof name, spec->name);
    if (w->only && (*w->only == '!') == (strstr(name, w->only + (*w->only == '!')) != NULL))
        return CONURE_OK;
    float *values = elements(tensor, &n);
    const size_t from = w->data.bytes;
    for (size_t i = 0; i < n; i++) {
        const uint16_t half =
            w->dtype == CONURE_F16 ? conure_f32_to_f16(values[i]) : conure_f32_to_bf16(values[i]);
        if (w->dtype == CONURE_F32)
            conure_buffer_add(&w->data, &values[i], 4);
        else
            conure_buffer_add(&w->data, &half, 2);
    }
    free(values);
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    json_object_set_new(w->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                                  conure_safetensors_dtype(w->dtype), "shape", shape,
                                  "data_offsets", (json_int_t)from, (json_int_t)w->data.bytes));
    return CONURE_OK;
}

/* header and data as a safetensors file; pad spaces at the end of the header shift the data. */
static inline void write_safetensors(const char *path, const char *header, const void *data,
                                     size_t data_bytes, size_t pad)
{
    conure_buffer file = {0};
    const uint64_t bytes = strlen(header) + pad;
    conure_buffer_add(&file, &bytes, 8);
    conure_buffer_text(&file, header);
    while (pad--)
        conure_buffer_text(&file, " ");
    conure_buffer_add(&file, data, data_bytes);
    write_file(path, file.data, file.bytes);
    conure_buffer_free(&file);
}

/* The tensors that `only` selects; their names go to weight_map (NULL: none is wanted) under `file`. */
static inline void write_hf_weights(const conure_model *model, const char *folder, const char *file,
                                    conure_dtype dtype, const char *only, json_t *weight_map)
{
    hf_writer w = {.model = model, .header = json_object(), .dtype = dtype, .only = only};
    const char *key;
    json_t *value;
    test_int(conure_config_tensors(&model->config, hf_add, &w), CONURE_OK);
    if (weight_map)
        json_object_foreach(w.header, key, value)
            json_object_set_new(weight_map, key, json_string(file));
    /* As transformers writes: a counter that inference ignores, and what wrote it. */
    json_object_set_new(w.header, "encoder.layers.0.conv.norm.num_batches_tracked",
                        json_pack("{s:s, s:[], s:[I, I]}", "dtype", "I64", "shape", "data_offsets",
                                  (json_int_t)w.data.bytes, (json_int_t)(w.data.bytes + 8)));
    conure_buffer_add(&w.data, "\1\0\0\0\0\0\0\0", 8);
    json_object_set_new(w.header, "__metadata__", json_pack("{s:s}", "format", "pt"));
    char *header = json_dumps(w.header, JSON_COMPACT);
    write_safetensors(in_folder(folder, file), header, w.data.data, w.data.bytes, 0);
    free(header);
    json_decref(w.header);
    conure_buffer_free(&w.data);
}

static inline json_t *hf_config(const conure_config *c)
{
    json_t *durations = json_array();
    for (uint32_t i = 0; i < c->n_durations; i++)
        json_array_append_new(durations, json_integer(c->durations[i]));
    return json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:i, s:{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, "
        "s:i, s:i, "
        "s:i, s:i, s:b, s:b, s:b}}",
        "model_type", "parakeet_tdt", "hidden_act", "relu", "vocab_size", (int)c->vocab_size + 1,
        "blank_token_id", (int)c->vocab_size, "decoder_hidden_size", (int)c->pred_hidden,
        "num_decoder_layers", (int)c->pred_layers, "durations", durations, "max_symbols_per_step",
        (int)c->max_symbols, "encoder_config", "model_type", "parakeet_encoder", "hidden_act",
        "silu", "hidden_size", (int)c->d_model, "intermediate_size", (int)c->ff_width,
        "num_hidden_layers", (int)c->n_layers, "num_attention_heads", (int)c->n_heads,
        "num_key_value_heads", (int)c->n_heads, "num_mel_bins", (int)c->mel_bins,
        "conv_kernel_size", (int)c->conv_kernel, "subsampling_conv_channels",
        (int)c->subsampling_channels, "subsampling_factor", 8, "subsampling_conv_kernel_size", 3,
        "subsampling_conv_stride", 2, "attention_bias", c->use_bias, "convolution_bias",
        c->use_bias, "scale_input", c->xscaling);
}

static inline void write_json(const char *path, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    test_true(text != NULL);
    write_text(path, text ? text : "");
    free(text);
}

static inline void write_hf_tokenizer(const conure_model *model, const char *path)
{
    json_t *vocab = json_array(), *added = json_array();
    for (uint32_t i = 0; i < model->config.vocab_size; i++) {
        json_array_append_new(vocab, json_pack("[s, f]", conure_model_piece(model, i), 0.0));
        if (conure_tokenizer_type(model->tokenizer, i) == CONURE_PIECE_CONTROL)
            json_array_append_new(added, json_pack("{s:i, s:s, s:b}", "id", (int)i, "content",
                                                   conure_model_piece(model, i), "special", 1));
    }
    json_array_append_new(added, json_pack("{s:i, s:s, s:b}", "id", (int)model->config.vocab_size,
                                           "content", "<blank>", "special", 1));
    json_t *object = json_pack("{s:s, s:o, s:{s:s, s:s, s:s}, s:{s:s, s:i, s:o, s:b}}", "version",
                               "1.0", "added_tokens", added, "decoder", "type", "Metaspace",
                               "replacement", "\xE2\x96\x81", "prepend_scheme", "always", "model",
                               "type", "Unigram", "unk_id", 0, "vocab", vocab, "byte_fallback", 0);
    write_json(path, object);
    json_decref(object);
}

/* Everything but weights. */
static inline void write_hf_texts(const conure_model *model, const char *folder)
{
    json_t *config = hf_config(&model->config);
    write_json(in_folder(folder, "config.json"), config);
    json_decref(config);
    write_hf_tokenizer(model, in_folder(folder, "tokenizer.json"));
    write_text(
        in_folder(folder, "processor_config.json"),
        "{\"decoder_type\":\"tdt\",\"feature_extractor\":{\"feature_size\":128,\"hop_length\":160,"
        "\"n_fft\":512,\"padding_value\":0.0,\"preemphasis\":0.97,\"sampling_rate\":16000,"
        "\"win_length\":400}}");
}

#endif

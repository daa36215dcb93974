/* vectors.c - conformance vectors: a tiny encoder (offline, with padding, and stepping with caches) and a
 * tiny TDT decoder over three chunks, whose weights are sines of their position.  The numbers were made
 * with NeMo's code and agree with an independent implementation to 2e-6. */
#include "../test.h"
#include "base/memory.h"
#include "decode/tdt.h"
#include "found.h"
#include "model/blocks.h"
#include "model/load.h"

static const float near = 4e-6f;
static const conure_engine *tested;

/* Encoder tensors in the order that numbers them from 1; those after the first 28 are not of layer 0. */
static const char *const encoder_names[] = {
    "conv.batch_norm.bias", "conv.batch_norm.running_mean", "conv.batch_norm.running_var", "conv.batch_norm.weight",
    "conv.depthwise_conv.weight", "conv.pointwise_conv1.weight", "conv.pointwise_conv2.weight",
    "feed_forward1.linear1.weight", "feed_forward1.linear2.weight", "feed_forward2.linear1.weight",
    "feed_forward2.linear2.weight", "norm_conv.bias", "norm_conv.weight", "norm_feed_forward1.bias",
    "norm_feed_forward1.weight", "norm_feed_forward2.bias", "norm_feed_forward2.weight", "norm_out.bias", "norm_out.weight",
    "norm_self_att.bias", "norm_self_att.weight", "self_attn.linear_k.weight", "self_attn.linear_out.weight",
    "self_attn.linear_pos.weight", "self_attn.linear_q.weight", "self_attn.linear_v.weight", "self_attn.pos_bias_u",
    "self_attn.pos_bias_v", "pre_encode.conv.0.bias", "pre_encode.conv.0.weight", "pre_encode.conv.2.bias",
    "pre_encode.conv.2.weight", "pre_encode.conv.3.bias", "pre_encode.conv.3.weight", "pre_encode.conv.5.bias",
    "pre_encode.conv.5.weight", "pre_encode.conv.6.bias", "pre_encode.conv.6.weight", "pre_encode.out.bias",
    "pre_encode.out.weight",
};
static const char *const decoder_names[] = {
    "decoder.prediction.dec_rnn.lstm.bias_hh_l0", "decoder.prediction.dec_rnn.lstm.bias_hh_l1",
    "decoder.prediction.dec_rnn.lstm.bias_ih_l0", "decoder.prediction.dec_rnn.lstm.bias_ih_l1",
    "decoder.prediction.dec_rnn.lstm.weight_hh_l0", "decoder.prediction.dec_rnn.lstm.weight_hh_l1",
    "decoder.prediction.dec_rnn.lstm.weight_ih_l0", "decoder.prediction.dec_rnn.lstm.weight_ih_l1",
    "decoder.prediction.embed.weight", "joint.enc.bias", "joint.enc.weight", "joint.joint_net.2.bias",
    "joint.joint_net.2.weight", "joint.pred.bias", "joint.pred.weight",
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

typedef struct maker {
    conure_model *model;
    double a; /* of the decoder's weights */
} maker;

static float encoder_value(const char *name, uint32_t t, uint64_t k)
{
    const double s = sin(0.7 * t + 0.13 * (double)k);
    const size_t n = strlen(name);
    if (strstr(name, "running_var"))
        return (float)(1 + 0.5 * s * s);
    return (float)(strstr(name, "norm") && strcmp(name + n - 7, ".weight") == 0 ? 1 + 0.1 * s : 0.3 * s);
}

static conure_status make(void *user, const conure_tensor_spec *spec)
{
    maker *m = user;
    char full[160];
    uint64_t n = 1;
    if (spec->optional)
        return CONURE_OK;
    conure_tensor *tensor = &m->model->tensors[m->model->n_tensors++];
    *tensor = (conure_tensor){.dtype = CONURE_F32, .rank = spec->rank};
    memcpy(tensor->shape, spec->shape, sizeof tensor->shape);
    for (uint32_t i = 0; i < spec->rank; i++)
        n *= spec->shape[i];
    tensor->bytes = n * sizeof(float);
    tensor->name = conure_block_text(&m->model->arena, spec->name, strlen(spec->name));
    float *data = conure_block_alloc(&m->model->arena, tensor->bytes);
    tensor->data = data;
    uint32_t found = 0;
    for (uint32_t t = 1; t <= COUNT(encoder_names); t++) {
        snprintf(full, sizeof full, "encoder.%s%s", t <= 28 ? "layers.0." : "", encoder_names[t - 1]);
        for (uint64_t k = 0; strcmp(full, spec->name) == 0 && k < n; k++, found = t)
            data[k] = encoder_value(encoder_names[t - 1], t, k);
    }
    for (uint32_t t = 1; t <= COUNT(decoder_names); t++)
        for (uint64_t k = 0; strcmp(decoder_names[t - 1], spec->name) == 0 && k < n; k++, found = t)
            data[k] = (float)(1.5 * sin(m->a * t + 0.37 * (double)k));
    if (strstr(spec->name, "embed"))
        memset(data + 6 * 4, 0, 4 * sizeof *data);
    if (!found)
        fprintf(stderr, "%s has no vector\n", spec->name);
    test_true(found != 0);
    return CONURE_OK;
}

static conure_model *open_tiny(double a)
{
    conure_model *model = NULL;
    conure_model_options options;
    conure_error err = {""};
    conure_model_options_init(&options);
    test_int(conure_model_new(&model, &options, conure_strdup("vectors"), &err), CONURE_OK);
    model->config = (conure_config){
        .sample_rate_hz = 16000, .window_samples = 400, .hop_samples = 160, .n_fft = 512, .mel_bins = 16,
        .preemphasis = 0.97f, .log_guard = 0x1p-24f, .mel_high_hz = 8000, .n_layers = 1, .d_model = 8, .n_heads = 2,
        .ff_width = 32, .conv_kernel = 9, .conv_left = 4, .conv_right = 4, .subsampling_channels = 2,
        .untie_biases = true, .att_left = -1, .att_right = -1, .pos_emb_max_len = 5000, .vocab_size = 6,
        .pred_hidden = 4, .pred_layers = 2, .joint_hidden = 4, .n_durations = 5, .durations = {0, 1, 2, 3, 4},
        .max_symbols = 3, .mask = CONURE_MASK_NEMO};
    model->tensors = conure_block_alloc(&model->arena, 128 * sizeof *model->tensors);
    static const char *const pieces[6] = {"a", "b", "c", "d", "e", "f"};
    static const uint8_t types[6] = {1, 1, 1, 1, 1, 1};
    test_int(conure_tokenizer_from_pieces(&model->tokenizer, pieces, types, 6, "?", true, &err), CONURE_OK);
    maker m = {model, a};
    test_int(conure_config_tensors(&model->config, make, &m), CONURE_OK);
    test_int(model->n_tensors, COUNT(encoder_names) + COUNT(decoder_names));
    test_int(conure_model_finish(model, true, "vectors", &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
    return model;
}

static void *open_engine(const conure_model *model, conure_mask mask)
{
    const conure_engine_options options = {.n_threads = 1, .precision = conure_engine_precision(tested, model, CONURE_PRECISION_DEFAULT), .mask = mask};
    conure_error err = {""};
    void *self = NULL;
    test_int(tested->open(&self, model, &options, &err), CONURE_OK);
    return self;
}

static void same(const float *got, const float *want, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        test_near(got[i], want[i], near);
}

enum { D = 8, BINS = 16, FRAMES = 41 };

/* ---- encoder --------------------------------------------------------------------------------- */

static void fill_mel(float mel[FRAMES][BINS])
{
    for (int t = 0; t < FRAMES; t++)
        for (int f = 0; f < BINS; f++)
            mel[t][f] = (float)sin(0.05 * f * (1 + 0.01 * t) + 0.21 * t);
}

static void encode(void *self, conure_encode_row *row)
{
    conure_error err = {""};
    test_int(tested->encode(self, row, 1, &err), CONURE_OK);
    if (err.text[0])
        fprintf(stderr, "%s\n", err.text);
}

static void offline(const conure_model *model, conure_mask mask)
{
    static const float whole[6][D] = {
        {1.070477f, 1.089165f, -1.192946f, -0.001713f, 0.132378f, -1.832255f, 0.295196f, 1.484218f},
        {1.055470f, 0.965800f, -1.056431f, -0.291306f, -0.126261f, -1.660261f, 0.308797f, 1.853310f},
        {1.060847f, 0.815040f, -1.020576f, -0.550790f, -0.320638f, -1.412875f, 0.419327f, 2.064206f},
        {1.064724f, 0.865942f, -0.993110f, -0.486256f, -0.304874f, -1.489344f, 0.377917f, 2.017361f},
        {1.012678f, 0.982480f, -0.984500f, -0.276456f, -0.169426f, -1.690431f, 0.290452f, 1.884307f},
        {1.036473f, 1.146549f, -1.129589f, 0.147928f, 0.155269f, -1.934811f, 0.261779f, 1.358495f}};
    static const float first[D] = {1.084476f, 1.098880f, -1.190724f, -0.047146f, 0.094245f, -1.809411f, 0.320445f, 1.493615f};
    static const float last[D] = {0.952770f, 1.173850f, -1.086353f, 0.597435f, 0.313209f, -2.101378f, 0.258882f, 0.930608f};
    float mel[FRAMES][BINS], out[8][D];
    void *self = open_engine(model, mask);
    fill_mel(mel);
    conure_encode_row row = {.mel = mel[0], .n_frames = 41, .n_valid = 41, .out = out[0], .n_out_cap = 8};
    encode(self, &row);
    test_int(row.n_out, 6);
    test_int(row.n_out_valid, 6);
    same(out[0], whole[0], 6 * D);
    row = (conure_encode_row){.mel = mel[0], .n_frames = 41, .n_valid = 33, .out = out[0], .n_out_cap = 8};
    encode(self, &row);
    test_int(row.n_out, 6);
    test_int(row.n_out_valid, 5);
    same(out[0], first, D);
    same(out[4], last, D);
    tested->close(&self);
}

static void stepping(const conure_model *model, bool aligned)
{
    static const float first[D] = {1.277286f, 1.062001f, -1.370261f, -0.466121f, -0.070292f, -1.443450f, 0.593661f, 1.463000f};
    static const float cached[D] = {2.211431f, 0.879761f, -0.903726f, -0.237781f, -0.584719f, -0.985566f, 0.794486f, 1.030630f};
    static const float times[2][4] = {{-0.135755f, 0, 0, 0}, {0, 0, 0, -0.135759f}};
    static const float second[2][D] = {
        {1.209481f, 0.945221f, -1.197466f, -0.646286f, -0.275196f, -1.331469f, 0.560454f, 1.785513f},
        {1.213465f, 0.940715f, -1.207439f, -0.648315f, -0.268012f, -1.325550f, 0.562836f, 1.782653f}};
    const conure_cache_options options = {.cache_rows = 4, .drop_rows = 1, .keep_negative = true, .time_cache_aligned = aligned,
                                          .keep_rows = true};
    const conure_engine *engine = tested;
    float mel[FRAMES][BINS], padded[25][BINS] = {{0}}, out[4][D], channel[4][D], time[D][4];
    void *self = open_engine(model, CONURE_MASK_NEMO);
    conure_state *state = NULL;
    conure_error err = {""};
    int64_t length = -1;
    fill_mel(mel);
    test_int(engine->state_open(self, &state, &options, &err), CONURE_OK);
    conure_encode_row row = {.mel = mel[0], .n_frames = 9, .n_valid = 9, .state = state, .out = out[0], .n_out_cap = 4};
    encode(self, &row);
    test_int(row.n_out, 2);
    same(out[0], first, D);
    test_int(engine->state_export(self, state, channel[0], time[0], &length, &err), CONURE_OK);
    test_int(length, 1);
    same(channel[3], cached, D);
    same(time[0], times[aligned], 4);
    memcpy(padded[8], mel[0], 17 * sizeof mel[0]);
    row = (conure_encode_row){.mel = padded[0], .n_frames = 25, .n_valid = 25, .drop_first = 2, .state = state,
                              .out = out[0], .n_out_cap = 4};
    encode(self, &row);
    same(out[0], second[aligned], D);
    test_int(engine->state_export(self, state, channel[0], time[0], &length, &err), CONURE_OK);
    test_int(length, 2);
    engine->state_close(self, &state);
    tested->close(&self);
}

/* ---- decoder --------------------------------------------------------------------------------- */

typedef struct expected {
    double a;
    float prediction[4], h[4];
    uint32_t n_tokens[3], jump[3];
    uint32_t tokens[24][3]; /* token, frame, duration */
} expected;

static const expected decodings[] = {
    {0.9, {0.931694f, 0.138026f, 0.085039f, 1.641681f}, {0.253634f, -0.100771f, -0.071779f, 0.140385f},
     {1, 1, 1}, {1, 1, 2}, {{1, 0, 3}, {5, 6, 3}, {1, 15, 3}}},
    {1.1, {-0.423853f, -0.225789f, 0.226368f, -0.790418f}, {0.299528f, 0.101179f, 0.048469f, 0.201631f},
     {7, 3, 10}, {0, 0, 0},
     {{4, 0, 1}, {3, 1, 1}, {4, 2, 1}, {4, 3, 1}, {3, 4, 0}, {3, 4, 0}, {3, 4, 0}, {4, 5, 1}, {4, 6, 1}, {4, 7, 1},
      {4, 8, 1}, {3, 9, 1}, {4, 10, 1}, {4, 11, 1}, {3, 12, 0}, {3, 12, 0}, {3, 12, 0}, {4, 13, 1}, {4, 14, 1}, {4, 15, 1}}},
};

static void decode(const expected *want)
{
    static const uint32_t chunks[3] = {5, 3, 8};
    const conure_engine *engine = tested;
    conure_model *model = open_tiny(want->a);
    void *self = open_engine(model, CONURE_MASK_NEMO);
    const conure_tdt_options options = {3, NULL};
    conure_tdt_room room = {0};
    conure_tdt tdt;
    conure_error err = {""};
    float frames[16][D], projected[16][4], state[2][8] = {{0}}, prediction[4];
    const uint32_t start = 6;
    uint32_t at = 0, n_tokens = 0;
    for (int t = 0; t < 16; t++)
        for (int d = 0; d < D; d++)
            frames[t][d] = (float)sin(0.8 * t + 0.5 * d);
    test_int(engine->predict(self, &start, state[0], state[1], 1, prediction, &err), CONURE_OK);
    same(prediction, want->prediction, 4);
    test_int(engine->project(self, frames[0], 16, projected[0], &err), CONURE_OK);
    test_int(conure_tdt_open(&tdt, &model->config, NULL, &err), CONURE_OK);
    for (int i = 0; i < 3; i++) {
        conure_tdt_chunk chunk = {.tdt = &tdt, .frames = projected[at], .n_frames = chunks[i]};
        test_int(conure_tdt_decode(engine, self, &model->config, &options, &room, &chunk, 1, &err), CONURE_OK);
        at += chunks[i];
        test_int(tdt.n_tokens, n_tokens + want->n_tokens[i]);
        test_int(tdt.jump, want->jump[i]);
        for (; n_tokens < tdt.n_tokens; n_tokens++) {
            test_int(tdt.tokens[n_tokens].id, want->tokens[n_tokens][0]);
            test_int(tdt.tokens[n_tokens].frame, want->tokens[n_tokens][1]);
            test_int(tdt.tokens[n_tokens].duration, want->tokens[n_tokens][2]);
        }
    }
    test_int(tdt.offset, 16);
    same(tdt.h + 4, want->h, 4);
    conure_tdt_close(&tdt);
    conure_tdt_room_free(&room);
    tested->close(&self);
    conure_model_close(&model);
}

int main(int argc, char **argv)
{
    conure_error err = {""};
    test_begin("engine.vectors");
    if (argc > 1 && engine_missing(argv[1]))
        return test_skip(engine_missing(argv[1]));
    test_int(conure_engine_find(&tested, argc > 1 ? argv[1] : "cpu", &err), CONURE_OK);
    conure_model *model = open_tiny(0.9);
    offline(model, CONURE_MASK_NEMO);
    offline(model, CONURE_MASK_EXACT);
    stepping(model, false);
    stepping(model, true);
    conure_model_close(&model);
    for (size_t i = 0; i < COUNT(decodings); i++)
        decode(&decodings[i]);
    return test_end();
}

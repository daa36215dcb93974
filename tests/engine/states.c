/* states.c - what a stream's state keeps from step to step: keys and values against rows projected again,
 * bf16 against f32 rounded, batches of unlike rows, steps that fail, rings that grow. */
#include "../test.h"
#include "states.h"

static opened model;
static float *mel[4];

/* ---- keys and values ------------------------------------------------------------------------- */

/* A stream whose rows are exported and imported before each step, so that all keys and values are projected
 * again, gives the same bits as one that keeps them. */
static void projected_again(uint32_t cache_rows, conure_precision precision, const char *isa)
{
    const conure_cache_options options = {.cache_rows = cache_rows, .drop_rows = 1, .keep_rows = true};
    char path[4096];
    opened o;
    test_true(open_engine(&o, data_path(path, sizeof path, "models/tiny-v3.nemo"), precision, CONURE_MASK_DEFAULT, 2, isa));
    stream keeps = stream_open(&o, mel[0], 57, 24, &options), again = stream_open(&o, mel[0], 57, 24, &options);
    const conure_config *c = &o.model->config;
    float *rows = malloc((size_t)c->n_layers * c->d_model * (cache_rows + c->conv_left) * sizeof *rows);
    float *times = rows + (size_t)c->n_layers * c->d_model * cache_rows;
    conure_error err = {""};
    for (int k = 0; k < 20; k++) {
        int64_t length = -1;
        test_int(o.engine->state_export(o.self, again.state, rows, times, &length, &err), CONURE_OK);
        test_int(length, 5 * k < (int)cache_rows ? 5 * k : (int)cache_rows);
        o.engine->state_reset(o.self, again.state);
        test_int(o.engine->state_import(o.self, again.state, rows, times, length, &err), CONURE_OK);
        stream_step(&keeps);
        stream_step(&again);
        test_true(same_output(&keeps, &again));
    }
    free(rows);
    stream_close(&keeps);
    stream_close(&again);
    close_engine(&o);
}

static uint16_t to_bf16(float x) /* nearest even; no NaN here */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static float from_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Of a snapshot of options without rows: what lies before and behind the keys and values. */
static size_t kv_values(const opened *o, uint32_t n_rows)
{
    return 2 * (size_t)o->model->config.n_layers * n_rows * o->model->config.d_model;
}

static size_t time_bytes(const opened *o)
{
    return (size_t)o->model->config.n_layers * o->model->config.conv_left * o->model->config.d_model * sizeof(float);
}

/* What bf16 loses is the rounding of what is kept, nothing more: a bf16 state continues bit for bit as an f32
 * state whose keys and values were rounded does.  And layer 0's, which do not depend on what was rounded
 * before, are those of an f32 stream to the bit once rounded. */
static void bf16_is_rounding(void)
{
    conure_cache_options options = {.cache_rows = 20, .drop_rows = 3};
    stream full = stream_open(&model, mel[0], 57, 24, &options), other = stream_open(&model, mel[0], 57, 24, &options);
    options.kv_bf16 = true;
    stream half = stream_open(&model, mel[0], 57, 24, &options);
    const uint32_t d = model.model->config.d_model;
    double most = 0;
    for (int k = 0; k < 16; k++) {
        const uint32_t rows = 3 * k < 20 ? 3 * (uint32_t)k : 20;
        const size_t n = kv_values(&model, rows), tail = time_bytes(&model);
        saved f = save(&full), h = save(&half), o = save(&other);
        test_int(f.bytes - h.bytes, n * 2);
        const uint8_t *fkv = f.data + f.bytes - tail - n * 4, *hkv = h.data + h.bytes - tail - n * 2;
        uint8_t *okv = o.data + o.bytes - tail - n * 4;
        long bad = 0;
        for (size_t i = 0; i < n; i++) {
            float x;
            uint16_t y;
            memcpy(&x, fkv + 4 * i, 4);
            memcpy(&y, hkv + 2 * i, 2);
            bad += i < 2 * (size_t)rows * d && to_bf16(x) != y;
            x = from_bf16(y);
            memcpy(okv + 4 * i, &x, 4);
        }
        test_int(bad, 0);
        memcpy(o.data + o.bytes - tail, h.data + h.bytes - tail, tail);
        conure_error err = {""};
        test_int(load(&other, &o, o.bytes, &err), CONURE_OK);
        stream_step(&full);
        stream_step(&half);
        stream_step(&other);
        test_true(same_output(&half, &other));
        test_true(k == 0 ? same_output(&half, &full) : !same_output(&half, &full));
        const double off = worst(half.out, full.out, (size_t)half.n_out * d);
        most = off > most ? off : most;
        saved_free(&f);
        saved_free(&h);
        saved_free(&o);
    }
    /* Measured 1.4e-3 on outputs of order 1; bf16 itself is good to 2^-9 = 2e-3. */
    fprintf(stderr, "bf16 against f32: %.2g\n", most);
    test_true(most < 1e-2);
    stream_close(&full);
    stream_close(&half);
    stream_close(&other);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Unlike streams and offline rows in one batch, step after step, each as it is alone; the streams also
 * change places. */
static void mixed(conure_precision precision)
{
    static const conure_cache_options options[6] = {
        {.cache_rows = 24, .drop_rows = 3},
        {.cache_rows = 7, .drop_rows = 0, .kv_bf16 = true, .time_cache_aligned = true},
        {.cache_rows = 64, .drop_rows = 5, .keep_rows = true},
        {.cache_rows = 64, .drop_rows = 9, .keep_rows = true, .keep_negative = true, .kv_bf16 = true},
        {.cache_rows = 0, .drop_rows = 2},
        {.cache_rows = 33, .drop_rows = 20}}; /* clamped: nothing ever enters */
    static const uint32_t slices[8] = {57, 89, 121, 201, 57, 65, 200, 33};
    char path[4096];
    opened o;
    conure_error err = {""};
    test_true(open_engine(&o, data_path(path, sizeof path, "models/tiny-alt.nemo"), precision, CONURE_MASK_DEFAULT, 2, NULL));
    float *frames = random_mel(&o, 5);
    stream alone[8], together[8];
    for (int i = 0; i < 8; i++) {
        alone[i] = stream_open(&o, frames + 8 * i, slices[i], 24, i < 6 ? &options[i] : NULL);
        together[i] = stream_open(&o, frames + 8 * i, slices[i], 24, i < 6 ? &options[i] : NULL);
    }
    for (int k = 0; k < 14; k++) {
        conure_encode_row rows[8];
        for (int i = 0; i < 8; i++)
            rows[(i + k) % 8] = stream_row(&together[i]);
        rows[(6 + k) % 8].n_valid -= 30; /* one with padding */
        test_int(o.engine->encode(o.self, rows, 8, &err), CONURE_OK);
        for (int i = 0; i < 8; i++) {
            together[i].n_out = rows[(i + k) % 8].n_out;
            together[i].k++;
            conure_encode_row row = stream_row(&alone[i]);
            row.n_valid -= i == 6 ? 30 : 0;
            test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_OK);
            alone[i].n_out = row.n_out;
            alone[i].k++;
            test_true(same_output(&alone[i], &together[i]));
        }
    }
    for (int i = 0; i < 6; i++) {
        saved a = save(&alone[i]), b = save(&together[i]);
        test_true(same_saved(&a, &b));
        saved_free(&a);
        saved_free(&b);
    }
    conure_encode_row twice[2] = {stream_row(&together[0]), stream_row(&together[0])};
    test_int(o.engine->encode(o.self, twice, 2, &err), CONURE_BAD_ARG);
    test_contains(err.text, "its state");
    test_int(o.engine->encode(o.self, twice, 1, &err), CONURE_OK);
    for (int i = 0; i < 8; i++) {
        stream_close(&alone[i]);
        stream_close(&together[i]);
    }
    free(frames);
    close_engine(&o);
}

/* ---- steps that fail, rings that grow ---------------------------------------------------------- */

static int countdown;

static bool stop_later(void *user, double done)
{
    (void)user;
    (void)done;
    return countdown-- > 0;
}

/* A step that ends in any layer leaves the state as it was, and the stream goes on as if nothing was. */
static void failing(const conure_cache_options *options, uint32_t slice, uint32_t hop)
{
    const conure_engine_options engine = {.n_threads = 1, .precision = CONURE_PRECISION_F32, .mask = CONURE_MASK_NEMO,
                                          .progress = stop_later};
    opened o = model;
    conure_error err = {""};
    o.self = NULL;
    countdown = 1 << 30;
    test_int(o.engine->open(&o.self, o.model, &engine, &err), CONURE_OK);
    stream s = stream_open(&o, mel[1], slice, hop, options), plain = stream_open(&model, mel[1], slice, hop, options);
    for (int k = 0; k < 12; k++) {
        saved before = save(&s);
        for (int layer = 0; layer < 3; layer++) {
            conure_encode_row row = stream_row(&s);
            countdown = layer;
            test_int(o.engine->encode(o.self, &row, 1, &err), CONURE_CANCELLED);
            test_true(unchanged(&s, &before));
        }
        countdown = 1 << 30;
        stream_step(&s);
        stream_step(&plain);
        test_true(same_output(&s, &plain));
        saved_free(&before);
    }
    stream_close(&s);
    stream_close(&plain);
    o.engine->close(&o.self);
}

/* A step brings more rows than there are spare slots; what was kept before is kept. */
static void growing(bool kv_bf16)
{
    const conure_cache_options options = {.cache_rows = 100, .drop_rows = 1, .kv_bf16 = kv_bf16, .keep_rows = true};
    stream s = stream_open(&model, mel[2], 57, 8, &options), wide = stream_open(&model, mel[2], 57, 8, &options);
    size_t snapshot, memory[4];
    const conure_engine *e = model.engine;
    conure_error err = {""};
    for (int k = 0; k < 13; k++) /* 65 rows: the ring's end is reached later */
        stream_step(&s);
    e->state_bytes(model.self, s.state, &snapshot, &memory[0]);
    saved before = save(&s);
    test_int(load(&wide, &before, before.bytes, &err), CONURE_OK);
    wide.k = s.k;
    s.slice = 8 * 36;
    stream_step(&s); /* 33 rows enter */
    e->state_bytes(model.self, s.state, &snapshot, &memory[1]);
    test_true(memory[1] > memory[0] && memory[1] < 2 * memory[0]);
    wide.slice = s.slice;
    stream_step(&wide);
    test_true(same_output(&s, &wide));
    s.slice = wide.slice = 57;
    for (int k = 0; k < 30; k++) { /* round the longer ring */
        stream_step(&s);
        saved now = save(&s);
        test_int(load(&wide, &now, now.bytes, &err), CONURE_OK); /* a ring of the first length again */
        saved_free(&now);
        s.mel += model.model->config.mel_bins;
        wide.mel = s.mel;
        wide.k = s.k;
        stream_step(&s);
        stream_step(&wide);
        test_true(same_output(&s, &wide));
        s.k = 20;
    }
    e->state_bytes(model.self, s.state, &snapshot, &memory[2]);
    e->state_bytes(model.self, wide.state, &snapshot, &memory[3]);
    test_int(memory[2], memory[1]);
    test_int(memory[3], memory[0]);
    saved_free(&before);
    stream_close(&s);
    stream_close(&wide);
}

/* At the shapes of 0.6 B the state of a stream takes at most 28 MB with bf16. */
static void sizes(void)
{
    const conure_cache_options options = {.cache_rows = 256, .drop_rows = 3, .kv_bf16 = true};
    const conure_config *c = &model.model->config;
    conure_state *state = NULL;
    conure_error err = {""};
    size_t snapshot, memory;
    test_int(model.engine->state_open(model.self, &state, &options, &err), CONURE_OK);
    model.engine->state_bytes(model.self, state, &snapshot, &memory);
    const double values = (double)c->n_layers * c->d_model;
    test_near((double)memory / values, (256 + 16) * 4 + 2 * 16, 2);
    test_true((double)memory / values * 24 * 1024 < 28e6);
    test_true((double)snapshot < 16 * values + 100); /* nothing kept yet */
    float x[1];
    int64_t length;
    test_int(model.engine->state_export(model.self, state, x, x, &length, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "keep_rows");
    test_int(model.engine->state_import(model.self, state, x, x, 0, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "keep_rows");
    model.engine->state_close(model.self, &state);
    test_int(model.engine->state_open(model.self, &state, &(conure_cache_options){.cache_rows = 1 << 21}, &err), CONURE_LIMIT);
    test_true(state == NULL);
}

int main(void)
{
    char path[4096];
    test_begin("engine.states");
    test_true(open_engine(&model, data_path(path, sizeof path, "models/tiny-v3.nemo"), CONURE_PRECISION_F32, CONURE_MASK_NEMO, 2, NULL));
    for (int i = 0; i < 4; i++)
        mel[i] = random_mel(&model, 11 + (uint64_t)i);
    projected_again(24, CONURE_PRECISION_F32, NULL);
    projected_again(24, CONURE_PRECISION_F32, "c");
    projected_again(24, CONURE_PRECISION_INT8, NULL);
    projected_again(24, CONURE_PRECISION_BF16, NULL);
    projected_again(4, CONURE_PRECISION_F32, NULL); /* a step brings more than the cache holds */
    bf16_is_rounding();
    mixed(CONURE_PRECISION_F32);
    mixed(CONURE_PRECISION_INT8);
    failing(&(conure_cache_options){.cache_rows = 20, .drop_rows = 3}, 57, 24);
    failing(&(conure_cache_options){.cache_rows = 5, .drop_rows = 1, .kv_bf16 = true, .keep_rows = true}, 97, 24);
    failing(&(conure_cache_options){.cache_rows = 40, .drop_rows = 51, .keep_negative = true}, 410, 24);
    growing(false);
    growing(true);
    sizes();
    for (int i = 0; i < 4; i++)
        free(mel[i]);
    close_engine(&model);
    return test_end();
}

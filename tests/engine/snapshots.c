/* snapshots.c - states as bytes: what is loaded goes on bit for bit, in another engine too, and bytes that
 * no state can be, or of other options, are refused and change nothing. */
#include "../test.h"
#include "states.h"

static const conure_cache_options variants[] = {
    {.cache_rows = 24, .drop_rows = 3},
    {.cache_rows = 24, .drop_rows = 3, .kv_bf16 = true},
    {.cache_rows = 24, .drop_rows = 3, .keep_rows = true, .time_cache_aligned = true},
    {.cache_rows = 24, .drop_rows = 3, .kv_bf16 = true, .keep_rows = true},
    {.cache_rows = 0, .drop_rows = 3},
    {.cache_rows = 4, .drop_rows = 7, .keep_negative = true, .keep_rows = true}, /* 6 rows a step: below 0 */
    {.cache_rows = 40, .drop_rows = 0},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static void open_tiny(opened *o, conure_precision precision, uint32_t n_threads)
{
    char path[4096];
    test_true(open_engine(o, data_path(path, sizeof path, "models/tiny-v3.nemo"), precision, CONURE_MASK_NEMO, n_threads, NULL));
}

/* Saved before every step and loaded into a state elsewhere, which was used before and takes that step too. */
static void continues(conure_precision precision)
{
    opened here, there;
    open_tiny(&here, precision, 2);
    open_tiny(&there, precision, 1);
    float *mel = random_mel(&here, 3);
    for (size_t v = 0; v < N_VARIANTS; v++) {
        stream a = stream_open(&here, mel, 57, 24, &variants[v]), b = stream_open(&there, mel + 100, 57, 24, &variants[v]);
        conure_error err = {""};
        stream_step(&b);
        b.mel = mel;
        for (int k = 0; k < 16; k++) {
            saved blob = save(&a);
            test_int(load(&b, &blob, blob.bytes, &err), CONURE_OK);
            test_true(unchanged(&b, &blob));
            b.k = a.k;
            stream_step(&a);
            stream_step(&b);
            test_true(same_output(&a, &b));
            saved_free(&blob);
        }
        saved x = save(&a), y = save(&b);
        test_true(same_saved(&x, &y));
        saved_free(&x);
        saved_free(&y);
        stream_close(&a);
        stream_close(&b);
    }
    free(mel);
    close_engine(&here);
    close_engine(&there);
}

/* A state that NeMo's rule has broken is so after loading too. */
static void broken(const opened *o, const float *mel)
{
    const conure_cache_options options = {.cache_rows = 40, .drop_rows = 7, .keep_negative = true};
    stream a = stream_open(o, mel, 57, 24, &options), b = stream_open(o, mel, 57, 24, &options);
    conure_error err = {""};
    stream_step(&a);
    saved blob = save(&a);
    test_int(load(&b, &blob, blob.bytes, &err), CONURE_OK);
    conure_encode_row row = stream_row(&b);
    test_int(o->engine->encode(o->self, &row, 1, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "lost rows");
    test_true(unchanged(&b, &blob));
    saved_free(&blob);
    stream_close(&a);
    stream_close(&b);
}

/* A snapshot of each variant is for states of that variant only. */
static void other_options(const opened *o, const float *mel)
{
    for (size_t v = 0; v < N_VARIANTS; v++) {
        stream a = stream_open(o, mel, 57, 24, &variants[v]);
        stream_step(&a);
        saved blob = save(&a);
        for (size_t w = 0; w < N_VARIANTS; w++) {
            stream b = stream_open(o, mel, 57, 24, &variants[w]);
            conure_error err = {""};
            stream_step(&b);
            saved before = save(&b);
            test_int(load(&b, &blob, blob.bytes, &err), v == w ? CONURE_OK : CONURE_UNSUPPORTED);
            test_true(v == w || strstr(err.text, "options"));
            test_true(unchanged(&b, &before));
            saved_free(&before);
            stream_close(&b);
        }
        saved_free(&blob);
        stream_close(&a);
    }
}

/* Cut at every length up to the rows and some beyond, lengthened, and with every byte of the head changed:
 * refused, or a state that can be used. */
static void damaged(const opened *o, const float *mel, const conure_cache_options *options)
{
    enum { HEAD = 56 };
    stream a = stream_open(o, mel, 57, 24, options), b = stream_open(o, mel, 57, 24, options);
    conure_error err = {""};
    long accepted = 0;
    for (int k = 0; k < 3; k++)
        stream_step(&a);
    stream_step(&b);
    saved blob = save(&a), before = save(&b);
    for (size_t n = 0; n < blob.bytes; n += n < 200 ? 1 : 331) {
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, blob.data, n);
        test_int(o->engine->state_load(o->self, b.state, cut, n, &err), CONURE_BAD_FILE);
        free(cut);
    }
    uint8_t *longer = calloc(1, blob.bytes + 1);
    memcpy(longer, blob.data, blob.bytes);
    test_int(o->engine->state_load(o->self, b.state, longer, blob.bytes + 1, &err), CONURE_BAD_FILE);
    test_contains(err.text, "bytes");
    free(longer);
    for (size_t i = 0; i < HEAD; i++)
        for (int flip = 1; flip < 256; flip += flip) {
            blob.data[i] ^= (uint8_t)flip;
            err.text[0] = 0;
            const conure_status status = load(&b, &blob, blob.bytes, &err);
            blob.data[i] ^= (uint8_t)flip;
            test_true(status == CONURE_OK || status == CONURE_BAD_FILE || status == CONURE_UNSUPPORTED);
            if (status != CONURE_OK) {
                test_true(err.text[0] && unchanged(&b, &before));
                continue;
            }
            accepted++;
            conure_encode_row row = stream_row(&b);
            row.out = NULL;
            test_true(o->engine->encode(o->self, &row, 1, &err) == CONURE_OK || strstr(err.text, "lost rows"));
            test_int(load(&b, &before, before.bytes, &err), CONURE_OK);
        }
    test_true(accepted < 40); /* the length's bits that leave it possible */
    for (size_t i = HEAD; i < blob.bytes; i++) /* all NaN: any floats are a state */
        blob.data[i] = 0xff;
    test_int(load(&b, &blob, blob.bytes, &err), CONURE_OK);
    stream_step(&b);
    saved_free(&before);
    saved_free(&blob);
    stream_close(&a);
    stream_close(&b);
}

/* Of a model of another shape. */
static void other_model(const opened *o, const float *mel)
{
    char path[4096];
    opened alt;
    conure_error err = {""};
    test_true(open_engine(&alt, data_path(path, sizeof path, "models/tiny-alt.nemo"), CONURE_PRECISION_F32, CONURE_MASK_NEMO, 1, NULL));
    stream a = stream_open(o, mel, 57, 24, &variants[0]), b = stream_open(&alt, mel, 57, 24, &variants[0]);
    saved blob = save(&a);
    test_int(load(&b, &blob, blob.bytes, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "n_layers is 3, here it is 2");
    saved_free(&blob);
    stream_close(&a);
    stream_close(&b);
    close_engine(&alt);
}

int main(void)
{
    opened o;
    test_begin("engine.snapshots");
    continues(CONURE_PRECISION_F32);
    continues(CONURE_PRECISION_INT8);
    open_tiny(&o, CONURE_PRECISION_F32, 1);
    float *mel = random_mel(&o, 3);
    broken(&o, mel);
    other_options(&o, mel);
    damaged(&o, mel, &variants[1]);
    damaged(&o, mel, &variants[5]);
    other_model(&o, mel);
    free(mel);
    close_engine(&o);
    return test_end();
}

/* trt.c - the engine "trt" around plans that run on the host (trt_host.h): which plan serves, caches that swap, batches of streams,
 * recorded runs, snapshots, failures.  Everything is compared with the engine "cpu" bit for bit; where plans keep caches in f16, its own are
 * rounded after every step. */
#include "../test.h"
#include "base/files.h"
#include "model/halves.h"
#include "model/load.h"
#include "trt_host.h"

#include <stddef.h>
#include <unistd.h>

enum { SLICE = 57, HOP = 24, ROWS = 6, STEPS = 14, CACHE = 64 };

extern const conure_engine conure_engine_trt;

static conure_model *model;
static char folder[] = "trt-plans-XXXXXX";
static const conure_cache_options caches = {.cache_rows = CACHE, .drop_rows = 3, .keep_rows = true};
static float *mel[4];

/* ---- plans ------------------------------------------------------------------------------------ */

static conure_plan_side side_of(bool streaming)
{
    static const char *const names[CONURE_PLAN_TENSORS] = {"audio", "len", "channel", "time", "clen",
                                                            "enc", "enclen", "channel_o", "time_o", "clen_o"};
    conure_plan_side s = {.streaming = streaming, .level = 3, .mask_exact = model->config.mask == CONURE_MASK_EXACT,
                          .t = {64, 600, 900}, .b = {1, 1, 1}};
    conure_error err;
    snprintf(s.gpu, sizeof s.gpu, "GPU A");
    snprintf(s.tensorrt, sizeof s.tensorrt, "8.6.0");
    snprintf(s.model, sizeof s.model, "%s", model->name);
    snprintf(s.precision, sizeof s.precision, "f32");
    memset(s.plan_sha256, '0', 64);
    s.plan_bytes = 1;
    for (int i = 0; i < CONURE_PLAN_TENSORS; i++)
        snprintf(s.names[i], sizeof s.names[i], "%s", names[i]);
    if (streaming) {
        s.caches = caches;
        s.caches.keep_rows = false; /* nothing that a plan knows */
        s.drop_first = 2;
        s.t[0] = s.t[1] = s.t[2] = SLICE;
        s.b[1] = s.b[2] = 4;
    }
    test_int(conure_model_hash(model, s.model_sha256, &err), CONURE_OK);
    return s;
}

static void store(const conure_plan_side *side, const char *name)
{
    conure_plan_side s = *side;
    char path[128];
    void *bytes;
    conure_error err = {""};
    const size_t n = trt_host_plan(side, &bytes);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_int(conure_plan_write(&s, path, bytes, n, &err), CONURE_OK);
    free(bytes);
}

static void unstore(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s.plan", folder, name);
    test_int(unlink(path), 0);
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    test_int(unlink(path), 0);
}

/* Its bytes are no longer what they should be. */
static void spoil(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s.plan", folder, name);
    test_int(conure_file_write(path, "x", 1, NULL), CONURE_OK);
}

static conure_status open_trt(void **self, conure_precision precision, conure_error *err)
{
    const conure_engine_options options = {.precision = precision, .mask = model->config.mask, .n_threads = 1};
    return conure_engine_trt.open(self, model, &options, err);
}

/* ---- streams ---------------------------------------------------------------------------------- */

typedef struct stream {
    const conure_engine *engine;
    void *self;
    conure_state *state;
    uint32_t k;
    float out[ROWS * 64];
    uint32_t n_out, n_valid;
} stream;

static bool halved; /* plans keep caches in f16 */

static stream begin(const conure_engine *engine, void *self)
{
    stream s = {.engine = engine, .self = self};
    conure_error err = {""};
    test_int(engine->state_open(self, &s.state, &caches, &err), CONURE_OK);
    return s;
}

static void end(stream *s)
{
    s->engine->state_close(s->self, &s->state);
}

static conure_encode_row row_of(stream *s, const float *features)
{
    return (conure_encode_row){.mel = features + (size_t)HOP * s->k * model->config.mel_bins, .n_frames = SLICE, .n_valid = SLICE - s->k % 3,
                               .drop_first = 2, .state = s->state, .out = s->out, .n_out_cap = ROWS};
}

/* The caches of a stream of the engine "cpu", as f16 has them. */
static void round_caches(stream *s)
{
    const conure_config *c = &model->config;
    const size_t channel = (size_t)c->n_layers * CACHE * c->d_model, n = channel + (size_t)c->n_layers * c->d_model * c->conv_left;
    float *x = malloc(n * sizeof *x);
    int64_t length;
    conure_error err = {""};
    test_int(s->engine->state_export(s->self, s->state, x, x + channel, &length, &err), CONURE_OK);
    for (size_t i = 0; i < n; i++)
        x[i] = widen_f16(narrow_f16(x[i]));
    test_int(s->engine->state_import(s->self, s->state, x, x + channel, length, &err), CONURE_OK);
    free(x);
}

static conure_status step(stream *s, const float *features, conure_error *err)
{
    conure_encode_row row = row_of(s, features);
    const conure_status status = s->engine->encode(s->self, &row, 1, err);
    if (status == CONURE_OK) {
        s->n_out = row.n_out;
        s->n_valid = row.n_out_valid;
        s->k++;
        if (halved && s->engine == &conure_engine_native_cpu)
            round_caches(s);
    }
    return status;
}

static size_t state_bytes(const stream *s)
{
    size_t snapshot, memory;
    s->engine->state_bytes(s->self, s->state, &snapshot, &memory);
    return snapshot;
}

static bool same_caches(const stream *a, const stream *b)
{
    const conure_config *c = &model->config;
    const size_t channel = (size_t)c->n_layers * CACHE * c->d_model, time = (size_t)c->n_layers * c->d_model * c->conv_left;
    float *x = malloc(2 * (channel + time) * sizeof *x), *y = x + channel + time;
    int64_t lengths[2] = {-1, -2};
    conure_error err = {""};
    test_int(a->engine->state_export(a->self, a->state, x, x + channel, &lengths[0], &err), CONURE_OK);
    test_int(b->engine->state_export(b->self, b->state, y, y + channel, &lengths[1], &err), CONURE_OK);
    const bool same = lengths[0] == lengths[1] && memcmp(x, y, (channel + time) * sizeof *x) == 0;
    free(x);
    return same;
}

static bool same(const stream *a, const stream *b)
{
    return a->n_out == b->n_out && a->n_valid == b->n_valid && memcmp(a->out, b->out, a->n_out * (size_t)model->config.d_model * sizeof(float)) == 0;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void one_stream(void *self, void *cpu, bool graphs)
{
    stream a = begin(&conure_engine_trt, self), b = begin(&conure_engine_native_cpu, cpu);
    conure_error err = {""};
    trt_host_machine.n_runs = trt_host_machine.n_records = trt_host_machine.n_replays = 0;
    for (int k = 0; k < STEPS; k++) {
        test_int(step(&a, mel[0], &err), CONURE_OK);
        test_int(step(&b, mel[0], &err), CONURE_OK);
        test_true(same(&a, &b));
        test_int(conure_engine_trt.state_length(self, a.state), conure_engine_native_cpu.state_length(cpu, b.state));
        test_true(same_caches(&a, &b));
    }
    /* A plain run, then one recorded run for each of the two directions. */
    test_int(trt_host_machine.n_records, graphs ? 2 : 0);
    test_int(trt_host_machine.n_replays, graphs ? STEPS - 1 : 0);
    test_int(trt_host_machine.n_runs, graphs ? 1 : STEPS);
    conure_engine_trt.state_reset(self, a.state);
    conure_engine_native_cpu.state_reset(cpu, b.state);
    test_true(same_caches(&a, &b));
    end(&a);
    end(&b);
}

/* Streams that began at different times, stepped in batches of changing size, are what each is alone. */
static void batches(void *self, void *cpu)
{
    stream a[4], b[4];
    conure_error err = {""};
    for (int i = 0; i < 4; i++) {
        a[i] = begin(&conure_engine_trt, self);
        b[i] = begin(&conure_engine_native_cpu, cpu);
        for (int k = 0; k < 2 * i; k++) {
            test_int(step(&a[i], mel[i], &err), CONURE_OK);
            test_int(step(&b[i], mel[i], &err), CONURE_OK);
        }
    }
    for (int k = 0; k < 6; k++) {
        conure_encode_row rows[4];
        const uint32_t n = 2 + (uint32_t)k % 3;
        for (uint32_t i = 0; i < n; i++)
            rows[i] = row_of(&a[i], mel[i]);
        test_int(conure_engine_trt.encode(self, rows, n, &err), CONURE_OK);
        for (uint32_t i = 0; i < n; i++) {
            a[i].n_out = rows[i].n_out;
            a[i].n_valid = rows[i].n_out_valid;
            a[i].k++;
            test_int(step(&b[i], mel[i], &err), CONURE_OK);
            test_true(same(&a[i], &b[i]));
        }
    }
    for (int i = 0; i < 4; i++) {
        test_true(same_caches(&a[i], &b[i]));
        end(&a[i]);
        end(&b[i]);
    }
}

static void failures(void *self)
{
    stream a = begin(&conure_engine_trt, self), b = begin(&conure_engine_trt, self);
    conure_error err = {""};
    for (int k = 0; k < 3; k++) {
        test_int(step(&a, mel[0], &err), CONURE_OK);
        test_int(step(&b, mel[0], &err), CONURE_OK);
    }
    trt_host_machine.fail_after = 0;
    test_int(step(&a, mel[0], &err), CONURE_BACKEND);
    trt_host_machine.fail_after = -1;
    test_true(same_caches(&a, &b)); /* nothing has moved */
    test_int(step(&a, mel[0], &err), CONURE_OK);
    test_int(step(&b, mel[0], &err), CONURE_OK);
    test_true(same(&a, &b));

    conure_encode_row twice[2] = {row_of(&a, mel[0]), row_of(&a, mel[0])};
    test_int(conure_engine_trt.encode(self, twice, 2, &err), CONURE_BAD_ARG);
    test_contains(err.text, "row 1: its state is that of a row before it");
    conure_encode_row odd = row_of(&a, mel[0]);
    odd.n_frames = odd.n_valid = SLICE + 1;
    odd.n_out_cap = 0;
    odd.out = NULL;
    test_int(conure_engine_trt.encode(self, &odd, 1, &err), CONURE_LIMIT);
    test_contains(err.text, "no plan takes a step of 58 mel frames with 2 encoder frames dropped");
    test_contains(err.text, "step 57..57 drop 2");
    odd = row_of(&a, mel[0]);
    odd.drop_first = 0;
    odd.out = NULL;
    test_int(conure_engine_trt.encode(self, &odd, 1, &err), CONURE_LIMIT);
    test_true(conure_engine_trt.encode(self, &(conure_encode_row){.n_frames = 5000, .n_valid = 0}, 1, &err) == CONURE_LIMIT);
    test_contains(err.text, "no plan takes 5000 mel frames offline");
    end(&a);
    end(&b);
}

static void snapshots(void *self)
{
    stream a = begin(&conure_engine_trt, self), b = begin(&conure_engine_trt, self);
    conure_error err = {""};
    for (int k = 0; k < 5; k++)
        test_int(step(&a, mel[1], &err), CONURE_OK);
    const size_t n = state_bytes(&a);
    uint8_t *bytes = malloc(n);
    test_int(conure_engine_trt.state_save(self, a.state, bytes, &err), CONURE_OK);
    test_int(conure_engine_trt.state_load(self, b.state, bytes, n, &err), CONURE_OK);
    b.k = a.k;
    test_true(same_caches(&a, &b));
    test_int(step(&a, mel[1], &err), CONURE_OK);
    test_int(step(&b, mel[1], &err), CONURE_OK);
    test_true(same(&a, &b));
    test_int(conure_engine_trt.state_load(self, b.state, bytes, n - 1, &err), CONURE_BAD_FILE);
    bytes[0] ^= 1;
    test_int(conure_engine_trt.state_load(self, b.state, bytes, n, &err), CONURE_BAD_FILE);
    test_true(same_caches(&a, &b)); /* refused: unchanged */
    free(bytes);
    end(&a);
    end(&b);
}

/* Utterances of many lengths, more than there are slots for; short and padded ones give what they give alone. */
static void offline(void *self, void *cpu)
{
    const uint32_t d = model->config.d_model;
    float *a = malloc(2 * (size_t)120 * d * sizeof *a), *b = a + (size_t)120 * d;
    conure_error err = {""};
    test_int(conure_engine_trt.encode_bytes(self, (const uint32_t[]){901}, 1) == UINT64_MAX, 1);
    test_true(conure_engine_trt.encode_bytes(self, (const uint32_t[]){900}, 1) < 10000000);
    for (uint32_t n_frames = 9; n_frames <= 900; n_frames += 81) {
        conure_encode_row x = {.mel = mel[2], .n_frames = n_frames, .n_valid = n_frames - 1, .out = a, .n_out_cap = 120}, y = x;
        y.out = b;
        test_int(conure_engine_trt.encode(self, &x, 1, &err), CONURE_OK);
        test_int(conure_engine_native_cpu.encode(cpu, &y, 1, &err), CONURE_OK);
        test_int(x.n_out, y.n_out);
        test_int(x.n_out_valid, y.n_out_valid);
        for (size_t i = 0; i < (size_t)x.n_out_valid * d; i++)
            if (fabsf(a[i] - b[i]) > 1e-5f) {
                test_near(a[i], b[i], 1e-5);
                break;
            }
    }
    conure_encode_row nothing = {0};
    test_int(conure_engine_trt.encode(self, &nothing, 1, &err), CONURE_OK);
    test_int(nothing.n_out, 0);
    free(a);
}

static void decoder(void *self, void *cpu)
{
    const conure_config *c = &model->config;
    float x[2][256], h[2][256] = {{0}}, m[2][256] = {{0}}, out[2][2048];
    const uint32_t start = c->vocab_size;
    conure_error err = {""};
    test_true(c->joint_hidden <= 256 && c->pred_layers * c->pred_hidden <= 256 && c->vocab_size + 1 + c->n_durations <= 2048);
    const conure_engine *const engines[2] = {&conure_engine_trt, &conure_engine_native_cpu};
    void *const selves[2] = {self, cpu};
    for (int i = 0; i < 2; i++) {
        const float *const frame = x[i], *const prediction = out[i];
        test_int(engines[i]->project(selves[i], mel[3], 1, x[i], &err), CONURE_OK);
        test_int(engines[i]->predict(selves[i], &start, h[i], m[i], 1, out[i], &err), CONURE_OK);
        float logits[2048] = {0};
        test_int(engines[i]->joint(selves[i], &frame, &prediction, 1, logits, &err), CONURE_OK);
        test_true(logits[0] != 0 && logits[c->vocab_size] != 0);
        memcpy(out[i], logits, sizeof logits);
    }
    test_int(memcmp(out[0], out[1], (c->vocab_size + 1 + c->n_durations) * sizeof(float)), 0);
}

static void refusals(void)
{
    void *self = NULL;
    conure_error err = {""};
    conure_plan_side s = side_of(true);
    test_int(open_trt(&self, CONURE_PRECISION_F16, &err), CONURE_BACKEND);
    test_contains(err.text, "no plan of this model at f16");
    test_contains(err.text, "2 of another precision");
    test_int(open_trt(&self, CONURE_PRECISION_F64, &err), CONURE_UNSUPPORTED);
    snprintf(trt_host_machine.gpu, sizeof trt_host_machine.gpu, "GPU B");
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_BACKEND);
    test_contains(err.text, "2 for another GPU (GPU A)");
    snprintf(trt_host_machine.gpu, sizeof trt_host_machine.gpu, "GPU A");
    snprintf(trt_host_machine.version, sizeof trt_host_machine.version, "10.3.0");
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_BACKEND);
    test_contains(err.text, "2 of another TensorRT (8.6.0)");
    snprintf(trt_host_machine.version, sizeof trt_host_machine.version, "8.6.0");
    test_true(self == NULL);
    const conure_engine_options second = {.precision = CONURE_PRECISION_BF16, .mask = model->config.mask, .n_threads = 1, .device = 1,
                                          .library = "/opt/tensorrt"};
    test_int(conure_engine_trt.open(&self, model, &second, &err), CONURE_BACKEND);
    test_int(trt_host_machine.place.device, 1);
    test_text(trt_host_machine.place.library, "/opt/tensorrt");

    /* What plans hold in f32 is said, of all of them together. */
    s.f16 = s.wide[0] = s.wide[2] = true;
    s.n_audio = 3;
    s.int8 = true;
    snprintf(s.precision, sizeof s.precision, "int8");
    store(&s, "y-narrow");
    s.wide[2] = false;
    s.wide[3] = true;
    store(&s, "y-other");
    test_int(open_trt(&self, CONURE_PRECISION_INT8, &err), CONURE_OK);
    test_contains(conure_engine_trt.describe(self), "TF32 off, f16 beside int8, in f32: norms, subsampling, layers 1-2, 2 plans");
    conure_engine_trt.close(&self);
    unstore("y-narrow");
    unstore("y-other");
    s = side_of(true);

    /* Plans of other weights are passed over; a plan that is not what its side file says is refused when it is needed. */
    memset(s.model_sha256, 'a', 64);
    store(&s, "z-other");
    test_int(open_trt(&self, CONURE_PRECISION_TF32, &err), CONURE_BACKEND);
    test_contains(err.text, "1 are of other weights");
    unstore("z-other");
    char path[128];
    snprintf(path, sizeof path, "%s/a-step.plan", folder);
    FILE *file = fopen(path, "r+b");
    test_true(file != NULL);
    fputc('x', file);
    fclose(file);
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    test_contains(conure_engine_trt.describe(self), "trt f32, GPU A, TensorRT 8.6.0, TF32 off, 2 plans");
    stream a = begin(&conure_engine_trt, self);
    test_int(step(&a, mel[0], &err), CONURE_BAD_FILE);
    test_contains(err.text, "is not the plan that its side file describes");
    end(&a);
    conure_engine_trt.close(&self);
    s = side_of(true);
    store(&s, "a-step");
}

/* Plans for other caches are another matter: each stream has what its own plans have. */
static void caches_of_others(void)
{
    conure_plan_side s = side_of(true), other = s;
    const conure_cache_options other_caches = {.cache_rows = CACHE / 2, .drop_rows = 3, .keep_rows = true};
    void *self = NULL;
    size_t snapshot, memory[2];
    conure_error err = {""};
    s.caches_f16 = s.cache_matrices = true;
    other.caches.cache_rows = CACHE / 2;
    store(&s, "a-step");
    store(&other, "a-other");
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    if (!self)
        return;
    stream a = begin(&conure_engine_trt, self), b = {.engine = &conure_engine_trt, .self = self};
    test_int(conure_engine_trt.state_open(self, &b.state, &other_caches, &err), CONURE_OK);
    test_int(step(&a, mel[0], &err), CONURE_OK);
    test_int(step(&b, mel[1], &err), CONURE_OK);
    conure_engine_trt.state_bytes(self, a.state, &snapshot, &memory[0]);
    conure_engine_trt.state_bytes(self, b.state, &snapshot, &memory[1]);
    test_true(memory[0] < memory[1] + memory[1] / 4); /* twice the rows in half of the bytes each, and some columns */

    /* What f16 does not hold is not taken in, and the state stays as it was. */
    const conure_config *c = &model->config;
    const size_t channel = (size_t)c->n_layers * CACHE * c->d_model, time = (size_t)c->n_layers * c->d_model * c->conv_left;
    float *x = calloc(channel + time, sizeof *x);
    x[channel + 7] = 70000;
    test_int(conure_engine_trt.state_import(self, a.state, x, x + channel, 3, &err), CONURE_UNSUPPORTED);
    test_contains(err.text, "beyond 65504");
    test_int(conure_engine_trt.state_length(self, a.state), 3);
    x[channel + 7] = 65504;
    test_int(conure_engine_trt.state_import(self, a.state, x, x + channel, 9, &err), CONURE_OK);
    test_int(conure_engine_trt.state_length(self, a.state), 9);
    free(x);
    end(&a);
    end(&b);
    conure_engine_trt.close(&self);
    unstore("a-other");
}

/* A stream ends with a slice that no plan has: it is padded, and comes out as it does by itself. */
static void ends(void *self, void *cpu)
{
    for (uint32_t n_frames = 17; n_frames < SLICE; n_frames += 7) {
        stream a = begin(&conure_engine_trt, self), b = begin(&conure_engine_native_cpu, cpu);
        conure_error err = {""};
        for (int k = 0; k < 4; k++) {
            test_int(step(&a, mel[3], &err), CONURE_OK);
            test_int(step(&b, mel[3], &err), CONURE_OK);
        }
        conure_encode_row x = row_of(&a, mel[3]), y = row_of(&b, mel[3]);
        x.n_frames = y.n_frames = n_frames;
        x.n_valid = y.n_valid = n_frames - 1;
        x.last = y.last = true;
        test_int(conure_engine_trt.encode(self, &x, 1, &err), CONURE_OK);
        test_int(conure_engine_native_cpu.encode(cpu, &y, 1, &err), CONURE_OK);
        test_int(x.n_out, y.n_out);
        test_int(x.n_out_valid, y.n_out_valid);
        test_int(conure_engine_trt.state_length(self, a.state), conure_engine_native_cpu.state_length(cpu, b.state));
        float worst = 0;
        for (size_t i = 0; i < (size_t)x.n_out_valid * model->config.d_model; i++)
            worst = fmaxf(worst, fabsf(x.out[i] - y.out[i]));
        test_near(worst, 0, 1e-5);
        end(&a);
        end(&b);
    }
}

/* The parts of a step, which moves the stream as any other. */
static void profile(void *self)
{
    stream a = begin(&conure_engine_trt, self), b = begin(&conure_engine_trt, self);
    conure_error err = {""};
    conure_parts parts = {0};
    uint64_t bytes = 0;
    for (int k = 0; k < 3; k++) {
        conure_encode_row row = row_of(&a, mel[0]);
        test_int(conure_engine_trt.profile(self, &row, 1, conure_parts_add, &parts, &err), CONURE_OK);
        a.k++;
        test_int(step(&b, mel[0], &err), CONURE_OK);
    }
    test_true(same_caches(&a, &b));
    test_int(parts.n, 2);
    test_int(parts.list[0].n, 3);
    test_near(parts.list[0].seconds, 6e-3, 1e-9);
    test_near(conure_parts_seconds(&parts), 9e-3, 1e-9);
    test_int(conure_engine_trt.device_bytes(self, &bytes, &err), CONURE_OK);
    test_int(bytes, 4096);
    test_near(conure_engine_trt.device_seconds(self), 1e-3, 1e-9); /* of one run */
    conure_parts_free(&parts);
    end(&a);
    end(&b);
}

/* Plans of one size only, beside one for a single row: what is missing is made up, and what is there comes out as it does alone. */
static void fixed(void)
{
    conure_plan_side s = side_of(true), whole = side_of(false), one = s;
    const conure_engine_options options = {.precision = CONURE_PRECISION_F32, .mask = model->config.mask, .n_threads = 1};
    void *self = NULL, *cpu = NULL;
    conure_error err = {""};
    s.b[0] = 4;
    one.b[1] = one.b[2] = 1;
    whole.t[0] = whole.t[1] = 900;
    store(&s, "a-step");
    store(&one, "a-step-one");
    store(&whole, "b-offline");
    trt_host_machine.no_graphs = false;
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    test_int(conure_engine_native_cpu.open(&cpu, model, &options, &err), CONURE_OK);
    if (self && cpu) {
        one_stream(self, cpu, true);
        batches(self, cpu);
        test_int(trt_host_machine.last_batch, 4);
        snapshots(self);
        test_int(trt_host_machine.last_batch, 1);
        offline(self, cpu);
    }
    conure_engine_trt.close(&self);
    unstore("a-step-one");
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    snapshots(self); /* a single row in a batch of four */
    test_int(trt_host_machine.last_batch, 4);
    conure_engine_trt.close(&self);
    conure_engine_native_cpu.close(&cpu);
    test_int(trt_host_machine.n_live, 0);
}

/* Of two plans that are alike but for their layers' being apart, the fused one runs: the other's bytes are not what they should be. */
static void by_layer(void)
{
    conure_plan_side s = side_of(true), apart = s;
    void *self = NULL;
    conure_error err = {""};
    apart.by_layer = true;
    store(&apart, "0-apart");
    spoil("0-apart");
    unstore("a-step");
    for (int fused = 0; fused < 2; fused++) {
        if (fused)
            store(&s, "a-step");
        test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
        if (!self)
            return;
        stream a = begin(&conure_engine_trt, self);
        test_int(step(&a, mel[0], &err), fused ? CONURE_OK : CONURE_BAD_FILE);
        end(&a);
        conure_engine_trt.close(&self);
    }
    unstore("0-apart");
}

/* Of plans for one length each the one that is run with the fewest frames: the longer one's bytes are not what they should be. */
static void shorter(void)
{
    conure_plan_side s = side_of(false);
    void *self = NULL;
    uint32_t frames[3] = {500, 600, 601};
    conure_error err = {""};
    s.t[0] = s.t[1] = s.t[2] = 900;
    store(&s, "0-long");
    spoil("0-long");
    s.t[0] = s.t[1] = s.t[2] = 600;
    store(&s, "b-offline");
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    for (int i = 0; i < 3 && self; i++) {
        conure_encode_row row = {.mel = mel[0], .n_frames = frames[i], .n_valid = frames[i]};
        test_int(conure_engine_trt.encode(self, &row, 1, &err), i < 2 ? CONURE_OK : CONURE_BAD_FILE);
    }
    conure_engine_trt.close(&self);
    unstore("0-long");
}

static void all(bool layer_first, uint32_t integer_bytes, bool graphs, bool cache_matrices)
{
    conure_plan_side s = side_of(true), whole = side_of(false);
    const conure_engine_options options = {.precision = CONURE_PRECISION_F32, .mask = model->config.mask, .n_threads = 1};
    void *self = NULL, *cpu = NULL;
    conure_error err = {""};
    s.layer_first = layer_first;
    s.cache_matrices = cache_matrices;
    s.caches_f16 = halved;
    s.io_rows = whole.io_rows = cache_matrices; /* as plans of today have both */
    store(&s, "a-step");
    store(&whole, "b-offline");
    trt_host_machine.integer_bytes = integer_bytes;
    trt_host_machine.no_graphs = !graphs;
    test_int(open_trt(&self, CONURE_PRECISION_F32, &err), CONURE_OK);
    test_int(conure_engine_native_cpu.open(&cpu, model, &options, &err), CONURE_OK);
    if (self && cpu) {
        one_stream(self, cpu, graphs);
        batches(self, cpu);
        failures(self);
        snapshots(self);
        profile(self);
        ends(self, cpu);
        offline(self, cpu);
        decoder(self, cpu);
    }
    conure_engine_trt.close(&self);
    conure_engine_native_cpu.close(&cpu);
    test_int(trt_host_machine.n_live, 0); /* nothing is left on the device */
}

/* Of plans that keep caches in different ways, those serve that keep columns as rows, and of these those with the wider elements. */
static void other_caches(void)
{
    conure_plan_side s = side_of(true);
    conure_error err = {""};
    for (int i = 0; i < 4; i++) { /* the one that serves is the last; the others' bytes are not what they should be */
        const char *const names[4] = {"0-old", "1-old-f16", "2-f16", "3-new"};
        s.cache_matrices = i >= 2;
        s.caches_f16 = i % 3 != 0;
        store(&s, names[i]);
        if (i < 3)
            spoil(names[i]);
    }
    unstore("a-step");
    for (int i = 3; i >= 0; i--) { /* with the 3rd gone, that in f16 is chosen, then without a choice of rows the wide one, and the last */
        const conure_engine_options options = {.precision = CONURE_PRECISION_F32, .mask = model->config.mask, .n_threads = 1};
        void *self = NULL;
        test_int(conure_engine_trt.open(&self, model, &options, &err), CONURE_OK);
        if (!self)
            return;
        stream a = begin(&conure_engine_trt, self);
        test_int(step(&a, mel[0], &err), i == 3 ? CONURE_OK : CONURE_BAD_FILE);
        test_true(i == 3 || strstr(err.text, i == 2 ? "2-f16" : i == 1 ? "0-old" : "1-old-f16"));
        end(&a);
        conure_engine_trt.close(&self);
        unstore(i == 3 ? "3-new" : i == 2 ? "2-f16" : i == 1 ? "0-old" : "1-old-f16");
    }
    s = side_of(true);
    store(&s, "a-step");
}

int main(void)
{
    uint64_t seed = 7;
    conure_error err = {""};
    test_begin("engine.trt");
    if (!mkdtemp(folder) || setenv("CONURE_PLANS", folder, 1) != 0)
        return test_skip("no folder for plans");
    test_int(conure_model_open(&model, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), CONURE_OK);
    for (int i = 0; i < 4; i++) {
        mel[i] = malloc((size_t)1000 * model->config.mel_bins * sizeof(float));
        for (size_t j = 0; j < (size_t)1000 * model->config.mel_bins; j++)
            mel[i][j] = test_uniform(&seed, -2, 2);
    }
    trt_host_machine = (trt_host){.model = model, .mask = model->config.mask, .gpu = "GPU A", .version = "8.6.0", .fail_after = -1};
    all(false, 4, true, false);
    all(true, 8, true, true);
    all(false, 8, false, false);
    all(false, 8, true, true);
    halved = true;
    all(true, 4, true, true);
    all(false, 8, true, true);
    all(false, 8, false, false);
    halved = false;
    other_caches();
    caches_of_others();
    refusals();
    fixed();
    by_layer();
    shorter();
    unstore("a-step");
    unstore("b-offline");
    rmdir(folder);
    for (int i = 0; i < 4; i++)
        free(mel[i]);
    conure_model_close(&model);
    return test_end();
}

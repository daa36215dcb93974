/* plan_build.c - what TensorRT is asked for: the graph of each precision and version, what stays in f32, names of plans, refusals.  TensorRT
 * is ../engine/trt_host.c, which hands over what it was to build. */
#include "../engine/trt_host.h"
#include "../test.h"

#include "base/files.h"
#include "cli/plan_build.h"
#include "cli/speech.h"
#include "cli/terminal.h"
#include "model/random.h"
#include "onnx/encoder.h"
#include "onnx/onnx.pb-c.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static conure_model *model;
static char folder[] = "plan-build-XXXXXX", clips[] = TEST_DATA "/audio", clip[] = TEST_DATA "/audio/librispeech_e29030942b.flac";
static conure_speech speech;
static char onnx[PATH_MAX]; /* of the last build */
static bool interrupts, no_gpu;
static int n_warnings;
static char doomed[64]; /* goes meanwhile */

/* ---- what was to be built --------------------------------------------------------------------- */

static struct {
    uint32_t n_built, n_nodes_wide, n_of_layer_1; /* nodes that are to stay in f32 */
    uint32_t n_of_sums, n_depthwise, n_in_parts;
    uint32_t n_halves, n_halves_known; /* tensors in f16, and those of them that the graph has */
    uint32_t time_rank, time_rows, time_columns;
    conure_trt_precision precision;
    bool f16_beside, timing;
    int64_t opset;
    uint32_t n_quantise, n_dequantise, n_of_type[17]; /* larger constants of each type */
} seen;

static void look_at_graph(const char *path, const conure_trt_build_options *o)
{
    char *bytes = NULL;
    size_t n = 0;
    conure_error err = {""};
    test_int(conure_file_read(&bytes, &n, path, 64u << 20, &err), CONURE_OK);
    Onnx__ModelProto *graph = onnx__model_proto__unpack(NULL, n, (const uint8_t *)bytes);
    free(bytes);
    test_true(graph != NULL);
    if (!graph)
        return;
    seen.opset = graph->opset_import[0]->version;
    for (size_t i = 0; i < graph->graph->n_node; i++) {
        const Onnx__NodeProto *node = graph->graph->node[i];
        seen.n_quantise += strcmp(node->op_type, "QuantizeLinear") == 0;
        seen.n_dequantise += strcmp(node->op_type, "DequantizeLinear") == 0;
        seen.n_of_sums += strstr(node->name, ".conv.tap") != NULL;
        seen.n_in_parts += strlen(node->name) > 6 && strcmp(node->name + strlen(node->name) - 6, "_parts") == 0;
        seen.n_depthwise += strcmp(node->op_type, "Conv") == 0 && strstr(node->name, ".conv.");
        seen.n_nodes_wide += o->wide(o->wide_user, node->name);
        seen.n_of_layer_1 += strncmp(node->name, "layers.1.", 9) == 0;
    }
    for (size_t i = 0; i < graph->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = graph->graph->initializer[i];
        if (t->n_dims == 2 && t->dims[0] * t->dims[1] > 1000)
            seen.n_of_type[t->data_type]++;
    }
    for (uint32_t h = 0; h < o->n_halves; h++) {
        for (size_t i = 0; i < graph->graph->n_input; i++)
            seen.n_halves_known += strcmp(graph->graph->input[i]->name, o->halves[h]) == 0;
        for (size_t i = 0; i < graph->graph->n_output; i++)
            seen.n_halves_known += strcmp(graph->graph->output[i]->name, o->halves[h]) == 0;
    }
    onnx__model_proto__free_unpacked(graph, NULL);
}

static void building(const conure_trt_build_options *o)
{
    const uint32_t n = seen.n_built;
    memset(&seen, 0, sizeof seen);
    seen.n_built = n + 1;
    test_int(o->n_threads, 1);
    seen.precision = o->precision;
    seen.f16_beside = o->f16_beside;
    seen.timing = o->timing_bytes == 7 && memcmp(o->timing, "timings", 7) == 0;
    test_true(!o->wide(o->wide_user, "layers.999.norm"));
    seen.n_halves = o->n_halves;
    for (uint32_t i = 0; i < o->n_ranges; i++)
        if (strcmp(o->ranges[i].name, "cache_last_time") == 0) {
            seen.time_rank = o->ranges[i].rank;
            seen.time_rows = o->ranges[i].max[0];
            seen.time_columns = o->ranges[i].min[1];
        }
    look_at_graph(o->onnx, o);
    snprintf(onnx, sizeof onnx, "%s", o->onnx);
    if (doomed[0])
        rmdir(doomed);
    if (interrupts) {
        __atomic_store_n(&conure_interrupted, 1, __ATOMIC_RELAXED);
        for (int i = 0; i < 1000 && !__atomic_load_n(&n_warnings, __ATOMIC_ACQUIRE); i++) /* looked at once a second */
            usleep(10000);
    }
}

/* ---- building --------------------------------------------------------------------------------- */

static const char *to = folder, *timing_of_all;
static char warning[512];
static bool graph_was_there; /* then */

static void warn(void *user, conure_log_level level, const char *text)
{
    (void)user;
    (void)level;
    snprintf(warning, sizeof warning, "%s", text);
    graph_was_there = access(onnx, F_OK) == 0;
    __atomic_add_fetch(&n_warnings, 1, __ATOMIC_RELEASE);
}

static conure_plan_wish wish_of(conure_precision precision, bool heard)
{
    conure_plan_wish w = {.profile = "offline", .frames_max = 320, .precision = precision, .level = 2, .n_threads = 1};
    if (heard) {
        w.utterances = speech.utterances;
        w.n_utterances = speech.n;
        w.audio_sha256 = speech.sha256;
    }
    return w;
}

static conure_status build(conure_plan_made made[2], const conure_plan_wish *wish, const char *version, const char *timing, conure_error *err)
{
    uint32_t n = 0;
    memset(made, 0, 2 * sizeof *made);
    trt_host_machine = (trt_host){.model = model, .integer_bytes = 4, .fail_after = -1, .building = building, .gpu = "GPU A", .no_gpu = no_gpu};
    snprintf(trt_host_machine.version, sizeof trt_host_machine.version, "%s", version);
    const conure_status status = conure_plans_build(made, &n, model, wish, to, timing, false, (conure_log){warn, NULL}, err);
    test_true(n == (status == CONURE_OK) && trt_host_machine.n_live == 0);
    return status;
}

static conure_plan_side built(const conure_plan_wish *wish, const char *version)
{
    conure_plan_made made[2];
    conure_error err = {""};
    const uint32_t before = seen.n_built;
    build(made, wish, version, NULL, &err);
    test_text(err.text, "");
    test_int(seen.n_built, before + 1);
    return made[0].side;
}

static void refused(const conure_plan_wish *wish, const char *version, conure_status status, const char *why)
{
    conure_plan_made made[2];
    conure_error err = {""};
    const uint32_t before = seen.n_built;
    test_int(build(made, wish, version, timing_of_all, &err), status);
    test_contains(err.text, why);
    test_int(seen.n_built, before);
}

static void open_model(const char *name)
{
    char path[512], *paths[] = {clip};
    conure_error err = {""};
    conure_speech_free(&speech);
    conure_model_close(&model);
    snprintf(path, sizeof path, "%s/models/%s.nemo", TEST_DATA, name);
    test_int(conure_model_open(&model, path, NULL, &err), CONURE_OK);
    test_int(conure_speech_load(&speech, model, paths, 1, &err), CONURE_OK);
    test_text(err.text, "");
}

/* ---- tests ------------------------------------------------------------------------------------ */

/* A model of which one layer's scores are near what float16 holds, and one that is like any other. */
static void what_overflows(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_F16, true);
    conure_plan_side s = built(&w, "8.6.0");
    char parts[CONURE_PLAN_PARTS_CAP];
    conure_plan_wide_text(s.wide, parts);
    test_text(parts, "layers 1");
    test_true(seen.n_nodes_wide > 50 && seen.n_nodes_wide == seen.n_of_layer_1);
    test_int(seen.precision, CONURE_TRT_F16);
    test_int(seen.n_of_type[CONURE_ONNX_FLOAT16], 0); /* 8 narrows itself */
    test_true(s.f16 && !s.int8 && s.n_audio == 1);
    test_true(seen.n_of_sums > 50 && seen.n_depthwise == 0);
    w.by_layer = true;
    s = built(&w, "8.6.0");
    test_true(s.by_layer && seen.n_of_sums == 0 && seen.n_depthwise > 0);
    w.by_layer = false;

    s = built(&w, "11.0.0"); /* takes types from the graph */
    test_true(s.wide[2] && !s.wide[1]);
    test_true(seen.n_of_type[CONURE_ONNX_FLOAT16] > 0 && seen.n_of_type[CONURE_ONNX_FLOAT] > 0);

    w = wish_of(CONURE_PRECISION_F16, false);
    s = built(&w, "8.6.0");
    test_true(s.n_audio == 0 && seen.n_nodes_wide == 0);

    open_model("tiny-v3");
    w = wish_of(CONURE_PRECISION_F16, true);
    s = built(&w, "8.6.0");
    test_true(s.n_audio == 1 && seen.n_nodes_wide == 0);
}

/* A step's plan keeps its caches in f16 where layers are computed so, and columns of the convolution as rows. */
static void caches(bool hostile)
{
    static const conure_contract_options options = {.streaming = {.chunk = 6, .shift = 3, .cache_rows = 64, .export_graph = true}, .b_max = 4};
    conure_contract k;
    conure_error err = {""};
    test_int(conure_contract_derive_model(&k, model, &options, &err), CONURE_OK);
    for (int fixed = 0; fixed < 2; fixed++)
        for (int i = 0; i < 3; i++) {
            static const conure_precision precisions[3] = {CONURE_PRECISION_F16, CONURE_PRECISION_F32, CONURE_PRECISION_INT8};
            conure_plan_wish w = wish_of(precisions[i], precisions[i] != CONURE_PRECISION_F32);
            w.contract = &k;
            w.profile = "all";
            w.fixed = fixed;
            w.batch_max = fixed ? 2 : 4;
            const bool halves = precisions[i] == CONURE_PRECISION_F16 && !hostile;
            const conure_plan_side s = built(&w, "8.6.0");
            test_true(s.streaming && s.cache_matrices && s.caches_f16 == halves);
            test_int(seen.n_halves, halves ? 4 : 0);
            test_int(seen.n_halves_known, seen.n_halves);
            test_int(seen.time_rank, 2);
            test_int(seen.time_rows, w.batch_max * model->config.n_layers * model->config.conv_left);
            test_int(seen.time_columns, model->config.d_model);
            test_int(seen.n_in_parts, fixed && i < 2 ? 5 * model->config.n_layers : 0); /* few rows, and not in int8 */
        }
}

/* Twelve layers: in f16 of one size and one row they are fused six by six; nine are fused together. */
static void fused_layers(void)
{
    static const struct {
        conure_precision precision;
        bool fixed;
        uint32_t batch, n_layers, n_between;
    } cases[] = {{CONURE_PRECISION_F16, true, 1, 12, 1},
                 {CONURE_PRECISION_F16, true, 1, 9, 0},
                 {CONURE_PRECISION_F16, false, 1, 12, 0},
                 {CONURE_PRECISION_F16, true, 2, 12, 0},
                 {CONURE_PRECISION_F32, true, 1, 12, 0}};
    conure_error err = {""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_plan_wish w = wish_of(cases[i].precision, false);
        conure_model_close(&model);
        test_int(conure_model_random_open(&model, "mini", cases[i].n_layers, 1, NULL, NULL, &err), CONURE_OK);
        w.fixed = cases[i].fixed;
        w.batch_max = cases[i].batch;
        built(&w, "8.6.0");
        test_int(seen.n_depthwise, cases[i].n_between);
    }
}

static void int8(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_INT8, true);
    conure_plan_side s = built(&w, "8.6.0");
    test_true(s.int8 && !s.f16 && !s.tf32 && s.n_audio == 1);
    test_true(seen.precision == CONURE_TRT_INT8 && seen.opset == 16);
    test_int(seen.n_of_type[CONURE_ONNX_INT8], 0);
    test_int(seen.n_dequantise, seen.n_quantise); /* weights too */
    test_true(!seen.f16_beside);

    s = built(&w, "10.3.0");
    test_int(seen.opset, 17);
    test_true(seen.n_of_type[CONURE_ONNX_INT8] > 20 && seen.n_of_type[CONURE_ONNX_FLOAT] == 0);

    w.f16_beside = true;
    s = built(&w, "8.6.0");
    test_true(s.int8 && s.f16 && seen.f16_beside);
    test_text(s.precision, "int8");
}

static bool was_there(conure_plan_made made[2], const conure_plan_wish *w, const char *timing)
{
    conure_error err = {""};
    test_int(build(made, w, "8.6.0", timing, &err), CONURE_OK);
    return made->was_there;
}

/* The same again is there already, with what its side file says; other speech is another plan. */
static void names(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_INT8, true);
    conure_plan_made first[2], again[2];
    char other_sha256[65], timing[64], path[PATH_MAX + 8];
    const uint32_t before = seen.n_built;
    snprintf(timing, sizeof timing, "%s/timings", folder);
    w.frames_max = 400;
    test_true(!was_there(first, &w, timing) && !seen.timing);
    test_true(was_there(again, &w, timing));
    test_text(again->path, first->path);
    test_text(again->side.audio_sha256, speech.sha256);
    test_int(seen.n_built, before + 1);
    /* One that was cut short, or changed in the same length, is built again. */
    snprintf(path, sizeof path, "%s.plan", first->path);
    for (int i = 0; i < 2; i++) {
        test_int(conure_file_write(path, "plax", i ? 4 : 1, NULL), CONURE_OK);
        test_true(!was_there(again, &w, timing));
        test_true(was_there(again, &w, timing));
    }
    memset(other_sha256, 'e', 64);
    other_sha256[64] = '\0';
    w.audio_sha256 = other_sha256;
    test_true(!was_there(again, &w, timing) && strcmp(again->path, first->path) != 0);
    test_true(seen.timing);
}

/* Those that cannot be kept are a warning.  They are written when the graph is gone, and before the plan, which may not be written either. */
static void timings(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_F32, false);
    conure_plan_made made[2];
    char path[PATH_MAX + 8];
    conure_error err = {""};
    snprintf(doomed, sizeof doomed, "%s/doomed", folder);
    snprintf(path, sizeof path, "%s/t", doomed);
    test_true(mkdir(doomed, 0777) == 0 && !was_there(made, &w, path) && !graph_was_there);
    test_contains(warning, "what was timed is not kept: ");
    snprintf(path, sizeof path, "%s.plan", made->path);
    test_true(unlink(path) == 0 && mkdir(path, 0777) == 0);
    test_int(build(made, &w, "8.6.0", doomed, &err), CONURE_IO);
    test_true(unlink(doomed) == 0 && rmdir(path) == 0);
    built(&w, "8.6.0");
    const char *const wrong[] = {"no/such/folder/t", "/dev/null", folder, doomed};
    test_true(conure_file_write(doomed, "", 0, NULL) == CONURE_OK && truncate(doomed, 257 << 20) == 0);
    for (int i = 0; i < 4; i++) {
        timing_of_all = wrong[i];
        refused(&w, "8.6.0", i == 3 ? CONURE_BAD_FILE : CONURE_IO, "--timing-cache: ");
    }
    timing_of_all = NULL;
    test_int(unlink(doomed), 0);
}

/* A long name of a folder is that folder, or refused. */
static void long_names(void)
{
    const conure_plan_wish w = wish_of(CONURE_PRECISION_F32, false);
    conure_plan_made made[2];
    char name[4061];
    memset(name, '/', sizeof name);
    memcpy(name, folder, strlen(folder));
    name[4060] = '\0';
    to = name;
    refused(&w, "8.6.0", CONURE_LIMIT, "too long");
    name[3500] = '\0';
    (void)was_there(made, &w, NULL);
    test_int(strncmp(made->path, name, 3500), 0);
    to = folder;
}

/* What killed builds left goes: of such names, a day old, of no process. */
static void left_behind(void)
{
#define LEFT "0123456789ab-f32-0123456789abcdef."
    static const char *const names[] = {LEFT "999999999.onnx", LEFT "999999999.onnx.data", LEFT "plan.0a1b2c3d4e.tmp",
                                        LEFT "999999998.onnx", LEFT "plan.0a1b2c3d4f.tmp", LEFT "1.onnx", LEFT "plan", "1-2-3.999999999.onnx"};
    enum { N_GO = 3, N_YOUNG = 2, N = sizeof names / sizeof *names };
    const conure_plan_wish w = wish_of(CONURE_PRECISION_TF32, false);
    const int at = open(folder, O_DIRECTORY);
    for (int i = 0; i < N; i++) {
        close(openat(at, names[i], O_WRONLY | O_CREAT, 0666));
        test_true((i >= N_GO && i < N_GO + N_YOUNG) || utimensat(at, names[i], (struct timespec[2]){{1, 0}, {1, 0}}, 0) == 0);
    }
    built(&w, "8.6.0");
    for (int i = 0; i < N; i++)
        test_int(unlinkat(at, names[i], 0), i < N_GO ? -1 : 0);
    close(at);
}

/* TensorRT 8 goes on, which is said; its plan is kept, and no other begun. */
static void interrupted(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_F32, false);
    interrupts = true;
    n_warnings = 0;
    w.frames_max = 700;
    built(&w, "8.6.0");
    test_contains(warning, "a second interrupt ends all at once");
    w.frames_max = 701;
    refused(&w, "8.6.0", CONURE_CANCELLED, "");
    interrupts = false;
    conure_interrupted = 0;
}

static void refusals(void)
{
    conure_plan_wish w = wish_of(CONURE_PRECISION_INT8, false);
    w.frames_max = 500;
    refused(&w, "8.6.0", CONURE_BAD_ARG, "name recordings with --audio FILE|FOLDER");
    w = wish_of(CONURE_PRECISION_F32, true);
    refused(&w, "8.6.0", CONURE_BAD_ARG, "f32 needs none");
    w = wish_of(CONURE_PRECISION_F16, true);
    w.f16_beside = true;
    refused(&w, "8.6.0", CONURE_BAD_ARG, "--beside f16 is for --precision int8");
    w.precision = CONURE_PRECISION_INT8;
    refused(&w, "11.1.0", CONURE_UNSUPPORTED, "leave out --beside f16");
    w = wish_of(CONURE_PRECISION_BF16, false);
    refused(&w, "8.6.0", CONURE_UNSUPPORTED, "TensorRT 8.6.0 has no bf16, 10 and later have");
    test_true(built(&w, "10.3.0").bf16);
}

/* Where there is no GPU, or a version that does not have the precision: no folder for plans either. */
static void leaves_nothing(void)
{
    char parent[64], plans[64];
    snprintf(parent, sizeof parent, "%s/none", folder);
    snprintf(plans, sizeof plans, "%s/none/plans", folder);
    to = plans;
    for (int i = 0; i < 2; i++) {
        const conure_plan_wish w = wish_of(i ? CONURE_PRECISION_BF16 : CONURE_PRECISION_F32, false);
        no_gpu = i == 0;
        refused(&w, "8.6.0", i ? CONURE_UNSUPPORTED : CONURE_BACKEND, i ? "has no bf16" : "there is no GPU");
        test_true(access(parent, F_OK) != 0);
    }
    to = folder;
}

/* A folder of recordings and a file besides; a folder that has none. */
static void recordings(void)
{
    char *paths[] = {clips, clip}, *empty[] = {folder};
    conure_speech all;
    conure_error err = {""};
    test_int(conure_speech_load(&all, model, paths, 2, &err), CONURE_OK);
    test_int(all.n, 11);
    test_int(all.utterances[10].n_frames, speech.utterances[0].n_frames);
    test_true(strcmp(all.sha256, speech.sha256) != 0);
    conure_speech_free(&all);
    test_int(conure_speech_load(&all, model, empty, 1, &err), CONURE_BAD_ARG);
    test_contains(err.text, "no file in this folder has an ending of audio");
}

static void remove_plans(void)
{
    conure_plan_found *list = NULL;
    uint32_t n = 0;
    char path[PATH_MAX + 8];
    conure_plan_list(&list, &n, folder, &(conure_log){0}, NULL);
    for (uint32_t i = 0; i < 2 * n; i++) {
        snprintf(path, sizeof path, "%s%s", list[i / 2].path, i % 2 ? ".json" : ".plan");
        test_int(unlink(path), 0);
    }
    free(list);
    snprintf(path, sizeof path, "%s/timings", folder);
    test_int(unlink(path), 0);
    test_int(rmdir(folder), 0); /* no graph was left */
}

int main(void)
{
    test_begin("cli.plan_build");
    test_true(mkdtemp(folder) != NULL);
    open_model("tiny-hostile");
    caches(true); /* its layer 1 does not fit f16 */
    what_overflows(); /* goes on with tiny-v3 */
    caches(false);
    int8();
    names();
    timings();
    long_names();
    left_behind();
    interrupted();
    refusals();
    leaves_nothing();
    recordings();
    fused_layers();
    remove_plans();
    conure_speech_free(&speech);
    conure_model_close(&model);
    return test_end();
}

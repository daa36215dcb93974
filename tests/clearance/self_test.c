/* self_test.c - the harness on trial with everything that it should notice: boundary faults as the command plants them, and mistakes inside the
 * engine, which this program alone is built with (base/inject.h).  Every fault is caught by the gate that is named for it, honest candidates
 * pass, and the whole table fault by gate is the one that is kept beside this file.  What belongs to the engine "trt" is planted in that
 * engine, with a runtime on the host in place of TensorRT; tests/gpu/trt.py plants it in real plans.
 *
 *     test_clearance.self_test [--print]    --print: the table, to be kept */
#include "self_test_plans.h"
#include "support.h"

#include "audio/audio.h"
#include "base/files.h"
#include "base/inject.h"
#include "cli/clear.h"
#include "model/load.h"

#include <unistd.h>

volatile int conure_injected;
static int planted;

static void inject(bool on)
{
    conure_injected = on ? planted : CONURE_INJECT_NOTHING;
}

#define MANIFEST "self_test.tsv"
static char room[] = "self_test.XXXXXX";

/* ---- fixtures --------------------------------------------------------------------------------- */

/* A model with a contract whose state flows, and what may be planted in it. */
typedef struct fixture {
    conure_model *model;
    conure_contract contract;
    conure_audio_clip clip;
    conure_map golden;
    conure_stored_clip stored;
    conure_clear_audio audio;
    json_t *config;
    conure_clearing clearing;
} fixture;

static void open_fixture(fixture *f, const char *model, const char *candidate, const char *tolerances, const conure_contract_options *contract)
{
    conure_error err = {""};
    *f = (fixture){.config = NULL};
    good(conure_model_open(&f->model, model, NULL, &err), &err);
    good(conure_contract_derive_model(&f->contract, f->model, contract, &err), &err);
    conure_clearing_init(&f->clearing);
    f->clearing.model = f->model;
    f->clearing.contract = &f->contract;
    f->clearing.candidate = candidate;
    f->clearing.tolerance_file = tolerances;
    f->clearing.options.n_threads = 1;
    f->clearing.n_functional = 8;
    f->clearing.n_closed_loop = 24;
    f->clearing.n_self_test = 24;
    f->clearing.n_noise = 3;
    f->clearing.room = room;
    f->clearing.inject = inject;
}

/* What NeMo stored of the clip `short` with tiny-v3. */
static void add_golden(fixture *f)
{
    conure_error err = {""};
    good(conure_audio_load(&f->clip, TEST_DATA "/audio/librispeech_e29030942b.flac", NULL, &err), &err);
    good(conure_map_open(&f->golden, TEST_DATA "/golden/tiny-v3.golden.safetensors", &err), &err);
    f->stored = (conure_stored_clip){.what = "tiny-v3", .model = f->model, .pcm = f->clip.pcm, .n_samples = (size_t)f->clip.n_samples,
                                     .tensors = f->golden.data, .bytes = (size_t)f->golden.bytes, .prefix = "short"};
    f->clearing.stored_clips = &f->stored;
    f->clearing.n_stored_clips = 1;
}

static void add_audio(fixture *f)
{
    static const char *const clips[][2] = {{"goforward", "go forward ten meters"},
                                           {"cards_003", "seven of clubs"},
                                           {"librispeech_59aceb6ca6", "some sung out tear down the fence tear down the fence"}};
    FILE *manifest = fopen(MANIFEST, "w");
    test_true(manifest != NULL);
    fputs("file\ttext\n", manifest);
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++)
        fprintf(manifest, "%s/audio/%s.flac\t%s\n", TEST_DATA, clips[i][0], clips[i][1]);
    fclose(manifest);
    f->config = json_pack("{s:{s:s, s:s}}", "audio", "manifest", MANIFEST, "live", "2-1-0.5");
    f->audio = (conure_clear_audio){.config = f->config};
    f->clearing.audio = conure_clear_audio_stage;
    f->clearing.audio_user = &f->audio;
}

static void close_fixture(fixture *f)
{
    conure_audio_clip_free(&f->clip);
    conure_map_close(&f->golden);
    json_decref(f->config);
    conure_model_close(&f->model);
}

/* ---- the table -------------------------------------------------------------------------------- */

static conure_buffer table;

static void add_row(const char *fault, const char *kind, const char *gate, const json_t *failed)
{
    bool caught = false;
    size_t i;
    json_t *one;
    conure_buffer_format(&table, "%-18s %-7s %-12s", fault, kind, gate);
    json_array_foreach(failed, i, one) {
        conure_buffer_format(&table, " %s", json_string_value(one));
        caught = caught || strcmp(json_string_value(one), gate) == 0;
    }
    conure_buffer_text(&table, "\n");
    test_true(caught);
    if (!caught)
        fprintf(stderr, "%s: %s did not fail\n", fault, gate);
}

/* Gates that fail on the evidence of some stages. */
static json_t *failing(const conure_clearing *c, uint32_t stages)
{
    json_t *all = json_object(), *evidence = json_pack("{s:{}, s:o}", "config", "stages", all), *failed = json_array();
    conure_error err = {""};
    trt_host_machine.model = c->model;
    for (conure_stage s = 0; s < CONURE_STAGES; s++) {
        json_t *one = NULL;
        if (!(stages & 1u << s))
            continue;
        good(conure_clear_stage(&one, s, c, &err), &err);
        const char *error = json_string_value(json_object_get(one, "error"));
        if (error)
            fprintf(stderr, "%s: %s\n", conure_stage_name(s), error);
        json_object_set_new(all, conure_stage_name(s), one);
    }
    json_t *report = conure_clear_judge(evidence);
    for (conure_gate g = 0; g < CONURE_GATES; g++) {
        const char *verdict = conure_clear_gate_verdict(report, g);
        if (strcmp(verdict, CONURE_GATE_FAIL) == 0 || strcmp(verdict, CONURE_GATE_COULD_NOT_RUN) == 0)
            json_array_append_new(failed, json_string(conure_gate_name(g)));
    }
    json_decref(report);
    json_decref(evidence);
    return failed;
}

/* ---- boundary faults, by the stage that users run ---------------------------------------------- */

static void boundary(fixture *f)
{
    json_t *stage = NULL, *one;
    size_t i;
    conure_error err = {""};
    f->clearing.inject = NULL;
    good(conure_clear_stage(&stage, CONURE_STAGE_SELF_TEST, &f->clearing, &err), &err);
    test_true(!json_object_get(stage, "error"));
    json_array_foreach(json_object_get(stage, "faults"), i, one) {
        const char *kind = json_string_value(json_object_get(one, "kind"));
        const bool inner = strcmp(kind, "inner") == 0, text = strcmp(kind, "text") == 0;
        test_int(json_is_true(json_object_get(one, "planted")), !inner && (!text || f->clearing.audio));
        if (json_is_true(json_object_get(one, "planted")))
            add_row(json_string_value(json_object_get(one, "fault")), kind, json_string_value(json_object_get(one, "gate")),
                    json_object_get(one, "failed"));
    }
    test_int(json_array_size(json_object_get(stage, "honest")), 3);
    json_array_foreach(json_object_get(stage, "honest"), i, one) {
        test_int(json_array_size(json_object_get(one, "failed")), 0);
        if (json_array_size(json_object_get(one, "failed")))
            fprintf(stderr, "%s\n", json_string_value(json_object_get(one, "pair")));
    }
    json_decref(stage);
}

/* Those of transcripts, which the tiny models are no subject for. */
static void text_faults(fixture *f)
{
    for (conure_fault fault = 0; fault < CONURE_FAULTS; fault++) {
        conure_clearing c = f->clearing;
        if (conure_fault_kind_of(fault) != CONURE_FAULT_TEXT)
            continue;
        c.fault = fault;
        c.inject = NULL;
        json_t *failed = failing(&c, CONURE_STAGE_BIT(AUDIO));
        add_row(conure_fault_name(fault), "text", conure_gate_name(conure_fault_gate(fault)), failed);
        json_decref(failed);
    }
}

/* ---- inner faults ----------------------------------------------------------------------------- */

/* PLANS: tiny-v3 as a plan; LARGE: the same with weights that make values which half precision does not have. */
typedef enum fixture_name { TINY, TINY_INT8, HOSTILE, EMBEDDED, PLANS, LARGE, FIXTURES } fixture_name;

static const struct inner {
    conure_fault fault;
    int inject;
    fixture_name on;
    uint32_t stages;
    bool everywhere; /* in what the candidate shares with the reference: NeMo's tensors tell */
} inner[] = {
#define BOTH (CONURE_STAGE_BIT(FUNCTIONAL) | CONURE_STAGE_BIT(CLOSED_LOOP))
#define F(name) CONURE_FAULT_OF_##name, CONURE_INJECT_##name
    {F(OVERSHOOT_DROPPED), EMBEDDED, CONURE_STAGE_BIT(AUDIO), false},
    {F(PREDICTOR_RESET), EMBEDDED, CONURE_STAGE_BIT(AUDIO), false},
    {F(LABEL_FORGOTTEN), EMBEDDED, CONURE_STAGE_BIT(AUDIO), false},
    {F(CHUNK_NORMALISED), TINY, CONURE_STAGE_BIT(REFERENCE), true},
    {F(DEVIATION_N), TINY, CONURE_STAGE_BIT(REFERENCE), true},
    {F(NO_PREEMPHASIS), TINY, CONURE_STAGE_BIT(REFERENCE), true},
    {F(LOG_GUARD), TINY, CONURE_STAGE_BIT(REFERENCE), true},
    {F(PADDING_LEAKS), TINY, CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(NOISE), false},
    {F(ROWS_MIXED), TINY, CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(NOISE), false},
    {F(MASK_OTHER), HOSTILE, BOTH, false},
    {F(ONE_SOFTMAX), TINY, CONURE_STAGE_BIT(REFERENCE), true},
    {F(CHANNEL_SCALE), TINY_INT8, BOTH, false},
    {F(WEIGHT_TURNED), TINY, BOTH, false},
    {F(POSITION_SIGN), TINY, BOTH, false},
    {F(TF32_ON), PLANS, CONURE_STAGE_BIT(NOISE), false},
    {F(NORM_OVERFLOW), LARGE, BOTH, false},
    {F(PLAN_OF_OTHER), PLANS, BOTH | CONURE_STAGE_BIT(INPUTS), false},
    {F(HALF_KEPT), PLANS, BOTH, false},
    {F(GRAPH_STALE), PLANS, BOTH, false},
    {F(CACHES_CROSSED), PLANS, CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(NOISE), false},
#undef F
};

static void inner_faults(fixture fixtures[FIXTURES])
{
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        fixture *f = &fixtures[inner[i].on];
        const conure_fault fault = inner[i].fault;
        planted = inner[i].inject;
        inject(inner[i].everywhere);
        f->clearing.inject = inner[i].everywhere ? NULL : inject;
        json_t *failed = failing(&f->clearing, inner[i].stages);
        inject(false);
        planted = CONURE_INJECT_NOTHING;
        add_row(conure_fault_name(fault), conure_fault_kind_name(conure_fault_kind_of(fault)), conure_gate_name(conure_fault_gate(fault)), failed);
        json_decref(failed);
    }
}

/* The same stages on the same fixtures without a fault: nothing fails. */
static void honest(fixture fixtures[FIXTURES])
{
    static const uint32_t stages[FIXTURES] = {
        [TINY] = BOTH | CONURE_STAGE_BIT(REFERENCE) | CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(NOISE) | CONURE_STAGE_BIT(INPUTS),
        [TINY_INT8] = BOTH, [HOSTILE] = BOTH, [EMBEDDED] = CONURE_STAGE_BIT(AUDIO), [LARGE] = BOTH,
        [PLANS] = BOTH | CONURE_STAGE_BIT(BATCH) | CONURE_STAGE_BIT(NOISE) | CONURE_STAGE_BIT(INPUTS)};
    for (int i = 0; i < FIXTURES; i++) {
        json_t *failed = failing(&fixtures[i].clearing, stages[i]);
        char *text = json_dumps(failed, JSON_COMPACT);
        test_text(text, "[]");
        free(text);
        json_decref(failed);
    }
}

/* With an honest side file a plan of other weights is none of this model's, and provenance has no candidate to ask. */
static void honest_side_file(const fixture *f)
{
    remove_plan(room);
    store_plan(f->model, &f->contract, room, "00000000000000000000000000000000000000000000000000000000000000aa");
    json_t *failed = failing(&f->clearing, CONURE_STAGE_BIT(INPUTS));
    test_text(json_string_value(json_array_get(failed, 0)), "integrity");
    test_text(json_string_value(json_array_get(failed, 1)), "provenance");
    json_decref(failed);
}

/* Why the audio could not be judged, "" if it could. */
static void hear(const fixture *f, char why[512])
{
    conure_error err = {""};
    json_t *stage = conure_clear_audio_stage(f->clearing.audio_user, &f->clearing, (conure_fault)0, &err);
    const char *error = json_string_value(json_object_get(stage, "error"));
    snprintf(why, 512, "%s", error ? error : "");
    json_decref(stage);
}

static void audio_cannot_go_on(const fixture *f, const char *which, const char *way_out)
{
    char why[512];
    hear(f, why);
    test_contains(why, which);
    test_contains(why, way_out);
}

/* Clips that no plan is long enough for: which, and what to build, is said, and building it helps.  Windows that none is long enough for are not
 * put on a clip. */
static void longer_than_plans(fixture *f)
{
    json_t *audio = NULL;
    trt_host_machine.model = f->model;
    add_audio(f);
    audio = json_object_get(f->config, "audio");
    remove_plan(room);
    store_plan(f->model, &f->contract, room, NULL);
    store_offline_plan(f->model, &f->contract, room, 200);
    audio_cannot_go_on(f, "audio.live 2-1-0.5: a window is 3.4 s long, engine trt takes 2.0 s at most in one piece: take shorter contexts",
                       " --precision f32 --profile offline --max-frames 3");
    json_object_set_new(audio, "live", json_string("none"));
    audio_cannot_go_on(f, "clip 1, goforward.flac, could not be heard: this audio is ", " long, engine trt takes 2.0 s at most in one piece: cut it, or build "
                       "a longer plan: conure engine build -m ");
    audio_cannot_go_on(f, "clip 1, ", "; or leave the clip out");
    f->audio.redact = true;
    audio_cannot_go_on(f, "clip 1 could not be heard: this audio is ", "; or leave the clip out");
    /* What was asked for is enough.  The contract's steps are not those of a session, which is not the clip's fault. */
    char why[512];
    hear(f, why);
    const char *frames = strstr(why, "--max-frames ");
    test_true(frames != NULL);
    store_offline_plan(f->model, &f->contract, room, frames ? (uint32_t)strtoul(strchr(frames, ' '), NULL, 10) : 9);
    hear(f, why);
    test_contains(why, "clip 1 could not be heard cached: row 0: no plan takes a step of ");
    test_true(strstr(why, "leave the clip out") == NULL);
}

static void compare_table(bool print)
{
    char *kept = NULL;
    size_t bytes = 0;
    conure_error err = {""};
    if (print) {
        fputs(table.data, stdout);
        return;
    }
    good(conure_file_read(&kept, &bytes, SELF_TEST_TABLE, 1 << 16, &err), &err);
    const bool same = kept && strcmp(kept, table.data) == 0;
    test_true(same);
    if (!same)
        fprintf(stderr, "the table is another than the kept one:\n%s", table.data);
    free(kept);
}

int main(int argc, char **argv)
{
    static fixture fixtures[FIXTURES];
    /* Slices of 121 frames that keep 7 rows each; and what a session of speech has, with longer steps. */
    static const conure_contract_options small_steps = {.streaming = {.chunk = 8, .shift = 1, .cache_rows = 64, .export_graph = true},
                                                        .profiles = "121"};
    static const conure_contract_options speech = {.streaming = {.chunk = 12, .shift = 6, .cache_rows = 128}};
    conure_model *other;
    conure_error err = {""};
    test_begin("clearance.self_test");
    test_true(mkdtemp(room) != NULL);
    open_fixture(&fixtures[TINY], TEST_DATA "/models/tiny-v3.nemo", "cpu:f32", SOURCE_DIR "/tolerances/tiny-v3-f32.json", &small_steps);
    open_fixture(&fixtures[TINY_INT8], TEST_DATA "/models/tiny-v3.nemo", "cpu:int8", SOURCE_DIR "/tolerances/tiny-v3-int8.json", &small_steps);
    open_fixture(&fixtures[HOSTILE], TEST_DATA "/models/tiny-hostile.nemo", "cpu:f32", NULL, &small_steps);
    open_fixture(&fixtures[EMBEDDED], EMBEDDED_MODEL, "cpu:f32", SOURCE_DIR "/tolerances/embedded-f32.json", &speech);
    open_fixture(&fixtures[PLANS], TEST_DATA "/models/tiny-v3.nemo", "trt:f32", SOURCE_DIR "/tolerances/tiny-v3-f32.json", &small_steps);
    open_fixture(&fixtures[LARGE], TEST_DATA "/models/tiny-v3.nemo", "trt:f32", SOURCE_DIR "/tolerances/tiny-v3-f32.json", &small_steps);
    scale_weights(fixtures[LARGE].model, "pre_encode.out", 1e6f);
    good(conure_model_open(&other, TEST_DATA "/models/tiny-v3.nemo", NULL, &err), &err);
    scale_weights(other, "linear", 0.9f); /* as training on would leave them */
    trt_host_machine = (trt_host){.other = other, .mask = other->config.mask, .gpu = "GPU", .version = "8.6.0", .integer_bytes = 4, .fail_after = -1};
    store_plan(fixtures[PLANS].model, &fixtures[PLANS].contract, room, NULL);
    add_golden(&fixtures[TINY]);
    add_audio(&fixtures[EMBEDDED]);
    honest(fixtures);
    inner_faults(fixtures);
    boundary(&fixtures[TINY]);
    text_faults(&fixtures[EMBEDDED]);
    honest_side_file(&fixtures[PLANS]);
    longer_than_plans(&fixtures[PLANS]);
    compare_table(argc > 1 && strcmp(argv[1], "--print") == 0);
    for (int i = 0; i < FIXTURES; i++)
        close_fixture(&fixtures[i]);
    conure_model_close(&other);
    conure_buffer_free(&table);
    remove_plan(room);
    unlink(MANIFEST);
    rmdir(room);
    return test_end();
}

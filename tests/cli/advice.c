/* advice.c - what is said where a plan is missing, and that the command in it helps when it is typed.  TensorRT is ../engine/trt_host.c. */
#include "../engine/trt_host.h"
#include "../test.h"

#include "cli/transcribe.h"
#include "engine/trt/engine.h"
#include "model/load.h"
#include "stream/recognizer.h"

#include <sys/stat.h>
#include <unistd.h>

extern const conure_engine conure_engine_trt;

static conure_model *model;
static char said[4096]; /* on standard error, the last time */

/* A plan of f16 for so many mel frames, or 0: of a step. */
static conure_plan_side side_of(uint32_t frames_max)
{
    conure_plan_side s = {.gpu = "GPU", .tensorrt = "8.6.0", .model = "m", .precision = "f16", .f16 = true, .t = {9, 9, frames_max}, .b = {1, 1, 1},
                          .streaming = !frames_max, .mask_exact = model->config.mask == CONURE_MASK_EXACT};
    conure_error err = {""};
    if (s.streaming)
        s.caches.cache_rows = s.t[2] = 9;
    for (int i = 0; i < CONURE_PLAN_TENSORS; i++)
        snprintf(s.names[i], sizeof s.names[i], "t%d", i);
    test_int(conure_model_hash(model, s.model_sha256, &err), CONURE_OK);
    return s;
}

static void put(conure_plan_side s, const char *path)
{
    void *bytes;
    conure_error err = {""};
    const size_t n = trt_host_plan(&s, &bytes);
    test_int(conure_plan_write(&s, path, bytes, n, &err), CONURE_OK);
    free(bytes);
}

static void store(uint32_t frames_max)
{
    put(side_of(frames_max), frames_max ? "plans/offline" : "plans/step");
}

static conure_engine_options options = {.precision = CONURE_PRECISION_F16, .n_threads = 1};

/* conure transcribe --engine trt:f16 FILE, also in builds without the engine. */
static uint32_t transcribe(const char *file)
{
    conure_recognizer *r = NULL;
    conure_error err = {""};
    char *files[] = {(char *)file};
    conure_sink sink = {.format = CONURE_OUTPUT_JSON, .folder = "plans"};
    conure_transcribe_progress progress = {.label = ""};
    conure_transcribe_job job = {.sink = &sink, .batch = 1, .progress = &progress, .contexts = "1-0.48-0.32"};
    FILE *heard = tmpfile();
    const int kept = dup(2);
    test_int(conure_recognizer_open(&r, model, NULL, &err), CONURE_OK);
    r->engine->close(&r->self);
    r->engine = &conure_engine_trt;
    test_int(r->engine->open(&r->self, model, &options, &err), CONURE_OK);
    conure_audio_options_init(&job.audio);
    conure_session_options_init(&job.session);
    conure_session_options_preset(&job.session, job.contexts, NULL);
    job.recognizer = r;
    dup2(fileno(heard), 2);
    const conure_status status = conure_transcribe_files(&job, files, 1, &err);
    dup2(kept, 2);
    close(kept);
    test_int(status, CONURE_OK);
    rewind(heard);
    said[fread(said, 1, sizeof said - 1, heard)] = '\0';
    fclose(heard);
    conure_recognizer_close(&r);
    return job.n_good;
}

static void transcribing(void)
{
    static const char file[] = TEST_DATA "/audio/goforward.flac", command[] = "build a longer plan: conure engine build -m model.nemo --precision f16 "
                                                                              "--profile offline --max-frames 178\n";
    for (uint32_t had = 0; had <= 50; had += 50) { /* no offline plan, then a short one: memory is not to blame */
        store(had);
        test_int(transcribe(file), 0);
        test_true(!strstr(said, "memory") && !strstr(said, "iB"));
        test_contains(said, had ? "engine trt takes 0.5 s at most" : "engine trt takes 0.0 s at most");
        test_contains(said, command);
    }
    store(177); /* a frame less than a window may have: no window is promised */
    test_int(transcribe(file), 0);
    test_true(!strstr(said, "transcribed in windows"));
    test_contains(said, command);
    store(178);
    test_int(transcribe(file), 1);
    test_contains(said, "longer than the 1.8 s that engine trt takes in one piece: transcribed in windows of 1-0.48-0.32 s");
}

/* Of no plan at all, and of none for a slice or a step. */
static void refusals(void)
{
    void *self = NULL;
    float mel[1] = {0}; /* refused before it is read */
    conure_state state = {.options = {.cache_rows = 8}};
    conure_encode_row row = {.mel = mel, .n_frames = 400, .n_valid = 400};
    conure_error err = {""};
    setenv("CONURE_PLANS", "none", 1);
    test_int(conure_engine_trt.open(&self, model, &options, &err), CONURE_BACKEND);
    test_contains(err.text, ": conure engine build -m model.nemo --precision f16 --profile offline makes one of whole utterances, --contract FILE in place");
    setenv("CONURE_PLANS", "plans", 1);
    test_int(conure_engine_trt.open(&self, model, &options, &err), CONURE_OK);
    test_int(conure_engine_trt.encode(self, &row, 1, &err), CONURE_LIMIT);
    test_contains(err.text, ": conure engine build -m model.nemo --precision f16 --profile offline --max-frames 400 makes one");
    row.state = &state;
    test_int(conure_engine_trt.encode(self, &row, 1, &err), CONURE_LIMIT);
    test_contains(err.text, ": conure engine build -m model.nemo --precision f16 --contract FILE makes one, of a contract of such steps");
    conure_engine_trt.close(&self);
}

/* Every reason why plans do not serve, and a command that is long: it is whole. */
static void many_reasons(void)
{
    static const char folder[] = "others";
    void *self = NULL;
    conure_error err = {""};
    conure_engine_options o = options;
    char library[81], path[128];
    memset(library, 'l', sizeof library - 1);
    library[80] = '\0';
    o.library = library;
    test_int(mkdir(folder, 0700), 0);
    for (int i = 0; i < 5; i++) {
        conure_plan_side s = side_of(200);
        s.model_sha256[0] = i > 0 ? s.model_sha256[0] : s.model_sha256[0] == '0' ? '1' : '0';
        s.f16 = i != 1;
        snprintf(s.precision, sizeof s.precision, "%s", i == 1 ? "f32" : "f16");
        s.mask_exact ^= i == 2;
        snprintf(s.gpu, sizeof s.gpu, "%s", i == 3 ? "NVIDIA H100 80GB HBM3 of another machine" : "GPU");
        snprintf(s.tensorrt, sizeof s.tensorrt, "%s", i == 4 ? "10.13.2.6" : "8.6.0");
        snprintf(path, sizeof path, "%s/%d", folder, i);
        put(s, path);
    }
    setenv("CONURE_PLANS", folder, 1);
    for (int i = 0; i < 2; i++) {
        test_int(conure_engine_trt.open(&self, model, &o, &err), CONURE_BACKEND);
        test_contains(err.text, " --profile offline makes one of whole utterances");
        test_true(!strstr(err.text, "of other weights") == (i == 0));
        o.library = "short";
    }
    setenv("CONURE_PLANS", "plans", 1);
}

/* What else a plan must be like the engine in; words that a shell would take for others. */
static void words(void)
{
    char name[] = "m";
    conure_model other = {.path = "my model", .name = name, .config = {.mask = CONURE_MASK_NEMO}};
    conure_trt_engine e = {.model = &other, .config = &other.config, .precision = "int8", .mask_exact = true, .device = 3, .library = "/l"};
    char text[CONURE_LONGER_BYTES], path[300];
    conure_trt_advise_offline(&e, 1, text);
    test_text(text, "conure engine build -m 'my model' --precision int8 --audio FILE --device 3 --library /l --profile offline --mask exact --max-frames 9");
    conure_trt_advise_offline(&e, (1 << 20) + 1, text);
    test_text(text, "");
    memset(path, 'x', sizeof path);
    path[299] = '\0';
    e = (conure_trt_engine){.model = &other, .config = &other.config, .precision = "f32"};
    for (int i = 0; i < 4; i++) {
        other.path = (const char *const[]){path, "a'b", "-m", NULL}[i];
        conure_trt_advise_steps(&e, text);
        test_text(text, "conure engine build -m MODEL --precision f32 --contract FILE");
    }
}

int main(void)
{
    char folder[] = "advice-XXXXXX", removal[32];
    conure_error err = {""};
    test_begin("cli.advice");
    if (!mkdtemp(folder) || chdir(folder) || mkdir("plans", 0700) || symlink(TEST_DATA "/models/tiny-v3.nemo", "model.nemo"))
        return test_skip("no folder");
    setenv("CONURE_PLANS", "plans", 1);
    test_int(conure_model_open(&model, "model.nemo", NULL, &err), CONURE_OK);
    trt_host_machine = (trt_host){.model = model, .mask = model->config.mask, .gpu = "GPU", .version = "8.6.0", .integer_bytes = 8, .fail_after = -1};
    options.mask = model->config.mask;
    transcribing();
    refusals();
    many_reasons();
    words();
    conure_model_close(&model);
    snprintf(removal, sizeof removal, "rm -r %s", folder);
    test_int(chdir("..") || system(removal), 0);
    return test_end();
}

/* doctor.c - looking at the machine, the libraries, the folders and the model; see doctor.h. */
#include "cli/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <nettle/version.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>
#include <yaml.h>
#include <zlib.h>
#ifdef CONURE_HAVE_CURL
#include <curl/curl.h>
#endif

#include "audio/audio.h"
#include "base/cpu.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/processors.h"
#include "base/system.h"
#include "base/threads.h"
#include "cli/known.h"
#include "cli/measure.h"
#include "cli/models.h"
#include "cli/terminal.h"
#ifdef CONURE_HAVE_ONNX
#include "engine/ort/library.h"
#endif
#ifdef CONURE_HAVE_TRT
#include "engine/trt/runtime.h"
#endif
#include "stream/random.h"

#define FREE_BYTES_LOW ((uint64_t)1 << 30)

__attribute__((format(printf, 4, 5))) static conure_finding *add(conure_findings *f, const char *name,
                                                                 conure_finding_state state,
                                                                 const char *format, ...)
{
    /* The number of rows is known when this file is written; the last one is reused if it was not. */
    conure_finding *row = &f->rows[f->n < CONURE_FINDINGS_MAX ? f->n++ : f->n - 1];
    va_list args;
    row->name = name;
    row->state = state;
    row->advice[0] = '\0';
    va_start(args, format);
    vsnprintf(row->value, sizeof row->value, format, args);
    va_end(args);
    return row;
}

__attribute__((format(printf, 2, 3))) static void advise(conure_finding *row, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(row->advice, sizeof row->advice, format, args);
    va_end(args);
}

static void program(conure_findings *f)
{
    add(f, "program", CONURE_FINDING_GOOD, "conure %s, commit %s, %s", conure_version(),
        conure_program_commit(), conure_program_build());
}

static void processor(conure_findings *f, const char *isa)
{
    char name[128], has[128], used[128];
    uint32_t all = 0, chosen = 0;
    conure_error err = {""};
    conure_finding *row;
    conure_cpu_features(&all, NULL, NULL);
    conure_cpu_features_text(all, has, sizeof has);
    conure_cpu_name(name, sizeof name);
    row = add(f, "processor", all ? CONURE_FINDING_GOOD : CONURE_FINDING_NOTE, "%s, with %s", name,
              all ? has : "none of the instruction sets that have kernels here");
    if (!all)
        advise(row, "everything runs in plain C, which is slow: AVX2 with FMA would help");
    if (conure_cpu_features(&chosen, isa, &err) != CONURE_OK) {
        row = add(f, "instructions", CONURE_FINDING_MISSING, "%s asked for", isa);
        advise(row, "%s", err.text);
        return;
    }
    conure_cpu_features_text(chosen, used, sizeof used);
    row = add(f, "instructions", CONURE_FINDING_GOOD, "%s", chosen ? used : "plain C");
    if (isa)
        advise(row, "limited by --isa %s", isa);
    else if (!(chosen & (CONURE_CPU_VNNI | CONURE_CPU_AVXVNNI | CONURE_CPU_AMX_INT8)))
        advise(row, "all that this processor offers; int8 models gain less without VNNI or AMX");
    else
        advise(row, "all that this processor offers; --isa can name less");
}

static void threads(conure_findings *f)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const uint32_t usable = conure_processors();
    const uint32_t quota = conure_processors_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    conure_finding *row = add(f, "threads", CONURE_FINDING_GOOD, "%u of %ld processors",
                              usable < CONURE_THREADS_MAX ? usable : CONURE_THREADS_MAX, online);
    if (quota && quota <= usable && (long)quota < online)
        advise(row, "a control group allows %u", quota);
    else if (usable < (uint32_t)(online > 0 ? online : 0))
        advise(row, "the processors this process is bound to");
    else if (usable > CONURE_THREADS_MAX)
        advise(row, "more than %d threads are not used", CONURE_THREADS_MAX);
}

static void memory(conure_findings *f)
{
    char spare[32], total[32], half[32];
    const uint64_t free_bytes = conure_memory_free();
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const bool low = free_bytes < FREE_BYTES_LOW;
    conure_finding *row =
        add(f, "memory", low ? CONURE_FINDING_NOTE : CONURE_FINDING_GOOD, "%s free of %s",
            conure_text_bytes(free_bytes, spare),
            conure_text_bytes(pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, total));
    advise(row, "%s for activations unless --memory says otherwise%s",
           conure_text_bytes(free_bytes / 2, half),
           low ? "; a 0.6 B model may not fit beside it" : "");
}

static void libraries(conure_findings *f)
{
    add(f, "libraries", CONURE_FINDING_GOOD,
                              "zlib %s, libyaml %s, jansson %s, nettle %d.%d, utf8proc %s", zlibVersion(),
                              yaml_get_version_string(), jansson_version_str(), nettle_version_major(),
                              nettle_version_minor(), utf8proc_version());
    conure_finding *audio = add(f, "audio", conure_audio_has_decoders() ? CONURE_FINDING_GOOD : CONURE_FINDING_NOTE, "%s, %s", conure_audio_decoder(),
                                conure_audio_resampler());
    if (!conure_audio_has_decoders())
        advise(audio, "built without libsndfile and libsoxr: configure with -DCONURE_AUDIO_LIBRARIES=ON");
#ifdef CONURE_HAVE_CURL
    add(f, "network", CONURE_FINDING_GOOD, "%s", curl_version());
#else
    advise(add(f, "network", CONURE_FINDING_NOTE, "conure pull is not built"),
           "built without libcurl: configure with -DCONURE_PULL=ON");
#endif
}

/* Opening it is the only way to know; nothing is run there. */
static void tensorrt(conure_findings *f)
{
#ifdef CONURE_HAVE_TRT
    conure_trt *trt = NULL;
    conure_error err = {""};
    char memory_text[32];
    if (conure_trt_open(&trt, &(conure_trt_place){0}, (conure_log){0}, &err) != CONURE_OK) {
        advise(add(f, "tensorrt", CONURE_FINDING_NOTE, "not usable; built with the headers of %s", conure_trt_built_with()), "%s", err.text);
        return;
    }
    const conure_trt_facts *facts = conure_trt_get_facts(trt);
    add(f, "tensorrt", CONURE_FINDING_GOOD, "%s (built with the headers of %s), %s, compute %u.%u, %s, CUDA %u.%u", facts->version,
        conure_trt_built_with(), facts->gpu, facts->compute[0], facts->compute[1], conure_text_bytes(facts->memory_bytes, memory_text),
        facts->driver / 1000, facts->driver % 1000 / 10);
    conure_trt_close(&trt);
#else
    advise(add(f, "tensorrt", CONURE_FINDING_NOTE, "the engine trt is not built"),
           "optional, for NVIDIA GPUs; configure with -DCONURE_TENSORRT_INCLUDE=FOLDER, which holds TensorRT's headers");
#endif
}

/* What --engine ort/... would use. */
static void onnx_runtime(conure_findings *f)
{
#ifdef CONURE_HAVE_ONNX
    conure_ort_library library;
    conure_error err = {""};
    char providers[256];
    if (conure_ort_library_open(&library, NULL, &err) != CONURE_OK) {
        const bool named = getenv("CONURE_ORT_LIBRARY") && *getenv("CONURE_ORT_LIBRARY");
        advise(add(f, "onnxruntime", CONURE_FINDING_NOTE, named ? "cannot be used" : "not there"), "%s%s", named ? "" : "optional; ", err.text);
        return;
    }
    conure_ort_providers(&library, providers, sizeof providers);
    advise(add(f, "onnxruntime", CONURE_FINDING_GOOD, "%s, providers %s", library.version, providers), "%s", library.path);
    conure_ort_library_close(&library);
#else
    advise(add(f, "onnxruntime", CONURE_FINDING_NOTE, "engines ort/... are not built"), "configure with -DCONURE_ONNX=ON");
#endif
}

/* The nearest folder that exists decides whether the cache could be made. */
static bool creatable(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    while (access(part, F_OK) != 0) {
        char *slash = strrchr(part, '/');
        if (!slash || slash == part)
            return access("/", W_OK) == 0;
        *slash = '\0';
    }
    return access(part, W_OK | X_OK) == 0 && conure_path_is_folder(part);
}

static void cache(conure_findings *f)
{
    char path[PATH_MAX], found[PATH_MAX];
    conure_error err = {""};
    conure_finding *row;
    const char *hub = getenv("CONURE_HUB");
    if (conure_cache_models(path, sizeof path, &err) != CONURE_OK) {
        advise(add(f, "cache", CONURE_FINDING_NOTE, "none"), "%s", err.text);
        return;
    }
    row = add(f, "cache", CONURE_FINDING_GOOD, "%.400s", path);
    if (!creatable(path)) {
        row->state = CONURE_FINDING_NOTE;
        advise(row, "not writable: conure pull needs --to, or set XDG_CACHE_HOME");
    }
    for (const conure_known_model *m = conure_known_models; m->name; m++) {
        const bool have = conure_model_find(m->name, found, sizeof found, NULL) == CONURE_OK;
        row = add(f, "fetched", have ? CONURE_FINDING_GOOD : CONURE_FINDING_NOTE, "%s: %.380s", m->name,
                  have ? found : "not there");
        if (!have)
            advise(row, "optional; conure pull %s fetches it", m->name);
    }
    if (hub && *hub)
        add(f, "hub", CONURE_FINDING_NOTE, "%.400s (CONURE_HUB)", hub);
}

static void embedded(conure_findings *f)
{
    const void *data;
    size_t bytes;
    char size[32];
    if (conure_embedded_model(&data, &bytes))
        add(f, "embedded", CONURE_FINDING_GOOD, "a model of %s", conure_text_bytes(bytes, size));
    else
        advise(add(f, "embedded", CONURE_FINDING_NOTE, "no model"),
               "this build has none: -m or CONURE_MODEL must name one");
}

/* Do what `conure transcribe` does, in small: damaged weights may show nowhere else. */
static void check(conure_findings *f, conure_recognizer *r, uint32_t rate_hz)
{
    const size_t n = rate_hz / 2;
    float *pcm = conure_calloc(n, sizeof *pcm);
    const float *list = pcm;
    conure_result *result = NULL;
    conure_error err = {""};
    const double start_s = conure_now_s();
    conure_status status = CONURE_NO_MEMORY;
    if (pcm) {
        conure_synthetic_speech(pcm, n, 1);
        status = conure_transcribe(r, &list, &n, 1, &result, &err);
    }
    if (status == CONURE_OK)
        add(f, "check", CONURE_FINDING_GOOD, "half a second of synthetic speech took %.0f ms, the first "
            "and slowest", 1000 * (conure_now_s() - start_s));
    else
        advise(add(f, "check", CONURE_FINDING_MISSING, "half a second of synthetic speech fails"), "%s",
               err.text[0] ? err.text : conure_status_text(status));
    conure_result_free(&result);
    free(pcm);
}

/* Open what `conure transcribe` would use, and say what would run. */
static void model(conure_findings *f, const char *given, const char *isa)
{
    static const char *const why[] = {"named with --model", "named by CONURE_MODEL",
                                      "embedded, as it or none is named", "none"};
    const char *name = NULL;
    const conure_model_source source = conure_models_choose(given, &name);
    conure_model *m = NULL;
    conure_recognizer *r = NULL;
    conure_recognizer_options options;
    conure_model_info info = {.struct_bytes = sizeof info};
    conure_error err = {""};
    char longest[32];
    conure_status status = conure_models_open(&m, given, NULL, &err);
    if (status == CONURE_OK)
        status = conure_model_get_info(m, &info);
    if (status != CONURE_OK) {
        advise(add(f, "model", CONURE_FINDING_MISSING, "%.300s (%s)", name ? name : "none", why[source]),
               "%s", err.text);
        conure_model_close(&m);
        return;
    }
    advise(add(f, "model", CONURE_FINDING_GOOD, "%.200s, %.1f M parameters, %s", info.name,
               (double)info.n_parameters / 1e6, info.weights), "%s", why[source]);
    conure_recognizer_options_init(&options);
    options.isa = isa;
    status = conure_recognizer_open(&r, m, &options, &err);
    if (status != CONURE_OK) {
        advise(add(f, "engine", CONURE_FINDING_MISSING, "cannot run"), "%s", err.text);
    } else {
        add(f, "engine", CONURE_FINDING_GOOD, "%.400s", conure_recognizer_describe(r));
        conure_text_seconds((double)conure_recognizer_samples_max(r) / info.sample_rate_hz, longest);
        add(f, "longest", CONURE_FINDING_GOOD, "%s of audio in one file, within the memory limit",
            longest);
        check(f, r, info.sample_rate_hz);
    }
    conure_recognizer_close(&r);
    conure_model_close(&m);
}

void conure_doctor_examine(conure_findings *f, const char *given, const char *isa)
{
    f->n = 0;
    program(f);
    processor(f, isa);
    threads(f);
    memory(f);
    libraries(f);
    onnx_runtime(f);
    tensorrt(f);
    cache(f);
    embedded(f);
    model(f, given, isa);
}

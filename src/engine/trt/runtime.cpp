/* runtime.cpp - runtime.h on TensorRT 8.6, 10 or 11, opened with dlopen(), so that one program runs with and without it.  The GPU itself is
 * in device.c.
 *
 * TensorRT's interfaces are tables of virtual functions, so that the headers must be of the library's major version, and of its minor one
 * or an older.
 *
 * Nothing that is called here throws: TensorRT's functions are noexcept, and memory is asked for with nothrow. */
#include <NvInfer.h>
#include <NvOnnxParser.h>

#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <new>
#include <pthread.h>

extern "C" {
#include "engine/trt/device.h"
#include "engine/trt/library.h"
}

/* Flags of precision are deprecated from 10 on and gone in 11; 8.6 deprecates what makes its builds quick. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace {

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define VERSION TEXT(NV_TENSORRT_MAJOR) "." TEXT(NV_TENSORRT_MINOR) "." TEXT(NV_TENSORRT_PATCH)
#define LIBNVINFER "libnvinfer.so." TEXT(NV_TENSORRT_MAJOR)

/* ---- libraries -------------------------------------------------------------------------------- */

/* TensorRT's messages: the last error goes into ours, warnings into the log.  Its threads log too. */
class Logger : public nvinfer1::ILogger {
public:
    explicit Logger(conure_log log) : log_(log) { last_[0] = '\0'; }
    void log(Severity severity, char const *text) noexcept override
    {
        pthread_mutex_lock(&lock_);
        if (severity <= Severity::kERROR)
            snprintf(last_, sizeof last_, "%.350s", text);
        if (log_.fn && severity <= Severity::kINFO)
            conure_log_write(&log_, severity <= Severity::kWARNING ? CONURE_LOG_INFO : CONURE_LOG_DEBUG, "TensorRT: %.400s", text);
        pthread_mutex_unlock(&lock_);
    }
    /* What it said since it was asked last. */
    const char *last(char *out, size_t cap)
    {
        pthread_mutex_lock(&lock_);
        snprintf(out, cap, "%s", last_[0] ? last_ : "it does not say why");
        last_[0] = '\0';
        pthread_mutex_unlock(&lock_);
        return out;
    }

private:
    conure_log log_;
    char last_[360];
    pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
};

} // namespace

struct conure_trt {
    explicit conure_trt(conure_log log) : logger(log) {}
    Logger logger;
    conure_gpu gpu{};
    void *libnvinfer = nullptr, *libparser = nullptr;
    char library[PATH_MAX] = ""; /* as it was named; "": what the loader finds */
    void *(*create_builder)(void *, int32_t) = nullptr;
    void *(*create_runtime)(void *, int32_t) = nullptr;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
};

struct conure_trt_plan {
    conure_trt *trt;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

struct conure_trt_context {
    conure_trt *trt;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
};

namespace {

/* The GPU is current in the calling thread while this lives, and what was current before it afterwards. */
class Current {
public:
    explicit Current(conure_trt *t) : t_(t) { conure_gpu_enter(&t->gpu); }
    ~Current() { conure_gpu_leave(&t_->gpu); }
    Current(const Current &) = delete;
    Current &operator=(const Current &) = delete;

private:
    conure_trt *t_;
};

conure_status trt_failed(conure_trt *t, const char *what, conure_error *err)
{
    char why[360];
    return conure_fail(err, CONURE_BACKEND, "TensorRT: %s: %s", what, t->logger.last(why, sizeof why));
}

/* 8601 is 8.6.1; from 10 on 100100 is 10.1.0. */
void split_version(int32_t v, int32_t out[3])
{
    const int32_t unit = v >= 100000 ? 10000 : 1000, inner = 100;
    out[0] = v / unit;
    out[1] = v % unit / inner;
    out[2] = v % inner;
}

/* Where it is not, library.h has the text; here it is there and cannot be opened, unless the loader was to find it. */
conure_status open_part(conure_trt *t, void **out, const char *name, bool main, const char *way_out, conure_error *err)
{
    char path[PATH_MAX];
    const conure_status status = conure_trt_library_path(path, sizeof path, t->library, name, main, err);
    if (status != CONURE_OK)
        return status;
    return conure_gpu_library(out, path, strchr(path, '/') ? "it must be TensorRT " TEXT(NV_TENSORRT_MAJOR) "'s, whole, and the folders of what "
                              "it needs in LD_LIBRARY_PATH" : way_out, err);
}

conure_status open_tensorrt(conure_trt *t, conure_error *err)
{
    conure_status status = open_part(t, &t->libnvinfer, LIBNVINFER, true, "install TensorRT "
                                     TEXT(NV_TENSORRT_MAJOR) ", or name its folder: --library FOLDER of conure engine "
                                     "build, @library=FOLDER of --engine trt, or LD_LIBRARY_PATH", err);
    if (status != CONURE_OK)
        return status;
    const auto version = reinterpret_cast<int32_t (*)()>(dlsym(t->libnvinfer, "getInferLibVersion"));
    t->create_builder = reinterpret_cast<void *(*)(void *, int32_t)>(dlsym(t->libnvinfer, "createInferBuilder_INTERNAL"));
    t->create_runtime = reinterpret_cast<void *(*)(void *, int32_t)>(dlsym(t->libnvinfer, "createInferRuntime_INTERNAL"));
    if (!version || !t->create_runtime)
        return conure_fail(err, CONURE_BACKEND, "engine trt: " LIBNVINFER " is not TensorRT");
    int32_t v[3];
    split_version(version(), v);
    snprintf(t->gpu.facts.version, sizeof t->gpu.facts.version, "%d.%d.%d", v[0], v[1], v[2]);
    if (v[0] != NV_TENSORRT_MAJOR || v[1] < NV_TENSORRT_MINOR)
        return conure_fail(err, CONURE_BACKEND, "engine trt: TensorRT %s was found, and this program was built for %s: build it with headers of "
                           "that version or an older one of the same major number", t->gpu.facts.version, VERSION);
    Current current(t);
    t->runtime.reset(static_cast<nvinfer1::IRuntime *>(t->create_runtime(&t->logger, NV_TENSORRT_VERSION)));
    return t->runtime ? CONURE_OK : trt_failed(t, "its runtime did not start", err);
}

nvinfer1::Dims dims_of(uint32_t rank, const uint32_t *list)
{
    nvinfer1::Dims d{};
    d.nbDims = static_cast<int32_t>(rank);
    for (uint32_t i = 0; i < rank; i++)
        d.d[i] = static_cast<int32_t>(list[i]);
    return d;
}

} // namespace

/* ---- opening ---------------------------------------------------------------------------------- */

extern "C" const char *conure_trt_built_with(void)
{
    return VERSION;
}

extern "C" conure_status conure_trt_open(conure_trt **out, const conure_trt_place *place, conure_log log, conure_error *err)
{
    *out = nullptr;
    conure_trt *t = new (std::nothrow) conure_trt(log);
    if (!t)
        return conure_fail_memory(err, "an engine", sizeof *t);
    /* A folder that was named wrongly is said before a GPU that is missing: the user has just typed it. */
    char path[PATH_MAX];
    conure_status status = conure_trt_library_path(path, sizeof path, place->library, LIBNVINFER, true, err);
    snprintf(t->library, sizeof t->library, "%s", place->library ? place->library : "");
    if (status == CONURE_OK)
        status = conure_gpu_open(&t->gpu, place->device, err);
    if (status == CONURE_OK)
        status = open_tensorrt(t, err);
    if (status != CONURE_OK) {
        conure_trt_close(&t);
        return status;
    }
    *out = t;
    return CONURE_OK;
}

extern "C" void conure_trt_close(conure_trt **trt)
{
    conure_trt *t = *trt;
    if (!t)
        return;
    if (t->gpu.context) {
        Current current(t);
        t->runtime.reset();
    }
    conure_gpu_close(&t->gpu);
    /* The libraries stay loaded: TensorRT and CUDA keep threads and handlers that must not lose their code. */
    delete t;
    *trt = nullptr;
}

extern "C" conure_gpu *conure_trt_gpu(conure_trt *trt)
{
    return &trt->gpu;
}

extern "C" const conure_trt_facts *conure_trt_get_facts(const conure_trt *trt)
{
    return &trt->gpu.facts;
}

/* ---- building --------------------------------------------------------------------------------- */

namespace {

using namespace nvinfer1;

#if NV_TENSORRT_MAJOR >= 10
class Monitor : public IProgressMonitor {
public:
    explicit Monitor(const conure_trt_build_options *o) : o_(o) {}
    void phaseStart(char const *phase, char const *, int32_t n_steps) noexcept override { show(phase, 0, n_steps); }
    bool stepComplete(char const *phase, int32_t step) noexcept override
    {
        show(phase, step + 1, 0);
        return !o_->cancel || !__atomic_load_n(o_->cancel, __ATOMIC_RELAXED);
    }
    void phaseFinish(char const *) noexcept override {}

private:
    void show(char const *phase, int32_t step, int32_t n_steps)
    {
        if (o_->progress)
            o_->progress(o_->progress_user, phase, static_cast<uint32_t>(step), static_cast<uint32_t>(n_steps));
    }
    const conure_trt_build_options *o_;
};
#endif

conure_status open_parser(conure_trt *t, conure_error *err)
{
    if (t->libparser)
        return CONURE_OK;
    return open_part(t, &t->libparser, "libnvonnxparser.so." TEXT(NV_TENSORRT_MAJOR), false,
                     "it comes with TensorRT and needs libnvinfer_plugin beside it", err);
}

/* The library that came with 8.6.0 has fewer virtual functions than the public header of that name, before the destructor: deleting a parser
 * would call something else.  What ends it by name is at the same place in both. */
struct EndParser {
    void operator()(nvonnxparser::IParser *parser) const
    {
#if NV_TENSORRT_MAJOR < 9
        parser->destroy();
#else
        delete parser;
#endif
    }
};
using Parser = std::unique_ptr<nvonnxparser::IParser, EndParser>;

/* The network's weights are the parser's, so that it must live until the plan is built. */
conure_status parse(conure_trt *t, INetworkDefinition &network, const char *path, Parser &parser, conure_error *err)
{
    const conure_status status = open_parser(t, err);
    if (status != CONURE_OK)
        return status;
    const auto create = reinterpret_cast<void *(*)(void *, void *, int)>(dlsym(t->libparser, "createNvOnnxParser_INTERNAL"));
    parser.reset(create ? static_cast<nvonnxparser::IParser *>(create(&network, &t->logger, NV_ONNX_PARSER_VERSION)) : nullptr);
    if (!parser)
        return trt_failed(t, "its ONNX parser did not start", err);
    if (parser->parseFromFile(path, static_cast<int>(ILogger::Severity::kWARNING)))
        return CONURE_OK;
    const int n = parser->getNbErrors();
    if (n < 1)
        return trt_failed(t, "the graph was not taken", err);
    const nvonnxparser::IParserError *e = parser->getError(0);
    return conure_fail(err, CONURE_UNSUPPORTED, "TensorRT: the graph was not taken: node %d: %.300s (%d error%s)", e->node(), e->desc(), n,
                       n == 1 ? "" : "s");
}

#if NV_TENSORRT_MAJOR < 11
/* Norms: sums of squares overflow in half precision and differences of large numbers lose what matters.  And the sums that a convolution is
 * written as, which would be rounded at every product. */
bool is_delicate(const ILayer &layer)
{
    const LayerType type = layer.getType();
    const char *name = layer.getName();
    return (strstr(name, "norm") && (type == LayerType::kREDUCE || type == LayerType::kELEMENTWISE || type == LayerType::kUNARY)) ||
           (strstr(name, ".conv.tap") && type == LayerType::kELEMENTWISE);
}

/* Constants have no precision of their own, and types are all that quantising and casts are about. */
bool has_precision(const ILayer &layer)
{
    const LayerType type = layer.getType();
    return type != LayerType::kCONSTANT && type != LayerType::kQUANTIZE && type != LayerType::kDEQUANTIZE && type != LayerType::kCAST &&
           layer.getNbOutputs() == 1 && layer.getOutput(0)->getType() == DataType::kFLOAT;
}

/* Of what the parser adds to fit a node's shapes: 8 gives it no name, later ones begin with ONNXTRT_. */
bool is_helper(const char *name)
{
    return !*name || strncmp(name, "(Unnamed", 8) == 0 || strncmp(name, "ONNXTRT_", 8) == 0;
}

/* Names of layers are those of the graph's nodes; a helper is of the node that it is for. */
const char *node_of(const INetworkDefinition &network, int32_t i)
{
    const ILayer *layer = network.getLayer(i);
    for (int32_t j = i + 1; j < network.getNbLayers() && is_helper(layer->getName()); j++) {
        const ILayer *next = network.getLayer(j);
        for (int32_t k = 0; k < next->getNbInputs(); k++)
            if (next->getInput(k) == layer->getOutput(0)) {
                layer = next;
                break;
            }
    }
    return layer->getName();
}

/* What stays in f32: norms, sums of products, and what does not fit half precision. */
uint32_t keep_wide(INetworkDefinition &network, const conure_trt_build_options &o)
{
    uint32_t kept = 0;
    for (int32_t i = 0; i < network.getNbLayers(); i++) {
        ILayer *layer = network.getLayer(i);
        if (!has_precision(*layer) || !(is_delicate(*layer) || (o.wide && o.wide(o.wide_user, node_of(network, i)))))
            continue;
        layer->setPrecision(DataType::kFLOAT);
        layer->setOutputType(0, DataType::kFLOAT);
        kept++;
    }
    return kept;
}
#endif

/* From 11 on the graph's own types say what is computed in, and the flags are gone. */
conure_status set_precision(IBuilderConfig &config, INetworkDefinition &network, const conure_trt_build_options &o, uint32_t *kept,
                            conure_error *err)
{
    const conure_trt_precision precision = o.precision;
    (void)network;
    (void)err;
    *kept = 0;
    if (precision == CONURE_TRT_TF32)
        config.setFlag(BuilderFlag::kTF32);
    else
        config.clearFlag(BuilderFlag::kTF32);
#if NV_TENSORRT_MAJOR < 11
    if (precision == CONURE_TRT_INT8)
        config.setFlag(BuilderFlag::kINT8);
    if (precision == CONURE_TRT_F32 || precision == CONURE_TRT_TF32 || (precision == CONURE_TRT_INT8 && !o.f16_beside))
        return CONURE_OK;
#if NV_TENSORRT_MAJOR < 9
    if (precision == CONURE_TRT_BF16)
        return conure_fail(err, CONURE_UNSUPPORTED, "TensorRT %s has no bf16: 10 and later do", VERSION);
    config.setFlag(BuilderFlag::kFP16);
#else
    config.setFlag(precision == CONURE_TRT_BF16 ? BuilderFlag::kBF16 : BuilderFlag::kFP16);
#endif
    config.setFlag(BuilderFlag::kPREFER_PRECISION_CONSTRAINTS);
    *kept = keep_wide(network, o);
#endif
    return CONURE_OK;
}

/* Inputs and outputs that are handed over in half precision. */
void set_halves(INetworkDefinition &network, const conure_trt_build_options &o)
{
#if NV_TENSORRT_MAJOR < 11
    const int32_t n_inputs = network.getNbInputs();
    for (int32_t i = 0; i < n_inputs + network.getNbOutputs(); i++) {
        ITensor *tensor = i < n_inputs ? network.getInput(i) : network.getOutput(i - n_inputs);
        for (uint32_t j = 0; j < o.n_halves; j++)
            if (strcmp(o.halves[j], tensor->getName()) == 0)
                tensor->setType(DataType::kHALF);
    }
#else
    (void)network;
    (void)o;
#endif
}

const conure_trt_range *range_of(const conure_trt_build_options *o, const char *name)
{
    for (uint32_t i = 0; i < o->n_ranges; i++)
        if (strcmp(o->ranges[i].name, name) == 0)
            return &o->ranges[i];
    return nullptr;
}

conure_status set_profile(IBuilder &builder, IBuilderConfig &config, INetworkDefinition &network, const conure_trt_build_options *o,
                          conure_error *err)
{
    IOptimizationProfile *profile = builder.createOptimizationProfile();
    if (!profile)
        return conure_fail(err, CONURE_BACKEND, "TensorRT: no optimization profile");
    for (int32_t i = 0; i < network.getNbInputs(); i++) {
        const char *name = network.getInput(i)->getName();
        const conure_trt_range *r = range_of(o, name);
        if (!r)
            return conure_fail(err, CONURE_INTERNAL, "the graph has an input %.64s whose shapes were not given", name);
        /* What has one size only is no variable: TensorRT 8 records a run as a graph only where nothing is. */
        Dims dims = network.getInput(i)->getDimensions();
        for (uint32_t d = 0; d < r->rank; d++)
            dims.d[d] = r->min[d] == r->max[d] ? static_cast<int32_t>(r->min[d]) : -1;
        network.getInput(i)->setDimensions(dims);
        if (!profile->setDimensions(name, OptProfileSelector::kMIN, dims_of(r->rank, r->min)) ||
            !profile->setDimensions(name, OptProfileSelector::kOPT, dims_of(r->rank, r->opt)) ||
            !profile->setDimensions(name, OptProfileSelector::kMAX, dims_of(r->rank, r->max)))
            return conure_fail(err, CONURE_BACKEND, "TensorRT: the range of shapes of %.64s was not taken", name);
    }
    if (config.addOptimizationProfile(profile) < 0)
        return conure_fail(err, CONURE_BACKEND, "TensorRT: the ranges of shapes were not taken");
    return CONURE_OK;
}

/* What a version needs told so that it builds on a bare machine, and quickly. */
void set_habits(conure_trt *t, IBuilderConfig &config, uint32_t level)
{
    const uint64_t quarter = t->gpu.facts.free_bytes / 4, most = 8ull << 30;
    config.setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, quarter < most ? quarter : most);
    config.setBuilderOptimizationLevel(static_cast<int32_t>(level));
#if NV_TENSORRT_MAJOR < 9
    /* cuBLASLt and convolutions with edge masks: cuBLAS and cuDNN need not be there. */
    config.setTacticSources(1u << static_cast<uint32_t>(TacticSource::kCUBLAS_LT) |
                            1u << static_cast<uint32_t>(TacticSource::kEDGE_MASK_CONVOLUTIONS));
    config.setPreviewFeature(PreviewFeature::kPROFILE_SHARING_0806, true);
    config.setMinTimingIterations(2); /* others may be building on this GPU: of one run each, kernels twice as slow were taken */
    config.setAvgTimingIterations(2);
#endif
}

/* An older cache that is not taken costs time and nothing else. */
conure_status set_timing(IBuilderConfig &config, std::unique_ptr<ITimingCache> &cache, const conure_trt_build_options *o, bool *used,
                         conure_error *err)
{
    if (o->timing)
        cache.reset(config.createTimingCache(o->timing, o->timing_bytes));
    *used = cache && config.setTimingCache(*cache, false);
    if (*used)
        return CONURE_OK;
    cache.reset(config.createTimingCache(nullptr, 0));
    if (!cache || !config.setTimingCache(*cache, false))
        return conure_fail(err, CONURE_BACKEND, "TensorRT: no timing cache");
    return CONURE_OK;
}

void take(conure_trt_blob *out, IHostMemory *memory)
{
    *out = conure_trt_blob{memory ? memory->data() : nullptr, memory ? memory->size() : 0, memory};
}

conure_status build(conure_trt *t, const conure_trt_build_options *o, conure_trt_built *out, conure_error *err)
{
    if (!t->create_builder)
        return conure_fail(err, CONURE_BACKEND, "engine trt: this libnvinfer runs plans and builds none");
    std::unique_ptr<IBuilder> builder(static_cast<IBuilder *>(t->create_builder(&t->logger, NV_TENSORRT_VERSION)));
    if (!builder)
        return trt_failed(t, "its builder did not start", err);
#if NV_TENSORRT_MAJOR < 10
    const uint32_t flags = 1u << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#else
    const uint32_t flags = 0;
#endif
    Parser parser;
    std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(flags));
    std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    std::unique_ptr<ITimingCache> cache;
    if (!network || !config)
        return trt_failed(t, "no network", err);
    conure_status status = parse(t, *network, o->onnx, parser, err);
    if (status == CONURE_OK)
        status = set_precision(*config, *network, *o, &out->n_kept_f32, err);
    if (status == CONURE_OK)
        set_halves(*network, *o);
    if (status == CONURE_OK)
        status = set_profile(*builder, *config, *network, o, err);
    if (status == CONURE_OK)
        status = set_timing(*config, cache, o, &out->timing_used, err);
    if (status != CONURE_OK)
        return status;
    set_habits(t, *config, o->level);
    builder->setMaxThreads(static_cast<int32_t>(o->n_threads));
#if NV_TENSORRT_MAJOR >= 10
    Monitor monitor(o);
    config->setProgressMonitor(&monitor);
#endif
    out->n_layers = static_cast<uint32_t>(network->getNbLayers());
    take(&out->plan, builder->buildSerializedNetwork(*network, *config));
    if (!out->plan.owner && o->cancel && __atomic_load_n(o->cancel, __ATOMIC_RELAXED))
        return conure_fail(err, CONURE_CANCELLED, "cancelled");
    if (!out->plan.owner)
        return trt_failed(t, "no plan was built", err);
    take(&out->timing, cache->serialize());
    return CONURE_OK;
}

} // namespace

extern "C" conure_status conure_trt_build(conure_trt *trt, const conure_trt_build_options *options, conure_trt_built *out, conure_error *err)
{
    const auto start = std::chrono::steady_clock::now();
    Current current(trt);
    *out = conure_trt_built{};
    const conure_status status = build(trt, options, out, err);
    out->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return status;
}

extern "C" void conure_trt_blob_free(conure_trt_blob *blob)
{
    delete static_cast<IHostMemory *>(blob->owner);
    *blob = conure_trt_blob{};
}

/* ---- running ---------------------------------------------------------------------------------- */

extern "C" conure_status conure_trt_plan_open(conure_trt *trt, conure_trt_plan **out, const void *bytes, size_t n, conure_error *err)
{
    Current current(trt);
    *out = nullptr;
    std::unique_ptr<ICudaEngine> engine(trt->runtime->deserializeCudaEngine(bytes, n));
    if (!engine)
        return trt_failed(trt, "the plan was not taken", err);
    conure_trt_plan *plan = new (std::nothrow) conure_trt_plan{trt, nullptr};
    if (!plan)
        return conure_fail_memory(err, "a plan", sizeof *plan);
    plan->engine = std::move(engine);
    *out = plan;
    return CONURE_OK;
}

extern "C" void conure_trt_plan_close(conure_trt_plan **plan)
{
    if (*plan) {
        Current current((*plan)->trt);
        delete *plan;
    }
    *plan = nullptr;
}

extern "C" bool conure_trt_plan_tensor(const conure_trt_plan *plan, const char *name, bool input, uint32_t *element_bytes)
{
    const TensorIOMode mode = plan->engine->getTensorIOMode(name);
    const DataType type = plan->engine->getTensorDataType(name);
    *element_bytes = type == DataType::kHALF ? 2 : type == DataType::kFLOAT || type == DataType::kINT32 ? 4 : 8;
    return mode == (input ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT);
}

extern "C" conure_status conure_trt_context_open(conure_trt_plan *plan, conure_trt_context **out, conure_error *err)
{
    Current current(plan->trt);
    *out = nullptr;
    std::unique_ptr<IExecutionContext> context(plan->engine->createExecutionContext());
    if (!context)
        return trt_failed(plan->trt, "no execution context", err);
    conure_trt_context *c = new (std::nothrow) conure_trt_context{plan->trt, nullptr};
    if (!c)
        return conure_fail_memory(err, "an execution context", sizeof *c);
    c->context = std::move(context);
    *out = c;
    return CONURE_OK;
}

extern "C" void conure_trt_context_close(conure_trt_context **context)
{
    if (*context) {
        Current current((*context)->trt);
        delete *context;
    }
    *context = nullptr;
}

namespace {

conure_status bind(conure_trt_context *c, const conure_trt_tensor *tensors, uint32_t n, conure_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const conure_trt_tensor *t = &tensors[i];
        if (t->rank && !c->context->setInputShape(t->name, dims_of(t->rank, t->dims)))
            return trt_failed(c->trt, t->name, err);
        if (!c->context->setTensorAddress(t->name, t->data))
            return trt_failed(c->trt, t->name, err);
    }
    return CONURE_OK;
}

} // namespace

extern "C" conure_status conure_trt_run(conure_trt_context *c, const conure_trt_tensor *tensors, uint32_t n, conure_error *err)
{
    Current current(c->trt);
    const conure_status status = bind(c, tensors, n, err);
    if (status != CONURE_OK)
        return status;
    return c->context->enqueueV3(c->trt->gpu.stream) ? CONURE_OK : trt_failed(c->trt, "a step did not start", err);
}

namespace {

class Profiler : public nvinfer1::IProfiler {
public:
    Profiler(conure_part_fn fn, void *user) : fn_(fn), user_(user) {}
    void reportLayerTime(char const *name, float ms) noexcept override { fn_(user_, name, 1e-3 * static_cast<double>(ms)); }

private:
    conure_part_fn fn_;
    void *user_;
};

} // namespace

extern "C" conure_status conure_trt_profile(conure_trt_context *c, const conure_trt_tensor *tensors, uint32_t n, conure_part_fn fn, void *user,
                                            conure_error *err)
{
    Profiler profiler(fn, user);
    Current current(c->trt);
    const conure_status status = bind(c, tensors, n, err);
    if (status != CONURE_OK)
        return status;
    c->context->setProfiler(&profiler);
    const bool ran = c->context->enqueueV3(c->trt->gpu.stream); /* waits, and reports, as long as there is a profiler */
    c->context->setProfiler(nullptr);
    return ran ? CONURE_OK : trt_failed(c->trt, "a step did not start", err);
}

extern "C" conure_status conure_trt_record(conure_trt_context *c, const conure_trt_tensor *tensors, uint32_t n, conure_trt_graph **out,
                                           conure_error *err)
{
    conure_trt *t = c->trt;
    Current current(t);
    char why[360];
    *out = nullptr;
    conure_status status = bind(c, tensors, n, err);
    if (status == CONURE_OK)
        status = conure_gpu_record_begin(&t->gpu, err);
    if (status != CONURE_OK)
        return status;
    const bool started = c->context->enqueueV3(t->gpu.stream);
    conure_gpu_record_end(&t->gpu, started, out);
    if (!started)
        (void)conure_fail(err, CONURE_OK, "%s", t->logger.last(why, sizeof why));
    return CONURE_OK;
}

/* graph.c - what every exported graph must look like, whatever it computes: read back with protobuf-c and looked through
 * node by node.  That the numbers are right is runtime.py's business. */
#include "onnx/export.h"
#include "onnx/onnx.pb-c.h"
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "onnx.graph.tmp"

static conure_model *open_model(const char *name)
{
    char path[512];
    conure_model *model = NULL;
    conure_error err = {""};
    snprintf(path, sizeof path, "%s/models/%s.nemo", TEST_DATA, name);
    test_int(conure_model_open(&model, path, NULL, &err), CONURE_OK);
    test_text(err.text, "");
    return model;
}

static void empty_folder(void)
{
    char path[512];
    mkdir(FOLDER, 0777);
    DIR *folder = opendir(FOLDER);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
        unlink(path);
    }
    if (folder)
        closedir(folder);
}

/* The bytes of a file; freed by free(). */
static uint8_t *slurp(const char *name, size_t *bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", FOLDER, name);
    FILE *file = fopen(path, "rb");
    *bytes = 0;
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes + 1);
    if (data && fread(data, 1, *bytes, file) != *bytes)
        *bytes = 0;
    fclose(file);
    return data;
}

/* ---- one graph -------------------------------------------------------------------------------- */

enum { NAMES_MAX = 16384 };

typedef struct known {
    const char *name;
    int type;      /* ONNX's; 0: floating point, as the graph has it */
    bool constant; /* an initializer */
    bool used;
} known;

typedef struct look {
    const Onnx__GraphProto *graph;
    const char *where;
    known names[NAMES_MAX];
    size_t n;
} look;

static known *find(look *l, const char *name)
{
    for (size_t i = l->n; i-- > 0;)
        if (strcmp(l->names[i].name, name) == 0)
            return &l->names[i];
    return NULL;
}

static void add(look *l, const char *name, int type, bool constant)
{
    if (find(l, name) || !*name) {
        fprintf(stderr, "%s: %s is defined twice\n", l->where, name);
        test_true(false);
    }
    if (l->n < NAMES_MAX)
        l->names[l->n++] = (known){name, type, constant, false};
}

/* Floating point of any width is one kind here. */
static int kind_of(int type)
{
    return type == CONURE_ONNX_FLOAT || type == CONURE_ONNX_FLOAT16 || type == CONURE_ONNX_BFLOAT16 ? 0 : type;
}

static int cast_to(const Onnx__NodeProto *node)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, "to") == 0)
            return (int)node->attribute[i]->i;
    return 0;
}

static bool among(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(word, *list) == 0)
            return true;
    return false;
}

/* Operators that give the type of their first input, and may see int64 as data: arithmetic of sizes and lengths. */
static const char *const on_sizes[] = {"Gather", "Squeeze", "Unsqueeze", "Concat", "Add", "Sub", "Max", "Min", "Div", "Cast", NULL};

static int result_type(look *l, const Onnx__NodeProto *node)
{
    if (strcmp(node->op_type, "Shape") == 0)
        return CONURE_ONNX_INT64;
    if (strcmp(node->op_type, "Cast") == 0)
        return kind_of(cast_to(node));
    if (strcmp(node->op_type, "QuantizeLinear") == 0)
        return CONURE_ONNX_INT8;
    if (strcmp(node->op_type, "DequantizeLinear") == 0)
        return 0;
    if (strncmp(node->op_type, "Less", 4) == 0)
        return CONURE_ONNX_BOOL;
    const known *first = find(l, node->input[strcmp(node->op_type, "Where") == 0]);
    return first ? first->type : 0;
}

static void check_node(look *l, const Onnx__NodeProto *node)
{
    bool all_constant = node->n_input > 0;
    for (size_t i = 0; i < node->n_input; i++) {
        known *input = find(l, node->input[i]);
        if (!*node->input[i])
            continue;
        if (!input) { /* not yet: the order is wrong, or the name */
            fprintf(stderr, "%s: %s: input %s comes from nowhere\n", l->where, node->name, node->input[i]);
            test_true(false);
            continue;
        }
        input->used = true;
        all_constant = all_constant && input->constant;
        const bool operand = i > 0; /* of Reshape, Slice, ...: shapes */
        if (input->type == CONURE_ONNX_INT64 && !operand && !among(node->op_type, on_sizes)) {
            fprintf(stderr, "%s: %s computes on int64\n", l->where, node->name);
            test_true(false);
        }
    }
    if (all_constant && strcmp(node->op_type, "DequantizeLinear") != 0) { /* int8 weights stay int8 */
        fprintf(stderr, "%s: %s: all its inputs are constants\n", l->where, node->name);
        test_true(false);
    }
    test_true(strcmp(node->op_type, "Constant") != 0);
    for (const Onnx__NodeProto *const *twin = (const Onnx__NodeProto *const *)l->graph->node; *twin != node; twin++)
        test_true(strcmp(node->op_type, "Squeeze") != 0 || strcmp((*twin)->op_type, "Squeeze") != 0 || strcmp(node->input[0], (*twin)->input[0]) != 0);
    for (size_t i = 0; i < node->n_output; i++) /* weights that are made float again: what turns them does it at every run */
        add(l, node->output[i], result_type(l, node), all_constant);
}

/* A constant: a type that is meant, as many bytes as its shape says, here or in the file of weights. */
static void check_constant(look *l, const Onnx__TensorProto *t, size_t data_bytes)
{
    size_t bytes = t->data_type == CONURE_ONNX_INT64 ? 8 : t->data_type == CONURE_ONNX_FLOAT || t->data_type == CONURE_ONNX_INT32 ? 4
                   : t->data_type == CONURE_ONNX_INT8 ? 1 : 2;
    test_true(kind_of(t->data_type) == 0 || t->data_type == CONURE_ONNX_INT32 || t->data_type == CONURE_ONNX_INT64 ||
              t->data_type == CONURE_ONNX_INT8);
    for (size_t i = 0; i < t->n_dims; i++)
        bytes *= (size_t)t->dims[i];
    if (t->data_type == CONURE_ONNX_INT64)
        test_true(t->n_dims <= 1);
    if (t->n_external_data) {
        test_int(t->n_external_data, 3);
        const unsigned long long offset = strtoull(t->external_data[1]->value, NULL, 10);
        test_text(t->external_data[1]->key, "offset");
        test_int(offset % 4096, 0);
        test_int(strtoull(t->external_data[2]->value, NULL, 10), bytes);
        test_true(offset + bytes <= data_bytes);
        test_true(!t->has_raw_data);
    } else {
        test_int(t->raw_data.len, bytes);
    }
    add(l, t->name, kind_of(t->data_type), true);
}

static const char *metadata(const Onnx__ModelProto *model, const char *key)
{
    for (size_t i = 0; i < model->n_metadata_props; i++)
        if (strcmp(model->metadata_props[i]->key, key) == 0)
            return model->metadata_props[i]->value;
    return NULL;
}

static int type_of(const Onnx__ValueInfoProto *info)
{
    return kind_of(info->type->tensor_type->elem_type);
}

/* Everything; the caller frees the model. */
static Onnx__ModelProto *check_graph(const char *name, uint32_t opset, const char *precision)
{
    size_t bytes, data_bytes;
    char data_name[128];
    snprintf(data_name, sizeof data_name, "%s.data", name);
    uint8_t *file = slurp(name, &bytes), *data = slurp(data_name, &data_bytes);
    Onnx__ModelProto *model = file ? onnx__model_proto__unpack(NULL, bytes, file) : NULL;
    look *l = calloc(1, sizeof *l);
    test_true(model && model->graph && l);
    if (model && model->graph && l) {
        const Onnx__GraphProto *g = l->graph = model->graph;
        l->where = name;
        test_int(model->n_opset_import, 1);
        test_int(model->opset_import[0]->version, opset);
        test_text(metadata(model, "conure.precision"), strstr(name, "encoder") ? precision : "f32");
        for (size_t i = 0; i < g->n_input; i++)
            add(l, g->input[i]->name, type_of(g->input[i]), false);
        for (size_t i = 0; i < g->n_initializer; i++)
            check_constant(l, g->initializer[i], data_bytes);
        for (size_t i = 0; i < g->n_node; i++)
            check_node(l, g->node[i]);
        for (size_t i = 0; i < g->n_output; i++) {
            known *output = find(l, g->output[i]->name);
            test_true(output && output->type == type_of(g->output[i]));
            if (output)
                output->used = true;
        }
        for (size_t i = 0; i < l->n; i++)
            if (!l->names[i].used) {
                fprintf(stderr, "%s: nothing uses %s\n", name, l->names[i].name);
                test_true(false);
            }
    }
    free(l);
    free(file);
    free(data);
    return model;
}

static size_t count(const Onnx__ModelProto *model, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; model && i < model->graph->n_node; i++)
        n += strcmp(model->graph->node[i]->op_type, op) == 0;
    return n;
}

/* ---- exports ---------------------------------------------------------------------------------- */

static conure_contract contract_of(const conure_model *model, bool layer_first, const char *precision)
{
    conure_contract k;
    conure_error err = {""};
    const conure_contract_options options = {
        .streaming = {.chunk = 6, .shift = 3, .cache_rows = 24, .export_graph = true},
        .mask_exact = model->config.mask == CONURE_MASK_EXACT, .layer_first = layer_first,
        .precision = precision};
    test_int(conure_contract_derive_model(&k, model, &options, &err), CONURE_OK);
    test_text(err.text, "");
    return k;
}

static conure_export_options plain(void)
{
    return (conure_export_options){.graphs = CONURE_EXPORT_ENCODER | CONURE_EXPORT_DECODER | CONURE_EXPORT_FEATURES, .opset = 17};
}

static const char *const precisions[] = {"f32", "f16", "bf16", "int8"};

/* Every graph of one export, and a count of its layers in one of them. */
static void check_export(const conure_model *model, const conure_export_options *options)
{
    conure_export_report report;
    conure_error err = {""};
    empty_folder();
    test_int(conure_export_onnx(model, FOLDER, options, &report, &err), CONURE_OK);
    test_text(err.text, "");
    for (uint32_t i = 0; i < report.n_files; i++) {
        const conure_export_file *file = &report.files[i];
        Onnx__ModelProto *graph = file->is_graph ? check_graph(file->name, options->opset, precisions[options->precision]) : NULL;
        if (!graph)
            continue;
        test_int(graph->graph->n_node, file->facts.n_nodes);
        test_int(count(graph, "LayerNormalization") > 0, options->opset >= 17 && strstr(file->name, "encoder") != NULL);
        if (options->layout == CONURE_EXPORT_SHERPA_ONNX && strcmp(file->name, "encoder.onnx") == 0) {
            test_text(metadata(graph, "normalize_type"), "per_feature");
            test_int(atoi(metadata(graph, "vocab_size")), model->config.vocab_size);
            test_int(atoi(metadata(graph, "pred_hidden")), model->config.pred_hidden);
            test_contains(metadata(graph, "url"), "tdt");
        }
        if (strstr(file->name, "encoder")) {
            test_int(count(graph, "Softmax"), model->config.n_layers);
            test_text(metadata(graph, "conure.mask"), options->mask == CONURE_MASK_EXACT ? "exact" : "nemo");
            test_int(count(graph, "Sin"), strstr(file->name, "streaming") || options->frames_max ? 0 : 1);
        }
        onnx__model_proto__free_unpacked(graph, NULL);
    }
}

static void test_forms(void)
{
    static const char *const names[] = {"tiny-v3", "tiny-alt", "tiny-hostile"};
    static const uint32_t opsets[] = {16, 17, 18, 21};
    for (int i = 0; i < 3; i++) {
        conure_model *model = open_model(names[i]);
        if (!model)
            continue;
        conure_contract k = contract_of(model, i % 2, "f32");
        for (int j = 0; j < 4; j++) {
            conure_export_options options = plain();
            options.opset = opsets[j];
            options.layout = j % 2 ? CONURE_EXPORT_SHERPA_ONNX : CONURE_EXPORT_ONNX_ASR;
            options.graphs |= CONURE_EXPORT_STREAMING;
            options.contract = &k;
            options.frames_max = j == 1 ? 400 : 0;
            options.external = j == 2 ? CONURE_EXTERNAL_ALWAYS : CONURE_EXTERNAL_AUTO;
            check_export(model, &options);
        }
        conure_model_close(&model);
    }
}

/* Made-up speech. */
static float *made_up(const conure_model *model, conure_utterance *out)
{
    const uint32_t n = 120, bins = model->config.mel_bins;
    uint64_t seed = 11;
    float *mel = malloc((size_t)n * bins * sizeof *mel);
    for (size_t i = 0; mel && i < (size_t)n * bins; i++)
        mel[i] = test_uniform(&seed, -1.7f, 1.7f);
    *out = (conure_utterance){mel, n};
    return mel;
}

static void test_precisions(void)
{
    for (int i = 0; i < 12; i++) {
        const conure_export_precision precision = 1 + i % 3;
        conure_model *model = open_model(i % 2 ? "tiny-alt" : "tiny-hostile");
        conure_utterance speech;
        if (!model)
            return;
        float *mel = made_up(model, &speech);
        conure_contract k = contract_of(model, i % 2, precisions[precision]);
        conure_export_options options = plain();
        options.graphs = CONURE_EXPORT_ENCODER | CONURE_EXPORT_STREAMING;
        options.contract = &k;
        options.precision = precision;
        options.opset = i < 6 ? 16 : 19;
        options.narrow_caches = i % 4 < 2;
        options.narrow_io = options.narrow_caches && precision != CONURE_EXPORT_INT8;
        options.utterances = &speech;
        options.n_utterances = 1;
        options.n_threads = 2;
        check_export(model, &options);
        free(mel);
        conure_model_close(&model);
    }
}

/* The context rules that no model of the test data has. */
static void test_context(void)
{
    static const struct {
        int32_t left, right;
        conure_context_style style;
    } rules[] = {{8, 2, CONURE_REGULAR}, {-1, 0, CONURE_REGULAR}, {8, -1, CONURE_CHUNKED_LIMITED}, {8, 3, CONURE_CHUNKED_LIMITED}};
    conure_model *model = open_model("tiny-v3");
    for (size_t i = 0; model && i < sizeof rules / sizeof *rules; i++) {
        conure_export_options options = plain();
        model->config.att_left = rules[i].left;
        model->config.att_right = rules[i].right;
        model->config.att_style = rules[i].style;
        options.graphs = CONURE_EXPORT_ENCODER;
        options.mask = CONURE_MASK_EXACT;
        check_export(model, &options);
    }
    conure_model_close(&model);
}

/* The interface is called what the contract calls it. */
static void test_names(void)
{
    conure_model *model = open_model("tiny-v3");
    if (!model)
        return;
    conure_contract k = contract_of(model, true, "f32");
    conure_export_options options = plain();
    conure_export_report report;
    for (int i = 0; i < CONURE_ROLES; i++)
        snprintf(k.names[i], sizeof k.names[i], "tensor.%d", i);
    options.graphs = CONURE_EXPORT_STREAMING;
    options.contract = &k;
    check_export(model, &options);
    options.force = true;
    test_int(conure_export_onnx(model, FOLDER, &options, &report, NULL), CONURE_OK);
    Onnx__ModelProto *graph = check_graph("encoder_streaming.onnx", 17, "f32");
    for (size_t i = 0; graph && i < CONURE_ROLES; i++)
        test_text((i < 5 ? graph->graph->input[i] : graph->graph->output[i - 5])->name, k.names[i]);
    if (graph)
        onnx__model_proto__free_unpacked(graph, NULL);
    conure_model_close(&model);
}

/* The same bytes again, and others for another model. */
static void test_repeats(void)
{
    static const char *const files[] = {"encoder-model.onnx", "encoder_streaming.onnx", "encoder_streaming.onnx.data", "nemo128.onnx"};
    conure_model *model = open_model("tiny-v3");
    uint8_t *first[4] = {NULL};
    size_t bytes[4] = {0};
    if (!model)
        return;
    conure_contract k = contract_of(model, false, "f32");
    for (int round = 0; round < 2; round++) {
        conure_export_options options = plain();
        conure_export_report report;
        options.graphs |= CONURE_EXPORT_STREAMING;
        options.contract = &k;
        options.external = CONURE_EXTERNAL_ALWAYS;
        empty_folder();
        test_int(conure_export_onnx(model, FOLDER, &options, &report, NULL), CONURE_OK);
        for (int i = 0; i < 4; i++) {
            size_t n;
            uint8_t *data = slurp(files[i], &n);
            test_true(n > 1000);
            if (round) {
                test_int(n, bytes[i]);
                test_true(data && first[i] && memcmp(data, first[i], n < bytes[i] ? n : bytes[i]) == 0);
                free(data);
            } else {
                first[i] = data;
                bytes[i] = n;
            }
        }
    }
    for (int i = 0; i < 4; i++)
        free(first[i]);
    conure_model_close(&model);
}

/* ---- what cannot be exported ------------------------------------------------------------------ */

static void refused(const conure_model *model, const conure_export_options *options, conure_status status, const char *why)
{
    conure_export_report report;
    conure_error err = {""};
    test_int(conure_export_onnx(model, FOLDER, options, &report, &err), status);
    test_contains(err.text, why);
    test_int(report.n_files, 0);
}

static bool stop(void *user, double fraction)
{
    (void)user;
    return fraction < 0.02;
}

static void test_refusals(void)
{
    conure_model *model = open_model("tiny-v3"), *other = open_model("tiny-alt");
    if (!model || !other)
        return;
    conure_contract k = contract_of(model, false, "f32"), changed = k;
    conure_export_options options = plain();
    empty_folder();
    options.opset = 15;
    refused(model, &options, CONURE_BAD_ARG, "opset 15");
    options.opset = 17;
    options.graphs = 0;
    refused(model, &options, CONURE_BAD_ARG, "no graph");
    options.graphs = CONURE_EXPORT_STREAMING;
    refused(model, &options, CONURE_BAD_ARG, "needs a contract");
    options.contract = &k;
    refused(other, &options, CONURE_BAD_FILE, "");
    options.mask = CONURE_MASK_EXACT;
    refused(model, &options, CONURE_BAD_ARG, "the contract says nemo");
    options.mask = CONURE_MASK_DEFAULT;
    changed.int8 = true;
    options.contract = &changed;
    refused(model, &options, CONURE_BAD_ARG, "precision int8");
    changed = k;
    changed.streaming.drop_extra[0] = 0;
    refused(model, &options, CONURE_UNSUPPORTED, "--schedule export");
    changed = k;
    changed.keep_negative = true;
    changed.streaming.cache_drop = 20;
    refused(model, &options, CONURE_UNSUPPORTED, "--negative-keep clamped");
    options = plain();
    options.precision = CONURE_EXPORT_INT8;
    refused(model, &options, CONURE_BAD_ARG, "name some audio");
    options.precision = CONURE_EXPORT_F32;
    options.float_weights = true;
    refused(model, &options, CONURE_BAD_ARG, "--int8-weights f32");
    options.float_weights = false;
    options.narrow_io = true;
    refused(model, &options, CONURE_BAD_ARG, "--io narrow");
    options.narrow_io = false;
    options.narrow_caches = true;
    refused(model, &options, CONURE_BAD_ARG, "--caches narrow");
    options = plain();
    options.progress = stop;
    refused(model, &options, CONURE_CANCELLED, "cancelled");
    options = plain();
    conure_export_report report;
    test_int(conure_export_onnx(model, FOLDER, &options, &report, NULL), CONURE_OK);
    refused(model, &options, CONURE_BAD_ARG, "--force");
    options.force = true;
    test_int(conure_export_onnx(model, FOLDER, &options, &report, NULL), CONURE_OK);
    conure_model_close(&model);
    conure_model_close(&other);
}

int main(void)
{
    test_begin("onnx.graph");
    test_forms();
    test_precisions();
    test_context();
    test_names();
    test_repeats();
    test_refusals();
    return test_end();
}

/* export.c - which graphs and texts a layout consists of, and what each says of itself. */
#include "onnx/export.h"

#include "base/files.h"
#include "base/memory.h"
#include "model/load.h"
#include "onnx/decoder.h"
#include "onnx/encoder.h"
#include "onnx/features.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_CAP = 64 };
_Static_assert((int)CONURE_EXPORT_INT8 == (int)CONURE_CONTRACT_INT8 && (int)CONURE_EXPORT_F16 == (int)CONURE_CONTRACT_F16, "one stands for the other");

/* A file, whole under temporary names until all are: graphs of two models in one folder would run. */
typedef struct staged {
    conure_writer *data, *file; /* GRAPH.data, or NULL; the file itself */
} staged;

typedef struct export {
    const conure_model *model;
    const conure_export_options *o;
    const char *folder;
    conure_export_report *report;
    conure_error *err;
    char sha256[65];
    const conure_observations *seen;
    conure_contract contract; /* of the streaming graph, with the types that its tensors have */
    staged staged[CONURE_EXPORT_FILES_MAX]; /* as report->files */
    double done, share; /* of the progress: before this graph, and of it */
} export;

static const char *const precisions[] = {
#define X(name, id, suffix) id,
    CONURE_EXPORT_PRECISION_LIST(X)
#undef X
};
static const char *const suffixes[] = {
#define X(name, id, suffix) suffix,
    CONURE_EXPORT_PRECISION_LIST(X)
#undef X
};

/* ---- files ------------------------------------------------------------------------------------ */

/* A file of the layout: a graph with what builds it, or a text. */
typedef struct item {
    const char *stem;        /* of a graph's name; the whole name of a text */
    uint32_t graph;          /* CONURE_EXPORT_* that it belongs to; 0: all */
    const char *kind;        /* what the graph says that it is */
    void (*build)(conure_graph *graph); /* NULL: an encoder */
    conure_status (*write)(export *e, const char *path); /* of a text; NULL: a graph */
} item;

static conure_status path_of(const export *e, const char *name, char path[PATH_MAX])
{
    if (conure_path_join(path, PATH_MAX, e->folder, name))
        return CONURE_OK;
    return conure_fail(e->err, CONURE_LIMIT, "%s/%s: the path is too long", e->folder, name);
}

/* Of a graph's weights, if they are beside it. */
static conure_status data_path_of(const export *e, const char *name, char path[PATH_MAX])
{
    char data[NAME_CAP + sizeof ".data"];
    snprintf(data, sizeof data, "%s.data", name);
    return path_of(e, data, path);
}

static conure_status put_text(export *e, const char *path, const conure_buffer *text)
{
    conure_writer **writer = &e->staged[e->report->n_files].file;
    if (text->failed)
        return conure_fail_memory(e->err, path, text->bytes);
    conure_status status = conure_writer_open(writer, path, e->err);
    if (status == CONURE_OK)
        status = conure_writer_write(*writer, text->data, text->bytes, e->err);
    return status == CONURE_OK ? conure_writer_finish(*writer, e->err) : status;
}

/* PIECE ID, one a line, blank last: what both readers take apart at the space. */
static conure_status write_vocabulary(export *e, const char *path)
{
    const conure_tokenizer *tokenizer = e->model->tokenizer;
    const uint32_t n = conure_tokenizer_size(tokenizer);
    conure_buffer text = {0};
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        const char *piece = conure_tokenizer_piece(tokenizer, i);
        if (strpbrk(piece, " \t\r\n\v\f"))
            status = conure_fail(e->err, CONURE_UNSUPPORTED, "piece %u of the vocabulary holds white space, which %s cannot hold", i, path);
        conure_buffer_format(&text, "%s %u\n", piece, i);
    }
    conure_buffer_format(&text, "<blk> %u\n", n);
    if (status == CONURE_OK)
        status = put_text(e, path, &text);
    conure_buffer_free(&text);
    return status;
}

static conure_status write_config(export *e, const char *path)
{
    const conure_config *c = &e->model->config;
    conure_buffer text = {0};
    conure_buffer_format(&text, "{\n  \"model_type\": \"nemo-conformer-tdt\",\n  \"features_size\": %u,\n  \"subsampling_factor\": %d,\n"
                         "  \"max_tokens_per_step\": %u\n}\n", c->mel_bins, CONURE_FACTOR, c->max_symbols);
    const conure_status status = put_text(e, path, &text);
    conure_buffer_free(&text);
    return status;
}

/* The contract with the graph that keeps it, the file that was made just before. */
static conure_status write_contract(export *e, const char *path)
{
    conure_contract k = e->contract;
    const uint32_t graph = e->report->n_files - 1;
    char *json = NULL;
    conure_status status = conure_contract_add_file(&k, conure_writer_temporary(e->staged[graph].file), e->report->files[graph].name, e->err);
    if (status == CONURE_OK)
        status = conure_contract_dump(&k, &json, e->err);
    conure_buffer text = {0};
    conure_buffer_text(&text, json ? json : "");
    if (status == CONURE_OK)
        status = put_text(e, path, &text);
    conure_buffer_free(&text);
    free(json);
    return status;
}

/* ---- what a graph says of itself -------------------------------------------------------------- */

static void put_number(conure_graph *g, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    conure_graph_metadata(g, key, text);
}

static void put_durations(conure_graph *g, const conure_config *c)
{
    char text[16 * CONURE_DURATIONS_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < c->n_durations; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u", i ? "," : "", c->durations[i]);
    conure_graph_metadata(g, "conure.durations", text);
}

/* The keys that sherpa-onnx looks for in the encoder. */
static void put_sherpa(conure_graph *g, const conure_config *c, const char *name)
{
    put_number(g, "vocab_size", c->vocab_size);
    conure_graph_metadata(g, "normalize_type", "per_feature");
    put_number(g, "pred_rnn_layers", c->pred_layers);
    put_number(g, "pred_hidden", c->pred_hidden);
    put_number(g, "subsampling_factor", CONURE_FACTOR);
    conure_graph_metadata(g, "model_type", "EncDecRNNTBPEModel");
    conure_graph_metadata(g, "version", "2");
    conure_graph_metadata(g, "model_author", "NeMo");
    conure_graph_metadata(g, "comment", name);
    conure_graph_metadata(g, "url", "tdt"); /* it takes a model for a TDT one when this holds these three letters */
    put_number(g, "feat_dim", c->mel_bins);
}

/* Which layers stayed float32, "-1" is the subsampling. */
static void put_wide(conure_graph *g, const conure_encoder_plan *plan, uint32_t n_layers)
{
    conure_buffer text = {0};
    for (int32_t i = -1; i < (int32_t)n_layers; i++)
        if (conure_encoder_is_wide(plan, i))
            conure_buffer_format(&text, "%s%d", text.bytes ? "," : "", i);
    if (text.failed)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
    else if (text.bytes)
        conure_graph_metadata(g, "conure.f32_layers", text.data);
    conure_buffer_free(&text);
}

/* Steps of int8 caches, layer by layer: what 1 is worth. */
static void put_steps(export *e, conure_graph *g)
{
    conure_buffer channel = {0}, time = {0};
    for (uint32_t i = 0; i < e->model->config.n_layers; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layers.%u.self_attn.linear_q.weight", i);
        conure_buffer_format(&channel, "%s%.9g", i ? "," : "", (double)(conure_observed_input(e->seen, name) / 127));
        conure_buffer_format(&time, "%s%.9g", i ? "," : "", (double)(conure_observed_columns(e->seen, i) / 127));
    }
    if (channel.failed || time.failed)
        conure_graph_fail(g, CONURE_NO_MEMORY, "out of memory for a graph");
    else {
        conure_graph_metadata(g, "conure.cache_last_channel_steps", channel.data);
        conure_graph_metadata(g, "conure.cache_last_time_steps", time.data);
    }
    conure_buffer_free(&channel);
    conure_buffer_free(&time);
}

static conure_status put_metadata(export *e, conure_graph *g, const item *it, const conure_encoder_plan *plan)
{
    const conure_config *c = &e->model->config;
    char *contract = NULL;
    conure_graph_metadata(g, "conure.graph", it->kind);
    conure_graph_metadata(g, "conure.model", e->model->name);
    conure_graph_metadata(g, "conure.model_sha256", e->sha256);
    conure_graph_metadata(g, "conure.precision", plan ? precisions[e->o->precision] : "f32");
    if (plan) {
        put_wide(g, plan, c->n_layers);
        conure_graph_metadata(g, "conure.mask", plan->mask_exact ? "exact" : "nemo");
        if (plan->frames_max)
            put_number(g, "conure.frames_max", plan->frames_max);
        if (plan->batch)
            put_number(g, "conure.batch", plan->batch);
    }
    if (it->graph == CONURE_EXPORT_STREAMING) {
        const conure_status status = conure_contract_dump(&e->contract, &contract, e->err);
        if (status != CONURE_OK)
            return status;
        conure_graph_metadata(g, "conure.contract", contract);
        free(contract);
        if (plan && plan->caches == CONURE_ONNX_INT8)
            put_steps(e, g);
    }
    if (it->graph == CONURE_EXPORT_DECODER) {
        put_number(g, "conure.vocab_size", c->vocab_size);
        put_number(g, "conure.max_symbols", c->max_symbols);
        put_durations(g, c);
    }
    if (it->graph == CONURE_EXPORT_ENCODER && e->o->layout == CONURE_EXPORT_SHERPA_ONNX)
        put_sherpa(g, c, e->model->name);
    return CONURE_OK;
}

/* ---- one file --------------------------------------------------------------------------------- */

static bool show(void *user, double fraction)
{
    const export *e = user;
    return !e->o->progress || e->o->progress(e->o->progress_user, e->done + e->share * fraction);
}

static void set_precision(const export *e, conure_encoder_plan *plan)
{
    static const conure_precision computed[] = {
#define X(name, id, suffix) CONURE_PRECISION_##name,
        CONURE_EXPORT_PRECISION_LIST(X)
#undef X
    };
    conure_encoder_plan_narrow(plan, computed[e->o->precision], e->seen, e->o->narrow_io, e->o->narrow_caches);
    if (e->o->float_weights && plan->int8 != CONURE_INT8_NONE)
        plan->int8 = CONURE_INT8_FLOAT;
    plan->fusible = e->o->fusible;
    plan->batch = plan->contract ? e->o->batch : 0;
    e->report->n_wide = conure_encoder_n_wide(plan, e->model->config.n_layers);
}

static conure_status write_graph(export *e, const item *it, const char *path, conure_graph_facts *facts)
{
    conure_graph *g = NULL;
    conure_encoder_plan plan;
    const bool encoder = it->graph == CONURE_EXPORT_ENCODER || it->graph == CONURE_EXPORT_STREAMING;
    const bool streaming = it->graph == CONURE_EXPORT_STREAMING;
    conure_status status = conure_graph_open(&g, e->model, it->kind, e->o->opset, CONURE_ONNX_FLOAT, e->err);
    if (status == CONURE_OK && encoder)
        status = conure_encoder_plan_make(&plan, &e->model->config, streaming ? &e->contract : NULL, e->o->mask, e->o->frames_max, e->err);
    if (status == CONURE_OK && encoder) {
        set_precision(e, &plan);
        conure_encoder_build(g, &plan);
    }
    if (status == CONURE_OK && !encoder)
        it->build(g);
    if (status == CONURE_OK)
        status = put_metadata(e, g, it, encoder ? &plan : NULL);
    staged *s = &e->staged[e->report->n_files];
    conure_staged_graph made = {NULL, NULL};
    if (status == CONURE_OK)
        status = conure_graph_stage(g, path, e->o->external, &made, facts, show, e, e->err);
    s->data = made.data;
    s->file = made.graph;
    conure_graph_close(&g);
    return status;
}

static conure_status write_item(export *e, const item *it, const char *name)
{
    char path[PATH_MAX];
    conure_export_file *file = &e->report->files[e->report->n_files];
    *file = (conure_export_file){.is_graph = !it->write};
    snprintf(file->name, sizeof file->name, "%s", name);
    conure_status status = path_of(e, name, path);
    if (status == CONURE_OK)
        status = file->is_graph ? write_graph(e, it, path, &file->facts) : it->write(e, path);
    if (status == CONURE_OK)
        e->report->n_files++;
    return status;
}

/* Renames alone, weights before the graph that names them. */
static conure_status put_in_place(export *e)
{
    char path[PATH_MAX];
    conure_status status = CONURE_OK;
    for (uint32_t i = 0; i < e->report->n_files && status == CONURE_OK; i++) {
        const conure_export_file *file = &e->report->files[i];
        if (file->facts.data_bytes)
            status = conure_writer_commit(&e->staged[i].data, e->err);
        if (status == CONURE_OK)
            status = conure_writer_commit(&e->staged[i].file, e->err);
        if (status == CONURE_OK && file->is_graph && !file->facts.data_bytes && data_path_of(e, file->name, path) == CONURE_OK)
            unlink(path); /* weights of the graph that was replaced */
    }
    return status;
}

/* ---- layouts ---------------------------------------------------------------------------------- */

#define STREAMING                                                                     \
    {"encoder_streaming", CONURE_EXPORT_STREAMING, "encoder_streaming", NULL, NULL},  \
    {"encoder_streaming.contract.json", CONURE_EXPORT_STREAMING, NULL, NULL, write_contract}
#define FEATURES {"nemo", CONURE_EXPORT_FEATURES, "features", conure_features_build, NULL}

static const item onnx_asr[] = {
    STREAMING,
    {"encoder-model", CONURE_EXPORT_ENCODER, "encoder", NULL, NULL},
    {"decoder_joint-model", CONURE_EXPORT_DECODER, "decoder_joint", conure_decoder_joint_build, NULL},
    FEATURES,
    {"vocab.txt", 0, NULL, NULL, write_vocabulary},
    {"config.json", 0, NULL, NULL, write_config},
    {0},
};
static const item sherpa_onnx[] = {
    STREAMING,
    {"encoder", CONURE_EXPORT_ENCODER, "encoder", NULL, NULL},
    {"decoder", CONURE_EXPORT_DECODER, "decoder", conure_decoder_build, NULL},
    {"joiner", CONURE_EXPORT_DECODER, "joiner", conure_joiner_build, NULL},
    FEATURES,
    {"tokens.txt", 0, NULL, NULL, write_vocabulary},
    {0},
};

/* The name of the item's file; false when it was not asked for. */
static bool name_of(const export *e, const item *it, char name[NAME_CAP])
{
    if (it->graph && !(it->graph & e->o->graphs))
        return false;
    if (it->write)
        snprintf(name, NAME_CAP, "%s", it->stem);
    else if (it->graph == CONURE_EXPORT_FEATURES)
        snprintf(name, NAME_CAP, "%s%u.onnx", it->stem, e->model->config.mel_bins);
    else
        snprintf(name, NAME_CAP, "%s%s.onnx", it->stem, suffixes[e->o->precision]);
    return true;
}

/* How many there will be; none of them may be there already, nor weights beside a graph, which it may have. */
static conure_status count_items(const export *e, const item *items, uint32_t *n)
{
    char name[NAME_CAP], path[PATH_MAX];
    for (const item *it = items; it->stem; it++) {
        if (!name_of(e, it, name))
            continue;
        conure_status status = path_of(e, name, path);
        if (status == CONURE_OK && !it->write && access(path, F_OK) != 0)
            status = data_path_of(e, name, path);
        if (status != CONURE_OK)
            return status;
        if (!e->o->force && access(path, F_OK) == 0)
            return conure_fail(e->err, CONURE_BAD_ARG, "%s is there already: name another folder, or replace it with --force", path);
        ++*n;
    }
    return CONURE_OK;
}

static conure_status check_options(const export *e)
{
    const conure_export_options *o = e->o;
    const bool encoder = o->graphs & (CONURE_EXPORT_ENCODER | CONURE_EXPORT_STREAMING);
    char precision[32];
    if (!o->graphs)
        return conure_fail(e->err, CONURE_BAD_ARG, "no graph was asked for");
    if (encoder && o->precision == CONURE_EXPORT_INT8 && !o->n_utterances && !o->seen)
        return conure_fail(e->err, CONURE_BAD_ARG, "int8 takes its scales from speech: name some audio files, or with --ranges what conure export "
                           "ranges made of them");
    if (o->float_weights && o->precision != CONURE_EXPORT_INT8)
        return conure_fail(e->err, CONURE_BAD_ARG, "--int8-weights f32: a graph in %s has no int8 weights", precisions[o->precision]);
    if (o->narrow_io && (o->precision == CONURE_EXPORT_F32 || o->precision == CONURE_EXPORT_INT8))
        return conure_fail(e->err, CONURE_BAD_ARG, "--io narrow: features and encoder output of an %s graph are float32 in any case",
                           precisions[o->precision]);
    if (o->narrow_caches && (o->precision == CONURE_EXPORT_F32 || !(o->graphs & CONURE_EXPORT_STREAMING)))
        return conure_fail(e->err, CONURE_BAD_ARG, "--caches narrow: %s", o->precision == CONURE_EXPORT_F32
                           ? "caches of an f32 graph are float32 in any case" : "only a streaming encoder has caches");
    if (o->batch && !(o->graphs & CONURE_EXPORT_STREAMING))
        return conure_fail(e->err, CONURE_BAD_ARG, "--batch %u is of the steps of a streaming encoder: name a contract with --contract", o->batch);
    if (!(o->graphs & CONURE_EXPORT_STREAMING))
        return CONURE_OK;
    if (!o->contract)
        return conure_fail(e->err, CONURE_BAD_ARG, "a streaming encoder needs a contract: conure contract derive writes one, --contract names it");
    const conure_status status = conure_contract_matches(o->contract, e->model, e->err);
    for (uint32_t i = 0; i < o->contract->n_profiles && o->batch && status == CONURE_OK; i++) {
        const conure_profile *p = &o->contract->profiles[i];
        if (o->batch < p->b_min || o->batch > p->b_max)
            return conure_fail(e->err, CONURE_BAD_ARG, "--batch %u: the contract's profile %s is for %u to %u rows: derive one with --batch-max %u",
                               o->batch, p->name, p->b_min, p->b_max, o->batch);
    }
    if (status == CONURE_OK && strcmp(conure_contract_precision(o->contract, precision), precisions[o->precision]) != 0)
        return conure_fail(e->err, CONURE_BAD_ARG, "the contract is for precision %s, and the graph would be %s: derive one with --precision %s",
                           precision, precisions[o->precision], precisions[o->precision]);
    return status;
}

/* Half of the progress when there is speech to look at. */
static conure_status observe(export *e, conure_observations **seen)
{
    const conure_export_options *o = e->o;
    if (!o->n_utterances || !(o->graphs & (CONURE_EXPORT_ENCODER | CONURE_EXPORT_STREAMING)) ||
        (o->precision != CONURE_EXPORT_F16 && o->precision != CONURE_EXPORT_INT8))
        return CONURE_OK;
    e->share = 0.5;
    const conure_status status = conure_observe(seen, e->model, o->utterances, o->n_utterances, o->n_threads, o->mask, o->cancel, show, e,
                                                e->err);
    e->seen = *seen;
    e->done = 0.5;
    return status;
}

static void warn(const export *e)
{
    const conure_config *c = &e->model->config;
    bool plain = true;
    for (uint32_t i = 0; i < c->n_durations; i++)
        plain = plain && c->durations[i] == i;
    if (!plain)
        conure_log_write(&e->o->log, CONURE_LOG_WARNING, "durations of this model are not 0, 1, 2 ..: onnx-asr and sherpa-onnx take the place of a "
                         "duration for its length");
    if (e->o->precision == CONURE_EXPORT_F16 && !e->o->n_utterances && !e->o->seen)
        conure_log_write(&e->o->log, CONURE_LOG_WARNING, "no audio was named: which layers do not fit float16 is not known, and none stays float32");
}

static void warn_of_data(const export *e)
{
    for (uint32_t i = 0; i < e->report->n_files && e->o->layout == CONURE_EXPORT_SHERPA_ONNX; i++)
        if (e->report->files[i].facts.data_bytes) {
            conure_log_write(&e->o->log, CONURE_LOG_WARNING, "weights of %s are in a file beside it, which sherpa-onnx does not find: use --external "
                             "never, and --precision int8 or f16 where a graph is larger than 2 GB then", e->report->files[i].name);
            return;
        }
}

conure_status conure_export_onnx(const conure_model *model, const char *folder, const conure_export_options *options,
                                 conure_export_report *report, conure_error *err)
{
    export e = {.model = model, .o = options, .folder = folder, .report = report, .err = err, .seen = options->seen};
    conure_observations *seen = NULL;
    const item *items = options->layout == CONURE_EXPORT_ONNX_ASR ? onnx_asr : sherpa_onnx;
    char name[NAME_CAP];
    uint32_t n = 0;
    *report = (conure_export_report){0};
    if (options->contract) {
        e.contract = *options->contract;
        e.contract.io = options->narrow_io ? (conure_contract_type)options->precision : CONURE_CONTRACT_F32; /* the same order */
        e.contract.caches = options->narrow_caches ? (conure_contract_type)options->precision : CONURE_CONTRACT_F32;
        for (uint32_t i = 0; i < e.contract.n_profiles && options->batch; i++)
            e.contract.profiles[i].b_min = e.contract.profiles[i].b_opt = e.contract.profiles[i].b_max = options->batch;
    }
    conure_status status = check_options(&e);
    if (status == CONURE_OK)
        status = count_items(&e, items, &n);
    if (status == CONURE_OK)
        status = conure_model_hash(model, e.sha256, err);
    if (status == CONURE_OK) {
        warn(&e);
        status = observe(&e, &seen);
    }
    e.share = (1 - e.done) / n;
    for (const item *it = items; it->stem && status == CONURE_OK; it++)
        if (name_of(&e, it, name)) {
            status = write_item(&e, it, name);
            e.done += e.share;
        }
    if (status == CONURE_OK)
        status = put_in_place(&e);
    if (status == CONURE_OK)
        warn_of_data(&e);
    for (uint32_t i = 0; i < CONURE_EXPORT_FILES_MAX; i++) {
        conure_writer_abort(&e.staged[i].data);
        conure_writer_abort(&e.staged[i].file);
    }
    if (status != CONURE_OK)
        report->n_files = 0;
    conure_observations_free(&seen);
    return status;
}

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

typedef struct export {
    const conure_model *model;
    const conure_export_options *o;
    const char *folder;
    conure_export_report *report;
    conure_error *err;
    char sha256[65];
    double done, share; /* of the progress: before this graph, and of it */
} export;

#define CONTRACT_FILE "encoder_streaming.contract.json"

/* ---- files ------------------------------------------------------------------------------------ */

/* A file of the layout: a graph with what builds it, or a text. */
typedef struct item {
    const char *name;
    uint32_t graph;          /* CONURE_EXPORT_*; 0: a text */
    const char *kind;        /* what the graph says that it is */
    void (*build)(conure_graph *graph);
    conure_status (*write)(export *e, const char *path);
} item;

static conure_status path_of(const export *e, const char *name, char path[PATH_MAX])
{
    if (conure_path_join(path, PATH_MAX, e->folder, name))
        return CONURE_OK;
    return conure_fail(e->err, CONURE_LIMIT, "%s/%s: the path is too long", e->folder, name);
}

static conure_status put_text(export *e, const char *path, const conure_buffer *text)
{
    conure_writer *writer = NULL;
    if (text->failed)
        return conure_fail_memory(e->err, path, text->bytes);
    conure_status status = conure_writer_open(&writer, path, e->err);
    if (status == CONURE_OK)
        status = conure_writer_write(writer, text->data, text->bytes, e->err);
    if (status == CONURE_OK)
        status = conure_writer_commit(&writer, e->err);
    conure_writer_abort(&writer);
    return status;
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

/* The contract with the graph that keeps it. */
static conure_status write_contract(export *e, const char *path)
{
    conure_contract k = *e->o->contract;
    char graph[PATH_MAX];
    conure_status status = path_of(e, "encoder_streaming.onnx", graph);
    if (status == CONURE_OK)
        status = conure_contract_add_file(&k, graph, e->err);
    return status == CONURE_OK ? conure_contract_write(&k, path, e->err) : status;
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

static conure_status put_metadata(export *e, conure_graph *g, const item *it, const conure_encoder_plan *plan)
{
    const conure_config *c = &e->model->config;
    char *contract = NULL;
    conure_graph_metadata(g, "conure.graph", it->kind);
    conure_graph_metadata(g, "conure.model", e->model->name);
    conure_graph_metadata(g, "conure.model_sha256", e->sha256);
    conure_graph_metadata(g, "conure.precision", "f32");
    if (plan) {
        conure_graph_metadata(g, "conure.mask", plan->mask_exact ? "exact" : "nemo");
        if (plan->frames_max)
            put_number(g, "conure.frames_max", plan->frames_max);
    }
    if (it->graph == CONURE_EXPORT_STREAMING) {
        const conure_status status = conure_contract_dump(e->o->contract, &contract, e->err);
        if (status != CONURE_OK)
            return status;
        conure_graph_metadata(g, "conure.contract", contract);
        free(contract);
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

static conure_status write_graph(export *e, const item *it, const char *path, conure_graph_facts *facts)
{
    conure_graph *g = NULL;
    conure_encoder_plan plan;
    const bool encoder = it->graph == CONURE_EXPORT_ENCODER || it->graph == CONURE_EXPORT_STREAMING;
    const bool streaming = it->graph == CONURE_EXPORT_STREAMING;
    conure_status status = conure_graph_open(&g, e->model, it->kind, e->o->opset, CONURE_ONNX_FLOAT, e->err);
    if (status == CONURE_OK && encoder)
        status = conure_encoder_plan_make(&plan, &e->model->config, streaming ? e->o->contract : NULL, e->o->mask, e->o->frames_max, e->err);
    if (status == CONURE_OK && encoder)
        conure_encoder_build(g, &plan);
    else if (status == CONURE_OK)
        it->build(g);
    if (status == CONURE_OK)
        status = put_metadata(e, g, it, encoder ? &plan : NULL);
    if (status == CONURE_OK)
        status = conure_graph_write(g, path, e->o->external, facts, show, e, e->err);
    conure_graph_close(&g);
    return status;
}

static conure_status write_item(export *e, const item *it)
{
    char path[PATH_MAX];
    conure_export_file *file = &e->report->files[e->report->n_files];
    *file = (conure_export_file){.is_graph = it->graph && !it->write};
    snprintf(file->name, sizeof file->name, "%s", it->name);
    conure_status status = path_of(e, it->name, path);
    if (status == CONURE_OK)
        status = file->is_graph ? write_graph(e, it, path, &file->facts) : it->write(e, path);
    if (status == CONURE_OK)
        e->report->n_files++;
    return status;
}

/* ---- layouts ---------------------------------------------------------------------------------- */

enum { ITEMS_MAX = 8 };

static uint32_t list_items(const export *e, item *items, char features[32])
{
    const bool asr = e->o->layout == CONURE_EXPORT_ONNX_ASR;
    const item all[] = {
        {asr ? "encoder-model.onnx" : "encoder.onnx", CONURE_EXPORT_ENCODER, "encoder", NULL, NULL},
        {"encoder_streaming.onnx", CONURE_EXPORT_STREAMING, "encoder_streaming", NULL, NULL},
        {CONTRACT_FILE, CONURE_EXPORT_STREAMING, "contract", NULL, write_contract},
        {asr ? "decoder_joint-model.onnx" : "decoder.onnx", CONURE_EXPORT_DECODER, asr ? "decoder_joint" : "decoder",
         asr ? conure_decoder_joint_build : conure_decoder_build, NULL},
        {asr ? NULL : "joiner.onnx", CONURE_EXPORT_DECODER, "joiner", conure_joiner_build, NULL},
        {features, CONURE_EXPORT_FEATURES, "features", conure_features_build, NULL},
        {asr ? "vocab.txt" : "tokens.txt", 0, NULL, NULL, write_vocabulary},
        {asr ? "config.json" : NULL, 0, NULL, NULL, write_config},
    };
    uint32_t n = 0;
    snprintf(features, 32, "nemo%u.onnx", e->model->config.mel_bins);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].name && (!all[i].graph || all[i].graph & e->o->graphs))
            items[n++] = all[i];
    return n;
}

static conure_status check_absent(const export *e, const item *items, uint32_t n)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; i < n && !e->o->force; i++) {
        const conure_status status = path_of(e, items[i].name, path);
        if (status != CONURE_OK)
            return status;
        if (access(path, F_OK) == 0)
            return conure_fail(e->err, CONURE_BAD_ARG, "%s is there already: name another folder, or replace it with --force", path);
    }
    return CONURE_OK;
}

static conure_status check_options(const export *e)
{
    const conure_export_options *o = e->o;
    char precision[32];
    if (!o->graphs)
        return conure_fail(e->err, CONURE_BAD_ARG, "no graph was asked for");
    if (!(o->graphs & CONURE_EXPORT_STREAMING))
        return CONURE_OK;
    if (!o->contract)
        return conure_fail(e->err, CONURE_BAD_ARG, "a streaming encoder needs a contract: conure contract derive writes one, --contract names it");
    const conure_status status = conure_contract_matches(o->contract, e->model, e->err);
    if (status == CONURE_OK && strcmp(conure_contract_precision(o->contract, precision), "f32") != 0)
        return conure_fail(e->err, CONURE_BAD_ARG, "the contract is for precision %s, and the graph would be f32: derive one with --precision f32",
                           precision);
    return status;
}

conure_status conure_export_onnx(const conure_model *model, const char *folder, const conure_export_options *options,
                                 conure_export_report *report, conure_error *err)
{
    export e = {.model = model, .o = options, .folder = folder, .report = report, .err = err};
    item items[ITEMS_MAX];
    char features[32];
    report->n_files = 0;
    const uint32_t n = list_items(&e, items, features);
    conure_status status = check_options(&e);
    if (status == CONURE_OK)
        status = check_absent(&e, items, n);
    if (status == CONURE_OK)
        status = conure_model_hash(model, e.sha256, err);
    for (uint32_t i = 0; i < model->config.n_durations; i++)
        if (model->config.durations[i] != i) {
            conure_log_write(&options->log, CONURE_LOG_WARNING, "durations of this model are not 0, 1, 2 ..: onnx-asr and sherpa-onnx take the "
                             "place of a duration for its length");
            break;
        }
    e.share = 1.0 / n;
    for (uint32_t i = 0; i < n && status == CONURE_OK; i++) {
        status = write_item(&e, &items[i]);
        e.done += e.share;
    }
    return status;
}

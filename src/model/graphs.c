/* graphs.c - folders of exported graphs (graphs.h). */
#include "model/graphs_inside.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/json.h"
#include "model/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOAT = 1, INT32 = 6, INT64 = 7, PATH_CAP = CONURE_GRAPH_PATH_CAP };

conure_status conure_model_need_tensors(const conure_model *model, const char *what, conure_error *err)
{
    if (!model->graphs)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "%s: a folder of exported graphs, which %s cannot take apart: run it with --engine ort/cpu, or "
                       "open the checkpoint it was made of", model->name, what);
}

/* ---- graphs ----------------------------------------------------------------------------------- */

/* An input or output is of this type and rank; words for the error: "input 1". */
static conure_status expect(const conure_graph_file *g, bool input, uint32_t i, int32_t type, uint32_t rank, const char *what, conure_error *err)
{
    const conure_onnx_facts *f = &g->facts;
    const uint32_t n = input ? f->n_inputs : f->n_outputs;
    const conure_onnx_port *p = input ? &f->inputs[i] : &f->outputs[i];
    if (i >= n)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u %s, and %s is expected at place %u: not an export of a FastConformer-TDT model as "
                           "onnx-asr or sherpa-onnx have it", g->path, n, input ? "inputs" : "outputs", what, i);
    if (p->type != type || p->rank != rank)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %s %s has type %d and rank %u; %s is expected, with type %d and rank %u", g->path,
                           input ? "input" : "output", p->name, p->type, p->rank, what, type, rank);
    return CONURE_OK;
}

/* A dimension that must be a number. */
static conure_status size_of(const conure_graph_file *g, const conure_onnx_port *p, uint32_t axis, uint32_t max, uint32_t *out, conure_error *err)
{
    if (p->dims[axis] < 1 || p->dims[axis] > max)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %s has size %lld on axis %u, supported: 1 to %u", g->path, p->name,
                           (long long)p->dims[axis], axis, max);
    *out = (uint32_t)p->dims[axis];
    return CONURE_OK;
}

/* Two inputs or outputs of one size, as far as both have one. */
static conure_status same(const conure_graph_file *a, const conure_onnx_port *p, uint32_t i, const conure_graph_file *b, const conure_onnx_port *q,
                          uint32_t k, conure_error *err)
{
    if (p->dims[i] < 1 || q->dims[k] < 1 || p->dims[i] == q->dims[k])
        return CONURE_OK;
    return conure_fail(err, CONURE_BAD_FILE, "%s of %s has size %lld on axis %u, and %s of %s %lld on axis %u: these are of two models: export again "
                       "with --force, or fetch the whole folder again", p->name, a->path, (long long)p->dims[i], i, q->name, b->path,
                       (long long)q->dims[k], k);
}

static conure_status check_encoder(conure_model *model, const conure_model_graphs *all, conure_error *err)
{
    conure_config *c = &model->config;
    const conure_graph_file *g = &all->encoder;
    const uint32_t said = all->settings.said[CONURE_SAID_BINS] ? all->settings.said[CONURE_SAID_BINS] : g->said[CONURE_SAID_BINS];
    CONURE_TRY(expect(g, true, 0, FLOAT, 3, "features [B][mel][T]", err));
    CONURE_TRY(expect(g, true, 1, INT64, 1, "lengths [B]", err));
    CONURE_TRY(expect(g, false, 0, FLOAT, 3, "frames [B][d][T']", err));
    CONURE_TRY(expect(g, false, 1, INT64, 1, "lengths [B]", err));
    if (g->facts.n_inputs != 2)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u inputs, supported: 2, an encoder of whole utterances", g->path, g->facts.n_inputs);
    if (g->facts.inputs[0].dims[1] > 0)
        CONURE_TRY(size_of(g, &g->facts.inputs[0], 1, 1024, &c->mel_bins, err));
    else if (said)
        c->mel_bins = said;
    return size_of(g, &g->facts.outputs[0], 1, 16384, &c->d_model, err);
}

/* The prediction network from input `first` on; outputs lie alike. */
static conure_status check_decoder(conure_model *model, const conure_graph_file *g, uint32_t first, conure_error *err)
{
    conure_config *c = &model->config;
    CONURE_TRY(expect(g, true, first, INT32, 2, "targets [B][U]", err));
    CONURE_TRY(expect(g, true, first + 1, INT32, 1, "their lengths [B]", err));
    CONURE_TRY(expect(g, true, first + 2, FLOAT, 3, "the state h [layers][B][hidden]", err));
    CONURE_TRY(expect(g, true, first + 3, FLOAT, 3, "the state c [layers][B][hidden]", err));
    CONURE_TRY(expect(g, false, 2, FLOAT, 3, "the state h [layers][B][hidden]", err));
    CONURE_TRY(expect(g, false, 3, FLOAT, 3, "the state c [layers][B][hidden]", err));
    for (uint32_t axis = 0; axis <= 2; axis += 2) {
        const conure_onnx_port *h = &g->facts.inputs[first + 2];
        CONURE_TRY(same(g, h, axis, g, h + 1, axis, err));
        CONURE_TRY(same(g, h, axis, g, &g->facts.outputs[2], axis, err));
        CONURE_TRY(same(g, h, axis, g, &g->facts.outputs[3], axis, err));
    }
    CONURE_TRY(size_of(g, &g->facts.inputs[first + 2], 0, CONURE_PREDICTOR_LAYERS_MAX, &c->pred_layers, err));
    return size_of(g, &g->facts.inputs[first + 2], 2, 16384, &c->pred_hidden, err);
}

/* The joint, and what goes into it. */
static conure_status check_joint(const conure_model_graphs *g, uint32_t *n_logits, uint32_t *prediction, conure_error *err)
{
    const conure_graph_file *joint = g->joiner.path ? &g->joiner : &g->decoder;
    CONURE_TRY(expect(joint, true, 0, FLOAT, 3, "frames [B][d][T]", err));
    CONURE_TRY(expect(joint, false, 0, FLOAT, 4, "logits [B][T][U][tokens and durations]", err));
    CONURE_TRY(same(joint, &joint->facts.inputs[0], 1, &g->encoder, &g->encoder.facts.outputs[0], 1, err));
    if (g->joiner.path) {
        CONURE_TRY(expect(&g->joiner, true, 1, FLOAT, 3, "predictions [B][hidden][U]", err));
        CONURE_TRY(expect(&g->decoder, false, 0, FLOAT, 3, "predictions [B][hidden][U]", err));
        CONURE_TRY(same(&g->joiner, &g->joiner.facts.inputs[1], 1, &g->decoder, &g->decoder.facts.outputs[0], 1, err));
        CONURE_TRY(size_of(&g->joiner, &g->joiner.facts.inputs[1], 1, 16384, prediction, err));
    }
    return size_of(joint, &joint->facts.outputs[0], 3, CONURE_PIECES_MAX, n_logits, err);
}

/* ---- words ------------------------------------------------------------------------------------ */

/* "PIECE ID" a line, ids 0, 1, 2 .., "<blk>" last. */
static conure_status parse_vocabulary(conure_model *model, char *text, const char *path, conure_error *err)
{
    uint32_t n = 0, cap = 1;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        cap++;
    const char **pieces = conure_calloc(cap, sizeof *pieces);
    if (!pieces)
        return conure_fail_memory(err, path, cap * sizeof *pieces);
    conure_status status = CONURE_OK;
    bool blank = false;
    for (char *line = text; line && *line && status == CONURE_OK;) {
        char *end = strchr(line, '\n'), *stop = NULL;
        if (end)
            *end = 0;
        char *space = strrchr(line, ' ');
        const unsigned long id = space ? strtoul(space + 1, &stop, 10) : 0;
        if (!space || space[1] < '0' || space[1] > '9' || (*stop && *stop != '\r') || id != n || blank || n == CONURE_PIECES_MAX)
            status = conure_fail(err, CONURE_BAD_FILE, "%s: line %u is not a piece and the number %u, blank last", path, n + 1, n);
        else
            *space = 0;
        blank = status == CONURE_OK && (strcmp(line, "<blk>") == 0 || strcmp(line, "<blank>") == 0);
        if (!blank)
            pieces[n++] = line;
        line = end ? end + 1 : NULL;
    }
    if (status == CONURE_OK && !blank)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: the last piece is not <blk>", path);
    if (status == CONURE_OK)
        status = conure_tokenizer_from_pieces(&model->tokenizer, pieces, NULL, n, NULL, true, err);
    model->config.vocab_size = n;
    free(pieces);
    return status;
}

static conure_status read_vocabulary(conure_model *model, conure_model_graphs *g, const char *name, conure_error *err)
{
    char *text = NULL;
    size_t bytes;
    CONURE_TRY(conure_graphs_add(model, g, name, strlen(name), &g->words, &(uint64_t){0}, err));
    conure_status status = conure_file_read(&text, &bytes, g->words, CONURE_TOKENIZER_BYTES_MAX, err);
    if (status == CONURE_OK && strlen(text) != bytes)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: holds a NUL: not a list of pieces", g->words);
    if (status == CONURE_OK)
        status = parse_vocabulary(model, text, g->words, err);
    free(text);
    return status;
}

static conure_status parse_config(conure_graph_file *s, const json_t *object, conure_error *err)
{
    static const char *const keys[] = {
#define X(id, key, setting) setting,
        CONURE_GRAPH_SAID(X)
#undef X
    };
    const char *type = "nemo-conformer-tdt", *said = type;
    for (int i = 0; i < CONURE_SAID_COUNT; i++)
        if (keys[i])
            CONURE_TRY(conure_json_u32(object, keys[i], CONURE_OPTIONAL, 1, 100000, &s->said[i], s->path, err));
    CONURE_TRY(conure_json_text(object, "model_type", CONURE_OPTIONAL, &said, s->path, err));
    return strcmp(said, type) == 0 ? CONURE_OK
                                   : conure_fail(err, CONURE_UNSUPPORTED, "%s: model_type is %.64s, supported: %s", s->path, said, type);
}

/* config.json of onnx-asr; optional. */
static conure_status read_config(conure_model *model, conure_model_graphs *g, conure_error *err)
{
    char path[PATH_CAP], *text = NULL;
    size_t bytes;
    json_t *object = NULL;
    if (!conure_path_join(path, sizeof path, g->folder, "config.json") || access(path, F_OK) != 0)
        return CONURE_OK;
    CONURE_TRY(conure_graphs_add(model, g, "config.json", strlen("config.json"), &g->settings.path, &(uint64_t){0}, err));
    conure_status status = conure_file_read(&text, &bytes, path, 1 << 20, err);
    if (status == CONURE_OK)
        status = conure_json_object(&object, text, bytes, path, err);
    if (status == CONURE_OK)
        status = parse_config(&g->settings, object, err);
    json_decref(object);
    free(text);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* NeMo's front end for these models.  Of the encoder's inside nothing is known, and nothing looks at it: the numbers make a
 * valid configuration. */
static void begin_config(conure_config *c)
{
    *c = (conure_config){
        .sample_rate_hz = 16000, .window_samples = 400, .hop_samples = 160, .n_fft = 512, .mel_bins = 128,
        .preemphasis = 0.97f, .log_guard = ldexpf(1, -24), .mel_high_hz = 8000,
        .n_layers = 1, .n_heads = 1, .conv_kernel = 9, .conv_left = 4, .conv_right = 4, .subsampling_channels = 256,
        .use_bias = true, .att_left = -1, .att_right = -1, .pos_emb_max_len = 5000, .max_symbols = 10, .mask = CONURE_MASK_NEMO};
}

static conure_status read_all(conure_model *model, conure_model_graphs *g, bool apart, conure_error *err)
{
    CONURE_TRY(read_vocabulary(model, g, apart ? "tokens.txt" : "vocab.txt", err));
    if (!apart)
        CONURE_TRY(read_config(model, g, err));
    model->weight_bytes = 0; /* words are none */
    CONURE_TRY(conure_graphs_read(model, g, &g->encoder, apart ? "encoder" : "encoder-model", err));
    CONURE_TRY(conure_graphs_read(model, g, &g->decoder, apart ? "decoder" : "decoder_joint-model", err));
    return apart ? conure_graphs_read(model, g, &g->joiner, "joiner", err) : CONURE_OK;
}

conure_status conure_graphs_open(conure_model *model, const char *folder, conure_error *err)
{
    conure_config *c = &model->config;
    uint32_t n_logits = 0, prediction = 0;
    bool apart;
    conure_model_graphs *g = conure_block_alloc(&model->arena, sizeof *g);
    if (!g)
        return conure_fail_memory(err, "graphs", sizeof *g);
    g->folder = conure_block_text(&model->arena, folder, strlen(folder));
    if (!g->folder)
        return conure_fail_memory(err, folder, strlen(folder));
    begin_config(c);
    model->weight_dtype = CONURE_F32;
    CONURE_TRY(conure_graphs_layout(folder, &apart, err));
    CONURE_TRY(read_all(model, g, apart, err));
    CONURE_TRY(check_encoder(model, g, err));
    CONURE_TRY(check_decoder(model, &g->decoder, apart ? 0 : 1, err));
    CONURE_TRY(check_joint(g, &n_logits, &prediction, err));
    CONURE_TRY(conure_graphs_agree(model, g, n_logits, err));
    c->n_heads = c->d_model % 8 ? 1 : 8;
    c->ff_width = 4 * c->d_model;
    /* A frame; or a prediction: what the decoder gave, or all that makes it give it again. */
    if (!apart)
        prediction = 1 + 2 * c->pred_layers * c->pred_hidden;
    c->joint_hidden = prediction > c->d_model ? prediction : c->d_model;
    model->graphs = g;
    return conure_config_check(c, err);
}

/* graphs.c - folders of exported graphs (graphs.h). */
#include "model/graphs.h"

#include "base/memory.h"
#include "model/blocks.h"
#include "model/json.h"
#include "model/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FLOAT = 1, INT32 = 6, INT64 = 7, PATH_CAP = 4096 };

static const char *const suffixes[] = {"", ".int8", ".fp16"};

/* "FOLDER/NAME[.int8|.fp16].onnx" that exists. */
static bool find(char out[PATH_CAP], const char *folder, const char *name)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if ((size_t)snprintf(out, PATH_CAP, "%s/%s%s.onnx", folder, name, suffixes[i]) < PATH_CAP && access(out, F_OK) == 0)
            return true;
    return false;
}

bool conure_graphs_recognise(const char *folder)
{
    char path[PATH_CAP];
    return find(path, folder, "encoder-model") || find(path, folder, "encoder");
}

conure_status conure_model_need_tensors(const conure_model *model, const char *what, conure_error *err)
{
    if (!model->graphs)
        return CONURE_OK;
    return conure_fail(err, CONURE_UNSUPPORTED, "%s: a folder of exported graphs, which %s cannot take apart: run it with --engine ort/cpu, or "
                       "open the checkpoint it was made of", model->name, what);
}

/* ---- graphs ----------------------------------------------------------------------------------- */

/* What sherpa-onnx's exports say of themselves; absent elsewhere. */
static conure_status check_metadata(conure_model *model, const conure_graph_file *g, conure_error *err)
{
    conure_config *c = &model->config;
    uint32_t factor = 8, vocabulary = c->vocab_size, bins = c->mel_bins;
    (void)conure_onnx_number(&g->facts, "subsampling_factor", &factor);
    (void)conure_onnx_number(&g->facts, "vocab_size", &vocabulary);
    (void)conure_onnx_number(&g->facts, "feat_dim", &bins);
    if (factor != 8)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: subsampling_factor is %u, supported: 8", g->path, factor);
    if (vocabulary != c->vocab_size)
        return conure_fail(err, CONURE_BAD_FILE, "%s: vocab_size is %u, and the list of pieces beside it has %u", g->path, vocabulary, c->vocab_size);
    c->mel_bins = bins;
    return CONURE_OK;
}

static conure_status open_graph(conure_model *model, conure_graph_file *g, const char *folder, const char *name, conure_error *err)
{
    char path[PATH_CAP];
    conure_map map;
    if (!find(path, folder, name))
        return conure_fail(err, CONURE_BAD_FILE, "%s: no %s.onnx beside the encoder: fetch the whole folder", folder, name);
    g->path = conure_block_text(&model->arena, path, strlen(path));
    if (!g->path)
        return conure_fail_memory(err, path, strlen(path));
    conure_status status = conure_map_open(&map, path, err);
    if (status != CONURE_OK)
        return status;
    model->weight_bytes += map.bytes;
    status = conure_onnx_read(&g->facts, map.data, map.bytes, path, err);
    if (status == CONURE_OK)
        status = check_metadata(model, g, err);
    g->facts.n_metadata = 0; /* it lies in the map */
    conure_map_close(&map);
    return status;
}

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

#define TRY(call)                          \
    do {                                   \
        const conure_status try_ = (call); \
        if (try_ != CONURE_OK)             \
            return try_;                   \
    } while (0)

static conure_status check_encoder(conure_model *model, const conure_graph_file *g, conure_error *err)
{
    conure_config *c = &model->config;
    TRY(expect(g, true, 0, FLOAT, 3, "features [B][mel][T]", err));
    TRY(expect(g, true, 1, INT64, 1, "lengths [B]", err));
    TRY(expect(g, false, 0, FLOAT, 3, "frames [B][d][T']", err));
    TRY(expect(g, false, 1, INT64, 1, "lengths [B]", err));
    if (g->facts.n_inputs != 2)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u inputs, supported: 2, an encoder of whole utterances", g->path, g->facts.n_inputs);
    if (g->facts.inputs[0].dims[1] > 0)
        TRY(size_of(g, &g->facts.inputs[0], 1, 1024, &c->mel_bins, err));
    return size_of(g, &g->facts.outputs[0], 1, 16384, &c->d_model, err);
}

/* The prediction network from input `first` on; outputs lie alike. */
static conure_status check_decoder(conure_model *model, const conure_graph_file *g, uint32_t first, conure_error *err)
{
    conure_config *c = &model->config;
    TRY(expect(g, true, first, INT32, 2, "targets [B][U]", err));
    TRY(expect(g, true, first + 1, INT32, 1, "their lengths [B]", err));
    TRY(expect(g, true, first + 2, FLOAT, 3, "the state h [layers][B][hidden]", err));
    TRY(expect(g, true, first + 3, FLOAT, 3, "the state c [layers][B][hidden]", err));
    TRY(expect(g, false, 2, FLOAT, 3, "the state h [layers][B][hidden]", err));
    TRY(expect(g, false, 3, FLOAT, 3, "the state c [layers][B][hidden]", err));
    TRY(size_of(g, &g->facts.inputs[first + 2], 0, CONURE_PREDICTOR_LAYERS_MAX, &c->pred_layers, err));
    return size_of(g, &g->facts.inputs[first + 2], 2, 16384, &c->pred_hidden, err);
}

/* The joint's logits say how many durations there are; they are taken for 0, 1, 2 .. as those programs do. */
static conure_status check_joint(conure_model *model, const conure_graph_file *g, conure_error *err)
{
    conure_config *c = &model->config;
    uint32_t n = 0;
    TRY(expect(g, true, 0, FLOAT, 3, "frames [B][d][T]", err));
    TRY(expect(g, false, 0, FLOAT, 4, "logits [B][T][U][tokens and durations]", err));
    TRY(size_of(g, &g->facts.outputs[0], 3, CONURE_PIECES_MAX, &n, err));
    if (n <= c->vocab_size + 1 || n > c->vocab_size + 1 + CONURE_DURATIONS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u logits and a vocabulary of %u: a TDT model has that many, one for blank, and 1 to %d "
                           "durations", g->path, n, c->vocab_size, CONURE_DURATIONS_MAX);
    c->n_durations = n - c->vocab_size - 1;
    for (uint32_t i = 0; i < c->n_durations; i++)
        c->durations[i] = i;
    return CONURE_OK;
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

static conure_status read_vocabulary(conure_model *model, const char *folder, const char *name, conure_error *err)
{
    char path[PATH_CAP], *text = NULL;
    size_t bytes;
    if (!conure_path_join(path, sizeof path, folder, name))
        return conure_fail(err, CONURE_LIMIT, "%s/%s: the path is too long", folder, name);
    conure_status status = conure_file_read(&text, &bytes, path, CONURE_TOKENIZER_BYTES_MAX, err);
    if (status == CONURE_OK && strlen(text) != bytes)
        status = conure_fail(err, CONURE_BAD_FILE, "%s: holds a NUL: not a list of pieces", path);
    if (status == CONURE_OK)
        status = parse_vocabulary(model, text, path, err);
    free(text);
    return status;
}

/* config.json of onnx-asr; optional. */
static conure_status read_config(conure_model *model, const char *folder, conure_error *err)
{
    conure_config *c = &model->config;
    char path[PATH_CAP], *text = NULL;
    size_t bytes;
    json_t *object = NULL;
    if (!conure_path_join(path, sizeof path, folder, "config.json") || access(path, F_OK) != 0)
        return CONURE_OK;
    conure_status status = conure_file_read(&text, &bytes, path, 1 << 20, err);
    if (status == CONURE_OK)
        status = conure_json_object(&object, text, bytes, path, err);
    uint32_t factor = 8;
    if (status == CONURE_OK)
        status = conure_json_u32(object, "features_size", CONURE_OPTIONAL, 1, 1024, &c->mel_bins, path, err);
    if (status == CONURE_OK)
        status = conure_json_u32(object, "subsampling_factor", CONURE_OPTIONAL, 1, 1024, &factor, path, err);
    if (status == CONURE_OK)
        status = conure_json_u32(object, "max_tokens_per_step", CONURE_OPTIONAL, 1, 100000, &c->max_symbols, path, err);
    if (status == CONURE_OK && factor != 8)
        status = conure_fail(err, CONURE_UNSUPPORTED, "%s: subsampling_factor is %u, supported: 8", path, factor);
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

conure_status conure_graphs_open(conure_model *model, const char *folder, conure_error *err)
{
    char path[PATH_CAP];
    conure_config *c = &model->config;
    const bool apart = !find(path, folder, "encoder-model");
    conure_model_graphs *g = conure_block_alloc(&model->arena, sizeof *g);
    if (!g)
        return conure_fail_memory(err, "graphs", sizeof *g);
    begin_config(c);
    model->weight_dtype = CONURE_F32;
    TRY(read_vocabulary(model, folder, apart ? "tokens.txt" : "vocab.txt", err));
    if (!apart)
        TRY(read_config(model, folder, err));
    TRY(open_graph(model, &g->encoder, folder, apart ? "encoder" : "encoder-model", err));
    TRY(open_graph(model, &g->decoder, folder, apart ? "decoder" : "decoder_joint-model", err));
    if (apart)
        TRY(open_graph(model, &g->joiner, folder, "joiner", err));
    TRY(check_encoder(model, &g->encoder, err));
    TRY(check_decoder(model, &g->decoder, apart ? 0 : 1, err));
    TRY(check_joint(model, apart ? &g->joiner : &g->decoder, err));
    c->n_heads = c->d_model % 8 ? 1 : 8;
    c->ff_width = 4 * c->d_model;
    /* A frame; or a prediction: what the decoder gave, or all that makes it give it again. */
    uint32_t prediction = 1 + 2 * c->pred_layers * c->pred_hidden;
    if (apart) {
        TRY(expect(&g->joiner, true, 1, FLOAT, 3, "predictions [B][hidden][U]", err));
        TRY(expect(&g->decoder, false, 0, FLOAT, 3, "predictions [B][hidden][U]", err));
        TRY(size_of(&g->joiner, &g->joiner.facts.inputs[1], 1, 16384, &prediction, err));
    }
    c->joint_hidden = prediction > c->d_model ? prediction : c->d_model;
    model->graphs = g;
    return conure_config_check(c, err);
}

static conure_status add_file(conure_sha256 *sha, const char *path, conure_error *err)
{
    conure_map map;
    TRY(conure_map_open(&map, path, err));
    conure_sha256_add(sha, map.data, map.bytes);
    conure_map_close(&map);
    return CONURE_OK;
}

conure_status conure_graphs_hash(const conure_model *model, char hex[65], conure_error *err)
{
    const conure_graph_file *const files[3] = {&model->graphs->encoder, &model->graphs->decoder, &model->graphs->joiner};
    conure_sha256 sha;
    conure_sha256_init(&sha);
    for (int i = 0; i < 3 && files[i]->path; i++) {
        char weights[PATH_CAP]; /* beside a graph of more than 2 GB */
        TRY(add_file(&sha, files[i]->path, err));
        if ((size_t)snprintf(weights, sizeof weights, "%s.data", files[i]->path) < sizeof weights && access(weights, F_OK) == 0)
            TRY(add_file(&sha, weights, err));
    }
    conure_sha256_hex(&sha, hex);
    return CONURE_OK;
}

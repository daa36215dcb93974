/* graphs_said.c - what graphs say of themselves, held against each other, the vocabulary and what we do (graphs.h). */
#include "model/graphs_inside.h"

#include "model/quote.h"

#include <string.h>

enum { SIZE_MAX_SAID = 1 << 20 };

static bool holds(const conure_onnx_entry *e, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= e->value_bytes; i++)
        if (memcmp(e->value + i, word, n) == 0)
            return true;
    return false;
}

/* A text that should hold a word, as sherpa-onnx looks for it. */
static void warn_without(const conure_model *model, const conure_graph_file *g, const char *key, const char *word)
{
    const conure_onnx_entry *e = conure_onnx_find(&g->facts, key);
    char text[96];
    if (e && !holds(e, word))
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s: the metadata's %s is \"%s\", without \"%s\": it is run as a TDT transducer all the same, as "
                         "its inputs and outputs are one's", g->path, key, conure_quote(text, sizeof text, e->value, e->value_bytes), word);
}

/* What sherpa-onnx's exports say; absent elsewhere. */
static conure_status read_sherpa(const conure_model *model, conure_graph_file *g, conure_error *err)
{
    const conure_onnx_facts *f = &g->facts;
    uint32_t factor = 8, vocabulary = model->config.vocab_size;
    const conure_onnx_entry *normalize = conure_onnx_find(f, "normalize_type");
    char text[64];
    CONURE_GRAPH_TRY(conure_onnx_number(f, "subsampling_factor", SIZE_MAX_SAID, &factor, g->path, err));
    CONURE_GRAPH_TRY(conure_onnx_number(f, "vocab_size", SIZE_MAX_SAID, &vocabulary, g->path, err));
    CONURE_GRAPH_TRY(conure_onnx_number(f, "feat_dim", SIZE_MAX_SAID, &g->said.mel_bins, g->path, err));
    CONURE_GRAPH_TRY(conure_onnx_number(f, "pred_rnn_layers", SIZE_MAX_SAID, &g->said.pred_layers, g->path, err));
    CONURE_GRAPH_TRY(conure_onnx_number(f, "pred_hidden", SIZE_MAX_SAID, &g->said.pred_hidden, g->path, err));
    if (factor != 8)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: subsampling_factor is %u, supported: 8", g->path, factor);
    if (vocabulary != model->config.vocab_size)
        return conure_fail(err, CONURE_BAD_FILE, "%s: vocab_size is %u, and the list of pieces beside it has %u: they are of two models", g->path,
                           vocabulary, model->config.vocab_size);
    if (normalize && (normalize->value_bytes != 11 || !holds(normalize, "per_feature")))
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: the metadata's normalize_type is \"%s\", supported: per_feature", g->path,
                           conure_quote(text, sizeof text, normalize->value, normalize->value_bytes));
    warn_without(model, g, "model_type", "RNNT");
    warn_without(model, g, "url", "tdt");
    return CONURE_OK;
}

/* What conure's export says. */
static conure_status read_own(conure_graph_file *g, conure_error *err)
{
    const conure_onnx_facts *f = &g->facts;
    conure_graph_said *said = &g->said;
    const conure_onnx_entry *sha = conure_onnx_find(f, "conure.model_sha256");
    if (sha && sha->value_bytes != sizeof said->sha256 - 1)
        return conure_fail(err, CONURE_BAD_FILE, "%s: the metadata's conure.model_sha256 is no hash: export it again with --force", g->path);
    if (sha)
        conure_quote(said->sha256, sizeof said->sha256, sha->value, sha->value_bytes);
    CONURE_GRAPH_TRY(conure_onnx_number(f, "conure.vocab_size", CONURE_PIECES_MAX, &said->vocab_size, g->path, err));
    CONURE_GRAPH_TRY(conure_onnx_number(f, "conure.max_symbols", INT32_MAX, &said->max_symbols, g->path, err));
    return conure_onnx_numbers(f, "conure.durations", SIZE_MAX_SAID, CONURE_DURATIONS_MAX, said->durations, &said->n_durations, g->path, err);
}

conure_status conure_graphs_said(const conure_model *model, conure_graph_file *g, conure_error *err)
{
    CONURE_GRAPH_TRY(read_sherpa(model, g, err));
    return read_own(g, err);
}

/* ---- agreement --------------------------------------------------------------------------------- */

static conure_status fail_two(const conure_graph_file *a, const conure_graph_file *b, const char *key, conure_error *err)
{
    return conure_fail(err, CONURE_BAD_FILE, "%s and %s: their %s differ, so they are of two checkpoints or exports: export again with --force, or "
                       "fetch the whole folder again", a->path, b->path, key);
}

/* Two graphs of one export. */
static conure_status check_pair(const conure_model *model, const conure_graph_file *a, const conure_graph_file *b, conure_error *err)
{
    const conure_graph_said *x = &a->said, *y = &b->said;
    if (x->sha256[0] && y->sha256[0] && strcmp(x->sha256, y->sha256) != 0)
        return fail_two(a, b, "conure.model_sha256", err);
    if (!x->sha256[0] != !y->sha256[0])
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s and %s: only one says of which checkpoint it is (conure.model_sha256), so nothing says that "
                         "they belong together", a->path, b->path);
    if (x->max_symbols && y->max_symbols && x->max_symbols != y->max_symbols)
        return fail_two(a, b, "conure.max_symbols", err);
    if (x->n_durations && y->n_durations &&
        (x->n_durations != y->n_durations || memcmp(x->durations, y->durations, x->n_durations * sizeof *x->durations) != 0))
        return fail_two(a, b, "conure.durations", err);
    return CONURE_OK;
}

/* Sizes that one graph says, and those that the graphs have. */
static conure_status check_sizes(const conure_model *model, const conure_model_graphs *g, const conure_graph_file *file, conure_error *err)
{
    const conure_config *c = &model->config;
    const conure_graph_said *said = &file->said;
    if (said->vocab_size && said->vocab_size != c->vocab_size)
        return conure_fail(err, CONURE_BAD_FILE, "%s: conure.vocab_size is %u, and %s has %u pieces: they are of two models: export again with --force",
                           file->path, said->vocab_size, g->words, c->vocab_size);
    if (said->mel_bins && said->mel_bins != c->mel_bins)
        return conure_fail(err, CONURE_BAD_FILE, "%s: the metadata's feat_dim is %u, and the encoder takes %u", file->path, said->mel_bins, c->mel_bins);
    if (said->pred_layers && said->pred_layers != c->pred_layers)
        return conure_fail(err, CONURE_BAD_FILE, "%s: the metadata's pred_rnn_layers is %u, and %s has %u", file->path, said->pred_layers,
                           g->decoder.path, c->pred_layers);
    if (said->pred_hidden && said->pred_hidden != c->pred_hidden)
        return conure_fail(err, CONURE_BAD_FILE, "%s: the metadata's pred_hidden is %u, and %s has %u", file->path, said->pred_hidden, g->decoder.path,
                           c->pred_hidden);
    return CONURE_OK;
}

/* The logits say how many durations there are.  Which, our own graphs say; others' are taken for 0, 1, 2 .. as those programs do. */
static conure_status take_durations(conure_model *model, const conure_model_graphs *g, uint32_t n_logits, conure_error *err)
{
    conure_config *c = &model->config;
    const conure_graph_file *joint = g->joiner.path ? &g->joiner : &g->decoder;
    const conure_graph_said *said = joint->said.n_durations || !g->joiner.path ? &joint->said : &g->decoder.said;
    if (n_logits <= c->vocab_size + 1 || n_logits > c->vocab_size + 1 + CONURE_DURATIONS_MAX)
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u logits, and %s has %u pieces: a TDT model has that many, one for blank, and 1 to %d "
                           "durations: fetch graphs and vocabulary of one model", joint->path, n_logits, g->words, c->vocab_size, CONURE_DURATIONS_MAX);
    c->n_durations = n_logits - c->vocab_size - 1;
    if (said->n_durations && said->n_durations != c->n_durations)
        return conure_fail(err, CONURE_BAD_FILE, "%s: conure.durations are %u, and %u logits less the %u pieces of %s and blank leave %u: export again "
                           "with --force", joint->path, said->n_durations, n_logits, c->vocab_size, g->words, c->n_durations);
    for (uint32_t i = 0; i < c->n_durations; i++)
        c->durations[i] = said->n_durations ? said->durations[i] : i;
    if (!said->n_durations && c->n_durations != 5)
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s has %u pieces, and %s gives %u logits, which leaves %u durations where TDT models have 5: if the "
                         "text makes no sense, the vocabulary is another model's: fetch both from one place", g->words, c->vocab_size, joint->path,
                         n_logits, c->n_durations);
    return CONURE_OK;
}

conure_status conure_graphs_agree(conure_model *model, const conure_model_graphs *g, uint32_t max_symbols, uint32_t n_logits, conure_error *err)
{
    const conure_graph_file *const files[3] = {&g->encoder, &g->decoder, &g->joiner};
    const int n = g->joiner.path ? 3 : 2;
    uint32_t said = 0;
    for (int i = 1; i < n; i++)
        CONURE_GRAPH_TRY(check_pair(model, files[i - 1], files[i], err));
    for (int i = 0; i < n; i++) {
        CONURE_GRAPH_TRY(check_sizes(model, g, files[i], err));
        said = files[i]->said.max_symbols ? files[i]->said.max_symbols : said;
    }
    if (max_symbols && said && max_symbols != said)
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s/config.json: max_tokens_per_step is %u, and %s says conure.max_symbols %u: %u counts", g->folder,
                         max_symbols, g->decoder.path, said, max_symbols);
    if (max_symbols || said)
        model->config.max_symbols = max_symbols ? max_symbols : said;
    return take_durations(model, g, n_logits, err);
}

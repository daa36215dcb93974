/* graphs_said.c - what graphs say of themselves, held against each other, the vocabulary and what we do (graphs.h). */
#include "model/graphs_inside.h"

#include "model/quote.h"

#include <string.h>

static const char *const keys[][2] = {
#define X(id, key, setting) {key, setting},
    CONURE_GRAPH_SAID(X)
#undef X
};

/* Texts of sherpa-onnx's exports, and what they hold for a TDT model with NeMo's features. */
static const char *const texts[][2] = {{"normalize_type", "per_feature"}, {"model_type", "RNNT"}, {"url", "tdt"}};

static bool holds(const conure_onnx_entry *e, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= e->value_bytes; i++)
        if (memcmp(e->value + i, word, n) == 0)
            return true;
    return false;
}

static conure_status check_texts(const conure_model *model, const conure_graph_file *g, conure_error *err)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const conure_onnx_entry *e = conure_onnx_find(&g->facts, texts[i][0]);
        char shown[64];
        if (!e || holds(e, texts[i][1]))
            continue;
        conure_quote(shown, sizeof shown, e->value, e->value_bytes);
        if (i == 0)
            return conure_fail(err, CONURE_UNSUPPORTED, "%s: %s is \"%s\", supported: %s", g->path, texts[i][0], shown, texts[i][1]);
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s: %s is \"%s\", without \"%s\": run as a TDT model all the same", g->path, texts[i][0],
                         shown, texts[i][1]);
    }
    return CONURE_OK;
}

conure_status conure_graphs_hear(const conure_model *model, conure_graph_file *g, conure_error *err)
{
    const conure_onnx_entry *sha = conure_onnx_find(&g->facts, "conure.model_sha256");
    uint32_t n;
    if (sha)
        conure_quote(g->sha256, sizeof g->sha256, sha->value, sha->value_bytes < 61 ? sha->value_bytes : 61); /* enough to tell two apart */
    for (int i = 0; i < CONURE_SAID_COUNT; i++)
        CONURE_TRY(conure_onnx_numbers(&g->facts, keys[i][0], 1, &g->said[i], &n, g->path, err));
    CONURE_TRY(conure_onnx_numbers(&g->facts, "conure.durations", CONURE_DURATIONS_MAX, g->durations, &g->n_durations, g->path, err));
    return check_texts(model, g, err);
}

static conure_status check_pair(const conure_model *model, const conure_graph_file *a, const conure_graph_file *b, conure_error *err)
{
    if (!a->sha256[0] != !b->sha256[0])
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s and %s: one has no conure.model_sha256, so nothing says that they belong together", a->path,
                         b->path);
    else if (strcmp(a->sha256, b->sha256) != 0)
        return conure_fail(err, CONURE_BAD_FILE, "%s and %s: their conure.model_sha256 differ: they are of two checkpoints: export again with --force", a->path,
                           b->path);
    return CONURE_OK;
}

static conure_status check_sizes(const conure_model *model, const conure_model_graphs *g, const conure_graph_file *file, conure_error *err)
{
    const conure_config *c = &model->config;
    const uint32_t sizes[] = {c->vocab_size, c->vocab_size, c->mel_bins, c->pred_layers, c->pred_hidden, 8};
    const char *const holders[] = {g->words, g->words, g->encoder.path, g->decoder.path, g->decoder.path, "what is supported"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (file->said[i] && file->said[i] != sizes[i])
            return conure_fail(err, CONURE_BAD_FILE, "%s: %s is %u, and %u in %s: use files of one model: export again with --force, or fetch all again",
                               file->path, keys[i][file == &g->settings], file->said[i], sizes[i], holders[i]);
    return CONURE_OK;
}

/* The logits say how many durations there are.  Which, our own graphs say; others' are taken for 0, 1, 2 .. as those programs do. */
static conure_status take_durations(conure_model *model, const conure_model_graphs *g, const conure_graph_file *joint, uint32_t n_logits,
                                    conure_error *err)
{
    conure_config *c = &model->config;
    const uint32_t n = n_logits - c->vocab_size - 1; /* wraps to a large one */
    if (n < 1 || n > CONURE_DURATIONS_MAX || (joint->n_durations && joint->n_durations != n))
        return conure_fail(err, CONURE_UNSUPPORTED, "%s: %u logits and %u conure.durations, and %s has %u pieces: a TDT model has a logit for each piece, "
                           "one for blank, and 1 to %d for durations: use graphs and vocabulary of one model", joint->path, n_logits,
                           joint->n_durations, g->words, c->vocab_size, CONURE_DURATIONS_MAX);
    c->n_durations = n;
    for (uint32_t i = 0; i < n; i++)
        c->durations[i] = joint->n_durations ? joint->durations[i] : i;
    if (!joint->n_durations && n != 5)
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s has %u pieces, and %s gives %u logits, which leaves %u durations where TDT models have 5: if the "
                         "text makes no sense, fetch graphs and vocabulary of one model", g->words, c->vocab_size, joint->path, n_logits, n);
    return CONURE_OK;
}

conure_status conure_graphs_agree(conure_model *model, const conure_model_graphs *g, uint32_t n_logits, conure_error *err)
{
    const conure_graph_file *joint = g->joiner.path ? &g->joiner : &g->decoder;
    const uint32_t asked = g->settings.said[CONURE_SAID_SYMBOLS], said = joint->said[CONURE_SAID_SYMBOLS];
    CONURE_TRY(check_pair(model, &g->encoder, &g->decoder, err));
    if (g->joiner.path)
        CONURE_TRY(check_pair(model, &g->decoder, &g->joiner, err));
    CONURE_TRY(check_sizes(model, g, &g->settings, err));
    CONURE_TRY(check_sizes(model, g, &g->encoder, err));
    CONURE_TRY(check_sizes(model, g, &g->decoder, err));
    CONURE_TRY(check_sizes(model, g, joint, err));
    if (asked && said && asked != said)
        conure_log_write(&model->log, CONURE_LOG_WARNING, "%s: max_tokens_per_step %u counts, and conure.max_symbols %u of %s does not", g->settings.path,
                         asked, said, joint->path);
    if (asked || said)
        model->config.max_symbols = asked ? asked : said;
    return take_durations(model, g, joint, n_logits, err);
}

/* result.c - putting a transcript together: one block that conure_result_free() frees. */
#include "stream/result.h"

#include "base/memory.h"
#include "decode/words.h"

#include <stdlib.h>

/* The public struct comes first, so that a pointer to it is a pointer to this. */
typedef struct result {
    conure_result public;
    conure_token *tokens;
    conure_words words;
} result;

void conure_result_free(conure_result **out)
{
    if (!out || !*out)
        return;
    result *r = (result *)*out;
    conure_words_free(&r->words);
    free(r->tokens);
    free(r);
    *out = NULL;
}

conure_status conure_result_build(conure_result **out, const conure_model *model, const conure_tdt_token *tokens,
                                  uint32_t n_tokens, conure_error *err)
{
    const conure_config *c = &model->config;
    const double frame_s = 8.0 * c->hop_samples / c->sample_rate_hz;
    *out = NULL;
    result *r = conure_calloc(1, sizeof *r);
    if (!r)
        return conure_fail_memory(err, "a result", sizeof *r);
    conure_result *made = &r->public;
    r->tokens = conure_calloc(n_tokens ? n_tokens : 1, sizeof *r->tokens);
    conure_status status = r->tokens ? CONURE_OK : conure_fail_memory(err, "tokens", n_tokens * sizeof *r->tokens);
    for (uint32_t i = 0; i < n_tokens && status == CONURE_OK; i++)
        r->tokens[i] = (conure_token){tokens[i].id, tokens[i].frame, tokens[i].duration, tokens[i].confidence,
                                      conure_tokenizer_piece(model->tokenizer, tokens[i].id)};
    if (status == CONURE_OK)
        status = conure_words_build(&r->words, model->tokenizer, r->tokens, n_tokens, frame_s, err);
    if (status != CONURE_OK) {
        conure_result_free(&made);
        return status;
    }
    made->text = r->words.text;
    made->tokens = r->tokens;
    made->words = r->words.words;
    made->segments = r->words.segments;
    made->n_tokens = n_tokens;
    made->n_words = r->words.n_words;
    made->n_segments = r->words.n_segments;
    *out = made;
    return CONURE_OK;
}

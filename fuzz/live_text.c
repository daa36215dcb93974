/* live_text.c - snapshots of live text: what loads goes on, and saves to the same bytes.
 *
 * Input: a byte that picks the vocabulary, then the snapshot; its bytes are also the tokens that follow. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "decode/live_text.h"
#include "model/synthetic.h"

enum { TOKENS_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void go_on(conure_live_text *live, const uint8_t *data, size_t n)
{
    conure_token tokens[TOKENS_MAX];
    conure_live_piece piece;
    const char *text;
    const uint32_t n_tokens = n < TOKENS_MAX ? (uint32_t)n : TOKENS_MAX;

    for (uint32_t i = 0; i < n_tokens; i++)
        tokens[i] = (conure_token){.id = data[i] % (N_SYNTHETIC + 1), .frame = i, .duration = data[i] / 64};
    if (conure_live_text_tentative(live, tokens, n_tokens, &text, NULL) == CONURE_OK)
        assert(conure_text_valid(text, strlen(text)));
    (void)conure_live_text_add(live, tokens, n_tokens, NULL);
    if (conure_live_text_take(live, true, &piece, NULL) != CONURE_OK)
        return;
    assert(conure_text_valid(piece.text, strlen(piece.text)));
    for (uint32_t i = 0; i < piece.n_words; i++)
        assert(conure_text_valid(piece.words[i].text, strlen(piece.words[i].text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *pieces[N_SYNTHETIC + 1];
    uint8_t types[N_SYNTHETIC + 1];
    conure_tokenizer *tokenizer = NULL;
    conure_live_text *live = NULL;
    conure_buffer saved = {0};

    if (!bytes)
        return 0;
    memcpy(pieces, synthetic_pieces, sizeof synthetic_pieces);
    memcpy(types, synthetic_types, sizeof synthetic_types);
    pieces[N_SYNTHETIC] = " "; /* the one that waits for what follows */
    types[N_SYNTHETIC] = CONURE_PIECE_NORMAL;
    if (conure_tokenizer_from_pieces(&tokenizer, pieces, types, N_SYNTHETIC + 1, NULL, data[0] & 1, NULL) == CONURE_OK &&
        conure_live_text_open(&live, tokenizer, 0.08, NULL) == CONURE_OK) {
        conure_reader reader = {.data = data + 1, .bytes = bytes - 1};
        if (conure_live_text_load(live, &reader, NULL) == CONURE_OK) {
            conure_live_text_save(live, &saved);
            assert(saved.failed || (saved.bytes == reader.at && memcmp(saved.data, data + 1, saved.bytes) == 0));
        }
        go_on(live, data + 1, bytes - 1);
    }
    conure_buffer_free(&saved);
    conure_live_text_close(&live);
    conure_tokenizer_free(&tokenizer);
    return 0;
}

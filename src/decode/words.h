/* words.h - tokens with times to words and segments, by NeMo's rules (spec 6.5, checked on 50 clips). */
#ifndef CONURE_DECODE_WORDS_H
#define CONURE_DECODE_WORDS_H

#include "conure.h"
#include "model/tokenizer.h"

/* Build words and segments of n tokens and the whole text.  Arrays and strings come out in one block
 * each, freed by conure_words_free().  frame_s: seconds of an encoder frame (0.08). */
typedef struct conure_words {
    conure_word *words;
    conure_segment *segments;
    uint32_t n_words, n_segments;
    char *text;    /* of all tokens */
    char *strings; /* block behind the words' and segments' text */
} conure_words;

conure_status conure_words_build(conure_words *out, const conure_tokenizer *tokenizer,
                                 const conure_token *tokens, uint32_t n_tokens, double frame_s,
                                 conure_error *err);
void conure_words_free(conure_words *words);

#endif

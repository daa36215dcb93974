/* words.h - tokens with times to words and segments, by NeMo's rules (spec 6.5, checked on 50 clips). */
#ifndef CONURE_DECODE_WORDS_H
#define CONURE_DECODE_WORDS_H

#include "conure.h"
#include "model/tokenizer.h"

/* The rules, as NeMo 2.7 has them:
 * - A token lasts from its frame to its frame plus duration.  A punctuation mark takes no time: it starts
 *   and ends where the token before it ends.
 * - A word starts at a token whose text differs from its piece, which is what a leading U+2581 does, but
 *   not at a mark, which joins the word before it.  Byte and control pieces differ from their text too: a
 *   byte piece starts a word (of U+FFFD, if it is part of a character), a control piece an empty one.
 *   A token that prints one space separates words and belongs to none.
 * - A word lasts from its first token's start to its last token's end; the first word starts with the
 *   first token.  Its text is SentencePiece's decoding of its tokens alone.
 * - A segment is its words with a space between; it ends with a word that ends with . ? or !
 * Where NeMo fails (a mark behind an empty word) the mark joins that word.
 *
 * A word's confidence is the smallest of its tokens', a segment's the smallest of its words'. */

typedef struct conure_words {
    conure_word *words;
    conure_segment *segments;
    uint32_t n_words, n_segments;
    char *text;    /* of all tokens */
    char *strings; /* block behind the words' and segments' text */
} conure_words;

/* Build words and segments of n tokens and the whole text.  Arrays and strings come out in one block
 * each, freed by conure_words_free(); on failure *out is empty.
 *
 *   tokens   [n_tokens] with id, frame, duration and confidence; any frames and durations are safe
 *   frame_s  seconds of an encoder frame (0.08)
 *
 * Returns OK, BAD_ARG (an id out of range), NO_MEMORY.  Cost: O(n_tokens). */
conure_status conure_words_build(conure_words *out, const conure_tokenizer *tokenizer,
                                 const conure_token *tokens, uint32_t n_tokens, double frame_s,
                                 conure_error *err);
void conure_words_free(conure_words *words);

#endif

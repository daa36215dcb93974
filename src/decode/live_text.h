/* live_text.h - the text and words of an utterance whose tokens become final piece by piece.
 *
 * What was given stays: the pieces of text, one behind the other, are in the end conure_words_build()'s text of all
 * tokens, and the words its words, however the tokens were portioned.  Text is certain, and given, up to a last
 * whitespace character, which a mark may remove, and bytes that may become a character.  A word is certain when the
 * next one has begun: until then marks may join it.  Memory is that of the longest piece and the longest word, and of a
 * run of pieces that are a literal space, of which the words depend on what follows; not that of the utterance. */
#ifndef CONURE_DECODE_LIVE_TEXT_H
#define CONURE_DECODE_LIVE_TEXT_H

#include "base/memory.h"
#include "conure.h"
#include "model/tokenizer.h"

/* One utterance after the other; serves one thread at a time.  After NO_MEMORY only reset and close. */
typedef struct conure_live_text conure_live_text;

/* All of it is valid until the next take, reset, load or close. */
typedef struct conure_live_piece {
    const char *text;         /* to be appended; "" if there is nothing new */
    const conure_word *words; /* first_token counts from the utterance's first token */
    uint32_t n_words;
} conure_live_piece;

/* frame_s: seconds of an encoder frame.  The tokenizer must outlive it.  Returns OK, BAD_ARG, NO_MEMORY. */
conure_status conure_live_text_open(conure_live_text **out, const conure_tokenizer *tokenizer, double frame_s,
                                    conure_error *err);
void conure_live_text_close(conure_live_text **live);
void conure_live_text_reset(conure_live_text *live); /* as after open: a new utterance */

/* Tokens, with id, frame, duration and confidence, that became final.
 * Returns OK; BAD_ARG (an id out of range) or LIMIT (2^32 - 1 tokens), nothing is taken then; NO_MEMORY. */
conure_status conure_live_text_add(conure_live_text *live, const conure_token *tokens, uint32_t n_tokens,
                                   conure_error *err);

/* What became certain since the last take.  end: the utterance is over, all is certain; what comes next belongs to a
 * new one.  Returns OK, NO_MEMORY. */
conure_status conure_live_text_take(conure_live_text *live, bool end, conure_live_piece *out, conure_error *err);

/* The text behind all that was taken, if these tokens followed and the utterance ended there: with what was taken
 * exactly the text of all tokens.  The utterance goes on as if it had not been asked.
 *
 *   text  out: valid until the next call of this function, or close
 *
 * Returns OK, BAD_ARG (an id out of range), NO_MEMORY. */
conure_status conure_live_text_tentative(conure_live_text *live, const conure_token *tokens, uint32_t n_tokens,
                                         const char **text, conure_error *err);

/* The whole state, also of what was not taken yet, for a live text on an equal tokenizer.  Load returns OK, NO_MEMORY,
 * or BAD_FILE for what no save has written; after a failure it is as after a reset. */
void conure_live_text_save(const conure_live_text *live, conure_buffer *buffer);
conure_status conure_live_text_load(conure_live_text *live, conure_reader *reader, conure_error *err);

#endif

/* result.h - putting a transcript together. */
#ifndef CONURE_STREAM_RESULT_H
#define CONURE_STREAM_RESULT_H

#include "decode/tdt.h"

/* The public result of one utterance's tokens: pieces, words, segments, text. */
conure_status conure_result_build(conure_result **out, const conure_model *model,
                                  const conure_tdt_token *tokens, uint32_t n_tokens, conure_error *err);

#endif

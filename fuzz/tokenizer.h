/* tokenizer.h - what every tokenizer that a reader accepted must stand: decoding, and its own dump. */
#ifndef CONURE_FUZZ_TOKENIZER_H
#define CONURE_FUZZ_TOKENIZER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer.h"

/* Takes the tokenizer over. */
static inline void fuzz_tokenizer(conure_tokenizer *tokenizer)
{
    conure_tokenizer *again = NULL;
    uint32_t ids[256];
    char *text = NULL, *dump = NULL;
    conure_error err;
    const uint32_t n_pieces = conure_tokenizer_size(tokenizer);
    for (uint32_t i = 0; i < 256; i++)
        ids[i] = i % n_pieces;
    if (conure_tokenizer_decode(tokenizer, ids, 256, &text, &err) != CONURE_OK)
        abort();
    free(text);
    if (conure_tokenizer_dump(tokenizer, &dump, &err) != CONURE_OK ||
        conure_tokenizer_from_dump(&again, dump, strlen(dump), &err) != CONURE_OK)
        abort();
    if (conure_tokenizer_size(again) != n_pieces)
        abort();
    free(dump);
    conure_tokenizer_free(&again);
    conure_tokenizer_free(&tokenizer);
}

#endif

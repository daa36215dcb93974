/* sentencepiece.c - SentencePiece model files.  What is accepted must decode and survive its own dump. */
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_tokenizer *tokenizer = NULL;
    conure_error err;
    if (conure_tokenizer_from_sentencepiece(&tokenizer, data, bytes, &err) == CONURE_OK)
        fuzz_tokenizer(tokenizer);
    return 0;
}

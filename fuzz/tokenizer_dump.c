/* tokenizer_dump.c - a tokenizer as a converted file stores it.  What is accepted must decode and survive its own dump. */
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    conure_tokenizer *tokenizer = NULL;
    conure_error err;
    if (conure_tokenizer_from_dump(&tokenizer, (const char *)data, bytes, &err) == CONURE_OK)
        fuzz_tokenizer(tokenizer);
    return 0;
}

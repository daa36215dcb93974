/* recognizer.h - what the command wants to know of a recognizer beyond the public contract. */
#ifndef CONURE_STREAM_RECOGNIZER_H
#define CONURE_STREAM_RECOGNIZER_H

#include "conure.h"

/* Bytes of activations that one utterance of so many samples takes, as they are held against
 * memory_bytes_max; UINT64_MAX when it is longer than any that is supported. */
uint64_t conure_recognizer_bytes(const conure_recognizer *recognizer, uint64_t n_samples);

#endif
